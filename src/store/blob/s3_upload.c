/* store/blob/s3_upload.c - writing: one PUT for what is small, parts and a copy for the rest. See s3_int.h. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/blob/s3_int.h"
#include "store/blob/s3_xml.h"
#include <inttypes.h>
#include <stdio.h>

enum {
    FIRST_BYTES = 64 * 1024, /* of a buffer, which doubles */
    PARTS_MAX = 10000,
    PARTS_STEP = 1000, /* so many parts of a size, then of the double size */
    XML_MAX = 4 << 20,
    PART_MS = 5 * 60 * 1000, /* a part over a slow line */
    COPY_MS = 30 * 60 * 1000,
    TIDY_MS = 10000
};

struct s3_writer {
    struct s3 *s;
    char *p; /* the part that fills */
    size_t n, cap;
    unsigned parts; /* sent; 0: not begun */
    struct s3_live
        live; /* staging key and id of the upload; the lock of s guards the list and the id */
    struct buf list; /* XML of the parts */
};

static size_t part_size(const struct s3_writer *w)
{
    size_t n = w->s->part_bytes;

    for (unsigned i = PARTS_STEP; i <= w->parts && n < S3_PART_BYTES_MAX; i += PARTS_STEP) {
        n *= 2;
    }
    return n;
}

static void enlist(struct s3_writer *w)
{
    lock_take(&w->s->lock);
    w->live.next = w->s->live;
    w->s->live = &w->live;
    lock_give(&w->s->lock);
}

static void free_writer(struct s3_writer *w)
{
    lock_take(&w->s->lock);
    for (struct s3_live **at = &w->s->live; *at; at = &(*at)->next) {
        if (*at == &w->live) {
            *at = w->live.next;
            break;
        }
    }
    lock_give(&w->s->lock);
    /* Relaxed: a sum. */
    atomic_fetch_sub_explicit(&w->s->buffered, w->cap, memory_order_relaxed);
    mem_free(w->p);
    buf_release(&w->list);
    mem_free(w);
}

enum status s3_write_begin(void *b, void **out, struct err *err)
{
    struct s3 *s = b;
    struct s3_writer *w = mem_zalloc(1, sizeof(*w));

    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->s = s;
    buf_init(&w->list, XML_MAX);
    *out = w;
    return OK;
}

static enum status grow(struct s3_writer *w, size_t max, struct err *err)
{
    size_t cap = MIN_OF(w->cap ? w->cap * 2 : (size_t)FIRST_BYTES, max);
    size_t sum = atomic_fetch_add_explicit(&w->s->buffered, cap - w->cap, memory_order_relaxed);
    char *p = NULL;

    if (sum + cap - w->cap <= S3_BUFFERED_MAX) {
        p = mem_realloc(w->p, cap);
        if (p) {
            w->p = p;
            w->cap = cap;
            return OK;
        }
    }
    atomic_fetch_sub_explicit(&w->s->buffered, cap - w->cap, memory_order_relaxed);
    return sum + cap - w->cap <= S3_BUFFERED_MAX
               ? err_nomem(err)
               : err_set(err, ST_UNAVAILABLE, "too many uploads are at work; try again");
}

/* ---- parts --------------------------------------------------------------------------------------------------------------------------- */

enum status s3_create(struct s3 *s, struct arena *a, const char *key, char *id, struct err *err)
{
    struct s3_op op = { .method = "POST",
                        .key = str_cstr(key),
                        .root = "InitiateMultipartUploadResult",
                        .what = "begin an upload" };
    struct s3_answer an;
    struct str text;
    enum status st;

    s3_add_query(&op, S("uploads"), S(""));
    st = s3_call(s, &op, a, &an, err);
    if (st) {
        return st;
    }
    text = s3_xml_text(a, s3_xml_find(an.body, "UploadId"));
    if (!text.n || text.n >= S3_UPLOAD_ID_MAX) {
        return err_set(err, ST_UNAVAILABLE, "cannot begin an upload: S3 gives no id for it");
    }
    memcpy(id, text.p, text.n);
    id[text.n] = 0;
    return OK;
}

