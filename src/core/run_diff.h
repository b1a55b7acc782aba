/* core/run_diff.h - everything that differs between two runs, in the order in which people look for causes: code, data, parameters,
 * environment, hardware, results, and tags.
 * Ownership: as core/run.h. Thread rule: reads, on pool threads. */
#ifndef CAIRN_CORE_RUN_DIFF_H
#define CAIRN_CORE_RUN_DIFF_H

#include "core/run.h"

enum diff_section {
    DIFF_CODE,        /* tags of source, version control and project */
    DIFF_DATA,        /* inputs: digests of data sets by name and context; models that were read */
    DIFF_PARAMETERS,  /* params */
    DIFF_ENVIRONMENT, /* the user, and the libraries that the first model of the run needs */
    DIFF_HARDWARE,    /* metrics named system/... */
    DIFF_RESULTS,     /* status, and newest values of the other metrics */
    DIFF_TAGS         /* the other tags */
};
const char *diff_section_name(enum diff_section s);

struct run_difference {
    enum diff_section section;
    struct str key, a, b; /* p NULL: that run does not have it */
    bool equal;
};
struct run_diff_options {
    bool all; /* what is equal too */
    bool has_as_of;
    int64_t
        as_of_ms; /* inputs and models that were recorded then, metrics by the times of their points, status; the rest keeps no times */
};
/* By section, then key. *equal_n counts what is equal in any case. ST_NOT_FOUND also for a run that had not begun at as_of_ms. */
enum status run_diff(struct view *v, struct str a, struct str b, const struct run_diff_options *opt,
                     struct run_difference **out, size_t *n, size_t *equal_n, struct err *err);

#endif
