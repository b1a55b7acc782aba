/* import/mlmd_int.h - what the files of cairn import mlmd share. */
#ifndef CAIRN_IMPORT_MLMD_INT_H
#define CAIRN_IMPORT_MLMD_INT_H

#include "cli/api.h"
#include "import/mlmd_source.h"

enum { OUTCOMES = 6, SKIPPED_KEPT = 1000, REASON_MAX = 400 };

struct mlmd_flags {
    const char *ns, *source, *as_runs, *ca_file;
};

struct mlmd_skipped {
    int what;
    int64_t number;
    struct str reason;
};

/* What was done with the rows of each table. */
struct mlmd_report {
    struct arena *arena;
    int64_t rows[MLMD_TABLES + 1], outcomes[MLMD_TABLES + 1][OUTCOMES];
    int64_t renumbered, skipped_n;
    struct mlmd_skipped *skipped;
    size_t kept, cap;
};

/* Executions as runs of an experiment. */
struct mlmd_runs {
    struct cli *cli;
    struct mlmd_report *report;
    const char *source;
    struct str experiment; /* its id */
};
/* The id of the experiment of that name, which is made if there is none. */
enum status mlmd_runs_experiment(struct cli *cli, const char *name, struct str *id,
                                 struct err *err) ATTR_CHECK;
/* Makes the run of an execution, the message `row`; one that is there (*run) gets the state that the execution has now.
 * *run is empty afterwards where the row was skipped, because somebody has deleted its run; that is noted. */
enum status mlmd_runs_put(struct mlmd_runs *r, struct arena *a, struct str row, struct str *run,
                          struct err *err) ATTR_CHECK;
/* Keeps the reason as long as there are not too many. */
void mlmd_report_skip(struct mlmd_report *r, int what, int64_t number, struct str reason);

#endif
