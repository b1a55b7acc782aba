/* inspect/pickle.c - pickles by abstract interpretation: the opcodes of protocols 0 to 5 over a stack and a memo of values that are
 * known as far as a verdict needs them. Every name that a load would reach is reported, however it is put together; what cannot be
 * followed is a finding, and so is everything that a strict reader would refuse: other readers may not be strict. */
#include "base/num.h"
#include "inspect/pickle_int.h"
#include <inttypes.h>

static const struct pv other = { .kind = PV_OTHER };

/* ---- stack and memo ------------------------------------------------------------------------------------------------------------- */

static enum status wants_more(struct err *err)
{
    return err_set(err, ST_TOO_BIG, "more than %d MiB of values to follow", PK_MEMORY_MAX >> 20);
}

static enum status push(struct pk *k, struct pv v, struct err *err)
{
    struct pv *to = vec_add(&k->stack);

    if (!to) {
        return k->stack.n >= k->stack.max
                   ? err_set(err, ST_TOO_BIG, "more than %d values on the stack", PK_STACK_MAX)
                   : err_nomem(err);
    }
    *to = v;
    return OK;
}

static enum status underflow(struct err *err)
{
    return err_set(err, ST_CORRUPT, "takes more from the stack than there is");
}

static enum status pop(struct pk *k, struct pv *out, struct err *err)
{
    *out = other;
    if (k->stack.n == 0 || k->stack.p[k->stack.n - 1].kind == PV_MARK) {
        return underflow(err);
    }
    *out = k->stack.p[--k->stack.n];
    return OK;
}

/* The values above the topmost mark, which goes with them; they stay readable until the next push. */
static enum status pop_mark(struct pk *k, struct pv **items, size_t *n, struct err *err)
{
    size_t at = k->stack.n;

    while (at && k->stack.p[at - 1].kind != PV_MARK) {
        at--;
    }
    if (at == 0) {
        *n = 0;
        return err_set(err, ST_CORRUPT, "wants a mark that is not there");
    }
    *items = k->stack.p + at;
    *n = k->stack.n - at;
    k->stack.n = at - 1;
    return OK;
}

static enum status memo_at(struct pk *k, uint64_t i, bool make, struct pv **out, struct err *err)
{
    size_t page = (size_t)(i / PK_MEMO_PAGE);

    *out = NULL;
    if (i >= PK_MEMO_MAX) {
        return err_set(err, ST_TOO_BIG, "memo entry %" PRIu64, i);
    }
    if (!k->memo) {
        k->memo = ARENA_ARRAY(k->arena, struct pv *, PK_MEMO_MAX / PK_MEMO_PAGE);
    }
    if (!k->memo) {
        return wants_more(err);
    }
    if (!k->memo[page] && make) {
        k->memo[page] = ARENA_ARRAY(k->arena, struct pv, PK_MEMO_PAGE);
        for (size_t j = 0; k->memo[page] && j < PK_MEMO_PAGE; j++) {
            k->memo[page][j].kind = PV_MARK; /* never set */
        }
    }
    if (!k->memo[page]) {
        return make ? wants_more(err) : OK;
    }
    *out = &k->memo[page][i % PK_MEMO_PAGE];
    return OK;
}

static enum status memo_put(struct pk *k, uint64_t i, struct err *err)
{
    struct pv *slot;
    enum status st;

    if (k->stack.n == 0 || k->stack.p[k->stack.n - 1].kind == PV_MARK) {
        return underflow(err);
    }
    st = memo_at(k, i, true, &slot, err);
    if (!st) {
        k->memo_n += slot->kind == PV_MARK; /* MEMOIZE counts entries, as loaders do */
        *slot = k->stack.p[k->stack.n - 1];
    }
    return st;
}

static enum status memo_get(struct pk *k, uint64_t i, struct err *err)
{
    struct pv *slot;
    enum status st = memo_at(k, i, false, &slot, err);

    if (!st && (!slot || slot->kind == PV_MARK)) {
        st = err_set(err, ST_CORRUPT, "memo entry %" PRIu64 " was never set", i);
    }
    return st ? st : push(k, *slot, err);
}

/* ---- arguments ------------------------------------------------------------------------------------------------------------------- */

