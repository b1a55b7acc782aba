/* cli/step.c - cairn step: keys of steps, whether one was done before, recording and taking out. */
#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/render.h"
#include "codec/json.h"
#include <errno.h>
#include <fcntl.h>

#define PATH "/api/cairn/v1/steps"

enum { BODY_MAX = 4 << 20, READ_BYTES = 1 << 18 };

struct step_flags {
    const char *step, *file, *reason;
    const char *const *input, *const *code, *const *param, *const *env, *const *output;
};

/* ---- requests ----------------------------------------------------------------------------------------------------------------- */

/* "sha256:..." of a file here. */
static enum status digest_of(struct cli *cli, const char *path, struct str *out, struct err *err)
{
    char *piece = mem_alloc(READ_BYTES), hex[65];
    struct sha256 *sha = sha256_new();
    int fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
    struct digest d;
    ssize_t n = 1;
    enum status st = piece && sha ? OK : err_nomem(err);

    if (!st && fd < 0) {
        st = err_errno(err, errno, "open %s", path);
    }
    while (!st && n > 0) {
        n = sys.read(fd, piece, READ_BYTES);
        if (n > 0) {
            sha256_update(sha, piece, (size_t)n);
        } else if (n < 0 && errno == EINTR) {
            n = 1;
        } else if (n < 0) {
            st = err_errno(err, errno, "read %s", path);
        }
    }
    if (!st) {
        d = sha256_end(sha);
        digest_hex(&d, hex);
        *out = arena_printf(cli->arena, "sha256:%s", hex);
        st = out->p ? OK : err_nomem(err);
    }
    if (fd >= 0) {
        sys.close(fd);
    }
    sha256_free(sha);
    mem_free(piece);
    return st;
}

/* NAME=VALUE, NAME=@FILE as members of an object. scalars: a value that is a number, true, false or null is one. */
static enum status put_pairs(struct cli *cli, struct json_writer *w, const char *key,
                             const char *const *list, bool scalars, struct err *err)
{
    enum status st = OK;

    if (!list) {
        return OK;
    }
    json_w_key(w, str_cstr(key));
    json_w_object(w);
    for (; !st && *list; list++) {
        struct str name, value = str_cstr(*list);
        struct err ignored = ERR_INIT;

        if (!str_split(&value, '=', &name) || name.n == strlen(*list)) {
            return err_set(err, ST_INVALID, "%s: write NAME=VALUE or NAME=@FILE", *list);
        }
        json_w_key(w, name);
        if (value.n && value.p[0] == '@') {
            st = digest_of(cli, value.p + 1, &value, err);
            json_w_str(w, value);
        } else if (scalars && value.n && !strchr("\"[{", value.p[0]) &&
                   json_check(value, 0, 1, &ignored) == OK) {
            json_w_raw(w, value);
        } else {
            json_w_str(w, value);
        }
    }
    json_w_object_end(w);
    return st;
}

/* What options say is not in the file as well: one of them would count for nothing. */
static enum status check_once(const struct step_flags *f, const struct jv *file, bool outputs,
                              struct err *err)
{
    const struct {
        const char *option, *member;
        bool is_given;
    } both[] = {
        { "step", "step", f->step != NULL },
        { "input", "inputs", f->input != NULL },
        { "code", "code", f->code != NULL },
        { "param", "parameters", f->param != NULL },
        { "env", "environment", f->env != NULL },
        { "output", "outputs", outputs && f->output != NULL },
    };

    for (size_t i = 0; i < ARRAY_N(both); i++) {
        if (both[i].is_given && jv_get(file, both[i].member)) {
            return err_set(err, ST_INVALID, "--%s and \"%s\" of the file: say it in one of the two",
                           both[i].option, both[i].member);
        }
    }
    return OK;
}

