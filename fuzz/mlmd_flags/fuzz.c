/* The command line of ML Metadata's own server, NUL between its words; what follows two NULs is the configuration file that it names as
 * CONFIG. What is taken becomes a command line of `cairn server`; what is refused says why. */
#include "server/mlmd_flags.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, ARGS_MAX = 24 };

static char file[] = "/tmp/fuzz-flags-XXXXXX";
static int fd = -1;

static void gone(void)
{
    (void)unlink(file);
}

static void write_file(struct str text)
{
    if (fd < 0) {
        fd = mkstemp(file);
        CHECK(fd >= 0 && atexit(gone) == 0);
    }
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, text.p, text.n, 0) == (ssize_t)text.n);
}

/* A copy that may be written to, as those of main() may; CONFIG in it is the file. */
static char *word(struct arena *a, struct str s)
{
    size_t at = str_find(s, S("CONFIG"));
    struct str out = at == SIZE_MAX ? arena_printf(a, "%.*s", STR_ARG(s))
                                    : arena_printf(a, "%.*s%s%.*s", STR_ARG(str_sub(s, 0, at)),
                                                   file, STR_ARG(str_sub(s, at + 6, s.n)));
    char *copy = arena_zalloc(a, out.n + 1, 1);

    CHECK(copy);
    memcpy(copy, out.p, out.n);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str all = str_of((const char *)data, n), notes;
    size_t cut = str_find(all, str_of("\0\0", 2));
    struct arena *a = arena_new(ARENA_MAX);
    char *argv[ARGS_MAX + 2] = { NULL }, **out;
    struct err err = ERR_INIT;
    int argc = 0, out_n = 0;
    struct str words;
    enum status st;

    CHECK(a);
    write_file(cut == SIZE_MAX ? S("") : str_sub(all, cut + 2, all.n));
    words = str_sub(all, 0, cut == SIZE_MAX ? all.n : cut);
    argv[argc++] = word(a, S("metadata_store_server"));
    while (words.n && argc < ARGS_MAX) {
        size_t end = str_find_byte(words, '\0', 0);

        argv[argc++] = word(a, str_sub(words, 0, end == SIZE_MAX ? words.n : end));
        words = str_sub(words, end == SIZE_MAX ? words.n : end + 1, words.n);
    }
    CHECK(mlmd_flags_are(argc, argv));
    st = mlmd_flags_turn(a, argc, argv, &out, &out_n, &notes, &err);
    if (st) {
        CHECK(err.message[0] && st != ST_INTERNAL && st != ST_NOMEM);
    } else {
        CHECK(out_n >= 2 && !out[out_n]);
        CHECK(str_eq_lit(str_cstr(out[0]), "cairn") && str_eq_lit(str_cstr(out[1]), "server"));
    }
    arena_free(a);
    return 0;
}
