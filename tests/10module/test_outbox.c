/* The log as those read it who tell others: nothing twice without a crash, nothing left out, marks that last, and a cap. On both engines. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/dataset.h"
#include "core/outbox.h"
#include "core/registry.h"
#include "engine/emit_event.h"

#include <stdio.h>

static const char *const NAMES[] = { "url" };

static struct outbox *taken(struct corefix *f)
{
    struct outbox *o;

    T_ST_ERR(outbox_setup(f->core, NAMES, 1, &f->err), OK, &f->err);
    T_ST_ERR(outbox_new(&o, f->core, "url", &f->err), OK, &f->err);
    T_ST_ERR(outbox_take(o, &f->err), OK, &f->err);
    return o;
}

/* All that is left, as words: S(tart) L(inks) E(nd) V(ersion) A(lias) R(enamed) D(ropped). */
static void read_all(struct corefix *f, struct outbox *o, bool advance, char *out, size_t max)
{
    const struct outbox_fact *facts;
    size_t n, at = 0;
    bool more = true;

    while (more) {
        T_ST_ERR(outbox_read(o, &facts, &n, &more, &f->err), OK, &f->err);
        for (size_t i = 0; i < n && at + 1 < max; i++) {
            out[at++] = "?SLEVARDX"[facts[i].kind];
        }
        if (advance && more) T_ST_ERR(outbox_advance(o, n, 0, &f->err), OK, &f->err);
    }
    out[at] = 0;
}

static void end_run(struct corefix *f, struct str run)
{
    struct run_update *u = ARENA_NEW(f->a, struct run_update);

    run_update_init(u, f->core, f->a);
    u->run_id = run;
    run_update_status(u, RUN_FINISHED);
    u->has_end = true;
    u->end_ms = 5;
    T_ST_ERR(corefix_run(f, &u->op), OK, &f->err);
}

static void log_input(struct corefix *f, struct str run, const char *name)
{
    struct run_links *l = ARENA_NEW(f->a, struct run_links);
    struct dataset_input d = {
        .name = str_cstr(name), .digest = S("d"), .source_type = S("local"), .source = S("{}")
    };

    run_links_init(l, f->core, f->a);
    l->run_id = run;
    l->datasets = &d;
    l->datasets_n = 1;
    T_ST_ERR(corefix_run(f, &l->op), OK, &f->err);
}

static void new_version(struct corefix *f, const char *name)
{
    struct model_version_create *c = ARENA_NEW(f->a, struct model_version_create);

    model_version_create_init(c, f->core, f->a);
    c->name = str_cstr(name);
    c->source = S("s3://b/m");
    c->make_model = true;
    c->alias = S("best");
    T_ST_ERR(corefix_run(f, &c->op), OK, &f->err);
}

SQL_TEST(everything_once_and_in_order)
{
    struct corefix f;
    struct outbox *o;
    char got[64];
    struct str run;

    corefix_open(&f, location, NULL);
    corefix_new_run(&f, 0); /* before: nobody is told */
    o = taken(&f);
    read_all(&f, o, true, got, sizeof(got));
    T_CSTR(got, "");
    run = corefix_new_run(&f, 0);
    log_input(&f, run, "a"); /* the start tells it */
    read_all(&f, o, true, got, sizeof(got));
    T_CSTR(got, "S");
    log_input(&f, run, "b");
    log_input(&f, run, "c"); /* once */
    read_all(&f, o, true, got, sizeof(got));
    T_CSTR(got, "L");
    new_version(&f, "m");
    end_run(&f, run);
    read_all(&f, o, true, got, sizeof(got));
    T_CSTR(got, "EVA"); /* runs first */
    read_all(&f, o, true, got, sizeof(got));
    T_CSTR(got, "");
    outbox_free(o);
    corefix_close(&f);
}

