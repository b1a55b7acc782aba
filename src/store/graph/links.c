/* store/graph/links.c - a packed base and a small sorted log beside it.
 * The base is a compressed sparse row in each direction: the links of node i are the positions off[i] .. off[i + 1]. Rows that go
 * out are sorted by (dst, role), so a link is found by binary search; the log is sorted by (src, dst, role). */
#include "store/graph/links_int.h"

#include "base/mem.h"
#include <string.h>

enum {
    LOG_MIN = 1024,  /* links of the log before it is packed into the base, at least */
    LOG_SHARE = 8,   /* and this part of the base */
    RADIX_MIN = 4096 /* facts from which on they are sorted by digits */
};

struct links *links_new(void)
{
    return mem_zalloc(1, sizeof(struct links));
}

static void base_release(struct links *l)
{
    mem_free(l->block);
    mem_free(l->ends);
}

static void *place(char *block, size_t *at, size_t n, size_t size)
{
    size_t used = n * size, all = (used + 7) & ~(size_t)7;
    void *p = block ? block + *at : NULL;

    if (block) {
        memset(block + *at + used, 0, all - used);
    }
    *at += all;
    return p;
}

size_t links_layout(struct links *l, size_t n, void *block, size_t *stored)
{
    size_t at = 0;

    l->claimed = place(block, &at, n, sizeof(int64_t));
    l->seen = place(block, &at, n, sizeof(int64_t));
    l->out_off = place(block, &at, l->top + 1, sizeof(uint32_t));
    l->out_dst = place(block, &at, n, sizeof(uint32_t));
    l->out_bits = place(block, &at, n, 1);
    if (stored) {
        *stored = at;
    }
    l->in_off = place(block, &at, l->top + 1, sizeof(uint32_t));
    l->in_src = place(block, &at, n, sizeof(uint32_t));
    l->in_link = place(block, &at, n, sizeof(uint32_t));
    l->in_bits = place(block, &at, n, 1);
    l->block = block;
    return at + LINKS_COPY * sizeof(uint32_t);
}

void links_free(struct links *l)
{
    if (!l) {
        return;
    }
    base_release(l);
    mem_free(l->log);
    mem_free(l->log_in);
    mem_free(l);
}

size_t links_n(const struct links *l)
{
    return l->n + l->log_n;
}

size_t links_top(const struct links *l)
{
    return MAX_OF(l->top, l->log_top);
}

size_t links_bytes(const struct links *l)
{
    return sizeof(*l) + l->n * 30 + l->top * 8 + l->ends_cap * sizeof(struct ending) +
           l->log_n * (sizeof(struct rec) + sizeof(uint32_t));
}

/* ---- order ----------------------------------------------------------------------------------------------------------- */

static uint64_t rec_key(const struct rec *r)
{
    return (uint64_t)r->src << 32 | r->dst;
}

int rec_cmp(const struct rec *a, const struct rec *b)
{
    uint64_t ka = rec_key(a), kb = rec_key(b);
    int ra = a->bits & ROLE, rb = b->bits & ROLE;

    return ka != kb ? (ka < kb ? -1 : 1) : ra - rb;
}

/* Stable, by 16 bits of the key. */
static void radix_pass(const struct rec *from, struct rec *to, size_t n, unsigned shift,
                       uint32_t *count)
{
    size_t sum = 0;

    memset(count, 0, sizeof(uint32_t) << 16);
    for (size_t i = 0; i < n; i++) {
        count[rec_key(&from[i]) >> shift & 0xFFFF]++;
    }
    for (size_t d = 0; d < 1 << 16; d++) {
        size_t c = count[d];

        count[d] = (uint32_t)sum;
        sum += c;
    }
    for (size_t i = 0; i < n; i++) {
        to[count[rec_key(&from[i]) >> shift & 0xFFFF]++] = from[i];
    }
}

