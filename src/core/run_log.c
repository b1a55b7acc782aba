/* core/run_log.c - logging points, params and tags of one run, and deleting a tag.
 * The hot path: for a request of known keys there is no SQL, and memory is taken from the request's arena, the tail and new
 * cells of the head only. */
#include "core/logged_model.h"
#include "core/run_int.h"

/* A list that only grows has a cap like everything else. */
enum { RUN_LIST_TAG_MAX = 1 << 20 };

struct pending_value {
    struct str value; /* p NULL: deleted */
};

struct log_write {
    struct heads *heads;
    struct head *h;
    const struct run_points *points;
    struct points_write w;
    struct metric_cell **cells; /* of the request's keys */
    size_t metrics_reserved, params_reserved, tags_reserved;
    struct mkey **param_keys, **tag_keys;
    struct str *param_values, *tag_values; /* owned copies */
    size_t params_n, tags_n;
    struct str name; /* owned copy; p NULL = the run keeps its name */
    struct stamp tags_at, name_at;
    int64_t drain;
};

/* ---- after the commit, or instead of it -------------------------------------------------------------------------------------- */

static void log_apply(void *ctx)
{
    struct log_write *l = (struct log_write *)ctx;
    struct head *h = l->h;

    heads_lock_write(l->heads);
    head_unreserve(&h->metrics, l->metrics_reserved);
    head_unreserve(&h->params, l->params_reserved);
    head_unreserve(&h->tags, l->tags_reserved);
    for (size_t i = 0; i < l->w.keys_n;
         i++) { /* first all cells, which may move, then their addresses */
        (void)head_metric_cell(h, l->w.keys[i]);
    }
    for (size_t i = 0; i < l->w.keys_n; i++) {
        l->cells[i] = head_metric_cell(h, l->w.keys[i]);
    }
    for (size_t i = 0; i < l->w.n; i++) {
        metric_cell_add(l->cells[l->points->points[i].key], &l->w.points[i].p);
    }
    for (size_t i = 0; i < l->params_n; i++) {
        head_set_param(l->heads, h, l->param_keys[i], l->param_values[i]);
    }
    for (size_t i = 0; i < l->tags_n; i++) {
        head_set_tag(l->heads, h, l->tag_keys[i], l->tag_values[i], l->tag_values[i].p == NULL,
                     &l->tags_at);
    }
    if (l->name.p) {
        head_set_name(l->heads, h, l->name, &l->name_at);
    }
    heads_unlock(l->heads);
    points_append(&l->w);
    if (l->w.n > 0) heads_dirty(l->heads, h, false, l->drain);
    if (l->params_n > 0 || l->tags_n > 0) heads_dirty(l->heads, h, true, l->drain);
}

static void log_undo(void *ctx)
{
    struct log_write *l = (struct log_write *)ctx;

    head_unreserve(&l->h->metrics, l->metrics_reserved);
    head_unreserve(&l->h->params, l->params_reserved);
    head_unreserve(&l->h->tags, l->tags_reserved);
    for (size_t i = 0; i < l->params_n; i++) {
        head_value_free(l->param_values[i]);
    }
    for (size_t i = 0; i < l->tags_n; i++) {
        head_value_free(l->tag_values[i]);
    }
    head_value_free(l->name);
    points_undo(&l->w);
}

/* ---- params --------------------------------------------------------------------------------------------------------------------- */

/* As Python's repr() of a str. */
static void put_repr(struct buf *b, struct str s)
{
    bool dq = str_find_byte(s, '\'', 0) != SIZE_MAX && str_find_byte(s, '"', 0) == SIZE_MAX;
    char quote = dq ? '"' : '\'';

    buf_put_u8(b, (unsigned char)quote);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '\\' || (char)c == quote) {
            buf_put_u8(b, '\\');
            buf_put_u8(b, c);
        } else if (c == '\n') {
            buf_put_lit(b, "\\n");
        } else if (c == '\r') {
            buf_put_lit(b, "\\r");
        } else if (c == '\t') {
            buf_put_lit(b, "\\t");
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(b, "\\x%02x", c);
        } else {
            buf_put_u8(b, c);
        }
    }
    buf_put_u8(b, (unsigned char)quote);
}

static const struct str *param_now(struct group *g, const struct head *h, const struct mkey *key)
{
    const struct pending_value *p =
        (const struct pending_value *)group_pending(g, PENDING_PARAM, h->uid, key->id);
    const struct head_param *committed = head_param(h, key->id);

    if (p) {
        return &p->value;
    }
    return committed ? &committed->value : NULL;
}

