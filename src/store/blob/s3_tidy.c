/* store/blob/s3_tidy.c - what uploads that broke off left behind. See s3_int.h. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/blob/s3_int.h"
#include "store/blob/s3_xml.h"
#include <stdio.h>

enum { SWEEP_MS = 3600 * 1000, ABORT_MS = 10000, PAGES_MAX = 100000 };

/* ---- uploads that were given up ------------------------------------------------------------------------------------------------ */

void s3_doom(struct s3 *s, const char *key, const char *upload_id)
{
    struct s3_doomed *d = mem_zalloc(1, sizeof(*d));

    if (!d) {
        return; /* the next start, or the next day, finds it */
    }
    snprintf(d->key, sizeof(d->key), "%s", key);
    snprintf(d->id, sizeof(d->id), "%s", upload_id);
    lock_take(&s->lock);
    d->next = s->doomed;
    s->doomed = d;
    lock_give(&s->lock);
    if (s->keeper) {
        exec_actor_wake(s->keeper);
    }
}

static enum status abort_upload(struct s3 *s, struct arena *a, struct str key, struct str id,
                                struct err *err)
{
    struct s3_op op = {
        .method = "DELETE", .key = key, .patience_ms = ABORT_MS, .what = "abort an upload"
    };
    struct s3_answer an;
    enum status st;

    s3_add_query(&op, S("uploadId"), id);
    st = s3_call(s, &op, a, &an, err);
    return st == ST_NOT_FOUND ? OK : st;
}

void s3_abort_doomed(struct s3 *s)
{
    for (;;) {
        struct err err = ERR_INIT;
        struct s3_doomed *d;
        struct arena *a;

        lock_take(&s->lock);
        d = s->doomed;
        s->doomed = d ? d->next : NULL;
        lock_give(&s->lock);
        if (!d) {
            return;
        }
        a = arena_new(S3_ARENA_MAX);
        if (!a || abort_upload(s, a, str_cstr(d->key), str_cstr(d->id), &err)) {
            LOG_WARN("s3", "%s; it is tried again later", err.message);
        }
        arena_free(a);
        mem_free(d);
    }
}

/* ---- leftovers ------------------------------------------------------------------------------------------------------------------- */

struct tidy {
    struct s3 *s;
    struct arena *a; /* of the page */
    struct arena *short_lived;
    size_t left;
};

/* Staged by this start: is the upload still at work? id p NULL: whatever its id. */
static bool is_live(struct s3 *s, struct str key, struct str id)
{
    bool live = false;

    lock_take(&s->lock);
    for (const struct s3_live *l = s->live; l && !live; l = l->next) {
        live = str_eq(key, str_cstr(l->key)) && (!id.p || !l->id[0] || str_eq(id, str_cstr(l->id)));
    }
    lock_give(&s->lock);
    return live;
}

/* Whether something can be nobody's work any more: ours, but none that is at work, or a day old. */
static bool is_leftover(struct s3 *s, struct str key, struct str id, int64_t since_ms)
{
    char own[S3_KEY_MAX];
    struct str start = str_cstr(s->start);

    snprintf(own, sizeof(own), "%sstaging/resume.", s->prefix);
    if (str_starts(key, str_cstr(own))) {
        return since_ms > 0 &&
               clock_wall_ms() - since_ms > S3_RESUME_DAYS * (int64_t)S3_LEFTOVER_MS;
    }
    snprintf(own, sizeof(own), "%sstaging/%s.", s->prefix, s->instance);
    if (!str_starts(key, str_cstr(own))) {
        return since_ms > 0 && clock_wall_ms() - since_ms > S3_LEFTOVER_MS;
    }
    return !str_starts(str_sub(key, strlen(own), key.n), start) || !is_live(s, key, id);
}

static enum status tidy_upload(struct tidy *t, struct str item, struct err *err)
{
    struct str key = s3_xml_text(t->a, s3_xml_find(item, "Key")),
               id = s3_xml_text(t->a, s3_xml_find(item, "UploadId"));

    if (!key.p || !id.p) {
        return err_nomem(err);
    }
    if (!id.n || !is_leftover(t->s, key, id, s3_xml_time(s3_xml_find(item, "Initiated")))) {
        t->left++;
        return OK;
    }
    arena_reset(t->short_lived);
    return abort_upload(t->s, t->short_lived, key, id, err);
}

static enum status tidy_staged(struct tidy *t, struct str item, struct err *err)
{
    struct str key = s3_xml_text(t->a, s3_xml_find(item, "Key"));
    struct s3_op op = { .method = "DELETE", .key = key, .what = "delete what was staged" };
    struct s3_answer an;
    enum status st;

