/* api/openlineage/facets.c - the facets whose content becomes columns or links. What does not fit is left as JSON: a facet of a newer
 * version than is known here, or of a sloppy producer, does no harm. */
#include "api/openlineage/openlineage_int.h"
#include "base/map.h"
#include "core/graph/graph.h"

enum { COLUMNS_MAX = 200000, SPREAD_MAX = 10000, LINKS_MAX = 20000, LIST_MAX = 1000 };

static const struct str no_text = { NULL, 0 };

static const struct ol_facet *facet(const struct ol_facet *f, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(f[i].key, str_cstr(key))) {
            return &f[i];
        }
    }
    return NULL;
}

/* Of its bytes, the same everywhere. */
static int64_t hash_of(const struct ol_facet *f)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV: small ones only, large ones have a hash already */

    if (!f || f->deleted) {
        return 0;
    }
    if (f->json.n > OL_INLINE_MAX) {
        return f->h;
    }
    for (size_t i = 0; i < f->json.n; i++) {
        h = (h ^ (unsigned char)f->json.p[i]) * 0x100000001b3u;
    }
    return (int64_t)h;
}

/* Hashes of several facets, or of one that says several things of a data set, make one. */
static int64_t mixed(int64_t h, int64_t with)
{
    return (int64_t)((uint64_t)h * 0x100000001b3u + (uint64_t)with);
}

/* What was found is complete when the JSON was; memory is the only failure here. */
static enum status end(struct ol_in *x)
{
    enum status st = x->st == ST_NOMEM ? err_nomem(x->err) : OK;

    if (!st) {
        err_clear(x->err);
    }
    ol_in_end(x);
    return st;
}

static void skip(struct ol_in *x)
{
    struct str raw;

    (void)ol_in_value(x, &raw);
}

static struct str name_or_none(struct str s, size_t max)
{
    return ol_name_fits(s, max) ? s : no_text;
}

/* {namespace, name}: name.p NULL if it is none. */
static struct ol_name name_of(struct ol_in *x)
{
    struct ol_name n = { no_text, no_text };
    struct str key;

    if (!ol_in_object(x)) {
        return n;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "namespace")) {
            n.ns = name_or_none(ol_in_text(x), OL_NS_MAX);
        } else if (str_eq_lit(key, "name")) {
            n.name = name_or_none(ol_in_text(x), OL_NAME_MAX);
        } else {
            skip(x);
        }
    }
    if (!n.ns.p) {
        n.name = no_text;
    }
    return n;
}

/* ---- runs ---------------------------------------------------------------------------------------------------------------------- */

static void run_ref(struct ol_in *x, struct ol_run_ref *ref)
{
    struct str key, id = no_text;

    *ref = (struct ol_run_ref){ .text = no_text };
    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "runId")) {
            id = name_or_none(ol_in_text(x), OL_RUN_TEXT_MAX);
        } else {
            skip(x);
        }
    }
    if (!id.p || x->st) {
        return;
    }
    ref->is_set = true;
    if (!ol_run_id_parse(id, ref->id)) {
        ref->text = id;
        if (!ol_run_id_of_text(id, ref->id)) {
            x->st = err_nomem(x->err);
        }
    }
}

static void run_and_job(struct ol_in *x, struct ol_run_ref *run, struct ol_name *job,
                        struct ol_event *e)
{
    struct str key;

    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "run")) {
            run_ref(x, run);
        } else if (str_eq_lit(key, "job")) {
            *job = name_of(x);
        } else if (e && str_eq_lit(key, "root")) {
            e->root = (struct ol_run_ref){ .text = no_text };
            e->root_job = (struct ol_name){ no_text, no_text };
            run_and_job(x, &e->root, &e->root_job, NULL);
        } else {
            skip(x);
        }
    }
}

