/* Nodes of declared types through the store, on both engines: a put is all or nothing, pages end, a crash loses nothing, 32 operations of
 * one group on one execution keep every event. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/typed/known.h"

static struct typed_put *put_new(struct corefix *f, enum typed_put_kind kind, const char *ns)
{
    struct typed_put *p = ARENA_NEW(f->a, struct typed_put);

    T_OK(p != NULL);
    typed_put_init(p, f->core, f->a);
    p->kind = kind;
    p->ns = str_cstr(ns);
    p->who = S("test");
    return p;
}

static enum status put_type(struct corefix *f, const char *ns, enum node_kind kind,
                            const char *name, int64_t *id)
{
    static struct typed_decl decls[] = { { S_INIT("n"), PROP_INT }, { S_INIT("s"), PROP_TEXT } };
    struct typed_put *p = put_new(f, TYPED_PUT_TYPES, ns);
    struct typed_type *t = ARENA_NEW(f->a, struct typed_type);
    enum status st;

    T_OK(t != NULL);
    *t = (struct typed_type){ .kind = kind, .name = str_cstr(name), .props = decls, .props_n = 2 };
    p->types = t;
    p->types_n = 1;
    st = corefix_run(f, &p->op);
    *id = t->id;
    return st;
}

static enum status put_nodes(struct corefix *f, const char *ns, struct typed_node *n, size_t count)
{
    struct typed_put *p = put_new(f, TYPED_PUT_NODES, ns);

    p->artifacts = n;
    p->artifacts_n = count;
    return corefix_run(f, &p->op);
}

static struct typed_space space(struct corefix *f, const char *ns)
{
    struct typed_space s;

    T_ST_ERR(typed_open(&f->v, str_cstr(ns), &s, &f->err), OK, &f->err);
    return s;
}

static size_t list(struct corefix *f, const char *ns, struct nodelist *l, struct typed_node **out)
{
    struct typed_space s = space(f, ns);
    size_t n;

    T_ST_ERR(typed_list(&s, l, out, &n, &f->err), OK, &f->err);
    return n;
}

SQL_TEST(all_or_nothing)
{
    struct prop props[] = { { .scope = PROP_TYPED, .type = PROP_INT, .key = S("n"), .i = 7 },
                            { .scope = PROP_CUSTOM,
                              .type = PROP_PROTO,
                              .key = S("p"),
                              .s = S("type.x/T"),
                              .b = S("\x01\x02") } };
    struct nodelist all = { .kind = NODE_ARTIFACT };
    struct typed_node n[3], *got;
    struct corefix f;
    int64_t type, other;

    corefix_open(&f, location, NULL);
    T_ST_ERR(put_type(&f, "default", NODE_ARTIFACT, "Data", &type), OK, &f.err);
    T_ST_ERR(put_type(&f, "a", NODE_ARTIFACT, "Data", &other), OK, &f.err);
    T_INT(type, TYPED_SYSTEM + 1);
    T_INT(other, TYPED_SYSTEM + 1);
    for (int i = 0; i < 3; i++) {
        n[i] = (struct typed_node){ .kind = NODE_ARTIFACT, .has_type = true, .type = type };
    }
    n[0].name = n[2].name = S("same");
    T_ST(put_nodes(&f, "default", n, 3), ST_EXISTS);
    T_INT(list(&f, "default", &all, &got), 0);
    n[2].type = 4711;
    T_ST(put_nodes(&f, "default", n, 3), ST_NOT_FOUND);
    T_INT(list(&f, "default", &all, &got), 0);
    n[0].props = props;
    n[0].props_n = 2;
    T_ST_ERR(put_nodes(&f, "default", n, 2), OK, &f.err);
    T_INT(n[0].id, 1);
    T_INT(n[1].id, 2);
    T_INT(list(&f, "a", &all, &got), 0);
    corefix_crash(&f);
    T_INT(list(&f, "default", &all, &got), 2);
    T_STR(got[0].name, "same");
    T_INT(got[0].props_n, 2);
    T_INT(got[0].props[0].i, 7);
    T_STR(got[0].props[1].s, "type.x/T");
    T_STR(got[0].props[1].b, "\x01\x02");
    T_INT(got[1].props_n, 0);
    corefix_close(&f);
}

static enum status node_named(struct corefix *f, const char *ns, struct str type, struct str name,
                              struct typed_node *out)
{
    struct typed_space s = space(f, ns);
    struct typed_type t;
    enum status st = typed_type_find(&s, NODE_ARTIFACT, type, (struct str){ NULL, 0 }, &t, &f->err);

    return st ? st : typed_node_named(&s, &t, name, out, &f->err);
}

/* What is kept of namespaces and types is what has been committed, in each namespace its own, also after it was forgotten. */
SQL_TEST(found_by_name)
{
    struct prop props[] = {
        { .scope = PROP_TYPED, .type = PROP_INT, .key = S("n"), .i = 7 },
        { .scope = PROP_TYPED, .type = PROP_TEXT, .key = S("s"), .s = S("") },
    };
    struct typed_node n[2], got;
    char longest[TYPED_KNOWN_BYTES + 2];
    struct corefix f;
    int64_t types[3];

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    corefix_open(&f, location, NULL);
    T_ST(node_named(&f, "default", S("Data"), S("one"), &got), ST_NOT_FOUND);
    T_ST(node_named(&f, "a", S("Data"), S("one"), &got), ST_NOT_FOUND);
    T_ST_ERR(put_type(&f, "a", NODE_ARTIFACT, longest, &types[0]), OK, &f.err);
    T_ST_ERR(put_type(&f, "a", NODE_ARTIFACT, "Data", &types[1]), OK, &f.err);
    T_ST_ERR(put_type(&f, "default", NODE_ARTIFACT, "Data", &types[2]), OK, &f.err);
    for (int i = 0; i < 2; i++) {
        n[i] = (struct typed_node){ .kind = NODE_ARTIFACT,
                                    .has_type = true,
                                    .type = types[i],
                                    .name = S("one"),
                                    .props = i ? props : NULL,
                                    .props_n = i ? 2 : 0 };
    }
    T_ST_ERR(put_nodes(&f, "a", n, 2), OK, &f.err);
    for (int i = 0; i < 4; i++) {
        T_ST_ERR(node_named(&f, "a", str_cstr(longest), S("one"), &got), OK, &f.err);
        T_INT(got.uid, n[0].uid);
        T_INT(got.props_n, 0);
        T_ST_ERR(node_named(&f, "a", S("Data"), S("one"), &got), OK, &f.err);
        T_INT(got.uid, n[1].uid);
        T_INT(got.id, 2);
        T_INT(got.type, types[1]);
        T_STR(got.type_name, "Data");
        T_INT(got.props_n, 2);
        T_INT(got.props[0].i, 7);
        T_STR(got.props[1].s, "");
        T_ST(node_named(&f, "a", S("Data"), S("two"), &got), ST_NOT_FOUND);
        T_ST(node_named(&f, "default", S("Data"), S("one"), &got), ST_NOT_FOUND);
        T_ST(node_named(&f, "a", S("Datum"), S("one"), &got), ST_NOT_FOUND);
        if (i == 1) typed_known_forget(f.core->typed);
        if (i == 2) corefix_crash(&f);
    }
    corefix_close(&f);
}

