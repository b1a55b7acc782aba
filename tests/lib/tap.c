/* tests/lib/tap.c - see tap.h.
 * The report of a test lies in memory shared with its process, so that it survives any way of dying. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NOTE_MAX = 16384, PATH_LEN = 512, DIR_N = 64, SHOW_MAX = 2000, EXIT_FAILED = 1 };

enum verdict { V_NONE, V_PASSED, V_FAILED, V_SKIPPED };

/* Written by the test, read by the parent after the test has ended. */
struct report {
    atomic_int verdict; /* enum verdict; the first failure wins over everything else */
    size_t note_n;
    char note[NOTE_MAX]; /* lines, without the leading "# " */
    char skip[256];
    char dir[PATH_LEN]; /* parent of all t_tmpdir() of this test, "" if none */
};

static struct tap_test *tests, **tests_tail = &tests;
static struct report *rep;
static uint64_t seed = 1;
static uint64_t rng[4];
static bool no_fork;

void tap_register(struct tap_test *t)
{
    *tests_tail = t;
    tests_tail = &t->next;
}

ATTR_FORMAT(1, 0)
static void note_add(const char *fmt, va_list ap)
{
    size_t room = NOTE_MAX - rep->note_n;
    int n = vsnprintf(rep->note + rep->note_n, room, fmt, ap);

    if (n < 0) return;
    rep->note_n += (size_t)n < room ? (size_t)n : room - 1;
    if (rep->note_n + 1 < NOTE_MAX) {
        rep->note[rep->note_n++] = '\n';
        rep->note[rep->note_n] = '\0';
    }
}

void t_note(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note_add(fmt, ap);
    va_end(ap);
}

void t_fail_at(const char *file, int line, const char *fmt, ...)
{
    char text[NOTE_MAX / 2];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    t_note("%s:%d: %s", file, line, text);
    atomic_store(&rep->verdict, V_FAILED);
    if (no_fork) {
        fputs(rep->note, stderr);
        abort(); /* stops a debugger at the check */
    }
    _exit(EXIT_FAILED);
}

void t_skip(const char *why)
{
    int none = V_NONE;

    snprintf(rep->skip, sizeof(rep->skip), "%s", why);
    atomic_compare_exchange_strong(&rep->verdict, &none, V_SKIPPED);
    _exit(0);
}

/* Printable form of bytes, in a static ring so that one message can show two. */
static const char *show(const void *p, size_t n)
{
    static char ring[2][SHOW_MAX + 16];
    static int at;
    char *o = ring[at ^= 1], *out = o;
    const unsigned char *c = p;
    size_t i;

    if (!p) return "NULL";
    *o++ = '"';
    for (i = 0; i < n && o < out + SHOW_MAX; i++) {
        if (c[i] == '"' || c[i] == '\\') {
            *o++ = '\\';
            *o++ = (char)c[i];
        } else if (c[i] >= 0x20 && c[i] < 0x7f) {
            *o++ = (char)c[i];
        } else {
            o += snprintf(o, 5, "\\x%02x", c[i]);
        }
    }
    snprintf(o, 8, "\"%s", i < n ? "..." : "");
    return out;
}

void tap_int(const char *file, int line, const char *what, int64_t got, int64_t want)
{
    if (got != want) {
        t_fail_at(file, line, "%s\n  got  %" PRId64 "\n  want %" PRId64, what, got, want);
    }
}

void tap_uint(const char *file, int line, const char *what, uint64_t got, uint64_t want)
{
    if (got != want) {
        t_fail_at(file, line, "%s\n  got  %" PRIu64 "\n  want %" PRIu64, what, got, want);
    }
}

void tap_dbl(const char *file, int line, const char *what, double got, double want)
{
    uint64_t g, w;

    memcpy(&g, &got, sizeof(g));
    memcpy(&w, &want, sizeof(w));
    if (g != w) {
        t_fail_at(file, line, "%s\n  got  %.17g (%016" PRIx64 ")\n  want %.17g (%016" PRIx64 ")",
                  what, got, g, want, w);
    }
}

