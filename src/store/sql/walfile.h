/* store/sql/walfile.h - an SQLite file layer that writes a log in few calls.
 * SQLite writes each frame of its log in two calls, the head and the page; a group that changes thirty pages makes sixty. What
 * is written to a log lies in memory here until it is synced, read, measured or cut, or until it is many pages; everything
 * else goes to the layer below as it comes. A commit syncs its frames before any other connection learns of them, so
 * nobody misses what is still in memory; errors of the disk come with the sync, which fails the commit as before.
 * Thread rule: walfile_layer() under the caller's lock; files as SQLite uses them. */
#ifndef CAIRN_STORE_SQL_WALFILE_H
#define CAIRN_STORE_SQL_WALFILE_H

#include <stdint.h>

/* Writes to a log of so many bytes and more are not kept back. */
enum { WALFILE_DIRECT = 16 * 1024 };

/* The name of the layer over the one called `below` (NULL: the system's), registered on first use; NULL when there is no layer of
 * that name, or there are too many. */
const char *walfile_layer(const char *below);

/* Bytes of the log beside the database file `path` that SQLite would take for its own, as an earlier process left it: headers of its
 * frames tell, of which few are read. 0 also when it cannot be read. */
int64_t walfile_live_bytes(const char *path);

#endif