static enum status param_changed(const struct run_log *l, struct str key, struct str old,
                                 struct str value, struct buf *bad, struct err *err)
{
    if (!l->batch) {
        return err_set(
            err, ST_INVALID,
            "Changing param values is not allowed. Param with key='%.*s' was already logged with value='%.*s' for "
            "run ID='%.*s'. Attempted logging new value '%.*s'.",
            STR_ARG(key), STR_ARG(old), STR_ARG(l->run_id), STR_ARG(value));
    }
    buf_put_cstr(bad, bad->n > 0 ? ", {'key': " : "{'key': ");
    put_repr(bad, key);
    buf_put_lit(bad, ", 'old_value': ");
    put_repr(bad, old);
    buf_put_lit(bad, ", 'new_value': ");
    put_repr(bad, value);
    buf_put_lit(bad, "}");
    return OK;
}

enum status run_pending_set(struct group *g, enum pending_kind kind, const struct head *h,
                            const struct mkey *key, struct str value, struct err *err)
{
    struct pending_value *p = ARENA_NEW(group_arena(g), struct pending_value);

    if (!p) {
        return err_nomem(err);
    }
    p->value = value;
    if (!p->value.p && kind == PENDING_PARAM) p->value = S("");
    return group_pending_put(g, kind, h->uid, key->id, p, err);
}

/* Looks the keys up and keeps those that are new. */
static enum status params_prepare(struct group *g, struct log_write *w, const struct run_log *l,
                                  struct err *err)
{
    struct buf bad = BUF_INIT(ERR_MESSAGE_MAX);
    size_t n = 0;
    enum status st = OK;

    w->param_keys = ARENA_ARRAY(l->op.arena, struct mkey *, l->params_n + 1);
    w->param_values = ARENA_ARRAY(l->op.arena, struct str, l->params_n + 1);
    if (!w->param_keys || !w->param_values) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < l->params_n && !st; i++) {
        const struct key_value *kv = &l->params[i];
        const struct str *old;
        struct mkey *key;

        st = mkeys_get_or_add(group_mkeys(g), group_conn(g), kv->key, &key, err);
        if (st) break;
        old = param_now(g, w->h, key);
        if (old && str_eq(*old, kv->value)) {
            continue;
        }
        if (old) {
            st = param_changed(l, kv->key, *old, kv->value, &bad, err);
            continue;
        }
        st = run_pending_set(g, PENDING_PARAM, w->h, key, kv->value, err);
        if (!st && !head_value_new(kv->value, &w->param_values[n])) st = err_nomem(err);
        if (!st) {
            w->param_keys[n] = key;
            w->params_n = ++n;
        }
    }
    if (!st && bad.n > 0) {
        st = err_set(
            err, ST_INVALID,
            "Changing param values is not allowed. Params were already logged='[%.*s]' for run ID='%.*s'.",
            STR_ARG(buf_str(&bad)), STR_ARG(l->run_id));
    }
    buf_release(&bad);
    return st;
}

/* ---- tags ------------------------------------------------------------------------------------------------------------------------ */

static bool given_again(const struct run_log *l, size_t i)
{
    for (size_t k = i + 1; k < l->tags_n; k++) {
        if (str_eq(l->tags[k].key, l->tags[i].key)) {
            return true;
        }
    }
    return false;
}

static enum status tags_prepare(struct group *g, struct log_write *w, const struct run_log *l,
                                struct err *err)
{
    enum status st = OK;

    w->tag_keys = ARENA_ARRAY(l->op.arena, struct mkey *, l->tags_n + 1);
    w->tag_values = ARENA_ARRAY(l->op.arena, struct str, l->tags_n + 1);
    if (!w->tag_keys || !w->tag_values) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < l->tags_n && !st; i++) {
        struct str value = l->tags[i].value;
        struct mkey *key;

        if (given_again(l, i)) {
            continue; /* the last one wins */
        }
        st = mkeys_get_or_add(group_mkeys(g), group_conn(g), l->tags[i].key, &key, err);
        if (!st) st = run_pending_set(g, PENDING_TAG, w->h, key, value.p ? value : S(""), err);
        if (!st && !head_value_new(value, &w->tag_values[w->tags_n])) st = err_nomem(err);
        if (st) break;
        w->tag_keys[w->tags_n++] = key;
        if (str_eq(l->tags[i].key, RUN_NAME_TAG) && !head_value_new(value, &w->name))
            st = err_nomem(err);
    }
    return st;
}

static struct str tag_now(struct group *g, const struct head *h, const struct mkey *key)
{
    const struct pending_value *p =
        (const struct pending_value *)group_pending(g, PENDING_TAG, h->uid, key->id);
    const struct head_tag *t = head_tag(h, key->id);

    if (p) {
        return p->value;
    }
    return t && !t->gone ? t->value : (struct str){ NULL, 0 };
}

