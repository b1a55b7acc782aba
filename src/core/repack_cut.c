/* core/repack_cut.c - an object is read, cut into chunks, and each is found or written. See repack_int.h. */
#include "core/repack_int.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/blob/cdc.h"
#include "store/blob/packfile.h"
#include "store/sql/sql.h"

enum { CANDIDATES = 4, ROW_ARENA_MAX = 1 << 20 };

void repack_object_free(struct repack_object *o)
{
    if (o) {
        mem_free((void *)(uintptr_t)o->before.p);
        vec_release(&o->packs);
        for (size_t i = 0; i < o->extents.n; i++) {
            mem_free(o->extents.p[i].under);
        }
        vec_release(&o->extents);
        mem_free(o);
    }
}

void repack_forget_hint(struct repacker *r)
{
    blob_pack_close(r->core->blobs, r->hint);
    r->hint = NULL;
}

void repack_drop(struct repacker *r)
{
    repack_base_drop(r);
    blob_reader_close(r->reader);
    r->reader = NULL;
    sha256_free(r->sha);
    r->sha = NULL;
    repack_object_free(r->cur);
    r->cur = NULL;
}

/* The bytes of a row become the window. */
static enum status take_body(struct repacker *r, struct str body, struct err *err)
{
    if (body.n != r->cur->size || body.n > REPACK_WINDOW) {
        return err_set(err, ST_CORRUPT, "the row of an object has the wrong number of bytes");
    }
    if (body.n) {
        memcpy(r->window, body.p, body.n);
    }
    r->have = body.n;
    return OK;
}

enum status repack_take(struct repacker *r, struct repack_object *o, struct err *err)
{
    struct q_object_get_row row;
    struct blob_object object;
    enum status st;

    r->cur = o;
    r->have = r->at = 0;
    r->done = 0;
    r->looked = r->base_known = false;
    r->sha = sha256_new();
    r->window = r->window ? r->window : mem_alloc(REPACK_WINDOW);
    o->packs.max = RECIPE_PACKS_MAX;
    o->extents.max = RECIPE_EXTENTS_MAX;
    if (!r->sha || !r->window) {
        return err_nomem(err);
    }
    arena_reset(r->scratch);
    st = q_object_get(r->conn, r->scratch, str_of(o->sha256.b, sizeof(o->sha256.b)), &row, err);
    if (st) {
        return st == ST_NOT_FOUND ? err_set(err, ST_CONFLICT, "the object is gone") : st;
    }
    if (row.gen != o->gen || (uint64_t)row.size != o->size || row.state != 1) {
        return err_set(err, ST_CONFLICT, "the object has changed");
    }
    if (!row.recipe.n) {
        return take_body(r, row.body, err);
    }
    o->is_loose = blob_recipe_is_whole(row.recipe);
    if (!o->is_loose) {
        char *copy = mem_alloc(row.recipe.n);

        if (!copy) {
            return err_nomem(err);
        }
        memcpy(copy, row.recipe.p, row.recipe.n);
        o->before = str_of(copy, row.recipe.n);
    }
    object = (struct blob_object){ o->sha256, o->gen, o->size, row.recipe };
    return blob_object_open(r->core->blobs, &object, 0, o->size, &r->reader, err);
}

/* As much as fits behind what is left. */
static enum status fill(struct repacker *r, struct err *err)
{
    enum status st = OK;

    if (r->have - r->at >= CDC_MAX || !r->reader) {
        return OK;
    }
    memmove(r->window, r->window + r->at, r->have - r->at);
    r->have -= r->at;
    r->at = 0;
    while (!st && r->have < REPACK_WINDOW && r->done + r->have < r->cur->size) {
        size_t got = 0;

        st = blob_reader_next(r->reader, r->window + r->have, REPACK_WINDOW - r->have, &got, err);
        if (!st && !got) {
            return err_set(err, ST_CORRUPT, "the bytes of an object end early");
        }
        r->have += got;
    }
    return st;
}

/* ---- finding ----------------------------------------------------------------------------------------------------------------- */

bool repack_is_sparse(const struct repacker *r, uint64_t pack)
{
    for (size_t i = 0; i < r->sparse_n; i++) {
        if (r->sparse[i] == pack) return true;
    }
    return false;
}

static bool is_at(const struct packfile *p, uint64_t n, const struct digest *id, size_t raw)
{
    return n < p->n && p->chunks[n].raw == raw && digest_eq(&p->chunks[n].id, id);
}

