/* core/model_inspect.c - the files of a model looked into, and what was found kept with the version. */
#include "core/model_inspect.h"
#include "base/clock.h"
#include "base/sys.h"
#include "core/logged_model.h"
#include "core/run.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <errno.h>
#include <stdatomic.h>

static atomic_uint at_work; /* inspections of this process; relaxed: only a number is compared */

/* ---- places ------------------------------------------------------------------------------------------------------------------------ */

enum status model_version_place(struct view *v, const struct model_version *version,
                                struct artifact_place *out, struct err *err)
{
    struct str rest = version->storage, path;
    struct run_view r;
    struct logged_model m;
    size_t slash;
    enum status st;

    if (!str_starts(rest, S("runs:/")) && !str_starts(rest, S("models:/"))) {
        return artifact_uri_place(v, rest, 0, S(""), out, err);
    }
    rest = str_sub(rest, str_find_byte(rest, '/', 0) + 1, rest.n);
    slash = str_find_byte(rest, '/', 0);
    path = slash == SIZE_MAX ? S("") : str_sub(rest, slash + 1, rest.n);
    rest = str_sub(rest, 0, slash == SIZE_MAX ? rest.n : slash);
    if (str_starts(version->storage, S("runs:/"))) {
        st = run_get(v, rest, &r, err);
        return st ? st : artifact_uri_place(v, r.artifact_uri, r.uid, path, out, err);
    }
    st = logged_model_get(v, rest, false, &m, err);
    return st ? st : artifact_uri_place(v, m.artifact_uri, m.uid, path, out, err);
}

/* ---- opening ---------------------------------------------------------------------------------------------------------------------- */

static void files_close(void *ctx)
{
    struct model_files *f = ctx;

    for (size_t i = 0; i < f->n; i++) {
        if (f->bytes[i].fd >= 0) {
            sys.close(f->bytes[i].fd);
        }
    }
    if (f->counted) {
        atomic_fetch_sub_explicit(&at_work, 1, memory_order_relaxed);
    }
}

static enum status open_all(struct view *v, const struct artifact_place *place,
                            struct model_files *f, struct err *err)
{
    struct artifact_walk *w = ARENA_NEW(v->arena, struct artifact_walk);
    enum status st = w ? OK : err_nomem(err);

    if (st) return st;
    artifact_walk_begin(w, place);
    while (!st) {
        struct artifact_info info;
        struct artifact_place at;

        st = artifact_walk_next(w, v, &info, &at, err);
        if (st == ST_END) {
            return OK;
        }
        if (st || info.is_dir) continue;
        f->all++;
        if (f->n < INSPECT_FILES_MAX) {
            st = artifact_open(v, &at, &f->bytes[f->n], err);
            if (!st) {
                f->paths[f->n++] = info.name;
            }
        }
    }
    return st;
}

enum status model_files_open(struct view *v, const struct artifact_place *place,
                             struct model_files **out, struct err *err)
{
    struct model_files *f = ARENA_NEW(v->arena, struct model_files);
    enum status st;

    *out = NULL;
    if (!f || !arena_cleanup(v->arena, files_close, f)) {
        return err_nomem(err);
    }
    f->core = v->core;
    f->counted = true;
    if (atomic_fetch_add_explicit(&at_work, 1, memory_order_relaxed) >= INSPECT_AT_ONCE) {
        st = err_set(err, ST_UNAVAILABLE, "%d inspections are at work", INSPECT_AT_ONCE);
        err_hint(err, "try again in a few seconds");
        return st;
    }
    st = open_all(v, place, f, err);
    if (!st && f->n == 0) {
        st = err_set(err, ST_NOT_FOUND, "there are no files at '%.*s'", STR_ARG(place->path));
    }
    *out = st ? NULL : f;
    return st;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------- */

struct file_source {
    struct core *core;
    const struct artifact_bytes *bytes;
};

static enum status read_remote(const struct file_source *s, uint64_t offset, char *p, size_t n,
                               struct err *err)
{
    struct blob_reader *reader;
    enum status st = artifact_read_begin(s->core, s->bytes, offset, n, &reader, err);

