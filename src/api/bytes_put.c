/* api/bytes_put.c - artifacts on their way in: pieces go from the loop to a thread that hashes and writes, one at a time. */
#include "api/bytes.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "core/outside.h"
#include <inttypes.h>

enum { ROOM_MIN = 64 * 1024, ROOM_MAX = 256 * 1024 };

/* ---- what the client says about its bytes --------------------------------------------------------------------------------- */

static enum status bad_said(const char *field, struct err *err)
{
    enum status st =
        err_field(err, ST_INVALID, field, "the field %s does not hold a SHA-256 in base64", field);

    err_hint(err, "write it as sha-256=:BASE64: (Digest: sha-256=BASE64)");
    return st;
}

/* One member of a digest field: "sha-256=:...:" or "sha-256=...". Other algorithms are not looked at. */
static enum status take_member(struct arena *a, const char *field, struct str member,
                               struct digest *out, bool *has, struct err *err)
{
    struct str name, value = str_trim(member);
    bool nomem = false;

    if (!str_split(&value, '=', &name) || !str_eq_nocase(str_trim(name), S("sha-256"))) {
        return OK;
    }
    value = str_trim(value);
    if (value.n >= 2 && value.p[0] == ':' && value.p[value.n - 1] == ':') {
        value = str_sub(value, 1, value.n - 2);
    }
    if (!base64_decode(value, a, &value, &nomem) || value.n != sizeof(out->b)) {
        return nomem ? err_nomem(err) : bad_said(field, err);
    }
    if (*has && memcmp(out->b, value.p, sizeof(out->b)) != 0) {
        return err_field(err, ST_INVALID, field, "the request says two different SHA-256");
    }
    memcpy(out->b, value.p, sizeof(out->b));
    *has = true;
    return OK;
}

enum status bytes_said(const struct http_req *req, struct digest *out, bool *has, struct err *err)
{
    static const char *const fields[] = { "repr-digest", "content-digest", "digest" };
    struct str list, member;
    enum status st = OK;

    *has = false;
    for (size_t f = 0; f < ARRAY_N(fields); f++) {
        for (size_t i = 0; !st && (list = http_header_nth(req, str_cstr(fields[f]), i)).p; i++) {
            while (!st && str_split(&list, ',', &member)) {
                st = take_member(req->arena, fields[f], member, out, has, err);
            }
        }
    }
    if (!st && *has && http_header(req, S("content-encoding")).p) {
        st = err_field(err, ST_INVALID, "content-encoding",
                       "a body with a SHA-256 is sent as it is, not compressed");
    }
    return st;
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------- */

static void finish_put(struct http_req *req, void *ctx)
{
    struct bytes_put *p = ctx;

    (void)req;
    if (p->resume) {
        resume_release(p->resume);
    }
    if (p->answer) {
        p->answer(p);
        return;
    }
    if (p->st) {
        call_error(p->call, p->st, &p->err);
        return;
    }
    if (p->done) {
        p->done(p);
    }
    call_answer(p->call);
}

static void put_done(struct write_op *op)
{
    struct bytes_put *p = op->user;

    p->st = op->st;
    p->err = op->err;
    http_req_post(p->call->req, finish_put, p);
}

/* The cap of the route, also for bodies that do not say their length. */
static enum status check_size(struct bytes_put *p, uint64_t size)
{
    if (p->resume && size > p->resume->size) {
        return err_field(&p->err, ST_INVALID, "data",
                         "there are more bytes than the upload was to have (%" PRIu64 ")",
                         p->resume->size);
    }
    return !p->max || size <= p->max ? OK
                                     : err_field(&p->err, ST_INVALID, "data", "%s", p->too_big);
}

/* All bytes are here. Once OK, the call belongs to the sequencer: nothing of it may be touched. */
static enum status end_upload(struct bytes_put *p)
{
    enum status st;

