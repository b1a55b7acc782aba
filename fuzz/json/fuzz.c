/* JSON: the first byte sets flags, the rest is text. The pull reader sees the same events in pieces as at once; what it
 * accepts has a canonical form that is its own canonical form; a message that decodes encodes to text that decodes to the
 * same; and the message decoder accepts nothing that the reader refuses. */
#include "base/mem.h"
#include "codec/json.h"
#include "codec/msg.h"
#include "codec_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { EVENTS_MAX = 4096, ARENA_MAX = 64 << 20, TEXT_MAX = 1 << 20 };

struct events {
    signed char kind[EVENTS_MAX];
    size_t length[EVENTS_MAX]; /* of the raw text */
    size_t n;
};

static void note(struct events *e, const struct json_reader *r, enum json_event ev)
{
    bool raw = ev == JSON_EV_STRING || ev == JSON_EV_KEY || ev == JSON_EV_NUMBER;

    if (e->n < EVENTS_MAX) {
        e->kind[e->n] = (signed char)ev;
        e->length[e->n++] = raw ? r->raw.n : 0;
    }
}

/* Reads the text in pieces of `step` bytes into its own copy. */
static void read_pieces(struct str text, unsigned flags, size_t step, struct events *e)
{
    char *copy = mem_alloc(text.n + 1);
    size_t given = MIN_OF(step, text.n);
    struct json_reader r;
    enum json_event ev;

    CHECK(copy);
    memcpy(copy, text.p, given);
    json_init(&r, str_of(copy, given), flags | JSON_PARTIAL, 0);
    e->n = 0;
    do {
        ev = json_next(&r);
        if (ev == JSON_EV_MORE) {
            struct str rest = json_rest(&r);
            size_t more = MIN_OF(step, text.n - given);

            memmove(copy, rest.p, rest.n);
            memcpy(copy + rest.n, text.p + given, more);
            given += more;
            json_feed(&r, str_of(copy, rest.n + more), more == 0);
            continue;
        }
        note(e, &r, ev);
    } while (ev != JSON_EV_END && ev != JSON_EV_ERROR);
    json_release(&r);
    mem_free(copy);
}

static bool read_whole(struct str text, unsigned flags, struct events *e)
{
    struct json_reader r;
    enum json_event ev;

    json_init(&r, text, flags, 0);
    e->n = 0;
    do {
        ev = json_next(&r);
        note(e, &r, ev);
    } while (ev > JSON_EV_END);
    json_release(&r);
    return ev == JSON_EV_END;
}

static void check_canonical(struct str text, struct arena *a)
{
    struct buf once = BUF_INIT(TEXT_MAX), twice = BUF_INIT(TEXT_MAX);
    struct err err;

    CHECK(json_canonical(&once, text, a, &err) == OK);
    if (!once.failed) {
        CHECK(json_check(buf_str(&once), JSON_BARE_NAN | JSON_NO_DUPLICATES, 0, &err) == OK);
        CHECK(json_canonical(&twice, buf_str(&once), a, &err) == OK);
        CHECK(str_eq(buf_str(&once), buf_str(&twice)));
    }
    buf_release(&once);
    buf_release(&twice);
}

static enum status sink(void *stream_ctx, const struct msg_field *f, void *element, struct err *err)
{
    const struct t_leaf *leaf = element;

    (void)err;
    CHECK(f->flags & MSG_F_STREAM);
    CHECK(leaf->key.n > 0);
    ++*(size_t *)stream_ctx;
    return OK;
}

static void check_message(struct str text, unsigned flags, bool is_json, struct arena *a)
{
    static const unsigned outputs[] = { MSG_JSON_NAN_STRINGS, MSG_JSON_MLFLOW,
                                        MSG_JSON_NAN_STRINGS | MSG_JSON_CAMEL };
    struct msg_ctx ctx = { .arena = a, .flags = flags };
    struct buf once = BUF_INIT(TEXT_MAX), twice = BUF_INIT(TEXT_MAX);
    struct err err;
    struct t_all m;

    if (msg_decode_json(&t_all_desc, &m, text, &ctx, &err) == OK) {
        CHECK(is_json || (flags & (MSG_EMPTY_OK | MSG_DOUBLE_ENCODED)));
        for (size_t i = 0; i < ARRAY_N(outputs); i++) {
            ctx.flags = MSG_CAMEL_OK | MSG_BARE_NAN;
            buf_clear(&once);
            buf_clear(&twice);
            msg_encode_json(&once, &t_all_desc, &m, outputs[i]);
            if (once.failed) break;
            CHECK(msg_decode_json(&t_all_desc, &m, buf_str(&once), &ctx, &err) == OK);
            msg_encode_json(&twice, &t_all_desc, &m, outputs[i]);
            CHECK(str_eq(buf_str(&once), buf_str(&twice)));
            /* The next round clears the text that m borrows from. */
            CHECK(msg_decode_json(&t_all_desc, &m, arena_str(a, buf_str(&twice)), &ctx, &err) ==
                  OK);
        }
    } else {
        CHECK(ctx.issue.kind != MSG_ISSUE_NONE && err.code != OK);
    }
    buf_release(&once);
    buf_release(&twice);
}

static void check_rules(struct str text, unsigned flags, struct arena *a)
{
    size_t seen = 0;
    struct msg_ctx ctx = { .arena = a, .flags = flags, .stream = sink, .stream_ctx = &seen };
    struct err err;
    struct t_rules m;

    if (msg_decode_json(&t_rules_desc, &m, text, &ctx, &err) == OK) {
        CHECK(m.name.n && m.size >= 1 && m.size <= 10 && m.leaves_n == seen && seen <= 4 &&
              m.few_n <= 2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct events whole, pieces;
    struct arena *a = arena_new(ARENA_MAX);
    struct str text = n ? str_of(data + 1, n - 1) : S("");
    unsigned bits = n ? data[0] : 0;
    unsigned flags = bits & 1 ? JSON_BARE_NAN : 0;
    bool is_json;

    CHECK(a);
    is_json = read_whole(text, flags, &whole);
    read_pieces(text, flags, 1 + (bits >> 5), &pieces);
    CHECK(whole.n == pieces.n && memcmp(whole.kind, pieces.kind, whole.n) == 0 &&
          memcmp(whole.length, pieces.length, whole.n * sizeof(whole.length[0])) == 0);
    read_whole(text, flags | JSON_NO_DUPLICATES | JSON_SEQUENCE, &whole);
    if (is_json && text.n <= JSON_CANONICAL_MAX) check_canonical(text, a);
    flags = bits & 1 ? MSG_BARE_NAN : 0;
    flags |= (bits & 2 ? MSG_IGNORE_UNKNOWN : 0) | (bits & 4 ? MSG_CAMEL_OK : 0);
    flags |= (bits & 8 ? MSG_DOUBLE_ENCODED | MSG_EMPTY_OK : 0) |
             (bits & 16 ? MSG_REFUSE_DUPLICATES : 0);
    check_message(text, flags, is_json, a);
    check_rules(text, flags, a);
    arena_free(a);
    return 0;
}
