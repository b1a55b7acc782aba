/* cli/trash.c - cairn run restore, cairn experiment rm, cairn experiment restore: what is deleted without --hard waits until it is
 * restored or deleted for good. */
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/run.h"
#include "codec/json.h"

enum { BODY_MAX = 64 * 1024 };

#define MLFLOW "/api/2.0/mlflow/"

/* POSTs {"KEY": "value"}. */
static enum status post_id(struct cli *cli, const char *path, const char *key, struct str value,
                           struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *answer = NULL;
    enum status st;

    json_w_object(&w);
    json_w_key(&w, str_cstr(key));
    json_w_str(&w, value);
    json_w_object_end(&w);
    st = buf_status(&body, "request", err);
    st = st ? st : api_call(cli, "POST", path, buf_str(&body), &answer, err);
    buf_release(&body);
    return st;
}

/* Deleted runs are found by their whole id only. */
int run_restore(struct cli *cli)
{
    const struct jv *run = NULL;
    struct err err = ERR_INIT;
    enum status st = cli_run_find(cli, cli->args[0], &run, &err);
    struct str id = st ? S("") : jv_text(jv_get(run, "info"), "run_id");

    st = st ? st : post_id(cli, MLFLOW "runs/restore", "run_id", id, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "run %.*s is back", STR_ARG(id));
    return CLI_DONE;
}

static bool is_number(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n > 0 && !text[n];
}

/* By id or name; deleted ones too. */
static enum status find_experiment(struct cli *cli, const char *name, struct str *id,
                                   struct err *err)
{
    struct str escaped = api_escape(cli->arena, str_cstr(name));
    struct jv *answer = NULL;
    const char *path;
    enum status st;

    *id = str_cstr(name);
    if (is_number(name)) {
        return OK;
    }
    path = arena_printf(cli->arena, MLFLOW "experiments/get-by-name?experiment_name=%.*s",
                        STR_ARG(escaped))
               .p;
    st = path && escaped.p ? api_call(cli, "GET", path, (struct str){ NULL, 0 }, &answer, err)
                           : err_nomem(err);
    if (!st) {
        *id = jv_text(jv_get(answer, "experiment"), "experiment_id");
    }
    return st;
}

static int change_experiment(struct cli *cli, const char *path, const char *done)
{
    struct err err = ERR_INIT;
    struct str id;
    enum status st = find_experiment(cli, cli->args[0], &id, &err);

    st = st ? st : post_id(cli, path, "experiment_id", id, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "experiment %.*s is %s", STR_ARG(id), done);
    return CLI_DONE;
}

int experiment_rm(struct cli *cli)
{
    return change_experiment(cli, MLFLOW "experiments/delete", "deleted; it can be restored");
}

int experiment_restore(struct cli *cli)
{
    return change_experiment(cli, MLFLOW "experiments/restore", "back");
}
