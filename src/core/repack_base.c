/* core/repack_base.c - what an object may resemble: the same file of a near checkpoint of its series, else an object of the same length
 * that was packed lately and has the same table of tensors or the same name. See repack_int.h.
 * A wrong guess costs time only: differences are kept where they pay, and a base that never pays is dropped. */
#include "core/repack_int.h"

#include "base/blake3.h"
#include "base/hash.h"
#include "base/mem.h"
#include "core/checkpoint.h"
#include "gen/sql/queries.h"
#include "store/blob/cdc.h"
#include "store/sql/sql.h"

enum {
    PLACES = 4,         /* of the object in hand that are looked at */
    SIBLINGS_MAX = 512, /* entries of the folder of a series */
    NEAR = 4,           /* checkpoints that are tried, the nearest first */
    BASE_PACKS_MAX = 1024,
    BASE_ARENA_MAX = 64 << 20,
};

static struct str key_of(const struct digest *d)
{
    return str_of(d->b, sizeof(d->b));
}

/* ---- candidates ---------------------------------------------------------------------------------------------------------------- */

static bool is_waiting(const struct repacker *r, const struct digest *sha256)
{
    for (size_t i = r->waiting.n; i > 0; i--) {
        if (digest_eq(&r->waiting.p[i - 1]->sha256, sha256)) return true;
    }
    return false;
}

/* Whether the object can be the base of the one in hand; *wait: not before the open pack is finished. */
static enum status try_one(struct repacker *r, const struct digest *sha256, bool *found, bool *wait,
                           struct err *err)
{
    struct q_object_get_row row;
    enum status st;

    *found = *wait = false;
    if (digest_eq(sha256, &r->cur->sha256)) {
        return OK;
    }
    st = q_object_get(r->conn, r->scratch, key_of(sha256), &row, err);
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    if ((uint64_t)row.size != r->cur->size || row.state != 1) {
        return OK;
    }
    if (row.stage == STAGE_PACKED && row.recipe.n && !blob_recipe_is_whole(row.recipe)) {
        *found = true;
    } else if (row.size >= (int64_t)(r->opt.pack_bytes / REPACK_DELTA_WAIT_PART) &&
               is_waiting(r, sha256)) {
        *found = *wait = true;
    }
    if (*found) {
        r->base_sha = *sha256;
        r->base_known = true;
    }
    return OK;
}

/* ---- series of checkpoints ------------------------------------------------------------------------------------------------------- */

/* One file of a series: folder/name/rest, where name carries the step. */
struct series_path {
    int64_t root;
    struct str folder, name, rest; /* rest: "" or "/..." */
    struct checkpoint_name step;
};

/* The first component that is the name of a checkpoint with a step. */
static bool parse_path(struct str path, struct series_path *out)
{
    size_t from = 0;

    while (from < path.n) {
        const char *slash = memchr(path.p + from, '/', path.n - from);
        size_t to = slash ? (size_t)(slash - path.p) : path.n;

        out->folder = str_of(path.p, from ? from - 1 : 0);
        out->name = str_sub(path, from, to - from);
        out->rest = str_sub(path, to, path.n - to);
        if (checkpoint_name_parse(out->folder, out->name, &out->step)) {
            return out->step.has_step;
        }
        from = to + 1;
    }
    return false;
}

