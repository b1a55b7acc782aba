/* core/model_source.h - where a model version comes from: the source URI that a client names, checked and resolved.
 *   models:/NAME/VERSION, models:/NAME/STAGE, models:/NAME@ALIAS   a copy of another version: becomes models:/NAME/NUMBER
 *   models:/MODEL_ID          a logged model; model_id must name it
 *   runs:/RUN_ID/path         run_id must name it
 *   mlflow-artifacts:...      must lie below the artifacts of run_id or model_id
 *   file:..., /path           only below the local artifact folder of run_id or model_id
 *   anything else             an absolute URI without ".." in any encoding
 * Passwords and signatures in it are not kept: neither stored, nor shown, nor told in an error.
 * Thread rule: on the sequencer, inside validate(). */
#ifndef CAIRN_CORE_MODEL_SOURCE_H
#define CAIRN_CORE_MODEL_SOURCE_H

#include "core/registry.h"

struct model_source {
    struct str source;   /* canonical */
    struct str storage;  /* where the bytes lie */
    struct str run_id;   /* "" = none */
    struct str model_id; /* NULL p = none */
    int64_t model_uid;   /* of the logged model; 0 = none */
    bool redacted;       /* secrets of the given source were replaced */
};
/* run_id, model_id: p NULL = the client gave none. prompt: the version is a prompt, whose source says nothing. ST_INVALID
 * "Invalid model version source: 'x'. ..." */
enum status model_source_resolve(struct view *v, struct group *g, struct str source,
                                 struct str run_id, struct str model_id, bool prompt,
                                 struct model_source *out, struct err *err);

/* Secrets in a URI become "***": the password before an @ (all of it in http and https, where a name alone is a token) and values of
 * query fields that are known to be secret. Nothing is allocated where there is none. False when memory is out. */
bool source_redact(struct arena *a, struct str *uri);

/* Parts of a URI: scheme (lower case in `a`, "" = none), authority, path. p NULL when memory is out. */
struct uri_parts {
    struct str scheme, authority, path;
};
bool uri_split(struct arena *a, struct str uri, struct uri_parts *out);
/* Whether `uri` names something at or below `root`: equal scheme and authority, and the root's path components, decoded, come first.
 * A root without a path holds nothing. False when memory is out. */
bool uri_within(struct arena *a, struct str uri, struct str root);

#endif
