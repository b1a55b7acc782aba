/* cli/model_files.c - cairn model get and diff: the files of versions, and two versions side by side. */
#include "cli/api.h"
#include "cli/fetch.h"
#include "cli/model.h"
#include "cli/render.h"
#include <stdlib.h>

enum { FILES_MAX = 200000, CARD_MAX = 1 << 20 };

#define FILES   "/api/cairn/v1/artifacts"
#define PROXY   "mlflow-artifacts:"
#define MLMODEL "MLmodel"

struct file {
    struct str path, name; /* of the proxy; below the version */
    struct str sha256;
    int64_t size;
};
struct version {
    const char *name, *number;
    const struct jv *row;
    struct str place; /* path of the proxy; p NULL: the bytes are not here */
    struct str uri;
    struct file *files; /* by name */
    size_t n;
    uint64_t bytes;
};

/* ---- the files of a version ------------------------------------------------------------------------------------------------ */

/* The path behind "mlflow-artifacts:[//host]/"; p NULL for another scheme. */
static struct str proxy_path(struct str uri)
{
    struct str rest;
    size_t slash;

    if (!str_starts(uri, S(PROXY))) {
        return (struct str){ NULL, 0 };
    }
    rest = str_sub(uri, sizeof(PROXY) - 1, uri.n);
    if (str_starts(rest, S("//"))) {
        slash = str_find_byte(rest, '/', 2);
        rest = slash == SIZE_MAX ? S("") : str_sub(rest, slash, rest.n);
    }
    while (rest.n && rest.p[0] == '/') {
        rest = str_sub(rest, 1, rest.n);
    }
    while (rest.n && rest.p[rest.n - 1] == '/') {
        rest.n--;
    }
    return rest;
}

/* Of runs:/RUN_ID/path: below the artifacts of that run. */
static enum status run_place(struct cli *cli, struct version *v, struct err *err)
{
    struct str rest = str_sub(v->uri, 6, v->uri.n), uri;
    size_t slash = str_find_byte(rest, '/', 0);
    const char *run = arena_cstr(cli->arena, str_sub(rest, 0, MIN_OF(slash, rest.n)));
    struct jv *answer = NULL;
    enum status st = run ? api_get(cli, "/api/2.0/mlflow/runs/get",
                                   (const char *const[]){ "run_id", run, NULL }, &answer, err)
                         : err_nomem(err);

    if (st) return st == ST_NOT_FOUND ? OK : st;
    uri = jv_text(jv_get(jv_get(answer, "run"), "info"), "artifact_uri");
    uri = arena_printf(cli->arena, "%.*s%.*s", STR_ARG(uri),
                       STR_ARG(slash == SIZE_MAX ? S("") : str_sub(rest, slash, rest.n)));
    v->place = proxy_path(uri);
    return uri.p ? OK : err_nomem(err);
}

static enum status find_version(struct cli *cli, const char *text, struct version *v,
                                struct err *err)
{
    struct jv *answer = NULL, *place = NULL;
    enum status st = model_split_name(cli, text, &v->name, &v->number, err);

    if (!st && !v->number) {
        st = api_get(cli, MODELS "alias",
                     (const char *const[]){ "name", v->name, "alias", "latest", NULL }, &answer,
                     err);
    } else if (!st) {
        st = api_get(cli, VERSIONS "get",
                     (const char *const[]){ "name", v->name, "version", v->number, NULL }, &answer,
                     err);
    }
    if (st) {
        if (st == ST_NOT_FOUND) {
            err_hint(err, "cairn model ls lists models, cairn model show NAME their versions");
        }
        return st;
    }
    v->row = jv_get(answer, "model_version");
    v->number = arena_cstr(cli->arena, jv_text(v->row, "version"));
    if (!v->number) {
        return err_nomem(err);
    }
    st = api_get(cli, VERSIONS "get-download-uri",
                 (const char *const[]){ "name", v->name, "version", v->number, NULL }, &place, err);
    v->uri = jv_text(place, "artifact_uri");
    v->place = proxy_path(v->uri);
    return !st && str_starts(v->uri, S("runs:/")) ? run_place(cli, v, err) : st;
}