static enum status arg_u(struct pk *k, size_t bytes, uint64_t *out, struct err *err)
{
    unsigned char b[8] = { 0 };
    enum status st = flow_read(k->f, b, bytes, err);

    *out = le64(b);
    return st;
}

/* Text up to a newline; longer than PK_LINE_MAX: skipped, and *out has p NULL. */
static enum status arg_line(struct pk *k, char buf[PK_LINE_MAX], struct str *out, struct err *err)
{
    size_t n = 0;
    bool fits = true;

    for (;;) {
        const unsigned char *p, *end;
        size_t got, take;
        enum status st = flow_peek(k->f, PK_LINE_MAX, &p, &got, err);

        if (st) return st;
        if (!got) {
            return flow_short(k->f, err);
        }
        end = memchr(p, '\n', got);
        take = end ? (size_t)(end - p) : got;
        fits = fits && take <= PK_LINE_MAX - n;
        if (fits) {
            memcpy(buf + n, p, take);
            n += take;
        }
        flow_take(k->f, take + (end != NULL));
        if (end) {
            *out = fits ? str_of(buf, n) : (struct str){ NULL, 0 };
            return OK;
        }
    }
}

/* n bytes; up to PK_TEXT_MAX of them become a text that is known. */
static enum status arg_text(struct pk *k, uint64_t n, struct pv *out, struct err *err)
{
    char *to;
    enum status st;

    *out = other;
    if (n > PK_TEXT_MAX) {
        return flow_skip(k->f, n, err);
    }
    to = arena_alloc(k->arena, n ? (size_t)n : 1);
    if (!to) {
        return wants_more(err);
    }
    st = flow_read(k->f, to, (size_t)n, err);
    *out = (struct pv){ .kind = PV_STR, .n = (uint32_t)n, .u.s = to };
    return st;
}

/* ---- names ------------------------------------------------------------------------------------------------------------------------ */

static enum status global_find(struct pk *k, struct str module, struct str name,
                               struct pglobal **out, struct err *err)
{
    struct str key = arena_printf(k->arena, "%.*s\n%.*s", STR_ARG(module), STR_ARG(name));
    struct pglobal *g = key.p ? str_map_get(&k->globals, key) : NULL;
    enum status st;

    *out = g;
    if (!key.p) {
        return wants_more(err);
    }
    if (g) {
        return OK;
    }
    g = ARENA_NEW(k->arena, struct pglobal);
    if (!g) {
        return wants_more(err);
    }
    g->module = str_sub(key, 0, module.n);
    g->name = str_sub(key, module.n + 1, name.n);
    g->full = arena_printf(k->arena, "%.*s.%.*s", STR_ARG(module), STR_ARG(name));
    if (!g->full.p) {
        return wants_more(err);
    }
    g->verdict = pickle_verdict(g->module, g->name);
    st = str_map_put(&k->globals, key, g);
    if (st) {
        return err_set(err, st, "too many names");
    }
    *out = g;
    insp_pair(k->x, "pickle.global", g->full);
    if (g->verdict == GLOBAL_DANGER) {
        insp_finding_at(k->x, INSPECT_DANGER, "pickle_dangerous", k->op_at,
                        "reaches %.*s, which can run code, reach the system or load more",
                        STR_ARG(g->full));
    } else if (g->verdict == GLOBAL_UNKNOWN) {
        insp_finding_at(k->x, INSPECT_WARNING, "pickle_global", k->op_at,
                        "reaches %.*s, which is not on the list of plain constructors",
                        STR_ARG(g->full));
    }
    return OK;
}

static enum status push_global(struct pk *k, struct str module, struct str name, struct err *err)
{
    struct pglobal *g;
    enum status st;

    if (!module.p || !name.p) {
        k->reached = true;
        insp_finding_at(k->x, INSPECT_DANGER, "pickle_name", k->op_at,
                        "reaches a name that cannot be known without running it");
        return push(k, other, err);
    }
    st = global_find(k, module, name, &g, err);
    return st ? st : push(k, (struct pv){ .kind = PV_GLOBAL, .u.global = g }, err);
}

static enum status op_global(struct pk *k, struct err *err)
{
    char a[PK_LINE_MAX], b[PK_LINE_MAX];
    struct str module, name;
    enum status st = arg_line(k, a, &module, err);

