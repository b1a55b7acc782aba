/* core/search/lex.c - words, strings, numbers and signs of filters, and helpers for the texts of
 * errors. Where MLflow's own lexer is lenient, so is this one: a quoted string may hold its quote
 * doubled or after a backslash, and keeps both as they are. */
#include "base/utf8.h"
#include "core/search/search_int.h"

#include <stdio.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_operator(char c)
{
    return c == '<' || c == '>' || c == '=' || c == '~' || c == '!';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What a name may hold without quotes. */
static bool is_bare(char c)
{
    unsigned char u = (unsigned char)c;

    return u > ' ' && u != 0x7f && !is_operator(c) && !memchr("()',;\"`", c, 7);
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* The end of the quoted text that begins at `at`: the longest one whose inner quotes are doubled or
 * come after a backslash; SIZE_MAX if it is not closed. */
static size_t quoted_end(struct str s, size_t at)
{
    char quote = s.p[at];
    size_t fallback = SIZE_MAX, i = at + 1;

    while (i < s.n) {
        if (quote != '`' && s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == quote) {
            fallback = i + 2;
            i += 2;
        } else if (s.p[i] != quote) {
            i++;
        } else if (i + 1 < s.n && s.p[i + 1] == quote) {
            fallback = i + 1;
            i += 2;
        } else {
            return i + 1;
        }
    }
    return fallback;
}

/* The end of a name made of bare and quoted parts; SIZE_MAX if a quote is not closed. */
static size_t word_end(struct str s, size_t at)
{
    size_t i = at;

    while (i < s.n) {
        bool may_quote = i == at || s.p[i - 1] == '.';

        if (may_quote && (s.p[i] == '`' || s.p[i] == '"' || (s.p[i] == '\'' && i > at))) {
            i = quoted_end(s, i);
            if (i >= s.n || s.p[i] != '.') {
                return i;
            }
            i++;
        } else if (is_bare(s.p[i])) {
            i++;
        } else {
            break;
        }
    }
    return i;
}

static size_t number_end(struct str s, size_t at)
{
    size_t i = at + 1;

    while (i < s.n && (is_bare(s.p[i]) && !strchr("+-/*", s.p[i]))) {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-') &&
            (s.p[i - 1] == 'e' || s.p[i - 1] == 'E') && is_digit(s.p[i - 2])) {
            i++;
        }
    }
    return i;
}

static bool is_number_start(struct str s, size_t at)
{
    if (at < s.n && (s.p[at] == '-' || s.p[at] == '+')) {
        at++;
    }
    if (at < s.n && s.p[at] == '.') {
        at++;
    }
    return at < s.n && is_digit(s.p[at]);
}

static enum token_type sign_type(char c)
{
    switch (c) {
    case '(': return TOKEN_OPEN;
    case ')': return TOKEN_CLOSE;
    case ',': return TOKEN_COMMA;
    case ';': return TOKEN_SEMICOLON;
    default: return TOKEN_BAD;
    }
}

/* The end of a character that begins nothing: a whole run of bare ones, so that errors show it as
 * written. */
static size_t bad_end(struct str s, size_t at)
{
    size_t i = at + 1;

    while (is_bare(s.p[at]) && i < s.n && is_bare(s.p[i])) {
        i++;
    }
    return i;
}

struct token lex_next(struct str s, size_t at)
{
    struct token t = { .type = TOKEN_END };

    while (at < s.n && is_space(s.p[at])) {
        at++;
    }
    t.at = t.end = at;
    if (at < s.n) {
        char c = s.p[at];

        if (c == '\'') {
            t.type = TOKEN_STRING;
            t.end = quoted_end(s, at);
        } else if (is_word_start(c) || c == '`' || c == '"') {
            t.type = TOKEN_WORD;
            t.end = word_end(s, at);
        } else if (is_number_start(s, at)) {
            t.type = TOKEN_NUMBER;
            t.end = number_end(s, at);
        } else if (is_operator(c)) {
            t.type = TOKEN_OPERATOR;
            while (t.end < s.n && is_operator(s.p[t.end])) {
                t.end++;
            }
        } else {
            t.type = sign_type(c);
            t.end = t.type == TOKEN_BAD ? bad_end(s, at) : at + 1;
        }
        if (t.end == SIZE_MAX) {
            t.type = TOKEN_BAD;
            t.end = at + 1;
        }
    }
    t.text = str_of(s.p + t.at, t.end - t.at);
    return t;
}

bool token_is_word(const struct token *t, const char *word)
{
    return t->type == TOKEN_WORD && str_eq_nocase(t->text, str_cstr(word));
}

bool token_is_keyword(const struct token *t)
{
    static const char *const words[] = { "AND",  "OR",   "NOT",   "IN",   "IS",
                                         "NULL", "LIKE", "ILIKE", "RLIKE" };

    for (size_t i = 0; i < ARRAY_N(words); i++) {
        if (token_is_word(t, words[i])) {
            return true;
        }
    }
    return false;
}

bool token_is_quoted(const struct token *t)
{
    return t->text.n >= 2 && t->text.p[0] == '"' && t->text.p[t->text.n - 1] == '"';
}

/* Texts of errors. */

void text_list_add(struct text_list *l, struct str s, const char *quote)
{
    int n = snprintf(l->p + l->n, sizeof(l->p) - l->n, "%s%s%.*s%s", l->n ? ", " : "", quote,
                     STR_ARG(s), quote);

    if (n > 0 && (size_t)n < sizeof(l->p) - l->n) {
        l->n += (size_t)n;
    } else {
        l->p[l->n] = '\0';
    }
}

static size_t repr_char(struct str s, size_t *at, char quote, char out[16])
{
    unsigned char c = (unsigned char)s.p[*at];
    size_t n, from = *at;

    if (c >= 0x80) {
        utf8_next(s, at);
        n = *at - from;
        memcpy(out, s.p + from, n);
        return n;
    }
    (*at)++;
    if (c == (unsigned char)quote || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c >= ' ' && c != 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    if (c == '\n' || c == '\t' || c == '\r') {
        out[0] = '\\';
        out[1] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        return 2;
    }
    return (size_t)snprintf(out, 16, "\\x%02x", (unsigned)c);
}

void text_repr(struct str s, char *out, size_t cap)
{
    bool has_single = str_find_byte(s, '\'', 0) != SIZE_MAX;
    bool has_double = str_find_byte(s, '"', 0) != SIZE_MAX;
    char quote = has_single && !has_double ? '"' : '\'';
    size_t n = 0, at = 0;

    out[n++] = quote;
    while (at < s.n) {
        char piece[16];
        size_t len = repr_char(s, &at, quote, piece);

        if (n + len + 5 > cap) {
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        memcpy(out + n, piece, len);
        n += len;
    }
    out[n++] = quote;
    out[n] = '\0';
}
