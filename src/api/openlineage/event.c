/* api/openlineage/event.c - one event taken apart: what it must have, and where its facets are. Lenient where producers in the field
 * are: what is only odd is taken in with a warning. */
#include "api/openlineage/openlineage_int.h"
#include "base/hash.h"

enum { SCRATCH_MAX = 32 << 20 }; /* of one canonical body; a few times its length is used */

static const struct str no_text = { NULL, 0 };
static const char *const types[] = { "", "START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER" };

/* What every event has, and where its parts began. */
struct common {
    struct str time, producer, schema, type;
    bool has_run, has_job, has_dataset;
};

/* ---- facets --------------------------------------------------------------------------------------------------------------------- */

static bool stable_hash(struct str s, int64_t *h, int64_t *h2)
{
    struct digest d;

    if (!sha256_of(s.p, s.n, &d)) {
        return false;
    }
    memcpy(h, d.b, sizeof(*h));
    memcpy(h2, d.b + sizeof(*h), sizeof(*h2));
    return true;
}

/* Whether it says _deleted itself; nearly none does, and a look at the bytes tells. */
static bool is_deleted(struct ol_in *x, const struct ol_facet *f)
{
    struct ol_in in;
    struct str key, raw;
    bool deleted = false;

    if (str_find(f->json, S("_deleted")) == SIZE_MAX &&
        str_find_byte(f->json, '\\', 0) == SIZE_MAX) {
        return false;
    }
    ol_in_begin(&in, x->a, f->json, x->err);
    if (ol_in_object(&in)) {
        while (ol_in_key(&in, &key)) {
            enum json_event ev = ol_in_value(&in, &raw);

            deleted = str_eq_lit(key, "_deleted") ? ev == JSON_EV_TRUE : deleted;
        }
    }
    if (in.st == ST_NOMEM) {
        x->st = in.st;
    }
    ol_in_end(&in);
    return deleted;
}

/* Members that every facet has. */
static void look_at_facet(struct ol_in *x, struct ol_facet *f)
{
    bool producer = str_find(f->json, S("\"_producer\"")) != SIZE_MAX;
    bool schema = str_find(f->json, S("\"_schemaURL\"")) != SIZE_MAX;

    f->deleted = is_deleted(x, f);
    if (!producer || !schema) {
        ol_in_warn(x, "%s: the facet '%.*s' does not say its %s", x->path, STR_ARG(f->key),
                   producer ? "_schemaURL" : "_producer");
    }
}

static enum status take_facet(struct ol_in *x, struct str key, struct str raw,
                              struct ol_facet **out, size_t *n, size_t *cap)
{
    struct ol_facet *f = NULL;

    if (!ol_name_fits(key, OL_KEY_MAX)) {
        return ol_in_fail(x, ST_INVALID, "facets",
                          "the key of a facet has 1 to %d bytes, and no U+0000; this one has %zu",
                          OL_KEY_MAX, key.n);
    }
    for (size_t i = 0; i < *n && !f; i++) {
        f = str_eq((*out)[i].key, key) ? &(*out)[i] : NULL; /* of equal keys the last one counts */
    }
    if (!f) {
        if (*n == OL_FACETS_MAX) {
            return ol_in_fail(x, ST_INVALID, "facets", "there are more than %d facets",
                              OL_FACETS_MAX);
        }
        if (!arena_grow(x->a, (void **)out, *n, cap, sizeof(**out))) {
            return x->st = err_nomem(x->err);
        }
        f = &(*out)[(*n)++];
    }
    *f = (struct ol_facet){ .key = key, .json = raw };
    if (raw.n > OL_INLINE_MAX && !stable_hash(raw, &f->h, &f->h2)) {
        return x->st = err_nomem(x->err);
    }
    look_at_facet(x, f);
    return x->st;
}

/* Null is no facet; of equal keys the last one counts. */
static void drop_facet(struct ol_facet *f, size_t *n, struct str key)
{
    for (size_t i = 0; i < *n; i++) {
        if (str_eq(f[i].key, key)) {
            f[i] = f[--*n];
            return;
        }
    }
}

static enum status facets(struct ol_in *x, const char *name, struct ol_facet **out, size_t *n)
{
    size_t cap = 0, path;
    struct str key, raw;
    enum json_event ev = ol_in_next(x);

