/* api/native/steps.c - memory of steps: keys, what has one, and what is taken out. */
#include "gen/native/steps.h"
#include "api/grpc/grpc.h"
#include "api/native/native.h"
#include "base/num.h"
#include "codec/json.h"
#include "core/step.h"

enum { DEPTH_MAX = 32, VALUE_MAX = 4 * JSON_CANONICAL_MAX };

/* What the messages have in common. */
struct described {
    struct str step, key_text;
    struct str
        sections[4]; /* inputs, code, parameters, environment: JSON objects; p NULL = absent */
    struct digest key;
    struct str bytes; /* p NULL: only the key was given */
};
static const char *const fields[] = { "inputs", "code", "parameters", "environment" };

#define DESCRIBED(in_)                                                                             \
    {                                                                                              \
        .step = (in_)->step, .sections = {                                                         \
            (in_)->inputs,                                                                         \
            (in_)->code,                                                                           \
            (in_)->parameters,                                                                     \
            (in_)->environment                                                                     \
        }                                                                                          \
    }

/* ---- JSON to entries ------------------------------------------------------------------------------------------------------- */

struct entries {
    struct arena *a;
    struct step_entry *p;
    size_t n, cap;
};

static struct step_entry *add(struct entries *to, enum step_section section, struct str name)
{
    if (!arena_grow(to->a, (void **)&to->p, to->n, &to->cap, sizeof(*to->p))) {
        return NULL;
    }
    to->p[to->n] = (struct step_entry){ .section = section, .name = name };
    return &to->p[to->n++];
}

/* A key of 64 digits, or the part of "sha256:..." behind the colon. */
static bool is_digest(struct str s, struct digest *out)
{
    return str_starts(s, S("sha256:")) && digest_parse(str_sub(s, 7, s.n), out);
}

static bool is_whole(struct str raw)
{
    return str_find_byte(raw, '.', 0) == SIZE_MAX && str_find_byte(raw, 'e', 0) == SIZE_MAX &&
           str_find_byte(raw, 'E', 0) == SIZE_MAX;
}

static enum status number(struct step_entry *e, struct str raw, const char *field, struct err *err)
{
    if (is_whole(raw)) {
        e->type = STEP_INT;
        return num_parse_i64(raw, &e->i)
                   ? OK
                   : err_field(err, ST_INVALID, field,
                               "the whole number of '%.*s' has more than 64 bits: write it as text",
                               STR_ARG(e->name));
    }
    e->type = STEP_DOUBLE;
    return num_parse_double(raw, &e->d)
               ? OK
               : err_field(err, ST_INVALID, field, "'%.*s' is no number", STR_ARG(e->name));
}

/* The list or object that the reader has just entered, whole. */
static enum status container(struct step_entry *e, struct json_reader *r, struct arena *a,
                             const char *field, struct err *err)
{
    const char *from = r->p - 1;
    struct buf b = BUF_INIT(VALUE_MAX);
    enum status st;

    if (json_skip(r) == JSON_EV_ERROR) {
        return err_field(err, r->status, field, "%s in '%.*s'", r->what, STR_ARG(e->name));
    }
    e->type = STEP_JSON;
    st = json_canonical(&b, str_of(from, (size_t)(r->p - from)), a, err);
    st = st ? st : buf_status(&b, "a value", err);
    if (!st) {
        e->s = arena_str(a, buf_str(&b));
        st = e->s.p ? OK : err_nomem(err);
    }
    buf_release(&b);
    if (st == ST_TOO_BIG) {
        return err_field(err, st, field, "the value of '%.*s' has more than %d bytes",
                         STR_ARG(e->name), JSON_CANONICAL_MAX);
    }
    return st;
}

