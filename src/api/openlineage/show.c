/* api/openlineage/show.c - see show.h. */
#include "api/openlineage/show.h"
#include "base/clock.h"
#include "base/num.h"
#include "codec/json.h"
#include <inttypes.h>

#define SET_IF(m, bit, member, text)                                                               \
    do {                                                                                           \
        if ((text).p) MSG_SET(m, bit, member, text);                                               \
    } while (0)

static const struct str nothing = { "{}", 2 };

bool ol_show_time(struct arena *a, int64_t us, struct str *out)
{
    int64_t ms = us >= 0 ? us / 1000 : -((-(us + 1)) / 1000) - 1;
    int64_t rest = us - ms * 1000;
    char text[32];

    if (us == OL_EVER) {
        ms = rest = 0;
    }
    clock_rfc3339(ms, text);
    *out = rest ? arena_printf(a, "%.*s%03" PRId64 "Z", (int)strlen(text) - 1, text, rest)
                : arena_str(a, str_cstr(text));
    return out->p != NULL;
}

struct str ol_show_facets(struct arena *a, const struct ol_facet_row *f, size_t n,
                          enum ol_scope scope, int64_t dataset)
{
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    struct json_writer w = JSON_WRITER_INIT(&b);
    struct str out = { NULL, 0 };

    json_w_object(&w);
    for (size_t i = 0; i < n; i++) {
        if (f[i].scope == scope && (!dataset || f[i].dataset == dataset)) {
            json_w_key(&w, f[i].key);
            json_w_raw(&w, f[i].json);
        }
    }
    json_w_object_end(&w);
    if (!b.failed) out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

#define TIME(a, us, m, bit, member) (ol_show_time((a), (us), &(m)->member) && ((m)->has |= (bit)))

bool ol_show_ids(struct arena *a, const struct ol_name *names, size_t n,
                 struct openlineage_v1_id **out)
{
    struct openlineage_v1_id *p = ARENA_ARRAY(a, struct openlineage_v1_id, n + 1);

    *out = p;
    for (size_t i = 0; p && i < n; i++) {
        MSG_SET(&p[i], OPENLINEAGE_V1_ID_HAS_NAMESPACE, namespace, names[i].ns);
        MSG_SET(&p[i], OPENLINEAGE_V1_ID_HAS_NAME, name, names[i].name);
    }
    return p != NULL;
}

static struct openlineage_v1_id *id_of(struct arena *a, const struct ol_name *name,
                                       struct str version)
{
    struct openlineage_v1_id *p;

    if (!ol_show_ids(a, name, 1, &p)) {
        return NULL;
    }
    SET_IF(p, OPENLINEAGE_V1_ID_HAS_VERSION, version, version);
    return p;
}

struct str ol_show_node(struct arena *a, enum ol_node_kind kind, const struct ol_name *name,
                        struct str field)
{
    return arena_printf(a, "%s:%.*s:%.*s%s%.*s",
                        kind == OL_NODE_JOB     ? "job"
                        : kind == OL_NODE_FIELD ? "datasetField"
                                                : "dataset",
                        STR_ARG(name->ns), STR_ARG(name->name), field.p ? ":" : "", STR_ARG(field));
}

bool ol_show_space(struct arena *a, const struct ol_space_view *s,
                   struct openlineage_v1_namespace *out)
{
    MSG_SET(out, OPENLINEAGE_V1_NAMESPACE_HAS_NAME, name, s->name);
    MSG_SET(out, OPENLINEAGE_V1_NAMESPACE_HAS_OWNER_NAME, owner_name, S("anonymous"));
    MSG_SET(out, OPENLINEAGE_V1_NAMESPACE_HAS_DESCRIPTION, description, S(""));
    MSG_SET(out, OPENLINEAGE_V1_NAMESPACE_HAS_IS_HIDDEN, is_hidden, s->hidden);
    return TIME(a, s->create_us, out, OPENLINEAGE_V1_NAMESPACE_HAS_CREATED_AT, created_at) &&
           TIME(a, s->update_us, out, OPENLINEAGE_V1_NAMESPACE_HAS_UPDATED_AT, updated_at);
}

bool ol_show_source(struct arena *a, const struct ol_space_view *s,
                    struct openlineage_v1_source *out)
{
    size_t n = str_find_byte(s->name, ':', 0);
    char *type = arena_cstr(a, n == SIZE_MAX ? s->name : str_sub(s->name, 0, n));

