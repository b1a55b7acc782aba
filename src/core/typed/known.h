/* core/typed/known.h - what every read of nodes of declared types begins with, in memory: the numbers of namespaces and types.
 * Kept is only what never changes while a row is there (a namespace's number, a type's numbers), and rows of either are never deleted;
 * what is not kept is asked for. Only what has been committed is kept: what a reading connection has seen.
 * Ownership: copies of its own. Thread rule: any thread. */
#ifndef CAIRN_CORE_TYPED_KNOWN_H
#define CAIRN_CORE_TYPED_KNOWN_H

#include "core/typed/typed.h"

enum {
    TYPED_KNOWN_MAX = 4096,  /* namespaces, and types, before both are forgotten and begun anew */
    TYPED_KNOWN_BYTES = 512, /* of a name; longer ones are asked for each time */
    TYPED_KNOWN_WHOLE = 64,  /* whole types */
    TYPED_KNOWN_DECLS = 256, /* properties of one */
    TYPED_ANSWER_BYTES = 4096,
    TYPED_ANSWERS = 4096, /* before all are forgotten and begun anew */
    TYPED_ANSWERS_BYTES = 4 << 20
};

struct typed_known;
enum status typed_known_new(struct typed_known **out, struct err *err) ATTR_CHECK;
void typed_known_free(struct typed_known *k); /* NULL-safe */
/* The database may be another one than before: a server took over, and the last commits may be lost. */
void typed_known_forget(struct typed_known *k);

/* The number of a namespace of which the name is given. ST_NOT_FOUND without text. */
enum status typed_known_space(struct view *v, struct str name, int64_t *out, struct err *err);
/* uid and id of the type that `key` names; it has kind, name and version (NULL p: none). ST_NOT_FOUND without text. */
enum status typed_known_type(struct view *v, int64_t ns, struct typed_type *key, struct err *err);

/* Types as puts need them: their numbers, and what they declare, which may grow; nothing else is filled in. On the sequencer's thread,
 * inside validate() only: what a group changes is forgotten before and, if the operation or the group fails, after it. `out` points
 * into memory until the next call of typed_known_keep() or typed_known_changing(). */
bool typed_known_whole(struct typed_known *k, int64_t ns, enum node_kind kind, int64_t id,
                       struct typed_type *out);
/* Keeps a copy, if there is room. */
void typed_known_keep(struct typed_known *k, int64_t ns, const struct typed_type *t);
/* Types are about to be changed. */
enum status typed_known_changing(struct typed_known *k, struct group *g, struct err *err);

/* Answers about nodes by the name of their type, without a version, and their own, as the tongue encodes them. A node that is changed
 * loses its answer when the group has committed, before anybody is told that it has. Any thread. */
struct typed_asked {
    enum node_kind kind;
    struct str type, name;
};
/* Only while seq_read_is_current(). The answer is copied to the arena. */
bool typed_known_answer(struct typed_known *k, struct str ns, const struct typed_asked *of,
                        struct arena *a, struct str *out);
/* Asked for before the node is read: what has changed since is not kept. */
uint64_t typed_known_moment(struct typed_known *k);
void typed_known_answer_keep(struct typed_known *k, int64_t ns, const struct typed_asked *of,
                             uint64_t moment, struct str answer);
/* Inside validate(): the node is about to be changed. */
enum status typed_known_node_changing(struct typed_known *k, struct group *g, int64_t ns,
                                      const struct typed_asked *of, struct err *err);
/* Memory is wanted for something else. */
void typed_known_answers_drop(struct typed_known *k);

#endif
