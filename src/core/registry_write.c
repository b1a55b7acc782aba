/* core/registry_write.c - changes of the registry, on the sequencer. */
#include "base/hash.h"
#include "base/num.h"
#include "base/utf8.h"
#include "core/catalog.h"
#include "core/model_source.h"
#include "core/names.h"
#include "core/node.h"
#include "core/registry_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

enum { PLACE_KEY_MAX = 1024 };

#define MODEL_VERSIONS_TAG S("mlflow.modelVersions")

/* ---- names -------------------------------------------------------------------------------------------------------------- */

enum status name_check_registered_model(struct str name, const char *path, struct err *err)
{
    struct arena *a;
    struct str norm;
    enum status st;

    if (str_trim(name).n == 0) {
        return err_field(err, ST_INVALID, path, "Missing value for required parameter '%s'.", path);
    }
    if (str_find_byte(name, '/', 0) != SIZE_MAX || str_find_byte(name, ':', 0) != SIZE_MAX) {
        return err_field(err, ST_INVALID, path,
                         "Invalid model name '%.*s'. Names cannot contain '/' or ':'.",
                         STR_ARG(name));
    }
    st = name_check_length(name, path, REGISTRY_NAME_MAX, err);
    a = st ? NULL : arena_new(65536);
    if (st || !a) {
        return st ? st : err_nomem(err);
    }
    norm = name_normpath(a, name);
    if (!norm.p) {
        st = err_nomem(err);
    } else if (!str_eq(norm, name) || str_eq_lit(norm, ".") || str_starts(norm, S(".."))) {
        st = err_field(
            err, ST_INVALID, path,
            "Invalid value \"%.*s\" for parameter '%s' supplied: Names may be treated as files in "
            "certain cases, and must not resolve to other names when treated as such. This name would "
            "resolve to '%.*s'",
            STR_ARG(name), path, STR_ARG(norm));
    }
    arena_free(a);
    return st;
}

static bool is_version_alias(struct str s)
{
    if (s.n < 2 || (s.p[0] != 'v' && s.p[0] != 'V')) {
        return false;
    }
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return true;
}

enum status name_check_model_alias(struct str alias, bool set, struct err *err)
{
    for (size_t at = 0; at < alias.n;) {
        uint32_t cp = utf8_next(alias, &at);

        if (cp != '-' && !utf8_is_word(cp)) {
            return err_field(
                err, ST_INVALID, "alias",
                "Invalid alias name: '%.*s'. Names may only contain alphanumerics, underscores (_), "
                "and dashes (-).",
                STR_ARG(alias));
        }
    }
    if (set && str_eq_nocase(alias, S("latest"))) {
        return err_field(err, ST_INVALID, "alias",
                         "'latest' alias name (case insensitive) is reserved.");
    }
    if (set && is_version_alias(alias)) {
        return err_field(err, ST_INVALID, "alias", "Version alias name '%.*s' is reserved.",
                         STR_ARG(alias));
    }
    return name_check_length(alias, "Registered model alias name", REGISTRY_ALIAS_MAX, err);
}

enum status name_check_registry_tag(struct str key, struct str value, struct err *err)
{
    enum status st = name_check_tag(key, "key", err);

    return st ? st : name_check_length(value, "value", REGISTRY_TAG_VALUE_MAX, err);
}

enum status model_version_parse(struct str text, int64_t *out, struct err *err)
{
    if (num_parse_i64(str_trim(text), out)) {
        return OK;
    }
    return err_field(err, ST_INVALID, "version",
                     "Parameter 'version' must be an integer, got '%.*s'.", STR_ARG(text));
}

/* ---- shared ------------------------------------------------------------------------------------------------------------ */

static const struct str no_value = { NULL, 0 };

struct subject {
    struct group *g;
    struct view v; /* reads what the group has written */
    struct q_registered_model_get_row model;
    struct str who;
};

static enum status find_model(struct subject *s, struct group *g, struct write_op *op,
                              struct core *core, struct str name, struct str who, struct err *err)
{
    enum status st;

    *s = (struct subject){ .g = g,
                           .v = { .core = core, .conn = group_conn(g), .arena = op->arena },
                           .who = who };
    st = q_registered_model_get(s->v.conn, op->arena, name, &s->model, err);
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "name", "Registered Model with name=%.*s not found",
                         STR_ARG(name));
    }
    return st;
}

