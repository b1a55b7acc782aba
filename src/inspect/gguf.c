/* inspect/gguf.c - GGUF: counted key-value pairs, counted tensor descriptions, then aligned data. */
#include "base/num.h"
#include "base/vec.h"
#include "inspect/inspect_int.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    GGUF_ALIGNMENT = 32,
    KEY_MAX = 65535,
    ARRAY_DEPTH_MAX = 4,
    TENSORS_MAX = 1 << 17,
    PAIR_MIN = 8 + 4 + 1,   /* bytes of the shortest pair */
    TENSOR_MIN = 8 + 4 + 12 /* and description of a tensor */
};
enum value_type {
    V_U8,
    V_I8,
    V_U16,
    V_I16,
    V_U32,
    V_I32,
    V_F32,
    V_BOOL,
    V_STRING,
    V_ARRAY,
    V_U64,
    V_I64,
    V_F64,
    V_N
};
static const uint8_t value_bytes[V_N] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

/* Types of tensors by number: elements and bytes of a block. */
static const struct ggml_type {
    struct str name;
    uint16_t elements, bytes;
} types[] = {
    [0] = { S_INIT("F32"), 1, 4 },         [1] = { S_INIT("F16"), 1, 2 },
    [2] = { S_INIT("Q4_0"), 32, 18 },      [3] = { S_INIT("Q4_1"), 32, 20 },
    [6] = { S_INIT("Q5_0"), 32, 22 },      [7] = { S_INIT("Q5_1"), 32, 24 },
    [8] = { S_INIT("Q8_0"), 32, 34 },      [9] = { S_INIT("Q8_1"), 32, 36 },
    [10] = { S_INIT("Q2_K"), 256, 84 },    [11] = { S_INIT("Q3_K"), 256, 110 },
    [12] = { S_INIT("Q4_K"), 256, 144 },   [13] = { S_INIT("Q5_K"), 256, 176 },
    [14] = { S_INIT("Q6_K"), 256, 210 },   [15] = { S_INIT("Q8_K"), 256, 292 },
    [16] = { S_INIT("IQ2_XXS"), 256, 66 }, [17] = { S_INIT("IQ2_XS"), 256, 74 },
    [18] = { S_INIT("IQ3_XXS"), 256, 98 }, [19] = { S_INIT("IQ1_S"), 256, 50 },
    [20] = { S_INIT("IQ4_NL"), 32, 18 },   [21] = { S_INIT("IQ3_S"), 256, 110 },
    [22] = { S_INIT("IQ2_S"), 256, 82 },   [23] = { S_INIT("IQ4_XS"), 256, 136 },
    [24] = { S_INIT("I8"), 1, 1 },         [25] = { S_INIT("I16"), 1, 2 },
    [26] = { S_INIT("I32"), 1, 4 },        [27] = { S_INIT("I64"), 1, 8 },
    [28] = { S_INIT("F64"), 1, 8 },        [29] = { S_INIT("IQ1_M"), 256, 56 },
    [30] = { S_INIT("BF16"), 1, 2 },       [34] = { S_INIT("TQ1_0"), 256, 54 },
    [35] = { S_INIT("TQ2_0"), 256, 66 },   [39] = { S_INIT("MXFP4"), 32, 17 },
};

struct extent {
    uint64_t from, to;
};
struct gguf {
    struct insp *x;
    struct in *in;
    uint64_t at;
    uint32_t version;
    uint64_t alignment;
    VEC(struct extent) extents;
};

static enum status u32(struct gguf *g, uint32_t *out, struct err *err)
{
    enum status st = in_u32(g->in, g->at, out, err);

    g->at += 4;
    return st;
}

static enum status u64(struct gguf *g, uint64_t *out, struct err *err)
{
    uint32_t low;
    enum status st;

    if (g->version == 1) { /* counts of 32 bits */
        st = u32(g, &low, err);
        *out = low;
        return st;
    }
    st = in_u64(g->in, g->at, out, err);
    g->at += 8;
    return st;
}

static enum status text(struct gguf *g, size_t max, struct str *out, struct err *err)
{
    uint64_t n;
    enum status st = u64(g, &n, err);

    st = st ? st : in_text(g->in, g->at, n, max, out, err);
    if (!st) {
        g->at += n;
    }
    return st;
}

static enum status skip(struct gguf *g, uint64_t n, struct err *err)
{
    if (n > g->in->size || g->at > g->in->size - n) {
        return err_set(err, ST_CORRUPT, "a value goes beyond the end");
    }
    g->at += n;
    return OK;
}

/* A number as text. */
static struct str scalar_text(struct gguf *g, uint32_t type, const unsigned char b[8])
{
    static const char *const truth[] = { "false", "true" };
    char out[NUM_DOUBLE_MAX];
    uint64_t u = le64(b);
    uint32_t low = le32(b);
    float f;

