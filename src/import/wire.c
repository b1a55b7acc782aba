/* import/wire.c - protobuf messages field by field. */
#include "import/wire.h"
#include "base/num.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, GROUP = 3, GROUP_END = 4, FIXED32 = 5, DEPTH_MAX = 64 };

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

/* One value; a group is its begin, or its end. */
static void value(struct rd *r, unsigned form, struct wire_field *out)
{
    switch (form) {
    case VARINT:
        out->v = rd_varint(r);
        out->is_number = true;
        break;
    case BYTES: out->bytes = rd_bytes(r, rd_varint(r)); break;
    case FIXED64: (void)rd_u64(r); break;
    case FIXED32: (void)rd_u32(r); break;
    case GROUP:
    case GROUP_END: break;
    default: r->bad = true;
    }
}

/* To the end of the group that has begun. */
static void skip_group(struct rd *r, uint64_t number)
{
    uint64_t open[DEPTH_MAX] = { number };
    size_t depth = 1;

    while (depth && !r->bad) {
        struct wire_field inner = { 0 };
        uint64_t tag = rd_varint(r);
        unsigned form = (unsigned)(tag & 7);

        value(r, form, &inner);
        if (form == GROUP && depth < DEPTH_MAX) {
            open[depth++] = tag >> 3;
        } else if (form == GROUP || (form == GROUP_END && open[depth - 1] != tag >> 3)) {
            r->bad = true;
        } else if (form == GROUP_END) {
            depth--;
        }
    }
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
    value(&r, (unsigned)(tag & 7), out);
    if ((tag & 7) == GROUP) {
        skip_group(&r, out->number);
    }
    if (r.bad || (tag & 7) == GROUP_END) {
        return false;
    }
    *message = str_sub(*message, message->n - rd_left(&r), message->n);
    *ok = true;
    return true;
}

/* The last one, as whoever reads messages takes it; one of another form is a field that is not known. */
static struct wire_field find(struct str message, unsigned field, bool number)
{
    struct wire_field f, found = { 0 };
    bool ok;

    while (wire_next(&message, &f, &ok)) {
        if (f.number == field && (number ? f.is_number : f.bytes.p != NULL)) {
            found = f;
        }
    }
    return found;
}

int64_t wire_i64(struct str message, unsigned field)
{
    return (int64_t)find(message, field, true).v;
}

struct str wire_bytes(struct str message, unsigned field)
{
    return find(message, field, false).bytes;
}
