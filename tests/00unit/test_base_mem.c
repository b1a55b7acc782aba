/* The allocator's countdown, arenas, buffers and arrays: limits, exhaustion, nothing lost on failure. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "tap.h"

TEST(mem_countdown)
{
    void *p;

    mem_fail_after(2, true);
    p = mem_alloc(1);
    T_OK(p != NULL);
    T_OK(mem_alloc(1) == NULL);
    mem_free(p);
    p = mem_zalloc(3, 5);
    T_OK(p != NULL);
    T_INT(mem_call_n(), 3);
    mem_free(p);
    mem_fail_after(1, false);
    T_OK(mem_alloc(1) == NULL);
    T_OK(mem_zalloc(1, 1) == NULL);
    T_OK(mem_strdup("a") == NULL);
    T_OK(mem_realloc(NULL, 4) == NULL);
    mem_fail_never();
    T_OK(mem_zalloc(SIZE_MAX, 2) == NULL);
    p = mem_strdup("abc");
    T_CSTR(p, "abc");
    mem_free(p);
    mem_free(NULL);
}

TEST(mem_in_use_is_counted)
{
    enum { BIG = 1 << 20, SMALL = 100, MANY = 1000 };
    void *many[MANY], *p;
    int64_t before = mem_bytes();

    mem_peak_restart();
    p = mem_alloc(BIG);
    T_OK(p != NULL && mem_bytes() >= before + BIG && mem_bytes() < before + BIG + 65536);
    p = mem_realloc(p, 3 * BIG);
    T_OK(p != NULL && mem_bytes() >= before + 3 * BIG && mem_bytes() < before + 3 * BIG + 65536);
    p = mem_realloc(p, BIG);
    T_OK(p != NULL && mem_bytes() < before + BIG + 65536);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = mem_zalloc(1, SMALL);
    }
    T_OK(mem_bytes() >= before + BIG + MANY * SMALL);
    for (size_t i = 0; i < MANY; i++) {
        mem_free(many[i]);
    }
    mem_free(p);
    T_INT(mem_bytes(), before);
    T_OK(mem_peak_bytes() >= before + 3 * BIG && mem_peak_bytes() < before + 3 * BIG + 65536);
    mem_peak_restart();
    T_INT(mem_peak_bytes(), before);
    mem_fail_after(1, true);
    T_OK(mem_alloc(BIG) == NULL);
    mem_fail_never();
    T_INT(mem_bytes(), before);
}

TEST(arena_aligns_and_caps)
{
    struct arena *a = arena_new(100000);
    size_t got = 0;

    T_OK(a != NULL);
    for (size_t n = 0; n < 100; n++) {
        unsigned char *p = arena_alloc(a, n);

        T_OK(p != NULL && (uintptr_t)p % 16 == 0);
        memset(p, (int)n, n);
    }
    T_OK(arena_alloc(a, 100001) == NULL);
    T_OK(arena_alloc(a, SIZE_MAX) == NULL);
    T_OK(arena_zalloc(a, SIZE_MAX / 2, 3) == NULL);
    while (arena_alloc(a, 1000)) {
        got += 1000;
    }
    T_OK(got > 80000 && arena_bytes(a) <= 100000);
    T_OK(arena_alloc(a, 1000) == NULL);
    arena_reset(a);
    T_OK(arena_bytes(a) <= 4096);
    T_OK(arena_alloc(a, 90000) != NULL);
    arena_free(a);
    arena_free(NULL);
}

/* A large allocation in between does not waste the block in use, and a reset gives large blocks back. */
TEST(arena_large_blocks)
{
    struct arena *a = arena_new(100 << 20);
    char *first = arena_alloc(a, 100), *large, *second;

    large = arena_alloc(a, 5 << 20);
    second = arena_alloc(a, 100);
    T_OK(first && large && second);
    T_OK(second - first < 4096 && second > first);
    memset(large, 1, 5 << 20);
    for (int i = 0; i < 30; i++) {
        T_OK(arena_alloc(a, 60000) != NULL);
    }
    T_OK(arena_bytes(a) < 8 << 20);
    arena_reset(a);
    T_OK(arena_bytes(a) <= 65536);
    large = arena_alloc(a, 5 << 20);
    T_OK(large != NULL);
    arena_reset(a);
    T_OK(arena_bytes(a) <= 65536);
    arena_free(a);
    a = arena_new(100 << 20);
    T_OK(arena_alloc(a, 5 << 20) != NULL); /* the only block */
    T_OK(arena_alloc(a, 1) != NULL);
    arena_reset(a);
    T_OK(arena_bytes(a) <= 65536);
    arena_free(a);
}

