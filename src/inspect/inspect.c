/* inspect/inspect.c - which format it is, by its bytes, and the reader for it. */
#include "inspect/inspect.h"
#include "base/clock.h"
#include "inspect/inspect_int.h"
#include <inttypes.h>

enum { HEAD_MAX = 512, UNPACK_MAX = 16 << 20 };

const struct inspect_limits inspect_limits_default = { .bytes_max = (uint64_t)1 << 30,
                                                       .items_max = 50000000,
                                                       .time_ms = 20000,
                                                       .depth_max = 6,
                                                       .listed_max = 10000 };

enum kind {
    KIND_UNKNOWN,
    KIND_EMPTY,
    KIND_ZIP,
    KIND_HDF5,
    KIND_GGUF,
    KIND_NPY,
    KIND_SAFETENSORS,
    KIND_TFLITE,
    KIND_ONNX,
    KIND_SAVEDMODEL,
    KIND_TAR,
    KIND_GZIP, /* zlib too */
    KIND_OTHER_PACK,
    KIND_7Z,
    KIND_PICKLE,
    KIND_JSON,
    KIND_UBJ,
    KIND_LIGHTGBM,
};

/* ---- recognising ------------------------------------------------------------------------------------------------------------------ */

struct magic {
    struct str bytes;
    size_t at;
    enum kind kind;
    const char *name; /* of what is only named */
};
static const struct magic magics[] = {
    { S_INIT("PK\x03\x04"), 0, KIND_ZIP, NULL },
    { S_INIT("PK\x05\x06"), 0, KIND_ZIP, NULL },
    { S_INIT("\x89HDF\r\n\x1a\n"), 0, KIND_HDF5, NULL },
    { S_INIT("GGUF"), 0, KIND_GGUF, NULL },
    { S_INIT("\x93NUMPY"), 0, KIND_NPY, NULL },
    { S_INIT("TFL3"), 4, KIND_TFLITE, NULL },
    { S_INIT("7z\xbc\xaf\x27\x1c"), 0, KIND_7Z, "7z" },
    { S_INIT("Rar!"), 0, KIND_7Z, "rar" },
    { S_INIT("\x1f\x8b\x08"), 0, KIND_GZIP, NULL },
    { S_INIT("BZh"), 0, KIND_OTHER_PACK, "bzip2" },
    { S_INIT("\xfd"
             "7zXZ"),
      0, KIND_OTHER_PACK, "xz" },
    { S_INIT("\x28\xb5\x2f\xfd"), 0, KIND_OTHER_PACK, "zstd" },
    { S_INIT("\x04\x22\x4d\x18"), 0, KIND_OTHER_PACK, "lz4" },
    { S_INIT("]\0\0\x80\0"), 0, KIND_OTHER_PACK, "lzma" },
    { S_INIT("ustar"), 257, KIND_TAR, NULL },
    { S_INIT("tree\n"), 0, KIND_LIGHTGBM, NULL },
    { S_INIT("tree\r\n"), 0, KIND_LIGHTGBM, NULL },
};

static bool is_pickle_head(struct str h)
{
    return h.n >= 2 && h.p[0] == '\x80' && (unsigned char)h.p[1] <= 5;
}

static bool is_json_head(struct str h)
{
    h = str_trim(h);
    return h.n && (h.p[0] == '{' || h.p[0] == '[');
}

/* {"name": ...} in UBJSON: the name has no quotes but the type of its length, or '$' and '#' of a typed container. */
static bool is_ubj_head(struct str h)
{
    return h.n >= 2 && h.p[0] == '{' && strchr("iUIlL$#", h.p[1]) && h.p[1];
}

static enum kind recognise(struct str h, struct str name, uint64_t size, const char **other)
{
    unsigned first = h.n ? (unsigned char)h.p[0] : 0;

