/* tests/10module/test_grpc_streams.c - calls of gRPC whose messages come one by one, over loopback: the server's turns and the client
 * of net/client, in all four shapes, with deadlines, cancellation, back-pressure both ways, a drain and memory that runs out. */
#include "base/mem.h"
#include "base/sock.h"
#include "base/sys.h"
#include "net/client/grpc.h"
#include "net/grpc_call.h"
#include "net/server.h"
#include "tap.h"
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ACTION_TEST = 1, MAX_MESSAGE = 4 << 20, WAIT_MS = 30000 };

/* ---- a service ------------------------------------------------------------------------------------------------------------- */

struct side {
    struct http_server *server;
    struct router *router;
    struct exec_pool *pool;
    struct exec_event *held, *stopped; /* a turn of Hold has begun, was told to stop */
    struct exec_event *gone;           /* a call of News is over */
    struct grpc_waker *waker;          /* of News */
    char address[64];
};

static struct side the;
static atomic_int stop_why;
static atomic_uint_fast64_t said, heard, news, pushed;

struct talk {
    struct grpc_call call;
    struct exec_job job;
    uint64_t n, bytes, want;
    struct str message;
};

static struct talk *talk_of(struct grpc_call *c)
{
    return CONTAINER_OF(c, struct talk, call);
}

static void end_rest(struct grpc_call *c)
{
    grpc_call_end(c, OK, NULL);
}

static void chat_message(struct grpc_call *c, struct str message)
{
    atomic_fetch_add(&heard, 1);
    grpc_call_say(c, message);
    grpc_call_next(c);
}

static void pool_run(struct exec_job *job, unsigned worker)
{
    struct talk *t = CONTAINER_OF(job, struct talk, job);

    (void)worker;
    grpc_call_say(&t->call, t->message);
    if (str_eq_lit(t->message, "enough")) {
        grpc_call_end(&t->call, OK, NULL);
    } else {
        grpc_call_next(&t->call);
    }
}

static void pool_message(struct grpc_call *c, struct str message)
{
    struct talk *t = talk_of(c);

    t->message = message;
    t->job.run = pool_run;
    T_ST(exec_pool_submit(the.pool, &t->job), OK);
}

static void sum_message(struct grpc_call *c, struct str message)
{
    struct talk *t = talk_of(c);

    t->n++;
    t->bytes += message.n;
    grpc_call_next(c);
}

static void sum_rest(struct grpc_call *c)
{
    struct talk *t = talk_of(c);

    grpc_call_say(c, arena_printf(c->scratch, "%llu %llu", (unsigned long long)t->n,
                                  (unsigned long long)t->bytes));
    grpc_call_end(c, OK, NULL);
}

/* Every byte of the question asks for a message of 10,000. */
static void many_message(struct grpc_call *c, struct str message)
{
    talk_of(c)->want += message.n;
    grpc_call_next(c);
}

static void many_rest(struct grpc_call *c)
{
    struct talk *t = talk_of(c);
    char *text;

    if (t->n == t->want) {
        grpc_call_end(c, OK, NULL);
        return;
    }
    t->n++;
    text = arena_alloc(c->scratch, 10000);
    T_OK(text != NULL);
    memset(text, 'a' + (int)(t->n % 26), 10000);
    atomic_fetch_add(&said, 10000);
    grpc_call_say(c, str_of(text, 10000));
    grpc_call_next(c);
}

static void hold_message(struct grpc_call *c, struct str message)
{
    (void)c;
    (void)message;
    exec_event_set(the.held); /* the turn lasts */
}

static void hold_stop(struct grpc_call *c, enum status why)
{
    struct err err = ERR_INIT;

    atomic_store(&stop_why, why);
    exec_event_set(the.stopped);
    IGNORE_STATUS(err_set(&err, why, "told to stop")); /* only fills err */
    grpc_call_end(c, why, &err);
}

static void fail_message(struct grpc_call *c, struct str message)
{
    struct err err = ERR_INIT;

    IGNORE_STATUS(err_field(&err, ST_NOT_FOUND, "the_field", "100%% of '%.*s' is missing\n",
                            STR_ARG(message))); /* only fills err */
    err_hint(&err, "look elsewhere");
    grpc_call_say(c, S("first"));
    grpc_call_end(c, ST_NOT_FOUND, &err);
}

