/* store/series/pack.c - encoding and decoding packs, see pack.h.
 * Cost of encoding: one pass to count keys, one to scatter points into per-key runs, a check that each run is sorted (it
 * nearly always is), then the columns; about 60 ns a point. */
#include "store/series/pack.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

#include <math.h>
#include <stdlib.h>

enum { HEADER_N = 16, FLAG_SPLIT = 8, SPLIT_BYTES = 64 << 10, RAW_PER_POINT = 128, RAW_FIXED = 64 };

/* ---- packer --------------------------------------------------------------------------------------------------------------- */

struct key_run {
    uint32_t key;
    uint32_t group;
    size_t at, n; /* in the sorted points; n after duplicates were dropped */
    size_t fill;
    int64_t duplicates;
    uint64_t vector; /* hash of its (step, timestamp) pairs */
    struct col_head head;
    size_t values_n;
};

struct earlier {
    uint32_t key;
    int64_t duplicates;
};

struct packer {
    VEC(struct earlier) earlier;
    struct tail_point *in;
    size_t n, cap;
    struct point *sorted, *tmp;
    double *scratch;
    struct key_run *runs;
    size_t runs_n, runs_cap;
    struct int_map index; /* key + 1 -> key_run index + 1 */
    struct buf dir, values, steps, times, body;
    struct zip zip;
};

struct packer *packer_new(void)
{
    struct packer *pk = (struct packer *)mem_zalloc(1, sizeof(*pk));

    if (pk) {
        buf_init(&pk->dir, PACK_BODY_MAX);
        buf_init(&pk->values, PACK_BODY_MAX);
        buf_init(&pk->steps, PACK_BODY_MAX);
        buf_init(&pk->times, PACK_BODY_MAX);
        buf_init(&pk->body, PACK_BODY_MAX);
        pk->index.max = PACK_POINTS_MAX;
        pk->earlier.max = PACK_POINTS_MAX;
    }
    return pk;
}

static void packer_drop(struct packer *pk)
{
    mem_free(pk->in);
    mem_free(pk->sorted);
    mem_free(pk->tmp);
    mem_free(pk->scratch);
    pk->in = NULL;
    pk->sorted = pk->tmp = NULL;
    pk->scratch = NULL;
    pk->cap = 0;
}

void packer_free(struct packer *pk)
{
    if (!pk) {
        return;
    }
    packer_drop(pk);
    mem_free(pk->runs);
    vec_release(&pk->earlier);
    int_map_release(&pk->index);
    buf_release(&pk->dir);
    buf_release(&pk->values);
    buf_release(&pk->steps);
    buf_release(&pk->times);
    buf_release(&pk->body);
    zip_release(&pk->zip);
    mem_free(pk);
}

enum status packer_begin(struct packer *pk, size_t n, struct err *err)
{
    pk->n = 0;
    pk->runs_n = 0;
    vec_clear(&pk->earlier);
    int_map_release(&pk->index);
    if (n > PACK_POINTS_MAX) {
        return err_set(err, ST_TOO_BIG, "a pack of %zu points exceeds %d", n, (int)PACK_POINTS_MAX);
    }
    if (n <= pk->cap) {
        return OK;
    }
    packer_drop(pk);
    pk->in = (struct tail_point *)mem_alloc(n * sizeof(*pk->in));
    pk->sorted = (struct point *)mem_alloc(n * sizeof(*pk->sorted));
    pk->tmp = (struct point *)mem_alloc(n * sizeof(*pk->tmp));
    pk->scratch = (double *)mem_alloc(n * sizeof(*pk->scratch));
    if (!pk->in || !pk->sorted || !pk->tmp || !pk->scratch) {
        packer_drop(pk);
        return err_nomem(err);
    }
    pk->cap = n;
    return OK;
}

void packer_add(struct packer *pk, const struct tail_point *p, size_t n)
{
    CHECK(n <= pk->cap - pk->n);
    memcpy(pk->in + pk->n, p, n * sizeof(*p));
    pk->n += n;
}

enum status packer_duplicates(struct packer *pk, uint32_t key, int64_t n, struct err *err)
{
    struct earlier *e = vec_add(&pk->earlier);

    if (!e) {
        return err_nomem(err);
    }
    *e = (struct earlier){ key, n };
    return OK;
}

size_t packer_key_max(const struct packer *pk)
{
    size_t max = 0;

    for (size_t i = 0; i < pk->runs_n; i++) {
        max = MAX_OF(max, pk->runs[i].n);
    }
    return max;
}

static struct key_run *run_of(struct packer *pk, uint32_t key)
{
    void *found = int_map_get(&pk->index, (uint64_t)key + 1);

