/* api/kubeflow/filter.c - filterQuery: lexer, parser, and what a comparison means. */
#include "api/kubeflow/filter.h"
#include "base/num.h"
#include "base/utf8.h"
#include "core/search/text.h"
#include <math.h>

enum token_type {
    TOKEN_END,
    TOKEN_WORD,   /* a dotted name, a keyword, a literal */
    TOKEN_QUOTED, /* `name` */
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_OPERATOR,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_BAD
};
struct token {
    enum token_type type;
    struct str text; /* STRING and QUOTED: between the quotes, escapes as written */
    size_t at;
};

enum compare { IS_EQ, IS_NE, IS_LT, IS_LE, IS_GT, IS_GE, IS_LIKE, IS_ILIKE, IS_IN };
enum node_op { NODE_AND, NODE_OR, NODE_TEST };
struct node {
    enum node_op op;
    struct node *child; /* first of AND, OR */
    struct node *next;  /* child of the same parent */
    struct kf_property property;
    enum compare compare;
    struct kf_value *values; /* one, or those of IN */
    size_t values_n;
};
struct kf_filter {
    struct node *root; /* NULL: everything matches */
};

struct parser {
    struct str text;
    size_t at; /* behind `next` */
    struct token next;
    const struct kf_known *known;
    struct arena *a;
    size_t terms, depth;
    struct err *err;
};

/* ---- tokens ------------------------------------------------------------------------------------------------------------ */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_blank(struct str s, size_t at)
{
    while (at < s.n) {
        if (s.p[at] == ' ' || s.p[at] == '\t' || s.p[at] == '\n' || s.p[at] == '\r') {
            at++;
        } else if (s.p[at] == '-' && at + 1 < s.n && s.p[at + 1] == '-') {
            at = str_find_byte(s, '\n', at);
            at = at == SIZE_MAX ? s.n : at;
        } else {
            break;
        }
    }
    return at;
}

/* Up to the closing quote; `escapes`: a backslash takes the next byte along. */
static struct token quoted(struct str s, size_t at, enum token_type type, size_t *end)
{
    char quote = s.p[at];
    size_t i = at + 1;

    while (i < s.n && s.p[i] != quote) {
        i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
    }
    *end = i < s.n ? i + 1 : s.n;
    return i < s.n ? (struct token){ type, str_of(s.p + at + 1, i - at - 1), at }
                   : (struct token){ TOKEN_BAD, str_of(s.p + at, s.n - at), at };
}

static size_t number_end(struct str s, size_t at)
{
    size_t i = at + (s.p[at] == '-' || s.p[at] == '+'), digits = 0;

    while (i < s.n && (is_digit(s.p[i]) || s.p[i] == '.')) {
        digits += is_digit(s.p[i]);
        i++;
    }
    if (digits && i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        size_t e = i + 1;

        e += e < s.n && (s.p[e] == '-' || s.p[e] == '+');
        if (e < s.n && is_digit(s.p[e])) {
            while (e < s.n && is_digit(s.p[e])) {
                e++;
            }
            i = e;
        }
    }
    return digits ? i : at;
}

static struct token lex(struct str s, size_t at, size_t *end)
{
    size_t i = at, n;
    char c;

    if (at >= s.n) {
        *end = s.n;
        return (struct token){ TOKEN_END, S(""), at };
    }
    c = s.p[at];
    *end = at + 1;
    switch (c) {
    case '(': return (struct token){ TOKEN_OPEN, str_of(s.p + at, 1), at };
    case ')': return (struct token){ TOKEN_CLOSE, str_of(s.p + at, 1), at };
    case ',': return (struct token){ TOKEN_COMMA, str_of(s.p + at, 1), at };
    case '`': return quoted(s, at, TOKEN_QUOTED, end);
    case '\'':
    case '"': return quoted(s, at, TOKEN_STRING, end);
    case '=':
    case '!':
    case '<':
    case '>':
        n = at + 1 < s.n && (s.p[at + 1] == '=' || (c == '<' && s.p[at + 1] == '>')) ? 2 : 1;
        *end = at + n;
        return (struct token){ TOKEN_OPERATOR, str_of(s.p + at, n), at };
    default: break;
    }
    i = is_digit(c) || c == '-' || c == '+' || c == '.' ? number_end(s, at) : at;
    if (i > at) {
        *end = i;
        return (struct token){ TOKEN_NUMBER, str_of(s.p + at, i - at), at };
    }
    if (c == '.') {
        return (struct token){ TOKEN_DOT, str_of(s.p + at, 1), at };
    }
    while (i < s.n && (is_letter(s.p[i]) || is_digit(s.p[i]))) {
        i++;
    }
    *end = i > at ? i : at + 1;
    return (struct token){ i > at ? TOKEN_WORD : TOKEN_BAD, str_of(s.p + at, *end - at), at };
}

