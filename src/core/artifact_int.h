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

/* The refusals of an upload whose path leads through a file, or ends at a directory. */
enum status artifact_is_a_file(struct str path, struct err *err);
enum status artifact_is_a_directory(struct str path, struct err *err);
/* Inside validate() of `first`, an upload whose bytes are small: names it and those that wait right behind it, in artifact_many.c. Each
 * is decided afterwards, or is to be named alone. When it fails, nothing of the group can be committed. */
enum status artifact_put_many(struct group *g, struct artifact_put *first, struct err *err);

#endif
