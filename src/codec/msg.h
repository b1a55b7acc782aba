/* codec/msg.h - messages described once, by tables, and the codecs that the tables drive.
 * A message is declared in a .proto file of ours; tools/msggen.py turns it into a C struct and one struct msg_desc. The
 * same table drives JSON (proto3 rules and the lenient form MLflow clients use), protobuf wire, query strings,
 * validation and the API reference.
 *
 *     struct mlflow_log_metric m;
 *     struct msg_ctx ctx = { .arena = arena, .flags = MSG_JSON_LENIENT };
 *     st = msg_decode_json(&mlflow_log_metric_desc, &m, body, &ctx, err);
 *     if (m.has & MLFLOW_LOG_METRIC_HAS_STEP) ...
 *
 * A decoded struct: `has` says which fields the input held (also for repeated ones); a field that is absent is zero, or
 * the `def` of its declaration. Text, bytes and opaque JSON borrow from the input wherever they lie there unchanged and
 * are copied into the arena otherwise (escapes, percent encoding, base64), so input and arena must outlive the struct.
 *
 * Ownership: nothing is owned; everything lies in ctx->arena or in the input. Thread rule: tables are immutable; a
 * msg_ctx and its arena belong to one thread at a time. */
#ifndef CAIRN_CODEC_MSG_H
#define CAIRN_CODEC_MSG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Type of a field. The C member is named behind it. */
enum msg_type {
    MSG_T_DOUBLE,  /* double */
    MSG_T_BOOL,    /* bool */
    MSG_T_INT32,   /* int32_t */
    MSG_T_SINT32,  /* int32_t, zigzag on the wire */
    MSG_T_SFIX32,  /* int32_t, four bytes on the wire */
    MSG_T_INT64,   /* int64_t */
    MSG_T_SINT64,  /* int64_t, zigzag on the wire */
    MSG_T_SFIX64,  /* int64_t, eight bytes on the wire */
    MSG_T_UINT32,  /* uint32_t */
    MSG_T_FIX32,   /* uint32_t, four bytes on the wire */
    MSG_T_UINT64,  /* uint64_t */
    MSG_T_FIX64,   /* uint64_t, eight bytes on the wire */
    MSG_T_ENUM,    /* int32_t */
    MSG_T_STRING,  /* struct str, valid UTF-8 */
    MSG_T_BYTES,   /* struct str; base64 in JSON */
    MSG_T_JSON,    /* struct str: the raw text of any JSON value, checked, as the client wrote it */
    MSG_T_MESSAGE, /* struct x * ; NULL if absent */
    MSG_T_MAP,     /* struct msg_kv * with a count: map<string, string> */
};

/* An entry of a map<string, string>. */
struct msg_kv {
    struct str key, value;
};

struct msg_enum_value {
    int32_t number;
    struct str name; /* as JSON writes it */
};

struct msg_enum {
    const char *name; /* "mlflow.RunStatus" */
    const struct msg_enum_value *values;
    uint16_t value_n;
};

enum msg_field_flags {
    MSG_F_REPEATED = 1, /* member is a pointer, with a count behind it (also set for maps) */
    MSG_F_REQUIRED = 2, /* must be there; absent, null and "" count as missing */
    MSG_F_TRUNC = 4,    /* text beyond max_len is cut instead of refused */
    MSG_F_STREAM = 8,   /* elements go to ctx->stream, if set, and are not collected */
    MSG_F_MIN = 16,     /* min is checked */
    MSG_F_MAX = 32,     /* max is checked */
    MSG_F_DEF = 64,     /* def is what an absent field reads as */
    MSG_F_PACKED = 128, /* protobuf encoders write the repeated scalar packed */
};

struct msg_field {
    struct str name;   /* "run_id": the key in answers */
    struct str json;   /* "runId": its camelCase twin, accepted with MSG_CAMEL_OK */
    struct str alias;  /* a second name accepted in requests; n = 0: none */
    const char *label; /* how texts about its length call it ("Param key") */
    uint32_t number, alias_number;
    uint16_t off;       /* of the member */
    uint16_t off_n;     /* of the count of a repeated field */
    uint16_t size;      /* of one element */
    uint8_t type;       /* enum msg_type */
    uint8_t flags;      /* enum msg_field_flags */
    uint8_t bit;        /* index of its bit in `has` */
    uint32_t max_len;   /* text: most code points; bytes: most bytes; 0 = no limit of its own */
    uint32_t max_items; /* repeated: most elements; 0 = no limit of its own */
    int64_t min, max, def;
    const struct msg_desc *msg;    /* of MSG_T_MESSAGE */
    const struct msg_enum *values; /* of MSG_T_ENUM */
};