/* Rows that one put gathers are what they would be one by one: values, the log of them, dense numbers; also where it changes what it has
 * made, and after one that failed. */
SQL_TEST(gathered)
{
    static const char *keys[] = { "a", "b", "c", "d", "e", "f", "g" };
    struct typed_node n[5], x = { .kind = NODE_EXECUTION, .has_type = true }, *got;
    struct nodelist all = { .kind = NODE_ARTIFACT };
    struct typed_edge edges[5];
    struct prop props[5][7];
    struct typed_put *p;
    struct corefix f;
    int64_t type;

    corefix_open(&f, location, NULL);
    T_ST_ERR(put_type(&f, "a", NODE_ARTIFACT, "Data", &type), OK, &f.err);
    T_ST_ERR(put_type(&f, "a", NODE_EXECUTION, "Work", &x.type), OK, &f.err);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 5;
             i++) { /* 0, 7, 3, 1 and 7 properties; the last is the second again */
            n[i] = (struct typed_node){ .kind = NODE_ARTIFACT,
                                        .has_type = true,
                                        .type = round    ? type
                                                : i == 4 ? 4711
                                                         : type,
                                        .external_id = i == 1 || i == 4 ? S("x") : S(""),
                                        .props = props[i],
                                        .props_n = i == 0   ? 0
                                                   : i == 2 ? 3
                                                   : i == 3 ? 1
                                                            : 7 };
            for (size_t k = 0; k < 7; k++) {
                props[i][k] = (struct prop){ .scope = PROP_CUSTOM,
                                             .type = PROP_INT,
                                             .key = str_cstr(keys[k]),
                                             .i = (int64_t)(10 * i + k) };
            }
            edges[i] = (struct typed_edge){
                .has_event = true, .has_artifact = true, .artifact = i, .event = { .type = 4 }
            };
        }
        p = put_new(&f, TYPED_PUT_EXECUTION, "a");
        p->artifacts = n;
        p->artifacts_n = 5;
        p->executions = &x;
        p->executions_n = 1;
        p->edges = edges;
        p->edges_n = 4;
        p->reuse_artifact = true;
        T_ST_ERR(corefix_run(&f, &p->op), round ? OK : ST_INVALID, &f.err);
    }
    T_INT(list(&f, "a", &all, &got), 4);
    for (int i = 0; i < 4; i++) {
        T_INT(got[i].id, i + 1);
        T_INT(got[i].props_n, n[i].props_n);
    }
    T_INT(got[1].props[6].i, 46);
    T_INT(got[2].props[2].i, 22);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM prop"), 11);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM prop_log"), 18);
    T_INT(sqltest_int(f.v.conn, "SELECT i FROM prop_log WHERE key = 'g' ORDER BY seq LIMIT 1"), 16);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM prop_log WHERE who = 'test'"), 18);
    n[0] = (struct typed_node){ .kind = NODE_ARTIFACT, .has_type = true, .type = type };
    T_ST_ERR(put_nodes(&f, "a", n, 1), OK, &f.err);
    T_INT(n[0].id, 5);
    corefix_close(&f);
}

