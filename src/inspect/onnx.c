/* inspect/onnx.c - ONNX: ModelProto on the wire. Initializers are the tensors; bytes that lie in other files must stay in the folder. */
#include "base/map.h"
#include "inspect/pbwire_int.h"
#include <inttypes.h>

enum { OPS_MAX = 4096, SHORT = 256 };

struct onnx {
    struct insp *x;
    struct arena *scratch;
    struct str_map ops, domains;
    uint64_t nodes;
    unsigned depth;
};

static struct str dtype_name(uint64_t t)
{
    static const char *const names[] = { "?",           "F32",  "U8",      "I8",          "U16",
                                         "I16",         "I32",  "I64",     "STRING",      "BOOL",
                                         "F16",         "F64",  "U32",     "U64",         "C64",
                                         "C128",        "BF16", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2",
                                         "F8_E5M2FNUZ", "U4",   "I4",      "F4" };

    return t < ARRAY_N(names) ? str_cstr(names[t]) : S("?");
}

/* Keys and values of external_data. */
static enum status external(struct onnx *o, struct pb entry, struct inspect_tensor *t,
                            struct err *err)
{
    struct str key = S(""), value = S("");
    struct pb_field f;
    enum status st = OK;

    while (pb_next(&entry, &f, &st, err)) {
        if (f.number == 1) st = pb_text(&f, SHORT, &key, err);
        if (f.number == 2) st = pb_text(&f, INSPECT_TEXT_MAX, &value, err);
    }
    if (!st && str_eq_lit(key, "location")) {
        t->place = value;
        if (path_escapes(value)) {
            insp_finding(o->x, INSPECT_DANGER, "external_path",
                         "tensor %.*s has its bytes in %.*s, outside of the folder of the model",
                         STR_ARG(str_sub(t->name, 0, 200)), STR_ARG(str_sub(value, 0, 300)));
        }
    }
    return st;
}

static enum status tensor(struct onnx *o, struct pb m, struct err *err)
{
    uint64_t shape[INSPECT_RANK_MAX], type = 0, data = 0, at = 0;
    struct inspect_tensor t = { .shape = shape, .name = S(""), .place = S("") };
    bool is_external = false;
    struct pb_field f;
    struct pb again = m;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 1 && f.wire == 2) {
            while (t.rank < INSPECT_RANK_MAX && pb_varint(&f.body, &shape[t.rank], &st, err)) {
                t.rank++;
            }
        } else if (f.number == 1 && t.rank < INSPECT_RANK_MAX) {
            shape[t.rank++] = f.value;
        } else if (f.number == 2) {
            type = f.value;
        } else if (f.number == 8) {
            st = pb_text(&f, INSPECT_TEXT_MAX, &t.name, err);
        } else if (f.wire == 2 && ((f.number >= 4 && f.number <= 7) || f.number == 9 ||
                                   f.number == 10 || f.number == 11)) {
            data += f.body.end - f.body.at;
            at = f.body.at;
        } else if (f.number == 14) {
            is_external = f.value == 1;
        }
    }
    while (is_external && pb_next(&again, &f, &st, err)) {
        if (f.number == 13 && f.wire == 2) st = external(o, f.body, &t, err);
    }
    if (st) return st;
    t.dtype = dtype_name(type);
    t.has_offset = !is_external && data;
    t.offset = at;
    if (!shape_product(shape, t.rank, &t.elements)) {
        t.elements = 0;
        insp_finding(o->x, INSPECT_DANGER, "tensor_shape", "the shape of tensor %.*s overflows",
                     STR_ARG(str_sub(t.name, 0, 200)));
    } else if (__builtin_mul_overflow(t.elements, dtype_bits(t.dtype), &t.bytes)) {
        t.bytes = 0;
    }
    t.bytes = is_external || !data ? t.bytes / 8 : data;
    insp_tensor(o->x, &t, NULL);
    return OK;
}

static enum status count(struct onnx *o, struct str_map *m, struct str key, bool *is_new,
                         struct err *err)
{
    uint64_t *n = str_map_get(m, key);

    *is_new = n == NULL;
    if (n) {
        ++*n;
        return OK;
    }
    n = m->n < m->max ? ARENA_NEW(o->scratch, uint64_t) : NULL;
    key = arena_str(o->scratch, key);
    if (!n || !key.p) {
        return err_set(err, ST_TOO_BIG, "more than %d kinds of operators", OPS_MAX);
    }
    *n = 1;
    return str_map_put(m, key, n) ? err_nomem(err) : OK;
}

static enum status graph(struct onnx *o, struct pb m, struct err *err);

static enum status attribute(struct onnx *o, struct pb m, struct err *err)
{
    struct pb_field f;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.wire == 2 && (f.number == 6 || f.number == 11)) st = graph(o, f.body, err);
        if (f.wire == 2 && (f.number == 5 || f.number == 10)) st = tensor(o, f.body, err);
    }
    return st;
}

