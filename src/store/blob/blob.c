/* store/blob/blob.c - hashing, checking and the table of backends. */
#include "store/blob/blob.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/sys.h"
#include "store/blob/blob_int.h"
#include "store/blob/recipe.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { POOL_QUEUE_MAX = 4096, FULL_RETRY_S = 10 };

/* The last row serves every location that none before it does. */
static const struct blob_ops *const backends[] = { &blob_s3_ops, &blob_dir_ops };

struct blob_writer {
    const struct blob_ops *ops;
    void *backend;      /* of the writer; NULL once it is finished */
    struct sha256 *sha; /* NULL once it is hashed */
    struct digest sha256;
    uint64_t size;
    struct blob_store *store; /* of one that goes on later; these three */
    struct blob_writer *next;
    char id[BLOB_RESUME_ID + 1];
};

struct blob_reader {
    const struct blob_ops *ops;
    void *backend;                /* of a whole object, or */
    struct packed_reader *packed; /* of one in packs */
    uint64_t left;
};

enum status blob_open_with(struct blob_store **out, const struct blob_options *opt, struct err *err)
{
    struct blob_store *s = mem_zalloc(1, sizeof(*s));
    enum status st;

    *out = NULL;
    if (!s) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < ARRAY_N(backends) && !s->ops; i++) {
        s->ops = backends[i]->serves(opt->location) ? backends[i] : NULL;
    }
    blob_packs_init(s);
    st = s->ops->open(&s->backend, opt, err);
    st = st ? st : exec_pool_new(&s->pool, "blob", s->ops->threads, POOL_QUEUE_MAX, err);
    if (st) {
        blob_close(s);
        return st;
    }
    *out = s;
    return OK;
}

enum status blob_open(struct blob_store **out, const char *dir, struct err *err)
{
    return blob_open_with(out, &(struct blob_options){ .location = dir }, err);
}

void blob_close(struct blob_store *s)
{
    if (s) {
        exec_pool_free(s->pool);
        blob_packs_release(s);
        if (s->backend) {
            s->ops->close(s->backend);
        }
        mem_free(s);
    }
}

const char *blob_dir(const struct blob_store *s)
{
    return s->ops->dir ? s->ops->dir(s->backend) : NULL;
}

const char *blob_location(const struct blob_store *s)
{
    return s->ops->location(s->backend);
}

struct exec_pool *blob_pool(struct blob_store *s)
{
    return s->pool;
}

enum status blob_health(struct blob_store *s, struct err *err)
{
    return s->ops->health(s->backend, err);
}

/* ---- names ---------------------------------------------------------------------------------------------------------------------- */

void blob_name(const struct digest *sha256, int64_t gen, char out[BLOB_NAME_MAX])
{
    char hex[65];

    digest_hex(sha256, hex);
    snprintf(out, BLOB_NAME_MAX, "%s-%" PRId64, hex, gen);
}

bool blob_name_parse(struct str name, struct digest *sha256, int64_t *gen)
{
    uint64_t n;

    if (name.n < 66 || name.p[64] != '-' || !digest_parse(str_sub(name, 0, 64), sha256) ||
        !num_parse_u64(str_sub(name, 65, name.n), &n) || n > INT64_MAX) {
        return false;
    }
    *gen = (int64_t)n;
    return true;
}

enum status blob_as_io(enum status st, struct err *err)
{
    if (st == ST_NOT_FOUND || st == ST_EXISTS) {
        st = ST_IO;
        if (err) {
            err->code = st;
        }
    }
    return st;
}

enum status blob_other_format(struct str text, struct err *err)
{
    enum status st;

    text = str_sub(str_trim(text), 0, 40);
    st = err_set(err, ST_INVALID, "the blob store has another format: \"%.*s\"", STR_ARG(text));
    err_hint(
        err,
        "open it with the version of cairn that wrote it, or choose another place with --blobs");
    return st;
}

