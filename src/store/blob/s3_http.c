/* store/blob/s3_http.c - exchanges through libcurl's multi interface. */
#include "store/blob/s3_http.h"
#include "base/clock.h"
#include "base/curl.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/sock.h"
#include "base/sys.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { IDLE_MAX = 24, CONNECT_MS = 5000, POLL_MS = 1000, PIECE_MS = 100, WAKE_BYTES = 256 * 1024 };

struct s3_channel {
    struct s3_http *http;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *fields;
    struct s3_channel *next;
    struct str body; /* to send */
    size_t sent;
    struct s3_answer *answer; /* while its head comes */
    char *to;                 /* where a reader wants bytes, while it waits for them; else NULL */
    size_t to_n, to_max;
    struct buf in; /* what has come and is not read */
    size_t in_at;  /* read of it */
    bool stream, is_paused, is_done, head_done, is_over, may_think;
    bool is_plain;    /* nothing is between the body and the bytes of the connection */
    bool wants_pipe;  /* its reader would rather have s3_http_pipe() */
    int fd;           /* the socket that libcurl has opened last; -1: it is closed again */
    unsigned fds;     /* so many are open; one that was kept may be beside it */
    int raw;          /* the socket, once libcurl is out of it; else -1 */
    size_t wake_from; /* of that socket */
    int64_t length;   /* of the body, as its head says; -1 = unknown */
    uint64_t taken;   /* of a streamed body, so far */
    CURLcode result;
    int64_t moved_ms; /* when a byte went either way */
    int64_t until_ms;
};

void s3_http_init(struct s3_http *h)
{
    lock_init(&h->lock, LOCK_RANK_CACHE);
    h->has_lock = true;
}

static void free_channel(struct s3_channel *c)
{
    if (c->easy) curl.easy_cleanup(c->easy);
    if (c->multi) curl.multi_cleanup(c->multi);
    if (c->fields) curl.slist_free_all(c->fields);
    buf_release(&c->in);
    mem_free(c);
}

void s3_http_close(struct s3_http *h)
{
    while (h->idle) {
        struct s3_channel *c = h->idle;

        h->idle = c->next;
        free_channel(c);
    }
    h->idle_n = 0;
    if (h->has_lock) {
        lock_release(&h->lock);
        h->has_lock = false;
    }
}

static enum status take(struct s3_http *h, struct s3_channel **out, struct err *err)
{
    struct s3_channel *c = NULL;
    enum status st = curl_load(err);

    *out = NULL;
    if (st) {
        return st;
    }
    if (h->has_lock) {
        lock_take(&h->lock);
        c = h->idle;
        if (c) {
            h->idle = c->next;
            h->idle_n--;
        }
        lock_give(&h->lock);
    }
    if (!c) {
        c = mem_zalloc(1, sizeof(*c));
        if (!c) {
            return err_nomem(err);
        }
        buf_init(&c->in, S3_ANSWER_MAX);
        c->fd = -1;
        c->multi = curl.multi_init();
        c->easy = curl.easy_init();
        if (!c->multi || !c->easy) {
            free_channel(c);
            return err_nomem(err);
        }
    }
    c->http = h;
    *out = c;
    return OK;
}

void s3_http_end(struct s3_channel *c)
{
    struct s3_http *h;
    bool keep;

    if (!c) {
        return;
    }
    h = c->http;
    curl.multi_remove_handle(c->multi, c->easy); /* closes the connection of an unfinished answer */
    curl.easy_reset(c->easy);
    curl.slist_free_all(c->fields);
    c->fields = NULL;
    buf_release(&c->in);
    keep = h->has_lock && c->is_done && c->result == CURLE_OK;
    if (keep) {
        lock_take(&h->lock);
        keep = h->idle_n < IDLE_MAX;
        if (keep) {
            c->next = h->idle;
            h->idle = c;
            h->idle_n++;
        }
        lock_give(&h->lock);
    }
    if (!keep) {
        free_channel(c);
    }
}

/* ---- callbacks ---------------------------------------------------------------------------------------------------------------- */

static void moved(struct s3_channel *c)
{
    c->moved_ms = clock_mono_ms();
}

static size_t on_send(char *p, size_t size, size_t n, void *ctx)
{
    struct s3_channel *c = ctx;
    size_t k = MIN_OF(size * n, c->body.n - c->sent);

    if (k) {
        memcpy(p, c->body.p + c->sent, k);
    }
    c->sent += k;
    moved(c);
    return k;
}