    if (!type) {
        return false;
    }
    for (char *c = type; *c; c++) {
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - ('a' - 'A'));
    }
    MSG_SET(out, OPENLINEAGE_V1_SOURCE_HAS_TYPE, type, str_cstr(type));
    MSG_SET(out, OPENLINEAGE_V1_SOURCE_HAS_NAME, name, s->name);
    MSG_SET(out, OPENLINEAGE_V1_SOURCE_HAS_CONNECTION_URL, connection_url, s->name);
    MSG_SET(out, OPENLINEAGE_V1_SOURCE_HAS_DESCRIPTION, description, S(""));
    return TIME(a, s->create_us, out, OPENLINEAGE_V1_SOURCE_HAS_CREATED_AT, created_at) &&
           TIME(a, s->update_us, out, OPENLINEAGE_V1_SOURCE_HAS_UPDATED_AT, updated_at);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------ */

static struct str state_name(enum ol_state s)
{
    switch (s) {
    case OL_STATE_NEW: return S("NEW");
    case OL_STATE_RUNNING: return S("RUNNING");
    case OL_STATE_COMPLETE: return S("COMPLETED");
    case OL_STATE_FAILED: return S("FAILED");
    case OL_STATE_CANCELLED: return S("ABORTED");
    }
    return S("NEW");
}

static bool versions_of(struct arena *a, const struct ol_run_view *r, bool out,
                        const struct ol_name *names, bool facets,
                        struct openlineage_v1_version_facets **to, size_t *to_n)
{
    const struct ol_link_view *p = out ? r->out : r->in;
    size_t n = out ? r->out_n : r->in_n;
    struct openlineage_v1_version_facets *x =
        ARENA_ARRAY(a, struct openlineage_v1_version_facets, n + 1);

    *to = x;
    *to_n = 0;
    for (size_t i = 0; x && i < n; i++) {
        struct str json = nothing;
        struct openlineage_v1_id *id;

        if (!names[i].name.p) {
            continue;
        }
        if (facets) {
            json = ol_show_facets(a, r->facets, r->facets_n, out ? OL_OF_OUTPUT : OL_OF_INPUT,
                                  p[i].dataset);
        }
        id = id_of(a, &names[i], ol_id_text(a, OL_ID_VERSION, p[i].version));
        if (!json.p || !id) {
            return false;
        }
        MSG_SET(&x[*to_n], OPENLINEAGE_V1_VERSION_FACETS_HAS_DATASET_VERSION_ID, dataset_version_id,
                id);
        MSG_SET(&x[*to_n], OPENLINEAGE_V1_VERSION_FACETS_HAS_FACETS, facets, json);
        ++*to_n;
    }
    return x != NULL;
}

bool ol_show_run(struct arena *a, const struct ol_run_view *r, const struct ol_name *names,
                 bool facets, struct openlineage_v1_run *out)
{
    struct str json = facets ? ol_show_facets(a, r->facets, r->facets_n, OL_OF_SELF, 0) : nothing;
    bool fine = json.p != NULL;

    MSG_SET(out, OPENLINEAGE_V1_RUN_HAS_ID, id, r->id);
    SET_IF(out, OPENLINEAGE_V1_RUN_HAS_EXTERNAL_ID, external_id, r->text);
    MSG_SET(out, OPENLINEAGE_V1_RUN_HAS_STATE, state, state_name(r->state));
    MSG_SET(out, OPENLINEAGE_V1_RUN_HAS_ARGS, args, nothing);
    MSG_SET(out, OPENLINEAGE_V1_RUN_HAS_FACETS, facets, json);
    fine = fine && TIME(a, r->create_us, out, OPENLINEAGE_V1_RUN_HAS_CREATED_AT, created_at) &&
           TIME(a, r->update_us, out, OPENLINEAGE_V1_RUN_HAS_UPDATED_AT, updated_at);
    if (fine && r->has_start)
        fine = TIME(a, r->start_us, out, OPENLINEAGE_V1_RUN_HAS_STARTED_AT, started_at);
    if (fine && r->has_end)
        fine = TIME(a, r->end_us, out, OPENLINEAGE_V1_RUN_HAS_ENDED_AT, ended_at);
    if (fine && r->has_nominal_start) {
        fine = TIME(a, r->nominal_start_us, out, OPENLINEAGE_V1_RUN_HAS_NOMINAL_START_TIME,
                    nominal_start_time);
    }
    if (fine && r->has_nominal_end) {
        fine = TIME(a, r->nominal_end_us, out, OPENLINEAGE_V1_RUN_HAS_NOMINAL_END_TIME,
                    nominal_end_time);
    }
    if (r->has_start && r->has_end && r->end_us >= r->start_us) {
        MSG_SET(out, OPENLINEAGE_V1_RUN_HAS_DURATION_MS, duration_ms,
                (r->end_us - r->start_us) / 1000);
    }
    if (!fine || !names) {
        return fine;
    }
    MSG_SET(out, OPENLINEAGE_V1_RUN_HAS_JOB_VERSION, job_version,
            id_of(a, &r->name, ol_job_version_text(a, &r->version)));
    out->has |= OPENLINEAGE_V1_RUN_HAS_INPUT_DATASET_VERSIONS |
                OPENLINEAGE_V1_RUN_HAS_OUTPUT_DATASET_VERSIONS;
    return out->job_version &&
           versions_of(a, r, false, names, facets, &out->input_dataset_versions,
                       &out->input_dataset_versions_n) &&
           versions_of(a, r, true, names + r->in_n, facets, &out->output_dataset_versions,
                       &out->output_dataset_versions_n);
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------------- */

bool ol_show_job(struct arena *a, const struct ol_job_view *j, bool facets,
                 struct openlineage_v1_job *out)
{
    static const struct str types[] = {
        [OL_BATCH] = { "BATCH", 5 }, [OL_STREAM] = { "STREAM", 6 }, [OL_SERVICE] = { "SERVICE", 7 }
    };

    MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_ID, id, id_of(a, &j->name, (struct str){ NULL, 0 }));
    MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_TYPE, type, types[j->type]);
    MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_NAME, name, j->name.name);
    MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_SIMPLE_NAME, simple_name, j->simple_name);
    MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_NAMESPACE, namespace, j->name.ns);
    SET_IF(out, OPENLINEAGE_V1_JOB_HAS_PARENT_JOB_NAME, parent_job_name, j->parent_name);
    SET_IF(out, OPENLINEAGE_V1_JOB_HAS_LOCATION, location, j->location);
    SET_IF(out, OPENLINEAGE_V1_JOB_HAS_DESCRIPTION, description, j->description);
    if (j->parent_job) {
        MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_PARENT_JOB_UUID, parent_job_uuid,
                ol_id_text(a, OL_ID_JOB, j->parent_job));
    }
    out->has |= OPENLINEAGE_V1_JOB_HAS_INPUTS | OPENLINEAGE_V1_JOB_HAS_OUTPUTS |
                OPENLINEAGE_V1_JOB_HAS_LABELS | OPENLINEAGE_V1_JOB_HAS_TAGS;
    out->inputs_n = j->in_n;
    out->outputs_n = j->out_n;
    out->tags = j->tags;
    out->tags_n = j->tags_n;
    MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_CURRENT_VERSION, current_version,
            ol_job_version_text(a, &j->version));
    if (facets) {
        MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_FACETS, facets,
                ol_show_facets(a, j->facets, j->facets_n, OL_OF_SELF, 0));
    }
    if (j->run) {
        MSG_SET(out, OPENLINEAGE_V1_JOB_HAS_LATEST_RUN, latest_run,
                ARENA_NEW(a, struct openlineage_v1_run));
        if (!out->latest_run || !ol_show_run(a, j->run, NULL, facets, out->latest_run)) {
            return false;
        }
    }
    return out->id && out->current_version.p && (!facets || out->facets.p) &&
           (!j->parent_job || out->parent_job_uuid.p) &&
           ol_show_ids(a, j->in, j->in_n, &out->inputs) &&
           ol_show_ids(a, j->out, j->out_n, &out->outputs) &&
           TIME(a, j->create_us, out, OPENLINEAGE_V1_JOB_HAS_CREATED_AT, created_at) &&
           TIME(a, j->update_us, out, OPENLINEAGE_V1_JOB_HAS_UPDATED_AT, updated_at);
}

