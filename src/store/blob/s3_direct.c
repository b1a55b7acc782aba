/* store/blob/s3_direct.c - clients that send parts and get objects themselves, with signed URLs. In a place of others an upload bears
 * the name of its file, which it gets when it is completed, and nothing is read back; in the store of the server:
 * An id names the staging key and the upload of the service: any server of the bucket can finish it, and who does not know it cannot
 * guess it. What a client sent is a staged object at most: it is read back and hashed before it is put in its place. */
#include "base/id.h"
#include "base/mem.h"
#include "store/blob/s3_int.h"
#include <stdio.h>

enum { BLOCK = 256 * 1024, XML_MAX = 4 << 20, RANDOM_N = 32 };

static enum status urls_of(struct s3 *s, struct arena *a, const char *key, const char *upload,
                           unsigned parts, struct str *urls, struct err *err)
{
    enum status st = OK;

    for (unsigned i = 0; !st && i < parts; i++) {
        struct s3_pair query[2];
        char number[16];

        snprintf(number, sizeof(number), "%u", i + 1);
        query[0] = (struct s3_pair){ S("partNumber"), str_cstr(number) };
        query[1] = (struct s3_pair){ S("uploadId"), str_cstr(upload) };
        st = s3_url(s, "PUT", key, query, ARRAY_N(query), BLOB_DIRECT_S, a, &urls[i], err);
    }
    return st;
}

enum status s3_direct_begin(void *b, struct arena *a, unsigned parts, struct str *id,
                            struct str *urls, struct err *err)
{
    struct s3 *s = b;
    char key[S3_KEY_MAX], upload[S3_UPLOAD_ID_MAX], name[RANDOM_N + 1];
    enum status st;

    id_hex32(name);
    snprintf(key, sizeof(key), "%sstaging/client.%s", s->prefix, name);
    st = s3_create(s, a, key, NULL, upload, err);
    st = st ? st : urls_of(s, a, key, upload, parts, urls, err);
    *id = arena_printf(a, "%s.%s", name, upload);
    return st || id->p ? st : err_nomem(err);
}

static enum status no_upload(struct err *err)
{
    return err_field(err, ST_INVALID, "upload_id", "there is no such upload");
}

/* The random name and the upload of an id. */
static enum status split_id(struct str id, char name[RANDOM_N + 1], char upload[S3_UPLOAD_ID_MAX],
                            struct err *err)
{
    if (id.n < RANDOM_N + 2 || id.n >= RANDOM_N + 1 + S3_UPLOAD_ID_MAX || id.p[RANDOM_N] != '.' ||
        memchr(id.p, 0, id.n)) {
        return no_upload(err);
    }
    for (size_t i = 0; i < RANDOM_N; i++) {
        char c = id.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return no_upload(err);
        }
    }
    snprintf(name, RANDOM_N + 1, "%.*s", RANDOM_N, id.p);
    snprintf(upload, S3_UPLOAD_ID_MAX, "%.*s", STR_ARG(str_sub(id, RANDOM_N + 1, id.n)));
    return OK;
}

/* The staging key and the upload that an id names. */
static enum status parse_id(const struct s3 *s, struct str id, char key[S3_KEY_MAX],
                            char upload[S3_UPLOAD_ID_MAX], struct err *err)
{
    char name[RANDOM_N + 1];
    enum status st = split_id(id, name, upload, err);

    if (!st) {
        snprintf(key, S3_KEY_MAX, "%sstaging/client.%s", s->prefix, name);
    }
    return st;
}

static enum status hash_staged(struct s3 *s, const char *key, uint64_t size, struct digest *sha256,
                               struct err *err)
{
    struct sha256 *sha = sha256_new();
    char *block = mem_alloc(BLOCK);
    void *reader = NULL;
    uint64_t left = size;
    enum status st =
        sha && block ? s3_read_key(s, key, size, 0, size, &reader, err) : err_nomem(err);

