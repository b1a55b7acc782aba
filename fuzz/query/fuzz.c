/* Query strings: what decodes to a message survives JSON; what decodes from percent codes encodes to codes that decode to
 * the same; base64 likewise. */
#include "base/utf8.h"
#include "codec/base64.h"
#include "codec/msg.h"
#include "codec/query.h"
#include "codec_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 1 << 20 };

static void check_message(struct str text, unsigned flags, struct arena *a)
{
    struct msg_ctx ctx = { .arena = a, .flags = flags };
    struct buf once = BUF_INIT(TEXT_MAX), twice = BUF_INIT(TEXT_MAX);
    struct err err;
    struct t_all m, again;
    struct t_rules r;

    if (msg_decode_query(&t_all_desc, &m, text, &ctx, &err) == OK) {
        msg_encode_json(&once, &t_all_desc, &m, MSG_JSON_NAN_STRINGS);
        if (!once.failed) {
            CHECK(msg_decode_json(&t_all_desc, &again, buf_str(&once), &ctx, &err) == OK);
            msg_encode_json(&twice, &t_all_desc, &again, MSG_JSON_NAN_STRINGS);
            CHECK(str_eq(buf_str(&once), buf_str(&twice)));
        }
    } else {
        CHECK(ctx.issue.kind != MSG_ISSUE_NONE);
    }
    if (msg_decode_query(&t_rules_desc, &r, text, &ctx, &err) == OK) {
        CHECK(r.name.n && r.size >= 1 && r.size <= 10 && r.few_n <= 2 && utf8_valid(r.name));
    }
    buf_release(&once);
    buf_release(&twice);
}

static void check_codes(struct str text, bool plus, struct arena *a)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    struct str plain, again;
    struct err err;

    if (query_decode(text, plus, a, &plain, &err) == OK) {
        query_put(&b, plain, plus ? "/" : "");
        if (!b.failed) {
            CHECK(query_decode(buf_str(&b), plus, a, &again, &err) == OK);
            CHECK(str_eq(plain, again));
        }
    }
    buf_release(&b);
}

static void check_base64(struct str text, struct arena *a)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    struct str bytes, again;
    bool nomem;

    for (unsigned flags = 0; flags < 4; flags++) {
        buf_clear(&b);
        base64_put(&b, text, flags);
        CHECK(b.failed || (base64_decode(buf_str(&b), a, &again, &nomem) && str_eq(text, again)));
    }
    if (base64_decode(text, a, &bytes, &nomem)) {
        buf_clear(&b);
        base64_put(&b, bytes, BASE64_STD);
        CHECK(b.failed || (base64_decode(buf_str(&b), a, &again, &nomem) && str_eq(bytes, again)));
    }
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct str text = str_of(data, n);

    CHECK(a);
    check_message(text, 0, a);
    check_message(text, MSG_IGNORE_UNKNOWN | MSG_CAMEL_OK, a);
    check_codes(text, true, a);
    check_codes(text, false, a);
    check_base64(text, a);
    arena_free(a);
    return 0;
}
