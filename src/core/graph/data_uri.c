/* core/graph/data_uri.c - see data_uri.h. */
#include "core/graph/data_uri.h"
#include "base/utf8.h"
#include "inspect/datasource.h"

enum { SCHEME_MIN = 2, ROOM = 64 };

enum scheme_kind { OBJECTS, HOSTS, WEB, ACCOUNTS, NAMES };

static const struct scheme {
    const char *name, *is; /* is: the name that it has here; NULL = its own */
    enum scheme_kind
        kind; /* HOSTS, WEB, ACCOUNTS: a host, in small letters; ACCOUNTS: user@host is kept */
    const char *port; /* that it has anyway */
} schemes[] = {
    { "s3", NULL, OBJECTS, NULL },          { "s3a", "s3", OBJECTS, NULL },
    { "s3n", "s3", OBJECTS, NULL },         { "gs", NULL, OBJECTS, NULL },
    { "gcs", "gs", OBJECTS, NULL },         { "abfss", NULL, ACCOUNTS, NULL },
    { "abfs", "abfss", ACCOUNTS, NULL },    { "wasbs", NULL, ACCOUNTS, NULL },
    { "wasb", "wasbs", ACCOUNTS, NULL },    { "http", NULL, WEB, "80" },
    { "https", NULL, WEB, "443" },          { "ftp", NULL, HOSTS, "21" },
    { "sftp", NULL, HOSTS, "22" },          { "hdfs", NULL, HOSTS, "8020" },
    { "postgres", NULL, HOSTS, "5432" },    { "postgresql", "postgres", HOSTS, "5432" },
    { "redshift", NULL, HOSTS, "5439" },    { "mysql", NULL, HOSTS, "3306" },
    { "mssql", NULL, HOSTS, "1433" },       { "sqlserver", "mssql", HOSTS, "1433" },
    { "oracle", NULL, HOSTS, "1521" },      { "db2", NULL, HOSTS, "50000" },
    { "hive", NULL, HOSTS, "10000" },       { "trino", NULL, HOSTS, "8080" },
    { "cassandra", NULL, HOSTS, "9042" },   { "milvus", NULL, HOSTS, "19530" },
    { "kafka", NULL, HOSTS, "9092" },       { "mongodb", NULL, HOSTS, "27017" },
    { "unitycatalog", NULL, HOSTS, "443" }, { "snowflake", NULL, HOSTS, NULL },
    { "bigquery", NULL, NAMES, NULL },      { "bq", "bigquery", NAMES, NULL },
};

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int hex(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that %XX at i stands for, or -1. */
static int percent(struct str s, size_t i)
{
    int high, low;

    if (s.p[i] != '%' || i + 2 >= s.n) {
        return -1;
    }
    high = hex(lower(s.p[i + 1]));
    low = hex(lower(s.p[i + 2]));
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Has room: three bytes for each that comes in, and ROOM. */
struct text_out {
    char *p;
    size_t n;
};

static void put(struct text_out *o, char c)
{
    o->p[o->n++] = c;
}

static void put_percent(struct text_out *o, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;

    put(o, '%');
    put(o, digits[byte >> 4]);
    put(o, digits[byte & 15]);
}

/* Control characters are no text. */
static void put_text(struct text_out *o, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            put_percent(o, s.p[i]);
        } else {
            put(o, s.p[i]);
        }
    }
}

static void put_lower(struct text_out *o, struct str s)
{
    size_t from = o->n;

    put_text(o, s);
    for (size_t i = from; i < o->n; i++) {
        o->p[i] = o->p[i] == '%' ? o->p[i] : lower(o->p[i]);
    }
}

static struct str part(struct str s, size_t from, size_t to)
{
    return str_sub(s, from, to > from ? to - from : 0);
}

/* Where the first c is, or the end. */
static size_t find(struct str s, char c, size_t from)
{
    return MIN_OF(str_find_byte(s, c, from), s.n);
}

static struct str without_slashes(struct str path, size_t keep)
{
    while (path.n > keep && path.p[path.n - 1] == '/') {
        path.n--;
    }
    return path;
}

