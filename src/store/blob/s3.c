/* store/blob/s3.c - opening a bucket, reading, listing, deleting. See s3_int.h. */
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/blob/s3_int.h"
#include "store/blob/s3_xml.h"
#include <inttypes.h>
#include <stdio.h>

#define SCHEME "s3://"

enum { READ_TRIES = 6, HEALTH_MS = 5000, PATH_BYTES = 4096 };

/* ---- keys ------------------------------------------------------------------------------------------------------------------------- */

void s3_object_key(const struct s3 *s, const struct digest *sha256, int64_t gen,
                   char out[S3_KEY_MAX])
{
    char name[BLOB_NAME_MAX];

    blob_name(sha256, gen, name);
    snprintf(out, S3_KEY_MAX, "%sobjects/%02x/%s", s->prefix, sha256->b[0], name);
}

void s3_pack_key(const struct s3 *s, uint64_t id, char out[S3_KEY_MAX])
{
    char place[BLOB_PACK_PLACE_MAX];

    blob_pack_place(id, place);
    snprintf(out, S3_KEY_MAX, "%s%s", s->prefix, place);
}

static struct s3_op op_of(const char *method, const char *key, const char *what)
{
    return (struct s3_op){ .method = method, .key = str_cstr(key), .what = what };
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------------- */

static bool s3_serves(const char *location)
{
    return str_starts(str_cstr(location), S(SCHEME));
}

static enum status bad_location(const char *why, struct err *err)
{
    enum status st = err_field(err, ST_INVALID, "blobs", "the place of the blobs %s", why);

    err_hint(err, "write it as s3://BUCKET/PREFIX");
    return st;
}

static enum status set_location(struct s3 *s, const char *location, struct err *err)
{
    struct str rest = str_sub(str_cstr(location), sizeof(SCHEME) - 1, SIZE_MAX), bucket;
    size_t slash = str_find_byte(rest, '/', 0);

    bucket = str_sub(rest, 0, slash);
    rest = slash == SIZE_MAX ? S("") : str_sub(rest, slash, rest.n);
    if (bucket.n < 3 || bucket.n >= S3_BUCKET_MAX) {
        return bad_location("names no bucket", err);
    }
    for (size_t i = 0; i < bucket.n; i++) {
        char c = bucket.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_')) {
            return bad_location("has a bucket that cannot be one", err);
        }
    }
    while (rest.n && rest.p[0] == '/') {
        rest = str_sub(rest, 1, rest.n);
    }
    while (rest.n && rest.p[rest.n - 1] == '/') {
        rest.n--;
    }
    if (rest.n + 2 >= S3_PREFIX_MAX) {
        return bad_location("has a prefix that is too long", err);
    }
    snprintf(s->bucket, sizeof(s->bucket), "%.*s", STR_ARG(bucket));
    snprintf(s->prefix, sizeof(s->prefix), "%.*s%s", STR_ARG(rest), rest.n ? "/" : "");
    s->location = arena_cstr(s->arena, str_cstr(location));
    return s->location ? OK : err_nomem(err);
}

/* "https://host:port/path" */
static enum status set_endpoint(struct s3 *s, const char *endpoint, struct err *err)
{
    struct str rest = str_cstr(endpoint), host, base;
    size_t slash;

    s->is_https = str_starts(rest, S("https://"));
    if (!s->is_https && !str_starts(rest, S("http://"))) {
        enum status st = err_field(err, ST_INVALID, "s3-endpoint",
                                   "the S3 endpoint is no http or https address");

        err_hint(err, "write it as https://HOST or http://HOST:PORT");
        return st;
    }
    rest = str_sub(rest, s->is_https ? 8 : 7, rest.n);
    slash = str_find_byte(rest, '/', 0);
    host = str_sub(rest, 0, slash);
    base = slash == SIZE_MAX ? S("") : str_sub(rest, slash, rest.n);
    while (base.n && base.p[base.n - 1] == '/') {
        base.n--;
    }
    if (!host.n || host.n >= S3_HOST_MAX || base.n >= sizeof(s->base) ||
        str_find_byte(host, '@', 0) != SIZE_MAX) {
        return err_field(err, ST_INVALID, "s3-endpoint", "the S3 endpoint has no usable host");
    }
    memcpy(s->host, host.p, host.n);
    if (base.n) {
        memcpy(s->base, base.p, base.n);
    }
    return OK;
}

