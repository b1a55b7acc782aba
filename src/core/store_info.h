/* core/store_info.h - what a store is: for version answers, figures and the doctor.
 * Thread rule: a pool thread or a command, never a loop. */
#ifndef CAIRN_CORE_STORE_INFO_H
#define CAIRN_CORE_STORE_INFO_H

#include "core/core.h"

struct store_info {
    struct str database; /* "SQLite 3.40.1", in the view's arena */
    const char *engine;  /* "sqlite", "postgres" */
    int64_t schema, size_bytes;
};
enum status store_info(struct view *v, struct store_info *out, struct err *err) ATTR_CHECK;

#endif
