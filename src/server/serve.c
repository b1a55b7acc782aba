/* server/serve.c - opening in order, closing in reverse. */
#include "server/serve.h"
#include "api/grpc/grpc.h"
#include "api/kubeflow/kubeflow.h"
#include "api/mlflow/mlflow.h"
#include "api/native/native.h"
#include "api/openlineage/openlineage.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/out.h"
#include "core/artifact.h"
#include "core/collect.h"
#include "core/core_open.h"
#include "core/experiment.h"
#include "core/outside.h"
#include "core/repack.h"
#include "core/scrub.h"
#include "net/server.h"
#include "server/figures.h"
#include "server/port_owner.h"
#include "server/quiet.h"
#include "store/blob/blob.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RELOAD_ARENA_MAX = 64 << 20, TOKEN_FILE_MAX = 4096, PATH_BYTES = 4096 };

struct serving {
    const struct serve_options *o;
    struct arena *arena;
    struct core *core;
    struct access *access;
    struct api api;
    struct figures figures;
    int64_t start_ns; /* monotonic */
    struct http_hooks hooks;
    struct router *router;
    struct http_server *http;
    struct quiet *quiet;
    struct emitter *emitter;
    char refused[PATH_BYTES]; /* DATA/openlineage-refused.jsonl */
    char spool[PATH_BYTES];   /* DATA/spool */
    /* Reading the tokens again when another server changed them. */
    struct read_job reload;
    struct arena *reload_arena;
    _Atomic bool reloading, reload_again;
};

static bool is_loopback(const char *listen)
{
    struct str s = str_cstr(listen);

    return str_starts(s, S("127.")) || str_starts(s, S("localhost:")) ||
           str_starts(s, S("[::1]:")) || str_starts(s, S("unix:"));
}

static enum auth_mode auth_of(const struct serve_options *o)
{
    if (o->auth != SERVE_AUTH_BY_ADDRESS) {
        return o->auth == SERVE_AUTH_NONE ? AUTH_NONE : AUTH_TOKEN;
    }
    if (o->token_file) {
        return AUTH_TOKEN; /* whoever gives a token wants it asked for */
    }
    for (unsigned i = 0; i < o->listen_n; i++) {
        if (!is_loopback(o->listen[i])) {
            return AUTH_TOKEN;
        }
    }
    return AUTH_NONE;
}

/* ---- tokens ---------------------------------------------------------------------------------------------------------------- */

static enum status add_file_token(struct serving *s, struct err *err)
{
    struct digest d;
    struct str text;
    enum status st;

    if (!s->o->token_file) {
        return OK;
    }
    st = fs_read_file(s->arena, s->o->token_file, TOKEN_FILE_MAX, &text, err);
    if (st) {
        err_ctx(err, "token file %s", s->o->token_file);
        return st;
    }
    text = str_trim(text);
    if (text.n < 16) {
        return err_set(err, ST_INVALID,
                       "the token file holds %zu characters; a token has at least 16", text.n);
    }
    if (!sha256_of(text.p, text.n, &d)) {
        return err_nomem(err);
    }
    return access_add(s->access, S("file"), &d, S("admin"), err);
}

static void tokens_changed(void *ctx);

struct first_token {
    struct read_job job;
    struct serving *serving;
    struct exec_event *ready;
    size_t known_n;
    enum status st;
    struct err err;
};

static void load_tokens(struct read_job *job, struct view *v)
{
    struct first_token *f = CONTAINER_OF(job, struct first_token, job);
    struct token_row *rows;

    f->st = job->st;
    if (f->st) f->err = job->err;
    f->st = f->st ? f->st : access_load(f->serving->access, v, &f->err);
    f->st = f->st ? f->st : token_list(v, &rows, &f->known_n, &f->err);
    exec_event_set(f->ready);
}

