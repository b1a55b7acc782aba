/* store/graph/links_file.c - a head, then what the links hold that cannot be made of the rest. */
#include "store/graph/links_file.h"

#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/graph/links_int.h"

#include <errno.h>
#include <string.h>

static const char magic[8] = { 'c', 'a', 'i', 'r', 'n', 'l', 'n', 'k' };
enum { ORDER = 0x01020304 };

struct head {
    char magic[8];
    uint32_t version, order;
    uint64_t n, top, ends, log, extra, stored;
    int64_t marks[LINKS_MARKS_N];
    uint64_t witness;
    uint32_t body_crc, head_crc;
};
_Static_assert(sizeof(struct head) == LINKS_HEAD_N, "the head has no holes");

static uint32_t head_crc(const struct head *h)
{
    return crc32c(0, h, offsetof(struct head, head_crc));
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

static enum status put(int fd, const void *p, size_t n, uint32_t *crc, struct err *err)
{
    if (n == 0) {
        return OK;
    }
    *crc = crc32c(*crc, p, n);
    return fs_write_all(fd, p, n, err);
}

enum status links_write(const struct links *l, const struct links_stamp *stamp,
                        const struct links_extra *extra, int fd, struct err *err)
{
    struct links shape = { .top = l->top };
    struct head h = { .version = LINKS_FILE_VERSION,
                      .order = ORDER,
                      .n = l->n,
                      .top = l->top,
                      .ends = l->ends_n,
                      .log = l->log_n,
                      .extra = extra->n,
                      .witness = stamp->witness };
    size_t stored = 0;
    enum status st;

    memcpy(h.magic, magic, sizeof(magic));
    memcpy(h.marks, stamp->marks, sizeof(h.marks));
    if (l->block) {
        (void)links_layout(&shape, l->n, NULL, &stored);
    }
    h.stored = stored;
    st = fs_write_all(fd, &h, sizeof(h), err);
    st = st ? st : put(fd, l->block, stored, &h.body_crc, err);
    st = st ? st : put(fd, l->ends, l->ends_n * sizeof(*l->ends), &h.body_crc, err);
    st = st ? st : put(fd, l->log, l->log_n * sizeof(*l->log), &h.body_crc, err);
    st = st ? st : put(fd, extra->p, extra->n, &h.body_crc, err);
    h.head_crc = head_crc(&h);
    if (!st && sys.pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h)) {
        st = err_errno(err, errno ? errno : EIO, "write");
    }
    return st;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static enum status bad(struct err *err, const char *what)
{
    return err_set(err, ST_CORRUPT, "the links are not whole: %s", what);
}

static enum status take(const struct links_source *from, void *p, size_t n, uint32_t *crc,
                        struct err *err)
{
    enum status st = n ? from->read(from->ctx, p, n, err) : OK;

    if (!st && n) {
        *crc = crc32c(*crc, p, n);
    }
    return st;
}

/* Sizes that fit together and the file: nothing is allocated that the file does not fill. */
static enum status check_head(const struct head *h, uint64_t size, struct err *err)
{
    struct links shape = { .top = (size_t)h->top };
    size_t stored = 0;
    uint64_t left = size - sizeof(*h);

    if (memcmp(h->magic, magic, sizeof(magic)) != 0 || h->version != LINKS_FILE_VERSION ||
        h->order != ORDER) {
        return bad(err, "another format");
    }
    if (h->head_crc != head_crc(h)) {
        return bad(err, "checksum of the head");
    }
    if (h->n > UINT32_MAX || h->top > (uint64_t)LINKS_UID_MAX + 1 || h->ends > h->n ||
        h->log > UINT32_MAX - h->n || h->extra > UINT32_MAX || (h->n && !h->top)) {
        return bad(err, "counts");
    }
    if (h->top) {
        (void)links_layout(&shape, (size_t)h->n, NULL, &stored);
    }
    if (h->stored != stored ||
        left != stored + h->ends * sizeof(struct ending) + h->log * sizeof(struct rec) + h->extra) {
        return bad(err, "size");
    }
    return OK;
}

static bool row_in_order(const struct links *l, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (l->out_dst[i] >= l->top ||
            (i > from && (l->out_dst[i - 1] > l->out_dst[i] ||
                          (l->out_dst[i - 1] == l->out_dst[i] &&
                           (l->out_bits[i - 1] & ROLE) > (l->out_bits[i] & ROLE))))) {
            return false;
        }
    }
    return true;
}

/* The rows that go out are as links_add() makes them; counts what comes in. */
static enum status check_rows(struct links *l, size_t n, struct err *err)
{
    size_t ended = 0;