static enum status value(struct step_entry *e, struct json_reader *r, struct arena *a,
                         const char *field, struct err *err)
{
    enum json_event ev = json_next(r);

    switch (ev) {
    case JSON_EV_NULL: e->type = STEP_NULL; return OK;
    case JSON_EV_FALSE:
    case JSON_EV_TRUE:
        e->type = STEP_BOOL;
        e->i = ev == JSON_EV_TRUE;
        return OK;
    case JSON_EV_NUMBER: return number(e, r->raw, field, err);
    case JSON_EV_STRING:
        e->s = json_text(r, a);
        e->type = is_digest(e->s, &e->digest) ? STEP_DIGEST : STEP_TEXT;
        return e->s.p ? OK : err_nomem(err);
    case JSON_EV_OBJECT:
    case JSON_EV_ARRAY: return container(e, r, a, field, err);
    case JSON_EV_ERROR:
    case JSON_EV_MORE:
    case JSON_EV_END:
    case JSON_EV_NAN:
    case JSON_EV_KEY:
    case JSON_EV_OBJECT_END:
    case JSON_EV_ARRAY_END: break;
    }
    return err_field(err, r->status, field, "%s", r->what);
}

static enum status section(struct entries *to, enum step_section kind, struct str text,
                           struct err *err)
{
    const char *field = fields[kind - STEP_INPUT];
    struct json_reader r;
    enum json_event ev;
    enum status st = OK;

    if (!text.p) {
        return OK;
    }
    json_init(&r, text, JSON_NO_DUPLICATES, DEPTH_MAX);
    if (json_next(&r) != JSON_EV_OBJECT) {
        st = err_field(err, ST_INVALID, field, "%s is an object of names and values", field);
    }
    while (!st && (ev = json_next(&r)) == JSON_EV_KEY) {
        struct str name = json_text(&r, to->a);
        struct step_entry *e = name.p ? add(to, kind, name) : NULL;

        st = e ? value(e, &r, to->a, field, err) : err_nomem(err);
        if (!st && to->n > STEP_ENTRIES_MAX) {
            st = err_field(err, ST_TOO_BIG, field, "a step has at most %d entries",
                           STEP_ENTRIES_MAX);
        }
    }
    if (!st && (ev == JSON_EV_ERROR || json_next(&r) != JSON_EV_END)) {
        st = err_field(err, r.status ? r.status : ST_INVALID, field, "%s",
                       r.what ? r.what : "more than one value");
    }
    json_release(&r);
    return st;
}

static enum status plain_text(struct str s, const char *field, struct err *err)
{
    return s.n && str_find_byte(s, '\0', 0) != SIZE_MAX
               ? err_field(err, ST_INVALID, field, "%s has the character U+0000 in it", field)
               : OK;
}

static enum status make_key(struct arena *a, struct described *d, struct err *err)
{
    struct entries to = { .a = a };
    struct step_entry *name = add(&to, STEP_NAME, S(""));
    enum status st = name ? OK : err_nomem(err);

    if (name) {
        name->type = STEP_TEXT;
        name->s = d->step;
    }
    for (unsigned i = 0; !st && i < ARRAY_N(d->sections); i++) {
        st = section(&to, (enum step_section)(STEP_INPUT + i), d->sections[i], err);
    }
    return st ? st : step_key_make(a, to.p, to.n, &d->bytes, &d->key, err);
}

/* Key and bytes of a step that is described, or named by its key, or both. */
static enum status resolve(struct arena *a, struct described *d, struct err *err)
{
    bool any = false;
    struct digest said;
    enum status st = plain_text(d->step, "step", err);

