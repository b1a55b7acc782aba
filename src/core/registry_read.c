/* core/registry_read.c - reading registered models and versions, and their history. */
#include "base/num.h"
#include "core/model_source.h"
#include "core/node.h"
#include "core/registry.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

static const char *const stage_names[] = { "None", "Staging", "Production", "Archived",
                                           "Deleted_Internal" };

const char *stage_name(enum model_stage stage)
{
    return stage_names[stage];
}

enum status stage_parse(struct str text, enum model_stage *out, struct err *err)
{
    for (int i = STAGE_NONE; i <= STAGE_ARCHIVED; i++) {
        if (str_eq_nocase(text, str_cstr(stage_names[i]))) {
            *out = (enum model_stage)i;
            return OK;
        }
    }
    return err_field(
        err, ST_INVALID, "stage",
        "Invalid Model Version stage: %.*s. Value must be one of None, Staging, Production, "
        "Archived.",
        STR_ARG(text));
}

const char *registry_event_name(enum registry_event_kind kind)
{
    static const char *const names[] = {
        [REGISTRY_CREATED] = "created", [REGISTRY_DELETED] = "deleted",
        [REGISTRY_RENAMED] = "renamed", [REGISTRY_DESCRIPTION] = "description",
        [REGISTRY_STAGE] = "stage",     [REGISTRY_ALIAS] = "alias",
        [REGISTRY_TAG] = "tag",         [REGISTRY_PROPERTY] = "property",
    };

    return kind >= REGISTRY_CREATED && kind <= REGISTRY_PROPERTY ? names[kind] : "";
}

enum status registry_event_parse(struct str text, enum registry_event_kind *out, struct err *err)
{
    for (int i = REGISTRY_CREATED; i <= REGISTRY_PROPERTY; i++) {
        if (str_eq(text, str_cstr(registry_event_name((enum registry_event_kind)i)))) {
            *out = (enum registry_event_kind)i;
            return OK;
        }
    }
    return err_field(err, ST_INVALID, "what",
                     "'%.*s' is no kind of event: created, deleted, renamed, description, stage, "
                     "alias, tag, property",
                     STR_ARG(text));
}

/* ---- parts ------------------------------------------------------------------------------------------------------------- */

static enum status read_aliases(struct view *v, struct registered_model *m, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_model_alias_all_row row;
    size_t cap = 0;
    enum status st = q_model_alias_all_open(v->conn, &stmt, m->uid, err);

    while (!st && (st = q_model_alias_all_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.alias) ||
            !arena_grow(v->arena, (void **)&m->aliases, m->aliases_n, &cap, sizeof(*m->aliases))) {
            st = err_nomem(err);
            break;
        }
        m->aliases[m->aliases_n++] = (struct model_alias){ row.alias, row.version };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status aliases_of_version(struct view *v, int64_t model, struct model_version *out,
                                      struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_model_alias_of_version_row row;
    size_t cap = 0;
    enum status st = q_model_alias_of_version_open(v->conn, &stmt, model, out->version, err);

    while (!st && (st = q_model_alias_of_version_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.alias) || !arena_grow(v->arena, (void **)&out->aliases,
                                                     out->aliases_n, &cap, sizeof(*out->aliases))) {
            st = err_nomem(err);
            break;
        }
        out->aliases[out->aliases_n++] = row.alias;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status read_row(struct view *v, struct str name, struct registered_model *out,
                            struct err *err)
{
    struct q_registered_model_get_row row;
    enum status st = q_registered_model_get(v->conn, v->arena, name, &row, err);

    *out = (struct registered_model){ 0 };
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "name", "Registered Model with name=%.*s not found",
                         STR_ARG(name));
    }
    if (!st) {
        *out = (struct registered_model){ .uid = row.uid,
                                          .name = row.name,
                                          .description = row.description,
                                          .prompt = row.prompt != 0,
                                          .last = row.last,
                                          .create_ms = row.create_ms,
                                          .update_ms = row.update_ms };
    }
    return st;
}

static enum status version_not_found(struct str name, int64_t version, struct err *err)
{
    return err_field(err, ST_NOT_FOUND, "version",
                     "Model Version (name=%.*s, version=%" PRId64 ") not found", STR_ARG(name),
                     version);
}

enum status registry_version(struct view *v, int64_t model, struct str name, int64_t version,
                             struct model_version *out, struct err *err)
{
    struct q_model_version_get_row row;
    enum status st = q_model_version_get(v->conn, v->arena, model, version, &row, err);

