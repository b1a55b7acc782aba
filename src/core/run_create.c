/* core/run_create.c - creating a run and changing its attributes. */
#include "core/run_int.h"

#include "base/id.h"
#include "base/rand.h"
#include "core/experiment.h"
#include "core/node.h"
#include "core/openlineage/openlineage.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

/* ---- create ------------------------------------------------------------------------------------------------------------------- */

struct create_write {
    struct heads *heads;
    struct head *h;
};

static void create_apply(void *ctx)
{
    struct create_write *w = (struct create_write *)ctx;

    if (w->h) heads_created(w->heads, w->h);
}

static void create_undo(void *ctx)
{
    struct create_write *w = (struct create_write *)ctx;

    if (w->h) heads_remove(w->heads, w->h);
}

/* Name and tag mlflow.runName are one: given either way, or made up. */
static enum status choose_name(struct run_create *c, uint64_t random, struct err *err)
{
    struct str tag = { NULL, 0 };
    char drawn[24];

    for (size_t i = 0; i < c->tags_n; i++) {
        if (str_eq(c->tags[i].key, RUN_NAME_TAG)) tag = c->tags[i].value;
    }
    if (c->name.n > 0 && tag.n > 0 && !str_eq(c->name, tag)) {
        return err_set(
            err, ST_INVALID,
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            "(run_name='%.*s', mlflow.runName='%.*s').",
            STR_ARG(c->name), STR_ARG(tag));
    }
    if (c->name.n == 0) {
        c->name = tag;
    }
    if (c->name.n == 0) {
        id_run_name(random, drawn);
        c->name = arena_str(c->op.arena, str_cstr(drawn));
    }
    return c->name.p ? OK : err_nomem(err);
}

/* Times rise, so new runs share the pages of the indexes of ids: a third of the pages that random ids would change. */
static enum status choose_id(struct run_create *c, struct group *g, const unsigned char *random,
                             struct err *err)
{
    struct head *h;
    char drawn[33];
    enum status st;

    if (!c->run_id.p) {
        id_timed(group_now_ms(g), random, drawn);
        c->run_id = arena_str(c->op.arena, str_cstr(drawn));
        return c->run_id.p ? OK : err_nomem(err);
    }
    st = heads_load(group_heads(g), group_conn(g), c->run_id, &h, err);
    if (st == ST_NOT_FOUND) {
        return OK;
    }
    return st ? st
              : err_field(err, ST_EXISTS, "run_id", "Run with id=%.*s already exists",
                          STR_ARG(c->run_id));
}

static char *put(char *to, const char *p, size_t n)
{
    if (n > 0) memcpy(to, p, n);
    return to + n;
}

/* "<location>/<run id>/artifacts", before a query or fragment of the location. */
static struct str artifact_uri(struct arena *a, struct str location, struct str run_id)
{
    size_t end = MIN_OF(str_find_byte(location, '?', 0), str_find_byte(location, '#', 0)), path;
    struct str last = S("/artifacts");
    char *uri, *to;

    end = MIN_OF(end, location.n);
    path = end;
    while (path > 1 && location.p[path - 1] == '/') {
        path--;
    }
    to = uri = arena_alloc(a, path + 1 + run_id.n + last.n + (location.n - end));
    if (!uri) return (struct str){ NULL, 0 };
    to = put(to, location.p, path);
    *to++ = '/';
    to = put(to, run_id.p, run_id.n);
    to = put(to, last.p, last.n);
    to = put(to, location.p + end, location.n - end);
    return str_of(uri, (size_t)(to - uri));
}

/* The tags of the new run: the last of each key, and always mlflow.runName. */
static enum status collect_tags(struct run_create *c, struct group *g, struct head_new *n,
                                struct err *err)
{
    enum status st = OK;