/* An execution with `n` events, of which the last names the same artifact as the first if `twice`, in a context that is named `contexts` times. */
static enum status put_run(struct corefix *f, const int64_t *types, int64_t artifact, int64_t ctx,
                           size_t n, bool twice, size_t contexts)
{
    struct typed_put *p = put_new(f, TYPED_PUT_EXECUTION, "a");
    struct typed_node *made = ARENA_ARRAY(f->a, struct typed_node, n + 1 + contexts);
    struct typed_edge *edges = ARENA_ARRAY(f->a, struct typed_edge, n);

    T_OK(made && edges);
    for (size_t i = 0; i < n; i++) {
        made[i] = (struct typed_node){ .kind = NODE_ARTIFACT, .has_type = true, .type = types[0] };
        edges[i] = (struct typed_edge){
            .has_event = true, .has_artifact = true, .artifact = i, .event = { .type = 4 }
        };
    }
    edges[0] =
        (struct typed_edge){ .has_event = true,
                             .event = { .type = 3, .has_artifact = true, .artifact = artifact } };
    if (twice) {
        edges[n - 1] = edges[0];
    }
    made[n] = (struct typed_node){ .kind = NODE_EXECUTION, .has_type = true, .type = types[1] };
    for (size_t i = 0; i < contexts; i++) {
        made[n + 1 + i] = (struct typed_node){
            .kind = NODE_CONTEXT, .has_type = true, .type = types[2], .has_id = true, .id = ctx
        };
    }
    p->artifacts = made;
    p->artifacts_n = n;
    p->executions = &made[n];
    p->executions_n = 1;
    p->contexts = &made[n + 1];
    p->contexts_n = contexts;
    p->force_reuse_context = true;
    p->edges = edges;
    p->edges_n = n;
    return corefix_run(f, &p->op);
}

