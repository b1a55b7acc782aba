/* api/call_long.c - answers that are made piece by piece, see call.h. */
#include "api/call.h"
#include "base/log.h"

enum { PIECE_MAX = 256 << 20, SCRATCH_MAX = 512 << 20 };

static void long_release(void *ctx)
{
    struct long_answer *l = ctx;

    buf_release(&l->buf);
    arena_free(l->scratch);
}

static enum status make(struct long_answer *l, struct view *v, struct err *err)
{
    struct view own = *v;
    enum status st;

    buf_clear(&l->buf);
    arena_reset(l->scratch);
    own.arena = l->scratch;
    st = l->more(l, &own, &l->buf, &l->last, err);
    return st ? st : buf_status(&l->buf, "answer", err);
}

static void give(struct long_answer *l)
{
    http_give(l->call->req, buf_str(&l->buf), l->last ? HTTP_GIVE_LAST : HTTP_GIVE_MORE);
}

static void make_next(struct read_job *job, struct view *v)
{
    struct long_answer *l = CONTAINER_OF(job, struct long_answer, job);
    struct err err = ERR_INIT;
    enum status st;

    log_thread_request(l->call->req->id);
    if (job->st) err = job->err;
    st = job->st ? job->st : make(l, v, &err);
    if (st) {
        LOG_WARN("api", "an answer was cut: %s", err.message);
        http_give(l->call->req, S(""), HTTP_GIVE_ABORT);
    } else {
        give(l);
    }
    log_thread_request(NULL);
}

static void pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct long_answer *l = ctx;

    (void)at;
    if (!l->given) {
        l->given = true;
        give(l);
    } else if (core_read_submit(l->call->core, &l->job)) {
        LOG_WARN("api", "an answer was cut: too many reads are waiting");
        http_give(req, S(""), HTTP_GIVE_ABORT);
    }
}

enum status call_long(struct call *c, struct view *v, struct long_answer *l, struct err *err)
{
    static const struct http_producer producer = { .pull = pull };
    enum status st;

    l->call = c;
    l->scratch = arena_new(SCRATCH_MAX);
    buf_init(&l->buf, PIECE_MAX);
    if (!l->scratch || !arena_cleanup(c->arena, long_release, l)) {
        arena_free(l->scratch);
        return err_nomem(err);
    }
    l->job = (struct read_job){ .run = make_next, .arena = l->scratch };
    st = make(l, v, err);
    if (st) return st;
    if (l->last) {
        c->raw = l->buf;
        buf_init(&l->buf, PIECE_MAX);
        c->raw_type = l->type;
        return OK;
    }
    http_type(c->req, l->type);
    http_send_stream(c->req, HTTP_LENGTH_UNKNOWN, &producer, l);
    return ST_END;
}
