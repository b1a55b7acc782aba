/* tests/lib/runmodel.c - see runmodel.h. */
#include "runmodel.h"
#include "searchcheck.h"

#include "base/exec.h"
#include "base/mem.h"
#include "core/check.h"
#include "core/check_memory.h"
#include "core/experiment.h"
#include "core/purge.h"
#include "core/run_purge.h"
#include "gen/sql/queries.h"
#include "tap.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RUNS_MAX = 12,
    KEYS = 7,
    PAIRS_MAX = 64,
    POINTS_PER_OP = 40,
    PAIRS_PER_OP = 4,
    OPS_MAX = 4096,
    OWNER = 3000000,
    SEARCHES = 6 /* of each check */
};

static const char *const key_names[KEYS] = {
    "loss", "acc", "a/b", "mlflow.runName", "\xc3\xa9t\xc3\xa9", "x", "lr"
};

enum op_kind {
    OP_CREATE,
    OP_LOG,
    OP_TAG_DELETE,
    OP_UPDATE,
    OP_RUN_LIFECYCLE,
    OP_EXP_LIFECYCLE,
    OP_OWNER,
    OP_PURGE,
    OP_EXP_PURGE
};

struct ref_point {
    int64_t step, ts;
    double value;
    int key;
};

struct ref_pair {
    int key;
    char value[16];
};

struct model_op {
    enum op_kind kind;
    char run_id[33];
    int exp; /* 0 or 1 */
    char name[16];
    int64_t start_ms, end_ms;
    bool has_status, has_end, has_name, batch;
    int status, key;
    enum lifecycle to;
    struct ref_point points[POINTS_PER_OP];
    size_t points_n;
    struct ref_pair params[PAIRS_PER_OP], tags[PAIRS_PER_OP];
    size_t params_n, tags_n;
    struct model *m;
    struct core *core;
    union {
        struct run_create create;
        struct run_log log;
        struct run_tag_delete tag_delete;
        struct run_update update;
        struct run_lifecycle life;
        struct run_purge purge;
        struct experiment_lifecycle exp_life;
        struct experiment_purge exp_purge;
        struct {
            struct write_op op;
            struct run_points points;
        } owner;
    } w;
};

struct ref_run {
    char run_id[33];
    int exp;
    char name[16];
    int64_t start_ms, end_ms;
    bool has_end;
    int status;
    enum lifecycle life;
    struct ref_point *points;
    size_t points_n, points_cap;
    struct ref_pair params[KEYS], tags[KEYS];
    size_t params_n, tags_n;
};

struct model {
    uint64_t (*rnd)(void *ctx);
    void *ctx;
    struct ref_run runs[RUNS_MAX];
    size_t runs_n;
    struct ref_run owner; /* points without a run */
    enum lifecycle exp_life[2];
    int64_t exp_id[2];
    bool exp_gone;            /* the second one, for good: its runs go at some time after */
    bool gone_drawn;          /* or is about to be: nothing of it is asked for any more */
    char drawn[RUNS_MAX][33]; /* ids of runs created or about to be */
    int drawn_exp[RUNS_MAX];
    size_t drawn_n;
    struct model_op **ops;
    size_t ops_n, names_n;
    uint64_t checks;
    uint64_t pages; /* draws page sizes, apart from the choices of operations */
};

/* ---- drawing ----------------------------------------------------------------------------------------------------------------- */

static uint64_t below(struct model *m, uint64_t n)
{
    return m->rnd(m->ctx) % n;
}

struct model *model_new(uint64_t (*rnd)(void *ctx), void *ctx)
{
    struct model *m = (struct model *)mem_zalloc(1, sizeof(*m));

    T_OK(m != NULL);
    m->rnd = rnd;
    m->ctx = ctx;
    m->ops = (struct model_op **)mem_zalloc(OPS_MAX, sizeof(*m->ops));
    return m;
}

void model_ops_clear(struct model *m)
{
    for (size_t i = 0; i < m->ops_n; i++) {
        mem_free(m->ops[i]);
    }
    m->ops_n = 0;
}

void model_free(struct model *m)
{
    model_ops_clear(m);
    mem_free(m->ops);
    for (size_t i = 0; i < m->runs_n; i++) {
        mem_free(m->runs[i].points);
    }
    mem_free(m->owner.points);
    mem_free(m);
}

static void run_copy(struct ref_run *to, const struct ref_run *from)
{
    struct ref_point *points =
        (struct ref_point *)mem_realloc(to->points, (from->points_n + 1) * sizeof(*points));

    T_OK(points != NULL);
    if (from->points_n > 0) memcpy(points, from->points, from->points_n * sizeof(*points));
    *to = *from;
    to->points = points;
    to->points_cap = from->points_n + 1;
}

