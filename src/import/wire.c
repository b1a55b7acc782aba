/* import/wire.c - protobuf messages field by field. */
#include "import/wire.h"
#include "base/num.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

void wire_put_i64(struct buf *b, unsigned field, int64_t v)
{
    buf_put_varint(b, (uint64_t)field << 3 | VARINT);
    buf_put_varint(b, (uint64_t)v);
}

void wire_put_double(struct buf *b, unsigned field, double v)
{
    buf_put_varint(b, (uint64_t)field << 3 | FIXED64);
    buf_put_u64(b, num_double_bits(v));
}

void wire_put_bytes(struct buf *b, unsigned field, struct str v)
{
    buf_put_varint(b, (uint64_t)field << 3 | BYTES);
    buf_put_varint(b, v.n);
    buf_put_str(b, v);
}

bool wire_next(struct str *message, struct wire_field *out, bool *ok)
{
    struct rd r = rd_of(message->p, message->n);
    uint64_t tag;

    *out = (struct wire_field){ 0 };
    *ok = message->n == 0;
    if (*ok) {
        return false;
    }
    tag = rd_varint(&r);
    out->number = tag >> 3;
    switch (tag & 7) {
    case VARINT: out->v = rd_varint(&r); break;
    case BYTES: out->bytes = rd_bytes(&r, rd_varint(&r)); break;
    case FIXED64: (void)rd_u64(&r); break;
    case FIXED32: (void)rd_u32(&r); break;
    default: return false;
    }
    if (r.bad) {
        return false;
    }
    *message = str_sub(*message, message->n - rd_left(&r), message->n);
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
