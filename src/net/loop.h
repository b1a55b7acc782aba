/* net/loop.h - one libuv loop on its own thread, with an inbox.
 * Everything that belongs to a loop (connections, timers, requests) lives and dies on its thread; other threads reach
 * it through loop_post() only.
 * Ownership: tasks and timers are embedded in structs of the caller and stay valid until they have run or are stopped.
 * Thread rule: loop_post(), loop_is_current() and loop_index(): any thread. All else: the loop's own thread. */
#ifndef CAIRN_NET_LOOP_H
#define CAIRN_NET_LOOP_H

#include "base/exec.h"
#include <uv.h>

struct loop;
struct net_metrics;

enum { LOOP_MAX = 64 }; /* loops of a server, so that their index can number things */

/* Points libuv and OpenSSL at base/mem and ignores SIGPIPE. Once, before anything else uses either. */
void net_init(void);

/* Creates the loop and starts its thread, named "loop<index>". */
enum status loop_new(struct loop **out, unsigned index, struct err *err);
/* Runs what is in the inbox, ends the thread, frees. No connection may be left. NULL-safe. From another thread. */
void loop_free(struct loop *l);

struct loop_task {
    struct mpsc_node node;
    void (*fn)(struct loop_task *t);
};
/* Runs t->fn(t) on the loop's thread, after what it is doing now; tasks of one thread keep their order. */
void loop_post(struct loop *l, struct loop_task *t);
bool loop_is_current(const struct loop *l);
/* True if the calling thread is any loop. */
bool loop_is_any(void);
unsigned loop_index(const struct loop *l);
uv_loop_t *loop_uv(struct loop *l);
struct net_metrics *loop_metrics(struct loop *l);
/* Monotonic milliseconds, as of the last wake-up. */
int64_t loop_now_ms(struct loop *l);
/* "Sat, 21 Nov 2026 11:47:20 GMT", made once a second. */
struct str loop_http_date(struct loop *l);

/* Something to do once when the turn ends: when every socket and task that was ready has been handled. So what many requests
 * of one turn cause together costs one call. */
struct loop_turn {
    struct loop_turn *next;
    bool queued;
    void (*fn)(struct loop_turn *t);
};
/* t->fn(t) runs at the end of this turn, at once when the loop is not handling sockets or tasks. Once, however often it was
 * asked for. t stays valid until then. */
void loop_turn_end(struct loop *l, struct loop_turn *t);
/* For t->fn: t->fn(t) runs again at the end of the next turn, which begins after ms milliseconds at the latest: 0 = without
 * waiting for anything. */
void loop_turn_again(struct loop *l, struct loop_turn *t, int64_t ms);

/* A lazy deadline: moving it later costs nothing, so that one per connection is cheap. */
struct loop_timer {
    uv_timer_t uv;
    int64_t at_ms;    /* 0 = off */
    int64_t armed_ms; /* what libuv was told; 0 = nothing */
    void (*fn)(struct loop_timer *t);
};
enum status loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(struct loop_timer *t));
/* fn runs once, after ms milliseconds from now (at least 1). */
void loop_timer_set(struct loop_timer *t, int64_t ms);
void loop_timer_off(struct loop_timer *t);
/* Stops; closed(t) runs when libuv has let go of it. */
void loop_timer_close(struct loop_timer *t, void (*closed)(struct loop_timer *t));

#endif