void model_copy(struct model *to, const struct model *from)
{
    for (size_t i = 0; i < from->runs_n; i++) {
        run_copy(&to->runs[i], &from->runs[i]);
    }
    run_copy(&to->owner, &from->owner);
    for (size_t i = from->runs_n; i < to->runs_n; i++) {
        mem_free(to->runs[i].points);
        memset(&to->runs[i], 0, sizeof(to->runs[i]));
    }
    to->runs_n = from->runs_n;
    memcpy(to->exp_life, from->exp_life, sizeof(to->exp_life));
    memcpy(to->exp_id, from->exp_id, sizeof(to->exp_id));
    to->exp_gone = from->exp_gone;
    to->gone_drawn = from->gone_drawn;
    memcpy(to->drawn, from->drawn, sizeof(to->drawn));
    memcpy(to->drawn_exp, from->drawn_exp, sizeof(to->drawn_exp));
    to->drawn_n = from->drawn_n;
    to->names_n = from->names_n;
}

void model_set_up(struct model *m)
{
    m->exp_id[1] = 1;
}

enum status model_setup(struct model *m, struct core *core, struct err *err)
{
    struct arena *a = arena_new(1 << 20);
    struct experiment_create c;
    enum status st;

    experiment_create_init(&c, core, a);
    c.name = S("second");
    st = seq_run(core->seq, &c.op, err);
    m->exp_id[1] = c.id;
    arena_free(a);
    return st;
}

static double draw_value(struct model *m)
{
    static const double odd[] = { 0.0,
                                  -0.0,
                                  (double)NAN,
                                  (double)INFINITY,
                                  -(double)INFINITY,
                                  4.9e-324,
                                  1.7976931348623157e308,
                                  1.0,
                                  0.1 };
    double v;

    switch (below(m, 5)) {
    case 0: return odd[below(m, ARRAY_N(odd))];
    case 1: return (double)((float)below(m, 1000) / 7.0f);
    case 2: return (double)below(m, 100000) / 10000;
    case 3: return (double)below(m, 4);
    default: v = num_bits_double(m->rnd(m->ctx)); return isnan(v) ? (double)NAN : v;
    }
}

static int64_t draw_time(struct model *m)
{
    switch (below(m, 12)) {
    case 0: return INT64_MAX;
    case 1: return INT64_MIN;
    case 2: return (int64_t)m->rnd(m->ctx);
    default: return (int64_t)below(m, 20);
    }
}

static void draw_points(struct model *m, struct model_op *op)
{
    int64_t step = draw_time(m), ts = draw_time(m);

    op->points_n = 1 + below(m, POINTS_PER_OP);
    for (size_t i = 0; i < op->points_n; i++) {
        if (below(m, 3) == 0) {
            step = draw_time(m);
            ts = draw_time(m);
        }
        op->points[i] = (struct ref_point){ step, ts, draw_value(m), (int)below(m, KEYS) };
        if (i > 0 && below(m, 8) == 0) op->points[i] = op->points[i - 1];
    }
}

static void draw_pairs(struct model *m, struct ref_pair *p, size_t *n, uint64_t values)
{
    *n = below(m, PAIRS_PER_OP);
    for (size_t i = 0; i < *n; i++) {
        p[i].key = (int)below(m, KEYS);
        snprintf(p[i].value, sizeof(p[i].value), "v%d", (int)below(m, values));
        if (below(m, 10) == 0) p[i].value[0] = '\0';
    }
}

static void draw_run_id(struct model *m, struct model_op *op)
{
    if (m->drawn_n == 0 || below(m, 40) == 0) {
        snprintf(op->run_id, sizeof(op->run_id), "nobody");
    } else {
        size_t i = below(m, m->drawn_n);

        memcpy(op->run_id, m->drawn[i], sizeof(op->run_id));
        if (m->gone_drawn && m->drawn_exp[i] == 1) snprintf(op->run_id, 33, "nobody");
    }
}

static void draw_create(struct model *m, struct model_op *op)
{
    if (m->drawn_n == RUNS_MAX) {
        op->kind = OP_LOG;
        return;
    }
    snprintf(op->run_id, sizeof(op->run_id), "%016" PRIx64 "%016" PRIx64, m->rnd(m->ctx),
             m->rnd(m->ctx));
    op->exp = (int)below(m, 2);
    m->drawn_exp[m->drawn_n] = op->exp;
    memcpy(m->drawn[m->drawn_n++], op->run_id, sizeof(op->run_id));
    op->start_ms = (int64_t)below(m, 5);
    snprintf(op->name, sizeof(op->name), "n%zu", m->names_n++);
    draw_pairs(m, op->tags, &op->tags_n, 3);
    for (size_t i = 0; i < op->tags_n; i++) {
        if (op->tags[i].key == 3) op->tags[i].key = 5; /* the name is given once */
    }
}

