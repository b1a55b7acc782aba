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

#define STORE_OPTIONS SERVER_OPTIONS, .short_help = true

static const struct opt_row health_rows[] = {
    { .name = "service",
      .type = OPT_TEXT,
      .arg = "NAME",
      .off = offsetof(struct health_flags, service),
      .doc = "full name of a service of gRPC; without it the server as a whole" },
    { .name = "watch",
      .type = OPT_BOOL,
      .off = offsetof(struct health_flags, watch),
      .doc = "stay, and show the status again when it changes" },
    { .name = "ca-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      .off = offsetof(struct health_flags, ca_file),
      .doc =
          "PEM file of the certificates that are trusted with https; without it those of the system" },
    { .name = "wait",
      .type = OPT_DURATION,
      .arg = "TIME",
      .def = "5s",
      .min = "1ms",
      .max = "1h",
      .off = offsetof(struct health_flags, timeout_ms),
      .doc = "how long the server may take to answer" },
};

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
    { .noun = "server",
      .verb = "doctor",
      .summary = "Look at what a server here needs: store, disk, clock, limits, libraries",
      .detail =
          "Measures for about a second how fast the disk of the data folder syncs. Exit code 7: something has to be done.",
      CLI_EXAMPLES("cairn server doctor --data ~/cairn"),
      STORE_OPTIONS,
      .run = command_doctor },
    { .noun = "server",
      .verb = "health",
      .args = "[ADDRESS]",
      .args_max = 1,
      .summary = "Ask a server over gRPC whether it serves",
      .detail =
          "ADDRESS is HOST:PORT, https://HOST:PORT or unix:PATH, of any server with grpc.health.v1.Health; without it, the server that\n"
          "other commands ask. Exit code 7: it answers, but does not serve; 6: nothing answers.",
      CLI_EXAMPLES("cairn server health", "cairn server health https://cairn.example.org:5757",
                   "cairn server health localhost:50051 --service my.Service"),
      CLI_OPTIONS(health_rows, struct health_flags),
      .run = command_health },
    { .noun = "server",
      .verb = "check",
      .summary = "Check every invariant of a store",
      .detail =
          "Asks the server that has the store open, or opens it. Exit code 7: the rows that break a rule are listed.",
      CLI_EXAMPLES("cairn server check --data ~/cairn", "cairn server check -o jsonl"),
      STORE_OPTIONS,
      .run = command_check },
    { .noun = "server",
      .verb = "backup",
      .args = "DEST",
      .args_min = 1,
      .args_max = 1,
      .summary = "Copy a store, also while it is in use, into a new folder",
      .detail =
          "On SQLite the folder holds the database of one moment and all bytes that it names: a server can be started on\n"
          "it. On PostgreSQL it holds the bytes; pg_dump copies the database, before this. Bytes on the same file system\n"
          "are hard links. DEST/manifest.jsonl lists every object; it appears when everything is there.",
      CLI_EXAMPLES("cairn server backup /backup/cairn-monday --data ~/cairn"),
      STORE_OPTIONS,
      .run = command_backup },
    { .noun = "server",
      .verb = "compact",
      .summary = "Bring all metric points into their final form, and wait for it",
      .detail =
          "Points are moved to compact storage in the background anyway, as far as it is worth it while more may come. This does\n"
          "all of it now: before a backup is made, or figures are taken. Asks the server that has the store open, which goes on\n"
          "serving, or opens it.",
      CLI_EXAMPLES("cairn server compact --data ~/cairn"),
      STORE_OPTIONS,
      .run = command_compact },
    { .noun = "server",
      .verb = "repack",
      .summary = "Move the bytes of artifacts into packs, where equal parts lie once",
      .detail =
          "The server does so in the background when nothing new comes (--repack, --repack-rate). This does it now, at full speed:\n"
          "files are cut where their content says, new parts are compressed where that pays, and the old files go some time later.\n"
          "Asks the server that has the store open, which goes on serving, or opens it. Exit code 7: some objects are damaged; the\n"
          "log names them.",
      CLI_EXAMPLES("cairn server repack --wait --data ~/cairn"),
      STORE_OPTIONS,
      .run = command_repack },
    { .noun = "server",
      .verb = "scrub",
      .summary = "Read every stored byte again, and say what is damaged and whose it is",
      .detail =
          "Files, packs and bytes in the database are checked against their SHA-256 and the ids of their chunks, at no more than --rate\n"
          "bytes a second, while the server goes on serving. Damage is told with the runs, logged models and model versions it touches.\n"
          "A damaged object is not given to anybody from then on; the next upload of the same file cures it everywhere. Files that\n"
          "nothing knows are told too; --sweep deletes those older than --older-than. Asks the server that has the store open, or opens\n"
          "it. A scrub that was cut short begins again. Exit code 7: something is damaged.",
      CLI_EXAMPLES("cairn server scrub --data ~/cairn", "cairn server scrub --rate 200M -o json",
                   "cairn server scrub --sweep"),
      STORE_OPTIONS,
      .run = command_scrub },
    { .noun = "server",
      .verb = "gc",
      .summary = "Delete the bytes that nothing refers to",
      .detail =
          "The server does so in the background: what no artifact names any more goes after 20 minutes at the earliest. --now does it\n"
          "at once, which is the cure for a full disk after artifacts were deleted or runs were deleted for good; --dry-run counts.\n"
          "Asks the server that has the store open, which goes on serving, or opens it. `cairn run rm --hard` takes the place of\n"
          "`mlflow gc`, which works on the database of an MLflow server only.",
      CLI_EXAMPLES("cairn server gc --dry-run --data ~/cairn", "cairn server gc --now"),
      STORE_OPTIONS,
      .run = command_gc },
    { .noun = "server",
      .verb = "emit status",
      .summary = "Show how far others were told of runs, registrations and imports",
      .detail =
          "With --openlineage-url or --openlineage-file a server tells what happens in it as events of OpenLineage. Asks the server that\n"
          "has the store open, or opens it.",
      CLI_EXAMPLES("cairn server emit status --data ~/cairn"),
      STORE_OPTIONS,
      .run = command_emit_status },
    { .noun = "server",
      .verb = "emit retry",
      .summary = "Send the events again that were refused",
      .detail =
          "Events that the address of --openlineage-url refused lie in --openlineage-refused, with the reason. This sends them again, and\n"
          "keeps those that are refused once more. Exit code 7: some were, or nothing answered.",
      CLI_EXAMPLES("cairn server emit retry --data ~/cairn --openlineage-url http://marquez:5000"),
      STORE_OPTIONS,
      .run = command_emit_retry },
    { .noun = "server",
      .verb = "token add",
      .args = "NAME [PRINCIPAL]",
      .args_min = 1,
      .args_max = 2,
      .summary = "Make a token; it is printed once",
      CLI_EXAMPLES("cairn server token add alice --data ~/cairn > alice.token"),
      STORE_OPTIONS,
      .run = command_token_add },
    { .noun = "server",
      .verb = "token ls",
      .summary = "List the tokens",
      STORE_OPTIONS,
      .run = command_token_ls },
    { .noun = "server",
      .verb = "token rm",
      .args = "NAME",
      .args_min = 1,
      .args_max = 1,
      .summary = "Revoke a token, at once",
      STORE_OPTIONS,
      .run = command_token_rm },
};
const struct cli_table server_commands = { rows, ARRAY_N(rows) };
