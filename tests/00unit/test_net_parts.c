/* tests/00unit/test_net_parts.c - small parts of net alone: globs, guard, codings, counters, loops. */
#include "base/clock.h"
#include "base/mem.h"
#include "net/coding.h"
#include "net/guard.h"
#include "net/metrics.h"
#include "tap.h"

TEST(net_glob)
{
    T_OK(http_glob(S(""), S("")));
    T_OK(http_glob(S("*"), S("")));
    T_OK(http_glob(S("a*c"), S("abbc")));
    T_OK(http_glob(S("*.example.org"), S("a.b.example.org")));
    T_OK(http_glob(S("a**b*"), S("ab")));
    T_OK(!http_glob(S("a*c"), S("abbd")));
    T_OK(!http_glob(S("a"), S("ab")));
    T_OK(!http_glob(S(""), S("a")));
    /* No exponential time. */
    T_OK(!http_glob(S("*a*a*a*a*a*a*a*a*a*a*b"),
                    S("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

TEST(net_guard_prefix)
{
    const struct http_guard g = { .prefix = "/mlflow" };
    const struct http_guard off = { .off = true };

    T_OK(http_guard_is_api(&g, S("/mlflow/api/2.0/x")));
    T_OK(http_guard_is_api(&g, S("/ajax-api/2.0/x")));
    T_OK(!http_guard_is_api(&g, S("/mlflow/apix")));
    T_INT(http_guard_check(&off, HTTP_POST, S("/x"), S("evil"), S("http://evil2")), GUARD_PASS);
    T_INT(http_guard_check(&g, HTTP_POST, S("/x"), S("localhost"), S("http://evil2")),
          GUARD_ORIGIN);
    T_INT(http_guard_check(&g, HTTP_POST, S("/health"), S("evil"), (struct str){ NULL, 0 }),
          GUARD_PASS);
}

TEST(net_coding_choice)
{
    T_INT(coding_choose(S("")), CODING_IDENTITY);
    T_INT(coding_choose(S("gzip")), CODING_GZIP);
    T_INT(coding_choose(S("GZIP ; q=0.5, zstd;q=1")), CODING_ZSTD);
    T_INT(coding_choose(S("zstd;q=0, gzip")), CODING_GZIP);
    T_INT(coding_choose(S("zstd;q=0.000, br")), CODING_IDENTITY);
    T_INT(coding_choose(S("zstd;q=0.001")), CODING_ZSTD);
    T_INT(coding_parse(S(" GZip ")), CODING_GZIP);
    T_INT(coding_parse(S("x-gzip")), CODING_GZIP);
    T_INT(coding_parse(S("deflate")), CODING_DEFLATE);
    T_INT(coding_parse(S("gzip, gzip")), CODING_UNKNOWN);
    T_OK(coding_worthwhile(S("application/json; charset=utf-8")));
    T_OK(coding_worthwhile(S("text/html")));
    T_OK(coding_worthwhile(S("application/problem+json")));
    T_OK(!coding_worthwhile(S("image/png")));
    T_OK(!coding_worthwhile(S("text/event-stream")));
    T_OK(!coding_worthwhile(S("")));
}

/* Whatever goes in comes out, whatever the sizes of the pieces. */
TEST(net_coding_round_trip)
{
    for (int i = 0; i < 60; i++) {
        enum coding c = i % 2 ? CODING_GZIP : CODING_ZSTD;
        size_t n = t_rand_below(200000), at = 0, got;
        char *p = mem_alloc(n + 1), *out = mem_alloc(n + 1);
        struct buf packed = BUF_INIT(1 << 20);
        struct decoder *d = NULL;
        struct str in;

        for (size_t k = 0; k < n; k++) {
            p[k] = (char)t_rand_below(4);
        }
        T_ST(coding_compress(c, str_of(p, n), &packed, NULL), OK);
        T_ST(decoder_new(&d, c), OK);
        for (size_t k = 0; k < packed.n;) {
            size_t step = 1 + t_rand_below(1000);

            step = MIN_OF(step, packed.n - k);

            in = str_of(packed.p + k, step);
            k += step;
            do {
                T_ST(decoder_run(d, &in, out + at, MIN_OF(1 + t_rand_below(5000), n + 1 - at), &got,
                                 NULL),
                     OK);
                at += got;
            } while (got > 0 || in.n > 0);
        }
        T_OK(decoder_complete(d));
        T_UINT(at, n);
        T_MEM(out, p, n);
        decoder_free(d);
        buf_release(&packed);
        mem_free(p);
        mem_free(out);
    }
}

/* Two gzip members are one body. */
TEST(net_coding_members)
{
    struct buf packed = BUF_INIT(1 << 20);
    struct decoder *d = NULL;
    char out[64];
    size_t n = 0, got;
    struct str in;

    T_ST(coding_compress(CODING_GZIP, S("hello "), &packed, NULL), OK);
    T_ST(coding_compress(CODING_GZIP, S("world"), &packed, NULL), OK);
    T_ST(decoder_new(&d, CODING_GZIP), OK);
    in = buf_str(&packed);
    do {
        T_ST(decoder_run(d, &in, out + n, sizeof(out) - n, &got, NULL), OK);
        n += got;
    } while (got > 0 || in.n > 0);
    T_OK(decoder_complete(d));
    T_STR(str_of(out, n), "hello world");
    decoder_free(d);
    buf_release(&packed);
}

TEST(net_metrics_buckets)
{
    struct net_metrics m = { 0 };
    struct net_figures f = { 0 };

    net_metrics_answer(&m, 200, 1000);              /* 1 us */
    net_metrics_answer(&m, 200, 64 * 1000);         /* exactly the first bound */
    net_metrics_answer(&m, 404, 65 * 1000);         /* the second bucket */
    net_metrics_answer(&m, 0, 3600ll * 1000000000); /* an hour */
    net_count(&m.accepted, 3);
    net_count(&m.closed, 1);
    net_figures_add(&f, &m);
    net_figures_add(&f, &m);
    T_UINT(f.requests[2], 4);
    T_UINT(f.requests[4], 2);
    T_UINT(f.requests[0], 2);
    T_UINT(f.latency[0], 4);
    T_UINT(f.latency[1], 2);
    T_UINT(f.latency[NET_BUCKET_N - 1], 2);
    T_UINT(f.open, 4);
    T_UINT(net_bucket_us(0), 64);
    T_UINT(net_bucket_us(NET_BUCKET_N - 1), UINT64_MAX);
}

struct ping {
    struct loop_task task;
    struct loop *loop;
    struct exec_event *done;
    int n, last;
    bool on_loop;
};

static void pinged(struct loop_task *t)
{
    struct ping *p = CONTAINER_OF(t, struct ping, task);

    p->on_loop = loop_is_current(p->loop) && loop_is_any();
    if (++p->n < p->last) {
        loop_post(p->loop, &p->task); /* from the loop itself */
    } else {
        exec_event_set(p->done);
    }
}

TEST(net_loop_posts)
{
    struct ping p = { .task.fn = pinged, .done = exec_event_new(), .last = 1000 };

    net_init();
    T_ST(loop_new(&p.loop, 3, NULL), OK);
    T_OK(!loop_is_current(p.loop) && !loop_is_any());
    T_UINT(loop_index(p.loop), 3);
    loop_post(p.loop, &p.task);
    T_OK(exec_event_wait(p.done, 10000));
    T_INT(p.n, 1000);
    T_OK(p.on_loop);
    loop_free(p.loop);
    exec_event_free(p.done);
}

/* A turn that comes back: at once, and later; and what it posts to its own loop meanwhile. */
struct turns {
    struct loop_task begin, mail;
    struct loop_turn turn;
    struct loop *loop;
    struct exec_event *done;
    int n, mails;
};

static void turn_mail(struct loop_task *t)
{
    CONTAINER_OF(t, struct turns, mail)->mails++;
}

static void turn_run(struct loop_turn *t)
{
    struct turns *all = CONTAINER_OF(t, struct turns, turn);

    int64_t until = clock_mono_ns() + 2000000;

    if (all->mails != all->n) return; /* it was not handled in the turn that posted it */
    while (all->n % 10 == 9 && clock_mono_ns() < until) {
        /* so long that the millisecond is over before the loop polls */
    }
    loop_post(all->loop, &all->mail);
    if (++all->n == 100) {
        exec_event_set(all->done);
    } else {
        loop_turn_again(all->loop, t, all->n % 10 == 0);
    }
}

static void turn_begin(struct loop_task *t)
{
    struct turns *all = CONTAINER_OF(t, struct turns, begin);

    loop_turn_end(all->loop, &all->turn);
    loop_turn_end(all->loop, &all->turn); /* once, however often */
}

TEST_LIMIT(net_loop_turns, 120)
{
    struct turns all = {
        .begin.fn = turn_begin, .mail.fn = turn_mail, .turn.fn = turn_run, .done = exec_event_new()
    };

    net_init();
    T_ST(loop_new(&all.loop, 0, NULL), OK);
    loop_post(all.loop, &all.begin);
    T_OK(exec_event_wait(all.done, 100000));
    loop_free(all.loop);
    T_INT(all.n, 100);
    T_INT(all.mails, 100);
    exec_event_free(all.done);
}

struct alarm {
    struct loop_task task;
    struct loop *loop;
    struct loop_timer timer;
    struct exec_event *done;
    int64_t begin, fired;
};

static void alarm_closed(struct loop_timer *t)
{
    exec_event_set(CONTAINER_OF(t, struct alarm, timer)->done);
}

static void alarm_rings(struct loop_timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

    a->fired = clock_mono_ms();
    loop_timer_close(t, alarm_closed);
}

static void alarm_set(struct loop_task *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, task);

    T_ST(loop_timer_init(a->loop, &a->timer, alarm_rings), OK);
    a->begin = loop_now_ms(a->loop); /* the time that timers go by */
    loop_timer_set(&a->timer, 10);
    loop_timer_off(&a->timer);
    loop_timer_set(&a->timer, 5000);
    loop_timer_set(&a->timer, 100); /* earlier again */
    loop_timer_set(&a->timer, 150); /* later */
}

TEST(net_loop_timer)
{
    struct alarm a = { .task.fn = alarm_set, .done = exec_event_new() };

    net_init();
    T_ST(loop_new(&a.loop, 0, NULL), OK);
    loop_post(a.loop, &a.task);
    T_OK(exec_event_wait(a.done, 10000));
    T_OK(a.fired - a.begin >= 149);
    T_OK(a.fired - a.begin < 4000);
    loop_free(a.loop);
    exec_event_free(a.done);
}
