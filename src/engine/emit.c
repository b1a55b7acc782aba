/* engine/emit.c - see emit.h. A page of facts is told one after the other, then the mark moves over it: a crash in between tells the page
 * again. The text of an event that is tried again is the one of the first try. */
#include "engine/emit.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "engine/emit_event.h"

#include <stdatomic.h>

enum {
    POLL_MS = 500,
    STANDBY_MS = 2000,
    RETRY_MIN_MS = 500,
    RETRY_MAX_MS = 60000,
    BROKEN_MAX = 10,
    PAGES_IN_A_STEP = 16,
    LINES_BYTES = 4 << 20, /* of a file that are synced at once */
    ARENA_MAX = 320 << 20
};

struct destination {
    struct emitter *e;
    const char *name, *where;
    bool is_file;
    struct outbox *outbox;
    struct exec_actor *actor;
    struct arena *arena; /* of one try */
    struct buf text;     /* of the event that is being told; for a file: of all since `first` */
    bool taken, page, written; /* written: text holds the event of facts[at] */
    bool backed_off;           /* this step found the destination away, and set wait_until_ms */
    const struct outbox_fact *facts;
    size_t n, at;
    uint64_t page_sent, page_dead;
    unsigned failures, broken;
    int64_t wait_until_ms;
    _Atomic unsigned state;
    _Atomic uint64_t sent, failed, dead;
    _Atomic int64_t since_ms; /* monotonic time at which the page was read; 0 = none */
};

struct emitter {
    struct core *core;
    struct emit_options opt;
    struct destination list[EMIT_DESTINATIONS];
    size_t n;
    _Atomic bool stopping;
};

const char *emit_state_name(enum emit_state s)
{
    static const char *const names[] = { "idle", "telling", "waiting", "standby" };

    return names[s];
}

static bool is_stopping(void *ctx)
{
    return atomic_load_explicit(&((struct emitter *)ctx)->stopping, memory_order_acquire);
}

static void show(struct destination *d, enum emit_state state)
{
    atomic_store_explicit(&d->state, (unsigned)state, memory_order_relaxed);
}

/* ---- one event ------------------------------------------------------------------------------------------------------------------- */

/* What was waited for is over. */
static void works(struct destination *d)
{
    if (d->failures > 0) LOG_INFO("emit", "events go to %s again", d->where);
    d->failures = 0;
}

static void told(struct destination *d, size_t upto, uint64_t sent, uint64_t dead)
{
    d->at = upto;
    d->page_sent += sent;
    d->page_dead += dead;
    d->written = false;
    d->broken = 0;
    buf_clear(&d->text);
    atomic_fetch_add_explicit(&d->sent, sent, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->dead, dead, memory_order_relaxed);
    works(d);
}

static enum status write_event(struct destination *d, const struct outbox_fact *f, struct buf *out,
                               struct err *err)
{
    struct view *v;
    enum status st = outbox_view(d->outbox, &v, err);

    if (st) return st;
    st = emit_event(v, f, str_cstr(d->e->opt.ns), out, err);
    outbox_view_end(d->outbox);
    return st;
}

/* What cannot be described is not waited for: its data are damaged, or it is larger than any event. */
static bool is_for_good(enum status st)
{
    return st == ST_TOO_BIG || st == ST_CORRUPT || st == ST_INVALID;
}

static enum status keep_refused(struct destination *d, struct str why, struct str event,
                                struct err *err)
{
    enum status st = emit_bury(d->e->opt.refused, d->name, why, event, err);

    if (st) return st;
    LOG_WARN("emit", "%s did not take an event, which is kept in %s: %.*s", d->where,
             d->e->opt.refused, STR_ARG(str_sub(why, 0, 300)));
    return OK;
}

static enum status bury(struct destination *d, struct str why, struct str event, struct err *err)
{
    enum status st = keep_refused(d, why, event, err);

    if (!st) told(d, d->at + 1, 0, 1);
    return st;
}

static enum status describe(struct destination *d, struct err *err)
{
    enum status st;

    if (d->written) return OK;
    buf_clear(&d->text);
    st = write_event(d, &d->facts[d->at], &d->text, err);
    if (is_for_good(st)) {
        struct err ours = *err;

        buf_clear(&d->text);
        return bury(d, str_cstr(ours.message), S("null"), err);
    }
    d->written = st == OK;
    return st;
}

/* When to try again, in d->wait_until_ms. Whether to say so: not every time. */
static bool back_off(struct destination *d, int64_t after_ms)
{
    int64_t most = d->e->opt.retry_max_ms, wait = d->e->opt.retry_min_ms;

    for (unsigned i = 0; i < d->failures && wait < most; i++) {
        wait *= 2;
    }
    wait = MIN_OF(wait, most);
    wait = wait / 2 + (int64_t)rand_below((uint64_t)(wait - wait / 2) + 1);
    wait = MAX_OF(wait, after_ms);
    d->wait_until_ms = clock_mono_ms() + wait;
    d->failures++;
    d->backed_off = true;
    atomic_fetch_add_explicit(&d->failed, 1, memory_order_relaxed);
    return d->failures == 1 || d->failures % 100 == 0;
}

