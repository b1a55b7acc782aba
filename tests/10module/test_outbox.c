/* The log as those read it who tell others: nothing twice without a crash, nothing left out, marks that last, and a cap. On both engines. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/dataset.h"
#include "core/outbox.h"
#include "core/registry.h"

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
    T_ST(outbox_advance(a, 1, 0, &f.err), ST_CONFLICT);
    T_ST(outbox_read(a, &facts, &n, &more, &f.err), ST_CONFLICT);
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
