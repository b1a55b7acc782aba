/* core/step_int.h - shared by the files of core/step. */
#ifndef CAIRN_CORE_STEP_INT_H
#define CAIRN_CORE_STEP_INT_H

#include "core/step.h"
#include "core/typed/typed.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

static inline struct str step_key_bytes(const struct digest *key)
{
    return str_of((const char *)key->b, sizeof(key->b));
}

#endif
