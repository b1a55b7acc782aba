/* Calls of ML Metadata as clients send them: the first byte chooses the method, the rest is its message, which goes through the code of the
 * API and of core to a small store and back. Types 10 (artifacts), 11 (executions) and 12 (contexts) are there, three nodes of each, events and
 * memberships. What is answered can be written and read again; what is refused says why, as a fault of the client.
 * With CAIRN_FUZZ_STARVE in the environment every call is made over and over, its n-th allocation failing, until it needs fewer; then once with
 * a commit that fails; and so is every method with a number, and with a name. What is answered then is that, an error for the server's sake, or the error that
 * it always was. */
#include "api/mlmd/mlmd_int.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "store.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 8 << 20, NODES = 3 };

static struct core *core;
static struct arena *kept;

static void put(struct typed_put *p, enum typed_put_kind kind)
{
    struct err err = ERR_INIT;

    p->kind = kind;
    p->ns = typed_default_ns;
    p->who = S("fuzz");
    CHECK(seq_run(core->seq, &p->op, &err) == OK);
}

static void fill(void)
{
    struct typed_decl decls[] = { { S("i"), PROP_INT }, { S("s"), PROP_TEXT } };
    struct typed_type types[3];
    struct typed_node nodes[3][NODES];
    struct typed_event events[NODES];
    struct typed_pair pairs[NODES];
    struct typed_put p;

    for (int k = 0; k < 3; k++) {
        types[k] = (struct typed_type){ .kind = (enum node_kind)(NODE_ARTIFACT + k),
                                        .name = S("T"),
                                        .props = decls,
                                        .props_n = ARRAY_N(decls) };
    }
    typed_put_init(&p, core, kept);
    p.types = types;
    p.types_n = 3;
    put(&p, TYPED_PUT_TYPES);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < NODES; i++) {
            nodes[k][i] = (struct typed_node){ .kind = types[k].kind,
                                               .has_type = true,
                                               .type = types[k].id,
                                               .name = arena_printf(kept, "n%d", i) };
        }
        typed_put_init(&p, core, kept);
        p.artifacts = nodes[k];
        p.artifacts_n = NODES;
        put(&p, TYPED_PUT_NODES);
    }
    for (int i = 0; i < NODES; i++) {
        events[i] = (struct typed_event){ .has_artifact = true,
                                          .has_execution = true,
                                          .artifact = nodes[0][i].id,
                                          .execution = nodes[1][i / 2].id,
                                          .type = 3 + i % 2 };
        pairs[i] = (struct typed_pair){ true, true, nodes[0][i].id, nodes[2][i].id };
    }
    typed_put_init(&p, core, kept);
    p.events = events;
    p.events_n = NODES;
    put(&p, TYPED_PUT_EVENTS);
    typed_put_init(&p, core, kept);
    p.pairs = pairs;
    p.pairs_n = p.pairs_artifacts = NODES;
    put(&p, TYPED_PUT_MEMBERS);
}

static size_t methods_n;

static const struct route *method(size_t at)
{
    const struct {
        const struct route *routes;
        size_t n;
    } tables[] = { { mlmd_type_methods, mlmd_type_methods_n },
                   { mlmd_put_methods, mlmd_put_methods_n },
                   { mlmd_node_methods, mlmd_node_methods_n },
                   { mlmd_edge_methods, mlmd_edge_methods_n } };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_N(tables); i++) {
        n += tables[i].n;
    }
    methods_n = n;
    at %= n;
    for (size_t i = 0;; i++) {
        if (at < tables[i].n) {
            return &tables[i].routes[at];
        }
        at -= tables[i].n;
    }
}

static enum status ask(struct call *c, struct err *err)
{
    const struct endpoint *to = c->req->route->handler;
    struct write_op *op = NULL;
    struct view v;
    enum status st;

