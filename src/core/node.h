/* core/node.h - adding nodes, edges and memberships to the lineage graph, inside validate(), and reading their properties.
 * Facts are appended to the ..._log tables; the plain tables are their current view. Edges point in data-flow direction.
 * Thread rule: group_ functions on the sequencer, inside the validate() of an operation whose kind has sql set; others need a view. */
#ifndef CAIRN_CORE_NODE_H
#define CAIRN_CORE_NODE_H

#include "core/core.h"
#include "store/seq.h"

enum node_kind { NODE_ARTIFACT = 1, NODE_EXECUTION = 2, NODE_CONTEXT = 3 };
/* Fixed ids of the table `type`. */
enum node_type {
    TYPE_MLFLOW_EXPERIMENT = 1,
    TYPE_MLFLOW_RUN = 2,
    TYPE_MLFLOW_DATASET = 3,
    TYPE_MLFLOW_LOGGED_MODEL = 4,
    TYPE_MLFLOW_REGISTERED_MODEL = 5,
    TYPE_MLFLOW_MODEL_VERSION = 6,
    TYPE_MODEL = 7,
    TYPE_KF_MODEL_ARTIFACT = 8,
    TYPE_KF_DOC_ARTIFACT = 9,
    TYPE_KF_DATASET = 10,
    TYPE_KF_METRIC = 11,
    TYPE_KF_PARAMETER = 12,
    TYPE_KF_SERVING_ENVIRONMENT = 13,
    TYPE_KF_INFERENCE_SERVICE = 14,
    TYPE_KF_SERVE_MODEL = 15,
    TYPE_OL_RUN = 16, /* 16 to 20: core/openlineage */
    TYPE_OL_JOB = 17,
    TYPE_OL_DATASET = 18,
    TYPE_OL_VERSION = 19,
    TYPE_OL_NAMESPACE = 20,
    TYPE_DATA_PLACE = 30,  /* core/graph/place.h */
    TYPE_OF_OTHERS = 100,  /* above it: types that clients declare (core/typed) */
    TYPE_DATA_COLUMN = 900 /* of nodes in `field`, which are in no other table */
};
enum ident_scheme {
    IDENT_MLFLOW_RUN = 1,
    IDENT_MLFLOW_DATASET = 2,
    IDENT_MLFLOW_LOGGED_MODEL = 3,
    IDENT_MLFLOW_EXPERIMENT = 4,
    IDENT_REGISTERED_MODEL = 5, /* its name */
    IDENT_MODEL_VERSION = 6,    /* uid of the registered model, '/', number */
    IDENT_MODEL_PLACE = 7,      /* URI of a model's bytes */
    IDENT_VERSION_LABEL = 8,    /* uid of the registered model, '/', name that is not the number */
    IDENT_EXTERNAL = 9,         /* kind, '/', the id that a client gave */
    IDENT_CATALOG = 10,         /* type, '/', uid of the parent, '/', name */
    IDENT_TYPED_NAME = 11,      /* of a node of a declared type: type, '/', name */
    IDENT_TYPED_EXTERNAL =
        12, /* 12, 13, 14 for artifacts, executions, contexts: the id that a client gave */
    IDENT_OL_RUN =
        15, /* its UUID, 16 bytes; this and the next ones in the namespace OL_NS (core/openlineage) */
    IDENT_OL_JOB = 16, /* namespace NUL name; the SHA-256 of that where it is long */
    IDENT_OL_DATASET = 17,
    IDENT_OL_NAMESPACE = 18,
    IDENT_DATA_PLACE =
        30, /* its URI; with a digest: URI NUL digest; the SHA-256 of that where it is long */
    IDENT_DATA_SPELLED =
        31 /* URI NUL uid: what names that place in other letters (core/graph/place.h) */
};
enum edge_role { EDGE_INPUT = 3, EDGE_OUTPUT = 4 };
enum member_role {
    MEMBER_OF_EXPERIMENT = 1,
    MEMBER_OF_VERSION = 2,   /* the model that a version stands for */
    MEMBER_BESIDE = 3,       /* another artifact of a version */
    MEMBER_OF_SERVICE = 4,   /* a serving of an inference service */
    MEMBER_OF_RUN_NAMES = 5, /* an artifact that a client attributed to a run */
    MEMBER_OF_CONTEXT = 6,   /* of a context of a declared type */
    MEMBER_OF_JOB = 7,       /* a run of a job of OpenLineage */
    MEMBER_OF_DATASET = 8    /* a version of a data set of OpenLineage */
};
enum parent_role {
    PARENT_REGISTERED_MODEL = 1,
    PARENT_SERVING_ENVIRONMENT = 2,
    PARENT_CONTEXT = 3,   /* of a context of a declared type */
    PARENT_NAMESPACE = 4, /* of a job or a data set of OpenLineage */
    PARENT_RUN = 5,       /* the run that started a run of OpenLineage */
    PARENT_ROOT = 6       /* the one at the beginning of that chain */
};
enum prop_scope { PROP_TYPED = 0, PROP_CUSTOM = 1, PROP_PARAM = 2, PROP_TAG = 3, PROP_FACET = 4 };

struct node_new {
    enum node_kind kind;
    enum node_type type;
    enum ident_scheme scheme;
    struct str ident;             /* the identity that the tongue gave it; may hold any bytes */
    struct str name, uri, digest; /* NULL p = none */
};
/* ST_EXISTS if the identity is taken, which the engine may say only in a later call of the same validate(): ask with
 * group_node_find() where it can happen. */
enum status group_node_add(struct group *g, const struct node_new *n, int64_t *uid,
                           struct err *err);
/* ST_NOT_FOUND (without text) if there is none. */
enum status group_node_find(struct group *g, enum ident_scheme scheme, struct str ident,
                            int64_t *uid, struct err *err);
/* *added is false when the edge was there already (nothing is appended then). */
enum status group_edge_add(struct group *g, int64_t src, int64_t dst, enum edge_role role,
                           bool *added, struct err *err);
enum status group_parent_add(struct group *g, int64_t child, int64_t parent, enum parent_role role,
                             struct err *err);
enum status group_member_add(struct group *g, int64_t ctx, int64_t node, enum member_role role,
                             struct err *err);
/* The same; *added is false when it was there already. */
enum status group_member_put(struct group *g, int64_t ctx, int64_t node, enum member_role role,
                             bool *added, struct err *err);

/* The texts of one scope, by key, in the view's arena. */
enum status node_texts(struct view *v, int64_t uid, enum prop_scope scope, struct key_value **out,
                       size_t *n, struct err *err);

#endif
