/* The headers of zip and tar streams: small ones byte by byte where it matters, large ones by the fields that hold 64 bits. */
#include "tap.h"

#include "codec/archive.h"
#include <stdlib.h>

static uint64_t le(const struct buf *b, size_t at, unsigned n)
{
    uint64_t v = 0;

    T_OK(at + n <= b->n);
    for (unsigned i = 0; i < n; i++) {
        v |= (uint64_t)(unsigned char)b->p[at + i] << (8 * i);
    }
    return v;
}

struct made {
    struct archive z;
    struct buf out, index;
};

static void begin(struct made *m, enum archive_kind kind)
{
    buf_init(&m->out, 1 << 20);
    buf_init(&m->index, 1 << 20);
    archive_begin(&m->z, kind);
}

static void end(struct made *m)
{
    T_INT(m->out.failed, OK);
    T_INT(m->index.failed, OK);
    buf_release(&m->out);
    buf_release(&m->index);
}

static struct archive_entry file(const char *name, uint64_t size)
{
    return (
        struct archive_entry){ .name = str_cstr(name), .size = size, .mtime_ms = 1600000000000 };
}

TEST(a_small_zip)
{
    struct archive_entry e = file("a.txt", 5), dir = { .name = S("d"), .is_dir = true };
    struct made m;
    size_t n;

    begin(&m, ARCHIVE_ZIP);
    e.all = S("hello");
    archive_entry(&m.z, &m.out, &e);
    archive_bytes(&m.z, e.all.p, e.all.n);
    buf_put_str(&m.out, e.all);
    T_OK(archive_entry_end(&m.z, &m.out, &m.index));
    T_INT(le(&m.out, 0, 4), 0x04034b50);
    T_INT(le(&m.out, 6, 2), 1 << 11); /* UTF-8, and no descriptor follows */
    T_INT(le(&m.out, 14, 4), 0x3610a686);
    T_INT(le(&m.out, 22, 4), 5);
    T_INT(m.out.n, 30 + 5 + 9 + 5);
    archive_entry(&m.z, &m.out, &dir);
    T_OK(archive_entry_end(&m.z, &m.out, &m.index));
    T_INT(m.z.at, m.out.n);
    T_INT(le(&m.index, 0, 4), 0x02014b50);
    T_INT(le(&m.index, 16, 4), 0x3610a686);
    n = m.index.n;
    archive_end(&m.z, &m.out, n);
    T_INT(le(&m.out, m.out.n - 22, 4), 0x06054b50);
    T_INT(le(&m.out, m.out.n - 12, 2), 2);
    T_INT(le(&m.out, m.out.n - 10, 4), n);
    T_INT(le(&m.out, m.out.n - 6, 4), m.z.at);
    end(&m);
}

TEST(bytes_that_come_later_have_their_crc_behind_them)
{
    struct archive_entry e = file("a", 9);
    struct made m;

    begin(&m, ARCHIVE_ZIP);
    archive_entry(&m.z, &m.out, &e);
    T_INT(le(&m.out, 6, 2), 1 << 11 | 1 << 3);
    T_INT(le(&m.out, 14, 4), 0);
    archive_bytes(&m.z, "1234", 4);
    archive_bytes(&m.z, "56789", 5);
    buf_clear(&m.out);
    T_OK(archive_entry_end(&m.z, &m.out, &m.index));
    T_INT(le(&m.out, 0, 4), 0x08074b50);
    T_INT(le(&m.out, 4, 4), 0xcbf43926);
    T_INT(le(&m.out, 8, 4), 9);
    T_INT(m.out.n, 16);
    end(&m);
}

TEST(another_number_of_bytes_is_said)
{
    struct archive_entry e = file("a", 9);
    struct made m;

    for (int kind = ARCHIVE_TAR; kind <= ARCHIVE_ZIP; kind++) {
        begin(&m, (enum archive_kind)kind);
        archive_entry(&m.z, &m.out, &e);
        archive_bytes(&m.z, "12345678", 8);
        T_OK(!archive_entry_end(&m.z, &m.out, &m.index));
        archive_bytes(&m.z, "12", 2);
        T_OK(!archive_entry_end(&m.z, &m.out, &m.index));
        archive_bytes(&m.z, "", 0);
        T_OK(!archive_entry_end(&m.z, &m.out, &m.index));
        end(&m);
    }
}

