/* Hashes against published test values, and their two implementations against each other. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tap.h"
#include <stdio.h>

TEST(crc32c_known_values)
{
    unsigned char b[32];

    T_UINT(crc32c(0, "", 0), 0);
    T_UINT(crc32c(0, "123456789", 9), 0xe3069283); /* the check value of the CRC catalogue */
    memset(b, 0, sizeof(b));                       /* RFC 3720 B.4 */
    T_UINT(crc32c(0, b, 32), 0x8a9136aa);
    memset(b, 0xff, sizeof(b));
    T_UINT(crc32c(0, b, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) {
        b[i] = (unsigned char)i;
    }
    T_UINT(crc32c(0, b, 32), 0x46dd794e);
}

TEST(crc32c_both_ways_and_in_parts)
{
    unsigned char b[300];

    for (int round = 0; round < 500; round++) {
        size_t from = t_rand_below(16), n = t_rand_below(sizeof(b) - 16), cut = t_rand_below(n + 1);
        uint32_t whole;

        for (size_t i = 0; i < sizeof(b); i++) {
            b[i] = (unsigned char)t_rand();
        }
        whole = crc32c(0, b + from, n);
        T_UINT(crc32c_portable(0, b + from, n), whole);
        T_UINT(crc32c(crc32c(0, b + from, cut), b + from + cut, n - cut), whole);
        T_UINT(crc32c_portable(crc32c(0, b + from, cut), b + from + cut, n - cut), whole);
    }
}

TEST(sha256_known_values)
{
    struct digest d;
    char hex[65];

    T_OK(sha256_of("", 0, &d));
    digest_hex(&d, hex);
    T_CSTR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    T_OK(sha256_of("abc", 3, &d)); /* FIPS 180-4 example */
    digest_hex(&d, hex);
    T_CSTR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(sha256_in_parts_and_restarted)
{
    static unsigned char b[5000];
    struct sha256 *s = sha256_new();

    T_OK(s != NULL);
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] = (unsigned char)t_rand();
    }
    for (int round = 0; round < 50; round++) {
        size_t n = t_rand_below(sizeof(b)), cut = t_rand_below(n + 1);
        struct digest whole, parts;

        T_OK(sha256_of(b, n, &whole));
        sha256_update(s, b, cut);
        sha256_update(s, NULL, 0);
        sha256_update(s, b + cut, n - cut);
        parts = sha256_end(s);
        T_OK(digest_eq(&whole, &parts));
        T_OK(sha256_restart(s));
    }
    sha256_free(s);
    sha256_free(NULL);
}

/* FIPS 180-4 examples; in two pieces. */
TEST(checksums)
{
    static const char sha1[] = "a9993e364706816aba3e25717850c26c9cd0d89d";
    static const char sha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    for (int kind = CHECKSUM_SHA1; kind <= CHECKSUM_SHA256; kind++) {
        struct checksum *c = checksum_new((enum checksum_kind)kind);
        unsigned char sum[CHECKSUM_MAX];
        char hex[2 * CHECKSUM_MAX + 1] = "";
        size_t n;

        T_OK(c != NULL);
        checksum_update(c, "a", 1);
        checksum_update(c, "", 0);
        checksum_update(c, "bc", 2);
        n = checksum_end(c, sum);
        checksum_free(c);
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
        }
        T_CSTR(hex, kind == CHECKSUM_SHA1 ? sha1 : sha256);
    }
    checksum_free(NULL);
}

#define HEX "00ff10ABcdefBA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410"

TEST(digest_text)
{
    char text[65];
    struct digest d, again;

    T_OK(digest_parse(S(HEX), &d));
    T_UINT(d.b[1], 0xff);
    T_UINT(d.b[3], 0xab);
    digest_hex(&d, text);
    T_OK(digest_parse(str_cstr(text), &again));
    T_OK(digest_eq(&d, &again));
    T_OK(!digest_parse(str_of(HEX, 63), &d));
    T_OK(!digest_parse(S(HEX "0"), &d));
    text[5] = 'g';
    T_OK(!digest_parse(str_of(text, 64), &d));
    text[5] = ':';
    T_OK(!digest_parse(str_of(text, 64), &d));
}

TEST(const_time_compare)
{
    T_OK(equal_const_time("abc", "abc", 3));
    T_OK(equal_const_time("abc", "abd", 2));
    T_OK(!equal_const_time("abc", "abd", 3));
    T_OK(!equal_const_time("bbc", "abc", 3));
    T_OK(equal_const_time("", "", 0));
}

TEST(table_hash_follows_its_seed)
{
    uint64_t a, b;

    T_OK(hash_bytes("x", 1) == hash_bytes("x", 1)); /* drawn once */
    hash_seed_set(1);
    a = hash_bytes("key", 3);
    hash_seed_set(2);
    b = hash_bytes("key", 3);
    T_OK(a != b);
    hash_seed_set(1);
    T_UINT(hash_bytes("key", 3), a);
    T_UINT(hash_bytes(NULL, 0), hash_bytes("", 0));
}

TEST(table_seed_is_reproducible_under_a_seeded_source)
{
    uint64_t first;

    rand_seed(7);
    first = hash_bytes("key", 3);
    rand_seed(7);
    hash_seed_set(rand_u64());
    T_UINT(hash_bytes("key", 3), first);
    rand_unseed();
}