    if (l->out_off[0] != 0 || l->out_off[l->top] != n) {
        return bad(err, "rows");
    }
    for (size_t i = 0; i < l->top; i++) {
        if (l->out_off[i] > l->out_off[i + 1] || l->out_off[i + 1] > n ||
            !row_in_order(l, l->out_off[i], l->out_off[i + 1])) {
            return bad(err, "a row");
        }
    }
    for (size_t i = 0; i < n; i++) {
        l->in_off[l->out_dst[i] + 1]++;
        ended += l->out_bits[i] >> 7;
        l->roles |= (uint64_t)1 << (l->out_bits[i] & ROLE);
    }
    for (size_t i = 0; i < l->ends_n; i++) {
        const struct ending *e = &l->ends[i];

        if (e->link >= n || !(l->out_bits[e->link] & ENDED) ||
            (i > 0 && l->ends[i - 1].link >= e->link)) {
            return bad(err, "endings");
        }
    }
    return ended == l->ends_n ? OK : bad(err, "endings");
}

static enum status check_log(struct links *l, struct err *err)
{
    for (size_t i = 0; i < l->log_n; i++) {
        if (l->log[i].src > LINKS_UID_MAX || l->log[i].dst > LINKS_UID_MAX ||
            (i > 0 && rec_cmp(&l->log[i - 1], &l->log[i]) > 0)) {
            return bad(err, "the log");
        }
        l->roles |= (uint64_t)1 << (l->log[i].bits & ROLE);
    }
    l->log_top = links_log_top(l);
    return OK;
}

static enum status order_log(struct links *l, struct err *err)
{
    uint32_t *spare = mem_alloc((l->log_n + 1) * sizeof(*spare));

    l->log_in = mem_alloc((l->log_n + 1) * sizeof(*l->log_in));
    if (!spare || !l->log_in) {
        mem_free(spare);
        return err_nomem(err);
    }
    for (size_t i = 0; i < l->log_n; i++) {
        l->log_in[i] = (uint32_t)i;
    }
    links_by_dst(l->log, l->log_in, spare, l->log_n);
    mem_free(spare);
    return OK;
}

/* Everything behind the head. */
static enum status read_body(struct links *l, const struct head *h, struct links_extra *extra,
                             const struct links_source *from, struct err *err)
{
    size_t n = (size_t)h->n;
    uint32_t crc = 0;
    enum status st;

    l->top = (size_t)h->top;
    l->ends_n = l->ends_cap = (size_t)h->ends;
    l->log_n = (size_t)h->log;
    extra->n = (size_t)h->extra;
    l->block = l->top ? mem_alloc(links_layout(l, n, NULL, NULL)) : NULL;
    l->ends = l->ends_n ? mem_alloc(l->ends_n * sizeof(*l->ends)) : NULL;
    l->log = l->log_n ? mem_alloc(l->log_n * sizeof(*l->log)) : NULL;
    extra->p = extra->n ? mem_alloc(extra->n) : NULL;
    if ((l->top && !l->block) || (l->ends_n && !l->ends) || (l->log_n && !l->log) ||
        (extra->n && !extra->p)) {
        return err_nomem(err);
    }
    if (l->top) {
        (void)links_layout(l, n, l->block, NULL);
        memset(l->in_off, 0, (l->top + 1) * sizeof(*l->in_off));
    }
    st = take(from, l->block, (size_t)h->stored, &crc, err);
    st = st ? st : take(from, l->ends, l->ends_n * sizeof(*l->ends), &crc, err);
    st = st ? st : take(from, l->log, l->log_n * sizeof(*l->log), &crc, err);
    st = st ? st : take(from, extra->p, extra->n, &crc, err);
    if (!st && crc != h->body_crc) {
        st = bad(err, "checksum");
    }
    st = st || !l->top ? st : check_rows(l, n, err);
    st = st ? st : check_log(l, err);
    if (!st && l->top) {
        l->n = n;
        links_fill_in(l);
    }
    return st ? st : order_log(l, err);
}

enum status links_read(struct links **out, struct links_stamp *stamp, struct links_extra *extra,
                       const struct links_source *from, struct err *err)
{
    struct links *l = links_new();
    struct head h;
    enum status st = l ? OK : err_nomem(err);

    *out = NULL;
    *extra = (struct links_extra){ 0 };
    if (!st && from->size < sizeof(h)) {
        st = bad(err, "size");
    }
    st = st ? st : from->read(from->ctx, &h, sizeof(h), err);
    st = st ? st : check_head(&h, from->size, err);
    st = st ? st : read_body(l, &h, extra, from, err);
    if (st) {
        links_free(l);
        mem_free(extra->p);
        *extra = (struct links_extra){ 0 };
        return st;
    }
    memcpy(stamp->marks, h.marks, sizeof(stamp->marks));
    stamp->witness = h.witness;
    *out = l;
    return OK;
}