void s3_put_part(struct buf *list, unsigned number, struct str etag)
{
    buf_printf(list, "<Part><PartNumber>%u</PartNumber><ETag>", number);
    for (size_t i = 0; i < etag.n; i++) {
        if (etag.p[i] == '"') {
            buf_put_lit(list, "&quot;");
        } else if (etag.p[i] != '<' && etag.p[i] != '&') {
            buf_put_u8(list, (unsigned char)etag.p[i]);
        }
    }
    buf_put_lit(list, "</ETag></Part>");
}

/* Sends what is in the buffer as the next part. */
static enum status send_part(struct s3_writer *w, struct arena *a, struct err *err)
{
    struct s3_op op = { .method = "PUT",
                        .key = str_cstr(w->live.key),
                        .body = str_of(w->p, w->n),
                        .patience_ms = MAX_OF((int64_t)PART_MS, w->s->patience_ms),
                        .what = "send a part of an upload" };
    struct s3_answer an;
    char number[16], id[S3_UPLOAD_ID_MAX] = "";
    enum status st = OK;

    if (!w->parts) {
        uint64_t n = atomic_fetch_add_explicit(&w->s->staging_n, 1, memory_order_relaxed);

        snprintf(w->live.key, sizeof(w->live.key), "%sstaging/%s.%s.%" PRIu64, w->s->prefix,
                 w->s->instance, w->s->start, n);
        op.key = str_cstr(w->live.key);
        enlist(w);
        st = s3_create(w->s, a, w->live.key, id, err);
        if (!st) {
            lock_take(&w->s->lock);
            memcpy(w->live.id, id, sizeof(id));
            lock_give(&w->s->lock);
        }
        FAILPOINT("blob.s3.upload.created");
    }
    if (!st && w->parts == PARTS_MAX) {
        st = err_set(err, ST_TOO_BIG, "an object has more than %d parts", PARTS_MAX);
    }
    if (st) {
        return st;
    }
    snprintf(number, sizeof(number), "%u", ++w->parts);
    s3_add_query(&op, S("partNumber"), str_cstr(number));
    s3_add_query(&op, S("uploadId"), str_cstr(w->live.id));
    st = s3_call(w->s, &op, a, &an, err);
    if (!st && !an.etag[0]) {
        st = err_set(err, ST_UNAVAILABLE, "cannot send a part of an upload: S3 names no ETag");
    }
    if (st) {
        return st;
    }
    s3_put_part(&w->list, w->parts, str_cstr(an.etag));
    w->n = 0;
    FAILPOINT("blob.s3.upload.part_sent");
    return buf_status(&w->list, "list of parts", err);
}

static enum status send_part_now(struct s3_writer *w, struct err *err)
{
    struct arena *a = arena_new(S3_ARENA_MAX);
    enum status st = a ? send_part(w, a, err) : err_nomem(err);

    arena_free(a);
    return st;
}

enum status s3_write(void *writer, const void *p, size_t n, struct err *err)
{
    struct s3_writer *w = writer;
    const char *at = p;
    enum status st = OK;

