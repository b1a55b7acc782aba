/* import/mlmd_runs.c - executions of ML Metadata as runs of an experiment, where somebody asks for it: the run beside the execution, with
 * its name, state, times, properties as params, and its links. Which execution is which run is remembered by the server. */
#include "base/hash.h"
#include "client/http.h"
#include "codec/json.h"
#include "gen/mlmd/mlmd.h"
#include "import/mlmd_int.h"
#include "import/wire.h"
#include <inttypes.h>
#include <stdio.h>

#define API "/api/2.0/mlflow/"

enum { BODY_MAX = 4 << 20, KEY_MAX = 250, VALUE_MAX = 6000, PARAMS = 100 };

/* ---- requests ------------------------------------------------------------------------------------------------------------------ */

static enum status post(struct cli *cli, const char *path, struct buf *body, struct jv **out,
                        struct err *err)
{
    enum status st = buf_status(body, "request", err);

    st = st ? st : api_call(cli, "POST", path, buf_str(body), out, err);
    buf_release(body);
    return st;
}

static void put_pair(struct json_writer *w, const char *key, struct str value)
{
    json_w_object(w);
    json_w_key(w, S("key"));
    json_w_cstr(w, key);
    json_w_key(w, S("value"));
    json_w_str(w, value);
    json_w_object_end(w);
}

/* The same request for the same run within a day gives the same run, also when its answer was lost. */
static enum status post_once(struct cli *cli, const char *path, struct buf *body, int64_t number,
                             struct jv **out, struct err *err)
{
    char key[80];
    const char *const fields[] = { key, NULL };
    struct client_request req = { .method = "POST", .body = buf_str(body), .fields = fields };
    struct client_answer answer;
    enum status st = buf_status(body, "request", err);

    snprintf(key, sizeof(key), "Idempotency-Key: import-mlmd-%" PRId64 "-%08x", number,
             crc32c(0, body->p, body->n));
    st = st ? st : api_ask(cli, &req, path, &answer, err);
    if (!st && answer.status / 100 != 2) {
        st = api_answer_error(cli, &answer, err);
    }
    buf_release(body);
    return st ? st : jv_parse(answer.body, cli->arena, out, err);
}

enum status mlmd_runs_experiment(struct cli *cli, const char *name, struct str *id, struct err *err)
{
    const char *const pairs[] = { "experiment_name", name, NULL };
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *out = NULL;
    enum status st = api_get(cli, API "experiments/get-by-name", pairs, &out, err);

    if (!st) {
        *id = jv_text(jv_get(out, "experiment"), "experiment_id");
        return OK;
    }
    if (st != ST_NOT_FOUND) {
        return st;
    }
    json_w_object(&w);
    json_w_key(&w, S("name"));
    json_w_cstr(&w, name);
    json_w_object_end(&w);
    st = post(cli, API "experiments/create", &body, &out, err);
    *id = st ? S("") : jv_text(out, "experiment_id");
    return st;
}

/* ---- values as texts -------------------------------------------------------------------------------------------------------------- */

/* *is_text: false for a value that is no text, a message of somebody's. */
static enum status value_text(struct arena *a, const struct ml_metadata_value *v, struct buf *b,
                              bool *is_text, struct err *err)
{
    uint64_t has = v ? v->has : 0;
    struct json_writer w = JSON_WRITER_INIT(b);
    struct str object;
    enum status st = OK;

    *is_text = true;
    if (has & ML_METADATA_VALUE_HAS_STRING_VALUE) {
        buf_put_str(b, v->string_value);
    } else if (has & ML_METADATA_VALUE_HAS_INT_VALUE) {
        buf_printf(b, "%" PRId64, v->int_value);
    } else if (has & ML_METADATA_VALUE_HAS_DOUBLE_VALUE) {
        json_w_double(&w, v->double_value);
    } else if (has & ML_METADATA_VALUE_HAS_BOOL_VALUE) {
        buf_put_cstr(b, v->bool_value ? "True" : "False");
    } else if (has & ML_METADATA_VALUE_HAS_STRUCT_VALUE) {
        st = msg_struct_json(a, &ml_metadata_struct_desc, v->struct_value, 0, &object, err);
        if (!st) buf_put_str(b, object);
    } else {
        *is_text = false;
    }
    return st;
}

