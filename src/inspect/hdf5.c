/* inspect/hdf5.c - HDF5 as far as files of Keras need it: superblocks 0 to 3, object headers, groups by symbol table and by links,
 * attributes of the root, and where data sets lie; what is kept dense comes from hdf5_dense.c. Links and data sets in other files are
 * findings. Names are kept as they are in memory of the reader; the report makes them fit to be shown. */
#include "base/map.h"
#include "inspect/hdf5_int.h"
#include <inttypes.h>

enum {
    GROUP_DEPTH_MAX = 24,
    OBJECTS_MAX = 1 << 16,
    BLOCKS_MAX = 64, /* of one object header */
    TREE_DEPTH_MAX = 16,
    NAME_MAX_BYTES = 512,
    CONFIG_MAX = 64 << 20
};
#define UNDEFINED UINT64_MAX

enum message_type {
    MSG_DATASPACE = 1,
    MSG_LINK_INFO = 2,
    MSG_DATATYPE = 3,
    MSG_LINK = 6,
    MSG_EXTERNAL = 7,
    MSG_LAYOUT = 8,
    MSG_FILTERS = 11,
    MSG_ATTRIBUTE = 12,
    MSG_CONTINUATION = 16,
    MSG_SYMBOLS = 17,
    MSG_ATTRIBUTE_INFO = 21,
};

struct h5 {
    struct insp *x;
    struct in in; /* from the superblock on */
    struct arena *arena;
    struct int_map seen;
    unsigned depth;
    bool keras;
};

/* What the messages of one object say. */
struct object {
    struct str path;
    bool is_root, has_space, has_type, has_layout, known_shape;
    struct inspect_tensor t;
    uint64_t shape[INSPECT_RANK_MAX];
    uint64_t type_bytes;
    uint64_t tree, heap;
    bool has_symbols;
    uint64_t dense_heap, dense_index, attribute_heap, attribute_index; /* UNDEFINED = none */
};
struct message {
    unsigned type;
    uint64_t at;
    uint32_t n;
};

static enum status object(struct h5 *h, uint64_t at, struct str path, bool is_root,
                          struct err *err);

/* ---- types and shapes --------------------------------------------------------------------------------------------------------- */

struct h5type {
    unsigned class;
    uint32_t bytes;
    bool is_signed, vlen_text;
};

static enum status datatype(struct h5 *h, uint64_t at, struct h5type *t, struct err *err)
{
    unsigned char b[8];
    enum status st = in_read(&h->in, at, b, sizeof(b), err);

    *t = (struct h5type){ .class = b[0] & 15, .bytes = st ? 0 : le32(b + 4) };
    t->is_signed = b[1] & 8;
    t->vlen_text = t->class == 9 && (b[1] & 15) == 1;
    return st;
}

static struct str type_name(struct h5 *h, const struct h5type *t)
{
    static const char *const ints[2][4] = { { "U8", "U16", "U32", "U64" },
                                            { "I8", "I16", "I32", "I64" } };
    static const char *const floats[4] = { "F8", "F16", "F32", "F64" };
    unsigned log = t->bytes == 1 ? 0 : t->bytes == 2 ? 1 : t->bytes == 4 ? 2 : 3;

    if (t->bytes && t->bytes <= 8 && t->bytes == 1u << log && t->class <= 1) {
        return str_cstr(t->class ? floats[log] : ints[t->is_signed][log]);
    }
    if (t->class == 8 && t->bytes == 1) {
        return S("BOOL");
    }
    if (t->class == 3 || t->class == 9) {
        return S("STRING");
    }
    return arena_printf(h->x->arena, "class %u of %" PRIu32 " bytes", t->class, t->bytes);
}

static enum status dataspace(struct h5 *h, uint64_t at, uint64_t *shape, unsigned *rank,
                             struct err *err)
{
    unsigned char b[4];
    enum status st = in_read(&h->in, at, b, sizeof(b), err);

