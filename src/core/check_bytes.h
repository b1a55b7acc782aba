/* core/check_bytes.h - do the files of the objects exist, with their size? The part of a store's check outside SQL.
 * Contents are not read. Thread rule: a pool thread or a command, never a loop. */
#ifndef CAIRN_CORE_CHECK_BYTES_H
#define CAIRN_CORE_CHECK_BYTES_H

#include "core/core.h"

/* report is called for each object whose file is missing or has another size; *found is added to. */
enum status core_check_bytes(struct view *v, void (*report)(void *ctx, struct str what), void *ctx,
                             size_t *found, struct err *err) ATTR_CHECK;

#endif
