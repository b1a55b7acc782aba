/* net/coding.c - zlib and libzstd behind one small interface. */
#include "net/coding.h"
#include "base/mem.h"
#include "base/num.h"
#include <zlib.h>
#include <zstd.h>

enum { ZSTD_WINDOW_LOG_MAX = 23, GZIP_LEVEL = 1, ZSTD_LEVEL = 1 };

struct decoder {
    enum coding coding;
    z_stream z;
    ZSTD_DStream *zstd;
    bool started, at_end;
};

static const char *const names[] = { "identity", "gzip", "deflate", "zstd", "" };

const char *coding_name(enum coding c)
{
    return names[c];
}

enum coding coding_parse(struct str s)
{
    s = str_trim(s);
    if (s.n == 0) {
        return CODING_IDENTITY;
    }
    for (unsigned i = 0; i < CODING_UNKNOWN; i++) {
        if (str_eq_nocase(s, str_cstr(names[i]))) {
            return (enum coding)i;
        }
    }
    return str_eq_nocase(s, S("x-gzip")) ? CODING_GZIP : CODING_UNKNOWN;
}

/* ";q=0", ";q=0.0", ";q=0.000" refuse. */
static bool refused(struct str params)
{
    size_t q = str_find(params, S("q="));

    if (q == SIZE_MAX) {
        return false;
    }
    params = str_trim(str_sub(params, q + 2, SIZE_MAX));
    for (size_t i = 0; i < params.n; i++) {
        if (params.p[i] != '0' && params.p[i] != '.') {
            return false;
        }
    }
    return params.n > 0;
}

enum coding coding_choose(struct str accept)
{
    bool gzip = false, zstd = false;
    struct str part;

    while (str_split(&accept, ',', &part)) {
        size_t semi = str_find_byte(part, ';', 0);
        struct str name = str_trim(str_sub(part, 0, semi));
        bool takes = semi == SIZE_MAX || !refused(str_sub(part, semi, SIZE_MAX));

        if (str_eq_nocase(name, S("gzip"))) {
            gzip = takes;
        } else if (str_eq_nocase(name, S("zstd"))) {
            zstd = takes;
        }
    }
    if (zstd) {
        return CODING_ZSTD;
    }
    return gzip ? CODING_GZIP : CODING_IDENTITY;
}

bool coding_worthwhile(struct str type)
{
    static const char *const types[] = { "application/json",       "application/javascript",
                                         "application/xml",        "application/yaml",
                                         "application/x-ndjson",   "application/x-yaml",
                                         "application/x-protobuf", "application/wasm",
                                         "image/svg+xml" };

    type = str_trim(str_sub(type, 0, str_find_byte(type, ';', 0)));
    if (str_starts(type, S("text/")) || str_ends(type, S("+json")) || str_ends(type, S("+xml"))) {
        return !str_eq_lit(type, "text/event-stream");
    }
    for (size_t i = 0; i < ARRAY_N(types); i++) {
        if (str_eq(type, str_cstr(types[i]))) {
            return true;
        }
    }
    return false;
}

static void *z_alloc(void *ctx, unsigned n, unsigned size)
{
    (void)ctx;
    return mem_zalloc(n, size);
}

static void z_release(void *ctx, void *p)
{
    (void)ctx;
    mem_free(p);
}

enum status decoder_new(struct decoder **out, enum coding c)
{
    struct decoder *d = mem_zalloc(1, sizeof(*d));

    *out = NULL;
    if (!d) {
        return ST_NOMEM;
    }
    d->coding = c;
    if (c == CODING_ZSTD) {
        d->zstd = ZSTD_createDStream();
        if (!d->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
                                                            ZSTD_WINDOW_LOG_MAX))) {
            decoder_free(d);
            return ST_NOMEM;
        }
    } else {
        d->z.zalloc = z_alloc;
        d->z.zfree = z_release;
        /* 16: a gzip header and trailer are required. */
        if (inflateInit2(&d->z, c == CODING_GZIP ? 15 + 16 : 15) != Z_OK) {
            mem_free(d);
            return ST_NOMEM;
        }
    }
    *out = d;
    return OK;
}

