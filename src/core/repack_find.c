/* core/repack_find.c - what is to be packed, and what packs are worth. See repack_int.h. */
#include "core/repack_int.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/blob/packfile.h"
#include "store/sql/sql.h"

enum { LOOK_PAGES = 64 };

/* The next of those that were never looked at. */
static enum status page_new(struct repacker *r, struct err *err)
{
    struct digest from = r->cursor;
    struct str after = r->cursor_set ? str_of(from.b, sizeof(from.b)) : S("");
    struct q_object_todo_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_object_todo_open(r->conn, &q, after, REPACK_PAGE, err);

    while (!st && r->page_n < REPACK_PAGE && (st = q_object_todo_next(q, &row, err)) == OK) {
        struct repack_object *o = &r->page[r->page_n];

        if (row.sha256.n != sizeof(o->sha256.b)) {
            st = err_set(err, ST_CORRUPT, "an object has a digest of the wrong length");
            break;
        }
        *o = (struct repack_object){ .gen = row.gen, .size = (uint64_t)row.size };
        memcpy(o->sha256.b, row.sha256.p, sizeof(o->sha256.b));
        r->cursor = o->sha256;
        r->cursor_set = true;
        r->page_n++;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* The next of those in the sparse pack in hand. */
static enum status page_again(struct repacker *r, struct err *err)
{
    struct digest from = r->cursor;
    struct str after = r->cursor_set ? str_of(from.b, sizeof(from.b)) : S("");
    struct q_object_pack_ls_row row;
    struct q_object_get_row object;
    struct sql_stmt *q = NULL;
    enum status st = q_object_pack_ls_open(r->conn, &q, (int64_t)r->sparse[r->sparse_at], after,
                                           REPACK_PAGE, err);

    while (!st && r->page_n < REPACK_PAGE && (st = q_object_pack_ls_next(q, &row, err)) == OK) {
        struct repack_object *o = &r->page[r->page_n];

        if (row.sha256.n != sizeof(o->sha256.b)) {
            st = err_set(err, ST_CORRUPT, "an object has a digest of the wrong length");
            break;
        }
        *o = (struct repack_object){ .gen = 0 };
        memcpy(o->sha256.b, row.sha256.p, sizeof(o->sha256.b));
        r->cursor = o->sha256;
        r->cursor_set = true;
        r->page_n++;
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < r->page_n; i++) {
        struct repack_object *o = &r->page[i];

        arena_reset(r->scratch);
        st = q_object_get(r->conn, r->scratch, str_of(o->sha256.b, sizeof(o->sha256.b)), &object,
                          err);
        if (st == OK) {
            o->gen = object.gen;
            o->size = (uint64_t)object.size;
        }
        st = st == ST_NOT_FOUND ? OK : st; /* taking it will say so */
    }
    return st;
}

enum status repack_page_objects(struct repacker *r, struct err *err)
{
    enum status st;

    r->page_n = r->page_at = 0;
    st = r->again ? page_again(r, err) : page_new(r, err);
    r->page_last = r->page_n < REPACK_PAGE;
    return st;
}

enum status repack_page_packs(struct repacker *r, struct err *err)
{
    struct q_packfile_all_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_packfile_all_open(r->conn, &q, (int64_t)r->pack_cursor, REPACK_PAGE, err);

    r->packs_n = r->packs_at = 0;
    while (!st && r->packs_n < REPACK_PAGE && (st = q_packfile_all_next(q, &row, err)) == OK) {
        r->packs[r->packs_n++] = (struct repack_pack){ (uint64_t)row.id, (uint64_t)row.bytes,
                                                       row.since_ms, (unsigned)row.state };
        r->pack_cursor = (uint64_t)row.id;
    }
    r->packs_last = r->packs_n < REPACK_PAGE;
    sql_close(q);
    return st == ST_END ? OK : st;
}

enum status repack_page_stale(struct repacker *r, struct err *err)
{
    struct repack_row last = r->stale_to;
    struct q_chunk_at_walk_row row;
    struct sql_stmt *q = NULL;
    size_t n = 0;
    enum status st =
        q_chunk_at_walk_open(r->conn, &q, last.id, last.pack, last.n, REPACK_INDEX_ROWS, err);

    vec_clear(&r->stale);
    while (!st && n < REPACK_INDEX_ROWS && (st = q_chunk_at_walk_next(q, &row, err)) == OK) {
        struct repack_row *to = row.live ? NULL : vec_add(&r->stale);

        r->stale_to = (struct repack_row){ row.id, row.pack, row.n };
        n++;
        if (to) {
            *to = r->stale_to;
        } else if (!row.live) {
            st = err_nomem(err);
            break;
        }
    }
    sql_close(q);
    r->stale_last = n < REPACK_INDEX_ROWS;
    return st == ST_END ? OK : st;
}

enum status repack_waiting_bytes(struct repacker *r, uint64_t *bytes, struct err *err)
{
    struct digest cursor = { { 0 } };
    struct str after = S("");
    enum status st = OK;
    bool more = true;

    *bytes = 0;
    for (unsigned page = 0; !st && more && page < LOOK_PAGES; page++) {
        struct q_object_todo_row row;
        struct sql_stmt *q = NULL;
        size_t n = 0;

        st = q_object_todo_open(r->conn, &q, after, REPACK_PAGE, err);
        while (!st && (st = q_object_todo_next(q, &row, err)) == OK) {
            *bytes += (uint64_t)row.size;
            n++;
            memcpy(cursor.b, row.sha256.p, MIN_OF(row.sha256.n, sizeof(cursor.b)));
        }
        sql_close(q);
        st = st == ST_END ? OK : st;
        more = n == REPACK_PAGE;
        after = str_of(cursor.b, sizeof(cursor.b));
    }
    return st;
}

/* ---- what is used of a pack ------------------------------------------------------------------------------------------------------- */

/* How a chunk is needed: as bytes or differences of an object itself, or below the differences of one object, or of more. */
enum { MARK_OWN = 1, MARK_BELOW = 2, MARK_BELOW_MORE = 4, MARK_BITS = 3 };

struct marks {
    const struct packfile *p;
    uint32_t *of;    /* bits, and above them who needs it below its differences */
    uint32_t object; /* counts */
};

static void mark_run(void *ctx, const struct recipe *r, const struct recipe_run *run, bool is_own)
{
    struct marks *m = ctx;

    if (r->packs[run->pack].id != m->p->id || run->first >= m->p->n ||
        run->chunks > m->p->n - run->first) {
        return;
    }
    for (uint32_t i = run->first; i < run->first + run->chunks; i++) {
        if (is_own) {
            m->of[i] |= MARK_OWN;
        } else if (!(m->of[i] & MARK_BELOW)) {
            m->of[i] |= MARK_BELOW | m->object << MARK_BITS;
        } else if (m->of[i] >> MARK_BITS != m->object) {
            m->of[i] |= MARK_BELOW_MORE;
        }
    }
}

/* Marks the chunks of the pack that an object names. */
static enum status mark(struct repacker *r, const struct digest *sha256, struct marks *m,
                        struct err *err)
{
    struct q_object_get_row row;
    struct recipe recipe;
    enum status st;

    arena_reset(r->scratch);
    st = q_object_get(r->conn, r->scratch, str_of(sha256->b, sizeof(sha256->b)), &row, err);
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    m->object = (m->object + 1) % (UINT32_MAX >> MARK_BITS);
    st = recipe_parse(r->scratch, row.recipe, (uint64_t)row.size, &recipe, err);
    for (size_t i = 0; !st && i < recipe.extents_n; i++) {
        recipe_each_run(&recipe, &recipe.extents[i], mark_run, m);
    }
    return st;
}

static enum status mark_page(struct repacker *r, struct marks *m, struct digest *cursor,
                             bool *first, size_t *n, struct err *err)
{
    struct digest ids[REPACK_PAGE], from = *cursor;
    struct str after = *first ? S("") : str_of(from.b, sizeof(from.b));
    struct q_object_pack_ls_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_object_pack_ls_open(r->conn, &q, (int64_t)m->p->id, after, REPACK_PAGE, err);

    *n = 0;
    while (!st && *n < REPACK_PAGE && (st = q_object_pack_ls_next(q, &row, err)) == OK) {
        if (row.sha256.n == sizeof(ids[0].b)) {
            memcpy(ids[(*n)++].b, row.sha256.p, sizeof(ids[0].b));
        }
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < *n; i++) {
        st = mark(r, &ids[i], m, err);
        *cursor = ids[i];
        *first = false;
    }
    return st;
}

enum status repack_used(struct repacker *r, const struct repack_pack *pack, uint64_t *used,
                        struct err *err)
{
    const struct packfile *p = NULL;
    struct marks marks = { .p = NULL };
    struct digest cursor = { { 0 } };
    bool first = true;
    size_t n = REPACK_PAGE;
    enum status st = blob_pack_open(r->core->blobs, pack->id, pack->bytes, &p, err);

    *used = 0;
    if (!st) {
        marks.p = p;
        marks.of = mem_zalloc(p->n, sizeof(*marks.of));
        st = marks.of ? OK : err_nomem(err);
    }
    while (!st && n == REPACK_PAGE) {
        st = mark_page(r, &marks, &cursor, &first, &n, err);
    }
    for (uint32_t i = 0; !st && i < p->n; i++) {
        /* What only one object has below its differences costs more than to keep that object by itself. */
        *used += marks.of[i] & (MARK_OWN | MARK_BELOW_MORE) ? p->chunks[i].stored : 0;
    }
    mem_free(marks.of);
    blob_pack_close(r->core->blobs, p);
    return st;
}
