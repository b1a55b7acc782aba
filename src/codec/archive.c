/* codec/archive.c - headers of zip (APPNOTE 6.3) and tar (POSIX.1-2001 pax). */
#include "codec/archive.h"
#include <stdio.h>
#include <time.h>
#include <zlib.h>

enum {
    TAR_BLOCK = 512,
    TAR_NAME_MAX = 100,
    ZIP_LATE = 1 << 3,
    ZIP_UTF8 = 1 << 11,
    ZIP_VERSION = 20,
    ZIP_VERSION_64 = 45,
    ZIP_UNIX = 3 << 8,
    ZIP_MODE_FILE = 0100644,
    ZIP_MODE_DIR = 040755,
    ZIP_DOS_DIR = 0x10,
};
#define TAR_SIZE_MAX UINT64_C(077777777777)
#define ZIP_32       UINT64_C(0xffffffff)
#define ZIP_16       UINT64_C(0xffff)

void archive_begin(struct archive *z, enum archive_kind kind)
{
    *z = (struct archive){ .kind = kind };
}

static void put_le(struct buf *b, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        buf_put_u8(b, (unsigned char)(v >> (8 * i)));
    }
}

/* ---- tar ------------------------------------------------------------------------------------------------------------------------- */

static void tar_pad(struct buf *out, uint64_t n)
{
    for (size_t k = (size_t)(n % TAR_BLOCK); k && k < TAR_BLOCK; k++) {
        buf_put_u8(out, 0);
    }
}

static void tar_block(struct buf *out, struct str name, char type, uint64_t size, int64_t mtime_s,
                      unsigned mode)
{
    char h[TAR_BLOCK] = { 0 };
    unsigned sum = 0;

    memcpy(h, name.p, MIN_OF(name.n, (size_t)TAR_NAME_MAX));
    snprintf(h + 100, 8, "%07o", mode);
    snprintf(h + 108, 8, "%07o", 0U);
    snprintf(h + 116, 8, "%07o", 0U);
    snprintf(h + 124, 12, "%011llo", (unsigned long long)MIN_OF(size, TAR_SIZE_MAX));
    snprintf(h + 136, 12, "%011llo", (unsigned long long)mtime_s);
    memset(h + 148, ' ', 8);
    h[156] = type;
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof(h); i++) {
        sum += (unsigned char)h[i];
    }
    snprintf(h + 148, 8, "%06o", sum);
    buf_put(out, h, sizeof(h));
}

/* "<length> <key>=<value>\n", where the length counts its own digits. */
static void tar_record(struct buf *out, const char *key, struct str value)
{
    size_t rest = 1 + strlen(key) + 1 + value.n + 1, n = rest + 1;

    for (size_t digits = 1, ten = 10; n >= ten; ten *= 10) {
        digits++;
        n = rest + digits;
    }
    buf_printf(out, "%zu %s=%.*s\n", n, key, STR_ARG(value));
}

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static void tar_entry(struct buf *out, const struct archive_entry *e)
{
    int64_t mtime_s = e->mtime_ms > 0 ? e->mtime_ms / 1000 : 0;
    struct buf name = BUF_INIT(ARCHIVE_NAME_MAX + 8), records = BUF_INIT(ARCHIVE_NAME_MAX + 128);

    buf_put_str(&name, e->name);
    if (e->is_dir) {
        buf_put_u8(&name, '/');
    }
    if (name.n > TAR_NAME_MAX || !is_ascii(e->name)) {
        tar_record(&records, "path", buf_str(&name));
    }
    if (e->size > TAR_SIZE_MAX) {
        char digits[24];

        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)e->size);
        tar_record(&records, "size", str_cstr(digits));
    }
    if (records.n) {
        tar_block(out, S("pax"), 'x', records.n, mtime_s, 0644);
        buf_put_str(out, buf_str(&records));
        tar_pad(out, records.n);
    }
    tar_block(out, buf_str(&name), e->is_dir ? '5' : '0', e->size, mtime_s,
              e->is_dir ? 0755 : 0644);
    if (name.failed || records.failed) {
        out->failed = name.failed ? name.failed : records.failed;
    }
    buf_release(&name);
    buf_release(&records);
}

