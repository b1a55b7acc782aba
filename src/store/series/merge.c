/* store/series/merge.c - see merge.h. */
#include "store/series/merge.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "base/vec.h"
#include "gen/sql/queries.h"
#include "store/series/parts.h"
#include "store/series/series_int.h"
#include "store/sql/sql.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    LIST_MAX = 4096,        /* packs looked at */
    BODIES_MAX = 256 << 20, /* far above what the points of one merge encode to */
    ARENA_MAX = 512 << 20,
    LATE_PART = 4, /* late points are put in when they are this part of what is encoded again */
    TIER = 2
};

struct dropped {
    uint32_t key;
    int64_t n;
};
struct entry { /* one key in one pack */
    uint32_t key;
    uint32_t reader;
    const struct pack_key *k;
};
struct cluster { /* chunks that overlap, or may: what is known of their ends meets */
    size_t from, to;
    struct point end;
    bool end_exact; /* it is a point */
    size_t
        mixed; /* the first of them that another one really reaches into; SIZE_MAX: none is known */
    int64_t n;
    size_t late_from, late_to;
};
struct points {
    struct point *p, *tmp;
    size_t cap;
};

struct merger {
    struct arena *arena;   /* packs and lists of the plan */
    struct arena *scratch; /* one chunk */
    struct chunker chunker;
    struct packer *packer;
    int64_t chunk_points;
    size_t rewrite_points;
    _Atomic bool cancelled;
    struct merge_plan plan;
    struct pack_reader *readers;
    size_t readers_n;
    VEC(struct entry) entries;
    VEC(struct chunk_head) heads;
    VEC(struct cluster) clusters;
    VEC(struct tail_point) rest;
    VEC(struct dropped) dropped; /* duplicates of keys of the rest */
    VEC(struct merge_gone) gone;
    VEC(struct merge_chunk) chunks;
    struct points pts, old;
    /* Of the key in hand. */
    uint32_t key;
    int64_t duplicates; /* not yet in a body */
    size_t key_chunks;  /* where its chunks begin */
    size_t late_from;   /* where its part of rest begins */
    size_t rewritten;
    int64_t kn;     /* of the first pack */
    bool no_chunks; /* the owner has none */
    enum merge_mode mode;
};

struct merger *merger_new(size_t chunk_points, size_t rewrite_points)
{
    struct merger *m = (struct merger *)mem_zalloc(1, sizeof(*m));

    if (!m) {
        return NULL;
    }
    m->chunk_points = (int64_t)(chunk_points ? chunk_points : (size_t)CHUNK_POINTS);
    m->rewrite_points = rewrite_points ? rewrite_points : (size_t)MERGE_REWRITE;
    chunker_init(&m->chunker);
    buf_init(&m->plan.bodies, BODIES_MAX);
    m->entries.max = m->dropped.max = m->rest.max = m->heads.max = m->clusters.max = 1 << 26;
    m->gone.max = m->chunks.max = 1 << 22;
    m->arena = arena_new(ARENA_MAX);
    m->scratch = arena_new(ARENA_MAX);
    if (!m->arena || !m->scratch) {
        merger_free(m);
        return NULL;
    }
    return m;
}

void merger_cancel(struct merger *m)
{
    atomic_store_explicit(&m->cancelled, true, memory_order_relaxed);
}

static enum status go_on(struct merger *m, struct err *err)
{
    return atomic_load_explicit(&m->cancelled, memory_order_relaxed)
               ? err_set(err, ST_CANCELLED, "the merge was cancelled")
               : OK;
}

static void points_release(struct points *p)
{
    mem_free(p->p);
    mem_free(p->tmp);
    *p = (struct points){ 0 };
}

void merger_clear(struct merger *m)
{
    struct buf bodies = m->plan.bodies;

    buf_release(&bodies);
    m->plan = (struct merge_plan){ .bodies = bodies };
    points_release(&m->pts);
    points_release(&m->old);
    vec_release(&m->entries);
    vec_release(&m->heads);
    vec_release(&m->clusters);
    vec_release(&m->rest);
    vec_release(&m->dropped);
    vec_release(&m->gone);
    vec_release(&m->chunks);
    packer_free(m->packer);
    m->packer = NULL;
    m->readers = NULL;
    m->readers_n = 0;
    arena_reset(m->arena);
    arena_reset(m->scratch);
}

