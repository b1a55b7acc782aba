/* api/mlmd/filter.c - filter_query of list options: a boolean expression of GoogleSQL, read by binding power into the typed tree that the store
 * makes SQL of. What a client may match (codes, beginnings of texts) is the reference library's. */
#include "api/mlmd/filter_int.h"
#include "api/mlmd/mlmd_int.h"

enum { QUERY_MAX = 64 * 1024, DEPTH_MAX = 32 };
/* How tightly words bind. Comparisons do not chain. */
enum { BIND_OR = 1, BIND_AND, BIND_NOT, BIND_COMPARE, BIND_ADD, BIND_MUL, BIND_SIGN };

struct parser {
    struct lexer l;
    struct word now; /* not yet taken */
    enum node_kind kind;
    struct nodefilter *f;
    size_t exprs, sums, depth;
    struct err *err;
};

/* ---- columns ------------------------------------------------------------------------------------------------------------------ */

struct column {
    const char *name;
    enum nodefilter_field field;
    enum nodefilter_type type;
    unsigned tables; /* where it is: bits of enum place */
};
/* The listed nodes of the three kinds, then neighbours. */
enum place {
    AT_ARTIFACT = 1 << 1, /* 1 << enum node_kind */
    AT_EXECUTION = 1 << 2,
    AT_CONTEXT = 1 << 3,
    AT_PROP = 1 << 4,
    AT_CONTEXT_OF = 1 << 5,
    AT_EVENT = 1 << 6,
    AT_ARTIFACT_OF = 1 << 7,
    AT_EXECUTION_OF = 1 << 8,
    AT_NODE = AT_ARTIFACT | AT_EXECUTION | AT_CONTEXT,
    AT_MEMBER = AT_ARTIFACT_OF | AT_EXECUTION_OF,
    AT_ANY = AT_NODE | AT_CONTEXT_OF | AT_MEMBER
};
_Static_assert(AT_ARTIFACT == 1 << NODE_ARTIFACT && AT_EXECUTION == 1 << NODE_EXECUTION &&
                   AT_CONTEXT == 1 << NODE_CONTEXT,
               "a listed node is at the bit of its kind");

static const struct column columns[] = {
    { "id", NODEFILTER_ID, NODEFILTER_OF_INT, AT_ANY },
    { "name", NODEFILTER_NAME, NODEFILTER_OF_TEXT, AT_ANY },
    { "type", NODEFILTER_TYPE, NODEFILTER_OF_TEXT, AT_ANY },
    { "create_time_since_epoch", NODEFILTER_CREATE, NODEFILTER_OF_INT, AT_ANY },
    { "last_update_time_since_epoch", NODEFILTER_UPDATE, NODEFILTER_OF_INT, AT_ANY },
    { "type_id", NODEFILTER_TYPE_ID, NODEFILTER_OF_INT, AT_NODE },
    { "external_id", NODEFILTER_EXTERNAL_ID, NODEFILTER_OF_TEXT, AT_NODE | AT_MEMBER },
    { "uri", NODEFILTER_URI, NODEFILTER_OF_TEXT, AT_ARTIFACT | AT_ARTIFACT_OF },
    { "state", NODEFILTER_STATE, NODEFILTER_OF_INT, AT_ARTIFACT | AT_ARTIFACT_OF },
    { "last_known_state", NODEFILTER_STATE, NODEFILTER_OF_INT, AT_EXECUTION | AT_EXECUTION_OF },
    { "type", NODEFILTER_EVENT_TYPE, NODEFILTER_OF_INT, AT_EVENT },
    { "milliseconds_since_epoch", NODEFILTER_EVENT_MS, NODEFILTER_OF_INT, AT_EVENT },
    { "int_value", NODEFILTER_INT_VALUE, NODEFILTER_OF_INT, AT_PROP },
    { "double_value", NODEFILTER_DOUBLE_VALUE, NODEFILTER_OF_REAL, AT_PROP },
    { "string_value", NODEFILTER_TEXT_VALUE, NODEFILTER_OF_TEXT, AT_PROP },
    { "bool_value", NODEFILTER_BOOL_VALUE, NODEFILTER_OF_BOOL, AT_PROP },
};

