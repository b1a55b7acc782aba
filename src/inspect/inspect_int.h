/* inspect/inspect_int.h - what the readers of formats share.
 * A reader gets a struct in (bytes by offset: a file, a stored member of an archive, or bytes in memory) or a struct flow (bytes one
 * after the other, unpacked on the way) and adds to the report of its struct insp.
 * Errors: ST_CORRUPT = the bytes are not what they should be, ST_TOO_BIG = a limit: both become findings of inspect_part(); all other
 * errors end the inspection.
 * Ownership: everything lives in the arena of the inspection, but for the state of an unpacker: flow_release(). */
#ifndef CAIRN_INSPECT_INSPECT_INT_H
#define CAIRN_INSPECT_INSPECT_INT_H

#include "inspect/inspect.h"

enum {
    IN_WINDOW = 32 * 1024,
    FLOW_WINDOW = 64 * 1024,
    INSPECT_TEXT_MAX = 4096, /* of a name or value that is kept */
    INSPECT_RANK_MAX = 32,
    INSPECT_WHERE_MAX = 512
};

struct insp {
    struct arena *arena;
    const struct inspect_limits *limits;
    const struct inspect_source *source;
    struct inspect_report *r;
    struct inspect_tensor **tensor_end;
    struct inspect_pair **pair_end;
    struct inspect_finding **finding_end;
    uint64_t bytes, items;
    int64_t deadline_ns;
    unsigned depth;
    struct str where; /* the member at work; "" = the file */
    uint64_t window_at;
    size_t window_n;
    unsigned char window[IN_WINDOW];
};

/* ---- budgets ------------------------------------------------------------------------------------------------------------------ */

/* n more bytes are read or unpacked. */
enum status insp_bytes(struct insp *x, uint64_t n, struct err *err) ATTR_CHECK;
/* One more item. */
enum status insp_item(struct insp *x, struct err *err) ATTR_CHECK;

/* ---- the report --------------------------------------------------------------------------------------------------------------- */

/* Allocation failures are ignored here: the arena is then full, and the next allocation of a reader says so. */
void insp_finding(struct insp *x, enum inspect_severity severity, const char *code, const char *fmt,
                  ...) ATTR_FORMAT(4, 5);
/* With " byte N" in its place. */
void insp_finding_at(struct insp *x, enum inspect_severity severity, const char *code, uint64_t at,
                     const char *fmt, ...) ATTR_FORMAT(5, 6);
void insp_pair(struct insp *x, const char *key, struct str value);
void insp_pair_str(struct insp *x, struct str key, struct str value);
void insp_pair_u64(struct insp *x, const char *key, uint64_t value);
/* What is known of a tensor; copies name, shape and place. The elements count as parameters. *out (may be NULL) is NULL where it is
 * counted only. */
void insp_tensor(struct insp *x, const struct inspect_tensor *t, struct inspect_tensor **out);
/* Text that may be shown: cut at max bytes, and what is no UTF-8 replaced. p NULL when memory is out. */
struct str insp_text(struct insp *x, struct str s, size_t max);
/* Static text. */
void insp_format(struct insp *x, const char *format);
/* Product of a shape; false on overflow. */
bool shape_product(const uint64_t *shape, size_t rank, uint64_t *out);
/* Bits of a type by its name ("F32"); 0 = unknown. */
unsigned dtype_bits(struct str dtype);
/* Whether a path leaves the folder it is relative to. */
bool path_escapes(struct str path);

/* A point to come back to, for bytes that turn out to be something else. */
struct insp_mark {
    struct inspect_report report;
    struct inspect_tensor **tensor_end;
    struct inspect_pair **pair_end;
    struct inspect_finding **finding_end;
};
struct insp_mark insp_mark(const struct insp *x);
void insp_rewind(struct insp *x, const struct insp_mark *m);

/* ---- bytes by offset ---------------------------------------------------------------------------------------------------------- */

struct in {
    struct insp *x;
    const unsigned char *mem; /* NULL: the source, from base on */
    uint64_t base, size;
};
struct in in_mem(struct insp *x, struct str bytes);
/* Bytes [from, from + n), which must lie in it. */
struct in in_part(const struct in *in, uint64_t from, uint64_t n);
/* ST_CORRUPT when they go beyond the end. */
enum status in_read(struct in *in, uint64_t at, void *p, size_t n, struct err *err) ATTR_CHECK;
/* At most IN_WINDOW bytes, good until the next call. */
enum status in_peek(struct in *in, uint64_t at, size_t n, const unsigned char **p,
                    struct err *err) ATTR_CHECK;
