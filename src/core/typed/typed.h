/* core/typed/typed.h - nodes whose types clients declare: artifacts, executions and contexts with properties, events between
 * them, memberships in contexts, and parents of contexts. They are nodes of the one graph: rows of node, ident, prop, edge, member, parent.
 *
 * A namespace has types, nodes and numbers of its own; numbers that clients see are dense per namespace and kind of node (types: over all
 * kinds, after the nine that every namespace has). A namespace that nobody has written to is empty, and is made by the first write.
 * Every write is one operation (struct typed_put): all of it or nothing. What a client matches (codes, beginnings of texts) is the
 * reference library's.
 *
 * Ownership: what reads return lives in the view's arena; what an operation points to in the caller's until done has run.
 * Thread rule: reads need a view; init functions any thread. */
#ifndef CAIRN_CORE_TYPED_TYPED_H
#define CAIRN_CORE_TYPED_TYPED_H

#include "core/props.h"
#include "store/graph/nodefilter.h"
#include "store/graph/nodelist.h"

enum {
    TYPED_SYSTEM = 9,     /* types that every namespace has: shown as 1 to 9 */
    TYPED_PAGE_MAX = 100, /* nodes of a page */
    TYPED_NS_MAX = 200,   /* bytes of the name of a namespace */
};
extern const struct str typed_default_ns;

struct typed_decl {
    struct str key;
    enum prop_type type; /* PROP_GONE: none that is known */
};
struct typed_type {
    enum node_kind kind;
    int64_t uid, id;                                                   /* of the row; as shown */
    struct str name, version, description, external_id, input, output; /* NULL p = none */
    bool has_base;
    int64_t base;             /* shown number of the type that it is a kind of, 0 = none */
    struct typed_decl *props; /* by key in byte order, each once */
    size_t props_n;
};

struct typed_node {
    enum node_kind kind;
    bool has_id, has_type, has_state, has_update;
    int64_t uid, id, type; /* type: its number as shown */
    int64_t type_uid;
    struct str type_name;              /* out */
    struct str name, uri, external_id; /* NULL p = none */
    int32_t state;
    struct prop
        *props; /* by scope, then key in byte order; in: type PROP_GONE is a value that is none */
    size_t props_n;
    int64_t create_ms, update_ms; /* in: update_ms is what the client read before */
    int64_t
        keep; /* in, of a new one: the number that it shall have if nothing has it; 0: the next */
};

/* One step of the path of an event. */
struct typed_step {
    bool is_index;
    int64_t index;
    struct str key;
};
struct typed_event {
    bool has_artifact, has_execution, has_ms;
    int64_t artifact, execution, ms;
    int64_t seq;  /* out: the order in which events were put */
    int32_t type; /* an event type of ML Metadata, 0 = none */
    struct typed_step *steps;
    size_t steps_n;
};
/* True: an artifact goes into the execution. */
static inline bool typed_event_is_input(int64_t type)
{
    return type == 2 || type == 3 || type == 5;
}

/* A pair of numbers: artifact or execution and its context; child and parent. */
struct typed_pair {
    bool has_a, has_b;
    int64_t a, b;
};

/* ---- reads ----------------------------------------------------------------------------------------------------------------- */

/* A namespace as a read sees it. */
struct typed_space {
    struct view *v;
    int64_t ns;
    bool others; /* nodes of other protocols are shown (others.h) */
};
enum status typed_open(struct view *v, struct str ns, struct typed_space *out, struct err *err);
/* Makes the namespace that was opened so if it is not there. Inside validate(). */
enum status typed_need(struct typed_space *s, struct str ns, struct err *err);

/* ST_NOT_FOUND without text where there is none; version NULL p: the one without. With its declared properties. */
enum status typed_type_named(struct typed_space *s, enum node_kind kind, struct str name,
                             struct str version, struct typed_type *out, struct err *err);
/* The same, of what never changes of a type: uid, id, name, version (both as given). Without a query, once it was asked for. */
enum status typed_type_find(struct typed_space *s, enum node_kind kind, struct str name,
                            struct str version, struct typed_type *out, struct err *err);
enum status typed_type_get(struct typed_space *s, enum node_kind kind, int64_t id,
                           struct typed_type *out, struct err *err);
enum status typed_type_external(struct typed_space *s, enum node_kind kind, struct str id,
                                struct typed_type *out, struct err *err);
/* All of a kind, by number; system: also those that every namespace has. */
enum status typed_types(struct typed_space *s, enum node_kind kind, bool system,
                        struct typed_type **out, size_t *n, struct err *err);

/* ST_NOT_FOUND without text where there is none. */
enum status typed_node_get(struct typed_space *s, enum node_kind kind, int64_t id,
                           struct typed_node *out, struct err *err);
enum status typed_node_named(struct typed_space *s, const struct typed_type *type, struct str name,
                             struct typed_node *out, struct err *err);
enum status typed_node_external(struct typed_space *s, enum node_kind kind, struct str id,
                                struct typed_node *out, struct err *err);
