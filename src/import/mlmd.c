/* import/mlmd.c - cairn import mlmd: a store of ML Metadata is taken over, table by table, page by page, and what was done is said. */
#include "base/clock.h"
#include "cli/render.h"
#include "import/import.h"
#include "import/mlmd_int.h"
#include "import/wire.h"
#include "net/loop.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define PUT        "/cairn.mlmd.v1.ImportService/Put"
#define SKIPPED    CAIRN_MLMD_V1_IMPORT_OUTCOME_IMPORT_SKIPPED
#define TAKEN      CAIRN_MLMD_V1_IMPORT_OUTCOME_IMPORT_TAKEN
#define FOUND      CAIRN_MLMD_V1_IMPORT_OUTCOME_IMPORT_FOUND
#define UNCHANGED  CAIRN_MLMD_V1_IMPORT_OUTCOME_IMPORT_UNCHANGED
#define RUNS       CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_RUNS
#define EXECUTIONS CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_EXECUTIONS

enum {
    PAGE_ARENA = 1 << 30,
    SEND_ROWS = 500,
    SEND_BYTES = 8 << 20,
    CALL_MS = 120000,
    SHOWN = 20,         /* reasons that people see */
    SAY_EVERY_MS = 5000 /* progress where there is no terminal */
};

static const char *const tables[MLMD_TABLES + 1] = {
    "",         "artifact types", "execution types", "context types", "artifacts", "executions",
    "contexts", "parents",        "attributions",    "associations",  "events",    "runs",
};
/* Whatever a row names comes before it. */
static const int order[MLMD_TABLES - 1] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };

struct importer {
    struct cli *cli;
    const struct mlmd_flags *flags;
    struct mlmd_source *source;
    const char *name;
    struct grpc_client *to;
    struct mlmd_report report;
    int64_t said_ms;
    bool tty;
};

/* ---- the report -------------------------------------------------------------------------------------------------------------- */

void mlmd_report_skip(struct mlmd_report *r, int what, int64_t number, struct str reason)
{
    struct str copy;

    r->skipped_n++;
    if (r->kept >= SKIPPED_KEPT ||
        !arena_grow(r->arena, (void **)&r->skipped, r->kept, &r->cap, sizeof(*r->skipped))) {
        return;
    }
    copy = arena_str(r->arena, str_sub(reason, 0, REASON_MAX));
    r->skipped[r->kept++] = (struct mlmd_skipped){ what, number, copy.p ? copy : S("") };
}

static void on_note(void *ctx, int what, int64_t number, const char *text)
{
    mlmd_report_skip(ctx, what, number, str_cstr(text));
}

static enum status show_json(struct importer *im, struct err *err)
{
    static const char *const outcomes[OUTCOMES] = { NULL,        "new",   "changed",
                                                    "unchanged", "found", "skipped" };
    const struct mlmd_report *r = &im->report;
    struct buf b = BUF_INIT(16 << 20);
    struct json_writer w = JSON_WRITER_INIT(&b);
    enum status st;

    json_w_object(&w);
    json_w_key(&w, S("source"));
    json_w_cstr(&w, im->name);
    json_w_key(&w, S("namespace"));
    json_w_cstr(&w, im->flags->ns);
    json_w_key(&w, S("tables"));
    json_w_array(&w);
    for (int t = 1; t <= MLMD_TABLES; t++) {
        json_w_object(&w);
        json_w_key(&w, S("table"));
        json_w_cstr(&w, tables[t]);
        json_w_key(&w, S("read"));
        json_w_i64(&w, r->rows[t]);
        for (int k = 1; k < OUTCOMES; k++) {
            json_w_key(&w, str_cstr(outcomes[k]));
            json_w_i64(&w, r->outcomes[t][k]);
        }
        json_w_object_end(&w);
    }
    json_w_array_end(&w);
    json_w_key(&w, S("renumbered"));
    json_w_i64(&w, r->renumbered);
    json_w_key(&w, S("not_taken"));
    json_w_i64(&w, r->skipped_n);
    json_w_key(&w, S("reasons"));
    json_w_array(&w);
    for (size_t i = 0; i < r->kept; i++) {
        json_w_object(&w);
        json_w_key(&w, S("table"));
        json_w_cstr(&w, tables[r->skipped[i].what]);
        json_w_key(&w, S("number"));
        json_w_i64(&w, r->skipped[i].number);
        json_w_key(&w, S("reason"));
        json_w_str(&w, r->skipped[i].reason);
        json_w_object_end(&w);
    }
    json_w_array_end(&w);
    json_w_object_end(&w);
    buf_put_cstr(&b, "\n");
    st = buf_status(&b, "report", err);
    if (!st) out_write(OUT_STDOUT, buf_str(&b));
    buf_release(&b);
    return st;
}