/* A connection that was kept may turn out to be dead: libcurl then sends again on a new one. */
static int on_rewind(void *ctx, curl_off_t to, int whence)
{
    struct s3_channel *c = ctx;

    if (whence != SEEK_SET || to < 0 || (uint64_t)to > c->body.n) {
        return CURL_SEEKFUNC_FAIL;
    }
    c->sent = (size_t)to;
    return CURL_SEEKFUNC_OK;
}

static bool is_streamed(struct s3_channel *c)
{
    long status = 0;

    curl.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    return c->stream && (status == 200 || status == 206);
}

/* To the reader who waits; what is more than it wants, or comes before it asks, is kept. */
static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct s3_channel *c = ctx;
    size_t all = size * n, direct = c->to ? MIN_OF(all, c->to_max - c->to_n) : 0;

    moved(c);
    c->head_done = true;
    if (c->to ? !direct : is_streamed(c) && c->in.n - c->in_at + all > S3_AHEAD_MAX) {
        c->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (direct) {
        memcpy(c->to + c->to_n, p, direct);
        c->to_n += direct;
    }
    if (all > direct) {
        buf_put(&c->in, p + direct, all - direct);
    }
    if (c->in.failed) {
        return 0;
    }
    c->taken += all;
    return all;
}

static bool field(struct str line, struct str name, struct str *value)
{
    if (line.n <= name.n || line.p[name.n] != ':' ||
        !str_eq_nocase(str_sub(line, 0, name.n), name)) {
        return false;
    }
    *value = str_trim(str_sub(line, name.n + 1, line.n));
    return true;
}

static void keep(char *to, size_t max, struct str v)
{
    v.n = MIN_OF(v.n, max - 1);
    memcpy(to, v.p ? v.p : "", v.n);
    to[v.n] = 0;
}

static size_t on_field(char *p, size_t size, size_t n, void *ctx)
{
    struct s3_channel *c = ctx;
    struct s3_answer *a = c->answer;
    struct str line = str_of(p, size * n), v;
    uint64_t number;

    moved(c);
    if (!a) {
        return size * n;
    }
    if (str_starts(line, S("HTTP/"))) { /* a new head, after a 100 */
        *a = (struct s3_answer){ .length = -1, .first = -1, .total = -1 };
    } else if (!str_trim(line).n) {
        long status = 0;

        curl.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        c->head_done = c->head_done || status >= 200;
    } else if (field(line, S("etag"), &v)) {
        keep(a->etag, sizeof(a->etag), v);
    } else if (field(line, S("x-amz-bucket-region"), &v)) {
        keep(a->region, sizeof(a->region), v);
    } else if (field(line, S("x-amz-request-id"), &v)) {
        keep(a->request_id, sizeof(a->request_id), v);
    } else if (field(line, S("location"), &v)) {
        keep(a->location, sizeof(a->location), v);
    } else if (field(line, S(S3_MARK_FIELD), &v)) {
        keep(a->mark, sizeof(a->mark), v);
    } else if (field(line, S("content-length"), &v)) {
        a->length = num_parse_u64(v, &number) && number <= INT64_MAX ? (int64_t)number : -1;
    } else if (field(line, S("transfer-encoding"), &v) || field(line, S("upgrade"), &v)) {
        c->is_plain = false;
    } else if (field(line, S("content-range"), &v)) {
        size_t slash = str_find_byte(v, '/', 0), dash = str_find_byte(v, '-', 0);
        struct str from = str_trim(str_sub(str_sub(v, 0, dash), sizeof("bytes") - 1, v.n));

        a->first = num_parse_u64(from, &number) && number <= INT64_MAX ? (int64_t)number : -1;
        v = slash == SIZE_MAX ? S("") : str_sub(v, slash + 1, v.n);
        a->total = num_parse_u64(v, &number) && number <= INT64_MAX ? (int64_t)number : -1;
    } else if (field(line, S("retry-after"), &v)) {
        a->retry_after = num_parse_u64(v, &number) && number <= 3600 ? (int64_t)number : 0;
    }
    return size * n;
}

/* ---- driving ------------------------------------------------------------------------------------------------------------------- */

/* A proxy of the environment is not for this machine's own addresses. */
static bool is_here(const char *url)
{
    static const char *const hosts[] = { "://127.", "://localhost", "://[::1]" };

    for (size_t i = 0; i < ARRAY_N(hosts); i++) {
        if (str_find(str_cstr(url), str_cstr(hosts[i])) != SIZE_MAX) {
            return true;
        }
    }
    return false;
}