    return found ? &pk->runs[(uintptr_t)found - 1] : NULL;
}

static enum status runs_count(struct packer *pk, struct err *err)
{
    struct key_run *run = NULL;

    for (size_t i = 0; i < pk->n; i++) {
        if (!run || run->key != pk->in[i].key) {
            run = run_of(pk, pk->in[i].key);
        }
        if (!run) {
            if (pk->runs_n == pk->runs_cap) {
                size_t cap = pk->runs_cap ? pk->runs_cap * 2 : 64;
                struct key_run *p = (struct key_run *)mem_realloc(pk->runs, cap * sizeof(*p));

                if (!p) {
                    return err_nomem(err);
                }
                pk->runs = p;
                pk->runs_cap = cap;
            }
            run = &pk->runs[pk->runs_n++];
            *run = (struct key_run){ .key = pk->in[i].key };
            if (int_map_put(&pk->index, (uint64_t)run->key + 1, (void *)(uintptr_t)pk->runs_n)) {
                return err_nomem(err);
            }
        }
        run->n++;
    }
    return OK;
}

static uint64_t vector_hash(const struct point *p, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n;

    for (size_t i = 0; i < n; i++) {
        h = (h ^ (uint64_t)p[i].step) * 0xff51afd7ed558ccdu;
        h = (h ^ (h >> 32) ^ (uint64_t)p[i].timestamp_ms) * 0xc4ceb9fe1a85ec53u;
    }
    return h;
}

static void runs_sort(struct packer *pk)
{
    size_t at = 0;
    struct key_run *run = NULL;

    for (size_t i = 0; i < pk->runs_n; i++) {
        pk->runs[i].at = pk->runs[i].fill = at;
        at += pk->runs[i].n;
    }
    for (size_t i = 0; i < pk->n; i++) {
        if (!run || run->key != pk->in[i].key) {
            run = run_of(pk, pk->in[i].key);
        }
        CHECK(run);
        pk->sorted[run->fill++] = pk->in[i].p;
    }
    for (size_t i = 0; i < pk->runs_n; i++) {
        struct key_run *r = &pk->runs[i];
        size_t left;

        points_sort(pk->sorted + r->at, pk->tmp, r->n);
        left = points_dedupe(pk->sorted + r->at, r->n);
        r->duplicates = (int64_t)(r->n - left);
        r->n = left;
        r->vector = vector_hash(pk->sorted + r->at, left);
    }
    for (size_t i = 0; i < pk->earlier.n; i++) {
        run = run_of(pk, pk->earlier.p[i].key);
        if (run) run->duplicates += pk->earlier.p[i].duplicates;
    }
}

static bool same_vector(const struct packer *pk, const struct key_run *a, const struct key_run *b)
{
    const struct point *p = pk->sorted + a->at, *q = pk->sorted + b->at;

    if (a->n != b->n || a->vector != b->vector) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (p[i].step != q[i].step || p[i].timestamp_ms != q[i].timestamp_ms) {
            return false;
        }
    }
    return true;
}

/* Group number of each run; runs of a group are then found by scanning, in order of first appearance. */
static enum status runs_group(struct packer *pk, size_t *groups_n, struct err *err)
{
    struct int_map first = INT_MAP_INIT(PACK_POINTS_MAX);
    enum status st = OK;

    *groups_n = 0;
    for (size_t i = 0; i < pk->runs_n && !st; i++) {
        struct key_run *r = &pk->runs[i];
        uint64_t key = r->vector | 1;
        void *found = int_map_get(&first, key);

        if (found && same_vector(pk, &pk->runs[(uintptr_t)found - 1], r)) {
            r->group = pk->runs[(uintptr_t)found - 1].group;
            continue;
        }
        r->group = (uint32_t)(*groups_n)++;
        if (!found) {
            st = int_map_put(&first, key, (void *)(uintptr_t)(i + 1));
        }
    }
    int_map_release(&first);
    return st ? err_nomem(err) : OK;
}

static void put_key(struct packer *pk, struct key_run *r)
{
    const struct point *p = pk->sorted + r->at;
    size_t before = pk->values.n;
    double min = num_canonical_nan(), max = min;

    col_put_values(&pk->values, p, r->n, pk->scratch, &r->head);
    r->values_n = pk->values.n - before;
    for (size_t i = 0; i < r->n; i++) {
        min = isnan(min) || p[i].value < min ? (isnan(p[i].value) ? min : p[i].value) : min;
        max = isnan(max) || p[i].value > max ? (isnan(p[i].value) ? max : p[i].value) : max;
    }
    buf_put_varint(&pk->dir, r->key);
    buf_put_u8(&pk->dir, r->head.flags);
    buf_put_u8(&pk->dir, r->head.mode);
    buf_put_u8(&pk->dir, r->head.exponent);
    buf_put_varint(&pk->dir, (uint64_t)r->duplicates);
    buf_put_u64(&pk->dir, num_double_bits(p[0].value));
    buf_put_u64(&pk->dir, num_double_bits(p[r->n - 1].value));
    buf_put_u64(&pk->dir, num_double_bits(min));
    buf_put_u64(&pk->dir, num_double_bits(max));
    buf_put_varint(&pk->dir, r->values_n);
}

