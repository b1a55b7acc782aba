/* base/num_parse.c - text to double, correctly rounded (nearest, ties to even), in three steps, each exact where it answers:
 *  1. at most 2^53 and a power of ten that is a double: one multiplication or division (Clinger 1990);
 *  2. at most 19 digits: a 128-bit product with the leading bits of the power of ten (Eisel and Lemire 2021, "Number
 *     Parsing at a Gigabyte per Second"; Mushtak and Lemire 2023 prove that it always decides);
 *  3. more digits, where the digits left out could matter: big integers compare the text with the middle between two
 *     neighbouring doubles. */
#include "base/digits.h"
#include "base/num.h"
#include "base/num_int.h"
#include <float.h>

_Static_assert(FLT_EVAL_METHOD == 0, "step 1 needs doubles that are computed as doubles");

#include "base/num_pow.inc.h"

enum {
    WORD_DIGITS = 19,    /* fit into 64 bits, whatever they are */
    DIGITS_MAX = 780,    /* 767 decide between any two doubles; the rest only whether it is zero */
    BIG_LIMBS = 64,      /* 4096 bits; about 2900 are needed */
    SCI_INFINITE = 310,  /* d.ddd * 10^310 is beyond range */
    SCI_ZERO = -326,     /* d.ddd * 10^-326 is below half of the smallest subnormal */
    EXP_CUT = 1000000000 /* exponents are cut here, far beyond both */
};

/* A number as text: value = word * 10^exp10, where word holds the first 19 significant digits. */
struct decimal {
    uint64_t word;
    int64_t exp10;
    const char *digits; /* first digit or point, for step 3 */
    const char *digits_end;
    bool negative;
    bool cut; /* further digits follow those in word */
};

/* ---- reading the text ------------------------------------------------------------------------------------------------- */

/* word overflowed: the first 19 significant digits again, and how many digits were left out. */
static void take_first_digits(struct decimal *d, int64_t digits_n)
{
    const char *p = d->digits;
    int64_t taken = 0;

    while (p < d->digits_end && (*p == '0' || *p == '.')) {
        digits_n -= *p == '0';
        p++;
    }
    if (digits_n <= WORD_DIGITS) {
        return; /* leading zeros only: word is right */
    }
    d->word = 0;
    for (; taken < WORD_DIGITS; p++) {
        if (*p != '.') {
            d->word = d->word * 10 + (unsigned)(*p - '0');
            taken++;
        }
    }
    d->exp10 += digits_n - WORD_DIGITS;
    d->cut = true;
}

/* e[+-]digits at p, or nothing. False if an 'e' is not followed by a number. */
static bool take_exponent(const char **at, const char *end, int64_t *exp10)
{
    const char *p = *at;
    bool negative = false;
    int64_t e = 0;

    if (p == end || (*p != 'e' && *p != 'E')) {
        return true;
    }
    p++;
    if (p < end && (*p == '+' || *p == '-')) {
        negative = *p++ == '-';
    }
    if (p == end || !num_is_digit(*p)) {
        return false;
    }
    for (; p < end && num_is_digit(*p); p++) {
        e = e < EXP_CUT ? e * 10 + (*p - '0') : e;
    }
    *exp10 += negative ? -e : e;
    *at = p;
    return true;
}

/* Reads a number at the start of s; strict is JSON's grammar. Returns the bytes read, 0 if there is none. */
static inline size_t scan(struct str s, bool strict, struct decimal *d)
{
    const char *p = s.p, *end = s.p + s.n, *start;
    int64_t int_n, frac_n = 0;

    *d = (struct decimal){ 0 };
    if (p < end && (*p == '-' || (*p == '+' && !strict))) {
        d->negative = *p++ == '-';
    }
    start = d->digits = p;
    p = num_take_digits(p, end, &d->word);
    int_n = p - start;
    if (strict && (int_n == 0 || (int_n > 1 && *start == '0'))) {
        return 0;
    }
    if (p < end && *p == '.') {
        start = ++p;
        p = num_take_digits(p, end, &d->word);
        frac_n = p - start;
        if (strict && frac_n == 0) {
            return 0;
        }
    }
    if (int_n + frac_n == 0) {
        return 0;
    }
    d->digits_end = p;
    d->exp10 = -frac_n;
    if (!take_exponent(&p, end, &d->exp10)) {
        return 0;
    }
    if (UNLIKELY(int_n + frac_n > WORD_DIGITS)) {
        take_first_digits(d, int_n + frac_n);
    }
    return (size_t)(p - s.p);
}

