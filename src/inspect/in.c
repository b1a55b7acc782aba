/* inspect/in.c - bytes by offset through one window, and bytes in order, unpacked on the way. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "inspect/inspect_int.h"
#include <inttypes.h>
#include <zlib.h>

/* ---- budgets ------------------------------------------------------------------------------------------------------------------ */

static enum status over_time(struct insp *x, struct err *err)
{
    if (clock_mono_ns() < x->deadline_ns) {
        return OK;
    }
    return err_set(err, ST_TOO_BIG, "stopped after %" PRId64 " ms", x->limits->time_ms);
}

enum status insp_bytes(struct insp *x, uint64_t n, struct err *err)
{
    x->bytes += n;
    if (n > x->limits->bytes_max || x->bytes > x->limits->bytes_max) {
        return err_set(err, ST_TOO_BIG, "stopped after %" PRIu64 " bytes", x->limits->bytes_max);
    }
    return over_time(x, err);
}

enum status insp_item(struct insp *x, struct err *err)
{
    if (++x->items > x->limits->items_max) {
        return err_set(err, ST_TOO_BIG, "stopped after %" PRIu64 " items", x->limits->items_max);
    }
    return x->items % 4096 == 0 ? over_time(x, err) : OK;
}

/* ---- by offset ---------------------------------------------------------------------------------------------------------------- */

static enum status bytes_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *err)
{
    const struct str *s = ctx;

    (void)err;
    if (n) {
        memcpy(p, s->p + offset, n);
    }
    return OK;
}

struct inspect_source inspect_bytes(struct str *bytes)
{
    return (struct inspect_source){ .size = bytes->n, .read = bytes_read, .ctx = bytes };
}

struct in in_mem(struct insp *x, struct str bytes)
{
    return (struct in){ .x = x,
                        .mem = (const unsigned char *)(bytes.p ? bytes.p : ""),
                        .size = bytes.n };
}

struct in in_part(const struct in *in, uint64_t from, uint64_t n)
{
    struct in out = *in;

    out.base = in->base + from;
    out.size = n;
    return out;
}

static enum status beyond(const struct in *in, uint64_t at, uint64_t n, struct err *err)
{
    return err_set(err, ST_CORRUPT,
                   "ends at byte %" PRIu64 ", but %" PRIu64 " bytes at %" PRIu64 " belong to it",
                   in->size, n, at);
}

static enum status source_read(struct insp *x, uint64_t at, void *p, size_t n, struct err *err)
{
    enum status st = insp_bytes(x, n, err);

    return st ? st : x->source->read(x->source->ctx, at, p, n, err);
}

enum status in_peek(struct in *in, uint64_t at, size_t n, const unsigned char **p, struct err *err)
{
    struct insp *x = in->x;
    uint64_t from = in->base + at, left;
    enum status st;

    if (n > in->size || at > in->size - n) {
        return beyond(in, at, n, err);
    }
    if (in->mem) {
        *p = in->mem + from;
        return OK;
    }
    if (n > IN_WINDOW) {
        return err_set(err, ST_TOO_BIG, "%zu bytes at once", n);
    }
    if (from < x->window_at || from - x->window_at > x->window_n ||
        x->window_n - (from - x->window_at) < n) {
        left = x->source->size - from;
        x->window_n = 0;
        st = source_read(x, from, x->window, (size_t)MIN_OF(left, (uint64_t)IN_WINDOW), err);
        if (st) return st;
        x->window_at = from;
        x->window_n = (size_t)MIN_OF(left, (uint64_t)IN_WINDOW);
    }
    *p = x->window + (from - x->window_at);
    return OK;
}

enum status in_read(struct in *in, uint64_t at, void *p, size_t n, struct err *err)
{
    const unsigned char *from;
    enum status st;

    if (n > in->size || at > in->size - n) {
        return beyond(in, at, n, err);
    }
    if (!in->mem && n > IN_WINDOW) {
        return source_read(in->x, in->base + at, p, n, err);
    }
    st = in_peek(in, at, n, &from, err);
    if (!st && n) {
        memcpy(p, from, n);
    }
    return st;
}

enum status in_u8(struct in *in, uint64_t at, uint8_t *out, struct err *err)
{
    return in_read(in, at, out, 1, err);
}

enum status in_u16(struct in *in, uint64_t at, uint16_t *out, struct err *err)
{
    const unsigned char *p;
    enum status st = in_peek(in, at, 2, &p, err);

    *out = st ? 0 : le16(p);
    return st;
}

enum status in_u32(struct in *in, uint64_t at, uint32_t *out, struct err *err)
{
    const unsigned char *p;
    enum status st = in_peek(in, at, 4, &p, err);

    *out = st ? 0 : le32(p);
    return st;
}

enum status in_u64(struct in *in, uint64_t at, uint64_t *out, struct err *err)
{
    const unsigned char *p;
    enum status st = in_peek(in, at, 8, &p, err);

    *out = st ? 0 : le64(p);
    return st;
}

enum status in_text(struct in *in, uint64_t at, uint64_t n, size_t max, struct str *out,
                    struct err *err)
{
    const unsigned char *p;
    size_t keep = (size_t)MIN_OF(n, (uint64_t)MIN_OF(max, (size_t)IN_WINDOW));
    enum status st;

    *out = S("");
    if (n > in->size || at > in->size - n) {
        return beyond(in, at, n, err);
    }
    st = in_peek(in, at, keep, &p, err);
    if (!st) {
        *out = insp_text(in->x, str_of(p, keep), max);
        st = out->p ? OK : err_nomem(err);
    }
    return st;
}

