/* Log lines: form, quoting, cutting, levels; read back through a pipe that stands for stderr. */
#include "base/clock.h"
#include "base/exec.h"
#include "base/log.h"
#include "base/log_int.h"
#include "base/utf8.h"
#include "tap.h"
#include <sys/wait.h>
#include <unistd.h>

static int64_t fixed(void *ctx ATTR_UNUSED)
{
    return 1795260777123;
}

static char got[20000];

/* Runs fn with stderr in a pipe and returns what it wrote. */
static const char *captured(void (*fn)(void))
{
    static const struct clock_ops ops = { fixed, fixed, NULL };
    int fds[2], saved = dup(2);
    size_t n = 0;
    ssize_t part;

    T_OK(saved >= 0 && pipe(fds) == 0);
    clock_replace(&ops);
    dup2(fds[1], 2);
    close(fds[1]);
    fn();
    dup2(saved, 2);
    close(saved);
    while ((part = read(fds[0], got + n, sizeof(got) - 1 - n)) > 0) {
        n += (size_t)part;
    }
    close(fds[0]);
    got[n] = 0;
    clock_replace(NULL);
    return got;
}

static void three_lines(void)
{
    LOG_INFO("store", "opened %d", 7);
    LOG_DEBUG("store", "not seen");
    log_thread_request("r-1");
    LOG_WARN("net", "a \"b\" \\ \n\t\x01 \xc3\xa4");
    log_line(LOG_LEVEL_ERROR, "net", "r-2", "%s", "x");
    log_thread_request(NULL);
}

TEST(logfmt)
{
    log_setup(LOG_LEVEL_INFO, false);
    T_CSTR(
        captured(three_lines),
        "ts=2026-11-21T11:32:57.123Z level=info mod=store msg=\"opened 7\"\n"
        "ts=2026-11-21T11:32:57.123Z level=warn mod=net req=\"r-1\" msg=\"a \\\"b\\\" \\\\ \\n\\u0009\\u0001 \xc3\xa4\"\n"
        "ts=2026-11-21T11:32:57.123Z level=error mod=net req=\"r-2\" msg=\"x\"\n");
}

TEST(json)
{
    log_setup(LOG_LEVEL_WARN, true);
    T_OK(log_enabled(LOG_LEVEL_ERROR) && log_enabled(LOG_LEVEL_WARN) &&
         !log_enabled(LOG_LEVEL_INFO));
    T_CSTR(
        captured(three_lines),
        "{\"ts\":\"2026-11-21T11:32:57.123Z\",\"level\":\"warn\",\"mod\":\"net\",\"req\":\"r-1\","
        "\"msg\":\"a \\\"b\\\" \\\\ \\n\\u0009\\u0001 \xc3\xa4\"}\n"
        "{\"ts\":\"2026-11-21T11:32:57.123Z\",\"level\":\"error\",\"mod\":\"net\",\"req\":\"r-2\",\"msg\":\"x\"}\n");
}

static char long_text[9000];

static void long_line(void)
{
    LOG_INFO("x", "%s", long_text);
}

TEST(long_lines_are_cut_between_characters)
{
    for (size_t shift = 0; shift < 4; shift++) {
        const char *line;
        size_t n;

        memset(long_text, 'a', sizeof(long_text));
        for (size_t i = shift; i + 4 < sizeof(long_text); i += 4) {
            memcpy(long_text + i, "\xf0\x9f\x98\x80", 4);
        }
        long_text[sizeof(long_text) - 1] = 0;
        log_setup(LOG_LEVEL_INFO, true);
        line = captured(long_line);
        n = strlen(line);
        T_OK(n > 4000 && n <= 4096);
        T_OK(utf8_valid(str_of(line, n)));
        T_STR(str_of(line + n - 3, 3), "\"}\n");
    }
    memset(long_text, '"', sizeof(long_text) - 1);
    T_OK(strlen(captured(long_line)) <= 4096);
    memset(long_text, 1, sizeof(long_text) - 1);
    T_OK(strlen(captured(long_line)) <= 4096);
}

static void show_ring(void)
{
    log_ring_write(2, 2);
}

static void many(void)
{
    log_setup(LOG_LEVEL_INFO, false);
    LOG_INFO("m", "one");
    LOG_INFO("m", "two");
    LOG_INFO("m", "three");
}

TEST(the_ring_keeps_the_last_lines)
{
    captured(many);
    T_CSTR(captured(show_ring), "ts=2026-11-21T11:32:57.123Z level=info mod=m msg=\"two\"\n"
                                "ts=2026-11-21T11:32:57.123Z level=info mod=m msg=\"three\"\n");
    log_thread_request("abc");
    T_CSTR(log_thread_request_get(), "abc");
}

static void log_run(struct exec_job *job ATTR_UNUSED, unsigned worker)
{
    for (int i = 0; i < 10; i++) {
        LOG_INFO("m", "worker %u line %d of ten, long enough to be seen torn", worker, i);
    }
}

static void log_from_four(void)
{
    struct exec_job jobs[4] = {
        { log_run, NULL }, { log_run, NULL }, { log_run, NULL }, { log_run, NULL }
    };
    struct exec_pool *p;

    T_ST(exec_pool_new(&p, "log", 4, 4, NULL), OK);
    for (int i = 0; i < 4; i++) {
        T_ST(exec_pool_submit(p, &jobs[i]), OK);
    }
    exec_pool_free(p);
}

TEST(lines_of_threads_stay_whole)
{
    struct str rest, line;
    int n = 0;

    log_setup(LOG_LEVEL_INFO, false);
    rest = str_cstr(captured(log_from_four));
    while (str_split(&rest, '\n', &line) && rest.p) {
        T_OK(str_starts(line, S("ts=2026-11-21T11:32:57.123Z level=info mod=m msg=\"worker ")));
        T_OK(str_ends(line, S(" of ten, long enough to be seen torn\"")));
        n++;
    }
    T_INT(n, 40);
}

static void break_an_invariant(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        log_setup(LOG_LEVEL_INFO, false);
        LOG_INFO("m", "the last line");
        log_thread_request("r-9");
        CHECK(1 + 1 == 3);
        _exit(0);
    }
    T_OK(waitpid(pid, NULL, 0) == pid);
}

TEST(crash_report)
{
    struct str text = str_cstr(captured(break_an_invariant));

    T_OK(str_find(text, S("broken invariant at ")) != SIZE_MAX);
    T_OK(str_find(text, S("CHECK(1 + 1 == 3)")) != SIZE_MAX);
    T_OK(str_find(text, S("request: r-9\n")) != SIZE_MAX);
    T_OK(str_find(text, S("last log lines:\nts=")) != SIZE_MAX);
    T_OK(str_ends(text, S("msg=\"the last line\"\n")));
}
