/* server/quiet.c - counting what was used, and the call when nothing more comes. */
#include "server/quiet.h"
#include "base/exec.h"
#include "base/mem.h"
#include <stdatomic.h>

enum { WORTH_BYTES = 16 << 20, QUIET_MS = 1000 };

struct quiet {
    struct exec_actor *actor;
    atomic_size_t used;  /* bytes since the last call */
    atomic_bool waiting; /* the actor knows */
    size_t seen;
    bool rested; /* what only the start needed is gone */
};

/* Comes back every second while something ends, calls once nothing did. */
static int64_t step(void *ctx)
{
    struct quiet *q = ctx;
    size_t used = atomic_load(&q->used);

    if (used != q->seen) {
        q->seen = used;
        return QUIET_MS;
    }
    if (used == 0) {
        return -1;
    }
    q->seen = 0;
    atomic_store(&q->used, 0);
    atomic_store(&q->waiting, false);
    mem_trim();
    if (!q->rested) mem_drop_files();
    q->rested = true;
    return -1;
}

enum status quiet_new(struct quiet **out, struct err *err)
{
    struct quiet *q = mem_zalloc(1, sizeof(*q));
    enum status st;

    *out = NULL;
    if (!q) {
        return err_nomem(err);
    }
    st = exec_actor_new(&q->actor, "quiet", step, q, err);
    if (st) {
        mem_free(q);
        return st;
    }
    *out = q;
    return OK;
}

void quiet_free(struct quiet *q)
{
    if (q) {
        exec_actor_free(q->actor);
        mem_free(q);
    }
}

void quiet_soon(struct quiet *q)
{
    quiet_later(q, WORTH_BYTES);
}

void quiet_later(struct quiet *q, size_t bytes)
{
    /* relaxed: the sum only says whether it is worth while */
    size_t used = atomic_fetch_add_explicit(&q->used, bytes, memory_order_relaxed) + bytes;

    if (used >= WORTH_BYTES && !atomic_load_explicit(&q->waiting, memory_order_relaxed) &&
        !atomic_exchange(&q->waiting, true)) {
        exec_actor_wake(q->actor);
    }
}
