/* api/kubeflow/names.c - names of MLflow's registry as printable ASCII, one to one.
 *   stored -> shown: bytes beyond 0x20..0x7E become %XX; a '%' that two hex digits follow becomes %25, so that undoing is exact; in
 *   names of models %2F and %3A become '/' and ':', which cannot be stored there
 *   shown -> stored: the reverse; what does not come back the same has no stored name and is refused */
#include "api/kubeflow/kubeflow_int.h"
#include "base/num.h"

/* The byte that "%XX" at `at` stands for, -1 where there is none. */
static int escape_at(struct str s, size_t at)
{
    int high, low;

    if (s.p[at] != '%' || s.n - at < 3) {
        return -1;
    }
    high = num_hex_digit(s.p[at + 1]);
    low = num_hex_digit(s.p[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void put_escape(char *to, size_t *n, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";

    to[(*n)++] = '%';
    to[(*n)++] = digits[c >> 4];
    to[(*n)++] = digits[c & 15];
}

struct str kf_name_shown(struct arena *a, struct str stored, bool model)
{
    char *to = arena_alloc(a, stored.n * 3 + 1);
    size_t n = 0;

    for (size_t i = 0; to && i < stored.n; i++) {
        unsigned char c = (unsigned char)stored.p[i];
        int escape = escape_at(stored, i);

        if (model && (escape == '/' || escape == ':') && stored.p[i + 2] < 'a') {
            to[n++] = (char)escape;
            i += 2;
        } else if (escape >= 0 || c < 0x20 || c > 0x7e) {
            put_escape(to, &n, c);
        } else {
            to[n++] = (char)c;
        }
    }
    return to ? str_of(to, n) : (struct str){ NULL, 0 };
}

enum status kf_name_check(struct str name, const char *field, struct err *err)
{
    if (name.n == 0) {
        return err_field(err, ST_INVALID, field, "%s must not be empty", field);
    }
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] < 0x20 || name.p[i] > 0x7e) {
            return err_field(err, ST_INVALID, field, "%s must be printable ASCII characters",
                             field);
        }
    }
    return name.n <= CATALOG_NAME_MAX
               ? OK
               : err_field(err, ST_INVALID, field, "%s exceeds %d characters", field,
                           CATALOG_NAME_MAX);
}

enum status kf_name_stored(struct arena *a, struct str shown, bool model, struct str *out,
                           struct err *err)
{
    char *to = arena_alloc(a, shown.n * 3 + 1);
    struct str back;
    size_t n = 0;

    if (!to) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < shown.n; i++) {
        int escape = escape_at(shown, i);

        if (model && (shown.p[i] == '/' || shown.p[i] == ':')) {
            put_escape(to, &n, (unsigned char)shown.p[i]);
        } else if (escape >= 0) {
            to[n++] = (char)escape;
            i += 2;
        } else {
            to[n++] = shown.p[i];
        }
    }
    *out = str_of(to, n);
    back = kf_name_shown(a, *out, model);
    if (!back.p) {
        return err_nomem(err);
    }
    return str_eq(back, shown)
               ? OK
               : err_field(err, ST_INVALID, "name",
                           "name: '%.*s' holds a percent escape that no name is shown with; write "
                           "the character itself, or %%25 for '%%'",
                           STR_ARG(shown));
}

struct str kf_item_name(struct arena *a, const struct catalog_item *it)
{
    bool of_model =
        it->kind == CATALOG_MODEL || it->type == TYPE_MODEL || it->type == TYPE_MLFLOW_LOGGED_MODEL;

    return of_model || it->kind == CATALOG_EXPERIMENT || it->kind == CATALOG_RUN
               ? kf_name_shown(a, it->name, of_model)
               : it->name;
}