static void reload_tokens(struct read_job *job, struct view *v)
{
    struct serving *s = CONTAINER_OF(job, struct serving, reload);
    struct err err = ERR_INIT;
    enum status st;

    do {
        atomic_store(&s->reload_again, false);
        arena_reset(s->reload_arena);
        st = access_load(s->access, v, &err);
    } while (!st && atomic_load(&s->reload_again));
    if (st) LOG_ERROR("server", "tokens of other servers could not be read: %s", err.message);
    atomic_store(&s->reloading, false);
    if (!st && atomic_load(&s->reload_again)) tokens_changed(s); /* it came in between */
}

static void tokens_changed(void *ctx)
{
    struct serving *s = ctx;

    atomic_store(&s->reload_again, true);
    if (atomic_exchange(&s->reloading, true)) {
        return; /* the one under way does it */
    }
    s->reload = (struct read_job){ .run = reload_tokens, .arena = s->reload_arena };
    if (core_read_submit(s->core, &s->reload)) {
        LOG_ERROR("server", "tokens of other servers could not be read: too many reads wait");
        atomic_store(&s->reloading, false);
    }
}

/* The tokens of the store; when tokens are needed and there are none, one is made and printed, this once. */
static enum status load_store_tokens(struct serving *s, struct err *err)
{
    struct first_token f = { .serving = s, .ready = exec_event_new() };
    struct token_add add;
    char text[TOKEN_TEXT_MAX];
    enum status st;

    if (!f.ready) {
        return err_nomem(err);
    }
    f.job = (struct read_job){ .run = load_tokens, .arena = s->arena };
    st = core_read_submit(s->core, &f.job);
    if (!st) {
        exec_event_wait(f.ready, -1);
        st = f.st;
        *err = f.err;
    }
    exec_event_free(f.ready);
    if (st || f.known_n || s->o->token_file || access_mode(s->access) == AUTH_NONE) {
        return st;
    }
    token_add_init(&add, s->access, s->arena);
    add.name = S("first");
    add.principal = S("admin");
    if (!token_new(text, &add.sha256)) {
        return err_nomem(err);
    }
    st = seq_run(s->core->seq, &add.op, err);
    if (!st) {
        out_printf(
            OUT_STDERR,
            "cairn: a token is needed on this address. This one was made and is shown only now:\n  %s\n"
            "cairn: clients send it as MLFLOW_TRACKING_TOKEN; `cairn server token add NAME` makes more.\n",
            text);
    }
    return st;
}

/* ---- wiring ------------------------------------------------------------------------------------------------------------------- */

/* The i-th address with the port that the system chose; "" when there is none. */
static void address_of(const struct serving *s, unsigned i, char *out, size_t n)
{
    const char *listen = i < s->o->listen_n ? s->o->listen[i] : "", *colon = strrchr(listen, ':');

    if (!colon || str_starts(str_cstr(listen), S("unix:"))) {
        snprintf(out, n, "%s", listen);
    } else {
        snprintf(out, n, "%.*s:%u", (int)(colon - listen), listen, http_server_port(s->http, i));
    }
}

static void memory_used(void *ctx, size_t bytes)
{
    quiet_later(ctx, bytes);
}

static void writing_ended(void *ctx)
{
    quiet_soon(ctx);
}

/* The places of others, apart from all that the server keeps itself. */
static enum status open_places(struct serving *s, const char *blobs, struct err *err)
{
    const struct serve_options *o = s->o;
    const char *own[4] = { o->data, blobs };

    if (o->store && str_find(str_cstr(o->store), S("://")) == SIZE_MAX) {
        own[2] = o->store; /* a folder for SQLite */
    }
    return outside_new(&s->core->outside, o->artifact_places, own, &o->s3, o->data, err);
}

static enum status open_store(struct serving *s, struct err *err)
{
    const struct serve_options *o = s->o;
    struct core_options options = o->core;
    struct blob_options blobs;
    char path[PATH_BYTES], owner[PATH_BYTES];
    enum status st;

