/* Events of OpenLineage: every order, repetition and division of the same events gives the same rows; what comes in comes back byte for
 * byte; what is bound to what. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "api/openlineage/openlineage.h"
#include "base/buf.h"
#include "base/mem.h"
#include "core/openlineage/openlineage.h"
#include "core/openlineage/read.h"
#include "gen/sql/queries.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENTS = 60, TEXT_MAX = 1 << 20, LINES_MAX = 20000 };

/* ---- putting ----------------------------------------------------------------------------------------------------------------- */

static enum status put(struct corefix *f, const struct str *texts, size_t n, size_t *added)
{
    struct ol_put *p = ARENA_NEW(f->a, struct ol_put);
    enum status st;

    T_OK(p != NULL);
    ol_put_init(p, f->core, f->a);
    p->events = ARENA_ARRAY(f->a, struct ol_event, n + 1);
    T_OK(p->events != NULL);
    p->n = n;
    for (size_t i = 0; i < n; i++) {
        T_ST_ERR(ol_event_read(f->a, texts[i], &p->events[i], NULL, &f->err), OK, &f->err);
    }
    st = corefix_run(f, &p->op);
    *added = p->added;
    return st;
}

static void put_one(struct corefix *f, const char *text)
{
    struct str s = str_cstr(text);
    size_t added;

    T_ST_ERR(put(f, &s, 1, &added), OK, &f->err);
}

/* ---- rows as text, with names for numbers -------------------------------------------------------------------------------------- */

struct dump {
    struct corefix *f;
    struct map_names {
        int64_t uid;
        struct str name;
    } * names;
    size_t names_n, names_cap;
    struct str *lines;
    size_t n, cap;
};

static const unsigned char all_ints[] = { SQL_INT, SQL_INT, SQL_INT, SQL_INT, SQL_INT, SQL_INT,
                                          SQL_INT, SQL_INT, SQL_INT, SQL_INT, SQL_INT, SQL_INT };
static const char *const no_names[12] = {
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"
};

static struct str name_of(struct dump *d, int64_t uid)
{
    for (size_t i = 0; i < d->names_n; i++) {
        if (d->names[i].uid == uid) {
            return d->names[i].name;
        }
    }
    return uid ? arena_printf(d->f->a, "?%" PRId64, uid) : S("-");
}

static void name_it(struct dump *d, int64_t uid, struct str name)
{
    T_OK(arena_grow(d->f->a, (void **)&d->names, d->names_n, &d->names_cap, sizeof(*d->names)));
    d->names[d->names_n].uid = uid;
    d->names[d->names_n++].name = name;
}

static void line(struct dump *d, struct str text)
{
    T_OK(text.p != NULL);
    T_OK(arena_grow(d->f->a, (void **)&d->lines, d->n, &d->cap, sizeof(*d->lines)));
    d->lines[d->n++] = text;
}

/* Calls row() with each; out: types of the columns. */
static void each(struct dump *d, const char *text, const unsigned char *out, unsigned char n,
                 void (*row)(struct dump *d, const struct sql_value *v))
{
    struct sql_query q = { .name = "dump",
                           .text = { text, text },
                           .out = out,
                           .out_names = no_names,
                           .out_n = n,
                           .kind = SQL_MANY };
    struct sql_stmt *stmt;
    struct sql_value v[12];
    enum status st;

    T_ST_ERR(sql_rows(d->f->v.conn, &q, NULL, &stmt, &d->f->err), OK, &d->f->err);
    while ((st = sql_next(stmt, v, &d->f->err)) == OK) {
        row(d, v);
    }
    sql_close(stmt);
    T_ST_ERR(st, ST_END, &d->f->err);
}

static void name_thing(struct dump *d, const struct sql_value *v)
{
    name_it(d, v[0].i,
            arena_printf(d->f->a, "%.*s(%.*s|%.*s)", STR_ARG(v[1].s), STR_ARG(v[2].s),
                         STR_ARG(v[3].s)));
}

static void name_run(struct dump *d, const struct sql_value *v)
{
    name_it(d, v[0].i, ol_run_id_text(d->f->a, (const unsigned char *)v[1].s.p));
}

static void name_version(struct dump *d, const struct sql_value *v)
{
    struct str of = name_of(d, v[1].i), by = v[3].null ? name_of(d, v[2].i) : v[3].s;

    name_it(d, v[0].i, arena_printf(d->f->a, "%.*s#%.*s", STR_ARG(of), STR_ARG(by)));
}

static void name_field(struct dump *d, const struct sql_value *v)
{
    struct str of = name_of(d, v[1].i);

    name_it(d, v[0].i, arena_printf(d->f->a, "%.*s.%.*s", STR_ARG(of), STR_ARG(v[2].s)));
}

static void facet_lines(struct dump *d, struct str of, const struct ol_facet_row *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str set = name_of(d, r[i].dataset);

        line(d, arena_printf(d->f->a, "facet %.*s %d %.*s %.*s %" PRId64 " %.*s", STR_ARG(of),
                             r[i].scope, STR_ARG(set), STR_ARG(r[i].key), r[i].event_us,
                             STR_ARG(r[i].json)));
    }
}

static void thing_body(struct dump *d, const struct sql_value *v)
{
    struct ol_facet_row *rows;
    size_t n;

    T_ST_ERR(ol_facets(&d->f->v, v[1].s, &rows, &n, &d->f->err), OK, &d->f->err);
    facet_lines(d, name_of(d, v[0].i), rows, n);
}