/* The length of the scheme, or 0. One letter is a drive. */
static size_t scheme_length(struct str s)
{
    size_t n = 0;

    while (n < s.n && (is_alpha(s.p[n]) || (n > 0 && (is_digit(s.p[n]) || s.p[n] == '+' ||
                                                      s.p[n] == '.' || s.p[n] == '-')))) {
        n++;
    }
    return n >= SCHEME_MIN && n < s.n && s.p[n] == ':' ? n : 0;
}

static const struct scheme *scheme_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_N(schemes); i++) {
        if (str_eq_nocase(name, str_cstr(schemes[i].name))) {
            return &schemes[i];
        }
    }
    return NULL;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

/* The bytes of the path, with one slash for several and none around a dot. In place. */
static struct str plain_path(char *p, struct str path, bool encoded)
{
    size_t n = 0;

    for (size_t i = 0; i < path.n; i++) {
        int byte = encoded ? percent(path, i) : -1;
        char c = byte < 0 ? path.p[i] : (char)byte;

        i += byte < 0 ? 0 : 2;
        if (c == '/' && n > 1 && p[n - 1] == '.' && p[n - 2] == '/') {
            n--;
        }
        if (c != '/' || n == 0 || p[n - 1] != '/') {
            p[n++] = c;
        }
    }
    if (n > 1 && p[n - 1] == '.' && p[n - 2] == '/') {
        n--;
    }
    return without_slashes(str_of(p, n), 1);
}

/* encoded: it came as a URI. False: it is no path from the root. */
static bool put_file(struct text_out *o, struct str host, struct str path, bool encoded, char *room)
{
    struct str plain = plain_path(room, path, encoded);
    bool text = utf8_valid(plain);

    if (!plain.n || plain.p[0] != '/') {
        return false;
    }
    put_text(o, S("file://"));
    if (!str_eq_nocase(host, S("localhost"))) {
        put_lower(o, host);
    }
    for (size_t i = 0; i < plain.n; i++) {
        if (plain.p[i] == '%' || (!text && (unsigned char)plain.p[i] >= 0x80)) {
            put_percent(o, plain.p[i]);
        } else {
            put_text(o, str_of(&plain.p[i], 1));
        }
    }
    return true;
}

/* ---- others ------------------------------------------------------------------------------------------------------------------ */

static bool is_unreserved(int c)
{
    return c > 0 && c < 0x7f &&
           (is_alpha((char)c) || is_digit((char)c) || strchr("-._~", c) != NULL);
}

static void put_web_text(struct text_out *o, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        int byte = percent(s, i);

        if (byte < 0) {
            put_text(o, str_of(&s.p[i], 1));
            continue;
        }
        if (is_unreserved(byte)) {
            put(o, (char)byte);
        } else {
            put_percent(o, (char)byte);
        }
        i += 2;
    }
}

static void put_authority(struct text_out *o, const struct scheme *s, struct str host)
{
    struct str port = { NULL, 0 };
    size_t at = host.n;

    if (!s || s->kind == NAMES) {
        put_text(o, host);
        return;
    }
    while (at > 0 && host.p[at - 1] != '@') {
        at--;
    }
    if (s->kind == ACCOUNTS) {
        put_text(o, part(host, 0, at));
    }
    host = part(host, at, host.n);
    if (s->kind == OBJECTS) {
        put_text(o, host);
        return;
    }
    for (bool again = true; again;) {
        size_t i = host.n;

        while (i > 0 && is_digit(host.p[i - 1])) {
            i--;
        }
        again = i > 0 && host.p[i - 1] == ':';
        port = again ? part(host, i, host.n) : port;
        again = again && (!port.n || (s->port && str_eq(port, str_cstr(s->port))));
        if (again) { /* nothing, or what it is anyway */
            host.n = i - 1;
            port.n = 0;
        }
    }
    put_lower(o, host);
}

