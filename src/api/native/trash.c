/* api/native/trash.c - deleting experiments and logged models, restoring models, and what deleting for good would take away. */
#include "gen/native/trash.h"
#include "api/native/native.h"
#include "base/num.h"
#include "core/experiment.h"
#include "core/logged_model.h"
#include "core/purge.h"
#include "core/retention.h"

#define READ(fn)        ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))
#define WRITE(start_fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_WRITE, .start = (start_fn))

/* ---- deleting ---------------------------------------------------------------------------------------------------------------- */

static enum status captured_experiment(struct call *c, int64_t *id, struct err *err)
{
    struct str text = call_capture(c, "experiment_id");

    *id = 0;
    return text.n ? experiment_parse_id(text, id, err)
                  : err_field(err, ST_INVALID, "experiment_id", "the experiment has no id");
}

static enum status delete_experiment(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_experiment_delete *in = c->in;
    struct experiment_lifecycle *l =
        in->hard ? NULL : ARENA_NEW(c->arena, struct experiment_lifecycle);
    struct experiment_purge *p = in->hard ? ARENA_NEW(c->arena, struct experiment_purge) : NULL;
    int64_t id;
    enum status st = captured_experiment(c, &id, err);

    if (st) {
        return st;
    }
    if (p) {
        experiment_purge_init(p, c->core, c->arena);
        p->id = id;
        p->force = in->force;
        p->who = c->principal->name;
        *op = &p->op;
    } else if (l) {
        experiment_lifecycle_init(l, c->core, c->arena);
        l->id = id;
        l->to = LIFECYCLE_DELETED;
        *op = &l->op;
    }
    return p || l ? OK : err_nomem(err);
}

static enum status delete_model(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_logged_model_delete *in = c->in;
    struct logged_model_change *l =
        in->hard ? NULL : ARENA_NEW(c->arena, struct logged_model_change);
    struct logged_model_purge *p = in->hard ? ARENA_NEW(c->arena, struct logged_model_purge) : NULL;

    if (p) {
        logged_model_purge_init(p, c->core, c->arena);
        p->model_id = call_capture(c, "model_id");
        p->force = in->force;
        p->who = c->principal->name;
        *op = &p->op;
    } else if (l) {
        logged_model_change_init(l, c->core, c->arena);
        l->model_id = call_capture(c, "model_id");
        l->what = MODEL_DELETE;
        *op = &l->op;
    }
    return p || l ? OK : err_nomem(err);
}

static enum status restore_model(struct call *c, struct write_op **op, struct err *err)
{
    struct logged_model_change *l = ARENA_NEW(c->arena, struct logged_model_change);

    if (!l) {
        return err_nomem(err);
    }
    logged_model_change_init(l, c->core, c->arena);
    l->model_id = call_capture(c, "model_id");
    l->what = MODEL_RESTORE;
    *op = &l->op;
    return OK;
}

/* ---- what would go ------------------------------------------------------------------------------------------------------------ */

static enum status answer_contents(struct call *c, const struct contents *from, struct err *err)
{
    struct cairn_v1_contents *out = ARENA_NEW(c->arena, struct cairn_v1_contents);
    struct str *versions = ARENA_ARRAY(c->arena, struct str, from->versions_n + 1);

    if (!out || !versions) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < from->versions_n; i++) {
        versions[i] = from->versions[i];
    }
    MSG_SET(out, CAIRN_V1_CONTENTS_HAS_RUNS, runs, from->runs);
    MSG_SET(out, CAIRN_V1_CONTENTS_HAS_LOGGED_MODELS, logged_models, from->logged_models);
    MSG_SET(out, CAIRN_V1_CONTENTS_HAS_FILES, files, from->files);
    MSG_SET(out, CAIRN_V1_CONTENTS_HAS_BYTES, bytes, from->bytes);
    out->versions = versions;
    out->versions_n = from->versions_n;
    if (from->going) MSG_SET(out, CAIRN_V1_CONTENTS_HAS_GOING, going, true);
    c->out = out;
    return OK;
}

static enum status contents_experiment(struct call *c, struct view *v, struct err *err)
{
    struct contents *found = ARENA_NEW(c->arena, struct contents);
    int64_t id;
    enum status st = captured_experiment(c, &id, err);

    if (!st && !found) st = err_nomem(err);
    if (!st) st = contents_of_experiment(v, id, found, err);
    return st ? st : answer_contents(c, found, err);
}