static const char *copy_text(struct s3 *s, const char *text, struct err *err)
{
    char *copy = text ? arena_cstr(s->arena, str_cstr(text)) : NULL;

    if (text && !copy) {
        err_nomem(err);
    }
    return copy;
}

static enum status set_options(struct s3 *s, const struct blob_s3_options *o, struct err *err)
{
    struct s3_profile p;
    const char *endpoint, *region;
    enum status st = s3_profile_load(s->arena, o->profile, &p, err);

    if (st) {
        return st;
    }
    err->code = OK;
    s->profile = copy_text(s, o->profile, err);
    endpoint = o->endpoint ? o->endpoint : p.endpoint;
    region = o->region ? o->region : p.region ? p.region : "us-east-1";
    s->sts.url = copy_text(s, o->sts ? o->sts : endpoint, err);
    s->sts.ca_file = s->http.ca_file = copy_text(s, o->ca_file ? o->ca_file : p.ca_file, err);
    if (err->code) {
        return err->code;
    }
    if (strlen(region) >= sizeof(s->region)) {
        return err_field(err, ST_INVALID, "s3-region", "the S3 region is too long");
    }
    snprintf(s->region, sizeof(s->region), "%s", region);
    s->is_aws = !endpoint;
    s->is_https = true;
    st = endpoint ? set_endpoint(s, endpoint, err) : OK;
    /* A bucket with a dot does not match the certificate of *.s3.REGION.amazonaws.com. */
    s->is_virtual = o->addressing == BLOB_S3_VIRTUAL ||
                    (o->addressing == BLOB_S3_AUTO && s->is_aws && !strchr(s->bucket, '.'));
    s->part_bytes = o->part_bytes ? o->part_bytes : S3_PART_BYTES;
    s->copy_max = o->copy_max ? o->copy_max : (uint64_t)5 << 30;
    s->patience_ms = o->patience_ms ? o->patience_ms : S3_PATIENCE_MS;
    s->http.stall_ms = o->stall_ms;
    s->direct = o->direct;
    return st;
}

/* The name of this server in staging: kept in its folder, so that the next start knows its own leftovers. */
enum status s3_set_instance(struct s3 *s, const char *state_dir, struct err *err)
{
    char path[PATH_BYTES];
    struct str text;
    struct err why = ERR_INIT;
    enum status st;

    id_hex32(s->start);
    s->start[16] = 0;
    id_hex32(s->instance);
    s->instance[16] = 0;
    if (!state_dir) {
        return OK;
    }
    snprintf(path, sizeof(path), "%s/s3-instance", state_dir);
    st = fs_read_file(s->arena, path, 64, &text, &why);
    if (!st && text.n == 16) {
        memcpy(s->instance, text.p, 16);
        return OK;
    }
    if (st && st != ST_NOT_FOUND) {
        *err = why;
        return st;
    }
    return fs_write_atomic(path, s->instance, 16, 0600, err);
}

static enum status check_format(struct s3 *s, struct arena *a, struct err *err)
{
    char key[S3_KEY_MAX];
    struct s3_answer an;
    struct s3_op op;
    enum status st;

    snprintf(key, sizeof(key), "%sFORMAT", s->prefix);
    op = op_of("GET", key, "open the bucket");
    st = s3_call(s, &op, a, &an, err);
    if (st == ST_NOT_FOUND) {
        op = op_of("PUT", key, "write to the bucket");
        op.body = S(BLOB_FORMAT_TEXT);
        return s3_call(s, &op, a, &an, err);
    }
    return st || str_eq_lit(an.body, BLOB_FORMAT_TEXT) ? st : blob_other_format(an.body, err);
}

