/* Graphs that somebody made to hurt: chains of 10,000, a hub of a million links, rings; facts in every order; two servers that say
 * things of columns and of sameness in turn. Each ends, in memory that has a bound. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/dataset.h"
#include "core/graph/columns.h"
#include "core/graph/graph.h"
#include "core/graph/same.h"
#include "core/run_diff.h"
#include "store/graph/links.h"

#include <stdio.h>

enum { FIRST = 100000, CHAIN = 10000 };

/* The text with a number in the place of each @ and #. */
static void script(struct corefix *f, const char *text, int base, int n)
{
    struct buf out = BUF_INIT(4096);

    for (const char *c = text; *c; c++) {
        if (*c == '@' || *c == '#') {
            buf_printf(&out, "%d", *c == '@' ? base : n);
        } else {
            buf_put(&out, c, 1);
        }
    }
    buf_put(&out, "", 1);
    T_OK(!out.failed);
    corefix_script(f, out.p);
    buf_release(&out);
}

/* n links from FIRST on, each to the next; the last of them to FIRST again if it is a ring. */
static void add_chain(struct corefix *f, int n, bool ring)
{
    script(f,
           "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) "
           "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < #) "
           "SELECT 1, @ + i - 1, @ + i, 3, i - 1, i - 1 FROM t",
           FIRST, ring ? n - 1 : n);
    if (ring) {
        script(f,
               "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) "
               "VALUES (1, @ + # - 1, @, 3, 0, 0)",
               FIRST, n);
    }
}

static size_t ask(struct corefix *f, struct graph_query q, int64_t node, struct graph_answer *out)
{
    size_t n = 0;

    *out = (struct graph_answer){ 0 };
    q.node = arena_printf(f->a, "node:%lld", (long long)node);
    q.max = q.max ? q.max : 10;
    T_ST_ERR(graph_ask(&f->v, &q, out, &f->err), OK, &f->err);
    for (size_t i = 0; i < out->totals_n; i++)
        n += out->totals[i].n;
    return n;
}

static struct graph_trail trail(struct corefix *f, int64_t from, int64_t to)
{
    struct graph_trail t = { 0 };
    struct graph_query q = { .node = arena_printf(f->a, "node:%lld", (long long)from) };
    struct str end = arena_printf(f->a, "node:%lld", (long long)to);

    T_ST_ERR(graph_trail(&f->v, &q, end, &t, &f->err), OK, &f->err);
    return t;
}

SQL_TEST(chains_of_ten_thousand)
{
    struct core_options opt = { 0 };
    struct graph_answer a;
    struct graph_trail t;
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    add_chain(&f, CHAIN, false);
    T_UINT(ask(&f, (struct graph_query){ .down = true }, FIRST, &a), CHAIN);
    T_UINT(ask(&f, (struct graph_query){ .down = false }, FIRST + CHAIN, &a), CHAIN);
    T_UINT(ask(&f, (struct graph_query){ .down = true, .depth = 7000 }, FIRST, &a), 7000);
    T_UINT(ask(&f, (struct graph_query){ .down = true, .group = true }, FIRST, &a), CHAIN);
    T_UINT(a.groups_n, 0);
    T_UINT(ask(&f, (struct graph_query){ .down = true, .has_as_of = true, .as_of_ms = 4999 }, FIRST,
               &a),
           5000);
    T_OK(!a.partial);
    T_OK(ask(&f, (struct graph_query){ .down = true, .timeout_ms = -1 }, FIRST, &a) < CHAIN);
    T_OK(a.partial); /* the time was over before it began: a part, and it says so */
    t = trail(&f, FIRST, FIRST + CHAIN);
    T_UINT(t.n, CHAIN + 1);
    T_UINT(t.totals[0].n, CHAIN - 1);
    t = trail(&f, FIRST + CHAIN, FIRST);
    T_OK(t.backwards);
    corefix_close(&f);
}

SQL_TEST(rings_end)
{
    struct core_options opt = { 0 };
    struct graph_answer a;
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    add_chain(&f, 1000, true);
    script(&f, /* one that goes through it, the other way round */
           "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) "
           "WITH RECURSIVE t(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM t WHERE i < 99) "
           "SELECT 1, @ + (i + 1) * 10 % #, @ + i * 10, 4, i, i FROM t",
           FIRST, 1000);
    for (int down = 0; down < 2; down++) {
        T_UINT(ask(&f, (struct graph_query){ .down = down }, FIRST + 500, &a), 999);
        T_UINT(ask(&f, (struct graph_query){ .down = down, .group = true }, FIRST, &a), 999);
        T_UINT(ask(&f, (struct graph_query){ .down = down, .has_as_of = true, .as_of_ms = 2000 },
                   FIRST, &a),
               999);
    }
    T_UINT(trail(&f, FIRST, FIRST + 5).n, 6);
    T_UINT(trail(&f, FIRST + 5, FIRST).totals[0].n, 998);
    corefix_close(&f);
}