    *out = NULL;
    *n = 0;
    if (ev == JSON_EV_NULL || x->st) {
        return x->st;
    }
    if (ev != JSON_EV_OBJECT) {
        return ol_in_fail(x, ST_INVALID, name, "%s is an object", name);
    }
    path = ol_in_path(x, "%s%s", x->path_n ? "." : "", name);
    while (ol_in_key(x, &key)) {
        ev = ol_in_value(x, &raw);
        if (ev == JSON_EV_NULL) {
            drop_facet(*out, n, key);
        } else if (x->st || take_facet(x, key, raw, out, n, &cap)) {
            break;
        }
    }
    x->path_n = path;
    x->path[path] = '\0';
    return x->st;
}

/* ---- names ---------------------------------------------------------------------------------------------------------------------- */

static enum status check_name(struct ol_in *x, const char *field, struct str s, size_t max)
{
    if (!s.p || !s.n) {
        return ol_in_fail(x, ST_INVALID, field, "%s%s%s is required: a text that is not empty",
                          x->path, x->path_n ? "." : "", field);
    }
    if (s.n > max) {
        return ol_in_fail(x, ST_INVALID, field, "%s%s%s has %zu bytes, at most %zu are kept",
                          x->path, x->path_n ? "." : "", field, s.n, max);
    }
    if (str_find_byte(s, '\0', 0) != SIZE_MAX) {
        return ol_in_fail(x, ST_INVALID, field, "%s%s%s has the character U+0000 in it", x->path,
                          x->path_n ? "." : "", field);
    }
    return x->st;
}

static enum status names(struct ol_in *x, struct ol_name *n)
{
    enum status st = check_name(x, "namespace", n->ns, OL_NS_MAX);

    return st ? st : check_name(x, "name", n->name, OL_NAME_MAX);
}

/* ---- data sets ------------------------------------------------------------------------------------------------------------------- */

/* The members of a data set; the object has begun. */
static enum status dataset(struct ol_in *x, const char *io_facets, struct ol_dataset *d)
{
    struct str key, raw;

    *d = (struct ol_dataset){ .name = { no_text, no_text } };
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "namespace")) {
            d->name.ns = ol_in_text(x);
        } else if (str_eq_lit(key, "name")) {
            d->name.name = ol_in_text(x);
        } else if (str_eq_lit(key, "facets")) {
            (void)facets(x, "facets", &d->facets, &d->facets_n);
        } else if (io_facets && str_eq(key, str_cstr(io_facets))) {
            (void)facets(x, io_facets, &d->io_facets, &d->io_facets_n);
        } else {
            (void)ol_in_value(x, &raw);
        }
    }
    return x->st || names(x, &d->name) ? x->st : ol_read_dataset_facets(x->a, d, x->err);
}

static enum status datasets(struct ol_in *x, const char *name, const char *io_facets, bool *has,
                            struct ol_dataset **out, size_t *n)
{
    size_t cap = 0, path;
    enum json_event ev;

    *out = NULL;
    *n = 0;
    *has = false;
    if (!ol_in_list(x, &ev)) {
        return ev == JSON_EV_NULL || x->st ? x->st
                                           : ol_in_fail(x, ST_INVALID, name, "%s is a list", name);
    }
    *has = true;
    while (!x->st && (ev = ol_in_next(x)) != JSON_EV_ARRAY_END && !x->st) {
        path = ol_in_path(x, "%s[%zu]", name, *n);
        if (ev != JSON_EV_OBJECT) {
            return ol_in_fail(x, ST_INVALID, "", "%s is an object", x->path);
        }
        if (*n == OL_DATASETS_MAX) {
            return ol_in_fail(x, ST_INVALID, "", "an event has at most %d of %s", OL_DATASETS_MAX,
                              name);
        }
        if (!arena_grow(x->a, (void **)out, *n, &cap, sizeof(**out))) {
            return x->st = err_nomem(x->err);
        }
        if (dataset(x, io_facets, &(*out)[*n])) {
            return x->st = x->st ? x->st : x->err->code;
        }
        (*n)++;
        x->path_n = path;
        x->path[path] = '\0';
    }
    return x->st;
}

/* ---- job and run ------------------------------------------------------------------------------------------------------------------ */

static enum status job(struct ol_in *x, struct ol_event *e)
{
    struct str key, raw;
    size_t path;

