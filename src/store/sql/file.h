/* store/sql/file.h - reading SQLite files of other programs, which may hold anything.
 *
 * The file is opened to be read only; its own triggers, views and functions are not trusted. Values come with the type that they have
 * in the file, whatever their column says. Errors: ST_NOT_FOUND without such a file, ST_CORRUPT for a damaged one or one that is no
 * database, ST_UNAVAILABLE while another program locks it, ST_TOO_BIG for a value of more than 64 MiB.
 * Ownership: the opener closes the file, after its rows. Thread rule: one thread at a time; blocks. */
#ifndef CAIRN_STORE_SQL_FILE_H
#define CAIRN_STORE_SQL_FILE_H

#include "base/arena.h"

struct sqlfile;
struct sqlfile_rows;

enum sqlfile_kind { SQLFILE_NULL, SQLFILE_INT, SQLFILE_REAL, SQLFILE_TEXT, SQLFILE_BLOB };
struct sqlfile_value {
    enum sqlfile_kind kind;
    int64_t i;
    double d;
    struct str s; /* of texts and blobs; valid until the next row */
};

enum status sqlfile_open(struct sqlfile **out, const char *path, struct err *err) ATTR_CHECK;
void sqlfile_close(struct sqlfile *f); /* NULL-safe */
/* Whether it has a table (no view) of that name. */
enum status sqlfile_has_table(struct sqlfile *f, const char *name, bool *out,
                              struct err *err) ATTR_CHECK;
/* text: constant SQL with the numbers of `in` as ?1, ?2, ... A table or column that is not there: ST_CORRUPT. */
enum status sqlfile_query(struct sqlfile *f, const char *text, const int64_t *in, int n,
                          struct sqlfile_rows **out, struct err *err) ATTR_CHECK;
/* The next row, its first n values; ST_END after the last. */
enum status sqlfile_next(struct sqlfile_rows *r, struct sqlfile_value *out, int n,
                         struct err *err) ATTR_CHECK;
void sqlfile_end(struct sqlfile_rows *r); /* NULL-safe */

#endif
