/* api/openlineage/in.c - reading an event's JSON piece by piece, and times. */
#include "api/openlineage/openlineage_int.h"
#include "base/clock.h"
#include <stdarg.h>
#include <stdio.h>

void ol_in_begin(struct ol_in *x, struct arena *a, struct str text, struct err *err)
{
    json_init(&x->r, text, 0, OL_JSON_DEPTH);
    x->a = a;
    x->err = err;
    x->warnings = NULL;
    x->st = OK;
    x->path[0] = '\0';
    x->path_n = 0;
}

void ol_in_end(struct ol_in *x)
{
    json_release(&x->r);
}

enum status ol_in_fail(struct ol_in *x, enum status st, const char *name, const char *fmt, ...)
{
    char text[ERR_MESSAGE_MAX], field[ERR_FIELD_MAX];
    va_list args;

    if (x->st) {
        return x->st;
    }
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(field, sizeof(field), "%.*s%s%s", ERR_FIELD_MAX - 40, x->path,
             x->path_n && name[0] ? "." : "", name);
    x->st = field[0] ? err_field(x->err, st, field, "%s", text) : err_set(x->err, st, "%s", text);
    return x->st;
}

void ol_in_warn(struct ol_in *x, const char *fmt, ...)
{
    char text[256];
    va_list args;
    struct str kept;

    if (!x->warnings || x->warnings->n == OL_WARNINGS_MAX) {
        return;
    }
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    kept = arena_str(x->a, str_cstr(text));
    if (kept.p) {
        x->warnings->text[x->warnings->n++] = kept;
    }
}

size_t ol_in_path(struct ol_in *x, const char *fmt, ...)
{
    size_t was = x->path_n, room = sizeof(x->path) - x->path_n;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(x->path + x->path_n, room, fmt, args);
    va_end(args);
    if (n > 0) {
        x->path_n = MIN_OF(was + (size_t)n, sizeof(x->path) - 1);
    }
    return was;
}

enum json_event ol_in_next(struct ol_in *x)
{
    enum json_event ev = x->st ? JSON_EV_ERROR : json_next(&x->r);

    if (ev == JSON_EV_ERROR && !x->st) {
        if (x->r.status == ST_NOMEM) {
            x->st = err_nomem(x->err);
        } else {
            (void)ol_in_fail(x, ST_BAD_REQUEST, "", "this is not JSON: %s at byte %zu", x->r.what,
                             json_offset(&x->r));
        }
    }
    return ev;
}

bool ol_in_key(struct ol_in *x, struct str *key)
{
    if (ol_in_next(x) != JSON_EV_KEY) {
        return false;
    }
    *key = json_text(&x->r, x->a);
    if (!key->p && !x->st) {
        x->st = err_nomem(x->err);
    }
    return !x->st;
}

/* The rest of a value that has begun with ev. */
static struct str rest_of(struct ol_in *x, enum json_event ev)
{
    const char *from = x->r.p - 1;

    switch (ev) {
    case JSON_EV_OBJECT:
    case JSON_EV_ARRAY:
        if (json_skip(&x->r) == JSON_EV_ERROR && !x->st) {
            (void)ol_in_fail(x, ST_BAD_REQUEST, "", "this is not JSON: %s at byte %zu", x->r.what,
                             json_offset(&x->r));
        }
        return str_of(from, (size_t)(x->r.p - from));
    case JSON_EV_STRING: return str_of(x->r.raw.p - 1, x->r.raw.n + 2);
    case JSON_EV_NUMBER: return x->r.raw;
    case JSON_EV_NULL: return S("null");
    case JSON_EV_TRUE: return S("true");
    case JSON_EV_FALSE: return S("false");
    case JSON_EV_ERROR:
    case JSON_EV_MORE:
    case JSON_EV_END:
    case JSON_EV_NAN:
    case JSON_EV_KEY:
    case JSON_EV_OBJECT_END:
    case JSON_EV_ARRAY_END: break;
    }
    return S("");
}