/* Links of what a put makes are written together and nobody looks before: one that comes twice is told or passed over all the same, also
 * where there are more than wait at a time. */
SQL_TEST(links_twice)
{
    enum { MANY = 4100 };
    struct typed_node a = { .kind = NODE_ARTIFACT, .has_type = true };
    struct typed_node c = { .kind = NODE_CONTEXT, .has_type = true, .name = S("run") };
    struct corefix f;
    int64_t types[3];

    corefix_open(&f, location, NULL);
    T_ST_ERR(put_type(&f, "a", NODE_ARTIFACT, "Data", &types[0]), OK, &f.err);
    T_ST_ERR(put_type(&f, "a", NODE_EXECUTION, "Train", &types[1]), OK, &f.err);
    T_ST_ERR(put_type(&f, "a", NODE_CONTEXT, "Run", &types[2]), OK, &f.err);
    a.type = types[0];
    c.type = types[2];
    T_ST_ERR(put_nodes(&f, "a", &a, 1), OK, &f.err);
    T_ST_ERR(put_nodes(&f, "a", &c, 1), OK, &f.err);
    T_ST(put_run(&f, types, a.id, c.id, 2, true, 0), ST_EXISTS);
    T_ST(put_run(&f, types, a.id, c.id, 5, true, 1), ST_EXISTS);
    T_OK(strstr(f.err.message, "Given event already exists: artifact_id: 1 execution_id: "));
    T_ST(put_run(&f, types, a.id, c.id, MANY, true, 0), ST_EXISTS);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM edge"), 0);
    T_ST_ERR(put_run(&f, types, a.id, c.id, 5, false, 3), OK, &f.err);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM edge"), 5);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM edge_log"), 5);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM member"), 6);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM member_log"), 6);
    T_ST_ERR(put_run(&f, types, a.id, c.id, MANY, false, 2), OK, &f.err);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM edge"), 5 + MANY);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM edge_log"), 5 + MANY);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM member"), 6 + MANY);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM member_log"), 6 + MANY);
    corefix_close(&f);
}

/* Puts remember what types declare; what a type gains counts from then on, and what a failed operation gave it does not. */
SQL_TEST(types_that_grow)
{
    struct prop more = { .scope = PROP_TYPED, .type = PROP_INT, .key = S("more"), .i = 1 };
    struct typed_decl decl = { S("more"), PROP_INT };
    struct typed_node n = { .kind = NODE_ARTIFACT, .has_type = true, .props = &more, .props_n = 1 };
    struct typed_type grown[2];
    struct typed_put *p;
    struct corefix f;

    corefix_open(&f, location, NULL);
    T_ST_ERR(put_type(&f, "a", NODE_ARTIFACT, "Data", &n.type), OK, &f.err);
    for (int round = 0; round < 3; round++) {
        T_ST(put_nodes(&f, "a", &n, 1), round < 2 ? ST_INVALID : OK);
        p = put_new(&f, TYPED_PUT_TYPES, "a");
        grown[0] = (struct typed_type){
            .kind = NODE_ARTIFACT, .name = S("Data"), .props = &decl, .props_n = 1
        };
        grown[1] = (struct typed_type){ .kind = NODE_ARTIFACT }; /* has no name */
        p->types = grown;
        p->types_n = round == 0 ? 2 : 1;
        p->can_add = p->can_omit = true;
        T_ST(corefix_run(&f, &p->op), round == 0 ? ST_INVALID : OK);
    }
    corefix_close(&f);
}