    address_of(s, 0, owner, sizeof(owner));
    options.sql = (struct sql_options){ .location = o->store ? o->store : o->data,
                                        .owner = owner[0] ? owner : NULL,
                                        .shared = true };
    options.artifact_root =
        str_cstr(o->artifact_root ? o->artifact_root : ARTIFACT_PROXY_SCHEME "/");
    snprintf(path, sizeof(path), "%s/lineage.links", o->data);
    options.graph.file = path; /* copied */
    options.idle = writing_ended;
    options.idle_ctx = s->quiet;
    st = core_open(&s->core, &options, err);
    if (st && !o->store) {
        err_ctx(err, "store in %s", o->data);
    }
    snprintf(path, sizeof(path), "%s/blobs", o->data);
    blobs = (struct blob_options){
        .location = o->blobs ? o->blobs : path, .s3 = o->s3, .state_dir = o->data, .keep = true
    };
    st = st ? st : blob_open_with(&s->core->blobs, &blobs, err);
    st = st ? st : open_places(s, blobs.location, err);
    snprintf(s->spool, sizeof(s->spool), "%s/spool", o->data);
    st = st ? st : fs_mkdirs(s->spool, err);
    if (!st) {
        s->core->spool = s->spool;
    }
    st = st ? st : collect_start(s->core, &(struct collect_options){ 0 }, err);
    st = st ? st
            : repack_start(s->core,
                           &(struct repack_options){ .every_ms = o->repack ? 0 : -1,
                                                     .bytes_per_s = o->repack_rate },
                           err);
    st = st ? st : scrub_start(s->core, err);
    st = st ? st : access_new(&s->access, auth_of(o), err);
    st = st ? st : add_file_token(s, err);
    if (!st) {
        s->reload_arena = arena_new(RELOAD_ARENA_MAX);
        st = s->reload_arena ? load_store_tokens(s, err) : err_nomem(err);
    }
    if (!st) {
        core_watch_tokens(s->core, tokens_changed, s);
        tokens_changed(s); /* what came while they were read */
    }
    return st;
}

/* A taken port names its owner. */
static void say_who_listens(const char *listen, struct err *err)
{
    const char *colon = strrchr(listen, ':');
    uint64_t port;
    char name[64];
    long pid;

    if (!colon || !num_parse_u64(str_cstr(colon + 1), &port) || port == 0 || port > 65535) {
        return;
    }
    pid = port_owner((unsigned)port, name, sizeof(name));
    if (pid) {
        err_hint(err, "process %ld (%s) listens there: stop it, or give another port with --listen",
                 pid, name);
    } else if (!err->hint[0]) {
        err_hint(err, "give another port with --listen (0 lets the system choose)");
    }
}

/* The socket and the token in the data folder: how commands on this machine reach and convince the server. */
static enum status listen_local(struct serving *s, struct err *err)
{
    char address[PATH_BYTES], path[PATH_BYTES], token[TOKEN_TEXT_MAX];
    struct err local = ERR_INIT;
    enum status st;

    if (!token_new(token, &s->api.local)) {
        return err_nomem(err);
    }
    s->api.has_local = true;
    st = access_add(s->access, S("local"), &s->api.local, S("operator"), err);
    snprintf(path, sizeof(path), "%s/server.token", s->o->data);
    st = st ? st : fs_write_atomic(path, token, strlen(token), 0600, err);
    if (st) {
        return st;
    }
    snprintf(address, sizeof(address), "unix:%s/server.sock", s->o->data);
    if (http_server_listen(s->http, address, &local)) {
        /* A path that is too long for a socket, say: commands use the address instead. */
        LOG_INFO("server", "no socket in the data folder: %s", local.message);
    }
    return OK;
}

/* The names that Host may hold: those of the option, or the default ones and the addresses we listen on - a page cannot
 * rebind a name to what the operator wrote down. NULL when memory is out. */
