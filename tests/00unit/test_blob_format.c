/* Cuts and ids of chunks, packfiles and recipes as bytes: known answers, what was written is read again, and damage is found. */
#include "tap.h"

#include "base/arena.h"
#include "base/blake3.h"
#include "base/mem.h"
#include "store/blob/blob.h"
#include "store/blob/cdc.h"
#include "store/blob/delta.h"
#include "store/blob/packfile.h"
#include "store/blob/recipe.h"

static void check_hex(const struct digest *d, const char *want)
{
    char hex[65];

    digest_hex(d, hex);
    T_OK(str_eq(str_cstr(hex), str_cstr(want)));
}

static unsigned char *random_bytes(size_t n)
{
    unsigned char *p = mem_alloc(n + 8);

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = t_rand();

        memcpy(p + i, &v, sizeof(v));
    }
    return p;
}

/* ---- hashes -------------------------------------------------------------------------------------------------------------------- */

TEST(blake3_known_answers)
{
    struct digest d = blake3(NULL, "", 0);

    check_hex(&d, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    d = cdc_id("Hello World!", 12);
    check_hex(&d, "a29cfb08e608d4d8726dd8659a90b9134b3240d5d8e42d5fcb28e2a6e763a3e8");
}

/* Lanes and single blocks agree at every shape of the tree. */
TEST(blake3_lanes_agree)
{
    static const size_t sizes[] = { 1,     63,     64,     65,     1023,  1024,  1025,
                                    2048,  2049,   3072,   4096,   5000,  8191,  8192,
                                    8193,  16384,  16385,  17408,  31744, 33000, 65536,
                                    65537, 131071, 131072, 131073, 300001 };
    unsigned char *p = random_bytes(300001), key[BLAKE3_KEY_BYTES];

    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (unsigned char)t_rand();
    }
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct digest a = blake3(NULL, p, sizes[i]), b = blake3_portable(NULL, p, sizes[i]);
        struct digest c = blake3(key, p, sizes[i]), d = blake3_portable(key, p, sizes[i]);

        T_OK(digest_eq(&a, &b));
        T_OK(digest_eq(&c, &d));
        T_OK(!digest_eq(&a, &c));
    }
    mem_free(p);
}

/* ---- cuts ----------------------------------------------------------------------------------------------------------------------- */

TEST(cuts_known_answers)
{
    static const size_t ends[] = { 84493,  134421, 144853, 243318, 271793, 336457, 467529,
                                   494581, 582000, 596735, 616815, 653164, 678202, 724510,
                                   815591, 827760, 958832, 991092, 1000000 };
    size_t n = 1000000, at = 0;
    unsigned char *p = mem_alloc(n);
    uint64_t state = 0;
    struct digest d;

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t z = state += 0x9E3779B97F4A7C15u;

        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        for (size_t k = 0; k < 8; k++) {
            p[i + k] = (unsigned char)(z >> (8 * k));
        }
    }
    T_OK(sha256_of(p, n, &d));
    check_hex(&d, "b3d0a1f7938cd4d8413a4dcffd4313e2e8ac0cb61cb1090eb140ea8e9154befb");
    for (size_t i = 0; i < ARRAY_N(ends); i++) {
        size_t k = cdc_cut(p + at, n - at);

        d = cdc_id(p + at, k);
        if (i == 0)
            check_hex(&d, "cc08afad7d1eca6e070f808c312dd8a562e8a715c1ceddc28d4bb90596dd5e7e");
        at += k;
        T_UINT(at, ends[i]);
    }
    check_hex(&d, "9e2688a0f5b5e503faeb4de0f129b3c403cffac0b954cbc4e2e74b050f8e7e8f");
    /* Nothing to cut at. */
    memset(p, 59, n);
    for (at = 0; at < n; at += CDC_MAX) {
        T_UINT(cdc_cut(p + at, n - at), MIN_OF((size_t)CDC_MAX, n - at));
    }
    mem_free(p);
}

