/* core/step.c - finding an execution whose outputs can be taken over, and saying why there is none. */
#include "core/artifact.h"
#include "core/logged_model.h"
#include "core/run.h"
#include "core/step_int.h"

enum { STATE_LIVE = 2, STATE_COMPLETE = 3, STATE_CACHED = 5 };

const char *step_miss_name(enum step_miss m)
{
    static const char *const names[] = { "", "unknown", "invalidated", "unfinished",
                                         "output_gone" };

    return (size_t)m < ARRAY_N(names) ? names[m] : "";
}

/* One look at an execution: `why` is set as soon as something speaks against it. */
struct look {
    struct view *v;
    int64_t ns;
    struct step_found *out;
    enum step_miss miss;
    struct str why;
};

static enum status against(struct look *l, enum step_miss miss, struct str why, struct err *err)
{
    l->miss = miss;
    l->why = why;
    return why.p ? OK : err_nomem(err);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------------------- */

/* *sound: the store has them and knows no damage. */
static enum status object_sound(struct view *v, const struct digest *d, bool *sound,
                                struct err *err)
{
    struct q_object_state_row row;
    enum status st = q_object_state(v->conn, v->arena, step_key_bytes(d), &row, err);

    *sound = !st && row.state != OBJECT_DELETING && row.stage != STAGE_DAMAGED;
    return st == ST_NOT_FOUND ? OK : st;
}

/* Every file under a URI that this store keeps; *bad: its path, p NULL if all are there; *n: files. */
static enum status files_sound(struct view *v, const struct artifact_place *at, struct str *bad,
                               size_t *n, struct err *err)
{
    struct artifact_walk w;
    struct artifact_info info;
    struct artifact_place place;
    bool sound = true;
    enum status st = OK;

    *bad = (struct str){ NULL, 0 };
    *n = 0;
    artifact_walk_begin(&w, at);
    while (!st && sound && *n < STEP_FILES_MAX &&
           (st = artifact_walk_next(&w, v, &info, &place, err)) == OK) {
        if (info.is_dir) {
            continue;
        }
        (*n)++;
        if (info.has_sha256) {
            st = object_sound(v, &info.sha256, &sound, err);
        }
        if (!st && !sound) {
            *bad = info.name;
        }
    }
    return st == ST_END || st == ST_NOT_FOUND ? OK : st;
}

/* What lies elsewhere cannot be looked at: only what this store keeps is checked. */
static enum status check_uri(struct look *l, struct step_output *o, int64_t owner, struct str ref,
                             struct err *err)
{
    struct artifact_place at = { .owner = 0 };
    struct str bad;
    size_t n;
    enum status st = o->uri.n ? artifact_uri_place(l->v, o->uri, owner, S(""), &at, err) : OK;

    if (st && st != ST_INVALID && st != ST_NOT_FOUND) {
        return st;
    }
    if (st || !o->uri.n || at.outside) {
        return OK;
    }
    st = files_sound(l->v, &at, &bad, &n, err);
    if (st) {
        return st;
    }
    if (bad.p) {
        return against(l, STEP_OUTPUT_GONE,
                       arena_printf(l->v->arena,
                                    "the bytes of %.*s, file '%.*s', are damaged or "
                                    "gone",
                                    STR_ARG(ref), STR_ARG(bad)),
                       err);
    }
    if (n == 0) {
        return against(l, STEP_OUTPUT_GONE,
                       arena_printf(l->v->arena, "%.*s has no files any more", STR_ARG(ref)), err);
    }
    o->is_checked = true;
    return OK;
}

/* ---- outputs ------------------------------------------------------------------------------------------------------------------ */

static enum status check_typed(struct look *l, const struct q_step_node_row *row,
                               struct step_output *o, struct err *err)
{
    static const char *const states[] = { "UNKNOWN", "PENDING",   "LIVE",     "MARKED_FOR_DELETION",
                                          "DELETED", "ABANDONED", "REFERENCE" };
    size_t state = row->flags > 0 ? (size_t)row->flags - 1 : ARRAY_N(states);

    o->node = arena_printf(l->v->arena, "artifact:%" PRId64, row->id);
    if (!o->node.p) {
        return err_nomem(err);
    }
    if (state != STATE_LIVE) {
        return against(l, STEP_OUTPUT_GONE,
                       arena_printf(l->v->arena, "%.*s is %s, not LIVE", STR_ARG(o->node),
                                    state < ARRAY_N(states) ? states[state] : "without a state"),
                       err);
    }
    o->uri = row->uri;
    return check_uri(l, o, 0, o->node, err);
}

static enum status check_model(struct look *l, struct step_output *o, struct err *err)
{
    struct q_step_model_of_uid_row row;
    enum status st = q_step_model_of_uid(l->v->conn, l->v->arena, o->uid, &row, err);