/* ---- step 2: one 128-bit product -------------------------------------------------------------------------------------- */

/* floor(log2(10^q)) + 63 for every q in range: 217706 / 2^16 is log2(10). */
static inline int32_t pow_exp2(int32_t q)
{
    return ((217706 * q) >> 16) + 63;
}

/* The upper 128 of the 192 bits of w (normalised) times the power; the lower table half only where it can matter for
 * 55 bits. */
static inline num_u128 product(uint64_t w, int64_t q)
{
    const struct num_pow *pow = &num_pows[q - POW_FIRST];
    uint64_t lo =
        pow->lo + (q < 0 && q >= -27); /* small negative powers are rounded up, for exact ties */
    num_u128 first = (num_u128)w * pow->hi;

    if (((uint64_t)(first >> 64) & 0x1ff) == 0x1ff) {
        first += (num_u128)w * lo >> 64;
    }
    return first;
}

/* The bits of w * 10^q, correctly rounded. */
static inline uint64_t round_product(uint64_t w, int64_t q)
{
    unsigned lz, upper;
    uint64_t hi, lo, m;
    int32_t exp;
    num_u128 p;

    if (w == 0 || q < POW_FIRST) {
        return 0;
    }
    if (q > 308) {
        return DBL_INFINITE;
    }
    lz = (unsigned)__builtin_clzll(w);
    p = product(w << lz, q);
    hi = (uint64_t)(p >> 64);
    lo = (uint64_t)p;
    upper = (unsigned)(hi >> 63);
    m = hi >> (upper + 9); /* 54 bits: 53 and one to round by */
    exp = pow_exp2((int32_t)q) + (int32_t)upper - (int32_t)lz + DBL_BIAS;
    if (UNLIKELY(exp <= 0)) {
        if (exp <= -63) {
            return 0;
        }
        m >>= 1 - exp;
        return (m + (m & 1)) >> 1; /* a carry into the hidden bit makes exponent 1, as it should */
    }
    /* An exact tie is rounded to even; ties only exist for these powers. */
    if (lo <= 1 && q >= -4 && q <= 23 && (m & 3) == 1 && m << (upper + 9) == hi) {
        m &= ~(uint64_t)1;
    }
    m = (m + (m & 1)) >> 1;
    if (m == DBL_HIDDEN << 1) {
        m = DBL_HIDDEN;
        exp++;
    }
    return exp >= DBL_EXP_ALL ? DBL_INFINITE
                              : (uint64_t)exp << DBL_FRACTION_BITS | (m & (DBL_HIDDEN - 1));
}

/* ---- step 3: exact comparison ----------------------------------------------------------------------------------------- */

struct big {
    uint64_t limb[BIG_LIMBS]; /* little end first */
    size_t n;                 /* without leading zeros */
};