    n->tag_keys = ARENA_ARRAY(c->op.arena, struct mkey *, c->tags_n + 1);
    n->tag_values = ARENA_ARRAY(c->op.arena, struct str, c->tags_n + 1);
    c->kept = ARENA_ARRAY(c->op.arena, struct key_value, c->tags_n + 1);
    if (!n->tag_keys || !n->tag_values || !c->kept) {
        return err_nomem(err);
    }
    for (size_t i = 0; i <= c->tags_n && !st; i++) {
        struct key_value kv = { RUN_NAME_TAG, c->name };
        struct mkey *key;
        size_t at = 0;

        if (i < c->tags_n) {
            if (str_eq(c->tags[i].key, RUN_NAME_TAG)) continue;
            kv = c->tags[i];
        }
        st = mkeys_get_or_add(group_mkeys(g), group_conn(g), kv.key, &key, err);
        if (st) break;
        while (at < n->tags_n && n->tag_keys[at] != key) {
            at++;
        }
        n->tag_keys[at] = key;
        n->tag_values[at] = kv.value;
        c->kept[at] = (struct key_value){ kv.key, kv.value.p ? kv.value : S("") };
        n->tags_n = MAX_OF(n->tags_n, at + 1);
    }
    c->kept_n = n->tags_n;
    if (!st) run_pairs_sort(c->kept, c->kept_n);
    return st;
}

void run_create_view(const struct run_create *c, struct run_view *out)
{
    *out = (struct run_view){ .uid = c->uid,
                              .experiment = c->experiment,
                              .run_id = c->run_id,
                              .name = c->name,
                              .user_id = c->user_id.p ? c->user_id : S(""),
                              .artifact_uri = c->artifact_uri,
                              .status = RUN_RUNNING,
                              .lifecycle = LIFECYCLE_ACTIVE,
                              .start_ms = c->start_ms,
                              .tags = c->kept,
                              .tags_n = c->kept_n };
}

static enum status create_rows(struct run_create *c, struct group *g, int64_t uid, struct err *err)
{
    struct str none = { NULL, 0 };
    int64_t id;
    enum status st = group_counter(g, S("node:0:2"), &id, err);

    if (!st) st = q_ident_insert(group_conn(g), 0, IDENT_MLFLOW_RUN, c->run_id, uid, err);
    if (!st) {
        st = q_node_insert(group_conn(g), uid, 0, NODE_EXECUTION, id, TYPE_MLFLOW_RUN, none, none,
                           none, group_now_ms(g), err);
    }
    return st;
}

/* The run of a job that the tags say it is part of: rare, so only then there is a savepoint. */
static enum status started_by(struct run_create *c, struct group *g, struct err *err)
{
    struct err ignored = ERR_INIT;
    enum status st = OK;

    for (size_t i = 0; !st && i < c->tags_n; i++) {
        if (!str_eq(c->tags[i].key, S(OL_PARENT_TAG)) || !c->tags[i].value.n) {
            continue;
        }
        st = sql_savepoint(group_conn(g), err);
        if (!st) {
            st = ol_started_by(g, c->core, c->op.arena, c->uid, c->tags[i].value, err);
            st = st ? st : sql_release(group_conn(g), err);
            IGNORE_STATUS(st ? sql_rollback_to(group_conn(g), &ignored) : OK); /* st says why */
        }
    }
    return st;
}

