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
/* By section, then key. all: what is equal too. *equal_n counts it in any case. */
enum status run_diff(struct view *v, struct str a, struct str b, bool all,
                     struct run_difference **out, size_t *n, size_t *equal_n, struct err *err);

#endif
