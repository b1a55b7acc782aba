/* Small uploads of one moment: what each is answered and what is kept is the same as one after the other, on both engines. On
 * PostgreSQL they are named together. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/exec.h"
#include "core/artifact.h"
#include "store/seq.h"

enum { BURST = 150 };

/* An operation in which the sequencer stands still, until what is submitted behind it is one group. */
struct gate {
    struct write_op op;
    struct exec_event *open, *done;
    const char *script; /* run before that */
};

static enum status gate_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct gate *gate = WRITE_OP_OF(op, struct gate);

    T_OK(exec_event_wait(gate->open, -1));
    return gate->script ? sql_script(group_conn(g), gate->script, err) : OK;
}

static const struct write_kind gate_kind = { .name = "gate",
                                             .validate = gate_validate,
                                             .sql = true };

static void gate_done(struct write_op *op)
{
    exec_event_set(WRITE_OP_OF(op, struct gate)->done);
}

static void gate_shut(struct corefix *f, struct gate *gate, const char *script)
{
    *gate = (struct gate){ .script = script };
    gate->open = exec_event_new();
    gate->done = exec_event_new();
    T_OK(gate->open && gate->done);
    write_op_init(&gate->op, &gate_kind, f->a);
    gate->op.done = gate_done;
    T_ST(seq_submit(f->core->seq, &gate->op), OK);
}

static void gate_opens(struct gate *gate)
{
    exec_event_set(gate->open);
    T_OK(exec_event_wait(gate->done, -1));
    T_ST_ERR(gate->op.st, OK, &gate->op.err);
    exec_event_free(gate->open);
    exec_event_free(gate->done);
}

struct upload {
    struct artifact_put put;
    struct artifact_upload u;
    struct exec_event *done;
};

static void upload_done(struct write_op *op)
{
    exec_event_set((struct exec_event *)op->user);
}

static void begin(struct corefix *f, struct upload *u, struct str path, struct str bytes)
{
    u->done = exec_event_new();
    T_OK(u->done != NULL);
    artifact_put_init(&u->put, f->core, f->a);
    T_ST_ERR(artifact_proxy_place(&f->v, path, &u->put.place, &f->err), OK, &f->err);
    artifact_upload_all(&u->u, f->core, f->a, bytes);
    T_ST_ERR(artifact_upload_end(&u->u, &f->err), OK, &f->err);
    u->put.upload = &u->u;
    u->put.op.user = u->done;
    u->put.op.done = upload_done;
    T_ST(artifact_put_submit(&u->put), OK);
}

static enum status end(struct upload *u)
{
    T_OK(exec_event_wait(u->done, -1));
    exec_event_free(u->done);
    return u->put.op.st;
}

static void check(struct corefix *f, struct str path, struct str want)
{
    struct str got;

    T_ST_ERR(corefix_get(f, path, &got), OK, &f->err);
    T_STR_EQ(got, want);
}

SQL_TEST(each_of_a_burst_is_answered_for_itself)
{
    static const struct {
        const char *path, *bytes;
        enum status st;
        const char *message; /* a part of it */
    } list[] = {
        { "d/x", "1", OK, NULL },
        { "d/y", "2", OK, NULL },
        { "d/y", "3", OK, NULL },
        { "d", "4", ST_INVALID, "'d' is a directory" },
        { "d/x/z", "5", ST_INVALID, "'d/x' is a file" },
        { "old/f/g/h", "6", ST_INVALID, "'old/f' is a file" },
        { "old", "6", ST_INVALID, "'old' is a directory" },
        { "e/f/g", "", OK, NULL },
        { "e/f/h", "old", OK, NULL },
        { "e/f/i", "1", OK, NULL },
        { "old/f", "new", OK, NULL },
    };
    struct upload u[ARRAY_N(list)];
    struct corefix f;
    struct gate gate;

    corefix_open(&f, location, NULL);
    T_ST_ERR(corefix_put(&f, S("old/f"), "old", 3), OK, &f.err);
    gate_shut(&f, &gate, NULL);
    for (size_t i = 0; i < ARRAY_N(list); i++) {
        begin(&f, &u[i], str_cstr(list[i].path), str_cstr(list[i].bytes));
    }
    gate_opens(&gate);
    for (size_t i = 0; i < ARRAY_N(list); i++) {
        T_ST_ERR(end(&u[i]), list[i].st, &u[i].put.op.err);
        if (list[i].message) T_OK(strstr(u[i].put.op.err.message, list[i].message) != NULL);
    }
    check(&f, S("d/x"), S("1"));
    check(&f, S("d/y"), S("3"));
    check(&f, S("e/f/g"), S(""));
    check(&f, S("e/f/h"), S("old"));
    check(&f, S("old/f"), S("new"));
    T_STR(corefix_ls(&f, S("")), "d/ e/ old/");
    T_STR(corefix_ls(&f, S("e/f")), "g h i");
    /* "4", "5" and "6" were refused: nothing of them is kept */
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM object"), 6);
    corefix_close(&f);
}

