/* api/mlflow/mlflow.h - the MLflow tongue: tracking routes, their messages, their errors.
 * Thin: it decodes, calls core and encodes; rules live in core. Routes are served under /api and /ajax-api.
 * Thread rule: tables are immutable. */
#ifndef CAIRN_API_MLFLOW_MLFLOW_H
#define CAIRN_API_MLFLOW_MLFLOW_H

#include "api/call.h"

/* The MLflow release whose behaviour the tracking routes follow; /version answers it. */
#define MLFLOW_EMULATED_VERSION "3.17.2"

extern const struct tongue mlflow_tongue;

/* Adds every route of the tongue; prefix as router_add(). */
enum status mlflow_routes(struct router *r, const char *prefix, struct err *err);

#endif
