/* store/series/batch.c - see batch.h. */
#include "store/series/batch.h"

#include "base/hash.h"
#include "base/mem.h"

enum { HEADER_N = 8, STRINGS_MAX = 4 << 20, IDS_MAX = 1 << 20, RECORDS_MAX = 1 << 20 };

/* ---- builder -------------------------------------------------------------------------------------------------------------- */

void batch_init(struct batch_builder *b)
{
    memset(b, 0, sizeof(*b));
    buf_init(&b->strings, STRINGS_MAX * 5);
    buf_init(&b->records, BATCH_BODY_MAX);
    buf_init(&b->payload, BATCH_BODY_MAX);
    buf_init(&b->body, BATCH_BODY_MAX + STRINGS_MAX * 5 + 64);
}

void batch_release(struct batch_builder *b)
{
    buf_release(&b->strings);
    buf_release(&b->records);
    buf_release(&b->payload);
    buf_release(&b->body);
    mem_free(b->ids);
    mem_free(b->slots);
    b->ids = b->slots = NULL;
    b->ids_n = b->ids_cap = b->slots_cap = 0;
}

void batch_clear(struct batch_builder *b)
{
    enum { KEEP = 8 << 20 };

    if (b->records.cap > KEEP || b->body.cap > KEEP || b->payload.cap > KEEP) {
        buf_release(&b->records);
        buf_release(&b->payload);
        buf_release(&b->body);
    }
    buf_clear(&b->strings);
    buf_clear(&b->records);
    buf_clear(&b->payload);
    buf_clear(&b->body);
    if (b->slots && b->ids_n > 0) {
        memset(b->slots, 0, b->slots_cap * sizeof(*b->slots));
    }
    b->ids_n = 0;
    b->records_n = 0;
    b->points_n = 0;
}

void batch_trim(struct batch_builder *b)
{
    enum { KEEP = 1 << 18 };

    if (b->records.cap > KEEP || b->body.cap > KEEP || b->payload.cap > KEEP) {
        batch_clear(b);
        buf_release(&b->records);
        buf_release(&b->payload);
        buf_release(&b->body);
    }
}

struct batch_mark batch_mark(const struct batch_builder *b)
{
    return (struct batch_mark){ b->strings.n, b->records.n, b->ids_n, b->records_n, b->points_n };
}

static size_t slot_of(uint32_t id, size_t cap)
{
    return (id * 2654435769u) & (cap - 1);
}

static void slots_fill(struct batch_builder *b)
{
    memset(b->slots, 0, b->slots_cap * sizeof(*b->slots));
    for (size_t i = 0; i < b->ids_n; i++) {
        size_t s = slot_of(b->ids[i], b->slots_cap);

        while (b->slots[s] != 0) {
            s = (s + 1) & (b->slots_cap - 1);
        }
        b->slots[s] = (uint32_t)i + 1;
    }
}

void batch_rollback(struct batch_builder *b, const struct batch_mark *m)
{
    b->strings.n = m->strings_n;
    b->strings.failed = OK;
    b->records.n = m->records_at;
    b->records.failed = OK;
    if (b->ids_n != m->ids_n) {
        b->ids_n = m->ids_n;
        slots_fill(b);
    }
    b->records_n = m->records_n;
    b->points_n = m->points_n;
    buf_clear(&b->payload);
}

static bool grow(struct batch_builder *b)
{
    size_t cap = b->ids_cap ? b->ids_cap * 2 : 64;
    uint32_t *ids, *slots;

    if (cap > IDS_MAX) {
        return false;
    }
    ids = (uint32_t *)mem_realloc(b->ids, cap * sizeof(*ids));
    if (!ids) {
        return false;
    }
    b->ids = ids;
    slots = (uint32_t *)mem_alloc(cap * 4 * sizeof(*slots));
    if (!slots) {
        return false;
    }
    mem_free(b->slots);
    b->slots = slots;
    b->slots_cap = cap * 4;
    b->ids_cap = cap;
    slots_fill(b);
    return true;
}

uint32_t batch_string(struct batch_builder *b, uint32_t key_id)
{
    size_t s;

    if (b->ids_n == b->ids_cap && !grow(b)) {
        return UINT32_MAX;
    }
    s = slot_of(key_id, b->slots_cap);
    while (b->slots[s] != 0) {
        if (b->ids[b->slots[s] - 1] == key_id) {
            return b->slots[s] - 1;
        }
        s = (s + 1) & (b->slots_cap - 1);
    }
    b->slots[s] = (uint32_t)b->ids_n + 1;
    b->ids[b->ids_n] = key_id;
    buf_put_varint(&b->strings, (uint64_t)key_id + 1);
    return (uint32_t)b->ids_n++;
}

void batch_record(struct batch_builder *b)
{
    buf_clear(&b->payload);
}

