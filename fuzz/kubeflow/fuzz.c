/* What clients of Kubeflow's registry send as text: a filter that is read can be asked about any row; custom properties that are read are
 * written and read as the same; a name that has a stored form comes back from it, and every stored name from its shown form. */
#include "api/kubeflow/custom.h"
#include "api/kubeflow/filter.h"
#include "api/kubeflow/kubeflow_int.h"
#include "base/utf8.h"
#include "core/props.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 8 << 20 };

static const struct kf_known known[] = { { "id", KF_INT },
                                         { "state", KF_TEXT },
                                         { "name", KF_TEXT },
                                         { "value", KF_NONE },
                                         { NULL, KF_NONE } };

/* The row is the property's own name: long ones are text, others numbers. */
static enum status get(void *row, const struct kf_property *p, struct kf_value *out,
                       struct err *err)
{
    (void)err;
    *out = (struct kf_value){ .type = (enum kf_type)(p->name.n % 5),
                              .text = p->name,
                              .i = (int64_t)p->name.n,
                              .d = (double)p->name.n };
    *(size_t *)row += 1;
    return OK;
}

static void check_filter(struct str text, struct arena *a)
{
    struct err err = ERR_INIT;
    struct kf_filter *f;
    size_t asked = 0;
    bool match = false;

    if (kf_filter_parse(&f, text, known, a, &err)) {
        CHECK(str_starts(str_cstr(err.message), S("invalid filter query")));
        return;
    }
    CHECK(kf_filter_match(f, get, &asked, &match, &err) == OK);
    CHECK(!kf_filter_is_empty(f) || (match && asked == 0));
}

static void check_custom(struct str text, struct arena *a)
{
    struct buf once = BUF_INIT(TEXT_MAX), twice = BUF_INIT(TEXT_MAX);
    struct err err = ERR_INIT;
    struct props props;

    if (kf_custom_parse(text, a, &props, &err) == OK) {
        kf_custom_put(&once, &props);
        if (!once.failed) {
            CHECK(kf_custom_parse(buf_str(&once), a, &props, &err) == OK);
            kf_custom_put(&twice, &props);
            CHECK(str_eq(buf_str(&once), buf_str(&twice)));
        }
    } else {
        CHECK(err.message[0]);
    }
    buf_release(&once);
    buf_release(&twice);
}

static void check_names(struct str text, bool model, struct arena *a)
{
    struct err err = ERR_INIT;
    struct str shown, stored;

    /* No stored name of a model has these. */
    if (!model ||
        (str_find_byte(text, '/', 0) == SIZE_MAX && str_find_byte(text, ':', 0) == SIZE_MAX)) {
        shown = kf_name_shown(a, text, model);
        CHECK(shown.p && kf_name_stored(a, shown, model, &stored, &err) == OK);
        CHECK(str_eq(stored, text));
    }
    if (kf_name_stored(a, text, model, &stored, &err) == OK) {
        CHECK(str_eq(kf_name_shown(a, stored, model), text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct str text = str_of(data, n);

    CHECK(a);
    if (utf8_valid(text)) {
        check_filter(text, a);
        check_custom(text, a);
        check_names(text, true, a);
        check_names(text, false, a);
    }
    arena_free(a);
    return 0;
}