/* Stable within a run of equal keys, which is short. */
static void insertion_sort(struct rec *r, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct rec x = r[i];
        size_t k = i;

        while (k > 0 && rec_cmp(&r[k - 1], &x) > 0) {
            r[k] = r[k - 1];
            k--;
        }
        r[k] = x;
    }
}

static void merge_sort(struct rec *r, struct rec *spare, size_t n)
{
    size_t half = n / 2, i = 0, j = half, k = 0;

    if (n <= 16) {
        insertion_sort(r, n);
        return;
    }
    merge_sort(r, spare, half);
    merge_sort(r + half, spare, n - half);
    memcpy(spare, r, half * sizeof(*r));
    while (i < half) {
        r[k++] = j < n && rec_cmp(&r[j], &spare[i]) < 0 ? r[j++] : spare[i++];
    }
}

static enum status sort(struct rec *r, size_t n, struct err *err)
{
    struct rec *spare = mem_alloc((n ? n : 1) * sizeof(*r));
    uint32_t *count = n >= RADIX_MIN ? mem_alloc(sizeof(uint32_t) << 16) : NULL;
    enum status st = OK;

    if (!spare || (n >= RADIX_MIN && !count)) {
        st = err_nomem(err);
    } else if (!count) {
        merge_sort(r, spare, n);
    } else {
        for (unsigned shift = 0; shift < 64; shift += 32) {
            radix_pass(r, spare, n, shift, count);
            radix_pass(spare, r, n, shift + 16, count);
        }
        for (size_t i = 0, k; i < n; i = k) { /* by role */
            for (k = i + 1; k < n && rec_key(&r[k]) == rec_key(&r[i]); k++) {
            }
            merge_sort(r + i, spare, k - i);
        }
    }
    mem_free(spare);
    mem_free(count);
    return st;
}

/* ---- finding one link -------------------------------------------------------------------------------------------------- */

