/* Columns against a plain array of optional values: every layout and width, changes, tests of
 * ranges and sets, stored bodies, and the loops of every processor against the portable ones. */
#include "base/mem.h"
#include "base/num.h"
#include "store/columns/columns_int.h"
#include "store/series/body.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>

struct model {
    enum column_type type;
    uint32_t rows;
    bool has[COLUMN_ROWS];
    double d[COLUMN_ROWS];
    int64_t i[COLUMN_ROWS];
    char text[COLUMN_ROWS][16];
};

static struct column_builder *builder;

static struct str text_of(const struct model *m, uint32_t slot)
{
    return str_cstr(m->text[slot]);
}

/* How values are drawn: kinds of numbers, how many distinct texts. */
struct style {
    unsigned numbers, distinct, missing_of_8;
};

static double draw_double(const struct style *s)
{
    static const double odd[] = { 0.0,   -0.0,   (double)INFINITY, (double)-INFINITY,
                                  1e300, 5e-324, -1e-320,          3.4028235677973366e+38 };

    switch (s->numbers % 5) {
    case 0: return (double)t_rand_below(100);
    case 1: return (double)t_rand_below(1U << 30) / 3.0;
    case 2: return t_rand_below(4) ? 0.5 : (double)NAN;
    case 3: return odd[t_rand_below(ARRAY_N(odd))];
    default: return 0.25;
    }
}

static int64_t draw_integer(const struct style *s)
{
    switch (s->numbers % 6) {
    case 0: return (int64_t)t_rand_below(200) - 100;
    case 1: return 1700000000000 + (int64_t)t_rand_below(60000);
    case 2: return 1700000000000 + (int64_t)t_rand_below(1ULL << 31);
    case 3: return (int64_t)t_rand();
    case 4: return t_rand_below(2) ? INT64_MIN : INT64_MAX;
    default: return -7;
    }
}

static void draw_slot(struct model *m, uint32_t slot, const struct style *s)
{
    m->has[slot] = t_rand_below(8) >= s->missing_of_8;
    m->d[slot] = draw_double(s);
    m->i[slot] = draw_integer(s);
    (void)snprintf(m->text[slot], sizeof(m->text[slot]), "v%u",
                   (unsigned)t_rand_below(s->distinct));
    if (t_rand_below(50) == 0) m->text[slot][0] = 0; /* the empty text */
}

static void put(const struct model *m, uint32_t slot)
{
    if (!m->has[slot]) {
        column_builder_missing(builder, slot);
    } else if (m->type == COLUMN_DOUBLE) {
        column_builder_double(builder, slot, m->d[slot]);
    } else if (m->type == COLUMN_INTEGER) {
        column_builder_integer(builder, slot, m->i[slot]);
    } else {
        column_builder_text(builder, slot, text_of(m, slot));
    }
}

static struct column *build(const struct model *m)
{
    struct err err = ERR_INIT;
    struct column *c;

    T_ST(column_builder_reset(builder, m->type, NULL, m->rows, &err), OK);
    for (uint32_t slot = 0; slot < m->rows; slot++) {
        if (m->has[slot]) put(m, slot);
    }
    T_ST_ERR(column_builder_finish(builder, &c, &err), OK, &err);
    return c;
}

static bool bit(const uint64_t *bits, uint32_t slot)
{
    return bits[slot / 64] >> (slot % 64) & 1;
}

static void check_value(const struct model *m, const struct column *c, uint32_t slot)
{
    struct str s = { NULL, 0 };
    int64_t i = 0;
    double d = 0;

    if (m->type == COLUMN_DOUBLE) {
        T_INT(column_double(c, slot, &d), m->has[slot]);
        if (m->has[slot])
            T_DBL_BITS(d, m->d[slot] == m->d[slot] ? m->d[slot] : num_canonical_nan());
    } else if (m->type == COLUMN_INTEGER) {
        T_INT(column_integer(c, slot, &i), m->has[slot]);
        if (m->has[slot]) T_INT(i, m->i[slot]);
    } else {
        T_INT(column_text(c, slot, &s), m->has[slot]);
        if (m->has[slot]) T_STR_EQ(s, text_of(m, slot));
    }
}

