/* api/mlmd/mlmd.h - ML Metadata (ml_metadata.MetadataStoreService) over gRPC and gRPC-Web: a translation between its messages and
 * core/typed. A caller's namespace is that of its metadata `cairn-namespace`, else its principal's, else "default".
 * docs/mlmd.md says what is served. Thread rule: tables are immutable. */
#ifndef CAIRN_API_MLMD_MLMD_H
#define CAIRN_API_MLMD_MLMD_H

#include "api/call.h"

/* The methods of each file; api/grpc adds them. */
extern const struct route mlmd_put_methods[], mlmd_type_methods[], mlmd_node_methods[],
    mlmd_edge_methods[], mlmd_import_methods[];
extern const size_t mlmd_put_methods_n, mlmd_type_methods_n, mlmd_node_methods_n,
    mlmd_edge_methods_n, mlmd_import_methods_n;

/* The namespace of a call; ST_INVALID for a name that is too long. */
enum status mlmd_ns(struct call *c, struct str *out, struct err *err);

#endif
