/* server/doctor.c - cairn server doctor: what a server here needs, measured, with what to do. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/sys.h"
#include "cli/render.h"
#include "core/store_info.h"
#include "server/commands_int.h"
#include "server/local.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096,
    SYNC_MS = 1000,
    SYNCS_MAX = 20000,
    SYNC_BYTES = 4096,
    FILES_SPARE = 256,
    BUCKET_FILES = 6, /* of a download: two connections, a pipe, and a pair of libcurl's own */
    VIEW_ARENA_MAX = 64 << 20,
    MEMINFO_MAX = 64 * 1024
};

enum verdict { FINE, WARN, BAD };

struct doctor {
    struct cli *cli;
    struct serve_options o;
    struct render r;
    unsigned bad;
    enum status st; /* of printing */
    struct err err;
};

static void say(struct doctor *d, enum verdict v, const char *check, const char *hint,
                const char *fmt, ...) ATTR_FORMAT(5, 6);
static void say(struct doctor *d, enum verdict v, const char *check, const char *hint,
                const char *fmt, ...)
{
    static const char *const names[] = { [FINE] = "ok", [WARN] = "warning", [BAD] = "bad" };
    char text[1024];
    va_list args;
    struct str found;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    found = arena_str(d->cli->arena, str_cstr(text));
    d->bad += v == BAD;
    if (!d->st) {
        d->st = render_row(&d->r,
                           (const struct cell[]){ cell_text(str_cstr(check)),
                                                  cell_text(str_cstr(names[v])), cell_text(found),
                                                  cell_text(str_cstr(v == FINE ? NULL : hint)) },
                           &d->err);
    }
}

/* ---- store ---------------------------------------------------------------------------------------------------------- */

static const char *keep_hint(struct doctor *d, const struct err *err)
{
    return err->hint[0] ? arena_cstr(d->cli->arena, str_cstr(err->hint)) : NULL;
}

static void look_at_server(struct doctor *d, const struct target *t)
{
    struct jv *answer = NULL;
    struct err err = ERR_INIT;
    int64_t from = clock_mono_ns(), took;
    enum status st =
        api_send(d->cli, t, "GET", "/api/cairn/v1/version", (struct str){ NULL, 0 }, &answer, &err);

    took = (clock_mono_ns() - from) / 1000;
    if (st) {
        say(d, BAD, "server", "stop it (its process id is in server.pid) and start it again",
            "a server should run at %s, but: %s", t->url, err.message);
        return;
    }
    say(d, FINE, "server", NULL, "cairn %.*s answers at %s in %" PRId64 " us",
        STR_ARG(jv_text(answer, "version")), t->url, took);
    say(d, FINE, "store", NULL, "%.*s, schema %" PRId64, STR_ARG(jv_text(answer, "database")),
        jv_i64(answer, "schema", 0));
}

static void look_at_store(struct doctor *d)
{
    struct arena *a = arena_new(VIEW_ARENA_MAX);
    struct core *core = NULL;
    struct store_info info;
    struct err err = ERR_INIT;
    struct view v;
    char size[32];
    enum status st = a ? local_open(&d->o, false, &core, &err) : err_nomem(&err);

    if (st == ST_NOT_FOUND) {
        say(d, FINE, "store", NULL, "there is none yet: the first start makes it");
    } else if (st) {
        say(d, BAD, "store", keep_hint(d, &err), "%s", err.message);
    } else {
        core_view(core, a, &v);
        st = store_info(&v, &info, &err);
        if (st) {
            say(d, BAD, "store", keep_hint(d, &err), "%s", err.message);
        } else {
            render_bytes(info.size_bytes, size);
            say(d, FINE, "store", NULL, "%.*s, schema %" PRId64 ", %s", STR_ARG(info.database),
                info.schema, size);
        }
    }
    local_close(core);
    arena_free(a);
}

static void check_store(struct doctor *d)
{
    struct target t;
    struct err ignored = ERR_INIT;

    if (api_target_of_data(d->cli, d->o.data, &t, &ignored) == OK) {
        look_at_server(d, &t);
    } else {
        look_at_store(d);
    }
}

/* ---- disk ------------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Writes of a page, each synced, as a commit does them. Returns how many; the times are sorted. */
static size_t measure(int fd, int64_t *times)
{
    char page[SYNC_BYTES];
    int64_t end = clock_mono_ns() + (int64_t)SYNC_MS * 1000000;
    size_t n = 0;

    memset(page, 0x5a, sizeof(page));
    while (n < SYNCS_MAX && clock_mono_ns() < end) {
        int64_t from = clock_mono_ns();

        if (sys.pwrite(fd, page, sizeof(page), (off_t)(n % 256) * SYNC_BYTES) != SYNC_BYTES ||
            sys.fdatasync(fd) < 0) {
            return 0;
        }
        times[n++] = clock_mono_ns() - from;
    }
    qsort(times, n, sizeof(*times), by_value);
    return n;
}