    if (!key.p) {
        return err_nomem(err);
    }
    if (!is_leftover(t->s, key, (struct str){ NULL, 0 },
                     s3_xml_time(s3_xml_find(item, "LastModified")))) {
        t->left++;
        return OK;
    }
    arena_reset(t->short_lived);
    st = s3_call(t->s, &op, t->short_lived, &an, err);
    return st == ST_NOT_FOUND ? OK : st;
}

struct kind {
    const char *root, *item, *below; /* elements; the part of the prefix */
    struct s3_pair first[2];         /* query of the listing */
    const char *marks[2];            /* parameters that go on after a page */
    const char *nexts[2];            /* elements with their values */
    enum status (*one)(struct tidy *t, struct str item, struct err *err);
};

static const struct kind uploads = {
    .root = "ListMultipartUploadsResult",
    .item = "Upload",
    .below = "",
    .first = { { S_INIT("uploads"), S_INIT("") }, { S_INIT("max-uploads"), S_INIT("1000") } },
    .marks = { "key-marker", "upload-id-marker" },
    .nexts = { "NextKeyMarker", "NextUploadIdMarker" },
    .one = tidy_upload,
};
static const struct kind staged = {
    .root = "ListBucketResult",
    .item = "Contents",
    .below = "staging/",
    .first = { { S_INIT("list-type"), S_INIT("2") }, { S_INIT("max-keys"), S_INIT("1000") } },
    .marks = { "continuation-token", NULL },
    .nexts = { "NextContinuationToken", NULL },
    .one = tidy_staged,
};

static enum status tidy_page(struct tidy *t, const struct kind *k, struct buf marks[2], bool *more,
                             struct err *err)
{
    struct s3_op op = { .method = "GET", .key = S(""), .root = k->root, .what = "list uploads" };
    struct s3_answer an;
    struct str xml, item;
    char prefix[S3_KEY_MAX];
    enum status st;

    snprintf(prefix, sizeof(prefix), "%s%s", t->s->prefix, k->below);
    arena_reset(t->a);
    for (size_t i = 0; i < ARRAY_N(k->first); i++) {
        s3_add_query(&op, k->first[i].name, k->first[i].value);
    }
    if (prefix[0]) {
        s3_add_query(&op, S("prefix"), str_cstr(prefix));
    }
    for (size_t i = 0; i < 2; i++) {
        if (marks[i].n) {
            s3_add_query(&op, str_cstr(k->marks[i]), buf_str(&marks[i]));
        }
    }
    st = blob_as_io(s3_call(t->s, &op, t->a, &an, err), err);
    xml = an.body;
    while (!st && s3_xml_next(&xml, k->item, &item)) {
        st = k->one(t, item, err);
    }
    *more = !st && str_eq_lit(s3_xml_find(an.body, "IsTruncated"), "true");
    for (size_t i = 0; *more && i < 2 && k->nexts[i]; i++) {
        buf_clear(&marks[i]);
        buf_put_str(&marks[i], s3_xml_text(t->a, s3_xml_find(an.body, k->nexts[i])));
        st = buf_status(&marks[i], "marker", err);
    }
    return st;
}

static enum status tidy_kind(struct tidy *t, const struct kind *k, struct err *err)
{
    struct buf marks[2] = { BUF_INIT(8192), BUF_INIT(8192) };
    bool more = true;
    enum status st = OK;

    for (unsigned n = 0; !st && more && n < PAGES_MAX; n++) {
        st = tidy_page(t, k, marks, &more, err);
        more = more && marks[0].n;
    }
    buf_release(&marks[0]);
    buf_release(&marks[1]);
    return st;
}

enum status s3_tidy(void *b, size_t *left, struct err *err)
{
    struct tidy t = { .s = b };
    enum status st;

    s3_abort_doomed(b);
    t.a = arena_new(S3_ARENA_MAX);
    t.short_lived = arena_new(S3_ARENA_MAX);
    st = t.a && t.short_lived ? tidy_kind(&t, &uploads, err) : err_nomem(err);
    st = st ? st : tidy_kind(&t, &staged, err);
    *left = t.left;
    arena_free(t.a);
    arena_free(t.short_lived);
    return st;
}

int64_t s3_keeper_step(void *ctx)
{
    struct s3 *s = ctx;
    int64_t now = clock_mono_ms();
    struct err err = ERR_INIT;
    size_t left;

    s3_abort_doomed(s);
    if (!s->swept_ms || now - s->swept_ms >= SWEEP_MS) {
        s->swept_ms = now;
        if (s3_tidy(s, &left, &err)) {
            LOG_WARN("s3", "cannot look for unfinished uploads: %s", err.message);
        }
    }
    return SWEEP_MS;
}
