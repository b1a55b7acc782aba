/* codec/query.h - query strings and percent encoding.
 * "a=1&b=x%20y&flag" is read argument by argument; messages are decoded with msg_decode_query(). '+' is a space in
 * arguments and itself in paths. Thread rule: pure functions. */
#ifndef CAIRN_CODEC_QUERY_H
#define CAIRN_CODEC_QUERY_H

#include "base/arena.h"
#include "base/buf.h"

/* Takes the next argument off *rest; raw, still encoded. False when nothing is left. Empty arguments ("a&&b") are skipped;
 * an argument without '=' has an empty value. */
bool query_next(struct str *rest, struct str *name, struct str *value);
/* Decodes %XX (and '+' as space if plus): borrows s if it holds neither, else copies into the arena. ST_BAD_REQUEST on
 * '%' without two hex digits; bytes are not checked for UTF-8. */
enum status query_decode(struct str s, bool plus, struct arena *a, struct str *out,
                         struct err *err) ATTR_CHECK;
/* The first argument of this name, decoded; *found is false if there is none. Its value must be valid UTF-8. */
enum status query_get(struct str query, struct str name, struct arena *a, struct str *out,
                      bool *found, struct err *err) ATTR_CHECK;
/* "true" or "false" in any case. */
bool query_bool(struct str s, bool *out);
/* Everything but A-Z a-z 0-9 - . _ ~ and the bytes of `keep` as %XX. */
void query_put(struct buf *b, struct str s, const char *keep);

#endif
