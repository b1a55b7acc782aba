/* core/registry.h - the model registry: registered models, their versions, stages, aliases, tags, and what happened to them.
 * A registered model is a context node and so is each of its versions, the model being their parent; the bytes that a version
 * stands for are an artifact node attributed to it: the logged model it was made from, or a node named by the place of the bytes.
 * Numbers of versions ascend and are never given again while the model lives. Deleting a version leaves its redacted row, so that its
 * number stays taken; deleting a model removes it with all versions and frees its name. Every change of a name, description, stage,
 * alias or tag is appended to the history, which outlives the model.
 * A prompt is a registered model with the tag mlflow.prompt.is_prompt = true; searches leave prompts out unless they ask for them.
 * Ownership: what reads return lives in the view's arena, what operations point to in the caller's until done has run.
 * Thread rule: init functions any thread; reads on pool threads. */
#ifndef CAIRN_CORE_REGISTRY_H
#define CAIRN_CORE_REGISTRY_H

#include "core/core.h"
#include "store/seq.h"

enum model_stage {
    STAGE_NONE = 0,
    STAGE_STAGING = 1,
    STAGE_PRODUCTION = 2,
    STAGE_ARCHIVED = 3,
    STAGE_DELETED = 4
};
/* "None", "Staging", "Production", "Archived". */
const char *stage_name(enum model_stage stage);
/* Any case. "Invalid Model Version stage: x. Value must be one of None, Staging, Production, Archived." */
enum status stage_parse(struct str text, enum model_stage *out, struct err *err);

enum {
    REGISTRY_NAME_MAX = 256,
    REGISTRY_ALIAS_MAX = 255,
    REGISTRY_TAG_VALUE_MAX = 100000,
    REGISTRY_TEXT_MAX = 100000, /* descriptions, links */
    REGISTRY_SOURCE_MAX = 2048,
    REGISTRY_PAGE_BYTES = 4 << 20 /* of values, after which a page of the history ends */
};
#define PROMPT_TAG S("mlflow.prompt.is_prompt")

struct model_version {
    int64_t uid, version;
    struct str name; /* of the registered model */
    enum model_stage stage;
    struct str description;      /* NULL p = none */
    struct str source;           /* as given, models:/NAME@ALIAS resolved to its version */
    struct str storage;          /* where the bytes lie */
    struct str run_id, run_link; /* "" = none */
    struct str model_id;         /* of the logged model; NULL p = none */
    bool prompt;
    int64_t create_ms, update_ms;
    struct key_value *tags; /* by key */
    size_t tags_n;
    struct str *aliases; /* in byte order */
    size_t aliases_n;
};
struct model_alias {
    struct str alias;
    int64_t version;
};
struct registered_model {
    int64_t uid;
    struct str name, description; /* description "" = none */
    bool prompt;
    int64_t last; /* highest version number ever given */
    int64_t create_ms, update_ms;
    struct key_value *tags;
    size_t tags_n;
    struct model_alias *aliases; /* by alias */
    size_t aliases_n;
    struct model_version
        *latest; /* the newest of each stage; the stage with the oldest version first */
    size_t latest_n;
};

/* ---- reads ----------------------------------------------------------------------------------------------------------- */

/* "Registered Model with name=X not found". */
enum status registered_model_get(struct view *v, struct str name, struct registered_model *out,
                                 struct err *err);
/* "Model Version (name=X, version=N) not found"; deleted ones are not found. */
enum status model_version_get(struct view *v, struct str name, int64_t version,
                              struct model_version *out, struct err *err);
/* The same where the model is known. */
enum status registry_version(struct view *v, int64_t model, struct str name, int64_t version,
                             struct model_version *out, struct err *err);
/* "latest" (any case): the highest version that is not deleted. "Registered model alias X not found." is ST_INVALID, as clients
 * expect. */
enum status model_version_by_alias(struct view *v, struct str name, struct str alias,
                                   struct model_version *out, struct err *err);
/* The newest version of each of the stages (bits 1 << enum model_stage). */
enum status model_versions_latest(struct view *v, struct str name, unsigned stages,
                                  struct model_version **out, size_t *n, struct err *err);

struct registry_search {
    struct str model; /* versions of that model only; p NULL = of any */
    struct str filter;
    struct str *order_by;
    size_t order_by_n;
    struct page page;
};
enum status registered_model_search(struct view *v, const struct registry_search *in,
                                    struct registered_model **out, size_t *n,
                                    struct str *next_token, struct err *err);
enum status model_version_search(struct view *v, const struct registry_search *in,
                                 struct model_version **out, size_t *n, struct str *next_token,
                                 struct err *err);

/* ---- history ---------------------------------------------------------------------------------------------------------- */