static enum status note(struct subject *s, int64_t version, enum registry_event_kind what,
                        struct str key, struct str value, struct err *err)
{
    return q_registry_log_append(s->v.conn, s->model.uid, version, what, key, value, s->who,
                                 group_now_ms(s->g), err);
}

static enum status touch(struct subject *s, struct err *err)
{
    return q_registered_model_touch(s->v.conn, s->model.uid, group_now_ms(s->g), err);
}

/* Requests mean a prompt by the tag in any case; searches find prompts by exactly "true". */
static bool is_true(const struct key_value *tags, size_t n, bool exactly)
{
    bool found = false;

    for (size_t i = 0; i < n; i++) {
        if (str_eq(tags[i].key, PROMPT_TAG)) {
            found = exactly ? str_eq_lit(tags[i].value, "true")
                            : str_eq_nocase(tags[i].value, S("true"));
        }
    }
    return found;
}

static enum status set_tags(struct subject *s, int64_t uid, int64_t version,
                            const struct key_value *tags, size_t n, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = q_prop_set_text(s->v.conn, uid, PROP_TAG, tags[i].key, tags[i].value, err);
        st = st ? st : note(s, version, REGISTRY_TAG, tags[i].key, tags[i].value, err);
    }
    return st;
}

/* ---- registered models --------------------------------------------------------------------------------------------------- */

static enum status name_taken(struct str name, bool old_prompt, bool prompt, struct err *err)
{
    static const char *const names[] = { "Registered Model", "Prompt" };
    static const char *const lower[] = { "registered model", "prompt" };

    if (old_prompt != prompt) {
        return err_field(
            err, ST_EXISTS, "name",
            "Tried to create a %s with name '%.*s', but the name is already taken by a %s. MLflow does "
            "not allow creating a model and a prompt with the same name.",
            lower[prompt], STR_ARG(name), lower[old_prompt]);
    }
    return err_field(err, ST_EXISTS, "name", "%s (name=%.*s) already exists.", names[prompt],
                     STR_ARG(name));
}

/* s: of find_model(), which found none of that name. */
static enum status model_insert(struct subject *s, struct str name, struct str description,
                                bool prompt, struct err *err)
{
    struct node_new node = { .kind = NODE_CONTEXT,
                             .type = TYPE_MLFLOW_REGISTERED_MODEL,
                             .scheme = IDENT_REGISTERED_MODEL,
                             .ident = name };
    enum status st = group_node_add(s->g, &node, &s->model.uid, err);

    st = st ? st
            : q_registered_model_insert(s->v.conn, s->model.uid, name, description, prompt,
                                        group_now_ms(s->g), err);
    return st ? st : note(s, 0, REGISTRY_CREATED, S(""), name, err);
}

enum status group_registered_model_create(struct group *g, struct registered_model_create *c,
                                          struct err *err)
{
    bool prompt = is_true(c->tags, c->tags_n, false);
    struct subject s = { 0 };
    struct err ignored = ERR_INIT;
    enum status st = find_model(&s, g, &c->op, c->core, c->name, c->who, &ignored);

    if (st != ST_NOT_FOUND) {
        *err = ignored;
        return st ? st : name_taken(c->name, s.model.prompt != 0, prompt, err);
    }
    st = model_insert(&s, c->name, c->description.p ? c->description : S(""),
                      is_true(c->tags, c->tags_n, true), err);
    if (!st && c->description.n) {
        st = note(&s, 0, REGISTRY_DESCRIPTION, S(""), c->description, err);
    }
    st = st ? st : set_tags(&s, s.model.uid, 0, c->tags, c->tags_n, err);
    return st ? st : registered_model_get(&s.v, c->name, &c->model, err);
}

static enum status model_create_validate(struct write_op *op, struct group *g, struct err *err)
{
    return group_registered_model_create(g, WRITE_OP_OF(op, struct registered_model_create), err);
}

static const struct write_kind model_create_kind = { .name = "registered_model.create",
                                                     .validate = model_create_validate,
                                                     .sql = true };

void registered_model_create_init(struct registered_model_create *c, struct core *core,
                                  struct arena *a)
{
    *c = (struct registered_model_create){ .op = { .kind = &model_create_kind, .arena = a },
                                           .core = core };
}

