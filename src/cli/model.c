/* cli/model.c - cairn model: the registry from the command line.
 * A model is named NAME, one of its versions NAME/NUMBER, NAME@ALIAS or NAME/STAGE. */
#include "cli/model.h"
#include "base/clock.h"
#include "base/num.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "cli/when.h"
#include "codec/json.h"

enum { BODY_MAX = 1 << 20, PAGE_MAX = 1000, ANSWER_MAX = 64 };

struct model_ls_flags {
    const char *filter;
    const char *const *sort;
    int64_t limit;
};
struct register_flags {
    const char *run, *description, *alias;
    const char *const *tag;
};
struct alias_flags {
    bool remove;
};
struct history_flags {
    const char *alias;
    const char *at;
    const char *what;
    int64_t limit;
};

static const struct str no_body = { NULL, 0 };

/* ---- requests ------------------------------------------------------------------------------------------------------- */

/* A body of texts: names, values alternate, a NULL name ends; a NULL value leaves the field out. */
static enum status send(struct cli *cli, const char *method, const char *path,
                        const char *const *pairs, struct jv **out, struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *answer = NULL;
    enum status st;

    json_w_object(&w);
    api_put_texts(&w, pairs);
    json_w_object_end(&w);
    st = buf_status(&body, "request", err);
    st = st ? st : api_call(cli, method, path, buf_str(&body), &answer, err);
    buf_release(&body);
    if (out) {
        *out = answer;
    }
    return st;
}

enum status model_split_name(struct cli *cli, const char *text, const char **name,
                             const char **version, struct err *err)
{
    const char *slash = strchr(text, '/'), *at = slash ? NULL : strrchr(text, '@');
    const char *cut = slash ? slash : at;
    struct jv *answer = NULL;
    struct str found;
    int64_t number;
    enum status st;

    *name = cut ? arena_cstr(cli->arena, str_of(text, (size_t)(cut - text))) : text;
    *version = cut ? cut + 1 : NULL;
    if (!*name) {
        return err_nomem(err);
    }
    if (!cut || (slash && num_parse_i64(str_cstr(slash + 1), &number))) {
        return OK;
    }
    if (at && api_get(cli, MODELS "get", (const char *const[]){ "name", text, NULL }, &answer,
                      err) == OK) {
        *name = text; /* the name itself has an @ */
        *version = NULL;
        return OK;
    }
    if (at || strcmp(cut + 1, "latest") == 0) {
        st = api_get(cli, MODELS "alias",
                     (const char *const[]){ "name", *name, "alias", cut + 1, NULL }, &answer, err);
        found = jv_text(jv_get(answer, "model_version"), "version");
    } else {
        st = api_get(cli, MODELS "get-latest-versions",
                     (const char *const[]){ "name", *name, "stages", cut + 1, NULL }, &answer, err);
        found = jv_text(jv_items(answer, "model_versions"), "version");
        if (!st && !found.p) {
            st = err_set(err, ST_NOT_FOUND, "no version of %s is in stage %s", *name, cut + 1);
        }
    }
    if (!st) {
        *version = arena_cstr(cli->arena, found);
    }
    return st || *version ? st : err_nomem(err);
}

/* ---- lists ----------------------------------------------------------------------------------------------------------- */

static const struct column model_columns[] = {
    { "name", "NAME", COLUMN_NAME },
    { "latest_version", "LATEST", COLUMN_RIGHT },
    { "aliases", "ALIASES", 0 },
    { "stages", "STAGES", 0 },
    { "last_updated_timestamp", "UPDATED", 0 },
    { "description", "DESCRIPTION", COLUMN_WIDE },
    { "creation_timestamp", "CREATED", COLUMN_WIDE },
    { "tags", "TAGS", COLUMN_DATA },
};

