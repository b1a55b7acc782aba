/* net/metrics.c - counters of one loop, and their sums. */
#include "net/metrics.h"

enum { BUCKET_FIRST_US = 64 };

uint64_t net_bucket_us(unsigned i)
{
    return i + 1 >= NET_BUCKET_N ? UINT64_MAX : (uint64_t)BUCKET_FIRST_US << i;
}

void net_metrics_answer(struct net_metrics *m, int status, int64_t took_ns)
{
    uint64_t us = took_ns > 0 ? (uint64_t)took_ns / 1000 : 0;
    unsigned cls = status >= 100 && status < 600 ? (unsigned)status / 100 : 0;
    unsigned b = 0;

    while (b + 1 < NET_BUCKET_N && us > net_bucket_us(b)) {
        b++;
    }
    net_count(&m->requests[cls], 1);
    net_count(&m->latency[b], 1);
    net_count(&m->latency_us, us);
}

static uint64_t seen(const atomic_uint_fast64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void net_figures_add(struct net_figures *out, const struct net_metrics *m)
{
    uint64_t closed = seen(&m->closed), ended = seen(&m->in_work_ended);
    uint64_t accepted = seen(&m->accepted), begun = seen(&m->in_work_begun);

    for (unsigned i = 0; i < NET_CLASS_N; i++) {
        out->requests[i] += seen(&m->requests[i]);
    }
    for (unsigned i = 0; i < NET_BUCKET_N; i++) {
        out->latency[i] += seen(&m->latency[i]);
    }
    out->latency_us += seen(&m->latency_us);
    out->bytes_in += seen(&m->bytes_in);
    out->bytes_out += seen(&m->bytes_out);
    out->accepted += accepted;
    out->open += accepted > closed ? accepted - closed : 0;
    out->refused += seen(&m->refused);
    out->in_work += begun > ended ? begun - ended : 0;
    out->bad_heads += seen(&m->bad_heads);
    out->h2_conns += seen(&m->h2_conns);
    out->h2_streams += seen(&m->h2_streams);
    out->h2_resets += seen(&m->h2_resets);
    out->h2_floods += seen(&m->h2_floods);
}