static void nominal(struct ol_in *x, struct ol_event *e)
{
    struct str key, text;
    bool zone;

    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        int64_t *to = str_eq_lit(key, "nominalStartTime") ? &e->nominal_start_us
                      : str_eq_lit(key, "nominalEndTime") ? &e->nominal_end_us
                                                          : NULL;

        if (!to) {
            skip(x);
            continue;
        }
        text = ol_in_text(x);
        if (!text.p || !ol_time_read(text, to, &zone)) {
            *to = INT64_MIN;
        }
    }
}

enum status ol_read_run_facets(struct arena *a, struct ol_event *e, struct err *err)
{
    const struct ol_facet *f = facet(e->run_facets, e->run_facets_n, "nominalTime");
    struct ol_in x;
    enum status st = OK;

    if (f) {
        e->has_nominal = true;
        ol_in_begin(&x, a, f->json, err);
        nominal(&x, e);
        st = end(&x);
    }
    f = facet(e->run_facets, e->run_facets_n, "parent");
    if (!st && f) {
        e->has_parent = true;
        ol_in_begin(&x, a, f->json, err);
        run_and_job(&x, &e->parent, &e->parent_job, e);
        st = end(&x);
    }
    return st;
}

/* ---- columns --------------------------------------------------------------------------------------------------------------------- */

/* Where columns are gathered: those of one data set. */
struct gathered {
    struct ol_in *x;
    struct ol_dataset *d;
};

static void add_column(struct gathered *g, struct str field, const struct ol_name *from,
                       struct str from_field, struct str kind)
{
    struct ol_dataset *d = g->d;

    if (!ol_name_fits(field, OL_FIELD_MAX) || !ol_name_fits(from_field, OL_FIELD_MAX) ||
        !from->name.p || d->columns_n == COLUMNS_MAX || g->x->st) {
        return;
    }
    if (!arena_grow(g->x->a, (void **)&d->columns, d->columns_n, &d->columns_cap,
                    sizeof(*d->columns))) {
        g->x->st = err_nomem(g->x->err);
        return;
    }
    d->columns[d->columns_n++] =
        (struct ol_column){ .field = field, .from = *from, .from_field = from_field, .kind = kind };
}

static struct str kind_of(struct str type, struct str subtype)
{
    for (size_t i = 0; i < COLUMN_KINDS_N; i++) {
        if (str_eq_nocase(column_kinds[i], subtype.n ? subtype : type)) {
            return column_kinds[i];
        }
    }
    return column_kinds[COLUMN_KIND_OTHER];
}

/* One way in which a column came from another; bit i: column_kinds[i]. */
static unsigned transformation(struct ol_in *x)
{
    struct str key, type = S(""), subtype = S(""), kind;

    if (!ol_in_object(x)) {
        return 0;
    }
    while (ol_in_key(x, &key)) {
        struct str *to = str_eq_lit(key, "type")      ? &type
                         : str_eq_lit(key, "subtype") ? &subtype
                                                      : NULL;

        if (to) {
            *to = ol_in_text(x);
        } else {
            skip(x);
        }
    }
    kind = kind_of(type, subtype);
    for (unsigned i = 0; i < COLUMN_KINDS_N; i++) {
        if (str_eq(column_kinds[i], kind)) {
            return 1U << i;
        }
    }
    return 0;
}

static unsigned transformations(struct ol_in *x)
{
    enum json_event ev;
    unsigned kinds = 0;

    if (!ol_in_list(x, &ev)) {
        return 0;
    }
    while (!x->st) {
        struct json_reader back = x->r;

        ev = ol_in_next(x);
        if (ev == JSON_EV_ARRAY_END || x->st) {
            break;
        }
        x->r = back;
        kinds |= transformation(x);
    }
    return kinds;
}

/* A column, a data set or a job that something came from. */
struct source {
    bool is_job, has_name;
    struct ol_name name;
    struct str field, type;
    unsigned kinds;
};

