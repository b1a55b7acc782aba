/* engine/emit_event.c - see emit_event.h. Facets are written in the versions that the table of their names says. */
#include "engine/emit_event.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "core/dataset.h"
#include "core/experiment.h"
#include "core/logged_model.h"
#include "core/model_source.h"
#include "core/registry.h"
#include "engine/emit_int.h"

#include <stdio.h>

#define SPEC        "https://openlineage.io/spec/"
#define TIME_MAX_MS ((int64_t)253402300799999) /* the year 9999 ends */

/* ---- names --------------------------------------------------------------------------------------------------------------------- */

void emit_run_id(struct str run_id, char out[37])
{
    static const size_t groups[] = { 8, 4, 4, 4, 12 };
    char hex[65];
    struct digest d;
    size_t n = 0, at = 0;

    for (size_t i = 0; i < run_id.n && n <= 32; i++) {
        char c = run_id.p[i];

        if (c == '-' && run_id.n == 36) continue;
        if (c >= 'A' && c <= 'F') c = (char)(c - 'A' + 'a');
        n = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ? n : 64;
        if (n < 32) hex[n] = c;
        n++;
    }
    if (n != 32) {
        if (!sha256_of(run_id.p, run_id.n, &d)) memset(&d, 0, sizeof(d));
        id_hex(&d, 16, hex);
        hex[12] =
            '8'; /* version 8: made from a name, by another function than those of the standard */
        hex[16] = "89ab"[(hex[16] >= 'a' ? hex[16] - 'a' + 2 : hex[16] - '0') & 3];
    }
    for (size_t g = 0, from = 0; g < ARRAY_N(groups); from += groups[g++]) {
        if (g > 0) out[at++] = '-';
        memcpy(out + at, hex + from, groups[g]);
        at += groups[g];
    }
    out[36] = 0;
}

static struct str scheme_of(struct str uri)
{
    size_t n = 0;

    while (n < uri.n && n < 32 &&
           ((uri.p[n] >= 'a' && uri.p[n] <= 'z') || (uri.p[n] >= '0' && uri.p[n] <= '9') ||
            uri.p[n] == '+' || uri.p[n] == '-' || uri.p[n] == '.')) {
        n++;
    }
    return n > 1 && n < uri.n && uri.p[n] == ':' ? str_sub(uri, 0, n) : S("");
}

static bool keeps_slash(struct str scheme)
{
    return str_eq_lit(scheme, "hdfs") || str_eq_lit(scheme, "dbfs") || str_eq_lit(scheme, "http") ||
           str_eq_lit(scheme, "https");
}

static bool split_uri(struct arena *a, struct str uri, struct emit_name *out)
{
    struct str scheme, rest, host;
    size_t slash, at;

    if (!source_redact(a, &uri)) return false;
    scheme = scheme_of(uri);
    if (uri.n > 0 && uri.p[0] == '/') {
        *out = (struct emit_name){ S("file"), uri };
        return true;
    }
    if (scheme.n == 0) return false;
    rest = str_sub(uri, scheme.n + 1, uri.n);
    if (!str_starts(rest, S("//"))) { /* file:/x, dbfs:/x */
        if (rest.n < 2 || rest.p[0] != '/') return false;
        *out = (struct emit_name){ scheme, rest };
        return true;
    }
    rest = str_sub(rest, 2, rest.n);
    slash = str_find_byte(rest, '/', 0);
    if (slash == SIZE_MAX) slash = rest.n;
    host = str_sub(rest, 0, slash);
    rest = str_sub(rest, slash, rest.n);
    /* Who may read it is nobody else's to know. What stands before the @ of a container is its name. */
    for (at = host.n; at > 0 && host.p[at - 1] != '@';) {
        at--;
    }
    if (!str_starts(scheme, S("abfs")) && !str_starts(scheme, S("wasb"))) {
        host = str_sub(host, at, host.n);
    }
    if (str_eq_lit(scheme, "file") && (host.n == 0 || str_eq_lit(host, "localhost"))) {
        *out = (struct emit_name){ S("file"), rest };
        return rest.n > 0;
    }
    if (str_eq_lit(scheme, "s3a") || str_eq_lit(scheme, "s3n")) scheme = S("s3");
    if (rest.n > 1 && !keeps_slash(scheme) && !str_eq_lit(scheme, "file")) {
        rest = str_sub(rest, 1, rest.n);
    }
    out->ns = arena_printf(a, "%.*s://%.*s", STR_ARG(scheme), STR_ARG(host));
    out->name = rest.n > 0 ? rest : S("/");
    return out->ns.p && host.n > 0;
}

