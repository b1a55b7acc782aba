/* core/search/order.c - order clauses -> a total order. The texts of errors are MLflow's, whose
 * parser reads a clause as a name with an alias: that is what `key direction` looks like to it. */
#include "base/utf8.h"
#include "core/search/search_int.h"

static const struct order_clause run_ties[] = {
    { { .kind = SEARCH_ATTR, .type = SEARCH_INTEGER, .attr = ATTR_START_TIME }, true },
    { { .kind = SEARCH_ATTR, .type = SEARCH_TEXT, .attr = ATTR_RUN_ID }, false },
};
static const struct order_clause experiment_defaults[] = {
    { { .kind = SEARCH_ATTR, .type = SEARCH_INTEGER, .attr = ATTR_CREATION_TIME }, true },
    { { .kind = SEARCH_ATTR, .type = SEARCH_INTEGER, .attr = ATTR_EXPERIMENT_ID }, false },
};
static const struct order_clause experiment_ties[] = {
    { { .kind = SEARCH_ATTR, .type = SEARCH_INTEGER, .attr = ATTR_EXPERIMENT_ID }, true },
};
static const struct order_clause registered_ties[] = {
    { { .kind = SEARCH_ATTR, .type = SEARCH_TEXT, .attr = ATTR_NAME }, false },
};
static const struct order_clause version_defaults[] = {
    { { .kind = SEARCH_ATTR, .type = SEARCH_INTEGER, .attr = ATTR_LAST_UPDATE_TIME }, true },
    { { .kind = SEARCH_ATTR, .type = SEARCH_TEXT, .attr = ATTR_NAME }, false },
    { { .kind = SEARCH_ATTR, .type = SEARCH_INTEGER, .attr = ATTR_VERSION_NUMBER }, true },
};
static const struct order_clause model_ties[] = {
    { { .kind = SEARCH_ATTR, .type = SEARCH_INTEGER, .attr = ATTR_CREATION_TIME }, true },
    { { .kind = SEARCH_ATTR, .type = SEARCH_TEXT, .attr = ATTR_MODEL_ID }, false },
};

static bool has_key(const struct order *o, const struct search_key *key)
{
    for (size_t i = 0; i < o->n; i++) {
        if (search_key_same(&o->clauses[i].key, key)) {
            return true;
        }
    }
    return false;
}

static void add_clause(struct order *o, const struct order_clause *c)
{
    o->clauses[o->n] = *c;
    o->clauses[o->n].key.index = (unsigned)o->n;
    o->n++;
}

/* The clauses that make the order total, less those that are there already. */
static void add_ties(struct order *o)
{
    const struct order_clause *ties = run_ties;
    size_t n = ARRAY_N(run_ties);

    if (o->entity == SEARCH_LOGGED_MODELS) {
        ties = model_ties;
        n = ARRAY_N(model_ties);
    } else if (o->entity == SEARCH_EXPERIMENTS) {
        ties = o->n ? experiment_ties : experiment_defaults;
        n = o->n ? ARRAY_N(experiment_ties) : ARRAY_N(experiment_defaults);
    }
    if (o->entity == SEARCH_REGISTERED_MODELS) {
        ties = registered_ties;
        n = ARRAY_N(registered_ties);
    } else if (o->entity == SEARCH_MODEL_VERSIONS) { /* the last two make it total */
        ties = o->n ? version_defaults + 1 : version_defaults;
        n = ARRAY_N(version_defaults) - (o->n ? 1 : 0);
    }
    for (size_t i = 0; i < n; i++) {
        if (!has_key(o, &ties[i].key)) {
            add_clause(o, &ties[i]);
        }
    }
}

static enum status order_new(struct order **out, enum search_entity entity, size_t n,
                             struct arena *a, struct err *err)
{
    struct order *o = ARENA_NEW(a, struct order);

    *out = NULL;
    if (n > ORDER_MAX) {
        return err_set(err, ST_INVALID, "`order_by` has %zu clauses, at most %d are allowed", n,
                       ORDER_MAX);
    }
    if (!o) return err_nomem(err);
    o->entity = entity;
    o->clauses = ARENA_ARRAY(a, struct order_clause, n + 3);
    if (!o->clauses) return err_nomem(err);
    *out = o;
    return OK;
}

static enum status not_parsed(struct str text, struct err *err)
{
    return err_set(err, ST_INVALID, "Invalid order_by clause '%.*s'. Could not be parsed.",
                   STR_ARG(text));
}

/* Reads a name, or a function of one, and says what follows it. */
static enum status read_name(struct str text, struct str *name, bool *is_function,
                             enum search_aggregate *agg, struct token *after, struct err *err)
{
    struct token t = lex_next(text, 0), open, inner, close;

    if (t.type != TOKEN_WORD) {
        return not_parsed(text, err);
    }
    *name = t.text;
    *after = lex_next(text, t.end);
    *is_function = after->type == TOKEN_OPEN && aggregate_parse(t.text, agg);
    if (*is_function) {
        open = *after;
        inner = lex_next(text, open.end);
        close = lex_next(text, inner.end);
        if (inner.type != TOKEN_WORD || close.type != TOKEN_CLOSE) {
            return not_parsed(text, err);
        }
        *name = inner.text;
        *after = lex_next(text, close.end);
    }
    return OK;
}