static enum status contents_run(struct call *c, struct view *v, struct err *err)
{
    struct contents *found = ARENA_NEW(c->arena, struct contents);
    enum status st =
        found ? contents_of_run(v, call_capture(c, "run_id"), found, err) : err_nomem(err);

    return st ? st : answer_contents(c, found, err);
}

static enum status contents_model(struct call *c, struct view *v, struct err *err)
{
    struct contents *found = ARENA_NEW(c->arena, struct contents);
    enum status st = found ? contents_of_logged_model(v, call_capture(c, "model_id"), found, err)
                           : err_nomem(err);

    return st ? st : answer_contents(c, found, err);
}

/* ---- lists -------------------------------------------------------------------------------------------------------------------- */

static struct str status_text(enum logged_model_status status)
{
    return status == LOGGED_MODEL_READY     ? S("READY")
           : status == LOGGED_MODEL_PENDING ? S("PENDING")
                                            : S("UPLOAD_FAILED");
}

/* Tokens are the time and the number of the last one, with a dot between. */
static enum status read_token(struct str token, struct logged_model_list *q, struct err *err)
{
    size_t dot = str_find_byte(token, '.', 0);

    q->before_ms = q->before_uid = INT64_MAX;
    if (!token.n || (dot < token.n && num_parse_i64(str_sub(token, 0, dot), &q->before_ms) &&
                     num_parse_i64(str_sub(token, dot + 1, token.n), &q->before_uid))) {
        return OK;
    }
    return err_field(err, ST_INVALID, "page_token", "the page token is not one of this list");
}

static enum status list_models(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_logged_model_list *in = c->in;
    struct cairn_v1_logged_model_rows *out = ARENA_NEW(c->arena, struct cairn_v1_logged_model_rows);
    struct logged_model_list q = { .deleted = in->deleted, .max = (size_t)in->max_results };
    struct logged_model *list = NULL;
    size_t n = 0;
    bool more = false;
    enum status st =
        out ? experiment_parse_id(in->experiment_id, &q.experiment, err) : err_nomem(err);

    if (!st) st = read_token(in->page_token, &q, err);
    if (!st) st = logged_model_list(v, &q, &list, &n, &more, err);
    if (st) return st;
    out->models = ARENA_ARRAY(c->arena, struct cairn_v1_logged_model_row, n + 1);
    if (!out->models) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        struct cairn_v1_logged_model_row *to = &out->models[i];
        const struct logged_model *m = &list[i];

        MSG_SET(to, CAIRN_V1_LOGGED_MODEL_ROW_HAS_MODEL_ID, model_id, m->model_id);
        MSG_SET(to, CAIRN_V1_LOGGED_MODEL_ROW_HAS_NAME, name, m->name);
        if (m->model_type.p)
            MSG_SET(to, CAIRN_V1_LOGGED_MODEL_ROW_HAS_MODEL_TYPE, model_type, m->model_type);
        if (m->source_run_id.p)
            MSG_SET(to, CAIRN_V1_LOGGED_MODEL_ROW_HAS_SOURCE_RUN_ID, source_run_id,
                    m->source_run_id);
        MSG_SET(to, CAIRN_V1_LOGGED_MODEL_ROW_HAS_STATUS, status, status_text(m->status));
        MSG_SET(to, CAIRN_V1_LOGGED_MODEL_ROW_HAS_CREATE_MS, create_ms, m->create_ms);
        MSG_SET(to, CAIRN_V1_LOGGED_MODEL_ROW_HAS_UPDATE_MS, update_ms, m->update_ms);
    }
    out->models_n = n;
    if (more) {
        struct str token = arena_printf(c->arena, "%lld.%lld", (long long)list[n - 1].create_ms,
                                        (long long)list[n - 1].uid);

        MSG_SET(out, CAIRN_V1_LOGGED_MODEL_ROWS_HAS_NEXT_PAGE_TOKEN, next_page_token, token);
        if (!token.p) return err_nomem(err);
    }
    c->out = out;
    return OK;
}

/* ---- retention ----------------------------------------------------------------------------------------------------------------- */

static enum status retention_op(struct call *c, struct retention_set **out, struct err *err)
{
    int64_t id;
    enum status st = captured_experiment(c, &id, err);

