/* api/archive.c - walks on pool threads that read SQL, reads bytes on those that may wait. */
#include "api/archive.h"
#include "api/bytes.h"
#include "base/log.h"
#include "base/sys.h"
#include "core/names.h"
#include <errno.h>

enum {
    PIECE = 256 * 1024,          /* what one give aims at */
    OUT_MAX = PIECE + 64 * 1024, /* and a header, and a small file */
    INDEX_HELD = 64 * 1024,      /* of the index in memory */
    INDEX_MAX = INDEX_HELD + 8 * 1024,
    SCRATCH_MAX = 64 << 20,
};

struct archive_answer {
    struct call *call;
    struct artifact_place place;
    struct artifact_walk walk;
    struct archive z;
    struct buf out, index;
    enum { STEP_WALK, STEP_BYTES, STEP_INDEX, STEP_END } step;
    int spill; /* of the index; -1 = all of it is in memory */
    uint64_t spilled, index_at;
    struct artifact_bytes bytes; /* of the entry whose bytes follow */
    char name[ARTIFACT_PATH_MAX];
    struct blob_reader *reader;
    uint64_t bytes_at;
    bool is_first;
    struct arena *scratch;
    struct read_job read;
    struct exec_job work;
};

static void release(void *ctx)
{
    struct archive_answer *r = ctx;

    artifact_read_end(r->reader);
    if (r->bytes.fd >= 0) {
        (void)sys.close(r->bytes.fd);
    }
    if (r->spill >= 0) {
        (void)sys.close(r->spill);
    }
    buf_release(&r->out);
    buf_release(&r->index);
    arena_free(r->scratch);
}

/* ---- the index -------------------------------------------------------------------------------------------------------------------- */

static enum status spill_index(struct archive_answer *r, struct err *err)
{
    size_t done = 0;
    enum status st = OK;

    if (r->spill < 0) {
        st = artifact_nameless(r->call->core, &r->spill, err);
    }
    while (!st && done < r->index.n) {
        ssize_t n = sys.pwrite(r->spill, r->index.p + done, r->index.n - done, (off_t)r->spilled);

        if (n < 0) {
            st = err_errno(err, errno, "cannot put the index of an archive aside");
        } else {
            done += (size_t)n;
            r->spilled += (uint64_t)n;
        }
    }
    buf_clear(&r->index);
    return st;
}

/* The next bytes of the index; after them the end. */
static enum status give_index(struct archive_answer *r, struct err *err)
{
    uint64_t left = r->spilled - r->index_at;
    ssize_t n;

    if (left) {
        if (!buf_reserve(&r->out, PIECE)) {
            return err_nomem(err);
        }
        n = sys.pread(r->spill, r->out.p, (size_t)MIN_OF(left, (uint64_t)PIECE),
                      (off_t)r->index_at);
        if (n <= 0) {
            return err_set(err, ST_IO, "the index of an archive cannot be read back");
        }
        r->out.n = (size_t)n;
        r->index_at += (uint64_t)n;
        return OK;
    }
    buf_put_str(&r->out, buf_str(&r->index));
    archive_end(&r->z, &r->out, r->spilled + r->index.n);
    r->step = STEP_END;
    return OK;
}

/* ---- entries ------------------------------------------------------------------------------------------------------------------------ */

static enum status end_entry(struct archive_answer *r, struct err *err)
{
    if (!archive_entry_end(&r->z, &r->out, &r->index)) {
        return err_set(err, ST_CORRUPT, "an artifact has another size than its row says");
    }
    return r->index.n >= INDEX_HELD ? spill_index(r, err) : OK;
}

static enum status add_file(struct archive_answer *r, struct view *v,
                            const struct artifact_place *at, struct archive_entry *e,
                            struct err *err)
{
    enum status st = artifact_open(v, at, &r->bytes, err);

