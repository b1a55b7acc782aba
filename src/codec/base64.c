/* codec/base64.c - see base64.h. Table lookups; decoding checks every byte. */
#include "codec/base64.h"

static const char base64_std[65] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[65] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_put(struct buf *b, struct str bytes, unsigned flags)
{
    const char *tab = (flags & BASE64_URL) ? base64_url : base64_std;
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t i = 0;

    for (; i + 3 <= bytes.n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        char q[4] = { tab[v >> 18], tab[v >> 12 & 63], tab[v >> 6 & 63], tab[v & 63] };

        buf_put(b, q, 4);
    }
    if (i < bytes.n) {
        bool two = bytes.n - i == 2;
        uint32_t v = (uint32_t)p[i] << 16 | (two ? (uint32_t)p[i + 1] << 8 : 0);
        char q[4] = { tab[v >> 18], tab[v >> 12 & 63], two ? tab[v >> 6 & 63] : '=', '=' };

        buf_put(b, q, (flags & BASE64_NO_PAD) ? (two ? 3u : 2u) : 4u);
    }
}

static int base64_digit(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return -1;
}

bool base64_decode(struct str text, struct arena *a, struct str *out, bool *nomem)
{
    size_t n = text.n;

    *nomem = false;
    if (n && n % 4 == 0 && text.p[n - 1] == '=') {
        n -= text.p[n - 2] == '=' ? 2 : 1;
    }
    if (n % 4 == 1) return false;

    size_t len = n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
    unsigned char *o = arena_alloc(a, len + 1);
    uint32_t v = 0;
    size_t k = 0;

    if (!o) {
        *nomem = true;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int d = base64_digit((unsigned char)text.p[i]);

        if (d < 0) return false;
        v = v << 6 | (uint32_t)d;
        if (i % 4 == 3) {
            o[k++] = (unsigned char)(v >> 16);
            o[k++] = (unsigned char)(v >> 8);
            o[k++] = (unsigned char)v;
            v = 0;
        }
    }
    if (n % 4 == 2) {
        if (v & 15) return false;
        o[k++] = (unsigned char)(v >> 4);
    } else if (n % 4 == 3) {
        if (v & 3) return false;
        o[k++] = (unsigned char)(v >> 10);
        o[k++] = (unsigned char)(v >> 2);
    }
    o[k] = 0;
    *out = str_of(o, k);
    return true;
}
