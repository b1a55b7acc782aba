/* store/blob/recipe.c - see recipe.h. */
#include "store/blob/recipe.h"

enum { VERSION_WHOLE = 1, VERSION_EXTENTS = 2, PACK_MIN_BYTES = 9, EXTENT_MIN_BYTES = 2 };

static enum status damaged(struct err *err)
{
    return err_set(err, ST_CORRUPT, "the recipe of an object is damaged");
}

static enum status parse_packs(struct arena *a, struct rd *r, struct recipe *out, struct err *err)
{
    uint64_t n = rd_varint(r);

    if (r->bad || n > RECIPE_PACKS_MAX || n > rd_left(r) / PACK_MIN_BYTES) {
        return damaged(err);
    }
    out->packs = ARENA_ARRAY(a, struct recipe_pack, (size_t)n);
    if (!out->packs) {
        return err_nomem(err);
    }
    out->packs_n = (size_t)n;
    for (size_t i = 0; i < n; i++) {
        out->packs[i].id = rd_u64(r);
        out->packs[i].bytes = rd_varint(r);
    }
    return r->bad ? damaged(err) : OK;
}

/* *raw: bytes of the object so far. */
static enum status parse_extent(struct rd *r, size_t packs_n, struct recipe_extent *out,
                                uint64_t *raw, struct err *err)
{
    uint8_t kind = rd_u8(r);
    struct str body = rd_bytes(r, rd_varint(r));
    struct rd in = rd_of(body.p, body.n);
    uint64_t pack, first, chunks, bytes;

    if (r->bad) {
        return damaged(err);
    }
    if (kind != RECIPE_CHUNKS) {
        return err_set(err, ST_NOT_IMPLEMENTED,
                       "an object lies in extents of kind %u, which this version cannot read",
                       kind);
    }
    pack = rd_varint(&in);
    first = rd_varint(&in);
    chunks = rd_varint(&in);
    bytes = rd_varint(&in);
    if (in.bad || rd_left(&in) || pack >= packs_n || first > UINT32_MAX || !chunks ||
        chunks > UINT32_MAX || bytes < chunks || bytes > INT64_MAX - *raw) {
        return damaged(err);
    }
    *out = (struct recipe_extent){
        .pack = (uint32_t)pack, .first = (uint32_t)first, .chunks = (uint32_t)chunks, .raw = bytes
    };
    *raw += bytes;
    return OK;
}

enum status recipe_parse(struct arena *a, struct str bytes, uint64_t size, struct recipe *out,
                         struct err *err)
{
    struct rd r = rd_of(bytes.p, bytes.n);
    uint8_t version = rd_u8(&r);
    uint64_t n, raw = 0;
    enum status st;

    *out = (struct recipe){ .is_whole = version == VERSION_WHOLE };
    if (version == VERSION_WHOLE) {
        return bytes.n == 3 && bytes.p[1] == 1 && bytes.p[2] == RECIPE_WHOLE ? OK : damaged(err);
    }
    if (r.bad || bytes.n > RECIPE_BYTES_MAX || version != VERSION_EXTENTS) {
        return damaged(err);
    }
    st = parse_packs(a, &r, out, err);
    if (st) {
        return st;
    }
    n = rd_varint(&r);
    if (r.bad || n > RECIPE_EXTENTS_MAX || n > rd_left(&r) / EXTENT_MIN_BYTES) {
        return damaged(err);
    }
    out->extents = ARENA_ARRAY(a, struct recipe_extent, (size_t)n);
    if (!out->extents) {
        return err_nomem(err);
    }
    out->extents_n = (size_t)n;
    for (size_t i = 0; !st && i < n; i++) {
        st = parse_extent(&r, out->packs_n, &out->extents[i], &raw, err);
    }
    if (st) {
        return st;
    }
    return rd_left(&r) || raw != size ? damaged(err) : OK;
}

void recipe_put(struct buf *out, const struct recipe *r)
{
    buf_put_u8(out, VERSION_EXTENTS);
    buf_put_varint(out, r->packs_n);
    for (size_t i = 0; i < r->packs_n; i++) {
        buf_put_u64(out, r->packs[i].id);
        buf_put_varint(out, r->packs[i].bytes);
    }
    buf_put_varint(out, r->extents_n);
    for (size_t i = 0; i < r->extents_n; i++) {
        const struct recipe_extent *e = &r->extents[i];
        char bytes[40];
        struct buf body = { .p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes) };

        buf_put_varint(&body, e->pack);
        buf_put_varint(&body, e->first);
        buf_put_varint(&body, e->chunks);
        buf_put_varint(&body, e->raw);
        buf_put_u8(out, RECIPE_CHUNKS);
        buf_put_varint(out, body.n);
        buf_put_str(out, buf_str(&body));
    }
}
