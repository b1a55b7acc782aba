/* core/run_owner.c - what operations on runs share inside a group: finding the head, points of any owner, the lifecycle
 * of all runs of an experiment. */
#include "core/run_int.h"

#include "core/experiment.h"
#include "core/retention.h"
#include "gen/sql/queries.h"
#include "store/runcols/runcols.h"

/* ---- heads --------------------------------------------------------------------------------------------------------------- */

enum status run_head(struct group *g, struct str run_id, struct head **out, struct err *err)
{
    enum status st = heads_load(group_heads(g), group_conn(g), run_id, out, err);

    if (!st && group_pending(g, PENDING_PURGE, (*out)->uid, 0)) {
        st = ST_NOT_FOUND;
    }
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "run_id", "Run with id=%.*s not found", STR_ARG(run_id));
    }
    return st;
}

/* A lifecycle that the group has set, and when. */
struct pending_lifecycle {
    enum lifecycle lifecycle;
    uint32_t ordinal;
};

static enum lifecycle lifecycle_now(struct group *g, const struct head *h)
{
    const struct pending_lifecycle *own =
        (const struct pending_lifecycle *)group_pending(g, PENDING_LIFECYCLE, h->uid, 0);
    const struct pending_lifecycle *all =
        (const struct pending_lifecycle *)group_pending(g, PENDING_EXPERIMENT, h->exp, 0);

    if (own && (!all || own->ordinal > all->ordinal)) {
        return own->lifecycle;
    }
    return all ? all->lifecycle : (enum lifecycle)h->lifecycle;
}

enum status run_check_active(struct group *g, const struct head *h, struct err *err)
{
    if (lifecycle_now(g, h) != LIFECYCLE_ACTIVE) {
        return err_field(err, ST_INVALID, "run_id",
                         "The run %.*s must be in the 'active' state. Current state is deleted.",
                         STR_ARG(h->rid));
    }
    return OK;
}

enum status run_require_active(struct group *g, struct str run_id, int64_t *uid,
                               int64_t *experiment, struct err *err)
{
    struct head *h;
    enum status st = run_head(g, run_id, &h, err);

    if (!st) st = run_check_active(g, h, err);
    if (st) return st;
    *uid = h->uid;
    *experiment = h->exp;
    return OK;
}

/* ---- points ---------------------------------------------------------------------------------------------------------------- */

enum status points_prepare(struct group *g, struct points_write *w, struct arena *a,
                           const struct run_points *p, struct err *err)
{
    enum status st = OK;

    w->series = group_series(g);
    w->n = p->n;
    w->keys_n = p->keys_n;
    w->keys = (struct mkey **)arena_alloc(a, p->keys_n * sizeof(struct mkey *) + 1);
    w->points = (struct tail_point *)arena_alloc(a, p->n * sizeof(*w->points) + 1);
    if (!w->keys || !w->points) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < p->keys_n && !st; i++) {
        st = mkeys_get_or_add(group_mkeys(g), group_conn(g), p->keys[i], &w->keys[i], err);
    }
    for (size_t i = 0; i < p->n && !st; i++) {
        const struct run_point *in = &p->points[i];

        w->points[i] = (struct tail_point){ .p = { in->step, in->timestamp_ms, in->value },
                                            .key = w->keys[in->key]->id };
    }
    return st;
}

enum status points_reserve(struct points_write *w, int64_t owner, struct err *err)
{
    return series_reserve(w->series, owner, w->n, &w->tail, err);
}

