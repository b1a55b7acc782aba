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
    int64_t renumbered, skipped_n, runs_new, runs_there;
    struct mlmd_skipped *skipped;
    size_t kept, cap;
};
/* Keeps the reason as long as there are not too many. */
void mlmd_report_skip(struct mlmd_report *r, int what, int64_t number, struct str reason);

#endif
