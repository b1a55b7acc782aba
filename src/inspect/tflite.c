/* inspect/tflite.c - TFLite: a flatbuffer, walked with every offset checked. */
#include "inspect/inspect_int.h"
#include <inttypes.h>

enum { TENSORS_MAX = 1 << 17, GRAPHS_MAX = 1024 };

struct tf {
    struct insp *x;
    struct in *in;
    uint64_t buffers, buffers_n; /* the vector of buffers */
};

/* Where field i of the table at `at` lies; 0 = it is not there. */
static enum status field(struct tf *t, uint64_t at, unsigned i, uint64_t *out, struct err *err)
{
    uint32_t back;
    uint16_t bytes, offset;
    uint64_t vtable;
    enum status st = in_u32(t->in, at, &back, err);

    *out = 0;
    if (st) return st;
    vtable = at - (uint64_t)(int64_t)(int32_t)back;
    if (vtable > t->in->size) {
        return err_set(err, ST_CORRUPT, "a table at byte %" PRIu64 " points outside", at);
    }
    st = in_u16(t->in, vtable, &bytes, err);
    if (st || 4 + 2 * (uint64_t)i + 2 > bytes) {
        return st;
    }
    st = in_u16(t->in, vtable + 4 + 2 * (uint64_t)i, &offset, err);
    *out = offset ? at + offset : 0;
    return st;
}

/* What field i refers to; 0 = it is not there. */
static enum status ref(struct tf *t, uint64_t at, unsigned i, uint64_t *out, struct err *err)
{
    uint32_t offset;
    uint64_t place;
    enum status st = field(t, at, i, &place, err);

    *out = 0;
    if (st || !place) {
        return st;
    }
    st = in_u32(t->in, place, &offset, err);
    if (!st && offset > t->in->size - place) {
        st = err_set(err, ST_CORRUPT, "a reference at byte %" PRIu64 " points outside", place);
    }
    *out = st ? 0 : place + offset;
    return st;
}

/* A vector: where its items begin, and how many there are. */
static enum status vector(struct tf *t, uint64_t at, unsigned i, unsigned item, uint64_t *items,
                          uint32_t *n, struct err *err)
{
    enum status st = ref(t, at, i, items, err);

    *n = 0;
    if (st || !*items) {
        return st;
    }
    st = in_u32(t->in, *items, n, err);
    *items += 4;
    if (!st && (uint64_t)*n * item > t->in->size - *items) {
        st = err_set(err, ST_CORRUPT,
                     "a list of %" PRIu32 " items at byte %" PRIu64 " goes beyond the end", *n,
                     *items);
    }
    return st;
}

static enum status text(struct tf *t, uint64_t at, unsigned i, struct str *out, struct err *err)
{
    uint64_t p;
    uint32_t n;
    enum status st = vector(t, at, i, 1, &p, &n, err);

    *out = S("");
    return st || !p ? st : in_text(t->in, p, n, INSPECT_TEXT_MAX, out, err);
}

/* The table that item j of a vector of references refers to. */
static enum status item(struct tf *t, uint64_t items, uint32_t j, uint64_t *out, struct err *err)
{
    uint32_t offset;
    uint64_t at = items + 4 * (uint64_t)j;
    enum status st = insp_item(t->x, err);

    st = st ? st : in_u32(t->in, at, &offset, err);
    if (!st && offset > t->in->size - at) {
        st = err_set(err, ST_CORRUPT, "a reference at byte %" PRIu64 " points outside", at);
    }
    *out = st ? 0 : at + offset;
    return st;
}

static struct str dtype_name(uint8_t t)
{
    static const char *const names[] = { "F32",  "F16",      "I32",     "U8",  "I64", "STRING",
                                         "BOOL", "I16",      "C64",     "I8",  "F64", "C128",
                                         "U64",  "RESOURCE", "VARIANT", "U32", "U16", "I4" };

    return t < ARRAY_N(names) ? str_cstr(names[t]) : S("?");
}

/* Buffer: 0 data, 1 offset, 2 size (of data behind the flatbuffer). */
static enum status buffer(struct tf *t, uint32_t number, struct inspect_tensor *to, struct err *err)
{
    uint64_t b, at, offset = 0, size = 0;
    uint32_t n = 0;
    enum status st;

    if (number >= t->buffers_n) {
        return err_set(err, ST_CORRUPT, "a tensor names buffer %" PRIu32 " of %" PRIu64, number,
                       t->buffers_n);
    }
    st = item(t, t->buffers, number, &b, err);
    st = st ? st : vector(t, b, 0, 1, &to->offset, &n, err);
    to->bytes = n;
    st = st ? st : field(t, b, 1, &at, err);
    if (!st && at) st = in_u64(t->in, at, &offset, err);
    st = st ? st : field(t, b, 2, &at, err);
    if (!st && at) st = in_u64(t->in, at, &size, err);
    if (!st && offset > 1) {
        to->offset = offset;
        to->bytes = size;
        if (offset > t->in->size || size > t->in->size - offset) {
            insp_finding(t->x, INSPECT_DANGER, "tensor_range",
                         "a buffer lies at %" PRIu64 " .. %" PRIu64 ", beyond the end", offset,
                         offset + size);
        }
    }
    to->has_offset = to->bytes > 0;
    return st;
}

