/* core/registry_search.c - finding registered models and versions: rows are offered to the search driver one by one and those of
 * the page are read again at the end. Tags are looked up only where the filter asks for them. Prompts take part only when the
 * filter asks for them: tags.`mlflow.prompt.is_prompt` = 'true' (or != 'false'). */
#include "core/node.h"
#include "core/registry.h"
#include "core/registry_names.h"
#include "core/search/driver.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

enum { READS_PER_CLOCK = 64 };

struct row {
    struct view *v;
    struct arena *scratch; /* of the row at hand */
    int64_t uid, version, create_ms, update_ms;
    struct str name, run_id, source;
    enum status st; /* of reading a tag */
    struct err err;
};

static bool row_tag(struct row *r, const struct search_key *key, struct str *out)
{
    struct q_prop_text_row tag;
    enum status st;

    arena_reset(r->scratch); /* a value is looked at in one test only */
    st = q_prop_text(r->v->conn, r->scratch, r->uid, PROP_TAG, key->name, &tag, &r->err);

    if (st == OK) {
        *out = tag.value;
        return true;
    }
    if (st != ST_NOT_FOUND) {
        r->st = st;
    }
    /* What is not marked as a prompt is none. */
    *out = S("false");
    return str_eq(key->name, PROMPT_TAG);
}

static bool row_text(void *ctx, const struct search_key *key, struct str *out)
{
    struct row *r = ctx;

    if (key->kind == SEARCH_TAG) {
        return row_tag(r, key, out);
    }
    *out = key->attr == ATTR_NAME          ? r->name
           : key->attr == ATTR_RUN_ID      ? r->run_id
           : key->attr == ATTR_SOURCE_PATH ? r->source
                                           : (struct str){ NULL, 0 };
    return out->p != NULL;
}

static bool row_integer(void *ctx, const struct search_key *key, int64_t *out)
{
    const struct row *r = ctx;

    *out = key->attr == ATTR_VERSION_NUMBER  ? r->version
           : key->attr == ATTR_CREATION_TIME ? r->create_ms
                                             : r->update_ms;
    return key->attr == ATTR_VERSION_NUMBER || key->attr == ATTR_CREATION_TIME ||
           key->attr == ATTR_LAST_UPDATE_TIME;
}

static const struct search_row_ops ops = { .text = row_text, .integer = row_integer };

static bool asks_for_prompts(const struct search_test *t)
{
    return t && t->key->kind == SEARCH_TAG && str_eq(t->key->name, PROMPT_TAG) &&
           ((t->cmp == CMP_EQ && str_eq_nocase(t->text, S("true"))) ||
            (t->cmp == CMP_NE && str_eq_nocase(t->text, S("false"))));
}

static bool wants_prompts(const struct filter *f)
{
    const struct filter_node *n = f->root;

    if (n && n->op == FILTER_AND) {
        n = n->child;
    }
    for (; n; n = n->next) {
        if (n->op == FILTER_TEST && asks_for_prompts(n->test)) {
            return true;
        }
    }
    return false;
}

/* The text that the filter as a whole, or one of its ANDed tests, wants an attribute to equal; p NULL = none. */
static struct str wanted(const struct filter *f, enum search_attr attr)
{
    const struct filter_node *n = f->root;

    if (n && n->op == FILTER_AND) {
        n = n->child;
    }
    for (; n; n = n->next) {
        if (n->op == FILTER_TEST && n->test->key->attr == attr && n->test->cmp == CMP_EQ) {
            return n->test->text;
        }
    }
    return (struct str){ NULL, 0 };
}

static enum status offer(struct searcher *s, struct row *r, uint64_t handle, struct err *err)
{
    enum status st;

    arena_reset(r->scratch);
    st = searcher_offer(s, &ops, r, handle, err);
    if (!st && r->st) {
        *err = r->err;
        st = r->st;
    }
    return st;
}

/* ---- registered models --------------------------------------------------------------------------------------------------- */

struct names {
    struct str *p;
    size_t n, cap;
};

/* Only rows know when a model last changed. */
static bool needs_rows(const struct searcher *s)
{
    const struct filter *f = searcher_filter(s);
    const struct order *o = searcher_order(s);
    bool needs = false;

    for (size_t i = 0; i < f->keys_n; i++) {
        needs = needs || f->keys[i]->attr == ATTR_LAST_UPDATE_TIME;
    }
    for (size_t i = 0; i < o->n; i++) {
        needs = needs || o->clauses[i].key.attr == ATTR_LAST_UPDATE_TIME;
    }
    return needs;
}

