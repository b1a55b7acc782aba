/* Random histories over core and store on a simulated disk, clock and scheduler: one seed gives one history, exactly.
 * A history is several lives of the store. In each, operations are submitted while actors run in a drawn order, the clock
 * moves (also backwards), writes fail, and the power goes at a drawn operation of the disk, also while the store is being opened. A
 * plain reference must agree with every answer, with every read, and with the store after each loss: it holds everything
 * acknowledged, and of what was in flight a run of whole operations in their order. Some lives end with the process alone:
 * what it wrote is there, and may still be lost later. Every fourth seed uploads, deletes and reads artifacts too; every fifth records
 * links, stores them beside the store, and asks what lies behind what; every third of the others writes ML Metadata, records and takes out steps,
 * and takes rows of a source over, again and again.
 * CAIRN_SIM_SEEDS = how many seeds (1000), CAIRN_SIM_FIRST = the first (1), CAIRN_SIM_BLOBS = every which seed has
 * artifacts (4), CAIRN_SIM_LINKS = every which has links (5), CAIRN_SIM_TYPED = every which has ML Metadata (3),
 * CAIRN_SIM_IMPORTS = these import too. */
#include "artmodel.h"
#include "linmodel.h"
#include "runmodel.h"
#include "simdisk.h"
#include "simfs.h"
#include "simvfs.h"
#include "tap.h"
#include "typmodel.h"

#include "base/clock.h"
#include "base/exec.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "core/collect.h"
#include "core/repack.h"
#include "store/blob/blob.h"

#include <stdlib.h>

enum { FLIGHT_MAX = 256, UPLOADS_MAX = 6, STEPS_MAX = 100000 };

#define BLOB_DIR   SIMFS_ROOT "/data/blobs"
#define LINKS_FILE SIMFS_ROOT "/lineage.links"

struct flight {
    struct model_op *op; /* or */
    struct art_op *art;  /* or */
    struct lin_op *link; /* or */
    struct typ_op *typed;
    struct write_op *w;
    bool ghost; /* answered "unavailable": it may still turn up after a power loss */
};

struct sim {
    uint64_t seed, state;
    int64_t wall_ms, mono_ns;
    struct model *m;
    struct arts arts;
    struct lins lins;
    struct typs typs;
    bool blobs; /* whether this history has artifacts, */
    bool links; /* or links, */
    bool typed; /* or ML Metadata */
    struct core *core;
    struct arena *arena; /* of the operations of this life */
    struct flight flight[FLIGHT_MAX];
    size_t flight_n, in_flight;
    struct art_op *uploads[UPLOADS_MAX];
    size_t uploads_n;
};

static struct sim sim;
static uint64_t sim_blobs, sim_links, sim_typed;

static uint64_t draw(void *ctx)
{
    uint64_t z = (sim.state += 0x9E3779B97F4A7C15u);

    (void)ctx;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
    return draw(NULL) % n;
}

static int64_t sim_wall(void *ctx)
{
    (void)ctx;
    return sim.wall_ms;
}

static int64_t sim_mono(void *ctx)
{
    (void)ctx;
    return sim.mono_ns;
}

/* ---- operations --------------------------------------------------------------------------------------------------------------- */

static void flight_remove(size_t i)
{
    memmove(&sim.flight[i], &sim.flight[i + 1], (sim.flight_n - i - 1) * sizeof(sim.flight[0]));
    sim.flight_n--;
}

/* What an earlier failed commit left on the disk is written over by a later one that worked. */
static void ghosts_gone(size_t before)
{
    for (size_t i = 0; i < before;) {
        if (sim.flight[i].ghost) {
            flight_remove(i);
            before--;
        } else {
            i++;
        }
    }
}

static enum status apply(struct model *m, struct arts *arts, struct lins *lins, struct typs *typs,
                         const struct flight *f)
{
    if (f->link) return lin_apply(lins, f->link);
    if (f->typed) return typ_apply(typs, f->typed);
    return f->op ? model_apply(m, f->op) : art_apply(arts, f->art);
}