static void check_zone(const struct model *m, const struct column *c)
{
    struct column_zone z = { .rows = 0 };
    bool first = true;

    for (uint32_t slot = 0; slot < m->rows; slot++) {
        int64_t rank;

        z.present_n += m->has[slot];
        if (!m->has[slot]) continue;
        if (m->type == COLUMN_DOUBLE && m->d[slot] != m->d[slot]) {
            z.nan_n++;
            continue;
        }
        rank = m->type == COLUMN_DOUBLE    ? column_rank_double(m->d[slot])
               : m->type == COLUMN_INTEGER ? m->i[slot]
                                           : column_rank_text(text_of(m, slot));
        z.min = first ? rank : MIN_OF(z.min, rank);
        z.max = first ? rank : MAX_OF(z.max, rank);
        first = false;
    }
    T_OK((c == NULL) == (z.present_n == 0));
    if (!c) return;
    T_UINT(column_zone(c)->rows, m->rows);
    T_UINT(column_zone(c)->present_n, z.present_n);
    T_UINT(column_zone(c)->nan_n, z.nan_n);
    if (!first) {
        T_INT(column_zone(c)->min, z.min);
        T_INT(column_zone(c)->max, z.max);
    }
}

static void check_ranges(const struct model *m, const struct column *c, const struct style *s)
{
    uint64_t bits[COLUMN_WORDS];
    double dlo = draw_double(s), dhi = draw_double(s);
    int64_t ilo = draw_integer(s), ihi = draw_integer(s);
    uint32_t n = column_codes_n(c), clo = n ? (uint32_t)t_rand_below(n + 1) : 0;
    uint32_t chi = n ? (uint32_t)t_rand_below(n + 1) : 0;
    uint8_t *set = mem_zalloc(n + 1, 1);

    T_OK(set != NULL);
    for (uint32_t i = 0; i < n; i++)
        set[i] = (uint8_t)t_rand_below(1 + s->numbers % 3);
    memset(bits, 0x5a, sizeof(bits));
    if (m->type == COLUMN_DOUBLE) {
        column_range_double(c, dlo, dhi, bits);
    } else if (m->type == COLUMN_INTEGER) {
        column_range_integer(c, ilo, ihi, bits);
    } else {
        column_range_codes(c, clo, chi, bits);
    }
    for (uint32_t slot = 0; slot < COLUMN_ROWS; slot++) {
        uint32_t code = 0;
        bool has = slot < m->rows && m->has[slot];
        bool want = m->type == COLUMN_DOUBLE ? has && m->d[slot] >= dlo && m->d[slot] <= dhi
                    : m->type == COLUMN_INTEGER
                        ? has && m->i[slot] >= ilo && m->i[slot] <= ihi
                        : column_code(c, slot, &code) && code >= clo && code <= chi;

        if (bit(bits, slot) != want) T_FAIL("range: slot %u", slot);
    }
    column_present(c, bits);
    for (uint32_t slot = 0; slot < COLUMN_ROWS; slot++) {
        if (bit(bits, slot) != (slot < m->rows && m->has[slot])) T_FAIL("present: slot %u", slot);
    }
    memset(bits, 0x5a, sizeof(bits));
    column_codes_in(c, set, bits);
    for (uint32_t slot = 0; slot < COLUMN_ROWS; slot++) {
        uint32_t code = 0;

        if (bit(bits, slot) != (column_code(c, slot, &code) && set[code])) {
            T_FAIL("set: slot %u", slot);
        }
    }
    mem_free(set);
}

