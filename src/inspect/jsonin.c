/* inspect/jsonin.c - JSON out of a flow, in pieces. */
#include "base/mem.h"
#include "inspect/jsonin_int.h"

enum status jsonin_begin(struct jsonin *j, struct insp *x, struct flow *f, unsigned flags,
                         struct err *err)
{
    *j = (struct jsonin){ .x = x, .f = f, .cap = IN_WINDOW };
    j->buf = mem_alloc(j->cap);
    if (!j->buf) {
        return err_nomem(err);
    }
    json_init(&j->r, S(""), flags | JSON_PARTIAL | JSON_BARE_NAN, JSONIN_DEPTH);
    return OK;
}

void jsonin_release(struct jsonin *j)
{
    json_release(&j->r);
    mem_free(j->buf);
    j->buf = NULL;
}

/* More of the text behind what is not read yet. */
static enum status feed(struct jsonin *j, struct err *err)
{
    struct str rest = json_rest(&j->r);
    const unsigned char *p;
    size_t got;
    enum status st;

    if (rest.n && rest.p != j->buf) {
        memmove(j->buf, rest.p, rest.n);
    }
    j->n = rest.n;
    if (j->n > j->cap / 2) {
        char *bigger = j->cap < JSONIN_MAX ? mem_realloc(j->buf, j->cap * 2) : NULL;

        if (!bigger) {
            return j->cap < JSONIN_MAX
                       ? err_nomem(err)
                       : err_set(err, ST_TOO_BIG, "a text longer than %d bytes", JSONIN_MAX / 2);
        }
        j->buf = bigger;
        j->cap *= 2;
    }
    st = flow_peek(j->f, MIN_OF(j->cap - j->n, (size_t)IN_WINDOW), &p, &got, err);
    if (st) return st;
    memcpy(j->buf + j->n, p, got);
    flow_take(j->f, got);
    j->n += got;
    j->last = got == 0;
    json_feed(&j->r, str_of(j->buf, j->n), j->last);
    return OK;
}

enum status jsonin_next(struct jsonin *j, enum json_event *ev, struct err *err)
{
    enum status st = insp_item(j->x, err);

    *ev = JSON_EV_END;
    while (!st) {
        *ev = json_next(&j->r);
        if (*ev == JSON_EV_ERROR) {
            return j->r.status == ST_NOMEM ? err_nomem(err)
                                           : err_set(err, ST_CORRUPT, "no JSON at byte %zu: %s",
                                                     json_offset(&j->r), j->r.what);
        }
        if (*ev != JSON_EV_MORE) {
            return OK;
        }
        st = j->last ? err_set(err, ST_CORRUPT, "JSON that ends in the middle") : feed(j, err);
    }
    return st;
}

enum status jsonin_end(struct jsonin *j, struct err *err)
{
    enum json_event ev;
    enum status st = jsonin_next(j, &ev, err);

    return st || ev == JSON_EV_END ? st : err_set(err, ST_CORRUPT, "more than one value");
}
