/* cli/same.c - cairn same: data that was recorded as two things and is one. */
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/render.h"
#include "codec/json.h"

#define PATH "/api/cairn/v1/lineage/same"

enum { BODY_MAX = 1 << 16, PAGE = 1000 };

struct same_flags {
    const char *reason, *rule;
    bool pin;
};

/* Both names, the reason, and the pin where it is wanted. */
static int change(struct cli *cli, const char *path, const char *done)
{
    const struct same_flags *f = cli->options;
    const char *pairs[] = { "a", cli->args[0], "b", cli->args[1], "reason", f->reason, NULL };
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    enum status st;

    json_w_object(&w);
    api_put_texts(&w, pairs);
    if (f->pin) {
        json_w_key(&w, S("pin"));
        json_w_bool(&w, true);
    }
    json_w_object_end(&w);
    st = buf_status(&body, "request", &err);
    st = st ? st : api_call(cli, "POST", path, buf_str(&body), &answer, &err);
    buf_release(&body);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "%s and %s %s", cli->args[0], cli->args[1],
             jv_i64(answer, "changed", 0) ? done : "were that already");
    return CLI_DONE;
}

static int same_add(struct cli *cli)
{
    return change(cli, PATH, "are the same from now on");
}

static int same_undo(struct cli *cli)
{
    return change(cli, PATH "/undo", "are two things again");
}

static const struct column columns[] = {
    { "a", "A", COLUMN_NAME }, { "b", "B", 0 },     { "state", "STATE", 0 },  { "rule", "RULE", 0 },
    { "reason", "REASON", 0 }, { "who", "WHO", 0 }, { "time_ms", "TIME", 0 },
};

static enum status rows_of(struct render *r, const struct jv *answer, struct err *err)
{
    enum status st = OK;

    for (const struct jv *v = jv_items(answer, "pairs"); !st && v; v = v->next) {
        struct cell cells[ARRAY_N(columns)] = {
            cell_text(jv_text(jv_get(v, "a"), "node")),
            cell_text(jv_text(jv_get(v, "b"), "node")),
            cell_text(jv_text(v, "state")),
            cell_text(jv_text(v, "rule")),
            cell_text(jv_text(v, "reason")),
            cell_text(jv_text(v, "who")),
            cell_time(jv_i64(v, "time_ms", 0)),
        };

        st = render_row(r, cells, err);
    }
    return st;
}

static int same_ls(struct cli *cli)
{
    const struct same_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    struct str token = { NULL, 0 };
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);

    do {
        const char *after = token.n ? arena_cstr(cli->arena, token) : NULL;
        const char *const pairs[] = { "max_results", "1000", "rule", f->rule ? f->rule : "",
                                      "page_token",  after,  NULL };

        st = st ? st : api_get(cli, PATH, pairs, &answer, &err);
        st = st ? st : rows_of(&r, answer, &err);
        token = st ? token : jv_text(answer, "next_page_token");
    } while (!st && token.n);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

#define AT(member) .off = offsetof(struct same_flags, member)

static const struct opt_row ls_rows[] = {
    { .name = "rule",
      .type = OPT_TEXT,
      .arg = "RULE",
      AT(rule),
      .doc = "only pairs of this rule: said (no place between them), uri, digest, symlink or run; "
             "WHO tells whether a person said it" },
};
static const struct opt_row add_rows[] = {
    { .name = "reason",
      .type = OPT_TEXT,
      .arg = "TEXT",
      AT(reason),
      .doc = "why, for those who ask later; needed" },
};
static const struct opt_row undo_rows[] = {
    { .name = "reason", .type = OPT_TEXT, .arg = "TEXT", AT(reason), .doc = "why" },
    { .name = "pin", .type = OPT_BOOL, AT(pin), .doc = "no rule may say so again by itself" },
};

#define DATA                                                                                       \
    "Data is dataset:NAME@DIGEST, dataset:NAME (all its digests), dataset:@DIGEST, files:URI, "    \
    "place:URI, or node:NUMBER of an artifact. "

static const struct cli_command rows[] = {
    { .noun = "same",
      .verb = "ls",
      .summary = "List which data was said to be the same, by people and by rules",
      CLI_OPTIONS(ls_rows, struct same_flags),
      CLI_EXAMPLES("cairn same ls", "cairn same ls --rule digest"),
      .run = same_ls },
    { .noun = "same",
      .verb = "add",
      .args = "DATA DATA",
      .args_min = 2,
      .args_max = 2,
      .summary = "Say that two data sets or places are one: lineage goes through both",
      .detail = DATA
      "Nothing is merged: why, impact and trail walk from one to the other at no distance.",
      CLI_OPTIONS(add_rows, struct same_flags),
      CLI_EXAMPLES(
          "cairn same add dataset:clicks@3f1c dataset:clicks_v2@9b1d --reason 'moved to S3'"),
      .run = same_add },
    { .noun = "same",
      .verb = "undo",
      .args = "DATA DATA",
      .args_min = 2,
      .args_max = 2,
      .summary = "Take back that two data sets or places are one",
      .detail = DATA "What rules say is between data and its place: take it from there. "
                     "Questions as of a time before still see it.",
      CLI_OPTIONS(undo_rows, struct same_flags),
      CLI_EXAMPLES("cairn same undo dataset:clicks@3f1c dataset:clicks_v2@9b1d --pin"),
      .run = same_undo },
};
const struct cli_table cli_same = { rows, ARRAY_N(rows) };