    for (size_t i = 0; i < ARRAY_N(d->sections); i++) {
        any = any || d->sections[i].p;
    }
    if (st) {
        return st;
    }
    if (d->key_text.p && !digest_parse(d->key_text, &said)) {
        return err_field(err, ST_INVALID, "key", "a key has 64 hex digits");
    }
    if (!d->step.n && (any || !d->key_text.p)) {
        return err_field(err, ST_INVALID, "step",
                         "name the step, with its inputs, code, parameters and environment%s",
                         any ? "" : ", or give its key");
    }
    if (d->key_text.p && !any) {
        d->key = said; /* a name beside it says what the key belongs to */
        return OK;
    }
    st = make_key(a, d, err);
    if (!st && d->key_text.p && !digest_eq(&said, &d->key)) {
        st = err_field(err, ST_INVALID, "key",
                       "the step has another key than the one that is given");
    }
    return st;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

static enum status key_answer(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_step_key *in = c->in;
    struct cairn_v1_step_key_answer *out = ARENA_NEW(c->arena, struct cairn_v1_step_key_answer);
    struct described d = DESCRIBED(in);
    enum status st = out ? resolve(c->arena, &d, err) : err_nomem(err);

    (void)v;
    if (st) {
        return st;
    }
    MSG_SET(out, CAIRN_V1_STEP_KEY_ANSWER_HAS_KEY, key, step_key_text(c->arena, &d.key));
    MSG_SET(out, CAIRN_V1_STEP_KEY_ANSWER_HAS_BYTES, bytes, d.bytes);
    c->out = out;
    return out->key.p ? OK : err_nomem(err);
}

/* A value as JSON. */
static struct str shown(struct arena *a, const struct step_entry *e)
{
    struct buf b = BUF_INIT(6 * STEP_BYTES_MAX + 16); /* every byte may become \u00XX */
    char hex[65];
    struct str out;

    switch (e->type) {
    case STEP_NULL: buf_put_lit(&b, "null"); break;
    case STEP_INT: json_put_i64(&b, e->i); break;
    case STEP_DOUBLE: json_put_double(&b, e->d, JSON_NAN_STRING); break;
    case STEP_BOOL: buf_put_cstr(&b, e->i ? "true" : "false"); break;
    case STEP_TEXT: json_put_str(&b, e->s, false); break;
    case STEP_JSON: buf_put_str(&b, e->s); break;
    case STEP_DIGEST:
        digest_hex(&e->digest, hex);
        buf_printf(&b, "\"sha256:%s\"", hex);
        break;
    }
    out = b.failed ? (struct str){ NULL, 0 } : arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static enum status put_differences(struct call *c, const struct step_found *f,
                                   struct cairn_v1_step_find_answer *out, struct err *err)
{
    out->differences = ARENA_ARRAY(c->arena, struct cairn_v1_step_difference, f->differences_n + 1);
    if (!out->differences) {
        return err_nomem(err);
    }
    out->differences_n = f->differences_n;
    for (size_t i = 0; i < f->differences_n; i++) {
        const struct step_difference *d = &f->differences[i];
        const struct step_entry *any = d->now ? d->now : d->before;
        struct cairn_v1_step_difference *to = &out->differences[i];

        MSG_SET(to, CAIRN_V1_STEP_DIFFERENCE_HAS_SECTION, section,
                str_cstr(step_section_name(any->section)));
        MSG_SET(to, CAIRN_V1_STEP_DIFFERENCE_HAS_NAME, name, any->name);
        if (d->before) {
            MSG_SET(to, CAIRN_V1_STEP_DIFFERENCE_HAS_BEFORE, before, shown(c->arena, d->before));
        }
        if (d->now) {
            MSG_SET(to, CAIRN_V1_STEP_DIFFERENCE_HAS_NOW, now, shown(c->arena, d->now));
        }
        if ((d->before && !to->before.p) || (d->now && !to->now.p)) {
            return err_nomem(err);
        }
    }
    if (f->differences_all) {
        MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_DIFFERENCES_TOTAL, differences_total,
                (int32_t)f->differences_all);
    }
    return OK;
}

static enum status put_outputs(struct call *c, const struct step_found *f,
                               struct cairn_v1_step_find_answer *out, struct err *err)
{
    out->outputs = ARENA_ARRAY(c->arena, struct cairn_v1_step_output, f->outputs_n + 1);
    if (!out->outputs) {
        return err_nomem(err);
    }
    out->outputs_n = f->outputs_n;
    for (size_t i = 0; i < f->outputs_n; i++) {
        const struct step_output *o = &f->outputs[i];
        struct cairn_v1_step_output *to = &out->outputs[i];

        if (o->name.n) MSG_SET(to, CAIRN_V1_STEP_OUTPUT_HAS_NAME, name, o->name);
        if (o->node.p) MSG_SET(to, CAIRN_V1_STEP_OUTPUT_HAS_NODE, node, o->node);
        if (o->uri.n) MSG_SET(to, CAIRN_V1_STEP_OUTPUT_HAS_URI, uri, o->uri);
        if (o->is_checked) MSG_SET(to, CAIRN_V1_STEP_OUTPUT_HAS_CHECKED, checked, true);
        if (o->has_sha256) {
            MSG_SET(to, CAIRN_V1_STEP_OUTPUT_HAS_SHA256, sha256,
                    step_key_text(c->arena, &o->sha256));
            if (!to->sha256.p) {
                return err_nomem(err);
            }
        }
    }
    return OK;
}

static enum status find_answer(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_step_find *in = c->in;
    struct cairn_v1_step_find_answer *out = ARENA_NEW(c->arena, struct cairn_v1_step_find_answer);
    struct described d = DESCRIBED(in);
    struct step_found f;
    struct str ns;
    enum status st = out ? call_space(c, &ns, err) : err_nomem(err);

    d.key_text = in->key;
    st = st ? st : resolve(c->arena, &d, err);
    st = st ? st : step_find(v, ns, d.step, d.bytes, &d.key, &f, err);
    st = st ? st : put_outputs(c, &f, out, err);
    st = st ? st : put_differences(c, &f, out, err);
    if (st) {
        return st;
    }
    MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_KEY, key, step_key_text(c->arena, &d.key));
    MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_REUSE, reuse, f.miss == STEP_HIT);
    if (f.execution.p)
        MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_EXECUTION, execution, f.execution);
    if (f.who.p) MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_WHO, who, f.who);
    if (f.ms) MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_TIME_MS, time_ms, f.ms);
    if (f.miss) {
        MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_MISS, miss, str_cstr(step_miss_name(f.miss)));
        MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_WHY, why, f.why);
    }
    if (f.near.p) {
        MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_NEAREST, nearest, f.near);
        MSG_SET(out, CAIRN_V1_STEP_FIND_ANSWER_HAS_NEAREST_KEY, nearest_key,
                step_key_text(c->arena, &f.near_key));
    }
    c->out = out;
    return out->key.p && (!f.near.p || out->nearest_key.p) ? OK : err_nomem(err);
}