void s3_free(struct s3 *s)
{
    if (s->closing) {
        exec_event_set(s->closing);
    }
    exec_pool_free(s->senders); /* first: what it gave up wakes the keeper */
    exec_actor_free(s->keeper);
    while (s->doomed) {
        struct s3_doomed *d = s->doomed;

        s->doomed = d->next;
        mem_free(d);
    }
    s3_http_close(&s->http);
    exec_event_free(s->closing);
    s3_creds_clear(&s->creds);
    arena_free(s->arena);
    lock_release(&s->lock);
    mem_free(s);
}

static void s3_close(void *b)
{
    s3_free(b);
}

static void s3_hurry(void *b)
{
    exec_event_set(((struct s3 *)b)->closing);
}

enum status s3_new(struct s3 **out, const char *location, const struct blob_s3_options *opt,
                   struct err *err)
{
    struct s3 *s = mem_zalloc(1, sizeof(*s));
    enum status st;

    *out = NULL;
    if (!s) {
        return err_nomem(err);
    }
    lock_init(&s->lock, LOCK_RANK_BLOB);
    s3_http_init(&s->http);
    s->arena = arena_new(4 << 20);
    s->closing = exec_event_new();
    st = s->arena && s->closing ? set_location(s, location, err) : err_nomem(err);
    st = st ? st : set_options(s, opt, err);
    if (st) {
        s3_free(s);
        return st;
    }
    *out = s;
    return OK;
}

enum status s3_keep(struct s3 *s, struct err *err)
{
    enum status st = exec_actor_new(&s->keeper, "s3-keeper", s3_keeper_step, s, err);

    if (!st) {
        exec_actor_wake(s->keeper);
    }
    return st;
}

static enum status s3_open(void **out, const struct blob_options *opt, struct err *err)
{
    struct s3 *s;
    struct arena *a;
    enum status st = s3_new(&s, opt->location, &opt->s3, err);

    *out = NULL;
    if (st) {
        return st;
    }
    a = arena_new(S3_ARENA_MAX);
    st = a ? s3_set_instance(s, opt->state_dir, err) : err_nomem(err);
    st = st ? st : check_format(s, a, err);
    st = st ? st
            : exec_pool_new(&s->senders, "s3-send", S3_AHEAD_MAX_PARTS, S3_AHEAD_MAX_PARTS, err);
    if (!st && opt->keep) {
        st = s3_keep(s, err);
    }
    arena_free(a);
    if (st) {
        if (st != ST_INVALID) {
            err_ctx(err, "the blob store %s", opt->location);
        }
        s3_free(s);
        return st;
    }
    *out = s;
    return OK;
}

static const char *s3_location(const void *b)
{
    return ((const struct s3 *)b)->location;
}

/* ---- small calls -------------------------------------------------------------------------------------------------------------------- */

static enum status simple(struct s3 *s, const char *method, const char *key, const char *what,
                          int64_t patience_ms, struct s3_answer *an, struct err *err)
{
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct s3_op op = op_of(method, key, what);
    enum status st;

    if (!a) {
        return err_nomem(err);
    }
    op.patience_ms = patience_ms;
    st = s3_call(s, &op, a, an, err);
    arena_free(a);
    return st;
}

static enum status s3_health(void *b, struct err *err)
{
    struct s3 *s = b;
    struct s3_answer an;
    char key[S3_KEY_MAX];
    enum status st;

    snprintf(key, sizeof(key), "%sFORMAT", s->prefix);
    st = simple(s, "HEAD", key, "reach the bucket", HEALTH_MS, &an, err);
    return st == ST_NOT_FOUND ? err_set(err, ST_CORRUPT, "the bucket has lost its object FORMAT")
                              : st;
}

enum status s3_stat_key(struct s3 *s, const char *key, uint64_t *size, struct err *err)
{
    struct s3_answer an;
    enum status st = simple(s, "HEAD", key, "look at an object", 0, &an, err);

    *size = st || an.length < 0 ? 0 : (uint64_t)an.length;
    return st;
}

static enum status s3_stat(void *b, const struct digest *sha256, int64_t gen, uint64_t *size,
                           struct err *err)
{
    char key[S3_KEY_MAX];

    s3_object_key(b, sha256, gen, key);
    return s3_stat_key(b, key, size, err);
}

static enum status s3_pack_stat(void *b, uint64_t id, uint64_t *size, struct err *err)
{
    char key[S3_KEY_MAX];

