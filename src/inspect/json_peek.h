/* inspect/json_peek.h - a look into JSON that is kept as it came: members by name, elements of lists.
 * What is not as expected (another type, nothing there, broken) is as if it were not there: nobody is told.
 * Ownership: results borrow from the text, and from the arena where characters were escaped. Thread rule: pure. */
#ifndef CAIRN_INSPECT_JSON_PEEK_H
#define CAIRN_INSPECT_JSON_PEEK_H

#include "base/arena.h"
#include "base/err.h"

/* raw: the bytes of a value; of a string those between the quotes. p NULL = it is not there, or null. */
struct json_peeked {
    struct str raw;
    bool is_text, escaped;
};
/* Of a name that is given twice the last; names with escapes in them are not found. */
struct json_peeked json_peek(struct str object, const char *key);
/* The text of a member that is a string; p NULL = there is none, or memory is out. */
struct str json_peek_text(struct arena *a, struct str object, const char *key);
/* Calls fn with each element of a list (key empty), or with each member of an object, until it fails; what else the JSON is has none. */
enum status json_peek_each(struct str json, struct arena *a,
                           enum status (*fn)(void *ctx, struct str key, struct str value,
                                             struct err *err),
                           void *ctx, struct err *err);

#endif