static struct cell count_cell(struct arena *a, int64_t n)
{
    return cell_number(arena_printf(a, "%" PRId64, n));
}

static enum status show_rows(struct importer *im, struct err *err)
{
    static const struct column columns[] = {
        { "table", "TABLE", COLUMN_NAME },
        { "read", "READ", COLUMN_RIGHT },
        { "new", "NEW", COLUMN_RIGHT },
        { "changed", "CHANGED", COLUMN_RIGHT },
        { "unchanged", "UNCHANGED", COLUMN_RIGHT },
        { "found", "FOUND", COLUMN_RIGHT },
        { "skipped", "SKIPPED", COLUMN_RIGHT },
    };
    const struct mlmd_report *r = &im->report;
    struct render render;
    enum status st = render_begin(&render, im->cli, columns, ARRAY_N(columns), false, err);

    for (int t = 1; !st && t <= MLMD_TABLES; t++) {
        struct cell cells[ARRAY_N(columns)] = { cell_text(str_cstr(tables[t])),
                                                count_cell(im->cli->arena, r->rows[t]) };

        for (int k = 1; k < OUTCOMES; k++) {
            cells[k + 1] = count_cell(im->cli->arena, r->outcomes[t][k]);
        }
        st = render_row(&render, cells, err);
    }
    if (!st) render_end(&render);
    for (size_t i = 0; !st && i < MIN_OF(r->kept, (size_t)SHOWN); i++) {
        struct buf line = BUF_INIT(4096);

        render_plain(&line, r->skipped[i].reason);
        cli_warn(im->cli, "%s %" PRId64 ": %.*s", tables[r->skipped[i].what], r->skipped[i].number,
                 STR_ARG(buf_str(&line)));
        buf_release(&line);
    }
    if (r->skipped_n > SHOWN) {
        cli_warn(im->cli, "and %" PRId64 " more; -o json names them", r->skipped_n - SHOWN);
    }
    if (r->renumbered) {
        cli_note(im->cli,
                 "%" PRId64 " nodes have another number than there, because theirs were taken; "
                 "--namespace gives them a place of their own",
                 r->renumbered);
    }
    return st;
}

/* ---- rows to the server -------------------------------------------------------------------------------------------------------- */

static void count(struct importer *im, int what, struct str row,
                  const struct cairn_mlmd_v1_import_result *r)
{
    bool is_link = what > CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_CONTEXTS && what != RUNS;
    bool is_node = what >= CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_ARTIFACTS &&
                   what <= CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_CONTEXTS;

    if (r->outcome > 0 && r->outcome < OUTCOMES) {
        im->report.outcomes[what][r->outcome]++;
    }
    if (r->outcome == SKIPPED) {
        mlmd_report_skip(&im->report, what, is_link ? 0 : wire_i64(row, 1), r->reason);
    }
    if (is_node && r->number != r->id && (r->outcome == TAKEN || r->outcome == FOUND)) {
        im->report.renumbered++;
    }
}

/* One request: what became of each row. */
static enum status ask(struct importer *im, int what, const struct str *rows, size_t n,
                       struct arena *a, struct cairn_mlmd_v1_import_response *out, struct err *err)
{
    struct cairn_mlmd_v1_import_request in = { 0 };
    struct msg_ctx ctx = { .arena = a };
    struct buf request = BUF_INIT(MLMD_MESSAGE);
    struct str answer;
    enum status st;