/* Neighbours: PREFIX and any word. */
static const struct {
    const char *prefix;
    enum nodefilter_table_kind table;
    unsigned place, of; /* of: listed nodes that have them */
} neighbours[] = {
    { "contexts_", NODEFILTER_CONTEXT, AT_CONTEXT_OF, AT_ARTIFACT | AT_EXECUTION },
    { "events_", NODEFILTER_EVENT, AT_EVENT, AT_ARTIFACT | AT_EXECUTION },
    { "parent_contexts_", NODEFILTER_PARENT, AT_CONTEXT_OF, AT_CONTEXT },
    { "child_contexts_", NODEFILTER_CHILD, AT_CONTEXT_OF, AT_CONTEXT },
    { "artifacts_", NODEFILTER_ARTIFACT, AT_ARTIFACT_OF, AT_CONTEXT },
    { "executions_", NODEFILTER_EXECUTION, AT_EXECUTION_OF, AT_CONTEXT },
};

static const char *const artifact_states[] = {
    "UNKNOWN", "PENDING", "LIVE", "MARKED_FOR_DELETION", "DELETED", "ABANDONED", "REFERENCE"
};
static const char *const execution_states[] = { "UNKNOWN", "NEW",    "RUNNING", "COMPLETE",
                                                "FAILED",  "CACHED", "CANCELED" };
static const char *const event_types[] = { "UNKNOWN",         "DECLARED_OUTPUT", "DECLARED_INPUT",
                                           "INPUT",           "OUTPUT",          "INTERNAL_INPUT",
                                           "INTERNAL_OUTPUT", "PENDING_OUTPUT" };

/* ---- trees -------------------------------------------------------------------------------------------------------------------- */

static enum status parse(struct parser *p, int least, struct nodefilter_expr **out);

static enum status expr_new(struct parser *p, enum nodefilter_op op, enum nodefilter_type type,
                            struct nodefilter_expr **out)
{
    if (++p->exprs > NODEFILTER_EXPRS_MAX) {
        return err_set(p->err, ST_INVALID,
                       "Invalid `filter_query`: it has more than %d operators and operands",
                       NODEFILTER_EXPRS_MAX);
    }
    *out = ARENA_NEW(p->l.a, struct nodefilter_expr);
    if (!*out) {
        return err_nomem(p->err);
    }
    (*out)->op = op;
    (*out)->type = type;
    (*out)->table = -1;
    return OK;
}

static enum status take(struct parser *p)
{
    return word_next(&p->l, &p->now, p->err);
}

static bool is_keyword(const struct word *w, const char *keyword)
{
    return w->kind == WORD_NAME && w->parts_n == 1 && !w->quoted &&
           str_eq_nocase(w->parts[0], str_cstr(keyword));
}

static bool is_sign(const struct word *w, const char *sign)
{
    return w->kind == WORD_SIGN && str_eq(w->raw, str_cstr(sign));
}

static bool is_reserved(const struct word *w)
{
    static const char *const words[] = { "AND",     "OR",    "NOT",    "IN",     "LIKE",
                                         "BETWEEN", "IS",    "NULL",   "TRUE",   "FALSE",
                                         "CASE",    "CAST",  "SELECT", "EXISTS", "IF",
                                         "FROM",    "WHERE", "ARRAY",  "STRUCT" };

    for (size_t i = 0; i < ARRAY_N(words); i++) {
        if (is_keyword(w, words[i])) {
            return true;
        }
    }
    return false;
}

static enum status unexpected(struct parser *p)
{
    const struct word *w = &p->now;

    if (w->kind == WORD_END) {
        return word_fail(&p->l, w->at, p->err, "Syntax error: Unexpected end of expression");
    }
    return word_fail(&p->l, w->at, p->err, "Syntax error: Unexpected %s%.*s%s",
                     is_reserved(w)         ? "keyword "
                     : w->kind == WORD_NAME ? "identifier \""
                                            : "\"",
                     WORD_ARG(w->raw), is_reserved(w) ? "" : "\"");
}

