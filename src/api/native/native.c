/* api/native/native.c - the tongue, the routes, and what they do. */
#include "api/native/native.h"
#include "api/mlflow/mlflow.h"
#include "core/backup.h"
#include "core/check.h"
#include "core/check_bytes.h"
#include "core/check_memory.h"
#include "core/compaction.h"
#include "core/repack.h"
#include "core/run.h"
#include "core/run_purge.h"
#include "core/scrub.h"
#include "core/store_info.h"

#define READ(fn)        ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))
#define DIRECT(fn)      ENDPOINT(.tongue = &native_tongue, .kind = CALL_DIRECT, .direct = (fn))
#define WRITE(start_fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_WRITE, .start = (start_fn))

/* ---- the tongue ------------------------------------------------------------------------------------------------- */

static enum status issue(const struct msg_issue *i, struct arena *a, struct err *err)
{
    (void)a;
    return msg_issue_err(i, err);
}

static void error(struct http_req *req, int http, enum status st, const struct err *err,
                  struct buf *body)
{
    struct cairn_v1_error_detail detail = {
        .has = CAIRN_V1_ERROR_DETAIL_HAS_CODE | CAIRN_V1_ERROR_DETAIL_HAS_MESSAGE |
               CAIRN_V1_ERROR_DETAIL_HAS_REQUEST_ID,
        .code = str_cstr(status_row(st)->name),
        .message = str_cstr(err->message),
        .hint = str_cstr(err->hint),
        .field = str_cstr(err->field),
        .request_id = str_cstr(req->id),
    };
    struct cairn_v1_error out = { .has = CAIRN_V1_ERROR_HAS_ERROR, .error = &detail };

    (void)http;
    detail.has |= err->hint[0] ? CAIRN_V1_ERROR_DETAIL_HAS_HINT : 0;
    detail.has |= err->field[0] ? CAIRN_V1_ERROR_DETAIL_HAS_FIELD : 0;
    http_type(req, "application/json");
    msg_encode_json(body, &cairn_v1_error_desc, &out, 0);
}

const struct tongue native_tongue = {
    .name = "cairn", .json_type_required = true, .empty_query = true, .issue = issue, .error = error
};

/* An operator has a token, also where nobody else needs one: whoever can reach a loopback address must not be able to
 * make himself a token for later. */
enum status native_need_operator(const struct call *c, struct err *err)
{
    struct str value = http_header(c->req, S("authorization"));
    struct digest d;
    enum status st;

    if (!c->principal->anonymous) {
        return OK;
    }
    if (value.n > 7 && str_eq_nocase(str_sub(value, 0, 7), S("bearer "))) {
        value = str_trim(str_sub(value, 7, value.n));
        if (!sha256_of(value.p, value.n, &d)) {
            return err_nomem(err);
        }
        if (c->api->has_local && equal_const_time(d.b, c->api->local.b, sizeof(d.b))) {
            return OK;
        }
    }
    st = err_set(err, ST_UNAUTHENTICATED,
                 "this is for operators: it needs the token of the data folder");
    err_hint(err,
             "use the command (cairn server ...) on the server's machine, as the server's user");
    return st;
}

/* ---- server ------------------------------------------------------------------------------------------------------- */

static struct cairn_v1_memory_info *memory_info(struct view *v)
{
    struct cairn_v1_memory_info *out = ARENA_NEW(v->arena, struct cairn_v1_memory_info);
    struct store_memory m;

    if (!out) {
        return NULL;
    }
    store_memory(v->core, &m);
    *out = (struct cairn_v1_memory_info){
        .has = CAIRN_V1_MEMORY_INFO_HAS_ALL | CAIRN_V1_MEMORY_INFO_HAS_PEAK |
               CAIRN_V1_MEMORY_INFO_HAS_COLUMNS | CAIRN_V1_MEMORY_INFO_HAS_RUNS |
               CAIRN_V1_MEMORY_INFO_HAS_KEYS | CAIRN_V1_MEMORY_INFO_HAS_POINTS |
               CAIRN_V1_MEMORY_INFO_HAS_ANSWERS,
        .all = (int64_t)m.all,
        .peak = (int64_t)m.peak,
        .columns = (int64_t)m.columns,
        .runs = (int64_t)m.heads,
        .keys = (int64_t)m.keys,
        .points = (int64_t)m.tails,
        .answers = (int64_t)m.answers,
    };
    return out;
}

