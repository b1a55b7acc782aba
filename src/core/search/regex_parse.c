/* core/search/regex_parse.c - pattern -> tree -> program.
 * Divisions: classes; escapes; atoms; repetition, sequence, choice; code. */
#include "base/num.h"
#include "base/utf8.h"
#include "core/search/regex_int.h"
#include "core/search/text.h"

enum node_op { N_EMPTY, N_CHAR, N_ANY, N_CLASS, N_PLACE, N_CAT, N_ALT, N_REPEAT };

struct node {
    enum node_op op;
    enum regex_op inst; /* N_CHAR, N_ANY, N_CLASS, N_PLACE */
    uint32_t c, x, y;   /* as in the instruction; N_REPEAT: from x to y times */
    struct node *a, *b; /* N_CAT, N_ALT; N_REPEAT: a */
};

#define REPEAT_ENDLESS 0xffffffffU

struct compiler {
    struct arena *arena;
    struct err *err;
    struct str p;
    size_t at;
    bool fold, dot_all, multi_line;
    unsigned depth;
    struct regex *re;
    size_t prog_cap, ranges_cap;
    uint32_t work; /* nodes visited by the code generator */
};

static enum status fail(struct compiler *k, const char *what)
{
    return err_set(k->err, ST_INVALID, "Invalid regular expression '%.*s': %s at byte %zu",
                   STR_ARG(k->p), what, k->at);
}

static enum status new_node(struct compiler *k, enum node_op op, struct node **out)
{
    *out = ARENA_NEW(k->arena, struct node);
    if (!*out) return err_nomem(k->err);
    (*out)->op = op;
    return OK;
}

static bool more(const struct compiler *k)
{
    return k->at < k->p.n;
}

static bool looking_at(const struct compiler *k, const char *text)
{
    return str_starts(str_sub(k->p, k->at, k->p.n), str_cstr(text));
}

static bool take(struct compiler *k, const char *text)
{
    if (!looking_at(k, text)) {
        return false;
    }
    k->at += strlen(text);
    return true;
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Ranges are appended to the regex and put in order when the class is closed. */
static enum status range_add(struct compiler *k, uint32_t first, uint32_t last)
{
    struct regex *re = k->re;

    if (re->ranges_n >= REGEX_RANGES_MAX) {
        return fail(k, "classes are too large");
    }
    if (!arena_grow(k->arena, (void **)&re->ranges, re->ranges_n, &k->ranges_cap,
                    sizeof(*re->ranges))) {
        return err_nomem(k->err);
    }
    re->ranges[re->ranges_n++] = (struct regex_range){ first, last };
    return OK;
}

/* Sorts and merges ranges[from ..]. Insertion sort: classes are short or already in order. */
static void ranges_normalise(struct regex *re, uint32_t from)
{
    struct regex_range *r = re->ranges + from;
    uint32_t n = re->ranges_n - from, kept = 0;

    for (uint32_t i = 1; i < n; i++) {
        struct regex_range one = r[i];
        uint32_t j = i;

        for (; j > 0 && r[j - 1].first > one.first; j--) {
            r[j] = r[j - 1];
        }
        r[j] = one;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (kept && r[i].first <= r[kept - 1].last + 1) {
            r[kept - 1].last = MAX_OF(r[kept - 1].last, r[i].last);
        } else {
            r[kept++] = r[i];
        }
    }
    re->ranges_n = from + kept;
}

struct fold_ctx {
    struct compiler *k;
    struct regex_range range;
    bool to_lower;
    enum status st;
};

static void fold_add(void *ctx, uint32_t upper, uint32_t lower)
{
    struct fold_ctx *f = ctx;
    uint32_t from = f->to_lower ? upper : lower, to = f->to_lower ? lower : upper;

    if (f->st == OK && from >= f->range.first && from <= f->range.last) {
        f->st = range_add(f->k, to, to);
    }
}

/* Adds the other case of every character: all lower ones first, then the upper ones of those. */
static enum status ranges_fold(struct compiler *k, uint32_t from)
{
    for (int pass = 0; pass < 2; pass++) {
        uint32_t n;

        ranges_normalise(k->re, from);
        n = k->re->ranges_n;
        for (uint32_t i = from; i < n; i++) {
            struct fold_ctx f = { .k = k, .range = k->re->ranges[i], .to_lower = pass == 0 };

            fold_each(f.range.first, f.range.last, fold_add, &f);
            if (f.st) return f.st;
        }
    }
    return OK;
}

static const struct named_class {
    const char *name;
    struct regex_range ranges[5];
    uint32_t n;
} named_classes[] = {
    { "d", { { '0', '9' } }, 1 },
    { "s", { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } }, 3 },
    { "w", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } }, 4 },
    { "[:alnum:]", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } }, 3 },
    { "[:alpha:]", { { 'A', 'Z' }, { 'a', 'z' } }, 2 },
    { "[:blank:]", { { '\t', '\t' }, { ' ', ' ' } }, 2 },
    { "[:digit:]", { { '0', '9' } }, 1 },
    { "[:lower:]", { { 'a', 'z' } }, 1 },
    { "[:punct:]", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } }, 4 },
    { "[:space:]", { { '\t', '\r' }, { ' ', ' ' } }, 2 },
    { "[:upper:]", { { 'A', 'Z' } }, 1 },
    { "[:word:]", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } }, 4 },
    { "[:xdigit:]", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } }, 3 },
};