static void advance(struct parser *p)
{
    p->next = lex(p->text, skip_blank(p->text, p->at), &p->at);
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->next.type == TOKEN_WORD && str_eq_nocase(p->next.text, str_cstr(word));
}

static enum status syntax(const struct parser *p, const char *what)
{
    struct str found = str_sub(p->next.text, 0, 64);

    while (found.n && !utf8_valid(found)) {
        found.n--;
    }
    return err_field(p->err, ST_INVALID, "filterQuery",
                     "invalid filter query syntax: %s at byte %zu%s%.*s%s (filterQuery)", what,
                     p->next.at, found.n ? ", found '" : "", STR_ARG(found), found.n ? "'" : "");
}

static enum status mismatch(const struct parser *p, struct str property)
{
    return err_field(
        p->err, ST_INVALID, "filterQuery",
        "invalid filter query, type mismatch or invalid value in comparison with '%.*s' "
        "(filterQuery)",
        STR_ARG(utf8_prefix(property, 200)));
}

/* Takes backslashes away from in front of the bytes that they protect. */
static struct str unescape(struct arena *a, struct str raw)
{
    struct str out = arena_str(a, raw);
    char *to = (char *)(uintptr_t)out.p;

    if (!out.p) {
        return out;
    }
    out.n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];

        if (c == '\\' && i + 1 < raw.n) {
            c = raw.p[++i];
            c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
        }
        to[out.n++] = c;
    }
    return out;
}

/* ---- parsing -------------------------------------------------------------------------------------------------------------- */

static enum kf_type suffix_type(struct str word)
{
    return str_eq_lit(word, "string_value")   ? KF_TEXT
           : str_eq_lit(word, "int_value")    ? KF_INT
           : str_eq_lit(word, "double_value") ? KF_DOUBLE
           : str_eq_lit(word, "bool_value")   ? KF_BOOL
                                              : KF_NONE;
}

static enum status parse_property(struct parser *p, struct kf_property *out)
{
    bool plain = p->next.type == TOKEN_WORD;

    *out = (struct kf_property){ 0 };
    if (!plain && p->next.type != TOKEN_QUOTED) {
        return syntax(p, "a property is expected");
    }
    out->name = plain ? p->next.text : unescape(p->a, p->next.text);
    if (!out->name.p) {
        return err_nomem(p->err);
    }
    advance(p);
    while (p->next.type == TOKEN_DOT) {
        advance(p);
        if (p->next.type != TOKEN_WORD || out->type) {
            return syntax(p, "a name is expected behind the dot");
        }
        out->type = suffix_type(p->next.text);
        if (!out->type) {
            out->name = arena_printf(p->a, "%.*s.%.*s", STR_ARG(out->name), STR_ARG(p->next.text));
            plain = false;
        }
        if (!out->name.p) {
            return err_nomem(p->err);
        }
        advance(p);
    }
    for (const struct kf_known *k = p->known; k->name && !out->type; k++) {
        if (str_eq(out->name, str_cstr(k->name))) {
            out->known = k;
        }
    }
    return out->name.n ? OK : syntax(p, "a property is expected");
}

static enum status parse_value(struct parser *p, struct kf_value *out)
{
    const struct token t = p->next;

    *out = (struct kf_value){ 0 };
    if (t.type == TOKEN_STRING) {
        out->type = KF_TEXT;
        out->text = unescape(p->a, t.text);
        if (!out->text.p) {
            return err_nomem(p->err);
        }
    } else if (t.type == TOKEN_NUMBER) {
        out->type = num_parse_i64(t.text, &out->i) ? KF_INT : KF_DOUBLE;
        if (!num_parse_double(t.text, &out->d)) {
            return syntax(p, "this is not a number");
        }
    } else if (is_word(p, "true") || is_word(p, "false")) {
        out->type = KF_BOOL;
        out->i = is_word(p, "true");
    } else {
        return syntax(p, "a value is expected");
    }
    advance(p);
    return ++p->terms > KF_FILTER_TERMS_MAX ? syntax(p, "too many comparisons") : OK;
}

/* Makes a literal what the property's own type needs. */
static enum status fit(struct parser *p, const struct node *n, struct kf_value *v)
{
    enum kf_type want = n->property.known ? n->property.known->type : n->property.type;
    bool like = n->compare == IS_LIKE || n->compare == IS_ILIKE;

