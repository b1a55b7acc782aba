/* core/registry_names.h - the names of all registered models in memory, so that a search among many does not read a row of each.
 * The list is derived from the rows and follows their history: every change of a name, a model's creation and removal, and of the tag
 * that makes a prompt appends to registry_log, so the log's last number says whether the list is current, on any server of the
 * database, and the models that the rows behind it name are those to read again. What else a model has is read from its rows.
 * Cost at 10,000 models: 16 MB of rows are not read; a search after a change reads the changed models and copies the list (0.1 ms).
 * The list is ordered as searches are when nobody says otherwise, so a page of those ends where it is full.
 * Ownership: a list belongs to its readers, each with a reference; the cache holds one. Thread rule: any thread. */
#ifndef CAIRN_CORE_REGISTRY_NAMES_H
#define CAIRN_CORE_REGISTRY_NAMES_H

#include "core/core.h"

enum { REGISTRY_NAMES_MAX = 200000, REGISTRY_NAMES_BYTES = 32 << 20 };

struct registry_name {
    int64_t uid, create_ms;
    struct str name;
    bool prompt;
};
struct registry_list {
    struct registry_name *p; /* by name, in byte order: no two are equal */
    size_t n;
    /* Private. */
    int64_t seq; /* of registry_log */
    size_t refs, bytes;
};
struct registry_names;

enum status registry_names_new(struct registry_names **out, struct err *err);
void registry_names_free(struct registry_names *c); /* NULL-safe */
/* The list with everything that was acknowledged before the call; *out NULL when there are too many models or names are too
 * long: then the rows have to be read. */
enum status registry_names_get(struct view *v, struct registry_list **out, struct err *err);
void registry_names_put(struct registry_names *c, struct registry_list *list); /* NULL-safe */

#endif
