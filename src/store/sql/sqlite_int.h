/* store/sql/sqlite_int.h - what sqlite.c and file.c share. */
#ifndef CAIRN_STORE_SQL_SQLITE_INT_H
#define CAIRN_STORE_SQL_SQLITE_INT_H

#include "base/err.h"

/* SQLite is set up: before its first use, as often as one likes. Any thread. */
enum status sqlite_library(struct err *err) ATTR_CHECK;

#endif