    *rank = 0;
    if (st) return st;
    if (b[0] != 1 && b[0] != 2) {
        return err_set(err, ST_CORRUPT, "a shape of version %u", b[0]);
    }
    if (b[1] > INSPECT_RANK_MAX) {
        return err_set(err, ST_CORRUPT, "a shape of %u dimensions", b[1]);
    }
    at += b[0] == 1 ? 8 : 4;
    for (unsigned i = 0; i < b[1] && !st; i++) {
        st = in_u64(&h->in, at + 8 * (uint64_t)i, &shape[(*rank)++], err);
    }
    return st;
}

/* ---- attributes --------------------------------------------------------------------------------------------------------------- */

/* The object of a global heap. */
static enum status heap_object(struct h5 *h, uint64_t collection, uint32_t index, uint64_t *at,
                               uint64_t *n, struct err *err)
{
    unsigned char b[16];
    uint64_t size = 0, p = 16;
    enum status st = in_read(&h->in, collection, b, sizeof(b), err);

    if (!st && memcmp(b, "GCOL", 4) != 0) {
        return err_set(err, ST_CORRUPT, "a heap that is none");
    }
    size = st ? 0 : le64(b + 8);
    while (!st && p + 16 <= size) {
        st = insp_item(h->x, err);
        st = st ? st : in_read(&h->in, collection + p, b, sizeof(b), err);
        if (st) return st;
        *n = le64(b + 8);
        *at = collection + p + 16;
        if (le16(b) == index) {
            return *n <= size ? OK : err_set(err, ST_CORRUPT, "a text beyond its heap");
        }
        if (le16(b) == 0 || *n > size) break;
        p += 16 + (*n + 7) / 8 * 8;
    }
    return st ? st : err_set(err, ST_CORRUPT, "a text that its heap does not have");
}

static enum status attribute_text(struct h5 *h, struct str name, uint64_t at, uint64_t n,
                                  struct err *err)
{
    struct str text;
    struct in part;
    struct flow f;
    enum status st;

    if (n > h->in.size || at > h->in.size - n) {
        return err_set(err, ST_CORRUPT, "the attribute %.*s goes beyond the end", STR_ARG(name));
    }
    if (str_eq_lit(name, "model_config") || str_eq_lit(name, "training_config")) {
        h->keras = true;
        part = in_part(&h->in, at, n);
        st = flow_begin(&f, &part, FLOW_RAW, err);
        st = st ? st : keras_config_read(h->x, &f, err);
        flow_release(&f);
        return st;
    }
    st = in_text(&h->in, at, n, INSPECT_TEXT_MAX, &text, err);
    while (!st && text.n && text.p[text.n - 1] == '\0') {
        text.n--;
    }
    if (!st) {
        insp_pair_str(h->x, name, text);
        if (str_eq_lit(name, "keras_version")) {
            h->keras = true;
            h->x->r->producer = arena_printf(h->x->arena, "Keras %.*s", STR_ARG(text));
        }
    }
    return st;
}

static uint64_t padded(unsigned version, uint64_t n)
{
    return version == 1 ? (n + 7) / 8 * 8 : n;
}

/* Text attributes of the root. */
static enum status attribute(struct h5 *h, uint64_t at, struct err *err)
{
    unsigned char b[16];
    uint64_t n, data, shape[INSPECT_RANK_MAX];
    struct h5type t;
    struct str name;
    unsigned rank;
    enum status st = in_read(&h->in, at, b, 8, err);

