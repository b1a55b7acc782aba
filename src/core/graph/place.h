/* core/graph/place.h - places of data: where protocols that know nothing of each other meet.
 * A place is a node for one URI (graph/data_uri.h), and another one for a URI with a digest. What names a URI is tied to its place by a
 * pair of what is the same (same.h), said by a rule, with the reason: one pair for each, however many share the place.
 *
 *     data set of MLflow -- place URI@DIGEST -- place URI -- artifact of ML Metadata
 *
 * - A data set of MLflow with a URI makes both places; it is that digest at the URI (rule digest), which is a version of the place (rule
 *   uri).
 * - An artifact of ML Metadata is tied to the place of its URI if there is one, as what is there in whichever version (rule uri); with a text
 *   property `digest` to that version too (rule digest). Changing URI or digest takes back what rules said, and they say what is so now.
 * - Of these, whatever comes first, the same is said in the end. What was there before is found when a place is made: some at once, the rest by
 *   steps of the worker, which a kill only delays; a store of before is gone over in the same way.
 * - A data set of OpenLineage makes the place of its name and is what is there; its versions lead to it (graph/load.c). What its
 *   symlinks facet and its renaming name is the same (rule symlink); a new run with the id of a run of MLflow that is there is that run (rule run), for good.
 * - What a person took back with a pin, no rule says again.
 * Questions go through places at no distance, but never over a place to another version of what they came from (graph/ask.c).
 *
 * Ownership: borrows everything. Thread rule: inside validate() of an operation whose kind has sql set; place_forget() any thread. */
#ifndef CAIRN_CORE_GRAPH_PLACE_H
#define CAIRN_CORE_GRAPH_PLACE_H

#include "core/node.h"

/* Of a pair that is the same: who says so, and what kind of link it is. Of the rules of places the place is the second of the pair. */
enum same_rule {
    SAME_SAID = 1,      /* somebody */
    SAME_URI = 2,       /* what is at a place, in whichever version */
    SAME_DIGEST = 3,    /* a data set of MLflow is this version of a place */
    SAME_VERSION = 4,   /* a version of a place is of that place */
    SAME_AT_DIGEST = 5, /* what is at a place is this version of it */
    SAME_SYMLINK = 6,
    SAME_RUN = 7
};
/* "said", "uri", "digest", "symlink", "run". */
const char *same_rule_name(int64_t rule);

/* A new data set of MLflow. */
struct place_dataset {
    struct core *core;
    struct arena *arena;
    int64_t uid;
    struct str source_type, source, digest;
};
enum status place_dataset(struct group *g, const struct place_dataset *d, struct err *err);

/* A new artifact of a declared type with a URI, or one whose URI or digest changed. digest: p NULL = none. */
struct place_artifact {
    struct core *core;
    struct arena *arena;
    int64_t uid;
    struct str uri, digest;
    bool changed;
};
enum status place_artifact(struct group *g, const struct place_artifact *x, struct err *err);
/* A new data set of OpenLineage: makes its place, and is what is there. */
struct place_named {
    struct core *core;
    struct arena *arena;
    int64_t uid;
    struct str ns, name;
};
enum status place_named(struct group *g, const struct place_named *x, struct err *err);
/* The rows of ol_symlink of a data set are others now: what they say is the same, and what none says any more is not. */
enum status place_symlinks(struct group *g, struct arena *a, int64_t uid, struct err *err);
/* A new run of OpenLineage: the run of MLflow whose id are the digits of its UUID is the same, if it is there by now. */
enum status place_run(struct group *g, struct arena *a, int64_t uid, const unsigned char id[16],
                      struct err *err);

/* Whether there are places: without them, the digest of an artifact need not be looked for. */
enum status place_any(struct group *g, struct core *core, bool *any, struct err *err);

/* The URI of a place and its digest in one key. ST_NOMEM is the only failure. */
enum status place_key(struct arena *a, struct str uri, struct str digest, struct str *key,
                      struct err *err);
/* The rule by which a node is tied to a place; 0: it cannot be. */
int64_t place_rule(int64_t type, bool place_has_digest);

/* The next step of what is left to do. ST_END: nothing is. */
enum status place_step(struct group *g, struct core *core, struct arena *a, struct err *err);

/* Other servers wrote: whether there are places is not known any more. */
void place_forget(struct core *core);

#endif