TEST(hubs_of_a_million_links)
{
    enum { N = 1000000, PART = 100000 };
    struct link_fact *facts = mem_alloc(PART * sizeof(*facts));
    struct links *l = links_new();
    struct err err = ERR_INIT;
    struct walk_found found;
    int64_t start = 0;
    struct walk w = { .starts = &start, .starts_n = 1, .direction = WALK_DOWN };

    for (int at = 0; at < N; at += PART) {
        for (int i = 0; i < PART; i++) /* out of the hub, and half of them in again */
            facts[i] = (struct link_fact){ .src = i % 2 ? 0 : at + i + 1,
                                           .dst = i % 2 ? at + i + 1 : 0,
                                           .role = 3,
                                           .seen_ms = at + i };
        T_ST_ERR(links_add(l, facts, PART, &err), OK, &err);
    }
    links_pack(l);
    T_OK(links_bytes(l) < 64 << 20);
    for (int down = 0; down < 2; down++) {
        int64_t before = mem_bytes();

        w.direction = down ? WALK_DOWN : WALK_UP;
        w.has_as_of = false;
        mem_peak_restart();
        T_ST_ERR(links_walk(l, &w, &found, &err), OK, &err);
        T_UINT(found.n, N / 2 + 1);
        T_OK(mem_peak_bytes() - before < 32 << 20);
        walk_found_release(&found);
        w.has_as_of = true;
        w.as_of_ms = N / 2 - 1;
        T_ST_ERR(links_walk(l, &w, &found, &err), OK, &err);
        T_UINT(found.n, N / 4 + 1);
        walk_found_release(&found);
    }
    links_free(l);
    mem_free(facts);
}

/* ---- orders ----------------------------------------------------------------------------------------------------------------- */

static const struct link_fact seven[] = {
    { .src = 1, .dst = 2, .role = 3, .seen_ms = 1, .claimed_ms = 9 },
    { .src = 2, .dst = 3, .role = 4, .seen_ms = 2, .claimed_ms = 8 },
    { .src = 1, .dst = 3, .role = 3, .seen_ms = 3, .claimed_ms = 7, .aside = true },
    { .src = 3, .dst = 4, .role = 32, .seen_ms = 4, .claimed_ms = 6 },
    { .src = 4, .dst = 2, .role = 3, .seen_ms = 5, .claimed_ms = 5 },
    { .src = 3, .dst = 6, .role = 34, .seen_ms = 6, .claimed_ms = 4 },
    { .src = 6, .dst = 5, .role = 3, .seen_ms = 7, .claimed_ms = 3 },
};
enum { SEVEN = ARRAY_N(seven), QUESTIONS = 8 };

static void walk_each(const struct links *l, struct walk_found *out)
{
    for (int i = 0; i < QUESTIONS; i++) {
        int64_t start = i & 1 ? 1 : 5;
        struct walk w = { .starts = &start,
                          .starts_n = 1,
                          .direction = i & 1 ? WALK_DOWN : WALK_UP,
                          .still = (uint64_t)1 << 34,
                          .skip_aside = i == 3,
                          .has_as_of = i >= 4,
                          .as_of_ms = 5,
                          .time = i >= 6 ? WALK_CLAIMED : WALK_RECORDED };
        struct err err = ERR_INIT;

        T_ST_ERR(links_walk(l, &w, &out[i], &err), OK, &err);
    }
}

static void same_walks(const struct walk_found *a, const struct walk_found *b)
{
    for (int i = 0; i < QUESTIONS; i++) {
        T_UINT(a[i].n, b[i].n);
        T_OK(memcmp(a[i].nodes, b[i].nodes, a[i].n * sizeof(*a[i].nodes)) == 0);
        T_OK(memcmp(a[i].distance, b[i].distance, a[i].n * sizeof(*a[i].distance)) == 0);
        T_OK(memcmp(a[i].role, b[i].role, a[i].n) == 0);
        T_OK(memcmp(a[i].from, b[i].from, a[i].n * sizeof(*a[i].from)) == 0);
    }
}

static void release(struct walk_found *f)
{
    for (int i = 0; i < QUESTIONS; i++)
        walk_found_release(&f[i]);
}