    if (st) {
        return st;
    }
    e->size = (uint64_t)r->bytes.size;
    if (!r->bytes.size) { /* nothing has to be read: files of others may be empty too */
        if (r->bytes.fd >= 0) {
            (void)sys.close(r->bytes.fd);
        }
        r->bytes = (struct artifact_bytes){ .fd = -1, .inline_bytes = S("") };
    }
    if (r->bytes.fd < 0 && !r->bytes.is_remote) {
        e->all = r->bytes.inline_bytes;
        archive_entry(&r->z, &r->out, e);
        archive_bytes(&r->z, e->all.p, e->all.n);
        buf_put_str(&r->out, e->all);
        return end_entry(r, err);
    }
    archive_entry(&r->z, &r->out, e);
    r->bytes_at = 0;
    r->step = STEP_BYTES;
    return OK;
}

static enum status add_entry(struct archive_answer *r, struct view *v,
                             const struct artifact_info *info, const struct artifact_place *at,
                             struct err *err)
{
    struct archive_entry e = { .name = info->name,
                               .is_dir = info->is_dir,
                               .mtime_ms = info->mtime_ms };

    if (name_check_artifact_path(info->name, err)) {
        return err_set(err, ST_CORRUPT, "an artifact has a name that is not safe to extract");
    }
    /* The name is needed until the entry ends, which may be under another view. */
    if (info->name.n > sizeof(r->name)) {
        return err_set(err, ST_CORRUPT, "an artifact has a path that is too long");
    }
    memcpy(r->name, info->name.p, info->name.n);
    e.name = str_of(r->name, info->name.n);
    if (!info->is_dir) {
        return add_file(r, v, at, &e, err);
    }
    archive_entry(&r->z, &r->out, &e);
    return end_entry(r, err);
}

/* Entries, until there is enough to send or bytes have to be read. */
static enum status walk_on(struct archive_answer *r, struct view *v, struct err *err)
{
    struct view own = *v;
    enum status st = OK;

    arena_reset(r->scratch); /* what r->bytes needs lies there until its last byte is read */
    own.arena = r->scratch;
    while (!st && r->step == STEP_WALK && r->out.n < PIECE - 2 * ARTIFACT_INLINE_MAX) {
        struct artifact_info info;
        struct artifact_place at;

        st = artifact_walk_next(&r->walk, &own, &info, &at, err);
        if (st == ST_END) {
            r->step = STEP_INDEX;
            st = r->is_first && r->place.path.n
                     ? err_field(err, ST_NOT_FOUND, "path", "No such artifact: '%.*s'",
                                 STR_ARG(r->place.path))
                     : OK;
        } else if (!st) {
            r->is_first = false;
            st = add_entry(r, &own, &info, &at, err);
        }
    }
    artifact_walk_pause(&r->walk);
    if (!st && r->step == STEP_INDEX && r->z.kind == ARCHIVE_TAR) {
        st = give_index(r, err); /* it is empty */
    }
    return st ? st : buf_status(&r->out, "archive", err);
}

/* The next bytes of a file. */
static enum status read_on(struct archive_answer *r, struct err *err)
{
    uint64_t left = (uint64_t)r->bytes.size - r->bytes_at;
    size_t want = (size_t)MIN_OF(left, (uint64_t)PIECE), got = 0;
    enum status st = OK;

    if (!buf_reserve(&r->out, want)) {
        return err_nomem(err);
    }
    if (r->bytes.fd >= 0) {
        ssize_t n = sys.pread(r->bytes.fd, r->out.p, want, (off_t)r->bytes_at);

        if (n <= 0) {
            return err_set(err, ST_CORRUPT, "an artifact became shorter while it was read");
        }
        got = (size_t)n;
    } else {
        if (!r->reader) {
            st = artifact_read_begin(r->call->core, &r->bytes, 0, (uint64_t)r->bytes.size,
                                     &r->reader, err);
        }
        st = st ? st : artifact_read(r->reader, r->out.p, want, &got, err);
        if (!st && !got) {
            st = err_set(err, ST_CORRUPT, "an artifact became shorter while it was read");
        }
    }
    if (st) {
        return st;
    }
    archive_bytes(&r->z, r->out.p, got);
    r->out.n = got;
    r->bytes_at += got;
    if (r->bytes_at < (uint64_t)r->bytes.size) {
        return OK;
    }
    artifact_read_end(r->reader);
    r->reader = NULL;
    if (r->bytes.fd >= 0) {
        (void)sys.close(r->bytes.fd);
        r->bytes.fd = -1;
    }
    r->step = STEP_WALK;
    return end_entry(r, err);
}

