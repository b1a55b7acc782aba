/* base/inbox.c - see inbox.h. The descriptor is an eventfd; these calls do not go through base/sys, because a wake-up that a test
 * made fail would be a thread that sleeps for ever. */
#include "base/inbox.h"
#include "base/mem.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { HELD_MAX = 64 };

struct inbox {
    struct mpsc q;
    atomic_uint refs; /* the owner, and threads that are posting */
    int fd;
};

static _Thread_local struct {
    bool on;
    unsigned n;
    struct inbox *boxes[HELD_MAX]; /* a reference each */
    bool due[HELD_MAX];
} held;

static _Thread_local struct inbox *served;

enum status inbox_new(struct inbox **out, struct err *err)
{
    struct inbox *i = mem_zalloc(1, sizeof(*i));

    *out = NULL;
    if (!i) {
        return err_nomem(err);
    }
    mpsc_init(&i->q);
    atomic_init(&i->refs, 1);
    i->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (i->fd < 0) {
        mem_free(i);
        return err_errno(err, errno, "wake-up of a thread");
    }
    *out = i;
    return OK;
}

static void unref(struct inbox *i)
{
    /* acq_rel: whoever closes comes after everybody else's last use */
    if (atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) == 1) {
        (void)close(i->fd);
        mem_free(i);
    }
}

void inbox_free(struct inbox *i)
{
    if (i) unref(i);
}

int inbox_fd(const struct inbox *i)
{
    return i->fd;
}

static void ring(struct inbox *i)
{
    uint64_t one = 1;

    while (write(i->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

/* Place of the inbox among those held, HELD_MAX when there is no room. */
static unsigned hold_one(struct inbox *i)
{
    for (unsigned k = 0; k < held.n; k++) {
        if (held.boxes[k] == i) return k;
    }
    if (held.n == HELD_MAX) {
        return HELD_MAX;
    }
    atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    held.boxes[held.n] = i;
    held.due[held.n] = false;
    return held.n++;
}

void inbox_post(struct inbox *i, struct mpsc_node *n)
{
    unsigned at;

    if (i == served) {
        (void)mpsc_push(&i->q, n);
        return;
    }
    at = held.on ? hold_one(i) : HELD_MAX;

    /* Once it is pushed, the owner may handle it, end, and free the inbox. */
    if (at < HELD_MAX) {
        held.due[at] = mpsc_push(&i->q, n) || held.due[at];
        return;
    }
    atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    if (mpsc_push(&i->q, n)) ring(i);
    unref(i);
}

struct mpsc_node *inbox_take(struct inbox *i)
{
    uint64_t n;

    /* First the descriptor: what is pushed after it was emptied rings again, or is taken now. */
    while (read(i->fd, &n, sizeof(n)) < 0 && errno == EINTR) {
    }
    return mpsc_take_all(&i->q);
}

void inbox_hold(void)
{
    held.on = true;
}

void inbox_release(void)
{
    for (unsigned k = 0; k < held.n; k++) {
        if (held.due[k]) ring(held.boxes[k]);
        unref(held.boxes[k]);
    }
    held.n = 0;
    held.on = false;
}

void inbox_serve(struct inbox *i)
{
    served = i;
}

struct mpsc_node *inbox_served(struct inbox *i)
{
    served = NULL;
    return mpsc_is_empty(&i->q) ? NULL : mpsc_take_all(&i->q);
}
