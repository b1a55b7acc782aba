/* server/local.c - ask the server of a data folder, or open the store. */
#include "server/local.h"
#include "base/sys.h"
#include "core/artifact.h"
#include "net/loop.h"
#include "store/blob/blob.h"
#include <stdio.h>

enum { PATH_BYTES = 4096, ANSWER_MAX = 256 << 20, VIEW_ARENA_MAX = 256 << 20 };

static bool exists(const char *dir, const char *name)
{
    char path[PATH_BYTES];
    struct stat info;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return sys.stat(path, &info) == 0;
}

enum status local_open(const struct serve_options *o, bool create, struct core **out,
                       struct err *err)
{
    struct core_options options = o->core;
    struct blob_options blobs;
    char path[PATH_BYTES];
    enum status st;

    *out = NULL;
    net_init(); /* allocation of the libraries, as in a server */
    if (!create && !o->store && !exists(o->data, "cairn.db")) {
        st = err_set(err, ST_NOT_FOUND, "there is no store in %s", o->data);
        err_hint(err, "name its folder with --data DIR");
        return st;
    }
    options.sql = (struct sql_options){ .location = o->store ? o->store : o->data,
                                        .owner = "a command",
                                        .schema = create ? SQL_SCHEMA_MIGRATE : SQL_SCHEMA_CHECK };
    options.artifact_root =
        str_cstr(o->artifact_root ? o->artifact_root : ARTIFACT_PROXY_SCHEME "/");
    options.readers = 1;
    st = core_open(out, &options, err);
    snprintf(path, sizeof(path), "%s/blobs", o->data);
    blobs = (struct blob_options){ .location = o->blobs ? o->blobs : path, .s3 = o->s3 };
    st = st ? st : blob_open_with(&(*out)->blobs, &blobs, err);
    if (st) {
        local_close(*out);
        *out = NULL;
    }
    return st;
}

void local_close(struct core *core)
{
    struct blob_store *blobs = core ? core->blobs : NULL;

    core_close(core);
    blob_close(blobs);
}

static enum status run_here(struct cli *cli, const struct serve_options *o,
                            const struct local_call *call, struct jv **out, struct err *err)
{
    struct buf answer = BUF_INIT(ANSWER_MAX);
    struct arena *a = arena_new(VIEW_ARENA_MAX);
    struct core *core = NULL;
    struct view v;
    struct str text;
    enum status st = a ? local_open(o, call->create, &core, err) : err_nomem(err);

    if (st) goto out;
    core_view(core, a, &v);
    st = call->here(call->ctx, &v, &answer, err);
    st = st ? st : buf_status(&answer, "answer", err);
    if (st) goto out;
    text = arena_str(cli->arena, buf_str(&answer));
    st = text.p ? jv_parse(text, cli->arena, out, err) : err_nomem(err);
out:
    local_close(core);
    arena_free(a);
    buf_release(&answer);
    return st;
}

enum status local_run(struct cli *cli, const struct local_call *call, struct jv **out,
                      struct err *err)
{
    struct serve_options o;
    struct target t;
    struct err ignored = ERR_INIT;
    enum status st = options_serve(cli, &o, err);

    *out = NULL;
    if (st) {
        return st;
    }
    log_setup(LOG_LEVEL_WARN, o.log_json);
    if (api_target_of_data(cli, o.data, &t, &ignored) == OK) {
        st = api_send(cli, &t, call->method, call->path, call->body, out, err);
        if (st != ST_UNAVAILABLE || err->retry_after_s) {
            return st;
        }
        /* The address of a server that was killed: the store is free, or its lock will say who has it. */
        *err = (struct err)ERR_INIT;
    }
    return run_here(cli, &o, call, out, err);
}
