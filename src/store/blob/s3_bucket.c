/* store/blob/s3_bucket.c - buckets of others, by name. See bucket.h. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/blob/blob_int.h"
#include "store/blob/bucket.h"
#include "store/blob/s3_int.h"
#include "store/blob/s3_xml.h"
#include <stdio.h>
#include <stdlib.h>

enum { PAGE_KEYS = 1000, PAGES_MAX = 10000, NAME_MAX_BYTES = 1024 };

struct bucket {
    struct s3 *s3;
    struct s3 *w;           /* of what writes, which is more patient; NULL: only read */
    _Atomic unsigned calls; /* relaxed: a count, nothing is published through it */
};

enum status bucket_open(struct bucket **out, const char *location,
                        const struct blob_s3_options *opt, struct err *err)
{
    struct blob_s3_options o = *opt;
    struct bucket *b = mem_zalloc(1, sizeof(*b));
    enum status st;

    *out = NULL;
    if (!b) {
        return err_nomem(err);
    }
    o.patience_ms = BUCKET_PATIENCE_MS;
    st = s3_new(&b->s3, location, &o, err);
    if (st) {
        mem_free(b);
        return st;
    }
    b->s3->of_others = true;
    *out = b;
    return OK;
}

void bucket_close(struct bucket *b)
{
    if (b) {
        s3_free(b->s3);
        if (b->w) {
            s3_free(b->w);
        }
        mem_free(b);
    }
}

/* A call with the guard of the header around it. */
static enum status enter(struct bucket *b, struct err *err)
{
    if (atomic_fetch_add_explicit(&b->calls, 1, memory_order_relaxed) < BUCKET_CALLS_MAX) {
        return OK;
    }
    atomic_fetch_sub_explicit(&b->calls, 1, memory_order_relaxed);
    return err_set(err, ST_UNAVAILABLE, "too many requests wait for the bucket %s; try again",
                   b->s3->bucket);
}

static void give_back(struct bucket *b)
{
    atomic_fetch_sub_explicit(&b->calls, 1, memory_order_relaxed);
}

/* "<prefix>dir/" or "<prefix>". */
static struct str key_of(const struct bucket *b, struct arena *a, struct str path, bool is_dir)
{
    return arena_printf(a, "%s%.*s%s", b->s3->prefix, STR_ARG(path), is_dir && path.n ? "/" : "");
}

/* ---- lists ---------------------------------------------------------------------------------------------------------------------------- */

struct page {
    struct s3 *s3;
    struct arena *a; /* of the result */
    struct str prefix, after;
    struct bucket_entry *all;
    size_t n, cap;
    struct str last; /* the last key of the folder that was seen, below its prefix */
    bool is_end;     /* nothing is left in the bucket */
};

static enum status add(struct page *p, const struct bucket_entry *e, struct err *err)
{
    if (!e->name.n || e->name.n > NAME_MAX_BYTES || str_cmp(e->name, p->after) <= 0) {
        return OK;
    }
    if (!arena_grow(p->a, (void **)&p->all, p->n, &p->cap, sizeof(*p->all))) {
        return err_nomem(err);
    }
    p->all[p->n++] = *e;
    return OK;
}

static void note_last(struct page *p, struct str key)
{
    if (str_cmp(key, p->last) > 0) {
        p->last = key;
    }
}

static enum status add_file(struct page *p, struct str item, struct err *err)
{
    struct str key = s3_xml_text(p->a, s3_xml_find(item, "Key")),
               etag = s3_xml_text(p->a, s3_xml_find(item, "ETag"));
    struct bucket_entry e = { .mtime_ms = s3_xml_time(s3_xml_find(item, "LastModified")) };

    if (!key.p) {
        return err_nomem(err);
    }
    if (key.n <= p->prefix.n || !num_parse_u64(s3_xml_find(item, "Size"), &e.size)) {
        return OK;
    }
    e.mtime_ms = MAX_OF(e.mtime_ms, 0);
    e.etag = etag.n <= BUCKET_ETAG_MAX ? etag : S("");
    e.name = str_sub(key, p->prefix.n, key.n);
    note_last(p, e.name);
    return add(p, &e, err);
}

