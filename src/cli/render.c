/* cli/render.c - tables, JSON, CSV, names and Markdown from rows. */
#include "cli/render.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/cli_int.h"
#include "codec/json.h"
#include <inttypes.h>
#include <stdio.h>

enum { OUT_MAX = 256 << 20, TEXT_MAX = 1 << 20, MIN_COLUMN = 8, GAP = 2 };

struct cell cell_text(struct str s)
{
    return (struct cell){ .kind = s.p ? CELL_TEXT : CELL_NONE, .s = s };
}

struct cell cell_number(struct str s)
{
    return (struct cell){ .kind = s.p ? CELL_NUMBER : CELL_NONE, .s = s };
}

struct cell cell_time(int64_t ms)
{
    return (struct cell){ .kind = ms > 0 ? CELL_TIME : CELL_NONE, .i = ms };
}

/* ---- texts ---------------------------------------------------------------------------------------------------------- */

void render_ago(int64_t ms, int64_t now_ms, char out[32])
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = { { 365 * 86400, "y" }, { 30 * 86400, "mo" }, { 86400, "d" },
                  { 3600, "h" },        { 60, "m" },          { 1, "s" } };
    int64_t s = (now_ms - ms) / 1000, size = s < 0 ? -s : s;

    for (size_t i = 0; i < ARRAY_N(units); i++) {
        if (size >= units[i].seconds) {
            snprintf(out, 32, s < 0 ? "in %" PRId64 "%s" : "%" PRId64 "%s ago",
                     size / units[i].seconds, units[i].unit);
            return;
        }
    }
    snprintf(out, 32, "now");
}

void render_bytes(int64_t bytes, char out[32])
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    int64_t whole = bytes, tenth = 0;
    size_t u = 0;

    if (bytes < 1024) {
        snprintf(out, 32, "%" PRId64 " B", bytes);
        return;
    }
    for (u = 0; u < ARRAY_N(units); u++) {
        tenth = whole % 1024 * 10 / 1024;
        whole /= 1024;
        if (whole < 1024) {
            break;
        }
    }
    snprintf(out, 32, "%" PRId64 ".%" PRId64 " %s", whole, tenth,
             units[MIN_OF(u, ARRAY_N(units) - 1)]);
}

void render_plain(struct buf *out, struct str s)
{
    size_t at = 0;

    if (!utf8_valid(s)) {
        buf_put_cstr(out, "(not text)");
        return;
    }
    while (at < s.n) {
        size_t from = at;
        uint32_t cp = utf8_next(s, &at);

        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            buf_put_u8(out, ' ');
        } else {
            buf_put(out, s.p + from, at - from);
        }
    }
}

/* As people and spreadsheets read it. human: relative times and round sizes. */
static void put_text(const struct render *r, struct buf *b, const struct cell *c, bool human)
{
    char text[32];

    switch (c->kind) {
    case CELL_NONE: break;
    case CELL_TEXT:
    case CELL_NUMBER: buf_put_str(b, c->s); break;
    case CELL_BOOL: buf_put_cstr(b, c->i ? "true" : "false"); break;
    case CELL_JSON: buf_put_str(b, human && c->s.p ? c->s : c->json); break;
    case CELL_TIME:
        if (human) {
            render_ago(c->i, r->now_ms, text);
        } else {
            clock_rfc3339(c->i, text);
        }
        buf_put_cstr(b, text);
        break;
    case CELL_BYTES:
        if (human) {
            render_bytes(c->i, text);
            buf_put_cstr(b, text);
        } else {
            json_put_i64(b, c->i);
        }
        break;
    }
}