static void say_syncs(struct doctor *d, const int64_t *times, size_t n)
{
    int64_t p50 = times[n / 2] / 1000, p99 = times[n - 1 - n / 100] / 1000, sum = 0, rate;

    for (size_t i = 0; i < n; i++) {
        sum += times[i];
    }
    rate = sum ? (int64_t)n * 1000000000 / sum : 0;
    say(d,
        p50 > 20000   ? BAD
        : p99 > 50000 ? WARN
                      : FINE,
        "disk sync",
        "every commit waits for one sync: put the data folder on an SSD, not on a network file system",
        "%" PRId64 " syncs/s, p50 %" PRId64 " us, p99 %" PRId64 " us", rate, p50, p99);
    if (p50 < 15) {
        say(d, WARN, "disk truth",
            "check that the disk is not in memory and its write cache is safe",
            "a sync takes only %" PRId64 " us: it may not reach a disk", p50);
    }
}

static void check_disk(struct doctor *d)
{
    char path[PATH_BYTES];
    int64_t *times = ARENA_ARRAY(d->cli->arena, int64_t, SYNCS_MAX);
    struct statvfs fs;
    char available[32];
    size_t n;
    int fd;

    if (statvfs(d->o.data, &fs) == 0) {
        uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
        uint64_t all = (uint64_t)fs.f_blocks * fs.f_frsize;
        enum verdict v = left < (64u << 20)                     ? BAD
                         : left < (1u << 30) || left < all / 20 ? WARN
                                                                : FINE;

        render_bytes((int64_t)left, available);
        say(d, v, "disk space", "make room: with a full disk every write is answered 503",
            "%s available (%d %%)", available, all ? (int)(left * 100 / all) : 0);
        if (fs.f_files && fs.f_favail < 1000) {
            say(d, WARN, "disk files", "make room: each large artifact is a file",
                "%llu more files possible", (unsigned long long)fs.f_favail);
        }
    }
    snprintf(path, sizeof(path), "%s/doctor.tmp", d->o.data);
    fd = sys.open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || !times) {
        say(d, BAD, "data folder", "name a folder this user may write to with --data DIR",
            "a file cannot be made in %s: %s", d->o.data, strerror(errno));
        return;
    }
    n = measure(fd, times);
    sys.close(fd);
    sys.unlink(path);
    if (n) {
        say_syncs(d, times, n);
    } else {
        say(d, BAD, "disk sync", "look at the disk and at the system's log",
            "writing or syncing fails: %s", strerror(errno));
    }
}

/* ---- clock --------------------------------------------------------------------------------------------------------------- */

static void check_clock(struct doctor *d, int64_t wall_from, int64_t mono_from)
{
    int64_t wall = clock_wall_ms(), drift = (wall - wall_from) - (clock_mono_ms() - mono_from);
    struct timex t = { .modes = 0 };
    char text[32];

    clock_rfc3339(wall, text);
    if (wall < 1735689600000) { /* 2025-01-01: before this program was written */
        say(d, BAD, "clock", "set the clock: times of runs come from it", "it is %s", text);
    } else if (drift > 200 || drift < -200) {
        say(d, WARN, "clock", "let one time service set the clock, slowly",
            "it jumped by %" PRId64 " ms meanwhile", drift);
    } else if (adjtimex(&t) == TIME_ERROR && (t.status & STA_UNSYNC)) {
        say(d, WARN, "clock", "start a time service (chrony, systemd-timesyncd)",
            "%s, not synchronised", text);
    } else {
        say(d, FINE, "clock", NULL, "%s", text);
    }
}

/* ---- limits ---------------------------------------------------------------------------------------------------------------- */

/* "MemAvailable:   123 kB" */
static int64_t memory_available(struct arena *a)
{
    struct str text, line, word;
    struct err err = ERR_INIT;
    int64_t kib = 0;

    if (fs_read_file(a, "/proc/meminfo", MEMINFO_MAX, &text, &err)) {
        return 0;
    }
    while (str_split(&text, '\n', &line)) {
        if (!str_starts(line, S("MemAvailable:"))) {
            continue;
        }
        line = str_trim(str_sub(line, 13, line.n));
        if (str_split(&line, ' ', &word) && num_parse_i64(word, &kib)) {
            return kib * 1024;
        }
    }
    return 0;
}