    while (!st && left) {
        size_t got = 0;

        st = s3_read(reader, block, (size_t)MIN_OF((uint64_t)BLOCK, left), &got, err);
        if (!st) {
            sha256_update(sha, block, got);
            left -= got;
        }
    }
    if (!st) {
        *sha256 = sha256_end(sha);
    }
    if (reader) {
        s3_read_end(reader);
    }
    mem_free(block);
    sha256_free(sha);
    return st;
}

static enum status list_of(const struct blob_part *parts, size_t n, struct buf *list,
                           struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!parts[i].number || parts[i].number > BLOB_DIRECT_PARTS ||
            (i && parts[i].number <= parts[i - 1].number) || !parts[i].etag.n ||
            parts[i].etag.n > 256) {
            return err_field(err, ST_INVALID, "parts",
                             "the parts are not numbered in rising order, each with its etag");
        }
        s3_put_part(list, parts[i].number, parts[i].etag);
    }
    return n ? buf_status(list, "list of parts", err)
             : err_field(err, ST_INVALID, "parts", "an upload has at least one part");
}

/* Some services answer 500 to the completion of an upload that they do not know. */
static enum status is_open(struct s3 *s, struct arena *a, const char *key, const char *upload,
                           struct err *err)
{
    struct s3_op op = { .method = "GET", .key = str_cstr(key), .what = "look at an upload" };
    struct s3_answer an;

    s3_add_query(&op, S("max-parts"), S("1"));
    s3_add_query(&op, S("uploadId"), str_cstr(upload));
    return s3_call(s, &op, a, &an, err);
}

enum status s3_direct_join(void *b, struct str id, const struct blob_part *parts, size_t n,
                           struct digest *sha256, uint64_t *size, struct err *err)
{
    struct s3 *s = b;
    char key[S3_KEY_MAX], upload[S3_UPLOAD_ID_MAX];
    struct buf list = BUF_INIT(XML_MAX);
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct s3_op head = { .method = "HEAD", .what = "look at an upload" };
    struct s3_answer an;
    enum status st = a ? parse_id(s, id, key, upload, err) : err_nomem(err);

    *size = 0;
    st = st ? st : list_of(parts, n, &list, err);
    st = st ? st : is_open(s, a, key, upload, err);
    st = st ? st : s3_complete(s, a, key, upload, NULL, &list, UINT64_MAX, err);
    if (st == ST_NOT_FOUND) {
        st = no_upload(err);
    }
    if (!st) {
        head.key = str_cstr(key);
        st = blob_as_io(s3_call(s, &head, a, &an, err), err);
    }
    if (!st) {
        *size = an.length < 0 ? 0 : (uint64_t)an.length;
        st = blob_as_io(hash_staged(s, key, *size, sha256, err), err);
    }
    buf_release(&list);
    arena_free(a);
    return st;
}

enum status s3_direct_place(void *b, struct str id, const struct digest *sha256, int64_t gen,
                            uint64_t size, struct err *err)
{
    char key[S3_KEY_MAX], upload[S3_UPLOAD_ID_MAX], place[S3_KEY_MAX];
    struct arena *a = arena_new(S3_ARENA_MAX);
    enum status st = a ? parse_id(b, id, key, upload, err) : err_nomem(err);

    s3_object_key(b, sha256, gen, place);
    st = st ? st : blob_as_io(s3_place(b, a, key, place, size, err), err);
    arena_free(a);
    return st;
}

enum status s3_direct_drop(void *b, struct str id, struct err *err)
{
    char key[S3_KEY_MAX], upload[S3_UPLOAD_ID_MAX];
    struct arena *a = arena_new(S3_ARENA_MAX);
    enum status st = a ? parse_id(b, id, key, upload, err) : err_nomem(err);

    if (!st) {
        s3_forget_staging(b, a, key);
    }
    arena_free(a);
    return st;
}

enum status s3_direct_abort(void *b, struct str id, struct err *err)
{
    struct s3 *s = b;
    char key[S3_KEY_MAX], upload[S3_UPLOAD_ID_MAX];
    enum status st = parse_id(s, id, key, upload, err);

