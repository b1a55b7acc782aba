/* net/grpc.c - see grpc.h. */
#include "net/grpc.h"
#include "base/num.h"
#include "base/utf8.h"
#include "codec/base64.h"
#include "net/coding.h"

enum { DETAIL_MAX = 4096, PIECE = 64 * 1024 };

enum grpc_form grpc_form(struct str type)
{
    static const struct {
        const char *name;
        enum grpc_form form;
    } rows[] = { { "application/grpc-web-text", GRPC_WEB_TEXT },
                 { "application/grpc-web", GRPC_WEB },
                 { "application/grpc", GRPC_PLAIN } };

    type = str_trim(str_sub(type, 0, str_find_byte(type, ';', 0)));
    if (str_ends(type, S("+proto"))) {
        type.n -= 6;
    }
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (str_eq_nocase(type, str_cstr(rows[i].name))) {
            return rows[i].form;
        }
    }
    return GRPC_NONE;
}

const char *grpc_type(enum grpc_form form)
{
    return form == GRPC_WEB        ? "application/grpc-web+proto"
           : form == GRPC_WEB_TEXT ? "application/grpc-web-text+proto"
                                   : "application/grpc";
}

enum grpc_take grpc_take(struct str *in, size_t max, struct grpc_frame *out)
{
    const unsigned char *p = (const unsigned char *)in->p;
    size_t n;

    if (in->n < GRPC_PREFIX) {
        return GRPC_MORE;
    }
    if (p[0] > GRPC_FLAG_COMPRESSED) {
        return GRPC_BROKEN;
    }
    n = ((size_t)p[1] << 24) + ((size_t)p[2] << 16) + ((size_t)p[3] << 8) + p[4];
    if (n > max) {
        return GRPC_TOO_BIG;
    }
    if (n > in->n - GRPC_PREFIX) {
        return GRPC_MORE;
    }
    out->compressed = p[0] == GRPC_FLAG_COMPRESSED;
    out->bytes = str_sub(*in, GRPC_PREFIX, n);
    *in = str_sub(*in, GRPC_PREFIX + n, SIZE_MAX);
    return GRPC_GOT;
}

void grpc_put(struct buf *b, unsigned flags, struct str message)
{
    const unsigned char head[GRPC_PREFIX] = {
        (unsigned char)flags, (unsigned char)(message.n >> 24), (unsigned char)(message.n >> 16),
        (unsigned char)(message.n >> 8), (unsigned char)message.n
    };

    buf_put(b, head, sizeof(head));
    buf_put_str(b, message);
}

bool grpc_timeout(struct str value, int64_t *ns)
{
    static const struct {
        char unit;
        int64_t ns;
    } units[] = { { 'H', 3600000000000 }, { 'M', 60000000000 }, { 'S', 1000000000 },
                  { 'm', 1000000 },       { 'u', 1000 },        { 'n', 1 } };
    uint64_t n;

    if (value.n < 2 || value.n > 9 || !num_parse_u64(str_sub(value, 0, value.n - 1), &n)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_N(units); i++) {
        if (units[i].unit == value.p[value.n - 1]) {
            *ns = (int64_t)n > INT64_MAX / units[i].ns ? INT64_MAX : (int64_t)n * units[i].ns;
            return true;
        }
    }
    return false;
}

struct str grpc_message(struct arena *a, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(a, text.n * 3 + 1);
    size_t n = 0;

    if (!out) {
        return (struct str){ NULL, 0 };
    }
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c >= 0x20 && c < 0x7f && c != '%') {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    return str_of(out, n);
}

void grpc_tidy(char *text)
{
    size_t n = strlen(text), len;

    for (size_t i = 0; i < n; i += len) {
        char *p = text + i;

        for (len = 1; len < 4 && len < n - i && !utf8_valid(str_of(p, len)); len++) {
        }
        if (!utf8_valid(str_of(p, len))) { /* also one that is cut at the end */
            len = 1;
            *p = '?';
        } else if ((len == 1 && (*p < ' ' || *p == 0x7f) && *p != '\n' && *p != '\t') ||
                   (len == 2 && p[0] == '\xc2' && (unsigned char)p[1] < 0xa0)) {
            memset(p, '?', len);
        }
    }
}

enum status grpc_unzip(struct str encoding, struct str in, size_t max, struct buf *out,
                       struct err *err)
{
    struct decoder *d = NULL;
    enum status st;
    size_t n = 0;

    buf_clear(out);
    if (!str_eq_lit(encoding, "gzip")) {
        st = err_set(err, ST_NOT_IMPLEMENTED, "grpc-encoding '%.*s' is not known; use gzip",
                     STR_ARG(encoding));
        grpc_tidy(err->message);
        return st;
    }
    st = decoder_new(&d, CODING_GZIP);
    if (st) {
        return err_nomem(err);
    }
    do {
        if (!buf_reserve(out,
                         max - out->n < PIECE ? MAX_OF(max - out->n, (size_t)1) : (size_t)PIECE)) {
            st = out->failed == ST_TOO_BIG
                     ? err_set(err, ST_TOO_BIG, "message exceeds %zu bytes", max)
                     : err_nomem(err);
            break;
        }
        st = decoder_run(d, &in, out->p + out->n, out->cap - out->n, &n, err);
        out->n += n;
    } while (!st && (n > 0 || in.n > 0));
    if (!st && !decoder_complete(d)) {
        st = err_set(err, ST_BAD_REQUEST, "the compressed message is cut short");
    }
    decoder_free(d);
    return st;
}

static void put_text(struct buf *b, unsigned number, struct str text)
{
    buf_put_varint(b, number << 3 | 2);
    buf_put_varint(b, text.n);
    buf_put_str(b, text);
}

struct str grpc_details(struct arena *a, int code, const char *name, const struct err *err)
{
    struct buf info = BUF_INIT(DETAIL_MAX), any = BUF_INIT(DETAIL_MAX), pair = BUF_INIT(DETAIL_MAX),
               b = BUF_INIT(2 * DETAIL_MAX), text = BUF_INIT(4 * DETAIL_MAX);
    struct str out;

    put_text(&info, 1, str_cstr(name));
    put_text(&info, 2, S("cairn"));
    for (int i = 0; i < 2; i++) {
        struct str value = str_cstr(i ? err->hint : err->field);

        if (value.n > 0) {
            buf_clear(&pair);
            put_text(&pair, 1, i ? S("hint") : S("field"));
            put_text(&pair, 2, value);
            put_text(&info, 3, buf_str(&pair));
        }
    }
    put_text(&any, 1, S("type.googleapis.com/google.rpc.ErrorInfo"));
    put_text(&any, 2, buf_str(&info));
    buf_put_varint(&b, 1 << 3);
    buf_put_varint(&b, (uint64_t)code);
    put_text(&b, 2, str_cstr(err->message));
    put_text(&b, 3, buf_str(&any));
    base64_put(&text, buf_str(&b), BASE64_NO_PAD);
    out = any.failed || info.failed || b.failed || text.failed ? (struct str){ NULL, 0 }
                                                               : arena_str(a, buf_str(&text));
    buf_release(&info);
    buf_release(&any);
    buf_release(&pair);
    buf_release(&b);
    buf_release(&text);
    return out;
}
