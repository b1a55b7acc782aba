/* api/mlmd/mlmd.h - ML Metadata (ml_metadata.MetadataStoreService) over gRPC and gRPC-Web: a translation between its messages and
 * core/typed. A caller's namespace is that of its metadata `cairn-namespace`, else its principal's, else "default".
 * docs/mlmd.md says what is served. Thread rule: tables are immutable. */
#ifndef CAIRN_API_MLMD_MLMD_H
#define CAIRN_API_MLMD_MLMD_H

#include "api/call.h"

/* Adds every method; for api/grpc. */
enum status mlmd_methods(struct router *r, struct err *err);

#endif
