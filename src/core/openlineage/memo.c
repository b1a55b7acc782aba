/* core/openlineage/memo.c - rows of OpenLineage in memory while events are put, and back to rows. Nothing here is the truth: it is
 * forgotten when an operation fails, when other servers wrote, and when it has grown. */
#include "base/hash.h"
#include "base/mem.h"
#include "core/graph/place.h"
#include "core/openlineage/ol_int.h"

enum {
    KEEP_BYTES = 24 << 20, /* beyond: begun anew with the next operation */
    ARENA_MAX = 1 << 30,
    ENTRIES_MAX = 1 << 22,
    IDENT_MAX = 1024, /* longer ones are kept by their hash */
    BODY_MAX = 1 << 29,
    INDEXED = 16 /* inputs and outputs from which on they are looked up by hash */
};

static const struct str no_text = { NULL, 0 };

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

enum status ol_memo_new(struct ol_memo **out, struct err *err)
{
    *out = (struct ol_memo *)mem_zalloc(1, sizeof(**out));
    return *out ? OK : err_nomem(err);
}

void ol_memo_forget(struct ol_memo *m)
{
    str_map_release(&m->spaces);
    str_map_release(&m->jobs);
    str_map_release(&m->sets);
    str_map_release(&m->runs);
    str_map_release(&m->versions);
    str_map_release(&m->ios);
    int_map_release(&m->sets_by_uid);
    int_map_release(&m->versions_by_uid);
    arena_free(m->arena);
    m->arena = NULL;
    m->dirty = NULL;
    zip_release(&m->zip);
}

void ol_memo_free(struct ol_memo *m)
{
    if (m) {
        ol_memo_forget(m);
        mem_free(m);
    }
}

enum status ol_memo_ready(struct ol_memo *m, struct err *err)
{
    if (m->arena && arena_bytes(m->arena) > KEEP_BYTES) {
        ol_memo_forget(m);
    }
    if (!m->arena) {
        m->arena = arena_new(ARENA_MAX);
        m->spaces.max = m->jobs.max = m->sets.max = m->runs.max = ENTRIES_MAX;
        m->versions.max = m->ios.max = ENTRIES_MAX;
        m->sets_by_uid.max = m->versions_by_uid.max = ENTRIES_MAX;
    }
    return m->arena ? OK : err_nomem(err);
}

void ol_dirty(struct ol_work *w, struct ol_obj *o)
{
    if (!o->dirty) {
        o->dirty = true;
        o->next = w->m->dirty;
        w->m->dirty = o;
    }
}

