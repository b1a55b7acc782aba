/* tests/10module/test_net_http1.c - HTTP/1.1 over loopback: one named test per promise of net. */
#include "netfix.h"
#include <stdio.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"

TEST(test_net_keepalive)
{
    struct nf f;
    struct nf_answer a;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    for (int i = 0; i < 3; i++) {
        nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        T_OK(nf_answer(fd, &a));
        T_INT(a.status, 200);
        T_CSTR(a.body, "hello");
        T_CSTR(nf_field(&a, "content-length"), "5");
        T_CSTR(nf_field(&a, "connection"), "");
        T_CSTR(nf_field(&a, "x-content-type-options"), "nosniff");
        T_CSTR(nf_field(&a, "x-frame-options"), "SAMEORIGIN");
        T_UINT(strlen(nf_field(&a, "x-request-id")), 32);
        T_UINT(strlen(nf_field(&a, "date")), 29);
        nf_answer_release(&a);
    }
    nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_CSTR(nf_field(&a, "connection"), "close");
    nf_answer_release(&a);
    T_OK(nf_closed(fd));
    (void)close(fd);
    nf_stop(&f);
}
