/* api/native/inspect.c - model files looked into, and what was found kept with model versions. */
#include "gen/native/inspect.h"
#include "api/native/native.h"
#include "core/logged_model.h"
#include "core/model_inspect.h"
#include "core/names.h"
#include "core/run.h"

#define READ(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))

enum { REPORTS_MAX = 128 << 20, ANSWER_MAX = 64 << 20, METADATA_SHOWN = 1000 };

/* An inspection on its way: a read opened the files; a thread that may wait looks into them; a version's is then kept by the
 * sequencer. The call is answered on its loop. */
struct inspect_call {
    struct call *call;
    struct exec_job work;
    struct model_files *files;
    struct arena *reports;
    struct str source;
    int32_t tensors;
    bool keep;
    struct inspection_put put;
    enum status st;
    struct err err;
};

static void answer(struct http_req *req, void *ctx)
{
    struct inspect_call *i = ctx;

    (void)req;
    if (i->st) {
        call_error(i->call, i->st, &i->err);
    } else {
        call_answer(i->call);
    }
}

static void put_done(struct write_op *op)
{
    struct inspect_call *i = op->user;

    i->st = op->st;
    i->err = op->err;
    http_req_post(i->call->req, answer, i);
}

static enum status look(struct inspect_call *i)
{
    struct inspect_shown shown = { (size_t)i->tensors, METADATA_SHOWN };
    struct call *c = i->call;
    enum status st = model_files_inspect(i->files, i->reports, &i->err);

    if (st) return st;
    buf_init(&c->raw, ANSWER_MAX);
    inspect_json_files(&c->raw, i->source, i->files->reports, i->files->n, i->files->all, &shown);
    c->raw_type = "application/json";
    return i->keep ? inspection_of(i->files, i->reports, &i->put.found, &i->err) : OK;
}

static void work(struct exec_job *job, unsigned worker)
{
    struct inspect_call *i = CONTAINER_OF(job, struct inspect_call, work);
    enum status st;

    (void)worker;
    i->st = look(i);
    if (!i->st && i->keep) {
        st = seq_submit(i->call->core->seq, &i->put.op);
        if (!st) {
            return; /* put_done() answers; nothing of it may be touched here */
        }
        i->st = st;
        i->err = i->put.op.err;
    }
    http_req_post(i->call->req, answer, i);
}

static enum status begin(struct call *c, struct view *v, const struct artifact_place *place,
                         struct str source, int32_t tensors, struct inspect_call **out,
                         struct err *err)
{
    struct inspect_call *i = ARENA_NEW(c->arena, struct inspect_call);
    enum status st;

    *out = i;
    if (!i) {
        return err_nomem(err);
    }
    i->reports = arena_new(REPORTS_MAX);
    if (!i->reports || !arena_cleanup(c->arena, (void (*)(void *))arena_free, i->reports)) {
        arena_free(i->reports);
        return err_nomem(err);
    }
    i->call = c;
    i->work.run = work;
    i->tensors = tensors;
    i->source = arena_str(c->arena, source);
    st = i->source.p ? OK : err_nomem(err);
    return st ? st : model_files_open(v, place, &i->files, err);
}

static enum status go(struct inspect_call *i, struct err *err)
{
    return artifact_work_submit(i->call->core, &i->work)
               ? err_set(err, ST_UNAVAILABLE, "too many transfers are waiting; try again")
               : ST_END;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------- */

static enum status place_of(struct call *c, struct view *v, const struct cairn_v1_inspect_files *in,
                            struct artifact_place *out, struct err *err)
{
    struct run_view r;
    struct logged_model m;
    enum status st = name_check_artifact_path(in->path, err);

