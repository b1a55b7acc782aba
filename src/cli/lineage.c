/* cli/lineage.c - cairn why, impact, trail, diff: questions to the lineage graph, as a tree, a table, JSON or a diagram. */
#include "base/clock.h"
#include "base/num.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/render.h"
#include "cli/when.h"
#include <stdio.h>

enum {
    BODY_MAX = 64 << 20,
    PATH_MAX_BYTES = 1 << 16,
    DEPTH_MAX = 200, /* levels of a tree that are drawn */
    ALIKE_MAX = 8,   /* siblings of one type that are drawn one by one, */
    ALIKE_SHOWN = 5, /* and how many of more */
    LINE_MIN = 40,
    NAME_SHORT = 60,
    SOURCE_SHORT = 100
};

struct lineage_flags {
    const char *as_of, *draw, *metric;
    const char *const *type, *const *expand;
    int64_t depth, limit, deadline_ms;
    bool claimed, lowest, evaluation, all, columns, group;
};

/* ---- requests --------------------------------------------------------------------------------------------------------- */

/* A path with its query, built up. */
struct ask {
    struct cli *cli;
    struct buf path;
    bool any;
};

static void ask_put(struct ask *q, const char *key, struct str value)
{
    struct str escaped = api_escape(q->cli->arena, value);

    buf_printf(&q->path, "%c%s=%.*s", q->any ? '&' : '?', key, STR_ARG(escaped));
    q->path.failed = q->path.failed || !escaped.p;
    q->any = true;
}

static void ask_put_i64(struct ask *q, const char *key, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    ask_put(q, key, str_cstr(text));
}

static enum status ask_begin(struct ask *q, struct cli *cli, const char *path, struct err *err)
{
    const struct lineage_flags *f = cli->options;
    int64_t ms;

    *q = (struct ask){ .cli = cli, .path = BUF_INIT(PATH_MAX_BYTES) };
    buf_put_cstr(&q->path, path);
    if (f->as_of) {
        enum status st = cli_time(f->as_of, "--as-of", &ms, err);

        if (st) return st;
        ask_put_i64(q, "as_of_ms", ms);
    }
    if (f->claimed) {
        ask_put(q, "claimed", S("true"));
    }
    return OK;
}

/* Sends it if st is OK, and ends the question in any case. */
static enum status ask_end(struct ask *q, enum status st, struct jv **out, struct err *err)
{
    const char *path;

    st = st ? st : buf_status(&q->path, "question", err);
    path = st ? NULL : arena_cstr(q->cli->arena, buf_str(&q->path));

    buf_release(&q->path);
    if (st) {
        return st;
    }
    return path ? api_call(q->cli, "GET", path, (struct str){ NULL, 0 }, out, err) : err_nomem(err);
}

/* ---- an answer as a graph ----------------------------------------------------------------------------------------------- */

struct drawn_link {
    size_t from, to;
    bool evaluation;
    bool still; /* both are the same, or one is where the other is: there is no direction */
};
struct drawing {
    struct cli *cli;
    const struct jv **nodes;
    size_t n;
    struct drawn_link *links;
    size_t links_n;
    bool *seen;
    bool down, color;
    unsigned width;
    struct buf out, indent;
};

static enum status drawing_of(struct drawing *d, struct cli *cli, const struct jv *answer,
                              bool down, struct err *err)
{
    size_t links = 0;

    *d = (struct drawing){ .cli = cli,
                           .down = down,
                           .color = out_color(cli_color(cli), OUT_STDOUT),
                           .width = MAX_OF(out_width(OUT_STDOUT), (unsigned)LINE_MIN),
                           .out = BUF_INIT(BODY_MAX),
                           .indent = BUF_INIT(BODY_MAX) };
    for (const struct jv *v = jv_items(answer, "nodes"); v; v = v->next) {
        d->n++;
    }
    for (const struct jv *v = jv_items(answer, "links"); v; v = v->next) {
        links++;
    }
    d->nodes = arena_zalloc(cli->arena, d->n + 1, sizeof(*d->nodes));
    d->links = ARENA_ARRAY(cli->arena, struct drawn_link, links + 1);
    d->seen = ARENA_ARRAY(cli->arena, bool, d->n + 1);
    if (!d->nodes || !d->links || !d->seen) {
        return err_nomem(err);
    }
    d->n = 0;
    for (const struct jv *v = jv_items(answer, "nodes"); v; v = v->next) {
        d->nodes[d->n++] = v;
    }
    for (const struct jv *v = jv_items(answer, "links"); v; v = v->next) {
        int64_t from = jv_i64(v, "from", 0), to = jv_i64(v, "to", 0);
        const struct jv *evaluation = jv_get(v, "evaluation");
        struct str role = jv_text(v, "role");
        bool still = str_eq_lit(role, "same") || str_eq_lit(role, "place");

        if (from >= 0 && to >= 0 && (size_t)from < d->n && (size_t)to < d->n) {
            d->links[d->links_n++] =
                (struct drawn_link){ (size_t)from, (size_t)to, evaluation && evaluation->is_true,
                                     still };
        }
    }
    return OK;
}

