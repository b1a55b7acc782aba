/* store/blob/s3_creds.c - credentials from environment, web identity and files. */
#include "store/blob/s3_creds.h"
#include "base/clock.h"
#include "base/fs.h"
#include "store/blob/s3_http.h"
#include "store/blob/s3_xml.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    FILE_MAX = 1 << 20,
    PATH_BYTES = 4096,
    TOKEN_FILE_MAX = 64 * 1024,
    ARENA_MAX = 8 << 20,
    STS_MS = 15000,
    SESSION_S = 3600
};

static const char *env(const char *name)
{
    const char *v = getenv(name);

    return v && v[0] ? v : NULL;
}

struct str s3_ini_get(struct str text, const char *section, const char *key, bool *found)
{
    struct str line, value = { NULL, 0 };
    bool inside = false;

    *found = false;
    while (str_split(&text, '\n', &line)) {
        bool indented = line.n && (line.p[0] == ' ' || line.p[0] == '\t');
        struct str t = str_trim(line);
        size_t equals;

        if (!t.n || t.p[0] == '#' || t.p[0] == ';') {
            continue;
        }
        if (t.p[0] == '[' && t.p[t.n - 1] == ']') {
            inside = str_eq(str_trim(str_sub(t, 1, t.n - 2)), str_cstr(section));
            *found = *found || inside;
            continue;
        }
        equals = str_find_byte(t, '=', 0);
        if (inside && !indented && equals != SIZE_MAX &&
            str_eq(str_trim(str_sub(t, 0, equals)), str_cstr(key))) {
            value = str_trim(str_sub(t, equals + 1, t.n));
        }
    }
    return value;
}

/* ---- the two files ------------------------------------------------------------------------------------------------------------ */

struct files {
    struct str credentials, config;
    const char *name; /* of the profile */
    bool is_named;    /* somebody asked for it */
};

static enum status read_one(struct arena *a, const char *variable, const char *usual,
                            struct str *out, struct err *err)
{
    const char *named = env(variable), *home = env("HOME");
    char path[PATH_BYTES];
    struct err why = ERR_INIT;
    enum status st;

    *out = S("");
    if (!named && !home) {
        return OK;
    }
    if (named) {
        snprintf(path, sizeof(path), "%s", named);
    } else {
        snprintf(path, sizeof(path), "%s/.aws/%s", home, usual);
    }
    st = fs_read_file(a, path, FILE_MAX, out, &why);
    if (st == ST_NOT_FOUND) {
        *out = S("");
        return OK;
    }
    if (st) {
        *err = why;
        err_ctx(err, "the file of S3 credentials");
    }
    return st;
}

static enum status read_files(struct arena *a, const char *profile, struct files *f,
                              struct err *err)
{
    enum status st;

    *f = (struct files){ .name = profile ? profile : env("AWS_PROFILE") };
    f->is_named = f->name != NULL;
    f->name = f->name ? f->name : "default";
    st = read_one(a, "AWS_SHARED_CREDENTIALS_FILE", "credentials", &f->credentials, err);
    return st ? st : read_one(a, "AWS_CONFIG_FILE", "config", &f->config, err);
}

/* A key of the profile: the file of credentials goes before that of settings, which writes "[profile NAME]". */
static struct str get(const struct files *f, const char *key, bool *found)
{
    char section[256];
    bool here, there;
    struct str v = s3_ini_get(f->credentials, f->name, key, &here), w;

    snprintf(section, sizeof(section), "%s%s",
             str_eq_lit(str_cstr(f->name), "default") ? "" : "profile ", f->name);
    w = s3_ini_get(f->config, section, key, &there);
    *found = here || there;
    return v.p ? v : w;
}

static const char *get_text(struct arena *a, const struct files *f, const char *key)
{
    bool found;
    struct str v = get(f, key, &found);

    return v.n ? arena_cstr(a, v) : NULL;
}

enum status s3_profile_load(struct arena *a, const char *profile, struct s3_profile *out,
                            struct err *err)
{
    struct files f;
    bool found;
    enum status st = read_files(a, profile, &f, err);

    *out = (struct s3_profile){ .region = env("AWS_REGION") };
    if (st) {
        return st;
    }
    (void)get(&f, "region", &found);
    if (f.is_named && !found) {
        st = err_set(err, ST_NOT_FOUND, "there is no S3 profile %s", f.name);
        err_hint(err, "name one of ~/.aws/credentials or ~/.aws/config");
        return st;
    }
    out->region = out->region ? out->region : env("AWS_DEFAULT_REGION");
    out->region = out->region ? out->region : get_text(a, &f, "region");
    out->endpoint = env("AWS_ENDPOINT_URL_S3");
    out->endpoint = out->endpoint ? out->endpoint : env("AWS_ENDPOINT_URL");
    out->endpoint = out->endpoint ? out->endpoint : get_text(a, &f, "endpoint_url");
    out->ca_file = env("AWS_CA_BUNDLE");
    out->ca_file = out->ca_file ? out->ca_file : get_text(a, &f, "ca_bundle");
    return OK;
}

/* ---- credentials --------------------------------------------------------------------------------------------------------------- */

static bool put(char *to, size_t max, struct str v)
{
    if (v.n >= max) {
        return false;
    }
    memcpy(to, v.n ? v.p : "", v.n);
    to[v.n] = 0;
    return true;
}

