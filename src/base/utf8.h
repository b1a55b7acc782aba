/* base/utf8.h - validation and counting of UTF-8.
 * Valid = Unicode table 3-7: no overlong forms, no surrogates, at most U+10FFFF. Thread rule: pure functions. */
#ifndef CAIRN_BASE_UTF8_H
#define CAIRN_BASE_UTF8_H

#include "base/str.h"

bool utf8_valid(struct str s);
/* Number of code points of valid text. */
size_t utf8_count(struct str s);
/* The longest prefix with at most n code points. */
struct str utf8_prefix(struct str s, size_t n);
/* Decodes one code point at *at (valid text, *at < s.n) and advances *at. */
uint32_t utf8_next(struct str s, size_t *at);
/* Encodes cp (a valid code point) into out, returns 1 to 4. */
size_t utf8_put(uint32_t cp, char out[4]);
/* Python's \w: letters, digits and underscore in Unicode (categories L*, N*, and '_'). */
bool utf8_is_word(uint32_t cp);

#endif
