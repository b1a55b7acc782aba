/* server/mlmd_flags.c - see mlmd_flags.h. */
#include "server/mlmd_flags.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/sys.h"
#include "codec/query.h"
#include <stdlib.h>
#include <sys/stat.h>

#define NAME "metadata_store_server"

enum {
    CONFIG_MAX = 1 << 20,
    NOTES_MAX = 1 << 12,
    URI_MAX = 1 << 14,
    PATH_TEXT_MAX = 256,
    MESSAGE_MAX = 100 << 20, /* as MLMD_MESSAGE_MAX */
    METADATA_MAX = 64 << 10,
    OWN_ARGS = 8
};

enum place { FROM_NOTHING, FROM_POSTGRES, FROM_MYSQL, FROM_SQLITE };

/* In the order of their flags below. */
enum pg { PG_HOST, PG_HOSTADDR, PG_PORT, PG_USER, PG_PASSWORD, PG_PASSFILE, PG_DBNAME, PG_SSL };
static const char *const pg_names[] = { "host",     "hostaddr", "port",        "user",
                                        "password", "passfile", "dbname",      "sslmode",
                                        "sslcert",  "sslkey",   "sslpassword", "sslrootcert" };

struct turning {
    struct arena *a;
    struct buf notes;
    struct str port, source, config, channel, downgrade;
    struct str pg[ARRAY_N(pg_names)];
    struct str sqlite;
    enum place place;
    bool has_listen, has_hosts, has_auth, has_data;
};

/* ---- one setting ------------------------------------------------------------------------------------------------------------ */

static enum status refuse_mysql(struct err *err)
{
    enum status st = err_set(err, ST_NOT_IMPLEMENTED, "cairn keeps no records in MySQL");

    err_hint(err,
             "leave the mysql settings out: records are kept in --data DIR, or in PostgreSQL with "
             "--postgres_config_host and so on. cairn import mlmd takes over what is there");
    return st;
}

static void go_to(struct turning *t, enum place place)
{
    t->place = MAX_OF(t->place, place);
}

/* A setting of PostgreSQL, by the part of its name behind "postgres_config_" or the name of its field. */
static bool set_pg(struct turning *t, struct str name, struct str value)
{
    for (size_t i = 0; i < ARRAY_N(pg_names); i++) {
        if (str_eq(name, str_cstr(pg_names[i]))) {
            t->pg[i] = value;
            if (value.n) {
                go_to(t, FROM_POSTGRES);
            }
            return true;
        }
    }
    return str_eq_lit(name, "skip_db_creation"); /* a database is never created here */
}

/* ---- the configuration file: protobuf's text format ---------------------------------------------------------------------------- */

struct text {
    struct turning *t;
    struct str left;
    char path[PATH_TEXT_MAX]; /* "connection_config.postgresql." */
    size_t path_n;
    unsigned depth;
};