/* Whether the body comes as it is through the socket: no TLS, and no proxy, which may want TLS itself. */
static bool is_plain(const char *url)
{
    static const char *const names[] = { "http_proxy", "all_proxy", "ALL_PROXY" };
    bool proxied = false;

    for (size_t i = 0; i < ARRAY_N(names); i++) {
        const char *v = getenv(names[i]);

        proxied = proxied || (v && v[0]);
    }
    return str_starts(str_cstr(url), S("http://")) && (!proxied || is_here(url));
}

static enum status set_fields(struct s3_channel *c, const struct s3_request *req, struct err *err)
{
    static const char *const own[] = { "expect:", "accept:", ("user-agent: cairn/" CAIRN_VERSION) };

    for (size_t i = 0; i < ARRAY_N(own) + req->fields_n; i++) {
        struct curl_slist *more =
            curl.slist_append(c->fields, i < ARRAY_N(own) ? own[i] : req->fields[i - ARRAY_N(own)]);

        if (!more) {
            return err_nomem(err);
        }
        c->fields = more;
    }
    return OK;
}

/* An option that libcurl keeps a copy of: without it the request would be another one. */
static enum status set_text(CURL *h, CURLoption option, const char *text, struct err *err)
{
    return curl.easy_setopt(h, option, text) == CURLE_OUT_OF_MEMORY ? err_nomem(err) : OK;
}

static enum status set_texts(struct s3_channel *c, const struct s3_request *req, struct err *err)
{
    CURL *h = c->easy;
    enum status st = set_text(h, CURLOPT_URL, req->url, err);

    st = st ? st : set_text(h, CURLOPT_PROTOCOLS_STR, "http,https", err);
    if (!st && c->http->ca_file) {
        st = set_text(h, CURLOPT_CAINFO, c->http->ca_file, err);
    }
    if (!st && is_here(req->url)) {
        st = set_text(h, CURLOPT_NOPROXY, "*", err);
    }
    return st ? st : set_text(h, CURLOPT_CUSTOMREQUEST, req->method, err);
}

/* Which socket is the channel's: libcurl does not say while it uses it. */
static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct s3_channel *c = ctx;
    int fd = purpose == CURLSOCKTYPE_IPCXN ? sock_new(a->family, a->socktype, a->protocol) : -1;

    if (fd < 0) {
        return CURL_SOCKET_BAD;
    }
    c->fd = fd;
    c->fds++;
    return fd;
}

static int on_close(void *ctx, curl_socket_t fd)
{
    struct s3_channel *c = ctx;

    c->fds--;
    if (fd == c->fd) {
        c->fd = -1;
    }
    return sys.close(fd);
}

static enum status set_up(struct s3_channel *c, const struct s3_request *req, struct err *err)
{
    CURL *h = c->easy;
    enum status st = set_fields(c, req, err);
    /* A PUT or POST without a body says that its length is 0. */
    bool has_body = req->body.p || req->method[0] == 'P';

    if (st) {
        return st;
    }
    curl.easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
    curl.easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl.easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L); /* finds a peer that vanished while it thinks */
    curl.easy_setopt(h, CURLOPT_TCP_KEEPIDLE, 20L);
    curl.easy_setopt(h, CURLOPT_TCP_KEEPINTVL, 10L);
    curl.easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl.easy_setopt(h, CURLOPT_BUFFERSIZE, 128L * 1024);
    curl.easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
    curl.easy_setopt(h, CURLOPT_HTTPHEADER, c->fields);
    curl.easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl.easy_setopt(h, CURLOPT_OPENSOCKETDATA, c);
    curl.easy_setopt(h, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl.easy_setopt(h, CURLOPT_CLOSESOCKETDATA, c);
    curl.easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl.easy_setopt(h, CURLOPT_HEADERFUNCTION, on_field);
    curl.easy_setopt(h, CURLOPT_HEADERDATA, c);
    if (str_eq_lit(str_cstr(req->method), "HEAD")) {
        curl.easy_setopt(h, CURLOPT_NOBODY, 1L);
    } else if (has_body) {
        curl.easy_setopt(h, CURLOPT_UPLOAD, 1L);
        curl.easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->body.n);
        curl.easy_setopt(h, CURLOPT_READFUNCTION, on_send);
        curl.easy_setopt(h, CURLOPT_READDATA, c);
        curl.easy_setopt(h, CURLOPT_SEEKFUNCTION, on_rewind);
        curl.easy_setopt(h, CURLOPT_SEEKDATA, c);
    }
    return set_texts(c, req, err);
}

