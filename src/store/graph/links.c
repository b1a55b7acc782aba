/* store/graph/links.c - a packed base and a small sorted log beside it.
 * The base is a compressed sparse row in each direction: the links of node i are the positions off[i] .. off[i + 1]. Rows that go
 * out are sorted by (dst, role), so a link is found by binary search; the log is sorted by (src, dst, role). */
#include "store/graph/links.h"
#include "base/clock.h"
#include "base/mem.h"
#include <string.h>

enum {
    ASIDE = 0x40,
    ENDED = 0x80,
    ROLE = 0x3F,
    LOG_MIN = 1024,       /* links of the log before it is packed into the base, at least */
    LOG_SHARE = 8,        /* and this part of the base */
    RADIX_MIN = 4096,     /* facts from which on they are sorted by digits */
    LOOK_EVERY = 1 << 14, /* links between two looks at the clock */
    LOOK_NODES = 1 << 10
};

/* One interval of one link. */
struct rec {
    uint32_t src, dst;
    uint8_t bits; /* role, ASIDE, ENDED */
    int64_t claimed, seen, end_claimed, end_seen;
};
struct ending {
    uint32_t link;
    int64_t claimed, seen;
};

struct links {
    size_t top; /* node numbers of the base are below */
    size_t n;   /* links of the base */
    uint32_t *out_off, *out_dst;
    uint8_t *out_bits;
    int64_t *claimed, *seen;
    uint32_t *in_off, *in_src, *in_link;
    uint8_t *in_bits;
    struct ending *ends; /* of links of the base, by link */
    size_t ends_n, ends_cap;
    /* The log: by (src, dst, role, time of recording), and the positions in it by dst. */
    struct rec *log;
    uint32_t *log_in;
    size_t log_n;
    size_t log_top;
};

struct links *links_new(void)
{
    return mem_zalloc(1, sizeof(struct links));
}

