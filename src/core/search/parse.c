/* core/search/parse.c - filter text -> tree.
 *
 *     or    := and { OR and }                       lowest
 *     and   := unary { [AND] unary }                stray ANDs are skipped, as MLflow does
 *     unary := NOT unary | ( or ) | test
 *     test  := key comparator value | key [NOT] IN ( value {, value} ) | key IS [NOT] NULL
 *     key   := identifier | last|min|max|best ( metric )
 *
 * Divisions: errors; lists; values; tests; expressions. */
#include "base/num.h"
#include "base/utf8.h"
#include "core/search/regex.h"
#include "core/search/search_int.h"

#include <stdlib.h>

struct parser {
    enum search_entity entity;
    struct str source;
    struct token tok; /* the one to be read next */
    struct arena *arena;
    struct err *err;
    struct filter *filter;
    size_t keys_cap;
    unsigned depth, terms_n, items_n;
};

static void advance(struct parser *p)
{
    p->tok = lex_next(p->source, p->tok.end);
}

static struct token peek(const struct parser *p)
{
    return lex_next(p->source, p->tok.end);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static bool ends_clause(const struct token *t)
{
    return t->type == TOKEN_END || t->type == TOKEN_SEMICOLON || token_is_word(t, "AND") ||
           token_is_word(t, "OR");
}

/* The clause that begins at byte `from` cannot be read: shows its tokens up to the next AND or
 * OR. */
static enum status clause_error(struct parser *p, size_t from)
{
    const char *quote = p->entity == SEARCH_RUNS ? "'" : "";
    struct text_list list = { .n = 0 };
    struct token t = lex_next(p->source, from);
    char repr[1024];

    if (p->entity == SEARCH_LOGGED_MODELS) {
        text_repr(p->source, repr, sizeof(repr));
        return err_set(
            p->err, ST_INVALID,
            "Invalid filter string: %s. Expected a list of comparisons separated by 'AND' "
            "(e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').",
            repr);
    }
    do {
        text_list_add(&list, t.text, quote);
        t = lex_next(p->source, t.end);
    } while (!ends_clause(&t));
    return err_set(p->err, ST_INVALID, "Invalid clause(s) in filter string: %s", list.p);
}

static enum status too_many(struct parser *p, const char *what, int max)
{
    err_set(p->err, ST_INVALID, "the filter has more than %d %s", max, what);
    if (p->err) err_hint(p->err, "split the search into several");
    return ST_INVALID;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static enum status list_error(struct parser *p, const char *what)
{
    return err_set(
        p->err, ST_INVALID,
        "While parsing a list in the query, expected a non-empty list of string values, but got %s list%s",
        what, what[0] == 'i' ? "." : "");
}

/* Reads n hex digits at *at. */
static bool hex_digits(struct str s, size_t *at, size_t n, uint32_t *out)
{
    uint32_t v = 0;

    if (s.n - *at < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = s.p[(*at)++];

        if (c >= '0' && c <= '9') {
            v = v * 16 + (uint32_t)(c - '0');
        } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
            v = v * 16 + (uint32_t)((c | 32) - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = v;
    return true;
}

/* One escape after its backslash, as in Python's string literals. Returns false if it is
 * malformed. */
static bool unescape(struct str s, size_t *at, char **to)
{
    static const char from[] = "abfnrtv\\'\"", into[] = "\a\b\f\n\r\t\v\\'\"";
    char c = s.p[(*at)++];
    const char *simple = c ? strchr(from, c) : NULL;
    uint32_t cp = 0;

    if (simple) {
        *(*to)++ = into[simple - from];
        return true;
    }
    if (c == '\n') {
        return true;
    }
    if (c >= '0' && c <= '7') {
        cp = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '7'; i++) {
            cp = cp * 8 + (uint32_t)(s.p[(*at)++] - '0');
        }
    } else if (c == 'x' || c == 'u' || c == 'U') {
        if (!hex_digits(s, at,
                        c == 'x'   ? 2
                        : c == 'u' ? 4
                                   : 8,
                        &cp) ||
            cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) {
            return false;
        }
    } else {
        *(*to)++ = '\\';
        *(*to)++ = c;
        return true;
    }
    *to += utf8_put(cp, *to);
    return true;
}

/* The value of a quoted list item, read as Python would: escapes, and 'a''b' is two literals side
 * by side. Appends to *to, which has room for token.n bytes (an escape never grows). */
static bool list_literal(struct str token, char **to)
{
    size_t at = 0;

    while (at < token.n) {
        char quote = token.p[at++];
        bool is_closed = false;

        if (quote != '\'' && quote != '"') {
            return false;
        }
        while (at < token.n && !is_closed) {
            char c = token.p[at++];

            if (c == quote) {
                is_closed = true;
            } else if (c != '\\') {
                *(*to)++ = c;
            } else if (at == token.n || !unescape(token, &at, to)) {
                return false;
            }
        }
        if (!is_closed) {
            return false;
        }
    }
    return true;
}

static int text_order(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static size_t sort_unique(struct str *texts, size_t n)
{
    size_t kept = 0;

    qsort(texts, n, sizeof(*texts), text_order);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || !str_eq(texts[kept - 1], texts[i])) {
            texts[kept++] = texts[i];
        }
    }
    return kept;
}

/* The next list item: one or more string literals side by side. */
static enum status list_text(struct parser *p, struct str *out)
{
    struct token t = p->tok;
    size_t room = 0;
    char *text, *to;