static bool is_known_domain(struct str d)
{
    return d.n == 0 || str_eq_lit(d, "ai.onnx") || str_eq_lit(d, "ai.onnx.ml") ||
           str_eq_lit(d, "ai.onnx.preview.training") || str_eq_lit(d, "ai.onnx.training");
}

static enum status node(struct onnx *o, struct pb m, struct err *err)
{
    struct str op = S(""), domain = S("");
    struct pb_field f;
    bool is_new;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 4) st = pb_text(&f, SHORT, &op, err);
        if (f.number == 7) st = pb_text(&f, SHORT, &domain, err);
        if (f.number == 5 && f.wire == 2) st = attribute(o, f.body, err);
    }
    o->nodes++;
    st = st ? st : count(o, &o->ops, op, &is_new, err);
    if (!st && !is_known_domain(domain)) {
        st = count(o, &o->domains, domain, &is_new, err);
        if (!st && is_new) {
            insp_finding(o->x, INSPECT_WARNING, "onnx_domain",
                         "uses operators of the domain %.*s, which a library of its own brings",
                         STR_ARG(domain));
        }
    }
    return st;
}

static enum status graph(struct onnx *o, struct pb m, struct err *err)
{
    struct pb_field f;
    struct str name;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 1 && f.wire == 2) st = node(o, f.body, err);
        if (f.number == 5 && f.wire == 2) st = tensor(o, f.body, err);
        if (f.number == 2 && m.depth == 1) {
            st = pb_text(&f, INSPECT_TEXT_MAX, &name, err);
            insp_pair(o->x, "graph", name);
        }
    }
    return st;
}

static enum status pair(struct onnx *o, struct pb m, bool opset, struct err *err)
{
    struct str key = S(""), value = S("");
    uint64_t version = 0;
    struct pb_field f;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 1) st = pb_text(&f, SHORT, &key, err);
        if (f.number == 2 && f.wire == 2) st = pb_text(&f, INSPECT_TEXT_MAX, &value, err);
        if (f.number == 2 && f.wire == 0) version = f.value;
    }
    if (st) return st;
    if (opset) {
        struct str name =
            arena_printf(o->scratch, "opset.%.*s", STR_ARG(key.n ? key : S("ai.onnx")));

        insp_pair_u64(o->x, name.p ? name.p : "opset", version);
    } else {
        insp_pair_str(o->x, key, value);
    }
    return OK;
}

static enum status function(struct onnx *o, struct pb m, struct err *err)
{
    struct pb_field f;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 7 && f.wire == 2) st = node(o, f.body, err);
    }
    return st;
}

static enum status model(struct onnx *o, struct pb m, struct err *err)
{
    struct str producer = S(""), version = S(""), text;
    struct pb_field f;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        switch (f.number) {
        case 1: insp_pair_u64(o->x, "ir_version", f.value); break;
        case 2: st = pb_text(&f, SHORT, &producer, err); break;
        case 3: st = pb_text(&f, SHORT, &version, err); break;
        case 4:
            st = pb_text(&f, SHORT, &text, err);
            if (text.n) insp_pair(o->x, "domain", text);
            break;
        case 5: insp_pair_u64(o->x, "model_version", f.value); break;
        case 7: st = f.wire == 2 ? graph(o, f.body, err) : OK; break;
        case 8: st = f.wire == 2 ? pair(o, f.body, true, err) : OK; break;
        case 14: st = f.wire == 2 ? pair(o, f.body, false, err) : OK; break;
        case 25: st = f.wire == 2 ? function(o, f.body, err) : OK; break;
        default: break;
        }
    }
    if (producer.n) {
        o->x->r->producer =
            version.n ? arena_printf(o->x->arena, "%.*s %.*s", STR_ARG(producer), STR_ARG(version))
                      : producer;
    }
    return st;
}

enum status onnx_read(struct insp *x, struct in *in, struct err *err)
{
    struct onnx o = { .x = x, .scratch = arena_new(8 << 20) };
    enum status st;

    o.ops.max = o.domains.max = OPS_MAX;
    insp_format(x, "onnx");
    st = o.scratch ? model(&o, pb_of(in), err) : err_nomem(err);
    insp_pair_u64(x, "nodes", o.nodes);
    insp_pair_u64(x, "operators", o.ops.n);
    str_map_release(&o.ops);
    str_map_release(&o.domains);
    arena_free(o.scratch);
    return st;
}

/* ir_version first, as every writer does, then texts, a graph or imports. */
bool onnx_probe(struct str h, uint64_t size)
{
    const unsigned char *p = (const unsigned char *)h.p;

    (void)size;
    return h.n > 4 && p[0] == 0x08 && p[1] >= 1 && p[1] < 64 &&
           (p[2] == 0x12 || p[2] == 0x1a || p[2] == 0x22 || p[2] == 0x3a || p[2] == 0x42) &&
           !savedmodel_probe(h, size);
}
