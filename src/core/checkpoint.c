/* core/checkpoint.c - lists of checkpoints with the metrics of their steps, what retention keeps, and deleting them. */
#include "core/checkpoint.h"
#include "base/map.h"
#include "core/checkpoint_int.h"
#include "core/run_int.h"
#include "gen/sql/queries.h"
#include "store/series/parts.h"
#include "store/sql/sql.h"
#include <stdlib.h>

enum { SERIES_ARENA_MAX = 512 << 20 };

enum status checkpoint_root(struct view *v, struct str artifact_uri, int64_t owner,
                            struct str *root_uri, struct err *err)
{
    struct artifact_place place;
    enum status st = artifact_uri_place(v, artifact_uri, owner, S(""), &place, err);

    *root_uri = place.root_uri;
    if (!st && place.path.n) {
        return err_set(err, ST_INVALID,
                       "the artifacts of the run at '%.*s' are not a tree of its own",
                       STR_ARG(artifact_uri));
    }
    return st;
}

const struct checkpoint_metric *checkpoint_metric(const struct checkpoint *c, struct str key)
{
    for (size_t i = 0; i < c->metrics_n; i++) {
        if (str_eq(c->metrics[i].key, key)) {
            return &c->metrics[i];
        }
    }
    return NULL;
}

/* ---- metrics ------------------------------------------------------------------------------------------------------------- */

/* The newest point of one metric at or before each step, after the step before it. */
struct slots {
    const int64_t *steps; /* rising, each once */
    struct point *newest;
    bool *has;
    size_t n;
};

static void take(struct slots *s, struct point p)
{
    size_t low = 0, high = s->n;
    struct point *old;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->steps[mid] < p.step) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == s->n) {
        return;
    }
    old = &s->newest[low];
    if (!s->has[low] || p.step > old->step ||
        (p.step == old->step &&
         (p.timestamp_ms > old->timestamp_ms ||
          (p.timestamp_ms == old->timestamp_ms && point_value_cmp(p.value, old->value) > 0)))) {
        s->has[low] = true;
        *old = p;
    }
}

/* All points of a monotone chunk go to one step, or none does: its last point says it all. */
static bool is_between(const struct slots *s, const struct chunk_head *h)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->steps[i] >= h->s0 && s->steps[i] < h->s1) {
            return false;
        }
    }
    return true;
}

static enum status take_key(struct slots *s, struct parts *p, const struct parts_key *k,
                            struct err *err)
{
    struct point *points = NULL, first, last;
    size_t room = 0;
    enum status st = OK;

    for (size_t i = 0; i < k->loose_n; i++) {
        take(s, k->loose[i]);
    }
    for (size_t i = 0; i < k->chunks_n && !st; i++) {
        const struct chunk_head *h = &k->chunks[i].head;

        if (chunk_ends(h, &first, &last) && is_between(s, h)) {
            take(s, last);
            continue;
        }
        if (room < (size_t)h->n) {
            room = (size_t)h->n;
            points = ARENA_ARRAY(p->arena, struct point, room);
        }
        st = points ? parts_chunk(p, k, i, points, err) : err_nomem(err);
        for (size_t j = 0; !st && j < (size_t)h->n; j++) {
            take(s, points[j]);
        }
    }
    return st;
}

static int by_i64(const void *a, const void *b)
{
    return point_i64_cmp(*(const int64_t *)a, *(const int64_t *)b);
}

static enum status slots_make(struct slots *s, struct arena *a, const struct checkpoint *list,
                              size_t n, struct err *err)
{
    int64_t *steps = ARENA_ARRAY(a, int64_t, n + 1);
    size_t kept = 0;

    *s = (struct slots){ .steps = steps,
                         .newest = ARENA_ARRAY(a, struct point, n + 1),
                         .has = ARENA_ARRAY(a, bool, n + 1) };
    if (!steps || !s->newest || !s->has) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].has_step) {
            steps[s->n++] = list[i].step;
        }
    }
    if (s->n) {
        qsort(steps, s->n, sizeof(*steps), by_i64);
    }
    for (size_t i = 0; i < s->n; i++) {
        if (!kept || steps[i] != steps[kept - 1]) {
            steps[kept++] = steps[i];
        }
    }
    s->n = kept;
    return OK;
}

