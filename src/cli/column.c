/* cli/column.c - cairn column: which columns a run used, and which columns were made of which. */
#include "cli/api.h"
#include "cli/run.h"
#include "cli/when.h"
#include "codec/json.h"

#define PATH "/api/cairn/v1/lineage/columns"

enum { BODY_MAX = 2 << 20, COLUMNS_MAX = 1000 };

struct column_flags {
    const char *run, *kind, *since;
    bool undo;
};

/* What both commands say: the run, when, and whether it is taken back. */
static enum status put_common(struct cli *cli, struct json_writer *w, const char *run,
                              struct err *err)
{
    const struct column_flags *f = cli->options;
    const struct jv *found = NULL;
    bool word = run && str_starts(str_cstr(run), S("run:")); /* as in questions */
    int64_t ms = 0;
    enum status st = run ? cli_run_find(cli, run + (word ? 4 : 0), &found, err) : OK;

    if (!st && f->since) {
        st = cli_time(f->since, "--since", &ms, err);
    }
    if (st) {
        return st;
    }
    if (found) {
        json_w_key(w, S("run_id"));
        json_w_str(w, jv_text(jv_get(found, "info"), "run_id"));
    }
    if (f->since) {
        json_w_key(w, S("claimed_ms"));
        json_w_i64(w, ms);
    }
    if (f->undo) {
        json_w_key(w, S("undo"));
        json_w_bool(w, true);
    }
    return OK;
}

/* Begins the body: the list that a command says one thing of, and that thing. */
static void begin(struct json_writer *w, struct str list)
{
    json_w_object(w);
    json_w_key(w, list);
    json_w_array(w);
    json_w_object(w);
}

/* Ends the body and sends it; *changed: facts that are new, or gone. */
static enum status send(struct cli *cli, struct json_writer *w, const char *run, int64_t *changed,
                        struct err *err)
{
    struct jv *answer = NULL;
    enum status st;

    json_w_object_end(w);
    json_w_array_end(w);
    st = put_common(cli, w, run, err);
    json_w_object_end(w);
    st = st ? st : buf_status(w->b, "request", err);
    st = st ? st : api_call(cli, "POST", PATH, buf_str(w->b), &answer, err);
    *changed = st ? 0 : jv_i64(answer, "changed", 0);
    buf_release(w->b);
    return st;
}

static int column_use(struct cli *cli)
{
    const struct column_flags *f = cli->options;
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct err err = ERR_INIT;
    int64_t changed = 0;
    enum status st;

    begin(&w, S("uses"));
    json_w_key(&w, S("dataset"));
    json_w_cstr(&w, cli->args[1]);
    json_w_key(&w, S("columns"));
    json_w_array(&w);
    for (unsigned i = 2; i < cli->arg_n; i++) {
        json_w_cstr(&w, cli->args[i]);
    }
    json_w_array_end(&w);
    st = send(cli, &w, cli->args[0], &changed, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli,
             changed   ? "run %s used %u columns of %s%s"
             : f->undo ? "that run %s used %u columns of %s was not said%s"
                       : "that run %s used %u columns of %s was said already%s",
             cli->args[0], cli->arg_n - 2, cli->args[1], changed && f->undo ? ": taken back" : "");
    return CLI_DONE;
}

static int column_link(struct cli *cli)
{
    const struct column_flags *f = cli->options;
    const char *pairs[] = { "from", cli->args[0], "from_column", cli->args[1],
                            "to",   cli->args[2], "to_column",   cli->args[3],
                            "kind", f->kind,      NULL };
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct err err = ERR_INIT;
    int64_t changed = 0;
    enum status st;

    begin(&w, S("derived"));
    api_put_texts(&w, pairs);
    st = send(cli, &w, f->run, &changed, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli,
             changed   ? "column %s of %s is made of %s of %s%s"
             : f->undo ? "that column %s of %s is made of %s of %s was not said%s"
                       : "that column %s of %s is made of %s of %s was said already%s",
             cli->args[3], cli->args[2], cli->args[1], cli->args[0],
             changed && f->undo ? ": taken back" : "");
    return CLI_DONE;
}

#define AT(member) .off = offsetof(struct column_flags, member)
#define COMMON                                                                                     \
    { .name = "since",                                                                             \
      .type = OPT_TEXT,                                                                            \
      .arg = "TIME",                                                                               \
      AT(since),                                                                                   \
      .doc =                                                                                       \
          "since when it holds: milliseconds, 2026-03-03 or 2026-03-03T14:30 (UTC); else now" },   \
    {                                                                                              \
        .name = "undo", .type = OPT_BOOL, AT(undo), .doc = "take it back"                          \
    }

static const struct opt_row use_rows[] = { COMMON };
static const struct opt_row link_rows[] = {
    { .name = "kind",
      .type = OPT_CHOICE,
      .choices = "identity|transformation|aggregation|join|group_by|filter|sort|window|conditional|"
                 "other",
      AT(kind),
      .doc = "how one was made of the other; else other" },
    { .name = "run", .type = OPT_TEXT, .arg = "RUN", AT(run), .doc = "the run that made it" },
    COMMON,
};

#define DATA "DATA is dataset:NAME@DIGEST, dataset:NAME (all its digests) or dataset:@DIGEST. "

static const struct cli_command rows[] = {
    { .noun = "column",
      .verb = "use",
      .args = "RUN DATA COLUMN...",
      .args_min = 3,
      .args_max = COLUMNS_MAX + 2,
      .summary = "Say which columns of its data a run used",
      .detail = DATA
      "A run that read data used every column of its schema until this is said. Questions as of a "
      "time before see it as it was then: cairn impact column:DATA.COLUMN --as-of TIME.",
      CLI_OPTIONS(use_rows, struct column_flags),
      CLI_EXAMPLES("cairn column use 4f2c dataset:clicks user_id spend"),
      .run = column_use },
    { .noun = "column",
      .verb = "link",
      .args = "DATA COLUMN DATA COLUMN",
      .args_min = 4,
      .args_max = 4,
      .summary = "Say that a column (the second) was made of another (the first)",
      .detail = DATA "cairn impact and cairn why of either column go over it; a column that is "
                     "made of itself, over whatever columns between, is refused.",
      CLI_OPTIONS(link_rows, struct column_flags),
      CLI_EXAMPLES("cairn column link dataset:clicks spend dataset:features log_spend "
                   "--kind transformation --run 4f2c",
                   "cairn column link dataset:clicks spend dataset:features log_spend --undo"),
      .run = column_link },
};
const struct cli_table cli_columns = { rows, ARRAY_N(rows) };
