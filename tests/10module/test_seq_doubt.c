/* A commit whose outcome cannot be learnt: the database is killed after COMMIT, before its answer, and stays away longer than the
 * sequencer asks for. Nothing is answered until it is back; then the answer is what happened, and what waited goes on. */
#include "corefix.h"
#include "pgtest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/exec.h"
#include "base/failpoint.h"
#include "store/seq.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_MS = 300, KILL_AFTER_MS = 300, STALL_MS = 900, AWAY_MS = 4000 };

static void pause_ms(int64_t ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&t, NULL);
}

/* Kills the database while the sequencer stands between COMMIT and its answer; it comes back when the sequencer has given up asking
 * and is in doubt. */
static pid_t strike(struct pgtest_server *server)
{
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        pause_ms(KILL_AFTER_MS);
        pgtest_kill(server);
        pause_ms(AWAY_MS);
        pgtest_up(server);
        _exit(0);
    }
    return pid;
}

static void is_over(pid_t pid, int64_t begun_ms)
{
    int status = -1;

    failpoint_arm(NULL);
    T_OK(clock_mono_ms() - begun_ms >=
         KILL_AFTER_MS + AWAY_MS); /* nobody was told before it was known */
    T_INT(waitpid(pid, &status, 0), pid);
    T_INT(status, 0);
}

static void arm(const char *how)
{
    char spec[128];

    snprintf(spec, sizeof(spec), "%s=error:1,store.postgres.commit.after=wait:%d", how, STALL_MS);
    failpoint_arm(spec);
}

static struct run_log *param(struct corefix *f, struct str run, const char *key, const char *value)
{
    struct run_log *l = ARENA_NEW(f->a, struct run_log);

    T_OK(l != NULL);
    run_log_init(l, f->core, f->a);
    l->run_id = run;
    l->params = ARENA_NEW(f->a, struct key_value);
    l->params[0] = (struct key_value){ str_cstr(key), str_cstr(value) };
    l->params_n = 1;
    return l;
}

static bool has(struct corefix *f, struct str run, const char *key, const char *value)
{
    struct run_view view;
    const struct str *v;

    T_ST_ERR(run_get(&f->v, run, &view, &f->err), OK, &f->err);
    v = run_view_param(&view, str_cstr(key));
    return v && str_eq(*v, str_cstr(value));
}

TEST_LIMIT(commits_in_doubt, 120)
{
    struct core_options opt = { .sql.connect_ms = CONNECT_MS, .drain_age_ms = 3600000 };
    struct pgtest_server server;
    struct corefix f;
    struct str run;
    int64_t begun;
    pid_t pid;

    pgtest_start(&server);
    corefix_open_with(&f, server.uri, &opt);
    run = corefix_new_run(&f, 0);

    /* It was committed. */
    arm("store.postgres.commit.unread");
    begun = clock_mono_ms();
    pid = strike(&server);
    T_ST_ERR(corefix_run(&f, &param(&f, run, "a", "1")->op), OK, &f.err);
    is_over(pid, begun);
    T_OK(has(&f, run, "a", "1"));

    /* It was not: try again, and once it is there. */
    arm("store.postgres.commit.unsent");
    begun = clock_mono_ms();
    pid = strike(&server);
    T_ST(corefix_run(&f, &param(&f, run, "b", "2")->op), ST_UNAVAILABLE);
    T_OK(f.err.retry_after_s > 0);
    is_over(pid, begun);
    T_OK(!has(&f, run, "b", "2"));
    T_ST_ERR(corefix_run(&f, &param(&f, run, "b", "3")->op), OK, &f.err);

    /* Both are what is stored. */
    corefix_reopen(&f);
    T_OK(has(&f, run, "a", "1"));
    T_OK(has(&f, run, "b", "3"));
    corefix_close(&f);
}

TEST_LIMIT(drains_in_doubt, 120)
{
    static const char *const ways[] = { "store.postgres.commit.unread",
                                        "store.postgres.commit.unsent" };
    struct core_options opt = { .sql.connect_ms = CONNECT_MS, .drain_age_ms = 3600000 };
    struct pgtest_server server;
    struct seq_stats stats;
    struct corefix f;
    struct str run;
    int64_t begun, drain;
    pid_t pid;
    char key[8];

    pgtest_start(&server);
    corefix_open_with(&f, server.uri, &opt);
    run = corefix_new_run(&f, 0);
    for (size_t i = 0; i < ARRAY_N(ways); i++) {
        snprintf(key, sizeof(key), "k%zu", i);
        T_ST_ERR(corefix_run(&f, &param(&f, run, key, "v")->op), OK, &f.err);
        seq_stats(f.core->seq, &stats);
        drain = stats.drain;
        arm(ways[i]);
        begun = clock_mono_ms();
        pid = strike(&server);
        (void)seq_drain(f.core->seq, &f.err); /* done, or to be done again */
        is_over(pid, begun);
        T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
        seq_stats(f.core->seq, &stats);
        T_OK(stats.drain > drain);
        T_OK(stats.mark == stats.last_seq || stats.log_bytes == 0);
        T_OK(has(&f, run, key, "v"));
    }
    corefix_reopen(&f);
    T_OK(has(&f, run, "k0", "v"));
    T_OK(has(&f, run, "k1", "v"));
    corefix_close(&f);
}
