/* store/graph/links_walk.c - walks: breadth first, over packed rows, a batch of links at a time. Rows are copied into the batch, short ones
 * without asking for their length, and it is gone over in one loop without a branch: guessing wrong is most of a walk's time otherwise. A
 * node is asked for its row a few steps before it is walked, because rows of neighbours lie anywhere in memory. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/graph/links_int.h"
#include <string.h>

enum {
    LOOK_EVERY = 1 << 14, /* links between two looks at the clock */
    LOOK_NODES = 1 << 10,
    BATCH = 1024,
    AHEAD = 8, /* nodes */
    LONG_WALK = 1 << 12
};

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

/* log: look there too. */
static void cursor_at(struct cursor *c, uint32_t node, bool log)
{
    const struct links *l = c->l;
    const uint32_t *off = c->down ? l->out_off : l->in_off;

    c->node = node;
    c->i = node < l->top ? off[node] : 0;
    c->end = node < l->top ? off[node + 1] : 0;
    c->k = log && l->log_n ? log_first(l, c->down, node) : l->log_n;
}

/* The next link of the base that passes; c->i is at it. */
static bool base_peek(struct cursor *c, struct link_end *out)
{
    const struct links *l = c->l;

    for (; c->i < c->end; c->i++) {
        size_t i = c->i, link = c->down ? i : l->in_link[i];
        uint8_t bits = c->down ? l->out_bits[i] : l->in_bits[i];

        if (base_passes(l, &c->pass, bits, link)) {
            *out = (struct link_end){ c->down ? l->out_dst[i] : l->in_src[i], bits & ROLE,
                                      (bits & ASIDE) != 0, l->claimed[link], l->seen[link] };
            return true;
        }
    }
    return false;
}

static bool log_peek(struct cursor *c, struct link_end *out)
{
    const struct links *l = c->l;

    for (; c->k < l->log_n; c->k++) {
        const struct rec *r = &l->log[c->down ? c->k : l->log_in[c->k]];

        if ((c->down ? r->src : r->dst) != c->node) {
            c->k = l->log_n;
            break;
        }
        if (rec_passes(&c->pass, r)) {
            *out = (struct link_end){ c->down ? r->dst : r->src, r->bits & ROLE,
                                      (r->bits & ASIDE) != 0, r->claimed, r->seen };
            return true;
        }
    }
    return false;
}

/* By the number of the other node and the role, so that it does not matter what is in the log still. */
static bool cursor_next(struct cursor *c, struct link_end *out)
{
    struct link_end late;
    bool base = base_peek(c, out);

    if (c->k >= c->l->log_n || !log_peek(c, &late)) {
        c->i += base;
        return base;
    }
    if (base && (out->node < late.node || (out->node == late.node && out->role <= late.role))) {
        c->i++;
        return true;
    }
    *out = late;
    c->k++;
    return true;
}

