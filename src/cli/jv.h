/* cli/jv.h - a JSON document as a tree, for answers of servers.
 * Ownership: everything lies in the arena; numbers keep their text. Thread rule: immutable once parsed. */
#ifndef CAIRN_CLI_JV_H
#define CAIRN_CLI_JV_H

#include "base/arena.h"

enum jv_kind { JV_NULL, JV_BOOL, JV_NUMBER, JV_TEXT, JV_ARRAY, JV_OBJECT };

struct jv {
    enum jv_kind kind;
    bool is_true;
    struct str key;  /* of a member */
    struct str text; /* TEXT decoded; NUMBER as written (NaN, Infinity, -Infinity too) */
    struct str raw;  /* the value as JSON text */
    struct jv *first, *next;
};

/* NaN and infinities may stand bare. */
enum status jv_parse(struct str text, struct arena *a, struct jv **out, struct err *err) ATTR_CHECK;
/* A member by name; NULL if v is NULL, no object, or has none. */
const struct jv *jv_get(const struct jv *v, const char *key);
/* Text of a TEXT or NUMBER member; p NULL if there is none. */
struct str jv_text(const struct jv *v, const char *key);
/* An integer, written as number or as text; `otherwise` if there is none. */
int64_t jv_i64(const struct jv *v, const char *key, int64_t otherwise);
/* First item of an array member or NULL; go on with ->next. */
const struct jv *jv_items(const struct jv *v, const char *key);

#endif
