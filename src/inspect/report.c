/* inspect/report.c - what was found, collected, and as JSON. */
#include "base/num.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "inspect/inspect_int.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { FINDING_TEXT_MAX = 1024 };

const char *inspect_severity_name(enum inspect_severity s)
{
    return s == INSPECT_DANGER ? "danger" : s == INSPECT_WARNING ? "warning" : "info";
}

/* ---- texts --------------------------------------------------------------------------------------------------------------------- */

struct str insp_text(struct insp *x, struct str s, size_t max)
{
    struct buf b = BUF_INIT((max + 16) * 3);
    struct str out;
    bool is_cut = s.n > max;

    s.n = MIN_OF(s.n, max);
    while (is_cut && s.n && ((unsigned char)s.p[s.n - 1] & 0xc0) == 0x80) {
        s.n--; /* not in the middle of a character */
    }
    if (is_cut && s.n && (unsigned char)s.p[s.n - 1] >= 0xc0) {
        s.n--;
    }
    if (utf8_valid(s) && !is_cut) {
        return s.n ? arena_str(x->arena, s) : S("");
    }
    for (size_t at = 0; at < s.n;) {
        size_t n = 1;

        while (n < 4 && at + n < s.n && ((unsigned char)s.p[at + n] & 0xc0) == 0x80) {
            n++;
        }
        if (utf8_valid(str_of(s.p + at, n))) {
            buf_put(&b, s.p + at, n);
        } else {
            buf_put_lit(&b, "\xef\xbf\xbd");
        }
        at += n;
    }
    if (is_cut) {
        buf_put_lit(&b, "...");
    }
    out = b.failed ? (struct str){ NULL, 0 } : arena_str(x->arena, buf_str(&b));
    buf_release(&b);
    return out;
}

bool path_escapes(struct str path)
{
    struct str part;

    if (path.n == 0 || path.p[0] == '/' || str_find_byte(path, '\\', 0) != SIZE_MAX ||
        str_find_byte(path, '\0', 0) != SIZE_MAX || (path.n > 1 && path.p[1] == ':')) {
        return true;
    }
    while (str_split(&path, '/', &part)) {
        if (str_eq_lit(part, "..")) {
            return true;
        }
    }
    return false;
}

bool shape_product(const uint64_t *shape, size_t rank, uint64_t *out)
{
    *out = 1;
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] == 0) {
            *out = 0;
            return true;
        }
    }
    for (size_t i = 0; i < rank; i++) {
        if (__builtin_mul_overflow(*out, shape[i], out)) {
            return false;
        }
    }
    return true;
}

unsigned dtype_bits(struct str dtype)
{
    static const struct {
        struct str name;
        unsigned bits;
    } rows[] = {
        { S_INIT("F32"), 32 },    { S_INIT("F16"), 16 },        { S_INIT("BF16"), 16 },
        { S_INIT("F64"), 64 },    { S_INIT("I64"), 64 },        { S_INIT("I32"), 32 },
        { S_INIT("I16"), 16 },    { S_INIT("I8"), 8 },          { S_INIT("U8"), 8 },
        { S_INIT("U16"), 16 },    { S_INIT("U32"), 32 },        { S_INIT("U64"), 64 },
        { S_INIT("BOOL"), 8 },    { S_INIT("F8_E5M2"), 8 },     { S_INIT("F8_E4M3"), 8 },
        { S_INIT("F8_E8M0"), 8 }, { S_INIT("F8_E4M3FNUZ"), 8 }, { S_INIT("F8_E5M2FNUZ"), 8 },
        { S_INIT("C64"), 64 },    { S_INIT("C128"), 128 },      { S_INIT("F4"), 4 },
        { S_INIT("F6_E2M3"), 6 }, { S_INIT("F6_E3M2"), 6 },     { S_INIT("I4"), 4 },
        { S_INIT("U4"), 4 },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (str_eq(rows[i].name, dtype)) {
            return rows[i].bits;
        }
    }
    return 0;
}

/* ---- collecting ---------------------------------------------------------------------------------------------------------------- */

static struct str where_text(struct insp *x, const uint64_t *at)
{
    if (!at) {
        return x->where;
    }
    return arena_printf(x->arena, "%.*s%sbyte %" PRIu64, STR_ARG(x->where), x->where.n ? ": " : "",
                        *at);
}

