/* import/mlmd_grpc.c - rows of a server that speaks ML Metadata, whoever made it. */
#include "base/mem.h"
#include "import/mlmd_source.h"
#include "import/wire.h"
#include <stdio.h>

#define W(name_) CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_##name_

enum { CALL_MS = 120000, REQUEST_MAX = 1 << 20, TOKEN_MAX = 1 << 20, BY_ID = 3 };

static const char *const system_types[] = {
    "mlmd.Dataset",   "mlmd.Model",   "mlmd.Metrics",  "mlmd.Statistics", "mlmd.Train",
    "mlmd.Transform", "mlmd.Process", "mlmd.Evaluate", "mlmd.Deploy",
};
enum { SYSTEM_ARTIFACTS = 4 };

/* A list that is read page by page. */
struct list {
    bool begun, done;
    struct buf token;
};

struct server {
    struct mlmd_source base;
    struct grpc_client *g;
    int what; /* the table that `list` is of */
    struct list list, inner;
    int64_t ids[2 * MLMD_PAGE]; /* of the page of `list` */
    size_t ids_n, at;
};

static enum status call(struct server *s, const char *method, struct buf *request, struct arena *a,
                        struct str *answer, struct err *err)
{
    char path[128];
    enum status st = buf_status(request, "request", err);

    snprintf(path, sizeof(path), "/ml_metadata.MetadataStoreService/%s", method);
    st = st ? st : grpc_unary(s->g, path, buf_str(request), CALL_MS, a, answer, err);
    buf_release(request);
    return st;
}

static enum status malformed(struct err *err)
{
    return err_set(err, ST_INVALID, "the source's answer is malformed: is it ML Metadata?");
}

enum status mlmd_page_add(struct mlmd_page *page, struct str row, struct err *err)
{
    if (!arena_grow(page->arena, (void **)&page->rows, page->n, &page->cap, sizeof(*page->rows))) {
        return err_nomem(err);
    }
    page->bytes += row.n;
    page->rows[page->n] = arena_str(page->arena, row);
    return page->rows[page->n++].p || !row.n ? OK : err_nomem(err);
}

/* The messages in field 1 of an answer become rows; the token of the next page is its field 2. */
static enum status rows_of(struct str answer, struct mlmd_page *page, struct str *token,
                           struct err *err)
{
    struct wire_field f;
    enum status st = OK;
    bool ok;

    while (!st && wire_next(&answer, &f, &ok)) {
        if (f.number == 1 && f.bytes.p) {
            st = mlmd_page_add(page, f.bytes, err);
        } else if (f.number == 2 && token) {
            *token = f.bytes;
        }
    }
    return st ? st : ok ? OK : malformed(err);
}

static void list_end(struct list *l)
{
    buf_release(&l->token);
    *l = (struct list){ .token = BUF_INIT(TOKEN_MAX) };
}

/* The next page of a list. of: the context whose members are listed, 0 = all. */
static enum status list_next(struct server *s, struct list *l, const char *method, int64_t of,
                             struct mlmd_page *page, struct err *err)
{
    struct buf order = BUF_INIT(64), options = BUF_INIT(REQUEST_MAX),
               request = BUF_INIT(REQUEST_MAX);
    struct str answer, token = { NULL, 0 };
    enum status st;

    wire_put_i64(&order, 1, BY_ID);
    wire_put_i64(&order, 2, 1);
    wire_put_i64(&options, 1, MLMD_PAGE);
    wire_put_bytes(&options, 2, buf_str(&order));
    if (l->token.n) {
        wire_put_bytes(&options, 3, buf_str(&l->token));
    }
    if (of) {
        wire_put_i64(&request, 1, of);
    }
    wire_put_bytes(&request, of ? 2 : 1, buf_str(&options));
    buf_release(&order);
    buf_release(&options);
    st = call(s, method, &request, page->arena, &answer, err);
    st = st ? st : rows_of(answer, page, &token, err);
    l->begun = true;
    l->done = !st && (!token.n || str_eq(token, buf_str(&l->token)));
    buf_clear(&l->token);
    buf_put_str(&l->token, token);
    return st ? st : buf_status(&l->token, "token of the source", err);
}

/* ---- types ------------------------------------------------------------------------------------------------------------------- */

