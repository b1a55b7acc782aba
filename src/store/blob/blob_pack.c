/* store/blob/blob_pack.c - writing packs, their footers in memory, and reading objects out of them. See blob_int.h. */
#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "base/vec.h"
#include "store/blob/blob_int.h"
#include "store/blob/cdc.h"
#include "store/blob/packfile.h"
#include <inttypes.h>
#include <stdio.h>

enum { FOOT_GUESS = 64 * 1024 };

uint64_t blob_pack_draw(void)
{
    uint64_t id = 0;

    while (!id) {
        rand_bytes(&id, sizeof(id));
        id >>= 1;
    }
    return id;
}

void blob_pack_place(uint64_t id, char out[BLOB_PACK_PLACE_MAX])
{
    snprintf(out, BLOB_PACK_PLACE_MAX, "packs/%02x/%016" PRIx64, (unsigned)(id >> 56), id);
}

bool blob_pack_name_parse(struct str name, uint64_t *id)
{
    uint64_t v = 0;

    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool is_digit = c >= '0' && c <= '9';

        if (i >= 16 || (!is_digit && (c < 'a' || c > 'f'))) {
            return false;
        }
        v = v << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *id = v;
    return name.n == 16 && v && v <= INT64_MAX;
}

/* ---- writing ----------------------------------------------------------------------------------------------------------------- */

struct blob_pack_writer {
    struct blob_store *s;
    void *backend; /* of the writer */
    uint64_t id, bytes;
    struct packfile_coder coder;
    VEC(struct packfile_chunk) chunks;
};

static void free_pack_writer(struct blob_pack_writer *w)
{
    packfile_coder_release(&w->coder);
    vec_release(&w->chunks);
    mem_free(w);
}

void blob_pack_abort(struct blob_pack_writer *w)
{
    if (w) {
        w->s->ops->write_abort(w->backend);
        free_pack_writer(w);
    }
}

static enum status put_bytes(struct blob_pack_writer *w, const void *p, size_t n, struct err *err)
{
    enum status st = w->s->ops->write(w->backend, NULL, p, n, err);

    w->bytes += st ? 0 : n;
    return blob_as_io(st, err);
}

enum status blob_pack_begin(struct blob_store *s, uint64_t id, struct blob_pack_writer **out,
                            struct err *err)
{
    struct blob_pack_writer *w = mem_zalloc(1, sizeof(*w));
    unsigned char head[PACKFILE_HEAD_BYTES];
    enum status st;

    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->s = s;
    w->id = id;
    w->chunks.max = PACKFILE_CHUNKS_MAX;
    st = s->ops->write_begin(s->backend, &w->backend, err);
    if (st) {
        free_pack_writer(w);
        return blob_as_io(st, err);
    }
    packfile_head(id, head);
    st = put_bytes(w, head, sizeof(head), err);
    if (st) {
        blob_pack_abort(w);
        return st;
    }
    *out = w;
    return OK;
}

enum status blob_pack_put(struct blob_pack_writer *w, const struct digest *chunk, size_t raw,
                          struct str stored, uint8_t codec, struct err *err)
{
    struct packfile_chunk *c;
    enum status st;

    if (NEVER(!raw || raw > CDC_MAX || stored.n > raw || w->chunks.n >= PACKFILE_CHUNKS_MAX)) {
        return err_set(err, ST_INVALID, "a chunk does not fit into a pack");
    }
    st = put_bytes(w, stored.p, stored.n, err);
    if (st) {
        return st;
    }
    c = vec_add(&w->chunks);
    if (!c) {
        return err_nomem(err);
    }
    *c = (struct packfile_chunk){
        .id = *chunk, .stored = (uint32_t)stored.n, .raw = (uint32_t)raw, .codec = codec
    };
    return OK;
}

enum status blob_pack_add(struct blob_pack_writer *w, const struct digest *chunk, const void *p,
                          size_t n, struct err *err)
{
    struct str stored;
    uint8_t codec;
    enum status st;

    if (NEVER(!n || n > CDC_MAX)) {
        return err_set(err, ST_INVALID, "a chunk does not fit into a pack");
    }
    st = packfile_encode(&w->coder, p, n, &stored, &codec, err);
    return st ? st : blob_pack_put(w, chunk, n, stored, codec, err);
}

