/* The links of the graph in memory, against a list that is searched from end to end. */
#include "tap.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/graph/links_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NODES = 60, FACTS_MAX = 6000 };

static struct link_fact facts[FACTS_MAX];
static size_t facts_n;

static struct link_fact draw_fact(size_t nodes, int64_t now)
{
    struct link_fact f = { .src = (int64_t)t_rand_below(nodes),
                           .dst = (int64_t)t_rand_below(nodes),
                           .role = (uint8_t)(t_rand_below(3) * 31),
                           .gone = t_rand_below(4) == 0,
                           .aside = t_rand_below(5) == 0,
                           .claimed_ms = (int64_t)t_rand_below(1000),
                           .seen_ms = now };

    return f;
}

static bool same_link(const struct link_fact *a, const struct link_fact *b)
{
    return a->src == b->src && a->dst == b->dst && a->role == b->role;
}

/* Whether an interval of the link that facts[i] opened stands for the walk; false if facts[i] opened none. */
static bool stands(size_t i, const struct walk *w)
{
    bool open = false;
    int64_t from = 0, to = INT64_MAX;
    size_t opened = SIZE_MAX;

    for (size_t k = 0; k < facts_n; k++) {
        if (!same_link(&facts[k], &facts[i])) continue;
        if (!facts[k].gone && !open) {
            open = true;
            opened = k;
            if (k == i) from = w->time == WALK_CLAIMED ? facts[k].claimed_ms : facts[k].seen_ms;
        } else if (facts[k].gone && open) {
            open = false;
            if (opened == i) to = w->time == WALK_CLAIMED ? facts[k].claimed_ms : facts[k].seen_ms;
        }
        if (k == i && opened != i) return false;
    }
    if (!((w->roles ? w->roles : UINT64_MAX) >> facts[i].role & 1)) return false;
    if (w->skip_aside && facts[i].aside) return false;
    if (w->has_as_of) return from <= w->as_of_ms && to > w->as_of_ms;
    return to == INT64_MAX && open && opened == i;
}

static void slow_distances(const struct walk *w, int *distance, size_t nodes)
{
    bool moved = true;

    for (size_t i = 0; i < nodes; i++)
        distance[i] = -1;
    for (size_t i = 0; i < w->starts_n; i++)
        distance[w->starts[i]] = 0;
    for (int d = 0; moved && (w->depth == 0 || d < (int)w->depth); d++) {
        moved = false;
        for (size_t i = 0; i < facts_n; i++) {
            int64_t a = w->direction == WALK_DOWN ? facts[i].src : facts[i].dst;
            int64_t b = w->direction == WALK_DOWN ? facts[i].dst : facts[i].src;

            if (distance[a] == d && distance[b] < 0 && stands(i, w)) {
                distance[b] = d + 1;
                moved = true;
            }
        }
    }
}

static struct walk draw_walk(int64_t *start, size_t nodes, int64_t now)
{
    struct walk w = { .starts = start,
                      .starts_n = 1 + t_rand_below(2),
                      .direction = t_rand_below(2) ? WALK_UP : WALK_DOWN,
                      .roles = t_rand_below(3) ? 0 : (uint64_t)1 << 31,
                      .skip_aside = t_rand_below(2),
                      .has_as_of = t_rand_below(2),
                      .as_of_ms = (int64_t)t_rand_below((uint64_t)now + 2),
                      .time = t_rand_below(2) ? WALK_RECORDED : WALK_CLAIMED,
                      .depth = (unsigned)t_rand_below(5) };

    start[0] = (int64_t)t_rand_below(nodes);
    start[1] = (int64_t)t_rand_below(nodes);
    return w;
}

