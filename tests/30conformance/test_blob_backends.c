/* Every backend of the blob store: same operations, same answers. The folder always; S3 servers where CAIRN_TEST_S3 names them
 * ("radosgw=http://127.0.0.1:PORT ..."; tools/with-s3 does), each test below a prefix of its own in the bucket "cairn". */
#include "tap.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/blob/blob.h"
#include "store/blob/cdc.h"
#include "store/blob/delta.h"
#include "store/blob/packfile.h"
#include "store/blob/recipe.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PART = 5 << 20, BIG = 2 * PART + 12345 };

static char location[512], endpoint[256];
static const char *state_dir;
static struct blob_options options;
static bool is_chaos; /* the service fails now and then */

static void use_dir(void)
{
    snprintf(location, sizeof(location), "%s/blobs", t_tmpdir());
    options = (struct blob_options){ .location = location };
}

static void use_s3(const char *name)
{
    const char *all = getenv("CAIRN_TEST_S3"), *at = all ? strstr(all, name) : NULL;
    char id[33];

    if (!at) T_SKIP("CAIRN_TEST_S3 names no such server");
    at += strlen(name) + 1;
    snprintf(endpoint, sizeof(endpoint), "%.*s", (int)strcspn(at, " "), at);
    is_chaos = strcmp(name, "double") == 0;
    id_hex32(id);
    snprintf(location, sizeof(location), "s3://cairn/conformance/%s", id);
    state_dir = t_tmpdir();
    options = (struct blob_options){
        .location = location,
        .state_dir = state_dir,
        .s3 = { .endpoint = endpoint, .part_bytes = PART, .stall_ms = 5000 }
    };
}