/* What to do about a full disk stands in the message, since clients show no more than that. */
static enum status say_full(enum status st, struct err *err)
{
    if (st == ST_UNAVAILABLE && err && strstr(err->message, strerror(ENOSPC))) {
        err_set(err, st,
                "the disk of the artifacts is full (%s): delete what is not needed, and run "
                "'cairn server gc --now' on the server's machine",
                strerror(ENOSPC));
        err->retry_after_s = FULL_RETRY_S;
    }
    return blob_as_io(st, err);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

/* No other may write the same. */
static void leave_resumed(struct blob_writer *w)
{
    lock_take(&w->store->packs_lock);
    for (struct blob_writer **at = &w->store->resumed; *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            break;
        }
    }
    lock_give(&w->store->packs_lock);
}

static void free_writer(struct blob_writer *w)
{
    if (w->store) {
        leave_resumed(w);
    }
    sha256_free(w->sha);
    mem_free(w);
}

enum status blob_write_begin(struct blob_store *s, struct blob_writer **out, struct err *err)
{
    struct blob_writer *w = mem_zalloc(1, sizeof(*w));
    enum status st;

    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->ops = s->ops;
    w->sha = sha256_resume(NULL, 0);
    st = w->sha ? s->ops->write_begin(s->backend, &w->backend, err) : err_nomem(err);
    if (st) {
        free_writer(w);
        return say_full(st, err);
    }
    *out = w;
    return OK;
}

enum status blob_write(struct blob_writer *w, const void *p, size_t n, struct err *err)
{
    enum status st = w->ops->write(w->backend, w->sha, p, n, err);

    w->size += st ? 0 : n;
    return say_full(st, err);
}

void blob_write_abort(struct blob_writer *w)
{
    if (w) {
        w->ops->write_abort(w->backend);
        free_writer(w);
    }
}

void blob_write_hash(struct blob_writer *w, struct digest *sha256, uint64_t *size)
{
    if (w->sha) {
        w->sha256 = sha256_end(w->sha);
        sha256_free(w->sha);
        w->sha = NULL;
    }
    *sha256 = w->sha256;
    *size = w->size;
}

enum status blob_write_place(struct blob_writer *w, int64_t gen, struct err *err)
{
    enum status st = w->ops->write_finish(w->backend, &w->sha256, gen, w->size, err);

    free_writer(w);
    return say_full(st, err);
}

enum status blob_write_end(struct blob_writer *w, int64_t gen, struct digest *sha256,
                           uint64_t *size, struct err *err)
{
    blob_write_hash(w, sha256, size);
    return blob_write_place(w, gen, err);
}

/* ---- uploads that go on later ------------------------------------------------------------------------------------------------ */

static bool has_writer(const struct blob_store *s, struct str id)
{
    const struct blob_writer *w = s->resumed;

    while (w && !str_eq(id, str_cstr(w->id))) {
        w = w->next;
    }
    return w != NULL;
}

static enum status enter_resumed(struct blob_writer *w, struct blob_store *s, struct str id,
                                 struct err *err)
{
    bool busy;

    snprintf(w->id, sizeof(w->id), "%.*s", STR_ARG(id));
    lock_take(&s->packs_lock);
    busy = has_writer(s, id);
    if (!busy) {
        w->store = s;
        w->next = s->resumed;
        s->resumed = w;
    }
    lock_give(&s->packs_lock);
    return busy ? err_set(err, ST_CONFLICT, "another request goes on with the upload") : OK;
}

bool blob_resume_is_busy(struct blob_store *s, struct str id)
{
    bool busy;

    lock_take(&s->packs_lock);
    busy = has_writer(s, id);
    lock_give(&s->packs_lock);
    return busy;
}

