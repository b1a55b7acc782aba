/* api/kubeflow/tongue.c - how errors look, what a number is, and the whole route table. */
#include "api/kubeflow/kubeflow_int.h"
#include "base/num.h"
#include "base/utf8.h"

static const char unprocessable[] = "Unprocessable Entity";

/* ---- errors ---------------------------------------------------------------------------------------------------------------- */

static int http_of(enum status st, const struct err *err)
{
    return err->code_name == unprocessable ? 422 : st == ST_EXISTS ? 409 : status_row(st)->http;
}

static const char *words_of(int http)
{
    static const struct {
        int http;
        const char *words;
    } rows[] = { { 400, "Bad Request" },
                 { 401, "Unauthorized" },
                 { 403, "Forbidden" },
                 { 404, "Not Found" },
                 { 405, "Method Not Allowed" },
                 { 409, "Conflict" },
                 { 413, "Request Entity Too Large" },
                 { 422, unprocessable },
                 { 429, "Too Many Requests" },
                 { 501, "Not Implemented" },
                 { 503, "Service Unavailable" },
                 { 504, "Gateway Timeout" } };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (rows[i].http == http) {
            return rows[i].words;
        }
    }
    return http >= 500 ? "Internal Server Error" : "Bad Request";
}

/* Clients print the message only: it names the field, and the hint is its second sentence. */
static void error(struct http_req *req, int http, enum status st, const struct err *err,
                  struct buf *body)
{
    struct str text = str_cstr(err->message), field = str_cstr(err->field);
    bool named = !field.n || str_find(text, field) != SIZE_MAX;
    struct kubeflow_error out = { 0 };
    struct str whole =
        arena_printf(req->arena, "%s%s%s%s%s%s%s", err->message, named ? "" : " (field ",
                     named ? "" : err->field, named ? "" : ")", err->hint[0] ? " (" : "", err->hint,
                     err->hint[0] ? ")" : "");

    (void)st;
    MSG_SET(&out, KUBEFLOW_ERROR_HAS_CODE, code, str_cstr(words_of(http)));
    MSG_SET(&out, KUBEFLOW_ERROR_HAS_MESSAGE, message, whole.p ? whole : text);
    http_type(req, "application/json");
    msg_encode_json(body, &kubeflow_error_desc, &out, 0);
}

enum status kf_missing(const char *field, struct err *err)
{
    err_field(err, ST_INVALID, field, "required field '%s' is missing", field);
    err->code_name = unprocessable;
    return ST_INVALID;
}

/* Paths of issues are in the words of the tables; clients write camelCase. */
static enum status issue(const struct msg_issue *i, struct arena *a, struct err *err)
{
    struct msg_issue own = *i;
    size_t n = 0;

    (void)a;
    for (size_t k = 0; i->path[k]; k++) {
        if (i->path[k] == '_' && i->path[k + 1] >= 'a' && i->path[k + 1] <= 'z') {
            own.path[n++] = (char)(i->path[++k] - 'a' + 'A');
        } else {
            own.path[n++] = i->path[k];
        }
    }
    own.path[n] = '\0';
    return i->kind == MSG_ISSUE_MISSING ? kf_missing(own.path, err) : msg_issue_err(&own, err);
}

const struct tongue kubeflow_tongue = {
    .name = "kubeflow",
    .decode_flags = MSG_IGNORE_UNKNOWN | MSG_CAMEL_OK | MSG_EMPTY_OK | MSG_REFUSE_DUPLICATES,
    .encode_flags = MSG_JSON_CAMEL,
    .issue = issue,
    .error = error,
    .http = http_of,
};

/* ---- numbers ------------------------------------------------------------------------------------------------------------------- */

enum status kf_id(struct str text, const char *field, int64_t *out, struct err *err)
{
    bool digits = text.n >= 1 && text.n <= 9 && text.p[0] != '0';

    for (size_t i = 0; digits && i < text.n; i++) {
        digits = text.p[i] >= '0' && text.p[i] <= '9';
    }
    if (!digits || !num_parse_i64(text, out)) {
        return err_field(err, ST_INVALID, field,
                         "%s '%.*s' is no number between 1 and %d, written in digits", field,
                         STR_ARG(utf8_prefix(text, 100)), CATALOG_ID_MAX);
    }
    return OK;
}

bool kf_is_v1(const struct call *c)
{
    return str_find(c->req->path, S(KF_PATH_V1 "/")) != SIZE_MAX;
}

enum status kf_path_id(const struct call *c, int64_t *out, struct err *err)
{
    return kf_id(call_capture(c, "id"), "id", out, err);
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------ */

enum status kubeflow_routes(struct router *r, const char *prefix, struct err *err)
{
    const struct {
        const struct route *rows;
        size_t n;
    } tables[] = { { kubeflow_model_routes, kubeflow_model_routes_n },
                   { kubeflow_artifact_routes, kubeflow_artifact_routes_n },
                   { kubeflow_serving_routes, kubeflow_serving_routes_n },
                   { kubeflow_run_routes, kubeflow_run_routes_n },
                   { kubeflow_tracking_routes, kubeflow_tracking_routes_n } };
    static const struct route_alias newer = { KF_PATH, KF_PATH_V1 };
    enum status st = OK;

    for (size_t i = 0; !st && i < ARRAY_N(tables); i++) {
        st = router_add(r, tables[i].rows, tables[i].n, &newer, 1, prefix, err);
    }
    return st;
}
