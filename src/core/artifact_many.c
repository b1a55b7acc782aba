/* core/artifact_many.c - small uploads of one moment are named together.
 * One upload asks the database seven times: for its root, its directories, what stands in its place, its content. On a database that is
 * another process each of these is a switch there and back, and they cost more than the work. So the first small upload of a
 * group takes those that wait right behind it along: one query looks at everything that they rely on, memory decides
 * which are refused, and the statements that write what is left go with the commit. Those that follow only take their answers.
 * What the query cannot say is done one by one, as ever: uploads into a new root; contents that are condemned or damaged.
 * No two uploads of one go stand in each other's way: it ends before the second. There is no savepoint: what was checked
 * before leaves no reason to fail but those that break the whole group, such as a full disk. */
#include "base/map.h"
#include "core/artifact_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

enum {
    MANY_MAX = 64,        /* uploads */
    MANY_BYTES = 1 << 20, /* of them; the first may have more */
    SPOTS_MAX = 1024,     /* places that they rely on */
    KIND_NONE = 0,
    KIND_FILE = 1,
    KIND_DIR = 2
};

/* A place that an upload fills, or a directory above it. */
struct spot {
    struct str uri, dir, name;
    int64_t root; /* 0: there is none */
    int kind;
    bool is_target;       /* of an upload of this go */
    bool below;           /* roots lie below it */
    bool to_make;         /* a directory that is missing */
    int64_t state, stage; /* of the content for it; 0: there is none */
};

struct many {
    struct group *g;
    struct arena *a;
    struct artifact_put *puts[MANY_MAX];
    struct spot *targets[MANY_MAX];
    size_t n, bytes;
    struct artifact_put *all[MANY_MAX]; /* that were gathered */
    size_t all_n;
    struct spot *spots[SPOTS_MAX];
    size_t spots_n;
    struct str_map by_place;
};

/* ---- who takes part ------------------------------------------------------------------------------------------------------- */

static enum status find_spot(struct many *m, struct str uri, struct str path, struct spot **out,
                             struct err *err)
{
    size_t n = uri.n + 1 + path.n;
    char *key = (char *)arena_alloc(m->a, n);
    struct spot *s;

    if (!key) {
        return err_nomem(err);
    }
    memcpy(key, uri.p, uri.n);
    key[uri.n] = 0; /* in no URI */
    memcpy(key + uri.n + 1, path.p, path.n);
    s = (struct spot *)str_map_get(&m->by_place, str_of(key, n));
    if (!s) {
        s = m->spots_n < SPOTS_MAX ? ARENA_NEW(m->a, struct spot) : NULL;
        if (!s || str_map_put(&m->by_place, str_of(key, n), s)) {
            return err_nomem(err);
        }
        s->uri = uri;
        artifact_split(path, &s->dir, &s->name);
        m->spots[m->spots_n++] = s;
    }
    *out = s;
    return OK;
}

static size_t depth_of(struct str path)
{
    size_t n = 1;

    for (size_t i = 0; i < path.n; i++) {
        n += path.p[i] == '/';
    }
    return n;
}

/* *fits: it takes part, and so may the next one. */
static enum status take(struct many *m, struct artifact_put *p, bool *fits, struct err *err)
{
    struct str uri = p->place.root_uri, dir = p->place.path, name;
    size_t before = m->spots_n;
    struct spot *target, *above;
    enum status st;

    *fits = m->n < MANY_MAX && (m->n == 0 || m->bytes + p->upload->small_n <= MANY_BYTES) &&
            m->spots_n + depth_of(dir) <= SPOTS_MAX && dir.n > 0 && !p->is_alone;
    if (!*fits) {
        return OK;
    }
    st = find_spot(m, uri, dir, &target, err);
    if (st) {
        return st;
    }
    if (m->spots_n == before) { /* a place, or a directory, of one before it */
        *fits = false;
        return OK;
    }
    artifact_split(dir, &dir, &name);
    while (dir.n && !st && *fits) {
        st = find_spot(m, uri, dir, &above, err);
        *fits = st || !above->is_target;
        artifact_split(dir, &dir, &name);
    }
    if (!st && *fits) {
        target->is_target = true;
        m->targets[m->n] = target;
        m->puts[m->n++] = p;
        m->bytes += p->upload->small_n;
    }
    return st;
}

