/* inspect/zip.c - zip archives, read twice: by the central directory at the end, and by the local headers before each member. Readers
 * differ in which one they trust, so whatever differs is a finding, and both views are looked into. */
#include "base/map.h"
#include "base/num.h"
#include "base/vec.h"
#include "inspect/inspect_int.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    END_BYTES = 22,
    END64_BYTES = 56,
    END64_SIZE_AT = 12, /* what the record says of its size leaves out so much */
    LOCATOR_BYTES = 20,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_MAX = 65535,
    MEMBERS_MAX = 1 << 16,
    NAME_KEPT = 512,
    CRC_MAX = 1 << 20,
    RATIO_MAX = 200, /* unpacked to packed, from BOMB_BYTES on */
    BOMB_BYTES = 64 << 20,
    GAP_SCAN_MAX = 8 << 20
};
#define SIG_LOCAL   0x04034b50u
#define SIG_CENTRAL 0x02014b50u
#define SIG_END     0x06054b50u
#define SIG_END64   0x06064b50u
#define SIG_LOCATOR 0x07064b50u

/* One view of a member. */
struct view_of {
    struct str name;
    uint16_t flags, method;
    uint32_t crc;
    uint64_t packed, size;
};
struct member {
    struct view_of v;
    uint64_t local; /* offset of its local header */
    uint64_t end;   /* of its data */
};
struct zip {
    struct insp *x;
    struct in *in;
    struct arena *arena; /* names */
    VEC(struct member) members;
    uint64_t central, central_bytes, count;
    uint64_t shift; /* bytes before the archive */
    struct str_map names;
    bool keras_config, keras_weights, data_pkl, constants_pkl, mar, npy, other;
};

/* ---- the end ------------------------------------------------------------------------------------------------------------------ */

/* Offset of the end record: the last one whose comment ends with the file, else the last one; UINT64_MAX if there is none. */
static enum status find_end(struct in *in, uint64_t *at, bool *exact, struct err *err)
{
    uint64_t back = MIN_OF(in->size, (uint64_t)END_BYTES + COMMENT_MAX), from = in->size - back;
    uint64_t loose = UINT64_MAX;

    *at = UINT64_MAX;
    *exact = false;
    for (uint64_t to = in->size; to > from;) {
        /* windows overlap by the length of a record */
        uint64_t start = to - MIN_OF(to - from, (uint64_t)(IN_WINDOW - END_BYTES));
        size_t n = (size_t)MIN_OF(in->size - start, (uint64_t)IN_WINDOW);
        const unsigned char *p;
        enum status st = in_peek(in, start, n, &p, err);

        if (st) return st;
        for (size_t i = (size_t)(to - start); i-- > 0;) {
            if (i + END_BYTES > n || le32(p + i) != SIG_END) continue;
            if (start + i + END_BYTES + le16(p + i + 20) == in->size) {
                *at = start + i;
                *exact = true;
                return OK;
            }
            loose = loose == UINT64_MAX ? start + i : loose;
        }
        to = start;
    }
    *at = loose;
    return OK;
}

enum status zip_has_end(struct in *in, bool *has, struct err *err)
{
    uint64_t at;
    bool exact;
    unsigned char b[END_BYTES];
    enum status st = in->size < END_BYTES ? OK : find_end(in, &at, &exact, err);

    *has = false;
    if (st || in->size < END_BYTES || at == UINT64_MAX || !exact) {
        return st;
    }
    st = in_read(in, at, b, sizeof(b), err);
    /* random bytes that look like one: the directory must fit before it */
    *has = !st && (uint64_t)le32(b + 12) <= at && le16(b + 10) > 0 && le32(b + 12) >= CENTRAL_BYTES;
    return st;
}

static enum status read_end64(struct zip *z, uint64_t end, struct err *err)
{
    unsigned char b[END64_BYTES];
    uint64_t at;
    enum status st = in_read(z->in, end - LOCATOR_BYTES, b, LOCATOR_BYTES, err);