static const char *const *host_names(struct serving *s)
{
    const struct serve_options *o = s->o;
    size_t n = 0;
    const char **names;

    if (o->allowed_hosts) {
        return o->allowed_hosts;
    }
    while (http_guard_default_hosts[n])
        n++;
    names = ARENA_ARRAY(s->arena, const char *, n + o->listen_n + 1);
    if (!names) {
        return NULL;
    }
    memcpy(names, http_guard_default_hosts, n * sizeof(*names));
    for (unsigned i = 0; i < o->listen_n; i++) {
        const char *colon = strrchr(o->listen[i], ':');

        if (colon && !str_starts(str_cstr(o->listen[i]), S("unix:"))) {
            names[n] = arena_cstr(s->arena, str_of(o->listen[i], (size_t)(colon - o->listen[i])));
            if (!names[n]) {
                return NULL;
            }
            n++;
        }
    }
    names[n] = NULL;
    return names;
}

/* Before anything is made or printed: an address that cannot be had ends the start here. Who connects from now on waits in the socket's
 * queue. */
static enum status bind_all(struct serving *s, struct err *err)
{
    const struct serve_options *o = s->o;
    struct http_server_options options;
    enum status st;

    http_server_options_init(&options);
    options.guard.hosts = host_names(s);
    if (!options.guard.hosts) {
        return err_nomem(err);
    }
    options.guard.origins = o->cors_origins;
    options.guard.prefix = o->static_prefix;
    options.guard.off = o->no_guard;
    options.guard.frame_options = o->frame_options;
    options.loop_n = o->loops;
    options.limits = o->limits;
    options.tls.cert_file = o->tls_cert;
    options.tls.key_file = o->tls_key;
    s->figures = (struct figures){ .api = &s->api, .start_ms = clock_wall_ms() };
    s->start_ns = clock_mono_ns();
    s->api.serve_artifacts = o->serve_artifacts;
    s->api.figures = o->expose_metrics ? figures_put : NULL;
    s->api.figures_ctx = &s->figures;
    s->api.config = o->config;
    api_hooks(&s->hooks, &s->api);
    st = quiet_new(&s->quiet, err);
    s->api.used_ctx = s->quiet;
    s->api.used = s->quiet ? memory_used : NULL;
    st = st ? st : router_new(&s->router, err);
    st = st ? st : mlflow_routes(s->router, o->static_prefix, err);
    st = st ? st : kubeflow_routes(s->router, o->static_prefix, err);
    st = st ? st : openlineage_routes(s->router, o->static_prefix, err);
    st = st ? st : grpc_routes(s->router, err);
    st = st ? st : native_routes(s->router, o->static_prefix, o->expose_metrics, err);
    st = st ? st : http_server_new(&s->http, &options, s->router, &s->hooks, err);
    s->figures.http = s->http;
    for (unsigned i = 0; !st && i < o->listen_n; i++) {
        st = http_server_listen(s->http, o->listen[i], err);
        if (st) {
            say_who_listens(o->listen[i], err);
            err_ctx(err, "cannot listen on %s", o->listen[i]);
        }
    }
    return st;
}

/* What happens here is told to others. */
static enum status start_emitter(struct serving *s, struct err *err)
{
    struct emit_options options = s->o->emit;
    enum status st;

    snprintf(s->refused, sizeof(s->refused), "%s/" EMIT_REFUSED_FILE, s->o->data);
    if (!options.refused) options.refused = s->refused;
    st = emit_start(&s->emitter, s->core, &options, err);
    s->figures.emitter = s->emitter;
    return st;
}

/* With the store open: requests are answered from here on. */
static enum status start(struct serving *s, struct err *err)
{
    enum status st = listen_local(s, err);

    s->figures.ready_ns = clock_mono_ns() - s->start_ns;
    s->api.core = s->core;
    s->api.access = s->access;
    return st ? st : http_server_start(s->http, err);
}