static enum status clause_parse(enum search_entity entity, struct str text,
                                struct order_clause *out, struct arena *a, struct err *err)
{
    enum search_aggregate agg = AGG_LAST;
    struct token direction;
    bool is_function;
    struct str name;
    enum status st;

    if (text.n > FILTER_TEXT_MAX || !utf8_valid(text)) {
        return err_set(err, ST_INVALID,
                       "an order_by clause is longer than %d bytes or not valid UTF-8",
                       FILTER_TEXT_MAX);
    }
    st = read_name(text, &name, &is_function, &agg, &direction, err);
    if (st) return st;
    if (direction.type != TOKEN_END) {
        if (direction.type != TOKEN_WORD || lex_next(text, direction.end).type != TOKEN_END) {
            return not_parsed(text, err);
        }
        out->desc = token_is_word(&direction, "DESC");
        if (!out->desc && !token_is_word(&direction, "ASC")) {
            return err_set(err, ST_INVALID, "Invalid ordering key in order_by clause '%.*s'.",
                           STR_ARG(text));
        }
    }
    st = is_function ? key_parse_metric(entity, name, agg, &out->key, a, err)
                     : key_parse(entity, name, true, &out->key, a, err);
    if (st) return st;
    if (out->key.kind == SEARCH_DATASET) {
        return err_set(err, ST_INVALID, "Invalid identifier type 'dataset'");
    }
    if (entity != SEARCH_RUNS && out->key.kind != SEARCH_ATTR) {
        return err_set(err, ST_INVALID, "Invalid order_by entity: %s",
                       search_kind_name(out->key.kind));
    }
    return OK;
}

static enum status duplicate_error(const struct str *clauses, size_t n, struct err *err)
{
    struct text_list list = { .n = 0 };

    for (size_t i = 0; i < n; i++) {
        char repr[256];

        text_repr(clauses[i], repr, sizeof(repr));
        text_list_add(&list, str_cstr(repr), "");
    }
    return err_set(err, ST_INVALID, "`order_by` contains duplicate fields: [%s]", list.p);
}

enum status order_parse(struct order **out, enum search_entity entity, const struct str *clauses,
                        size_t n, struct arena *a, struct err *err)
{
    struct order *o;
    enum status st = order_new(&o, entity, n, a, err);

    *out = NULL;
    if (st) return st;
    for (size_t i = 0; i < n; i++) {
        struct order_clause c = { .desc = false };

        st = clause_parse(entity, clauses[i], &c, a, err);
        if (st) return st;
        if (has_key(o, &c.key)) {
            return duplicate_error(clauses, n, err);
        }
        add_clause(o, &c);
    }
    add_ties(o);
    *out = o;
    return OK;
}

/* ---- logged models --------------------------------------------------------------------------- */

static enum status field_parse(const struct order_field *f, struct order_clause *out,
                               struct arena *a, struct err *err)
{
    size_t dot = str_find_byte(f->field, '.', 0);
    struct err ignored;

    out->desc = !f->ascending;
    if (dot == SIZE_MAX) {
        if (key_parse(SEARCH_LOGGED_MODELS, f->field, true, &out->key, a, &ignored)) {
            return err_set(err, ST_INVALID, "Invalid order by field name: %.*s", STR_ARG(f->field));
        }
        return OK;
    }
    if (!str_eq_lit(str_sub(f->field, 0, dot), "metrics")) {
        return err_set(err, ST_INVALID,
                       "Invalid order by field name: %.*s. Only metrics are supported.",
                       STR_ARG(f->field));
    }
    out->key = (struct search_key){ .kind = SEARCH_METRIC, .type = SEARCH_DOUBLE };
    out->key.name = arena_str(a, str_sub(f->field, dot + 1, f->field.n));
    if (!out->key.name.p) return err_nomem(err);
    if (f->dataset_name.n) {
        out->key.dataset_name = arena_str(a, f->dataset_name);
        if (!out->key.dataset_name.p) return err_nomem(err);
    }
    if (f->dataset_digest.n) {
        out->key.dataset_digest = arena_str(a, f->dataset_digest);
        if (!out->key.dataset_digest.p) return err_nomem(err);
    }
    return OK;
}

enum status order_parse_models(struct order **out, const struct order_field *fields, size_t n,
                               struct arena *a, struct err *err)
{
    struct order *o;
    enum status st = order_new(&o, SEARCH_LOGGED_MODELS, n, a, err);

    *out = NULL;
    if (st) return st;
    for (size_t i = 0; i < n; i++) {
        struct order_clause c = { .desc = false };

        st = field_parse(&fields[i], &c, a, err);
        if (st) return st;
        if (!has_key(o, &c.key)) {
            add_clause(o, &c);
        }
    }
    add_ties(o);
    *out = o;
    return OK;
}