    if (st || le32(b) != SIG_LOCATOR) {
        return st;
    }
    at = le64(b + 8);
    if (at > z->in->size || z->in->size - at < END64_BYTES) {
        return err_set(err, ST_CORRUPT, "the end record of 64 bits is not where it should be");
    }
    st = in_read(z->in, at, b, END64_BYTES, err);
    if (!st && le32(b) != SIG_END64) {
        st = err_set(err, ST_CORRUPT, "the end record of 64 bits is none");
    }
    if (st) return st;
    z->count = le64(b + 32);
    z->central_bytes = le64(b + 40);
    z->central = le64(b + 48);
    return OK;
}

/* Writers that always add the 64-bit record (PyTorch does) put it between the directory and the end record. *at: where it begins, when
 * it lies there whole; `end` otherwise. Loaders differ in which of the two they take, so they have to say the same. */
static enum status before_end64(struct zip *z, uint64_t end, uint64_t *at, struct err *err)
{
    unsigned char b[END64_BYTES];
    uint64_t record;
    enum status st = OK;

    *at = end;
    if (end < LOCATOR_BYTES + END64_BYTES) {
        return OK;
    }
    st = in_read(z->in, end - LOCATOR_BYTES, b, LOCATOR_BYTES, err);
    if (st || le32(b) != SIG_LOCATOR) {
        return st;
    }
    record = le64(b + 8);
    if (record > end - LOCATOR_BYTES - END64_BYTES) {
        return OK;
    }
    st = in_read(z->in, record, b, END64_BYTES, err);
    if (st || le32(b) != SIG_END64 || le64(b + 4) != end - LOCATOR_BYTES - record - END64_SIZE_AT) {
        return st;
    }
    *at = record;
    if (le64(b + 32) != z->count || le64(b + 40) != z->central_bytes ||
        le64(b + 48) != z->central) {
        insp_finding(z->x, INSPECT_DANGER, "zip_ends_differ",
                     "its two end records name different directories: readers differ in what it "
                     "holds");
    }
    return OK;
}

static enum status read_end(struct zip *z, struct err *err)
{
    unsigned char b[END_BYTES];
    uint64_t end, want;
    bool exact;
    enum status st = find_end(z->in, &end, &exact, err);

    if (st) return st;
    if (end == UINT64_MAX) {
        insp_finding(z->x, INSPECT_WARNING, "zip_no_directory",
                     "has no central directory: only the members themselves are looked at");
        z->central = z->in->size;
        return OK;
    }
    if (!exact) {
        insp_finding(z->x, INSPECT_WARNING, "zip_trailing", "bytes follow the archive");
    }
    st = in_read(z->in, end, b, sizeof(b), err);
    if (st) return st;
    z->count = le16(b + 10);
    z->central_bytes = le32(b + 12);
    z->central = le32(b + 16);
    want = end;
    if (le16(b + 10) == 0xffff || z->central_bytes == UINT32_MAX || z->central == UINT32_MAX) {
        if (end >= LOCATOR_BYTES) {
            st = read_end64(z, end, err);
        }
        want = UINT64_MAX; /* what lies between is of the 64-bit record */
    } else {
        st = before_end64(z, end, &want, err);
    }
    if (st) return st;
    if (z->central > z->in->size || z->central_bytes > z->in->size - z->central) {
        return err_set(err, ST_CORRUPT, "the central directory goes beyond the end");
    }
    if (want != UINT64_MAX && z->central + z->central_bytes != want) {
        if (z->central + z->central_bytes > want) {
            return err_set(err, ST_CORRUPT, "the central directory overlaps its end record");
        }
        z->shift = want - z->central - z->central_bytes;
        insp_finding(z->x, INSPECT_WARNING, "zip_prefix",
                     "%" PRIu64 " bytes are not accounted for: readers differ in where the archive "
                     "begins",
                     z->shift);
        z->central += z->shift;
    }
    return OK;
}

/* ---- headers ------------------------------------------------------------------------------------------------------------------ */

/* The 64-bit sizes of an extra field. */
static void extra64(const unsigned char *p, size_t n, struct view_of *v, uint64_t *local)
{
    while (n >= 4) {
        size_t len = le16(p + 2), at = 4;

        if (len > n - 4) {
            return;
        }
        if (le16(p) == 1) {
            uint64_t *const fields[] = { &v->size, &v->packed, local };

            for (size_t i = 0; i < ARRAY_N(fields); i++) {
                if (fields[i] && *fields[i] == UINT32_MAX && at + 8 <= len + 4) {
                    *fields[i] = le64(p + at);
                    at += 8;
                }
            }
            return;
        }
        p += len + 4;
        n -= len + 4;
    }
}