static void drawing_show(struct drawing *d)
{
    out_write(OUT_STDOUT, buf_str(&d->out));
    buf_release(&d->out);
    buf_release(&d->indent);
}

static bool is_true(const struct jv *v, const char *key)
{
    const struct jv *x = jv_get(v, key);

    return x && x->is_true;
}

/* "run nice-owl-12" with what is known about it. */
static void put_node(struct drawing *d, const struct jv *v)
{
    struct str type = jv_text(v, "type"), name = jv_text(v, "name"), state = jv_text(v, "state");
    struct str ref = jv_text(v, "node");
    size_t colon = str_find_byte(ref, ':', 0);
    struct str id =
        colon == SIZE_MAX || str_starts(ref, S("node:")) ? ref : str_sub(ref, colon + 1, ref.n);
    int64_t time = jv_i64(v, "time_ms", 0);
    struct buf *b = &d->out;
    char ago[32];

    buf_printf(b, "%.*s %s", STR_ARG(type), d->color ? "\033[1m" : "");
    render_plain(b, name);
    buf_put_cstr(b, d->color ? "\033[0m" : "");
    if (!str_eq(id, name) && !str_eq(ref, name)) {
        buf_put_cstr(b, "  ");
        render_plain(b, id);
    }
    for (const struct jv *a = jv_items(v, "aliases"); a; a = a->next) {
        buf_put_cstr(b, " @");
        render_plain(b, a->text);
    }
    if (state.n) {
        buf_printf(b, "  %.*s", STR_ARG(state));
    }
    if (is_true(v, "gone")) {
        buf_put_cstr(b, "  deleted for good");
        if (jv_text(v, "experiment").n) {
            buf_put_cstr(b, ", was in ");
            render_plain(b, jv_text(v, "experiment"));
        }
    } else if (is_true(v, "deleted")) {
        buf_put_cstr(b, "  in the trash");
    }
    if (time) {
        render_ago(time, clock_wall_ms(), ago);
        buf_printf(b, "  %s", ago);
    }
    buf_put_cstr(b, "\n");
}

/* "key=value key=value" on one line, cut at its end. */
static void put_pairs(struct drawing *d, const char *title, const struct jv *list)
{
    struct buf line = BUF_INIT(BODY_MAX);
    size_t room =
        d->width > 30 ? d->width - 16 - MIN_OF(d->indent.n / 2, (size_t)(d->width - 30)) : 20;

    for (const struct jv *v = list; v && line.n <= room; v = v->next) {
        buf_put_cstr(&line, line.n ? " " : "");
        render_plain(&line, jv_text(v, "key"));
        buf_put_cstr(&line, "=");
        render_plain(&line, jv_text(v, "value"));
    }
    if (list && !line.failed) {
        struct str s = buf_str(&line);
        bool cut = s.n > room;

        for (s.n = cut ? room : s.n; cut && s.n && ((unsigned char)s.p[s.n] & 0xC0) == 0x80;) {
            s.n--; /* never inside of a character */
        }
        buf_printf(&d->out, "%.*s%-10s%.*s%s\n", STR_ARG(buf_str(&d->indent)), title, STR_ARG(s),
                   cut ? " ..." : "");
    }
    buf_release(&line);
}

