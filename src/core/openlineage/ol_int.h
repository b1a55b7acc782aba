/* core/openlineage/ol_int.h - shared by the files of this folder. */
#ifndef CAIRN_CORE_OPENLINEAGE_OL_INT_H
#define CAIRN_CORE_OPENLINEAGE_OL_INT_H

#include "base/buf.h"
#include "base/map.h"
#include "core/openlineage/openlineage.h"
#include "gen/sql/queries.h"
#include "store/series/body.h"
#include "store/sql/sql.h"

/* When something was said: which of two statements holds does not depend on which came first. */
struct ol_stamp {
    int64_t us, h;
};
#define OL_STAMP_NONE ((struct ol_stamp){ INT64_MIN, INT64_MIN })
static inline bool ol_newer(struct ol_stamp a, struct ol_stamp b)
{
    return a.us != b.us ? a.us > b.us : a.h > b.h;
}
static inline bool ol_stamp_eq(struct ol_stamp a, struct ol_stamp b)
{
    return a.us == b.us && a.h == b.h;
}

/* ---- facets (body.c) -------------------------------------------------------------------------------------------------------- */

struct ol_cell {
    struct str key, json; /* json: p NULL when it is gone, or lies outside */
    bool first;           /* rows and links are made of it */
    struct ol_stamp at;
    bool gone, outside;
    int64_t h, h2; /* of a value that lies outside, in ol_value */
};
/* In order: those that rows and links are made of, then by key. */
struct ol_cells {
    struct ol_cell *p;
    size_t n, cap;
};
struct ol_cell *ol_cell_find(const struct ol_cells *c, struct str key);
/* Room for one that is not there: gone, at OL_STAMP_NONE. Of more than OL_CELLS_MAX the first ones stay, so that the same ones do in every
 * order; *out NULL: this one is left out. Cells may move. */
enum status ol_cell_add(struct ol_cells *c, struct arena *a, struct str key, struct ol_cell **out,
                        struct err *err);

/* One input or output of a run. */
struct ol_io_entry {
    enum ol_dir dir;
    bool on; /* its link stands */
    int64_t dataset;
    int64_t first_us;
    struct ol_stamp last;
    struct ol_stamp version_at; /* of `text` */
    struct str text;            /* the version that was said; p NULL = none was */
    int64_t
        version; /* other end of its link, 0 = none; of an input without text it is in ol_read */
    int64_t
        own; /* of an output: the version of the run's own, if it was made; of an input: the one that it may not be bound to */
    bool is_read;        /* of an input: it has a row in ol_read */
    bool touched, moved; /* while an event is taken in: it is named; first_us is another one now */
    struct ol_cells facets; /* of an output: of the data set as the run made it */
    struct ol_cells io_facets;
};

/* What a run's body holds beyond its columns. */
struct ol_run_body {
    struct ol_cells facets;
    int job_said; /* 1: an event of its own named the job; 0: a parent facet did */
    struct ol_stamp job_at;
    struct ol_stamp end_at; /* of the event that ended it */
    struct ol_stamp emission_at;
    bool is_snapshot;
    struct ol_stamp io_at; /* of the newest event that names inputs or outputs */
    struct ol_io_entry *io;
    size_t io_n, io_cap;
};
void ol_cells_encode(struct buf *b, const struct ol_cells *c);
/* Into the arena, texts too; false when it is damaged, or memory is out (*nomem). */
bool ol_cells_decode(struct rd *r, struct arena *a, struct ol_cells *c, bool *nomem);
void ol_run_encode(struct buf *b, const struct ol_run_body *x);
enum status ol_run_decode(struct str body, struct arena *a, struct ol_run_body *x, struct err *err);
/* A job's: facets and the stamp of its newest run; a data set's: facets and its version without a name. */
void ol_thing_encode(struct buf *b, const struct ol_cells *c, struct ol_stamp at, int64_t found);
enum status ol_thing_decode(struct str body, struct arena *a, struct ol_cells *c,
                            struct ol_stamp *at, int64_t *found, struct err *err);

/* ---- what is remembered (memo.c) -------------------------------------------------------------------------------------------- */

#define OL_NO_EVENT INT64_MIN
enum ol_what { OL_A_NS, OL_A_JOB, OL_A_DATASET, OL_A_RUN, OL_A_VERSION, OL_AN_IO };
struct ol_obj {
    enum ol_what what;
    bool dirty;
    struct ol_obj *next; /* dirty ones */
    int64_t uid;
    int64_t create_us, update_us; /* update_us: OL_NO_EVENT while no event has named it */
};
struct ol_space {
    struct ol_obj obj;
    struct str name;
};
struct ol_job {
    struct ol_obj obj;
    struct ol_space *space;
    struct str name;
    int64_t run;
    struct ol_stamp run_at;
    struct ol_cells facets;
};
struct ol_set {
    struct ol_obj obj;
    struct ol_space *space;
    struct str name;
    int64_t found; /* the version before any that is known, 0 = none was needed */
    struct ol_cells facets;
    bool has_top; /* the newest version: top 0 = there is none */
    int64_t top, top_us, top_ord;
    bool has_read; /* the newest of ol_read, INT64_MIN = there is none */
    int64_t read_us;
};
struct ol_run {
    struct ol_obj obj;
    unsigned char id[16];
    struct str text;
    int64_t job, parent, parent_job, root;
    enum ol_state state;
    bool has_start, has_end, has_nominal_start, has_nominal_end;
    int64_t start_us, end_us, nominal_start_us, nominal_end_us;
    struct ol_run_body body;
    uint32_t *index; /* of body.io, where there are many; 0 = free, else 1 + place */
    size_t index_cap;
};
struct ol_version {
    struct ol_obj obj; /* create_us: since when it is known */
    int64_t dataset, ord, run;
    bool live;
    struct str name;
    struct ol_cells facets;
};
struct ol_io {
    struct ol_obj obj;
    int64_t key[3]; /* job, dir, data set */
    int64_t last_us, said;
};