static enum status add_folder(struct page *p, struct str item, struct err *err)
{
    struct str key = s3_xml_text(p->a, s3_xml_find(item, "Prefix"));
    struct bucket_entry e = { .is_dir = true };

    if (!key.p) {
        return err_nomem(err);
    }
    if (key.n <= p->prefix.n + 1) {
        return OK;
    }
    key = str_sub(key, p->prefix.n, key.n);
    note_last(p, key);
    e.name = str_sub(key, 0, key.n - 1);
    return add(p, &e, err);
}

/* One call: keys below prefix behind `behind`. *next: where the service goes on; p NULL = the end. */
static enum status ask(struct page *p, struct str prefix, struct str behind, struct str token,
                       size_t max, struct str *xml, struct str *next, struct err *err)
{
    struct s3_op op = {
        .method = "GET", .key = S(""), .root = "ListBucketResult", .what = "list a folder"
    };
    struct s3_answer an;
    char most[16];
    enum status st;

    snprintf(most, sizeof(most), "%zu", MIN_OF(max, (size_t)PAGE_KEYS));
    s3_add_query(&op, S("list-type"), S("2"));
    s3_add_query(&op, S("delimiter"), S("/"));
    s3_add_query(&op, S("prefix"), prefix);
    s3_add_query(&op, S("max-keys"), str_cstr(most));
    if (token.n) {
        s3_add_query(&op, S("continuation-token"), token);
    } else if (behind.n) {
        s3_add_query(&op, S("start-after"), behind);
    }
    *next = (struct str){ NULL, 0 };
    st = s3_call(p->s3, &op, p->a, &an, err);
    if (st) {
        return st;
    }
    *xml = an.body;
    if (str_eq_lit(s3_xml_find(an.body, "IsTruncated"), "true")) {
        *next = s3_xml_text(p->a, s3_xml_find(an.body, "NextContinuationToken"));
    }
    return OK;
}

static enum status take(struct page *p, struct str xml, struct err *err)
{
    struct str rest = xml, item;
    enum status st = OK;

    while (!st && s3_xml_next(&rest, "Contents", &item)) {
        st = add_file(p, item, err);
    }
    rest = xml;
    while (!st && s3_xml_next(&rest, "CommonPrefixes", &item)) {
        st = add_folder(p, item, err);
    }
    return st;
}

/* Pages of the service until there are `want` entries. */
static enum status gather(struct page *p, size_t want, struct err *err)
{
    struct str behind = arena_printf(p->a, "%.*s%.*s", STR_ARG(p->prefix), STR_ARG(p->after)),
               token = { NULL, 0 };
    enum status st = behind.p ? OK : err_nomem(err);

    for (unsigned i = 0; !st && !p->is_end && p->n < want; i++) {
        struct str xml, next;

        if (i == PAGES_MAX) {
            return err_set(err, ST_TOO_BIG, "a folder of the bucket has too many names");
        }
        /* Two more: what stands before `after` in the order of names is left out. */
        st = ask(p, p->prefix, p->after.n ? behind : S(""), token, want - p->n + 2, &xml, &next,
                 err);
        st = st ? st : take(p, xml, err);
        p->is_end = !next.n || str_eq(next, token);
        token = next;
    }
    return st;
}

/* Folders that come before the last key by their names, but behind it as keys: beginnings of it, cut at a byte below '/'. */
static enum status add_beginnings(struct page *p, struct err *err)
{
    enum status st = OK;

