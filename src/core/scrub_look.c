/* core/scrub_look.c - one step at a pack, an object or a listing. See scrub_int.h. */
#include "core/scrub_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/blob/recipe.h"
#include "store/sql/sql.h"
#include <stdio.h>

static struct str key_of(const struct digest *d)
{
    return str_of(d->b, sizeof(d->b));
}

static void drop_reader(struct scrubber *s)
{
    blob_reader_close(s->reader);
    s->reader = NULL;
    sha256_free(s->sha);
    s->sha = NULL;
}

void scrub_look_reset(struct scrubber *s)
{
    uint64_t id;
    void *bad;

    drop_reader(s);
    blob_pack_scan_end(s->scan);
    s->scan = NULL;
    mem_free(s->bad_now);
    s->bad_now = NULL;
    for (size_t at = 0; int_map_next(&s->bad, &at, &id, &bad);) {
        mem_free(bad);
    }
    int_map_release(&s->bad);
    s->bad = (struct int_map)INT_MAP_INIT(SCRUB_BAD_PACKS_MAX);
    s->bad_is_full = s->begun = s->listing_packs = false;
    s->pack = 0;
    s->shard = 0;
    s->passed = s->files_n = 0;
}

/* The bytes are wrong or gone, or the disk does not give them; anything else is no finding. */
static bool is_damage(enum status st)
{
    return st == ST_CORRUPT || st == ST_IO || st == ST_NOT_IMPLEMENTED;
}

/* ---- packs -------------------------------------------------------------------------------------------------------------------- */

static enum status need_bad(struct scrubber *s, struct err *err)
{
    if (!s->bad_now) {
        s->bad_now = mem_zalloc(1, sizeof(*s->bad_now));
    }
    if (!s->bad_now) {
        return err_nomem(err);
    }
    s->bad_now->id = s->pack;
    return OK;
}

static void report_pack(struct scrubber *s, const char *problem)
{
    struct scrub_finding f = { .kind = SCRUB_PACK, .bytes = s->pack_bytes };

    blob_pack_place(s->pack, f.place);
    snprintf(f.problem, sizeof(f.problem), "%s", problem);
    scrub_report(s, &f);
}

/* The pack in hand is done with: what is bad of it is kept for its objects. */
static enum status pack_done(struct scrubber *s, struct err *err)
{
    bool is_bad = s->bad_now != NULL;

    blob_pack_scan_end(s->scan);
    s->scan = NULL;
    if (s->bad_now && s->bad.n >= SCRUB_BAD_PACKS_MAX) {
        s->bad_is_full = true;
        mem_free(s->bad_now);
    } else if (s->bad_now && int_map_put(&s->bad, s->pack, s->bad_now)) {
        return err_nomem(err); /* bad_now goes with the round */
    }
    s->bad_now = NULL;
    return is_bad == (s->pack_state == PACK_DAMAGED) ? OK : scrub_op_judge(s, err);
}

/* Bad as a whole, unless it has gone meanwhile. */
static enum status pack_is_bad(struct scrubber *s, const struct err *why, struct err *err)
{
    struct q_packfile_get_row row;
    enum status st;

    arena_reset(s->scratch);
    st = q_packfile_get(s->conn, s->scratch, (int64_t)s->pack, &row, err);
    if (st == ST_NOT_FOUND || (!st && row.state != s->pack_state)) {
        return OK;
    }
    st = st ? st : need_bad(s, err);
    if (st) {
        return st;
    }
    s->bad_now->all = true;
    report_pack(s, why->message);
    return pack_done(s, err);
}

static enum status next_pack(struct scrubber *s, struct err *err)
{
    struct q_packfile_all_row row = { 0 };
    struct sql_stmt *q = NULL;
    struct err why = ERR_INIT;
    enum status st = q_packfile_all_open(s->conn, &q, (int64_t)s->pack, 1, err);

