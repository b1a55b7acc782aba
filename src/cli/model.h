/* cli/model.h - what the commands on registered models share.
 * Ownership: everything lies in the arena of the command. Thread rule: the main thread. */
#ifndef CAIRN_CLI_MODEL_H
#define CAIRN_CLI_MODEL_H

#include "cli/cli.h"
#include "cli/jv.h"

#define MODELS   "/api/2.0/mlflow/registered-models/"
#define VERSIONS "/api/2.0/mlflow/model-versions/"
#define HISTORY  "/api/cairn/v1/registered-models/" /* and what only cairn has */

/* NAME/NUMBER, NAME@ALIAS, NAME/STAGE cut apart; *version NULL: only a model. */
enum status model_split_name(struct cli *cli, const char *text, const char **name,
                             const char **version, struct err *err) ATTR_CHECK;

/* model_files.c */
struct model_get_flags {
    const char *to;
    bool force;
};
int model_get(struct cli *cli);
struct model_diff_flags {
    bool all;
};
int model_diff(struct cli *cli);

#endif