/* The same work after a reset takes no more than one block, and from then on no allocation. */
TEST(arena_settles)
{
    struct arena *a = arena_new(1 << 20);
    int64_t before = 0;

    for (int round = 0; round < 4; round++) {
        if (round == 2) {
            mem_fail_after(1, false);
            before = mem_call_n();
        }
        for (int i = 0; i < 30; i++) {
            T_OK(arena_alloc(a, 500) != NULL);
        }
        arena_reset(a);
    }
    T_INT(mem_call_n(), before);
    mem_fail_never();
    T_OK(arena_bytes(a) >= 15000 && arena_bytes(a) <= 24 * 1024);
    arena_free(a);
}

TEST(arena_smallest_cap)
{
    struct arena *a = arena_new(16);

    T_OK(arena_alloc(a, 1) != NULL);
    T_OK(arena_alloc(a, 1) == NULL);
    arena_free(a);
    a = arena_new(0);
    T_OK(arena_alloc(a, 0) == NULL);
    arena_free(a);
}

TEST(arena_text)
{
    struct arena *a = arena_new(1 << 20);
    struct str s = arena_str(a, str_of("a\0b", 3));
    size_t cap = 0;
    int *items = NULL;

    T_STR(s, "a\0b");
    T_INT(s.p[3], 0);
    T_CSTR(arena_cstr(a, S("xyz")), "xyz");
    T_OK(arena_str(a, str_of(NULL, 0)).p != NULL);
    T_STR(arena_printf(a, "%d-%s", 7, "x"), "7-x");
    T_UINT(arena_printf(a, "%5000d", 1).n, 5000);
    for (int i = 0; i < 1000; i++) {
        T_OK(arena_grow(a, (void **)&items, (size_t)i, &cap, sizeof(*items)));
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++) {
        T_INT(items[i], i);
    }
    arena_free(a);
}

static int order[4], order_n;

static void note_cleanup(void *ctx)
{
    order[order_n++] = *(int *)ctx;
}

TEST(arena_cleanups_run_in_reverse)
{
    static int one = 1, two = 2, three = 3;
    struct arena *a = arena_new(1 << 20);

    T_OK(arena_cleanup(a, note_cleanup, &one));
    T_OK(arena_cleanup(a, note_cleanup, &two));
    arena_reset(a);
    T_INT(order_n, 2);
    T_INT(order[0], 2);
    T_INT(order[1], 1);
    T_OK(arena_cleanup(a, note_cleanup, &three));
    arena_free(a);
    T_INT(order_n, 3);
    T_INT(order[2], 3);
}

/* Every allocation fails once, in turn. */
TEST(arena_out_of_memory)
{
    bool done = false;

    for (int64_t n = 1; !done; n++) {
        struct arena *a;

        T_OK(n < 100);
        mem_fail_after(n, true);
        a = arena_new(1 << 20);
        done = a != NULL;
        for (int i = 0; a && i < 50; i++) {
            size_t before = arena_bytes(a);
            char *p = arena_alloc(a, 999);

            done = done && p != NULL;
            T_OK(p || arena_bytes(a) == before);
            if (p) {
                memset(p, i, 999);
            }
        }
        arena_free(a);
        T_OK(done == (mem_call_n() < n));
    }
    mem_fail_never();
}

TEST(buf_grows_to_its_maximum)
{
    struct buf b = BUF_INIT(1000);
    struct err err = ERR_INIT;
    size_t n;
    char *p;

    for (int i = 0; i < 1000; i++) {
        buf_put_u8(&b, (unsigned char)i);
    }
    T_ST(buf_status(&b, "body", &err), OK);
    T_UINT(b.n, 1000);
    T_OK(b.cap <= 1000);
    buf_put_u8(&b, 1);
    T_UINT(b.n, 1000);
    T_ST(buf_status(&b, "body", &err), ST_TOO_BIG);
    T_CSTR(err.message, "body exceeds 1000 bytes");
    buf_put_lit(&b, ""); /* sticky */
    T_ST(b.failed, ST_TOO_BIG);
    buf_clear(&b);
    T_ST(b.failed, OK);
    buf_put_lit(&b, "abc");
    p = buf_take(&b, &n);
    T_UINT(n, 3);
    T_MEM(p, "abc", 3);
    T_OK(b.p == NULL && b.max == 1000);
    mem_free(p);
    T_OK(!buf_reserve(&b, SIZE_MAX));
    buf_release(&b);
}

