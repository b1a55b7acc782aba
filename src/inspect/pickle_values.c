/* inspect/pickle_values.c - the tensors that a pickle makes: storages and views of PyTorch, arrays of numpy, and those that joblib
 * writes behind their description. */
#include "base/num.h"
#include "inspect/pickle_int.h"
#include <inttypes.h>

static const struct str none = { NULL, 0 };

/* ---- types ----------------------------------------------------------------------------------------------------------------------- */

static struct str torch_dtype(struct str storage)
{
    static const struct {
        struct str storage, dtype;
    } rows[] = {
        { S_INIT("FloatStorage"), S_INIT("F32") },
        { S_INIT("HalfStorage"), S_INIT("F16") },
        { S_INIT("BFloat16Storage"), S_INIT("BF16") },
        { S_INIT("DoubleStorage"), S_INIT("F64") },
        { S_INIT("LongStorage"), S_INIT("I64") },
        { S_INIT("IntStorage"), S_INIT("I32") },
        { S_INIT("ShortStorage"), S_INIT("I16") },
        { S_INIT("CharStorage"), S_INIT("I8") },
        { S_INIT("ByteStorage"), S_INIT("U8") },
        { S_INIT("BoolStorage"), S_INIT("BOOL") },
        { S_INIT("ComplexFloatStorage"), S_INIT("C64") },
        { S_INIT("ComplexDoubleStorage"), S_INIT("C128") },
        { S_INIT("QInt8Storage"), S_INIT("I8") },
        { S_INIT("QUInt8Storage"), S_INIT("U8") },
        { S_INIT("QInt32Storage"), S_INIT("I32") },
        { S_INIT("UntypedStorage"), S_INIT("U8") },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (str_eq(rows[i].storage, storage)) {
            return rows[i].dtype;
        }
    }
    return storage;
}

/* "f8", "<i4" -> "F64", "I32"; the text itself where it is none of ours. *bytes 0: unknown, or an object. */
static struct str numpy_dtype(struct str t, uint64_t *bytes)
{
    static const struct {
        struct str code, dtype;
    } rows[] = {
        { S_INIT("f8"), S_INIT("F64") }, { S_INIT("f4"), S_INIT("F32") },
        { S_INIT("f2"), S_INIT("F16") }, { S_INIT("i8"), S_INIT("I64") },
        { S_INIT("i4"), S_INIT("I32") }, { S_INIT("i2"), S_INIT("I16") },
        { S_INIT("i1"), S_INIT("I8") },  { S_INIT("u8"), S_INIT("U64") },
        { S_INIT("u4"), S_INIT("U32") }, { S_INIT("u2"), S_INIT("U16") },
        { S_INIT("u1"), S_INIT("U8") },  { S_INIT("b1"), S_INIT("BOOL") },
        { S_INIT("c8"), S_INIT("C64") }, { S_INIT("c16"), S_INIT("C128") },
    };
    struct str code = t;
    uint64_t n = 0;

    *bytes = 0;
    if (code.n && strchr("<>|=", code.p[0])) {
        code = str_sub(code, 1, code.n);
    }
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (str_eq(rows[i].code, code)) {
            *bytes = dtype_bits(rows[i].dtype) / 8;
            return rows[i].dtype;
        }
    }
    if (code.n > 1 && strchr("SVMm", code.p[0]) && num_parse_u64(str_sub(code, 1, code.n), &n)) {
        *bytes = n;
    } else if (code.n > 1 && code.p[0] == 'U' && num_parse_u64(str_sub(code, 1, code.n), &n) &&
               n < UINT32_MAX) {
        *bytes = n * 4;
    }
    return t;
}

static bool shape_of(const struct pv *v, uint64_t shape[INSPECT_RANK_MAX], unsigned *rank)
{
    *rank = 0;
    if (v->kind != PV_TUPLE || v->n > INSPECT_RANK_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->u.items[i].kind != PV_INT || v->u.items[i].u.i < 0) {
            return false;
        }
        shape[(*rank)++] = (uint64_t)v->u.items[i].u.i;
    }
    return true;
}

/* ---- PyTorch --------------------------------------------------------------------------------------------------------------------- */

bool pv_storage(struct pk *k, const struct pv *id, struct pv *out)
{
    const struct pv *i = id->u.items;
    struct pstorage *s;

    if (id->kind != PV_TUPLE || id->n < 5 || !pv_is_str(&i[0]) ||
        !str_eq_lit(pv_text(&i[0]), "storage") || i[1].kind != PV_GLOBAL || !pv_is_str(&i[2])) {
        return false;
    }
    s = ARENA_NEW(k->arena, struct pstorage);
    if (s) {
        s->dtype = torch_dtype(i[1].u.global->name);
        s->key = pv_text(&i[2]);
        *out = (struct pv){ .kind = PV_STORAGE, .u.storage = s };
    }
    return true;
}

