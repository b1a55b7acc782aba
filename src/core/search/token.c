/* core/search/token.c - page tokens.
 * Body: u8 version, u8 entity, u64 scope, u64 filter, u64 order, then for each clause of the order
 * u8 rank and, if that is a value, varint length + bytes | zigzag varint | u64 bits of a double;
 * u32 CRC-32C of all that. Numbers are little-endian. */
#include "core/search/token.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/utf8.h"
#include "core/search/driver.h"
#include "core/search/search_int.h"

enum { TOKEN_VERSION = 1, TOKEN_CRC_BYTES = 4 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool token_hash(const struct str *parts, size_t n, uint64_t *out)
{
    struct sha256 *s = sha256_new();
    struct digest d;
    struct rd rd;

    if (!s) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t len = parts[i].n;

        sha256_update(s, &len, sizeof(len));
        sha256_update(s, parts[i].p, parts[i].n);
    }
    d = sha256_end(s);
    sha256_free(s);
    rd = rd_of(d.b, sizeof(d.b));
    *out = rd_u64(&rd);
    return true;
}

/* base64url without padding. */
static struct str encode(struct str bytes, struct arena *a)
{
    size_t n = bytes.n / 3 * 4 + (bytes.n % 3 ? bytes.n % 3 + 1 : 0), to = 0;
    char *out = arena_alloc(a, n + 1);

    for (size_t i = 0; out && i < bytes.n; i += 3) {
        uint32_t v = 0;

        for (size_t j = 0; j < 3; j++) {
            v = v << 8 | (i + j < bytes.n ? (unsigned char)bytes.p[i + j] : 0U);
        }
        for (unsigned shift = 18; to < n && shift <= 18; shift -= 6) {
            out[to++] = alphabet[v >> shift & 63];
        }
    }
    return str_of(out, out ? n : 0);
}

/* Padding and the standard alphabet are taken too. p is NULL when memory is out, *ok false when the
 * text is not base64. */
static struct str decode(struct str text, struct arena *a, bool *ok)
{
    char *out = arena_alloc(a, text.n + 1);
    uint32_t v = 0;
    unsigned bits = 0;
    size_t n = 0;

    while (text.n && text.p[text.n - 1] == '=') {
        text.n--;
    }
    *ok = text.n % 4 != 1;
    for (size_t i = 0; out && *ok && i < text.n; i++) {
        char c = text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i];
        const char *at = memchr(alphabet, c, 64);

        *ok = at != NULL;
        v = v << 6 | (at ? (uint32_t)(at - alphabet) : 0U);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (char)(v >> bits & 0xff);
        }
    }
    *ok = *ok && (v & ((1U << bits) - 1)) == 0; /* one text per token */
    return str_of(out, n);
}

static void put_value(struct buf *b, enum search_type type, const struct order_value *v)
{
    buf_put_u8(b, (unsigned char)v->rank);
    if (v->rank != ORDER_VALUE) {
        return;
    }
    switch (type) {
    case SEARCH_TEXT:
        buf_put_varint(b, v->text.n);
        buf_put_str(b, v->text);
        break;
    case SEARCH_INTEGER: buf_put_zigzag(b, v->i); break;
    case SEARCH_DOUBLE:
    default: buf_put_u64(b, num_double_bits(v->d)); break;
    }
}

