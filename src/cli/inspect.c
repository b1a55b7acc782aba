/* cli/inspect.c - cairn model inspect: what model files say about themselves. A file or folder of this machine is read here; what a
 * server holds is read there. */
#include "inspect/inspect.h"
#include "base/fs.h"
#include "base/sys.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/model.h"
#include "cli/render.h"
#include "codec/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum {
    FILES_MAX = 1000,
    DEPTH_MAX = 16,
    REPORT_MAX = 64 << 20, /* of one file */
    DOCUMENT_MAX = 256 << 20,
    METADATA_SHOWN = 40,
    VALUE_SHOWN = 120,
    REMOTE_TENSORS = 1000
};

struct inspect_flags {
    int64_t tensors;
    const char *fail_on;
};

/* ---- files of this machine -------------------------------------------------------------------------------------------------------- */

struct files {
    struct cli *cli;
    const char *root;
    struct inspect_report **reports;
    size_t n, cap;
    uint64_t all;
    unsigned depth;
    const char *folder, *shown; /* the folder at work, and its name below the root */
};

static enum status file_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *err)
{
    const int *fd = ctx;
    char *to = p;

    while (n) {
        ssize_t got = sys.pread(*fd, to, n, (off_t)offset);

        if (got <= 0) {
            return got ? err_errno(err, errno, "read the file")
                       : err_set(err, ST_IO, "the file became shorter while it was read");
        }
        to += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return OK;
}

static enum status add_file(struct files *f, const char *path, const char *name, struct err *err)
{
    struct inspect_report *r = ARENA_NEW(f->cli->arena, struct inspect_report);
    struct inspect_source source = { .read = file_read };
    struct arena *a;
    struct stat info;
    enum status st;
    int fd;

    f->all++;
    if (f->n >= FILES_MAX) {
        return OK;
    }
    a = arena_new(REPORT_MAX);
    if (!r || !a || !arena_cleanup(f->cli->arena, (void (*)(void *))arena_free, a) ||
        !arena_grow(f->cli->arena, (void **)&f->reports, f->n, &f->cap, sizeof(*f->reports))) {
        return err_nomem(err);
    }
    fd = sys.open(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) {
        return err_errno(err, errno, "open %s", name);
    }
    if (sys.fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        st = err_set(err, ST_INVALID, "%s is no file", name);
    } else {
        source.size = (uint64_t)info.st_size;
        source.ctx = &fd;
        st = inspect_file(&source, str_cstr(name), a, NULL, r, err);
        f->reports[f->n++] = r;
    }
    sys.close(fd);
    return st;
}

static enum status add_folder(struct files *f, const char *path, const char *shown,
                              struct err *err);

static enum status add_entry(void *ctx, const char *name, struct err *err)
{
    struct files *f = ctx;
    const char *path = fs_join(f->cli->arena, f->folder, name);
    const char *shown = f->shown[0] && path ? fs_join(f->cli->arena, f->shown, name)
                                            : arena_cstr(f->cli->arena, str_cstr(name));
    struct stat info;

    if (!path || !shown) {
        return err_nomem(err);
    }
    if (sys.stat(path, &info) != 0) {
        return OK; /* a link to nothing */
    }
    if (S_ISDIR(info.st_mode)) {
        return f->depth < DEPTH_MAX ? add_folder(f, path, shown, err) : OK;
    }
    return S_ISREG(info.st_mode) ? add_file(f, path, shown, err) : OK;
}

static enum status add_folder(struct files *f, const char *path, const char *shown, struct err *err)
{
    const char *folder = f->folder, *before = f->shown;
    enum status st;

    f->folder = path;
    f->shown = shown;
    f->depth++;
    st = fs_each(path, add_entry, f, err);
    f->depth--;
    f->folder = folder;
    f->shown = before;
    return st;
}

static int by_name(const void *a, const void *b)
{
    const struct inspect_report *x = *(struct inspect_report *const *)a;
    const struct inspect_report *y = *(struct inspect_report *const *)b;

    return str_cmp(x->name, y->name);
}

static enum status local(struct cli *cli, const char *path, bool is_folder, struct str *json,
                         struct err *err)
{
    const struct inspect_flags *flags = cli->options;
    struct inspect_shown shown = { (size_t)flags->tensors, SIZE_MAX };
    struct files f = { .cli = cli, .root = path };
    struct buf b = BUF_INIT(DOCUMENT_MAX);
    enum status st = is_folder ? add_folder(&f, path, "", err) : add_file(&f, path, path, err);