struct ol_memo {
    struct arena *arena; /* of all objects; NULL while nothing is remembered */
    struct str_map spaces, jobs, sets, runs, versions, ios;
    struct int_map sets_by_uid, versions_by_uid;
    struct ol_obj *dirty;
    struct zip zip;
};
/* One operation at work. */
struct ol_work {
    struct group *g;
    struct core *core;
    struct sql_conn *c;
    struct arena *a; /* of the operation */
    struct ol_memo *m;
    struct ol_stamp at; /* of the event */
    int64_t now_ms;
};

/* Room for an operation: begins anew when much is remembered. */
enum status ol_memo_ready(struct ol_memo *m, struct err *err);
void ol_dirty(struct ol_work *w, struct ol_obj *o);
/* The event names it. */
void ol_touch(struct ol_work *w, struct ol_obj *o);
/* Each is made if it is not there; the event names it. */
enum status ol_get_job(struct ol_work *w, const struct ol_name *name, struct ol_job **out,
                       struct err *err);
enum status ol_get_set(struct ol_work *w, const struct ol_name *name, struct ol_set **out,
                       struct err *err);
enum status ol_get_run(struct ol_work *w, const struct ol_run_ref *ref, struct ol_run **out,
                       struct err *err);
/* The version of a data set that is called by name (p NULL: the one of run's own, or with run 0 the one before any); *made: it was not
 * there. Known since us, live as said, if it is made. */
enum status ol_get_version(struct ol_work *w, int64_t dataset, struct str name,
                           const struct ol_run *run, int64_t us, struct ol_version **out,
                           bool *made, struct err *err);
/* A version that lives is a member of its data set. */
enum status ol_version_of_set(struct ol_work *w, const struct ol_version *v, bool is,
                              struct err *err);
enum status ol_set_of_uid(struct ol_work *w, int64_t uid, struct ol_set **out, struct err *err);
enum status ol_get_io(struct ol_work *w, int64_t job, enum ol_dir dir, int64_t dataset,
                      struct ol_io **out, struct err *err);
struct ol_io_entry *ol_entry_of(const struct ol_run *run, enum ol_dir dir, int64_t dataset);
struct ol_io_entry *ol_entry_add(struct ol_work *w, struct ol_run *run, enum ol_dir dir,
                                 int64_t dataset);
/* What the event says of facets; deletes: _deleted takes one away. */
enum status ol_facets_say(struct ol_work *w, struct ol_obj *owner, struct ol_cells *c,
                          const struct ol_facet *f, size_t n, bool deletes, struct err *err);
/* Everything that is dirty becomes rows; only_versions: of versions. */
enum status ol_flush(struct ol_work *w, bool only_versions, struct err *err);

/* ---- links ------------------------------------------------------------------------------------------------------------------- */

enum status ol_edge_add(struct ol_work *w, int64_t src, int64_t dst, enum edge_role role,
                        int64_t us, struct err *err);
/* us: when the link began, or before: it was never there, says who knows better now. */
enum status ol_edge_drop(struct ol_work *w, int64_t src, int64_t dst, enum edge_role role,
                         int64_t us, struct err *err);
/* What the event says (derive.c). */
enum status ol_derive(struct ol_work *w, struct ol_event *e, int64_t *run, int64_t *job,
                      int64_t *dataset, struct err *err);
/* versions.c: brings the links of a run in line with its body. all: of all entries, else of those that are touched. */
enum status ol_settle(struct ol_work *w, struct ol_run *run, bool all, struct err *err);
/* The version of a data set without a name is there, once something reads it. */
enum status ol_version_found(struct ol_work *w, struct ol_set *set, struct err *err);
/* A version of a data set is named by an event: it is known since then at the latest. */
enum status ol_version_named(struct ol_work *w, struct ol_set *set, struct str name,
                             struct ol_version **out, struct err *err);
/* columns.c: what facets say of columns and of whole data sets. job NULL: an event of the data set itself. */
enum status ol_columns_say(struct ol_work *w, struct ol_job *job, struct ol_set *set,
                           const struct ol_dataset *d, struct err *err);
enum status ol_links_say(struct ol_work *w, struct ol_job *job, int64_t of, bool holds,
                         const struct ol_said_link *links, size_t n, struct err *err);

static inline int64_t ol_ms(int64_t us)
{
    return us == OL_EVER ? 0 : us >= 0 ? us / 1000 : -((-us + 999) / 1000);
}

#endif
