/* api/kubeflow/filter.h - filterQuery: comparisons of properties joined by AND, OR and parentheses.
 *   accuracy > 0.95 AND framework.string_value = "x"     name LIKE 'bert%'     `my key` IN (1, 2.5)
 * A property is one of the resource's own or else a custom one; a suffix (.string_value, .int_value, .double_value, .bool_value)
 * or the literal says which type of a custom property is meant: an integer finds integers and doubles, a float doubles only.
 * A property that a row does not have matches nothing, not even != . Errors begin with "invalid filter query".
 * Bounds: KF_FILTER_TEXT_MAX bytes, KF_FILTER_DEPTH_MAX parentheses, KF_FILTER_TERMS_MAX comparisons and list items.
 * Ownership: everything lives in the arena of the parser. Thread rule: one thread at a time. */
#ifndef CAIRN_API_KUBEFLOW_FILTER_H
#define CAIRN_API_KUBEFLOW_FILTER_H

#include "base/arena.h"

enum { KF_FILTER_TEXT_MAX = 65536, KF_FILTER_DEPTH_MAX = 64, KF_FILTER_TERMS_MAX = 1000 };

enum kf_type { KF_NONE, KF_TEXT, KF_INT, KF_DOUBLE, KF_BOOL };
struct kf_value {
    enum kf_type type;
    struct str text;
    int64_t i; /* also of KF_BOOL */
    double d;  /* also of KF_INT */
};

/* A property of the resource itself, and the type of its values. */
struct kf_known {
    const char *name;
    enum kf_type type;
};

struct kf_property {
    struct str name;
    const struct kf_known *known; /* NULL: a custom property */
    enum kf_type type;            /* of a custom one by its suffix; KF_NONE = by the literal */
};

struct kf_filter;

/* ST_INVALID. The text may be empty: every row matches then. known ends with a NULL name. */
enum status kf_filter_parse(struct kf_filter **out, struct str text, const struct kf_known *known,
                            struct arena *a, struct err *err);
/* Whether the row matches; get() gives the value of a property, KF_NONE = it has none. */
enum status kf_filter_match(const struct kf_filter *f,
                            enum status (*get)(void *row, const struct kf_property *p,
                                               struct kf_value *out, struct err *err),
                            void *row, bool *match, struct err *err);
/* Whether it asks for nothing. */
bool kf_filter_is_empty(const struct kf_filter *f);

#endif