static void give(struct checkpoint *list, size_t n, const struct slots *s, struct str key)
{
    for (size_t i = 0; i < n; i++) {
        const int64_t *at = list[i].has_step && s->n
                                ? bsearch(&list[i].step, s->steps, s->n, sizeof(*s->steps), by_i64)
                                : NULL;
        size_t slot = at ? (size_t)(at - s->steps) : 0;

        if (at && s->has[slot]) {
            list[i].metrics[list[i].metrics_n++] = (struct checkpoint_metric){
                .key = key, .value = s->newest[slot].value, .step = s->newest[slot].step
            };
        }
    }
}

/* One key, for all checkpoints; each series for itself, because its steps divide the points. */
static enum status join_key(struct view *v, int64_t run, struct str key, struct checkpoint *list,
                            size_t n, struct err *err)
{
    struct arena *room = arena_new(SERIES_ARENA_MAX);
    struct parts_want want = { .keys_n = 1, .from_ms = INT64_MIN, .to_ms = INT64_MAX };
    struct parts p = { 0 };
    struct slots s;
    uint32_t id;
    size_t end;
    enum status st = room ? mkeys_find(v->core->mkeys, v->conn, key, &id, err) : err_nomem(err);

    want.keys = &id;
    st = st ? st : parts_open(&p, v->core->series, v->conn, room, run, &want, err);
    for (size_t i = 0; !st && i < n; i = end) {
        for (end = i + 1; end < n && str_eq(list[end].series, list[i].series);) {
            end++;
        }
        st = slots_make(&s, room, list + i, end - i, err);
        st = st ? st : take_key(&s, &p, &p.keys[0], err);
        if (!st) {
            give(list + i, end - i, &s, key);
        }
    }
    parts_close(&p);
    arena_free(room);
    return st == ST_NOT_FOUND ? OK : st;
}

enum status checkpoint_join(struct view *v, const struct run_view *run, const struct str *keys,
                            size_t keys_n, struct checkpoint *list, size_t n, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; i < n; i++) {
        list[i].metrics = ARENA_ARRAY(v->arena, struct checkpoint_metric, keys_n + 1);
        if (!list[i].metrics) {
            return err_nomem(err);
        }
    }
    for (size_t i = 0; i < keys_n && !st; i++) {
        st = join_key(v, run->uid, keys[i], list, n, err);
    }
    return st;
}

/* The keys that are asked for, or the run's own. */
static enum status wanted_keys(struct view *v, const struct checkpoint_query *q,
                               const struct run_view *run, const struct str **keys, size_t *n,
                               struct err *err)
{
    struct str *own = ARENA_ARRAY(v->arena, struct str, CHECKPOINT_METRICS_MAX + 1);
    size_t used = 0;

    if (!own) {
        return err_nomem(err);
    }
    if (q->keys_n > CHECKPOINT_METRICS_MAX) {
        return err_field(err, ST_INVALID, "metric", "at most %d metrics", CHECKPOINT_METRICS_MAX);
    }
    for (size_t i = 0; i < q->keys_n; i++) {
        own[used++] = q->keys[i];
    }
    for (size_t i = 0; !q->keys_n && i < run->metrics_n && used < CHECKPOINT_METRICS_MAX; i++) {
        if (!str_starts(run->metrics[i].key, S("system/"))) {
            own[used++] = run->metrics[i].key;
        }
    }
    if (q->best.p) {
        bool has = false;

        for (size_t i = 0; i < used; i++) {
            has = has || str_eq(own[i], q->best);
        }
        if (!has) {
            own[used++] = q->best;
        }
    }
    *keys = own;
    *n = used;
    return OK;
}

/* ---- whole or not, held or not ---------------------------------------------------------------------------------------------- */

