/* store/run_status.h - the states of a run, as heads store them, and their names in the protocols of MLflow and of cairn. */
#ifndef CAIRN_STORE_RUN_STATUS_H
#define CAIRN_STORE_RUN_STATUS_H

#include "base/str.h"

enum run_status {
    RUN_RUNNING = 1,
    RUN_SCHEDULED = 2,
    RUN_FINISHED = 3,
    RUN_FAILED = 4,
    RUN_KILLED = 5
};

/* "RUNNING"; "" for a number that is no state. */
struct str run_status_name(int64_t status);
/* False for a name that is none; *out is then unchanged. */
bool run_status_of_name(struct str name, enum run_status *out);

#endif