/* After an edit the cuts fall in with those of before. */
TEST(cuts_fall_in_after_an_edit)
{
    size_t n = 2000000, edit = 300000, common = 0;
    unsigned char *a = random_bytes(n), *b = mem_alloc(n + 8);
    size_t cuts_a[512], cuts_b[512], n_a = 0, n_b = 0;

    T_OK(b != NULL);
    memcpy(b, a, edit);
    memcpy(b + edit, "inserted", 8);
    memcpy(b + edit + 8, a + edit, n - edit);
    for (size_t at = 0; at < n && n_a < 512;) {
        at += cdc_cut(a + at, n - at);
        cuts_a[n_a++] = at;
    }
    for (size_t at = 0; at < n + 8 && n_b < 512;) {
        at += cdc_cut(b + at, n + 8 - at);
        cuts_b[n_b++] = at;
    }
    T_UINT(cuts_a[n_a - 1], n);
    T_UINT(cuts_b[n_b - 1], n + 8);
    for (size_t i = 0, k = 0; i < n_a; i++) {
        while (k < n_b && cuts_b[k] < cuts_a[i] + 8) {
            k++;
        }
        common += k < n_b && cuts_a[i] > edit && cuts_b[k] == cuts_a[i] + 8;
    }
    T_OK(common > n_a / 2);
    mem_free(a);
    mem_free(b);
}

/* ---- chunks and packs ------------------------------------------------------------------------------------------------------------ */

enum { CHUNKS = 12 };

static size_t fill_chunk(unsigned char *p, size_t i)
{
    size_t n = 1 + t_rand() % CDC_MAX;

    for (size_t k = 0; k < n; k++) {
        uint64_t v = t_rand();

        switch (i % 4) {
        case 0: p[k] = (unsigned char)v; break;                         /* noise */
        case 1: p[k] = (unsigned char)("metric,step\n"[k % 12]); break; /* text */
        case 2: p[k] = (unsigned char)(k % 4 == 3 ? 0x3f : v); break;   /* floats of one scale */
        default: p[k] = (unsigned char)(k % 2 ? 0x3f : v); break;
        }
    }
    return n;
}

TEST(a_pack_is_read_again)
{
    unsigned char *raw = mem_alloc((size_t)CHUNKS * CDC_MAX), *got = mem_alloc(2 * (size_t)CDC_MAX);
    struct packfile_chunk chunks[CHUNKS];
    struct packfile_coder coder = { .zip = { NULL } };
    struct buf file = BUF_INIT(8 << 20);
    unsigned char head[PACKFILE_HEAD_BYTES];
    struct packfile *p = NULL;
    struct err err = ERR_INIT;
    size_t foot = 0;
    bool seen[4] = { false };

    T_OK(raw && got);
    packfile_head(77, head);
    buf_put(&file, head, sizeof(head));
    for (size_t i = 0; i < CHUNKS; i++) {
        unsigned char *at = raw + i * CDC_MAX;
        size_t n = fill_chunk(at, i);
        struct str stored;

        T_ST_ERR(packfile_encode(&coder, at, n, &stored, &chunks[i].codec, &err), OK, &err);
        T_OK(stored.n <= n);
        chunks[i].id = cdc_id(at, n);
        chunks[i].raw = (uint32_t)n;
        chunks[i].stored = (uint32_t)stored.n;
        seen[chunks[i].codec] = true;
        buf_put_str(&file, stored);
    }
    T_OK(seen[PACKFILE_RAW] && seen[PACKFILE_ZSTD] && seen[PACKFILE_ZSTD_4]);
    packfile_put_foot(&file, 77, chunks, CHUNKS);
    T_ST(file.failed, OK);
    T_ST_ERR(packfile_foot_bytes((unsigned char *)file.p + file.n - PACKFILE_TAIL_BYTES, file.n,
                                 &foot, &err),
             OK, &err);
    T_ST_ERR(packfile_parse(str_of(file.p + file.n - foot, foot), 77, file.n, &p, &err), OK, &err);
    T_UINT(p->n, CHUNKS);
    for (size_t i = 0; i < CHUNKS; i++) {
        const struct packfile_chunk *c = &p->chunks[i];
        char *stored = file.p + c->offset;

        T_ST_ERR(packfile_decode(c, stored, got, got + CDC_MAX, &err), OK, &err);
        T_MEM(got, raw + i * CDC_MAX, c->raw);
        /* One bit makes it another. */
        stored[t_rand() % c->stored] ^= (char)(1 << t_rand() % 8);
        T_ST(packfile_decode(c, stored, got, got + CDC_MAX, &err), ST_CORRUPT);
    }
    mem_free(p);
    /* Any byte of the footer and of the tail counts; another name and another size too. */
    T_ST(packfile_parse(str_of(file.p + file.n - foot, foot), 78, file.n, &p, &err), ST_CORRUPT);
    T_ST(packfile_parse(str_of(file.p + file.n - foot, foot), 77, file.n + 1, &p, &err),
         ST_CORRUPT);
    for (size_t i = 0; i < foot; i++) {
        char *at = file.p + file.n - foot + i;

        *at ^= 4;
        T_ST(packfile_parse(str_of(file.p + file.n - foot, foot), 77, file.n, &p, &err),
             ST_CORRUPT);
        *at ^= 4;
    }
    packfile_coder_release(&coder);
    buf_release(&file);
    mem_free(raw);
    mem_free(got);
}