void merger_free(struct merger *m)
{
    if (!m) {
        return;
    }
    if (m->arena && m->scratch) {
        merger_clear(m);
    }
    chunker_release(&m->chunker);
    arena_free(m->arena);
    arena_free(m->scratch);
    mem_free(m);
}

static bool points_room(struct points *p, size_t n)
{
    size_t cap = MAX_OF(p->cap, (size_t)CHUNK_POINTS);
    struct point *q;

    while (cap < n) {
        cap *= 2;
    }
    if (cap == p->cap) {
        return true;
    }
    q = (struct point *)mem_realloc(p->p, cap * sizeof(*q));
    if (!q) {
        return false;
    }
    p->p = q;
    q = (struct point *)mem_realloc(p->tmp, cap * sizeof(*q));
    if (!q) {
        return false;
    }
    p->tmp = q;
    p->cap = cap;
    return true;
}

/* ---- which packs --------------------------------------------------------------------------------------------------------------- */

struct listed {
    int64_t w0, n, kn;
};

/* The first of the packs to take, by the tiers. */
static size_t window_from(const struct merger *m, const struct listed *l, size_t n)
{
    size_t from = n - 1, filled = n;
    int64_t sum = l[n - 1].n;

    for (size_t i = n; i-- > 0;) {
        if (l[i].kn >= m->chunk_points) filled = i;
    }
    while (from > 0 && (m->mode != MERGE_TIERED || from > filled || l[from - 1].n <= TIER * sum)) {
        from--;
        sum += l[from].n;
    }
    return from;
}

static void window(const struct merger *m, const struct listed *l, size_t n, size_t *from,
                   size_t *to)
{
    int64_t sum = 0;

    *from = window_from(m, l, n);
    /* A large pack in which no key fills a chunk gives nothing by itself. */
    while (*from + 1 < n && l[*from].n > MERGE_POINTS && l[*from].kn > 0 &&
           l[*from].kn < m->chunk_points) {
        (*from)++;
    }
    for (*to = *from; *to < n; (*to)++) {
        sum += l[*to].n;
        if (sum > MERGE_POINTS && *to >= *from + 2) break;
    }
}

static bool is_worth_it(const struct merger *m, const struct listed *l, size_t from, size_t to)
{
    return m->mode == MERGE_FINAL || to - from > 1 || l[from].kn >= m->chunk_points;
}

static enum status choose(struct merger *m, struct sql_conn *conn, int64_t ver, struct err *err)
{
    struct merge_plan *p = &m->plan;
    struct q_pack_list_row row;
    struct sql_stmt *q = NULL;
    struct listed *l = NULL;
    size_t n = 0, cap = 0, from, to;
    enum status st = q_pack_list_open(conn, &q, p->owner, ver, LIST_MAX, err);

    while (!st && (st = q_pack_list_next(q, &row, err)) == OK) {
        if (!arena_grow(m->arena, (void **)&l, n, &cap, sizeof(*l))) {
            st = err_nomem(err);
            break;
        }
        l[n++] = (struct listed){ row.w0, row.n, row.kn };
    }
    sql_close(q);
    if (st != ST_END) return st;
    if (n == 0) {
        return OK;
    }
    window(m, l, n, &from, &to);
    if (!is_worth_it(m, l, from, to)) {
        return OK;
    }
    p->packs = ARENA_ARRAY(m->arena, int64_t, to - from);
    if (!p->packs) {
        return err_nomem(err);
    }
    for (size_t i = from; i < to; i++) {
        p->packs[p->packs_n++] = l[i].w0;
        p->points += l[i].n;
    }
    p->rest_w0 = l[to - 1].w0;
    p->more = to < n;
    m->kn = l[from].kn;
    return OK;
}