static void run_body(struct dump *d, const struct sql_value *v)
{
    struct str of = name_of(d, v[0].i);
    struct ol_facet_row *rows;
    struct ol_io_row *io;
    size_t n;

    T_ST_ERR(ol_run_facets(&d->f->v, v[1].s, &rows, &n, &d->f->err), OK, &d->f->err);
    facet_lines(d, of, rows, n);
    T_ST_ERR(ol_run_io(&d->f->v, v[1].s, &io, &n, &d->f->err), OK, &d->f->err);
    for (size_t i = 0; i < n; i++) {
        struct str set = name_of(d, io[i].dataset), version = name_of(d, io[i].version);

        line(d, arena_printf(d->f->a, "io %.*s %d %.*s %.*s %" PRId64 " %" PRId64, STR_ARG(of),
                             io[i].dir, STR_ARG(set), STR_ARG(version), io[i].first_us,
                             io[i].last_us));
    }
}

/* Lines of a kind: the first `named` columns are nodes, the others numbers. */
static const char *kind;
static unsigned named, columns;

static void plain(struct dump *d, const struct sql_value *v)
{
    struct buf b = BUF_INIT(1 << 16);

    buf_put_cstr(&b, kind);
    for (unsigned i = 0; i < columns; i++) {
        struct str name = name_of(d, v[i].i);

        if (i < named) {
            buf_printf(&b, " %.*s", STR_ARG(name));
        } else {
            buf_printf(&b, " %" PRId64, v[i].null ? -1 : v[i].i);
        }
    }
    line(d, arena_str(d->f->a, buf_str(&b)));
    buf_release(&b);
}

static void numbers(struct dump *d, const char *what, const char *text, unsigned n, unsigned of)
{
    kind = what;
    columns = n;
    named = of;
    each(d, text, all_ints, (unsigned char)n, plain);
}

