/* core/scrub.c - the rounds of the scrubber. See scrub.h and scrub_int.h. */
#include "core/scrub_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/sql/sql.h"
#include <stdatomic.h>
#include <stdio.h>

enum { NAP_MS = 20, OP_ARENA_MAX = 1 << 20 };

void scrub_read(struct scrubber *s, uint64_t bytes)
{
    s->paced += bytes;
    lock_take(&s->lock);
    s->stats.bytes += bytes;
    lock_give(&s->lock);
}

void scrub_report(struct scrubber *s, const struct scrub_finding *f)
{
    struct scrub_finding *kept;
    char hex[65];

    lock_take(&s->lock);
    s->stats.damaged += f->kind == SCRUB_OBJECT;
    s->stats.damaged_packs += f->kind == SCRUB_PACK;
    s->stats.unknown += f->kind == SCRUB_FILE;
    s->stats.unknown_bytes += f->kind == SCRUB_FILE ? f->bytes : 0;
    kept = vec_add(&s->findings);
    if (kept) *kept = *f;
    lock_give(&s->lock);
    if (f->kind == SCRUB_OBJECT) {
        digest_hex(&f->sha256, hex);
        LOG_ERROR("store", "object %s in %s is damaged: %s", hex, f->place, f->problem);
    } else if (f->kind == SCRUB_PACK) {
        LOG_ERROR("store", "%s is damaged: %s", f->place, f->problem);
    }
}

/* ---- rounds -------------------------------------------------------------------------------------------------------------------- */

static enum status round_begin(struct scrubber *s, struct err *err)
{
    enum status st = OK;

    if (!s->window) {
        s->window = mem_alloc(SCRUB_WINDOW);
        st = s->window ? OK : err_nomem(err);
    }
    st = st ? st : sql_connect(&s->conn, s->core->db, SQL_READER, err);
    scrub_look_reset(s);
    s->phase = SCRUB_PACKS;
    s->began_ms = clock_mono_ms();
    s->paced = 0;
    return st;
}

static bool is_asked(struct scrubber *s)
{
    bool asked;

    lock_take(&s->lock);
    asked = s->stats.asked > s->stats.done;
    if (asked) {
        s->round = s->stats.asked;
        s->opt = s->want;
        s->stats = (struct scrub_stats){ .asked = s->stats.asked,
                                         .done = s->stats.done,
                                         .running = true,
                                         .began_ms = clock_wall_ms() };
        vec_clear(&s->findings);
    }
    lock_give(&s->lock);
    return asked;
}

static void round_end(struct scrubber *s, const struct err *problem)
{
    scrub_look_reset(s);
    sql_disconnect(s->conn);
    s->conn = NULL;
    mem_free(s->window);
    s->window = NULL;
    s->in_round = false;
    lock_take(&s->lock);
    s->stats.done = MAX_OF(s->stats.done, s->round);
    s->stats.running = false;
    s->stats.ended_ms = clock_wall_ms();
    snprintf(s->stats.problem, sizeof(s->stats.problem), "%s", problem ? problem->message : "");
    for (struct scrub_waiter *w = s->waiters; w; w = w->next) {
        if (w->round <= s->stats.done) exec_event_set(w->event);
    }
    lock_give(&s->lock);
    if (problem) LOG_WARN("store", "looking for damage broke off: %s", problem->message);
}

static enum status step(struct scrubber *s, struct err *err)
{
    static enum status (*const steps[SCRUB_PHASE_N])(struct scrubber * s, struct err * err) = {
        [SCRUB_PACKS] = scrub_step_packs,
        [SCRUB_OBJECTS] = scrub_step_objects,
        [SCRUB_FILES] = scrub_step_files,
    };
    enum status st = steps[s->phase](s, err);

    if (st == ST_END && s->phase + 1 < SCRUB_PHASE_N) {
        s->phase++;
        st = OK;
    }
    return st;
}

static void on_answer(struct scrubber *s)
{
    if (s->phase == SCRUB_FILES) scrub_swept(s);
}

/* How far a round is ahead of its rate. */
static int64_t ahead_ms(struct scrubber *s)
{
    uint64_t rate;

    lock_take(&s->lock);
    rate = s->want.bytes_per_s;
    lock_give(&s->lock);
    return (int64_t)(s->paced / (rate / 1000 + 1)) - (clock_mono_ms() - s->began_ms);
}