    if (st) return st;
    if (b[0] < 1 || b[0] > 3) {
        return err_set(err, ST_CORRUPT, "an attribute of version %u", b[0]);
    }
    at += b[0] == 3 ? 9 : 8;
    st = in_text(&h->in, at, le16(b + 2), NAME_MAX_BYTES, &name, err);
    while (!st && name.n && name.p[name.n - 1] == '\0') {
        name.n--;
    }
    at += padded(b[0], le16(b + 2));
    data = at + padded(b[0], le16(b + 4)) + padded(b[0], le16(b + 6));
    if (b[0] > 1 && (b[1] & 3)) {
        return st; /* its type lies elsewhere */
    }
    st = st ? st : datatype(h, at, &t, err);
    st = st ? st : dataspace(h, at + padded(b[0], le16(b + 4)), shape, &rank, err);
    if (st || rank > 0) {
        return st;
    }
    if (t.class == 3) {
        return attribute_text(h, name, data, t.bytes, err);
    }
    if (!t.vlen_text) {
        return OK;
    }
    st = in_read(&h->in, data, b, 16, err);
    st = st || le64(b + 4) == 0 ? st : heap_object(h, le64(b + 4), le32(b + 12), &data, &n, err);
    return st || le64(b + 4) == 0
               ? st
               : attribute_text(h, name, data, MIN_OF(n, (uint64_t)le32(b)), err);
}

/* ---- links -------------------------------------------------------------------------------------------------------------------- */

static enum status child(struct h5 *h, struct str parent, struct str name, uint64_t at,
                         struct err *err)
{
    struct str path;

    if (int_map_get(&h->seen, at)) {
        return OK; /* a second name of it */
    }
    path = parent.n ? arena_printf(h->arena, "%.*s/%.*s", STR_ARG(parent), STR_ARG(name))
                    : arena_str(h->arena, name);
    if (!path.p || path.n > INSPECT_TEXT_MAX) {
        return err_set(err, ST_TOO_BIG, "names longer than can be kept");
    }
    return object(h, at, path, false, err);
}

static void dense_packed(struct h5 *h, const struct object *o, const char *what)
{
    h->x->r->complete = false;
    insp_finding(h->x, INSPECT_WARNING, "hdf5_dense",
                 "%.*s keeps its %s in a form that is not looked into",
                 STR_ARG(o->path.n ? str_sub(o->path, 0, 200) : S("/")), what);
}

static void foreign_link(struct h5 *h, struct str path, struct str name)
{
    insp_finding(h->x, INSPECT_DANGER, "external_path", "%.*s/%.*s is a link into another file",
                 STR_ARG(str_sub(path, 0, 200)), STR_ARG(str_sub(name, 0, 200)));
}

struct link {
    char bytes[NAME_MAX_BYTES];
    struct str name; /* its first bytes, there */
    bool is_hard;
    uint64_t target;
};

static enum status link_read(struct h5 *h, struct str folder, uint64_t at, struct link *l,
                             struct err *err)
{
    unsigned char b[2], length[8] = { 0 };
    uint8_t type = 0;
    uint64_t n;
    size_t length_bytes;
    enum status st = in_read(&h->in, at, b, 2, err);

    at += 2;
    if (!st && (b[1] & 8)) st = in_u8(&h->in, at++, &type, err);
    if (st) return st;
    at += (b[1] & 4) ? 8 : 0;
    at += (b[1] & 16) ? 1 : 0;
    length_bytes = (size_t)1 << (b[1] & 3);
    st = in_read(&h->in, at, length, length_bytes, err);
    if (st) return st;
    at += length_bytes;
    n = le64(length);
    l->name = str_of(l->bytes, (size_t)MIN_OF(n, sizeof(l->bytes)));
    l->is_hard = type == 0;
    st = in_read(&h->in, at, l->bytes, l->name.n, err);
    if (!st && type == 64) {
        foreign_link(h, folder, l->name);
    }
    if (!st && l->is_hard) {
        if (n > h->in.size) {
            return err_set(err, ST_CORRUPT, "a name of %" PRIu64 " bytes", n);
        }
        st = in_u64(&h->in, at + n, &l->target, err);
    }
    return st;
}

static enum status link_message(struct h5 *h, const struct object *o, const struct message *m,
                                struct err *err)
{
    struct link l;
    enum status st = link_read(h, o->path, m->at, &l, err);

    return st || !l.is_hard ? st : child(h, o->path, l.name, l.target, err);
}

