/* base/exec_thread.c - a named thread with all signals blocked. */
#include "base/exec.h"
#include "base/mem.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

struct exec_thread {
    pthread_t thread;
    char name[16];
    void (*run)(void *ctx);
    void *ctx;
};

static void *thread_main(void *p)
{
    struct exec_thread *t = p;

    (void)pthread_setname_np(pthread_self(), t->name);
    t->run(t->ctx);
    mem_thread_ends();
    return NULL;
}

enum status exec_thread_new(struct exec_thread **out, const char *name, void (*run)(void *ctx),
                            void *ctx, struct err *err)
{
    struct exec_thread *t = mem_zalloc(1, sizeof(*t));
    sigset_t all, old;
    int rc;

    *out = NULL;
    if (!t) {
        return err_nomem(err);
    }
    t->run = run;
    t->ctx = ctx;
    (void)snprintf(t->name, sizeof(t->name), "%s", name);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&t->thread, NULL, thread_main, t);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        mem_free(t);
        return err_errno(err, rc, "thread %s", name);
    }
    *out = t;
    return OK;
}

void exec_thread_join(struct exec_thread *t)
{
    if (t) {
        (void)pthread_join(t->thread, NULL);
        mem_free(t);
    }
}
