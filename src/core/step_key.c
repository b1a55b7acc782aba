/* core/step_key.c - see step_key.h. */
#include "core/step_key.h"
#include "base/buf.h"
#include "base/num.h"
#include <math.h>
#include <stdlib.h>

static const char *const names[] = { "", "step", "input", "code", "parameter", "environment" };

const char *step_section_name(enum step_section s)
{
    return (size_t)s < ARRAY_N(names) ? names[s] : "";
}

static int by_place(const void *a, const void *b)
{
    const struct step_entry *x = a, *y = b;

    return x->section != y->section ? (x->section > y->section) - (x->section < y->section)
                                    : str_cmp(x->name, y->name);
}

/* One pattern of bits for all NaNs, one zero. */
static uint64_t bits_of(double d)
{
    return num_double_bits(isnan(d) ? num_canonical_nan() : d == 0 ? 0.0 : d);
}

static void put_text(struct buf *b, struct str s)
{
    buf_put_u32(b, (uint32_t)s.n); /* checked: what is too long fails the buffer, too */
    buf_put_str(b, s);
}

static void put_entry(struct buf *b, const struct step_entry *e)
{
    buf_put_u8(b, (unsigned char)e->section);
    put_text(b, e->name);
    buf_put_u8(b, (unsigned char)e->type);
    switch (e->type) {
    case STEP_NULL: break;
    case STEP_INT: buf_put_u64(b, (uint64_t)e->i); break;
    case STEP_DOUBLE: buf_put_u64(b, bits_of(e->d)); break;
    case STEP_TEXT:
    case STEP_JSON: put_text(b, e->s); break;
    case STEP_BOOL: buf_put_u8(b, e->i != 0); break;
    case STEP_DIGEST: buf_put(b, e->digest.b, sizeof(e->digest.b)); break;
    }
}

static enum status check(const struct step_entry *e, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *section = step_section_name(e[i].section);

        if (e[i].name.n > STEP_NAME_MAX ||
            (e[i].section == STEP_NAME && e[i].s.n > STEP_NAME_MAX)) {
            return err_field(err, ST_INVALID, section, "a name has at most %d bytes",
                             STEP_NAME_MAX);
        }
        if (i && by_place(&e[i - 1], &e[i]) == 0) {
            return err_field(err, ST_INVALID, section, "'%.*s' is given twice", STR_ARG(e[i].name));
        }
    }
    return OK;
}

enum status step_key_make(struct arena *a, struct step_entry *e, size_t n, struct str *bytes,
                          struct digest *key, struct err *err)
{
    struct buf b = BUF_INIT(STEP_BYTES_MAX);
    enum status st;

    *bytes = (struct str){ NULL, 0 };
    if (n > STEP_ENTRIES_MAX) {
        return err_set(err, ST_TOO_BIG, "a step has at most %d inputs, parameters and so on",
                       STEP_ENTRIES_MAX);
    }
    if (n) {
        qsort(e, n, sizeof(*e), by_place);
    }
    st = check(e, n, err);
    if (st) {
        return st;
    }
    buf_put_u8(&b, STEP_KEY_VERSION);
    for (size_t i = 0; i < n; i++) {
        put_entry(&b, &e[i]);
    }
    st = buf_status(&b, "what went into the step", err);
    if (!st) {
        *bytes = arena_str(a, buf_str(&b));
        st = bytes->p && sha256_of(b.p, b.n, key) ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

/* ---- back ------------------------------------------------------------------------------------------------------------------ */

static void read_entry(struct rd *r, struct step_entry *e)
{
    struct str digest;
    uint64_t bits;

    *e = (struct step_entry){ .section = (enum step_section)rd_u8(r) };
    e->name = rd_bytes(r, rd_u32(r));
    e->type = (enum step_type)rd_u8(r);
    switch (e->type) {
    case STEP_NULL: break;
    case STEP_INT: e->i = (int64_t)rd_u64(r); break;
    case STEP_DOUBLE:
        bits = rd_u64(r);
        e->d = num_bits_double(bits);
        r->bad = r->bad || bits_of(e->d) != bits;
        break;
    case STEP_TEXT:
    case STEP_JSON: e->s = rd_bytes(r, rd_u32(r)); break;
    case STEP_BOOL:
        e->i = rd_u8(r);
        r->bad = r->bad || e->i > 1;
        break;
    case STEP_DIGEST:
        digest = rd_bytes(r, sizeof(e->digest.b));
        if (!r->bad) {
            memcpy(e->digest.b, digest.p, sizeof(e->digest.b));
        }
        break;
    default: r->bad = true;
    }
    r->bad = r->bad || e->section < STEP_NAME || e->section > STEP_ENVIRONMENT ||
             e->name.n > STEP_NAME_MAX || (e->section == STEP_NAME && e->s.n > STEP_NAME_MAX);
}

enum status step_key_read(struct arena *a, struct str bytes, struct step_entries *out,
                          struct err *err)
{
    struct rd r = rd_of(bytes.p, bytes.n);

    out->n = 0;
    if (bytes.n > STEP_BYTES_MAX || rd_u8(&r) != STEP_KEY_VERSION) {
        r.bad = true;
    }
    while (!r.bad && rd_left(&r) && out->n < STEP_ENTRIES_MAX) {
        struct step_entry *e;

        if (!arena_grow(a, (void **)&out->p, out->n, &out->cap, sizeof(*out->p))) {
            return err_nomem(err);
        }
        e = &out->p[out->n++];
        read_entry(&r, e);
        r.bad = r.bad || (out->n > 1 && by_place(e - 1, e) >= 0);
    }
    return r.bad || rd_left(&r) ? err_set(err, ST_CORRUPT, "the bytes of a step's key are damaged")
                                : OK;
}

struct str step_key_text(struct arena *a, const struct digest *key)
{
    char hex[65];

    digest_hex(key, hex);
    return arena_str(a, str_of(hex, 64));
}

/* ---- two of them ------------------------------------------------------------------------------------------------------------- */

static bool same_value(const struct step_entry *a, const struct step_entry *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case STEP_NULL: return true;
    case STEP_INT:
    case STEP_BOOL: return a->i == b->i;
    case STEP_DOUBLE: return bits_of(a->d) == bits_of(b->d);
    case STEP_TEXT:
    case STEP_JSON: return str_eq(a->s, b->s);
    case STEP_DIGEST: return digest_eq(&a->digest, &b->digest);
    }
    return false;
}

size_t step_key_differ(const struct step_entry *before, size_t before_n,
                       const struct step_entry *now, size_t now_n, struct step_difference *out,
                       size_t max)
{
    size_t i = 0, k = 0, n = 0;

    while (i < before_n || k < now_n) {
        int order = i == before_n ? 1 : k == now_n ? -1 : by_place(&before[i], &now[k]);
        struct step_difference d = { order <= 0 ? &before[i] : NULL, order >= 0 ? &now[k] : NULL };

        i += order <= 0;
        k += order >= 0;
        if (order == 0 && same_value(d.before, d.now)) {
            continue;
        }
        if (n < max) {
            out[n] = d;
        }
        n++;
    }
    return n;
}
