/* core/search/text.c - case folding by table, and LIKE. */
#include "core/search/text.h"
#include "base/utf8.h"

struct fold_run {
    uint32_t first, last;
    uint32_t stride;
    int32_t delta;
};

#include "core/search/fold_table.inc.h"

uint32_t fold_char(uint32_t cp)
{
    size_t low = 0, high = ARRAY_N(fold_runs);

    if (cp < 0x80) {
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    }
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (fold_runs[mid].last < cp) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == ARRAY_N(fold_runs) || cp < fold_runs[low].first ||
        (cp - fold_runs[low].first) % fold_runs[low].stride != 0) {
        return cp;
    }
    return (uint32_t)((int64_t)cp + fold_runs[low].delta);
}

void fold_each(uint32_t first, uint32_t last, void (*fn)(void *ctx, uint32_t upper, uint32_t lower),
               void *ctx)
{
    for (size_t i = 0; i < ARRAY_N(fold_runs); i++) {
        const struct fold_run *r = &fold_runs[i];

        for (uint32_t up = r->first; up <= r->last; up += r->stride) {
            uint32_t low = (uint32_t)((int64_t)up + r->delta);

            if ((up >= first && up <= last) || (low >= first && low <= last)) {
                fn(ctx, up, low);
            }
        }
    }
}

/* One character of each text, compared. Advances both. */
static bool same_char(struct str text, size_t *t, struct str pattern, size_t *p, bool fold)
{
    uint32_t a, b;

    if (!fold) {
        return text.p[(*t)++] == pattern.p[(*p)++];
    }
    a = utf8_next(text, t);
    b = utf8_next(pattern, p);
    return a == b || fold_char(a) == fold_char(b);
}

/* Where a text can go on that a % takes and that the pattern's rest follows: at the first byte of that, which begins a character.
 * SIZE_MAX: nowhere. */
static size_t like_next(struct str text, size_t t, struct str pattern, size_t p, bool fold)
{
    const char *hit;

    if (fold || t >= text.n || pattern.p[p] == '_' || pattern.p[p] == '%' ||
        ((unsigned char)pattern.p[p] & 0xc0) == 0x80) {
        return t;
    }
    hit = memchr(text.p + t, pattern.p[p], text.n - t);
    return hit ? (size_t)(hit - text.p) : SIZE_MAX;
}

bool like_match(struct str text, struct str pattern, bool fold)
{
    size_t t = 0, p = 0, star = SIZE_MAX, star_text = 0;

    while (t < text.n || p < pattern.n) {
        if (p < pattern.n && pattern.p[p] == '%') {
            star = ++p;
            if (p == pattern.n) {
                return true;
            }
            star_text = t = like_next(text, t, pattern, p, fold);
            if (t == SIZE_MAX) {
                return false;
            }
            continue;
        }
        if (p < pattern.n && t < text.n) {
            if (pattern.p[p] == '_') {
                utf8_next(text, &t);
                p++;
                continue;
            }
            if (same_char(text, &t, pattern, &p, fold)) {
                continue;
            }
        }
        if (star == SIZE_MAX || star_text >= text.n) {
            return false;
        }
        utf8_next(text, &star_text); /* the last % takes one character more, at least */
        star_text = t = like_next(text, star_text, pattern, star, fold);
        p = star;
        if (t == SIZE_MAX) {
            return false;
        }
    }
    return true;
}