uint32_t blob_pack_chunks(const struct blob_pack_writer *w)
{
    return (uint32_t)w->chunks.n;
}

uint64_t blob_pack_bytes(const struct blob_pack_writer *w)
{
    return w->bytes;
}

enum status blob_pack_end(struct blob_pack_writer *w, uint64_t *bytes, struct err *err)
{
    struct buf foot = BUF_INIT(PACKFILE_FOOT_MAX);
    enum status st;

    packfile_put_foot(&foot, w->id, w->chunks.p, w->chunks.n);
    st = buf_status(&foot, "footer of a pack", err);
    st = st ? st : put_bytes(w, foot.p, foot.n, err);
    buf_release(&foot);
    *bytes = w->bytes;
    if (st) {
        blob_pack_abort(w);
        return st;
    }
    st = blob_as_io(w->s->ops->pack_finish(w->backend, w->id, w->bytes, err), err);
    free_pack_writer(w);
    return st;
}

/* ---- footers ----------------------------------------------------------------------------------------------------------------- */

struct kept_pack {
    struct packfile *pack;
    size_t users;
    struct kept_pack *newer, *older; /* while it has no users */
};

static size_t kept_bytes(const struct kept_pack *k)
{
    return sizeof(*k) + sizeof(*k->pack) + k->pack->n * sizeof(k->pack->chunks[0]);
}

static void free_kept(struct kept_pack *k)
{
    mem_free(k->pack);
    mem_free(k);
}

static void unlist(struct blob_store *s, struct kept_pack *k)
{
    *(k->newer ? &k->newer->older : &s->newest) = k->older;
    *(k->older ? &k->older->newer : &s->oldest) = k->newer;
    k->newer = k->older = NULL;
    s->packs_bytes -= kept_bytes(k);
}

void blob_packs_init(struct blob_store *s)
{
    lock_init(&s->packs_lock, LOCK_RANK_BLOB);
    s->packs = (struct int_map)INT_MAP_INIT(PACKS_KEPT_MAX);
}

void blob_packs_release(struct blob_store *s)
{
    uint64_t id;
    void *k;

    for (size_t at = 0; int_map_next(&s->packs, &at, &id, &k);) {
        free_kept(k);
    }
    int_map_release(&s->packs);
    lock_release(&s->packs_lock);
}

/* Under the lock. What was not used longest goes until there is room. */
static void make_room(struct blob_store *s, size_t bytes)
{
    while (s->oldest &&
           (s->packs_bytes + bytes > PACKS_KEPT_BYTES || s->packs.n >= PACKS_KEPT_MAX)) {
        struct kept_pack *k = s->oldest;

        unlist(s, k);
        (void)int_map_remove(&s->packs, k->pack->id);
        free_kept(k);
    }
}

static const struct packfile *find_pack(struct blob_store *s, uint64_t id, uint64_t bytes)
{
    struct kept_pack *k;

    lock_take(&s->packs_lock);
    k = int_map_get(&s->packs, id);
    if (k && k->pack->bytes == bytes && !k->users++) {
        unlist(s, k);
    }
    k = k && k->pack->bytes == bytes ? k : NULL;
    lock_give(&s->packs_lock);
    return k ? k->pack : NULL;
}

/* Takes the pack; another thread may have been faster. */
static enum status keep_pack(struct blob_store *s, struct packfile *p, const struct packfile **out,
                             struct err *err)
{
    struct kept_pack *k = mem_zalloc(1, sizeof(*k)), *other;
    enum status st = k ? OK : ST_NOMEM;

    if (k) {
        k->pack = p;
        k->users = 1;
    }
    lock_take(&s->packs_lock);
    other = int_map_get(&s->packs, p->id);
    if (other && other->pack->bytes == p->bytes) {
        if (!other->users++) {
            unlist(s, other);
        }
        *out = other->pack;
    } else if (!st && !other) {
        make_room(s, kept_bytes(k));
        st = int_map_put(&s->packs, p->id, k);
        *out = st ? NULL : p;
    } else {
        st = ST_NOMEM; /* somebody uses a footer of another size */
    }
    lock_give(&s->packs_lock);
    if (*out == p) {
        return OK;
    }
    mem_free(k);
    mem_free(p);
    return *out             ? OK
           : st == ST_NOMEM ? err_nomem(err)
                            : err_set(err, st, "too many packs are open");
}

