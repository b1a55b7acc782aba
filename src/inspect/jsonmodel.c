/* inspect/jsonmodel.c - models in JSON and UBJSON: XGBoost, Keras configurations, indexes of sharded safetensors. Both notations give the
 * same events: a value with its path; what a value means is decided here, once. */
#include "base/num.h"
#include "inspect/jsonin_int.h"
#include <inttypes.h>

enum { PATH_MAX_BYTES = 1024, UBJ_DEPTH_MAX = 200, SHARDS_MAX = 4096 };

/* ---- what values mean ------------------------------------------------------------------------------------------------------------ */

struct model {
    struct insp *x;
    char path[PATH_MAX_BYTES]; /* "learner/objective/name"; items of lists add nothing */
    size_t path_n;
    unsigned depth;
    bool keras; /* said to be a configuration of Keras */
    bool learner, weight_map, layers, version;
    uint64_t trees, nodes, shards, version_n;
    struct str last_shard;
};

static struct str path_of(const struct model *m)
{
    return str_of(m->path, m->path_n);
}

static void enter(struct model *m, struct str key, size_t *back)
{
    *back = m->path_n;
    if (key.n + 1 < PATH_MAX_BYTES - m->path_n) {
        if (m->path_n) {
            m->path[m->path_n++] = '/';
        }
        memcpy(m->path + m->path_n, key.p, key.n);
        m->path_n += key.n;
    }
}

static void top_key(struct model *m, struct str key)
{
    m->learner = m->learner || str_eq_lit(key, "learner");
    m->version = m->version || str_eq_lit(key, "version");
    m->weight_map = m->weight_map || str_eq_lit(key, "weight_map");
    m->layers = m->layers || str_eq_lit(key, "class_name");
}

/* A text of a configuration of Keras. */
static void keras_value(struct model *m, struct str key, struct str value)
{
    struct str shown = str_sub(value, 0, 200);

    if (str_eq_lit(key, "class_name")) {
        m->layers = true;
        if (str_eq_lit(value, "Lambda") || str_eq_lit(value, "__lambda__") ||
            str_eq_lit(value, "TFOpLambda")) {
            insp_finding(m->x, INSPECT_DANGER, "keras_lambda",
                         "has a %.*s: Python code that is run when the model is loaded",
                         STR_ARG(shown));
        }
    } else if (str_eq_lit(key, "module") && value.n && !str_eq_lit(value, "keras") &&
               !str_starts(value, S("keras.")) && !str_eq_lit(value, "builtins")) {
        insp_finding(m->x, INSPECT_DANGER, "keras_module", "has its loader import %.*s",
                     STR_ARG(shown));
    } else if (str_eq_lit(key, "registered_name") && value.n &&
               str_find_byte(value, '>', 0) != SIZE_MAX && !str_starts(value, S("keras"))) {
        insp_finding(m->x, INSPECT_INFO, "keras_custom", "needs the class %.*s", STR_ARG(shown));
    }
}

static void shard(struct model *m, struct str value)
{
    if (m->last_shard.p && str_eq(m->last_shard, value)) {
        return;
    }
    m->last_shard = insp_text(m->x, value, 256);
    if (++m->shards <= SHARDS_MAX && path_escapes(value)) {
        insp_finding(m->x, INSPECT_DANGER, "external_path", "the index points to %.*s",
                     STR_ARG(str_sub(m->last_shard, 0, 200)));
    }
}