/* ---- writes --------------------------------------------------------------------------------------------------------------------- */

static enum status outputs_in(struct call *c, const struct cairn_v1_step_record *in,
                              struct step_record *r, struct err *err)
{
    enum status st = OK;

    r->outputs = ARENA_ARRAY(c->arena, struct step_output, in->outputs_n + 1);
    if (!r->outputs) {
        return err_nomem(err);
    }
    r->outputs_n = in->outputs_n;
    for (size_t i = 0; !st && i < in->outputs_n; i++) {
        const struct cairn_v1_step_output *x = &in->outputs[i];
        struct step_output *o = &r->outputs[i];

        o->name = x->name.p ? x->name : S("");
        o->node = x->node;
        o->has_sha256 = x->sha256.p != NULL;
        st = plain_text(o->name, "outputs", err);
        if (!st && o->has_sha256 && !digest_parse(x->sha256, &o->sha256)) {
            st = err_field(err, ST_INVALID, "outputs", "a sha256 has 64 hex digits");
        }
    }
    return st;
}

static enum status record_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_step_record *in = c->in;
    struct step_record *r = ARENA_NEW(c->arena, struct step_record);
    struct described d = DESCRIBED(in);
    enum status st;

    if (!r) {
        return err_nomem(err);
    }
    step_record_init(r, c->core, c->arena);
    d.key_text = in->key;
    st = call_space(c, &r->ns, err);
    st = st ? st : resolve(c->arena, &d, err);
    st = st ? st : outputs_in(c, in, r, err);
    r->who = c->principal->name;
    r->step = d.step.p ? d.step : S("");
    r->bytes = d.bytes;
    r->key = d.key;
    r->execution = in->execution;
    *op = &r->op;
    return st;
}

