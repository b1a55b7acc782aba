/* store/process.c - see process.h. */
#include "store/process.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/num.h"

#include <stdio.h>
#include <unistd.h>

enum { ARENA_MAX = 1 << 20, FILE_BYTES = 4096, STATE_FIELD = 1, START_FIELD = 20 };

/* "<boot> <namespace>"; false when the system does not say. */
static bool place_text(struct arena *a, char *out, size_t size)
{
    struct err err = ERR_INIT;
    struct str boot;
    char link[64];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof(link));

    if (n <= 0 || fs_read_file(a, "/proc/sys/kernel/random/boot_id", FILE_BYTES, &boot, &err)) {
        return false;
    }
    boot = str_trim(boot);
    snprintf(out, size, "%.*s %.*s", STR_ARG(boot), (int)n, link);
    return boot.n > 0;
}

/* *state and *start of a process; false when there is none. */
static bool look(struct arena *a, int64_t pid, char *state, struct str *start)
{
    struct err err = ERR_INIT;
    struct str text, word, rest;
    char path[64];
    size_t at;
    int i = 0;

    *start = S("");
    *state = 0;
    snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    if (fs_read_file(a, path, FILE_BYTES, &text, &err)) {
        return false;
    }
    for (at = text.n; at > 0 && text.p[at - 1] != ')';) { /* the name before it may hold anything */
        at--;
    }
    rest = str_sub(text, at, text.n);
    for (; str_split(&rest, ' ', &word); i++) {
        if (i == STATE_FIELD && word.n > 0) *state = word.p[0];
        if (i == START_FIELD) *start = str_trim(word);
    }
    return start->n > 0;
}

void process_text(char out[PROCESS_TEXT_MAX])
{
    struct arena *a = arena_new(ARENA_MAX);
    char place[PROCESS_TEXT_MAX / 2 + 40], state;
    struct str start;

    out[0] = '\0';
    if (a && place_text(a, place, sizeof(place)) && look(a, getpid(), &state, &start)) {
        snprintf(out, PROCESS_TEXT_MAX, "%s %ld %.*s", place, (long)getpid(), STR_ARG(start));
    }
    arena_free(a);
}

bool process_is_gone(struct str line)
{
    struct arena *a = arena_new(ARENA_MAX);
    char place[PROCESS_TEXT_MAX / 2 + 40], state = 0;
    struct str pid_text, start, now;
    int64_t pid = 0;
    bool gone = false;

    if (a && place_text(a, place, sizeof(place)) && str_starts(line, str_cstr(place))) {
        line = str_trim(str_sub(line, strlen(place), line.n));
        if (str_split(&line, ' ', &pid_text) && num_parse_i64(pid_text, &pid) && pid > 0) {
            start = str_trim(line);
            gone =
                !look(a, pid, &state, &now) || !str_eq(now, start) || state == 'Z' || state == 'X';
        }
    }
    arena_free(a);
    return gone;
}