    st = st ? st : arg_line(k, b, &name, err);
    return st ? st : push_global(k, module, name, err);
}

static enum status op_stack_global(struct pk *k, struct err *err)
{
    static const struct str none = { NULL, 0 };
    struct pv name, module;
    enum status st = pop(k, &name, err);

    st = st ? st : pop(k, &module, err);
    if (st) return st;
    return push_global(k, pv_is_str(&module) ? pv_text(&module) : none,
                       pv_is_str(&name) ? pv_text(&name) : none, err);
}

static enum status op_ext(struct pk *k, size_t bytes, struct err *err)
{
    uint64_t code;
    enum status st = arg_u(k, bytes, &code, err);

    if (st) return st;
    k->reached = true;
    insp_finding_at(k->x, INSPECT_DANGER, "pickle_extension", k->op_at,
                    "reaches extension code %" PRIu64 ", whose meaning the loading program decides",
                    code);
    return push(k, other, err);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------------------ */

/* "os.system('ls')" for people: the texts among the arguments. */
static void show_call(struct pk *k, const struct pglobal *g, const struct pv *args)
{
    struct buf b = BUF_INIT(4096);

    if (g->verdict != GLOBAL_DANGER || k->calls++ >= PK_CALLS_SHOWN) {
        return;
    }
    for (uint32_t i = 0; args->kind == PV_TUPLE && i < args->n && b.n < 512; i++) {
        const struct pv *v = &args->u.items[i];

        buf_put_cstr(&b, i ? ", " : "");
        if (pv_is_str(v)) {
            buf_printf(&b, "'%.*s'", STR_ARG(str_sub(pv_text(v), 0, 200)));
        } else if (v->kind == PV_INT) {
            buf_printf(&b, "%" PRId64, v->u.i);
        } else if (v->kind == PV_GLOBAL) {
            buf_put_str(&b, v->u.global->full);
        } else {
            buf_put_lit(&b, "...");
        }
    }
    insp_finding_at(k->x, INSPECT_DANGER, "pickle_call", k->op_at, "calls %.*s(%.*s)",
                    STR_ARG(g->full), STR_ARG(buf_str(&b)));
    buf_release(&b);
}

static enum status call(struct pk *k, const struct pv *callee, const struct pv *args,
                        struct err *err)
{
    struct pv out = other;
    enum status st;

    k->reached = true;
    if (callee->kind != PV_GLOBAL) {
        insp_finding_at(k->x, INSPECT_DANGER, "pickle_callee", k->op_at,
                        "calls something that is only known when it runs");
        return push(k, out, err);
    }
    show_call(k, callee->u.global, args);
    st = pv_call(k, callee->u.global, args, &out, err);
    return st ? st : push(k, out, err);
}

/* A tuple of the items; one that is too long to follow is not known. */
static enum status tuple_of(struct pk *k, const struct pv *items, size_t n, struct pv *out,
                            struct err *err)
{
    struct pv *to;

    *out = other;
    if (n > PK_ITEMS_MAX) {
        return OK;
    }
    to = arena_alloc(k->arena, (n ? n : 1) * sizeof(*to));
    if (!to) {
        return wants_more(err);
    }
    if (n) {
        memcpy(to, items, n * sizeof(*to));
    }
    *out = (struct pv){ .kind = PV_TUPLE, .n = (uint32_t)n, .u.items = to };
    return OK;
}

static enum status op_reduce(struct pk *k, unsigned extra, struct err *err)
{
    struct pv kwargs, args, callee;
    enum status st = extra ? pop(k, &kwargs, err) : OK;

    st = st ? st : pop(k, &args, err);
    st = st ? st : pop(k, &callee, err);
    return st ? st : call(k, &callee, &args, err);
}

/* OBJ: mark, class, arguments. INST: the class is named, the mark and arguments lie on the stack. */
static enum status op_obj(struct pk *k, bool inst, struct err *err)
{
    struct pv callee = other, args, *items;
    size_t n;
    enum status st = inst ? op_global(k, err) : OK;