enum status native_version(struct view *v, struct cairn_v1_version_answer *out, struct err *err)
{
    struct store_info info;
    enum status st = store_info(v, &info, err);

    out->database = info.database;
    out->schema = info.schema;
    out->version = S(CAIRN_VERSION);
    out->mlflow = S(MLFLOW_EMULATED_VERSION);
    out->memory = memory_info(v);
    out->has = CAIRN_V1_VERSION_ANSWER_HAS_VERSION | CAIRN_V1_VERSION_ANSWER_HAS_MLFLOW |
               CAIRN_V1_VERSION_ANSWER_HAS_DATABASE | CAIRN_V1_VERSION_ANSWER_HAS_SCHEMA |
               CAIRN_V1_VERSION_ANSWER_HAS_MEMORY;
    return st || out->memory ? st : err_nomem(err);
}

static enum status new_answer(struct call *c, size_t bytes, struct err *err)
{
    c->out = arena_zalloc(c->arena, 1, bytes);
    return c->out ? OK : err_nomem(err);
}

static enum status version(struct call *c, struct view *v, struct err *err)
{
    enum status st = new_answer(c, sizeof(struct cairn_v1_version_answer), err);

    return st ? st : native_version(v, c->out, err);
}

static enum status config(struct call *c, struct err *err)
{
    (void)err;
    buf_put_str(&c->raw, c->api->config);
    c->raw_type = "application/json";
    return OK;
}

static enum status metrics(struct call *c, struct err *err)
{
    if (!c->api->figures) {
        return err_set(err, ST_NO_ENDPOINT, "figures are turned off (--no-metrics)");
    }
    c->api->figures(c->api->figures_ctx, &c->raw);
    c->raw_type = "text/plain; version=0.0.4; charset=utf-8";
    return OK;
}

/* ---- tokens --------------------------------------------------------------------------------------------------------- */

enum status native_tokens(struct view *v, struct cairn_v1_token_list *out, struct err *err)
{
    struct token_row *rows;
    size_t n;
    enum status st = token_list(v, &rows, &n, err);

    if (st) {
        return st;
    }
    out->tokens = ARENA_ARRAY(v->arena, struct cairn_v1_token, MAX_OF(n, (size_t)1));
    if (!out->tokens) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        out->tokens[i] = (struct cairn_v1_token){
            .has = CAIRN_V1_TOKEN_HAS_NAME | CAIRN_V1_TOKEN_HAS_PRINCIPAL |
                   CAIRN_V1_TOKEN_HAS_CREATE_MS,
            .name = rows[i].name,
            .principal = rows[i].principal,
            .create_ms = rows[i].create_ms,
        };
    }
    out->tokens_n = n;
    return OK;
}

enum status native_token_add(struct token_add *t, struct access *access, struct arena *a,
                             const struct cairn_v1_token_add *in, struct cairn_v1_token_added *out,
                             struct err *err)
{
    char text[TOKEN_TEXT_MAX];
    enum status st;

    if (!in->name.n) {
        return err_field(err, ST_INVALID, "name", "the name of a token has at least one character");
    }
    if (str_eq_lit(in->name, "local") || str_eq_lit(in->name, "file")) {
        st = err_field(err, ST_INVALID, "name", "the name %.*s is the server's own",
                       STR_ARG(in->name));
        err_hint(err, "give another name");
        return st;
    }
    token_add_init(t, access, a);
    t->name = in->name;
    t->principal = in->principal.n ? in->principal : in->name;
    if (!token_new(text, &t->sha256)) {
        return err_nomem(err);
    }
    *out = (struct cairn_v1_token_added){
        .has = CAIRN_V1_TOKEN_ADDED_HAS_NAME | CAIRN_V1_TOKEN_ADDED_HAS_PRINCIPAL |
               CAIRN_V1_TOKEN_ADDED_HAS_TOKEN,
        .name = t->name,
        .principal = t->principal,
        .token = arena_str(a, str_cstr(text)),
    };
    return out->token.p ? OK : err_nomem(err);
}