/* Paths of files without what differs between two checkpoints of a series. */
static enum status patterns_of(struct arena *a, const struct checkpoint *c, struct str_map *to,
                               struct err *err)
{
    for (size_t i = 0; i < c->files_n; i++) {
        struct str pattern = checkpoint_pattern(a, c->files[i].path);

        if (!pattern.p || str_map_put(to, pattern, to)) {
            return err_nomem(err);
        }
    }
    return OK;
}

/* list: one series, the highest step first. */
static enum status find_missing(struct arena *a, struct checkpoint *list, size_t n, struct err *err)
{
    struct str_map has = STR_MAP_INIT(CHECKPOINT_FILES_MAX);
    enum status st;

    if (n < 2 || !list[0].has_step || list[0].model) {
        return OK;
    }
    st = patterns_of(a, &list[0], &has, err);
    for (size_t i = 0; !st && i < list[1].files_n && !list[0].missing.p; i++) {
        struct str pattern = checkpoint_pattern(a, list[1].files[i].path);

        if (!pattern.p) {
            st = err_nomem(err);
        } else if (!str_map_get(&has, pattern)) {
            list[0].missing = pattern;
        }
    }
    str_map_release(&has);
    return st;
}

/* What a version of the registry is made from, if it lies among the run's artifacts. */
static bool path_in_run(const struct run_view *run, struct str uri, struct str *path)
{
    struct str scheme = S("runs:/");

    if (str_starts(uri, scheme) && str_starts(str_sub(uri, scheme.n, uri.n), run->run_id)) {
        *path = str_sub(uri, scheme.n + run->run_id.n, uri.n);
    } else if (run->artifact_uri.n && str_starts(uri, run->artifact_uri)) {
        *path = str_sub(uri, run->artifact_uri.n, uri.n);
    } else {
        return false;
    }
    if (path->n && path->p[0] != '/') {
        return false;
    }
    while (path->n && path->p[0] == '/') {
        *path = str_sub(*path, 1, path->n);
    }
    while (path->n && path->p[path->n - 1] == '/') {
        path->n--;
    }
    return true;
}

static bool is_at_or_below(struct str path, struct str top)
{
    return !top.n || (str_starts(path, top) && (path.n == top.n || path.p[top.n] == '/'));
}

static enum status find_held(struct view *v, const struct run_view *run, struct checkpoint *list,
                             size_t n, struct err *err)
{
    struct q_model_version_by_run_row row;
    struct sql_stmt *stmt = NULL;
    struct str path, text;
    enum status st = q_model_version_by_run_open(v->conn, &stmt, run->run_id, err);

    while (!st && (st = q_model_version_by_run_next(stmt, &row, err)) == OK) {
        if (!path_in_run(run, row.source, &path)) {
            continue;
        }
        text = (struct str){ NULL, 0 };
        for (size_t i = 0; i < n && !st; i++) {
            if (list[i].held.p || list[i].model ||
                (!is_at_or_below(list[i].path, path) && !is_at_or_below(path, list[i].path))) {
                continue;
            }
            if (!text.p) {
                text =
                    arena_printf(v->arena, "%.*s/%lld", STR_ARG(row.name), (long long)row.version);
                st = text.p ? OK : err_nomem(err);
            }
            list[i].held = text;
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* ---- lists -------------------------------------------------------------------------------------------------------------------- */

/* By series, the highest step first, those without a step at the end. */
static int by_step(const void *a, const void *b)
{
    const struct checkpoint *x = a, *y = b;
    int c = str_cmp(x->series, y->series);

    if (!c && x->has_step != y->has_step) c = x->has_step ? -1 : 1;
    if (!c) c = point_i64_cmp(y->step, x->step);
    if (!c) c = point_i64_cmp(y->epoch, x->epoch);
    return c ? c : str_cmp(x->path, y->path);
}

struct ranked {
    struct checkpoint *c;
    double value;
};

/* Smaller is better; the newer one of equal ones. */
static int by_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->value < y->value || x->value > y->value) {
        return x->value < y->value ? -1 : 1;
    }
    return by_step(x->c, y->c);
}

/* Those with a value that is a number, the best first; out has room for n. */
static size_t rank(const struct checkpoint *list, size_t n, struct str key,
                   enum checkpoint_mode mode, struct ranked *out)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        const struct checkpoint_metric *m = checkpoint_metric(&list[i], key);

        if (m && m->value == m->value) {
            out[used++] = (struct ranked){ (struct checkpoint *)(uintptr_t)&list[i],
                                           mode == CHECKPOINT_MAX ? -m->value : m->value };
        }
    }
    if (used) {
        qsort(out, used, sizeof(*out), by_value);
    }
    return used;
}