    if (like && (v->type != KF_TEXT || (want != KF_NONE && want != KF_TEXT))) {
        return mismatch(p, n->property.name);
    }
    if (want == KF_INT && v->type == KF_TEXT && num_parse_i64(v->text, &v->i)) {
        v->type = KF_INT; /* ids and times are text in JSON */
        v->d = (double)v->i;
    }
    if ((want == KF_DOUBLE || want == KF_INT) && (v->type == KF_INT || v->type == KF_DOUBLE)) {
        return OK;
    }
    if (want != KF_NONE && want != v->type) {
        return mismatch(p, n->property.name);
    }
    if (v->type == KF_BOOL && n->compare != IS_EQ && n->compare != IS_NE && n->compare != IS_IN) {
        return mismatch(p, n->property.name);
    }
    return OK;
}

static enum status parse_list(struct parser *p, struct node *n)
{
    size_t cap = 0;
    enum status st = OK;

    if (p->next.type != TOKEN_OPEN) {
        return syntax(p, "a list in parentheses is expected");
    }
    advance(p);
    while (!st && p->next.type != TOKEN_CLOSE) {
        if (!arena_grow(p->a, (void **)&n->values, n->values_n, &cap, sizeof(*n->values))) {
            return err_nomem(p->err);
        }
        st = parse_value(p, &n->values[n->values_n]);
        st = st ? st : fit(p, n, &n->values[n->values_n++]);
        if (!st && p->next.type == TOKEN_COMMA) {
            advance(p);
            if (p->next.type == TOKEN_CLOSE) {
                st = syntax(p, "a value is expected");
            }
        } else if (!st && p->next.type != TOKEN_CLOSE) {
            st = syntax(p, "a comma or ')' is expected");
        }
    }
    if (!st) {
        advance(p);
    }
    return st;
}

static bool read_compare(const struct parser *p, enum compare *out)
{
    static const struct {
        const char *text;
        enum compare compare;
    } operators[] = { { "=", IS_EQ },        { "!=", IS_NE }, { "<>", IS_NE }, { "<", IS_LT },
                      { "<=", IS_LE },       { ">", IS_GT },  { ">=", IS_GE }, { "LIKE", IS_LIKE },
                      { "ILIKE", IS_ILIKE }, { "IN", IS_IN } };

    for (size_t i = 0; i < ARRAY_N(operators); i++) {
        if ((p->next.type == TOKEN_OPERATOR || p->next.type == TOKEN_WORD) &&
            str_eq_nocase(p->next.text, str_cstr(operators[i].text))) {
            *out = operators[i].compare;
            return true;
        }
    }
    return false;
}

static enum status parse_test(struct parser *p, struct node **out)
{
    struct node *n = ARENA_NEW(p->a, struct node);
    enum status st = n ? parse_property(p, &n->property) : err_nomem(p->err);

    if (st) {
        return st;
    }
    n->op = NODE_TEST;
    *out = n;
    if (!read_compare(p, &n->compare)) {
        return syntax(p, "an operator is expected");
    }
    advance(p);
    if (n->compare == IS_IN) {
        return parse_list(p, n);
    }
    n->values = ARENA_NEW(p->a, struct kf_value);
    n->values_n = 1;
    st = n->values ? parse_value(p, n->values) : err_nomem(p->err);
    return st ? st : fit(p, n, n->values);
}

static enum status parse_or(struct parser *p, struct node **out);

static enum status parse_term(struct parser *p, struct node **out)
{
    enum status st;

    if (p->next.type != TOKEN_OPEN) {
        return parse_test(p, out);
    }
    if (++p->depth > KF_FILTER_DEPTH_MAX) {
        return syntax(p, "parentheses are nested too deeply");
    }
    advance(p);
    st = parse_or(p, out);
    if (st) {
        return st;
    }
    if (p->next.type != TOKEN_CLOSE) {
        return syntax(p, "')' is expected");
    }
    p->depth--;
    advance(p);
    return OK;
}

static enum status parse_chain(struct parser *p, enum node_op op, const char *word,
                               enum status (*part)(struct parser *, struct node **),
                               struct node **out)
{
    enum status st = part(p, out);
    struct node *last = *out, *all;

    if (st || !is_word(p, word)) {
        return st;
    }
    all = ARENA_NEW(p->a, struct node);
    if (!all) {
        return err_nomem(p->err);
    }
    *all = (struct node){ .op = op, .child = *out };
    *out = all;
    while (!st && is_word(p, word)) {
        advance(p);
        st = part(p, &last->next);
        last = last->next;
    }
    return st;
}

