/* core/catalog_tracking.c - experiments and runs for the catalog: each operation hands its parts to the operations that own them, inside
 * one validate(), so that their effects and rows come together or not at all. */
#include "core/catalog_tracking.h"
#include "core/catalog_int.h"
#include "core/run_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

#define NOTE_TAG S("mlflow.note.content")

/* An operation inside another one: its errors are the outer one's. */
static enum status run_part(struct write_op *part, struct group *g, struct err *err)
{
    return part->kind->validate(part, g, err);
}

static struct view view_of(struct group *g, struct core *core, struct write_op *op)
{
    return (struct view){ .core = core, .conn = group_conn(g), .arena = op->arena };
}

/* Facts but the description, which is a tag here. */
static enum status set_facts(struct group *g, struct view *v, struct str who,
                             enum catalog_kind kind, int64_t uid, const struct catalog_facts *f,
                             struct err *err)
{
    struct catalog_item it = { .kind = kind, .uid = uid };
    struct catalog_facts rest = *f;
    enum status st = catalog_load(v, &it, err);

    rest.description = (struct str){ NULL, 0 };
    return st ? st : catalog_apply_facts(g, v, who, &it, &rest, err);
}

/* ---- experiments ---------------------------------------------------------------------------------------------------------------- */

static enum status experiment_create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_experiment_create *c = WRITE_OP_OF(op, struct catalog_experiment_create);
    struct view v = view_of(g, c->core, op);
    struct key_value note = { NOTE_TAG, c->facts.description };
    struct q_experiment_get_row row;
    enum status st;

    c->base.name = c->name;
    c->base.tags = &note;
    c->base.tags_n = c->facts.description.n > 0;
    st = run_part(&c->base.op, g, err);
    c->base.tags = NULL;
    if (st == ST_EXISTS) {
        return catalog_taken(CATALOG_EXPERIMENT, "name", c->name, err);
    }
    st = st ? st : q_experiment_get(v.conn, v.arena, c->base.id, &row, err);
    c->uid = st ? 0 : row.uid;
    return st ? st : set_facts(g, &v, c->who, CATALOG_EXPERIMENT, c->uid, &c->facts, err);
}

static void experiment_create_undo(struct write_op *op)
{
    struct catalog_experiment_create *c = WRITE_OP_OF(op, struct catalog_experiment_create);

    c->base.op.kind->undo(&c->base.op);
}

static const struct write_kind experiment_create_kind = { .name = "catalog.experiment.create",
                                                          .validate = experiment_create_validate,
                                                          .undo = experiment_create_undo,
                                                          .sql = true };

void catalog_experiment_create_init(struct catalog_experiment_create *c, struct core *core,
                                    struct arena *a)
{
    *c = (struct catalog_experiment_create){ .op = { .kind = &experiment_create_kind, .arena = a },
                                             .core = core };
    experiment_create_init(&c->base, core, a);
}

static enum status experiment_patch_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_experiment_patch *p = WRITE_OP_OF(op, struct catalog_experiment_patch);
    struct view v = view_of(g, p->core, op);
    struct catalog_item it;
    int64_t n;
    enum status st = catalog_get(&v, CATALOG_EXPERIMENT, p->id, &it, err);

    st = st ? st : experiment_require_active(p->core, g, it.number, err);
    if (!st && p->facts.description.n) {
        st = q_experiment_tag_set(v.conn, it.number, NOTE_TAG, p->facts.description, err);
    } else if (!st && p->facts.description.p) {
        st = q_experiment_tag_delete(v.conn, it.number, NOTE_TAG, &n, err);
    }
    st = st ? st : q_experiment_touch(v.conn, it.number, group_now_ms(g), err);
    return st ? st : set_facts(g, &v, p->who, CATALOG_EXPERIMENT, it.uid, &p->facts, err);
}

static const struct write_kind experiment_patch_kind = { .name = "catalog.experiment.patch",
                                                         .validate = experiment_patch_validate,
                                                         .sql = true };