static uint64_t steps_between(int64_t a, int64_t b)
{
    return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

struct near {
    struct str names[NEAR];
    int64_t steps[NEAR];
    size_t n;
};

/* Earlier ones first among those that are as far away. */
static bool is_nearer(int64_t of, int64_t a, int64_t b)
{
    uint64_t x = steps_between(of, a), y = steps_between(of, b);

    return x != y ? x < y : a < b;
}

static enum status add_near(struct repacker *r, const struct series_path *p, struct str pattern,
                            struct str name, struct near *near, struct err *err)
{
    struct checkpoint_name parsed;
    struct str kept;
    size_t at;

    if (str_eq(name, p->name) || !checkpoint_name_parse(p->folder, name, &parsed) ||
        !parsed.has_step || parsed.step == p->step.step) {
        return OK;
    }
    at = near->n;
    while (at > 0 && is_nearer(p->step.step, parsed.step, near->steps[at - 1])) {
        at--;
    }
    if (at == NEAR) {
        return OK;
    }
    kept = arena_printf(r->scratch, "%.*s%s%.*s", (int)p->folder.n, p->folder.p,
                        p->folder.n ? "/" : "", (int)name.n, name.p);
    if (!kept.p) {
        return err_nomem(err);
    }
    if (!str_eq(checkpoint_pattern(r->scratch, kept), pattern)) {
        return OK;
    }
    near->n = MIN_OF(near->n + 1, (size_t)NEAR);
    for (size_t i = near->n - 1; i > at; i--) {
        near->names[i] = near->names[i - 1];
        near->steps[i] = near->steps[i - 1];
    }
    near->names[at] = kept;
    near->steps[at] = parsed.step;
    return OK;
}

static enum status find_near(struct repacker *r, const struct series_path *p, struct near *near,
                             struct err *err)
{
    struct str own = arena_printf(r->scratch, "%.*s%s%.*s", (int)p->folder.n, p->folder.p,
                                  p->folder.n ? "/" : "", (int)p->name.n, p->name.p);
    struct str pattern = own.p ? checkpoint_pattern(r->scratch, own) : own;
    struct q_artifact_ls_row row;
    struct sql_stmt *q = NULL;
    enum status st;

    near->n = 0;
    if (!pattern.p) {
        return err_nomem(err);
    }
    st = q_artifact_ls_open(r->conn, &q, p->root, p->folder, S(""), SIBLINGS_MAX, err);
    while (!st && (st = q_artifact_ls_next(q, &row, err)) == OK) {
        st = add_near(r, p, pattern, row.name, near, err);
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* The file that lies in the series as the one in hand does, of the nearest checkpoint that has one. */
static enum status try_series(struct repacker *r, const struct series_path *p, bool *found,
                              bool *wait, struct err *err)
{
    struct near near;
    enum status st = find_near(r, p, &near, err);

    *found = false;
    for (size_t i = 0; !st && !*found && i < near.n; i++) {
        struct str path = arena_printf(r->scratch, "%.*s%.*s", (int)near.names[i].n,
                                       near.names[i].p, (int)p->rest.n, p->rest.p);
        struct q_artifact_get_row row;
        struct digest d;
        size_t cut = path.n;

        if (!path.p) {
            return err_nomem(err);
        }
        while (cut > 0 && path.p[cut - 1] != '/') {
            cut--;
        }
        st = q_artifact_get(r->conn, r->scratch, p->root, str_of(path.p, cut ? cut - 1 : 0),
                            str_sub(path, cut, path.n - cut), &row, err);
        if (st == ST_NOT_FOUND || (!st && row.object.n != sizeof(d.b))) {
            st = OK;
            continue;
        }
        if (!st) {
            memcpy(d.b, row.object.p, sizeof(d.b));
            st = try_one(r, &d, found, wait, err);
        }
    }
    return st;
}

/* Where the object in hand lies, and its name there for those that come later. */
static enum status find_places(struct repacker *r, struct str paths[PLACES], int64_t roots[PLACES],
                               size_t *n, struct err *err)
{
    struct q_artifact_of_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_artifact_of_open(r->conn, &q, key_of(&r->cur->sha256), PLACES, err);

    *n = 0;
    while (!st && *n < PLACES && (st = q_artifact_of_next(q, &row, err)) == OK) {
        struct str path = arena_printf(r->scratch, "%.*s%s%.*s", (int)row.dir.n, row.dir.p,
                                       row.dir.n ? "/" : "", (int)row.name.n, row.name.p);

        if (!path.p) {
            st = err_nomem(err);
            break;
        }
        if (*n == 0) r->cur_head.name = hash_bytes(row.name.p, row.name.n);
        roots[*n] = row.root;
        paths[(*n)++] = path;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* ---- objects of late ----------------------------------------------------------------------------------------------------------------- */

/* The head of a safetensors file says how its tensors are called, their types, shapes and places. */
static void look_at_head(struct repacker *r)
{
    struct repack_recent *h = &r->cur_head;
    struct rd rd = rd_of(r->window, r->have);
    uint64_t n = rd_u64(&rd);

    h->has_table = !rd.bad && n >= 2 && n < r->cur->size && r->have > 8 && r->window[8] == '{';
    if (h->has_table) {
        h->table = blake3(NULL, r->window, (size_t)MIN_OF((uint64_t)r->have, 8 + n));
    }
}

static enum status try_recent(struct repacker *r, bool *found, bool *wait, struct err *err)
{
    const struct repack_recent *h = &r->cur_head;
    enum status st = OK;
    size_t n = MIN_OF(r->recent_n, (size_t)REPACK_RECENT), tried = 0;

    for (size_t i = 1; !st && !*found && i <= n && tried < NEAR; i++) {
        const struct repack_recent *c = &r->recent[(r->recent_n - i) % REPACK_RECENT];
        bool same_table = h->has_table && c->has_table && digest_eq(&h->table, &c->table);

        if (c->size == h->size && (same_table || (h->name && c->name == h->name))) {
            tried++;
            st = try_one(r, &c->sha256, found, wait, err);
        }
    }
    return st;
}

void repack_base_remember(struct repacker *r)
{
    if (r->cur->size >= REPACK_DELTA_MIN && r->looked) {
        r->recent[r->recent_n++ % REPACK_RECENT] = r->cur_head;
    }
}

enum status repack_base_find(struct repacker *r, bool *wait, struct err *err)
{
    struct str paths[PLACES];
    int64_t roots[PLACES];
    struct series_path p = { 0 };
    bool found = false;
    size_t n = 0;
    enum status st;

    *wait = r->base_known = false;
    r->cur_head = (struct repack_recent){ .sha256 = r->cur->sha256, .size = r->cur->size };
    look_at_head(r);
    st = find_places(r, paths, roots, &n, err);
    for (size_t i = 0; !st && !found && i < n; i++) {
        p.root = roots[i];
        if (parse_path(paths[i], &p)) st = try_series(r, &p, &found, wait, err);
    }
    return st || found ? st : try_recent(r, &found, wait, err);
}

/* ---- the base ------------------------------------------------------------------------------------------------------------------------- */

void repack_base_drop(struct repacker *r)
{
    struct repack_base *b = r->base;

    if (b) {
        blob_reader_close(b->reader);
        packfile_coder_release(&b->plain);
        packfile_coder_release(&b->coded);
        arena_free(b->arena);
        mem_free(b->bytes);
        mem_free(b);
    }
    r->base = NULL;
}

/* Every pack of the base can be named by another object. */
static enum status can_be_named(struct repacker *r, bool *can, struct err *err)
{
    const struct recipe *recipe = &r->base->recipe;
    enum status st = OK;

    *can = !recipe->is_whole && recipe->packs_n <= BASE_PACKS_MAX;
    for (size_t i = 0; !st && *can && i < recipe->packs_n; i++) {
        const struct recipe_pack *p = &recipe->packs[i];
        struct q_packfile_get_row row;

        if (repack_is_sparse(r, p->id)) {
            *can = false;
            break;
        }
        st = q_packfile_get(r->conn, r->scratch, (int64_t)p->id, &row, err);
        *can = !st && row.state == PACK_LIVE && (uint64_t)row.bytes == p->bytes;
        st = st == ST_NOT_FOUND ? OK : st;
    }
    return st;
}

static enum status open_base(struct repacker *r, bool *can, struct err *err)
{
    struct repack_base *b = r->base;
    struct q_object_get_row row;
    struct err why = ERR_INIT;
    enum status st;

    *can = false;
    b->arena = arena_new(BASE_ARENA_MAX);
    b->bytes = mem_alloc(2 * (size_t)CDC_MAX);
    if (!b->arena || !b->bytes) {
        return err_nomem(err);
    }
    b->made = b->bytes + CDC_MAX;
    st = q_object_get(r->conn, b->arena, key_of(&r->base_sha), &row, err);
    if (st || row.state != 1 || (uint64_t)row.size != r->cur->size || !row.recipe.n) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    b->object = (struct blob_object){ r->base_sha, row.gen, (uint64_t)row.size, row.recipe };
    st = recipe_parse(b->arena, row.recipe, b->object.size, &b->recipe, &why);
    if (st) {
        return st == ST_NOMEM ? err_nomem(err) : OK;
    }
    return can_be_named(r, can, err);
}

enum status repack_base_open(struct repacker *r, struct err *err)
{
    bool can = false;
    enum status st;

    repack_base_drop(r);
    r->base = mem_zalloc(1, sizeof(*r->base));
    if (!r->base) {
        return err_nomem(err);
    }
    st = open_base(r, &can, err);
    if (st || !can) {
        repack_base_drop(r);
    }
    return st;
}