struct model_op *model_draw(struct model *m)
{
    static const enum op_kind kinds[] = { OP_CREATE,        OP_LOG,    OP_LOG,
                                          OP_LOG,           OP_LOG,    OP_LOG,
                                          OP_TAG_DELETE,    OP_UPDATE, OP_RUN_LIFECYCLE,
                                          OP_EXP_LIFECYCLE, OP_OWNER,  OP_PURGE };
    struct model_op *op = (struct model_op *)mem_zalloc(1, sizeof(*op));

    T_OK(op && m->ops_n < OPS_MAX);
    m->ops[m->ops_n++] = op;
    op->m = m;
    op->kind = m->drawn_n == 0 ? OP_CREATE : kinds[below(m, ARRAY_N(kinds))];
    if (op->kind == OP_CREATE) draw_create(m, op);
    if (op->kind == OP_CREATE) return op;
    draw_run_id(m, op);
    op->key = (int)below(m, KEYS);
    op->to = below(m, 2) ? LIFECYCLE_ACTIVE : LIFECYCLE_DELETED;
    op->exp = (int)below(m, 2);
    op->batch = below(m, 2) != 0;
    if (op->kind == OP_RUN_LIFECYCLE && below(m, 3) != 0) op->to = LIFECYCLE_ACTIVE;
    if ((op->kind == OP_EXP_LIFECYCLE || op->kind == OP_PURGE) && below(m, 3) != 0)
        op->kind = OP_LOG;
    if (op->kind == OP_EXP_LIFECYCLE && op->exp == 1 && below(m, 3) == 0) {
        op->kind = OP_EXP_PURGE;
        m->gone_drawn = true;
    }
    if (op->kind == OP_LOG || op->kind == OP_OWNER) {
        if (op->kind == OP_OWNER || below(m, 4) != 0) draw_points(m, op);
        if (below(m, 2)) draw_pairs(m, op->params, &op->params_n, 2);
        if (below(m, 2)) draw_pairs(m, op->tags, &op->tags_n, 5);
    }
    op->has_status = below(m, 2) != 0;
    op->status = 1 + (int)below(m, 5);
    op->has_end = below(m, 2) != 0;
    op->end_ms = (int64_t)below(m, 1000);
    op->has_name = below(m, 2) != 0;
    if (op->has_name && below(m, 5) != 0)
        snprintf(op->name, sizeof(op->name), "n%zu", m->names_n++);
    return op;
}

const char *model_op_name(const struct model_op *op)
{
    static const char *const names[] = { "create", "log",           "tag_delete",
                                         "update", "run_lifecycle", "exp_lifecycle",
                                         "owner",  "purge",         "exp_purge" };

    return names[op->kind];
}

/* ---- as writes ------------------------------------------------------------------------------------------------------------------ */

static struct key_value *pairs_of(struct arena *a, const struct ref_pair *p, size_t n)
{
    struct key_value *kv = ARENA_ARRAY(a, struct key_value, n + 1);

    for (size_t i = 0; i < n; i++) {
        kv[i] = (struct key_value){ str_cstr(key_names[p[i].key]), str_cstr(p[i].value) };
    }
    return kv;
}

static void points_of(struct model_op *op, struct run_points *p, struct arena *a)
{
    struct err err = ERR_INIT;

    T_ST(run_points_begin(p, a, &err), OK);
    for (size_t i = 0; i < op->points_n; i++) {
        const struct ref_point *r = &op->points[i];

        T_ST(run_points_add(p, str_cstr(key_names[r->key]), r->value, r->ts, r->step, &err), OK);
    }
}

static enum status owner_validate(struct write_op *w, struct group *g, struct err *err)
{
    struct model_op *op = CONTAINER_OF(w, struct model_op, w.owner.op);

    return group_owner_points(g, OWNER, &op->w.owner.points, err);
}

static const struct write_kind owner_kind = { .name = "test.owner", .validate = owner_validate };

struct write_op *model_op_write(struct model_op *op, struct core *core, struct arena *a)
{
    struct str id = str_cstr(op->run_id);