/* ---- versions ------------------------------------------------------------------------------------------------------------- */

/* The logged model's tag lists the versions made from it: [{"name": "x", "version": "1"}]. */
static enum status tag_logged_model(struct subject *s, int64_t uid, struct str name,
                                    int64_t version, struct err *err)
{
    struct q_prop_text_row old = { 0 };
    struct arena *a = s->v.arena;
    struct str entry, quoted = name_json_quoted(a, name), list;
    enum status st = q_prop_text(s->v.conn, a, uid, PROP_TAG, MODEL_VERSIONS_TAG, &old, err);

    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    entry =
        arena_printf(a, "{\"name\": %.*s, \"version\": \"%" PRId64 "\"}", STR_ARG(quoted), version);
    if (!quoted.p || !entry.p) {
        return err_nomem(err);
    }
    if (!st && str_starts(old.value, S("[{")) && str_ends(old.value, S("}]"))) {
        list = arena_printf(a, "%.*s, %.*s]", STR_ARG(str_sub(old.value, 0, old.value.n - 1)),
                            STR_ARG(entry));
    } else {
        list = arena_printf(a, "[%.*s]", STR_ARG(entry));
    }
    if (list.n > REGISTRY_TAG_VALUE_MAX) { /* enough; model_version.model_id has them all */
        return OK;
    }
    return list.p ? q_prop_set_text(s->v.conn, uid, PROP_TAG, MODEL_VERSIONS_TAG, list, err)
                  : err_nomem(err);
}

/* The artifact that the version stands for, attributed to it: the logged model, or one named by its place, which is then an
 * output of the run. */
static enum status attribute(struct subject *s, const struct model_source *from, int64_t version,
                             struct err *err)
{
    struct node_new node = { .kind = NODE_ARTIFACT,
                             .type = TYPE_MODEL,
                             .scheme = IDENT_MODEL_PLACE,
                             .ident = from->storage,
                             .uri = from->storage };
    int64_t model = from->model_uid, run;
    char hex[65];
    struct digest d;
    bool added;
    enum status st = OK;

    if (from->storage.n > PLACE_KEY_MAX) { /* too long for a key of the database */
        if (!sha256_of(from->storage.p, from->storage.n, &d)) {
            return err_nomem(err);
        }
        digest_hex(&d, hex);
        node.ident = str_of(hex, 64);
    }
    if (!model) {
        st = group_node_find(s->g, IDENT_MODEL_PLACE, node.ident, &model, err);
        if (st == ST_NOT_FOUND) {
            st = group_node_add(s->g, &node, &model, err);
        }
    }
    st = st ? st : group_member_add(s->g, version, model, MEMBER_OF_VERSION, err);
    if (st || !from->run_id.n) {
        return st;
    }
    st = group_node_find(s->g, IDENT_MLFLOW_RUN, from->run_id, &run, err);
    return st == ST_NOT_FOUND ? OK
           : st               ? st
                              : group_edge_add(s->g, run, model, EDGE_OUTPUT, &added, err);
}

/* The name that the version goes by beside its number. Versions made with a name keep it; a number that is the name of an earlier
 * version gets another: "7-2". *label: p NULL when the number will do. */
static enum status choose_label(struct model_version_create *c, struct subject *s, int64_t number,
                                struct str *label, struct err *err)
{
    struct arena *a = c->op.arena;
    struct str digits = arena_printf(a, "%" PRId64, number), wish = digits, key;
    int64_t other;
    bool taken;
    enum status st;

    *label = (struct str){ NULL, 0 };
    if (c->label.p) {
        st = catalog_label_taken(s->g, s->model.uid, c->label, &taken, err);
        if (!st && taken) {
            return err_field(err, ST_EXISTS, "name", "model version with name %.*s already exists",
                             STR_ARG(c->label));
        }
        if (!st && !str_eq(c->label, digits)) {
            *label = c->label;
        }
        return st;
    }
    for (int i = 2;; i++) {
        key = arena_printf(a, "%" PRId64 "/%.*s", s->model.uid, STR_ARG(wish));
        st = key.p && wish.p ? group_node_find(s->g, IDENT_VERSION_LABEL, key, &other, err)
                             : err_nomem(err);
        if (st) {
            break;
        }
        wish = arena_printf(a, "%" PRId64 "-%d", number, i);
        *label = wish;
    }
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status version_insert(struct model_version_create *c, struct subject *s,
                                  const struct model_source *from, int64_t number, int64_t *uid,
                                  struct err *err)
{
    struct arena *a = c->op.arena;
    struct node_new node = { .kind = NODE_CONTEXT,
                             .type = TYPE_MLFLOW_MODEL_VERSION,
                             .scheme = IDENT_MODEL_VERSION };
    struct str key;
    enum status st = choose_label(c, s, number, &node.name, err);