static void put_details(struct drawing *d, const struct jv *v)
{
    struct str source = jv_text(v, "source"), user = jv_text(v, "user");
    const struct jv *libraries = jv_items(v, "libraries");
    struct str indent = buf_str(&d->indent);
    size_t shown = 0;

    put_pairs(d, "code", jv_items(v, "code"));
    put_pairs(d, "params", jv_items(v, "params"));
    if (user.n) {
        buf_printf(&d->out, "%.*s%-10s", STR_ARG(indent), "by");
        render_plain(&d->out, user);
        buf_put_cstr(&d->out, "\n");
    }
    if (source.n && str_eq_lit(jv_text(v, "type"), "dataset")) {
        buf_printf(&d->out, "%.*s%-10s", STR_ARG(indent), "source");
        render_plain(&d->out, source.n > SOURCE_SHORT ? str_sub(source, 0, SOURCE_SHORT) : source);
        buf_put_cstr(&d->out, "\n");
    }
    if (libraries) {
        buf_printf(&d->out, "%.*s%-10s", STR_ARG(indent), "needs");
        for (const struct jv *l = libraries; l && shown < ALIKE_SHOWN; l = l->next, shown++) {
            buf_put_cstr(&d->out, shown ? " " : "");
            render_plain(&d->out, l->text);
        }
        shown = 0;
        for (const struct jv *l = libraries; l; l = l->next) {
            shown++;
        }
        if (shown > ALIKE_SHOWN) {
            buf_printf(&d->out, " and %zu more", shown - ALIKE_SHOWN);
        }
        buf_put_cstr(&d->out, "\n");
    }
}

/* What lies behind node i: the other ends of its links, and how many of them are of its type before it. */
static size_t next_child(const struct drawing *d, size_t i, size_t *at,
                         const struct drawn_link **by)
{
    while (*at < d->links_n) {
        const struct drawn_link *l = &d->links[(*at)++];

        if (l->still && (l->from == i || l->to == i)) {
            size_t other = l->from == i ? l->to : l->from;

            if (!d->seen[other]) {
                *by = l;
                return other;
            }
        } else if (!l->still && (d->down ? l->from : l->to) == i) {
            *by = l;
            return d->down ? l->to : l->from;
        }
    }
    return SIZE_MAX;
}

struct siblings {
    struct str type;
    size_t n, shown;
};

/* Of child's type under node i. */
static size_t alike(const struct drawing *d, size_t i, size_t child)
{
    const struct drawn_link *by;
    size_t at = 0, n = 0, k;

    while ((k = next_child(d, i, &at, &by)) != SIZE_MAX) {
        n += str_eq(jv_text(d->nodes[k], "type"), jv_text(d->nodes[child], "type"));
    }
    return n;
}

/* Where two protocols only meet a place is not shown: what lies behind it instead. */
static size_t behind_places(struct drawing *d, size_t i)
{
    const struct drawn_link *by;

    while (str_eq_lit(jv_text(d->nodes[i], "type"), "place") && !d->seen[i]) {
        size_t at = 0, other;

        d->seen[i] = true;
        other = next_child(d, i, &at, &by);
        if (other == SIZE_MAX || next_child(d, i, &at, &by) != SIZE_MAX) {
            d->seen[i] = false;
            break;
        }
        i = other;
    }
    return i;
}

static void put_tree(struct drawing *d, size_t i, unsigned depth);

static void put_child(struct drawing *d, size_t child, bool last, const struct drawn_link *by,
                      unsigned depth)
{
    size_t kept = d->indent.n;

    buf_printf(&d->out, "%.*s%s", STR_ARG(buf_str(&d->indent)), last ? "└─ " : "├─ ");
    buf_put_cstr(&d->out, by->still ? "= " : by->evaluation ? "(evaluated on) " : "");
    if (d->seen[child]) {
        buf_put_cstr(&d->out, "(above) ");
    }
    put_node(d, d->nodes[child]);
    buf_put_cstr(&d->indent, last ? "   " : "│  ");
    if (!d->seen[child]) {
        put_tree(d, child, depth + 1);
    }
    d->indent.n = kept;
}