enum json_event ol_in_value(struct ol_in *x, struct str *raw)
{
    enum json_event ev = ol_in_next(x);

    *raw = rest_of(x, ev);
    return x->st ? JSON_EV_ERROR : ev;
}

struct str ol_in_text(struct ol_in *x)
{
    enum json_event ev = ol_in_next(x);
    struct str s = { NULL, 0 };

    if (ev != JSON_EV_STRING) {
        (void)rest_of(x, ev);
        return s;
    }
    s = json_text(&x->r, x->a);
    if (!s.p && !x->st) {
        x->st = err_nomem(x->err);
    }
    return s;
}

bool ol_in_object(struct ol_in *x)
{
    enum json_event ev = ol_in_next(x);

    if (ev == JSON_EV_OBJECT) {
        return true;
    }
    (void)rest_of(x, ev);
    return false;
}

bool ol_in_list(struct ol_in *x, enum json_event *first)
{
    *first = ol_in_next(x);
    if (*first == JSON_EV_ARRAY) {
        return true;
    }
    (void)rest_of(x, *first);
    return false;
}

bool ol_name_fits(struct str s, size_t max)
{
    return s.p && s.n && s.n <= max && str_find_byte(s, '\0', 0) == SIZE_MAX;
}

/* ---- times --------------------------------------------------------------------------------------------------------------------- */

/* n digits at *at. */
static bool digits(struct str s, size_t *at, size_t n, int64_t *out)
{
    *out = 0;
    if (s.n - *at < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++, (*at)++) {
        char c = s.p[*at];

        if (c < '0' || c > '9') {
            return false;
        }
        *out = *out * 10 + (c - '0');
    }
    return true;
}

static bool one_of(struct str s, size_t *at, const char *set)
{
    if (*at >= s.n || !strchr(set, s.p[*at]) || !s.p[*at]) {
        return false;
    }
    (*at)++;
    return true;
}

static bool date_fits(int64_t year, int64_t month, int64_t day)
{
    static const int64_t of_month[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month >= 1 && month <= 12 && day >= 1 && day <= of_month[month - 1] &&
           (leap || month != 2 || day <= 28);
}

static bool zone_of(struct str s, size_t *at, int64_t *minutes, bool *zone)
{
    int64_t h, m = 0, sign;

    *minutes = 0;
    *zone = *at < s.n;
    if (!*zone || one_of(s, at, "Zz")) {
        return true;
    }
    sign = s.p[*at] == '-' ? -1 : 1;
    if (!one_of(s, at, "+-") || !digits(s, at, 2, &h)) {
        return false;
    }
    (void)one_of(s, at, ":");
    if (*at < s.n && !digits(s, at, 2, &m)) {
        return false;
    }
    *minutes = sign * (h * 60 + m);
    return h <= 23 && m <= 59;
}

bool ol_time_read(struct str s, int64_t *us, bool *zone)
{
    int64_t year, month, day, hour, minute, second, digit, fraction = 0, scale = 100000, off;
    size_t at = 0;

    if (!digits(s, &at, 4, &year) || !one_of(s, &at, "-") || !digits(s, &at, 2, &month) ||
        !one_of(s, &at, "-") || !digits(s, &at, 2, &day) || !one_of(s, &at, "Tt ") ||
        !digits(s, &at, 2, &hour) || !one_of(s, &at, ":") || !digits(s, &at, 2, &minute) ||
        !one_of(s, &at, ":") || !digits(s, &at, 2, &second)) {
        return false;
    }
    if (one_of(s, &at, ".,")) {
        if (!digits(s, &at, 1, &digit)) {
            return false;
        }
        do {
            fraction += digit * scale;
            scale /= 10;
        } while (at < s.n && digits(s, &at, 1, &digit));
    }
    if (!zone_of(s, &at, &off, zone) || at != s.n || !date_fits(year, month, day) || hour > 23 ||
        minute > 59 || second > 60) {
        return false;
    }
    *us =
        (((clock_days(year, month, day) * 24 + hour) * 60 + minute - off) * 60 + second) * 1000000 +
        fraction;
    return true;
}
