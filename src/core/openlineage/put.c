/* core/openlineage/put.c - events as one operation: what is new of them is stored as it came, then what each says. */
#include "base/failpoint.h"
#include "base/hash.h"
#include "core/openlineage/ol_int.h"

enum { ASK = 500, PACK_MAX = 1 << 30, PACK_FULL = 1 << 20 };

/* ---- which are new ------------------------------------------------------------------------------------------------------------ */

struct hashes {
    struct str_map map; /* h and h2 -> the event */
    int64_t *ask;
};

static struct str hash_key(const struct ol_event *e)
{
    _Static_assert(offsetof(struct ol_event, h2) == offsetof(struct ol_event, h) + sizeof(e->h),
                   "they are one key");
    return str_of((const char *)&e->h, 2 * sizeof(e->h));
}

static enum status ask_some(struct ol_work *w, struct hashes *x, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_ol_events_known_row row;
    enum status st = q_ol_events_known_open(w->c, &stmt, x->ask, n, err);

    while (!st && (st = q_ol_events_known_next(stmt, &row, err)) == OK) {
        int64_t key[2] = { row.h, row.h2 };
        struct ol_event *e = str_map_get(&x->map, str_of((const char *)key, sizeof(key)));

        if (e) {
            e->known = true;
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status find_known(struct ol_work *w, struct ol_put *p, struct err *err)
{
    struct hashes x = { .map = STR_MAP_INIT(OL_EVENTS_MAX + 1),
                        .ask = ARENA_ARRAY(w->a, int64_t, ASK) };
    size_t n = 0;
    enum status st = x.ask ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < p->n; i++) {
        struct ol_event *e = &p->events[i];

        e->known = str_map_get(&x.map, hash_key(e)) != NULL;
        if (!e->known && str_map_put(&x.map, hash_key(e), e)) {
            st = err_nomem(err);
        }
    }
    for (size_t i = 0; !st && i < p->n; i++) {
        if (!p->events[i].known) {
            x.ask[n++] = p->events[i].h;
        }
        if (n == ASK || (n && i + 1 == p->n)) {
            st = ask_some(w, &x, n, err);
            n = 0;
        }
    }
    str_map_release(&x.map);
    p->added = 0;
    for (size_t i = 0; !st && i < p->n; i++) {
        p->added += !p->events[i].known;
    }
    return st;
}

/* ---- the log ------------------------------------------------------------------------------------------------------------------- */

/* Of the events [from, until) those that are new: lengths, then bodies, together. */
static enum status put_pack(struct ol_work *w, const struct ol_event *from,
                            const struct ol_event *until, int64_t first, int64_t n, struct err *err)
{
    struct buf raw = BUF_INIT(PACK_MAX), body = BUF_INIT(PACK_MAX);
    enum status st;

    for (const struct ol_event *e = from; e < until; e++) {
        if (!e->known) {
            buf_put_u32(&raw, (uint32_t)e->raw.n);
        }
    }
    for (const struct ol_event *e = from; e < until; e++) {
        if (!e->known) {
            buf_put_str(&raw, e->raw);
        }
    }
    st = buf_status(&raw, "the bytes of events", err);
    st = st ? st : zip_put(&w->m->zip, &body, buf_str(&raw), err);
    st = st ? st : q_ol_pack_insert(w->c, first, n, (int64_t)raw.n, buf_str(&body), err);
    buf_release(&raw);
    buf_release(&body);
    return st;
}

/* What is asked for one event is unpacked whole, so a pack ends when it has some size. */
static enum status put_packs(struct ol_work *w, const struct ol_put *p, int64_t *first,
                             struct err *err)
{
    const struct ol_event *from = p->events, *end = p->events + p->n;
    enum status st = group_counter(w->g, S("ol_event"), first, err);
    int64_t seq, n = 0;
    size_t bytes = 0;

    if (!st && p->added > 1) {
        st = group_counter_raise(w->g, S("ol_event"), *first + (int64_t)p->added - 1, err);
    }
    seq = *first;
    for (const struct ol_event *e = from; !st && e < end; e++) {
        n += !e->known;
        bytes += e->known ? 0 : e->raw.n;
        if (n && (bytes >= PACK_FULL || e + 1 == end)) {
            st = put_pack(w, from, e + 1, seq, n, err);
            seq += n;
            n = 0;
            bytes = 0;
            from = e + 1;
        }
    }
    return st;
}

static enum status put_events(struct ol_work *w, struct ol_put *p, struct err *err)
{
    int64_t seq, run, job, dataset;
    enum status st = put_packs(w, p, &seq, err);

    FAILPOINT("core.openlineage.packed");
    for (size_t i = 0; !st && i < p->n; i++) {
        struct ol_event *e = &p->events[i];

        if (e->known) {
            continue;
        }
        st = ol_derive(w, e, &run, &job, &dataset, err);
        st = st ? st
                : q_ol_event_insert(w->c, seq, e->h, e->h2, e->event_us, e->kind, e->type, run, job,
                                    dataset, err);
        seq++;
    }
    FAILPOINT("core.openlineage.derived");
    return st ? st : ol_flush(w, false, err);
}

static enum status put_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct ol_put *p = WRITE_OP_OF(op, struct ol_put);
    struct ol_work w = { .g = g,
                         .core = p->core,
                         .c = group_conn(g),
                         .a = op->arena,
                         .m = p->core->openlineage,
                         .now_ms = group_now_ms(g) };
    enum status st = ol_memo_ready(w.m, err);

    st = st ? st : find_known(&w, p, err);
    if (!st && p->added) {
        st = put_events(&w, p, err);
    }
    if (st) {
        ol_memo_forget(w.m); /* it is ahead of the rows */
    }
    return st;
}

static void put_undo(struct write_op *op)
{
    struct ol_put *p = WRITE_OP_OF(op, struct ol_put);

    ol_memo_forget(p->core->openlineage);
}

void ol_put_init(struct ol_put *p, struct core *core, struct arena *a)
{
    static const struct write_kind kind = {
        .name = "openlineage.put", .validate = put_validate, .undo = put_undo, .sql = true
    };

    *p = (struct ol_put){ .core = core };
    write_op_init(&p->op, &kind, a);
}

/* ---- ids of runs ----------------------------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool ol_run_id_parse(struct str text, unsigned char out[16])
{
    size_t n = 0;

    if (text.n != 32 && text.n != 36) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        int digit;

        if (text.n == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text.p[i] != '-') {
                return false;
            }
            continue;
        }
        digit = hex(text.p[i]);
        if (digit < 0) {
            return false;
        }
        out[n / 2] = (unsigned char)(n % 2 ? out[n / 2] | digit : digit << 4);
        n++;
    }
    return n == 32;
}

struct str ol_run_id_text(struct arena *a, const unsigned char id[16])
{
    static const char digits[] = "0123456789abcdef";
    char text[36];
    size_t n = 0;

    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text[n++] = '-';
        }
        text[n++] = digits[id[i] >> 4];
        text[n++] = digits[id[i] & 15];
    }
    return arena_str(a, str_of(text, n));
}

bool ol_run_id_of_text(struct str text, unsigned char out[16])
{
    static const unsigned char urls[16] = { 0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1,
                                            0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8 };
    struct str word = S("openlineage:run:");
    unsigned char sum[CHECKSUM_MAX];
    struct checksum *c = checksum_new(CHECKSUM_SHA1);

    if (!c) {
        return false;
    }
    checksum_update(c, urls, sizeof(urls));
    checksum_update(c, word.p, word.n);
    checksum_update(c, text.p, text.n);
    (void)checksum_end(c, sum);
    checksum_free(c);
    memcpy(out, sum, 16);
    out[6] = (unsigned char)((out[6] & 0x0f) | 0x50);
    out[8] = (unsigned char)((out[8] & 0x3f) | 0x80);
    return true;
}

/* ---- runs of others ------------------------------------------------------------------------------------------------------------ */

static void forget(void *ctx)
{
    ol_memo_forget(((struct core *)ctx)->openlineage);
}

/* As an event would that names it; the first one that does says since when it is there. */
static enum status make_run(struct group *g, struct core *core, struct arena *a,
                            const struct ol_run_ref *ref, int64_t *uid, struct err *err)
{
    struct ol_work w = { .g = g,
                         .core = core,
                         .c = group_conn(g),
                         .a = a,
                         .m = core->openlineage,
                         .at = { group_now_ms(g) * 1000, 0 },
                         .now_ms = group_now_ms(g) };
    struct ol_run *run;
    enum status st = group_effect(g, NULL, forget, core, err);

    st = st ? st : ol_memo_ready(w.m, err);
    st = st ? st : ol_get_run(&w, ref, &run, err);
    if (!st) {
        run->obj.update_us = OL_NO_EVENT;
        st = ol_flush(&w, false, err);
    }
    if (st) {
        ol_memo_forget(w.m);
        return st;
    }
    *uid = run->obj.uid;
    return OK;
}

enum status ol_started_by(struct group *g, struct core *core, struct arena *a, int64_t run,
                          struct str parent, struct err *err)
{
    struct ol_run_ref ref = { .is_set = true };
    struct q_ident_find_row row;
    size_t at = parent.n;
    enum status st;

    while (at > 0 && parent.p[at - 1] != '/') {
        at--;
    }
    parent = str_sub(parent, at, parent.n);
    if (!parent.n || parent.n > OL_RUN_TEXT_MAX) {
        return OK; /* it names nothing; a run is made all the same */
    }
    if (!ol_run_id_parse(parent, ref.id)) {
        ref.text = parent;
        if (!ol_run_id_of_text(parent, ref.id)) {
            return err_nomem(err);
        }
    }
    st = q_ident_find(group_conn(g), a, OL_NS, IDENT_OL_RUN,
                      str_of((const char *)ref.id, sizeof(ref.id)), &row, err);
    if (st == ST_NOT_FOUND) {
        st = make_run(g, core, a, &ref, &row.uid, err);
    }
    return st ? st : group_parent_add(g, run, row.uid, PARENT_RUN, err);
}
