/* cli/fetch.h - files of the server in a folder of the user, checked and resumable.
 * A file grows as NAME.part and gets its name when its size and SHA-256 are right and its bytes are on disk; what an interrupted command
 * left is gone on with. A file that is there already with the right bytes is not fetched; one with other bytes is left alone (an error)
 * unless `force` says otherwise.
 * Ownership: the caller's. Thread rule: the main thread. */
#ifndef CAIRN_CLI_FETCH_H
#define CAIRN_CLI_FETCH_H

#include "base/hash.h"
#include "cli/cli.h"

struct fetch {
    struct cli *cli;
    const char *folder; /* made when it is missing */
    bool force;
    uint64_t total; /* bytes of all files, for the progress that a terminal shows */
    /* The rest is fetch_file()'s. */
    uint64_t done, resumed; /* bytes that are right; those of them that were there before */
    int64_t shown_ms;
};
/* The file at `name` (components joined by '/') below the folder; `path` is the server's. ST_CORRUPT when the bytes that come are not those
 * of the digest. */
enum status fetch_file(struct fetch *f, const char *path, struct str name, uint64_t size,
                       const struct digest *sha256, struct err *err) ATTR_CHECK;
/* Ends the line of the progress. */
void fetch_end(struct fetch *f);

#endif
