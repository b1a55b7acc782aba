/* bench/bench_num.c - doubles to and from text: millions a second on one core, best of five rounds. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
#include <stdio.h>

enum { N = 1 << 18, ROUNDS = 5, SLOT = NUM_DOUBLE_MAX };

struct work {
    double *values;
    char *texts; /* N slots */
    unsigned char *lens;
};

static double sink;

static void print_all(struct work *w)
{
    for (size_t i = 0; i < N; i++) {
        w->lens[i] = (unsigned char)num_print_double(w->values[i], w->texts + i * SLOT);
    }
}

static void parse_all(struct work *w)
{
    double v = 0;

    for (size_t i = 0; i < N; i++) {
        if (num_scan_double(str_of(w->texts + i * SLOT, w->lens[i]), &v) == 0) {
            BUG("a printed number is a number");
        }
        sink += v;
    }
}

static double best(void (*fn)(struct work *w), struct work *w)
{
    int64_t least = INT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        int64_t from = clock_mono_ns();

        fn(w);
        least = MIN_OF(least, clock_mono_ns() - from);
    }
    return (double)N * 1000 / (double)least;
}

static double any_bits(void)
{
    uint64_t u;

    do {
        u = rand_u64();
    } while ((u >> 52 & 0x7ff) == 0x7ff);
    return num_bits_double(u);
}

static double fraction(void)
{
    return (double)(rand_u64() >> 11) * 0x1p-53;
}

static double four_digits(void)
{
    return (double)rand_below(10000) / 10000;
}

static double integer(void)
{
    return (double)rand_below(1000000);
}

int main(void)
{
    static const struct {
        const char *name;
        double (*make)(void);
    } kinds[] = {
        { "random bits", any_bits },
        { "17-digit fractions", fraction },
        { "4-digit fractions", four_digits },
        { "integers", integer },
    };
    struct work w = { mem_alloc(N * sizeof(double)), mem_alloc(N * SLOT), mem_alloc(N) };

    CHECK(w.values && w.texts && w.lens);
    rand_seed(1);
    for (size_t k = 0; k < ARRAY_N(kinds); k++) {
        double print;

        for (size_t i = 0; i < N; i++) {
            w.values[i] = kinds[k].make();
        }
        print = best(print_all, &w);
        printf("%-20s print %6.1f M/s   parse %6.1f M/s\n", kinds[k].name, print,
               best(parse_all, &w));
    }
    mem_free(w.values);
    mem_free(w.texts);
    mem_free(w.lens);
    return 0;
}
