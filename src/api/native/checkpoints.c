/* api/native/checkpoints.c - checkpoints of a run: lists, files, retention. */
#include "gen/native/checkpoints.h"
#include "api/native/native.h"
#include "core/checkpoint.h"

#define READ(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))

/* The metric and what is best of it: given together or not at all. */
static enum status read_mode(struct str metric, struct str mode, enum checkpoint_mode *out,
                             struct err *err)
{
    enum status st;

    *out = CHECKPOINT_MIN;
    if (!metric.n && !mode.n) {
        return OK;
    }
    if (metric.n && (str_eq_lit(mode, "min") || str_eq_lit(mode, "max"))) {
        *out = str_eq_lit(mode, "max") ? CHECKPOINT_MAX : CHECKPOINT_MIN;
        return OK;
    }
    st = mode.n && !metric.n
             ? err_field(err, ST_INVALID, "metric", "mode says nothing without a metric")
             : err_field(err, ST_INVALID, "mode", "mode is '%.*s', not min or max", STR_ARG(mode));
    err_hint(err, "mode=min for a loss, mode=max for an accuracy");
    return st;
}

static enum status put(struct arena *a, const struct checkpoint *c, struct cairn_v1_checkpoint *to,
                       struct err *err)
{
    char hex[65];

    digest_hex(&c->digest, hex);
    MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_SERIES, series, c->series);
    MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_PATH, path, c->path);
    MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_SIZE, size, c->size);
    MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_FILES, files, (int64_t)c->files_n);
    MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_DIGEST, digest, arena_str(a, str_of(hex, 64)));
    MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_TIME, time, c->time_ms);
    if (c->has_step) {
        MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_STEP, step, c->step);
    }
    if (c->has_epoch) {
        MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_EPOCH, epoch, c->epoch);
    }
    if (c->missing.p) {
        MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_MISSING, missing, c->missing);
    }
    if (c->model) {
        MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_MODEL_ID, model_id, c->model_id);
    }
    if (c->held.p) {
        MSG_SET(to, CAIRN_V1_CHECKPOINT_HAS_HELD, held, c->held);
    }
    to->metrics_n = c->metrics_n;
    to->metrics = ARENA_ARRAY(a, struct cairn_v1_checkpoint_metric, c->metrics_n + 1);
    if (!to->metrics || !to->digest.p) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < c->metrics_n; i++) {
        MSG_SET(&to->metrics[i], CAIRN_V1_CHECKPOINT_METRIC_HAS_KEY, key, c->metrics[i].key);
        MSG_SET(&to->metrics[i], CAIRN_V1_CHECKPOINT_METRIC_HAS_VALUE, value, c->metrics[i].value);
        MSG_SET(&to->metrics[i], CAIRN_V1_CHECKPOINT_METRIC_HAS_STEP, step, c->metrics[i].step);
    }
    return OK;
}

/* The answer with NaN as text. */
static enum status answer(struct call *c, const struct msg_desc *desc, const void *out,
                          struct err *err)
{
    c->raw_type = "application/json";
    msg_encode_json(&c->raw, desc, out, MSG_JSON_NAN_STRINGS);
    return buf_status(&c->raw, "list of checkpoints", err);
}

/* Where the page begins: behind the checkpoint that the token names. */
static enum status page_start(const struct checkpoint *list, size_t n, struct str token, size_t *at,
                              struct err *err)
{
    *at = 0;
    if (!token.n) {
        return OK;
    }
    while (*at < n && !str_eq(list[*at].path, token)) {
        ++*at;
    }
    if (*at == n) {
        return err_field(err, ST_INVALID, "page_token",
                         "the checkpoint '%.*s' is gone: begin the list again", STR_ARG(token));
    }
    ++*at;
    return OK;
}

static enum status list(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_checkpoint_list *in = c->in;
    struct cairn_v1_checkpoint_list_answer out = { 0 };
    struct checkpoint_query q = {
        .run_id = call_capture(c, "run_id"),
        .series = in->series,
        .keys = in->metric,
        .keys_n = in->metric_n,
        .best = in->best,
    };
    struct checkpoint *found;
    size_t n, at = 0, max = (size_t)in->max_results;
    enum status st = read_mode(in->best, in->mode, &q.mode, err);

    st = st ? st : checkpoint_list(v, &q, &found, &n, err);
    st = st ? st : page_start(found, n, in->page_token, &at, err);
    if (st) {
        return st;
    }
    out.checkpoints = ARENA_ARRAY(c->arena, struct cairn_v1_checkpoint, n + 1);
    if (!out.checkpoints) {
        return err_nomem(err);
    }
    for (; !st && at < n && out.checkpoints_n < max; at++) {
        st = put(c->arena, &found[at], &out.checkpoints[out.checkpoints_n++], err);
    }
    if (at < n) {
        MSG_SET(&out, CAIRN_V1_CHECKPOINT_LIST_ANSWER_HAS_NEXT_PAGE_TOKEN, next_page_token,
                found[at - 1].path);
    }
    return st ? st : answer(c, &cairn_v1_checkpoint_list_answer_desc, &out, err);
}