    node.ident = arena_printf(a, "%" PRId64 "/%" PRId64, s->model.uid, number);
    if (st || !node.ident.p) {
        return st ? st : err_nomem(err);
    }
    st = group_node_add(s->g, &node, uid, err);
    if (!st && node.name.p) {
        key = arena_printf(a, "%" PRId64 "/%.*s", s->model.uid, STR_ARG(node.name));
        st = key.p ? q_ident_insert(s->v.conn, 0, IDENT_VERSION_LABEL, key, *uid, err)
                   : err_nomem(err);
    }
    st = st ? st : group_parent_add(s->g, *uid, s->model.uid, PARENT_REGISTERED_MODEL, err);
    st = st ? st
            : q_model_version_insert(s->v.conn, *uid, s->model.uid, number, c->description,
                                     from->source, from->storage, from->run_id, c->run_link,
                                     from->model_id, is_true(c->tags, c->tags_n, true),
                                     group_now_ms(s->g), err);
    return st ? st
              : q_registered_model_last(s->v.conn, s->model.uid, number, group_now_ms(s->g), err);
}

static enum status set_alias(struct subject *s, struct str alias, int64_t version, struct err *err)
{
    struct str number = arena_printf(s->v.arena, "%" PRId64, version);
    enum status st =
        number.p ? q_model_alias_set(s->v.conn, s->model.uid, alias, version, err) : err_nomem(err);

    return st ? st : note(s, version, REGISTRY_ALIAS, alias, number, err);
}

static enum status find_subject(struct model_version_create *c, struct subject *s, struct group *g,
                                bool prompt, struct err *err)
{
    struct err missing = ERR_INIT;
    enum status st = find_model(s, g, &c->op, c->core, c->name, c->who, &missing);

    if (c->make_model && st == ST_NOT_FOUND) {
        return model_insert(s, c->name, S(""), is_true(c->tags, c->tags_n, true), err);
    }
    if (c->make_model && !st && (s->model.prompt != 0) != prompt) {
        return name_taken(c->name, s->model.prompt != 0, prompt, err);
    }
    if (st) {
        *err = missing;
    }
    return st;
}

enum status group_model_version_create(struct group *g, struct model_version_create *c,
                                       struct err *err)
{
    bool prompt = is_true(c->tags, c->tags_n, false);
    struct model_source from = { .source = S(""), .storage = S(""), .run_id = S("") };
    struct subject s;
    int64_t uid, number;
    enum status st = find_subject(c, &s, g, prompt, err);

    if (!st && !c->without_source) {
        st = model_source_resolve(&s.v, g, c->source, c->run_id, c->model_id, prompt, &from, err);
    }
    if (st) {
        return st;
    }
    number = s.model.last + 1;
    c->redacted = from.redacted;
    st = version_insert(c, &s, &from, number, &uid, err);
    st = st ? st : note(&s, number, REGISTRY_CREATED, S(""), from.source, err);
    if (!st && c->description.n) {
        st = note(&s, number, REGISTRY_DESCRIPTION, S(""), c->description, err);
    }
    st = st ? st : set_tags(&s, uid, number, c->tags, c->tags_n, err);
    if (!st && !prompt && !c->without_source) {
        st = attribute(&s, &from, uid, err);
    }
    if (!st && from.model_uid) {
        st = tag_logged_model(&s, from.model_uid, c->name, number, err);
    }
    if (!st && c->alias.p) {
        st = set_alias(&s, c->alias, number, err);
    }
    return st ? st : model_version_get(&s.v, c->name, number, &c->version, err);
}

static enum status version_create_validate(struct write_op *op, struct group *g, struct err *err)
{
    return group_model_version_create(g, WRITE_OP_OF(op, struct model_version_create), err);
}

static const struct write_kind version_create_kind = { .name = "model_version.create",
                                                       .validate = version_create_validate,
                                                       .sql = true };

static enum status check_length(struct str s, const char *what, size_t max, struct err *err)
{
    return s.p ? name_check_length(s, what, max, err) : OK;
}

enum status model_version_check(const struct model_version_create *c, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < c->tags_n; i++) {
        st = name_check_registry_tag(c->tags[i].key, c->tags[i].value, err);
    }
    st = st ? st : check_length(c->source, "source", REGISTRY_SOURCE_MAX, err);
    st = st ? st : check_length(c->description, "description", REGISTRY_TEXT_MAX, err);
    st = st ? st : check_length(c->run_id, "run_id", REGISTRY_NAME_MAX, err);
    st = st ? st : check_length(c->model_id, "model_id", REGISTRY_NAME_MAX, err);
    st = st ? st : check_length(c->run_link, "run_link", REGISTRY_SOURCE_MAX, err);
    return st || !c->alias.p ? st : name_check_model_alias(c->alias, true, err);
}