    st = st ? st : q_packfile_all_next(q, &row, err);
    sql_close(q);
    if (st) {
        return st;
    }
    s->pack = (uint64_t)row.id;
    s->pack_bytes = (uint64_t)row.bytes;
    s->pack_state = (unsigned)row.state;
    if (s->pack_state != PACK_LIVE && s->pack_state != PACK_DAMAGED) {
        return OK;
    }
    lock_take(&s->lock);
    s->stats.packs++;
    lock_give(&s->lock);
    st = blob_pack_scan_begin(s->core->blobs, s->pack, s->pack_bytes, &s->scan, &why);
    if (st && is_damage(st)) {
        return pack_is_bad(s, &why, err);
    }
    if (st) *err = why;
    return st;
}

/* All chunks are looked at. */
static enum status end_of_pack(struct scrubber *s, struct err *err)
{
    const struct packfile *p = blob_pack_scan_foot(s->scan);
    char problem[SCRUB_PROBLEM_MAX];
    uint32_t n = 0;

    if (s->bad_now) {
        for (uint32_t i = 0; i < p->n; i++) {
            n += scrub_is_bad(s->bad_now, i);
        }
        snprintf(problem, sizeof(problem), "%u of %u chunks are damaged", n, p->n);
        report_pack(s, problem);
    }
    return pack_done(s, err);
}

/* The disk gives nothing from here on. */
static enum status rest_is_bad(struct scrubber *s, uint32_t from, struct err *err)
{
    const struct packfile *p = blob_pack_scan_foot(s->scan);
    enum status st = need_bad(s, err);

    for (uint32_t i = from; !st && i < p->n; i++) {
        s->bad_now->chunks[i / 8] |= (unsigned char)(1u << (i % 8));
    }
    return st ? st : end_of_pack(s, err);
}

enum status scrub_step_packs(struct scrubber *s, struct err *err)
{
    size_t done = 0, stored;
    uint32_t chunk;

    if (!s->scan) {
        return next_pack(s, err);
    }
    while (done < SCRUB_STEP_BYTES) {
        struct err why = ERR_INIT;
        enum status st = blob_pack_scan_next(s->scan, &chunk, &stored, &why);

        if (st == ST_END) {
            return end_of_pack(s, err);
        }
        done += stored;
        scrub_read(s, stored);
        lock_take(&s->lock);
        s->stats.chunks++;
        lock_give(&s->lock);
        if (st == ST_IO) {
            return rest_is_bad(s, chunk, err);
        }
        if (st == ST_CORRUPT) {
            st = need_bad(s, err);
            if (st) {
                return st;
            }
            s->bad_now->chunks[chunk / 8] |= (unsigned char)(1u << (chunk % 8));
        } else if (st) {
            *err = why;
            return st;
        }
    }
    return OK;
}

/* ---- objects ------------------------------------------------------------------------------------------------------------------- */

static struct str copy(struct arena *a, struct str s)
{
    return s.p ? arena_str(a, s) : s;
}

/* ST_END: there is no other. */
static enum status next_object(struct scrubber *s, struct err *err)
{
    struct str after = s->begun ? key_of(&s->last) : S("");
    struct scrub_object *o = &s->object;
    struct q_object_scrub_row row = { 0 };
    struct sql_stmt *q = NULL;
    enum status st;

    arena_reset(s->scratch);
    st = q_object_scrub_open(s->conn, &q, after, 1, err);
    st = st ? st : q_object_scrub_next(q, &row, err);
    if (!st && row.sha256.n != sizeof(o->sha256.b)) {
        st = err_set(err, ST_CORRUPT, "an object has a digest of the wrong length");
    }
    if (!st) {
        *o = (struct scrub_object){ .gen = row.gen,
                                    .size = (uint64_t)row.size,
                                    .state = (unsigned)row.state,
                                    .stage = (unsigned)row.stage,
                                    .recipe = copy(s->scratch, row.recipe),
                                    .body = copy(s->scratch, row.body) };
        memcpy(o->sha256.b, row.sha256.p, sizeof(o->sha256.b));
        if ((row.recipe.p && !o->recipe.p) || (row.body.p && !o->body.p)) st = err_nomem(err);
    }
    sql_close(q);
    return st;
}