static void compare(const struct links *l, size_t nodes, int64_t now)
{
    int distance[NODES];
    int64_t start[2];
    struct walk w = draw_walk(start, nodes, now);
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct walk_found f;
    struct link_path p;
    size_t want = 0;
    int64_t to = (int64_t)t_rand_below(nodes);

    slow_distances(&w, distance, nodes);
    T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
    for (size_t i = 0; i < nodes; i++)
        want += distance[i] >= 0;
    T_UINT(f.n, want);
    for (size_t i = 0; i < f.n; i++) {
        T_INT(f.distance[i], distance[f.nodes[i]]);
        T_OK(i == 0 || f.distance[i - 1] <= f.distance[i]);
        T_INT(f.distance[f.from[i]], f.from[i] == i ? 0 : f.distance[i] - 1);
    }
    T_OK(!f.partial);
    walk_found_release(&f);
    w.brief = true;
    T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
    T_UINT(f.n, want);
    for (size_t i = 0; i < f.n; i++)
        T_INT(f.distance[i], distance[f.nodes[i]]);
    walk_found_release(&f);
    w.brief = false;
    w.starts_n = 1;
    slow_distances(&w, distance, nodes);
    T_ST_ERR(links_path(l, start[0], to, &w, a, &p, &err), OK, &err);
    T_INT((int)p.n, distance[to] < 0 ? 0 : distance[to] + 1);
    if (p.n) {
        T_INT(p.nodes[0], start[0]);
        T_INT(p.nodes[p.n - 1], to);
    }
    arena_free(a);
}

TEST(links_agree_with_a_slow_search)
{
    for (int round = 0; round < 12; round++) {
        struct links *l = links_new();
        struct err err = ERR_INIT;
        int64_t now = 0;

        facts_n = 0;
        while (facts_n < 600) {
            size_t n = 1 + t_rand_below(round % 2 ? 40 : 3);

            for (size_t i = 0; i < n; i++)
                facts[facts_n + i] = draw_fact(NODES, now++);
            T_ST_ERR(links_add(l, facts + facts_n, n, &err), OK, &err);
            facts_n += n;
            if (t_rand_below(4) == 0) compare(l, NODES, now);
        }
        for (int i = 0; i < 20; i++)
            compare(l, NODES, now);
        links_pack(l); /* no log beside the base: the quick way */
        for (int i = 0; i < 40; i++)
            compare(l, NODES, now);
        links_free(l);
    }
}

/* Enough facts that they are sorted by digits and packed, and more that come later. */
TEST(links_are_packed_and_grow)
{
    struct links *l = links_new();
    struct err err = ERR_INIT;

    facts_n = 0;
    for (size_t i = 0; i < 5000; i++)
        facts[facts_n++] = draw_fact(NODES, (int64_t)i);
    T_ST_ERR(links_add(l, facts, facts_n, &err), OK, &err);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            compare(l, NODES, (int64_t)facts_n);
        for (int i = 0; i < 100; i++) {
            facts[facts_n] = draw_fact(NODES, (int64_t)facts_n);
            facts_n++;
        }
        T_ST_ERR(links_add(l, facts + facts_n - 100, 100, &err), OK, &err);
    }
    T_OK(links_n(l) > 0 && links_bytes(l) > 0);
    links_free(l);
}

TEST(long_chains_hubs_and_cycles_end)
{
    enum { N = 20000 };
    struct link_fact *many = mem_alloc(N * sizeof(*many));
    struct links *l = links_new();
    struct err err = ERR_INIT;
    struct walk_found f;
    int64_t start = 0;
    struct walk w = { .starts = &start, .starts_n = 1, .direction = WALK_DOWN };

    for (int i = 0; i < N; i++) { /* a ring */
        many[i] = (struct link_fact){ .src = i, .dst = (i + 1) % N, .role = 1, .seen_ms = i };
    }
    T_ST_ERR(links_add(l, many, N, &err), OK, &err);
    T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
    T_UINT(f.n, N);
    T_INT(f.distance[N - 1], N - 1);
    walk_found_release(&f);
    for (int i = 0; i < N; i++) { /* a hub, a fact at a time and all at once */
        many[i] = (struct link_fact){ .src = 0, .dst = N + i, .role = 2, .seen_ms = i };
    }
    T_ST_ERR(links_add(l, many, N, &err), OK, &err);
    T_UINT(links_of(l, 0, &w, NULL, 0), N + 1);
    w.nodes_max = 100;
    T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
    T_UINT(f.n, 100);
    T_OK(f.partial);
    walk_found_release(&f);
    w.nodes_max = 0;
    w.deadline_ms = clock_mono_ms() - 1;
    T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
    T_OK(f.partial && f.n < 2 * N);
    walk_found_release(&f);
    links_free(l);
    mem_free(many);
}