static enum status best_first(struct arena *a, const struct checkpoint_query *q,
                              struct checkpoint **list, size_t *n, struct err *err)
{
    struct ranked *r = ARENA_ARRAY(a, struct ranked, *n + 1);
    struct checkpoint *out = ARENA_ARRAY(a, struct checkpoint, *n + 1);

    if (!r || !out) {
        return err_nomem(err);
    }
    *n = rank(*list, *n, q->best, q->mode, r);
    for (size_t i = 0; i < *n; i++) {
        out[i] = *r[i].c;
    }
    *list = out;
    return OK;
}

static enum status fill(struct view *v, const struct checkpoint_query *q,
                        const struct run_view *run, struct checkpoint *list, size_t n,
                        struct err *err)
{
    const struct str *keys = NULL;
    size_t keys_n = 0, end;
    enum status st = wanted_keys(v, q, run, &keys, &keys_n, err);

    if (n) {
        qsort(list, n, sizeof(*list), by_step);
    }
    for (size_t i = 0; !st && i < n; i = end) {
        for (end = i + 1; end < n && str_eq(list[end].series, list[i].series);) {
            end++;
        }
        st = find_missing(v->arena, list + i, end - i, err);
    }
    st = st ? st : find_held(v, run, list, n, err);
    st = st ? st : checkpoint_join(v, run, keys, keys_n, list, n, err);
    for (size_t i = 0; i < n && !st; i++) {
        if (!list[i].model) continue;
        st = checkpoint_model_metrics(v, keys, keys_n, &list[i], err);
        st = st ? st : checkpoint_model_held(v, &list[i], err);
    }
    return st;
}

enum status checkpoint_list(struct view *v, const struct checkpoint_query *q,
                            struct checkpoint **out, size_t *n, struct err *err)
{
    struct run_view run;
    struct str root;
    size_t kept = 0;
    enum status st = run_get(v, q->run_id, &run, err);

    *out = NULL;
    *n = 0;
    st = st ? st : checkpoint_root(v, run.artifact_uri, run.uid, &root, err);
    st = st ? st : checkpoint_gather(v->conn, v->arena, root, (struct str){ NULL, 0 }, out, n, err);
    st = st ? st : checkpoint_models(v, run.uid, out, n, err);
    st = st ? st : fill(v, q, &run, *out, *n, err);
    for (size_t i = 0; !st && i < *n; i++) {
        if ((!q->series.p || str_eq((*out)[i].series, q->series)) &&
            (!q->path.p || str_eq((*out)[i].path, q->path))) {
            (*out)[kept++] = (*out)[i];
        }
    }
    *n = st ? 0 : kept;
    if (!st && !kept && q->path.p) {
        return err_field(err, ST_NOT_FOUND, "path", "the run has no checkpoint '%.*s'",
                         STR_ARG(q->path));
    }
    if (!st && !kept && q->series.p) {
        return err_field(err, ST_NOT_FOUND, "series", "the run has no checkpoints '%.*s'",
                         STR_ARG(q->series));
    }
    return st || !q->best.p ? st : best_first(v->arena, q, out, n, err);
}

/* ---- retention ------------------------------------------------------------------------------------------------------------------ */

static bool is_fixed(const struct checkpoint *c)
{
    return c->missing.p || c->held.p || !c->has_step;
}

enum status checkpoint_plan(struct view *v, const struct checkpoint_keep *k,
                            struct checkpoint **out, bool **goes, size_t *n, struct err *err)
{
    struct checkpoint_query q = {
        .run_id = k->run_id, .series = k->series, .keys = &k->metric, .keys_n = k->best > 0
    };
    struct ranked *ranks;
    size_t last = k->last, best = k->best, ranked;
    enum status st;