/* The upload, and those that wait right behind it. */
static enum status gather(struct many *m, struct artifact_put *first, struct err *err)
{
    struct write_op *ahead[MANY_MAX - 1];
    size_t n = group_ahead(m->g, ahead, ARRAY_N(ahead));
    bool fits;
    enum status st = take(m, first, &fits, err);

    for (size_t i = 0; i < n && !st && fits; i++) {
        struct artifact_put *p = WRITE_OP_OF(ahead[i], struct artifact_put);

        if (ahead[i]->kind != first->op.kind || p->place.outside) {
            break;
        }
        st = take(m, p, &fits, err);
    }
    return st;
}

/* ---- looking -------------------------------------------------------------------------------------------------------------- */

struct question {
    struct str *uri, *dir, *name, *from, *to;
    unsigned char *sha256;
};

static enum status ask(struct many *m, struct question *q, struct err *err)
{
    size_t n = m->spots_n;
    enum status st = OK;

    q->uri = ARENA_ARRAY(m->a, struct str, 5 * n);
    q->sha256 = (unsigned char *)arena_zalloc(m->a, n, sizeof(struct digest));
    if (!q->uri || !q->sha256) {
        return err_nomem(err);
    }
    q->dir = q->uri + n;
    q->name = q->dir + n;
    q->from = q->name + n;
    q->to = q->from + n;
    for (size_t i = 0; i < n; i++) {
        q->uri[i] = m->spots[i]->uri;
        q->dir[i] = m->spots[i]->dir;
        q->name[i] = m->spots[i]->name;
        q->from[i] = q->to[i] = S("");
    }
    for (size_t i = 0, k = 0; i < m->n && !st; i++) {
        while (m->spots[k] != m->targets[i]) {
            k++; /* targets are in the order of spots */
        }
        memcpy(q->sha256 + k * sizeof(struct digest), m->puts[i]->upload->sha256.b,
               sizeof(struct digest));
        if (str_eq_lit(m->targets[i]->uri, PROXY_ROOT)) {
            st = artifact_roots_range(m->a, m->puts[i]->place.path, &q->from[k], &q->to[k], err);
        }
    }
    return st;
}

static enum status look(struct many *m, struct err *err)
{
    struct question q;
    struct q_artifact_look_many_row row;
    struct sql_stmt *stmt = NULL;
    size_t n = m->spots_n;
    enum status st = ask(m, &q, err);