static void source_of(struct ol_in *x, struct source *s)
{
    struct str key;

    *s = (struct source){ .name = { no_text, no_text }, .field = no_text, .type = S("") };
    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "namespace")) {
            s->name.ns = name_or_none(ol_in_text(x), OL_NS_MAX);
        } else if (str_eq_lit(key, "name")) {
            s->name.name = name_or_none(ol_in_text(x), OL_NAME_MAX);
        } else if (str_eq_lit(key, "field")) {
            s->field = name_or_none(ol_in_text(x), OL_FIELD_MAX);
        } else if (str_eq_lit(key, "type")) {
            s->type = name_or_none(ol_in_text(x), OL_KEY_MAX);
            s->type = s->type.p ? s->type : S("");
            s->is_job = str_eq_nocase(s->type, S("JOB"));
        } else if (str_eq_lit(key, "transformations")) {
            s->kinds = transformations(x);
        } else {
            skip(x);
        }
    }
    s->has_name = s->name.ns.p && s->name.name.p;
    if (!s->has_name) {
        s->name = (struct ol_name){ no_text, no_text };
    }
}

/* A list of them, in the arena; no more than LINKS_MAX. */
static void sources(struct ol_in *x, struct source **out, size_t *n)
{
    enum json_event ev;
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    if (!ol_in_list(x, &ev)) {
        return;
    }
    while (!x->st) {
        struct json_reader back = x->r;

        ev = ol_in_next(x);
        if (ev == JSON_EV_ARRAY_END || x->st) {
            break;
        }
        x->r = back;
        if (*n == LINKS_MAX) {
            skip(x);
            continue;
        }
        if (!arena_grow(x->a, (void **)out, *n, &cap, sizeof(**out))) {
            x->st = err_nomem(x->err);
            return;
        }
        source_of(x, &(*out)[(*n)++]);
    }
}

/* kinds 0: nobody said. */
static void columns_from(struct gathered *g, struct str field, const struct source *s, size_t n,
                         struct str kind)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i].is_job || !s[i].has_name) {
            continue;
        }
        if (!s[i].kinds) {
            add_column(g, field, &s[i].name, s[i].field, kind);
        }
        for (unsigned k = 0; k < COLUMN_KINDS_N; k++) {
            if (s[i].kinds & (1U << k)) {
                add_column(g, field, &s[i].name, s[i].field, column_kinds[k]);
            }
        }
    }
}

/* {list: [source], transformationType}: what one column was made of. */
static void column(struct gathered *g, struct str field, const char *list)
{
    struct ol_in *x = g->x;
    struct str key, type = S("");
    struct source *s = NULL;
    size_t n = 0;

    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq(key, str_cstr(list))) {
            sources(x, &s, &n);
        } else if (str_eq_lit(key, "transformationType")) {
            type = ol_in_text(x);
        } else {
            skip(x);
        }
    }
    columns_from(g, field, s, n, kind_of(type, S("")));
}

static void fields(struct gathered *g, const char *list, struct str **names, size_t *n)
{
    struct ol_in *x = g->x;
    struct str key;
    size_t cap = 0;

    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (names) {
            if (!arena_grow(x->a, (void **)names, *n, &cap, sizeof(**names))) {
                x->st = err_nomem(x->err);
                return;
            }
            (*names)[(*n)++] = key;
        }
        column(g, key, list);
    }
}

/* What concerns the whole data set (a filter, a join) concerns each column that is named, unless these would be very many. */
static void column_lineage(struct gathered *g)
{
    struct ol_in *x = g->x;
    struct source *all = NULL;
    struct str key, *names = NULL;
    size_t all_n = 0, names_n = 0;

    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "fields")) {
            fields(g, "inputFields", &names, &names_n);
        } else if (str_eq_lit(key, "dataset")) {
            sources(x, &all, &all_n);
        } else {
            skip(x);
        }
    }
    for (size_t i = 0; names_n * all_n <= SPREAD_MAX && i < names_n; i++) {
        columns_from(g, names[i], all, all_n, column_kinds[COLUMN_KIND_OTHER]);
    }
}

/* ---- explicit lineage ---------------------------------------------------------------------------------------------------------------- */

struct links {
    struct ol_said_link *p;
    size_t n, cap;
};