static enum status tokens(struct call *c, struct view *v, struct err *err)
{
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_token_list), err);
    return st ? st : native_tokens(v, c->out, err);
}

static enum status add_token(struct call *c, struct write_op **op, struct err *err)
{
    struct token_add *t = ARENA_NEW(c->arena, struct token_add);
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_token_added), err);
    if (!st && !t) {
        st = err_nomem(err);
    }
    st = st ? st : native_token_add(t, c->api->access, c->arena, c->in, c->out, err);
    if (!st) {
        *op = &t->op;
    }
    return st;
}

static enum status remove_token(struct call *c, struct write_op **op, struct err *err)
{
    struct token_remove *t = ARENA_NEW(c->arena, struct token_remove);
    enum status st = native_need_operator(c, err);

    if (!st && !t) {
        st = err_nomem(err);
    }
    if (!st) {
        token_remove_init(t, c->api->access, c->arena);
        t->name = call_capture(c, "name");
        *op = &t->op;
    }
    return st;
}

/* ---- check ------------------------------------------------------------------------------------------------------------ */

enum { FINDINGS_MAX = 1000 };

struct finding_list {
    struct arena *a;
    struct cairn_v1_finding *p;
    size_t n;
    bool nomem;
};

static void add_row(struct finding_list *l, const char *rule, struct str what)
{
    struct str row;

    if (l->n == FINDINGS_MAX) {
        return;
    }
    row = arena_str(l->a, what);
    l->nomem = l->nomem || !row.p;
    l->p[l->n++] = (struct cairn_v1_finding){
        .has = CAIRN_V1_FINDING_HAS_RULE | CAIRN_V1_FINDING_HAS_ROW,
        .rule = str_cstr(rule),
        .row = row,
    };
}

static void add_finding(void *ctx, enum check_rule rule, struct str what)
{
    add_row(ctx, check_rule_name(rule), what);
}

static void add_object(void *ctx, struct str what)
{
    add_row(ctx, "bytes", what);
}

enum status native_check(struct view *v, struct cairn_v1_check_answer *out, struct err *err)
{
    struct finding_list l = { .a = v->arena };
    size_t found = 0;
    enum status st;

    l.p = ARENA_ARRAY(v->arena, struct cairn_v1_finding, FINDINGS_MAX);
    st = l.p ? core_check(v->conn, add_finding, &l, &found, err) : err_nomem(err);
    st = st ? st : core_check_memory(v, add_finding, &l, &found, err);
    st = st ? st : core_check_bytes(v, add_object, &l, &found, err);
    if (!st && l.nomem) {
        st = err_nomem(err);
    }
    *out = (struct cairn_v1_check_answer){
        .has = CAIRN_V1_CHECK_ANSWER_HAS_CLEAN | CAIRN_V1_CHECK_ANSWER_HAS_FOUND,
        .clean = found == 0,
        .found = (int64_t)found,
        .findings = l.p,
        .findings_n = l.n,
    };
    return st;
}

static enum status check(struct call *c, struct view *v, struct err *err)
{
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_check_answer), err);
    return st ? st : native_check(v, c->out, err);
}

/* ---- backup ----------------------------------------------------------------------------------------------------------- */

enum status native_backup(struct view *v, struct str path, struct cairn_v1_backup_answer *out,
                          struct err *err)
{
    struct backup_result r;
    const char *dest = arena_cstr(v->arena, path);
    enum status st = dest ? core_backup(v, dest, &r, err) : err_nomem(err);