static void check_dictionary(const struct model *m, const struct column *c)
{
    uint32_t *counts = mem_zalloc(column_codes_n(c) + 1, sizeof(*counts));
    uint64_t all[COLUMN_WORDS];
    uint32_t sum = 0;

    T_OK(counts != NULL);
    memset(all, 0xff, sizeof(all));
    column_count_codes(c, all, counts);
    for (uint32_t i = 0; i < column_codes_n(c); i++) {
        T_OK(counts[i] > 0); /* no text that no row has */
        T_UINT(column_code_at_least(c, column_code_text(c, i)), i);
        if (i) T_OK(str_cmp(column_code_text(c, i - 1), column_code_text(c, i)) < 0);
        sum += counts[i];
    }
    if (c && m->type == COLUMN_TEXT) T_UINT(sum, column_zone(c)->present_n);
    mem_free(counts);
}

static void check(const struct model *m, const struct column *c, const struct style *s)
{
    check_zone(m, c);
    for (uint32_t slot = 0; slot < m->rows; slot++) {
        check_value(m, c, slot);
    }
    for (unsigned i = 0; i < 4; i++) {
        check_ranges(m, c, s);
    }
    check_dictionary(m, c);
}

/* Encodes and decodes; the copy is the same to the bit. */
static void check_body(const struct model *m, const struct column *c, const struct style *s)
{
    struct column_place at = { 3, (int64_t)t_rand_below(9), { COLUMN_PARAM, 7 } }, other = at;
    struct buf b = BUF_INIT(COLUMN_BODY_MAX);
    struct zip z = { NULL };
    struct err err = ERR_INIT;
    struct column *copy;
    size_t cut;

    if (!c) return;
    T_ST_ERR(column_encode(&z, c, &at, &b, &err), OK, &err);
    T_ST_ERR(column_decode(&copy, buf_str(&b), &at, &err), OK, &err);
    T_MEM(column_zone(copy), column_zone(c), sizeof(struct column_zone));
    T_UINT(column_bytes(copy), column_bytes(c));
    check(m, copy, s);
    column_unref(copy);
    other.segment++;
    T_ST(column_decode(&copy, buf_str(&b), &other, &err), ST_CORRUPT);
    cut = t_rand_below(b.n);
    T_ST(column_decode(&copy, str_of(b.p, cut), &at, &err), ST_CORRUPT);
    b.p[cut] = (char)(b.p[cut] ^ (1 << t_rand_below(8)));
    T_ST(column_decode(&copy, buf_str(&b), &at, &err), ST_CORRUPT);
    T_OK(copy == NULL);
    zip_release(&z);
    buf_release(&b);
}

/* Changes some rows, perhaps adds some; the older column stays as it was. */
static struct column *change(struct model *m, struct column *old, const struct style *s)
{
    struct err err = ERR_INIT;
    uint32_t before = m->rows, n = (uint32_t)t_rand_below(20);
    struct column *c;

    m->rows += (uint32_t)t_rand_below(3);
    m->rows = MIN_OF((uint32_t)COLUMN_ROWS, m->rows);
    T_ST(column_builder_reset(builder, m->type, old, m->rows, &err), OK);
    for (uint32_t slot = before; slot < m->rows; slot++) {
        draw_slot(m, slot, s);
        if (m->has[slot]) put(m, slot);
    }
    for (uint32_t i = 0; i < n && m->rows; i++) {
        uint32_t slot = (uint32_t)t_rand_below(m->rows);

        draw_slot(m, slot, s);
        put(m, slot);
    }
    T_ST_ERR(column_builder_finish(builder, &c, &err), OK, &err);
    column_unref(old);
    return c;
}

TEST(columns_hold_what_was_put_in)
{
    struct model *m = mem_zalloc(1, sizeof(*m));

    builder = column_builder_new();
    T_OK(m && builder);
    for (unsigned round = 0; round < 120; round++) {
        static const uint32_t sizes[] = { 1, 63, 64, 65, 1000, 4095, 4096 };
        struct style s = { (unsigned)t_rand_below(6), 1U << t_rand_below(13),
                           (unsigned)t_rand_below(9) };
        struct column *c;

        m->type = COLUMN_DOUBLE + round % 3;
        m->rows = sizes[t_rand_below(ARRAY_N(sizes))];
        for (uint32_t slot = 0; slot < m->rows; slot++) {
            draw_slot(m, slot, &s);
        }
        c = build(m);
        check(m, c, &s);
        check_body(m, c, &s);
        for (unsigned i = 0; i < 3; i++) {
            s = (struct style){ (unsigned)t_rand_below(6), 1U << t_rand_below(13),
                                (unsigned)t_rand_below(9) };
            c = change(m, c, &s);
            check(m, c, &s);
        }
        check_body(m, c, &s);
        column_unref(c);
    }
    column_builder_free(builder);
    mem_free(m);
}