void blob_pack_close(struct blob_store *s, const struct packfile *p)
{
    struct kept_pack *k;

    if (!p) {
        return;
    }
    lock_take(&s->packs_lock);
    k = int_map_get(&s->packs, p->id);
    if (ALWAYS(k && k->users) && --k->users == 0) {
        make_room(s, kept_bytes(k));
        k->older = s->newest;
        *(s->newest ? &s->newest->newer : &s->oldest) = k;
        s->newest = k;
        s->packs_bytes += kept_bytes(k);
    }
    lock_give(&s->packs_lock);
}

enum status blob_pack_missing(uint64_t id, struct err *err)
{
    return err_set(err, ST_CORRUPT, "the pack %016" PRIx64 " is missing", id);
}

/* n bytes at `from` of a pack, all of them. */
static enum status read_pack(struct blob_store *s, uint64_t id, uint64_t bytes, uint64_t from,
                             void *p, size_t n, struct err *err)
{
    void *r;
    enum status st = s->ops->pack_read_begin(s->backend, id, bytes, from, n, &r, err);

    if (st) {
        return st == ST_NOT_FOUND ? blob_pack_missing(id, err) : st;
    }
    for (size_t at = 0; !st && at < n;) {
        size_t got = 0;

        st = s->ops->read(r, (char *)p + at, n - at, &got, err);
        at += got;
    }
    s->ops->read_end(r);
    return st;
}

static enum status read_foot(struct blob_store *s, uint64_t id, uint64_t bytes,
                             struct packfile **out, struct err *err)
{
    size_t n = (size_t)MIN_OF(bytes, (uint64_t)FOOT_GUESS), foot = 0;
    unsigned char *p = bytes >= PACKFILE_TAIL_BYTES ? mem_alloc(n) : NULL;
    enum status st;

    if (!p) {
        return bytes < PACKFILE_TAIL_BYTES
                   ? err_set(err, ST_CORRUPT, "a packfile is damaged: it is too short")
                   : err_nomem(err);
    }
    st = read_pack(s, id, bytes, bytes - n, p, n, err);
    st = st ? st : packfile_foot_bytes(p + n - PACKFILE_TAIL_BYTES, bytes, &foot, err);
    if (!st && foot > n) {
        mem_free(p);
        n = foot;
        p = mem_alloc(n);
        st = p ? read_pack(s, id, bytes, bytes - n, p, n, err) : err_nomem(err);
    }
    st = st ? st : packfile_parse(str_of(p + n - foot, foot), id, bytes, out, err);
    mem_free(p);
    return st;
}

enum status blob_pack_open(struct blob_store *s, uint64_t id, uint64_t bytes,
                           const struct packfile **out, struct err *err)
{
    struct packfile *p = NULL;
    enum status st;

    *out = find_pack(s, id, bytes);
    if (*out) {
        return OK;
    }
    st = read_foot(s, id, bytes, &p, err);
    return st ? st : keep_pack(s, p, out, err);
}

enum status blob_pack_delete(struct blob_store *s, uint64_t id, struct err *err)
{
    struct kept_pack *k;

