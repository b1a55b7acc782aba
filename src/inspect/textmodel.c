/* inspect/textmodel.c - LightGBM text, npy, and tar. */
#include "base/num.h"
#include "inspect/inspect_int.h"
#include <inttypes.h>

enum { LINE_MAX_BYTES = 16384, NPY_HEADER_MAX = 1 << 16, TAR_BLOCK = 512, TAR_MEMBERS_MAX = 65536 };

/* ---- LightGBM ------------------------------------------------------------------------------------------------------------------ */

/* A line without its end; of a long one, the first bytes. False at the end. */
static bool next_line(struct flow *f, char *buf, struct str *out, enum status *st, struct err *err)
{
    size_t n = 0;
    bool any = false;

    while (!*st) {
        const unsigned char *p, *end;
        size_t got, take, keep;

        *st = flow_peek(f, LINE_MAX_BYTES, &p, &got, err);
        if (*st || !got) break;
        any = true;
        end = memchr(p, '\n', got);
        take = end ? (size_t)(end - p) : got;
        keep = MIN_OF(take, LINE_MAX_BYTES - n);
        memcpy(buf + n, p, keep);
        n += keep;
        flow_take(f, take + (end != NULL));
        if (end) break;
    }
    *out = str_trim(str_of(buf, n));
    return any && !*st;
}

enum status lightgbm_read(struct insp *x, struct flow *f, struct err *err)
{
    static const struct str kept[] = { S_INIT("version"),
                                       S_INIT("num_class"),
                                       S_INIT("objective"),
                                       S_INIT("max_feature_idx"),
                                       S_INIT("num_tree_per_iteration"),
                                       S_INIT("boosting") };
    char *buf = arena_alloc(x->arena, LINE_MAX_BYTES);
    uint64_t trees = 0, leaves = 0, n;
    bool ended = false, header = true;
    struct str line;
    enum status st = buf ? OK : err_nomem(err);

    insp_format(x, "lightgbm");
    while (!st && next_line(f, buf, &line, &st, err)) {
        size_t eq = str_find_byte(line, '=', 0);
        struct str key = str_sub(line, 0, eq == SIZE_MAX ? line.n : eq);
        struct str value = eq == SIZE_MAX ? S("") : str_sub(line, eq + 1, line.n);

        st = insp_item(x, err);
        ended = ended || str_eq_lit(line, "end of trees");
        if (str_eq_lit(key, "Tree")) {
            trees++;
            header = false;
        } else if (str_eq_lit(key, "num_leaves") && num_parse_u64(value, &n)) {
            leaves += n;
        }
        for (size_t i = 0; header && i < ARRAY_N(kept); i++) {
            if (str_eq(key, kept[i])) {
                insp_pair_str(x, key, value);
                if (i == 0) {
                    x->r->producer = arena_printf(x->arena, "LightGBM format %.*s",
                                                  STR_ARG(str_sub(value, 0, 32)));
                }
            }
        }
    }
    insp_pair_u64(x, "trees", trees);
    insp_pair_u64(x, "leaves", leaves);
    return st || ended ? st : err_set(err, ST_CORRUPT, "the trees have no end");
}

/* ---- npy ----------------------------------------------------------------------------------------------------------------------- */

/* The value of a key of the header, a Python dictionary: 'descr': '<f8' */
static struct str header_value(struct str header, struct str key)
{
    size_t at = str_find(header, key);
    struct str rest;

    if (at == SIZE_MAX) {
        return S("");
    }
    rest = str_trim(str_sub(header, at + key.n, header.n));
    return rest.n && rest.p[0] == ':' ? str_trim(str_sub(rest, 1, rest.n)) : S("");
}

static bool npy_shape(struct str text, uint64_t *shape, unsigned *rank)
{
    size_t end = str_find_byte(text, ')', 0);
    struct str rest, part;

    *rank = 0;
    if (text.n == 0 || text.p[0] != '(' || end == SIZE_MAX) {
        return false;
    }
    rest = str_sub(text, 1, end - 1);
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.n == 0) continue;
        if (*rank >= INSPECT_RANK_MAX || !num_parse_u64(part, &shape[(*rank)++])) {
            return false;
        }
    }
    return true;
}

static enum status npy_header(struct insp *x, struct flow *f, struct str *out, struct err *err)
{
    unsigned char b[12];
    size_t n;
    char *p;
    enum status st = flow_read(f, b, 8, err);

    *out = S("");
    if (st) return st;
    st = flow_read(f, b + 8, b[6] == 1 ? 2 : 4, err);
    if (st) return st;
    n = b[6] == 1 ? le16(b + 8) : le32(b + 8);
    if (n > NPY_HEADER_MAX) {
        return err_set(err, ST_CORRUPT, "a header of %zu bytes", n);
    }
    p = arena_alloc(x->arena, n ? n : 1);
    if (!p) {
        return err_nomem(err);
    }
    *out = str_of(p, n);
    return flow_read(f, p, n, err);
}