/* Answers by name are kept from a moment before the node was read; who changes it takes its answer away, and what was read before. */
SQL_TEST(answers_by_name)
{
    struct typed_node n = { .kind = NODE_ARTIFACT, .has_type = true, .name = S("a") };
    const struct typed_asked of = { NODE_ARTIFACT, S("Data"), S("a") },
                             other = { NODE_ARTIFACT, S("Data"), S("b") };
    struct typed_known *k;
    struct corefix f;
    struct str got;
    uint64_t moment;
    char big[TYPED_ANSWER_BYTES + 1] = { 0 };

    corefix_open(&f, location, NULL);
    k = f.core->typed;
    T_ST_ERR(put_type(&f, "default", NODE_ARTIFACT, "Data", &n.type), OK, &f.err);
    T_ST_ERR(put_nodes(&f, "default", &n, 1), OK, &f.err);
    T_OK(!typed_known_answer(k, S("default"), &of, f.a, &got));
    moment = typed_known_moment(k);
    typed_known_answer_keep(k, 0, &of, moment, S("one"));
    typed_known_answer_keep(k, 0, &of, moment, S("two"));
    typed_known_answer_keep(k, 0, &other, moment, S(""));
    T_OK(typed_known_answer(k, S("default"), &of, f.a, &got));
    T_STR(got, "one");
    T_OK(typed_known_answer(k, S("default"), &other, f.a, &got));
    T_OK(!typed_known_answer(k, S("nobody"), &of, f.a, &got));
    n.has_id = true;
    n.has_state = true;
    T_ST_ERR(put_nodes(&f, "default", &n, 1), OK, &f.err);
    T_OK(!typed_known_answer(k, S("default"), &of, f.a, &got));
    T_OK(typed_known_answer(k, S("default"), &other, f.a, &got));
    typed_known_answer_keep(k, 0, &of, moment, S("one"));
    T_OK(!typed_known_answer(k, S("default"), &of, f.a, &got));
    typed_known_answer_keep(k, 0, &of, typed_known_moment(k), str_of(big, sizeof(big)));
    T_OK(!typed_known_answer(k, S("default"), &of, f.a, &got));
    for (int i = 0; i <= TYPED_ANSWERS; i++) {
        struct typed_asked each = of;

        each.name = arena_printf(f.a, "%d", i);
        typed_known_answer_keep(k, 0, &each, typed_known_moment(k), S("x"));
    }
    T_OK(!typed_known_answer(k, S("default"), &other, f.a, &got)); /* all made room */
    typed_known_answer_keep(k, 0, &of, typed_known_moment(k), S("one"));
    typed_known_forget(k);
    T_OK(!typed_known_answer(k, S("default"), &of, f.a, &got));
    corefix_close(&f);
}

SQL_TEST(pages)
{
    struct nodelist l = { .kind = NODE_ARTIFACT, .limit = 4 };
    struct typed_node n[10], *got;
    struct corefix f;
    int64_t type, last = 0;
    size_t count, seen = 0;

    corefix_open(&f, location, NULL);
    T_ST_ERR(put_type(&f, "b", NODE_ARTIFACT, "Data", &type), OK, &f.err);
    for (int i = 0; i < 10; i++) {
        n[i] = (struct typed_node){ .kind = NODE_ARTIFACT,
                                    .has_type = true,
                                    .type = type,
                                    .uri = i % 2 ? S("s3://odd") : S("s3://even") };
    }
    T_ST_ERR(put_nodes(&f, "b", n, 10), OK, &f.err);
    for (int order = NODELIST_BY_ID; order <= NODELIST_BY_UPDATE; order++) {
        for (int down = 0; down < 2; down++) {
            l = (struct nodelist){ .kind = NODE_ARTIFACT,
                                   .limit = 4,
                                   .descending = down == 1,
                                   .order = (enum nodelist_order)order };
            seen = 0;
            while ((count = list(&f, "b", &l, &got)) > 0) {
                for (size_t i = 0; i < count; i++) {
                    T_OK(seen == 0 || (got[i].id > last) == (down == 0));
                    last = got[i].id;
                    seen++;
                }
                l.has_after = true;
                l.after_id = last;
                l.after_value = order == NODELIST_BY_CREATE   ? got[count - 1].create_ms
                                : order == NODELIST_BY_UPDATE ? got[count - 1].update_ms
                                                              : 0;
            }
            T_INT(seen, 10);
        }
    }
    l = (struct nodelist){ .kind = NODE_ARTIFACT,
                           .uris = &(struct str){ "s3://odd", 8 },
                           .uris_n = 1 };
    T_INT(list(&f, "b", &l, &got), 5);
    corefix_close(&f);
}

