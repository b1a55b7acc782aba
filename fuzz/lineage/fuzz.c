/* Questions of lineage as clients send them: query strings, JSON and protobuf of Why, Impact, Trail and Diff, asked of a small store through
 * the code of the API. The first byte says which and how. What is answered can be written in both forms and read again; what
 * is refused says why, as a fault of the client. */
#include "api/call.h"
#include "api/native/native.h"
#include "codec/msg.h"
#include "core/dataset.h"
#include "core/graph/columns.h"
#include "core/graph/same.h"
#include "core/logged_model.h"
#include "gen/native/lineage.h"
#include "store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 8 << 20, RUNS = 8 };

static struct core *core;
static struct arena *kept;
static struct str runs[RUNS];

static void run_op(struct write_op *op)
{
    struct err err = ERR_INIT;

    CHECK(seq_run(core->seq, op, &err) == OK);
}

/* Eight runs on one data set, the last on another that was made of it by column; a model of each; two sets are the same. */
static void fill(void)
{
    struct dataset_input raw = {
        .name = S("raw"),
        .digest = S("d1"),
        .source_type = S("http"),
        .source = S("x"),
        .schema = S("{\"mlflow_colspec\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}")
    };
    struct dataset_input made = raw, other = raw;
    struct column_derived d = { S("dataset:raw"), S("a"), S("dataset:made"), S("c"), S("join") };
    struct columns_change columns;
    struct same_change same;

    made.name = S("made");
    other.name = S("other");
    for (size_t i = 0; i < RUNS; i++) {
        struct dataset_input in[2] = { i + 1 < RUNS ? raw : made, other };
        struct logged_model_create model;
        struct model_output output;
        struct run_create create;
        struct run_links links;

        run_create_init(&create, core, kept);
        run_op(&create.op);
        runs[i] = arena_str(kept, create.run_id);
        logged_model_create_init(&model, core, kept);
        model.name = S("net");
        run_op(&model.op);
        output = (struct model_output){ model.model.model_id, 0 };
        run_links_init(&links, core, kept);
        links.run_id = runs[i];
        links.datasets = in;
        links.datasets_n = i == 1 ? 2 : 1;
        links.model_outputs = &output;
        links.model_outputs_n = 1;
        run_op(&links.op);
    }
    columns_change_init(&columns, core, kept);
    columns.run_id = runs[0];
    columns.derived = &d;
    columns.derived_n = 1;
    run_op(&columns.op);
    same_change_init(&same, core, kept);
    same.a = S("dataset:other");
    same.b = S("dataset:made");
    same.reason = S("they are");
    run_op(&same.op);
}

/* "1" is the first run, and so on: their ids are new in every process. */
static void name_run(struct str *id)
{
    if (id->n == 1 && id->p[0] >= '1' && id->p[0] < '1' + RUNS) {
        *id = runs[id->p[0] - '1'];
    }
}

static void check_answer(const struct msg_desc *desc, const void *out, struct arena *a)
{
    struct msg_ctx ctx = { .arena = a };
    struct buf json = BUF_INIT(TEXT_MAX), again_json = BUF_INIT(TEXT_MAX), pb = BUF_INIT(TEXT_MAX);
    void *again = arena_zalloc(a, 1, desc->size);
    struct err err = ERR_INIT;

    CHECK(again);
    msg_encode_json(&json, desc, out, MSG_JSON_NAN_STRINGS);
    msg_encode_pb(&pb, desc, out);
    CHECK(!json.failed && !pb.failed && pb.n == msg_size_pb(desc, out));
    CHECK(msg_decode_pb(desc, again, buf_str(&pb), &ctx, &err) == OK);
    msg_encode_json(&again_json, desc, again, MSG_JSON_NAN_STRINGS);
    CHECK(str_eq(buf_str(&json), buf_str(&again_json)));
    buf_release(&json);
    buf_release(&again_json);
    buf_release(&pb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct principal nobody = { 0 };
    const struct route *route;
    const struct endpoint *to;
    struct msg_ctx ctx = { 0 };
    struct err err = ERR_INIT;
    struct call c = { 0 };
    struct view v;
    struct str text;
    enum status st;

    if (n < 1) {
        return 0;
    }
    if (!core) {
        core = fuzz_store_open(&kept);
        fill();
    }
    route = &native_lineage_methods[data[0] % native_lineage_methods_n];
    to = route->handler;
    if (!to->read) { /* says something */
        return 0;
    }
    text = str_of((const char *)data + 1, n - 1);
    c.arena = ctx.arena = arena_new(ARENA_MAX);
    CHECK(c.arena);
    c.core = core;
    c.principal = &nobody;
    c.in = arena_zalloc(c.arena, 1, ((const struct msg_desc *)route->in)->size);
    CHECK(c.in);
    st = data[0] / 4 % 3 == 0   ? msg_decode_query(route->in, c.in, text, &ctx, &err)
         : data[0] / 4 % 3 == 1 ? msg_decode_json(route->in, c.in, text, &ctx, &err)
                                : msg_decode_pb(route->in, c.in, text, &ctx, &err);
    if (!st && route->in == &cairn_v1_run_diff_desc) {
        name_run(&((struct cairn_v1_run_diff *)c.in)->a);
        name_run(&((struct cairn_v1_run_diff *)c.in)->b);
    }
    if (!st) {
        core_view(core, c.arena, &v);
        st = to->read(&c, &v, &err);
        CHECK(st == OK || st == ST_NOT_FOUND || st == ST_INVALID);
        CHECK(st || c.out);
    }
    if (st) {
        CHECK(err.message[0]);
    } else {
        check_answer(route->out, c.out, c.arena);
    }
    arena_free(c.arena);
    return 0;
}
