/* fuzz/store.h - a store on SQLite for targets that ask questions of one: in a folder of its own, for the whole process, removed at its end. */
#ifndef CAIRN_FUZZ_STORE_H
#define CAIRN_FUZZ_STORE_H

#include "core/core_open.h"

/* Once a process; ends it when there is no store. *kept: an arena that lives as long. */
struct core *fuzz_store_open(struct arena **kept);

#endif
