/* core/typed/import.h - rows of a store of others become types, nodes and links here, and what is what is remembered.
 *
 * A source is a name within a namespace; (source, kind, number there) -> node here is kept for ever, with the time at which the source
 * last changed the node. So rows may come again: only what is new or has changed there since is written, and what was changed here
 * stays as long as it does not change there. A row that cannot be taken is undone alone and says why; the others are taken.
 * Numbers stay what they were where nothing here has them; times of nodes and events do always.
 *
 * Ownership: what an operation points to is the caller's until done has run. Thread rule: typed_import_init any thread. */
#ifndef CAIRN_CORE_TYPED_IMPORT_H
#define CAIRN_CORE_TYPED_IMPORT_H

#include "core/typed/typed.h"

enum {
    TYPED_SOURCE_MAX = 500,             /* characters of the name of a source */
    TYPED_NUMBER_KEPT_MAX = 1000000000, /* larger numbers are given anew */
};

/* In the order in which they are to come. */
enum typed_import_what {
    TYPED_IMPORT_TYPES,
    TYPED_IMPORT_NODES,
    TYPED_IMPORT_PARENTS, /* pair: child, parent */
    TYPED_IMPORT_MEMBERS, /* pair: artifact or execution, context */
    TYPED_IMPORT_EVENTS,
    TYPED_IMPORT_RUNS, /* number of an execution, and the run that it is as well */
};
enum typed_outcome {
    TYPED_NONE,
    TYPED_TAKEN,
    TYPED_CHANGED,
    TYPED_UNCHANGED,
    TYPED_FOUND, /* a type or context of that name, from elsewhere, used as it is */
    TYPED_SKIPPED,
};

/* One row, with the numbers of the source. */
struct typed_import_row {
    struct typed_type type;
    struct typed_node node; /* with both of its times */
    struct typed_event event;
    struct typed_pair pair;
    int64_t number;
    struct str unreadable; /* why the row cannot be taken at all; p NULL otherwise */
    struct str run;        /* of TYPED_IMPORT_RUNS; in: empty to ask for it */
    /* out */
    struct str reason; /* of TYPED_SKIPPED */
    enum typed_outcome outcome;
    int64_t id, uid;  /* as shown here, and of the node */
    struct str found; /* the run */
};

struct typed_import {
    struct write_op op;
    struct core *core;
    struct str ns, who, source;
    enum typed_import_what what;
    enum node_kind kind; /* of types and nodes; of the members */
    struct typed_import_row *rows;
    size_t rows_n;
};
void typed_import_init(struct typed_import *in, struct core *core, struct arena *a);

#endif