/* Says what it hears, and how often it has spoken on its own; after "fill" that goes on by itself. */
static void news_message(struct grpc_call *c, struct str message)
{
    struct talk *t = talk_of(c);

    atomic_fetch_add(&heard, 1);
    if (str_eq_lit(message, "fill")) {
        t->want = UINT64_MAX;
    } else {
        grpc_call_say(c, message);
    }
    grpc_call_next(c);
    if (!the.waker) {
        the.waker = grpc_call_waker(c);
        exec_event_set(the.held);
    }
}

static void news_push(struct grpc_call *c)
{
    struct talk *t = talk_of(c);
    size_t n = t->want ? 10000 : 8;
    char *text = arena_alloc(c->scratch, n);

    T_OK(text != NULL);
    memset(text, '.', n);
    t->n++;
    memcpy(text, &t->n, sizeof(t->n));
    atomic_store(&pushed, atomic_load(&news)); /* what was told before this turn is in it */
    atomic_fetch_add(&said, n);
    grpc_call_say(c, str_of(text, n));
    grpc_call_next(c);
    if (t->want) {
        grpc_wake(the.waker);
    }
}

static void news_rest(struct grpc_call *c)
{
    grpc_call_say(c, S("rest"));
    grpc_call_next(c);
}

static void news_stop(struct grpc_call *c, enum status why)
{
    atomic_store(&stop_why, why);
    grpc_call_say(c, S("last"));
    exec_event_set(the.stopped);
    grpc_call_next(c);
}

static void news_done(struct grpc_call *c)
{
    (void)c;
    exec_event_set(the.gone);
}

static const struct grpc_call_ops chat = { .message = chat_message, .rest = end_rest },
                                  pooled = { .message = pool_message, .rest = end_rest },
                                  sum = { .message = sum_message, .rest = sum_rest },
                                  many = { .message = many_message, .rest = many_rest },
                                  hold = { .message = hold_message,
                                           .rest = end_rest,
                                           .stop = hold_stop },
                                  failing = { .message = fail_message, .rest = end_rest },
                                  live = { .message = news_message,
                                           .rest = news_rest,
                                           .push = news_push,
                                           .stop = news_stop,
                                           .done = news_done,
                                           .stays = true };

static void on_handle(void *ctx, struct http_req *req)
{
    struct talk *t = ARENA_NEW(req->arena, struct talk);
    struct err err = ERR_INIT;
    enum status st = t ? OK : err_nomem(&err);

    (void)ctx;
    st = st ? st : grpc_call_start(&t->call, req, MAX_MESSAGE, req->route->handler, &err);
    if (st) {
        http_send_error(req, &err);
    }
}

#define METHOD(name, ops)                                                                          \
    ROUTE_BODY(HTTP_POST, "/t.T/" name, NULL, NULL, 0, ACTION_TEST, ops, HTTP_BODY_STREAM,         \
               UINT64_MAX)
static const struct route routes[] = { METHOD("Chat", &chat), METHOD("Pool", &pooled),
                                       METHOD("Sum", &sum),   METHOD("Many", &many),
                                       METHOD("Hold", &hold), METHOD("Fail", &failing),
                                       METHOD("News", &live) };

static void start(void)
{
    struct http_hooks hooks = { .handle = on_handle };
    struct http_server_options o;
    struct err err = ERR_INIT;

    net_init();
    the = (struct side){ .held = exec_event_new(),
                         .stopped = exec_event_new(),
                         .gone = exec_event_new() };
    atomic_store(&stop_why, OK);
    atomic_store(&said, 0);
    atomic_store(&heard, 0);
    http_server_options_init(&o);
    o.loop_n = 2;
    T_ST_ERR(exec_pool_new(&the.pool, "test", 2, 1000, &err), OK, &err);
    T_ST_ERR(router_new(&the.router, &err), OK, &err);
    T_ST_ERR(router_add(the.router, routes, ARRAY_N(routes), NULL, 0, NULL, &err), OK, &err);
    T_ST_ERR(http_server_new(&the.server, &o, the.router, &hooks, &err), OK, &err);
    T_ST_ERR(http_server_listen(the.server, "127.0.0.1:0", &err), OK, &err);
    (void)snprintf(the.address, sizeof(the.address), "127.0.0.1:%u",
                   http_server_port(the.server, 0));
    T_ST_ERR(http_server_start(the.server, &err), OK, &err);
}

