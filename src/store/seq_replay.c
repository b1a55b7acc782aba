/* store/seq_replay.c - what a start does: heads take the packs they have not folded, then the log above the mark is played
 * again, each record as its operation applied it. Stamps make repeating harmless. Rows of other servers are played in the
 * same way. A head whose row was written by a drain after the record's row has the record in it already.
 * Damage is no reason not to start: a pack, a row of the log or a record whose run cannot be read is left out and logged; such
 * a row of the log is kept apart when a drain covers it. */
#include "store/seq_int.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "gen/sql/queries.h"
#include "store/runcols/runcols.h"
#include "store/sql/sql.h"

enum { PART = 0, PAGE = 16, REPLAY_ARENA_MAX = 512 << 20 };

/* ---- folding packs ---------------------------------------------------------------------------------------------------------- */

static enum status fold_key(struct seq *s, struct head *h, struct pack_reader *r,
                            const struct pack_key *k, struct err *err)
{
    size_t n = pack_key_n(r, k);
    struct point *p = (struct point *)arena_alloc(r->arena, n * sizeof(*p));
    struct metric_cell *cell;
    struct mkey *key;
    enum status st;

    if (!p) {
        return err_nomem(err);
    }
    st = pack_read(r, k, p, err);
    if (!st) st = mkeys_by_id(s->mkeys, s->writer, k->key, &key, err);
    if (!st) st = head_reserve(s->heads, h, &h->metrics, 1, 0, err);
    if (st) return st;
    heads_lock_write(s->heads);
    cell = head_metric_cell(h, key);
    for (size_t i = 0; i < n; i++) {
        metric_cell_add(cell, &p[i]);
    }
    cell->n += k->duplicates;
    heads_unlock(s->heads);
    head_unreserve(&h->metrics, 1);
    return OK;
}

static enum status fold_pack(struct seq *s, struct arena *a, const struct q_pack_after_row *row,
                             struct err *err)
{
    struct pack_reader r;
    struct head *h;
    enum status st = heads_load_uid(s->heads, s->writer, row->owner, &h, err);

    if (st == ST_NOT_FOUND) {
        return OK; /* a model series has no head */
    }
    if (st || h->ver >= row->w0) return st;
    st = pack_open(&r, a, row->body, row->owner, row->w0, row->n, err);
    for (size_t i = 0; i < r.keys_n && !st; i++) {
        st = fold_key(s, h, &r, &r.keys[i], err);
    }
    if (!st) {
        heads_dirty(s->heads, h, false, s->folded);
    }
    return st;
}

/* What a damaged body says is not taken in; everything else of the store is served. A check names it until it is gone. */
static enum status spare(enum status st, struct err *err, const char *what, int64_t of)
{
    if (st != ST_CORRUPT) return st;
    LOG_ERROR("store", "%s %lld is left out: %s; 'cairn server check' says more", what,
              (long long)of, err->message);
    *err = (struct err)ERR_INIT;
    return OK;
}

static enum status fold_packs(struct seq *s, struct err *err)
{
    struct q_pack_after_row row = { .w0 = s->folded, .owner = INT64_MAX };
    struct arena *a = arena_new(REPLAY_ARENA_MAX);
    size_t rows;
    enum status st = a ? OK : err_nomem(err);

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        if (!st) st = q_pack_after_open(s->writer, &q, row.w0, row.owner, PAGE, err);
        while (!st && (st = q_pack_after_next(q, &row, err)) == OK) {
            rows++;
            s->fold_bytes += row.body.n;
            s->replayed_bytes += row.body.n;
            arena_reset(a);
            st = spare(fold_pack(s, a, &row, err), err, "a pack of owner", row.owner);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    arena_free(a);
    return st;
}

/* ---- playing the log --------------------------------------------------------------------------------------------------------- */

struct replay {
    struct seq *s;
    struct arena *arena;
    struct batch_reader reader;
    struct mkey **keys; /* of reader.strings, looked up when used */
    int64_t epoch, seq, drain;
    bool covered; /* its points are in packs */
    bool foreign; /* of another server, while this one runs */
};

static enum status key_at(struct replay *r, uint32_t string, struct mkey **out, struct err *err)
{
    const struct batch_string_ref *ref = &r->reader.strings[string];
    enum status st = OK;

