/* core/search/keys.c - the left side of a comparison: which key an identifier names, per entity.
 * One row per attribute; the sets that error texts print are made from the same rows. */
#include "core/search/search_int.h"

enum { FOR_FILTER = 1, FOR_ORDER = 2, FOR_BOTH = 3 };

struct attr_row {
    const char *name;
    enum search_attr attr;
    enum search_type type;
    int use;
};

static const struct attr_row run_attrs[] = {
    { "run_id", ATTR_RUN_ID, SEARCH_TEXT, FOR_BOTH },
    { "run_name", ATTR_RUN_NAME, SEARCH_TEXT, FOR_BOTH },
    { "run name", ATTR_RUN_NAME, SEARCH_TEXT, FOR_FILTER },
    { "Run name", ATTR_RUN_NAME, SEARCH_TEXT, FOR_FILTER },
    { "Run Name", ATTR_RUN_NAME, SEARCH_TEXT, FOR_FILTER },
    { "status", ATTR_STATUS, SEARCH_TEXT, FOR_BOTH },
    { "user_id", ATTR_USER_ID, SEARCH_TEXT, FOR_BOTH },
    { "artifact_uri", ATTR_ARTIFACT_URI, SEARCH_TEXT, FOR_BOTH },
    { "start_time", ATTR_START_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "created", ATTR_START_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "Created", ATTR_START_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "end_time", ATTR_END_TIME, SEARCH_INTEGER, FOR_BOTH },
};

static const struct attr_row experiment_attrs[] = {
    { "name", ATTR_NAME, SEARCH_TEXT, FOR_BOTH },
    { "experiment_id", ATTR_EXPERIMENT_ID, SEARCH_INTEGER, FOR_BOTH },
    { "creation_time", ATTR_CREATION_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "last_update_time", ATTR_LAST_UPDATE_TIME, SEARCH_INTEGER, FOR_BOTH },
};

static const struct attr_row model_attrs[] = {
    { "name", ATTR_NAME, SEARCH_TEXT, FOR_BOTH },
    { "model_id", ATTR_MODEL_ID, SEARCH_TEXT, FOR_BOTH },
    { "model_type", ATTR_MODEL_TYPE, SEARCH_TEXT, FOR_BOTH },
    { "status", ATTR_STATUS, SEARCH_TEXT, FOR_BOTH },
    { "source_run_id", ATTR_SOURCE_RUN_ID, SEARCH_TEXT, FOR_BOTH },
    { "creation_timestamp", ATTR_CREATION_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "creation_time", ATTR_CREATION_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "last_updated_timestamp", ATTR_LAST_UPDATE_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "last_updated_time", ATTR_LAST_UPDATE_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "creation_timestamp_ms", ATTR_CREATION_TIME, SEARCH_INTEGER, FOR_ORDER },
    { "last_updated_timestamp_ms", ATTR_LAST_UPDATE_TIME, SEARCH_INTEGER, FOR_ORDER },
};

static const struct attr_row registered_attrs[] = {
    { "name", ATTR_NAME, SEARCH_TEXT, FOR_BOTH },
    { "creation_timestamp", ATTR_CREATION_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "last_updated_timestamp", ATTR_LAST_UPDATE_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "timestamp", ATTR_LAST_UPDATE_TIME, SEARCH_INTEGER, FOR_ORDER },
};

static const struct attr_row version_attrs[] = {
    { "name", ATTR_NAME, SEARCH_TEXT, FOR_BOTH },
    { "version_number", ATTR_VERSION_NUMBER, SEARCH_INTEGER, FOR_BOTH },
    { "run_id", ATTR_RUN_ID, SEARCH_TEXT, FOR_FILTER },
    { "source_path", ATTR_SOURCE_PATH, SEARCH_TEXT, FOR_FILTER },
    { "creation_timestamp", ATTR_CREATION_TIME, SEARCH_INTEGER, FOR_BOTH },
    { "last_updated_timestamp", ATTR_LAST_UPDATE_TIME, SEARCH_INTEGER, FOR_BOTH },
};

static const struct attr_row dataset_attrs[] = {
    { "name", ATTR_DATASET_NAME, SEARCH_TEXT, FOR_FILTER },
    { "digest", ATTR_DATASET_DIGEST, SEARCH_TEXT, FOR_FILTER },
    { "context", ATTR_DATASET_CONTEXT, SEARCH_TEXT, FOR_FILTER },
};