static void stop_server(void *ctx)
{
    struct err err = ERR_INIT;

    (void)ctx;
    T_ST_ERR(http_server_stop(the.server, 20000, 20000, &err), OK, &err);
}

static void clear(void)
{
    exec_pool_free(the.pool);
    http_server_free(the.server);
    router_free(the.router);
    exec_event_free(the.held);
    exec_event_free(the.stopped);
    exec_event_free(the.gone);
}

static void finish(void)
{
    stop_server(NULL);
    clear();
}

static struct grpc_client *dial(bool gzip)
{
    struct grpc_client *g = NULL;
    struct err err = ERR_INIT;

    T_ST_ERR(grpc_dial(&g, &(struct grpc_dial){ .target = the.address, .gzip = gzip }, &err), OK,
             &err);
    return g;
}

static struct grpc_stream *begin(struct grpc_client *g, const char *method, int64_t ms)
{
    struct grpc_stream *s = NULL;
    struct err err = ERR_INIT;

    T_ST_ERR(grpc_open(g, method, ms, &s, &err), OK, &err);
    return s;
}

static void say(struct grpc_stream *s, struct str message)
{
    struct err err = ERR_INIT;

    T_ST_ERR(grpc_send(s, message, &err), OK, &err);
}

static void hear(struct grpc_stream *s, struct str want)
{
    struct err err = ERR_INIT;
    struct str got;

    T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
    T_OK(str_eq(got, want));
}

static void hear_end(struct grpc_stream *s)
{
    struct err err = ERR_INIT;
    struct str got;

    T_ST_ERR(grpc_recv(s, &got, &err), ST_END, &err);
}

/* ---- shapes ----------------------------------------------------------------------------------------------------------------- */

/* Each answer comes before the next question is asked, on the loop and from a pool; two conversations at once. */
TEST(test_grpc_bidirectional)
{
    struct grpc_client *g;
    struct grpc_stream *a, *b;
    struct err err = ERR_INIT;
    char text[32];

    start();
    g = dial(false);
    a = begin(g, "/t.T/Chat", WAIT_MS);
    b = begin(g, "/t.T/Pool", WAIT_MS);
    for (int i = 0; i < 300; i++) {
        size_t n = (size_t)snprintf(text, sizeof(text), "message %d", i);
        struct str message = str_of(text, i ? n : 0); /* the first is empty */

        say(a, message);
        hear(a, message);
        say(b, message);
        hear(b, message);
    }
    T_ST_ERR(grpc_send_end(a, &err), OK, &err);
    hear_end(a);
    hear_end(a);
    say(b, S("enough")); /* the server ends it, our side is still open */
    hear(b, S("enough"));
    hear_end(b);
    T_OK(grpc_send(b, S("more"), &err) != OK);
    grpc_drop(a);
    grpc_drop(b);
    /* Many at a time: the answers come in order. */
    a = begin(g, "/t.T/Pool", WAIT_MS);
    for (int i = 0; i < 2000; i++) {
        say(a, str_of(text, (size_t)snprintf(text, sizeof(text), "%d", i)));
    }
    for (int i = 0; i < 2000; i++) {
        hear(a, str_of(text, (size_t)snprintf(text, sizeof(text), "%d", i)));
    }
    grpc_drop(a);
    grpc_close(g);
    finish();
}

