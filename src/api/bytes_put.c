/* api/bytes_put.c - artifacts on their way in: pieces go from the loop to a thread that hashes and writes, one at a time. */
#include "api/bytes.h"
#include "codec/base64.h"

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

/* ---- pieces ------------------------------------------------------------------------------------------------------------------ */

static void finish_put(struct http_req *req, void *ctx)
{
    struct bytes_put *p = ctx;

    (void)req;
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

static void work(struct exec_job *job, unsigned worker);

static void on_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                     const struct err *err)
{
    struct bytes_put *p = ctx;

    (void)req;
    p->what = what == HTTP_PIECE_DATA  ? BYTES_PIECE
              : what == HTTP_PIECE_END ? BYTES_END
                                       : BYTES_FAIL;
    p->bytes = bytes;
    if (what == HTTP_PIECE_FAIL) {
        p->err = *err;
    }
    p->work.run = work;
    if (artifact_work_submit(p->call->core, &p->work)) {
        p->st = err_set(&p->err, ST_UNAVAILABLE, "too many uploads are waiting; try again");
        artifact_upload_abort(&p->upload);
        finish_put(req, p);
    }
}

static void fail_put(struct bytes_put *p)
{
    artifact_upload_abort(&p->upload);
    call_error(p->call, p->st, &p->err);
}

/* The cap of the route, also for bodies that do not say their length. */
static enum status check_size(struct bytes_put *p, uint64_t size)
{
    return !p->max || size <= p->max ? OK
                                     : err_field(&p->err, ST_INVALID, "data", "%s", p->too_big);
}

/* All bytes are here. */
static enum status end_upload(struct bytes_put *p)
{
    if (p->too_small && p->upload.size == 0) {
        return err_field(&p->err, ST_INVALID, "data", "%s", p->too_small);
    }
    if (p->has_said) {
        p->upload.expect = &p->said;
    }
    return artifact_upload_end(&p->upload, &p->err);
}

static void work(struct exec_job *job, unsigned worker)
{
    struct bytes_put *p = CONTAINER_OF(job, struct bytes_put, work);

    (void)worker;
    switch (p->what) {
    case BYTES_FAIL:
        artifact_upload_abort(&p->upload);
        http_send_error(p->call->req, &p->err);
        return;
    case BYTES_PIECE:
        p->st = check_size(p, p->upload.size + p->bytes.n);
        p->st = p->st ? p->st : artifact_upload_piece(&p->upload, p->bytes, &p->err);
        if (p->st) {
            fail_put(p);
        } else {
            http_body_read(p->call->req, on_piece, p);
        }
        return;
    case BYTES_END: break;
    }
    p->st = end_upload(p);
    if (!p->st) {
        p->put.upload = &p->upload;
        p->put.op.done = put_done;
        p->put.op.user = p;
        p->put.op.bytes = p->upload.in_blob ? 1024 : p->upload.small_n;
        /* Once submitted, the call belongs to the sequencer: nothing of it may be touched here. */
        if (seq_submit(p->call->core->seq, &p->put.op) == OK) {
            return;
        }
        p->st = err_set(&p->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
    }
    fail_put(p);
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
    if (!p->st && p->call->req->content_length > ARTIFACT_INLINE_MAX) {
        p->st = artifact_put_check(v, &p->put.place, &p->err);
    }
    p->st =
        p->st ? p->st : artifact_upload_begin(&p->upload, p->call->core, p->call->arena, &p->err);
    if (p->st) {
        call_error(p->call, p->st, &p->err);
    } else {
        http_body_read(p->call->req, on_piece, p);
    }
}

void bytes_put_begin(struct call *c, struct bytes_put *p)
{
    enum status st = bytes_said(c->req, &p->said, &p->has_said, &c->err);

    if (!st && p->max && c->req->content_length != UINT64_MAX && c->req->content_length > p->max) {
        st = err_field(&c->err, ST_INVALID, "data", "%s", p->too_big);
    }
    if (st) {
        call_error(c, st, &c->err);
        return;
    }
    p->call = c;
    artifact_put_init(&p->put, c->core, c->arena);
    p->job = (struct read_job){ .run = find_place, .arena = c->arena };
    if (core_read_submit(c->core, &p->job)) {
        err_set(&p->err, ST_UNAVAILABLE, "too many reads are waiting; try again");
        call_error(c, ST_UNAVAILABLE, &p->err);
    }
}