/* A list of {a, b} objects as {"a": "b"}, and as "a=b" for people. */
static struct cell map_cell(struct arena *a, const struct jv *list, const char *key,
                            const char *value)
{
    struct buf json = BUF_INIT(BODY_MAX), text = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&json);
    struct cell out = { .kind = CELL_JSON, .json = S("{}"), .s = S("") };

    json_w_object(&w);
    for (const struct jv *v = list; v; v = v->next) {
        json_w_key(&w, jv_text(v, key));
        json_w_str(&w, jv_text(v, value).p ? jv_text(v, value) : S(""));
        buf_printf(&text, "%s%.*s=%.*s", v == list ? "" : " ", STR_ARG(jv_text(v, key)),
                   STR_ARG(jv_text(v, value)));
    }
    json_w_object_end(&w);
    if (!json.failed && !text.failed) {
        out.json = arena_str(a, buf_str(&json));
        out.s = arena_str(a, buf_str(&text));
    }
    buf_release(&json);
    buf_release(&text);
    return out.s.p && out.json.p ? out : (struct cell){ .kind = CELL_NONE };
}

/* Stages other than None, with the version in them. */
static struct cell stages_cell(struct arena *a, const struct jv *latest)
{
    struct buf json = BUF_INIT(BODY_MAX), text = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&json);
    struct cell out = { .kind = CELL_JSON, .json = S("{}"), .s = S("") };

    json_w_object(&w);
    for (const struct jv *v = latest; v; v = v->next) {
        struct str stage = jv_text(v, "current_stage"), version = jv_text(v, "version");

        json_w_key(&w, stage);
        json_w_str(&w, version);
        if (!str_eq_lit(stage, "None")) {
            buf_printf(&text, "%s%.*s=%.*s", text.n ? " " : "", STR_ARG(stage), STR_ARG(version));
        }
    }
    json_w_object_end(&w);
    if (!json.failed && !text.failed) {
        out.json = arena_str(a, buf_str(&json));
        out.s = arena_str(a, buf_str(&text));
    }
    buf_release(&json);
    buf_release(&text);
    return out.s.p && out.json.p ? out : (struct cell){ .kind = CELL_NONE };
}

static struct str newest(const struct jv *latest)
{
    int64_t best = 0;
    struct str out = { NULL, 0 };

    for (const struct jv *v = latest; v; v = v->next) {
        if (jv_i64(v, "version", 0) > best) {
            best = jv_i64(v, "version", 0);
            out = jv_text(v, "version");
        }
    }
    return out;
}

static enum status model_row(struct render *r, const struct jv *m, struct err *err)
{
    struct arena *a = r->cli->arena;
    const struct jv *latest = jv_items(m, "latest_versions");
    struct str number = newest(latest);
    struct cell cells[ARRAY_N(model_columns)] = {
        cell_text(jv_text(m, "name")),
        number.p ? cell_number(number) : (struct cell){ .kind = CELL_NONE },
        map_cell(a, jv_items(m, "aliases"), "alias", "version"),
        stages_cell(a, latest),
        cell_time(jv_i64(m, "last_updated_timestamp", 0)),
        cell_text(jv_text(m, "description")),
        cell_time(jv_i64(m, "creation_timestamp", 0)),
        map_cell(a, jv_items(m, "tags"), "key", "value"),
    };

    return render_row(r, cells, err);
}

static const char *ls_query(struct cli *cli, const struct model_ls_flags *f, int64_t left,
                            struct str token)
{
    const char *pairs[ANSWER_MAX];
    size_t n = 0;
    struct str size =
        arena_printf(cli->arena, "%lld", (long long)(left > PAGE_MAX ? PAGE_MAX : left));

    pairs[n++] = "max_results";
    pairs[n++] = size.p;
    if (f->filter) {
        pairs[n++] = "filter";
        pairs[n++] = f->filter;
    }
    for (const char *const *s = f->sort; s && *s && n + 4 < ANSWER_MAX; s++) {
        pairs[n++] = "order_by";
        pairs[n++] = *s;
    }
    if (token.n) {
        pairs[n++] = "page_token";
        pairs[n++] = arena_cstr(cli->arena, token);
    }
    pairs[n] = NULL;
    return size.p ? api_query(cli, MODELS "search", pairs) : NULL;
}