/* The answer to a question about up to MLMD_PAGE types by their numbers. */
static enum status types_by_number(struct server *s, int kind, const struct str *rows, size_t n,
                                   struct mlmd_page *out, struct err *err)
{
    static const char *const by_id[] = { "GetArtifactTypesByID", "GetExecutionTypesByID",
                                         "GetContextTypesByID" };
    struct buf request = BUF_INIT(REQUEST_MAX);
    struct str answer;
    enum status st;

    for (size_t i = 0; i < n; i++) {
        wire_put_i64(&request, 1, wire_i64(rows[i], 1));
    }
    st = call(s, by_id[kind], &request, out->arena, &answer, err);
    return st ? st : rows_of(answer, out, NULL, err);
}

/* Lists of types leave their external ids out; by number they have them. One that is gone meanwhile stays as it was listed. */
static enum status whole_types(struct server *s, int kind, const struct mlmd_page *listed,
                               struct mlmd_page *page, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < listed->n; i += MLMD_PAGE) {
        size_t n = MIN_OF(listed->n - i, (size_t)MLMD_PAGE);
        struct mlmd_page whole = { .arena = page->arena };

        st = types_by_number(s, kind, listed->rows + i, n, &whole, err);
        for (size_t k = 0; !st && k < n; k++) {
            struct str row = listed->rows[i + k];

            for (size_t j = 0; j < whole.n; j++) {
                if (wire_i64(whole.rows[j], 1) == wire_i64(listed->rows[i + k], 1)) {
                    row = whole.rows[j];
                }
            }
            st = mlmd_page_add(page, row, err);
        }
    }
    return st;
}

static enum status types(struct server *s, int what, struct mlmd_page *page, struct err *err)
{
    static const char *const all[] = { "GetArtifactTypes", "GetExecutionTypes", "GetContextTypes" };
    static const char *const one[] = { "GetArtifactType", "GetExecutionType" };
    int kind = what - W(ARTIFACT_TYPES);
    size_t from = kind == 0 ? 0 : SYSTEM_ARTIFACTS;
    size_t to = kind == 0 ? SYSTEM_ARTIFACTS : kind == 1 ? ARRAY_N(system_types) : 0;
    struct buf request = BUF_INIT(REQUEST_MAX);
    struct mlmd_page listed = { .arena = page->arena };
    struct str answer;
    enum status st;

    if (s->list.begun) {
        return ST_END;
    }
    s->list.begun = true;
    st = call(s, all[kind], &request, page->arena, &answer, err);
    st = st ? st : rows_of(answer, &listed, NULL, err);
    st = st ? st : whole_types(s, kind, &listed, page, err);
    for (size_t i = from; !st && i < to; i++) {
        buf_init(&request, REQUEST_MAX);
        wire_put_bytes(&request, 1, str_cstr(system_types[i]));
        st = call(s, one[kind], &request, page->arena, &answer, err);
        st = st == ST_NOT_FOUND ? OK : st ? st : rows_of(answer, page, NULL, err);
    }
    return st;
}

/* ---- what hangs on nodes -------------------------------------------------------------------------------------------------------- */

/* The next page of nodes, of which only the numbers are kept. */
static enum status numbers(struct server *s, const char *method, struct mlmd_page *page,
                           struct err *err)
{
    struct mlmd_page nodes = { .arena = page->arena };
    enum status st = list_next(s, &s->list, method, 0, &nodes, err);

    s->ids_n = s->at = 0;
    if (!st && nodes.n > ARRAY_N(s->ids)) {
        st = err_set(err, ST_INVALID,
                     "the source's answer to %s has %zu rows where %d were asked for: is it ML "
                     "Metadata?",
                     method, nodes.n, MLMD_PAGE);
    }
    for (size_t i = 0; !st && i < nodes.n; i++) {
        s->ids[s->ids_n++] = wire_i64(nodes.rows[i], 1);
    }
    return st;
}

static enum status events(struct server *s, struct mlmd_page *page, struct err *err)
{
    struct buf request = BUF_INIT(REQUEST_MAX);
    struct str answer;
    enum status st;

