/* inspect/savedmodel.c - saved_model.pb of TensorFlow: graphs of operators. The weights lie in other files; what matters here is what
 * the graph does beside computing: files, Python, and layers that carry code. */
#include "base/map.h"
#include "inspect/pbwire_int.h"
#include <inttypes.h>

enum { OPS_MAX = 8192, SHORT = 256, OP_MAX = 128 };

static const struct {
    struct str op;
    enum inspect_severity severity;
    const char *what;
} notable[] = {
    { S_INIT("PyFunc"), INSPECT_DANGER, "calls Python" },
    { S_INIT("PyFuncStateless"), INSPECT_DANGER, "calls Python" },
    { S_INIT("EagerPyFunc"), INSPECT_DANGER, "calls Python" },
    { S_INIT("ReadFile"), INSPECT_DANGER, "reads files" },
    { S_INIT("WriteFile"), INSPECT_DANGER, "writes files" },
    { S_INIT("MatchingFiles"), INSPECT_DANGER, "lists files" },
    { S_INIT("WholeFileReaderV2"), INSPECT_DANGER, "reads files" },
    { S_INIT("TextLineReaderV2"), INSPECT_WARNING, "reads files" },
    { S_INIT("DebugIdentityV3"), INSPECT_WARNING, "writes what passes through it to a place" },
    { S_INIT("DebugIdentity"), INSPECT_WARNING, "writes what passes through it to a place" },
    { S_INIT("PrintV2"), INSPECT_WARNING, "prints, to a file if it is told to" },
    { S_INIT("LoadDataset"), INSPECT_WARNING, "reads files" },
    { S_INIT("SaveDataset"), INSPECT_WARNING, "writes files" },
    { S_INIT("SaveDatasetV2"), INSPECT_WARNING, "writes files" },
    { S_INIT("ImmutableConst"), INSPECT_WARNING, "maps a file" },
    { S_INIT("CustomOp"), INSPECT_WARNING, "needs a library of its own" },
};

struct saved {
    struct insp *x;
    struct arena *scratch;
    struct str_map ops;
    uint64_t nodes;
};

static struct str dtype_name(uint64_t t)
{
    static const char *const names[] = { "?",    "F32",    "F64",      "I32",     "U8",   "I16",
                                         "I8",   "STRING", "C64",      "I64",     "BOOL", "I8",
                                         "U8",   "I32",    "BF16",     "I16",     "U16",  "U16",
                                         "C128", "F16",    "RESOURCE", "VARIANT", "U32",  "U64" };

    return t < ARRAY_N(names) ? str_cstr(names[t]) : S("?");
}

static enum status operator(struct saved *s, struct str op, struct err *err) {
    struct str kept;

    s->nodes++; if (str_map_get(&s->ops, op)){ return OK; }
kept = arena_str(s->scratch, op);
if (!kept.p || s->ops.n >= OPS_MAX) {
    return err_set(err, ST_TOO_BIG, "more than %d kinds of operators", OPS_MAX);
}
if (str_map_put(&s->ops, kept, s)) {
    return err_nomem(err);
}
for (size_t i = 0; i < ARRAY_N(notable); i++) {
    if (str_eq(notable[i].op, op)) {
        insp_finding(s->x, notable[i].severity, "graph_operator", "the operator %.*s %s",
                     STR_ARG(op), notable[i].what);
    }
}
return OK;
}

/* TensorShapeProto: 2 dim { 1 size }, 3 unknown_rank */
static enum status shape_of(struct pb m, uint64_t *shape, unsigned *rank, bool *known,
                            struct err *err)
{
    struct pb_field f, d;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 3 && f.value) *known = false;
        if (f.number != 2 || f.wire != 2 || *rank >= INSPECT_RANK_MAX) continue;
        shape[*rank] = 0;
        while (pb_next(&f.body, &d, &st, err)) {
            if (d.number == 1) {
                shape[*rank] = d.value;
                *known = *known && d.value < (uint64_t)1 << 62;
            }
        }
        ++*rank;
    }
    return st;
}

/* NodeDef.attr: 1 key, 2 AttrValue { 6 type, 7 shape }. */
static enum status attribute(struct pb m, struct inspect_tensor *t, uint64_t *shape, bool *known,
                             struct err *err)
{
    struct str key = S("");
    struct pb value = { .at = 0, .end = 0 };
    struct pb_field f;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 1) st = pb_text(&f, SHORT, &key, err);
        if (f.number == 2 && f.wire == 2) value = f.body;
    }
    while (value.in && pb_next(&value, &f, &st, err)) {
        if (f.number == 6 && str_eq_lit(key, "dtype")) t->dtype = dtype_name(f.value);
        if (f.number == 7 && f.wire == 2 && str_eq_lit(key, "shape")) {
            st = shape_of(f.body, shape, &t->rank, known, err);
        }
    }
    return st;
}

