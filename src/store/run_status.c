/* store/run_status.c - names of the states of a run. */
#include "store/run_status.h"

static const struct str names[] = {
    [RUN_RUNNING] = S_INIT("RUNNING"),   [RUN_SCHEDULED] = S_INIT("SCHEDULED"),
    [RUN_FINISHED] = S_INIT("FINISHED"), [RUN_FAILED] = S_INIT("FAILED"),
    [RUN_KILLED] = S_INIT("KILLED"),
};

struct str run_status_name(int64_t status)
{
    return status >= RUN_RUNNING && status <= RUN_KILLED ? names[status] : S("");
}

bool run_status_of_name(struct str name, enum run_status *out)
{
    for (int i = RUN_RUNNING; i <= RUN_KILLED; i++) {
        if (str_eq(name, names[i])) {
            *out = (enum run_status)i;
            return true;
        }
    }
    return false;
}
