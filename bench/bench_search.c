/* bench/bench_search.c - evaluation of filters and orders over rows in memory.
 * Prints rows per second for some filters over ROWS_N rows with 20 metrics, 20 params and 5 tags each. What a row source costs
 * beside that is not measured here. Usage: bench_search */
#include "base/clock.h"
#include "core/search/driver.h"

#include <stdio.h>

enum { ROWS_N = 1000000, KEYS_N = 20 };

static struct str names[KEYS_N];

struct row {
    uint64_t n;
    char id[24];
};

/* A binary search among the row's keys, as a source over sorted keys does. */
static size_t find(struct str name)
{
    size_t low = 0, high = KEYS_N;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (str_cmp(names[mid], name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < KEYS_N && str_eq(names[low], name) ? low : KEYS_N;
}

static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 31) * 0x7fb5d329728ea185U;
    v = (v ^ v >> 27) * 0x81dadef4bc2dd44dU;
    return v ^ v >> 33;
}

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    static const struct str values[] = {
        S_INIT("adam"), S_INIT("sgd"), S_INIT("resnet50-finetuned"),
        S_INIT("a rather long text that nobody reads to its end")
    };
    const struct row *r = row;
    size_t at;

    if (key->kind == SEARCH_ATTR) {
        *out = str_of(r->id, sizeof(r->id));
        return true;
    }
    at = find(key->name);
    *out = values[mix(r->n * KEYS_N + at) % ARRAY_N(values)];
    return at < KEYS_N;
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    *out = (int64_t)(mix(((const struct row *)row)->n) % 1000000000);
    return key->attr == ATTR_START_TIME;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    size_t at = find(key->name);

    *out = (double)(mix(((const struct row *)row)->n * KEYS_N + at) % 1000000) / 1e6;
    return agg == AGG_LAST && at < KEYS_N;
}

static void measure(const char *filter, const char *order, size_t page)
{
    static const struct search_row_ops ops = { .text = row_text,
                                               .integer = row_integer,
                                               .metric = row_metric };
    struct arena *a = arena_new(256 << 20);
    struct str clause = str_cstr(order), token;
    struct search_request in = { .entity = SEARCH_RUNS,
                                 .filter = str_cstr(filter),
                                 .order_by = &clause,
                                 .order_by_n = clause.n > 0,
                                 .page = { .max = page } };
    struct err err = ERR_INIT;
    struct searcher *s;
    uint64_t *handles;
    size_t n = 0;
    int64_t start = clock_mono_ns();
    enum status st = searcher_new(&s, &in, a, &err);

    for (uint64_t i = 0; i < ROWS_N && st == OK; i++) {
        struct row r = { .n = i };

        for (size_t j = 0; j < sizeof(r.id); j++) {
            r.id[j] = (char)('a' + (mix(i) >> (j * 2) & 15));
        }
        st = searcher_offer(s, &ops, &r, i, &err);
    }
    st = st ? st : searcher_end(s, &handles, &n, &token, &err);
    if (st) {
        printf("%s: %s\n", filter, err.message);
    } else {
        printf("%6.1f M rows/s  page %5zu  %-52s %s\n",
               ROWS_N / ((double)(clock_mono_ns() - start) / 1e3), n, filter, order);
    }
    arena_free(a);
}

int main(void)
{
    static char text[KEYS_N][16];

    for (size_t i = 0; i < KEYS_N; i++) {
        names[i] = str_of(text[i], (size_t)snprintf(text[i], sizeof(text[i]), "key_%02zu", i));
    }
    measure("", "", 100);
    measure("", "", 50000);
    measure("metrics.key_07 < 0.1", "metrics.key_07", 100);
    measure("metrics.key_07 < 0.1 and params.key_03 = 'adam'", "metrics.key_11 DESC", 1000);
    measure("params.key_03 LIKE '%net%'", "", 100);
    measure("params.key_03 ILIKE '%NET%'", "", 100);
    measure("params.key_03 =~ '^res.*[0-9]+'", "", 100);
    measure("params.key_03 =~ 'read(s|ing) to'", "", 100);
    measure("not (metrics.key_01 > 0.5 or tags.key_02 in ('x', 'sgd'))", "params.key_05", 100);
    return 0;
}
