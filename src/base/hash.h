/* base/hash.h - SHA-256 for identity, XXH3 for tables, CRC-32C for stored bodies.
 * Thread rule: functions are pure; a sha256 context belongs to one thread at a time. */
#ifndef CAIRN_BASE_HASH_H
#define CAIRN_BASE_HASH_H

#include "base/err.h"

/* First thing of a program: OpenSSL allocates through base/mem from now on, and what hashing needs of it is loaded, so
 * that later only contexts can run out of memory. False when OpenSSL cannot be used. */
bool hash_setup(void) ATTR_CHECK;

/* XXH3 with a secret seed drawn once per process: for in-memory tables only, never stored. */
uint64_t hash_bytes(const void *p, size_t n);
/* Replaces the seed, for reproducible simulation; before any map is filled. */
void hash_seed_set(uint64_t seed);

/* CRC-32C (Castagnoli), chainable: start with crc = 0. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same by tables, on any processor. crc32c() picks between this and the processor's instruction. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

struct digest {
    unsigned char b[32];
};

struct sha256;                   /* opaque; foreign context inside */
struct sha256 *sha256_new(void); /* NULL when memory is out */
void sha256_update(struct sha256 *s, const void *p, size_t n);
struct digest sha256_end(struct sha256 *s); /* the context may then be freed or restarted */
/* False when memory is out: the context can then only be freed. */
bool sha256_restart(struct sha256 *s) ATTR_CHECK;
void sha256_free(struct sha256 *s); /* NULL-safe */
/* A hash that can be put aside and taken up again, by another process too: from what sha256_save() gave, or, with n = 0, from the
 * beginning. NULL when memory is out or p is not such a text. */
enum { SHA256_SAVED_MAX = 32 + 8 + 63 };
struct sha256 *sha256_resume(const void *p, size_t n);
/* Of a hash that sha256_resume() made and that has not ended; the length of the text. */
size_t sha256_save(const struct sha256 *s, unsigned char out[SHA256_SAVED_MAX]);
/* The digest of what came so far, of such a hash; it goes on. */
struct digest sha256_so_far(const struct sha256 *s);
/* Two such hashes go on over the same bytes, which are copied to `copy` as well unless it is NULL. Where the processor can, that takes
 * one pass and as long as one of them alone. */
void sha256_update_both(struct sha256 *a, struct sha256 *b, void *copy, const void *p, size_t n);
/* False when memory is out. */
bool sha256_of(const void *p, size_t n, struct digest *out);

/* What a sender says of the bytes it sends, in an algorithm of its choice: against damage on the way, never for identity. */
enum checksum_kind { CHECKSUM_SHA1, CHECKSUM_SHA256 };
enum { CHECKSUM_MAX = 32 };
struct checksum;
struct checksum *checksum_new(enum checksum_kind kind); /* NULL when memory is out */
void checksum_update(struct checksum *c, const void *p, size_t n);
/* The length of the sum. It can only be freed then. */
size_t checksum_end(struct checksum *c, unsigned char out[CHECKSUM_MAX]);
void checksum_free(struct checksum *c); /* NULL-safe */

/* HMAC-SHA256 (RFC 2104). False when memory is out. */
bool hmac_sha256(const void *key, size_t key_n, const void *p, size_t n,
                 struct digest *out) ATTR_CHECK;

/* 64 lower-case digits and a NUL. */
void digest_hex(const struct digest *d, char out[65]);
/* False if s is not 64 hex digits. */
bool digest_parse(struct str s, struct digest *out);
static inline bool digest_eq(const struct digest *a, const struct digest *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}
/* Equal, in time that does not depend on where they differ. */
bool equal_const_time(const void *a, const void *b, size_t n);

#endif
