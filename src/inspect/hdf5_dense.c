/* inspect/hdf5_dense.c - fractal heaps and B-trees (version 2) of HDF5. Ids are gathered from the tree first and looked up in the order
 * of the heap then, so that a group of many members is read front to back. */
#include "inspect/hdf5_int.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    TREE_LEVELS_MAX = 16,
    RECORD_MAX = 64,
    NODE_PREFIX = 6, /* mark, version, type */
    NODE_SUFFIX = 4, /* checksum */
    ID_MAX = 16
};
#define UNDEFINED UINT64_MAX

static unsigned log2_of(uint64_t v)
{
    return v ? 63 - (unsigned)__builtin_clzll(v) : 0;
}

/* Bytes that a number up to `limit` takes. */
static unsigned number_bytes(uint64_t limit)
{
    return log2_of(limit) / 8 + 1;
}

static uint64_t le_n(const unsigned char *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

/* ---- trees -------------------------------------------------------------------------------------------------------------------- */

struct tree2 {
    struct in *in;
    unsigned type, record_bytes, levels;
    uint32_t node_bytes;
    unsigned count_bytes;                      /* of the records of a child */
    unsigned total_bytes[TREE_LEVELS_MAX + 1]; /* of all records below a child of that level */
    uint64_t most[TREE_LEVELS_MAX + 1];        /* records of a node of that level */
    enum status (*each)(void *ctx, const unsigned char *record, struct err *err);
    void *ctx;
};

static enum status tree_layout(struct tree2 *t, struct err *err)
{
    uint64_t all, pointer, used;

    used = NODE_PREFIX + NODE_SUFFIX;
    t->most[0] = t->node_bytes > used ? (t->node_bytes - used) / t->record_bytes : 0;
    all = t->most[0];
    t->count_bytes = number_bytes(all);
    t->total_bytes[0] = 0;
    for (unsigned level = 1; level <= t->levels; level++) {
        pointer = 8 + t->count_bytes + t->total_bytes[level - 1];
        t->most[level] = t->node_bytes > used + pointer
                             ? (t->node_bytes - used - pointer) / (t->record_bytes + pointer)
                             : 0;
        if (__builtin_mul_overflow(t->most[level] + 1, all, &all) ||
            __builtin_add_overflow(all, t->most[level], &all)) {
            return err_set(err, ST_CORRUPT, "a tree larger than any file");
        }
        t->total_bytes[level] = number_bytes(all);
    }
    return t->most[t->levels] ? OK : err_set(err, ST_CORRUPT, "a tree whose nodes hold nothing");
}

static enum status tree_node(const struct tree2 *t, uint64_t at, uint64_t records, unsigned level,
                             struct err *err)
{
    static const char *const marks[2] = { "BTLF", "BTIN" };
    unsigned char b[RECORD_MAX];
    uint64_t pointers = at + NODE_PREFIX + records * t->record_bytes;
    uint64_t pointer = 8 + t->count_bytes + (level ? t->total_bytes[level - 1] : 0);
    enum status st = insp_item(t->in->x, err);

    st = st ? st : in_read(t->in, at, b, NODE_PREFIX, err);
    if (st) return st;
    if (memcmp(b, marks[level > 0], 4) != 0 || b[5] != t->type) {
        return err_set(err, ST_CORRUPT, "no node of an index at byte %" PRIu64, at);
    }
    if (records > t->most[level]) {
        return err_set(err, ST_CORRUPT, "a node of %" PRIu64 " records", records);
    }
    for (uint64_t i = 0; level && i <= records && !st; i++) {
        st = in_read(t->in, pointers + i * pointer, b, (size_t)pointer, err);
        st = st ? st : tree_node(t, le64(b), le_n(b + 8, t->count_bytes), level - 1, err);
    }
    for (uint64_t i = 0; i < records && !st; i++) {
        st = insp_item(t->in->x, err);
        st = st ? st
                : in_read(t->in, at + NODE_PREFIX + i * t->record_bytes, b, t->record_bytes, err);
        st = st ? st : t->each(t->ctx, b, err);
    }
    return st;
}

/* Every record of a tree to each(). */
static enum status tree_each(struct tree2 *t, uint64_t at, unsigned record_least, struct err *err)
{
    unsigned char b[38];
    enum status st = in_read(t->in, at, b, sizeof(b), err);

    if (st) return st;
    t->node_bytes = le32(b + 6);
    t->record_bytes = le16(b + 10);
    t->levels = le16(b + 12);
    if (memcmp(b, "BTHD", 4) != 0 || b[4] != 0 || b[5] != t->type) {
        return err_set(err, ST_CORRUPT, "no index at byte %" PRIu64, at);
    }
    if (t->record_bytes < record_least || t->record_bytes > RECORD_MAX ||
        t->levels > TREE_LEVELS_MAX) {
        return err_set(err, ST_CORRUPT, "an index of %u levels with records of %u bytes", t->levels,
                       t->record_bytes);
    }
    st = tree_layout(t, err);
    return st || le64(b + 16) == UNDEFINED
               ? st
               : tree_node(t, le64(b + 16), le16(b + 24), t->levels, err);
}

/* ---- heaps -------------------------------------------------------------------------------------------------------------------- */

struct heap {
    struct in *in;
    uint64_t huge, root;
    unsigned id_bytes, offset_bytes, length_bytes;
    unsigned width_log, start_log, direct_log; /* of the doubling table */
    unsigned rows;                             /* of the root; 0 = it is a direct block */
    bool packed;
    /* the direct block that was found last: [from, from + n) of the heap lies at `at` */
    uint64_t from, n, at;
};

static bool power_of_two(uint64_t v)
{
    return v && !(v & (v - 1));
}

static enum status heap_open(struct heap *h, struct in *in, uint64_t at, struct err *err)
{
    unsigned char b[142];
    uint64_t start, direct;
    unsigned bits, direct_bytes;
    enum status st = in_read(in, at, b, sizeof(b), err);

    if (st) return st;
    if (memcmp(b, "FRHP", 4) != 0 || b[4] != 0) {
        return err_set(err, ST_CORRUPT, "no heap at byte %" PRIu64, at);
    }
    start = le64(b + 112);
    direct = le64(b + 120);
    bits = le16(b + 128);
    *h = (struct heap){ .in = in,
                        .huge = le64(b + 22),
                        .root = le64(b + 132),
                        .id_bytes = le16(b + 5),
                        .packed = le16(b + 7) > 0,
                        .rows = le16(b + 140) };
    if (!power_of_two(le16(b + 110)) || !power_of_two(start) || !power_of_two(direct) ||
        start > direct || direct > UINT32_MAX || bits == 0 || bits > 64) {
        return err_set(err, ST_CORRUPT, "a heap of blocks that cannot be");
    }
    h->width_log = log2_of(le16(b + 110));
    h->start_log = log2_of(start);
    h->direct_log = log2_of(direct);
    h->offset_bytes = (bits + 7) / 8;
    direct_bytes = (h->direct_log + 7) / 8;
    h->length_bytes = MIN_OF(direct_bytes, number_bytes(le32(b + 10)));
    if (h->id_bytes < 1 + h->offset_bytes + h->length_bytes || h->id_bytes > ID_MAX) {
        return err_set(err, ST_CORRUPT, "a heap with ids of %u bytes", h->id_bytes);
    }
    return OK;
}

/* The direct block of an offset, through the indirect ones. */
static enum status heap_block(struct heap *h, uint64_t offset, struct err *err)
{
    unsigned first = h->start_log + h->width_log, rows = h->rows, row = 0, size = h->start_log;
    uint64_t block = h->root, inside = offset, column, row_at = 0;
    unsigned char b[8];
    enum status st = OK;

    while (!st && rows) {
        row = inside >> first ? log2_of(inside) - first + 1 : 0;
        row_at = row ? (uint64_t)1 << (first + row - 1) : 0;
        size = row ? h->start_log + row - 1 : h->start_log;
        column = (inside - row_at) >> size;
        inside -= row_at + (column << size);
        if (row >= rows) {
            return err_set(err, ST_CORRUPT, "an id beyond its heap");
        }
        st = insp_item(h->in->x, err);
        st = st ? st : in_read(h->in, block, b, 5, err);
        if (!st && memcmp(b, "FHIB", 4) != 0) {
            return err_set(err, ST_CORRUPT, "no block of a heap at byte %" PRIu64, block);
        }
        st = st ? st
                : in_u64(h->in,
                         block + 13 + h->offset_bytes +
                             8 * (((uint64_t)row << h->width_log) + column),
                         &block, err);
        if (st || row < h->direct_log - h->start_log + 2) break;
        if (size < first) {
            return err_set(err, ST_CORRUPT, "a block of a heap that is too small for its place");
        }
        rows = size - first + 1;
    }
    st = st ? st : in_read(h->in, block, b, 5, err);
    if (!st && memcmp(b, "FHDB", 4) != 0) {
        st = err_set(err, ST_CORRUPT, "no block of a heap at byte %" PRIu64, block);
    }
    if (st) return st;
    h->from = offset - inside;
    h->n = (uint64_t)1 << size;
    h->at = block;
    return OK;
}

static enum status heap_managed(struct heap *h, uint64_t offset, uint64_t n, struct hdf5_piece *out,
                                struct err *err)
{
    enum status st = OK;

    if (offset < h->from || offset - h->from >= h->n) {
        st = heap_block(h, offset, err);
    }
    if (st) return st;
    if (offset - h->from >= h->n || n > h->n - (offset - h->from)) {
        return err_set(err, ST_CORRUPT, "an id that goes beyond its block");
    }
    *out = (struct hdf5_piece){ h->at + (offset - h->from), n };
    return OK;
}

struct huge_wanted {
    uint64_t key;
    bool found;
    struct hdf5_piece piece;
};

static enum status huge_record(void *ctx, const unsigned char *record, struct err *err)
{
    struct huge_wanted *w = ctx;

    (void)err;
    if (le64(record + 16) == w->key) {
        w->found = true;
        w->piece = (struct hdf5_piece){ le64(record), le64(record + 8) };
    }
    return OK;
}

/* Messages too large for a block have an index of their own. */
static enum status heap_huge(struct heap *h, const unsigned char *id, struct hdf5_piece *out,
                             struct err *err)
{
    struct huge_wanted w = { .key = le_n(id + 1, MIN_OF(h->id_bytes - 1, 8u)) };
    struct tree2 t = { .in = h->in, .type = 1, .each = huge_record, .ctx = &w };
    enum status st;

    if (h->huge == UNDEFINED) {
        return err_set(err, ST_CORRUPT, "an id of a large message in a heap that has none");
    }
    st = tree_each(&t, h->huge, 24, err);
    if (!st && !w.found) {
        st = err_set(err, ST_CORRUPT, "an id of a large message that its heap does not have");
    }
    *out = w.piece;
    return st;
}

/* ---- both --------------------------------------------------------------------------------------------------------------------- */

struct id {
    unsigned char b[ID_MAX];
    uint64_t order;
};
struct gather {
    const struct heap *heap;
    struct arena *arena;
    unsigned id_at; /* in a record */
    struct id *ids;
    size_t n, cap, max;
};

static enum status gather_id(void *ctx, const unsigned char *record, struct err *err)
{
    struct gather *g = ctx;
    const struct heap *h = g->heap;
    struct id id = { .order = UINT64_MAX };

    if (g->n >= g->max || !arena_grow(g->arena, (void **)&g->ids, g->n, &g->cap, sizeof(*g->ids))) {
        return err_set(err, ST_TOO_BIG, "more than %zu members", g->n);
    }
    memcpy(id.b, record + g->id_at, h->id_bytes);
    if ((id.b[0] >> 4 & 3) == 0) {
        id.order = le_n(id.b + 1, h->offset_bytes);
    }
    g->ids[g->n++] = id;
    return OK;
}

static int by_order(const void *a, const void *b)
{
    const struct id *x = a, *y = b;

    if (x->order != y->order) {
        return x->order < y->order ? -1 : 1;
    }
    return memcmp(x->b, y->b, ID_MAX);
}

static enum status id_piece(struct heap *h, const struct id *id, struct hdf5_piece *out,
                            struct err *err)
{
    switch (id->b[0]) {
    case 0:
        return heap_managed(h, id->order, le_n(id->b + 1 + h->offset_bytes, h->length_bytes), out,
                            err);
    case 1 << 4: return heap_huge(h, id->b, out, err);
    default: return err_set(err, ST_CORRUPT, "an id of kind %u", id->b[0]);
    }
}

enum status hdf5_dense(struct in *in, struct arena *a, uint64_t heap, uint64_t index,
                       enum hdf5_index kind, size_t max, struct hdf5_piece **out, size_t *n,
                       bool *packed, struct err *err)
{
    struct heap h;
    struct gather g = { .heap = &h, .arena = a, .max = max };
    struct tree2 t = { .in = in, .type = kind, .each = gather_id, .ctx = &g };
    enum status st = heap_open(&h, in, heap, err);

    *n = 0;
    *out = NULL;
    *packed = !st && h.packed;
    if (st || h.packed) {
        return st;
    }
    g.id_at = kind == HDF5_LINKS_BY_NAME ? 4 : 0; /* behind the hash of its name */
    st = tree_each(&t, index, g.id_at + h.id_bytes, err);
    if (st || !g.n) {
        return st;
    }
    qsort(g.ids, g.n, sizeof(*g.ids), by_order);
    *out = arena_alloc(a, g.n * sizeof(**out));
    if (!*out) {
        return err_set(err, ST_TOO_BIG, "more members than can be kept");
    }
    for (; *n < g.n && !st; ++*n) {
        st = id_piece(&h, &g.ids[*n], &(*out)[*n], err);
    }
    return st;
}
