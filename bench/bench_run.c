/* bench/bench_run.c - runs a command and prints {"ms": 7.7, "rss_kb": 6100, "status": 0} behind its output: what a small parent measures. A
 * process begins with the memory of the one that started it, which would hide what a small command takes.
 *     bench_run COMMAND [ARGUMENT ...] */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    double start = now_ms();
    int status = 0, failed = argc < 2 ? EINVAL : 0;
    pid_t child = 0;

    if (!failed) {
        failed = posix_spawn(&child, argv[1], NULL, NULL, argv + 1, environ);
    }
    if (failed || wait4(child, &status, 0, &usage) != child) {
        fprintf(stderr, "bench_run: %s\n", strerror(failed ? failed : errno));
        return 1;
    }
    printf("\n{\"ms\": %.3f, \"rss_kb\": %ld, \"status\": %d}\n", now_ms() - start, usage.ru_maxrss,
           WIFEXITED(status) ? WEXITSTATUS(status) : 255);
    return 0;
}