enum status blob_resume(struct blob_store *s, struct str id, const struct blob_saved *from,
                        struct blob_writer **out, struct err *err)
{
    struct blob_writer *w = mem_zalloc(1, sizeof(*w));
    enum status st;

    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->ops = s->ops;
    w->size = from->at;
    w->sha = sha256_resume(from->hash, from->at ? from->hash_n : 0);
    st = w->sha ? enter_resumed(w, s, id, err) : err_nomem(err);
    st = st ? st : s->ops->resume_begin(s->backend, id, from->at, from->ledger, &w->backend, err);
    if (st) {
        free_writer(w);
        return st == ST_NOT_FOUND ? st : say_full(st, err);
    }
    *out = w;
    return OK;
}

enum status blob_resume_save(struct blob_writer *w, struct buf *ledger, struct blob_saved *out,
                             struct err *err)
{
    enum status st;

    buf_clear(ledger);
    st = w->ops->resume_save(w->backend, ledger, err);
    st = st ? st : buf_status(ledger, "ledger", err);
    if (!st) {
        out->at = w->size;
        out->hash_n = sha256_save(w->sha, out->hash);
        out->ledger = ledger->n ? buf_str(ledger) : S("");
    }
    return say_full(st, err);
}

enum status blob_resume_drop(struct blob_store *s, struct str id, struct str ledger,
                             struct err *err)
{
    return blob_as_io(s->ops->resume_drop(s->backend, id, ledger, err), err);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

static enum status missing(struct err *err)
{
    return err_set(err, ST_CORRUPT, "the bytes of an object are missing");
}

static enum status another_size(struct err *err)
{
    return err_set(err, ST_CORRUPT, "the bytes of an object have another size than its row says");
}

bool blob_has_files(const struct blob_store *s)
{
    return s->ops->open_fd != NULL;
}

enum status blob_read_open(struct blob_store *s, const struct digest *sha256, int64_t gen,
                           uint64_t size, int *fd, struct err *err)
{
    struct stat info;
    enum status st;

    *fd = -1;
    if (!s->ops->open_fd) {
        return err_set(err, ST_NOT_IMPLEMENTED, "the bytes do not lie on this machine");
    }
    st = s->ops->open_fd(s->backend, sha256, gen, fd, err);
    if (st) {
        return st == ST_NOT_FOUND ? missing(err) : st;
    }
    if (sys.fstat(*fd, &info) != 0 || (uint64_t)info.st_size != size) {
        sys.close(*fd);
        *fd = -1;
        return another_size(err);
    }
    return OK;
}

enum status blob_reader_open(struct blob_store *s, const struct digest *sha256, int64_t gen,
                             uint64_t size, uint64_t from, uint64_t n, struct blob_reader **out,
                             struct err *err)
{
    struct blob_reader *r;
    enum status st;

    *out = NULL;
    if (from > size || n > size - from) {
        return err_set(err, ST_INVALID, "the range lies outside of the object");
    }
    r = mem_zalloc(1, sizeof(*r));
    if (!r) {
        return err_nomem(err);
    }
    r->ops = s->ops;
    r->left = n;
    st = s->ops->read_begin(s->backend, sha256, gen, size, from, n, &r->backend, err);
    if (st) {
        mem_free(r);
        return st == ST_NOT_FOUND ? missing(err) : st;
    }
    *out = r;
    return OK;
}

enum status blob_reader_wrap(const struct blob_ops *ops, void *backend, uint64_t n,
                             struct blob_reader **out, struct err *err)
{
    struct blob_reader *r = mem_zalloc(1, sizeof(*r));

