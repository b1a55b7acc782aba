/* net/metrics.h - counters of the network layer: one set per loop, written by that loop only, summed by readers.
 * Thread rule: net_metrics_* add: the loop; net_figures_*: any thread (figures of one moment may be a few apart). */
#ifndef CAIRN_NET_METRICS_H
#define CAIRN_NET_METRICS_H

#include "base/compiler.h"
#include <stdatomic.h>

/* Bucket i counts answers that took at most 64 << i microseconds: 64 us .. 33.5 s; the last one the rest. */
enum { NET_BUCKET_N = 21, NET_CLASS_N = 6 };

struct net_metrics {
    atomic_uint_fast64_t
        requests[NET_CLASS_N]; /* by status / 100; [0]: client gone before the answer */
    atomic_uint_fast64_t latency[NET_BUCKET_N];
    atomic_uint_fast64_t latency_us; /* sum */
    atomic_uint_fast64_t bytes_in, bytes_out;
    atomic_uint_fast64_t accepted, closed, refused; /* connections */
    atomic_uint_fast64_t in_work_begun, in_work_ended;
    atomic_uint_fast64_t bad_heads;            /* refused before they became a request */
    atomic_uint_fast64_t h2_conns, h2_streams; /* of HTTP/2, begun */
    atomic_uint_fast64_t h2_resets;            /* streams their clients gave up */
    atomic_uint_fast64_t h2_floods;            /* connections that were ended for it */
};

struct net_figures {
    uint64_t requests[NET_CLASS_N];
    uint64_t latency[NET_BUCKET_N];
    uint64_t latency_us;
    uint64_t bytes_in, bytes_out;
    uint64_t accepted, open, refused;
    uint64_t in_work;
    uint64_t bad_heads;
    uint64_t h2_conns, h2_streams, h2_resets, h2_floods;
};

/* Only the owner loop writes, so a plain load and store is enough; relaxed: readers want counts, not order. */
static inline void net_count(atomic_uint_fast64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
void net_metrics_answer(struct net_metrics *m, int status, int64_t took_ns);
/* Adds m to *out. */
void net_figures_add(struct net_figures *out, const struct net_metrics *m);
/* Upper bound of bucket i in microseconds; UINT64_MAX for the last. */
uint64_t net_bucket_us(unsigned i);

#endif
