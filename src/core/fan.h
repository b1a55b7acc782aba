/* core/fan.h - a read that falls into parts which know nothing of each other, done by its own pool thread and, as far as they are
 * free, by one or two others.
 * The caller works through the parts itself; the others join when they come to it, and nobody waits for one that has not begun. So
 * it is never slower than doing it alone, cannot deadlock however many do it at once, and under the simulator (and for a view that
 * is not of a pool thread) it is just a loop.
 * Thread rule: fan_out() on a pool thread. Parts run on any pool thread, each with a connection and an arena of its own. */
#ifndef CAIRN_CORE_FAN_H
#define CAIRN_CORE_FAN_H

#include "core/core.h"

enum { FAN_HELPERS = 2 };

/* Calls fn(ctx, i, view) for each i < n, in any order. A failure ends it: parts that have not begun are left out, and the first
 * failure by number is returned. The view's arena is emptied before each part, but for the caller's own: *v is used as it is, so
 * parts bring their own memory for what stays. */
enum status fan_out(struct view *v, size_t n,
                    enum status (*fn)(void *ctx, size_t i, struct view *v, struct err *err),
                    void *ctx, struct err *err);

#endif
