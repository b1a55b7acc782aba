/* cli/send.c - see send.h. */
#include "cli/send.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/sys.h"
#include "cli/api.h"
#include "client/http.h"
#include "codec/base64.h"
#include <inttypes.h>
#include <unistd.h>

enum { WAIT_FIRST_MS = 200, WAIT_MAX_MS = 5000, PATIENCE_MS = 30000, PIECE = 256 * 1024 };

#define VERSION "Tus-Resumable: 1.0.0"

struct sending {
    struct cli *cli;
    int fd;
    const char *name, *url; /* of the upload */
    uint64_t size, at;
    struct sha256 *sha; /* of the bytes before `at` */
};

static size_t read_some(void *ctx, void *p, size_t max)
{
    struct sending *s = ctx;
    ssize_t n = sys.pread(s->fd, p, max, (off_t)s->at);

    if (n <= 0) {
        return 0;
    }
    sha256_update(s->sha, p, (size_t)n);
    s->at += (uint64_t)n;
    return (size_t)n;
}

/* What the server has is hashed here, not sent. */
static enum status pass_over(struct sending *s, uint64_t to, struct err *err)
{
    char *room = mem_alloc(PIECE);
    enum status st = room && sha256_restart(s->sha) ? OK : err_nomem(err);

    s->at = 0;
    while (!st && s->at < to) {
        if (!read_some(s, room, (size_t)MIN_OF((uint64_t)PIECE, to - s->at))) {
            st = err_set(err, ST_IO, "%s became shorter while it was sent", s->name);
        }
    }
    mem_free(room);
    return st;
}

/* "fingerprint BASE64": the same for the same file of this machine, unchanged. */
static struct str metadata(struct cli *cli, int fd)
{
    struct buf b = BUF_INIT(1024);
    struct stat info;
    struct str text, out = { NULL, 0 };

    if (sys.fstat(fd, &info) == 0) {
        text = arena_printf(cli->arena, "%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64,
                            (uint64_t)info.st_dev, (uint64_t)info.st_ino,
                            (uint64_t)info.st_mtim.tv_sec, (uint64_t)info.st_mtim.tv_nsec,
                            (uint64_t)info.st_ctim.tv_sec);
        buf_put_lit(&b, "Upload-Metadata: fingerprint ");
        base64_put(&b, text, BASE64_STD);
        buf_put_u8(&b, 0);
        out = text.p && !b.failed ? arena_str(cli->arena, buf_str(&b)) : out;
    }
    buf_release(&b);
    return out;
}

static bool offset_of(const struct client_answer *answer, uint64_t *at)
{
    return num_parse_u64(str_cstr(answer->upload_offset), at);
}

/* *at: so much of it the server has. False in *begun: it takes none. */
static enum status begin(struct sending *s, const char *path, uint64_t *at, bool *begun,
                         struct err *err)
{
    struct cli *cli = s->cli;
    const char *fields[] = { VERSION,
                             arena_printf(cli->arena, "Upload-Length: %" PRIu64, s->size).p,
                             metadata(cli, s->fd).p, NULL };
    struct client_request req = { .method = "POST", .fields = fields };
    struct client_answer answer;
    enum status st =
        fields[1] && fields[2] ? api_ask(cli, &req, path, &answer, err) : err_nomem(err);

    *begun = !st && answer.status == 201 && answer.location[0] && offset_of(&answer, at) &&
             *at <= s->size;
    if (*begun) {
        s->url = arena_printf(cli->arena, "/api/cairn/v1/%s", answer.location).p;
        st = s->url ? OK : err_nomem(err);
    }
    return st;
}

static enum status check_digest(const struct sending *s, const struct client_answer *answer,
                                struct err *err)
{
    struct digest sent = sha256_end(s->sha);
    struct str text = str_cstr(answer->repr_digest), kept = { NULL, 0 };
    bool nomem = false;

    if (str_starts(text, S("sha-256=:")) && text.n > 10) {
        text = str_sub(text, 9, text.n - 10);
    }
    if (!base64_decode(text, s->cli->arena, &kept, &nomem)) {
        kept.n = 0;
    }
    return kept.n == sizeof(sent.b) && memcmp(kept.p, sent.b, kept.n) == 0
               ? OK
               : err_set(err, ST_CORRUPT, "the server has other bytes of %s than were sent",
                         s->name);
}

