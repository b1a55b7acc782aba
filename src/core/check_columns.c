/* core/check_columns.c - search columns at rest: bodies decode, and what they say of a run is what its row says.
 * A column is complete up to the drain that its key names; rows of later drains, runs that the log names above the
 * watermark, and owners of packs that no row has taken in are newer, and are left out here as a load leaves them out. Each
 * segment is one snapshot. */
#include "core/check_int.h"

#include "base/mem.h"
#include "store/runcols/runcols.h"
#include "store/sql/sql.h"

enum { PAGE = 64, PART = 0, KEYS_AT_ONCE = 16, NEWER_MAX = 1 << 24 };

static const struct column_key uid_key = { COLUMN_ATTR, COLUMN_UID };

struct stored_key {
    struct column_key key;
    int64_t ver, fill;
    bool has_fill;
};
struct segment {
    struct check *c;
    int64_t exp, seg;
    struct int_map newer; /* runs that may be newer than their rows */
    bool all_newer;       /* the log is damaged: nobody knows which */
    struct stored_key *keys;
    size_t keys_n;
    int64_t uid_ver;
    struct column *uids;
    int64_t *uid; /* of each slot; of a run that has gone, that of the slot before */
    uint32_t rows;
    /* The keys in hand. */
    const struct stored_key *of[KEYS_AT_ONCE];
    struct column *columns[KEYS_AT_ONCE];
    size_t n;
    struct arena *texts;
};

struct str check_key_name(struct check *c, struct column_key key)
{
    static const char *const kinds[] = {
        [COLUMN_ATTR] = "attribute",      [COLUMN_METRIC] = "metric", [COLUMN_METRIC_MIN] = "least",
        [COLUMN_METRIC_MAX] = "greatest", [COLUMN_PARAM] = "param",   [COLUMN_TAG] = "tag"
    };
    static const char *const attrs[] = {
        "?",        "uid",    "run_id", "lifecycle", "start_time",
        "end_time", "status", "user",   "name",      "artifact_uri"
    };
    const char *kind = key.kind < ARRAY_N(kinds) ? kinds[key.kind] : "?";
    struct q_mkey_by_id_row row;
    struct err ignored = ERR_INIT;

    if (key.kind == COLUMN_ATTR) {
        return arena_printf(c->scratch, "%s %s", kind, attrs[key.id < ARRAY_N(attrs) ? key.id : 0]);
    }
    if (q_mkey_by_id(c->conn, c->scratch, key.id, &row, &ignored) == OK) {
        return arena_printf(c->scratch, "%s %.*s", kind, STR_ARG(row.name));
    }
    return arena_printf(c->scratch, "%s %u", kind, key.id);
}

/* ---- what is newer --------------------------------------------------------------------------------------------------------------- */

static enum status newer_put(struct segment *s, int64_t run, struct err *err)
{
    return int_map_put(&s->newer, (uint64_t)run, s) ? err_nomem(err) : OK;
}

static enum status newer_in_batch(struct segment *s, const struct q_batch_after_row *row,
                                  struct err *err)
{
    struct batch_reader b;
    struct batch_record rec;
    enum status st =
        batch_open(&b, s->texts, row->body, row->seq, row->epoch, row->part, row->n, err);

    while (!st && (st = batch_next(&b, &rec, err)) == OK) {
        if (check_record_names_run(&rec)) st = newer_put(s, rec.owner, err);
        if (st) return st;
    }
    if (st == ST_CORRUPT) { /* reported with the log */
        *err = (struct err)ERR_INIT;
        s->all_newer = true;
        st = OK;
    }
    return st == ST_END ? OK : st;
}