struct msg_desc {
    const char *name;               /* "mlflow.LogMetric" */
    const struct msg_field *fields; /* in the order of declaration; field i has bit i */
    uint64_t required;              /* bits of the required fields */
    uint32_t size;                  /* of the struct, whose first member is uint64_t has */
    uint16_t field_n;
    bool has_def; /* some field has MSG_F_DEF */
};

/* Sets a field of a generated struct together with its bit: MSG_SET(&m, MLFLOW_RUN_INFO_HAS_RUN_ID, run_id, id). */
#define MSG_SET(m, bit, member, value) ((m)->has |= (bit), (m)->member = (value))
/* The field, or dflt when it is absent. */
#define MSG_GET(m, bit, member, dflt) (((m)->has & (bit)) ? (m)->member : (dflt))

enum msg_flags {
    /* decoding */
    MSG_IGNORE_UNKNOWN =
        1,            /* unknown keys are skipped instead of refused (protobuf always skips them) */
    MSG_CAMEL_OK = 2, /* the camelCase name of a field is accepted too */
    MSG_BARE_NAN = 4, /* the tokens NaN, Infinity, -Infinity are numbers for double fields */
    MSG_DOUBLE_ENCODED = 8,     /* a body that is a JSON string holding JSON is decoded twice */
    MSG_EMPTY_OK = 16,          /* an empty body (or only white space) is {} */
    MSG_REFUSE_DUPLICATES = 64, /* a key given twice is refused; otherwise the last one wins */
    /* JSON encoding */
    MSG_JSON_INT64_AS_NUMBER = 256, /* 64-bit integers as numbers; proto3 JSON writes strings */
    MSG_JSON_ASCII = 512,           /* non-ASCII as \uXXXX */
    MSG_JSON_NAN_STRINGS = 1024,    /* NaN and infinities as "NaN", "Infinity", "-Infinity" */
    MSG_JSON_NAN_BARE = 2048,       /* the same as bare tokens; with neither flag they are null */
    MSG_JSON_CAMEL = 4096,          /* keys in camelCase */

    /* What an MLflow server accepts, and how it answers. */
    MSG_JSON_LENIENT =
        MSG_IGNORE_UNKNOWN | MSG_CAMEL_OK | MSG_BARE_NAN | MSG_DOUBLE_ENCODED | MSG_EMPTY_OK,
    MSG_JSON_MLFLOW = MSG_JSON_INT64_AS_NUMBER | MSG_JSON_ASCII | MSG_JSON_NAN_STRINGS,
};

/* What is wrong with an input, for a tongue that prints its own texts. */
struct msg_issue {
    enum msg_issue_kind {
        MSG_ISSUE_NONE,
        MSG_ISSUE_SYNTAX,    /* not JSON, not protobuf, not a query string: value_json says why */
        MSG_ISSUE_MISSING,   /* a required field is absent, null or "" */
        MSG_ISSUE_TYPE,      /* a value of another type, or an enum name that does not exist */
        MSG_ISSUE_RANGE,     /* a number outside min..max or of its type */
        MSG_ISSUE_TOO_LONG,  /* text beyond max_len; `got` code points */
        MSG_ISSUE_TOO_MANY,  /* more than max_items elements, or than ctx->items_max in all */
        MSG_ISSUE_BOOL,      /* a query argument that must be true or false */
        MSG_ISSUE_UNKNOWN,   /* a key that the message does not have */
        MSG_ISSUE_DUPLICATE, /* a key given twice; or a name and its camelCase twin (always refused):
                              * value_json is the twin */
        MSG_ISSUE_DEPTH,     /* nested deeper than ctx->depth_max */
    } kind;
    char path[ERR_FIELD_MAX]; /* "metrics[0].key"; cut where it does not fit */
    struct str
        value_json; /* the offending value as the input has it (JSON); query: the decoded text */
    const char *
        python_type; /* "int", "float", "str", "bool", "list", "dict", "NoneType"; NULL if not known */
    const struct msg_field *field; /* NULL where none is concerned */
    size_t got; /* TOO_LONG, TOO_MANY: the count; SYNTAX: the offset in the input */
};