    if (!r->keys[string]) {
        st = ref->id
                 ? mkeys_by_id(r->s->mkeys, r->s->writer, ref->id, &r->keys[string], err)
                 : mkeys_get_or_add(r->s->mkeys, r->s->writer, ref->name, &r->keys[string], err);
    }
    *out = r->keys[string];
    return st;
}

static struct stamp stamp_of(const struct replay *r, const struct batch_record *rec)
{
    return (struct stamp){ .epoch = r->epoch, .seq = r->seq, .ordinal = rec->ordinal };
}

static enum status damaged(const struct replay *r, const struct batch_record *rec, struct err *err)
{
    return err_set(err, ST_CORRUPT, "batch %lld: record %u is damaged", (long long)r->seq,
                   rec->ordinal);
}

static enum status play_points(struct replay *r, struct batch_record *rec, struct head *h,
                               struct err *err)
{
    struct batch_point_at at = { 0 };
    struct tail_point tp = { 0 };
    struct tail *tail;
    struct mkey *key;
    uint32_t string;
    enum status st = OK;

    while (!st && batch_next_point(&r->reader, rec, &at, &string, &tp.p)) {
        st = key_at(r, string, &key, err);
        if (!st && !r->covered) {
            st = series_reserve(r->s->series, rec->owner, 1, &tail, err);
            if (st) break;
            tp.key = key->id;
            series_append(r->s->series, tail, &tp, 1);
        }
        if (!st && h && h->ver <= r->drain) {
            st = head_reserve(r->s->heads, h, &h->metrics, 1, 0, err);
            if (st) break;
            heads_lock_write(r->s->heads);
            metric_cell_add(head_metric_cell(h, key), &tp.p);
            heads_unlock(r->s->heads);
            head_unreserve(&h->metrics, 1);
        }
    }
    if (!st && rec->payload.bad) st = damaged(r, rec, err);
    if (!st && h) heads_dirty(r->s->heads, h, false, r->s->drain);
    return st;
}

static enum status play_pairs(struct replay *r, struct batch_record *rec, struct head *h, bool tags,
                              struct err *err)
{
    struct stamp at = stamp_of(r, rec);
    struct head_cells *cells = tags ? &h->tags : &h->params;
    uint64_t left = SIZE_MAX;
    uint32_t string;
    struct str value, copy;
    struct mkey *key;
    enum status st = OK;

    while (!st && batch_next_pair(&r->reader, rec, &left, &string, &value)) {
        st = key_at(r, string, &key, err);
        if (!st) st = head_reserve(r->s->heads, h, cells, 1, value.n, err);
        if (st) break;
        if (head_value_new(value, &copy)) {
            heads_lock_write(r->s->heads);
            if (tags) {
                head_set_tag(r->s->heads, h, key, copy, false, &at);
            } else {
                head_set_param(r->s->heads, h, key, copy);
            }
            heads_unlock(r->s->heads);
        } else {
            st = err_nomem(err);
        }
        head_unreserve(cells, 1);
    }
    if (!st && rec->payload.bad) st = damaged(r, rec, err);
    return st;
}

static enum status play_tag_deleted(struct replay *r, struct batch_record *rec, struct head *h,
                                    struct err *err)
{
    struct stamp at = stamp_of(r, rec);
    struct mkey *key;
    uint32_t string;
    enum status st;

    if (!batch_get_string(&r->reader, rec, &string)) {
        return damaged(r, rec, err);
    }
    st = key_at(r, string, &key, err);
    if (!st) st = head_reserve(r->s->heads, h, &h->tags, 1, 0, err);
    if (st) return st;
    heads_lock_write(r->s->heads);
    head_set_tag(r->s->heads, h, key, (struct str){ NULL, 0 }, true, &at);
    heads_unlock(r->s->heads);
    head_unreserve(&h->tags, 1);
    return OK;
}

static enum status play_attrs(struct replay *r, struct batch_record *rec, struct head *h,
                              struct err *err)
{
    struct stamp at = stamp_of(r, rec);
    struct batch_attrs attrs;
    struct str name = { NULL, 0 };

