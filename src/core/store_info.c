/* core/store_info.c - see store_info.h. */
#include "core/store_info.h"
#include "store/sql/sql.h"

enum status store_info(struct view *v, struct store_info *out, struct err *err)
{
    enum status st;

    *out = (struct store_info){ .engine = sql_engine_name(sql_conn_engine(v->conn)) };
    st = sql_version_text(v->conn, v->arena, &out->database, err);
    st = st ? st : sql_schema_version(v->conn, &out->schema, err);
    return st ? st : sql_size_bytes(v->conn, &out->size_bytes, err);
}