    for (size_t i = 1; !st && i < p->last.n; i++) {
        struct bucket_entry e = { .name = str_sub(p->last, 0, i), .is_dir = true };
        struct str below, xml, next;

        if ((unsigned char)p->last.p[i] >= '/' || str_cmp(e.name, p->after) <= 0) {
            continue;
        }
        below = arena_printf(p->a, "%.*s%.*s/", STR_ARG(p->prefix), STR_ARG(e.name));
        st = below.p ? ask(p, below, S(""), S(""), 1, &xml, &next, err) : err_nomem(err);
        if (!st && (s3_xml_find(xml, "Contents").p || s3_xml_find(xml, "CommonPrefixes").p)) {
            st = add(p, &e, err);
        }
    }
    return st;
}

/* By name; of one name the folder first. */
static int by_name(const void *a, const void *b)
{
    const struct bucket_entry *x = a, *y = b;
    int order = str_cmp(x->name, y->name);

    return order ? order : (int)y->is_dir - (int)x->is_dir;
}

enum status bucket_list(struct bucket *b, struct arena *a, struct str dir, struct str after,
                        size_t max, struct bucket_entry **out, size_t *n, bool *more,
                        struct err *err)
{
    struct page p = { .s3 = b->s3, .a = a, .prefix = key_of(b, a, dir, true), .after = after };
    size_t kept = 0;
    enum status st;

    *out = NULL;
    *n = 0;
    *more = false;
    p.last = S("");
    if (!p.prefix.p) {
        return err_nomem(err);
    }
    st = enter(b, err);
    if (st) {
        return st;
    }
    st = gather(&p, max + 1, err);
    if (!st && !p.is_end) {
        st = add_beginnings(&p, err);
    }
    give_back(b);
    if (st) {
        return blob_as_io(st, err);
    }
    if (p.n) {
        qsort(p.all, p.n, sizeof(*p.all), by_name);
    }
    for (size_t i = 0; i < p.n; i++) {
        if (!kept || !str_eq(p.all[i].name, p.all[kept - 1].name)) {
            p.all[kept++] = p.all[i];
        }
    }
    *out = p.all;
    *n = MIN_OF(kept, max);
    *more = kept > max || (kept && !p.is_end);
    return OK;
}

/* ---- files ---------------------------------------------------------------------------------------------------------------------------- */

/* The list says the time of a file in a form without names of months; a file comes before all others that begin with its key. */
enum status bucket_stat(struct bucket *b, struct arena *a, struct str path,
                        struct bucket_entry *out, struct err *err)
{
    struct page p = { .s3 = b->s3, .a = a, .after = S(""), .last = S("") };
    struct str key = key_of(b, a, path, false), xml, next, item;
    enum status st = key.p ? enter(b, err) : err_nomem(err);

    if (st) {
        return st;
    }
    st = ask(&p, key, S(""), S(""), 1, &xml, &next, err);
    give_back(b);
    if (st) {
        return blob_as_io(st, err);
    }
    p.prefix = S("");
    if (s3_xml_next(&xml, "Contents", &item)) {
        st = add_file(&p, item, err);
    }
    if (!st && (!p.n || !str_eq(p.all[0].name, key))) {
        st = err_set(err, ST_NOT_FOUND, "the bucket has no such file");
    }
    if (!st) {
        *out = p.all[0];
        out->name = path;
    }
    return st;
}

enum status bucket_read(struct bucket *b, struct str path, struct str etag, uint64_t size,
                        uint64_t from, uint64_t n, struct blob_reader **out, struct err *err)
{
    char key[S3_KEY_MAX], tag[BUCKET_ETAG_MAX + 1];
    void *backend;
    enum status st;

    *out = NULL;
    if (strlen(b->s3->prefix) + path.n >= sizeof(key) || etag.n >= sizeof(tag)) {
        return err_set(err, ST_NOT_FOUND, "the bucket has no such file");
    }
    snprintf(key, sizeof(key), "%s%.*s", b->s3->prefix, STR_ARG(path));
    snprintf(tag, sizeof(tag), "%.*s", STR_ARG(etag));
    st = enter(b, err);
    if (st) {
        return st;
    }
    st = s3_read_tagged(b->s3, key, tag, size, from, n, &backend, err);
    give_back(b);
    if (st) {
        return st == ST_CORRUPT || st == ST_NOT_FOUND
                   ? err_set(err, ST_UNAVAILABLE, "the file has changed meanwhile; try again")
                   : st;
    }
    return blob_reader_wrap(&blob_s3_ops, backend, n, out, err);
}

