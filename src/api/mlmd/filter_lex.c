/* api/mlmd/filter_lex.c - the words of a filter_query, as GoogleSQL has them: strings in either quotes, three of them, raw ones; integers in
 * decimal and hexadecimal; names in backquotes; comments. */
#include "api/mlmd/filter_int.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 128 * 1024 };

enum status word_fail(const struct lexer *l, size_t at, struct err *err, const char *fmt, ...)
{
    char text[300];
    size_t line = 1, from = 0;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < at && i < l->in.n; i++) {
        if (l->in.p[i] == '\n') {
            line++;
            from = i + 1;
        }
    }
    return err_set(err, ST_INVALID, "Invalid `filter_query`: %s [at %zu:%zu]", text, line,
                   at - from + 1);
}

/* NUL behind the end. */
static char peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->in.n ? l->in.p[l->at + ahead] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool skip_line(struct lexer *l)
{
    size_t end = str_find_byte(l->in, '\n', l->at);

    l->at = end == SIZE_MAX ? l->in.n : end + 1;
    return true;
}

/* Blanks and comments. */
static enum status skip(struct lexer *l, struct err *err)
{
    for (;;) {
        char c = peek(l, 0);

        if (l->at < l->in.n && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            l->at++;
        } else if (c == '#' || (c == '-' && peek(l, 1) == '-')) {
            (void)skip_line(l);
        } else if (c == '/' && peek(l, 1) == '*') {
            size_t from = l->at;
            struct str rest = str_sub(l->in, l->at + 2, l->in.n);
            size_t end = str_find(rest, S("*/"));

            if (end == SIZE_MAX) {
                return word_fail(l, from, err, "Syntax error: Unclosed comment");
            }
            l->at += 2 + end + 2;
        } else {
            return OK;
        }
    }
}

/* ---- strings ----------------------------------------------------------------------------------------------------------------- */

/* `digits` digits of a base after a backslash; at most U+10FFFF, no surrogate, not U+0000. */
static bool put_point(struct lexer *l, struct buf *b, size_t digits, unsigned base)
{
    uint32_t cp = 0;
    char bytes[4];

    for (size_t i = 0; i < digits; i++, l->at++) {
        int d = num_hex_digit(peek(l, 0));

        if (d < 0 || (unsigned)d >= base || cp > 0x10ffff) {
            return false;
        }
        cp = cp * base + (uint32_t)d;
    }
    if (cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) {
        return false;
    }
    buf_put(b, bytes, utf8_put(cp, bytes));
    return true;
}

static bool put_escape(struct lexer *l, struct buf *b)
{
    static const char from[] = "abfnrtv\\?\"'`", to[] = "\a\b\f\n\r\t\v\\?\"'`";
    char c = peek(l, 0);

    for (size_t i = 0; i + 1 < sizeof(from); i++) {
        if (c == from[i]) {
            buf_put(b, &to[i], 1);
            l->at++;
            return true;
        }
    }
    if (c >= '0' && c <= '3') {
        return put_point(l, b, 3, 8);
    }
    l->at++;
    return c == 'x' || c == 'X' ? put_point(l, b, 2, 16)
           : c == 'u'           ? put_point(l, b, 4, 16)
           : c == 'U'           ? put_point(l, b, 8, 16)
                                : false;
}

static bool at_quotes(const struct lexer *l, char quote, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (peek(l, i) != quote) {
            return false;
        }
    }
    return true;
}

static enum status quoted(struct lexer *l, bool raw, struct buf *b, struct err *err)
{
    size_t from = l->at, n;
    char quote = peek(l, 0);
    bool closed;

    n = quote != '`' && at_quotes(l, quote, 3) ? 3 : 1;
    l->at += n;
    while (!(closed = at_quotes(l, quote, n)) && l->at < l->in.n) {
        char c = peek(l, 0);

        if (n == 1 && c == '\n') {
            break;
        }
        if (c == '\0') {
            return word_fail(l, l->at, err, "Syntax error: Illegal input character \"\\0\"");
        }
        if (c == '\\' && raw && l->at + 1 < l->in.n && peek(l, 1) != '\0') {
            buf_put(b, l->in.p + l->at, 2);
            l->at += 2;
        } else if (c == '\\') {
            l->at++;
            if (!put_escape(l, b)) {
                return word_fail(l, from, err, "Syntax error: Illegal escape sequence");
            }
        } else {
            buf_put(b, &c, 1);
            l->at++;
        }
    }
    if (!closed) {
        return word_fail(l, from, err, "Syntax error: Unclosed %s literal",
                         quote == '`' ? "identifier" : "string");
    }
    l->at += n;
    return OK;
}