    *out = (struct model_version){ 0 };
    if (st == ST_NOT_FOUND || (!st && row.stage == STAGE_DELETED)) {
        return version_not_found(name, version, err);
    }
    if (st) {
        return st;
    }
    *out = (struct model_version){ .uid = row.uid,
                                   .version = row.version,
                                   .name = name,
                                   .stage = (enum model_stage)row.stage,
                                   .description = row.description,
                                   .source = row.source,
                                   .storage = row.storage,
                                   .run_id = row.run_id,
                                   .run_link = row.run_link,
                                   .model_id = row.model_id,
                                   .prompt = row.prompt != 0,
                                   .create_ms = row.create_ms,
                                   .update_ms = row.update_ms };
    if (!source_redact(v->arena, &out->source) || !source_redact(v->arena, &out->storage)) {
        return err_nomem(err);
    }
    st = node_texts(v, row.uid, PROP_TAG, &out->tags, &out->tags_n, err);
    return st ? st : aliases_of_version(v, model, out, err);
}

struct stage_ends {
    int64_t last, first;
};

/* The ends of each stage that has versions, the stage with the oldest version first. Most models have None only. */
static enum status read_ends(struct view *v, const struct registered_model *m,
                             struct stage_ends *ends, size_t *n, struct err *err)
{
    struct q_model_version_last_row last;
    struct q_model_version_first_row first;
    struct q_model_version_staged_row staged = { .stage = STAGE_DELETED };
    enum status st = q_model_version_staged(v->conn, v->arena, m->uid, &staged, err);
    int from = (int)staged.stage;

    st = st == ST_NOT_FOUND ? OK : st;
    for (int stage = STAGE_NONE; !st && stage < STAGE_DELETED; stage = MAX_OF(stage + 1, from)) {
        size_t at = *n;

        st = q_model_version_last(v->conn, v->arena, m->uid, stage, &last, err);
        if (!st && from < STAGE_DELETED) { /* their order matters */
            st = q_model_version_first(v->conn, v->arena, m->uid, stage, &first, err);
        }
        if (st) {
            st = st == ST_NOT_FOUND ? OK : st;
            continue;
        }
        for (; at > 0 && ends[at - 1].first > first.version; at--) {
            ends[at] = ends[at - 1];
        }
        ends[at] = (struct stage_ends){ last.version, from < STAGE_DELETED ? first.version : 0 };
        ++*n;
    }
    return st;
}

/* The newest version of each stage. */
static enum status read_latest(struct view *v, struct registered_model *m, struct err *err)
{
    struct stage_ends ends[STAGE_DELETED];
    size_t n = 0;
    enum status st = m->last ? read_ends(v, m, ends, &n, err) : OK;

    m->latest = ARENA_ARRAY(v->arena, struct model_version, n + 1);
    if (!m->latest) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = registry_version(v, m->uid, m->name, ends[i].last, &m->latest[i], err);
        m->latest_n += !st;
    }
    return st;
}

enum status registered_model_get(struct view *v, struct str name, struct registered_model *out,
                                 struct err *err)
{
    enum status st = read_row(v, name, out, err);

    st = st ? st : node_texts(v, out->uid, PROP_TAG, &out->tags, &out->tags_n, err);
    if (!st && out->last) { /* without versions there is nothing to name */
        st = read_aliases(v, out, err);
    }
    return st ? st : read_latest(v, out, err);
}

enum status model_version_get(struct view *v, struct str name, int64_t version,
                              struct model_version *out, struct err *err)
{
    struct q_registered_model_uid_row m;
    enum status st = q_registered_model_uid(v->conn, v->arena, name, &m, err);

    return st == ST_NOT_FOUND ? version_not_found(name, version, err)
           : st               ? st
                              : registry_version(v, m.uid, name, version, out, err);
}

enum status model_version_by_alias(struct view *v, struct str name, struct str alias,
                                   struct model_version *out, struct err *err)
{
    struct q_model_alias_get_row row;
    struct registered_model m;
    enum status st = read_row(v, name, &m, err);

    if (st) {
        return st;
    }
    if (str_eq_nocase(alias, S("latest"))) {
        st = read_latest(v, &m, err);
        for (size_t i = 0; !st && i < m.latest_n; i++) {
            if (i == 0 || m.latest[i].version > out->version) {
                *out = m.latest[i];
            }
        }
        return st || m.latest_n
                   ? st
                   : err_field(err, ST_NOT_FOUND, "alias",
                               "Latest version not found for model %.*s.", STR_ARG(name));
    }
    st = q_model_alias_get(v->conn, v->arena, m.uid, alias, &row, err);
    if (st != ST_NOT_FOUND) {
        return st ? st : registry_version(v, m.uid, m.name, row.version, out, err);
    }
    return err_field(err, ST_INVALID, "alias", "Registered model alias %.*s not found.",
                     STR_ARG(alias));
}