SQL_TEST(events_of_many)
{
    enum { MANY = 32 };
    struct typed_put *puts[MANY];
    struct write_op *ops[MANY];
    struct typed_node x = { .kind = NODE_EXECUTION, .has_type = true };
    struct typed_event *events;
    struct typed_space s;
    struct corefix f;
    int64_t type, data;
    size_t n;

    corefix_open(&f, location, NULL);
    T_ST_ERR(put_type(&f, "c", NODE_EXECUTION, "Train", &type), OK, &f.err);
    T_ST_ERR(put_type(&f, "c", NODE_ARTIFACT, "Data", &data), OK, &f.err);
    x.type = type;
    T_ST_ERR(put_nodes(&f, "c", &x, 1), OK, &f.err);
    for (size_t i = 0; i < MANY; i++) {
        struct typed_put *p = puts[i] = put_new(&f, TYPED_PUT_EXECUTION, "c");

        p->executions = ARENA_NEW(f.a, struct typed_node);
        p->artifacts = ARENA_NEW(f.a, struct typed_node);
        p->edges = ARENA_NEW(f.a, struct typed_edge);
        T_OK(p->executions && p->artifacts && p->edges);
        p->executions_n = p->artifacts_n = p->edges_n = 1;
        p->executions[0] =
            (struct typed_node){ .kind = NODE_EXECUTION, .has_id = true, .id = x.id };
        p->artifacts[0] =
            (struct typed_node){ .kind = NODE_ARTIFACT, .has_type = true, .type = data };
        p->edges[0] = (struct typed_edge){ .has_event = true,
                                           .has_artifact = true,
                                           .event = { .type = i % 2 ? 3 : 4 } };
        ops[i] = &p->op;
    }
    corefix_together(&f, ops, MANY);
    for (size_t i = 0; i < MANY; i++) {
        T_ST_ERR(ops[i]->st, OK, &ops[i]->err);
    }
    s = space(&f, "c");
    T_ST_ERR(typed_events(&s, NODE_EXECUTION, &x.id, 1, &events, &n, &f.err), OK, &f.err);
    T_INT(n, MANY);
    for (size_t i = 0; i < n; i++) {
        T_INT(events[i].artifact, puts[i]->artifacts[0].id);
        T_INT(events[i].type, i % 2 ? 3 : 4);
    }
    corefix_close(&f);
}

/* Puts nodes of a type and gives their numbers, which follow each other. */
static int64_t put_many(struct corefix *f, const char *ns, enum node_kind kind, int64_t type,
                        const char *name, size_t n)
{
    struct typed_node *nodes = ARENA_ARRAY(f->a, struct typed_node, n);

    T_OK(nodes != NULL);
    for (size_t i = 0; i < n; i++) {
        nodes[i] = (struct typed_node){ .kind = kind,
                                        .has_type = true,
                                        .type = type,
                                        .name = arena_printf(f->a, "%s%zu", name, i) };
    }
    T_ST_ERR(put_nodes(f, ns, nodes, n), OK, &f->err);
    return nodes[0].id;
}

static void put_events(struct corefix *f, const char *ns, struct typed_event *events, size_t n)
{
    struct typed_put *p = put_new(f, TYPED_PUT_EVENTS, ns);

    p->events = events;
    p->events_n = n;
    T_ST_ERR(corefix_run(f, &p->op), OK, &f->err);
}

static struct nodefilter *named(struct corefix *f, const char *name)
{
    struct nodefilter *filter = ARENA_NEW(f->a, struct nodefilter);
    struct nodefilter_expr *e = ARENA_ARRAY(f->a, struct nodefilter_expr, 3);

