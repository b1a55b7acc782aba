/* core/run_scope.c - see run_search_int.h. */
#include "core/run_search_int.h"

#include <stdlib.h>

static int experiment_order(const void *a, const void *b)
{
    int64_t x = ((const struct experiment *)a)->id, y = ((const struct experiment *)b)->id;

    return (x > y) - (x < y);
}

enum status run_goals_read(struct run_goals *g, struct view *v, const int64_t *experiments,
                           size_t n, struct err *err)
{
    g->experiments = ARENA_ARRAY(v->arena, struct experiment, n + 1);
    if (!g->experiments) return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        struct err missing = ERR_INIT;
        enum status st = experiment_get(v, experiments[i], &g->experiments[g->n], &missing);

        if (st == OK) {
            g->n++;
        } else if (st != ST_NOT_FOUND) {
            if (err) *err = missing;
            return st;
        }
    }
    qsort(g->experiments, g->n, sizeof(*g->experiments), experiment_order);
    return OK;
}

struct str run_goal_tag(struct str metric, char *room)
{
    static const char prefix[] = "cairn.goal.";
    struct str tag = { room, sizeof(prefix) - 1 + metric.n };

    if (tag.n > GOAL_TAG_MAX) {
        return (struct str){ NULL, 0 };
    }
    memcpy(room, prefix, sizeof(prefix) - 1);
    memcpy(room + sizeof(prefix) - 1, metric.p, metric.n);
    return tag;
}

enum search_goal run_goals_of(const struct run_goals *g, int64_t experiment, struct str metric)
{
    struct experiment key = { .id = experiment };
    const struct experiment *x =
        g->n ? bsearch(&key, g->experiments, g->n, sizeof(key), experiment_order) : NULL;
    char room[GOAL_TAG_MAX];
    struct str name = run_goal_tag(metric, room);

    for (size_t i = 0; x && name.p && i < x->tags_n; i++) {
        if (str_eq(x->tags[i].key, name)) {
            return search_goal_parse(x->tags[i].value);
        }
    }
    return GOAL_NONE;
}

static int id_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

enum status run_search_scope(struct run_search *in, struct arena *a, struct str *out,
                             struct err *err)
{
    int64_t *ids = ARENA_ARRAY(a, int64_t, in->n + 1);
    size_t kept = 0;

    if (!ids) return err_nomem(err);
    if (in->n) {
        memcpy(ids, in->experiments, in->n * sizeof(*ids));
        qsort(ids, in->n, sizeof(*ids), id_order);
    }
    for (size_t i = 0; i < in->n; i++) {
        if (kept == 0 || ids[kept - 1] != ids[i]) {
            ids[kept++] = ids[i];
        }
    }
    ids[kept] = (int64_t)in->view_type;
    in->experiments = ids;
    in->n = kept;
    *out = str_of(ids, (kept + 1) * sizeof(*ids));
    return OK;
}
