/* Filters, orders and searches over a table of runs, for comparison with MLflow's own (test_search_mlflow.py).
 * Reads lines of tab-separated fields from standard input; a field is percent-encoded text.
 *
 *     run ID START END|- STATUS NAME USER URI FIELD...      adds a run; FIELD is m:KEY=NUMBER (also nan, inf),
 *                                                           p:KEY=VALUE, t:KEY=VALUE or d:NAME=DIGEST=CONTEXT
 *     search FILTER ORDER...       prints the ids in order, or "! message"
 *     filter ENTITY FILTER         prints the tree, or "! message"; ENTITY is runs, experiments or models
 */
#include "base/num.h"
#include "core/search/driver.h"
#include "search_dump.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 1 << 20, FIELDS_MAX = 256, RUNS_MAX = 1000 };

struct field {
    char kind;
    struct str key, value, third;
};

struct run {
    struct str id, status, name, user, uri;
    int64_t start, end;
    bool has_end;
    struct field *fields;
    size_t fields_n;
    struct search_dataset *datasets;
    size_t datasets_n;
};

static struct run runs[RUNS_MAX];
static size_t runs_n;
static struct arena *forever;

static struct str decode(struct str s)
{
    char *out = arena_alloc(forever, s.n + 1);
    size_t n = 0;

    CHECK(out);
    for (size_t i = 0; i < s.n; i++) {
        char hex[3] = { 0 };

        out[n++] = s.p[i];
        if (s.p[i] == '%' && i + 2 < s.n) {
            memcpy(hex, s.p + i + 1, 2);
            out[n - 1] = (char)strtol(hex, NULL, 16);
            i += 2;
        }
    }
    return str_of(out, n);
}

static struct str find(const struct run *r, char kind, struct str key)
{
    for (size_t i = 0; i < r->fields_n; i++) {
        if (r->fields[i].kind == kind && str_eq(r->fields[i].key, key)) {
            return r->fields[i].value;
        }
    }
    return (struct str){ NULL, 0 };
}

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct run *r = row;

    switch (key->kind) {
    case SEARCH_PARAM: *out = find(r, 'p', key->name); break;
    case SEARCH_TAG: *out = find(r, 't', key->name); break;
    case SEARCH_ATTR:
    case SEARCH_METRIC:
    case SEARCH_DATASET:
    default:
        *out = key->attr == ATTR_RUN_ID     ? r->id
               : key->attr == ATTR_STATUS   ? r->status
               : key->attr == ATTR_USER_ID  ? r->user
               : key->attr == ATTR_RUN_NAME ? r->name
                                            : r->uri;
    }
    return str_is_set(*out);
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    const struct run *r = row;

    *out = key->attr == ATTR_START_TIME ? r->start : r->end;
    return key->attr == ATTR_START_TIME || r->has_end;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    struct str v = find(row, 'm', key->name);

    CHECK(agg == AGG_LAST);
    return str_is_set(v) && num_parse_double(v, out);
}

static enum status row_datasets(void *row, const struct search_dataset **out, size_t *n,
                                struct err *err)
{
    const struct run *r = row;

    *out = r->datasets;
    *n = r->datasets_n;
    return err ? OK : ST_INTERNAL;
}

static const struct search_row_ops ops = { row_text, row_integer, row_metric,
                                           NULL,     NULL,        row_datasets };

static void add_run(struct str *f, size_t n)
{
    struct run *r = &runs[runs_n++];

    CHECK(runs_n < RUNS_MAX && n >= 7);
    *r = (struct run){ .id = f[0], .status = f[3], .name = f[4], .user = f[5], .uri = f[6] };
    CHECK(num_parse_i64(f[1], &r->start));
    r->has_end = num_parse_i64(f[2], &r->end);
    r->fields = ARENA_ARRAY(forever, struct field, n);
    r->datasets = ARENA_ARRAY(forever, struct search_dataset, n);
    CHECK(r->fields && r->datasets);
    for (size_t i = 7; i < n; i++) {
        struct field *to = &r->fields[r->fields_n++];
        struct str rest = str_sub(f[i], 2, f[i].n), context = { NULL, 0 };

        to->kind = f[i].p[0];
        str_split(&rest, '=', &to->key);
        to->key = decode(to->key);
        if (to->kind == 'd') {
            str_split(&rest, '=', &to->value);
            str_split(&rest, '=', &context);
            r->datasets[r->datasets_n++] =
                (struct search_dataset){ to->key, decode(to->value),
                                         context.n ? decode(context) : (struct str){ NULL, 0 } };
        } else {
            to->value = decode(rest);
        }
    }
}

static void search(struct str *f, size_t n)
{
    struct arena *a = arena_new(64 << 20);
    struct search_request in = { .entity = SEARCH_RUNS,
                                 .filter = f[0],
                                 .order_by = f + 1,
                                 .order_by_n = n - 1,
                                 .page = { .max = RUNS_MAX } };
    struct err err = ERR_INIT;
    struct searcher *s;
    struct str token;
    uint64_t *handles;
    size_t found;
    enum status st = searcher_new(&s, &in, a, &err);

    for (size_t i = 0; i < runs_n && st == OK; i++) {
        st = searcher_offer(s, &ops, &runs[i], i, &err);
    }
    if (st == OK) {
        st = searcher_end(s, &handles, &found, &token, &err);
    }
    if (st) {
        printf("! %s", err.message);
    }
    for (size_t i = 0; st == OK && i < found; i++) {
        printf("%s%.*s", i ? " " : "", STR_ARG(runs[handles[i]].id));
    }
    printf("\n");
    arena_free(a);
}

static void dump(struct str *f)
{
    struct arena *a = arena_new(64 << 20);
    struct buf out = BUF_INIT(16 << 20);
    struct err err = ERR_INIT;
    struct filter *filter;
    enum search_entity entity = str_eq_lit(f[0], "runs")          ? SEARCH_RUNS
                                : str_eq_lit(f[0], "experiments") ? SEARCH_EXPERIMENTS
                                                                  : SEARCH_LOGGED_MODELS;

    if (filter_parse(&filter, entity, f[1], a, &err)) {
        printf("! %s\n", err.message);
    } else {
        search_dump_filter(&out, filter);
        printf("%.*s\n", STR_ARG(buf_str(&out)));
    }
    buf_release(&out);
    arena_free(a);
}

int main(void)
{
    static char line[LINE_MAX_BYTES];

    forever = arena_new(256 << 20);
    CHECK(forever);
    while (fgets(line, sizeof(line), stdin)) {
        struct str rest = str_cstr(line), part, f[FIELDS_MAX];
        size_t n = 0;

        rest.n -= rest.n && line[rest.n - 1] == '\n';
        while (n < FIELDS_MAX && str_split(&rest, '\t', &part)) {
            bool is_pair = n > 7 && str_eq_lit(f[0], "run"); /* decoded after it is split */

            f[n++] = is_pair ? arena_str(forever, part) : decode(part);
        }
        if (n > 1 && str_eq_lit(f[0], "run")) {
            add_run(f + 1, n - 1);
        } else if (n > 1 && str_eq_lit(f[0], "search")) {
            search(f + 1, n - 1);
        } else if (n > 2 && str_eq_lit(f[0], "filter")) {
            dump(f + 1);
        } else {
            printf("? bad line\n");
        }
        fflush(stdout);
    }
    arena_free(forever);
    return 0;
}
