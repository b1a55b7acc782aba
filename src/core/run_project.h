/* core/run_project.h - runs with the values that a caller asks for and no others: a list of wide runs costs what is shown of them.
 * Ownership and thread rule: as core/run.h. */
#ifndef CAIRN_CORE_RUN_PROJECT_H
#define CAIRN_CORE_RUN_PROJECT_H

#include "core/run.h"

enum { RUN_PROJECT_KEYS_MAX = 1000 };

/* Names of one kind; one that is "*" stands for all. */
struct run_names {
    const struct str *names;
    size_t n;
};
struct run_projection {
    struct run_names metrics, params, tags;
};

/* As run_gather(). The runs have their attributes and, sorted by key, the values that they have of those that are asked for; of a
 * metric at least key and value. Without keys no more than the attributes is read. ST_INVALID beyond RUN_PROJECT_KEYS_MAX names. */
enum status run_project(struct view *v, const int64_t *uids, size_t n,
                        const struct run_projection *p,
                        enum status (*fn)(void *ctx, size_t i, const struct run_view *run,
                                          struct err *err),
                        void *ctx, struct err *err);

#endif
