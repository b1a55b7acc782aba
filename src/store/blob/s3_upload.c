/* store/blob/s3_upload.c - writing: one PUT for what is small, parts and a copy for the rest. See s3_int.h. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
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

/* A part: while it fills it is its writer's, then its sender's until it has been sent. */
struct part {
    struct exec_job job;
    struct s3_writer *w;
    char *p;
    size_t n, cap;
    unsigned number;
    struct sha256 *sha; /* what signs it, while it fills; made for the second part and later ones */
    bool is_hashed;     /* it covers all of the part */
    bool is_signed;     /* sha256 is that of the whole part */
    struct digest sha256;
    struct exec_event *sent; /* NULL: not on its way */
    enum status st;          /* this and the next two: the sender's, until `sent` is set */
    struct err err;
    char etag[256]; /* "" = not sent, or on the list */
};

/* Part i fills parts[i % PARTS_N] while those before it are sent; they are collected in their order. */
enum { PARTS_N = S3_AHEAD_OF_UPLOAD + 1 };

struct s3_writer {
    struct s3 *s;
    struct part parts[PARTS_N];
    unsigned filling; /* number of the part that fills, from 0; 0: no upload has begun */
    unsigned taken;   /* so many have been sent, and stand in the list */
    bool is_complete; /* the upload is an object, and no upload any more */
    struct s3_live
        live; /* staging key and id of the upload; the lock of s guards the list and the id */
    struct buf list;         /* XML of the parts */
    unsigned flying;         /* of the senders that still look at this writer; the lock of s */
    bool is_left, is_doomed; /* whoever wrote has gone: the last sender frees it, and lets the
                                upload be aborted if it is doomed; the lock of s */
    bool is_named; /* of a name of its own: live.key is that name, and live.mark tells of it */
    bool
        is_resumed; /* what was saved stays, whatever becomes of the writer; the next two are its */
    int64_t tail,
        before; /* numbers of the beginnings of parts that lie staged: of the last save, and of one before it; -1: none */
    int64_t salt;            /* of the names of those that this writer stages */
    _Atomic bool no_retries; /* relaxed: ends work that is of no use, a moment late if need be */
};

static struct part *part_of(struct s3_writer *w, unsigned number)
{
    return &w->parts[number % PARTS_N];
}