/* The members of a description that is kept in a file. */
static enum status put_file(struct cli *cli, struct json_writer *w, const char *path, bool outputs,
                            struct err *err)
{
    struct str text;
    struct jv *v = NULL;
    enum status st = fs_read_file(cli->arena, path, BODY_MAX, &text, err);

    st = st ? st : jv_parse(text, cli->arena, &v, err);
    if (!st && v->kind != JV_OBJECT) {
        st = err_set(err, ST_INVALID, "not a JSON object");
    }
    st = st ? st : check_once(cli->options, v, outputs, err);
    if (st) {
        err_ctx(err, "%s", path);
        return st;
    }
    for (const struct jv *m = v->first; m; m = m->next) {
        json_w_key(w, m->key);
        json_w_raw(w, m->raw);
    }
    return OK;
}

/* NAME=artifact:7, NAME=sha256:HEX */
static enum status put_outputs(struct json_writer *w, const char *const *list, struct err *err)
{
    if (!list) {
        return OK;
    }
    json_w_key(w, S("outputs"));
    json_w_array(w);
    for (; *list; list++) {
        struct str name, value = str_cstr(*list);

        if (!str_split(&value, '=', &name) || name.n == strlen(*list)) {
            return err_set(err, ST_INVALID,
                           "%s: write NAME=artifact:NUMBER, NAME=model:ID or NAME=sha256:HEX",
                           *list);
        }
        json_w_object(w);
        json_w_key(w, S("name"));
        json_w_str(w, name);
        if (str_starts(value, S("sha256:"))) {
            json_w_key(w, S("sha256"));
            json_w_str(w, str_sub(value, 7, value.n));
        } else {
            json_w_key(w, S("node"));
            json_w_str(w, value);
        }
        json_w_object_end(w);
    }
    json_w_array_end(w);
    return OK;
}

/* Describes the step by flags and file, adds the pairs, and asks. */
static enum status ask(struct cli *cli, const char *path, const char *const *pairs, bool outputs,
                       struct jv **answer, struct err *err)
{
    const struct step_flags *f = cli->options;
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    enum status st = OK;

    json_w_object(&w);
    if (f->file) st = put_file(cli, &w, f->file, outputs, err);
    if (f->step) {
        json_w_key(&w, S("step"));
        json_w_cstr(&w, f->step);
    }
    st = st ? st : put_pairs(cli, &w, "inputs", f->input, false, err);
    st = st ? st : put_pairs(cli, &w, "code", f->code, false, err);
    st = st ? st : put_pairs(cli, &w, "parameters", f->param, true, err);
    st = st ? st : put_pairs(cli, &w, "environment", f->env, false, err);
    st = st || !outputs ? st : put_outputs(&w, f->output, err);
    api_put_texts(&w, pairs);
    json_w_object_end(&w);
    st = st ? st : buf_status(&body, "request", err);
    st = st ? st : api_call(cli, "POST", path, buf_str(&body), answer, err);
    buf_release(&body);
    return st;
}

static const char *argument(const struct cli *cli)
{
    return cli->arg_n ? cli->args[0] : NULL;
}

/* ---- commands ----------------------------------------------------------------------------------------------------------------- */

/* The key in an answer, or why there is none. */
static int show_key(struct cli *cli, enum status st, const struct jv *answer, const struct err *err)
{
    if (st) {
        return cli_fail(cli, st, err);
    }
    if (cli->format == CLI_JSON) {
        api_put_raw(answer);
    } else {
        out_printf(OUT_STDOUT, "%.*s\n", STR_ARG(jv_text(answer, "key")));
    }
    return CLI_DONE;
}

static int step_key(struct cli *cli)
{
    const char *const none[] = { NULL };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    enum status st = ask(cli, PATH "/key", none, false, &answer, &err);

    return show_key(cli, st, answer, &err);
}

static const struct column columns[] = {
    { "name", "NAME", 0 }, { "node", "NODE", COLUMN_NAME },     { "checked", "CHECKED", 0 },
    { "uri", "URI", 0 },   { "sha256", "SHA256", COLUMN_WIDE },
};