    while (t.type == TOKEN_STRING || (t.type == TOKEN_WORD && token_is_quoted(&t))) {
        room += t.text.n;
        t = lex_next(p->source, t.end);
    }
    if (room == 0) {
        if (t.type == TOKEN_NUMBER) {
            return err_set(
                p->err, ST_INVALID,
                "While parsing a list in the query, expected string value, punctuation, or whitespace, "
                "but got different type in list: (%.*s,)",
                STR_ARG(t.text));
        }
        return list_error(p, "ill-formed");
    }
    text = to = arena_alloc(p->arena, room);
    if (!text) return err_nomem(p->err);
    while (p->tok.at < t.at) {
        if (!list_literal(p->tok.text, &to)) {
            return list_error(p, "ill-formed");
        }
        advance(p);
    }
    *out = str_of(text, (size_t)(to - text));
    return OK;
}

static bool number_parse(const struct token *t, struct search_number *out)
{
    char last;

    if (t->type != TOKEN_NUMBER) {
        return false;
    }
    last = t->text.p[t->text.n - 1];
    out->is_int = num_parse_i64(t->text, &out->i);
    return (last == '.' || (last >= '0' && last <= '9')) && num_parse_double(t->text, &out->d);
}

/* The next list item of a numeric key; quoted digits too where ids are. */
static enum status list_number(struct parser *p, const struct search_key *key,
                               struct search_number *out)
{
    struct token t = p->tok;

    if (key->attr == ATTR_EXPERIMENT_ID && (t.type == TOKEN_STRING || token_is_quoted(&t))) {
        t.text = str_sub(t.text, 1, t.text.n - 2);
        t.type = TOKEN_NUMBER;
        if (t.text.n == 0 || !number_parse(&t, out) || !out->is_int) {
            return err_set(p->err, ST_INVALID,
                           "Invalid experiment ID '%.*s'. Experiment ID must be a valid integer.",
                           STR_ARG(t.text));
        }
    } else if (!number_parse(&t, out)) {
        return err_set(p->err, ST_INVALID,
                       "Expected numeric value type in a list of numbers. Found %.*s",
                       STR_ARG(t.text));
    }
    advance(p);
    return OK;
}

/* ( item {, item} [,] ) at the current token. */
static enum status parse_list(struct parser *p, struct search_test *test)
{
    bool is_text = test->key->type == SEARCH_TEXT;
    size_t cap = 0, n = 0;
    enum status st;

