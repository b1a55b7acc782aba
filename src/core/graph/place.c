/* core/graph/place.c - see place.h. */
#include "core/graph/place.h"
#include "base/failpoint.h"
#include "base/hash.h"
#include "core/graph/data_uri.h"
#include "core/run_purge.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

enum {
    OP_SAID = 1,
    OP_TAKEN_BACK = 2,
    KEY_MAX = 1024,
    AT_ONCE = 100, /* artifacts that one write ties to a new place; the worker does the others */
    STEP = 500,    /* that the worker ties in one step, and numbers of nodes that it looks at */
    PLACES_NS = -3 /* nodes of places have numbers of no namespace */
};
enum { PLACES_UNKNOWN, PLACES_NONE, PLACES_SOME };

static const struct str none = { NULL, 0 };

const char *same_rule_name(int64_t rule)
{
    switch (rule) {
    case SAME_URI:
    case SAME_VERSION: return "uri";
    case SAME_DIGEST:
    case SAME_AT_DIGEST: return "digest";
    case SAME_SYMLINK: return "symlink";
    case SAME_RUN: return "run";
    default: return "said";
    }
}

int64_t place_rule(int64_t type, bool place_has_digest)
{
    if (type == TYPE_MLFLOW_DATASET) {
        return place_has_digest ? SAME_DIGEST : SAME_URI;
    }
    if (type == TYPE_DATA_PLACE) {
        return place_has_digest ? 0 : SAME_VERSION;
    }
    return place_has_digest ? SAME_AT_DIGEST : SAME_URI;
}

/* ---- keys -------------------------------------------------------------------------------------------------------------------- */

/* Beyond KEY_MAX bytes it is the hash: an index holds no long keys. */
static enum status short_key(struct arena *a, struct str text, struct str *key, struct err *err)
{
    struct digest d;
    char hex[65];

    *key = text;
    if (text.n > KEY_MAX) {
        if (!sha256_of(text.p, text.n, &d)) {
            return err_nomem(err);
        }
        digest_hex(&d, hex);
        *key = arena_str(a, str_of(hex, 64));
    }
    return key->p ? OK : err_nomem(err);
}

enum status place_key(struct arena *a, struct str uri, struct str digest, struct str *key,
                      struct err *err)
{
    struct str text =
        digest.p ? arena_printf(a, "%.*s%c%.*s", STR_ARG(uri), 0, STR_ARG(digest)) : uri;

    return text.p ? short_key(a, text, key, err) : err_nomem(err);
}

/* By what an artifact is found whose URI is written in an unusual way: in the order of their numbers. */
static enum status spelled_key(struct arena *a, struct str uri, int64_t uid, struct str *key,
                               struct err *err)
{
    struct str head;
    enum status st = short_key(a, uri, &head, err);

    *key = st ? none : arena_printf(a, "%.*s%c%020" PRId64, STR_ARG(head), 0, uid);
    return st || key->p ? st : err_nomem(err);
}

/* ---- what rules say --------------------------------------------------------------------------------------------------------------- */

/* Unless it stands, or a person has pinned it. */
static enum status say_why(struct group *g, struct arena *arena, int64_t a, int64_t b, int64_t rule,
                           struct str reason, struct err *err)
{
    struct sql_conn *c = group_conn(g);
    int64_t now = group_now_ms(g);
    struct q_same_get_row row;
    enum status st = q_same_get(c, arena, a, b, &row, err);

    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = q_same_log_append(c, OP_SAID, a, b, rule, reason, S("rule"), false, now, now, err);
    return st ? st : q_same_put(c, a, b, 1, rule, reason, S("rule"), now, err);
}

/* The text says what is equal. */
static enum status say(struct group *g, struct arena *a, int64_t from, int64_t place, int64_t rule,
                       struct str uri, struct str digest, struct err *err)
{
    struct str reason;

    reason = digest.p ? arena_printf(a, "uri %.*s, digest %.*s", STR_ARG(uri), STR_ARG(digest))
                      : arena_printf(a, "uri %.*s", STR_ARG(uri));
    return reason.p ? say_why(g, a, from, place, rule, reason, err) : err_nomem(err);
}

