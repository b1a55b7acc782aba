/* store/blob/s3_creds.h - where the credentials of an S3 store come from.
 * In this order, the first that is there, as the tools of S3 do it: the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
 * AWS_SESSION_TOKEN); a web identity (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or role_arn and web_identity_token_file of the
 * profile), exchanged at the token service for credentials that expire; the profile in the files ~/.aws/credentials and
 * ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE, AWS_PROFILE). Files are read again when the store no longer takes
 * what they said.
 * Ownership: plain values. Thread rule: s3_creds_load() any thread that may wait. */
#ifndef CAIRN_STORE_BLOB_S3_CREDS_H
#define CAIRN_STORE_BLOB_S3_CREDS_H

#include "base/arena.h"
#include "store/blob/s3_sign.h"

/* What the environment and the profile say, beside credentials. Texts live in the arena; NULL = not said. */
struct s3_profile {
    const char *region, *endpoint, *ca_file;
};
/* profile: its name, or NULL for AWS_PROFILE and "default". ST_NOT_FOUND when a profile was named and is nowhere. */
enum status s3_profile_load(struct arena *a, const char *profile, struct s3_profile *out,
                            struct err *err);

/* One exchange at the token service. */
struct s3_sts {
    const char *url; /* NULL: that of the region */
    const char *region;
    const char *ca_file; /* NULL: the system's */
};
/* ST_DENIED with what to do when there are none, ST_UNAVAILABLE when the token service does not answer. */
enum status s3_creds_load(const char *profile, const struct s3_sts *sts, struct s3_creds *out,
                          struct err *err);

/* The value of a key in a section of an INI text, as the tools of S3 read it: "[name]", "key = value", '#' and ';' begin a comment
 * line, indented lines belong to the key above and are passed over. The last one wins; p NULL if there is none. *found: the section
 * is there. */
struct str s3_ini_get(struct str text, const char *section, const char *key, bool *found);

#endif