TEST(buf_printf_fills_exactly)
{
    struct buf b;

    buf_init(&b, 10);
    buf_printf(&b, "%s", "0123456789");
    T_STR(buf_str(&b), "0123456789");
    T_ST(b.failed, OK);
    buf_printf(&b, "%s", "");
    T_ST(b.failed, OK);
    buf_printf(&b, "x");
    T_ST(b.failed, ST_TOO_BIG);
    buf_release(&b);
    buf_init(&b, 3000);
    buf_printf(&b, "%3000d", 5);
    T_ST(b.failed, OK);
    T_UINT(b.n, 3000);
    buf_release(&b);
    buf_init(&b, 2999);
    buf_printf(&b, "%3000d", 5);
    T_ST(b.failed, ST_TOO_BIG);
    T_UINT(b.n, 0);
    buf_release(&b);
}

TEST(buf_numbers_round_trip)
{
    static const uint64_t values[] = { 0,     1,     127,        128,       300,
                                       16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX };
    struct buf b = BUF_INIT(4096);
    struct rd r;

    for (size_t i = 0; i < ARRAY_N(values); i++) {
        buf_put_varint(&b, values[i]);
        buf_put_zigzag(&b, (int64_t)values[i]);
        buf_put_u64(&b, values[i]);
        buf_put_u32(&b, (uint32_t)values[i]);
        buf_put_u16(&b, (uint16_t)values[i]);
        buf_put_u8(&b, (unsigned char)values[i]);
        buf_put_str(&b, S("xy"));
    }
    r = rd_of(b.p, b.n);
    for (size_t i = 0; i < ARRAY_N(values); i++) {
        T_UINT(rd_varint(&r), values[i]);
        T_INT(rd_zigzag(&r), (int64_t)values[i]);
        T_UINT(rd_u64(&r), values[i]);
        T_UINT(rd_u32(&r), (uint32_t)values[i]);
        T_UINT(rd_u16(&r), (uint16_t)values[i]);
        T_UINT(rd_u8(&r), (uint8_t)values[i]);
        T_STR(rd_bytes(&r, 2), "xy");
    }
    T_UINT(rd_left(&r), 0);
    T_OK(!r.bad);
    T_UINT(rd_u8(&r), 0);
    T_OK(r.bad);
    buf_release(&b);
}

TEST(rd_refuses)
{
    struct rd r = rd_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);

    T_UINT(rd_varint(&r), UINT64_MAX);
    T_OK(!r.bad);
    r = rd_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10); /* bit 64 */
    T_UINT(rd_varint(&r), 0);
    T_OK(r.bad);
    r = rd_of("\x80\x80", 2);
    T_UINT(rd_varint(&r), 0);
    T_OK(r.bad);
    r = rd_of("abc", 3);
    T_OK(rd_bytes(&r, UINT64_MAX).p == NULL);
    T_OK(r.bad);
    T_UINT(rd_u8(&r), 0); /* stays bad */
    r = rd_of("abc", 3);
    T_UINT(rd_u32(&r), 0);
    T_OK(r.bad);
    r = rd_of("", 0);
    T_UINT(rd_bytes(&r, 0).n, 0);
    T_OK(!r.bad);
}

TEST(buf_out_of_memory)
{
    bool done = false;

    for (int64_t n = 1; !done; n++) {
        struct buf b = BUF_INIT(100000);
        struct err err = ERR_INIT;

        T_OK(n < 100);
        mem_fail_after(n, true);
        for (int i = 0; i < 5000; i++) {
            buf_put_u32(&b, (uint32_t)i);
        }
        buf_printf(&b, "%600d", 1);
        done = b.failed == OK;
        T_ST(buf_status(&b, "text", &err), done ? OK : ST_NOMEM);
        T_OK(done == (mem_call_n() < n));
        buf_release(&b);
    }
    mem_fail_never();
}

TEST(vec_grows_to_its_maximum)
{
    VEC(int) v = VEC_INIT(100);

    for (int i = 0; i < 100; i++) {
        int *p = vec_add(&v);

        T_OK(p != NULL);
        *p = i;
    }
    T_OK(vec_add(&v) == NULL);
    for (int i = 0; i < 100; i++) {
        T_INT(v.p[i], i);
    }
    vec_clear(&v);
    T_OK(vec_add(&v) != NULL);
    vec_release(&v);
    T_OK(v.p == NULL && v.max == 100);
}

TEST(vec_out_of_memory)
{
    bool done = false;

    for (int64_t n = 1; !done; n++) {
        VEC(uint64_t) v = VEC_INIT(5000);

        T_OK(n < 100);
        done = true;
        mem_fail_after(n, true);
        for (uint64_t i = 0; i < 5000; i++) {
            uint64_t *p = vec_add(&v);

            if (p) {
                *p = i;
            } else {
                done = false;
                p = vec_add(&v); /* the failure cost nothing: it works again */
                T_OK(p != NULL);
                *p = i;
            }
        }
        for (uint64_t i = 0; i < 5000; i++) {
            T_UINT(v.p[i], i);
        }
        vec_release(&v);
    }
    mem_fail_never();
}