static void xgboost_value(struct model *m, struct str value)
{
    static const struct str kept[] = {
        S_INIT("learner/objective/name"),
        S_INIT("learner/gradient_booster/name"),
        S_INIT("learner/learner_model_param/num_class"),
        S_INIT("learner/learner_model_param/num_feature"),
        S_INIT("learner/learner_model_param/num_target"),
        S_INIT("learner/learner_model_param/base_score"),
        S_INIT("learner/gradient_booster/model/gbtree_model_param/num_trees"),
    };
    struct str path = path_of(m);
    uint64_t n;

    for (size_t i = 0; i < ARRAY_N(kept); i++) {
        if (str_eq(path, kept[i])) {
            insp_pair_str(m->x, str_sub(path, 8, path.n), value);
            return;
        }
    }
    if (str_starts(path, S("learner/attributes/"))) {
        insp_pair_str(m->x, str_sub(path, 8, path.n), value);
    } else if (str_ends(path, S("/trees/tree_param/num_nodes")) && num_parse_u64(value, &n)) {
        m->trees++;
        m->nodes += n;
    }
}

/* A text or number. */
static void scalar(struct model *m, struct str key, struct str value, bool is_text)
{
    struct str path = path_of(m);

    if (is_text) {
        keras_value(m, key, value);
    }
    if (str_starts(path, S("learner/"))) {
        xgboost_value(m, value);
    } else if (str_eq_lit(path, "version") && m->version_n < 3) {
        m->x->r->producer = arena_printf(m->x->arena, "%.*s%s%.*s", STR_ARG(m->x->r->producer),
                                         m->version_n++ ? "." : "", STR_ARG(str_sub(value, 0, 32)));
    } else if (is_text && str_starts(path, S("weight_map/"))) {
        shard(m, value);
    } else if (str_starts(path, S("metadata/")) || str_eq_lit(path, "keras_version")) {
        insp_pair_str(m->x, path, value);
    }
}

