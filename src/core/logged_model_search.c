/* core/logged_model_search.c - finding logged models: each is offered to the search driver, which keeps the page.
 * Models are read one at a time; those of the page are read again at the end.
 * A metric filter holds if any of the model's values holds; `datasets` of the request narrow which values count, and without
 * metric filters select the models that have any value on one of them. Ordering takes the value with the latest (timestamp, step). */
#include "base/buf.h"
#include "core/logged_model.h"
#include "core/search/driver.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

enum { ROOM_MAX = 256 << 20 };

struct row {
    struct logged_model model;
    const struct logged_model_search *in;
};

static const struct str *find(const struct key_value *items, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(items[i].key, key)) {
            return &items[i].value;
        }
    }
    return NULL;
}

static bool some(struct str s, struct str *out)
{
    *out = s;
    return s.p != NULL;
}

static bool row_text(void *ctx, const struct search_key *key, struct str *out)
{
    static const struct str statuses[] = { S_INIT("UNSPECIFIED"), S_INIT("PENDING"),
                                           S_INIT("READY"), S_INIT("UPLOAD_FAILED") };
    const struct logged_model *m = &((const struct row *)ctx)->model;
    const struct str *found;

    if (key->kind == SEARCH_PARAM || key->kind == SEARCH_TAG) {
        found = key->kind == SEARCH_PARAM ? find(m->params, m->params_n, key->name)
                                          : find(m->tags, m->tags_n, key->name);
        return found && some(*found, out);
    }
    switch (key->attr) {
    case ATTR_NAME: return some(m->name, out);
    case ATTR_MODEL_ID: return some(m->model_id, out);
    case ATTR_MODEL_TYPE: return some(m->model_type, out);
    case ATTR_SOURCE_RUN_ID: return some(m->source_run_id, out);
    case ATTR_STATUS: return some(statuses[m->status], out);
    case ATTR_NONE:
    case ATTR_RUN_ID:
    case ATTR_RUN_NAME:
    case ATTR_USER_ID:
    case ATTR_ARTIFACT_URI:
    case ATTR_DATASET_NAME:
    case ATTR_DATASET_DIGEST:
    case ATTR_DATASET_CONTEXT:
    case ATTR_SOURCE_PATH:
    case ATTR_VERSION_NUMBER:
    case ATTR_START_TIME:
    case ATTR_END_TIME:
    case ATTR_EXPERIMENT_ID:
    case ATTR_CREATION_TIME:
    case ATTR_LAST_UPDATE_TIME: break;
    }
    return false;
}

static bool row_integer(void *ctx, const struct search_key *key, int64_t *out)
{
    const struct logged_model *m = &((const struct row *)ctx)->model;

    *out = key->attr == ATTR_CREATION_TIME      ? m->create_ms
           : key->attr == ATTR_LAST_UPDATE_TIME ? m->update_ms
                                                : m->uid;
    return true;
}

static bool on_dataset(const struct model_metric *m, struct str name, struct str digest)
{
    return (!name.n || str_eq(m->dataset_name, name)) &&
           (!digest.n || str_eq(m->dataset_digest, digest));
}

static bool in_scope(const struct logged_model_search *in, const struct model_metric *m)
{
    for (size_t i = 0; i < in->datasets_n; i++) {
        if (on_dataset(m, in->datasets[i].key, in->datasets[i].value)) {
            return true;
        }
    }
    return in->datasets_n == 0;
}

static bool row_metric(void *ctx, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    const struct row *r = ctx;
    const struct model_metric *best = NULL;

    for (size_t i = 0; i < r->model.metrics_n; i++) {
        const struct model_metric *m = &r->model.metrics[i];
        bool later;

        if (!str_eq(m->key, key->name) || !on_dataset(m, key->dataset_name, key->dataset_digest)) {
            continue;
        }
        later = !best || m->point.timestamp_ms > best->point.timestamp_ms ||
                (m->point.timestamp_ms == best->point.timestamp_ms &&
                 m->point.step >= best->point.step);
        if (!best || (agg == AGG_MIN && m->point.value < best->point.value) ||
            (agg == AGG_MAX && m->point.value > best->point.value) || (agg == AGG_LAST && later)) {
            best = m;
        }
    }
    if (best) {
        *out = best->point.value;
    }
    return best != NULL;
}

static bool row_metric_any(void *ctx, const struct search_key *key, size_t nth, double *out)
{
    const struct row *r = ctx;

    for (size_t i = 0; i < r->model.metrics_n; i++) {
        const struct model_metric *m = &r->model.metrics[i];

        if (str_eq(m->key, key->name) && in_scope(r->in, m) && nth-- == 0) {
            *out = m->point.value;
            return true;
        }
    }
    return false;
}

static enum search_goal row_goal(void *ctx, const struct search_key *key)
{
    const struct row *r = ctx;