    if (!st && inst) {
        st = pop(k, &callee, err);
    }
    st = st ? st : pop_mark(k, &items, &n, err);
    if (!st && !inst && n == 0) {
        st = underflow(err);
    }
    if (st) return st;
    if (!inst) {
        callee = items[0];
        items++;
        n--;
    }
    st = tuple_of(k, items, n, &args, err);
    return st ? st : call(k, &callee, &args, err);
}

static enum status op_build(struct pk *k, struct err *err)
{
    struct pv state;
    enum status st = pop(k, &state, err);

    if (st) return st;
    if (k->stack.n == 0 || k->stack.p[k->stack.n - 1].kind == PV_MARK) {
        return underflow(err);
    }
    return pv_build(k, &k->stack.p[k->stack.n - 1], &state, err);
}

static enum status op_persid(struct pk *k, bool text, struct err *err)
{
    char line[PK_LINE_MAX];
    struct str s;
    struct pv id = other, out = other;
    enum status st = text ? arg_line(k, line, &s, err) : pop(k, &id, err);

    if (st) return st;
    if (!pv_storage(k, &id, &out)) {
        k->reached = true;
        insp_finding_at(
            k->x, INSPECT_WARNING, "pickle_persistent_id", k->op_at,
            "hands a persistent id to the loading program, which decides what it means");
    }
    return push(k, out, err);
}

/* ---- constants ------------------------------------------------------------------------------------------------------------------- */

static enum status op_int_line(struct pk *k, bool is_long, struct err *err)
{
    char line[PK_LINE_MAX];
    struct str s;
    struct pv out = { .kind = PV_INT };
    enum status st = arg_line(k, line, &s, err);

    if (st) return st;
    if (s.p && is_long && str_ends(s, S("L"))) {
        s.n--;
    }
    s = str_trim(s);
    if (s.p && !is_long && (str_eq_lit(s, "00") || str_eq_lit(s, "01"))) {
        return push(k, (struct pv){ .kind = PV_BOOL, .u.i = s.p[1] == '1' }, err);
    }
    if (!s.p || !num_parse_i64(s, &out.u.i)) {
        for (size_t i = 0; s.p && i < s.n; i++) {
            if ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != 'x' &&
                s.p[i] != '+') {
                return err_set(err, ST_CORRUPT, "a number that is none");
            }
        }
        out = other;
    }
    return push(k, out, err);
}

static enum status op_long(struct pk *k, size_t length_bytes, struct err *err)
{
    static const unsigned char legacy[10] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                              0x20, 0x6a, 0xa8, 0x50, 0x19 };
    struct pv out = { .kind = PV_INT };
    unsigned char b[10];
    uint64_t n;
    enum status st = arg_u(k, length_bytes, &n, err);

    if (st) return st;
    if (n > sizeof(b)) {
        st = flow_skip(k->f, n, err);
        return st ? st : push(k, other, err);
    }
    st = flow_read(k->f, b, (size_t)n, err);
    if (st) return st;
    if (n == 10 && memcmp(b, legacy, 10) == 0 && k->from == 0) {
        k->is_legacy = true;
    }
    if (n > 8) {
        return push(k, other, err);
    }
    for (size_t i = n; i > 0; i--) {
        out.u.i = (int64_t)((uint64_t)out.u.i << 8 | b[i - 1]);
    }
    if (n && n < 8 && (b[n - 1] & 0x80)) {
        out.u.i -= (int64_t)((uint64_t)1 << (8 * n));
    }
    return push(k, out, err);
}

static enum status op_number(struct pk *k, size_t bytes, bool is_signed, struct err *err)
{
    struct pv out = { .kind = PV_INT };
    uint64_t v;
    enum status st = arg_u(k, bytes, &v, err);

    out.u.i = is_signed ? (int32_t)(uint32_t)v : (int64_t)v;
    return st ? st : push(k, out, err);
}

static enum status op_float(struct pk *k, bool text, struct err *err)
{
    char line[PK_LINE_MAX];
    struct str s;
    double d;
    enum status st = text ? arg_line(k, line, &s, err) : flow_skip(k->f, 8, err);

    if (!st && text && (!s.p || !num_parse_double(str_trim(s), &d))) {
        st = err_set(err, ST_CORRUPT, "a number that is none");
    }
    return st ? st : push(k, other, err);
}

