/* Failpoints: errors, kills and exits at the passing that was asked for, and the list of points passed. */
#include "base/failpoint.h"
#include "tap.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef CAIRN_FAILPOINTS

TEST(errors)
{
    T_OK(!FAILPOINT_ERR("test.a"));
    failpoint_arm("test.a=error");
    T_OK(FAILPOINT_ERR("test.a"));
    T_OK(FAILPOINT_ERR("test.a"));
    T_OK(!FAILPOINT_ERR("test.b"));
    failpoint_arm("test.a=error:3,test.b=error:1");
    T_OK(!FAILPOINT_ERR("test.a"));
    T_OK(FAILPOINT_ERR("test.b"));
    T_OK(!FAILPOINT_ERR("test.b"));
    T_OK(!FAILPOINT_ERR("test.a"));
    T_OK(FAILPOINT_ERR("test.a"));
    T_OK(!FAILPOINT_ERR("test.a"));
    failpoint_arm(NULL);
    T_OK(!FAILPOINT_ERR("test.a"));
}

/* Passes "test.x" three times in a child, after arming spec there; returns the status of waitpid(). */
static int child(const char *spec, bool by_environment, int *passings)
{
    int fds[2], status;
    char c;
    pid_t pid;

    T_OK(pipe(fds) == 0);
    pid = fork();
    if (pid == 0) {
        close(2);
        if (by_environment) {
            setenv("CAIRN_FAILPOINT", spec, 1);
        } else {
            failpoint_arm(spec);
        }
        for (int i = 0; i < 3; i++) {
            FAILPOINT("test.x");
            if (write(fds[1], "x", 1) != 1) {
                _exit(3);
            }
        }
        _exit(0);
    }
    close(fds[1]);
    for (*passings = 0; read(fds[0], &c, 1) == 1; ++*passings) {
    }
    close(fds[0]);
    T_OK(waitpid(pid, &status, 0) == pid);
    return status;
}

TEST(kill_and_exit)
{
    for (int by_environment = 0; by_environment < 2; by_environment++) {
        int n, status = child("test.x=kill", by_environment, &n);

        T_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        T_INT(n, 0);
        status = child("test.x=kill:3", by_environment, &n);
        T_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        T_INT(n, 2);
        status = child("test.y=kill,test.x=exit:2", by_environment, &n);
        T_OK(WIFEXITED(status) && WEXITSTATUS(status) == FAILPOINT_EXIT_CODE);
        T_INT(n, 1);
        status = child("test.y=kill", by_environment, &n);
        T_OK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        T_INT(n, 3);
    }
}

TEST(a_spec_that_cannot_be_read_aborts)
{
    static const char *const bad[] = { "x", "x=", "=kill", "x=die", "x=kill:0", "a=kill,b" };

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        int n, status = child(bad[i], false, &n);

        T_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

TEST(list_of_passed_points)
{
    char path[600], text[200];
    ssize_t n;
    int fd, status;
    pid_t pid;

    snprintf(path, sizeof(path), "%s/list", t_tmpdir());
    setenv("CAIRN_FAILPOINT_LIST", path, 1);
    pid = fork();
    if (pid == 0) {
        FAILPOINT("test.one");
        FAILPOINT("test.two");
        FAILPOINT("test.one");
        failpoint_arm("test.three=kill");
        FAILPOINT("test.three"); /* listed before it acts */
        _exit(0);
    }
    T_OK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    fd = open(path, O_RDONLY);
    n = read(fd, text, sizeof(text));
    close(fd);
    T_STR(str_of(text, n > 0 ? (size_t)n : 0), "test.one\ntest.two\ntest.three\n");
}

#else

TEST(release_builds_have_none)
{
    failpoint_arm("test.a=error");
    T_OK(!FAILPOINT_ERR("test.a"));
}

#endif