/* The row still says what it said: what was read since belongs to it. */
static enum status has_changed(struct scrubber *s, bool *changed, struct err *err)
{
    const struct scrub_object *o = &s->object;
    struct q_object_state_row row;
    enum status st = q_object_state(s->conn, s->scratch, key_of(&o->sha256), &row, err);

    *changed = st == ST_NOT_FOUND || (!st && (row.gen != o->gen || row.state == OBJECT_DELETING ||
                                              (row.recipe.p != NULL) != (o->recipe.p != NULL) ||
                                              !str_eq(row.recipe, o->recipe)));
    return st == ST_NOT_FOUND ? OK : st;
}

static void pass(struct scrubber *s)
{
    drop_reader(s);
    s->last = s->object.sha256;
    s->begun = true;
    lock_take(&s->lock);
    s->stats.objects++;
    lock_give(&s->lock);
}

static void place_of(const struct scrub_object *o, char out[SCRUB_PLACE_MAX])
{
    char hex[65];

    digest_hex(&o->sha256, hex);
    if (!o->recipe.p) {
        snprintf(out, SCRUB_PLACE_MAX, "database");
    } else if (!blob_recipe_is_whole(o->recipe)) {
        snprintf(out, SCRUB_PLACE_MAX, "packs");
    } else {
        snprintf(out, SCRUB_PLACE_MAX, "objects/%.2s/%s-%lld", hex, hex, (long long)o->gen);
    }
}

/* Something is wrong with the object in hand. */
static enum status object_is_bad(struct scrubber *s, enum status what, const char *problem,
                                 struct err *err)
{
    struct scrub_finding f = { .kind = SCRUB_OBJECT,
                               .sha256 = s->object.sha256,
                               .bytes = s->object.size };
    bool changed;
    enum status st = has_changed(s, &changed, err);

    if (st || changed) {
        drop_reader(s); /* it is looked at again, if it is there */
        return st;
    }
    place_of(&s->object, f.place);
    snprintf(f.problem, sizeof(f.problem), "%s", problem);
    scrub_report(s, &f);
    pass(s);
    /* A disk that gives an error may do better later, and a newer server may know the recipe. */
    return what == ST_CORRUPT && s->object.stage != STAGE_DAMAGED ? scrub_op_mark(s, err) : OK;
}

static enum status object_is_good(struct scrubber *s, struct err *err)
{
    pass(s);
    if (s->object.stage != STAGE_DAMAGED) {
        return OK;
    }
    lock_take(&s->lock);
    s->stats.healed++;
    lock_give(&s->lock);
    return scrub_op_heal(s, err);
}

static enum status check_body(struct scrubber *s, struct err *err)
{
    const struct scrub_object *o = &s->object;
    struct digest d;

    scrub_read(s, o->body.n);
    if (o->body.n != o->size) {
        return object_is_bad(s, ST_CORRUPT, "its row has the wrong number of bytes", err);
    }
    if (!sha256_of(o->body.p ? o->body.p : "", o->body.n, &d)) {
        return err_nomem(err);
    }
    return digest_eq(&d, &o->sha256)
               ? object_is_good(s, err)
               : object_is_bad(s, ST_CORRUPT, "its bytes in the database are wrong", err);
}

struct bad_look {
    const struct scrubber *s;
    bool bad;
};

static void look_at_run(void *ctx, const struct recipe *r, const struct recipe_run *run,
                        bool is_own)
{
    struct bad_look *l = ctx;
    const struct scrub_bad *b = int_map_get(&l->s->bad, r->packs[run->pack].id);

    (void)is_own;
    for (uint32_t c = 0; b && !l->bad && c < run->chunks; c++) {
        l->bad = b->all || run->first + c >= PACKFILE_CHUNKS_MAX || scrub_is_bad(b, run->first + c);
    }
}

/* Does the recipe name a chunk that was found damaged? */
static enum status names_bad(struct scrubber *s, bool *bad, struct err *err)
{
    struct bad_look l = { .s = s };
    struct recipe r;
    enum status st = recipe_parse(s->scratch, s->object.recipe, s->object.size, &r, err);

