/* core/search/regex.h - regular expressions that take linear time whatever the pattern. The syntax
 * is the common part of RE2, Python and PCRE:
 *
 *     .  [abc]  [^a-z]  \d \w \s \D \W \S  [[:alpha:]]    one character (. takes a newline in (?s))
 *     x*  x+  x?  x{n}  x{n,}  x{n,m}                       repetition; with ? after it the same
 *     ab  a|b  (a)  (?:a)  (?P<name>a)                      sequence, choice, groups
 *     ^  $  \A  \z  \b  \B                                  places; ^ $ are lines' ends in (?m)
 *     (?i)  (?s)  (?m)  (?im-s)  (?i:a)                      flags
 *     \n \t \r \f \v \a \x41 \x{1F600} \. \\ ...             characters
 *
 * No back-references and no look-around: they cannot be had in linear time. \d, \w and \s are
 * ASCII; (?i) is simple Unicode case folding. A match may lie anywhere in the text.
 *
 * Cost: the pattern becomes a program of at most REGEX_PROGRAM_MAX instructions that is run over
 * all threads at once (Thompson), at most program size steps for each character of the text, no
 * backtracking, no allocation.
 * Ownership: compiled into the arena. Matching uses scratch memory of the regex: one thread at a
 * time. */
#ifndef CAIRN_CORE_SEARCH_REGEX_H
#define CAIRN_CORE_SEARCH_REGEX_H

#include "base/arena.h"

enum {
    REGEX_PATTERN_MAX = 4096, /* bytes */
    REGEX_PROGRAM_MAX = 2000, /* instructions */
    REGEX_REPEAT_MAX = 1000,  /* n and m of x{n,m} */
    REGEX_RANGES_MAX = 20000, /* ranges of all classes */
    REGEX_DEPTH_MAX = 64      /* groups in groups */
};

struct regex;

/* ST_INVALID says what is wrong and where. pattern is valid UTF-8. */
enum status regex_compile(struct regex **out, struct str pattern, struct arena *a, struct err *err);
/* Whether the pattern matches somewhere in text (valid UTF-8). */
bool regex_match(struct regex *r, struct str text);

#endif
