/* api/mlflow/tongue.c - how MLflow's bodies are read and its errors look, the server's own routes, and the whole table. */
#include "api/mlflow/mlflow_int.h"
#include "codec/json.h"
#include "core/artifact.h"

/* ---- errors ----------------------------------------------------------------------------------------------------------------- */

#define SEE_DOCS " See the API docs for more information about request parameters."

/* The offending value as Python's json.dumps prints it; a value that is text in a query stays as it is. */
static struct str value_text(const struct msg_issue *issue, struct arena *a)
{
    struct buf b = BUF_INIT(ERR_MESSAGE_MAX);
    struct str out = issue->value_json;
    struct err ignored;

    if (json_check(issue->value_json, JSON_BARE_NAN, 0, &ignored) == OK &&
        json_canonical(&b, issue->value_json, a, &ignored) == OK && !b.failed) {
        out = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return out;
}

/* A message inside a list is reported as a whole by its list's name, as the reference server does. */
static enum status issue(const struct msg_issue *i, struct arena *a, struct err *err)
{
    struct str value;

    switch (i->kind) {
    case MSG_ISSUE_MISSING:
        return err_field(err, ST_INVALID, i->path,
                         "Missing value for required parameter '%s'." SEE_DOCS, i->path);
    case MSG_ISSUE_TYPE:
    case MSG_ISSUE_RANGE:
        value = value_text(i, a);
        return err_field(
            err, ST_INVALID, i->path,
            "Invalid value %.*s for parameter '%s' supplied:  Hint: Value was of type '%s'." SEE_DOCS,
            STR_ARG(value), i->path, i->python_type ? i->python_type : "str");
    case MSG_ISSUE_TOO_LONG:
        return err_field(err, ST_INVALID, i->path,
                         "'%s' exceeds the maximum length of %u characters",
                         i->field && i->field->label ? i->field->label : i->path,
                         i->field ? i->field->max_len : 0);
    case MSG_ISSUE_BOOL:
        return err_field(err, ST_INVALID, i->path,
                         "Invalid boolean value: %.*s, must be 'true' or 'false'.",
                         STR_ARG(i->value_json));
    case MSG_ISSUE_DUPLICATE:
        if (i->value_json.n) {
            return err_field(err, ST_INVALID, i->path,
                             "Request specifies both '%.*s' and '%.*s'; provide only one of them.",
                             STR_ARG(i->field->name), STR_ARG(i->value_json));
        }
        break;
    case MSG_ISSUE_NONE:
    case MSG_ISSUE_SYNTAX:
    case MSG_ISSUE_TOO_MANY:
    case MSG_ISSUE_UNKNOWN:
    case MSG_ISSUE_DEPTH: break;
    }
    return msg_issue_err(i, err);
}

struct class_row {
    const char *code, *sqlstate, *class;
};

static const struct class_row *class_of(const char *code)
{
    static const struct class_row rows[] = {
        { "INVALID_PARAMETER_VALUE", "KAM00", "INVALID_PARAMETER_VALUE" },
        { "BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE" },
        { "RESOURCE_DOES_NOT_EXIST", "KAM00", "RESOURCE_NOT_FOUND" },
        { "NOT_FOUND", "KAM00", "RESOURCE_NOT_FOUND" },
        { "ENDPOINT_NOT_FOUND", "KAM00", "RESOURCE_NOT_FOUND" },
        { "RESOURCE_ALREADY_EXISTS", "KAM00", "RESOURCE_ALREADY_EXISTS" },
        { "PERMISSION_DENIED", "KAM00", "PERMISSION_DENIED" },
        { "FEATURE_DISABLED", "KAM00", "FEATURE_DISABLED" },
        { "INTERNAL_ERROR", "XXM00", "CLIENT_INTERNAL_ERROR" },
        { "INVALID_STATE", "XXM00", "CLIENT_INTERNAL_ERROR" },
        { "TEMPORARILY_UNAVAILABLE", "XXM00", "CLIENT_INTERNAL_ERROR" },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (strcmp(rows[i].code, code) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* MLflow's clients print nothing but the message, so the hint is its second sentence. */
static struct str message_of(struct http_req *req, const struct err *err)
{
    struct str text = str_cstr(err->message), whole;

    if (!err->hint[0]) {
        return text;
    }
    whole = arena_printf(req->arena, "%s (%s)", err->message, err->hint);
    return whole.p ? whole : text;
}

static void error(struct http_req *req, int http, enum status st, const struct err *err,
                  struct buf *body)
{
    const char *code = err->code_name ? err->code_name : status_row(st)->mlflow;
    const struct class_row *class = class_of(code);
    struct json_writer w = { .b = body, .ascii = true };

    (void)http;
    http_type(req, "application/json");
    json_w_object(&w);
    json_w_key(&w, S("error_code"));
    json_w_cstr(&w, code);
    json_w_key(&w, S("message"));
    json_w_str(&w, message_of(req, err));
    if (class) {
        json_w_key(&w, S("sqlstate"));
        json_w_cstr(&w, class->sqlstate);
        json_w_key(&w, S("error_class"));
        json_w_cstr(&w, class->class);
    }
    json_w_object_end(&w);
}

/* Workspaces are a feature of later work: a client that asks for one is told so, whatever the route. */
static enum status check(struct http_req *req, struct err *err)
{
    struct str workspace = http_header(req, S("x-mlflow-workspace"));

    if (!workspace.p || str_eq_lit(workspace, "default") || req->route->action == ACTION_PUBLIC) {
        return OK;
    }
    err_set(err, ST_INVALID, "workspaces are not enabled on this server: '%.*s' cannot be used",
            STR_ARG(workspace));
    err->code_name = "FEATURE_DISABLED";
    return ST_INVALID;
}

const struct tongue mlflow_tongue = {
    .name = "mlflow",
    .decode_flags = MSG_JSON_LENIENT,
    .encode_flags = MSG_JSON_MLFLOW,
    .json_type_required = true,
    .check = check,
    .issue = issue,
    .error = error,
};

/* ---- the server's own routes --------------------------------------------------------------------------------------------------- */

static enum status health(struct call *c, struct err *err)
{
    (void)err;
    buf_put_lit(&c->raw, "OK");
    c->raw_type = "text/plain; charset=utf-8";
    return OK;
}

static enum status version(struct call *c, struct err *err)
{
    (void)err;
    buf_put_lit(&c->raw, MLFLOW_EMULATED_VERSION);
    c->raw_type = "text/plain; charset=utf-8";
    return OK;
}

static enum status server_info(struct call *c, struct err *err)
{
    struct json_writer w = JSON_WRITER_INIT(&c->raw);

    (void)err;
    json_w_object(&w);
    json_w_key(&w, S("store_type"));
    json_w_cstr(&w, "SqlStore");
    json_w_key(&w, S("multipart_uploads_enabled"));
    json_w_bool(&w, c->api->serve_artifacts && artifact_direct_is_on(c->core));
    json_w_key(&w, S("multipart_downloads_enabled"));
    json_w_bool(&w, c->api->serve_artifacts && artifact_direct_is_on(c->core));
    json_w_key(&w, S("workspaces_enabled"));
    json_w_bool(&w, false);
    json_w_key(&w, S("cairn_version"));
    json_w_cstr(&w, CAIRN_VERSION);
    json_w_object_end(&w);
    c->raw_type = "application/json";
    return OK;
}

const struct route mlflow_server_routes[] = {
    ROUTE(HTTP_GET, "/health", NULL, NULL, RESOURCE_SERVER, ACTION_PUBLIC, DIRECT(health)),
    ROUTE(HTTP_GET, "/version", NULL, NULL, RESOURCE_SERVER, ACTION_PUBLIC, DIRECT(version)),
    ROUTE(HTTP_GET, "/api/3.0/mlflow/server-info", NULL, NULL, RESOURCE_SERVER, ACTION_PUBLIC,
          DIRECT(server_info)),
};
const size_t mlflow_server_routes_n = ARRAY_N(mlflow_server_routes);

enum status mlflow_routes(struct router *r, const char *prefix, struct err *err)
{
    static const struct route_alias aliases[] = { { "/api/2.0", "/ajax-api/2.0" },
                                                  { "/api/3.0", "/ajax-api/3.0" } };
    const struct {
        const struct route *rows;
        size_t n;
    } tables[] = {
        { mlflow_server_routes, mlflow_server_routes_n },
        { mlflow_experiment_routes, mlflow_experiment_routes_n },
        { mlflow_run_routes, mlflow_run_routes_n },
        { mlflow_metric_routes, mlflow_metric_routes_n },
        { mlflow_model_routes, mlflow_model_routes_n },
        { mlflow_registry_routes, mlflow_registry_routes_n },
        { mlflow_artifact_routes, mlflow_artifact_routes_n },
        { mlflow_direct_routes, mlflow_direct_routes_n },
    };
    enum status st = OK;

    for (size_t i = 0; !st && i < ARRAY_N(tables); i++) {
        st = router_add(r, tables[i].rows, tables[i].n, aliases, ARRAY_N(aliases), prefix, err);
    }
    return st;
}