static const char *name_of(const struct flight *f)
{
    return f->op ? model_op_name(f->op) : f->w->kind->name;
}

static void answered(struct write_op *w)
{
    size_t i = 0;
    enum status want;

    while (i < sim.flight_n && sim.flight[i].w != w) {
        i++;
    }
    T_OK(i < sim.flight_n);
    sim.in_flight--;
    if (w->st && sim.flight[i].art) art_release(sim.flight[i].art);
    if (w->st == ST_UNAVAILABLE || w->st == ST_NOMEM) {
        sim.flight[i].ghost = true;
        return;
    }
    want = apply(sim.m, &sim.arts, &sim.lins, &sim.typs, &sim.flight[i]);
    if (w->st != want) {
        T_FAIL("seed %llu: %s answered %d, not %d: %s", (unsigned long long)sim.seed,
               name_of(&sim.flight[i]), (int)w->st, (int)want, w->err.message);
    }
    if (w->st == OK && sim.flight[i].typed) typ_check_answer(sim.flight[i].typed, sim.seed);
    flight_remove(i);
    if (w->st == OK) ghosts_gone(i);
}

static void submit_write(struct flight f, struct write_op *w)
{
    f.w = w;
    w->done = answered;
    sim.flight[sim.flight_n] = f;
    T_ST(seq_submit(sim.core->seq, w), OK);
    sim.flight_n++;
    sim.in_flight++;
}

static void submit_one(struct model_op *op, struct art_op *art)
{
    submit_write((struct flight){ .op = op, .art = art },
                 op ? model_op_write(op, sim.core, sim.arena) : art_op_write(art));
}

static void submit(size_t n)
{
    for (size_t i = 0; i < n && sim.flight_n < FLIGHT_MAX / 2; i++) {
        submit_one(model_draw(sim.m), NULL);
    }
}

static void submit_links(size_t n)
{
    for (size_t i = 0; sim.links && i < n && sim.flight_n < FLIGHT_MAX / 2; i++) {
        struct lin_op *op = lin_draw(draw, sim.core, sim.arena);

        submit_write((struct flight){ .link = op }, lin_op_write(op));
    }
}

static void submit_typed(size_t n)
{
    for (size_t i = 0; sim.typed && i < n && sim.flight_n < FLIGHT_MAX / 2; i++) {
        struct typ_op *op = typ_draw(draw, &sim.typs, sim.core, sim.arena);

        submit_write((struct flight){ .typed = op }, typ_op_write(op));
    }
}

/* ---- uploads --------------------------------------------------------------------------------------------------------------------- */

static void upload_begin(void)
{
    if (sim.blobs && sim.uploads_n < UPLOADS_MAX)
        sim.uploads[sim.uploads_n++] = art_draw(draw, sim.core, sim.arena);
}

/* Every upload goes on; those that are whole become operations. */
static void uploads_step(void)
{
    for (size_t i = 0; i < sim.uploads_n;) {
        struct art_op *u = sim.uploads[i];

        if (u->state == ART_FAILED && !simdisk_is_off() && !simdisk_has_faults())
            T_FAIL("seed %llu: an upload failed: %s", (unsigned long long)sim.seed, u->err.message);
        if (u->state == ART_FAILED) art_release(u);
        if (u->state == ART_READY && sim.flight_n >= FLIGHT_MAX / 2) return;
        if (u->state == ART_READY) submit_one(NULL, u);
        art_upload_step(u);
        if (u->state == ART_READY || u->state == ART_FAILED) {
            sim.uploads[i] = sim.uploads[--sim.uploads_n];
        } else {
            i++;
        }
    }
}

static void uploads_drop(void)
{
    while (sim.uploads_n > 0) {
        art_upload_drop(sim.uploads[--sim.uploads_n]);
    }
}

static void pass_time(void)
{
    int64_t ms = below(20) == 0 ? 20000 : (int64_t)below(2000);

    sim.mono_ns += ms * 1000000;
    sim.wall_ms += below(10) == 0 ? -(int64_t)below(100000) : ms;
}

