/* api/grpc/grpc_int.h - shared by the files of the gRPC tongue. */
#ifndef CAIRN_API_GRPC_GRPC_INT_H
#define CAIRN_API_GRPC_GRPC_INT_H

#include "api/grpc/grpc.h"
#include "net/grpc_call.h"

extern const struct route grpc_health_routes[], grpc_reflection_routes[];
extern const size_t grpc_health_routes_n, grpc_reflection_routes_n;

/* The messages of the request, one after the other, decompressed, in the arena. ST_END: no further one. */
struct grpc_reader {
    struct http_req *req;
    struct str left;
};
enum status grpc_reader_init(struct grpc_reader *r, struct http_req *req, struct err *err);
enum status grpc_next(struct grpc_reader *r, struct str *message, struct err *err);
/* True if a service of that full name is here. */
bool grpc_has_service(struct str name);

#endif
