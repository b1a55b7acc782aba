/* core/search/regex.c - running a compiled pattern: all threads at once, one character at a
 * time. */
#include "base/utf8.h"
#include "core/search/regex_int.h"
#include "core/search/text.h"

/* Before the first and after the last character. */
#define NO_CHAR 0xffffffffU

static bool is_word_char(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_class(const struct regex *r, const struct regex_inst *in, uint32_t c)
{
    const struct regex_range *ranges = r->ranges + in->x;
    uint32_t low = 0, high = in->y;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (ranges[mid].last < c) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < in->y && ranges[low].first <= c;
}

/* Whether an instruction that looks at a place, not at a character, holds between prev and next. */
static bool place_holds(enum regex_op op, uint32_t prev, uint32_t next)
{
    bool is_edge =
        (prev != NO_CHAR && is_word_char(prev)) != (next != NO_CHAR && is_word_char(next));

    if (op == RE_WORD_EDGE || op == RE_NOT_WORD_EDGE) {
        return is_edge == (op == RE_WORD_EDGE);
    }
    if (op == RE_TEXT_BEGIN || op == RE_LINE_BEGIN) {
        return prev == NO_CHAR || (op == RE_LINE_BEGIN && prev == '\n');
    }
    return next == NO_CHAR || (op == RE_LINE_END && next == '\n');
}

/* Adds the thread at pc, and those it leads to without reading a character, to a list. True if one
 * of them is a match. */
static bool add_thread(struct regex *r, uint32_t *list, uint32_t *n, uint32_t pc, uint32_t prev,
                       uint32_t next)
{
    uint32_t depth = 0;

    if (r->mark[pc] == r->generation) {
        return false;
    }
    r->mark[pc] = r->generation;
    r->stack[depth++] = pc;
    while (depth) {
        const struct regex_inst *in = &r->prog[pc = r->stack[--depth]];
        uint32_t to[2] = { pc + 1, in->y }, to_n = 1;

        switch (in->op) {
        case RE_MATCH: return true;
        case RE_SPLIT:
            to_n = 2;
            to[0] = in->x;
            break;
        case RE_JUMP: to[0] = in->x; break;
        case RE_TEXT_BEGIN:
        case RE_TEXT_END:
        case RE_LINE_BEGIN:
        case RE_LINE_END:
        case RE_WORD_EDGE:
        case RE_NOT_WORD_EDGE: to_n = place_holds(in->op, prev, next); break;
        case RE_CHAR:
        case RE_FOLD:
        case RE_ANY:
        case RE_ANY_NOT_NL:
        case RE_CLASS:
        case RE_NOT_CLASS:
        default:
            list[(*n)++] = pc;
            to_n = 0;
            break;
        }
        while (to_n) {
            uint32_t t = to[--to_n];

            if (r->mark[t] != r->generation) {
                r->mark[t] = r->generation;
                r->stack[depth++] = t;
            }
        }
    }
    return false;
}

static bool takes_char(const struct regex *r, const struct regex_inst *in, uint32_t c,
                       uint32_t folded)
{
    switch (in->op) {
    case RE_CHAR: return c == in->c;
    case RE_FOLD: return folded == in->c;
    case RE_ANY: return true;
    case RE_ANY_NOT_NL: return c != '\n';
    case RE_CLASS: return in_class(r, in, c);
    case RE_NOT_CLASS: return !in_class(r, in, c);
    case RE_SPLIT:
    case RE_JUMP:
    case RE_TEXT_BEGIN:
    case RE_TEXT_END:
    case RE_LINE_BEGIN:
    case RE_LINE_END:
    case RE_WORD_EDGE:
    case RE_NOT_WORD_EDGE:
    case RE_MATCH:
    default: return false;
    }
}

bool regex_match(struct regex *r, struct str text)
{
    uint32_t prev = NO_CHAR, now_n = 0;
    size_t at = 0;
    uint32_t c = text.n ? utf8_next(text, &at) : NO_CHAR;

    r->generation++;
    if (add_thread(r, r->now, &now_n, 0, prev, c)) {
        return true;
    }
    while (c != NO_CHAR && (now_n || !r->is_anchored)) {
        uint32_t after = at < text.n ? utf8_next(text, &at) : NO_CHAR;
        uint32_t folded = r->folds ? fold_char(c) : c, next_n = 0;
        uint32_t *swap = r->now;

        r->generation++;
        for (uint32_t i = 0; i < now_n; i++) {
            uint32_t pc = r->now[i];

            if (takes_char(r, &r->prog[pc], c, folded) &&
                add_thread(r, r->next, &next_n, pc + 1, c, after)) {
                return true;
            }
        }
        if (!r->is_anchored && add_thread(r, r->next, &next_n, 0, c, after)) {
            return true;
        }
        r->now = r->next;
        r->next = swap;
        now_n = next_n;
        prev = c;
        c = after;
    }
    return false;
}