static void column_line(struct dump *d, const struct sql_value *v)
{
    struct str src = name_of(d, v[0].i), dst = name_of(d, v[1].i), via = name_of(d, v[2].i);

    line(d, arena_printf(d->f->a, "column %.*s %.*s %.*s %.*s", STR_ARG(src), STR_ARG(dst),
                         STR_ARG(via), STR_ARG(v[3].s)));
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void rows_as_text(struct corefix *f, struct dump *d)
{
    static const unsigned char thing[] = { SQL_INT, SQL_TEXT, SQL_TEXT, SQL_TEXT };
    static const unsigned char run[] = { SQL_INT, SQL_BLOB };
    static const unsigned char version[] = { SQL_INT, SQL_INT, SQL_INT, SQL_TEXT | SQL_MAYBE };
    static const unsigned char field[] = { SQL_INT, SQL_INT, SQL_TEXT };
    static const unsigned char edge[] = { SQL_INT, SQL_INT, SQL_INT, SQL_TEXT };

    *d = (struct dump){ .f = f };
    each(d, "SELECT uid, 'N', name, '' FROM ol_ns", thing, 4, name_thing);
    each(d, "SELECT j.uid, 'J', s.name, j.name FROM ol_job j JOIN ol_ns s ON s.uid = j.ns", thing,
         4, name_thing);
    each(d, "SELECT j.uid, 'D', s.name, j.name FROM ol_dataset j JOIN ol_ns s ON s.uid = j.ns",
         thing, 4, name_thing);
    each(d, "SELECT uid, rid FROM ol_run", run, 2, name_run);
    each(d, "SELECT uid, dataset, run, name FROM ol_version", version, 4, name_version);
    each(d, "SELECT uid, ds, name FROM field", field, 3, name_field);
    numbers(d, "ns", "SELECT uid, create_us, update_us FROM ol_ns", 3, 1);
    numbers(d, "job", "SELECT uid, ns, run, create_us, update_us FROM ol_job", 5, 3);
    numbers(d, "dataset", "SELECT uid, ns, create_us, update_us FROM ol_dataset", 4, 2);
    numbers(
        d, "run",
        "SELECT uid, job, parent, parent_job, root, state, create_us, update_us, COALESCE(start_us, -1), "
        "COALESCE(end_us, -1), COALESCE(nominal_start_us, -1), COALESCE(nominal_end_us, -1) FROM ol_run",
        12, 5);
    numbers(d, "version", "SELECT uid, dataset, run, event_us FROM ol_version WHERE live = 1", 4,
            3);
    numbers(d, "read", "SELECT run, dataset, version, own, event_us FROM ol_read", 5, 4);
    numbers(d, "uses", "SELECT job, dataset, dir, last_us, said FROM ol_io", 5, 2);
    numbers(d, "symlink", "SELECT dataset, other, kind, event_us FROM ol_symlink", 4, 2);
    numbers(d, "columns", "SELECT job, dataset, event_us, h, value_h FROM ol_columns", 5, 2);
    numbers(d, "link", "SELECT of, via, src, dst, event_us FROM ol_link", 5, 4);
    numbers(d, "edge", "SELECT src, dst, role, ms FROM edge", 4, 2);
    numbers(d, "member", "SELECT ctx, node, role FROM member", 3, 2);
    numbers(d, "parent", "SELECT child, parent, role FROM parent", 3, 2);
    each(d, "SELECT src, dst, via, kind FROM column_edge", edge, 4, column_line);
    each(d, "SELECT uid, body FROM ol_job", run, 2, thing_body);
    each(d, "SELECT uid, body FROM ol_dataset", run, 2, thing_body);
    each(d, "SELECT uid, body FROM ol_version WHERE name IS NOT NULL", run, 2, thing_body);
    each(d, "SELECT uid, body FROM ol_run", run, 2, run_body);
    qsort(d->lines, d->n, sizeof(*d->lines), by_text);
}

/* The edge log gives the edges. */
static void check_log(struct corefix *f)
{
    struct dump d = { .f = f };

    numbers(
        &d, "differs",
        "SELECT e.src, e.dst, e.role FROM edge e WHERE (SELECT l.op FROM edge_log l WHERE l.src = e.src AND "
        "l.dst = e.dst AND l.role = e.role ORDER BY l.seq DESC LIMIT 1) <> 1",
        3, 0);
    numbers(
        &d, "stays",
        "SELECT l.src, l.dst, l.role FROM edge_log l WHERE l.op = 1 AND NOT EXISTS (SELECT 1 FROM edge_log k WHERE "
        "k.src = l.src AND k.dst = l.dst AND k.role = l.role AND k.seq > l.seq) AND NOT EXISTS (SELECT 1 FROM edge e "
        "WHERE e.src = l.src AND e.dst = l.dst AND e.role = l.role)",
        3, 0);
    numbers(
        &d, "member",
        "SELECT l.ctx, l.node, l.role FROM member_log l WHERE NOT EXISTS (SELECT 1 FROM member_log k WHERE k.ctx = l.ctx AND "
        "k.node = l.node AND k.role = l.role AND k.seq > l.seq) AND (l.op = 1) <> EXISTS (SELECT 1 FROM member m WHERE "
        "m.ctx = l.ctx AND m.node = l.node AND m.role = l.role)",
        3, 0);
    T_UINT(d.n, 0);
}

/* ---- events by chance ----------------------------------------------------------------------------------------------------------- */

static const char *const spaces[] = { "s3://lake", "postgres://db:5432", "a:b" };
static const char *const sets[] = { "raw", "clean", "a/b", "na:me" };
static const char *const jobs[] = { "load", "train", "dag.task" };
static const char *const types[] = { "START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER" };

#define PICK(list) (list)[t_rand_below(ARRAY_N(list))]

static bool one_in(uint64_t n)
{
    return t_rand_below(n) == 0;
}

static void put_name(struct buf *b)
{
    buf_printf(b, "\"namespace\":\"%s\",\"name\":\"%s\"", PICK(spaces), PICK(sets));
}

static void put_facet_head(struct buf *b, const char *key)
{
    buf_printf(b, ",\"%s\":{\"_producer\":\"http://p\",\"_schemaURL\":\"http://s\"", key);
}

static void put_dataset(struct buf *b, bool out)
{
    buf_put_lit(b, "{");
    put_name(b);
    buf_put_lit(b, ",\"facets\":{\"x\":{}");
    if (one_in(3)) {
        put_facet_head(b, "schema");
        buf_printf(b, ",\"fields\":[{\"name\":\"c%d\"}]%s}", (int)t_rand_below(4),
                   one_in(4) ? ",\"_deleted\":true" : "");
    }
    if (one_in(6)) {
        put_facet_head(b, "big");
        buf_printf(b, ",\"text\":\"%0300d\"}", (int)t_rand_below(3));
    }
    if (one_in(6)) {
        put_facet_head(b, "version");
        buf_printf(b, ",\"datasetVersion\":\"v%d\"}", (int)t_rand_below(3));
    }
    if (one_in(8)) {
        put_facet_head(b, "symlinks");
        buf_put_lit(b, ",\"identifiers\":[{");
        put_name(b);
        buf_printf(b, ",\"type\":\"TABLE\"}]%s}", one_in(4) ? ",\"_deleted\":true" : "");
    }
    if (one_in(10)) {
        put_facet_head(b, "lifecycleStateChange");
        buf_put_lit(b, ",\"lifecycleStateChange\":\"RENAME\",\"previousIdentifier\":{");
        put_name(b);
        buf_put_lit(b, "}}");
    }
    if (one_in(4)) {
        put_facet_head(b, "columnLineage");
        buf_printf(b, ",\"fields\":{\"c%d\":{\"inputFields\":[{", (int)t_rand_below(3));
        put_name(b);
        buf_printf(
            b,
            ",\"field\":\"c%d\",\"transformations\":[{\"type\":\"DIRECT\",\"subtype\":\"%s\"}]}]}}}",
            (int)t_rand_below(3), one_in(2) ? "IDENTITY" : "AGGREGATION");
    }
    if (one_in(10)) {
        put_facet_head(b, "lineage");
        buf_put_lit(b, ",\"inputs\":[{\"type\":\"DATASET\",");
        put_name(b);
        buf_put_lit(b, "}]}");
    }
    buf_printf(b, "},\"%s\":{\"q%d\":{\"n\":%d}}}", out ? "outputFacets" : "inputFacets",
               (int)t_rand_below(2), (int)t_rand_below(9));
}

static void put_datasets(struct buf *b, const char *key, bool out)
{
    uint64_t n = t_rand_below(3);

    buf_printf(b, ",\"%s\":[", key);
    for (uint64_t i = 0; i < n; i++) {
        buf_put_cstr(b, i ? "," : "");
        put_dataset(b, out);
    }
    buf_put_lit(b, "]");
}

/* One entry or two, often of one data set. */
static void put_job_lineage(struct buf *b)
{
    const char *space = PICK(spaces), *set = PICK(sets);
    uint64_t n = 1 + t_rand_below(3);

    put_facet_head(b, "lineage");
    buf_put_lit(b, ",\"entries\":[");
    for (uint64_t i = 0; i < n; i++) {
        buf_put_cstr(b, i ? ",{\"type\":\"DATASET\"," : "{\"type\":\"DATASET\",");
        buf_printf(b, "\"namespace\":\"%s\",\"name\":\"%s\"", space, one_in(4) ? PICK(sets) : set);
        buf_put_lit(b, ",\"inputs\":[{\"type\":\"DATASET\",");
        put_name(b);
        buf_put_lit(b, "}]");
        if (!one_in(3)) {
            buf_printf(b, ",\"fields\":{\"c%d\":{\"inputs\":[{\"type\":\"DATASET\",",
                       (int)t_rand_below(3));
            put_name(b);
            buf_printf(b, ",\"field\":\"c%d\"}]}}", (int)t_rand_below(3));
        }
        buf_put_lit(b, "}");
    }
    buf_put_lit(b, "]");
    buf_printf(b, "%s}", one_in(5) ? ",\"_deleted\":true" : "");
}

static void put_job(struct buf *b, bool snapshots)
{
    buf_printf(b, ",\"job\":{\"namespace\":\"%s\",\"name\":\"%s\",\"facets\":{\"k\":{\"v\":%d}",
               PICK(spaces), PICK(jobs), (int)t_rand_below(5));
    if (snapshots && one_in(3)) {
        put_facet_head(b, "jobType");
        buf_printf(b, ",\"emissionPattern\":{\"eventContentMode\":\"%s\"}}",
                   one_in(3) ? "ACCUMULATIVE" : "COMPLETE_SNAPSHOT");
    }
    if (one_in(8)) {
        put_job_lineage(b);
    }
    buf_put_lit(b, "}}");
}

static void put_run(struct buf *b)
{
    buf_printf(b,
               ",\"eventType\":\"%s\",\"run\":{\"runId\":\"00000000-0000-0000-0000-00000000000%d\","
               "\"facets\":{\"r\":{\"v\":%d}",
               PICK(types), (int)t_rand_below(5), (int)t_rand_below(9));
    if (one_in(4)) {
        put_facet_head(b, "parent");
        buf_printf(b,
                   ",\"run\":{\"runId\":\"00000000-0000-0000-0000-00000000000%d\"},\"job\":"
                   "{\"namespace\":\"%s\",\"name\":\"%s\"}}",
                   (int)t_rand_below(7), PICK(spaces), PICK(jobs));
    }
    if (one_in(4)) {
        put_facet_head(b, "nominalTime");
        buf_printf(b, ",\"nominalStartTime\":\"2026-01-0%dT00:00:00Z\"}", 1 + (int)t_rand_below(9));
    }
    buf_put_lit(b, "}}");
}

static struct str random_event(struct corefix *f, bool snapshots)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    uint64_t what = t_rand_below(10);
    struct str out;

    buf_printf(
        &b,
        "{\"eventTime\":\"2026-01-01T00:00:%02dZ\",\"producer\":\"http://p\",\"schemaURL\":\"http://s\"",
        (int)t_rand_below(40));
    if (what == 0) {
        buf_put_lit(&b, ",\"dataset\":");
        put_dataset(&b, false);
    } else {
        put_job(&b, snapshots);
        if (what > 1) {
            put_run(&b);
        }
        put_datasets(&b, "inputs", false);
        put_datasets(&b, "outputs", true);
    }
    buf_put_lit(&b, "}");
    T_ST(b.failed, OK);
    out = arena_str(f->a, buf_str(&b));
    buf_release(&b);
    return out;
}

