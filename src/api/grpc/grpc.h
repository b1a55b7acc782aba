/* api/grpc/grpc.h - gRPC as a tongue: a method is a route "/package.Service/Method" of the same table as every other, with its right,
 * its messages and an endpoint; the tongue reads and writes frames and puts the outcome into trailers. So a method is the same
 * function as the REST route of its messages. gRPC-Web, binary and text, is the same again, over HTTP/1.1 too.
 * Services here: cairn.v1.LineageService, cairn.v1.StepService, grpc.health.v1.Health, grpc.reflection.v1 (and v1alpha) .ServerReflection. */
#ifndef CAIRN_API_GRPC_GRPC_H
#define CAIRN_API_GRPC_GRPC_H

#include "api/call.h"

extern const struct tongue grpc_tongue;
/* Adds every method. gRPC knows no prefix. */
enum status grpc_routes(struct router *r, struct err *err);

/* The largest message of a request, where its method does not say otherwise; an answer may be larger. */
enum { GRPC_MESSAGE_MAX = 4 << 20 };

/* One row of a table of methods. */
#define GRPC_METHOD(path_, in_, out_, resource_, action_, ...)                                     \
    GRPC_METHOD_OF(GRPC_MESSAGE_MAX, path_, in_, out_, resource_, action_, __VA_ARGS__)
/* The same for requests of up to max_ bytes. */
#define GRPC_METHOD_OF(max_, path_, in_, out_, resource_, action_, ...)                            \
    ROUTE_BODY(HTTP_POST, path_, in_, out_, resource_, action_,                                    \
               ENDPOINT(.tongue = &grpc_tongue, __VA_ARGS__), HTTP_BODY_BUFFERED,                  \
               2 * (uint64_t)(max_))
/* A method whose messages come or go one by one: stream_(struct call *) starts a struct grpc_call. */
#define GRPC_STREAM(path_, in_, out_, resource_, action_, stream_)                                 \
    ROUTE_BODY(HTTP_POST, path_, in_, out_, resource_, action_,                                    \
               ENDPOINT(.tongue = &grpc_tongue, .kind = CALL_STREAM, .stream = (stream_)),         \
               HTTP_BODY_STREAM, UINT64_MAX)

#endif