TEST(columns_are_small)
{
    struct err err = ERR_INIT;
    struct column *c;

    builder = column_builder_new();
    T_OK(builder != NULL);
    T_ST(column_builder_reset(builder, COLUMN_TEXT, NULL, COLUMN_ROWS, &err), OK);
    for (uint32_t i = 0; i < COLUMN_ROWS; i++) {
        column_builder_text(builder, i, i % 3 ? S("adam") : S("sgd"));
    }
    T_ST(column_builder_finish(builder, &c, &err), OK);
    T_OK(column_bytes(c) < 4096 + 512);
    column_unref(c);
    T_ST(column_builder_reset(builder, COLUMN_DOUBLE, NULL, COLUMN_ROWS, &err), OK);
    column_builder_double(builder, 4000, 0.1);
    T_ST(column_builder_finish(builder, &c, &err), OK);
    T_OK(column_bytes(c) < 1024);
    column_unref(c);
    column_builder_free(builder);
}

TEST(a_value_of_another_type_is_refused)
{
    struct err err = ERR_INIT;
    struct column *c;

    builder = column_builder_new();
    T_OK(builder != NULL);
    T_ST(column_builder_reset(builder, COLUMN_TEXT, NULL, 10, &err), OK);
    column_builder_double(builder, 1, 0.1);
    T_ST(column_builder_finish(builder, &c, &err), ST_INTERNAL);
    T_ST(column_builder_reset(builder, COLUMN_TEXT, NULL, 10, &err), OK);
    column_builder_text(builder, 10, S("x"));
    T_ST(column_builder_finish(builder, &c, &err), ST_INTERNAL);
    T_ST(column_builder_reset(builder, COLUMN_TEXT, NULL, COLUMN_ROWS + 1, &err), ST_INTERNAL);
    column_builder_free(builder);
}

TEST(columns_survive_every_failed_allocation)
{
    struct column_place at = { 1, 2, { COLUMN_TAG, 3 } };
    bool done = false;

    builder = column_builder_new();
    T_OK(builder != NULL);
    for (int64_t n = 1; !done; n++) {
        struct buf b = BUF_INIT(COLUMN_BODY_MAX);
        struct zip z = { NULL };
        struct column *c = NULL, *copy = NULL;
        struct err err = ERR_INIT;
        enum status st;

        T_ST(column_builder_reset(builder, COLUMN_TEXT, NULL, 4096, &err), OK);
        for (uint32_t i = 0; i < 4096; i++) {
            column_builder_text(builder, i, i % 3 ? S("adam") : S("sgd"));
        }
        mem_fail_after(n, false);
        st = column_builder_finish(builder, &c, &err);
        if (!st) st = column_encode(&z, c, &at, &b, &err);
        if (!st) st = column_decode(&copy, buf_str(&b), &at, &err);
        mem_fail_never();
        done = st == OK;
        T_OK(done || st == ST_NOMEM);
        column_unref(c);
        column_unref(copy);
        zip_release(&z);
        buf_release(&b);
    }
    column_builder_free(builder);
}

/* ---- loops ------------------------------------------------------------------------------------------ */

enum { LOOP_WORDS = 3, LOOP_N = LOOP_WORDS * 64 };