static void shuffle(struct str *p, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = t_rand_below(i);
        struct str x = p[i - 1];

        p[i - 1] = p[k];
        p[k] = x;
    }
}

/* All of them, in portions, some of them again, with and without what is remembered. */
static void put_all(struct corefix *f, const struct str *texts, size_t n, size_t portion)
{
    size_t added, sum = 0;

    for (size_t i = 0; i < n; i += portion) {
        size_t from = i && one_in(3) ? i - 1 : i;

        if (one_in(12)) {
            corefix_crash(f);
        }
        T_ST_ERR(put(f, texts + from, MIN_OF(portion + (i - from), n - from), &added), OK, &f->err);
        sum += added;
    }
    T_ST_ERR(put(f, texts, n, &added), OK, &f->err);
    T_UINT(added, 0);
    T_UINT(sum, EVENTS);
}

/* The lines, kept beyond the store that they are of. */
static char *kept_lines(const struct dump *d, size_t *n)
{
    struct buf b = BUF_INIT((size_t)64 << 20);

    for (size_t i = 0; i < d->n; i++) {
        buf_put_str(&b, d->lines[i]);
        buf_put_u8(&b, '\n');
    }
    T_ST(b.failed, OK);
    return buf_take(&b, n);
}

static void same_lines(const struct dump *d, struct str want)
{
    struct str l;

    for (size_t i = 0; i < d->n; i++) {
        T_OK(str_split(&want, '\n', &l));
        T_STR_EQ(d->lines[i], l);
    }
    T_UINT(want.n, 0);
}

