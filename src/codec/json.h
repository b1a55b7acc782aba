/* codec/json.h - JSON text: a pull reader and writer helpers.
 * The reader gives one event per call and builds nothing; strings and numbers point into the text. Text may come in
 * pieces: with JSON_PARTIAL an incomplete token at the end gives JSON_EV_MORE, and json_feed() goes on with a text that
 * begins with the unread rest. Strict RFC 8259: no comments, no trailing commas, valid UTF-8, no lone surrogates.
 *
 *     struct json_reader r;
 *     json_init(&r, text, 0, 64);
 *     while ((ev = json_next(&r)) > JSON_EV_END) switch (ev) ...
 *     json_release(&r);
 *
 * Most code decodes messages with codec/msg.h; this is for free-form text.
 * Ownership: the reader borrows the text; json_release() frees what JSON_NO_DUPLICATES remembers.
 * Thread rule: one thread at a time. */
#ifndef CAIRN_CODEC_JSON_H
#define CAIRN_CODEC_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

enum json_event {
    JSON_EV_ERROR = -2, /* not JSON, too deep, duplicate key, no memory: see status and what */
    JSON_EV_MORE = -1,  /* JSON_PARTIAL: the text ends here, feed more */
    JSON_EV_END = 0,    /* the value is complete and nothing but white space follows */
    JSON_EV_NULL,
    JSON_EV_FALSE,
    JSON_EV_TRUE,
    JSON_EV_NUMBER, /* raw: the number */
    JSON_EV_NAN,    /* JSON_BARE_NAN: raw is NaN, Infinity or -Infinity */
    JSON_EV_STRING, /* raw: between the quotes, escapes as written; json_text() decodes */
    JSON_EV_KEY,    /* the same, of a member; its value follows */
    JSON_EV_OBJECT,
    JSON_EV_OBJECT_END,
    JSON_EV_ARRAY,
    JSON_EV_ARRAY_END,
};

enum json_flags {
    JSON_PARTIAL = 1,  /* more text may come */
    JSON_BARE_NAN = 2, /* NaN, Infinity, -Infinity are tokens */
    JSON_NO_DUPLICATES =
        4,             /* a key given twice in one object is an error; otherwise both are seen */
    JSON_SEQUENCE = 8, /* values may follow each other (JSON lines) */
};

enum { JSON_DEPTH_MAX = 512, JSON_CANONICAL_MAX = 1 << 16 };

struct json_reader {
    const char *p, *end;
    size_t base; /* offset of the current piece in the whole text */
    const char *piece;
    struct str raw; /* of the last event, see above */
    bool escaped;   /* raw of STRING or KEY holds escapes */
    unsigned flags; /* enum json_flags */
    unsigned state; /* internal */
    size_t depth, depth_max;
    uint64_t nest[JSON_DEPTH_MAX / 64]; /* bit: the container at this depth is an object */
    uint64_t object_n;                  /* internal: numbers the objects, for JSON_NO_DUPLICATES */
    uint64_t *object_ids;               /* internal */
    struct int_map keys;                /* internal */
    enum status status;                 /* after JSON_EV_ERROR: ST_BAD_REQUEST or ST_NOMEM */
    const char *what; /* after JSON_EV_ERROR: static text, "unexpected character" */
};

/* depth_max: containers within each other, at most JSON_DEPTH_MAX; 0 = 64. */
void json_init(struct json_reader *r, struct str text, unsigned flags, size_t depth_max);
void json_release(struct json_reader *r);
enum json_event json_next(struct json_reader *r);
/* After JSON_EV_MORE: text starts with the bytes from json_rest() on; `final` = it is the last piece. Earlier raw
 * pointers are dead. A token never ends before all of it is there, so the caller bounds what it is ready to hold. */
struct str json_rest(const struct json_reader *r);
void json_feed(struct json_reader *r, struct str text, bool final);
/* Offset of the next unread byte in the whole text; after JSON_EV_ERROR, of the offending one. */
size_t json_offset(const struct json_reader *r);
/* Skips one value: the rest of the container whose start event was the last one, or the value after a KEY. For readers
 * that hold the whole text (not JSON_PARTIAL). Returns the last event of the value, or JSON_EV_ERROR. */
enum json_event json_skip(struct json_reader *r);

/* The text of a STRING or KEY: raw itself if nothing is escaped, else decoded into the arena. p is NULL when memory is out. */
struct str json_text(const struct json_reader *r, struct arena *a);
/* The same for a raw text known to be valid. */
struct str json_unescape(struct str raw, struct arena *a);
/* A NUMBER as integer: 12, -3, also 1.0 and 1e3; false if it is no integer or does not fit. Exact beyond 2^53. */
bool json_i64(struct str raw, int64_t *out);
bool json_u64(struct str raw, uint64_t *out);

/* Is text exactly one JSON value? Fills err with the offset. */
enum status json_check(struct str text, unsigned flags, size_t depth_max,
                       struct err *err) ATTR_CHECK;
/* The value as Python's json.dumps(sort_keys=True, separators=(",", ":")) prints it: keys in order of code points, the last of
 * equal keys only, non-ASCII escaped. raw must have passed json_check or a decoder. Its cost is length times depth,
 * so beyond JSON_CANONICAL_MAX bytes it answers ST_TOO_BIG; else ST_NOMEM is the only failure. */
enum status json_canonical(struct buf *b, struct str raw, struct arena *a,
                           struct err *err) ATTR_CHECK;

/* ---- writing ---- */

enum json_nan {
    JSON_NAN_NULL,   /* null */
    JSON_NAN_STRING, /* "NaN", "Infinity", "-Infinity" */
    JSON_NAN_BARE,   /* NaN, Infinity, -Infinity */
};

/* Quoted and escaped; ascii: everything beyond U+007E as \uXXXX (surrogate pairs above U+FFFF). Invalid UTF-8 becomes
 * U+FFFD. */
void json_put_str(struct buf *b, struct str s, bool ascii);
/* Shortest digits that round-trip, as Python prints them (1.0, 1e-05). */
void json_put_double(struct buf *b, double v, enum json_nan nan);
void json_put_i64(struct buf *b, int64_t v);
void json_put_u64(struct buf *b, uint64_t v);

/* Compact JSON by hand; commas and colons come by themselves. Mistakes in nesting are not found. */
struct json_writer {
    struct buf *b;
    bool ascii;
    enum json_nan nan;
    bool comma; /* internal: the next value or key needs one before it */
};
#define JSON_WRITER_INIT(buf_ptr)                                                                  \
    {                                                                                              \
        .b = (buf_ptr)                                                                             \
    }

void json_w_object(struct json_writer *w);
void json_w_object_end(struct json_writer *w);
void json_w_array(struct json_writer *w);
void json_w_array_end(struct json_writer *w);
void json_w_key(struct json_writer *w, struct str key);
void json_w_str(struct json_writer *w, struct str s);
void json_w_cstr(struct json_writer *w, const char *c); /* NULL writes null */
void json_w_i64(struct json_writer *w, int64_t v);
void json_w_u64(struct json_writer *w, uint64_t v);
void json_w_double(struct json_writer *w, double v);
void json_w_bool(struct json_writer *w, bool v);
void json_w_null(struct json_writer *w);
/* A value that is JSON text already. */
void json_w_raw(struct json_writer *w, struct str json);

#endif