    if (st) {
        return st;
    }
    *out = (struct cairn_v1_backup_answer){
        .has = CAIRN_V1_BACKUP_ANSWER_HAS_PATH | CAIRN_V1_BACKUP_ANSWER_HAS_OBJECTS |
               CAIRN_V1_BACKUP_ANSWER_HAS_BYTES | CAIRN_V1_BACKUP_ANSWER_HAS_LINKED |
               CAIRN_V1_BACKUP_ANSWER_HAS_DATABASE,
        .path = path,
        .objects = r.objects,
        .bytes = r.bytes,
        .linked = r.linked,
        .database = r.database,
    };
    return OK;
}

static enum status backup(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_backup *in = c->in;
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_backup_answer), err);
    return st ? st : native_backup(v, in->path, c->out, err);
}

/* ---- runs --------------------------------------------------------------------------------------------------------------- */

static enum status delete_run(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_run_delete *in = c->in;
    struct run_lifecycle *l = in->hard ? NULL : ARENA_NEW(c->arena, struct run_lifecycle);
    struct run_purge *p = in->hard ? ARENA_NEW(c->arena, struct run_purge) : NULL;

    if (p) {
        run_purge_init(p, c->core, c->arena);
        p->run_id = call_capture(c, "run_id");
        p->force = in->force;
        p->who = c->principal->name;
        *op = &p->op;
    } else if (l) {
        run_lifecycle_init(l, c->core, c->arena);
        l->run_id = call_capture(c, "run_id");
        l->to = LIFECYCLE_DELETED;
        *op = &l->op;
    } else {
        return err_nomem(err);
    }
    return OK;
}

/* ---- compaction ------------------------------------------------------------------------------------------------------- */

void native_compaction(struct view *v, struct cairn_v1_compact_answer *out)
{
    struct compaction c;

    compaction_look(v->core, &c);
    *out = (struct cairn_v1_compact_answer){
        .has = CAIRN_V1_COMPACT_ANSWER_HAS_RUNNING | CAIRN_V1_COMPACT_ANSWER_HAS_OWNERS |
               CAIRN_V1_COMPACT_ANSWER_HAS_MERGES | CAIRN_V1_COMPACT_ANSWER_HAS_POINTS |
               CAIRN_V1_COMPACT_ANSWER_HAS_CHUNKS | CAIRN_V1_COMPACT_ANSWER_HAS_FAILED |
               CAIRN_V1_COMPACT_ANSWER_HAS_CPU_MS,
        .running = c.running,
        .owners = c.owners,
        .merges = c.merges,
        .points = c.points,
        .chunks = c.chunks,
        .failed = c.failed,
        .cpu_ms = c.cpu_ms,
    };
}

static enum status start_compaction(struct call *c, struct view *v, struct err *err)
{
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_compact_answer), err);
    st = st ? st : compaction_start(v->core, false, err);
    if (!st) {
        native_compaction(v, c->out);
    }
    return st;
}

static enum status look_at_compaction(struct call *c, struct view *v, struct err *err)
{
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_compact_answer), err);
    if (!st) {
        native_compaction(v, c->out);
    }
    return st;
}

/* ---- packs -------------------------------------------------------------------------------------------------------------- */

void native_repack(struct view *v, struct cairn_v1_repack_answer *out)
{
    struct repack_stats s = { .asked = 0 };

    if (v->core->repacker) repack_stats(v->core->repacker, &s);
    *out = (struct cairn_v1_repack_answer){ .has = 0 };
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_ASKED, asked, (int64_t)s.asked);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_DONE, done, (int64_t)s.done);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_RUNNING, running, s.running);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_OBJECTS, objects, (int64_t)s.objects);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_BYTES, bytes, (int64_t)s.bytes);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_NEW_BYTES, new_bytes, (int64_t)s.new_bytes);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_PACKS, packs, (int64_t)s.packs);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_PACK_BYTES, pack_bytes, (int64_t)s.pack_bytes);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_PACKS_LEFT, packs_left, (int64_t)s.packs_left);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_DAMAGED, damaged, (int64_t)s.damaged);
    MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_FAILED, failed, (int64_t)s.failed);
    if (s.problem[0]) {
        MSG_SET(out, CAIRN_V1_REPACK_ANSWER_HAS_PROBLEM, problem,
                arena_str(v->arena, str_cstr(s.problem)));
    }
}