static void orders(const char *first, bool snapshots, unsigned rounds)
{
    struct str texts[EVENTS];
    struct arena *kept = arena_new(64 << 20);
    struct corefix f;
    struct dump d;
    char *want = NULL;
    size_t n = 0;

    T_OK(kept != NULL);
    for (unsigned r = 0; r < rounds; r++) {
        corefix_open(&f, r ? sqltest_is_postgres(first) ? pgtest_uri() : t_tmpdir() : first, NULL);
        for (size_t i = 0; !r && i < EVENTS; i++) {
            struct str t = random_event(&f, snapshots);

            for (size_t k = 0; k < i; k++) { /* the same one twice would be one event */
                t = str_eq(t, texts[k]) ? random_event(&f, snapshots) : t;
            }
            texts[i] = arena_str(kept, t);
        }
        shuffle(texts, r ? EVENTS : 0);
        put_all(&f, texts, EVENTS, r == 0 ? 1 : r == 1 ? EVENTS : 1 + t_rand_below(20));
        corefix_fresh(&f);
        rows_as_text(&f, &d);
        T_OK(d.n > 100);
        if (want) {
            same_lines(&d, str_of(want, n));
        } else {
            want = kept_lines(&d, &n);
        }
        check_log(&f);
        corefix_close(&f);
    }
    arena_free(kept);
    mem_free(want);
}

SQL_TEST(every_order_gives_the_same)
{
    orders(location, false, sqltest_is_postgres(location) ? 2 : 6);
}

SQL_TEST(every_order_gives_the_same_with_snapshots)
{
    orders(location, true, sqltest_is_postgres(location) ? 2 : 6);
}

/* ---- more facets than are remembered ------------------------------------------------------------------------------------------------ */

enum { MANY_EVENTS = 4, MANY_FACETS = 900 };

static struct str event_of_many(struct arena *a, int i)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    struct str out;

    buf_printf(&b,
               "{\"eventTime\":\"2026-01-01T00:00:%02dZ\",\"producer\":\"p\",\"schemaURL\":\"s\","
               "\"job\":{\"namespace\":\"n\",\"name\":\"j\"},\"run\":{\"runId\":\"r\",\"facets\":{",
               i);
    for (int k = 0; k < MANY_FACETS; k++) {
        buf_printf(&b, "\"f%d\":{\"i\":%d},", (i * 700 + k * 7919) % 9973, i);
    }
    buf_printf(&b,
               "\"parent\":{\"run\":{\"runId\":\"p%d\"}},\"nominalTime\":{\"nominalStartTime\":"
               "\"2026-01-0%dT00:00:00Z\"}}}}",
               i, i + 1);
    T_ST(b.failed, OK);
    out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

TEST(the_same_facets_stay_when_there_are_too_many)
{
    struct str texts[MANY_EVENTS];
    struct arena *kept = arena_new(8 << 20);
    struct corefix f;
    struct dump d;
    char *want = NULL;
    size_t n = 0, added, facets = 0;

    for (int i = 0; i < MANY_EVENTS; i++) {
        texts[i] = event_of_many(kept, i);
    }
    for (int r = 0; r < 2; r++) {
        corefix_open(&f, t_tmpdir(), NULL);
        for (int i = 0; i < MANY_EVENTS; i++) {
            T_ST_ERR(put(&f, &texts[r ? (i * 3 + r) % MANY_EVENTS : i], 1, &added), OK, &f.err);
            if (one_in(2)) {
                corefix_crash(&f);
            }
        }
        rows_as_text(&f, &d);
        if (want) {
            same_lines(&d, str_of(want, n));
        } else {
            want = kept_lines(&d, &n);
            for (size_t i = 0; i < d.n; i++) {
                facets += str_starts(d.lines[i], S("facet "));
            }
            T_UINT(facets, OL_CELLS_MAX);
        }
        corefix_close(&f);
    }
    arena_free(kept);
    mem_free(want);
}

/* ---- one thing twice in one event ----------------------------------------------------------------------------------------------------- */

static size_t lines_of(struct corefix *f, const char *begin)
{
    struct dump d;
    size_t n = 0;

    rows_as_text(f, &d);
    for (size_t i = 0; i < d.n; i++) {
        n += str_starts(d.lines[i], str_cstr(begin));
    }
    return n;
}

TEST(of_two_mentions_the_first_one_holds)
{
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    put_one(
        &f,
        "{\"eventTime\":\"2026-01-01T00:00:00Z\",\"producer\":\"p\",\"schemaURL\":\"s\","
        "\"job\":{\"namespace\":\"n\",\"name\":\"j\"},\"outputs\":[{\"namespace\":\"n\",\"name\":\"d\","
        "\"facets\":{\"symlinks\":{\"identifiers\":[{\"namespace\":\"n\",\"name\":\"first\",\"type\":\"T\"}]}}},"
        "{\"namespace\":\"n\",\"name\":\"d\",\"facets\":{\"symlinks\":{\"identifiers\":["
        "{\"namespace\":\"n\",\"name\":\"second\",\"type\":\"T\"}]}}}]}");
    T_UINT(lines_of(&f, "symlink D(n|d) D(n|first) "), 1);
    T_UINT(lines_of(&f, "symlink "), 1);
    T_UINT(lines_of(&f, "facet D(n|d) 0 - symlinks "), 1);
    corefix_close(&f);
}

/* ---- two servers ------------------------------------------------------------------------------------------------------------------ */

enum { TWO = 24 };

