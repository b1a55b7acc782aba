/* core/check_int.h - what check.c and check_series.c share. */
#ifndef CAIRN_CORE_CHECK_INT_H
#define CAIRN_CORE_CHECK_INT_H

#include "base/map.h"
#include "core/check.h"
#include "gen/sql/queries.h"
#include "store/columns/columns.h"
#include "store/headbody.h"
#include "store/series/batch.h"

struct check {
    struct sql_conn *conn;
    check_report report;
    void *ctx;
    size_t found;
    struct arena *scratch; /* reset per row */
    struct int_map keys;   /* ids known to have a name */
    int64_t drain, mark;
};

void check_finding(struct check *c, enum check_rule rule, struct str what);
/* A finding when st is damage; then OK. Other statuses are passed on. */
enum status check_damage(struct check *c, enum check_rule rule, enum status st, struct err *err);
/* A finding when the id has no name. */
enum status check_need_key(struct check *c, enum check_rule rule, uint32_t id, const char *where,
                           int64_t n, struct err *err);

/* "run 4f2c... (its name)" or "model series 12"; in scratch. */
struct str check_owner_name(struct check *c, int64_t owner);
/* As check_damage(), the finding naming the owner. */
enum status check_damage_of(struct check *c, enum check_rule rule, int64_t owner, enum status st,
                            struct err *err);
/* "metric loss", "param lr", ...: what the key of a column names; in scratch. */
struct str check_key_name(struct check *c, struct column_key key);
bool check_record_names_run(const struct batch_record *rec);

/* check_columns.c: search columns at rest against the rows of the runs. */
enum status check_columns(struct check *c, struct err *err);

/* check_series.c */
enum status check_packs(struct check *c, struct err *err);
enum status check_chunks(struct check *c, struct err *err);
/* Latest values, extremes and counts of a run against its packs up to its version and its chunks. */
enum status check_points_of_head(struct check *c, const struct q_check_run_rows_row *row,
                                 const struct head_body *body, struct err *err);

#endif