    if (p->too_small && p->upload.size == 0) {
        return err_field(&p->err, ST_INVALID, "data", "%s", p->too_small);
    }
    if (p->has_said) {
        p->upload.expect = &p->said;
    }
    st = artifact_upload_end(&p->upload, &p->err);
    if (st) {
        return st;
    }
    p->put.upload = &p->upload;
    p->put.op.done = put_done;
    p->put.op.user = p;
    p->put.op.bytes = p->upload.in_blob ? 1024 : p->upload.small_n;
    return artifact_put_submit(&p->put) == OK
               ? OK
               : err_set(&p->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
}

/* ---- large bodies: while one piece is hashed and written, the next one comes ------------------------------------------------ */

static void start(struct bytes_put *p, struct bytes_step step);

/* The next piece, into the room that is not worked on. */
static void read_on(struct bytes_put *p);

static void on_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                     const struct err *err)
{
    struct bytes_put *p = ctx;
    struct bytes_step step = { what, bytes };

    p->reading = false;
    if (what == HTTP_PIECE_FAIL) {
        p->broke = *err;
    }
    if (p->is_lost) {
        finish_put(req, p);
    } else if (p->working) {
        p->next = step;
        p->has_next = true;
    } else {
        start(p, step);
    }
}

static void read_on(struct bytes_put *p)
{
    char *room = p->rooms[0] && p->now.bytes.p == p->rooms[0] ? p->rooms[1] : p->rooms[0];

    p->reading = true;
    http_body_read_into(p->call->req, room, p->room_bytes, on_piece, p);
}

/* On the loop, after a piece was worked on. */
static void worked(struct http_req *req, void *ctx)
{
    struct bytes_put *p = ctx;

    p->working = false;
    if (p->st) {
        p->is_lost = true; /* a piece that is on its way has to come first */
        if (!p->reading) {
            finish_put(req, p);
        }
    } else if (p->has_next) {
        p->has_next = false;
        start(p, p->next);
    } else if (!p->reading) {
        read_on(p);
    }
}

/* ---- uploads that go on later ------------------------------------------------------------------------------------------------ */

static void leave_writer(struct exec_job *job, unsigned worker)
{
    struct bytes_put *p = CONTAINER_OF(job, struct bytes_put, leave);

    (void)worker;
    artifact_upload_abort(&p->upload);
    switch (p->now.what) {
    case HTTP_PIECE_DATA: http_req_post(p->call->req, worked, p); break;
    case HTTP_PIECE_END: http_req_post(p->call->req, finish_put, p); break;
    case HTTP_PIECE_FAIL:
        resume_release(p->resume);
        http_send_error(p->call->req, &p->broke);
        break;
    }
}

/* On the loop, when what came is durable and said to be, or cannot be. */
static void saved(struct http_req *req, void *ctx)
{
    struct bytes_put *p = ctx;

    if (p->resume->op.st) {
        p->st = p->resume->op.st;
        p->err = p->resume->op.err;
    }
    if (p->now.what == HTTP_PIECE_DATA && !p->st) {
        worked(req, p);
        return;
    }
    p->leave.run = leave_writer;
    if (artifact_work_submit(p->call->core, &p->leave)) {
        leave_writer(&p->leave, 0);
    }
}

static void save_done(struct write_op *op)
{
    struct bytes_put *p = op->user;

    http_req_post(p->call->req, saved, p);
}

/* Makes what came durable, and goes on in saved(). */
static enum status save(struct bytes_put *p)
{
    struct resume *r = p->resume;
    enum status st = resume_save(r, &p->upload, &p->err);