static const struct attr_table {
    const struct attr_row *rows;
    size_t n;
} attrs_of[] = {
    [SEARCH_RUNS] = { run_attrs, ARRAY_N(run_attrs) },
    [SEARCH_EXPERIMENTS] = { experiment_attrs, ARRAY_N(experiment_attrs) },
    [SEARCH_LOGGED_MODELS] = { model_attrs, ARRAY_N(model_attrs) },
    [SEARCH_REGISTERED_MODELS] = { registered_attrs, ARRAY_N(registered_attrs) },
    [SEARCH_MODEL_VERSIONS] = { version_attrs, ARRAY_N(version_attrs) },
};

static const struct attr_table dataset_table = { dataset_attrs, ARRAY_N(dataset_attrs) };

struct prefix_row {
    const char *name;
    enum search_kind kind;
};

static const struct prefix_row run_prefixes[] = {
    { "metric", SEARCH_METRIC },    { "metrics", SEARCH_METRIC },   { "parameter", SEARCH_PARAM },
    { "parameters", SEARCH_PARAM }, { "param", SEARCH_PARAM },      { "params", SEARCH_PARAM },
    { "tag", SEARCH_TAG },          { "tags", SEARCH_TAG },         { "attribute", SEARCH_ATTR },
    { "attributes", SEARCH_ATTR },  { "attr", SEARCH_ATTR },        { "run", SEARCH_ATTR },
    { "dataset", SEARCH_DATASET },  { "datasets", SEARCH_DATASET },
};

static const struct prefix_row experiment_prefixes[] = {
    { "attribute", SEARCH_ATTR },
    { "tag", SEARCH_TAG },
    { "tags", SEARCH_TAG },
};

static const struct prefix_row model_prefixes[] = {
    { "attributes", SEARCH_ATTR },
    { "metrics", SEARCH_METRIC },
    { "params", SEARCH_PARAM },
    { "tags", SEARCH_TAG },
};

static const struct prefix_table {
    const struct prefix_row *rows;
    size_t n;
    const char *colon, *valid; /* for the error text */
} prefixes_of[] = {
    [SEARCH_RUNS] = { run_prefixes, ARRAY_N(run_prefixes), "",
                      "Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']" },
    [SEARCH_EXPERIMENTS] = { experiment_prefixes, ARRAY_N(experiment_prefixes), "",
                             "Valid entity types are ('attribute', 'tag', 'tags')" },
    [SEARCH_REGISTERED_MODELS] = { experiment_prefixes, ARRAY_N(experiment_prefixes), "",
                                   "Valid entity types are ('attribute', 'tag', 'tags')" },
    [SEARCH_MODEL_VERSIONS] = { experiment_prefixes, ARRAY_N(experiment_prefixes), "",
                                "Valid entity types are ('attribute', 'tag', 'tags')" },
    [SEARCH_LOGGED_MODELS] = { model_prefixes, ARRAY_N(model_prefixes), ":",
                               "Expected one of ['attributes', 'metrics', 'params', 'tags']." },
};

const char *search_kind_name(enum search_kind kind)
{
    static const char *const names[] = {
        [SEARCH_ATTR] = "attribute", [SEARCH_METRIC] = "metric",   [SEARCH_PARAM] = "parameter",
        [SEARCH_TAG] = "tag",        [SEARCH_DATASET] = "dataset",
    };

    return names[kind];
}

bool aggregate_parse(struct str name, enum search_aggregate *out)
{
    static const struct {
        const char *name;
        enum search_aggregate agg;
    } rows[] = {
        { "last", AGG_LAST }, { "min", AGG_MIN }, { "max", AGG_MAX }, { "best", AGG_BEST }
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (str_eq_nocase(name, str_cstr(rows[i].name))) {
            *out = rows[i].agg;
            return true;
        }
    }
    return false;
}

bool search_key_same(const struct search_key *a, const struct search_key *b)
{
    return a->kind == b->kind && a->attr == b->attr && a->agg == b->agg &&
           str_eq(a->name, b->name) && str_eq(a->dataset_name, b->dataset_name) &&
           str_eq(a->dataset_digest, b->dataset_digest);
}

static bool is_wrapped(struct str s, char quote)
{
    return s.n >= 2 && s.p[0] == quote && s.p[s.n - 1] == quote;
}

static struct str unwrap(struct str s, char quote)
{
    return is_wrapped(s, quote) ? str_sub(s, 1, s.n - 2) : s;
}