/* ---- reading them -------------------------------------------------------------------------------------------------------------- */

static int entry_cmp(const void *a, const void *b)
{
    const struct entry *x = (const struct entry *)a, *y = (const struct entry *)b;

    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->reader < y->reader ? -1 : x->reader > y->reader;
}

static enum status add_entry(struct merger *m, uint32_t key, uint32_t reader,
                             const struct pack_key *k, struct err *err)
{
    struct entry *e = vec_add(&m->entries);

    if (!e) {
        return err_nomem(err);
    }
    *e = (struct entry){ key, reader, k };
    return OK;
}

static enum status find_chunks(struct merger *m, struct sql_conn *conn, struct err *err)
{
    struct q_chunk_next_key_row row;
    enum status st = q_chunk_next_key(conn, NULL, m->plan.owner, -1, &row, err);

    m->no_chunks = !st && row.key_null;
    return st;
}

/* For the final form, keys that have chunks only are looked at too. */
static enum status add_chunk_keys(struct merger *m, struct sql_conn *conn, struct err *err)
{
    struct q_chunk_next_key_row row = { .key = -1 };
    enum status st = OK;

    while (!st) {
        st = q_chunk_next_key(conn, NULL, m->plan.owner, row.key, &row, err);
        if (st || row.key_null) break;
        st = add_entry(m, (uint32_t)row.key, UINT32_MAX, NULL, err);
    }
    return st;
}

static enum status open_packs(struct merger *m, struct sql_conn *conn, struct err *err)
{
    struct merge_plan *p = &m->plan;
    enum status st = OK;

    m->readers = ARENA_ARRAY(m->arena, struct pack_reader, p->packs_n + 1);
    if (!m->readers) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < p->packs_n && !st; i++) {
        struct pack_reader *r = &m->readers[i];
        struct q_pack_one_row row;

        st = go_on(m, err);
        if (!st) st = q_pack_one(conn, m->arena, p->owner, p->packs[i], &row, err);
        if (st == ST_NOT_FOUND) {
            return err_set(err, ST_CONFLICT, "a pack went while it was merged");
        }
        if (!st) st = pack_open(r, m->arena, row.body, p->owner, p->packs[i], row.n, err);
        for (size_t k = 0; k < r->keys_n && !st; k++) {
            st = add_entry(m, r->keys[k].key, (uint32_t)i, &r->keys[k], err);
        }
    }
    if (!st && m->mode == MERGE_FINAL && !m->no_chunks) st = add_chunk_keys(m, conn, err);
    if (!st && m->entries.n > 1) {
        qsort(m->entries.p, m->entries.n, sizeof(*m->entries.p), entry_cmp);
    }
    return st;
}

/* ---- writing what a key gives -------------------------------------------------------------------------------------------------- */

/* A number that no chunk of the key with the same start has. */
static int64_t free_c(const struct merger *m, int64_t t0)
{
    int64_t c = 0;

    for (size_t i = 0; i < m->heads.n; i++) {
        if (m->heads.p[i].t0 == t0) c = MAX_OF(c, m->heads.p[i].c + 1);
    }
    for (size_t i = m->key_chunks; i < m->chunks.n; i++) {
        if (m->chunks.p[i].head.t0 == t0) c = MAX_OF(c, m->chunks.p[i].head.c + 1);
    }
    return c;
}

static enum status put_chunk(struct merger *m, const struct point *p, size_t n, struct err *err)
{
    struct merge_plan *plan = &m->plan;
    struct merge_chunk *c = vec_add(&m->chunks);
    enum status st;

    if (!c) {
        return err_nomem(err);
    }
    m->chunks.n--; /* free_c() looks at the others */
    *c =
        (struct merge_chunk){ .key = m->key,
                              .head = { .lvl = CHUNK_LVL_EXACT, .c = free_c(m, p[0].timestamp_ms) },
                              .at = plan->bodies.n };
    m->chunks.n++;
    st = chunk_encode(&m->chunker, plan->owner, m->key, &c->head, p, n, m->duplicates,
                      &plan->bodies, err);
    c->n = plan->bodies.n - c->at;
    m->duplicates = 0;
    return st;
}