static enum status op_text(struct pk *k, size_t length_bytes, struct err *err)
{
    struct pv v;
    uint64_t n;
    enum status st = arg_u(k, length_bytes, &n, err);

    if (!st && length_bytes == 4 && n > INT32_MAX) {
        st = err_set(err, ST_CORRUPT, "a text of a negative length");
    }
    st = st ? st : arg_text(k, n, &v, err);
    return st ? st : push(k, v, err);
}

/* STRING is quoted and escaped, UNICODE has \u escapes: texts with a backslash are not known. */
static enum status op_text_line(struct pk *k, bool quoted, struct err *err)
{
    char line[PK_LINE_MAX];
    struct str s;
    struct pv v = other;
    enum status st = arg_line(k, line, &s, err);

    if (st) return st;
    if (quoted) {
        s = s.p ? str_trim(s) : s;
        if (!s.p || s.n < 2 || (s.p[0] != '\'' && s.p[0] != '"') || s.p[s.n - 1] != s.p[0]) {
            if (s.p) {
                return err_set(err, ST_CORRUPT, "a text without its quotes");
            }
        } else {
            s = str_sub(s, 1, s.n - 2);
        }
    }
    if (s.p && s.n <= PK_TEXT_MAX && str_find_byte(s, '\\', 0) == SIZE_MAX) {
        struct str kept = arena_str(k->arena, s);

        if (!kept.p) {
            return wants_more(err);
        }
        v = (struct pv){ .kind = PV_STR, .n = (uint32_t)kept.n, .u.s = kept.p };
    }
    return push(k, v, err);
}

/* Bytes that are a pickle themselves. */
static enum status nested(struct pk *k, struct str bytes, struct err *err)
{
    struct insp_mark mark = insp_mark(k->x);
    struct in in = in_mem(k->x, bytes);
    struct flow f;
    bool is_pickle = false;
    struct str where = k->x->where;
    enum status st;

    if (k->x->depth >= k->x->limits->depth_max) {
        insp_finding_at(k->x, INSPECT_WARNING, "pickle_nested", k->op_at,
                        "holds a pickle in a pickle, too deep to follow");
        return OK;
    }
    st = flow_begin(&f, &in, FLOW_RAW, err);
    if (st) return st;
    k->x->depth++;
    insp_finding_at(k->x, INSPECT_WARNING, "pickle_nested", k->op_at, "holds a pickle as bytes");
    k->x->where = arena_printf(k->arena, "%.*s%sbytes at %" PRIu64, STR_ARG(where),
                               where.n ? ": " : "", k->op_at);
    st = pickle_read(k->x, &f, PICKLE_PROBE, &is_pickle, err);
    k->x->depth--;
    k->x->where = where;
    flow_release(&f);
    if (!st && !is_pickle) {
        insp_rewind(k->x, &mark);
    }
    return st;
}

static enum status op_bytes(struct pk *k, size_t length_bytes, struct err *err)
{
    struct pv v = { .kind = PV_BYTES };
    char head[PK_NESTED_MAX];
    uint64_t n;
    size_t keep;
    enum status st = arg_u(k, length_bytes, &n, err);

    if (st) return st;
    v.u.big = n;
    keep = n <= sizeof(head) ? (size_t)n : 2;
    st = flow_read(k->f, head, keep, err);
    if (!st && keep >= 4 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) {
        st = nested(k, str_of(head, keep), err);
    }
    st = st ? st : flow_skip(k->f, n - keep, err);
    return st ? st : push(k, v, err);
}

/* ---- containers ------------------------------------------------------------------------------------------------------------------ */

static enum status dict_set(struct pk *k, struct pv *dict, const struct pv *key,
                            const struct pv *value, struct err *err)
{
    struct pdict *d;

    pv_named(k, key, value);
    if (dict->kind != PV_DICT || !pv_is_str(key) || !pv_matters(pv_text(key))) {
        return OK;
    }
    if (!dict->u.dict) {
        dict->u.dict = ARENA_NEW(k->arena, struct pdict);
    }
    d = dict->u.dict;
    if (!d) {
        return wants_more(err);
    }
    if (d->n < PK_MEMBERS_MAX) {
        d->entries[d->n].key = pv_text(key);
        d->entries[d->n++].value = *value;
    }
    return OK;
}