/* Members that are kept dense: all links first, so that their heap is read in one go. */
static enum status dense_links(struct h5 *h, const struct object *o, struct err *err)
{
    struct hard {
        struct str name;
        uint64_t target;
    } * hard;
    struct hdf5_piece *pieces;
    size_t pieces_n, n = 0;
    struct link l;
    bool packed;
    enum status st = hdf5_dense(&h->in, h->arena, o->dense_heap, o->dense_index, HDF5_LINKS_BY_NAME,
                                OBJECTS_MAX, &pieces, &pieces_n, &packed, err);

    if (!st && packed) {
        dense_packed(h, o, "members");
    }
    if (st || !pieces_n) return st;
    hard = arena_alloc(h->arena, pieces_n * sizeof(*hard));
    if (!hard) {
        return err_set(err, ST_TOO_BIG, "more members than can be kept");
    }
    for (size_t i = 0; i < pieces_n && !st; i++) {
        st = link_read(h, o->path, pieces[i].at, &l, err);
        if (st || !l.is_hard || int_map_get(&h->seen, l.target)) continue;
        hard[n] = (struct hard){ arena_str(h->arena, l.name), l.target };
        if (!hard[n++].name.p) {
            return err_set(err, ST_TOO_BIG, "names longer than can be kept");
        }
    }
    for (size_t i = 0; i < n && !st; i++) {
        st = child(h, o->path, hard[i].name, hard[i].target, err);
    }
    return st;
}

static enum status dense_attributes(struct h5 *h, const struct object *o, struct err *err)
{
    struct hdf5_piece *pieces;
    size_t n;
    bool packed;
    enum status st = hdf5_dense(&h->in, h->arena, o->attribute_heap, o->attribute_index,
                                HDF5_ATTRIBUTES_BY_NAME, OBJECTS_MAX, &pieces, &n, &packed, err);

    if (!st && packed) {
        dense_packed(h, o, "attributes");
    }
    for (size_t i = 0; i < n && !st; i++) {
        st = attribute(h, pieces[i].at, err);
    }
    return st;
}

/* Entries of a symbol table: names lie in the local heap. */
static enum status symbols(struct h5 *h, const struct object *o, uint64_t at, uint64_t names,
                           uint64_t names_n, struct err *err)
{
    unsigned char b[40];
    unsigned n;
    enum status st = in_read(&h->in, at, b, 8, err);

    if (!st && memcmp(b, "SNOD", 4) != 0) {
        st = err_set(err, ST_CORRUPT, "a symbol table that is none");
    }
    n = st ? 0 : le16(b + 6);
    for (unsigned i = 0; i < n && !st; i++) {
        uint64_t offset, left;
        char name[NAME_MAX_BYTES];

        st = insp_item(h->x, err);
        st = st ? st : in_read(&h->in, at + 8 + 40 * (uint64_t)i, b, sizeof(b), err);
        if (st) break;
        offset = le64(b);
        if (offset >= names_n) {
            return err_set(err, ST_CORRUPT, "a name beyond its heap");
        }
        left = MIN_OF(names_n - offset, (uint64_t)NAME_MAX_BYTES);
        st = in_read(&h->in, names + offset, name, (size_t)left, err);
        if (!st && le32(b + 16) != 2) { /* 2: a link by name within the file */
            st = child(h, o->path, str_of(name, strnlen(name, (size_t)left)), le64(b + 8), err);
        }
    }
    return st;
}

