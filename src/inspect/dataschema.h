/* inspect/dataschema.h - which columns a data set has, by the schema that a client logged with it: MLflow's mlflow_colspec and
 * mlflow_tensorspec (features and targets), and {"fields": [{"name": ...}]} as Arrow, Spark and Delta write it. Names at the top level;
 * what is nested in a column belongs to it. Pure. Thread rule: any thread. */
#ifndef CAIRN_INSPECT_DATASCHEMA_H
#define CAIRN_INSPECT_DATASCHEMA_H

#include "base/arena.h"

/* False also for a text that is no schema of these, and when memory is out. The arena holds decoded names. */
bool dataschema_has(struct str schema, struct str column, struct arena *a);

#endif