    if (s->list.begun && s->list.done) {
        return ST_END;
    }
    st = numbers(s, "GetExecutions", page, err);
    if (st || s->ids_n == 0) {
        return st;
    }
    for (size_t i = 0; i < s->ids_n; i++) {
        wire_put_i64(&request, 1, s->ids[i]);
    }
    st = call(s, "GetEventsByExecutionIDs", &request, page->arena, &answer, err);
    return st ? st : rows_of(answer, page, NULL, err);
}

static enum status add_pair(struct mlmd_page *page, int64_t a, int64_t b, struct err *err)
{
    struct buf row = BUF_INIT(64);
    enum status st;

    wire_put_i64(&row, 1, a);
    wire_put_i64(&row, 2, b);
    st = buf_status(&row, "row", err);
    st = st ? st : mlmd_page_add(page, buf_str(&row), err);
    buf_release(&row);
    return st;
}

static enum status parents_of(struct server *s, int64_t ctx, struct mlmd_page *page,
                              struct err *err)
{
    struct buf request = BUF_INIT(REQUEST_MAX);
    struct mlmd_page parents = { .arena = page->arena };
    struct str answer;
    enum status st;

    wire_put_i64(&request, 1, ctx);
    st = call(s, "GetParentContextsByContext", &request, page->arena, &answer, err);
    st = st ? st : rows_of(answer, &parents, NULL, err);
    for (size_t i = 0; !st && i < parents.n; i++) {
        st = add_pair(page, ctx, wire_i64(parents.rows[i], 1), err);
    }
    return st;
}

/* One page of what one context holds, or its parents. */
static enum status of_contexts(struct server *s, int what, struct mlmd_page *page, struct err *err)
{
    const char *method =
        what == W(ATTRIBUTIONS) ? "GetArtifactsByContext" : "GetExecutionsByContext";
    struct mlmd_page nodes = { .arena = page->arena };
    int64_t ctx;
    enum status st;

    if (s->at == s->ids_n) {
        return s->list.begun && s->list.done ? ST_END : numbers(s, "GetContexts", page, err);
    }
    ctx = s->ids[s->at];
    if (what == W(PARENTS)) {
        s->at++;
        return parents_of(s, ctx, page, err);
    }
    st = list_next(s, &s->inner, method, ctx, &nodes, err);
    for (size_t i = 0; !st && i < nodes.n; i++) {
        st = add_pair(page, wire_i64(nodes.rows[i], 1), ctx, err);
    }
    if (s->inner.done) {
        list_end(&s->inner);
        s->at++;
    }
    return st;
}

/* ---- the source ------------------------------------------------------------------------------------------------------------------- */

static enum status server_next(struct mlmd_source *base, int what, struct mlmd_page *page,
                               struct err *err)
{
    static const char *const lists[] = { "GetArtifacts", "GetExecutions", "GetContexts" };
    struct server *s = (struct server *)base;

    if (s->what != what) {
        s->what = what;
        s->ids_n = s->at = 0;
        list_end(&s->list);
        list_end(&s->inner);
    }
    switch (what) {
    case W(ARTIFACT_TYPES):
    case W(EXECUTION_TYPES):
    case W(CONTEXT_TYPES): return types(s, what, page, err);
    case W(EVENTS): return events(s, page, err);
    case W(PARENTS):
    case W(ATTRIBUTIONS):
    case W(ASSOCIATIONS): return of_contexts(s, what, page, err);
    default: break;
    }
    return s->list.begun && s->list.done
               ? ST_END
               : list_next(s, &s->list, lists[what - W(ARTIFACTS)], 0, page, err);
}

static void server_close(struct mlmd_source *base)
{
    struct server *s = (struct server *)base;

    if (s) {
        list_end(&s->list);
        list_end(&s->inner);
        grpc_close(s->g);
        mem_free(s);
    }
}

static const struct mlmd_source_ops server_ops = { server_next, server_close };

enum status mlmd_grpc_open(struct mlmd_source **out, const struct grpc_dial *dial, struct err *err)
{
    struct server *s = mem_zalloc(1, sizeof(*s));
    enum status st = s ? OK : err_nomem(err);

    *out = NULL;
    if (!st) {
        s->base.ops = &server_ops;
        s->list.token = s->inner.token = (struct buf)BUF_INIT(TOKEN_MAX);
        st = grpc_dial(&s->g, dial, err);
    }
    if (st) {
        server_close(s ? &s->base : NULL);
        return st;
    }
    *out = &s->base;
    return OK;
}