/* A name that a param may have: what else stands in it becomes '_'. */
static const char *param_name(struct str key, char out[KEY_MAX + 1])
{
    size_t n = MIN_OF(key.n, (size_t)KEY_MAX);

    for (size_t i = 0; i < n; i++) {
        char c = key.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || c == '.' || c == ' ' || c == ':';

        out[i] = plain ? c : '_';
    }
    out[n] = '\0';
    return out;
}

/* ---- one run ------------------------------------------------------------------------------------------------------------------------ */

static const char *status_of(const struct ml_metadata_execution *x, bool *ended)
{
    *ended = true;
    switch (x->last_known_state) {
    case ML_METADATA_EXECUTION_STATE_COMPLETE:
    case ML_METADATA_EXECUTION_STATE_CACHED: return "FINISHED";
    case ML_METADATA_EXECUTION_STATE_FAILED: return "FAILED";
    case ML_METADATA_EXECUTION_STATE_CANCELED: return "KILLED";
    default: break;
    }
    *ended = false;
    return x->last_known_state == ML_METADATA_EXECUTION_STATE_RUNNING ? "RUNNING" : "SCHEDULED";
}

static enum status create(struct mlmd_runs *r, struct cli *cli,
                          const struct ml_metadata_execution *x, struct str *run, struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct str number = arena_printf(cli->arena, "%" PRId64, x->id);
    struct str name = x->name.n
                          ? x->name
                          : arena_printf(cli->arena, "%.*s %" PRId64,
                                         STR_ARG(x->type.n ? x->type : S("execution")), x->id);
    struct jv *out = NULL;
    enum status st;

    json_w_object(&w);
    json_w_key(&w, S("experiment_id"));
    json_w_str(&w, r->experiment);
    json_w_key(&w, S("run_name"));
    json_w_str(&w, name);
    json_w_key(&w, S("start_time"));
    json_w_i64(&w, x->create_time_since_epoch);
    json_w_key(&w, S("tags"));
    json_w_array(&w);
    put_pair(&w, "mlmd.source", str_cstr(r->source));
    put_pair(&w, "mlmd.execution", number);
    if (x->type.n) put_pair(&w, "mlmd.type", x->type);
    json_w_array_end(&w);
    json_w_object_end(&w);
    st = post_once(cli, API "runs/create", &body, x->id, &out, err);
    *run = st ? S("") : jv_text(jv_get(jv_get(out, "run"), "info"), "run_id");
    return st;
}

struct param {
    struct str name, value;
};
struct params {
    struct param p[PARAMS];
    size_t n;
};

/* What the server would refuse with everything beside it: a name that is no path, or that is there. NULL: nothing. */
static const char *refused(const struct params *to, struct str name)
{
    if (!name.n || str_eq_lit(name, ".") || str_starts(name, S(".."))) {
        return "its name is none that a param may have";
    }
    for (size_t i = 0; i < to->n; i++) {
        if (str_eq(to->p[i].name, name)) {
            return "another one has its name";
        }
    }
    return to->n == PARAMS ? "it is one of more than 100" : NULL;
}

static enum status add_params(struct mlmd_runs *r, struct arena *a, int64_t number,
                              const struct ml_metadata_property_entry *e, size_t n,
                              struct params *to, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        char name[KEY_MAX + 1];
        struct buf text = BUF_INIT(BODY_MAX);
        struct param p = { .name = arena_str(a, str_cstr(param_name(e[i].key, name))) };
        bool is_text;
        const char *why;
        struct str said;

        st = value_text(a, e[i].value, &text, &is_text, err);
        why = text.n > VALUE_MAX || text.failed ? "it is too long"
              : !is_text                        ? "it is no text"
                                                : refused(to, p.name);
        if (st) {
            buf_release(&text);
            return st;
        }
        if (why) {
            said = arena_printf(a, "property %s is no param of the run: %s", name, why);
            mlmd_report_skip(r->report, CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_RUNS, number,
                             said.p ? said : str_cstr(why));
        } else {
            p.value = arena_str(a, buf_str(&text));
            to->p[to->n++] = p;
            st = p.value.p || !text.n ? OK : err_nomem(err);
        }
        st = p.name.p ? st : err_nomem(err);
        buf_release(&text);
    }
    return st;
}