/* A content on its way out is needed again; one that is damaged is cured; and roots of runs come into being. */
SQL_TEST(a_burst_over_contents_that_are_going_and_roots_that_are_not_there)
{
    static const char *const names[] = { "p/1", "p/2", "p/3", "p/4" };
    static const char *const bytes[] = { "condemned", "damaged", "deleting", "fresh" };
    struct upload u[ARRAY_N(names)], more[2];
    struct corefix f;
    struct gate gate;
    struct str run;

    corefix_open(&f, location, NULL);
    for (size_t i = 0; i < 3; i++) {
        struct str old = arena_printf(f.a, "o/%zu", i);

        T_ST_ERR(corefix_put(&f, old, bytes[i], strlen(bytes[i])), OK, &f.err);
    }
    run = corefix_new_run(&f, 0);
    gate_shut(
        &f, &gate,
        "UPDATE object SET state = 2 WHERE size = 9; UPDATE object SET stage = 3 WHERE size = 7; "
        "UPDATE object SET state = 3 WHERE size = 8");
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        begin(&f, &u[i], str_cstr(names[i]), str_cstr(bytes[i]));
    }
    for (size_t i = 0; i < ARRAY_N(more); i++) {
        begin(&f, &more[i], arena_printf(f.a, "0/%.*s/artifacts/m/%zu", STR_ARG(run), i), S("run"));
    }
    gate_opens(&gate);
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        T_ST_ERR(end(&u[i]), OK, &u[i].put.op.err);
        check(&f, str_cstr(names[i]), str_cstr(bytes[i]));
    }
    for (size_t i = 0; i < ARRAY_N(more); i++) {
        T_ST_ERR(end(&more[i]), OK, &more[i].put.op.err);
        check(&f, arena_printf(f.a, "0/%.*s/artifacts/m/%zu", STR_ARG(run), i), S("run"));
    }
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM object WHERE state = 1 AND stage <> 3"), 5);
    corefix_close(&f);
}

/* ---- against a model ---------------------------------------------------------------------------------------------------------- */

struct model {
    struct {
        struct str path, bytes;
    } files[2 * BURST];
    size_t n;
};

static bool is_below(struct str path, struct str dir)
{
    return path.n > dir.n && path.p[dir.n] == '/' && str_starts(path, dir);
}

static enum status model_put(struct model *m, struct str path, struct str bytes)
{
    for (size_t i = 0; i < m->n; i++) {
        if (is_below(path, m->files[i].path) || is_below(m->files[i].path, path)) {
            return ST_INVALID;
        }
    }
    for (size_t i = 0; i < m->n; i++) {
        if (str_eq(m->files[i].path, path)) {
            m->files[i].bytes = bytes;
            return OK;
        }
    }
    m->files[m->n].path = path;
    m->files[m->n++].bytes = bytes;
    return OK;
}

static struct str random_path(struct corefix *f)
{
    static const char *const parts[] = { "a", "b", "c", "a-b", "\xc3\xa9", "\"" };
    struct str path = S("");
    size_t depth = 1 + t_rand() % 3;

    for (size_t i = 0; i < depth; i++) {
        path = arena_printf(f->a, "%.*s%s%s", STR_ARG(path), i ? "/" : "",
                            parts[t_rand() % ARRAY_N(parts)]);
        T_OK(path.p != NULL);
    }
    return path;
}

SQL_TEST(bursts_do_the_same_as_one_after_the_other)
{
    struct upload *u;
    struct model *m;
    struct corefix f;
    enum status want[BURST];

    corefix_open(&f, location, NULL);
    u = ARENA_ARRAY(f.a, struct upload, BURST);
    m = ARENA_NEW(f.a, struct model);
    T_OK(u && m);
    T_ST_ERR(corefix_put(&f, S("first"), "0", 1), OK, &f.err); /* the general root is there */
    for (int round = 0; round < 2; round++) {
        struct gate gate;

        gate_shut(&f, &gate, NULL);
        for (size_t i = 0; i < BURST; i++) {
            struct str path = random_path(&f);
            struct str bytes = arena_printf(f.a, "%d", (int)(t_rand() % 40));

            begin(&f, &u[i], path, bytes);
            want[i] = model_put(m, path, bytes);
        }
        gate_opens(&gate);
        for (size_t i = 0; i < BURST; i++) {
            T_ST_ERR(end(&u[i]), want[i], &u[i].put.op.err);
        }
    }
    for (size_t i = 0; i < m->n; i++) {
        check(&f, m->files[i].path, m->files[i].bytes);
    }
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM artifact WHERE kind = 1"), (int64_t)m->n + 1);
    corefix_close(&f);
}

/* What one go may hold is bounded: by number, by bytes, by depth. */
SQL_TEST(a_burst_that_is_more_than_one_go)
{
    struct upload *u;
    struct corefix f;
    struct gate gate;
    char *big, *deep;
    size_t n = 200;

    corefix_open(&f, location, NULL);
    u = ARENA_ARRAY(f.a, struct upload, n);
    big = arena_zalloc(f.a, ARTIFACT_INLINE_MAX, 1);
    deep = arena_zalloc(f.a, ARTIFACT_PATH_MAX, 1);
    T_OK(u && big && deep);
    for (size_t i = 0; i < 1400; i++) {
        deep[i] = i % 2 ? '/' : 'd';
    }
    T_ST_ERR(corefix_put(&f, S("first"), "0", 1), OK, &f.err);
    gate_shut(&f, &gate, NULL);
    for (size_t i = 0; i < n; i++) {
        struct str path = i == 50 || i == 60 ? arena_printf(f.a, "%s%zu", deep, i)
                                             : arena_printf(f.a, "n/%zu", i);

        begin(&f, &u[i], path,
              i >= 100 ? str_of(big, ARTIFACT_INLINE_MAX - i) : arena_printf(f.a, "%zu", i));
    }
    gate_opens(&gate);
    for (size_t i = 0; i < n; i++) {
        T_ST_ERR(end(&u[i]), OK, &u[i].put.op.err);
    }
    check(&f, S("n/99"), S("99"));
    check(&f, S("n/199"), str_of(big, ARTIFACT_INLINE_MAX - 199));
    check(&f, arena_printf(f.a, "%s60", deep), S("60"));
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM artifact WHERE kind = 1"), (int64_t)n + 1);
    corefix_close(&f);
}
