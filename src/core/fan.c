/* core/fan.c - see fan.h.
 * What helpers share outlives the call: a helper that only comes to it later finds nothing left to do. */
#include "core/fan.h"

#include "base/mem.h"

enum { HELPER_ARENA_MAX = 64 << 20 };

struct fan;

struct fan_helper {
    struct fan *fan;
    struct read_job job;
};

struct fan {
    struct lock lock; /* guards all of the following */
    size_t next, n;
    unsigned refs; /* the caller and every helper that was asked */
    unsigned busy; /* helpers inside a part */
    bool closed;   /* the caller waits for `busy` to become 0 */
    struct exec_event *idle;
    size_t failed; /* number of the part with `err`; SIZE_MAX: none */
    enum status st;
    struct err err;
    enum status (*fn)(void *ctx, size_t i, struct view *v, struct err *err);
    void *ctx;
    struct fan_helper helpers[FAN_HELPERS];
};

static void fan_unref(struct fan *f)
{
    unsigned left;

    lock_take(&f->lock);
    left = --f->refs;
    lock_give(&f->lock);
    if (left > 0) return;
    for (size_t i = 0; i < FAN_HELPERS; i++) {
        arena_free(f->helpers[i].job.arena);
    }
    exec_event_free(f->idle);
    lock_release(&f->lock);
    mem_free(f);
}

/* The next part, SIZE_MAX when there is none. */
static size_t take(struct fan *f, bool helper, bool first)
{
    size_t i = SIZE_MAX;
    bool wake;

    lock_take(&f->lock);
    if (helper && !first) f->busy--;
    if (f->next < f->n && f->failed == SIZE_MAX && !f->closed) {
        i = f->next++;
        f->busy += helper;
    }
    wake = f->closed && f->busy == 0;
    lock_give(&f->lock);
    if (wake && helper) exec_event_set(f->idle);
    return i;
}

static void work(struct fan *f, struct view *v, bool helper)
{
    struct err err = ERR_INIT;
    size_t i = take(f, helper, true);

    while (i != SIZE_MAX) {
        enum status st = f->fn(f->ctx, i, v, &err);

        if (st) {
            lock_take(&f->lock);
            if (i < f->failed) {
                f->failed = i;
                f->st = st;
                f->err = err;
            }
            lock_give(&f->lock);
        }
        if (helper) arena_reset(v->arena);
        i = take(f, helper, false);
    }
}

static void help(struct read_job *job, struct view *v)
{
    struct fan_helper *h = CONTAINER_OF(job, struct fan_helper, job);

    if (!job->st) work(h->fan, v, true);
    fan_unref(h->fan);
}

static void ask_helpers(struct fan *f, struct core *core)
{
    for (size_t i = 0; i < FAN_HELPERS && i + 1 < f->n; i++) {
        struct fan_helper *h = &f->helpers[i];

        h->fan = f;
        h->job = (struct read_job){ .run = help, .arena = arena_new(HELPER_ARENA_MAX) };
        if (!h->job.arena) return;
        lock_take(&f->lock);
        f->refs++;
        lock_give(&f->lock);
        if (core_read_submit(core, &h->job)) {
            lock_take(&f->lock);
            f->refs--;
            lock_give(&f->lock);
            return;
        }
    }
}

enum status fan_out(struct view *v, size_t n,
                    enum status (*fn)(void *ctx, size_t i, struct view *v, struct err *err),
                    void *ctx, struct err *err)
{
    struct fan *f = (struct fan *)mem_zalloc(1, sizeof(*f));
    enum status st;
    bool wait;

    if (!f) return err_nomem(err);
    f->idle = exec_event_new();
    if (!f->idle) {
        mem_free(f);
        return err_nomem(err);
    }
    lock_init(&f->lock, LOCK_RANK_LEAF);
    f->refs = 1;
    f->n = n;
    f->failed = SIZE_MAX;
    f->fn = fn;
    f->ctx = ctx;
    if (v->pooled) ask_helpers(f, v->core);
    work(f, v, false);
    lock_take(&f->lock);
    f->closed = true;
    wait = f->busy > 0;
    lock_give(&f->lock);
    if (wait) (void)exec_event_wait(f->idle, -1);
    st = f->failed == SIZE_MAX ? OK : f->st;
    if (st) *err = f->err;
    fan_unref(f);
    return st;
}
