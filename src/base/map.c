/* base/map.c - linear probing with backward-shift deletion, so that no tombstones pile up. */
#include "base/map.h"
#include "base/hash.h"
#include "base/mem.h"

enum { MAP_FIRST_CAP = 16 };

static size_t grown_cap(size_t n, size_t cap)
{
    if (cap && n + 1 <= cap - cap / 4) {
        return cap;
    }
    return cap ? cap * 2 : MAP_FIRST_CAP;
}

static uint64_t key_hash(struct str key)
{
    uint64_t h = hash_bytes(key.p, key.n);

    return h ? h : 1;
}

static size_t str_probe(const struct map_slot *slots, size_t cap, uint64_t h, struct str key)
{
    size_t at = (size_t)h & (cap - 1);

    while (slots[at].hash && !(slots[at].hash == h && str_eq(slots[at].key, key))) {
        at = (at + 1) & (cap - 1);
    }
    return at;
}

void *str_map_get(const struct str_map *m, struct str key)
{
    const struct map_slot *s;

    if (!m->cap) {
        return NULL;
    }
    s = &m->slots[str_probe(m->slots, m->cap, key_hash(key), key)];
    return s->hash ? s->value : NULL;
}

enum status str_map_put(struct str_map *m, struct str key, void *value)
{
    uint64_t h = key_hash(key);
    size_t cap = grown_cap(m->n, m->cap), at;

    if (m->cap) {
        at = str_probe(m->slots, m->cap, h, key);
        if (m->slots[at].hash) {
            m->slots[at].key = key;
            m->slots[at].value = value;
            return OK;
        }
    }
    if (m->n >= m->max) {
        return ST_TOO_BIG;
    }
    if (cap != m->cap) {
        struct map_slot *bigger = mem_zalloc(cap, sizeof(*bigger));

        if (!bigger) {
            return ST_NOMEM;
        }
        for (size_t i = 0; i < m->cap; i++) {
            if (m->slots[i].hash) {
                bigger[str_probe(bigger, cap, m->slots[i].hash, m->slots[i].key)] = m->slots[i];
            }
        }
        mem_free(m->slots);
        m->slots = bigger;
        m->cap = cap;
    }
    at = str_probe(m->slots, m->cap, h, key);
    m->slots[at] = (struct map_slot){ h, key, value };
    m->n++;
    return OK;
}

void *str_map_remove(struct str_map *m, struct str key)
{
    size_t at, next;
    void *value;

    if (!m->cap) {
        return NULL;
    }
    at = str_probe(m->slots, m->cap, key_hash(key), key);
    if (!m->slots[at].hash) {
        return NULL;
    }
    value = m->slots[at].value;
    for (next = (at + 1) & (m->cap - 1); m->slots[next].hash; next = (next + 1) & (m->cap - 1)) {
        size_t home = (size_t)m->slots[next].hash & (m->cap - 1);

        if (((next - home) & (m->cap - 1)) >= ((next - at) & (m->cap - 1))) {
            m->slots[at] = m->slots[next];
            at = next;
        }
    }
    m->slots[at] = (struct map_slot){ 0 };
    m->n--;
    return value;
}

void str_map_release(struct str_map *m)
{
    mem_free(m->slots);
    *m = (struct str_map){ .max = m->max };
}

bool str_map_next(const struct str_map *m, size_t *at, struct str *key, void **value)
{
    for (; *at < m->cap; (*at)++) {
        if (m->slots[*at].hash) {
            *key = m->slots[*at].key;
            *value = m->slots[*at].value;
            (*at)++;
            return true;
        }
    }
    return false;
}

static size_t int_home(uint64_t key, size_t cap)
{
    return (size_t)hash_bytes(&key, sizeof(key)) & (cap - 1);
}

static size_t int_probe(const struct int_slot *slots, size_t cap, uint64_t key)
{
    size_t at = int_home(key, cap);

    while (slots[at].value && slots[at].key != key) {
        at = (at + 1) & (cap - 1);
    }
    return at;
}

void *int_map_get(const struct int_map *m, uint64_t key)
{
    return m->cap ? m->slots[int_probe(m->slots, m->cap, key)].value : NULL;
}

enum status int_map_put(struct int_map *m, uint64_t key, void *value)
{
    size_t cap = grown_cap(m->n, m->cap), at;

    if (m->cap) {
        at = int_probe(m->slots, m->cap, key);
        if (m->slots[at].value) {
            m->slots[at].value = value;
            return OK;
        }
    }
    if (m->n >= m->max) {
        return ST_TOO_BIG;
    }
    if (cap != m->cap) {
        struct int_slot *bigger = mem_zalloc(cap, sizeof(*bigger));

        if (!bigger) {
            return ST_NOMEM;
        }
        for (size_t i = 0; i < m->cap; i++) {
            if (m->slots[i].value) {
                bigger[int_probe(bigger, cap, m->slots[i].key)] = m->slots[i];
            }
        }
        mem_free(m->slots);
        m->slots = bigger;
        m->cap = cap;
    }
    at = int_probe(m->slots, m->cap, key);
    m->slots[at] = (struct int_slot){ key, value };
    m->n++;
    return OK;
}

void *int_map_remove(struct int_map *m, uint64_t key)
{
    size_t at, next;
    void *value;

    if (!m->cap) {
        return NULL;
    }
    at = int_probe(m->slots, m->cap, key);
    value = m->slots[at].value;
    if (!value) {
        return NULL;
    }
    for (next = (at + 1) & (m->cap - 1); m->slots[next].value; next = (next + 1) & (m->cap - 1)) {
        size_t home = int_home(m->slots[next].key, m->cap);

        if (((next - home) & (m->cap - 1)) >= ((next - at) & (m->cap - 1))) {
            m->slots[at] = m->slots[next];
            at = next;
        }
    }
    m->slots[at] = (struct int_slot){ 0, NULL };
    m->n--;
    return value;
}

void int_map_release(struct int_map *m)
{
    mem_free(m->slots);
    *m = (struct int_map){ .max = m->max };
}

bool int_map_next(const struct int_map *m, size_t *at, uint64_t *key, void **value)
{
    for (; *at < m->cap; (*at)++) {
        if (m->slots[*at].value) {
            *key = m->slots[*at].key;
            *value = m->slots[*at].value;
            (*at)++;
            return true;
        }
    }
    return false;
}