    if (!ol_in_object(x)) {
        return x->st ? x->st : ol_in_fail(x, ST_INVALID, "job", "job is an object");
    }
    e->job = (struct ol_name){ no_text, no_text };
    e->job_facets = NULL;
    e->job_facets_n = 0;
    path = ol_in_path(x, "job");
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "namespace")) {
            e->job.ns = ol_in_text(x);
        } else if (str_eq_lit(key, "name")) {
            e->job.name = ol_in_text(x);
        } else if (str_eq_lit(key, "facets")) {
            (void)facets(x, "facets", &e->job_facets, &e->job_facets_n);
        } else {
            (void)ol_in_value(x, &raw);
        }
    }
    if (x->st || names(x, &e->job)) {
        return x->st;
    }
    x->path_n = path;
    x->path[path] = '\0';
    return OK;
}

static enum status run(struct ol_in *x, struct ol_event *e)
{
    struct str key, raw, id = no_text;
    size_t path;

    if (!ol_in_object(x)) {
        return x->st ? x->st : ol_in_fail(x, ST_INVALID, "run", "run is an object");
    }
    e->run = (struct ol_run_ref){ .text = no_text };
    e->run_facets = NULL;
    e->run_facets_n = 0;
    path = ol_in_path(x, "run");
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "runId")) {
            id = ol_in_text(x);
        } else if (str_eq_lit(key, "facets")) {
            (void)facets(x, "facets", &e->run_facets, &e->run_facets_n);
        } else {
            (void)ol_in_value(x, &raw);
        }
    }
    if (x->st || check_name(x, "runId", id, OL_RUN_TEXT_MAX)) {
        return x->st;
    }
    x->path_n = path;
    x->path[path] = '\0';
    e->run.is_set = true;
    if (!ol_run_id_parse(id, e->run.id)) {
        e->run.text = id;
        ol_in_warn(x, "run.runId is no UUID: the run has one that is made of this text");
        if (!ol_run_id_of_text(id, e->run.id)) {
            return x->st = err_nomem(x->err);
        }
    }
    return OK;
}

/* ---- the event --------------------------------------------------------------------------------------------------------------------- */

static bool is_uri(struct str s)
{
    size_t colon = str_find_byte(s, ':', 0);

    return colon != SIZE_MAX && colon > 0 &&
           ((s.p[0] >= 'a' && s.p[0] <= 'z') || (s.p[0] >= 'A' && s.p[0] <= 'Z'));
}

static enum status check_common(struct ol_in *x, const struct common *c, struct ol_event *e)
{
    bool zone = true;

    if (!c->time.p || !c->time.n) {
        return ol_in_fail(x, ST_INVALID, "eventTime", "eventTime is required");
    }
    if (!ol_time_read(c->time, &e->event_us, &zone)) {
        return ol_in_fail(x, ST_INVALID, "eventTime",
                          "eventTime '%.*s' is no time as RFC 3339 has it "
                          "(2026-01-31T12:00:00Z)",
                          STR_ARG(str_sub(c->time, 0, 60)));
    }
    if (!c->producer.p || !c->producer.n) {
        return ol_in_fail(x, ST_INVALID, "producer", "producer is required");
    }
    if (!c->schema.p || !c->schema.n) {
        return ol_in_fail(x, ST_INVALID, "schemaURL", "schemaURL is required");
    }
    if (!zone) {
        ol_in_warn(x, "eventTime says no zone: taken as UTC");
    }
    if (!is_uri(c->producer)) {
        ol_in_warn(x, "producer is no URI");
    }
    if (!is_uri(c->schema)) {
        ol_in_warn(x, "schemaURL is no URI");
    }
    e->type = c->type.p && c->type.n ? OL_TYPE_UNKNOWN : OL_TYPE_NONE;
    for (size_t i = 1; i < ARRAY_N(types); i++) {
        e->type = str_eq_nocase(c->type, str_cstr(types[i])) ? (enum ol_type)i : e->type;
    }
    if (e->type == OL_TYPE_UNKNOWN) {
        ol_in_warn(x, "the eventType '%.*s' is not known", STR_ARG(str_sub(c->type, 0, 60)));
    }
    return OK;
}

static enum status check_kind(struct ol_in *x, const struct common *c, struct ol_event *e)
{
    if (c->has_job) {
        e->kind = c->has_run ? OL_RUN_EVENT : OL_JOB_EVENT;
    } else if (c->has_dataset) {
        e->kind = OL_DATASET_EVENT;
    } else {
        return ol_in_fail(x, ST_INVALID, "job",
                          c->has_run ? "job is required: whose run it is"
                                     : "an event has a run and a job, a job, or a dataset");
    }
    return OK;
}