/* Links to nodes not far behind, in rows of any length up to that of a hub; some ended, some aside, some of nodes that are the same. */
static size_t draw_many(struct link_fact *many, size_t nodes)
{
    size_t n = 0;

    for (size_t i = 0; i < nodes; i++) {
        size_t row = i % 501 == 0 ? 1500 : t_rand_below(i % 50 == 0 ? 40 : 6);

        for (size_t k = 0; k < row; k++) {
            struct link_fact *f = &many[n];

            *f = draw_fact(nodes, (int64_t)n);
            f->src = (int64_t)i;
            f->dst = (int64_t)((i + 1 + t_rand_below(row > 40 ? 2000 : 300)) % nodes);
            f->gone = false;
            f->role = (uint8_t)(t_rand_below(3) * 2);
            n++;
            if (t_rand_below(30) == 0) {
                many[n] = *f;
                many[n].gone = true;
                many[n].seen_ms = (int64_t)n;
                n++;
            }
        }
        if (i % 97 == 5) { /* the same, both ways */
            many[n] = (struct link_fact){ .src = (int64_t)i,
                                          .dst = (int64_t)((i + nodes / 2) % nodes),
                                          .role = 34,
                                          .seen_ms = (int64_t)n };
            many[n + 1] = many[n];
            many[n + 1].src = many[n].dst;
            many[n + 1].dst = many[n].src;
            n += 2;
        }
    }
    return n;
}

static bool any_link(void *ctx, uint32_t from, uint32_t to, uint8_t role)
{
    (void)ctx;
    (void)from;
    (void)to;
    (void)role;
    return true;
}

/* The same walk over links of which many are in the log, and over packed ones; each link asked about or none. */
TEST(long_walks_are_the_same_however_links_lie)
{
    enum { N = 9000, ROOM = 12 * N };
    struct link_fact *many = mem_alloc(ROOM * sizeof(*many));
    struct links *late = links_new(), *packed = links_new();
    struct err err = ERR_INIT;
    size_t n = draw_many(many, N), first = n - n / 12;

    T_OK(n < ROOM);
    T_ST_ERR(links_add(late, many, first, &err), OK, &err);
    T_ST_ERR(links_add(late, many + first, n - first, &err), OK, &err);
    T_ST_ERR(links_add(packed, many, n, &err), OK, &err);
    links_pack(packed);
    for (unsigned i = 0; i < 32; i++) {
        int64_t start[] = { 501, 4000 };
        struct walk w = { .starts = start,
                          .starts_n = 2,
                          .direction = i & 1 ? WALK_UP : WALK_DOWN,
                          .still = i & 2 ? (uint64_t)1 << 34 : 0,
                          .has_as_of = (i & 4) != 0,
                          .as_of_ms = (int64_t)n - 900,
                          .skip_aside = (i & 8) != 0,
                          .nodes_max = i & 16 ? 5000 : 0 };
        struct walk_found a, b, c;

        T_ST_ERR(links_walk(late, &w, &a, &err), OK, &err);
        T_ST_ERR(links_walk(packed, &w, &b, &err), OK, &err);
        w.follow = any_link;
        T_ST_ERR(links_walk(late, &w, &c, &err), OK, &err);
        T_OK(a.n >= 5000 && a.partial == (w.nodes_max != 0));
        T_OK(a.n == b.n && a.n == c.n && a.partial == b.partial && a.partial == c.partial);
        T_OK(memcmp(a.nodes, b.nodes, a.n * sizeof(*a.nodes)) == 0);
        T_OK(memcmp(a.from, b.from, a.n * sizeof(*a.from)) == 0);
        T_OK(memcmp(a.role, b.role, a.n) == 0);
        T_OK(memcmp(a.distance, b.distance, a.n * sizeof(*a.distance)) == 0);
        T_OK(memcmp(a.nodes, c.nodes, a.n * sizeof(*a.nodes)) == 0);
        T_OK(memcmp(a.distance, c.distance, a.n * sizeof(*a.distance)) == 0);
        walk_found_release(&b);
        walk_found_release(&c);
        w.follow = NULL;
        w.brief = true;
        T_ST_ERR(links_walk(packed, &w, &b, &err), OK, &err);
        T_OK(a.n == b.n && memcmp(a.nodes, b.nodes, a.n * sizeof(*a.nodes)) == 0);
        T_OK(memcmp(a.distance, b.distance, a.n * sizeof(*a.distance)) == 0);
        walk_found_release(&a);
        walk_found_release(&b);
    }
    links_free(late);
    links_free(packed);
    mem_free(many);
}