SQL_TEST(what_was_not_told_is_read_again)
{
    struct corefix f;
    struct outbox *o;
    char got[64];
    struct str run;

    corefix_open(&f, location, NULL);
    o = taken(&f);
    run = corefix_new_run(&f, 0);
    read_all(&f, o, false, got, sizeof(got)); /* and then it dies */
    T_CSTR(got, "S");
    outbox_free(o);
    corefix_crash(&f);
    o = taken(&f);
    read_all(&f, o, true, got, sizeof(got));
    T_CSTR(got, "S");
    outbox_free(o);
    corefix_reopen(&f); /* drains: what was told is gone, what comes is told */
    o = taken(&f);
    run = corefix_new_run(&f, 0);
    end_run(&f, run);
    outbox_free(o);
    corefix_reopen(&f); /* covered by the drain, and held */
    o = taken(&f);
    read_all(&f, o, true, got, sizeof(got));
    T_CSTR(got, "SE");
    T_INT(outbox_lost(o), 0);
    outbox_free(o);
    corefix_close(&f);
}

SQL_TEST(one_has_it)
{
    struct corefix f;
    struct outbox *a, *b;
    const struct outbox_fact *facts;
    size_t n;
    bool more;

    corefix_open(&f, location, NULL);
    a = taken(&f);
    corefix_new_run(&f, 0);
    T_ST_ERR(outbox_read(a, &facts, &n, &more, &f.err), OK, &f.err);
    T_INT(n, 1);
    b = taken(&f); /* as another process would when this one was believed to be gone */
    T_OK(outbox_behind(a) > 0);
    T_ST(outbox_advance(a, 1, 0, &f.err), ST_CONFLICT);
    T_ST(outbox_read(a, &facts, &n, &more, &f.err), ST_CONFLICT);
    T_INT((int64_t)outbox_behind(a), 0); /* that is the other one's */
    T_ST_ERR(outbox_read(b, &facts, &n, &more, &f.err), OK, &f.err);
    T_INT(n, 1);
    T_ST_ERR(outbox_advance(b, 1, 0, &f.err), OK, &f.err);
    outbox_free(a);
    outbox_free(b);
    corefix_close(&f);
}

static void fill_log(struct corefix *f, struct str run, int rows)
{
    for (int i = 0; i < rows; i++) {
        struct run_log *l = ARENA_NEW(f->a, struct run_log);

        run_log_init(l, f->core, f->a);
        l->run_id = run;
        T_ST_ERR(run_points_begin(&l->points, f->a, &f->err), OK, &f->err);
        for (int k = 0; k < 400; k++) {
            T_ST_ERR(
                run_points_add(&l->points, S("loss"), 1.0 / (k + i + 1), k, i * 400 + k, &f->err),
                OK, &f->err);
        }
        T_ST_ERR(corefix_run(f, &l->op), OK, &f->err);
    }
}

static struct outbox_state state(struct corefix *f)
{
    struct outbox_state *list;
    size_t n;

    T_ST_ERR(outbox_states(&f->v, &list, &n, &f->err), OK, &f->err);
    T_INT(n, 1);
    return list[0];
}

SQL_TEST(the_log_is_held_within_a_cap)
{
    struct core_options opt = { .hold_bytes = 64 << 10 };
    struct seq_stats stats;
    struct corefix f;
    struct outbox *o;
    char got[64];
    struct str run, last;

    corefix_open_with(&f, location, &opt);
    o = taken(&f);
    run = corefix_new_run(&f, 0);
    fill_log(&f, run, 5);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    seq_stats(f.core->seq, &stats);
    T_OK(stats.held_bytes > 10000 && stats.held_bytes <= 64 << 10);
    T_INT(stats.unread, 0);
    read_all(&f, o, true, got, sizeof(got)); /* all of it was there */
    T_CSTR(got, "S");
    fill_log(&f, run, 60);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    last = corefix_new_run(&f, 0);
    fill_log(&f, last, 1);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    seq_stats(f.core->seq, &stats);
    T_OK(stats.unread > 10);
    T_OK(stats.held_bytes <= 64 << 10);
    for (int i = 0; i < 8;
         i++) { /* PostgreSQL empties whole tables: one after the other comes to its turn */
        fill_log(&f, last, 40);
        T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    }
    last = corefix_new_run(&f, 0);
    read_all(&f, o, true, got, sizeof(got));
    T_OK(got[0] == 'S');
    T_OK(outbox_lost(o) > 10);
    T_INT(state(&f).lost, (int64_t)outbox_lost(o));
    T_OK(state(&f).behind < 100); /* the mark itself, and what the store does by itself */
    T_ST_ERR(outbox_setup(f.core, NULL, 0, &f.err), OK, &f.err); /* nobody is told any more */
    fill_log(&f, last, 5);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    seq_stats(f.core->seq, &stats);
    T_INT((int64_t)stats.held_bytes, 0);
    outbox_free(o);
    corefix_close(&f);
}