    if (st) {
        return st;
    }
    r->op.user = p;
    r->op.done = save_done;
    r->op.bytes = r->saved.ledger.n;
    return seq_submit(p->call->core->seq, &r->op) == OK
               ? OK
               : err_set(&p->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
}

/* All of a body is here; one that is not what was sent keeps nothing. */
static void check_sum(struct bytes_put *p)
{
    unsigned char got[CHECKSUM_MAX];

    if (p->sum && !p->st) {
        size_t n = checksum_end(p->sum, got);

        p->is_damaged = n != p->sum_said.n || memcmp(got, p->sum_said.p, n) != 0;
    }
    if (p->is_damaged) {
        p->st = err_field(&p->err, ST_INVALID, "upload-checksum",
                          "the body is not what was sent: its checksum is another one");
        err_hint(&p->err, "nothing of it is kept; send it again");
    }
}

/* On a thread that hashes. True: saved() goes on, maybe already: nothing of the call may be touched. */
static bool is_saving(struct bytes_put *p)
{
    enum status st;

    if (!p->resume || p->st) {
        return false;
    }
    switch (p->now.what) {
    case HTTP_PIECE_DATA:
        if (p->sum || !resume_is_due(p->resume, &p->upload)) {
            return false;
        }
        break;
    case HTTP_PIECE_FAIL:
        if (p->sum || !p->upload.writer || check_size(p, p->upload.size + p->now.bytes.n) ||
            artifact_upload_piece(&p->upload, p->now.bytes, &p->err) ||
            p->upload.size == p->resume->have || p->upload.size == p->resume->size) {
            return false;
        }
        break;
    case HTTP_PIECE_END:
        p->is_whole = p->upload.size == p->resume->size;
        if (p->is_whole) {
            return false;
        }
        break;
    }
    st = save(p);
    if (st) {
        p->st = st;
    }
    return st == OK;
}

static void work(struct exec_job *job, unsigned worker)
{
    struct bytes_put *p = CONTAINER_OF(job, struct bytes_put, work);
    enum status st;

    (void)worker;
    switch (p->now.what) {
    case HTTP_PIECE_FAIL:
        if (is_saving(p)) {
            return;
        }
        artifact_upload_abort(&p->upload);
        if (p->resume) {
            resume_release(p->resume);
        }
        http_send_error(p->call->req, &p->broke);
        return;
    case HTTP_PIECE_DATA:
        p->st = check_size(p, p->upload.size + p->now.bytes.n);
        p->st = p->st ? p->st : artifact_upload_piece(&p->upload, p->now.bytes, &p->err);
        if (p->sum && !p->st) {
            checksum_update(p->sum, p->now.bytes.p, p->now.bytes.n);
        }
        if (is_saving(p)) {
            return;
        }
        break;
    case HTTP_PIECE_END:
        check_sum(p);
        if (is_saving(p)) {
            return;
        }
        st = p->st ? p->st : end_upload(p);
        if (!st) {
            return;
        }
        p->st = st;
        break;
    }
    if (p->st) {
        artifact_upload_abort(&p->upload);
    }
    http_req_post(p->call->req, worked, p);
}

static bool is_in_a_room(const struct bytes_put *p, struct str bytes)
{
    return bytes.p && (bytes.p == p->rooms[0] || bytes.p == p->rooms[1]);
}

static void start(struct bytes_put *p, struct bytes_step step)
{
    p->now = step;
    p->working = true;
    p->work.run = work;
    if (outside_work_submit(p->call->core, &p->put.place, &p->work)) {
        p->working = false;
        p->st = err_set(&p->err, ST_UNAVAILABLE, "too many uploads are waiting; try again");
        artifact_upload_abort(&p->upload);
        finish_put(p->call->req, p);
    } else if (step.what == HTTP_PIECE_DATA && is_in_a_room(p, step.bytes)) {
        read_on(p);
    }
}

static void free_rooms(void *ctx)
{
    struct bytes_put *p = ctx;

    mem_free(p->rooms[0]);
}

/* Two rooms, where the body is large and says so. Without them pieces come as they are. */
static enum status make_rooms(struct bytes_put *p)
{
    uint64_t n = p->call->req->content_length;

