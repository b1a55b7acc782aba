/* base/clock.c - the system's clocks behind one replaceable pair of functions. */
#include "base/clock.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t system_wall_ms(void *ctx ATTR_UNUSED)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono_ns(void *ctx ATTR_UNUSED)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static const struct clock_ops system_clock = { system_wall_ms, system_mono_ns, NULL };
static struct clock_ops in_force = { system_wall_ms, system_mono_ns, NULL };

int64_t clock_wall_ms(void)
{
    return in_force.wall_ms(in_force.ctx);
}

int64_t clock_mono_ns(void)
{
    return in_force.mono_ns(in_force.ctx);
}

int64_t clock_thread_cpu_ns(void)
{
    struct timespec ts;

    if (in_force.mono_ns != system_mono_ns) {
        return clock_mono_ns();
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void clock_replace(const struct clock_ops *ops)
{
    in_force = ops ? *ops : system_clock;
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar. Years are counted from 1 March, so that the leap
 * day is the last of its year; 400 years have 146097 days. */
static void date_of_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t z = days + 719468; /* days since 0000-03-01 */
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153; /* 0 = March */

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int64_t)yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

void clock_rfc3339(int64_t wall_ms, char out[32])
{
    int64_t days = wall_ms / 86400000, ms = wall_ms % 86400000, year;
    unsigned month, day, left;

    if (ms < 0) {
        ms += 86400000;
        days--;
    }
    date_of_days(days, &year, &month, &day);
    if (year < 0 || year > 9999) {
        memcpy(out, "invalid", 8);
        return;
    }
    left = (unsigned)ms;
    snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year, month, day,
             left / 3600000, left / 60000 % 60, left / 1000 % 60, left % 1000);
}

void clock_http_date(int64_t wall_ms, char out[32])
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char iso[32];
    unsigned month;
    size_t day = (size_t)(((wall_ms / 86400000) % 7 + 7) % 7) * 3;

    clock_rfc3339(wall_ms, iso); /* 2026-11-21T11:47:20 */
    if (wall_ms < 0 || iso[0] == 'i') {
        memcpy(out, "invalid", 8);
        return;
    }
    month = (unsigned)(iso[5] - '0') * 10 + (unsigned)(iso[6] - '0');
    month = month >= 1 && month <= 12 ? month - 1 : 0;
    (void)snprintf(out, 32, "%.3s, %.2s %.3s %.4s %.8s GMT", days + day, iso + 8,
                   months + (size_t)month * 3, iso, iso + 11);
}

/* By eras of 400 years that begin in March. */
int64_t clock_days(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400,
            of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}