/* One request with all that is missing. *again: it may be tried again, where the server says. */
static enum status add(struct sending *s, bool *again, struct err *err)
{
    struct cli *cli = s->cli;
    const char *fields[] = { VERSION, arena_printf(cli->arena, "Upload-Offset: %" PRIu64, s->at).p,
                             NULL };
    struct client_request req = { .method = "PATCH",
                                  .fields = fields,
                                  .type = "application/offset+octet-stream",
                                  .source = read_some,
                                  .source_ctx = s,
                                  .source_n = s->size - s->at };
    struct client_answer answer;
    enum status st = fields[1] ? api_ask(cli, &req, s->url, &answer, err) : err_nomem(err);

    if (st == ST_IO) {
        st = err_set(err, ST_IO, "%s became shorter while it was sent", s->name);
    }
    *again = st == ST_UNAVAILABLE;
    if (st) {
        return st;
    }
    *again = answer.status == 409 || answer.status == 423 || answer.status == 429 ||
             answer.status == 503;
    return answer.status == 204 ? check_digest(s, &answer, err)
                                : api_answer_error(cli, &answer, err);
}

/* Where to go on; *again as above. */
static enum status look(struct sending *s, uint64_t *at, bool *again, struct err *err)
{
    static const char *const fields[] = { VERSION, NULL };
    struct client_request req = { .method = "HEAD", .fields = fields };
    struct client_answer answer;
    enum status st = api_ask(s->cli, &req, s->url, &answer, err);

    *again = st == ST_UNAVAILABLE;
    if (st) {
        return st;
    }
    *again = answer.status == 423 || answer.status == 429 || answer.status == 503;
    if (answer.status != 200) {
        return err_set(err, ST_UNAVAILABLE, "the upload of %s cannot be gone on with (%d)", s->name,
                       answer.status);
    }
    return offset_of(&answer, at) && *at <= s->size
               ? OK
               : err_set(err, ST_UNAVAILABLE, "the server does not say where the upload goes on");
}

/* Waits, longer each time, until the server says where to go on, or `until` has come. */
static enum status find_again(struct sending *s, int64_t until, uint64_t *at, struct err *err)
{
    struct err why = ERR_INIT;
    bool again = true;
    enum status st = ST_UNAVAILABLE;

    for (int64_t wait = WAIT_FIRST_MS; st && again && clock_mono_ms() < until;
         wait = MIN_OF(wait * 2, (int64_t)WAIT_MAX_MS)) {
        usleep((useconds_t)wait * 1000);
        err_clear(&why);
        st = look(s, at, &again, &why);
    }
    if (st && why.message[0]) {
        *err = why;
    }
    return st;
}

/* An upload that the server has whole answers for a day; its last answer, with the digest, was lost. */
static enum status go_on(struct sending *s, uint64_t at, struct err *err)
{
    uint64_t before = at;
    int64_t until = 0;
    enum status st = pass_over(s, at, err);

    while (!st && at < s->size) {
        bool again = false;

        st = add(s, &again, err);
        if (!st || !again) {
            return st;
        }
        until = until && at == before ? until : clock_mono_ms() + PATIENCE_MS;
        before = at;
        st = find_again(s, until, &at, err);
        st = st ? st : pass_over(s, at, err);
    }
    if (st == ST_UNAVAILABLE) {
        err_hint(err, "run the same command again: it goes on where it stopped");
    }
    return st;
}

enum status send_resumed(struct cli *cli, const char *path, int fd, const char *name, uint64_t size,
                         bool *begun, struct err *err)
{
    struct sending s = { .cli = cli, .fd = fd, .name = name, .size = size, .sha = sha256_new() };
    uint64_t at = 0;
    enum status st = s.sha ? begin(&s, path, &at, begun, err) : err_nomem(err);

    if (!st && *begun) {
        if (at) {
            cli_note(cli, "%s goes on at %" PRIu64 " of %" PRIu64 " bytes", name, at, size);
        }
        st = go_on(&s, at, err);
    }
    sha256_free(s.sha);
    return st;
}
