/* Experiments through the store, on both engines: life cycle, names, tags, search, and what the writer's cache must not remember. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/failpoint.h"
#include "base/mem.h"

static enum status rename_to(struct corefix *f, int64_t id, const char *name)
{
    struct experiment_rename r;

    experiment_rename_init(&r, f->core, f->a);
    r.id = id;
    r.name = str_cstr(name);
    return corefix_run(f, &r.op);
}

static enum status set_life(struct corefix *f, int64_t id, enum lifecycle to)
{
    struct experiment_lifecycle l;

    experiment_lifecycle_init(&l, f->core, f->a);
    l.id = id;
    l.to = to;
    return corefix_run(f, &l.op);
}

static enum status set_tag(struct corefix *f, int64_t id, struct str key, struct str value,
                           bool remove)
{
    struct experiment_tag t;

    experiment_tag_init(&t, f->core, f->a);
    t.id = id;
    t.key = key;
    t.value = value;
    t.remove = remove;
    return corefix_run(f, &t.op);
}

static struct experiment get(struct corefix *f, int64_t id)
{
    struct experiment x;

    T_ST_ERR(experiment_get(&f->v, id, &x, &f->err), OK, &f->err);
    return x;
}

SQL_TEST(create_read_rename)
{
    struct corefix f;
    struct experiment x;
    struct experiment_create c;
    struct key_value tags[] = { { S("b"), S("2") }, { S("a"), S("1") }, { S("b"), S("3") } };
    int64_t one;

    corefix_open(&f, location, NULL);
    x = get(&f, 0);
    T_STR(x.name, "Default");
    T_STR(x.artifact_location, "mlflow-artifacts:/0");
    experiment_create_init(&c, f.core, f.a);
    c.name = S("caf\xc3\xa9 'x' \"y\"");
    c.artifact_location = S("mlflow-artifacts:/elsewhere");
    c.tags = tags;
    c.tags_n = 3;
    T_ST_ERR(corefix_run(&f, &c.op), OK, &f.err);
    T_INT(c.id, 1);
    T_ST(corefix_run(&f, &c.op), ST_EXISTS);
    one = corefix_experiment(&f, "one");
    T_INT(one, 2); /* a refused name takes no number */
    for (int i = 0; i < 2; i++) {
        x = get(&f, 1);
        T_STR(x.name, "caf\xc3\xa9 'x' \"y\"");
        T_STR(x.artifact_location, "mlflow-artifacts:/elsewhere");
        T_INT(x.tags_n, 2);
        T_STR(x.tags[0].key, "a");
        T_STR(x.tags[1].value, "3");
        T_OK(x.create_ms > 1500000000000 && x.update_ms >= x.create_ms);
        corefix_reopen(&f);
    }
    T_ST(rename_to(&f, 1, "one"), ST_EXISTS);
    T_ST_ERR(rename_to(&f, 1, "uno"), OK, &f.err);
    T_ST_ERR(rename_to(&f, 1, "uno"), OK, &f.err); /* its own name */
    T_ST(rename_to(&f, 77, "x"), ST_NOT_FOUND);
    T_CSTR(f.err.message, "No Experiment with id=77 exists");
    T_ST(experiment_get_by_name(&f.v, S("uno"), &x, &f.err), OK);
    T_INT(x.id, 1);
    T_ST(experiment_get_by_name(&f.v, S("UNO"), &x, &f.err), ST_NOT_FOUND);
    corefix_close(&f);
}

/* A renamed Default stays the only experiment, however often the store is opened. */
SQL_TEST(default_is_made_once)
{
    struct corefix f;

    corefix_open(&f, location, NULL);
    T_ST_ERR(rename_to(&f, 0, "Renamed"), OK, &f.err);
    corefix_reopen(&f);
    corefix_reopen(&f);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM experiment"), 1);
    T_STR(get(&f, 0).name, "Renamed");
    T_INT(corefix_experiment(&f, "Default"), 1);
    corefix_close(&f);
}

