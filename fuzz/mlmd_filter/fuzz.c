/* Filters of ML Metadata: what is read is a typed tree within its bounds, and what is not says so with the text that clients know. The first byte is
 * the kind of node. */
#include "api/mlmd/mlmd_int.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20 };

/* Operators and operands, those in lists as well. */
static size_t check(const struct nodefilter *f, const struct nodefilter_expr *e, size_t *sums)
{
    size_t n = 1;

    CHECK(e->table >= -1 && e->table < (int)f->tables_n);
    CHECK(e->op != NODEFILTER_TEXT || utf8_valid(e->s));
    CHECK((e->op == NODEFILTER_IN) == (e->list_n > 0));
    *sums += e->op >= NODEFILTER_NEG && e->op <= NODEFILTER_DIV ? 1 : 0;
    n += e->a ? check(f, e->a, sums) : 0;
    n += e->b ? check(f, e->b, sums) : 0;
    n += e->c ? check(f, e->c, sums) : 0;
    for (size_t i = 0; i < e->list_n; i++) {
        size_t more = check(f, e->list[i], sums);

        n += e->list[i]->op == NODEFILTER_INT || e->list[i]->op == NODEFILTER_TEXT ? 0 : more;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct err err = ERR_INIT;
    struct nodefilter *f;
    size_t sums = 0;
    enum status st;

    CHECK(a != NULL);
    if (n > 0) {
        st = mlmd_filter_parse(a, (enum node_kind)(1 + data[0] % 3), str_of(data + 1, n - 1), &f,
                               &err);
        CHECK(st == OK || st == ST_INVALID || st == ST_NOMEM);
        CHECK((st == OK) == (f != NULL));
        CHECK(st != ST_INVALID || str_starts(str_cstr(err.message), S("Invalid `filter_query`: ")));
        if (f) {
            CHECK(f->root->type == NODEFILTER_OF_BOOL);
            CHECK(check(f, f->root, &sums) <= NODEFILTER_EXPRS_MAX);
            CHECK(sums <= NODEFILTER_SUMS_MAX);
        }
    }
    arena_free(a);
    return 0;
}