/* ---- differences ------------------------------------------------------------------------------------------------------------------- */

static void check_delta(const void *from, const void *to, const void *want, size_t n,
                        unsigned width)
{
    unsigned char d[8], p[8];

    delta_make(d, from, to, n, width);
    T_MEM(d, want, n);
    memcpy(p, from, n);
    delta_apply(p, d, n, width);
    T_MEM(p, to, n);
}

TEST(differences_known_answers)
{
    /* 1.0 to the next float32, and back; 0.0 to -0.0 is one step in the order of the numbers; a byte that is left is XORed */
    check_delta("\x00\x00\x80\x3f", "\x01\x00\x80\x3f", "\x02\x00\x00\x00", 4, 4);
    check_delta("\x01\x00\x80\x3f\x0f", "\x00\x00\x80\x3f\xf1", "\x01\x00\x00\x00\xfe", 5, 4);
    check_delta("\x00\x00\x00\x00", "\x00\x00\x00\x80", "\x01\x00\x00\x00", 4, 4);
    check_delta("\x80\x3f\x00\x00", "\x7f\x3f\x00\x80", "\x01\x00\x01\x00", 4, 2);
    check_delta("\x80\x3f\x00", "\x82\x3f\x07", "\x04\x00\x07", 3, 2);
}

TEST(differences_lead_back)
{
    unsigned char a[64], b[64], d[64], p[64];

    for (unsigned i = 0; i < 20000; i++) {
        unsigned width = i % 2 ? 4 : 2;
        size_t n = t_rand() % (sizeof(a) + 1);

        for (size_t k = 0; k < sizeof(a); k++) {
            a[k] = (unsigned char)t_rand();
            b[k] = t_rand() % 3 ? (unsigned char)t_rand() : a[k];
        }
        delta_make(d, a, b, n, width);
        memcpy(p, a, n);
        delta_apply(p, d, n, width);
        T_MEM(p, b, n);
    }
}

/* ---- recipes ------------------------------------------------------------------------------------------------------------------------ */

TEST(a_recipe_is_read_again)
{
    struct recipe_pack packs[] = { { 1, 100 }, { UINT64_MAX >> 1, 64 << 20 } };
    struct recipe_extent extents[] = {
        { .pack = 1, .chunks = 3, .raw = 200000 },
        { .first = 16383, .chunks = 1, .raw = 1 },
        { .pack = 1, .first = 7, .chunks = UINT32_MAX, .raw = (uint64_t)1 << 40 }
    };
    struct recipe r = { .packs = packs, .packs_n = 2, .extents = extents, .extents_n = 3 }, got;
    uint64_t size = 200001 + ((uint64_t)1 << 40);
    struct arena *a = arena_new(1 << 20);
    struct buf b = BUF_INIT(1024);
    struct err err = ERR_INIT;

    T_OK(a != NULL);
    recipe_put(&b, &r);
    T_ST(b.failed, OK);
    T_ST_ERR(recipe_parse(a, buf_str(&b), size, &got, &err), OK, &err);
    T_OK(!got.is_whole);
    T_UINT(got.packs_n, 2);
    T_UINT(got.extents_n, 3);
    for (size_t i = 0; i < 3; i++) {
        T_UINT(got.extents[i].pack, extents[i].pack);
        T_UINT(got.extents[i].first, extents[i].first);
        T_UINT(got.extents[i].chunks, extents[i].chunks);
        T_UINT(got.extents[i].raw, extents[i].raw);
    }
    T_UINT(got.packs[1].id, packs[1].id);
    T_UINT(got.packs[1].bytes, packs[1].bytes);
    T_ST(recipe_parse(a, buf_str(&b), size + 1, &got, &err), ST_CORRUPT);
    for (size_t n = 0; n < b.n; n++) {
        T_ST(recipe_parse(a, str_of(b.p, n), size, &got, &err), ST_CORRUPT);
    }
    buf_put_u8(&b, 0);
    T_ST(recipe_parse(a, buf_str(&b), size, &got, &err), ST_CORRUPT);
    buf_release(&b);
    arena_free(a);
}

