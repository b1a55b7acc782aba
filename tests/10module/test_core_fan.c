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

struct caller {
    struct read_job job;
    struct work w;
    struct exec_event *over;
    enum status st;
    struct err err;
    size_t n;
};

static void call(struct read_job *job, struct view *v)
{
    struct caller *c = CONTAINER_OF(job, struct caller, job);

    c->st = fan_out(v, c->n, part, &c->w, &c->err);
    exec_event_set(c->over);
}

static void begin(struct corefix *f, struct caller *c, size_t n, size_t bad)
{
    c->w = (struct work){ .bad = bad, .worse = bad == SIZE_MAX ? bad : bad + 1 };
    c->n = n;
    c->over = exec_event_new();
    c->job = (struct read_job){ .run = call, .arena = arena_new(8 << 20) };
    T_OK(c->over && c->job.arena);
    T_ST(core_read_submit(f->core, &c->job), OK);
}

static void end(struct caller *c)
{
    T_OK(exec_event_wait(c->over, 30000));
    exec_event_free(c->over);
    arena_free(c->job.arena);
}

TEST(every_part_once)
{
    static struct caller c;
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (size_t n = 0; n <= PARTS; n += 10) {
        begin(&f, &c, n, SIZE_MAX);
        end(&c);
        T_ST_ERR(c.st, OK, &c.err);
        for (size_t i = 0; i < PARTS; i++) {
            T_INT(c.w.done[i], i < n);
        }
    }
    corefix_close(&f);
}

/* A view that is not of a pool thread shares its connection with one: it does all by itself. */
TEST(alone)
{
    struct work w = { .bad = SIZE_MAX, .worse = SIZE_MAX };
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    T_ST_ERR(fan_out(&f.v, PARTS, part, &w, &f.err), OK, &f.err);
    T_INT(w.most, 1);
    T_INT(w.done[PARTS - 1], 1);
    corefix_close(&f);
}

TEST(the_first_failure_is_told)
{
    static struct caller c;
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (int round = 0; round < 50; round++) {
        c.err = (struct err)ERR_INIT;
        begin(&f, &c, PARTS, 3);
        end(&c);
        T_ST(c.st, ST_TOO_BIG);
        T_OK(strcmp(c.err.message, "part 3") == 0 || c.w.done[3] == 0);
    }
    corefix_close(&f);
}

/* More callers than threads: each must come to its end though no helper may be free. */
TEST(callers_do_not_wait_for_helpers)
{
    static struct caller callers[CALLS];
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (size_t i = 0; i < CALLS; i++) {
        begin(&f, &callers[i], PARTS, SIZE_MAX);
    }
    for (size_t i = 0; i < CALLS; i++) {
        end(&callers[i]);
        T_ST(callers[i].st, OK);
        for (size_t k = 0; k < PARTS; k++) {
            T_INT(callers[i].w.done[k], 1);
        }
    }
    corefix_close(&f);
}