enum registry_event_kind {
    REGISTRY_CREATED = 1,
    REGISTRY_DELETED = 2,
    REGISTRY_RENAMED = 3,
    REGISTRY_DESCRIPTION = 4,
    REGISTRY_STAGE = 5,
    REGISTRY_ALIAS = 6,
    REGISTRY_TAG = 7,
    REGISTRY_PROPERTY = 8
};
/* "created", "deleted", "renamed", "description", "stage", "alias", "tag", "property". */
const char *registry_event_name(enum registry_event_kind kind);
struct registry_event {
    enum registry_event_kind kind;
    int64_t
        version; /* 0: the model itself. Of an alias: the version it was given to, or taken from */
    struct str key;   /* alias, tag or property; "" = none */
    struct str value; /* new name, description, stage or value; NULL p = taken away */
    struct str who;
    int64_t at_ms;
};
/* "created" -> REGISTRY_CREATED; ST_INVALID for a word that is none. */
enum status registry_event_parse(struct str text, enum registry_event_kind *out, struct err *err);
struct registry_history {
    struct str name;
    enum registry_event_kind what; /* 0: any */
    int64_t version;               /* -1: any; 0: the model itself */
    struct str key;                /* of the alias or tag; p NULL: any */
    int64_t until_ms;              /* nothing that was seen later */
    struct page page;
};
/* Newest first. A page ends early when its values have REGISTRY_PAGE_BYTES. A name that no model has now means the last model that
 * had it and was deleted. */
enum status registry_history(struct view *v, const struct registry_history *in,
                             struct registry_event **out, size_t *n, struct str *next_token,
                             struct err *err);
/* Which version an alias named at a time; 0 = none. */
enum status registry_alias_at(struct view *v, struct str name, struct str alias, int64_t at_ms,
                              int64_t *version, struct str *who, int64_t *since_ms,
                              struct err *err);

/* ---- writes ------------------------------------------------------------------------------------------------------------- */

/* "Registered Model (name=X) already exists.", or that a prompt and a model cannot share a name. */
struct registered_model_create {
    struct write_op op;
    struct core *core;
    struct str name, description, who;
    struct key_value *tags;
    size_t tags_n;
    /* out */
    struct registered_model model;
};
void registered_model_create_init(struct registered_model_create *c, struct core *core,
                                  struct arena *a);

struct model_version_create {
    struct write_op op;
    struct core *core;
    struct str name, source, description, who;
    struct str run_id, model_id; /* NULL p = not given */
    struct str run_link;
    struct str label;    /* the name to go by beside the number; NULL p = none */
    bool without_source; /* nothing is known of the bytes yet */
    struct key_value *tags;
    size_t tags_n;
    bool make_model;  /* when there is none of that name; it stays only if the version is made */
    struct str alias; /* to give to it; p NULL = none */
    /* out */
    struct model_version version;
    bool redacted; /* secrets of the source were replaced */
};
/* Lengths and names of what the client gives but the model's name. */
enum status model_version_check(const struct model_version_create *c, struct err *err);
void model_version_create_init(struct model_version_create *c, struct core *core, struct arena *a);

/* One change of a registered model or of a version of it. */
enum registry_change_kind {
    MODEL_DESCRIBE, /* value */
    MODEL_RENAME,   /* value */
    MODEL_DROP,     /* with all versions */
    MODEL_TAG,      /* key, value */
    MODEL_UNTAG,    /* key; fine when it is not there */
    MODEL_ALIAS,    /* key, version */
    MODEL_UNALIAS, /* key; fine when it is not there. version: ST_CONFLICT when it names another one; 0 = any */
    VERSION_DESCRIBE, /* value, NULL p = none */
    VERSION_STAGE,    /* stage, archive */
    VERSION_DROP,
    VERSION_TAG,
    VERSION_UNTAG
};
struct registry_change {
    struct write_op op;
    struct core *core;
    enum registry_change_kind what;
    struct str name, key, value, who;
    int64_t version;
    enum model_stage stage;
    bool archive; /* the other versions of that stage become Archived */
    /* out: the model (MODEL_DESCRIBE, MODEL_RENAME) or version (VERSION_DESCRIBE, VERSION_STAGE) as it is now */
    struct registered_model model;
    struct model_version after;
};
void registry_change_init(struct registry_change *c, struct core *core, struct arena *a);

/* ---- names ---------------------------------------------------------------------------------------------------------------- */

/* No '/' or ':', not blank, equal to its own normalised path. */
enum status name_check_registered_model(struct str name, const char *path, struct err *err);
/* Word characters and dashes; `set`: not "latest" and not a version ("v1"). */
enum status name_check_model_alias(struct str alias, bool set, struct err *err);
enum status name_check_registry_tag(struct str key, struct str value, struct err *err);
/* "Parameter 'version' must be an integer, got 'x'." */
enum status model_version_parse(struct str text, int64_t *out, struct err *err);

#endif
