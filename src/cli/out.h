/* cli/out.h - writing to stdout and stderr, and what is known about the terminal behind them.
 * Data goes to stdout; messages, warnings and errors go to stderr. A broken pipe ends the process quietly (SIGPIPE).
 * Thread rule: the main thread. */
#ifndef CAIRN_CLI_OUT_H
#define CAIRN_CLI_OUT_H

#include "base/buf.h"

enum { OUT_STDOUT = 1, OUT_STDERR = 2 };

/* Writes all of it; what cannot be written is lost (the exit code of a full disk comes from out_failed()). */
void out_write(int fd, struct str text);
void out_printf(int fd, const char *fmt, ...) ATTR_FORMAT(2, 3);
/* True if a write to stdout has failed. */
bool out_failed(void);
bool out_is_tty(int fd);
/* Columns of the terminal behind fd; COLUMNS when it is set; 80 if unknown. */
unsigned out_width(int fd);

enum out_color { OUT_COLOR_AUTO, OUT_COLOR_ALWAYS, OUT_COLOR_NEVER };
/* --color wins, then NO_COLOR (not empty: off), CLICOLOR_FORCE (on), else colour on a terminal only. */
bool out_color(enum out_color wish, int fd);

#endif
