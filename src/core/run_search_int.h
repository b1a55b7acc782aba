/* core/run_search_int.h - what the searches row by row and through columns share. */
#ifndef CAIRN_CORE_RUN_SEARCH_INT_H
#define CAIRN_CORE_RUN_SEARCH_INT_H

#include "core/experiment.h"
#include "core/run_search.h"
#include "core/search/filter.h"

/* The experiments of a search, whose tags cairn.goal.<metric> may say directions. */
struct run_goals {
    struct experiment *experiments; /* by id */
    size_t n;
};
enum status run_goals_read(struct run_goals *g, struct view *v, const int64_t *experiments,
                           size_t n, struct err *err);
enum search_goal run_goals_of(const struct run_goals *g, int64_t experiment, struct str metric);
/* The name of that tag, in `room` (GOAL_TAG_MAX bytes); NULL p if it does not fit. */
struct str run_goal_tag(struct str metric, char *room);

/* Puts the experiments in order, each once, so that the scope is equal for equal sets of them. */
enum status run_search_scope(struct run_search *in, struct arena *a, struct str *out,
                             struct err *err);

#endif
