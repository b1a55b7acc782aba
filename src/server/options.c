/* server/options.c - the table of options, and what they mean together. */
#include "server/options.h"
#include "base/num.h"
#include "server/options_int.h"

#define AT(member)  .off = offsetof(struct server_options, member)
#define ENV(suffix) .env = "CAIRN_" suffix

const struct opt_row server_rows[SERVER_ROWS_N] = {
    { .name = "data",
      .type = OPT_TEXT,
      .arg = "DIR",
      .def = "cairn-data",
      ENV("DATA"),
      .key = "server.data",
      AT(data),
      .flags = OPT_SHORT,
      .doc =
          "folder of the store: lock, SQLite database, bytes of artifacts; made if it is not there" },
    { .name = "listen",
      .type = OPT_LIST,
      .arg = "ADDR:PORT",
      ENV("LISTEN"),
      .key = "server.listen",
      AT(listen),
      .doc =
          "where to listen, up to 3 addresses; port 0 lets the system choose; unix:/path is a socket. "
          "Without it 127.0.0.1:5757" },
    { .name = "store",
      .type = OPT_TEXT,
      .arg = "URI",
      ENV("STORE"),
      .key = "server.store",
      AT(store),
      .flags = OPT_SHORT | OPT_SECRET,
      .doc =
          "postgresql://user@host/database keeps the records there; without it SQLite in the data folder. "
          "Passwords belong in PGPASSFILE" },
    { .name = "blobs",
      .type = OPT_TEXT,
      .arg = "PLACE",
      ENV("BLOBS"),
      .key = "server.blobs",
      AT(blobs),
      .flags = OPT_SHORT,
      .doc =
          "where the bytes of artifacts lie: a folder, or s3://BUCKET/PREFIX; without it DATA/blobs" },
    { .name = "static-prefix",
      .type = OPT_TEXT,
      .arg = "/PREFIX",
      ENV("STATIC_PREFIX"),
      .key = "server.static_prefix",
      AT(static_prefix),
      .doc = "put before every path, for a server behind a proxy" },
    { .name = "auth",
      .type = OPT_CHOICE,
      .arg = "MODE",
      .def = "address",
      .choices = "address|none|token",
      ENV("AUTH"),
      .key = "server.auth",
      AT(auth),
      .doc =
          "who may call: address asks for a token unless all addresses are loopback and there is no token file" },
    { .name = "token-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("TOKEN_FILE"),
      .key = "server.token_file",
      AT(token_file),
      .doc = "file with one token (at least 16 characters) that clients may send" },
    { .name = "allowed-hosts",
      .type = OPT_LIST,
      .arg = "HOSTS",
      ENV("ALLOWED_HOSTS"),
      .key = "server.allowed_hosts",
      AT(allowed_hosts),
      .doc =
          "names in the Host field that are answered, * matches anything; without it localhost and private addresses" },
    { .name = "cors-allowed-origins",
      .type = OPT_LIST,
      .arg = "ORIGINS",
      ENV("CORS_ALLOWED_ORIGINS"),
      .key = "server.cors_allowed_origins",
      AT(cors_origins),
      .doc = "origins whose pages may call this server, beside localhost; * is any" },
    { .name = "x-frame-options",
      .type = OPT_CHOICE,
      .arg = "VALUE",
      .def = "SAMEORIGIN",
      .choices = "SAMEORIGIN|DENY|NONE",
      ENV("X_FRAME_OPTIONS"),
      .key = "server.x_frame_options",
      AT(frame_options),
      .doc = "who may show pages in a frame" },
    { .name = "tls-cert",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("TLS_CERT"),
      .key = "server.tls_cert",
      AT(tls_cert),
      .doc = "PEM file of the certificate and its chain: the port then speaks TLS only" },
    { .name = "tls-key",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("TLS_KEY"),
      .key = "server.tls_key",
      AT(tls_key),
      .doc = "PEM file of its key; without it the key is looked for in the certificate file" },
    { .name = "metrics",
      .type = OPT_BOOL,
      .def = "true",
      ENV("METRICS"),
      .key = "server.metrics",
      AT(metrics),
      .doc = "GET /metrics answers figures for Prometheus" },
    { .name = "serve-artifacts",
      .type = OPT_BOOL,
      .def = "true",
      ENV("SERVE_ARTIFACTS"),
      .key = "server.serve_artifacts",
      AT(serve_artifacts),
      .doc = "take and give artifacts (mlflow-artifacts:/)" },
    { .name = "artifact-places",
      .type = OPT_LIST,
      .arg = "PLACES",
      ENV("ARTIFACT_PLACES"),
      .key = "server.artifact_places",
      AT(artifact_places),
      .doc =
          "folders of this machine and buckets (s3://BUCKET/PREFIX) whose files are listed and read where runs have artifacts "
          "there; one with =rw behind it is written too. Without it such artifacts are recorded only" },
    { .name = "default-artifact-root",
      .type = OPT_TEXT,
      .arg = "URI",
      ENV("DEFAULT_ARTIFACT_ROOT"),
      .key = "server.default_artifact_root",
      AT(artifact_root),
      .doc =
          "where new experiments keep artifacts; without it mlflow-artifacts:/, which is this server" },
    { .name = "drain",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "20s",
      .min = "0s",
      .max = "1h",
      ENV("DRAIN"),
      .key = "server.drain",
      AT(drain_ms),
      .doc = "time for requests in work when the server is told to stop" },
    { .name = "grace",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "30s",
      .min = "0s",
      .max = "1h",
      ENV("GRACE"),
      .key = "server.grace",
      AT(grace_ms),
      .doc = "time after that for what cannot be cut, then the process ends" },
    { .name = "log-level",
      .type = OPT_CHOICE,
      .arg = "LEVEL",
      .def = "info",
      .choices = "error|warn|info|debug",
      ENV("LOG_LEVEL"),
      .key = "log.level",
      AT(log_level),
      .doc = "what is logged; debug has a line per request" },
    { .name = "log-format",
      .type = OPT_CHOICE,
      .arg = "FORMAT",
      .def = "text",
      .choices = "text|json",
      ENV("LOG_FORMAT"),
      .key = "log.format",
      AT(log_format),
      .doc = "key=value lines or JSON lines" },

    { .name = "s3-endpoint",
      .type = OPT_TEXT,
      .arg = "URL",
      ENV("S3_ENDPOINT"),
      .key = "s3.endpoint",
      AT(s3_endpoint),
      .doc =
          "address of the S3 service; without it AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile, else AWS by region" },
    { .name = "s3-region",
      .type = OPT_TEXT,
      .arg = "REGION",
      ENV("S3_REGION"),
      .key = "s3.region",
      AT(s3_region),
      .doc =
          "region of the bucket; without it AWS_REGION, the profile, else us-east-1; a redirect of the service corrects it" },
    { .name = "s3-addressing",
      .type = OPT_CHOICE,
      .arg = "STYLE",
      .def = "auto",
      .choices = "auto|path|virtual",
      ENV("S3_ADDRESSING"),
      .key = "s3.addressing",
      AT(s3_addressing),
      .doc =
          "bucket in the path or in the name of the host; auto: in the path when there is an endpoint" },
    { .name = "s3-profile",
      .type = OPT_TEXT,
      .arg = "NAME",
      ENV("S3_PROFILE"),
      .key = "s3.profile",
      AT(s3_profile),
      .doc =
          "profile of ~/.aws/credentials and ~/.aws/config; without it the environment (AWS_ACCESS_KEY_ID, "
          "AWS_WEB_IDENTITY_TOKEN_FILE, AWS_PROFILE), then the profile default" },
    { .name = "s3-sts",
      .type = OPT_TEXT,
      .arg = "URL",
      ENV("S3_STS"),
      .key = "s3.sts",
      AT(s3_sts),
      .doc =
          "token service that exchanges a web identity for credentials; without it the endpoint, else that of AWS" },
    { .name = "s3-ca-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("S3_CA_FILE"),
      .key = "s3.ca_file",
      AT(s3_ca_file),
      .doc =
          "PEM file of the authorities to trust for S3; without it AWS_CA_BUNDLE, else those of the system" },
    { .name = "s3-patience",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "30s",
      .min = "1s",
      .max = "10m",
      ENV("S3_PATIENCE"),
      .key = "s3.patience",
      AT(s3_patience_ms),
      .doc = "how long a call that fails is tried again before its client is answered 503" },
    { .name = "s3-direct",
      .type = OPT_BOOL,
      .def = "false",
      ENV("S3_DIRECT"),
      .key = "s3.direct",
      AT(s3_direct),
      .doc =
          "clients send and get large files straight from the S3 service, with URLs good for 15 minutes; they must reach "
          "its address" },

    { .name = "http-loops",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "0",
      .min = "0",
      .max = "64",
      ENV("HTTP_LOOPS"),
      .key = "http.loops",
      AT(loops),
      .doc = "event loops; 0 is one per core, at most 4" },
    { .name = "http-line-max",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "16K",
      .min = "1K",
      .max = "1M",
      ENV("HTTP_LINE_MAX"),
      .key = "http.line_max",
      AT(line_max),
      .doc = "longest request line" },
    { .name = "http-head-max",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "64K",
      .min = "4K",
      .max = "4M",
      ENV("HTTP_HEAD_MAX"),
      .key = "http.head_max",
      AT(head_max),
      .doc = "all header fields of a request together" },
    { .name = "http-field-max",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "100",
      .min = "10",
      .max = "1000",
      ENV("HTTP_FIELD_MAX"),
      .key = "http.field_max",
      AT(field_max),
      .doc = "header fields of a request" },
    { .name = "http-body-max",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "64M",
      .min = "4K",
      .max = "4G",
      ENV("HTTP_BODY_MAX"),
      .key = "http.body_max",
      AT(body_max),
      .doc = "largest body kept in memory, after decompression" },
    { .name = "http-stream-max",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "1T",
      .min = "4K",
      .max = "1024T",
      ENV("HTTP_STREAM_MAX"),
      .key = "http.stream_max",
      AT(stream_max),
      .doc = "largest streamed body: one artifact" },
    { .name = "http-bodies-max",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "1G",
      .min = "1M",
      .max = "1T",
      ENV("HTTP_BODIES_MAX"),
      .key = "http.bodies_max",
      AT(bodies_max),
      .doc = "all bodies in memory together; beyond it 503" },
    { .name = "http-request-max",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "256M",
      .min = "1M",
      .max = "16G",
      ENV("HTTP_REQUEST_MAX"),
      .key = "http.request_max",
      AT(request_max),
      .doc = "memory of one request" },
    { .name = "http-connections",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "16384",
      .min = "1",
      .max = "1000000",
      ENV("HTTP_CONNECTIONS"),
      .key = "http.connections",
      AT(conn_max),
      .doc = "open connections; beyond it 503" },
    { .name = "http-head-timeout",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "10s",
      .min = "100ms",
      .max = "1h",
      ENV("HTTP_HEAD_TIMEOUT"),
      .key = "http.head_timeout",
      AT(head_ms),
      .doc = "time for the head of a request" },
    { .name = "http-body-timeout",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "30s",
      .min = "100ms",
      .max = "1h",
      ENV("HTTP_BODY_TIMEOUT"),
      .key = "http.body_timeout",
      AT(body_ms),
      .doc = "time without a byte of a body" },
    { .name = "http-write-timeout",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "60s",
      .min = "100ms",
      .max = "1h",
      ENV("HTTP_WRITE_TIMEOUT"),
      .key = "http.write_timeout",
      AT(write_ms),
      .doc = "time without progress of an answer" },
    { .name = "http-idle-timeout",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "75s",
      .min = "100ms",
      .max = "24h",
      ENV("HTTP_IDLE_TIMEOUT"),
      .key = "http.idle_timeout",
      AT(idle_ms),
      .doc = "time a connection may wait for a request" },
    { .name = "http-linger",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "2s",
      .min = "0s",
      .max = "1m",
      ENV("HTTP_LINGER"),
      .key = "http.linger",
      AT(linger_ms),
      .doc = "time to read on after an early answer" },

    { .name = "store-readers",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "4",
      .min = "1",
      .max = "64",
      ENV("STORE_READERS"),
      .key = "store.readers",
      AT(readers),
      .doc = "threads that read, each with a connection to the database" },
    { .name = "store-read-queue",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "4096",
      .min = "16",
      .max = "1000000",
      ENV("STORE_READ_QUEUE"),
      .key = "store.read_queue",
      AT(read_queue),
      .doc = "reads that may wait; beyond it 503" },
    { .name = "store-write-queue",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "8192",
      .min = "16",
      .max = "1000000",
      ENV("STORE_WRITE_QUEUE"),
      .key = "store.write_queue",
      AT(write_queue),
      .doc =
          "writes that may wait for their commit; beyond it 503, and 429 for a client with half of them" },
    { .name = "store-write-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "256M",
      .min = "1M",
      .max = "64G",
      ENV("STORE_WRITE_BYTES"),
      .key = "store.write_bytes",
      AT(write_bytes),
      .doc = "or once they hold that much memory" },
    { .name = "store-tail-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "32M",
      .min = "1M",
      .max = "4G",
      ENV("STORE_TAIL_BYTES"),
      .key = "store.tail_bytes",
      AT(tail_bytes),
      .doc =
          "metric points in memory until they are packed; also what a start after a crash has to replay" },
    { .name = "store-head-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "64M",
      .min = "1M",
      .max = "64G",
      ENV("STORE_HEAD_BYTES"),
      .key = "store.head_bytes",
      AT(head_bytes),
      .doc = "runs kept in memory" },
    { .name = "store-key-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "32M",
      .min = "1M",
      .max = "16G",
      ENV("STORE_KEY_BYTES"),
      .key = "store.key_bytes",
      AT(key_bytes),
      .doc = "names of metrics, parameters and tags kept in memory" },
    { .name = "store-fragment-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "8M",
      .min = "64K",
      .max = "64G",
      ENV("STORE_FRAGMENT_BYTES"),
      .key = "store.fragment_bytes",
      AT(fragment_bytes),
      .doc = "runs kept in memory as they were last shown in a list" },
    { .name = "store-keep-deleted",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "0s",
      .min = "0s",
      .max = "3650d",
      ENV("STORE_KEEP_DELETED"),
      .key = "store.keep_deleted",
      AT(keep_deleted_ms),
      .doc = "runs that were deleted longer ago than this go for good; 0s = never" },
    { .name = "mlmd-others",
      .type = OPT_BOOL,
      ENV("MLMD_OTHERS"),
      .key = "mlmd.others",
      AT(mlmd_others),
      .doc = "runs, models and data sets of MLflow are executions, artifacts and contexts of ML "
             "Metadata's namespace default, to be read and linked" },
    { .name = "repack",
      .type = OPT_BOOL,
      .def = "true",
      ENV("REPACK"),
      .key = "store.repack",
      AT(repack),
      .doc =
          "move the bytes of artifacts into packs in the background, where equal parts lie once" },
    { .name = "repack-rate",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "64M",
      .min = "64K",
      .max = "64G",
      ENV("REPACK_RATE"),
      .key = "store.repack_rate",
      AT(repack_rate),
      .doc = "bytes a second that moving into packs reads at most, in the background" },
    { .name = "wait",
      .type = OPT_BOOL,
      AT(repack_wait),
      .flags = OPT_SHORT,
      .only = "repack",
      .doc = "come back when it is done" },
    { .name = "reindex",
      .type = OPT_BOOL,
      AT(repack_reindex),
      .flags = OPT_SHORT,
      .only = "repack",
      .doc =
          "first make the index of chunks anew from the packs, for a store whose index was lost" },
    { .name = "rate",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "64M",
      .min = "1K",
      .max = "1024G",
      AT(scrub_rate),
      .only = "scrub",
      .doc = "bytes a second that are read at most" },
    { .name = "deep",
      .type = OPT_BOOL,
      AT(scrub_deep),
      .flags = OPT_SHORT,
      .only = "scrub",
      .doc =
          "also read what lies in packs through every object that names it, and compare its SHA-256" },
    { .name = "sweep",
      .type = OPT_BOOL,
      AT(scrub_sweep),
      .flags = OPT_SHORT,
      .only = "scrub",
      .doc = "delete files that nothing knows" },
    { .name = "older-than",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "1d",
      .min = "0s",
      .max = "3650d",
      AT(scrub_age_ms),
      .only = "scrub",
      .doc = "how old a file that nothing knows must be to be swept" },
    { .name = "now",
      .type = OPT_BOOL,
      AT(gc_now),
      .flags = OPT_SHORT,
      .only = "gc",
      .doc = "delete it, without waiting for any time that the background would give" },
    { .name = "dry-run",
      .type = OPT_BOOL,
      AT(gc_dry_run),
      .flags = OPT_SHORT,
      .only = "gc",
      .doc = "only count what would be deleted" },
    { .name = "store-column-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "0",
      .min = "0",
      .max = "1T",
      ENV("STORE_COLUMN_BYTES"),
      .key = "store.column_bytes",
      AT(column_bytes),
      .doc = "search columns kept in memory; 0 is a quarter of the machine's memory" },
    { .name = "store-drain-age",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "10s",
      .min = "10ms",
      .max = "1h",
      ENV("STORE_DRAIN_AGE"),
      .key = "store.drain_age",
      AT(drain_age_ms),
      .doc = "changes older than this move from the log to packs and rows" },
    { .name = "store-drain-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "8M",
      .min = "64K",
      .max = "1G",
      ENV("STORE_DRAIN_BYTES"),
      .key = "store.drain_bytes",
      AT(drain_bytes),
      .doc = "or once there are that many bytes" },
    { .name = "store-graph-bytes",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "0",
      .min = "0",
      .max = "1T",
      ENV("STORE_GRAPH_BYTES"),
      .key = "store.graph_bytes",
      AT(graph_bytes),
      .doc = "links of lineage in memory, also while they are packed (a million: 80 MB); beyond it "
             "questions of lineage are refused; 0 is a quarter of the machine's memory" },
    { .name = "store-head-age",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "60s",
      .min = "10ms",
      .max = "24h",
      ENV("STORE_HEAD_AGE"),
      .key = "store.head_age",
      AT(head_age_ms),
      .doc =
          "how long the latest values of a run that only got points wait until they are written" },
    { .name = "store-lease",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "10s",
      .min = "500ms",
      .max = "10m",
      ENV("STORE_LEASE"),
      .key = "store.lease",
      AT(lease_ms),
      .doc =
          "servers on one PostgreSQL database: who is not heard of for this long is put off their list" },
    { .name = "stale-ok",
      .type = OPT_BOOL,
      .def = "false",
      ENV("STALE_OK"),
      .key = "store.stale_ok",
      AT(stale_ok),
      .doc =
          "beside other servers: reads may lack what those acknowledged in the last 20 ms, and do not look; the others ring" },

    { .name = "openlineage-url",
      .type = OPT_TEXT,
      .arg = "URL",
      ENV("OPENLINEAGE_URL"),
      .key = "openlineage.url",
      AT(ol_url),
      .doc =
          "tell runs, registrations and imports to this address, as events of OpenLineage; without "
          "a path it is URL/api/v1/lineage" },
    { .name = "openlineage-token-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("OPENLINEAGE_TOKEN_FILE"),
      .key = "openlineage.token_file",
      AT(ol_token_file),
      .doc = "file with the bearer token for that address; read again for every event" },
    { .name = "openlineage-headers",
      .type = OPT_LIST,
      .arg = "FIELDS",
      ENV("OPENLINEAGE_HEADERS"),
      .key = "openlineage.headers",
      AT(ol_headers),
      .flags = OPT_SECRET,
      .doc = "header fields for that address, \"Name: value\", with commas between them" },
    { .name = "openlineage-ca-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("OPENLINEAGE_CA_FILE"),
      .key = "openlineage.ca_file",
      AT(ol_ca_file),
      .doc =
          "PEM file of the authorities to trust for that address; without it those of the system" },
    { .name = "openlineage-timeout",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "5s",
      .min = "10ms",
      .max = "10m",
      ENV("OPENLINEAGE_TIMEOUT"),
      .key = "openlineage.timeout",
      AT(ol_timeout_ms),
      .doc = "how long that address may take to answer; then the event is sent again" },
    { .name = "openlineage-retry-max",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "1m",
      .min = "10ms",
      .max = "1h",
      ENV("OPENLINEAGE_RETRY_MAX"),
      .key = "openlineage.retry_max",
      AT(ol_retry_ms),
      .doc =
          "longest pause before an event is sent again; the first is half a second, each further one twice as long" },
    { .name = "openlineage-gzip",
      .type = OPT_BOOL,
      ENV("OPENLINEAGE_GZIP"),
      .key = "openlineage.gzip",
      AT(ol_gzip),
      .doc = "compress events for that address; not every receiver can read them" },
    { .name = "openlineage-refused",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("OPENLINEAGE_REFUSED"),
      .key = "openlineage.refused",
      AT(ol_refused),
      .doc =
          "where events are kept that the address refuses, until `cairn server emit retry`; without "
          "it DATA/openlineage-refused.jsonl" },
    { .name = "openlineage-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      ENV("OPENLINEAGE_FILE"),
      .key = "openlineage.file",
      AT(ol_file),
      .doc = "add the events to this file, one a line; it may be moved away at any time" },
    { .name = "openlineage-namespace",
      .type = OPT_TEXT,
      .arg = "NAME",
      .def = "cairn",
      ENV("OPENLINEAGE_NAMESPACE"),
      .key = "openlineage.namespace",
      AT(ol_namespace),
      .doc =
          "namespace of the jobs in these events, and of data sets that have no place of their own" },
    { .name = "openlineage-hold",
      .type = OPT_SIZE,
      .arg = "SIZE",
      .def = "64M",
      .min = "64K",
      .max = "64G",
      ENV("OPENLINEAGE_HOLD"),
      .key = "openlineage.hold",
      AT(ol_hold),
      .doc =
          "so much of the log is kept while events cannot be told; what goes beyond it is not told, "
          "which is logged and counted" },

    { .name = "host",
      .type = OPT_TEXT,
      .arg = "HOST",
      .env = "MLFLOW_HOST",
      AT(ml_host),
      .flags = OPT_MLFLOW,
      .doc = "address to listen on; without it 127.0.0.1" },
    { .name = "port",
      .letter = 'p',
      .type = OPT_COUNT,
      .arg = "PORT",
      .def = "5000",
      .min = "0",
      .max = "65535",
      .env = "MLFLOW_PORT",
      AT(ml_port),
      .flags = OPT_MLFLOW,
      .doc = "port to listen on" },
    { .name = "backend-store-uri",
      .type = OPT_TEXT,
      .arg = "URI",
      .env = "MLFLOW_BACKEND_STORE_URI",
      AT(ml_store_uri),
      .flags = OPT_MLFLOW | OPT_SHORT | OPT_SECRET,
      .doc =
          "postgresql://... as --store; sqlite:///FILE makes the data folder FILE.cairn beside that file; a folder is "
          "the data folder" },
    { .name = "registry-store-uri",
      .type = OPT_TEXT,
      .arg = "URI",
      .env = "MLFLOW_REGISTRY_STORE_URI",
      AT(ml_registry_uri),
      .flags = OPT_MLFLOW | OPT_SECRET | OPT_IGNORED,
      .doc = "not needed: there is one store" },
    { .name = "artifacts-destination",
      .type = OPT_TEXT,
      .arg = "URI",
      .env = "MLFLOW_ARTIFACTS_DESTINATION",
      AT(ml_artifacts_destination),
      .flags = OPT_MLFLOW,
      .doc = "where the bytes of artifacts lie: a folder or s3://BUCKET/PREFIX, as --blobs" },
    { .name = "expose-prometheus",
      .type = OPT_TEXT,
      .arg = "DIR",
      .env = "MLFLOW_EXPOSE_PROMETHEUS",
      AT(ml_prometheus),
      .flags = OPT_MLFLOW,
      .doc = "turns /metrics on; the folder is not needed" },
    { .name = "disable-security-middleware",
      .type = OPT_BOOL,
      .env = "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
      AT(ml_no_security),
      .flags = OPT_MLFLOW,
      .doc = "no checks of Host and Origin" },
    { .name = "workers",
      .letter = 'w',
      .type = OPT_TEXT,
      .arg = "N",
      .env = "MLFLOW_WORKERS",
      AT(ml_workers),
      .flags = OPT_MLFLOW | OPT_IGNORED,
      .doc = "not needed: one process uses all cores" },
    { .name = "gunicorn-opts",
      .type = OPT_TEXT,
      .arg = "TEXT",
      .env = "MLFLOW_GUNICORN_OPTS",
      AT(ml_gunicorn),
      .flags = OPT_MLFLOW | OPT_IGNORED,
      .doc = "not needed: there is no gunicorn" },
    { .name = "uvicorn-opts",
      .type = OPT_TEXT,
      .arg = "TEXT",
      .env = "MLFLOW_UVICORN_OPTS",
      AT(ml_uvicorn),
      .flags = OPT_MLFLOW | OPT_IGNORED,
      .doc = "not needed: there is no uvicorn" },
    { .name = "waitress-opts",
      .type = OPT_TEXT,
      .arg = "TEXT",
      AT(ml_waitress),
      .flags = OPT_MLFLOW | OPT_IGNORED,
      .doc = "not needed: there is no waitress" },
    { .name = "app-name",
      .type = OPT_TEXT,
      .arg = "NAME",
      AT(ml_app_name),
      .flags = OPT_MLFLOW | OPT_IGNORED,
      .doc = "not needed: there are no Python apps" },
    { .name = "dev",
      .type = OPT_BOOL,
      AT(ml_dev),
      .flags = OPT_MLFLOW | OPT_IGNORED,
      .doc = "not needed: nothing is reloaded" },
};

