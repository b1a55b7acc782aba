/* store/seq_drain.c - moving what the log holds to packs and rows, and keeping the engine's own log small.
 * One transaction writes the packs of all tails, the heads that are due, and the watermark they reach; only then are the covered
 * log rows deleted. A crash before the first commit replays the log, one after it finds rows at or below the mark, which a
 * replay does not read and the next drain deletes. */
#include "store/seq_int.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "gen/sql/queries.h"
#include "store/compact.h"
#include "store/runcols/runcols.h"
#include "store/series/chunk.h"
#include "store/sql/sql.h"

enum {
    PART = 0,
    DIRTY_HEADS_BYTES = 16 << 20,
    POINTS_PER_METRIC = 8,
    ROW_PAGE = 4096,
    SAY_EVERY_MS = 60000
};

bool seq_has_log(const struct seq *s)
{
    return s->last_seq > s->mark || s->log_since_ms >= 0;
}

/* A head that only got points can wait: its packs are found by a start through part.folded. But packs that are worth merging
 * can be merged only when the row is complete up to them. */
static bool is_due(const struct seq *s, const struct head *h, bool force, int64_t now)
{
    size_t points = series_owner_points(s->series, h->uid);

    return force || h->attrs_dirty || h->written_ms == 0 ||
           now - h->written_ms >= s->opt.head_age_ms ||
           (points >= CHUNK_POINTS && points / POINTS_PER_METRIC >= h->metrics.n);
}

/* *bytes: of the packs. */
static enum status write_packs(struct seq *s, int64_t drain, size_t *bytes, struct err *err)
{
    size_t at = 0;
    int64_t owner, n, kn;
    struct str body;
    enum status st = OK;

    *bytes = 0;
    while (!st && series_next(s->series, &at, &owner)) {
        st = series_pack(s->series, owner, drain, &body, &n, &kn, err);
        if (!st) st = q_pack_insert(s->writer, owner, drain, n, kn, body, err);
        if (!st) *bytes += body.n;
        FAILPOINT("seq.drain.pack");
        if (!st && s->opt.compact) compact_packed(s->opt.compact, owner, kn);
    }
    return st;
}

/* *folded: every head is complete up to it once this is committed. */
static enum status write_heads(struct seq *s, int64_t drain, bool force, int64_t now,
                               int64_t *folded, struct err *err)
{
    enum status st = OK;

    *folded = drain;
    for (struct head *h = heads_first_dirty(s->heads); h && !st; h = h->next) {
        if (is_due(s, h, force, now)) {
            st = head_write(s->heads, s->writer, h, drain, err);
            FAILPOINT("seq.drain.head");
            if (h->attrs_dirty && h->has_end && h->metrics.n > 0 && s->opt.compact) {
                compact_ended(s->opt.compact, h->uid);
            }
        } else {
            *folded = MIN_OF(*folded, h->dirty_since);
        }
    }
    return st;
}

static void heads_done(struct seq *s, int64_t drain, bool force, int64_t now)
{
    struct head *next;

    for (struct head *h = heads_first_dirty(s->heads); h; h = next) {
        next = h->next;
        if (is_due(s, h, force, now)) {
            head_written(s->heads, h, drain, MAX_OF(now, (int64_t)1));
        }
    }
}

static enum status set_aside(struct seq *s, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; i < s->aside.n && !st; i++) {
        st = q_batch_set_aside(s->writer, s->aside.p[i], err);
    }
    return st;
}

void seq_drain_committed(struct seq *s, int64_t drain, int64_t folded)
{
    heads_done(s, drain, s->drain_force, s->drain_now);
    series_drained(s->series);
    s->drain = drain;
    runcols_drained(heads_columns(s->heads), drain);
    s->folded = folded;
    s->mark = s->last_seq;
    s->aside.n = 0;
    s->fold_bytes = folded == drain ? 0 : s->fold_bytes + s->drain_packs;
    s->log_bytes = 0;
    s->log_since_ms = -1;
    atomic_fetch_add_explicit(&s->drains, 1, memory_order_relaxed);
}

