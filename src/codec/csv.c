/* codec/csv.c - see csv.h. */
#include "codec/csv.h"
#include "base/num.h"

static void comma(struct csv_writer *w)
{
    if (w->comma) buf_put_u8(w->b, ',');
    w->comma = true;
}

static bool needs_quotes(struct str s)
{
    if (s.p[0] == ' ' || s.p[s.n - 1] == ' ') return true;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ',' || s.p[i] == '"' || s.p[i] == '\r' || s.p[i] == '\n') return true;
    }
    return false;
}

void csv_str(struct csv_writer *w, struct str s)
{
    bool first = !w->comma;

    comma(w);
    if (s.n ? !needs_quotes(s) : !first) {
        buf_put_str(w->b, s);
        return;
    }
    buf_put_u8(w->b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"') buf_put_u8(w->b, '"');
        buf_put_u8(w->b, (unsigned char)s.p[i]);
    }
    buf_put_u8(w->b, '"');
}

void csv_i64(struct csv_writer *w, int64_t v)
{
    char out[NUM_I64_MAX];

    comma(w);
    buf_put(w->b, out, num_print_i64(v, out));
}

void csv_double(struct csv_writer *w, double v)
{
    char out[NUM_DOUBLE_MAX];

    comma(w);
    buf_put(w->b, out, num_print_double(v, out));
}

void csv_end_row(struct csv_writer *w)
{
    buf_put_lit(w->b, "\r\n");
    w->comma = false;
}
