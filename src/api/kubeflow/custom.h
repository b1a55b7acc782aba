/* api/kubeflow/custom.h - customProperties as JSON: {"key": {"metadataType": "MetadataIntValue", "int_value": "3"}}.
 * Integers are text of at most nine digits, because clients take no others; a struct value is the base64 of a JSON object.
 * Thread rule: pure functions. */
#ifndef CAIRN_API_KUBEFLOW_CUSTOM_H
#define CAIRN_API_KUBEFLOW_CUSTOM_H

#include "base/buf.h"
#include "core/catalog.h"

/* ST_INVALID "customProperties: 'key' ...". At most CATALOG_PROPS_MAX. Texts lie in the arena or in the JSON. */
enum status kf_custom_parse(struct str json, struct arena *a, struct props *out, struct err *err);
/* Appends the object of those with scope PROP_CUSTOM. */
void kf_custom_put(struct buf *b, const struct props *props);

#endif