static void put_json(struct json_writer *w, const struct cell *c)
{
    switch (c->kind) {
    case CELL_NONE: json_w_null(w); break;
    case CELL_TEXT: json_w_str(w, c->s); break;
    case CELL_NUMBER:
        if (c->s.n && (c->s.p[c->s.n - 1] < '0' || c->s.p[c->s.n - 1] > '9')) {
            json_w_str(w, c->s); /* NaN, Infinity */
        } else {
            json_w_raw(w, c->s);
        }
        break;
    case CELL_BOOL: json_w_bool(w, c->i != 0); break;
    case CELL_TIME:
    case CELL_BYTES: json_w_i64(w, c->i); break;
    case CELL_JSON: json_w_raw(w, c->json); break;
    }
}

static void put_csv(struct buf *b, struct str s)
{
    bool quote = false;

    for (size_t i = 0; i < s.n; i++) {
        quote = quote || s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r';
    }
    if (!quote) {
        buf_put_str(b, s);
        return;
    }
    buf_put_u8(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"') buf_put_u8(b, '"');
        buf_put_u8(b, (unsigned char)s.p[i]);
    }
    buf_put_u8(b, '"');
}

/* ---- columns -------------------------------------------------------------------------------------------------------- */

static bool is_for_people(const struct cli *cli)
{
    return cli->format == CLI_TABLE || cli->format == CLI_WIDE || cli->format == CLI_MD;
}

static enum status pick_named(struct render *r, struct err *err)
{
    struct str rest = str_cstr(r->cli->fields), one;

    while (str_split(&rest, ',', &one)) {
        size_t i = 0;
        const char *best = NULL;
        unsigned cost = UINT32_MAX;

        one = str_trim(one);
        while (i < r->column_n && !str_eq(one, str_cstr(r->columns[i].name))) {
            opt_nearest(one, r->columns[i].name, &best, &cost);
            i++;
        }
        if (i == r->column_n) {
            enum status st = err_set(err, ST_INVALID, "there is no field %.*s", STR_ARG(one));

            err_hint(err, best ? "did you mean: %s" : "-o json shows the fields%s",
                     best ? best : "");
            return st;
        }
        if (r->picked_n == RENDER_COLUMNS_MAX) {
            return err_set(err, ST_INVALID, "more than %d fields", RENDER_COLUMNS_MAX);
        }
        r->picked[r->picked_n++] = i;
    }
    return OK;
}

