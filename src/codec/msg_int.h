/* codec/msg_int.h - what the decoders of messages share: where they are in the input, issues, members, limits. */
#ifndef CAIRN_CODEC_MSG_INT_H
#define CAIRN_CODEC_MSG_INT_H

#include "codec/msg.h"

/* The way from the top message to the field being read; on the C stack. */
struct msg_frame {
    const struct msg_frame *up;
    const struct msg_field *f;
    size_t index; /* of the element, SIZE_MAX if f is not repeated or no element is meant */
};

/* Records an issue; one that is there already stays unless `force`. frame may be NULL (the top message). */
void msg_note(struct msg_ctx *ctx, enum msg_issue_kind kind, const struct msg_frame *frame,
              const struct msg_field *f, struct str value, size_t got, bool force);
/* Sets ctx->issue and returns the status for it, with its text in err. */
enum status msg_fail(struct msg_ctx *ctx, enum msg_issue_kind kind, const struct msg_frame *frame,
                     const struct msg_field *f, struct str value, size_t got, struct err *err);
/* The issue noted so far as a status, OK if there is none. */
enum status msg_finish(struct msg_ctx *ctx, struct err *err);

/* Zeroes a struct and fills in the defaults. */
void msg_reset(const struct msg_desc *desc, void *out);
/* Puts a field back to what it is when absent. */
void msg_reset_field(const struct msg_field *f, void *out);
/* Notes each required field that `out` lacks; at the top (frame NULL) this replaces an issue of a nested message. */
void msg_check_required(struct msg_ctx *ctx, const struct msg_frame *frame,
                        const struct msg_desc *desc, const void *out);

/* Room for one more element of f; its address in *item, zeroed. Counts items_max and max_items. */
enum status msg_add_item(struct msg_ctx *ctx, const struct msg_frame *frame,
                         const struct msg_field *f, void *out, size_t *cap, void **item,
                         struct err *err);
/* Counts an element that is not collected; the same limits. */
enum status msg_count_item(struct msg_ctx *ctx, const struct msg_frame *frame,
                           const struct msg_field *f, size_t n, struct err *err);

/* Text or bytes as a value of f at `at`: limits applied (an issue may be noted). value is what the issue shows. */
void msg_set_text(struct msg_ctx *ctx, const struct msg_frame *frame, const struct msg_field *f,
                  void *at, struct str text, struct str value);
/* A number into a member of an integer type (bool and enum not included): false if it is beyond the type. */
bool msg_set_i64(const struct msg_field *f, void *at, int64_t v);
bool msg_set_u64(const struct msg_field *f, void *at, uint64_t v);
/* Notes a RANGE issue if the number at `at` is outside min..max. */
void msg_check_range(struct msg_ctx *ctx, const struct msg_frame *frame, const struct msg_field *f,
                     const void *at, struct str value);

static inline bool msg_is_unsigned(const struct msg_field *f)
{
    return f->type >= MSG_T_UINT32 && f->type <= MSG_T_FIX64;
}

static inline void *msg_at(const struct msg_field *f, void *out)
{
    return (char *)out + f->off;
}

static inline size_t *msg_count_at(const struct msg_field *f, void *out)
{
    return (size_t *)(void *)((char *)out + f->off_n);
}

static inline uint64_t *msg_has(void *out)
{
    return (uint64_t *)out;
}

/* Read-only twins. */
static inline const void *msg_cat(const struct msg_field *f, const void *in)
{
    return (const char *)in + f->off;
}

static inline size_t msg_count(const struct msg_field *f, const void *in)
{
    size_t n;

    memcpy(&n, (const char *)in + f->off_n, sizeof(n));
    return n;
}

/* An encoder writes f: its bit is set, or it is repeated and not empty. */
static inline bool msg_is_present(const struct msg_field *f, const void *in)
{
    uint64_t has;

    memcpy(&has, in, sizeof(has));
    return (has >> f->bit & 1) || ((f->flags & MSG_F_REPEATED) && msg_count(f, in));
}

/* U+0000 lies in the text. */
static inline bool msg_has_nul(struct str s)
{
    return s.n && memchr(s.p, 0, s.n);
}

/* Room that arena_grow() gave for n elements: it starts with 8 and doubles. For decoders that meet the elements of a
 * field apart from each other. */
static inline size_t msg_cap_of(size_t n)
{
    size_t cap = n ? 8 : 0;

    while (cap < n) {
        cap *= 2;
    }
    return cap;
}

#endif
