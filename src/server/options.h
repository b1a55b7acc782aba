/* server/options.h - the options of the server, from one table.
 * Flags, environment (CAIRN_*), .cairn.conf, cairn.conf and defaults fill struct server_options; --help, the manual and
 * GET /api/cairn/v1/config read the same rows. The options of `mlflow server` are rows of it too and are translated by
 * options_mlflow().
 * Thread rule: filled once, on the main thread; immutable afterwards. */
#ifndef CAIRN_SERVER_OPTIONS_H
#define CAIRN_SERVER_OPTIONS_H

#include "cli/cli.h"
#include "server/serve.h"

struct server_options {
    const char *data, *store, *blobs;
    const char *const *listen;
    const char *static_prefix, *artifact_root;
    bool serve_artifacts, metrics;
    const char *auth, *token_file;
    const char *const *allowed_hosts, *const *cors_origins, *const *artifact_places;
    const char *frame_options;
    const char *tls_cert, *tls_key;
    const char *log_level, *log_format;
    int64_t drain_ms, grace_ms;
    const char *s3_endpoint, *s3_region, *s3_addressing, *s3_profile, *s3_sts, *s3_ca_file;
    int64_t s3_patience_ms;
    bool s3_direct;
    /* net */
    int64_t loops, line_max, head_max, field_max, body_max, stream_max, bodies_max, request_max,
        conn_max, head_ms, body_ms, write_ms, idle_ms, linger_ms;
    /* store */
    int64_t readers, read_queue, write_queue, write_bytes, tail_bytes, head_bytes, key_bytes,
        fragment_bytes, column_bytes, graph_bytes, keep_deleted_ms, drain_age_ms, drain_bytes,
        head_age_ms, lease_ms;
    bool stale_ok;
    bool repack, repack_wait, repack_reindex, gc_now, gc_dry_run;
    bool mlmd_others;
    int64_t repack_rate;
    bool scrub_deep, scrub_sweep;
    int64_t scrub_rate, scrub_age_ms;
    /* openlineage */
    const char *ol_url, *ol_token_file, *ol_ca_file, *ol_refused, *ol_file, *ol_namespace;
    const char *const *ol_headers;
    int64_t ol_timeout_ms, ol_retry_ms, ol_hold;
    bool ol_gzip;
    /* `mlflow server` */
    const char *ml_host, *ml_store_uri, *ml_registry_uri, *ml_artifacts_destination, *ml_prometheus;
    int64_t ml_port;
    bool ml_no_security;
    const char *ml_workers, *ml_gunicorn, *ml_uvicorn, *ml_waitress, *ml_app_name;
    bool ml_dev;
};

enum { SERVER_ROWS_N = 93 };
extern const struct opt_row server_rows[SERVER_ROWS_N];

/* From the parsed options of a command to what the server takes: translates MLflow's names, gives warnings on stderr. Texts
 * live in the arena. */
enum status options_serve(struct cli *cli, struct serve_options *out, struct err *err) ATTR_CHECK;

#endif