TEST(a_walk_without_memory_gives_nothing)
{
    enum { N = 9000, ROOM = 12 * N };
    struct link_fact *many = mem_alloc(ROOM * sizeof(*many));
    struct links *l = links_new();
    struct err err = ERR_INIT;
    size_t n = draw_many(many, N), first = n - n / 12;
    int64_t start = 501;
    struct walk w = {
        .starts = &start, .starts_n = 1, .direction = WALK_DOWN, .still = (uint64_t)1 << 34
    };
    struct walk_found want, f;

    T_ST_ERR(links_add(l, many, first, &err), OK, &err);
    T_ST_ERR(links_add(l, many + first, n - first, &err), OK, &err);
    T_ST_ERR(links_walk(l, &w, &want, &err), OK, &err);
    for (int64_t at = 1;;
         at++) { /* one call fails; without the marks of a long walk it comes to the same */
        bool enough;
        enum status st;

        mem_fail_after(at, true);
        st = links_walk(l, &w, &f, &err);
        enough = mem_call_n() < at;
        mem_fail_never();
        if (st) {
            T_ST(st, ST_NOMEM);
            T_OK(!f.nodes && f.n == 0);
        } else {
            T_OK(f.n == want.n && memcmp(f.nodes, want.nodes, f.n * sizeof(*f.nodes)) == 0);
        }
        walk_found_release(&f);
        if (enough) break;
    }
    walk_found_release(&want);
    links_free(l);
    mem_free(many);
}

/* Times that overlap, since people claim what they like: a link is given once, with what was recorded last; in whatever portions it came. */
TEST(a_link_that_stands_twice_is_given_once)
{
    static const struct link_fact all[] = {
        { .src = 1, .dst = 2, .role = 3, .claimed_ms = 10, .seen_ms = 1 },
        { .src = 1, .dst = 2, .role = 3, .gone = true, .claimed_ms = 100, .seen_ms = 2 },
        { .src = 1, .dst = 2, .role = 3, .claimed_ms = 50, .seen_ms = 3 },
        { .src = 1, .dst = 2, .role = 4, .claimed_ms = 10, .seen_ms = 4 },
        { .src = 1, .dst = 3, .role = 3, .claimed_ms = 10, .seen_ms = 5 },
    };
    const int64_t start = 1;
    struct walk w = { .starts = &start,
                      .starts_n = 1,
                      .direction = WALK_DOWN,
                      .has_as_of = true,
                      .as_of_ms = 75,
                      .time = WALK_CLAIMED };
    struct link_end ends[4];
    struct err err = ERR_INIT;

    for (int portions = 0; portions < 2; portions++) {
        struct links *l = links_new();

        T_OK(l != NULL);
        if (portions) {
            T_ST_ERR(links_add(l, all, 2, &err), OK, &err);
            links_pack(l);
        }
        T_ST_ERR(links_add(l, all + portions * 2, ARRAY_N(all) - (size_t)portions * 2, &err), OK,
                 &err);
        T_UINT(links_of(l, 1, &w, ends, 4), 3);
        T_INT(ends[0].role, 3);
        T_INT(ends[0].claimed_ms, 50);
        T_INT(ends[1].role, 4);
        T_INT(ends[2].node, 3);
        T_UINT(links_of(l, 1, &w, ends, 1), 3);
        T_INT(ends[0].claimed_ms, 50);
        w.as_of_ms = 200;
        T_UINT(links_of(l, 1, &w, ends, 4), 3);
        w.as_of_ms = 75;
        w.direction = WALK_UP;
        T_UINT(links_of(l, 2, &w, ends, 4), 2);
        w.direction = WALK_DOWN;
        links_free(l);
    }
}

