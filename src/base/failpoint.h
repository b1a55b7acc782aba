/* base/failpoint.h - named points where tests make the program fail or die.
 * FAILPOINT("store.group.before_commit") costs nothing in release builds. Elsewhere the environment variable
 * CAIRN_FAILPOINT arms points: "name=kill" (SIGKILL to itself), "name=exit" (ends with FAILPOINT_EXIT_CODE, nothing
 * flushed), both at the first passing, or "name=kill:3" at the third; "name=wait:300" sleeps 300 ms at every passing. Several are
 * separated by ','.
 * CAIRN_FAILPOINT_LIST=FILE appends each name passed for the first time to FILE.
 * FAILPOINT_ERR(name) is an expression: true when an error is to be raised there ("name=error" at every passing,
 * "name=error:N" at the N-th only). tools/failpoints lists every name in the sources; names are unique and literal.
 * Thread rule: any thread, but not under a lock of rank LOCK_RANK_LEAF. */
#ifndef CAIRN_BASE_FAILPOINT_H
#define CAIRN_BASE_FAILPOINT_H

#include "base/compiler.h"
#include <stdbool.h>

enum { FAILPOINT_EXIT_CODE = 86 };

#ifdef CAIRN_FAILPOINTS
bool failpoint_hit(const char *name);
#define FAILPOINT(name)     ((void)failpoint_hit(name))
#define FAILPOINT_ERR(name) failpoint_hit(name)
#else
#define FAILPOINT(name)     ((void)0)
#define FAILPOINT_ERR(name) false
#endif

/* Arms programmatically, same syntax as the variable, instead of what was armed; NULL disarms. For tests. */
void failpoint_arm(const char *spec);

#endif