/* Whether bytes may come from a bucket. */
static bool has_bucket(const struct serve_options *o)
{
    bool has = o->blobs && str_starts(str_cstr(o->blobs), S("s3://"));

    for (size_t i = 0; !has && o->artifact_places && o->artifact_places[i]; i++) {
        has = str_starts(str_cstr(o->artifact_places[i]), S("s3://"));
    }
    return has;
}

static void check_limits(struct doctor *d)
{
    struct rlimit files;
    uint64_t want =
        (uint64_t)d->o.limits.conn_max * (has_bucket(&d->o) ? BUCKET_FILES : 1) + FILES_SPARE;
    int64_t memory = memory_available(d->cli->arena);
    int64_t wanted = (int64_t)(d->o.core.tail_bytes + d->o.core.head_bytes + d->o.core.key_bytes +
                               d->o.core.fragment_bytes) +
                     (int64_t)d->o.limits.bodies_max;
    char have[32], need[32];

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        say(d, files.rlim_cur < want ? WARN : FINE, "open files",
            "raise it (ulimit -n, LimitNOFILE=) or lower --http-connections",
            "%llu allowed, %llu connections may need up to %llu",
            (unsigned long long)files.rlim_cur, (unsigned long long)d->o.limits.conn_max,
            (unsigned long long)want);
    }
    if (memory > 0) {
        render_bytes(memory, have);
        render_bytes(wanted, need);
        say(d, memory < wanted ? WARN : FINE, "memory",
            "lower --http-bodies-max or the --store-*-bytes options",
            "%s available, caps add up to %s", have, need);
    }
}

static void check_exposure(struct doctor *d)
{
    bool loopback = true;

    for (unsigned i = 0; i < d->o.listen_n; i++) {
        struct str s = str_cstr(d->o.listen[i]);

        loopback = loopback && (str_starts(s, S("127.")) || str_starts(s, S("localhost:")) ||
                                str_starts(s, S("[::1]:")) || str_starts(s, S("unix:")));
    }
    if (loopback) {
        say(d, FINE, "exposure", NULL, "only this machine can reach %s", d->o.listen[0]);
    } else if (d->o.auth == SERVE_AUTH_NONE) {
        say(d, WARN, "exposure", "leave --auth none away, or let a proxy ask who calls",
            "whoever reaches %s may do everything", d->o.listen[0]);
    } else if (!d->o.tls_cert) {
        say(d, WARN, "exposure", "use --tls-cert and --tls-key, or a proxy that speaks TLS",
            "tokens cross the network unencrypted to %s", d->o.listen[0]);
    } else {
        say(d, FINE, "exposure", NULL, "%s asks for tokens and speaks TLS", d->o.listen[0]);
    }
}

/* ---- libraries --------------------------------------------------------------------------------------------------------------- */

static void check_library(struct doctor *d, const char *name, const char *file,
                          const char *needed_for, const char *hint, bool must)
{
    void *so = dlopen(file, RTLD_LAZY | RTLD_LOCAL);

    if (so) {
        say(d, FINE, name, NULL, "%s is there", file);
        dlclose(so);
    } else {
        say(d, must ? BAD : FINE, name, hint, "%s is not there; needed for %s", file, needed_for);
    }
}

static void check_versions(struct doctor *d)
{
    struct utsname u;

    if (uname(&u) == 0) {
        say(d, FINE, "versions", NULL, "cairn %s on %s %s (%s)", CAIRN_VERSION, u.sysname,
            u.release, u.machine);
    }
    check_library(d, "libpq", "libpq.so.5", "stores in PostgreSQL", "install the package libpq5",
                  d->o.store != NULL);
}

int command_doctor(struct cli *cli)
{
    static const struct column columns[] = {
        { "check", "CHECK", COLUMN_NAME },
        { "verdict", "VERDICT", 0 },
        { "found", "FOUND", 0 },
        { "advice", "WHAT TO DO", 0 },
    };
    struct doctor d = { .cli = cli };
    int64_t wall = clock_wall_ms(), mono = clock_mono_ms();
    enum status st = options_serve(cli, &d.o, &d.err);

    st = st ? st : fs_mkdirs(d.o.data, &d.err);
    st = st ? st : render_begin(&d.r, cli, columns, ARRAY_N(columns), false, &d.err);
    if (st) {
        return cli_fail(cli, st, &d.err);
    }
    log_setup(LOG_LEVEL_ERROR, false);
    check_store(&d);
    check_disk(&d);
    check_clock(&d, wall, mono);
    check_limits(&d);
    check_exposure(&d);
    check_versions(&d);
    if (d.st) {
        return cli_fail(cli, d.st, &d.err);
    }
    render_end(&d.r);
    return d.bad ? CLI_CONDITION : CLI_DONE;
}
