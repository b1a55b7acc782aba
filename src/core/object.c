/* core/object.c - see object.h. */
#include "core/object.h"

#include "base/failpoint.h"
#include "base/id.h"
#include "gen/sql/queries.h"
#include "store/blob/blob.h"
#include "store/places.h"
#include "store/sql/sql.h"

static struct str key_of(const struct digest *d)
{
    return str_of(d->b, sizeof(d->b));
}

/* ---- claiming ------------------------------------------------------------------------------------------------------------- */

static enum status claim_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct object_claim *c = WRITE_OP_OF(op, struct object_claim);
    struct q_object_state_row row;
    struct object_lease *l = &c->lease;
    int64_t now = group_now_ms(g);
    enum status st = q_object_state(group_conn(g), op->arena, key_of(&c->sha256), &row, err);

    *l = (struct object_lease){ .has_row = st == OK && row.state != OBJECT_DELETING };
    if (l->has_row) {
        l->row_gen = row.gen;
        l->is_damaged = row.stage == STAGE_DAMAGED;
        l->recipe = row.recipe;
        if ((uint64_t)row.size != c->size) {
            return err_set(err, ST_CORRUPT, "an object has another size than its bytes");
        }
    }
    st = st == ST_NOT_FOUND ? OK : st;
    if (!st) st = group_counter(g, S("place"), &l->gen, err);
    if (st) {
        return st;
    }
    id_hex32(l->id);
    FAILPOINT("core.object.claim");
    return q_lease_add(group_conn(g), str_cstr(l->id), key_of(&c->sha256), l->gen, (int64_t)c->size,
                       now + OBJECT_LEASE_MS + (int64_t)(c->size / OBJECT_LEASE_BYTES_PER_MS), now,
                       err);
}

static const struct write_kind claim_kind = { .name = "object.claim",
                                              .validate = claim_validate,
                                              .sql = true };

void object_claim_init(struct object_claim *c, struct arena *a, const struct digest *sha256,
                       uint64_t size)
{
    write_op_init(&c->op, &claim_kind, a);
    c->sha256 = *sha256;
    c->size = size;
    c->lease = (struct object_lease){ .id = "" };
}

static enum status release_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct object_release *r = WRITE_OP_OF(op, struct object_release);
    int64_t n = 0;
    enum status st = q_lease_remove(group_conn(g), str_cstr(r->lease->id), &n, err);

    FAILPOINT("core.object.release");
    /* The collector may have ended the lease and deleted what lay in the place before its holder wrote there. */
    if (!st && n == 0) {
        struct q_object_state_row row;

        st = q_object_state(group_conn(g), op->arena, key_of(&r->sha256), &row, err);
        if (!st && row.gen == r->lease->gen) {
            return OK; /* it was published after all */
        }
        st = st == ST_NOT_FOUND ? OK : st;
    }
    return st ? st
              : place_retire(group_conn(g), &r->sha256, r->lease->gen, r->size, group_now_ms(g),
                             err);
}

static const struct write_kind release_kind = { .name = "object.release",
                                                .validate = release_validate,
                                                .sql = true };

void object_release_init(struct object_release *r, struct arena *a, const struct digest *sha256,
                         uint64_t size, const struct object_lease *lease)
{
    write_op_init(&r->op, &release_kind, a);
    r->sha256 = *sha256;
    r->size = size;
    r->lease = lease;
}

/* ---- publishing ----------------------------------------------------------------------------------------------------------- */

enum status object_give_up(struct sql_conn *w, const struct digest *sha256, int64_t gen,
                           uint64_t size, struct str recipe, int64_t now_ms, struct err *err)
{
    if (!recipe.p) {
        return OK; /* the bytes lie in the row */
    }
    return blob_recipe_is_whole(recipe) ? place_retire(w, sha256, gen, size, now_ms, err)
                                        : q_object_pack_forget(w, key_of(sha256), err);
}

static enum status lease_is_gone(struct err *err)
{
    enum status st =
        err_set(err, ST_UNAVAILABLE, "the upload took longer than its bytes are kept; try again");

    err->retry_after_s = 1;
    return st;
}

/* The row gets our bytes; what it had is given up. */
static enum status replace(struct group *g, const struct object_new *o,
                           const struct q_object_state_row *row, struct err *err)
{
    unsigned char recipe[BLOB_RECIPE_WHOLE_BYTES];
    struct str none = { NULL, 0 };
    int64_t n;
    enum status st = object_give_up(group_conn(g), &o->sha256, row->gen, (uint64_t)row->size,
                                    row->recipe, group_now_ms(g), err);

    if (st) {
        return st;
    }
    blob_recipe_whole(recipe);
    if (o->body.p) {
        return q_object_replace(group_conn(g), key_of(&o->sha256), row->gen, none, o->body, &n,
                                err);
    }
    return q_object_replace(group_conn(g), key_of(&o->sha256), o->lease->gen,
                            str_of(recipe, sizeof(recipe)), none, &n, err);
}

/* There is a row. Its bytes stay, unless they are going or the holder of the lease found them missing. */
static enum status publish_again(struct group *g, struct arena *a, const struct object_new *o,
                                 struct err *err)
{
    struct q_object_state_row row;
    struct sql_conn *w = group_conn(g);
    int64_t n;
    bool ours;
    enum status st = q_object_state(w, a, key_of(&o->sha256), &row, err);

    if (st) {
        return st == ST_NOT_FOUND ? lease_is_gone(err) : st;
    }
    ours = o->is_placed && o->lease->has_row && row.gen == o->lease->row_gen && row.recipe.p &&
           o->lease->recipe.p && str_eq(row.recipe, o->lease->recipe);
    ours = ours || (o->body.p && row.stage == STAGE_DAMAGED);
    if (row.state == OBJECT_DELETING || ours) {
        return o->body.p || o->is_placed ? replace(g, o, &row, err) : lease_is_gone(err);
    }
    if (row.state == OBJECT_CONDEMNED) {
        st = q_object_set_state(w, key_of(&o->sha256), OBJECT_LIVE, 0, &n, err);
    }
    if (!st && o->is_placed) {
        st = place_retire(w, &o->sha256, o->lease->gen, o->size, group_now_ms(g), err);
    }
    return st;
}

enum status object_publish(struct group *g, struct arena *a, const struct object_new *o,
                           struct err *err)
{
    unsigned char recipe[BLOB_RECIPE_WHOLE_BYTES];
    struct str none = { NULL, 0 };
    struct sql_conn *w = group_conn(g);
    int64_t n = 0;
    enum status st;

    if (o->body.p) {
        st = q_object_new(w, key_of(&o->sha256), (int64_t)o->size, 0, none, o->body, &n, err);
        return st || n == 1 ? st : publish_again(g, a, o, err);
    }
    st = q_lease_remove(w, str_cstr(o->lease->id), &n, err);
    if (st) {
        return st;
    }
    if (n == 0) {
        return lease_is_gone(err);
    }
    n = 0;
    if (o->is_placed) {
        blob_recipe_whole(recipe);
        st = q_object_new(w, key_of(&o->sha256), (int64_t)o->size, o->lease->gen,
                          str_of(recipe, sizeof(recipe)), none, &n, err);
    }
    return st || n == 1 ? st : publish_again(g, a, o, err);
}