TEST(test_grpc_one_sided_streams)
{
    struct grpc_client *g;
    struct grpc_stream *s;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 20);
    struct str got, big;
    char *text = mem_zalloc(1, 3 << 20);

    T_OK(text != NULL);
    big = str_of(text, 3 << 20);
    start();
    for (int zip = 0; zip < 2; zip++) {
        g = dial(zip);
        s = begin(g, "/t.T/Sum", WAIT_MS);
        for (int i = 0; i < 1000; i++) {
            say(s, str_of(text, (size_t)i));
        }
        say(s, big);
        T_ST_ERR(grpc_send_end(s, &err), OK, &err);
        hear(s, S("1001 3645228"));
        hear_end(s);
        grpc_drop(s);
        s = begin(g, "/t.T/Many", WAIT_MS);
        say(s, str_of(text, 500));
        T_ST_ERR(grpc_send_end(s, &err), OK, &err);
        for (int i = 1; i <= 500; i++) {
            T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
            T_UINT(got.n, 10000);
            T_INT(got.p[9999], 'a' + i % 26);
        }
        hear_end(s);
        grpc_drop(s);
        T_ST_ERR(grpc_unary(g, "/t.T/Sum", big, WAIT_MS, arena, &got, &err), OK, &err);
        T_STR(got, "1 3145728");
        s = begin(g, "/t.T/Chat", WAIT_MS); /* large both ways, packed and not */
        say(s, big);
        hear(s, big);
        grpc_drop(s);
        T_ST(grpc_unary(g, "/t.T/Many", S("12"), WAIT_MS, arena, &got, &err), ST_INTERNAL);
        T_ST(grpc_unary(g, "/t.T/Many", S(""), WAIT_MS, arena, &got, &err), ST_INTERNAL);
        grpc_close(g);
    }
    mem_free(text);
    arena_free(arena);
    finish();
}

/* ---- how calls end ---------------------------------------------------------------------------------------------------------- */

TEST(test_grpc_failures)
{
    struct grpc_client *g;
    struct grpc_stream *s;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 20);
    struct str got;
    char *text = mem_zalloc(1, MAX_MESSAGE + 1);

    T_OK(text != NULL);
    start();
    g = dial(false);
    s = begin(g, "/t.T/Fail",
              WAIT_MS); /* after an answer: the message, the field and the hint arrive */
    say(s, S("\xc3\xa9"));
    hear(s, S("first"));
    T_ST(grpc_recv(s, &got, &err), ST_NOT_FOUND);
    T_CSTR(err.message, "100% of '\xc3\xa9' is missing\n");
    T_CSTR(err.field, "the_field");
    T_CSTR(err.hint, "look elsewhere");
    grpc_drop(s);
    T_ST(grpc_unary(g, "/t.T/Chat", str_of(text, MAX_MESSAGE + 1), WAIT_MS, arena, &got, &err),
         ST_TOO_BIG);
    T_ST(grpc_unary(g, "/t.T/None", S(""), WAIT_MS, arena, &got, &err), ST_NO_ENDPOINT);
    grpc_close(g);
    T_ST(grpc_dial(&g, &(struct grpc_dial){ .target = "nowhere" }, &err), ST_INVALID);
    T_ST(grpc_dial(&g, &(struct grpc_dial){ .target = "127.0.0.1:x" }, &err), ST_INVALID);
    T_ST(grpc_dial(&g, &(struct grpc_dial){ .target = "127.0.0.1:1" }, &err), ST_UNAVAILABLE);
    mem_free(text);
    arena_free(arena);
    finish();
}

/* The client gives up: a turn of the server that waits is told. */
TEST(test_grpc_cancellation)
{
    struct grpc_client *g;
    struct grpc_stream *s;

    start();
    g = dial(false);
    s = begin(g, "/t.T/Hold", WAIT_MS);
    say(s, S("x"));
    say(s, S("stays in the window"));
    T_OK(exec_event_wait(the.held, WAIT_MS));
    grpc_drop(s);
    T_OK(exec_event_wait(the.stopped, WAIT_MS));
    T_INT(atomic_load(&stop_why), ST_CANCELLED);
    grpc_close(g);
    finish();
}

/* A turn whose deadline passes while its client says nothing: the server looks at the clock. (A machine that is very busy may let it pass
 * before the turn has begun: then once more.) */
TEST(test_grpc_deadline_of_a_turn)
{
    struct grpc_client *g;
    struct err err = ERR_INIT;
    struct str got;
    bool told = false;

    start();
    g = dial(false);
    for (int tries = 0; !told && tries < 20; tries++) {
        struct grpc_stream *s = begin(g, "/t.T/Hold", 100);

        say(s, S("x"));
        told = exec_event_wait(the.stopped, 1500);
        T_ST(grpc_recv(s, &got, &err), ST_DEADLINE);
        grpc_drop(s);
    }
    T_OK(told);
    T_INT(atomic_load(&stop_why), ST_DEADLINE);
    grpc_close(g);
    finish();
}

