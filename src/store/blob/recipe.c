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

/* A step below differences. */
static bool parse_run(struct rd *in, size_t packs_n, bool is_first, struct recipe_run *out)
{
    uint8_t width = rd_u8(in);
    uint64_t pack = rd_varint(in), first = rd_varint(in), chunks = rd_varint(in);
    uint64_t skip = rd_varint(in);

    *out = (struct recipe_run){ .pack = (uint32_t)pack,
                                .first = (uint32_t)first,
                                .chunks = (uint32_t)chunks,
                                .skip = (uint32_t)skip,
                                .width = width };
    return !in->bad && pack < packs_n && first <= UINT32_MAX && chunks && chunks <= UINT32_MAX &&
           skip < UINT32_MAX && (is_first ? width == 0 : width == 2 || width == 4);
}

static enum status parse_under(struct arena *a, struct rd *in, size_t packs_n,
                               struct recipe_extent *e, struct err *err)
{
    uint64_t n;

    e->width = rd_u8(in);
    n = rd_varint(in);
    if (in->bad || (e->width != 2 && e->width != 4) || !n || n > RECIPE_STEPS_MAX) {
        return damaged(err);
    }
    e->under = ARENA_ARRAY(a, struct recipe_run, (size_t)n);
    if (!e->under) {
        return err_nomem(err);
    }
    e->under_n = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        if (!parse_run(in, packs_n, i == 0, &e->under[i])) {
            return damaged(err);
        }
    }
    return OK;
}

/* *raw: bytes of the object so far, of `size`. */
static enum status parse_extent(struct arena *a, struct rd *r, size_t packs_n, uint64_t size,
                                struct recipe_extent *out, uint64_t *raw, struct err *err)
{
    uint8_t kind = rd_u8(r);
    struct str body = rd_bytes(r, rd_varint(r));
    struct rd in = rd_of(body.p, body.n);
    uint64_t pack, first, chunks, bytes;
    enum status st = OK;

    if (r->bad) {
        return damaged(err);
    }
    if (kind != RECIPE_CHUNKS && kind != RECIPE_DELTA) {
        return err_set(err, ST_NOT_IMPLEMENTED,
                       "an object lies in extents of kind %u, which this version cannot read",
                       kind);
    }
    pack = rd_varint(&in);
    first = rd_varint(&in);
    chunks = rd_varint(&in);
    bytes = rd_varint(&in);
    if (in.bad || pack >= packs_n || first > UINT32_MAX || !chunks || chunks > UINT32_MAX ||
        bytes < chunks || bytes > INT64_MAX - *raw) {
        return damaged(err);
    }
    *out = (struct recipe_extent){
        .pack = (uint32_t)pack, .first = (uint32_t)first, .chunks = (uint32_t)chunks, .raw = bytes
    };
    if (kind == RECIPE_DELTA) {
        st = parse_under(a, &in, packs_n, out, err);
        if (!st && (*raw % RECIPE_ALIGN || (bytes % RECIPE_ALIGN && *raw + bytes != size))) {
            st = damaged(err);
        }
    }
    *raw += bytes;
    return st || !rd_left(&in) ? st : damaged(err);
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
        st = parse_extent(a, &r, out->packs_n, size, &out->extents[i], &raw, err);
    }
    if (st) {
        return st;
    }
    return rd_left(&r) || raw != size ? damaged(err) : OK;
}

void recipe_each_run(const struct recipe *r, const struct recipe_extent *e, recipe_run_fn fn,
                     void *ctx)
{
    struct recipe_run own = {
        .pack = e->pack, .first = e->first, .chunks = e->chunks, .width = e->width
    };

    fn(ctx, r, &own, true);
    for (size_t i = 0; e->width && i < e->under_n; i++) {
        fn(ctx, r, &e->under[i], false);
    }
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
        char bytes[30 + 10 + RECIPE_STEPS_MAX * 30];
        struct buf body = { .p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes) };

        buf_put_varint(&body, e->pack);
        buf_put_varint(&body, e->first);
        buf_put_varint(&body, e->chunks);
        buf_put_varint(&body, e->raw);
        if (e->width) {
            buf_put_u8(&body, e->width);
            buf_put_varint(&body, e->under_n);
        }
        for (size_t k = 0; e->width && k < e->under_n; k++) {
            const struct recipe_run *run = &e->under[k];

            buf_put_u8(&body, run->width);
            buf_put_varint(&body, run->pack);
            buf_put_varint(&body, run->first);
            buf_put_varint(&body, run->chunks);
            buf_put_varint(&body, run->skip);
        }
        buf_put_u8(out, e->width ? RECIPE_DELTA : RECIPE_CHUNKS);
        buf_put_varint(out, body.n);
        buf_put_str(out, buf_str(&body));
    }
}