    MSG_SET(&in, CAIRN_MLMD_V1_IMPORT_REQUEST_HAS_SOURCE, source, str_cstr(im->name));
    MSG_SET(&in, CAIRN_MLMD_V1_IMPORT_REQUEST_HAS_WHAT, what, what);
    in.has |= CAIRN_MLMD_V1_IMPORT_REQUEST_HAS_ROWS;
    in.rows = (struct str *)(uintptr_t)rows; /* the encoder only reads */
    in.rows_n = n;
    msg_encode_pb(&request, &cairn_mlmd_v1_import_request_desc, &in);
    st = buf_status(&request, "request", err);
    st = st ? st : grpc_unary(im->to, PUT, buf_str(&request), CALL_MS, a, &answer, err);
    buf_release(&request);
    st = st ? st : msg_decode_pb(&cairn_mlmd_v1_import_response_desc, out, answer, &ctx, err);
    return st || out->results_n == n
               ? st
               : err_set(err, ST_INTERNAL, "the server answered %zu rows of %zu", out->results_n,
                         n);
}

static enum status put(struct importer *im, int what, const struct str *rows, size_t n,
                       struct arena *a, struct err *err)
{
    struct cairn_mlmd_v1_import_response out;
    enum status st = ask(im, what, rows, n, a, &out, err);

    for (size_t i = 0; !st && i < n; i++) {
        count(im, what, rows[i], &out.results[i]);
    }
    return st;
}

/* Rows that the server refuses together are halved until the one at fault is alone. */
static enum status put_all(struct importer *im, int what, const struct str *rows, size_t n,
                           struct arena *a, struct err *err)
{
    enum status st = n ? put(im, what, rows, n, a, err) : OK;

    if (st != ST_INVALID && st != ST_TOO_BIG) {
        return st;
    }
    if (n == 1) {
        im->report.outcomes[what][SKIPPED]++;
        mlmd_report_skip(&im->report, what, wire_i64(rows[0], 1), str_cstr(err->message));
        return OK;
    }
    st = put_all(im, what, rows, n / 2, a, err);
    return st ? st : put_all(im, what, rows + n / 2, n - n / 2, a, err);
}

static enum status send_page(struct importer *im, int what, const struct mlmd_page *page,
                             struct err *err)
{
    enum status st = OK;

    for (size_t from = 0, to; !st && from < page->n; from = to) {
        size_t bytes = page->rows[from].n;

        for (to = from + 1; to < page->n && to - from < SEND_ROWS; to++) {
            bytes += page->rows[to].n;
            if (bytes > SEND_BYTES) {
                break;
            }
        }
        st = put_all(im, what, page->rows + from, to - from, page->arena, err);
    }
    im->report.rows[what] += (int64_t)page->n;
    return st;
}

static void say(struct importer *im, int what, bool end)
{
    int64_t now = clock_mono_ns() / 1000000;

    if (im->cli->globals.quiet) {
        return;
    }
    if (im->tty && end) {
        out_printf(OUT_STDERR, "\r\033[K");
    } else if (im->tty) {
        out_printf(OUT_STDERR, "\r%s: %" PRId64 " \033[K", tables[what], im->report.rows[what]);
    } else if (now - im->said_ms >= SAY_EVERY_MS) {
        im->said_ms = now;
        cli_note(im->cli, "%s: %" PRId64, tables[what], im->report.rows[what]);
    }
}

static enum status import_table(struct importer *im, int what, struct err *err)
{
    struct arena *a = arena_new(PAGE_ARENA);
    enum status st = a ? OK : err_nomem(err);

    while (!st) {
        struct mlmd_page page = { .arena = a };

        st = im->source->ops->next(im->source, what, &page, err);
        if (st && st != ST_END) {
            err_ctx(err, "reading the %s", tables[what]);
        }
        st = st ? st : send_page(im, what, &page, err);
        say(im, what, st != OK);
        arena_reset(a);
    }
    arena_free(a);
    return st == ST_END ? OK : st;
}

