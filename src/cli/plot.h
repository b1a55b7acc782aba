/* cli/plot.h - curves drawn with characters: axes with round numbers, dots of braille (2 x 4 in a character), colours per curve.
 * Without Unicode, or with several curves and no colours, each curve is drawn with a letter of its own.
 * Ownership: everything is borrowed. Thread rule: pure functions. */
#ifndef CAIRN_CLI_PLOT_H
#define CAIRN_CLI_PLOT_H

#include "base/buf.h"

/* A point of a curve, x rising. y that is NaN or infinite breaks the line; the axis below it says so. */
struct plot_mark {
    double x, y;
};
struct plot_line {
    const struct plot_mark *m;
    size_t n;
};

enum plot_axis {
    PLOT_NUMBER,
    PLOT_TIME, /* milliseconds since the epoch, as UTC */
    PLOT_SPAN  /* milliseconds */
};

enum { PLOT_WIDTH_MIN = 30, PLOT_WIDTH_MAX = 1000, PLOT_HEIGHT_MIN = 3, PLOT_HEIGHT_MAX = 200 };

struct plot {
    unsigned width;  /* of the whole picture */
    unsigned height; /* of the curves; two lines more for the axis */
    bool unicode, color;
    enum plot_axis axis;
    const struct plot_line *lines;
    size_t n;
};

/* Columns for the curves themselves, in dots: as much as is worth asking for. */
unsigned plot_dots(unsigned width, bool unicode);
/* The picture, line by line; "no points" when there is none. */
enum status plot_draw(struct buf *out, const struct plot *p, struct err *err) ATTR_CHECK;
/* What curve i is drawn with: a coloured sample, or its letter. */
void plot_sample(struct buf *out, const struct plot *p, size_t i);
/* At most 7 characters or so: 1234, 0.01234, 1.2e-05. */
void plot_number(double v, char out[32]);
/* 950ms, 12s, 3.5m, 2h, 4d */
void plot_span(double ms, char out[32]);

#endif