    *other = NULL;
    if (size == 0) {
        return KIND_EMPTY;
    }
    for (size_t i = 0; i < ARRAY_N(magics); i++) {
        if (str_starts(str_sub(h, magics[i].at, h.n), magics[i].bytes)) {
            *other = magics[i].name;
            return magics[i].kind;
        }
    }
    if (is_pickle_head(h)) {
        return KIND_PICKLE;
    }
    if (h.n > 8 && h.p[8] == '{' &&
        (le64((const unsigned char *)h.p) <= size || str_ends(name, S(".safetensors")))) {
        return KIND_SAFETENSORS;
    }
    if (is_ubj_head(h)) {
        return KIND_UBJ;
    }
    if (is_json_head(h)) {
        return KIND_JSON;
    }
    if (h.n > 2 && first == 0x78 && (first * 256 + (unsigned char)h.p[1]) % 31 == 0) {
        return KIND_GZIP;
    }
    if (savedmodel_probe(h, size) || str_ends(name, S("saved_model.pb"))) {
        return KIND_SAVEDMODEL;
    }
    if (onnx_probe(h, size) || str_ends(name, S(".onnx"))) {
        return KIND_ONNX;
    }
    if (str_ends(name, S(".safetensors"))) {
        return KIND_SAFETENSORS;
    }
    return KIND_UNKNOWN;
}

/* ---- errors ------------------------------------------------------------------------------------------------------------------------ */

enum status insp_absorb(struct insp *x, enum status st, const char *what, struct err *err)
{
    if (st == ST_CORRUPT) {
        insp_finding(x, INSPECT_WARNING, "malformed", "%s: %s", what, err->message);
    } else if (st == ST_TOO_BIG) {
        x->r->complete = false;
        insp_finding(x, INSPECT_WARNING, "limit", "%s: %s; the rest was not looked at", what,
                     err->message);
    } else {
        return st;
    }
    err_clear(err);
    return OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------------- */

static enum status read_flow(struct insp *x, const struct in *in, enum kind kind, unsigned flags,
                             bool *is_pickle, struct err *err)
{
    struct flow f;
    enum status st = flow_begin(&f, in, FLOW_RAW, err);

    if (st) return st;
    switch ((int)kind) {
    case KIND_NPY: st = npy_read(x, &f, err); break;
    case KIND_JSON: st = json_read(x, &f, err); break;
    case KIND_UBJ: st = ubj_read(x, &f, err); break;
    case KIND_LIGHTGBM: st = lightgbm_read(x, &f, err); break;
    default: st = pickle_read(x, &f, flags, is_pickle, err); break;
    }
    flow_release(&f);
    return st;
}

static bool has_pickle_name(struct str name)
{
    static const struct str ends[] = { S_INIT(".pkl"),  S_INIT(".pickle"), S_INIT(".joblib"),
                                       S_INIT(".pt"),   S_INIT(".pth"),    S_INIT(".ckpt"),
                                       S_INIT(".dill"), S_INIT(".p") };

    for (size_t i = 0; i < ARRAY_N(ends); i++) {
        if (str_ends(name, ends[i])) {
            return true;
        }
    }
    return false;
}

/* The superblock of HDF5 may lie behind bytes of the user's, at a power of two. */
static enum status hdf5_behind(struct in *in, uint64_t *at, struct err *err)
{
    unsigned char b[8];

    for (*at = 512; *at <= 1 << 16 && *at + 8 <= in->size; *at *= 2) {
        enum status st = in_read(in, *at, b, sizeof(b), err);

        if (st || memcmp(b, "\x89HDF\r\n\x1a\n", 8) == 0) {
            return st;
        }
    }
    *at = 0;
    return OK;
}

/* Nothing has a mark: a pickle of protocol 0 or 1, an archive behind other bytes, or nothing we know. */
static enum status read_unknown(struct insp *x, struct in *in, struct str name, struct err *err)
{
    bool is_pickle = false, has_end = false;
    uint64_t at = 0;
    enum status st = hdf5_behind(in, &at, err);

