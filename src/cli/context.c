/* cli/context.c - named servers and their tokens in cairn.conf; which value of every option comes from where. */
#include "base/fs.h"
#include "base/sys.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/render.h"
#include <unistd.h>

enum { TOKEN_MAX = 4096, PATH_BYTES = 4096 };

/* ---- writing cairn.conf ------------------------------------------------------------------------------------------------ */

static enum status user_folder(struct cli *cli, char dir[PATH_BYTES], struct err *err)
{
    struct str path = str_cstr(cli->user_path);
    size_t slash = 0;

    if (!cli->user_path || path.n >= PATH_BYTES) {
        return err_set(err, ST_INVALID_STATE,
                       "neither XDG_CONFIG_HOME nor HOME says where cairn.conf is");
    }
    for (size_t i = 0; i < path.n; i++) {
        slash = path.p[i] == '/' ? i : slash;
    }
    memcpy(dir, path.p, slash);
    dir[slash] = 0;
    return fs_mkdirs(dir, err);
}

/* Sets (value NULL: removes) one entry and reads the file again. */
static enum status set_entry(struct cli *cli, const char *section, const char *key,
                             const char *value, struct err *err)
{
    struct buf b = BUF_INIT(CONF_FILE_MAX);
    struct str text = S("");
    char dir[PATH_BYTES];
    enum status st = user_folder(cli, dir, err);

    if (!st && cli->user.path) {
        st = fs_read_file(cli->arena, cli->user_path, CONF_FILE_MAX, &text, err);
    }
    st = st ? st : conf_edit(&b, text, section, key, value, err);
    st = st ? st : fs_write_atomic(cli->user_path, b.p, b.n, 0600, err);
    st = st ? st : conf_read(&cli->user, cli->arena, cli->user_path, err);
    buf_release(&b);
    return st;
}

static enum status check_name(const char *name, struct err *err)
{
    struct str s = str_cstr(name);
    enum status st;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '-' || c == '_';

        if (!fine) {
            s.n = 0;
        }
    }
    if (s.n && s.n <= 64) {
        return OK;
    }
    st = err_set(err, ST_INVALID, "\"%s\" cannot be the name of a context", name);
    err_hint(err, "use letters, digits, - and _, at most 64");
    return st;
}

static const char *section_of(struct cli *cli, const char *name)
{
    return arena_printf(cli->arena, "context.%s", name).p;
}

static const char *value_of(struct cli *cli, const char *name, const char *key)
{
    const char *full = arena_printf(cli->arena, "context.%s.%s", name, key).p;
    const struct conf_entry *e = full ? conf_find(&cli->user, full) : NULL;

    return e ? e->value : NULL;
}

static int finish(struct cli *cli, enum status st, const struct err *err)
{
    return st ? cli_fail(cli, st, err) : CLI_DONE;
}

/* ---- context ------------------------------------------------------------------------------------------------------------- */

int context_ls(struct cli *cli)
{
    static const struct column columns[] = {
        { "current", "", COLUMN_DATA },
        { "name", "NAME", COLUMN_NAME },
        { "server", "SERVER", 0 },
        { "token_file", "TOKEN FILE", 0 },
    };
    struct render r;
    struct err err = ERR_INIT;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);

    for (size_t i = 0; !st && i < cli->user.n; i++) {
        struct str key = str_cstr(cli->user.entries[i].key);
        const char *name;
        bool current;

        if (!str_starts(key, S("context.")) || !str_ends(key, S(".server")) || key.n < 16) {
            continue;
        }
        name = arena_cstr(cli->arena, str_sub(key, 8, key.n - 15));
        if (!name) {
            st = err_nomem(&err);
            break;
        }
        current = cli->globals.context && strcmp(cli->globals.context, name) == 0;
        st = render_row(
            &r,
            (const struct cell[]){ { .kind = CELL_BOOL, .i = current },
                                   cell_text(str_cstr(name)),
                                   cell_text(str_cstr(cli->user.entries[i].value)),
                                   cell_text(str_cstr(value_of(cli, name, "token_file"))) },
            &err);
    }
    if (!st) {
        render_end(&r);
    }
    return finish(cli, st, &err);
}

