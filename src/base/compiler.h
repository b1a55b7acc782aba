/* base/compiler.h - the GNU extensions we use, behind names.
 * Everything else in the tree is plain C17; a compiler without these only loses checks. */
#ifndef CAIRN_BASE_COMPILER_H
#define CAIRN_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define ATTR_FORMAT(fmt, args) __attribute__((format(printf, fmt, args)))
#define ATTR_CHECK             __attribute__((warn_unused_result))
#define ATTR_NORETURN          __attribute__((noreturn))
#define ATTR_UNUSED            __attribute__((unused))
#define ATTR_COLD              __attribute__((cold))
#define ATTR_ALIGNED(n)        __attribute__((aligned(n)))
/* A local that the build is not to zero by itself (-ftrivial-auto-var-init): big, on a hot path, and set by hand. */
#define ATTR_UNINIT __attribute__((uninitialized))
#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_N(a)                      (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define MIN_OF(a, b)                    ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)                    ((a) > (b) ? (a) : (b))

/* Discard a status on purpose; the comment beside the call says why that is right. */
#define IGNORE_STATUS(x)                                                                           \
    do {                                                                                           \
        if (x) {                                                                                   \
        }                                                                                          \
    } while (0)

/* A broken invariant: write what is known and abort. Never for bad input, full disks or lost peers. */
ATTR_NORETURN ATTR_COLD void bug_at(const char *file, int line, const char *what);
#define BUG(what) bug_at(__FILE__, __LINE__, (what))

/* Branches that should be decided already: asserts in debug, plain values in release. */
#ifdef NDEBUG
#define ALWAYS(x) (x)
#define NEVER(x)  (x)
#else
#define ALWAYS(x) ((x) ? 1 : (bug_at(__FILE__, __LINE__, "ALWAYS(" #x ")"), 0))
#define NEVER(x)  ((x) ? (bug_at(__FILE__, __LINE__, "NEVER(" #x ")"), 1) : 0)
#endif
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (UNLIKELY(!(x))) {                                                                      \
            bug_at(__FILE__, __LINE__, "CHECK(" #x ")");                                           \
        }                                                                                          \
    } while (0)

#endif