const struct pv *pv_member(const struct pv *dict, struct str key)
{
    const struct pv *found = NULL;

    for (size_t i = 0; dict->kind == PV_DICT && dict->u.dict && i < dict->u.dict->n; i++) {
        if (str_eq(dict->u.dict->entries[i].key, key)) {
            found = &dict->u.dict->entries[i].value; /* the last one wins */
        }
    }
    return found;
}

/* SETITEM(S), DICT: keys and values alternate. */
static enum status set_items(struct pk *k, struct pv *dict, const struct pv *items, size_t n,
                             struct err *err)
{
    enum status st = OK;

    if (n % 2) {
        return err_set(err, ST_CORRUPT, "a key without a value");
    }
    for (size_t i = 0; i + 1 < n && !st; i += 2) {
        st = dict_set(k, dict, &items[i], &items[i + 1], err);
    }
    return st;
}

static enum status op_set_items(struct pk *k, bool one, struct err *err)
{
    struct pv *items, pair[2];
    size_t n = 2;
    enum status st;

    if (one) {
        st = pop(k, &pair[1], err);
        st = st ? st : pop(k, &pair[0], err);
        items = pair;
    } else {
        st = pop_mark(k, &items, &n, err);
    }
    if (st) return st;
    if (k->stack.n == 0 || k->stack.p[k->stack.n - 1].kind == PV_MARK) {
        return underflow(err);
    }
    return set_items(k, &k->stack.p[k->stack.n - 1], items, n, err);
}

static enum status op_collect(struct pk *k, unsigned op, struct err *err)
{
    struct pv *items, out = other;
    size_t n;
    enum status st = pop_mark(k, &items, &n, err);

    if (st) return st;
    if (op == 't') {
        st = tuple_of(k, items, n, &out, err);
    } else if (op == 'd') {
        out = (struct pv){ .kind = PV_DICT };
        st = set_items(k, &out, items, n, err);
    } else if (op == 'l') {
        out.kind = PV_LIST;
    } else if (op == 'e' || op == 0x90) { /* APPENDS, ADDITEMS: the container stays */
        return k->stack.n && k->stack.p[k->stack.n - 1].kind != PV_MARK ? OK : underflow(err);
    } else if (op == '1') { /* POP_MARK */
        return OK;
    }
    return st ? st : push(k, out, err);
}

static enum status op_short_tuple(struct pk *k, size_t n, struct err *err)
{
    struct pv items[3], out;
    enum status st = OK;

    for (size_t i = n; i > 0 && !st; i--) {
        st = pop(k, &items[i - 1], err);
    }
    st = st ? st : tuple_of(k, items, n, &out, err);
    return st ? st : push(k, out, err);
}

/* ---- the machine ------------------------------------------------------------------------------------------------------------------ */

static enum status op_stack(struct pk *k, unsigned op, struct err *err)
{
    struct pv v;
    enum status st;

    switch (op) {
    case '(': return push(k, (struct pv){ .kind = PV_MARK }, err);
    case '0': /* POP takes a mark as well */
        if (k->stack.n == 0) {
            return underflow(err);
        }
        k->stack.n--;
        return OK;
    case '2':
        st = pop(k, &v, err);
        st = st ? st : push(k, v, err);
        return st ? st : push(k, v, err);
    case 'N': return push(k, (struct pv){ .kind = PV_NONE }, err);
    case 0x88: return push(k, (struct pv){ .kind = PV_BOOL, .u.i = 1 }, err);
    case 0x89: return push(k, (struct pv){ .kind = PV_BOOL }, err);
    case ']': return push(k, (struct pv){ .kind = PV_LIST }, err);
    case '}': return push(k, (struct pv){ .kind = PV_DICT }, err);
    case 0x8f: return push(k, other, err);
    case ')': return op_short_tuple(k, 0, err);
    case 0x85:
    case 0x86:
    case 0x87: return op_short_tuple(k, op - 0x84, err);
    case 'a': /* APPEND */
        st = pop(k, &v, err);
        return st || (k->stack.n && k->stack.p[k->stack.n - 1].kind != PV_MARK) ? st
                                                                                : underflow(err);
    case 's':
    case 'u': return op_set_items(k, op == 's', err);
    default: return op_collect(k, op, err);
    }
}