size_t links_of(const struct links *l, int64_t node, const struct walk *w, struct link_end *out,
                size_t max)
{
    struct cursor c = { .l = l, .pass = pass_of(w), .down = w->direction == WALK_DOWN };
    struct link_end e, last = { 0 };
    size_t n = 0;

    if (node < 0 || node > LINKS_UID_MAX) {
        return 0;
    }
    cursor_at(&c, (uint32_t)node, true);
    while (cursor_next(&c, &e)) {
        /* by times that people claim, or a clock that was set back, a link may stand twice: what was recorded last counts */
        n += n == 0 || e.node != last.node || e.role != last.role;
        if (n <= max) {
            out[n - 1] = e;
        }
        last = e;
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

static bool found_grow(struct walk_found *f, bool brief)
{
    size_t cap = f->cap ? f->cap * 2 : 256;
    uint32_t *nodes = mem_realloc(f->nodes, cap * sizeof(*nodes)), *from;
    uint16_t *distance;
    uint8_t *role;

    f->nodes = nodes ? nodes : f->nodes;
    from = brief ? NULL : mem_realloc(f->from, cap * sizeof(*from));
    f->from = from ? from : f->from;
    role = brief ? NULL : mem_realloc(f->role, cap);
    f->role = role ? role : f->role;
    distance = mem_realloc(f->distance, cap * sizeof(*distance));
    f->distance = distance ? distance : f->distance;
    if (!nodes || !distance || (!brief && (!from || !role))) {
        return false;
    }
    f->cap = cap;
    return true;
}

/* Links that a walk follows, in the order in which it comes to them. */
struct batch {
    size_t n;
    uint32_t to[BATCH + LINKS_COPY];
    uint32_t from[BATCH + LINKS_COPY]; /* place of the node they are of, if that is wanted */
    uint8_t bits[BATCH + LINKS_COPY];
};

struct searcher {
    struct cursor cursor;
    struct walk_found *found;
    uint64_t *visited;
    uint64_t *rows;   /* nodes that the log has links of; NULL = perhaps any */
    uint64_t *stills; /* nodes with links that are walked at no distance; NULL = perhaps any */
    size_t top;
    size_t nodes_max;
    uint64_t still;         /* roles that are walked at no distance */
    const uint64_t *barred; /* as in struct walk */
    int64_t target;         /* -1 = none */
    size_t target_at;
    size_t looked; /* links since the last look at the clock */
    const struct walk *walk;
    bool brief, marked;
    bool by_place;       /* batch.from is wanted */
    uint8_t passes[256]; /* by bits: 1 = a link in the batch is followed */
    struct batch batch;
};

static bool bit_at(const uint64_t *bits, size_t i)
{
    return bits[i >> 6] >> (i & 63) & 1;
}

static void bit_set(uint64_t *bits, size_t i)
{
    bits[i >> 6] |= (uint64_t)1 << (i & 63);
}

/* False when memory is out. */
static bool visit_one(struct searcher *s, uint32_t node, size_t from, uint8_t role, bool still)
{
    struct walk_found *f = s->found;
    unsigned distance;

    if (bit_at(s->visited, node)) {
        return true;
    }
    if (f->n >= s->nodes_max) {
        f->partial = true;
        return true;
    }
    if (f->n == f->cap && !found_grow(f, s->brief)) {
        return false;
    }
    bit_set(s->visited, node);
    distance = from == f->n ? 0 : f->distance[from] + (still ? 0u : 1u);
    f->nodes[f->n] = node;
    if (!s->brief) {
        f->from[f->n] = (uint32_t)from;
        f->role[f->n] = role;
    }
    f->distance[f->n] = (uint16_t)MIN_OF(distance, 65535u);
    if (node == s->target) {
        s->target_at = f->n;
    }
    f->n++;
    return true;
}

/* The node, and what lies at no distance from it. */
static bool visit(struct searcher *s, uint32_t node, size_t from, uint8_t role)
{
    struct walk_found *f = s->found;
    size_t at = f->n;

    if (!visit_one(s, node, from, role, false)) {
        return false;
    }
    for (; s->still && at < f->n; at++) {
        struct cursor c = { .l = s->cursor.l, .pass = s->cursor.pass, .down = s->cursor.down };
        struct link_end e;

        if (s->stills && !bit_at(s->stills, f->nodes[at])) {
            continue;
        }
        c.pass.roles &= s->still;
        if (s->barred) {
            c.pass.roles &= ~s->barred[f->role[at]];
        }
        c.pass.plain = false;
        cursor_at(&c, f->nodes[at], true);
        while (cursor_next(&c, &e)) {
            if (!visit_one(s, e.node, at, e.role, true)) {
                return false;
            }
        }
    }
    return true;
}

static void end(struct searcher *s)
{
    mem_free(s->visited);
    mem_free(s->rows);
    mem_free(s->stills);
    s->visited = s->rows = s->stills = NULL;
}

static bool begin(struct searcher *s, const struct links *l, const struct walk *w,
                  struct walk_found *out)
{
    struct pass pass = pass_of(w);

    *out = (struct walk_found){ 0 };
    s->cursor = (struct cursor){ .l = l, .pass = pass, .down = w->direction == WALK_DOWN };
    s->found = out;
    s->rows = s->stills = NULL;
    s->top = MAX_OF(l->top, l->log_top);
    s->nodes_max = w->nodes_max ? w->nodes_max : SIZE_MAX;
    s->still = w->still & l->roles;
    s->target = -1;
    s->target_at = SIZE_MAX;
    s->looked = 0;
    s->walk = w;
    s->barred = s->still ? w->barred : NULL;
    s->brief = w->brief && !s->barred;
    s->by_place = !w->brief || s->still;
    s->marked = false;
    s->batch.n = 0;
    for (unsigned bits = 0; bits < 256; bits++) { /* those of a time have been looked at */
        s->passes[bits] = (pass.as_of || bits_pass(&pass, (uint8_t)bits)) &&
                          !(s->still >> (bits & ROLE) & 1); /* those have been walked */
    }
    for (size_t i = 0; i < w->starts_n; i++) {
        if (w->starts[i] >= 0 && w->starts[i] <= LINKS_UID_MAX) {
            s->top = MAX_OF(s->top, (size_t)w->starts[i] + 1);
        }
    }
    s->visited = mem_zalloc(s->top / 64 + 1, sizeof(uint64_t));
    return s->visited != NULL;
}

/* Nodes that links of s->still leave: they are few, and each such link is there both ways. */
static void mark_stills(struct searcher *s)
{
    const struct links *l = s->cursor.l;
    size_t node = 0;

    s->stills = mem_zalloc(s->top / 64 + 1, sizeof(uint64_t));
    for (size_t i = 0; s->stills && i < l->n; i++) {
        if (s->still >> (l->out_bits[i] & ROLE) & 1) {
            while (l->out_off[node + 1] <= i) {
                node++;
            }
            bit_set(s->stills, node);
        }
    }
    for (size_t i = 0; s->stills && i < l->log_n; i++) {
        if (s->still >> (l->log[i].bits & ROLE) & 1) {
            bit_set(s->stills, l->log[i].src);
        }
    }
}

/* A long walk marks nodes instead of searching the log for each. Without memory it searches on. */
static void mark(struct searcher *s)
{
    const struct links *l = s->cursor.l;

    s->marked = true;
    s->rows = l->log_n ? mem_zalloc(s->top / 64 + 1, sizeof(uint64_t)) : NULL;
    for (size_t i = 0; s->rows && i < l->log_n; i++) {
        bit_set(s->rows, s->cursor.down ? l->log[i].src : l->log[i].dst);
    }
    if (s->still) {
        mark_stills(s);
    }
}

/* Room for n nodes more. */
static bool found_room(struct walk_found *f, size_t n, bool brief)
{
    while (f->cap - f->n < n) {
        if (!found_grow(f, brief)) {
            return false;
        }
    }
    return true;
}

/* What the walk comes to soon. */
static void fetch_ahead(const struct searcher *s, size_t at)
{
    const struct links *l = s->cursor.l;
    const uint32_t *off = s->cursor.down ? l->out_off : l->in_off;
    const struct walk_found *f = s->found;

    if (at + 2 * AHEAD < f->n && f->nodes[at + 2 * AHEAD] < l->top) {
        __builtin_prefetch(&off[f->nodes[at + 2 * AHEAD]]);
    }
    if (at + AHEAD < f->n && f->nodes[at + AHEAD] < l->top) {
        size_t i = off[f->nodes[at + AHEAD]];

        __builtin_prefetch(s->cursor.down ? &l->out_dst[i] : &l->in_src[i]);
        __builtin_prefetch(s->cursor.down ? &l->out_bits[i] : &l->in_bits[i]);
    }
}

/* The links of the batch lead to nodes, each of which is found once. Written in any case, counted if it is new. */
static void settle_quick(struct searcher *s, bool brief)
{
    const struct batch *b = &s->batch;
    struct walk_found *f = s->found;
    uint32_t *nodes = f->nodes, *from = f->from;
    uint64_t *visited = s->visited;
    uint8_t *role = f->role;
    size_t n = f->n, links = b->n;

    for (size_t i = 0; i < links; i++) {
        uint32_t to = b->to[i];
        uint64_t seen = visited[to >> 6];
        uint64_t fresh = ~(seen >> (to & 63)) & s->passes[b->bits[i]];

        visited[to >> 6] = seen | fresh << (to & 63);
        nodes[n] = to;
        if (!brief) {
            from[n] = b->from[i];
            role[n] = b->bits[i] & ROLE;
        }
        n += fresh;
    }
    f->n = n;
}

/* Empties the batch; false when memory is out. */
static bool settle(struct searcher *s)
{
    struct walk_found *f = s->found;
    struct batch *b = &s->batch;
    bool good = true;

    s->looked += b->n;
    if (s->still) {
        for (size_t i = 0; good && i < b->n; i++) {
            good = !s->passes[b->bits[i]] || visit(s, b->to[i], b->from[i], b->bits[i] & ROLE);
        }
    } else {
        good = found_room(f, b->n + 1, s->brief);
        if (good && s->brief) {
            settle_quick(s, true);
        } else if (good) {
            settle_quick(s, false);
        }
        if (f->n > s->nodes_max) {
            f->n = s->nodes_max;
            f->partial = true;
        }
    }
    b->n = 0;
    return good;
}

/* One link, which passes. */
static bool batch_put(struct searcher *s, size_t at, uint32_t to, uint8_t bits)
{
    struct batch *b = &s->batch;

    b->to[b->n] = to;
    b->from[b->n] = (uint32_t)at;
    b->bits[b->n++] = bits;
    return b->n < BATCH || settle(s);
}

/* In registers; a call would take longer. */
static inline void copy_few(uint32_t *restrict to, const uint32_t *restrict from,
                            uint8_t *restrict bits, const uint8_t *restrict from_bits)
{
    for (size_t i = 0; i < LINKS_COPY; i++) {
        to[i] = from[i];
    }
    for (size_t i = 0; i < LINKS_COPY; i++) {
        bits[i] = from_bits[i];
    }
}

/* The links [i, end) of the base. Most rows are short, and what is copied too far is written over by the next. */
static bool batch_row(struct searcher *s, size_t at, size_t i, size_t end)
{
    const struct links *l = s->cursor.l;
    const uint32_t *ends = s->cursor.down ? l->out_dst : l->in_src;
    const uint8_t *bits = s->cursor.down ? l->out_bits : l->in_bits;
    struct batch *b = &s->batch;

    while (i < end) {
        size_t n = MIN_OF(end - i, BATCH - b->n);

        copy_few(&b->to[b->n], &ends[i], &b->bits[b->n], &bits[i]);
        if (n > LINKS_COPY) {
            memcpy(&b->to[b->n], &ends[i], n * sizeof(*ends));
            memcpy(&b->bits[b->n], &bits[i], n);
        }
        for (size_t k = 0; s->by_place && k < n; k++) {
            b->from[b->n + k] = (uint32_t)at;
        }
        b->n += n;
        i += n;
        if (b->n == BATCH && !settle(s)) {
            return false;
        }
    }
    return true;
}

/* The same, of those that stood at a time. */
static bool batch_row_then(struct searcher *s, size_t at, size_t i, size_t end)
{
    const struct links *l = s->cursor.l;
    bool down = s->cursor.down;

    for (; i < end; i++) {
        uint8_t bits = down ? l->out_bits[i] : l->in_bits[i];

        if (base_passes(l, &s->cursor.pass, bits, down ? i : l->in_link[i]) &&
            !batch_put(s, at, down ? l->out_dst[i] : l->in_src[i], bits & ROLE)) {
            return false;
        }
    }
    return true;
}

/* The links of the node that is `at`. */
static bool batch_node(struct searcher *s, size_t at)
{
    const struct links *l = s->cursor.l;
    const uint32_t *off = s->cursor.down ? l->out_off : l->in_off;
    uint32_t node = s->found->nodes[at];
    bool log = l->log_n && (!s->rows || bit_at(s->rows, node));
    const struct walk *w = s->walk;
    struct link_end e;

    if (!log && !w->follow) {
        size_t i = node < l->top ? off[node] : 0, last = node < l->top ? off[node + 1] : 0;

        return s->cursor.pass.as_of ? batch_row_then(s, at, i, last) : batch_row(s, at, i, last);
    }
    cursor_at(&s->cursor, node, log);
    while (cursor_next(&s->cursor, &e)) {
        if (w->follow && !w->follow(w->ctx, node, e.node, e.role)) {
            s->looked++;
        } else if (!batch_put(s, at, e.node, e.role)) {
            return false;
        }
    }
    return true;
}

/* Whether the walk ends here: looks at the clock now and then. */
static bool is_over(struct searcher *s)
{
    s->looked += LOOK_EVERY / LOOK_NODES;
    if (s->looked >= LOOK_EVERY && s->walk->deadline_ms) {
        s->looked = 0;
        s->found->partial = s->found->partial || clock_mono_ms() > s->walk->deadline_ms;
    }
    return s->found->partial;
}

/* Breadth first, a distance at a time. False when memory is out. */
static bool search(struct searcher *s)
{
    struct walk_found *f = s->found;
    unsigned depth = s->walk->depth ? MIN_OF(s->walk->depth, 65535u) : UINT32_MAX;
    size_t from = 0;

    for (unsigned d = 0; from < f->n && d < depth && !f->partial && s->target_at == SIZE_MAX; d++) {
        size_t to = f->n;

        if (!s->marked && to >= LONG_WALK) {
            mark(s);
        }
        for (size_t at = from; at < to && !is_over(s); at++) {
            fetch_ahead(s, at);
            if (!batch_node(s, at)) {
                return false;
            }
        }
        if (!settle(s)) {
            return false;
        }
        for (size_t i = to; i < f->n; i++) {
            f->distance[i] = (uint16_t)MIN_OF(d + 1, 65535u);
        }
        for (size_t i = to; s->target >= 0 && i < f->n; i++) {
            s->target_at = f->nodes[i] == s->target ? i : s->target_at;
        }
        from = to;
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
    good = good && search(&s);
    end(&s);
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
    one.brief = false;
    if (from < 0 || from > LINKS_UID_MAX || to < 0) {
        return OK;
    }
    good = begin(&s, l, &one, &f);
    s.target = to;
    good = good && visit(&s, (uint32_t)from, 0, 0) && search(&s);
    end(&s);
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
