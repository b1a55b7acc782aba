/* server/commands_int.h - the functions behind the rows of commands.c. */
#ifndef CAIRN_SERVER_COMMANDS_INT_H
#define CAIRN_SERVER_COMMANDS_INT_H

#include "server/options.h"

int command_token_add(struct cli *cli);
int command_token_ls(struct cli *cli);
int command_token_rm(struct cli *cli);
int command_check(struct cli *cli);
int command_backup(struct cli *cli);
int command_compact(struct cli *cli);
int command_emit_status(struct cli *cli);
int command_emit_retry(struct cli *cli);
int command_gc(struct cli *cli);
int command_repack(struct cli *cli);
int command_scrub(struct cli *cli);
int command_doctor(struct cli *cli);

struct health_flags {
    const char *service, *ca_file;
    int64_t timeout_ms;
    bool watch;
};
int command_health(struct cli *cli);

#endif
