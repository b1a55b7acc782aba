/* core/catalog.h - the model registry by dense numbers: what tongues beside MLflow's show of it.
 * Registered models and versions are those of core/registry.h. Beside them: artifacts of versions (models, documents, data sets,
 * metrics, parameters), serving environments, inference services in them, and what a service has served. All of them are nodes; an
 * item's number is its node's, dense per kind of node. Facts without a column of their own are properties (core/props.h).
 * The name of a version is its number, unless it was made with another one (its label): names of the versions of a model differ. The
 * artifact that an MLflow version stands for is named like its model.
 * Ownership: what reads return lives in the view's arena, what operations point to in the caller's until done has run.
 * Thread rule: init functions any thread; reads on pool threads, or on the sequencer inside validate(). */
#ifndef CAIRN_CORE_CATALOG_H
#define CAIRN_CORE_CATALOG_H

#include "core/props.h"
#include "core/registry.h"
#include "core/run.h"

enum catalog_kind {
    CATALOG_MODEL,
    CATALOG_VERSION,
    CATALOG_ARTIFACT,
    CATALOG_ENVIRONMENT,
    CATALOG_SERVICE,
    CATALOG_SERVE,
    CATALOG_EXPERIMENT, /* changed by core/catalog_tracking.h, like runs */
    CATALOG_RUN
};
/* "registered model", "model version", "artifact", "serving environment", "inference service", "serve model", "experiment",
 * "experiment run". */
const char *catalog_kind_name(enum catalog_kind kind);

enum {
    CATALOG_NAME_MAX = 250,     /* characters of names, external ids and keys */
    CATALOG_PROPS_MAX = 1000,   /* custom properties of an item */
    CATALOG_ID_MAX = 999999999, /* what clients take for a number */
    CATALOG_TYPES_MAX = 8
};

struct catalog_item {
    enum catalog_kind kind;
    enum node_type type;
    int64_t uid, id;
    struct str name;
    int64_t parent;              /* uid of the model, environment, service, or version; 0 = none */
    int64_t number;              /* of a version; MLflow's id of an experiment */
    const struct run_view *run;  /* of a run */
    struct str uri, description; /* NULL p = none */
    int64_t create_ms, update_ms;
    /* After catalog_load(). */
    bool loaded;
    int64_t parent_id;
    struct str external_id; /* NULL p = none */
    struct props props;
};

/* ---- reads ----------------------------------------------------------------------------------------------------------------- */

/* All below: "registered model 7 not found" and the like; deleted things are not found. Items come loaded. */
enum status catalog_get(struct view *v, enum catalog_kind kind, int64_t id,
                        struct catalog_item *out, struct err *err);
/* By name, within a parent where the kind has one (parent: its number, 0 = none). Not for artifacts. */
enum status catalog_find(struct view *v, enum catalog_kind kind, int64_t parent, struct str name,
                         struct catalog_item *out, struct err *err);
enum status catalog_find_external(struct view *v, enum catalog_kind kind, struct str external_id,
                                  struct catalog_item *out, struct err *err);

struct catalog_list {
    enum catalog_kind kind;
    bool has_parent;
    int64_t parent;                          /* number; not found when it is not there */
    enum node_type types[CATALOG_TYPES_MAX]; /* of artifacts; n 0 = all */
    size_t types_n;
};
/* Calls fn for each item of the list, by ascending number within a type, not loaded; what the item points to lives until fn returns. fn
 * returns ST_END to stop early, which is OK here. */
enum status catalog_each(struct view *v, const struct catalog_list *in,
                         enum status (*fn)(void *ctx, struct catalog_item *item, struct err *err),
                         void *ctx, struct err *err);
/* Experiments and runs are those that are not deleted. Runs come to a pool thread only. Reads the rest of an item that catalog_each()
 * gave. */
enum status catalog_load(struct view *v, struct catalog_item *item, struct err *err);
/* The item of a uid, loaded; ST_NOT_FOUND without text when it is none of this kind. */
enum status catalog_get_uid(struct view *v, enum catalog_kind kind, int64_t uid,
                            struct catalog_item *out, struct err *err);
/* The live version of a model that was made last, loaded. ST_NOT_FOUND: the model has none. */
enum status catalog_newest_version(struct view *v, int64_t model_id, struct catalog_item *out,
                                   struct err *err);

/* ---- writes ----------------------------------------------------------------------------------------------------------------- */

/* What every item may be given, beside its name. */
struct catalog_facts {
    struct str description, external_id; /* NULL p = not given */
    struct str uri;                      /* of artifacts; NULL p = not given */
    struct prop *props;                  /* typed and custom ones to set */
    size_t props_n;
    bool replace_custom; /* custom properties that are not among them go */
};
/* Another item that has to exist: 404 otherwise. */
struct catalog_ref {
    enum catalog_kind kind;
    int64_t id; /* 0 = nothing to look for */
    const char *field;
};

/* "registered model with name X already exists" (ST_EXISTS), as for all items. */
struct catalog_model_create {
    struct registered_model_create base; /* base.op is the operation; description is in facts */
    struct catalog_facts facts;
    /* out */
    struct catalog_item item;
};
void catalog_model_create_init(struct catalog_model_create *c, struct core *core, struct arena *a);

/* A version without a source: the first model artifact that it gets says where its bytes lie. */
struct catalog_version_create {
    struct model_version_create base; /* base.name is found by model_id */
    int64_t model_id;
    struct str label;
    struct catalog_facts facts;
    /* out */
    struct catalog_item item;
};
void catalog_version_create_init(struct catalog_version_create *c, struct core *core,
                                 struct arena *a);

/* Artifacts, serving environments, inference services, serve models. With `upsert` one of that type and name below the parent is
 * changed instead, and `made` says which it was. */
struct catalog_create {
    struct write_op op;
    struct core *core;
    enum catalog_kind kind;
    enum node_type type;
    struct catalog_ref parent;
    struct catalog_ref refs[3];
    struct str name, who;
    struct catalog_facts facts;
    bool upsert;
    /* out */
    bool made;
    struct catalog_item item;
};
void catalog_create_init(struct catalog_create *c, struct core *core, struct arena *a);

/* Changes what is given; the rest stays. */
struct catalog_patch {
    struct write_op op;
    struct core *core;
    enum catalog_kind kind;
    int64_t id;
    /* Of artifacts: the type that the client named (any for 0), "artifact 5 is a doc-artifact" otherwise is ST_INVALID; TYPE_MODEL
     * and logged models count as TYPE_KF_MODEL_ARTIFACT. */
    enum node_type type;
    struct catalog_ref parent; /* of artifacts: it has to lie there */
    struct catalog_ref refs[3];
    struct str who;
    struct catalog_facts facts;
    /* out */
    struct catalog_item item;
};
void catalog_patch_init(struct catalog_patch *p, struct core *core, struct arena *a);

/* What models from MLflow are shown as. */
static inline enum node_type catalog_shown_type(enum node_type t)
{
    return t == TYPE_MODEL || t == TYPE_MLFLOW_LOGGED_MODEL ? TYPE_KF_MODEL_ARTIFACT : t;
}

/* ---- for the registry, inside validate() --------------------------------------------------------------------------------------- */

/* Whether a version of the model is shown by this name. */
enum status catalog_label_taken(struct group *g, int64_t model, struct str label, bool *taken,
                                struct err *err);
/* What belongs to a version alone (0: to all versions of the model) goes, tombstones stay. */
enum status catalog_drop_owned(struct group *g, int64_t model, int64_t version, struct str who,
                               struct err *err);

#endif