static enum status start_repack(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_repack *in = c->in;
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_repack_answer), err);
    if (!st && !v->core->repacker) {
        st = err_set(err, ST_NOT_IMPLEMENTED, "this server keeps no bytes");
    }
    if (!st) {
        (void)repack_ask(v->core->repacker, in->reindex ? REPACK_REINDEX : REPACK_NOW);
        native_repack(v, c->out);
    }
    return st;
}

static enum status look_at_repack(struct call *c, struct view *v, struct err *err)
{
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_repack_answer), err);
    if (!st) {
        native_repack(v, c->out);
    }
    return st;
}

/* ---- damage ------------------------------------------------------------------------------------------------------------ */

static enum status names_of(struct view *v, const struct scrub_finding *f,
                            struct cairn_v1_scrub_finding *out, struct err *err)
{
    static const char *const kinds[] = { [SCRUB_RUN] = "run",
                                         [SCRUB_LOGGED_MODEL] = "logged_model",
                                         [SCRUB_MODEL_VERSION] = "model_version",
                                         [SCRUB_ARTIFACT] = "artifact" };
    struct scrub_name *names;
    size_t n;
    enum status st = scrub_names(v, &f->sha256, &names, &n, err);
    struct cairn_v1_scrub_name *at =
        st ? NULL : ARENA_ARRAY(v->arena, struct cairn_v1_scrub_name, n ? n : 1);

    if (!at) {
        return st ? st : err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        at[i] = (struct cairn_v1_scrub_name){ .has = 0 };
        MSG_SET(&at[i], CAIRN_V1_SCRUB_NAME_HAS_KIND, kind, str_cstr(kinds[names[i].kind]));
        MSG_SET(&at[i], CAIRN_V1_SCRUB_NAME_HAS_ID, id, names[i].id);
        MSG_SET(&at[i], CAIRN_V1_SCRUB_NAME_HAS_NAME, name, names[i].name);
        MSG_SET(&at[i], CAIRN_V1_SCRUB_NAME_HAS_PATH, path, names[i].path);
    }
    out->names = at;
    out->names_n = n;
    return OK;
}

static enum status put_finding(struct view *v, const struct scrub_finding *f,
                               struct cairn_v1_scrub_finding *out, struct err *err)
{
    static const char *const kinds[] = {
        [SCRUB_OBJECT] = "object", [SCRUB_PACK] = "pack", [SCRUB_FILE] = "file"
    };
    char hex[65];
    enum status st = OK;

    *out = (struct cairn_v1_scrub_finding){ .has = 0 };
    MSG_SET(out, CAIRN_V1_SCRUB_FINDING_HAS_KIND, kind, str_cstr(kinds[f->kind]));
    MSG_SET(out, CAIRN_V1_SCRUB_FINDING_HAS_BYTES, bytes, (int64_t)f->bytes);
    MSG_SET(out, CAIRN_V1_SCRUB_FINDING_HAS_PLACE, place, str_cstr(f->place));
    MSG_SET(out, CAIRN_V1_SCRUB_FINDING_HAS_PROBLEM, problem, str_cstr(f->problem));
    if (f->kind == SCRUB_OBJECT) {
        digest_hex(&f->sha256, hex);
        MSG_SET(out, CAIRN_V1_SCRUB_FINDING_HAS_SHA256, sha256, arena_str(v->arena, str_cstr(hex)));
        st = names_of(v, f, out, err);
    } else if (f->kind == SCRUB_FILE) {
        MSG_SET(out, CAIRN_V1_SCRUB_FINDING_HAS_MTIME_MS, mtime_ms, f->mtime_ms);
    }
    return st;
}

static enum status put_findings(struct view *v, struct cairn_v1_scrub_answer *out, struct err *err)
{
    struct scrub_finding *f;
    size_t n;
    enum status st = scrub_findings(v->core->scrubber, v->arena, &f, &n, err);