void tap_str(const char *file, int line, const char *what, struct str got, struct str want)
{
    if (!str_eq(got, want)) {
        t_fail_at(file, line, "%s\n  got  %zu bytes %s\n  want %zu bytes %s", what, got.n,
                  show(got.p, got.n), want.n, show(want.p, want.n));
    }
}

void tap_cstr(const char *file, int line, const char *what, const char *got, const char *want)
{
    if (got && want ? strcmp(got, want) != 0 : got != want) {
        t_fail_at(file, line, "%s\n  got  %s\n  want %s", what, show(got, got ? strlen(got) : 0),
                  show(want, want ? strlen(want) : 0));
    }
}

void tap_mem(const char *file, int line, const char *what, const void *got, const void *want,
             size_t n)
{
    const unsigned char *g = got, *w = want;
    size_t i = 0, from, len;

    if (n == 0) return;
    if (!g || !w) t_fail_at(file, line, "%s\n  got  %p\n  want %p", what, got, want);
    while (i < n && g[i] == w[i]) {
        i++;
    }
    if (i == n) return;
    from = i < 8 ? 0 : i - 8;
    len = n - from < 32 ? n - from : 32;
    t_fail_at(file, line, "%s\n  differs at byte %zu of %zu; from byte %zu\n  got  %s\n  want %s",
              what, i, n, from, show(g + from, len), show(w + from, len));
}

void tap_st(const char *file, int line, const char *what, enum status got, enum status want,
            const struct err *err)
{
    if (got == want) return;
    t_fail_at(file, line, "%s\n  got  %s%s%s\n  want %s", what, status_row(got)->name,
              err && got ? ": " : "", err && got ? err->message : "", status_row(want)->name);
}

