/* server/cmd_store.c - cairn server token add|ls|rm, check, backup, compact. */
#include "api/native/native.h"
#include "base/clock.h"
#include "cli/render.h"
#include "codec/json.h"
#include "core/compaction.h"
#include "server/commands_int.h"
#include "server/local.h"
#include "store/sql/sql.h"
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY_MAX = 64 * 1024 };

#define API "/api/cairn/v1"

static int finish(struct cli *cli, enum status st, const struct err *err)
{
    return st ? cli_fail(cli, st, err) : CLI_DONE;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

static enum status add_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    const struct cairn_v1_token_add *in = ctx;
    struct token_add *t = ARENA_NEW(v->arena, struct token_add);
    struct cairn_v1_token_added added;
    enum status st = t ? native_token_add(t, NULL, v->arena, in, &added, err) : err_nomem(err);

    st = st ? st : seq_run(v->core->seq, &t->op, err);
    if (!st) {
        msg_encode_json(out, &cairn_v1_token_added_desc, &added, 0);
    }
    return st;
}

int command_token_add(struct cli *cli)
{
    static const struct column columns[] = {
        { "name", "NAME", COLUMN_DATA },
        { "principal", "PRINCIPAL", COLUMN_DATA },
        { "token", "TOKEN", COLUMN_NAME },
    };
    struct cairn_v1_token_add in = { .has = CAIRN_V1_TOKEN_ADD_HAS_NAME,
                                     .name = str_cstr(cli->args[0]) };
    struct local_call call = {
        .method = "POST", .path = API "/tokens", .here = add_here, .ctx = &in, .create = true
    };
    struct buf body = BUF_INIT(BODY_MAX);
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st;

    if (cli->arg_n > 1) {
        in.principal = str_cstr(cli->args[1]);
        in.has |= CAIRN_V1_TOKEN_ADD_HAS_PRINCIPAL;
    }
    msg_encode_json(&body, &cairn_v1_token_add_desc, &in, 0);
    st = buf_status(&body, "token", &err);
    call.body = buf_str(&body);
    st = st ? st : render_begin(&r, cli, columns, ARRAY_N(columns), true, &err);
    st = st ? st : local_run(cli, &call, &answer, &err);
    if (!st) {
        r.tty = false; /* the token alone, to copy */
        st = render_row(&r,
                        (const struct cell[]){ cell_text(jv_text(answer, "name")),
                                               cell_text(jv_text(answer, "principal")),
                                               cell_text(jv_text(answer, "token")) },
                        &err);
    }
    if (!st) {
        render_end(&r);
        cli_note(cli, "the token is shown only now; clients send it as MLFLOW_TRACKING_TOKEN");
    }
    buf_release(&body);
    return finish(cli, st, &err);
}

static enum status ls_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    struct cairn_v1_token_list list = { .has = 0 };
    enum status st = native_tokens(v, &list, err);

    (void)ctx;
    if (!st) {
        msg_encode_json(out, &cairn_v1_token_list_desc, &list, 0);
    }
    return st;
}

int command_token_ls(struct cli *cli)
{
    static const struct column columns[] = {
        { "name", "NAME", COLUMN_NAME },
        { "principal", "PRINCIPAL", 0 },
        { "create_ms", "CREATED", 0 },
    };
    struct local_call call = { .method = "GET", .path = API "/tokens", .here = ls_here };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);

    st = st ? st : local_run(cli, &call, &answer, &err);
    for (const struct jv *v = jv_items(answer, "tokens"); !st && v; v = v->next) {
        st = render_row(&r,
                        (const struct cell[]){ cell_text(jv_text(v, "name")),
                                               cell_text(jv_text(v, "principal")),
                                               cell_time(jv_i64(v, "create_ms", 0)) },
                        &err);
    }
    if (!st) {
        render_end(&r);
    }
    return finish(cli, st, &err);
}