/* Position after the last interval of the link in the log. */
static size_t log_after(const struct links *l, const struct rec *r)
{
    size_t low = 0, high = l->log_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (rec_cmp(&l->log[mid], r) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct rec *log_find(const struct links *l, const struct rec *r)
{
    size_t at = log_after(l, r);

    return at > 0 && rec_cmp(&l->log[at - 1], r) == 0 ? &l->log[at - 1] : NULL;
}

/* Its last interval in the base; SIZE_MAX if there is none. */
static size_t base_find(const struct links *l, const struct rec *r)
{
    size_t low, high, first;
    unsigned role = r->bits & ROLE;

    if (r->src >= l->top) {
        return SIZE_MAX;
    }
    first = low = l->out_off[r->src];
    high = l->out_off[r->src + 1];
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        unsigned other = l->out_bits[mid] & ROLE;

        if (l->out_dst[mid] < r->dst || (l->out_dst[mid] == r->dst && other <= role)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    low--; /* may wrap: then it is not >= first */
    return low + 1 > first && l->out_dst[low] == r->dst && (l->out_bits[low] & ROLE) == role
               ? low
               : SIZE_MAX;
}

/* ---- packing ------------------------------------------------------------------------------------------------------------ */

static bool base_alloc(struct links *b, size_t top, size_t n, size_t ends)
{
    size_t bytes;

    b->top = top;
    bytes = links_layout(b, n, NULL, NULL);
    b->block = mem_alloc(bytes);
    b->ends = ends ? mem_alloc(ends * sizeof(struct ending)) : NULL;
    b->ends_cap = ends;
    if (!b->block || (!b->ends && ends)) {
        return false;
    }
    mem_huge(b->block, bytes);
    (void)links_layout(b, n, b->block, NULL);
    memset(b->out_off, 0, (top + 1) * sizeof(uint32_t));
    memset(b->in_off, 0, (top + 1) * sizeof(uint32_t));
    return true;
}

static void put(struct links *b, const struct rec *r)
{
    size_t i = b->n++;

    b->out_dst[i] = r->dst;
    b->out_bits[i] = r->bits;
    b->claimed[i] = r->claimed;
    b->seen[i] = r->seen;
    b->out_off[r->src + 1]++;
    b->in_off[r->dst + 1]++;
    if (r->bits & ENDED) {
        b->ends[b->ends_n++] = (struct ending){ r->end_claimed, r->end_seen, (uint32_t)i, 0 };
    }
}

static struct rec base_rec(const struct links *l, uint32_t src, size_t i, size_t *end)
{
    struct rec r = { .src = src,
                     .dst = l->out_dst[i],
                     .bits = l->out_bits[i],
                     .claimed = l->claimed[i],
                     .seen = l->seen[i] };

    if (r.bits & ENDED) {
        r.end_claimed = l->ends[*end].claimed;
        r.end_seen = l->ends[(*end)++].seen;
    }
    return r;
}

/* Rows that come in, from those that go out: sources ascend in each. */
void links_fill_in(struct links *b)
{
    for (size_t i = 0; i < b->top; i++) {
        b->in_off[i + 1] += b->in_off[i];
    }
    for (size_t src = 0; src < b->top; src++) {
        for (size_t i = b->out_off[src]; i < b->out_off[src + 1]; i++) {
            uint32_t at = b->in_off[b->out_dst[i]]++;

            b->in_src[at] = (uint32_t)src;
            b->in_link[at] = (uint32_t)i;
            b->in_bits[at] = b->out_bits[i];
        }
    }
    for (size_t i = b->top; i > 0; i--) { /* each offset has moved to its row's end */
        b->in_off[i] = b->in_off[i - 1];
    }
    b->in_off[0] = 0;
}

/* The log goes into a new base. False when memory is out: then all is as it was. */
static bool pack(struct links *l)
{
    size_t top = l->log_top > l->top ? l->log_top : l->top, k = 0, end = 0, ended = l->ends_n;
    struct links b = { 0 };

    for (size_t i = 0; i < l->log_n; i++) {
        ended += (l->log[i].bits & ENDED) != 0;
    }
    if (!base_alloc(&b, top, l->n + l->log_n, ended)) {
        base_release(&b);
        return false;
    }
    for (uint32_t src = 0; src < l->top; src++) {
        for (size_t i = l->out_off[src]; i < l->out_off[src + 1]; i++) {
            struct rec r = base_rec(l, src, i, &end);

            while (k < l->log_n && rec_cmp(&l->log[k], &r) < 0) {
                put(&b, &l->log[k++]);
            }
            put(&b, &r);
        }
    }
    while (k < l->log_n) {
        put(&b, &l->log[k++]);
    }
    for (size_t i = 0; i < top; i++) {
        b.out_off[i + 1] += b.out_off[i];
    }
    links_fill_in(&b);
    base_release(l);
    mem_free(l->log);
    mem_free(l->log_in);
    b.roles = l->roles;
    *l = b;
    return true;
}

void links_pack(struct links *l)
{
    if (l->log_n) {
        (void)pack(l);
    }
}

/* ---- adding -------------------------------------------------------------------------------------------------------------- */

/* What the facts of one call come to, before anything is changed. */
struct change {
    struct rec *fresh; /* sorted */
    size_t fresh_n;
    struct rec *log; /* the old log and `fresh`, merged */
    uint32_t *log_in;
    struct ending *ends;  /* the old ones, and room */
    struct ending *ended; /* of links of the base that end now, by link */
    size_t ended_n;
};

static enum status facts_sorted(const struct link_fact *facts, size_t n, struct rec **out,
                                struct err *err)
{
    struct rec *r = mem_alloc((n ? n : 1) * sizeof(*r));

    if (!r) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        const struct link_fact *f = &facts[i];

        if (f->src < 0 || f->dst < 0 || f->src > LINKS_UID_MAX || f->dst > LINKS_UID_MAX ||
            f->role > LINK_ROLE_MAX) {
            mem_free(r);
            return err_set(err, ST_INVALID,
                           "the graph cannot hold a link between nodes %lld and %lld",
                           (long long)f->src, (long long)f->dst);
        }
        r[i] = (struct rec){ .src = (uint32_t)f->src,
                             .dst = (uint32_t)f->dst,
                             .bits = (uint8_t)(f->role | (f->aside ? ASIDE : 0) |
                                               (f->gone ? ENDED : 0)),
                             .claimed = f->claimed_ms,
                             .seen = f->seen_ms };
    }
    *out = r;
    return sort(r, n, err);
}

/* The facts of one link, in their order: the intervals that stay begin at `to`; returns how many. An interval that stood before is ended
 * through `standing` (in the log) or `ended` (in the base). */
static size_t fold_link(const struct rec *facts, size_t n, struct rec *to, struct rec *standing,
                        struct ending *ended, bool *base_stands)
{
    size_t out = 0;

    for (size_t i = 0; i < n; i++) {
        const struct rec *f = &facts[i];
        struct rec *last = out ? &to[out - 1] : standing;
        bool stands = last ? !(last->bits & ENDED) : *base_stands;

        if (!(f->bits & ENDED) && !stands) {
            to[out++] = *f;
        } else if ((f->bits & ENDED) && stands && last) {
            last->bits |= ENDED;
            last->end_claimed = f->claimed;
            last->end_seen = f->seen;
        } else if ((f->bits & ENDED) && stands) {
            *base_stands = false;
            ended->claimed = f->claimed;
            ended->seen = f->seen;
        }
    }
    return out;
}

/* Links that come into a node lie in the order of their numbers. */
static size_t in_find(const struct links *l, size_t link)
{
    size_t low = l->in_off[l->out_dst[link]], high = l->in_off[l->out_dst[link] + 1];

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (l->in_link[mid] < link) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* `fresh` are of links that had not ended; l->ends has room. From the back, so that nothing is moved twice. */
static void merge_ends(struct links *l, const struct ending *fresh, size_t n)
{
    size_t i = l->ends_n, k = i + n;

    l->ends_n = k;
    while (n > 0) {
        l->ends[--k] = i > 0 && l->ends[i - 1].link > fresh[n - 1].link ? l->ends[--i] : fresh[--n];
    }
}

/* All memory is there: cannot fail. */
static void fold(struct links *l, struct rec *facts, size_t n, struct change *c)
{
    for (size_t i = 0, k; i < n; i = k) {
        struct rec *standing = log_find(l, &facts[i]);
        size_t link = standing ? SIZE_MAX : base_find(l, &facts[i]);
        bool stands = link != SIZE_MAX && !(l->out_bits[link] & ENDED), stood = stands;
        struct ending e = { 0 };

        for (k = i + 1; k < n && rec_cmp(&facts[k], &facts[i]) == 0; k++) {
        }
        /* what stays is never more than what came, so it may lie where the facts were */
        c->fresh_n += fold_link(facts + i, k - i, &c->fresh[c->fresh_n], standing, &e, &stands);
        if (stood && !stands) { /* links come in rising order */
            e.link = (uint32_t)link;
            c->ended[c->ended_n++] = e;
            l->out_bits[link] |= ENDED;
            l->in_bits[in_find(l, link)] |= ENDED;
        }
    }
}

/* Positions in the log by dst, stable. */
void links_by_dst(const struct rec *log, uint32_t *at, uint32_t *spare, size_t n)
{
    size_t half = n / 2, i = 0, j = half, k = 0;

    if (n < 2) {
        return;
    }
    links_by_dst(log, at, spare, half);
    links_by_dst(log, at + half, spare, n - half);
    memcpy(spare, at, half * sizeof(*at));
    while (i < half) {
        at[k++] = j < n && log[at[j]].dst < log[spare[i]].dst ? at[j++] : spare[i++];
    }
}

/* The old log and what is fresh, into the arrays of *c, which are large enough; `moved` takes an entry for each old one. */
static void merge_log(const struct links *l, struct change *c, uint32_t *moved, uint32_t *fresh_in,
                      uint32_t *spare)
{
    size_t i = 0, j = 0, k = 0;

    while (i < l->log_n || j < c->fresh_n) {
        if (j >= c->fresh_n || (i < l->log_n && rec_cmp(&l->log[i], &c->fresh[j]) <= 0)) {
            moved[i] = (uint32_t)k;
            c->log[k++] = l->log[i++];
        } else {
            fresh_in[j] = (uint32_t)k;
            c->log[k++] = c->fresh[j++];
        }
    }
    links_by_dst(c->log, fresh_in, spare, c->fresh_n);
    for (i = j = k = 0; i < l->log_n || j < c->fresh_n;) {
        uint32_t old = i < l->log_n ? moved[l->log_in[i]] : 0;
        uint32_t young = j < c->fresh_n ? fresh_in[j] : 0;
        bool first = c->log[old].dst < c->log[young].dst ||
                     (c->log[old].dst == c->log[young].dst && old < young);

        if (j >= c->fresh_n || (i < l->log_n && first)) {
            c->log_in[k++] = old;
            i++;
        } else {
            c->log_in[k++] = fresh_in[j++];
        }
    }
}

size_t links_log_top(const struct links *l)
{
    size_t top = l->log_top;

    for (size_t i = 0; i < l->log_n; i++) {
        top = MAX_OF(top, (size_t)MAX_OF(l->log[i].src, l->log[i].dst) + 1);
    }
    return top;
}

enum status links_add(struct links *l, const struct link_fact *facts, size_t n, struct err *err)
{
    size_t all = l->log_n + n, one = all ? all : 1;
    struct change c = { 0 };
    uint32_t *moved = NULL;
    enum status st;

    if (n == 0) {
        return OK;
    }
    if (links_n(l) + n >= UINT32_MAX) {
        return err_set(err, ST_UNAVAILABLE, "the graph has more links than it can hold");
    }
    st = facts_sorted(facts, n, &c.fresh, err);
    if (st) {
        goto out;
    }
    c.log = mem_alloc(one * sizeof(*c.log));
    c.log_in = mem_alloc(one * sizeof(*c.log_in));
    c.ends = mem_alloc((l->ends_n + n) * sizeof(*c.ends));
    c.ended = mem_alloc(n * sizeof(*c.ended));
    moved = mem_alloc((all + n) * sizeof(*moved));
    if (!c.log || !c.log_in || !c.ends || !c.ended || !moved) {
        st = err_nomem(err);
        goto out;
    }
    if (l->ends_n) {
        memcpy(c.ends, l->ends, l->ends_n * sizeof(*c.ends));
    }
    mem_free(l->ends);
    l->ends = c.ends;
    l->ends_cap = l->ends_n + n;
    c.ends = NULL;
    for (size_t i = 0; i < n; i++) {
        l->roles |= (uint64_t)1 << facts[i].role;
    }
    fold(l, c.fresh, n, &c);
    merge_ends(l, c.ended, c.ended_n);
    merge_log(l, &c, moved, moved + l->log_n, moved + l->log_n + c.fresh_n);
    mem_free(l->log);
    mem_free(l->log_in);
    l->log = c.log;
    l->log_in = c.log_in;
    l->log_n += c.fresh_n;
    l->log_top = links_log_top(l);
    c.log = NULL;
    c.log_in = NULL;
    if (l->log_n > LOG_MIN && l->log_n > l->n / LOG_SHARE) {
        (void)pack(l); /* without memory the log grows on */
    }
out:
    mem_free(c.fresh);
    mem_free(c.log);
    mem_free(c.log_in);
    mem_free(c.ends);
    mem_free(c.ended);
    mem_free(moved);
    return st;
}
