/* store/places.c - see places.h. */
#include "store/places.h"

#include "gen/sql/queries.h"
#include "store/sql/sql.h"

enum status place_retire(struct sql_conn *w, const struct digest *sha256, int64_t gen,
                         uint64_t bytes, int64_t now_ms, struct err *err)
{
    int64_t n;

    return q_retired_add(w, str_of(sha256->b, sizeof(sha256->b)), gen, (int64_t)bytes,
                         now_ms + PLACE_GRACE_MS, &n, err);
}