    while (!st && n) {
        size_t got;

        st = artifact_read(reader, p, n, &got, err);
        if (!st && got == 0) {
            st = err_set(err, ST_IO, "the object ends early");
        }
        p += st ? 0 : got;
        n -= st ? 0 : got;
    }
    if (reader) {
        artifact_read_end(reader);
    }
    return st;
}

static enum status file_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *err)
{
    const struct file_source *s = ctx;
    char *to = p;

    if (s->bytes->is_remote) {
        return n ? read_remote(s, offset, to, n, err) : OK;
    }
    if (s->bytes->fd < 0) {
        memcpy(to, s->bytes->inline_bytes.p + offset, n);
        return OK;
    }
    while (n) {
        ssize_t got = sys.pread(s->bytes->fd, to, n, (off_t)offset);

        if (got <= 0) {
            return got ? err_errno(err, errno, "read an object")
                       : err_set(err, ST_IO, "the object ends early");
        }
        to += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return OK;
}

enum status model_files_inspect(struct model_files *f, struct arena *a, struct err *err)
{
    struct inspect_limits limits = inspect_limits_default;
    int64_t end = clock_mono_ms() + INSPECT_TIME_MS;
    enum status st = OK;

    limits.listed_max = 1000;
    for (size_t i = 0; i < f->n && !st; i++) {
        struct file_source from = { f->core, &f->bytes[i] };
        struct inspect_source source = { .read = file_read, .ctx = &from };
        struct inspect_report *r = ARENA_NEW(a, struct inspect_report);
        int64_t left = end - clock_mono_ms();

        if (!r) {
            return err_nomem(err);
        }
        limits.time_ms = MAX_OF(left, (int64_t)1);
        source.size = f->bytes[i].fd < 0 && !f->bytes[i].is_remote ? f->bytes[i].inline_bytes.n
                                                                   : (uint64_t)f->bytes[i].size;
        st = inspect_file(&source, f->paths[i], a, &limits, r, err);
        f->reports[i] = r;
    }
    return st;
}

/* ---- what it comes to ------------------------------------------------------------------------------------------------------------ */

static int64_t add(int64_t a, uint64_t b)
{
    return b > (uint64_t)(INT64_MAX - a) ? INT64_MAX : a + (int64_t)b;
}

static enum status take_findings(const struct inspect_report *r, enum inspect_severity severity,
                                 struct arena *a, struct inspect_finding ***end, size_t *n,
                                 struct err *err)
{
    for (const struct inspect_finding *f = r->findings; f; f = f->next) {
        struct inspect_finding *to;

        if (f->severity != severity || *n >= INSPECT_FINDINGS_MAX) continue;
        to = ARENA_NEW(a, struct inspect_finding);
        if (!to) {
            return err_nomem(err);
        }
        *to = *f;
        to->next = NULL;
        to->where = arena_printf(a, "%.*s%s%.*s", STR_ARG(r->name), f->where.n ? ": " : "",
                                 STR_ARG(f->where));
        if (!to->where.p) {
            return err_nomem(err);
        }
        **end = to;
        *end = &to->next;
        ++*n;
    }
    return OK;
}

/* "pytorch, safetensors": each format once. */
static enum status add_format(struct arena *a, struct str format, struct str *all, struct err *err)
{
    if (format.n == 0 || str_find(*all, format) != SIZE_MAX) {
        return OK;
    }
    *all = all->n ? arena_printf(a, "%.*s, %.*s", STR_ARG(*all), STR_ARG(format)) : format;
    return all->p ? OK : err_nomem(err);
}

enum status inspection_of(const struct model_files *f, struct arena *a, struct inspection *out,
                          struct err *err)
{
    struct inspect_finding **end = &out->findings;
    size_t n = 0;
    enum status st = OK;

