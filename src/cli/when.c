/* cli/when.c - times as people write them. */
#include "cli/when.h"
#include "base/num.h"

static int64_t days_before_year(int64_t y)
{
    y--;
    return y * 365 + y / 4 - y / 100 + y / 400;
}

/* Two digits at `at`; -1 if they are none. */
static int two(struct str s, size_t at)
{
    if (at + 2 > s.n || s.p[at] < '0' || s.p[at] > '9' || s.p[at + 1] < '0' || s.p[at + 1] > '9') {
        return -1;
    }
    return (s.p[at] - '0') * 10 + s.p[at + 1] - '0';
}

/* Milliseconds, "2026-03-03", "2026-03-03T14:30" or "2026-03-03T14:30:05", the last two with or without Z; UTC. */
static bool time_parse(struct str s, int64_t *ms)
{
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    int64_t y, m, d, hour = 0, minute = 0, second = 0, days;
    bool leap;

    if (num_parse_i64(s, ms)) {
        return true;
    }
    if (s.n && s.p[s.n - 1] == 'Z') {
        s.n--;
    }
    if ((s.n != 10 && s.n != 16 && s.n != 19) || s.p[4] != '-' || s.p[7] != '-' || two(s, 0) < 0 ||
        two(s, 2) < 0) {
        return false;
    }
    y = two(s, 0) * 100 + two(s, 2);
    m = two(s, 5);
    d = two(s, 8);
    if (s.n > 10) {
        hour = s.p[10] == 'T' || s.p[10] == ' ' ? two(s, 11) : -1;
        minute = s.p[13] == ':' ? two(s, 14) : -1;
    }
    if (s.n > 16) {
        second = s.p[16] == ':' ? two(s, 17) : -1;
    }
    if (y < 1 || m < 1 || m > 12 || d < 1 || d > 31 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 59) {
        return false;
    }
    leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    days = days_before_year(y) - days_before_year(1970) + before[m - 1] + (m > 2 && leap) + d - 1;
    *ms = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000;
    return true;
}

enum status cli_time(const char *text, const char *option, int64_t *ms, struct err *err)
{
    if (time_parse(str_cstr(text), ms)) {
        return OK;
    }
    return err_field(
        err, ST_INVALID, option,
        "'%s' is no time: write 2026-03-03, 2026-03-03T14:30 (UTC) or milliseconds since 1970",
        text);
}