    op->core = core;
    switch (op->kind) {
    case OP_CREATE:
        run_create_init(&op->w.create, core, a);
        op->w.create.experiment = op->m->exp_id[op->exp];
        op->w.create.run_id = id;
        op->w.create.name = str_cstr(op->name);
        op->w.create.user_id = S("u");
        op->w.create.start_ms = op->start_ms;
        op->w.create.tags = pairs_of(a, op->tags, op->tags_n);
        op->w.create.tags_n = op->tags_n;
        return &op->w.create.op;
    case OP_LOG:
        run_log_init(&op->w.log, core, a);
        op->w.log.run_id = id;
        op->w.log.batch = op->batch;
        points_of(op, &op->w.log.points, a);
        op->w.log.params = pairs_of(a, op->params, op->params_n);
        op->w.log.params_n = op->params_n;
        op->w.log.tags = pairs_of(a, op->tags, op->tags_n);
        op->w.log.tags_n = op->tags_n;
        return &op->w.log.op;
    case OP_TAG_DELETE:
        run_tag_delete_init(&op->w.tag_delete, core, a);
        op->w.tag_delete.run_id = id;
        op->w.tag_delete.key = str_cstr(key_names[op->key]);
        return &op->w.tag_delete.op;
    case OP_UPDATE:
        run_update_init(&op->w.update, core, a);
        op->w.update.run_id = id;
        if (op->has_status) run_update_status(&op->w.update, (enum run_status)op->status);
        op->w.update.has_end = op->has_end;
        op->w.update.end_ms = op->end_ms;
        op->w.update.has_name = op->has_name;
        op->w.update.name = str_cstr(op->name);
        return &op->w.update.op;
    case OP_RUN_LIFECYCLE:
        run_lifecycle_init(&op->w.life, core, a);
        op->w.life.run_id = id;
        op->w.life.to = op->to;
        return &op->w.life.op;
    case OP_EXP_LIFECYCLE:
        experiment_lifecycle_init(&op->w.exp_life, core, a);
        op->w.exp_life.id = op->m->exp_id[op->exp];
        op->w.exp_life.to = op->to;
        return &op->w.exp_life.op;
    case OP_PURGE:
        run_purge_init(&op->w.purge, core, a);
        op->w.purge.run_id = id;
        op->w.purge.who = S("u");
        return &op->w.purge.op;
    case OP_EXP_PURGE:
        experiment_purge_init(&op->w.exp_purge, core, a);
        op->w.exp_purge.id = op->m->exp_id[1];
        op->w.exp_purge.who = S("u");
        return &op->w.exp_purge.op;
    case OP_OWNER:
        op->w.owner.op = (struct write_op){ .kind = &owner_kind, .arena = a };
        points_of(op, &op->w.owner.points, a);
        return &op->w.owner.op;
    }
    return NULL;
}

/* ---- the reference --------------------------------------------------------------------------------------------------------------- */

static struct ref_run *find_run(struct model *m, const char *run_id)
{
    for (size_t i = 0; i < m->runs_n; i++) {
        if (strcmp(m->runs[i].run_id, run_id) == 0) return &m->runs[i];
    }
    return NULL;
}

static struct ref_pair *find_pair(struct ref_pair *p, size_t n, int key)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i].key == key) return &p[i];
    }
    return NULL;
}

static void put_pair(struct ref_pair *p, size_t *n, int key, const char *value)
{
    struct ref_pair *have = find_pair(p, *n, key);

    if (!have) {
        have = &p[(*n)++];
        have->key = key;
    }
    snprintf(have->value, sizeof(have->value), "%s", value);
}

static void put_tag(struct ref_run *r, int key, const char *value)
{
    put_pair(r->tags, &r->tags_n, key, value);
    if (key == 3) snprintf(r->name, sizeof(r->name), "%s", value);
}

static void put_points(struct ref_run *r, const struct model_op *op)
{
    for (size_t i = 0; i < op->points_n; i++) {
        if (r->points_n == r->points_cap) {
            r->points_cap = r->points_cap ? r->points_cap * 2 : 64;
            r->points =
                (struct ref_point *)mem_realloc(r->points, r->points_cap * sizeof(*r->points));
            T_OK(r->points != NULL);
        }
        r->points[r->points_n++] = op->points[i];
    }
}

static enum status apply_log(struct ref_run *r, const struct model_op *op)
{
    struct ref_pair params[KEYS];
    size_t n = r->params_n;

    memcpy(params, r->params, sizeof(params));
    for (size_t i = 0; i < op->params_n; i++) {
        const struct ref_pair *have = find_pair(params, n, op->params[i].key);

        if (have && strcmp(have->value, op->params[i].value) != 0) return ST_INVALID;
        put_pair(params, &n, op->params[i].key, op->params[i].value);
    }
    memcpy(r->params, params, sizeof(params));
    r->params_n = n;
    for (size_t i = 0; i < op->tags_n; i++) {
        put_tag(r, op->tags[i].key, op->tags[i].value);
    }
    put_points(r, op);
    return OK;
}