    if (!batch_get_attrs(rec, &attrs)) {
        return damaged(r, rec, err);
    }
    if ((attrs.mask & BATCH_ATTR_NAME) && !head_value_new(attrs.name, &name)) {
        return err_nomem(err);
    }
    heads_lock_write(r->s->heads);
    if (attrs.mask & BATCH_ATTR_STATUS) head_set_status(h, (int)attrs.status, &at);
    if (attrs.mask & BATCH_ATTR_END) head_set_end(h, attrs.end_ms, &at);
    if (attrs.mask & BATCH_ATTR_NAME) head_set_name(r->s->heads, h, name, &at);
    heads_unlock(r->s->heads);
    return OK;
}

static enum status play_lifecycle(struct replay *r, struct batch_record *rec, struct head *only,
                                  struct err *err)
{
    struct stamp at = stamp_of(r, rec);
    uint8_t lifecycle;
    int64_t deleted_ms;
    size_t i = 0;

    if (!batch_get_lifecycle(rec, &lifecycle, &deleted_ms)) {
        return damaged(r, rec, err);
    }
    heads_lock_write(r->s->heads);
    if (only) {
        head_set_lifecycle(only, lifecycle, deleted_ms, &at);
    } else {
        /* The rows were changed by the group itself; heads in memory were loaded before it was played. */
        for (struct head *h = heads_next_of(r->s->heads, rec->owner, &i); h;
             h = heads_next_of(r->s->heads, rec->owner, &i)) {
            head_set_lifecycle(h, lifecycle, deleted_ms, &at);
        }
    }
    heads_unlock(r->s->heads);
    if (!only) {
        heads_touch_all(r->s->heads);
        runcols_lifecycle(heads_columns(r->s->heads), rec->owner, lifecycle);
    }
    return OK;
}

/* The row came with the group. A start has no columns yet; later they have to learn of it. */
static enum status play_created(struct replay *r, const struct batch_record *rec, struct err *err)
{
    struct runcols *columns = heads_columns(r->s->heads);
    struct head *h;
    enum status st;

    heads_touch(r->s->heads, rec->owner);
    if (runcols_are_empty(columns)) {
        return OK;
    }
    st = heads_load_uid(r->s->heads, r->s->writer, rec->owner, &h, err);
    if (!st) runcols_touch(columns, h->exp, h->uid, &h->touched);
    return st == ST_NOT_FOUND ? OK : st; /* gone since */
}

static enum status play_record(struct replay *r, struct batch_record *rec, struct err *err)
{
    struct q_tombstone_get_row gone;
    struct head *h = NULL;
    enum status st;

    switch (rec->kind) {
    case BATCH_OWNER_POINTS: return play_points(r, rec, NULL, err);
    case BATCH_EXPERIMENT_LIFECYCLE: return play_lifecycle(r, rec, NULL, err);
    case BATCH_TOKENS: r->s->peers.tokens = true; return OK;
    case BATCH_RUN_PURGED:
        heads_purge(r->s->heads, rec->owner);
        series_forget(r->s->series, rec->owner);
        return OK;
    case BATCH_RUN_CREATED: return play_created(r, rec, err);
    case BATCH_LINKS:
        heads_touch(r->s->heads, rec->owner); /* their rows came with the group */
        return OK;
    case BATCH_POINTS:
    case BATCH_PARAMS:
    case BATCH_TAGS:
    case BATCH_TAG_DELETED:
    case BATCH_ATTRIBUTES:
    case BATCH_LIFECYCLE: break;
    }
    st = heads_load_uid(r->s->heads, r->s->writer, rec->owner, &h, err);
    if (st == ST_NOT_FOUND && r->foreign) {
        return OK; /* gone since */
    }
    if (st == ST_NOT_FOUND) {
        st = q_tombstone_get(r->s->writer, NULL, rec->owner, &gone, err);
        if (st != ST_NOT_FOUND) return st; /* deleted for good by a later record */
        return err_set(err, ST_CORRUPT, "batch %lld names run %lld, which has no row",
                       (long long)r->seq, (long long)rec->owner);
    }
    if (st) return st;
    if (rec->kind == BATCH_POINTS) {
        return play_points(r, rec, h, err);
    }
    if (rec->kind == BATCH_PARAMS || rec->kind == BATCH_TAGS) {
        st = play_pairs(r, rec, h, rec->kind == BATCH_TAGS, err);
    } else if (rec->kind == BATCH_TAG_DELETED) {
        st = play_tag_deleted(r, rec, h, err);
    } else if (rec->kind == BATCH_ATTRIBUTES) {
        st = play_attrs(r, rec, h, err);
    } else {
        st = play_lifecycle(r, rec, h, err);
    }
    if (!st) heads_dirty(r->s->heads, h, true, r->s->drain);
    return st;
}

/* The row could not be played whole: the drain that covers it keeps it. */
static enum status set_aside(struct replay *r, enum status st, struct err *err)
{
    struct seq *s = r->s;
    bool noted = s->aside.n > 0 && s->aside.p[s->aside.n - 1] == r->seq;
    int64_t *p;