/* All 5,040, each in portions of its own. */
TEST(every_order_of_links_is_one_graph)
{
    struct walk_found first[QUESTIONS], now[QUESTIONS];
    size_t count = 1;

    for (size_t i = 2; i <= SEVEN; i++)
        count *= i;
    for (size_t p = 0; p < count; p++) {
        struct link_fact order[SEVEN];
        struct links *l = links_new();
        struct err err = ERR_INIT;
        size_t rest = p, used = 0;

        memcpy(order, seven, sizeof(seven));
        for (size_t i = SEVEN; i > 1; i--) {
            struct link_fact one = order[i - 1];

            order[i - 1] = order[rest % i];
            order[rest % i] = one;
            rest /= i;
        }
        while (used < SEVEN) {
            size_t n = MIN_OF(SEVEN - used, 1 + (p + used) % 3);

            T_ST_ERR(links_add(l, order + used, n, &err), OK, &err);
            used += n;
            if ((p + used) % 5 == 0) links_pack(l);
        }
        walk_each(l, p ? now : first);
        if (p) {
            same_walks(first, now);
            release(now);
        }
        links_free(l);
    }
    release(first);
}

/* Facts of every log, as clients of several protocols give them; @ is where the nodes of this round begin. */
static const char *const facts[] = {
    "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) VALUES (1, @ + 1, @ + 2, 3, 1, 10)",
    "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) VALUES (1, @ + 2, @ + 3, 4, 2, 10)",
    "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) VALUES (1, @ + 3, @ + 7, 3, 3, 10)",
    "INSERT INTO member_log (op, node, ctx, role, claimed_ms, seen_ms) VALUES (1, @ + 3, @ + 4, 2, 4, 10)",
    "INSERT INTO parent_log (op, child, parent, role, claimed_ms, seen_ms) VALUES (1, @ + 4, @ + 5, 1, 5, 10)",
    "INSERT INTO same_log (op, a, b, rule, reason, who, pin, claimed_ms, seen_ms) "
    "VALUES (1, @ + 1, @ + 6, 1, '', '', 0, 6, 10)",
    "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) VALUES (1, @ + 6, @ + 8, 3, 7, 10)",
    "INSERT INTO column_edge_log (op, src_ds, src_field, dst_ds, dst_field, via, kind, claimed_ms, seen_ms, src, dst) "
    "VALUES (1, 0, 'a', 0, 'b', 0, 'join', 8, 10, @ + 9, @ + 10)",
    "INSERT INTO column_edge_log (op, src_ds, src_field, dst_ds, dst_field, via, kind, claimed_ms, seen_ms, src, dst) "
    "VALUES (1, 0, 'b', 0, '', 0, 'use', 9, 10, @ + 10, @ + 2)",
};
enum { ROUNDS = 10, SPACE = 100 };

static size_t shape(struct corefix *f, int base, int64_t *out, size_t max)
{
    static const int starts[] = { 1, 5, 6, 8 };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_N(starts) * 4; i++) {
        struct graph_answer a;
        struct graph_query q = { .down = i & 1,
                                 .columns = true,
                                 .has_as_of = (i & 2) != 0,
                                 .as_of_ms = 6,
                                 .claimed = true };

        (void)ask(f, q, base + starts[i / 4], &a);
        T_OK(n + 2 * a.n + 1 + 3 * a.links_n < max);
        for (size_t k = 0; k < a.n; k++) {
            out[n++] = a.nodes[k].uid - base;
            out[n++] = a.nodes[k].distance;
        }
        for (size_t k = 0; k < a.links_n; k++) {
            out[n++] = a.links[k].from;
            out[n++] = a.links[k].to;
            out[n++] = a.links[k].role;
        }
        out[n++] = -1;
    }
    return n;
}

SQL_TEST(every_order_of_facts_gives_one_graph)
{
    struct core_options opt = { 0 };
    int64_t first[1024], now[1024];
    size_t first_n = 0;
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    for (int round = 0; round < ROUNDS; round++) {
        const char *order[ARRAY_N(facts)];
        int base = FIRST + round * SPACE;
        struct graph_answer a;
        size_t n;

        memcpy(order, facts, sizeof(facts));
        for (size_t i = ARRAY_N(facts); round && i > 1; i--) {
            size_t k = t_rand_below(i);
            const char *one = order[i - 1];

            order[i - 1] = order[k];
            order[k] = one;
        }
        for (size_t i = 0; i < ARRAY_N(facts); i++) {
            script(&f, order[i], base, 0);
            if (t_rand_below(3) == 0) {
                (void)ask(&f, (struct graph_query){ .down = true }, base + 1, &a);
            }
        }
        n = shape(&f, base, round ? now : first, ARRAY_N(now));
        first_n = round ? first_n : n;
        T_UINT(n, first_n);
        T_OK(round == 0 || memcmp(now, first, n * sizeof(*now)) == 0);
        corefix_fresh(&f);
    }
    corefix_close(&f);
}

