/* inspect/safetensors.c - safetensors: a length, a JSON header, and one area of data that the tensors fill without gap or overlap.
 * The header is read piece by piece, so that memory does not grow with it. */
#include "base/num.h"
#include "base/vec.h"
#include "codec/json.h"
#include "inspect/inspect_int.h"
#include "inspect/jsonin_int.h"
#include <inttypes.h>
#include <stdlib.h>

enum { HEADER_MAX = 100000000, TENSORS_MAX = 1 << 17 };

struct extent {
    uint64_t from, to;
};
struct st {
    struct insp *x;
    struct jsonin j;
    struct arena *scratch; /* of one tensor */
    VEC(struct extent) extents;
    bool sorted, metadata_seen;
    uint64_t data; /* bytes of the data area */
    uint64_t data_at;
};

static enum status bad(struct err *err, const char *what)
{
    return err_set(err, ST_CORRUPT, "%s", what);
}

static enum status numbers(struct st *s, uint64_t *out, size_t max, size_t *n, struct err *err)
{
    enum json_event ev;
    enum status st = jsonin_next(&s->j, &ev, err);

    *n = 0;
    if (!st && ev != JSON_EV_ARRAY) {
        return bad(err, "a shape or offset is no list");
    }
    while (!st) {
        st = jsonin_next(&s->j, &ev, err);
        if (st || ev == JSON_EV_ARRAY_END) {
            return st;
        }
        if (ev != JSON_EV_NUMBER || *n >= max || !json_u64(s->j.r.raw, &out[*n])) {
            return bad(err, "a shape or offset is not a list of counts");
        }
        ++*n;
    }
    return st;
}

/* {"dtype", "shape", "data_offsets"} */
static enum status tensor_fields(struct st *s, struct inspect_tensor *t, uint64_t *shape,
                                 struct extent *e, struct err *err)
{
    uint64_t range[2] = { 0, 0 };
    size_t n;
    unsigned seen = 0;
    enum json_event ev;
    enum status st = jsonin_next(&s->j, &ev, err);

    if (!st && ev != JSON_EV_OBJECT) {
        return bad(err, "a tensor is no object");
    }
    while (!st) {
        struct str key;

        st = jsonin_next(&s->j, &ev, err);
        if (st || ev == JSON_EV_OBJECT_END) break;
        key = json_text(&s->j.r, s->scratch);
        if (!key.p) {
            return err_nomem(err);
        }
        if (str_eq_lit(key, "dtype")) {
            st = jsonin_next(&s->j, &ev, err);
            if (!st && ev != JSON_EV_STRING) {
                return bad(err, "a dtype is no text");
            }
            t->dtype = st ? S("") : insp_text(s->x, json_text(&s->j.r, s->scratch), 32);
            seen |= 1;
        } else if (str_eq_lit(key, "shape")) {
            st = numbers(s, shape, INSPECT_RANK_MAX, &n, err);
            t->rank = (unsigned)n;
            seen |= 2;
        } else if (str_eq_lit(key, "data_offsets")) {
            st = numbers(s, range, 2, &n, err);
            if (!st && n != 2) {
                return bad(err, "data_offsets are not two");
            }
            seen |= 4;
        } else {
            return bad(err, "a tensor has an unknown field");
        }
    }
    *e = (struct extent){ range[0], range[1] };
    return st || seen == 7 ? st : bad(err, "a tensor lacks dtype, shape or data_offsets");
}

static void check_tensor(struct st *s, const struct inspect_tensor *t, const struct extent *e)
{
    unsigned bits = dtype_bits(t->dtype);
    uint64_t all = 0;
    struct str name = str_sub(t->name, 0, 200);

    if (e->from > e->to || e->to > s->data) {
        insp_finding(s->x, INSPECT_DANGER, "tensor_range",
                     "tensor %.*s lies at %" PRIu64 " .. %" PRIu64 ", but there are %" PRIu64
                     " bytes of data",
                     STR_ARG(name), e->from, e->to, s->data);
    }
    if (!bits) {
        insp_finding(s->x, INSPECT_WARNING, "tensor_dtype", "tensor %.*s has the unknown type %.*s",
                     STR_ARG(name), STR_ARG(t->dtype));
        return;
    }
    if (!shape_product(t->shape, t->rank, &all) || __builtin_mul_overflow(all, bits, &all)) {
        insp_finding(s->x, INSPECT_DANGER, "tensor_shape", "the shape of tensor %.*s overflows",
                     STR_ARG(name));
    } else if (all % 8 || e->from > e->to || all / 8 != e->to - e->from) {
        insp_finding(s->x, INSPECT_DANGER, "tensor_size",
                     "tensor %.*s needs %" PRIu64 " bits by its shape, but has %" PRIu64 " bytes",
                     STR_ARG(name), all, e->from > e->to ? 0 : e->to - e->from);
    }
}

static enum status tensor(struct st *s, struct str name, struct err *err)
{
    uint64_t shape[INSPECT_RANK_MAX] = { 0 };
    struct inspect_tensor t = { .name = name, .shape = shape, .has_offset = true, .dtype = S("") };
    struct extent e, *last;
    enum status st = tensor_fields(s, &t, shape, &e, err);

