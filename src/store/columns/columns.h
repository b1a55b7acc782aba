/* store/columns/columns.h - the values of many runs, key by key, for searches.
 *
 * The runs of an experiment lie in segments of COLUMN_ROWS in the order of their creation; a run is
 * a slot of a segment. A struct column holds one key (a metric, a param, the name, ...) of one
 * segment: it knows its smallest and greatest value (the zone), and answers "which slots hold a
 * value in lo..hi" as a bitmap of 64 words.
 *
 *     column_builder_reset(b, COLUMN_DOUBLE, NULL, 4096, err)     or with an older column to change
 *     column_builder_double(b, slot, 0.25); column_builder_missing(b, other_slot); ...
 *     st = column_builder_finish(b, &column, err);
 *     column_range_double(column, -INFINITY, 0.1, bits);
 *     column_unref(column);
 *
 * Columns are a cache of run heads. A column never changes: a changed one is built from the older
 * one (a few microseconds per changed column of 4096 rows, whatever the number of changed rows) and
 * put in its place, while searches go on with those they hold.
 *
 * Layouts, chosen by size when a column is built: constant (one value, perhaps not in every row),
 * sparse (u16 slot + value), dense (a value for every row). Absent keys have no column at all:
 * NULL. Doubles are f32 where every value is exactly one, else f64. Integers are offsets from the
 * smallest, in 1, 2, 4 or 8 bytes. Texts are codes of 1 or 2 bytes into the column's own sorted
 * dictionary, so that codes compare like texts, and a test of texts is run once per distinct value.
 *
 * Bytes for 4096 rows: doubles 16 or 32 KiB, texts of at most 256 values 4 KiB, start times within
 * 49 days 16 KiB; + 512 where rows lack the key; + ~200 for each column.
 *
 * Bounds: COLUMN_ROWS rows, COLUMN_TEXT_MAX bytes of distinct texts (ST_TOO_BIG beyond).
 * Ownership: a column has references; column_ref() for each further holder, column_unref() drops
 * one. Texts that are handed out live as long as the column.
 * Thread rule: a column is immutable, any thread reads it; references may be counted on any thread.
 * A builder belongs to one thread at a time. */
#ifndef CAIRN_STORE_COLUMNS_COLUMNS_H
#define CAIRN_STORE_COLUMNS_COLUMNS_H

#include "base/buf.h"

enum {
    COLUMN_ROWS = 4096,
    COLUMN_WORDS = COLUMN_ROWS / 64,
    COLUMN_TEXT_MAX = 1 << 30,
    /* A stored body is at most its texts and what is around them. */
    COLUMN_BODY_MAX = COLUMN_TEXT_MAX + (1 << 20)
};

enum column_type { COLUMN_DOUBLE = 1, COLUMN_INTEGER = 2, COLUMN_TEXT = 3 };

/* What the column of a run's value is called; `id` is the number of the name (store/mkeys.h), or
 * one of enum column_attr. The numbers are stored. */
enum column_kind {
    COLUMN_ATTR = 0,
    COLUMN_METRIC = 1, /* the newest value */
    COLUMN_METRIC_MIN = 2,
    COLUMN_METRIC_MAX = 3,
    COLUMN_PARAM = 4,
    COLUMN_TAG = 5
};
enum column_attr {
    COLUMN_UID = 1,         /* integer; every run has one, so its slots are the runs that exist */
    COLUMN_RUN_ID = 2,      /* text */
    COLUMN_LIFECYCLE = 3,   /* integer: enum lifecycle */
    COLUMN_START = 4,       /* integer, ms */
    COLUMN_END = 5,         /* integer, ms */
    COLUMN_STATUS = 6,      /* text, as filters compare it: RUNNING, ... */
    COLUMN_USER = 7,        /* text */
    COLUMN_NAME = 8,        /* text */
    COLUMN_ARTIFACT_URI = 9 /* text */
};
struct column_key {
    enum column_kind kind;
    uint32_t id;
};
static inline enum column_type column_key_type(struct column_key k)
{
    if (k.kind == COLUMN_PARAM || k.kind == COLUMN_TAG) return COLUMN_TEXT;
    if (k.kind != COLUMN_ATTR) return COLUMN_DOUBLE;
    return k.id == COLUMN_UID || k.id == COLUMN_LIFECYCLE || k.id == COLUMN_START ||
                   k.id == COLUMN_END
               ? COLUMN_INTEGER
               : COLUMN_TEXT;
}

/* What is known of a column without its values. min and max bound the values (NaN not counted) and
 * mean nothing while none_n of them are; they are: the number of a COLUMN_INTEGER; for the other
 * types column_rank_double() and column_rank_text() of the value. All zero: absent. */
struct column_zone {
    uint32_t rows;      /* slots 0 .. rows-1 exist */
    uint32_t present_n; /* rows that have the key */
    uint32_t nan_n;     /* of them, NaN */
    int64_t min, max;
};
/* Numbers in the order of the doubles; -0.0 and 0.0 have the same. Not for NaN. */
int64_t column_rank_double(double v);
/* Numbers that do not contradict the byte order of texts: a < b never gives a greater rank to a. */
int64_t column_rank_text(struct str s);