static enum status apply_create(struct model *m, const struct model_op *op)
{
    struct ref_run *r = &m->runs[m->runs_n];

    if (m->exp_gone && op->exp == 1) return ST_NOT_FOUND;
    if (m->exp_life[op->exp] != LIFECYCLE_ACTIVE) return ST_INVALID;
    mem_free(r->points);
    memset(r, 0, sizeof(*r));
    m->runs_n++;
    memcpy(r->run_id, op->run_id, sizeof(r->run_id));
    r->exp = op->exp;
    r->start_ms = op->start_ms;
    r->status = RUN_RUNNING;
    for (size_t i = 0; i < op->tags_n; i++) {
        put_tag(r, op->tags[i].key, op->tags[i].value);
    }
    put_tag(r, 3, op->name);
    return OK;
}

static enum status apply_exp(struct model *m, const struct model_op *op)
{
    if (m->exp_gone && op->exp == 1) return ST_NOT_FOUND;
    if (m->exp_life[op->exp] == op->to) return ST_NOT_FOUND;
    m->exp_life[op->exp] = op->to;
    for (size_t i = 0; i < m->runs_n; i++) {
        if (m->runs[i].exp == op->exp) m->runs[i].life = op->to;
    }
    return OK;
}

static void drop_run(struct model *m, struct ref_run *r)
{
    mem_free(r->points);
    memmove(r, r + 1, (size_t)(&m->runs[m->runs_n] - (r + 1)) * sizeof(*r));
    m->runs_n--;
    memset(&m->runs[m->runs_n], 0, sizeof(*r));
}

static enum status apply_exp_purge(struct model *m)
{
    if (m->exp_gone) return ST_NOT_FOUND;
    m->exp_gone = m->gone_drawn = true;
    for (size_t i = m->runs_n; i-- > 0;) {
        if (m->runs[i].exp == 1) drop_run(m, &m->runs[i]);
    }
    return OK;
}

static enum status apply_to_run(struct ref_run *r, const struct model_op *op)
{
    struct ref_pair *t;

    if (op->kind == OP_RUN_LIFECYCLE) {
        r->life = op->to;
        return OK;
    }
    if (r->life != LIFECYCLE_ACTIVE) return ST_INVALID;
    if (op->kind == OP_LOG) return apply_log(r, op);
    if (op->kind == OP_TAG_DELETE) {
        t = find_pair(r->tags, r->tags_n, op->key);
        if (!t) return ST_NOT_FOUND;
        *t = r->tags[--r->tags_n];
        return OK;
    }
    if (op->has_status) r->status = op->status;
    if (op->has_end) {
        r->has_end = true;
        r->end_ms = op->end_ms;
    }
    if (op->has_name && op->name[0] != '\0') put_tag(r, 3, op->name);
    return OK;
}

enum status model_apply(struct model *m, struct model_op *op)
{
    struct ref_run *r;

    if (op->kind == OP_CREATE) return apply_create(m, op);
    if (op->kind == OP_EXP_LIFECYCLE) return apply_exp(m, op);
    if (op->kind == OP_EXP_PURGE) return apply_exp_purge(m);
    if (op->kind == OP_OWNER) {
        put_points(&m->owner, op);
        return OK;
    }
    r = find_run(m, op->run_id);
    if (r && op->kind == OP_PURGE) {
        drop_run(m, r);
        return OK;
    }
    return r ? apply_to_run(r, op) : ST_NOT_FOUND;
}

/* ---- texts ------------------------------------------------------------------------------------------------------------------------ */

static int value_cmp(double a, double b)
{
    double x = isnan(a) ? 0 : a, y = isnan(b) ? 0 : b;

    if (x != y) return x < y ? -1 : 1;
    if (isnan(a) != isnan(b)) return isnan(a) ? 1 : -1;
    return signbit(x) == signbit(y) ? 0 : signbit(x) ? -1 : 1;
}

static int ref_cmp(const void *a, const void *b)
{
    const struct ref_point *p = (const struct ref_point *)a, *q = (const struct ref_point *)b;

    if (p->ts != q->ts) return p->ts < q->ts ? -1 : 1;
    if (p->step != q->step) return p->step < q->step ? -1 : 1;
    return value_cmp(p->value, q->value);
}

static void put_value(struct buf *out, double v)
{
    if (isnan(v)) {
        buf_put_lit(out, "nan");
    } else {
        buf_printf(out, "%016" PRIx64, num_double_bits(v));
    }
}

