/* Protobuf wire: a message that decodes encodes to as many bytes as announced, and those decode and encode to the same;
 * its JSON form decodes too, unless it is nested too deep for that. */
#include "codec/msg.h"
#include "codec_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 1 << 20 };

static enum status sink(void *stream_ctx, const struct msg_field *f, void *element, struct err *err)
{
    const struct t_leaf *leaf = element;

    (void)f, (void)err;
    CHECK(leaf->key.n > 0);
    ++*(size_t *)stream_ctx;
    return OK;
}

static void check_all(struct str wire, struct arena *a)
{
    struct msg_ctx ctx = { .arena = a };
    struct buf once = BUF_INIT(TEXT_MAX), twice = BUF_INIT(TEXT_MAX);
    struct err err;
    struct t_all m, again;

    if (msg_decode_pb(&t_all_desc, &m, wire, &ctx, &err) != OK) {
        CHECK(ctx.issue.kind != MSG_ISSUE_NONE);
        return;
    }
    msg_encode_pb(&once, &t_all_desc, &m);
    if (!once.failed) {
        CHECK(once.n == msg_size_pb(&t_all_desc, &m));
        CHECK(msg_decode_pb(&t_all_desc, &again, buf_str(&once), &ctx, &err) == OK);
        msg_encode_pb(&twice, &t_all_desc, &again);
        CHECK(str_eq(buf_str(&once), buf_str(&twice)));
    }
    buf_clear(&once);
    msg_encode_json(&once, &t_all_desc, &m, MSG_JSON_MLFLOW);
    if (!once.failed && msg_decode_json(&t_all_desc, &again, buf_str(&once), &ctx, &err) != OK) {
        CHECK(ctx.issue.kind == MSG_ISSUE_DEPTH);
    }
    buf_release(&once);
    buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct str wire = str_of(data, n);
    size_t seen = 0;
    struct msg_ctx ctx = { .arena = a, .stream = sink, .stream_ctx = &seen };
    struct err err;
    struct t_rules m;

    CHECK(a);
    check_all(wire, a);
    if (msg_decode_pb(&t_rules_desc, &m, wire, &ctx, &err) == OK) {
        CHECK(m.name.n && m.size >= 1 && m.size <= 10 && m.leaves_n == seen && seen <= 4 &&
              m.few_n <= 2);
    }
    arena_free(a);
    return 0;
}
