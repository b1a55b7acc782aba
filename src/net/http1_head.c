/* net/http1_head.c - see http1_head.h. */
#include "net/http1_head.h"
#include "base/num.h"

/* RFC 9110 token characters, in lower case; 0 for all others. */
static const char token_table[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`',   ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',   ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b',   ['C'] = 'c',
    ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',   ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',   ['Q'] = 'q',
    ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w',   ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',   ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k',   ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r',   ['s'] = 's',
    ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',   ['z'] = 'z',
};

static bool is_token(char c)
{
    return token_table[(unsigned char)c] != 0;
}

/* Visible, space, tab, or a byte above ASCII. */
static bool is_value(char c)
{
    unsigned char u = (unsigned char)c;

    return (u >= 0x20 && u != 0x7f) || u == '\t';
}

/* Eight bytes at once. Each of these is exact about whether there is such a byte. */
#define BYTES(c) ((uint64_t)(c)*0x0101010101010101u)

static uint64_t eight_at(const char *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return x;
}

static bool any_below(uint64_t x, unsigned char c) /* c up to 128 */
{
    return ((x - BYTES(c)) & ~x & BYTES(0x80)) != 0;
}

static bool any_is(uint64_t x, unsigned char c)
{
    return any_below(x ^ BYTES(c), 1);
}

static char *skip_value(char *p, const char *end)
{
    while (end - p >= 8 && !any_below(eight_at(p), 0x20) && !any_is(eight_at(p), 0x7f)) {
        p += 8;
    }
    while (p < end && is_value(*p)) {
        p++;
    }
    return p;
}

/* Visible ASCII without '#'. */
static bool is_target(struct str t)
{
    size_t i = 0;

    for (; t.n - i >= 8; i += 8) {
        uint64_t x = eight_at(t.p + i);

        if ((x & BYTES(0x80)) || any_below(x, 0x21) || any_is(x, 0x7f) || any_is(x, '#')) {
            return false;
        }
    }
    for (; i < t.n; i++) {
        unsigned char c = (unsigned char)t.p[i];

        if (c <= ' ' || c >= 0x7f || c == '#') {
            return false;
        }
    }
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* ---- the end of the head ----------------------------------------------------------------------------------------- */

int http1_scan(struct http1_scan *s, struct str in, const struct http1_limits *l, size_t *head_n)
{
    if (in.n > 0 && s->at == 0 && !is_token(in.p[0]) && in.p[0] != '\r') {
        return 400;
    }
    while (s->at < in.n) {
        size_t lf = str_find_byte(in, '\n', s->at);

        s->at = MIN_OF(lf, in.n);
        if (s->lines == 0 && s->at - s->line_start > l->line_max) {
            return 414;
        }
        if (s->lines > 0 && s->at > l->line_max + l->head_max) {
            return 431;
        }
        if (lf == SIZE_MAX) {
            return HTTP1_SCAN_MORE;
        }
        if (lf == 0 || in.p[lf - 1] != '\r') {
            return 400;
        }
        s->at = lf + 1;
        if (lf - 1 == s->line_start) {
            if (s->lines > 0) {
                *head_n = s->at;
                return HTTP1_SCAN_DONE;
            }
            if (s->line_start > 0) {
                return 400; /* a second empty line before the request line */
            }
        } else if (++s->lines > l->field_max + 1) {
            return 431;
        }
        s->line_start = s->at;
    }
    return HTTP1_SCAN_MORE;
}

/* ---- the request line -------------------------------------------------------------------------------------------- */

static int refuse(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

/* uri-host [ ":" port ] without user information. */
static bool authority_ok(struct str s)
{
    size_t i = 0, colon;

    if (s.n > 0 && s.p[0] == '[') {
        for (i = 1; i < s.n && s.p[i] != ']'; i++) {
            if (!strchr("0123456789abcdefABCDEF:.", s.p[i]) || s.p[i] == '\0') {
                return false;
            }
        }
        if (i == 1 || i == s.n) {
            return false;
        }
        i++;
    } else {
        for (; i < s.n && s.p[i] != ':'; i++) {
            char c = s.p[i];

            if (!is_token(c) || c == '^' || c == '`' || c == '|' || c == '#') {
                return false;
            }
        }
    }
    colon = i;
    if (i < s.n && s.p[i] != ':') {
        return false;
    }
    for (i++; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n <= colon + 6;
}