static void put_metric(struct buf *out, const char *key, const struct ref_point *last, double min,
                       double max, int64_t min_step, int64_t max_step, int64_t n)
{
    buf_printf(out, " metric %s ", key);
    put_value(out, last->value);
    buf_printf(out, " ts=%" PRId64 " step=%" PRId64 " n=%" PRId64, last->ts, last->step, n);
    if (!isnan(min)) {
        buf_put_lit(out, " min=");
        put_value(out, min);
        buf_printf(out, "@%" PRId64 " max=", min_step);
        put_value(out, max);
        buf_printf(out, "@%" PRId64, max_step);
    }
    buf_put_lit(out, "\n");
}

static bool later(const struct ref_point *p, const struct ref_point *q)
{
    if (p->step != q->step) return p->step > q->step;
    if (p->ts != q->ts) return p->ts > q->ts;
    return value_cmp(p->value, q->value) > 0;
}

static void dump_latest(struct buf *out, const struct ref_run *r, int key)
{
    const struct ref_point *last = NULL;
    double min = (double)NAN, max = (double)NAN;
    int64_t min_step = 0, max_step = 0, n = 0;

    for (size_t i = 0; i < r->points_n; i++) {
        const struct ref_point *p = &r->points[i];

        if (p->key != key) continue;
        n++;
        if (!last || later(p, last)) last = p;
        if (isnan(p->value)) continue;
        if (isnan(min) || value_cmp(p->value, min) < 0 ||
            (value_cmp(p->value, min) == 0 && p->step < min_step)) {
            min = p->value;
            min_step = p->step;
        }
        if (isnan(max) || value_cmp(p->value, max) > 0 ||
            (value_cmp(p->value, max) == 0 && p->step < max_step)) {
            max = p->value;
            max_step = p->step;
        }
    }
    if (last) put_metric(out, key_names[key], last, min, max, min_step, max_step, n);
}

static void dump_history(struct buf *out, const struct ref_run *r, int key)
{
    struct ref_point *p = (struct ref_point *)mem_alloc((r->points_n + 1) * sizeof(*p));
    size_t n = 0;

    for (size_t i = 0; i < r->points_n; i++) {
        if (r->points[i].key == key) p[n++] = r->points[i];
    }
    qsort(p, n, sizeof(*p), ref_cmp);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && ref_cmp(&p[i - 1], &p[i]) == 0) continue;
        buf_printf(out, " point %s %" PRId64 " %" PRId64 " ", key_names[key], p[i].ts, p[i].step);
        put_value(out, p[i].value);
        buf_put_lit(out, "\n");
    }
    mem_free(p);
}

/* Keys in byte order of their names. */
static const int key_order[KEYS] = { 2, 1, 0, 6, 3, 5, 4 };

void model_dump(struct model *m, struct buf *out)
{
    for (size_t i = 0; i < m->runs_n; i++) {
        struct ref_run *r = &m->runs[i];

        buf_printf(out,
                   "run %s exp=%d name=%s status=%d life=%d start=%" PRId64 " end=%" PRId64 "\n",
                   r->run_id, r->exp, r->name, r->status, (int)r->life, r->start_ms,
                   r->has_end ? r->end_ms : -1);
        for (int k = 0; k < KEYS; k++) {
            dump_latest(out, r, key_order[k]);
        }
        for (int k = 0; k < KEYS; k++) {
            const struct ref_pair *p = find_pair(r->params, r->params_n, key_order[k]);

            if (p) buf_printf(out, " param %s=%s\n", key_names[p->key], p->value);
        }
        for (int k = 0; k < KEYS; k++) {
            const struct ref_pair *p = find_pair(r->tags, r->tags_n, key_order[k]);

            if (p) buf_printf(out, " tag %s=%s\n", key_names[p->key], p->value);
        }
        for (int k = 0; k < KEYS; k++) {
            dump_history(out, r, key_order[k]);
        }
    }
    buf_put_cstr(out, m->exp_gone ? "second experiment gone\nowner\n" : "owner\n");
    for (int k = 0; k < KEYS; k++) {
        dump_history(out, &m->owner, key_order[k]);
    }
}

static void put_points_text(struct buf *out, const char *key, const struct point *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, " point %s %" PRId64 " %" PRId64 " ", key, p[i].timestamp_ms, p[i].step);
        put_value(out, p[i].value);
        buf_put_lit(out, "\n");
    }
}