/* 1 -> 2, 2 = 10 = 11, 11 -> 12: what is the same is at no distance, in whatever portions it came. */
TEST(some_links_are_walked_at_no_distance)
{
    struct link_fact all[] = {
        { .src = 1, .dst = 2, .role = 3, .seen_ms = 1 },
        { .src = 2, .dst = 10, .role = 34, .seen_ms = 2 },
        { .src = 10, .dst = 2, .role = 34, .seen_ms = 2 },
        { .src = 10, .dst = 11, .role = 34, .seen_ms = 3 },
        { .src = 11, .dst = 10, .role = 34, .seen_ms = 3 },
        { .src = 11, .dst = 12, .role = 3, .seen_ms = 4 },
        { .src = 2, .dst = 13, .role = 3, .seen_ms = 5 },
    };
    int64_t start = 1;
    struct walk w = { .starts = &start, .starts_n = 1, .still = (uint64_t)1 << 34 };

    for (size_t step = 1; step <= ARRAY_N(all); step++) {
        static const uint32_t nodes[] = { 1, 2, 10, 11, 13, 12 };
        static const uint16_t distance[] = { 0, 1, 1, 1, 2, 2 };
        struct links *l = links_new();
        struct err err = ERR_INIT;
        struct walk_found f;

        for (size_t i = 0; i < ARRAY_N(all); i += step) {
            T_ST_ERR(links_add(l, all + i, MIN_OF(step, ARRAY_N(all) - i), &err), OK, &err);
        }
        w.direction = WALK_DOWN;
        w.has_as_of = false;
        start = 1;
        T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
        T_UINT(f.n, ARRAY_N(nodes));
        T_OK(memcmp(f.nodes, nodes, sizeof(nodes)) == 0);
        T_OK(memcmp(f.distance, distance, sizeof(distance)) == 0);
        walk_found_release(&f);
        start = 12;
        w.direction = WALK_UP;
        T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
        T_UINT(f.n, 5);
        T_INT(f.distance[4], 2);
        walk_found_release(&f);
        w.has_as_of = true;
        w.as_of_ms = 2;
        T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
        T_UINT(f.n, 1);
        walk_found_release(&f);
        links_free(l);
    }
}

TEST(node_numbers_have_a_limit)
{
    struct links *l = links_new();
    struct err err = ERR_INIT;
    struct link_fact bad[] = { { .src = 1, .dst = 2 }, { .src = -1, .dst = 2 } };
    struct walk_found f;
    int64_t far = LINKS_UID_MAX + 5;
    struct walk w = { .starts = &far, .starts_n = 1, .direction = WALK_UP };

    T_ST(links_add(l, bad, 2, &err), ST_INVALID);
    T_UINT(links_n(l), 0);
    bad[1].src = LINKS_UID_MAX + 1;
    T_ST(links_add(l, bad, 2, &err), ST_INVALID);
    T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
    T_UINT(f.n, 0);
    far = 77;
    T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
    T_UINT(f.n, 1);
    walk_found_release(&f);
    links_free(l);
}

