/* import/wire.h - protobuf messages field by field: rows pass through here without being understood.
 * Thread rule: pure functions. */
#ifndef CAIRN_IMPORT_WIRE_H
#define CAIRN_IMPORT_WIRE_H

#include "base/buf.h"

void wire_put_i64(struct buf *b, unsigned field, int64_t v);
void wire_put_double(struct buf *b, unsigned field, double v);
void wire_put_bytes(struct buf *b, unsigned field, struct str v);

struct wire_field {
    uint64_t number;
    bool is_number;
    uint64_t v;       /* of a number (a varint) */
    struct str bytes; /* of a text, bytes or a message; p NULL otherwise */
};
/* Takes the next field off the message. False at its end, and where it is malformed: *ok says which. */
bool wire_next(struct str *message, struct wire_field *out, bool *ok);
/* The number in a field, 0 if there is none. */
int64_t wire_i64(struct str message, unsigned field);
/* The message or text in a field, p NULL if there is none. */
struct str wire_bytes(struct str message, unsigned field);

#endif