static void settle(void)
{
    for (int i = 0; i < STEPS_MAX && (sim.in_flight > 0 || sim.uploads_n > 0); i++) {
        uploads_step();
        if (!exec_sim_step()) pass_time();
    }
    T_INT(sim.in_flight + sim.uploads_n, 0);
}

/* ---- opening, and what is there then ---------------------------------------------------------------------------------------------- */

static enum status try_open(struct err *err)
{
    struct core_options opt = { .sql = { .location = "sim", .vfs = "sim", .no_lock = true },
                                .artifact_root = S("/art"),
                                .readers = 1,
                                .drain_bytes = 3000 + below(20000),
                                .head_age_ms = 1 + (int64_t)below(30000),
                                .head_bytes = 1 + below(60000),
                                .wal_bytes = 20000 + (int64_t)below(200000),
                                .purge_rows = (int64_t)below(4),
                                .compact = { .chunk_points = 1 + below(30),
                                             .packs = 1 + below(4) } };

    if (sim.links)
        opt.graph = (struct graph_options){ .file = LINKS_FILE, .save_links = 1 + below(30) };
    opt.sql.writer_cache_bytes = 1 << 20;
    opt.sql.reader_cache_bytes = 1 << 20;
    return core_open(&sim.core, &opt, err);
}

static void disk_restart(bool power_lost)
{
    simdisk_power_on();
    simvfs_restart(power_lost);
    simfs_restart(power_lost);
}

/* The process ends as it is, with the power or without. */
static void crash(bool power_lost)
{
    struct blob_store *blobs = sim.core ? sim.core->blobs : NULL;

    simdisk_power_off();
    exec_sim_crash();
    uploads_drop();
    core_abandon(sim.core);
    blob_close(blobs);
    sim.core = NULL;
    disk_restart(power_lost);
}

/* The blobs, what deletes them, and what packs them. */
static enum status try_open_blobs(struct err *err)
{
    struct collect_options opt = { .every_ms = 1 + (int64_t)below(5000),
                                   .walk_ms = 1 + (int64_t)below(5000),
                                   .grace_ms = 1 + (int64_t)below(30000) };
    struct repack_options packs = { .every_ms = 1 + (int64_t)below(5000),
                                    .min_bytes = 1 + below(200000),
                                    .pack_bytes = 20000 + below(200000),
                                    .bytes_per_s = UINT64_C(1) << 30,
                                    .patient_looks = 1 };
    enum status st = blob_open(&sim.core->blobs, BLOB_DIR, err);

    st = st ? st : collect_start(sim.core, &opt, err);
    return st ? st : repack_start(sim.core, &packs, err);
}

static enum status try_open_all(struct err *err)
{
    enum status st = try_open(err);

    return st || !sim.blobs ? st : try_open_blobs(err);
}

/* The power goes, or the process dies, meanwhile; again and again. */
static void open_store(void)
{
    struct err err = ERR_INIT;
    enum status st;

    if (below(4) == 0) simdisk_power_off_after((int64_t)below(120));
    st = try_open_all(&err);
    while (st && simdisk_is_off()) {
        crash(below(3) != 0);
        if (below(2)) simdisk_power_off_after((int64_t)below(120));
        st = try_open_all(&err);
    }
    if (st)
        T_FAIL("seed %llu: the store does not open: %s", (unsigned long long)sim.seed, err.message);
    simdisk_power_off_after(-1);
    if (simdisk_is_off()) { /* it went with the last operation of opening */
        crash(below(3) != 0);
        T_ST_ERR(try_open_all(&err), OK, &err);
    }
}

/* The first opening of the blobs of an empty store. */
static void open_blobs(void)
{
    struct err err = ERR_INIT;
    enum status st;

    if (!sim.blobs) return;
    if (below(2)) simdisk_power_off_after((int64_t)below(24));
    st = try_open_blobs(&err);
    simdisk_power_off_after(-1);
    if (st || simdisk_is_off()) {
        T_OK(simdisk_is_off());
        crash(below(2));
        open_store();
    }
}

