/* cli/opt.h - options from one table: parser, precedence, help and the manual all read the same rows.
 *
 *     struct opts o;
 *     opts_init(&o, rows, n, arena, err);
 *     opts_flag(&o, "http-body-max", "64M", err);       --http-body-max 64M
 *     opts_env(&o, err);                                 CAIRN_HTTP_BODY_MAX
 *     opts_conf(&o, &conf, OPT_FROM_PROJECT, err);       [http] body_max = 64M
 *     opts_apply(&o, &config, err);                      parsed, checked, written to the struct
 *
 * Layers are added from the strongest to the weakest: the first that sets an option wins, whatever its value. A list
 * (several values) is given by several flags or by commas; one layer's list replaces another's.
 * Ownership: texts are borrowed from argv, the environment or the arena, and live as long as these.
 * Thread rule: one thread. */
#ifndef CAIRN_CLI_OPT_H
#define CAIRN_CLI_OPT_H

#include "cli/conf.h"

enum opt_type {
    OPT_TEXT,     /* const char *, NULL when not given */
    OPT_LIST,     /* const char *const *, NULL-terminated; NULL when not given */
    OPT_BOOL,     /* bool; --NAME, --no-NAME */
    OPT_COUNT,    /* int64_t */
    OPT_SIZE,     /* int64_t, bytes: 64M */
    OPT_DURATION, /* int64_t, milliseconds: 10s */
    OPT_CHOICE,   /* const char *, one of `choices` */
    OPT_TIMES,    /* int64_t: how often the flag was given, without a value */
};

enum opt_flags {
    OPT_RELOAD = 1,  /* a change counts without a restart */
    OPT_MLFLOW = 2,  /* an option of `mlflow server` under its own name */
    OPT_IGNORED = 4, /* accepted, does nothing; doc says why it is not needed */
    OPT_SHORT = 8,   /* also shown in the help of commands that only need the place of the store */
    OPT_SECRET = 16, /* a password inside an URI is not shown */
};

struct opt_row {
    const char *name; /* "http-body-max" */
    char letter;      /* 'o' for -o, or 0 */
    enum opt_type type;
    const char *arg;       /* what help shows for the value: "DIR" */
    const char *def;       /* as text, NULL = not set */
    const char *min, *max; /* numbers: as text, NULL = none */
    const char *choices;   /* "none|token" */
    const char *env;       /* "CAIRN_HTTP_BODY_MAX", or NULL */
    const char *key;       /* in configuration files: "http.body_max", or NULL */
    unsigned flags;
    size_t off; /* of the value in the target struct */
    const char *doc;
    const char *
        only; /* the one verb of its noun that takes it, as a flag; NULL: every command with this table */
};
static inline bool opt_is_for(const struct opt_row *row, const char *verb)
{
    return !row->only || (verb && strcmp(row->only, verb) == 0);
}

enum opt_source {
    OPT_FROM_DEFAULT,
    OPT_FROM_FLAG,
    OPT_FROM_ENV,
    OPT_FROM_PROJECT, /* .cairn.conf */
    OPT_FROM_USER,    /* cairn.conf */
};

struct opt_value {
    const char *text; /* NULL = not set */
    enum opt_source source;
    const char *file; /* of OPT_FROM_PROJECT and OPT_FROM_USER */
    const char *env;  /* of OPT_FROM_ENV */
    unsigned line;
    unsigned times;
};

struct opts {
    const struct opt_row *rows;
    size_t n;
    struct opt_value *values;
    struct arena *arena;
};

enum status opts_init(struct opts *o, const struct opt_row *rows, size_t n, struct arena *a,
                      struct err *err) ATTR_CHECK;
/* The row of a long name; "no-NAME" finds an OPT_BOOL and sets *negated (which may be NULL). NULL if there is none. */
const struct opt_row *opts_find(const struct opts *o, struct str name, bool *negated);
const struct opt_row *opts_find_letter(const struct opts *o, char letter);
/* True if the row takes a value after its flag. */
bool opt_takes_value(const struct opt_row *row);
/* One flag. value is NULL for a flag without one (OPT_BOOL, OPT_TIMES); negated as from opts_find(). */
enum status opts_flag(struct opts *o, const struct opt_row *row, const char *value, bool negated,
                      struct err *err) ATTR_CHECK;
/* The environment; an empty variable counts as not set. */
void opts_env(struct opts *o);
/* One more variable for one option, under the layers that were added before. */
void opts_env_twin(struct opts *o, const char *name, const char *env);
void opts_conf(struct opts *o, const struct conf *c, enum opt_source source);
/* Parses what the layers left, defaults included, and writes it to *target. ST_INVALID names option, value, where it came from and
 * what is allowed. */
enum status opts_apply(struct opts *o, void *target, struct err *err) ATTR_CHECK;

/* The text in force (the default included), NULL if none. */
const char *opts_text(const struct opts *o, const char *name);
/* How it was set. */
const struct opt_value *opts_value(const struct opts *o, const char *name);
/* "flag --listen", "environment CAIRN_LISTEN", "cairn.conf, line 3", "default". */
struct str opts_origin(const struct opts *o, const struct opt_row *row);
/* The text as it may be shown: a password in an OPT_SECRET is replaced. */
struct str opt_shown(const struct opt_row *row, const char *text, struct arena *a);
/* True if the authority of an URI holds a password. */
bool opt_uri_has_password(const char *uri);

/* The candidate nearest to a mistyped word, if it is near at all: at most a third of the letters differ. `best` and `cost` are
 * carried from call to call; start with NULL and UINT32_MAX. */
void opt_nearest(struct str word, const char *candidate, const char **best, unsigned *cost);

#endif