static enum status store_history(struct model *m, struct view *v, struct str run_id,
                                 const char *key, struct buf *out, struct err *err)
{
    size_t page = 1 + (size_t)(m->pages++ * 7919 % 50), n;
    struct point *p, after;
    bool more = true;
    enum status st = OK;

    for (bool first = true; more && !st; first = false) {
        st = run_metric_history(v, run_id, str_cstr(key), first ? NULL : &after, page, &p, &n,
                                &more, err);
        if (st) return st;
        put_points_text(out, key, p, n);
        if (n > 0) after = p[n - 1];
        if (more && n != page) return err_set(err, ST_INTERNAL, "a page is short");
    }
    return st;
}

/* gone: the second experiment, whose runs may be there still. */
static enum status store_dump_run(struct model *m, struct view *v, struct str run_id, bool gone,
                                  struct buf *out, struct err *err)
{
    struct run_view r;
    enum status st = run_get(v, run_id, &r, err);

    if (st) return st;
    if (gone && r.experiment == m->exp_id[1]) return ST_NOT_FOUND;
    buf_printf(out,
               "run %.*s exp=%d name=%.*s status=%d life=%d start=%" PRId64 " end=%" PRId64 "\n",
               STR_ARG(r.run_id), r.experiment == m->exp_id[1], STR_ARG(r.name), (int)r.status,
               (int)r.lifecycle, r.start_ms, r.has_end ? r.end_ms : -1);
    for (size_t i = 0; i < r.metrics_n; i++) {
        struct run_metric *x = &r.metrics[i];
        struct ref_point last = { x->step, x->timestamp_ms, x->value, 0 };
        char key[64];

        snprintf(key, sizeof(key), "%.*s", STR_ARG(x->key));
        put_metric(out, key, &last, x->min, x->max, x->min_step, x->max_step, x->n);
    }
    for (size_t i = 0; i < r.params_n; i++) {
        buf_printf(out, " param %.*s=%.*s\n", STR_ARG(r.params[i].key), STR_ARG(r.params[i].value));
    }
    for (size_t i = 0; i < r.tags_n; i++) {
        buf_printf(out, " tag %.*s=%.*s\n", STR_ARG(r.tags[i].key), STR_ARG(r.tags[i].value));
    }
    for (int k = 0; k < KEYS && !st; k++) {
        st = store_history(m, v, run_id, key_names[key_order[k]], out, err);
    }
    return st;
}

static enum status count_run(void *ctx, const struct run_view *run, struct err *err)
{
    (void)run;
    (void)err;
    (*(size_t *)ctx)++;
    return OK;
}

enum status store_dump(struct model *m, struct core *core, struct buf *out, struct err *err)
{
    struct arena *a = arena_new(256 << 20);
    struct view v;
    struct str *keys;
    struct point *p;
    size_t n, runs = 0, found = 0;
    enum status st = seq_read_begin(core->seq, err);
    bool reading = st == OK, gone = false;
    struct experiment second;

    core_view(core, a, &v);
    if (!st) {
        st = experiment_get(&v, m->exp_id[1], &second, err);
        gone = st == ST_NOT_FOUND;
        if (gone) st = OK;
    }
    for (size_t i = 0; i < m->drawn_n && !st; i++) {
        st = store_dump_run(m, &v, str_cstr(m->drawn[i]), gone, out, err);
        found += st == OK;
        if (st == ST_NOT_FOUND) st = OK; /* not created, or refused */
    }
    if (!st) st = run_each(&v, m->exp_id, gone ? 1 : 2, VIEW_ALL, count_run, &runs, err);
    if (!st && runs != found)
        st = err_set(err, ST_INTERNAL, "run_each gave %zu of %zu runs", runs, found);
    buf_put_cstr(out, gone ? "second experiment gone\nowner\n" : "owner\n");
    if (!st) st = owner_metric_keys(&v, OWNER, &keys, &n, err);
    for (size_t i = 0; !st && i < n; i++) {
        char key[64];
        size_t k;

        snprintf(key, sizeof(key), "%.*s", STR_ARG(keys[i]));
        st = owner_metric_history(&v, OWNER, keys[i], &p, &k, err);
        if (!st) put_points_text(out, key, p, k);
    }
    if (reading) seq_read_end(core->seq);
    arena_free(a);
    return st;
}

bool model_agrees(struct model *m, struct core *core)
{
    struct buf want = BUF_INIT(64 << 20), got = BUF_INIT(64 << 20);
    struct err err = ERR_INIT;
    bool same;

    model_dump(m, &want);
    T_ST_ERR(store_dump(m, core, &got, &err), OK, &err);
    same = str_eq(buf_str(&want), buf_str(&got));
    buf_release(&want);
    buf_release(&got);
    return same;
}

