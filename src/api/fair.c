/* api/fair.c - counting what each client has waiting. */
#include "api/fair.h"
#include "base/hash.h"

#define FAIR_ONE ((uint64_t)1 << FAIR_SHIFT)

struct str fair_host(struct str peer)
{
    size_t n = peer.n;

    while (n > 0 && peer.p[n - 1] >= '0' && peer.p[n - 1] <= '9') {
        n--;
    }
    return n > 1 && n < peer.n && peer.p[n - 1] == ':' ? str_sub(peer, 0, n - 1) : peer;
}

enum status fair_enter(struct fair *f, struct str client, size_t bytes, size_t queue_ops,
                       size_t queue_bytes, struct fair_slot **slot, struct err *err)
{
    struct fair_slot *s = &f->slots[hash_bytes(client.p, client.n) % FAIR_SLOTS];
    /* relaxed: counts, which nothing else hangs on */
    uint64_t before = atomic_fetch_add_explicit(&s->held, FAIR_ONE + bytes, memory_order_relaxed);
    size_t ops = before >> FAIR_SHIFT, held = before & (FAIR_ONE - 1);

    *slot = s;
    if (ops < MAX_OF(queue_ops / 2, (size_t)1) && (ops == 0 || held + bytes <= queue_bytes / 2)) {
        return OK;
    }
    fair_leave(s, bytes);
    *slot = NULL;
    err_set(err, ST_BUSY, "this client has %zu writes of %zu bytes waiting, which is its share",
            ops, held);
    err_hint(err, "send less at once, or wait for answers before sending more");
    err->retry_after_s = 1 + (int)((ops ^ held / 16) & 1); /* not all of them in the same second */
    return ST_BUSY;
}

void fair_leave(struct fair_slot *slot, size_t bytes)
{
    atomic_fetch_sub_explicit(&slot->held, FAIR_ONE + bytes, memory_order_relaxed);
}