    T_OK(filter && e);
    e[0] = (struct nodefilter_expr){
        .op = NODEFILTER_EQ, .type = NODEFILTER_OF_BOOL, .a = &e[1], .b = &e[2]
    };
    e[1] = (struct nodefilter_expr){
        .op = NODEFILTER_FIELD, .type = NODEFILTER_OF_TEXT, .field = NODEFILTER_NAME, .table = -1
    };
    e[2] = (struct nodefilter_expr){ .op = NODEFILTER_TEXT,
                                     .type = NODEFILTER_OF_TEXT,
                                     .s = str_cstr(name) };
    filter->root = e;
    return filter;
}

/* A chain of 20 steps, and a hub with more neighbours than one query asks about. */
SQL_TEST(subgraphs)
{
    enum { STEPS = 20, SPOKES = 1010 };
    static struct typed_event events[SPOKES];
    struct typed_subgraph g;
    struct typed_space s;
    struct corefix f;
    int64_t data, train, a, x;

    corefix_open(&f, location, NULL);
    T_ST_ERR(put_type(&f, "g", NODE_EXECUTION, "Train", &train), OK, &f.err);
    T_ST_ERR(put_type(&f, "g", NODE_ARTIFACT, "Data", &data), OK, &f.err);
    a = put_many(&f, "g", NODE_ARTIFACT, data, "a", STEPS + 1);
    x = put_many(&f, "g", NODE_EXECUTION, train, "x", STEPS);
    for (int i = 0; i < 2 * STEPS; i++) {
        events[i] = (struct typed_event){ .has_artifact = true,
                                          .has_execution = true,
                                          .artifact = a + (i + 1) / 2,
                                          .execution = x + i / 2,
                                          .type = i % 2 ? 4 : 3 };
    }
    put_events(&f, "g", events, 2 * STEPS);
    s = space(&f, "g");
    g = (struct typed_subgraph){
        .kind = NODE_ARTIFACT, .start = named(&f, "a20"), .up = true, .hops = TYPED_HOPS_MAX
    };
    T_ST_ERR(typed_subgraph(&s, &g, &f.err), OK, &f.err);
    T_INT(g.artifacts_n, STEPS + 1);
    T_INT(g.executions_n, STEPS);
    T_INT(g.events_n, 2 * STEPS);
    T_INT(g.artifacts[0], a + STEPS);
    T_INT(g.artifacts[STEPS], a);
    g = (struct typed_subgraph){ .kind = NODE_ARTIFACT,
                                 .start = named(&f, "a20"),
                                 .up = true,
                                 .hops = TYPED_HOPS_MAX,
                                 .executions_end = { .filter = named(&f, "x9") } };
    T_ST_ERR(typed_subgraph(&s, &g, &f.err), OK, &f.err);
    T_INT(g.executions_n, 10);
    T_INT(g.events_n, 20);

    a = put_many(&f, "g", NODE_ARTIFACT, data, "hub", 1);
    x = put_many(&f, "g", NODE_EXECUTION, train, "s", SPOKES);
    for (int i = 0; i < SPOKES; i++) {
        events[i] = (struct typed_event){ .has_artifact = true,
                                          .has_execution = true,
                                          .artifact = a,
                                          .execution = x + i,
                                          .type = i % 2 ? 4 : 3 };
    }
    put_events(&f, "g", events, SPOKES);
    g = (struct typed_subgraph){ .kind = NODE_EXECUTION, .start = named(&f, "s7"), .hops = 5 };
    T_ST_ERR(typed_subgraph(&s, &g, &f.err), OK, &f.err);
    T_INT(g.executions_n, SPOKES);
    T_INT(g.artifacts_n, 1);
    T_INT(g.events_n, SPOKES);
    g = (struct typed_subgraph){
        .kind = NODE_EXECUTION, .start = named(&f, "s7"), .hops = 5, .max = SPOKES
    };
    T_ST(typed_subgraph(&s, &g, &f.err), ST_TOO_BIG);
    g = (struct typed_subgraph){ .kind = NODE_EXECUTION, .start = named(&f, "nobody"), .hops = 5 };
    T_ST(typed_subgraph(&s, &g, &f.err), ST_NOT_FOUND);
    corefix_close(&f);
}