/* Name and extra field at `at`; the name is kept. */
static enum status name_and_extra(struct zip *z, uint64_t at, size_t name_n, size_t extra_n,
                                  struct view_of *v, uint64_t *local, struct err *err)
{
    const unsigned char *p;
    enum status st = OK;

    v->name = S("");
    if (name_n) {
        st = in_peek(z->in, at, MIN_OF(name_n, (size_t)NAME_KEPT), &p, err);
        v->name = st ? S("") : arena_str(z->arena, str_of(p, MIN_OF(name_n, (size_t)NAME_KEPT)));
        if (!v->name.p) {
            return err_set(err, ST_TOO_BIG, "more names than can be kept");
        }
    }
    if (!st && extra_n && extra_n <= IN_WINDOW) {
        st = in_peek(z->in, at + name_n, extra_n, &p, err);
        if (!st) {
            extra64(p, extra_n, v, local);
        }
    }
    return st;
}

static enum status read_local(struct zip *z, uint64_t at, struct view_of *v, uint64_t *data,
                              bool *is_local, struct err *err)
{
    unsigned char b[LOCAL_BYTES];
    size_t name_n, extra_n;
    enum status st;

    *is_local = false;
    if (at > z->in->size || z->in->size - at < LOCAL_BYTES) {
        return OK;
    }
    st = in_read(z->in, at, b, sizeof(b), err);
    if (st || le32(b) != SIG_LOCAL) {
        return st;
    }
    *v = (struct view_of){ .flags = le16(b + 6),
                           .method = le16(b + 8),
                           .crc = le32(b + 14),
                           .packed = le32(b + 18),
                           .size = le32(b + 22) };
    name_n = le16(b + 26);
    extra_n = le16(b + 28);
    *data = at + LOCAL_BYTES + name_n + extra_n;
    if (*data > z->in->size) {
        return OK;
    }
    *is_local = true;
    return name_and_extra(z, at + LOCAL_BYTES, name_n, extra_n, v, NULL, err);
}

static enum status read_central(struct zip *z, struct err *err)
{
    uint64_t at = z->central, end = z->central + z->central_bytes, n = 0;
    enum status st = OK;

    while (!st && at + CENTRAL_BYTES <= end) {
        unsigned char b[CENTRAL_BYTES];
        struct member *m;
        size_t name_n, extra_n;

        st = insp_item(z->x, err);
        st = st ? st : in_read(z->in, at, b, sizeof(b), err);
        if (st) break;
        if (le32(b) != SIG_CENTRAL) {
            insp_finding(z->x, INSPECT_WARNING, "zip_directory",
                         "the central directory breaks off after %" PRIu64 " members", n);
            break;
        }
        m = vec_add(&z->members);
        if (!m) {
            return err_set(err, ST_TOO_BIG, "more than %d members", MEMBERS_MAX);
        }
        *m = (struct member){ .v = { .flags = le16(b + 8),
                                     .method = le16(b + 10),
                                     .crc = le32(b + 16),
                                     .packed = le32(b + 20),
                                     .size = le32(b + 24) },
                              .local = le32(b + 42) };
        name_n = le16(b + 28);
        extra_n = le16(b + 30);
        st = name_and_extra(z, at + CENTRAL_BYTES, name_n, extra_n, &m->v, &m->local, err);
        if (__builtin_add_overflow(m->local, z->shift, &m->local)) {
            m->local = UINT64_MAX;
        }
        at += CENTRAL_BYTES + name_n + extra_n + le16(b + 32);
        n++;
    }
    if (!st && n != z->count) {
        insp_finding(z->x, INSPECT_WARNING, "zip_directory",
                     "the end record says %" PRIu64 " members, the directory has %" PRIu64,
                     z->count, n);
    }
    return st;
}

/* ---- looking into a member ---------------------------------------------------------------------------------------------------- */

static struct str base_name(struct str path)
{
    while (path.n && str_find_byte(path, '/', 0) != SIZE_MAX) {
        path = str_sub(path, str_find_byte(path, '/', 0) + 1, path.n);
    }
    return path;
}

static enum status check_crc(struct zip *z, const struct in *data, const struct view_of *v,
                             struct err *err)
{
    struct flow f;
    const unsigned char *p;
    size_t got = 0;
    enum status st;

