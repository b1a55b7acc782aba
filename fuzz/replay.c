/* fuzz/replay.c - main() of a fuzz target in builds without libFuzzer: runs it once over every file of the corpus.
 * Arguments are files or folders (not searched deeper). Exit code 0 if nothing crashed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Runs one file; false if it cannot be read. The copy has no spare byte, so that a sanitizer sees an overrun. */
static int replay_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    int good = 0;

    if (!f || fstat(fileno(f), &st) != 0) goto out;
    data = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (!data || fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size) goto out;
    LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
    good = 1;
out:
    if (!good) perror(path);
    free(data);
    if (f) fclose(f);
    return good;
}

static int replay_dir(const char *path, int *n)
{
    char file[4096];
    struct dirent *e;
    DIR *d = opendir(path);
    int good = 1;

    if (!d) {
        ++*n;
        return replay_file(path);
    }
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.') continue;
        snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        good = replay_file(file) && good;
        ++*n;
    }
    closedir(d);
    return good;
}

int main(int argc, char **argv)
{
    int good = argc > 1, n = 0;

    for (int i = 1; i < argc; i++) {
        good = replay_dir(argv[i], &n) && good;
    }
    printf("%d inputs\n", n);
    return good && n > 0 ? 0 : 1;
}