static int parse_target(struct http1_head *h, struct str *authority, const char **why)
{
    struct str t = h->target;
    size_t q;

    if (!is_target(t)) {
        return refuse(why, 400, "the request target holds a character that must be escaped");
    }
    *authority = (struct str){ NULL, 0 };
    if (t.n > 0 && t.p[0] != '/' && !str_eq_lit(t, "*")) {
        size_t skip = 0, slash;

        if (str_eq_nocase(str_sub(t, 0, 7), S("http://"))) {
            skip = 7;
        } else if (str_eq_nocase(str_sub(t, 0, 8), S("https://"))) {
            skip = 8;
        } else {
            return refuse(why, 400, "the request target is neither a path nor an http URL");
        }
        t = str_sub(t, skip, SIZE_MAX);
        slash = MIN_OF(str_find_byte(t, '/', 0), str_find_byte(t, '?', 0));
        *authority = str_sub(t, 0, slash);
        t = slash == SIZE_MAX ? S("/") : str_sub(t, slash, SIZE_MAX);
        if (authority->n == 0 || !authority_ok(*authority)) {
            return refuse(why, 400, "the authority of the request target is malformed");
        }
        if (t.p[0] == '?') {
            h->raw_path = S("/");
            h->query = str_sub(t, 1, SIZE_MAX);
            return 0;
        }
    }
    if (t.n == 0 || (str_eq_lit(t, "*") && h->method != HTTP_OPTIONS)) {
        return refuse(why, 400, "the request target is neither a path nor an http URL");
    }
    q = str_find_byte(t, '?', 0);
    h->raw_path = str_sub(t, 0, q);
    h->query = q == SIZE_MAX ? (struct str){ NULL, 0 } : str_sub(t, q + 1, SIZE_MAX);
    return 0;
}

static int parse_line(struct str line, struct http1_head *h, struct str *authority,
                      const char **why)
{
    size_t a = str_find_byte(line, ' ', 0), b;
    struct str method, version;

    if (a == SIZE_MAX || a == 0) {
        return refuse(why, 400, "the request line is not METHOD TARGET HTTP/VERSION");
    }
    method = str_sub(line, 0, a);
    for (size_t i = 0; i < method.n; i++) {
        if (!is_token(method.p[i])) {
            return refuse(why, 400, "the method is not a token");
        }
    }
    b = str_find_byte(line, ' ', a + 1);
    if (b == SIZE_MAX || b == a + 1) {
        return refuse(why, 400, "the request line is not METHOD TARGET HTTP/VERSION");
    }
    h->target = str_sub(line, a + 1, b - a - 1);
    version = str_sub(line, b + 1, SIZE_MAX);
    if (version.n != 8 || !str_starts(version, S("HTTP/")) || version.p[5] < '0' ||
        version.p[5] > '9' || version.p[6] != '.' || version.p[7] < '0' || version.p[7] > '9') {
        return refuse(why, 400, "the request line is not METHOD TARGET HTTP/VERSION");
    }
    if (version.p[5] != '1' || version.p[7] > '1') {
        return refuse(why, 505, "this server speaks HTTP/1.0 and HTTP/1.1");
    }
    h->version = version.p[7] == '1' ? 11 : 10;
    h->method = http_method_parse(method);
    if (h->method == HTTP_METHOD_NONE) {
        return refuse(why, 501, "the method is not supported");
    }
    return parse_target(h, authority, why);
}

/* ---- fields ------------------------------------------------------------------------------------------------------- */

/* Begins like a field that frames the message, or is one but for its dashes: some readers take it for the real one
 * (http-parser reads "Transfer-Encodingx" so). Nor may a tab stand beside the value, which not all take for a space. */
static bool is_odd_framing(struct str n, struct str raw)
{
    static const char *const names[] = { "content-length", "transfer-encoding" };

    if (n.p[0] != 'c' && n.p[0] != 't') {
        return false;
    }
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        struct str want = str_cstr(names[i]);
        size_t k = 0;

        while (k < want.n && k < n.n &&
               (n.p[k] == want.p[k] || (n.p[k] == '_' && want.p[k] == '-'))) {
            k++;
        }
        if (k == want.n) {
            return !str_eq(n, want) || str_find_byte(raw, '\t', 0) != SIZE_MAX;
        }
    }
    return false;
}

