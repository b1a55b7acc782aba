/* inspect/pbwire.c - protobuf fields, see pbwire_int.h. */
#include "inspect/pbwire_int.h"
#include <inttypes.h>

struct pb pb_of(struct in *in)
{
    return (struct pb){ .in = in, .end = in->size };
}

static enum status varint(struct pb *m, uint64_t *out, struct err *err)
{
    const unsigned char *p;
    size_t n = (size_t)MIN_OF(m->end - m->at, (uint64_t)10);
    enum status st = in_peek(m->in, m->at, n, &p, err);

    *out = 0;
    for (size_t i = 0; i < n && !st; i++) {
        *out |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) {
            m->at += i + 1;
            return OK;
        }
    }
    return st ? st : err_set(err, ST_CORRUPT, "a number at byte %" PRIu64 " does not end", m->at);
}

bool pb_varint(struct pb *list, uint64_t *out, enum status *st, struct err *err)
{
    if (*st || list->at >= list->end) {
        return false;
    }
    *st = varint(list, out, err);
    return !*st;
}

static enum status field(struct pb *m, struct pb_field *f, struct err *err)
{
    uint64_t key, n;
    enum status st = insp_item(m->in->x, err);

    st = st ? st : varint(m, &key, err);
    if (st) return st;
    if (key >> 3 == 0 || key >> 3 > 0x1fffffff) {
        return err_set(err, ST_CORRUPT, "a field without a number at byte %" PRIu64, m->at);
    }
    *f = (struct pb_field){ .number = (uint32_t)(key >> 3), .wire = key & 7 };
    switch (f->wire) {
    case 0: return varint(m, &f->value, err);
    case 1:
        st = in_u64(m->in, m->at, &f->value, err);
        m->at += 8;
        break;
    case 2:
        st = varint(m, &n, err);
        if (!st && n > m->end - m->at) {
            return err_set(err, ST_CORRUPT, "field %" PRIu32 " goes beyond its message", f->number);
        }
        f->body = (struct pb){ m->in, m->at, m->at + n, m->depth + 1 };
        m->at += st ? 0 : n;
        break;
    case 5: {
        uint32_t v;

        st = in_u32(m->in, m->at, &v, err);
        f->value = v;
        m->at += 4;
        break;
    }
    default:
        return err_set(err, ST_CORRUPT, "field %" PRIu32 " has the wire type %u", f->number,
                       f->wire);
    }
    if (!st && m->at > m->end) {
        st = err_set(err, ST_CORRUPT, "field %" PRIu32 " goes beyond its message", f->number);
    }
    return st;
}

bool pb_next(struct pb *m, struct pb_field *f, enum status *st, struct err *err)
{
    if (*st || m->at >= m->end) {
        return false;
    }
    if (m->depth > PB_DEPTH_MAX) {
        *st = err_set(err, ST_TOO_BIG, "messages within each other, more than %d", PB_DEPTH_MAX);
        return false;
    }
    *st = field(m, f, err);
    return !*st;
}

enum status pb_text(const struct pb_field *f, size_t max, struct str *out, struct err *err)
{
    *out = S("");
    if (f->wire != 2) {
        return OK;
    }
    return in_text(f->body.in, f->body.at, f->body.end - f->body.at, max, out, err);
}