static enum status named_add(struct compiler *k, const struct named_class *c, bool invert)
{
    uint32_t at = 0;
    enum status st = OK;

    for (uint32_t i = 0; i < c->n && st == OK; i++) {
        if (!invert) {
            st = range_add(k, c->ranges[i].first, c->ranges[i].last);
        } else {
            st = range_add(k, at, c->ranges[i].first - 1);
            at = c->ranges[i].last + 1;
        }
    }
    return st == OK && invert ? range_add(k, at, 0x10ffff) : st;
}

/* \d \D \w \W \s \S after the backslash; *found says whether it was one. */
static enum status escape_class(struct compiler *k, bool *found)
{
    for (size_t i = 0; i < 3; i++) {
        char c = named_classes[i].name[0];

        if (k->p.p[k->at] == c || k->p.p[k->at] == c - 32) {
            *found = true;
            return named_add(k, &named_classes[i], k->p.p[k->at++] == c - 32);
        }
    }
    *found = false;
    return OK;
}

/* ---- escapes --------------------------------------------------------------------------------- */

static bool hex_value(char c, uint32_t *out)
{
    if (c >= '0' && c <= '9') {
        *out = (uint32_t)(c - '0');
    } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
        *out = (uint32_t)((c | 32) - 'a' + 10);
    } else {
        return false;
    }
    return true;
}

/* \xHH or \x{H...} after the x. */
static enum status hex_escape(struct compiler *k, uint32_t *c)
{
    bool is_braced = take(k, "{");
    uint32_t v = 0, digit = 0, n = 0;

    while (more(k) && n < (is_braced ? 6U : 2U) && hex_value(k->p.p[k->at], &digit)) {
        v = v * 16 + digit;
        k->at++;
        n++;
    }
    if (n == 0 || (is_braced ? !take(k, "}") : n != 2) || v > 0x10ffff ||
        (v >= 0xd800 && v <= 0xdfff)) {
        return fail(k, "bad \\x escape");
    }
    *c = v;
    return OK;
}

/* A character written after a backslash. */
static enum status escape_char(struct compiler *k, uint32_t *c)
{
    static const char from[] = "afnrtv", into[] = "\a\f\n\r\t\v";
    char e = k->p.p[k->at];
    const char *simple = e ? strchr(from, e) : NULL;

