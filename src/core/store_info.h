/* core/store_info.h - what a store is: for version answers, figures and the doctor.
 * Thread rule: a pool thread or a command, never a loop, but for store_memory(). */
#ifndef CAIRN_CORE_STORE_INFO_H
#define CAIRN_CORE_STORE_INFO_H

#include "core/core.h"

struct store_info {
    struct str database; /* "SQLite 3.40.1", in the view's arena */
    const char *engine;  /* "sqlite", "postgres" */
    int64_t schema, size_bytes;
};
/* Bytes of memory in use, and what of them is kept to answer quickly; all but `all` has a cap. */
struct store_memory {
    uint64_t all, peak; /* everything that went through base/mem */
    uint64_t columns;   /* search columns */
    uint64_t heads;     /* runs: attributes, params, tags, latest metrics */
    uint64_t keys;      /* names of metrics, params and tags */
    uint64_t tails;     /* metric points that are not in packs yet */
    uint64_t answers;   /* encoded runs */
};
/* Any thread, loops too; numbers of different moments. */
void store_memory(struct core *core, struct store_memory *out);

enum status store_info(struct view *v, struct store_info *out, struct err *err) ATTR_CHECK;

#endif
