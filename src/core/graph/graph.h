/* core/graph/graph.h - questions to the lineage graph: what something came from, what was made of it, and how one led to another.
 * Nodes are runs, data sets, logged models, model versions, registered models, and places of models that no run logged. Links point in
 * the direction that data flows: data set -> run -> logged model -> version -> registered model, model -> run that read it. What was
 * hard-deleted stays in the graph as a node that is gone. The links lie in memory (store/graph/links.h), filled from the logs of the
 * store by the first question and brought up to date by every one, so an answer has all that was acknowledged before it was asked.
 *
 * A node is written as run:ID, dataset:NAME@DIGEST, dataset:NAME (all its digests), model:ID (a logged model), version:NAME/NUMBER,
 * version:NAME@ALIAS, registered:NAME, files:URI, place:URI or place:URI@DIGEST (core/graph/place.h), job:NAMESPACE/NAME (its runs), data:NAMESPACE/NAME,
 * data:NAMESPACE/NAME@VERSION (data sets of OpenLineage; the longest namespace that is known), column:DATASET.NAME (core/graph/columns.h), or node:NUMBER. The word before the colon can be left out where only one kind of thing
 * has that name. One data set logged in several experiments is several nodes and is asked for as one.
 *
 * Ownership: answers live in the view's arena. Thread rule: reads, on pool threads; graph_new() and graph_free() by the core. */
#ifndef CAIRN_CORE_GRAPH_GRAPH_H
#define CAIRN_CORE_GRAPH_GRAPH_H

#include "core/node.h"
#include "core/run.h"

struct graph;
struct graph_options {
    const char *
        file; /* where the links are stored for the next start (docs/formats/links.md); copied; NULL = nowhere */
    size_t
        max_bytes; /* of links in memory, while they are packed too; 0 = a quarter of the machine's */
    size_t
        save_links; /* new links after which the file is written; 0 = 32,768, and a sixteenth of all */
};
enum status graph_new(struct graph **out, struct core *core, const struct graph_options *opt,
                      struct err *err);
/* Stores the links, if many are new; the pool has ended. NULL-safe. */
void graph_save_all(struct graph *g);
void graph_free(struct graph *g); /* NULL-safe */
/* Bytes of the links in memory. */
size_t graph_bytes(struct graph *g);

enum {
    GRAPH_STARTS_MAX = 1000,  /* nodes that one name may stand for */
    GRAPH_NODES_MAX = 10000,  /* nodes of one answer */
    GRAPH_LINKS_MAX = 100000, /* links of one answer */
    GRAPH_GROUPS_MAX = 1000,
    GRAPH_EXPAND_MAX = 100,
    GRAPH_ALIKE_MIN = 5,   /* siblings that are a group, */
    GRAPH_ALIKE_SHOWN = 3, /* and how many of them are given */
    GRAPH_DETAILS_MAX = 50 /* runs of one answer whose details are read */
};
/* Roles of links beside those of edges. */
enum {
    LINK_INPUT = EDGE_INPUT,
    LINK_OUTPUT = EDGE_OUTPUT,
    LINK_VERSION = 32,
    LINK_REGISTERED = 33,
    LINK_SAME = 34,   /* data that somebody said to be one; at no distance */
    LINK_COLUMN = 35, /* of a data set: column -> data set */
    LINK_USE = 36,    /* column -> run */
    LINK_MADE = 37,   /* run -> column */
    LINK_PARENT = 38, /* run -> run that it started */
    /* To a place of data and from it, at no distance, each link the other way of one of the others; of kinds, which are PLACE_ */
    LINK_TO_PLACE = 50,
    LINK_FROM_PLACE = 54,
    LINK_DERIVED =
        40 /* column -> column: the first of COLUMN_KINDS_N, in the order of column_kinds */
};
/* What is at a place (core/graph/place.h): anything in whichever version; a data set of MLflow; a version of the place; a version of a data
 * set of OpenLineage, whose data set is the place. */
enum place_kind { PLACE_ANY, PLACE_MLFLOW, PLACE_VERSION, PLACE_OPENLINEAGE, PLACE_KINDS_N };
/* How a column was made of another: names as OpenLineage has them, in small letters. */
enum { COLUMN_KINDS_N = 10, COLUMN_KIND_OTHER = 9 };
extern const struct str column_kinds[COLUMN_KINDS_N];
/* "input", "output", "version", "registered", "same", "place", "parent", "column", "use", "made", or the kind of a derived column. */
const char *graph_role_name(unsigned role);
/* "run", "dataset", "model", "version", "registered", "files", "column", "place", "job", "jobrun", "data", "dataversion", "node". */
const char *graph_type_name(enum node_type type);
enum status graph_type_parse(struct str text, enum node_type *out, struct err *err);