void decoder_free(struct decoder *d)
{
    if (d) {
        if (d->coding == CODING_ZSTD) {
            (void)ZSTD_freeDStream(d->zstd);
        } else {
            (void)inflateEnd(&d->z);
        }
        mem_free(d);
    }
}

bool decoder_complete(const struct decoder *d)
{
    return d->at_end;
}

static enum status run_zstd(struct decoder *d, struct str *in, char *out, size_t cap, size_t *n,
                            struct err *err)
{
    ZSTD_inBuffer ib = { in->p, in->n, 0 };
    ZSTD_outBuffer ob = { out, cap, 0 };
    size_t rc;

    if (d->at_end && in->n == 0) {
        return OK; /* another call would wait for a further frame */
    }
    rc = ZSTD_decompressStream(d->zstd, &ob, &ib);

    if (ZSTD_isError(rc)) {
        return err_set(err, ST_BAD_REQUEST, "the body is not valid zstd: %s",
                       ZSTD_getErrorName(rc));
    }
    d->at_end = rc == 0;
    *in = str_sub(*in, ib.pos, SIZE_MAX);
    *n = ob.pos;
    return OK;
}

enum status decoder_run(struct decoder *d, struct str *in, char *out, size_t cap, size_t *n,
                        struct err *err)
{
    size_t take = MIN_OF(in->n, (size_t)1 << 30);
    int rc;

    *n = 0;
    if (d->coding == CODING_ZSTD) {
        return run_zstd(d, in, out, cap, n, err);
    }
    if (d->at_end) {
        if (in->n == 0) {
            return OK;
        }
        if (d->coding != CODING_GZIP || inflateReset(&d->z) != Z_OK) {
            return err_set(err, ST_BAD_REQUEST, "bytes follow the end of the compressed body");
        }
        d->at_end = false; /* a further gzip member */
    }
    d->z.next_in = (Bytef *)(uintptr_t)in->p;
    d->z.avail_in = (uInt)take;
    d->z.next_out = (Bytef *)out;
    d->z.avail_out = (uInt)MIN_OF(cap, (size_t)1 << 30);
    rc = inflate(&d->z, Z_NO_FLUSH);
    *n = (size_t)((char *)d->z.next_out - out);
    *in = str_sub(*in, take - d->z.avail_in, SIZE_MAX);
    if (rc == Z_STREAM_END) {
        d->at_end = true;
        return OK;
    }
    if (rc == Z_MEM_ERROR) {
        return err_nomem(err);
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
        return err_set(err, ST_BAD_REQUEST, "the body is not valid %s", coding_name(d->coding));
    }
    return OK;
}

enum status coding_compress(enum coding c, struct str in, struct buf *out, struct err *err)
{
    if (c == CODING_ZSTD) {
        size_t cap = ZSTD_compressBound(in.n), rc;

        if (!buf_reserve(out, cap)) {
            return buf_status(out, "compressed body", err);
        }
        rc = ZSTD_compress(out->p + out->n, cap, in.p, in.n, ZSTD_LEVEL);
        if (ZSTD_isError(rc)) {
            return err_nomem(err);
        }
        out->n += rc;
        return OK;
    }
    z_stream z = { .zalloc = z_alloc, .zfree = z_release };
    enum status st = OK;
    size_t cap;

    if (in.n > UINT32_MAX / 2 ||
        deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return err_nomem(err);
    }
    cap = deflateBound(&z, (uLong)in.n);
    if (buf_reserve(out, cap)) {
        z.next_in = (Bytef *)(uintptr_t)in.p;
        z.avail_in = (uInt)in.n;
        z.next_out = (Bytef *)out->p + out->n;
        z.avail_out = (uInt)cap;
        if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
            out->n += cap - z.avail_out;
        } else {
            st = err_nomem(err);
        }
    } else {
        st = buf_status(out, "compressed body", err);
    }
    (void)deflateEnd(&z);
    return st;
}