/* An execution with an artifact, an event and a context. */
static struct typed_put *whole(struct corefix *f, struct arena *a, const int64_t types[3])
{
    struct typed_put *p = ARENA_NEW(a, struct typed_put);
    struct prop *prop = ARENA_NEW(a, struct prop);

    T_OK(p && prop);
    *prop = (struct prop){ .scope = PROP_CUSTOM, .type = PROP_TEXT, .key = S("k"), .s = S("v") };
    typed_put_init(p, f->core, a);
    p->kind = TYPED_PUT_EXECUTION;
    p->ns = S("default");
    p->who = S("test");
    p->reuse_context = true;
    p->executions = ARENA_NEW(a, struct typed_node);
    p->artifacts = ARENA_NEW(a, struct typed_node);
    p->contexts = ARENA_NEW(a, struct typed_node);
    p->edges = ARENA_NEW(a, struct typed_edge);
    T_OK(p->executions && p->artifacts && p->contexts && p->edges);
    p->executions_n = p->artifacts_n = p->contexts_n = p->edges_n = 1;
    *p->executions =
        (struct typed_node){ .kind = NODE_EXECUTION, .has_type = true, .type = types[1] };
    *p->artifacts = (struct typed_node){
        .kind = NODE_ARTIFACT, .has_type = true, .type = types[0], .props = prop, .props_n = 1
    };
    *p->contexts = (struct typed_node){
        .kind = NODE_CONTEXT, .has_type = true, .type = types[2], .name = S("c")
    };
    *p->edges =
        (struct typed_edge){ .has_event = true, .has_artifact = true, .event = { .type = 4 } };
    return p;
}

/* The n-th allocation fails: a put is there whole or not at all, a read answers or says so. */
TEST(out_of_memory)
{
    struct corefix f;
    int64_t types[3], made = 0;

    corefix_open(&f, t_tmpdir(), NULL);
    for (int k = 0; k < 3; k++) {
        T_ST_ERR(put_type(&f, "default", (enum node_kind)(NODE_ARTIFACT + k), "T", &types[k]), OK,
                 &f.err);
    }
    for (int n = 1;; n++) {
        struct arena *a = arena_new(1 << 24);
        struct typed_put *p = whole(&f, a, types);
        enum status st;
        bool reached;

        mem_fail_after(n, true);
        st = corefix_run(&f, &p->op);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        made += st == OK;
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM edge"), made);
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM prop"), made);
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM member WHERE role = 6"), 2 * made);
        arena_free(a);
        if (!reached) break;
    }
    T_OK(made > 0);
    for (int n = 1;; n++) {
        struct nodefilter_expr all = { .op = NODEFILTER_TRUE, .type = NODEFILTER_OF_BOOL };
        struct nodefilter every = { .root = &all };
        struct typed_subgraph g = { .kind = NODE_ARTIFACT, .start = &every, .hops = 3 };
        struct nodelist l = { .kind = NODE_EXECUTION };
        struct typed_node *got;
        struct typed_space s;
        struct view v = f.v;
        enum status st;
        size_t found;
        bool reached;

        v.arena = arena_new(1 << 24);
        mem_fail_after(n, true);
        st = typed_open(&v, S("default"), &s, &f.err);
        st = st ? st : typed_subgraph(&s, &g, &f.err);
        st = st ? st : typed_list(&s, &l, &got, &found, &f.err);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        if (!st) {
            T_INT(found, made);
            T_INT(g.events_n, made);
            T_INT(g.attributions_n + g.associations_n, 2 * made);
        }
        arena_free(v.arena);
        if (!reached) break;
    }
    corefix_close(&f);
}
