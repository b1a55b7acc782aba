/* server/cmd_gc.c - cairn server gc. */
#include "api/native/native.h"
#include "base/clock.h"
#include "cli/render.h"
#include "core/collect.h"
#include "server/commands_int.h"
#include "server/local.h"
#include <unistd.h>

enum { LOOK_EVERY_MS = 100, SAY_EVERY_MS = 2000 };

#define PATH "/api/cairn/v1/gc"

/* On a store that nobody has open. */
static enum status gc_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    const struct server_options *o = ctx;
    struct cairn_v1_gc_answer answer;
    enum status st = OK;

    if (o->gc_dry_run) {
        st = native_gc_plan(v, &answer, err);
    } else {
        st = collect_start(v->core, &(struct collect_options){ .every_ms = -1 }, err);
        if (!st && !collect_wait(v->core->collector, collect_ask(v->core->collector), -1)) {
            st = err_set(err, ST_UNAVAILABLE, "the collection has stopped");
        }
        if (!st) native_gc(v->core->collector, &answer);
    }
    if (!st) {
        msg_encode_json(out, &cairn_v1_gc_answer_desc, &answer, 0);
    }
    return st;
}

/* Asks the server until the round is done; says now and then how far it is, and why it waits. */
static enum status wait_for_it(struct cli *cli, int64_t round, struct jv **answer, struct err *err)
{
    struct local_call look = {
        .method = "GET", .path = PATH, .here = gc_here, .ctx = cli->options
    };
    int64_t said = clock_mono_ms();
    enum status st = OK;

    while (!st && jv_i64(*answer, "done_round", 0) < round) {
        if (clock_mono_ms() - said >= SAY_EVERY_MS) {
            struct str why = jv_text(*answer, "problem");

            said = clock_mono_ms();
            cli_note(cli, "%lld objects looked at, %lld bytes deleted so far%s%.*s",
                     (long long)jv_i64(*answer, "walked", 0),
                     (long long)jv_i64(*answer, "bytes", 0), why.n ? "; it waits: " : "",
                     STR_ARG(why));
        }
        usleep(LOOK_EVERY_MS * 1000);
        st = local_run(cli, &look, answer, err);
    }
    return st;
}

static enum status one_of_both(const struct server_options *o, struct err *err)
{
    if (o->gc_now != o->gc_dry_run) {
        return OK;
    }
    err_set(err, ST_INVALID, "say what is to be done");
    err_hint(err, "--dry-run counts what would be deleted, --now deletes it");
    return ST_INVALID;
}

int command_gc(struct cli *cli)
{
    static const struct column columns[] = {
        { "objects", "OBJECTS", COLUMN_RIGHT },  { "places", "PLACES", COLUMN_RIGHT },
        { "uploads", "UPLOADS", COLUMN_RIGHT },  { "bytes", "BYTES", COLUMN_RIGHT },
        { "walked", "LOOKED AT", COLUMN_RIGHT }, { "dry_run", "DRY RUN", 0 },
    };
    const struct server_options *o = cli->options;
    struct local_call call = { .method = "POST",
                               .path = PATH,
                               .body = o->gc_dry_run ? S("{\"dry_run\":true}") : S("{}"),
                               .here = gc_here,
                               .ctx = cli->options };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st = one_of_both(o, &err);

    st = st ? st : render_begin(&r, cli, columns, ARRAY_N(columns), true, &err);
    st = st ? st : local_run(cli, &call, &answer, &err);
    if (!st && !o->gc_dry_run) {
        st = wait_for_it(cli, jv_i64(answer, "round", 0), &answer, &err);
    }
    st = st ? st
            : render_row(&r,
                         (const struct cell[]){
                             cell_number(jv_text(answer, "objects")),
                             cell_number(jv_text(answer, "places")),
                             cell_number(jv_text(answer, "uploads")),
                             { .kind = CELL_BYTES, .i = jv_i64(answer, "bytes", 0) },
                             cell_number(jv_text(answer, "walked")),
                             { .kind = CELL_BOOL, .i = o->gc_dry_run },
                         },
                         &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    if (jv_i64(answer, "open_uploads", 0)) {
        cli_note(cli, "%lld uploads are open, with %lld bytes: their clients may go on for a day",
                 (long long)jv_i64(answer, "open_uploads", 0),
                 (long long)jv_i64(answer, "open_bytes", 0));
    }
    return CLI_DONE;
}