static enum status fill(struct s3_creds *out, struct str access, struct str secret,
                        struct str token, struct err *err)
{
    if (access.n && secret.n && put(out->access, sizeof(out->access), access) &&
        put(out->secret, sizeof(out->secret), secret) &&
        put(out->token, sizeof(out->token), token)) {
        return OK;
    }
    return err_set(err, ST_INVALID, "the S3 credentials are incomplete or too long");
}

static enum status none(struct err *err)
{
    enum status st = err_set(err, ST_DENIED, "there are no credentials for S3");

    err_hint(err, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to "
                  "~/.aws/credentials, or name a web identity with AWS_WEB_IDENTITY_TOKEN_FILE");
    return st;
}

static enum status sts_refused(const struct s3_answer *answer, struct err *err)
{
    struct str code = s3_xml_find(answer->body, "Code"),
               message = s3_xml_find(answer->body, "Message");
    bool busy = answer->status >= 500 || answer->status == 429;
    enum status st =
        err_set(err, busy ? ST_UNAVAILABLE : ST_DENIED, "the token service answered %d %.*s %.*s",
                answer->status, STR_ARG(str_sub(code, 0, 100)), STR_ARG(str_sub(message, 0, 300)));

    err_hint(err, "look at the role and at the file that AWS_WEB_IDENTITY_TOKEN_FILE names");
    return st;
}

/* AssumeRoleWithWebIdentity: the token is the proof, nothing is signed. */
static enum status exchange(struct arena *a, const struct s3_sts *sts, struct str role,
                            struct str session, struct str token, struct s3_creds *out,
                            struct err *err)
{
    const char *fields[] = { "content-type: application/x-www-form-urlencoded" };
    struct buf body = BUF_INIT(TOKEN_FILE_MAX * 4);
    struct s3_http http = { .ca_file = sts->ca_file };
    struct s3_request req = { .method = "POST", .fields = fields, .fields_n = ARRAY_N(fields) };
    struct s3_pair pairs[] = { { S("Action"), S("AssumeRoleWithWebIdentity") },
                               { S("Version"), S("2011-06-15") },
                               { S("RoleArn"), role },
                               { S("RoleSessionName"), session },
                               { S("WebIdentityToken"), token },
                               { S("DurationSeconds"), S("3600") } };
    struct s3_answer answer;
    struct str url, credentials;
    enum status st;

    url = sts->url ? arena_printf(a, "%s/", sts->url)
                   : arena_printf(a, "https://sts.%s.amazonaws.com/", sts->region);
    s3_query(&body, pairs, ARRAY_N(pairs));
    st = url.p ? buf_status(&body, "request", err) : err_nomem(err);
    if (st) goto out;
    req.url = url.p;
    req.body = buf_str(&body);
    req.until_ms = clock_mono_ms() + STS_MS;
    st = s3_http_call(&http, &req, a, &answer, err);
    if (st) {
        err_ctx(err, "the token service");
        goto out;
    }
    credentials = s3_xml_find(answer.body, "Credentials");
    if (answer.status != 200 || !credentials.p) {
        st = sts_refused(&answer, err);
        goto out;
    }
    st = fill(out, s3_xml_text(a, s3_xml_find(credentials, "AccessKeyId")),
              s3_xml_text(a, s3_xml_find(credentials, "SecretAccessKey")),
              s3_xml_text(a, s3_xml_find(credentials, "SessionToken")), err);
    out->expires_ms = s3_xml_time(s3_xml_find(credentials, "Expiration"));
    if (out->expires_ms <= 0) {
        out->expires_ms = clock_wall_ms() + SESSION_S * 1000;
    }
out:
    s3_http_close(&http);
    if (body.p) explicit_bzero(body.p, body.n);
    buf_release(&body);
    return st;
}

static enum status web_identity(struct arena *a, const struct s3_sts *sts, const char *file,
                                const char *role, const char *session, struct s3_creds *out,
                                struct err *err)
{
    struct str token;
    enum status st = fs_read_file(a, file, TOKEN_FILE_MAX, &token, err);

    if (st) {
        err_ctx(err, "the token of the web identity");
        return st;
    }
    st = exchange(a, sts, str_cstr(role), str_cstr(session ? session : "cairn"), str_trim(token),
                  out, err);
    return st;
}

enum status s3_creds_load(const char *profile, const struct s3_sts *sts, struct s3_creds *out,
                          struct err *err)
{
    const char *access = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY"),
               *token = env("AWS_SESSION_TOKEN"), *file = env("AWS_WEB_IDENTITY_TOKEN_FILE"),
               *role = env("AWS_ROLE_ARN"), *session = env("AWS_ROLE_SESSION_NAME");
    struct arena *a;
    struct files f;
    struct str key;
    bool found;
    enum status st;

    *out = (struct s3_creds){ .expires_ms = 0 };
    if (access && secret && !profile) {
        return fill(out, str_cstr(access), str_cstr(secret), str_cstr(token), err);
    }
    a = arena_new(ARENA_MAX);
    st = a ? read_files(a, profile, &f, err) : err_nomem(err);
    if (st) goto out;
    if (!file || !role) {
        file = get_text(a, &f, "web_identity_token_file");
        role = get_text(a, &f, "role_arn");
        session = get_text(a, &f, "role_session_name");
    }
    if (file && role) {
        st = web_identity(a, sts, file, role, session, out, err);
        goto out;
    }
    key = get(&f, "aws_access_key_id", &found);
    st = key.n ? fill(out, key, get(&f, "aws_secret_access_key", &found),
                      get(&f, "aws_session_token", &found), err)
               : none(err);
out:
    arena_free(a);
    return st;
}
