/* store/series/batch.h - batch bodies: what one group commit changed, in order. The log of the store.
 *
 *   u8 version | u8 flags 0 | u16 0 | u32 crc32c over the row's seq, epoch, part and n, then bytes 0..3 and 8..end
 *   | varint nstrings | strings | varint nrecords | records
 *   string = varint key id + 1, or 0 followed by varint length and bytes
 *   record = u8 kind | varint owner | varint length | payload
 *   points = frames of: zigzag step delta | zigzag timestamp delta | varint k | k x (varint string index, f64 value)
 *   params, tags set = varint count | count x (varint string index, varint length, bytes)
 *   tag deleted = varint string index
 *   attributes = u8 mask (1 status, 2 end, 4 name) | varint status | zigzag end_ms | varint length, name; only those of the mask
 *   run created = varint experiment
 *   lifecycle, experiment lifecycle = u8 lifecycle | zigzag deleted_ms
 *
 * The number of a record in its body is the ordinal of the stamps it gives.
 * Ownership: a builder owns its buffers; a reader borrows the body. Thread rule: one thread at a time. */
#ifndef CAIRN_STORE_SERIES_BATCH_H
#define CAIRN_STORE_SERIES_BATCH_H

#include "store/series/body.h"
#include "store/series/point.h"

enum { BATCH_BODY_MAX = 128 << 20 };

enum batch_kind {
    BATCH_POINTS = 1,
    BATCH_PARAMS = 2,
    BATCH_TAGS = 3,
    BATCH_TAG_DELETED = 4,
    BATCH_ATTRIBUTES = 5,
    BATCH_RUN_CREATED = 6,
    BATCH_LINKS = 7, /* inputs or outputs changed: a notice, no payload */
    BATCH_LIFECYCLE = 8,
    BATCH_OWNER_POINTS = 9,          /* of an owner without a head */
    BATCH_EXPERIMENT_LIFECYCLE = 10, /* owner = experiment id */
    BATCH_TOKENS = 11,               /* the store's tokens changed: a notice, owner 0, no payload */
    BATCH_RUN_PURGED =
        12, /* deleted for good: no payload; earlier records name a run without a row */
};
enum batch_attributes { BATCH_ATTR_STATUS = 1, BATCH_ATTR_END = 2, BATCH_ATTR_NAME = 4 };

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

struct batch_builder {
    struct buf strings, records, payload, body;
    uint32_t *ids; /* key id of each string of this body */
    size_t ids_n, ids_cap;
    uint32_t *slots; /* hash of key id -> string index + 1 */
    size_t slots_cap;
    uint64_t records_n;
    int64_t points_n;
};
/* What batch_rollback() goes back to. */
struct batch_mark {
    size_t strings_n, records_at, ids_n;
    uint64_t records_n;
    int64_t points_n;
};

void batch_init(struct batch_builder *b);
void batch_release(struct batch_builder *b);
/* Empty; memory kept. */
void batch_clear(struct batch_builder *b);
/* Gives back memory beyond what small groups need; only when empty or written. */
void batch_trim(struct batch_builder *b);
struct batch_mark batch_mark(const struct batch_builder *b);
void batch_rollback(struct batch_builder *b, const struct batch_mark *m);
/* Index of the string for a key id; UINT32_MAX when memory is out. */
uint32_t batch_string(struct batch_builder *b, uint32_t key_id);
/* Starts a record: the payload is then written to b->payload and ended with batch_record_end(). */
void batch_record(struct batch_builder *b);
/* Returns the ordinal of the record, ST via *st. */
enum status batch_record_end(struct batch_builder *b, enum batch_kind kind, int64_t owner,
                             uint32_t *ordinal, struct err *err);
/* One frame per equal neighbours' (step, timestamp) is put by the caller with these. */
struct batch_frames {
    int64_t step, timestamp_ms;
};
void batch_put_frame(struct batch_builder *b, struct batch_frames *f, int64_t step,
                     int64_t timestamp_ms, uint64_t k);
/* The whole body; valid until the next clear. */
enum status batch_finish(struct batch_builder *b, int64_t seq, int64_t epoch, int64_t part,
                         struct str *body, struct err *err);

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

struct batch_string_ref {
    uint32_t id; /* 0 when the name stands inline */
    struct str name;
};
struct batch_record {
    enum batch_kind kind;
    int64_t owner;
    uint32_t ordinal;
    struct rd payload;
};
struct batch_reader {
    struct batch_string_ref *strings;
    size_t strings_n;
    uint64_t left;
    uint32_t ordinal;
    struct rd r;
};
/* ST_CORRUPT on damage. Strings are listed in the arena. */
enum status batch_open(struct batch_reader *b, struct arena *a, struct str body, int64_t seq,
                       int64_t epoch, int64_t part, int64_t n, struct err *err);
/* A damaged body as far as it can be read, its checksum not looked at: for naming the runs it spoke of, nothing else. */
enum status batch_open_damaged(struct batch_reader *b, struct arena *a, struct str body,
                               int64_t seq, struct err *err);
/* ST_END after the last. */
enum status batch_next(struct batch_reader *b, struct batch_record *rec, struct err *err);
/* The next point of a points record; false at the end or on damage (rec->payload.bad). Zero *f before the first. */
struct batch_point_at {
    struct batch_frames at;
    uint64_t left;
};
bool batch_next_point(const struct batch_reader *b, struct batch_record *rec,
                      struct batch_point_at *f, uint32_t *string, struct point *p);
/* The next (key, value) of a params or tags record; *left is read by the first call when it is SIZE_MAX. */
bool batch_next_pair(const struct batch_reader *b, struct batch_record *rec, uint64_t *left,
                     uint32_t *string, struct str *value);
struct batch_attrs {
    uint8_t mask;
    int64_t status, end_ms;
    struct str name;
};
bool batch_get_attrs(struct batch_record *rec, struct batch_attrs *out);
bool batch_get_lifecycle(struct batch_record *rec, uint8_t *lifecycle, int64_t *deleted_ms);
bool batch_get_string(const struct batch_reader *b, struct batch_record *rec, uint32_t *string);

#endif