static enum status no_answer(const char *why, struct err *err)
{
    return err_set(err, ST_UNAVAILABLE, "no answer: %s", why);
}

static enum status broken(struct s3_channel *c, struct err *err)
{
    c->is_over = true;
    if (c->in.failed == ST_NOMEM || c->result == CURLE_OUT_OF_MEMORY) {
        return err_nomem(err);
    }
    if (c->in.failed) {
        return err_set(err, ST_UNAVAILABLE, "the answer exceeds %d bytes", S3_ANSWER_MAX);
    }
    if (c->answer) {
        c->answer->is_hopeless = c->result == CURLE_PEER_FAILED_VERIFICATION;
    }
    return no_answer(curl.easy_strerror(c->result), err);
}

/* libcurl gives what it has held back. What is refused of it is lost, and others would come behind it: then this ends here. */
static enum status go_on(struct s3_channel *c, struct err *err)
{
    c->is_paused = false;
    c->result = curl.easy_pause(c->easy, CURLPAUSE_CONT);
    return c->result == CURLE_OK ? OK : broken(c, err);
}

/* A reader has all that it wants, or some and has waited; before the first one, the head and some bytes are there. */
static bool has_enough(struct s3_channel *c, int64_t began_ms)
{
    if (!c->to) {
        return c->head_done && is_streamed(c) && c->in.n > c->in_at;
    }
    return c->to_n == c->to_max || (c->to_n && clock_mono_ms() - began_ms >= PIECE_MS);
}

/* Runs until the head is there (streams: and bytes, or the end), or the whole answer (otherwise). */
static enum status drive(struct s3_channel *c, bool head_only, struct err *err)
{
    int64_t stall = c->http->stall_ms ? c->http->stall_ms : S3_STALL_MS, began = clock_mono_ms();

    moved(c);
    while (!c->is_done) {
        enum status st = c->is_paused ? go_on(c, err) : OK;
        int running = 0, left = 0;
        int64_t now, end;
        CURLMsg *m;

        if (st) {
            return st;
        }
        if (curl.multi_perform(c->multi, &running) != CURLM_OK) {
            return no_answer("libcurl failed", err);
        }
        while ((m = curl.multi_info_read(c->multi, &left)) != NULL) {
            if (m->msg == CURLMSG_DONE) {
                c->is_done = true;
                c->result = m->data.result;
            }
        }
        if (c->is_done || (head_only && has_enough(c, began))) {
            break;
        }
        now = clock_mono_ms();
        end = c->may_think ? c->until_ms : MIN_OF(c->moved_ms + stall, c->until_ms);
        if (now >= end) {
            c->is_over = true;
            return no_answer(now >= c->until_ms ? "it took too long" : "the connection stalls",
                             err);
        }
        curl.multi_poll(c->multi, NULL, 0,
                        (int)MIN_OF(end - now, c->to_n ? (int64_t)PIECE_MS : (int64_t)POLL_MS),
                        NULL);
    }
    return c->is_done && c->result != CURLE_OK ? broken(c, err) : OK;
}

static enum status begin(struct s3_http *h, const struct s3_request *req, bool stream,
                         struct s3_channel **out, struct s3_answer *answer, struct err *err)
{
    struct s3_channel *c;
    enum status st = take(h, &c, err);

    *out = NULL;
    *answer = (struct s3_answer){ .length = -1, .first = -1, .total = -1 };
    if (st) {
        return st;
    }
    c->stream = stream;
    c->to = NULL;
    c->to_n = 0;
    c->body = req->body;
    c->sent = c->in_at = 0;
    c->is_paused = c->is_done = c->head_done = c->is_over = c->wants_pipe = false;
    c->is_plain = is_plain(req->url);
    c->raw = -1;
    c->taken = 0;
    c->result = CURLE_OK;
    c->until_ms = req->until_ms;
    c->may_think = req->may_think;
    c->answer = answer;
    st = set_up(c, req, err);
    if (!st && curl.multi_add_handle(c->multi, c->easy) != CURLM_OK) {
        st = err_nomem(err);
    }
    st = st ? st : drive(c, stream, err);
    c->answer = NULL;
    if (st) {
        s3_http_end(c);
        return st;
    }
    {
        long status = 0;

        curl.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        answer->status = (int)status;
    }
    c->length = answer->length;
    c->until_ms = stream ? INT64_MAX
                         : c->until_ms; /* a long answer may take its time, as long as bytes come */
    *out = c;
    return OK;
}