    if (st) {
        return st == ST_NOT_FOUND
                   ? against(l, STEP_OUTPUT_GONE, S("a model is deleted for good"), err)
                   : st;
    }
    o->node = arena_printf(l->v->arena, "model:%.*s", STR_ARG(row.mid));
    o->uri = row.artifact_uri;
    if (!o->node.p) {
        return err_nomem(err);
    }
    if (row.lifecycle != LIFECYCLE_ACTIVE || row.status != LOGGED_MODEL_READY) {
        return against(l, STEP_OUTPUT_GONE,
                       arena_printf(l->v->arena, "%.*s is %s", STR_ARG(o->node),
                                    row.lifecycle != LIFECYCLE_ACTIVE ? "deleted" : "not ready"),
                       err);
    }
    return check_uri(l, o, o->uid, o->node, err);
}

static enum status check_node(struct look *l, struct step_output *o, struct err *err)
{
    struct q_step_node_row row;
    enum status st = q_step_node(l->v->conn, l->v->arena, o->uid, &row, err);

    if (st == ST_NOT_FOUND) {
        return against(
            l, STEP_OUTPUT_GONE,
            arena_printf(l->v->arena, "the output '%.*s' is deleted for good", STR_ARG(o->name)),
            err);
    }
    if (st) {
        return st;
    }
    if (row.type_id > TYPE_OF_OTHERS) {
        return check_typed(l, &row, o, err);
    }
    if (row.type_id == TYPE_MLFLOW_LOGGED_MODEL) {
        return check_model(l, o, err);
    }
    o->node =
        row.type_id == TYPE_MLFLOW_DATASET
            ? arena_printf(l->v->arena, "dataset:%.*s@%.*s", STR_ARG(row.name), STR_ARG(row.digest))
            : arena_printf(l->v->arena, "node:%" PRId64, o->uid);
    return o->node.p ? OK : err_nomem(err);
}

static enum status check_output(struct look *l, struct step_output *o, struct err *err)
{
    bool sound = true;
    enum status st = OK;

    if (o->has_sha256) {
        st = object_sound(l->v, &o->sha256, &sound, err);
        o->is_checked = true;
    }
    if (!st && !sound) {
        return against(l, STEP_OUTPUT_GONE,
                       arena_printf(l->v->arena,
                                    "the bytes of the output '%.*s' are damaged or "
                                    "gone",
                                    STR_ARG(o->name)),
                       err);
    }
    return st || !o->uid ? st : check_node(l, o, err);
}

/* The first key of the path of an event: "k", the key, a NUL. */
static struct str path_key(struct str path)
{
    size_t end = str_find_byte(path, '\0', 0);