static enum status candidates(struct repacker *r, const struct digest *id,
                              struct q_chunk_at_find_row out[CANDIDATES], size_t *n,
                              struct err *err)
{
    struct sql_stmt *q = NULL;
    enum status st = q_chunk_at_find_open(r->conn, &q, (int64_t)packfile_short_id(id), err);

    *n = 0;
    while (!st && *n < CANDIDATES && (st = q_chunk_at_find_next(q, &out[*n], err)) == OK) {
        ++*n;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

enum status repack_find_stored(struct repacker *r, const struct digest *id, size_t raw,
                               struct err *err)
{
    struct q_chunk_at_find_row rows[CANDIDATES];
    size_t n;
    enum status st;

    if (r->hint && is_at(r->hint, (uint64_t)r->hint_n + 1, id, raw)) {
        r->hint_n++;
        return OK;
    }
    st = candidates(r, id, rows, &n, err);
    for (size_t i = 0; !st && i < n; i++) {
        struct q_packfile_get_row pack;
        const struct packfile *p = NULL;
        struct err why = ERR_INIT;

        if (repack_is_sparse(r, (uint64_t)rows[i].pack)) {
            continue;
        }
        st = q_packfile_get(r->conn, r->scratch, rows[i].pack, &pack, err);
        if (st == ST_NOT_FOUND || (!st && pack.state != PACK_LIVE)) {
            st = OK;
            continue;
        }
        if (st) {
            break;
        }
        /* A pack that cannot be read now is none to rely on. */
        if (blob_pack_open(r->core->blobs, (uint64_t)rows[i].pack, (uint64_t)pack.bytes, &p,
                           &why)) {
            continue;
        }
        if (is_at(p, (uint64_t)rows[i].n, id, raw)) {
            repack_forget_hint(r);
            r->hint = p;
            r->hint_n = (uint32_t)rows[i].n;
            return OK;
        }
        blob_pack_close(r->core->blobs, p);
    }
    return st ? st : ST_NOT_FOUND;
}

bool repack_find_open(const struct repacker *r, const struct digest *id, uint32_t *n)
{
    uintptr_t at = r->writer ? (uintptr_t)int_map_get(&r->ids_at, packfile_short_id(id)) : 0;

    *n = at ? (uint32_t)(at - 1) : 0;
    return at && digest_eq(&r->ids.p[at - 1], id);
}

/* ---- extents --------------------------------------------------------------------------------------------------------------------- */

enum status repack_pack_of(struct repacker *r, uint64_t pack, uint64_t bytes, uint32_t *n,
                           struct err *err)
{
    struct repack_object *o = r->cur;
    struct recipe_pack *p;

    for (size_t i = o->packs.n; i > 0; i--) {
        if (o->packs.p[i - 1].id == pack) {
            *n = (uint32_t)(i - 1);
            return OK;
        }
    }
    p = vec_add(&o->packs);
    if (!p) {
        return err_nomem(err);
    }
    *p = (struct recipe_pack){ pack, bytes };
    *n = (uint32_t)(o->packs.n - 1);
    return OK;
}

static enum status add_extent(struct repacker *r, uint64_t pack, uint64_t bytes, uint32_t n,
                              size_t raw, struct err *err)
{
    struct repack_object *o = r->cur;
    struct recipe_extent *last = o->extents.n ? &o->extents.p[o->extents.n - 1] : NULL, *e;
    uint32_t i;
    enum status st;

    if (last && !last->width && o->packs.p[last->pack].id == pack &&
        last->first + last->chunks == n) {
        last->chunks++;
        last->raw += raw;
        return OK;
    }
    st = repack_pack_of(r, pack, bytes, &i, err);
    if (st) {
        return st;
    }
    if (o->extents.n == RECIPE_EXTENTS_MAX) {
        return err_set(err, ST_NOT_IMPLEMENTED, "the object would lie in too many pieces");
    }
    e = vec_add(&o->extents);
    if (!e) {
        return err_nomem(err);
    }
    *e = (struct recipe_extent){ .pack = i, .first = n, .chunks = 1, .raw = raw };
    return OK;
}

enum status repack_room(const struct repacker *r)
{
    if (!r->writer) {
        return ST_NOT_FOUND;
    }
    return blob_pack_chunks(r->writer) + 1 >= PACKFILE_CHUNKS_MAX ||
                   blob_pack_bytes(r->writer) >= r->opt.pack_bytes
               ? ST_TOO_BIG
               : OK;
}

enum status repack_write_chunk(struct repacker *r, const struct digest *id, const void *p, size_t n,
                               struct str stored, uint8_t codec, uint32_t *number, struct err *err)
{
    struct digest *kept = vec_add(&r->ids);
    enum status st;

    if (!kept) {
        return err_nomem(err);
    }
    *kept = *id;
    *number = blob_pack_chunks(r->writer);
    if (!int_map_get(&r->ids_at, packfile_short_id(id))) {
        st = int_map_put(&r->ids_at, packfile_short_id(id), (void *)(uintptr_t)(*number + 1));
        if (st) {
            return err_nomem(err);
        }
    }
    st = stored.p ? blob_pack_put(r->writer, id, n, stored, codec, err)
                  : blob_pack_add(r->writer, id, p, n, err);
    if (!st) {
        lock_take(&r->lock);
        r->stats.new_bytes += n;
        lock_give(&r->lock);
    }
    return st;
}

/* Where a chunk lies already becomes part of the object. ST_NOT_FOUND: nowhere. */
static enum status name_known(struct repacker *r, const struct digest *id, size_t n,
                              struct err *err)
{
    uint32_t number;
    enum status st;

    if (repack_find_open(r, id, &number)) {
        return add_extent(r, r->pack_id, 0, number, n, err);
    }
    st = repack_find_stored(r, id, n, err);
    return st ? st : add_extent(r, r->hint->id, r->hint->bytes, r->hint_n, n, err);
}

/* A chunk that no pack has, coded already if the base has it so. */
static enum status put_new(struct repacker *r, const struct digest *id, const void *p, size_t n,
                           struct err *err)
{
    bool is_coded = r->base && r->base->as_plain_n == n;
    struct str coded = is_coded ? r->base->as_plain : (struct str){ NULL, 0 };
    uint32_t number;
    enum status st = repack_write_chunk(
        r, id, p, n, coded, is_coded ? r->base->as_plain_codec : PACKFILE_RAW, &number, err);

    return st ? st : add_extent(r, r->pack_id, 0, number, n, err);
}

enum status repack_put_plain(struct repacker *r, const struct digest *id, const void *p, size_t n,
                             struct err *err)
{
    enum status st = name_known(r, id, n, err);

    return st == ST_NOT_FOUND ? put_new(r, id, p, n, err) : st;
}

/* *used of the n bytes at p: a chunk that is known, differences, or a chunk that is new. */
static enum status place_chunk(struct repacker *r, const void *p, size_t n, size_t *used,
                               struct err *err)
{
    struct digest id = cdc_id(p, n);
    enum status st = name_known(r, &id, n, err);

    *used = n;
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = repack_room(r);
    if (!st) {
        st = r->base ? repack_delta(r, p, n, used, err) : ST_NOT_FOUND;
        return st == ST_NOT_FOUND ? put_new(r, &id, p, n, err) : st;
    }
    return st;
}

static enum status complete(struct repacker *r, struct err *err)
{
    struct digest got = sha256_end(r->sha);

    return digest_eq(&got, &r->cur->sha256)
               ? ST_END
               : err_set(err, ST_CORRUPT, "the bytes of an object are not those of its digest");
}

/* What it resembles is looked for once its first bytes are there. ST_TOO_BIG: that is in the open pack. */
static enum status look(struct repacker *r, struct err *err)
{
    bool wait = false;
    enum status st = OK;

    if (!r->looked) {
        r->looked = true;
        st = r->no_deltas || r->cur->size < REPACK_DELTA_MIN ? OK : fill(r, err);
        if (!st && !r->no_deltas && r->cur->size >= REPACK_DELTA_MIN) {
            st = repack_base_find(r, &wait, err);
        }
        return st || !wait ? st : ST_TOO_BIG;
    }
    if (r->base_known) {
        r->base_known = false;
        st = repack_base_open(r, err);
    }
    return st;
}

enum status repack_cut(struct repacker *r, struct err *err)
{
    size_t until = REPACK_STEP_BYTES;
    enum status st = OK;

    arena_reset(r->scratch);
    if (r->done == 0) {
        st = look(r, err);
        st = st || !r->base_known ? st : look(r, err);
    }
    while (!st && until && r->done < r->cur->size) {
        size_t n;

        st = fill(r, err);
        if (st) {
            break;
        }
        n = cdc_cut(r->window + r->at, r->have - r->at);
        st = place_chunk(r, r->window + r->at, n, &n, err);
        if (!st) {
            sha256_update(r->sha, r->window + r->at, n);
            r->at += n;
            r->done += n;
            r->round_bytes += n;
            until -= MIN_OF(n, until);
        }
    }
    return st || r->done < r->cur->size ? st : complete(r, err);
}