    if (e == 'x') {
        k->at++;
        return hex_escape(k, c);
    }
    if (simple) {
        k->at++;
        *c = (unsigned char)into[simple - from];
        return OK;
    }
    if ((e >= '0' && e <= '9') || (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z')) {
        return fail(k,
                    e >= '1' && e <= '9' ? "back-references are not supported" : "unknown escape");
    }
    *c = utf8_next(k->p, &k->at);
    return OK;
}

/* ---- atoms ----------------------------------------------------------------------------------- */

/* One end of a range in brackets, or a class inside them (then *is_class). */
static enum status bracket_item(struct compiler *k, uint32_t *c, bool *is_class)
{
    *is_class = false;
    if (looking_at(k, "[:")) {
        for (size_t i = 3; i < ARRAY_N(named_classes); i++) {
            if (take(k, named_classes[i].name)) {
                *is_class = true;
                return named_add(k, &named_classes[i], false);
            }
        }
        return fail(k, "unknown class name");
    }
    if (take(k, "\\")) {
        enum status st;

        if (!more(k)) {
            return fail(k, "unfinished escape");
        }
        st = escape_class(k, is_class);
        return st || *is_class ? st : escape_char(k, c);
    }
    *c = utf8_next(k->p, &k->at);
    return OK;
}

static enum status parse_bracket(struct compiler *k, struct node **out)
{
    bool is_negated = take(k, "^"), is_first = true, is_class;
    uint32_t from = k->re->ranges_n, first = 0, last = 0;
    enum status st;

    while (is_first || !looking_at(k, "]")) {
        if (!more(k)) {
            return fail(k, "missing ]");
        }
        st = bracket_item(k, &first, &is_class);
        if (st) return st;
        is_first = false;
        if (is_class) {
            continue;
        }
        last = first;
        if (looking_at(k, "-") && k->at + 1 < k->p.n && k->p.p[k->at + 1] != ']') {
            k->at++;
            st = bracket_item(k, &last, &is_class);
            if (st) return st;
            if (is_class || last < first) {
                return fail(k, "bad range in a class");
            }
        }
        st = range_add(k, first, last);
        if (st) return st;
    }
    k->at++;
    if (k->fold) {
        st = ranges_fold(k, from);
        if (st) return st;
    }
    ranges_normalise(k->re, from);
    st = new_node(k, N_CLASS, out);
    if (st) return st;
    (*out)->inst = is_negated ? RE_NOT_CLASS : RE_CLASS;
    (*out)->x = from;
    (*out)->y = k->re->ranges_n - from;
    return OK;
}

static enum status place_node(struct compiler *k, enum regex_op op, struct node **out)
{
    enum status st = new_node(k, N_PLACE, out);

    if (st) return st;
    (*out)->inst = op;
    return OK;
}

static enum status char_node(struct compiler *k, uint32_t c, struct node **out)
{
    enum status st = new_node(k, N_CHAR, out);

    if (st) return st;
    (*out)->inst = k->fold ? RE_FOLD : RE_CHAR;
    (*out)->c = k->fold ? fold_char(c) : c;
    k->re->folds |= k->fold;
    return OK;
}

static enum status parse_escape(struct compiler *k, struct node **out)
{
    static const struct {
        char c;
        enum regex_op op;
    } places[] = { { 'A', RE_TEXT_BEGIN },
                   { 'z', RE_TEXT_END },
                   { 'b', RE_WORD_EDGE },
                   { 'B', RE_NOT_WORD_EDGE } };
    uint32_t from = k->re->ranges_n, c = 0;
    bool is_class;
    enum status st;

    if (!more(k)) {
        return fail(k, "unfinished escape");
    }
    for (size_t i = 0; i < ARRAY_N(places); i++) {
        if (k->p.p[k->at] == places[i].c) {
            k->at++;
            return place_node(k, places[i].op, out);
        }
    }
    st = escape_class(k, &is_class);
    if (st) return st;
    if (is_class) {
        st = new_node(k, N_CLASS, out);
        if (st) return st;
        (*out)->inst = RE_CLASS;
        (*out)->x = from;
        (*out)->y = k->re->ranges_n - from;
        return OK;
    }
    st = escape_char(k, &c);
    return st ? st : char_node(k, c, out);
}

static enum status parse_alt(struct compiler *k, struct node **out);

/* Flags after "(?": sets them; *opens is true where a group follows. */
static enum status parse_flags(struct compiler *k, bool *opens)
{
    bool on = true;

