/* base/sock.h - socket calls through one table, so that a test can fail or shorten any of them.
 * Entries behave as the system's (return -1 and set errno); interrupted calls are repeated inside, SIGPIPE is never
 * raised, every descriptor is close-on-exec and non-blocking. Descriptors are closed with sys.close.
 * Thread rule: any thread; replacing an entry only while nothing else runs. */
#ifndef CAIRN_BASE_SOCK_H
#define CAIRN_BASE_SOCK_H

#include "base/err.h"
#include <sys/socket.h>
#include <sys/uio.h>

struct sock_table {
    int (*accept)(int fd, struct sockaddr *addr, socklen_t *n);
    ssize_t (*recv)(int fd, void *p, size_t n, int flags);
    ssize_t (*sendv)(int fd, const struct iovec *iov, size_t iov_n, int flags);
    int (*shutdown)(int fd, int how);
};
/* The calls in force, and the system's own. */
extern struct sock_table sock;
extern const struct sock_table sock_default;

enum { SOCK_ADDR_TEXT = 128 };

/* "127.0.0.1:5757", "[::1]:0", "*:80", "localhost:80", "unix:/path" -> a listening socket. A stale unix path is
 * replaced; the new one has mode 0600. */
enum status sock_listen(const char *address, int backlog, int *fd, struct err *err);
/* As sock_listen, but connects (waits until connected). For clients and tests. The descriptor is blocking. */
enum status sock_connect(const char *address, int *fd, struct err *err);
/* Connects to a name or a number, trying its addresses one after the other for ms milliseconds in all. The descriptor is non-blocking.
 * ST_UNAVAILABLE when none answers. Blocks; the resolver of the system has its own limits. */
enum status sock_dial(const char *host, unsigned port, int64_t ms, int *fd,
                      struct err *err) ATTR_CHECK;
/* Local TCP port, 0 for other sockets. */
unsigned sock_port(int fd);
/* "127.0.0.1:40112", "[::1]:40112", "unix". Returns the length. */
size_t sock_addr_text(const struct sockaddr *addr, char out[SOCK_ADDR_TEXT]);
/* TCP_NODELAY; no effect on other sockets. */
void sock_nodelay(int fd);
/* A socket by the numbers of getaddrinfo(), as sock_dial() makes one; -1 and errno. */
int sock_new(int family, int type, int protocol);
/* Nobody is woken for less than n bytes (SO_RCVLOWAT), the end and a failure apart. */
void sock_wake_from(int fd, size_t n);
/* Waits for events of poll() (POLLIN, POLLOUT), or a failure, for ms milliseconds and a minute at most; false: none has come, the time may not
 * be over yet. */
bool sock_wait(int fd, short events, int64_t ms);

#endif
