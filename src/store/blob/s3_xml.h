/* store/blob/s3_xml.h - what of XML the answers of S3 need: the text of elements, in order.
 * Not a parser of XML: no attributes, no namespaces, no DTD; what is not an element that was asked for is passed over.
 * Ownership: results borrow from the input, or lie in the arena where an entity had to be replaced. Thread rule: pure. */
#ifndef CAIRN_STORE_BLOB_S3_XML_H
#define CAIRN_STORE_BLOB_S3_XML_H

#include "base/arena.h"

/* The content between the next <name ...> and its </name>, with what follows left in *rest; false when there is none. An element
 * of the same name inside is not looked for: S3 nests none. "<name/>" gives empty text. */
bool s3_xml_next(struct str *rest, const char *name, struct str *content);
/* The first one; p NULL if there is none. */
struct str s3_xml_find(struct str xml, const char *name);
/* With the five entities and numeric ones below 128 replaced; p NULL when memory is out. */
struct str s3_xml_text(struct arena *a, struct str content);
/* Milliseconds UTC of "2026-11-21T11:32:57.000Z" (any fraction, or none); -1 for anything else. */
int64_t s3_xml_time(struct str text);

#endif