    lock_take(&s->packs_lock);
    k = int_map_get(&s->packs, id);
    if (k && !k->users) {
        unlist(s, k);
        (void)int_map_remove(&s->packs, id);
        free_kept(k);
    }
    lock_give(&s->packs_lock);
    return s->ops->pack_remove(s->backend, id, err);
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

struct packed_reader {
    struct blob_store *s;
    struct arena *arena; /* of the recipe */
    struct recipe recipe;
    size_t extent;               /* in hand, or the next */
    const struct packfile *pack; /* of the extent in hand */
    void *backend;               /* reads its chunks from the next one on; NULL: not yet */
    int fd;                      /* of the pack fd_pack; -1: none */
    uint64_t fd_pack;
    struct delta_reader *delta; /* of the extent in hand instead, where it has differences */
    uint32_t chunk, end;        /* the next of the pack, and the first that is not wanted */
    uint64_t skip,
        left; /* bytes before the next wanted one, and how many are wanted of chunks not read yet */
    unsigned char *raw, *stored, *scratch;
    size_t have, at; /* of raw */
};

void packed_close(struct packed_reader *r)
{
    if (r) {
        if (r->backend) {
            r->s->ops->read_end(r->backend);
        }
        blob_pack_close(r->s, r->pack);
        delta_close(r->delta);
        if (r->fd >= 0) {
            sys.close(r->fd);
        }
        mem_free(r->raw);
        arena_free(r->arena);
        mem_free(r);
    }
}

enum status packed_open(struct blob_store *s, struct arena **a, const struct recipe *recipe,
                        uint64_t from, uint64_t n, struct packed_reader **out, struct err *err)
{
    struct packed_reader *r = mem_zalloc(1, sizeof(*r));

    *out = NULL;
    if (r) {
        r->raw = mem_alloc(3 * (size_t)CDC_MAX);
    }
    if (!r || !r->raw) {
        mem_free(r);
        return err_nomem(err);
    }
    r->stored = r->raw + CDC_MAX;
    r->scratch = r->stored + CDC_MAX;
    r->s = s;
    r->fd = -1;
    r->recipe = *recipe;
    r->skip = from;
    r->left = n;
    while (r->extent < recipe->extents_n && r->skip >= recipe->extents[r->extent].raw) {
        r->skip -= recipe->extents[r->extent++].raw;
    }
    r->arena = *a;
    *a = NULL;
    *out = r;
    return OK;
}

enum status blob_extent_differs(struct err *err)
{
    return err_set(err, ST_CORRUPT, "an object does not lie where its recipe says");
}

static enum status check_extent(const struct recipe_extent *e, const struct packfile *p,
                                struct err *err)
{
    uint64_t raw = 0;

    if (e->first >= p->n || e->chunks > p->n - e->first) {
        return blob_extent_differs(err);
    }
    for (uint32_t i = 0; i < e->chunks; i++) {
        raw += p->chunks[e->first + i].raw;
    }
    return raw == e->raw ? OK : blob_extent_differs(err);
}

/* Opens what is wanted of the next extent. */
static enum status next_extent(struct packed_reader *r, struct err *err)
{
    const struct recipe_extent *e = &r->recipe.extents[r->extent];
    const struct recipe_pack *place;
    uint64_t raw = 0;
    enum status st;

    if (r->extent >= r->recipe.extents_n) {
        return blob_extent_differs(err);
    }
    place = &r->recipe.packs[e->pack];
    st = blob_pack_open(r->s, place->id, place->bytes, &r->pack, err);
    st = st ? st : check_extent(e, r->pack, err);
    if (st) {
        return st;
    }
    r->chunk = e->first;
    while (r->skip >= r->pack->chunks[r->chunk].raw) {
        r->skip -= r->pack->chunks[r->chunk++].raw;
    }
    for (r->end = r->chunk; r->end < e->first + e->chunks && raw < r->skip + r->left; r->end++) {
        raw += r->pack->chunks[r->end].raw;
    }
    return OK;
}

/* The chunks of the extent in hand, from the next one on. */
static enum status begin_chunks(struct packed_reader *r, struct err *err)
{
    const struct packfile_chunk *first = &r->pack->chunks[r->chunk],
                                *last = &r->pack->chunks[r->end - 1];
    enum status st =
        r->s->ops->pack_read_begin(r->s->backend, r->pack->id, r->pack->bytes, first->offset,
                                   last->offset + last->stored - first->offset, &r->backend, err);

    return st == ST_NOT_FOUND ? blob_pack_missing(r->pack->id, err) : st;
}

static void end_extent(struct packed_reader *r)
{
    if (r->backend) {
        r->s->ops->read_end(r->backend);
        r->backend = NULL;
    }
    blob_pack_close(r->s, r->pack);
    r->pack = NULL;
    r->extent++;
}

static bool is_delta(const struct packed_reader *r)
{
    return r->extent < r->recipe.extents_n && r->recipe.extents[r->extent].width;
}

/* The next piece of an extent of differences is in raw. */
static enum status next_piece(struct packed_reader *r, struct err *err)
{
    const struct recipe_extent *e = &r->recipe.extents[r->extent];
    uint64_t cut = r->skip % RECIPE_ALIGN, from = r->skip - cut;
    enum status st = OK;