static void add_links(struct ol_in *x, struct links *l, const struct source *s, size_t n,
                      const struct ol_end *dst)
{
    for (size_t i = 0; i < n && !x->st; i++) {
        if ((!s[i].is_job && !s[i].has_name) || l->n == LINKS_MAX) {
            continue;
        }
        if (!arena_grow(x->a, (void **)&l->p, l->n, &l->cap, sizeof(*l->p))) {
            x->st = err_nomem(x->err);
            return;
        }
        l->p[l->n++] = (struct ol_said_link){ { s[i].is_job, s[i].name }, *dst };
    }
}

static void dataset_lineage(struct gathered *g, struct links *l)
{
    struct ol_in *x = g->x;
    const struct ol_end dst = { false, g->d->name };
    struct source *s = NULL;
    struct str key;
    size_t n = 0;

    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "inputs")) {
            sources(x, &s, &n);
        } else if (str_eq_lit(key, "fields")) {
            fields(g, "inputs", NULL, NULL);
        } else {
            skip(x);
        }
    }
    add_links(x, l, s, n, &dst);
}

static enum status symlinks(struct arena *a, const struct ol_facet *f, struct ol_dataset *d,
                            struct err *err)
{
    struct source *s = NULL;
    struct str key;
    struct ol_in x;
    size_t n = 0;

    ol_in_begin(&x, a, f->json, err);
    if (ol_in_object(&x)) {
        while (ol_in_key(&x, &key)) {
            if (str_eq_lit(key, "identifiers")) {
                sources(&x, &s, &n);
            } else {
                skip(&x);
            }
        }
    }
    n = MIN_OF(n, (size_t)LIST_MAX);
    d->symlinks = ARENA_ARRAY(a, struct ol_symlink, n + 1);
    if (!d->symlinks) {
        x.st = err_nomem(err);
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i].has_name) {
            d->symlinks[d->symlinks_n++] = (struct ol_symlink){ s[i].name, s[i].type };
        }
    }
    return end(&x);
}

static enum status versions(struct arena *a, const struct ol_facet *f, struct ol_dataset *d,
                            struct err *err)
{
    struct str key;
    struct ol_in x;

    ol_in_begin(&x, a, f->json, err);
    if (ol_in_object(&x)) {
        while (ol_in_key(&x, &key)) {
            if (str_eq_lit(key, "datasetVersion")) {
                d->version = name_or_none(ol_in_text(&x), OL_VERSION_MAX);
            } else {
                skip(&x);
            }
        }
    }
    return end(&x);
}

static enum status lifecycle(struct arena *a, const struct ol_facet *f, struct ol_dataset *d,
                             struct err *err)
{
    struct ol_name before = { no_text, no_text };
    struct str key, what = S("");
    struct ol_in x;

    ol_in_begin(&x, a, f->json, err);
    if (ol_in_object(&x)) {
        while (ol_in_key(&x, &key)) {
            if (str_eq_lit(key, "lifecycleStateChange")) {
                what = ol_in_text(&x);
            } else if (str_eq_lit(key, "previousIdentifier")) {
                before = name_of(&x);
            } else {
                skip(&x);
            }
        }
    }
    if (str_eq_nocase(what, S("RENAME"))) {
        d->renamed_from = before;
    }
    return end(&x);
}

enum status ol_read_dataset_facets(struct arena *a, struct ol_dataset *d, struct err *err)
{
    const struct ol_facet *f = facet(d->facets, d->facets_n, "version"), *columns, *lineage;
    struct gathered g = { .d = d };
    struct links l = { .n = 0 };
    struct ol_in x;
    enum status st = f && !f->deleted ? versions(a, f, d, err) : OK;