void model_check(struct model *m, struct core *core)
{
    struct buf want = BUF_INIT(64 << 20), got = BUF_INIT(64 << 20);
    struct err err = ERR_INIT;

    model_dump(m, &want);
    T_ST_ERR(store_dump(m, core, &got, &err), OK, &err);
    if (!str_eq(buf_str(&want), buf_str(&got))) {
        size_t i = 0, line;

        while (i < want.n && i < got.n && want.p[i] == got.p[i]) {
            i++;
        }
        for (line = i; line > 0 && want.p[line - 1] != '\n';) {
            line--;
        }
        T_FAIL("store and reference differ at byte %zu:\nwant: %.*s\ngot:  %.*s", i,
               STR_ARG(str_sub(buf_str(&want), line, 200)),
               STR_ARG(str_sub(buf_str(&got), line, 200)));
    }
    buf_release(&want);
    buf_release(&got);
    model_search(m, core);
}

void model_search(struct model *m, struct core *core)
{
    /* runs of an experiment that goes may go in the middle of a search */
    search_check(core, m->exp_id, m->gone_drawn ? 1 : 2, ++m->checks, SEARCHES);
}

static void check_failed(void *ctx, enum check_rule rule, struct str what)
{
    struct buf *b = (struct buf *)ctx;

    if ((rule == CHECK_PACK_OWNER || rule == CHECK_CHUNK_OWNER) &&
        str_find(what, S("3000000")) != SIZE_MAX)
        return; /* our owner without a row */
    buf_printf(b, "%s: %.*s\n", check_rule_name(rule), STR_ARG(what));
}

/* What is going for good is gone: rules between rows are read one after the other. */
static void settle(struct core *core, struct view *v);

void model_settle(struct core *core)
{
    struct arena *a = arena_new(1 << 20);
    struct view v;

    T_OK(a != NULL);
    core_view(core, a, &v);
    settle(core, &v);
    arena_free(a);
}

static void settle(struct core *core, struct view *v)
{
    struct q_purge_experiment_next_row row;
    struct exec_event *never = exec_event_new();
    struct err err = ERR_INIT;
    enum status st = q_purge_experiment_next(v->conn, v->arena, INT64_MIN, &row, &err);

    if (!st) purger_wake(core->purger);
    for (int i = 0; !st && i < 60000; i++) {
        (void)exec_event_wait(never, 1);
        st = q_purge_experiment_next(v->conn, v->arena, INT64_MIN, &row, &err);
    }
    T_ST_ERR(st, ST_NOT_FOUND, &err);
    exec_event_free(never);
}

void model_check_rows(struct core *core)
{
    struct buf found = BUF_INIT(1 << 20);
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct view v;
    size_t n;

    core_view(core, a, &v);
    settle(core, &v);
    T_ST_ERR(core_check(v.conn, check_failed, &found, &n, &err), OK, &err);
    T_ST_ERR(seq_read_begin(core->seq, &err), OK, &err);
    T_ST_ERR(core_check_memory(&v, check_failed, &found, &n, &err), OK, &err);
    seq_read_end(core->seq);
    if (found.n > 0) T_FAIL("the store is not sound:\n%.*s", STR_ARG(buf_str(&found)));
    buf_release(&found);
    arena_free(a);
}

/* ---- rounds ----------------------------------------------------------------------------------------------------------------------- */

struct waiting {
    struct exec_event *e;
    _Atomic size_t left;
};

static void round_done(struct write_op *op)
{
    struct waiting *w = (struct waiting *)op->user;
    struct exec_event *e = w->e;

    if (atomic_fetch_sub(&w->left, 1) == 1) exec_event_set(e);
}

void model_round(struct model *m, struct core *core, size_t n)
{
    struct arena *a = arena_new(64 << 20);
    struct write_op **writes = ARENA_ARRAY(a, struct write_op *, n);
    struct waiting w = { .e = exec_event_new() };

    model_ops_clear(m);
    atomic_store(&w.left, n);
    for (size_t i = 0; i < n; i++) {
        writes[i] = model_op_write(model_draw(m), core, a);
        writes[i]->user = &w;
        writes[i]->done = round_done;
    }
    for (size_t i = 0; i < n; i++) {
        T_ST_ERR(seq_submit(core->seq, writes[i]), OK, &writes[i]->err);
    }
    T_OK(exec_event_wait(w.e, 60000));
    for (size_t i = 0; i < n; i++) {
        enum status want = model_apply(m, m->ops[i]);

        if (writes[i]->st != want) {
            T_FAIL("operation %zu (%s): status %d, want %d: %s", i, model_op_name(m->ops[i]),
                   (int)writes[i]->st, (int)want, writes[i]->err.message);
        }
    }
    exec_event_free(w.e);
    arena_free(a);
}