static enum status tree(struct h5 *h, const struct object *o, uint64_t at, uint64_t names,
                        uint64_t names_n, unsigned depth, struct err *err)
{
    unsigned char b[24];
    unsigned n, level;
    enum status st = in_read(&h->in, at, b, sizeof(b), err);

    if (!st && (memcmp(b, "TREE", 4) != 0 || b[4] != 0)) {
        st = err_set(err, ST_CORRUPT, "a tree that is none");
    }
    if (!st && depth > TREE_DEPTH_MAX) {
        st = err_set(err, ST_TOO_BIG, "a tree of more than %d levels", TREE_DEPTH_MAX);
    }
    level = st ? 0 : b[5];
    n = st ? 0 : le16(b + 6);
    for (unsigned i = 0; i < n && !st; i++) {
        uint64_t to;

        st = insp_item(h->x, err);
        st = st ? st : in_u64(&h->in, at + 24 + 8 + 16 * (uint64_t)i, &to, err);
        if (st) break;
        st = level ? tree(h, o, to, names, names_n, depth + 1, err)
                   : symbols(h, o, to, names, names_n, err);
    }
    return st;
}

static enum status symbol_table(struct h5 *h, const struct object *o, struct err *err)
{
    unsigned char b[32];
    enum status st = in_read(&h->in, o->heap, b, sizeof(b), err);

    if (!st && memcmp(b, "HEAP", 4) != 0) {
        return err_set(err, ST_CORRUPT, "a heap of names that is none");
    }
    return st ? st : tree(h, o, o->tree, le64(b + 24), le64(b + 8), 0, err);
}

/* ---- objects ------------------------------------------------------------------------------------------------------------------ */

static enum status layout(struct h5 *h, struct object *o, const struct message *m, struct err *err)
{
    unsigned char b[18] = { 0 };
    uint64_t at;
    enum status st = in_read(&h->in, m->at, b, MIN_OF((size_t)m->n, sizeof(b)), err);

    if (st) return st;
    o->has_layout = true;
    if (b[0] < 3) {
        o->t.has_offset = b[2] == 1;
        o->t.offset = le64(b + 8);
    } else if (b[1] == 1) {
        at = le64(b + 2);
        o->t.has_offset = at != UNDEFINED;
        o->t.offset = at;
    }
    return OK;
}

static enum status filters(struct h5 *h, const struct object *o, const struct message *m,
                           struct err *err)
{
    unsigned char b[10];
    uint16_t id;
    enum status st = in_read(&h->in, m->at, b, MIN_OF((size_t)m->n, sizeof(b)), err);

    if (st || m->n < 10 || b[1] == 0) {
        return st;
    }
    id = le16(b[0] == 1 ? b + 8 : b + 2);
    if (id >= 256) {
        insp_finding(h->x, INSPECT_WARNING, "hdf5_filter",
                     "%.*s is packed by filter %u, which a library of its own brings",
                     STR_ARG(str_sub(o->path, 0, 200)), id);
    }
    return OK;
}

/* Where a heap and its index lie. */
static enum status dense(struct h5 *h, const struct message *m, uint64_t *heap, uint64_t *index,
                         struct err *err)
{
    unsigned char b[2];
    enum status st = in_read(&h->in, m->at, b, 2, err);
    uint64_t at = m->at + 2;

    if (st) return st;
    at += (b[1] & 1) ? (m->type == MSG_LINK_INFO ? 8 : 2) : 0;
    st = in_u64(&h->in, at, heap, err);
    return st ? st : in_u64(&h->in, at + 8, index, err);
}

static enum status message(struct h5 *h, struct object *o, const struct message *m, struct err *err)
{
    struct h5type t;
    enum status st;

    switch ((enum message_type)m->type) {
    case MSG_DATASPACE: o->has_space = true; return dataspace(h, m->at, o->shape, &o->t.rank, err);
    case MSG_DATATYPE:
        st = datatype(h, m->at, &t, err);
        o->has_type = true;
        o->t.dtype = type_name(h, &t);
        o->type_bytes = t.bytes;
        return st;
    case MSG_LAYOUT: return layout(h, o, m, err);
    case MSG_EXTERNAL:
        insp_finding(h->x, INSPECT_DANGER, "external_path", "%.*s has its bytes in another file",
                     STR_ARG(str_sub(o->path, 0, 200)));
        return OK;
    case MSG_FILTERS: return filters(h, o, m, err);
    case MSG_ATTRIBUTE: return o->is_root ? attribute(h, m->at, err) : OK;
    case MSG_LINK: return link_message(h, o, m, err);
    case MSG_LINK_INFO: return dense(h, m, &o->dense_heap, &o->dense_index, err);
    case MSG_ATTRIBUTE_INFO:
        return o->is_root ? dense(h, m, &o->attribute_heap, &o->attribute_index, err) : OK;
    case MSG_SYMBOLS:
        o->has_symbols = true;
        st = in_u64(&h->in, m->at, &o->tree, err);
        return st ? st : in_u64(&h->in, m->at + 8, &o->heap, err);
    case MSG_CONTINUATION: break;
    }
    return OK;
}