/* ---- zip ------------------------------------------------------------------------------------------------------------------------- */

/* Time (low half) and date of MS-DOS, UTC; 1980 is the first year it knows. */
static uint32_t dos_time(int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm t;

    if (ms < INT64_C(315532800000) || !gmtime_r(&s, &t) || t.tm_year > 80 + 127) {
        return 0x00210000;
    }
    return (uint32_t)(t.tm_year - 80) << 25 | (uint32_t)(t.tm_mon + 1) << 21 |
           (uint32_t)t.tm_mday << 16 | (uint32_t)t.tm_hour << 11 | (uint32_t)t.tm_min << 5 |
           (uint32_t)t.tm_sec / 2;
}

/* The extra field of the time in seconds. */
static void put_unix_time(struct buf *out, int64_t ms)
{
    put_le(out, 0x5455, 2);
    put_le(out, 5, 2);
    put_le(out, 1, 1);
    put_le(out, (uint64_t)(ms > 0 ? ms / 1000 : 0), 4);
}

static unsigned zip_flags(const struct archive *z)
{
    return ZIP_UTF8 | (z->late ? ZIP_LATE : 0U);
}

static size_t zip_name_n(const struct archive_entry *e)
{
    return e->name.n + (e->is_dir ? 1 : 0);
}

static void put_zip_name(struct buf *out, const struct archive_entry *e)
{
    buf_put_str(out, e->name);
    if (e->is_dir) {
        buf_put_u8(out, '/');
    }
}

static void zip_entry(struct archive *z, struct buf *out)
{
    const struct archive_entry *e = &z->entry;
    bool is_big = e->size >= ZIP_32;
    uint64_t shown = is_big ? ZIP_32 : z->late ? 0 : e->size;

    put_le(out, 0x04034b50, 4);
    put_le(out, is_big ? ZIP_VERSION_64 : ZIP_VERSION, 2);
    put_le(out, zip_flags(z), 2);
    put_le(out, 0, 2); /* stored */
    put_le(out, dos_time(e->mtime_ms), 4);
    put_le(out, z->late ? 0 : z->crc, 4);
    put_le(out, shown, 4);
    put_le(out, shown, 4);
    put_le(out, zip_name_n(e), 2);
    put_le(out, 9 + (is_big ? 20 : 0), 2);
    put_zip_name(out, e);
    put_unix_time(out, e->mtime_ms);
    if (is_big) {
        put_le(out, 1, 2);
        put_le(out, 16, 2);
        put_le(out, e->size, 8);
        put_le(out, e->size, 8);
    }
}

static void zip_descriptor(const struct archive *z, struct buf *out)
{
    unsigned wide = z->entry.size >= ZIP_32 ? 8 : 4;

    put_le(out, 0x08074b50, 4);
    put_le(out, z->crc, 4);
    put_le(out, z->entry.size, wide);
    put_le(out, z->entry.size, wide);
}

static void zip_row(const struct archive *z, struct buf *index)
{
    const struct archive_entry *e = &z->entry;
    bool is_big = e->size >= ZIP_32, is_far = z->from >= ZIP_32;
    unsigned extra = (is_big ? 16U : 0U) + (is_far ? 8U : 0U);
    uint32_t mode = e->is_dir ? ZIP_MODE_DIR : ZIP_MODE_FILE;

    put_le(index, 0x02014b50, 4);
    put_le(index, ZIP_UNIX | ZIP_VERSION_64, 2);
    put_le(index, extra ? ZIP_VERSION_64 : ZIP_VERSION, 2);
    put_le(index, zip_flags(z), 2);
    put_le(index, 0, 2);
    put_le(index, dos_time(e->mtime_ms), 4);
    put_le(index, z->crc, 4);
    put_le(index, is_big ? ZIP_32 : e->size, 4);
    put_le(index, is_big ? ZIP_32 : e->size, 4);
    put_le(index, zip_name_n(e), 2);
    put_le(index, 9 + (extra ? 4 + extra : 0), 2);
    put_le(index, 0, 2); /* comment */
    put_le(index, 0, 2); /* disk */
    put_le(index, 0, 2);
    put_le(index, (uint64_t)mode << 16 | (e->is_dir ? ZIP_DOS_DIR : 0), 4);
    put_le(index, is_far ? ZIP_32 : z->from, 4);
    put_zip_name(index, e);
    put_unix_time(index, e->mtime_ms);
    if (extra) {
        put_le(index, 1, 2);
        put_le(index, extra, 2);
        if (is_big) {
            put_le(index, e->size, 8);
            put_le(index, e->size, 8);
        }
        if (is_far) {
            put_le(index, z->from, 8);
        }
    }
}