TEST(two_servers_agree)
{
    const char *uri = pgtest_uri();
    struct core_options opt = { .sql = { .shared = true, .owner = "test" } };
    struct corefix f[2], alone;
    struct str texts[TWO];
    struct dump d;
    size_t n, added;
    char *want;

    corefix_open_with(&f[0], uri, &opt);
    corefix_open_with(&f[1], uri, &opt);
    corefix_open(&alone, t_tmpdir(), NULL);
    for (size_t i = 0; i < TWO; i++) {
        texts[i] = random_event(&alone, true);
        T_ST_ERR(put(&f[i % 2], &texts[i], 1, &added), OK, &f[i % 2].err);
        T_ST_ERR(put(&f[1 - i % 2], &texts[i], 1, &n), OK, &f[1 - i % 2].err);
        T_UINT(n, 0);
    }
    T_ST_ERR(put(&alone, texts, TWO, &added), OK, &alone.err);
    rows_as_text(&alone, &d);
    want = kept_lines(&d, &n);
    rows_as_text(&f[0], &d);
    same_lines(&d, str_of(want, n));
    rows_as_text(&f[1], &d);
    same_lines(&d, str_of(want, n));
    mem_free(want);
    corefix_close(&alone);
    corefix_close(&f[0]);
    corefix_close(&f[1]);
}

/* ---- statements that fail late -------------------------------------------------------------------------------------------------------- */

struct late {
    struct write_op op;
    struct ol_put put;
    unsigned undone;
};

/* The second of two nodes with one number: where statements are sent ahead, that is known only later. */
static enum status late_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct late *l = WRITE_OP_OF(op, struct late);
    int64_t uid = group_new_uid(g);
    enum status st = l->put.op.kind->validate(&l->put.op, g, err);

    for (int i = 0; !st && i < 2; i++) {
        st = q_ol_node_insert(group_conn(g), uid, OL_NS, NODE_CONTEXT, TYPE_OL_JOB, S("x"), 1, err);
    }
    return st;
}

static void late_undo(struct write_op *op)
{
    struct late *l = WRITE_OP_OF(op, struct late);

    l->undone++;
    l->put.op.kind->undo(&l->put.op);
}

TEST(what_is_remembered_goes_with_statements_that_fail_late)
{
    static const struct write_kind kind_late = {
        .name = "test.late", .validate = late_validate, .undo = late_undo, .sql = true
    };
    struct corefix f, alone;
    struct str text;
    struct ol_event e;
    struct late l;
    struct dump d;
    size_t n, added;
    char *want;

    corefix_open(&f, pgtest_uri(), NULL);
    corefix_open(&alone, t_tmpdir(), NULL);
    text = random_event(&alone, false);
    l = (struct late){ .op = { .kind = &kind_late, .arena = f.a } };
    ol_put_init(&l.put, f.core, f.a);
    T_ST_ERR(ol_event_read(f.a, text, &e, NULL, &f.err), OK, &f.err);
    l.put.events = &e;
    l.put.n = 1;
    T_OK(seq_run(f.core->seq, &l.op, &f.err) != OK);
    T_UINT(l.undone, 1);
    T_ST_ERR(put(&f, &text, 1, &added), OK, &f.err);
    T_ST_ERR(put(&alone, &text, 1, &added), OK, &alone.err);
    rows_as_text(&alone, &d);
    want = kept_lines(&d, &n);
    rows_as_text(&f, &d);
    same_lines(&d, str_of(want, n));
    mem_free(want);
    corefix_close(&alone);
    corefix_close(&f);
}

/* ---- memory that runs out ---------------------------------------------------------------------------------------------------------- */

enum { FEW = 4 };

/* Each call fails once, a while later the next. */
static enum status put_with_little(struct corefix *f, const struct str *texts, int64_t n)
{
    struct arena *a;
    struct ol_put p;
    struct ol_event events[FEW];
    enum status st = OK;

    mem_fail_after(n, true);
    a = arena_new(8 << 20);
    ol_put_init(&p, f->core, a);
    p.events = events;
    p.n = FEW;
    for (size_t i = 0; a && !st && i < FEW; i++) {
        st = ol_event_read(a, texts[i], &events[i], NULL, &f->err);
    }
    st = !a ? ST_NOMEM : st ? st : seq_run(f->core->seq, &p.op, &f->err);
    mem_fail_never();
    arena_free(a);
    return st;
}

TEST_LIMIT(memory_that_runs_out_leaves_all_or_nothing, 240)
{
    struct corefix f, other;
    struct str texts[FEW * 8];
    struct dump d;
    size_t n, added, refused = 0;
    char *want;

    corefix_open(&f, t_tmpdir(), NULL);
    corefix_open(&other, t_tmpdir(), NULL);
    for (size_t i = 0; i < ARRAY_N(texts); i++) {
        texts[i] = random_event(&other, true);
    }
    for (int64_t at = 1, i = 0; i < 8; at += 1 + at / 6) {
        enum status st = put_with_little(&f, texts + i * FEW, at);

        refused += st != OK;
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        T_ST_ERR(put(&f, texts + i * FEW, st ? 0 : FEW, &added), OK, &f.err);
        T_UINT(added, 0);
        i += st == OK;
    }
    T_OK(refused > 8);
    T_ST_ERR(put(&other, texts, ARRAY_N(texts), &added), OK, &other.err);
    rows_as_text(&other, &d);
    want = kept_lines(&d, &n);
    rows_as_text(&f, &d);
    same_lines(&d, str_of(want, n));
    check_log(&f);
    mem_free(want);
    corefix_close(&f);
    corefix_close(&other);
}

/* ---- bindings -------------------------------------------------------------------------------------------------------------------- */

