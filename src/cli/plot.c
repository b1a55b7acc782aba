/* cli/plot.c - drawing curves, see plot.h.
 * A canvas has one byte of dots and one owner for each character; lines are drawn dot by dot, the curve drawn last owns
 * what several share. */
#include "cli/plot.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { GUTTER = 9, TICKS_MAX = 16, LABEL_MAX = 32, COLORS = 6 };

static const char *const colors[COLORS] = { "36", "33", "35", "32", "34", "31" };

struct canvas {
    const struct plot *p;
    unsigned w, h;   /* characters */
    unsigned sx, sy; /* dots per character */
    unsigned char *dots, *owner;
    bool *odd; /* by column: something is no number there */
    double x0, x1, y0, y1;
};

unsigned plot_dots(unsigned width, bool unicode)
{
    unsigned w = width > GUTTER + 10 ? width - GUTTER - 2 : 10;

    return unicode ? 2 * w : w;
}

static bool letters(const struct plot *p)
{
    return !p->unicode || (p->n > 1 && !p->color);
}

/* ---- numbers --------------------------------------------------------------------------------------------------------------- */

void plot_number(double v, char out[32])
{
    double size = fabs(v);

    if (v == 0) {
        snprintf(out, 32, "0");
    } else if (size >= 1e6 || size < 1e-4) {
        snprintf(out, 32, "%.3g", v);
    } else {
        snprintf(out, 32, "%.5g", v);
    }
}

void plot_span(double ms, char out[32])
{
    static const struct {
        double ms;
        const char *unit;
    } units[] = { { 86400e3, "d" }, { 3600e3, "h" }, { 60e3, "m" }, { 1e3, "s" } };

    for (size_t i = 0; i < ARRAY_N(units); i++) {
        if (fabs(ms) >= units[i].ms) {
            snprintf(out, 32, "%.4g%s", ms / units[i].ms, units[i].unit);
            return;
        }
    }
    snprintf(out, 32, ms == 0 ? "0s" : "%.4gms", ms);
}

static void label_of(const struct canvas *c, double x, char out[32])
{
    char when[32];

    if (c->p->axis == PLOT_SPAN) {
        plot_span(x, out);
    } else if (c->p->axis == PLOT_NUMBER || fabs(x) > 2.5e14) {
        plot_number(x, out);
    } else {
        clock_rfc3339((int64_t)x, when); /* 2026-11-21T15:04:05... */
        if (c->x1 - c->x0 < 86400e3) {
            snprintf(out, 32, "%.8s", when + 11);
        } else if (c->x1 - c->x0 < 30 * 86400e3) {
            snprintf(out, 32, "%.5s %.5s", when + 5, when + 11);
        } else {
            snprintf(out, 32, "%.10s", when);
        }
    }
}

/* 1, 2, 2.5 or 5 times a power of ten, at least v. */
static double round_up(double v)
{
    static const double round[] = { 1, 2, 2.5, 5 };
    double ten = pow(10, floor(log10(v)));

    for (size_t i = 0; i < ARRAY_N(round); i++) {
        if (v <= round[i] * ten) return round[i] * ten;
    }
    return 10 * ten;
}

/* Distance of ticks of which about n fit between lo and hi. */
static double tick_step(enum plot_axis axis, double lo, double hi, unsigned n)
{
    static const double spans[] = { 1e3,    2e3,    5e3,     10e3,    15e3,    30e3,
                                    60e3,   120e3,  300e3,   600e3,   900e3,   1800e3,
                                    3600e3, 7200e3, 14400e3, 21600e3, 43200e3, 86400e3 };
    double want = (hi - lo) / (double)MAX_OF(n, 1u);

    if (axis != PLOT_NUMBER && want >= spans[0] && want <= spans[ARRAY_N(spans) - 1]) {
        for (size_t i = 0; i < ARRAY_N(spans); i++) {
            if (spans[i] >= want) return spans[i];
        }
    }
    if (axis != PLOT_NUMBER && want > 86400e3) return 86400e3 * round_up(want / 86400e3);
    return round_up(want);
}

/* ---- the canvas ------------------------------------------------------------------------------------------------------------ */

static double share(double v, double lo, double hi)
{
    double span = hi - lo, part = isinf(span)
                                      ? v / 2 / (hi / 2 - lo / 2) - lo / 2 / (hi / 2 - lo / 2)
                                      : (v - lo) / span;

    return part < 0 ? 0 : part > 1 ? 1 : part;
}

static void dot(struct canvas *c, size_t line, unsigned x, unsigned y)
{
    static const unsigned char bits[4][2] = { { 1, 8 }, { 2, 16 }, { 4, 32 }, { 64, 128 } };
    size_t at = (size_t)(y / c->sy) * c->w + x / c->sx;

    c->dots[at] |= letters(c->p) ? 1 : bits[y % 4][x % 2];
    c->owner[at] = (unsigned char)(line % 255 + 1);
}

static unsigned dot_x(const struct canvas *c, double x)
{
    return (unsigned)lround(share(x, c->x0, c->x1) * (double)(c->w * c->sx - 1));
}