static void zip_end(const struct archive *z, struct buf *out, uint64_t index_bytes)
{
    bool is_big = z->entries >= ZIP_16 || index_bytes >= ZIP_32 || z->at >= ZIP_32;

    if (is_big) {
        put_le(out, 0x06064b50, 4);
        put_le(out, 44, 8); /* bytes that follow in this record */
        put_le(out, ZIP_UNIX | ZIP_VERSION_64, 2);
        put_le(out, ZIP_VERSION_64, 2);
        put_le(out, 0, 4);
        put_le(out, 0, 4);
        put_le(out, z->entries, 8);
        put_le(out, z->entries, 8);
        put_le(out, index_bytes, 8);
        put_le(out, z->at, 8);
        put_le(out, 0x07064b50, 4);
        put_le(out, 0, 4);
        put_le(out, z->at + index_bytes, 8);
        put_le(out, 1, 4);
    }
    put_le(out, 0x06054b50, 4);
    put_le(out, 0, 2);
    put_le(out, 0, 2);
    put_le(out, MIN_OF(z->entries, ZIP_16), 2);
    put_le(out, MIN_OF(z->entries, ZIP_16), 2);
    put_le(out, MIN_OF(index_bytes, ZIP_32), 4);
    put_le(out, MIN_OF(z->at, ZIP_32), 4);
    put_le(out, 0, 2);
}

/* ---- both ------------------------------------------------------------------------------------------------------------------------ */

static uint32_t crc_of(uint32_t crc, const void *p, size_t n)
{
    return (uint32_t)crc32_z(crc, p, n);
}

void archive_entry(struct archive *z, struct buf *out, const struct archive_entry *entry)
{
    size_t before = out->n;

    z->entry = *entry;
    z->entry.size = entry->is_dir ? 0 : entry->size;
    z->left = z->entry.size;
    z->from = z->at;
    z->crc = 0;
    z->late = z->left > 0 && !entry->all.p;
    z->entries++;
    if (z->kind == ARCHIVE_TAR) {
        tar_entry(out, &z->entry);
    } else {
        if (!z->late && z->left) {
            z->crc = crc_of(0, entry->all.p, entry->all.n);
        }
        zip_entry(z, out);
    }
    z->at += out->n - before;
}

void archive_bytes(struct archive *z, const void *p, size_t n)
{
    if (z->kind == ARCHIVE_ZIP && z->late) {
        z->crc = crc_of(z->crc, p, n);
    }
    z->left = n <= z->left ? z->left - n : UINT64_MAX; /* too many: never 0 again */
    z->at += n;
}

bool archive_entry_end(struct archive *z, struct buf *out, struct buf *index)
{
    size_t before = out->n;

    if (z->left) {
        return false;
    }
    if (z->kind == ARCHIVE_TAR) {
        tar_pad(out, z->entry.size);
    } else {
        if (z->late) {
            zip_descriptor(z, out);
        }
        zip_row(z, index);
    }
    z->at += out->n - before;
    return true;
}

void archive_end(struct archive *z, struct buf *out, uint64_t index_bytes)
{
    if (z->kind == ARCHIVE_ZIP) {
        zip_end(z, out, index_bytes);
        return;
    }
    for (size_t i = 0; i < (size_t)2 * TAR_BLOCK; i++) {
        buf_put_u8(out, 0);
    }
}