/* A run of its own job that reads and writes one data set each, or none. */
static void a_run(struct corefix *f, unsigned id, unsigned second, const char *in, const char *out)
{
    char text[1024], side[2][128] = { "", "" };

    for (unsigned i = 0; i < 2; i++) {
        const char *name = i ? out : in;

        if (name) {
            snprintf(side[i], sizeof(side[i]), "{\"namespace\":\"n\",\"name\":\"%s\"}", name);
        }
    }
    snprintf(text, sizeof(text),
             "{\"eventTime\":\"2026-01-01T00:00:%02uZ\",\"producer\":\"p\",\"schemaURL\":\"s\","
             "\"eventType\":\"COMPLETE\",\"run\":{\"runId\":\"r%u\"},"
             "\"job\":{\"namespace\":\"n\",\"name\":\"j%u\"},\"inputs\":[%s],\"outputs\":[%s]}",
             second, id, id, side[0], side[1]);
    put_one(f, text);
}

/* The run that made what a run reads; 0: nothing that is known. */
static int64_t reads_from(struct corefix *f, unsigned id)
{
    static const unsigned char out[] = { SQL_INT };
    struct sql_query q = {
        .name = "reads", .out = out, .out_names = no_names, .out_n = 1, .kind = SQL_ONE
    };
    struct sql_value v;
    char text[512];

    snprintf(
        text, sizeof(text),
        "SELECT CAST(COALESCE((SELECT SUBSTR(m.text, 2) FROM ol_run m WHERE m.uid = v.run), '0') AS bigint) "
        "FROM ol_run r JOIN edge e ON e.dst = r.uid AND e.role = 3 JOIN ol_version v ON v.uid = e.src "
        "WHERE r.text = 'r%u'",
        id);
    q.text[SQL_SQLITE] = q.text[SQL_POSTGRES] = text;
    T_ST_ERR(sql_one(f->v.conn, &q, NULL, NULL, &v, &f->err), OK, &f->err);
    return v.i;
}

/* Claimed times of links into runs that ended, of which some end after they began. */
static int64_t once_there(struct corefix *f)
{
    static const unsigned char out[] = { SQL_INT };
    static const char text[] =
        "SELECT count(*) FROM edge_log l JOIN edge_log k ON k.src = l.src AND k.dst = l.dst AND k.role = l.role "
        "AND k.seq > l.seq AND k.op = 2 AND k.claimed_ms > l.claimed_ms WHERE l.op = 1";
    struct sql_query q = {
        .name = "once", .out = out, .out_names = no_names, .out_n = 1, .kind = SQL_ONE
    };
    struct sql_value v;

    q.text[SQL_SQLITE] = q.text[SQL_POSTGRES] = text;
    T_ST_ERR(sql_one(f->v.conn, &q, NULL, NULL, &v, &f->err), OK, &f->err);
    return v.i;
}

SQL_TEST(inputs_are_bound_again)
{
    struct corefix f;

    corefix_open(&f, location, NULL);
    a_run(&f, 1, 30, "d", NULL);
    T_INT(reads_from(&f, 1), 0);
    a_run(&f, 2, 10, NULL, "d");
    T_INT(reads_from(&f, 1), 2);
    a_run(&f, 3, 40, NULL, "d");
    T_INT(reads_from(&f, 1), 2);
    a_run(&f, 4, 20, "d", "d"); /* reads what it writes itself: what was there before */
    T_INT(reads_from(&f, 1), 4);
    T_INT(reads_from(&f, 4), 2);
    corefix_crash(&f);
    a_run(&f, 5, 15, NULL, "d");
    T_INT(reads_from(&f, 1), 4);
    T_INT(reads_from(&f, 4), 5);
    a_run(&f, 4, 25, NULL, NULL);
    T_INT(reads_from(&f, 1), 4);
    T_INT(once_there(&f), 0); /* who asks by claimed times does not see what was bound before */
    corefix_close(&f);
}

/* ---- runs that others name first --------------------------------------------------------------------------------------------------------- */

struct named {
    struct write_op op;
    struct core *core;
};

static enum status named_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct named *n = WRITE_OP_OF(op, struct named);
    int64_t uid = group_new_uid(g);
    enum status st =
        q_ol_node_insert(group_conn(g), uid, OL_NS, NODE_EXECUTION, TYPE_OL_RUN, S("x"), 1, err);

    return st ? st : ol_started_by(g, n->core, op->arena, uid, S("n/j1/r1"), err);
}

/* Without an event: both times are when it was made. */
static void shown_as_made(struct corefix *f)
{
    struct ol_run_view *run;
    unsigned char rid[16];
    int64_t uid;

    T_OK(ol_run_id_of_text(S("r1"), rid));
    corefix_fresh(f);
    T_ST_ERR(ol_find_run(&f->v, ol_run_id_text(f->a, rid), &uid, &f->err), OK, &f->err);
    T_OK(uid != 0);
    T_ST_ERR(ol_runs(&f->v, &uid, 1, 0, &run, &f->err), OK, &f->err);
    T_OK(run->create_us > 0 && run->update_us == run->create_us);
}

