/* core/access.h - who is calling, and may they?
 * Every route declares an action; authorise() is asked with the caller's principal before anything else happens. Deny by
 * default. Tokens are long random texts, so their SHA-256 is kept and looked up; the comparison takes the same time wherever two
 * digests differ. Until roles exist a token's principal may do everything, an anonymous caller everything when
 * authentication is off, else only what is public.
 * Ownership: the server owns the access; principals live as long as it does. Thread rule: any thread. */
#ifndef CAIRN_CORE_ACCESS_H
#define CAIRN_CORE_ACCESS_H

#include "base/hash.h"
#include "core/core.h"
#include "store/seq.h"

enum action {
    ACTION_NONE = 0, /* refused when a route is compiled */
    ACTION_PUBLIC,   /* no credentials needed */
    ACTION_EXPERIMENT_READ,
    ACTION_EXPERIMENT_CREATE,
    ACTION_EXPERIMENT_UPDATE,
    ACTION_EXPERIMENT_DELETE,
    ACTION_RUN_READ,
    ACTION_RUN_CREATE,
    ACTION_RUN_WRITE,
    ACTION_RUN_DELETE,
    ACTION_ARTIFACT_READ,
    ACTION_ARTIFACT_WRITE,
    ACTION_ARTIFACT_DELETE,
    ACTION_MODEL_READ,
    ACTION_MODEL_CREATE,
    ACTION_MODEL_UPDATE,
    ACTION_MODEL_DELETE,
    ACTION_SERVER_READ,  /* metrics, configuration */
    ACTION_SERVER_ADMIN, /* tokens, checks, backup */
    ACTION_N
};
/* "run.write"; "" beyond the table. */
const char *action_name(enum action a);

/* What the right is about. */
enum resource {
    RESOURCE_SERVER,
    RESOURCE_EXPERIMENT,
    RESOURCE_RUN,
    RESOURCE_MODEL,
    RESOURCE_ARTIFACT,
    RESOURCE_N
};

struct principal {
    struct str name; /* "anonymous", or the token's principal */
    bool anonymous;
};

enum auth_mode { AUTH_NONE, AUTH_TOKEN };

struct access;
enum status access_new(struct access **out, enum auth_mode mode, struct err *err);
void access_free(struct access *a); /* NULL-safe */
enum auth_mode access_mode(const struct access *a);
/* Makes a token known under a name (replacing an older one of that name). */
enum status access_add(struct access *a, struct str name, const struct digest *sha256,
                       struct str principal, struct err *err);
/* False if the name is unknown. */
bool access_remove(struct access *a, struct str name);
/* Makes the tokens of the store known, and those unknown that came from it and are gone. One call at a time. */
enum status access_load(struct access *a, struct view *v, struct err *err);

/* The caller behind a token; p NULL (no credentials) gives the anonymous principal. ST_UNAUTHENTICATED for a token that is not
 * known. */
enum status access_authenticate(struct access *a, struct str token, const struct principal **out,
                                struct err *err);
/* OK, ST_UNAUTHENTICATED (anonymous, and credentials would help) or ST_DENIED. */
enum status authorise(struct access *a, const struct principal *p, enum action action,
                      enum resource resource, struct err *err);

/* A new random token, "cairn_t_" and 43 characters, and its digest. */
enum { TOKEN_TEXT_MAX = 64 };
bool token_new(char text[TOKEN_TEXT_MAX], struct digest *sha256);

/* Stores a token (its digest) under a name; ST_EXISTS if the name is taken. Known to `access` once done. */
struct token_add {
    struct write_op op;
    struct access *access; /* NULL: the store only */
    struct str name, principal;
    struct digest sha256;
};
void token_add_init(struct token_add *t, struct access *access, struct arena *a);
struct token_remove {
    struct write_op op;
    struct access *access;
    struct str name;
};
void token_remove_init(struct token_remove *t, struct access *access, struct arena *a);
struct token_row {
    struct str name, principal;
    int64_t create_ms;
};
enum status token_list(struct view *v, struct token_row **out, size_t *n, struct err *err);

#endif