/* ---- writing -------------------------------------------------------------------------------------------------------------------------- */

enum status bucket_let_write(struct bucket *b, const struct blob_s3_options *opt,
                             const char *state_dir, struct err *err)
{
    enum status st = s3_new(&b->w, b->s3->location, opt, err);

    if (st) {
        return st;
    }
    b->w->of_others = true;
    st = s3_set_instance(b->w, state_dir, err);
    return st ? st : s3_keep(b->w, err);
}

enum status bucket_check_name(const struct bucket *b, struct str path, struct err *err)
{
    size_t max = S3_KEY_MAX - 1 - strlen(b->s3->prefix);

    return path.n <= max
               ? OK
               : err_field(
                     err, ST_INVALID, "path",
                     "the path is longer than %zu bytes, which is what a key of S3 has left for it",
                     max);
}

static enum status file_key(const struct bucket *b, struct str path, char key[S3_KEY_MAX],
                            struct err *err)
{
    enum status st = bucket_check_name(b, path, err);

    if (!st) {
        snprintf(key, S3_KEY_MAX, "%s%.*s", b->s3->prefix, STR_ARG(path));
    }
    return st;
}

/* A file comes before all others that begin with its key. */
enum status bucket_has(struct bucket *b, struct arena *a, struct str path, bool is_folder,
                       bool *has, struct err *err)
{
    struct page p = { .s3 = b->w, .a = a, .after = S(""), .last = S("") };
    struct str key = key_of(b, a, path, is_folder), xml, next, item;
    enum status st = key.p ? ask(&p, key, S(""), S(""), 1, &xml, &next, err) : err_nomem(err);

    *has = false;
    if (st) {
        return blob_as_io(st, err);
    }
    if (is_folder) {
        *has = s3_xml_find(xml, "Contents").p || s3_xml_find(xml, "CommonPrefixes").p;
    } else if (s3_xml_next(&xml, "Contents", &item)) {
        struct str first = s3_xml_text(a, s3_xml_find(item, "Key"));

        *has = str_eq(first, key);
        st = first.p ? OK : err_nomem(err);
    }
    return st;
}

/* Who asked to write is not told that "it is not there", but what to do. */
static enum status has_gone(enum status st, struct err *err)
{
    return st == ST_NOT_FOUND
               ? err_set(err, ST_UNAVAILABLE,
                         "the service has given the upload up meanwhile; send the file again")
               : st;
}

enum status bucket_write_begin(struct bucket *b, struct str path, struct s3_writer **out,
                               struct err *err)
{
    char key[S3_KEY_MAX];
    enum status st = file_key(b, path, key, err);

    *out = NULL;
    return st ? st : s3_named_begin(b->w, key, out, err);
}

enum status bucket_write(struct s3_writer *w, struct sha256 *sha, struct str bytes, struct err *err)
{
    return has_gone(s3_write(w, sha, bytes.p, bytes.n, err), err);
}

enum status bucket_write_finish(struct s3_writer *w, const struct digest *sha256, uint64_t size,
                                struct err *err)
{
    return has_gone(s3_named_finish(w, sha256, size, err), err);
}

void bucket_write_abort(struct s3_writer *w)
{
    if (w) {
        s3_write_abort(w);
    }
}

static enum status delete_key(struct s3 *s, struct arena *a, struct str key, struct err *err)
{
    struct s3_op op = { .method = "DELETE", .key = key, .what = "delete a file" };
    struct s3_answer an;
    enum status st = s3_call(s, &op, a, &an, err);

    FAILPOINT("blob.s3.bucket.deleted");
    return st == ST_NOT_FOUND ? OK : st;
}