/* A call that waits for its client's next message. */
TEST(test_grpc_deadline_between_turns)
{
    struct grpc_client *g;
    struct err err = ERR_INIT;
    struct str got;
    enum status st = ST_DEADLINE;

    start();
    g = dial(false);
    for (int64_t ms = 100; st == ST_DEADLINE && ms < WAIT_MS; ms *= 2) {
        struct grpc_stream *s = begin(g, "/t.T/Chat", ms);

        say(s, S("x"));
        st = grpc_recv(s, &got, &err);
        if (!st) {
            T_STR(got, "x");
            T_ST(grpc_recv(s, &got, &err), ST_DEADLINE);
            T_ST(grpc_recv(s, &got, &err), ST_DEADLINE);
        }
        grpc_drop(s);
    }
    T_ST(st, OK);
    grpc_close(g);
    finish();
}

/* ---- back-pressure ---------------------------------------------------------------------------------------------------------- */

/* A client that does not read: the server stops at the window of the stream, other calls of the connection go on, and all of the
 * answer comes when it is wanted. */
TEST(test_grpc_reader_that_stops)
{
    enum { MESSAGES = 2000, WINDOWS = 3 << 20 };
    struct grpc_client *g;
    struct grpc_stream *s;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 20);
    struct str got;
    char text[MESSAGES] = { 0 };

    start();
    g = dial(false);
    s = begin(g, "/t.T/Many", WAIT_MS);
    say(s, str_of(text, MESSAGES));
    T_ST_ERR(grpc_send_end(s, &err), OK, &err);
    for (int i = 0; i < 300; i++) {
        T_ST_ERR(grpc_unary(g, "/t.T/Sum", S("x"), WAIT_MS, arena, &got, &err), OK, &err);
    }
    T_OK(atomic_load(&said) < WINDOWS);
    for (int i = 0; i < MESSAGES; i++) {
        T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
    }
    hear_end(s);
    T_UINT(atomic_load(&said), (uint64_t)MESSAGES * 10000);
    grpc_drop(s);
    grpc_close(g);
    arena_free(arena);
    finish();
}

/* A server that does not read (its turn lasts, or its client takes no answers): the sender waits, and its deadline ends that. */
TEST(test_grpc_sender_that_is_held)
{
    struct grpc_client *g;
    struct grpc_stream *s;
    struct err err = ERR_INIT;
    static char text[10000];
    enum status st = OK;
    unsigned n = 0;

    start();
    g = dial(false);
    s = begin(g, "/t.T/Hold", 300);
    while (st == OK && n < 1000) {
        st = grpc_send(s, str_of(text, sizeof(text)), &err);
        n += st == OK;
    }
    T_OK(st == ST_DEADLINE || st == ST_CANCELLED); /* ours, or the server's was first */
    T_OK(n < 20);                                  /* of 10,000 bytes: a window of 64 KiB */
    grpc_drop(s);
    st = OK;
    s = begin(g, "/t.T/Chat", 500);
    for (n = 0; st == OK && n < 1000; n++) {
        st = grpc_send(s, str_of(text, sizeof(text)), &err);
    }
    T_OK(st != OK);
    T_OK(atomic_load(&heard) * sizeof(text) < 3 << 20);
    grpc_drop(s);
    grpc_close(g);
    finish();
}

/* ---- calls that speak on their own -------------------------------------------------------------------------------------------- */

static void tell(void *ctx)
{
    for (int i = 0; i < *(int *)ctx; i++) {
        atomic_fetch_add(&news, 1);
        grpc_wake(the.waker);
    }
}

/* Other threads wake a call whose client says nothing: it speaks, and the last thing that was told is not missed. What its client says is
 * heard meanwhile; the call goes on when the client's side has ended; a wake after its end does nothing. */
