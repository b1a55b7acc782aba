/* server/figures.h - figures of the whole process as Prometheus text (0.0.4).
 * Thread rule: any thread; numbers of one answer may be of different moments. */
#ifndef CAIRN_SERVER_FIGURES_H
#define CAIRN_SERVER_FIGURES_H

#include "api/call.h"
#include "net/server.h"

struct figures {
    const struct http_server *http;
    const struct api *api;
    struct emitter *emitter; /* NULL = nothing is told to others */
    int64_t start_ms;
    int64_t ready_ns; /* from the start until requests were answered; 0 until then */
};
/* ctx is a struct figures. */
void figures_put(void *ctx, struct buf *out);

#endif
