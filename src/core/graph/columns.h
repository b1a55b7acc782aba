/* core/graph/columns.h - lineage by column: which columns of a data set a run used, and which columns were made of which.
 * A run that read a data set used all its columns, as its schema names them, unless somebody said which: then those. Both are said for a
 * version of a data set (name and digest); a name that stands for several nodes (a data set of several experiments) is said for all of
 * them, and of what a run used, for those that the run read. A column is written column:DATASET.NAME, where DATASET is as in
 * dataset:DATASET; NAME may have dots in it.
 * A column cannot be made of itself, over whatever columns between: ST_INVALID. What stands already is not written again.
 * Ownership: a change borrows everything from its arena. Thread rule: as other write operations. */
#ifndef CAIRN_CORE_GRAPH_COLUMNS_H
#define CAIRN_CORE_GRAPH_COLUMNS_H

#include "core/graph/graph.h"
#include "store/seq.h"

enum {
    COLUMN_FACTS_MAX = 1000, /* of one change, after names are resolved */
    COLUMN_NAME_MAX = 1000
};

struct column_use {
    struct str dataset; /* an input of the run */
    struct str *columns;
    size_t columns_n; /* at least 1 */
};
struct column_derived {
    struct str from, from_column, to, to_column;
    struct str kind; /* one of column_kinds; empty = other */
};
struct columns_change {
    struct write_op op;
    struct core *core;
    struct str run_id; /* who used and made them; empty: not said, and there are no uses */
    struct column_use *uses;
    size_t uses_n;
    struct column_derived *derived;
    size_t derived_n;
    bool undo; /* takes back; what nobody said is left as it is */
    bool has_claimed;
    int64_t claimed_ms; /* since when it holds; else now */
    /* out */
    size_t changed; /* facts */
};
void columns_change_init(struct columns_change *c, struct core *core, struct arena *a);

#endif