SQL_TEST(deleted_experiments)
{
    struct corefix f;
    struct run_view r;
    struct str run;
    struct experiment_create c;
    int64_t id;

    corefix_open(&f, location, NULL);
    id = corefix_experiment(&f, "x");
    run = corefix_new_run(&f, id);
    T_ST(set_life(&f, id, LIFECYCLE_ACTIVE), ST_NOT_FOUND);
    T_ST_ERR(set_life(&f, id, LIFECYCLE_DELETED), OK, &f.err);
    T_ST(set_life(&f, id, LIFECYCLE_DELETED), ST_NOT_FOUND);
    T_INT(get(&f, id).lifecycle, LIFECYCLE_DELETED);
    T_ST_ERR(run_get(&f.v, run, &r, &f.err), OK, &f.err);
    T_INT(r.lifecycle, LIFECYCLE_DELETED);
    T_ST(rename_to(&f, id, "y"), ST_INVALID_STATE);
    T_ST(set_tag(&f, id, S("k"), S("v"), false), ST_INVALID);
    T_CSTR(f.err.message,
           "The experiment 1 must be in the 'active' state. Current state is deleted.");
    experiment_create_init(&c, f.core, f.a);
    c.name = S("x");
    T_ST(corefix_run(&f, &c.op), ST_EXISTS);
    T_OK(strstr(f.err.message, "deleted") != NULL);
    corefix_reopen(&f);
    T_ST_ERR(set_life(&f, id, LIFECYCLE_ACTIVE), OK, &f.err);
    T_ST_ERR(run_get(&f.v, run, &r, &f.err), OK, &f.err);
    T_INT(r.lifecycle, LIFECYCLE_ACTIVE);
    corefix_new_run(&f, id);
    corefix_close(&f);
}

SQL_TEST(tags)
{
    struct corefix f;
    struct experiment x;

    corefix_open(&f, location, NULL);
    T_ST_ERR(set_tag(&f, 0, S("k"), S("1"), false), OK, &f.err);
    T_ST_ERR(set_tag(&f, 0, S("k"), S(""), false), OK, &f.err);
    x = get(&f, 0);
    T_INT(x.tags_n, 1);
    T_STR(x.tags[0].value, "");
    T_ST_ERR(set_tag(&f, 0, S("k"), S(""), true), OK, &f.err);
    T_ST(set_tag(&f, 0, S("k"), S(""), true), ST_NOT_FOUND);
    T_ST(set_tag(&f, 9, S("k"), S(""), true), ST_NOT_FOUND);
    T_ST(set_tag(&f, 0, S("k"), S("a\0b"), false), ST_INVALID); /* neither engine takes a NUL */
    T_ST(rename_to(&f, 0, ""), OK);
    corefix_close(&f);
}

SQL_TEST(search_pages)
{
    struct corefix f;
    struct experiment_search q = { .view_type = VIEW_ACTIVE_ONLY };
    struct str order[] = { S("name DESC") };
    struct experiment *found;
    size_t n, total = 0;
    struct str last = { NULL, 0 };

    corefix_open(&f, location, NULL);
    for (int i = 0; i < 25; i++) {
        int64_t id = corefix_experiment(&f, arena_printf(f.a, "e%02d", i).p);

        T_ST_ERR(set_tag(&f, id, S("even"), i % 2 ? S("no") : S("yes"), false), OK, &f.err);
    }
    T_ST_ERR(set_life(&f, 3, LIFECYCLE_DELETED), OK, &f.err);
    q.filter = S("tags.even = 'yes' AND name LIKE 'e%'");
    q.order_by = order;
    q.order_by_n = 1;
    q.page.max = 5;
    do {
        T_ST_ERR(experiment_search(&f.v, &q, &found, &n, &q.page.token, &f.err), OK, &f.err);
        for (size_t i = 0; i < n; i++) {
            T_OK(!last.p || str_cmp(found[i].name, last) < 0);
            last = found[i].name;
            T_INT(found[i].tags_n, 1);
        }
        total += n;
    } while (q.page.token.p);
    T_INT(total, 12);
    q = (struct experiment_search){ .view_type = VIEW_DELETED_ONLY, .page = { 100, { NULL, 0 } } };
    T_ST_ERR(experiment_search(&f.v, &q, &found, &n, &q.page.token, &f.err), OK, &f.err);
    T_INT(n, 1);
    q = (struct experiment_search){ .view_type = VIEW_ALL, .page = { 100, { NULL, 0 } } };
    T_ST_ERR(experiment_search(&f.v, &q, &found, &n, &q.page.token, &f.err), OK, &f.err);
    T_INT(n, 26);
    corefix_close(&f);
}

/* An experiment and a run in it, in one group that does not commit: the number of the experiment goes to another one, and what
 * the run had asked about the first must be forgotten. */