/* ---- what covers rows may delete ----------------------------------------------------------------------------------------- */

/* Rows that somebody still has to read (core/outbox.h) stay, as long as they are not more than the cap; then the older half goes unread,
 * and again. Counting them reads the heads of rows only, and is done only while somebody is behind. */
static enum status find_release(struct seq *s, struct err *err)
{
    struct q_emit_floor_all_row floor;
    struct q_emit_held_row held = { 0 };
    enum status st = q_emit_floor_all(s->writer, NULL, &floor, err);

    s->release = st ? 0 : MIN_OF(s->mark, floor.mark);
    while (!st && s->release < s->mark) {
        st = q_emit_held(s->writer, NULL, s->release, s->mark, &held, err);
        if (st || held.bytes <= (int64_t)s->opt.hold_bytes) {
            break;
        }
        s->release += (s->mark - s->release + 1) / 2;
    }
    if (!st && s->release > MAX_OF(MIN_OF(s->mark, floor.mark), s->unread_to)) {
        int64_t n = s->release - MAX_OF(floor.mark, s->unread_to);

        s->unread_to = s->release;
        atomic_fetch_add_explicit(&s->unread, (uint64_t)n, memory_order_relaxed);
        if (s->unread_said_ms == 0 || clock_mono_ms() - s->unread_said_ms >= SAY_EVERY_MS) {
            s->unread_said_ms = MAX_OF(clock_mono_ms(), (int64_t)1);
            LOG_WARN("store",
                     "%lld rows of the log go unread: who has to read them is too far behind",
                     (long long)n);
        }
    }
    atomic_store_explicit(&s->held, s->release < s->mark ? (size_t)held.bytes : 0,
                          memory_order_relaxed);
    return st;
}

/* On PostgreSQL the log lies in tables that are emptied whole. */
static bool on_tables(const struct seq *s)
{
    return sql_conn_engine(s->writer) == SQL_POSTGRES;
}

static enum status trim_commit(struct seq *s, enum status st, struct err *err)
{
    FAILPOINT("seq.trim.before_commit");
    if (!st) st = sql_commit(s->writer, err);
    FAILPOINT("seq.trim.after_commit");
    if (st) sql_rollback(s->writer);
    return st;
}

/* The last row of a table of the log that may go: covered, and played by all. 0: none. *slot: which. */
static enum status find_table(struct seq *s, int64_t after, int64_t *slot, int64_t *last,
                              struct err *err)
{
    struct q_log_tables_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_log_tables_open(s->writer, &q, PART, s->peers.me, err);