enum status token_write(struct str *out, const struct token_origin *origin, const struct order *o,
                        const struct order_value *values, struct arena *a, struct err *err)
{
    struct buf b = BUF_INIT(SEARCH_TOKEN_MAX / 4 * 3);
    enum status st;

    *out = (struct str){ NULL, 0 };
    buf_put_u8(&b, TOKEN_VERSION);
    buf_put_u8(&b, (unsigned char)origin->entity);
    buf_put_u64(&b, origin->scope);
    buf_put_u64(&b, origin->filter);
    buf_put_u64(&b, origin->order);
    for (size_t i = 0; i < o->n; i++) {
        put_value(&b, o->clauses[i].key.type, &values[i]);
    }
    if (!b.failed) {
        buf_put_u32(&b, crc32c(0, b.p, b.n));
    }
    st = buf_status(&b, "page token", err);
    if (st == OK) {
        *out = encode(buf_str(&b), a);
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

static bool get_value(struct rd *r, enum search_type type, struct order_value *v)
{
    uint8_t rank = rd_u8(r);

    *v = (struct order_value){ .rank = rank == ORDER_NAN       ? ORDER_NAN
                                       : rank == ORDER_MISSING ? ORDER_MISSING
                                                               : ORDER_VALUE };
    if (rank != ORDER_VALUE) {
        return rank <= ORDER_MISSING;
    }
    switch (type) {
    case SEARCH_TEXT: v->text = rd_bytes(r, rd_varint(r)); return utf8_valid(v->text);
    case SEARCH_INTEGER: v->i = rd_zigzag(r); return true;
    case SEARCH_DOUBLE:
    default: v->d = num_bits_double(rd_u64(r)); return v->d == v->d;
    }
}

/* Garbage that is base64: shows the bytes as Python would. */
static enum status not_ours(struct str bytes, struct err *err)
{
    struct buf b = BUF_INIT(2048);
    enum status st;

    for (size_t i = 0; i < bytes.n && i < 256; i++) {
        unsigned char c = (unsigned char)bytes.p[i];

        if (c < ' ' || c >= 0x7f || c == '\\' || c == '\'') {
            buf_printf(&b, "\\x%02x", (unsigned)c);
        } else {
            buf_put_u8(&b, c);
        }
    }
    st =
        err_set(err, ST_INVALID, "Invalid page token, decoded value=b'%.*s'", STR_ARG(buf_str(&b)));
    buf_release(&b);
    return st;
}

/* The origin that the token carries, compared with the search it is used for. */
static enum status check_origin(struct rd *r, const struct token_origin *origin, struct err *err)
{
    uint8_t entity = rd_u8(r);
    uint64_t scope = rd_u64(r), filter = rd_u64(r), order = rd_u64(r);

    if (entity != (uint8_t)origin->entity) {
        err_set(err, ST_INVALID, "The page token belongs to another kind of search.");
    } else if (scope != origin->scope) {
        err_set(err, ST_INVALID,
                "Experiment IDs in the page token do not match the requested experiment IDs.");
    } else if (filter != origin->filter) {
        err_set(err, ST_INVALID,
                "Filter string in the page token does not match the requested filter string.");
    } else if (order != origin->order) {
        err_set(err, ST_INVALID,
                "Order by in the page token does not match the requested order by.");
    } else {
        return OK;
    }
    if (err) err_hint(err, "ask for the next page with the request of the first one");
    return ST_INVALID;
}

enum status token_read(struct str token, const struct token_origin *origin, const struct order *o,
                       struct order_value *values, struct arena *a, struct err *err)
{
    struct str bytes;
    struct rd r, crc;
    bool ok = token.n <= SEARCH_TOKEN_MAX;
    enum status st;

    if (ok) {
        bytes = decode(token, a, &ok);
        if (!bytes.p) return err_nomem(err);
    }
    if (!ok) {
        return err_set(err, ST_INVALID, "Invalid page token, could not base64-decode");
    }
    if (bytes.n < TOKEN_CRC_BYTES) {
        return not_ours(bytes, err);
    }
    crc = rd_of(bytes.p + bytes.n - TOKEN_CRC_BYTES, TOKEN_CRC_BYTES);
    r = rd_of(bytes.p, bytes.n - TOKEN_CRC_BYTES);
    if (rd_u32(&crc) != crc32c(0, bytes.p, bytes.n - TOKEN_CRC_BYTES) ||
        rd_u8(&r) != TOKEN_VERSION) {
        return not_ours(bytes, err);
    }
    st = check_origin(&r, origin, err);
    if (st) return st;
    for (size_t i = 0; i < o->n; i++) {
        if (!get_value(&r, o->clauses[i].key.type, &values[i]) || r.bad) {
            return not_ours(bytes, err);
        }
    }
    return rd_left(&r) == 0 ? OK : not_ours(bytes, err);
}