static enum status add_file(struct cli *cli, struct version *v, size_t *cap, const struct jv *f,
                            struct err *err)
{
    struct str path = jv_text(f, "path");
    size_t cut = v->place.n ? v->place.n + 1 : 0;
    struct file *one;

    if (v->n == FILES_MAX ||
        !arena_grow(cli->arena, (void **)&v->files, v->n, cap, sizeof(*v->files))) {
        return v->n == FILES_MAX ? err_set(err, ST_TOO_BIG, "%s/%s has more than %d files", v->name,
                                           v->number, FILES_MAX)
                                 : err_nomem(err);
    }
    one = &v->files[v->n++];
    *one =
        (struct file){ .path = path, .sha256 = jv_text(f, "sha256"), .size = jv_i64(f, "size", 0) };
    one->name = path.n > cut ? str_sub(path, cut, path.n) : path;
    if (str_eq(path, v->place)) { /* the version is one file */
        while ((cut = str_find_byte(one->name, '/', 0)) != SIZE_MAX) {
            one->name = str_sub(one->name, cut + 1, one->name.n);
        }
    }
    v->bytes += (uint64_t)one->size;
    return OK;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

struct folders {
    struct str *p;
    size_t n, cap;
};

/* One page of a folder; *token: NULL = it was the last. */
static enum status read_page(struct cli *cli, struct version *v, size_t *cap, struct str folder,
                             struct folders *below, const char **token, struct err *err)
{
    struct jv *answer = NULL;
    const char *pairs[] = { "path",  arena_cstr(cli->arena, folder), "max_results",
                            "10000", *token ? "page_token" : NULL,   *token,
                            NULL };
    struct str next;
    enum status st = pairs[1] ? api_get(cli, FILES, pairs, &answer, err) : err_nomem(err);

    for (const struct jv *f = jv_items(answer, "files"); !st && f; f = f->next) {
        const struct jv *dir = jv_get(f, "is_dir");

        if (!dir || !dir->is_true) {
            st = add_file(cli, v, cap, f, err);
        } else if (arena_grow(cli->arena, (void **)&below->p, below->n, &below->cap,
                              sizeof(*below->p))) {
            below->p[below->n++] = jv_text(f, "path");
        } else {
            st = err_nomem(err);
        }
    }
    next = jv_text(answer, "next_page_token");
    *token = !st && next.n ? arena_cstr(cli->arena, next) : NULL;
    return st || !next.n || *token ? st : err_nomem(err);
}

static enum status list_files(struct cli *cli, struct version *v, struct err *err)
{
    struct folders below = { 0 };
    const char *token = NULL;
    size_t cap = 0;
    enum status st = OK;

    if (!v->place.p) {
        return OK;
    }
    do {
        st = read_page(cli, v, &cap, v->place, &below, &token, err);
    } while (!st && token);
    while (!st && below.n) {
        struct str folder = below.p[--below.n];

        do {
            st = read_page(cli, v, &cap, folder, &below, &token, err);
        } while (!st && token);
    }
    if (!st && v->n) {
        qsort(v->files, v->n, sizeof(*v->files), by_name);
    }
    return st;
}

/* ---- get -------------------------------------------------------------------------------------------------------------------- */

static const char *file_target(struct cli *cli, const struct file *f)
{
    struct str escaped = api_escape(cli->arena, f->path);

    return escaped.p ? arena_printf(cli->arena, FILES "/file?path=%.*s", STR_ARG(escaped)).p : NULL;
}

static enum status get_files(struct cli *cli, struct fetch *f, const struct version *v,
                             struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < v->n; i++) {
        const char *target = file_target(cli, &v->files[i]);
        struct digest sha;

        if (!target) {
            return err_nomem(err);
        }
        if (!digest_parse(v->files[i].sha256, &sha)) {
            return err_set(err, ST_INTERNAL, "the server's list of files has no digests");
        }
        st = fetch_file(f, target, v->files[i].name, (uint64_t)v->files[i].size, &sha, err);
    }
    return st;
}