    switch ((enum value_type)type) {
    case V_U8: return arena_printf(g->x->arena, "%u", b[0]);
    case V_I8: return arena_printf(g->x->arena, "%d", (signed char)b[0]);
    case V_U16: return arena_printf(g->x->arena, "%u", le16(b));
    case V_I16: return arena_printf(g->x->arena, "%d", (int16_t)le16(b));
    case V_U32: return arena_printf(g->x->arena, "%" PRIu32, low);
    case V_I32: return arena_printf(g->x->arena, "%" PRId32, (int32_t)low);
    case V_BOOL: return str_cstr(truth[b[0] != 0]);
    case V_U64: return arena_printf(g->x->arena, "%" PRIu64, u);
    case V_I64: return arena_printf(g->x->arena, "%" PRId64, (int64_t)u);
    case V_F32: memcpy(&f, &low, sizeof(f)); return arena_printf(g->x->arena, "%g", (double)f);
    case V_F64:
        return arena_str(g->x->arena, str_of(out, num_print_double(num_bits_double(u), out)));
    case V_STRING:
    case V_ARRAY:
    case V_N: break;
    }
    return S("");
}

static enum status skip_array(struct gguf *g, uint32_t type, uint64_t n, unsigned depth,
                              struct err *err)
{
    uint64_t bytes;
    enum status st = OK;

    if (type >= V_N) {
        return err_set(err, ST_CORRUPT, "a list of the unknown type %" PRIu32, type);
    }
    if (value_bytes[type]) {
        if (__builtin_mul_overflow(n, value_bytes[type], &bytes)) {
            return err_set(err, ST_CORRUPT, "a list of %" PRIu64 " items", n);
        }
        return skip(g, bytes, err);
    }
    if (n > (g->in->size - MIN_OF(g->at, g->in->size)) / 4) {
        return err_set(err, ST_CORRUPT, "a list of %" PRIu64 " items that cannot be there", n);
    }
    for (uint64_t i = 0; i < n && !st; i++) {
        uint64_t m;
        uint32_t inner;

        st = insp_item(g->x, err);
        if (!st && type == V_STRING) {
            st = u64(g, &m, err);
            st = st ? st : skip(g, m, err);
        } else if (!st) {
            st = depth >= ARRAY_DEPTH_MAX ? err_set(err, ST_TOO_BIG, "lists in lists") : OK;
            st = st ? st : u32(g, &inner, err);
            st = st ? st : u64(g, &m, err);
            st = st ? st : skip_array(g, inner, m, depth + 1, err);
        }
    }
    return st;
}

static enum status value(struct gguf *g, struct str key, uint32_t type, struct err *err)
{
    unsigned char b[8] = { 0 };
    struct str out = S("");
    uint32_t inner;
    uint64_t n;
    enum status st;

    if (type == V_STRING) {
        st = text(g, INSPECT_TEXT_MAX, &out, err);
    } else if (type == V_ARRAY) {
        st = u32(g, &inner, err);
        st = st ? st : u64(g, &n, err);
        st = st ? st : skip_array(g, inner, n, 0, err);
        if (!st) {
            out = arena_printf(g->x->arena, "[%" PRIu64 " items]", n);
        }
    } else if (type < V_N) {
        st = in_read(g->in, g->at, b, value_bytes[type], err);
        g->at += value_bytes[type];
        out = scalar_text(g, type, b);
        if (!st && str_eq_lit(key, "general.alignment") && type == V_U32) {
            g->alignment = le32(b);
        }
    } else {
        return err_set(err, ST_CORRUPT, "a value of the unknown type %" PRIu32, type);
    }
    if (st) return st;
    insp_pair_str(g->x, key, out);
    if (str_eq_lit(key, "general.architecture")) {
        g->x->r->producer = out;
    }
    if (str_starts(key, S("tokenizer.chat_template"))) {
        insp_finding(g->x, INSPECT_INFO, "gguf_template",
                     "carries a chat template, a program in Jinja that loaders run: %.*s",
                     STR_ARG(key));
    }
    return OK;
}

static enum status pairs(struct gguf *g, uint64_t n, struct err *err)
{
    enum status st = OK;

    for (uint64_t i = 0; i < n && !st; i++) {
        struct str key = S("");
        uint32_t type = 0;

        st = insp_item(g->x, err);
        st = st ? st : text(g, KEY_MAX, &key, err);
        st = st ? st : u32(g, &type, err);
        st = st ? st : value(g, key, type, err);
    }
    return st;
}

static void tensor_bytes(struct gguf *g, struct inspect_tensor *t, uint32_t type)
{
    const struct ggml_type *gt =
        type < ARRAY_N(types) && types[type].elements ? &types[type] : NULL;
    struct str name = str_sub(t->name, 0, 200);

    t->dtype = gt ? gt->name : arena_printf(g->x->arena, "type %" PRIu32, type);
    if (!shape_product(t->shape, t->rank, &t->elements) ||
        (gt && __builtin_mul_overflow(t->elements / gt->elements, gt->bytes, &t->bytes))) {
        t->elements = t->bytes = 0;
        insp_finding(g->x, INSPECT_DANGER, "tensor_shape", "the shape of tensor %.*s overflows",
                     STR_ARG(name));
    } else if (!gt) {
        insp_finding(g->x, INSPECT_WARNING, "tensor_dtype", "tensor %.*s has the unknown %.*s",
                     STR_ARG(name), STR_ARG(t->dtype));
    } else if (t->rank && t->shape[0] % gt->elements) {
        insp_finding(g->x, INSPECT_WARNING, "tensor_size",
                     "the rows of tensor %.*s are no multiple of %u", STR_ARG(name), gt->elements);
    }
}