static enum status expect(struct parser *p, const char *sign)
{
    return is_sign(&p->now, sign) ? take(p) : unexpected(p);
}

static const char *type_name(enum nodefilter_type t)
{
    static const char *const names[] = { "NULL", "INT64", "DOUBLE", "STRING", "BOOL" };

    return names[t];
}

static enum status no_match(struct parser *p, size_t at, struct str op, enum nodefilter_type a,
                            enum nodefilter_type b)
{
    return word_fail(&p->l, at, p->err,
                     "No matching signature for operator %.*s for argument types: %s, %s",
                     (int)op.n, op.p, type_name(a), type_name(b));
}

static bool is_number(enum nodefilter_type t)
{
    return t == NODEFILTER_OF_INT || t == NODEFILTER_OF_REAL;
}

static bool comparable(enum nodefilter_type a, enum nodefilter_type b)
{
    return a == b || (is_number(a) && is_number(b));
}

/* ---- names --------------------------------------------------------------------------------------------------------------------- */

static enum status unrecognized(struct parser *p, const struct word *w)
{
    return word_fail(&p->l, w->at, p->err, "Unrecognized name: %.*s", WORD_ARG(w->parts[0]));
}

static const struct column *column_of(struct str name, unsigned place)
{
    for (size_t i = 0; i < ARRAY_N(columns); i++) {
        if ((columns[i].tables & place) && str_eq_nocase(name, str_cstr(columns[i].name))) {
            return &columns[i];
        }
    }
    return NULL;
}

/* The place of a table of the filter, a new one if it was not mentioned. */
static enum status table_of(struct parser *p, const struct word *w, enum nodefilter_table_kind kind,
                            struct str name, int *out)
{
    struct nodefilter_table t = { kind, name };
    size_t same = 0,
           max = nodefilter_is_prop(&t) ? NODEFILTER_PROPS_MAX : NODEFILTER_NEIGHBOURS_MAX;
    struct nodefilter *f = p->f;

    for (size_t i = 0; i < f->tables_n; i++) {
        if (f->tables[i].kind == kind && str_eq(f->tables[i].name, name)) {
            *out = (int)i;
            return OK;
        }
        same += nodefilter_is_prop(&f->tables[i]) == nodefilter_is_prop(&t) ? 1 : 0;
    }
    if (same == max) {
        return word_fail(&p->l, w->at, p->err, "more than %zu %s are mentioned", max,
                         nodefilter_is_prop(&t) ? "properties" : "neighbours");
    }
    f->tables[f->tables_n] = t;
    *out = (int)f->tables_n++;
    return OK;
}

static enum status field_new(struct parser *p, const struct column *c, int table,
                             struct nodefilter_expr **out)
{
    enum status st = expr_new(p, NODEFILTER_FIELD, c->type, out);

    if (!st) {
        (*out)->table = table;
        (*out)->field = c->field;
    }
    return st;
}

static enum status property(struct parser *p, const struct word *w, struct nodefilter_expr **out)
{
    bool custom = str_eq_nocase(w->parts[0], S("custom_properties"));
    const struct column *c = w->parts_n == 3 ? column_of(w->parts[2], AT_PROP) : NULL;
    enum status st;
    int table;

    if (!c || w->parts[1].n == 0) {
        return unrecognized(p, w);
    }
    st = table_of(p, w, custom ? NODEFILTER_CUSTOM : NODEFILTER_TYPED, w->parts[1], &table);
    return st ? st : field_new(p, c, table, out);
}

static enum status neighbour(struct parser *p, const struct word *w, struct nodefilter_expr **out)
{
    static const struct column other = { "", NODEFILTER_ID, NODEFILTER_OF_INT, 0 };
    struct str name = w->parts[0], field = w->parts[1];
    enum status st;
    int table;

