/* net/grpc.c - see grpc.h. */
#include "net/grpc.h"
#include "base/num.h"

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