static enum status record_finish(struct call *c, struct err *err)
{
    const struct step_record *r = WRITE_OP_OF(c->op, struct step_record);
    struct cairn_v1_step_record_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_step_record_answer);

    if (!out) {
        return err_nomem(err);
    }
    MSG_SET(out, CAIRN_V1_STEP_RECORD_ANSWER_HAS_KEY, key, step_key_text(c->arena, &r->key));
    if (r->known) MSG_SET(out, CAIRN_V1_STEP_RECORD_ANSWER_HAS_KNOWN, known, true);
    c->out = out;
    return out->key.p ? OK : err_nomem(err);
}

static enum status invalidate_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_step_invalidate *in = c->in;
    struct step_invalidate *x = ARENA_NEW(c->arena, struct step_invalidate);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    step_invalidate_init(x, c->core, c->arena);
    st = call_space(c, &x->ns, err);
    st = st ? st : plain_text(in->step, "step", err);
    st = st ? st : plain_text(in->reason, "reason", err);
    if (!st && !in->key.n == !in->step.n) {
        st =
            err_field(err, ST_INVALID, "key", "give the key, or the step whose keys are taken out");
    }
    if (!st && in->key.n && !digest_parse(in->key, &x->key)) {
        st = err_field(err, ST_INVALID, "key", "a key has 64 hex digits");
    }
    x->has_key = in->key.n > 0;
    x->step = in->step;
    x->reason = in->reason.p ? in->reason : S("");
    x->who = c->principal->name;
    *op = &x->op;
    return st;
}

static enum status invalidate_finish(struct call *c, struct err *err)
{
    const struct step_invalidate *x = WRITE_OP_OF(c->op, struct step_invalidate);
    struct cairn_v1_step_invalidate_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_step_invalidate_answer);

    if (!out) {
        return err_nomem(err);
    }
    MSG_SET(out, CAIRN_V1_STEP_INVALIDATE_ANSWER_HAS_INVALIDATED, invalidated, x->n);
    if (x->more) MSG_SET(out, CAIRN_V1_STEP_INVALIDATE_ANSWER_HAS_MORE, more, true);
    c->out = out;
    return OK;
}

/* ---- the tables --------------------------------------------------------------------------------------------------------------- */

#define KEY        .kind = CALL_READ, .read = key_answer
#define FIND       .kind = CALL_READ, .read = find_answer
#define RECORD     .kind = CALL_WRITE, .start = record_start, .finish = record_finish
#define INVALIDATE .kind = CALL_WRITE, .start = invalidate_start, .finish = invalidate_finish

#define METHOD(name, snake, action, ...)                                                           \
    GRPC_METHOD("/cairn.v1.StepService/" name, &cairn_v1_##snake##_desc,                           \
                &cairn_v1_##snake##_answer_desc, RESOURCE_RUN, action, __VA_ARGS__)

const struct route native_step_methods[] = {
    METHOD("Key", step_key, ACTION_RUN_READ, KEY),
    METHOD("Find", step_find, ACTION_RUN_READ, FIND),
    METHOD("Record", step_record, ACTION_RUN_WRITE, RECORD),
    METHOD("Invalidate", step_invalidate, ACTION_RUN_WRITE, INVALIDATE),
};
const size_t native_step_methods_n = ARRAY_N(native_step_methods);

#define POST(path, snake, action, ...)                                                             \
    ROUTE(HTTP_POST, "/api/cairn/v1/steps" path, &cairn_v1_##snake##_desc,                         \
          &cairn_v1_##snake##_answer_desc, RESOURCE_RUN, action,                                   \
          ENDPOINT(.tongue = &native_tongue, __VA_ARGS__))

const struct route native_step_routes[] = {
    POST("/key", step_key, ACTION_RUN_READ, KEY),
    POST("/find", step_find, ACTION_RUN_READ, FIND),
    POST("", step_record, ACTION_RUN_WRITE, RECORD),
    POST("/invalidate", step_invalidate, ACTION_RUN_WRITE, INVALIDATE),
};
const size_t native_step_routes_n = ARRAY_N(native_step_routes);
