/* server/options_int.h - shared by the files of the options. */
#ifndef CAIRN_SERVER_OPTIONS_INT_H
#define CAIRN_SERVER_OPTIONS_INT_H

#include "server/options.h"

/* Variables MLflow has for options that cairn has too; weaker than everything but the default. */
void options_twins(struct opts *o);
/* Turns MLflow's options into cairn's: listen, data, store, blobs, artifact_root. Refuses what is not there yet. */
enum status options_mlflow(struct cli *cli, struct server_options *o, struct err *err) ATTR_CHECK;
/* What GET /api/cairn/v1/config answers: every option with its value in force and where it came from. */
enum status options_config(struct cli *cli, struct str *out, struct err *err) ATTR_CHECK;

#endif
