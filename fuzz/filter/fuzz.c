/* Filters, orders, regular expressions and page tokens from hostile clients.
 * First byte: modulo 3 the entity, bits 2 and 3 what the rest is. A filter that parses is
 * evaluated on two rows, one of them with texts cut from the input itself. */
#include "base/utf8.h"
#include "core/search/driver.h"
#include "core/search/regex.h"
#include "core/search/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct row {
    struct str text;
    double number;
    bool is_empty;
};

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct row *r = row;

    *out = key->name.n % 2 ? r->text : S("FINISHED");
    return !r->is_empty;
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    *out = key->attr == ATTR_END_TIME ? 7 : INT64_MIN;
    return !((const struct row *)row)->is_empty;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    const struct row *r = row;

    CHECK(agg != AGG_BEST);
    *out = key->name.n > 3 ? r->number : 1;
    return !r->is_empty;
}

static enum search_goal row_goal(void *row, const struct search_key *key)
{
    return ((const struct row *)row)->is_empty || key->name.n % 3 == 0 ? GOAL_NONE : GOAL_MAX;
}

static enum status row_datasets(void *row, const struct search_dataset **out, size_t *n,
                                struct err *err)
{
    static const struct search_dataset sets[] = { { S_INIT("iris"), S_INIT("d"), { NULL, 0 } } };

    *out = sets;
    *n = 1;
    return ((const struct row *)row)->is_empty ? err_set(err, ST_UNAVAILABLE, "away") : OK;
}

static const struct search_row_ops ops = { row_text, row_integer, row_metric,
                                           NULL,     row_goal,    row_datasets };

static void search(enum search_entity entity, struct str filter, struct str order, struct str token,
                   struct arena *a)
{
    struct order_field field = { .field = order, .dataset_name = order };
    struct search_request in = { .entity = entity,
                                 .filter = filter,
                                 .order_by = &order,
                                 .fields = &field,
                                 .page = { .max = 1, .token = token } };
    struct str text = filter.n && utf8_valid(str_sub(filter, filter.n / 2, filter.n))
                          ? str_sub(filter, filter.n / 2, filter.n)
                          : S("x");
    struct row rows[] = { { text, 0.5, false }, { S(""), -1, true }, { S("zz"), 1e300, false } };
    struct err err = ERR_INIT;
    struct searcher *s;
    struct str next;
    uint64_t *handles;
    size_t n;

    in.order_by_n = in.fields_n = order.n > 0;
    if (searcher_new(&s, &in, a, &err)) {
        CHECK(s == NULL && err.code != OK && err.message[0]);
        return;
    }
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (searcher_offer(s, &ops, &rows[i], i, &err)) {
            return;
        }
    }
    CHECK(searcher_end(s, &handles, &n, &next, &err) == OK);
    if (next.p) { /* what we wrote, we read */
        in.page.token = next;
        CHECK(searcher_new(&s, &in, a, &err) == OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a;
    struct str text = str_of(data, n), first;
    struct err err = ERR_INIT;
    struct regex *r;
    unsigned what;

    if (n == 0) {
        return 0;
    }
    what = data[0];
    text = str_sub(text, 1, n);
    a = arena_new(16 << 20);
    CHECK(a);
    switch (what >> 2 & 3) {
    case 0: search(what % 3, text, S(""), S(""), a); break;
    case 1: search(what % 3, S(""), text, S(""), a); break;
    case 2: search(what % 3, S(""), S(""), text, a); break;
    default: /* pattern, newline, text */
        str_split(&text, '\n', &first);
        if (utf8_valid(first) && utf8_valid(text) && regex_compile(&r, first, a, &err) == OK) {
            bool is_match = regex_match(r, text);

            CHECK(regex_match(r, text) == is_match);
        }
        break;
    }
    arena_free(a);
    return 0;
}