    if (!st && f.n) {
        qsort(f.reports, f.n, sizeof(struct inspect_report *), by_name);
    }
    if (!st) {
        inspect_json_files(&b, str_cstr(path), (const struct inspect_report *const *)f.reports, f.n,
                           f.all, &shown);
        st = buf_status(&b, "report", err);
    }
    if (!st) {
        *json = arena_str(cli->arena, buf_str(&b));
        st = json->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

/* ---- for people -------------------------------------------------------------------------------------------------------------------- */

static void put_plain(struct str s, size_t max)
{
    struct buf b = BUF_INIT(1 << 20);

    render_plain(&b, str_sub(s, 0, max));
    if (s.n > max) {
        buf_put_lit(&b, "...");
    }
    out_write(OUT_STDOUT, buf_str(&b));
    buf_release(&b);
}

/* 6738415616 -> "6.7 G" */
static void put_count(uint64_t n)
{
    static const char units[] = " KMGTPE";
    unsigned i = 0;
    uint64_t rest = 0;

    while (n >= 1000 && i + 1 < sizeof(units) - 1) {
        rest = n % 1000;
        n /= 1000;
        i++;
    }
    if (i == 0) {
        out_printf(OUT_STDOUT, "%llu", (unsigned long long)n);
    } else {
        out_printf(OUT_STDOUT, "%llu.%llu %c", (unsigned long long)n,
                   (unsigned long long)rest / 100, units[i]);
    }
}

static void put_tensors(const struct jv *file)
{
    int64_t all = jv_i64(file, "tensor_count", 0), shown = 0;
    char bytes[32];

    for (const struct jv *t = jv_items(file, "tensors"); t; t = t->next, shown++) {
        out_printf(OUT_STDOUT, "    ");
        put_plain(jv_text(t, "name").n ? jv_text(t, "name") : S("(no name)"), 100);
        out_printf(OUT_STDOUT, "  ");
        put_plain(jv_text(t, "dtype"), 32);
        out_printf(OUT_STDOUT, " [");
        for (const struct jv *d = jv_items(t, "shape"); d; d = d->next) {
            out_printf(OUT_STDOUT, "%.*s%s", STR_ARG(d->text), d->next ? ", " : "");
        }
        render_bytes(jv_i64(t, "bytes", 0), bytes);
        out_printf(OUT_STDOUT, "]  %s\n", bytes);
    }
    if (shown && all > shown) {
        out_printf(OUT_STDOUT, "    and %lld more; --tensors N shows them\n",
                   (long long)(all - shown));
    }
}

static void put_findings(const struct jv *file)
{
    for (const struct jv *f = jv_items(file, "findings"); f; f = f->next) {
        out_printf(OUT_STDOUT, "  %-7.*s  %.*s: ", STR_ARG(jv_text(f, "severity")),
                   STR_ARG(jv_text(f, "code")));
        put_plain(jv_text(f, "text"), 600);
        if (jv_text(f, "where").n) {
            out_printf(OUT_STDOUT, " (");
            put_plain(jv_text(f, "where"), 300);
            out_printf(OUT_STDOUT, ")");
        }
        out_printf(OUT_STDOUT, "\n");
    }
}

static void put_file(const struct jv *file)
{
    struct str format = jv_text(file, "format"), producer = jv_text(file, "producer");
    char bytes[32];
    int64_t n = 0;

    put_plain(jv_text(file, "name"), 300);
    render_bytes(jv_i64(file, "size", 0), bytes);
    out_printf(OUT_STDOUT, ": %.*s, %s", STR_ARG(format.n ? format : S("no format that is known")),
               bytes);
    if (producer.n) {
        out_printf(OUT_STDOUT, ", by ");
        put_plain(producer, 100);
    }
    out_printf(OUT_STDOUT, "\n");
    if (jv_i64(file, "tensor_count", 0)) {
        out_printf(OUT_STDOUT, "  tensors %lld, parameters ",
                   (long long)jv_i64(file, "tensor_count", 0));
        put_count((uint64_t)jv_i64(file, "params", 0));
        out_printf(OUT_STDOUT, "\n");
    }
    for (const struct jv *p = jv_items(file, "metadata"); p && n < METADATA_SHOWN;
         p = p->next, n++) {
        out_printf(OUT_STDOUT, "  ");
        put_plain(jv_text(p, "key"), 100);
        out_printf(OUT_STDOUT, " = ");
        put_plain(jv_text(p, "value"), VALUE_SHOWN);
        out_printf(OUT_STDOUT, "\n");
    }
    put_tensors(file);
    put_findings(file);
}

static void put_document(const struct jv *doc)
{
    struct str worst = jv_text(doc, "worst");
    const struct jv *complete = jv_get(doc, "complete");
    int64_t files = jv_i64(doc, "file_count", 0);

    for (const struct jv *f = jv_items(doc, "files"); f; f = f->next) {
        put_file(f);
    }
    if (files != 1) {
        out_printf(OUT_STDOUT, "%lld files, parameters ", (long long)files);
        put_count((uint64_t)jv_i64(doc, "params", 0));
        out_printf(OUT_STDOUT, "\n");
    }
    if (worst.p) {
        out_printf(OUT_STDOUT, "findings %lld, the worst: %.*s\n",
                   (long long)jv_i64(doc, "finding_count", 0), STR_ARG(worst));
    } else {
        out_printf(OUT_STDOUT, "nothing found; that does not make a file safe\n");
    }
    if (complete && !complete->is_true) {
        out_printf(OUT_STDOUT, "a limit was reached: not everything was looked at\n");
    }
}

/* ---- as rows ----------------------------------------------------------------------------------------------------------------------- */

static const struct column file_columns[] = {
    { "name", "FILE", COLUMN_NAME },
    { "format", "FORMAT", 0 },
    { "size", "SIZE", COLUMN_RIGHT },
    { "params", "PARAMS", COLUMN_RIGHT },
    { "tensor_count", "TENSORS", COLUMN_RIGHT },
    { "finding_count", "FINDINGS", COLUMN_RIGHT },
    { "worst", "WORST", 0 },
    { "producer", "PRODUCER", COLUMN_WIDE },
};

static enum status put_rows(struct cli *cli, const struct jv *doc, struct err *err)
{
    struct render r;
    enum status st = render_begin(&r, cli, file_columns, ARRAY_N(file_columns), false, err);

    for (const struct jv *f = jv_items(doc, "files"); f && !st; f = f->next) {
        struct cell cells[ARRAY_N(file_columns)] = {
            cell_text(jv_text(f, "name")),
            cell_text(jv_text(f, "format")),
            { .kind = CELL_BYTES, .i = jv_i64(f, "size", 0) },
            cell_number(jv_text(f, "params")),
            cell_number(jv_text(f, "tensor_count")),
            cell_number(jv_text(f, "finding_count")),
            cell_text(jv_text(f, "worst")),
            cell_text(jv_text(f, "producer")),
        };

        st = render_row(&r, cells, err);
    }
    if (!st) {
        render_end(&r);
    }
    return st;
}

/* ---- the command -------------------------------------------------------------------------------------------------------------------- */

/* Whether a report has what --fail-on asks for. */
static bool fails(const struct jv *doc, const char *fail_on)
{
    struct str worst = jv_text(doc, "worst");

    if (!fail_on || !worst.p) {
        return false;
    }
    return str_eq_lit(worst, "danger") ||
           (strcmp(fail_on, "warning") == 0 && str_eq_lit(worst, "warning"));
}

/* ---- what a server holds ----------------------------------------------------------------------------------------------------------- */

#define INSPECT "/api/cairn/v1/inspect"
#define VERSION "/api/cairn/v1/model-versions/inspect"

static const struct str no_body = { NULL, 0 };

/* runs:/RUN_ID/path, or a logged model: models:/m-ID. */
static enum status of_artifacts(struct cli *cli, const char *field, struct str id, struct jv **doc,
                                struct err *err)
{
    const struct inspect_flags *flags = cli->options;
    size_t slash = str_find_byte(id, '/', 0);
    struct str path = slash == SIZE_MAX ? S("") : str_sub(id, slash + 1, id.n), target;

    id = api_escape(cli->arena, str_sub(id, 0, slash == SIZE_MAX ? id.n : slash));
    path = api_escape(cli->arena, path);
    target = arena_printf(cli->arena, INSPECT "?%s=%.*s&path=%.*s&tensors=%d", field, STR_ARG(id),
                          STR_ARG(path), (int)MIN_OF(flags->tensors, (int64_t)REMOTE_TENSORS));
    return target.p ? api_call(cli, "GET", target.p, no_body, doc, err) : err_nomem(err);
}

/* NAME/NUMBER, NAME@ALIAS, NAME/STAGE: what is found is kept with the version. */
static enum status of_version(struct cli *cli, const char *what, struct jv **doc, struct err *err)
{
    const struct inspect_flags *flags = cli->options;
    const char *name, *version;
    struct buf body = BUF_INIT(1 << 16);
    struct json_writer w = JSON_WRITER_INIT(&body);
    enum status st = model_split_name(cli, what, &name, &version, err);

    if (!st && !version) {
        st = err_set(err, ST_INVALID, "no file or folder %s, and as a model it lacks a version",
                     what);
        err_hint(err, "%s/NUMBER or %s@ALIAS says which", what, what);
    }
    if (st) return st;
    json_w_object(&w);
    json_w_key(&w, S("name"));
    json_w_cstr(&w, name);
    json_w_key(&w, S("version"));
    json_w_cstr(&w, version);
    json_w_key(&w, S("tensors"));
    json_w_i64(&w, MIN_OF(flags->tensors, (int64_t)REMOTE_TENSORS));
    json_w_object_end(&w);
    st = buf_status(&body, "request", err);
    st = st ? st : api_call(cli, "POST", VERSION, buf_str(&body), doc, err);
    buf_release(&body);
    return st;
}

static enum status document(struct cli *cli, const char *what, struct str *json, struct jv **doc,
                            struct err *err)
{
    struct str s = str_cstr(what), model = str_sub(s, 8, s.n);
    struct stat info;
    enum status st;

    if (str_starts(s, S("runs:/"))) {
        st = of_artifacts(cli, "run_id", str_sub(s, 6, s.n), doc, err);
    } else if (str_starts(s, S("models:/m-"))) {
        st = of_artifacts(cli, "model_id", model, doc, err);
    } else if (str_starts(s, S("models:/"))) {
        st = of_version(cli, what + 8, doc, err);
    } else if (sys.stat(what, &info) == 0) {
        st = local(cli, what, S_ISDIR(info.st_mode), json, err);
        return st ? st : jv_parse(*json, cli->arena, doc, err);
    } else if (strchr(what, '/') == what || str_starts(s, S("."))) {
        return err_set(err, ST_NOT_FOUND, "no file or folder %s", what);
    } else {
        st = of_version(cli, what, doc, err);
        if (st == ST_NOT_FOUND) {
            err_hint(err, "there is no such file either");
        }
    }
    *json = !st && *doc ? (*doc)->raw : S("");
    return st;
}

static int model_inspect(struct cli *cli)
{
    const struct inspect_flags *flags = cli->options;
    struct err err = ERR_INIT;
    struct str json = S("");
    struct jv *doc = NULL;
    enum status st = document(cli, cli->args[0], &json, &doc, &err);

    if (!st && cli->format == CLI_JSON && !cli->fields) {
        out_write(OUT_STDOUT, json);
        out_write(OUT_STDOUT, S("\n"));
    } else if (!st && (cli->format == CLI_TABLE || cli->format == CLI_WIDE) && !cli->fields) {
        put_document(doc);
    } else if (!st) {
        st = put_rows(cli, doc, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    return fails(doc, flags->fail_on) ? CLI_CONDITION : CLI_DONE;
}

static const struct opt_row inspect_rows[] = {
    { .name = "tensors",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "20",
      .min = "0",
      .max = "1000000",
      .off = offsetof(struct inspect_flags, tensors),
      .doc = "list so many tensors of each file" },
    { .name = "fail-on",
      .type = OPT_CHOICE,
      .arg = "SEVERITY",
      .choices = "warning|danger",
      .off = offsetof(struct inspect_flags, fail_on),
      .doc = "exit with code 7 when something as bad as this is found" },
};

static const struct cli_command rows[] = {
    { .noun = "model",
      .verb = "inspect",
      .args = "FILE|FOLDER|MODEL",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show tensors, metadata and findings of model files, without running them",
      .detail =
          "FILE and FOLDER are of this machine. MODEL is NAME/VERSION, NAME@ALIAS, runs:/RUN_ID/path or "
          "models:/MODEL_ID; what is found in a version is kept with it, and cairn model show tells it.",
      CLI_OPTIONS(inspect_rows, struct inspect_flags),
      CLI_EXAMPLES("cairn model inspect model.safetensors", "cairn model inspect ./model -o json",
                   "cairn model inspect weights.pt --fail-on danger",
                   "cairn model inspect fraud@prod"),
      .run = model_inspect },
};
const struct cli_table cli_inspect = { rows, ARRAY_N(rows) };