static enum status log_batch(struct cli *cli, struct str run, const struct param *p, size_t n,
                             struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *out = NULL;

    json_w_object(&w);
    json_w_key(&w, S("run_id"));
    json_w_str(&w, run);
    json_w_key(&w, S("params"));
    json_w_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_w_object(&w);
        json_w_key(&w, S("key"));
        json_w_str(&w, p[i].name);
        json_w_key(&w, S("value"));
        json_w_str(&w, p[i].value);
        json_w_object_end(&w);
    }
    json_w_array_end(&w);
    json_w_object_end(&w);
    return post(cli, API "runs/log-batch", &body, &out, err);
}

/* Params that the server refuses together are halved until the one at fault is alone. */
static enum status log_params(struct mlmd_runs *r, struct cli *cli, int64_t number, struct str run,
                              const struct param *p, size_t n, struct err *err)
{
    enum status st = n ? log_batch(cli, run, p, n, err) : OK;

    if (st != ST_INVALID && st != ST_BAD_REQUEST && st != ST_EXISTS) {
        return st;
    }
    if (n == 1) {
        mlmd_report_skip(r->report, CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_RUNS, number,
                         str_cstr(err->message));
        return OK;
    }
    st = log_params(r, cli, number, run, p, n / 2, err);
    return st ? st : log_params(r, cli, number, run, p + n / 2, n - n / 2, err);
}

static enum status put_params(struct mlmd_runs *r, struct cli *cli,
                              const struct ml_metadata_execution *x, struct str run,
                              struct err *err)
{
    struct params *to = ARENA_NEW(cli->arena, struct params);
    enum status st = OK;

    if (!to) {
        return err_nomem(err);
    }
    st = add_params(r, cli->arena, x->id, x->properties, x->properties_n, to, err);
    st = st ? st
            : add_params(r, cli->arena, x->id, x->custom_properties, x->custom_properties_n, to,
                         err);
    return st ? st : log_params(r, cli, x->id, run, to->p, to->n, err);
}

static enum status update(struct cli *cli, const struct ml_metadata_execution *x, struct str run,
                          struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *out = NULL;
    bool ended;

    json_w_object(&w);
    json_w_key(&w, S("run_id"));
    json_w_str(&w, run);
    json_w_key(&w, S("status"));
    json_w_cstr(&w, status_of(x, &ended));
    if (ended) {
        json_w_key(&w, S("end_time"));
        json_w_i64(&w, x->last_update_time_since_epoch);
    }
    json_w_object_end(&w);
    return post(cli, API "runs/update", &body, &out, err);
}

enum status mlmd_runs_put(struct mlmd_runs *r, struct arena *a, struct str row, struct str *run,
                          struct err *err)
{
    struct cli cli = *r->cli; /* answers lie in the arena of the page */
    struct ml_metadata_execution x;
    struct msg_ctx ctx = { .arena = a };
    bool made = run->n == 0;
    enum status st = msg_decode_pb(&ml_metadata_execution_desc, &x, row, &ctx, err);

    cli.arena = a;
    st = st || !made ? st : create(r, &cli, &x, run, err);
    if (st) {
        return st;
    }
    st = !made ? OK : put_params(r, &cli, &x, *run, err);
    st = st ? st : update(&cli, &x, *run, err);
    if (st == ST_INVALID || st == ST_NOT_FOUND) { /* somebody has deleted it */
        mlmd_report_skip(r->report, CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_RUNS, x.id,
                         str_cstr(err->message));
        *run = S("");
        st = OK;
    }
    return st;
}