    while (!st && n) {
        size_t max = part_size(w), k;

        if (w->n >= max) {
            st = send_part_now(w, err); /* more is to come, so it is not the last one */
            continue;
        }
        if (w->n == w->cap) {
            st = grow(w, max, err);
            continue;
        }
        k = MIN_OF(n, MIN_OF(w->cap, max) - w->n);
        memcpy(w->p + w->n, at, k);
        w->n += k;
        at += k;
        n -= k;
    }
    return st;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------- */

/* sha256 NULL: not known yet. */
static enum status put_whole(struct s3_writer *w, struct arena *a, const struct digest *sha256,
                             const char *key, struct err *err)
{
    struct s3_op op = { .method = "PUT",
                        .key = str_cstr(key),
                        .body = str_of(w->p ? w->p : "", w->n),
                        .what = "put an object" };
    struct s3_answer an;
    char hex[65];
    enum status st;

    if (sha256) {
        digest_hex(sha256, hex);
        op.payload = hex;
    }
    FAILPOINT("blob.s3.put.before");
    st = s3_call(w->s, &op, a, &an, err);
    FAILPOINT("blob.s3.put.after");
    return st;
}

/* The parts become one object. An answer that was lost may have been a success: then the upload is gone and its object there. */
enum status s3_complete(struct s3 *s, struct arena *a, const char *key, const char *id,
                        const struct buf *list, uint64_t size, struct err *err)
{
    struct s3_op op = { .method = "POST",
                        .key = str_cstr(key),
                        .root = "CompleteMultipartUploadResult",
                        .what = "complete an upload" };
    struct s3_op head = { .method = "HEAD", .key = str_cstr(key), .what = "look at an upload" };
    struct buf xml = BUF_INIT(XML_MAX + 1024);
    struct s3_answer an;
    enum status st;

    buf_put_lit(&xml,
                "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    buf_put_str(&xml, buf_str(list));
    buf_put_lit(&xml, "</CompleteMultipartUpload>");
    st = buf_status(&xml, "list of parts", err);
    if (!st) {
        op.body = buf_str(&xml);
        op.patience_ms = COPY_MS;
        op.may_think = true;
        s3_add_query(&op, S("uploadId"), str_cstr(id));
        st = s3_call(s, &op, a, &an, err);
    }
    /* Nothing but this makes that key: when it is there, an answer that was lost was a success. Services differ in what they say
     * to the repetition. */
    if (st == ST_NOT_FOUND || st == ST_UNAVAILABLE) {
        struct err why = ERR_INIT;

        if (s3_call(s, &head, a, &an, &why) == OK &&
            (size == UINT64_MAX || (an.length >= 0 && (uint64_t)an.length == size))) {
            st = OK;
        }
    }
    buf_release(&xml);
    return st;
}

static struct str copy_source(const struct s3 *s, const char *staging, struct arena *a)
{
    struct buf text = BUF_INIT(S3_KEY_MAX * 3 + S3_BUCKET_MAX);
    struct str out;

    buf_put_u8(&text, '/');
    s3_encode(&text, str_cstr(s->bucket), false);
    buf_put_u8(&text, '/');
    s3_encode(&text, str_cstr(staging), true);
    out = text.failed ? (struct str){ NULL, 0 } : arena_str(a, buf_str(&text));
    buf_release(&text);
    return out;
}

/* What is too large for one copy is copied in ranges of equal size. */
static enum status copy_ranges(struct s3 *s, struct arena *a, struct str from, const char *key,
                               uint64_t size, struct err *err)
{
    struct buf list = BUF_INIT(XML_MAX);
    char id[S3_UPLOAD_ID_MAX];
    unsigned parts = 0;
    enum status st = s3_create(s, a, key, id, err);

    if (st) {
        return st;
    }
    for (uint64_t at = 0; !st && at < size; at += s->copy_max) {
        struct s3_op op = { .method = "PUT",
                            .key = str_cstr(key),
                            .root = "CopyPartResult",
                            .patience_ms = COPY_MS,
                            .may_think = true,
                            .what = "copy a part" };
        char number[16], range[64];
        struct s3_answer an;

        snprintf(number, sizeof(number), "%u", ++parts);
        snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, at,
                 MIN_OF(at + s->copy_max, size) - 1);
        s3_add_query(&op, S("partNumber"), str_cstr(number));
        s3_add_query(&op, S("uploadId"), str_cstr(id));
        s3_add_field(&op, S("x-amz-copy-source"), from);
        s3_add_field(&op, S("x-amz-copy-source-range"), str_cstr(range));
        st = s3_call(s, &op, a, &an, err);
        if (!st) {
            struct str etag = s3_xml_text(a, s3_xml_find(an.body, "ETag"));

            s3_put_part(&list, parts, etag);
            st = buf_status(&list, "list of parts", err);
        }
    }
    st = st ? st : s3_complete(s, a, key, id, &list, size, err);
    if (st) {
        s3_doom(s, key, id);
    }
    buf_release(&list);
    return st;
}

static enum status copy(struct s3 *s, struct arena *a, const char *staging, const char *key,
                        uint64_t size, struct err *err)
{
    struct s3_op op = { .method = "PUT",
                        .key = str_cstr(key),
                        .root = "CopyObjectResult",
                        .patience_ms = COPY_MS,
                        .may_think = true,
                        .what = "put an object in its place" };
    struct s3_answer an;
    struct str from = copy_source(s, staging, a);

    if (!from.p) {
        return err_nomem(err);
    }
    if (size > s->copy_max) {
        return copy_ranges(s, a, from, key, size, err);
    }
    s3_add_field(&op, S("x-amz-copy-source"), from);
    return s3_call(s, &op, a, &an, err);
}

void s3_forget_staging(struct s3 *s, struct arena *a, const char *staging)
{
    struct s3_op op = { .method = "DELETE",
                        .key = str_cstr(staging),
                        .patience_ms = TIDY_MS,
                        .what = "delete what was staged" };
    struct s3_answer an;
    struct err err = ERR_INIT;
    enum status st = s3_call(s, &op, a, &an, &err);

    if (st && st != ST_NOT_FOUND) {
        LOG_WARN("s3", "%s; it is removed later", err.message);
    }
}

enum status s3_place(struct s3 *s, struct arena *a, const char *staging, const char *key,
                     uint64_t size, struct err *err)
{
    uint64_t there;
    enum status st;

    st = copy(s, a, staging, key, size, err);
    FAILPOINT("blob.s3.copy.after");
    if (!st && (s3_stat_key(s, key, &there, err) != OK || there != size)) {
        st = err_set(err, ST_UNAVAILABLE, "an object did not arrive in its place");
    }
    s3_forget_staging(s, a, staging);
    return st;
}

static enum status finish_parts(struct s3_writer *w, struct arena *a, const char *key,
                                uint64_t size, struct err *err)
{
    enum status st;

    st = w->n ? send_part(w, a, err) : OK;
    if (st) {
        s3_doom(w->s, w->live.key, w->live.id);
        return st;
    }
    FAILPOINT("blob.s3.complete.before");
    st = s3_complete(w->s, a, w->live.key, w->live.id, &w->list, size, err);
    FAILPOINT("blob.s3.complete.after");
    if (st) {
        s3_doom(w->s, w->live.key, w->live.id);
        return st;
    }
    return s3_place(w->s, a, w->live.key, key, size, err);
}

static enum status finish_at(struct s3_writer *w, const struct digest *sha256, const char *key,
                             uint64_t size, struct err *err)
{
    struct arena *a = arena_new(S3_ARENA_MAX);
    enum status st;

    if (!a) {
        s3_write_abort(w);
        return err_nomem(err);
    }
    st = w->parts ? finish_parts(w, a, key, size, err) : put_whole(w, a, sha256, key, err);
    arena_free(a);
    free_writer(w);
    return st;
}

enum status s3_write_finish(void *writer, const struct digest *sha256, int64_t gen, uint64_t size,
                            struct err *err)
{
    struct s3_writer *w = writer;
    char key[S3_KEY_MAX];

    s3_object_key(w->s, sha256, gen, key);
    return finish_at(w, sha256, key, size, err);
}

enum status s3_pack_finish(void *writer, uint64_t id, uint64_t size, struct err *err)
{
    struct s3_writer *w = writer;
    char key[S3_KEY_MAX];

    s3_pack_key(w->s, id, key);
    return finish_at(w, NULL, key, size, err);
}

void s3_write_abort(void *writer)
{
    struct s3_writer *w = writer;

    if (w->live.id[0]) {
        s3_doom(w->s, w->live.key, w->live.id);
    }
    free_writer(w);
}
