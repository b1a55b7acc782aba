/* inspect/jsonin_int.h - JSON out of a flow, in pieces: memory is one piece, whatever the length of the text.
 * A single text or number longer than JSONIN_MAX is ST_TOO_BIG, what is no JSON ST_CORRUPT. */
#ifndef CAIRN_INSPECT_JSONIN_INT_H
#define CAIRN_INSPECT_JSONIN_INT_H

#include "codec/json.h"
#include "inspect/inspect_int.h"

enum { JSONIN_MAX = 1 << 20, JSONIN_DEPTH = 200 };

struct jsonin {
    struct insp *x;
    struct flow *f;
    struct json_reader r;
    char *buf;
    size_t n, cap;
    bool last;
};
enum status jsonin_begin(struct jsonin *j, struct insp *x, struct flow *f, unsigned flags,
                         struct err *err) ATTR_CHECK;
void jsonin_release(struct jsonin *j);
/* The next event: never MORE or ERROR; END after the value. raw of the reader is good until the next call. */
enum status jsonin_next(struct jsonin *j, enum json_event *ev, struct err *err) ATTR_CHECK;
/* Nothing but white space follows. */
enum status jsonin_end(struct jsonin *j, struct err *err) ATTR_CHECK;

#endif