    switch (to->kind) {
    case CALL_DIRECT: return to->direct(c, err);
    case CALL_READ: core_view(core, c->arena, &v); return to->read(c, &v, err);
    case CALL_WRITE:
        st = to->start(c, &op, err);
        st = st ? st : seq_run(core->seq, op, err);
        return st || !to->finish ? st : to->finish(c, err);
    case CALL_STREAM: break;
    }
    return ST_INTERNAL;
}

static void check_answer(const struct msg_desc *desc, const void *out, struct arena *a)
{
    struct msg_ctx ctx = { .arena = a };
    struct buf pb = BUF_INIT(TEXT_MAX), pb_again = BUF_INIT(TEXT_MAX);
    void *again = arena_zalloc(a, 1, desc->size);
    struct err err = ERR_INIT;

    CHECK(again);
    msg_encode_pb(&pb, desc, out);
    CHECK(!pb.failed && pb.n == msg_size_pb(desc, out));
    CHECK(msg_decode_pb(desc, again, buf_str(&pb), &ctx, &err) == OK);
    msg_encode_pb(&pb_again, desc, again);
    CHECK(str_eq(buf_str(&pb), buf_str(&pb_again)));
    buf_release(&pb);
    buf_release(&pb_again);
}

/* One call, from its message on. */
static enum status one(const uint8_t *data, size_t n, bool starved)
{
    static const struct principal nobody = { .anonymous = true };
    struct http_req req = { .route = method(data[0]) };
    struct msg_ctx ctx = { 0 };
    struct err err = ERR_INIT;
    struct call c = { 0 };
    enum status st;

    c.req = &req;
    c.arena = ctx.arena = arena_new(ARENA_MAX);
    if (!c.arena && starved) {
        return ST_NOMEM;
    }
    CHECK(c.arena);
    c.core = core;
    c.principal = &nobody;
    c.in = arena_zalloc(c.arena, 1, ((const struct msg_desc *)req.route->in)->size);
    CHECK(c.in || starved);
    st = c.in
             ? msg_decode_pb(req.route->in, c.in, str_of((const char *)data + 1, n - 1), &ctx, &err)
             : err_nomem(&err);
    if (!st) {
        st = ask(&c, &err);
        CHECK(st != ST_INTERNAL && st != ST_CORRUPT && st != ST_IO);
        CHECK(starved || st != ST_UNAVAILABLE);
    }
    if (st) {
        CHECK(err.message[0]);
    } else if (c.out && !starved) {
        check_answer(req.route->out, c.out, c.arena);
    }
    arena_free(c.arena);
    return st;
}

static void starve(const uint8_t *data, size_t n)
{
    const struct endpoint *to = method(data[0])->handler;
    bool reached = true;
    enum status st;

    for (int64_t k = 1; reached; k += k < 60 ? 1 : 5) {
        mem_fail_after(k, true);
        (void)one(data, n, true);
        reached = mem_call_n() >= k;
        mem_fail_never();
    }
#ifdef CAIRN_FAILPOINTS
    failpoint_arm("seq.group.commit_fails=error");
    st = one(data, n, true);
    CHECK(to->kind != CALL_WRITE || st != OK);
    failpoint_arm(NULL);
#endif
}

static void starve_every_method(void)
{
    static const uint8_t number[] = { 1 << 3, 1 }, name[] = { 1 << 3 | 2, 1, 'T' };
    uint8_t input[8];

    (void)method(0);
    for (size_t i = 0; i < methods_n; i++) {
        input[0] = (uint8_t)i;
        memcpy(input + 1, number, sizeof(number));
        starve(input, 1 + sizeof(number));
        memcpy(input + 1, name, sizeof(name));
        starve(input, 1 + sizeof(name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    bool starving = getenv("CAIRN_FUZZ_STARVE") != NULL;

    if (n < 1) {
        return 0;
    }
    if (!core) {
        core = fuzz_store_open(&kept);
        fill();
        if (starving) {
            log_setup(LOG_LEVEL_ERROR, false);
            starve_every_method();
        }
    }
    if (starving) starve(data, n);
    (void)one(data, n, false);
    return 0;
}