static int parse_fields(char *p, char *end, unsigned field_max, struct http1_head *h,
                        const char **why)
{
    while (p + 2 <= end && !(p[0] == '\r' && p[1] == '\n')) {
        char *name = p, *value;

        while (p < end && is_token(*p)) {
            *p = token_table[(unsigned char)*p];
            p++;
        }
        if (p == name || *p != ':') {
            return refuse(why, 400, "a header name is malformed");
        }
        if (h->field_n == field_max) {
            return refuse(why, 431, "too many header fields");
        }
        struct str n = str_of(name, (size_t)(p - name));

        value = ++p;
        p = skip_value(p, end);
        if (p + 2 > end || p[0] != '\r' || p[1] != '\n') {
            return refuse(why, 400, "a header value holds a control character");
        }
        struct str raw = str_of(value, (size_t)(p - value));

        if (is_odd_framing(n, raw)) {
            return refuse(why, 400,
                          "a field that frames the message, or looks like one, is malformed");
        }
        h->fields[h->field_n++] = (struct http_field){ n, str_trim(raw) };
        p += 2;
    }
    return p + 2 == end ? 0 : refuse(why, 400, "the head is malformed");
}

static int parse_length(struct http1_head *h, struct str v, const char **why)
{
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9') {
            return refuse(why, 400, "Content-Length is not a number");
        }
    }
    if (h->has_length || !num_parse_u64(v, &h->content_length) ||
        h->content_length > (uint64_t)INT64_MAX) {
        return refuse(why, 400, "Content-Length is not one number");
    }
    h->has_length = true;
    return 0;
}

static int parse_connection(struct http1_head *h, struct str v)
{
    struct str token;

    while (str_split(&v, ',', &token)) {
        token = str_trim(token);
        if (str_eq_nocase(token, S("close"))) {
            return -1;
        }
        if (str_eq_nocase(token, S("keep-alive"))) {
            h->keep_alive = true;
        }
    }
    return 0;
}

/* What the framing depends on. */
static int read_framing(struct http1_head *h, struct str authority, const char **why)
{
    unsigned hosts = 0, credentials = 0;
    bool closing = false;
    int bad = 0;

    h->keep_alive = h->version == 11;
    for (size_t i = 0; i < h->field_n && bad == 0; i++) {
        struct str n = h->fields[i].name, v = h->fields[i].value;

        if (str_eq_lit(n, "host")) {
            hosts++;
            h->host = v;
            if (!authority_ok(v)) {
                bad = refuse(why, 400, "the Host field is malformed");
            }
        } else if (str_eq_lit(n, "authorization")) {
            credentials++;
        } else if (str_eq_lit(n, "content-length")) {
            bad = parse_length(h, v, why);
        } else if (str_eq_lit(n, "transfer-encoding")) {
            if (h->version == 10 || h->chunked) {
                bad = refuse(why, 400, "Transfer-Encoding is not allowed here");
            } else if (!str_eq_nocase(v, S("chunked"))) {
                bad = refuse(why, str_find_byte(v, ',', 0) == SIZE_MAX && v.n > 0 ? 501 : 400,
                             "the only Transfer-Encoding is chunked");
            }
            h->chunked = true;
        } else if (str_eq_lit(n, "connection")) {
            closing = parse_connection(h, v) != 0 || closing;
        } else if (str_eq_lit(n, "expect") && h->version >= 11) {
            h->expect_continue = str_eq_nocase(v, S("100-continue"));
            if (!h->expect_continue) {
                bad = refuse(why, 417, "the only expectation met is 100-continue");
            }
        }
    }
    if (bad) {
        return bad;
    }
    if (hosts > 1 || (hosts == 0 && (h->version == 11 || (h->version == 20 && authority.n == 0)))) {
        return refuse(why, 400, "there must be exactly one Host field");
    }
    if (credentials > 1) {
        return refuse(why, 400, "there must be at most one Authorization field");
    }
    if (h->chunked && h->has_length) {
        return refuse(why, 400, "Content-Length and Transfer-Encoding exclude each other");
    }
    if (authority.n > 0) {
        if (hosts == 1 && !str_eq_nocase(authority, h->host)) {
            return refuse(why, 400, "the Host field differs from the request target");
        }
        h->host = authority;
    }
    h->keep_alive = h->keep_alive && !closing;
    h->content_length = h->chunked ? UINT64_MAX : h->content_length;
    return 0;
}