enum status npy_read(struct insp *x, struct flow *f, struct err *err)
{
    uint64_t shape[INSPECT_RANK_MAX], bytes = 0;
    struct inspect_tensor t = { .shape = shape, .name = x->where, .place = S("") };
    struct str header, descr;
    bool is_pickle;
    enum status st = npy_header(x, f, &header, err);

    insp_format(x, "npy");
    if (st) return st;
    descr = header_value(header, S("'descr'"));
    if (!npy_shape(header_value(header, S("'shape'")), shape, &t.rank) || descr.n < 3) {
        return err_set(err, ST_CORRUPT, "a header that does not say type and shape");
    }
    if (descr.p[0] != '\'') {
        descr = S("records");
    } else {
        size_t end = str_find_byte(descr, '\'', 1);

        descr = str_sub(descr, 1, end == SIZE_MAX ? descr.n : end - 1);
    }
    t.dtype = insp_text(x, descr, 64);
    if (str_find_byte(descr, 'O', 0) != SIZE_MAX || str_find(header, S("|O")) != SIZE_MAX) {
        insp_finding(x, INSPECT_WARNING, "npy_objects",
                     "holds Python objects, which are a pickle in the file");
        return pickle_read(x, f, 0, &is_pickle, err);
    }
    if (descr.n > 2 && num_parse_u64(str_sub(descr, 2, descr.n), &bytes)) {
        bytes *= descr.p[1] == 'U' ? 4 : 1;
    }
    t.has_offset = !f->z;
    t.offset = f->pos;
    if (!shape_product(shape, t.rank, &t.elements) ||
        __builtin_mul_overflow(t.elements, bytes, &t.bytes)) {
        insp_finding(x, INSPECT_DANGER, "tensor_shape", "the shape overflows");
        return OK;
    }
    insp_tensor(x, &t, NULL);
    return bytes ? flow_skip(f, t.bytes, err) : OK;
}

/* ---- tar ----------------------------------------------------------------------------------------------------------------------- */

static bool octal(const unsigned char *p, size_t n, uint64_t *out)
{
    *out = 0;
    if (p[0] & 0x80) { /* base 256 */
        for (size_t i = n - 8; i < n; i++) {
            *out = *out << 8 | p[i];
        }
        return true;
    }
    for (size_t i = 0; i < n && p[i] && p[i] != ' '; i++) {
        if (p[i] < '0' || p[i] > '7') {
            return false;
        }
        *out = *out << 3 | (uint64_t)(p[i] - '0');
    }
    return true;
}

static enum status tar_member(struct insp *x, struct in *in, const unsigned char *b, uint64_t at,
                              uint64_t size, struct err *err)
{
    struct str where = x->where, name, link;
    struct in part;
    enum status st = OK;

    name = insp_text(x, str_of(b, strnlen((const char *)b, 100)), 100);
    link = insp_text(x, str_of(b + 157, strnlen((const char *)b + 157, 100)), 100);
    if (!name.p || !link.p) {
        return err_nomem(err);
    }
    x->where =
        where.n ? arena_printf(x->arena, "%.*s > %.*s", STR_ARG(where), STR_ARG(name)) : name;
    if (path_escapes(name) || ((b[156] == '1' || b[156] == '2') && path_escapes(link))) {
        insp_finding(x, INSPECT_DANGER, "tar_path", "leaves the folder when it is unpacked");
    } else if (b[156] == '3' || b[156] == '4') {
        insp_finding(x, INSPECT_DANGER, "tar_device", "is a device");
    }
    if (size && (b[156] == '0' || b[156] == '\0')) {
        part = in_part(in, at, size);
        st = inspect_part(x, &part, name, err);
    }
    x->where = where;
    return st;
}

enum status tar_read(struct insp *x, struct in *in, struct err *err)
{
    uint64_t at = 0, n = 0;
    enum status st = OK;

    insp_format(x, "tar");
    while (!st && in->size - at >= TAR_BLOCK) {
        unsigned char b[TAR_BLOCK];
        uint64_t size, sum, left;
        unsigned real = 0;

        st = insp_item(x, err);
        st = st ? st : in_read(in, at, b, sizeof(b), err);
        if (st || b[0] == 0) break;
        for (size_t i = 0; i < TAR_BLOCK; i++) {
            real += i >= 148 && i < 156 ? ' ' : b[i];
        }
        left = in->size - at - TAR_BLOCK;
        if (!octal(b + 148, 8, &sum) || sum != real || !octal(b + 124, 12, &size)) {
            return err_set(err, ST_CORRUPT, "no member at byte %" PRIu64, at);
        }
        if (size > left) {
            insp_finding_at(x, INSPECT_WARNING, "tar_truncated", at,
                            "a member goes beyond the end");
            size = left;
        }
        if (++n > TAR_MEMBERS_MAX) {
            return err_set(err, ST_TOO_BIG, "more than %d members", TAR_MEMBERS_MAX);
        }
        st = tar_member(x, in, b, at + TAR_BLOCK, size, err);
        at += TAR_BLOCK + MIN_OF((size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK, left);
    }
    return st;
}
