/* core/compaction.h - asking for what the background does with metric points anyway (store/compact.h): moving them from packs to
 * chunks, now and completely.
 * Thread rule: compaction_start() where it may wait, so never on a loop; the rest any thread. */
#ifndef CAIRN_CORE_COMPACTION_H
#define CAIRN_CORE_COMPACTION_H

#include "core/core.h"

struct compaction {
    bool running;   /* one that was asked for is not done */
    int64_t owners; /* runs and model series that the last one has looked at */
    /* Since the start of the server. */
    int64_t merges, points, chunks, failed, cpu_ms;
};
/* Drains the log, then has every run brought into its final form in the background. wait: until that is done. */
enum status compaction_start(struct core *core, bool wait, struct err *err) ATTR_CHECK;
void compaction_look(struct core *core, struct compaction *out);

#endif