/* Tensor: 0 shape, 1 type, 2 buffer, 3 name */
static enum status tensor(struct tf *t, uint64_t at, struct err *err)
{
    uint64_t shape[INSPECT_RANK_MAX], items, place;
    struct inspect_tensor to = { .shape = shape };
    uint32_t n, number = 0, dim;
    uint8_t type = 0;
    enum status st = vector(t, at, 0, 4, &items, &n, err);

    if (!st && n > INSPECT_RANK_MAX) {
        return err_set(err, ST_CORRUPT, "a tensor of %" PRIu32 " dimensions", n);
    }
    for (uint32_t i = 0; i < n && !st; i++) {
        st = in_u32(t->in, items + 4 * (uint64_t)i, &dim, err);
        shape[to.rank++] = dim;
    }
    st = st ? st : field(t, at, 1, &place, err);
    if (!st && place) st = in_u8(t->in, place, &type, err);
    st = st ? st : field(t, at, 2, &place, err);
    if (!st && place) st = in_u32(t->in, place, &number, err);
    st = st ? st : text(t, at, 3, &to.name, err);
    st = st || !number ? st : buffer(t, number, &to, err);
    if (st || !to.bytes) {
        return st; /* a value of the computation, no weight */
    }
    to.dtype = dtype_name(type);
    if (!shape_product(shape, to.rank, &to.elements)) {
        to.elements = 0;
        insp_finding(t->x, INSPECT_DANGER, "tensor_shape", "the shape of tensor %.*s overflows",
                     STR_ARG(str_sub(to.name, 0, 200)));
    } else if (dtype_bits(to.dtype) >= 8 && to.elements <= UINT64_MAX / 128 &&
               to.elements * (dtype_bits(to.dtype) / 8) > to.bytes) {
        insp_finding(t->x, INSPECT_DANGER, "tensor_size",
                     "tensor %.*s needs more bytes by its shape than the %" PRIu64 " it has",
                     STR_ARG(str_sub(to.name, 0, 200)), to.bytes);
    }
    insp_tensor(t->x, &to, NULL);
    return OK;
}

/* OperatorCode: 1 custom_code */
static enum status codes(struct tf *t, uint64_t root, struct err *err)
{
    uint64_t items, code;
    uint32_t n;
    struct str name;
    enum status st = vector(t, root, 1, 4, &items, &n, err);

    for (uint32_t i = 0; i < n && !st; i++) {
        st = item(t, items, i, &code, err);
        st = st ? st : text(t, code, 1, &name, err);
        if (!st && name.n) {
            insp_finding(t->x, INSPECT_WARNING, "tflite_custom",
                         "uses the operator %.*s, which a library of its own brings",
                         STR_ARG(name));
        }
    }
    if (!st) {
        insp_pair_u64(t->x, "operators", n);
    }
    return st;
}

/* SubGraph: 0 tensors */
static enum status graphs(struct tf *t, uint64_t root, struct err *err)
{
    uint64_t items, graph, tensors, at;
    uint32_t n, m, all = 0;
    enum status st = vector(t, root, 2, 4, &items, &n, err);

    for (uint32_t i = 0; i < n && i < GRAPHS_MAX && !st; i++) {
        st = item(t, items, i, &graph, err);
        st = st ? st : vector(t, graph, 0, 4, &tensors, &m, err);
        for (uint32_t j = 0; j < m && !st; j++) {
            if (++all > TENSORS_MAX) {
                return err_set(err, ST_TOO_BIG, "more than %d tensors", TENSORS_MAX);
            }
            st = item(t, tensors, j, &at, err);
            st = st ? st : tensor(t, at, err);
        }
    }
    if (!st) {
        insp_pair_u64(t->x, "subgraphs", n);
    }
    return st;
}

enum status tflite_read(struct insp *x, struct in *in, struct err *err)
{
    struct tf t = { .x = x, .in = in };
    uint32_t root = 0, version = 0, n = 0;
    uint64_t at;
    struct str description;
    enum status st = in_u32(in, 0, &root, err);

    insp_format(x, "tflite");
    st = st ? st : field(&t, root, 0, &at, err);
    if (!st && at) st = in_u32(in, at, &version, err);
    st = st ? st : text(&t, root, 3, &description, err);
    if (st) return st;
    insp_pair_u64(x, "tflite.version", version);
    if (description.n) {
        x->r->producer = description;
    }
    st = vector(&t, root, 4, 4, &t.buffers, &n, err);
    t.buffers_n = n;
    st = st ? st : codes(&t, root, err);
    return st ? st : graphs(&t, root, err);
}