struct str emit_place_uri(struct arena *a, const struct emit_name *at)
{
    const char *between = str_find(at->ns, S("://")) == SIZE_MAX
                              ? (str_eq_lit(at->ns, "file") ? "://" : ":")
                          : at->name.p[0] == '/' ? ""
                                                 : "/";

    return arena_printf(a, "%.*s%s%.*s", STR_ARG(at->ns), between, STR_ARG(at->name));
}

bool emit_place(struct arena *a, struct str source, struct emit_name *out)
{
    struct json_reader r;
    enum json_event ev;
    struct str found = { NULL, 0 };
    bool wanted = false;

    source = str_trim(source);
    if (source.n == 0) return false;
    if (source.p[0] != '{') return split_uri(a, source, out);
    json_init(&r, source, 0, 16);
    while (!found.p && (ev = json_next(&r)) > JSON_EV_END) {
        if (ev == JSON_EV_KEY && r.depth == 1) {
            wanted =
                str_eq_lit(r.raw, "uri") || str_eq_lit(r.raw, "url") || str_eq_lit(r.raw, "path");
            if (!wanted && json_skip(&r) == JSON_EV_ERROR) break;
        } else if (ev == JSON_EV_STRING && wanted) {
            found = json_text(&r, a);
            wanted = false;
        } else if (ev == JSON_EV_ARRAY || (ev == JSON_EV_OBJECT && r.depth > 1)) {
            if (json_skip(&r) == JSON_EV_ERROR) break;
        }
    }
    json_release(&r);
    return found.p && split_uri(a, found, out);
}

/* ---- pieces ---------------------------------------------------------------------------------------------------------------------- */

void emit_member(struct json_writer *w, const char *key, struct str value)
{
    json_w_key(w, str_cstr(key));
    json_w_str(w, value);
}

void emit_facet(struct json_writer *w, const char *key, const char *version, const char *name)
{
    char url[160];
    int n = snprintf(url, sizeof(url), SPEC "facets/%s/%s.json#/$defs/%s", version, name, name);

    json_w_key(w, str_cstr(key));
    json_w_object(w);
    emit_member(w, "_producer", S(EMIT_PRODUCER));
    emit_member(w, "_schemaURL", str_of(url, (size_t)n));
}

void emit_begin(struct json_writer *w, const char *kind, const char *type, int64_t ms)
{
    char when[32], url[96];
    int n = snprintf(url, sizeof(url), SPEC "2-0-2/OpenLineage.json#/$defs/%s", kind);

    clock_rfc3339(MIN_OF(MAX_OF(ms, (int64_t)0), TIME_MAX_MS), when);
    json_w_object(w);
    if (type) emit_member(w, "eventType", str_cstr(type));
    emit_member(w, "eventTime", str_cstr(when));
    emit_member(w, "producer", S(EMIT_PRODUCER));
    emit_member(w, "schemaURL", str_of(url, (size_t)n));
}

/* At most EMIT_VALUE_MAX bytes, whole characters. */
static struct str shortened(struct str s)
{
    if (s.n > EMIT_VALUE_MAX) {
        s.n = EMIT_VALUE_MAX;
        while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
            s.n--;
    }
    return s;
}

