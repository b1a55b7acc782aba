/* api/openlineage/post.c - events come in: one, or a list of them. A success says that they are durable and in the graph. A broken one of
 * a list is told by its index and does not hold back the others. */
#include "api/openlineage/openlineage_int.h"
#include "api/openlineage/read_int.h"

enum { HEAVY = 16 << 10, REASON_MAX = 500 };

struct failed {
    size_t index;
    struct str reason;
};
struct post {
    struct ol_put put;
    struct ol_warnings warnings;
    size_t received;
    struct failed *failed;
    size_t failed_n, failed_cap, events_cap;
};

static enum status begin(struct call *c, struct write_op **op, struct post **out, struct err *err)
{
    struct post *p = ARENA_NEW(c->arena, struct post);

    *out = p;
    if (!p) {
        return err_nomem(err);
    }
    ol_put_init(&p->put, c->core, c->arena);
    *op = &p->put.op;
    c->user = p;
    return OK;
}

static void put_warnings(struct json_writer *w, const struct ol_warnings *x)
{
    if (!x->n) {
        return;
    }
    json_w_key(w, S("warnings"));
    json_w_array(w);
    for (size_t i = 0; i < x->n; i++) {
        json_w_str(w, x->text[i]);
    }
    json_w_array_end(w);
}

/* ---- one ------------------------------------------------------------------------------------------------------------------------ */

static enum status one_start(struct call *c, struct write_op **op, struct err *err)
{
    struct post *p;
    enum status st = begin(c, op, &p, err);

    if (st) {
        return st;
    }
    p->put.events = ARENA_NEW(c->arena, struct ol_event);
    p->put.n = 1;
    return p->put.events ? ol_event_read(c->arena, c->req->body, p->put.events, &p->warnings, err)
                         : err_nomem(err);
}

static enum status one_finish(struct call *c, struct err *err)
{
    struct post *p = c->user;
    struct json_writer w = JSON_WRITER_INIT(&c->raw);

    buf_clear(&c->raw);
    json_w_object(&w);
    json_w_key(&w, S("status"));
    json_w_cstr(&w, "success");
    put_warnings(&w, &p->warnings);
    json_w_object_end(&w);
    c->raw_type = "application/json";
    c->status = p->put.added ? 201 : 200;
    return buf_status(&c->raw, "answer", err);
}

/* ---- many ----------------------------------------------------------------------------------------------------------------------- */

static enum status take_one(struct call *c, struct post *p, struct str text, struct err *err)
{
    struct err own ATTR_UNINIT;
    enum status st;

    if (!arena_grow(c->arena, (void **)&p->put.events, p->put.n, &p->events_cap,
                    sizeof(*p->put.events))) {
        return err_nomem(err);
    }
    err_clear(&own);
    st = ol_event_read(c->arena, text, &p->put.events[p->put.n], &p->warnings, &own);
    if (st == OK) {
        p->put.n++;
        return OK;
    }
    if (st == ST_NOMEM || !arena_grow(c->arena, (void **)&p->failed, p->failed_n, &p->failed_cap,
                                      sizeof(*p->failed))) {
        return err_nomem(err);
    }
    p->failed[p->failed_n].index = p->received;
    p->failed[p->failed_n].reason =
        arena_str(c->arena, str_sub(str_cstr(own.message), 0, REASON_MAX));
    return p->failed[p->failed_n++].reason.p ? OK : err_nomem(err);
}

static enum status many_start(struct call *c, struct write_op **op, struct err *err)
{
    enum json_event ev;
    struct post *p;
    struct ol_in x;
    struct str raw;
    enum status st = begin(c, op, &p, err);

    if (st) {
        return st;
    }
    ol_in_begin(&x, c->arena, c->req->body, err);
    if (!ol_in_list(&x, &ev) && !x.st) {
        (void)ol_in_fail(&x, ST_BAD_REQUEST, "", "a batch is a JSON list of events");
    }
    while (!x.st) {
        struct json_reader back = x.r;

        if (ol_in_next(&x) == JSON_EV_ARRAY_END || x.st) {
            break;
        }
        x.r = back;
        (void)ol_in_value(&x, &raw);
        if (p->received == OL_EVENTS_MAX) {
            (void)ol_in_fail(&x, ST_TOO_BIG, "", "a batch has at most %d events", OL_EVENTS_MAX);
        }
        if (!x.st) x.st = take_one(c, p, raw, err);
        p->received++;
    }
    if (!x.st && ol_in_next(&x) != JSON_EV_END) {
        (void)ol_in_fail(&x, ST_BAD_REQUEST, "", "there is more than one JSON value");
    }
    ol_in_end(&x);
    return x.st;
}

