/* core/backup.h - a consistent copy of a store that is in use, in a new folder.
 *
 *     DEST/cairn.db         SQLite only: one moment of the database
 *     DEST/blobs/...        the bytes, copied after that moment: whatever the database names is there
 *     DEST/manifest.jsonl   first line: what this is; then a line per object: sha256, gen, bytes
 *
 * The folder is itself a store: a server can be started on it. Bytes that lie on the same file system are hard links (an
 * object never changes). Bytes in a bucket stay there: the manifest says which there were, and keeping them is the bucket's
 * matter (versions, replication). On PostgreSQL its own tool copies the database, and has to run before this, so that no object is
 * missing. Everything is synced when it returns OK; on failure what was written stays, and says so by having no manifest.
 * Thread rule: a pool thread or a command, never a loop. */
#ifndef CAIRN_CORE_BACKUP_H
#define CAIRN_CORE_BACKUP_H

#include "core/core.h"

struct backup_result {
    int64_t objects, bytes, linked;
    bool database; /* copied: true on SQLite */
};

/* dest: absolute; must not exist. ST_EXISTS if it does, ST_INVALID if it is no absolute path. */
enum status core_backup(struct view *v, const char *dest, struct backup_result *out,
                        struct err *err) ATTR_CHECK;

#endif
