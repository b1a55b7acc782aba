/* tests/10module/codec_tool.c - the other side of the comparisons of the codec with Python.
 * Standard input is a row of requests: mode (1 byte), message (1 byte, a row of descs[]), flags (2 bytes), length (4 bytes),
 * bytes; integers little-endian. Each is answered by a status (4 bytes), a length (4 bytes) and bytes: the result, or
 * the text of the error. Modes:
 *   j JSON -> JSON   w JSON -> wire   u wire -> JSON   p wire -> wire   q query -> JSON   (flags: enum msg_flags, both ways)
 *   c JSON -> canonical JSON (flags: enum json_flags)   b bytes -> base64 (flags: enum base64_flags)   B base64 -> bytes
 *   v JSON list of lists of text -> CSV */
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/csv.h"
#include "codec/json.h"
#include "codec/msg.h"
#include "codec_all.h"
#include "gen/mlflow/tracking.h"
#include <stdio.h>

static const struct msg_desc *const descs[] = {
    &t_all_desc,
    &t_rules_desc,
    &mlflow_run_desc,
    &mlflow_log_batch_desc,
    &mlflow_search_runs_response_desc,
    &mlflow_logged_model_desc,
};

static char *read_all(size_t *n)
{
    size_t cap = 1 << 20, got;
    char *p = mem_alloc(cap);

    *n = 0;
    while (p && (got = fread(p + *n, 1, cap - *n, stdin)) > 0) {
        *n += got;
        if (*n == cap) {
            cap *= 2;
            p = mem_realloc(p, cap);
        }
    }
    CHECK(p && feof(stdin));
    return p;
}

static enum status csv(struct buf *out, struct str text, struct arena *a)
{
    struct csv_writer w = CSV_WRITER_INIT(out);
    struct json_reader r;
    enum json_event ev;

    json_init(&r, text, 0, 0);
    while ((ev = json_next(&r)) > JSON_EV_END) {
        if (ev == JSON_EV_STRING) csv_str(&w, json_text(&r, a));
        if (ev == JSON_EV_ARRAY_END && r.depth == 1) csv_end_row(&w);
    }
    return ev == JSON_EV_END ? OK : ST_BAD_REQUEST;
}

static enum status message(char mode, const struct msg_desc *desc, unsigned flags, struct str in,
                           struct buf *out, struct arena *a, struct err *err)
{
    struct msg_ctx ctx = { .arena = a, .flags = flags };
    void *m = arena_zalloc(a, 1, desc->size);
    enum status st;

    CHECK(m);
    if (mode == 'j' || mode == 'w') {
        st = msg_decode_json(desc, m, in, &ctx, err);
    } else if (mode == 'q') {
        st = msg_decode_query(desc, m, in, &ctx, err);
    } else {
        st = msg_decode_pb(desc, m, in, &ctx, err);
    }
    if (st) return st;
    if (mode == 'w' || mode == 'p') {
        msg_encode_pb(out, desc, m);
    } else {
        msg_encode_json(out, desc, m, flags);
    }
    return buf_status(out, "answer", err);
}

static enum status answer(char mode, size_t desc, unsigned flags, struct str in, struct buf *out,
                          struct arena *a, struct err *err)
{
    struct str bytes;
    bool nomem;
    enum status st;

    switch (mode) {
    case 'c': st = json_check(in, flags, 0, err); return st ? st : json_canonical(out, in, a, err);
    case 'b': base64_put(out, in, flags); return OK;
    case 'B':
        if (!base64_decode(in, a, &bytes, &nomem)) return err_set(err, ST_INVALID, "not base64");
        buf_put_str(out, bytes);
        return OK;
    case 'v': return csv(out, in, a);
    default:
        CHECK(desc < ARRAY_N(descs));
        return message(mode, descs[desc], flags, in, out, a, err);
    }
}

int main(void)
{
    size_t n;
    char *p = read_all(&n);
    struct rd r = rd_of(p, n);
    struct arena *a = arena_new(64u << 20);
    struct buf out = BUF_INIT(16 << 20), head = BUF_INIT(64);

    CHECK(a);
    while (rd_left(&r)) {
        struct err err = ERR_INIT;
        char mode = (char)rd_u8(&r);
        uint8_t desc = rd_u8(&r);
        uint16_t flags = rd_u16(&r);
        uint32_t len = rd_u32(&r);
        struct str in = rd_bytes(&r, len);
        enum status st;

        CHECK(!r.bad);
        buf_clear(&out);
        buf_clear(&head);
        arena_reset(a);
        st = answer(mode, desc, flags, in, &out, a, &err);
        if (st) {
            buf_clear(&out);
            buf_put_cstr(&out, err.message);
        }
        buf_put_u32(&head, st);
        buf_put_u32(&head, (uint32_t)out.n);
        fwrite(head.p, 1, head.n, stdout);
        if (out.n) fwrite(out.p, 1, out.n, stdout);
    }
    arena_free(a);
    buf_release(&out);
    buf_release(&head);
    mem_free(p);
    return fflush(stdout) ? 1 : 0;
}