struct column;
struct zip; /* store/series/body.h */

struct column *column_ref(const struct column *c); /* NULL-safe */
void column_unref(const struct column *c);         /* NULL-safe */
const struct column_zone *column_zone(const struct column *c);
enum column_type column_type(const struct column *c);
size_t column_bytes(const struct column *c); /* of memory, all in all */

/* ---- one value. False: the row lacks the key, or the column is of another type. ---------------------------------------------------- */

bool column_double(const struct column *c, uint32_t slot, double *out);
bool column_integer(const struct column *c, uint32_t slot, int64_t *out);
bool column_text(const struct column *c, uint32_t slot, struct str *out);

/* ---- many values: bits are COLUMN_WORDS words, all of them written; c may be NULL (no bits) ------ */

/* Rows with the key. */
void column_present(const struct column *c, uint64_t *bits);
/* Rows with a value in lo..hi, both included; never NaN. */
void column_range_double(const struct column *c, double lo, double hi, uint64_t *bits);
void column_range_integer(const struct column *c, int64_t lo, int64_t hi, uint64_t *bits);

/* The distinct texts, in byte order, as codes 0 .. column_codes_n()-1. */
uint32_t column_codes_n(const struct column *c);
struct str column_code_text(const struct column *c, uint32_t code);
/* The code of the first text that is not before s; column_codes_n() if all are. */
uint32_t column_code_at_least(const struct column *c, struct str s);
bool column_code(const struct column *c, uint32_t slot, uint32_t *out);
/* Rows whose code is in lo..hi, both included. */
void column_range_codes(const struct column *c, uint32_t lo, uint32_t hi, uint64_t *bits);
/* Rows whose code has set[code] != 0; set has column_codes_n() bytes. */
void column_codes_in(const struct column *c, const uint8_t *set, uint64_t *bits);
/* Adds to counts[code] the number of rows in `of` that have the code. */
void column_count_codes(const struct column *c, const uint64_t *of, uint32_t *counts);

/* ---- building ------------------------------------------------------------------------------------ */

struct column_builder;

/* About 200 KiB; reused from column to column. NULL when memory is out. */
struct column_builder *column_builder_new(void);
void column_builder_free(struct column_builder *b); /* NULL-safe */
/* Starts a column of `rows` rows; what `from` (NULL = nothing) holds is the start, of the same type
 * and with at most as many rows. `from` must live until finish. */
enum status column_builder_reset(struct column_builder *b, enum column_type type,
                                 const struct column *from, uint32_t rows, struct err *err);
/* Values of the type given; a slot may be set again. Texts are borrowed until finish. What fails
 * inside is reported by finish. */
void column_builder_double(struct column_builder *b, uint32_t slot, double v);
void column_builder_integer(struct column_builder *b, uint32_t slot, int64_t v);
void column_builder_text(struct column_builder *b, uint32_t slot, struct str s);
void column_builder_missing(struct column_builder *b, uint32_t slot);
/* *out is NULL when no row has the key. ST_NOMEM, ST_TOO_BIG. */
enum status column_builder_finish(struct column_builder *b, struct column **out, struct err *err);

/* ---- stored ---------------------------------------------------------------------------------------- */

/* Where a body belongs; its checksum covers this, so that a body in a wrong row is found. */
struct column_place {
    int64_t exp;
    int64_t segment;
    struct column_key key;
};
/* Appends the stored form (docs/formats/colseg.md) to out; z is scratch, out's maximum should be COLUMN_BODY_MAX.
 * The zone is stored beside it by the caller. */
enum status column_encode(struct zip *z, const struct column *c, const struct column_place *at,
                          struct buf *out, struct err *err);
/* ST_CORRUPT on damage; whatever the bytes are, what comes back keeps every promise made above. */
enum status column_decode(struct column **out, struct str body, const struct column_place *at,
                          struct err *err);

/* ---- what one search sees -------------------------------------------------------------------------- */

/* One key in one segment. `column` NULL: absent if zone.present_n is 0, else not in memory. */
struct column_cell {
    struct column_zone zone;
    const struct column *column;
};

/* The columns that one search named, of one experiment, held until it ends. Filled by the owner of
 * the columns, read by the search on one thread. */
struct column_table {
    uint32_t segments_n, columns_n;
    const uint32_t *rows;      /* of each segment */
    struct column_cell *cells; /* [column * segments_n + segment] */
    /* (optional) [segment]: rows that are not to be answered from here, because their head is newer;
     * NULL p: none. The caller offers those runs by themselves. */
    const uint64_t *const *newer;
    /* (optional) Brings a cell's column into memory; the table's owner keeps it until the search
     * ends. May be missing when everything is there. */
    enum status (*load)(struct column_table *t, uint32_t segment, uint32_t column, struct err *err);
    void *ctx;
};

static inline struct column_cell *column_table_cell(const struct column_table *t, uint32_t segment,
                                                    uint32_t column)
{
    return &t->cells[(size_t)column * t->segments_n + segment];
}
/* The column, loaded if need be; *out is NULL where the key is absent. */
enum status column_table_get(struct column_table *t, uint32_t segment, uint32_t column,
                             const struct column **out, struct err *err);

#endif
