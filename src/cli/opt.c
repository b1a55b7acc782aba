/* cli/opt.c - layers of option texts, and their parsing. */
#include "cli/opt.h"
#include "base/num.h"
#include <stdlib.h>

enum { LIST_MAX = 256, WORD_MAX = 64 };

enum status opts_init(struct opts *o, const struct opt_row *rows, size_t n, struct arena *a,
                      struct err *err)
{
    *o = (struct opts){ .rows = rows, .n = n, .arena = a };
    o->values = ARENA_ARRAY(a, struct opt_value, MAX_OF(n, (size_t)1));
    return o->values ? OK : err_nomem(err);
}

bool opt_takes_value(const struct opt_row *row)
{
    return row->type != OPT_BOOL && row->type != OPT_TIMES;
}

const struct opt_row *opts_find(const struct opts *o, struct str name, bool *negated)
{
    bool no = name.n > 3 && memcmp(name.p, "no-", 3) == 0;

    for (size_t i = 0; i < o->n; i++) {
        const struct opt_row *row = &o->rows[i];
        struct str own = str_cstr(row->name);

        if (str_eq(own, name)) {
            if (negated) *negated = false;
            return row;
        }
        if (no && row->type == OPT_BOOL && str_eq(own, str_sub(name, 3, name.n))) {
            if (negated) *negated = true;
            return row;
        }
    }
    return NULL;
}

const struct opt_row *opts_find_letter(const struct opts *o, char letter)
{
    for (size_t i = 0; i < o->n; i++) {
        if (o->rows[i].letter == letter) {
            return &o->rows[i];
        }
    }
    return NULL;
}

static struct opt_value *value_of(const struct opts *o, const struct opt_row *row)
{
    return &o->values[row - o->rows];
}

/* ---- layers ----------------------------------------------------------------------------------------------------- */

enum status opts_flag(struct opts *o, const struct opt_row *row, const char *value, bool negated,
                      struct err *err)
{
    struct opt_value *v = value_of(o, row);
    bool first = v->source != OPT_FROM_FLAG;

    if (row->type == OPT_LIST && !first) {
        value = arena_printf(o->arena, "%s,%s", v->text, value).p;
        if (!value) {
            return err_nomem(err);
        }
    }
    v->text = row->type == OPT_BOOL && !value ? (negated ? "false" : "true") : value;
    v->source = OPT_FROM_FLAG;
    v->times++;
    return OK;
}

void opts_env(struct opts *o)
{
    for (size_t i = 0; i < o->n; i++) {
        const char *text = o->rows[i].env ? getenv(o->rows[i].env) : NULL;
        struct opt_value *v = &o->values[i];

        if (text && text[0] && v->source == OPT_FROM_DEFAULT) {
            v->text = text;
            v->source = OPT_FROM_ENV;
            v->env = o->rows[i].env;
        }
    }
}

void opts_env_twin(struct opts *o, const char *name, const char *env)
{
    const struct opt_row *row = opts_find(o, str_cstr(name), NULL);
    const char *text = getenv(env);

    if (row && text && text[0] && value_of(o, row)->source == OPT_FROM_DEFAULT) {
        *value_of(o, row) = (struct opt_value){ .text = text, .source = OPT_FROM_ENV, .env = env };
    }
}

void opts_conf(struct opts *o, const struct conf *c, enum opt_source source)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct conf_entry *e = o->rows[i].key ? conf_find(c, o->rows[i].key) : NULL;
        struct opt_value *v = &o->values[i];

        if (e && v->source == OPT_FROM_DEFAULT) {
            *v = (struct opt_value){
                .text = e->value, .source = source, .file = c->path, .line = e->line
            };
        }
    }
}

/* ---- reading them back -------------------------------------------------------------------------------------------- */

const struct opt_value *opts_value(const struct opts *o, const char *name)
{
    const struct opt_row *row = opts_find(o, str_cstr(name), NULL);

    return row ? value_of(o, row) : NULL;
}

static const char *text_of(const struct opts *o, const struct opt_row *row)
{
    const struct opt_value *v = value_of(o, row);

    return v->source == OPT_FROM_DEFAULT ? row->def : v->text;
}