static int lower_host(struct http1_head *h, struct arena *a, const char **why)
{
    char *host = arena_alloc(a, h->host.n);

    if (!host) {
        return refuse(why, 503, "out of memory");
    }
    for (size_t i = 0; i < h->host.n; i++) {
        host[i] = lower(h->host.p[i]);
    }
    h->host = str_of(host, h->host.n);
    return 0;
}

int http1_parse(char *head, size_t n, unsigned field_max, struct arena *a, struct http1_head *out,
                const char **why)
{
    struct str authority, line;
    size_t eol, lines = 0;
    int bad;

    memset(out, 0, sizeof(*out));
    if (n >= 2 && head[0] == '\r' && head[1] == '\n') {
        head += 2; /* one empty line before the request line, as old clients send */
        n -= 2;
    }
    eol = str_find_byte(str_of(head, n), '\r', 0);
    if (eol == SIZE_MAX || eol + 2 > n || head[eol + 1] != '\n') {
        return refuse(why, 400, "the request line is malformed");
    }
    line = str_of(head, eol);
    bad = parse_line(line, out, &authority, why);
    if (bad) {
        return bad;
    }
    for (size_t at = eol + 2; at < n; lines++) {
        at = MIN_OF(str_find_byte(str_of(head, n), '\n', at), n) + 1;
    }
    lines = MIN_OF(lines, (size_t)field_max + 1);
    out->fields = arena_alloc(a, lines * sizeof(*out->fields));
    if (!out->fields) {
        return refuse(why, 503, "out of memory");
    }
    bad = parse_fields(head + eol + 2, head + n, (unsigned)MIN_OF(lines, (size_t)field_max), out,
                       why);
    if (!bad) {
        bad = read_framing(out, authority, why);
    }
    if (bad) {
        return bad;
    }
    return lower_host(out, a, why);
}

int http2_head(struct http1_head *out, struct str authority, bool ended, struct arena *a,
               const char **why)
{
    struct str other;
    int bad;

    out->version = 20;
    if (out->method == HTTP_METHOD_NONE) {
        return refuse(why, 501, "the method is not supported");
    }
    bad = parse_target(out, &other, why);
    if (!bad && (other.n > 0 || !authority_ok(authority))) {
        bad = refuse(why, 400, "the authority or the path of the request is malformed");
    }
    for (size_t i = 0; i < out->field_n && !bad; i++) {
        struct str v = out->fields[i].value;

        for (size_t k = 0; k < v.n && !bad; k++) {
            bad =
                is_value(v.p[k]) ? 0 : refuse(why, 400, "a header value holds a control character");
        }
    }
    if (!bad) {
        bad = read_framing(out, authority, why);
    }
    if (bad) {
        return bad;
    }
    if (ended || !out->has_length) {
        out->content_length = ended ? 0 : UINT64_MAX;
    }
    return lower_host(out, a, why);
}

/* ---- chunks ------------------------------------------------------------------------------------------------------- */

/* Fields that would change what the message is may not come after it. */
static bool trailer_forbidden(const struct http1_chunks *c)
{
    static const char *const names[] = { "content-length",
                                         "transfer-encoding",
                                         "host",
                                         "authorization",
                                         "content-encoding",
                                         "content-type",
                                         "content-range",
                                         "trailer",
                                         "te",
                                         "connection",
                                         "expect",
                                         "cookie" };

    for (size_t i = 0; i < ARRAY_N(names); i++) {
        if (str_eq(str_of(c->name, MIN_OF((size_t)c->name_n, sizeof(c->name))),
                   str_cstr(names[i]))) {
            return true;
        }
    }
    return false;
}

static enum http1_chunk_state on_size(struct http1_chunks *c, char ch)
{
    int d = num_hex_digit(ch);

