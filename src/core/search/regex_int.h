/* core/search/regex_int.h - the program that regex_parse.c makes and regex.c runs. */
#ifndef CAIRN_CORE_SEARCH_REGEX_INT_H
#define CAIRN_CORE_SEARCH_REGEX_INT_H

#include "core/search/regex.h"

enum regex_op {
    RE_CHAR, /* c */
    RE_FOLD, /* a character that folds to c */
    RE_ANY,  /* any character */
    RE_ANY_NOT_NL,
    RE_CLASS, /* in ranges[x .. x + y) */
    RE_NOT_CLASS,
    RE_SPLIT, /* go on at x and at y */
    RE_JUMP,  /* go on at x */
    RE_TEXT_BEGIN,
    RE_TEXT_END,
    RE_LINE_BEGIN,
    RE_LINE_END,
    RE_WORD_EDGE,
    RE_NOT_WORD_EDGE,
    RE_MATCH
};

struct regex_inst {
    enum regex_op op;
    uint32_t c, x, y;
};

struct regex_range {
    uint32_t first, last;
};

struct regex {
    struct regex_inst *prog;
    uint32_t prog_n;
    struct regex_range *ranges;
    uint32_t ranges_n;
    bool is_anchored; /* begins with \A: only position 0 can start a match */
    bool folds;       /* has RE_FOLD */
    /* scratch */
    uint32_t *now, *next, *stack;
    uint64_t *mark;
    uint64_t generation;
};

#endif