void ol_touch(struct ol_work *w, struct ol_obj *o)
{
    if (w->at.us < o->create_us || o->update_us == OL_NO_EVENT) {
        o->create_us = w->at.us;
        ol_dirty(w, o);
    }
    if (w->at.us > o->update_us) {
        o->update_us = w->at.us;
        ol_dirty(w, o);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------------- */

static const struct kind {
    enum node_kind kind;
    enum node_type type;
    enum ident_scheme scheme;
} kinds[] = {
    [OL_A_NS] = { NODE_CONTEXT, TYPE_OL_NAMESPACE, IDENT_OL_NAMESPACE },
    [OL_A_JOB] = { NODE_CONTEXT, TYPE_OL_JOB, IDENT_OL_JOB },
    [OL_A_DATASET] = { NODE_CONTEXT, TYPE_OL_DATASET, IDENT_OL_DATASET },
    [OL_A_RUN] = { NODE_EXECUTION, TYPE_OL_RUN, IDENT_OL_RUN },
    [OL_A_VERSION] = { NODE_ARTIFACT, TYPE_OL_VERSION, 0 },
};

/* ident: p NULL = it has none. */
static enum status new_node(struct ol_work *w, struct ol_obj *o, struct str ident, struct str name,
                            struct err *err)
{
    const struct kind *k = &kinds[o->what];
    struct digest d;
    enum status st;

    o->uid = group_new_uid(w->g);
    o->create_us = o->update_us = w->at.us;
    ol_dirty(w, o);
    if (ident.n > IDENT_MAX) {
        if (!sha256_of(ident.p, ident.n, &d)) {
            return err_nomem(err);
        }
        ident = str_of((const char *)d.b, sizeof(d.b));
    }
    st = ident.p ? q_ident_insert(w->c, OL_NS, k->scheme, ident, o->uid, err) : OK;
    return st ? st : q_ol_node_insert(w->c, o->uid, OL_NS, k->kind, k->type, name, w->now_ms, err);
}

enum status ol_version_of_set(struct ol_work *w, const struct ol_version *v, bool is,
                              struct err *err)
{
    int64_t set = v->dataset, uid = v->obj.uid, ms = is ? ol_ms(w->at.us) : w->now_ms;
    enum status st = is ? q_ol_member_add(w->c, set, uid, MEMBER_OF_DATASET, err)
                        : q_ol_member_drop(w->c, set, uid, MEMBER_OF_DATASET, err);

    return st ? st
              : q_member_log_append(w->c, is ? 1 : 2, set, uid, MEMBER_OF_DATASET, ms, w->now_ms,
                                    err);
}

static enum status under(struct ol_work *w, int64_t child, int64_t parent, enum parent_role role,
                         struct err *err)
{
    enum status st = q_ol_parent_add(w->c, child, parent, role, err);

    return st ? st
              : q_parent_log_append(w->c, 1, child, parent, role, ol_ms(w->at.us), w->now_ms, err);
}

static enum status found(enum status st, struct str *s, struct ol_work *w, struct err *err)
{
    if (!st && s->p) {
        *s = arena_str(w->m->arena, *s);
        return s->p ? OK : err_nomem(err);
    }
    return st;
}

static enum status remember(struct str_map *map, struct str key, void *value, struct err *err)
{
    return str_map_put(map, key, value) ? err_nomem(err) : OK;
}

/* ---- namespaces, jobs, data sets ------------------------------------------------------------------------------------------------ */

static enum status get_space(struct ol_work *w, struct str name, struct ol_space **out,
                             struct err *err)
{
    struct ol_space *s = str_map_get(&w->m->spaces, name);
    struct q_ol_ns_get_row row;
    enum status st;

    if (!s) {
        s = ARENA_NEW(w->m->arena, struct ol_space);
        if (!s) {
            return err_nomem(err);
        }
        s->obj.what = OL_A_NS;
        s->name = name;
        st = found(OK, &s->name, w, err);
        st = st ? st : q_ol_ns_get(w->c, NULL, name, &row, err);
        if (!st) {
            s->obj.uid = row.uid;
            s->obj.create_us = row.create_us;
            s->obj.update_us = row.update_us;
        } else if (st == ST_NOT_FOUND) {
            st = new_node(w, &s->obj, s->name, s->name, err);
        }
        st = st ? st : remember(&w->m->spaces, s->name, s, err);
        if (st) {
            return st;
        }
    }
    ol_touch(w, &s->obj);
    *out = s;
    return OK;
}

/* namespace NUL name, in the operation's arena. */
static struct str key_of(struct ol_work *w, const struct ol_name *name)
{
    char *p = arena_alloc(w->a, name->ns.n + 1 + name->name.n);

    if (!p) {
        return no_text;
    }
    if (name->ns.n) memcpy(p, name->ns.p, name->ns.n);
    p[name->ns.n] = '\0';
    if (name->name.n) memcpy(p + name->ns.n + 1, name->name.p, name->name.n);
    return str_of(p, name->ns.n + 1 + name->name.n);
}

static enum status load_job(struct ol_work *w, struct ol_job *j, struct str key, struct err *err)
{
    struct q_ol_job_get_row row;
    int64_t unused;
    enum status st = q_ol_job_get(w->c, w->a, j->space->obj.uid, j->name, &row, err);

    if (st == ST_NOT_FOUND) {
        j->run_at = OL_STAMP_NONE;
        st = new_node(w, &j->obj, key, j->name, err);
        return st ? st : under(w, j->obj.uid, j->space->obj.uid, PARENT_NAMESPACE, err);
    }
    if (!st) {
        j->obj.uid = row.uid;
        j->obj.create_us = row.create_us;
        j->obj.update_us = row.update_us;
        j->run = row.run;
        st = ol_thing_decode(row.body, w->m->arena, &j->facets, &j->run_at, &unused, err);
    }
    return st;
}

enum status ol_get_job(struct ol_work *w, const struct ol_name *name, struct ol_job **out,
                       struct err *err)
{
    struct str key = key_of(w, name);
    struct ol_space *space;
    struct ol_job *j;
    enum status st = key.p ? get_space(w, name->ns, &space, err) : err_nomem(err);

    if (st) {
        return st;
    }
    j = str_map_get(&w->m->jobs, key);
    if (!j) {
        j = ARENA_NEW(w->m->arena, struct ol_job);
        key = arena_str(w->m->arena, key);
        if (!j || !key.p) {
            return err_nomem(err);
        }
        j->obj.what = OL_A_JOB;
        j->space = space;
        j->name = str_sub(key, name->ns.n + 1, key.n);
        st = load_job(w, j, key, err);
        st = st ? st : remember(&w->m->jobs, key, j, err);
        if (st) {
            return st;
        }
    }
    ol_touch(w, &j->obj);
    *out = j;
    return OK;
}

static enum status load_set(struct ol_work *w, struct ol_set *s, struct str key, struct err *err)
{
    struct q_ol_dataset_get_row row;
    struct ol_stamp unused;
    enum status st = q_ol_dataset_get(w->c, w->a, s->space->obj.uid, s->name, &row, err);

    if (st == ST_NOT_FOUND) {
        s->has_top = s->has_read = true;
        s->read_us = INT64_MIN;
        st = new_node(w, &s->obj, key, s->name, err);
        st = st ? st : under(w, s->obj.uid, s->space->obj.uid, PARENT_NAMESPACE, err);
        if (!st) {
            struct place_named at = { w->core, w->a, s->obj.uid, s->space->name, s->name };

            st = place_named(w->g, &at, err);
        }
        return st;
    }
    if (!st) {
        s->obj.uid = row.uid;
        s->obj.create_us = row.create_us;
        s->obj.update_us = row.update_us;
        st = ol_thing_decode(row.body, w->m->arena, &s->facets, &unused, &s->found, err);
    }
    return st;
}

enum status ol_get_set(struct ol_work *w, const struct ol_name *name, struct ol_set **out,
                       struct err *err)
{
    struct str key = key_of(w, name);
    struct ol_space *space;
    struct ol_set *s;
    enum status st = key.p ? get_space(w, name->ns, &space, err) : err_nomem(err);

    if (st) {
        return st;
    }
    s = str_map_get(&w->m->sets, key);
    if (!s) {
        s = ARENA_NEW(w->m->arena, struct ol_set);
        key = arena_str(w->m->arena, key);
        if (!s || !key.p) {
            return err_nomem(err);
        }
        s->obj.what = OL_A_DATASET;
        s->space = space;
        s->name = str_sub(key, name->ns.n + 1, key.n);
        st = load_set(w, s, key, err);
        st = st ? st : remember(&w->m->sets, key, s, err);
        if (!st && int_map_put(&w->m->sets_by_uid, (uint64_t)s->obj.uid, s)) {
            st = err_nomem(err);
        }
        if (st) {
            return st;
        }
    }
    ol_touch(w, &s->obj);
    *out = s;
    return OK;
}

enum status ol_set_of_uid(struct ol_work *w, int64_t uid, struct ol_set **out, struct err *err)
{
    struct q_ol_dataset_name_row row;
    struct ol_stamp at = w->at;
    struct ol_name name;
    enum status st;

    *out = int_map_get(&w->m->sets_by_uid, (uint64_t)uid);
    if (*out) {
        return OK;
    }
    st = q_ol_dataset_name(w->c, w->a, uid, &row, err);
    if (st) {
        return st == ST_NOT_FOUND ? err_set(err, ST_CORRUPT, "a data set of OpenLineage has no row")
                                  : st;
    }
    name = (struct ol_name){ row.ns, row.name };
    w->at = (struct ol_stamp){ row.update_us, 0 }; /* no event names it now */
    st = ol_get_set(w, &name, out, err);
    w->at = at;
    return st;
}

/* ---- runs -------------------------------------------------------------------------------------------------------------------- */

static size_t slot_of(const struct ol_run *r, enum ol_dir dir, int64_t dataset)
{
    uint64_t h = ((uint64_t)dataset * 2 + (dir == OL_OUT)) * 0x9E3779B97F4A7C15u;

    return (size_t)(h >> 32) & (r->index_cap - 1);
}

static void index_put(struct ol_run *r, size_t i)
{
    size_t at = slot_of(r, r->body.io[i].dir, r->body.io[i].dataset);

    while (r->index[at]) {
        at = (at + 1) & (r->index_cap - 1);
    }
    r->index[at] = (uint32_t)i + 1;
}

/* Room for one more; false when memory is out. */
static bool index_grow(struct ol_work *w, struct ol_run *r)
{
    size_t cap = r->index_cap ? r->index_cap * 2 : 64;
    uint32_t *index;

    if (r->body.io_n < INDEXED || r->body.io_n * 2 < r->index_cap) {
        return true;
    }
    while (cap < r->body.io_n * 2 + 2) {
        cap *= 2;
    }
    index = ARENA_ARRAY(w->m->arena, uint32_t, cap);
    if (!index) {
        return false;
    }
    r->index = index;
    r->index_cap = cap;
    for (size_t i = 0; i < r->body.io_n; i++) {
        index_put(r, i);
    }
    return true;
}

static enum status load_run(struct ol_work *w, struct ol_run *r, struct str key, struct err *err)
{
    struct q_ol_run_get_row row;
    enum status st = q_ol_run_get(w->c, w->a, OL_NS, IDENT_OL_RUN, key, &row, err);

    if (st == ST_NOT_FOUND) {
        r->state = OL_STATE_NEW;
        r->body.job_at = r->body.end_at = r->body.emission_at = r->body.io_at = OL_STAMP_NONE;
        st = new_node(w, &r->obj, key, no_text, err);
        return st ? st : place_run(w->g, w->a, r->obj.uid, r->id, err);
    }
    if (st) {
        return st;
    }
    r->obj.uid = row.uid;
    r->obj.create_us = row.create_us;
    r->obj.update_us = row.update_us;
    r->text = row.text;
    r->job = row.job;
    r->parent = row.parent;
    r->parent_job = row.parent_job;
    r->root = row.root;
    r->state = (enum ol_state)row.state;
    r->has_start = !row.start_us_null;
    r->start_us = row.start_us;
    r->has_end = !row.end_us_null;
    r->end_us = row.end_us;
    r->has_nominal_start = !row.nominal_start_us_null;
    r->nominal_start_us = row.nominal_start_us;
    r->has_nominal_end = !row.nominal_end_us_null;
    r->nominal_end_us = row.nominal_end_us;
    st = found(OK, &r->text, w, err);
    st = st ? st : ol_run_decode(row.body, w->m->arena, &r->body, err);
    return st || index_grow(w, r) ? st : err_nomem(err);
}

enum status ol_get_run(struct ol_work *w, const struct ol_run_ref *ref, struct ol_run **out,
                       struct err *err)
{
    struct str key = str_of((const char *)ref->id, sizeof(ref->id));
    struct ol_run *r = str_map_get(&w->m->runs, key);
    enum status st;

    if (!r) {
        r = ARENA_NEW(w->m->arena, struct ol_run);
        if (!r) {
            return err_nomem(err);
        }
        r->obj.what = OL_A_RUN;
        memcpy(r->id, ref->id, sizeof(r->id));
        key = str_of((const char *)r->id, sizeof(r->id));
        st = load_run(w, r, key, err);
        st = st ? st : remember(&w->m->runs, key, r, err);
        if (st) {
            return st;
        }
    }
    /* of two texts with one UUID the smaller one is kept: the UUID itself may have been said as well */
    if (ref->text.p && (!r->text.p || str_cmp(ref->text, r->text) < 0)) {
        r->text = ref->text;
        st = found(OK, &r->text, w, err);
        if (st) {
            return st;
        }
        ol_dirty(w, &r->obj);
    }
    ol_touch(w, &r->obj);
    *out = r;
    return OK;
}

struct ol_io_entry *ol_entry_of(const struct ol_run *r, enum ol_dir dir, int64_t dataset)
{
    if (r->index_cap) {
        for (size_t at = slot_of(r, dir, dataset); r->index[at];
             at = (at + 1) & (r->index_cap - 1)) {
            struct ol_io_entry *x = &r->body.io[r->index[at] - 1];

            if (x->dataset == dataset && x->dir == dir) {
                return x;
            }
        }
        return NULL;
    }
    for (size_t i = 0; i < r->body.io_n; i++) {
        if (r->body.io[i].dataset == dataset && r->body.io[i].dir == dir) {
            return &r->body.io[i];
        }
    }
    return NULL;
}

struct ol_io_entry *ol_entry_add(struct ol_work *w, struct ol_run *r, enum ol_dir dir,
                                 int64_t dataset)
{
    struct ol_run_body *b = &r->body;

    if (!index_grow(w, r) ||
        !arena_grow(w->m->arena, (void **)&b->io, b->io_n, &b->io_cap, sizeof(*b->io))) {
        return NULL;
    }
    b->io[b->io_n] = (struct ol_io_entry){ .dir = dir,
                                           .dataset = dataset,
                                           .first_us = w->at.us,
                                           .last = w->at,
                                           .version_at = OL_STAMP_NONE };
    if (r->index_cap) {
        index_put(r, b->io_n);
    }
    return &b->io[b->io_n++];
}

/* ---- versions ------------------------------------------------------------------------------------------------------------------ */

/* Its place among versions that are known since the same time, the same wherever it is computed. */
static enum status ord_of(struct str name, const struct ol_run *run, int64_t *out, struct err *err)
{
    struct sha256 *s = sha256_new();
    struct digest d;

    *out = 0;
    if (!s) {
        return err_nomem(err);
    }
    if (name.p) {
        sha256_update(s, "v", 1);
        sha256_update(s, name.p, name.n);
    } else if (run) {
        sha256_update(s, "r", 1);
        sha256_update(s, run->id, sizeof(run->id));
    }
    d = sha256_end(s);
    sha256_free(s);
    memcpy(out, d.b, sizeof(*out));
    return OK;
}

/* own: uid of the run's own, 0 = it was never made; < 0: of nobody's own. */
static enum status load_version(struct ol_work *w, struct ol_version *v, int64_t own, int64_t us,
                                bool *made, struct err *err)
{
    struct q_ol_version_of_ord_row row = { .uid = own };
    struct q_ol_version_of_uid_row mine;
    struct ol_stamp at;
    int64_t unused;
    enum status st = ST_NOT_FOUND;

    if (own < 0) {
        st = q_ol_version_of_ord(w->c, w->a, v->dataset, v->ord, &row, err);
    } else if (own > 0) {
        st = q_ol_version_of_uid(w->c, w->a, own, &mine, err);
        row.live = mine.live;
        row.event_us = mine.event_us;
        row.body = mine.body;
    }
    if (st == ST_NOT_FOUND) {
        *made = true;
        st = new_node(w, &v->obj, no_text, v->name, err);
        v->obj.create_us = us;
        v->live = true;
        return st ? st : ol_version_of_set(w, v, true, err);
    }
    if (!st) {
        v->obj.uid = row.uid;
        v->obj.create_us = row.event_us;
        v->live = row.live != 0;
        st = ol_thing_decode(row.body, w->m->arena, &v->facets, &at, &unused, err);
    }
    return st;
}

enum status ol_get_version(struct ol_work *w, int64_t dataset, struct str name,
                           const struct ol_run *run, int64_t us, struct ol_version **out,
                           bool *made, struct err *err)
{
    struct ol_io_entry *own = run && !name.p ? ol_entry_of(run, OL_OUT, dataset) : NULL;
    int64_t key[2] = { dataset, 0 };
    struct ol_version *v =
        own && own->own ? int_map_get(&w->m->versions_by_uid, (uint64_t)own->own) : NULL;
    enum status st;

    *made = false;
    *out = v;
    if (v) {
        return OK;
    }
    st = ord_of(name, run, &key[1], err);
    if (st) {
        return st;
    }
    v = str_map_get(&w->m->versions, str_of((const char *)key, sizeof(key)));
    if (!v) {
        struct str as;

        v = ARENA_NEW(w->m->arena, struct ol_version);
        as = arena_str(w->m->arena, str_of((const char *)key, sizeof(key)));
        if (!v || !as.p) {
            return err_nomem(err);
        }
        v->obj.what = OL_A_VERSION;
        v->dataset = dataset;
        v->ord = key[1];
        v->run = run && !name.p ? run->obj.uid : 0;
        v->name = name;
        st = found(OK, &v->name, w, err);
        st = st ? st : load_version(w, v, own ? own->own : -1, us, made, err);
        st = st ? st : remember(&w->m->versions, as, v, err);
        if (!st && int_map_put(&w->m->versions_by_uid, (uint64_t)v->obj.uid, v)) {
            st = err_nomem(err);
        }
        if (st) {
            return st;
        }
    }
    *out = v;
    return OK;
}

/* ---- which jobs read and write what ---------------------------------------------------------------------------------------------- */

enum status ol_get_io(struct ol_work *w, int64_t job, enum ol_dir dir, int64_t dataset,
                      struct ol_io **out, struct err *err)
{
    int64_t key[3] = { job, dir, dataset };
    struct ol_io *x = str_map_get(&w->m->ios, str_of((const char *)key, sizeof(key)));
    struct q_ol_io_get_row row;
    enum status st;

    *out = x;
    if (x) {
        return OK;
    }
    x = ARENA_NEW(w->m->arena, struct ol_io);
    if (!x) {
        return err_nomem(err);
    }
    x->obj.what = OL_AN_IO;
    memcpy(x->key, key, sizeof(key));
    x->last_us = INT64_MIN;
    st = q_ol_io_get(w->c, NULL, job, dir, dataset, &row, err);
    if (!st) {
        x->last_us = row.last_us;
        x->said = row.said;
    } else if (st != ST_NOT_FOUND) {
        return st;
    }
    st = remember(&w->m->ios, str_of((const char *)x->key, sizeof(x->key)), x, err);
    *out = x;
    return st;
}

/* ---- facets ---------------------------------------------------------------------------------------------------------------------- */

/* A value that does not lie in the row. */
static enum status keep_outside(struct ol_work *w, const struct ol_facet *f, struct err *err)
{
    struct buf b = BUF_INIT(BODY_MAX);
    enum status st = zip_put(&w->m->zip, &b, f->json, err);

    st = st ? st : q_ol_value_insert(w->c, f->h, f->h2, (int64_t)f->json.n, buf_str(&b), err);
    buf_release(&b);
    return st;
}

static enum status say_one(struct ol_work *w, struct ol_obj *owner, struct ol_cells *c,
                           const struct ol_facet *f, bool gone, struct err *err)
{
    struct ol_cell *x = ol_cell_find(c, f->key);
    bool outside = !gone && f->json.n > OL_INLINE_MAX, same;
    enum status st = OK;

    if (x && !ol_newer(w->at, x->at)) {
        return OK;
    }
    if (!x) {
        st = ol_cell_add(c, w->m->arena, f->key, &x, err);
        if (st || !x) {
            return st;
        }
    }
    ol_dirty(w, owner);
    x->at = w->at;
    same = x->gone == gone && x->outside == outside &&
           (gone || (outside ? x->h == f->h && x->h2 == f->h2 : str_eq(x->json, f->json)));
    if (same) {
        return OK;
    }
    x->gone = gone;
    x->outside = outside;
    x->json = no_text;
    if (outside) {
        x->h = f->h;
        x->h2 = f->h2;
        st = keep_outside(w, f, err);
    } else if (!gone) {
        x->json = f->json;
        st = found(OK, &x->json, w, err);
    }
    return st;
}

enum status ol_facets_say(struct ol_work *w, struct ol_obj *owner, struct ol_cells *c,
                          const struct ol_facet *f, size_t n, bool deletes, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = say_one(w, owner, c, &f[i], deletes && f[i].deleted, err);
    }
    return st;
}

/* ---- back to rows ------------------------------------------------------------------------------------------------------------------ */

static enum status flush_run(struct ol_work *w, const struct ol_run *r, struct buf *b,
                             struct err *err)
{
    enum status st;

    ol_run_encode(b, &r->body);
    st = buf_status(b, "what is known of a run", err);
    return st ? st
              : q_ol_run_put(w->c, r->obj.uid, str_of((const char *)r->id, sizeof(r->id)), r->text,
                             r->job, r->state, r->obj.create_us, r->obj.update_us,
                             r->has_start ? &r->start_us : NULL, r->has_end ? &r->end_us : NULL,
                             r->has_nominal_start ? &r->nominal_start_us : NULL,
                             r->has_nominal_end ? &r->nominal_end_us : NULL, r->parent,
                             r->parent_job, r->root, buf_str(b), err);
}

static enum status flush_one(struct ol_work *w, struct ol_obj *o, struct buf *b, struct err *err)
{
    struct ol_space *s = CONTAINER_OF(o, struct ol_space, obj);
    struct ol_job *j = CONTAINER_OF(o, struct ol_job, obj);
    struct ol_set *d = CONTAINER_OF(o, struct ol_set, obj);
    struct ol_version *v = CONTAINER_OF(o, struct ol_version, obj);
    struct ol_io *x = CONTAINER_OF(o, struct ol_io, obj);
    enum status st = OK;

    buf_clear(b);
    switch (o->what) {
    case OL_A_NS: return q_ol_ns_put(w->c, o->uid, s->name, o->create_us, o->update_us, err);
    case OL_A_JOB:
        ol_thing_encode(b, &j->facets, j->run_at, 0);
        st = buf_status(b, "what is known of a job", err);
        return st ? st
                  : q_ol_job_put(w->c, o->uid, j->space->obj.uid, j->name, o->create_us,
                                 o->update_us, j->run, buf_str(b), err);
    case OL_A_DATASET:
        ol_thing_encode(b, &d->facets, OL_STAMP_NONE, d->found);
        st = buf_status(b, "what is known of a data set", err);
        return st ? st
                  : q_ol_dataset_put(w->c, o->uid, d->space->obj.uid, d->name, o->create_us,
                                     o->update_us, buf_str(b), err);
    case OL_A_RUN: return flush_run(w, CONTAINER_OF(o, struct ol_run, obj), b, err);
    case OL_A_VERSION:
        ol_thing_encode(b, &v->facets, OL_STAMP_NONE, 0);
        st = buf_status(b, "what is known of a version", err);
        return st ? st
                  : q_ol_version_put(w->c, o->uid, v->dataset, v->live, o->create_us, v->ord,
                                     v->run, v->name, buf_str(b), err);
    case OL_AN_IO:
        return q_ol_io_put(w->c, x->key[0], x->key[1], x->key[2], x->last_us, x->said, err);
    }
    return st;
}

enum status ol_flush(struct ol_work *w, bool only_versions, struct err *err)
{
    struct ol_obj **at = &w->m->dirty, *o;
    struct buf b = BUF_INIT(BODY_MAX);
    enum status st = OK;

    while (!st && (o = *at) != NULL) {
        if (only_versions && o->what != OL_A_VERSION) {
            at = &o->next;
            continue;
        }
        st = flush_one(w, o, &b, err);
        *at = o->next;
        o->next = NULL;
        o->dirty = false;
    }
    buf_release(&b);
    return st;
}

/* ---- finding ----------------------------------------------------------------------------------------------------------------- */

static enum status find_ident(struct view *v, enum ident_scheme scheme, struct str key,
                              int64_t *uid, struct err *err)
{
    struct q_ident_find_row row = { 0 };
    enum status st = q_ident_find(v->conn, NULL, OL_NS, scheme, key, &row, err);

    *uid = st ? 0 : row.uid;
    return st == ST_NOT_FOUND ? OK : st;
}

enum status ol_find(struct view *v, enum ident_scheme scheme, struct str ns, struct str name,
                    int64_t *uid, struct err *err)
{
    struct str key = arena_printf(v->arena, "%.*s%c%.*s", STR_ARG(ns), 0, STR_ARG(name));
    struct digest d;

    *uid = 0;
    if (!key.p || (key.n > IDENT_MAX && !sha256_of(key.p, key.n, &d))) {
        return err_nomem(err);
    }
    if (key.n > IDENT_MAX) {
        key = str_of((const char *)d.b, sizeof(d.b));
    }
    return find_ident(v, scheme, key, uid, err);
}

enum status ol_find_run(struct view *v, struct str id, int64_t *uid, struct err *err)
{
    unsigned char rid[16];

    *uid = 0;
    return ol_run_id_parse(id, rid)
               ? find_ident(v, IDENT_OL_RUN, str_of((const char *)rid, sizeof(rid)), uid, err)
               : OK;
}