void model_version_create_init(struct model_version_create *c, struct core *core, struct arena *a)
{
    *c = (struct model_version_create){ .op = { .kind = &version_create_kind, .arena = a },
                                        .core = core,
                                        .run_link = S("") };
}

/* ---- changes of a model --------------------------------------------------------------------------------------------------- */

/* Logged models name the versions made from them in a tag: tag_logged_model() writes it. */
static enum status rename_in_tags(struct subject *s, struct str old, struct str name,
                                  struct err *err)
{
    struct arena *a = s->v.arena;
    struct str from = name_json_quoted(a, old), to = name_json_quoted(a, name);

    if (!from.p || !to.p) {
        return err_nomem(err);
    }
    from = arena_printf(a, "{\"name\": %.*s, \"version\": ", STR_ARG(from));
    to = arena_printf(a, "{\"name\": %.*s, \"version\": ", STR_ARG(to));
    return from.p && to.p ? q_model_version_rename_tags(s->v.conn, s->model.uid, from, to, err)
                          : err_nomem(err);
}

static enum status model_rename(struct registry_change *c, struct subject *s, struct err *err)
{
    struct q_registered_model_get_row taken;
    int64_t now = group_now_ms(s->g);
    enum status st = q_registered_model_get(s->v.conn, s->v.arena, c->value, &taken, err);

    if (!st && taken.uid != s->model.uid) {
        return err_field(err, ST_EXISTS, "new_name",
                         "Registered Model (name=%.*s) already exists. Error: the name is taken",
                         STR_ARG(c->value));
    }
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    st = q_registered_model_rename(s->v.conn, s->model.uid, c->value, now, err);
    st =
        st ? st : q_ident_rename(s->v.conn, 0, IDENT_REGISTERED_MODEL, s->model.uid, c->value, err);
    st = st ? st : q_model_version_touch_all(s->v.conn, s->model.uid, now, err);
    st = st ? st : rename_in_tags(s, s->model.name, c->value, err);
    st = st ? st : note(s, 0, REGISTRY_RENAMED, s->model.name, c->value, err);
    return st ? st : registered_model_get(&s->v, c->value, &c->model, err);
}

/* Rows of the model and its versions go, tombstones stay; the bytes and what else stands for them are not touched. */
static enum status model_drop(struct subject *s, struct err *err)
{
    struct sql_conn *conn = s->v.conn;
    int64_t uid = s->model.uid, now = group_now_ms(s->g);
    enum status st = note(s, 0, REGISTRY_DELETED, S(""), s->model.name, err);

    st = st ? st : catalog_drop_owned(s->g, uid, 0, s->who, err);
    st = st ? st : q_registry_drop_tombstones(conn, uid, s->who, now, err);
    st = st ? st : q_registry_drop_members_log(conn, uid, now, err);
    st = st ? st : q_registry_drop_members(conn, uid, err);
    st = st ? st : q_registry_drop_parents_log(conn, uid, now, err);
    st = st ? st : q_registry_drop_parents(conn, uid, err);
    st = st ? st : q_registry_drop_props(conn, uid, err);
    st = st ? st : q_registry_drop_idents(conn, uid, err);
    st = st ? st : q_registry_drop_nodes(conn, uid, err);
    st = st ? st : q_model_alias_delete_all(conn, uid, err);
    st = st ? st : q_inspection_finding_drop_model(conn, uid, err);
    st = st ? st : q_inspection_drop_model(conn, uid, err);
    st = st ? st : q_model_version_delete_all(conn, uid, err);
    return st ? st : q_registered_model_delete(conn, uid, err);
}