    if (st != ST_CORRUPT) return st;
    p = noted ? &s->aside.p[s->aside.n - 1] : vec_add(&s->aside);
    if (!p) return err_nomem(err);
    *p = r->seq;
    return spare(st, err, "something of row", r->seq);
}

static enum status play_records(struct replay *r, struct err *err)
{
    struct batch_record rec;
    enum status st = OK;

    r->keys = ARENA_ARRAY(r->arena, struct mkey *, r->reader.strings_n + 1);
    if (!r->keys) {
        return err_nomem(err);
    }
    while (!st && (st = batch_next(&r->reader, &rec, err)) == OK) {
        st = set_aside(r, play_record(r, &rec, err), err);
    }
    return st == ST_END ? OK : st;
}

static enum status play_batch(struct replay *r, const struct q_batch_after_row *row,
                              struct err *err)
{
    enum status st;

    arena_reset(r->arena);
    r->epoch = row->epoch;
    r->seq = row->seq;
    r->drain = row->drain;
    st = batch_open(&r->reader, r->arena, row->body, row->seq, row->epoch, row->part, row->n, err);
    if (!st) st = play_records(r, err);
    st = set_aside(r, st, err);
    if (st) return st;
    r->s->last_seq = row->seq;
    r->s->tag = row->tag;
    r->s->log_bytes += row->body.n;
    if (r->s->log_since_ms < 0) r->s->log_since_ms = r->foreign ? clock_mono_ms() : 0;
    return OK;
}

/* Rows above the mark, by pages; what does not fit into the tails is drained in between. */
static enum status play_log(struct seq *s, struct err *err)
{
    struct replay r = { .s = s, .arena = arena_new(REPLAY_ARENA_MAX) };
    struct q_batch_after_row row;
    size_t rows, played = 0;
    enum status st = r.arena ? OK : err_nomem(err);

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        if (!st) st = q_batch_after_open(s->writer, &q, s->last_seq, PAGE, err);
        while (!st && (st = q_batch_after_next(q, &row, err)) == OK) {
            rows++;
            s->replayed_bytes += row.body.n;
            st = play_batch(&r, &row, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
        played += rows;
        if (!st && !s->peers.snapshot &&
            series_bytes(s->series) > series_max_bytes(s->series) / 2) {
            st = seq_drain_now(s, false, err);
        }
    } while (!st && rows == PAGE);
    arena_free(r.arena);
    if (!st && played > 0) {
        LOG_INFO("store", "replayed %zu groups of the log", played);
    }
    return st;
}

enum status seq_replay(struct seq *s, struct err *err)
{
    struct q_part_get_row part;
    struct q_uid_last_row uid;
    int64_t began_ns = clock_mono_ns(), engine_ns, engine = sql_wal_found(s->db, &engine_ns);
    enum status st = q_part_get(s->writer, NULL, PART, &part, err);

