/* cli/out.c - stdout and stderr. */
#include "cli/out.h"
#include "base/fs.h"
#include "base/num.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 80, WIDTH_MIN = 20, WIDTH_MAX = 1000 };

static bool stdout_failed;

void out_write(int fd, struct str text)
{
    struct err err = ERR_INIT;

    if (text.n && fs_write_all(fd, text.p, text.n, &err) && fd == OUT_STDOUT) {
        stdout_failed = true;
    }
}

void out_printf(int fd, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n > 0) {
        out_write(fd, str_of(text, MIN_OF((size_t)n, sizeof(text) - 1)));
    }
}

bool out_failed(void)
{
    return stdout_failed;
}

bool out_is_tty(int fd)
{
    return isatty(fd) == 1;
}

unsigned out_width(int fd)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    uint64_t n;

    if (columns && num_parse_u64(str_cstr(columns), &n) && n >= WIDTH_MIN && n <= WIDTH_MAX) {
        return (unsigned)n;
    }
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= WIDTH_MIN) {
        return MIN_OF((unsigned)size.ws_col, (unsigned)WIDTH_MAX);
    }
    return WIDTH_DEFAULT;
}

bool out_color(enum out_color wish, int fd)
{
    const char *no = getenv("NO_COLOR"), *force = getenv("CLICOLOR_FORCE");

    if (wish != OUT_COLOR_AUTO) {
        return wish == OUT_COLOR_ALWAYS;
    }
    if (no && no[0]) {
        return false;
    }
    if (force && force[0] && strcmp(force, "0") != 0) {
        return true;
    }
    return out_is_tty(fd);
}
