/* Messages of ML Metadata: what decodes goes to core's structs without a failure but a refused value or memory; a struct value comes back
 * from the text that it is kept as, and its second text is the same. */
#include "api/mlmd/mlmd_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20 };

static void check_struct(struct arena *a, struct str text)
{
    struct err err = ERR_INIT;
    struct ml_metadata_struct *back;
    struct str again;
    enum status st = mlmd_struct_parse(a, text, &back, &err);

    CHECK(st == OK || st == ST_NOMEM);
    if (!st) {
        st = msg_struct_json(a, &ml_metadata_struct_desc, back, MSG_JSON_NAN_BARE, &again, &err);
        CHECK(st == ST_NOMEM || (st == OK && str_eq(text, again)));
    }
}

static void check_nodes(struct arena *a, enum node_kind kind, const void *in, size_t n)
{
    struct err err = ERR_INIT;
    struct typed_node *nodes;
    void *out;
    enum status st = mlmd_nodes_in(a, kind, in, n, &nodes, &err);

    CHECK(st == OK || st == ST_NOMEM || st == ST_TOO_BIG);
    for (size_t i = 0; !st && i < n; i++) {
        for (size_t k = 0; k < nodes[i].props_n; k++) {
            const struct prop *p = &nodes[i].props[k];

            CHECK(k == 0 || nodes[i].props[k - 1].scope < p->scope ||
                  str_cmp(nodes[i].props[k - 1].key, p->key) < 0);
            if (p->type == PROP_JSON) check_struct(a, p->s);
        }
        nodes[i].type_name = S("T");
    }
    if (!st) {
        st = mlmd_nodes_out(a, kind, nodes, n, &out, &err);
        CHECK(st == OK || st == ST_NOMEM);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct msg_ctx ctx = { .arena = a };
    struct err err = ERR_INIT;
    struct ml_metadata_lineage_graph g;

    CHECK(a);
    if (msg_decode_pb(&ml_metadata_lineage_graph_desc, &g, str_of(data, n), &ctx, &err) == OK) {
        struct typed_type *types = ARENA_ARRAY(a, struct typed_type, g.execution_types_n + 1);
        struct typed_event e;

        check_nodes(a, NODE_ARTIFACT, g.artifacts, g.artifacts_n);
        check_nodes(a, NODE_EXECUTION, g.executions, g.executions_n);
        check_nodes(a, NODE_CONTEXT, g.contexts, g.contexts_n);
        for (size_t i = 0; i < g.events_n; i++) {
            enum status st = mlmd_event_in(a, &g.events[i], &e, &err);

            CHECK(st == OK || st == ST_NOMEM);
        }
        if (types) {
            enum status st = mlmd_types_in(a, NODE_EXECUTION, g.execution_types,
                                           g.execution_types_n, types, &err);

            CHECK(st == OK || st == ST_NOMEM);
        }
    }
    arena_free(a);
    return 0;
}
