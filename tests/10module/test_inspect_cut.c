/* The corpus of model files (fuzz/inspect/corpus), cut off everywhere and with bytes changed: always a report, within the limits. */
#include "base/fs.h"
#include "inspect/inspect.h"
#include "tap.h"

enum { FILES_MAX = 64, FILE_MAX = 1 << 20, CUTS = 60, CHANGES = 60 };

static struct arena *names;
static const char *paths[FILES_MAX];
static size_t paths_n;

static enum status note(void *ctx, const char *name, struct err *err)
{
    (void)ctx;
    (void)err;
    T_OK(paths_n < FILES_MAX);
    paths[paths_n++] = fs_join(names, CORPUS, name);
    return OK;
}

static void look(struct str bytes, bool whole)
{
    struct inspect_source source = inspect_bytes(&bytes);
    struct inspect_limits limits = inspect_limits_default;
    struct arena *a = arena_new(64 << 20);
    struct inspect_report r;
    struct err err = ERR_INIT;

    limits.items_max = 1000000;
    T_OK(a);
    T_ST_ERR(inspect_file(&source, S("model.pt"), a, &limits, &r, &err), OK, &err);
    T_OK(r.complete || r.findings_n > 0);
    T_OK(!whole || r.format.n > 0);
    T_OK(arena_bytes(a) < (size_t)8 << 20);
    arena_free(a);
}

TEST(files_cut_off_and_changed)
{
    struct err err = ERR_INIT;

    names = arena_new(8 << 20);
    T_OK(names);
    T_ST_ERR(fs_each(CORPUS, note, NULL, &err), OK, &err);
    T_OK(paths_n > 20);
    for (size_t i = 0; i < paths_n; i++) {
        struct arena *a = arena_new(4 << 20);
        struct str file;
        char *copy;

        T_OK(a);
        T_ST_ERR(fs_read_file(a, paths[i], FILE_MAX, &file, &err), OK, &err);
        look(file, true);
        for (size_t k = 0; k < CUTS; k++) {
            look(str_sub(file, 0, k < 20 ? k : (size_t)t_rand_below(file.n)), false);
        }
        copy = arena_alloc(a, file.n);
        T_OK(copy);
        for (size_t k = 0; k < CHANGES; k++) {
            memcpy(copy, file.p, file.n);
            for (size_t n = 0; n <= k % 4; n++) {
                copy[t_rand_below(file.n)] = (char)t_rand();
            }
            look(str_of(copy, file.n), false);
        }
        arena_free(a);
    }
    arena_free(names);
}
