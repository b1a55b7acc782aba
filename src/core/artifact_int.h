/* core/artifact_int.h - shared by the files of the artifact tree. */
#ifndef CAIRN_CORE_ARTIFACT_INT_H
#define CAIRN_CORE_ARTIFACT_INT_H

#include "core/artifact.h"

#define PROXY_ROOT ARTIFACT_PROXY_SCHEME "/"

/* "a/b/c" -> "a/b", "c". */
void artifact_split(struct str path, struct str *dir, struct str *name);
/* The URIs of all roots below a path of the proxy: '0' follows '/' in byte order, so they are those that begin with "<path>/". */
enum status artifact_roots_range(struct arena *a, struct str path, struct str *from, struct str *to,
                                 struct err *err);

#endif
