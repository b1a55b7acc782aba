/* server/cmd_repack.c - cairn server repack. */
#include "api/native/native.h"
#include "base/clock.h"
#include "cli/render.h"
#include "core/repack.h"
#include "server/commands_int.h"
#include "server/local.h"
#include <unistd.h>

enum { LOOK_EVERY_MS = 100, SAY_EVERY_MS = 2000 };

#define PATH "/api/cairn/v1/repack"

/* On a store that nobody has open: to the end, since nobody would go on with it. */
static enum status repack_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    const struct server_options *o = ctx;
    struct cairn_v1_repack_answer answer;
    unsigned how = o->repack_reindex ? REPACK_REINDEX : REPACK_NOW;
    enum status st = v->core->repacker
                         ? OK
                         : repack_start(v->core, &(struct repack_options){ .every_ms = -1 }, err);

    if (!st && !repack_wait(v->core->repacker, repack_ask(v->core->repacker, how), -1)) {
        st = err_set(err, ST_UNAVAILABLE, "packing has stopped");
    }
    if (!st) {
        native_repack(v, &answer);
        msg_encode_json(out, &cairn_v1_repack_answer_desc, &answer, 0);
    }
    return st;
}

/* Asks the server until the round is done; says now and then how far it is. */
static enum status wait_for_it(struct cli *cli, int64_t round, struct jv **answer, struct err *err)
{
    struct local_call look = {
        .method = "GET", .path = PATH, .here = repack_here, .ctx = cli->options
    };
    int64_t said = clock_mono_ms();
    enum status st = OK;

    while (!st && jv_i64(*answer, "done", 0) < round) {
        if (clock_mono_ms() - said >= SAY_EVERY_MS) {
            said = clock_mono_ms();
            cli_note(cli, "%lld objects, %lld bytes moved so far",
                     (long long)jv_i64(*answer, "objects", 0),
                     (long long)jv_i64(*answer, "bytes", 0));
        }
        usleep(LOOK_EVERY_MS * 1000);
        st = local_run(cli, &look, answer, err);
    }
    return st;
}

static enum status show(struct render *r, const struct jv *answer, struct err *err)
{
    const struct cell row[] = { cell_number(jv_text(answer, "objects")),
                                { .kind = CELL_BYTES, .i = jv_i64(answer, "bytes", 0) },
                                { .kind = CELL_BYTES, .i = jv_i64(answer, "new_bytes", 0) },
                                cell_number(jv_text(answer, "packs")),
                                { .kind = CELL_BYTES, .i = jv_i64(answer, "pack_bytes", 0) },
                                cell_number(jv_text(answer, "damaged")) };

    return render_row(r, row, err);
}

int command_repack(struct cli *cli)
{
    static const struct column columns[] = {
        { "objects", "OBJECTS", COLUMN_RIGHT },       { "bytes", "BYTES", COLUMN_RIGHT },
        { "new_bytes", "NEW BYTES", COLUMN_RIGHT },   { "packs", "PACKS", COLUMN_RIGHT },
        { "pack_bytes", "PACK BYTES", COLUMN_RIGHT }, { "damaged", "DAMAGED", COLUMN_RIGHT },
    };
    const struct server_options *o = cli->options;
    struct local_call call = { .method = "POST",
                               .path = PATH,
                               .body = o->repack_reindex ? S("{\"reindex\":true}") : S("{}"),
                               .here = repack_here,
                               .ctx = cli->options };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), true, &err);

    st = st ? st : local_run(cli, &call, &answer, &err);
    if (!st && o->repack_wait) {
        st = wait_for_it(cli, jv_i64(answer, "asked", 0), &answer, &err);
    }
    if (!st && jv_text(answer, "problem").n) {
        st = err_set(&err, ST_UNAVAILABLE, "packing broke off: %.*s",
                     STR_ARG(jv_text(answer, "problem")));
    }
    st = st ? st : show(&r, answer, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return jv_i64(answer, "damaged", 0) ? CLI_CONDITION : CLI_DONE;
}