static enum status tag_change(struct registry_change *c, struct subject *s, int64_t uid,
                              int64_t version, bool set, struct err *err)
{
    int64_t n = 1;
    enum status st = set ? q_prop_set_text(s->v.conn, uid, PROP_TAG, c->key, c->value, err)
                         : q_prop_delete(s->v.conn, uid, PROP_TAG, c->key, &n, err);

    if (st || n == 0) {
        return st;
    }
    if (str_eq(c->key, PROMPT_TAG)) {
        bool prompt = set && str_eq_lit(c->value, "true");

        st = version ? q_model_version_prompt(s->v.conn, uid, prompt, err)
                     : q_registered_model_prompt(s->v.conn, uid, prompt, err);
    }
    return st ? st : note(s, version, REGISTRY_TAG, c->key, set ? c->value : no_value, err);
}

/* version 0: whichever it names. */
static enum status unalias(struct subject *s, struct str alias, int64_t version, struct err *err)
{
    struct q_model_alias_get_row row;
    int64_t n;
    enum status st = q_model_alias_get(s->v.conn, s->v.arena, s->model.uid, alias, &row, err);

    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    if (version && row.version != version) {
        return err_field(err, ST_CONFLICT, "version",
                         "alias %.*s names version %" PRId64 ", not %" PRId64, STR_ARG(alias),
                         row.version, version);
    }
    st = q_model_alias_delete(s->v.conn, s->model.uid, alias, &n, err);
    return st ? st : note(s, row.version, REGISTRY_ALIAS, alias, no_value, err);
}

/* ---- changes of a version --------------------------------------------------------------------------------------------------- */

static enum status version_missing(const struct registry_change *c, struct err *err)
{
    return err_field(err, ST_NOT_FOUND, "version",
                     "Model Version (name=%.*s, version=%" PRId64 ") not found", STR_ARG(c->name),
                     c->version);
}

static enum status find_version(const struct registry_change *c, struct subject *s,
                                struct q_model_version_get_row *row, struct err *err)
{
    enum status st = q_model_version_get(s->v.conn, s->v.arena, s->model.uid, c->version, row, err);

    return st == ST_NOT_FOUND || (!st && row->stage == STAGE_DELETED) ? version_missing(c, err)
                                                                      : st;
}

static enum status set_stage(struct subject *s, int64_t uid, int64_t version,
                             enum model_stage stage, struct err *err)
{
    enum status st = q_model_version_stage(s->v.conn, uid, stage, group_now_ms(s->g), err);

    return st ? st : note(s, version, REGISTRY_STAGE, S(""), str_cstr(stage_name(stage)), err);
}

static enum status archive_others(struct registry_change *c, struct subject *s, struct err *err)
{
    struct q_model_version_in_stage_row row, *rows = NULL;
    struct sql_stmt *stmt = NULL;
    size_t n = 0, cap = 0;
    enum status st =
        q_model_version_in_stage_open(s->v.conn, &stmt, s->model.uid, c->stage, c->version, err);

    while (!st && (st = q_model_version_in_stage_next(stmt, &row, err)) == OK) {
        if (!arena_grow(s->v.arena, (void **)&rows, n, &cap, sizeof(*rows))) {
            st = err_nomem(err);
            break;
        }
        rows[n++] = row;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < n; i++) {
        st = set_stage(s, rows[i].uid, rows[i].version, STAGE_ARCHIVED, err);
    }
    return st;
}

static enum status version_stage(struct registry_change *c, struct subject *s, int64_t uid,
                                 struct err *err)
{
    enum status st = OK;

    if (c->archive && c->stage != STAGE_STAGING && c->stage != STAGE_PRODUCTION) {
        return err_field(
            err, ST_INVALID, "archive_existing_versions",
            "Model version transition cannot archive existing model versions because '%s' is not an "
            "Active stage. Valid stages are ['Staging', 'Production']",
            stage_name(c->stage));
    }
    if (c->archive) {
        st = archive_others(c, s, err);
    }
    st = st ? st : set_stage(s, uid, c->version, c->stage, err);
    return st ? st : touch(s, err);
}