    *goes = NULL;
    if (!k->last && !k->best) {
        return err_field(err, ST_INVALID, "keep_last", "nothing would be kept");
    }
    st = checkpoint_list(v, &q, out, n, err);
    if (st) {
        return st;
    }
    *goes = ARENA_ARRAY(v->arena, bool, *n + 1);
    ranks = ARENA_ARRAY(v->arena, struct ranked, *n + 1);
    if (!*goes || !ranks) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < *n; i++) {
        bool fixed = is_fixed(&(*out)[i]);

        (*goes)[i] = !fixed && last == 0;
        last -= !fixed && last > 0;
    }
    ranked = k->best ? rank(*out, *n, k->metric, k->mode, ranks) : 0;
    if (k->best && !ranked) {
        return err_field(err, ST_INVALID, "metric",
                         "no checkpoint has a value of the metric '%.*s'", STR_ARG(k->metric));
    }
    for (size_t i = 0; i < ranked && best > 0; i++) {
        if (!is_fixed(ranks[i].c)) {
            (*goes)[ranks[i].c - *out] = false;
            best--;
        }
    }
    return OK;
}

/* ---- deleting -------------------------------------------------------------------------------------------------------------------- */

/* The entries of the folder that the checkpoint consists of. */
static enum status delete_entries(struct group *g, struct arena *a, struct artifact_place *place,
                                  const struct checkpoint *c, struct err *err)
{
    struct str last = { NULL, 0 };
    enum status st = OK;

    for (size_t i = 0; !st && i < c->files_n; i++) {
        struct str entry = c->files[i].path;

        entry.n = MIN_OF(str_find_byte(entry, '/', 0), entry.n);
        if (last.p && str_eq(entry, last)) {
            continue;
        }
        last = entry;
        place->path =
            c->folder.n ? arena_printf(a, "%.*s/%.*s", STR_ARG(c->folder), STR_ARG(entry)) : entry;
        st = place->path.p ? group_artifact_delete(g, a, place, err) : err_nomem(err);
    }
    return st;
}

static enum status delete_one(struct checkpoint_delete *d, struct group *g,
                              struct artifact_place *place, size_t i, struct err *err)
{
    struct checkpoint *found;
    size_t n;
    enum status st = checkpoint_gather(group_conn(g), d->op.arena, place->root_uri, d->paths[i],
                                       &found, &n, err);

    if (st || !n) {
        return st;
    }
    if (!digest_eq(&found[0].digest, &d->digests[i])) {
        return err_field(err, ST_CONFLICT, "digest",
                         "checkpoint '%.*s' has changed: look at it again", STR_ARG(d->paths[i]));
    }
    d->deleted++;
    return delete_entries(g, d->op.arena, place, &found[0], err);
}

static enum status delete_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct checkpoint_delete *d = WRITE_OP_OF(op, struct checkpoint_delete);
    struct view v = { .core = d->core, .conn = group_conn(g), .arena = op->arena };
    struct artifact_place place = { .owner = 0 };
    struct head *h;
    enum status st = run_head(g, d->run_id, &h, err);

    d->deleted = 0;
    st = st ? st : checkpoint_root(&v, h->artifact_uri, h->uid, &place.root_uri, err);
    for (size_t i = 0; !st && i < d->n; i++) {
        st = checkpoint_is_model(d->paths[i])
                 ? checkpoint_model_delete(&v, g, h->uid, d->paths[i], &d->digests[i], &d->deleted,
                                           err)
                 : delete_one(d, g, &place, i, err);
    }
    return st;
}

static const struct write_kind delete_kind = { .name = "checkpoint.delete",
                                               .validate = delete_validate,
                                               .sql = true };

void checkpoint_delete_init(struct checkpoint_delete *d, struct core *core, struct arena *a)
{
    *d = (struct checkpoint_delete){ .op = { .kind = &delete_kind, .arena = a }, .core = core };
}