static unsigned dot_y(const struct canvas *c, double y)
{
    return (unsigned)lround((1 - share(y, c->y0, c->y1)) * (double)(c->h * c->sy - 1));
}

static void stroke(struct canvas *c, size_t line, unsigned ax, unsigned ay, unsigned bx,
                   unsigned by)
{
    unsigned dx = bx > ax ? bx - ax : ax - bx, dy = by > ay ? by - ay : ay - by;
    unsigned n = MAX_OF(MAX_OF(dx, dy), 1u);

    for (unsigned i = 0; i <= n; i++) {
        double t = (double)i / (double)n;

        dot(c, line, (unsigned)lround((double)ax + t * ((double)bx - (double)ax)),
            (unsigned)lround((double)ay + t * ((double)by - (double)ay)));
    }
}

static void draw_line(struct canvas *c, size_t line)
{
    const struct plot_line *l = &c->p->lines[line];
    bool joined = false;
    unsigned px = 0, py = 0;

    for (size_t i = 0; i < l->n; i++) {
        unsigned x = dot_x(c, l->m[i].x), y;

        if (!isfinite(l->m[i].y)) {
            c->odd[x / c->sx] = true;
            joined = false;
            continue;
        }
        y = dot_y(c, l->m[i].y);
        if (joined) {
            stroke(c, line, px, py, x, y);
        } else {
            dot(c, line, x, y);
        }
        joined = true;
        px = x;
        py = y;
    }
}

/* False when there is no point at all. */
static bool find_ranges(struct canvas *c)
{
    bool any_x = false, any_y = false;

    for (size_t k = 0; k < c->p->n; k++) {
        for (size_t i = 0; i < c->p->lines[k].n; i++) {
            const struct plot_mark *m = &c->p->lines[k].m[i];

            c->x0 = any_x ? fmin(c->x0, m->x) : m->x;
            c->x1 = any_x ? fmax(c->x1, m->x) : m->x;
            any_x = true;
            if (!isfinite(m->y)) continue;
            c->y0 = any_y ? fmin(c->y0, m->y) : m->y;
            c->y1 = any_y ? fmax(c->y1, m->y) : m->y;
            any_y = true;
        }
    }
    if (!any_y) c->y1 = 1;
    if (c->y0 == c->y1) { /* a level line in the middle */
        double pad = fmax(fabs(c->y0) / 10, fabs(c->y0) < 1e-300 ? 1 : 0);

        c->y0 -= pad;
        c->y1 += pad;
    }
    if (c->x0 == c->x1) {
        c->x0 -= 1;
        c->x1 += 1;
    }
    return any_x;
}

/* ---- printing -------------------------------------------------------------------------------------------------------------- */

static void color_on(struct buf *out, const struct plot *p, size_t line)
{
    if (p->color) buf_printf(out, "\033[%sm", colors[line % COLORS]);
}

static void color_off(struct buf *out, const struct plot *p)
{
    if (p->color) buf_put_lit(out, "\033[0m");
}

static char letter(size_t line)
{
    return line < 26 ? (char)('a' + line) : '#';
}

static void put_braille(struct buf *out, unsigned char dots)
{
    buf_put_u8(out, 0xe2);
    buf_put_u8(out, (unsigned char)(0xa0 + (dots >> 6)));
    buf_put_u8(out, (unsigned char)(0x80 + (dots & 0x3f)));
}

void plot_sample(struct buf *out, const struct plot *p, size_t i)
{
    color_on(out, p, i);
    if (!letters(p)) {
        put_braille(out, 0x12);
        put_braille(out, 0x12);
    } else {
        buf_put_u8(out, p->n > 1 ? (unsigned char)letter(i) : '*');
    }
    color_off(out, p);
}

static void put_row(struct buf *out, const struct canvas *c, unsigned row)
{
    unsigned last = 0;
    size_t owner = 0;

    for (unsigned x = 0; x < c->w; x++) {
        if (c->dots[(size_t)row * c->w + x]) last = x + 1;
    }
    for (unsigned x = 0; x < last; x++) {
        size_t at = (size_t)row * c->w + x;

        if (c->owner[at] != owner) {
            if (owner) color_off(out, c->p);
            owner = c->owner[at];
            if (owner) color_on(out, c->p, owner - 1);
        }
        if (!c->dots[at]) {
            buf_put_u8(out, ' ');
        } else if (!letters(c->p)) {
            put_braille(out, c->dots[at]);
        } else {
            buf_put_u8(out, c->p->n > 1 ? (unsigned char)letter(owner - 1) : '*');
        }
    }
    if (owner) color_off(out, c->p);
    buf_put_u8(out, '\n');
}

