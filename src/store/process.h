/* store/process.h - is the process that wrote a line still there?
 * A line names a boot of a machine, its process namespace, the process and when it started, so a number that was given out again
 * names nobody else. Of processes on other machines, or in other containers, nothing is known.
 * Thread rule: any thread. */
#ifndef CAIRN_STORE_PROCESS_H
#define CAIRN_STORE_PROCESS_H

#include "base/str.h"

enum { PROCESS_TEXT_MAX = 160 };

/* This process; "" when the system does not say. */
void process_text(char out[PROCESS_TEXT_MAX]);
/* True only if the process of that line ran here and has certainly ended. */
bool process_is_gone(struct str line);

#endif