static void member(struct ol_in *x, struct str key, struct common *c, struct ol_event *e)
{
    struct str raw;

    if (str_eq_lit(key, "eventTime")) {
        c->time = ol_in_text(x);
    } else if (str_eq_lit(key, "producer")) {
        c->producer = ol_in_text(x);
    } else if (str_eq_lit(key, "schemaURL")) {
        c->schema = ol_in_text(x);
    } else if (str_eq_lit(key, "eventType")) {
        c->type = ol_in_text(x);
    } else if (str_eq_lit(key, "job")) {
        c->has_job = job(x, e) == OK;
    } else if (str_eq_lit(key, "run")) {
        c->has_run = run(x, e) == OK;
    } else if (str_eq_lit(key, "inputs")) {
        (void)datasets(x, "inputs", "inputFacets", &e->has_inputs, &e->inputs, &e->inputs_n);
    } else if (str_eq_lit(key, "outputs")) {
        (void)datasets(x, "outputs", "outputFacets", &e->has_outputs, &e->outputs, &e->outputs_n);
    } else if (str_eq_lit(key, "dataset")) {
        size_t path = ol_in_path(x, "dataset");

        e->dataset = ARENA_NEW(x->a, struct ol_dataset);
        if (!e->dataset) {
            x->st = err_nomem(x->err);
        } else if (!ol_in_object(x)) {
            (void)ol_in_fail(x, ST_INVALID, "", "dataset is an object");
        } else if (dataset(x, NULL, e->dataset)) {
            x->st = x->st ? x->st : x->err->code;
        }
        c->has_dataset = !x->st;
        x->path_n = path;
        x->path[path] = '\0';
    } else {
        (void)ol_in_value(x, &raw);
    }
}

/* Of the canonical body; of the body as it is, where it is too long for that. What it takes to make that one goes with it: a request has
 * many events. */
static enum status hash_event(struct ol_event *e, struct err *err)
{
    struct buf b = BUF_INIT(8 * JSON_CANONICAL_MAX);
    struct arena *a = arena_new(SCRATCH_MAX);
    enum status st = !a                               ? err_nomem(err)
                     : e->raw.n <= JSON_CANONICAL_MAX ? json_canonical(&b, e->raw, a, err)
                                                      : ST_TOO_BIG;
    bool whole = st == OK && !b.failed;

    if (st == ST_TOO_BIG || b.failed == ST_TOO_BIG) {
        st = OK;
    }
    st = st ? st : b.failed == ST_NOMEM ? err_nomem(err) : OK;
    if (!st && !stable_hash(whole ? buf_str(&b) : e->raw, &e->h, &e->h2)) {
        st = err_nomem(err);
    }
    buf_release(&b);
    arena_free(a);
    return st;
}

enum status ol_event_read(struct arena *a, struct str text, struct ol_event *e,
                          struct ol_warnings *warnings, struct err *err)
{
    struct common c = { .time = no_text, .producer = no_text, .schema = no_text, .type = no_text };
    struct ol_in x;
    struct str key;

    *e = (struct ol_event){ .raw = str_trim(text),
                            .job = { no_text, no_text },
                            .nominal_start_us = INT64_MIN,
                            .nominal_end_us = INT64_MIN };
    ol_in_begin(&x, a, e->raw, err);
    x.warnings = warnings;
    if (!ol_in_object(&x) && !x.st) {
        (void)ol_in_fail(&x, ST_BAD_REQUEST, "", "an event is a JSON object");
    }
    while (!x.st && ol_in_key(&x, &key)) {
        member(&x, key, &c, e);
    }
    if (!x.st && ol_in_next(&x) != JSON_EV_END) {
        (void)ol_in_fail(&x, ST_BAD_REQUEST, "", "there is more than one JSON value");
    }
    if (!x.st) {
        (void)(check_common(&x, &c, e) || check_kind(&x, &c, e));
    }
    if (!x.st) x.st = ol_read_run_facets(a, e, err);
    if (!x.st) x.st = ol_read_job_facets(a, e, err);
    if (!x.st) x.st = hash_event(e, err);
    ol_in_end(&x);
    return x.st;
}