static enum status need_context(struct cli *cli, const char *name, struct err *err)
{
    enum status st;

    if (value_of(cli, name, "server")) {
        return OK;
    }
    st = err_set(err, ST_NOT_FOUND, "there is no context %s", name);
    err_hint(err, "cairn context ls lists them");
    return st;
}

int context_use(struct cli *cli)
{
    struct err err = ERR_INIT;
    enum status st = need_context(cli, cli->args[0], &err);

    st = st ? st : set_entry(cli, "cli", "context", cli->args[0], &err);
    return finish(cli, st, &err);
}

int context_set(struct cli *cli)
{
    const struct context_flags *f = cli->options;
    const char *name = cli->args[0], *section = section_of(cli, name), *url;
    struct err err = ERR_INIT;
    enum status st = check_name(name, &err);

    if (!st && !section) {
        st = err_nomem(&err);
    }
    if (!st && !f->server && !value_of(cli, name, "server")) {
        st = err_set(&err, ST_INVALID, "a new context needs a server");
        err_hint(&err, "cairn context set %s --server http://HOST:PORT", name);
    }
    if (!st && f->server) {
        st = api_clean_url(cli, f->server, &url, &err);
        st = st ? st : set_entry(cli, section, "server", url, &err);
    }
    if (!st && f->token_file) {
        st = set_entry(cli, section, "token_file", f->token_file, &err);
    }
    return finish(cli, st, &err);
}

int context_rm(struct cli *cli)
{
    const char *name = cli->args[0], *section = section_of(cli, name);
    const struct conf_entry *current = conf_find(&cli->user, "cli.context");
    struct err err = ERR_INIT;
    enum status st = section ? need_context(cli, name, &err) : err_nomem(&err);

    if (!st && current && strcmp(current->value, name) == 0) {
        st = set_entry(cli, "cli", "context", NULL, &err);
    }
    st = st ? st : set_entry(cli, section, "server", NULL, &err);
    st = st ? st : set_entry(cli, section, "token_file", NULL, &err);
    return finish(cli, st, &err);
}

/* ---- login ------------------------------------------------------------------------------------------------------------------ */

/* "http://team.example:5757/x" -> "team-example-5757" */
static const char *name_of_url(struct cli *cli, const char *url)
{
    const char *from = strstr(url, "://");
    char name[65];
    size_t n = 0;

    from = from ? from + 3 : url;
    for (; *from && *from != '/' && n < 64; from++) {
        char c = *from;
        bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        name[n++] = fine ? c : '-';
    }
    return arena_cstr(cli->arena, str_of(name, n));
}

static enum status read_stdin(struct cli *cli, struct str *out, struct err *err)
{
    char *p = arena_alloc(cli->arena, TOKEN_MAX + 1);
    size_t n = 0;

    if (!p) {
        return err_nomem(err);
    }
    for (;;) {
        ssize_t got = sys.read(0, p + n, TOKEN_MAX + 1 - n);

        if (got < 0) {
            return err_set(err, ST_IO, "stdin cannot be read");
        }
        n += (size_t)got;
        if (got == 0 || n > TOKEN_MAX) {
            break;
        }
    }
    *out = str_trim(str_of(p, n));
    if (n > TOKEN_MAX || !out->n) {
        return err_set(err, ST_INVALID,
                       n ? "what comes from stdin is too long for a token"
                         : "no token came from stdin");
    }
    return OK;
}

static enum status keep_token(struct cli *cli, const char *name, const char *url, struct str token,
                              struct err *err)
{
    char dir[PATH_BYTES];
    const char *folder, *path, *section = section_of(cli, name);
    enum status st = user_folder(cli, dir, err);

    folder = arena_printf(cli->arena, "%s/tokens", dir).p;
    path = arena_printf(cli->arena, "%s/tokens/%s", dir, name).p;
    if (!st && (!folder || !path || !section)) {
        st = err_nomem(err);
    }
    st = st ? st : fs_mkdirs(folder, err);
    st = st ? st : fs_write_atomic(path, token.p, token.n, 0600, err);
    st = st ? st : set_entry(cli, section, "server", url, err);
    st = st ? st : set_entry(cli, section, "token_file", path, err);
    return st ? st : set_entry(cli, "cli", "context", name, err);
}