/* NodeDef: 1 name, 2 op, 5 attr. Variables of the main graph are tensors. */
static enum status node(struct saved *s, struct pb m, bool main_graph, struct err *err)
{
    uint64_t shape[INSPECT_RANK_MAX];
    struct inspect_tensor t = { .shape = shape, .dtype = S("?"), .place = S("variables") };
    struct str op = S("");
    struct pb again = m;
    struct pb_field f;
    bool known = true;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 1) st = pb_text(&f, INSPECT_TEXT_MAX, &t.name, err);
        if (f.number == 2) st = pb_text(&f, OP_MAX, &op, err);
    }
    st = st ? st : operator(s, op, err);
    if (st || !main_graph || (!str_eq_lit(op, "VarHandleOp") && !str_eq_lit(op, "VariableV2"))) {
        return st;
    }
    while (pb_next(&again, &f, &st, err)) {
        if (f.number == 5 && f.wire == 2) st = attribute(f.body, &t, shape, &known, err);
    }
    if (!st && known && shape_product(shape, t.rank, &t.elements) &&
        !__builtin_mul_overflow(t.elements, dtype_bits(t.dtype) / 8, &t.bytes)) {
        insp_tensor(s->x, &t, NULL);
    }
    return st;
}

/* GraphDef: 1 node, 2 library { 1 function { 3 node_def } } */
static enum status graph(struct saved *s, struct pb m, struct err *err)
{
    struct pb_field f, fn, n;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 1 && f.wire == 2) st = node(s, f.body, true, err);
        if (f.number != 2 || f.wire != 2) continue;
        while (pb_next(&f.body, &fn, &st, err)) {
            if (fn.number != 1 || fn.wire != 2) continue;
            while (pb_next(&fn.body, &n, &st, err)) {
                if (n.number == 3 && n.wire == 2) st = node(s, n.body, false, err);
            }
        }
    }
    return st;
}

/* SavedObjectGraph: 1 nodes { 4 user_object { 1 identifier, 3 metadata } }: metadata is the JSON of a Keras layer. */
static enum status user_object(struct saved *s, struct pb m, struct err *err)
{
    struct pb_field f;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        const unsigned char *p;
        size_t n;

        if (f.number != 3 || f.wire != 2) continue;
        n = (size_t)MIN_OF(f.body.end - f.body.at, (uint64_t)IN_WINDOW);
        st = in_peek(f.body.in, f.body.at, n, &p, err);
        if (!st && str_find(str_of(p, n), S("\"class_name\": \"Lambda\"")) != SIZE_MAX) {
            insp_finding(s->x, INSPECT_DANGER, "keras_lambda",
                         "has a Lambda layer: Python code that is run when the model is loaded");
        }
    }
    return st;
}

static enum status objects(struct saved *s, struct pb m, struct err *err)
{
    struct pb_field f, o;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number != 1 || f.wire != 2) continue;
        while (pb_next(&f.body, &o, &st, err)) {
            if (o.number == 4 && o.wire == 2) st = user_object(s, o.body, err);
        }
    }
    return st;
}

/* MetaInfoDef: 4 tags, 5 tensorflow_version */
static enum status meta_info(struct saved *s, struct pb m, struct err *err)
{
    struct pb_field f;
    struct str text;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.number != 4 && f.number != 5) continue;
        st = pb_text(&f, SHORT, &text, err);
        if (!st && f.number == 4) {
            insp_pair(s->x, "tag", text);
        } else if (!st) {
            s->x->r->producer = arena_printf(s->x->arena, "TensorFlow %.*s", STR_ARG(text));
        }
    }
    return st;
}

/* MetaGraphDef: 1 meta_info_def, 2 graph_def, 5 signature_def { 1 key }, 7 object_graph_def */
static enum status meta_graph(struct saved *s, struct pb m, struct err *err)
{
    struct pb_field f, e;
    struct str text;
    enum status st = OK;

    while (pb_next(&m, &f, &st, err)) {
        if (f.wire != 2) continue;
        if (f.number == 1) st = meta_info(s, f.body, err);
        if (f.number == 2) st = graph(s, f.body, err);
        if (f.number == 7) st = objects(s, f.body, err);
        while (f.number == 5 && pb_next(&f.body, &e, &st, err)) {
            if (e.number == 1) {
                st = pb_text(&e, SHORT, &text, err);
                insp_pair(s->x, "signature", text);
            }
        }
    }
    return st;
}

enum status savedmodel_read(struct insp *x, struct in *in, struct err *err)
{
    struct saved s = { .x = x, .scratch = arena_new(8 << 20) };
    struct pb m = pb_of(in);
    struct pb_field f;
    enum status st = s.scratch ? OK : err_nomem(err);

    s.ops.max = OPS_MAX;
    insp_format(x, "savedmodel");
    while (pb_next(&m, &f, &st, err)) {
        if (f.number == 1) insp_pair_u64(x, "schema_version", f.value);
        if (f.number == 2 && f.wire == 2) st = meta_graph(&s, f.body, err);
    }
    insp_pair_u64(x, "nodes", s.nodes);
    insp_pair_u64(x, "operators", s.ops.n);
    str_map_release(&s.ops);
    arena_free(s.scratch);
    return st;
}

/* Schema version 1, then a meta graph that begins with its own information. */
bool savedmodel_probe(struct str h, uint64_t size)
{
    const unsigned char *p = (const unsigned char *)h.p;
    size_t at = 3;

    (void)size;
    if (h.n < 8 || p[0] != 0x08 || p[1] != 0x01 || p[2] != 0x12) {
        return false;
    }
    while (at < 8 && (p[at] & 0x80)) {
        at++;
    }
    return at + 1 < h.n && at > 3 && p[at + 1] == 0x0a; /* of more than 127 bytes, unlike a name */
}