    st = st ? st
            : q_artifact_look_many_open(group_conn(m->g), &stmt, q.uri, n, q.dir, n, q.name, n,
                                        q.from, n, q.to, n,
                                        str_of(q.sha256, n * sizeof(struct digest)), err);
    while (!st && (st = q_artifact_look_many_next(stmt, &row, err)) == OK) {
        struct spot *s = row.n >= 0 && (size_t)row.n < n ? m->spots[row.n] : NULL;

        if (NEVER(!s)) {
            continue;
        }
        s->root = row.root_null ? 0 : row.root;
        s->kind = row.kind_null ? KIND_NONE : (int)row.kind;
        s->below = row.below != 0;
        s->state = row.state_null ? 0 : row.state;
        s->stage = row.stage_null ? 0 : row.stage;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* What put_validate() would answer. */
static enum status decide(struct many *m, const struct artifact_put *p, const struct spot *target,
                          struct err *err)
{
    struct spot *above;
    struct str dir = target->dir, name;
    enum status st = OK;

    while (dir.n && !st) {
        st = find_spot(m, target->uri, dir, &above, err);
        if (!st && above->kind == KIND_FILE) {
            st = artifact_is_a_file(dir, err);
        }
        artifact_split(dir, &dir, &name);
    }
    if (!st && (target->kind == KIND_DIR || target->below)) {
        st = artifact_is_a_directory(p->place.path, err);
    }
    for (dir = target->dir; dir.n && !st; artifact_split(dir, &dir, &name)) {
        st = find_spot(m, target->uri, dir, &above, err);
        if (!st && above->kind == KIND_NONE) above->to_make = true;
    }
    return st;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

static enum status make_dirs(struct many *m, struct err *err)
{
    struct str none = { NULL, 0 };
    enum status st = OK;

    for (size_t i = 0; i < m->spots_n && !st; i++) {
        const struct spot *s = m->spots[i];

        if (s->to_make) {
            st = q_artifact_put(group_conn(m->g), s->root, s->dir, s->name, KIND_DIR, 0, none,
                                group_now_ms(m->g), err);
        }
    }
    return st;
}

/* The contents that the store does not have. */
static enum status write_contents(struct many *m, struct err *err)
{
    int64_t sizes[MANY_MAX], ats[MANY_MAX];
    unsigned char *sha = (unsigned char *)arena_alloc(m->a, m->n * sizeof(struct digest));
    char *bodies = (char *)arena_alloc(m->a, m->bytes + 1);
    size_t n = 0, at = 0;

    if (!sha || !bodies) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < m->n; i++) {
        const struct artifact_upload *u = m->puts[i]->upload;

        if (m->targets[i]->state) {
            continue;
        }
        sizes[n] = (int64_t)u->small_n;
        ats[n] = (int64_t)at;
        memcpy(sha + n++ * sizeof(struct digest), u->sha256.b, sizeof(struct digest));
        memcpy(bodies + at, u->small, u->small_n);
        at += u->small_n;
    }
    return n == 0 ? OK
                  : q_object_new_many(group_conn(m->g), str_of(sha, n * sizeof(struct digest)),
                                      sizes, n, ats, n, str_of(bodies, at), err);
}

static enum status write_all(struct many *m, struct err *err)
{
    int64_t roots[MANY_MAX], sizes[MANY_MAX];
    struct str dirs[MANY_MAX], names[MANY_MAX];
    unsigned char *sha = (unsigned char *)arena_alloc(m->a, m->n * sizeof(struct digest));
    enum status st;

    if (!sha) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < m->n; i++) {
        const struct artifact_upload *u = m->puts[i]->upload;

        roots[i] = m->targets[i]->root;
        dirs[i] = m->targets[i]->dir;
        names[i] = m->targets[i]->name;
        sizes[i] = (int64_t)u->small_n;
        memcpy(sha + i * sizeof(struct digest), u->sha256.b, sizeof(struct digest));
    }
    st = write_contents(m, err);
    st = st ? st : make_dirs(m, err);
    return st ? st
              : q_artifact_put_many(group_conn(m->g), roots, m->n, dirs, m->n, names, m->n, sizes,
                                    m->n, str_of(sha, m->n * sizeof(struct digest)),
                                    group_now_ms(m->g), err);
}

/* Decides about each; those that pass are what is left in m. */
static enum status choose(struct many *m, struct err *err)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->n; i++) {
        struct artifact_put *p = m->puts[i];
        enum status st = OK;

        p->is_alone = m->targets[i]->root == 0 || m->targets[i]->state > OBJECT_LIVE ||
                      m->targets[i]->stage == STAGE_DAMAGED;
        if (p->is_alone) {
            m->bytes -= p->upload->small_n;
            continue;
        }
        st = decide(m, p, m->targets[i], &p->op.err);
        if (st == ST_NOMEM) {
            *err = p->op.err;
            return st;
        }
        p->is_decided = true;
        p->decided = st;
        if (st) {
            m->bytes -= p->upload->small_n;
            continue;
        }
        m->puts[kept] = p;
        m->targets[kept++] = m->targets[i];
    }
    m->n = kept;
    return OK;
}

enum status artifact_put_many(struct group *g, struct artifact_put *first, struct err *err)
{
    struct many *m = ARENA_NEW(group_arena(g), struct many);
    enum status st;

    if (!m) {
        return err_nomem(err);
    }
    m->g = g;
    m->a = group_arena(g);
    m->by_place.max = SPOTS_MAX;
    st = gather(m, first, err);
    if (!st && m->n == 0) {
        first->is_alone = true; /* it relies on too much */
    }
    memcpy(m->all, m->puts, m->n * sizeof(m->puts[0]));
    m->all_n = m->n;
    if (!st && m->n > 0) {
        st = look(m, err);
        st = st ? st : choose(m, err);
        st = st || m->n == 0 ? st : write_all(m, err);
    }
    for (size_t i = 0; st && i < m->all_n; i++) { /* nobody passes who was not written */
        m->all[i]->is_decided = true;
        m->all[i]->decided = st;
        if (m->all[i] != first) m->all[i]->op.err = *err;
    }
    str_map_release(&m->by_place);
    return st;
}
