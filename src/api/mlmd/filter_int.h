/* api/mlmd/filter_int.h - the words of a filter_query. A dotted name is one word, so that properties.1a.int_value is a name. */
#ifndef CAIRN_API_MLMD_FILTER_INT_H
#define CAIRN_API_MLMD_FILTER_INT_H

#include "base/arena.h"
#include "base/err.h"

enum { WORD_PARTS_MAX = 3 };
enum word_kind {
    WORD_END,
    WORD_NAME, /* parts; a bare one may be a keyword or an enumerator */
    WORD_INT,  /* u */
    WORD_REAL, /* d */
    WORD_TEXT, /* text */
    WORD_SIGN  /* its characters are the word itself: "(", "<=", ... */
};
struct word {
    enum word_kind kind;
    size_t at;
    struct str raw; /* as it stands in the query */
    struct str parts[WORD_PARTS_MAX];
    size_t parts_n;
    bool quoted; /* the first part was in backquotes: no keyword */
    uint64_t u;
    double d;
    struct str text;
};
struct lexer {
    struct arena *a;
    struct str in;
    size_t at;
};

enum status word_next(struct lexer *l, struct word *out, struct err *err);
/* ST_INVALID: Invalid `filter_query`: MESSAGE [at LINE:COLUMN]. */
enum status word_fail(const struct lexer *l, size_t at, struct err *err, const char *fmt, ...)
    ATTR_FORMAT(4, 5);
/* A word in a message: a long one is cut. */
#define WORD_SHOW_MAX 64
#define WORD_ARG(s_)  (int)MIN_OF((s_).n, (size_t)WORD_SHOW_MAX), (s_).p

#endif
