/* cli/when.h - times as people write them.
 * Thread rule: pure. */
#ifndef CAIRN_CLI_WHEN_H
#define CAIRN_CLI_WHEN_H

#include "base/err.h"

/* Milliseconds since 1970, "2026-03-03", "2026-03-03T14:30" or "2026-03-03T14:30:05", the last two with or without Z; UTC. ST_INVALID
 * with what to write for anything else; option: what it was given for. */
enum status cli_time(const char *text, const char *option, int64_t *ms, struct err *err) ATTR_CHECK;

#endif
