/* base/log.c - formatting of log lines, and the ring of the last ones. */
#include "base/log.h"
#include "base/clock.h"
#include "base/exec.h"
#include "base/log_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, RING_LINES = 1000, RING_LINE_BYTES = 256 };

static enum log_level max_level = LOG_LEVEL_INFO;
static bool as_json, to_journal;
static _Thread_local const char *thread_request;

static struct lock ring_lock = LOCK_INIT(LOCK_RANK_LOG);
static char ring[RING_LINES][RING_LINE_BYTES];
static size_t ring_next, ring_n;

static const char *const level_names[] = { "error", "warn", "info", "debug" };
/* syslog priorities: err, warning, info, debug */
static const char journal_prefixes[][4] = { "<3>", "<4>", "<6>", "<7>" };

/* JOURNAL_STREAM=device:inode names the stream when journald reads it. */
static bool is_journal(int fd)
{
    const char *want = getenv("JOURNAL_STREAM");
    struct stat info;
    char mine[64];

    if (!want || fstat(fd, &info) < 0) {
        return false;
    }
    snprintf(mine, sizeof(mine), "%llu:%llu", (unsigned long long)info.st_dev,
             (unsigned long long)info.st_ino);
    return strcmp(want, mine) == 0;
}

void log_setup(enum log_level level, bool json)
{
    max_level = level;
    as_json = json;
    to_journal = is_journal(2);
}

bool log_enabled(enum log_level level)
{
    return level <= max_level;
}

void log_thread_request(const char *req)
{
    thread_request = req;
}

const char *log_thread_request_get(void)
{
    return thread_request;
}

/* A line under construction; what does not fit is dropped. */
struct line {
    char p[LINE_MAX_BYTES];
    size_t n;
};

static void put_raw(struct line *l, const char *c, size_t n)
{
    n = MIN_OF(n, sizeof(l->p) - 2 - l->n); /* a closing character and the newline always fit */
    memcpy(l->p + l->n, c, n);
    l->n += n;
}

static void put_cstr(struct line *l, const char *c)
{
    put_raw(l, c, strlen(c));
}

/* Quoted as in JSON, which logfmt readers take as well. Room for one escape and the closing quote is kept. */
static void put_quoted(struct line *l, const char *c)
{
    put_cstr(l, "\"");
    for (; *c && l->n < sizeof(l->p) - 10; c++) {
        unsigned char u = (unsigned char)*c;
        char escape[8];

        if (u == '"' || u == '\\') {
            escape[0] = '\\';
            escape[1] = (char)u;
            put_raw(l, escape, 2);
        } else if (u == '\n') {
            put_cstr(l, "\\n");
        } else if (u < 0x20 || u == 0x7f) {
            snprintf(escape, sizeof(escape), "\\u%04x", u);
            put_cstr(l, escape);
        } else {
            put_raw(l, c, 1);
        }
    }
    /* The cut may lie inside a character: drop its beginning. */
    if (*c) {
        while (((unsigned char)l->p[l->n - 1] & 0xc0) == 0x80) {
            l->n--;
        }
        if ((unsigned char)l->p[l->n - 1] >= 0xc0) {
            l->n--;
        }
    }
    put_raw(l, "\"", 1);
}

static void format_line(struct line *l, enum log_level level, const char *module, const char *req,
                        const char *message)
{
    char ts[32];

    clock_rfc3339(clock_wall_ms(), ts);
    if (to_journal) {
        put_cstr(l, journal_prefixes[level]);
    }
    put_cstr(l, as_json ? "{\"ts\":\"" : "ts=");
    put_cstr(l, ts);
    put_cstr(l, as_json ? "\",\"level\":\"" : " level=");
    put_cstr(l, level_names[level]);
    put_cstr(l, as_json ? "\",\"mod\":\"" : " mod=");
    put_cstr(l, module);
    if (req && *req) {
        put_cstr(l, as_json ? "\",\"req\":" : " req=");
        put_quoted(l, req);
        put_cstr(l, as_json ? ",\"msg\":" : " msg=");
    } else {
        put_cstr(l, as_json ? "\",\"msg\":" : " msg=");
    }
    put_quoted(l, message);
    if (as_json) {
        l->p[l->n++] = '}';
    }
    l->p[l->n++] = '\n';
}

static void keep_line(const struct line *l)
{
    size_t n = MIN_OF(l->n - 1, (size_t)RING_LINE_BYTES - 1);

    lock_take(&ring_lock);
    memcpy(ring[ring_next], l->p, n);
    ring[ring_next][n] = 0;
    ring_next = (ring_next + 1) % RING_LINES;
    ring_n += ring_n < RING_LINES;
    lock_give(&ring_lock);
}

void log_line(enum log_level level, const char *module, const char *req, const char *fmt, ...)
{
    char message[LINE_MAX_BYTES];
    struct line l;
    int saved = errno;
    va_list ap;

    if (!log_enabled(level)) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    l.n = 0;
    format_line(&l, level, module, req ? req : thread_request, message);
    keep_line(&l);
    while (write(2, l.p, l.n) < 0 && errno == EINTR) {
    }
    errno = saved;
}

void log_ring_write(int fd, size_t newest_n)
{
    size_t n = MIN_OF(MIN_OF(newest_n, ring_n), (size_t)RING_LINES);

    for (size_t i = 0; i < n; i++) {
        const char *text = ring[(ring_next + RING_LINES - n + i) % RING_LINES];
        size_t len = strnlen(text, RING_LINE_BYTES);

        if (write(fd, text, len) < 0 || write(fd, "\n", 1) < 0) {
            return;
        }
    }
}