    if (st) return st;
    if (at) {
        insp_finding(x, INSPECT_INFO, "hdf5_user_block",
                     "%" PRIu64 " bytes of something else come before HDF5", at);
        return hdf5_read(x, in, at, err);
    }
    st = read_flow(x, in, KIND_PICKLE, PICKLE_PROBE, &is_pickle, err);
    if (st || is_pickle) {
        return st;
    }
    st = zip_has_end(in, &has_end, err);
    if (!st && !has_end && has_pickle_name(name)) {
        insp_finding(x, INSPECT_WARNING, "unknown_format",
                     "named like a pickle or a model of PyTorch, but is none that can be read");
    }
    return st;
}

static enum status dispatch(struct insp *x, struct in *in, struct str name, enum kind kind,
                            const char *other, struct err *err)
{
    bool is_pickle;

    switch (kind) {
    case KIND_EMPTY: return OK;
    case KIND_ZIP: return zip_read(x, in, err);
    case KIND_HDF5: return hdf5_read(x, in, 0, err);
    case KIND_GGUF: return gguf_read(x, in, err);
    case KIND_SAFETENSORS: return safetensors_read(x, in, err);
    case KIND_TFLITE: return tflite_read(x, in, err);
    case KIND_ONNX: return onnx_read(x, in, err);
    case KIND_SAVEDMODEL: return savedmodel_read(x, in, err);
    case KIND_TAR: return tar_read(x, in, err);
    case KIND_GZIP: return inspect_packed(x, in, FLOW_ZLIB, name, in->size, err);
    case KIND_7Z:
        insp_finding(x, INSPECT_DANGER, "refused_container",
                     "is a %s archive: no loader of models needs one, and what it hides is not "
                     "looked at",
                     other);
        insp_format(x, other);
        return OK;
    case KIND_OTHER_PACK:
        insp_finding(x, INSPECT_WARNING, "packed", "is packed with %s, which is not looked into",
                     other);
        insp_format(x, other);
        return OK;
    case KIND_NPY:
    case KIND_JSON:
    case KIND_UBJ:
    case KIND_LIGHTGBM:
    case KIND_PICKLE: return read_flow(x, in, kind, 0, &is_pickle, err);
    case KIND_UNKNOWN: break;
    }
    return read_unknown(x, in, name, err);
}

/* Bytes before an archive do not hide it from readers that look from the end. */
static enum status look_behind(struct insp *x, struct in *in, enum kind kind, struct err *err)
{
    bool has_end = false;
    enum status st;

    if (kind == KIND_ZIP || kind == KIND_EMPTY || x->depth >= x->limits->depth_max) {
        return OK;
    }
    st = zip_has_end(in, &has_end, err);
    if (st || !has_end) {
        return st;
    }
    insp_finding(x, INSPECT_DANGER, "zip_appended",
                 "is a zip archive as well, for readers that begin at its end");
    return insp_absorb(x, zip_read(x, in, err), "the archive at its end", err);
}

enum status inspect_part(struct insp *x, const struct in *in, struct str name, struct err *err)
{
    struct in whole = *in;
    char head[HEAD_MAX];
    size_t n = (size_t)MIN_OF(in->size, (uint64_t)HEAD_MAX);
    const char *other;
    enum kind kind;
    enum status st = in_read(&whole, 0, head, n, err);

    if (st) {
        return insp_absorb(x, st, "its first bytes", err);
    }
    if (x->depth >= x->limits->depth_max) {
        x->r->complete = false;
        insp_finding(x, INSPECT_WARNING, "limit", "is nested too deep to be looked at");
        return OK;
    }
    kind = recognise(str_of(head, n), name, in->size, &other);
    x->depth++;
    st = dispatch(x, &whole, name, kind, other, err);
    st = insp_absorb(x, st, "cannot be read to its end", err);
    st = st ? st : look_behind(x, &whole, kind, err);
    x->depth--;
    return insp_absorb(x, st, "its last bytes", err);
}

/* ---- packed ------------------------------------------------------------------------------------------------------------------------ */

static enum status unpack_all(struct insp *x, struct flow *f, struct arena *a, struct str *out,
                              struct err *err)
{
    size_t cap = 1 << 16, n = 0;
    char *p = arena_alloc(a, cap);