/* ---- data sets ---------------------------------------------------------------------------------------------------------------------- */

static struct openlineage_v1_field *fields_of(struct arena *a, const struct ol_dataset_view *d)
{
    struct openlineage_v1_field *p = ARENA_ARRAY(a, struct openlineage_v1_field, d->fields_n + 1);

    for (size_t i = 0; p && i < d->fields_n; i++) {
        const struct ol_field_view *f = &d->fields[i];

        MSG_SET(&p[i], OPENLINEAGE_V1_FIELD_HAS_NAME, name, f->name);
        SET_IF(&p[i], OPENLINEAGE_V1_FIELD_HAS_TYPE, type, f->type);
        SET_IF(&p[i], OPENLINEAGE_V1_FIELD_HAS_DESCRIPTION, description, f->description);
        p[i].has |= OPENLINEAGE_V1_FIELD_HAS_TAGS;
        p[i].tags = f->tags;
        p[i].tags_n = f->tags_n;
    }
    return p;
}

bool ol_show_dataset(struct arena *a, const struct ol_dataset_view *d, int64_t modified_us,
                     bool facets, struct openlineage_v1_dataset *out)
{
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_ID, id, id_of(a, &d->name, (struct str){ NULL, 0 }));
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_TYPE, type, d->is_stream ? S("STREAM") : S("DB_TABLE"));
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_NAME, name, d->name.name);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_PHYSICAL_NAME, physical_name, d->name.name);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_NAMESPACE, namespace, d->name.ns);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_SOURCE_NAME, source_name, d->name.ns);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_FIELDS, fields, fields_of(a, d));
    out->fields_n = d->fields_n;
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_TAGS, tags, d->tags);
    out->tags_n = d->tags_n;
    SET_IF(out, OPENLINEAGE_V1_DATASET_HAS_DESCRIPTION, description, d->description);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_LAST_LIFECYCLE_STATE, last_lifecycle_state,
            d->lifecycle.p ? d->lifecycle : S(""));
    MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_DELETED, deleted, d->is_gone || !d->shown);
    if (d->version) {
        MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_CURRENT_VERSION, current_version,
                ol_id_text(a, OL_ID_VERSION, d->version));
    }
    if (facets) {
        MSG_SET(out, OPENLINEAGE_V1_DATASET_HAS_FACETS, facets,
                ol_show_facets(a, d->facets, d->facets_n, OL_OF_SELF, 0));
    }
    if (modified_us == INT64_MIN) {
        modified_us = d->update_us;
    }
    return out->id && out->fields && (!facets || out->facets.p) &&
           (!d->version || out->current_version.p) &&
           TIME(a, d->create_us, out, OPENLINEAGE_V1_DATASET_HAS_CREATED_AT, created_at) &&
           TIME(a, d->update_us, out, OPENLINEAGE_V1_DATASET_HAS_UPDATED_AT, updated_at) &&
           TIME(a, modified_us, out, OPENLINEAGE_V1_DATASET_HAS_LAST_MODIFIED_AT, last_modified_at);
}

