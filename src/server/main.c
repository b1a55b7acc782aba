/* server/main.c - the program: hands over to the command line. */
#include "server/serve.h"
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct serve_options o;

    serve_options_init(&o);
    o.data = "cairn-data";
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--data") == 0 && i + 1 < argc) {
            o.data = argv[++i];
        } else if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc &&
                   o.listen_n < SERVE_LISTEN_MAX) {
            o.listen[o.listen_n++] = argv[++i];
        } else if (strcmp(argv[i], "--store") == 0 && i + 1 < argc) {
            o.store = argv[++i];
        } else {
            fprintf(stderr, "cairn: unknown argument %s\n", argv[i]);
            return 2;
        }
    }
    if (!o.listen_n) {
        o.listen[o.listen_n++] = "127.0.0.1:5757";
    }
    return serve_run(&o);
}
