/* server/quiet.h - gives memory back to the system in a quiet moment.
 * The C library keeps what was freed below its large allocations, in a heap per thread; after a burst that can be most of a server's
 * resident memory. When requests or writes that used a lot have ended, one call returns it, a second after the last of
 * them. A server at rest does nothing: no timer runs.
 * Ownership: the opener closes it after everything that calls quiet_later(). Thread rule: quiet_later() any thread. */
#ifndef CAIRN_SERVER_QUIET_H
#define CAIRN_SERVER_QUIET_H

#include "base/err.h"

struct quiet;
enum status quiet_new(struct quiet **out, struct err *err) ATTR_CHECK;
void quiet_free(struct quiet *q); /* NULL-safe */
/* Something that used `bytes` of memory has ended. */
void quiet_later(struct quiet *q, size_t bytes);
/* Memory was freed that nobody counted: the next quiet second gives it back. */
void quiet_soon(struct quiet *q);

#endif
