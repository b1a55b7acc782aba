/* tests/lib/corefix.h - a store with its blobs, on either SQL engine, for tests of core.
 * Checks inside fail the test. Ownership: corefix_close() frees everything; texts live in f->a until corefix_fresh().
 * Thread rule: one thread. */
#ifndef CAIRN_TESTS_LIB_COREFIX_H
#define CAIRN_TESTS_LIB_COREFIX_H

#include "base/buf.h"
#include "core/artifact.h"
#include "core/core_open.h"
#include "core/experiment.h"
#include "core/logged_model.h"
#include "core/repack.h"
#include "core/run.h"
#include "store/blob/blob.h"

struct corefix {
    struct core *core;
    struct arena *a;
    struct view v;
    struct err err;
    const char *location, *blobs;
    struct blob_options bytes; /* how blobs is opened */
    struct core_options opt;   /* of every opening; what is not set is as in tests always */
};

/* blobs NULL = a new folder. */
void corefix_open(struct corefix *f, const char *location, const char *blobs);
/* With sizes and times of the caller. */
void corefix_open_with(struct corefix *f, const char *location, const struct core_options *opt);
void corefix_open_at(struct corefix *f, const char *location, const char *blobs,
                     const struct core_options *opt);
/* With bytes wherever the caller says. */
void corefix_open_on(struct corefix *f, const char *location, const struct blob_options *bytes);
void corefix_close(struct corefix *f);
/* Closes and opens again. */
void corefix_reopen(struct corefix *f);
/* Opens again as after a kill. */
void corefix_crash(struct corefix *f);
/* The same, something being done to the store in between. */
void corefix_crash_and(struct corefix *f, void (*meanwhile)(void *ctx), void *ctx);
/* Drops all texts. */
void corefix_fresh(struct corefix *f);

/* seq_run() into f->err. */
enum status corefix_run(struct corefix *f, struct write_op *op);

/* SQL of the test's own, in a group; several statements may be divided by ';'. */
void corefix_script(struct corefix *f, const char *text);

/* Submits all in one group as far as that can be had: they wait behind a first operation. Then waits for all. */
void corefix_together(struct corefix *f, struct write_op **ops, size_t n);

int64_t corefix_experiment(struct corefix *f, const char *name);
struct str corefix_new_run(struct corefix *f, int64_t experiment);
/* The new model, in f->a. */
struct logged_model corefix_model(struct corefix *f, int64_t experiment, const char *name);

/* Bytes under a path of the proxy. */
enum status corefix_put(struct corefix *f, struct str path, const void *p, size_t n);
/* As it is, also ST_NOT_FOUND and so on; the bytes in f->a, read whole. */
enum status corefix_get(struct corefix *f, struct str path, struct str *out);
enum status corefix_delete(struct corefix *f, struct str path);
/* The bytes under a path are these. Drops all texts. */
void corefix_same(struct corefix *f, const char *path, const char *p, size_t n);
/* n bytes that nothing compresses; the caller frees them. */
char *corefix_noise(size_t n);
/* A collector and a repacker with packs of pack_bytes, which work only when asked. */
void corefix_keepers(struct corefix *f, size_t pack_bytes);
void corefix_collect(struct corefix *f);
/* how: of repack_ask(). No object was found damaged. */
struct repack_stats corefix_repack(struct corefix *f, unsigned how);
/* "a/ b c" : the names of the entries in their order, directories with a slash. */
struct str corefix_ls(struct corefix *f, struct str path);

#endif