static enum status create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct run_create *c = WRITE_OP_OF(op, struct run_create);
    struct create_write *w = ARENA_NEW(op->arena, struct create_write);
    struct batch_builder *b = group_batch(g);
    struct head_new n = { .exp = c->experiment, .user_id = c->user_id, .start_ms = c->start_ms };
    struct {
        uint64_t name;
        unsigned char id[ID_TIMED_RANDOM];
    } random; /* in one call of the system */
    uint32_t ordinal;
    enum status st;

    rand_bytes(&random, sizeof(random));
    st = w ? choose_name(c, random.name, err) : err_nomem(err);
    if (!st) st = experiment_require_active(c->core, g, c->experiment, err);
    if (!st) st = choose_id(c, g, random.id, err);
    if (st) return st;
    w->heads = group_heads(g);
    c->artifact_uri = experiment_artifact_location(c->core, g, c->experiment, op->arena);
    if (c->artifact_uri.p) c->artifact_uri = artifact_uri(op->arena, c->artifact_uri, c->run_id);
    if (!c->artifact_uri.p) {
        return err_nomem(err);
    }
    n.uid = c->uid = group_new_uid(g);
    n.rid = c->run_id;
    n.name = c->name;
    n.artifact_uri = c->artifact_uri;
    n.create_ms = group_now_ms(g);
    st = collect_tags(c, g, &n, err);
    if (!st) st = group_effect(g, create_apply, create_undo, w, err);
    if (st) return st;
    batch_record(b);
    buf_put_varint(&b->payload, (uint64_t)c->experiment);
    st = batch_record_end(b, BATCH_RUN_CREATED, c->uid, &ordinal, err);
    if (st) return st;
    group_stamp(g, ordinal, &n.at);
    st = started_by(c, g, err);
    if (!st) st = create_rows(c, g, c->uid, err);
    if (!st) st = heads_create(w->heads, group_conn(g), &n, group_drain(g), &w->h, err);
    return st;
}

static const struct write_kind run_create_kind = { .name = "run.create",
                                                   .validate = create_validate,
                                                   .brief = true };

void run_create_init(struct run_create *c, struct core *core, struct arena *a)
{
    write_op_init(&c->op, &run_create_kind, a);
    memset((char *)c + sizeof(c->op), 0, sizeof(*c) - sizeof(c->op));
    c->core = core;
}

/* ---- update ------------------------------------------------------------------------------------------------------------------ */

struct update_write {
    struct heads *heads;
    struct head *h;
    const struct run_update *u;
    struct mkey *tag_key;
    struct str name, tag_value; /* owned copies; p NULL = unchanged */
    bool tag_reserved;
    struct stamp at, tag_at;
    int64_t drain;
};

static void update_apply(void *ctx)
{
    struct update_write *w = (struct update_write *)ctx;

    heads_lock_write(w->heads);
    if (w->u->has_status) head_set_status(w->h, (int)w->u->status, &w->at);
    if (w->u->has_end) head_set_end(w->h, w->u->end_ms, &w->at);
    if (w->name.p) {
        head_unreserve(&w->h->tags, 1);
        head_set_name(w->heads, w->h, w->name, &w->at);
        head_set_tag(w->heads, w->h, w->tag_key, w->tag_value, false, &w->tag_at);
    }
    heads_unlock(w->heads);
    heads_dirty(w->heads, w->h, true, w->drain);
}

static void update_undo(void *ctx)
{
    struct update_write *w = (struct update_write *)ctx;

    if (w->tag_reserved) head_unreserve(&w->h->tags, 1);
    head_value_free(w->name);
    head_value_free(w->tag_value);
}

/* A new name is also the tag. */
static enum status update_name(struct group *g, struct update_write *w, struct err *err)
{
    struct str name = w->u->name;
    struct batch_builder *b = group_batch(g);
    uint32_t ordinal, string;
    enum status st =
        mkeys_get_or_add(group_mkeys(g), group_conn(g), RUN_NAME_TAG, &w->tag_key, err);

    if (!st) st = head_reserve(w->heads, w->h, &w->h->tags, 1, name.n, err);
    if (st) return st;
    w->tag_reserved = true;
    st = run_pending_set(g, PENDING_TAG, w->h, w->tag_key, name, err);
    if (st) return st;
    string = batch_string(b, w->tag_key->id);
    if (string == UINT32_MAX || !head_value_new(name, &w->name) ||
        !head_value_new(name, &w->tag_value)) {
        return err_nomem(err);
    }
    batch_record(b);
    buf_put_varint(&b->payload, 1);
    buf_put_varint(&b->payload, string);
    buf_put_varint(&b->payload, name.n);
    buf_put_str(&b->payload, name);
    st = batch_record_end(b, BATCH_TAGS, w->h->uid, &ordinal, err);
    group_stamp(g, ordinal, &w->tag_at);
    return st;
}