TEST(test_grpc_speaks_on_its_own)
{
    enum { TELLS = 5000 };
    struct exec_thread *t[2] = { NULL };
    struct grpc_client *g;
    struct grpc_stream *s;
    struct err err = ERR_INIT;
    struct str got;
    uint64_t turns = 0, echoes = 0;
    int n = TELLS;

    start();
    g = dial(false);
    s = begin(g, "/t.T/News", WAIT_MS);
    say(s, S("hello"));
    hear(s, S("hello"));
    T_OK(exec_event_wait(the.held, WAIT_MS));
    for (int i = 0; i < 2; i++) {
        T_ST_ERR(exec_thread_new(&t[i], "tell", tell, &n, &err), OK, &err);
    }
    while (atomic_load(&pushed) < (uint64_t)2 * TELLS || echoes < 50) {
        if (echoes < 50) {
            say(s, S("and?"));
        }
        T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
        if (str_eq_lit(got, "and?")) {
            echoes++;
        } else {
            uint64_t turn = 0;

            T_UINT(got.n, sizeof(turn));
            memcpy(&turn, got.p, sizeof(turn));
            T_UINT(turn, ++turns);
        }
    }
    exec_thread_join(t[0]);
    exec_thread_join(t[1]);
    T_OK(turns > 0 && turns <= (uint64_t)2 * TELLS);
    T_ST_ERR(grpc_send_end(s, &err), OK, &err);
    do {
        T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
    } while (!str_eq_lit(got, "rest"));
    grpc_wake(the.waker);
    T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
    T_UINT(got.n, 8);
    grpc_drop(s);
    grpc_close(g);
    T_OK(exec_event_wait(the.gone, WAIT_MS));
    T_INT(atomic_load(&stop_why), ST_CANCELLED);
    grpc_wake(the.waker);
    grpc_waker_unref(the.waker);
    finish();
}

/* A call that has something to say all the time, to a client that does not take it: it is not asked. */
TEST(test_grpc_speaks_to_who_listens)
{
    enum { MESSAGES = 1000, WINDOWS = 3 << 20 };
    struct grpc_client *g;
    struct grpc_stream *s;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 20);
    struct str got;

    start();
    g = dial(false);
    s = begin(g, "/t.T/News", WAIT_MS);
    say(s, S("fill"));
    T_OK(exec_event_wait(the.held, WAIT_MS));
    for (int i = 0; i < 300; i++) {
        T_ST_ERR(grpc_unary(g, "/t.T/Sum", S("x"), WAIT_MS, arena, &got, &err), OK, &err);
        grpc_wake(the.waker);
    }
    T_OK(atomic_load(&said) < WINDOWS);
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        uint64_t turn = 0;

        T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
        T_UINT(got.n, 10000);
        memcpy(&turn, got.p, sizeof(turn));
        T_UINT(turn, i);
    }
    say(s, S("one more")); /* it is heard between */
    do {
        T_ST_ERR(grpc_recv(s, &got, &err), OK, &err);
    } while (!str_eq_lit(got, "one more"));
    grpc_drop(s);
    grpc_close(g);
    T_OK(exec_event_wait(the.gone, WAIT_MS));
    grpc_waker_unref(the.waker);
    arena_free(arena);
    finish();
}

/* The deadline passes, the server goes down, while such a call waits for its client: a last word, then the end. */
TEST(test_grpc_last_word)
{
    struct exec_thread *t = NULL;
    struct grpc_client *g;
    struct grpc_stream *s;
    struct err err = ERR_INIT;
    struct str got;

    start();
    g = dial(false);
    s = begin(g, "/t.T/News", WAIT_MS);
    say(s, S("x"));
    hear(s, S("x"));
    T_ST_ERR(exec_thread_new(&t, "stop", stop_server, NULL, &err), OK, &err);
    hear(s, S("last"));
    T_ST(grpc_recv(s, &got, &err), ST_UNAVAILABLE);
    T_CSTR(err.message, "the server is going down");
    T_INT(atomic_load(&stop_why), ST_UNAVAILABLE);
    grpc_drop(s);
    grpc_close(g);
    exec_thread_join(t);
    clear();
    grpc_waker_unref(the.waker);
}

/* ---- the end of a server ----------------------------------------------------------------------------------------------------- */

