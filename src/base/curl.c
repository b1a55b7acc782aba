/* base/curl.c - loads libcurl. */
#include "base/curl.h"
#include "base/exec.h"
#include "base/mem.h"
#include <dlfcn.h>

struct curl_lib curl;

static const struct {
    const char *name;
    size_t at;
} symbols[] = {
#define CURL_ROW(name, result, parameters) { "curl_" #name, offsetof(struct curl_lib, name) },
    CURL_SYMBOLS(CURL_ROW)
#undef CURL_ROW
};

static void *zalloc(size_t n, size_t size)
{
    return mem_zalloc(n, size);
}

static bool find(void *lib)
{
    for (size_t i = 0; i < ARRAY_N(symbols); i++) {
        void *p = dlsym(lib, symbols[i].name);

        if (!p) {
            return false;
        }
        memcpy((char *)&curl + symbols[i].at, &p, sizeof(p));
    }
    return true;
}

static bool init(void *lib)
{
    CURLcode (*call)(long, curl_malloc_callback, curl_free_callback, curl_realloc_callback,
                     curl_strdup_callback, curl_calloc_callback);
    void *p = dlsym(lib, "curl_global_init_mem");

    if (!p) {
        return false;
    }
    memcpy(&call, &p, sizeof(p));
    return call(CURL_GLOBAL_DEFAULT, mem_alloc, mem_free, mem_realloc, mem_strdup, zalloc) ==
           CURLE_OK;
}

enum status curl_load(struct err *err)
{
    static struct lock once = LOCK_INIT(LOCK_RANK_LEAF);
    static bool loaded;
    enum status st = OK;

    lock_take(&once);
    if (!loaded) {
        void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

        lib = lib ? lib : dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
        loaded = lib && find(lib) && init(lib);
    }
    if (!loaded) {
        st = err_set(err, ST_NOT_IMPLEMENTED,
                     "talking to a server needs libcurl, which is not installed");
        err_hint(err, "install the package libcurl4");
    }
    lock_give(&once);
    return st;
}