static int show_outputs(struct cli *cli, const struct jv *answer)
{
    struct err err = ERR_INIT;
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);

    for (const struct jv *v = jv_items(answer, "outputs"); !st && v; v = v->next) {
        struct cell cells[ARRAY_N(columns)] = {
            cell_text(jv_text(v, "name")),
            cell_text(jv_text(v, "node")),
            { .kind = CELL_BOOL, .i = jv_get(v, "checked") != NULL },
            cell_text(jv_text(v, "uri")),
            cell_text(jv_text(v, "sha256")),
        };

        st = render_row(&r, cells, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    cli_note(cli, "%.*s did it: its outputs can be taken over",
             STR_ARG(jv_text(answer, "execution")));
    return CLI_DONE;
}

static void put_value(struct buf *b, const struct jv *v)
{
    if (v) {
        render_plain(b, v->raw);
    } else {
        buf_put_cstr(b, "(nothing)");
    }
}

/* Why not, and where the nearest one differs: the first of the lines is the first difference. */
static enum status show_miss(const struct jv *answer, struct err *err)
{
    struct buf b = BUF_INIT(8 * BODY_MAX);
    int64_t all = jv_i64(answer, "differences_total", 0), shown = 0;
    enum status st;

    buf_put_cstr(&b, "not reused: ");
    render_plain(&b, jv_text(answer, "why"));
    buf_put_cstr(&b, "\n");
    if (jv_text(answer, "nearest").n) {
        buf_put_cstr(&b, "nearest is ");
        render_plain(&b, jv_text(answer, "nearest"));
        buf_put_cstr(&b, ", which differs in\n");
    }
    for (const struct jv *v = jv_items(answer, "differences"); v; v = v->next, shown++) {
        buf_printf(&b, "  %.*s ", STR_ARG(jv_text(v, "section")));
        render_plain(&b, jv_text(v, "name"));
        buf_put_cstr(&b, ": ");
        put_value(&b, jv_get(v, "before"));
        buf_put_cstr(&b, " -> ");
        put_value(&b, jv_get(v, "now"));
        buf_put_cstr(&b, "\n");
    }
    if (all > shown) {
        buf_printf(&b, "  and %lld more\n", (long long)(all - shown));
    }
    st = buf_status(&b, "answer", err);
    if (!st) out_write(OUT_STDOUT, buf_str(&b));
    buf_release(&b);
    return st;
}

static int step_find(struct cli *cli)
{
    const char *const pairs[] = { "key", argument(cli), NULL };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    const struct jv *reuse;
    bool hit;
    enum status st = ask(cli, PATH "/find", pairs, false, &answer, &err);

    if (st) {
        return cli_fail(cli, st, &err);
    }
    reuse = jv_get(answer, "reuse");
    hit = reuse && reuse->is_true;
    if (cli->format == CLI_JSON) {
        api_put_raw(answer);
    } else if (hit) {
        return show_outputs(cli, answer);
    } else {
        st = show_miss(answer, &err);
    }
    return st ? cli_fail(cli, st, &err) : hit ? CLI_DONE : CLI_CONDITION;
}

static int step_record(struct cli *cli)
{
    const char *const pairs[] = { "execution", cli->args[0], "key",
                                  cli->arg_n > 1 ? cli->args[1] : NULL, NULL };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    enum status st = ask(cli, PATH, pairs, true, &answer, &err);

    return show_key(cli, st, answer, &err);
}

static int step_invalidate(struct cli *cli)
{
    const struct step_flags *f = cli->options;
    const char *const pairs[] = { "key", argument(cli), "reason", f->reason, NULL };
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    const struct jv *more;
    int64_t n = 0;
    enum status st;

    do {
        st = ask(cli, PATH "/invalidate", pairs, false, &answer, &err);
        more = st ? NULL : jv_get(answer, "more");
        n += st ? 0 : jv_i64(answer, "invalidated", 0);
    } while (!st && more);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "%lld execution%s not taken over any more", (long long)n,
             n == 1 ? " is" : "s are");
    return CLI_DONE;
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------- */

#define AT(member) .off = offsetof(struct step_flags, member)
#define LIST(name_, doc_)                                                                          \
    {                                                                                              \
        .name = #name_, .type = OPT_LIST, .arg = "NAME=VALUE", AT(name_), .doc = (doc_)            \
    }
#define DESCRIPTION                                                                                \
    { .name = "step", .type = OPT_TEXT, .arg = "NAME", AT(step), .doc = "name of the step" },      \
        LIST(input,                                                                                \
             "what it reads: a digest, or @FILE for the SHA-256 of a file; may be repeated"),      \
        LIST(code, "what it runs: a commit, or @FILE; may be repeated"),                           \
        LIST(param, "a parameter: a number, true, false, null, else text; may be repeated"),       \
        LIST(env, "a library or anything else around it, with its version; may be repeated"),      \
    {                                                                                              \
        .name = "file", .letter = 'f', .type = OPT_TEXT, .arg = "FILE", AT(file),                  \
        .doc = "JSON object with step, inputs, code, parameters, environment: what no option says" \
    }

static const struct opt_row describe_rows[] = { DESCRIPTION };
static const struct opt_row record_rows[] = {
    DESCRIPTION,
    LIST(output, "what it made beyond what is known: artifact:NUMBER, model:ID, "
                 "dataset:NAME@DIGEST or sha256:HEX; may be repeated"),
};
static const struct opt_row invalidate_rows[] = {
    { .name = "step",
      .type = OPT_TEXT,
      .arg = "NAME",
      AT(step),
      .doc = "everything that is kept of this step" },
    { .name = "reason",
      .type = OPT_TEXT,
      .arg = "TEXT",
      AT(reason),
      .doc = "why, for those who ask later" },
};

static const struct cli_command rows[] = {
    { .noun = "step",
      .verb = "key",
      .args = "",
      .summary = "The key of a step: what stands for its inputs, code, parameters and environment",
      CLI_OPTIONS(describe_rows, struct step_flags),
      CLI_EXAMPLES("cairn step key --step train --input data=@train.csv --code git=3f1c9e2 "
                   "--param lr=0.1 --env python=3.11.2"),
      .run = step_key },
    { .noun = "step",
      .verb = "find",
      .args = "[KEY]",
      .args_max = 1,
      .summary = "Find an execution whose outputs can be taken over; else say why there is none",
      .detail =
          "Exit code 0: there is one, and what it made is still there; 7: there is none. Then "
          "the earlier execution of\nthe step that differs least is named, with what differs.",
      CLI_OPTIONS(describe_rows, struct step_flags),
      CLI_EXAMPLES("cairn step find -f step.json", "cairn step find --step train --param lr=0.2"),
      .run = step_find },
    { .noun = "step",
      .verb = "record",
      .args = "EXECUTION [KEY]",
      .args_min = 1,
      .args_max = 2,
      .summary = "Record that an execution did a step",
      .detail = "EXECUTION is run:ID, or execution:NUMBER for one of ML Metadata.",
      CLI_OPTIONS(record_rows, struct step_flags),
      CLI_EXAMPLES("cairn step record run:4f2c -f step.json --output model=model:m-1a2b"),
      .run = step_record },
    { .noun = "step",
      .verb = "invalidate",
      .args = "[KEY]",
      .args_max = 1,
      .summary = "Do not take over what was recorded under a key, or for a step",
      .detail = "Clients of ML Metadata do not find it either. Who did it, when and why is kept.",
      CLI_OPTIONS(invalidate_rows, struct step_flags),
      CLI_EXAMPLES("cairn step invalidate --step train --reason 'bad labels until March'"),
      .run = step_invalidate },
};
const struct cli_table cli_step = { rows, ARRAY_N(rows) };