static int run_cmp(const void *a, const void *b)
{
    const struct key_run *x = (const struct key_run *)a, *y = (const struct key_run *)b;

    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* One group into the directory and the values; when split, its values become a frame in `body` behind `frames_at`. */
static enum status put_group(struct packer *pk, struct key_run *runs, size_t n, bool split,
                             struct buf *frames, struct err *err)
{
    const struct point *p = pk->sorted + runs[0].at;
    struct buf keys =
        pk->dir; /* the directory entries of the keys come after what depends on the values */
    size_t values_at = pk->values.n, frame_n = 0;
    enum status st = OK;

    buf_clear(&pk->steps);
    buf_clear(&pk->times);
    col_put_steps(&pk->steps, p, runs[0].n);
    col_put_timestamps(&pk->times, p, runs[0].n);
    pk->dir = pk->body;
    buf_clear(&pk->dir);
    buf_put_varint(&pk->dir, n);
    for (size_t i = 0; i < n; i++) {
        put_key(pk, &runs[i]);
    }
    pk->body = pk->dir;
    pk->dir = keys;
    st = buf_status(&pk->steps, "pack steps", err);
    if (!st) st = buf_status(&pk->times, "pack timestamps", err);
    if (!st) st = buf_status(&pk->body, "pack directory", err);
    if (st) return st;
    if (split) {
        size_t before = frames->n;

        st = zip_put(&pk->zip, frames, str_of(pk->values.p + values_at, pk->values.n - values_at),
                     err);
        frame_n = frames->n - before;
    }
    buf_put_varint(&pk->dir, runs[0].n);
    buf_put_varint(&pk->dir, pk->steps.n);
    buf_put_varint(&pk->dir, pk->times.n);
    buf_put_varint(&pk->dir, pk->values.n - values_at);
    buf_put_varint(&pk->dir, frame_n);
    buf_put_str(&pk->dir, buf_str(&pk->steps));
    buf_put_str(&pk->dir, buf_str(&pk->times));
    buf_put_str(&pk->dir, buf_str(&pk->body));
    if (split) {
        pk->values.n = values_at;
    }
    return st;
}

static enum status packer_finish(struct packer *pk, int64_t owner, int64_t w0, int64_t n,
                                 bool split, const struct buf *frames, struct err *err)
{
    int64_t keys[3] = { owner, w0, n };
    struct buf *b = &pk->body;
    uint32_t crc;
    size_t at;
    enum status st;

    if (!split) {
        buf_put_str(&pk->dir, buf_str(&pk->values));
    }
    st = buf_status(&pk->dir, "pack directory", err);
    if (!st) st = buf_status(&pk->values, "pack values", err);
    if (st) return st;
    buf_clear(b);
    buf_put_u8(b, BODY_VERSION);
    buf_put_u8(b, split ? FLAG_SPLIT : 0);
    buf_put_u16(b, 0);
    buf_put_u32(b, (uint32_t)n);
    buf_put_u32(b, (uint32_t)pk->dir.n);
    buf_put_u32(b, 0);
    at = b->n;
    if (split) {
        buf_put_u32(b, 0);
    }
    st = zip_put(&pk->zip, b, buf_str(&pk->dir), err);
    if (st) return st;
    if (split) {
        body_patch_u32(b, at, (uint32_t)(b->n - at - 4));
        buf_put_str(b, buf_str(frames));
    }
    st = buf_status(b, "pack", err);
    if (st) return st;
    crc = body_crc_keys(keys, ARRAY_N(keys));
    crc = crc32c(crc, b->p, HEADER_N - 4);
    crc = crc32c(crc, b->p + HEADER_N, b->n - HEADER_N);
    body_patch_u32(b, HEADER_N - 4, crc);
    return OK;
}

enum status packer_end(struct packer *pk, int64_t owner, int64_t w0, struct str *body, int64_t *n,
                       struct err *err)
{
    struct buf frames = BUF_INIT(PACK_BODY_MAX);
    size_t groups_n = 0, at = 0;
    bool split = pk->n * sizeof(double) > SPLIT_BYTES;
    enum status st = runs_count(pk, err);

    *body = (struct str){ NULL, 0 };
    *n = 0;
    if (st) goto out;
    runs_sort(pk);
    st = runs_group(pk, &groups_n, err);
    if (st) goto out;
    qsort(pk->runs, pk->runs_n, sizeof(*pk->runs), run_cmp);
    buf_clear(&pk->dir);
    buf_clear(&pk->values);
    buf_clear(&pk->body);
    buf_put_varint(&pk->dir, groups_n);
    while (at < pk->runs_n && !st) {
        size_t k = 1;

        while (at + k < pk->runs_n && pk->runs[at + k].group == pk->runs[at].group) {
            k++;
        }
        for (size_t i = 0; i < k; i++) {
            *n += (int64_t)pk->runs[at + i].n;
        }
        st = put_group(pk, pk->runs + at, k, split, &frames, err);
        at += k;
    }
    if (st) goto out;
    st = packer_finish(pk, owner, w0, *n, split, &frames, err);
    if (st) goto out;
    *body = buf_str(&pk->body);
out:
    buf_release(&frames);
    return st;
}

/* ---- reader ---------------------------------------------------------------------------------------------------------------- */

static enum status damaged(struct err *err, int64_t owner, int64_t w0, const char *what)
{
    return err_set(err, ST_CORRUPT, "pack %lld of owner %lld: %s", (long long)w0, (long long)owner,
                   what);
}

static bool read_keys(struct pack_reader *r, struct rd *d, size_t g, uint64_t keys_n, size_t *cap)
{
    size_t at = 0;

    for (uint64_t i = 0; i < keys_n; i++) {
        struct pack_key *k;
        uint64_t id, dup, len;

        if (!arena_grow(r->arena, (void **)&r->keys, r->keys_n, cap, sizeof(*r->keys))) {
            return false;
        }
        k = &r->keys[r->keys_n];
        id = rd_varint(d);
        k->group = (uint32_t)g;
        k->head.flags = rd_u8(d);
        k->head.mode = rd_u8(d);
        k->head.exponent = rd_u8(d);
        dup = rd_varint(d);
        k->first = num_bits_double(rd_u64(d));
        k->last = num_bits_double(rd_u64(d));
        k->min = num_bits_double(rd_u64(d));
        k->max = num_bits_double(rd_u64(d));
        len = rd_varint(d);
        if (d->bad || id > UINT32_MAX || dup > PACK_POINTS_MAX ||
            len > r->groups[g].values_n - at) {
            d->bad = true;
            return true;
        }
        k->key = (uint32_t)id;
        k->duplicates = (int64_t)dup;
        k->values_at = at;
        k->values_n = (size_t)len;
        at += (size_t)len;
        r->keys_n++;
    }
    d->bad = d->bad || at != r->groups[g].values_n;
    return true;
}

/* Directory of all groups; false when memory is out, d->bad on damage. */
static bool read_groups(struct pack_reader *r, struct rd *d, bool split, struct rd *frames,
                        uint64_t *points)
{
    size_t keys_cap = 0;

    *points = 0;
    for (size_t g = 0; g < r->groups_n && !d->bad; g++) {
        struct pack_group *grp = &r->groups[g];
        uint64_t n = rd_varint(d), steps_n = rd_varint(d), times_n = rd_varint(d);
        uint64_t values_n = rd_varint(d), frame_n = rd_varint(d), keys_n;

        if (d->bad || n == 0 || n > PACK_POINTS_MAX || values_n > PACK_BODY_MAX) {
            d->bad = true;
            break;
        }
        grp->n = (size_t)n;
        grp->values_n = (size_t)values_n;
        grp->steps = rd_bytes(d, steps_n);
        grp->timestamps = rd_bytes(d, times_n);
        keys_n = rd_varint(d);
        if (d->bad || keys_n == 0 || keys_n > PACK_POINTS_MAX / n + 1) {
            d->bad = true;
            break;
        }
        *points += n * keys_n;
        if (!read_keys(r, d, g, keys_n, &keys_cap)) {
            return false;
        }
        if (split) {
            grp->frame = rd_bytes(frames, frame_n);
            d->bad = d->bad || frames->bad || values_n > *points * RAW_PER_POINT;
        }
    }
    return true;
}

static enum status open_dir(struct pack_reader *r, struct str body, bool split, size_t raw_n,
                            struct str *dir, struct rd *frames, struct err *err)
{
    *frames = rd_of(body.p + HEADER_N, body.n - HEADER_N);
    if (split) {
        uint32_t dir_n = rd_u32(frames);
        struct str frame = rd_bytes(frames, dir_n);

        if (frames->bad) {
            return err_set(err, ST_CORRUPT, "pack directory is cut short");
        }
        return zip_get(r->arena, frame, raw_n, dir, err);
    }
    return zip_get(r->arena, str_of(body.p + HEADER_N, body.n - HEADER_N), raw_n, dir, err);
}

enum status pack_open(struct pack_reader *r, struct arena *a, struct str body, int64_t owner,
                      int64_t w0, int64_t n, struct err *err)
{
    int64_t keys[3] = { owner, w0, n };
    struct rd h = rd_of(body.p, body.n), d, frames;
    uint64_t points = 0, groups_n;
    struct str dir;
    uint8_t version, flags;
    uint32_t head_n, raw_n, crc, want;
    enum status st;

    *r = (struct pack_reader){ .arena = a };
    version = rd_u8(&h);
    flags = rd_u8(&h);
    (void)rd_u16(&h);
    head_n = rd_u32(&h);
    raw_n = rd_u32(&h);
    want = rd_u32(&h);
    if (h.bad || version != BODY_VERSION || n <= 0 || n > PACK_POINTS_MAX || (int64_t)head_n != n ||
        raw_n > (uint64_t)n * RAW_PER_POINT + RAW_FIXED) {
        return damaged(err, owner, w0, "bad header");
    }
    crc = crc32c(body_crc_keys(keys, ARRAY_N(keys)), body.p, HEADER_N - 4);
    if (crc32c(crc, body.p + HEADER_N, body.n - HEADER_N) != want) {
        return damaged(err, owner, w0, "checksum differs");
    }
    st = open_dir(r, body, (flags & FLAG_SPLIT) != 0, raw_n, &dir, &frames, err);
    if (st) return st;
    d = rd_of(dir.p, dir.n);
    groups_n = rd_varint(&d);
    if (d.bad || groups_n == 0 || groups_n > (uint64_t)n) {
        return damaged(err, owner, w0, "bad number of groups");
    }
    r->groups_n = (size_t)groups_n;
    r->groups = ARENA_ARRAY(a, struct pack_group, r->groups_n);
    if (!r->groups || !read_groups(r, &d, (flags & FLAG_SPLIT) != 0, &frames, &points)) {
        return err_nomem(err);
    }
    if ((flags & FLAG_SPLIT) == 0) {
        for (size_t g = 0; g < r->groups_n && !d.bad; g++) {
            r->groups[g].values = rd_bytes(&d, r->groups[g].values_n);
        }
    }
    if (d.bad || rd_left(&d) != 0 || points != (uint64_t)n) {
        return damaged(err, owner, w0, "bad directory");
    }
    return OK;
}

const struct pack_key *pack_find(const struct pack_reader *r, uint32_t key)
{
    for (size_t i = 0; i < r->keys_n; i++) {
        if (r->keys[i].key == key) {
            return &r->keys[i];
        }
    }
    return NULL;
}

size_t pack_key_n(const struct pack_reader *r, const struct pack_key *k)
{
    return r->groups[k->group].n;
}

enum status pack_read_times(struct pack_reader *r, const struct pack_key *k, struct point *out,
                            struct err *err)
{
    struct pack_group *g = &r->groups[k->group];
    struct rd steps = rd_of(g->steps.p, g->steps.n),
              times = rd_of(g->timestamps.p, g->timestamps.n);

    col_get_steps(&steps, out, g->n);
    col_get_timestamps(&times, out, g->n);
    if (steps.bad || times.bad || rd_left(&steps) != 0 || rd_left(&times) != 0) {
        return err_set(err, ST_CORRUPT, "pack columns of key %u are damaged", k->key);
    }
    return OK;
}

enum status pack_read_values(struct pack_reader *r, const struct pack_key *k, struct point *out,
                             struct err *err)
{
    struct pack_group *g = &r->groups[k->group];
    struct rd values;
    enum status st = OK;

    if (!g->values.p && g->values_n > 0) {
        st = zip_get(r->arena, g->frame, g->values_n, &g->values, err);
    }
    if (st) return st;
    values = rd_of(g->values.p + k->values_at, k->values_n);
    col_get_values(&values, &k->head, out, g->n);
    return values.bad ? err_set(err, ST_CORRUPT, "pack values of key %u are damaged", k->key) : OK;
}

enum status pack_read(struct pack_reader *r, const struct pack_key *k, struct point *out,
                      struct err *err)
{
    enum status st = pack_read_times(r, k, out, err);

    return st ? st : pack_read_values(r, k, out, err);
}