static void put_count(struct json_writer *w, struct str key, size_t n)
{
    json_w_key(w, key);
    json_w_u64(w, n);
}

static enum status many_finish(struct call *c, struct err *err)
{
    struct post *p = c->user;
    struct json_writer w = JSON_WRITER_INIT(&c->raw);

    buf_clear(&c->raw);
    json_w_object(&w);
    json_w_key(&w, S("status"));
    json_w_cstr(&w, p->failed_n ? "partial_success" : "success");
    json_w_key(&w, S("summary"));
    json_w_object(&w);
    put_count(&w, S("received"), p->received);
    put_count(&w, S("successful"), p->received - p->failed_n);
    put_count(&w, S("failed"), p->failed_n);
    put_count(&w, S("retriable"), 0);
    put_count(&w, S("non_retriable"), p->failed_n);
    json_w_object_end(&w);
    json_w_key(&w, S("failed_events"));
    json_w_array(&w);
    for (size_t i = 0; i < p->failed_n; i++) {
        json_w_object(&w);
        put_count(&w, S("index"), p->failed[i].index);
        json_w_key(&w, S("reason"));
        json_w_str(&w, p->failed[i].reason);
        json_w_key(&w, S("retriable"));
        json_w_bool(&w, false);
        json_w_object_end(&w);
    }
    json_w_array_end(&w);
    put_warnings(&w, &p->warnings);
    json_w_object_end(&w);
    c->raw_type = "application/json";
    return buf_status(&c->raw, "answer", err);
}

/* ---- routes ----------------------------------------------------------------------------------------------------------------------- */

#define WRITES(...)                                                                                \
    ENDPOINT(.tongue = &openlineage_tongue, .kind = CALL_WRITE, .heavy = HEAVY, __VA_ARGS__)
#define ONE  WRITES(.start = one_start, .finish = one_finish)
#define MANY WRITES(.start = many_start, .finish = many_finish)

/* Producers of Java send to a URL as it was configured: the path may be missing. */
static const struct route routes[] = {
    ROUTE(HTTP_POST, "/api/v1/lineage", NULL, NULL, RESOURCE_RUN, ACTION_RUN_WRITE, ONE),
    ROUTE(HTTP_POST, "/api/v1/lineage/batch", NULL, NULL, RESOURCE_RUN, ACTION_RUN_WRITE, MANY),
    ROUTE(HTTP_POST, "/", NULL, NULL, RESOURCE_RUN, ACTION_RUN_WRITE, ONE),
};

enum status openlineage_routes(struct router *r, const char *prefix, struct err *err)
{
    enum status st = router_add(r, routes, ARRAY_N(routes), NULL, 0, prefix, err);

    st = st ? st : router_add(r, ol_thing_routes, ol_thing_routes_n, NULL, 0, prefix, err);
    st = st ? st : router_add(r, ol_graph_routes, ol_graph_routes_n, NULL, 0, prefix, err);
    return st ? st : router_add(r, ol_edit_routes, ol_edit_routes_n, NULL, 0, prefix, err);
}

/* ---- the tongue -------------------------------------------------------------------------------------------------------------------- */

static enum status issue(const struct msg_issue *i, struct arena *a, struct err *err)
{
    (void)a;
    return msg_issue_err(i, err);
}

static void error(struct http_req *req, int http, enum status st, const struct err *err,
                  struct buf *body)
{
    struct json_writer w = JSON_WRITER_INIT(body);

    (void)st;
    http_type(req, "application/json");
    json_w_object(&w);
    json_w_key(&w, S("code"));
    json_w_i64(&w, http);
    json_w_key(&w, S("message"));
    json_w_cstr(&w, err->message);
    if (err->field[0]) {
        json_w_key(&w, S("field"));
        json_w_cstr(&w, err->field);
    }
    if (err->hint[0]) {
        json_w_key(&w, S("hint"));
        json_w_cstr(&w, err->hint);
    }
    json_w_object_end(&w);
}

const struct tongue openlineage_tongue = {
    .name = "openlineage",
    .decode_flags = MSG_IGNORE_UNKNOWN | MSG_CAMEL_OK | MSG_EMPTY_OK,
    .encode_flags = MSG_JSON_INT64_AS_NUMBER | MSG_JSON_CAMEL,
    .empty_query = true,
    .issue = issue,
    .error = error,
};
