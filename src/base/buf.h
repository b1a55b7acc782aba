/* base/buf.h - a growing byte buffer with a mandatory maximum.
 * Appends never return a status: the first failure (maximum hit or memory out) is remembered, later appends do nothing,
 * and buf_status() reports it once at the end. So encoders are straight-line code and nothing is half checked.
 * Ownership: buf_init() takes nothing; buf_release() frees the bytes; buf_take() hands them to the caller (mem_free).
 * Thread rule: one thread at a time. */
#ifndef CAIRN_BASE_BUF_H
#define CAIRN_BASE_BUF_H

#include "base/err.h"

struct buf {
    char *p;
    size_t n, cap, max;
    enum status failed; /* OK, ST_TOO_BIG or ST_NOMEM */
};

#define BUF_INIT(max_bytes)                                                                        \
    {                                                                                              \
        .max = (max_bytes)                                                                         \
    }

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b); /* zero object is fine; keeps max */
void buf_clear(struct buf *b);   /* empty, memory kept, failure forgotten */
/* Room for n more bytes at b->p + b->n; false (and failed is set) if there is none. */
bool buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_str(struct buf *b, struct str s);
void buf_put_cstr(struct buf *b, const char *c);
void buf_printf(struct buf *b, const char *fmt, ...) ATTR_FORMAT(2, 3);
static inline void buf_put_u8(struct buf *b, unsigned char c)
{
    if (LIKELY(b->n < b->cap) || buf_reserve(b, 1)) {
        b->p[b->n++] = (char)c;
    }
}
/* Little-endian. */
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* LEB128, and zigzag LEB128. */
void buf_put_varint(struct buf *b, uint64_t v);
void buf_put_zigzag(struct buf *b, int64_t v);
#define buf_put_lit(b, lit) buf_put((b), "" lit, sizeof(lit) - 1)
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){ b->p, b->n };
}
/* OK, or the remembered failure with a text that names `what` and the maximum. */
enum status buf_status(const struct buf *b, const char *what, struct err *err) ATTR_CHECK;
/* The bytes, owned by the caller (mem_free); the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *n);

/* Reading side: a bounded cursor over bytes; a read past the end sets `bad` and gives 0. */
struct rd {
    const unsigned char *p, *end;
    bool bad;
};
static inline struct rd rd_of(const void *p, size_t n)
{
    const unsigned char *from = p;

    return (struct rd){ from, n ? from + n : from, false }; /* NULL + 0 is not defined */
}
static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
uint64_t rd_varint(struct rd *r);
int64_t rd_zigzag(struct rd *r);
/* n bytes, borrowed from the input; bad if fewer are left. */
struct str rd_bytes(struct rd *r, uint64_t n);

#endif
