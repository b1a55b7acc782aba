/* api/kubeflow/kubeflow.h - the REST API of Kubeflow Model Registry, /api/model_registry/v1alpha3/ and /v1/, over cairn's own registry.
 * A model registered here is the same model in MLflow's API: one row, one history (core/registry.h, core/catalog.h). What differs is
 * how it is said: things are named by dense numbers, nothing is deleted but archived, PATCH changes what it names.
 *   tongue.c    errors, numbers, the route table
 *   names.c     names of MLflow as printable ASCII and back
 *   values.c    custom properties and fields of messages as typed properties, items as messages
 *   filter.c    filterQuery
 *   list.c      lists, pages, finders
 *   models.c    registered models and their versions
 *   artifacts.c artifacts
 *   runs.c      experiments, runs, their metrics and parameters: read only
 *   serving.c   environments, inference services, serve models
 * Thread rule: tables are immutable; the rest as api/call.h says. */
#ifndef CAIRN_API_KUBEFLOW_KUBEFLOW_H
#define CAIRN_API_KUBEFLOW_KUBEFLOW_H

#include "api/call.h"

extern const struct tongue kubeflow_tongue;

/* Adds the routes; prefix as router_add(). */
enum status kubeflow_routes(struct router *r, const char *prefix, struct err *err);

#endif