    for (size_t i = 0; i < ARRAY_N(neighbours); i++) {
        struct str prefix = str_cstr(neighbours[i].prefix);
        const struct column *c;

        if (!(neighbours[i].of & 1u << p->kind) || !str_starts(name, prefix) ||
            name.n == prefix.n) {
            continue;
        }
        c = column_of(field, neighbours[i].place);
        if (neighbours[i].table == NODEFILTER_EVENT &&
            str_eq_nocase(field, p->kind == NODE_ARTIFACT ? S("execution_id") : S("artifact_id"))) {
            c = &other;
        }
        if (w->parts_n > 2) {
            return word_fail(&p->l, w->at, p->err, "Cannot access field %.*s on a value",
                             WORD_ARG(w->parts[2]));
        }
        if (!c) {
            return word_fail(&p->l, w->at, p->err, "Field name %.*s does not exist in %.*s",
                             WORD_ARG(field), WORD_ARG(name));
        }
        st = table_of(p, w, neighbours[i].table, name, &table);
        return st ? st : field_new(p, c, table, out);
    }
    return unrecognized(p, w);
}

static enum status named(struct parser *p, const struct word *w, struct nodefilter_expr **out)
{
    const struct column *c = column_of(w->parts[0], 1u << p->kind);

    if (c && w->parts_n == 1) {
        return field_new(p, c, -1, out);
    }
    if (c) {
        return word_fail(&p->l, w->at, p->err, "Cannot access field %.*s on a value with type %s",
                         WORD_ARG(w->parts[1]), type_name(c->type));
    }
    if (str_eq_nocase(w->parts[0], S("properties")) ||
        str_eq_nocase(w->parts[0], S("custom_properties"))) {
        return property(p, w, out);
    }
    return w->parts_n > 1 ? neighbour(p, w, out) : unrecognized(p, w);
}

/* ---- operands ------------------------------------------------------------------------------------------------------------------ */

static enum status integer(struct parser *p, uint64_t u, bool minus, struct nodefilter_expr **out)
{
    bool fits = u <= (uint64_t)INT64_MAX || (minus && u == (uint64_t)INT64_MAX + 1);
    enum status st = expr_new(p, fits ? NODEFILTER_INT : NODEFILTER_REAL,
                              fits ? NODEFILTER_OF_INT : NODEFILTER_OF_REAL, out);

    if (!st) {
        (*out)->i = !fits ? 0 : minus ? (u ? -(int64_t)(u - 1) - 1 : 0) : (int64_t)u;
        (*out)->d = minus ? -(double)u : (double)u;
    }
    return st;
}

static enum status literal(struct parser *p, bool minus, struct nodefilter_expr **out)
{
    struct word w = p->now;
    enum status st = take(p);

    if (st || w.kind == WORD_INT) {
        return st ? st : integer(p, w.u, minus, out);
    }
    st = w.kind == WORD_REAL ? expr_new(p, NODEFILTER_REAL, NODEFILTER_OF_REAL, out)
                             : expr_new(p, NODEFILTER_TEXT, NODEFILTER_OF_TEXT, out);
    if (!st) {
        (*out)->d = minus ? -w.d : w.d;
        (*out)->s = w.text;
    }
    return st;
}

static enum status sums(struct parser *p)
{
    return ++p->sums <= NODEFILTER_SUMS_MAX
               ? OK
               : err_set(p->err, ST_INVALID, "Invalid `filter_query`: more than %d sums",
                         NODEFILTER_SUMS_MAX);
}

static enum status minus(struct parser *p, struct nodefilter_expr **out)
{
    struct word sign = p->now;
    struct nodefilter_expr *a;
    bool neg = is_sign(&sign, "-");
    enum status st = take(p);

    if (!st && (p->now.kind == WORD_INT || p->now.kind == WORD_REAL)) {
        return literal(p, neg, out);
    }
    st = st ? st : parse(p, BIND_SIGN, &a);
    if (!st && a->type != NODEFILTER_OF_INT) {
        st = word_fail(&p->l, sign.at, p->err,
                       "No matching signature for operator %s for argument types: %s",
                       neg ? "-" : "+", type_name(a->type));
    }
    if (st || !neg) {
        *out = st ? NULL : a;
        return st;
    }
    st = sums(p);
    st = st ? st : expr_new(p, NODEFILTER_NEG, NODEFILTER_OF_INT, out);
    if (!st) {
        (*out)->a = a;
    }
    return st;
}