static enum status op_memo(struct pk *k, unsigned op, struct err *err)
{
    char line[PK_LINE_MAX];
    struct str s;
    uint64_t i = 0;
    enum status st;

    if (op == 'p' || op == 'g') {
        st = arg_line(k, line, &s, err);
        if (!st && (!s.p || !num_parse_u64(str_trim(s), &i))) {
            st = err_set(err, ST_CORRUPT, "a memo entry that is no number");
        }
    } else if (op == 0x94) {
        return memo_put(k, k->memo_n, err);
    } else {
        st = arg_u(k, op == 'q' || op == 'h' ? 1 : 4, &i, err);
    }
    if (st) return st;
    return op == 'p' || op == 'q' || op == 'r' ? memo_put(k, i, err) : memo_get(k, i, err);
}

static enum status op_frame(struct pk *k, unsigned op, struct err *err)
{
    uint64_t n;
    enum status st = arg_u(k, op == 0x80 ? 1 : 8, &n, err);

    if (st) return st;
    if (op == 0x80) {
        if (n > 5) {
            return err_set(err, ST_CORRUPT, "protocol %" PRIu64, n);
        }
        if (k->has_proto || k->ops > 1) {
            insp_finding_at(k->x, INSPECT_WARNING, "pickle_protocol", k->op_at,
                            "names a protocol in the middle");
        }
        k->has_proto = true;
    } else if (!k->f->z && n > k->f->in.size - k->f->at) {
        insp_finding_at(k->x, INSPECT_WARNING, "pickle_frame", k->op_at,
                        "a frame of %" PRIu64 " bytes goes beyond the end", n);
    }
    return OK;
}

static enum status step(struct pk *k, unsigned op, struct err *err)
{
    switch (op) {
    case 0x80:
    case 0x95: return op_frame(k, op, err);
    case 'p':
    case 'q':
    case 'r':
    case 0x94:
    case 'g':
    case 'h':
    case 'j': return op_memo(k, op, err);
    case 'I': return op_int_line(k, false, err);
    case 'L': return op_int_line(k, true, err);
    case 'J': return op_number(k, 4, true, err);
    case 'K': return op_number(k, 1, false, err);
    case 'M': return op_number(k, 2, false, err);
    case 0x8a: return op_long(k, 1, err);
    case 0x8b: return op_long(k, 4, err);
    case 'F': return op_float(k, true, err);
    case 'G': return op_float(k, false, err);
    case 'S': return op_text_line(k, true, err);
    case 'V': return op_text_line(k, false, err);
    case 'U':
    case 0x8c: return op_text(k, 1, err);
    case 'T':
    case 'X': return op_text(k, 4, err);
    case 0x8d: return op_text(k, 8, err);
    case 'C': return op_bytes(k, 1, err);
    case 'B': return op_bytes(k, 4, err);
    case 0x8e:
    case 0x96: return op_bytes(k, 8, err);
    case 0x97: /* NEXT_BUFFER */
        insp_finding_at(k->x, INSPECT_INFO, "pickle_buffer", k->op_at,
                        "takes bytes that lie outside of it");
        return push(k, other, err);
    case 0x98: return k->stack.n ? OK : underflow(err);
    case 'c': return op_global(k, err);
    case 0x93: return op_stack_global(k, err);
    case 'i': return op_obj(k, true, err);
    case 'o': return op_obj(k, false, err);
    case 0x82: return op_ext(k, 1, err);
    case 0x83: return op_ext(k, 2, err);
    case 0x84: return op_ext(k, 4, err);
    case 'R':
    case 0x81: return op_reduce(k, 0, err);
    case 0x92: return op_reduce(k, 1, err);
    case 'b': return op_build(k, err);
    case 'P': return op_persid(k, true, err);
    case 'Q': return op_persid(k, false, err);
    case '(':
    case '0':
    case '1':
    case '2':
    case 'N':
    case 0x88:
    case 0x89:
    case ']':
    case 'a':
    case 'e':
    case 'l':
    case ')':
    case 't':
    case 0x85:
    case 0x86:
    case 0x87:
    case '}':
    case 'd':
    case 's':
    case 'u':
    case 0x8f:
    case 0x90:
    case 0x91: return op_stack(k, op, err);
    default: return err_set(err, ST_CORRUPT, "byte 0x%02x is no opcode", op);
    }
}