    return path.n > 1 && path.p[0] == 'k' ? str_sub(path, 1, end == SIZE_MAX ? path.n : end - 1)
                                          : S("");
}

struct outputs {
    struct step_output *p;
    size_t n, cap;
};

static struct step_output *add_output(struct look *l, struct outputs *o, struct str name)
{
    if (!view_keep(l->v, &name) ||
        !arena_grow(l->v->arena, (void **)&o->p, o->n, &o->cap, sizeof(*o->p))) {
        return NULL;
    }
    o->p[o->n] = (struct step_output){ .name = name };
    return &o->p[o->n++];
}

static enum status said_outputs(struct look *l, const struct digest *key, int64_t execution,
                                struct outputs *to, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_step_output_list_row row;
    enum status st =
        q_step_output_list_open(l->v->conn, &stmt, l->ns, step_key_bytes(key), execution, err);

    while (!st && (st = q_step_output_list_next(stmt, &row, err)) == OK) {
        struct step_output *o = add_output(l, to, row.name);

        if (!o) {
            st = err_nomem(err);
            break;
        }
        o->uid = row.node;
        o->has_sha256 = row.sha256.n == sizeof(o->sha256.b);
        if (o->has_sha256) {
            memcpy(o->sha256.b, row.sha256.p, row.sha256.n);
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status linked_outputs(struct look *l, int64_t execution, struct outputs *to,
                                  struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_step_outputs_of_row row;
    size_t said = to->n;
    enum status st = q_step_outputs_of_open(l->v->conn, &stmt, execution, STEP_OUTPUTS_MAX, err);

    while (!st && (st = q_step_outputs_of_next(stmt, &row, err)) == OK) {
        struct step_output *o;
        bool known = false;

        for (size_t i = 0; i < said; i++) {
            known = known || to->p[i].uid == row.node;
        }
        if (known) {
            continue;
        }
        o = add_output(l, to, path_key(row.path));
        if (!o) {
            st = err_nomem(err);
            break;
        }
        o->uid = row.node;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* ---- executions --------------------------------------------------------------------------------------------------------------- */

static enum status check_run(struct look *l, int64_t uid, struct err *err)
{
    struct run_view run;
    enum status st = run_get_uid(l->v, uid, &run, err);

    if (st == ST_NOT_FOUND) {
        return against(l, STEP_UNFINISHED, S("the run is deleted for good"), err);
    }
    if (st) {
        return st;
    }
    l->out->execution = arena_printf(l->v->arena, "run:%.*s", STR_ARG(run.run_id));
    if (!l->out->execution.p) {
        return err_nomem(err);
    }
    if (run.lifecycle != LIFECYCLE_ACTIVE || run.status != RUN_FINISHED) {
        return against(
            l, STEP_UNFINISHED,
            arena_printf(l->v->arena, "%.*s is %.*s, not FINISHED", STR_ARG(l->out->execution),
                         STR_ARG(run.lifecycle != LIFECYCLE_ACTIVE ? S("deleted")
                                                                   : run_status_name(run.status))),
            err);
    }
    return OK;
}

static enum status check_execution(struct look *l, int64_t uid, struct err *err)
{
    static const char *const states[] = { "UNKNOWN", "NEW",    "RUNNING", "COMPLETE",
                                          "FAILED",  "CACHED", "CANCELED" };
    struct q_step_node_row row;
    size_t state;
    enum status st = q_step_node(l->v->conn, l->v->arena, uid, &row, err);

    if (st == ST_NOT_FOUND) {
        return against(l, STEP_UNFINISHED, S("the execution is deleted for good"), err);
    }
    if (st) {
        return st;
    }
    if (row.type_id <= TYPE_OF_OTHERS) {
        return check_run(l, uid, err);
    }
    l->out->execution = arena_printf(l->v->arena, "execution:%" PRId64, row.id);
    state = row.flags > 0 ? (size_t)row.flags - 1 : ARRAY_N(states);
    if (!l->out->execution.p) {
        return err_nomem(err);
    }
    if (state != STATE_COMPLETE && state != STATE_CACHED) {
        return against(l, STEP_UNFINISHED,
                       arena_printf(l->v->arena, "%.*s is %s, neither COMPLETE nor CACHED",
                                    STR_ARG(l->out->execution),
                                    state < ARRAY_N(states) ? states[state] : "without a state"),
                       err);
    }
    return OK;
}

struct candidate {
    int64_t uid, ms;
    struct str who;
};
struct candidates {
    struct candidate *p;
    size_t n, cap;
};

/* Sets out and says in l->miss whether it is one. */
static enum status look_at(struct look *l, const struct digest *key, const struct candidate *c,
                           struct err *err)
{
    struct outputs o = { .p = NULL };
    enum status st;

    l->miss = STEP_HIT;
    l->out->execution = (struct str){ NULL, 0 };
    l->out->who = c->who;
    l->out->ms = c->ms;
    st = check_execution(l, c->uid, err);
    if (st || l->miss) {
        return st;
    }
    st = said_outputs(l, key, c->uid, &o, err);
    st = st ? st : linked_outputs(l, c->uid, &o, err);
    for (size_t i = 0; !st && !l->miss && i < o.n; i++) {
        st = check_output(l, &o.p[i], err);
    }
    l->out->outputs = o.p;
    l->out->outputs_n = l->miss ? 0 : o.n;
    return st;
}

static enum status add_candidate(struct view *v, struct candidates *c, int64_t uid, int64_t ms,
                                 struct str who, struct err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->p[i].uid == uid) {
            return OK;
        }
    }
    if (!view_keep(v, &who) ||
        !arena_grow(v->arena, (void **)&c->p, c->n, &c->cap, sizeof(*c->p))) {
        return err_nomem(err);
    }
    c->p[c->n++] = (struct candidate){ uid, ms, who };
    return OK;
}

static enum status candidates_of(struct view *v, struct str ns_name, int64_t ns,
                                 const struct digest *key, struct candidates *to, struct err *err)
{
    struct str text = step_key_text(v->arena, key);
    struct q_step_done_list_row done;
    struct q_step_executions_in_row in;
    struct sql_stmt *stmt = NULL;
    int64_t ctx;
    enum status st =
        text.p ? q_step_done_list_open(v->conn, &stmt, ns, step_key_bytes(key), STEP_TRIED_MAX, err)
               : err_nomem(err);

    while (!st && (st = q_step_done_list_next(stmt, &done, err)) == OK) {
        st = add_candidate(v, to, done.execution, done.ms, done.who, err);
    }
    sql_close(stmt);
    stmt = NULL;
    st = st == ST_END ? typed_cache_find(v, ns_name, text, &ctx, err) : st;
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = q_step_executions_in_open(v->conn, &stmt, ctx, STEP_TRIED_MAX, err);
    while (!st && (st = q_step_executions_in_next(stmt, &in, err)) == OK) {
        st = add_candidate(v, to, in.uid, in.ms, (struct str){ NULL, 0 }, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* ---- why not ------------------------------------------------------------------------------------------------------------------ */

/* The key among the newest ones of the step that differs in the fewest entries; the newer one of equals. */
struct near {
    bool found;
    struct digest key;
    struct step_entries entries;
    size_t differ;
};

static enum status nearest(struct view *v, int64_t ns, struct str step, const struct digest *key,
                           const struct step_entries *now, struct near *best, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_step_keys_near_row row;
    struct step_entries e = { .p = NULL }, swap;
    size_t read = 0;
    enum status st =
        q_step_keys_near_open(v->conn, &stmt, ns, step, step_key_bytes(key), STEP_NEAR_MAX, err);

    while (!st && read < STEP_NEAR_BYTES && (st = q_step_keys_near_next(stmt, &row, err)) == OK) {
        size_t differ;

        read += row.body.n;
        if (!row.body.p || row.key.n != sizeof(best->key.b)) {
            continue;
        }
        if (!view_keep(v, &row.body)) {
            st = err_nomem(err);
            break;
        }
        st = step_key_read(v->arena, row.body, &e, err);
        if (st) {
            break;
        }
        differ = step_key_differ(e.p, e.n, now->p, now->n, NULL, 0);
        if (!best->found || differ < best->differ) {
            swap = best->entries;
            *best = (struct near){ .found = true, .entries = e, .differ = differ };
            e = swap;
            memcpy(best->key.b, row.key.p, row.key.n);
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status explain(struct view *v, struct look *l, struct str ns_name, struct str step,
                           struct str bytes, const struct digest *key, struct err *err)
{
    struct step_found *out = l->out;
    struct near best = { .found = false };
    struct candidates c = { .p = NULL };
    struct step_entries now = { .p = NULL };
    struct look at = { .v = v, .ns = l->ns, .out = &(struct step_found){ .ms = 0 } };
    enum status st = step_key_read(v->arena, bytes, &now, err);

    st = st ? st : nearest(v, l->ns, step, key, &now, &best, err);
    if (st || !best.found) {
        return st;
    }
    out->differences = ARENA_ARRAY(v->arena, struct step_difference, STEP_DIFFERENCES_MAX);
    if (!out->differences) {
        return err_nomem(err);
    }
    out->near_key = best.key;
    out->differences_all = step_key_differ(best.entries.p, best.entries.n, now.p, now.n,
                                           out->differences, STEP_DIFFERENCES_MAX);
    out->differences_n = MIN_OF(out->differences_all, (size_t)STEP_DIFFERENCES_MAX);
    st = candidates_of(v, ns_name, l->ns, &best.key, &c, err);
    if (!st && c.n) {
        st = look_at(&at, &best.key, &c.p[0], err);
        out->near = at.out->execution;
    }
    return st;
}

static enum status invalidated(struct look *l, const struct digest *key, struct err *err)
{
    struct q_step_gone_of_row row;
    struct view *v = l->v;
    enum status st = q_step_gone_of(v->conn, v->arena, l->ns, step_key_bytes(key), &row, err);

    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    l->out->who = row.who;
    l->out->ms = row.ms;
    return against(l, STEP_INVALIDATED,
                   row.reason.n ? arena_printf(v->arena, "taken out by %.*s: %.*s",
                                               STR_ARG(row.who), STR_ARG(row.reason))
                                : arena_printf(v->arena, "taken out by %.*s", STR_ARG(row.who)),
                   err);
}

enum status step_find(struct view *v, struct str ns, struct str step, struct str bytes,
                      const struct digest *key, struct step_found *out, struct err *err)
{
    struct typed_space s;
    struct candidates c = { .p = NULL };
    struct look l = { .v = v, .out = out }, first = { .miss = STEP_HIT };
    struct step_found shown = { .ms = 0 };
    enum status st = typed_open(v, ns, &s, err);

    *out = (struct step_found){ .ms = 0 };
    l.ns = s.ns;
    st = st ? st : candidates_of(v, ns, l.ns, key, &c, err);
    for (size_t i = 0; !st && i < c.n && i < STEP_TRIED_MAX; i++) {
        st = look_at(&l, key, &c.p[i], err);
        if (!st && !l.miss) {
            return OK;
        }
        if (i == 0) {
            first = l;
            shown = *out;
        }
    }
    if (st) {
        return st;
    }
    *out = shown;
    l.miss = first.miss;
    l.why = first.why;
    if (!c.n) {
        st = invalidated(&l, key, err);
    }
    if (!st && !l.miss) {
        st = against(&l, STEP_UNKNOWN, S("no execution is kept under this key"), err);
        st = st || !bytes.p ? st : explain(v, &l, ns, step, bytes, key, err);
    }
    out->miss = l.miss;
    out->why = l.why;
    return st;
}