ATTR_FORMAT(5, 0)
static void add_finding(struct insp *x, enum inspect_severity severity, const char *code,
                        const uint64_t *at, const char *fmt, va_list args)
{
    char text[FINDING_TEXT_MAX];
    struct inspect_finding *f;
    int n = vsnprintf(text, sizeof(text), fmt, args);
    size_t used = n < 0 ? 0 : MIN_OF((size_t)n, sizeof(text) - 1);

    if (x->r->findings_n++ == 0 || severity > x->r->worst) {
        x->r->worst = severity;
    }
    if (x->r->findings_n > x->limits->listed_max) {
        return;
    }
    f = ARENA_NEW(x->arena, struct inspect_finding);
    if (!f) {
        return;
    }
    f->severity = severity;
    f->code = str_cstr(code);
    f->text = insp_text(x, str_of(text, used), FINDING_TEXT_MAX);
    f->where = where_text(x, at);
    *x->finding_end = f;
    x->finding_end = &f->next;
}

void insp_finding(struct insp *x, enum inspect_severity severity, const char *code, const char *fmt,
                  ...)
{
    va_list args;

    va_start(args, fmt);
    add_finding(x, severity, code, NULL, fmt, args);
    va_end(args);
}

void insp_finding_at(struct insp *x, enum inspect_severity severity, const char *code, uint64_t at,
                     const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add_finding(x, severity, code, &at, fmt, args);
    va_end(args);
}

void insp_pair_str(struct insp *x, struct str key, struct str value)
{
    struct inspect_pair *p;

    if (++x->r->metadata_n > x->limits->listed_max) {
        return;
    }
    p = ARENA_NEW(x->arena, struct inspect_pair);
    if (p) {
        p->key = insp_text(x, key, INSPECT_TEXT_MAX);
        p->value = insp_text(x, value, INSPECT_TEXT_MAX);
        *x->pair_end = p;
        x->pair_end = &p->next;
    }
}

void insp_pair(struct insp *x, const char *key, struct str value)
{
    insp_pair_str(x, str_cstr(key), value);
}

void insp_pair_u64(struct insp *x, const char *key, uint64_t value)
{
    char text[NUM_I64_MAX];

    insp_pair(x, key, str_of(text, num_print_u64(value, text)));
}

void insp_format(struct insp *x, const char *format)
{
    /* the outermost says what the file is */
    if (x->r->format.n == 0) {
        x->r->format = str_cstr(format);
    }
}

void insp_tensor(struct insp *x, const struct inspect_tensor *t, struct inspect_tensor **out)
{
    struct inspect_tensor *to = NULL;

    x->r->tensors_n++;
    if (__builtin_add_overflow(x->r->params, t->elements, &x->r->params)) {
        x->r->params = UINT64_MAX;
    }
    if (__builtin_add_overflow(x->r->tensor_bytes, t->bytes, &x->r->tensor_bytes)) {
        x->r->tensor_bytes = UINT64_MAX;
    }
    if (x->r->tensors_n <= x->limits->listed_max) {
        to = ARENA_NEW(x->arena, struct inspect_tensor);
    }
    if (to) {
        uint64_t *shape = ARENA_ARRAY(x->arena, uint64_t, t->rank ? t->rank : 1);

        *to = *t;
        to->next = NULL;
        to->name = insp_text(x, t->name, INSPECT_TEXT_MAX);
        to->place = insp_text(x, t->place, INSPECT_TEXT_MAX);
        to->rank = shape ? t->rank : 0;
        if (shape && t->rank) {
            memcpy(shape, t->shape, t->rank * sizeof(*shape));
        }
        to->shape = shape;
        *x->tensor_end = to;
        x->tensor_end = &to->next;
    }
    if (out) {
        *out = to;
    }
}

struct insp_mark insp_mark(const struct insp *x)
{
    return (struct insp_mark){ *x->r, x->tensor_end, x->pair_end, x->finding_end };
}