int login(struct cli *cli)
{
    const struct login_flags *f = cli->options;
    struct target t = { .url = NULL };
    const char *name = f->name ? f->name : name_of_url(cli, cli->args[0]);
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct str token = S("");
    enum status st = name ? check_name(name, &err) : err_nomem(&err);

    if (!st && !f->with_token) {
        st = err_set(&err, ST_INVALID, "a login needs a token");
        err_hint(&err, "cairn login %s --with-token < FILE", cli->args[0]);
    }
    st = st ? st : api_clean_url(cli, cli->args[0], &t.url, &err);
    st = st ? st : read_stdin(cli, &token, &err);
    if (!st) {
        t.token = arena_cstr(cli->arena, token);
        st = t.token ? OK : err_nomem(&err);
    }
    st = st ? st
            : api_send(cli, &t, "GET", "/api/cairn/v1/version", (struct str){ NULL, 0 }, &answer,
                       &err);
    if (st == ST_UNAUTHENTICATED) {
        err_hint(&err, "nothing was kept: ask for a new token (cairn server token add NAME)");
    }
    st = st ? st : keep_token(cli, name, t.url, token, &err);
    if (!st) {
        cli_note(cli, "the context %s is now in use: %s", name, t.url);
    }
    return finish(cli, st, &err);
}

int logout(struct cli *cli)
{
    const char *name = cli->arg_n ? cli->args[0] : cli->globals.context;
    struct err err = ERR_INIT;
    const char *path, *section;
    char dir[PATH_BYTES];
    enum status st;

    if (!name) {
        st = err_set(&err, ST_INVALID, "no context is in use");
        err_hint(&err, "cairn logout NAME");
        return finish(cli, st, &err);
    }
    section = section_of(cli, name);
    st = section ? need_context(cli, name, &err) : err_nomem(&err);
    st = st ? st : user_folder(cli, dir, &err);
    path = arena_printf(cli->arena, "%s/tokens/%s", dir, name).p;
    if (!st && path) {
        sys.unlink(path); /* a token file of the user's own is not ours to delete */
    }
    st = st ? st : set_entry(cli, section, "token_file", NULL, &err);
    return finish(cli, st, &err);
}

/* ---- config explain ------------------------------------------------------------------------------------------------------- */

static enum status explain(struct cli *cli, struct render *r, struct opts *o, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < o->n; i++) {
        const struct opt_row *row = &o->rows[i];
        const char *text = opts_text(o, row->name);
        struct str shown = text ? opt_shown(row, text, cli->arena) : (struct str){ NULL, 0 };

        if (!row->env && !row->key) {
            continue;
        }
        st = render_row(r,
                        (const struct cell[]){ cell_text(str_cstr(row->name)), cell_text(shown),
                                               cell_text(opts_origin(o, row)),
                                               cell_text(str_cstr(row->env)),
                                               cell_text(str_cstr(row->key)) },
                        err);
    }
    return st;
}

int config_explain(struct cli *cli)
{
    static const struct column columns[] = {
        { "name", "NAME", COLUMN_NAME }, { "value", "VALUE", 0 },
        { "source", "FROM", 0 },         { "environment", "ENVIRONMENT", COLUMN_WIDE },
        { "key", "KEY", COLUMN_WIDE },
    };
    const struct cli_command *server = cli_find(cli, "server", NULL);
    struct opts o;
    struct render r;
    struct err err = ERR_INIT;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);

    st = st ? st : explain(cli, &r, &cli->global_opts, &err);
    if (!st && server) {
        st = opts_init(&o, server->opts, server->opts_n, cli->arena, &err);
        if (!st) {
            opts_env(&o);
            opts_conf(&o, &cli->project, OPT_FROM_PROJECT);
            opts_conf(&o, &cli->user, OPT_FROM_USER);
            st = explain(cli, &r, &o, &err);
        }
    }
    if (!st) {
        render_end(&r);
    }
    return finish(cli, st, &err);
}