/* ---- executions as runs ---------------------------------------------------------------------------------------------------------- */

static enum status run_row(struct mlmd_page *rows, int64_t number, struct str run, struct err *err)
{
    struct buf row = BUF_INIT(4096);
    enum status st;

    wire_put_i64(&row, 1, number);
    if (run.n) wire_put_bytes(&row, 2, run);
    st = buf_status(&row, "row", err);
    st = st ? st : mlmd_page_add(rows, buf_str(&row), err);
    buf_release(&row);
    return st;
}

/* Asks which of the executions are runs already, makes those that are not, and says so: every run gets the links that are new. */
static enum status runs_of_page(struct importer *im, struct mlmd_runs *runs,
                                const struct mlmd_page *page, struct err *err)
{
    struct mlmd_page asked = { .arena = page->arena }, told = { .arena = page->arena };
    struct cairn_mlmd_v1_import_response known, done;
    enum status st = OK;

    for (size_t i = 0; !st && i < page->n; i++) {
        st = run_row(&asked, wire_i64(page->rows[i], 1), S(""), err);
    }
    st = st || !page->n ? st : ask(im, RUNS, asked.rows, asked.n, page->arena, &known, err);
    for (size_t i = 0; !st && i < page->n; i++) {
        struct cairn_mlmd_v1_import_result *k = &known.results[i];

        im->report.rows[RUNS]++;
        if (k->outcome == SKIPPED) {
            count(im, RUNS, page->rows[i], k);
            continue;
        }
        if (k->outcome != UNCHANGED) {
            st = mlmd_runs_put(runs, page->arena, page->rows[i], &k->run, err);
        }
        if (!st && !k->run.n) {
            k->outcome = SKIPPED; /* noted */
            im->report.outcomes[RUNS][SKIPPED]++;
            continue;
        }
        k->outcome = k->outcome ? k->outcome : TAKEN;
        st = st ? st : run_row(&told, wire_i64(page->rows[i], 1), k->run, err);
    }
    st = st || !told.n ? st : ask(im, RUNS, told.rows, told.n, page->arena, &done, err);
    for (size_t i = 0, k = 0; !st && i < page->n; i++) {
        if (known.results[i].outcome == SKIPPED) {
            continue;
        }
        if (done.results[k].outcome != SKIPPED) {
            done.results[k].outcome = known.results[i].outcome;
        }
        count(im, RUNS, told.rows[k], &done.results[k]);
        k++;
    }
    return st;
}

static enum status import_runs(struct importer *im, struct err *err)
{
    struct mlmd_runs runs = { .cli = im->cli, .report = &im->report, .source = im->name };
    struct arena *a = arena_new(PAGE_ARENA);
    enum status st = a ? OK : err_nomem(err);

    st = st ? st : mlmd_runs_experiment(im->cli, im->flags->as_runs, &runs.experiment, err);
    while (!st) {
        struct mlmd_page page = { .arena = a };

        st = im->source->ops->next(im->source, EXECUTIONS, &page, err);
        st = st ? st : runs_of_page(im, &runs, &page, err);
        say(im, RUNS, st != OK);
        arena_reset(a);
    }
    arena_free(a);
    return st == ST_END ? OK : st;
}

/* ---- from where, to where ------------------------------------------------------------------------------------------------------- */

static enum status open_server(struct importer *im, struct grpc_dial *dial, struct err *err)
{
    struct target t;
    enum status st = api_target(im->cli, &t, err);

    if (st) {
        return st;
    }
    dial->token = t.token;
    dial->target = t.socket ? arena_printf(im->cli->arena, "unix:%s", t.socket).p : t.url;
    return dial->target ? grpc_dial(&im->to, dial, err) : err_nomem(err);
}

static enum status open_source(struct importer *im, struct err *err)
{
    struct str named = str_cstr(im->cli->args[0]);
    struct grpc_dial dial = { .ca_file = im->flags->ca_file, .message_max = MLMD_MESSAGE };
    bool tls = str_starts(named, S("grpcs://"));
    char full[PATH_MAX];
    enum status st;

