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

static bool is_sparse(const struct repacker *r, uint64_t pack)
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

/* In a live pack: r->hint and r->hint_n say where. ST_NOT_FOUND. */
static enum status find_stored(struct repacker *r, const struct digest *id, size_t raw,
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

        if (is_sparse(r, (uint64_t)rows[i].pack)) {
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

/* In the open pack. */
static bool find_open(const struct repacker *r, const struct digest *id, uint32_t *n)
{
    uintptr_t at = r->writer ? (uintptr_t)int_map_get(&r->ids_at, packfile_short_id(id)) : 0;

    *n = at ? (uint32_t)(at - 1) : 0;
    return at && digest_eq(&r->ids.p[at - 1], id);
}

/* ---- extents --------------------------------------------------------------------------------------------------------------------- */

/* bytes 0: of the open pack, which are known when it is sealed. */
static enum status add_extent(struct repacker *r, uint64_t pack, uint64_t bytes, uint32_t n,
                              size_t raw, struct err *err)
{
    struct repack_object *o = r->cur;
    struct recipe_extent *last = o->extents.n ? &o->extents.p[o->extents.n - 1] : NULL, *e;
    size_t i = o->packs.n;

    if (last && o->packs.p[last->pack].id == pack && last->first + last->chunks == n) {
        last->chunks++;
        last->raw += raw;
        return OK;
    }
    while (i > 0 && o->packs.p[i - 1].id != pack) {
        i--;
    }
    if (i == 0) {
        struct recipe_pack *p = vec_add(&o->packs);

        if (!p) {
            return err_nomem(err);
        }
        *p = (struct recipe_pack){ pack, bytes };
        i = o->packs.n;
    }
    if (o->extents.n == RECIPE_EXTENTS_MAX) {
        return err_set(err, ST_NOT_IMPLEMENTED, "the object would lie in too many pieces");
    }
    e = vec_add(&o->extents);
    if (!e) {
        return err_nomem(err);
    }
    *e = (struct recipe_extent){ .pack = (uint32_t)(i - 1), .first = n, .chunks = 1, .raw = raw };
    return OK;
}

/* A new chunk goes into the open pack. */
static enum status write_chunk(struct repacker *r, const struct digest *id, const void *p, size_t n,
                               struct err *err)
{
    struct digest *kept;
    uint32_t number;
    enum status st;

    if (!r->writer) {
        return ST_NOT_FOUND;
    }
    number = blob_pack_chunks(r->writer);
    if (number == PACKFILE_CHUNKS_MAX || blob_pack_bytes(r->writer) >= r->opt.pack_bytes) {
        return ST_TOO_BIG;
    }
    kept = vec_add(&r->ids);
    if (!kept) {
        return err_nomem(err);
    }
    *kept = *id;
    if (!int_map_get(&r->ids_at, packfile_short_id(id))) {
        st = int_map_put(&r->ids_at, packfile_short_id(id), (void *)(uintptr_t)(number + 1));
        if (st) {
            return err_nomem(err);
        }
    }
    st = blob_pack_add(r->writer, id, p, n, err);
    st = st ? st : add_extent(r, r->pack_id, 0, number, n, err);
    if (!st) {
        lock_take(&r->lock);
        r->stats.new_bytes += n;
        lock_give(&r->lock);
    }
    return st;
}

static enum status place_chunk(struct repacker *r, const void *p, size_t n, struct err *err)
{
    struct digest id = cdc_id(p, n);
    uint32_t number;
    enum status st;

    if (find_open(r, &id, &number)) {
        return add_extent(r, r->pack_id, 0, number, n, err);
    }
    st = find_stored(r, &id, n, err);
    if (!st) {
        return add_extent(r, r->hint->id, r->hint->bytes, r->hint_n, n, err);
    }
    return st == ST_NOT_FOUND ? write_chunk(r, &id, p, n, err) : st;
}

static enum status complete(struct repacker *r, struct err *err)
{
    struct digest got = sha256_end(r->sha);

    return digest_eq(&got, &r->cur->sha256)
               ? ST_END
               : err_set(err, ST_CORRUPT, "the bytes of an object are not those of its digest");
}

enum status repack_cut(struct repacker *r, struct err *err)
{
    size_t until = REPACK_STEP_BYTES;
    enum status st = OK;

    arena_reset(r->scratch);
    while (!st && until && r->done < r->cur->size) {
        size_t n;

        st = fill(r, err);
        if (st) {
            break;
        }
        n = cdc_cut(r->window + r->at, r->have - r->at);
        st = place_chunk(r, r->window + r->at, n, err);
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
