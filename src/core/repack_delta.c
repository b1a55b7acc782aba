/* core/repack_delta.c - pieces of the object in hand as differences from its base, where that pays, and their proof: what was written is
 * read back before the object moves. See repack_int.h.
 * A piece lies in one extent of the base, begins where numbers do, and costs at least a tenth less than its bytes by themselves. */
#include "core/repack_int.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/blob/cdc.h"
#include "store/blob/delta.h"

enum {
    PIECE_MIN = 4096,
    WORTH_PART = 10,     /* of the bytes by themselves is saved, */
    EXTRA_BYTES = 64,    /* after what a chunk and its extent cost */
    SAMPLE_BYTES = 4096, /* of a piece tell how wide its numbers are */
    TRIES = 32,          /* after so many of which few paid the base is dropped */
    FEW_PART = 16
};

/* ---- the base's bytes --------------------------------------------------------------------------------------------------------- */

/* The extent of the base at `at`. False: there is none. */
static bool seek_extent(struct repack_base *b, uint64_t at)
{
    const struct recipe *recipe = &b->recipe;

    while (b->extent < recipe->extents_n && at - b->extent_from >= recipe->extents[b->extent].raw) {
        b->extent_from += recipe->extents[b->extent++].raw;
    }
    return b->extent < recipe->extents_n;
}

/* n bytes of the base at `at`. Any failure: it is no base any more. */
static bool read_base(struct repacker *r, uint64_t at, size_t n)
{
    struct repack_base *b = r->base;
    struct err why = ERR_INIT;
    enum status st = OK;

    if (b->reader && b->at != at) {
        blob_reader_close(b->reader);
        b->reader = NULL;
    }
    if (!b->reader) {
        st =
            blob_object_open(r->core->blobs, &b->object, at, b->object.size - at, &b->reader, &why);
        b->at = at;
    }
    for (size_t have = 0; !st && have < n;) {
        size_t got = 0;

        st = blob_reader_next(b->reader, b->bytes + have, n - have, &got, &why);
        if (!st && !got) st = ST_CORRUPT;
        have += got;
        b->at += got;
        r->round_bytes += got;
    }
    return st == OK;
}

/* ---- coding --------------------------------------------------------------------------------------------------------------------- */

/* The differences that lead to the n bytes at p, behind the first `from` of the base's piece, coded; in b->made and b->coded. */
static enum status code_as(struct repack_base *b, const unsigned char *p, size_t from, size_t n,
                           unsigned width, struct str *out, uint8_t *codec, struct err *err)
{
    delta_make(b->made, b->bytes + from, p + from, n, width);
    return packfile_encode(&b->coded, b->made, n, out, codec, err);
}

/* As numbers of the width that makes the middle of the piece smaller. */
static enum status code(struct repack_base *b, const unsigned char *p, size_t n, struct str *out,
                        uint8_t *codec, struct err *err)
{
    size_t sample = MIN_OF(n, (size_t)SAMPLE_BYTES), from = (n - sample) / 2, of_2;
    enum status st;

    from -= from % RECIPE_ALIGN;
    st = code_as(b, p, from, sample, 2, out, codec, err);
    of_2 = out->n;
    st = st ? st : code_as(b, p, from, sample, 4, out, codec, err);
    b->width = out->n <= of_2 ? 4 : 2;
    return st ? st : code_as(b, p, 0, n, b->width, out, codec, err);
}

static bool pays(size_t coded, size_t plain)
{
    return coded + EXTRA_BYTES < plain - plain / WORTH_PART;
}

/* ---- extents -------------------------------------------------------------------------------------------------------------------- */

/* The chunks of a run of `chunks` from `first` on that hold n bytes behind `skip`. */
static enum status cover(struct repacker *r, const struct recipe_pack *place, uint32_t first,
                         uint64_t skip, uint64_t n, struct recipe_run *out, struct err *err)
{
    const struct packfile *p = NULL;
    uint64_t raw = 0;
    enum status st = blob_pack_open(r->core->blobs, place->id, place->bytes, &p, err);

    if (st) {
        return st;
    }
    while (first < p->n && skip >= p->chunks[first].raw) {
        skip -= p->chunks[first++].raw;
    }
    out->first = first;
    out->skip = (uint32_t)skip;
    out->chunks = 0;
    while (first < p->n && raw < skip + n) {
        raw += p->chunks[first++].raw;
        out->chunks++;
    }
    blob_pack_close(r->core->blobs, p);
    return raw >= skip + n ? OK : err_set(err, ST_CORRUPT, "a base does not lie in its packs");
}

/* b->steps: where the next n bytes of the object lie in the base's extent in hand, its own chunks last. Their packs are the base's. */
static enum status find_steps(struct repacker *r, size_t n, struct err *err)
{
    struct repack_base *b = r->base;
    const struct recipe_extent *e = &b->recipe.extents[b->extent];
    enum status st = OK;