    while (more(k)) {
        char c = k->p.p[k->at++];

        if (c == ':' || c == ')') {
            *opens = c == ':';
            return OK;
        }
        if (c == '-' && on) {
            on = false;
        } else if (c == 'i') {
            k->fold = on;
        } else if (c == 's') {
            k->dot_all = on;
        } else if (c == 'm') {
            k->multi_line = on;
        } else if (c != 'U') {
            return fail(k, "unknown or unsupported (?...) group");
        }
    }
    return fail(k, "missing )");
}

/* What follows an opening parenthesis. Flags set without a group hold until the end of the group
 * around them. */
static enum status parse_group(struct compiler *k, struct node **out)
{
    bool fold = k->fold, dot_all = k->dot_all, multi_line = k->multi_line, opens = true;
    enum status st;

    if (take(k, "?P<") ||
        (looking_at(k, "?<") && !looking_at(k, "?<=") && !looking_at(k, "?<!") && take(k, "?<"))) {
        while (more(k) && k->p.p[k->at] != '>') {
            k->at++;
        }
        if (!take(k, ">")) {
            return fail(k, "missing > after a group's name");
        }
    } else if (take(k, "?")) {
        st = parse_flags(k, &opens);
        if (st) return st;
        if (!opens) {
            return new_node(k, N_EMPTY, out);
        }
    }
    if (++k->depth > REGEX_DEPTH_MAX) {
        return fail(k, "groups are nested too deep");
    }
    st = parse_alt(k, out);
    if (st) return st;
    if (!take(k, ")")) {
        return fail(k, "missing )");
    }
    k->depth--;
    k->fold = fold;
    k->dot_all = dot_all;
    k->multi_line = multi_line;
    return OK;
}

static enum status parse_atom(struct compiler *k, struct node **out)
{
    enum status st;

    if (take(k, "(")) {
        return parse_group(k, out);
    }
    if (take(k, "[")) {
        return parse_bracket(k, out);
    }
    if (take(k, "\\")) {
        return parse_escape(k, out);
    }
    if (take(k, "^")) {
        return place_node(k, k->multi_line ? RE_LINE_BEGIN : RE_TEXT_BEGIN, out);
    }
    if (take(k, "$")) {
        return place_node(k, k->multi_line ? RE_LINE_END : RE_TEXT_END, out);
    }
    if (take(k, ".")) {
        st = new_node(k, N_ANY, out);
        if (st) return st;
        (*out)->inst = k->dot_all ? RE_ANY : RE_ANY_NOT_NL;
        return OK;
    }
    if (looking_at(k, "*") || looking_at(k, "+") || looking_at(k, "?")) {
        return fail(k, "nothing to repeat");
    }
    return char_node(k, utf8_next(k->p, &k->at), out);
}

/* ---- repetition, sequence, choice ------------------------------------------------------------ */

static bool take_number(struct compiler *k, uint32_t *out)
{
    size_t from = k->at;
    uint64_t v = 0;

    while (more(k) && k->p.p[k->at] >= '0' && k->p.p[k->at] <= '9') {
        k->at++;
    }
    if (!num_parse_u64(str_sub(k->p, from, k->at - from), &v)) {
        return false;
    }
    *out = (uint32_t)MIN_OF(v, (uint64_t)REGEX_REPEAT_MAX + 1);
    return true;
}

/* *, +, ?, {n}, {n,}, {n,m} at the current place. A brace that is none of these is a plain
 * character. */
static bool take_repeat(struct compiler *k, uint32_t *min, uint32_t *max)
{
    size_t from = k->at;

    *min = 0;
    *max = REPEAT_ENDLESS;
    if (take(k, "*")) {
        return true;
    }
    if (take(k, "+")) {
        *min = 1;
        return true;
    }
    if (take(k, "?")) {
        *max = 1;
        return true;
    }
    if (take(k, "{") && take_number(k, min)) {
        if (take(k, "}")) {
            *max = *min;
            return true;
        }
        if (take(k, ",") && (take(k, "}") || (take_number(k, max) && take(k, "}")))) {
            return true;
        }
    }
    k->at = from;
    return false;
}

static enum status parse_repeat(struct compiler *k, struct node **out)
{
    uint32_t min, max, ignored;
    struct node *node;
    enum status st = parse_atom(k, out);

