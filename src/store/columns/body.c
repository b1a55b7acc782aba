/* store/columns/body.c - columns as bytes and back; docs/formats/colseg.md describes them.
 * The arrays are stored as they lie in memory, little-endian, so that loading is a checksum, perhaps
 * an inflation, a copy, and the checks that make damaged or forged bytes harmless. */
#include "store/series/body.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "store/columns/columns_int.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays are stored as they lie in memory");

enum {
    COLSEG_VERSION = 1,
    COLSEG_HEAD = 28,
    COLSEG_CRC_AT = COLSEG_HEAD - 4,
    COLSEG_ZSTD = 1,
    COLSEG_BITMAP = 2,
    SMALL = 256 /* not worth an inflation */
};

static uint32_t checksum(const struct column_place *at, const char *head, struct str rest)
{
    int64_t keys[4] = { at->exp, at->segment, (int64_t)at->key.kind, (int64_t)at->key.id };
    uint32_t crc = body_crc_keys(keys, ARRAY_N(keys));

    crc = crc32c(crc, head, COLSEG_CRC_AT);
    return crc32c(crc, rest.p, rest.n);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static struct column_shape shape_of(const struct column *c)
{
    return (struct column_shape){ .type = c->type,
                                  .layout = c->layout,
                                  .store = c->store,
                                  .rows = c->zone.rows,
                                  .present_n = c->zone.present_n,
                                  .codes_n = c->codes_n,
                                  .text_n = c->codes_n ? c->ends[c->codes_n - 1] : 0 };
}

static void put_raw(const struct column *c, struct buf *out)
{
    struct column_shape s = shape_of(c);

    if (s.type == COLUMN_INTEGER) buf_put_u64(out, (uint64_t)c->base);
    if (c->present) buf_put(out, c->present, bits_words(s.rows) * sizeof(uint64_t));
    if (s.layout == LAYOUT_SPARSE) buf_put(out, c->slots, s.present_n * sizeof(uint16_t));
    buf_put(out, c->values, column_shape_values(&s) * store_size(s.store));
    buf_put(out, c->ends, s.codes_n * sizeof(uint32_t));
    buf_put(out, c->text, s.text_n);
}

/* Compressed where that saves an eighth. */
static enum status put_rest(struct zip *z, struct buf *raw, struct buf *out, bool *is_zstd,
                            struct err *err)
{
    size_t before = out->n;
    enum status st = OK;

    *is_zstd = false;
    if (raw->n >= SMALL) {
        st = zip_put(z, out, buf_str(raw), err);
        if (st) return st;
        *is_zstd = out->n - before < raw->n - raw->n / 8;
    }
    if (!*is_zstd) {
        out->n = before;
        buf_put(out, raw->p, raw->n);
    }
    return OK;
}

enum status column_encode(struct zip *z, const struct column *c, const struct column_place *at,
                          struct buf *out, struct err *err)
{
    struct buf raw = BUF_INIT(COLUMN_BODY_MAX);
    size_t begin = out->n;
    bool is_zstd = false;
    enum status st;

    put_raw(c, &raw);
    st = buf_status(&raw, "column", err);
    if (st) goto out;
    buf_put_u8(out, COLSEG_VERSION);
    buf_put_u8(out, c->type);
    buf_put_u8(out, c->layout);
    buf_put_u8(out, c->store);
    buf_put_u8(out, 0); /* flags */
    buf_put_u8(out, 0);
    buf_put_u16(out, (uint16_t)c->zone.rows);
    buf_put_u32(out, c->zone.present_n);
    buf_put_u32(out, c->codes_n);
    buf_put_u32(out, c->codes_n ? c->ends[c->codes_n - 1] : 0);
    buf_put_u32(out, (uint32_t)raw.n);
    buf_put_u32(out, 0);
    st = buf_status(out, "column", err);
    if (st) goto out;
    st = put_rest(z, &raw, out, &is_zstd, err);
    if (st) goto out;
    st = buf_status(out, "column", err);
    if (st) goto out;
    out->p[begin + 4] = (char)((is_zstd ? COLSEG_ZSTD : 0) | (c->present ? COLSEG_BITMAP : 0));
    body_patch_u32(out, begin + COLSEG_CRC_AT,
                   checksum(at, out->p + begin,
                            str_of(out->p + begin + COLSEG_HEAD, out->n - begin - COLSEG_HEAD)));
out:
    buf_release(&raw);
    return st;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static enum status corrupt(struct err *err, const char *what)
{
    return err_set(err, ST_CORRUPT, "stored column is damaged: %s", what);
}

struct head {
    struct column_shape shape;
    uint8_t flags;
    uint32_t raw_n;
};

/* Everything that the sizes of the arrays follow from. */
static bool head_is_valid(const struct head *h)
{
    const struct column_shape *s = &h->shape;
    bool is_text = s->type == COLUMN_TEXT;
    bool store_fits = s->type == COLUMN_DOUBLE ? s->store == STORE_F32 || s->store == STORE_F64
                      : is_text                ? s->store == STORE_U8 || s->store == STORE_U16
                                               : s->store <= STORE_U64;
    bool has_bitmap = s->layout != LAYOUT_SPARSE && s->present_n < s->rows;

    return s->type >= COLUMN_DOUBLE && s->type <= COLUMN_TEXT && s->layout <= LAYOUT_DENSE &&
           store_fits && s->rows <= COLUMN_ROWS && s->present_n >= 1 && s->present_n <= s->rows &&
           (is_text ? s->codes_n >= 1 && s->codes_n <= s->present_n : s->codes_n == 0) &&
           (s->layout != LAYOUT_CONSTANT || !is_text || s->codes_n == 1) &&
           (s->layout != LAYOUT_CONSTANT || s->type != COLUMN_DOUBLE || s->store == STORE_F64) &&
           (!is_text || s->store == STORE_U16 || s->codes_n <= 256) &&
           (is_text ? s->text_n <= COLUMN_TEXT_MAX : s->text_n == 0) &&
           (h->flags & ~COLSEG_ZSTD) == (has_bitmap ? COLSEG_BITMAP : 0);
}

static size_t raw_size(const struct head *h)
{
    const struct column_shape *s = &h->shape;

    return (s->type == COLUMN_INTEGER ? sizeof(int64_t) : 0) +
           (h->flags & COLSEG_BITMAP ? bits_words(s->rows) * sizeof(uint64_t) : 0) +
           (s->layout == LAYOUT_SPARSE ? s->present_n * sizeof(uint16_t) : 0) +
           column_shape_values(s) * store_size(s->store) + s->codes_n * sizeof(uint32_t) +
           (size_t)s->text_n;
}

static enum status read_head(struct str body, const struct column_place *at, struct head *h,
                             struct err *err)
{
    struct rd r = rd_of(body.p, body.n);
    uint8_t version = rd_u8(&r), zero;
    uint32_t crc;

    h->shape.type = (enum column_type)rd_u8(&r);
    h->shape.layout = (enum column_layout)rd_u8(&r);
    h->shape.store = (enum column_store)rd_u8(&r);
    h->flags = rd_u8(&r);
    zero = rd_u8(&r);
    h->shape.rows = rd_u16(&r);
    h->shape.present_n = rd_u32(&r);
    h->shape.codes_n = rd_u32(&r);
    h->shape.text_n = rd_u32(&r);
    h->raw_n = rd_u32(&r);
    crc = rd_u32(&r);
    if (r.bad) {
        return corrupt(err, "it is too short");
    }
    if (crc != checksum(at, body.p, str_sub(body, COLSEG_HEAD, body.n))) {
        return corrupt(err, "wrong checksum");
    }
    if (version != COLSEG_VERSION || zero != 0) {
        return corrupt(err, "unknown version");
    }
    return head_is_valid(h) && h->raw_n == raw_size(h) ? OK : corrupt(err, "impossible sizes");
}

static void get_array(struct rd *r, void *to, size_t n)
{
    struct str from = rd_bytes(r, n);

    if (n && from.p) memcpy(to, from.p, n);
}

static bool slots_are_valid(const struct column *c)
{
    for (uint32_t i = 0; c->layout == LAYOUT_SPARSE && i < c->zone.present_n; i++) {
        if (c->slots[i] >= c->zone.rows || (i > 0 && c->slots[i - 1] >= c->slots[i])) {
            return false;
        }
    }
    if (c->present) {
        uint32_t tail = c->zone.rows % 64;

        return bits_count(c->present, c->zone.rows) == c->zone.present_n &&
               (tail == 0 || c->present[c->zone.rows / 64] >> tail == 0);
    }
    return true;
}

static bool texts_are_valid(const struct column *c, uint32_t text_n)
{
    if (c->type != COLUMN_TEXT) {
        return true;
    }
    for (uint32_t i = 0; i < c->codes_n; i++) {
        if (c->ends[i] > text_n || (i > 0 && c->ends[i - 1] > c->ends[i]) ||
            ((unsigned char)c->text[c->ends[i]] & 0xc0) == 0x80) { /* cuts a character */
            return false;
        }
        if (i > 0 && str_cmp(column_code_text(c, i - 1), column_code_text(c, i)) >= 0) {
            return false;
        }
    }
    if (c->ends[c->codes_n - 1] != text_n || !utf8_valid(str_of(c->text, text_n))) {
        return false;
    }
    for (uint32_t i = 0; c->layout != LAYOUT_CONSTANT &&
                         i < (c->layout == LAYOUT_DENSE ? c->zone.rows : c->zone.present_n);
         i++) {
        uint32_t code = c->store == STORE_U8 ? ((const uint8_t *)c->values)[i]
                                             : ((const uint16_t *)c->values)[i];

        if (code >= c->codes_n) {
            return false;
        }
    }
    return true;
}

static enum status read_raw(const struct head *h, struct str raw, struct column **out,
                            struct err *err)
{
    struct column *c = column_new(&h->shape);
    struct rd r = rd_of(raw.p, raw.n);
    bool is_valid;

    if (!c) return err_nomem(err);
    if (c->type == COLUMN_INTEGER) c->base = (int64_t)rd_u64(&r);
    if (c->present) get_array(&r, c->present, bits_words(c->zone.rows) * sizeof(uint64_t));
    if (c->layout == LAYOUT_SPARSE) {
        get_array(&r, c->slots, c->zone.present_n * sizeof(uint16_t));
    }
    get_array(&r, c->values, column_shape_values(&h->shape) * store_size(h->shape.store));
    get_array(&r, c->ends, c->codes_n * sizeof(uint32_t));
    get_array(&r, c->text, h->shape.text_n);
    is_valid =
        !r.bad && rd_left(&r) == 0 && slots_are_valid(c) && texts_are_valid(c, h->shape.text_n);
    if (is_valid) {
        column_set_zone(c);
        is_valid = c->zone.min <= c->zone.max; /* else integers run over the end of 64 bits */
    }
    if (!is_valid) {
        column_unref(c);
        return corrupt(err, "impossible content");
    }
    *out = c;
    return OK;
}

enum status column_decode(struct column **out, struct str body, const struct column_place *at,
                          struct err *err)
{
    struct head h = { .flags = 0 };
    struct str raw = str_sub(body, COLSEG_HEAD, body.n);
    struct arena *a = NULL;
    enum status st;

    *out = NULL;
    st = read_head(body, at, &h, err);
    if (st) return st;
    if (h.flags & COLSEG_ZSTD) {
        a = arena_new((size_t)h.raw_n + 4096);
        st = a ? zip_get(a, raw, h.raw_n, &raw, err) : err_nomem(err);
    } else if (raw.n != h.raw_n) {
        st = corrupt(err, "impossible sizes");
    }
    if (!st) st = read_raw(&h, raw, out, err);
    arena_free(a);
    return st;
}