/* What was told is not lost, although what says nothing is not written down row by row. */
SQL_TEST(what_was_told_is_not_held)
{
    struct core_options opt = { .hold_bytes = 64 << 10 };
    struct seq_stats stats;
    struct corefix f;
    struct outbox *o;
    char got[64];
    struct str run;

    corefix_open_with(&f, location, &opt);
    o = taken(&f);
    run = corefix_new_run(&f, 0);
    for (int i = 0; i < 8; i++) {
        fill_log(&f, run, 10);
        read_all(&f, o, true, got, sizeof(got));
    }
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    seq_stats(f.core->seq, &stats);
    T_INT((int64_t)stats.unread, 0);
    T_INT((int64_t)outbox_lost(o), 0);
    outbox_free(o);
    corefix_close(&f);
}

/* Operations that wait for the test: in validate(), so that others come behind them, and in apply(), when the group is committed. */
struct gate {
    struct write_op op;
    struct exec_event *reached, *open, *done;
};

static void gate_wait(const struct gate *g)
{
    exec_event_set(g->reached);
    T_OK(exec_event_wait(g->open, 60000));
}

static enum status hold_validate(struct write_op *op, struct group *g, struct err *err)
{
    (void)g;
    (void)err;
    gate_wait(WRITE_OP_OF(op, struct gate));
    return OK;
}

static enum status pass(struct write_op *op, struct group *g, struct err *err)
{
    (void)op;
    (void)g;
    (void)err;
    return OK;
}

static void gate_apply(struct write_op *op)
{
    gate_wait(WRITE_OP_OF(op, struct gate));
}

static void gate_done(struct write_op *op)
{
    exec_event_set((struct exec_event *)op->user);
}

static void gate_submit(struct corefix *f, struct gate *g, struct write_op *op)
{
    g->reached = exec_event_new();
    g->open = exec_event_new();
    g->done = exec_event_new();
    T_OK(g->reached && g->open && g->done);
    op->done = gate_done;
    op->user = g->done;
    T_ST(seq_submit(f->core->seq, op), OK);
}

static void gate_free(struct gate *g)
{
    T_OK(exec_event_wait(g->done, 60000));
    exec_event_free(g->reached);
    exec_event_free(g->open);
    exec_event_free(g->done);
}

/* The database shows a group before memory does: its run is not taken for one that is gone. */
SQL_TEST(a_row_is_read_when_it_was_applied)
{
    static const struct write_kind hold_kind = { .name = "test.hold", .validate = hold_validate };
    static const struct write_kind gate_kind = { .name = "test.gate",
                                                 .validate = pass,
                                                 .apply = gate_apply };
    struct gate hold = { .reached = NULL }, gate = { .reached = NULL }, made = { .reached = NULL };
    const struct outbox_fact *facts;
    struct outbox_state now;
    struct run_create c;
    struct corefix f;
    struct outbox *o;
    struct view *v;
    struct buf b = BUF_INIT(1 << 20);
    char got[64];
    size_t n;
    bool more = true;

    corefix_open(&f, location, NULL);
    o = taken(&f);
    read_all(&f, o, true, got, sizeof(got));
    write_op_init(&hold.op, &hold_kind, f.a);
    write_op_init(&gate.op, &gate_kind, f.a);
    run_create_init(&c, f.core, f.a);
    c.user_id = S("ann");
    c.name = S("run");
    gate_submit(&f, &hold, &hold.op);
    T_OK(exec_event_wait(hold.reached, 60000));
    gate_submit(&f, &gate, &gate.op);
    gate_submit(&f, &made, &c.op);
    exec_event_set(hold.open);
    T_OK(exec_event_wait(gate.reached, 60000)); /* committed, and not applied */
    now = state(&f);
    T_OK(now.behind > 0);
    while (more) {
        T_ST_ERR(outbox_read(o, &facts, &n, &more, &f.err), OK, &f.err);
        T_INT((int64_t)n, 0);
    }
    exec_event_set(gate.open);
    gate_free(&hold);
    gate_free(&gate);
    gate_free(&made);
    T_ST(c.op.st, OK);
    do {
        T_ST_ERR(outbox_read(o, &facts, &n, &more, &f.err), OK, &f.err);
    } while (more && n == 0);
    T_INT((int64_t)n, 1);
    T_INT(facts[0].kind, OUTBOX_RUN_STARTED);
    T_ST_ERR(outbox_view(o, &v, &f.err), OK, &f.err);
    T_ST_ERR(emit_event(v, &facts[0], S("lab"), &b, &f.err), OK, &f.err);
    outbox_view_end(o);
    T_OK(b.n > 0);
    T_INT((int64_t)outbox_lost(o), 0);
    buf_release(&b);
    outbox_free(o);
    corefix_close(&f);
}