void catalog_experiment_patch_init(struct catalog_experiment_patch *p, struct core *core,
                                   struct arena *a)
{
    *p = (struct catalog_experiment_patch){ .op = { .kind = &experiment_patch_kind, .arena = a },
                                            .core = core };
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------ */

static enum status check_end(int64_t start_ms, const struct catalog_run_times *t, struct err *err)
{
    return t->has_end && t->end_ms < start_ms
               ? err_field(err, ST_INVALID, "endTimeSinceEpoch",
                           "endTimeSinceEpoch %" PRId64 " is before startTimeSinceEpoch %" PRId64,
                           t->end_ms, start_ms)
               : OK;
}

static enum status set_times(struct run_update *u, struct group *g, struct str run_id,
                             const struct catalog_run_times *t, struct str who, struct err *err)
{
    u->run_id = run_id;
    u->who = who;
    if (t->has_status) {
        run_update_status(u, t->status);
    }
    u->has_end = t->has_end;
    u->end_ms = t->end_ms;
    return t->has_status || t->has_end ? run_part(&u->op, g, err) : OK;
}

static enum status run_create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_run_create *c = WRITE_OP_OF(op, struct catalog_run_create);
    struct view v = view_of(g, c->core, op);
    struct catalog_run_times times = c->times;
    struct catalog_item experiment;
    enum status st = catalog_get(&v, CATALOG_EXPERIMENT, c->experiment_id, &experiment, err);

    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "experimentId", "experiment %" PRId64 " not found",
                         c->experiment_id);
    }
    st = st ? st : check_end(c->start_ms, &times, err);
    if (st) {
        return st;
    }
    c->note = (struct key_value){ NOTE_TAG, c->facts.description };
    c->base.experiment = experiment.number;
    c->base.name = c->name;
    c->base.user_id = c->owner;
    c->base.start_ms = c->start_ms;
    c->base.tags = &c->note;
    c->base.tags_n = c->facts.description.n > 0;
    st = run_part(&c->base.op, g, err);
    c->uid = c->base.uid;
    times.has_status = times.has_status && times.status != RUN_RUNNING; /* as it is made */
    st = st ? st : set_times(&c->update, g, c->base.run_id, &times, c->who, err);
    return st ? st : set_facts(g, &v, c->who, CATALOG_RUN, c->uid, &c->facts, err);
}

static const struct write_kind run_create_kind = { .name = "catalog.run.create",
                                                   .validate = run_create_validate,
                                                   .sql = true };

void catalog_run_create_init(struct catalog_run_create *c, struct core *core, struct arena *a)
{
    *c =
        (struct catalog_run_create){ .op = { .kind = &run_create_kind, .arena = a }, .core = core };
    run_create_init(&c->base, core, a);
    run_update_init(&c->update, core, a);
}

/* The active run of a number. */
static enum status find_run(struct group *g, struct view *v, int64_t id, struct head **h,
                            struct str *run_id, struct err *err)
{
    struct q_node_by_id_row node;
    struct q_node_row_row row;
    struct q_ident_of_node_row ident;
    enum status st = q_node_by_id(v->conn, v->arena, NODE_EXECUTION, id, &node, err);

    st = st ? st : q_node_row(v->conn, v->arena, node.uid, &row, err);
    st = st || row.type_id == TYPE_MLFLOW_RUN ? st : ST_NOT_FOUND;
    st = st ? st : q_ident_of_node(v->conn, v->arena, node.uid, IDENT_MLFLOW_RUN, &ident, err);
    st = st ? st : run_head(g, ident.key, h, err);
    if (!st) {
        *run_id = ident.key;
        st = run_check_active(g, *h, err) ? ST_NOT_FOUND : OK;
    }
    return st == ST_NOT_FOUND ? err_field(err, st, "id", "experiment run %" PRId64 " not found", id)
                              : st;
}

static enum status run_patch_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_run_patch *p = WRITE_OP_OF(op, struct catalog_run_patch);
    struct view v = view_of(g, p->core, op);
    struct str run_id;
    struct head *h;
    enum status st = find_run(g, &v, p->id, &h, &run_id, err);

    st = st ? st : check_end(h->start_ms, &p->times, err);
    st = st ? st : set_times(&p->update, g, run_id, &p->times, p->who, err);
    if (!st && p->facts.description.p) {
        p->note = (struct key_value){ NOTE_TAG, p->facts.description };
        p->log.run_id = run_id;
        p->log.tags = &p->note;
        p->log.tags_n = 1;
        st = run_part(&p->log.op, g, err);
    }
    st = st ? st : set_facts(g, &v, p->who, CATALOG_RUN, h->uid, &p->facts, err);
    return st ? st : q_node_touch(v.conn, h->uid, group_now_ms(g), err);
}

static const struct write_kind run_patch_kind = { .name = "catalog.run.patch",
                                                  .validate = run_patch_validate,
                                                  .sql = true };

void catalog_run_patch_init(struct catalog_run_patch *p, struct core *core, struct arena *a)
{
    *p = (struct catalog_run_patch){ .op = { .kind = &run_patch_kind, .arena = a }, .core = core };
    run_update_init(&p->update, core, a);
    run_log_init(&p->log, core, a);
}

static enum status run_log_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_run_log *l = WRITE_OP_OF(op, struct catalog_run_log);
    struct view v = view_of(g, l->core, op);
    struct str run_id;
    struct head *h;
    enum status st = find_run(g, &v, l->id, &h, &run_id, err);

    l->log.run_id = l->links.run_id = run_id;
    if (!st && (l->log.points.n || l->log.params_n || l->log.tags_n)) {
        st = run_part(&l->log.op, g, err);
    }
    if (!st && l->links.datasets_n) {
        st = run_part(&l->links.op, g, err);
    }
    return st;
}

static const struct write_kind run_log_of_catalog = { .name = "catalog.run.log",
                                                      .validate = run_log_validate,
                                                      .sql = true };

void catalog_run_log_init(struct catalog_run_log *l, struct core *core, struct arena *a)
{
    *l =
        (struct catalog_run_log){ .op = { .kind = &run_log_of_catalog, .arena = a }, .core = core };
    run_log_init(&l->log, core, a);
    run_links_init(&l->links, core, a);
}