    for (size_t i = 0; !st && !l.bad && i < r.extents_n; i++) {
        recipe_each_run(&r, &r.extents[i], look_at_run, &l);
    }
    *bad = l.bad;
    return st;
}

static enum status check_packed(struct scrubber *s, struct err *err)
{
    struct blob_object o = { s->object.sha256, s->object.gen, s->object.size, s->object.recipe };
    struct err why = ERR_INIT;
    bool bad = false;
    enum status st = blob_object_check(s->core->blobs, &o, &why);

    st = st ? st : names_bad(s, &bad, &why);
    if (st && !is_damage(st)) {
        *err = why;
        return st;
    }
    if (st) {
        return object_is_bad(s, st, why.message, err);
    }
    return bad ? object_is_bad(s, ST_CORRUPT, "it names chunks that are damaged", err)
               : object_is_good(s, err);
}

static enum status begin_reading(struct scrubber *s, struct err *err)
{
    struct blob_object o = { s->object.sha256, s->object.gen, s->object.size, s->object.recipe };
    struct err why = ERR_INIT;
    enum status st;

    s->sha = sha256_new();
    if (!s->sha) {
        return err_nomem(err);
    }
    s->left = o.size;
    st = blob_object_open(s->core->blobs, &o, 0, o.size, &s->reader, &why);
    if (st && is_damage(st)) {
        return object_is_bad(s, st, why.message, err);
    }
    if (st) *err = why;
    return st;
}

/* A step of reading the object in hand. */
static enum status read_on(struct scrubber *s, struct err *err)
{
    struct err why = ERR_INIT;
    struct digest d;
    enum status st = OK;

    for (uint64_t done = 0; !st && s->left && done < SCRUB_STEP_BYTES;) {
        size_t got = 0;

        st = blob_reader_next(s->reader, s->window, SCRUB_WINDOW, &got, &why);
        if (!st && !got) {
            st = err_set(&why, ST_CORRUPT, "its bytes end early");
        }
        if (!st) sha256_update(s->sha, s->window, got);
        s->left -= got;
        done += got;
        scrub_read(s, got);
    }
    if (st && is_damage(st)) {
        return object_is_bad(s, st, why.message, err);
    }
    if (st) {
        *err = why;
        return st;
    }
    if (s->left) {
        return OK;
    }
    d = sha256_end(s->sha);
    return digest_eq(&d, &s->object.sha256)
               ? object_is_good(s, err)
               : object_is_bad(s, ST_CORRUPT, "its bytes are not those of its SHA-256", err);
}

enum status scrub_step_objects(struct scrubber *s, struct err *err)
{
    bool is_packed;
    enum status st;

    if (s->sha) {
        return read_on(s, err);
    }
    for (unsigned rows = 0; rows < SCRUB_STEP_ROWS; rows++) {
        st = next_object(s, err);
        if (st) {
            return st;
        }
        if (s->object.state == OBJECT_DELETING) {
            s->last = s->object.sha256;
            s->begun = true;
            continue;
        }
        is_packed = s->object.recipe.p && !blob_recipe_is_whole(s->object.recipe);
        if (s->object.recipe.p && (!is_packed || s->opt.deep || s->bad_is_full)) {
            return begin_reading(s, err);
        }
        st = is_packed ? check_packed(s, err) : check_body(s, err);
        if (st || s->submitted) {
            return st;
        }
    }
    return OK;
}

/* ---- files that nothing knows -------------------------------------------------------------------------------------------------- */

struct looking {
    struct scrubber *s;
    size_t seen; /* of the shard */
};

/* A file of the shard: was it had before? Ends the listing when the batch is full. */
static enum status count_file(struct looking *l, bool *skip)
{
    struct scrubber *s = l->s;

    *skip = l->seen++ < s->passed;
    if (*skip) {
        return OK;
    }
    if (s->files_n == SCRUB_BATCH) {
        l->seen--;
        return ST_END;
    }
    lock_take(&s->lock);
    s->stats.files++;
    *skip = s->stopping;
    lock_give(&s->lock);
    return *skip ? ST_END : OK;
}

