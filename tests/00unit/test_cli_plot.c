/* Curves in characters: where dots, ticks and gaps stand, and that no input makes a picture larger than it may be. */
#include "cli/plot.h"
#include "tap.h"

#include <math.h>

static struct str drawn(struct buf *b, const struct plot *p)
{
    struct err err = ERR_INIT;

    buf_clear(b);
    T_ST_ERR(plot_draw(b, p, &err), OK, &err);
    return buf_str(b);
}

TEST(a_line_in_ascii)
{
    static const struct plot_mark m[] = { { 0, 0 }, { 18, 4 } };
    struct plot_line line = { m, 2 };
    struct plot p = { .width = 30, .height = 5, .lines = &line, .n = 1 };
    struct buf b = BUF_INIT(1 << 16);

    T_STR(drawn(&b, &p), "       4 +                ***\n"
                         "         |            ****\n"
                         "       2 +       *****\n"
                         "         |   ****\n"
                         "       0 +***\n"
                         "         ++---------+--------\n"
                         "          0        10\n");
    buf_release(&b);
}

TEST(several_curves_without_colours_are_letters)
{
    static const struct plot_mark up[] = { { 0, 0 }, { 18, 2 } }, down[] = { { 0, 2 }, { 9, 1 } };
    struct plot_line lines[] = { { up, 2 }, { down, 2 } };
    struct plot p = { .width = 30, .height = 3, .unicode = true, .lines = lines, .n = 2 };
    struct buf b = BUF_INIT(1 << 16);
    struct str s = drawn(&b, &p);

    T_OK(str_find(s, S("bbbbb         aaaaa\n")) != SIZE_MAX);
    buf_clear(&b);
    plot_sample(&b, &p, 1);
    T_STR(buf_str(&b), "b");
    buf_release(&b);
}

/* NaN breaks the line and is marked on the axis; a bucket before and behind it stays. */
TEST(gaps)
{
    static const struct plot_mark m[] = { { 0, 1 }, { 5, (double)NAN }, { 18, 1 } };
    struct plot_line line = { m, 3 };
    struct plot p = { .width = 30, .height = 3, .lines = &line, .n = 1 };
    struct buf b = BUF_INIT(1 << 16);
    struct str s = drawn(&b, &p);

    T_OK(str_find(s, S("*                 *\n")) != SIZE_MAX);
    T_OK(str_find(s, S("+----x----+--------\n")) != SIZE_MAX || str_find(s, S("x")) != SIZE_MAX);
    buf_release(&b);
}

TEST(nothing_to_draw)
{
    static const struct plot_mark odd[] = { { 1, (double)NAN }, { 2, (double)INFINITY } };
    struct plot_line lines[] = { { odd, 2 }, { NULL, 0 } };
    struct plot p = { .width = 40, .height = 4, .unicode = true, .lines = lines, .n = 0 };
    struct buf b = BUF_INIT(1 << 16);

    T_STR(drawn(&b, &p), "          no points\n");
    p.n = 2;
    T_OK(str_find(drawn(&b, &p), S("\u00d7")) != SIZE_MAX);
    buf_release(&b);
}

TEST(braille_and_colours)
{
    static const struct plot_mark m[] = { { 0, 0 }, { 1, 0 } };
    struct plot_line line = { m, 2 };
    struct plot p = {
        .width = 30, .height = 3, .unicode = true, .color = true, .lines = &line, .n = 1
    };
    struct buf b = BUF_INIT(1 << 16);
    struct str s = drawn(&b, &p);

    T_OK(str_find(s, S("\033[36m\u2824\u2824")) != SIZE_MAX ||
         str_find(s, S("\033[36m\u2812\u2812")) != SIZE_MAX);
    T_OK(str_find(s, S("\033[0m\n")) != SIZE_MAX);
    buf_release(&b);
}

TEST(numbers_for_people)
{
    static const struct {
        double v;
        const char *number, *span;
    } rows[] = { { 0, "0", "0s" },
                 { 1234567, "1.23e+06", "20.58m" },
                 { -0.5, "-0.5", "-0.5ms" },
                 { 0.00001, "1e-05", "1e-05ms" },
                 { 3600000, "3.6e+06", "1h" },
                 { 86400e3 * 2, "1.73e+08", "2d" } };
    char out[32];

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        plot_number(rows[i].v, out);
        T_CSTR(out, rows[i].number);
        plot_span(rows[i].v, out);
        T_CSTR(out, rows[i].span);
    }
}

/* Whatever the values: as many lines as were asked for, none wider than the picture. */
TEST(any_values)
{
    static const double odd[] = { 0,
                                  -0.0,
                                  1e308,
                                  -1e308,
                                  5e-324,
                                  1e300,
                                  (double)NAN,
                                  (double)INFINITY,
                                  -(double)INFINITY,
                                  9.2e18,
                                  -9.2e18,
                                  1.7e12 };
    struct buf b = BUF_INIT(1 << 20);

    for (int round = 0; round < 3000; round++) {
        struct plot_mark m[20];
        struct plot_line lines[3];
        struct plot p = { .width = (unsigned)t_rand_below(120),
                          .height = (unsigned)t_rand_below(20),
                          .axis = (enum plot_axis)t_rand_below(3),
                          .lines = lines,
                          .n = 1 + (size_t)t_rand_below(3) };
        struct str rest, one;
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_N(m); i++) {
            m[i].x = t_rand_below(2) ? odd[t_rand_below(6)] : (double)(i * t_rand_below(1000));
            m[i].y = t_rand_below(2) ? odd[t_rand_below(ARRAY_N(odd))] : (double)t_rand_below(9);
        }
        for (size_t i = 0; i < 3; i++) {
            lines[i] = (struct plot_line){ m, 1 + (size_t)t_rand_below(ARRAY_N(m)) };
        }
        rest = drawn(&b, &p);
        while (rest.n && str_split(&rest, '\n', &one)) {
            T_OK(one.n <= MAX_OF(p.width, 30u));
            n++;
        }
        T_INT(n, (int64_t)MAX_OF(p.height, 3u) + 2);
    }
    buf_release(&b);
}
