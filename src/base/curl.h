/* base/curl.h - libcurl, loaded on first use.
 * Linked and initialised it would cost every process megabytes that most never need. It allocates through base/mem.
 * Thread rule: curl_load() any thread; a handle belongs to one thread at a time. */
#ifndef CAIRN_BASE_CURL_H
#define CAIRN_BASE_CURL_H

#include "base/err.h"
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

/* Member, symbol, result, parameters. */
#define CURL_SYMBOLS(ROW)                                                                          \
    ROW(easy_init, CURL *, (void))                                                                 \
    ROW(easy_setopt, CURLcode, (CURL *, CURLoption, ...))                                          \
    ROW(easy_perform, CURLcode, (CURL *))                                                          \
    ROW(easy_getinfo, CURLcode, (CURL *, CURLINFO, ...))                                           \
    ROW(easy_pause, CURLcode, (CURL *, int))                                                       \
    ROW(easy_reset, void, (CURL *))                                                                \
    ROW(easy_cleanup, void, (CURL *))                                                              \
    ROW(easy_strerror, const char *, (CURLcode))                                                   \
    ROW(slist_append, struct curl_slist *, (struct curl_slist *, const char *))                    \
    ROW(slist_free_all, void, (struct curl_slist *))                                               \
    ROW(multi_init, CURLM *, (void))                                                               \
    ROW(multi_add_handle, CURLMcode, (CURLM *, CURL *))                                            \
    ROW(multi_remove_handle, CURLMcode, (CURLM *, CURL *))                                         \
    ROW(multi_perform, CURLMcode, (CURLM *, int *))                                                \
    ROW(multi_poll, CURLMcode, (CURLM *, struct curl_waitfd *, unsigned, int, int *))              \
    ROW(multi_info_read, CURLMsg *, (CURLM *, int *))                                              \
    ROW(multi_setopt, CURLMcode, (CURLM *, CURLMoption, ...))                                      \
    ROW(multi_cleanup, CURLMcode, (CURLM *))

struct curl_lib {
#define CURL_ROW(name, result, parameters) result(*name) parameters;
    CURL_SYMBOLS(CURL_ROW)
#undef CURL_ROW
};
/* The calls; valid after curl_load(). */
extern struct curl_lib curl;

/* ST_NOT_IMPLEMENTED, with the package to install, when there is no libcurl on this machine. */
enum status curl_load(struct err *err) ATTR_CHECK;

#endif