/* The details of node i and what lies behind it. */
static void put_tree(struct drawing *d, size_t i, unsigned depth)
{
    struct siblings groups[8];
    size_t groups_n = 0, at = 0, child, next, next_at;
    const struct drawn_link *by = NULL, *next_by = NULL;

    d->seen[i] = true;
    put_details(d, d->nodes[i]);
    if (depth >= DEPTH_MAX) {
        return;
    }
    child = next_child(d, i, &at, &by);
    while (child != SIZE_MAX) {
        size_t shown = behind_places(d, child);
        struct str type = jv_text(d->nodes[shown], "type");
        size_t g = 0, all = alike(d, i, shown);

        while (g < groups_n && !str_eq(groups[g].type, type)) {
            g++;
        }
        if (g == groups_n && g < ARRAY_N(groups)) {
            groups[groups_n++] = (struct siblings){ type, all, 0 };
        }
        next_at = at;
        next = next_child(d, i, &next_at, &next_by);
        if (g == ARRAY_N(groups) || all <= ALIKE_MAX || groups[g].shown < ALIKE_SHOWN) {
            put_child(d, shown, next == SIZE_MAX, by, depth);
        } else if (groups[g].shown == ALIKE_SHOWN) {
            buf_printf(&d->out, "%.*s%s %zu more of type %.*s\n", STR_ARG(buf_str(&d->indent)),
                       next == SIZE_MAX ? "└─" : "├─", all - ALIKE_SHOWN, STR_ARG(type));
        }
        if (g < ARRAY_N(groups)) {
            groups[g].shown++;
        }
        child = next;
        at = next_at;
        by = next_by;
    }
}

static void put_totals(struct drawing *d, const struct jv *answer, const char *where)
{
    const char *sep = "";

    if (!jv_items(answer, "totals")) {
        buf_printf(&d->out, "nothing is known %s\n", where);
        return;
    }
    buf_printf(&d->out, "%s: ", where);
    for (const struct jv *t = jv_items(answer, "totals"); t; t = t->next) {
        struct str type = jv_text(t, "type");
        bool one =
            jv_i64(t, "count", 0) == 1 || str_eq_lit(type, "files") || str_eq_lit(type, "data");

        buf_printf(&d->out, "%s%.*s %.*s%s", sep, STR_ARG(jv_text(t, "count")), STR_ARG(type),
                   one ? "" : "s");
        sep = ", ";
    }
    buf_put_cstr(&d->out, is_true(answer, "partial") ? ", and more: the time was over\n" : "\n");
}

/* What alike siblings were left out, and how to see them. */
static void put_groups(struct drawing *d, const struct jv *answer)
{
    for (const struct jv *g = jv_items(answer, "groups"); g; g = g->next) {
        int64_t under = jv_i64(g, "under", -1);

        buf_printf(&d->out, "%.*s alike of type %.*s under ", STR_ARG(jv_text(g, "count")),
                   STR_ARG(jv_text(g, "type")));
        if (under >= 0 && (size_t)under < d->n) {
            render_plain(&d->out, jv_text(d->nodes[under], "node"));
        } else if (jv_text(g, "under_group").n) {
            buf_printf(&d->out, "those of %.*s", STR_ARG(jv_text(g, "under_group")));
        } else {
            buf_put_cstr(&d->out, "what is not shown");
        }
        buf_printf(&d->out, ": --expand %.*s\n", STR_ARG(jv_text(g, "id")));
    }
}

static void put_whole_tree(struct drawing *d, const struct jv *answer, const char *where)
{
    for (size_t i = 0; i < d->n && jv_i64(d->nodes[i], "distance", 0) == 0; i++) {
        if (!d->seen[i]) {
            put_node(d, d->nodes[i]);
            put_tree(d, i, 0);
        }
    }
    put_totals(d, answer, where);
    put_groups(d, answer);
}

/* ---- diagrams ----------------------------------------------------------------------------------------------------------- */

/* Without what ends a label in either language. */
static void put_label(struct buf *b, const struct jv *v)
{
    struct str type = jv_text(v, "type"), name = jv_text(v, "name");

    buf_printf(b, "%.*s: ", STR_ARG(type));
    for (size_t i = 0; i < MIN_OF(name.n, (size_t)NAME_SHORT); i++) {
        unsigned char c = (unsigned char)name.p[i];

        buf_put(b, c < ' ' || strchr("\"\\<>[]{}|#;`&", c) ? "_" : (const char *)&name.p[i], 1);
    }
    for (const struct jv *a = jv_items(v, "aliases"); a; a = a->next) {
        buf_printf(b, " @%.*s", STR_ARG(a->text));
    }
}

