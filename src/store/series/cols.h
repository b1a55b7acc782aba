/* store/series/cols.h - columns of a pack: integers as delta of delta, values in the cheapest exact mode.
 * Every bit pattern of an int64 and of a double that is not NaN comes back; NaN comes back canonical. The value mode is
 * chosen per column, the first of: 0 constant (8 bytes), 1 decimal with exponent e in 0..6 (zigzag varint of q minus the previous
 * q, v = q / 10^e), 2 float (4 byte planes), 3 double (8 byte planes). NaN positions stand in a list behind the column
 * (count, gaps as varints); the column holds the previous value there.
 * Thread rule: pure functions. */
#ifndef CAIRN_STORE_SERIES_COLS_H
#define CAIRN_STORE_SERIES_COLS_H

#include "base/buf.h"
#include "store/series/point.h"

enum col_mode { COL_CONSTANT = 0, COL_DECIMAL = 1, COL_FLOAT = 2, COL_DOUBLE = 3 };
enum col_flags { COL_HAS_NAN = 1 };

/* The field of n points, one after another. */
void col_put_steps(struct buf *b, const struct point *p, size_t n);
void col_put_timestamps(struct buf *b, const struct point *p, size_t n);
/* Reads exactly n numbers into the field; r->bad on damage. */
void col_get_steps(struct rd *r, struct point *p, size_t n);
void col_get_timestamps(struct rd *r, struct point *p, size_t n);

struct col_head {
    uint8_t flags, mode, exponent;
};
/* Encodes the values of n > 0 points; scratch holds n doubles. */
void col_put_values(struct buf *b, const struct point *p, size_t n, double *scratch,
                    struct col_head *head);
/* r->bad on damage, including bytes left over. */
void col_get_values(struct rd *r, const struct col_head *head, struct point *p, size_t n);

#endif
