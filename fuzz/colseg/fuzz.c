/* Stored columns. The first byte chooses what is done to the body behind it: even: the checksum is made right; 1: likewise, after the
 * sizes in the head were made to fit what follows; else it is taken as it is. A column that is read keeps every promise of its
 * header, and is read again from what it is written as. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/columns/columns.h"
#include "store/series/body.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_N = 28, RAW_AT = 20, CRC_AT = 24, FLAGS_AT = 4 };

static const struct column_place place = { 1, 2, { COLUMN_PARAM, 3 } };

static void put_u32(uint8_t *p, size_t at, uint32_t v)
{
    for (size_t i = 0; i < 4; i++) {
        p[at + i] = (uint8_t)(v >> (8 * i));
    }
}

static void repair(uint8_t *p, size_t n, bool sizes)
{
    int64_t keys[] = { place.exp, place.segment, (int64_t)place.key.kind, (int64_t)place.key.id };
    uint32_t crc;

    if (sizes) {
        p[FLAGS_AT] &= 0xfe;
        put_u32(p, RAW_AT, (uint32_t)(n - HEAD_N));
    }
    crc = crc32c(body_crc_keys(keys, ARRAY_N(keys)), p, CRC_AT);
    put_u32(p, CRC_AT, crc32c(crc, p + HEAD_N, n - HEAD_N));
}

static uint32_t count(const uint64_t *bits)
{
    uint32_t n = 0;

    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        n += (uint32_t)__builtin_popcountll(bits[w]);
    }
    return n;
}

static void check_texts(const struct column *c)
{
    uint32_t n = column_codes_n(c), code, sum = 0;
    uint32_t *counts = mem_zalloc(n + 1, sizeof(*counts));
    uint8_t *set = mem_zalloc(n + 1, 1);
    uint64_t bits[COLUMN_WORDS], all[COLUMN_WORDS];

    CHECK(counts && set);
    column_present(c, all);
    column_count_codes(c, all, counts);
    for (code = 0; code < n; code++) {
        CHECK(column_code_at_least(c, column_code_text(c, code)) == code);
        sum += counts[code];
        set[code] = code % 2;
    }
    CHECK(sum == column_zone(c)->present_n);
    column_codes_in(c, set, bits);
    for (uint32_t slot = 0; slot < COLUMN_ROWS; slot++) {
        bool has = column_code(c, slot, &code);

        CHECK((bits[slot / 64] >> (slot % 64) & 1) == (has && code % 2));
    }
    mem_free(set);
    mem_free(counts);
}

static void check(const struct column *c)
{
    const struct column_zone *z = column_zone(c);
    uint64_t bits[COLUMN_WORDS];
    uint32_t in_range;

    column_present(c, bits);
    CHECK(count(bits) == z->present_n && z->present_n > 0 && z->rows <= COLUMN_ROWS);
    if (column_type(c) == COLUMN_TEXT) {
        check_texts(c);
        column_range_codes(c, 0, UINT32_MAX, bits);
    } else if (column_type(c) == COLUMN_INTEGER) {
        column_range_integer(c, z->min, z->max, bits);
    } else {
        column_range_double(c, (double)-INFINITY, (double)INFINITY, bits);
    }
    in_range = count(bits);
    CHECK(in_range + z->nan_n == z->present_n);
}

static void check_again(const struct column *c)
{
    struct buf b = BUF_INIT(COLUMN_BODY_MAX);
    struct zip zip = { NULL };
    struct err err = ERR_INIT;
    struct column *again;

    CHECK(column_encode(&zip, c, &place, &b, &err) == OK);
    CHECK(column_decode(&again, buf_str(&b), &place, &err) == OK);
    CHECK(memcmp(column_zone(c), column_zone(again), sizeof(struct column_zone)) == 0);
    CHECK(column_bytes(c) == column_bytes(again));
    column_unref(again);
    zip_release(&zip);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct column *c;
    uint8_t *body;

    if (size < 1 + HEAD_N || size > (1 << 18)) {
        return 0;
    }
    body = mem_alloc(size - 1);
    CHECK(body);
    memcpy(body, data + 1, size - 1);
    if (data[0] % 2 == 0 || data[0] == 1) repair(body, size - 1, data[0] == 1);
    if (column_decode(&c, str_of(body, size - 1), &place, &err)) {
        CHECK(c == NULL && (err.code == ST_CORRUPT || err.code == ST_NOMEM));
    } else {
        check(c);
        check_again(c);
        column_unref(c);
    }
    mem_free(body);
    return 0;
}
