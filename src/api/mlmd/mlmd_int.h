/* api/mlmd/mlmd_int.h - shared by the files of this folder. */
#ifndef CAIRN_API_MLMD_MLMD_INT_H
#define CAIRN_API_MLMD_MLMD_INT_H

#include "api/grpc/grpc.h"
#include "api/mlmd/mlmd.h"
#include "core/typed/typed.h"
#include "gen/mlmd/mlmd.h"

enum { MLMD_MESSAGE_MAX = 100 << 20 };

/* MLMD_METHOD(GetArtifacts, get_artifacts, ACTION_RUN_READ, .kind = ...): the messages are named like the method. */
#define MLMD_METHOD(name_, snake_, action_, ...)                                                   \
    GRPC_METHOD_OF(MLMD_MESSAGE_MAX, "/ml_metadata.MetadataStoreService/" #name_,                  \
                   &ml_metadata_##snake_##_request_desc, &ml_metadata_##snake_##_response_desc,    \
                   RESOURCE_RUN, action_, __VA_ARGS__)
#define MLMD_READ(name_, snake_, fn_)                                                              \
    MLMD_METHOD(name_, snake_, ACTION_RUN_READ, .kind = CALL_READ, .read = (fn_))

/* quick_: an answer that is in memory is given by the loop. */
#define MLMD_READ_QUICK(name_, snake_, fn_, quick_)                                                \
    MLMD_METHOD(name_, snake_, ACTION_RUN_READ, .kind = CALL_READ, .read = (fn_), .quick = (quick_))

/* artifact_FN, execution_FN and context_FN(c, with, err): each calls fn_(c, with, KIND, err). */
#define MLMD_KINDS(fn_, with_)                                                                     \
    static enum status artifact_##fn_(struct call *c, with_ with, struct err *err)                 \
    {                                                                                              \
        return fn_(c, with, NODE_ARTIFACT, err);                                                   \
    }                                                                                              \
    static enum status execution_##fn_(struct call *c, with_ with, struct err *err)                \
    {                                                                                              \
        return fn_(c, with, NODE_EXECUTION, err);                                                  \
    }                                                                                              \
    static enum status context_##fn_(struct call *c, with_ with, struct err *err)                  \
    {                                                                                              \
        return fn_(c, with, NODE_CONTEXT, err);                                                    \
    }

/* The methods of each file. */
extern const struct route mlmd_put_methods[], mlmd_type_methods[], mlmd_node_methods[],
    mlmd_edge_methods[], mlmd_import_methods[];
extern const size_t mlmd_put_methods_n, mlmd_type_methods_n, mlmd_node_methods_n,
    mlmd_edge_methods_n, mlmd_import_methods_n;

/* ---- fields by number: requests of the three kinds of node differ in names only ---------------------------------------------- */

/* NULL where the field is absent. */
const void *mlmd_field(const struct msg_desc *d, const void *in, uint32_t number);
/* The elements of a repeated field, as many as *n. */
void *mlmd_list(const struct msg_desc *d, const void *in, uint32_t number, size_t *n);
int64_t mlmd_i64(const struct msg_desc *d, const void *in, uint32_t number);
/* NULL p where it is absent. */
struct str mlmd_str(const struct msg_desc *d, const void *in, uint32_t number);
void mlmd_set_i64(const struct msg_desc *d, void *out, uint32_t number, int64_t v);
void mlmd_set_i32(const struct msg_desc *d, void *out, uint32_t number, int32_t v);
void mlmd_set_str(const struct msg_desc *d, void *out, uint32_t number, struct str v);
void mlmd_set_msg(const struct msg_desc *d, void *out, uint32_t number, void *v);
void mlmd_set_list(const struct msg_desc *d, void *out, uint32_t number, void *items, size_t n);
/* The answer of the call, empty; NULL: memory is out. */
void *mlmd_answer(struct call *c);

/* ---- values.c -------------------------------------------------------------------------------------------------------------- */

enum status mlmd_open(struct call *c, struct view *v, struct typed_space *s, struct err *err);

const struct msg_desc *mlmd_node_desc(enum node_kind kind);
const struct msg_desc *mlmd_type_desc(enum node_kind kind);
enum status mlmd_node_in(struct arena *a, enum node_kind kind, const void *in,
                         struct typed_node *out, struct err *err);
/* n nodes of an array of messages of the kind. */
enum status mlmd_nodes_in(struct arena *a, enum node_kind kind, const void *in, size_t n,
                          struct typed_node **out, struct err *err);
enum status mlmd_nodes_out(struct arena *a, enum node_kind kind, const struct typed_node *in,
                           size_t n, void **out, struct err *err);
enum status mlmd_types_in(struct arena *a, enum node_kind kind, const void *in, size_t n,
                          struct typed_type *out, struct err *err);
/* base: with base_type. */
enum status mlmd_types_out(struct arena *a, enum node_kind kind, const struct typed_type *in,
                           size_t n, bool base, void **out, struct err *err);
enum status mlmd_event_in(struct arena *a, const struct ml_metadata_event *in,
                          struct typed_event *out, struct err *err);
enum status mlmd_events_out(struct arena *a, const struct typed_event *in, size_t n,
                            struct ml_metadata_event **out, struct err *err);

/* ---- filter.c --------------------------------------------------------------------------------------------------------------- */

/* A filter_query about nodes of a kind. ST_INVALID with the text that clients know for what is none. */
enum status mlmd_filter_parse(struct arena *a, enum node_kind kind, struct str text,
                              struct nodefilter **out, struct err *err);

/* ---- nodes.c ---------------------------------------------------------------------------------------------------------------- */

/* Answers with the nodes of a list: all of it without options (as many as clients take, then a token), else a page. */
enum status mlmd_list_answer(struct call *c, struct typed_space *s, struct nodelist *list,
                             const struct ml_metadata_list_operation_options *o, struct err *err);
/* The options of a request. */
const struct ml_metadata_list_operation_options *mlmd_options(struct call *c, uint32_t number);

/* ---- subgraph.c ------------------------------------------------------------------------------------------------------------- */

enum status mlmd_get_lineage_subgraph(struct call *c, struct view *v, struct err *err);

/* ---- structs.c: google.protobuf.Struct from its JSON object --------------------------------------------------------------------- */

enum status mlmd_struct_parse(struct arena *a, struct str text, struct ml_metadata_struct **out,
                              struct err *err);

#endif