struct graph_query {
    struct str node;
    bool down;      /* else up */
    unsigned depth; /* links from the start; 0 = any */
    bool
        evaluation; /* follows links of data that a run only evaluated on; going up they always are followed */
    bool has_as_of;   /* only what was known at as_of_ms */
    int64_t as_of_ms; /* of the time of recording, or of the claimed one */
    bool claimed;
    enum node_type *types; /* that are given; the others are walked through. n 0 = all */
    size_t types_n;
    bool columns;       /* going up: also the columns that runs used, and what these were made of */
    size_t max;         /* nodes that are given, nearest first */
    int64_t timeout_ms; /* 0 = none */
    bool group;         /* of alike siblings some are given, and how many there are */
    uint64_t *
        expand; /* groups (graph_group_parse()) whose nodes are given all the same; implies group */
    size_t expand_n;
    bool details; /* params, code, libraries and people of the nearest runs and models */
};

/* What is said about a run or a model beyond its name. */
struct graph_details {
    struct key_value *params,
        *code; /* code: tags of source and version control, without "mlflow." */
    size_t params_n, code_n;
    struct str *libraries; /* lines of the model's requirements.txt */
    size_t libraries_n;
};
struct graph_node {
    int64_t uid;
    enum node_type type;
    struct str ref;    /* names it in questions */
    struct str name;   /* for people */
    struct str state;  /* of a run: RUNNING, ...; of a version: its stage; p NULL = none */
    struct str source; /* of a data set or a place; p NULL = none */
    struct str user;   /* of a run; p NULL = none */
    struct str experiment,
        digest;          /* of what is gone: where it was, what its files were; p NULL = unknown */
    struct str *aliases; /* of a version */
    size_t aliases_n;
    unsigned distance;
    int64_t time_ms; /* start of a run, creation of others; of what is gone, when it went */
    bool deleted;    /* in the trash */
    bool gone;       /* for good */
    uint64_t group;  /* of alike siblings; 0 = none */
    bool has_metric;
    double metric;                 /* graph_impact(): latest value */
    struct graph_details *details; /* NULL = not asked for */
};
struct graph_link {
    uint32_t from, to; /* indexes of nodes, in the direction of data */
    unsigned role;
    bool evaluation;
    int64_t seen_ms, claimed_ms;
    const char *rule;  /* of what is the same: who says so now (place.h); NULL = nobody */
    struct str reason; /* and why */
};
struct graph_total {
    enum node_type type;
    size_t n;
};
enum { GRAPH_TYPES_MAX = 16 };
#define GRAPH_TYPE_OTHER ((enum node_type)0) /* in totals: all that have no name of their own */
/* Siblings that are alike: of one type, found over links of one role from one node or from nodes that are alike. */
struct graph_group {
    uint64_t key; /* never 0; the same for the same group in the next answer */
    enum node_type type;
    unsigned role;
    size_t n;           /* all of them */
    int64_t under_uid;  /* what they were found from, or */
    uint64_t under_key; /* the group that it is in */
};
/* "g0123456789abcdef" and back; false if it is none. */
struct str graph_group_id(struct arena *a, uint64_t key);
bool graph_group_parse(struct str id, uint64_t *key);

struct graph_answer {
    struct graph_node *nodes; /* by distance; the starts first */
    size_t n;
    struct graph_link *links; /* among them */
    size_t links_n;
    struct graph_total totals
        [GRAPH_TYPES_MAX]; /* of all that was found without the starts, also what is not given */
    size_t totals_n;
    size_t starts_n;
    struct graph_group *groups; /* of which only some nodes are given */
    size_t groups_n;
    bool partial; /* the time was over before everything was found: totals are at least */
};
/* ST_NOT_FOUND names what was looked for; a name of several kinds of things is ST_INVALID and says how to write each. */
enum status graph_ask(struct view *v, const struct graph_query *q, struct graph_answer *out,
                      struct err *err);

/* A shortest way along the data from one to the other; where there is none, from the other to the one (*backwards). n 0: none. With
 * q->types it leads over nodes of these types only. */
struct graph_trail {
    struct graph_node *nodes;
    unsigned *roles; /* of the link from node i to node i + 1 */
    size_t n;
    struct graph_total totals[GRAPH_TYPES_MAX]; /* of what lies on any way, without the ends */
    size_t totals_n;
    bool backwards, partial;
};
enum status graph_trail(struct view *v, const struct graph_query *q, struct str to,
                        struct graph_trail *out, struct err *err);

/* What was made of something: as graph_ask() down, but versions and registered models are given first of all, then models, then runs;
 * with a metric the runs that have it, best first (highest, or lowest), before the others. */
struct graph_impact {
    struct graph_query q;
    struct str metric; /* p NULL = none */
    bool lowest;
};
enum status graph_impact(struct view *v, const struct graph_impact *q, struct graph_answer *out,
                         struct err *err);

#endif
