/* inspect/pbwire_int.h - the fields of a protobuf message, one after the other, straight from the bytes: no tree is built, and bytes that
 * nobody asks for are not read. */
#ifndef CAIRN_INSPECT_PBWIRE_INT_H
#define CAIRN_INSPECT_PBWIRE_INT_H

#include "inspect/inspect_int.h"

enum { PB_DEPTH_MAX = 32 };

/* A message, or a packed list, at [at, end) of the bytes. */
struct pb {
    struct in *in;
    uint64_t at, end;
    unsigned depth;
};
struct pb_field {
    uint32_t number;
    unsigned wire;  /* 0 varint, 1 fixed 64, 2 bytes, 5 fixed 32 */
    uint64_t value; /* of 0, 1 and 5 */
    struct pb body; /* of 2 */
};
struct pb pb_of(struct in *in);
/* False at the end, and after an error. */
bool pb_next(struct pb *m, struct pb_field *f, enum status *st, struct err *err);
/* The bytes of a field as text. */
enum status pb_text(const struct pb_field *f, size_t max, struct str *out,
                    struct err *err) ATTR_CHECK;
/* The next varint of a packed list; false at its end. */
bool pb_varint(struct pb *list, uint64_t *out, enum status *st, struct err *err);

#endif