/* Not taken now. */
static enum status later(struct destination *d, int64_t after_ms, struct str why, struct err *err)
{
    if (back_off(d, after_ms)) {
        LOG_WARN("emit", "%s does not take events now, they wait: %.*s", d->where,
                 STR_ARG(str_sub(why, 0, 300)));
    }
    return err_set(err, ST_UNAVAILABLE, "%s does not take events now", d->where);
}

static enum status post(struct destination *d, struct err *err)
{
    struct emit_answer answer;
    struct err failed = ERR_INIT;
    enum status st = describe(d, err);

    if (st || !d->written) return st; /* or it was buried */
    if (d->text.n == 0) {
        told(d, d->at + 1, 0, 0);
        return OK;
    }
    arena_reset(d->arena);
    st = emit_post(&d->e->opt.to, d->arena, buf_str(&d->text), &answer, &failed);
    if (st) return later(d, 0, str_cstr(failed.message), err);
    switch (answer.outcome) {
    case EMIT_TAKEN: told(d, d->at + 1, 1, 0); return OK;
    case EMIT_REFUSED: return bury(d, answer.why, buf_str(&d->text), err);
    case EMIT_BROKEN:
        if (++d->broken >= d->e->opt.broken_max) {
            return bury(d, answer.why, buf_str(&d->text), err);
        }
        return later(d, answer.after_ms, answer.why, err);
    case EMIT_LATER: break;
    }
    return later(d, answer.after_ms, answer.why, err);
}

/* ---- a file ---------------------------------------------------------------------------------------------------------------------- */

/* As many of the page's events as are synced at once. */
static enum status append(struct destination *d, struct err *err)
{
    struct buf one = BUF_INIT(EMIT_EVENT_MAX);
    size_t upto = d->at;
    uint64_t sent = 0, dead = 0;
    enum status st = OK;

    buf_clear(&d->text);
    while (!st && upto < d->n && d->text.n < LINES_BYTES) {
        buf_clear(&one);
        st = write_event(d, &d->facts[upto], &one, err);
        if (is_for_good(st)) {
            struct err ours = *err;

            st = keep_refused(d, str_cstr(ours.message), S("null"), err);
            dead += st == OK;
        } else if (!st && one.n > 0) {
            buf_put_str(&d->text, buf_str(&one));
            buf_put_u8(&d->text, '\n');
            sent++;
        }
        upto += st == OK;
    }
    buf_release(&one);
    if (!st) st = buf_status(&d->text, "events", err);
    if (!st && d->text.n > 0) {
        struct err failed = ERR_INIT;

        if (fs_append_lines(d->where, d->text.p, d->text.n, 0640, &failed)) {
            return later(d, 0, str_cstr(failed.message), err);
        }
    }
    if (!st) told(d, upto, sent, dead);
    return st;
}

/* ---- the thread -------------------------------------------------------------------------------------------------------------------- */

/* The mark moves over the page that has been told, and the next one is read. *idle: there is none. */
static enum status next_page(struct destination *d, bool *idle, struct err *err)
{
    bool more = false;
    enum status st = OK;

    if (d->page) st = outbox_advance(d->outbox, d->page_sent, d->page_dead, err);
    if (st) return st;
    d->page = false;
    d->page_sent = d->page_dead = 0;
    d->n = d->at = 0;
    atomic_store_explicit(&d->since_ms, 0, memory_order_relaxed);
    st = outbox_read(d->outbox, &d->facts, &d->n, &more, err);
    if (st) return st;
    d->page = more;
    *idle = !more;
    if (d->n > 0) {
        atomic_store_explicit(&d->since_ms, MAX_OF(clock_mono_ms(), (int64_t)1),
                              memory_order_relaxed);
    }
    return OK;
}

static enum status take(struct destination *d, struct err *err)
{
    enum status st = outbox_take(d->outbox, err);

    if (st) return st;
    d->taken = true;
    d->page = d->written = false;
    d->n = d->at = 0;
    d->page_sent = d->page_dead = 0;
    buf_clear(&d->text);
    return OK;
}

/* What to do after a step that did not get on; in how many milliseconds the next one is wanted. */
static int64_t rest(struct destination *d, enum status st, const struct err *err)
{
    int64_t now = clock_mono_ms();

    if (st == ST_CONFLICT) {
        if (d->taken) LOG_INFO("emit", "another server tells %s from now on", d->where);
        d->taken = false;
        atomic_store_explicit(&d->since_ms, 0, memory_order_relaxed);
        d->failures = 0;
        show(d, EMIT_STANDBY);
        return d->e->opt.standby_ms;
    }
    show(d, EMIT_WAITING);
    /* Else it is the store, memory, or the file of what was refused. */
    if (!d->backed_off && back_off(d, 0)) {
        LOG_WARN("emit", "events for %s wait, this server cannot tell them now: %s", d->where,
                 err->message);
    }
    return MAX_OF(d->wait_until_ms - now, (int64_t)1);
}