/* The JSON list in the tag append_key with append_item at its end, as one more tag of the request. */
static enum status append_prepare(struct group *g, struct log_write *w, struct run_log *l,
                                  struct err *err)
{
    struct key_value *tags = ARENA_ARRAY(l->op.arena, struct key_value, l->tags_n + 1);
    struct str old, inside;
    struct mkey *key;
    enum status st = mkeys_get_or_add(group_mkeys(g), group_conn(g), l->append_key, &key, err);

    if (st) return st;
    if (!tags) {
        return err_nomem(err);
    }
    old = str_trim(tag_now(g, w->h, key));
    inside = str_trim(old.n >= 2 ? str_sub(old, 1, old.n - 2) : S(""));
    if (old.n && (!str_starts(old, S("[")) || !str_ends(old, S("]")))) {
        return err_field(err, ST_INVALID, "model_json", "the tag %.*s does not hold a JSON list",
                         STR_ARG(l->append_key));
    }
    if (l->tags_n) memcpy(tags, l->tags, l->tags_n * sizeof(*tags));
    tags[l->tags_n] =
        (struct key_value){ l->append_key,
                            arena_printf(l->op.arena, "[%.*s%s%.*s]", STR_ARG(inside),
                                         inside.n ? ", " : "", STR_ARG(l->append_item)) };
    if (!tags[l->tags_n].value.p) {
        return err_nomem(err);
    }
    if (tags[l->tags_n].value.n > RUN_LIST_TAG_MAX) {
        return err_field(err, ST_INVALID, "model_json", "the tag %.*s would exceed %d bytes",
                         STR_ARG(l->append_key), RUN_LIST_TAG_MAX);
    }
    l->tags = tags;
    l->tags_n++;
    return OK;
}

/* ---- log ------------------------------------------------------------------------------------------------------------------------- */

static size_t bytes_of(const struct str *values, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        bytes += values[i].n;
    }
    return bytes;
}

/* Room in the head and in the tail; what was taken is given back by log_undo(). */
static enum status log_reserve(struct log_write *w, struct err *err)
{
    struct head *h = w->h;
    size_t fresh = 0;
    enum status st = OK;

    for (size_t i = 0; i < w->w.keys_n; i++) {
        fresh += head_metric(h, w->w.keys[i]->id) == NULL;
    }
    if (fresh > 0) {
        st = head_reserve(w->heads, h, &h->metrics, fresh, 0, err);
        if (!st) w->metrics_reserved = fresh;
    }
    if (!st && w->params_n > 0) {
        st = head_reserve(w->heads, h, &h->params, w->params_n,
                          bytes_of(w->param_values, w->params_n), err);
        if (!st) w->params_reserved = w->params_n;
    }
    if (!st && w->tags_n > 0) {
        st =
            head_reserve(w->heads, h, &h->tags, w->tags_n, bytes_of(w->tag_values, w->tags_n), err);
        if (!st) w->tags_reserved = w->tags_n;
    }
    if (!st && w->w.n > 0) st = points_reserve(&w->w, h->uid, err);
    return st;
}

static enum status put_pairs(struct group *g, enum batch_kind kind, int64_t uid, struct mkey **keys,
                             const struct str *values, size_t n, struct stamp *at, struct err *err)
{
    struct batch_builder *b = group_batch(g);
    uint32_t ordinal;
    enum status st;

    batch_record(b);
    buf_put_varint(&b->payload, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t s = batch_string(b, keys[i]->id);

        if (s == UINT32_MAX) {
            return err_nomem(err);
        }
        buf_put_varint(&b->payload, s);
        buf_put_varint(&b->payload, values[i].n);
        buf_put_str(&b->payload, values[i]);
    }
    st = batch_record_end(b, kind, uid, &ordinal, err);
    group_stamp(g, ordinal, at);
    return st;
}

static enum status put_name(struct group *g, int64_t uid, struct str name, struct stamp *at,
                            struct err *err)
{
    struct batch_builder *b = group_batch(g);
    uint32_t ordinal;
    enum status st;

    batch_record(b);
    buf_put_u8(&b->payload, BATCH_ATTR_NAME);
    buf_put_varint(&b->payload, name.n);
    buf_put_str(&b->payload, name);
    st = batch_record_end(b, BATCH_ATTRIBUTES, uid, &ordinal, err);
    group_stamp(g, ordinal, at);
    return st;
}

static enum status log_records(struct group *g, struct log_write *w, const struct run_log *l,
                               struct err *err)
{
    struct stamp ignored;
    int64_t uid = w->h->uid;
    enum status st = OK;

    if (w->w.n > 0) st = points_record(g, &w->w, BATCH_POINTS, uid, &l->points, err);
    if (!st && w->params_n > 0) {
        st = put_pairs(g, BATCH_PARAMS, uid, w->param_keys, w->param_values, w->params_n, &ignored,
                       err);
    }
    if (!st && w->tags_n > 0) {
        st = put_pairs(g, BATCH_TAGS, uid, w->tag_keys, w->tag_values, w->tags_n, &w->tags_at, err);
    }
    if (!st && w->name.p) st = put_name(g, uid, w->name, &w->name_at, err);
    return st;
}