    s3_pack_key(b, id, key);
    return s3_stat_key(b, key, size, err);
}

static enum status remove_key(struct s3 *s, const char *key, struct err *err)
{
    struct s3_answer an;
    enum status st = simple(s, "DELETE", key, "delete an object", 0, &an, err);

    return st == ST_NOT_FOUND ? OK : st;
}

static enum status s3_remove(void *b, const struct digest *sha256, int64_t gen, struct err *err)
{
    char key[S3_KEY_MAX];

    s3_object_key(b, sha256, gen, key);
    return remove_key(b, key, err);
}

static enum status s3_pack_remove(void *b, uint64_t id, struct err *err)
{
    char key[S3_KEY_MAX];

    s3_pack_key(b, id, key);
    return remove_key(b, key, err);
}

/* ---- listing ------------------------------------------------------------------------------------------------------------------------- */

/* Of whole objects or of packs. */
struct listing {
    blob_entry_fn object;
    blob_pack_entry_fn pack;
    void *ctx;
};

static enum status list_one(const struct listing *l, struct str name, struct str item,
                            struct err *err)
{
    int64_t mtime_ms = MAX_OF(s3_xml_time(s3_xml_find(item, "LastModified")), (int64_t)0);
    struct blob_pack_entry p = { .mtime_ms = mtime_ms };
    struct blob_entry e = { .mtime_ms = mtime_ms };
    uint64_t size;

    if (!num_parse_u64(s3_xml_find(item, "Size"), &size)) {
        return OK;
    }
    p.size = e.size = size;
    if (l->object) {
        return blob_name_parse(name, &e.sha256, &e.gen) ? l->object(l->ctx, &e, err) : OK;
    }
    return blob_pack_name_parse(name, &p.id) ? l->pack(l->ctx, &p, err) : OK;
}

static enum status one_page(struct arena *a, struct str xml, size_t above, const struct listing *l,
                            struct err *err)
{
    struct str item;

    while (s3_xml_next(&xml, "Contents", &item)) {
        struct str key = s3_xml_text(a, s3_xml_find(item, "Key"));
        enum status st;

        if (!key.p) {
            return err_nomem(err);
        }
        st = list_one(l, str_sub(key, above, key.n), item, err);
        if (st) {
            return st;
        }
    }
    return OK;
}

static enum status list_below(struct s3 *s, const char *kind, unsigned shard,
                              const struct listing *l, struct err *err)
{
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct buf token = BUF_INIT(8192);
    char prefix[S3_KEY_MAX];
    enum status st = a ? OK : err_nomem(err);
    bool more = true;

    snprintf(prefix, sizeof(prefix), "%s%s/%02x/", s->prefix, kind, shard);
    while (!st && more) {
        struct s3_op op = op_of("GET", "", "list objects");
        struct s3_answer an;
        struct str next;

        arena_reset(a);
        op.root = "ListBucketResult";
        s3_add_query(&op, S("list-type"), S("2"));
        s3_add_query(&op, S("prefix"), str_cstr(prefix));
        s3_add_query(&op, S("max-keys"), S("1000"));
        if (token.n) {
            s3_add_query(&op, S("continuation-token"), buf_str(&token));
        }
        st = s3_call(s, &op, a, &an, err);
        if (st) {
            st = blob_as_io(st, err);
            break;
        }
        st = one_page(a, an.body, strlen(prefix), l, err);
        more = str_eq_lit(s3_xml_find(an.body, "IsTruncated"), "true");
        next = s3_xml_text(a, s3_xml_find(an.body, "NextContinuationToken"));
        more = more && next.n && !str_eq(next, buf_str(&token));
        buf_clear(&token);
        buf_put_str(&token, next);
        st = st ? st : buf_status(&token, "continuation token", err);
    }
    buf_release(&token);
    arena_free(a);
    return st;
}

static enum status s3_list(void *b, unsigned shard, blob_entry_fn fn, void *ctx, struct err *err)
{
    return list_below(b, "objects", shard, &(struct listing){ .object = fn, .ctx = ctx }, err);
}

