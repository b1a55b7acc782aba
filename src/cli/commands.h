/* cli/commands.h - the functions and options behind the rows of table.c.
 * Thread rule: the main thread. */
#ifndef CAIRN_CLI_COMMANDS_H
#define CAIRN_CLI_COMMANDS_H

#include "cli/cli.h"

struct ls_flags {
    const char *const *experiment;
    const char *filter;
    const char *const *sort;
    int64_t limit;
    bool all, deleted;
};
int run_ls(struct cli *cli);
int run_show(struct cli *cli);
int run_events_ls(struct cli *cli);
struct rm_flags {
    bool hard, dry_run, force;
};
/* What the flags say, as the query of a DELETE. */
const char *rm_query(const struct rm_flags *f);
int run_rm(struct cli *cli);
int run_restore(struct cli *cli);
/* Shows what deleting one of KIND (runs, experiments, logged-models) for good would take away; the exit code. */
int trash_contents(struct cli *cli, const char *kind, struct str id);
int experiment_ls(struct cli *cli);
int experiment_rm(struct cli *cli);
int experiment_restore(struct cli *cli);

struct chart_flags {
    const char *x;
    const char *const *with;
    const char *from, *to;
    int64_t width, height, buckets;
};
int run_chart(struct cli *cli);

struct context_flags {
    const char *token_file;
    const char *server;
};
int context_ls(struct cli *cli);
int context_use(struct cli *cli);
int context_set(struct cli *cli);
int context_rm(struct cli *cli);

struct login_flags {
    bool with_token;
    const char *name;
};
int login(struct cli *cli);
int logout(struct cli *cli);

int config_explain(struct cli *cli);
int completion(struct cli *cli);
int version(struct cli *cli);

#endif
