/* server/cmd_emit.c - cairn server emit: how far others were told, and events that they refused. */
#include "api/native/native.h"
#include "base/fs.h"
#include "cli/render.h"
#include "codec/json.h"
#include "engine/emit.h"
#include "server/commands_int.h"
#include "server/local.h"

#include <stdio.h>
#include <unistd.h>

enum { REFUSED_MAX = 256 << 20, TRY_ARENA_MAX = 320 << 20 };

#define PATH "/api/cairn/v1/emit"

static enum status status_here(void *ctx, struct view *v, struct buf *out, struct err *err)
{
    struct cairn_v1_emit_answer answer;
    enum status st = native_emit(v, &answer, err);

    (void)ctx;
    if (!st) msg_encode_json(out, &cairn_v1_emit_answer_desc, &answer, 0);
    return st;
}

int command_emit_status(struct cli *cli)
{
    static const struct column columns[] = {
        { "name", "DESTINATION", COLUMN_NAME }, { "behind", "ROWS BEHIND", COLUMN_RIGHT },
        { "sent", "SENT", COLUMN_RIGHT },       { "refused", "REFUSED", COLUMN_RIGHT },
        { "lost", "ROWS LOST", COLUMN_RIGHT },
    };
    struct local_call call = { .method = "GET", .path = PATH, .here = status_here };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    const struct jv *d = NULL;
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);

    st = st ? st : local_run(cli, &call, &answer, &err);
    for (d = st ? NULL : jv_items(answer, "destinations"); d && !st; d = d->next) {
        st = render_row(&r,
                        (const struct cell[]){
                            cell_text(jv_text(d, "name")), cell_number(jv_text(d, "behind")),
                            cell_number(jv_text(d, "sent")), cell_number(jv_text(d, "refused")),
                            cell_number(jv_text(d, "lost")) },
                        &err);
    }
    if (st) return cli_fail(cli, st, &err);
    render_end(&r);
    if (!jv_items(answer, "destinations")) {
        cli_note(cli, "nobody is told: no server of this store has --openlineage-url or "
                      "--openlineage-file");
    }
    return CLI_DONE;
}

/* ---- retry ------------------------------------------------------------------------------------------------------------------------ */

struct again {
    struct emit_address to;
    const char *file; /* of what is refused */
    struct arena *arena;
    size_t sent, refused, left;
    bool away; /* nothing answers: the rest waits */
};

/* The member event of a line, and why it was refused. */
static bool read_line(struct arena *a, struct str line, struct str *event, struct str *reason)
{
    struct json_reader r;
    struct err ignored = ERR_INIT;
    enum json_event ev;

    *event = *reason = (struct str){ NULL, 0 };
    if (json_check(line, 0, JSON_DEPTH_MAX, &ignored)) return false;
    json_init(&r, line, 0, JSON_DEPTH_MAX);
    while ((ev = json_next(&r)) > JSON_EV_END) {
        bool is_event = ev == JSON_EV_KEY && str_eq_lit(r.raw, "event");
        bool is_reason = ev == JSON_EV_KEY && str_eq_lit(r.raw, "reason");
        size_t from = json_offset(&r);

        if (is_reason && json_next(&r) == JSON_EV_STRING) *reason = json_text(&r, a);
        if (ev != JSON_EV_KEY || is_reason) continue;
        if (json_skip(&r) == JSON_EV_ERROR) break;
        if (is_event) *event = str_sub(line, from, json_offset(&r) - from);
    }
    json_release(&r);
    while (event->n > 0 && (event->p[0] == ':' || event->p[0] == ' ')) {
        *event = str_sub(*event, 1, event->n);
    }
    return event->n > 0 && event->p[0] == '{';
}

static enum status send_line(struct again *g, struct str line, struct err *err)
{
    struct str event, reason;
    struct emit_answer answer = { .outcome = EMIT_LATER };
    enum status st = OK;

    arena_reset(g->arena);
    if (line.n == 0) return OK;
    if (!read_line(g->arena, line, &event, &reason)) { /* stays as it is, for people */
        struct str whole = arena_printf(g->arena, "%.*s\n", STR_ARG(line));

        g->refused++;
        return whole.p ? fs_append_lines(g->file, whole.p, whole.n, 0600, err) : err_nomem(err);
    }
    if (!g->away) st = emit_post(&g->to, g->arena, event, &answer, err);
    if (st) return st;
    if (answer.outcome == EMIT_TAKEN) {
        g->sent++;
        return OK;
    }
    g->away = g->away || answer.outcome == EMIT_LATER;
    g->refused += !g->away;
    g->left += g->away;
    if (g->away) answer.why = reason;
    return emit_bury(g->file, "url", answer.why, event, err);
}

/* What lies in `from`, which was moved there. */
static enum status send_file(struct again *g, struct arena *a, const char *from, struct err *err)
{
    struct str text, line;
    enum status st = fs_lines_settle(from, err); /* a server may have opened it before */

    if (!st) st = fs_read_file(a, from, REFUSED_MAX, &text, err);
    if (st == ST_TOO_BIG) err_hint(err, "split it, and move the parts there one after the other");
    while (!st && str_split(&text, '\n', &line)) {
        st = send_line(g, line, err);
    }
    if (!st && unlink(from)) st = err_set(err, ST_IO, "%s could not be removed", from);
    return st;
}

/* The file is moved aside first, since a server may add to it. A retry that broke off has left one there: that goes first. */
static enum status retry(struct cli *cli, struct again *g, struct err *err)
{
    struct str aside = arena_printf(cli->arena, "%s.retry", g->file);
    const char *path = aside.p ? arena_cstr(cli->arena, aside) : NULL;
    enum status st = path ? OK : err_nomem(err);

    if (!st && access(path, F_OK) == 0) st = send_file(g, cli->arena, path, err);
    if (!st && access(g->file, F_OK) == 0 && g->refused + g->left == 0) {
        if (rename(g->file, path)) return err_set(err, ST_IO, "%s could not be moved", g->file);
        st = send_file(g, cli->arena, path, err);
    }
    return st;
}

int command_emit_retry(struct cli *cli)
{
    const struct server_options *o = cli->options;
    struct err err = ERR_INIT;
    struct again g = { .to = { .url = o->ol_url,
                               .token_file = o->ol_token_file,
                               .headers = o->ol_headers,
                               .ca_file = o->ol_ca_file,
                               .timeout_ms = o->ol_timeout_ms,
                               .gzip = o->ol_gzip },
                       .file = o->ol_refused };
    struct str file = arena_printf(cli->arena, "%s/" EMIT_REFUSED_FILE, o->data);
    enum status st = OK;

    if (!g.file) g.file = file.p ? arena_cstr(cli->arena, file) : NULL;
    g.arena = arena_new(TRY_ARENA_MAX);
    if (!g.file || !g.arena) st = err_nomem(&err);
    if (!st && !o->ol_url) {
        st = err_set(&err, ST_INVALID, "no address is given");
        err_hint(&err, "say where they go with --openlineage-url");
    }
    st = st ? st : emit_address_check(&g.to, &err);
    st = st ? st : retry(cli, &g, &err);
    arena_free(g.arena);
    if (st) return cli_fail(cli, st, &err);
    cli_note(cli, "%zu events sent, %zu refused again, %zu left because nothing answered", g.sent,
             g.refused, g.left);
    return g.refused || g.left ? CLI_CONDITION : CLI_DONE;
}