/* SCHEME: and what follows. False: it names no place. */
static bool put_uri(struct text_out *o, struct str text, size_t scheme_n, char *room)
{
    struct str name = part(text, 0, scheme_n), rest = part(text, scheme_n + 1, text.n);
    const struct scheme *s = scheme_find(name);
    struct str host = { NULL, 0 };
    bool web = s && s->kind == WEB, has_host = str_starts(rest, S("//"));
    size_t before;

    if (str_eq_nocase(name, S("data")) || str_eq_nocase(name, S("inmemory"))) {
        return false;
    }
    if (has_host) {
        size_t end = find(rest, '/', 2);

        end = web ? MIN_OF(end, MIN_OF(find(rest, '?', 2), find(rest, '#', 2))) : end;
        host = part(rest, 2, end);
        rest = part(rest, end, rest.n);
    }
    if (str_eq_nocase(name, S("file"))) {
        return put_file(o, host, rest, true, room);
    }
    if (str_eq_nocase(name, S("dbfs")) && !host.n) {
        while (has_host && str_starts(rest, S("//"))) {
            rest = part(rest, 1, rest.n);
        }
        has_host = false;
    }
    put_lower(o, s && s->is ? str_cstr(s->is) : name);
    put(o, ':');
    if (has_host) {
        put_text(o, S("//"));
    }
    before = o->n;
    if (has_host) {
        put_authority(o, s, host);
    }
    if (web) {
        size_t query;

        rest = part(rest, 0, find(rest, '#', 0));
        query = find(rest, '?', 0);
        put_web_text(o, without_slashes(part(rest, 0, query), 0));
        put_web_text(o, part(rest, query, rest.n));
    } else {
        put_text(o, without_slashes(rest, has_host ? 0 : 1));
    }
    return o->n > before;
}

enum status data_uri(struct arena *a, struct str text, struct str *out, struct err *err)
{
    size_t scheme_n = scheme_length(text);
    struct text_out o = { NULL, 0 };
    char *room;
    bool place;

    *out = (struct str){ NULL, 0 };
    if (!text.n || text.n > DATA_URI_MAX || !utf8_valid(text)) {
        return OK;
    }
    o.p = arena_alloc(a, 3 * text.n + ROOM);
    room = arena_alloc(a, text.n);
    if (!o.p || !room) {
        return err_nomem(err);
    }
    place = scheme_n           ? put_uri(&o, text, scheme_n, room)
            : text.p[0] == '/' ? put_file(&o, (struct str){ NULL, 0 }, text, false, room)
                               : false;
    if (place && o.n <= DATA_URI_MAX) {
        *out = str_of(o.p, o.n);
    }
    return OK;
}

/* ---- names of OpenLineage ----------------------------------------------------------------------------------------------------- */

enum status data_uri_of_name(struct arena *a, struct str ns, struct str name, struct str *out,
                             struct err *err)
{
    struct str joined;
    size_t scheme_n = scheme_length(ns);
    bool arn = scheme_n && str_eq_nocase(part(ns, 0, scheme_n), S("arn"));

    *out = (struct str){ NULL, 0 };
    if (!name.n || ns.n > DATA_URI_MAX || name.n > DATA_URI_MAX) {
        return OK;
    }
    while (name.n && name.p[0] == '/') {
        name = part(name, 1, name.n);
    }
    if (str_eq_nocase(ns, S("file")) || str_starts(ns, S("file:"))) {
        /* the name is the path, not part of a URI */
        struct str host = part(ns, str_starts(ns, S("file://")) ? 7 : ns.n, ns.n);
        struct text_out o = { arena_alloc(a, 3 * (ns.n + name.n) + ROOM), 0 };
        char *room = arena_alloc(a, name.n + 1);

        joined = arena_printf(a, "/%.*s", STR_ARG(name));
        if (!o.p || !room || !joined.p) {
            return err_nomem(err);
        }
        if (utf8_valid(name) && utf8_valid(host) &&
            put_file(&o, without_slashes(host, 0), joined, false, room) && o.n <= DATA_URI_MAX) {
            *out = str_of(o.p, o.n);
        }
        return OK;
    }
    if (!scheme_n) { /* a word: bigquery, pubsub */
        joined = arena_printf(a, "%.*s:", STR_ARG(ns));
        if (!joined.p) {
            return err_nomem(err);
        }
        if (scheme_length(joined) + 1 != joined.n) {
            return OK;
        }
        joined = arena_printf(a, "%.*s//%.*s", STR_ARG(joined), STR_ARG(name));
    } else {
        ns = without_slashes(ns, scheme_n + 1);
        joined = arena_printf(a, "%.*s%s%.*s", STR_ARG(ns),
                              arn                    ? ":"
                              : ns.n == scheme_n + 1 ? "//"
                                                     : "/",
                              STR_ARG(name));
    }
    return joined.p ? data_uri(a, joined, out, err) : err_nomem(err);
}