    *out = st ? NULL : ARENA_NEW(c->arena, struct retention_set);
    if (!st && !*out) st = err_nomem(err);
    if (st) return st;
    retention_set_init(*out, c->core, c->arena);
    (*out)->experiment = id;
    (*out)->who = c->principal->name;
    return OK;
}

/* keep_best, metric and mode belong together. */
static enum status read_best(int64_t keep, struct str metric, struct str mode, struct retention *r,
                             struct err *err)
{
    bool is_mode = str_eq_lit(mode, "min") || str_eq_lit(mode, "max");
    enum status st;

    r->keep_best = keep;
    r->metric = metric;
    r->maximum = str_eq_lit(mode, "max");
    if (keep > 0 ? metric.n > 0 && is_mode : !metric.n && !mode.n) return OK;
    st = err_field(err, ST_INVALID, "keep_best",
                   "keep_best, metric and mode (min or max) are given together");
    err_hint(err, "mode min for a loss, mode max for an accuracy");
    return st;
}

static enum status set_retention(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_retention_rule *in = c->in;
    struct retention_set *s;
    enum status st = retention_op(c, &s, err);

    if (st) return st;
    s->rule = (struct retention){ .has_trash = in->has & CAIRN_V1_RETENTION_RULE_HAS_TRASH_AFTER_MS,
                                  .has_purge = in->has & CAIRN_V1_RETENTION_RULE_HAS_PURGE_AFTER_MS,
                                  .trash_after_ms = in->trash_after_ms,
                                  .purge_after_ms = in->purge_after_ms,
                                  .keep_last = in->keep_last };
    if (!s->rule.has_trash && !s->rule.has_purge) {
        st = err_field(err, ST_INVALID, "trash_after_ms", "the rule takes nothing");
        err_hint(err, "give trash_after_ms or purge_after_ms, or DELETE the rule");
        return st;
    }
    *op = &s->op;
    return read_best(in->keep_best, in->metric, in->mode, &s->rule, err);
}

static enum status drop_retention(struct call *c, struct write_op **op, struct err *err)
{
    struct retention_set *s;
    enum status st = retention_op(c, &s, err);

    if (st) return st;
    s->off = true;
    *op = &s->op;
    return OK;
}

static enum status look_at_retention(struct call *c, struct view *v, struct err *err)
{
    struct cairn_v1_retention_answer *out = ARENA_NEW(c->arena, struct cairn_v1_retention_answer);
    struct retention rule;
    struct str who = { NULL, 0 };
    int64_t id, changed = 0;
    bool found = false;
    enum status st = out ? captured_experiment(c, &id, err) : err_nomem(err);

    if (!st) st = retention_get(v, id, &rule, &found, &who, &changed, err);
    if (st) return st;
    MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_ACTIVE, active, found);
    if (rule.has_trash)
        MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_TRASH_AFTER_MS, trash_after_ms,
                rule.trash_after_ms);
    if (rule.has_purge)
        MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_PURGE_AFTER_MS, purge_after_ms,
                rule.purge_after_ms);
    if (found) MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_KEEP_LAST, keep_last, rule.keep_last);
    if (rule.keep_best > 0) {
        MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_KEEP_BEST, keep_best, rule.keep_best);
        MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_METRIC, metric, rule.metric);
        MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_MODE, mode, rule.maximum ? S("max") : S("min"));
    }
    if (who.p) {
        MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_WHO, who, who);
        MSG_SET(out, CAIRN_V1_RETENTION_ANSWER_HAS_CHANGED_MS, changed_ms, changed);
    }
    c->out = out;
    return OK;
}