    if (st == ST_NOT_FOUND) {
        return err_set(err, ST_CORRUPT, "the store has no watermark");
    }
    if (!st) st = q_uid_last(s->writer, NULL, &uid, err);
    if (st) return st;
    s->epoch = part.epoch;
    s->mark = part.mark;
    s->drain = part.drain;
    runcols_drained(heads_columns(s->heads), part.drain);
    s->folded = part.folded;
    s->last_uid = uid.uid;
    s->recorded_ms = MAX_OF(s->recorded_ms, uid.recorded_ms);
    s->fold_bytes = 0;
    s->replayed_bytes = (size_t)engine;
    s->last_seq = part.mark;
    s->tag = 0;
    s->replay_tip = part.tip;
    if (!s->peers.on) s->fence = part.fence;
    if (s->folded < s->drain) {
        st = fold_packs(s, err);
    }
    if (!st) st = play_log(s, err);
    s->replay_ns = engine_ns;
    if (s->replayed_bytes > (size_t)engine) s->replay_ns += clock_mono_ns() - began_ns;
    s->replay_tip = 0;
    if (!st && s->last_seq == part.mark)
        s->tag = part.tag; /* of the last row, which is deleted or covered */
    if (!st && part.tip > s->last_seq) {
        st = err_set(err, ST_CORRUPT, "the log ends at %lld, not at %lld", (long long)s->last_seq,
                     (long long)part.tip);
    }
    if (!st) seq_applied_now(s);
    return st;
}

/* ---- rows of other servers -------------------------------------------------------------------------------------------------- */

/* Another server has drained all that this one has played. */
static void drained_elsewhere(struct seq *s, const struct q_batch_catch_up_row *row)
{
    series_drained(s->series);
    heads_drained_elsewhere(s->heads, row->drain, row->folded);
    runcols_drained(heads_columns(s->heads), row->drain);
    s->drain = row->drain;
    s->folded = row->folded;
    s->mark = row->mark;
    if (row->folded == row->drain) s->fold_bytes = 0;
    s->log_bytes = 0;
    s->log_since_ms = -1;
}

static enum status broken(struct seq *s, const char *why, struct err *err)
{
    enum status st = err_set(err, ST_UNAVAILABLE, "the server reads its store anew");

    LOG_WARN("store", "the log does not go on behind row %lld: %s", (long long)s->last_seq, why);
    if (err) err->retry_after_s = 1;
    s->peers.lost = true;
    return st;
}

static enum status play_foreign(struct replay *r, const struct q_batch_catch_up_row *row,
                                struct err *err)
{
    struct seq *s = r->s;
    struct q_batch_after_row as = { .seq = row->seq,
                                    .epoch = row->epoch,
                                    .part = row->part,
                                    .n = row->n,
                                    .drain = row->row_drain,
                                    .tag = row->tag,
                                    .body = row->body };
    size_t room = (size_t)row->n * 2 * sizeof(struct tail_point);
    enum status st;

    if (row->seq != s->last_seq + 1 || row->prev != s->tag) {
        return broken(s, row->seq == s->last_seq + 1 ? "another history" : "rows are gone", err);
    }
    if (row->seq > row->mark && row->drain > s->drain) drained_elsewhere(s, row);
    r->covered = row->seq <= row->mark;
    if (!r->covered && series_bytes(s->series) + room > series_max_bytes(s->series)) {
        st = err_set(err, ST_UNAVAILABLE, "metric points of other servers wait to be written");
        if (err) err->retry_after_s = 1;
        return st; /* before anything of the row is played */
    }
    st = play_batch(r, &as, err);
    FAILPOINT("seq.postgres.played");
    return st ? broken(s, "a row cannot be played", err) : OK;
}

static enum status catch_up_page(struct replay *r, size_t *rows, struct err *err)
{
    struct seq *s = r->s;
    struct q_batch_catch_up_row row = { 0 };
    struct sql_stmt *q = NULL;
    enum status st = q_batch_catch_up_open(s->writer, &q, PART, s->last_seq, PAGE, err);

    *rows = 0;
    while (!st && (st = q_batch_catch_up_next(q, &row, err)) == OK) {
        if (row.seq_null) {
            if (row.tip != s->last_seq || row.tip_tag != s->tag) {
                st = broken(s, "it ends elsewhere", err);
            }
            break;
        }
        st = play_foreign(r, &row, err);
        (*rows)++;
    }
    sql_close(q);
    if (st == ST_END) st = OK;
    if (!st && row.drain > s->drain && s->last_seq >= row.mark) drained_elsewhere(s, &row);
    return st;
}

enum status seq_catch_up(struct seq *s, struct err *err)
{
    struct replay r = { .s = s, .arena = arena_new(REPLAY_ARENA_MAX), .foreign = true };
    size_t rows, played = 0;
    enum status st = r.arena ? OK : err_nomem(err);

    do {
        rows = 0;
        if (!st) st = catch_up_page(&r, &rows, err);
        played += rows;
    } while (!st && rows == PAGE);
    arena_free(r.arena);
    if (played > 0) {
        s->peers.refresh = true;
        atomic_fetch_add_explicit(&s->peers.foreign, played, memory_order_relaxed);
        if (s->opt.changed) s->opt.changed(s->opt.changed_ctx, s->peers.tokens);
        s->peers.tokens = false;
    }
    seq_applied_now(s);
    return st;
}
