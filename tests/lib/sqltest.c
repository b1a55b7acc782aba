/* tests/lib/sqltest.c - see sqltest.h. */
#include "sqltest.h"

static struct err err = ERR_INIT;

bool sqltest_is_postgres(const char *location)
{
    return str_starts(str_cstr(location), S("postgresql:"));
}

struct sql_db *sqltest_open(const char *location)
{
    struct sql_options opt = { .location = location };
    struct sql_db *db;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    return db;
}

struct sql_conn *sqltest_connect(struct sql_db *db, enum sql_role role)
{
    struct sql_conn *c;

    T_ST_ERR(sql_connect(&c, db, role, &err), OK, &err);
    return c;
}

void sqltest_script(struct sql_conn *c, const char *text)
{
    T_ST_ERR(sql_script(c, text, &err), OK, &err);
}

int64_t sqltest_int(struct sql_conn *c, const char *text)
{
    static const unsigned char out[] = { SQL_INT };
    static const char *const names[] = { "value" };
    struct sql_query q = { .name = "sqltest_int",
                           .text = { text, text },
                           .kind = SQL_ONE,
                           .out = out,
                           .out_n = 1,
                           .out_names = names };
    struct sql_value v[1] = { { .i = 0 } };

    T_ST_ERR(sql_one(c, &q, NULL, NULL, v, &err), OK, &err);
    return v[0].i;
}