static enum status negation(struct parser *p, struct nodefilter_expr **out)
{
    struct nodefilter_expr *a;
    size_t at = p->now.at;
    enum status st = take(p);

    st = st ? st : parse(p, BIND_COMPARE, &a);
    if (!st && a->type != NODEFILTER_OF_BOOL && a->type != NODEFILTER_OF_NULL) {
        st = word_fail(&p->l, at, p->err,
                       "No matching signature for operator NOT for argument types: %s",
                       type_name(a->type));
    }
    st = st ? st : expr_new(p, NODEFILTER_NOT, NODEFILTER_OF_BOOL, out);
    if (!st) {
        (*out)->a = a;
    }
    return st;
}

static enum status keyword(struct parser *p, enum nodefilter_op op, enum nodefilter_type type,
                           struct nodefilter_expr **out)
{
    enum status st = take(p);

    return st ? st : expr_new(p, op, type, out);
}

static enum status operand(struct parser *p, int least, struct nodefilter_expr **out)
{
    struct word w = p->now;
    enum status st;

    if (w.kind == WORD_INT || w.kind == WORD_REAL || w.kind == WORD_TEXT) {
        return literal(p, false, out);
    }
    if (is_sign(&w, "(")) {
        st = take(p);
        st = st ? st : parse(p, BIND_OR, out);
        return st ? st : expect(p, ")");
    }
    if (is_sign(&w, "-") || is_sign(&w, "+")) {
        return minus(p, out);
    }
    if (is_keyword(&w, "NOT") && least <= BIND_NOT) {
        return negation(p, out);
    }
    if (is_keyword(&w, "TRUE") || is_keyword(&w, "FALSE")) {
        return keyword(p, is_keyword(&w, "TRUE") ? NODEFILTER_TRUE : NODEFILTER_FALSE,
                       NODEFILTER_OF_BOOL, out);
    }
    if (is_keyword(&w, "NULL")) {
        return keyword(p, NODEFILTER_NULL, NODEFILTER_OF_NULL, out);
    }
    if (w.kind != WORD_NAME || is_reserved(&w)) {
        return unexpected(p);
    }
    st = take(p);
    if (!st && is_sign(&p->now, "(")) {
        return word_fail(&p->l, w.at, p->err, "Function not found: %.*s", WORD_ARG(w.raw));
    }
    return st ? st : named(p, &w, out);
}

/* ---- states and types of events -------------------------------------------------------------------------------------------------- */

static bool is_enum(const struct nodefilter_expr *e)
{
    return e->op == NODEFILTER_FIELD &&
           (e->field == NODEFILTER_STATE || e->field == NODEFILTER_EVENT_TYPE);
}

static enum status enumerator(struct parser *p, const struct nodefilter_expr *of, struct str op,
                              struct nodefilter_expr **out)
{
    const struct word w = p->now;
    const char *const *names = artifact_states;
    size_t n = ARRAY_N(artifact_states), i = 0;
    bool execution = of->table < 0 ? p->kind == NODE_EXECUTION
                                   : p->f->tables[of->table].kind == NODEFILTER_EXECUTION;
    enum status st;

    if (w.kind == WORD_TEXT) {
        return no_match(p, w.at, op, NODEFILTER_OF_INT, NODEFILTER_OF_TEXT);
    }
    if (w.kind == WORD_END) {
        return unexpected(p);
    }
    if (of->field == NODEFILTER_EVENT_TYPE) {
        names = event_types;
        n = ARRAY_N(event_types);
    } else if (execution) {
        names = execution_states;
        n = ARRAY_N(execution_states);
    }
    while (i < n && !(w.kind == WORD_NAME && w.parts_n == 1 && str_eq(w.raw, str_cstr(names[i])))) {
        i++;
    }
    if (i == n) {
        return word_fail(&p->l, w.at, p->err, "Unsupported enum value specified in the query: %.*s",
                         WORD_ARG(w.raw));
    }
    st = take(p);
    st = st ? st : expr_new(p, NODEFILTER_INT, NODEFILTER_OF_INT, out);
    if (!st) {
        (*out)->i = (int64_t)i;
    }
    return st;
}