static enum status put_rest(struct merger *m, const struct point *p, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct tail_point *t = vec_add(&m->rest);

        if (!t) {
            return err_nomem(err);
        }
        *t = (struct tail_point){ .p = p[i], .key = m->key };
    }
    return OK;
}

/* ---- existing chunks of a key -------------------------------------------------------------------------------------------------- */

static enum status list_chunks(struct merger *m, struct sql_conn *conn, int64_t from_ms,
                               struct err *err)
{
    struct q_chunk_heads_row row;
    struct sql_stmt *q = NULL;
    enum status st;

    vec_clear(&m->heads);
    if (m->no_chunks) {
        return OK;
    }
    st = q_chunk_heads_open(conn, &q, m->plan.owner, m->key, CHUNK_LVL_EXACT, from_ms, INT64_MAX,
                            err);
    while (!st && (st = q_chunk_heads_next(q, &row, err)) == OK) {
        struct chunk_head *h = vec_add(&m->heads);

        if (!h) {
            st = err_nomem(err);
            break;
        }
        *h = series_chunk_head(&row);
        st = chunk_head_check(h, m->plan.owner, m->key, err);
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static int head_cmp(const void *a, const void *b)
{
    struct point x = chunk_lower((const struct chunk_head *)a);
    struct point y = chunk_lower((const struct chunk_head *)b);

    return point_cmp(&x, &y);
}

static bool is_exact(const struct chunk_head *h)
{
    return (h->flags & CHUNK_MONOTONE) != 0;
}

/* Whether a chunk that begins at `from` begins before `end`, and not only may: inside of one timestamp ends that are not
 * exact tell nothing, and no rewriting can make them tell more. */
static bool reaches_in(const struct cluster *c, const struct chunk_head *h,
                       const struct point *from)
{
    if (c->end.timestamp_ms != from->timestamp_ms) return c->end.timestamp_ms > from->timestamp_ms;
    return c->end_exact && is_exact(h) && point_cmp(&c->end, from) >= 0;
}

static enum status make_clusters(struct merger *m, struct err *err)
{
    struct cluster *c = NULL;

    vec_clear(&m->clusters);
    if (m->heads.n > 1) qsort(m->heads.p, m->heads.n, sizeof(*m->heads.p), head_cmp);
    for (size_t i = 0; i < m->heads.n; i++) {
        const struct chunk_head *h = &m->heads.p[i];
        struct point from = chunk_lower(h), end = chunk_upper(h);

        if (!c || point_cmp(&c->end, &from) < 0) {
            c = vec_add(&m->clusters);
            if (!c) {
                return err_nomem(err);
            }
            *c = (struct cluster){
                .from = i, .end = end, .end_exact = is_exact(h), .mixed = SIZE_MAX
            };
        } else if (c->mixed == SIZE_MAX && reaches_in(c, h, &from)) {
            c->mixed = i - 1;
        }
        c->to = i + 1;
        c->n += h->n;
        if (point_cmp(&end, &c->end) > 0) {
            c->end = end;
            c->end_exact = is_exact(h);
        }
    }
    return OK;
}

/* Which points fall into or before which cluster; returns where those after the last begin. */
static size_t assign_late(struct merger *m, size_t n)
{
    size_t at = 0;

    for (size_t i = 0; i < m->clusters.n; i++) {
        struct cluster *c = &m->clusters.p[i];

        c->late_from = at;
        while (at < n && point_cmp(&m->pts.p[at], &c->end) <= 0) {
            at++;
        }
        c->late_to = at;
    }
    return at;
}

static bool is_rewritten(struct merger *m, const struct cluster *c)
{
    size_t late = c->late_to - c->late_from, all = late + (size_t)c->n;
    bool wanted = m->mode == MERGE_FINAL ? late > 0 || c->mixed != SIZE_MAX
                                         : late > 0 && late >= (size_t)c->n / LATE_PART;

    if (wanted && all <= m->rewrite_points && all + m->rewritten > m->rewrite_points) {
        m->plan.more = true; /* the next merge has room for it */
    }
    return wanted && all + m->rewritten <= m->rewrite_points;
}

/* Of a cluster that is too large for one merge: the first chunks that are mixed. Late points wait until it has come apart. False when it is not to be
 * rewritten, or not now. */
static bool first_part(struct merger *m, const struct cluster *c, struct cluster *part)
{
    size_t late = c->late_to - c->late_from;

    if (m->mode != MERGE_FINAL || c->mixed == SIZE_MAX ||
        late + (size_t)c->n <= m->rewrite_points) {
        return false;
    }
    m->plan.more = true;
    *part = (struct cluster){ .from = c->mixed, .to = c->mixed };
    while (part->to < c->to && (part->to - part->from < 2 ||
                                (size_t)(part->n + m->heads.p[part->to].n) <= m->rewrite_points)) {
        part->n += m->heads.p[part->to++].n;
    }
    return m->rewritten == 0 || (size_t)part->n + m->rewritten <= m->rewrite_points;
}

/* Points in order as chunks of even size. */
static enum status put_evenly(struct merger *m, const struct point *p, size_t n, struct err *err)
{
    size_t k = MAX_OF(n / (size_t)m->chunk_points, (size_t)1), at = 0;
    enum status st = OK;

    for (size_t i = 0; i < k && n > 0 && !st; i++) {
        size_t to = n * (i + 1) / k;

        st = put_chunk(m, p + at, to - at, err);
        at = to;
    }
    return st;
}

/* Decodes the chunks of a cluster, puts its late points in, and encodes all of it again, evenly. `rest`: the first chunk of the cluster
 * that stays; what lies before it is apart from then on. NULL: none stays. */
static enum status rewrite(struct merger *m, struct sql_conn *conn, const struct cluster *c,
                           const struct chunk_head *rest, struct err *err)
{
    size_t late = c->late_to - c->late_from, n = 0, left, cut;
    enum status st = OK;

    if (!points_room(&m->old, (size_t)c->n + late)) {
        return err_nomem(err);
    }
    for (size_t i = c->from; i < c->to && !st; i++) {
        const struct chunk_head *h = &m->heads.p[i];
        struct merge_gone *g = vec_add(&m->gone);
        struct q_chunk_body_row row;
        int64_t duplicates = 0;

        if (!g) {
            return err_nomem(err);
        }
        *g = (struct merge_gone){ m->key, h->t0, h->c, h->id };
        arena_reset(m->scratch);
        st = q_chunk_body(conn, m->scratch, h->id, &row, err);
        if (st == ST_NOT_FOUND) {
            return err_set(err, ST_CONFLICT, "a chunk went while it was merged");
        }
        if (!st) {
            st = chunk_decode(m->scratch, row.body, m->plan.owner, m->key, h, m->old.p + n,
                              &duplicates, err);
        }
        m->duplicates += duplicates;
        n += (size_t)h->n;
    }
    if (st) return st;
    if (late > 0) memcpy(m->old.p + n, m->pts.p + c->late_from, late * sizeof(*m->old.p));
    n += late;
    m->rewritten += n;
    points_sort(m->old.p, m->old.tmp, n);
    left = points_dedupe(m->old.p, n);
    m->duplicates += (int64_t)(n - left);
    cut = left;
    if (rest) {
        struct point bound = chunk_lower(rest);

        while (cut > 0 && point_cmp(&m->old.p[cut - 1], &bound) >= 0) {
            cut--;
        }
    }
    st = put_evenly(m, m->old.p, cut, err);
    return st ? st : put_evenly(m, m->old.p + cut, left - cut, err);
}

/* ---- one key ----------------------------------------------------------------------------------------------------------------------- */

static enum status gather(struct merger *m, const struct entry *e, size_t n, size_t *out,
                          struct err *err)
{
    size_t all = 0, at = 0;
    enum status st = OK;

    for (size_t i = 0; i < n; i++) {
        all += e[i].k ? pack_key_n(&m->readers[e[i].reader], e[i].k) : 0;
    }
    if (!points_room(&m->pts, all)) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n && !st; i++) {
        if (!e[i].k) continue;
        st = pack_read(&m->readers[e[i].reader], e[i].k, m->pts.p + at, err);
        at += pack_key_n(&m->readers[e[i].reader], e[i].k);
        m->duplicates += e[i].k->duplicates;
    }
    if (st) return st;
    points_sort(m->pts.p, m->pts.tmp, all);
    *out = points_dedupe(m->pts.p, all);
    m->duplicates += (int64_t)(all - *out);
    return OK;
}

/* Late points that stay late: into the pack, or, when that would hold a chunk of them, into chunks that overlap. */
static enum status late_left(struct merger *m, size_t fresh_rest, struct err *err)
{
    size_t late = m->rest.n - m->late_from, at = 0;
    enum status st = OK;