/* What does not fit in memory by its size is told apart from memory that is short now: the first is not waited for. */
SQL_TEST(an_event_that_is_too_big)
{
    static char profile[200000], schema[400];
    struct dataset_input d = { .name = S("d"),
                               .digest = S("1"),
                               .source_type = S("local"),
                               .source = S("s3://ann:hidden@b/k"),
                               .schema = str_of(schema, sizeof(schema)),
                               .profile = str_of(profile, sizeof(profile)) };
    struct outbox_fact fact = { .kind = OUTBOX_RUN_LINKS };
    struct buf b = BUF_INIT(1 << 20);
    struct run_links *l;
    struct corefix f;
    struct view small;

    memset(profile, 'p', sizeof(profile));
    memset(schema, 's', sizeof(schema));
    corefix_open(&f, location, NULL);
    l = ARENA_NEW(f.a, struct run_links);
    run_links_init(l, f.core, f.a);
    l->run_id = corefix_new_run(&f, 0);
    l->datasets = &d;
    l->datasets_n = 1;
    T_ST_ERR(corefix_run(&f, &l->op), OK, &f.err);
    fact.uid = l->run_uid;
    small = f.v;
    small.arena = arena_new(100000); /* the profile is not read */
    T_ST_ERR(emit_event(&small, &fact, S("lab"), &b, &f.err), OK, &f.err);
    T_OK(str_find(buf_str(&b), S("\"namespace\":\"s3://b\"")) != SIZE_MAX);
    T_OK(str_find(buf_str(&b), S("hidden")) == SIZE_MAX);
    arena_free(small.arena);
    small.arena = arena_new(300);
    buf_clear(&b);
    T_ST(emit_event(&small, &fact, S("lab"), &b, &f.err), ST_TOO_BIG);
    arena_free(small.arena);
    small.arena = arena_new(100000);
    buf_clear(&b);
    mem_fail_after(1, true);
    T_ST(emit_event(&small, &fact, S("lab"), &b, &f.err), ST_NOMEM);
    mem_fail_never();
    arena_free(small.arena);
    buf_release(&b);
    corefix_close(&f);
}

/* Whatever allocation fails: nothing leaks, and afterwards the same is read. */
TEST(no_memory)
{
    const struct outbox_fact *facts;
    struct corefix f;
    struct outbox *o;
    enum status st;
    size_t n = 0;
    bool more;

    corefix_open(&f, t_tmpdir(), NULL);
    o = taken(&f);
    corefix_new_run(&f, 0);
    new_version(&f, "m");
    for (int64_t i = 1; i < 1000; i++) {
        mem_fail_after(i, true);
        st = outbox_read(o, &facts, &n, &more, &f.err);
        mem_fail_never();
        if (st == OK) break;
        T_ST(st, ST_NOMEM);
    }
    T_INT(n, 1);
    T_INT(facts[0].kind, OUTBOX_RUN_STARTED);
    outbox_free(o);
    corefix_close(&f);
}