    f = facet(d->facets, d->facets_n, "symlinks");
    if (!st && f) {
        d->has_symlinks = true;
        st = f->deleted ? OK : symlinks(a, f, d, err);
    }
    f = facet(d->facets, d->facets_n, "lifecycleStateChange");
    if (!st && f && !f->deleted) {
        st = lifecycle(a, f, d, err);
    }
    columns = facet(d->facets, d->facets_n, "columnLineage");
    lineage = facet(d->facets, d->facets_n, "lineage");
    d->has_columns = columns || lineage;
    d->has_links = lineage != NULL;
    d->columns_h = mixed(hash_of(columns), hash_of(lineage));
    g.x = &x;
    if (!st && columns && !columns->deleted) {
        ol_in_begin(&x, a, columns->json, err);
        column_lineage(&g);
        st = end(&x);
    }
    if (!st && lineage && !lineage->deleted) {
        ol_in_begin(&x, a, lineage->json, err);
        dataset_lineage(&g, &l);
        st = end(&x);
    }
    d->links = l.p;
    d->links_n = l.n;
    return st;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------------------ */

static void job_type(struct ol_in *x, struct ol_event *e)
{
    struct str key;

    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "emissionPattern") && ol_in_object(x)) {
            while (ol_in_key(x, &key)) {
                if (str_eq_lit(key, "eventContentMode")) {
                    e->is_snapshot = str_eq_nocase(ol_in_text(x), S("COMPLETE_SNAPSHOT"));
                } else {
                    skip(x);
                }
            }
        } else if (!str_eq_lit(key, "emissionPattern")) {
            skip(x);
        }
    }
}

/* The data sets of one side of an event, and where each is: its place, from 1 on. */
struct side {
    struct ol_dataset **list;
    size_t *n, cap;
    struct str_map places;
};

static void side_put(struct ol_in *x, struct side *s, struct str key, size_t place)
{
    if (!key.p ||
        (!str_map_get(&s->places, key) && str_map_put(&s->places, key, (void *)(uintptr_t)place))) {
        x->st = err_nomem(x->err);
    }
}

static struct str side_key(struct ol_in *x, const struct ol_name *name)
{
    return arena_printf(x->a, "%.*s%c%.*s", STR_ARG(name->ns), 0, STR_ARG(name->name));
}

static void side_begin(struct ol_in *x, struct side *s, struct ol_dataset **list, size_t *n)
{
    *s = (struct side){ list, n, *n, STR_MAP_INIT(2 * OL_DATASETS_MAX) };
    for (size_t i = 0; i < *n && !x->st; i++) {
        side_put(x, s, side_key(x, &(*list)[i].name), i + 1);
    }
}

/* The data set of that name; added if it is not there. NULL: there are too many, or memory is out. */
static struct ol_dataset *among(struct ol_in *x, struct side *s, const struct ol_name *name)
{
    struct str key = side_key(x, name);
    size_t place = key.p ? (size_t)(uintptr_t)str_map_get(&s->places, key) : 0;

    if (place) {
        return &(*s->list)[place - 1];
    }
    if (*s->n >= OL_DATASETS_MAX) {
        return NULL;
    }
    side_put(x, s, key, *s->n + 1);
    if (x->st || !arena_grow(x->a, (void **)s->list, *s->n, &s->cap, sizeof(**s->list))) {
        x->st = err_nomem(x->err);
        return NULL;
    }
    (*s->list)[*s->n] = (struct ol_dataset){ .name = *name };
    return &(*s->list)[(*s->n)++];
}

/* One target of a job's lineage facet. */
struct target {
    struct source self;
    struct source *inputs;
    size_t inputs_n;
    struct ol_dataset columns; /* a place for those of its fields */
};

static void target(struct ol_in *x, struct target *t)
{
    struct gathered g = { .x = x, .d = &t->columns };
    struct str key;

    *t = (struct target){ .self = { .name = { no_text, no_text } } };
    if (!ol_in_object(x)) {
        return;
    }
    while (ol_in_key(x, &key)) {
        if (str_eq_lit(key, "namespace")) {
            t->self.name.ns = name_or_none(ol_in_text(x), OL_NS_MAX);
        } else if (str_eq_lit(key, "name")) {
            t->self.name.name = name_or_none(ol_in_text(x), OL_NAME_MAX);
        } else if (str_eq_lit(key, "type")) {
            t->self.is_job = str_eq_nocase(ol_in_text(x), S("JOB"));
        } else if (str_eq_lit(key, "inputs")) {
            sources(x, &t->inputs, &t->inputs_n);
        } else if (str_eq_lit(key, "fields")) {
            fields(&g, "inputs", NULL, NULL);
        } else {
            skip(x);
        }
    }
    t->self.has_name = t->self.name.ns.p && t->self.name.name.p;
}