void insp_rewind(struct insp *x, const struct insp_mark *m)
{
    *x->r = m->report;
    x->tensor_end = m->tensor_end;
    x->pair_end = m->pair_end;
    x->finding_end = m->finding_end;
    *x->tensor_end = NULL;
    *x->pair_end = NULL;
    *x->finding_end = NULL;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------------------ */

static void field(struct json_writer *w, const char *key, struct str value)
{
    json_w_key(w, str_cstr(key));
    json_w_str(w, value);
}

static void number(struct json_writer *w, const char *key, uint64_t value)
{
    json_w_key(w, str_cstr(key));
    json_w_u64(w, value);
}

static void put_tensor(struct json_writer *w, const struct inspect_tensor *t)
{
    json_w_object(w);
    field(w, "name", t->name);
    field(w, "dtype", t->dtype);
    json_w_key(w, S("shape"));
    json_w_array(w);
    for (unsigned i = 0; i < t->rank; i++) {
        json_w_u64(w, t->shape[i]);
    }
    json_w_array_end(w);
    number(w, "bytes", t->bytes);
    if (t->place.n) {
        field(w, "place", t->place);
    }
    if (t->has_offset) {
        number(w, "offset", t->offset);
    }
    json_w_object_end(w);
}

static void put_findings(struct json_writer *w, const struct inspect_report *r)
{
    json_w_key(w, S("findings"));
    json_w_array(w);
    for (const struct inspect_finding *f = r->findings; f; f = f->next) {
        json_w_object(w);
        field(w, "severity", str_cstr(inspect_severity_name(f->severity)));
        field(w, "code", f->code);
        field(w, "text", f->text);
        field(w, "where", f->where);
        json_w_object_end(w);
    }
    json_w_array_end(w);
}

static void put_report(struct json_writer *at, const struct inspect_report *r,
                       const struct inspect_shown *shown)
{
    struct json_writer w = *at;
    size_t n = 0;

    json_w_object(&w);
    field(&w, "name", r->name);
    field(&w, "format", r->format);
    if (r->producer.n) {
        field(&w, "producer", r->producer);
    }
    number(&w, "size", r->size);
    number(&w, "params", r->params);
    number(&w, "tensor_count", r->tensors_n);
    number(&w, "tensor_bytes", r->tensor_bytes);
    json_w_key(&w, S("tensors"));
    json_w_array(&w);
    for (const struct inspect_tensor *t = r->tensors; t && n < shown->tensors; t = t->next, n++) {
        put_tensor(&w, t);
    }
    json_w_array_end(&w);
    number(&w, "metadata_count", r->metadata_n);
    json_w_key(&w, S("metadata"));
    json_w_array(&w);
    n = 0;
    for (const struct inspect_pair *p = r->metadata; p && n < shown->metadata; p = p->next, n++) {
        json_w_object(&w);
        field(&w, "key", p->key);
        field(&w, "value", p->value);
        json_w_object_end(&w);
    }
    json_w_array_end(&w);
    put_findings(&w, r);
    number(&w, "finding_count", r->findings_n);
    if (r->findings_n) {
        field(&w, "worst", str_cstr(inspect_severity_name(r->worst)));
    }
    json_w_key(&w, S("complete"));
    json_w_bool(&w, r->complete);
    json_w_object_end(&w);
    *at = w;
}

void inspect_json(struct buf *b, const struct inspect_report *r, const struct inspect_shown *shown)
{
    struct json_writer w = JSON_WRITER_INIT(b);

    put_report(&w, r, shown);
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

void inspect_json_files(struct buf *b, struct str source,
                        const struct inspect_report *const *reports, size_t n, uint64_t files_n,
                        const struct inspect_shown *shown)
{
    struct json_writer w = JSON_WRITER_INIT(b);
    struct inspect_report all = { .complete = files_n == n };

    json_w_object(&w);
    field(&w, "source", source);
    json_w_key(&w, S("files"));
    json_w_array(&w);
    for (size_t i = 0; i < n; i++) {
        const struct inspect_report *r = reports[i];

        put_report(&w, r, shown);
        all.size = add(all.size, r->size);
        all.params = add(all.params, r->params);
        all.tensors_n = add(all.tensors_n, r->tensors_n);
        all.tensor_bytes = add(all.tensor_bytes, r->tensor_bytes);
        all.worst = r->findings_n && r->worst > all.worst ? r->worst : all.worst;
        all.findings_n = add(all.findings_n, r->findings_n);
        all.complete = all.complete && r->complete;
    }
    json_w_array_end(&w);
    number(&w, "file_count", files_n);
    number(&w, "size", all.size);
    number(&w, "params", all.params);
    number(&w, "tensor_count", all.tensors_n);
    number(&w, "tensor_bytes", all.tensor_bytes);
    number(&w, "finding_count", all.findings_n);
    if (all.findings_n) {
        field(&w, "worst", str_cstr(inspect_severity_name(all.worst)));
    }
    json_w_key(&w, S("complete"));
    json_w_bool(&w, all.complete);
    json_w_object_end(&w);
}
