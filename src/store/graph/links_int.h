/* store/graph/links_int.h - how links lie in memory; shared by links.c, links_walk.c and links_file.c. */
#ifndef CAIRN_STORE_GRAPH_LINKS_INT_H
#define CAIRN_STORE_GRAPH_LINKS_INT_H

#include "store/graph/links.h"

enum { ASIDE = 0x40, ENDED = 0x80, ROLE = 0x3F };
/* Links that a walk copies at once: behind the rows of a block lie so many that may be read and mean nothing. */
enum { LINKS_COPY = 8 };

/* One interval of one link. */
struct rec {
    uint32_t src, dst;
    uint8_t bits;    /* role, ASIDE, ENDED */
    uint8_t zero[7]; /* it lies in files as it is */
    int64_t claimed, seen, end_claimed, end_seen;
};
struct ending {
    int64_t claimed, seen;
    uint32_t link, zero;
};
_Static_assert(sizeof(struct rec) == 48 && sizeof(struct ending) == 24, "no bytes without a name");

struct links {
    size_t top;     /* node numbers of the base are below */
    size_t n;       /* links of the base */
    uint64_t roles; /* that any link ever had, 1 << role */
    /* The rows of the base lie in one block, in the order of links_layout(): first what a file holds, then what is made of it. */
    void *block;
    int64_t *claimed, *seen;
    uint32_t *out_off, *out_dst;
    uint8_t *out_bits;
    uint32_t *in_off, *in_src, *in_link;
    uint8_t *in_bits;
    struct ending *ends; /* of links of the base, by link */
    size_t ends_n, ends_cap;
    /* The log: by (src, dst, role, time of recording), and the positions in it by dst. */
    struct rec *log;
    uint32_t *log_in;
    size_t log_n;
    size_t log_top;
};

/* Points the arrays of the base into `block` for l->top and n links; with NULL only counts. The bytes of the block; *stored those of
 * the part that a file holds. */
size_t links_layout(struct links *l, size_t n, void *block, size_t *stored);
/* Makes the rows that come in from those that go out; l->in_off is 0, and counted[i + 1] links come into node i. */
void links_fill_in(struct links *l);
int rec_cmp(const struct rec *a, const struct rec *b);
/* Positions in the log by dst, stable; `spare` takes n / 2. */
void links_by_dst(const struct rec *log, uint32_t *at, uint32_t *spare, size_t n);
/* One more than the highest node number of the log, or links->log_top if that is more. */
size_t links_log_top(const struct links *l);

/* First ending of that link of the base or of a later one. */
static inline size_t end_find(const struct links *l, size_t link)
{
    size_t low = 0, high = l->ends_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (l->ends[mid].link < link) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

#endif
