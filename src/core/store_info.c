/* core/store_info.c - see store_info.h. */
#include "core/store_info.h"
#include "base/mem.h"
#include "core/fragments.h"
#include "store/mkeys.h"
#include "store/runcols/runcols.h"
#include "store/seq.h"
#include "store/sql/sql.h"

void store_memory(struct core *core, struct store_memory *out)
{
    struct runcols_stats columns;
    struct seq_stats s;

    seq_stats(core->seq, &s);
    runcols_stats(core->columns, &columns);
    *out = (struct store_memory){ .all = (uint64_t)MAX_OF(mem_bytes(), (int64_t)0),
                                  .peak = (uint64_t)MAX_OF(mem_peak_bytes(), (int64_t)0),
                                  .columns = columns.bytes,
                                  .heads = s.heads_bytes,
                                  .keys = mkeys_bytes(core->mkeys),
                                  .tails = s.tails_bytes,
                                  .answers = fragments_bytes(core->fragments) };
}

enum status store_info(struct view *v, struct store_info *out, struct err *err)
{
    enum status st;

    *out = (struct store_info){ .engine = sql_engine_name(sql_conn_engine(v->conn)) };
    st = sql_version_text(v->conn, v->arena, &out->database, err);
    st = st ? st : sql_schema_version(v->conn, &out->schema, err);
    return st ? st : sql_size_bytes(v->conn, &out->size_bytes, err);
}