static int model_ls(struct cli *cli)
{
    const struct model_ls_flags *f = cli->options;
    struct str token = S("");
    struct err err = ERR_INIT;
    int64_t left = f->limit;
    struct render r;
    enum status st = render_begin(&r, cli, model_columns, ARRAY_N(model_columns), false, &err);

    while (!st && left > 0) {
        struct jv *page = NULL;
        const char *path = ls_query(cli, f, left, token);

        st = path ? api_call(cli, "GET", path, no_body, &page, &err) : err_nomem(&err);
        for (const struct jv *m = jv_items(page, "registered_models"); !st && m; m = m->next) {
            st = model_row(&r, m, &err);
            left--;
        }
        token = jv_text(page, "next_page_token");
        if (!token.n) {
            break;
        }
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

/* ---- versions --------------------------------------------------------------------------------------------------------- */

static const struct column version_columns[] = {
    { "version", "VERSION", COLUMN_NAME | COLUMN_RIGHT },
    { "current_stage", "STAGE", 0 },
    { "aliases", "ALIASES", 0 },
    { "run_id", "RUN", 0 },
    { "source", "SOURCE", 0 },
    { "creation_timestamp", "CREATED", 0 },
    { "last_updated_timestamp", "UPDATED", COLUMN_WIDE },
    { "description", "DESCRIPTION", COLUMN_WIDE },
    { "name", "MODEL", COLUMN_DATA },
    { "model_id", "MODEL ID", COLUMN_DATA },
    { "tags", "TAGS", COLUMN_DATA },
    { "findings", "FINDINGS", COLUMN_DATA },
    { "worst", "WORST", COLUMN_DATA },
    { "inspected", "INSPECTED", COLUMN_DATA },
};

static struct cell list_cell(struct arena *a, const struct jv *list)
{
    struct buf json = BUF_INIT(BODY_MAX), text = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&json);
    struct cell out = { .kind = CELL_JSON, .json = S("[]"), .s = S("") };

    json_w_array(&w);
    for (const struct jv *v = list; v; v = v->next) {
        json_w_str(&w, v->text);
        buf_printf(&text, "%s%.*s", v == list ? "" : " ", STR_ARG(v->text));
    }
    json_w_array_end(&w);
    if (!json.failed && !text.failed) {
        out.json = arena_str(a, buf_str(&json));
        out.s = arena_str(a, buf_str(&text));
    }
    buf_release(&json);
    buf_release(&text);
    return out.s.p && out.json.p ? out : (struct cell){ .kind = CELL_NONE };
}

/* found: what the files were found to hold, or NULL. */
static enum status version_row_found(struct render *r, const struct jv *v, const struct jv *found,
                                     struct err *err)
{
    struct arena *a = r->cli->arena;
    struct cell cells[ARRAY_N(version_columns)] = {
        cell_number(jv_text(v, "version")),
        cell_text(jv_text(v, "current_stage")),
        list_cell(a, jv_items(v, "aliases")),
        cell_text(jv_text(v, "run_id")),
        cell_text(jv_text(v, "source")),
        cell_time(jv_i64(v, "creation_timestamp", 0)),
        cell_time(jv_i64(v, "last_updated_timestamp", 0)),
        cell_text(jv_text(v, "description")),
        cell_text(jv_text(v, "name")),
        cell_text(jv_text(v, "model_id")),
        map_cell(a, jv_items(v, "tags"), "key", "value"),
        cell_number(found ? jv_text(found, "finding_count") : S("")),
        cell_text(jv_text(found, "worst")),
        cell_time(jv_i64(found, "at_ms", 0)),
    };

    if (!found) {
        cells[ARRAY_N(cells) - 3].kind = CELL_NONE;
    }
    return render_row(r, cells, err);
}

static enum status version_row(struct render *r, const struct jv *v, struct err *err)
{
    return version_row_found(r, v, NULL, err);
}

/* Pages of HISTORY lists: pairs as api_query(), with room for two more and the NULL at pairs[n]. */
static enum status pages(struct cli *cli, const char *path, const char **pairs, size_t n,
                         const char *list, int64_t left,
                         enum status (*row)(struct render *r, const struct jv *v, struct err *err),
                         struct render *r, struct err *err)
{
    struct jv *page;
    enum status st = OK;

    while (!st && left > 0) {
        st = api_get(cli, path, pairs, &page, err);
        for (const struct jv *v = jv_items(page, list); !st && v && left > 0; v = v->next) {
            st = row(r, v, err);
            left--;
        }
        if (st || !jv_text(page, "next_page_token").n) {
            break;
        }
        pairs[n] = "page_token";
        pairs[n + 1] = arena_cstr(cli->arena, jv_text(page, "next_page_token"));
        pairs[n + 2] = NULL;
        st = pairs[n + 1] ? OK : err_nomem(err);
    }
    return st;
}

static enum status show_versions(struct cli *cli, const char *name, struct err *err)
{
    const char *pairs[] = { "name", name, NULL, NULL, NULL };
    struct render r;
    enum status st = render_begin(&r, cli, version_columns, ARRAY_N(version_columns), false, err);

    st = st ? st
            : pages(cli, HISTORY "versions", pairs, 2, "model_versions", INT64_MAX, version_row, &r,
                    err);
    if (!st) {
        render_end(&r);
    }
    return st;
}

/* What the version's files were found to hold; NULL when nobody has looked. */
static const struct jv *inspection_of(struct cli *cli, const char *name, const char *version)
{
    struct err err = ERR_INIT;
    struct jv *found = NULL;
    enum status st =
        api_get(cli, "/api/cairn/v1/model-versions/inspection",
                (const char *const[]){ "name", name, "version", version, NULL }, &found, &err);

    return st ? NULL : found;
}

static int model_show(struct cli *cli)
{
    const char *name = NULL, *version = NULL;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st = model_split_name(cli, cli->args[0], &name, &version, &err);

    if (!st && !version) {
        st = show_versions(cli, name, &err);
    } else if (!st) {
        st =
            api_get(cli, VERSIONS "get",
                    (const char *const[]){ "name", name, "version", version, NULL }, &answer, &err);
        st = st ? st : render_begin(&r, cli, version_columns, ARRAY_N(version_columns), true, &err);
        st = st ? st
                : version_row_found(&r, jv_get(answer, "model_version"),
                                    inspection_of(cli, name, version), &err);
        if (!st) {
            render_end(&r);
        }
    }
    if (st == ST_NOT_FOUND) {
        err_hint(&err, "cairn model ls lists them");
    }
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- changes ----------------------------------------------------------------------------------------------------------- */

static void put_tags(struct json_writer *w, const char *const *tags)
{
    json_w_key(w, S("tags"));
    json_w_array(w);
    for (const char *const *t = tags; t && *t; t++) {
        const char *eq = strchr(*t, '=');

        json_w_object(w);
        json_w_key(w, S("key"));
        json_w_str(w, eq ? str_of(*t, (size_t)(eq - *t)) : str_cstr(*t));
        json_w_key(w, S("value"));
        json_w_cstr(w, eq ? eq + 1 : "");
        json_w_object_end(w);
    }
    json_w_array_end(w);
}

/* The run that runs:/ID/path names, or the logged model of models:/m-ID. */
static const char *id_of(struct cli *cli, const char *source, const char *scheme)
{
    const char *id = source + strlen(scheme), *end;

    if (strncmp(source, scheme, strlen(scheme)) != 0) {
        return NULL;
    }
    end = strchr(id, '/');
    return end ? arena_cstr(cli->arena, str_of(id, (size_t)(end - id))) : id;
}

static int model_register(struct cli *cli)
{
    const struct register_flags *f = cli->options;
    const char *name = cli->args[0], *source = cli->args[1];
    const char *run = f->run ? f->run : id_of(cli, source, "runs:/");
    const char *logged =
        strncmp(source, "models:/m-", 10) == 0 && !strchr(source + 8, '/') && !strchr(source, '@')
            ? source + 8
            : NULL;
    const char *const pairs[] = { "name",  name,       "source", source,        "run_id",
                                  run,     "model_id", logged,   "description", f->description,
                                  "alias", f->alias,   NULL };
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    const struct jv *redacted;
    struct render r;
    enum status st;

    json_w_object(&w);
    api_put_texts(&w, pairs);
    put_tags(&w, f->tag);
    json_w_object_end(&w);
    st = buf_status(&body, "request", &err);
    st = st ? st : api_call(cli, "POST", HISTORY "register", buf_str(&body), &answer, &err);
    buf_release(&body);
    st = st ? st : render_begin(&r, cli, version_columns, ARRAY_N(version_columns), true, &err);
    st = st ? st : version_row(&r, jv_get(answer, "model_version"), &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    redacted = jv_get(answer, "redacted");
    if (redacted && redacted->is_true) {
        cli_warn(cli, "the source has a password: it was stored as *** (readers bring their own)");
    }
    return CLI_DONE;
}

/* What was done, in the formats that programs read; people get a note. */
static enum status tell(struct cli *cli, const char *name, const char *version, const char *alias,
                        const char *done, struct err *err)
{
    static const struct column columns[] = {
        { "name", "NAME", COLUMN_NAME },
        { "version", "VERSION", COLUMN_RIGHT },
        { "alias", "ALIAS", 0 },
        { "done", "DONE", 0 },
    };
    struct cell none = { .kind = CELL_NONE };
    struct cell cells[ARRAY_N(columns)] = {
        cell_text(str_cstr(name)),
        version ? cell_number(str_cstr(version)) : none,
        alias ? cell_text(str_cstr(alias)) : none,
        cell_text(str_cstr(done)),
    };
    struct render r;
    enum status st;

    if (cli->format == CLI_TABLE || cli->format == CLI_NAME) {
        return OK;
    }
    st = render_begin(&r, cli, columns, ARRAY_N(columns), true, err);
    st = st ? st : render_row(&r, cells, err);
    if (!st) {
        render_end(&r);
    }
    return st;
}

static int model_alias(struct cli *cli)
{
    const struct alias_flags *f = cli->options;
    const char *name = NULL, *version = NULL;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    enum status st = model_split_name(cli, cli->args[0], &name, &version, &err);

    if (!st && f->remove) {
        const char *target =
            api_query(cli, HISTORY "alias",
                      (const char *const[]){ "name", name, "alias", cli->args[1],
                                             version ? "version" : NULL, version, NULL });

        st = target ? api_call(cli, "DELETE", target, no_body, &answer, &err) : err_nomem(&err);
    } else if (!st && !version) {
        st = err_set(&err, ST_INVALID, "%s names no version", cli->args[0]);
        err_hint(&err, "cairn model alias NAME/3 %s, or --remove", cli->args[1]);
    } else if (!st) {
        st = send(
            cli, "POST", MODELS "alias",
            (const char *const[]){ "name", name, "alias", cli->args[1], "version", version, NULL },
            NULL, &err);
    }
    st = st ? st : tell(cli, name, version, cli->args[1], f->remove ? "removed" : "given", &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    if (f->remove) {
        cli_note(cli, "%s has no alias %s", name, cli->args[1]);
    } else {
        cli_note(cli, "%s@%s is version %s", name, cli->args[1], version);
    }
    return CLI_DONE;
}

static int model_rm(struct cli *cli)
{
    const char *name = NULL, *version = NULL;
    struct err err = ERR_INIT;
    enum status st = model_split_name(cli, cli->args[0], &name, &version, &err);
    struct str what;

    what = version ? arena_printf(cli->arena, "version %s of %s", version, name)
                   : arena_printf(cli->arena, "%s with all its versions", name);
    if (!st && !what.p) {
        st = err_nomem(&err);
    }
    if (!st && !cli_confirm(cli, what.p, &err)) {
        st = ST_INVALID;
    }
    st = st ? st
            : send(cli, "DELETE", version ? VERSIONS "delete" : MODELS "delete",
                   (const char *const[]){ "name", name, version ? "version" : NULL, version, NULL },
                   NULL, &err);
    st = st ? st : tell(cli, name, version, NULL, "deleted", &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "deleted %s", what.p);
    return CLI_DONE;
}

/* ---- history ----------------------------------------------------------------------------------------------------------- */

static const struct column history_columns[] = {
    { "at_ms", "WHEN", 0 }, { "what", "WHAT", COLUMN_NAME }, { "version", "VERSION", COLUMN_RIGHT },
    { "key", "KEY", 0 },    { "value", "VALUE", 0 },         { "who", "WHO", 0 },
};

static enum status history_row(struct render *r, const struct jv *e, struct err *err)
{
    struct str version = jv_text(e, "version");
    struct cell cells[ARRAY_N(history_columns)] = {
        cell_time(jv_i64(e, "at_ms", 0)),
        cell_text(jv_text(e, "what")),
        version.p ? cell_number(version) : (struct cell){ .kind = CELL_NONE },
        cell_text(jv_text(e, "key")),
        cell_text(jv_text(e, "value")),
        cell_text(jv_text(e, "who")),
    };

    return render_row(r, cells, err);
}

/* --at as the server takes it; NULL without it. */
static enum status at_of(struct cli *cli, const struct history_flags *f, const char **out,
                         struct err *err)
{
    int64_t ms;
    enum status st = f->at ? cli_time(f->at, "--at", &ms, err) : OK;

    *out = !st && f->at ? arena_printf(cli->arena, "%lld", (long long)ms).p : NULL;
    return st || !f->at || *out ? st : err_nomem(err);
}

/* What an alias named at a time. */
static int alias_at(struct cli *cli, const struct history_flags *f)
{
    static const struct column columns[] = {
        { "version", "VERSION", COLUMN_NAME | COLUMN_RIGHT },
        { "since_ms", "SINCE", 0 },
        { "who", "WHO", 0 },
    };
    const char *pairs[] = { "name", cli->args[0], "alias", f->alias, NULL, NULL, NULL };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st;

    if (f->at) {
        pairs[4] = "at_ms";
    }
    st = at_of(cli, f, &pairs[5], &err);
    st = st ? st : api_get(cli, HISTORY "alias-at", pairs, &answer, &err);
    if (!st && !jv_text(answer, "version").p) {
        st = err_set(&err, ST_NOT_FOUND, "%s named no version of %s then", f->alias, cli->args[0]);
    }
    st = st ? st : render_begin(&r, cli, columns, ARRAY_N(columns), true, &err);
    if (!st) {
        struct cell cells[ARRAY_N(columns)] = { cell_number(jv_text(answer, "version")),
                                                cell_time(jv_i64(answer, "since_ms", 0)),
                                                cell_text(jv_text(answer, "who")) };

        st = render_row(&r, cells, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

static int model_history(struct cli *cli)
{
    const struct history_flags *f = cli->options;
    struct err err = ERR_INIT;
    const char *pairs[16] = { "name" }, *version = NULL, *slash;
    int64_t number;
    size_t n = 2;
    struct str size =
        arena_printf(cli->arena, "%lld", (long long)(f->limit > PAGE_MAX ? PAGE_MAX : f->limit));
    struct render r;
    enum status st = size.p ? OK : err_nomem(&err);

    if (f->alias) {
        return alias_at(cli, f);
    }
    slash =
        strrchr(cli->args[0], '/'); /* only numbers: the model may be gone, and is not asked for */
    pairs[1] = cli->args[0];
    if (slash && num_parse_i64(str_cstr(slash + 1), &number)) {
        version = slash + 1;
        pairs[1] = arena_cstr(cli->arena, str_of(cli->args[0], (size_t)(slash - cli->args[0])));
        st = st || pairs[1] ? st : err_nomem(&err);
    }
    pairs[n++] = "max_results";
    pairs[n++] = size.p;
    if (f->what) {
        pairs[n++] = "what";
        pairs[n++] = f->what;
    }
    if (f->at) {
        pairs[n++] = "at_ms";
        st = st ? st : at_of(cli, f, &pairs[n++], &err);
    }
    if (version) {
        pairs[n++] = "version";
        pairs[n++] = version;
    }
    st = st ? st : render_begin(&r, cli, history_columns, ARRAY_N(history_columns), false, &err);
    st = st ? st
            : pages(cli, HISTORY "history", pairs, n, "events", f->limit, history_row, &r, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

/* ---- the table ---------------------------------------------------------------------------------------------------------- */

static const struct opt_row ls_rows[] = {
    { .name = "filter",
      .type = OPT_TEXT,
      .arg = "EXPR",
      .off = offsetof(struct model_ls_flags, filter),
      .doc = "name LIKE 'fraud%' AND tags.team = 'risk'" },
    { .name = "sort",
      .type = OPT_LIST,
      .arg = "EXPR",
      .off = offsetof(struct model_ls_flags, sort),
      .doc = "order: last_updated_timestamp DESC" },
    { .name = "limit",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "100",
      .min = "1",
      .max = "1000000",
      .off = offsetof(struct model_ls_flags, limit),
      .doc = "at most so many" },
};
static const struct opt_row register_rows[] = {
    { .name = "run",
      .type = OPT_TEXT,
      .arg = "RUN_ID",
      .off = offsetof(struct register_flags, run),
      .doc = "the run that made it; runs:/ sources say it themselves" },
    { .name = "description",
      .type = OPT_TEXT,
      .arg = "TEXT",
      .off = offsetof(struct register_flags, description),
      .doc = "of the version" },
    { .name = "tag",
      .type = OPT_LIST,
      .arg = "KEY=VALUE",
      .off = offsetof(struct register_flags, tag),
      .doc = "of the version" },
    { .name = "alias",
      .type = OPT_TEXT,
      .arg = "ALIAS",
      .off = offsetof(struct register_flags, alias),
      .doc = "give the new version this alias" },
};
static const struct opt_row alias_rows[] = {
    { .name = "remove",
      .type = OPT_BOOL,
      .off = offsetof(struct alias_flags, remove),
      .doc = "take the alias away; with a version only if it names that" },
};
static const struct opt_row get_rows[] = {
    { .name = "to",
      .type = OPT_TEXT,
      .arg = "FOLDER",
      .off = offsetof(struct model_get_flags, to),
      .doc = "where to; without it NAME-VERSION here" },
    { .name = "force",
      .type = OPT_BOOL,
      .off = offsetof(struct model_get_flags, force),
      .doc = "replace files that are there with other bytes" },
};
static const struct opt_row diff_rows[] = {
    { .name = "all",
      .type = OPT_BOOL,
      .off = offsetof(struct model_diff_flags, all),
      .doc = "show also what is the same" },
};
static const struct opt_row history_rows[] = {
    { .name = "alias",
      .type = OPT_TEXT,
      .arg = "ALIAS",
      .off = offsetof(struct history_flags, alias),
      .doc = "the version that this alias named, at --at or now" },
    { .name = "at",
      .type = OPT_TEXT,
      .arg = "TIME",
      .off = offsetof(struct history_flags, at),
      .doc = "as of then: 2026-03-03, 2026-03-03T14:30 (UTC), or milliseconds since 1970" },
    { .name = "what",
      .type = OPT_TEXT,
      .arg = "KIND",
      .off = offsetof(struct history_flags, what),
      .doc = "created, deleted, renamed, description, stage, alias, tag or property" },
    { .name = "limit",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "100",
      .min = "1",
      .max = "1000000",
      .off = offsetof(struct history_flags, limit),
      .doc = "at most so many" },
};

static const struct cli_command rows[] = {
    { .noun = "model",
      .verb = "ls",
      .summary = "List registered models",
      CLI_OPTIONS(ls_rows, struct model_ls_flags),
      CLI_EXAMPLES("cairn model ls --filter \"name LIKE 'fraud%'\"", "cairn model ls -o name"),
      .run = model_ls },
    { .noun = "model",
      .verb = "show",
      .args = "NAME[/VERSION|@ALIAS]",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show the versions of a model, or one version",
      CLI_EXAMPLES("cairn model show fraud", "cairn model show fraud@prod -o json"),
      .run = model_show },
    { .noun = "model",
      .verb = "register",
      .args = "NAME SOURCE",
      .args_min = 2,
      .args_max = 2,
      .summary = "Make a new version of a model, and the model if there is none",
      .detail =
          "SOURCE is runs:/RUN_ID/path, models:/MODEL_ID, models:/NAME/VERSION, models:/NAME@ALIAS, or the URI "
          "of the artifacts; a password in it is stored as ***.",
      CLI_OPTIONS(register_rows, struct register_flags),
      CLI_EXAMPLES(
          "cairn model register fraud runs:/4f2c0d0e4f2c0d0e4f2c0d0e4f2c0d0e/model --alias next",
          "cairn model register fraud-live models:/fraud@next"),
      .run = model_register },
    { .noun = "model",
      .verb = "alias",
      .args = "NAME/VERSION ALIAS",
      .args_min = 2,
      .args_max = 2,
      .summary = "Give a version an alias, taking it from the version that had it",
      CLI_OPTIONS(alias_rows, struct alias_flags),
      CLI_EXAMPLES("cairn model alias fraud/7 prod", "cairn model alias fraud prod --remove",
                   "cairn model alias fraud/7 prod --remove  # not if prod has moved on"),
      .run = model_alias },
    { .noun = "model",
      .verb = "get",
      .args = "NAME[/VERSION|@ALIAS]",
      .args_min = 1,
      .args_max = 1,
      .summary = "Get the files of a version into a folder and print where it is",
      .detail =
          "Without a version, the newest. Every file is checked against its SHA-256. A command that was "
          "interrupted goes on where it was.",
      CLI_OPTIONS(get_rows, struct model_get_flags),
      CLI_EXAMPLES("cairn model get fraud@prod --to serve", "cairn model get fraud/7"),
      .run = model_get },
    { .noun = "model",
      .verb = "diff",
      .args = "NAME/VERSION NAME/VERSION",
      .args_min = 2,
      .args_max = 2,
      .summary =
          "Show two versions side by side: origin, signature, params, metrics, tags, files by digest",
      .detail = "+ and - mark what only one of them has, ~ what differs, = what is the same.",
      CLI_OPTIONS(diff_rows, struct model_diff_flags),
      CLI_EXAMPLES("cairn model diff fraud/6 fraud@prod", "cairn model diff a/1 b/1 --all -o json"),
      .run = model_diff },
    { .noun = "model",
      .verb = "history",
      .args = "NAME[/VERSION]",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show what happened to a model or one version, newest first",
      CLI_OPTIONS(history_rows, struct history_flags),
      CLI_EXAMPLES("cairn model history fraud",
                   "cairn model history fraud --alias prod --at 2026-03-03",
                   "cairn model history fraud/3 --what stage --at 2026-03-03 --limit 1"),
      .run = model_history },
    { .noun = "model",
      .verb = "rm",
      .args = "NAME[/VERSION|@ALIAS]",
      .args_min = 1,
      .args_max = 1,
      .summary = "Delete a version, or a model with all its versions",
      CLI_EXAMPLES("cairn model rm fraud/3 --yes"),
      .run = model_rm },
};
const struct cli_table cli_models = { rows, ARRAY_N(rows) };