static void base_release(struct links *l)
{
    mem_free(l->out_off);
    mem_free(l->out_dst);
    mem_free(l->out_bits);
    mem_free(l->claimed);
    mem_free(l->seen);
    mem_free(l->in_off);
    mem_free(l->in_src);
    mem_free(l->in_link);
    mem_free(l->in_bits);
    mem_free(l->ends);
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

static int rec_cmp(const struct rec *a, const struct rec *b)
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

static size_t end_find(const struct links *l, size_t link)
{
    size_t low = 0, high = l->ends_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (l->ends[mid].link < link) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* ---- packing ------------------------------------------------------------------------------------------------------------ */

static bool base_alloc(struct links *b, size_t top, size_t n, size_t ends)
{
    size_t one = n ? n : 1;

    b->top = top;
    b->out_off = mem_zalloc(top + 2, sizeof(uint32_t));
    b->in_off = mem_zalloc(top + 2, sizeof(uint32_t));
    b->out_dst = mem_alloc(one * sizeof(uint32_t));
    b->out_bits = mem_alloc(one);
    b->claimed = mem_alloc(one * sizeof(int64_t));
    b->seen = mem_alloc(one * sizeof(int64_t));
    b->in_src = mem_alloc(one * sizeof(uint32_t));
    b->in_link = mem_alloc(one * sizeof(uint32_t));
    b->in_bits = mem_alloc(one);
    b->ends = ends ? mem_alloc(ends * sizeof(struct ending)) : NULL;
    b->ends_cap = ends;
    return b->out_off && b->in_off && b->out_dst && b->out_bits && b->claimed && b->seen &&
           b->in_src && b->in_link && b->in_bits && (b->ends || !ends);
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
        b->ends[b->ends_n++] = (struct ending){ (uint32_t)i, r->end_claimed, r->end_seen };
    }
}

static struct rec base_rec(const struct links *l, uint32_t src, size_t i, size_t *end)
{
    struct rec r = { src, l->out_dst[i], l->out_bits[i], l->claimed[i], l->seen[i], 0, 0 };

    if (r.bits & ENDED) {
        r.end_claimed = l->ends[*end].claimed;
        r.end_seen = l->ends[(*end)++].seen;
    }
    return r;
}

/* Rows that come in, from those that go out: sources ascend in each. */
static void fill_in(struct links *b)
{
    for (size_t i = 0; i < b->top; i++) {
        b->out_off[i + 1] += b->out_off[i];
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
    fill_in(&b);
    base_release(l);
    mem_free(l->log);
    mem_free(l->log_in);
    *l = b;
    return true;
}

/* ---- adding -------------------------------------------------------------------------------------------------------------- */

/* What the facts of one call come to, before anything is changed. */
struct change {
    struct rec *fresh; /* sorted */
    size_t fresh_n;
    struct rec *log; /* the old log and `fresh`, merged */
    uint32_t *log_in;
    struct ending *ends;
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
        r[i] = (struct rec){ (uint32_t)f->src,
                             (uint32_t)f->dst,
                             (uint8_t)(f->role | (f->aside ? ASIDE : 0) | (f->gone ? ENDED : 0)),
                             f->claimed_ms,
                             f->seen_ms,
                             0,
                             0 };
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

static void end_in_base(struct links *l, size_t link, const struct ending *e)
{
    size_t at = end_find(l, link);

    memmove(&l->ends[at + 1], &l->ends[at], (l->ends_n - at) * sizeof(*l->ends));
    l->ends[at] = *e;
    l->ends[at].link = (uint32_t)link;
    l->ends_n++;
    l->out_bits[link] |= ENDED;
    for (size_t i = l->in_off[l->out_dst[link]];; i++) {
        if (l->in_link[i] == link) {
            l->in_bits[i] |= ENDED;
            return;
        }
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
        if (stood && !stands) {
            end_in_base(l, link, &e);
        }
    }
}

/* Positions in the log by dst, stable. */
static void by_dst(const struct rec *log, uint32_t *at, uint32_t *spare, size_t n)
{
    size_t half = n / 2, i = 0, j = half, k = 0;

    if (n < 2) {
        return;
    }
    by_dst(log, at, spare, half);
    by_dst(log, at + half, spare, n - half);
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
    by_dst(c->log, fresh_in, spare, c->fresh_n);
    for (i = j = k = 0; i < l->log_n || j < c->fresh_n;) {
        uint32_t old = i < l->log_n ? moved[l->log_in[i]] : 0;

        if (j >= c->fresh_n || (i < l->log_n && c->log[old].dst <= c->log[fresh_in[j]].dst)) {
            c->log_in[k++] = old;
            i++;
        } else {
            c->log_in[k++] = fresh_in[j++];
        }
    }
}

static size_t log_top(const struct links *l)
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
    moved = mem_alloc((all + n) * sizeof(*moved));
    if (!c.log || !c.log_in || !c.ends || !moved) {
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
    fold(l, c.fresh, n, &c);
    merge_log(l, &c, moved, moved + l->log_n, moved + l->log_n + c.fresh_n);
    mem_free(l->log);
    mem_free(l->log_in);
    l->log = c.log;
    l->log_in = c.log_in;
    l->log_n += c.fresh_n;
    l->log_top = log_top(l);
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
    mem_free(moved);
    return st;
}

/* ---- one node's links ------------------------------------------------------------------------------------------------------ */

/* Which links a walk follows. */
struct pass {
    uint64_t roles;
    bool skip_aside, as_of, plain; /* plain: none is left out but those that ended */
    bool claimed;
    int64_t at;
};

static struct pass pass_of(const struct walk *w)
{
    struct pass p = { .roles = w->roles ? w->roles : UINT64_MAX,
                      .skip_aside = w->skip_aside,
                      .as_of = w->has_as_of,
                      .claimed = w->time == WALK_CLAIMED,
                      .at = w->as_of_ms };

    p.plain = p.roles == UINT64_MAX && !p.skip_aside && !p.as_of;
    return p;
}

static bool bits_pass(const struct pass *p, uint8_t bits)
{
    return (p->roles >> (bits & ROLE) & 1) && !(p->skip_aside && (bits & ASIDE)) &&
           (p->as_of || !(bits & ENDED));
}

static bool base_passes(const struct links *l, const struct pass *p, uint8_t bits, size_t link)
{
    if (p->plain) {
        return !(bits & ENDED);
    }
    if (!bits_pass(p, bits)) {
        return false;
    }
    if (!p->as_of) {
        return true;
    }
    if ((p->claimed ? l->claimed[link] : l->seen[link]) > p->at) {
        return false;
    }
    if (bits & ENDED) {
        const struct ending *e = &l->ends[end_find(l, link)];

        return (p->claimed ? e->claimed : e->seen) > p->at;
    }
    return true;
}

static bool rec_passes(const struct pass *p, const struct rec *r)
{
    if (!bits_pass(p, r->bits)) {
        return false;
    }
    return !p->as_of ||
           ((p->claimed ? r->claimed : r->seen) <= p->at &&
            (!(r->bits & ENDED) || (p->claimed ? r->end_claimed : r->end_seen) > p->at));
}

/* First entry of the log for the node: from it (down) or into it (up). */
static size_t log_first(const struct links *l, bool down, uint32_t node)
{
    size_t low = 0, high = l->log_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        uint32_t at = down ? l->log[mid].src : l->log[l->log_in[mid]].dst;

        if (at < node) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Goes over the links of one node. */
struct cursor {
    const struct links *l;
    struct pass pass;
    bool down;
    uint32_t node;
    size_t i, end, k;
};

static void cursor_at(struct cursor *c, uint32_t node)
{
    const struct links *l = c->l;
    const uint32_t *off = c->down ? l->out_off : l->in_off;

    c->node = node;
    c->i = node < l->top ? off[node] : 0;
    c->end = node < l->top ? off[node + 1] : 0;
    c->k = l->log_n ? log_first(l, c->down, node) : 0;
}

static bool cursor_next(struct cursor *c, struct link_end *out)
{
    const struct links *l = c->l;

    while (c->i < c->end) {
        size_t i = c->i++, link = c->down ? i : l->in_link[i];
        uint8_t bits = c->down ? l->out_bits[i] : l->in_bits[i];

        if (base_passes(l, &c->pass, bits, link)) {
            *out = (struct link_end){ c->down ? l->out_dst[i] : l->in_src[i], bits & ROLE,
                                      (bits & ASIDE) != 0, l->claimed[link], l->seen[link] };
            return true;
        }
    }
    while (c->k < l->log_n) {
        const struct rec *r = &l->log[c->down ? c->k : l->log_in[c->k]];

        if ((c->down ? r->src : r->dst) != c->node) {
            c->k = l->log_n;
            break;
        }
        c->k++;
        if (rec_passes(&c->pass, r)) {
            *out = (struct link_end){ c->down ? r->dst : r->src, r->bits & ROLE,
                                      (r->bits & ASIDE) != 0, r->claimed, r->seen };
            return true;
        }
    }
    return false;
}

size_t links_of(const struct links *l, int64_t node, const struct walk *w, struct link_end *out,
                size_t max)
{
    struct cursor c = { .l = l, .pass = pass_of(w), .down = w->direction == WALK_DOWN };
    struct link_end e;
    size_t n = 0;

    if (node < 0 || node > LINKS_UID_MAX) {
        return 0;
    }
    cursor_at(&c, (uint32_t)node);
    while (cursor_next(&c, &e)) {
        if (n < max) {
            out[n] = e;
        }
        n++;
    }
    return n;
}

/* ---- walks ------------------------------------------------------------------------------------------------------------------ */

void walk_found_release(struct walk_found *f)
{
    mem_free(f->nodes);
    mem_free(f->from);
    mem_free(f->role);
    mem_free(f->distance);
    *f = (struct walk_found){ 0 };
}

static bool found_grow(struct walk_found *f)
{
    size_t cap = f->cap ? f->cap * 2 : 256;
    uint32_t *nodes = mem_realloc(f->nodes, cap * sizeof(*nodes)), *from;
    uint16_t *distance;
    uint8_t *role;

    f->nodes = nodes ? nodes : f->nodes;
    from = mem_realloc(f->from, cap * sizeof(*from));
    f->from = from ? from : f->from;
    role = mem_realloc(f->role, cap);
    f->role = role ? role : f->role;
    distance = mem_realloc(f->distance, cap * sizeof(*distance));
    f->distance = distance ? distance : f->distance;
    if (!nodes || !from || !role || !distance) {
        return false;
    }
    f->cap = cap;
    return true;
}

struct searcher {
    struct cursor cursor;
    struct walk_found *found;
    uint64_t *visited;
    size_t top;
    size_t nodes_max;
    int64_t target; /* -1 = none */
    size_t target_at;
};

/* False when memory is out. */
static bool visit(struct searcher *s, uint32_t node, size_t from, uint8_t role)
{
    struct walk_found *f = s->found;
    unsigned distance;

    if (s->visited[node >> 6] >> (node & 63) & 1) {
        return true;
    }
    if (f->n >= s->nodes_max) {
        f->partial = true;
        return true;
    }
    if (f->n == f->cap && !found_grow(f)) {
        return false;
    }
    s->visited[node >> 6] |= (uint64_t)1 << (node & 63);
    distance = from == f->n ? 0 : f->distance[from] + 1u;
    f->nodes[f->n] = node;
    f->from[f->n] = (uint32_t)from;
    f->role[f->n] = role;
    f->distance[f->n] = (uint16_t)MIN_OF(distance, 65535u);
    if (node == s->target) {
        s->target_at = f->n;
    }
    f->n++;
    return true;
}

static bool begin(struct searcher *s, const struct links *l, const struct walk *w,
                  struct walk_found *out)
{
    *out = (struct walk_found){ 0 };
    *s = (struct searcher){
        .cursor = { .l = l, .pass = pass_of(w), .down = w->direction == WALK_DOWN },
        .found = out,
        .top = MAX_OF(l->top, l->log_top),
        .nodes_max = w->nodes_max ? w->nodes_max : SIZE_MAX,
        .target = -1,
        .target_at = SIZE_MAX
    };
    for (size_t i = 0; i < w->starts_n; i++) {
        if (w->starts[i] >= 0 && w->starts[i] <= LINKS_UID_MAX) {
            s->top = MAX_OF(s->top, (size_t)w->starts[i] + 1);
        }
    }
    s->visited = mem_zalloc(s->top / 64 + 1, sizeof(uint64_t));
    return s->visited != NULL;
}

/* The links of one node that are in the base, where the walk leaves none out: most walks touch most links here. */
static bool visit_row(struct searcher *s, uint32_t node, size_t from)
{
    const struct links *l = s->cursor.l;
    const uint32_t *off = s->cursor.down ? l->out_off : l->in_off;
    const uint32_t *ends = s->cursor.down ? l->out_dst : l->in_src;
    const uint8_t *bits = s->cursor.down ? l->out_bits : l->in_bits;

    for (size_t i = off[node]; i < off[node + 1]; i++) {
        uint32_t end = ends[i];

        if (!(bits[i] & ENDED) && !(s->visited[end >> 6] >> (end & 63) & 1) &&
            !visit(s, end, from, bits[i] & ROLE)) {
            return false;
        }
    }
    return true;
}

/* Breadth first. False when memory is out. */
static bool search(struct searcher *s, const struct walk *w)
{
    struct walk_found *f = s->found;
    unsigned depth = w->depth ? MIN_OF(w->depth, 65535u) : UINT32_MAX;
    size_t looked = 0;
    struct link_end e;

    for (size_t at = 0; at < f->n && s->target_at == SIZE_MAX; at++) {
        if (f->distance[at] >= depth) {
            break;
        }
        cursor_at(&s->cursor, f->nodes[at]);
        if (s->cursor.pass.plain) {
            looked += s->cursor.end - s->cursor.i;
            if (s->cursor.i < s->cursor.end && !visit_row(s, f->nodes[at], at)) {
                return false;
            }
            s->cursor.i = s->cursor.end;
        }
        while (cursor_next(&s->cursor, &e)) {
            if (!visit(s, e.node, at, e.role)) {
                return false;
            }
            looked++;
        }
        looked += LOOK_EVERY / LOOK_NODES;
        if (looked >= LOOK_EVERY && w->deadline_ms) {
            looked = 0;
            if (clock_mono_ms() > w->deadline_ms) {
                f->partial = true;
                return true;
            }
        }
    }
    return true;
}

enum status links_walk(const struct links *l, const struct walk *w, struct walk_found *out,
                       struct err *err)
{
    struct searcher s;
    bool good = begin(&s, l, w, out);

    for (size_t i = 0; good && i < w->starts_n; i++) {
        if (w->starts[i] >= 0 && w->starts[i] <= LINKS_UID_MAX) {
            good = visit(&s, (uint32_t)w->starts[i], out->n, 0);
        }
    }
    good = good && search(&s, w);
    mem_free(s.visited);
    if (!good) {
        walk_found_release(out);
        return err_nomem(err);
    }
    return OK;
}

enum status links_path(const struct links *l, int64_t from, int64_t to, const struct walk *w,
                       struct arena *a, struct link_path *out, struct err *err)
{
    struct walk one = *w;
    struct walk_found f;
    struct searcher s;
    enum status st = OK;
    size_t at;
    bool good;

    *out = (struct link_path){ 0 };
    one.starts = &from;
    one.starts_n = 1;
    one.nodes_max = 0;
    if (from < 0 || from > LINKS_UID_MAX || to < 0) {
        return OK;
    }
    good = begin(&s, l, &one, &f);
    s.target = to;
    good = good && visit(&s, (uint32_t)from, 0, 0) && search(&s, &one);
    mem_free(s.visited);
    out->partial = f.partial;
    if (good && s.target_at != SIZE_MAX) {
        out->n = 1;
        for (at = s.target_at; f.from[at] != at; at = f.from[at]) {
            out->n++;
        }
        out->nodes = ARENA_ARRAY(a, uint32_t, out->n);
        out->role = ARENA_ARRAY(a, uint8_t, out->n);
        good = out->nodes && out->role;
        at = s.target_at;
        for (size_t i = out->n; good && i-- > 0; at = f.from[at]) {
            out->nodes[i] = f.nodes[at];
            if (i > 0) {
                out->role[i - 1] = f.role[at];
            }
        }
    }
    if (!good) {
        *out = (struct link_path){ 0 };
        st = err_nomem(err);
    }
    walk_found_release(&f);
    return st;
}