/* ---- the stream ---------------------------------------------------------------------------------------------------------------------- */

static void give(struct archive_answer *r, enum status st, const struct err *err)
{
    if (!st && r->out.failed) {
        st = r->out.failed;
    }
    if (st) {
        LOG_WARN("artifacts", "an archive broke off: %s", err->message);
        http_give(r->call->req, S(""), HTTP_GIVE_ABORT);
        return;
    }
    http_give(r->call->req, buf_str(&r->out),
              r->step == STEP_END ? HTTP_GIVE_LAST : HTTP_GIVE_MORE);
}

static void read_step(struct read_job *job, struct view *v)
{
    struct archive_answer *r = CONTAINER_OF(job, struct archive_answer, read);
    struct err err = job->st ? job->err : (struct err)ERR_INIT;
    enum status st = job->st ? job->st : walk_on(r, v, &err);

    if (!st && !r->out.n) { /* nothing but the index is left */
        st = give_index(r, &err);
    }
    give(r, st, &err);
}

static void work_step(struct exec_job *job, unsigned worker)
{
    struct archive_answer *r = CONTAINER_OF(job, struct archive_answer, work);
    struct err err = ERR_INIT;
    enum status st = r->step == STEP_BYTES ? read_on(r, &err) : give_index(r, &err);

    (void)worker;
    give(r, st, &err);
}

static void pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct archive_answer *r = ctx;
    bool refused;

    (void)at;
    if (r->is_first) { /* what the endpoint has made */
        r->is_first = false;
        give(r, OK, NULL);
        return;
    }
    buf_clear(&r->out);
    if (r->step == STEP_WALK) {
        refused = core_read_submit(r->call->core, &r->read) != OK;
    } else {
        refused = artifact_work_submit(r->call->core, &r->work) != OK;
    }
    if (refused) {
        LOG_WARN("artifacts", "an archive broke off: too much is waiting");
        http_give(req, S(""), HTTP_GIVE_ABORT);
    }
}

enum status archive_send(struct call *c, struct view *v, const struct artifact_place *place,
                         enum archive_kind kind, struct str name, struct err *err)
{
    static const struct http_producer producer = { .pull = pull };
    struct archive_answer *r = ARENA_NEW(c->arena, struct archive_answer);
    enum status st;

    if (!r) {
        return err_nomem(err);
    }
    r->call = c;
    r->place = *place;
    r->spill = -1;
    r->bytes.fd = -1;
    r->is_first = true;
    buf_init(&r->out, OUT_MAX);
    buf_init(&r->index, INDEX_MAX);
    r->scratch = arena_new(SCRATCH_MAX);
    if (!r->scratch || !arena_cleanup(c->arena, release, r)) {
        arena_free(r->scratch);
        return err_nomem(err);
    }
    r->read = (struct read_job){ .run = read_step, .arena = r->scratch };
    r->work.run = work_step;
    archive_begin(&r->z, kind);
    artifact_walk_begin(&r->walk, &r->place);
    st = walk_on(r, v, err);
    if (st) {
        return st;
    }
    if (!r->out.n) {
        st = give_index(r, err);
        if (st) {
            return st;
        }
    }
    name = arena_printf(c->arena, "%.*s.%s", STR_ARG(name), kind == ARCHIVE_ZIP ? "zip" : "tar");
    if (!name.p) {
        return err_nomem(err);
    }
    r->is_first = true;
    http_type(c->req, bytes_type(name));
    bytes_disposition(c, name);
    bytes_no_script(c);
    http_no_compress(c->req);
    http_send_stream(c->req, HTTP_LENGTH_UNKNOWN, &producer, r);
    return ST_END;
}