const char *opts_text(const struct opts *o, const char *name)
{
    const struct opt_row *row = opts_find(o, str_cstr(name), NULL);

    return row ? text_of(o, row) : NULL;
}

struct str opts_origin(const struct opts *o, const struct opt_row *row)
{
    const struct opt_value *v = value_of(o, row);

    switch (v->source) {
    case OPT_FROM_FLAG: return arena_printf(o->arena, "flag --%s", row->name);
    case OPT_FROM_ENV: return arena_printf(o->arena, "environment %s", v->env);
    case OPT_FROM_PROJECT:
    case OPT_FROM_USER: return arena_printf(o->arena, "%s, line %u", v->file, v->line);
    case OPT_FROM_DEFAULT: break;
    }
    return S("default");
}

/* The password of scheme://user:password@host...; p NULL if there is none. */
static struct str uri_password(struct str uri)
{
    struct str none = { NULL, 0 }, authority;
    size_t from = str_find(uri, S("://")), at = SIZE_MAX, colon;

    if (from == SIZE_MAX) {
        return none;
    }
    authority = str_sub(uri, from + 3, uri.n);
    authority = str_sub(authority, 0, str_find_byte(authority, '/', 0));
    for (size_t i = 0; i < authority.n; i++) {
        at = authority.p[i] == '@' ? i : at; /* the last one: passwords may hold it */
    }
    if (at == SIZE_MAX) {
        return none;
    }
    colon = str_find_byte(authority, ':', 0);
    return colon < at && at - colon > 1 ? str_sub(authority, colon + 1, at - colon - 1) : none;
}

bool opt_uri_has_password(const char *uri)
{
    struct str s = str_cstr(uri);

    return uri_password(s).p != NULL || str_find(s, S("password=")) != SIZE_MAX;
}

struct str opt_shown(const struct opt_row *row, const char *text, struct arena *a)
{
    struct str s = str_cstr(text), secret;
    size_t at;

    if (!(row->flags & OPT_SECRET) || !text) {
        return s;
    }
    secret = uri_password(s);
    if (secret.p) {
        at = (size_t)(secret.p - s.p);
        return arena_printf(a, "%.*s***%s", (int)at, text, text + at + secret.n);
    }
    at = str_find(s, S("password="));
    return at == SIZE_MAX ? s : arena_printf(a, "%.*spassword=***", (int)at, text);
}

/* ---- parsing ---------------------------------------------------------------------------------------------------- */

static enum status bad(const struct opts *o, const struct opt_row *row, const char *want,
                       struct err *err)
{
    struct str from = opts_origin(o, row), shown = opt_shown(row, text_of(o, row), o->arena);
    enum status st = err_field(err, ST_INVALID, row->name, "option %s cannot be \"%.*s\" (%.*s)",
                               row->name, STR_ARG(shown), STR_ARG(from));

    err_hint(err, "%s", want ? want : "");
    return st;
}

static bool parse_number(const struct opt_row *row, const char *text, int64_t *out)
{
    struct str s = str_cstr(text);
    uint64_t bytes;

    switch (row->type) {
    case OPT_SIZE:
        if (!num_parse_size(s, &bytes) || bytes > INT64_MAX) {
            return false;
        }
        *out = (int64_t)bytes;
        return true;
    case OPT_DURATION: return num_parse_duration_ms(s, out);
    case OPT_COUNT: return num_parse_i64(s, out);
    case OPT_TEXT:
    case OPT_LIST:
    case OPT_BOOL:
    case OPT_CHOICE:
    case OPT_TIMES: break;
    }
    return false;
}

static enum status apply_number(const struct opts *o, const struct opt_row *row, const char *text,
                                int64_t *out, struct err *err)
{
    static const char *const forms[] = { [OPT_COUNT] = "a whole number",
                                         [OPT_SIZE] = "a size such as 512, 64K, 16M or 2G",
                                         [OPT_DURATION] = "a time such as 500ms, 10s, 5m or 2h" };
    int64_t limit;

    if (!parse_number(row, text, out)) {
        return bad(o, row, forms[row->type], err);
    }
    if ((row->min && parse_number(row, row->min, &limit) && *out < limit) ||
        (row->max && parse_number(row, row->max, &limit) && *out > limit)) {
        return bad(o, row,
                   arena_printf(o->arena, "give %s from %s to %s", forms[row->type],
                                row->min ? row->min : "0", row->max ? row->max : "any")
                       .p,
                   err);
    }
    return OK;
}

