/* Parts of one read on several pool threads: each once, whoever does it; failures; many at once on few threads. */
#include "corefix.h"
#include "tap.h"

#include "core/fan.h"

#include <stdatomic.h>

enum { PARTS = 100, CALLS = 60 };

struct work {
    _Atomic int done[PARTS];
    _Atomic int threads, most; /* inside a part at once */
    size_t bad, worse;         /* parts that fail */
};

static enum status part(void *ctx, size_t i, struct view *v, struct err *err)
{
    struct work *w = ctx;
    int now = atomic_fetch_add(&w->threads, 1) + 1;

    if (now > atomic_load(&w->most)) atomic_store(&w->most, now);
    T_OK(v->conn && v->core);
    for (int k = 0; k < 1000; k++) {
        T_OK(arena_alloc(v->arena, 16));
    }
    atomic_fetch_add(&w->done[i], 1);
    atomic_fetch_sub(&w->threads, 1);
    if (i == w->bad || i == w->worse) return err_set(err, ST_TOO_BIG, "part %zu", i);
    return OK;
}

TEST(every_part_once)
{
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (size_t n = 0; n <= PARTS; n += 10) {
        struct work w = { .bad = SIZE_MAX, .worse = SIZE_MAX };

        T_ST_ERR(fan_out(&f.v, n, part, &w, &f.err), OK, &f.err);
        for (size_t i = 0; i < PARTS; i++) {
            T_INT(w.done[i], i < n);
        }
    }
    corefix_close(&f);
}

TEST(the_first_failure_is_told)
{
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (int round = 0; round < 50; round++) {
        struct work w = { .bad = 3, .worse = 4 };

        f.err = (struct err)ERR_INIT;
        T_ST(fan_out(&f.v, PARTS, part, &w, &f.err), ST_TOO_BIG);
        T_OK(strcmp(f.err.message, "part 3") == 0 || w.done[3] == 0);
        T_OK(w.done[PARTS - 1] == 0 || w.most > 1);
    }
    corefix_close(&f);
}

struct caller {
    struct read_job job;
    struct work w;
    struct exec_event *over;
    enum status st;
};

static void call(struct read_job *job, struct view *v)
{
    struct caller *c = CONTAINER_OF(job, struct caller, job);
    struct err err = ERR_INIT;

    c->st = fan_out(v, PARTS, part, &c->w, &err);
    exec_event_set(c->over);
}

/* More callers than threads: each must come to its end though no helper may be free. */
TEST(callers_do_not_wait_for_helpers)
{
    static struct caller callers[CALLS];
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (size_t i = 0; i < CALLS; i++) {
        callers[i].w = (struct work){ .bad = SIZE_MAX, .worse = SIZE_MAX };
        callers[i].over = exec_event_new();
        callers[i].job = (struct read_job){ .run = call, .arena = arena_new(8 << 20) };
        T_OK(callers[i].over && callers[i].job.arena);
        T_ST(core_read_submit(f.core, &callers[i].job), OK);
    }
    for (size_t i = 0; i < CALLS; i++) {
        T_OK(exec_event_wait(callers[i].over, 30000));
        T_ST(callers[i].st, OK);
        for (size_t k = 0; k < PARTS; k++) {
            T_INT(callers[i].w.done[k], 1);
        }
        exec_event_free(callers[i].over);
    }
    corefix_close(&f);
    for (size_t i = 0; i < CALLS; i++) {
        arena_free(callers[i].job.arena);
    }
}