/* The test on each backend; the names say which. */
#define EACH(name)                                                                                 \
    static void each_##name(void);                                                                 \
    TEST(name##_dir)                                                                               \
    {                                                                                              \
        use_dir();                                                                                 \
        each_##name();                                                                             \
    }                                                                                              \
    TEST(name##_s3_radosgw)                                                                        \
    {                                                                                              \
        use_s3("radosgw");                                                                         \
        each_##name();                                                                             \
    }                                                                                              \
    TEST(name##_s3_versitygw)                                                                      \
    {                                                                                              \
        use_s3("versitygw");                                                                       \
        each_##name();                                                                             \
    }                                                                                              \
    TEST(name##_s3_double)                                                                         \
    {                                                                                              \
        use_s3("double");                                                                          \
        each_##name();                                                                             \
    }                                                                                              \
    static void each_##name(void)

static struct blob_store *open_store(void)
{
    struct blob_store *s = NULL;
    struct err err = ERR_INIT;

    T_ST_ERR(blob_open_with(&s, &options, &err), OK, &err);
    return s;
}

static char *random_bytes(size_t n)
{
    char *p = mem_alloc(n + 8);

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = t_rand();

        memcpy(p + i, &v, sizeof(v));
    }
    return p;
}

static enum status begin_with(struct blob_store *s, const char *p, size_t n, struct blob_writer **w,
                              struct err *err)
{
    enum status st = blob_write_begin(s, w, err);

    for (size_t at = 0; !st && at < n; at += 65536) {
        st = blob_write(*w, p + at, MIN_OF(n - at, (size_t)65536), err);
    }
    return st;
}

static struct digest put(struct blob_store *s, const char *p, size_t n)
{
    struct blob_writer *w;
    struct err err = ERR_INIT;
    struct digest d, want;
    uint64_t size;

    T_ST_ERR(begin_with(s, p, n, &w, &err), OK, &err);
    T_ST_ERR(blob_write_end(w, 0, &d, &size, &err), OK, &err);
    T_UINT(size, n);
    T_OK(sha256_of(p, n, &want));
    T_OK(digest_eq(&d, &want));
    return d;
}

static void check_range(struct blob_store *s, const struct digest *d, const char *p, uint64_t size,
                        uint64_t from, uint64_t n)
{
    char got[30000];
    struct blob_reader *r;
    struct err err = ERR_INIT;
    uint64_t at = from;
    size_t k;

    T_ST_ERR(blob_reader_open(s, d, 0, size, from, n, &r, &err), OK, &err);
    for (;;) {
        T_ST_ERR(blob_reader_next(r, got, sizeof(got), &k, &err), OK, &err);
        if (!k) break;
        T_OK(at + k <= from + n);
        T_MEM(got, p + at, k);
        at += k;
    }
    T_UINT(at, from + n);
    blob_reader_close(r);
}

/* A range, in turns through a pipe and as it is read; how much went through the pipe. */
static uint64_t check_piped(struct blob_store *s, const struct digest *d, const char *p,
                            uint64_t size, uint64_t from, uint64_t n)
{
    static char got[1 << 20];
    struct blob_reader *r;
    struct err err = ERR_INIT;
    uint64_t at = from, piped = 0;
    int fd[2];
    size_t k;

    T_ST_ERR(fs_pipe(fd, sizeof(got), &err), OK, &err);
    T_ST_ERR(blob_reader_open(s, d, 0, size, from, n, &r, &err), OK, &err);
    while (at < from + n) {
        bool has = blob_reader_has_pipe(r);

        k = 0;
        if (t_rand() % 8) {
            T_ST_ERR(blob_reader_next_pipe(r, fd[1], 1 + t_rand() % sizeof(got), &k, &err), OK,
                     &err);
            T_OK(has || !k || piped);
        }
        if (k) {
            T_INT(sys.read(fd[0], got, sizeof(got)), k);
            piped += k;
        } else {
            T_ST_ERR(blob_reader_next(r, got, 1 + t_rand() % 300000, &k, &err), OK, &err);
            T_OK(k > 0);
        }
        T_OK(at + k <= from + n);
        T_MEM(got, p + at, k);
        at += k;
    }
    T_ST_ERR(blob_reader_next_pipe(r, fd[1], sizeof(got), &k, &err), OK, &err);
    T_UINT(k, 0);
    T_ST_ERR(blob_reader_next(r, got, sizeof(got), &k, &err), OK, &err);
    T_UINT(k, 0);
    blob_reader_close(r);
    T_INT(sys.close(fd[0]), 0);
    T_INT(sys.close(fd[1]), 0);
    return piped;
}

static ssize_t refused_splice(int in, int out, size_t n)
{
    (void)in, (void)out, (void)n;
    errno = EINVAL;
    return -1;
}

static size_t left_over(struct blob_store *s)
{
    struct err err = ERR_INIT;
    size_t left;

    T_ST_ERR(blob_tidy(s, &left, &err), OK, &err);
    return left;
}

EACH(sizes)
{
    static const size_t sizes[] = { 0, 1, 32769, PART - 1, PART, PART + 1, BIG };
    struct blob_store *s = open_store();
    char *p = random_bytes(BIG);
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct digest d = put(s, p, sizes[i]);
        uint64_t size;

        T_ST_ERR(blob_stat(s, &d, 0, &size, &err), OK, &err);
        T_UINT(size, sizes[i]);
        T_ST_ERR(blob_check(s, &d, 0, sizes[i], &err), OK, &err);
        check_range(s, &d, p, sizes[i], 0, sizes[i]);
    }
    T_UINT(left_over(s), 0);
    mem_free(p);
    blob_close(s);
}

EACH(ranges)
{
    struct blob_store *s = open_store();
    char *p = random_bytes(BIG);
    struct digest d = put(s, p, BIG);
    struct blob_reader *r;
    struct err err = ERR_INIT;
    char one;
    size_t got;

    check_range(s, &d, p, BIG, 0, 1);
    check_range(s, &d, p, BIG, BIG - 1, 1);
    check_range(s, &d, p, BIG, PART - 10, 20);
    check_range(s, &d, p, BIG, PART + 1, BIG - PART - 1);
    check_range(s, &d, p, BIG, 17, 0);
    T_ST(blob_reader_open(s, &d, 0, BIG, BIG, 1, &r, &err), ST_INVALID);
    T_OK(r == NULL);
    /* Many that are not read to the end. */
    for (int i = 0; i < 40; i++) {
        uint64_t from = t_rand_below(BIG);

        T_ST_ERR(blob_reader_open(s, &d, 0, BIG, from, BIG - from, &r, &err), OK, &err);
        T_ST_ERR(blob_reader_next(r, &one, 1, &got, &err), OK, &err);
        T_UINT(got, 1);
        T_INT(one, p[from]);
        blob_reader_close(r);
    }
    mem_free(p);
    blob_close(s);
}

EACH(bytes_go_through_a_pipe)
{
    struct blob_store *s = open_store();
    char *p = random_bytes(BIG);
    struct digest d = put(s, p, BIG);
    uint64_t piped = 0;

    piped += check_piped(s, &d, p, BIG, 0, BIG);
    piped += check_piped(s, &d, p, BIG, PART - 7, BIG - PART + 7);
    T_UINT(check_piped(s, &d, p, BIG, 5, 100000), 0); /* its connection is kept */
    for (int i = 0; i < 4; i++) {
        uint64_t from = t_rand() % BIG;

        piped += check_piped(s, &d, p, BIG, from, t_rand() % (BIG - from) + 1);
    }
    T_OK(blob_has_files(s) ? piped == 0 : is_chaos || piped > 0);
    sys.splice = refused_splice; /* then they are read */
    T_UINT(check_piped(s, &d, p, BIG, 3, BIG - 3), 0);
    sys.splice = sys_default.splice;
    blob_close(s);
    mem_free(p);
}

/* Reads with the n-th allocation of it failing. What comes is right, and all of it unless memory is said to be out; false: it needed fewer. */
static bool read_without(struct blob_store *s, const struct digest *d, const char *p, int64_t n)
{
    static char got[300000];
    struct blob_reader *r;
    struct err err = ERR_INIT;
    uint64_t at = 0;
    enum status st = OK;
    bool was_short;
    int fd[2];
    size_t k;

    T_ST_ERR(fs_pipe(fd, 512 * 1024, &err), OK, &err);
    T_ST_ERR(blob_reader_open(s, d, 0, PART, 0, PART, &r, &err), OK, &err);
    mem_fail_after(n, true);
    do {
        /* Less than lies there: the rest is held back until more is asked for. */
        size_t max = at < PART / 4 ? 20000 : sizeof(got);

        k = 0;
        if (at > PART / 2) st = blob_reader_next_pipe(r, fd[1], sizeof(got), &k, &err);
        if (!st && k) {
            T_INT(sys.read(fd[0], got, sizeof(got)), k);
        } else if (!st) {
            st = blob_reader_next(r, got, max, &k, &err);
        }
        k = st ? 0 : k;
        T_OK(at + k <= PART);
        T_MEM(got, p + at, k);
        at += k;
    } while (k);
    was_short = mem_call_n() >= n;
    mem_fail_never();
    T_OK(st == OK || (st == ST_NOMEM && was_short));
    T_OK(st == ST_NOMEM || at == PART);
    blob_reader_close(r);
    T_INT(sys.close(fd[0]), 0);
    T_INT(sys.close(fd[1]), 0);
    return was_short;
}

EACH(memory_that_is_short_makes_no_other_bytes)
{
    struct blob_store *s = open_store();
    char *p = random_bytes(PART);
    struct digest d = put(s, p, PART);

    for (int64_t n = 1; n <= 12 && read_without(s, &d, p, n); n++) {
    }
    T_OK(!read_without(s, &d, p, 1000000));
    blob_close(s);
    mem_free(p);
}

EACH(same_bytes_again)
{
    struct blob_store *s = open_store();
    char *p = random_bytes(BIG);
    struct digest d = put(s, p, BIG), e = put(s, p, BIG);

    T_OK(digest_eq(&d, &e));
    d = put(s, p, 1000);
    e = put(s, p, 1000);
    T_OK(digest_eq(&d, &e));
    check_range(s, &d, p, 1000, 0, 1000);
    T_UINT(left_over(s), 0);
    mem_free(p);
    blob_close(s);
}

EACH(missing_and_other_sizes)
{
    struct blob_store *s = open_store();
    struct err err = ERR_INIT;
    struct blob_reader *r;
    struct digest d = put(s, "abc", 3), none = d;
    uint64_t size;

    none.b[5] ^= 1;
    T_ST(blob_stat(s, &none, 0, &size, &err), ST_NOT_FOUND);
    T_ST(blob_stat(s, &d, 1, &size, &err), ST_NOT_FOUND);
    T_ST(blob_check(s, &none, 0, 3, &err), ST_CORRUPT);
    T_ST(blob_check(s, &d, 0, 4, &err), ST_CORRUPT);
    T_ST(blob_check(s, &d, 0, 2, &err), ST_CORRUPT);
    T_ST(blob_reader_open(s, &none, 0, 3, 0, 3, &r, &err), ST_CORRUPT);
    T_OK(r == NULL);
    T_ST(blob_reader_open(s, &d, 0, 4, 0, 4, &r, &err), ST_CORRUPT);
    T_ST(blob_reader_open(s, &d, 0, 4, 1, 2, &r, &err), ST_CORRUPT);
    T_ST(blob_reader_open(s, &d, 0, 1000, 900, 100, &r, &err), ST_CORRUPT);
    T_ST_ERR(blob_delete(s, &none, 0, &err), OK, &err);
    T_ST_ERR(blob_delete(s, &d, 0, &err), OK, &err);
    T_ST(blob_stat(s, &d, 0, &size, &err), ST_NOT_FOUND);
    T_ST_ERR(blob_delete(s, &d, 0, &err), OK, &err);
    d = put(s, "abc", 3);
    T_ST_ERR(blob_check(s, &d, 0, 3, &err), OK, &err);
    T_ST_ERR(blob_health(s, &err), OK, &err);
    blob_close(s);
}

struct seen {
    struct digest all[64];
    unsigned times[64], n, others;
};

static enum status see(void *ctx, const struct blob_entry *e, struct err *err)
{
    struct seen *seen = ctx;

    (void)err;
    for (unsigned i = 0; i < seen->n; i++) {
        if (digest_eq(&seen->all[i], &e->sha256)) {
            T_UINT(e->size, i + 1);
            T_INT(e->gen, 0);
            seen->times[i]++;
            return OK;
        }
    }
    seen->others++;
    return OK;
}

static enum status stop(void *ctx, const struct blob_entry *e, struct err *err)
{
    (void)e;
    ++*(int *)ctx;
    return err_set(err, ST_CANCELLED, "enough");
}

EACH(listing)
{
    struct blob_store *s = open_store();
    struct err err = ERR_INIT;
    struct seen seen = { .n = 64 };
    int calls = 0;
    char text[64];

    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < seen.n; i++) {
        seen.all[i] = put(s, text, i + 1);
    }
    for (unsigned shard = 0; shard < BLOB_SHARDS; shard++) {
        T_ST_ERR(blob_list(s, shard, see, &seen, &err), OK, &err);
    }
    for (unsigned i = 0; i < seen.n; i++) {
        T_UINT(seen.times[i], 1);
    }
    T_UINT(seen.others, 0);
    T_ST(blob_list(s, seen.all[0].b[0], stop, &calls, &err), ST_CANCELLED);
    T_INT(calls, 1);
    blob_close(s);
}

EACH(given_up_uploads_leave_nothing)
{
    struct blob_store *s = open_store();
    char *p = random_bytes(BIG);
    struct blob_writer *w;
    struct err err = ERR_INIT;
    struct digest d;
    uint64_t size;

    T_ST_ERR(begin_with(s, p, BIG, &w, &err), OK, &err);
    T_UINT(left_over(s), 1);
    blob_write_abort(w);
    T_ST_ERR(begin_with(s, p, 100, &w, &err), OK, &err);
    blob_write_abort(w);
    blob_write_abort(NULL);
    for (int i = 0; i < 3000 && left_over(s); i++) {
        struct timespec nap = { .tv_nsec = 10000000 };

        nanosleep(&nap, NULL); /* a part that is on its way comes first */
    }
    T_UINT(left_over(s), 0);
    T_OK(sha256_of(p, BIG, &d));
    T_ST(blob_stat(s, &d, 0, &size, &err), ST_NOT_FOUND);
    mem_free(p);
    blob_close(s);
}

/* Reopening leaves what is at work elsewhere alone: here, an upload of a second process on the same bucket. */
EACH(reopened_bytes_are_there)
{
    struct blob_store *s = open_store();
    char *p = random_bytes(BIG);
    struct digest d = put(s, p, BIG), e = put(s, p, 77);

    blob_close(s);
    s = open_store();
    check_range(s, &d, p, BIG, 0, BIG);
    check_range(s, &e, p, 77, 7, 70);
    mem_free(p);
    blob_close(s);
}

struct upload {
    struct exec_job job;
    struct blob_store *s;
    char *p;
    size_t n;
    struct digest d;
};

static void upload(struct exec_job *job, unsigned worker)
{
    struct upload *u = CONTAINER_OF(job, struct upload, job);

    (void)worker;
    u->d = put(u->s, u->p, u->n);
    check_range(u->s, &u->d, u->p, u->n, 0, u->n);
}

EACH(many_at_once)
{
    struct blob_store *s = open_store();
    struct exec_pool *pool;
    struct err err = ERR_INIT;
    struct upload u[8];

    T_ST_ERR(exec_pool_new(&pool, "test", 4, 100, &err), OK, &err);
    for (size_t i = 0; i < ARRAY_N(u); i++) {
        u[i] =
            (struct upload){ .job = { .run = upload }, .s = s, .n = i % 2 ? PART + i : 1000 + i };
        u[i].p = random_bytes(u[i].n);
        T_ST(exec_pool_submit(pool, &u[i].job), OK);
    }
    exec_pool_free(pool);
    for (size_t i = 0; i < ARRAY_N(u); i++) {
        T_ST_ERR(blob_check(s, &u[i].d, 0, u[i].n, &err), OK, &err);
        mem_free(u[i].p);
    }
    T_UINT(left_over(s), 0);
    blob_close(s);
}

/* Larger than what one copy takes. */
EACH(copied_in_ranges)
{
    struct blob_store *s;
    char *p = random_bytes(BIG);
    struct digest d;

    options.s3.copy_max = 5 << 20;
    s = open_store();
    d = put(s, p, BIG);
    check_range(s, &d, p, BIG, 0, BIG);
    /* An upload to a content key whose creation was answered to nobody may be another server's: it goes by age. */
    if (!is_chaos) T_UINT(left_over(s), 0);
    mem_free(p);
    blob_close(s);
}

/* Killed at each point of a write: what was complete before is there, what was not is whole or absent, and after the next start
 * nothing is left over. */
EACH(killed_at_every_point)
{
    static const char *const dir[] = { "blob.write.before_sync", "blob.write.before_rename",
                                       "blob.write.before_dir_sync", "blob.write.after_dir_sync" };
    static const char *const s3[] = { "blob.s3.put.before",       "blob.s3.put.after",
                                      "blob.s3.upload.created",   "blob.s3.upload.part_handed",
                                      "blob.s3.upload.part_sent", "blob.s3.complete.before",
                                      "blob.s3.complete.after",   "blob.s3.copy.after" };
    bool is_s3 = strncmp(location, "s3:", 3) == 0;
    char *p = random_bytes(BIG);
    struct err err = ERR_INIT;
    struct digest first, second;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    T_OK(sha256_of("first", 5, &first));
    for (size_t i = 0; i < (is_s3 ? ARRAY_N(s3) : ARRAY_N(dir)); i++) {
        const char *point = is_s3 ? s3[i] : dir[i];
        size_t n = is_s3 && i < 2 ? 1000 + i : BIG - i;
        struct blob_store *s;
        char spec[64];
        int status;
        uint64_t size;
        pid_t pid = fork();

        T_OK(pid >= 0);
        if (pid == 0) {
            s = open_store();
            (void)put(s, "first", 5);
            snprintf(spec, sizeof(spec), "%s=kill", point);
            failpoint_arm(spec);
            (void)put(s, p, n); /* does not return */
            _exit(1);
        }
        T_INT(waitpid(pid, &status, 0), pid);
        T_OK(WIFSIGNALED(status));
        s = open_store();
        check_range(s, &first, "first", 5, 0, 5);
        T_OK(sha256_of(p, n, &second));
        if (blob_stat(s, &second, 0, &size, &err) == OK) {
            check_range(s, &second, p, n, 0, n);
        }
        T_UINT(left_over(s), 0);
        second = put(s, p, n);
        check_range(s, &second, p, n, 0, n);
        T_UINT(left_over(s), 0);
        blob_close(s);
    }
    mem_free(p);
}

/* Memory runs out at each allocation of a write and a read in turn, also inside of libcurl: it fails with a reason or succeeds, and
 * the next one succeeds. */
static enum status put_and_get(struct blob_store *s, const char *p, size_t n, struct digest *d,
                               struct err *err)
{
    struct blob_reader *r = NULL;
    struct blob_writer *w;
    char got[4096];
    uint64_t size;
    size_t k = 0;
    enum status st = blob_write_begin(s, &w, err);

    if (st) return st;
    st = blob_write(w, p, n, err);
    if (st) {
        blob_write_abort(w);
        return st;
    }
    st = blob_write_end(w, 0, d, &size, err);
    st = st ? st : blob_reader_open(s, d, 0, n, 0, n, &r, err);
    st = st ? st : blob_reader_next(r, got, sizeof(got), &k, err);
    if (!st) T_MEM(got, p, k);
    blob_reader_close(r);
    return st;
}

static const char upload_id[] = "0123456789abcdef0123456789abcdef";

/* Adds [from, to) to an upload, as *saved says, and saves it. */
static void add_saved(struct blob_store *s, const char *p, size_t from, size_t to,
                      struct blob_saved *saved, struct buf *ledger)
{
    struct blob_writer *w;
    struct err err = ERR_INIT;

    T_ST_ERR(blob_resume(s, str_cstr(upload_id), saved, &w, &err), OK, &err);
    for (size_t at = from; at < to; at += 65536) {
        T_ST_ERR(blob_write(w, p + at, MIN_OF(to - at, (size_t)65536), &err), OK, &err);
    }
    T_ST_ERR(blob_resume_save(w, ledger, saved, &err), OK, &err);
    T_UINT(saved->at, to);
    blob_write_abort(w);
}

/* In four requests, with the store closed in between; what was written and not saved is as if it never came. */
EACH(upload_goes_on_later)
{
    static const size_t steps[] = { 100000, PART + 77, 2 * PART + 1000, BIG };
    struct buf ledger = BUF_INIT(BLOB_LEDGER_MAX), kept = BUF_INIT(BLOB_LEDGER_MAX);
    struct blob_saved saved = { .at = 0, .ledger = S("") };
    struct blob_store *s = open_store();
    struct err err = ERR_INIT;
    char *p = random_bytes(BIG);
    struct blob_writer *w, *second;
    struct digest d, want;
    uint64_t size;

    for (size_t i = 0; i + 1 < ARRAY_N(steps); i++) {
        add_saved(s, p, i ? steps[i - 1] : 0, steps[i], &saved, &ledger);
        buf_clear(&kept);
        buf_put_str(&kept, saved.ledger);
        saved.ledger = kept.n ? buf_str(&kept) : S("");
        T_ST_ERR(blob_resume(s, str_cstr(upload_id), &saved, &w, &err), OK, &err);
        T_ST(blob_resume(s, str_cstr(upload_id), &saved, &second, &err), ST_CONFLICT);
        T_OK(blob_resume_is_busy(s, str_cstr(upload_id)));
        T_ST_ERR(blob_write(w, p + steps[i], 5000, &err), OK, &err);
        blob_write_abort(w);
        T_OK(!blob_resume_is_busy(s, str_cstr(upload_id)));
        blob_close(s);
        s = open_store();
    }
    T_ST_ERR(blob_resume(s, str_cstr(upload_id), &saved, &w, &err), OK, &err);
    T_ST_ERR(blob_write(w, p + saved.at, BIG - saved.at, &err), OK, &err);
    T_ST_ERR(blob_write_end(w, 0, &d, &size, &err), OK, &err);
    T_UINT(size, BIG);
    T_OK(sha256_of(p, BIG, &want) && digest_eq(&d, &want));
    check_range(s, &d, p, BIG, 0, BIG);
    /* Naming it failed, say: it can be had once more. */
    T_ST_ERR(blob_resume(s, str_cstr(upload_id), &saved, &w, &err), OK, &err);
    T_ST_ERR(blob_write(w, p + saved.at, BIG - saved.at, &err), OK, &err);
    T_ST_ERR(blob_write_end(w, 1, &d, &size, &err), OK, &err);
    T_OK(digest_eq(&d, &want));
    T_ST_ERR(blob_check(s, &d, 1, BIG, &err), OK, &err);
    T_ST_ERR(blob_resume_drop(s, str_cstr(upload_id), saved.ledger, &err), OK, &err);
    T_ST_ERR(blob_resume_drop(s, str_cstr(upload_id), saved.ledger, &err), OK, &err);
    check_range(s, &d, p, BIG, 0, BIG);
    T_OK(blob_resume(s, str_cstr(upload_id), &saved, &w, &err) != OK);
    buf_release(&ledger);
    buf_release(&kept);
    mem_free(p);
    blob_close(s);
}

/* Killed while it saves: what was saved before is there to go on from. */
EACH(killed_while_it_saves)
{
    bool is_s3 = strncmp(location, "s3:", 3) == 0;
    struct buf ledger = BUF_INIT(BLOB_LEDGER_MAX);
    struct blob_saved saved = { .at = 0, .ledger = S("") };
    struct blob_store *s = open_store();
    struct err err = ERR_INIT;
    char *p = random_bytes(BIG);
    struct blob_writer *w;
    struct digest d;
    uint64_t size;
    int status;
    pid_t pid;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    add_saved(s, p, 0, PART + 77, &saved, &ledger);
    blob_close(s);
    pid = fork();
    T_OK(pid >= 0);
    if (pid == 0) {
        struct buf other = BUF_INIT(BLOB_LEDGER_MAX);

        s = open_store();
        failpoint_arm(is_s3 ? "blob.s3.resume.saved=kill" : "blob.resume.before_sync=kill");
        add_saved(s, p, PART + 77, 2 * PART + 99, &saved, &other); /* does not return */
        _exit(1);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    T_OK(WIFSIGNALED(status));
    s = open_store();
    T_ST_ERR(blob_resume(s, str_cstr(upload_id), &saved, &w, &err), OK, &err);
    T_ST_ERR(blob_write(w, p + saved.at, BIG - saved.at, &err), OK, &err);
    T_ST_ERR(blob_write_end(w, 0, &d, &size, &err), OK, &err);
    check_range(s, &d, p, BIG, 0, BIG);
    T_ST_ERR(blob_resume_drop(s, str_cstr(upload_id), saved.ledger, &err), OK, &err);
    buf_release(&ledger);
    mem_free(p);
    blob_close(s);
}

static void each_allocation_fails(void)
{
    struct blob_store *s;
    char text[1000];
    int failed = 0;

    memset(text, 'm', sizeof(text));
    options.s3.patience_ms = 1000;
    s = open_store();
    (void)put(s, text, sizeof(text)); /* libraries are loaded now */
    for (int n = 1; n < 5000; n++) {
        struct err err = ERR_INIT;
        struct digest d;
        enum status st;
        bool reached;

        text[0] = (char)n;
        text[1] = (char)(n >> 8);
        mem_fail_after(n, true);
        st = put_and_get(s, text, sizeof(text), &d, &err);
        reached = mem_call_n() >= n;
        mem_fail_never();
        failed += st != OK;
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        T_ST_ERR(put_and_get(s, text, sizeof(text), &d, &err), OK, &err);
        if (!reached) break;
    }
    T_OK(failed > 0);
    blob_close(s);
}

TEST(memory_runs_out_dir)
{
    use_dir();
    each_allocation_fails();
}

TEST(memory_runs_out_s3_radosgw)
{
    use_s3("radosgw");
    each_allocation_fails();
}

/* Two stores on one bucket: neither takes the other's uploads for leftovers. */
static void two_at_once(void)
{
    struct blob_store *one = open_store(), *two;
    char *p = random_bytes(BIG);
    struct blob_writer *w;
    struct err err = ERR_INIT;
    struct digest d;
    uint64_t size;

    options.state_dir = t_tmpdir();
    two = open_store();
    T_ST_ERR(begin_with(one, p, BIG, &w, &err), OK, &err);
    T_UINT(left_over(two), 1);
    T_UINT(left_over(one), 1);
    T_ST_ERR(blob_write_end(w, 0, &d, &size, &err), OK, &err);
    check_range(two, &d, p, BIG, 0, BIG);
    T_UINT(left_over(two), 0);
    blob_close(two);
    blob_close(one);
    mem_free(p);
}

TEST(two_servers_s3_radosgw)
{
    use_s3("radosgw");
    two_at_once();
}

TEST(two_servers_s3_versitygw)
{
    use_s3("versitygw");
    two_at_once();
}

/* ---- packs ------------------------------------------------------------------------------------------------------------------------ */

enum { PACK_RAW = 1 << 20 };

/* A pack of the bytes p, cut as objects are. */
static struct recipe_pack put_pack(struct blob_store *s, const char *p, size_t n, uint32_t *chunks)
{
    struct recipe_pack pack = { .id = blob_pack_draw() };
    struct blob_pack_writer *w = NULL;
    struct err err = ERR_INIT;

    T_ST_ERR(blob_pack_begin(s, pack.id, &w, &err), OK, &err);
    for (size_t at = 0; at < n;) {
        size_t k = cdc_cut(p + at, n - at);
        struct digest id = cdc_id(p + at, k);

        T_ST_ERR(blob_pack_add(w, &id, p + at, k, &err), OK, &err);
        at += k;
    }
    *chunks = blob_pack_chunks(w);
    T_ST_ERR(blob_pack_end(w, &pack.bytes, &err), OK, &err);
    return pack;
}

static uint64_t file_pieces;

/* Bytes that lie in a file as they are: at most 300,000 of them. */
static uint64_t check_file(struct blob_reader *r, const char *want)
{
    static char got[300000];
    struct err err = ERR_INIT;
    uint64_t at = 0, n = 0;
    int fd = -1;

    T_ST_ERR(blob_reader_next_file(r, 131072 + t_rand() % 168928, &fd, &at, &n, &err), OK, &err);
    if (n) {
        T_OK(n <= sizeof(got));
        T_INT(sys.pread(fd, got, n, (off_t)at), n);
        T_MEM(got, want, n);
        file_pieces++;
    }
    return n;
}

static void check_packed_as(struct blob_store *s, const struct blob_object *o, const char *p,
                            uint64_t from, uint64_t n, unsigned files_of_4)
{
    struct blob_reader *r = NULL;
    struct err err = ERR_INIT;
    char got[70000];
    uint64_t at = 0;
    size_t k = 1;

    T_ST_ERR(blob_object_open(s, o, from, n, &r, &err), OK, &err);
    while (k) {
        if (t_rand() % 4 < files_of_4) at += check_file(r, p + from + at);
        T_ST_ERR(blob_reader_next(r, got, 1 + t_rand() % sizeof(got), &k, &err), OK, &err);
        T_OK(at + k <= n);
        T_MEM(got, p + from + at, k);
        at += k;
    }
    T_UINT(at, n);
    blob_reader_close(r);
}

static void check_packed(struct blob_store *s, const struct blob_object *o, const char *p,
                         uint64_t from, uint64_t n)
{
    check_packed_as(s, o, p, from, n, 0);
    check_packed_as(s, o, p, from, n, 2);
    check_packed_as(s, o, p, from, n, 4);
}

EACH(objects_in_packs)
{
    struct blob_store *s = open_store();
    char *p = random_bytes(2 * PACK_RAW);
    struct recipe_pack packs[2];
    struct recipe_extent extents[3];
    struct recipe r = { .packs = packs, .packs_n = 2, .extents = extents, .extents_n = 3 };
    struct blob_object o = { .size = 2 * PACK_RAW };
    struct buf b = BUF_INIT(4096);
    const struct packfile *first = NULL, *again = NULL;
    struct err err = ERR_INIT;
    uint32_t n[2];
    uint64_t half = 0;

    memset(p + PACK_RAW, 'x', PACK_RAW / 2); /* some of it compresses */
    packs[0] = put_pack(s, p, PACK_RAW, &n[0]);
    packs[1] = put_pack(s, p + PACK_RAW, PACK_RAW, &n[1]);
    T_OK(packs[1].bytes < PACK_RAW * 2 / 3);
    T_ST_ERR(blob_pack_open(s, packs[0].id, packs[0].bytes, &first, &err), OK, &err);
    T_UINT(first->n, n[0]);
    for (uint32_t i = 0; i < n[0] / 2; i++) {
        half += first->chunks[i].raw;
    }
    T_ST_ERR(blob_pack_open(s, packs[0].id, packs[0].bytes, &again, &err), OK, &err);
    T_OK(again == first);
    blob_pack_close(s, again);
    blob_pack_close(s, first);
    extents[0] = (struct recipe_extent){ .chunks = n[0] / 2, .raw = half };
    extents[1] = (struct recipe_extent){ .first = n[0] / 2,
                                         .chunks = n[0] - n[0] / 2,
                                         .raw = PACK_RAW - half };
    extents[2] = (struct recipe_extent){ .pack = 1, .chunks = n[1], .raw = PACK_RAW };
    recipe_put(&b, &r);
    o.recipe = buf_str(&b);
    T_ST_ERR(blob_object_check(s, &o, &err), OK, &err);
    check_packed(s, &o, p, 0, o.size);
    check_packed(s, &o, p, half - 1, 2);
    check_packed(s, &o, p, PACK_RAW - 1, 70000);
    check_packed(s, &o, p, o.size, 0);
    check_packed(s, &o, p, o.size - 1, 1);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t from = t_rand() % o.size;

        check_packed(s, &o, p, from, t_rand() % MIN_OF(o.size - from + 1, (uint64_t)300000));
    }
    T_ST(blob_object_open(s, &o, o.size, 1, &(struct blob_reader *){ NULL }, &err), ST_INVALID);
    blob_close(s);
    /* Everything is there for the next process as well. */
    s = open_store();
    check_packed(s, &o, p, 100, PACK_RAW);
    T_OK(file_pieces == 0 || blob_has_files(s));
    T_OK(file_pieces > 0 || !blob_has_files(s));
    extents[2].raw--;
    buf_clear(&b);
    recipe_put(&b, &r);
    o.recipe = buf_str(&b);
    o.size--;
    T_ST(blob_object_check(s, &o, &err), ST_CORRUPT);
    T_ST_ERR(blob_pack_delete(s, packs[0].id, &err), OK, &err);
    T_ST_ERR(blob_pack_delete(s, packs[0].id, &err), OK, &err);
    T_ST(blob_pack_open(s, packs[0].id, packs[0].bytes, &first, &err), ST_CORRUPT);
    T_ST(blob_pack_open(s, packs[1].id, packs[1].bytes + 1, &first, &err), ST_CORRUPT);
    blob_close(s);
    buf_release(&b);
    mem_free(p);
}

/* An object of which each further version is kept as differences from the one before, in packs of their own. */
EACH(objects_of_differences)
{
    enum { N = 150000 + 3 };
    struct blob_store *s = open_store();
    char *p = random_bytes(N), *next = random_bytes(N), *d = mem_alloc(N);
    struct recipe_pack packs[RECIPE_STEPS_MAX + 1];
    struct recipe_run under[RECIPE_STEPS_MAX] = { { 0 } };
    struct recipe_extent extents[2] = { { 0 } };
    struct recipe r = { .packs = packs, .packs_n = 1, .extents = extents, .extents_n = 1 };
    struct blob_object o = { .size = N };
    struct buf b = BUF_INIT(4096);
    struct err err = ERR_INIT;
    uint32_t n[RECIPE_STEPS_MAX + 1];

    T_OK(d != NULL);
    packs[0] = put_pack(s, p, N, &n[0]);
    for (unsigned step = 1; step <= RECIPE_STEPS_MAX; step++) {
        unsigned width = step % 2 ? 4 : 2;

        memcpy(next, p, N);
        for (size_t i = 0; i < N; i += 4 + t_rand() % 60) {
            next[i] = (char)(next[i] + 3);
        }
        delta_make((unsigned char *)d, p, next, N, width);
        packs[step] = put_pack(s, d, N, &n[step]);
        T_OK(packs[step].bytes < N * 3 / 4);
        memcpy(p, next, N);
        under[step - 1] = (struct recipe_run){
            .pack = step - 1,
            .chunks = n[step - 1],
            .width = (uint8_t)(step == 1  ? 0
                               : step % 2 ? 2
                                          : 4),
        };
        r.packs_n = step + 1;
        extents[0] = (struct recipe_extent){ .pack = step,
                                             .chunks = n[step],
                                             .raw = N,
                                             .width = (uint8_t)width,
                                             .under = under,
                                             .under_n = (uint8_t)step };
        buf_clear(&b);
        recipe_put(&b, &r);
        o.recipe = buf_str(&b);
        T_ST_ERR(blob_object_check(s, &o, &err), OK, &err);
        check_packed(s, &o, p, 0, N);
        check_packed(s, &o, p, N - 5, 5);
        for (unsigned i = 0; i < 3; i++) {
            uint64_t from = t_rand() % N;

            check_packed(s, &o, p, from, t_rand() % MIN_OF(N - from + 1, (uint64_t)70000));
        }
    }
    blob_close(s);
    buf_release(&b);
    mem_free(p);
    mem_free(next);
    mem_free(d);
}

/* Bytes as they are, then differences from the middle of another's chunks. What does not fit is damage. */
EACH(differences_from_the_middle_of_chunks)
{
    enum { N = 300000, HEAD = 100000 };
    struct blob_store *s = open_store();
    char *old = random_bytes(N), *p = random_bytes(N), *d = mem_alloc(N);
    struct recipe_pack packs[3];
    struct recipe_run under = { 0 };
    struct recipe_extent extents[2] = { { 0 } };
    struct recipe r = { .packs = packs, .packs_n = 3, .extents = extents, .extents_n = 2 };
    struct blob_object o = { .size = N };
    const struct packfile *foot = NULL;
    struct buf b = BUF_INIT(4096);
    struct err err = ERR_INIT;
    uint32_t n[3];

    T_OK(d != NULL);
    delta_make((unsigned char *)d, old + HEAD, p + HEAD, N - HEAD, 4);
    packs[0] = put_pack(s, old, N, &n[0]);
    packs[1] = put_pack(s, p, HEAD, &n[1]);
    packs[2] = put_pack(s, d, N - HEAD, &n[2]);
    T_ST_ERR(blob_pack_open(s, packs[0].id, packs[0].bytes, &foot, &err), OK, &err);
    under.skip = HEAD;
    while (under.skip >= foot->chunks[under.first].raw) {
        under.skip -= foot->chunks[under.first++].raw;
    }
    under.chunks = n[0] - under.first;
    blob_pack_close(s, foot);
    extents[0] = (struct recipe_extent){ .pack = 1, .chunks = n[1], .raw = HEAD };
    extents[1] = (struct recipe_extent){
        .pack = 2, .chunks = n[2], .raw = N - HEAD, .width = 4, .under = &under, .under_n = 1
    };
    recipe_put(&b, &r);
    o.recipe = buf_str(&b);
    T_ST_ERR(blob_object_check(s, &o, &err), OK, &err);
    check_packed(s, &o, p, 0, N);
    check_packed(s, &o, p, HEAD - 3, 7);
    check_packed(s, &o, p, HEAD + 1, 1);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t from = t_rand() % N;

        check_packed(s, &o, p, from, t_rand() % (N - from + 1));
    }
    for (unsigned i = 0; i < 5; i++) {
        struct recipe_run was = under;
        struct blob_reader *reader = NULL;
        size_t got = 0;

        switch (i) {
        case 0: under.skip += 4; break; /* ends early */
        case 1: under.chunks--; break;
        case 2: under.chunks++; break;
        case 3: under.skip = 131072; break;
        default: under.first = UINT32_MAX; break;
        }
        buf_clear(&b);
        recipe_put(&b, &r);
        o.recipe = buf_str(&b);
        T_ST(blob_object_check(s, &o, &err), ST_CORRUPT);
        T_ST_ERR(blob_object_open(s, &o, HEAD, 100, &reader, &err), OK, &err);
        T_ST(blob_reader_next(reader, d, 100, &got, &err), ST_CORRUPT);
        blob_reader_close(reader);
        under = was;
    }
    /* Without what is below there is nothing. */
    T_ST_ERR(blob_pack_delete(s, packs[0].id, &err), OK, &err);
    T_ST(blob_object_check(s, &o, &err), ST_CORRUPT);
    blob_close(s);
    buf_release(&b);
    mem_free(old);
    mem_free(p);
    mem_free(d);
}

EACH(a_pack_that_is_given_up_leaves_nothing)
{
    struct blob_store *s = open_store();
    struct blob_pack_writer *w = NULL;
    const struct packfile *p = NULL;
    char *bytes = random_bytes(50000);
    struct digest id = cdc_id(bytes, 50000);
    struct err err = ERR_INIT;
    uint64_t pack = blob_pack_draw();
    size_t left = 0;

    T_ST_ERR(blob_pack_begin(s, pack, &w, &err), OK, &err);
    T_ST_ERR(blob_pack_add(w, &id, bytes, 50000, &err), OK, &err);
    blob_pack_abort(w);
    T_ST(blob_pack_open(s, pack, 50000 + 88, &p, &err), ST_CORRUPT);
    T_ST_ERR(blob_tidy(s, &left, &err), OK, &err);
    T_UINT(left, 0);
    blob_close(s);
    mem_free(bytes);
}
