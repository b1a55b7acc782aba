/* core/artifact.h - the artifact tree: names over content-addressed bytes.
 * A root is a place that artifacts hang under: the artifact URI of a run or a logged model (then it has an owner), or
 * "mlflow-artifacts:/" for proxy paths that belong to neither. Below a root, files and directories are rows; names are keys of
 * a table, never paths of a file system. Writing a file makes its directories; the last writer wins; a file beside a directory of
 * the same name is refused.
 * Small objects (at most ARTIFACT_INLINE_MAX bytes) lie in the SQL row of their object; others are files of the blob store, made
 * durable before the commit that names them.
 * Ownership and thread rule: as core/run.h; uploads belong to one thread at a time, never a loop thread. */
#ifndef CAIRN_CORE_ARTIFACT_H
#define CAIRN_CORE_ARTIFACT_H

#include "base/hash.h"
#include "core/object.h"
#include "store/seq.h"

/* A path is part of a key, and a key on PostgreSQL has at most 2,704 bytes. */
enum { ARTIFACT_INLINE_MAX = 32 * 1024, ARTIFACT_PATH_MAX = 2048, ARTIFACT_NAME_MAX = 256 };

#define ARTIFACT_PROXY_SCHEME "mlflow-artifacts:"

struct outside_place;
struct outside_writer;
struct resume;

/* A place in the tree: a root by URI, and a path below it ("" = the root itself). */
struct artifact_place {
    struct str root_uri;
    int64_t owner;   /* uid of the run or model; 0 = none */
    struct str path; /* no slash at either end */
    /* Not in the tree but in a folder or bucket that the operator listed (outside.h). NULL: in the tree. */
    const struct outside_place *outside;
};

/* The place of a path of the proxy ("0/<run id>/artifacts/model/MLmodel"). The path is checked ("Invalid path"). */
enum status artifact_proxy_place(struct view *v, struct str proxy_path, struct artifact_place *out,
                                 struct err *err);
/* The place of a path below an artifact URI that this server serves: its own, and those below the places that the operator listed.
 * ST_INVALID with what to do for others. */
enum status artifact_uri_place(struct view *v, struct str uri, int64_t owner, struct str path,
                               struct artifact_place *out, struct err *err);

struct artifact_info {
    struct str name;
    bool is_dir;
    bool is_self; /* the place itself is this file */
    bool has_sha256;
    int64_t size, mtime_ms; /* 0: not known (a directory that roots below it make) */
    struct digest sha256;
};
/* The entries of a directory in byte order, after the name `after`, at most max. A file gives itself alone; nothing there gives an
 * empty list. *more: entries are left. */
enum status artifact_list(struct view *v, const struct artifact_place *at, struct str after,
                          size_t max, struct artifact_info **out, size_t *n, bool *more,
                          struct err *err);

/* A directory with everything below it: names in byte order, each directory before what is in it. The walk itself is a few hundred bytes
 * however much there is, and may go on with another view; what changes meanwhile is seen or not. */
struct artifact_walk {
    struct artifact_place base;
    char dir[ARTIFACT_PATH_MAX]; /* below the base */
    char after[ARTIFACT_NAME_MAX];
    size_t dir_n, after_n;
    bool is_done;
    /* of one view */
    struct artifact_info *page;
    size_t page_n, page_i, page_max;
    bool page_more;
};
/* The base must live as long as the walk. */
void artifact_walk_begin(struct artifact_walk *w, const struct artifact_place *base);
/* The next entry: its place, and in info->name its path below the base (of a base that is a file: its name). Both lie in the view's
 * arena. ST_END after the last one. */
enum status artifact_walk_next(struct artifact_walk *w, struct view *v, struct artifact_info *info,
                               struct artifact_place *at, struct err *err);
/* Before the walk goes on with another view, or the arena of this one is emptied. */
void artifact_walk_pause(struct artifact_walk *w);

enum { ARTIFACT_ETAG_MAX = 72 };
/* The bytes of a file: inline, or a descriptor that the caller closes, or elsewhere or in packs (is_remote): then
 * artifact_read_begin() gets them, on a thread of artifact_work_submit(). */
struct artifact_bytes {
    int64_t size, mtime_ms;
    struct digest sha256; /* if has_sha256: all but what lies outside of the store */
    bool has_sha256;
    char etag[ARTIFACT_ETAG_MAX]; /* quoted */
    struct str inline_bytes;
    int fd; /* -1: inline or elsewhere */
    bool is_remote;
    int64_t gen;
    struct str recipe;                   /* in the arena of the view */
    const struct outside_place *outside; /* of a bucket of others: then the next two say what */
    struct str path, tag;                /* in the arena of the view */
};
/* ST_NOT_FOUND: "No such artifact: 'path'". Does not wait for a network, but for one of a bucket of others. */
enum status artifact_open(struct view *v, const struct artifact_place *at,
                          struct artifact_bytes *out, struct err *err);

/* Reads bytes [from, from + n) of what artifact_open() found elsewhere; each call may wait for a network. */
struct blob_reader;
enum status artifact_read_begin(struct core *core, const struct artifact_bytes *b, uint64_t from,
                                uint64_t n, struct blob_reader **out, struct err *err);
/* At least one byte; *got is 0 at the end of the range only. */
enum status artifact_read(struct blob_reader *r, void *p, size_t max, size_t *got, struct err *err);
/* Bytes that lie in a file as they are, passed over: see blob_reader_next_file(). */
enum status artifact_read_file(struct blob_reader *r, uint64_t max, int *fd, uint64_t *at,
                               uint64_t *n, struct err *err);
