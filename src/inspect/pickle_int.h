/* inspect/pickle_int.h - the abstract machine of pickles: values that are known as far as a verdict or a tensor needs them.
 * Nothing is ever called: a call gives a value of which only the name of the callee is known.
 * Ownership: values live in the machine's own arena, which is capped. */
#ifndef CAIRN_INSPECT_PICKLE_INT_H
#define CAIRN_INSPECT_PICKLE_INT_H

#include "base/map.h"
#include "base/vec.h"
#include "inspect/inspect_int.h"

enum {
    PK_STACK_MAX = 1 << 18,
    PK_MEMO_PAGE = 1024,
    PK_MEMO_MAX = 1 << 24,
    PK_MEMORY_MAX = 64 << 20,
    PK_TEXT_MAX = 1024,   /* longer texts are not known */
    PK_LINE_MAX = 4096,   /* of a text argument that ends with a newline */
    PK_ITEMS_MAX = 64,    /* of a tuple that are known */
    PK_MEMBERS_MAX = 8,   /* of a dict, of those that matter */
    PK_NESTED_MAX = 8192, /* bytes of a constant that may be a pickle itself */
    PK_CALLS_SHOWN = 16
};

enum verdict {
    GLOBAL_KNOWN,   /* on the list: makes a value and does nothing else */
    GLOBAL_UNKNOWN, /* what it does is not known here */
    GLOBAL_DANGER   /* runs code, reaches the system or loads further pickles */
};
enum verdict pickle_verdict(struct str module, struct str name);

struct pglobal {
    struct str module, name;
    struct str full; /* "module.name" */
    enum verdict verdict;
};

enum pv_kind {
    PV_OTHER,
    PV_MARK,
    PV_NONE,
    PV_BOOL,
    PV_INT,
    PV_STR,    /* s, n */
    PV_BYTES,  /* big: length */
    PV_GLOBAL, /* global */
    PV_TUPLE,  /* items, n; all of them known */
    PV_LIST,
    PV_DICT,    /* dict */
    PV_CALL,    /* global: what was called */
    PV_DTYPE,   /* s, n: "f8", "<i4", "O" */
    PV_STORAGE, /* storage */
    PV_TENSOR,  /* tensor: as listed, NULL where it is not */
    PV_ARRAY,   /* a numpy array whose state is still to come */
    PV_WRAPPER, /* joblib: the bytes of an array follow its state */
};
struct pdict;
struct pstorage {
    struct str dtype, key;
};
struct pv {
    uint8_t kind;
    uint32_t n;
    union {
        int64_t i;
        uint64_t big;
        const char *s;
        struct pv *items;
        struct pdict *dict;
        const struct pglobal *global;
        const struct pstorage *storage;
        struct inspect_tensor *tensor;
    } u;
};
_Static_assert(sizeof(struct pv) == 16, "a stack of a million values has a known size");

struct pdict {
    size_t n;
    struct {
        struct str key;
        struct pv value;
    } entries[PK_MEMBERS_MAX];
};

struct pk {
    struct insp *x;
    struct flow *f;
    struct arena *arena; /* of values */
    unsigned flags;
    uint64_t op_at; /* of the opcode at work */
    uint64_t from;  /* of the pickle in the flow */
    VEC(struct pv) stack;
    struct pv **memo; /* pages */
    size_t pages;
    uint32_t memo_n; /* what MEMOIZE stores next */
    struct str_map globals;
    bool reached; /* a call was reached */
    bool is_done; /* STOP */
    bool is_legacy, torch;
    bool has_proto;
    unsigned calls;
    uint64_t ops;
};

static inline struct str pv_text(const struct pv *v)
{
    return str_of(v->u.s, v->n);
}
static inline bool pv_is_str(const struct pv *v)
{
    return v->kind == PV_STR;
}
/* A member of a DICT by name; NULL if it is not known. Only members that matter are (pv_matters). */
const struct pv *pv_member(const struct pv *dict, struct str key);
bool pv_matters(struct str key);

/* ---- pickle_values.c: tensors ---- */

/* What a call of a global with args gives; adds a tensor to the report where it makes one. */
enum status pv_call(struct pk *k, const struct pglobal *g, const struct pv *args, struct pv *out,
                    struct err *err) ATTR_CHECK;
/* A persistent id that names a storage; false if it is none. */
bool pv_storage(struct pk *k, const struct pv *id, struct pv *out);
/* object gets a state. */
enum status pv_build(struct pk *k, struct pv *object, const struct pv *state,
                     struct err *err) ATTR_CHECK;
/* A value becomes the member `key` of something: tensors get their name. */
void pv_named(struct pk *k, const struct pv *key, const struct pv *value);

#endif
