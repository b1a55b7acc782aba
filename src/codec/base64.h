/* codec/base64.h - base64 (RFC 4648) in its standard and URL alphabet. Thread rule: pure functions. */
#ifndef CAIRN_CODEC_BASE64_H
#define CAIRN_CODEC_BASE64_H

#include "base/arena.h"
#include "base/buf.h"

enum base64_flags {
    BASE64_STD = 0,    /* '+' and '/' */
    BASE64_URL = 1,    /* '-' and '_' */
    BASE64_NO_PAD = 2, /* no '=' at the end */
};

void base64_put(struct buf *b, struct str bytes, unsigned flags);
/* Accepts both alphabets, with or without padding, no white space. False on any other byte, a wrong length or
 * non-zero bits left over; *out is untouched then. ST_NOMEM cannot be told from that by the result: *nomem says it. */
bool base64_decode(struct str text, struct arena *a, struct str *out, bool *nomem) ATTR_CHECK;

#endif