static enum status newer_in_log(struct segment *s, int64_t mark, struct err *err)
{
    struct q_batch_after_row row = { .seq = mark };
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_batch_after_open(s->c->conn, &q, row.seq, PAGE, err);
        while (!st && (st = q_batch_after_next(q, &row, err)) == OK) {
            rows++;
            arena_reset(s->texts);
            st = newer_in_batch(s, &row, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    return st;
}

static enum status newer_runs(struct segment *s, struct err *err)
{
    struct q_part_get_row part = { 0 };
    struct q_check_pack_newer_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_part_get(s->c->conn, NULL, PART, &part, err);

    int_map_release(&s->newer);
    s->newer = (struct int_map)INT_MAP_INIT(NEWER_MAX);
    s->all_newer = st == ST_NOT_FOUND;
    if (st) return st == ST_NOT_FOUND ? OK : st; /* reported already */
    st = newer_in_log(s, part.mark, err);
    if (!st) st = q_check_pack_newer_open(s->c->conn, &q, part.folded, err);
    while (!st && (st = q_check_pack_newer_next(q, &row, err)) == OK) {
        st = newer_put(s, row.owner, err);
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* ---- one segment ----------------------------------------------------------------------------------------------------------------- */

static enum status damaged(struct segment *s, struct column_key key, enum status st,
                           struct err *err)
{
    struct str name, first = S("its first run"), last = S("its last");

    if (st != ST_CORRUPT) return st;
    name = check_key_name(s->c, key);
    if (s->uids) {
        first = check_owner_name(s->c, s->uid[0]);
        last = check_owner_name(s->c, s->uid[s->rows - 1]);
    }
    check_finding(
        s->c, CHECK_COLUMN,
        arena_printf(s->c->scratch,
                     "experiment %lld, column of %.*s, segment %lld, from %.*s to %.*s: %s; it "
                     "is built again when it is needed",
                     (long long)s->exp, STR_ARG(name), (long long)s->seg, STR_ARG(first),
                     STR_ARG(last), err->message));
    *err = (struct err)ERR_INIT;
    return OK;
}

/* *out is NULL where no run has the key; *used false where a load would not take the cell. */
static enum status read_cell(struct segment *s, struct column_key key, struct column **out,
                             uint32_t *rows, bool *used, struct err *err)
{
    struct column_place at = { s->exp, s->seg, key };
    struct q_check_colseg_row row;
    const struct column_zone *z;
    enum status st =
        q_check_colseg(s->c->conn, s->texts, s->exp, key.kind, key.id, s->seg, &row, err);

    *out = NULL;
    *used = false;
    if (st == ST_NOT_FOUND) return OK;
    if (st) return st;
    if (row.rows <= 0 || row.rows > COLUMN_ROWS || row.present < 0 || row.present > row.rows) {
        return err_set(err, ST_CORRUPT, "it says that it has %lld rows, %lld of them with a value",
                       (long long)row.rows, (long long)row.present);
    }
    *rows = (uint32_t)row.rows;
    if (row.present > 0) st = column_decode(out, row.body, &at, err);
    z = *out ? column_zone(*out) : NULL;
    if (!st && z &&
        (column_type(*out) != column_key_type(key) || z->rows != row.rows ||
         z->present_n != row.present || z->nan_n != row.nan || z->min != row.vmin ||
         z->max != row.vmax)) {
        st = err_set(err, ST_CORRUPT, "it is not what its row says");
    }
    if (st) {
        column_unref(*out);
        *out = NULL;
    }
    *used = st == OK;
    return st;
}

static struct str value_text(struct check *c, struct column_key key, const struct run_pick *p)
{
    if (!p->has) return S("nothing");
    switch (column_key_type(key)) {
    case COLUMN_DOUBLE: return arena_printf(c->scratch, "%.17g", p->d);
    case COLUMN_INTEGER: return arena_printf(c->scratch, "%lld", (long long)p->i);
    case COLUMN_TEXT:
    default: return arena_printf(c->scratch, "'%.*s'", (int)MIN_OF(p->s.n, (size_t)200), p->s.p);
    }
}

static struct run_pick column_pick(const struct column *c, struct column_key key, uint32_t slot)
{
    struct run_pick p = { .has = false };

    switch (column_key_type(key)) {
    case COLUMN_DOUBLE: p.has = column_double(c, slot, &p.d); break;
    case COLUMN_INTEGER: p.has = column_integer(c, slot, &p.i); break;
    case COLUMN_TEXT:
    default: p.has = column_text(c, slot, &p.s); break;
    }
    return p;
}

static void differs(struct segment *s, size_t k, int64_t uid, uint32_t slot,
                    const struct run_pick *of_row)
{
    struct column_key key = s->of[k]->key;
    struct run_pick mine =
        s->columns[k] ? column_pick(s->columns[k], key, slot) : (struct run_pick){ .has = false };
    struct str run = check_owner_name(s->c, uid), name = check_key_name(s->c, key);
    struct str a = value_text(s->c, key, &mine), b = value_text(s->c, key, of_row);

    check_finding(s->c, CHECK_COLUMN,
                  arena_printf(s->c->scratch,
                               "%.*s: the search column of %.*s has %.*s, the run %.*s",
                               STR_ARG(run), STR_ARG(name), STR_ARG(a), STR_ARG(b)));
}

/* The slot of a run that has one. */
static uint32_t slot_of(const struct segment *s, int64_t uid)
{
    uint32_t lo = 0, hi = s->rows;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (s->uid[mid] < uid) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* The numbers rise from slot to slot. */
static enum status spread_uids(struct segment *s, struct err *err)
{
    int64_t before = INT64_MIN, uid;

    for (uint32_t i = 0; i < s->rows; i++) {
        if (column_integer(s->uids, i, &uid)) {
            if (uid <= before) return err_set(err, ST_CORRUPT, "its runs are not in order");
            before = uid;
        }
        s->uid[i] = before;
    }
    return OK;
}

static enum status compare_row(struct segment *s, const struct q_runs_by_uid_row *row,
                               struct err *err)
{
    struct head_keys keys = { row->run, row->exp, row->rid };
    struct head_body body = { 0 };
    uint32_t slot = slot_of(s, row->run);
    enum status st;

    if (NEVER(slot == s->rows || s->uid[slot] != row->run) || s->all_newer ||
        int_map_get(&s->newer, (uint64_t)row->run)) {
        return OK;
    }
    arena_reset(s->c->scratch);
    st = head_body_decode(s->c->scratch, row->body, &keys, &body, err);
    if (st) {
        *err = st == ST_CORRUPT ? (struct err)ERR_INIT : *err; /* reported with the heads */
        return st == ST_CORRUPT ? OK : st;
    }
    for (size_t k = 0; k < s->n; k++) {
        struct run_pick p = run_pick_of_row(row, &body, s->of[k]->key);

        if (row->ver > s->of[k]->ver) continue;
        if (s->of[k]->has_fill) p.has = p.has && p.i == s->of[k]->fill;
        if (s->of[k]->has_fill ? !p.has : !run_pick_same(s->columns[k], slot, &p)) {
            differs(s, k, row->run, slot, &p);
        }
    }
    return OK;
}

static enum status compare_rows(struct segment *s, struct err *err)
{
    int64_t uids[RUN_PICK_ROWS];
    struct q_runs_by_uid_row row;
    enum status st = OK;

    for (uint32_t at = 0; at < s->rows && !st;) {
        struct sql_stmt *q = NULL;
        size_t n = 0;

        for (; at < s->rows && n < ARRAY_N(uids); at++) {
            n += column_integer(s->uids, at, &uids[n]);
        }
        if (n == 0) continue;
        st = q_runs_by_uid_open(s->c->conn, &q, uids, n, err);
        while (!st && (st = q_runs_by_uid_next(q, &row, err)) == OK) {
            st = compare_row(s, &row, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    }
    return st;
}

static void drop_columns(struct segment *s)
{
    for (size_t k = 0; k < s->n; k++) {
        column_unref(s->columns[k]);
    }
    s->n = 0;
}

/* The next keys from *at on, with their columns. */
static enum status take_keys(struct segment *s, size_t *at, struct err *err)
{
    enum status st = OK;

    for (; *at < s->keys_n && s->n < KEYS_AT_ONCE && !st; (*at)++) {
        const struct stored_key *k = &s->keys[*at];
        uint32_t rows = 0;
        bool used = k->has_fill;

        s->columns[s->n] = NULL;
        if (k->ver < 0) continue;
        if (!used)
            st =
                damaged(s, k->key, read_cell(s, k->key, &s->columns[s->n], &rows, &used, err), err);
        if (used && (k->has_fill || rows == s->rows)) {
            s->of[s->n++] = k;
        } else {
            column_unref(s->columns[s->n]);
        }
    }
    return st;
}

static enum status check_segment(struct segment *s, struct err *err)
{
    size_t at = 0;
    bool used;
    enum status st = newer_runs(s, err);

    arena_reset(s->texts);
    s->rows = 0;
    if (!st) st = read_cell(s, uid_key, &s->uids, &s->rows, &used, err);
    if (!s->uids) s->rows = 0;
    if (!st) st = spread_uids(s, err);
    if (st == ST_CORRUPT) {
        column_unref(s->uids);
        s->uids = NULL;
        s->rows = 0;
        st = damaged(s, uid_key, st, err);
    }
    while (!st && at < s->keys_n && s->rows > 0) {
        arena_reset(s->texts);
        st = take_keys(s, &at, err);
        if (!st && s->n > 0) st = compare_rows(s, err);
        drop_columns(s);
    }
    column_unref(s->uids);
    s->uids = NULL;
    return st;
}

/* ---- one experiment -------------------------------------------------------------------------------------------------------------- */

static enum status read_keys(struct segment *s, struct arena *a, struct err *err)
{
    struct q_colkeys_row row;
    struct sql_stmt *q = NULL;
    size_t cap = 0;
    enum status st = q_colkeys_open(s->c->conn, &q, s->exp, err);

    s->keys = NULL;
    s->keys_n = 0;
    s->uid_ver = -1;
    while (!st && (st = q_colkeys_next(q, &row, err)) == OK) {
        struct column_key key = { (enum column_kind)row.kind, (uint32_t)row.id };

        if (!arena_grow(a, (void **)&s->keys, s->keys_n, &cap, sizeof(*s->keys))) {
            st = err_nomem(err);
            break;
        }
        if (key.kind == uid_key.kind && key.id == uid_key.id) s->uid_ver = row.ver;
        s->keys[s->keys_n++] = (struct stored_key){ .key = key,
                                                    .ver = row.ver,
                                                    .has_fill = !row.fill_null,
                                                    .fill = row.fill_null ? 0 : row.fill };
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static enum status check_experiment(struct segment *s, struct arena *a, struct err *err)
{
    struct q_check_colseg_next_row row = { .seg = -1 };
    enum status st = OK;

    while (!st) {
        bool snapshot = !sql_in_transaction(s->c->conn);

        arena_reset(a);
        if (snapshot) st = sql_read_begin(s->c->conn, err);
        if (st) break;
        st = read_keys(s, a, err);
        if (!st) {
            st = q_check_colseg_next(s->c->conn, NULL, s->exp, uid_key.kind, uid_key.id, row.seg,
                                     &row, err);
        }
        s->seg = row.seg;
        if (!st && !row.seg_null && s->uid_ver >= 0) st = check_segment(s, err);
        if (snapshot) sql_read_end(s->c->conn);
        if (!st && (row.seg_null || s->uid_ver < 0)) break;
    }
    return st;
}

enum status check_columns(struct check *c, struct err *err)
{
    struct segment s = { .c = c,
                         .texts = arena_new(COLUMN_BODY_MAX),
                         .uid = (int64_t *)mem_alloc(COLUMN_ROWS * sizeof(*s.uid)) };
    struct arena *keys = arena_new(64 << 20);
    struct q_check_colkey_exp_row row = { .exp = INT64_MIN };
    enum status st = s.texts && keys && s.uid ? OK : err_nomem(err);

    while (!st) {
        arena_reset(c->scratch);
        st = q_check_colkey_exp(c->conn, NULL, row.exp, &row, err);
        if (st || row.exp_null) break;
        s.exp = row.exp;
        st = check_experiment(&s, keys, err);
    }
    int_map_release(&s.newer);
    arena_free(s.texts);
    arena_free(keys);
    mem_free(s.uid);
    return st;
}
