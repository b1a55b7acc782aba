/* core/graph/data_uri.h - one spelling for the place of data, whichever protocol named it. Pure.
 *
 *     S3A://Bucket/a/  s3://Bucket/a            -> s3://Bucket/a
 *     /data/x.csv  file:/data/x.csv  file://localhost/data//x.csv -> file:///data/x.csv
 *     HTTPS://Host:443/%7Eme/x#top              -> https://host/~me/x
 *
 * - Schemes and the hosts of known schemes are small letters; default ports, users and passwords are left out; second names of a
 *   scheme become the first (s3a, s3n: s3; gcs: gs; abfs: abfss; wasb: wasbs; postgresql: postgres; bq: bigquery).
 * - A slash at the end is left out, also where there are several. Of http, fragments are, and percent-encoding is that of RFC 3986.
 * - Keys of object stores are their bytes: %20 is three characters, a//b is not a/b. Paths of files are decoded where they came as
 *   a URI, "//" and "/./" in them are "/", and "%" is %25 in what comes out, so that one path has one spelling.
 * - Control characters, and bytes of a decoded path that are not UTF-8, come out percent-encoded: the result is text.
 * What names no place by itself has none: a path without a beginning, a letter of a drive, data: and inmemory:, and what is no UTF-8.
 * The spelling of a spelling is itself.
 *
 * Ownership: results live in the arena, or are part of the argument. Thread rule: any thread. */
#ifndef CAIRN_CORE_GRAPH_DATA_URI_H
#define CAIRN_CORE_GRAPH_DATA_URI_H

#include "base/arena.h"

enum { DATA_URI_MAX = 8192, DATA_URI_SPELLINGS = 3 };

/* *out has p NULL where the text names no place, or has more than DATA_URI_MAX bytes. ST_NOMEM is the only failure. */
enum status data_uri(struct arena *a, struct str text, struct str *out, struct err *err) ATTR_CHECK;
/* Of a data set of OpenLineage. Namespace and name are joined with one slash. */
enum status data_uri_of_name(struct arena *a, struct str ns, struct str name, struct str *out,
                             struct err *err) ATTR_CHECK;
/* Of the source of a data set of MLflow: the JSON text that its client makes of it (uri, url, path; a table: table:NAME in small letters;
 * Hugging Face: hf://datasets/NAME), or a URI as it is. */
enum status data_uri_of_source(struct arena *a, struct str type, struct str source, struct str *out,
                               struct err *err) ATTR_CHECK;

/* How what is spelled so is mostly written: what is written otherwise needs a row to be found by. At most DATA_URI_SPELLINGS, each of
 * which data_uri() spells so. */
enum status data_uri_spellings(struct arena *a, struct str uri, struct str *out, size_t *n,
                               struct err *err) ATTR_CHECK;

#endif