static void torch_tensor(struct pk *k, const struct pv *args, struct pv *out)
{
    uint64_t shape[INSPECT_RANK_MAX];
    const struct pv *i = args->u.items;
    struct inspect_tensor t = { .name = none };
    struct str place;

    if (args->kind != PV_TUPLE || args->n < 3 || i[0].kind != PV_STORAGE || i[1].kind != PV_INT ||
        i[1].u.i < 0 || !shape_of(&i[2], shape, &t.rank)) {
        return;
    }
    if (!shape_product(shape, t.rank, &t.elements) ||
        __builtin_mul_overflow(t.elements, dtype_bits(i[0].u.storage->dtype) / 8, &t.bytes)) {
        insp_finding_at(k->x, INSPECT_WARNING, "tensor_shape", k->op_at,
                        "a tensor whose shape overflows");
        return;
    }
    place = arena_printf(k->arena, "data/%.*s", STR_ARG(i[0].u.storage->key));
    t.dtype = insp_text(k->x, i[0].u.storage->dtype, INSPECT_TEXT_MAX);
    t.place = place.p ? place : S("");
    t.shape = shape;
    t.has_offset = true;
    if (__builtin_mul_overflow((uint64_t)i[1].u.i, dtype_bits(i[0].u.storage->dtype) / 8,
                               &t.offset)) {
        t.offset = 0;
    }
    *out = (struct pv){ .kind = PV_TENSOR };
    insp_tensor(k->x, &t, &out->u.tensor);
}

void pv_named(struct pk *k, const struct pv *key, const struct pv *value)
{
    if (pv_is_str(key) && value->kind == PV_TENSOR && value->u.tensor &&
        value->u.tensor->name.n == 0) {
        value->u.tensor->name = insp_text(k->x, pv_text(key), INSPECT_TEXT_MAX);
    }
}

/* ---- calls ----------------------------------------------------------------------------------------------------------------------- */

static bool named(const struct pglobal *g, const char *module, const char *name)
{
    return str_eq(g->module, str_cstr(module)) && str_eq(g->name, str_cstr(name));
}

enum status pv_call(struct pk *k, const struct pglobal *g, const struct pv *args, struct pv *out,
                    struct err *err)
{
    const struct pv *i = args->kind == PV_TUPLE ? args->u.items : NULL;
    uint32_t n = args->kind == PV_TUPLE ? args->n : 0;

    (void)err;
    *out = (struct pv){ .kind = PV_CALL, .u.global = g };
    if (named(g, "torch._utils", "_rebuild_tensor_v2") ||
        named(g, "torch._utils", "_rebuild_tensor") ||
        named(g, "torch._utils", "_rebuild_tensor_v3")) {
        torch_tensor(k, args, out);
    } else if (named(g, "torch._utils", "_rebuild_parameter") && n && i[0].kind == PV_TENSOR) {
        *out = i[0];
    } else if (named(g, "numpy", "dtype") && n && pv_is_str(&i[0])) {
        *out = i[0];
        out->kind = PV_DTYPE;
    } else if (named(g, "numpy.core.multiarray", "_reconstruct") ||
               named(g, "numpy._core.multiarray", "_reconstruct")) {
        out->kind = PV_ARRAY;
    } else if (named(g, "joblib.numpy_pickle", "NumpyArrayWrapper")) {
        out->kind = PV_WRAPPER;
    } else if (named(g, "_codecs", "encode") &&
               (n != 2 || !pv_is_str(&i[1]) || !str_eq_lit(pv_text(&i[1]), "latin1"))) {
        insp_finding_at(k->x, INSPECT_WARNING, "pickle_codec", k->op_at,
                        "calls _codecs.encode with another codec than latin1");
    } else if (named(g, "collections", "OrderedDict") && n == 0) {
        *out = (struct pv){ .kind = PV_DICT };
    }
    return OK;
}

/* ---- states ---------------------------------------------------------------------------------------------------------------------- */

