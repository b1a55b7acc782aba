/* cli/render.h - rows of an answer in every output format.
 * A command names its columns once and gives cells; which columns are shown, how and where is decided here: -o FORMAT and
 * its fields, terminal or pipe, width, colour. jsonl, csv, name and tab-separated tables are written row by row; a table for
 * a terminal, JSON and Markdown at the end.
 * Ownership: cells borrow; what they point to stays until render_end(). Thread rule: the main thread. */
#ifndef CAIRN_CLI_RENDER_H
#define CAIRN_CLI_RENDER_H

#include "cli/cli.h"

enum column_flags {
    COLUMN_WIDE = 1,  /* in a table only with -o wide */
    COLUMN_DATA = 2,  /* not in tables unless picked */
    COLUMN_NAME = 4,  /* what -o name prints; one per table */
    COLUMN_RIGHT = 8, /* aligned to the right */
};

struct column {
    const char *name;  /* in JSON and CSV, and for picking */
    const char *title; /* over a table */
    unsigned flags;
};

enum cell_kind {
    CELL_NONE,   /* null */
    CELL_TEXT,   /* s */
    CELL_NUMBER, /* s: as in JSON; NaN, Infinity and -Infinity are texts in JSON */
    CELL_BOOL,   /* i */
    CELL_TIME, /* i: milliseconds; 0 is none. Relative on a terminal, RFC 3339 elsewhere, the number in JSON */
    CELL_BYTES, /* i */
    CELL_JSON,  /* json; s for people */
};

struct cell {
    enum cell_kind kind;
    struct str s, json;
    int64_t i;
};

enum { RENDER_COLUMNS_MAX = 64, RENDER_ROWS_MAX = 1000000 };

struct render {
    struct cli *cli;
    const struct column *columns;
    size_t column_n;
    size_t picked[RENDER_COLUMNS_MAX], picked_n;
    bool single; /* one object, not a list: `show` */
    bool tty;
    struct cell *rows; /* kept for the end */
    size_t row_n, row_cap;
    size_t written;
    int64_t now_ms;
};

/* ST_INVALID for a picked field there is no column of. */
enum status render_begin(struct render *r, struct cli *cli, const struct column *columns, size_t n,
                         bool single, struct err *err) ATTR_CHECK;
/* One cell per column. */
enum status render_row(struct render *r, const struct cell *cells, struct err *err) ATTR_CHECK;
void render_end(struct render *r);

struct cell cell_text(struct str s); /* CELL_NONE when p is NULL */
struct cell cell_time(int64_t ms);
struct cell cell_number(struct str s);

/* "3m ago", "in 2h", "2 d ago"; for people. */
void render_ago(int64_t ms, int64_t now_ms, char out[32]);
/* "4.2 MiB" */
void render_bytes(int64_t bytes, char out[32]);
/* Text without control characters, so that a name cannot drive the terminal. */
void render_plain(struct buf *out, struct str s);

#endif
