/* net/coding.h - content codings: gzip, deflate and zstd, in and out.
 * Decoders work piece by piece in bounded memory (a zstd window of at most 8 MiB), so a body that unfolds to terabytes
 * is stopped by the caller's cap, not by memory. Thread rule: one thread at a time. */
#ifndef CAIRN_NET_CODING_H
#define CAIRN_NET_CODING_H

#include "base/buf.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_ZSTD, CODING_UNKNOWN };

/* A Content-Encoding value; absent and empty are IDENTITY, several codings are UNKNOWN. */
enum coding coding_parse(struct str content_encoding);
const char *coding_name(enum coding c);
/* What to answer with, from Accept-Encoding: zstd, else gzip, else IDENTITY. q=0 refuses. */
enum coding coding_choose(struct str accept_encoding);
/* True for text and the application types that are text in disguise. */
bool coding_worthwhile(struct str media_type);

struct decoder;
/* For GZIP, DEFLATE, ZSTD. ST_NOMEM. */
enum status decoder_new(struct decoder **out, enum coding c);
/* Takes bytes off the front of *in and puts at most cap bytes at out (*n of them). Call again while *n > 0 or *in is not
 * empty. ST_BAD_REQUEST for a broken stream. */
enum status decoder_run(struct decoder *d, struct str *in, char *out, size_t cap, size_t *n,
                        struct err *err);
/* True when the bytes so far are a complete stream. */
bool decoder_complete(const struct decoder *d);
void decoder_free(struct decoder *d); /* NULL-safe */

/* The whole of in, at a fast level, appended to out (whose max applies). GZIP or ZSTD. */
enum status coding_compress(enum coding c, struct str in, struct buf *out, struct err *err);

#endif