/* ---- sources of MLflow ----------------------------------------------------------------------------------------------------------- */

/* Names of the hub: NAME or OWNER/NAME. */
static bool is_hub_name(struct str s)
{
    size_t slash = find(s, '/', 0);

    return s.n && s.p[0] != '.' && s.p[0] != '/' && s.p[0] != '~' && scheme_length(s) == 0 &&
           (slash == s.n || (slash + 1 < s.n && find(s, '/', slash + 1) == s.n));
}

static enum status of_table(struct arena *a, struct str name, struct str *out, struct err *err)
{
    struct text_out o = { NULL, 0 };
    struct str lowered;

    if (name.n > DATA_URI_MAX / 4 || !utf8_valid(name)) {
        return OK;
    }
    o.p = arena_alloc(a, 3 * name.n + ROOM);
    if (!o.p) {
        return err_nomem(err);
    }
    put_text(&o, S("table:"));
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] != '`') {
            put_lower(&o, str_of(&name.p[i], 1));
        }
    }
    lowered = str_of(o.p, o.n);
    return data_uri(a, lowered, out, err);
}

enum status data_uri_of_source(struct arena *a, struct str type, struct str source, struct str *out,
                               struct err *err)
{
    struct datasource s;
    struct str text;
    enum status st = datasource_read(source, a, &s, err);

    *out = (struct str){ NULL, 0 };
    if (st || !s.object) {
        return st ? st : data_uri(a, source, out, err);
    }
    if (s.table.n) {
        return of_table(a, s.table, out, err);
    }
    text = s.place;
    if (str_eq_lit(type, "hugging_face")) {
        if (s.files || !is_hub_name(text)) {
            return s.files ? OK : data_uri(a, text, out, err);
        }
        text = arena_printf(a, "hf://datasets/%.*s", STR_ARG(text));
    } else if (str_eq_lit(type, "uc_volume") && str_starts(text, S("/Volumes/"))) {
        text = arena_printf(a, "dbfs:%.*s", STR_ARG(text));
    } else if (!text.n) {
        return OK;
    }
    return text.p ? data_uri(a, text, out, err) : err_nomem(err);
}

/* ---- spellings --------------------------------------------------------------------------------------------------------------------- */

enum status data_uri_spellings(struct arena *a, struct str uri, struct str *out, size_t *n,
                               struct err *err)
{
    static const struct str file = S_INIT("file://");
    struct str ways[DATA_URI_SPELLINGS] = { uri, arena_printf(a, "%.*s/", STR_ARG(uri)) };
    size_t ways_n = 2;
    enum status st = ways[1].p ? OK : err_nomem(err);

    if (!st && str_starts(uri, S("file:///"))) {
        struct str path = part(uri, file.n, uri.n);
        char *room = arena_alloc(a, path.n);

        st = room ? OK : err_nomem(err);
        if (room) ways[ways_n++] = plain_path(room, path, true);
    }
    *n = 0;
    for (size_t i = 0; !st && i < ways_n; i++) { /* behind a query, a slash is part of it */
        struct str is;

        st = data_uri(a, ways[i], &is, err);
        if (!st && is.p && str_eq(is, uri) && str_find_byte(ways[i], 0, 0) == SIZE_MAX) {
            out[(*n)++] = ways[i];
        }
    }
    return st;
}