TEST(links_without_memory_stay_as_they_were)
{
    struct links *l = links_new();
    struct err err = ERR_INIT;

    facts_n = 0;
    for (size_t i = 0; i < 1100; i++)
        facts[facts_n++] = draw_fact(NODES, (int64_t)i);
    for (size_t at = 0; at < facts_n; at += 100) {
        for (int64_t n = 1;; n++) {
            enum status st;
            bool enough;

            mem_fail_after(n, true);
            st = links_add(l, facts + at, 100, &err);
            enough = mem_call_n() < n;
            mem_fail_never();
            if (st == OK) break;
            T_ST(st, ST_NOMEM);
            T_OK(!enough);
        }
    }
    for (int i = 0; i < 20; i++)
        compare(l, NODES, (int64_t)facts_n);
    links_free(l);
}

/* ---- as a file ------------------------------------------------------------------------------------------------------------ */

struct bytes {
    uint8_t *p;
    size_t n, at;
};

static enum status take(void *ctx, void *p, size_t n, struct err *err)
{
    struct bytes *b = ctx;

    if (n > b->n - b->at) return err_set(err, ST_CORRUPT, "too short");
    memcpy(p, b->p + b->at, n);
    b->at += n;
    return OK;
}

static struct bytes written(const struct links *l)
{
    struct links_stamp stamp = { .marks = { 1, 2, 3, 4, 5, 6, 7, 8 }, .witness = 9 };
    uint16_t types[] = { 1, 2, 3 };
    struct links_extra extra = { types, sizeof(types) };
    struct err err = ERR_INIT;
    struct bytes b = { 0 };
    int fd = memfd_create("links", MFD_CLOEXEC);
    off_t size;

    T_OK(fd >= 0);
    T_ST_ERR(links_write(l, &stamp, &extra, fd, &err), OK, &err);
    size = lseek(fd, 0, SEEK_END);
    T_OK(size > LINKS_HEAD_N);
    b.n = (size_t)size;
    b.p = mem_alloc(b.n);
    T_OK(b.p && pread(fd, b.p, b.n, 0) == size);
    close(fd);
    return b;
}

static enum status read_back(struct bytes b, struct links **out)
{
    struct links_source from = { .read = take, .ctx = &b, .size = b.n };
    struct links_stamp stamp;
    struct links_extra extra;
    struct err err = ERR_INIT;
    enum status st = links_read(out, &stamp, &extra, &from, &err);

    if (st) {
        T_OK(!*out && !extra.p);
    } else {
        T_INT(stamp.marks[7], 8);
        T_UINT(stamp.witness, 9);
        T_UINT(extra.n, 6);
        T_OK(memcmp(extra.p, (uint16_t[]){ 1, 2, 3 }, 6) == 0);
    }
    mem_free(extra.p);
    return st;
}

TEST(links_from_a_file_are_the_same)
{
    for (int round = 0; round < 6; round++) {
        struct links *l = links_new(), *again;
        size_t n = (size_t[]){ 0, 5, 900, 1500, 3000, 5000 }[round];
        struct err err = ERR_INIT;
        struct bytes b;

        facts_n = 0;
        while (facts_n < n) {
            size_t more = MIN_OF(n - facts_n, (size_t)700);

            for (size_t i = 0; i < more; i++)
                facts[facts_n + i] = draw_fact(NODES, (int64_t)(facts_n + i));
            T_ST_ERR(links_add(l, facts + facts_n, more, &err), OK, &err);
            facts_n += more;
        }
        b = written(l);
        T_ST_ERR(read_back(b, &again), OK, &err);
        T_UINT(links_n(again), links_n(l));
        links_free(l);
        for (int i = 0; i < 8; i++)
            compare(again, NODES, (int64_t)facts_n);
        for (int i = 0; i < 600; i++) { /* it goes on as if it had never been away */
            facts[facts_n] = draw_fact(NODES, (int64_t)facts_n);
            facts_n++;
        }
        T_ST_ERR(links_add(again, facts + facts_n - 600, 600, &err), OK, &err);
        for (int i = 0; i < 8; i++)
            compare(again, NODES, (int64_t)facts_n);
        links_free(again);
        mem_free(b.p);
    }
}