static enum status text_of(struct lexer *l, bool raw, struct str *out, struct err *err)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    size_t from = l->at;
    enum status st = quoted(l, raw, &b, err);

    st = st ? st : buf_status(&b, "text of a filter", err);
    if (!st && !utf8_valid(buf_str(&b))) {
        st = word_fail(l, from, err, "Syntax error: Structurally invalid UTF8 string");
    }
    if (!st) {
        *out = arena_str(l->a, b.n ? buf_str(&b) : S(""));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

/* ---- numbers and names --------------------------------------------------------------------------------------------------------- */

static enum status hexadecimal(struct lexer *l, struct word *w, struct err *err)
{
    l->at += 2;
    w->kind = WORD_INT;
    for (; num_hex_digit(peek(l, 0)) >= 0; l->at++) {
        if (w->u >> 60) {
            return word_fail(l, w->at, err, "Invalid integer literal");
        }
        w->u = w->u << 4 | (uint64_t)num_hex_digit(peek(l, 0));
    }
    if (l->at == w->at + 2 || is_word(peek(l, 0))) {
        return word_fail(l, w->at, err, "Syntax error: Illegal number");
    }
    return OK;
}

static enum status number(struct lexer *l, struct word *w, struct err *err)
{
    bool real = false;
    struct str s;

    if (peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X')) {
        return hexadecimal(l, w, err);
    }
    while (is_digit(peek(l, 0)))
        l->at++;
    if (peek(l, 0) == '.') {
        real = true;
        l->at++;
        while (is_digit(peek(l, 0)))
            l->at++;
    }
    if (peek(l, 0) == 'e' || peek(l, 0) == 'E') {
        real = true;
        l->at += peek(l, 1) == '+' || peek(l, 1) == '-' ? 2 : 1;
        if (!is_digit(peek(l, 0))) {
            return word_fail(l, w->at, err, "Syntax error: Illegal number");
        }
        while (is_digit(peek(l, 0)))
            l->at++;
    }
    s = str_sub(l->in, w->at, l->at - w->at);
    if (is_word(peek(l, 0))) {
        return word_fail(l, w->at, err,
                         "Syntax error: Missing whitespace between literal and alias");
    }
    w->kind = real ? WORD_REAL : WORD_INT;
    if (!real && !num_parse_u64(s, &w->u)) {
        return word_fail(l, w->at, err, "Invalid integer literal: %.*s", WORD_ARG(s));
    }
    if (real) {
        /* 1. and .5 are numbers of the language. */
        struct str full = arena_printf(l->a, "%s%.*s", s.p[0] == '.' ? "0" : "", (int)s.n, s.p);
        size_t dot = str_find_byte(s, '.', 0);

        if (dot != SIZE_MAX && (dot + 1 == s.n || !is_digit(s.p[dot + 1]))) {
            full = arena_printf(l->a, "%s%.*s0%.*s", dot == 0 ? "0" : "", (int)(dot + 1), s.p,
                                (int)(s.n - dot - 1), s.p + dot + 1);
        }
        if (!full.p) {
            return err_nomem(err);
        }
        if (!num_parse_double(full, &w->d) || w->d - w->d != 0) {
            return word_fail(l, w->at, err, "Invalid floating point literal: %.*s", WORD_ARG(s));
        }
    }
    return OK;
}

static enum status part(struct lexer *l, struct word *w, struct err *err)
{
    struct str *to;
    size_t from = l->at;

    if (w->parts_n == WORD_PARTS_MAX) {
        return word_fail(l, w->at, err, "Unrecognized name: %.*s", WORD_ARG(w->parts[0]));
    }
    to = &w->parts[w->parts_n++];
    if (peek(l, 0) == '`') {
        w->quoted = w->quoted || w->parts_n == 1;
        return text_of(l, false, to, err);
    }
    while (is_word(peek(l, 0)))
        l->at++;
    *to = str_sub(l->in, from, l->at - from);
    return to->n ? OK : word_fail(l, from, err, "Syntax error: Unexpected \".\"");
}

static enum status name(struct lexer *l, struct word *w, struct err *err)
{
    enum status st = part(l, w, err);

    w->kind = WORD_NAME;
    while (!st && peek(l, 0) == '.') {
        l->at++;
        st = part(l, w, err);
    }
    return st;
}

static enum status sign(struct lexer *l, struct word *w, struct err *err)
{
    static const char *const signs[] = { "!=", "<>", "<=", ">=", "<", ">", "=",
                                         "(",  ")",  ",",  "+",  "-", "*", "/" };
    struct str rest = str_sub(l->in, l->at, 2);

    for (size_t i = 0; i < ARRAY_N(signs); i++) {
        if (str_starts(rest, str_cstr(signs[i]))) {
            w->kind = WORD_SIGN;
            l->at += strlen(signs[i]);
            return OK;
        }
    }
    if ((unsigned char)rest.p[0] < 0x20 || (unsigned char)rest.p[0] > 0x7e) {
        return word_fail(l, l->at, err, "Syntax error: Illegal input character \"\\x%02x\"",
                         (unsigned)(unsigned char)rest.p[0]);
    }
    return word_fail(l, l->at, err, "Syntax error: Illegal input character \"%c\"", rest.p[0]);
}

enum status word_next(struct lexer *l, struct word *out, struct err *err)
{
    enum status st = skip(l, err);
    char c = peek(l, 0), d = peek(l, 1);
    bool raw = (c == 'r' || c == 'R') && (d == '"' || d == '\'');

    *out = (struct word){ .at = l->at };
    if (st || l->at == l->in.n) {
        return st;
    }
    if (c == '"' || c == '\'' || raw) {
        out->kind = WORD_TEXT;
        l->at += raw ? 1 : 0;
        st = text_of(l, raw, &out->text, err);
    } else if (is_digit(c) || (c == '.' && is_digit(d))) {
        st = number(l, out, err);
    } else if (is_word(c) || c == '`') {
        st = name(l, out, err);
    } else {
        st = sign(l, out, err);
    }
    out->raw = str_sub(l->in, out->at, l->at - out->at);
    return st;
}