enum status model_versions_latest(struct view *v, struct str name, unsigned stages,
                                  struct model_version **out, size_t *n, struct err *err)
{
    struct registered_model m;
    enum status st = registered_model_get(v, name, &m, err);

    *out = m.latest;
    *n = 0;
    for (size_t i = 0; !st && i < m.latest_n; i++) {
        if (stages & (1u << m.latest[i].stage)) {
            (*out)[(*n)++] = m.latest[i];
        }
    }
    return st;
}

/* ---- history ------------------------------------------------------------------------------------------------------------ */

/* The model of that name, or the latest that was deleted; *gone_ms: when, INT64_MAX while it lives. */
static enum status find_past(struct view *v, struct str name, int64_t *uid, int64_t *gone_ms,
                             struct err *err)
{
    struct q_registered_model_uid_row now;
    struct q_registered_model_gone_row gone;
    enum status st = q_registered_model_uid(v->conn, v->arena, name, &now, err);

    *gone_ms = INT64_MAX;
    if (st != ST_NOT_FOUND) {
        *uid = st ? 0 : now.uid;
        return st;
    }
    st = q_registered_model_gone(v->conn, v->arena, name, &gone, err);
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "name", "Registered Model with name=%.*s not found",
                         STR_ARG(name));
    }
    *uid = st ? 0 : gone.uid;
    *gone_ms = st ? 0 : gone.seen_ms;
    return st;
}

/* Where a page begins: behind the event of that number. */
static enum status read_token(struct str token, int64_t *before, struct err *err)
{
    *before = INT64_MAX;
    if (!token.n || (num_parse_i64(token, before) && *before > 0)) {
        return OK;
    }
    return err_field(err, ST_INVALID, "page_token", "'%.*s' is no page of this history",
                     STR_ARG(token));
}

static enum status keep_event(struct view *v, const struct q_registry_log_of_model_row *row,
                              struct registry_event *to, struct err *err)
{
    *to = (struct registry_event){ .kind = (enum registry_event_kind)row->what,
                                   .version = row->version,
                                   .key = row->key,
                                   .value = row->value,
                                   .who = row->who,
                                   .at_ms = row->seen_ms };
    if (!view_keep(v, &to->key) || !view_keep(v, &to->value) || !view_keep(v, &to->who)) {
        return err_nomem(err);
    }
    if (to->kind == REGISTRY_CREATED && to->version && !source_redact(v->arena, &to->value)) {
        return err_nomem(err);
    }
    return OK;
}

enum status registry_history(struct view *v, const struct registry_history *in,
                             struct registry_event **out, size_t *n, struct str *next_token,
                             struct err *err)
{
    struct q_registry_log_of_model_row row;
    struct sql_stmt *stmt = NULL;
    int64_t uid, gone_ms, before, last = 0;
    size_t cap = 0, bytes = 0;
    bool more = false;
    enum status st = read_token(in->page.token, &before, err);

    *out = NULL;
    *n = 0;
    *next_token = (struct str){ NULL, 0 };
    st = st ? st : find_past(v, in->name, &uid, &gone_ms, err);
    st = st ? st
            : q_registry_log_of_model_open(v->conn, &stmt, uid, before, in->what, in->version,
                                           in->key, in->until_ms, (int64_t)in->page.max + 1, err);
    while (!st && (st = q_registry_log_of_model_next(stmt, &row, err)) == OK) {
        more = *n == in->page.max || bytes > REGISTRY_PAGE_BYTES;
        if (more) {
            break;
        }
        if (!arena_grow(v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        st = keep_event(v, &row, &(*out)[*n], err);
        bytes += row.value.n;
        last = row.seq;
        *n += !st;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    if (!st && more) {
        *next_token = arena_printf(v->arena, "%" PRId64, last);
        st = next_token->p ? OK : err_nomem(err);
    }
    return st;
}

enum status registry_alias_at(struct view *v, struct str name, struct str alias, int64_t at_ms,
                              int64_t *version, struct str *who, int64_t *since_ms, struct err *err)
{
    struct q_registry_alias_at_row row = { 0 };
    int64_t uid, gone_ms;
    enum status st = find_past(v, name, &uid, &gone_ms, err);

    *version = 0;
    *since_ms = 0;
    *who = S("");
    if (st || (gone_ms != INT64_MAX && at_ms >= gone_ms)) {
        return st;
    }
    st = q_registry_alias_at(v->conn, v->arena, uid, alias, at_ms, &row, err);
    if (!st && row.value.p) {
        *version = row.version;
        *who = row.who;
        *since_ms = row.seen_ms;
    }
    return st == ST_NOT_FOUND ? OK : st;
}