static enum status plan_retention(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_retention_plan *in = c->in;
    struct cairn_v1_retention_plan_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_retention_plan_answer);
    struct retention rule = { .has_trash = in->has & CAIRN_V1_RETENTION_PLAN_HAS_TRASH_AFTER_MS,
                              .has_purge = in->has & CAIRN_V1_RETENTION_PLAN_HAS_PURGE_AFTER_MS,
                              .trash_after_ms = in->trash_after_ms,
                              .purge_after_ms = in->purge_after_ms,
                              .keep_last = in->keep_last };
    struct retention_item *items = NULL;
    struct str who;
    int64_t id, changed;
    size_t n = 0;
    bool more = false, found;
    enum status st = out ? captured_experiment(c, &id, err) : err_nomem(err);

    if (!st) st = read_best(in->keep_best, in->metric, in->mode, &rule, err);
    if (!st && !rule.has_trash && !rule.has_purge) {
        st = retention_get(v, id, &rule, &found, &who, &changed, err);
    }
    if (!st)
        st = retention_plan(v, id, &rule, in->stays, (size_t)in->max_results, &items, &n, &more,
                            err);
    if (st) return st;
    out->items = ARENA_ARRAY(c->arena, struct cairn_v1_retention_item, n + 1);
    if (!out->items) return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        struct cairn_v1_retention_item *to = &out->items[i];

        MSG_SET(to, CAIRN_V1_RETENTION_ITEM_HAS_ACTION, action,
                items[i].stays                         ? S("stay")
                : items[i].what == RETENTION_TRASH_RUN ? S("trash")
                                                       : S("delete"));
        MSG_SET(to, CAIRN_V1_RETENTION_ITEM_HAS_REASON, reason, items[i].reason);
        MSG_SET(to, CAIRN_V1_RETENTION_ITEM_HAS_TYPE, type,
                items[i].what == RETENTION_PURGE_MODEL ? S("model") : S("run"));
        MSG_SET(to, CAIRN_V1_RETENTION_ITEM_HAS_ID, id, items[i].id);
        MSG_SET(to, CAIRN_V1_RETENTION_ITEM_HAS_NAME, name, items[i].name);
        MSG_SET(to, CAIRN_V1_RETENTION_ITEM_HAS_SINCE_MS, since_ms, items[i].since_ms);
    }
    out->items_n = n;
    if (more) MSG_SET(out, CAIRN_V1_RETENTION_PLAN_ANSWER_HAS_MORE, more, true);
    c->out = out;
    return OK;
}

#define RETENTION "/api/cairn/v1/experiments/{experiment_id}/retention"

const struct route native_trash_routes[] = {
    ROUTE(HTTP_POST, RETENTION, &cairn_v1_retention_rule_desc, NULL, RESOURCE_EXPERIMENT,
          ACTION_EXPERIMENT_DELETE, WRITE(set_retention)),
    ROUTE(HTTP_GET, RETENTION, NULL, &cairn_v1_retention_answer_desc, RESOURCE_EXPERIMENT,
          ACTION_EXPERIMENT_READ, READ(look_at_retention)),
    ROUTE(HTTP_DELETE, RETENTION, NULL, NULL, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_DELETE,
          WRITE(drop_retention)),
    ROUTE(HTTP_POST, RETENTION "/plan", &cairn_v1_retention_plan_desc,
          &cairn_v1_retention_plan_answer_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ,
          READ(plan_retention)),
    ROUTE(HTTP_DELETE, "/api/cairn/v1/experiments/{experiment_id}",
          &cairn_v1_experiment_delete_desc, NULL, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_DELETE,
          WRITE(delete_experiment)),
    ROUTE(HTTP_GET, "/api/cairn/v1/experiments/{experiment_id}/contents", NULL,
          &cairn_v1_contents_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ,
          READ(contents_experiment)),
    ROUTE(HTTP_GET, "/api/cairn/v1/runs/{run_id}/contents", NULL, &cairn_v1_contents_desc,
          RESOURCE_RUN, ACTION_RUN_READ, READ(contents_run)),
    ROUTE(HTTP_GET, "/api/cairn/v1/logged-models", &cairn_v1_logged_model_list_desc,
          &cairn_v1_logged_model_rows_desc, RESOURCE_MODEL, ACTION_MODEL_READ, READ(list_models)),
    ROUTE(HTTP_GET, "/api/cairn/v1/logged-models/{model_id}/contents", NULL,
          &cairn_v1_contents_desc, RESOURCE_MODEL, ACTION_MODEL_READ, READ(contents_model)),
    ROUTE(HTTP_DELETE, "/api/cairn/v1/logged-models/{model_id}", &cairn_v1_logged_model_delete_desc,
          NULL, RESOURCE_MODEL, ACTION_MODEL_DELETE, WRITE(delete_model)),
    ROUTE(HTTP_POST, "/api/cairn/v1/logged-models/{model_id}/restore", &cairn_v1_empty_desc, NULL,
          RESOURCE_MODEL, ACTION_MODEL_DELETE, WRITE(restore_model)),
};
const size_t native_trash_routes_n = ARRAY_N(native_trash_routes);
