/* base/log_int.h - what the crash report takes from the log. */
#ifndef CAIRN_BASE_LOG_INT_H
#define CAIRN_BASE_LOG_INT_H

#include <stddef.h>

/* The newest lines to fd, oldest first. Takes no lock: the process is about to abort. */
void log_ring_write(int fd, size_t newest_n);
/* The request id of this thread, or NULL. */
const char *log_thread_request_get(void);

#endif