struct block {
    uint64_t at, end;
};
struct blocks {
    struct block of[BLOCKS_MAX];
    size_t n;
    unsigned version, flags; /* of the object header */
};

static enum status continuation(struct h5 *h, struct blocks *b, const struct message *m,
                                struct err *err)
{
    uint64_t at, n;
    enum status st = in_u64(&h->in, m->at, &at, err);

    st = st ? st : in_u64(&h->in, m->at + 8, &n, err);
    if (st) return st;
    if (n > h->in.size || at > h->in.size - n || n < 8) {
        return err_set(err, ST_CORRUPT, "a header goes on beyond the end");
    }
    if (b->n >= BLOCKS_MAX) {
        return err_set(err, ST_TOO_BIG, "a header of more than %d blocks", BLOCKS_MAX);
    }
    b->of[b->n++] =
        b->version == 2 ? (struct block){ at + 4, at + n - 4 } : (struct block){ at, at + n };
    return OK;
}

static enum status messages(struct h5 *h, struct object *o, struct blocks *b, struct err *err)
{
    size_t head = b->version == 2 ? ((b->flags & 4) ? 6 : 4) : 8;
    enum status st = OK;

    for (size_t i = 0; i < b->n && !st; i++) {
        for (uint64_t at = b->of[i].at; !st && at + head <= b->of[i].end;) {
            unsigned char p[8];
            struct message m;

            st = insp_item(h->x, err);
            st = st ? st : in_read(&h->in, at, p, head, err);
            if (st) break;
            m.type = b->version == 2 ? p[0] : le16(p);
            m.n = b->version == 2 ? le16(p + 1) : le16(p + 2);
            m.at = at + head;
            if (m.n > b->of[i].end - m.at) {
                return err_set(err, ST_CORRUPT,
                               "a message at byte %" PRIu64 " goes beyond its header", at);
            }
            st = m.type == MSG_CONTINUATION ? continuation(h, b, &m, err) : message(h, o, &m, err);
            at = m.at + m.n;
        }
    }
    return st;
}

static enum status first_block(struct h5 *h, uint64_t at, struct blocks *b, struct err *err)
{
    unsigned char p[16];
    uint64_t n, from;
    enum status st = in_read(&h->in, at, p, sizeof(p), err);

    if (st) return st;
    b->n = 1;
    if (memcmp(p, "OHDR", 4) == 0) {
        size_t size_bytes;
        unsigned char size[8] = { 0 };

        b->version = 2;
        b->flags = p[5];
        from = at + 6 + ((b->flags & 32) ? 16 : 0) + ((b->flags & 16) ? 4 : 0);
        size_bytes = (size_t)1 << (b->flags & 3);
        st = in_read(&h->in, from, size, size_bytes, err);
        n = le64(size);
        from += size_bytes;
    } else if (p[0] == 1) {
        b->version = 1;
        n = le32(p + 8);
        from = at + 16;
    } else {
        return err_set(err, ST_CORRUPT, "no object at byte %" PRIu64, at);
    }
    if (!st && (n > h->in.size || from > h->in.size - n)) {
        st = err_set(err, ST_CORRUPT, "an object at byte %" PRIu64 " goes beyond the end", at);
    }
    b->of[0] = (struct block){ from, from + n };
    return st;
}