/* splitmix64, to spread a seed; then xoshiro256**. */
static uint64_t mix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void rng_start(const char *name)
{
    uint64_t x = seed;

    for (const char *c = name; *c; c++) {
        x = (x ^ (unsigned char)*c) * 0x100000001b3u;
    }
    for (int i = 0; i < 4; i++) {
        rng[i] = mix(&x);
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t t_rand(void)
{
    uint64_t r = rotl(rng[1] * 5, 7) * 9, t = rng[1] << 17;

    rng[2] ^= rng[0];
    rng[3] ^= rng[1];
    rng[1] ^= rng[2];
    rng[0] ^= rng[3];
    rng[2] ^= t;
    rng[3] = rotl(rng[3], 45);
    return r;
}

uint64_t t_rand_below(uint64_t n)
{
    return t_rand() % n;
}

const char *t_tmpdir(void)
{
    static char dirs[DIR_N][PATH_LEN + 8];
    static int n;
    const char *top = getenv("TMPDIR");

    if (n == DIR_N) T_FAIL("more than %d temporary directories", DIR_N);
    if (!rep->dir[0]) {
        snprintf(rep->dir, sizeof(rep->dir), "%s/cairn-test-XXXXXX", top && *top ? top : "/tmp");
        if (!mkdtemp(rep->dir)) {
            rep->dir[0] = '\0';
            T_FAIL("no temporary directory: %s", strerror(errno));
        }
    }
    snprintf(dirs[n], sizeof(dirs[n]), "%s/%d", rep->dir, n);
    if (mkdir(dirs[n], 0700) != 0) T_FAIL("%s: %s", dirs[n], strerror(errno));
    return dirs[n++];
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)at;
    if (kind == FTW_DNR) IGNORE_STATUS(chmod(path, 0700)); /* a test may have locked it */
    IGNORE_STATUS(remove(path)); /* what stays behind is not worth a failure */
    return 0;
}

static void remove_dir(void)
{
    if (rep->dir[0]) nftw(rep->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static ATTR_NORETURN void child_run(const struct tap_test *t)
{
    IGNORE_STATUS(setpgid(0, 0)); /* can only fail once the parent is gone */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* What a test prints must not be taken for TAP. */
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(EXIT_FAILED);
    rng_start(t->name);
    t->run();
    exit(0); /* runs the leak check and writes coverage */
}

static long number_in(const char *name)
{
    const char *e = getenv(name);
    long n = e ? strtol(e, NULL, 10) : 0;

    return n > 0 && n < 1000000 ? n : 0;
}

static int limit_of(const struct tap_test *t)
{
    long limit = number_in("CAIRN_TEST_TIMEOUT_S"), slow = number_in("CAIRN_TEST_SLOW");

    if (!limit) limit = t->timeout_s;
    return (int)(slow && slow < 1000 ? limit * slow : limit);
}

/* Waits for the test; true if it ended by itself in time. */
static bool wait_for(pid_t pid, int limit_s, int *status)
{
    struct pollfd p = { .fd = pidfd_open(pid, 0), .events = POLLIN };
    bool in_time = true;
    int rc;

    if (p.fd >= 0) {
        do {
            rc = poll(&p, 1, limit_s * 1000);
        } while (rc < 0 && errno == EINTR);
        in_time = rc != 0;
        close(p.fd);
    }
    if (!in_time) kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR) {
    }
    kill(-pid, SIGKILL); /* whatever it started and did not end */
    return in_time;
}

static enum verdict run_one(const struct tap_test *t)
{
    int status = 0, limit = limit_of(t);
    pid_t pid;

    memset(rep, 0, sizeof(*rep));
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        t_note("fork: %s", strerror(errno));
        return V_FAILED;
    }
    if (pid == 0) child_run(t);
    if (!wait_for(pid, limit, &status)) {
        t_note("no end within %d s", limit);
    } else if (WIFSIGNALED(status)) {
        t_note("killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != 0 && atomic_load(&rep->verdict) != V_FAILED) {
        t_note("exit code %d", WEXITSTATUS(status));
    }
    remove_dir();
    if (status != 0 || atomic_load(&rep->verdict) == V_FAILED) return V_FAILED;
    return atomic_load(&rep->verdict) == V_SKIPPED ? V_SKIPPED : V_PASSED;
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The TAP lines of one test; true unless it failed. */
static bool print_one(const struct tap_test *t, int n, enum verdict v, int64_t ms)
{
    printf("%s %d - %s%s%s\n", v == V_FAILED ? "not ok" : "ok", n, t->name,
           v == V_SKIPPED ? " # SKIP " : "", v == V_SKIPPED ? rep->skip : "");
    for (char *line = rep->note, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        printf("# %.*s\n", (int)(end - line), line);
        if (*end) end++;
    }
    if (v == V_FAILED) printf("# seed %" PRIu64 "; alone: --filter %s\n", seed, t->name);
    if (ms >= 2000) printf("# %s took %" PRId64 " ms\n", t->name, ms);
    fflush(stdout);
    return v != V_FAILED;
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--list] [--filter TEXT] [--seed N] [--no-fork]\n", program);
    return 2;
}

int main(int argc, char **argv)
{
    const char *filter = NULL, *env = getenv("CAIRN_TEST_SEED");
    bool list = false, good = true;
    int n = 0;

    if (env && *env) seed = strtoull(env, NULL, 10);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            list = true;
        } else if (strcmp(argv[i], "--no-fork") == 0) {
            no_fork = true;
        } else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
            filter = argv[++i];
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else {
            return usage(argv[0]);
        }
    }
    rep = mmap(NULL, sizeof(*rep), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rep == MAP_FAILED) return usage(argv[0]);
    for (struct tap_test *t = tests; t; t = t->next) {
        n += !filter || strstr(t->name, filter);
    }
    if (!list) printf("1..%d\n", n);
    n = 0;
    for (struct tap_test *t = tests; t; t = t->next) {
        int64_t from = now_ms();

        if (filter && !strstr(t->name, filter)) continue;
        if (list) {
            puts(t->name);
        } else if (no_fork) {
            rng_start(t->name);
            t->run();
        } else {
            enum verdict v = run_one(t);
            good = print_one(t, ++n, v, now_ms() - from) && good;
        }
    }
    return good ? 0 : 1;
}