    *out = (struct inspection){ .files = add(0, f->all), .complete = f->all == f->n };
    out->formats = out->who = S("");
    for (size_t i = 0; i < f->n && !st; i++) {
        const struct inspect_report *r = f->reports[i];

        out->size = add(out->size, r->size);
        out->params = add(out->params, r->params);
        out->tensors = add(out->tensors, r->tensors_n);
        out->findings_n = add(out->findings_n, r->findings_n);
        out->complete = out->complete && r->complete;
        if (r->findings_n && (!out->has_worst || r->worst > out->worst)) {
            out->has_worst = true;
            out->worst = r->worst;
        }
        st = add_format(a, r->format, &out->formats, err);
    }
    for (int severity = INSPECT_DANGER; severity >= INSPECT_INFO; severity--) {
        for (size_t i = 0; i < f->n && !st; i++) {
            st = take_findings(f->reports[i], (enum inspect_severity)severity, a, &end, &n, err);
        }
    }
    return st;
}

/* ---- kept ------------------------------------------------------------------------------------------------------------------------ */

static enum status finding_row(struct view *v, const struct q_inspection_finding_list_row *row,
                               struct inspect_finding ***end, struct err *err)
{
    struct inspect_finding *f = ARENA_NEW(v->arena, struct inspect_finding);

    if (!f) {
        return err_nomem(err);
    }
    f->severity = (enum inspect_severity)row->severity;
    f->code = row->code;
    f->text = row->what;
    f->where = row->place;
    if (!view_keep(v, &f->code) || !view_keep(v, &f->text) || !view_keep(v, &f->where)) {
        return err_nomem(err);
    }
    **end = f;
    *end = &f->next;
    return OK;
}

enum status inspection_get(struct view *v, int64_t version_uid, struct inspection *out,
                           struct err *err)
{
    struct q_inspection_get_row row;
    struct q_inspection_finding_list_row f;
    struct inspect_finding **end;
    struct sql_stmt *stmt = NULL;
    enum status st = q_inspection_get(v->conn, v->arena, version_uid, &row, err);

    *out = (struct inspection){ .files = 0 };
    if (st) return st;
    *out = (struct inspection){ .files = row.files,
                                .size = row.size,
                                .params = row.params,
                                .tensors = row.tensors,
                                .findings_n = row.findings,
                                .has_worst = row.worst >= 0,
                                .complete = row.complete != 0,
                                .worst =
                                    row.worst > 0 ? (enum inspect_severity)row.worst : INSPECT_INFO,
                                .formats = row.formats,
                                .who = row.who,
                                .at_ms = row.at_ms };
    end = &out->findings;
    st = q_inspection_finding_list_open(v->conn, &stmt, version_uid, err);
    while (!st && (st = q_inspection_finding_list_next(stmt, &f, err)) == OK) {
        st = finding_row(v, &f, &end, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status put_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct inspection_put *p = WRITE_OP_OF(op, struct inspection_put);
    const struct inspection *in = &p->found;
    struct view v = { .core = p->core, .conn = group_conn(g), .arena = op->arena };
    struct model_version version;
    int64_t n = 0;
    enum status st = model_version_get(&v, p->name, p->version, &version, err);

    st = st ? st : q_inspection_drop(v.conn, version.uid, err);
    st = st ? st : q_inspection_finding_drop(v.conn, version.uid, err);
    st = st ? st
            : q_inspection_put(v.conn, version.uid, in->files, in->size, in->params, in->tensors,
                               in->findings_n, in->has_worst ? (int64_t)in->worst : -1,
                               in->complete, in->formats, p->who, group_now_ms(g), err);
    for (const struct inspect_finding *f = in->findings; f && !st; f = f->next) {
        st = q_inspection_finding_put(v.conn, version.uid, n++, (int64_t)f->severity, f->code,
                                      f->text, f->where, err);
    }
    return st;
}

static const struct write_kind put_kind = { .name = "model_version.inspected",
                                            .validate = put_validate,
                                            .sql = true };

void inspection_put_init(struct inspection_put *p, struct core *core, struct arena *a)
{
    *p = (struct inspection_put){ .op = { .kind = &put_kind, .arena = a }, .core = core };
}