enum status batch_record_end(struct batch_builder *b, enum batch_kind kind, int64_t owner,
                             uint32_t *ordinal, struct err *err)
{
    enum status st = buf_status(&b->payload, "batch record", err);

    if (st) return st;
    if (b->records_n >= RECORDS_MAX) {
        return err_set(err, ST_TOO_BIG, "a group exceeds %d records", (int)RECORDS_MAX);
    }
    buf_put_u8(&b->records, (unsigned char)kind);
    buf_put_varint(&b->records, (uint64_t)owner);
    buf_put_varint(&b->records, b->payload.n);
    buf_put_str(&b->records, buf_str(&b->payload));
    st = buf_status(&b->records, "batch", err);
    if (!st) st = buf_status(&b->strings, "batch strings", err);
    *ordinal = (uint32_t)b->records_n++;
    return st;
}

void batch_put_frame(struct batch_builder *b, struct batch_frames *f, int64_t step,
                     int64_t timestamp_ms, uint64_t k)
{
    buf_put_zigzag(&b->payload, (int64_t)((uint64_t)step - (uint64_t)f->step));
    buf_put_zigzag(&b->payload, (int64_t)((uint64_t)timestamp_ms - (uint64_t)f->timestamp_ms));
    buf_put_varint(&b->payload, k);
    f->step = step;
    f->timestamp_ms = timestamp_ms;
}

static uint32_t body_crc(const void *body, size_t n, int64_t seq, int64_t epoch, int64_t part,
                         int64_t points)
{
    int64_t keys[4] = { seq, epoch, part, points };
    const char *p = (const char *)body;
    uint32_t crc = crc32c(body_crc_keys(keys, ARRAY_N(keys)), p, HEADER_N - 4);

    return crc32c(crc, p + HEADER_N, n - HEADER_N);
}

enum status batch_finish(struct batch_builder *b, int64_t seq, int64_t epoch, int64_t part,
                         struct str *body, struct err *err)
{
    struct buf *o = &b->body;
    enum status st;

    buf_clear(o);
    buf_put_u8(o, BODY_VERSION);
    buf_put_u8(o, 0);
    buf_put_u16(o, 0);
    buf_put_u32(o, 0);
    buf_put_varint(o, b->ids_n);
    buf_put_str(o, buf_str(&b->strings));
    buf_put_varint(o, b->records_n);
    buf_put_str(o, buf_str(&b->records));
    st = buf_status(o, "batch", err);
    if (st) return st;
    body_patch_u32(o, 4, body_crc(o->p, o->n, seq, epoch, part, b->points_n));
    *body = buf_str(o);
    return OK;
}

/* ---- reader ---------------------------------------------------------------------------------------------------------------- */

static bool read_strings(struct batch_reader *b, uint64_t n, bool *nomem, struct arena *a)
{
    if (n > IDS_MAX || n > rd_left(&b->r)) {
        return false;
    }
    b->strings_n = (size_t)n;
    b->strings = ARENA_ARRAY(a, struct batch_string_ref, n + 1);
    if (!b->strings) {
        *nomem = true;
        return false;
    }
    for (size_t i = 0; i < b->strings_n && !b->r.bad; i++) {
        uint64_t id = rd_varint(&b->r);

        if (id == 0) {
            b->strings[i].name = rd_bytes(&b->r, rd_varint(&b->r));
        } else if (id - 1 == 0 || id - 1 > UINT32_MAX) {
            b->r.bad = true;
        } else {
            b->strings[i].id = (uint32_t)(id - 1);
        }
    }
    return !b->r.bad;
}

static enum status open_header(struct batch_reader *b, struct str body, int64_t seq, uint32_t *crc,
                               struct err *err)
{
    uint8_t version;

    memset(b, 0, sizeof(*b));
    b->r = rd_of(body.p, body.n);
    version = rd_u8(&b->r);
    (void)rd_u8(&b->r);
    (void)rd_u16(&b->r);
    *crc = rd_u32(&b->r);
    if (b->r.bad || version != BODY_VERSION) {
        return err_set(err, ST_CORRUPT, "batch %lld: bad header", (long long)seq);
    }
    return OK;
}

static enum status open_strings(struct batch_reader *b, struct arena *a, int64_t seq,
                                struct err *err)
{
    bool nomem = false;

    if (!read_strings(b, rd_varint(&b->r), &nomem, a)) {
        return nomem ? err_nomem(err)
                     : err_set(err, ST_CORRUPT, "batch %lld: bad strings", (long long)seq);
    }
    b->left = rd_varint(&b->r);
    if (b->r.bad || b->left > RECORDS_MAX || (b->left == 0 && rd_left(&b->r) != 0)) {
        return err_set(err, ST_CORRUPT, "batch %lld: bad number of records", (long long)seq);
    }
    return OK;
}