static enum status version_drop(struct registry_change *c, struct subject *s, int64_t uid,
                                struct err *err)
{
    struct registered_model m;
    enum status st = registered_model_get(&s->v, c->name, &m, err);

    for (size_t i = 0; !st && i < m.aliases_n; i++) {
        if (m.aliases[i].version == c->version) {
            st = unalias(s, m.aliases[i].alias, 0, err);
        }
    }
    st = st ? st : catalog_drop_owned(s->g, s->model.uid, c->version, s->who, err);
    st = st ? st : q_inspection_drop(s->v.conn, uid, err);
    st = st ? st : q_inspection_finding_drop(s->v.conn, uid, err);
    st = st ? st : q_ident_drop(s->v.conn, uid, IDENT_VERSION_LABEL, err);
    st = st ? st : q_ident_drop(s->v.conn, uid, IDENT_EXTERNAL, err);
    st = st ? st : q_model_version_redact(s->v.conn, uid, group_now_ms(s->g), err);
    st = st ? st : note(s, c->version, REGISTRY_DELETED, S(""), no_value, err);
    return st ? st : touch(s, err);
}

static enum status version_change(struct registry_change *c, struct subject *s, struct err *err)
{
    struct q_model_version_get_row row;
    int64_t now = group_now_ms(s->g);
    enum status st = find_version(c, s, &row, err);

    if (st) {
        return st;
    }
    switch (c->what) {
    case VERSION_DESCRIBE:
        st = q_model_version_describe(s->v.conn, row.uid, c->value, now, err);
        st = st ? st : note(s, c->version, REGISTRY_DESCRIPTION, S(""), c->value, err);
        break;
    case VERSION_STAGE: st = version_stage(c, s, row.uid, err); break;
    case VERSION_TAG: return tag_change(c, s, row.uid, c->version, true, err);
    case VERSION_UNTAG: return tag_change(c, s, row.uid, c->version, false, err);
    case VERSION_DROP: return version_drop(c, s, row.uid, err);
    case MODEL_ALIAS: return set_alias(s, c->key, c->version, err);
    case MODEL_DESCRIBE:
    case MODEL_RENAME:
    case MODEL_DROP:
    case MODEL_TAG:
    case MODEL_UNTAG:
    case MODEL_UNALIAS: break;
    }
    return st ? st : model_version_get(&s->v, c->name, c->version, &c->after, err);
}

static enum status change_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct registry_change *c = WRITE_OP_OF(op, struct registry_change);
    struct subject s;
    enum status st = find_model(&s, g, op, c->core, c->name, c->who, err);

    if (st == ST_NOT_FOUND && c->what >= MODEL_ALIAS && c->what != MODEL_UNALIAS) {
        return version_missing(c, err);
    }
    if (st) {
        return st;
    }
    switch (c->what) {
    case MODEL_DESCRIBE:
        st = q_registered_model_describe(s.v.conn, s.model.uid, c->value, group_now_ms(g), err);
        st = st ? st : note(&s, 0, REGISTRY_DESCRIPTION, S(""), c->value, err);
        return st ? st : registered_model_get(&s.v, c->name, &c->model, err);
    case MODEL_RENAME: return model_rename(c, &s, err);
    case MODEL_DROP: return model_drop(&s, err);
    case MODEL_TAG: return tag_change(c, &s, s.model.uid, 0, true, err);
    case MODEL_UNTAG: return tag_change(c, &s, s.model.uid, 0, false, err);
    case MODEL_UNALIAS: return unalias(&s, c->key, c->version, err);
    case MODEL_ALIAS:
    case VERSION_DESCRIBE:
    case VERSION_STAGE:
    case VERSION_DROP:
    case VERSION_TAG:
    case VERSION_UNTAG: break;
    }
    return version_change(c, &s, err);
}

static const struct write_kind change_kind = { .name = "registry.change",
                                               .validate = change_validate,
                                               .sql = true };

void registry_change_init(struct registry_change *c, struct core *core, struct arena *a)
{
    *c = (struct registry_change){ .op = { .kind = &change_kind, .arena = a }, .core = core };
}