static enum status unsay(struct group *g, int64_t a, int64_t b, int64_t rule, struct err *err)
{
    int64_t now = group_now_ms(g);
    enum status st = q_same_log_append(group_conn(g), OP_TAKEN_BACK, a, b, rule, S("changed"),
                                       S("rule"), false, now, now, err);

    return st ? st : q_same_delete(group_conn(g), a, b, err);
}

/* What rules said of an artifact that is not so any more. */
static enum status take_back(struct group *g, int64_t uid, struct err *err)
{
    struct {
        int64_t b, rule;
    } said[2];
    struct sql_stmt *stmt = NULL;
    struct q_place_said_row row;
    size_t n = 0;
    enum status st = q_place_said_open(group_conn(g), &stmt, uid, err);

    while (!st && n < ARRAY_N(said) && (st = q_place_said_next(stmt, &row, err)) == OK) {
        said[n].b = row.b;
        said[n++].rule = row.rule;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < n; i++) {
        st = unsay(g, uid, said[i].b, said[i].rule, err);
    }
    return st;
}

/* ---- places ------------------------------------------------------------------------------------------------------------------------ */

void place_forget(struct core *core)
{
    atomic_store_explicit(&core->places, PLACES_UNKNOWN, memory_order_relaxed);
}

enum status place_any(struct group *g, struct core *core, bool *any, struct err *err)
{
    int known = atomic_load_explicit(&core->places, memory_order_relaxed);
    struct q_place_any_row row;
    enum status st = OK;

    if (known == PLACES_UNKNOWN) {
        st = q_place_any(group_conn(g), NULL, &row, err);
        known = st ? PLACES_NONE : PLACES_SOME;
        st = st == ST_NOT_FOUND ? OK : st;
        if (!st) atomic_store_explicit(&core->places, known, memory_order_relaxed);
    }
    *any = known == PLACES_SOME;
    return st;
}

struct place {
    int64_t uid;
    struct str uri, digest;
};

/* ST_NOT_FOUND without text. */
static enum status find(struct group *g, struct arena *a, struct place *p, struct err *err)
{
    struct str key;
    enum status st = place_key(a, p->uri, p->digest, &key, err);

    return st ? st : group_node_find(g, IDENT_DATA_PLACE, key, &p->uid, err);
}

static enum status make(struct group *g, struct core *core, struct arena *a, struct place *p,
                        struct err *err)
{
    struct sql_conn *c = group_conn(g);
    struct str key;
    enum status st = place_key(a, p->uri, p->digest, &key, err);

    if (st) {
        return st;
    }
    atomic_store_explicit(&core->places, PLACES_SOME, memory_order_relaxed);
    p->uid = group_new_uid(g);
    st = q_ident_insert(c, 0, IDENT_DATA_PLACE, key, p->uid, err);
    return st ? st
              : q_node_insert(c, p->uid, PLACES_NS, NODE_CONTEXT, p->uid, TYPE_DATA_PLACE, none,
                              p->uri, p->digest, group_now_ms(g), err);
}

/* ---- artifacts ------------------------------------------------------------------------------------------------------------------------ */

static enum status digest_of(struct group *g, struct arena *a, int64_t uid, struct str *digest,
                             struct err *err)
{
    struct q_prop_text_row row;
    enum status st = q_prop_text(group_conn(g), a, uid, PROP_TYPED, S("digest"), &row, err);

    if (st == ST_NOT_FOUND) {
        st = q_prop_text(group_conn(g), a, uid, PROP_CUSTOM, S("digest"), &row, err);
    }
    *digest = st || !row.value.n ? none : row.value;
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status tie(struct group *g, struct arena *a, int64_t uid, const struct place *p,
                       struct err *err)
{
    struct str digest = none;
    enum status st = p->digest.p ? digest_of(g, a, uid, &digest, err) : OK;

