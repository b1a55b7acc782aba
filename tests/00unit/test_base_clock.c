/* Clocks: order, replacement, and calendar text against the system's. */
#include "base/clock.h"
#include "tap.h"
#include <stdio.h>
#include <time.h>

TEST(system_clocks)
{
    int64_t wall = clock_wall_ms(), mono = clock_mono_ns();

    T_OK(wall > 1600000000000 && wall < 10000000000000);
    T_OK(clock_mono_ns() >= mono);
    T_OK(clock_mono_ms() >= mono / 1000000);
}

static int64_t ten(void *ctx)
{
    return ++*(int64_t *)ctx;
}

TEST(replaced)
{
    int64_t n = 10;
    struct clock_ops ops = { ten, ten, &n };

    clock_replace(&ops);
    T_INT(clock_wall_ms(), 11);
    T_INT(clock_mono_ns(), 12);
    clock_replace(NULL);
    T_OK(clock_wall_ms() > 1600000000000);
}

static void check_text(int64_t ms, const char *want)
{
    char text[32];

    clock_rfc3339(ms, text);
    T_CSTR(text, want);
}

TEST(rfc3339_known)
{
    check_text(0, "1970-01-01T00:00:00.000Z");
    check_text(-1, "1969-12-31T23:59:59.999Z");
    check_text(1795260777123, "2026-11-21T11:32:57.123Z");
    check_text(951782400000, "2000-02-29T00:00:00.000Z");
    check_text(253402300799999, "9999-12-31T23:59:59.999Z");
    check_text(253402300800000, "invalid");
    check_text(-62167219200000, "0000-01-01T00:00:00.000Z");
    check_text(-62167219200001, "invalid");
    check_text(INT64_MAX, "invalid");
    check_text(INT64_MIN, "invalid");
}

TEST(http_date_known)
{
    static const struct {
        int64_t ms;
        const char *want;
    } rows[] = { { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
                 { 784111777999, "Sun, 06 Nov 1994 08:49:37 GMT" },
                 { 1795260777123, "Sat, 21 Nov 2026 11:32:57 GMT" },
                 { -1, "invalid" },
                 { INT64_MAX, "invalid" } };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        char text[32];

        clock_http_date(rows[i].ms, text);
        T_CSTR(text, rows[i].want);
    }
}

TEST(days_known)
{
    T_INT(clock_days(1970, 1, 1), 0);
    T_INT(clock_days(1969, 12, 31), -1);
    T_INT(clock_days(2000, 2, 29), 11016);
    T_INT(clock_days(2000, 3, 1), 11017);
    T_INT(clock_days(2100, 3, 1) - clock_days(2100, 2, 28), 1);
    T_INT(clock_days(2026, 1, 1), 20454);
    T_INT(clock_days(0, 3, 1), -719468);
}

TEST(rfc3339_against_the_system)
{
    for (int i = 0; i < 200000; i++) {
        int64_t ms = (int64_t)t_rand_below(253402300800000 + 62135596800000) - 62135596800000;
        int64_t s = ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
        time_t t = (time_t)s;
        char got[32], want[64];
        struct tm tm;

        T_OK(gmtime_r(&t, &tm) != NULL);
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms - s * 1000));
        clock_rfc3339(ms, got);
        T_CSTR(got, want);
    }
}
