/* codec/csv.h - a writer of RFC 4180 CSV: CRLF at the end of a row, fields quoted only where they must be.
 * Thread rule: one thread at a time. */
#ifndef CAIRN_CODEC_CSV_H
#define CAIRN_CODEC_CSV_H

#include "base/buf.h"

struct csv_writer {
    struct buf *b;
    bool comma; /* internal: a field of this row is written */
};
#define CSV_WRITER_INIT(buf_ptr)                                                                   \
    {                                                                                              \
        .b = (buf_ptr)                                                                             \
    }

/* Quoted if it holds a comma, a quote, CR, LF, or starts or ends with a space; also the empty first field of a row, so
 * that a row of one empty field is not an empty line. */
void csv_str(struct csv_writer *w, struct str s);
void csv_i64(struct csv_writer *w, int64_t v);
void csv_double(struct csv_writer *w, double v); /* "nan", "inf", "-inf" for what is not finite */
void csv_end_row(struct csv_writer *w);

#endif