enum status batch_open(struct batch_reader *b, struct arena *a, struct str body, int64_t seq,
                       int64_t epoch, int64_t part, int64_t n, struct err *err)
{
    uint32_t want;
    enum status st = open_header(b, body, seq, &want, err);

    if (!st && body_crc(body.p, body.n, seq, epoch, part, n) != want) {
        st = err_set(err, ST_CORRUPT, "batch %lld: checksum differs", (long long)seq);
    }
    return st ? st : open_strings(b, a, seq, err);
}

enum status batch_open_damaged(struct batch_reader *b, struct arena *a, struct str body,
                               int64_t seq, struct err *err)
{
    uint32_t ignored;
    enum status st = open_header(b, body, seq, &ignored, err);

    return st ? st : open_strings(b, a, seq, err);
}

enum status batch_next(struct batch_reader *b, struct batch_record *rec, struct err *err)
{
    uint64_t owner, n;
    uint8_t kind;
    struct str payload;

    if (b->left == 0) {
        return rd_left(&b->r) == 0
                   ? ST_END
                   : err_set(err, ST_CORRUPT, "batch: bytes behind the last record");
    }
    kind = rd_u8(&b->r);
    owner = rd_varint(&b->r);
    n = rd_varint(&b->r);
    payload = rd_bytes(&b->r, n);
    if (b->r.bad || owner > INT64_MAX || kind < BATCH_POINTS || kind > BATCH_RUN_PURGED) {
        return err_set(err, ST_CORRUPT, "batch: record %u is damaged", b->ordinal);
    }
    b->left--;
    *rec = (struct batch_record){ .kind = (enum batch_kind)kind,
                                  .owner = (int64_t)owner,
                                  .ordinal = b->ordinal++,
                                  .payload = rd_of(payload.p, payload.n) };
    return OK;
}

bool batch_next_point(const struct batch_reader *b, struct batch_record *rec,
                      struct batch_point_at *f, uint32_t *string, struct point *p)
{
    struct rd *r = &rec->payload;
    uint64_t idx;

    while (f->left == 0) {
        if (r->bad || rd_left(r) == 0) {
            return false;
        }
        f->at.step = (int64_t)((uint64_t)f->at.step + (uint64_t)rd_zigzag(r));
        f->at.timestamp_ms = (int64_t)((uint64_t)f->at.timestamp_ms + (uint64_t)rd_zigzag(r));
        f->left = rd_varint(r);
        if (f->left > rd_left(r)) {
            r->bad = true;
        }
        if (r->bad) {
            return false;
        }
    }
    idx = rd_varint(r);
    p->step = f->at.step;
    p->timestamp_ms = f->at.timestamp_ms;
    p->value = num_bits_double(rd_u64(r));
    if (r->bad || idx >= b->strings_n) {
        r->bad = true;
        return false;
    }
    *string = (uint32_t)idx;
    f->left--;
    return true;
}

bool batch_next_pair(const struct batch_reader *b, struct batch_record *rec, uint64_t *left,
                     uint32_t *string, struct str *value)
{
    struct rd *r = &rec->payload;
    uint64_t idx;

    if (*left == SIZE_MAX) {
        *left = rd_varint(r);
        if (*left > rd_left(r)) {
            r->bad = true;
        }
    }
    if (r->bad || *left == 0) {
        return false;
    }
    idx = rd_varint(r);
    *value = rd_bytes(r, rd_varint(r));
    if (r->bad || idx >= b->strings_n) {
        r->bad = true;
        return false;
    }
    *string = (uint32_t)idx;
    (*left)--;
    return true;
}

bool batch_get_attrs(struct batch_record *rec, struct batch_attrs *out)
{
    struct rd *r = &rec->payload;

    memset(out, 0, sizeof(*out));
    out->mask = rd_u8(r);
    if (out->mask & BATCH_ATTR_STATUS) {
        out->status = (int64_t)(rd_varint(r) & 0xff);
    }
    if (out->mask & BATCH_ATTR_END) {
        out->end_ms = rd_zigzag(r);
    }
    if (out->mask & BATCH_ATTR_NAME) {
        out->name = rd_bytes(r, rd_varint(r));
    }
    return !r->bad && rd_left(r) == 0;
}

bool batch_get_lifecycle(struct batch_record *rec, uint8_t *lifecycle, int64_t *deleted_ms)
{
    *lifecycle = rd_u8(&rec->payload);
    *deleted_ms = rd_zigzag(&rec->payload);
    return !rec->payload.bad && rd_left(&rec->payload) == 0 && *lifecycle <= 1;
}

bool batch_get_string(const struct batch_reader *b, struct batch_record *rec, uint32_t *string)
{
    uint64_t idx = rd_varint(&rec->payload);

    *string = (uint32_t)idx;
    return !rec->payload.bad && rd_left(&rec->payload) == 0 && idx < b->strings_n;
}