/* Types that clients declare have numbers without end: in totals they are one. */
SQL_TEST(totals_of_types_without_end)
{
    struct core_options opt = { 0 };
    struct graph_answer out;
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    script(&f,
           "INSERT INTO node (uid, ns, kind, id, type_id, name, digest, create_ms, update_ms) "
           "WITH RECURSIVE t(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM t WHERE i < #) "
           "SELECT @ + i, 0, 1, @ + i, CASE WHEN i < 37 THEN 1010 + i ELSE 3 END, 'n' || i, 'd', "
           "1, 1 FROM t",
           FIRST, 39);
    add_chain(&f, 39, false);
    T_UINT(ask(&f, (struct graph_query){ .down = true }, FIRST, &out), 39);
    T_UINT(out.totals_n, 2);
    for (size_t i = 0; i < out.totals_n; i++)
        T_UINT(out.totals[i].n, out.totals[i].type == TYPE_MLFLOW_DATASET ? 3 : 36);
    corefix_close(&f);
}

/* ---- two servers -------------------------------------------------------------------------------------------------------------- */

static void add_sets(struct corefix *f)
{
    script(f,
           "INSERT INTO node (uid, ns, kind, id, type_id, name, digest, create_ms, update_ms) "
           "WITH RECURSIVE t(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM t WHERE i < 7) "
           "SELECT @ + i, 0, 1, @ + i, 3, 'set' || i, 'd', 1, 1 FROM t",
           FIRST, 0);
}

static void derive(struct corefix *f, const char *from, const char *to, bool undo, enum status want)
{
    struct column_derived d = { .from = str_cstr(from),
                                .from_column = S("c"),
                                .to = str_cstr(to),
                                .to_column = S("c"),
                                .kind = S("identity") };
    struct columns_change c;

    columns_change_init(&c, f->core, f->a);
    c.derived = &d;
    c.derived_n = 1;
    c.undo = undo;
    T_ST_ERR(corefix_run(f, &c.op), want, &f->err);
}

static size_t columns_below(struct corefix *f, const char *set)
{
    struct graph_query q = { .node = arena_printf(f->a, "column:%s.c", set),
                             .down = true,
                             .max = 100 };
    enum node_type column = TYPE_DATA_COLUMN;
    struct graph_answer a = { 0 };

    q.types = &column;
    q.types_n = 1;
    T_ST_ERR(graph_ask(&f->v, &q, &a, &f->err), OK, &f->err);
    for (size_t i = 0; i < a.totals_n; i++)
        if (a.totals[i].type == TYPE_DATA_COLUMN) return a.totals[i].n;
    return 0;
}

SQL_TEST(columns_are_not_made_of_themselves)
{
    struct core_options opt = { 0 };
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    add_sets(&f);
    derive(&f, "dataset:set0", "dataset:set1", false, OK);
    derive(&f, "dataset:set1", "dataset:set2", false, OK);
    derive(&f, "dataset:set2", "dataset:set0", false, ST_INVALID);
    derive(&f, "dataset:set1", "dataset:set1", false, ST_INVALID);
    T_UINT(columns_below(&f, "set0"), 2);
    corefix_crash(&f);
    T_UINT(columns_below(&f, "set0"), 2);
    derive(&f, "dataset:set2", "dataset:set3", false, OK); /* a number that no column has */
    T_UINT(columns_below(&f, "set0"), 3);
    derive(&f, "dataset:set1", "dataset:set2", true, OK);
    derive(&f, "dataset:set2", "dataset:set0", false, OK); /* none leads back any more */
    T_UINT(columns_below(&f, "set2"), 3);
    corefix_close(&f);
}

