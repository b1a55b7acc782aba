/* base/buf.c - growth, numbers in little-endian and LEB128 form, and the bounded reader. */
#include "base/buf.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){ .max = max_bytes };
}

void buf_release(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = OK;
}

enum { HUGE_FROM = 8 << 20 }; /* answers of many megabytes are written from end to end */

bool buf_reserve(struct buf *b, size_t n)
{
    size_t need, cap;
    char *p;

    if (b->failed) {
        return false;
    }
    if (n <= b->cap - b->n) {
        return true;
    }
    if (n > b->max - MIN_OF(b->n, b->max)) {
        b->failed = ST_TOO_BIG;
        return false;
    }
    need = b->n + n;
    cap = b->cap ? b->cap : 256;
    cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    cap = MIN_OF(MAX_OF(cap, need), b->max);
    p = mem_realloc(b->p, cap);
    if (!p) {
        b->failed = ST_NOMEM;
        return false;
    }
    if (cap >= HUGE_FROM) {
        mem_huge(p, cap);
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n && buf_reserve(b, n)) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}

void buf_put_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

void buf_put_cstr(struct buf *b, const char *c)
{
    buf_put(b, c, strlen(c));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char text[512], *longer = NULL;
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    if (n > 0 && (size_t)n < sizeof(text)) {
        buf_put(b, text, (size_t)n);
    } else if (n > 0 && buf_reserve(b, (size_t)n)) {
        /* Through a copy: the terminating NUL might not fit below the maximum. */
        longer = mem_alloc((size_t)n + 1);
        if (longer) {
            vsnprintf(longer, (size_t)n + 1, fmt, again);
            buf_put(b, longer, (size_t)n);
        } else {
            b->failed = ST_NOMEM;
        }
    }
    va_end(again);
    va_end(ap);
    mem_free(longer);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    unsigned char x[2] = { (unsigned char)v, (unsigned char)(v >> 8) };

    buf_put(b, x, sizeof(x));
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    unsigned char x[4];

    for (int i = 0; i < 4; i++) {
        x[i] = (unsigned char)(v >> (8 * i));
    }
    buf_put(b, x, sizeof(x));
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    unsigned char x[8];

    for (int i = 0; i < 8; i++) {
        x[i] = (unsigned char)(v >> (8 * i));
    }
    buf_put(b, x, sizeof(x));
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    if (!buf_reserve(b, 10)) {
        return;
    }
    while (v >= 0x80) {
        b->p[b->n++] = (char)(v | 0x80);
        v >>= 7;
    }
    b->p[b->n++] = (char)v;
}

void buf_put_zigzag(struct buf *b, int64_t v)
{
    buf_put_varint(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

enum status buf_status(const struct buf *b, const char *what, struct err *err)
{
    if (b->failed == ST_TOO_BIG) {
        return err_set(err, ST_TOO_BIG, "%s exceeds %zu bytes", what, b->max);
    }
    if (b->failed) {
        return err_nomem(err);
    }
    return OK;
}

char *buf_take(struct buf *b, size_t *n)
{
    char *p = b->p;

    *n = b->n;
    *b = (struct buf){ .max = b->max };
    return p;
}

static bool rd_has(struct rd *r, uint64_t n)
{
    if (r->bad || n > (uint64_t)(r->end - r->p)) {
        r->bad = true;
        return false;
    }
    return true;
}

static uint64_t rd_le(struct rd *r, unsigned n)
{
    uint64_t v = 0;

    if (!rd_has(r, n)) {
        return 0;
    }
    for (unsigned i = 0; i < n; i++) {
        v |= (uint64_t)r->p[i] << (8 * i);
    }
    r->p += n;
    return v;
}

uint8_t rd_u8(struct rd *r)
{
    return (uint8_t)rd_le(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
    return (uint16_t)rd_le(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
    return (uint32_t)rd_le(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
    return rd_le(r, 8);
}

uint64_t rd_varint(struct rd *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned char c;

        if (!rd_has(r, 1)) {
            return 0;
        }
        c = *r->p++;
        if (shift == 63 && c > 1) {
            break;
        }
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

int64_t rd_zigzag(struct rd *r)
{
    uint64_t v = rd_varint(r);

    return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

struct str rd_bytes(struct rd *r, uint64_t n)
{
    struct str s = { NULL, 0 };

    if (rd_has(r, n)) {
        s = (struct str){ (const char *)r->p, (size_t)n };
        r->p += n;
    }
    return s;
}