/* ---- in order ------------------------------------------------------------------------------------------------------------------ */

static void *z_alloc(void *ctx, unsigned n, unsigned size)
{
    (void)ctx;
    return mem_zalloc(n, size);
}

static void z_free(void *ctx, void *p)
{
    (void)ctx;
    mem_free(p);
}

enum status flow_begin(struct flow *f, const struct in *in, enum flow_kind kind, struct err *err)
{
    z_stream *z;

    *f = (struct flow){ .in = *in };
    if (kind == FLOW_RAW) {
        return OK;
    }
    z = mem_zalloc(1, sizeof(*z));
    f->out = mem_alloc(FLOW_WINDOW);
    if (!z || !f->out) {
        mem_free(z);
        mem_free(f->out);
        f->out = NULL;
        return err_nomem(err);
    }
    z->zalloc = z_alloc;
    z->zfree = z_free;
    if (inflateInit2(z, kind == FLOW_DEFLATE ? -MAX_WBITS : 32 + MAX_WBITS) != Z_OK) {
        mem_free(z);
        mem_free(f->out);
        f->out = NULL;
        return err_nomem(err);
    }
    f->z = z;
    return OK;
}

void flow_release(struct flow *f)
{
    if (f->z) {
        inflateEnd(f->z);
        mem_free(f->z);
        f->z = NULL;
    }
    mem_free(f->out);
    f->out = NULL;
}

enum status flow_short(const struct flow *f, struct err *err)
{
    return err_set(err, ST_CORRUPT, "ends at byte %" PRIu64 ", in the middle", f->pos);
}

/* One call of the unpacker into the room behind what is there. */
static enum status unpack(struct flow *f, struct err *err)
{
    z_stream *z = f->z;
    const unsigned char *p = NULL;
    size_t n = (size_t)MIN_OF(f->in.size - f->at, (uint64_t)IN_WINDOW), before = f->out_n;
    enum status st = n ? in_peek(&f->in, f->at, n, &p, err) : OK;
    int rc;

    if (st) return st;
    z->next_in = (unsigned char *)(uintptr_t)p;
    z->avail_in = (unsigned)n;
    z->next_out = f->out + f->out_n;
    z->avail_out = (unsigned)(FLOW_WINDOW - f->out_n);
    rc = inflate(z, Z_NO_FLUSH);
    f->at += n - z->avail_in;
    f->out_n = FLOW_WINDOW - z->avail_out;
    st = insp_bytes(f->in.x, f->out_n - before, err);
    if (st) return st;
    if (rc == Z_STREAM_END) {
        f->ended = true;
        return OK;
    }
    if (rc == Z_MEM_ERROR) {
        return err_nomem(err);
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
        return err_set(err, ST_CORRUPT, "the packed bytes are damaged after %" PRIu64 " bytes",
                       f->pos + f->out_n - f->out_at);
    }
    if (n == 0 && f->out_n == before) {
        f->ended = true; /* cut off: what is there is given */
    }
    return OK;
}

enum status flow_peek(struct flow *f, size_t n, const unsigned char **p, size_t *got,
                      struct err *err)
{
    enum status st = OK;

    n = MIN_OF(n, (size_t)IN_WINDOW);
    if (!f->z) {
        *got = (size_t)MIN_OF((uint64_t)n, f->in.size - f->at);
        *p = (const unsigned char *)"";
        return *got ? in_peek(&f->in, f->at, *got, p, err) : OK;
    }
    if (f->out_n - f->out_at < n && f->out_at) {
        memmove(f->out, f->out + f->out_at, f->out_n - f->out_at);
        f->out_n -= f->out_at;
        f->out_at = 0;
    }
    while (!st && !f->ended && f->out_n - f->out_at < n) {
        st = unpack(f, err);
    }
    *got = MIN_OF(n, f->out_n - f->out_at);
    *p = f->out + f->out_at;
    return st;
}

void flow_take(struct flow *f, size_t n)
{
    if (f->has_crc && n) {
        const unsigned char *p = f->z ? f->out + f->out_at
                                 : f->in.mem
                                     ? f->in.mem + f->in.base + f->at
                                     : f->in.x->window + (f->in.base + f->at - f->in.x->window_at);

        f->crc = (uint32_t)crc32(f->crc, p, (unsigned)n);
    }
    if (f->z) {
        f->out_at += n;
    } else {
        f->at += n;
    }
    f->pos += n;
}

enum status flow_read(struct flow *f, void *p, size_t n, struct err *err)
{
    unsigned char *to = p;
    const unsigned char *from;
    enum status st;
    size_t got;

    while (n) {
        st = flow_peek(f, n, &from, &got, err);
        if (st) return st;
        if (!got) {
            return flow_short(f, err);
        }
        memcpy(to, from, got);
        flow_take(f, got);
        to += got;
        n -= got;
    }
    return OK;
}

enum status flow_skip(struct flow *f, uint64_t n, struct err *err)
{
    const unsigned char *from;
    enum status st;
    size_t got;

    if (!f->z) {
        if (n > f->in.size - f->at) {
            f->at = f->in.size;
            return flow_short(f, err);
        }
        f->has_crc = f->has_crc && n == 0;
        f->at += n;
        f->pos += n;
        return OK;
    }
    while (n) {
        st = flow_peek(f, (size_t)MIN_OF(n, (uint64_t)IN_WINDOW), &from, &got, err);
        if (st) return st;
        if (!got) {
            return flow_short(f, err);
        }
        flow_take(f, got);
        n -= got;
    }
    return OK;
}