static enum status rm_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    struct token_remove *t = ARENA_NEW(v->arena, struct token_remove);

    if (!t) {
        return err_nomem(err);
    }
    token_remove_init(t, NULL, v->arena);
    t->name = str_cstr(ctx);
    buf_put_lit(out, "{}");
    return seq_run(v->core->seq, &t->op, err);
}

int command_token_rm(struct cli *cli)
{
    struct str name = api_escape(cli->arena, str_cstr(cli->args[0]));
    struct local_call call = { .method = "DELETE",
                               .here = rm_here,
                               .ctx = (void *)(uintptr_t)cli->args[0] };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    enum status st = OK;

    call.path = arena_printf(cli->arena, API "/tokens/%.*s", STR_ARG(name)).p;
    if (!call.path || !name.p) {
        st = err_nomem(&err);
    }
    st = st ? st : local_run(cli, &call, &answer, &err);
    return finish(cli, st, &err);
}

/* ---- check ---------------------------------------------------------------------------------------------------------- */

static enum status check_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    struct cairn_v1_check_answer answer = { .has = 0 };
    enum status st = native_check(v, &answer, err);

    (void)ctx;
    if (!st) {
        msg_encode_json(out, &cairn_v1_check_answer_desc, &answer, 0);
    }
    return st;
}

int command_check(struct cli *cli)
{
    static const struct column columns[] = { { "rule", "RULE", COLUMN_NAME }, { "row", "ROW", 0 } };
    struct local_call call = { .method = "GET", .path = API "/check", .here = check_here };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);
    int64_t found;

    st = st ? st : local_run(cli, &call, &answer, &err);
    for (const struct jv *v = jv_items(answer, "findings"); !st && v; v = v->next) {
        st = render_row(
            &r,
            (const struct cell[]){ cell_text(jv_text(v, "rule")), cell_text(jv_text(v, "row")) },
            &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    found = jv_i64(answer, "found", 0);
    if (found || cli->format != CLI_TABLE) {
        render_end(&r);
    }
    if (found) {
        cli_note(cli, "%lld rows break a rule", (long long)found);
        return CLI_CONDITION;
    }
    cli_note(cli, "clean");
    return CLI_DONE;
}

/* ---- backup ----------------------------------------------------------------------------------------------------------- */

static enum status backup_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    struct cairn_v1_backup_answer answer = { .has = 0 };
    enum status st = native_backup(v, str_cstr(ctx), &answer, err);

    if (!st) {
        msg_encode_json(out, &cairn_v1_backup_answer_desc, &answer, 0);
    }
    return st;
}

/* The server's working directory is another: it gets an absolute path. */
static enum status absolute(struct cli *cli, const char *path, const char **out, struct err *err)
{
    char dir[PATH_MAX];

    if (path[0] == '/') {
        *out = path;
        return OK;
    }
    if (!getcwd(dir, sizeof(dir))) {
        return err_set(err, ST_IO, "the working directory is gone");
    }
    *out = arena_printf(cli->arena, "%s/%s", dir, path).p;
    return *out ? OK : err_nomem(err);
}

static void say_pg_dump(struct cli *cli, const char *dest)
{
    const struct server_options *o = cli->options;
    const struct opt_row row = { .flags = OPT_SECRET };
    const char *uri = o->store ? o->store : o->ml_store_uri;
    struct str shown = uri ? opt_shown(&row, uri, cli->arena) : S("postgresql://...");

    cli_note(
        cli,
        "the bytes are copied; the database is PostgreSQL's to copy. A dump made before this backup has all its\n"
        "  bytes here; make one now only if nobody writes:\n  pg_dump --format=custom --file=%s/cairn.pgdump '%.*s'",
        dest, STR_ARG(shown));
}