    if (n == UINT64_MAX || n <= ROOM_MIN) {
        return OK;
    }
    p->room_bytes = (size_t)MIN_OF(MAX_OF(n / 2, (uint64_t)ROOM_MIN), (uint64_t)ROOM_MAX);
    p->rooms[0] = mem_alloc(2 * p->room_bytes);
    if (!p->rooms[0] || !arena_cleanup(p->call->arena, free_rooms, p)) {
        mem_free(p->rooms[0]);
        p->rooms[0] = NULL;
        return err_nomem(&p->err);
    }
    p->rooms[1] = p->rooms[0] + p->room_bytes;
    return OK;
}

/* On a pool thread: where do the bytes go? Then the first piece is asked for. */
static void find_place(struct read_job *job, struct view *v)
{
    struct bytes_put *p = CONTAINER_OF(job, struct bytes_put, job);

    p->st = job->st;
    if (p->st) {
        p->err = job->err;
    } else {
        p->st = p->where(p, v, &p->put.place, &p->err);
    }
    p->st = p->st ? p->st : artifact_put_check(v, &p->put.place, &p->err);
    p->st =
        p->st ? p->st : artifact_upload_begin(&p->upload, p->call->core, p->call->arena, &p->err);
    p->upload.into = p->put.place.outside ? &p->put.place : NULL;
    p->st = p->st ? p->st : make_rooms(p);
    if (p->st) {
        call_error(p->call, p->st, &p->err);
    } else {
        read_on(p);
    }
}

/* ---- small bodies: all of it first, then one turn of a pool thread ---------------------------------------------------------- */

static void put_small(struct read_job *job, struct view *v)
{
    struct bytes_put *p = CONTAINER_OF(job, struct bytes_put, job);
    enum status st = job->st;

    if (st) {
        p->err = job->err;
    } else {
        st = p->where(p, v, &p->put.place, &p->err);
    }
    if (!st) {
        artifact_upload_all(&p->upload, p->call->core, p->call->arena,
                            str_of(p->small, p->small_n));
        st = end_upload(p);
    }
    if (st) {
        call_error(p->call, st, &p->err);
    }
}

static void submit_read(struct bytes_put *p, void (*run)(struct read_job *job, struct view *v))
{
    p->job = (struct read_job){ .run = run, .arena = p->call->arena };
    if (core_read_submit(p->call->core, &p->job)) {
        p->st = err_set(&p->err, ST_UNAVAILABLE, "too many reads are waiting; try again");
        call_error(p->call, p->st, &p->err);
    }
}

static void on_small(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                     const struct err *err)
{
    struct bytes_put *p = ctx;

    switch (what) {
    case HTTP_PIECE_FAIL: http_send_error(req, err); return;
    case HTTP_PIECE_DATA:
        memcpy(p->small + p->small_n, bytes.p, bytes.n);
        p->small_n += bytes.n;
        http_body_read(req, on_small, p);
        return;
    case HTTP_PIECE_END: submit_read(p, put_small); return;
    }
}

/* A part taken for the whole would replace the file that it is a part of. */
static enum status is_whole(const struct http_req *req, struct err *err)
{
    enum status st;

    if (!http_header(req, S("content-range")).p) {
        return OK;
    }
    st = err_field(err, ST_INVALID, "content-range", "a file is sent whole, not a range of it");
    err_hint(err, "send it in one request, or in pieces to /api/cairn/v1/uploads");
    return st;
}

void bytes_put_begin(struct call *c, struct bytes_put *p)
{
    uint64_t n = c->req->content_length;
    enum status st = is_whole(c->req, &c->err);

    st = st ? st : bytes_said(c->req, &p->said, &p->has_said, &c->err);
    if (!st && p->max && n != UINT64_MAX && n > p->max) {
        st = err_field(&c->err, ST_INVALID, "data", "%s", p->too_big);
    }
    p->call = c;
    artifact_put_init(&p->put, c->core, c->arena);
    if (!st && n <= ARTIFACT_INLINE_MAX && !http_header(c->req, S("content-encoding")).p) {
        p->small = arena_alloc(c->arena, (size_t)n + 1);
        st = p->small ? OK : err_nomem(&c->err);
    }
    if (st) {
        call_error(c, st, &c->err);
    } else if (p->small) {
        http_body_read(c->req, on_small, p);
    } else {
        submit_read(p, find_place);
    }
}

/* ---- the beginning of a part ---------------------------------------------------------------------------------------------------- */

static void open_writer(struct exec_job *job, unsigned worker)
{
    struct bytes_put *p = CONTAINER_OF(job, struct bytes_put, work);

    (void)worker;
    p->st = resume_open(p->resume, &p->upload, &p->err);
    p->st = p->st ? p->st : make_rooms(p);
    if (p->st) {
        artifact_upload_abort(&p->upload);
        http_req_post(p->call->req, finish_put, p);
    } else {
        read_on(p);
    }
}

void bytes_put_resume(struct call *c, struct bytes_put *p, struct resume *r)
{
    uint64_t n = c->req->content_length;

    p->call = c;
    p->resume = r;
    artifact_put_init(&p->put, c->core, c->arena);
    p->put.place = r->place;
    p->st = n == UINT64_MAX ? OK : check_size(p, r->have + MIN_OF(n, UINT64_MAX / 2));
    p->work.run = open_writer;
    if (!p->st && artifact_work_submit(c->core, &p->work) == OK) {
        return; /* all of it is that thread's now */
    }
    if (!p->st) {
        p->st = err_set(&p->err, ST_UNAVAILABLE, "too many uploads are waiting; try again");
    }
    finish_put(c->req, p);
}