/* The models whose names come before a name, or before those that begin with it. */
static size_t names_before(const struct registry_list *list, struct str name, bool beginning)
{
    size_t low = 0, high = list->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct str at = list->p[mid].name;
        int c = str_cmp(beginning ? str_sub(at, 0, name.n) : at, name);

        if (c < 0 || (beginning && c == 0)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* What the names of all matches begin with, by one of the ANDed tests. */
static struct str prefix_wanted(const struct filter *f)
{
    const struct filter_node *n = f->root && f->root->op == FILTER_AND ? f->root->child : f->root;

    for (; n; n = n->next) {
        if (n->op == FILTER_TEST && n->test->key->attr == ATTR_NAME &&
            (n->test->cmp == CMP_EQ || n->test->cmp == CMP_LIKE)) {
            struct str text = n->test->text;
            size_t end = 0;

            while (end < text.n &&
                   (n->test->cmp == CMP_EQ || (text.p[end] != '%' && text.p[end] != '_'))) {
                end++;
            }
            return str_sub(text, 0, end);
        }
    }
    return S("");
}

/* Only names that can match and, where the page is by name, only from its beginning to its end. */
static enum status offer_list(struct searcher *s, struct row *r, const struct registry_list *list,
                              struct err *err)
{
    const struct order_clause *by = &searcher_order(s)->clauses[0];
    const struct order_value *after = searcher_after(s);
    struct str prefix = prefix_wanted(searcher_filter(s));
    size_t from = names_before(list, prefix, false), to = names_before(list, prefix, true);
    bool prompts = wants_prompts(searcher_filter(s)), by_name = by->key.attr == ATTR_NAME;
    enum status st = OK;

    if (by_name && after && by->desc) {
        to = MIN_OF(to, names_before(list, after->text, false));
    } else if (by_name && after) {
        from = MAX_OF(from, names_before(list, after->text, false));
    }
    for (size_t n = from; !st && n < to && !(by_name && searcher_is_over(s)); n++) {
        size_t i = by->desc ? to - 1 - (n - from) : n;

        if (list->p[i].prompt == prompts) {
            r->uid = list->p[i].uid;
            r->name = list->p[i].name;
            r->create_ms = list->p[i].create_ms;
            st = offer(s, r, i, err);
        }
    }
    return st;
}

static enum status offer_models(struct view *v, struct searcher *s, struct row *r,
                                struct names *names, struct err *err)
{
    bool prompts = wants_prompts(searcher_filter(s));
    struct q_registered_model_all_row m;
    struct sql_stmt *stmt = NULL;
    enum status st = q_registered_model_all_open(v->conn, &stmt, err);

    while (!st && (st = q_registered_model_all_next(stmt, &m, err)) == OK) {
        if ((m.prompt != 0) != prompts) {
            continue;
        }
        if (!arena_grow(v->arena, (void **)&names->p, names->n, &names->cap, sizeof(*names->p)) ||
            !view_keep(v, &m.name)) {
            st = err_nomem(err);
            break;
        }
        r->uid = m.uid;
        r->name = m.name;
        r->create_ms = m.create_ms;
        r->update_ms = m.update_ms;
        names->p[names->n] = m.name;
        st = offer(s, r, names->n++, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* The models of the page, in one transaction: without it each statement locks and unlocks the file, half of the cost. */
static enum status read_page(struct view *v, const struct searcher *s,
                             const struct registry_list *list, const struct names *names,
                             const uint64_t *handles, size_t found, struct registered_model **out,
                             size_t *n, struct err *err)
{
    enum status st = OK;

    *out = ARENA_ARRAY(v->arena, struct registered_model, found + 1);
    st = *out ? sql_read_begin(v->conn, err) : err_nomem(err);
    if (st) {
        return st;
    }
    for (size_t i = 0; !st && i < found; i++) {
        struct str name = list ? list->p[handles[i]].name : names->p[handles[i]];

        st = i % READS_PER_CLOCK ? OK : searcher_check_time(s, err);
        st = st ? st : registered_model_get(v, name, &(*out)[*n], err);
        *n += !st;
        st = st == ST_NOT_FOUND ? OK : st; /* one that went meanwhile is left out */
    }
    sql_read_end(v->conn);
    return st;
}

enum status registered_model_search(struct view *v, const struct registry_search *in,
                                    struct registered_model **out, size_t *n,
                                    struct str *next_token, struct err *err)
{
    struct search_request request = { .entity = SEARCH_REGISTERED_MODELS,
                                      .filter = in->filter,
                                      .order_by = in->order_by,
                                      .order_by_n = in->order_by_n,
                                      .scope = S("registered_models"),
                                      .page = in->page };
    struct row r = { .v = v, .scratch = arena_new(1 << 20) };
    struct registry_list *list = NULL;
    struct names names = { 0 };
    struct searcher *s;
    uint64_t *handles;
    size_t found = 0;
    enum status st = r.scratch ? searcher_new(&s, &request, v->arena, err) : err_nomem(err);

    *out = NULL;
    *n = 0;
    if (!st && !needs_rows(s)) {
        st = registry_names_get(v, &list, err);
    }
    st = st ? st : list ? offer_list(s, &r, list, err) : offer_models(v, s, &r, &names, err);
    st = st ? st : searcher_end(s, &handles, &found, next_token, err);
    arena_free(r.scratch);
    st = st ? st : read_page(v, s, list, &names, handles, found, out, n, err);
    registry_names_put(v->core->registry, list);
    return st;
}

/* ---- versions --------------------------------------------------------------------------------------------------------------- */

struct found {
    struct {
        struct str name;
        int64_t model, version;
    } * p;
    size_t n, cap;
    bool prompts, all; /* versions of prompts only, of both */
};

/* The rows of the three queries have the same columns. */
#define OFFER_VERSION(m)                                                                           \
    ((!f->all && ((m).prompt != 0 || (m).model_prompt != 0) != f->prompts)                         \
         ? OK                                                                                      \
         : offer_version(s, r, f, (m).model, (m).uid, (m).name, (m).version, (m).run_id,           \
                         (m).source, (m).create_ms, (m).update_ms, err))

static enum status offer_version(struct searcher *s, struct row *r, struct found *f, int64_t model,
                                 int64_t uid, struct str name, int64_t version, struct str run_id,
                                 struct str source, int64_t create_ms, int64_t update_ms,
                                 struct err *err)
{
    struct view *v = r->v;

    /* Versions of one model come together, mostly: their name is kept once. */
    if (f->n && str_eq(f->p[f->n - 1].name, name)) {
        name = f->p[f->n - 1].name;
    } else if (!view_keep(v, &name)) {
        return err_nomem(err);
    }
    if (!arena_grow(v->arena, (void **)&f->p, f->n, &f->cap, sizeof(*f->p))) {
        return err_nomem(err);
    }
    r->uid = uid;
    r->name = name;
    r->version = version;
    r->run_id = run_id;
    r->source = source;
    r->create_ms = create_ms;
    r->update_ms = update_ms;
    f->p[f->n].name = name;
    f->p[f->n].version = version;
    f->p[f->n].model = model;
    return offer(s, r, f->n++, err);
}

static enum status offer_versions(struct view *v, struct searcher *s, struct str model,
                                  struct row *r, struct found *f, struct err *err)
{
    struct str name = model.p ? model : wanted(searcher_filter(s), ATTR_NAME);
    struct str run = wanted(searcher_filter(s), ATTR_RUN_ID);
    struct q_model_version_all_row all;
    struct q_model_version_named_row named;
    struct q_model_version_by_run_row by_run;
    struct sql_stmt *stmt = NULL;
    enum status st;

    f->prompts = wants_prompts(searcher_filter(s));
    f->all = model.p != NULL;
    if (name.p) {
        st = q_model_version_named_open(v->conn, &stmt, name, err);
        while (!st && (st = q_model_version_named_next(stmt, &named, err)) == OK) {
            st = OFFER_VERSION(named);
        }
    } else if (run.p) {
        st = q_model_version_by_run_open(v->conn, &stmt, run, err);
        while (!st && (st = q_model_version_by_run_next(stmt, &by_run, err)) == OK) {
            st = OFFER_VERSION(by_run);
        }
    } else {
        st = q_model_version_all_open(v->conn, &stmt, err);
        while (!st && (st = q_model_version_all_next(stmt, &all, err)) == OK) {
            st = OFFER_VERSION(all);
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status read_version_page(struct view *v, const struct searcher *s,
                                     const struct found *f, const uint64_t *handles, size_t found,
                                     struct model_version **out, size_t *n, struct err *err)
{
    enum status st;

    *out = ARENA_ARRAY(v->arena, struct model_version, found + 1);
    st = *out ? sql_read_begin(v->conn, err) : err_nomem(err);
    if (st) {
        return st;
    }
    for (size_t i = 0; !st && i < found; i++) {
        st = i % READS_PER_CLOCK ? OK : searcher_check_time(s, err);
        st = st ? st
                : registry_version(v, f->p[handles[i]].model, f->p[handles[i]].name,
                                   f->p[handles[i]].version, &(*out)[*n], err);
        *n += !st;
        st = st == ST_NOT_FOUND ? OK : st;
    }
    sql_read_end(v->conn);
    return st;
}

enum status model_version_search(struct view *v, const struct registry_search *in,
                                 struct model_version **out, size_t *n, struct str *next_token,
                                 struct err *err)
{
    struct search_request request = { .entity = SEARCH_MODEL_VERSIONS,
                                      .filter = in->filter,
                                      .order_by = in->order_by,
                                      .order_by_n = in->order_by_n,
                                      .scope = in->model.p ? in->model : S("model_versions"),
                                      .page = in->page };
    struct row r = { .v = v, .scratch = arena_new(1 << 20) };
    struct found f = { 0 };
    struct searcher *s;
    uint64_t *handles;
    size_t found = 0;
    enum status st = r.scratch ? searcher_new(&s, &request, v->arena, err) : err_nomem(err);

    *out = NULL;
    *n = 0;
    st = st ? st : offer_versions(v, s, in->model, &r, &f, err);
    st = st ? st : searcher_end(s, &handles, &found, next_token, err);
    arena_free(r.scratch);
    if (st) {
        return st;
    }
    return read_version_page(v, s, &f, handles, found, out, n, err);
}
