/* inspect/inspect.h - what a model file says about itself, read without running any of it.
 * inspect_file() recognises a format by its bytes (never by its name alone) and reports tensors, metadata, the number of
 * parameters, and findings: what a loader of this file would run, reach or trip over. Nothing is unpickled, imported,
 * mapped or loaded; bytes are asked for by offset and length, and every read, item, level and tensor counts against a limit.
 * A limit that is reached is a finding, so a report that is not complete says so. No report says that a file is safe.
 *
 * Formats: safetensors, GGUF, ONNX, TensorFlow SavedModel, TFLite, Keras v3, HDF5, PyTorch (zip, legacy, tar), TorchScript,
 * pickle (joblib too), npy and npz, XGBoost (JSON, UBJSON), LightGBM, zip, tar; gzip and zlib around any of them.
 * Ownership: everything in a report lives in the arena. Thread rule: pure; any thread that may read the source. */
#ifndef CAIRN_INSPECT_INSPECT_H
#define CAIRN_INSPECT_INSPECT_H

#include "base/arena.h"
#include "base/buf.h"

/* Bytes by offset. read() gives exactly n bytes from `offset`; it is never asked for bytes beyond size. */
struct inspect_source {
    uint64_t size;
    enum status (*read)(void *ctx, uint64_t offset, void *p, size_t n, struct err *err);
    void *ctx;
};
/* A source over bytes in memory; they stay until the source is not used any more. */
struct inspect_source inspect_bytes(struct str *bytes);

struct inspect_limits {
    uint64_t
        bytes_max; /* read from the source and unpacked, together; what is skipped does not count */
    uint64_t items_max; /* opcodes, fields, entries, JSON events */
    int64_t time_ms;    /* from the call on */
    unsigned depth_max; /* containers within each other */
    unsigned
        listed_max; /* tensors, metadata and findings that the report lists, each; all are counted */
};
/* 1 GiB, 50 million items, 20 s, 6 levels, 10,000 listed. */
extern const struct inspect_limits inspect_limits_default;

enum inspect_severity {
    INSPECT_INFO = 0,    /* good to know */
    INSPECT_WARNING = 1, /* not as it should be, or beyond what can be judged */
    INSPECT_DANGER = 2   /* a loader would run code, leave its folder, or be misled */
};
/* "info", "warning", "danger". */
const char *inspect_severity_name(enum inspect_severity s);

struct inspect_tensor {
    struct str name,
        dtype; /* dtype: "F32", "BF16", "I64", "Q4_K", ... as safetensors and GGUF name them */
    struct str place; /* file or member that holds the bytes; "" = this file */
    const uint64_t *shape;
    unsigned rank;
    bool has_offset;
    uint64_t offset, bytes, elements;
    struct inspect_tensor *next;
};
struct inspect_pair {
    struct str key, value;
    struct inspect_pair *next;
};
struct inspect_finding {
    enum inspect_severity severity;
    struct str code;  /* "pickle_global", "zip_overlap": stable */
    struct str text;  /* what, for people */
    struct str where; /* "data.pkl: byte 17"; "" = the file as a whole */
    struct inspect_finding *next;
};

struct inspect_report {
    struct str name, format; /* format "" = none that is known */
    struct str producer;     /* who wrote it, as far as it says */
    uint64_t size;
    struct inspect_tensor *tensors;
    uint64_t tensors_n, tensor_bytes;
    uint64_t params; /* elements of all tensors */
    struct inspect_pair *metadata;
    uint64_t metadata_n;
    struct inspect_finding *findings; /* as they were found */
    uint64_t findings_n;
    enum inspect_severity worst; /* meaningless without findings */
    bool complete;               /* no limit was reached */
    uint64_t bytes_read;
};

/* Reads a file. `name` is shown, and breaks ties between formats without a mark of their own. A malformed or hostile file gives OK
 * and findings; other answers are ST_NOMEM and what the source failed with. limits NULL = the default. */
enum status inspect_file(const struct inspect_source *source, struct str name, struct arena *a,
                         const struct inspect_limits *limits, struct inspect_report *out,
                         struct err *err) ATTR_CHECK;

/* Most tensors and metadata of a file in JSON; all findings that are listed are written. */
struct inspect_shown {
    size_t tensors, metadata;
};
/* {"name", "format", "producer", "size", "params", "tensor_count", "tensor_bytes", "tensors": [{"name", "dtype", "shape", "bytes",
 * "place", "offset"}], "metadata_count", "metadata": [{"key", "value"}], "findings": [{"severity", "code", "text", "where"}], "finding_count", "worst", "complete"} */
void inspect_json(struct buf *b, const struct inspect_report *r, const struct inspect_shown *shown);
/* Several files as one: {"source", "files": [of inspect_json()], "file_count", "size", "params", "tensor_count", "tensor_bytes",
 * "finding_count", "worst", "complete"}. file_count: of the folder; more than are given means that the rest was not looked at. */
void inspect_json_files(struct buf *b, struct str source,
                        const struct inspect_report *const *reports, size_t n, uint64_t files_n,
                        const struct inspect_shown *shown);

#endif