static enum status files(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_checkpoint_files *in = c->in;
    struct cairn_v1_checkpoint_files_answer out = { 0 };
    struct checkpoint_query q = { .run_id = call_capture(c, "run_id"), .path = in->path };
    struct cairn_v1_checkpoint *one = ARENA_NEW(c->arena, struct cairn_v1_checkpoint);
    struct checkpoint *found;
    char hex[65];
    size_t n;
    enum status st = one ? checkpoint_list(v, &q, &found, &n, err) : err_nomem(err);

    st = st ? st : put(c->arena, &found[0], one, err);
    if (st) {
        return st;
    }
    MSG_SET(&out, CAIRN_V1_CHECKPOINT_FILES_ANSWER_HAS_CHECKPOINT, checkpoint, one);
    out.files = ARENA_ARRAY(c->arena, struct cairn_v1_checkpoint_file, found[0].files_n + 1);
    if (!out.files) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < found[0].files_n; i++) {
        const struct checkpoint_file *f = &found[0].files[i];
        struct cairn_v1_checkpoint_file *to = &out.files[out.files_n++];

        digest_hex(&f->sha256, hex);
        MSG_SET(to, CAIRN_V1_CHECKPOINT_FILE_HAS_PATH, path,
                found[0].folder.n ? arena_printf(c->arena, "%.*s/%.*s", STR_ARG(found[0].folder),
                                                 STR_ARG(f->path))
                                  : f->path);
        MSG_SET(to, CAIRN_V1_CHECKPOINT_FILE_HAS_SIZE, size, f->size);
        MSG_SET(to, CAIRN_V1_CHECKPOINT_FILE_HAS_SHA256, sha256,
                arena_str(c->arena, str_of(hex, 64)));
        if (!to->path.p || !to->sha256.p) {
            return err_nomem(err);
        }
    }
    return answer(c, &cairn_v1_checkpoint_files_answer_desc, &out, err);
}

static enum status plan(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_checkpoint_plan *in = c->in;
    struct cairn_v1_checkpoint_plan_answer out = { 0 };
    struct checkpoint_keep k = {
        .run_id = call_capture(c, "run_id"),
        .series = in->series,
        .last = (size_t)in->keep_last,
        .best = (size_t)in->keep_best,
        .metric = in->metric,
    };
    struct checkpoint *found;
    bool *goes;
    size_t n;
    enum status st = read_mode(in->metric, in->mode, &k.mode, err);

    if (!st && (k.best > 0) != (k.metric.n > 0)) {
        st = err_field(err, ST_INVALID, "metric", "keep_best and metric are given together");
    }
    st = st ? st : checkpoint_plan(v, &k, &found, &goes, &n, err);
    if (st) {
        return st;
    }
    out.checkpoints = ARENA_ARRAY(c->arena, struct cairn_v1_checkpoint, n + 1);
    if (!out.checkpoints) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = put(c->arena, &found[i], &out.checkpoints[i], err);
        if (goes[i]) {
            MSG_SET(&out.checkpoints[i], CAIRN_V1_CHECKPOINT_HAS_GOES, goes, true);
        }
        out.checkpoints_n++;
    }
    return st ? st : answer(c, &cairn_v1_checkpoint_plan_answer_desc, &out, err);
}

static enum status delete_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_checkpoint_delete *in = c->in;
    struct checkpoint_delete *d = ARENA_NEW(c->arena, struct checkpoint_delete);

    if (!d) {
        return err_nomem(err);
    }
    if (in->checkpoints_n > CHECKPOINT_DELETE_MAX) {
        return err_field(err, ST_INVALID, "checkpoints", "at most %d checkpoints at once",
                         CHECKPOINT_DELETE_MAX);
    }
    checkpoint_delete_init(d, c->core, c->arena);
    d->run_id = call_capture(c, "run_id");
    d->n = in->checkpoints_n;
    d->paths = ARENA_ARRAY(c->arena, struct str, d->n + 1);
    d->digests = ARENA_ARRAY(c->arena, struct digest, d->n + 1);
    *op = &d->op;
    if (!d->paths || !d->digests) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < d->n; i++) {
        d->paths[i] = in->checkpoints[i].path;
        if (!digest_parse(in->checkpoints[i].digest, &d->digests[i])) {
            return err_field(err, ST_INVALID, "digest", "'%.*s' is no digest: 64 hex digits are",
                             STR_ARG(in->checkpoints[i].digest));
        }
    }
    return OK;
}

static enum status delete_finish(struct call *c, struct err *err)
{
    struct cairn_v1_checkpoint_delete_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_checkpoint_delete_answer);

    if (!out) {
        return err_nomem(err);
    }
    MSG_SET(out, CAIRN_V1_CHECKPOINT_DELETE_ANSWER_HAS_DELETED, deleted,
            WRITE_OP_OF(c->op, struct checkpoint_delete)->deleted);
    c->out = out;
    return OK;
}

#define PATH "/api/cairn/v1/runs/{run_id}/checkpoints"

const struct route native_checkpoint_routes[] = {
    ROUTE(HTTP_GET, PATH, &cairn_v1_checkpoint_list_desc, &cairn_v1_checkpoint_list_answer_desc,
          RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ, READ(list)),
    ROUTE(HTTP_GET, PATH "/files", &cairn_v1_checkpoint_files_desc,
          &cairn_v1_checkpoint_files_answer_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ,
          READ(files)),
    ROUTE(HTTP_GET, PATH "/plan", &cairn_v1_checkpoint_plan_desc,
          &cairn_v1_checkpoint_plan_answer_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ,
          READ(plan)),
    ROUTE(HTTP_POST, PATH "/delete", &cairn_v1_checkpoint_delete_desc,
          &cairn_v1_checkpoint_delete_answer_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_DELETE,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_WRITE, .start = delete_start,
                   .finish = delete_finish)),
};
const size_t native_checkpoint_routes_n = ARRAY_N(native_checkpoint_routes);
