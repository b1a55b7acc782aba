/* base/log.h - structured log lines on stderr.
 * One line per event: logfmt (`ts=... level=info mod=store msg="..." req=...`) or JSON lines; with a journald priority
 * prefix when stderr is the journal. The last 1000 lines are kept in a ring for the crash report. Long lines are cut.
 * Never log tokens, Authorization headers or bodies. Thread rule: any thread; a line is one write(2). */
#ifndef CAIRN_BASE_LOG_H
#define CAIRN_BASE_LOG_H

#include "base/compiler.h"
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_setup(enum log_level max_level, bool json);
bool log_enabled(enum log_level level);
/* module: a short constant such as "store". req: request id or NULL. */
void log_line(enum log_level level, const char *module, const char *req, const char *fmt, ...)
    ATTR_FORMAT(4, 5);
/* The request id that lines of this thread carry until cleared with NULL; must outlive its use. */
void log_thread_request(const char *req);

#define LOG_ERROR(module, ...) log_line(LOG_LEVEL_ERROR, (module), NULL, __VA_ARGS__)
#define LOG_WARN(module, ...)  log_line(LOG_LEVEL_WARN, (module), NULL, __VA_ARGS__)
#define LOG_INFO(module, ...)  log_line(LOG_LEVEL_INFO, (module), NULL, __VA_ARGS__)
#define LOG_DEBUG(module, ...)                                                                     \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG)) {                                                        \
            log_line(LOG_LEVEL_DEBUG, (module), NULL, __VA_ARGS__);                                \
        }                                                                                          \
    } while (0)

#endif
