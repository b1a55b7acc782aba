/* base/failpoint.c - finding the armed point, counting its passings, and the list of points passed. */
#include "base/failpoint.h"

#ifdef CAIRN_FAILPOINTS

#include "base/exec.h"
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ARMED_MAX = 8, PASSED_MAX = 1024, NAME_BYTES = 96 };
enum action { DO_KILL, DO_EXIT, DO_ERROR, DO_WAIT };

struct armed {
    char name[NAME_BYTES];
    enum action action;
    long left; /* passings until it acts; 0 = has acted; -1 = acts on every passing */
    long wait_ms;
};

/* 0 = the environment was not read yet, 1 = nothing to do, 2 = armed or listing. acquire/release: whoever reads 2 takes
 * the lock before looking further. */
static _Atomic int mode;
static struct lock guard = LOCK_INIT(LOCK_RANK_LEAF);
static struct armed armed[ARMED_MAX];
static size_t armed_n;
static const char *passed[PASSED_MAX];
static size_t passed_n;
static int list_fd = -1;

static const char *const action_names[] = {
    [DO_KILL] = "kill", [DO_EXIT] = "exit", [DO_ERROR] = "error", [DO_WAIT] = "wait"
};

/* "name=action[:n]" of n bytes. A spec that cannot be read is a mistake of the test: it must not pass silently. */
static void arm_one(const char *spec, size_t n)
{
    const char *eq = memchr(spec, '=', n), *end = spec + n, *colon;
    struct armed *a = &armed[armed_n];
    size_t action_len;

    CHECK(armed_n < ARMED_MAX && eq && eq > spec && (size_t)(eq - spec) < sizeof(a->name));
    memcpy(a->name, spec, (size_t)(eq - spec));
    a->name[eq - spec] = 0;
    eq++;
    colon = memchr(eq, ':', (size_t)(end - eq));
    action_len = (size_t)((colon ? colon : end) - eq);
    a->action = (enum action)ARRAY_N(action_names);
    for (size_t i = 0; i < ARRAY_N(action_names); i++) {
        if (strlen(action_names[i]) == action_len && memcmp(eq, action_names[i], action_len) == 0) {
            a->action = (enum action)i;
        }
    }
    CHECK((size_t)a->action < ARRAY_N(action_names));
    a->left = colon ? strtol(colon + 1, NULL, 10) : a->action == DO_ERROR ? -1 : 1;
    CHECK(a->left != 0 && (a->action != DO_WAIT || colon));
    a->wait_ms = 0;
    if (a->action == DO_WAIT) {
        a->wait_ms = a->left;
        a->left = -1;
    }
    armed_n++;
}

static void arm_all(const char *spec)
{
    armed_n = 0;
    while (spec && *spec) {
        size_t n = strcspn(spec, ",");

        arm_one(spec, n);
        spec += n;
        spec += *spec == ',';
    }
}

static void read_environment(void)
{
    const char *list;

    if (atomic_load_explicit(&mode, memory_order_relaxed) != 0) {
        return;
    }
    arm_all(getenv("CAIRN_FAILPOINT"));
    list = getenv("CAIRN_FAILPOINT_LIST");
    if (list && *list) {
        list_fd = open(list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        CHECK(list_fd >= 0);
    }
    atomic_store_explicit(&mode, armed_n || list_fd >= 0 ? 2 : 1, memory_order_release);
}

static void note_passed(const char *name)
{
    char line[NAME_BYTES + 1];
    int n;

    for (size_t i = 0; i < passed_n; i++) {
        if (strcmp(passed[i], name) == 0) {
            return;
        }
    }
    CHECK(passed_n < PASSED_MAX);
    passed[passed_n++] = name;
    n = snprintf(line, sizeof(line), "%s\n", name);
    CHECK(n > 0 && (size_t)n < sizeof(line) && write(list_fd, line, (size_t)n) == n);
}

static bool act(struct armed *a)
{
    if (a->left > 0 && --a->left > 0) {
        return false;
    }
    switch (a->action) {
    case DO_KILL:
        kill(getpid(), SIGKILL);
        for (;;) {
            pause();
        }
    case DO_EXIT: _exit(FAILPOINT_EXIT_CODE);
    case DO_ERROR:
    case DO_WAIT: break;
    }
    return true;
}

bool failpoint_hit(const char *name)
{
    bool hit = false;
    struct timespec wait = { 0 };

    if (LIKELY(atomic_load_explicit(&mode, memory_order_acquire) == 1)) {
        return false;
    }
    lock_take(&guard);
    read_environment();
    if (list_fd >= 0) {
        note_passed(name);
    }
    for (size_t i = 0; i < armed_n && !hit; i++) {
        if (armed[i].left != 0 && strcmp(armed[i].name, name) == 0) {
            hit = act(&armed[i]);
            wait = (struct timespec){ armed[i].wait_ms / 1000, armed[i].wait_ms % 1000 * 1000000 };
        }
    }
    lock_give(&guard);
    if (wait.tv_sec || wait.tv_nsec) {
        (void)nanosleep(&wait, NULL);
        return false;
    }
    return hit;
}

void failpoint_arm(const char *spec)
{
    lock_take(&guard);
    read_environment();
    arm_all(spec);
    atomic_store_explicit(&mode, armed_n || list_fd >= 0 ? 2 : 1, memory_order_release);
    lock_give(&guard);
}

#else

void failpoint_arm(const char *spec ATTR_UNUSED)
{
}

#endif
