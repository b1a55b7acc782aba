/* core/columns.h - the search columns of the one core: made, stored in the background, stored at the end.
 * Storing goes piece by piece (store/runcols/runcols.h): a read job of the pool encodes a piece, a write operation writes it, and the next
 * job follows, with a connection of its own. It starts behind a search, at most once in an interval, and never holds anybody up; what is not stored when the
 * process is killed is built again from the runs.
 * Thread rule: open and close as core_open(); columns_save_soon() on pool threads. */
#ifndef CAIRN_CORE_COLUMNS_H
#define CAIRN_CORE_COLUMNS_H

#include "core/core.h"

struct column_saver;

struct columns_options {
    size_t max_bytes;  /* 0 = a quarter of the machine's memory */
    int64_t save_ms;   /* between two times of storing; 0 = 30,000 */
    size_t save_bytes; /* of one write; 0 = 4 MiB */
};
/* Fills core->columns, before the heads are made. */
enum status columns_open(struct core *core, const struct columns_options *opt, struct err *err);
/* Something may have to be stored. */
void columns_save_soon(struct core *core);
/* No more jobs; before the pool ends. NULL-safe. */
void columns_stop(struct core *core);
/* Stores what there is, for at most max_ms; the pool has ended, the sequencer works. */
void columns_save_all(struct core *core, int64_t max_ms);
/* Stores everything now and waits. For commands and tests, on no pool thread and no loop. */
enum status columns_flush(struct core *core, struct err *err);
void columns_close(struct core *core);

#endif
