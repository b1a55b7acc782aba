/* core/compaction.c - see compaction.h. */
#include "core/compaction.h"

#include "store/compact.h"
#include "store/seq.h"

enum { NS_PER_MS = 1000000 };

enum status compaction_start(struct core *core, bool wait, struct err *err)
{
    enum status st = seq_drain(core->seq, err);

    if (st) return st;
    compact_all(core->compact);
    if (wait && !compact_wait(core->compact, -1)) {
        return err_set(err, ST_UNAVAILABLE, "the compactor has stopped");
    }
    return OK;
}

void compaction_look(struct core *core, struct compaction *out)
{
    struct compact_stats s;

    compact_stats(core->compact, &s);
    *out = (struct compaction){ .running = s.all_wanted,
                                .owners = (int64_t)s.owners,
                                .merges = (int64_t)s.merges,
                                .points = (int64_t)s.points,
                                .chunks = (int64_t)s.chunks,
                                .failed = (int64_t)s.failed,
                                .cpu_ms = (int64_t)(s.cpu_ns / NS_PER_MS) };
}
