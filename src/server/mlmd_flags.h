/* server/mlmd_flags.h - the flags of ML Metadata's own server, for deployments that start cairn in its place: a program that is called
 * metadata_store_server (a link), or `cairn metadata_store_server FLAGS`, is `cairn server` with what these flags mean. cairn's own
 * flags and variables may stand beside them. docs/mlmd.md has the table. What has no meaning here is refused with what to do instead.
 * Ownership: texts live in the arena. Thread rule: the main thread. */
#ifndef CAIRN_SERVER_MLMD_FLAGS_H
#define CAIRN_SERVER_MLMD_FLAGS_H

#include "base/arena.h"

/* Whether the command line is one of that server. */
bool mlmd_flags_are(int argc, char **argv);
/* The command line of `cairn server` that means the same; *notes: lines for people, p NULL = none. */
enum status mlmd_flags_turn(struct arena *a, int argc, char **argv, char ***out, int *out_n,
                            struct str *notes, struct err *err);

#endif