static enum status log_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct run_log *l = WRITE_OP_OF(op, struct run_log);
    struct log_write *w = ARENA_NEW(op->arena, struct log_write);
    enum status st;

    if (!w) {
        return err_nomem(err);
    }
    w->heads = group_heads(g);
    w->points = &l->points;
    w->drain = group_drain(g);
    st = run_head(g, l->run_id, &w->h, err);
    if (!st) st = run_check_active(g, w->h, err);
    if (!st) st = group_effect(g, log_apply, log_undo, w, err);
    if (st) return st;
    if (l->append_key.p) st = append_prepare(g, w, l, err);
    if (!st && l->params_n > 0) st = params_prepare(g, w, l, err);
    if (!st && l->tags_n > 0) st = tags_prepare(g, w, l, err);
    if (!st && l->points.n > 0) st = points_prepare(g, &w->w, op->arena, &l->points, err);
    if (!st && w->w.keys_n > 0) {
        w->cells = ARENA_ARRAY(op->arena, struct metric_cell *, w->w.keys_n);
        st = w->cells ? OK : err_nomem(err);
    }
    if (!st) st = log_reserve(w, err);
    if (!st) st = log_records(g, w, l, err);
    for (size_t i = 0; i < l->models_n && !st; i++) {
        l->models[i].run_id = l->run_id;
        st = group_model_points(g, &l->models[i], err);
    }
    return st;
}

static const struct write_kind run_log_kind = { .name = "run.log",
                                                .validate = log_validate,
                                                .brief = true };
const struct write_kind run_log_models_kind = { .name = "run.log",
                                                .validate = log_validate,
                                                .sql = true };

void run_log_init(struct run_log *l, struct core *core, struct arena *a)
{
    write_op_init(&l->op, &run_log_kind, a);
    memset((char *)l + sizeof(l->op), 0, sizeof(*l) - sizeof(l->op));
    l->core = core;
}

/* ---- deleting a tag ------------------------------------------------------------------------------------------------------------- */

static bool tag_is_there(struct group *g, const struct head *h, const struct mkey *key)
{
    const struct pending_value *p =
        (const struct pending_value *)group_pending(g, PENDING_TAG, h->uid, key->id);
    const struct head_tag *t = head_tag(h, key->id);

    return p ? p->value.p != NULL : t && !t->gone;
}

static enum status tag_delete_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct run_tag_delete *t = WRITE_OP_OF(op, struct run_tag_delete);
    struct log_write *w = ARENA_NEW(op->arena, struct log_write);
    struct batch_builder *b = group_batch(g);
    struct mkey *key;
    uint32_t ordinal, string;
    enum status st;

    if (!w) {
        return err_nomem(err);
    }
    w->heads = group_heads(g);
    w->drain = group_drain(g);
    st = run_head(g, t->run_id, &w->h, err);
    if (!st) st = run_check_active(g, w->h, err);
    if (!st) st = mkeys_get_or_add(group_mkeys(g), group_conn(g), t->key, &key, err);
    if (st) return st;
    if (!tag_is_there(g, w->h, key)) {
        return err_field(err, ST_NOT_FOUND, "key", "No tag with name: %.*s in run with id %.*s",
                         STR_ARG(t->key), STR_ARG(t->run_id));
    }
    w->tag_keys = ARENA_ARRAY(op->arena, struct mkey *, 1);
    w->tag_values = ARENA_ARRAY(op->arena, struct str, 1); /* no value: gone */
    if (!w->tag_keys || !w->tag_values) {
        return err_nomem(err);
    }
    w->tag_keys[0] = key;
    w->tags_n = 1;
    st = group_effect(g, log_apply, log_undo, w, err);
    if (!st) st = run_pending_set(g, PENDING_TAG, w->h, key, (struct str){ NULL, 0 }, err);
    if (!st) st = log_reserve(w, err);
    if (st) return st;
    string = batch_string(b, key->id);
    if (string == UINT32_MAX) {
        return err_nomem(err);
    }
    batch_record(b);
    buf_put_varint(&b->payload, string);
    st = batch_record_end(b, BATCH_TAG_DELETED, w->h->uid, &ordinal, err);
    group_stamp(g, ordinal, &w->tags_at);
    return st;
}

static const struct write_kind run_tag_delete_kind = { .name = "run.tag_delete",
                                                       .validate = tag_delete_validate,
                                                       .brief = true };

void run_tag_delete_init(struct run_tag_delete *t, struct core *core, struct arena *a)
{
    *t =
        (struct run_tag_delete){ .op = { .kind = &run_tag_delete_kind, .arena = a }, .core = core };
}