/* Nodes of a list, whole; in.ns is filled in. */
enum status typed_list(struct typed_space *s, struct nodelist *in, struct typed_node **out,
                       size_t *n, struct err *err);
/* Numbers to uids; ST_NOT_FOUND without text. */
enum status typed_uid(struct typed_space *s, enum node_kind kind, int64_t id, int64_t *out,
                      struct err *err);

/* Events of nodes of a kind, in the order of `ids` and then of their putting; of a number that nothing has there are none. */
enum status typed_events(struct typed_space *s, enum node_kind kind, const int64_t *ids, size_t n,
                         struct typed_event **out, size_t *out_n, struct err *err);
/* By number. What is not there has none. */
enum typed_relation { TYPED_CONTEXTS, TYPED_PARENTS, TYPED_CHILDREN };
enum status typed_related(struct typed_space *s, enum typed_relation what, enum node_kind kind,
                          int64_t id, struct typed_node **out, size_t *n, struct err *err);

/* What a subgraph has of its nodes: their numbers, and how they hang together. */
enum {
    TYPED_START_MAX =
        101, /* nodes that a subgraph begins with, by number; the rest is not looked at */
    TYPED_HOPS_MAX = 100,
    TYPED_SUBGRAPH_MAX = 250000 /* nodes, events, and memberships, of each as many */
};
/* Nodes that a filter matches end the walk. */
struct typed_ending {
    const struct nodefilter *filter; /* NULL: none */
    bool included;                   /* they and the events that lead to them are part of it */
};
struct typed_subgraph {
    enum node_kind kind;            /* of the nodes it begins with: artifacts or executions */
    const struct nodefilter *start; /* which they are */
    struct typed_ending artifacts_end, executions_end;
    bool up, down;  /* against the events, along them; both or neither: both ways */
    unsigned hops;  /* from an artifact to an execution or back is one */
    bool no_events; /* not wanted */
    bool no_members;
    size_t max; /* 0: TYPED_SUBGRAPH_MAX */
    /* Out. */
    int64_t *artifacts, *executions, *contexts; /* numbers */
    size_t artifacts_n, executions_n, contexts_n;
    struct typed_event *events;
    size_t events_n;
    struct typed_pair *attributions, *associations; /* a: the node, b: its context */
    size_t attributions_n, associations_n;
};
/* Breadth first. ST_NOT_FOUND where no node matches `start`, ST_TOO_BIG beyond `max`. */
enum status typed_subgraph(struct typed_space *s, struct typed_subgraph *io, struct err *err);

/* ---- writes ---------------------------------------------------------------------------------------------------------------- */

enum typed_put_kind {
    TYPED_PUT_TYPES,
    TYPED_PUT_NODES,
    TYPED_PUT_EVENTS,
    TYPED_PUT_MEMBERS, /* pairs_artifacts artifacts in contexts, the other pairs executions */
    TYPED_PUT_PARENTS, /* a: child, b: parent */
    TYPED_PUT_EXECUTION,
    TYPED_PUT_SUBGRAPH
};

/* An artifact with the event that leads to or from the execution; an event of a subgraph: indices in its lists. */
struct typed_edge {
    bool has_event, has_artifact, has_artifact_index, has_execution_index;
    struct typed_event event;
    size_t artifact; /* has_artifact: its index in `artifacts` */
    int64_t artifact_index, execution_index;
};

struct typed_put {
    struct write_op op;
    struct core *core;
    enum typed_put_kind kind;
    struct str ns, who;
    /* Types: in their order; ids are filled in. */
    bool can_add, can_omit;
    struct typed_type *types;
    size_t types_n;
    /* Nodes; ids are filled in. A put of nodes has them in `artifacts`, of whichever kind. */
    struct typed_node *artifacts, *executions, *contexts;
    size_t artifacts_n, executions_n, contexts_n;
    const struct str *mask; /* update mask, paths as they came */
    size_t mask_n;
    bool abort_if_updated;
    bool reuse_context, reuse_artifact, force_update_time, force_reuse_context;
    struct typed_event *events;
    size_t events_n;
    struct typed_edge *edges;
    size_t edges_n;
    struct typed_pair *pairs;
    size_t pairs_n, pairs_artifacts;
};
void typed_put_init(struct typed_put *p, struct core *core, struct arena *a);

/* ---- caches of executions ---------------------------------------------------------------------------------------------------- */

/* The context of type `execution_cache` of a key; ST_NOT_FOUND without text. */
enum status typed_cache_find(struct view *v, struct str ns, struct str key, int64_t *ctx,
                             struct err *err);
/* Puts an execution into it, made if it is not there. Inside validate(). */
struct typed_cache_entry {
    struct core *core;
    struct arena *arena;
    struct str ns, who, key;
    int64_t execution; /* its uid */
};
enum status typed_cache_add(struct group *g, const struct typed_cache_entry *e, struct err *err);

#endif