    *last = 0;
    while (!st && *last == 0 && (st = q_log_tables_next(q, &row, err)) == OK) {
        if (row.slot > after && row.last > 0 && row.last <= MIN_OF(s->release, row.played)) {
            *last = row.last;
            *slot = row.slot;
        }
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* Empties one table. Who reads it for long (a dump, say) is not waited for: it stays until the next drain. */
static enum status empty_table(struct seq *s, int64_t slot, int64_t last, struct err *err)
{
    static enum status (*const lock[])(struct sql_conn *,
                                       struct err *) = { q_log_lock_0, q_log_lock_1, q_log_lock_2,
                                                         q_log_lock_3 };
    static enum status (*const clear[])(struct sql_conn *,
                                        struct err *) = { q_log_clear_0, q_log_clear_1,
                                                          q_log_clear_2, q_log_clear_3 };
    struct q_turn_take_row now;
    int64_t again_slot = -1, again = 0;
    enum status st = sql_begin(s->writer, err);

    /* Under the turn no row comes in, and nobody changes which table is filled. */
    if (!st) st = q_turn_take(s->writer, NULL, PART, &now, err);
    if (!st && now.fence != s->fence) st = err_set(err, ST_UNAVAILABLE, "another server drains");
    if (!st) st = q_lock_shortly(s->writer, err);
    if (!st) st = lock[slot](s->writer, err);
    if (!st) st = find_table(s, slot - 1, &again_slot, &again, err);
    if (!st && again_slot == slot && again == last) st = clear[slot](s->writer, err);
    return trim_commit(s, st, err);
}

static enum status empty_tables(struct seq *s, struct err *err)
{
    struct err busy = ERR_INIT;
    int64_t slot = -1, last;
    enum status st;

    do {
        st = find_table(s, slot, &slot, &last, err);
        if (!st && last > 0 && empty_table(s, slot, last, &busy)) {
            LOG_DEBUG("store", "a part of the log stays for now: %s", busy.message);
        }
    } while (!st && last > 0);
    return st;
}

static enum status delete_covered(struct seq *s, struct err *err)
{
    enum status st = find_release(s, err);

    if (st) return st;
    if (on_tables(s)) {
        return empty_tables(s, err);
    }
    st = sql_begin(s->writer, err);
    if (!st) st = q_batch_drop_covered(s->writer, s->release, err);
    return trim_commit(s, st, err);
}

/* ---- the engine's log -------------------------------------------------------------------------------------------------------
 * A start after a kill reads three things: the engine's log, the rows of the log above the mark, the packs that the rows of heads
 * lack. A drain empties the second and ends the third; here the first is cut, so that the sum stays below 32 MB
 * (decisions/181-what-a-start-replays.md). */

/* All of it, as of the last commit. */
static size_t replay_bytes(const struct seq *s)
{
    return s->log_bytes + s->fold_bytes + (size_t)sql_wal_kept(s->writer);
}

void seq_note_replay(struct seq *s)
{
    size_t bytes = replay_bytes(s);

    atomic_store_explicit(&s->seen_replay, bytes, memory_order_relaxed);
    if (bytes > atomic_load_explicit(&s->seen_replay_max, memory_order_relaxed)) {
        atomic_store_explicit(&s->seen_replay_max, bytes, memory_order_relaxed);
    }
}

/* `more` bytes are about to be written. When a reader has a snapshot for long (a backup) the log cannot be cut: it is tried again
 * when it has grown. */
static bool cut_is_due(const struct seq *s, size_t more)
{
    int64_t wal = sql_wal_kept(s->writer);

    int64_t tried = wal < s->wal_cut_at ? 0 : s->wal_cut_at; /* it may have begun again */

    return wal >= s->opt.wal_bytes / 2 && wal >= tried + s->opt.wal_bytes / 2 &&
           replay_bytes(s) + more >= (size_t)s->opt.wal_bytes / 2 * 5;
}

/* A reader in the way leaves the rest for the next time; nothing is lost. */
static void cut(struct seq *s, enum sql_checkpoint_mode mode)
{
    struct err err ATTR_UNINIT;

    err_clear(&err);
    IGNORE_STATUS(sql_checkpoint(s->writer, mode, &err));
    FAILPOINT("seq.checkpoint.truncated");
    s->wal_passive_at = 0;
    s->wal_cut_at = sql_wal_kept(s->writer);
    seq_note_replay(s);
}

static void cut_if_due(struct seq *s)
{
    if (cut_is_due(s, 0)) cut(s, SQL_CHECKPOINT_CUT);
}

/* Before a drain: about what it will write, a page for each row and what is in them. */
static void make_room(struct seq *s)
{
    size_t rows = 2 * heads_dirty_n(s->heads);

    if (cut_is_due(s, rows * ROW_PAGE + series_bytes(s->series) / 2 +
                          heads_dirty_bytes(s->heads) / 2)) {
        cut(s, SQL_CHECKPOINT_CUT);
    }
}

/* Copied so far: the log may have begun again since. */
static int64_t passive_at(const struct seq *s, int64_t bytes)
{
    return bytes < s->wal_passive_at ? 0 : s->wal_passive_at;
}

enum status seq_drain_now(struct seq *s, bool force, struct err *err)
{
    int64_t drain = s->drain + 1, folded = drain, changed = 0;
    enum status st;

    if (!seq_has_log(s) && (!force || !heads_first_dirty(s->heads))) {
        return OK;
    }
    s->drain_now = clock_mono_ms();
    FAILPOINT("seq.drain.begin");
    make_room(s);
    st = seq_turn(s, err); /* after it other servers may have drained */
    if (!st) st = seq_own(s, err);
    folded = drain = s->drain + 1;
    s->drain_force = force || heads_dirty_bytes(s->heads) > DIRTY_HEADS_BYTES ||
                     s->fold_bytes >= s->opt.drain_bytes / 2;
    if (!st) st = write_packs(s, drain, &s->drain_packs, err);
    if (!st) st = write_heads(s, drain, s->drain_force, s->drain_now, &folded, err);
    if (!st && s->aside.n > 0) st = set_aside(s, err);
    if (!st) {
        st = q_part_advance(s->writer, PART, s->drain, s->last_seq, drain, folded, s->fence,
                            MAX_OF(s->last_seq, s->replay_tip), &changed, err);
    }
    if (!st && changed == 1 && on_tables(s)) st = q_log_rotate(s->writer, PART, s->fence, err);
    if (!st && changed != 1) {
        seq_suspect(s);
        st = s->peers.on
                 ? err_set(err, ST_UNAVAILABLE, "another server has taken over")
                 : err_set(err, ST_CORRUPT, "the store's watermark was moved by somebody else");
    }
    FAILPOINT("seq.drain.before_commit");
    if (!st && FAILPOINT_ERR("seq.drain.commit_fails")) {
        st = err_set(err, ST_UNAVAILABLE, "the store cannot be written");
    }
    if (!st) st = sql_commit(s->writer, err);
    FAILPOINT("seq.drain.after_commit");
    if (st) {
        if (sql_outcome_unknown(s->writer)) {
            s->doubt = DOUBT_DRAIN;
        } else {
            sql_rollback(s->writer);
            seq_suspect(s);
        }
        return st;
    }
    seq_drain_committed(s, drain, folded);
    if (s->opt.compact) compact_drained(s->opt.compact);
    s->checkpointed = false;
    seq_note_replay(s);
    cut_if_due(s);
    st = delete_covered(s, err);
    seq_note_replay(s);
    return st;
}

/* Until nobody has written for as long as the options say. */
static int64_t idle_in(const struct seq *s, int64_t now)
{
    return MAX_OF(s->idle_since_ms + s->opt.idle_ms - now, (int64_t)1);
}

bool seq_checkpoint_due(const struct seq *s)
{
    int64_t bytes = sql_wal_bytes(s->writer);

    return cut_is_due(s, 0) || bytes >= passive_at(s, bytes) + s->opt.wal_bytes;
}

int64_t seq_checkpoint(struct seq *s, bool idle)
{
    struct err err ATTR_UNINIT;
    int64_t bytes = sql_wal_bytes(s->writer), now = clock_mono_ms();
    bool rest;

    if (s->checkpointed || (bytes == 0 && !idle)) {
        return -1;
    }
    err_clear(&err);
    rest = idle && now - s->idle_since_ms >= s->opt.idle_ms;
    if (!rest && cut_is_due(s, 0)) {
        cut(s, SQL_CHECKPOINT_CUT);
        return idle ? idle_in(s, now) : -1;
    }
    if (rest && sql_wal_kept(s->writer) > 0) {
        cut(s, SQL_CHECKPOINT_TRUNCATE);
    }
    if (rest) {
        s->checkpointed = true;
        batch_trim(&s->g.batch);
        sql_rest(s->writer);
        if (s->opt.idle) s->opt.idle(s->opt.idle_ctx);
        return -1;
    }
    if (bytes >= passive_at(s, bytes) + s->opt.wal_bytes) {
        IGNORE_STATUS(sql_checkpoint(s->writer, SQL_CHECKPOINT_PASSIVE, &err));
        FAILPOINT("seq.checkpoint.passive");
        s->wal_passive_at = sql_wal_kept(s->writer);
    }
    return idle ? idle_in(s, now) : -1;
}