static void finish(struct model *m, const char *notation)
{
    struct inspect_report *r = m->x->r;

    if (m->learner && m->version) {
        r->producer = arena_printf(m->x->arena, "XGBoost %.*s", STR_ARG(r->producer));
        insp_format(m->x, notation[0] == 'u' ? "xgboost ubj" : "xgboost json");
        insp_pair_u64(m->x, "trees", m->trees);
        insp_pair_u64(m->x, "nodes", m->nodes);
    } else if (m->weight_map) {
        insp_format(m->x, "safetensors index");
        insp_pair_u64(m->x, "shards", m->shards);
    } else if (m->keras || m->layers) {
        insp_format(m->x, "keras config");
    } else {
        insp_format(m->x, notation);
    }
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------------------- */

struct level {
    uint16_t back;
    bool is_object;
};

static enum status json_walk(struct model *m, struct jsonin *j, struct arena *scratch,
                             struct err *err)
{
    struct level levels[JSONIN_DEPTH + 1];
    unsigned depth = 0;
    struct str key = S("");
    size_t back = 0;
    bool keyed = false;
    enum json_event ev = JSON_EV_NULL;
    enum status st = OK;

    while (!st) {
        st = jsonin_next(j, &ev, err);
        if (st || ev == JSON_EV_END) {
            return st;
        }
        switch ((int)ev) {
        case JSON_EV_KEY:
            arena_reset(scratch);
            key = json_text(&j->r, scratch);
            if (!key.p) {
                return err_nomem(err);
            }
            if (depth == 1) top_key(m, key);
            enter(m, key, &back);
            keyed = true;
            continue;
        case JSON_EV_OBJECT:
        case JSON_EV_ARRAY:
            levels[depth++] =
                (struct level){ (uint16_t)(keyed ? back : m->path_n), ev == JSON_EV_OBJECT };
            keyed = false;
            continue;
        case JSON_EV_OBJECT_END:
        case JSON_EV_ARRAY_END: m->path_n = levels[--depth].back; continue;
        case JSON_EV_STRING: scalar(m, key, json_text(&j->r, scratch), true); break;
        case JSON_EV_NUMBER: scalar(m, key, j->r.raw, false); break;
        default: break;
        }
        if (keyed) {
            m->path_n = back;
            keyed = false;
        }
    }
    return st;
}

static enum status json_model(struct model *m, struct flow *f, struct err *err)
{
    struct jsonin j;
    struct arena *scratch = arena_new(8 << 20);
    enum status st = scratch ? jsonin_begin(&j, m->x, f, 0, err) : err_nomem(err);

    if (!st) {
        st = json_walk(m, &j, scratch, err);
        jsonin_release(&j);
    }
    arena_free(scratch);
    return st;
}

enum status json_read(struct insp *x, struct flow *f, struct err *err)
{
    struct model m = { .x = x, .last_shard = { NULL, 0 } };
    enum status st = json_model(&m, f, err);

    if (st == ST_CORRUPT && !m.learner && !m.weight_map && !m.layers) {
        err_clear(err); /* text that begins with a brace */
        return OK;
    }
    finish(&m, "json");
    return st;
}

enum status keras_config_read(struct insp *x, struct flow *f, struct err *err)
{
    struct model m = { .x = x, .keras = true, .last_shard = { NULL, 0 } };

    return json_model(&m, f, err);
}

/* ---- UBJSON ------------------------------------------------------------------------------------------------------------------------ */

struct ubj {
    struct model *m;
    struct flow *f;
    char text[INSPECT_TEXT_MAX];
};

static enum status value(struct ubj *u, uint8_t type, struct str key, unsigned depth,
                         struct err *err);

static unsigned ubj_bytes(uint8_t type)
{
    switch (type) {
    case 'i':
    case 'U':
    case 'C': return 1;
    case 'I': return 2;
    case 'l':
    case 'd': return 4;
    case 'L':
    case 'D': return 8;
    default: return 0;
    }
}

/* An integer, big-endian. */
static enum status integer(struct ubj *u, uint8_t type, int64_t *out, struct err *err)
{
    unsigned char b[8];
    unsigned n = ubj_bytes(type);
    uint64_t v = 0;
    enum status st;

    *out = 0;
    if (!n || type == 'd' || type == 'D' || type == 'C') {
        return err_set(err, ST_CORRUPT, "a length that is no integer at byte %" PRIu64, u->f->pos);
    }
    st = flow_read(u->f, b, n, err);
    for (unsigned i = 0; i < n && !st; i++) {
        v = v << 8 | b[i];
    }
    switch (type) {
    case 'i': *out = (int8_t)v; break;
    case 'I': *out = (int16_t)v; break;
    case 'l': *out = (int32_t)v; break;
    default: *out = (int64_t)v; break;
    }
    return st;
}

static enum status count(struct ubj *u, int64_t *out, struct err *err)
{
    uint8_t type;
    enum status st = flow_read(u->f, &type, 1, err);

    st = st ? st : integer(u, type, out, err);
    return !st && *out < 0 ? err_set(err, ST_CORRUPT, "a negative length") : st;
}

static enum status ubj_text(struct ubj *u, struct str *out, struct err *err)
{
    int64_t n;
    size_t keep;
    enum status st = count(u, &n, err);

    *out = S("");
    if (st) return st;
    keep = (size_t)MIN_OF(n, (int64_t)INSPECT_TEXT_MAX);
    st = flow_read(u->f, u->text, keep, err);
    *out = str_of(u->text, keep);
    return st ? st : flow_skip(u->f, (uint64_t)n - keep, err);
}

static enum status number(struct ubj *u, uint8_t type, struct str key, struct err *err)
{
    char text[NUM_I64_MAX];
    int64_t v;
    enum status st;

    if (type == 'd' || type == 'D' || type == 'C') {
        return flow_skip(u->f, ubj_bytes(type), err);
    }
    st = integer(u, type, &v, err);
    if (!st) {
        scalar(u->m, key, str_of(text, num_print_i64(v, text)), false);
    }
    return st;
}

/* '$' type and '#' count of a container; *n < 0: none, it ends with its bracket. */
static enum status container(struct ubj *u, uint8_t *type, int64_t *n, uint8_t *next,
                             struct err *err)
{
    enum status st = flow_read(u->f, next, 1, err);

    *type = 0;
    *n = -1;
    if (!st && *next == '$') {
        st = flow_read(u->f, type, 1, err);
        st = st ? st : flow_read(u->f, next, 1, err);
        if (!st && *next != '#') {
            return err_set(err, ST_CORRUPT, "a type without a count at byte %" PRIu64, u->f->pos);
        }
    }
    if (!st && *next == '#') {
        st = count(u, n, err);
    }
    return st;
}

static enum status array(struct ubj *u, struct str key, unsigned depth, struct err *err)
{
    uint8_t type, next;
    int64_t n;
    uint64_t bytes;
    enum status st = container(u, &type, &n, &next, err);

    if (!st && type && n >= 0 && ubj_bytes(type)) {
        if (__builtin_mul_overflow((uint64_t)n, ubj_bytes(type), &bytes)) {
            return err_set(err, ST_CORRUPT, "a list of %" PRId64 " items", n);
        }
        return flow_skip(u->f, bytes, err);
    }
    for (int64_t i = 0; !st && i != n; i++) {
        st = insp_item(u->m->x, err);
        if (!st && !type && (n >= 0 || i > 0)) {
            st = flow_read(u->f, &next, 1, err);
        }
        if (st || (n < 0 && next == ']')) {
            return st;
        }
        st = value(u, type ? type : next, key, depth + 1, err);
    }
    return st;
}

static enum status object(struct ubj *u, unsigned depth, struct err *err)
{
    uint8_t type, next;
    int64_t n, length;
    enum status st = container(u, &type, &n, &next, err);

    for (int64_t i = 0; !st && i != n; i++) {
        char kept[256];
        struct str key;
        size_t back;

        st = insp_item(u->m->x, err);
        if (!st && (n >= 0 || i > 0)) {
            st = flow_read(u->f, &next, 1, err);
        }
        if (st || (n < 0 && next == '}')) {
            return st;
        }
        st = integer(u, next, &length, err);
        if (!st && (length < 0 || length > (int64_t)sizeof(kept))) {
            return err_set(err, ST_CORRUPT, "a name of %" PRId64 " bytes", length);
        }
        st = st ? st : flow_read(u->f, kept, (size_t)length, err);
        if (st) return st;
        key = str_of(kept, (size_t)length);
        if (depth == 0) top_key(u->m, key);
        enter(u->m, key, &back);
        next = type;
        if (!type) {
            st = flow_read(u->f, &next, 1, err);
        }
        st = st ? st : value(u, next, key, depth + 1, err);
        u->m->path_n = back;
    }
    return st;
}

static enum status value(struct ubj *u, uint8_t type, struct str key, unsigned depth,
                         struct err *err)
{
    struct str text;
    enum status st;

    if (depth > UBJ_DEPTH_MAX) {
        return err_set(err, ST_TOO_BIG, "containers within each other, more than %d",
                       UBJ_DEPTH_MAX);
    }
    switch (type) {
    case 'Z':
    case 'N':
    case 'T':
    case 'F': return OK;
    case 'S':
    case 'H':
        st = ubj_text(u, &text, err);
        if (!st) {
            scalar(u->m, key, text, true);
        }
        return st;
    case '[': return array(u, key, depth, err);
    case '{': return object(u, depth, err);
    default: break;
    }
    if (ubj_bytes(type)) {
        return number(u, type, key, err);
    }
    return err_set(err, ST_CORRUPT, "byte 0x%02x at %" PRIu64 " is no type", type, u->f->pos);
}

enum status ubj_read(struct insp *x, struct flow *f, struct err *err)
{
    struct model m = { .x = x, .last_shard = { NULL, 0 } };
    struct ubj u = { .m = &m, .f = f };
    uint8_t first;
    enum status st = flow_read(f, &first, 1, err);

    st = st ? st : value(&u, first, S(""), 0, err);
    finish(&m, "ubjson");
    return st;
}
