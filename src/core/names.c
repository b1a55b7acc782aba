/* core/names.c - validation of names, values and paths. */
#include "core/names.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/utf8.h"

enum { NAME_SCRATCH_BYTES = 256 * 1024, PATH_DECODE_ROUNDS = 10, PATH_COMPONENT_MAX = 255 };

#define PROXY_SCHEME "mlflow-artifacts:"
#define BAD_CHARACTERS                                                                                          \
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and " \
    "slashes (/)."

static void put_json_code_point(struct buf *b, uint32_t cp)
{
    if (cp >= 0x10000) {
        cp -= 0x10000;
        buf_printf(b, "\\u%04x\\u%04x", 0xd800 + (unsigned)(cp >> 10),
                   0xdc00 + (unsigned)(cp & 0x3ff));
    } else if (cp == '"' || cp == '\\') {
        buf_put_u8(b, '\\');
        buf_put_u8(b, (unsigned char)cp);
    } else if (cp == '\n') {
        buf_put_lit(b, "\\n");
    } else if (cp == '\r') {
        buf_put_lit(b, "\\r");
    } else if (cp == '\t') {
        buf_put_lit(b, "\\t");
    } else if (cp == '\b') {
        buf_put_lit(b, "\\b");
    } else if (cp == '\f') {
        buf_put_lit(b, "\\f");
    } else if (cp < 0x20 || cp >= 0x7f) {
        buf_printf(b, "\\u%04x", (unsigned)cp);
    } else {
        buf_put_u8(b, (unsigned char)cp);
    }
}

struct str name_json_quoted(struct arena *a, struct str s)
{
    struct buf b = BUF_INIT(NAME_SCRATCH_BYTES);
    struct str out = { NULL, 0 };

    buf_put_u8(&b, '"');
    for (size_t at = 0; at < s.n;) {
        put_json_code_point(&b, utf8_next(s, &at));
    }
    buf_put_u8(&b, '"');
    if (!b.failed) {
        out = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return out;
}

static enum status invalid_value(struct err *err, const char *path, struct str value,
                                 const char *fmt, struct str extra)
{
    struct arena *a = arena_new(NAME_SCRATCH_BYTES);
    struct str quoted = { NULL, 0 };
    enum status st;

    /* The message has no room for more; a value beyond the scratch space is still the caller's mistake, not ours. */
    value = utf8_prefix(value, ERR_MESSAGE_MAX);
    if (a) {
        quoted = name_json_quoted(a, value);
    }
    if (!quoted.p) {
        arena_free(a);
        return err_nomem(err);
    }
    st = err_field(err, ST_INVALID, path, "Invalid value %.*s for parameter '%s' supplied%s%.*s%s",
                   STR_ARG(quoted), path, fmt, STR_ARG(extra), extra.p ? "'" : "");
    arena_free(a);
    return st;
}

static bool key_characters_ok(struct str key)
{
    for (size_t at = 0; at < key.n;) {
        uint32_t cp = utf8_next(key, &at);

        if (!(cp == '/' || cp == '.' || cp == '-' || cp == ' ' || cp == ':' || utf8_is_word(cp))) {
            return false;
        }
    }
    return true;
}

struct str name_normpath(struct arena *a, struct str path)
{
    struct str rest = path, part;
    size_t slashes = 0;
    char *out;
    size_t n = 0;

    if (path.n == 0) {
        return S(".");
    }
    while (slashes < path.n && path.p[slashes] == '/') {
        slashes++;
    }
    /* Exactly two leading slashes are kept, as POSIX allows. */
    slashes = slashes == 2 ? 2 : slashes > 0;
    out = arena_alloc(a, path.n + 3);
    if (!out) {
        return (struct str){ NULL, 0 };
    }
    while (n < slashes) {
        out[n++] = '/';
    }
    while (str_split(&rest, '/', &part)) {
        bool up = str_eq_lit(part, "..");
        size_t last = n;

        if (part.n == 0 || str_eq_lit(part, ".")) {
            continue;
        }
        while (last > slashes && out[last - 1] != '/') {
            last--;
        }
        if (up && n > slashes && !str_eq_lit(str_of(out + last, n - last), "..")) {
            n = last > slashes ? last - 1 : slashes;
            continue;
        }
        if (up && slashes > 0 && n == slashes) {
            continue;
        }
        if (n > slashes) {
            out[n++] = '/';
        }
        memcpy(out + n, part.p, part.n);
        n += part.n;
    }
    if (n == 0) {
        out[n++] = '.';
    }
    return str_of(out, n);
}

enum status name_check_key(struct str key, const char *path, struct err *err)
{
    struct arena *a;
    struct str norm;
    enum status st = OK;