static enum status parse_and(struct parser *p, struct node **out)
{
    return parse_chain(p, NODE_AND, "AND", parse_term, out);
}

static enum status parse_or(struct parser *p, struct node **out)
{
    return parse_chain(p, NODE_OR, "OR", parse_and, out);
}

enum status kf_filter_parse(struct kf_filter **out, struct str text, const struct kf_known *known,
                            struct arena *a, struct err *err)
{
    struct parser p = { .text = text, .known = known, .a = a, .err = err };
    enum status st = OK;

    *out = ARENA_NEW(a, struct kf_filter);
    if (!*out) {
        return err_nomem(err);
    }
    if (text.n > KF_FILTER_TEXT_MAX) {
        return err_field(err, ST_INVALID, "filterQuery",
                         "invalid filter query syntax: filterQuery exceeds %d bytes",
                         KF_FILTER_TEXT_MAX);
    }
    advance(&p);
    if (p.next.type != TOKEN_END) {
        st = parse_or(&p, &(*out)->root);
        if (!st && p.next.type != TOKEN_END) {
            st = syntax(&p, "AND, OR or the end is expected");
        }
    }
    return st;
}

bool kf_filter_is_empty(const struct kf_filter *f)
{
    return f->root == NULL;
}

/* ---- matching --------------------------------------------------------------------------------------------------------------- */

static bool holds(enum compare c, int order)
{
    switch (c) {
    case IS_EQ:
    case IS_IN: return order == 0;
    case IS_NE: return order != 0;
    case IS_LT: return order < 0;
    case IS_LE: return order <= 0;
    case IS_GT: return order > 0;
    case IS_GE: return order >= 0;
    case IS_LIKE:
    case IS_ILIKE: break;
    }
    return false;
}

static bool test_value(const struct node *n, const struct kf_value *literal,
                       const struct kf_value *v)
{
    bool numbers = (v->type == KF_INT || v->type == KF_DOUBLE) &&
                   (literal->type == KF_INT || literal->type == KF_DOUBLE);

    if (n->compare == IS_LIKE || n->compare == IS_ILIKE) {
        return v->type == KF_TEXT && like_match(v->text, literal->text, n->compare == IS_ILIKE);
    }
    /* A float is never a custom integer. */
    if (numbers && !n->property.known && literal->type == KF_DOUBLE && v->type == KF_INT) {
        return false;
    }
    if (v->type == KF_INT && literal->type == KF_INT) {
        return holds(n->compare, (v->i > literal->i) - (v->i < literal->i));
    }
    if (numbers) {
        if (isnan(v->d) || isnan(literal->d)) {
            return n->compare == IS_NE; /* NaN is unequal to everything */
        }
        return holds(n->compare, (v->d > literal->d) - (v->d < literal->d));
    }
    if (v->type != literal->type) {
        return false;
    }
    return holds(n->compare, v->type == KF_TEXT ? str_cmp(v->text, literal->text)
                                                : (v->i > literal->i) - (v->i < literal->i));
}

struct match {
    enum status (*get)(void *row, const struct kf_property *p, struct kf_value *out,
                       struct err *err);
    void *row;
    struct err *err;
};

static enum status match_test(struct match *m, const struct node *n, bool *out)
{
    struct kf_value v = { 0 };
    enum status st = m->get(m->row, &n->property, &v, m->err);

    *out = false;
    if (st || v.type == KF_NONE ||
        (!n->property.known && n->property.type && n->property.type != v.type)) {
        return st;
    }
    for (size_t i = 0; i < n->values_n && !*out; i++) {
        *out = test_value(n, &n->values[i], &v);
    }
    return OK;
}

/* As deep as the parentheses of the text. */
static enum status match_node(struct match *m, const struct node *n, bool *out)
{
    enum status st = OK;

    if (n->op == NODE_TEST) {
        return match_test(m, n, out);
    }
    *out = n->op == NODE_AND;
    for (n = n->child; !st && n; n = n->next) {
        bool one;

        st = match_node(m, n, &one);
        if (!st && one != *out) {
            *out = one;
            break;
        }
    }
    return st;
}

enum status kf_filter_match(const struct kf_filter *f,
                            enum status (*get)(void *row, const struct kf_property *p,
                                               struct kf_value *out, struct err *err),
                            void *row, bool *match, struct err *err)
{
    struct match m = { .get = get, .row = row, .err = err };

    *match = true;
    return f->root ? match_node(&m, f->root, match) : OK;
}
