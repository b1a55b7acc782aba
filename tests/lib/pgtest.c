/* tests/lib/pgtest.c - see pgtest.h.
 * A keeper process (a child of init) runs the server, starts it again when it dies, and ends it and removes its folder
 * when its owner (the test program, or one test) is gone. While the file DIR/hold exists the server stays down. */
#include "pgtest.h"
#include "tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_LEN = 256, ARG_N = 32, READY_TRIES = 600, OUTPUT_MAX = 8192 };

static pid_t program; /* the test program: tests run in its children */

__attribute__((constructor)) static void remember_program(void)
{
    program = getpid();
}

static const char *bin(const char *name)
{
    static char path[4][PATH_LEN];
    static int at;
    const char *dir = getenv("CAIRN_PG_BIN");

    at = (at + 1) & 3;
    snprintf(path[at], PATH_LEN, "%s/%s", dir ? dir : "/usr/lib/postgresql/15/bin", name);
    return path[at];
}

static void nap_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&t, NULL);
}

/* PostgreSQL refuses to run as root. */
static void drop_rights(void)
{
    struct passwd *user;

    if (geteuid() != 0) return;
    user = getpwnam("postgres");
    if (!user) user = getpwnam("nobody");
    if (!user || setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)) _exit(98);
}

/* Starts argv[0]; its output goes to `out` (or nowhere when negative). */
static pid_t spawn(const char *const *argv, int out, bool as_postgres)
{
    char *args[ARG_N];
    size_t n = 1;
    pid_t pid;

    while (argv[n - 1] && n < ARG_N) {
        n++;
    }
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        dup2(null, 0);
        dup2(out >= 0 ? out : null, 1);
        dup2(out >= 0 ? out : null, 2);
        if (as_postgres) drop_rights();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("LC_ALL", "C.UTF-8", 1);
        unsetenv("PGPASSFILE");
        memcpy(args, argv, n * sizeof(args[0])); /* execv() wants them without const */
        execv(args[0], args);
        _exit(99);
    }
    return pid;
}

static int finish(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) || getsockname(fd, (struct sockaddr *)&a, &n))
        _exit(97);
    close(fd);
    return ntohs(a.sin_port);
}