    for (size_t i = 0; i < r->model.tags_n; i++) {
        struct str tag = r->model.tags[i].key;

        if (str_starts(tag, S("cairn.goal.")) &&
            str_eq(str_sub(tag, sizeof("cairn.goal.") - 1, tag.n), key->name)) {
            return str_eq_lit(r->model.tags[i].value, "min")   ? GOAL_MIN
                   : str_eq_lit(r->model.tags[i].value, "max") ? GOAL_MAX
                                                               : GOAL_NONE;
        }
    }
    return GOAL_NONE;
}

/* Models with any value on one of the datasets of the request. */
static bool has_dataset(const struct row *r)
{
    for (size_t i = 0; i < r->model.metrics_n; i++) {
        if (in_scope(r->in, &r->model.metrics[i])) {
            return true;
        }
    }
    return r->in->datasets_n == 0;
}

/* The ids of the active models of an experiment, newest first. */
static enum status ids_of(struct view *v, int64_t experiment, struct str **ids, size_t *n,
                          size_t *cap, struct err *err)
{
    struct q_logged_model_of_experiment_row row;
    struct sql_stmt *stmt = NULL;
    enum status st = q_logged_model_of_experiment_open(v->conn, &stmt, experiment, err);

    while (!st && (st = q_logged_model_of_experiment_next(stmt, &row, err)) == OK) {
        if (!arena_grow(v->arena, (void **)ids, *n, cap, sizeof(**ids))) {
            st = err_nomem(err);
            break;
        }
        (*ids)[*n] = arena_str(v->arena, row.mid);
        st = (*ids)[(*n)++].p ? OK : err_nomem(err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static struct str scope_of(struct view *v, const struct logged_model_search *in)
{
    struct buf b = BUF_INIT(1 << 20);
    struct str out = { NULL, 0 };

    for (size_t i = 0; i < in->experiments_n; i++) {
        buf_printf(&b, "%lld,", (long long)in->experiments[i]);
    }
    for (size_t i = 0; i < in->datasets_n; i++) {
        buf_printf(&b, ";%.*s@%.*s", STR_ARG(in->datasets[i].key), STR_ARG(in->datasets[i].value));
    }
    if (!b.failed) {
        out = arena_str(v->arena, buf_str(&b));
    }
    buf_release(&b);
    return out;
}

/* Every model is read into room that is used again: an experiment may have more than fits into memory. */
static enum status offer_all(struct view *v, const struct logged_model_search *in,
                             struct searcher *s, const struct str *ids, size_t n, struct err *err)
{
    static const struct search_row_ops ops = { .text = row_text,
                                               .integer = row_integer,
                                               .metric = row_metric,
                                               .metric_any = row_metric_any,
                                               .goal = row_goal };
    struct arena *room = arena_new(ROOM_MAX);
    struct view scratch = *v;
    enum status st = room ? OK : err_nomem(err);

    scratch.arena = room;
    for (size_t i = 0; !st && i < n; i++) {
        struct row row = { .in = in };

        st = logged_model_get(&scratch, ids[i], false, &row.model, err);
        if (!st && (searcher_filter(s)->has_metrics || has_dataset(&row))) {
            st = searcher_offer(s, &ops, &row, i, err);
        }
        st = st == ST_NOT_FOUND ? OK : st; /* deleted meanwhile */
        arena_reset(room);
    }
    arena_free(room);
    return st;
}

enum status logged_model_search(struct view *v, const struct logged_model_search *in,
                                struct logged_model **out, size_t *n, struct str *next_token,
                                struct err *err)
{
    struct search_request request = { .entity = SEARCH_LOGGED_MODELS,
                                      .filter = in->filter,
                                      .fields = in->order_by,
                                      .fields_n = in->order_by_n,
                                      .scope = scope_of(v, in),
                                      .page = in->page };
    struct searcher *s;
    struct str *ids = NULL;
    size_t ids_n = 0, cap = 0, found_n = 0;
    uint64_t *handles;
    enum status st = request.scope.p ? searcher_new(&s, &request, v->arena, err) : err_nomem(err);

    *out = NULL;
    *n = 0;
    for (size_t i = 0; !st && i < in->experiments_n; i++) {
        st = ids_of(v, in->experiments[i], &ids, &ids_n, &cap, err);
    }
    st = st ? st : offer_all(v, in, s, ids, ids_n, err);
    st = st ? st : searcher_end(s, &handles, &found_n, next_token, err);
    if (st) {
        return st;
    }
    *out = ARENA_ARRAY(v->arena, struct logged_model, found_n);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < found_n; i++) {
        st = logged_model_get(v, ids[handles[i]], false, &(*out)[*n], err);
        *n += st == OK;
        st = st == ST_NOT_FOUND ? OK : st; /* deleted meanwhile */
    }
    return st;
}