TEST(two_servers_have_one_graph_of_columns)
{
    const char *uri = pgtest_uri();
    struct core_options opt = { 0 };
    struct corefix f[2];
    char sets[8][16];

    opt.sql.shared = true;
    opt.sql.owner = "test";
    for (int i = 0; i < 2; i++)
        corefix_open_with(&f[i], uri, &opt);
    add_sets(&f[0]);
    for (int i = 0; i < 8; i++)
        snprintf(sets[i], sizeof(sets[i]), "dataset:set%d", i);
    for (int i = 0; i + 1 < 8; i++) {
        derive(&f[i % 2], sets[i], sets[i + 1], false, OK);
        T_UINT(columns_below(&f[1 - i % 2], "set0"), (size_t)i + 1);
    }
    derive(&f[1], sets[7], sets[0], false, ST_INVALID); /* what the other wrote counts */
    derive(&f[0], sets[3], sets[4], true, OK);
    T_UINT(columns_below(&f[1], "set0"), 3);
    T_UINT(columns_below(&f[0], "set0"), 3);
    corefix_close(&f[0]);
    corefix_close(&f[1]);
}

/* ---- memory that runs out ------------------------------------------------------------------------------------------------------ */

/* Two runs that read a data set; a column of it became one of another, which is the same as a third. */
static void tell_story(struct corefix *f, struct str runs[2])
{
    struct dataset_input in[2] = {
        { .name = S("raw"),
          .digest = S("d1"),
          .source_type = S("http"),
          .source = S("x"),
          .schema = S("{\"mlflow_colspec\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}") },
    };
    struct column_derived d = { S("dataset:raw"), S("a"), S("dataset:made"), S("c"), S("join") };
    struct columns_change columns;
    struct same_change same;

    for (size_t i = 0; i < 2; i++) {
        struct run_links links;

        in[1] = in[0];
        in[1].name = i ? S("made") : S("other");
        runs[i] = corefix_new_run(f, 0);
        run_links_init(&links, f->core, f->a);
        links.run_id = runs[i];
        links.datasets = in;
        links.datasets_n = 2;
        T_ST_ERR(corefix_run(f, &links.op), OK, &f->err);
    }
    columns_change_init(&columns, f->core, f->a);
    columns.run_id = runs[0];
    columns.derived = &d;
    columns.derived_n = 1;
    T_ST_ERR(corefix_run(f, &columns.op), OK, &f->err);
    same_change_init(&same, f->core, f->a);
    same.a = S("dataset:other");
    same.b = S("dataset:made");
    same.reason = S("they are");
    T_ST_ERR(corefix_run(f, &same.op), OK, &f->err);
}

enum { WHY, IMPACT, TRAIL, DIFF, KINDS };

/* *size: what the answer comes to. */
static enum status question(struct view *v, int which, struct str runs[2], size_t *size,
                            struct err *err)
{
    struct graph_impact i = { .q = { .node = S("dataset:raw"), .down = true, .max = 100 },
                              .metric = S("auc") };
    struct graph_query q = { .node = arena_printf(v->arena, "run:%.*s", STR_ARG(runs[1])),
                             .max = 100,
                             .columns = true,
                             .group = true,
                             .details = true };
    struct run_diff_options all = { .all = true };
    struct run_difference *differences;
    struct graph_answer a = { 0 };
    struct graph_trail t = { 0 };
    size_t n = 0, equal = 0;
    enum status st;

    if (!q.node.p) {
        return ST_NOMEM;
    }
    switch (which) {
    case WHY: st = graph_ask(v, &q, &a, err); break;
    case IMPACT: st = graph_impact(v, &i, &a, err); break;
    case TRAIL: st = graph_trail(v, &i.q, q.node, &t, err); break;
    default: st = run_diff(v, runs[0], runs[1], &all, &differences, &n, &equal, err); break;
    }
    *size = a.n * 100 + a.links_n * 10 + a.totals_n + t.n + n * 10 + equal;
    return st;
}

/* Every allocation of every question fails once, from the first reading of the logs on: an error or the whole answer. */
TEST(questions_without_memory)
{
    struct core_options opt = { 0 };
    size_t want[KINDS], got;
    struct corefix f;
    struct str runs[2];

    corefix_open_with(&f, t_tmpdir(), &opt);
    tell_story(&f, runs);
    for (int which = 0; which < KINDS; which++) {
        T_ST_ERR(question(&f.v, which, runs, &want[which], &f.err), OK, &f.err);
        T_OK(want[which] > 0);
    }
    corefix_crash(&f); /* the texts of runs stay: they lie in f.a */
    for (int which = 0; which < KINDS; which++) {
        for (int n = 1;; n++) {
            struct arena *a = arena_new(1 << 24);
            struct view v = f.v;
            enum status st;
            bool reached;

            v.arena = a;
            mem_fail_after(n, true);
            st = question(&v, which, runs, &got, &f.err);
            reached = mem_call_n() >= n;
            mem_fail_never();
            T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
            if (!st) T_UINT(got, want[which]);
            arena_free(a);
            if (!reached) break;
        }
    }
    corefix_close(&f);
}