    if (late == 0 || late + fresh_rest < (size_t)m->chunk_points) {
        return OK;
    }
    if (!points_room(&m->old, late)) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < late; i++) {
        m->old.p[i] = m->rest.p[m->late_from + i].p;
    }
    m->rest.n = m->late_from;
    if (m->mode == MERGE_FINAL) m->plan.more = true; /* they are put in their places next */
    while (at < late && !st) {
        size_t n = MIN_OF((size_t)m->chunk_points, late - at);

        st = put_chunk(m, m->old.p + at, n, err);
        at += n;
    }
    return st;
}

static enum status old_chunks(struct merger *m, struct sql_conn *conn, size_t n, size_t *fresh,
                              struct err *err)
{
    enum status st = list_chunks(
        m, conn, m->mode == MERGE_FINAL || n == 0 ? INT64_MIN : m->pts.p[0].timestamp_ms, err);

    *fresh = 0;
    if (!st) st = make_clusters(m, err);
    if (!st) *fresh = assign_late(m, n);
    if (!st && *fresh > 0 && m->mode != MERGE_FINAL) {
        /* What overlaps a chunk that is written again must be known too. */
        st = list_chunks(m, conn, INT64_MIN, err);
        if (!st) st = make_clusters(m, err);
        if (!st) *fresh = assign_late(m, n);
    }
    return st;
}

