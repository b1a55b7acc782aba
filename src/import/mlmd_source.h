/* import/mlmd_source.h - where records of ML Metadata are read: a file of its SQLite store, or a server.
 *
 * Both give the rows of one table after another, page by page, as the messages of the protocol, each understood by nobody on its way but
 * the server that takes it. A page is as large as one answer or one hundred rows: memory does not grow with the source.
 * Ownership: rows lie in the arena that the caller gives. Thread rule: the main thread. */
#ifndef CAIRN_IMPORT_MLMD_SOURCE_H
#define CAIRN_IMPORT_MLMD_SOURCE_H

#include "base/arena.h"
#include "gen/mlmd/import.h"
#include "net/client/grpc.h"

enum {
    MLMD_PAGE = 100,
    MLMD_PAGE_BYTES = 8 << 20, /* a page is not gone on with beyond that */
    MLMD_MESSAGE = 100 << 20,  /* bytes of an answer of a source */
    MLMD_TABLES = 11           /* IMPORT_ARTIFACT_TYPES is 1, and so on; the last are runs */
};

struct mlmd_source;

/* What a page of rows could not carry, for the report. */
struct mlmd_notes {
    void (*note)(void *ctx, int what, int64_t number, const char *text);
    void *ctx;
};

struct mlmd_page {
    struct arena *arena;
    struct str *rows;
    size_t n, cap, bytes;
};
/* The row is copied. */
enum status mlmd_page_add(struct mlmd_page *page, struct str row, struct err *err) ATTR_CHECK;

struct mlmd_source_ops {
    /* The next rows of a table; ST_END after the last. A page without rows is not the end. */
    enum status (*next)(struct mlmd_source *s, int what, struct mlmd_page *page, struct err *err);
    void (*close)(struct mlmd_source *s);
};
struct mlmd_source {
    const struct mlmd_source_ops *ops;
    struct mlmd_notes notes;
};

/* ST_INVALID_STATE for a schema that is not understood, with what to do. */
enum status mlmd_file_open(struct mlmd_source **out, const char *path, struct err *err) ATTR_CHECK;
enum status mlmd_grpc_open(struct mlmd_source **out, const struct grpc_dial *dial,
                           struct err *err) ATTR_CHECK;

#endif