static size_t part_size(const struct s3_writer *w, unsigned number)
{
    size_t n = w->s->part_bytes;

    for (unsigned i = PARTS_STEP; i <= number && n < S3_PART_BYTES_MAX; i += PARTS_STEP) {
        n = MIN_OF(n * 2, (size_t)S3_PART_BYTES_MAX);
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
    for (size_t i = 0; i < PARTS_N; i++) {
        /* Relaxed: a sum. */
        atomic_fetch_sub_explicit(&w->s->buffered, w->parts[i].cap, memory_order_relaxed);
        mem_free(w->parts[i].p);
        sha256_free(w->parts[i].sha);
        exec_event_free(w->parts[i].sent);
    }
    buf_release(&w->list);
    mem_free(w);
}

/* With the lock of s, which it gives back: frees the writer when nobody has to do with it any more. An upload that is to be aborted
 * is by then, and not before its last part has come: a part that comes later would stay. */
static void end_if_last(struct s3_writer *w)
{
    struct s3 *s = w->s;
    bool last = w->is_left && !w->flying;

    lock_give(&s->lock);
    if (last) {
        if (w->is_doomed) {
            s3_doom(s, w->live.key, w->live.id, w->live.mark);
        }
        free_writer(w);
    }
}

/* Nobody writes any more. What is on its way is not tried again. */
static void leave(struct s3_writer *w, bool is_doomed)
{
    /* Relaxed: see the field. */
    atomic_store_explicit(&w->no_retries, true, memory_order_relaxed);
    lock_take(&w->s->lock);
    w->is_left = true;
    w->is_doomed = is_doomed && w->live.id[0] && !w->is_resumed;
    end_if_last(w);
}

/* Makes the buffer of a part larger; limit: of the buffers of all uploads together. */
static enum status grow(struct s3 *s, struct part *part, size_t cap, size_t limit, struct err *err)
{
    size_t more = cap - part->cap;
    size_t sum = atomic_fetch_add_explicit(&s->buffered, more, memory_order_relaxed) + more;
    char *p = NULL;

    if (sum <= limit) {
        p = mem_realloc(part->p, cap);
        if (p) {
            part->p = p;
            part->cap = cap;
            return OK;
        }
    }
    atomic_fetch_sub_explicit(&s->buffered, more, memory_order_relaxed);
    return sum <= limit ? err_nomem(err)
                        : err_set(err, ST_UNAVAILABLE, "too many uploads are at work; try again");
}

/* ---- parts --------------------------------------------------------------------------------------------------------------------------- */

enum status s3_create(struct s3 *s, struct arena *a, const char *key, const char *mark, char *id,
                      struct err *err)
{
    struct s3_op op = { .method = "POST",
                        .key = str_cstr(key),
                        .root = "InitiateMultipartUploadResult",
                        .what = "begin an upload" };
    struct s3_answer an;
    struct str text;
    enum status st;

    s3_add_query(&op, S("uploads"), S(""));
    if (mark) {
        s3_add_field(&op, S(S3_MARK_FIELD), str_cstr(mark));
    }
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

/* A new one of this start, for a mark or for staging. */
/* The name of the next mark, or staged object, of this start. */
static void next_mark(struct s3 *s, char out[S3_MARK_MAX])
{
    uint64_t n = atomic_fetch_add_explicit(&s->staging_n, 1, memory_order_relaxed);

    snprintf(out, S3_MARK_MAX, "%s.%s.%" PRIu64, s->instance, s->start, n);
}

static enum status begin_upload(struct s3_writer *w, struct err *err)
{
    const char *mark = w->is_named ? w->live.mark : NULL;
    struct arena *a = arena_new(S3_ARENA_MAX);
    char id[S3_UPLOAD_ID_MAX] = "";
    enum status st = OK;

    if (!a) {
        return err_nomem(err);
    }
    if (w->is_named) {
        next_mark(w->s, w->live.mark);
    } else if (!w->is_resumed) {
        char name[S3_MARK_MAX];

        next_mark(w->s, name);
        snprintf(w->live.key, sizeof(w->live.key), "%sstaging/%s", w->s->prefix, name);
    }
    if (!w->is_resumed) {
        enlist(w);
    }
    st = s3_create(w->s, a, w->live.key, mark, id, err);
    if (!st) {
        lock_take(&w->s->lock);
        memcpy(w->live.id, id, sizeof(id));
        lock_give(&w->s->lock);
    }
    FAILPOINT("blob.s3.upload.created");
    if (!st && mark) {
        st = s3_put_mark(w->s, a, mark, w->live.key, id, err);
    }
    arena_free(a);
    return st;
}

/* Sends a part, on whatever thread. */
static enum status send_part(struct part *part, struct err *err)
{
    struct s3_writer *w = part->w;
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct s3_op op = { .method = "PUT",
                        .key = str_cstr(w->live.key),
                        .body = str_of(part->p, part->n),
                        .patience_ms = MAX_OF((int64_t)PART_MS, w->s->patience_ms),
                        .no_retries = &w->no_retries,
                        .what = "send a part of an upload" };
    struct s3_answer an;
    char number[16], hex[65];
    enum status st;

    if (!a) {
        return err_nomem(err);
    }
    if (part->is_signed) {
        digest_hex(&part->sha256, hex);
        op.payload = hex;
    }
    snprintf(number, sizeof(number), "%u", part->number + 1);
    s3_add_query(&op, S("partNumber"), str_cstr(number));
    s3_add_query(&op, S("uploadId"), str_cstr(w->live.id));
    st = s3_call(w->s, &op, a, &an, err);
    if (!st && !an.etag[0]) {
        st = err_set(err, ST_UNAVAILABLE, "cannot send a part of an upload: S3 names no ETag");
    }
    if (!st) {
        memcpy(part->etag, an.etag, sizeof(part->etag));
    }
    arena_free(a);
    FAILPOINT("blob.s3.upload.part_sent");
    return st;
}

static void run_sender(struct exec_job *job, unsigned worker)
{
    struct part *part = CONTAINER_OF(job, struct part, job);
    struct s3_writer *w = part->w;
    struct s3 *s = w->s;

    (void)worker;
    part->st = send_part(part, &part->err);
    /* Relaxed: a sum. Before the event: who waited for it finds room. */
    atomic_fetch_sub_explicit(&s->ahead, 1, memory_order_relaxed);
    lock_take(&s->lock);
    exec_event_set(part->sent); /* whoever waited takes the lock too, before it frees anything */
    w->flying--;
    end_if_last(w);
}

/* The part that fills is sent while the next one fills. False when there is no room for that now. */
static bool send_ahead(struct s3_writer *w)
{
    struct s3 *s = w->s;
    struct part *part = part_of(w, w->filling), *next = part_of(w, w->filling + 1);
    size_t cap = part_size(w, w->filling + 1);
    struct err ignored = ERR_INIT;

    if (w->filling - w->taken == S3_AHEAD_OF_UPLOAD || !s->senders) {
        return false;
    }
    if (atomic_fetch_add_explicit(&s->ahead, 1, memory_order_relaxed) >= S3_AHEAD_MAX_PARTS ||
        (next->cap < cap && grow(s, next, cap, S3_AHEAD_BUFFERED_MAX, &ignored))) {
        goto undo;
    }
    part->sent = exec_event_new();
    if (!part->sent) {
        goto undo;
    }
    lock_take(&s->lock);
    w->flying++;
    lock_give(&s->lock);
    if (exec_pool_submit(s->senders, &part->job) == OK) {
        FAILPOINT("blob.s3.upload.part_handed");
        return true;
    }
    lock_take(&s->lock);
    w->flying--;
    lock_give(&s->lock);
    exec_event_free(part->sent);
    part->sent = NULL;
undo:
    atomic_fetch_sub_explicit(&s->ahead, 1, memory_order_relaxed);
    return false;
}

/* The oldest part that is not on the list: it is waited for, or sent now if it is not on its way, and put on the list. */
static enum status collect(struct s3_writer *w, struct err *err)
{
    struct part *part = part_of(w, w->taken);
    enum status st;

    if (part->sent) {
        exec_event_wait(part->sent, -1);
        lock_take(&w->s->lock); /* its sender has given it back, and has done with the event */
        lock_give(&w->s->lock);
        exec_event_free(part->sent);
        part->sent = NULL;
        if (part->st) {
            if (err) {
                *err = part->err;
            }
            return part->st;
        }
    } else {
        st = part->etag[0] ? OK : send_part(part, err);
        if (st) {
            return st;
        }
    }
    s3_put_part(&w->list, w->taken + 1, str_cstr(part->etag));
    part->etag[0] = 0;
    part->n = 0;
    part->is_hashed = part->is_signed = false;
    w->taken++;
    return buf_status(&w->list, "list of parts", err);
}

/* Over TLS parts are not signed, and the first part has the digest that the object has had so far. Where nobody wants that of the object
 * either, its senders hash a part; what was saved of an upload is hashed by none yet. */
static bool hashes_part(const struct s3_writer *w, const struct sha256 *sha)
{
    return !w->s->is_https && w->filling && (sha || w->is_resumed);
}

/* Bytes of the part that fills, for which there is room. */
static enum status add_bytes(struct s3_writer *w, struct part *part, struct sha256 *sha,
                             const char *p, size_t n, struct err *err)
{
    char *to = part->p + part->n;

    if (!part->n && hashes_part(w, sha)) {
        if (!part->sha) {
            part->sha = sha256_resume(NULL, 0);
        }
        part->is_hashed = part->sha && sha256_restart(part->sha);
        if (!part->is_hashed) {
            return err_nomem(err);
        }
    }
    if (part->is_hashed && sha) {
        sha256_update_both(sha, part->sha, to, p, n);
    } else {
        memcpy(to, p, n);
        if (part->is_hashed || sha) {
            sha256_update(sha ? sha : part->sha, to, n);
        }
    }
    part->n += n;
    return OK;
}

/* The part that fills is full. sha: as of s3_write(). */
static void sign_part(struct s3_writer *w, const struct sha256 *sha)
{
    struct part *part = part_of(w, w->filling);

    if (part->is_hashed) {
        part->sha256 = sha256_end(part->sha);
        part->is_signed = true;
        part->is_hashed = false;
    } else if (sha && !w->filling && !w->s->is_https) {
        part->sha256 = sha256_so_far(sha);
        part->is_signed = true;
    }
}

/* What fills becomes a part on its way; more is to come. */
static enum status next_part(struct s3_writer *w, struct err *err)
{
    enum status st = OK;
    struct part *part, *next;

    if (!w->live.id[0]) {
        st = begin_upload(w, err);
    }
    if (!st && w->filling + 1 == PARTS_MAX) {
        st = err_set(err, ST_TOO_BIG, "an object has more than %d parts", PARTS_MAX);
    }
    while (!st && w->taken <= w->filling && !send_ahead(w)) {
        st = collect(w, err); /* one that flies, which makes room, or this one itself */
    }
    if (st) {
        return st;
    }
    part = part_of(w, w->filling);
    next = part_of(w, ++w->filling);
    if (!part->sent && !next->cap) { /* sent here: its buffer goes on */
        next->p = part->p;
        next->cap = part->cap;
        part->p = NULL;
        part->cap = 0;
    }
    next->number = w->filling;
    return OK;
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
    for (size_t i = 0; i < PARTS_N; i++) {
        w->parts[i].w = w;
        w->parts[i].job.run = run_sender;
    }
    buf_init(&w->list, XML_MAX);
    *out = w;
    return OK;
}

enum status s3_write(void *writer, struct sha256 *sha, const void *p, size_t n, struct err *err)
{
    struct s3_writer *w = writer;
    const char *at = p;
    enum status st = OK;

    while (!st && n) {
        struct part *part = part_of(w, w->filling);
        size_t max = part_size(w, w->filling), k;

        if (part->n >= max) {
            sign_part(w, sha);
            st = next_part(w, err); /* more is to come, so it is not the last one */
            continue;
        }
        if (part->n == part->cap) {
            st = grow(w->s, part, MIN_OF(part->cap ? part->cap * 2 : (size_t)FIRST_BYTES, max),
                      S3_BUFFERED_MAX, err);
            continue;
        }
        k = MIN_OF(n, MIN_OF(part->cap, max) - part->n);
        st = add_bytes(w, part, sha, at, k, err);
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
    const struct part *part = &w->parts[0];
    struct s3_op op = { .method = "PUT",
                        .key = str_cstr(key),
                        .body = str_of(part->p ? part->p : "", part->n),
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
                        const char *mark, const struct buf *list, uint64_t size, struct err *err)
{
    struct s3_op op = { .method = "POST",
                        .key = str_cstr(key),
                        .root = "CompleteMultipartUploadResult",
                        .lists_parts = size == UINT64_MAX,
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
    /* Nothing but this makes that key, or an object with that mark: when it is there, an answer that was lost was a success.
     * Services differ in what they say to the repetition. */
    if (st == ST_NOT_FOUND || st == ST_UNAVAILABLE || st == ST_INVALID) {
        struct err why = ERR_INIT;
        enum status looked = s3_call(s, &head, a, &an, &why);

        if (!looked && (!mark || strcmp(mark, an.mark) == 0) &&
            (size == UINT64_MAX || (an.length >= 0 && (uint64_t)an.length == size))) {
            st = OK;
        } else if (st == ST_NOT_FOUND && looked && looked != ST_NOT_FOUND) {
            *err = why; /* not known: "there is no such upload" would be for good */
            st = looked;
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
    enum status st = s3_create(s, a, key, NULL, id, err);

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
    st = st ? st : s3_complete(s, a, key, id, NULL, &list, size, err);
    if (st) {
        s3_doom(s, key, id, "");
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

static enum status put_in_place(struct s3 *s, struct arena *a, const char *staging, const char *key,
                                uint64_t size, struct err *err)
{
    uint64_t there;
    enum status st;

    st = copy(s, a, staging, key, size, err);
    FAILPOINT("blob.s3.copy.after");
    if (!st && (s3_stat_key(s, key, &there, err) != OK || there != size)) {
        st = err_set(err, ST_UNAVAILABLE, "an object did not arrive in its place");
    }
    return st;
}

enum status s3_place(struct s3 *s, struct arena *a, const char *staging, const char *key,
                     uint64_t size, struct err *err)
{
    enum status st = put_in_place(s, a, staging, key, size, err);

    s3_forget_staging(s, a, staging);
    return st;
}

/* Whether a try before has made the parts one object already. */
static bool was_completed(struct s3_writer *w, uint64_t size)
{
    struct err ignored = ERR_INIT;
    uint64_t there;

    return s3_stat_key(w->s, w->live.key, &there, &ignored) == OK && there == size;
}

static enum status finish_parts(struct s3_writer *w, struct arena *a, const char *key,
                                uint64_t size, struct err *err)
{
    enum status st;

    sign_part(w, NULL);
    st = send_part(part_of(w, w->filling), err); /* beside those on their way */
    if (st == ST_NOT_FOUND && w->is_resumed && was_completed(w, size)) {
        return put_in_place(w->s, a, w->live.key, key, size, err);
    }
    while (!st && w->taken <= w->filling) {
        st = collect(w, err);
    }
    if (st) {
        return st;
    }
    FAILPOINT("blob.s3.complete.before");
    st = s3_complete(w->s, a, w->live.key, w->live.id, w->is_named ? w->live.mark : NULL, &w->list,
                     size, err);
    FAILPOINT("blob.s3.complete.after");
    if (st) {
        return st;
    }
    w->is_complete = true;
    if (w->is_named) {
        s3_drop_mark(w->s, a, w->live.mark);
        return OK;
    }
    if (w->is_resumed) {
        return put_in_place(w->s, a, w->live.key, key, size, err);
    }
    return s3_place(w->s, a, w->live.key, key, size, err);
}

static enum status finish_at(struct s3_writer *w, const struct digest *sha256, const char *key,
                             uint64_t size, struct err *err)
{
    struct arena *a = arena_new(S3_ARENA_MAX);
    enum status st;

    if (!a) {
        st = err_nomem(err);
    } else if (w->filling) {
        st = finish_parts(w, a, key, size, err);
    } else {
        st = put_whole(w, a, sha256, key, err);
    }
    arena_free(a);
    leave(w, !w->is_complete);
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
    leave(writer, true);
}

/* ---- files of a name of their own -------------------------------------------------------------------------------------------- */

enum status s3_named_begin(struct s3 *s, const char *key, struct s3_writer **out, struct err *err)
{
    void *made = NULL;
    enum status st = s3_write_begin(s, &made, err);

    *out = made;
    if (!st) {
        (*out)->is_named = true;
        snprintf((*out)->live.key, sizeof((*out)->live.key), "%s", key);
    }
    return st;
}

enum status s3_named_finish(struct s3_writer *w, const struct digest *sha256, uint64_t size,
                            struct err *err)
{
    char key[S3_KEY_MAX];

    memcpy(key, w->live.key, sizeof(key));
    return finish_at(w, sha256, key, size, err);
}

/* ---- uploads that go on later ------------------------------------------------------------------------------------------------
 * The parts that were sent stay; what is not a part yet lies beside them, as "<key>.<number>", a number that no other writer has:
 * one that has lost the upload to another server, and does not know it yet, must not write over what that one has saved. The parts
 * of a size begin where they always do, so a part that is sent twice has the same bytes. */

static int64_t tail_number(const struct s3_writer *w)
{
    return w->salt * PARTS_MAX + (int64_t)w->filling;
}

static void tail_key(const struct s3_writer *w, int64_t number, char out[S3_KEY_MAX])
{
    snprintf(out, S3_KEY_MAX, "%s.%" PRId64, w->live.key, number);
}

/* "<upload id>\n<parts> <bytes of the tail> <tail> <before>\n<list of parts>". */
static void put_ledger(const struct s3_writer *w, size_t tail_n, struct buf *out)
{
    buf_printf(out, "%s\n%u %zu %" PRId64 " %" PRId64 "\n", w->live.id, w->filling, tail_n, w->tail,
               w->before);
    buf_put_str(out, buf_str(&w->list));
}

static bool get_number(struct str *line, int64_t *out)
{
    struct str word;
    uint64_t n;

    if (!str_split(line, ' ', &word)) {
        return false;
    }
    if (str_eq_lit(word, "-1")) {
        *out = -1;
        return true;
    }
    if (!num_parse_u64(word, &n) || n > INT64_MAX) {
        return false;
    }
    *out = (int64_t)n;
    return true;
}

static enum status get_ledger(struct s3_writer *w, struct str text, size_t *tail_n, struct err *err)
{
    struct str id, line;
    int64_t parts, n;

    if (!str_split(&text, '\n', &id) || id.n >= sizeof(w->live.id) ||
        !str_split(&text, '\n', &line) || !get_number(&line, &parts) || !get_number(&line, &n) ||
        !get_number(&line, &w->tail) || !get_number(&line, &w->before) || parts < 0 ||
        parts >= PARTS_MAX || n < 0) {
        return err_set(err, ST_CORRUPT, "the ledger of an upload cannot be read");
    }
    memcpy(w->live.id, id.p, id.n);
    w->live.id[id.n] = 0;
    w->filling = w->taken = (unsigned)parts;
    part_of(w, w->filling)->number = w->filling;
    *tail_n = (size_t)n;
    buf_put_str(&w->list, text);
    return buf_status(&w->list, "list of parts", err);
}

/* What was not a part yet fills one again. */
static enum status read_tail(struct s3_writer *w, size_t tail_n, struct err *err)
{
    char key[S3_KEY_MAX], *room = mem_alloc(FIRST_BYTES);
    uint64_t size = 0;
    void *reader = NULL;
    enum status st = room ? OK : err_nomem(err);

    tail_key(w, w->tail, key);
    st = st ? st : s3_stat_key(w->s, key, &size, err);
    if (!st && size < tail_n) {
        st = err_set(err, ST_NOT_FOUND, "what was saved of an upload is missing");
    }
    st = st ? st : s3_read_key(w->s, key, size, 0, tail_n, &reader, err);
    for (size_t got = 0; !st && tail_n; tail_n -= got) {
        st = s3_read(reader, room, MIN_OF(tail_n, (size_t)FIRST_BYTES), &got, err);
        st = st ? st : s3_write(w, NULL, room, got, err);
    }
    if (reader) {
        s3_read_end(reader);
    }
    mem_free(room);
    return st;
}

enum status s3_resume_begin(void *b, struct str id, uint64_t at, struct str ledger, void **out,
                            struct err *err)
{
    struct s3_writer *w = NULL;
    void *made = NULL;
    size_t tail_n = 0;
    enum status st = s3_write_begin(b, &made, err);

    *out = NULL;
    if (st) {
        return st;
    }
    w = made;
    w->is_resumed = true;
    w->tail = w->before = -1;
    w->salt = (int64_t)rand_below(UINT64_C(1) << 40);
    snprintf(w->live.key, sizeof(w->live.key), "%sstaging/resume.%.*s", w->s->prefix, STR_ARG(id));
    if (at) {
        st = get_ledger(w, ledger, &tail_n, err);
        st = st || !tail_n ? st : read_tail(w, tail_n, err);
    }
    if (st) {
        leave(w, false);
        return st;
    }
    *out = w;
    return OK;
}

static enum status put_tail(struct s3_writer *w, const struct part *part, struct err *err)
{
    char key[S3_KEY_MAX];
    struct s3_op op = { .method = "PUT",
                        .body = str_of(part->p, part->n),
                        .what = "save an upload" };
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct s3_answer an;
    enum status st;

    if (!a) {
        return err_nomem(err);
    }
    tail_key(w, tail_number(w), key);
    op.key = str_cstr(key);
    st = s3_call(w->s, &op, a, &an, err);
    arena_free(a);
    return st;
}

static void forget_tail(const struct s3_writer *w, int64_t number)
{
    struct arena *a = number >= 0 ? arena_new(S3_ARENA_MAX) : NULL;
    char key[S3_KEY_MAX];

    if (a) {
        tail_key(w, number, key);
        s3_forget_staging(w->s, a, key);
        arena_free(a);
    }
}

/* The tail of the last save is that of the row until the operation is through, so only the one before it can go. */
enum status s3_resume_save(void *writer, struct buf *ledger, struct err *err)
{
    struct s3_writer *w = writer;
    const struct part *part = part_of(w, w->filling);
    int64_t tail = tail_number(w);
    enum status st = OK;

    while (!st && w->taken < w->filling) {
        st = collect(w, err);
    }
    st = st || !part->n ? st : put_tail(w, part, err);
    FAILPOINT("blob.s3.resume.saved");
    if (st) {
        return st;
    }
    if (w->before != w->tail && w->before != tail) {
        forget_tail(w, w->before);
    }
    if (w->tail != tail) {
        w->before = w->tail;
        w->tail = part->n ? tail : -1;
    }
    put_ledger(w, part->n, ledger);
    return OK;
}

enum status s3_resume_drop(void *b, struct str id, struct str ledger, struct err *err)
{
    struct s3 *s = b;
    struct s3_writer w = { .s = s, .tail = -1, .before = -1 };
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct s3_op op = { .method = "DELETE", .what = "abort an upload" };
    struct s3_answer an;
    struct err ignored = ERR_INIT;
    size_t tail_n;
    enum status st = a ? OK : err_nomem(err);

    buf_init(&w.list, XML_MAX);
    snprintf(w.live.key, sizeof(w.live.key), "%sstaging/resume.%.*s", s->prefix, STR_ARG(id));
    if (!st && ledger.n && get_ledger(&w, ledger, &tail_n, &ignored) == OK && w.live.id[0]) {
        op.key = str_cstr(w.live.key);
        s3_add_query(&op, S("uploadId"), str_cstr(w.live.id));
        st = s3_call(s, &op, a, &an, err);
        st = st == ST_NOT_FOUND ? OK : st;
    }
    if (!st) {
        forget_tail(&w, w.tail);
        forget_tail(&w, w.before);
        s3_forget_staging(s, a, w.live.key);
    }
    buf_release(&w.list);
    arena_free(a);
    return st;
}