static void put_mermaid(struct drawing *d)
{
    static const char *const shapes[][3] = { { "run", "([\"", "\"])" },
                                             { "dataset", "[(\"", "\")]" },
                                             { "registered", "{{\"", "\"}}" } };

    buf_put_cstr(&d->out, "flowchart LR\n");
    for (size_t i = 0; i < d->n; i++) {
        const char *open = "[\"", *close = "\"]";

        for (size_t k = 0; k < ARRAY_N(shapes); k++) {
            if (str_eq(jv_text(d->nodes[i], "type"), str_cstr(shapes[k][0]))) {
                open = shapes[k][1];
                close = shapes[k][2];
            }
        }
        buf_printf(&d->out, "    n%zu%s", i, open);
        put_label(&d->out, d->nodes[i]);
        buf_printf(&d->out, "%s\n", close);
    }
    for (size_t i = 0; i < d->links_n; i++) {
        buf_printf(&d->out, "    n%zu %s n%zu\n", d->links[i].from,
                   d->links[i].evaluation ? "-.->" : "-->", d->links[i].to);
    }
}

static void put_dot(struct drawing *d)
{
    static const char *const shapes[][2] = { { "run", "box" },
                                             { "dataset", "cylinder" },
                                             { "registered", "hexagon" } };

    buf_put_cstr(&d->out, "digraph lineage {\n    rankdir=LR;\n");
    for (size_t i = 0; i < d->n; i++) {
        const char *shape = "ellipse";

        for (size_t k = 0; k < ARRAY_N(shapes); k++) {
            if (str_eq(jv_text(d->nodes[i], "type"), str_cstr(shapes[k][0]))) {
                shape = shapes[k][1];
            }
        }
        buf_printf(&d->out, "    n%zu [shape=%s, label=\"", i, shape);
        put_label(&d->out, d->nodes[i]);
        buf_put_cstr(&d->out, "\"];\n");
    }
    for (size_t i = 0; i < d->links_n; i++) {
        buf_printf(&d->out, "    n%zu -> n%zu%s;\n", d->links[i].from, d->links[i].to,
                   d->links[i].evaluation ? " [style=dashed]" : "");
    }
    buf_put_cstr(&d->out, "}\n");
}

/* ---- tables ---------------------------------------------------------------------------------------------------------------- */

static const struct column node_columns[] = {
    { "node", "NODE", COLUMN_NAME },
    { "name", "NAME", 0 },
    { "state", "STATE", 0 },
    { "aliases", "ALIASES", 0 },
    { "metric", "METRIC", COLUMN_RIGHT },
    { "distance", "FAR", COLUMN_RIGHT },
    { "time_ms", "TIME", 0 },
    { "user", "USER", COLUMN_WIDE },
    { "source", "SOURCE", COLUMN_WIDE },
    { "type", "TYPE", COLUMN_DATA },
    { "deleted", "DELETED", COLUMN_DATA },
    { "gone", "GONE", COLUMN_DATA },
};

static struct cell aliases_cell(struct arena *a, const struct jv *v)
{
    const struct jv *list = jv_get(v, "aliases");
    struct buf text = BUF_INIT(PATH_MAX_BYTES);
    struct cell out = { .kind = CELL_JSON, .json = list ? list->raw : S("[]"), .s = S("") };

    for (const struct jv *x = jv_items(v, "aliases"); x; x = x->next) {
        buf_printf(&text, "%s%.*s", text.n ? " " : "", STR_ARG(x->text));
    }
    if (!text.failed) {
        out.s = arena_str(a, buf_str(&text));
    }
    buf_release(&text);
    return out.s.p ? out : (struct cell){ .kind = CELL_NONE };
}

static struct cell bool_cell(const struct jv *v, const char *key)
{
    return (struct cell){ .kind = CELL_BOOL, .i = is_true(v, key) };
}

static enum status put_table(struct cli *cli, const struct jv *answer, struct err *err)
{
    struct render r;
    enum status st = render_begin(&r, cli, node_columns, ARRAY_N(node_columns), false, err);

    for (const struct jv *v = jv_items(answer, "nodes"); !st && v; v = v->next) {
        struct str metric = jv_text(v, "metric");
        struct cell cells[ARRAY_N(node_columns)] = {
            cell_text(jv_text(v, "node")),
            cell_text(jv_text(v, "name")),
            cell_text(jv_text(v, "state")),
            aliases_cell(cli->arena, v),
            metric.p ? cell_number(metric) : (struct cell){ .kind = CELL_NONE },
            cell_number(jv_text(v, "distance")),
            cell_time(jv_i64(v, "time_ms", 0)),
            cell_text(jv_text(v, "user")),
            cell_text(jv_text(v, "source")),
            cell_text(jv_text(v, "type")),
            bool_cell(v, "deleted"),
            bool_cell(v, "gone"),
        };

        st = render_row(&r, cells, err);
    }
    if (!st) {
        render_end(&r);
    }
    return st;
}