int command_backup(struct cli *cli)
{
    static const struct column columns[] = {
        { "path", "FOLDER", COLUMN_NAME },      { "database", "DATABASE", 0 },
        { "objects", "OBJECTS", COLUMN_RIGHT }, { "bytes", "BYTES", COLUMN_RIGHT },
        { "linked", "LINKED", COLUMN_RIGHT },
    };
    struct local_call call = { .method = "POST", .path = API "/backup", .here = backup_here };
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    const struct jv *database;
    const char *dest = NULL;
    struct render r;
    enum status st = absolute(cli, cli->args[0], &dest, &err);

    st = st ? st : render_begin(&r, cli, columns, ARRAY_N(columns), true, &err);
    json_w_object(&w);
    json_w_key(&w, S("path"));
    json_w_cstr(&w, dest);
    json_w_object_end(&w);
    st = st ? st : buf_status(&body, "path", &err);
    call.body = buf_str(&body);
    call.ctx = (void *)(uintptr_t)dest;
    st = st ? st : local_run(cli, &call, &answer, &err);
    database = jv_get(answer, "database");
    if (!st) {
        st = render_row(
            &r,
            (const struct cell[]){ cell_text(jv_text(answer, "path")),
                                   { .kind = CELL_BOOL, .i = database && database->is_true },
                                   cell_number(jv_text(answer, "objects")),
                                   { .kind = CELL_BYTES, .i = jv_i64(answer, "bytes", 0) },
                                   cell_number(jv_text(answer, "linked")) },
            &err);
    }
    if (!st) {
        render_end(&r);
        if (database && !database->is_true) {
            say_pg_dump(cli, dest);
        }
    }
    buf_release(&body);
    return finish(cli, st, &err);
}

/* ---- compact ----------------------------------------------------------------------------------------------------------- */

enum { LOOK_EVERY_MS = 100, SAY_EVERY_MS = 2000 };

static enum status compact_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    struct cairn_v1_compact_answer answer = { .has = 0 };
    enum status st = compaction_start(v->core, true, err);

    (void)ctx;
    if (!st) {
        native_compaction(v, &answer);
        msg_encode_json(out, &cairn_v1_compact_answer_desc, &answer, 0);
    }
    return st;
}

static bool is_running(const struct jv *answer)
{
    const struct jv *running = jv_get(answer, "running");

    return running && running->is_true;
}

/* Asks the server until it is done; says now and then how far it is. */
static enum status wait_for_it(struct cli *cli, struct jv **answer, struct err *err)
{
    struct local_call look = { .method = "GET", .path = API "/compact", .here = compact_here };
    int64_t said = clock_mono_ms();
    enum status st = OK;

    while (!st && is_running(*answer)) {
        if (clock_mono_ms() - said >= SAY_EVERY_MS) {
            said = clock_mono_ms();
            cli_note(cli, "%lld runs looked at, %lld points moved so far",
                     (long long)jv_i64(*answer, "owners", 0),
                     (long long)jv_i64(*answer, "points", 0));
        }
        usleep(LOOK_EVERY_MS * 1000);
        st = local_run(cli, &look, answer, err);
    }
    return st;
}

int command_compact(struct cli *cli)
{
    static const struct column columns[] = {
        { "owners", "RUNS", COLUMN_RIGHT },   { "merges", "MERGES", COLUMN_RIGHT },
        { "points", "POINTS", COLUMN_RIGHT }, { "chunks", "CHUNKS", COLUMN_RIGHT },
        { "failed", "FAILED", COLUMN_RIGHT },
    };
    struct local_call call = {
        .method = "POST", .path = API "/compact", .body = S("{}"), .here = compact_here
    };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), true, &err);

    st = st ? st : local_run(cli, &call, &answer, &err);
    st = st ? st : wait_for_it(cli, &answer, &err);
    st = st ? st
            : render_row(&r,
                         (const struct cell[]){ cell_number(jv_text(answer, "owners")),
                                                cell_number(jv_text(answer, "merges")),
                                                cell_number(jv_text(answer, "points")),
                                                cell_number(jv_text(answer, "chunks")),
                                                cell_number(jv_text(answer, "failed")) },
                         &err);
    if (!st) {
        render_end(&r);
    }
    return finish(cli, st, &err);
}