    if (d >= 0) {
        if (c->digits == 15) {
            return HTTP1_CHUNK_BAD;
        }
        c->digits++;
        c->left = c->left * 16 + (unsigned)d;
        return HTTP1_CHUNK_SIZE;
    }
    if (c->digits == 0) {
        return HTTP1_CHUNK_BAD;
    }
    if (ch == ';') {
        return HTTP1_CHUNK_EXT;
    }
    return ch == '\r' ? HTTP1_CHUNK_SIZE_LF : HTTP1_CHUNK_BAD;
}

static enum http1_chunk_state on_trailer(struct http1_chunks *c, char ch)
{
    if (++c->trailer_n > HTTP1_TRAILER_MAX) {
        return HTTP1_CHUNK_BAD;
    }
    if (c->state == HTTP1_CHUNK_TRAILER) {
        if (ch == '\r') {
            return HTTP1_CHUNK_END_LF;
        }
        c->name_n = 0;
    }
    if (c->state != HTTP1_CHUNK_VALUE) {
        if (is_token(ch)) {
            if (c->name_n < sizeof(c->name)) {
                c->name[c->name_n] = lower(ch);
            }
            c->name_n++;
            return HTTP1_CHUNK_NAME;
        }
        return ch == ':' && c->name_n > 0 && !trailer_forbidden(c) ? HTTP1_CHUNK_VALUE
                                                                   : HTTP1_CHUNK_BAD;
    }
    if (ch == '\r') {
        return HTTP1_CHUNK_VALUE_LF;
    }
    return is_value(ch) ? HTTP1_CHUNK_VALUE : HTTP1_CHUNK_BAD;
}

static enum http1_chunk_state on_byte(struct http1_chunks *c, char ch)
{
    switch (c->state) {
    case HTTP1_CHUNK_SIZE: return on_size(c, ch);
    case HTTP1_CHUNK_EXT:
        if (ch == '\r') {
            return HTTP1_CHUNK_SIZE_LF;
        }
        return is_value(ch) && ++c->ext_n <= HTTP1_EXT_MAX ? HTTP1_CHUNK_EXT : HTTP1_CHUNK_BAD;
    case HTTP1_CHUNK_SIZE_LF:
        if (ch != '\n') {
            return HTTP1_CHUNK_BAD;
        }
        c->digits = 0;
        return c->left > 0 ? HTTP1_CHUNK_DATA : HTTP1_CHUNK_TRAILER;
    case HTTP1_CHUNK_DATA_CR: return ch == '\r' ? HTTP1_CHUNK_DATA_LF : HTTP1_CHUNK_BAD;
    case HTTP1_CHUNK_DATA_LF: return ch == '\n' ? HTTP1_CHUNK_SIZE : HTTP1_CHUNK_BAD;
    case HTTP1_CHUNK_TRAILER:
    case HTTP1_CHUNK_NAME:
    case HTTP1_CHUNK_VALUE: return on_trailer(c, ch);
    case HTTP1_CHUNK_VALUE_LF: return ch == '\n' ? HTTP1_CHUNK_TRAILER : HTTP1_CHUNK_BAD;
    case HTTP1_CHUNK_END_LF: return ch == '\n' ? HTTP1_CHUNK_DONE : HTTP1_CHUNK_BAD;
    case HTTP1_CHUNK_DATA:
    case HTTP1_CHUNK_DONE:
    case HTTP1_CHUNK_BAD: break;
    }
    return HTTP1_CHUNK_BAD;
}

void http1_chunks_feed(struct http1_chunks *c, struct str in, size_t *used, struct str *data)
{
    size_t i = 0;

    *data = (struct str){ NULL, 0 };
    while (i < in.n && c->state != HTTP1_CHUNK_DONE && c->state != HTTP1_CHUNK_BAD) {
        if (c->state == HTTP1_CHUNK_DATA) {
            size_t n = (size_t)MIN_OF((uint64_t)(in.n - i), c->left);

            *data = str_of(in.p + i, n);
            c->left -= n;
            i += n;
            if (c->left == 0) {
                c->state = HTTP1_CHUNK_DATA_CR;
            }
            break;
        }
        c->state = on_byte(c, in.p[i]);
        i += c->state != HTTP1_CHUNK_BAD;
    }
    *used = i;
}