/* Names of MLflow's variables for options that are cairn's own too. */
static const struct {
    const char *name, *env;
} twins[] = {
    { "static-prefix", "MLFLOW_STATIC_PREFIX" },
    { "allowed-hosts", "MLFLOW_SERVER_ALLOWED_HOSTS" },
    { "cors-allowed-origins", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS" },
    { "x-frame-options", "MLFLOW_SERVER_X_FRAME_OPTIONS" },
    { "serve-artifacts", "MLFLOW_SERVE_ARTIFACTS" },
    { "default-artifact-root", "MLFLOW_DEFAULT_ARTIFACT_ROOT" },
    { "s3-endpoint", "MLFLOW_S3_ENDPOINT_URL" },
};

void options_twins(struct opts *o)
{
    for (size_t i = 0; i < ARRAY_N(twins); i++) {
        opts_env_twin(o, twins[i].name, twins[i].env);
    }
}

static bool is_set(const struct opts *o, const char *name)
{
    return opts_value(o, name)->source != OPT_FROM_DEFAULT;
}

enum { DRAIN_MS = 20000, GRACE_MS = 30000, RETENTION_EVERY_MS = 600000 };

void serve_options_init(struct serve_options *o)
{
    *o = (struct serve_options){ .serve_artifacts = true,
                                 .drain_ms = DRAIN_MS,
                                 .grace_ms = GRACE_MS,
                                 .log_level = LOG_LEVEL_INFO,
                                 .config = S("{}") };
    http_limits_default(&o->limits);
}

/* ---- checks over several options ------------------------------------------------------------------------------------- */

static enum status check_prefix(const struct server_options *o, struct err *err)
{
    struct str p = str_cstr(o->static_prefix);
    enum status st;

    if (!o->static_prefix || (p.n > 1 && p.p[0] == '/' && p.p[p.n - 1] != '/')) {
        return OK;
    }
    st = err_field(err, ST_INVALID, "static-prefix", "--static-prefix %s does not fit",
                   o->static_prefix);
    err_hint(err, "it starts with a slash and does not end with one: /mlflow");
    return st;
}

/* Tokens and keys of a command line are visible to every user of the machine. */
static void warn_secrets(const struct cli *cli)
{
    const struct opts *o = &cli->own_opts;

    for (size_t i = 0; i < o->n; i++) {
        const struct opt_row *row = &o->rows[i];

        if ((row->flags & OPT_SECRET) && o->values[i].source == OPT_FROM_FLAG &&
            opt_uri_has_password(o->values[i].text)) {
            cli_warn(
                cli,
                "--%s holds a password, which every user of this machine can see in the list of "
                "processes; put it into a file and name that in PGPASSFILE, or into the environment (%s)",
                row->name, row->env);
        }
    }
}

static void say_ignored(const struct cli *cli)
{
    const struct opts *o = &cli->own_opts;

    for (size_t i = 0; i < o->n; i++) {
        if ((o->rows[i].flags & OPT_IGNORED) && o->values[i].source != OPT_FROM_DEFAULT) {
            cli_note(cli, "--%s is %s", o->rows[i].name, o->rows[i].doc);
        }
    }
}

/* A mistyped key of a section that is the server's would silently do nothing. */
static enum status check_keys(const struct opts *o, const struct conf *c, struct err *err)
{
    static const char *const sections[] = { "server.", "s3.",  "http.",
                                            "store.",  "log.", "openlineage." };

    for (size_t i = 0; i < c->n; i++) {
        struct str key = str_cstr(c->entries[i].key);
        const char *best = NULL;
        unsigned cost = UINT32_MAX;
        bool ours = false, known = false;
        enum status st;

        for (size_t s = 0; s < ARRAY_N(sections); s++) {
            ours = ours || str_starts(key, str_cstr(sections[s]));
        }
        for (size_t r = 0; ours && !known && r < o->n; r++) {
            known = o->rows[r].key && str_eq(key, str_cstr(o->rows[r].key));
            if (o->rows[r].key) {
                opt_nearest(key, o->rows[r].key, &best, &cost);
            }
        }
        if (!ours || known) {
            continue;
        }
        st = err_set(err, ST_INVALID, "%s, line %u: there is no option %s", c->path,
                     c->entries[i].line, c->entries[i].key);
        err_hint(err, best ? "did you mean: %s" : "cairn help server lists the options%s",
                 best ? best : "");
        return st;
    }
    return OK;
}

static void fill_net(const struct server_options *o, struct serve_options *out)
{
    struct http_limits *l = &out->limits;

    out->loops = (unsigned)o->loops;
    l->line_max = (size_t)o->line_max;
    l->head_max = (size_t)o->head_max;
    l->field_max = (unsigned)o->field_max;
    l->body_max = (uint64_t)o->body_max;
    l->stream_max = (uint64_t)o->stream_max;
    l->bodies_max = (uint64_t)o->bodies_max;
    l->arena_max = (size_t)o->request_max;
    l->conn_max = (unsigned)o->conn_max;
    l->head_ms = o->head_ms;
    l->body_ms = o->body_ms;
    l->write_ms = o->write_ms;
    l->idle_ms = o->idle_ms;
    l->linger_ms = o->linger_ms;
}

static void fill_store(const struct server_options *o, struct serve_options *out)
{
    out->core.readers = (unsigned)o->readers;
    out->core.read_queue = (size_t)o->read_queue;
    out->core.wait_ops = (size_t)o->write_queue;
    out->core.wait_bytes = (size_t)o->write_bytes;
    out->core.tail_bytes = (size_t)o->tail_bytes;
    out->core.head_bytes = (size_t)o->head_bytes;
    out->core.key_bytes = (size_t)o->key_bytes;
    out->core.fragment_bytes = (size_t)o->fragment_bytes;
    out->core.keep_deleted_ms = o->keep_deleted_ms;
    out->core.typed_others = o->mlmd_others;
    out->core.retention_every_ms = RETENTION_EVERY_MS;
    out->core.column_bytes = (size_t)o->column_bytes;
    out->core.graph.max_bytes = (size_t)o->graph_bytes;
    out->repack = o->repack;
    out->repack_rate = (uint64_t)o->repack_rate;
    out->core.drain_age_ms = o->drain_age_ms;
    out->core.drain_bytes = (size_t)o->drain_bytes;
    out->core.head_age_ms = o->head_age_ms;
    out->core.lease_ms = o->lease_ms;
    out->core.stale_ok = o->stale_ok;
}

static void fill_rest(const struct server_options *o, struct serve_options *out)
{
    struct str auth = str_cstr(o->auth);

    out->static_prefix = o->static_prefix;
    out->serve_artifacts = o->serve_artifacts;
    out->expose_metrics = o->metrics;
    out->auth = str_eq_lit(auth, "none")    ? SERVE_AUTH_NONE
                : str_eq_lit(auth, "token") ? SERVE_AUTH_TOKEN
                                            : SERVE_AUTH_BY_ADDRESS;
    out->token_file = o->token_file;
    out->allowed_hosts = o->allowed_hosts;
    out->cors_origins = o->cors_origins;
    out->frame_options = o->frame_options;
    out->no_guard = o->ml_no_security;
    out->tls_cert = o->tls_cert;
    out->tls_key = o->tls_key;
    out->s3 = (struct blob_s3_options){
        .endpoint = o->s3_endpoint,
        .region = o->s3_region,
        .profile = o->s3_profile,
        .sts = o->s3_sts,
        .ca_file = o->s3_ca_file,
        .patience_ms = o->s3_patience_ms,
        .direct = o->s3_direct,
        .addressing = o->s3_addressing[0] == 'p'   ? BLOB_S3_PATH
                      : o->s3_addressing[0] == 'v' ? BLOB_S3_VIRTUAL
                                                   : BLOB_S3_AUTO,
    };
    out->emit = (struct emit_options){
        .to = { .url = o->ol_url,
                .token_file = o->ol_token_file,
                .headers = o->ol_headers,
                .ca_file = o->ol_ca_file,
                .timeout_ms = o->ol_timeout_ms,
                .gzip = o->ol_gzip },
        .file = o->ol_file,
        .refused = o->ol_refused,
        .ns = o->ol_namespace,
        .retry_min_ms = MIN_OF(o->ol_retry_ms, (int64_t)500),
        .retry_max_ms = o->ol_retry_ms,
    };
    out->core.hold_bytes = (size_t)o->ol_hold;
    out->drain_ms = o->drain_ms;
    out->grace_ms = o->grace_ms;
    out->log_json = str_eq_lit(str_cstr(o->log_format), "json");
    out->log_level = o->log_level[0] == 'e'   ? LOG_LEVEL_ERROR
                     : o->log_level[0] == 'w' ? LOG_LEVEL_WARN
                     : o->log_level[0] == 'd' ? LOG_LEVEL_DEBUG
                                              : LOG_LEVEL_INFO;
}

static enum status fill_listen(struct cli *cli, const struct server_options *o,
                               struct serve_options *out, struct err *err)
{
    enum status st;

    if (is_set(&cli->own_opts, "listen") &&
        (is_set(&cli->own_opts, "host") || is_set(&cli->own_opts, "port"))) {
        st = err_set(err, ST_INVALID, "--listen and --host or --port say the same thing twice");
        err_hint(err, "give --listen HOST:PORT alone");
        return st;
    }
    for (const char *const *l = o->listen; l && *l; l++) {
        if (out->listen_n == SERVE_LISTEN_MAX) {
            return err_field(err, ST_INVALID, "listen", "more than %d addresses to listen on",
                             SERVE_LISTEN_MAX);
        }
        if (!strchr(*l, ':')) {
            st = err_field(err, ST_INVALID, "listen", "--listen %s has no port", *l);
            err_hint(err, "write it as ADDRESS:PORT, for example 127.0.0.1:5757");
            return st;
        }
        out->listen[out->listen_n++] = *l;
    }
    if (!out->listen_n) {
        out->listen[out->listen_n++] = "127.0.0.1:5757";
    }
    return OK;
}

enum status options_serve(struct cli *cli, struct serve_options *out, struct err *err)
{
    struct server_options *o = cli->options;
    enum status st;

    serve_options_init(out);
    warn_secrets(cli);
    say_ignored(cli);
    st = check_keys(&cli->own_opts, &cli->project, err);
    st = st ? st : check_keys(&cli->own_opts, &cli->user, err);
    options_twins(&cli->own_opts);
    st = st ? st : opts_apply(&cli->own_opts, o, err);
    st = st ? st : options_mlflow(cli, o, err);
    st = st ? st : check_prefix(o, err);
    st = st ? st : fill_listen(cli, o, out, err);
    if (st) {
        return st;
    }
    out->data = o->data;
    out->store = o->store;
    out->blobs = o->blobs;
    out->artifact_root = o->artifact_root;
    out->artifact_places = o->artifact_places;
    fill_net(o, out);
    fill_store(o, out);
    fill_rest(o, out);
    return options_config(cli, &out->config, err);
}
