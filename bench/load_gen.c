/* bench/load_gen.c - the data of the measurements, the same in every run.
 *
 * A value is a hash of (run, metric, step), shaped by its kind. Printing is what costs: a measurement at a million points
 * a second would measure snprintf(). So 17 digits are made by one exact multiplication in 128 bits. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { NOISE_BITS = 53, COSINE_STEPS = 100000 };

__extension__ typedef unsigned __int128 uint128;

static const int64_t EPOCH_MS = 1790000000000;

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

static uint64_t draw(uint64_t what, int64_t run, int key, int64_t step)
{
    return mix(mix(mix(what) ^ (uint64_t)run) + ((uint64_t)key << 48) + (uint64_t)step);
}

/* Above 0, below 1, with all bits a double has. */
static double unit(uint64_t h)
{
    double u = (double)(h >> (64 - NOISE_BITS)) / (double)(1ULL << NOISE_BITS);

    return u < 1e-8 ? 1e-8 : u;
}

int kind_find(const char *name)
{
    static const char *const names[] = {
        "noise", "loss", "accuracy", "cosine", "constant", "mixed"
    };

    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
        if (strcmp(names[i], name) == 0) return i;
    }
    return -1;
}

static enum kind kind_of(enum kind kind, int key)
{
    return kind == KIND_MIXED ? (enum kind)(key % (int)KIND_MIXED) : kind;
}

/* Accuracy in ten thousandths. */
static int accuracy(int64_t run, int key, int64_t step)
{
    double rise = 0.9 - 0.6 / (1.0 + (double)step / 200.0);

    return (int)((rise + 0.05 * unit(draw(3, run, key, step))) * 10000.0);
}

double gen_value(enum kind kind, int64_t run, int key, int64_t step)
{
    double u;

    switch (kind_of(kind, key)) {
    case KIND_LOSS:
        u = 0.2 + 2.0 / (1.0 + (double)step / 500.0) + 0.1 * unit(draw(2, run, key, step));
        return (double)(float)u;
    case KIND_ACCURACY: return (double)accuracy(run, key, step) / 10000.0;
    case KIND_COSINE:
        u = (double)((step + run * 977) % COSINE_STEPS) / (double)COSINE_STEPS;
        return 1e-5 + (5e-4 + 1e-5 * key) * (1.0 + cos(3.14159265358979323846 * u));
    case KIND_CONSTANT: return 0.0003;
    case KIND_NOISE:
    case KIND_MIXED:
    default: return unit(draw(1, run, key, step));
    }
}

double gen_uniform(int64_t run, int key)
{
    return unit(draw(5, run, key, 0));
}

int gen_model(int64_t run)
{
    return (int)(draw(6, run, 0, 0) % 10);
}

int64_t gen_time_ms(int64_t run, int64_t step)
{
    return EPOCH_MS + run * 7 + step * 1000 + (int64_t)(draw(4, run, 0, step) % 40);
}

const char *gen_key(int key)
{
    static char names[KEYS][24];

    if (!names[key][0]) snprintf(names[key], sizeof(names[key]), "train/layer_%02d/loss", key);
    return names[key];
}

