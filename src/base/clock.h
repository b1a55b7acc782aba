/* base/clock.h - time, replaceable in tests and in the simulator.
 * Wall time is milliseconds UTC since 1970; monotonic time is nanoseconds since an arbitrary start.
 * Thread rule: any thread. */
#ifndef CAIRN_BASE_CLOCK_H
#define CAIRN_BASE_CLOCK_H

#include "base/compiler.h"

int64_t clock_wall_ms(void);
int64_t clock_mono_ns(void);
/* Processor time that the calling thread has used. With a replaced clock, its monotonic time. */
int64_t clock_thread_cpu_ns(void);
static inline int64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

struct clock_ops {
    int64_t (*wall_ms)(void *ctx);
    int64_t (*mono_ns)(void *ctx);
    void *ctx;
};
/* NULL restores the system's clock. Not while other threads run. */
void clock_replace(const struct clock_ops *ops);

/* "2026-11-21T11:32:57.123Z" and a NUL; years 0000..9999, else the text "invalid". */
void clock_rfc3339(int64_t wall_ms, char out[32]);
/* "Sat, 21 Nov 2026 11:47:20 GMT", as HTTP writes times; "invalid" before 1970 or after 9999. */
void clock_http_date(int64_t wall_ms, char out[32]);
/* Days since 1970-01-01 of a day of the civil calendar; months from 1 to 12. */
int64_t clock_days(int64_t year, int64_t month, int64_t day);

#endif