/* ---- operators ------------------------------------------------------------------------------------------------------------------- */

static enum status not_null(struct parser *p, const struct nodefilter_expr *e, size_t at,
                            struct str op)
{
    return e->op == NODEFILTER_NULL
               ? word_fail(&p->l, at, p->err, "Operands of %.*s cannot be literal NULL", (int)op.n,
                           op.p)
               : OK;
}

static enum status comparison(struct parser *p, enum nodefilter_op op, struct nodefilter_expr *a,
                              struct nodefilter_expr **out)
{
    struct nodefilter_expr *b;
    struct word w = p->now;
    enum status st = take(p);

    if (!st && is_enum(a) && (op == NODEFILTER_EQ || op == NODEFILTER_NE)) {
        st = enumerator(p, a, w.raw, &b);
    } else {
        st = st ? st : parse(p, BIND_ADD, &b);
    }
    st = st ? st : not_null(p, a, w.at, w.raw);
    st = st ? st : not_null(p, b, w.at, w.raw);
    if (!st && !comparable(a->type, b->type)) {
        st = no_match(p, w.at, w.raw, a->type, b->type);
    }
    st = st ? st : expr_new(p, op, NODEFILTER_OF_BOOL, out);
    if (!st) {
        (*out)->a = a;
        (*out)->b = b;
    }
    return st;
}

static enum status in_list(struct parser *p, struct nodefilter_expr *a, size_t at,
                           struct nodefilter_expr *e)
{
    size_t cap = 0;
    enum status st = expect(p, "(");

    e->op = NODEFILTER_IN;
    e->a = a;
    st = st ? st : not_null(p, a, at, S("IN"));
    for (bool more = true; !st && more;) {
        struct nodefilter_expr *one;

        st = is_enum(a) ? enumerator(p, a, S("IN"), &one) : parse(p, BIND_OR, &one);
        if (st) {
            break;
        }
        if (one->op != NODEFILTER_NULL && !comparable(a->type, one->type)) {
            return word_fail(&p->l, at, p->err,
                             "No matching signature for operator IN for argument types %s and {%s}",
                             type_name(a->type), type_name(one->type));
        }
        if (!arena_grow(p->l.a, (void **)&e->list, e->list_n, &cap,
                        sizeof(struct nodefilter_expr *))) {
            return err_nomem(p->err);
        }
        e->list[e->list_n++] = one;
        if (one->op == NODEFILTER_INT || one->op == NODEFILTER_TEXT) {
            p->exprs--;
        }
        more = is_sign(&p->now, ",");
        st = more ? take(p) : expect(p, ")");
    }
    return st;
}

static enum status like(struct parser *p, struct nodefilter_expr *a, size_t at,
                        struct nodefilter_expr *e)
{
    size_t slashes = 0;
    enum status st = parse(p, BIND_ADD, &e->b);

    e->op = NODEFILTER_LIKE;
    e->a = a;
    if (st) {
        return st;
    }
    if (a->type != NODEFILTER_OF_TEXT || e->b->type != NODEFILTER_OF_TEXT) {
        return no_match(p, at, S("LIKE"), a->type, e->b->type);
    }
    if (e->b->op != NODEFILTER_TEXT) {
        return word_fail(&p->l, at, p->err, "the pattern of LIKE must be a string");
    }
    while (slashes < e->b->s.n && e->b->s.p[e->b->s.n - 1 - slashes] == '\\') {
        slashes++;
    }
    return slashes % 2 ? word_fail(&p->l, at, p->err, "LIKE pattern ends with a backslash") : OK;
}

static enum status between(struct parser *p, struct nodefilter_expr *a, size_t at,
                           struct nodefilter_expr *e)
{
    struct str word = S("BETWEEN");
    enum status st = parse(p, BIND_ADD, &e->b);

    if (!st) {
        st = is_keyword(&p->now, "AND") ? take(p) : unexpected(p);
    }
    e->op = NODEFILTER_BETWEEN;
    e->a = a;
    st = st ? st : parse(p, BIND_ADD, &e->c);
    st = st ? st : not_null(p, a, at, word);
    st = st ? st : not_null(p, e->b, at, word);
    st = st ? st : not_null(p, e->c, at, word);
    if (!st && (!comparable(a->type, e->b->type) || !comparable(a->type, e->c->type))) {
        st = no_match(p, at, word, a->type,
                      comparable(a->type, e->b->type) ? e->c->type : e->b->type);
    }
    return st;
}