TEST(a_damaged_file_is_refused)
{
    struct links *l = links_new(), *again;
    struct err err = ERR_INIT;
    struct bytes b, cut;

    facts_n = 0;
    for (size_t i = 0; i < 1500; i++)
        facts[facts_n++] = draw_fact(NODES, (int64_t)i);
    T_ST_ERR(links_add(l, facts, facts_n, &err), OK, &err);
    T_ST_ERR(links_add(l, facts, 40, &err), OK, &err);
    b = written(l);
    for (size_t i = 0; i < b.n; i += i < 400 ? 1 : 997) {
        uint8_t was = b.p[i];

        b.p[i] ^= (uint8_t)(1 + t_rand_below(255));
        T_ST(read_back(b, &again), ST_CORRUPT);
        b.p[i] = was;
    }
    for (size_t n = 0; n < b.n; n += 1 + n / 2) {
        cut = (struct bytes){ b.p, n, 0 };
        T_ST(read_back(cut, &again), ST_CORRUPT);
    }
    for (int64_t n = 1;; n++) {
        enum status st;
        bool enough;

        mem_fail_after(n, true);
        st = read_back(b, &again);
        enough = mem_call_n() < n;
        mem_fail_never();
        if (st == OK) break;
        T_ST(st, ST_NOMEM);
        T_OK(!enough);
    }
    links_free(again);
    links_free(l);
    mem_free(b.p);
}

/* What was recorded of different links may come in any order, and in any portions. */
TEST(any_order_of_the_facts_is_the_same_graph)
{
    enum { N = 400, ORDERS = 30, LOOKS = 12 };
    struct link_fact set[N], order[N];
    struct walk_found want[LOOKS] = { 0 };

    for (size_t i = 0; i < N; i++) {
        set[i] = draw_fact(NODES, (int64_t)i);
        set[i].gone = false;
        set[i].role = (uint8_t)(i % 7); /* no link twice: its claims would have an order */
        set[i].src = (int64_t)(i / 7 % NODES);
        set[i].dst = (int64_t)((i * 31 + i / 7) % NODES);
    }
    for (int k = 0; k < ORDERS; k++) {
        struct links *l = links_new();
        struct err err = ERR_INIT;

        memcpy(order, set, sizeof(order));
        for (size_t i = N - 1; k > 0 && i > 0; i--) {
            size_t j = t_rand_below(i + 1);
            struct link_fact f = order[i];

            order[i] = order[j];
            order[j] = f;
        }
        for (size_t i = 0, n; i < N; i += n) {
            n = 1 + t_rand_below(N / 2);
            n = MIN_OF((size_t)N - i, n);
            T_ST_ERR(links_add(l, order + i, n, &err), OK, &err);
        }
        for (int64_t look = 0; look < LOOKS; look++) {
            struct walk w = { .starts = &look,
                              .starts_n = 1,
                              .direction = look % 2 ? WALK_UP : WALK_DOWN,
                              .skip_aside = look % 3 == 0,
                              .has_as_of = look % 4 > 1,
                              .as_of_ms = 200 };
            struct walk_found f;

            T_ST_ERR(links_walk(l, &w, &f, &err), OK, &err);
            if (k == 0) {
                want[look] = f;
                continue;
            }
            T_UINT(f.n, want[look].n);
            T_OK(memcmp(f.nodes, want[look].nodes, f.n * sizeof(*f.nodes)) == 0);
            T_OK(memcmp(f.distance, want[look].distance, f.n * sizeof(*f.distance)) == 0);
            walk_found_release(&f);
        }
        links_free(l);
    }
    for (int i = 0; i < LOOKS; i++)
        walk_found_release(&want[i]);
}