    im->name = im->flags->source ? im->flags->source : im->cli->args[0];
    if (tls || str_starts(named, S("grpc://"))) {
        dial.target = arena_printf(im->cli->arena, "%s%s", tls ? "https://" : "http://",
                                   named.p + (tls ? 8 : 7))
                          .p;
        st = dial.target ? mlmd_grpc_open(&im->source, &dial, err) : err_nomem(err);
    } else {
        if (!im->flags->source && realpath(named.p, full)) {
            im->name = arena_cstr(im->cli->arena, str_cstr(full));
        }
        st = im->name ? mlmd_file_open(&im->source, named.p, err) : err_nomem(err);
    }
    if (st) {
        err_ctx(err, "%s", im->cli->args[0]);
        return st;
    }
    im->source->notes = (struct mlmd_notes){ on_note, &im->report };
    return OK;
}

static int import_mlmd(struct cli *cli)
{
    const struct mlmd_flags *flags = cli->options;
    const char *metadata[] = { flags->ns ? "cairn-namespace" : NULL, flags->ns, NULL };
    struct grpc_dial dial = { .message_max = MLMD_MESSAGE, .metadata = metadata, .gzip = false };
    struct importer im = { .cli = cli,
                           .flags = flags,
                           .report = { .arena = cli->arena },
                           .said_ms = clock_mono_ns() / 1000000,
                           .tty = out_is_tty(OUT_STDERR) };
    struct err err = ERR_INIT;
    enum status st;

    net_init();
    st = open_source(&im, &err);
    st = st ? st : open_server(&im, &dial, &err);
    for (size_t i = 0; !st && i < ARRAY_N(order); i++) {
        st = import_table(&im, order[i], &err);
    }
    if (!st && flags->as_runs) {
        st = import_runs(&im, &err);
    }
    if (st && im.to && st == ST_UNAVAILABLE) {
        err_hint(&err, "what was taken so far is known: run it again, and it goes on");
    }
    if (!st) {
        st = cli->format == CLI_JSON && !cli->fields ? show_json(&im, &err) : show_rows(&im, &err);
    }
    grpc_close(im.to);
    if (im.source) im.source->ops->close(im.source);
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------ */

static const struct opt_row mlmd_rows[] = {
    { .name = "namespace",
      .type = OPT_TEXT,
      .arg = "NAME",
      .off = offsetof(struct mlmd_flags, ns),
      .doc =
          "namespace of ML Metadata to import into; without it that of the token, else default" },
    { .name = "source",
      .type = OPT_TEXT,
      .arg = "NAME",
      .off = offsetof(struct mlmd_flags, source),
      .doc =
          "the store under a name of its own, where its path or address may change; say the same "
          "when it is imported again" },
    { .name = "as-runs",
      .type = OPT_TEXT,
      .arg = "EXPERIMENT",
      .off = offsetof(struct mlmd_flags, as_runs),
      .doc = "executions become runs of this experiment as well, which is made if there is none" },
    { .name = "ca-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      .off = offsetof(struct mlmd_flags, ca_file),
      .doc = "PEM file of the certificates that are trusted with grpcs://; without it those of the "
             "system" },
};

static const struct cli_command rows[] = {
    { .noun = "import",
      .verb = "mlmd",
      .args = "SOURCE",
      .args_min = 1,
      .args_max = 1,
      .summary = "Take over a store of ML Metadata",
      .detail =
          "SOURCE is the SQLite file of a store, or grpc://HOST:PORT of any server that speaks ML Metadata.\n"
          "What was taken is remembered: importing again takes only what is new or has changed there.\n"
          "Numbers stay what they were where nothing has them in the namespace; times always do.",
      CLI_OPTIONS(mlmd_rows, struct mlmd_flags),
      CLI_EXAMPLES(
          "cairn import mlmd metadata.db",
          "cairn import mlmd grpc://metadata-grpc-service:8080 --namespace kubeflow",
          "cairn import mlmd metadata.db -o json  # with the reason of every row that was not taken"),
      .run = import_mlmd },
};
const struct cli_table cli_import = { rows, ARRAY_N(rows) };