/* numpy: (version, shape, dtype, is_fortran, bytes). */
static void numpy_array(struct pk *k, const struct pv *state, struct pv *object)
{
    uint64_t shape[INSPECT_RANK_MAX], itemsize;
    const struct pv *i = state->u.items;
    struct inspect_tensor t = { .name = none };

    if (state->kind != PV_TUPLE || state->n != 5 || i[2].kind != PV_DTYPE ||
        i[4].kind != PV_BYTES || !shape_of(&i[1], shape, &t.rank)) {
        return;
    }
    t.dtype = insp_text(k->x, numpy_dtype(pv_text(&i[2]), &itemsize), INSPECT_TEXT_MAX);
    t.shape = shape;
    t.bytes = i[4].u.big;
    if (!shape_product(shape, t.rank, &t.elements) ||
        (itemsize && t.elements != t.bytes / itemsize)) {
        insp_finding_at(k->x, INSPECT_WARNING, "tensor_shape", k->op_at,
                        "an array whose shape does not fit its %" PRIu64 " bytes", t.bytes);
        return;
    }
    *object = (struct pv){ .kind = PV_TENSOR };
    insp_tensor(k->x, &t, &object->u.tensor);
}

/* joblib: padding to an alignment (one byte says how much), then the bytes. */
static enum status joblib_array(struct pk *k, const struct pv *state, struct pv *object,
                                struct err *err)
{
    uint64_t shape[INSPECT_RANK_MAX], itemsize;
    const struct pv *s = pv_member(state, S("shape")), *d = pv_member(state, S("dtype"));
    const struct pv *align = pv_member(state, S("numpy_array_alignment_bytes"));
    struct inspect_tensor t = { .name = none };
    uint8_t pad = 0;
    enum status st = OK;

    if (!s || !d || d->kind != PV_DTYPE || !shape_of(s, shape, &t.rank)) {
        return err_set(err, ST_CORRUPT, "an array of joblib whose shape or type is not known");
    }
    t.dtype = insp_text(k->x, numpy_dtype(pv_text(d), &itemsize), INSPECT_TEXT_MAX);
    t.shape = shape;
    if (str_eq_lit(pv_text(d), "O") || str_eq_lit(pv_text(d), "O8")) { /* a pickle of its own */
        bool is_pickle;

        *object = (struct pv){ .kind = PV_OTHER };
        if (k->x->depth >= k->x->limits->depth_max) {
            return err_set(err, ST_TOO_BIG, "pickles in each other, too deep to follow");
        }
        k->x->depth++;
        st = pickle_read(k->x, k->f, PICKLE_ONE, &is_pickle, err);
        k->x->depth--;
        return st;
    }
    if (itemsize == 0 || !shape_product(shape, t.rank, &t.elements) ||
        __builtin_mul_overflow(t.elements, itemsize, &t.bytes)) {
        return err_set(err, ST_CORRUPT, "an array of joblib whose size is not known");
    }
    if (align && align->kind == PV_INT) {
        st = flow_read(k->f, &pad, 1, err);
        st = st ? st : flow_skip(k->f, pad, err);
    }
    t.has_offset = !k->f->z;
    t.offset = k->f->pos;
    st = st ? st : flow_skip(k->f, t.bytes, err);
    if (!st) {
        *object = (struct pv){ .kind = PV_TENSOR };
        insp_tensor(k->x, &t, &object->u.tensor);
    }
    return st;
}

bool pv_matters(struct str key)
{
    return (str_starts(key, S("__")) && str_ends(key, S("__"))) || str_eq_lit(key, "shape") ||
           str_eq_lit(key, "dtype") || str_eq_lit(key, "numpy_array_alignment_bytes");
}

static void check_state(struct pk *k, const struct pv *state)
{
    for (size_t i = 0; state->kind == PV_DICT && state->u.dict && i < state->u.dict->n; i++) {
        struct str key = state->u.dict->entries[i].key;

        if (str_starts(key, S("__")) && str_ends(key, S("__"))) {
            insp_finding_at(k->x, INSPECT_WARNING, "pickle_state", k->op_at,
                            "sets the attribute %.*s of an object", STR_ARG(key));
        }
    }
}

enum status pv_build(struct pk *k, struct pv *object, const struct pv *state, struct err *err)
{
    switch ((enum pv_kind)object->kind) {
    case PV_GLOBAL:
        k->reached = true;
        insp_finding_at(k->x, INSPECT_DANGER, "pickle_build", k->op_at,
                        "changes %.*s itself, for everybody who uses it",
                        STR_ARG(object->u.global->full));
        return OK;
    case PV_ARRAY: numpy_array(k, state, object); return OK;
    case PV_WRAPPER: return joblib_array(k, state, object, err);
    case PV_DTYPE:
    case PV_TENSOR: return OK;
    case PV_OTHER:
    case PV_MARK:
    case PV_NONE:
    case PV_BOOL:
    case PV_INT:
    case PV_STR:
    case PV_BYTES:
    case PV_TUPLE:
    case PV_LIST:
    case PV_DICT:
    case PV_CALL:
    case PV_STORAGE: break;
    }
    check_state(k, state);
    return OK;
}