    out->findings = st ? NULL : ARENA_ARRAY(v->arena, struct cairn_v1_scrub_finding, n ? n : 1);
    if (!st && !out->findings) {
        st = err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = put_finding(v, &f[i], &out->findings[i], err);
        out->findings_n = i + 1;
    }
    return st;
}

enum status native_scrub(struct view *v, bool findings, struct cairn_v1_scrub_answer *out,
                         struct err *err)
{
    struct scrub_stats s = { .asked = 0 };

    if (v->core->scrubber) scrub_stats(v->core->scrubber, &s);
    *out = (struct cairn_v1_scrub_answer){ .has = 0 };
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_ROUND, round, (int64_t)s.asked);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_DONE_ROUND, done_round, (int64_t)s.done);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_RUNNING, running, s.running);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_PACKS, packs, (int64_t)s.packs);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_CHUNKS, chunks, (int64_t)s.chunks);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_OBJECTS, objects, (int64_t)s.objects);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_BYTES, bytes, (int64_t)s.bytes);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_FILES, files, (int64_t)s.files);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_DAMAGED, damaged, (int64_t)s.damaged);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_DAMAGED_PACKS, damaged_packs, (int64_t)s.damaged_packs);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_HEALED, healed, (int64_t)s.healed);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_UNKNOWN, unknown, (int64_t)s.unknown);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_UNKNOWN_BYTES, unknown_bytes, (int64_t)s.unknown_bytes);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_SWEPT, swept, (int64_t)s.swept);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_SWEPT_BYTES, swept_bytes, (int64_t)s.swept_bytes);
    MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_UNFINISHED, unfinished, (int64_t)s.unfinished);
    if (s.problem[0]) {
        MSG_SET(out, CAIRN_V1_SCRUB_ANSWER_HAS_PROBLEM, problem,
                arena_str(v->arena, str_cstr(s.problem)));
    }
    return findings && v->core->scrubber ? put_findings(v, out, err) : OK;
}

static enum status start_scrub(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_scrub *in = c->in;
    struct scrub_options opt = { .bytes_per_s = (uint64_t)in->bytes_per_s,
                                 .deep = in->deep,
                                 .sweep = in->sweep,
                                 .has_age = in->has & CAIRN_V1_SCRUB_HAS_AGE_MS,
                                 .age_ms = in->age_ms };
    enum status st = native_need_operator(c, err);
    struct cairn_v1_scrub_answer *out;
    uint64_t round;

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_scrub_answer), err);
    if (!st && !v->core->scrubber) {
        st = err_set(err, ST_NOT_IMPLEMENTED, "this server keeps no bytes");
    }
    if (st) {
        return st;
    }
    out = c->out;
    round = scrub_ask(v->core->scrubber, &opt);
    st = native_scrub(v, false, out, err);
    out->round = (int64_t)round;
    return st;
}

static enum status look_at_scrub(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_scrub_look *in = c->in;
    enum status st = native_need_operator(c, err);

    st = st ? st : new_answer(c, sizeof(struct cairn_v1_scrub_answer), err);
    return st ? st : native_scrub(v, in->findings, c->out, err);
}

/* ---- the table -------------------------------------------------------------------------------------------------------- */