/* Says where the server is: on stdout, and in files that scripts and other commands read. */
static enum status announce(struct serving *s, struct err *err)
{
    const struct serve_options *o = s->o;
    const char *colon = strrchr(o->listen[0], ':');
    char url[PATH_BYTES], path[PATH_BYTES];
    struct str host = str_of(o->listen[0], (size_t)(colon - o->listen[0]));
    int n;
    enum status st;

    if (str_eq_lit(host, "0.0.0.0") || str_eq_lit(host, "[::]")) {
        host = S("127.0.0.1");
    }
    n = snprintf(url, sizeof(url), "%s://%.*s:%u%s", o->tls_cert ? "https" : "http", STR_ARG(host),
                 http_server_port(s->http, 0), o->static_prefix ? o->static_prefix : "");
    snprintf(path, sizeof(path), "%s/server.url", o->data);
    st = fs_write_atomic(path, url, (size_t)n, 0600, err);
    if (st) {
        return st;
    }
    n = snprintf(path, sizeof(path), "%ld\n", (long)getpid());
    {
        char pid_path[PATH_BYTES];

        snprintf(pid_path, sizeof(pid_path), "%s/server.pid", o->data);
        st = fs_write_atomic(pid_path, path, (size_t)n, 0600, err);
    }
    if (!st) {
        out_printf(OUT_STDOUT, "listening on %s\n", url);
    }
    return st;
}

static void forget(struct serving *s)
{
    static const char *const names[] = { "server.url", "server.pid", "server.token",
                                         "server.sock" };
    char path[PATH_BYTES];

    for (size_t i = 0; i < ARRAY_N(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", s->o->data, names[i]);
        unlink(path);
    }
}

static void close_all(struct serving *s)
{
    struct blob_store *blobs;
    struct outside *outside;
    struct err err = ERR_INIT;

    if (s->http) {
        if (http_server_stop(s->http, s->o->drain_ms, s->o->grace_ms, &err)) {
            LOG_ERROR("server", "%s", err.message);
            _exit(1); /* a request still runs: nothing it may touch can be freed */
        }
        http_server_free(s->http);
    }
    router_free(s->router);
    blobs = s->core ? s->core->blobs : NULL;
    outside = s->core ? s->core->outside : NULL;
    if (s->core) core_watch_tokens(s->core, NULL, NULL);
    emit_stop(s->emitter);
    core_close(s->core);
    quiet_free(s->quiet);
    blob_close(blobs);
    outside_free(outside);
    access_free(s->access);
    arena_free(s->reload_arena);
    arena_free(s->arena);
}

static int report(enum status st, const struct err *err)
{
    out_printf(OUT_STDERR, "cairn: %s\n", err->message);
    if (err->hint[0]) {
        out_printf(OUT_STDERR, "cairn: %s\n", err->hint);
    }
    return status_row(st)->exit_code ? status_row(st)->exit_code : 1;
}

int serve_run(const struct serve_options *o)
{
    struct serving s = { .o = o };
    struct err err = ERR_INIT;
    sigset_t stop;
    int sig = 0;
    enum status st;

    log_setup(o->log_level, o->log_json);
    net_init();
    /* Blocked before any thread exists, so that every thread inherits it and only sigwait() sees them. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    s.arena = arena_new(16 << 20);
    st = s.arena ? bind_all(&s, &err) : err_nomem(&err);
    if (!st) {
        st = fs_mkdirs(o->data, &err);
        if (st) err_ctx(&err, "data folder %s", o->data);
    }
    st = st ? st : open_store(&s, &err);
    st = st ? st : start_emitter(&s, &err);
    st = st ? st : start(&s, &err);
    st = st ? st : announce(&s, &err);
    if (!st) {
        quiet_soon(s.quiet); /* what only the start needed */
        while (sigwait(&stop, &sig) != 0) {
        }
        LOG_INFO("server", "stopping on signal %d", sig);
    }
    if (s.core) {
        forget(&s); /* with the store open they are ours */
    }
    close_all(&s);
    return st ? report(st, &err) : 0;
}