/* Whether the store has the reference's state plus operations [from, to) of those without an answer. */
static bool agrees_with(size_t from, size_t to)
{
    struct model *guess = model_new(draw, NULL);
    struct arts arts = sim.arts;
    struct lins lins = sim.lins;
    struct typs typs = sim.typs;
    bool same;

    model_copy(guess, sim.m);
    for (size_t i = from; i < to; i++) {
        (void)apply(guess, &arts, &lins, &typs, &sim.flight[i]);
    }
    same = model_agrees(guess, sim.core) && (!sim.blobs || arts_agree(&arts, sim.core)) &&
           (!sim.links || lins_agree(&lins, sim.core)) &&
           (!sim.typed || typs_agree(&typs, sim.core));
    if (same) model_copy(sim.m, guess);
    if (same) sim.arts = arts;
    if (same) sim.lins = lins;
    if (same) sim.typs = typs;
    model_free(guess);
    return same;
}

static void ask(size_t n)
{
    if (sim.links) lins_ask(draw, sim.core, n, sim.seed);
}

static void check(void)
{
    model_check(sim.m, sim.core);
    if (sim.blobs) arts_check(&sim.arts, sim.core);
    if (sim.links) T_OK(lins_agree(&sim.lins, sim.core));
    if (sim.typed) T_OK(typs_agree(&sim.typs, sim.core));
    ask(6);
}

static void recover(void)
{
    bool found = agrees_with(0, 0);

    for (size_t from = 0; from < sim.flight_n && !found; from++) {
        for (size_t to = from + 1; to <= sim.flight_n && !found; to++) {
            found = agrees_with(from, to);
        }
    }
    if (!found) {
        t_note("seed %llu: no history fits; without an answer: %zu", (unsigned long long)sim.seed,
               sim.flight_n);
        check();
    }
    model_check_rows(sim.core);
    if (sim.blobs) arts_check_objects(&sim.arts, sim.core);
    if (sim.blobs) arts_check_collected(&sim.arts, sim.core);
    if (sim.blobs && below(2)) arts_check_packed(&sim.arts, sim.core);
    ask(12);
    sim.flight_n = sim.in_flight = 0;
}

/* ---- a life --------------------------------------------------------------------------------------------------------------------------- */

static void live(void)
{
    size_t steps = 20 + below(150);

    if (below(6) != 0) simdisk_power_off_after((int64_t)(20 + below(800)));
    if (below(4) == 0) simdisk_faults(20 + (unsigned)below(200));
    for (size_t i = 0; i < steps && !simdisk_is_off(); i++) {
        switch (below(8)) {
        case 0:
        case 1:
            submit(1 + below(5));
            submit_links(4);
            submit_typed(4);
            break;
        case 2:
            upload_begin();
            pass_time();
            break;
        case 3:
            if (sim.in_flight == 0 && below(4) == 0) check();
            if (below(3) == 0) compact_all(sim.core->compact);
            if (sim.links) ask(2);
            if (sim.blobs && below(2) == 0) (void)collect_ask(sim.core->collector);
            if (sim.blobs && below(4) == 0)
                (void)repack_ask(sim.core->repacker, (unsigned)below(8));
            break;
        default: (void)exec_sim_step(); break;
        }
        uploads_step();
    }
    if (!simdisk_is_off() && below(2)) {
        settle();
        if (!simdisk_is_off()) check();
    }
}

/* Returns whether the power was lost. */
static bool end_life(void)
{
    bool clean = !simdisk_is_off() && sim.in_flight == 0 && sim.uploads_n == 0 && below(3) == 0;
    bool power_lost = below(4) != 0;
    struct blob_store *blobs = sim.core->blobs;

    if (!clean) {
        crash(power_lost);
        return power_lost;
    }
    simdisk_faults(0);
    core_close(sim.core);
    sim.core = NULL;
    blob_close(blobs);
    if (!simdisk_is_off()) ghosts_gone(sim.flight_n); /* the last drain has written over them */
    disk_restart(power_lost);
    return power_lost;
}

