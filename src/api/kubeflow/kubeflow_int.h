/* api/kubeflow/kubeflow_int.h - shared by the files of this folder. */
#ifndef CAIRN_API_KUBEFLOW_KUBEFLOW_INT_H
#define CAIRN_API_KUBEFLOW_KUBEFLOW_INT_H

#include "api/kubeflow/kubeflow.h"
#include "core/catalog.h"
#include "gen/kubeflow/kubeflow.h"

/* Newer clients say v1 for the same. */
#define KF_PATH    "/api/model_registry/v1alpha3"
#define KF_PATH_V1 "/api/model_registry/v1"

#define READ(fn) ENDPOINT(.tongue = &kubeflow_tongue, .kind = CALL_READ, .read = (fn))
/* Its start() has set c->user to what kf_finish() answers with. */
#define WRITE(start_fn)                                                                            \
    ENDPOINT(.tongue = &kubeflow_tongue, .kind = CALL_WRITE, .start = (start_fn),                  \
             .finish = kf_finish)

extern const struct route kubeflow_model_routes[], kubeflow_artifact_routes[],
    kubeflow_serving_routes[], kubeflow_run_routes[], kubeflow_tracking_routes[];
extern const size_t kubeflow_model_routes_n, kubeflow_artifact_routes_n, kubeflow_serving_routes_n,
    kubeflow_run_routes_n, kubeflow_tracking_routes_n;

/* ---- tongue.c ------------------------------------------------------------------------------------------------------------- */

enum { KF_TEXT_MAX = REGISTRY_TEXT_MAX, KF_PAGE_MAX = 1000 };

/* A number as the path or a body has it: 1 to 999999999. */
enum status kf_id(struct str text, const char *field, int64_t *out, struct err *err);
/* Whether the request says v1, not v1alpha3. */
bool kf_is_v1(const struct call *c);
/* The {id} of the path. */
enum status kf_path_id(const struct call *c, int64_t *out, struct err *err);
/* 422: a field that has to be there is not. */
enum status kf_missing(const char *field, struct err *err);

/* ---- names.c: MLflow's names are any text, here they are printable ASCII ---------------------------------------------------------- */

/* How a stored name is shown. `model`: MLflow forbids '/' and ':' in these, %2F and %3A stand for them. NULL p when memory is out. */
struct str kf_name_shown(struct arena *a, struct str stored, bool model);
/* The stored name behind a shown one; ST_INVALID where there is none. */
enum status kf_name_stored(struct arena *a, struct str shown, bool model, struct str *out,
                           struct err *err);
/* Printable ASCII, not empty, at most CATALOG_NAME_MAX characters. */
enum status kf_name_check(struct str name, const char *field, struct err *err);
/* The name that an item is shown with. */
struct str kf_item_name(struct arena *a, const struct catalog_item *it);

/* ---- values.c ------------------------------------------------------------------------------------------------------------------ */

/* What a body (desc, in) says about an item: description, externalId, uri, typed and custom properties. `only`: bits of the fields that
 * may be set (in addition to those common to all). */
enum status kf_facts(struct call *c, const struct msg_desc *desc, const void *in, uint64_t only,
                     struct catalog_facts *out, struct err *err);
/* An item as a message of the table. v1: 64-bit numbers are text everywhere. */
enum status kf_put(struct arena *a, const struct msg_desc *desc, const struct catalog_item *it,
                   bool v1, void **out, struct err *err);
/* Answers with an item by the route's table. */
enum status kf_answer(struct call *c, const struct catalog_item *it, struct err *err);
/* The same after a write; c->user is the item. */
enum status kf_finish(struct call *c, struct err *err);
/* "model-artifact" and so on; 0 for another text. */
enum node_type kf_artifact_type(struct str text);
struct str kf_artifact_type_name(enum node_type type);
/* Fields of artifacts of a type that can be set. */
uint64_t kf_artifact_fields(enum node_type type);

/* ---- runs.c: what a run logged, as artifacts without a number of their own --------------------------------------------------------- */

struct dataset_input;
/* One artifact of a run (loaded), in the view's arena. */
enum status kf_run_artifact(struct view *v, const struct catalog_item *run, enum node_type type,
                            struct str name, struct props props, struct str description,
                            struct str uri, bool v1, struct kubeflow_artifact **out,
                            struct err *err);
enum status kf_run_metric(struct view *v, const struct catalog_item *run, struct str name,
                          const struct point *at, bool v1, struct kubeflow_artifact **out,
                          struct err *err);
enum status kf_run_param(struct view *v, const struct catalog_item *run,
                         const struct key_value *param, bool v1, struct kubeflow_artifact **out,
                         struct err *err);
enum status kf_run_dataset(struct view *v, const struct catalog_item *run,
                           const struct dataset_input *d, bool v1, struct kubeflow_artifact **out,
                           struct err *err);
/* The parameterType of a value that nobody gave a type: MLflow keeps text. */
struct str kf_param_look(struct str value);
/* The tag of a run that holds what is said of a metric, a parameter or a data set of it: "description", "type", "uri". NULL p: memory
 * is out. */
struct str kf_note_tag(struct arena *a, enum node_type type, struct str name, const char *what);
/* Where the data of a source lie: its member "uri" when it is a JSON object (p NULL: it has none), else the source. */
struct str kf_source_uri(struct arena *a, struct str source);

/* ---- list.c -------------------------------------------------------------------------------------------------------------------- */

/* Answers with a page of a list; its query is c->in. */
enum status kf_list(struct call *c, struct view *v, struct catalog_list *list, struct err *err);
/* Answers with the one thing that c->in asks for. */
enum status kf_find(struct call *c, struct view *v, enum catalog_kind kind, enum node_type type,
                    struct err *err);
/* Answers with the thing of the path. */
enum status kf_get(struct call *c, struct view *v, enum catalog_kind kind, enum node_type type,
                   struct err *err);

#endif
