/* The flags of ML Metadata's own server: what deployments pass, and what they mean here. */
#include "base/fs.h"
#include "server/mlmd_flags.h"
#include "tap.h"

#include <stdlib.h>

enum { ARGS_MAX = 16 };

static struct arena *arena;
static struct str notes;

/* The command line of `cairn server`, or what is said about the one that is refused. */
static const char *turn(const char *const *args, enum status want)
{
    char *argv[ARGS_MAX] = { NULL }, **out;
    struct err err = ERR_INIT;
    struct str line = S("");
    int argc = 0, n;
    enum status st;

    arena = arena ? arena : arena_new(16 << 20);
    T_OK(arena != NULL);
    for (; args[argc]; argc++) {
        struct str copy = arena_str(arena, str_of(args[argc], strlen(args[argc]) + 1));

        T_OK(copy.p != NULL);
        memcpy(&argv[argc], &copy.p, sizeof(argv[argc]));
    }
    T_OK(mlmd_flags_are(argc, argv));
    st = mlmd_flags_turn(arena, argc, argv, &out, &n, &notes, &err);
    T_ST_ERR(st, want, &err);
    for (int i = 0; !st && i < n; i++) {
        line = arena_printf(arena, "%.*s%s%s", STR_ARG(line), i ? " " : "", out[i]);
    }
    return arena_cstr(arena, st ? str_cstr(err.message) : line);
}
#define ARGS(...)         ((const char *const[]){ __VA_ARGS__, NULL })
#define LINE(want, ...)   T_CSTR(turn(ARGS(__VA_ARGS__), OK), want)
#define REFUSED(st_, ...) (void)turn(ARGS(__VA_ARGS__), st_)

TEST(names)
{
    char name[] = "/bin/metadata_store_server", cairn[] = "cairn", word[] = "metadata_store_server",
         server[] = "server";

    T_OK(mlmd_flags_are(1, (char *[]){ name, NULL }));
    T_OK(mlmd_flags_are(2, (char *[]){ cairn, word, NULL }));
    T_OK(!mlmd_flags_are(2, (char *[]){ cairn, server, NULL }));
    T_OK(!mlmd_flags_are(1, (char *[]){ cairn, NULL }));
}

TEST(flags)
{
    LINE("cairn server --listen=0.0.0.0:8080 --allowed-hosts=*", "metadata_store_server");
    T_OK(str_find(notes, S("--auth none")) != SIZE_MAX);
    LINE("cairn server --listen=0.0.0.0:9000 --allowed-hosts=* --data=/d --auth=none", "cairn",
         "metadata_store_server", "--grpc_port=9000", "--data=/d", "--enable_database_upgrade=true",
         "--auth=none");
    T_OK(notes.p == NULL);
    LINE("cairn server --listen 127.0.0.1:0 --allowed-hosts x", "/bin/metadata_store_server",
         "--listen", "127.0.0.1:0", "--noenable_database_upgrade",
         "--metadata_store_connection_retries", "9", "--allowed-hosts", "x");
    LINE("cairn server --listen=0.0.0.0:8080 --allowed-hosts=*", "metadata_store_server",
         "-grpc_port", "8080",
         "--grpc_channel_arguments=grpc.max_metadata_size=16384,grpc.max_receive_message_length="
         "104857600,grpc.max_send_message_length=104857600",
         "--metadata_source_config_type=default", "--downgrade_db_schema_version=-1",
         "--mysql_config_host=");
    T_OK(str_find(notes, S("MiB")) == SIZE_MAX);
    LINE("cairn server --listen=0.0.0.0:8080 --allowed-hosts=*", "metadata_store_server",
         "--grpc_channel_arguments=grpc.max_receive_message_length=-1,a=b");
    T_OK(str_find(notes, S("100 MiB")) != SIZE_MAX);
}

/* Variables of cairn stand where no flag says the same. */
TEST(variables)
{
    T_INT(setenv("CAIRN_LISTEN", "127.0.0.1:0", 1), 0);
    LINE("cairn server --allowed-hosts=*", "metadata_store_server");
    LINE("cairn server --listen=0.0.0.0:9000 --allowed-hosts=*", "metadata_store_server",
         "--grpc_port=9000");
    T_INT(setenv("CAIRN_ALLOWED_HOSTS", "db", 1), 0);
    T_INT(setenv("CAIRN_AUTH", "none", 1), 0);
    LINE("cairn server", "metadata_store_server");
    T_OK(notes.p == NULL);
    T_INT(unsetenv("CAIRN_LISTEN") | unsetenv("CAIRN_ALLOWED_HOSTS") | unsetenv("CAIRN_AUTH"), 0);
}

TEST(postgres)
{
    LINE("cairn server --listen=0.0.0.0:8080 --allowed-hosts=* "
         "--store=postgresql://ml%40x:a%2Fb@db:5433/meta?sslmode=require&sslrootcert=%2Fca.pem",
         "metadata_store_server", "--metadata_source_config_type=postgresql",
         "--postgres_config_host=db", "--postgres_config_port=5433", "--postgres_config_user=ml@x",
         "--postgres_config_password=a/b", "--postgres_config_dbname=meta",
         "--postgres_config_skip_db_creation=true", "--postgres_config_sslmode=require",
         "--postgres_config_sslrootcert=/ca.pem");
}

TEST(refused)
{
    REFUSED(ST_INVALID, "metadata_store_server", "--grpc_port=0");
    REFUSED(ST_INVALID, "metadata_store_server", "--grpc_port=x");
    REFUSED(ST_INVALID, "metadata_store_server", "--grpc_port");
    REFUSED(ST_INVALID, "metadata_store_server", "--grpc_port=1", "--listen=127.0.0.1:0");
    REFUSED(ST_INVALID, "metadata_store_server", "--grpc_channel_arguments=x");
    REFUSED(ST_INVALID, "metadata_store_server", "--metadata_source_config_type=oracle");
    REFUSED(ST_INVALID, "metadata_store_server", "--metadata_source_config_type=config_file");
    REFUSED(ST_INVALID, "metadata_store_server", "--postgres_config_colour=red");
    REFUSED(ST_NOT_IMPLEMENTED, "metadata_store_server", "--metadata_source_config_type=mysql");
    REFUSED(ST_NOT_IMPLEMENTED, "metadata_store_server", "--mysql_config_host=mysql",
            "--mysql_config_port=3306");
    REFUSED(ST_NOT_IMPLEMENTED, "metadata_store_server", "--downgrade_db_schema_version=7");
}