static enum status is_what(struct parser *p, struct nodefilter_expr *a, size_t at,
                           struct nodefilter_expr *e)
{
    enum status st = OK;

    e->a = a;
    e->negated = is_keyword(&p->now, "NOT");
    if (e->negated) {
        st = take(p);
    }
    if (st) {
        return st;
    }
    e->op = is_keyword(&p->now, "NULL")   ? NODEFILTER_IS_NULL
            : is_keyword(&p->now, "TRUE") ? NODEFILTER_IS_TRUE
                                          : NODEFILTER_IS_FALSE;
    if (e->op == NODEFILTER_IS_FALSE && !is_keyword(&p->now, "FALSE")) {
        return unexpected(p);
    }
    if (e->op != NODEFILTER_IS_NULL && a->type != NODEFILTER_OF_BOOL &&
        a->type != NODEFILTER_OF_NULL) {
        return no_match(p, at, S("IS"), a->type, NODEFILTER_OF_BOOL);
    }
    return take(p);
}

/* IN, LIKE, BETWEEN, with NOT or without, and IS. */
static enum status worded(struct parser *p, struct nodefilter_expr *a, struct nodefilter_expr **out)
{
    static const struct {
        const char *word;
        enum status (*read)(struct parser *p, struct nodefilter_expr *a, size_t at,
                            struct nodefilter_expr *e);
    } words[] = { { "IN", in_list }, { "LIKE", like }, { "BETWEEN", between } };
    size_t at = p->now.at;
    bool negated = is_keyword(&p->now, "NOT");
    enum status st = expr_new(p, NODEFILTER_IN, NODEFILTER_OF_BOOL, out);

    if (!st && is_keyword(&p->now, "IS")) {
        st = take(p);
        return st ? st : is_what(p, a, at, *out);
    }
    if (!st && negated) {
        st = take(p);
    }
    for (size_t i = 0; !st && i < ARRAY_N(words); i++) {
        if (is_keyword(&p->now, words[i].word)) {
            (*out)->negated = negated;
            st = take(p);
            return st ? st : words[i].read(p, a, at, *out);
        }
    }
    return st ? st : unexpected(p);
}

static enum status sum(struct parser *p, enum nodefilter_op op, int bind, struct nodefilter_expr *a,
                       struct nodefilter_expr **out)
{
    struct nodefilter_expr *b;
    struct word w = p->now;
    enum status st = take(p);

    st = st ? st : parse(p, bind + 1, &b);
    if (!st && (a->type != NODEFILTER_OF_INT || b->type != NODEFILTER_OF_INT)) {
        st = no_match(p, w.at, w.raw, a->type, b->type);
    }
    st = st ? st : sums(p);
    st = st ? st
            : expr_new(p, op, op == NODEFILTER_DIV ? NODEFILTER_OF_REAL : NODEFILTER_OF_INT, out);
    if (!st) {
        (*out)->a = a;
        (*out)->b = b;
    }
    return st;
}

static enum status junction(struct parser *p, enum nodefilter_op op, int bind,
                            struct nodefilter_expr *a, struct nodefilter_expr **out)
{
    struct nodefilter_expr *b;
    struct word w = p->now;
    enum status st = take(p);

    st = st ? st : parse(p, bind + 1, &b);
    if (!st && ((a->type != NODEFILTER_OF_BOOL && a->type != NODEFILTER_OF_NULL) ||
                (b->type != NODEFILTER_OF_BOOL && b->type != NODEFILTER_OF_NULL))) {
        st = no_match(p, w.at, op == NODEFILTER_AND ? S("AND") : S("OR"), a->type, b->type);
    }
    st = st ? st : expr_new(p, op, NODEFILTER_OF_BOOL, out);
    if (!st) {
        (*out)->a = a;
        (*out)->b = b;
    }
    return st;
}