/* The rest of an answer that is not read in pieces. */
static enum status whole_body(struct s3_channel *c, struct arena *a, struct s3_answer *out,
                              struct err *err)
{
    enum status st = c->is_done ? OK : drive(c, false, err);

    if (!st) {
        out->body = arena_str(a, buf_str(&c->in));
        st = out->body.p ? OK : err_nomem(err);
    }
    return st;
}

enum status s3_http_call(struct s3_http *h, const struct s3_request *req, struct arena *a,
                         struct s3_answer *out, struct err *err)
{
    struct s3_channel *c;
    enum status st = begin(h, req, false, &c, out, err);

    if (!st) {
        st = whole_body(c, a, out, err);
        s3_http_end(c);
    }
    return st;
}

enum status s3_http_begin(struct s3_http *h, const struct s3_request *req, struct arena *a,
                          struct s3_channel **channel, struct s3_answer *out, struct err *err)
{
    enum status st = begin(h, req, true, channel, out, err);

    if (!st && out->status != 200 && out->status != 206) {
        st = whole_body(*channel, a, out, err);
        s3_http_end(*channel);
        *channel = NULL;
    }
    return st;
}

enum status s3_http_read(struct s3_channel *c, void *p, size_t max, size_t *got, struct err *err)
{
    size_t kept = MIN_OF(max, c->in.n - c->in_at);
    enum status st = OK;

    memcpy(p, c->in.p ? c->in.p + c->in_at : "", kept);
    c->in_at += kept;
    if (c->in.n == c->in_at) {
        buf_clear(&c->in);
        c->in_at = 0;
    }
    c->to = p;
    c->to_n = kept;
    c->to_max = max;
    if (kept < max && !(kept && c->wants_pipe)) {
        st = c->is_over || c->raw >= 0 ? no_answer("the connection is closed", err)
                                       : drive(c, true, err);
    }
    *got = c->to_n;
    c->to = NULL;
    return *got ? OK : st; /* what came before it broke counts; the next call tells */
}

/* Takes the socket over from libcurl, which has then handed on all that it has read of it: it keeps bytes back only while it is told to
 * wait, and gives them when it is told to go on, before it reads others. Its count is asked, all the same: bytes that were missing in the
 * middle would make others of those behind them. Without one socket of its own that will not work later either. */
static bool takes_over(struct s3_channel *c)
{
    curl_off_t counted = -1;

    if (c->fd < 0 || c->fds != 1) {
        c->is_plain = c->wants_pipe = false;
        return false;
    }
    if (c->is_paused || c->is_done || c->in.n > c->in_at ||
        curl.easy_getinfo(c->easy, CURLINFO_SIZE_DOWNLOAD_T, &counted) != CURLE_OK ||
        (uint64_t)counted != c->taken) {
        return false;
    }
    buf_release(&c->in);
    c->in_at = 0;
    c->raw = c->fd;
    c->wake_from = 0;
    return true;
}

enum status s3_http_pipe(struct s3_channel *c, int pipe, size_t max, size_t *got, struct err *err)
{
    int64_t stall = c->http->stall_ms ? c->http->stall_ms : S3_STALL_MS, began = clock_mono_ms();
    uint64_t left = c->length < 0 ? 0 : (uint64_t)c->length - MIN_OF((uint64_t)c->length, c->taken);

    *got = 0;
    if (!c->is_plain || c->is_over || !left || (c->raw < 0 && left < S3_PIPE_MIN)) {
        return OK;
    }
    c->wants_pipe = true;
    if (c->raw < 0 && c->is_paused && c->in.n == c->in_at) {
        enum status st = go_on(c, err);

        if (st) {
            return st;
        }
    }
    if (c->raw < 0 && !takes_over(c)) {
        return OK;
    }
    max = (size_t)MIN_OF((uint64_t)max, left);
    if (c->wake_from != MIN_OF(max, (size_t)WAKE_BYTES)) {
        c->wake_from = MIN_OF(max, (size_t)WAKE_BYTES);
        sock_wake_from(c->raw, c->wake_from);
    }
    for (;;) {
        ssize_t n;

        (void)sock_wait(c->raw, POLLIN, PIECE_MS);
        n = sys.splice(c->raw, pipe, max);
        if (n > 0) {
            c->taken += (uint64_t)n;
            *got = (size_t)n;
            return OK;
        }
        if (n == 0 || errno != EAGAIN || clock_mono_ms() - began >= stall) {
            c->is_over = true;
            return no_answer(n == 0            ? "the connection is closed"
                             : errno == EAGAIN ? "the connection stalls"
                                               : strerror(errno),
                             err);
        }
    }
}