    if (v->packed > CRC_MAX || v->size > CRC_MAX || (v->flags & 1) || v->crc == 0) {
        return OK;
    }
    st = flow_begin(&f, data, v->method == 8 ? FLOW_DEFLATE : FLOW_RAW, err);
    if (st) return st;
    f.has_crc = true;
    do {
        st = flow_peek(&f, IN_WINDOW, &p, &got, err);
        if (!st) {
            flow_take(&f, got);
        }
    } while (!st && got && f.pos <= CRC_MAX);
    if (!st && (f.crc != v->crc || f.pos != v->size)) {
        insp_finding(z->x, INSPECT_WARNING, "zip_checksum",
                     "its bytes do not fit their checksum: some readers stop here, others do not");
    }
    flow_release(&f);
    return st;
}

static enum status torch_pickle(struct zip *z, const struct in *data, uint16_t method,
                                struct err *err)
{
    struct flow f;
    bool is_pickle;
    enum status st = flow_begin(&f, data, method == 8 ? FLOW_DEFLATE : FLOW_RAW, err);

    if (st) return st;
    st = pickle_read(z->x, &f, PICKLE_TORCH, &is_pickle, err);
    flow_release(&f);
    return st;
}

static enum status read_text(struct zip *z, const struct in *data, uint16_t method, struct str *out,
                             struct err *err)
{
    struct flow f;
    const unsigned char *p;
    size_t got;
    enum status st = flow_begin(&f, data, method == 8 ? FLOW_DEFLATE : FLOW_RAW, err);

    *out = S("");
    if (st) return st;
    st = flow_peek(&f, 64, &p, &got, err);
    if (!st) {
        *out = insp_text(z->x, str_trim(str_of(p, got)), 64);
    }
    flow_release(&f);
    return st;
}

static enum status look_into(struct zip *z, const struct in *data, const struct view_of *v,
                             struct err *err)
{
    struct str name = base_name(v->name), text;
    struct flow f;
    enum status st;

    if (v->method != 0 && v->method != 8) {
        insp_finding(z->x, INSPECT_WARNING, "zip_method",
                     "is packed by method %u, which is not looked into", v->method);
        return OK;
    }
    if (str_eq_lit(name, "data.pkl") || str_eq_lit(name, "constants.pkl")) {
        return torch_pickle(z, data, v->method, err);
    }
    if (str_eq_lit(name, "version") && v->size < 32) {
        st = read_text(z, data, v->method, &text, err);
        insp_pair(z->x, "pytorch.version", text);
        return st;
    }
    if (z->keras_config && str_eq_lit(v->name, "config.json")) {
        st = flow_begin(&f, data, v->method == 8 ? FLOW_DEFLATE : FLOW_RAW, err);
        st = st ? st : keras_config_read(z->x, &f, err);
        flow_release(&f);
        return st;
    }
    return v->method == 8 ? inspect_packed(z->x, data, FLOW_DEFLATE, v->name, v->size, err)
                          : inspect_part(z->x, data, v->name, err);
}