/* A file beyond 4 GiB, and one that begins there; its bytes are counted, not made. */
TEST(a_large_zip_has_records_of_64_bits)
{
    enum { MIB = 1 << 20 };
    static const char zeros[MIB];
    const uint64_t size = UINT64_C(4097) * MIB;
    struct archive_entry big = file("big", size), e = file("e", 1);
    struct made m;
    size_t row;

    begin(&m, ARCHIVE_ZIP);
    archive_entry(&m.z, &m.out, &big);
    T_INT(le(&m.out, 4, 2), 45);
    T_INT(le(&m.out, 18, 4), 0xffffffff);
    T_INT(le(&m.out, 28, 2), 9 + 20);
    T_OK(le(&m.out, 30 + 3 + 9 + 4, 8) == size);
    archive_bytes(&m.z, zeros, MIB);
    m.z.left = 0; /* its CRC is not looked at */
    m.z.at += size - MIB;
    buf_clear(&m.out);
    T_OK(archive_entry_end(&m.z, &m.out, &m.index));
    T_INT(m.out.n, 24);
    T_OK(le(&m.out, 8, 8) == size);
    row = m.index.n;
    T_INT(le(&m.index, 24, 4), 0xffffffff);
    T_OK(le(&m.index, 46 + 3 + 9 + 4, 8) == size);
    archive_entry(&m.z, &m.out, &e);
    archive_bytes(&m.z, "x", 1);
    T_OK(archive_entry_end(&m.z, &m.out, &m.index));
    T_INT(le(&m.index, row + 42, 4), 0xffffffff);
    T_OK(le(&m.index, row + 46 + 1 + 9 + 4, 8) == size + 30 + 3 + 29 + 24);
    buf_clear(&m.out);
    archive_end(&m.z, &m.out, m.index.n);
    T_INT(le(&m.out, 0, 4), 0x06064b50);
    T_INT(le(&m.out, 32, 8), 2);
    T_OK(le(&m.out, 48, 8) == m.z.at);
    T_INT(le(&m.out, 56, 4), 0x07064b50);
    T_OK(le(&m.out, 64, 8) == m.z.at + m.index.n);
    T_INT(le(&m.out, 76, 4), 0x06054b50);
    T_INT(le(&m.out, 92, 4), 0xffffffff);
    end(&m);
}

static unsigned sum_of(const char *h)
{
    unsigned sum = 0;

    for (int i = 0; i < 512; i++) {
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)h[i];
    }
    return sum;
}

TEST(a_tar_with_records_for_what_does_not_fit)
{
    char longest[121];
    struct archive_entry e = file("a.txt", 5), far, other = file("\xc3\xbc", 0);
    struct made m;

    memset(longest, 'n', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    far = file(longest, UINT64_C(1) << 34);
    begin(&m, ARCHIVE_TAR);
    archive_entry(&m.z, &m.out, &e);
    T_INT(m.out.n, 512);
    T_CSTR(m.out.p, "a.txt");
    T_CSTR(m.out.p + 124, "00000000005");
    T_CSTR(m.out.p + 136, "13727410000");
    T_INT(strtoul(m.out.p + 148, NULL, 8), sum_of(m.out.p));
    archive_bytes(&m.z, "hello", 5);
    buf_put_lit(&m.out, "hello");
    T_OK(archive_entry_end(&m.z, &m.out, &m.index));
    T_INT(m.out.n, 1024);
    buf_clear(&m.out);
    archive_entry(&m.z, &m.out, &far);
    T_INT(m.out.n, 512 * 3);
    T_INT(m.out.p[156], 'x');
    T_OK(str_starts(str_of(m.out.p + 512, 512), S("130 path=nnn")));
    T_OK(str_starts(str_of(m.out.p + 512 + 130, 512), S("20 size=17179869184\n")));
    buf_clear(&m.out);
    archive_entry(&m.z, &m.out, &other);
    T_OK(str_starts(str_of(m.out.p + 512, 512), S("11 path=\xc3\xbc\n")));
    buf_clear(&m.out);
    archive_end(&m.z, &m.out, 0);
    T_INT(m.out.n, 1024);
    end(&m);
}
