/* net/h2_mem.h - what nghttp2 allocates comes from base/mem, of servers and of clients.
 * Thread rule: any thread. */
#ifndef CAIRN_NET_H2_MEM_H
#define CAIRN_NET_H2_MEM_H

#include <nghttp2/nghttp2.h>

/* For nghttp2_session_server_new3() and nghttp2_session_client_new3(), which copy it. */
nghttp2_mem h2_mem(void);

#endif