static enum status tensor(struct gguf *g, struct err *err)
{
    uint64_t shape[INSPECT_RANK_MAX];
    struct inspect_tensor t = { .shape = shape, .has_offset = true };
    uint32_t rank = 0, type = 0;
    struct extent *e;
    enum status st = text(g, INSPECT_TEXT_MAX, &t.name, err);

    st = st ? st : u32(g, &rank, err);
    if (!st && rank > INSPECT_RANK_MAX) {
        st = err_set(err, ST_CORRUPT, "a tensor of %" PRIu32 " dimensions", rank);
    }
    for (uint32_t i = 0; i < rank && !st; i++) {
        st = u64(g, &shape[i], err);
    }
    t.rank = rank;
    st = st ? st : u32(g, &type, err);
    st = st ? st : in_u64(g->in, g->at, &t.offset, err);
    g->at += 8;
    if (st) return st;
    tensor_bytes(g, &t, type);
    if (t.offset % g->alignment) {
        insp_finding(g->x, INSPECT_WARNING, "tensor_alignment",
                     "tensor %.*s lies at %" PRIu64 ", no multiple of %" PRIu64,
                     STR_ARG(str_sub(t.name, 0, 200)), t.offset, g->alignment);
    }
    insp_tensor(g->x, &t, NULL);
    e = vec_add(&g->extents);
    if (!e) {
        return err_set(err, ST_TOO_BIG, "more than %d tensors", TENSORS_MAX);
    }
    e->from = t.offset;
    if (__builtin_add_overflow(t.offset, t.bytes, &e->to)) {
        e->to = UINT64_MAX;
    }
    return OK;
}

static int by_from(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    return x->from < y->from ? -1 : x->from > y->from;
}

static void check_extents(struct gguf *g)
{
    uint64_t data_at = g->at, rest, data, at = 0;

    rest = data_at % g->alignment;
    data_at += rest ? g->alignment - rest : 0;
    data = data_at < g->in->size ? g->in->size - data_at : 0;
    for (struct inspect_tensor *t = g->x->r->tensors; t; t = t->next) {
        if (__builtin_add_overflow(t->offset, data_at, &t->offset)) {
            t->has_offset = false;
        }
    }
    if (g->extents.n) {
        qsort(g->extents.p, g->extents.n, sizeof(*g->extents.p), by_from);
    }
    for (size_t i = 0; i < g->extents.n; i++) {
        if (g->extents.p[i].to > data) {
            insp_finding(g->x, INSPECT_DANGER, "tensor_range",
                         "a tensor lies at %" PRIu64 " .. %" PRIu64 ", but there are %" PRIu64
                         " bytes of data",
                         g->extents.p[i].from, g->extents.p[i].to, data);
            return;
        }
        if (g->extents.p[i].from < at && g->extents.p[i].from != g->extents.p[i].to) {
            insp_finding(g->x, INSPECT_DANGER, "tensor_overlap",
                         "tensors overlap at byte %" PRIu64 " of the data", g->extents.p[i].from);
            return;
        }
        at = MAX_OF(at, g->extents.p[i].to);
    }
}

enum status gguf_read(struct insp *x, struct in *in, struct err *err)
{
    struct gguf g = { .x = x, .in = in, .at = 4, .alignment = GGUF_ALIGNMENT };
    uint64_t tensors = 0, n = 0;
    enum status st = u32(&g, &g.version, err);

    if (st) return st;
    insp_format(x, "gguf");
    if (g.version == 0 || g.version > 3) {
        return err_set(err, ST_CORRUPT,
                       g.version >> 16 ? "a big-endian file, or version %" PRIu32
                                       : "the unknown version %" PRIu32,
                       g.version);
    }
    insp_pair_u64(x, "gguf.version", g.version);
    st = u64(&g, &tensors, err);
    st = st ? st : u64(&g, &n, err);
    if (st) return st;
    if (n > in->size / PAIR_MIN || tensors > in->size / TENSOR_MIN) {
        insp_finding(x, INSPECT_DANGER, "header_size",
                     "claims %" PRIu64 " tensors and %" PRIu64 " pairs in %" PRIu64 " bytes",
                     tensors, n, in->size);
        return OK;
    }
    st = pairs(&g, n, err);
    if (!st && (g.alignment == 0 || g.alignment % 8)) {
        insp_finding(x, INSPECT_WARNING, "gguf_alignment", "an alignment of %" PRIu64, g.alignment);
        g.alignment = GGUF_ALIGNMENT;
    }
    g.extents.max = TENSORS_MAX;
    for (uint64_t i = 0; i < tensors && !st; i++) {
        st = insp_item(x, err);
        st = st ? st : tensor(&g, err);
    }
    if (!st) {
        check_extents(&g);
    }
    vec_release(&g.extents);
    return st;
}