/* Without the quotes that a key may wear: ' or ", and inside them backticks. */
static struct str key_text(struct str s)
{
    return unwrap(is_wrapped(s, '\'') ? unwrap(s, '\'') : unwrap(s, '"'), '`');
}

static enum status prefix_error(const struct prefix_table *t, struct str prefix, struct err *err)
{
    return err_set(err, ST_INVALID, "Invalid entity type%s '%.*s'. %s", t->colon, STR_ARG(prefix),
                   t->valid);
}

static enum status attr_error(const struct attr_table *t, const char *what, struct str key, int use,
                              struct err *err)
{
    struct text_list valid = { .n = 0 };

    for (size_t i = 0; i < t->n; i++) {
        if (t->rows[i].use & use) {
            text_list_add(&valid, str_cstr(t->rows[i].name), "'");
        }
    }
    return err_set(err, ST_INVALID, "Invalid %s key '%.*s' specified. Valid keys are '{%s}'", what,
                   STR_ARG(key), valid.p);
}

static enum status attr_find(const struct attr_table *t, const char *what, struct str name, int use,
                             struct search_key *key, struct err *err)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct attr_row *row = &t->rows[i];

        if ((row->use & use) && str_eq(name, str_cstr(row->name))) {
            key->attr = row->attr;
            key->type = row->type;
            return OK;
        }
    }
    return attr_error(t, what, name, use, err);
}

/* The kind that stands before the dot. */
static enum status prefix_find(enum search_entity entity, struct str prefix, enum search_kind *out,
                               struct err *err)
{
    const struct prefix_table *t = &prefixes_of[entity];

    prefix = unwrap(prefix, '`');
    for (size_t i = 0; i < t->n; i++) {
        if (str_eq(prefix, str_cstr(t->rows[i].name))) {
            *out = t->rows[i].kind;
            return OK;
        }
    }
    return prefix_error(t, prefix, err);
}

enum status key_parse(enum search_entity entity, struct str identifier, bool for_order,
                      struct search_key *key, struct arena *a, struct err *err)
{
    size_t dot = str_find_byte(identifier, '.', 0);
    struct str name = identifier;
    enum status st;

    *key = (struct search_key){ .kind = SEARCH_ATTR, .type = SEARCH_TEXT };
    if (dot != SIZE_MAX) {
        st = prefix_find(entity, str_sub(identifier, 0, dot), &key->kind, err);
        if (st) return st;
        name = str_sub(identifier, dot + 1, identifier.n);
    }
    name = key_text(name);
    if (key->kind == SEARCH_ATTR) {
        return attr_find(&attrs_of[entity], "attribute", name, for_order ? FOR_ORDER : FOR_FILTER,
                         key, err);
    }
    if (key->kind == SEARCH_DATASET) {
        return attr_find(&dataset_table, "dataset", name, FOR_FILTER, key, err);
    }
    key->type = key->kind == SEARCH_METRIC ? SEARCH_DOUBLE : SEARCH_TEXT;
    key->name = arena_str(a, name);
    return key->name.p ? OK : err_nomem(err);
}

enum status key_parse_metric(enum search_entity entity, struct str identifier,
                             enum search_aggregate agg, struct search_key *key, struct arena *a,
                             struct err *err)
{
    size_t dot = str_find_byte(identifier, '.', 0);
    struct err ignored;
    enum search_kind kind = SEARCH_METRIC;

    if (entity != SEARCH_RUNS && entity != SEARCH_LOGGED_MODELS) {
        return err_set(err, ST_INVALID, "%s have no metrics: '%.*s' cannot be searched",
                       entity == SEARCH_EXPERIMENTS         ? "experiments"
                       : entity == SEARCH_REGISTERED_MODELS ? "registered models"
                                                            : "model versions",
                       STR_ARG(identifier));
    }
    *key = (struct search_key){ .kind = SEARCH_METRIC, .type = SEARCH_DOUBLE, .agg = agg };
    if (dot != SIZE_MAX &&
        prefix_find(entity, str_sub(identifier, 0, dot), &kind, &ignored) == OK) {
        identifier = str_sub(identifier, dot + 1, identifier.n);
    }
    if (kind != SEARCH_METRIC) {
        return err_set(err, ST_INVALID, "last(), min(), max() and best() need a metric, not a %s",
                       search_kind_name(kind));
    }
    key->name = arena_str(a, key_text(identifier));
    return key->name.p ? OK : err_nomem(err);
}