const char *gen_store_key(int key)
{
    static char names[KEYS][8];

    if (key == 0) return "loss";
    if (key == 1) return "acc";
    if (!names[key][0]) snprintf(names[key], sizeof(names[key]), "m_%02d", key);
    return names[key];
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

static size_t put_digits(char *out, uint64_t v, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return (size_t)digits;
}

static size_t put_int(char *out, int64_t v)
{
    int digits = 1;

    for (int64_t rest = v; rest >= 10; rest /= 10) {
        digits++;
    }
    return put_digits(out, (uint64_t)v, digits);
}

static int bits_of(uint128 v)
{
    uint64_t high = (uint64_t)(v >> 64), low = (uint64_t)v;

    if (high) return 128 - __builtin_clzll(high);
    return low ? 64 - __builtin_clzll(low) : 0;
}

/* 17 digits of v, rounded half to even: v * 10^(17 - point) in exact arithmetic. False where 128 bits do not hold it. */
static bool digits17(double v, int point, uint64_t *out)
{
    uint128 scale = 1, product, half;
    int exponent, shift;
    uint64_t m = (uint64_t)ldexp(frexp(v, &exponent), 53);

    exponent -= 53;
    shift = __builtin_ctzll(m);
    m >>= shift;
    exponent += shift;
    for (int i = point; i < 17; i++) {
        scale *= 10;
    }
    if (exponent >= 0 || exponent <= -127 || bits_of(scale) + bits_of(m) > 127) return false;
    product = scale * m;
    half = (uint128)1 << (-exponent - 1);
    *out = (uint64_t)(product >> -exponent);
    product &= (half << 1) - 1;
    if (product > half || (product == half && (*out & 1))) (*out)++;
    return true;
}

size_t gen_print(char *out, double v)
{
    static const double powers[] = { 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100 };
    uint64_t d = 0;
    char digits[17], *o = out;
    int point = -8; /* v < 10^point */

    if (!(v >= 1e-8 && v < 1000.0)) return (size_t)snprintf(out, NUMBER_MAX, "%.17g", v);
    for (size_t i = 0; i < sizeof(powers) / sizeof(powers[0]) && v >= powers[i]; i++) {
        point = (int)i - 7;
    }
    if (!digits17(v, point, &d) || d >= 100000000000000000U)
        return (size_t)snprintf(out, NUMBER_MAX, "%.17g", v);
    put_digits(digits, d, 17);
    if (point <= 0) {
        *o++ = '0';
        *o++ = '.';
        for (int i = point; i < 0; i++) {
            *o++ = '0';
        }
        memcpy(o, digits, sizeof(digits));
        return (size_t)(o - out) + sizeof(digits);
    }
    memcpy(o, digits, (size_t)point);
    o += point;
    *o++ = '.';
    memcpy(o, digits + point, sizeof(digits) - (size_t)point);
    return sizeof(digits) + 1;
}

size_t gen_print_value(char *out, enum kind kind, int64_t run, int key, int64_t step)
{
    switch (kind_of(kind, key)) {
    case KIND_ACCURACY:
        memcpy(out, "0.", 2);
        return 2 + put_digits(out + 2, (uint64_t)accuracy(run, key, step), 4);
    case KIND_CONSTANT: memcpy(out, "0.0003", 6); return 6;
    case KIND_NOISE:
    case KIND_LOSS:
    case KIND_COSINE:
    case KIND_MIXED:
    default: return gen_print(out, gen_value(kind, run, key, step));
    }
}

bool gen_check(int64_t n)
{
    char ours[NUMBER_MAX], theirs[NUMBER_MAX];

    for (int64_t i = 0; i < n; i++) {
        for (int kind = KIND_NOISE; kind < KIND_MIXED; kind++) {
            double v = gen_value((enum kind)kind, i % 7, 0, i);
            size_t len = gen_print_value(ours, (enum kind)kind, i % 7, 0, i);
            ours[len] = '\0';
            snprintf(theirs, sizeof(theirs), "%.17g", v);
            if (strtod(ours, NULL) != strtod(theirs, NULL)) {
                fprintf(stderr, "kind %d, step %" PRId64 ": %s is not %s\n", kind, i, ours, theirs);
                return false;
            }
        }
    }
    return true;
}

/* ---- bodies -------------------------------------------------------------------------------------------------- */

static void point_end(struct buf *b, int64_t ms, int64_t step)
{
    char text[64], *o = text;

    memcpy(o, ",\"timestamp\":", 13);
    o += 13;
    o += put_int(o, ms);
    memcpy(o, ",\"step\":", 8);
    o += 8;
    o += put_int(o, step);
    *o++ = '}';
    buf_add(b, text, (size_t)(o - text));
}

void gen_metric(struct buf *b, const char *id, enum kind kind, int64_t run, int64_t step)
{
    char number[NUMBER_MAX];

    buf_text(b, "{\"run_id\":\"");
    buf_text(b, id);
    buf_text(b, "\",\"key\":\"");
    buf_text(b, gen_key(0));
    buf_text(b, "\",\"value\":");
    buf_add(b, number, gen_print_value(number, kind, run, 0, step));
    point_end(b, gen_time_ms(run, step), step);
}

void gen_batch(struct buf *b, const char *id, enum kind kind, int64_t run, int64_t step, int steps,
               int keys)
{
    static char heads[KEYS][48];
    static size_t lengths[KEYS];
    char number[NUMBER_MAX];

    for (int k = 0; k < KEYS && !lengths[k]; k++) {
        lengths[k] =
            (size_t)snprintf(heads[k], sizeof(heads[k]), "{\"key\":\"%s\",\"value\":", gen_key(k));
    }
    buf_room(b, (size_t)(keys * steps) * 128 + 256);
    buf_text(b, "{\"run_id\":\"");
    buf_text(b, id);
    buf_text(b, "\",\"metrics\":[");
    for (int64_t s = step; s < step + steps; s++) {
        int64_t ms = gen_time_ms(run, s);
        for (int k = 0; k < keys; k++) {
            if (k > 0 || s > step) buf_add(b, ",", 1);
            buf_add(b, heads[k], lengths[k]);
            buf_add(b, number, gen_print_value(number, kind, run, k, s));
            point_end(b, ms, s);
        }
    }
    buf_text(b, "]}");
}

void gen_create(struct buf *b, const char *experiment, int64_t run, bool search_store)
{
    buf_printf(b,
               "{\"experiment_id\":\"%s\",\"start_time\":%" PRId64 ",\"run_name\":\"run-%" PRId64
               "\",\"tags\":[{\"key\":\"mlflow.user\",\"value\":\"user-%" PRId64 "\"}",
               experiment, EPOCH_MS + run, run, run % 20);
    if (search_store) {
        buf_printf(b,
                   ",{\"key\":\"team\",\"value\":\"team-%" PRId64
                   "\"},{\"key\":\"commit\",\"value\":\"%016" PRIx64 "\"}",
                   run % 7, draw(8, run, 0, 0));
    }
    buf_text(b, "]}");
}

void gen_fill(struct buf *b, const char *id, int64_t run)
{
    char number[NUMBER_MAX];

    buf_text(b, "{\"run_id\":\"");
    buf_text(b, id);
    buf_text(b, "\",\"metrics\":[");
    for (int k = 0; k < KEYS; k++) {
        buf_text(b, k ? ",{\"key\":\"" : "{\"key\":\"");
        buf_text(b, gen_store_key(k));
        buf_text(b, "\",\"value\":");
        buf_add(b, number, gen_print(number, gen_uniform(run, k)));
        point_end(b, EPOCH_MS + run, 0);
    }
    buf_printf(b, "],\"params\":[{\"key\":\"model\",\"value\":\"x%d\"}", gen_model(run));
    for (int k = 1; k < KEYS; k++) {
        char text[64], *o = text;
        memcpy(o, ",{\"key\":\"p_", 11);
        o += 11;
        o += put_digits(o, (uint64_t)k, 2);
        memcpy(o, "\",\"value\":\"v", 12);
        o += 12;
        o += put_int(o, (int64_t)(draw(7, run, k, 0) % 100));
        memcpy(o, "\"}", 2);
        buf_add(b, text, (size_t)(o + 2 - text));
    }
    buf_text(b, "]}");
}