/* What only the system has is on the disk after a commit that was acknowledged. */
static void pin(void)
{
    enum status st;

    do {
        struct write_op *w;

        submit_one(model_draw(sim.m), NULL);
        w = sim.flight[sim.flight_n - 1].w;
        settle();
        st = w->st;
    } while (st != OK);
}

/* After the process alone has ended: links are read, and perhaps stored, that the disk may not have. The power goes before it has. */
static bool lose_more(bool power_lost)
{
    size_t steps;

    if (power_lost || !sim.links || below(2)) return power_lost;
    ask(4);
    steps = below(30);
    for (size_t i = 0; i < steps; i++) {
        (void)exec_sim_step();
    }
    crash(true);
    open_store();
    return true;
}

/* Returns a number that depends on all that happened. */
static uint64_t history(uint64_t seed)
{
    struct clock_ops clock = { .wall_ms = sim_wall, .mono_ns = sim_mono };
    struct buf text = BUF_INIT(64 << 20);
    struct err err = ERR_INIT;
    size_t lives = 2 + seed % 3;
    struct blob_store *blobs;
    uint64_t sum;

    memset(&sim, 0, sizeof(sim));
    sim.seed = sim.state = sim.arts.seed = seed;
    sim.blobs = seed % sim_blobs == 0;
    sim.links = seed % sim_links == 0;
    sim.typed = seed % sim_typed == 0 && !sim.links;
    sim.wall_ms = 1700000000000;
    sim.mono_ns = 1000000000;
    hash_seed_set(seed);
    rand_seed(seed);
    clock_replace(&clock);
    simdisk_begin(seed);
    simvfs_begin();
    simfs_begin();
    exec_sim_begin(seed);
    sim.m = model_new(draw, NULL);
    sim.arena = arena_new(64 << 20);
    T_ST_ERR(try_open(&err), OK, &err);
    T_ST_ERR(model_setup(sim.m, sim.core, &err), OK, &err);
    open_blobs();
    for (size_t i = 0; i < lives; i++) {
        bool power_lost;

        live();
        power_lost = end_life();
        open_store();
        power_lost = lose_more(power_lost);
        recover();
        if (!power_lost) pin();
        model_ops_clear(sim.m);
        arena_reset(sim.arena);
    }
    IGNORE_STATUS(
        store_dump(sim.m, sim.core, &text, &err)); /* it agreed with the reference a moment ago */
    sum = crc32c((uint32_t)simdisk_ops(), text.p, text.n);
    blobs = sim.core->blobs;
    core_close(sim.core);
    blob_close(blobs);
    exec_sim_end();
    simfs_end();
    simvfs_end();
    model_free(sim.m);
    arena_free(sim.arena);
    buf_release(&text);
    rand_unseed();
    clock_replace(NULL);
    return sum;
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t n;

    return text && num_parse_u64(str_cstr(text), &n) ? n : otherwise;
}

TEST(one_seed_repeats)
{
    log_setup(LOG_LEVEL_ERROR, false);
    sim_blobs = 4;
    sim_links = 5;
    sim_typed = 3;
    for (uint64_t seed = 7; seed < 12; seed++) {
        uint64_t first = history(seed);

        T_UINT(history(seed), first);
    }
}

TEST_LIMIT(histories, 900)
{
    uint64_t first = from_env("CAIRN_SIM_FIRST", 1), n = from_env("CAIRN_SIM_SEEDS", 1000);

    log_setup(LOG_LEVEL_ERROR, false);
    sim_blobs = MAX_OF(from_env("CAIRN_SIM_BLOBS", 4), 1u);
    sim_links = MAX_OF(from_env("CAIRN_SIM_LINKS", 5), 1u);
    sim_typed = MAX_OF(from_env("CAIRN_SIM_TYPED", 3), 1u);
    for (uint64_t seed = first; seed < first + n; seed++) {
        (void)history(seed);
    }
}