static void loops_agree(const struct column_kernels *a, const struct column_kernels *b)
{
    union {
        uint8_t u8[LOOP_N];
        uint16_t u16[LOOP_N];
        uint32_t u32[LOOP_N];
        uint64_t u64[LOOP_N];
        float f32[LOOP_N];
        double f64[LOOP_N];
    } v;
    static const uint64_t edges[] = { 0,         1,          127,       128,      255,
                                      32767,     32768,      65535,     1U << 31, UINT32_MAX,
                                      INT64_MAX, 1ULL << 63, UINT64_MAX };
    uint64_t x[LOOP_WORDS], y[LOOP_WORDS];
    uint64_t lo = edges[t_rand_below(ARRAY_N(edges))], hi = edges[t_rand_below(ARRAY_N(edges))];
    uint8_t set[32];
    double dlo, dhi;

#define SAME(call, fn)                                                                             \
    a->fn call(x);                                                                                 \
    b->fn call(y);                                                                                 \
    T_MEM(x, y, sizeof(x))
#define UNSIGNED(out) (&v, LOOP_WORDS, MIN_OF(lo, hi), MAX_OF(lo, hi), out)
#define DRAW(field, type)                                                                          \
    for (size_t i = 0; i < LOOP_N; i++) {                                                          \
        v.field[i] = (type)(t_rand_below(2) ? t_rand() : edges[t_rand_below(ARRAY_N(edges))]);     \
    }
    DRAW(u64, uint64_t)
    SAME(UNSIGNED, u64);
    lo = (uint32_t)lo;
    hi = (uint32_t)hi;
    DRAW(u32, uint32_t)
    SAME(UNSIGNED, u32);
    lo = (uint16_t)lo;
    hi = (uint16_t)hi;
    DRAW(u16, uint16_t)
    SAME(UNSIGNED, u16);
    lo = (uint8_t)lo;
    hi = (uint8_t)hi;
    DRAW(u8, uint8_t)
    SAME(UNSIGNED, u8);
    for (size_t i = 0; i < sizeof(set); i++)
        set[i] = (uint8_t)t_rand();
#define SET(out) (&v, LOOP_WORDS, set, out)
    SAME(SET, set8);
    for (size_t i = 0; i < LOOP_N; i++) {
        struct style s = { (unsigned)t_rand_below(5), 1, 0 };

        v.f64[i] = draw_double(&s);
    }
    dlo = v.f64[0] == v.f64[0] ? v.f64[0] : 0;
    dhi = v.f64[LOOP_N - 1];
#define F64(out) (&v, LOOP_WORDS, dlo, dhi, out)
    SAME(F64, f64);
    for (size_t i = 0; i < LOOP_N; i++) {
        v.f32[i] = t_rand_below(9) ? (float)t_rand_below(10) : NAN;
    }
    a->f32(&v, LOOP_WORDS, 3.0f, 7.0f, x);
    b->f32(&v, LOOP_WORDS, 3.0f, 7.0f, y);
    T_MEM(x, y, sizeof(x));
}

TEST(every_processor_gives_the_same_bits)
{
    for (size_t i = 1; column_kernels_at(i); i++) {
        t_note("%s", column_kernels_at(i)->name);
        for (unsigned round = 0; round < 2000; round++) {
            loops_agree(column_kernels_at(0), column_kernels_at(i));
        }
    }
}

TEST(ranks_keep_the_order)
{
    static const double d[] = { (double)-INFINITY, -1e300, -1, -5e-324, 0, 5e-324, 1, 1e300,
                                (double)INFINITY };
    static const struct str s[] = { S_INIT(""),         S_INIT("a"),         S_INIT("ab"),
                                    S_INIT("abcdefgh"), S_INIT("abcdefghi"), S_INIT("b"),
                                    S_INIT("\xc3\xa4") };

    for (size_t i = 1; i < ARRAY_N(d); i++) {
        T_OK(column_rank_double(d[i - 1]) < column_rank_double(d[i]));
    }
    T_INT(column_rank_double(-0.0), column_rank_double(0.0));
    for (size_t i = 1; i < ARRAY_N(s); i++) {
        T_OK(column_rank_text(s[i - 1]) <= column_rank_text(s[i]));
    }
}