/* The latest time that the run is known to have lived, in the eyes of its clients' clocks but not after now. */
static int64_t last_sign(const struct head *h, int64_t now)
{
    const struct head_metric *m = (const struct head_metric *)h->metrics.p;
    int64_t last = h->has_end ? MAX_OF(h->start_ms, h->end_ms) : h->start_ms;

    for (size_t i = 0; i < h->metrics.n; i++) {
        last = MAX_OF(last, m[i].m.last.timestamp_ms);
    }
    return MIN_OF(last, now);
}

enum { RESUMES_APART_MS = 1000 };

static enum status note_resumed(struct group *g, const struct run_update *u, const struct head *h,
                                struct err *err)
{
    struct q_run_event_last_row last = { .seen_ms = INT64_MIN };
    int64_t now = group_now_ms(g);
    enum status st;

    if (h->status == RUN_SCHEDULED) {
        return OK;
    }
    st = q_run_event_last(group_conn(g), u->op.arena, h->uid, &last, err);
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    if (!st && now - last.seen_ms < RESUMES_APART_MS) {
        return OK;
    }
    return q_run_event_append(group_conn(g), h->uid, RUN_RESUMED, h->status,
                              MAX_OF(last_sign(h, now), last.seen_ms), u->who.p ? u->who : S(""),
                              now, err);
}

static const struct write_kind run_resume_kind;

static enum status update_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct run_update *u = WRITE_OP_OF(op, struct run_update);
    struct update_write *w = ARENA_NEW(op->arena, struct update_write);
    struct batch_builder *b = group_batch(g);
    bool has_name = u->has_name && u->name.n > 0;
    uint8_t mask = (uint8_t)((u->has_status ? BATCH_ATTR_STATUS : 0) |
                             (u->has_end ? BATCH_ATTR_END : 0) | (has_name ? BATCH_ATTR_NAME : 0));
    uint32_t ordinal;
    enum status st;

    if (!w) {
        return err_nomem(err);
    }
    w->heads = group_heads(g);
    w->u = u;
    w->drain = group_drain(g);
    st = run_head(g, u->run_id, &w->h, err);
    if (!st) st = run_check_active(g, w->h, err);
    if (st || mask == 0) return st;
    if (op->kind == &run_resume_kind) st = note_resumed(g, u, w->h, err);
    if (!st) st = group_effect(g, update_apply, update_undo, w, err);
    if (!st && has_name) st = update_name(g, w, err);
    if (st) return st;
    batch_record(b);
    buf_put_u8(&b->payload, mask);
    if (u->has_status) buf_put_varint(&b->payload, (uint64_t)u->status);
    if (u->has_end) buf_put_zigzag(&b->payload, u->end_ms);
    if (has_name) {
        buf_put_varint(&b->payload, u->name.n);
        buf_put_str(&b->payload, u->name);
    }
    st = batch_record_end(b, BATCH_ATTRIBUTES, w->h->uid, &ordinal, err);
    group_stamp(g, ordinal, &w->at);
    return st;
}

static const struct write_kind run_update_kind = { .name = "run.update",
                                                   .validate = update_validate,
                                                   .brief = true };

static const struct write_kind run_resume_kind = { .name = "run.resume",
                                                   .validate = update_validate,
                                                   .sql = true };

void run_update_init(struct run_update *u, struct core *core, struct arena *a)
{
    *u = (struct run_update){ .op = { .kind = &run_update_kind, .arena = a }, .core = core };
}

void run_update_status(struct run_update *u, enum run_status status)
{
    u->has_status = true;
    u->status = status;
    u->op.kind = status == RUN_RUNNING ? &run_resume_kind : &run_update_kind;
}
