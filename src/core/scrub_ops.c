/* core/scrub_ops.c - the scrubber's write operations: each a short transaction. See scrub_int.h. */
#include "core/scrub_int.h"

#include "base/failpoint.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <stdatomic.h>

static void answered(struct write_op *op)
{
    struct scrubber *s = op->user;

    atomic_store_explicit(&s->answered, true, memory_order_release);
    lock_take(&s->lock);
    if (!s->stopping && s->actor) exec_actor_wake(s->actor);
    lock_give(&s->lock);
}

static enum status submit(struct scrubber *s, const struct write_kind *kind, struct err *err)
{
    arena_reset(s->arena);
    write_op_init(&s->op, kind, s->arena);
    s->op.user = s;
    s->op.done = answered;
    atomic_store_explicit(&s->answered, false, memory_order_relaxed);
    if (seq_submit(s->core->seq, &s->op)) {
        *err = s->op.err;
        return s->op.st;
    }
    s->submitted = true;
    return OK;
}

static struct scrubber *of(struct write_op *op)
{
    return CONTAINER_OF(op, struct scrubber, op);
}

static struct str key_of(const struct digest *d)
{
    return str_of(d->b, sizeof(d->b));
}

/* ---- objects ------------------------------------------------------------------------------------------------------------------ */

static enum status mark_validate(struct write_op *op, struct group *g, struct err *err)
{
    const struct scrub_object *o = &of(op)->object;
    int64_t n;

    FAILPOINT("core.scrub.mark");
    return o->recipe.p
               ? q_object_damaged(group_conn(g), key_of(&o->sha256), o->gen, o->recipe, &n, err)
               : q_object_damaged_body(group_conn(g), key_of(&o->sha256), o->gen, &n, err);
}

static const struct write_kind mark_kind = { .name = "scrub.mark",
                                             .validate = mark_validate,
                                             .sql = true };

enum status scrub_op_mark(struct scrubber *s, struct err *err)
{
    return submit(s, &mark_kind, err);
}

static enum status heal_validate(struct write_op *op, struct group *g, struct err *err)
{
    const struct scrub_object *o = &of(op)->object;
    bool is_loose = !o->recipe.p || blob_recipe_is_whole(o->recipe);
    int64_t n;

    FAILPOINT("core.scrub.heal");
    return q_object_sound(group_conn(g), key_of(&o->sha256), o->gen,
                          is_loose ? STAGE_NEW : STAGE_PACKED, &n, err);
}

static const struct write_kind heal_kind = { .name = "scrub.heal",
                                             .validate = heal_validate,
                                             .sql = true };

enum status scrub_op_heal(struct scrubber *s, struct err *err)
{
    return submit(s, &heal_kind, err);
}

/* ---- packs ---------------------------------------------------------------------------------------------------------------------- */

static enum status judge_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct scrubber *s = of(op);
    int64_t n;

    FAILPOINT("core.scrub.judge");
    return q_packfile_judge(group_conn(g), (int64_t)s->pack, (int64_t)s->pack_state,
                            s->pack_state == PACK_LIVE ? PACK_DAMAGED : PACK_LIVE, &n, err);
}

static const struct write_kind judge_kind = { .name = "scrub.judge",
                                              .validate = judge_validate,
                                              .sql = true };

enum status scrub_op_judge(struct scrubber *s, struct err *err)
{
    return submit(s, &judge_kind, err);
}

/* ---- files that nothing knows ------------------------------------------------------------------------------------------------- */

/* Not a generation that was not given out yet, as after the database went back to a backup: it may be somebody's later. */
static enum status sweep_one(struct write_op *op, struct group *g, struct scrub_file *f,
                             int64_t last_gen, struct err *err)
{
    unsigned char whole[BLOB_RECIPE_WHOLE_BYTES];
    struct str key = key_of(&f->e.sha256);
    struct q_place_is_known_row known;
    int64_t n = 0;
    enum status st;

    if (f->e.gen > last_gen) {
        return OK;
    }
    blob_recipe_whole(whole);
    st = q_place_is_known(group_conn(g), op->arena, key, f->e.gen, str_of(whole, sizeof(whole)),
                          &known, err);
    if (st || known.n) {
        return st;
    }
    st = q_retired_add(group_conn(g), key, f->e.gen, (int64_t)f->e.size, group_now_ms(g), &n, err);
    f->taken = n == 1;
    return st;
}

static enum status sweep_pack(struct group *g, struct scrub_file *f, struct err *err)
{
    char place[BLOB_PACK_PLACE_MAX];
    int64_t n = 0;
    enum status st;

    blob_pack_place(f->pack, place);
    st = q_packfile_orphan(group_conn(g), (int64_t)f->pack, str_cstr(place), (int64_t)f->e.size, &n,
                           err);
    f->taken = n == 1;
    return st;
}

static enum status sweep_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct scrubber *s = of(op);
    struct q_counter_get_row last = { .value = 0 };
    enum status st = q_counter_get(group_conn(g), op->arena, S("place"), &last, err);

    st = st == ST_NOT_FOUND ? OK : st;
    for (size_t i = 0; !st && i < s->files_n; i++) {
        struct scrub_file *f = &s->files[i];

        f->taken = false;
        st = f->is_pack ? sweep_pack(g, f, err) : sweep_one(op, g, f, last.value, err);
    }
    FAILPOINT("core.scrub.swept");
    return st;
}

static const struct write_kind sweep_kind = { .name = "scrub.sweep",
                                              .validate = sweep_validate,
                                              .sql = true };

enum status scrub_op_sweep(struct scrubber *s, struct err *err)
{
    return submit(s, &sweep_kind, err);
}
