/* Stored links of the graph. Even first byte: the checksums are made right; else what follows is taken as it is. Links that are read
 * can be walked both ways, and take facts about the nodes that they name. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/graph/links_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_CRC_AT = LINKS_HEAD_N - 8, HEAD_CRC_AT = LINKS_HEAD_N - 4, NODES = 64 };

struct memory {
    const uint8_t *p;
    size_t left;
};

static enum status take(void *ctx, void *p, size_t n, struct err *err)
{
    struct memory *m = ctx;

    if (n > m->left) {
        return err_set(err, ST_CORRUPT, "too short");
    }
    memcpy(p, m->p, n);
    m->p += n;
    m->left -= n;
    return OK;
}

static void repair(uint8_t *p, size_t n)
{
    uint32_t crc = crc32c(0, p + LINKS_HEAD_N, n - LINKS_HEAD_N);

    memcpy(p + BODY_CRC_AT, &crc, sizeof(crc));
    crc = crc32c(0, p, HEAD_CRC_AT);
    memcpy(p + HEAD_CRC_AT, &crc, sizeof(crc));
}

static void walks(const struct links *l)
{
    struct err err = ERR_INIT;

    for (int64_t start = 0; start < 4; start++) {
        for (int way = 0; way < 4; way++) {
            struct walk w = { .starts = &start,
                              .starts_n = 1,
                              .direction = way & 1 ? WALK_UP : WALK_DOWN,
                              .has_as_of = way & 2,
                              .as_of_ms = 5,
                              .nodes_max = 1000 };
            struct walk_found f;

            CHECK(links_walk(l, &w, &f, &err) == OK && f.n >= 1 && f.nodes[0] == start);
            walk_found_release(&f);
        }
    }
}

static void grow(struct links *l)
{
    struct link_fact facts[NODES];
    struct err err = ERR_INIT;

    for (int64_t i = 0; i < NODES; i++) {
        facts[i] = (struct link_fact){
            .src = i % 4, .dst = i / 8, .role = (uint8_t)(i % 3), .gone = i & 1, .seen_ms = i
        };
    }
    CHECK(links_add(l, facts, NODES, &err) == OK);
}

/* A walk takes memory by the highest number: files whose log names a very high one are read and no more. */
static bool is_low(const struct links *l)
{
    return links_n(l) == 0 || links_top(l) < 1 << 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct links_extra extra;
    struct links_stamp stamp;
    struct err err = ERR_INIT;
    struct links *l = NULL;
    struct memory m;
    struct links_source from = { .read = take, .ctx = &m };
    uint8_t *p;

    if (size < 1 || size > 1 << 18) {
        return 0;
    }
    p = mem_alloc(size);
    CHECK(p);
    memcpy(p, data + 1, size - 1);
    if (data[0] % 2 == 0 && size > LINKS_HEAD_N) {
        repair(p, size - 1);
    }
    m = (struct memory){ p, size - 1 };
    from.size = size - 1;
    if (links_read(&l, &stamp, &extra, &from, &err)) {
        CHECK(!l && !extra.p && (err.code == ST_CORRUPT || err.code == ST_NOMEM));
    } else {
        CHECK(m.left == 0);
        if (is_low(l)) {
            walks(l);
            grow(l);
            walks(l);
        }
        mem_free(extra.p);
        links_free(l);
    }
    mem_free(p);
    return 0;
}
