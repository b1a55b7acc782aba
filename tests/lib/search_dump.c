/* tests/lib/search_dump.c - filters and orders as text. */
#include "search_dump.h"
#include "base/num.h"

static const char *const kind_names[] = {
    [SEARCH_ATTR] = "attr", [SEARCH_METRIC] = "metric",   [SEARCH_PARAM] = "param",
    [SEARCH_TAG] = "tag",   [SEARCH_DATASET] = "dataset",
};
static const char *const attr_names[] = {
    [ATTR_RUN_ID] = "run_id",
    [ATTR_RUN_NAME] = "run_name",
    [ATTR_STATUS] = "status",
    [ATTR_USER_ID] = "user_id",
    [ATTR_ARTIFACT_URI] = "artifact_uri",
    [ATTR_NAME] = "name",
    [ATTR_MODEL_ID] = "model_id",
    [ATTR_MODEL_TYPE] = "model_type",
    [ATTR_SOURCE_RUN_ID] = "source_run_id",
    [ATTR_DATASET_NAME] = "name",
    [ATTR_DATASET_DIGEST] = "digest",
    [ATTR_DATASET_CONTEXT] = "context",
    [ATTR_START_TIME] = "start_time",
    [ATTR_END_TIME] = "end_time",
    [ATTR_EXPERIMENT_ID] = "experiment_id",
    [ATTR_CREATION_TIME] = "creation_time",
    [ATTR_LAST_UPDATE_TIME] = "last_update_time",
};
static const char *const cmp_names[] = {
    [CMP_EQ] = "=",         [CMP_NE] = "!=",
    [CMP_LT] = "<",         [CMP_LE] = "<=",
    [CMP_GT] = ">",         [CMP_GE] = ">=",
    [CMP_LIKE] = "like",    [CMP_NOT_LIKE] = "unlike",
    [CMP_ILIKE] = "ilike",  [CMP_NOT_ILIKE] = "unilike",
    [CMP_MATCH] = "=~",     [CMP_NOT_MATCH] = "!~",
    [CMP_IN] = "in",        [CMP_NOT_IN] = "not-in",
    [CMP_IS_NULL] = "null", [CMP_IS_NOT_NULL] = "not-null",
};

void search_dump_text(struct buf *out, struct str s)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < ' ' || c == '"' || c == '\\') {
            buf_printf(out, "\\u%04x", (unsigned)c);
        } else {
            buf_put_u8(out, c);
        }
    }
    buf_put_u8(out, '"');
}

void search_dump_key(struct buf *out, const struct search_key *key)
{
    static const char *const aggs[] = { "", "min:", "max:", "best:" };

    if (key->kind == SEARCH_ATTR || key->kind == SEARCH_DATASET) {
        buf_printf(out, "%s.%s", kind_names[key->kind], attr_names[key->attr]);
        return;
    }
    buf_printf(out, "%s%s.%.*s", aggs[key->agg], kind_names[key->kind], STR_ARG(key->name));
    if (key->dataset_name.n || key->dataset_digest.n) {
        buf_printf(out, "@%.*s#%.*s", STR_ARG(key->dataset_name), STR_ARG(key->dataset_digest));
    }
}

static void dump_number(struct buf *out, const struct search_number *n)
{
    char text[NUM_DOUBLE_MAX];

    if (n->is_int) {
        buf_printf(out, "%lld", (long long)n->i);
    } else {
        buf_put(out, text, num_print_double(n->d, text));
    }
}

static void dump_test(struct buf *out, const struct search_test *t)
{
    bool is_text = t->key->type == SEARCH_TEXT;

    buf_printf(out, "(%s ", cmp_names[t->cmp]);
    search_dump_key(out, t->key);
    for (size_t i = 0; i < t->list_n; i++) {
        buf_put_u8(out, ' ');
        if (is_text) {
            search_dump_text(out, t->texts[i]);
        } else {
            dump_number(out, &t->numbers[i]);
        }
    }
    if (t->cmp < CMP_IN) {
        buf_put_u8(out, ' ');
        if (is_text) {
            search_dump_text(out, t->text);
        } else {
            dump_number(out, &t->number);
        }
    }
    buf_put_u8(out, ')');
}

static void dump_node(struct buf *out, const struct filter_node *n)
{
    static const char *const ops[] = {
        [FILTER_AND] = "(and", [FILTER_OR] = "(or", [FILTER_NOT] = "(not"
    };

    if (n->op == FILTER_TEST) {
        dump_test(out, n->test);
        return;
    }
    buf_put_cstr(out, ops[n->op]);
    for (const struct filter_node *c = n->child; c; c = c->next) {
        buf_put_u8(out, ' ');
        dump_node(out, c);
    }
    buf_put_u8(out, ')');
}

void search_dump_filter(struct buf *out, const struct filter *f)
{
    if (f->root) {
        dump_node(out, f->root);
    } else {
        buf_put_cstr(out, "true");
    }
}

void search_dump_order(struct buf *out, const struct order *o)
{
    buf_put_cstr(out, "(order");
    for (size_t i = 0; i < o->n; i++) {
        buf_put_cstr(out, i ? ", " : " ");
        search_dump_key(out, &o->clauses[i].key);
        buf_put_cstr(out, o->clauses[i].desc ? " desc" : " asc");
    }
    buf_put_u8(out, ')');
}
