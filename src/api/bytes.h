/* api/bytes.h - artifacts on their way out and in, the same for every tongue.
 *
 * Out: a file goes from its descriptor to the socket (sendfile), from its row, or piece by piece from where it lies; with ranges,
 * If-Range, ETag and 304, the SHA-256 in Digest and Repr-Digest, and fields that keep a browser from running it.
 * In: pieces go from the loop to a thread that hashes and writes them; Repr-Digest, Content-Digest or Digest of the request are
 * compared before anything is named.
 * Ownership and thread rule: as the call's, see call.h. */
#ifndef CAIRN_API_BYTES_H
#define CAIRN_API_BYTES_H

#include "api/call.h"
#include "core/artifact.h"
#include "core/resume.h"

/* From an endpoint's read(): answers with the file at a place and returns ST_END, or the failure. */
enum status bytes_send(struct call *c, struct view *v, const struct artifact_place *place,
                       struct err *err);

/* The fields of an answer that a browser must not run, and the name to save it as. */
void bytes_no_script(struct call *c);
void bytes_disposition(struct call *c, struct str name);
/* The media type of a file by its name. */
const char *bytes_type(struct str name);

/* An upload by one request. The endpoint (CALL_STREAM) allocates it zeroed in the call's arena and fills the first part. */
struct bytes_put {
    /* Where the bytes go; on a pool thread, before the first piece is read. */
    enum status (*where)(struct bytes_put *p, struct view *v, struct artifact_place *out,
                         struct err *err);
    struct str path, owner; /* for where() */
    uint64_t max;           /* larger bodies are refused with too_big; 0 = no cap of its own */
    const char *too_big;
    const char *too_small; /* an empty body is refused with this; NULL = it is fine */
    /* After the commit, on the loop: may set c->out. May be NULL. */
    void (*done)(struct bytes_put *p);
    /* Answers in its place, p->st or success, on the loop, whatever became of the body but when it broke off. May be NULL. */
    void (*answer)(struct bytes_put *p);
    /* The rest is bytes_put_begin()'s. */
    struct call *call;
    struct read_job job;
    struct exec_job work;
    struct bytes_step {
        enum http_piece what;
        struct str bytes;
    } now, next;
    char *small; /* a body that is collected before anything else happens */
    size_t small_n;
    char *rooms[2]; /* one is received into while the other is hashed and written */
    size_t room_bytes;
    bool working, reading, has_next, is_lost;
    struct resume *resume; /* of an upload that goes on later; the next one: its last bytes came */
    bool is_whole;
    struct checksum
        *sum; /* that the client says of the body, given to bytes_put_resume(); or NULL */
    struct str sum_said;
    bool is_damaged; /* st is for a body that has another one */
    struct exec_job leave;
    struct artifact_upload upload;
    struct artifact_put put;
    struct digest said;
    bool has_said;
    enum status st;
    struct err err;
    struct err broke; /* why the rest of the body does not come */
};
/* Answers the call in the end. */
void bytes_put_begin(struct call *c, struct bytes_put *p);

/* The same for an upload that goes on later, once it is taken (core/resume.h): `where` is not asked. What comes is kept also when the
 * body breaks off; with its last bytes the file is named. With a checksum of the body (p->sum, freed with the call) all of the body is
 * kept or none. */
void bytes_put_resume(struct call *c, struct bytes_put *p, struct resume *r);

/* The SHA-256 that a request says its body has. *has is false without one; ST_INVALID when a field cannot be understood. */
enum status bytes_said(const struct http_req *req, struct digest *out, bool *has, struct err *err);

#endif