static enum status apply_choice(const struct opts *o, const struct opt_row *row, const char *text,
                                const char **out, struct err *err)
{
    struct str rest = str_cstr(row->choices), one;

    while (str_split(&rest, '|', &one)) {
        if (str_eq(one, str_cstr(text))) {
            *out = text;
            return OK;
        }
    }
    return bad(o, row, arena_printf(o->arena, "give one of: %s", row->choices).p, err);
}

static enum status apply_list(const struct opts *o, const char *text, const char *const **out,
                              struct err *err)
{
    struct str rest = str_cstr(text), one;
    const char **list = ARENA_ARRAY(o->arena, const char *, LIST_MAX + 1);
    size_t n = 0;

    if (!list) {
        return err_nomem(err);
    }
    while (str_split(&rest, ',', &one)) {
        one = str_trim(one);
        if (!one.n) {
            continue;
        }
        if (n == LIST_MAX) {
            return err_set(err, ST_INVALID, "more than %d values in one option", LIST_MAX);
        }
        list[n] = arena_cstr(o->arena, one);
        if (!list[n]) {
            return err_nomem(err);
        }
        n++;
    }
    *out = n ? list : NULL;
    return OK;
}

static enum status apply_bool(const struct opts *o, const struct opt_row *row, const char *text,
                              bool *out, struct err *err)
{
    static const char *const yes[] = { "true", "yes", "on", "1" };
    static const char *const no[] = { "false", "no", "off", "0" };

    for (size_t i = 0; i < ARRAY_N(yes); i++) {
        if (str_eq_nocase(str_cstr(text), str_cstr(yes[i]))) {
            *out = true;
            return OK;
        }
        if (str_eq_nocase(str_cstr(text), str_cstr(no[i]))) {
            *out = false;
            return OK;
        }
    }
    return bad(o, row, "give true or false", err);
}

static enum status apply_one(const struct opts *o, const struct opt_row *row, void *at,
                             struct err *err)
{
    const char *text = text_of(o, row);

    if (row->type == OPT_TIMES) {
        *(int64_t *)at = (int64_t)value_of(o, row)->times;
        return OK;
    }
    if (!text) {
        return OK;
    }
    switch (row->type) {
    case OPT_TEXT: *(const char **)at = text; return OK;
    case OPT_LIST: return apply_list(o, text, (const char *const **)at, err);
    case OPT_BOOL: return apply_bool(o, row, text, at, err);
    case OPT_CHOICE: return apply_choice(o, row, text, at, err);
    case OPT_COUNT:
    case OPT_SIZE:
    case OPT_DURATION: return apply_number(o, row, text, at, err);
    case OPT_TIMES: break;
    }
    return OK;
}

enum status opts_apply(struct opts *o, void *target, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < o->n; i++) {
        st = apply_one(o, &o->rows[i], (char *)target + o->rows[i].off, err);
    }
    return st;
}

/* ---- nearest word ------------------------------------------------------------------------------------------------- */

/* Levenshtein distance where swapped neighbours count as one mistake; both at most WORD_MAX bytes. */
static unsigned distance(struct str a, struct str b)
{
    unsigned rows[3][WORD_MAX + 1], *two = rows[0], *one = rows[1], *now = rows[2], *keep;

    for (size_t j = 0; j <= b.n; j++) {
        one[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned change = one[j - 1] + (a.p[i - 1] != b.p[j - 1]);

            now[j] = MIN_OF(MIN_OF(one[j], now[j - 1]) + 1, change);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1]) {
                now[j] = MIN_OF(now[j], two[j - 2] + 1);
            }
        }
        keep = two;
        two = one;
        one = now;
        now = keep;
    }
    return one[b.n];
}

void opt_nearest(struct str word, const char *candidate, const char **best, unsigned *cost)
{
    struct str c = str_cstr(candidate);
    unsigned d;

    if (!word.n || word.n > WORD_MAX || c.n > WORD_MAX) {
        return;
    }
    d = distance(word, c);
    if (d < *cost && d * 3 <= MAX_OF(word.n, c.n) + 1) {
        *cost = d;
        *best = candidate;
    }
}