static bool exists(const char *dir, const char *name)
{
    char path[PATH_LEN];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static pid_t run_server(const char *dir, int port, int log)
{
    char db[PATH_LEN], port_text[16], sockets[PATH_LEN];
    const char *argv[] = { bin("postgres"),
                           "-D",
                           db,
                           "-p",
                           port_text,
                           "-c",
                           "listen_addresses=127.0.0.1",
                           "-c",
                           sockets,
                           "-c",
                           "max_connections=60",
                           "-c",
                           "shared_buffers=32MB",
                           NULL };

    snprintf(db, sizeof(db), "%s/db", dir);
    snprintf(port_text, sizeof(port_text), "%d", port);
    snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", dir);
    return spawn(argv, log, true);
}

static void keep(const char *dir, int port, pid_t owner, int log)
{
    struct pollfd fd = { .fd = pidfd_open(owner, 0), .events = POLLIN };
    const char *rm[] = { "/bin/rm", "-rf", dir, NULL };
    pid_t server = -1;

    while (fd.fd >= 0 && poll(&fd, 1, 20) == 0) {
        if (server > 0 && waitpid(server, NULL, WNOHANG) == server) server = -1;
        if (server < 0 && !exists(dir, "hold")) server = run_server(dir, port, log);
    }
    if (server > 0) {
        kill(server, SIGQUIT);
        finish(server);
    }
    finish(spawn(rm, -1, false));
}

/* In the keeper: a new cluster, then the server. */
ATTR_NORETURN static void keeper(const char *dir, pid_t owner)
{
    char db[PATH_LEN], path[PATH_LEN], port_text[16];
    const char *initdb[] = { bin("initdb"), "-D", db,     "-U",        "postgres", "-A",
                             "trust",       "-E", "UTF8", "--no-sync", NULL };
    int log, fd, port = free_port();

    setsid();
    prctl(PR_SET_PDEATHSIG, 0);
    snprintf(path, sizeof(path), "%s/log", dir);
    log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* nobody waits for an end of file of ours */
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(fd, 0);
    dup2(log, 1);
    dup2(log, 2);
    snprintf(db, sizeof(db), "%s/db", dir);
    if (finish(spawn(initdb, log, true))) _exit(1);
    snprintf(path, sizeof(path), "%s/port", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    snprintf(port_text, sizeof(port_text), "%d", port);
    if (write(fd, port_text, strlen(port_text)) < 0) _exit(1);
    close(fd);
    keep(dir, port, owner, log);
    _exit(0);
}

/* Reads DIR/port, "" until the keeper has written it. */
static void read_port(const char *dir, char out[16])
{
    char path[PATH_LEN];
    ssize_t n = 0;
    int fd;

    snprintf(path, sizeof(path), "%s/port", dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, out, 15);
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
}

static void wait_ready(const char *dir)
{
    char port[16];

    for (int i = 0; i < READY_TRIES; i++) {
        const char *argv[] = { bin("pg_isready"), "-q", "-h", "127.0.0.1", "-p", port, NULL };

        read_port(dir, port);
        if (port[0] && finish(spawn(argv, -1, false)) == 0) return;
        nap_ms(50);
    }
    T_FAIL("PostgreSQL does not start: see %s/log", dir);
}

static void start_in(const char *dir, pid_t owner)
{
    pid_t pid;

    if (geteuid() == 0) {
        struct passwd *user = getpwnam("postgres");

        if (!user) user = getpwnam("nobody");
        T_OK(user && chown(dir, user->pw_uid, user->pw_gid) == 0);
    }
    pid = fork();
    if (pid == 0) {
        if (fork() == 0) keeper(dir, owner);
        _exit(0);
    }
    finish(pid);
}

static void need_postgres(void)
{
    if (access(bin("initdb"), X_OK) == 0) return;
    if (getenv("CI")) T_FAIL("PostgreSQL 15 is not installed");
    T_SKIP("PostgreSQL 15 is not installed");
}

const char *pgtest_psql(const char *uri, const char *sql)
{
    static char out[OUTPUT_MAX];
    const char *argv[] = {
        bin("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", uri, "-c", sql, NULL
    };
    size_t n = 0;
    int fd[2];
    pid_t pid;

    T_OK(pipe2(fd, O_CLOEXEC) == 0);
    pid = spawn(argv, fd[1], false);
    close(fd[1]);
    while (n < sizeof(out) - 1) {
        ssize_t got = read(fd[0], out + n, sizeof(out) - 1 - n);

        if (got <= 0) break;
        n += (size_t)got;
    }
    close(fd[0]);
    out[n] = '\0';
    if (finish(pid)) T_FAIL("psql -c '%s': %s", sql, out);
    while (n && out[n - 1] == '\n') {
        out[--n] = '\0';
    }
    return out;
}

/* A new database beside the one that `server` names, which has a path and no query part. */
static void new_database(const char *server, char *out, size_t out_n)
{
    static int made;
    char sql[128], name[48];
    const char *slash = strrchr(server, '/');

    snprintf(name, sizeof(name), "t%ld_%d", (long)getpid(), ++made);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    pgtest_psql(server, sql);
    snprintf(out, out_n, "%.*s/%s", (int)(slash - server), server, name);
}

const char *pgtest_uri(void)
{
    static char uri[8][128];
    static int at;
    const char *given = getenv("CAIRN_TEST_POSTGRES");
    char dir[64], server[128], port[16];

    at = (at + 1) & 7;
    if (given && *given) {
        new_database(given, uri[at], sizeof(uri[at]));
        return uri[at];
    }
    need_postgres();
    snprintf(dir, sizeof(dir), "/tmp/cairn-pgtest-%ld", (long)program);
    if (mkdir(dir, 0755) == 0) {
        start_in(dir, program);
    } else {
        T_INT(errno, EEXIST);
    }
    wait_ready(dir);
    read_port(dir, port);
    snprintf(server, sizeof(server), "postgresql://postgres@127.0.0.1:%s/postgres", port);
    new_database(server, uri[at], sizeof(uri[at]));
    return uri[at];
}

void pgtest_start(struct pgtest_server *s)
{
    char server[128], port[16];

    need_postgres();
    snprintf(s->dir, sizeof(s->dir), "/tmp/cairn-pgtest-XXXXXX");
    T_OK(mkdtemp(s->dir) != NULL);
    start_in(s->dir, getpid());
    wait_ready(s->dir);
    read_port(s->dir, port);
    snprintf(server, sizeof(server), "postgresql://postgres@127.0.0.1:%s/postgres", port);
    new_database(server, s->uri, sizeof(s->uri));
}

void pgtest_kill(struct pgtest_server *s)
{
    char path[PATH_LEN], text[32];
    ssize_t n;
    long pid;
    int fd;

    snprintf(path, sizeof(path), "%s/hold", s->dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    T_OK(fd >= 0);
    close(fd);
    snprintf(path, sizeof(path), "%s/db/postmaster.pid", s->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    T_OK(n > 0);
    text[n] = '\0';
    pid = strtol(text, NULL, 10);
    T_OK(pid > 1 && kill((pid_t)pid, SIGKILL) == 0);
}

void pgtest_up(struct pgtest_server *s)
{
    char path[PATH_LEN];

    snprintf(path, sizeof(path), "%s/hold", s->dir);
    unlink(path);
    wait_ready(s->dir);
}
