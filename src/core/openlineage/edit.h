/* core/openlineage/edit.h - what clients of the read API write: tags, and what is not shown any more.
 * What is hidden stays in the store and in answers of `why` and `impact`; an event that is newer than all that it had shows it again.
 * Ownership: a change borrows everything from its arena. Thread rule: as other write operations. */
#ifndef CAIRN_CORE_OPENLINEAGE_EDIT_H
#define CAIRN_CORE_OPENLINEAGE_EDIT_H

#include "core/openlineage/openlineage.h"

enum { OL_TAG_MAX = 250, OL_TAG_TEXT_MAX = 2000 };

enum ol_edit_kind {
    OL_EDIT_TAG, /* tag has this description; made if it is not there */
    OL_EDIT_TAG_ADD, /* the job, data set or (field) column has the tag; it is made if it is not there */
    OL_EDIT_TAG_REMOVE, /* it has not, whatever a facet says */
    OL_EDIT_HIDE        /* a job, a data set, or with an empty name the namespace */
};
struct ol_edit {
    struct write_op op;
    struct core *core;
    enum ol_edit_kind kind;
    bool is_job;
    struct ol_name name; /* of the job, else of the data set */
    struct str field;    /* of the data set; empty: the whole */
    struct str tag, description;
    /* out */
    int64_t uid;
};
void ol_edit_init(struct ol_edit *e, struct core *core, struct arena *a);

#endif