/* Where a member is said to lie, by one of the views. */
static enum status inspect_view(struct zip *z, uint64_t data_at, const struct view_of *v,
                                bool check, struct err *err)
{
    struct insp *x = z->x;
    struct str where = x->where, name = insp_text(x, v->name, NAME_KEPT);
    uint64_t left = z->in->size - MIN_OF(data_at, z->in->size);
    struct in data = in_part(z->in, MIN_OF(data_at, z->in->size), MIN_OF(v->packed, left));
    enum status st = OK;

    if (v->packed == 0 && v->size == 0) {
        return OK;
    }
    x->where =
        where.n ? arena_printf(x->arena, "%.*s > %.*s", STR_ARG(where), STR_ARG(name)) : name;
    if (v->packed > left) {
        insp_finding(x, INSPECT_WARNING, "zip_truncated", "goes beyond the end of the archive");
    }
    if (v->size >= BOMB_BYTES && v->size / RATIO_MAX > v->packed) {
        insp_finding(x, INSPECT_DANGER, "zip_bomb",
                     "claims to unpack from %" PRIu64 " to %" PRIu64 " bytes", v->packed, v->size);
    }
    if (check) {
        st = insp_absorb(x, check_crc(z, &data, v, err), "its bytes", err);
    }
    st = st ? st : insp_absorb(x, look_into(z, &data, v, err), "cannot be read to its end", err);
    x->where = where;
    return st;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------------ */

static void differ(struct zip *z, const struct member *m, const char *what)
{
    insp_finding(z->x, INSPECT_DANGER, "zip_views",
                 "member %.*s: the directory and the member itself differ in %s",
                 STR_ARG(str_sub(m->v.name, 0, 200)), what);
}

/* Whether a reader of the local header would see other bytes. */
static bool compare(struct zip *z, const struct member *m, const struct view_of *local)
{
    bool streamed = local->flags & 8, sizes = false, name;

    name = !str_eq(local->name, m->v.name);
    if (name) {
        differ(z, m, "name");
    }
    if (local->method != m->v.method) {
        differ(z, m, "method");
    }
    if ((local->flags ^ m->v.flags) & (unsigned)~(8 | 0x800 | 6)) {
        differ(z, m, "flags");
    }
    if (!streamed || local->packed || local->size) {
        sizes = local->packed != m->v.packed || local->size != m->v.size;
    }
    if (sizes) {
        differ(z, m, "size");
    }
    if (!streamed && local->crc != m->v.crc) {
        differ(z, m, "checksum");
    }
    return name || sizes || local->method != m->v.method;
}

static enum status one_member(struct zip *z, struct member *m, struct err *err)
{
    struct view_of local;
    uint64_t data = 0;
    bool is_local;
    struct str name = str_sub(m->v.name, 0, 200);
    enum status st = read_local(z, m->local, &local, &data, &is_local, err);

    if (st) return st;
    if (!is_local) {
        insp_finding(z->x, INSPECT_DANGER, "zip_views",
                     "member %.*s: the directory points to byte %" PRIu64 ", where no member is",
                     STR_ARG(name), m->local);
        m->end = m->local;
        return OK;
    }
    if ((m->v.flags | local.flags) & 0x2041) {
        insp_finding(z->x, INSPECT_WARNING, "zip_encrypted",
                     "member %.*s says it is encrypted; readers that ignore that see its bytes",
                     STR_ARG(name));
    }
    if (__builtin_add_overflow(data, m->v.packed, &m->end)) {
        m->end = UINT64_MAX;
    }
    if (path_escapes(m->v.name)) {
        insp_finding(z->x, INSPECT_DANGER, "zip_path", "member %.*s leaves the folder",
                     STR_ARG(name));
    }
    if (str_map_get(&z->names, m->v.name)) {
        insp_finding(z->x, INSPECT_DANGER, "zip_duplicate", "member %.*s is there twice",
                     STR_ARG(name));
    } else if (str_map_put(&z->names, m->v.name, m)) {
        return err_nomem(err);
    }
    st = inspect_view(z, data, &m->v, true, err);
    if (!st && compare(z, m, &local)) {
        st = inspect_view(z, data, &local, false, err);
    }
    return st;
}

static int by_place(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    return x->local < y->local ? -1 : x->local > y->local;
}

/* Members that the directory does not name. */
static enum status gap(struct zip *z, uint64_t from, uint64_t to, struct err *err)
{
    uint64_t end = to - from > GAP_SCAN_MAX ? from + GAP_SCAN_MAX : to;

    if (end != to) {
        z->x->r->complete = false;
        insp_finding(z->x, INSPECT_WARNING, "limit",
                     "%" PRIu64 " bytes between the members were not looked at", to - end);
    }
    for (uint64_t at = from; at + LOCAL_BYTES <= end;) {
        struct view_of v;
        uint64_t data;
        bool is_local;
        const unsigned char *p, *hit;
        size_t n = (size_t)MIN_OF(end - at, (uint64_t)IN_WINDOW);
        enum status st = in_peek(z->in, at, n, &p, err);

        if (st) return st;
        hit = memmem(p, n, "PK\x03\x04", 4);
        if (!hit) {
            if (n < IN_WINDOW) break;
            at += n - 3;
            continue;
        }
        at += (uint64_t)(hit - p);
        st = read_local(z, at, &v, &data, &is_local, err);
        st = st ? st : insp_item(z->x, err);
        if (st) return st;
        if (!is_local) {
            at += 4;
            continue;
        }
        if (z->count || z->members.n) {
            insp_finding(z->x, INSPECT_DANGER, "zip_hidden",
                         "member %.*s at byte %" PRIu64 " is not in the directory",
                         STR_ARG(str_sub(insp_text(z->x, v.name, NAME_KEPT), 0, 200)), at);
        }
        if ((v.flags & 8) && v.packed == 0) {
            v.packed = to - MIN_OF(data, to);
        }
        st = inspect_view(z, data, &v, false, err);
        if (st) return st;
        at = data + MIN_OF(v.packed, to - MIN_OF(data, to));
    }
    return OK;
}

static enum status places(struct zip *z, struct err *err)
{
    uint64_t at = 0;
    enum status st = OK;

    if (z->members.n) {
        qsort(z->members.p, z->members.n, sizeof(*z->members.p), by_place);
    }
    for (size_t i = 0; i < z->members.n && !st; i++) {
        const struct member *m = &z->members.p[i];

        if (m->local < at) {
            insp_finding(z->x, INSPECT_DANGER, "zip_overlap", "member %.*s lies within another one",
                         STR_ARG(str_sub(insp_text(z->x, m->v.name, NAME_KEPT), 0, 200)));
        } else if (m->local > at && m->local <= z->in->size) {
            st = gap(z, at, m->local, err);
        }
        at = MAX_OF(at, MIN_OF(m->end, z->in->size));
    }
    if (!st && at < z->central) {
        st = gap(z, at, z->central, err);
    } else if (!st && z->central_bytes && at > z->central) {
        insp_finding(z->x, INSPECT_DANGER, "zip_overlap", "members lie within the directory");
    }
    return st;
}

/* ---- what kind of archive -------------------------------------------------------------------------------------------------------- */

static void classify(struct zip *z)
{
    for (size_t i = 0; i < z->members.n; i++) {
        struct str path = z->members.p[i].v.name, name = base_name(path);

        z->keras_config = z->keras_config || str_eq_lit(path, "config.json");
        z->keras_weights = z->keras_weights || str_eq_lit(path, "model.weights.h5");
        z->data_pkl = z->data_pkl || str_eq_lit(name, "data.pkl");
        z->constants_pkl = z->constants_pkl || str_eq_lit(name, "constants.pkl");
        z->mar = z->mar || str_eq_lit(path, "MAR-INF/MANIFEST.json");
        z->npy = z->npy || str_ends(path, S(".npy"));
        z->other = z->other || !str_ends(path, S(".npy"));
    }
    insp_format(z->x, z->keras_config && z->keras_weights ? "keras"
                      : z->constants_pkl                  ? "torchscript"
                      : z->data_pkl                       ? "pytorch"
                      : z->mar                            ? "torchserve"
                      : z->npy && !z->other               ? "npz"
                                                          : "zip");
    if (z->constants_pkl) {
        insp_finding(z->x, INSPECT_INFO, "torchscript",
                     "carries a program in TorchScript, which its loader runs");
    }
    if (z->mar) {
        insp_finding(z->x, INSPECT_WARNING, "torchserve", "carries a handler in Python");
    }
    z->keras_config = z->keras_config && z->keras_weights;
}

enum status zip_read(struct insp *x, struct in *in, struct err *err)
{
    struct zip z = { .x = x, .in = in };
    enum status st;

    z.members.max = MEMBERS_MAX;
    z.names.max = MEMBERS_MAX;
    z.arena = arena_new(MEMBERS_MAX * (size_t)NAME_KEPT / 4);
    st = z.arena ? read_end(&z, err) : err_nomem(err);
    if (st == ST_CORRUPT) {
        z.central = in->size; /* the members may be there all the same */
        z.central_bytes = 0;
    }
    st = insp_absorb(x, st, "its directory", err);
    st = st ? st : insp_absorb(x, read_central(&z, err), "its directory", err);
    if (!st) {
        classify(&z);
    }
    for (size_t i = 0; i < z.members.n && !st; i++) {
        st = insp_item(x, err);
        st = st ? st : one_member(&z, &z.members.p[i], err);
    }
    st = st ? st : places(&z, err);
    str_map_release(&z.names);
    vec_release(&z.members);
    arena_free(z.arena);
    return st;
}
