/* store/sql/pg_lib.c - loads libpq on first use. See pg_int.h. */
#include "base/log.h"
#include "store/sql/pg_int.h"
#include <dlfcn.h>

struct pg_lib pq;

static const struct {
    const char *name;
    size_t at;
} symbols[] = {
#define PG_ROW(name) { #name, offsetof(struct pg_lib, name) },
    PG_SYMBOLS(PG_ROW)
#undef PG_ROW
};

static enum status load(struct err *err)
{
    void *lib = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    enum status st;

    if (!lib) {
        LOG_WARN("postgres", "libpq cannot be loaded: %s", dlerror());
        st = err_set(err, ST_NOT_IMPLEMENTED,
                     "PostgreSQL needs its client library, libpq, which is not installed");
        err_hint(err, "install the package libpq5");
        return st;
    }
    for (size_t i = 0; i < ARRAY_N(symbols); i++) {
        void *p = dlsym(lib, symbols[i].name);

        if (!p) {
            st = err_set(err, ST_NOT_IMPLEMENTED, "the installed libpq is too old: it has no %s",
                         symbols[i].name);
            err_hint(err, "install libpq 14 or later");
            return st;
        }
        memcpy((char *)&pq + symbols[i].at, &p, sizeof(p));
    }
    return OK;
}

enum status pg_load(struct err *err)
{
    static struct lock once = LOCK_INIT(LOCK_RANK_CACHE);
    static bool loaded;
    enum status st = OK;

    lock_take(&once);
    if (!loaded) st = load(err);
    loaded = st == OK;
    lock_give(&once);
    return st;
}