static void unknown(struct scrubber *s, const struct scrub_file *f, const char *place)
{
    int64_t age = clock_wall_ms() - f->e.mtime_ms;
    int64_t least = s->opt.has_age ? s->opt.age_ms : (int64_t)SCRUB_AGE_MS;
    bool sweep = s->opt.sweep && age >= least;
    struct scrub_finding found = { .kind = SCRUB_FILE,
                                   .bytes = f->e.size,
                                   .mtime_ms = f->e.mtime_ms };

    snprintf(found.place, sizeof(found.place), "%s", place);
    snprintf(found.problem, sizeof(found.problem), "nothing knows this file%s",
             sweep          ? "; it goes"
             : s->opt.sweep ? "; it is too young to be swept"
                            : "");
    scrub_report(s, &found);
    if (sweep) {
        s->files[s->files_n++] = *f;
    }
}

static enum status look_at_file(void *ctx, const struct blob_entry *e, struct err *err)
{
    struct looking *l = ctx;
    struct scrub_file f = { .e = *e };
    unsigned char whole[BLOB_RECIPE_WHOLE_BYTES];
    struct q_place_is_known_row known;
    char name[SCRUB_PLACE_MAX], hex[65];
    bool skip;
    enum status st = count_file(l, &skip);

    if (st || skip) {
        return st;
    }
    blob_recipe_whole(whole);
    arena_reset(l->s->scratch);
    st = q_place_is_known(l->s->conn, l->s->scratch, key_of(&e->sha256), e->gen,
                          str_of(whole, sizeof(whole)), &known, err);
    if (!st && !known.n) {
        digest_hex(&e->sha256, hex);
        snprintf(name, sizeof(name), "objects/%.2s/%s-%lld", hex, hex, (long long)e->gen);
        unknown(l->s, &f, name);
    }
    return st;
}

static enum status look_at_pack(void *ctx, const struct blob_pack_entry *e, struct err *err)
{
    struct looking *l = ctx;
    struct scrub_file f = { .is_pack = true,
                            .pack = e->id,
                            .e = { .size = e->size, .mtime_ms = e->mtime_ms } };
    struct q_packfile_get_row row;
    char name[BLOB_PACK_PLACE_MAX];
    bool skip;
    enum status st = count_file(l, &skip);

    if (st || skip) {
        return st;
    }
    arena_reset(l->s->scratch);
    st = q_packfile_get(l->s->conn, l->s->scratch, (int64_t)e->id, &row, err);
    if (st == ST_NOT_FOUND) {
        blob_pack_place(e->id, name);
        unknown(l->s, &f, name);
        st = OK;
    }
    return st;
}

void scrub_swept(struct scrubber *s)
{
    lock_take(&s->lock);
    for (size_t i = 0; i < s->files_n; i++) {
        s->stats.swept += s->files[i].taken;
        s->stats.swept_bytes += s->files[i].taken ? s->files[i].e.size : 0;
    }
    lock_give(&s->lock);
    s->files_n = 0;
}

/* A shard of files, or as many of it as make a batch. What is listed is deleted later than this round, so that the rest of a shard is
 * found behind what was passed; what comes and goes meanwhile is seen, or not, or by the next round. */
enum status scrub_step_files(struct scrubber *s, struct err *err)
{
    struct looking l = { .s = s };
    size_t left = 0;
    enum status st;

    if (s->shard == BLOB_SHARDS && s->listing_packs) {
        st = blob_tidy(s->core->blobs, &left, err);
        lock_take(&s->lock);
        s->stats.unfinished = left;
        lock_give(&s->lock);
        return st ? st : ST_END;
    }
    if (s->shard == BLOB_SHARDS) {
        s->listing_packs = true;
        s->shard = 0;
    }
    st = s->listing_packs ? blob_pack_list(s->core->blobs, s->shard, look_at_pack, &l, err)
                          : blob_list(s->core->blobs, s->shard, look_at_file, &l, err);
    s->passed = l.seen;
    if (st == OK) {
        s->shard++;
        s->passed = 0;
    }
    if (st && st != ST_END) {
        return st;
    }
    return s->files_n ? scrub_op_sweep(s, err) : OK;
}