    while (p) {
        const unsigned char *from;
        size_t got;
        enum status st = flow_peek(f, IN_WINDOW, &from, &got, err);

        if (st) return st;
        if (!got) {
            *out = str_of(p, n);
            return OK;
        }
        if (got > cap - n) {
            char *bigger = cap < UNPACK_MAX ? arena_alloc(a, cap * 2) : NULL;

            if (!bigger) {
                return err_set(err, ST_TOO_BIG, "more than %d MiB when unpacked", UNPACK_MAX >> 20);
            }
            memcpy(bigger, p, n);
            p = bigger;
            cap *= 2;
        }
        memcpy(p + n, from, got);
        flow_take(f, got);
        n += got;
    }
    (void)x;
    return err_nomem(err);
}

static enum status packed_whole(struct insp *x, const struct in *in, enum flow_kind pack,
                                struct str name, struct err *err)
{
    struct arena *a = arena_new((size_t)UNPACK_MAX * 3);
    struct flow f = { .z = NULL };
    struct str bytes = S("");
    struct in whole;
    enum status st = a ? flow_begin(&f, in, pack, err) : err_nomem(err);

    st = st ? st : unpack_all(x, &f, a, &bytes, err);
    flow_release(&f);
    if (!st) {
        whole = in_mem(x, bytes);
        st = inspect_part(x, &whole, name, err);
    }
    arena_free(a);
    return st;
}

enum status inspect_packed(struct insp *x, const struct in *in, enum flow_kind pack,
                           struct str name, uint64_t size_hint, struct err *err)
{
    struct flow f;
    const unsigned char *p;
    char head[HEAD_MAX];
    size_t n = 0;
    const char *other;
    enum kind kind;
    bool is_pickle = false;
    enum status st = flow_begin(&f, in, pack, err);

    if (st) return st;
    st = flow_peek(&f, HEAD_MAX, &p, &n, err);
    if (st) {
        flow_release(&f);
        return st;
    }
    memcpy(head, p, n);
    kind = recognise(str_of(head, n), name, MAX_OF(size_hint, (uint64_t)n), &other);
    switch ((int)kind) {
    case KIND_NPY: st = npy_read(x, &f, err); break;
    case KIND_JSON: st = json_read(x, &f, err); break;
    case KIND_UBJ: st = ubj_read(x, &f, err); break;
    case KIND_LIGHTGBM: st = lightgbm_read(x, &f, err); break;
    case KIND_PICKLE: st = pickle_read(x, &f, 0, &is_pickle, err); break;
    case KIND_EMPTY: break;
    case KIND_UNKNOWN: st = pickle_read(x, &f, PICKLE_PROBE, &is_pickle, err); break;
    default: flow_release(&f); return packed_whole(x, in, pack, name, err);
    }
    flow_release(&f);
    return st;
}

/* ---- the call ------------------------------------------------------------------------------------------------------------------------ */

enum status inspect_file(const struct inspect_source *source, struct str name, struct arena *a,
                         const struct inspect_limits *limits, struct inspect_report *out,
                         struct err *err)
{
    struct insp *x = ARENA_NEW(a, struct insp);
    struct in in;
    enum status st;

    *out = (struct inspect_report){ .size = source->size, .complete = true };
    if (!x) {
        return err_nomem(err);
    }
    x->arena = a;
    x->limits = limits ? limits : &inspect_limits_default;
    x->source = source;
    x->r = out;
    x->tensor_end = &out->tensors;
    x->pair_end = &out->metadata;
    x->finding_end = &out->findings;
    x->where = S("");
    x->deadline_ns = clock_mono_ns() + x->limits->time_ms * 1000000;
    out->name = insp_text(x, name, INSPECT_TEXT_MAX);
    out->format = out->producer = S("");
    in = (struct in){ .x = x, .size = source->size };
    st = inspect_part(x, &in, name, err);
    out->bytes_read = x->bytes;
    return st;
}
