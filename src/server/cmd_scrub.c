/* server/cmd_scrub.c - cairn server scrub. */
#include "api/native/native.h"
#include "base/clock.h"
#include "cli/render.h"
#include "core/scrub.h"
#include "server/commands_int.h"
#include "server/local.h"
#include <inttypes.h>
#include <unistd.h>

enum { LOOK_FIRST_MS = 50, LOOK_LAST_MS = 1000, SAY_EVERY_MS = 5000 };

#define PATH "/api/cairn/v1/scrub"

/* On a store that nobody has open. */
static enum status scrub_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    const struct server_options *o = ctx;
    struct scrub_options opt = { .bytes_per_s = (uint64_t)o->scrub_rate,
                                 .deep = o->scrub_deep,
                                 .sweep = o->scrub_sweep,
                                 .has_age = true,
                                 .age_ms = o->scrub_age_ms };
    struct cairn_v1_scrub_answer answer;
    enum status st = v->core->scrubber ? OK : scrub_start(v->core, err);

    if (!st && !scrub_wait(v->core->scrubber, scrub_ask(v->core->scrubber, &opt), -1)) {
        st = err_set(err, ST_UNAVAILABLE, "looking for damage has stopped");
    }
    st = st ? st : native_scrub(v, true, &answer, err);
    if (!st) {
        msg_encode_json(out, &cairn_v1_scrub_answer_desc, &answer, 0);
    }
    return st;
}

/* Asks the server until the round is over, once more with what was found; says now and then how far it is. A server that was started
 * anew meanwhile knows nothing of it: it begins again. */
static enum status wait_for_it(struct cli *cli, struct local_call *ask, struct jv **answer,
                               struct err *err)
{
    struct local_call look = *ask;
    int64_t said = clock_mono_ms(), pause = LOOK_FIRST_MS, round = jv_i64(*answer, "round", 0);
    enum status st = OK;

    look.method = "GET";
    look.body = (struct str){ NULL, 0 };
    while (!st && jv_i64(*answer, "done_round", 0) < round) {
        if (clock_mono_ms() - said >= SAY_EVERY_MS) {
            said = clock_mono_ms();
            cli_note(
                cli, "%lld packs, %lld objects, %lld bytes read, %lld damaged so far",
                (long long)jv_i64(*answer, "packs", 0), (long long)jv_i64(*answer, "objects", 0),
                (long long)jv_i64(*answer, "bytes", 0), (long long)jv_i64(*answer, "damaged", 0));
        }
        usleep((useconds_t)pause * 1000);
        pause = MIN_OF(pause * 2, (int64_t)LOOK_LAST_MS);
        st = local_run(cli, &look, answer, err);
        if (!st && jv_i64(*answer, "round", 0) < round) {
            cli_note(cli, "the server was started anew: it begins again");
            st = local_run(cli, ask, answer, err);
            round = jv_i64(*answer, "round", 0);
        }
    }
    look.path = PATH "?findings=true";
    return st || jv_get(*answer, "findings") ? st : local_run(cli, &look, answer, err);
}

static enum status row(struct render *r, const struct jv *f, const struct jv *name, struct err *err)
{
    const struct cell cells[] = {
        cell_text(jv_text(f, "kind")),    { .kind = CELL_BYTES, .i = jv_i64(f, "bytes", 0) },
        cell_text(jv_text(f, "problem")), cell_text(jv_text(name, "kind")),
        cell_text(jv_text(name, "id")),   cell_text(jv_text(name, "name")),
        cell_text(jv_text(name, "path")), cell_text(jv_text(f, "place")),
        cell_text(jv_text(f, "sha256")),
    };

    return render_row(r, cells, err);
}

static enum status show(struct render *r, const struct jv *answer, struct err *err)
{
    enum status st = OK;

    for (const struct jv *f = jv_items(answer, "findings"); !st && f; f = f->next) {
        const struct jv *name = jv_items(f, "names");

        if (!name) {
            st = row(r, f, NULL, err);
        }
        for (; !st && name; name = name->next) {
            st = row(r, f, name, err);
        }
    }
    return st;
}

static void sum_up(struct cli *cli, const struct jv *a)
{
    char bytes[32];

    render_bytes(jv_i64(a, "bytes", 0), bytes);
    cli_note(cli, "%lld objects, %lld packs, %s read: %lld objects damaged, %lld sound again",
             (long long)jv_i64(a, "objects", 0), (long long)jv_i64(a, "packs", 0), bytes,
             (long long)jv_i64(a, "damaged", 0), (long long)jv_i64(a, "healed", 0));
    render_bytes(jv_i64(a, "unknown_bytes", 0), bytes);
    cli_note(cli, "%lld files: nothing knows %lld of them (%s), %lld were swept",
             (long long)jv_i64(a, "files", 0), (long long)jv_i64(a, "unknown", 0), bytes,
             (long long)jv_i64(a, "swept", 0));
    if (jv_i64(a, "unfinished", 0)) {
        cli_note(cli, "%lld unfinished uploads; what broke off goes after a day",
                 (long long)jv_i64(a, "unfinished", 0));
    }
}

int command_scrub(struct cli *cli)
{
    static const struct column columns[] = {
        { "kind", "KIND", 0 },
        { "bytes", "BYTES", COLUMN_RIGHT },
        { "problem", "PROBLEM", 0 },
        { "owner", "WHOSE", 0 },
        { "id", "ID", COLUMN_NAME },
        { "name", "NAME", 0 },
        { "path", "PATH", 0 },
        { "place", "PLACE", COLUMN_WIDE },
        { "sha256", "SHA256", COLUMN_WIDE },
    };
    const struct server_options *o = cli->options;
    struct local_call ask = { .method = "POST",
                              .path = PATH,
                              .body =
                                  arena_printf(cli->arena,
                                               "{\"bytes_per_s\":%" PRId64
                                               ",\"deep\":%s,\"sweep\":%s,\"age_ms\":%" PRId64 "}",
                                               o->scrub_rate, o->scrub_deep ? "true" : "false",
                                               o->scrub_sweep ? "true" : "false", o->scrub_age_ms),
                              .here = scrub_here,
                              .ctx = cli->options };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    enum status st = ask.body.p ? OK : err_nomem(&err);

    st = st ? st : render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);
    st = st ? st : local_run(cli, &ask, &answer, &err);
    st = st ? st : wait_for_it(cli, &ask, &answer, &err);
    if (!st && jv_text(answer, "problem").n) {
        st = err_set(&err, ST_UNAVAILABLE, "looking for damage broke off: %.*s",
                     STR_ARG(jv_text(answer, "problem")));
    }
    st = st ? st : show(&r, answer, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    sum_up(cli, answer);
    return jv_i64(answer, "damaged", 0) || jv_i64(answer, "damaged_packs", 0) ? CLI_CONDITION
                                                                              : CLI_DONE;
}