    if (st) return st;
    check_tensor(s, &t, &e);
    t.bytes = e.to >= e.from ? e.to - e.from : 0;
    if (__builtin_add_overflow(s->data_at, e.from, &t.offset) ||
        !shape_product(shape, t.rank, &t.elements)) {
        t.elements = 0;
    }
    insp_tensor(s->x, &t, NULL);
    if (s->extents.n && s->extents.p[s->extents.n - 1].from > e.from) {
        s->sorted = false;
    }
    last = vec_add(&s->extents);
    if (!last) {
        return err_set(err, ST_TOO_BIG, "more than %d tensors", TENSORS_MAX);
    }
    *last = e;
    return OK;
}

static enum status metadata(struct st *s, struct err *err)
{
    enum json_event ev;
    enum status st = jsonin_next(&s->j, &ev, err);

    s->metadata_seen = true;
    if (!st && ev != JSON_EV_OBJECT) {
        return bad(err, "__metadata__ is no object");
    }
    while (!st) {
        struct str key;

        st = jsonin_next(&s->j, &ev, err);
        if (st || ev == JSON_EV_OBJECT_END) {
            return st;
        }
        key = json_text(&s->j.r, s->scratch);
        st = jsonin_next(&s->j, &ev, err);
        if (!st && ev != JSON_EV_STRING) {
            return bad(err, "__metadata__ has a value that is no text");
        }
        if (!st) {
            insp_pair_str(s->x, key, json_text(&s->j.r, s->scratch));
        }
        arena_reset(s->scratch);
    }
    return st;
}

static enum status header(struct st *s, struct err *err)
{
    enum json_event ev;
    enum status st = jsonin_next(&s->j, &ev, err);

    if (!st && ev != JSON_EV_OBJECT) {
        return bad(err, "the header is no object");
    }
    while (!st) {
        struct str name;

        st = jsonin_next(&s->j, &ev, err);
        if (st || ev == JSON_EV_OBJECT_END) break;
        st = insp_item(s->x, err);
        if (st) break;
        name = json_text(&s->j.r, s->scratch);
        if (!name.p) {
            return err_nomem(err);
        }
        st = str_eq_lit(name, "__metadata__") && !s->metadata_seen ? metadata(s, err)
                                                                   : tensor(s, name, err);
        arena_reset(s->scratch);
    }
    return st ? st : jsonin_end(&s->j, err);
}

static int by_from(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    return x->from < y->from ? -1 : x->from > y->from ? 1 : x->to < y->to ? -1 : x->to > y->to;
}

/* Tensors fill the data area: from 0, without gap or overlap, to the end. */
static void check_extents(struct st *s)
{
    uint64_t at = 0;
    bool gap = false, overlap = false;

    if (!s->sorted) {
        qsort(s->extents.p, s->extents.n, sizeof(*s->extents.p), by_from);
    }
    for (size_t i = 0; i < s->extents.n; i++) {
        const struct extent *e = &s->extents.p[i];

        if (e->from < at && e->from != e->to && !overlap) {
            overlap = true;
            insp_finding(s->x, INSPECT_DANGER, "tensor_overlap",
                         "tensors overlap at byte %" PRIu64 " of the data", e->from);
        }
        if (e->from > at && !gap) {
            gap = true;
            insp_finding(s->x, INSPECT_WARNING, "tensor_gap",
                         "no tensor covers bytes %" PRIu64 " .. %" PRIu64 " of the data", at,
                         e->from);
        }
        at = MAX_OF(at, e->to);
    }
    if (at < s->data && !gap) {
        insp_finding(s->x, INSPECT_WARNING, "tensor_gap",
                     "%" PRIu64 " bytes after the last tensor belong to none", s->data - at);
    }
}

enum status safetensors_read(struct insp *x, struct in *in, struct err *err)
{
    struct st s = { .x = x, .sorted = true };
    struct in head;
    struct flow f = { .z = NULL };
    uint64_t n;
    enum status st = in_u64(in, 0, &n, err);

    if (st) return st;
    insp_format(x, "safetensors");
    if (n < 2 || n > HEADER_MAX || n > in->size - 8) {
        insp_finding(x, INSPECT_DANGER, "header_size",
                     "a header of %" PRIu64 " bytes in a file of %" PRIu64, n, in->size);
        return OK;
    }
    s.extents.max = TENSORS_MAX;
    s.data_at = 8 + n;
    s.data = in->size - s.data_at;
    s.scratch = arena_new(8 << 20);
    head = in_part(in, 8, n);
    st = s.scratch ? flow_begin(&f, &head, FLOW_RAW, err) : err_nomem(err);
    st = st ? st : jsonin_begin(&s.j, x, &f, JSON_NO_DUPLICATES, err);
    if (!st) {
        st = header(&s, err);
        jsonin_release(&s.j);
    }
    if (!st) {
        check_extents(&s);
    }
    vec_release(&s.extents);
    arena_free(s.scratch);
    return st;
}
