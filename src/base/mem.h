/* base/mem.h - the allocator everything goes through.
 * Nothing outside base/ calls malloc. Every call may return NULL; callers return ST_NOMEM. Tests make the n-th call
 * fail with mem_fail_after(). Third-party libraries (SQLite, OpenSSL, libuv) are pointed at the same calls.
 * Thread rule: any thread. */
#ifndef CAIRN_BASE_MEM_H
#define CAIRN_BASE_MEM_H

#include "base/compiler.h"
#include <stdbool.h>

void *mem_alloc(size_t n);
/* n * size bytes, zeroed; NULL on overflow too. */
void *mem_zalloc(size_t n, size_t size);
void *mem_realloc(void *p, size_t n);
void mem_free(void *p); /* NULL-safe */
char *mem_strdup(const char *c);
/* Asks for huge pages below n bytes that will be written from end to end: in pages of 4 KiB a third of the time of a large
 * answer goes into faults. The system may refuse. */
void mem_huge(void *p, size_t n);
/* At the start of a program: allocations of many megabytes go back to the system when they are freed. Without this the C
 * library learns to keep up to 32 MB of them in the heap of each thread. */
void mem_start(void);
/* Gives all that is free back to the system. Takes milliseconds and holds up every thread that allocates: for quiet moments. */
void mem_trim(void);
/* Lets go of every page of files that are mapped to be read or run and were never changed here: the program and its libraries, most of
 * which only the loader and the start of the program have touched. What is used again comes back from the system's cache. Linux only. */
void mem_drop_files(void);

/* Bytes in use: of what these calls handed out and did not get back, as large as the C library made it. Each thread tells of its
 * changes in steps of 16 KiB, so the figure is that far off for each thread at work. */
int64_t mem_bytes(void);
/* The largest that mem_bytes() has been, in those steps, since the start or the last mem_peak_restart(). */
int64_t mem_peak_bytes(void);
void mem_peak_restart(void);
/* A thread tells what it has not told yet: its last act, done by base/exec. */
void mem_thread_ends(void);

/* Fault injection, for tests: the n-th call from now (1 = the next) and all after it until mem_fail_never() return
 * NULL; `once` fails only that call. */
void mem_fail_after(int64_t n, bool once);
void mem_fail_never(void);
/* Calls of mem_alloc, mem_zalloc and mem_realloc since the last mem_fail_after/never. */
int64_t mem_call_n(void);

#endif
