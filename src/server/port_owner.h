/* server/port_owner.h - who listens on a TCP port of this machine, if the system lets us know.
 * Thread rule: any thread, not a loop. */
#ifndef CAIRN_SERVER_PORT_OWNER_H
#define CAIRN_SERVER_PORT_OWNER_H

#include "base/arena.h"

/* Process id and name of a process that listens on the port; 0 if none is seen (other users' processes are not). */
long port_owner(unsigned port, char *name, size_t name_size);

#endif