    b->steps_n = (size_t)e->under_n + 1;
    for (size_t i = 0; !st && i < b->steps_n; i++) {
        struct recipe_run run = { .pack = e->pack, .first = e->first, .width = e->width };

        if (i < e->under_n) run = e->under[i];
        b->steps[i] = run;
        st = cover(r, &b->recipe.packs[run.pack], run.first, run.skip + (r->done - b->extent_from),
                   n, &b->steps[i], err);
    }
    return st;
}

/* The last extent of the object in hand, if a piece whose differences are the chunk `number` of `pack` goes on where it ends. */
static struct recipe_extent *goes_on(struct repacker *r, uint32_t pack, uint32_t number)
{
    struct repack_object *o = r->cur;
    struct recipe_extent *e = o->extents.n ? &o->extents.p[o->extents.n - 1] : NULL;

    return e && e->width == r->base->width && r->base->last_extent == r->base->extent &&
                   e->pack == pack && e->first + e->chunks == number
               ? e
               : NULL;
}

/* An extent of the object in hand that begins with the piece in hand. */
static enum status begin_extent(struct repacker *r, uint32_t own, uint32_t number,
                                struct recipe_extent **out, struct err *err)
{
    struct repack_object *o = r->cur;
    struct repack_base *b = r->base;
    struct recipe_run *under;
    enum status st = OK;

    if (o->extents.n == RECIPE_EXTENTS_MAX) {
        return err_set(err, ST_NOT_IMPLEMENTED, "the object would lie in too many pieces");
    }
    under = mem_alloc(b->steps_n * sizeof(*under));
    if (!under) return err_nomem(err);
    memcpy(under, b->steps, b->steps_n * sizeof(*under));
    for (size_t i = 0; !st && i < b->steps_n; i++) {
        const struct recipe_pack *place = &b->recipe.packs[under[i].pack];

        st = repack_pack_of(r, place->id, place->bytes, &under[i].pack, err);
    }
    *out = st ? NULL : vec_add(&o->extents);
    if (!*out) {
        mem_free(under);
        return st ? st : err_nomem(err);
    }
    **out = (struct recipe_extent){ .pack = own,
                                    .first = number,
                                    .width = (uint8_t)b->width,
                                    .under = under,
                                    .under_n = (uint8_t)b->steps_n };
    b->last_extent = b->extent;
    o->has_deltas = true;
    return OK;
}

static enum status add_delta(struct repacker *r, uint64_t pack, uint64_t bytes, uint32_t number,
                             size_t n, struct err *err)
{
    const struct repack_base *b = r->base;
    struct recipe_extent *e;
    uint32_t own;
    enum status st = repack_pack_of(r, pack, bytes, &own, err);

    if (st) return st;
    e = goes_on(r, own, number);
    if (e) {
        for (size_t i = 0; i < b->steps_n; i++) {
            e->under[i].chunks = b->steps[i].first + b->steps[i].chunks - e->under[i].first;
        }
    } else {
        st = begin_extent(r, own, number, &e, err);
        if (st) return st;
    }
    e->chunks++;
    e->raw += n;
    lock_take(&r->lock);
    r->stats.delta_bytes += n;
    lock_give(&r->lock);
    return OK;
}

/* The differences in hand become a chunk, or are one already. */
static enum status put(struct repacker *r, size_t n, struct str coded, uint8_t codec,
                       struct err *err)
{
    struct digest id = cdc_id(r->base->made, n);
    uint32_t number;
    enum status st;

    if (repack_find_open(r, &id, &number)) {
        return add_delta(r, r->pack_id, 0, number, n, err);
    }
    st = repack_find_stored(r, &id, n, err);
    if (!st) {
        return add_delta(r, r->hint->id, r->hint->bytes, r->hint_n, n, err);
    }
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = repack_write_chunk(r, &id, r->base->made, n, coded, codec, &number, err);
    return st ? st : add_delta(r, r->pack_id, 0, number, n, err);
}

/* Bytes that bring the object in hand to where numbers begin: a chunk of their own. */
static enum status put_gap(struct repacker *r, const unsigned char *p, size_t n, struct err *err)
{
    struct digest id = cdc_id(p, n);

    return repack_put_plain(r, &id, p, n, err);
}

static bool is_hopeless(const struct repack_base *b)
{
    return b->tried >= TRIES && b->paid < b->tried / FEW_PART;
}

enum status repack_delta(struct repacker *r, const unsigned char *p, size_t n, size_t *used,
                         struct err *err)
{
    struct repack_base *b = r->base;
    size_t gap = (size_t)((RECIPE_ALIGN - r->done % RECIPE_ALIGN) % RECIPE_ALIGN), m;
    const struct recipe_extent *e;
    struct err why = ERR_INIT;
    struct str coded;
    uint8_t codec;
    enum status st;

