/* cli/api.h - which server a command talks to, and talking to it.
 * The server: --server, else --context, each from flag, environment, .cairn.conf or cairn.conf, the stronger layer first;
 * without any, the server of ./cairn-data (or CAIRN_DATA), else http://127.0.0.1:5757, which is said on stderr.
 * The token: --token-file, else that of the context, else the one a login kept for exactly that server. A server that a
 * .cairn.conf names (a file that comes with a checkout) gets none but what the user's own cairn.conf keeps for it.
 * Ownership: everything lies in the arena of the command. Thread rule: the main thread. */
#ifndef CAIRN_CLI_API_H
#define CAIRN_CLI_API_H

#include "cli/cli.h"
#include "cli/jv.h"
#include "codec/json.h"

struct target {
    const char *url;    /* without a slash at the end */
    const char *socket; /* of a server of this machine, or NULL */
    const char *token;  /* or NULL */
    bool guessed;       /* nothing named it */
};

/* Finds the server. */
enum status api_target(struct cli *cli, struct target *out, struct err *err) ATTR_CHECK;
/* The server whose data folder this is, when it runs: url, socket and token from the folder. ST_NOT_FOUND if none does. */
enum status api_target_of_data(struct cli *cli, const char *data, struct target *out,
                               struct err *err) ATTR_CHECK;
/* Sends and parses; an answer that is no success becomes an error. *out may be NULL for an empty answer. */
enum status api_send(struct cli *cli, const struct target *t, const char *method, const char *path,
                     struct str body, struct jv **out, struct err *err) ATTR_CHECK;
/* The same to the server of api_target(). body p NULL: none. */
enum status api_call(struct cli *cli, const char *method, const char *path, struct str body,
                     struct jv **out, struct err *err) ATTR_CHECK;
/* "path?name=value&..." with escaped values: names, values alternate, a NULL name ends; a NULL value leaves its name out.
 * NULL when memory is out. */
const char *api_query(struct cli *cli, const char *path, const char *const *pairs);
/* A GET of api_query(). *out is NULL after an error. */
enum status api_get(struct cli *cli, const char *path, const char *const *pairs, struct jv **out,
                    struct err *err) ATTR_CHECK;
/* The same pairs as fields of an open JSON object. */
void api_put_texts(struct json_writer *w, const char *const *pairs);
/* The answer as it came, and the end of the line, to stdout. */
void api_put_raw(const struct jv *answer);
/* Bytes of a file: sink as in client/http.h. An answer that is no success becomes an error. */
enum status api_download(struct cli *cli, const char *path, uint64_t from,
                         bool (*sink)(void *ctx, int status, const void *p, size_t n), void *ctx,
                         struct err *err) ATTR_CHECK;
/* Sends n bytes as the body of a PUT: source as in client/http.h. */
enum status api_upload(struct cli *cli, const char *path, uint64_t n,
                       size_t (*source)(void *ctx, void *p, size_t max), void *ctx, struct jv **out,
                       struct err *err) ATTR_CHECK;
/* Any request, whatever its answer, to the server of the command: fills in where it goes. client/http.h. */
struct client_request;
struct client_answer;
enum status api_ask(struct cli *cli, struct client_request *req, const char *path,
                    struct client_answer *answer, struct err *err) ATTR_CHECK;
/* What such an answer says is wrong. */
enum status api_answer_error(struct cli *cli, const struct client_answer *answer, struct err *err);
/* The address without slashes at its end; ST_INVALID if it is none. */
enum status api_clean_url(struct cli *cli, const char *url, const char **out,
                          struct err *err) ATTR_CHECK;
/* Percent-encoded for one segment of a path or a value of a query. p NULL when memory is out. */
struct str api_escape(struct arena *a, struct str s);
/* First line of a file, without white space; for tokens. */
enum status api_read_token(struct cli *cli, const char *path, const char **out,
                           struct err *err) ATTR_CHECK;

#endif