static enum status s3_pack_list(void *b, unsigned shard, blob_pack_entry_fn fn, void *ctx,
                                struct err *err)
{
    return list_below(b, "packs", shard, &(struct listing){ .pack = fn, .ctx = ctx }, err);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------- */

struct s3_reader {
    struct s3 *s;
    struct s3_channel *channel; /* NULL: none is open */
    uint64_t at, end, size;
    unsigned tries; /* since bytes came last */
    bool no_pipe;   /* what broke goes on by libcurl */
    char key[S3_KEY_MAX];
    char etag
        [256]; /* "" = whatever is there; what is asked after a break is that of the first answer */
};

/* Strong, and whole: a longer one than struct s3_answer has room for has lost its end. */
static bool is_strong(const char *etag)
{
    size_t n = strlen(etag);

    return n >= 2 && etag[0] == '"' && etag[n - 1] == '"';
}

static enum status another_size(struct err *err)
{
    return err_set(err, ST_CORRUPT, "the bytes of an object have another size than its row says");
}

/* Asks for what is left of the range. */
static enum status ask(struct s3_reader *r, struct err *err)
{
    struct arena *a = arena_new(S3_ARENA_MAX);
    struct s3_op op = op_of("GET", r->key, "get an object");
    bool whole = r->at == 0 && r->end == r->size;
    char range[64];
    struct s3_answer an;
    enum status st;

    if (!a) {
        return err_nomem(err);
    }
    if (!whole) {
        snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, r->at, r->end - 1);
        s3_add_field(&op, S("range"), str_cstr(range));
    }
    if (r->etag[0]) {
        s3_add_field(&op, S("if-match"), str_cstr(r->etag));
    }
    st = s3_stream(r->s, &op, a, &r->channel, &an, err);
    if (!st && !r->channel) {
        st = err_set(err, ST_UNAVAILABLE, "cannot get an object: S3 answered %d", an.status);
    } else if (!st && whole && an.length >= 0 && (uint64_t)an.length != r->size) {
        st = another_size(err);
    } else if (!st && !whole && an.status != 206) {
        st = err_set(err, ST_UNAVAILABLE, "cannot get an object: S3 gives no ranges");
    } else if (!st && !whole && (an.first < 0 || (uint64_t)an.first != r->at)) {
        st = err_set(err, ST_UNAVAILABLE, "cannot get an object: S3 gives another range");
    } else if (!st && !whole && an.total >= 0 && (uint64_t)an.total != r->size) {
        st = another_size(err);
    } else if (st && an.status == 416) {
        st = another_size(err);
    } else if (st && an.status == 412) {
        st = err_set(err, ST_CORRUPT, "an object is another one than it was when it was looked at");
    }
    if (st) {
        s3_http_end(r->channel);
        r->channel = NULL;
    } else if (!r->etag[0] && is_strong(an.etag)) {
        _Static_assert(sizeof(r->etag) == sizeof(an.etag), "a tag that came has room");
        memcpy(r->etag, an.etag, sizeof(r->etag));
    }
    arena_free(a);
    return st;
}

void s3_read_end(void *reader)
{
    struct s3_reader *r = reader;

    s3_http_end(r->channel);
    mem_free(r);
}

enum status s3_read_key(struct s3 *s, const char *key, uint64_t size, uint64_t from, uint64_t n,
                        void **out, struct err *err)
{
    return s3_read_tagged(s, key, "", size, from, n, out, err);
}

enum status s3_read_tagged(struct s3 *s, const char *key, const char *etag, uint64_t size,
                           uint64_t from, uint64_t n, void **out, struct err *err)
{
    struct s3_reader *r = mem_zalloc(1, sizeof(*r));
    struct s3_answer an;
    enum status st;

    *out = NULL;
    if (!r) {
        return err_nomem(err);
    }
    r->s = s;
    r->at = from;
    r->end = from + n;
    r->size = size;
    snprintf(r->key, sizeof(r->key), "%s", key);
    snprintf(r->etag, sizeof(r->etag), "%s", etag);
    if (n) {
        st = ask(r, err);
    } else {
        st = simple(s, "HEAD", key, "look at an object", 0, &an, err);
        st = st || (an.length >= 0 && (uint64_t)an.length == size) ? st : another_size(err);
    }
    if (st) {
        s3_read_end(r);
        return st;
    }
    *out = r;
    return OK;
}