    *out = r;
    if (!r) {
        ops->read_end(backend);
        return err_nomem(err);
    }
    r->ops = ops;
    r->left = n;
    r->backend = backend;
    return OK;
}

/* The recipe of o, which may be whole; the caller frees the arena. */
static enum status parse(const struct blob_object *o, struct arena **a, struct recipe *r,
                         struct err *err)
{
    *a = arena_new(BLOB_RECIPE_ARENA_MAX);
    return *a ? recipe_parse(*a, o->recipe, o->size, r, err) : err_nomem(err);
}

enum status blob_object_open(struct blob_store *s, const struct blob_object *o, uint64_t from,
                             uint64_t n, struct blob_reader **out, struct err *err)
{
    struct blob_reader *reader;
    struct arena *a;
    struct recipe r;
    enum status st = parse(o, &a, &r, err);

    *out = NULL;
    if (!st && r.is_whole) {
        st = blob_reader_open(s, &o->sha256, o->gen, o->size, from, n, out, err);
    } else if (!st && (from > o->size || n > o->size - from)) {
        st = err_set(err, ST_INVALID, "the range lies outside of the object");
    } else if (!st) {
        reader = mem_zalloc(1, sizeof(*reader));
        st = reader ? packed_open(s, &a, &r, from, n, &reader->packed, err) : err_nomem(err);
        if (st) {
            mem_free(reader);
        } else {
            reader->left = n;
            *out = reader;
        }
    }
    arena_free(a);
    return st;
}

enum status blob_reader_next(struct blob_reader *r, void *p, size_t max, size_t *got,
                             struct err *err)
{
    enum status st;

    *got = 0;
    if (!r->left || !max) {
        return OK;
    }
    max = (size_t)MIN_OF((uint64_t)max, r->left);
    st = r->packed ? packed_next(r->packed, p, max, got, err)
                   : r->ops->read(r->backend, p, max, got, err);
    r->left -= st ? 0 : *got;
    return st;
}

enum status blob_reader_next_file(struct blob_reader *r, uint64_t max, int *fd, uint64_t *at,
                                  uint64_t *n, struct err *err)
{
    enum status st;

    *n = 0;
    max = MIN_OF(max, r->left);
    if (!r->packed || !max) {
        return OK;
    }
    st = packed_next_file(r->packed, max, fd, at, n, err);
    r->left -= st ? 0 : *n;
    return st;
}

bool blob_reader_has_pipe(const struct blob_reader *r)
{
    return !r->packed && r->ops->read_has_pipe && r->ops->read_has_pipe(r->backend);
}

enum status blob_reader_next_pipe(struct blob_reader *r, int pipe, size_t max, size_t *got,
                                  struct err *err)
{
    enum status st;

    *got = 0;
    max = (size_t)MIN_OF((uint64_t)max, r->left);
    if (r->packed || !r->ops->read_pipe || !max) {
        return OK;
    }
    st = r->ops->read_pipe(r->backend, pipe, max, got, err);
    r->left -= st ? 0 : *got;
    return st;
}

void blob_reader_close(struct blob_reader *r)
{
    if (r) {
        if (r->backend) {
            r->ops->read_end(r->backend);
        }
        packed_close(r->packed);
        mem_free(r);
    }
}

/* ---- keeping -------------------------------------------------------------------------------------------------------------------- */

enum status blob_stat(struct blob_store *s, const struct digest *sha256, int64_t gen,
                      uint64_t *size, struct err *err)
{
    *size = 0;
    return s->ops->stat(s->backend, sha256, gen, size, err);
}

enum status blob_check(struct blob_store *s, const struct digest *sha256, int64_t gen,
                       uint64_t size, struct err *err)
{
    uint64_t got;
    enum status st = blob_stat(s, sha256, gen, &got, err);

    if (st) {
        return st == ST_NOT_FOUND ? missing(err) : st;
    }
    return got == size ? OK : another_size(err);
}

enum status blob_object_check(struct blob_store *s, const struct blob_object *o, struct err *err)
{
    struct arena *a;
    struct recipe r;
    enum status st = parse(o, &a, &r, err);