static void skip_space(struct text *x)
{
    while (x->left.n) {
        char c = x->left.p[0];

        if (c == '#') {
            size_t end = str_find_byte(x->left, '\n', 0);

            x->left = str_sub(x->left, end == SIZE_MAX ? x->left.n : end, x->left.n);
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ';') {
            x->left = str_sub(x->left, 1, x->left.n);
        } else {
            return;
        }
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '+';
}

static struct str word(struct text *x)
{
    struct str out = x->left;

    for (out.n = 0; out.n < x->left.n && is_word(x->left.p[out.n]);) {
        out.n++;
    }
    x->left = str_sub(x->left, out.n, x->left.n);
    return out;
}

static bool next_is(struct text *x, char c)
{
    skip_space(x);
    if (!x->left.n || x->left.p[0] != c) {
        return false;
    }
    x->left = str_sub(x->left, 1, x->left.n);
    return true;
}

static enum status malformed(const struct text *x, struct err *err)
{
    return err_set(err, ST_INVALID, "the configuration is malformed at '%.*s'",
                   STR_ARG(str_sub(x->left, 0, 20)));
}

/* Texts beside each other are one. Of escapes those that names, paths and passwords need. */
static enum status quoted(struct text *x, struct str *out, struct err *err)
{
    struct buf b = BUF_INIT(CONFIG_MAX);
    enum status st = OK;

    for (skip_space(x); !st && x->left.n && (x->left.p[0] == '"' || x->left.p[0] == '\'');
         skip_space(x)) {
        char quote = x->left.p[0];
        size_t i = 1;

        while (i < x->left.n && x->left.p[i] != quote && x->left.p[i] != '\n') {
            char c = x->left.p[i++];

            if (c == '\\' && i < x->left.n) {
                c = x->left.p[i++];
                c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
            }
            buf_put_u8(&b, (unsigned char)c);
        }
        if (i >= x->left.n || x->left.p[i] != quote) {
            st = malformed(x, err);
        }
        x->left = str_sub(x->left, i + 1, x->left.n);
    }
    st = st ? st : buf_status(&b, "a text of the configuration", err);
    if (!st) {
        *out = arena_str(x->t->a, buf_str(&b));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

/* A field with its whole path. value p NULL: a message begins. */
static enum status field(struct text *x, struct str path, struct str value, struct err *err)
{
    static const struct str pg = S_INIT("connection_config.postgresql."),
                            ssl = S_INIT("ssloption.");
    struct turning *t = x->t;
    enum status st;

    if (str_starts(path, pg)) {
        struct str name = str_sub(path, pg.n, path.n);

        name = str_starts(name, ssl) ? str_sub(name, ssl.n, name.n) : name;
        go_to(t, FROM_POSTGRES);
        if (!value.p || set_pg(t, name, value)) {
            return OK;
        }
    }
    if (str_starts(path, S("connection_config.mysql"))) {
        return refuse_mysql(err);
    }
    if (str_eq_lit(path, "connection_config.sqlite.filename_uri") && value.p) {
        t->sqlite = value;
        go_to(t, FROM_SQLITE);
        return OK;
    }
    if (str_eq_lit(path, "migration_options.downgrade_to_schema_version") && value.p) {
        t->downgrade = value;
        return OK;
    }
    if (str_starts(path, S("ssl_config.")) && value.n) {
        st = err_set(err, ST_NOT_IMPLEMENTED, "ssl_config is not taken from the configuration");
        err_hint(err,
                 "write certificate and key to files, and give --tls-cert FILE --tls-key FILE");
        return st;
    }
    if (!value.p || str_starts(path, S("ssl_config.")) ||
        str_starts(path, S("connection_config.fake_database")) ||
        str_starts(path, S("connection_config.retry_options.")) ||
        str_eq_lit(path, "connection_config.sqlite.connection_mode") ||
        str_eq_lit(path, "migration_options.enable_upgrade_migration")) {
        return OK;
    }
    return err_set(err, ST_INVALID, "the configuration has a field '%.*s' that is not known",
                   STR_ARG(path));
}

static enum status message(struct text *x, char end, struct err *err);

static enum status one_field(struct text *x, struct err *err)
{
    struct str name = word(x), path, value = S("");
    size_t kept = x->path_n;
    char open;
    enum status st;

    if (!name.n || x->path_n + name.n + 1 >= sizeof(x->path)) {
        return malformed(x, err);
    }
    memcpy(x->path + x->path_n, name.p, name.n);
    path = str_of(x->path, x->path_n + name.n);
    (void)next_is(x, ':');
    skip_space(x);
    open = (char)(x->left.n ? x->left.p[0] : '\0');
    if (open == '{' || open == '<') {
        st = field(x, path, (struct str){ NULL, 0 }, err);
        x->left = str_sub(x->left, 1, x->left.n);
        x->path_n = path.n + 1;
        x->path[path.n] = '.';
        if (++x->depth > 16) {
            return malformed(x, err);
        }
        st = st ? st : message(x, open == '{' ? '}' : '>', err);
        x->depth--;
        x->path_n = kept;
        return st;
    }
    if (open == '"' || open == '\'') {
        st = quoted(x, &value, err);
    } else {
        value = word(x);
        st = value.n ? OK : malformed(x, err);
    }
    return st ? st : field(x, path, value, err);
}

static enum status message(struct text *x, char end, struct err *err)
{
    enum status st = OK;

    while (!st) {
        skip_space(x);
        if (end ? next_is(x, end) : !x->left.n) {
            return OK;
        }
        st = one_field(x, err);
    }
    return st;
}

static enum status read_config(struct turning *t, struct err *err)
{
    const char *path = arena_cstr(t->a, t->config);
    struct text x = { .t = t };
    enum status st = path ? fs_read_file(t->a, path, CONFIG_MAX, &x.left, err) : err_nomem(err);

    st = st ? st : message(&x, '\0', err);
    if (st && path) {
        err_ctx(err, "%s", path);
    }
    return st;
}

/* ---- flags ------------------------------------------------------------------------------------------------------------------- */

static const char *const switches[] = { "enable_database_upgrade",
                                        "postgres_config_skip_db_creation",
                                        "mysql_config_skip_db_creation" };
static const char *const settings[] = { "grpc_port",
                                        "grpc_channel_arguments",
                                        "metadata_source_config_type",
                                        "metadata_store_server_config_file",
                                        "downgrade_db_schema_version",
                                        "metadata_store_connection_retries" };

static bool is_in(const char *const *list, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(name, str_cstr(list[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_switch(struct str name)
{
    return is_in(switches, ARRAY_N(switches), name) ||
           (str_starts(name, S("no")) &&
            is_in(switches, ARRAY_N(switches), str_sub(name, 2, name.n)));
}

static bool is_setting(struct str name)
{
    return is_in(settings, ARRAY_N(settings), name) || str_starts(name, S("mysql_config_")) ||
           str_starts(name, S("postgres_config_"));
}

static enum status set(struct turning *t, struct str name, struct str value, struct err *err)
{
    if (str_starts(name, S("mysql_config_"))) {
        go_to(t, value.n ? FROM_MYSQL : FROM_NOTHING);
        return OK;
    }
    if (str_starts(name, S("postgres_config_"))) {
        return set_pg(t, str_sub(name, 16, name.n), value)
                   ? OK
                   : err_set(err, ST_INVALID, "there is no flag --%.*s", STR_ARG(name));
    }
    *(str_eq_lit(name, "grpc_port")                           ? &t->port
      : str_eq_lit(name, "grpc_channel_arguments")            ? &t->channel
      : str_eq_lit(name, "metadata_source_config_type")       ? &t->source
      : str_eq_lit(name, "metadata_store_server_config_file") ? &t->config
      : str_eq_lit(name, "downgrade_db_schema_version")       ? &t->downgrade
                                                              : &(struct str){ NULL, 0 }) = value;
    return OK;
}

static void note_own(struct turning *t, struct str name)
{
    t->has_listen = t->has_listen || str_eq_lit(name, "listen");
    t->has_hosts = t->has_hosts || str_eq_lit(name, "allowed-hosts");
    t->has_auth = t->has_auth || str_eq_lit(name, "auth") || str_eq_lit(name, "token-file");
    t->has_data = t->has_data || str_eq_lit(name, "data") || str_eq_lit(name, "store");
}

static bool in_env(const char *name)
{
    const char *text = getenv(name);

    return text && text[0];
}

/* What cairn's variables say stands where no flag says it; --grpc_port says where to listen. */
static void note_env(struct turning *t)
{
    t->has_listen = t->has_listen || (!t->port.p && in_env("CAIRN_LISTEN"));
    t->has_hosts = t->has_hosts || in_env("CAIRN_ALLOWED_HOSTS");
    t->has_auth = t->has_auth || in_env("CAIRN_AUTH") || in_env("CAIRN_TOKEN_FILE");
    t->has_data = t->has_data || in_env("CAIRN_DATA") || in_env("CAIRN_STORE");
}

/* What is not one of the flags goes to cairn as it is. */
static enum status scan(struct turning *t, int from, int argc, char **argv, char **rest,
                        int *rest_n, struct err *err)
{
    enum status st = OK;

    for (int i = from; !st && i < argc; i++) {
        struct str value = str_cstr(argv[i]), name = value;

        while (name.n && name.p[0] == '-' && name.p < argv[i] + 2) {
            name = str_sub(name, 1, name.n);
        }
        value = (struct str){ NULL, 0 };
        if (str_find_byte(name, '=', 0) != SIZE_MAX) {
            value = str_sub(name, str_find_byte(name, '=', 0) + 1, name.n);
            name.n -= value.n + 1;
        }
        if (argv[i][0] != '-' || (!is_switch(name) && !is_setting(name))) {
            note_own(t, name);
            rest[(*rest_n)++] = argv[i];
        } else if (!is_switch(name)) {
            if (!value.p && ++i == argc) {
                return err_set(err, ST_INVALID, "--%.*s needs a value", STR_ARG(name));
            }
            st = set(t, name, value.p ? value : str_cstr(argv[i]), err);
        }
    }
    return st;
}

/* ---- what they mean ------------------------------------------------------------------------------------------------------------ */

/* name=value, comma-separated. What is larger than what is served is said, not refused. */
static enum status check_channel(struct turning *t, struct err *err)
{
    struct str rest = t->channel, one;

    while (str_split(&rest, ',', &one)) {
        struct str value = one, name;
        int64_t n;

        if (!str_split(&value, '=', &name) || name.n == one.n) {
            return err_set(err, ST_INVALID,
                           "--grpc_channel_arguments: write name=value,name=value");
        }
        if (!num_parse_i64(value, &n)) {
            continue;
        }
        if (str_eq_lit(name, "grpc.max_receive_message_length") && (n < 0 || n > MESSAGE_MAX)) {
            buf_printf(&t->notes, "requests may have 100 MiB, not more\n");
        }
        if (str_eq_lit(name, "grpc.max_metadata_size") && n > METADATA_MAX) {
            buf_printf(&t->notes, "metadata of a request may have 64 KiB, not more\n");
        }
    }
    return OK;
}

static enum status check(struct turning *t, struct err *err)
{
    int64_t port = 8080, version;
    enum status st;

    if (t->port.p && (!num_parse_i64(t->port, &port) || port < 1 || port > 65535)) {
        return err_set(err, ST_INVALID, "--grpc_port is a number from 1 to 65535, not '%.*s'",
                       STR_ARG(t->port));
    }
    if (t->downgrade.n && (!num_parse_i64(t->downgrade, &version) || version >= 0)) {
        st = err_set(err, ST_NOT_IMPLEMENTED,
                     "the schema of cairn's store is not that of ML "
                     "Metadata's databases: there is nothing to downgrade");
        err_hint(err, "leave --downgrade_db_schema_version out");
        return st;
    }
    if (t->has_listen && t->port.p) {
        return err_set(err, ST_INVALID, "--listen and --grpc_port say the same thing twice");
    }
    if (t->source.n && !str_eq_lit(t->source, "default") && !str_eq_lit(t->source, "config_file") &&
        !str_eq_lit(t->source, "mysql") && !str_eq_lit(t->source, "postgresql")) {
        return err_set(err, ST_INVALID,
                       "--metadata_source_config_type is default, config_file, "
                       "mysql or postgresql");
    }
    if (str_eq_lit(t->source, "config_file") && !t->config.n) {
        return err_set(err, ST_INVALID,
                       "--metadata_source_config_type=config_file needs "
                       "--metadata_store_server_config_file");
    }
    if (str_eq_lit(t->source, "mysql")) {
        return refuse_mysql(err);
    }
    return OK;
}

static void put_escaped(struct buf *b, struct str s)
{
    query_put(b, s, "");
}

/* postgresql://user:password@host:port/name?sslmode=... */
static enum status pg_uri(struct turning *t, struct str *out, struct err *err)
{
    struct buf b = BUF_INIT(URI_MAX);
    char mark = '?';
    enum status st;

    buf_put_cstr(&b, "postgresql://");
    if (t->pg[PG_USER].n) {
        put_escaped(&b, t->pg[PG_USER]);
        if (t->pg[PG_PASSWORD].n) {
            buf_put_u8(&b, ':');
            put_escaped(&b, t->pg[PG_PASSWORD]);
        }
        buf_put_u8(&b, '@');
    }
    put_escaped(&b, t->pg[PG_HOST]);
    if (t->pg[PG_PORT].n) {
        buf_put_u8(&b, ':');
        put_escaped(&b, t->pg[PG_PORT]);
    }
    buf_put_u8(&b, '/');
    put_escaped(&b, t->pg[PG_DBNAME]);
    for (size_t i = 0; i < ARRAY_N(pg_names); i++) {
        if (t->pg[i].n && (i == PG_HOSTADDR || i == PG_PASSFILE || i >= PG_SSL)) {
            buf_put_u8(&b, (unsigned char)mark);
            buf_put_cstr(&b, pg_names[i]);
            buf_put_u8(&b, '=');
            put_escaped(&b, t->pg[i]);
            mark = '&';
        }
    }
    st = buf_status(&b, "the address of the database", err);
    if (!st) {
        *out = arena_str(t->a, buf_str(&b));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

/* The folder beside the file of the original; what is in that file is not touched. */
static enum status sqlite_folder(struct turning *t, struct str *out, struct err *err)
{
    struct str path =
        str_starts(t->sqlite, S("file:")) ? str_sub(t->sqlite, 5, t->sqlite.n) : t->sqlite;
    const char *file =
        arena_cstr(t->a, str_sub(path, 0, MIN_OF(str_find_byte(path, '?', 0), path.n)));
    struct stat info;
    enum status st = OK;

    if (!file || !file[0]) {
        return file ? err_set(err, ST_INVALID, "filename_uri names no file") : err_nomem(err);
    }
    *out = arena_printf(t->a, "%s.cairn", file);
    if (!out->p) {
        return err_nomem(err);
    }
    if (sys.stat(file, &info) == 0 && sys.stat(out->p, &info) != 0) {
        st =
            err_set(err, ST_INVALID_STATE,
                    "%s is a database of ML Metadata; nothing was changed, and nothing of it would "
                    "be seen",
                    file);
        err_hint(err, "start cairn with --data DIR in place of it, and take it over with "
                      "cairn import mlmd");
    }
    return st;
}

static void add(char **to, int *n, struct str s)
{
    char *text;

    memcpy(&text, &s.p, sizeof(text)); /* argv is not const */
    to[(*n)++] = text;
}

static enum status give(struct turning *t, char **to, int *n, struct err *err)
{
    struct str place = { NULL, 0 }, port = t->port.p ? t->port : S("8080");
    enum status st = OK;

    add(to, n, S("cairn"));
    add(to, n, S("server"));
    if (!t->has_listen) {
        struct str at = arena_printf(t->a, "--listen=0.0.0.0:%.*s", STR_ARG(port));

        st = at.p ? OK : err_nomem(err);
        add(to, n, at);
    }
    if (!t->has_hosts) {
        add(to, n, S("--allowed-hosts=*"));
    }
    if (t->place == FROM_MYSQL) {
        return refuse_mysql(err);
    }
    if (t->place == FROM_POSTGRES) {
        st = st ? st : pg_uri(t, &place, err);
        place = st ? place : arena_printf(t->a, "--store=%.*s", STR_ARG(place));
    } else if (t->place == FROM_SQLITE && !t->has_data) {
        st = st ? st : sqlite_folder(t, &place, err);
        place = st ? place : arena_printf(t->a, "--data=%.*s", STR_ARG(place));
    }
    if (place.p) {
        add(to, n, place);
    }
    if (!t->has_auth) {
        buf_printf(&t->notes,
                   "clients of ML Metadata send no token: let those in who reach the port "
                   "with --auth none (or CAIRN_AUTH=none)\n");
    }
    return st;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------ */

bool mlmd_flags_are(int argc, char **argv)
{
    struct str name = argc > 0 ? str_cstr(argv[0]) : S("");

    return str_eq_lit(name, NAME) || str_ends(name, S("/" NAME)) ||
           (argc > 1 && strcmp(argv[1], NAME) == 0);
}

enum status mlmd_flags_turn(struct arena *a, int argc, char **argv, char ***out, int *out_n,
                            struct str *notes, struct err *err)
{
    struct turning t = { .a = a, .notes = BUF_INIT(NOTES_MAX) };
    char **to = arena_zalloc(a, (size_t)argc + OWN_ARGS, sizeof(*to)),
         **rest = arena_zalloc(a, (size_t)argc + 1, sizeof(*rest));
    int rest_n = 0, from = argc > 1 && strcmp(argv[1], NAME) == 0 ? 2 : 1;
    enum status st = to && rest ? OK : err_nomem(err);

    *out_n = 0;
    *notes = (struct str){ NULL, 0 };
    st = st ? st : scan(&t, from, argc, argv, rest, &rest_n, err);
    note_env(&t);
    st = st ? st : check_channel(&t, err);
    st = st || !t.config.n ? st : read_config(&t, err);
    st = st ? st : check(&t, err);
    st = st ? st : give(&t, to, out_n, err);
    for (int i = 0; !st && i < rest_n; i++) {
        to[(*out_n)++] = rest[i];
    }
    if (!st && t.notes.n) {
        *notes = arena_str(a, buf_str(&t.notes));
        st = notes->p ? OK : err_nomem(err);
    }
    buf_release(&t.notes);
    *out = to;
    return st;
}
