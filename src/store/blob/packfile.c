/* store/blob/packfile.c - see packfile.h. */
#include "store/blob/packfile.h"
#include "base/mem.h"
#include "store/blob/cdc.h"

#define HEAD_TEXT "CAIRNPK1"
#define TAIL_TEXT "CAIRNPKE"

enum {
    SAMPLE_BYTES = 16 * 1024, /* of the middle of a chunk tell how it is best kept */
    WORTH_PART = 10,          /* a chunk is compressed when that saves one part in so many */
    WORK_BYTES_MAX = 512 * 1024
};

static unsigned planes_of(uint8_t codec)
{
    return codec == PACKFILE_ZSTD_2 ? 2 : codec == PACKFILE_ZSTD_4 ? 4 : 1;
}

static enum status damaged(const char *what, struct err *err)
{
    return err_set(err, ST_CORRUPT, "a packfile is damaged: %s", what);
}

/* ---- writing ----------------------------------------------------------------------------------------------------------------- */

static void put_le(unsigned char *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = (unsigned char)(v >> (8 * i));
    }
}

uint64_t packfile_short_id(const struct digest *id)
{
    struct rd rd = rd_of(id->b, 8);

    return rd_u64(&rd);
}

void packfile_head(uint64_t id, unsigned char out[PACKFILE_HEAD_BYTES])
{
    memcpy(out, HEAD_TEXT, 8);
    put_le(out + 8, id, 8);
}

void packfile_put_foot(struct buf *out, uint64_t id, const struct packfile_chunk *chunks, size_t n)
{
    uint64_t at = PACKFILE_HEAD_BYTES;
    size_t from = out->n;
    uint32_t crc;

    for (size_t i = 0; i < n; i++) {
        buf_put(out, chunks[i].id.b, sizeof(chunks[i].id.b));
        buf_put_u32(out, chunks[i].stored);
        buf_put_u32(out, chunks[i].raw | (uint32_t)chunks[i].codec << 24);
        at += chunks[i].stored;
    }
    buf_put_u64(out, at);
    buf_put_u32(out, (uint32_t)n);
    if (out->failed) {
        return;
    }
    crc = crc32c(0, out->p + from, out->n - from);
    buf_put_u32(out, 0);
    buf_put_u64(out, id);
    buf_put_lit(out, TAIL_TEXT);
    if (!out->failed) {
        crc = crc32c(crc, out->p + out->n - 16, 16);
        body_patch_u32(out, out->n - 20, crc);
    }
}

void packfile_coder_release(struct packfile_coder *c)
{
    zip_release(&c->zip);
    buf_release(&c->best);
    buf_release(&c->other);
    buf_release(&c->planes);
}

static void split(const unsigned char *p, size_t n, unsigned planes, unsigned char *out)
{
    for (unsigned k = 0; k < planes; k++) {
        for (size_t i = k; i < n; i += planes) {
            *out++ = p[i];
        }
    }
}

static void join(const unsigned char *p, size_t n, unsigned planes, unsigned char *out)
{
    for (unsigned k = 0; k < planes; k++) {
        for (size_t i = k; i < n; i += planes) {
            out[i] = *p++;
        }
    }
}

static size_t plane_bytes(size_t n, unsigned planes, unsigned k)
{
    return n > k ? (n - k + planes - 1) / planes : 0;
}

/* A plane, as a frame where that is shorter. Planes are apart because one frame would mix their statistics. */
static enum status press_plane(struct packfile_coder *c, const char *p, size_t n, struct err *err)
{
    size_t from;
    enum status st;

    buf_put_u32(&c->other, 0);
    from = c->other.n;
    st = zip_put(&c->zip, &c->other, str_of(p, n), err);
    if (st) {
        return st;
    }
    if (c->other.n - from >= n) {
        c->other.n = from;
        buf_put(&c->other, p, n);
    }
    body_patch_u32(&c->other, from - 4, (uint32_t)(c->other.n - from));
    return buf_status(&c->other, "planes of a chunk", err);
}