/* Bytes that go through a pipe unseen: see blob_reader_has_pipe(). */
bool artifact_read_has_pipe(const struct blob_reader *r);
enum status artifact_read_pipe(struct blob_reader *r, int pipe, size_t max, size_t *got,
                               struct err *err);
void artifact_read_end(struct blob_reader *r); /* NULL-safe; does not wait */
/* ST_CORRUPT unless the bytes are there. */
enum status artifact_read_check(struct core *core, const struct artifact_bytes *b, struct err *err);

/* ---- uploads: bytes on their way in -------------------------------------------------------------------------------------- */

struct artifact_upload {
    struct core *core;
    struct arena *arena;
    char *small; /* the first ARTIFACT_INLINE_MAX bytes */
    size_t small_n;
    struct blob_writer *writer; /* once they do not fit */
    uint64_t size;
    struct digest sha256; /* after the end */
    bool in_blob;
    const struct digest
        *expect; /* may be set before the end: what the bytes must have; NULL = anything */
    struct str
        direct; /* sent by the client itself: the id of artifact_direct_begin(), NULL p else */
    struct object_lease lease;
    bool is_placed;
    const struct artifact_place *
        into; /* may be set before the first piece: the file in a listed place; NULL = the store. Lives as long as this */
    struct outside_writer *outside;
    struct resume *resume; /* of resume_open(): the upload that the file completes; NULL = none */
};
enum status artifact_upload_begin(struct artifact_upload *u, struct core *core, struct arena *a,
                                  struct err *err);
/* The same with all bytes at once, at most ARTIFACT_INLINE_MAX, which must live until the operation is done. No pieces follow. */
void artifact_upload_all(struct artifact_upload *u, struct core *core, struct arena *a,
                         struct str bytes);
enum status artifact_upload_piece(struct artifact_upload *u, struct str bytes, struct err *err);
/* After the last piece: the digest is known. ST_INVALID when the bytes are not those expected. */
enum status artifact_upload_end(struct artifact_upload *u, struct err *err);
/* Gives the bytes up. May be called again, and after anything else. */
void artifact_upload_abort(struct artifact_upload *u);
/* A file without a name, for what a long answer puts aside; the caller closes it. */
enum status artifact_nameless(struct core *core, int *fd, struct err *err);
/* After the end, with the lease of an object_claim of these bytes: makes large ones durable, unless the store has them. May wait
 * for a network. The upload holds nothing afterwards, also on failure. */
enum status artifact_upload_place(struct artifact_upload *u, struct err *err);
/* Runs work on bytes on a thread of its own pool. ST_UNAVAILABLE when too much waits. */
enum status artifact_work_submit(struct core *core, struct exec_job *job) ATTR_CHECK;

/* ---- direct: clients that send and get bytes without us (in places of others: outside.h); every call may wait for a network, and runs where artifact_read() does */

struct artifact_part {
    unsigned number;
    struct str etag;
};
bool artifact_direct_is_on(const struct core *core);
/* URLs for `parts` parts. The id ends or aborts it. */
enum status artifact_direct_begin(struct core *core, struct arena *a, unsigned parts,
                                  struct str *id, struct str *urls, struct err *err);
/* The parts are one object, which is not in its place yet: *u is as after artifact_upload_end(). */
enum status artifact_direct_end(struct core *core, struct arena *a, struct str id,
                                const struct artifact_part *parts, size_t n,
                                struct artifact_upload *u, struct err *err);
enum status artifact_direct_abort(struct core *core, struct str id, struct err *err);
/* A URL of what artifact_open() found; what lies in a row is put where it has one first. ST_NOT_IMPLEMENTED for what lies in packs. */
enum status artifact_direct_get(struct core *core, struct arena *a, const struct artifact_bytes *b,
                                int64_t seconds, struct str *url, struct err *err);

/* Whether a file could be put at a place as things are: for an answer before a large body has come. The operation finds out for good. */
enum status artifact_put_check(struct view *v, const struct artifact_place *at, struct err *err);

/* Names uploaded bytes. The operation alone is the last step: large bytes are placed before it. */
struct artifact_put {
    struct write_op op;
    struct core *core;
    struct artifact_place place;
    struct artifact_upload *upload;
    /* Of artifact_put_submit(). */
    struct object_claim claim;
    struct object_release release;
    struct exec_job work;
    void (*then)(struct write_op *op);
    /* Of a group, when its bytes are small: named with others, with this answer; or to be named by itself. */
    bool is_decided, is_alone;
    enum status decided;
};
void artifact_put_init(struct artifact_put *p, struct core *core, struct arena *a);
/* All steps, after artifact_upload_end(): claims, places, names, and calls op.done, whose op.st tells; when it failed nothing is
 * kept. When it answers anything but OK, op.err says why, done() is not called, and the upload is still the caller's. Any thread; does
 * not wait. */
enum status artifact_put_submit(struct artifact_put *p) ATTR_CHECK;
/* The same, waiting. For commands and tests, never on a loop thread. The upload holds nothing afterwards. */
enum status artifact_put_run(struct artifact_put *p, struct err *err);

/* Removes a file, or a directory with everything below it; a whole root when the path is "". Missing is fine. */
struct artifact_delete {
    struct write_op op;
    struct core *core;
    struct artifact_place place;
    struct exec_job work;
};
void artifact_delete_init(struct artifact_delete *d, struct core *core, struct arena *a);
/* Goes where the place is; calls op.done, whose op.st tells. When it answers anything but OK, done() is not called. Any thread; does not
 * wait. */
enum status artifact_delete_submit(struct artifact_delete *d) ATTR_CHECK;
/* The same inside validate() of another operation. */
enum status group_artifact_delete(struct group *g, struct arena *a,
                                  const struct artifact_place *place, struct err *err);

#endif