/* One pickle, to its STOP. */
static enum status run(struct pk *k, struct err *err)
{
    enum status st = OK;

    while (!st) {
        uint8_t op;

        k->op_at = k->f->pos;
        st = insp_item(k->x, err);
        st = st ? st : flow_read(k->f, &op, 1, err);
        if (st) break;
        k->ops++;
        if (op == '.') {
            if (k->stack.n == 0 || k->stack.p[k->stack.n - 1].kind == PV_MARK) {
                return underflow(err);
            }
            k->is_done = true;
            return OK;
        }
        st = step(k, op, err);
    }
    return st;
}

static enum status pk_begin(struct pk *k, struct insp *x, struct flow *f, unsigned flags,
                            struct err *err)
{
    *k = (struct pk){ .x = x, .f = f, .flags = flags, .from = f->pos };
    k->stack.max = PK_STACK_MAX;
    k->globals.max = 1 << 16;
    k->torch = flags & PICKLE_TORCH;
    k->arena = arena_new(PK_MEMORY_MAX);
    return k->arena ? OK : err_nomem(err);
}

static void pk_end(struct pk *k)
{
    vec_release(&k->stack);
    str_map_release(&k->globals);
    arena_free(k->arena);
}

static bool at_end(struct flow *f)
{
    struct err err = ERR_INIT;
    const unsigned char *p;
    size_t got = 0;

    return flow_peek(f, 1, &p, &got, &err) == OK && got == 0;
}

/* One pickle of a stream. *more: another may follow. */
static enum status one(struct insp *x, struct flow *f, unsigned flags, bool *is_pickle,
                       bool *is_legacy, struct err *err)
{
    struct insp_mark mark = insp_mark(x);
    struct pk k;
    enum status st = pk_begin(&k, x, f, flags, err);

    if (st) return st;
    st = run(&k, err);
    *is_pickle = k.is_done || k.reached || !(flags & PICKLE_PROBE);
    *is_legacy = k.is_legacy;
    if (st == ST_CORRUPT && !*is_pickle) {
        insp_rewind(x, &mark);
        st = OK;
    } else if (st == ST_CORRUPT) {
        insp_finding_at(x, INSPECT_WARNING, "pickle_broken", k.op_at,
                        "is broken here, after what was reached before: %s", err->message);
        st = OK;
        f->ended = true;
    }
    pk_end(&k);
    return st;
}

/* Storages follow the five pickles of old PyTorch files. */
enum { LEGACY_PICKLES = 5, PICKLES_MAX = 1000 };

enum status pickle_read(struct insp *x, struct flow *f, unsigned flags, bool *is_pickle,
                        struct err *err)
{
    struct insp_mark mark = insp_mark(x);
    bool is_legacy = false, first_legacy = false, is_next = true;
    uint64_t from = f->pos, n = 0;
    enum status st = one(x, f, flags, is_pickle, &first_legacy, err);

    if (st || !*is_pickle || (flags & PICKLE_ONE)) {
        return st;
    }
    insp_format(x, first_legacy ? "pytorch legacy" : "pickle");
    if (first_legacy) {
        flags |= PICKLE_TORCH;
    }
    for (n = 1; !st && is_next && !at_end(f); n++) {
        uint64_t at = f->pos;

        if ((first_legacy && n >= LEGACY_PICKLES) || n >= PICKLES_MAX) {
            break;
        }
        st = one(x, f, flags | PICKLE_PROBE, &is_next, &is_legacy, err);
        if (!st && !is_next) {
            /* text that begins like a pickle is text */
            if ((flags & PICKLE_PROBE) && mark.report.findings_n == x->r->findings_n && from == 0 &&
                n == 1) {
                *is_pickle = false;
                insp_rewind(x, &mark);
                return OK;
            }
            insp_finding_at(x, INSPECT_WARNING, "pickle_trailing", at,
                            "bytes follow the pickle that are none");
        }
    }
    if (n > 1 && !first_legacy && is_next) {
        insp_finding(x, INSPECT_INFO, "pickle_several", "%" PRIu64 " pickles, one after the other",
                     n);
    }
    return st;
}