/* Which value stands beside each row; rows without one have NaN. */
static void find_y_ticks(const struct canvas *c, double *ticks)
{
    double step = tick_step(PLOT_NUMBER, c->y0, c->y1, MAX_OF(c->h / 2, 2u)), v;
    unsigned n = 0;

    for (unsigned r = 0; r < c->h; r++) {
        ticks[r] = (double)NAN;
    }
    if (!isfinite(step) || step <= 0) return;
    for (v = ceil(c->y0 / step) * step; v <= c->y1 && n < 4 * c->h; v += step, n++) {
        unsigned row = dot_y(c, v) / c->sy;

        if (isnan(ticks[row])) ticks[row] = fabs(v) < step / 1e6 ? 0 : v;
    }
}

static void put_body(struct buf *out, const struct canvas *c)
{
    double *ticks = (double *)mem_zalloc(c->h, sizeof(*ticks));

    if (!ticks) {
        out->failed = ST_NOMEM;
        return;
    }
    find_y_ticks(c, ticks);
    for (unsigned r = 0; r < c->h; r++) {
        char text[LABEL_MAX] = "";

        if (!isnan(ticks[r])) plot_number(ticks[r], text);
        buf_printf(out, "%*s ", (int)GUTTER - 1, text);
        if (c->p->unicode) {
            buf_put_cstr(out, text[0] ? "\u2524" : "\u2502");
        } else {
            buf_put_u8(out, text[0] ? '+' : '|');
        }
        put_row(out, c, r);
    }
    mem_free(ticks);
}

/* The labels under the axis, and on it the places they belong to. */
static void place_labels(const struct canvas *c, char *labels, bool *ticks)
{
    double step = tick_step(c->p->axis, c->x0, c->x1, MAX_OF(c->w / 14, 2u)), v;
    char before[LABEL_MAX] = "";
    size_t end = 0, n = 0;

    memset(labels, ' ', c->w);
    if (!isfinite(step) || step <= 0) return;
    for (v = ceil(c->x0 / step) * step; v <= c->x1 && n < 4 * c->w; v += step, n++) {
        unsigned at = dot_x(c, v) / c->sx;
        char text[LABEL_MAX];
        size_t len, from;

        label_of(c, fabs(v) < step / 1e6 ? 0 : v, text);
        len = strlen(text);
        if (len > c->w || strcmp(text, before) == 0) continue;
        from = at > len / 2 ? at - len / 2 : 0;
        from = MIN_OF(from, c->w - len);
        if (end > 0 && from < end + 1) continue;
        memcpy(labels + from, text, len);
        ticks[at] = true;
        memcpy(before, text, len + 1);
        end = from + len;
    }
}

static void put_axis(struct buf *out, const struct canvas *c)
{
    char *labels = (char *)mem_alloc(c->w + 1);
    bool *ticks = (bool *)mem_zalloc(c->w, sizeof(*ticks));
    size_t n = c->w;

    if (!labels || !ticks) {
        out->failed = ST_NOMEM;
        goto out;
    }
    place_labels(c, labels, ticks);
    buf_printf(out, "%*s%s", (int)GUTTER, "", c->p->unicode ? "\u2514" : "+");
    for (unsigned x = 0; x < c->w; x++) {
        if (c->odd[x]) {
            buf_put_cstr(out, c->p->unicode ? "\u00d7" : "x");
        } else if (ticks[x]) {
            buf_put_cstr(out, c->p->unicode ? "\u252c" : "+");
        } else {
            buf_put_cstr(out, c->p->unicode ? "\u2500" : "-");
        }
    }
    while (n > 0 && labels[n - 1] == ' ')
        n--;
    buf_printf(out, "\n%*s", (int)GUTTER + 1, "");
    buf_put_str(out, str_of(labels, n));
    buf_put_u8(out, '\n');
out:
    mem_free(labels);
    mem_free(ticks);
}

enum status plot_draw(struct buf *out, const struct plot *p, struct err *err)
{
    unsigned width = MIN_OF(MAX_OF(p->width, (unsigned)PLOT_WIDTH_MIN), (unsigned)PLOT_WIDTH_MAX);
    struct canvas c = { .p = p,
                        .w = width - GUTTER - 2,
                        .h = MIN_OF(MAX_OF(p->height, (unsigned)PLOT_HEIGHT_MIN),
                                    (unsigned)PLOT_HEIGHT_MAX),
                        .sx = letters(p) ? 1 : 2,
                        .sy = letters(p) ? 1 : 4 };
    size_t cells = (size_t)c.w * c.h;

    if (!find_ranges(&c)) {
        buf_printf(out, "%*s no points\n", (int)GUTTER, "");
        return buf_status(out, "picture", err);
    }
    c.dots = (unsigned char *)mem_zalloc(cells, 1);
    c.owner = (unsigned char *)mem_zalloc(cells, 1);
    c.odd = (bool *)mem_zalloc(c.w, sizeof(*c.odd));
    if (c.dots && c.owner && c.odd) {
        for (size_t i = 0; i < p->n; i++) {
            draw_line(&c, i);
        }
        put_body(out, &c);
        put_axis(out, &c);
    } else {
        out->failed = ST_NOMEM;
    }
    mem_free(c.dots);
    mem_free(c.owner);
    mem_free(c.odd);
    return buf_status(out, "picture", err);
}