static enum status dataset(struct h5 *h, struct object *o, struct err *err)
{
    o->t.name = o->path;
    o->t.shape = o->shape;
    (void)err;
    if (!shape_product(o->shape, o->t.rank, &o->t.elements) ||
        __builtin_mul_overflow(o->t.elements, o->type_bytes, &o->t.bytes)) {
        insp_finding(h->x, INSPECT_DANGER, "tensor_shape", "the shape of %.*s overflows",
                     STR_ARG(str_sub(o->path, 0, 200)));
        return OK;
    }
    if (o->t.has_offset && (o->t.bytes > h->in.size || o->t.offset > h->in.size - o->t.bytes)) {
        insp_finding(h->x, INSPECT_DANGER, "tensor_range", "%.*s lies beyond the end of the file",
                     STR_ARG(str_sub(o->path, 0, 200)));
    }
    insp_tensor(h->x, &o->t, NULL);
    return OK;
}

static enum status object(struct h5 *h, uint64_t at, struct str path, bool is_root, struct err *err)
{
    struct object o = { .path = path,
                        .is_root = is_root,
                        .t = { .dtype = S("?") },
                        .dense_heap = UNDEFINED,
                        .attribute_heap = UNDEFINED };
    struct blocks b = { .n = 0 };
    enum status st;

    if (int_map_get(&h->seen, at)) {
        return OK; /* a second name of it */
    }
    if (h->depth >= GROUP_DEPTH_MAX) {
        return err_set(err, ST_TOO_BIG, "groups within each other, more than %d", GROUP_DEPTH_MAX);
    }
    st = int_map_put(&h->seen, at, h);
    if (st) {
        return err_set(err, st, "more than %d objects", OBJECTS_MAX);
    }
    h->depth++;
    st = first_block(h, at, &b, err);
    st = st ? st : messages(h, &o, &b, err);
    if (!st && o.has_symbols) {
        st = symbol_table(h, &o, err);
    }
    if (!st && o.attribute_heap != UNDEFINED) {
        st = dense_attributes(h, &o, err);
    }
    if (!st && o.dense_heap != UNDEFINED) {
        st = dense_links(h, &o, err);
    }
    if (!st && o.has_space && o.has_type && o.has_layout) {
        st = dataset(h, &o, err);
    }
    h->depth--;
    return st;
}

/* ---- the file ----------------------------------------------------------------------------------------------------------------- */

static enum status super_block(struct h5 *h, uint64_t *root, struct err *err)
{
    unsigned char b[16];
    unsigned offsets, lengths;
    enum status st = in_read(&h->in, 0, b, sizeof(b), err);

    if (st) return st;
    offsets = b[8] < 2 ? b[13] : b[9];
    lengths = b[8] < 2 ? b[14] : b[10];
    if (b[8] > 3 || offsets != 8 || lengths != 8) {
        return err_set(err, ST_CORRUPT, "a superblock of version %u with offsets of %u bytes", b[8],
                       offsets);
    }
    insp_pair_u64(h->x, "hdf5.superblock", b[8]);
    /* 0 and 1: the entry of the root lies behind four addresses; its second field is the place */
    return in_u64(&h->in, b[8] == 0 ? 64 : b[8] == 1 ? 68 : 36, root, err);
}

enum status hdf5_read(struct insp *x, struct in *in, uint64_t super, struct err *err)
{
    struct h5 h = { .x = x, .in = in_part(in, super, in->size - super) };
    uint64_t root;
    bool known = x->r->format.n > 0;
    enum status st;

    h.seen.max = OBJECTS_MAX;
    h.arena = arena_new(16 << 20);
    st = h.arena ? super_block(&h, &root, err) : err_nomem(err);
    st = st ? st : object(&h, root, S(""), true, err);
    if (!known) {
        x->r->format = h.keras ? S("keras hdf5") : S("hdf5");
    }
    int_map_release(&h.seen);
    arena_free(h.arena);
    return st;
}