    advance(p);
    if (p->tok.type == TOKEN_CLOSE) {
        return list_error(p, "empty");
    }
    while (p->tok.type != TOKEN_CLOSE) {
        if (++p->items_n > FILTER_LIST_MAX) {
            return too_many(p, "list items", FILTER_LIST_MAX);
        }
        if (!arena_grow(p->arena, is_text ? (void **)&test->texts : (void **)&test->numbers, n,
                        &cap, is_text ? sizeof(*test->texts) : sizeof(*test->numbers))) {
            return err_nomem(p->err);
        }
        st = is_text ? list_text(p, &test->texts[n]) : list_number(p, test->key, &test->numbers[n]);
        if (st) return st;
        n++;
        if (p->tok.type == TOKEN_COMMA) {
            advance(p);
        } else if (p->tok.type != TOKEN_CLOSE) {
            return list_error(p, "ill-formed");
        }
    }
    advance(p);
    test->list_n = is_text ? sort_unique(test->texts, n) : n;
    return OK;
}

/* ---- values ---------------------------------------------------------------------------------- */

static enum status text_value_error(struct parser *p, const struct search_key *key,
                                    const struct token *t)
{
    if (t->type == TOKEN_WORD && !token_is_word(t, "NULL")) {
        return err_set(
            p->err, ST_INVALID,
            "Parameter value is either not quoted or unidentified quote types used for string value "
            "%.*s. Use either single or double quotes.",
            STR_ARG(t->text));
    }
    if (key->kind == SEARCH_ATTR || key->kind == SEARCH_DATASET) {
        return err_set(p->err, ST_INVALID, "Expected a quoted string value for %s. Got value %.*s",
                       key->kind == SEARCH_ATTR ? "attributes" : "dataset attributes",
                       STR_ARG(t->text));
    }
    return err_set(p->err, ST_INVALID,
                   "Expected a quoted string value for %s (e.g. 'my-value'). Got value %.*s",
                   search_kind_name(key->kind), STR_ARG(t->text));
}

/* Copies the value's text without its quotes. Logged models take it without quotes too. */
static enum status text_value(struct parser *p, struct search_test *test, const struct token *t)
{
    struct str text = t->text;

    if (t->type == TOKEN_STRING || token_is_quoted(t)) {
        text = str_sub(text, 1, text.n - 2);
    } else if (p->entity != SEARCH_LOGGED_MODELS) {
        return text_value_error(p, test->key, t);
    }
    test->text = arena_str(p->arena, text);
    return test->text.p ? OK : err_nomem(p->err);
}

/* An attribute is named as in the filter. */
static enum status number_value(struct parser *p, struct search_test *test, const struct token *t,
                                struct str identifier)
{
    const struct search_key *key = test->key;

