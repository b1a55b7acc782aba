/* base/failpoint.h - named points where tests make the program fail or die.
 * FAILPOINT("store.group.before_commit") costs nothing in release builds. Elsewhere the environment variable
 * CAIRN_FAILPOINT ("name=kill", "name=kill:3" for the third passing, "name=exit") arms one, and CAIRN_FAILPOINT_LIST=FILE
 * appends each name passed for the first time to FILE. FAILPOINT_ERR(name) is an expression: true when an error is to be
 * raised there ("name=error" or "name=error:N"). tools/failpoints lists every name in the sources; names are unique.
 * Thread rule: any thread. */
#ifndef CAIRN_BASE_FAILPOINT_H
#define CAIRN_BASE_FAILPOINT_H

#include "base/compiler.h"
#include <stdbool.h>

#ifdef CAIRN_FAILPOINTS
bool failpoint_hit(const char *name);
#define FAILPOINT(name) ((void)failpoint_hit(name))
#define FAILPOINT_ERR(name) failpoint_hit(name)
#else
#define FAILPOINT(name) ((void)0)
#define FAILPOINT_ERR(name) false
#endif

/* Arms programmatically, same syntax as the variable; NULL disarms. For tests. */
void failpoint_arm(const char *spec);

#endif
