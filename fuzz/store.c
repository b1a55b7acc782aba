/* fuzz/store.c - see store.h. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARENA_MAX = 64 << 20 };

static char folder[] = "/tmp/fuzz-store-XXXXXX";
static struct core *core;
static struct arena *arena;

static void done(void)
{
    static const char *const files[] = { "cairn.db", "cairn.db-wal", "cairn.db-shm", "lock" };
    char path[128];

    core_close(core);
    arena_free(arena);
    for (size_t i = 0; i < ARRAY_N(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

struct core *fuzz_store_open(struct arena **kept)
{
    struct core_options opt = { .artifact_root = S("mlflow-artifacts:/"), .readers = 1 };
    struct err err = ERR_INIT;

    CHECK(mkdtemp(folder));
    opt.sql.location = folder;
    arena = arena_new(ARENA_MAX);
    CHECK(arena && core_open(&core, &opt, &err) == OK);
    CHECK(atexit(done) == 0);
    *kept = arena;
    return core;
}