static const struct route rows[] = {
    ROUTE(HTTP_GET, "/api/cairn/v1/version", NULL, &cairn_v1_version_answer_desc, RESOURCE_SERVER,
          ACTION_SERVER_READ, READ(version)),
    ROUTE(HTTP_GET, "/api/cairn/v1/config", NULL, NULL, RESOURCE_SERVER, ACTION_SERVER_READ,
          DIRECT(config)),
    ROUTE(HTTP_GET, "/api/cairn/v1/tokens", NULL, &cairn_v1_token_list_desc, RESOURCE_SERVER,
          ACTION_SERVER_ADMIN, READ(tokens)),
    ROUTE(HTTP_POST, "/api/cairn/v1/tokens", &cairn_v1_token_add_desc, &cairn_v1_token_added_desc,
          RESOURCE_SERVER, ACTION_SERVER_ADMIN, WRITE(add_token)),
    ROUTE(HTTP_DELETE, "/api/cairn/v1/tokens/{name}", NULL, NULL, RESOURCE_SERVER,
          ACTION_SERVER_ADMIN, WRITE(remove_token)),
    ROUTE(HTTP_GET, "/api/cairn/v1/check", NULL, &cairn_v1_check_answer_desc, RESOURCE_SERVER,
          ACTION_SERVER_ADMIN, READ(check)),
    ROUTE(HTTP_POST, "/api/cairn/v1/backup", &cairn_v1_backup_desc, &cairn_v1_backup_answer_desc,
          RESOURCE_SERVER, ACTION_SERVER_ADMIN, READ(backup)),
    ROUTE(HTTP_DELETE, "/api/cairn/v1/runs/{run_id}", &cairn_v1_run_delete_desc, NULL, RESOURCE_RUN,
          ACTION_RUN_DELETE, WRITE(delete_run)),
    ROUTE(HTTP_POST, "/api/cairn/v1/compact", &cairn_v1_empty_desc, &cairn_v1_compact_answer_desc,
          RESOURCE_SERVER, ACTION_SERVER_ADMIN, READ(start_compaction)),
    ROUTE(HTTP_POST, "/api/cairn/v1/repack", &cairn_v1_repack_desc, &cairn_v1_repack_answer_desc,
          RESOURCE_SERVER, ACTION_SERVER_ADMIN, READ(start_repack)),
    ROUTE(HTTP_GET, "/api/cairn/v1/repack", NULL, &cairn_v1_repack_answer_desc, RESOURCE_SERVER,
          ACTION_SERVER_ADMIN, READ(look_at_repack)),
    ROUTE(HTTP_POST, "/api/cairn/v1/scrub", &cairn_v1_scrub_desc, &cairn_v1_scrub_answer_desc,
          RESOURCE_SERVER, ACTION_SERVER_ADMIN, READ(start_scrub)),
    ROUTE(HTTP_GET, "/api/cairn/v1/scrub", &cairn_v1_scrub_look_desc, &cairn_v1_scrub_answer_desc,
          RESOURCE_SERVER, ACTION_SERVER_ADMIN, READ(look_at_scrub)),
    ROUTE(HTTP_GET, "/api/cairn/v1/compact", NULL, &cairn_v1_compact_answer_desc, RESOURCE_SERVER,
          ACTION_SERVER_ADMIN, READ(look_at_compaction)),
};
static const struct route metrics_rows[] = {
    ROUTE(HTTP_GET, "/metrics", NULL, NULL, RESOURCE_SERVER, ACTION_SERVER_READ, DIRECT(metrics)),
};

enum status native_methods(struct router *r, struct err *err)
{
    enum status st =
        router_add(r, native_lineage_methods, native_lineage_methods_n, NULL, 0, NULL, err);

    return st ? st : router_add(r, native_step_methods, native_step_methods_n, NULL, 0, NULL, err);
}

enum status native_routes(struct router *r, const char *prefix, bool with_metrics, struct err *err)
{
    const struct {
        const struct route *rows;
        size_t n;
    } tables[] = {
        { rows, ARRAY_N(rows) },
        { native_chart_routes, native_chart_routes_n },
        { native_checkpoint_routes, native_checkpoint_routes_n },
        { native_emit_routes, native_emit_routes_n },
        { native_keep_routes, native_keep_routes_n },
        { native_run_routes, native_run_routes_n },
        { native_registry_routes, native_registry_routes_n },
        { native_artifact_routes, native_artifact_routes_n },
        { native_upload_routes, native_upload_routes_n },
        { native_inspect_routes, native_inspect_routes_n },
        { native_lineage_routes, native_lineage_routes_n },
        { native_step_routes, native_step_routes_n },
        { native_trash_routes, native_trash_routes_n },
        { metrics_rows, with_metrics ? ARRAY_N(metrics_rows) : 0 },
    };
    enum status st = OK;

    for (size_t i = 0; !st && i < ARRAY_N(tables); i++) {
        st = router_add(r, tables[i].rows, tables[i].n, NULL, 0, prefix, err);
    }
    return st;
}
