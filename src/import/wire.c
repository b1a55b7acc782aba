/* import/wire.c - protobuf messages field by field. */
#include "import/wire.h"
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

void wire_put_i64(struct buf *b, unsigned field, int64_t v)
{
    buf_put_varint(b, (uint64_t)field << 3 | VARINT);
    buf_put_varint(b, (uint64_t)v);
}

void wire_put_double(struct buf *b, unsigned field, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    buf_put_varint(b, (uint64_t)field << 3 | FIXED64);
    for (int i = 0; i < 8; i++) {
        buf_put_u8(b, (unsigned char)(bits >> (8 * i)));
    }
}

void wire_put_bytes(struct buf *b, unsigned field, struct str v)
{
    buf_put_varint(b, (uint64_t)field << 3 | BYTES);
    buf_put_varint(b, v.n);
    buf_put_str(b, v);
}

static bool take_varint(struct str *s, uint64_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < 10 && i < s->n; i++) {
        uint64_t c = (unsigned char)s->p[i];

        *out |= (c & 127) << (7 * i);
        if (c < 128) {
            *s = str_sub(*s, i + 1, s->n);
            return true;
        }
    }
    return false;
}

bool wire_next(struct str *message, struct wire_field *out, bool *ok)
{
    uint64_t tag, n;

    *out = (struct wire_field){ 0 };
    *ok = message->n == 0;
    if (message->n == 0 || !take_varint(message, &tag)) {
        return false;
    }
    out->number = tag >> 3;
    switch (tag & 7) {
    case VARINT: *ok = take_varint(message, &out->v); return *ok;
    case BYTES:
        if (!take_varint(message, &n) || n > message->n) {
            return false;
        }
        out->bytes = (struct str){ message->p, (size_t)n };
        break;
    case FIXED64: n = 8; break;
    case FIXED32: n = 4; break;
    default: return false;
    }
    if (n > message->n) {
        return false;
    }
    *message = str_sub(*message, (size_t)n, message->n);
    *ok = true;
    return true;
}

static struct wire_field find(struct str message, unsigned field)
{
    struct wire_field f, found = { 0 };
    bool ok;

    while (wire_next(&message, &f, &ok)) {
        if (f.number == field) {
            found = f;
        }
    }
    return found;
}

int64_t wire_i64(struct str message, unsigned field)
{
    return (int64_t)find(message, field).v;
}

struct str wire_bytes(struct str message, unsigned field)
{
    return find(message, field).bytes;
}