    if (!r->delta) { /* whole numbers */
        uint64_t n = MIN_OF(e->raw - from, cut + r->left);

        n += MIN_OF(e->raw - from - n, (RECIPE_ALIGN - n % RECIPE_ALIGN) % RECIPE_ALIGN);
        st = delta_open(r->s, &r->recipe, e, from, n, &r->delta, err);
    }
    st = st ? st : delta_next(r->delta, r->raw, &r->have, err);
    if (st) {
        r->have = r->at = 0;
        return st;
    }
    r->at = (size_t)cut;
    r->left -= MIN_OF((uint64_t)(r->have - r->at), r->left);
    r->skip = 0;
    if (delta_left(r->delta) == 0) {
        delta_close(r->delta);
        r->delta = NULL;
        r->extent++;
    }
    return OK;
}

/* The next chunk is in raw. */
static enum status next_chunk(struct packed_reader *r, struct err *err)
{
    const struct packfile_chunk *c;
    enum status st;

    if (!r->pack && is_delta(r)) {
        return next_piece(r, err);
    }
    st = r->pack ? OK : next_extent(r, err);
    st = st || r->backend ? st : begin_chunks(r, err);
    if (st) {
        return st;
    }
    c = &r->pack->chunks[r->chunk];
    for (size_t at = 0; !st && at < c->stored;) {
        size_t got = 0;

        st = r->s->ops->read(r->backend, r->stored + at, c->stored - at, &got, err);
        at += got;
    }
    st = st ? st : packfile_decode(c, r->stored, r->raw, r->scratch, err);
    if (st) {
        return st;
    }
    r->have = c->raw;
    r->at = (size_t)r->skip;
    r->left -= MIN_OF((uint64_t)(r->have - r->at), r->left);
    r->skip = 0;
    if (++r->chunk == r->end) {
        end_extent(r);
    }
    return OK;
}

/* The file of the pack in hand, if it has the size it should have. */
static enum status open_file(struct packed_reader *r, struct err *err)
{
    struct stat info;
    enum status st;

    if (r->fd >= 0 && r->fd_pack == r->pack->id) {
        return OK;
    }
    if (r->fd >= 0) {
        sys.close(r->fd);
        r->fd = -1;
    }
    st = r->s->ops->pack_open_fd(r->s->backend, r->pack->id, &r->fd, err);
    if (st) {
        return st == ST_NOT_FOUND ? blob_pack_missing(r->pack->id, err) : st;
    }
    r->fd_pack = r->pack->id;
    return sys.fstat(r->fd, &info) == 0 && (uint64_t)info.st_size == r->pack->bytes
               ? OK
               : err_set(err, ST_CORRUPT, "a packfile has another size than its row says");
}

enum status packed_next_file(struct packed_reader *r, uint64_t max, int *fd, uint64_t *at,
                             uint64_t *n, struct err *err)
{
    uint32_t end;
    uint64_t raw = 0, got;
    enum status st = OK;

    *n = 0;
    if (!r->s->ops->pack_open_fd || r->at < r->have || !r->left || (!r->pack && is_delta(r))) {
        return OK;
    }
    st = r->pack ? OK : next_extent(r, err);
    for (end = r->chunk; !st && end < r->end && r->pack->chunks[end].codec == PACKFILE_RAW; end++) {
        if (raw > 0 && raw - r->skip + r->pack->chunks[end].raw > max) {
            break;
        }
        raw += r->pack->chunks[end].raw;
    }
    got = raw ? MIN_OF(raw - r->skip, r->left) : 0;
    if (st || !got || got > max) {
        return st; /* a chunk that is not wanted whole is given the other way, too */
    }
    st = open_file(r, err);
    if (st) {
        return st;
    }
    *fd = r->fd;
    *at = r->pack->chunks[r->chunk].offset + r->skip;
    *n = got;
    r->left -= got;
    r->skip = 0;
    r->chunk = end;
    if (r->backend) { /* it stands before these bytes */
        r->s->ops->read_end(r->backend);
        r->backend = NULL;
    }
    if (r->chunk == r->end) {
        end_extent(r);
    }
    return OK;
}

enum status packed_next(struct packed_reader *r, void *p, size_t max, size_t *got, struct err *err)
{
    if (r->at == r->have) {
        enum status st = next_chunk(r, err);

        if (st) {
            return st;
        }
    }
    *got = MIN_OF(max, r->have - r->at);
    memcpy(p, r->raw + r->at, *got);
    r->at += *got;
    return OK;
}

enum status packed_check(struct blob_store *s, const struct recipe *r, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < r->extents_n; i++) {
        const struct recipe_extent *e = &r->extents[i];
        const struct packfile *p = NULL;