static enum status s3_read_begin(void *b, const struct digest *sha256, int64_t gen, uint64_t size,
                                 uint64_t from, uint64_t n, void **out, struct err *err)
{
    char key[S3_KEY_MAX];

    s3_object_key(b, sha256, gen, key);
    return s3_read_key(b, key, size, from, n, out, err);
}

static enum status s3_pack_read_begin(void *b, uint64_t id, uint64_t size, uint64_t from,
                                      uint64_t n, void **out, struct err *err)
{
    char key[S3_KEY_MAX];

    s3_pack_key(b, id, key);
    return s3_read_key(b, key, size, from, n, out, err);
}

static bool s3_has_direct(const void *b)
{
    return ((const struct s3 *)b)->direct;
}

/* A connection that breaks is opened again for what is left. */
enum status s3_read(void *reader, void *p, size_t max, size_t *got, struct err *err)
{
    struct s3_reader *r = reader;
    enum status st = OK;

    while (!st) {
        st = r->channel ? OK : ask(r, err);
        st = st ? st : s3_http_read(r->channel, p, max, got, err);
        if (!st && *got) {
            r->tries = 0;
            r->at += *got;
            return OK;
        }
        if (!r->channel || (st && st != ST_UNAVAILABLE)) {
            break;
        }
        s3_http_end(r->channel);
        r->channel = NULL;
        if (r->tries++ == READ_TRIES || !s3_pause(r->s, r->tries, 0, INT64_MAX)) {
            return err_set(err, ST_UNAVAILABLE,
                           "the download of an object breaks off again and again");
        }
        st = OK;
    }
    return st == ST_NOT_FOUND ? err_set(err, ST_CORRUPT, "the bytes of an object are missing") : st;
}

bool s3_read_has_pipe(const void *reader)
{
    const struct s3_reader *r = reader;

    return !r->no_pipe && r->channel && !r->s->is_https && r->end - r->at >= S3_PIPE_MIN;
}

/* What breaks goes on in s3_read(), which asks for what is left. */
enum status s3_read_pipe(void *reader, int pipe, size_t max, size_t *got, struct err *err)
{
    struct s3_reader *r = reader;
    struct err why = ERR_INIT;

    (void)err;
    *got = 0;
    if (!r->no_pipe && r->channel && s3_http_pipe(r->channel, pipe, max, got, &why)) {
        LOG_DEBUG("s3", "get an object: %s", why.message);
        r->no_pipe = true;
    }
    r->at += *got;
    r->tries = *got ? 0 : r->tries;
    return OK;
}

const struct blob_ops blob_s3_ops = {
    .name = "s3",
    .serves = s3_serves,
    .threads = S3_THREADS,
    .open = s3_open,
    .close = s3_close,
    .location = s3_location,
    .health = s3_health,
    .write_begin = s3_write_begin,
    .write = s3_write,
    .write_finish = s3_write_finish,
    .write_abort = s3_write_abort,
    .resume_begin = s3_resume_begin,
    .resume_save = s3_resume_save,
    .resume_drop = s3_resume_drop,
    .read_begin = s3_read_begin,
    .read = s3_read,
    .read_has_pipe = s3_read_has_pipe,
    .read_pipe = s3_read_pipe,
    .read_end = s3_read_end,
    .stat = s3_stat,
    .remove = s3_remove,
    .hurry = s3_hurry,
    .list = s3_list,
    .pack_list = s3_pack_list,
    .pack_finish = s3_pack_finish,
    .pack_read_begin = s3_pack_read_begin,
    .pack_stat = s3_pack_stat,
    .pack_remove = s3_pack_remove,
    .has_direct = s3_has_direct,
    .direct_begin = s3_direct_begin,
    .direct_join = s3_direct_join,
    .direct_place = s3_direct_place,
    .direct_drop = s3_direct_drop,
    .direct_abort = s3_direct_abort,
    .direct_get = s3_direct_get,
    .direct_get_small = s3_direct_get_small,
    .tidy = s3_tidy,
};