static int64_t step(void *ctx)
{
    struct destination *d = ctx;
    struct err err = ERR_INIT;
    bool idle = false;
    int64_t left = d->wait_until_ms - clock_mono_ms();
    enum status st = OK;

    if (is_stopping(d->e)) return -1;
    if (d->failures > 0 && left > 0) return left;
    d->backed_off = false;
    if (!d->taken) st = take(d, &err);
    for (int i = 0; !st && !idle && i < PAGES_IN_A_STEP && !is_stopping(d->e); i++) {
        while (!st && d->at < d->n && !is_stopping(d->e)) {
            show(d, EMIT_TELLING);
            st = d->is_file ? append(d, &err) : post(d, &err);
        }
        if (!st && d->at >= d->n) st = next_page(d, &idle, &err);
    }
    if (is_stopping(d->e)) return -1;
    if (st) return rest(d, st, &err);
    works(d);
    if (!idle) return 1;
    show(d, EMIT_IDLE);
    return d->e->opt.poll_ms;
}

/* ---- life cycle -------------------------------------------------------------------------------------------------------------------- */

static void defaults(struct emit_options *o)
{
    if (o->poll_ms == 0) o->poll_ms = POLL_MS;
    if (o->standby_ms == 0) o->standby_ms = STANDBY_MS;
    if (o->retry_min_ms == 0) o->retry_min_ms = RETRY_MIN_MS;
    if (o->retry_max_ms == 0) o->retry_max_ms = RETRY_MAX_MS;
    if (o->broken_max == 0) o->broken_max = BROKEN_MAX;
    if (!o->ns) o->ns = "cairn";
}

static enum status add(struct emitter *e, const char *name, const char *where, bool is_file,
                       struct err *err)
{
    struct destination *d = &e->list[e->n++];
    enum status st;

    d->e = e;
    d->name = name;
    d->where = where;
    d->is_file = is_file;
    d->text.max = EMIT_EVENT_MAX + LINES_BYTES + 1;
    d->arena = arena_new(ARENA_MAX);
    st = d->arena ? outbox_new(&d->outbox, e->core, name, err) : err_nomem(err);
    return st ? st : exec_actor_new(&d->actor, "emitter", step, d, err);
}

enum status emit_start(struct emitter **out, struct core *core, const struct emit_options *opt,
                       struct err *err)
{
    const char *names[EMIT_DESTINATIONS];
    struct emitter *e = NULL;
    size_t n = 0;
    enum status st = opt->to.url ? emit_address_check(&opt->to, err) : OK;

    *out = NULL;
    if (opt->to.url) names[n++] = "url";
    if (opt->file) names[n++] = "file";
    if (!st) st = outbox_setup(core, names, n, err);
    if (st || n == 0) return st;
    e = (struct emitter *)mem_zalloc(1, sizeof(*e));
    if (!e) return err_nomem(err);
    e->core = core;
    e->opt = *opt;
    defaults(&e->opt);
    e->opt.to.stop = is_stopping;
    e->opt.to.stop_ctx = e;
    if (opt->to.url) st = add(e, "url", opt->to.url, false, err);
    if (!st && opt->file) st = add(e, "file", opt->file, true, err);
    if (st) {
        emit_stop(e);
        return st;
    }
    for (size_t i = 0; i < e->n; i++) {
        LOG_INFO("emit", "runs, registrations and imports are told to %s", e->list[i].where);
        exec_actor_wake(e->list[i].actor);
    }
    *out = e;
    return OK;
}

void emit_stop(struct emitter *e)
{
    if (!e) return;
    atomic_store_explicit(&e->stopping, true, memory_order_release);
    for (size_t i = 0; i < e->n; i++) {
        struct destination *d = &e->list[i];

        exec_actor_free(d->actor);
        outbox_free(d->outbox);
        buf_release(&d->text);
        arena_free(d->arena);
    }
    mem_free(e);
}

size_t emit_stats(struct emitter *e, struct emit_stats out[EMIT_DESTINATIONS])
{
    if (!e) return 0;
    for (size_t i = 0; i < e->n; i++) {
        struct destination *d = &e->list[i];
        int64_t since = atomic_load_explicit(&d->since_ms, memory_order_relaxed);

        out[i] = (struct emit_stats){
            .name = d->name,
            .state = (enum emit_state)atomic_load_explicit(&d->state, memory_order_relaxed),
            .sent = atomic_load_explicit(&d->sent, memory_order_relaxed),
            .failed = atomic_load_explicit(&d->failed, memory_order_relaxed),
            .dead = atomic_load_explicit(&d->dead, memory_order_relaxed),
            .lost = outbox_lost(d->outbox),
            .behind = outbox_behind(d->outbox),
            .behind_ms = since ? MAX_OF(clock_mono_ms() - since, (int64_t)1) : 0,
        };
    }
    return e->n;
}