SQL_TEST(a_lost_group_is_forgotten)
{
    struct corefix f;
    struct experiment_create c, filler, other;
    struct experiment_lifecycle l;
    struct run_create r;
    struct write_op *ops[] = { &filler.op, &c.op, &r.op }, *ops2[] = { &filler.op, &l.op, &r.op };
    struct run_view view;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    corefix_open(&f, location, NULL);
    experiment_create_init(&filler, f.core, f.a);
    filler.name = S("Default"); /* refused */
    experiment_create_init(&c, f.core, f.a);
    c.name = S("lost");
    c.artifact_location = S("mlflow-artifacts:/lost");
    run_create_init(&r, f.core, f.a);
    r.experiment = 1;
    r.name = S("n");
    failpoint_arm("seq.group.commit_fails=error");
    corefix_together(&f, ops, 3);
    T_ST(c.op.st, ST_UNAVAILABLE);
    T_OK(r.op.st != OK);
    failpoint_arm(NULL);
    experiment_create_init(&other, f.core, f.a);
    other.name = S("other");
    T_ST_ERR(corefix_run(&f, &other.op), OK, &f.err);
    T_INT(other.id, 1);
    run_create_init(&r, f.core, f.a);
    r.experiment = 1;
    r.name = S("n");
    T_ST_ERR(corefix_run(&f, &r.op), OK, &f.err);
    T_ST_ERR(run_get(&f.v, r.run_id, &view, &f.err), OK, &f.err);
    T_OK(str_starts(view.artifact_uri, S("mlflow-artifacts:/1/")));
    /* The same for a deletion that did not happen. */
    experiment_lifecycle_init(&l, f.core, f.a);
    l.id = 1;
    l.to = LIFECYCLE_DELETED;
    run_create_init(&r, f.core, f.a);
    r.experiment = 1;
    r.name = S("n");
    experiment_create_init(&filler, f.core, f.a);
    filler.name = S("Default");
    failpoint_arm("seq.group.commit_fails=error");
    corefix_together(&f, ops2, 3);
    failpoint_arm(NULL);
    T_OK(l.op.st != OK);
    corefix_new_run(&f, 1);
    T_INT(get(&f, 1).lifecycle, LIFECYCLE_ACTIVE);
    corefix_close(&f);
}

TEST(ids_of_requests)
{
    struct err err = ERR_INIT;
    int64_t id;

    T_ST(experiment_parse_id(S("12"), &id, &err), OK);
    T_INT(id, 12);
    T_ST(experiment_parse_id(S(" 12 "), &id, &err), OK);
    T_ST(experiment_parse_id(S(""), &id, &err), OK);
    T_INT(id, 0);
    T_ST(experiment_parse_id(S("x"), &id, &err), ST_INVALID);
    T_CSTR(err.message, "Invalid experiment ID 'x'. Experiment ID must be a valid integer.");
    T_ST(experiment_parse_id(S("99999999999999999999"), &id, &err), ST_INVALID);
    T_ST(experiment_parse_id(S("1.0"), &id, &err), ST_INVALID);
}

/* Each allocation of a creation and of the reads fails: a clean error, or the whole answer. */
TEST(out_of_memory)
{
    struct key_value tags[] = { { S("a"), S("1") }, { S("b"), S("2") } };
    struct corefix f;
    int64_t made = 0, n;

    corefix_open(&f, t_tmpdir(), NULL);
    for (n = 1;; n++) {
        struct experiment_create c;
        enum status st;
        bool reached;

        experiment_create_init(&c, f.core, f.a);
        c.name = arena_printf(f.a, "x%lld", (long long)n);
        c.tags = tags;
        c.tags_n = 2;
        mem_fail_after(n, true);
        st = corefix_run(&f, &c.op);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        made += st == OK;
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM experiment"), made + 1);
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM experiment_tag"), made * 2);
        if (!reached) break;
    }
    for (n = 1;; n++) {
        struct experiment_search q = { .view_type = VIEW_ALL,
                                       .filter = S("tags.b = '2'"),
                                       .page = { 100, { NULL, 0 } } };
        struct arena *a = arena_new(1 << 24);
        struct view v = f.v;
        struct experiment *found;
        struct str token;
        size_t count;
        enum status st;
        bool reached;

        v.arena = a;
        mem_fail_after(n, true);
        st = experiment_search(&v, &q, &found, &count, &token, &f.err);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        if (!st) {
            T_INT(count, made);
            for (size_t i = 0; i < count; i++) {
                T_OK(found[i].name.n > 0 && found[i].tags_n == 2 &&
                     found[i].artifact_location.n > 0);
                T_STR(found[i].tags[1].value, "2");
            }
        }
        arena_free(a);
        if (!reached) break;
    }
    corefix_close(&f);
}