enum { MSG_DEPTH_MAX = 64, MSG_ITEMS_MAX = 1000000 };

/* Fill arena and flags; the rest may stay zero. */
struct msg_ctx {
    struct arena *arena;
    unsigned flags;   /* enum msg_flags */
    size_t depth_max; /* nesting of the input; 0 = MSG_DEPTH_MAX, and never more than it */
    size_t items_max; /* elements collected in one call, all fields together; 0 = MSG_ITEMS_MAX */
    /* Elements of fields marked `stream` (repeated messages): called for each, after its own checks, in input order. The
     * element struct is reused for the next; its text borrows as any other. Once an issue is found no more calls are
     * made, so a caller that gets a failure drops what it took. The count member of the field counts the elements. A
     * status other than OK ends decoding and is returned. */
    enum status (*stream)(void *stream_ctx, const struct msg_field *f, void *element,
                          struct err *err);
    void *stream_ctx;
    struct msg_issue issue; /* out: filled whenever the input is at fault */
    size_t items_n;         /* internal */
};

/* Decoders. *out (desc->size bytes) is zeroed first. The input at fault: ST_INVALID (ST_BAD_REQUEST for SYNTAX and DEPTH,
 * ST_TOO_BIG for TOO_MANY), ctx->issue says what, err has msg_issue_err()'s text. ST_NOMEM beyond the arena's cap. */

/* JSON. Fields by name, alias and (MSG_CAMEL_OK) camelCase; null = absent; integers as number (1.0 and 1e3 are integers)
 * or string; doubles as number or string ("NaN", "Infinity", "1.5"); enums by name or number; bytes as base64. Text with
 * U+0000 is a TYPE issue, here as in the other decoders: not every store can hold it. */
enum status msg_decode_json(const struct msg_desc *desc, void *out, struct str json,
                            struct msg_ctx *ctx, struct err *err) ATTR_CHECK;
/* "a=1&b=x%20y&b=z": fields by name and alias (camelCase with the flag); a repeated field by repeating the argument; booleans
 * are true or false in any case; text that decodes to invalid UTF-8 is a SYNTAX issue. Messages and maps cannot be said.
 * The leading '?' is not part of the query. Of a field given twice the first counts. */
enum status msg_decode_query(const struct msg_desc *desc, void *out, struct str query,
                             struct msg_ctx *ctx, struct err *err) ATTR_CHECK;
/* Protobuf wire. Unknown fields are skipped, groups too; repeated scalars packed or not; of a field given twice the
 * last wins, messages are replaced (not merged). */
enum status msg_decode_pb(const struct msg_desc *desc, void *out, struct str wire,
                          struct msg_ctx *ctx, struct err *err) ATTR_CHECK;

/* Encoders write the fields whose bit in `has` is set, and repeated ones that are not empty, in order of declaration.
 * They never fail; the caller asks buf_status() at the end. Nesting beyond MSG_DEPTH_MAX is a bug of the caller. */
void msg_encode_json(struct buf *b, const struct msg_desc *desc, const void *in, unsigned flags);
void msg_encode_pb(struct buf *b, const struct msg_desc *desc, const void *in);
/* Bytes that msg_encode_pb() writes. */
size_t msg_size_pb(const struct msg_desc *desc, const void *in);

/* The issue as an error of our own API: "field metrics[0].key is missing", with the field's path and a hint. Returns the
 * status that the decoders return for its kind. */
enum status msg_issue_err(const struct msg_issue *issue, struct err *err);

/* A message that has the fields of google.protobuf.Struct, as the JSON object that it means: keys in the order of their bytes, the last of
 * equal ones. flags: MSG_JSON_NAN_BARE, or nothing: null. The text lies in the arena. */
enum status msg_struct_json(struct arena *a, const struct msg_desc *desc, const void *in,
                            unsigned flags, struct str *out, struct err *err) ATTR_CHECK;

/* Tables. NULL if there is none. */
const struct msg_field *msg_field_named(const struct msg_desc *desc, struct str name);
const struct msg_field *msg_field_numbered(const struct msg_desc *desc, uint32_t number);
/* The name of an enum value as JSON writes it; n = 0 if the enum has no such number. */
struct str msg_enum_name(const struct msg_enum *e, int32_t number);
/* False if the enum has no such name. */
bool msg_enum_number(const struct msg_enum *e, struct str name, int32_t *number);

#endif
