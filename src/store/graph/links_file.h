/* store/graph/links_file.h - links as a file, so that a start need not read the logs again (docs/formats/links.md). The file is a cache:
 * what is damaged, of another version, of another machine's byte order or of other logs is refused, and the logs are read.
 * Ownership: what links_read() gives is the caller's. Thread rule: as links_add() for the links that are read or written. */
#ifndef CAIRN_STORE_GRAPH_LINKS_FILE_H
#define CAIRN_STORE_GRAPH_LINKS_FILE_H

#include "store/graph/links.h"

enum { LINKS_MARKS_N = 8, LINKS_FILE_VERSION = 1, LINKS_HEAD_N = 144 };

/* The caller's: up to where each log is in the links, and a check of the last rows that are. */
struct links_stamp {
    int64_t marks[LINKS_MARKS_N];
    uint64_t witness;
};
/* Kept beside the links, for the caller; at most UINT32_MAX bytes. */
struct links_extra {
    void *p; /* of mem_alloc() */
    size_t n;
};

/* Where bytes come from: exactly n, or a status. */
struct links_source {
    enum status (*read)(void *ctx, void *p, size_t n, struct err *err);
    void *ctx;
    uint64_t size; /* of everything */
};

/* Into fd, which is empty and at its start. */
enum status links_write(const struct links *l, const struct links_stamp *stamp,
                        const struct links_extra *extra, int fd, struct err *err) ATTR_CHECK;
/* ST_CORRUPT when it is no such file or not whole; then and after other errors *out is NULL and *extra empty. */
enum status links_read(struct links **out, struct links_stamp *stamp, struct links_extra *extra,
                       const struct links_source *from, struct err *err) ATTR_CHECK;

#endif
