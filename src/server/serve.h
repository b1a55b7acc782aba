/* server/serve.h - the server process: opens the store, wires the layers, serves until told to stop.
 * Wiring only: what is decided is decided in the layers. SIGTERM and SIGINT drain: requests in work are answered, then the
 * store is closed.
 * Thread rule: the main thread, once per process. */
#ifndef CAIRN_SERVER_SERVE_H
#define CAIRN_SERVER_SERVE_H

#include "base/log.h"
#include "core/access.h"
#include "core/core_open.h"
#include "engine/emit.h"
#include "net/server.h"
#include "store/blob/blob.h"

enum { SERVE_LISTEN_MAX = 3 }; /* one more is the socket in the data folder */

struct serve_options {
    const char *data;  /* folder of the store: lock, server.url, SQLite file, blobs */
    const char *store; /* "postgresql://..."; NULL = SQLite in the folder */
    const char *blobs; /* folder of the bytes, or "s3://BUCKET/PREFIX"; NULL = DATA/blobs */
    struct blob_s3_options s3;
    bool repack; /* in the background */
    uint64_t repack_rate;
    const char *listen[SERVE_LISTEN_MAX];
    unsigned listen_n;
    const char *static_prefix;          /* "/prefix" or NULL */
    const char *const *artifact_places; /* NULL-terminated folders that are read; NULL = none */
    const char *artifact_root;          /* NULL = "mlflow-artifacts:/" */
    bool serve_artifacts;
    bool expose_metrics; /* GET /metrics */
    /* Who may call: AUTH_NONE, AUTH_TOKEN, or by address: none on loopback, tokens elsewhere. */
    enum { SERVE_AUTH_BY_ADDRESS, SERVE_AUTH_NONE, SERVE_AUTH_TOKEN } auth;
    const char *token_file;           /* one token, known as "file" */
    const char *const *allowed_hosts; /* NULL-terminated; NULL = the defaults */
    const char *const *cors_origins;
    const char *frame_options;      /* NULL = SAMEORIGIN */
    bool no_guard;                  /* no checks of Host and Origin */
    const char *tls_cert, *tls_key; /* NULL = plain HTTP */
    int64_t drain_ms, grace_ms;
    unsigned loops; /* 0 = by the number of cores */
    struct http_limits limits;
    struct emit_options emit; /* refused NULL = DATA/openlineage-refused.jsonl */
    struct core_options core; /* its sql and artifact_root are filled from the members above */
    enum log_level log_level;
    bool log_json;
    struct str config; /* JSON: what GET /api/cairn/v1/config answers */
};
/* Defaults for everything. */
void serve_options_init(struct serve_options *o);

/* Serves until a signal; returns an exit code of the command line. Errors are printed to stderr with what to do. */
int serve_run(const struct serve_options *o);

#endif