static void big_mul_add(struct big *b, uint64_t m, uint64_t add)
{
    num_u128 carry = add;

    for (size_t i = 0; i < b->n; i++) {
        carry += (num_u128)b->limb[i] * m;
        b->limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    if (carry) {
        CHECK(b->n < BIG_LIMBS);
        b->limb[b->n++] = (uint64_t)carry;
    }
}

static void big_mul_pow5(struct big *b, uint64_t k)
{
    uint64_t m = 1;

    for (; k >= 27; k -= 27) {
        big_mul_add(b, 7450580596923828125u, 0); /* 5^27 */
    }
    while (k--) {
        m *= 5;
    }
    big_mul_add(b, m, 0);
}

static void big_shift(struct big *b, uint64_t bits)
{
    size_t limbs = (size_t)(bits / 64);

    big_mul_add(b, (uint64_t)1 << (bits % 64), 0);
    if (limbs && b->n) {
        CHECK(limbs <= BIG_LIMBS - b->n);
        memmove(b->limb + limbs, b->limb, b->n * sizeof(b->limb[0]));
        memset(b->limb, 0, limbs * sizeof(b->limb[0]));
        b->n += limbs;
    }
}

static int big_cmp(const struct big *a, const struct big *b)
{
    if (a->n != b->n) {
        return a->n < b->n ? -1 : 1;
    }
    for (size_t i = a->n; i-- > 0;) {
        if (a->limb[i] != b->limb[i]) {
            return a->limb[i] < b->limb[i] ? -1 : 1;
        }
    }
    return 0;
}

/* All digits (more than 19) as an integer times 10^*exp10. Of very long texts the tail becomes one digit 1 where it is not zero. */
static void big_of_digits(const struct decimal *d, struct big *b, int64_t *exp10)
{
    int64_t taken = 0;
    bool tail = false;

    b->n = 0;
    for (const char *p = d->digits; p < d->digits_end; p++) {
        unsigned digit = (unsigned)(*p - '0');

        if (*p == '.' || (taken == 0 && digit == 0)) {
            continue;
        }
        if (taken < DIGITS_MAX) {
            big_mul_add(b, 10, digit);
            taken++;
        } else {
            tail |= digit != 0;
        }
    }
    *exp10 = d->exp10 - (taken - WORD_DIGITS); /* that of word counts from its 19 digits */
    if (tail) {
        big_mul_add(b, 10, 1);
        --*exp10;
    }
}

/* The digits against the middle between the double of these bits and the next one up. */
static int cmp_with_middle(const struct big *digits, int64_t exp10, uint64_t bits)
{
    uint64_t exp = bits >> DBL_FRACTION_BITS, m = bits & (DBL_HIDDEN - 1);
    struct big left = *digits, right = { .n = 1 };
    int64_t shift; /* of left against right */

    m |= exp ? DBL_HIDDEN : 0;
    right.limb[0] = 2 * m + 1;
    shift = exp10 - ((exp ? (int64_t)exp - 1 : 0) + DBL_EXP2_MIN - 1);
    if (exp10 >= 0) {
        big_mul_pow5(&left, (uint64_t)exp10);
    } else {
        big_mul_pow5(&right, (uint64_t)-exp10);
    }
    if (shift >= 0) {
        big_shift(&left, (uint64_t)shift);
    } else {
        big_shift(&right, (uint64_t)-shift);
    }
    return big_cmp(&left, &right);
}

/* Raises the double of the first 19 digits, which is never above that of all digits, as far as the others ask for. */
static ATTR_COLD uint64_t round_exactly(const struct decimal *d, uint64_t bits)
{
    struct big digits;
    int64_t exp10;

    big_of_digits(d, &digits, &exp10);
    while (bits < DBL_INFINITE) {
        int c = cmp_with_middle(&digits, exp10, bits);

        if (c < 0 || (c == 0 && !(bits & 1))) {
            break;
        }
        bits++;
    }
    return bits;
}

/* ---- all steps -------------------------------------------------------------------------------------------------------- */

static const double exact_powers[] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static uint64_t round_cut(const struct decimal *d)
{
    uint64_t low, high;
    int64_t sci = d->exp10 + WORD_DIGITS - 1;

    if (sci >= SCI_INFINITE) {
        return DBL_INFINITE;
    }
    if (sci <= SCI_ZERO) {
        return 0;
    }
    /* The value lies between word and word + 1: where both give the same double, so does it. */
    low = round_product(d->word, d->exp10);
    high = round_product(d->word + 1, d->exp10);
    return low == high ? low : round_exactly(d, low);
}

static inline double to_double(const struct decimal *d)
{
    uint64_t bits;

    if (d->word <= (uint64_t)1 << 53 && d->exp10 >= -22 && d->exp10 <= 22 && !d->cut) {
        double v = (double)d->word;

        v = d->exp10 < 0 ? v / exact_powers[-d->exp10] : v * exact_powers[d->exp10];
        return d->negative ? -v : v;
    }
    bits = UNLIKELY(d->cut) ? round_cut(d) : round_product(d->word, d->exp10);
    return num_bits_double(bits | (d->negative ? DBL_SIGN : 0));
}

size_t num_scan_double(struct str s, double *out)
{
    struct decimal d;
    size_t n = s.n ? scan(s, true, &d) : 0;

    if (n) {
        *out = to_double(&d);
    }
    return n;
}

static bool parse_word(struct str s, double *out)
{
    bool negative = s.n && s.p[0] == '-';

    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        s = str_sub(s, 1, s.n - 1);
    }
    if (str_eq_nocase(s, S("nan"))) {
        *out = num_canonical_nan();
        return true;
    }
    if (str_eq_nocase(s, S("inf")) || str_eq_nocase(s, S("infinity"))) {
        *out = num_bits_double(DBL_INFINITE | (negative ? DBL_SIGN : 0));
        return true;
    }
    return false;
}

bool num_parse_double(struct str s, double *out)
{
    struct decimal d;

    if (s.n == 0) {
        return false;
    }
    if (scan(s, false, &d) == s.n) {
        *out = to_double(&d);
        return true;
    }
    return parse_word(s, out);
}
