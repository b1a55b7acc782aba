/* core/openlineage/edit.c - see edit.h. */
#include "core/openlineage/edit.h"
#include "core/openlineage/read.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

static enum status has_field(struct view *v, int64_t set, struct str field, struct err *err)
{
    bool said;
    enum status st = ol_field_said(v, set, field, &said, err);

    return st || said
               ? st
               : err_field(err, ST_NOT_FOUND, "field", "Field '%.*s' not found.", STR_ARG(field));
}

static enum status check_tag(const struct ol_edit *e, struct err *err)
{
    if (!e->tag.n || e->tag.n > OL_TAG_MAX) {
        return err_field(err, ST_INVALID, "tag", "a tag has 1 to %d bytes", OL_TAG_MAX);
    }
    if (e->description.n > OL_TAG_TEXT_MAX) {
        return err_field(err, ST_INVALID, "description", "a description has at most %d bytes",
                         OL_TAG_TEXT_MAX);
    }
    return OK;
}

static enum status tag_validate(struct ol_edit *e, struct view *v, int64_t now, struct err *err)
{
    enum status st = check_tag(e, err);

    if (st) {
        return st;
    }
    if (e->kind == OL_EDIT_TAG) {
        return q_ol_tag_put(v->conn, e->tag, e->description, now, err);
    }
    st = e->is_job ? ol_job_find(v, e->name.ns, e->name.name, &e->uid, err)
                   : ol_dataset_find(v, e->name.ns, e->name.name, &e->uid, err);
    if (!st && e->field.n) {
        st = has_field(v, e->uid, e->field, err);
    }
    if (!st && e->kind == OL_EDIT_TAG_ADD) {
        st = q_ol_tag_need(v->conn, e->tag, now, err);
    }
    return st ? st
              : q_ol_tagged_put(v->conn, e->uid, e->field.p ? e->field : S(""), e->tag,
                                e->kind == OL_EDIT_TAG_ADD ? 1 : 2, err);
}

static enum status hide_validate(struct ol_edit *e, struct view *v, struct err *err)
{
    struct ol_space_view space = { 0 };
    enum status st;

    if (!e->name.name.n) {
        st = ol_space_find(v, e->name.ns, &space, err);
        e->uid = space.uid;
        return st ? st : q_ol_ns_hide(v->conn, e->uid, err);
    }
    st = e->is_job ? ol_job_find(v, e->name.ns, e->name.name, &e->uid, err)
                   : ol_dataset_find(v, e->name.ns, e->name.name, &e->uid, err);
    return st          ? st
           : e->is_job ? q_ol_job_hide(v->conn, e->uid, err)
                       : q_ol_dataset_hide(v->conn, e->uid, err);
}

static enum status edit_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct ol_edit *e = WRITE_OP_OF(op, struct ol_edit);
    struct view v = { e->core, group_conn(g), op->arena, false };

    return e->kind == OL_EDIT_HIDE ? hide_validate(e, &v, err)
                                   : tag_validate(e, &v, group_now_ms(g), err);
}

void ol_edit_init(struct ol_edit *e, struct core *core, struct arena *a)
{
    static const struct write_kind kind = { .name = "openlineage.edit",
                                            .validate = edit_validate,
                                            .sql = true };

    *e = (struct ol_edit){ .core = core };
    write_op_init(&e->op, &kind, a);
}