    if (!st && in->run_id.n && in->model_id.n) {
        st = err_field(err, ST_INVALID, "model_id", "give a run_id or a model_id, not both");
    }
    if (st) return st;
    if (in->run_id.n) {
        st = run_get(v, in->run_id, &r, err);
        return st ? st : artifact_uri_place(v, r.artifact_uri, r.uid, in->path, out, err);
    }
    if (in->model_id.n) {
        st = logged_model_get(v, in->model_id, false, &m, err);
        return st ? st : artifact_uri_place(v, m.artifact_uri, m.uid, in->path, out, err);
    }
    if (!c->api->serve_artifacts) {
        return err_set(err, ST_DENIED, "this server does not serve artifacts");
    }
    return artifact_proxy_place(v, in->path, out, err);
}

static enum status files(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_inspect_files *in = c->in;
    struct artifact_place place;
    struct inspect_call *i;
    struct str id = in->run_id.n ? in->run_id : in->model_id;
    struct str source = arena_printf(c->arena, "%s%.*s%s%.*s",
                                     in->run_id.n     ? "runs:/"
                                     : in->model_id.n ? "models:/"
                                                      : "mlflow-artifacts:/",
                                     STR_ARG(id), id.n && in->path.n ? "/" : "", STR_ARG(in->path));
    enum status st = source.p ? place_of(c, v, in, &place, err) : err_nomem(err);

    st = st ? st : begin(c, v, &place, source, in->tensors, &i, err);
    return st ? st : go(i, err);
}

/* ---- versions ---------------------------------------------------------------------------------------------------------------------- */

static enum status version(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_inspect_version *in = c->in;
    struct artifact_place place;
    struct model_version found;
    struct inspect_call *i;
    struct str source;
    enum status st = model_version_get(v, in->name, in->version, &found, err);

    st = st ? st : model_version_place(v, &found, &place, err);
    if (st) return st;
    source = arena_printf(c->arena, "models:/%.*s/%lld", STR_ARG(in->name), (long long)in->version);
    st = source.p ? begin(c, v, &place, source, in->tensors, &i, err) : err_nomem(err);
    if (st) return st;
    i->keep = true;
    inspection_put_init(&i->put, c->core, c->arena);
    i->put.op.done = put_done;
    i->put.op.user = i;
    i->put.name = in->name;
    i->put.version = in->version;
    i->put.who = c->principal->name;
    return go(i, err);
}

static enum status put_findings(struct call *c, const struct inspection *found,
                                struct cairn_v1_inspection *out)
{
    size_t n = 0;

    for (const struct inspect_finding *f = found->findings; f; f = f->next) {
        n++;
    }
    out->findings = ARENA_ARRAY(c->arena, struct cairn_v1_inspect_finding, n + 1);
    for (const struct inspect_finding *f = found->findings; out->findings && f; f = f->next) {
        struct cairn_v1_inspect_finding *to = &out->findings[out->findings_n++];

        MSG_SET(to, CAIRN_V1_INSPECT_FINDING_HAS_SEVERITY, severity,
                str_cstr(inspect_severity_name(f->severity)));
        MSG_SET(to, CAIRN_V1_INSPECT_FINDING_HAS_CODE, code, f->code);
        MSG_SET(to, CAIRN_V1_INSPECT_FINDING_HAS_TEXT, text, f->text);
        MSG_SET(to, CAIRN_V1_INSPECT_FINDING_HAS_WHERE, where, f->where);
    }
    return out->findings ? OK : ST_NOMEM;
}

static enum status inspection(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_inspection_get *in = c->in;
    struct cairn_v1_inspection *out = ARENA_NEW(c->arena, struct cairn_v1_inspection);
    struct model_version of;
    struct inspection found;
    enum status st = out ? model_version_get(v, in->name, in->version, &of, err) : err_nomem(err);

    if (st) return st;
    st = inspection_get(v, of.uid, &found, err);
    if (st == ST_NOT_FOUND) {
        st = err_set(err, st, "version %lld of %.*s was not inspected yet", (long long)in->version,
                     STR_ARG(in->name));
        err_hint(err, "cairn model inspect does it");
    }
    if (st) return st;
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_FILES, files, found.files);
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_SIZE, size, found.size);
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_PARAMS, params, found.params);
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_TENSORS, tensors, found.tensors);
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_FORMATS, formats, found.formats);
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_FINDING_COUNT, finding_count, found.findings_n);
    if (found.has_worst) {
        MSG_SET(out, CAIRN_V1_INSPECTION_HAS_WORST, worst,
                str_cstr(inspect_severity_name(found.worst)));
    }
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_COMPLETE, complete, found.complete);
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_AT_MS, at_ms, found.at_ms);
    MSG_SET(out, CAIRN_V1_INSPECTION_HAS_WHO, who, found.who);
    c->out = out;
    return put_findings(c, &found, out) ? err_nomem(err) : OK;
}

const struct route native_inspect_routes[] = {
    ROUTE(HTTP_GET, "/api/cairn/v1/inspect", &cairn_v1_inspect_files_desc,
          &cairn_v1_inspect_answer_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ, READ(files)),
    ROUTE(HTTP_POST, "/api/cairn/v1/model-versions/inspect", &cairn_v1_inspect_version_desc,
          &cairn_v1_inspect_answer_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE, READ(version)),
    ROUTE(HTTP_GET, "/api/cairn/v1/model-versions/inspection", &cairn_v1_inspection_get_desc,
          &cairn_v1_inspection_desc, RESOURCE_MODEL, ACTION_MODEL_READ, READ(inspection)),
};
const size_t native_inspect_routes_n = ARRAY_N(native_inspect_routes);