struct sides {
    struct side inputs, outputs;
};

/* What a target says becomes inputs and outputs of the event, columns of the target, and links. */
static void say_target(struct ol_in *x, struct sides *sides, struct links *l,
                       const struct target *t, int64_t h)
{
    struct ol_end dst = { t->self.is_job, t->self.name };

    if (!t->self.has_name) {
        if (!t->self.is_job) {
            return;
        }
        dst.name = (struct ol_name){ no_text, no_text };
    }
    add_links(x, l, t->inputs, t->inputs_n, &dst);
    for (size_t i = 0; i < t->inputs_n && !x->st; i++) {
        if (!t->inputs[i].is_job && t->inputs[i].has_name) {
            (void)among(x, &sides->inputs, &t->inputs[i].name);
        }
    }
    if (!t->self.is_job && !x->st) {
        struct ol_dataset *d = among(x, &sides->outputs, &t->self.name);
        struct gathered g = { .x = x, .d = d };

        for (size_t i = 0; d && i < t->columns.columns_n; i++) {
            const struct ol_column *c = &t->columns.columns[i];

            add_column(&g, c->field, &c->from, c->from_field, c->kind);
        }
        if (d && t->columns.columns_n) {
            d->has_columns = true;
            d->columns_h = mixed(d->columns_h, h);
        }
    }
}

static void entries(struct ol_in *x, struct sides *sides, struct links *l, int64_t h)
{
    enum json_event ev;

    if (!ol_in_list(x, &ev)) {
        return;
    }
    while (!x->st) {
        struct json_reader back = x->r;
        struct target t;

        ev = ol_in_next(x);
        if (ev == JSON_EV_ARRAY_END || x->st) {
            break;
        }
        x->r = back;
        target(x, &t);
        say_target(x, sides, l, &t, h);
    }
}

static void job_lineage(struct ol_in *x, struct ol_event *e, struct links *l, int64_t h)
{
    struct sides sides;
    struct str key;

    side_begin(x, &sides.inputs, &e->inputs, &e->inputs_n);
    side_begin(x, &sides.outputs, &e->outputs, &e->outputs_n);
    if (!x->st && ol_in_object(x)) {
        while (ol_in_key(x, &key)) {
            if (str_eq_lit(key, "entries")) {
                entries(x, &sides, l, h);
            } else {
                skip(x);
            }
        }
    }
    str_map_release(&sides.inputs.places);
    str_map_release(&sides.outputs.places);
}

enum status ol_read_job_facets(struct arena *a, struct ol_event *e, struct err *err)
{
    const struct ol_facet *f = facet(e->job_facets, e->job_facets_n, "jobType");
    struct links l = { .n = 0 };
    struct ol_in x;
    enum status st = OK;

    if (f) {
        e->has_emission = true;
        ol_in_begin(&x, a, f->json, err);
        job_type(&x, e);
        e->is_snapshot = e->is_snapshot && !f->deleted;
        st = end(&x);
    }
    f = facet(e->job_facets, e->job_facets_n, "lineage");
    if (!st && f) {
        e->has_links = true;
        if (!f->deleted) {
            ol_in_begin(&x, a, f->json, err);
            job_lineage(&x, e, &l, hash_of(f));
            st = end(&x);
        }
        e->has_inputs = e->has_inputs || e->inputs_n;
        e->has_outputs = e->has_outputs || e->outputs_n;
    }
    e->links = l.p;
    e->links_n = l.n;
    return st;
}
