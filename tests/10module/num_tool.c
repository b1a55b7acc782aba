/* tests/10module/num_tool.c - the other side of test_num_python.py.
 * print: doubles from standard input (8 bytes each), one text a line. parse: one text a line, bits in hex a line, '-' for a
 * refusal. json: as parse, with the grammar of JSON over the whole line. word: one byte '0' or '1' per code point. */
#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"
#include <inttypes.h>
#include <stdio.h>

static char *read_all(size_t *n)
{
    size_t cap = 1 << 20, got;
    char *p = mem_alloc(cap);

    *n = 0;
    while (p && (got = fread(p + *n, 1, cap - *n, stdin)) > 0) {
        *n += got;
        if (*n == cap) {
            cap *= 2;
            p = mem_realloc(p, cap);
        }
    }
    CHECK(p && feof(stdin));
    return p;
}

static void print_all(const char *p, size_t n)
{
    for (size_t at = 0; at + 8 <= n; at += 8) {
        char text[NUM_DOUBLE_MAX];
        double v;

        memcpy(&v, p + at, sizeof(v));
        fwrite(text, 1, num_print_double(v, text), stdout);
        putchar('\n');
    }
}

static void parse_all(struct str rest, bool json)
{
    struct str line;

    while (str_split(&rest, '\n', &line) && rest.p) {
        double v;
        bool taken =
            json ? line.n && num_scan_double(line, &v) == line.n : num_parse_double(line, &v);

        if (taken) {
            printf("%" PRIx64 "\n", num_double_bits(v));
        } else {
            puts("-");
        }
    }
}

int main(int argc, char **argv)
{
    struct str mode = str_cstr(argc == 2 ? argv[1] : "");
    size_t n;
    char *p;

    if (str_eq_lit(mode, "word")) {
        for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
            putchar(utf8_is_word(cp) ? '1' : '0');
        }
        return 0;
    }
    p = read_all(&n);
    if (str_eq_lit(mode, "print")) {
        print_all(p, n);
    } else {
        CHECK(str_eq_lit(mode, "parse") || str_eq_lit(mode, "json"));
        parse_all(str_of(p, n), str_eq_lit(mode, "json"));
    }
    mem_free(p);
    return fflush(stdout) == 0 ? 0 : 1;
}