/* A page of keys below a folder, from behind `*last`, which becomes its last one. */
static enum status delete_page(struct s3 *s, struct arena *a, struct arena *short_lived,
                               struct str below, struct buf *last, bool *more, struct err *err)
{
    struct s3_op op = {
        .method = "GET", .key = S(""), .root = "ListBucketResult", .what = "list a folder"
    };
    struct s3_answer an;
    struct str xml, item, key = { NULL, 0 };
    enum status st;

    s3_add_query(&op, S("list-type"), S("2"));
    s3_add_query(&op, S("prefix"), below);
    s3_add_query(&op, S("max-keys"), S("1000"));
    if (last->n) {
        s3_add_query(&op, S("start-after"), buf_str(last));
    }
    st = s3_call(s, &op, a, &an, err);
    xml = st ? S("") : an.body;
    *more = str_eq_lit(s3_xml_find(xml, "IsTruncated"), "true");
    while (!st && s3_xml_next(&xml, "Contents", &item)) {
        key = s3_xml_text(a, s3_xml_find(item, "Key"));
        arena_reset(short_lived);
        st = !key.p                   ? err_nomem(err)
             : str_starts(key, below) ? delete_key(s, short_lived, key, err)
                                      : OK;
    }
    *more = *more && key.n;
    buf_clear(last);
    buf_put_str(last, key);
    return st ? st : buf_status(last, "key", err);
}

enum status bucket_delete(struct bucket *b, struct str path, struct err *err)
{
    struct arena *a = arena_new(S3_ARENA_MAX), *one = arena_new(S3_ARENA_MAX),
                 *keys = arena_new(S3_ARENA_MAX);
    struct buf last = BUF_INIT(S3_KEY_MAX * 4);
    struct str key = { NULL, 0 }, below = key;
    bool more = true;
    enum status st = a && one && keys ? OK : err_nomem(err);

    if (!st) {
        key = key_of(b, keys, path, false);
        below = key_of(b, keys, path, true);
        st = key.p && below.p ? delete_key(b->w, one, key, err) : err_nomem(err);
    }
    for (unsigned i = 0; !st && more; i++) {
        arena_reset(a);
        st = i < PAGES_MAX
                 ? delete_page(b->w, a, one, below, &last, &more, err)
                 : err_set(err, ST_UNAVAILABLE, "the folder has more names: delete it once more");
    }
    buf_release(&last);
    arena_free(a);
    arena_free(one);
    arena_free(keys);
    return blob_as_io(st, err);
}

/* ---- direct ---------------------------------------------------------------------------------------------------------------------------- */

bool bucket_has_direct(const struct bucket *b)
{
    return b->s3->direct;
}

enum status bucket_direct_begin(struct bucket *b, struct arena *a, struct str path, unsigned parts,
                                struct str *id, struct str *urls, struct err *err)
{
    char key[S3_KEY_MAX];
    enum status st = file_key(b, path, key, err);

    return blob_as_io(st ? st : s3_named_direct_begin(b->w, a, key, parts, id, urls, err), err);
}

enum status bucket_direct_end(struct bucket *b, struct str path, struct str id,
                              const struct blob_part *parts, size_t n, struct err *err)
{
    char key[S3_KEY_MAX];
    enum status st = file_key(b, path, key, err);

    return st ? st : s3_named_direct_end(b->w, key, id, parts, n, err);
}

enum status bucket_direct_abort(struct bucket *b, struct str path, struct str id, struct err *err)
{
    char key[S3_KEY_MAX];
    enum status st = file_key(b, path, key, err);

    return st ? st : s3_named_direct_abort(b->w, key, id, err);
}

enum status bucket_url(struct bucket *b, struct arena *a, const char *method, struct str path,
                       int64_t seconds, struct str *url, struct err *err)
{
    char key[S3_KEY_MAX];
    enum status st = file_key(b, path, key, err);

    return st ? st : s3_url(b->w ? b->w : b->s3, method, key, NULL, 0, seconds, a, url, err);
}
