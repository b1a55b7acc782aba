/* store/blob/s3_tidy.c - what uploads that broke off left behind. See s3_int.h. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/blob/s3_int.h"
#include "store/blob/s3_xml.h"
#include <stdio.h>

enum { SWEEP_MS = 3600 * 1000, ABORT_MS = 10000, PAGES_MAX = 100000 };

/* ---- marks ------------------------------------------------------------------------------------------------------------------------ */

static void mark_key(const struct s3 *s, const char *mark, char out[S3_KEY_MAX])
{
    snprintf(out, S3_KEY_MAX, "%s" S3_MARKS "%s", s->prefix, mark);
}

enum status s3_put_mark(struct s3 *s, struct arena *a, const char *mark, const char *key,
                        const char *id, struct err *err)
{
    struct s3_op op = { .method = "PUT", .what = "begin an upload" };
    struct s3_answer an;
    char at[S3_KEY_MAX];
    enum status st;

    mark_key(s, mark, at);
    op.key = str_cstr(at);
    op.body = arena_printf(a, "%s\n%s", key, id);
    st = op.body.p ? s3_call(s, &op, a, &an, err) : err_nomem(err);
    FAILPOINT("blob.s3.mark.put");
    return st;
}

void s3_drop_mark(struct s3 *s, struct arena *a, const char *mark)
{
    char at[S3_KEY_MAX];

    mark_key(s, mark, at);
    s3_forget_staging(s, a, at);
}

/* ---- uploads that were given up ------------------------------------------------------------------------------------------------ */

void s3_doom(struct s3 *s, const char *key, const char *upload_id, const char *mark)
{
    struct s3_doomed *d = mem_zalloc(1, sizeof(*d));

    if (!d) {
        return; /* the next start, or the next day, finds it */
    }
    snprintf(d->key, sizeof(d->key), "%s", key);
    snprintf(d->id, sizeof(d->id), "%s", upload_id);
    snprintf(d->mark, sizeof(d->mark), "%s", mark);
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
        } else if (d->mark[0]) {
            s3_drop_mark(s, a, d->mark);
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
        live = str_eq(key, str_cstr(l->mark[0] ? l->mark : l->key)) &&
               (!id.p || !l->id[0] || str_eq(id, str_cstr(l->id)));
    }
    lock_give(&s->lock);
    return live;
}

/* Whether something can be nobody's work any more: ours, but none that is at work, or a day old. */
static bool is_leftover(struct s3 *s, struct str key, struct str id, int64_t since_ms)
{
    char own[S3_KEY_MAX];
    struct str start = str_cstr(s->start);

    if (s->of_others) { /* marks, which are known by their names */
        snprintf(own, sizeof(own), "%s.", s->instance);
        key = str_sub(key, strlen(s->prefix) + strlen(S3_MARKS), key.n);
    } else {
        snprintf(own, sizeof(own), "%sstaging/resume.", s->prefix);
        if (str_starts(key, str_cstr(own))) {
            return since_ms > 0 &&
                   clock_wall_ms() - since_ms > S3_RESUME_DAYS * (int64_t)S3_LEFTOVER_MS;
        }
        snprintf(own, sizeof(own), "%sstaging/%s.", s->prefix, s->instance);
    }
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

/* "<instance>.<start>.<n>" or "client.<random>": what else lies there is not ours. */
static bool is_mark(struct str name)
{
    struct str part;
    unsigned n = 0;

    if (name.n >= S3_MARK_MAX) {
        return false;
    }
    for (; str_split(&name, '.', &part); n++) {
        if (n == 0 && str_eq_lit(part, "client")) {
            continue;
        }
        for (size_t i = 0; i < part.n; i++) {
            char c = part.p[i];

            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
                return false;
            }
        }
    }
    return n >= 2;
}

/* The file whose parts a mark tells of is never made any more: they are given up, then the mark. A mark names keys of its own place. */
static enum status tidy_mark(struct tidy *t, struct str item, struct err *err)
{
    struct str key = s3_xml_text(t->a, s3_xml_find(item, "Key")), text, file;
    struct s3_op get = { .method = "GET", .key = key, .what = "look at an upload" };
    struct str size = s3_xml_find(item, "Size");
    char mark[S3_MARK_MAX];
    struct s3_answer an;
    enum status st;

    if (!key.p) {
        return err_nomem(err);
    }
    text = str_sub(key, strlen(t->s->prefix) + strlen(S3_MARKS), key.n);
    if (!is_mark(text) || size.n > 4 || /* never so many bytes */
        !is_leftover(t->s, key, (struct str){ NULL, 0 },
                     s3_xml_time(s3_xml_find(item, "LastModified")))) {
        t->left++;
        return OK;
    }
    snprintf(mark, sizeof(mark), "%.*s", STR_ARG(text));
    arena_reset(t->short_lived);
    st = s3_call(t->s, &get, t->short_lived, &an, err);
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    text = an.body;
    if (!str_split(&text, '\n', &file) || !text.n || !str_starts(file, str_cstr(t->s->prefix))) {
        t->left++;
        return OK;
    }
    st = abort_upload(t->s, t->short_lived, file, text, err);
    if (!st) {
        s3_drop_mark(t->s, t->short_lived, mark);
    }
    return st;
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
    struct kind marked = staged;
    enum status st;

    marked.below = S3_MARKS;
    marked.one = tidy_mark;
    s3_abort_doomed(b);
    t.a = arena_new(S3_ARENA_MAX);
    t.short_lived = arena_new(S3_ARENA_MAX);
    st = t.a && t.short_lived ? OK : err_nomem(err);
    if (t.s->of_others) { /* uploads and files that others have begun are none of our business */
        st = st ? st : tidy_kind(&t, &marked, err);
    } else {
        st = st ? st : tidy_kind(&t, &uploads, err);
        st = st ? st : tidy_kind(&t, &staged, err);
    }
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