static void parse_is(const struct recipe *r, uint64_t size, enum status want)
{
    struct arena *a = arena_new(1 << 20);
    struct buf b = BUF_INIT(1024);
    struct err err = ERR_INIT;
    struct recipe got;

    T_OK(a != NULL);
    recipe_put(&b, r);
    T_ST(b.failed, OK);
    T_ST(recipe_parse(a, buf_str(&b), size, &got, &err), want);
    for (size_t n = 0; want == OK && n < b.n; n++) {
        T_ST(recipe_parse(a, str_of(b.p, n), size, &got, &err), ST_CORRUPT);
    }
    buf_release(&b);
    arena_free(a);
}

/* Differences: every number that could lead a reader astray is refused. */
TEST(recipes_with_differences)
{
    struct recipe_pack packs[] = { { 1, 100 }, { 2, 100 } };
    struct recipe_run under[RECIPE_STEPS_MAX + 1] = {
        { .pack = 1, .first = 9, .chunks = 2, .skip = 131071 },
        { .pack = 0, .first = UINT32_MAX, .chunks = UINT32_MAX, .width = 2 },
        { .pack = 0, .chunks = 1, .width = 4 },
        { .pack = 1, .chunks = 1, .width = 4 },
        { .pack = 1, .chunks = 1, .width = 4 },
    };
    struct recipe_extent extents[] = {
        { .pack = 0, .first = 3, .chunks = 1, .raw = 8 },
        { .pack = 1,
          .first = 0,
          .chunks = 3,
          .raw = 1001,
          .width = 4,
          .under = under,
          .under_n = 4 },
    };
    struct recipe_extent *e = &extents[1];
    struct recipe r = { .packs = packs, .packs_n = 2, .extents = extents, .extents_n = 2 };

    parse_is(&r, 1009, OK);
    e->under_n = 1;
    parse_is(&r, 1009, OK);
    e->under_n = 0; /* nothing to differ from */
    parse_is(&r, 1009, ST_CORRUPT);
    e->under_n = RECIPE_STEPS_MAX + 1; /* too many steps */
    parse_is(&r, 1009, ST_CORRUPT);
    e->under_n = 2;
    under[1].width = 0; /* bytes on bytes */
    parse_is(&r, 1009, ST_CORRUPT);
    under[1].width = 3;
    parse_is(&r, 1009, ST_CORRUPT);
    under[1].width = 2;
    under[0].width = 2; /* differences from nothing */
    parse_is(&r, 1009, ST_CORRUPT);
    under[0].width = 0;
    under[1].pack = 2; /* no such pack */
    parse_is(&r, 1009, ST_CORRUPT);
    under[1].pack = 0;
    under[0].chunks = 0;
    parse_is(&r, 1009, ST_CORRUPT);
    under[0].chunks = 1;
    under[0].skip = UINT32_MAX;
    parse_is(&r, 1009, ST_CORRUPT);
    under[0].skip = 0;
    e->width = 8;
    parse_is(&r, 1009, ST_CORRUPT);
    e->width = 2;
    parse_is(&r, 1009, OK);
    extents[0].raw = 9; /* numbers begin at multiples of four */
    parse_is(&r, 1010, ST_CORRUPT);
    extents[0] = *e; /* and only the end of the object may be odd */
    extents[1] = (struct recipe_extent){ .chunks = 1, .raw = 8 };
    parse_is(&r, 1009, ST_CORRUPT);
    extents[0].raw = 1004;
    parse_is(&r, 1012, OK);
    extents[0].raw = UINT64_MAX - 3;
    parse_is(&r, 4, ST_CORRUPT);
}

TEST(recipes_of_other_versions)
{
    static const unsigned char later[] = { 2, 0, 1, 4, 1, 0 };
    unsigned char whole[BLOB_RECIPE_WHOLE_BYTES];
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct recipe got;

    T_OK(a != NULL);
    blob_recipe_whole(whole);
    T_ST_ERR(recipe_parse(a, str_of(whole, sizeof(whole)), 5, &got, &err), OK, &err);
    T_OK(got.is_whole);
    T_ST(recipe_parse(a, str_of(later, sizeof(later)), 0, &got, &err), ST_NOT_IMPLEMENTED);
    T_ST(recipe_parse(a, S("\003\001\002"), 0, &got, &err), ST_CORRUPT);
    T_ST(recipe_parse(a, S(""), 0, &got, &err), ST_CORRUPT);
    T_ST(recipe_parse(a, (struct str){ NULL, 0 }, 0, &got, &err), ST_CORRUPT);
    arena_free(a);
}
