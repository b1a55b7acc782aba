/* Rows of a store that is taken over: the first byte says of which table, the rest is the request with them. What does not read them
 * (import/wire.h) takes apart what the reader of messages takes; then they go to a small store that has nodes of its own and some of the same
 * source, and once more: nothing is taken twice, and every row says what became of it. With CAIRN_FUZZ_STARVE in the environment that is done over and
 * over first, the n-th allocation failing. */
#include "api/mlmd/mlmd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/typed/import.h"
#include "gen/mlmd/import.h"
#include "import/wire.h"
#include "store.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, ROW_MAX = 8 << 20, NODES = 3 };

static struct core *core;
static struct arena *kept;

/* ---- a store with something in it ------------------------------------------------------------------------------------------------ */

static void take(enum typed_import_what what, enum node_kind kind, struct typed_import_row *rows,
                 size_t n)
{
    struct typed_import in;
    struct err err = ERR_INIT;

    typed_import_init(&in, core, kept);
    in.who = S("fuzz");
    in.source = S("s");
    in.ns = typed_default_ns;
    in.what = what;
    in.kind = kind;
    in.rows = rows;
    in.rows_n = n;
    CHECK(seq_run(core->seq, &in.op, &err) == OK);
    for (size_t i = 0; i < n; i++) {
        CHECK(rows[i].outcome == TYPED_TAKEN);
    }
}

static void fill(void)
{
    struct typed_decl decls[] = { { S("i"), PROP_INT }, { S("s"), PROP_TEXT } };

    for (int k = NODE_ARTIFACT; k <= NODE_CONTEXT; k++) {
        struct typed_import_row type = { .number = 10,
                                         .type = { .kind = (enum node_kind)k,
                                                   .name = S("T"),
                                                   .props = decls,
                                                   .props_n = ARRAY_N(decls) } };
        struct typed_import_row nodes[NODES];

        take(TYPED_IMPORT_TYPES, (enum node_kind)k, &type, 1);
        for (int i = 0; i < NODES; i++) {
            nodes[i] = (struct typed_import_row){ .number = 1 + i,
                                                  .node = { .kind = (enum node_kind)k,
                                                            .has_type = true,
                                                            .type = 10,
                                                            .name = arena_printf(kept, "n%d", i),
                                                            .create_ms = 1000,
                                                            .update_ms = 1000 } };
        }
        take(TYPED_IMPORT_NODES, (enum node_kind)k, nodes, NODES);
    }
}

/* ---- wire ------------------------------------------------------------------------------------------------------------------------- */

/* Field by field, each shorter than what was left before it. */
static bool walk(struct str message)
{
    struct wire_field f;
    size_t left = message.n;
    bool ok;

    while (wire_next(&message, &f, &ok)) {
        CHECK(message.n < left);
        left = message.n;
        CHECK(!f.bytes.p || f.bytes.n <= left + ROW_MAX);
    }
    return ok;
}

/* Whatever the reader of messages takes can be walked through, and has the same number and name. */
static void compare(struct arena *a, struct str row)
{
    struct msg_ctx ctx = { .arena = a };
    struct ml_metadata_artifact m = { 0 };
    struct err err = ERR_INIT;
    bool whole = walk(row);

    if (msg_decode_pb(&ml_metadata_artifact_desc, &m, row, &ctx, &err) == OK) {
        CHECK(whole);
        CHECK(!(m.has & ML_METADATA_ARTIFACT_HAS_ID) || wire_i64(row, 1) == m.id);
        CHECK(!(m.has & ML_METADATA_ARTIFACT_HAS_NAME) || str_eq(wire_bytes(row, 7), m.name));
    }
}

/* ---- the call --------------------------------------------------------------------------------------------------------------------- */

static enum status ask(struct arena *a, void *in, const struct cairn_mlmd_v1_import_response **out,
                       struct err *err)
{
    static const struct principal nobody = { .anonymous = true };
    struct http_req req = { .route = &mlmd_import_methods[0] };
    const struct endpoint *to = req.route->handler;
    struct call c = { .req = &req, .arena = a, .core = core, .principal = &nobody, .in = in };
    struct write_op *op = NULL;
    enum status st = to->start(&c, &op, err);

    st = st ? st : seq_run(core->seq, op, err);
    st = st ? st : to->finish(&c, err);
    *out = c.out;
    return st;
}

/* Numbers that were there after the first time are not taken by the second. */
static void check(const struct cairn_mlmd_v1_import_response *first,
                  const struct cairn_mlmd_v1_import_response *again)
{
    CHECK(first->results_n == again->results_n);
    for (size_t i = 0; i < first->results_n; i++) {
        int32_t before = first->results[i].outcome, now = again->results[i].outcome;

        CHECK((before == TYPED_SKIPPED) == (first->results[i].reason.n > 0));
        CHECK((now == TYPED_SKIPPED) == (again->results[i].reason.n > 0));
        CHECK(before == TYPED_SKIPPED || before == TYPED_NONE || now != TYPED_TAKEN);
    }
}

static void starve(const struct cairn_mlmd_v1_import_request *in)
{
    const struct cairn_mlmd_v1_import_response *out;
    bool reached = true;

    for (int64_t k = 1; reached; k += k < 60 ? 1 : 5) {
        struct cairn_mlmd_v1_import_request copy = *in;
        struct arena *a = arena_new(ARENA_MAX);
        struct err err = ERR_INIT;
        enum status st;

        CHECK(a);
        mem_fail_after(k, true);
        st = ask(a, &copy, &out, &err);
        reached = mem_call_n() >= k;
        mem_fail_never();
        CHECK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE || in->what == 0);
        arena_free(a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct cairn_mlmd_v1_import_request in = { 0 }, again;
    const struct cairn_mlmd_v1_import_response *out[2];
    struct msg_ctx ctx = { 0 };
    struct err err = ERR_INIT;
    struct arena *a;
    enum status st;

    if (n < 1) {
        return 0;
    }
    if (!core) {
        core = fuzz_store_open(&kept);
        fill();
    }
    a = ctx.arena = arena_new(ARENA_MAX);
    CHECK(a);
    st = msg_decode_pb(&cairn_mlmd_v1_import_request_desc, &in,
                       str_of((const char *)data + 1, n - 1), &ctx, &err);
    for (size_t i = 0; !st && i < in.rows_n; i++) {
        compare(a, in.rows[i]);
    }
    (void)walk(str_of((const char *)data + 1, n - 1));
    if (!st) {
        in.source = S("s");
        in.what = data[0] % 12;
        if (getenv("CAIRN_FUZZ_STARVE")) {
            log_setup(LOG_LEVEL_ERROR, false);
            starve(&in);
        }
        again = in;
        st = ask(a, &in, &out[0], &err);
        CHECK(st == OK || in.what == 0);
        if (!st) {
            CHECK(ask(a, &again, &out[1], &err) == OK);
            check(out[0], out[1]);
        }
    }
    arena_free(a);
    return 0;
}