    if (st || !take_repeat(k, &min, &max)) return st;
    if (min > REGEX_REPEAT_MAX ||
        (max != REPEAT_ENDLESS && (max > REGEX_REPEAT_MAX || max < min))) {
        return fail(k, "bad repeat count");
    }
    if (!take(k, "?")) {
        take(k, "+");
    }
    if (take_repeat(k, &ignored, &ignored)) {
        return fail(k, "two repetitions in a row");
    }
    st = new_node(k, N_REPEAT, &node);
    if (st) return st;
    node->a = *out;
    node->x = min;
    node->y = max;
    *out = node;
    return OK;
}

/* A chain of N_CAT or N_ALT: the tree leans to the right, its spine is walked by loops. */
static enum status parse_cat(struct compiler *k, struct node **out)
{
    struct node **tail = out;
    enum status st;

    while (more(k) && !looking_at(k, "|") && !looking_at(k, ")")) {
        st = new_node(k, N_CAT, tail);
        if (st) return st;
        st = parse_repeat(k, &(*tail)->a);
        if (st) return st;
        tail = &(*tail)->b;
    }
    return new_node(k, N_EMPTY, tail);
}

static enum status parse_alt(struct compiler *k, struct node **out)
{
    struct node **tail = out;
    enum status st;

    for (;;) {
        struct node *branch;

        st = parse_cat(k, &branch);
        if (st) return st;
        if (!take(k, "|")) {
            *tail = branch;
            return OK;
        }
        st = new_node(k, N_ALT, tail);
        if (st) return st;
        (*tail)->a = branch;
        tail = &(*tail)->b;
    }
}

/* ---- code ------------------------------------------------------------------------------------ */

static enum status emit(struct compiler *k, enum regex_op op, uint32_t c, uint32_t x, uint32_t y)
{
    struct regex *re = k->re;

    if (re->prog_n >= REGEX_PROGRAM_MAX) {
        return err_set(k->err, ST_INVALID,
                       "Invalid regular expression '%.*s': it needs more than %d steps",
                       STR_ARG(str_sub(k->p, 0, 200)), REGEX_PROGRAM_MAX);
    }
    if (!arena_grow(k->arena, (void **)&re->prog, re->prog_n, &k->prog_cap, sizeof(*re->prog))) {
        return err_nomem(k->err);
    }
    re->prog[re->prog_n++] = (struct regex_inst){ .op = op, .c = c, .x = x, .y = y };
    return OK;
}

static enum status generate(struct compiler *k, const struct node *n);

/* a{x,y}: x copies, then either a loop or up to y - x optional copies. */
static enum status generate_repeat(struct compiler *k, const struct node *n)
{
    struct regex *re = k->re;
    uint32_t split, last_split = REPEAT_ENDLESS;
    enum status st;