static enum status merge_key(struct merger *m, struct sql_conn *conn, const struct entry *e,
                             size_t entries_n, struct err *err)
{
    size_t n = 0, at, rest, cut = (size_t)m->chunk_points;
    enum status st;

    m->key = e[0].key;
    m->duplicates = 0;
    m->key_chunks = m->chunks.n;
    m->late_from = m->rest.n;
    st = gather(m, e, entries_n, &n, err);
    if (!st) st = old_chunks(m, conn, n, &at, err);
    for (size_t i = 0; i < m->clusters.n && !st; i++) {
        const struct cluster *c = &m->clusters.p[i];
        struct cluster part;

        if (is_rewritten(m, c)) {
            st = rewrite(m, conn, c, NULL, err);
        } else {
            if (first_part(m, c, &part)) {
                st = rewrite(m, conn, &part, part.to < c->to ? &m->heads.p[part.to] : NULL, err);
            }
            if (!st) st = put_rest(m, m->pts.p + c->late_from, c->late_to - c->late_from, err);
        }
    }
    if (st) return st;
    rest = (n - at) % cut;
    st = late_left(m, rest, err);
    for (; n - at >= cut && !st; at += cut) {
        st = put_chunk(m, m->pts.p + at, cut, err);
    }
    if (!st) st = put_rest(m, m->pts.p + at, rest, err);
    if (!st && m->duplicates > 0) {
        struct dropped *d = vec_add(&m->dropped);

        if (!d) {
            return err_nomem(err);
        }
        *d = (struct dropped){ m->key, m->duplicates };
    }
    return st;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------------------------- */

static enum status pack_rest(struct merger *m, struct err *err)
{
    struct merge_plan *p = &m->plan;
    enum status st;

    if (m->rest.n == 0) {
        return OK;
    }
    m->packer = packer_new();
    st = m->packer ? packer_begin(m->packer, m->rest.n, err) : err_nomem(err);
    if (st) return st;
    packer_add(m->packer, m->rest.p, m->rest.n);
    for (size_t i = 0; i < m->dropped.n && !st; i++) {
        st = packer_duplicates(m->packer, m->dropped.p[i].key, m->dropped.p[i].n, err);
    }
    if (!st) st = packer_end(m->packer, p->owner, p->rest_w0, &p->rest, &p->rest_n, err);
    if (st) return st;
    p->rest_kn = (int64_t)packer_key_max(m->packer);
    return st;
}

enum status merge_make(struct merger *m, struct sql_conn *conn, int64_t owner, int64_t ver,
                       enum merge_mode mode, struct merge_plan **out, struct err *err)
{
    struct merge_plan *p = &m->plan;
    size_t to;
    enum status st;

    *out = p;
    merger_clear(m);
    p->owner = owner;
    m->mode = mode;
    m->rewritten = 0;
    m->kn = 0;
    st = choose(m, conn, ver, err);
    if (st || (p->packs_n == 0 && mode != MERGE_FINAL)) return st;
    st = find_chunks(m, conn, err);
    if (!st && m->no_chunks && p->packs_n <= 1 && m->kn < m->chunk_points) {
        p->packs_n = 0; /* one pack that fills no chunk */
        return OK;
    }
    if (!st) st = open_packs(m, conn, err);
    for (size_t at = 0; at < m->entries.n && !st; at = to) {
        for (to = at + 1; to < m->entries.n && m->entries.p[to].key == m->entries.p[at].key; to++) {
        }
        st = go_on(m, err);
        if (!st) st = merge_key(m, conn, m->entries.p + at, to - at, err);
    }
    if (!st) st = pack_rest(m, err);
    if (!st) st = buf_status(&p->bodies, "chunks of a merge", err);
    p->gone = m->gone.p;
    p->gone_n = m->gone.n;
    p->chunks = m->chunks.p;
    p->chunks_n = m->chunks.n;
    if (mode == MERGE_FINAL && p->packs_n == 1 && p->chunks_n == 0 && p->rest_kn == m->kn) {
        p->packs_n = 0; /* it would be packed again as it is */
        p->rest.p = NULL;
    }
    return st;
}

/* ---- writing it -------------------------------------------------------------------------------------------------------------------- */

static enum status take_away(const struct merge_plan *p, struct sql_conn *w, struct err *err)
{
    int64_t changed = 0;
    enum status st = OK;

    if (p->packs_n > 0) {
        st = q_pack_delete_list(w, p->owner, p->packs, p->packs_n, &changed, err);
        if (!st && changed != (int64_t)p->packs_n) {
            return err_set(err, ST_CONFLICT, "packs went while they were merged");
        }
    }
    for (size_t i = 0; i < p->gone_n && !st; i++) {
        st = q_chunk_delete(w, p->owner, p->gone[i].key, CHUNK_LVL_EXACT, p->gone[i].t0,
                            p->gone[i].c, &changed, err);
        if (!st && changed == 1) st = q_chunk_body_delete(w, p->gone[i].id, &changed, err);
        if (!st && changed != 1) {
            return err_set(err, ST_CONFLICT, "a chunk went while it was merged");
        }
    }
    return st;
}

enum status merge_write(const struct merge_plan *p, struct sql_conn *w, struct err *err)
{
    enum status st = take_away(p, w, err);

    FAILPOINT("series.merge.deleted");
    for (size_t i = 0; i < p->chunks_n && !st; i++) {
        const struct merge_chunk *c = &p->chunks[i];

        st = series_chunk_insert(w, p->owner, c->key, &c->head, str_of(p->bodies.p + c->at, c->n),
                                 err);
        FAILPOINT("series.merge.chunk");
    }
    if (!st && p->rest.p) {
        st = q_pack_insert(w, p->owner, p->rest_w0, p->rest_n, p->rest_kn, p->rest, err);
        FAILPOINT("series.merge.pack");
    }
    return st;
}