enum status in_u8(struct in *in, uint64_t at, uint8_t *out, struct err *err) ATTR_CHECK;
enum status in_u16(struct in *in, uint64_t at, uint16_t *out, struct err *err) ATTR_CHECK;
enum status in_u32(struct in *in, uint64_t at, uint32_t *out, struct err *err) ATTR_CHECK;
enum status in_u64(struct in *in, uint64_t at, uint64_t *out, struct err *err) ATTR_CHECK;
/* Text of n bytes, its first `max` kept and made fit to be shown. */
enum status in_text(struct in *in, uint64_t at, uint64_t n, size_t max, struct str *out,
                    struct err *err) ATTR_CHECK;

static inline uint16_t le16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t le32(const unsigned char *p)
{
    return (uint32_t)le16(p) | (uint32_t)le16(p + 2) << 16;
}
static inline uint64_t le64(const unsigned char *p)
{
    return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* ---- bytes one after the other ---------------------------------------------------------------------------------------------- */

enum flow_kind { FLOW_RAW, FLOW_DEFLATE, FLOW_ZLIB /* gzip too */ };
struct flow {
    struct in in;
    uint64_t at;  /* next packed byte */
    uint64_t pos; /* bytes given */
    void *z;      /* NULL: raw */
    unsigned char *out;
    size_t out_at, out_n;
    bool ended;
    uint32_t crc; /* of the bytes given, when has_crc */
    bool has_crc;
};
enum status flow_begin(struct flow *f, const struct in *in, enum flow_kind kind,
                       struct err *err) ATTR_CHECK;
void flow_release(struct flow *f); /* a zero flow is fine */
/* Up to n bytes (at most IN_WINDOW), good until the next call; *got is less at the end only. */
enum status flow_peek(struct flow *f, size_t n, const unsigned char **p, size_t *got,
                      struct err *err) ATTR_CHECK;
/* After a peek: n of these are used. */
void flow_take(struct flow *f, size_t n);
enum status flow_read(struct flow *f, void *p, size_t n, struct err *err) ATTR_CHECK;
enum status flow_skip(struct flow *f, uint64_t n, struct err *err) ATTR_CHECK;
/* ST_CORRUPT "ends within ...". */
enum status flow_short(const struct flow *f, struct err *err);

/* ---- formats ---------------------------------------------------------------------------------------------------------------- */

/* Recognises and reads; failures become findings. `name`: of the part, "" = the file itself. */
enum status inspect_part(struct insp *x, const struct in *in, struct str name, struct err *err);
/* The same for packed bytes: what is read in order is read in order; what needs offsets is unpacked if it is small. size_hint: what
 * it claims to unpack to. */
enum status inspect_packed(struct insp *x, const struct in *in, enum flow_kind kind,
                           struct str name, uint64_t size_hint, struct err *err);
/* An error of a reader as finding; OK then, or the error where it is none of the file's. */
enum status insp_absorb(struct insp *x, enum status st, const char *what, struct err *err);

enum status safetensors_read(struct insp *x, struct in *in, struct err *err);
enum status gguf_read(struct insp *x, struct in *in, struct err *err);
enum status onnx_read(struct insp *x, struct in *in, struct err *err);
enum status savedmodel_read(struct insp *x, struct in *in, struct err *err);
enum status tflite_read(struct insp *x, struct in *in, struct err *err);
enum status hdf5_read(struct insp *x, struct in *in, uint64_t super, struct err *err);
enum status zip_read(struct insp *x, struct in *in, struct err *err);
/* An end of central directory in the last bytes. */
enum status zip_has_end(struct in *in, bool *has, struct err *err);
enum status tar_read(struct insp *x, struct in *in, struct err *err);
enum status npy_read(struct insp *x, struct flow *f, struct err *err);
enum status lightgbm_read(struct insp *x, struct flow *f, struct err *err);
/* JSON text: XGBoost, Keras, an index of safetensors, or just JSON. */
enum status json_read(struct insp *x, struct flow *f, struct err *err);
/* A Keras configuration: layers that carry code. */
enum status keras_config_read(struct insp *x, struct flow *f, struct err *err);
enum status ubj_read(struct insp *x, struct flow *f, struct err *err);

/* Whether first bytes of a protobuf look like a model of ONNX or a SavedModel. */
bool onnx_probe(struct str head, uint64_t size);
bool savedmodel_probe(struct str head, uint64_t size);

enum pickle_flags {
    PICKLE_PROBE =
        1, /* may be no pickle at all: *is_pickle says it, and then nothing is reported */
    PICKLE_TORCH = 2, /* data.pkl of PyTorch: persistent ids name storages */
    PICKLE_ONE = 4,   /* one pickle; what follows is the caller's */
};
enum status pickle_read(struct insp *x, struct flow *f, unsigned flags, bool *is_pickle,
                        struct err *err);

#endif