    for (uint32_t i = 0; i < n->x; i++) {
        st = generate(k, n->a);
        if (st) return st;
    }
    if (n->y == REPEAT_ENDLESS) {
        split = re->prog_n;
        st = emit(k, RE_SPLIT, 0, split + 1, 0);
        if (st) return st;
        st = generate(k, n->a);
        if (st) return st;
        st = emit(k, RE_JUMP, 0, split, 0);
        if (st) return st;
        re->prog[split].y = re->prog_n;
        return OK;
    }
    for (uint32_t i = n->x; i < n->y; i++) {
        split = re->prog_n;
        st = emit(k, RE_SPLIT, 0, split + 1,
                  last_split); /* y: chain of splits to be sent to the end */
        if (st) return st;
        last_split = split;
        st = generate(k, n->a);
        if (st) return st;
    }
    while (last_split != REPEAT_ENDLESS) {
        uint32_t before = re->prog[last_split].y;

        re->prog[last_split].y = re->prog_n;
        last_split = before;
    }
    return OK;
}

/* One branch of a choice: split to it or to the rest, jump from its end to the end of the whole
 * choice (chained in x). */
static enum status generate_alt(struct compiler *k, const struct node *n)
{
    struct regex *re = k->re;
    uint32_t jumps = REPEAT_ENDLESS;
    enum status st;

    for (; n->op == N_ALT; n = n->b) {
        uint32_t split = re->prog_n;

        st = emit(k, RE_SPLIT, 0, split + 1, 0);
        if (st) return st;
        st = generate(k, n->a);
        if (st) return st;
        st = emit(k, RE_JUMP, 0, jumps, 0);
        if (st) return st;
        jumps = re->prog_n - 1;
        re->prog[split].y = re->prog_n;
    }
    st = generate(k, n);
    while (st == OK && jumps != REPEAT_ENDLESS) {
        uint32_t before = re->prog[jumps].x;

        re->prog[jumps].x = re->prog_n;
        jumps = before;
    }
    return st;
}

static enum status generate(struct compiler *k, const struct node *n)
{
    enum status st = OK;

    if (++k->work > 50 * REGEX_PROGRAM_MAX) { /* empty groups repeated: no code, but endless work */
        return fail(k, "too many repetitions");
    }
    for (; n->op == N_CAT && st == OK; n = n->b) {
        st = generate(k, n->a);
    }
    if (st) return st;
    switch (n->op) {
    case N_CHAR:
    case N_ANY:
    case N_CLASS:
    case N_PLACE: return emit(k, n->inst, n->c, n->x, n->y);
    case N_ALT: return generate_alt(k, n);
    case N_REPEAT: return generate_repeat(k, n);
    case N_EMPTY:
    case N_CAT:
    default: return OK;
    }
}

static enum status finish(struct compiler *k)
{
    struct regex *re = k->re;
    size_t n;
    enum status st = emit(k, RE_MATCH, 0, 0, 0);

    if (st) return st;
    n = re->prog_n;
    re->is_anchored = re->prog[0].op == RE_TEXT_BEGIN;
    re->now = ARENA_ARRAY(k->arena, uint32_t, n);
    re->next = ARENA_ARRAY(k->arena, uint32_t, n);
    re->stack = ARENA_ARRAY(k->arena, uint32_t, n);
    re->mark = ARENA_ARRAY(k->arena, uint64_t, n);
    return re->now && re->next && re->stack && re->mark ? OK : err_nomem(k->err);
}

enum status regex_compile(struct regex **out, struct str pattern, struct arena *a, struct err *err)
{
    struct compiler k = { .arena = a, .err = err, .p = pattern };
    struct node *root = NULL;
    enum status st;

    *out = NULL;
    if (pattern.n > REGEX_PATTERN_MAX) {
        return err_set(err, ST_INVALID, "the regular expression is longer than %d bytes",
                       REGEX_PATTERN_MAX);
    }
    k.re = ARENA_NEW(a, struct regex);
    if (!k.re) return err_nomem(err);
    st = parse_alt(&k, &root);
    if (st) return st;
    if (more(&k)) {
        return fail(&k, "unmatched )");
    }
    st = generate(&k, root);
    if (st) return st;
    st = finish(&k);
    if (st) return st;
    *out = k.re;
    return OK;
}