static enum status show_get(struct cli *cli, const struct fetch *f, const struct version *v,
                            struct err *err)
{
    static const struct column columns[] = {
        { "folder", "FOLDER", COLUMN_NAME }, { "name", "NAME", 0 },
        { "version", "VERSION", 0 },         { "files", "FILES", COLUMN_RIGHT },
        { "bytes", "BYTES", COLUMN_RIGHT },  { "resumed", "RESUMED", COLUMN_RIGHT },
    };
    struct render r;
    struct cell cells[ARRAY_N(columns)] = {
        cell_text(str_cstr(f->folder)),
        cell_text(str_cstr(v->name)),
        cell_number(str_cstr(v->number)),
        cell_number(arena_printf(cli->arena, "%zu", v->n)),
        { .kind = CELL_BYTES, .i = (int64_t)f->done },
        { .kind = CELL_BYTES, .i = (int64_t)f->resumed },
    };
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), true, err);

    st = st ? st : render_row(&r, cells, err);
    if (!st) {
        render_end(&r);
    }
    return st;
}

int model_get(struct cli *cli)
{
    const struct model_get_flags *flags = cli->options;
    struct fetch f = { .cli = cli, .force = flags->force };
    struct version v = { 0 };
    struct err err = ERR_INIT;
    char size[32], had[32];
    enum status st = find_version(cli, cli->args[0], &v, &err);

    if (!st && !v.place.p) {
        st = err_set(&err, ST_NOT_FOUND, "the files of %s/%s are not on this server", v.name,
                     v.number);
        err_hint(&err, v.uri.n ? "they are at %.*s" : "it has no source yet", STR_ARG(v.uri));
    }
    st = st ? st : list_files(cli, &v, &err);
    if (!st && !v.n) {
        st = err_set(&err, ST_NOT_FOUND, "%s/%s has no files", v.name, v.number);
    }
    f.total = v.bytes;
    f.folder = flags->to ? flags->to : arena_printf(cli->arena, "%s-%s", v.name, v.number).p;
    if (!st && !f.folder) {
        st = err_nomem(&err);
    }
    st = st ? st : get_files(cli, &f, &v, &err);
    fetch_end(&f);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_bytes((int64_t)f.done, size);
    render_bytes((int64_t)f.resumed, had);
    cli_note(cli, "%s/%s: %zu files, %s, digests are right%s%s", v.name, v.number, v.n, size,
             f.resumed ? "; of these were there already: " : "", f.resumed ? had : "");
    if (cli->format == CLI_TABLE || cli->format == CLI_NAME) {
        out_printf(OUT_STDOUT, "%s\n", f.folder);
        return CLI_DONE;
    }
    st = show_get(cli, &f, &v, &err);
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- diff: facts of a version ---------------------------------------------------------------------------------------------------- */

enum section { OF_VERSION, OF_SIGNATURE, OF_PARAM, OF_METRIC, OF_TAG, OF_FILE };
static const char *const section_names[] = {
    "version", "signature", "param", "metric", "tag", "file",
};
struct fact {
    enum section section;
    struct str key, value;
};
struct facts {
    struct cli *cli;
    struct fact *p;
    size_t n, cap;
};

static enum status add_fact(struct facts *f, enum section section, struct str key, struct str value,
                            struct err *err)
{
    if (!value.p) {
        return OK;
    }
    if (!arena_grow(f->cli->arena, (void **)&f->p, f->n, &f->cap, sizeof(*f->p))) {
        return err_nomem(err);
    }
    f->p[f->n++] = (struct fact){ section, key, value };
    return OK;
}

static int compare_facts(const struct fact *a, const struct fact *b)
{
    int order = (a->section > b->section) - (a->section < b->section);

    return order ? order : str_cmp(a->key, b->key);
}

static int by_fact(const void *a, const void *b)
{
    return compare_facts(a, b);
}

static enum status add_pairs(struct facts *f, enum section section, const struct jv *list,
                             struct err *err)
{
    enum status st = OK;

    for (; !st && list; list = list->next) {
        st = add_fact(f, section, jv_text(list, "key"), jv_text(list, "value"), err);
    }
    return st;
}

/* Params and metrics: of the run, else of the logged model. */
static enum status add_origin(struct facts *f, const struct version *v, struct err *err)
{
    struct str run = jv_text(v->row, "run_id"), model = jv_text(v->row, "model_id");
    const struct jv *data = NULL;
    struct jv *answer = NULL;
    const char *id = arena_cstr(f->cli->arena, run.n ? run : model.p ? model : S(""));
    const char *path;
    struct err missing = ERR_INIT;
    enum status st = id ? OK : err_nomem(err);

    if (st || (!run.n && !model.n)) {
        return st;
    }
    if (run.n) {
        st = api_get(f->cli, "/api/2.0/mlflow/runs/get",
                     (const char *const[]){ "run_id", id, NULL }, &answer, &missing);
        data = jv_get(jv_get(answer, "run"), "data");
    } else {
        path = arena_printf(f->cli->arena, "/api/2.0/mlflow/logged-models/%s", id).p;
        st = path ? api_get(f->cli, path, (const char *const[]){ NULL }, &answer, &missing)
                  : err_nomem(&missing);
        data = jv_get(jv_get(answer, "model"), "data");
    }
    if (st == ST_NOT_FOUND) { /* deleted for good: the version stays */
        return OK;
    }
    if (st) {
        *err = missing;
        return st;
    }
    st = add_pairs(f, OF_PARAM, jv_items(data, "params"), err);
    return st ? st : add_pairs(f, OF_METRIC, jv_items(data, "metrics"), err);
}

struct card {
    struct buf text;
    bool too_long;
};

static bool on_card(void *ctx, int status, const void *p, size_t n)
{
    struct card *c = ctx;

    (void)status;
    buf_put(&c->text, p, n);
    c->too_long = c->text.failed != OK;
    return !c->too_long;
}

/* The lines below "signature:", each key with what it goes on with. */
static enum status add_signature(struct facts *f, struct str text, struct err *err)
{
    struct str line, key = S(""), value = { NULL, 0 };
    bool inside = false;
    enum status st = OK;

    while (!st && str_split(&text, '\n', &line)) {
        bool indented = line.n > 2 && line.p[0] == ' ' && line.p[1] == ' ';
        size_t colon = str_find_byte(line, ':', 0);

        if (!indented) {
            inside = str_eq_lit(str_trim(line), "signature:");
            continue;
        }
        if (inside && line.p[2] != ' ' && colon != SIZE_MAX) {
            st = add_fact(f, OF_SIGNATURE, key, value, err);
            key = str_trim(str_sub(line, 0, colon));
            value = str_trim(str_sub(line, colon + 1, line.n));
            value.p = value.p ? value.p : "";
        } else if (inside && value.p) {
            value =
                arena_printf(f->cli->arena, "%.*s %.*s", STR_ARG(value), STR_ARG(str_trim(line)));
        }
    }
    return st ? st : add_fact(f, OF_SIGNATURE, key, value, err);
}

static enum status add_files(struct facts *f, const struct version *v, struct err *err)
{
    struct card card = { .text = BUF_INIT(CARD_MAX) };
    enum status st = OK;

    for (size_t i = 0; !st && i < v->n; i++) {
        const struct file *one = &v->files[i];
        const char *target;

        st = add_fact(f, OF_FILE, one->name, one->sha256, err);
        if (!st && str_eq_lit(one->name, MLMODEL) && one->size <= CARD_MAX) {
            target = file_target(f->cli, one);
            st = target ? api_download(f->cli, target, 0, on_card, &card, err) : err_nomem(err);
            st = st ? st : add_signature(f, arena_str(f->cli->arena, buf_str(&card.text)), err);
        }
    }
    buf_release(&card.text);
    return st;
}

static enum status gather(struct facts *f, const char *text, struct version *v, struct err *err)
{
    static const char *const fields[] = { "source", "run_id", "model_id", "current_stage",
                                          "description" };
    enum status st = find_version(f->cli, text, v, err);

    for (size_t i = 0; !st && i < ARRAY_N(fields); i++) {
        struct str value = jv_text(v->row, fields[i]);

        if (value.n) {
            st = add_fact(f, OF_VERSION, str_cstr(fields[i]), value, err);
        }
    }
    for (const struct jv *a = st ? NULL : jv_items(v->row, "aliases"); !st && a; a = a->next) {
        st = add_fact(f, OF_VERSION, arena_printf(f->cli->arena, "@%.*s", STR_ARG(a->text)),
                      S("here"), err);
    }
    st = st ? st : add_pairs(f, OF_TAG, jv_items(v->row, "tags"), err);
    st = st ? st : add_origin(f, v, err);
    st = st ? st : list_files(f->cli, v, err);
    st = st ? st : add_files(f, v, err);
    if (!st && f->n) {
        qsort(f->p, f->n, sizeof(*f->p), by_fact);
    }
    return st;
}

/* ---- diff: side by side ------------------------------------------------------------------------------------------------------------ */

static struct cell value_cell(struct cli *cli, const struct fact *f)
{
    if (!f) {
        return (struct cell){ .kind = CELL_NONE };
    }
    /* Digests are told apart by their start, but for programs. */
    if (f->section == OF_FILE && (cli->format == CLI_TABLE || cli->format == CLI_MD)) {
        return cell_text(str_sub(f->value, 0, 12));
    }
    return cell_text(f->value);
}

static enum status show_diff(struct cli *cli, const struct facts *a, const struct facts *b,
                             bool all, struct err *err)
{
    static const struct column columns[] = {
        { "what", "WHAT", 0 }, { "key", "KEY", COLUMN_NAME }, { "change", "", 0 },
        { "left", "LEFT", 0 }, { "right", "RIGHT", 0 },
    };
    size_t i = 0, k = 0;
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, err);

    while (!st && (i < a->n || k < b->n)) {
        int order = i == a->n ? 1 : k == b->n ? -1 : compare_facts(&a->p[i], &b->p[k]);
        const struct fact *left = order <= 0 ? &a->p[i++] : NULL;
        const struct fact *right = order >= 0 ? &b->p[k++] : NULL;
        const struct fact *any = left ? left : right;
        bool same = left && right && str_eq(left->value, right->value);
        struct cell cells[ARRAY_N(columns)] = {
            cell_text(str_cstr(section_names[any->section])),
            cell_text(any->key),
            cell_text(same     ? S("=")
                      : !left  ? S("+")
                      : !right ? S("-")
                               : S("~")),
            value_cell(cli, left),
            value_cell(cli, right),
        };

        if (all || !same) {
            st = render_row(&r, cells, err);
        }
    }
    if (!st) {
        render_end(&r);
    }
    return st;
}

int model_diff(struct cli *cli)
{
    const struct model_diff_flags *flags = cli->options;
    struct facts a = { .cli = cli }, b = { .cli = cli };
    struct version left = { 0 }, right = { 0 };
    struct err err = ERR_INIT;
    enum status st = gather(&a, cli->args[0], &left, &err);

    st = st ? st : gather(&b, cli->args[1], &right, &err);
    st = st ? st : show_diff(cli, &a, &b, flags->all, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    if (!left.place.p || !right.place.p) {
        cli_note(cli, "files are compared only where both versions have theirs on this server");
    }
    return CLI_DONE;
}