    if (!key_characters_ok(key)) {
        return invalid_value(err, path, key, ": " BAD_CHARACTERS, (struct str){ NULL, 0 });
    }
    /* The common key has nothing that a path could resolve. */
    if (key.n && key.p[0] != '/' && key.p[key.n - 1] != '/' && str_find(key, S("//")) == SIZE_MAX &&
        str_find_byte(key, '.', 0) == SIZE_MAX) {
        return OK;
    }
    if (key.n > NAME_SCRATCH_BYTES / 4) {
        return invalid_value(err, path, key, ": the name is too long", (struct str){ NULL, 0 });
    }
    a = arena_new(NAME_SCRATCH_BYTES);
    if (!a) {
        return err_nomem(err);
    }
    norm = name_normpath(a, key);
    if (!norm.p) {
        st = err_nomem(err);
    } else if (!str_eq(norm, key) || str_eq_lit(norm, ".") || str_starts(norm, S("..")) ||
               str_starts(norm, S("/"))) {
        st = invalid_value(
            err, path, key,
            ": Names may be treated as files in certain cases, and must not resolve to other names when "
            "treated as such. This name would resolve to '",
            norm);
    }
    arena_free(a);
    return st;
}

enum status name_check_length(struct str s, const char *what, size_t max, struct err *err)
{
    if (s.n <= max || utf8_count(s) <= max) {
        return OK;
    }
    return err_field(err, ST_INVALID, what, "'%s' exceeds the maximum length of %zu characters",
                     what, max);
}

enum status name_check_metric(struct str key, const char *path, struct err *err)
{
    enum status st = name_check_key(key, path, err);

    return st ? st : name_check_length(key, "Metric name", NAME_KEY_MAX, err);
}

enum status name_check_param(struct str key, const char *path, struct err *err)
{
    enum status st = name_check_key(key, path, err);

    return st ? st : name_check_length(key, "Param key", NAME_KEY_MAX, err);
}

enum status name_check_tag(struct str key, const char *path, struct err *err)
{
    enum status st = name_check_key(key, path, err);

    return st ? st : name_check_length(key, path, NAME_KEY_MAX, err);
}

enum status name_check_experiment(struct str name, struct err *err)
{
    if (name.n == 0) {
        return err_field(err, ST_INVALID, "name", "Invalid experiment name: ''");
    }
    return name_check_length(name, "name", NAME_EXPERIMENT_MAX, err);
}

enum status name_check_experiment_tag(struct str key, struct str value, struct err *err)
{
    enum status st = name_check_key(key, "key", err);

    if (st) {
        return st;
    }
    st = name_check_length(key, "key", NAME_KEY_MAX, err);
    return st ? st : name_check_length(value, "value", NAME_EXPERIMENT_TAG_VALUE_MAX, err);
}

enum status name_check_logged_model(struct str name, struct err *err)
{
    for (size_t i = 0; i < name.n; i++) {
        if (memchr("/:.%\"'", name.p[i], 6)) {
            return err_field(
                err, ST_INVALID, "name",
                "Invalid model name (%.*s) provided. Model name must be a non-empty string and cannot contain "
                "the following characters: ('/', ':', '.', '%%', '\"', \"'\")",
                STR_ARG(name));
        }
    }
    return OK;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

enum status name_check_run_id(struct str run_id, const char *path, struct err *err)
{
    bool good = run_id.n > 0 && is_alnum(run_id.p[0]) && utf8_count(run_id) <= 256;

    for (size_t at = 0; good && at < run_id.n;) {
        uint32_t cp = utf8_next(run_id, &at);

        good = cp == '-' || utf8_is_word(cp);
    }
    return good ? OK : invalid_value(err, path, run_id, ".", (struct str){ NULL, 0 });
}

/* The path below "mlflow-artifacts:/" or "mlflow-artifacts://host/" can be one of the artifact proxy. */
static enum status check_proxied(struct str uri, size_t query, struct err *err)
{
    struct str path = str_sub(uri, sizeof(PROXY_SCHEME) - 1, MIN_OF(query, uri.n));
    size_t host_end;
    enum status st;

