/* core/checkpoint_name.c - which names are those of checkpoints. */
#include "base/buf.h"
#include "base/num.h"
#include "core/checkpoint.h"

enum unit { UNIT_STEP, UNIT_ITERATION, UNIT_EPOCH, UNIT_CHECKPOINT, UNITS };

struct number {
    enum unit unit;
    size_t from, to; /* of its digits */
    int64_t value;
};

static const struct {
    struct str word;
    enum unit unit;
} words[] = {
    { S_INIT("global_step"), UNIT_STEP },
    { S_INIT("steps"), UNIT_STEP },
    { S_INIT("step"), UNIT_STEP },
    { S_INIT("iteration"), UNIT_ITERATION },
    { S_INIT("iter"), UNIT_ITERATION },
    { S_INIT("epoch"), UNIT_EPOCH },
    { S_INIT("checkpoint"), UNIT_CHECKPOINT },
    { S_INIT("chkpt"), UNIT_CHECKPOINT },
    { S_INIT("ckpt"), UNIT_CHECKPOINT },
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ((unsigned char)c & 0x80);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number behind the word at `at`. */
static bool number_at(struct str s, size_t at, struct number *out)
{
    for (size_t w = 0; w < ARRAY_N(words); w++) {
        size_t i = at + words[w].word.n, from;

        if (!str_eq_nocase(str_sub(s, at, words[w].word.n), words[w].word)) {
            continue;
        }
        if (i < s.n && memchr("_-=.", s.p[i], 4)) {
            i++;
        }
        for (from = i; i < s.n && is_digit(s.p[i]);) {
            i++;
        }
        if (i == from || (i < s.n && is_letter(s.p[i])) ||
            !num_parse_i64(str_sub(s, from, i - from), &out->value)) {
            continue; /* a shorter word may stand here, too */
        }
        out->unit = words[w].unit;
        out->from = from;
        out->to = i;
        return true;
    }
    return false;
}

/* The next number behind a word at or after *at. */
static bool next_number(struct str s, size_t *at, struct number *out)
{
    for (size_t i = *at; i < s.n; i++) {
        if ((i == 0 || !is_letter(s.p[i - 1])) && number_at(s, i, out)) {
            *at = out->to;
            return true;
        }
    }
    *at = s.n;
    return false;
}

static struct str last_part(struct str path)
{
    size_t at = path.n;

    while (at > 0 && path.p[at - 1] != '/') {
        at--;
    }
    return str_sub(path, at, path.n);
}

static bool is_all_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_digit(s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

static bool holds_checkpoints(struct str folder)
{
    static const struct str names[] = { S_INIT("checkpoints"), S_INIT("checkpoint"),
                                        S_INIT("ckpts"), S_INIT("ckpt") };

    for (size_t i = 0; i < ARRAY_N(names); i++) {
        if (str_eq_nocase(last_part(folder), names[i])) {
            return true;
        }
    }
    return false;
}

bool checkpoint_name_parse(struct str folder, struct str name, struct checkpoint_name *out)
{
    struct number one, best[UNITS];
    bool has[UNITS] = { false };
    size_t at = 0;

    *out = (struct checkpoint_name){ 0 };
    while (next_number(name, &at, &one)) {
        best[one.unit] = one;
        has[one.unit] = true;
        out->stem_n = one.to;
    }
    for (int u = 0; u < UNITS && !out->has_step; u++) {
        out->has_step = has[u];
        out->step = has[u] ? best[u].value : 0;
    }
    if (has[UNIT_EPOCH]) {
        out->has_epoch = true;
        out->epoch = best[UNIT_EPOCH].value;
    }
    if (out->stem_n) {
        return true;
    }
    if (is_all_digits(name) && holds_checkpoints(folder) && num_parse_i64(name, &out->step)) {
        out->has_step = true;
        out->stem_n = name.n;
        return true;
    }
    if (str_starts(name, S("latest_checkpoint")) && str_eq_lit(last_part(folder), "checkpoints")) {
        out->stem_n = sizeof("latest_checkpoint") - 1;
        return true;
    }
    return false;
}

static void put_pattern(struct buf *b, struct str folder, struct str name)
{
    struct number one;
    size_t at = 0, done = 0;

    if (is_all_digits(name) && holds_checkpoints(folder)) {
        buf_put_u8(b, '*');
        return;
    }
    while (next_number(name, &at, &one)) {
        buf_put_str(b, str_sub(name, done, one.from - done));
        buf_put_u8(b, '*');
        done = one.to;
    }
    buf_put_str(b, str_sub(name, done, name.n));
}

struct str checkpoint_pattern(struct arena *a, struct str path)
{
    struct buf b = BUF_INIT(path.n * 2 + 16);
    struct str rest = path, part, folder = S(""), out;

    while (str_split(&rest, '/', &part)) {
        if (part.p != path.p) {
            buf_put_u8(&b, '/');
        }
        put_pattern(&b, folder, part);
        folder = part;
    }
    out = b.failed ? (struct str){ NULL, 0 } : arena_str(a, b.p ? buf_str(&b) : S(""));
    buf_release(&b);
    return out;
}