enum status points_record(struct group *g, const struct points_write *w, enum batch_kind kind,
                          int64_t owner, const struct run_points *p, struct err *err)
{
    struct batch_builder *b = group_batch(g);
    struct batch_frames at = { 0 };
    uint32_t *strings = (uint32_t *)arena_alloc(group_arena(g), w->keys_n * sizeof(*strings) + 1);
    uint32_t ordinal;

    if (!strings) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < w->keys_n; i++) {
        strings[i] = batch_string(b, w->keys[i]->id);
        if (strings[i] == UINT32_MAX) {
            return err_nomem(err);
        }
    }
    batch_record(b);
    for (size_t i = 0, k; i < p->n; i += k) {
        for (k = 1; i + k < p->n && p->points[i + k].step == p->points[i].step &&
                    p->points[i + k].timestamp_ms == p->points[i].timestamp_ms;) {
            k++;
        }
        batch_put_frame(b, &at, p->points[i].step, p->points[i].timestamp_ms, k);
        for (size_t j = i; j < i + k; j++) {
            buf_put_varint(&b->payload, strings[p->points[j].key]);
            buf_put_u64(&b->payload, num_double_bits(p->points[j].value));
        }
    }
    b->points_n += (int64_t)p->n;
    return batch_record_end(b, kind, owner, &ordinal, err);
}

void points_append(struct points_write *w)
{
    if (w->tail) {
        series_append(w->series, w->tail, w->points, w->n);
    }
}

void points_undo(struct points_write *w)
{
    if (w->tail) {
        series_unreserve(w->tail, w->n);
    }
}

static void owner_apply(void *ctx)
{
    points_append((struct points_write *)ctx);
}

static void owner_undo(void *ctx)
{
    points_undo((struct points_write *)ctx);
}

enum status group_owner_points(struct group *g, int64_t owner, const struct run_points *p,
                               struct err *err)
{
    struct points_write *w = ARENA_NEW(group_arena(g), struct points_write);
    enum status st = w ? group_effect(g, owner_apply, owner_undo, w, err) : err_nomem(err);

    if (!st) st = points_prepare(g, w, group_arena(g), p, err);
    if (!st) st = points_reserve(w, owner, err);
    if (!st) st = points_record(g, w, BATCH_OWNER_POINTS, owner, p, err);
    return st;
}

/* ---- all runs of an experiment ---------------------------------------------------------------------------------------------- */

struct runs_lifecycle {
    struct heads *heads;
    int64_t experiment, deleted_ms;
    enum lifecycle to;
    struct stamp at;
};

static void runs_lifecycle_apply(void *ctx)
{
    struct runs_lifecycle *l = (struct runs_lifecycle *)ctx;
    size_t i = 0;

    heads_lock_write(l->heads);
    for (struct head *h = heads_next_of(l->heads, l->experiment, &i); h;
         h = heads_next_of(l->heads, l->experiment, &i)) {
        head_set_lifecycle(h, (int)l->to, l->deleted_ms, &l->at);
    }
    heads_unlock(l->heads);
    heads_touch_all(l->heads);
    runcols_lifecycle(heads_columns(l->heads), l->experiment, (int)l->to);
}

/* The rows are changed here; heads in memory with the commit. A dirty head carries the change when it is written. */
enum status group_experiment_runs_lifecycle(struct group *g, int64_t experiment, enum lifecycle to,
                                            struct err *err)
{
    struct runs_lifecycle *l = ARENA_NEW(group_arena(g), struct runs_lifecycle);
    struct pending_lifecycle *p = ARENA_NEW(group_arena(g), struct pending_lifecycle);
    struct batch_builder *b = group_batch(g);
    int64_t now = group_now_ms(g);
    uint32_t ordinal;
    enum status st;

    if (!l || !p) {
        return err_nomem(err);
    }
    st = q_run_lifecycle_by_exp(group_conn(g), experiment, to,
                                to == LIFECYCLE_DELETED ? &now : NULL, err);
    if (!st) st = runcols_lifecycle_write(group_conn(g), experiment, (int)to, group_drain(g), err);
    if (st) return st;
    batch_record(b);
    buf_put_u8(&b->payload, (unsigned char)to);
    buf_put_zigzag(&b->payload, now);
    st = batch_record_end(b, BATCH_EXPERIMENT_LIFECYCLE, experiment, &ordinal, err);
    if (st) return st;
    *p = (struct pending_lifecycle){ to, ordinal };
    *l = (struct runs_lifecycle){ group_heads(g), experiment, now, to, { 0 } };
    group_stamp(g, ordinal, &l->at);
    st = group_pending_put(g, PENDING_EXPERIMENT, experiment, 0, p, err);
    if (!st) st = group_effect(g, runs_lifecycle_apply, NULL, l, err);
    return st;
}

