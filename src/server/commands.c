/* server/commands.c - the table of the noun server. */
#include "server/commands.h"
#include "server/commands_int.h"

static int serve(struct cli *cli)
{
    struct serve_options o;
    struct err err = ERR_INIT;
    enum status st = options_serve(cli, &o, &err);

    return st ? cli_fail(cli, st, &err) : serve_run(&o);
}

#define SERVER_OPTIONS                                                                             \
    .opts = server_rows, .opts_n = SERVER_ROWS_N, .opts_bytes = sizeof(struct server_options)

static const struct cli_command rows[] = {
    { .noun = "server",
      .summary = "Run the server",
      .detail =
          "Everything is kept in the data folder. SIGTERM and SIGINT stop it: requests in work are answered first.\n"
          "On an address that others can reach, clients need a token (--auth).",
      .examples =
          (const char *const[]){
              "cairn server --data ~/cairn",
              "cairn server --listen 0.0.0.0:5757 --token-file /etc/cairn/token",
              "cairn server --store postgresql://cairn@db/cairn --data /var/lib/cairn", NULL },
      SERVER_OPTIONS,
      .run = serve },
};
const struct cli_table server_commands = { rows, ARRAY_N(rows) };