/* A tag names the run before its events do: what the events say of its times is what is shown. */
SQL_TEST(a_run_that_a_tag_named_first)
{
    static const struct write_kind kind_named = { .name = "test.named",
                                                  .validate = named_validate,
                                                  .sql = true };
    struct str kept[2] = { { NULL, 0 }, { NULL, 0 } };
    struct arena *a = arena_new(1 << 20);

    T_OK(a != NULL);
    for (int i = 0; i < 2; i++) {
        struct named op = { .op = { .kind = &kind_named } };
        struct corefix f;
        struct dump d;

        corefix_open(&f, i ? t_tmpdir() : location, NULL);
        op.op.arena = f.a;
        op.core = f.core;
        for (int k = 0; i == 0 && k < 2; k++) {
            T_ST_ERR(seq_run(f.core->seq, &op.op, &f.err), OK, &f.err);
        }
        if (i == 0) {
            shown_as_made(&f);
            corefix_crash(&f);
        }
        a_run(&f, 1, 30, "d", NULL);
        a_run(&f, 1, 20, "d", NULL);
        rows_as_text(&f, &d);
        for (size_t k = 0; k < d.n; k++) {
            if (str_starts(d.lines[k], S("run "))) {
                T_OK(!kept[i].p);
                kept[i] = arena_str(a, d.lines[k]);
            }
        }
        corefix_close(&f);
    }
    T_OK(kept[0].p != NULL);
    T_STR_EQ(kept[0], kept[1]);
    arena_free(a);
}

/* ---- the log --------------------------------------------------------------------------------------------------------------------- */

SQL_TEST(bytes_come_back)
{
    static const char odd[] =
        " {\"schemaURL\":\"s\", \"producer\":\"p\",  \"eventTime\":\"2026-01-01T00:00:05.000001Z\","
        "\"job\":{\"name\":\"\\u00e9\",\"namespace\":\"n\"},\"more\":[1.50,{}]}\n";
    struct ol_events_query q = { .from_us = INT64_MIN,
                                 .until_us = INT64_MAX,
                                 .after_us = INT64_MIN,
                                 .after = INT64_MIN,
                                 .max = 2 };
    struct ol_stored *e;
    struct corefix f;
    size_t n, added;
    struct str same;
    bool more;

    corefix_open(&f, location, NULL);
    a_run(&f, 1, 7, "a", "b");
    put_one(&f, odd);
    a_run(&f, 2, 6, "a", "b");
    same = S(
        "{\"job\":{\"namespace\":\"n\",\"name\":\"\303\251\"},\"more\":[1.5,{}],\"producer\":\"p\","
        "\"schemaURL\":\"s\",\"eventTime\":\"2026-01-01T00:00:05.000001Z\"}");
    T_ST_ERR(put(&f, &same, 1, &added), OK, &f.err);
    T_UINT(added, 0);
    T_ST_ERR(ol_events(&f.v, &q, &e, &n, &more, &f.err), OK, &f.err);
    T_OK(more && n == 2);
    T_STR_EQ(e[0].raw, str_trim(str_cstr(odd)));
    T_INT(e[0].kind, OL_JOB_EVENT);
    T_OK(e[1].event_us > e[0].event_us);
    q.after_us = e[1].event_us;
    q.after = e[1].seq;
    T_ST_ERR(ol_events(&f.v, &q, &e, &n, &more, &f.err), OK, &f.err);
    T_OK(!more && n == 1);
    q = (struct ol_events_query){ .from_us = e[0].event_us - 1000000,
                                  .until_us = e[0].event_us,
                                  .down = true,
                                  .after_us = INT64_MAX,
                                  .after = INT64_MAX,
                                  .max = 9 };
    T_ST_ERR(ol_events(&f.v, &q, &e, &n, &more, &f.err), OK, &f.err);
    T_OK(!more && n == 1);
    corefix_close(&f);
}

static struct str long_event(struct arena *a, int i)
{
    static char pad[300 << 10];
    struct str out;

    memset(pad, 'a' + i, sizeof(pad));
    out = arena_printf(
        a,
        "{\"eventTime\":\"2026-01-01T00:00:%02dZ\",\"producer\":\"p\",\"schemaURL\":\"s\","
        "\"job\":{\"namespace\":\"n\",\"name\":\"j\"},\"pad\":\"%.*s\"}",
        i, (int)sizeof(pad), pad);
    T_OK(out.p != NULL);
    return out;
}

/* Long ones are in several packs, each with a part of the numbers. */
SQL_TEST(many_bytes_are_several_packs)
{
    static const unsigned char out[] = { SQL_INT };
    struct sql_query q = {
        .name = "packs", .out = out, .out_names = no_names, .out_n = 1, .kind = SQL_ONE
    };
    struct ol_events_query page = { .from_us = INT64_MIN,
                                    .until_us = INT64_MAX,
                                    .after_us = INT64_MIN,
                                    .after = INT64_MIN,
                                    .max = 20 };
    struct ol_stored *e;
    struct str texts[12];
    struct sql_value v;
    struct corefix f;
    size_t n, added;
    bool more;

    corefix_open(&f, location, NULL);
    for (int i = 0; i < 11; i++) {
        texts[i] = long_event(f.a, i);
    }
    texts[11] = texts[0];
    T_ST_ERR(put(&f, texts + 5, 1, &added), OK, &f.err);
    T_ST_ERR(put(&f, texts, 12, &added), OK, &f.err);
    T_UINT(added, 10);
    q.text[SQL_SQLITE] = q.text[SQL_POSTGRES] = "SELECT count(*) FROM ol_pack";
    T_ST_ERR(sql_one(f.v.conn, &q, NULL, NULL, &v, &f.err), OK, &f.err);
    T_INT(v.i, 4);
    T_ST_ERR(ol_events(&f.v, &page, &e, &n, &more, &f.err), OK, &f.err);
    T_UINT(n, 11);
    for (size_t i = 0; i < n; i++) {
        T_OK(str_eq(e[i].raw, texts[i]));
    }
    corefix_close(&f);
}