    if (key->attr == ATTR_EXPERIMENT_ID || key->attr == ATTR_VERSION_NUMBER) {
        struct token inner = *t;

        if (t->type == TOKEN_STRING || token_is_quoted(t)) {
            inner.text = str_sub(t->text, 1, t->text.n - 2);
            inner.type = inner.text.n ? TOKEN_NUMBER : TOKEN_STRING;
        } else if (t->type != TOKEN_NUMBER) {
            return text_value_error(p, key, t);
        }
        if (!number_parse(&inner, &test->number) || !test->number.is_int) {
            if (key->attr == ATTR_VERSION_NUMBER) {
                return err_set(p->err, ST_INVALID,
                               "Invalid value for numeric attribute 'version_number': '%.*s'",
                               STR_ARG(inner.text));
            }
            return err_set(p->err, ST_INVALID,
                           "Invalid experiment ID '%.*s'. Experiment ID must be a valid integer.",
                           STR_ARG(inner.text));
        }
        return OK;
    }
    if (number_parse(t, &test->number)) {
        if (p->entity != SEARCH_RUNS && p->entity != SEARCH_LOGGED_MODELS && !test->number.is_int) {
            return err_set(p->err, ST_INVALID, "Invalid value for numeric attribute '%.*s': '%.*s'",
                           STR_ARG(identifier), STR_ARG(t->text));
        }
        return OK;
    }
    if (key->kind == SEARCH_METRIC) {
        return err_set(p->err, ST_INVALID, "Expected numeric value type for metric. Found %.*s",
                       STR_ARG(t->text));
    }
    return err_set(p->err, ST_INVALID,
                   "Expected numeric value type for numeric attribute: %.*s. Found %.*s",
                   STR_ARG(identifier), STR_ARG(t->text));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const struct cmp_row {
    const char *name;
    enum search_cmp cmp;
    bool on_text, on_number;
} cmp_rows[] = {
    { "=", CMP_EQ, true, true },         { "!=", CMP_NE, true, true },
    { "<", CMP_LT, false, true },        { "<=", CMP_LE, false, true },
    { ">", CMP_GT, false, true },        { ">=", CMP_GE, false, true },
    { "LIKE", CMP_LIKE, true, false },   { "NOT LIKE", CMP_NOT_LIKE, true, false },
    { "ILIKE", CMP_ILIKE, true, false }, { "NOT ILIKE", CMP_NOT_ILIKE, true, false },
    { "=~", CMP_MATCH, true, false },    { "!~", CMP_NOT_MATCH, true, false },
    { "RLIKE", CMP_MATCH, true, false }, { "NOT RLIKE", CMP_NOT_MATCH, true, false },
    { "IN", CMP_IN, true, true },        { "NOT IN", CMP_NOT_IN, true, true },
};

static enum status cmp_error(struct parser *p, const struct search_key *key, struct str identifier,
                             const char *name)
{
    bool is_text = key->type == SEARCH_TEXT;
    struct text_list valid = { .n = 0 };

    if (key->attr == ATTR_EXPERIMENT_ID) {
        return err_set(p->err, ST_INVALID, "Invalid comparator for experiment_id: %s", name);
    }
    for (size_t i = 0; i < ARRAY_N(cmp_rows); i++) {
        if (is_text ? cmp_rows[i].on_text : cmp_rows[i].on_number) {
            text_list_add(&valid, str_cstr(cmp_rows[i].name), "'");
        }
    }
    if (is_text && (key->kind == SEARCH_PARAM || key->kind == SEARCH_TAG)) {
        text_list_add(&valid, S("IS NULL"), "'");
        text_list_add(&valid, S("IS NOT NULL"), "'");
    }
    if (p->entity == SEARCH_LOGGED_MODELS) {
        bool has_prefix = str_find_byte(identifier, '.', 0) != SIZE_MAX;

        return err_set(p->err, ST_INVALID,
                       "Invalid comparison operator for %s%.*s: '%s'. Expected one of (%s).",
                       has_prefix ? "" : "attributes.", STR_ARG(identifier), name, valid.p);
    }
    return err_set(p->err, ST_INVALID, "Invalid comparator '%s' not one of '{%s}'", name, valid.p);
}

/* The comparator as written, in upper case with single spaces, for tables and errors. */
static void cmp_name(struct parser *p, char *out, size_t cap)
{
    size_t n = MIN_OF(p->tok.text.n, cap - 1);

    for (size_t i = 0; i < n; i++) {
        char c = p->tok.text.p[i];

        out[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    out[n] = '\0';
    if (token_is_word(&p->tok, "NOT")) {
        out[n++] = ' ';
        advance(p);
        cmp_name(p, out + n, cap - n);
    }
}

/* Whether a comparator stands at the current token. NOT only before another word of the
 * language. */
static bool at_comparator(const struct parser *p)
{
    struct token t = p->tok;

    if (t.type == TOKEN_OPERATOR) {
        return true;
    }
    if (token_is_word(&t, "NOT")) {
        t = peek(p);
    }
    return token_is_word(&t, "IN") || token_is_word(&t, "LIKE") || token_is_word(&t, "ILIKE") ||
           token_is_word(&t, "RLIKE");
}

static enum status cmp_find(struct parser *p, struct search_test *test, struct str identifier,
                            const char *name)
{
    const struct search_key *key = test->key;

    for (size_t i = 0; i < ARRAY_N(cmp_rows); i++) {
        const struct cmp_row *row = &cmp_rows[i];

        if (strcmp(row->name, name) == 0 &&
            (key->type == SEARCH_TEXT ? row->on_text : row->on_number)) {
            test->cmp = row->cmp;
            if (key->attr == ATTR_EXPERIMENT_ID && row->cmp >= CMP_LT && row->cmp <= CMP_GE) {
                break;
            }
            return OK;
        }
    }
    return cmp_error(p, key, identifier, name);
}

/* The filter's own copy of a key, each once. */
static const struct search_key *key_intern(struct parser *p, const struct search_key *key)
{
    struct filter *f = p->filter;
    struct search_key *copy;

    for (size_t i = 0; i < f->keys_n; i++) {
        if (search_key_same(f->keys[i], key)) {
            return f->keys[i];
        }
    }
    copy = ARENA_NEW(p->arena, struct search_key);
    if (!copy ||
        !arena_grow(p->arena, (void **)&f->keys, f->keys_n, &p->keys_cap, sizeof(*f->keys))) {
        return NULL;
    }
    *copy = *key;
    copy->index = (unsigned)f->keys_n;
    f->keys[f->keys_n++] = copy;
    f->has_datasets |= key->kind == SEARCH_DATASET;
    f->has_metrics |= key->kind == SEARCH_METRIC;
    f->has_best |= key->agg == AGG_BEST;
    return copy;
}

/* Reads a key: its tokens first, what it names later, so that errors come in MLflow's order. */
struct left_side {
    struct str identifier;
    enum search_aggregate agg;
    bool is_function;
    struct token literal; /* a string or number stands where a key should */
};

static enum status parse_left(struct parser *p, size_t from, struct left_side *left)
{
    *left = (struct left_side){ .identifier = p->tok.text };
    if (p->tok.type == TOKEN_STRING || p->tok.type == TOKEN_NUMBER) {
        left->literal = p->tok;
    } else if (p->tok.type != TOKEN_WORD || token_is_keyword(&p->tok)) {
        return clause_error(p, from);
    } else if (peek(p).type == TOKEN_OPEN && aggregate_parse(p->tok.text, &left->agg)) {
        left->is_function = true;
        advance(p);
        advance(p);
        left->identifier = p->tok.text;
        if (p->tok.type != TOKEN_WORD || peek(p).type != TOKEN_CLOSE) {
            return clause_error(p, from);
        }
        advance(p);
    }
    advance(p);
    return OK;
}

/* What the left side names. Inside a function a name without prefix is a metric. */
static enum status resolve_left(struct parser *p, const struct left_side *left,
                                struct search_test *test)
{
    struct search_key key;
    enum status st;

    if (left->literal.type) {
        return err_set(p->err, ST_INVALID,
                       "Invalid comparison clause. Expected 'Identifier' found '%.*s'",
                       STR_ARG(left->literal.text));
    }
    st = left->is_function
             ? key_parse_metric(p->entity, left->identifier, left->agg, &key, p->arena, p->err)
             : key_parse(p->entity, left->identifier, false, &key, p->arena, p->err);
    if (st) return st;
    if (p->entity == SEARCH_RUNS &&
        key.attr == ATTR_RUN_NAME) { /* MLflow filters names by the tag */
        key = (struct search_key){ .kind = SEARCH_TAG,
                                   .type = SEARCH_TEXT,
                                   .name = S("mlflow.runName") };
    }
    test->key = key_intern(p, &key);
    return test->key ? OK : err_nomem(p->err);
}

/* IS [NOT] NULL at the current token. */
static enum status parse_null(struct parser *p, size_t from, const struct left_side *left,
                              struct search_test *test)
{
    size_t dot = str_find_byte(left->identifier, '.', 0);
    enum status st;

    test->cmp = CMP_IS_NULL;
    advance(p);
    if (token_is_word(&p->tok, "NOT")) {
        test->cmp = CMP_IS_NOT_NULL;
        advance(p);
    }
    if (!token_is_word(&p->tok, "NULL")) {
        return clause_error(p, from);
    }
    advance(p);
    st = resolve_left(p, left, test);
    if (st) return st;
    if (test->key->kind == SEARCH_TAG || test->key->kind == SEARCH_PARAM) {
        return OK;
    }
    if (p->entity != SEARCH_RUNS && p->entity != SEARCH_LOGGED_MODELS) {
        return err_set(p->err, ST_INVALID,
                       "IS NULL / IS NOT NULL is only supported for tags, not for attribute '%.*s'",
                       STR_ARG(left->identifier));
    }
    return err_set(
        p->err, ST_INVALID,
        "IS NULL / IS NOT NULL is only supported for tags and params, not for '%s' '%.*s'",
        search_kind_name(test->key->kind),
        STR_ARG(str_sub(left->identifier, dot == SIZE_MAX ? 0 : dot + 1, left->identifier.n)));
}

static enum status parse_comparison(struct parser *p, size_t from, struct search_test *test)
{
    struct left_side left;
    struct token value;
    char name[32];
    enum status st = parse_left(p, from, &left);

    if (st) return st;
    if (token_is_word(&p->tok, "IS")) {
        return parse_null(p, from, &left, test);
    }
    if (!at_comparator(p)) {
        return clause_error(p, from);
    }
    cmp_name(p, name, sizeof(name));
    advance(p);
    value = p->tok;
    if (strcmp(name, "IN") == 0 || strcmp(name, "NOT IN") == 0) {
        if (value.type != TOKEN_OPEN) {
            return clause_error(p, from);
        }
        st = resolve_left(p, &left, test);
        if (st) return st;
        st = parse_list(p, test);
        return st ? st : cmp_find(p, test, left.identifier, name);
    }
    if ((value.type != TOKEN_STRING && value.type != TOKEN_NUMBER && value.type != TOKEN_WORD) ||
        (token_is_keyword(&value) && !token_is_word(&value, "NULL"))) {
        return clause_error(p, from);
    }
    advance(p);
    st = resolve_left(p, &left, test);
    if (st) return st;
    st = test->key->type == SEARCH_TEXT ? text_value(p, test, &value)
                                        : number_value(p, test, &value, left.identifier);
    if (st) return st;
    st = cmp_find(p, test, left.identifier, name);
    if (st || (test->cmp != CMP_MATCH && test->cmp != CMP_NOT_MATCH)) return st;
    return regex_compile(&test->regex, test->text, p->arena, p->err);
}

static enum status parse_test(struct parser *p, struct filter_node **out)
{
    struct filter_node *node = ARENA_NEW(p->arena, struct filter_node);
    struct search_test *test = ARENA_NEW(p->arena, struct search_test);

    if (!node || !test) return err_nomem(p->err);
    if (++p->terms_n > FILTER_TERMS_MAX) {
        return too_many(p, "comparisons", FILTER_TERMS_MAX);
    }
    node->op = FILTER_TEST;
    node->test = test;
    *out = node;
    return parse_comparison(p, p->tok.at, test);
}

/* ---- expressions ----------------------------------------------------------------------------- */

static enum status parse_or(struct parser *p, struct filter_node **out);

/* How dear a test is, so that the cheap ones of an AND or OR come first. */
static int test_cost(const struct search_test *t)
{
    if (t->key->kind == SEARCH_DATASET) {
        return 4;
    }
    if (t->cmp == CMP_MATCH || t->cmp == CMP_NOT_MATCH) {
        return 3;
    }
    return t->cmp >= CMP_LIKE && t->cmp <= CMP_NOT_ILIKE ? 2 : t->key->type == SEARCH_TEXT;
}

static int node_cost(const struct filter_node *n)
{
    int cost = n->test ? test_cost(n->test) : 0;

    for (const struct filter_node *c = n->child; c; c = c->next) {
        int one = node_cost(c);

        cost = MAX_OF(cost, one);
    }
    return cost;
}

/* A parent over a list of children in the order of their cost; the child itself if it is the only
 * one. */
struct children {
    struct filter_node *bucket[5], *last[5];
    size_t n;
};

static void children_add(struct children *c, struct filter_node *node)
{
    int cost = node_cost(node);

    if (c->last[cost]) {
        c->last[cost]->next = node;
    } else {
        c->bucket[cost] = node;
    }
    c->last[cost] = node;
    c->n++;
}

static enum status children_end(struct parser *p, struct children *c, enum filter_op op,
                                struct filter_node **out)
{
    struct filter_node *first = NULL, *last = NULL, *node;

    for (size_t i = 0; i < ARRAY_N(c->bucket); i++) {
        if (!c->bucket[i]) {
            continue;
        }
        if (last) {
            last->next = c->bucket[i];
        } else {
            first = c->bucket[i];
        }
        last = c->last[i];
    }
    *out = first;
    if (c->n <= 1) {
        return OK;
    }
    node = ARENA_NEW(p->arena, struct filter_node);
    if (!node) return err_nomem(p->err);
    node->op = op;
    node->child = first;
    *out = node;
    return OK;
}

static enum status enter(struct parser *p)
{
    if (++p->depth > FILTER_DEPTH_MAX) {
        return too_many(p, "nested parentheses and NOTs", FILTER_DEPTH_MAX);
    }
    return OK;
}

static enum status parse_unary(struct parser *p, struct filter_node **out)
{
    size_t from = p->tok.at;
    struct filter_node *node;
    enum status st;

    if (token_is_word(&p->tok, "NOT")) {
        node = ARENA_NEW(p->arena, struct filter_node);
        if (!node) return err_nomem(p->err);
        st = enter(p);
        if (st) return st;
        advance(p);
        node->op = FILTER_NOT;
        *out = node;
        st = parse_unary(p, &node->child);
        p->depth--;
        return st;
    }
    if (p->tok.type != TOKEN_OPEN) {
        return parse_test(p, out);
    }
    st = enter(p);
    if (st) return st;
    advance(p);
    st = parse_or(p, out);
    if (st) return st;
    if (p->tok.type != TOKEN_CLOSE || !*out) {
        return clause_error(p, from);
    }
    p->depth--;
    advance(p);
    return OK;
}

static bool at_and_end(const struct parser *p)
{
    return p->tok.type == TOKEN_END || p->tok.type == TOKEN_CLOSE ||
           p->tok.type == TOKEN_SEMICOLON || token_is_word(&p->tok, "OR");
}

/* *out is NULL where there was no term at all. */
static enum status parse_and(struct parser *p, struct filter_node **out)
{
    struct children children = { .n = 0 };
    struct filter_node *node;
    enum status st;

    while (!at_and_end(p)) {
        if (token_is_word(&p->tok, "AND")) {
            advance(p);
            continue;
        }
        node = NULL;
        st = parse_unary(p, &node);
        if (st) return st;
        children_add(&children, node);
    }
    return children_end(p, &children, FILTER_AND, out);
}

static enum status parse_or(struct parser *p, struct filter_node **out)
{
    struct children children = { .n = 0 };
    struct filter_node *node = NULL;
    enum status st = parse_and(p, &node);

    if (st) return st;
    if (!token_is_word(&p->tok, "OR")) {
        *out = node;
        return OK;
    }
    while (node) {
        size_t at = p->tok.at;

        children_add(&children, node);
        if (!token_is_word(&p->tok, "OR")) {
            return children_end(p, &children, FILTER_OR, out);
        }
        advance(p);
        node = NULL;
        st = parse_and(p, &node);
        if (st) return st;
        if (!node) return clause_error(p, at);
    }
    return clause_error(p, p->tok.at);
}

/* What is left after the expression must be nothing. */
static enum status parse_end(struct parser *p)
{
    struct token t = p->tok;
    char repr[1024];

    if (t.type == TOKEN_END) {
        return OK;
    }
    while (t.type == TOKEN_SEMICOLON) {
        t = lex_next(p->source, t.end);
    }
    if (p->tok.type != TOKEN_SEMICOLON || t.type == TOKEN_END) {
        return clause_error(p, p->tok.at);
    }
    text_repr(p->source, repr, sizeof(repr));
    if (p->entity == SEARCH_LOGGED_MODELS) {
        return err_set(p->err, ST_INVALID,
                       "Invalid filter string: %s. Expected a single SQL expression.", repr);
    }
    return err_set(
        p->err, ST_INVALID,
        "Search filter contained multiple expression %s. Provide AND-ed expression list.", repr);
}

enum status filter_parse(struct filter **out, enum search_entity entity, struct str text,
                         struct arena *a, struct err *err)
{
    struct parser p = { .entity = entity, .source = text, .arena = a, .err = err };
    enum status st;

    *out = NULL;
    p.filter = ARENA_NEW(a, struct filter);
    if (!p.filter) return err_nomem(err);
    p.filter->entity = entity;
    if (text.n > FILTER_TEXT_MAX) {
        return err_set(err, ST_INVALID, "the filter is longer than %d bytes", FILTER_TEXT_MAX);
    }
    if (!utf8_valid(text) || str_find_byte(text, '\0', 0) != SIZE_MAX) {
        return err_set(err, ST_INVALID, "the filter is not valid UTF-8 or holds a NUL character");
    }
    advance(&p);
    if (text.n && p.tok.type == TOKEN_END) {
        return err_set(err, ST_INVALID, "Invalid filter '%.*s'. Could not be parsed.",
                       STR_ARG(text));
    }
    st = parse_or(&p, &p.filter->root);
    if (st) return st;
    st = parse_end(&p);
    if (st) return st;
    *out = p.filter;
    return OK;
}
