/* core/step_key.h - the key of a step: what went into it, as one canonical text of bytes, and its SHA-256. Two steps with the same key
 * had the same inputs, code, parameters and environment, so the outputs of one are those of the other.
 * The bytes are version 1 of docs/formats/stepkey.md, which says how anybody computes them; they never change under that version.
 * Ownership: texts point into what was given, or into the bytes that were read. Thread rule: pure functions. */
#ifndef CAIRN_CORE_STEP_KEY_H
#define CAIRN_CORE_STEP_KEY_H

#include "base/arena.h"
#include "base/hash.h"

enum {
    STEP_KEY_VERSION = 1,
    STEP_ENTRIES_MAX = 10000,
    STEP_NAME_MAX = 1000,     /* bytes of the name of a step, or of an entry */
    STEP_BYTES_MAX = 1 << 20, /* of a key's canonical bytes */
};

/* In this order they are compared and shown. */
enum step_section {
    STEP_NAME = 1, /* the name of the step itself; one entry, whose own name is empty */
    STEP_INPUT = 2,
    STEP_CODE = 3,
    STEP_PARAMETER = 4,
    STEP_ENVIRONMENT = 5
};
/* "step", "input", "code", "parameter", "environment". */
const char *step_section_name(enum step_section s);

enum step_type {
    STEP_NULL = 0,
    STEP_INT = 1,
    STEP_DOUBLE = 2,
    STEP_TEXT = 3,
    STEP_BOOL = 4,
    STEP_DIGEST = 5, /* a SHA-256 */
    STEP_JSON = 6    /* a list or an object, as json_canonical() writes it */
};
struct step_entry {
    enum step_section section;
    enum step_type type;
    struct str name;
    int64_t i; /* STEP_INT, STEP_BOOL */
    double d;
    struct str s; /* STEP_TEXT, STEP_JSON */
    struct digest digest;
};

/* Sorts the entries, and gives their bytes (in the arena) and the key. ST_INVALID, with the section as the field, for a name that is
 * given twice or too long; ST_TOO_BIG beyond the limits above. */
enum status step_key_make(struct arena *a, struct step_entry *e, size_t n, struct str *bytes,
                          struct digest *key, struct err *err);
/* Entries that are read back; the room for them grows in the arena, and is used again. Starts zero. */
struct step_entries {
    struct step_entry *p;
    size_t n, cap;
};
/* Bytes back to entries, in their order, in place of those in *out; texts point into the bytes. ST_CORRUPT for what step_key_make() did not
 * make. */
enum status step_key_read(struct arena *a, struct str bytes, struct step_entries *out,
                          struct err *err);
/* The 64 hex digits of a key; p NULL when memory is out. */
struct str step_key_text(struct arena *a, const struct digest *key);

/* What differs between two: old or new is NULL where only the other has the entry. */
struct step_difference {
    const struct step_entry *before, *now;
};
/* How many entries of two sorted lists differ; the first `max` of them, in their order, are put into out. */
size_t step_key_differ(const struct step_entry *before, size_t before_n,
                       const struct step_entry *now, size_t now_n, struct step_difference *out,
                       size_t max);

#endif
