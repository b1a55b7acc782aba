/* api/mlflow/run_list.c - the runs of a search as JSON: copies of fragments, and those that have none encoded and remembered. */
#include "api/mlflow/mlflow_int.h"
#include "core/fragments.h"
#include <stdlib.h>

enum { CHUNK = 256, SCRATCH_MAX = 1 << 30, RUN_BYTES_MAX = 1 << 30, RUN_BYTES_USUAL = 6000 };

/* Runs of a chunk that have no fragment. */
struct list {
    struct view scratch; /* emptied for each run */
    struct fragments *fragments;
    const int64_t *linked; /* sorted */
    size_t linked_n;
    int64_t uid[CHUNK];
    uint64_t change[CHUNK];
    size_t from[CHUNK], bytes_n[CHUNK]; /* in `bytes`; 0 bytes: the run has gone */
    size_t n;
    struct buf bytes;
};

static int uid_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static enum status encode(void *ctx, size_t i, const struct run_view *run, struct err *err)
{
    struct list *l = ctx;
    struct mlflow_run m;
    bool linked = l->linked_n &&
                  bsearch(&run->uid, l->linked, l->linked_n, sizeof(*l->linked), uid_cmp) != NULL;
    enum status st;

    arena_reset(l->scratch.arena);
    st =
        mlflow_put_run(&l->scratch, run, linked ? MLFLOW_LINKS_LISTED : MLFLOW_LINKS_NONE, &m, err);
    if (st) {
        return st;
    }
    l->from[i] = l->bytes.n;
    msg_encode_json(&l->bytes, &mlflow_run_desc, &m, mlflow_tongue.encode_flags);
    l->bytes_n[i] = l->bytes.n - l->from[i];
    if (!l->bytes.failed) {
        fragments_put(l->fragments, FRAGMENT_MLFLOW_RUN, l->uid[i], l->change[i],
                      str_of(l->bytes.p + l->from[i], l->bytes_n[i]));
    }
    return buf_status(&l->bytes, "list of runs", err);
}

static enum status encode_missing(struct list *l, struct view *v, struct err *err)
{
    int64_t *linked;
    enum status st;

    buf_clear(&l->bytes);
    memset(l->bytes_n, 0, sizeof(l->bytes_n));
    st = runs_with_links(v, l->uid, l->n, &linked, &l->linked_n, err);
    l->linked = linked;
    return st ? st : run_gather(v, l->uid, l->n, encode, l, err);
}

static enum status chunk(struct list *l, struct view *v, const int64_t *uids, size_t n, bool *comma,
                         struct buf *out, struct err *err)
{
    size_t at = 0;
    enum status st = OK;

    l->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!fragments_has(l->fragments, FRAGMENT_MLFLOW_RUN, uids[i])) {
            l->change[l->n] = run_change(v, uids[i]);
            l->uid[l->n++] = uids[i];
        }
    }
    if (l->n > 0) {
        st = encode_missing(l, v, err);
    }
    for (size_t i = 0; i < n && !st; i++) {
        size_t before = out->n;

        if (*comma) buf_put_u8(out, ',');
        if (at < l->n && l->uid[at] == uids[i]) {
            buf_put(out, l->bytes.p + l->from[at], l->bytes_n[at]);
            out->n = l->bytes_n[at] ? out->n : before;
            at++;
        } else if (!fragments_get(l->fragments, FRAGMENT_MLFLOW_RUN, uids[i], out)) {
            struct list one = *l; /* it changed, or was dropped, a moment ago */

            one.uid[0] = uids[i];
            one.change[0] = run_change(v, uids[i]);
            one.n = 1;
            one.bytes = (struct buf)BUF_INIT(RUN_BYTES_MAX);
            st = encode_missing(&one, v, err);
            buf_put(out, one.bytes.p + one.from[0], st ? 0 : one.bytes_n[0]);
            out->n = !st && one.bytes_n[0] ? out->n : before;
            buf_release(&one.bytes);
        }
        *comma = *comma || out->n > before;
    }
    return st;
}

enum status mlflow_append_runs(struct view *v, const int64_t *uids, size_t n, struct buf *out,
                               struct err *err)
{
    struct list *l = ARENA_NEW(v->arena, struct list);
    bool comma = false;
    enum status st = OK;

    if (!l) {
        return err_nomem(err);
    }
    l->fragments = v->core->fragments;
    l->scratch = *v;
    l->scratch.arena = arena_new(SCRATCH_MAX);
    l->bytes = (struct buf)BUF_INIT(RUN_BYTES_MAX);
    if (!l->scratch.arena) {
        return err_nomem(err);
    }
    (void)buf_reserve(out, MIN_OF(n, (size_t)CHUNK * 8) * RUN_BYTES_USUAL);
    for (size_t from = 0; from < n && !st; from += CHUNK) {
        st = chunk(l, v, uids + from, MIN_OF(n - from, (size_t)CHUNK), &comma, out, err);
    }
    buf_release(&l->bytes);
    arena_free(l->scratch.arena);
    return st ? st : buf_status(out, "list of runs", err);
}