/* Open calls are told and end with a status, after what they had said; no new one is begun. */
TEST(test_grpc_drain)
{
    struct exec_thread *t = NULL;
    struct grpc_client *g;
    struct grpc_stream *a, *b, *late;
    struct err err = ERR_INIT;
    struct str got;

    start();
    g = dial(false);
    a = begin(g, "/t.T/Chat", WAIT_MS);
    b = begin(g, "/t.T/Hold", WAIT_MS);
    say(a, S("x"));
    say(b, S("x"));
    hear(a, S("x"));
    T_OK(exec_event_wait(the.held, WAIT_MS));
    T_ST_ERR(exec_thread_new(&t, "stop", stop_server, NULL, &err), OK, &err);
    T_ST(grpc_recv(a, &got, &err), ST_UNAVAILABLE);
    T_ST(grpc_recv(b, &got, &err), ST_UNAVAILABLE);
    T_INT(atomic_load(&stop_why), ST_UNAVAILABLE);
    T_ST(grpc_open(g, "/t.T/Chat", WAIT_MS, &late, &err), ST_UNAVAILABLE);
    grpc_drop(a);
    grpc_drop(b);
    grpc_close(g);
    exec_thread_join(t);
    clear();
}

/* ---- a hostile server ------------------------------------------------------------------------------------------------------- */

/* Frames of a kind that nobody knows, as fast as they are taken, until the client has gone. */
static void babble(void *ctx)
{
    static const unsigned char settings[9] = { 0, 0, 0, 4 };
    static unsigned char frames[64 * 1024];
    struct pollfd p = { .fd = *(int *)ctx, .events = POLLIN };
    int fd;

    for (size_t i = 0; i + 1024 <= sizeof(frames); i += 1024) { /* 1,015 bytes of kind 255 */
        frames[i + 1] = 3;
        frames[i + 2] = 0xf7;
        frames[i + 3] = 0xff;
    }
    T_INT(poll(&p, 1, -1), 1);
    fd = sock.accept(*(int *)ctx, NULL, NULL);
    T_OK(fd >= 0);
    T_INT(send(fd, settings, sizeof(settings), MSG_NOSIGNAL), sizeof(settings));
    p = (struct pollfd){ .fd = fd, .events = POLLOUT };
    for (size_t at = 0;;) {
        ssize_t n = send(fd, frames + at, sizeof(frames) - at, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            T_INT(poll(&p, 1, -1), 1);
        } else if (n <= 0) {
            break;
        } else {
            at = (at + (size_t)n) % sizeof(frames);
        }
    }
    (void)sys.close(fd);
}

/* A server that never stops talking does not hold up a deadline. */
TEST(test_grpc_server_that_babbles)
{
    struct arena *arena = arena_new(1 << 20);
    struct exec_thread *t = NULL;
    struct grpc_client *g = NULL;
    struct err err = ERR_INIT;
    struct str got;
    int listening;

    net_init();
    T_ST_ERR(sock_listen("127.0.0.1:0", 4, &listening, &err), OK, &err);
    (void)snprintf(the.address, sizeof(the.address), "127.0.0.1:%u", sock_port(listening));
    T_ST_ERR(exec_thread_new(&t, "babble", babble, &listening, &err), OK, &err);
    g = dial(false);
    T_ST(grpc_unary(g, "/t.T/Chat", S("x"), 200, arena, &got, &err), ST_DEADLINE);
    grpc_close(g);
    exec_thread_join(t);
    (void)sys.close(listening);
    arena_free(arena);
}

/* Every allocation in turn fails once, on either side: an answer or an error, never a crash or a leak. */
TEST(test_grpc_memory)
{
    start();
    for (int64_t n = 2; n < 240; n++) {
        struct grpc_client *g = NULL;
        struct grpc_stream *s = NULL;
        struct err err = ERR_INIT;
        struct str got;

        mem_fail_after(n / 2, true);
        if (grpc_dial(&g, &(struct grpc_dial){ .target = the.address }, &err) == OK &&
            grpc_open(g, n % 2 ? "/t.T/News" : "/t.T/Chat", 500, &s, &err) == OK &&
            grpc_send(s, S("x"), &err) == OK && grpc_recv(s, &got, &err) == OK) {
            T_STR(got, "x");
            IGNORE_STATUS(grpc_send_end(s, &err)); /* any end will do */
            IGNORE_STATUS(grpc_recv(s, &got, &err));
        }
        mem_fail_never();
        grpc_drop(s);
        grpc_close(g);
    }
    finish();
    grpc_waker_unref(the.waker);
}