/* Making a context fails cleanly for every allocation inside OpenSSL; using it needs none. */
TEST(sha256_out_of_memory)
{
    struct sha256 *s = NULL;
    struct digest d, want;

    T_OK(hash_setup());
    sha256_free(sha256_new()); /* OpenSSL sets itself up with the first one */
    T_OK(sha256_of("abc", 3, &want));
    mem_fail_after(1, false);
    T_OK(sha256_of("abc", 3, &d) && digest_eq(&d, &want)); /* needs none */
    for (int64_t n = 1; !s; n++) {
        T_OK(n < 20);
        mem_fail_after(n, true);
        s = sha256_new();
        T_OK((s != NULL) == (mem_call_n() < n));
    }
    mem_fail_after(1, false);
    sha256_update(s, "abc", 3);
    d = sha256_end(s);
    T_OK(digest_eq(&d, &want));
    T_OK(!sha256_restart(s));
    mem_fail_never();
    sha256_free(s);
}

/* Put aside after every number of bytes and taken up again, a hash is what it would have been. */
TEST(sha256_goes_on_later)
{
    unsigned char data[200], saved[SHA256_SAVED_MAX];
    struct digest want, d;

    T_OK(hash_setup());
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char)(i * 7);
    }
    T_OK(sha256_of(data, sizeof(data), &want));
    for (size_t at = 0; at <= sizeof(data); at++) {
        struct sha256 *s = sha256_resume(NULL, 0);
        size_t n;

        T_OK(s != NULL);
        sha256_update(s, data, at);
        n = sha256_save(s, saved);
        T_UINT(n, 40 + at % 64);
        sha256_free(s);
        s = sha256_resume(saved, n);
        T_OK(s != NULL);
        sha256_update(s, data + at, sizeof(data) - at);
        d = sha256_end(s);
        T_OK(digest_eq(&d, &want));
        sha256_free(s);
        T_OK(sha256_resume(saved, n - 1) == NULL); /* cut */
        T_OK(sha256_resume(saved, n + 1) == NULL);
    }
    mem_fail_after(1, true);
    T_OK(sha256_resume(NULL, 0) == NULL);
    mem_fail_never();
}

/* What `s` says in the end; it may not be used any more. */
static bool ends_as(struct sha256 *s, const struct digest *want)
{
    struct digest d = sha256_end(s);

    sha256_free(s);
    return digest_eq(&d, want);
}

/* Against OpenSSL alone, however the bytes are cut, and wherever the second hash begins. */
TEST(two_hashes_go_on_over_the_same_bytes)
{
    static unsigned char data[4096], copy[4096];
    struct digest want_a, want_b, d;
    uint64_t x = 11;

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char)((i * 167) ^ (i >> 5));
    }
    for (unsigned round = 0; round < 400; round++) {
        struct sha256 *a = sha256_resume(NULL, 0), *b = round % 7 ? sha256_resume(NULL, 0) : NULL;
        size_t from = round % 3 ? (round * 64) % 1024 : round % 200, n = sizeof(data) - round % 129;

        b = b ? b : sha256_new(); /* the other kind goes on, too */
        T_OK(a && b);
        memset(copy, 0, sizeof(copy));
        sha256_update(a, data, from);
        for (size_t at = from, k; at < n; at += k) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            k = MIN_OF((size_t)(x >> 33) % (round % 2 ? 150 : 1500), n - at);
            sha256_update_both(a, b, round % 5 ? copy + at : NULL, data + at, k);
            if (at == from) {
                T_OK(sha256_of(data, at + k, &want_a));
                d = sha256_so_far(a);
                T_OK(digest_eq(&d, &want_a));
            }
        }
        T_OK(sha256_of(data, n, &want_a) && sha256_of(data + from, n - from, &want_b));
        T_OK(ends_as(a, &want_a));
        T_OK(ends_as(b, &want_b));
        T_OK(round % 5 == 0 || memcmp(copy + from, data + from, n - from) == 0);
    }
}

/* The count of bits goes on into its second word. */
TEST(two_hashes_count_beyond_half_a_gigabyte)
{
    static unsigned char data[1000];
    unsigned char saved[SHA256_SAVED_MAX] = { 1, 2, 3 };
    struct sha256 *a, *b, *alone;
    struct digest want;

    memset(saved + 32, 0, 8);
    saved[36] = 0x1f; /* 0x1fffffc0 bytes, in whole blocks */
    saved[37] = saved[38] = 0xff;
    saved[39] = 0xc0;
    a = sha256_resume(saved, 40);
    b = sha256_resume(saved, 40);
    alone = sha256_resume(saved, 40);
    T_OK(a && b && alone);
    sha256_update_both(a, b, NULL, data, sizeof(data));
    sha256_update(alone, data, sizeof(data));
    want = sha256_end(alone);
    sha256_free(alone);
    T_OK(ends_as(a, &want));
    T_OK(ends_as(b, &want));
}

/* Beyond the words that a count of bits needs. */
TEST(sha256_goes_on_after_a_gigabyte)
{
    static char piece[1 << 20];
    unsigned char saved[SHA256_SAVED_MAX];
    struct sha256 *s = sha256_resume(NULL, 0), *t;
    struct digest a, b;
    size_t n;

    T_OK(s != NULL);
    for (int i = 0; i < 600; i++) {
        sha256_update(s, piece, sizeof(piece));
    }
    n = sha256_save(s, saved);
    t = sha256_resume(saved, n);
    T_OK(t != NULL);
    sha256_update(s, "x", 1);
    sha256_update(t, "x", 1);
    a = sha256_end(s);
    b = sha256_end(t);
    T_OK(digest_eq(&a, &b));
    sha256_free(s);
    sha256_free(t);
}