    if (!str_starts(path, S("/"))) {
        return err_field(err, ST_INVALID, "artifact_location",
                         "Invalid artifact location '%.*s': a path follows 'mlflow-artifacts:/'",
                         STR_ARG(uri));
    }
    if (str_starts(path, S("//")) && !str_starts(path, S("///"))) {
        host_end = str_find_byte(path, '/', 2);
        path = str_sub(path, MIN_OF(host_end, path.n), path.n);
    }
    while (str_starts(path, S("/"))) {
        path = str_sub(path, 1, path.n);
    }
    st = name_check_artifact_path(path, err);
    if (st == ST_INVALID) {
        return err_field(err, st, "artifact_location",
                         "Invalid artifact location '%.*s': its path cannot hold artifacts",
                         STR_ARG(uri));
    }
    return st;
}

enum status name_check_artifact_location(struct str uri, struct err *err)
{
    size_t query = str_find_byte(uri, '?', 0);

    if (str_starts(uri, S("runs:"))) {
        return err_field(err, ST_INVALID, "artifact_location",
                         "Artifact location cannot be a runs:/ URI. Given: '%.*s'", STR_ARG(uri));
    }
    if (str_find_byte(uri, '#', 0) != SIZE_MAX || str_find_byte(uri, ';', 0) != SIZE_MAX) {
        return err_field(err, ST_INVALID, "artifact_location",
                         "'artifact_location' URL can't include fragments or params.");
    }
    if (query != SIZE_MAX && str_find(str_sub(uri, query, uri.n), S("..")) != SIZE_MAX) {
        return err_field(err, ST_INVALID, "artifact_location", "Invalid query string");
    }
    if (utf8_count(uri) > NAME_ARTIFACT_LOCATION_MAX) {
        return err_field(
            err, ST_INVALID, "artifact_location",
            "Invalid artifact path length. The length of the artifact path cannot be greater than %d characters.",
            NAME_ARTIFACT_LOCATION_MAX);
    }
    return str_starts(uri, S(PROXY_SCHEME)) ? check_proxied(uri, query, err) : OK;
}

bool name_percent_decode(char *p, size_t *n)
{
    size_t to = 0;

    for (size_t i = 0; i < *n; i++, to++) {
        int hi = i + 2 < *n && p[i] == '%' ? num_hex_digit(p[i + 1]) : -1;
        int lo = hi >= 0 ? num_hex_digit(p[i + 2]) : -1;

        if (hi >= 0 && lo >= 0) {
            p[to] = (char)(hi * 16 + lo);
            i += 2;
        } else {
            p[to] = p[i];
        }
    }
    if (to == *n) {
        return false;
    }
    *n = to;
    return true;
}

/* True for "C:/..." and "scheme:/...": a colon before the first slash, with the slash right after it. "file:" is one without it as
 * well: RFC 8089 has that form. */
static bool has_scheme_or_drive(struct str path)
{
    size_t colon = str_find_byte(path, ':', 0), slash = str_find_byte(path, '/', 0);

    if (colon == SIZE_MAX || colon == 0 || (slash != SIZE_MAX && slash < colon)) {
        return false;
    }
    for (size_t i = 0; i < colon; i++) {
        if (!is_alnum(path.p[i]) && path.p[i] != '+' && path.p[i] != '-' && path.p[i] != '.') {
            return false;
        }
    }
    return slash == colon + 1 || str_eq_nocase(str_sub(path, 0, colon), S("file"));
}

static bool path_is_plain(struct str path)
{
    struct str rest = path, part;

    if (path.n == 0) {
        return true;
    }
    if (path.p[0] == '/' || has_scheme_or_drive(path)) {
        return false;
    }
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];

        if (c < 0x20 || c == 0x7f || c == '\\' || c == '#') {
            return false;
        }
    }
    while (str_split(&rest, '/', &part)) {
        if (part.n > PATH_COMPONENT_MAX || str_eq_lit(part, "..") || str_eq_lit(part, ".")) {
            return false;
        }
        if (part.n == 0 && rest.p) {
            return false; /* an empty component inside; one slash at the end is fine */
        }
    }
    return true;
}

enum status name_check_artifact_path(struct str path, struct err *err)
{
    char *copy;
    size_t n = path.n;
    struct arena *a = arena_new(NAME_SCRATCH_BYTES);
    bool good;

    copy = a ? arena_cstr(a, path) : NULL;
    if (!copy) {
        arena_free(a);
        return path.n > NAME_SCRATCH_BYTES / 2 ? err_set(err, ST_INVALID, "Invalid path")
                                               : err_nomem(err);
    }
    good = path_is_plain(path) && utf8_valid(path);
    for (int round = 0; good && name_percent_decode(copy, &n); round++) {
        good = round < PATH_DECODE_ROUNDS && path_is_plain(str_of(copy, n));
    }
    arena_free(a);
    return good ? OK : err_field(err, ST_INVALID, "path", "Invalid path");
}