    if (st || (p->digest.p && !str_eq(p->digest, digest))) {
        return st;
    }
    return say(g, a, uid, p->uid, p->digest.p ? SAME_AT_DIGEST : SAME_URI, p->uri, p->digest, err);
}

/* Where in what is to be tied to a place: by the ways in which its URI may be written, the unusual ones last. */
struct filling {
    struct place place;
    struct str ways[DATA_URI_SPELLINGS];
    size_t ways_n;
    int64_t stage, after;
    bool done;
};

/* The next artifacts of a stage, at most max. */
static enum status next_artifacts(struct group *g, struct arena *a, const struct filling *f,
                                  int64_t *uids, size_t max, size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct str after, before;
    bool written = (size_t)f->stage < f->ways_n;
    enum status st;

    *n = 0;
    if (written) {
        struct q_place_written_row row;

        st = q_place_written_open(group_conn(g), &stmt, f->ways[f->stage], f->after, (int64_t)max,
                                  err);
        while (!st && *n < max && (st = q_place_written_next(stmt, &row, err)) == OK) {
            uids[(*n)++] = row.uid;
        }
    } else {
        struct q_place_spelled_row row;

        st = spelled_key(a, f->place.uri, f->after, &after, err);
        st = st ? st : spelled_key(a, f->place.uri, INT64_MAX, &before, err);
        st = st ? st : q_place_spelled_open(group_conn(g), &stmt, after, before, (int64_t)max, err);
        while (!st && *n < max && (st = q_place_spelled_next(stmt, &row, err)) == OK) {
            uids[(*n)++] = row.uid;
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status fill(struct group *g, struct arena *a, struct filling *f, size_t max,
                        struct err *err)
{
    int64_t uids[STEP];
    size_t left = MIN_OF(max, (size_t)STEP);
    enum status st = data_uri_spellings(a, f->place.uri, f->ways, &f->ways_n, err);

    while (!st && left && !f->done) {
        size_t n, asked = left;

        st = next_artifacts(g, a, f, uids, asked, &n, err);
        for (size_t i = 0; !st && i < n; i++) {
            st = tie(g, a, uids[i], &f->place, err);
            f->after = uids[i];
        }
        left -= n;
        if (n < asked) {
            f->done = (size_t)f->stage >= f->ways_n;
            f->stage++;
            f->after = 0;
        }
    }
    return st;
}

/* What is at a new place already. */
static enum status fill_new(struct group *g, struct core *core, struct arena *a,
                            const struct place *p, struct err *err)
{
    struct filling f = { .place = *p };
    enum status st = fill(g, a, &f, AT_ONCE, err);

    if (st || f.done) {
        return st;
    }
    st = q_place_work_put(group_conn(g), p->uid, f.stage, f.after, 0, err);
    return st ? st : purge_wake_after(g, core, err);
}

static enum status found_or_made(struct group *g, struct core *core, struct arena *a,
                                 struct place *p, bool *made, struct err *err)
{
    enum status st = find(g, a, p, err);

    *made = st == ST_NOT_FOUND;
    if (*made) {
        st = make(g, core, a, p, err);
        st = st ? st : fill_new(g, core, a, p, err);
    }
    return st;
}

/* ---- what is written --------------------------------------------------------------------------------------------------------------------- */

enum status place_dataset(struct group *g, const struct place_dataset *d, struct err *err)
{
    struct place version = { .digest = d->digest }, place = { .uid = 0 };
    bool made;
    enum status st = data_uri_of_source(d->arena, d->source_type, d->source, &version.uri, err);

    if (st || !version.uri.p) {
        return st;
    }
    place.uri = version.uri;
    if (!d->digest.n) {
        st = found_or_made(g, d->core, d->arena, &place, &made, err);
        return st ? st : say(g, d->arena, d->uid, place.uid, SAME_URI, place.uri, none, err);
    }
    st = found_or_made(g, d->core, d->arena, &version, &made, err);
    if (!st && made) {
        st = found_or_made(g, d->core, d->arena, &place, &made, err);
        st = st ? st : say(g, d->arena, version.uid, place.uid, SAME_VERSION, place.uri, none, err);
    }
    return st ? st
              : say(g, d->arena, d->uid, version.uid, SAME_DIGEST, version.uri, version.digest,
                    err);
}

/* A URI that is not written as most are gets a row to be found by. */
static enum status note_spelling(struct group *g, const struct place_artifact *x, struct str uri,
                                 struct err *err)
{
    struct str ways[DATA_URI_SPELLINGS], key;
    size_t n;
    int64_t uid;
    enum status st = data_uri_spellings(x->arena, uri, ways, &n, err);

    for (size_t i = 0; !st && i < n; i++) {
        if (str_eq(ways[i], x->uri)) {
            return OK;
        }
    }
    st = st ? st : spelled_key(x->arena, uri, x->uid, &key, err);
    st = st ? st : group_node_find(g, IDENT_DATA_SPELLED, key, &uid, err);
    return st == ST_NOT_FOUND
               ? q_ident_insert(group_conn(g), 0, IDENT_DATA_SPELLED, key, x->uid, err)
               : st;
}

static enum status tie_found(struct group *g, const struct place_artifact *x, struct place p,
                             struct err *err)
{
    enum status st = find(g, x->arena, &p, err);

    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    return say(g, x->arena, x->uid, p.uid, p.digest.p ? SAME_AT_DIGEST : SAME_URI, p.uri, p.digest,
               err);
}

enum status place_artifact(struct group *g, const struct place_artifact *x, struct err *err)
{
    struct str uri;
    bool any = false;
    enum status st = data_uri(x->arena, x->uri, &uri, err);

    if (!st && x->changed) {
        st = take_back(g, x->uid, err);
        st = st ? st : q_ident_drop(group_conn(g), x->uid, IDENT_DATA_SPELLED, err);
    }
    if (st || !uri.p) {
        return st;
    }
    st = note_spelling(g, x, uri, err);
    st = st ? st : place_any(g, x->core, &any, err);
    if (!st && any) {
        st = tie_found(g, x, (struct place){ .uri = uri }, err);
        if (!st && x->digest.n) {
            st = tie_found(g, x, (struct place){ .uri = uri, .digest = x->digest }, err);
        }
    }
    return st;
}

enum status place_named(struct group *g, const struct place_named *x, struct err *err)
{
    struct place place = { .uid = 0 };
    bool made;
    enum status st = data_uri_of_name(x->arena, x->ns, x->name, &place.uri, err);

    if (st || !place.uri.p) {
        return st;
    }
    st = found_or_made(g, x->core, x->arena, &place, &made, err);
    return st ? st : say(g, x->arena, x->uid, place.uid, SAME_URI, place.uri, none, err);
}

/* ---- what OpenLineage says is the same ------------------------------------------------------------------------------------------------------ */

struct uids {
    int64_t *p;
    size_t n, cap;
};

static enum status keep_uid(struct arena *a, struct uids *u, int64_t uid, struct err *err)
{
    if (!arena_grow(a, (void **)&u->p, u->n, &u->cap, sizeof(*u->p))) {
        return err_nomem(err);
    }
    u->p[u->n++] = uid;
    return OK;
}

enum status place_symlinks(struct group *g, struct arena *a, int64_t uid, struct err *err)
{
    struct sql_conn *c = group_conn(g);
    struct uids now = { NULL, 0, 0 }, gone = { NULL, 0, 0 };
    struct q_place_symlinks_row row;
    struct q_place_symlinked_row before;
    struct sql_stmt *stmt = NULL;
    enum status st = q_place_symlinks_open(c, &stmt, uid, err);

    while (!st && (st = q_place_symlinks_next(stmt, &row, err)) == OK) {
        st = keep_uid(a, &now, row.other, err);
    }
    sql_close(stmt);
    stmt = NULL;
    st = st == ST_END ? OK : st;
    st = st ? st : q_place_symlinked_open(c, &stmt, uid, err);
    while (!st && (st = q_place_symlinked_next(stmt, &before, err)) == OK) {
        st = keep_uid(a, &gone, before.other, err);
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < gone.n; i++) {
        st = unsay(g, MIN_OF(uid, gone.p[i]), MAX_OF(uid, gone.p[i]), SAME_SYMLINK, err);
    }
    for (size_t i = 0; !st && i < now.n; i++) {
        st = say_why(g, a, MIN_OF(uid, now.p[i]), MAX_OF(uid, now.p[i]), SAME_SYMLINK,
                     S("symlinks facet, or a change of name"), err);
    }
    return st;
}

enum status place_run(struct group *g, struct arena *a, int64_t uid, const unsigned char id[16],
                      struct err *err)
{
    static const char digits[] = "0123456789abcdef";
    char text[32];
    int64_t run;
    enum status st;

    for (size_t i = 0; i < 16; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    st = group_node_find(g, IDENT_MLFLOW_RUN, str_of(text, sizeof(text)), &run, err);
    return st ? st == ST_NOT_FOUND ? OK : st
              : say_why(g, a, MIN_OF(uid, run), MAX_OF(uid, run), SAME_RUN, S("run id"), err);
}

/* ---- what was there before ------------------------------------------------------------------------------------------------------------------ */

static enum status join_before(struct group *g, struct core *core, struct arena *a,
                               const struct q_place_before_row *row, struct err *err)
{
    struct q_prop_text_row text;
    enum status st;

    if (row->type_id == TYPE_MLFLOW_DATASET) {
        struct place_dataset d = { core, a, row->uid, none, none, row->digest };

        st = q_prop_text(group_conn(g), a, row->uid, PROP_TYPED, S("source_type"), &text, err);
        d.source_type = st ? none : text.value;
        st = st && st != ST_NOT_FOUND
                 ? st
                 : q_prop_text(group_conn(g), a, row->uid, PROP_TYPED, S("source"), &text, err);
        d.source = st ? none : text.value;
        return st ? st == ST_NOT_FOUND ? OK : st : place_dataset(g, &d, err);
    }
    if (row->uri.n) {
        struct place_artifact x = { core, a, row->uid, row->uri, none, false };

        st = digest_of(g, a, row->uid, &x.digest, err);
        return st ? st : place_artifact(g, &x, err);
    }
    return OK;
}

static enum status step_before(struct group *g, struct core *core, struct arena *a, int64_t after,
                               int64_t last, struct err *err)
{
    struct q_place_before_row *rows = ARENA_ARRAY(a, struct q_place_before_row, STEP);
    int64_t end = MIN_OF(last, after + STEP);
    struct sql_stmt *stmt = NULL;
    size_t n = 0;
    enum status st =
        rows ? q_place_before_open(group_conn(g), &stmt, after, end, err) : err_nomem(err);

    while (!st && n < STEP && (st = q_place_before_next(stmt, &rows[n], err)) == OK) {
        if (rows[n].uri.p) rows[n].uri = arena_str(a, rows[n].uri);
        if (rows[n].digest.p) rows[n].digest = arena_str(a, rows[n].digest);
        n++;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < n; i++) {
        st = join_before(g, core, a, &rows[i], err);
    }
    if (st) {
        return st;
    }
    return end >= last ? q_place_work_done(group_conn(g), 0, err)
                       : q_place_work_put(group_conn(g), 0, 0, end, last, err);
}

enum status place_step(struct group *g, struct core *core, struct arena *a, struct err *err)
{
    struct q_place_work_next_row work;
    struct q_place_node_row node;
    struct filling f = { .done = false };
    enum status st = q_place_work_next(group_conn(g), a, &work, err);

    if (st) {
        return st == ST_NOT_FOUND ? ST_END : st;
    }
    FAILPOINT("core.graph.place.step");
    if (work.place == 0) {
        return step_before(g, core, a, work.after_uid, work.last, err);
    }
    st = q_place_node(group_conn(g), a, work.place, &node, err);
    if (st) {
        return st == ST_NOT_FOUND ? q_place_work_done(group_conn(g), work.place, err) : st;
    }
    f.place = (struct place){ work.place, node.uri, node.digest };
    f.stage = work.stage;
    f.after = work.after_uid;
    st = fill(g, a, &f, STEP, err);
    if (st) {
        return st;
    }
    return f.done ? q_place_work_done(group_conn(g), work.place, err)
                  : q_place_work_put(group_conn(g), work.place, f.stage, f.after, 0, err);
}
