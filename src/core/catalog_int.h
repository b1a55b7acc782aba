/* core/catalog_int.h - shared by the files of core/catalog. */
#ifndef CAIRN_CORE_CATALOG_INT_H
#define CAIRN_CORE_CATALOG_INT_H

#include "core/catalog.h"

/* Sets what is given of an item that is there, on the sequencer; v reads what the group has written. */
enum status catalog_apply_facts(struct group *g, struct view *v, struct str who,
                                const struct catalog_item *it, const struct catalog_facts *f,
                                struct err *err);
/* "experiment with name X already exists". */
enum status catalog_taken(enum catalog_kind kind, const char *field, struct str value,
                          struct err *err);

#endif
