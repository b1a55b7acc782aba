/* core/typed/cache.c - contexts in which clients of ML Metadata look for executions whose outputs they can take over: one of type
 * `execution_cache` for each key, named like it. */
#include "core/typed/typed_int.h"

static const struct str cache_type = S_INIT("execution_cache");

enum status typed_cache_find(struct view *v, struct str ns, struct str key, int64_t *ctx,
                             struct err *err)
{
    struct typed_space s;
    struct typed_type type;
    struct typed_node n;
    enum status st = typed_open(v, ns, &s, err);

    *ctx = 0;
    st = st ? st
            : typed_type_find(&s, NODE_CONTEXT, cache_type, (struct str){ NULL, 0 }, &type, err);
    st = st ? st : typed_node_named(&s, &type, key, &n, err);
    if (!st) {
        *ctx = n.uid;
    }
    return st;
}

enum status typed_cache_add(struct group *g, const struct typed_cache_entry *e, struct err *err)
{
    struct typed_type type = { .kind = NODE_CONTEXT, .name = cache_type };
    struct typed_node ctx = { .kind = NODE_CONTEXT, .has_type = true, .name = e->key };
    struct typed_put put = { .core = e->core,
                             .ns = e->ns,
                             .who = e->who,
                             .can_omit = true,
                             .types = &type,
                             .types_n = 1,
                             .reuse_context = true };
    struct putter p = { .g = g,
                        .v = { .core = e->core, .conn = group_conn(g), .arena = e->arena },
                        .put = &put };
    enum status st = typed_open(&p.v, e->ns, &p.s, err);

    st = st ? st : typed_put_types(&p, err);
    ctx.type = type.id;
    st = st ? st : typed_put_context(&p, &ctx, err);
    return st ? st : typed_put_member(&p, e->execution, ctx.uid, err);
}