static int64_t scrub_step(void *ctx)
{
    struct scrubber *s = ctx;
    struct err err = ERR_INIT;
    enum status st = OK;
    bool stopping;

    lock_take(&s->lock);
    stopping = s->stopping;
    lock_give(&s->lock);
    if (stopping || (s->submitted && !atomic_load_explicit(&s->answered, memory_order_acquire))) {
        return -1;
    }
    if (s->submitted) {
        s->submitted = false;
        if (s->op.st) {
            round_end(s, &s->op.err);
            return 0;
        }
        on_answer(s);
    }
    if (!s->in_round) {
        s->in_round = is_asked(s);
        if (!s->in_round) {
            return -1;
        }
        st = round_begin(s, &err);
    }
    if (!st && ahead_ms(s) > NAP_MS) {
        return ahead_ms(s);
    }
    st = st ? st : step(s, &err);
    if (st) {
        round_end(s, st == ST_END ? NULL : &err);
        return 0;
    }
    return s->submitted ? -1 : 0;
}

/* ---- asking -------------------------------------------------------------------------------------------------------------------- */

uint64_t scrub_ask(struct scrubber *s, const struct scrub_options *opt)
{
    struct scrub_options want = *opt;
    uint64_t n;

    want.bytes_per_s = want.bytes_per_s ? want.bytes_per_s : (uint64_t)SCRUB_RATE;
    lock_take(&s->lock);
    if (s->stats.running && s->stats.asked == s->stats.done + 1 && s->want.deep >= want.deep &&
        !want.sweep) {
        s->want.bytes_per_s = want.bytes_per_s;
        n = s->stats.asked;
    } else {
        s->want = want;
        n = ++s->stats.asked;
    }
    if (!s->stopping && s->actor) exec_actor_wake(s->actor);
    lock_give(&s->lock);
    return n;
}

bool scrub_wait(struct scrubber *s, uint64_t round, int64_t timeout_ms)
{
    struct scrub_waiter w = { .event = exec_event_new(), .round = round };
    bool done;

    if (!w.event) {
        return false;
    }
    lock_take(&s->lock);
    if (round <= s->stats.done || s->stopping) exec_event_set(w.event);
    w.next = s->waiters;
    s->waiters = &w;
    lock_give(&s->lock);
    (void)exec_event_wait(w.event, timeout_ms);
    lock_take(&s->lock);
    for (struct scrub_waiter **at = &s->waiters; *at; at = &(*at)->next) {
        if (*at == &w) {
            *at = w.next;
            break;
        }
    }
    done = round <= s->stats.done;
    lock_give(&s->lock);
    exec_event_free(w.event);
    return done;
}

void scrub_stats(struct scrubber *s, struct scrub_stats *out)
{
    lock_take(&s->lock);
    *out = s->stats;
    lock_give(&s->lock);
}

enum status scrub_findings(struct scrubber *s, struct arena *a, struct scrub_finding **out,
                           size_t *n, struct err *err)
{
    struct scrub_finding *all = ARENA_ARRAY(a, struct scrub_finding, SCRUB_FINDINGS_MAX);

    *out = NULL;
    *n = 0;
    if (!all) {
        return err_nomem(err);
    }
    lock_take(&s->lock);
    *n = s->findings.n;
    if (*n) memcpy(all, s->findings.p, *n * sizeof(*all));
    lock_give(&s->lock);
    *out = all;
    return OK;
}

/* ---- life cycle ---------------------------------------------------------------------------------------------------------------- */

enum status scrub_start(struct core *core, struct err *err)
{
    struct scrubber *s = mem_zalloc(1, sizeof(*s));
    struct exec_actor *actor = NULL;
    enum status st;

    if (!s) {
        return err_nomem(err);
    }
    s->core = core;
    s->findings.max = SCRUB_FINDINGS_MAX;
    s->bad = (struct int_map)INT_MAP_INIT(SCRUB_BAD_PACKS_MAX);
    lock_init(&s->lock, LOCK_RANK_CACHE);
    s->arena = arena_new(OP_ARENA_MAX);
    s->scratch = arena_new(SCRUB_ARENA_MAX);
    st = s->arena && s->scratch ? exec_actor_new(&actor, "scrubber", scrub_step, s, err)
                                : err_nomem(err);
    if (st) {
        scrub_free(s);
        return st;
    }
    lock_take(&s->lock);
    s->actor = actor;
    lock_give(&s->lock);
    core->scrubber = s;
    return OK;
}

void scrub_stop(struct scrubber *s)
{
    if (!s) {
        return;
    }
    lock_take(&s->lock);
    s->stopping = true;
    for (struct scrub_waiter *w = s->waiters; w; w = w->next) {
        exec_event_set(w->event);
    }
    lock_give(&s->lock);
    blob_hurry(s->core->blobs);
    exec_actor_free(s->actor);
    s->actor = NULL;
    sql_disconnect(s->conn);
    s->conn = NULL;
}

void scrub_free(struct scrubber *s)
{
    if (!s) {
        return;
    }
    scrub_look_reset(s);
    int_map_release(&s->bad);
    vec_release(&s->findings);
    sql_disconnect(s->conn);
    arena_free(s->arena);
    arena_free(s->scratch);
    mem_free(s->window);
    lock_release(&s->lock);
    mem_free(s);
}
