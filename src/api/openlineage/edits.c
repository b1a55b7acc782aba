/* api/openlineage/edits.c - what user interfaces write: tags, and what is not shown any more. */
#include "api/openlineage/read_int.h"
#include "core/openlineage/edit.h"

static enum status edit(struct call *c, struct write_op **op, enum ol_edit_kind kind,
                        struct err *err)
{
    struct ol_edit *e = ARENA_NEW(c->arena, struct ol_edit);
    struct str job = call_capture(c, "job"), dataset = call_capture(c, "dataset");

    if (!e) {
        return err_nomem(err);
    }
    ol_edit_init(e, c->core, c->arena);
    e->kind = kind;
    e->is_job = job.p != NULL;
    e->name = (struct ol_name){ call_capture(c, "namespace"), e->is_job ? job : dataset };
    e->field = call_capture(c, "field");
    e->tag = call_capture(c, "tag");
    if (c->in) {
        const struct openlineage_v1_tag_body *in = c->in;

        e->description = in->description.p ? in->description : S("");
    }
    c->user = e;
    *op = &e->op;
    return OK;
}

static enum status tag_start(struct call *c, struct write_op **op, struct err *err)
{
    return edit(c, op, OL_EDIT_TAG, err);
}

static enum status add_start(struct call *c, struct write_op **op, struct err *err)
{
    return edit(c, op, OL_EDIT_TAG_ADD, err);
}

static enum status remove_start(struct call *c, struct write_op **op, struct err *err)
{
    return edit(c, op, OL_EDIT_TAG_REMOVE, err);
}

static enum status hide_start(struct call *c, struct write_op **op, struct err *err)
{
    return edit(c, op, OL_EDIT_HIDE, err);
}

static enum status tag_finish(struct call *c, struct err *err)
{
    const struct ol_edit *e = c->user;
    struct openlineage_v1_tag *out = ARENA_NEW(c->arena, struct openlineage_v1_tag);

    if (!out) {
        return err_nomem(err);
    }
    MSG_SET(out, OPENLINEAGE_V1_TAG_HAS_NAME, name, e->tag);
    MSG_SET(out, OPENLINEAGE_V1_TAG_HAS_DESCRIPTION, description, e->description);
    c->out = out;
    return OK;
}

/* The thing as it is then; where the operation has not run again, as it is now. */
static enum status thing(struct call *c, struct view *v, struct err *err)
{
    const struct ol_edit *e = c->user;
    int64_t uid = e->uid;
    enum status st = OK;

    if (!uid) {
        st = e->is_job ? ol_job_find(v, e->name.ns, e->name.name, &uid, err)
                       : ol_dataset_find(v, e->name.ns, e->name.name, &uid, err);
    }
    return st ? st : e->is_job ? ol_answer_job(c, v, uid, err) : ol_answer_dataset(c, v, uid, err);
}

static enum status hidden_space(struct call *c, struct view *v, struct err *err)
{
    const struct ol_edit *e = c->user;
    struct openlineage_v1_namespace *out = ARENA_NEW(c->arena, struct openlineage_v1_namespace);
    struct ol_space_view x;
    enum status st = ol_space_find(v, e->name.ns, &x, err);

    c->out = out;
    return st ? st : out && ol_show_space(c->arena, &x, out) ? OK : err_nomem(err);
}

#define WRITES(start_, ...)                                                                        \
    ENDPOINT(.tongue = &openlineage_tongue, .kind = CALL_WRITE, .start = (start_), __VA_ARGS__)
#define EDIT(method, path, in_, out_, action, ...)                                                 \
    ROUTE(method, "/api/v1" path, in_, out_, RESOURCE_RUN, action, WRITES(__VA_ARGS__))
#define TAGGING(path, out_)                                                                        \
    EDIT(HTTP_POST, path, NULL, out_, ACTION_RUN_WRITE, add_start, .read = thing),                 \
        EDIT(HTTP_DELETE, path, NULL, out_, ACTION_RUN_WRITE, remove_start, .read = thing)
#define NS "/namespaces/{namespace}"

const struct route ol_edit_routes[] = {
    EDIT(HTTP_PUT, "/tags/{tag}", &openlineage_v1_tag_body_desc, &openlineage_v1_tag_desc,
         ACTION_RUN_WRITE, tag_start, .finish = tag_finish),
    TAGGING(NS "/datasets/{dataset}/tags/{tag}", &openlineage_v1_dataset_desc),
    TAGGING(NS "/datasets/{dataset}/fields/{field}/tags/{tag}", &openlineage_v1_dataset_desc),
    TAGGING(NS "/jobs/{job}/tags/{tag}", &openlineage_v1_job_desc),
    EDIT(HTTP_DELETE, NS "/datasets/{dataset}", NULL, &openlineage_v1_dataset_desc,
         ACTION_RUN_DELETE, hide_start, .read = thing),
    EDIT(HTTP_DELETE, NS "/jobs/{job}", NULL, &openlineage_v1_job_desc, ACTION_RUN_DELETE,
         hide_start, .read = thing),
    EDIT(HTTP_DELETE, NS, NULL, &openlineage_v1_namespace_desc, ACTION_RUN_DELETE, hide_start,
         .read = hidden_space),
};
const size_t ol_edit_routes_n = ARRAY_N(ol_edit_routes);
