/* cli/send.h - large files to the server, gone on with where they stopped (docs/uploads.md).
 * A file is known by its device, number, size and times: when an upload of the same file to the same place is open, by this command or by
 * one before it that was cut, only what is missing is sent. Lost connections are waited for while that helps.
 * Thread rule: the main thread. */
#ifndef CAIRN_CLI_SEND_H
#define CAIRN_CLI_SEND_H

#include "base/hash.h"
#include "cli/cli.h"

enum { SEND_MIN = 16 << 20 }; /* smaller files are sent in one request */

/* Sends the file behind fd; path: of the route, with its query. ST_CORRUPT when the server says that it has other bytes; it does not
 * say it again to a command that finds the upload whole because the last answer was lost. *begun is false when the server does not take such an upload: then nothing was sent, and a PUT says why or does it. */
enum status send_resumed(struct cli *cli, const char *path, int fd, const char *name, uint64_t size,
                         bool *begun, struct err *err) ATTR_CHECK;

#endif
