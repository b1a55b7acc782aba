/* inspect/datasource.h - where a data set is, as MLflow's clients say it: the JSON text that they make of a source. Any text comes.
 * Ownership: texts live in the arena or are part of the argument. Thread rule: pure. */
#ifndef CAIRN_INSPECT_DATASOURCE_H
#define CAIRN_INSPECT_DATASOURCE_H

#include "base/arena.h"

struct datasource {
    bool object;      /* the text is a JSON object: what follows counts */
    struct str place; /* uri, or url, or path; n 0 = none */
    struct str table; /* delta_table_name or table_name; n 0 = none */
    bool files;       /* data_files is something: the place is the name of a format */
};
/* ST_NOMEM is the only failure. */
enum status datasource_read(struct str text, struct arena *a, struct datasource *out,
                            struct err *err) ATTR_CHECK;

#endif
