/* core/check_memory.h - what is in memory against what is stored, on a server at work: latest values, extremes and counts of the
 * runs against all of their points (tail, packs, chunks), search columns against the runs.
 * A run that is written meanwhile is looked at a few times, then passed over.
 * Thread rule: a pool thread, never a loop. */
#ifndef CAIRN_CORE_CHECK_MEMORY_H
#define CAIRN_CORE_CHECK_MEMORY_H

#include "core/check.h"
#include "core/core.h"

/* report is called for each run or value that differs; *found is added to. */
enum status core_check_memory(struct view *v, check_report report, void *ctx, size_t *found,
                              struct err *err) ATTR_CHECK;

#endif