        st = blob_pack_open(s, r->packs[e->pack].id, r->packs[e->pack].bytes, &p, err);
        st = st ? st : check_extent(e, p, err);
        blob_pack_close(s, p);
        st = st || !e->width ? st : delta_check(s, r, e, err);
    }
    return st;
}

/* ---- a whole pack ------------------------------------------------------------------------------------------------------------ */

struct blob_pack_scan {
    struct blob_store *s;
    struct packfile *foot;
    void *backend; /* reads the chunks, one behind the other */
    uint32_t chunk;
    unsigned char *raw, *stored, *scratch;
};

void blob_pack_scan_end(struct blob_pack_scan *c)
{
    if (c) {
        if (c->backend) {
            c->s->ops->read_end(c->backend);
        }
        mem_free(c->raw);
        mem_free(c->foot);
        mem_free(c);
    }
}

const struct packfile *blob_pack_scan_foot(const struct blob_pack_scan *c)
{
    return c->foot;
}

static enum status scan_read(struct blob_pack_scan *c, unsigned char *p, size_t n, struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < n;) {
        size_t got = 0;

        st = c->s->ops->read(c->backend, p + at, n - at, &got, err);
        at += got;
    }
    return st;
}

enum status blob_pack_scan_begin(struct blob_store *s, uint64_t id, uint64_t bytes,
                                 struct blob_pack_scan **out, struct err *err)
{
    struct blob_pack_scan *c = mem_zalloc(1, sizeof(*c));
    unsigned char head[PACKFILE_HEAD_BYTES], want[PACKFILE_HEAD_BYTES];
    enum status st;

    *out = NULL;
    if (!c) {
        return err_nomem(err);
    }
    c->s = s;
    c->raw = mem_alloc(3 * (size_t)CDC_MAX);
    c->stored = c->raw ? c->raw + CDC_MAX : NULL;
    c->scratch = c->raw ? c->stored + CDC_MAX : NULL;
    st = c->raw ? read_foot(s, id, bytes, &c->foot, err) : err_nomem(err);
    if (!st) {
        const struct packfile_chunk *last = &c->foot->chunks[c->foot->n - 1];

        st = s->ops->pack_read_begin(s->backend, id, bytes, 0, last->offset + last->stored,
                                     &c->backend, err);
        st = st == ST_NOT_FOUND ? blob_pack_missing(id, err) : st;
    }
    st = st ? st : scan_read(c, head, sizeof(head), err);
    packfile_head(id, want);
    if (!st && memcmp(head, want, sizeof(head)) != 0) {
        st = err_set(err, ST_CORRUPT, "a packfile is damaged: its head is wrong");
    }
    if (st) {
        blob_pack_scan_end(c);
        return st;
    }
    *out = c;
    return OK;
}

enum status blob_pack_scan_next(struct blob_pack_scan *c, uint32_t *chunk, size_t *stored,
                                struct err *err)
{
    const struct packfile_chunk *next;
    enum status st;

    *stored = 0;
    *chunk = c->chunk;
    if (c->chunk == c->foot->n) {
        return ST_END;
    }
    next = &c->foot->chunks[c->chunk++];
    *stored = next->stored;
    st = scan_read(c, c->stored, next->stored, err);
    if (st == ST_CORRUPT) {
        c->chunk = c->foot->n; /* it became shorter meanwhile: this is the last */
    }
    return st ? st : packfile_decode(next, c->stored, c->raw, c->scratch, err);
}