    if (!st) {
        st =
            r.is_whole ? blob_check(s, &o->sha256, o->gen, o->size, err) : packed_check(s, &r, err);
    }
    arena_free(a);
    return st;
}

enum status blob_delete(struct blob_store *s, const struct digest *sha256, int64_t gen,
                        struct err *err)
{
    return s->ops->remove(s->backend, sha256, gen, err);
}

enum status blob_delete_many(struct blob_store *s, const struct blob_entry *e, size_t n,
                             struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = s->ops->remove(s->backend, &e[i].sha256, e[i].gen, err);
        FAILPOINT("blob.delete.one");
        if (!st && s->ops->settle && (i + 1 == n || e[i + 1].sha256.b[0] != e[i].sha256.b[0])) {
            st = s->ops->settle(s->backend, e[i].sha256.b[0], err);
        }
    }
    return blob_as_io(st, err);
}

void blob_hurry(struct blob_store *s)
{
    if (s->ops->hurry) {
        s->ops->hurry(s->backend);
    }
}

enum status blob_list(struct blob_store *s, unsigned shard, blob_entry_fn fn, void *ctx,
                      struct err *err)
{
    return s->ops->list(s->backend, shard, fn, ctx, err);
}

enum status blob_pack_list(struct blob_store *s, unsigned shard, blob_pack_entry_fn fn, void *ctx,
                           struct err *err)
{
    return s->ops->pack_list(s->backend, shard, fn, ctx, err);
}

/* ---- direct --------------------------------------------------------------------------------------------------------------------- */

bool blob_has_direct(const struct blob_store *s)
{
    return s->ops->has_direct && s->ops->has_direct(s->backend);
}

enum status blob_direct_begin(struct blob_store *s, struct arena *a, unsigned parts, struct str *id,
                              struct str *urls, struct err *err)
{
    if (!parts || parts > BLOB_DIRECT_PARTS) {
        return err_set(err, ST_INVALID, "an upload has 1 to %d parts", BLOB_DIRECT_PARTS);
    }
    return blob_as_io(s->ops->direct_begin(s->backend, a, parts, id, urls, err), err);
}

enum status blob_direct_join(struct blob_store *s, struct str id, const struct blob_part *parts,
                             size_t n, struct digest *sha256, uint64_t *size, struct err *err)
{
    return s->ops->direct_join(s->backend, id, parts, n, sha256, size, err);
}

enum status blob_direct_place(struct blob_store *s, struct str id, const struct digest *sha256,
                              int64_t gen, uint64_t size, struct err *err)
{
    return s->ops->direct_place(s->backend, id, sha256, gen, size, err);
}

enum status blob_direct_drop(struct blob_store *s, struct str id, struct err *err)
{
    return s->ops->direct_drop(s->backend, id, err);
}

enum status blob_direct_abort(struct blob_store *s, struct str id, struct err *err)
{
    return s->ops->direct_abort(s->backend, id, err);
}

enum status blob_direct_get(struct blob_store *s, struct arena *a, const struct digest *sha256,
                            int64_t gen, int64_t seconds, struct str *url, struct err *err)
{
    return s->ops->direct_get(s->backend, a, sha256, gen, seconds, url, err);
}

enum status blob_direct_get_small(struct blob_store *s, struct arena *a,
                                  const struct digest *sha256, struct str bytes, int64_t seconds,
                                  struct str *url, struct err *err)
{
    return s->ops->direct_get_small(s->backend, a, sha256, bytes, seconds, url, err);
}

/* ---- leftovers -------------------------------------------------------------------------------------------------------------------- */

enum status blob_tidy(struct blob_store *s, size_t *left, struct err *err)
{
    *left = 0;
    return s->ops->tidy(s->backend, left, err);
}

void blob_recipe_whole(unsigned char out[BLOB_RECIPE_WHOLE_BYTES])
{
    out[0] = 1; /* version */
    out[1] = 1; /* extents */
    out[2] = 1; /* kind: the whole object, raw, in the place of this digest and generation */
}

bool blob_recipe_is_whole(struct str recipe)
{
    unsigned char whole[BLOB_RECIPE_WHOLE_BYTES];

    blob_recipe_whole(whole);
    return recipe.n == sizeof(whole) && memcmp(recipe.p, whole, sizeof(whole)) == 0;
}