/* ---- one run ------------------------------------------------------------------------------------------------------------------ */

struct one_lifecycle {
    struct heads *heads;
    struct head *h;
    int64_t deleted_ms, drain;
    enum lifecycle to;
    struct stamp at;
};

static void one_apply(void *ctx)
{
    struct one_lifecycle *o = (struct one_lifecycle *)ctx;

    heads_lock_write(o->heads);
    head_set_lifecycle(o->h, (int)o->to, o->deleted_ms, &o->at);
    heads_unlock(o->heads);
    heads_dirty(o->heads, o->h, true, o->drain);
}

/* It has a value that belongs among the best by now. */
static bool is_above(const struct head *h, const struct retention_bar *bar)
{
    const struct head_metric *m = (const struct head_metric *)h->metrics.p;

    for (size_t i = 0; i < h->metrics.n; i++) {
        double value = m[i].m.last.value;

        if (!str_eq(m[i].key->name, bar->metric) || value != value) continue;
        return bar->open || (bar->maximum ? value > bar->worst : value < bar->worst);
    }
    return false;
}

/* Looked at again: the rows that retention read may be behind. */
static enum status may_retire(struct group *g, const struct head *h, const struct run_lifecycle *l,
                              struct err *err)
{
    const struct head_tag *t = (const struct head_tag *)h->tags.p;
    bool kept = h->status <= RUN_SCHEDULED || !h->has_end || h->end_ms >= l->ended_before_ms;

    for (size_t i = 0; i < h->tags.n && !kept; i++) {
        kept = !t[i].gone && str_eq_lit(t[i].key->name, RETENTION_KEEP_TAG) &&
               str_eq_lit(t[i].value, "true");
    }
    kept = kept || (l->bar && l->bar->set && is_above(h, l->bar));
    return kept ? err_set(err, ST_INVALID_STATE, "run %.*s stays", STR_ARG(l->run_id))
                : retention_check_run(g, l->run_id, err);
}

static enum status lifecycle_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct run_lifecycle *l = WRITE_OP_OF(op, struct run_lifecycle);
    struct batch_builder *b = group_batch(g);
    struct pending_lifecycle *p = ARENA_NEW(group_arena(g), struct pending_lifecycle);
    struct one_lifecycle *o = ARENA_NEW(group_arena(g), struct one_lifecycle);
    struct head *h;
    uint32_t ordinal;
    enum status st = p && o ? run_head(g, l->run_id, &h, err) : err_nomem(err);

    if (st || lifecycle_now(g, h) == l->to) return st;
    if (l->ended_before_ms) st = may_retire(g, h, l, err);
    if (st) return st;
    if (l->to == LIFECYCLE_ACTIVE) st = experiment_require(l->core, g, h->exp, err);
    if (st) return st; /* it was deleted for good, and the run goes with it */
    batch_record(b);
    buf_put_u8(&b->payload, (unsigned char)l->to);
    buf_put_zigzag(&b->payload, group_now_ms(g));
    st = batch_record_end(b, BATCH_LIFECYCLE, h->uid, &ordinal, err);
    if (st) return st;
    *p = (struct pending_lifecycle){ l->to, ordinal };
    *o = (struct one_lifecycle){ group_heads(g), h, group_now_ms(g), group_drain(g), l->to, { 0 } };
    group_stamp(g, ordinal, &o->at);
    st = group_pending_put(g, PENDING_LIFECYCLE, h->uid, 0, p, err);
    if (!st) st = group_effect(g, one_apply, NULL, o, err);
    return st;
}

static const struct write_kind run_lifecycle_kind = { .name = "run.lifecycle",
                                                      .validate = lifecycle_validate };

void run_lifecycle_init(struct run_lifecycle *l, struct core *core, struct arena *a)
{
    *l = (struct run_lifecycle){ .op = { .kind = &run_lifecycle_kind, .arena = a }, .core = core };
}