struct infix {
    const char *text;
    enum nodefilter_op op;
    int bind;
};

/* NULL: the word stands between no operands. */
static const struct infix *infix_of(const struct word *w)
{
    static const struct infix signs[] = {
        { "=", NODEFILTER_EQ, BIND_COMPARE },  { "!=", NODEFILTER_NE, BIND_COMPARE },
        { "<>", NODEFILTER_NE, BIND_COMPARE }, { "<", NODEFILTER_LT, BIND_COMPARE },
        { "<=", NODEFILTER_LE, BIND_COMPARE }, { ">", NODEFILTER_GT, BIND_COMPARE },
        { ">=", NODEFILTER_GE, BIND_COMPARE }, { "+", NODEFILTER_ADD, BIND_ADD },
        { "-", NODEFILTER_SUB, BIND_ADD },     { "*", NODEFILTER_MUL, BIND_MUL },
        { "/", NODEFILTER_DIV, BIND_MUL },
    };
    static const struct infix words[] = {
        { "OR", NODEFILTER_OR, BIND_OR },        { "AND", NODEFILTER_AND, BIND_AND },
        { "NOT", NODEFILTER_IN, BIND_COMPARE },  { "IN", NODEFILTER_IN, BIND_COMPARE },
        { "LIKE", NODEFILTER_IN, BIND_COMPARE }, { "BETWEEN", NODEFILTER_IN, BIND_COMPARE },
        { "IS", NODEFILTER_IN, BIND_COMPARE },
    };

    for (size_t i = 0; w->kind == WORD_SIGN && i < ARRAY_N(signs); i++) {
        if (is_sign(w, signs[i].text)) {
            return &signs[i];
        }
    }
    for (size_t i = 0; w->kind == WORD_NAME && i < ARRAY_N(words); i++) {
        if (is_keyword(w, words[i].text)) {
            return &words[i];
        }
    }
    return NULL;
}

static enum status parse(struct parser *p, int least, struct nodefilter_expr **out)
{
    const struct infix *op;
    bool compared = false;
    enum status st;

    if (++p->depth > DEPTH_MAX) {
        return word_fail(&p->l, p->now.at, p->err, "more than %d levels", DEPTH_MAX);
    }
    st = operand(p, least, out);
    while (!st && (op = infix_of(&p->now)) != NULL && op->bind >= least) {
        struct nodefilter_expr *a = *out;

        if (op->bind == BIND_COMPARE && compared) {
            return unexpected(p);
        }
        compared = op->bind == BIND_COMPARE;
        st = op->bind <= BIND_AND       ? junction(p, op->op, op->bind, a, out)
             : op->op == NODEFILTER_IN  ? worded(p, a, out)
             : op->bind == BIND_COMPARE ? comparison(p, op->op, a, out)
                                        : sum(p, op->op, op->bind, a, out);
    }
    p->depth--;
    return st;
}

enum status mlmd_filter_parse(struct arena *a, enum node_kind kind, struct str text,
                              struct nodefilter **out, struct err *err)
{
    struct parser p = { .l = { .a = a, .in = text }, .kind = kind, .err = err };
    enum status st;

    *out = NULL;
    p.f = ARENA_NEW(a, struct nodefilter);
    if (!p.f) {
        return err_nomem(err);
    }
    if (text.n > QUERY_MAX) {
        return err_set(err, ST_INVALID, "Invalid `filter_query`: it is longer than %d bytes",
                       QUERY_MAX);
    }
    st = take(&p);
    st = st ? st : parse(&p, BIND_OR, &p.f->root);
    if (!st && p.now.kind != WORD_END) {
        st = word_fail(&p.l, p.now.at, err, "Syntax error: Expected end of input but got \"%.*s\"",
                       WORD_ARG(p.now.raw));
    }
    if (!st && p.f->root->type != NODEFILTER_OF_BOOL) {
        st =
            err_set(err, ST_INVALID,
                    "Invalid `filter_query`: Given query string is not a valid boolean expression: "
                    "%.*s",
                    WORD_ARG(text));
    }
    *out = st ? NULL : p.f;
    return st;
}