enum status render_begin(struct render *r, struct cli *cli, const struct column *columns, size_t n,
                         bool single, struct err *err)
{
    *r = (struct render){ .cli = cli,
                          .columns = columns,
                          .column_n = MIN_OF(n, (size_t)RENDER_COLUMNS_MAX),
                          .single = single,
                          .tty = out_is_tty(OUT_STDOUT),
                          .now_ms = clock_wall_ms() };
    if (cli->fields) {
        return pick_named(r, err);
    }
    for (size_t i = 0; i < r->column_n; i++) {
        unsigned hidden = (is_for_people(cli) ? COLUMN_DATA : 0u) |
                          (cli->format == CLI_TABLE || cli->format == CLI_MD ? COLUMN_WIDE : 0u);
        bool shown = cli->format == CLI_NAME ? (columns[i].flags & COLUMN_NAME) != 0
                                             : (columns[i].flags & hidden) == 0;

        if (shown) {
            r->picked[r->picked_n++] = i;
        }
    }
    return OK;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static void write_object(struct render *r, struct buf *b, const struct cell *cells)
{
    struct json_writer w = JSON_WRITER_INIT(b);

    json_w_object(&w);
    for (size_t i = 0; i < r->picked_n; i++) {
        json_w_key(&w, str_cstr(r->columns[r->picked[i]].name));
        put_json(&w, &cells[r->picked[i]]);
    }
    json_w_object_end(&w);
}

static void write_csv(struct render *r, struct buf *b, const struct cell *cells)
{
    for (size_t i = 0; !r->written && i < r->picked_n; i++) {
        buf_put_cstr(b, i ? "," : "");
        put_csv(b, str_cstr(r->columns[r->picked[i]].name));
    }
    buf_put_cstr(b, r->written ? "" : "\r\n");
    for (size_t i = 0; i < r->picked_n; i++) {
        struct buf text = BUF_INIT(TEXT_MAX);

        buf_put_cstr(b, i ? "," : "");
        put_text(r, &text, &cells[r->picked[i]], false);
        put_csv(b, buf_str(&text));
        buf_release(&text);
    }
    buf_put_cstr(b, "\r\n");
}

/* Into a pipe: tabs between cells, no header. */
static void write_tabs(struct render *r, struct buf *b, const struct cell *cells)
{
    for (size_t i = 0; i < r->picked_n; i++) {
        struct buf text = BUF_INIT(TEXT_MAX);

        buf_put_cstr(b, i ? "\t" : "");
        put_text(r, &text, &cells[r->picked[i]], false);
        render_plain(b, buf_str(&text));
        buf_release(&text);
    }
    buf_put_u8(b, '\n');
}

static enum status keep(struct render *r, const struct cell *cells, struct err *err)
{
    if (r->row_n == RENDER_ROWS_MAX) {
        return err_set(err, ST_TOO_BIG, "more than %d rows; use -o jsonl", RENDER_ROWS_MAX);
    }
    while (r->row_cap < (r->row_n + 1) * r->column_n) {
        if (!arena_grow(r->cli->arena, (void **)&r->rows, r->row_cap, &r->row_cap,
                        sizeof(*r->rows))) {
            return err_nomem(err);
        }
    }
    memcpy(r->rows + r->row_n * r->column_n, cells, r->column_n * sizeof(*cells));
    r->row_n++;
    return OK;
}

enum status render_row(struct render *r, const struct cell *cells, struct err *err)
{
    struct buf b = BUF_INIT(OUT_MAX);
    enum cli_format f = r->cli->format;
    enum status st;

    if (f == CLI_JSON || f == CLI_MD || ((f == CLI_TABLE || f == CLI_WIDE) && r->tty)) {
        return keep(r, cells, err);
    }
    if (f == CLI_JSONL) {
        write_object(r, &b, cells);
        buf_put_u8(&b, '\n');
    } else if (f == CLI_CSV) {
        write_csv(r, &b, cells);
    } else {
        write_tabs(r, &b, cells);
    }
    r->written++;
    st = buf_status(&b, "row", err);
    if (!st) {
        out_write(OUT_STDOUT, buf_str(&b));
    }
    buf_release(&b);
    return st;
}

/* ---- at the end ------------------------------------------------------------------------------------------------------- */

static void end_json(struct render *r, struct buf *b)
{
    buf_put_cstr(b, r->single ? "" : "[");
    for (size_t i = 0; i < r->row_n; i++) {
        buf_put_cstr(b, i ? ",\n " : "");
        write_object(r, b, r->rows + i * r->column_n);
    }
    buf_put_cstr(b, r->single ? "\n" : "]\n");
}

static void end_md(struct render *r, struct buf *b)
{
    for (size_t i = 0; i < r->picked_n; i++) {
        buf_printf(b, "| %s ", r->columns[r->picked[i]].name);
    }
    buf_put_cstr(b, "|\n");
    for (size_t i = 0; i < r->picked_n; i++) {
        buf_put_cstr(b, r->columns[r->picked[i]].flags & COLUMN_RIGHT ? "|---:" : "|---");
    }
    buf_put_cstr(b, "|\n");
    for (size_t i = 0; i < r->row_n * r->picked_n; i++) {
        struct buf text = BUF_INIT(TEXT_MAX), plain = BUF_INIT(TEXT_MAX);

        put_text(r, &text, &r->rows[i / r->picked_n * r->column_n + r->picked[i % r->picked_n]],
                 false);
        render_plain(&plain, buf_str(&text));
        buf_put_cstr(b, "| ");
        for (size_t k = 0; k < plain.n; k++) {
            if (plain.p[k] == '|') buf_put_u8(b, '\\');
            buf_put_u8(b, (unsigned char)plain.p[k]);
        }
        buf_put_cstr(b, (i + 1) % r->picked_n ? " " : " |\n");
        buf_release(&text);
        buf_release(&plain);
    }
}

/* Cuts the widest columns until the line fits. */
static void fit(size_t *widths, size_t n, size_t room)
{
    size_t sum = n ? (n - 1) * GAP : 0;

    for (size_t i = 0; i < n; i++) {
        sum += widths[i];
    }
    while (sum > room) {
        size_t widest = 0;

        for (size_t i = 1; i < n; i++) {
            widest = widths[i] > widths[widest] ? i : widest;
        }
        if (!n || widths[widest] <= MIN_COLUMN) {
            return;
        }
        widths[widest]--;
        sum--;
    }
}

static void put_cell(struct buf *b, struct str text, size_t width, bool right, bool last)
{
    size_t n = utf8_count(text);

    for (size_t i = n; right && i < width; i++) {
        buf_put_u8(b, ' ');
    }
    if (n > width) {
        buf_put_str(b, utf8_prefix(text, width ? width - 1 : 0));
        buf_put_cstr(b, "\xe2\x80\xa6"); /* an ellipsis: what is cut looks cut */
    } else {
        buf_put_str(b, text);
    }
    for (size_t i = n; !right && !last && i < width; i++) {
        buf_put_u8(b, ' ');
    }
    if (!last) {
        buf_put_cstr(b, "  ");
    }
}

static void end_table(struct render *r, struct buf *b)
{
    size_t widths[RENDER_COLUMNS_MAX];
    size_t cells_n = r->row_n * r->picked_n;
    struct str *texts = ARENA_ARRAY(r->cli->arena, struct str, MAX_OF(cells_n, (size_t)1));
    bool color = out_color(cli_color(r->cli), OUT_STDOUT);

    for (size_t i = 0; i < r->picked_n; i++) {
        widths[i] = strlen(r->columns[r->picked[i]].title);
    }
    for (size_t i = 0; texts && i < cells_n; i++) {
        struct buf text = BUF_INIT(TEXT_MAX), plain = BUF_INIT(TEXT_MAX);

        put_text(r, &text, &r->rows[i / r->picked_n * r->column_n + r->picked[i % r->picked_n]],
                 true);
        render_plain(&plain, buf_str(&text));
        texts[i] = arena_str(r->cli->arena, buf_str(&plain));
        widths[i % r->picked_n] = MAX_OF(widths[i % r->picked_n], utf8_count(texts[i]));
        buf_release(&text);
        buf_release(&plain);
    }
    fit(widths, r->picked_n, out_width(OUT_STDOUT));
    buf_put_cstr(b, color ? "\033[1m" : "");
    for (size_t i = 0; i < r->picked_n; i++) {
        const struct column *c = &r->columns[r->picked[i]];

        put_cell(b, str_cstr(c->title), widths[i], c->flags & COLUMN_RIGHT, i + 1 == r->picked_n);
    }
    buf_put_cstr(b, color ? "\033[0m\n" : "\n");
    for (size_t i = 0; texts && i < cells_n; i++) {
        size_t col = i % r->picked_n;

        put_cell(b, texts[i], widths[col], r->columns[r->picked[col]].flags & COLUMN_RIGHT,
                 col + 1 == r->picked_n);
        buf_put_cstr(b, col + 1 == r->picked_n ? "\n" : "");
    }
}

void render_end(struct render *r)
{
    struct buf b = BUF_INIT(OUT_MAX);

    switch (r->cli->format) {
    case CLI_JSON: end_json(r, &b); break;
    case CLI_MD: end_md(r, &b); break;
    case CLI_TABLE:
    case CLI_WIDE:
        if (r->tty) end_table(r, &b);
        break;
    case CLI_JSONL:
    case CLI_CSV:
    case CLI_NAME: break;
    }
    out_write(OUT_STDOUT, buf_str(&b));
    buf_release(&b);
}
