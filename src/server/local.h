/* server/local.h - commands about a store: the server that owns it is asked; without one the store is opened here.
 * Ownership: answers lie in the command's arena. Thread rule: the main thread. */
#ifndef CAIRN_SERVER_LOCAL_H
#define CAIRN_SERVER_LOCAL_H

#include "cli/api.h"
#include "core/core_open.h"
#include "server/options.h"

struct local_call {
    const char *method, *path;
    struct str body; /* p NULL = none */
    /* The same work on the store itself: writes the JSON answer. */
    enum status (*here)(void *ctx, struct view *v, struct buf *out, struct err *err);
    void *ctx;
    bool create; /* a store that does not exist is made */
};

/* ST_NOT_FOUND when there is no store (and none is to be made). *out is the parsed answer. */
enum status local_run(struct cli *cli, const struct local_call *call, struct jv **out,
                      struct err *err) ATTR_CHECK;

/* Opens the store of the options as a server does, but listens nowhere. local_close() is NULL-safe. */
enum status local_open(const struct serve_options *o, bool create, struct core **out,
                       struct err *err) ATTR_CHECK;
void local_close(struct core *core);

#endif
