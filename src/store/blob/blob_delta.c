/* store/blob/blob_delta.c - reading extents of differences: the runs of chunks of all steps side by side, piece by piece. See blob_int.h. */
#include "base/mem.h"
#include "store/blob/blob_int.h"
#include "store/blob/cdc.h"
#include "store/blob/delta.h"
#include "store/blob/packfile.h"

/* Bytes of one run, in order. */
struct run_reader {
    const struct packfile *pack;
    void *backend;       /* reads from `chunk` on; NULL: not yet */
    uint32_t chunk, end; /* the next, and the first that is not wanted */
    unsigned char *raw;
    size_t have, at; /* of raw */
    unsigned width;
};

struct delta_reader {
    struct blob_store *s;
    uint64_t left;
    size_t runs_n;
    struct run_reader runs[RECIPE_STEPS_MAX + 1];
    unsigned char *memory, *stored, *scratch, *piece;
};

uint64_t delta_left(const struct delta_reader *r)
{
    return r->left;
}

void delta_close(struct delta_reader *r)
{
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->runs_n; i++) {
        if (r->runs[i].backend) {
            r->s->ops->read_end(r->runs[i].backend);
        }
        blob_pack_close(r->s, r->runs[i].pack);
    }
    mem_free(r->memory);
    mem_free(r);
}

/* Step i of an extent; the last are its own chunks. */
static struct recipe_run run_of(const struct recipe_extent *e, size_t i)
{
    return i < e->under_n
               ? e->under[i]
               : (struct recipe_run){
                     .pack = e->pack, .first = e->first, .chunks = e->chunks, .width = e->width
                 };
}

/* A run holds n bytes behind what is skipped, and no chunk more than they need. */
static enum status check_run(const struct recipe_run *run, const struct packfile *p, uint64_t n,
                             struct err *err)
{
    uint64_t raw = 0;
    uint32_t last;

    if (run->first >= p->n || run->chunks > p->n - run->first ||
        run->skip >= p->chunks[run->first].raw) {
        return blob_extent_differs(err);
    }
    for (uint32_t i = 0; i < run->chunks; i++) {
        raw += p->chunks[run->first + i].raw;
    }
    last = p->chunks[run->first + run->chunks - 1].raw;
    return raw >= run->skip + n && raw - last < run->skip + n ? OK : blob_extent_differs(err);
}

enum status delta_check(struct blob_store *s, const struct recipe *r, const struct recipe_extent *e,
                        struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i <= e->under_n; i++) {
        struct recipe_run run = run_of(e, i);
        const struct packfile *p = NULL;

        st = blob_pack_open(s, r->packs[run.pack].id, r->packs[run.pack].bytes, &p, err);
        st = st ? st : check_run(&run, p, e->raw, err);
        blob_pack_close(s, p);
    }
    return st;
}

/* [from, from + n) of what the run gives to the extent. */
static enum status open_run(struct delta_reader *r, const struct recipe *recipe,
                            const struct recipe_extent *e, size_t i, uint64_t from, uint64_t n,
                            struct err *err)
{
    struct recipe_run run = run_of(e, i);
    struct run_reader *to = &r->runs[i];
    const struct recipe_pack *place = &recipe->packs[run.pack];
    uint64_t skip = run.skip + from, raw = 0;
    enum status st = blob_pack_open(r->s, place->id, place->bytes, &to->pack, err);

    r->runs_n = i + 1;
    st = st ? st : check_run(&run, to->pack, e->raw, err);
    if (st) {
        return st;
    }
    to->width = run.width;
    to->raw = r->memory + i * (size_t)CDC_MAX;
    to->chunk = run.first;
    while (skip >= to->pack->chunks[to->chunk].raw) {
        skip -= to->pack->chunks[to->chunk++].raw;
    }
    to->at = (size_t)skip; /* have is 0: of the first chunk that comes */
    for (to->end = to->chunk; to->end < run.first + run.chunks && raw < skip + n; to->end++) {
        raw += to->pack->chunks[to->end].raw;
    }
    return OK;
}

enum status delta_open(struct blob_store *s, const struct recipe *recipe,
                       const struct recipe_extent *e, uint64_t from, uint64_t n,
                       struct delta_reader **out, struct err *err)
{
    struct delta_reader *r = mem_zalloc(1, sizeof(*r));
    size_t runs = (size_t)e->under_n + 1;
    enum status st = OK;

    *out = NULL;
    if (r) {
        r->memory = mem_alloc((runs + 3) * CDC_MAX);
    }
    if (!r || !r->memory) {
        mem_free(r);
        return err_nomem(err);
    }
    r->s = s;
    r->left = n;
    r->stored = r->memory + runs * CDC_MAX;
    r->scratch = r->stored + CDC_MAX;
    r->piece = r->scratch + CDC_MAX;
    for (size_t i = 0; !st && i < runs; i++) {
        st = open_run(r, recipe, e, i, from, n, err);
    }
    if (st) {
        delta_close(r);
        return st;
    }
    *out = r;
    return OK;
}

/* The next chunk of a run is in its raw. */
static enum status run_chunk(struct delta_reader *r, struct run_reader *run, struct err *err)
{
    const struct packfile_chunk *c, *last;
    enum status st = OK;

    if (run->chunk >= run->end) {
        return blob_extent_differs(err);
    }
    c = &run->pack->chunks[run->chunk];
    last = &run->pack->chunks[run->end - 1];
    if (!run->backend) {
        st =
            r->s->ops->pack_read_begin(r->s->backend, run->pack->id, run->pack->bytes, c->offset,
                                       last->offset + last->stored - c->offset, &run->backend, err);
        st = st == ST_NOT_FOUND ? blob_pack_missing(run->pack->id, err) : st;
    }
    for (size_t at = 0; !st && at < c->stored;) {
        size_t got = 0;

        st = r->s->ops->read(run->backend, r->stored + at, c->stored - at, &got, err);
        at += got;
    }
    st = st ? st : packfile_decode(c, r->stored, run->raw, r->scratch, err);
    run->chunk++;
    run->at = run->have ? 0 : run->at;
    run->have = st ? 0 : c->raw;
    return st;
}

static enum status run_bytes(struct delta_reader *r, struct run_reader *run, unsigned char *out,
                             size_t n, struct err *err)
{
    enum status st = OK;

    while (!st && n) {
        size_t k;

        if (run->at >= run->have) {
            st = run_chunk(r, run, err);
            if (st) {
                return st;
            }
        }
        k = MIN_OF(n, run->have - run->at);
        memcpy(out, run->raw + run->at, k);
        run->at += k;
        out += k;
        n -= k;
    }
    return st;
}

enum status delta_next(struct delta_reader *r, unsigned char *out, size_t *got, struct err *err)
{
    size_t n = (size_t)MIN_OF(r->left, (uint64_t)CDC_MAX);
    enum status st = run_bytes(r, &r->runs[0], out, n, err);

    _Static_assert(CDC_MAX % RECIPE_ALIGN == 0, "pieces hold whole numbers");
    for (size_t i = 1; !st && i < r->runs_n; i++) {
        st = run_bytes(r, &r->runs[i], r->piece, n, err);
        if (!st) delta_apply(out, r->piece, n, r->runs[i].width);
    }
    *got = st ? 0 : n;
    r->left -= st ? 0 : n;
    return st;
}