/* An answer in the form that was asked for. tree: for people, else a table. */
static int show(struct cli *cli, const struct jv *answer, bool down, bool tree, const char *where)
{
    const struct lineage_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct drawing d;
    bool totals = false; /* are given, which say so of themselves */
    enum status st = OK;

    if (cli->format == CLI_JSON && !f->draw && !cli->fields) {
        api_put_raw(answer);
        return CLI_DONE;
    }
    if (!f->draw && (!tree || cli->format != CLI_TABLE || cli->fields)) {
        st = put_table(cli, answer, &err);
    }
    if (!st && (f->draw || cli->format == CLI_TABLE)) {
        st = drawing_of(&d, cli, answer, down, &err);
        if (!st && f->draw && strcmp(f->draw, "dot") == 0) {
            put_dot(&d);
        } else if (!st && f->draw) {
            put_mermaid(&d);
        } else if (!st && tree && !cli->fields) {
            put_whole_tree(&d, answer, where);
            totals = true;
        } else if (!st && out_is_tty(OUT_STDOUT)) {
            put_totals(&d, answer, where);
            totals = true;
            put_groups(&d, answer);
        } else if (!st) {
            put_groups(&d, answer);
        }
        if (!st) {
            drawing_show(&d);
        }
    }
    if (!st && is_true(answer, "partial") && !totals) {
        cli_note(cli, "there is more: the time was over (--deadline)");
    }
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- commands -------------------------------------------------------------------------------------------------------------- */

/* Of every walk. */
static void put_way(struct ask *q, const struct lineage_flags *f)
{
    if (f->depth) {
        ask_put_i64(q, "depth", f->depth);
    }
    for (const char *const *t = f->type; t && *t; t++) {
        ask_put(q, "types", str_cstr(*t));
    }
    ask_put_i64(q, "timeout_ms", f->deadline_ms);
}

static void put_common(struct ask *q, const struct lineage_flags *f)
{
    put_way(q, f);
    ask_put_i64(q, "max_nodes", f->limit);
    if (f->group) {
        ask_put(q, "group", S("true"));
    }
    for (const char *const *t = f->expand; t && *t; t++) {
        ask_put(q, "expand", str_cstr(*t));
    }
}

static int why(struct cli *cli)
{
    const struct lineage_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct ask q;
    enum status st = ask_begin(&q, cli, "/api/cairn/v1/lineage", &err);

    ask_put(&q, "node", str_cstr(cli->args[0]));
    ask_put(&q, "details", S("true"));
    put_common(&q, f);
    if (f->columns) {
        ask_put(&q, "columns", S("true"));
    }
    st = ask_end(&q, st, &answer, &err);
    return st ? cli_fail(cli, st, &err) : show(cli, answer, false, true, "behind it");
}

static int impact(struct cli *cli)
{
    const struct lineage_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct ask q;
    enum status st = ask_begin(&q, cli, "/api/cairn/v1/lineage/impact", &err);

    ask_put(&q, "node", str_cstr(cli->args[0]));
    put_common(&q, f);
    if (f->metric) {
        ask_put(&q, "metric", str_cstr(f->metric));
    }
    if (f->lowest) {
        ask_put(&q, "lowest", S("true"));
    }
    if (f->evaluation) {
        ask_put(&q, "evaluation", S("true"));
    }
    st = ask_end(&q, st, &answer, &err);
    return st ? cli_fail(cli, st, &err) : show(cli, answer, true, false, "made of it");
}

static int trail(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    const struct jv *role;
    struct drawing d;
    struct ask q;
    enum status st = ask_begin(&q, cli, "/api/cairn/v1/lineage/trail", &err);

    ask_put(&q, "from", str_cstr(cli->args[0]));
    ask_put(&q, "to", str_cstr(cli->args[1]));
    put_way(&q, cli->options);
    st = ask_end(&q, st, &answer, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    if (cli->format == CLI_JSON && !cli->fields) {
        api_put_raw(answer);
        return jv_items(answer, "nodes") ? CLI_DONE : CLI_NOT_FOUND;
    }
    if (cli->format != CLI_TABLE || cli->fields) {
        st = put_table(cli, answer, &err);
        return st ? cli_fail(cli, st, &err) : jv_items(answer, "nodes") ? CLI_DONE : CLI_NOT_FOUND;
    }
    st = drawing_of(&d, cli, answer, true, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    role = jv_items(answer, "roles");
    for (size_t i = 0; i < d.n; i++) {
        if (i > 0) {
            buf_printf(&d.out, "   ↓ %.*s\n", STR_ARG(role ? role->text : S("")));
            role = role ? role->next : NULL;
        }
        put_node(&d, d.nodes[i]);
    }
    if (d.n && jv_items(answer, "totals")) {
        put_totals(&d, answer, "between them");
    } else if (!d.n) {
        buf_printf(&d.out, "no data leads from one to the other%s\n",
                   is_true(answer, "partial") ? " as far as was looked: the time was over" : "");
    }
    drawing_show(&d);
    return d.n ? CLI_DONE : CLI_NOT_FOUND;
}

static const struct column diff_columns[] = {
    { "section", "SECTION", 0 },
    { "key", "KEY", COLUMN_NAME },
    { "a", "A", 0 },
    { "b", "B", 0 },
    { "equal", "EQUAL", COLUMN_DATA },
};

static int diff(struct cli *cli)
{
    const struct lineage_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct render r;
    struct ask q;
    enum status st = ask_begin(&q, cli, "/api/cairn/v1/runs/diff", &err);

    ask_put(&q, "a", str_cstr(cli->args[0]));
    ask_put(&q, "b", str_cstr(cli->args[1]));
    if (f->all) {
        ask_put(&q, "all", S("true"));
    }
    st = ask_end(&q, st, &answer, &err);
    st = st ? st : render_begin(&r, cli, diff_columns, ARRAY_N(diff_columns), false, &err);
    for (const struct jv *v = jv_items(answer, "differences"); !st && v; v = v->next) {
        struct cell cells[ARRAY_N(diff_columns)] = {
            cell_text(jv_text(v, "section")),
            cell_text(jv_text(v, "key")),
            cell_text(jv_text(v, "a")),
            cell_text(jv_text(v, "b")),
            bool_cell(v, "equal"),
        };

        st = render_row(&r, cells, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    cli_note(cli, "%lld things are equal%s", (long long)jv_i64(answer, "equal", 0),
             f->all ? "" : " (--all shows them)");
    return CLI_DONE;
}

/* ---- rows --------------------------------------------------------------------------------------------------------------------- */

#define AT(member) .off = offsetof(struct lineage_flags, member)
#define AS_OF                                                                                      \
    { .name = "as-of",                                                                             \
      .type = OPT_TEXT,                                                                            \
      .arg = "TIME",                                                                               \
      AT(as_of),                                                                                   \
      .doc = "what was known then: 2026-03-03, 2026-03-03T14:30 (UTC), or milliseconds" },         \
    {                                                                                              \
        .name = "claimed", .type = OPT_BOOL, AT(claimed),                                          \
        .doc = "--as-of means the times that clients gave, not those of recording"                 \
    }
#define STEPS                                                                                      \
    { .name = "depth",                                                                             \
      .type = OPT_COUNT,                                                                           \
      .arg = "N",                                                                                  \
      .def = "0",                                                                                  \
      .min = "0",                                                                                  \
      .max = "100000",                                                                             \
      AT(depth),                                                                                   \
      .doc = "links from the start at most; 0 is any" },                                           \
    {                                                                                              \
        .name = "type", .type = OPT_LIST, .arg = "TYPE", AT(type),                                 \
        .doc = "only these: run, dataset, model, version, registered, files, column"               \
    }
#define WALK                                                                                       \
    STEPS,                                                                                         \
        { .name = "limit",                                                                         \
          .type = OPT_COUNT,                                                                       \
          .arg = "N",                                                                              \
          .def = "1000",                                                                           \
          .min = "1",                                                                              \
          .max = "10000",                                                                          \
          AT(limit),                                                                               \
          .doc = "at most so many things; totals count all" },                                     \
    {                                                                                              \
        .name = "draw", .type = OPT_CHOICE, .arg = "LANGUAGE", .choices = "mermaid|dot", AT(draw), \
        .doc = "a diagram instead of text: mermaid or dot"                                         \
    }
#define DEADLINE                                                                                   \
    {                                                                                              \
        .name = "deadline", .type = OPT_DURATION, .arg = "TIME", .def = "10s", .min = "1ms",       \
        .max = "60s", AT(deadline_ms), .doc = "what was found by then is given, marked as a part"  \
    }
#define GROUP                                                                                      \
    { .name = "group",                                                                             \
      .type = OPT_BOOL,                                                                            \
      AT(group),                                                                                   \
      .doc = "of five or more alike siblings show three, and how many there are" },                \
    {                                                                                              \
        .name = "expand", .type = OPT_LIST, .arg = "GROUP", AT(expand),                            \
        .doc = "as --group, but show all of this group"                                            \
    }

static const struct opt_row why_rows[] = {
    AS_OF,
    WALK,
    DEADLINE,
    GROUP,
    { .name = "columns",
      .type = OPT_BOOL,
      AT(columns),
      .doc = "also the columns that runs were said to use, and what these were made of" },
};
static const struct opt_row impact_rows[] = {
    AS_OF,
    WALK,
    DEADLINE,
    GROUP,
    { .name = "metric",
      .type = OPT_TEXT,
      .arg = "KEY",
      AT(metric),
      .doc = "rank the runs by this metric, the highest first" },
    { .name = "lowest", .type = OPT_BOOL, AT(lowest), .doc = "with --metric: the lowest first" },
    { .name = "evaluation",
      .type = OPT_BOOL,
      AT(evaluation),
      .doc = "also what was only evaluated on it" },
};
static const struct opt_row trail_rows[] = { AS_OF, STEPS, DEADLINE };
static const struct opt_row diff_rows[] = {
    { .name = "as-of",
      .type = OPT_TEXT,
      .arg = "TIME",
      AT(as_of),
      .doc =
          "inputs, models, metrics and status as they were then; params and tags keep no times" },
    { .name = "all", .type = OPT_BOOL, AT(all), .doc = "also what is equal" },
};

#define NODES                                                                                      \
    "A node is run:ID, dataset:NAME@DIGEST, dataset:NAME, model:ID (a logged model), "             \
    "version:NAME/NUMBER, version:NAME@ALIAS, registered:NAME, files:URI or column:DATASET.NAME; " \
    "the word before the colon can be left out where only one kind of thing has that name."

static const struct cli_command rows[] = {
    { .noun = "why",
      .args = "NODE",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show what a run, a model or a version came from: data, code, parameters, people",
      .detail = NODES,
      CLI_OPTIONS(why_rows, struct lineage_flags),
      CLI_EXAMPLES("cairn why fraud@prod", "cairn why fraud@prod --as-of 2026-03-03",
                   "cairn why fraud/7 --draw mermaid"),
      .run = why },
    { .noun = "impact",
      .args = "NODE",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show what was made of a data set or a model: models, versions, aliases, runs",
      .detail = NODES,
      CLI_OPTIONS(impact_rows, struct lineage_flags),
      CLI_EXAMPLES("cairn impact dataset:clicks", "cairn impact clicks@3f1c --metric auc",
                   "cairn impact column:clicks.user_id"),
      .run = impact },
    { .noun = "trail",
      .args = "FROM TO",
      .args_min = 2,
      .args_max = 2,
      .summary = "Show how one thing led to another",
      .detail = NODES,
      CLI_OPTIONS(trail_rows, struct lineage_flags),
      CLI_EXAMPLES("cairn trail dataset:clicks fraud@prod"),
      .run = trail },
    { .noun = "diff",
      .args = "RUN RUN",
      .args_min = 2,
      .args_max = 2,
      .summary = "Show everything that differs between two runs",
      .detail = "In the order code, data, parameters, environment, hardware, results, tags.",
      CLI_OPTIONS(diff_rows, struct lineage_flags),
      CLI_EXAMPLES("cairn diff 4f2c0d0e4f2c0d0e4f2c0d0e4f2c0d0e "
                   "9b1d0c7a9b1d0c7a9b1d0c7a9b1d0c7a"),
      .run = diff },
};
const struct cli_table cli_lineage = { rows, ARRAY_N(rows) };