/* What a URI may not hold is escaped; what is escaped stays so. */
static struct str as_uri(struct arena *a, const char *before, struct str s)
{
    struct buf b = BUF_INIT(EMIT_VALUE_MAX * 4);
    struct str out = { NULL, 0 };

    buf_put_cstr(&b, before);
    s = shortened(s);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`{|}", c)) {
            buf_printf(&b, "%%%02X", c);
        } else {
            buf_put_u8(&b, c);
        }
    }
    if (!b.failed) out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out.p ? out : S("urn:unknown");
}

/* HOST:PATH with a user before it, as git and ssh write it: where the path begins; 0 = it is something else. */
static size_t path_of_scp(struct str s)
{
    size_t at = str_find_byte(s, '@', 0), colon = str_find_byte(s, ':', 0);

    if (at == SIZE_MAX || colon == SIZE_MAX || at == 0 || at > colon) return 0;
    return str_find_byte(str_sub(s, 0, colon), '/', 0) == SIZE_MAX ? colon + 1 : 0;
}

struct str emit_uri(struct arena *a, struct str place)
{
    size_t path;

    if (!source_redact(a, &place)) return S("urn:unknown");
    if (scheme_of(place).n) return as_uri(a, "", place);
    path = path_of_scp(place);
    if (path) {
        bool slash = path < place.n && place.p[path] == '/';

        place = arena_printf(a, "%.*s%s%.*s", STR_ARG(str_sub(place, 0, path - 1)),
                             slash ? "" : "/", STR_ARG(str_sub(place, path, place.n)));
        return place.p ? as_uri(a, "ssh://", place) : S("urn:unknown");
    }
    return as_uri(a, "file:", place);
}

void emit_job(struct json_writer *w, struct str ns, struct str name)
{
    json_w_key(w, S("job"));
    json_w_object(w);
    emit_member(w, "namespace", ns);
    emit_member(w, "name", name);
}

void emit_job_type(struct json_writer *w, const char *type)
{
    emit_facet(w, "jobType", "2-0-4", "JobTypeJobFacet");
    emit_member(w, "processingType", S("BATCH"));
    emit_member(w, "integration", S("CAIRN"));
    emit_member(w, "jobType", str_cstr(type));
    json_w_object_end(w);
}

void emit_run_ref(struct json_writer *w, struct str run_id)
{
    char id[37];

    emit_run_id(run_id, id);
    json_w_key(w, S("run"));
    json_w_object(w);
    emit_member(w, "runId", str_cstr(id));
}

void emit_engine(struct json_writer *w)
{
    emit_facet(w, "processing_engine", "1-1-1", "ProcessingEngineRunFacet");
    emit_member(w, "version", S(CAIRN_VERSION));
    emit_member(w, "name", S("cairn"));
    emit_member(w, "openlineageAdapterVersion", S(CAIRN_VERSION));
    json_w_object_end(w);
}

void emit_dataset(struct json_writer *w, struct str ns, struct str name)
{
    json_w_object(w);
    emit_member(w, "namespace", ns);
    emit_member(w, "name", name);
    json_w_key(w, S("facets"));
    json_w_object(w);
}

void emit_dataset_end(struct json_writer *w)
{
    json_w_object_end(w);
    json_w_object_end(w);
}

void emit_version(struct json_writer *w, struct str version)
{
    if (version.n == 0) return;
    emit_facet(w, "version", "1-0-1", "DatasetVersionDatasetFacet");
    emit_member(w, "datasetVersion", version);
    json_w_object_end(w);
}

void emit_source(struct json_writer *w, struct arena *a, struct str name, struct str uri)
{
    if (uri.n == 0) return;
    emit_facet(w, "dataSource", "1-0-1", "DatasourceDatasetFacet");
    emit_member(w, "name", name.n ? name : S("uri"));
    emit_member(w, "uri", emit_uri(a, uri));
    json_w_object_end(w);
}

void emit_type(struct json_writer *w, const char *type, const char *sub)
{
    emit_facet(w, "datasetType", "1-0-1", "DatasetTypeDatasetFacet");
    emit_member(w, "datasetType", str_cstr(type));
    if (sub) emit_member(w, "subType", str_cstr(sub));
    json_w_object_end(w);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------ */

static struct str tag(const struct run_view *run, const char *key)
{
    const struct str *s = run_view_tag(run, str_cstr(key));

    return s ? *s : S("");
}

static enum status experiment_name(struct view *v, int64_t id, struct str *out, struct err *err)
{
    struct experiment x;
    enum status st = experiment_get(v, id, &x, err);

    *out = st ? S("") : x.name;
    if (st == ST_NOT_FOUND) {
        *out = arena_printf(v->arena, "experiment %lld", (long long)id);
        err_clear(err);
        return out->p ? OK : err_nomem(err);
    }
    return st;
}

static enum status parent_of(struct view *v, struct str id, struct run_view *out, bool *found,
                             struct err *err)
{
    enum status st = run_get(v, id, out, err);

    *found = st == OK;
    if (st == ST_NOT_FOUND) {
        err_clear(err);
        return OK;
    }
    return st;
}

static void run_and_job(struct json_writer *w, struct str run_id, struct str ns, struct str job)
{
    emit_run_ref(w, run_id);
    json_w_object_end(w);
    emit_job(w, ns, job);
    json_w_object_end(w);
}

/* The run that it is nested in, and the one at the beginning. */
static enum status put_parent(struct json_writer *w, struct view *v, struct str ns,
                              const struct run_view *run, struct str job, struct err *err)
{
    struct str id = tag(run, "mlflow.parentRunId"), parent = id, root, parent_job = job,
               root_job = job;
    enum status st = OK;
    bool found = true;

    if (id.n == 0 || str_eq(id, run->run_id)) return OK;
    root = id;
    for (int i = 0; i < EMIT_ROOT_MAX && found && id.n > 0; i++) {
        struct run_view up;

        st = parent_of(v, id, &up, &found, err);
        if (st || !found) break;
        st = experiment_name(v, up.experiment, &root_job, err);
        if (st) return st;
        if (i == 0) parent_job = root_job;
        root = id;
        id = tag(&up, "mlflow.parentRunId");
        if (str_eq(id, root)) break;
    }
    if (st) return st;
    emit_facet(w, "parent", "1-2-0", "ParentRunFacet");
    run_and_job(w, parent, ns, parent_job);
    json_w_key(w, S("root"));
    json_w_object(w);
    run_and_job(w, root, ns, root_job);
    json_w_object_end(w);
    json_w_object_end(w);
    return OK;
}

static void put_params(struct json_writer *w, const struct run_view *run)
{
    if (run->params_n == 0) return;
    emit_facet(w, "executionParameters", "1-0-0", "ExecutionParametersRunFacet");
    json_w_key(w, S("parameters"));
    json_w_array(w);
    for (size_t i = 0; i < MIN_OF(run->params_n, (size_t)EMIT_LIST_MAX); i++) {
        json_w_object(w);
        emit_member(w, "key", run->params[i].key);
        emit_member(w, "name", run->params[i].key);
        emit_member(w, "value", shortened(run->params[i].value));
        json_w_object_end(w);
    }
    json_w_array_end(w);
    json_w_object_end(w);
}

/* Tags of users: what MLflow notes about itself in tags is in other facets. */
static void put_tags(struct json_writer *w, const struct run_view *run)
{
    size_t n = 0;

    for (size_t i = 0; i < run->tags_n && n < EMIT_LIST_MAX; i++) {
        if (str_starts(run->tags[i].key, S("mlflow.")) &&
            !str_eq_lit(run->tags[i].key, "mlflow.runName")) {
            continue;
        }
        if (n++ == 0) {
            emit_facet(w, "tags", "1-0-0", "TagsRunFacet");
            json_w_key(w, S("tags"));
            json_w_array(w);
        }
        json_w_object(w);
        emit_member(w, "key", run->tags[i].key);
        emit_member(w, "value", shortened(run->tags[i].value));
        emit_member(w, "source", S("MLFLOW"));
        json_w_object_end(w);
    }
    if (n > 0) {
        json_w_array_end(w);
        json_w_object_end(w);
    }
}

static void put_source_code(struct json_writer *w, struct arena *a, const struct run_view *run)
{
    struct str name = tag(run, "mlflow.source.name"), repo = tag(run, "mlflow.source.git.repoURL"),
               commit = tag(run, "mlflow.source.git.commit"),
               branch = tag(run, "mlflow.source.git.branch"), place = repo.n ? repo : name;

    if (place.n == 0) return;
    if (!source_redact(a, &repo)) repo = S("");
    if (!source_redact(a, &name)) name = S("");
    emit_facet(w, "sourceCodeLocation", "1-1-0", "SourceCodeLocationJobFacet");
    emit_member(w, "type", repo.n || commit.n ? S("git") : S("file"));
    emit_member(w, "url", emit_uri(a, place));
    if (repo.n) emit_member(w, "repoUrl", repo);
    if (name.n) emit_member(w, "path", name);
    if (commit.n) emit_member(w, "version", commit);
    if (branch.n) emit_member(w, "branch", branch);
    json_w_object_end(w);
}

static void put_job_facets(struct json_writer *w, struct arena *a, const struct run_view *run)
{
    json_w_key(w, S("facets"));
    json_w_object(w);
    emit_job_type(w, "RUN");
    put_source_code(w, a, run);
    if (run->user_id.n) {
        emit_facet(w, "ownership", "1-0-1", "OwnershipJobFacet");
        json_w_key(w, S("owners"));
        json_w_array(w);
        json_w_object(w);
        emit_member(w, "name", run->user_id);
        emit_member(w, "type", S("USER"));
        json_w_object_end(w);
        json_w_array_end(w);
        json_w_object_end(w);
    }
    json_w_object_end(w);
}

/* {"mlflow_colspec": [{"name": ..., "type": ...}, ...]}; anything else is no table. */
static void put_schema(struct json_writer *w, struct arena *a, struct str text)
{
    struct json_reader r;
    enum json_event ev;
    struct str name = { NULL, 0 }, type = { NULL, 0 }, *to = NULL;
    struct err ignored = ERR_INIT;
    size_t n = 0;

    if (str_find(text, S("mlflow_colspec")) == SIZE_MAX || json_check(text, 0, 32, &ignored)) {
        return;
    }
    json_init(&r, text, 0, 32);
    while ((ev = json_next(&r)) > JSON_EV_END && n < EMIT_FIELDS_MAX) {
        if (ev == JSON_EV_KEY && r.depth == 1 && !str_eq_lit(r.raw, "mlflow_colspec")) {
            if (json_skip(&r) == JSON_EV_ERROR) break;
        } else if (ev == JSON_EV_OBJECT && r.depth == 3) {
            name = type = (struct str){ NULL, 0 };
        } else if (ev == JSON_EV_KEY && r.depth == 3) {
            to = str_eq_lit(r.raw, "name") ? &name : str_eq_lit(r.raw, "type") ? &type : NULL;
            if (!to && json_skip(&r) == JSON_EV_ERROR) break;
        } else if (ev == JSON_EV_STRING && r.depth == 3 && to) {
            *to = json_text(&r, a);
        } else if (ev == JSON_EV_OBJECT_END && r.depth == 2 && name.p) {
            if (n++ == 0) {
                emit_facet(w, "schema", "1-2-0", "SchemaDatasetFacet");
                json_w_key(w, S("fields"));
                json_w_array(w);
            }
            json_w_object(w);
            emit_member(w, "name", name);
            if (type.p) emit_member(w, "type", type);
            json_w_object_end(w);
        }
    }
    json_release(&r);
    if (n > 0) {
        json_w_array_end(w);
        json_w_object_end(w);
    }
}

static enum status put_model(struct json_writer *w, struct view *v, struct str ns,
                             struct str model_id, struct err *err)
{
    struct logged_model m;
    struct str experiment, name;
    enum status st = logged_model_get(v, model_id, true, &m, err);

    if (st == ST_NOT_FOUND) {
        err_clear(err);
        return OK;
    }
    if (!st) st = experiment_name(v, m.experiment, &experiment, err);
    if (st) return st;
    name = arena_printf(v->arena, "logged-models:/%.*s/%.*s", STR_ARG(experiment), STR_ARG(m.name));
    if (!name.p) return err_nomem(err);
    emit_dataset(w, ns, name);
    emit_version(w, m.model_id);
    emit_type(w, "MODEL", "LOGGED_MODEL");
    emit_source(w, v->arena, S("mlflow"), m.artifact_uri);
    emit_dataset_end(w);
    return OK;
}

static enum status put_inputs(struct json_writer *w, struct view *v, struct str ns, int64_t uid,
                              struct err *err)
{
    struct dataset_input *sets = NULL;
    struct str *models = NULL;
    size_t sets_n = 0, models_n = 0;
    enum status st = dataset_places_of_run(v, uid, EMIT_LIST_MAX, &sets, &sets_n, err);

    if (!st) st = model_inputs_of_run(v, uid, EMIT_LIST_MAX, &models, &models_n, err);
    if (st) return st;
    json_w_key(w, S("inputs"));
    json_w_array(w);
    for (size_t i = 0; i < sets_n; i++) {
        struct emit_name at;
        bool placed = emit_place(v->arena, sets[i].source, &at);
        struct str uri = { NULL, 0 };

        if (!placed) {
            at.ns = ns;
            at.name = arena_printf(v->arena, "datasets:/%.*s", STR_ARG(sets[i].name));
        } else {
            uri = emit_place_uri(v->arena, &at);
        }
        if (!at.name.p || (placed && !uri.p)) return err_nomem(err);
        emit_dataset(w, at.ns, at.name);
        emit_version(w, sets[i].digest);
        emit_source(w, v->arena, sets[i].name, uri);
        put_schema(w, v->arena, sets[i].schema);
        emit_dataset_end(w);
    }
    for (size_t i = 0; i < models_n && !st; i++) {
        st = put_model(w, v, ns, models[i], err);
    }
    json_w_array_end(w);
    return st;
}

static enum status put_version(struct json_writer *w, struct view *v, struct str ns,
                               struct str model, int64_t version, struct str place, struct err *err)
{
    struct str name = arena_printf(v->arena, "models:/%.*s", STR_ARG(model)),
               number = arena_printf(v->arena, "%lld", (long long)version);

    if (!name.p || !number.p) return err_nomem(err);
    emit_dataset(w, ns, name);
    emit_version(w, number);
    emit_type(w, "MODEL", "REGISTERED_MODEL");
    emit_source(w, v->arena, S("mlflow"), place);
    emit_dataset_end(w);
    return OK;
}

static enum status put_outputs(struct json_writer *w, struct view *v, struct str ns,
                               const struct run_view *run, const struct model_version *extra,
                               struct err *err)
{
    struct model_output *models = NULL;
    size_t n = 0;
    enum status st = model_outputs_of_run(v, run->uid, EMIT_LIST_MAX, &models, &n, err);

    if (st) return st;
    json_w_key(w, S("outputs"));
    json_w_array(w);
    for (size_t i = 0; i < n && !st; i++) {
        st = put_model(w, v, ns, models[i].model_id, err);
    }
    if (!st && extra) st = put_version(w, v, ns, extra->name, extra->version, extra->source, err);
    json_w_array_end(w);
    return st;
}

static enum status put_run(struct json_writer *w, struct view *v, struct str ns,
                           const struct run_view *run, const char *type, int64_t ms,
                           const struct model_version *extra, struct err *err)
{
    struct str job;
    enum status st = experiment_name(v, run->experiment, &job, err);

    if (st) return st;
    emit_begin(w, "RunEvent", type, ms);
    emit_run_ref(w, run->run_id);
    json_w_key(w, S("facets"));
    json_w_object(w);
    emit_engine(w);
    st = put_parent(w, v, ns, run, job, err);
    put_params(w, run);
    put_tags(w, run);
    json_w_object_end(w);
    json_w_object_end(w);
    emit_job(w, ns, job);
    put_job_facets(w, v->arena, run);
    json_w_object_end(w);
    if (!st) st = put_inputs(w, v, ns, run->uid, err);
    if (!st) st = put_outputs(w, v, ns, run, extra, err);
    json_w_object_end(w);
    return st;
}

static const char *end_type(enum run_status status)
{
    return status == RUN_FINISHED ? "COMPLETE"
           : status == RUN_FAILED ? "FAIL"
           : status == RUN_KILLED ? "ABORT"
                                  : NULL;
}

static enum status run_event(struct json_writer *w, struct view *v, const struct outbox_fact *f,
                             struct str ns, struct err *err)
{
    struct run_view run;
    const char *type = "START";
    int64_t ms;
    enum status st = run_get_uid(v, f->uid, &run, err);

    if (st == ST_NOT_FOUND) { /* deleted for good meanwhile */
        err_clear(err);
        return OK;
    }
    if (st) return st;
    ms = run.start_ms;
    if (f->kind == OUTBOX_RUN_STATUS) {
        type = end_type(f->status);
        ms = f->has_end ? f->end_ms : run.has_end ? run.end_ms : clock_wall_ms();
        if (!type) {
            type = "RUNNING"; /* somebody goes on in it */
            ms = clock_wall_ms();
        }
        ms = MAX_OF(ms, run.start_ms);
    } else if (f->kind == OUTBOX_RUN_LINKS) {
        type = end_type(run.status) ? "OTHER" : "RUNNING";
        ms = clock_wall_ms();
    }
    return put_run(w, v, ns, &run, type, ms, NULL, err);
}

/* ---- the registry ------------------------------------------------------------------------------------------------------------------ */

/* By a run: an event of that run. Else an event of a job that only stands for registering. */
static enum status version_event(struct json_writer *w, struct view *v, const struct outbox_fact *f,
                                 struct str ns, struct str name, struct err *err)
{
    struct model_version mv;
    struct run_view run;
    bool found = false;
    enum status st = registry_version(v, f->uid, name, f->version, &mv, err);

    if (st == ST_NOT_FOUND) {
        err_clear(err);
        return OK;
    }
    if (!st && mv.run_id.n > 0) st = parent_of(v, mv.run_id, &run, &found, err);
    if (st) return st;
    if (found) return put_run(w, v, ns, &run, "OTHER", f->at_ms, &mv, err);
    emit_begin(w, "JobEvent", NULL, f->at_ms);
    emit_job(w, ns, arena_printf(v->arena, "models:/%.*s", STR_ARG(name)));
    json_w_key(w, S("facets"));
    json_w_object(w);
    emit_job_type(w, "REGISTRATION");
    json_w_object_end(w);
    json_w_object_end(w);
    json_w_key(w, S("outputs"));
    json_w_array(w);
    st = put_version(w, v, ns, name, mv.version, mv.source, err);
    json_w_array_end(w);
    json_w_object_end(w);
    return st;
}

static void lifecycle(struct json_writer *w, const char *change, struct str ns, struct str before)
{
    emit_facet(w, "lifecycleStateChange", "1-0-1", "LifecycleStateChangeDatasetFacet");
    emit_member(w, "lifecycleStateChange", str_cstr(change));
    if (before.p) {
        json_w_key(w, S("previousIdentifier"));
        json_w_object(w);
        emit_member(w, "namespace", ns);
        emit_member(w, "name", before);
        json_w_object_end(w);
    }
    json_w_object_end(w);
}

static void put_aliases(struct json_writer *w, struct arena *a, const struct registered_model *m)
{
    emit_facet(w, "tags", "1-0-0", "TagsDatasetFacet");
    json_w_key(w, S("tags"));
    json_w_array(w);
    for (size_t i = 0; i < MIN_OF(m->aliases_n, (size_t)EMIT_LIST_MAX); i++) {
        json_w_object(w);
        emit_member(w, "key", arena_printf(a, "alias.%.*s", STR_ARG(m->aliases[i].alias)));
        emit_member(w, "value", arena_printf(a, "%lld", (long long)m->aliases[i].version));
        emit_member(w, "source", S("MLFLOW"));
        json_w_object_end(w);
    }
    json_w_array_end(w);
    json_w_object_end(w);
}

/* What became of a registered model: aliases, its name, its end. */
static enum status model_event(struct json_writer *w, struct view *v, const struct outbox_fact *f,
                               struct str ns, const struct registered_model *m, struct err *err)
{
    struct str name = f->kind == OUTBOX_ALIAS ? m->name : f->value, dataset;

    dataset = arena_printf(v->arena, "models:/%.*s", STR_ARG(name));
    if (!dataset.p) return err_nomem(err);
    emit_begin(w, "DatasetEvent", NULL, f->at_ms);
    json_w_key(w, S("dataset"));
    emit_dataset(w, ns, dataset);
    emit_type(w, "MODEL", "REGISTERED_MODEL");
    if (f->kind == OUTBOX_ALIAS) {
        put_aliases(w, v->arena, m);
    } else if (f->kind == OUTBOX_DROPPED) {
        lifecycle(w, "DROP", ns, (struct str){ NULL, 0 });
    } else {
        lifecycle(w, "RENAME", ns, arena_printf(v->arena, "models:/%.*s", STR_ARG(f->key)));
    }
    emit_dataset_end(w);
    json_w_object_end(w);
    return OK;
}

static enum status registry_fact(struct json_writer *w, struct view *v, const struct outbox_fact *f,
                                 struct str ns, struct err *err)
{
    struct registered_model m = { 0 };
    enum status st = OK;

    struct str name;
    bool prompt = false;

    if (f->kind == OUTBOX_DROPPED) {
        st = outbox_was_prompt(v, f->uid, &prompt, err);
    } else {
        st = outbox_model(v, f->uid, &name, &prompt, err);
    }
    if (st == ST_NOT_FOUND || (!st && prompt)) {
        err_clear(err);
        return OK;
    }
    if (!st && f->kind == OUTBOX_VERSION) return version_event(w, v, f, ns, name, err);
    if (!st && f->kind == OUTBOX_ALIAS) st = registered_model_get(v, name, &m, err);
    return st ? st : model_event(w, v, f, ns, &m, err);
}

enum status emit_event(struct view *v, const struct outbox_fact *f, struct str ns, struct buf *out,
                       struct err *err)
{
    struct json_writer w = JSON_WRITER_INIT(out);
    enum status st = OK;

    switch (f->kind) {
    case OUTBOX_RUN_STARTED:
    case OUTBOX_RUN_LINKS:
    case OUTBOX_RUN_STATUS: st = run_event(&w, v, f, ns, err); break;
    case OUTBOX_VERSION:
    case OUTBOX_ALIAS:
    case OUTBOX_RENAMED:
    case OUTBOX_DROPPED: st = registry_fact(&w, v, f, ns, err); break;
    case OUTBOX_EXECUTION: st = emit_execution(&w, v, f, ns, err); break;
    }
    if (!st) st = buf_status(out, "event", err);
    if (st == ST_NOMEM && arena_is_full(v->arena)) {
        st = err_set(err, ST_TOO_BIG, "what it tells of is larger than any event");
    }
    return st;
}
