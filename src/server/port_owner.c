/* server/port_owner.c - /proc/net/tcp says the inode of a listening socket, /proc/PID/fd who holds it. */
#include "server/port_owner.h"
#include "base/fs.h"
#include "base/num.h"
#include <stdio.h>
#include <unistd.h>

enum { TABLE_MAX = 8 << 20, ARENA_MAX = 32 << 20, PATH_BYTES = 512 };

struct search {
    struct str link; /* "socket:[1234]" */
    char dir[64];    /* "/proc/77/fd" */
    long pid;
};

/* " 0: 0100007F:1388 00000000:0000 0A ... inode": the inode of the listening socket; empty if the line is another. */
static struct str inode_of(struct str line, unsigned port)
{
    struct str word, found = S("");
    char want[8];
    unsigned i = 0;
    bool match = true;

    snprintf(want, sizeof(want), ":%04X", port);
    while (str_split(&line, ' ', &word)) {
        if (!word.n) {
            continue;
        }
        if (i == 1) match = match && str_ends(word, str_cstr(want));
        if (i == 3) match = match && str_eq_lit(word, "0A");
        if (i == 9) found = word;
        i++;
    }
    return match ? found : S("");
}

static struct str find_inode(struct arena *a, unsigned port)
{
    static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6" };

    for (size_t t = 0; t < ARRAY_N(tables); t++) {
        struct str text, line;
        struct err err = ERR_INIT;

        if (fs_read_file(a, tables[t], TABLE_MAX, &text, &err)) {
            continue;
        }
        while (str_split(&text, '\n', &line)) {
            struct str inode = inode_of(line, port);

            if (inode.n) {
                return inode;
            }
        }
    }
    return S("");
}

static enum status look_at_fd(void *ctx, const char *name, struct err *err)
{
    struct search *s = ctx;
    char path[PATH_BYTES], link[64];
    ssize_t n;

    (void)err;
    snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    n = readlink(path, link, sizeof(link));
    return n > 0 && str_eq(str_of(link, (size_t)n), s->link) ? ST_END : OK;
}

static enum status look_at_process(void *ctx, const char *name, struct err *err)
{
    struct search *s = ctx;
    struct err ignored = ERR_INIT;
    int64_t pid;

    (void)err;
    if (!num_parse_i64(str_cstr(name), &pid)) {
        return OK;
    }
    snprintf(s->dir, sizeof(s->dir), "/proc/%lld/fd", (long long)pid);
    if (fs_each(s->dir, look_at_fd, s, &ignored) == ST_END) {
        s->pid = (long)pid;
        return ST_END;
    }
    return OK;
}

long port_owner(unsigned port, char *name, size_t name_size)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct search s = { .pid = 0 };
    struct err err = ERR_INIT;
    struct str inode, comm;
    char path[64];

    name[0] = 0;
    inode = a ? find_inode(a, port) : S("");
    if (inode.n) {
        s.link = arena_printf(a, "socket:[%.*s]", STR_ARG(inode));
        IGNORE_STATUS(
            fs_each("/proc", look_at_process, &s, &err)); /* pid stays 0 when nothing is found */
    }
    if (s.pid) {
        snprintf(path, sizeof(path), "/proc/%ld/comm", s.pid);
        if (!fs_read_file(a, path, 64, &comm, &err)) {
            comm = str_trim(comm);
            snprintf(name, name_size, "%.*s", STR_ARG(comm));
        }
    }
    arena_free(a);
    return s.pid;
}