/* p as a codec stores it, in c->other. */
static enum status press(struct packfile_coder *c, const void *p, size_t n, uint8_t codec,
                         struct err *err)
{
    unsigned planes = planes_of(codec);
    enum status st = OK;
    size_t at = 0;

    c->best.max = c->other.max = c->planes.max = WORK_BYTES_MAX;
    buf_clear(&c->other);
    if (planes == 1) {
        return zip_put(&c->zip, &c->other, str_of(p, n), err);
    }
    buf_clear(&c->planes);
    if (!buf_reserve(&c->planes, n)) {
        return buf_status(&c->planes, "planes of a chunk", err);
    }
    split(p, n, planes, (unsigned char *)c->planes.p);
    for (unsigned k = 0; !st && k < planes; k++) {
        st = press_plane(c, c->planes.p + at, plane_bytes(n, planes, k), err);
        at += plane_bytes(n, planes, k);
    }
    return st;
}

static bool is_worth(size_t stored, size_t raw)
{
    return stored <= raw - raw / WORTH_PART && stored < raw;
}

enum status packfile_encode(struct packfile_coder *c, const void *bytes, size_t n, struct str *out,
                            uint8_t *codec, struct err *err)
{
    static const uint8_t codecs[] = { PACKFILE_ZSTD, PACKFILE_ZSTD_2, PACKFILE_ZSTD_4 };
    size_t sample = MIN_OF(n, (size_t)SAMPLE_BYTES), best = n;
    const unsigned char *p = bytes, *middle = p + (n - sample) / 2;

    *out = str_of(bytes, n);
    *codec = PACKFILE_RAW;
    for (size_t i = 0; i < ARRAY_N(codecs); i++) {
        enum status st = press(c, middle, sample, codecs[i], err);

        if (st) {
            return st;
        }
        if (is_worth(c->other.n, sample) && c->other.n < best) {
            struct buf swap = c->best;

            c->best = c->other;
            c->other = swap;
            best = c->best.n;
            *codec = codecs[i];
        }
    }
    if (*codec == PACKFILE_RAW) {
        return OK;
    }
    if (sample < n) {
        enum status st = press(c, p, n, *codec, err);
        struct buf swap = c->best;

        if (st) {
            return st;
        }
        c->best = c->other;
        c->other = swap;
    }
    if (is_worth(c->best.n, n)) {
        *out = buf_str(&c->best);
    } else {
        *codec = PACKFILE_RAW;
    }
    return OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

enum status packfile_foot_bytes(const unsigned char tail[PACKFILE_TAIL_BYTES], uint64_t bytes,
                                size_t *n, struct err *err)
{
    struct rd r = rd_of(tail, PACKFILE_TAIL_BYTES);
    uint64_t at = rd_u64(&r);
    uint32_t chunks = rd_u32(&r);

    if (memcmp(tail + PACKFILE_TAIL_BYTES - 8, TAIL_TEXT, 8) != 0 || !chunks ||
        chunks > PACKFILE_CHUNKS_MAX) {
        return damaged("it has no footer", err);
    }
    *n = (size_t)chunks * PACKFILE_ENTRY_BYTES + PACKFILE_TAIL_BYTES;
    return bytes <= PACKFILE_BYTES_MAX && at <= bytes && bytes - at == *n
               ? OK
               : damaged("its footer lies elsewhere", err);
}

static enum status parse_entries(struct rd *r, uint64_t at, struct packfile *p, struct err *err)
{
    uint64_t offset = PACKFILE_HEAD_BYTES;

    for (uint32_t i = 0; i < p->n; i++) {
        struct packfile_chunk *c = &p->chunks[i];
        uint32_t word;

        memcpy(c->id.b, rd_bytes(r, sizeof(c->id.b)).p, sizeof(c->id.b));
        c->stored = rd_u32(r);
        word = rd_u32(r);
        c->raw = word & 0xffffff;
        c->codec = (uint8_t)(word >> 24);
        c->offset = (uint32_t)offset;
        if (!c->raw || c->raw > CDC_MAX || !c->stored || c->stored > c->raw ||
            c->codec > PACKFILE_ZSTD_4 || (c->codec == PACKFILE_RAW && c->stored != c->raw) ||
            c->stored > at - offset) {
            return damaged("a chunk has impossible sizes", err);
        }
        offset += c->stored;
    }
    return offset == at ? OK : damaged("its chunks have gaps", err);
}

enum status packfile_parse(struct str foot, uint64_t id, uint64_t bytes, struct packfile **out,
                           struct err *err)
{
    struct packfile *p;
    struct rd r;
    uint64_t at;
    size_t n;
    uint32_t crc;
    enum status st;

    *out = NULL;
    if (foot.n < PACKFILE_TAIL_BYTES) {
        return damaged("it is too short", err);
    }
    st = packfile_foot_bytes((const unsigned char *)foot.p + foot.n - PACKFILE_TAIL_BYTES, bytes,
                             &n, err);
    if (st || n != foot.n) {
        return st ? st : damaged("its footer has another length", err);
    }
    r = rd_of(foot.p + foot.n - PACKFILE_TAIL_BYTES, PACKFILE_TAIL_BYTES);
    at = rd_u64(&r);
    (void)rd_u32(&r);
    crc = crc32c(0, foot.p, foot.n - 20);
    if (rd_u32(&r) != crc32c(crc, foot.p + foot.n - 16, 16)) {
        return damaged("the checksum of its footer is wrong", err);
    }
    if (rd_u64(&r) != id) {
        return damaged("it is another pack", err);
    }
    n = (foot.n - PACKFILE_TAIL_BYTES) / PACKFILE_ENTRY_BYTES;
    p = mem_zalloc(1, sizeof(*p) + n * sizeof(p->chunks[0]));
    if (!p) {
        return err_nomem(err);
    }
    p->id = id;
    p->bytes = bytes;
    p->n = (uint32_t)n;
    r = rd_of(foot.p, foot.n);
    st = at < PACKFILE_HEAD_BYTES ? damaged("it is too short", err) : parse_entries(&r, at, p, err);
    if (st) {
        mem_free(p);
        return st;
    }
    *out = p;
    return OK;
}

/* The planes of a chunk, one behind the other, into out. */
static enum status inflate_planes(const struct packfile_chunk *c, const void *stored,
                                  unsigned planes, unsigned char *out, struct err *err)
{
    struct rd r = rd_of(stored, c->stored);
    enum status st = OK;

    for (unsigned k = 0; !st && k < planes; k++) {
        size_t n = plane_bytes(c->raw, planes, k);
        struct str body = rd_bytes(&r, rd_u32(&r));

        if (r.bad || body.n > n) {
            return err_set(err, ST_CORRUPT, "a plane has another length");
        }
        if (body.n == n) {
            memcpy(out, n ? body.p : "", n);
        } else {
            st = zip_get_into(out, n, body, err);
        }
        out += n;
    }
    return st || !rd_left(&r) ? st : err_set(err, ST_CORRUPT, "bytes are left");
}

enum status packfile_decode(const struct packfile_chunk *c, const void *stored, unsigned char *raw,
                            unsigned char *scratch, struct err *err)
{
    unsigned planes = planes_of(c->codec);
    struct digest id;

    if (c->codec == PACKFILE_RAW) {
        memcpy(raw, stored, c->raw);
    } else {
        struct err why = ERR_INIT;
        enum status st = planes > 1 ? inflate_planes(c, stored, planes, scratch, &why)
                                    : zip_get_into(raw, c->raw, str_of(stored, c->stored), &why);

        if (st) {
            if (st != ST_CORRUPT) {
                *err = why;
                return st;
            }
            return damaged("a chunk does not decompress", err);
        }
        if (planes > 1) {
            join(scratch, c->raw, planes, raw);
        }
    }
    id = cdc_id(raw, c->raw);
    return digest_eq(&id, &c->id) ? OK
                                  : damaged("the bytes of a chunk are not those of its id", err);
}