    if (!st) {
        s3_doom(s, key, upload, "");
        s3_abort_doomed(s);
    }
    return st;
}

enum status s3_direct_get(void *b, struct arena *a, const struct digest *sha256, int64_t gen,
                          int64_t seconds, struct str *url, struct err *err)
{
    char key[S3_KEY_MAX];

    s3_object_key(b, sha256, gen, key);
    return s3_url(b, "GET", key, NULL, 0, seconds, a, url, err);
}

enum status s3_direct_get_small(void *b, struct arena *a, const struct digest *sha256,
                                struct str bytes, int64_t seconds, struct str *url, struct err *err)
{
    struct s3 *s = b;
    char key[S3_KEY_MAX], hex[65];
    struct s3_op op = { .method = "PUT", .body = bytes, .what = "put a copy of an object" };
    struct s3_answer an;
    enum status st;

    digest_hex(sha256, hex);
    snprintf(key, sizeof(key), "%sstaging/get.%s", s->prefix, hex);
    op.key = str_cstr(key);
    op.payload = hex;
    st = blob_as_io(s3_call(s, &op, a, &an, err), err);
    seconds = MIN_OF(seconds, (int64_t)S3_LEFTOVER_MS / 1000 / 2);
    return st ? st : s3_url(s, "GET", key, NULL, 0, seconds, a, url, err);
}

/* ---- in a place of others ------------------------------------------------------------------------------------------------------ */

enum status s3_named_direct_begin(struct s3 *s, struct arena *a, const char *key, unsigned parts,
                                  struct str *id, struct str *urls, struct err *err)
{
    char upload[S3_UPLOAD_ID_MAX] = "", name[RANDOM_N + 1], mark[S3_MARK_MAX];
    enum status st;

    id_hex32(name);
    snprintf(mark, sizeof(mark), "client.%s", name);
    st = s3_create(s, a, key, mark, upload, err);
    st = st ? st : s3_put_mark(s, a, mark, key, upload, err);
    st = st ? st : urls_of(s, a, key, upload, parts, urls, err);
    *id = arena_printf(a, "%s.%s", name, upload);
    st = st || id->p ? st : err_nomem(err);
    if (st && upload[0]) {
        s3_doom(s, key, upload, mark);
    }
    return st;
}

enum status s3_named_direct_end(struct s3 *s, const char *key, struct str id,
                                const struct blob_part *parts, size_t n, struct err *err)
{
    struct s3_op head = { .method = "HEAD", .key = str_cstr(key), .what = "look at an upload" };
    char name[RANDOM_N + 1], upload[S3_UPLOAD_ID_MAX], mark[S3_MARK_MAX] = "";
    struct buf list = BUF_INIT(XML_MAX);
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct s3_answer an;
    enum status st = a ? split_id(id, name, upload, err) : err_nomem(err);

    st = st ? st : list_of(parts, n, &list, err);
    if (!st) {
        snprintf(mark, sizeof(mark), "client.%s", name);
        st = is_open(s, a, key, upload, err);
        if (st == ST_NOT_FOUND) { /* or it was completed before, and the client asks again */
            st = s3_call(s, &head, a, &an, err);
            if (!st && strcmp(an.mark, mark) != 0) {
                st = ST_NOT_FOUND;
            }
        } else if (!st) {
            st = s3_complete(s, a, key, upload, mark, &list, UINT64_MAX, err);
        }
    }
    if (!st) {
        s3_drop_mark(s, a, mark);
    }
    buf_release(&list);
    arena_free(a);
    return st == ST_NOT_FOUND ? no_upload(err) : st;
}

enum status s3_named_direct_abort(struct s3 *s, const char *key, struct str id, struct err *err)
{
    char name[RANDOM_N + 1], upload[S3_UPLOAD_ID_MAX], mark[S3_MARK_MAX];
    enum status st = split_id(id, name, upload, err);

    if (!st) {
        snprintf(mark, sizeof(mark), "client.%s", name);
        s3_doom(s, key, upload, mark);
        s3_abort_doomed(s);
    }
    return st;
}