bool ol_show_version(struct arena *a, const struct ol_version_view *x,
                     struct openlineage_v1_dataset_version *out)
{
    const struct ol_dataset_view *d = &x->set;
    struct str id = ol_id_text(a, OL_ID_VERSION, x->uid);

    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_ID, id, id_of(a, &d->name, id));
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_TYPE, type,
            d->is_stream ? S("STREAM") : S("DB_TABLE"));
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_NAME, name, d->name.name);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_PHYSICAL_NAME, physical_name, d->name.name);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_VERSION, version, id);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_NAMESPACE, namespace, d->name.ns);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_SOURCE_NAME, source_name, d->name.ns);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_FIELDS, fields, fields_of(a, d));
    out->fields_n = d->fields_n;
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_TAGS, tags, d->tags);
    out->tags_n = d->tags_n;
    SET_IF(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_DESCRIPTION, description, d->description);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_LIFECYCLE_STATE, lifecycle_state,
            d->lifecycle.p ? d->lifecycle : S(""));
    SET_IF(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_EXTERNAL_VERSION, external_version, x->said);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_FACETS, facets,
            ol_show_facets(a, d->facets, d->facets_n, OL_OF_SELF, 0));
    if (x->by) {
        MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSION_HAS_CREATED_BY_RUN, created_by_run,
                ARENA_NEW(a, struct openlineage_v1_run));
        if (!out->created_by_run || !ol_show_run(a, x->by, NULL, false, out->created_by_run)) {
            return false;
        }
    }
    return out->id && out->fields && out->facets.p && id.p &&
           TIME(a, x->event_us, out, OPENLINEAGE_V1_DATASET_VERSION_HAS_CREATED_AT, created_at);
}

bool ol_show_columns(struct arena *a, const struct ol_said_column *p, size_t n,
                     struct openlineage_v1_dataset *out)
{
    out->column_lineage = ARENA_ARRAY(a, struct openlineage_v1_column, n + 1);
    out->column_lineage_n = n;
    out->has |= OPENLINEAGE_V1_DATASET_HAS_COLUMN_LINEAGE;
    for (size_t i = 0; out->column_lineage && i < n; i++) {
        struct openlineage_v1_column *c = &out->column_lineage[i];

        MSG_SET(c, OPENLINEAGE_V1_COLUMN_HAS_NAME, name, p[i].field);
        MSG_SET(c, OPENLINEAGE_V1_COLUMN_HAS_INPUT_FIELDS, input_fields,
                ARENA_ARRAY(a, struct openlineage_v1_column_input, p[i].in_n + 1));
        c->input_fields_n = p[i].in_n;
        if (!c->input_fields) {
            return false;
        }
        for (size_t k = 0; k < p[i].in_n; k++) {
            const struct ol_said_input *in = &p[i].in[k];
            struct openlineage_v1_column_input *to = &c->input_fields[k];

            MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_NAMESPACE, namespace, in->from.ns);
            MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_DATASET, dataset, in->from.name);
            MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_FIELD, field, in->field);
            SET_IF(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_TRANSFORMATION_TYPE, transformation_type,
                   in->type);
            SET_IF(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_TRANSFORMATION_DESCRIPTION,
                   transformation_description, in->description);
        }
    }
    return out->column_lineage != NULL;
}