    b->as_plain_n = 0;
    if (n < gap + PIECE_MIN || !seek_extent(b, r->done + gap)) {
        return ST_NOT_FOUND;
    }
    e = &b->recipe.extents[b->extent];
    m = (size_t)MIN_OF((uint64_t)(n - gap), e->raw - (r->done + gap - b->extent_from));
    if (r->done + gap + m != r->cur->size) m -= m % RECIPE_ALIGN;
    if (m < PIECE_MIN || e->under_n == RECIPE_STEPS_MAX) {
        return ST_NOT_FOUND;
    }
    if (!read_base(r, r->done + gap, m)) {
        repack_base_drop(r);
        return ST_NOT_FOUND;
    }
    st = code(b, p + gap, m, &coded, &codec, err);
    st = st ? st : packfile_encode(&b->plain, p + gap, m, &b->as_plain, &b->as_plain_codec, err);
    if (st) {
        return st;
    }
    b->tried++;
    if (!pays(coded.n, b->as_plain.n)) {
        b->as_plain_n = gap ? 0 : m;
        if (is_hopeless(b)) repack_base_drop(r);
        return ST_NOT_FOUND;
    }
    /* nothing is written before it is known where the base lies: what is wrong with it is not the object's fault */
    st = gap ? OK : find_steps(r, m, &why);
    if (st) {
        repack_base_drop(r);
        return st == ST_NOMEM ? err_nomem(err) : ST_NOT_FOUND;
    }
    b->paid++;
    *used = gap ? gap : m;
    return gap ? put_gap(r, p, gap, err) : put(r, m, coded, codec, err);
}

/* ---- proof ---------------------------------------------------------------------------------------------------------------------- */

void repack_verify_drop(struct repacker *r)
{
    blob_reader_close(r->back);
    r->back = NULL;
    sha256_free(r->back_sha);
    r->back_sha = NULL;
}

static enum status begin_back(struct repacker *r, const struct repack_object *o, struct err *err)
{
    struct recipe recipe = { .packs = o->packs.p,
                             .packs_n = o->packs.n,
                             .extents = o->extents.p,
                             .extents_n = o->extents.n };
    struct blob_object object = { o->sha256, o->gen, o->size, { NULL, 0 } };
    struct buf b = BUF_INIT(RECIPE_BYTES_MAX);
    enum status st;

    recipe_put(&b, &recipe);
    st = buf_status(&b, "recipe", err);
    object.recipe = buf_str(&b);
    r->back_sha = st ? NULL : sha256_new();
    if (!st && !r->back_sha) st = err_nomem(err);
    st = st ? st : blob_object_open(r->core->blobs, &object, 0, o->size, &r->back, err);
    r->back_left = o->size;
    buf_release(&b);
    return st;
}

/* Some bytes of the object. ST_END: they were right. */
static enum status read_back(struct repacker *r, const struct repack_object *o, struct err *err)
{
    unsigned char *p = mem_alloc(CDC_MAX);
    size_t until = REPACK_STEP_BYTES;
    struct digest d;
    enum status st = p ? OK : err_nomem(err);

    st = st || r->back ? st : begin_back(r, o, err);
    while (!st && r->back_left && until) {
        size_t got = 0;

        st = blob_reader_next(r->back, p, MIN_OF((size_t)CDC_MAX, until), &got, err);
        if (!st && !got) {
            st = err_set(err, ST_CORRUPT, "its bytes end early");
        }
        if (!st) sha256_update(r->back_sha, p, got);
        r->back_left -= got;
        r->round_bytes += got;
        until -= got;
    }
    mem_free(p);
    if (st || r->back_left) {
        return st;
    }
    d = sha256_end(r->back_sha);
    return digest_eq(&d, &o->sha256) ? ST_END : err_set(err, ST_CORRUPT, "its bytes are others");
}

enum status repack_verify(struct repacker *r, size_t end, struct err *err)
{
    struct repack_object *o;
    struct err why = ERR_INIT;
    enum status st;
    char hex[65];

    while (r->verified < end && !r->waiting.p[r->verified]->has_deltas) {
        r->verified++;
    }
    if (r->verified >= end) {
        return ST_END;
    }
    o = r->waiting.p[r->verified];
    st = read_back(r, o, &why);
    if (st == OK) {
        return OK;
    }
    repack_verify_drop(r);
    r->verified++;
    if (st == ST_CORRUPT) {
        digest_hex(&o->sha256, hex);
        LOG_ERROR("store", "object %s is not packed as differences: %s", hex, why.message);
        o->is_wrong = true;
        r->no_deltas = true;
        return OK;
    }
    if (st != ST_END) {
        *err = why;
        return st;
    }
    FAILPOINT("core.repack.verified");
    return OK;
}
