/* Artifacts through the store, on both engines: bytes, places, trees, listings, and what fails on the way. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char *random_bytes(struct corefix *f, size_t n)
{
    char *p = arena_alloc(f->a, n + 1);

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)t_rand();
    }
    return p;
}

static void check(struct corefix *f, struct str path, const void *p, size_t n)
{
    struct str got;

    T_ST_ERR(corefix_get(f, path, &got), OK, &f->err);
    T_STR_EQ(got, str_of(p, n));
}

static int64_t rows(struct corefix *f, const char *sql)
{
    return sqltest_int(f->v.conn, sql);
}

SQL_TEST(sizes_around_the_inline_limit)
{
    static const size_t sizes[] = { 0, 1, 32767, 32768, 32769, 65536, 65537, 1 << 20 };
    struct corefix f;
    char *p;

    corefix_open(&f, location, NULL);
    p = random_bytes(&f, 1 << 20);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_N(sizes); i++) {
            struct str path = arena_printf(f.a, "big/%zu.bin", sizes[i]);

            if (round == 0) T_ST_ERR(corefix_put(&f, path, p, sizes[i]), OK, &f.err);
            check(&f, path, p, sizes[i]);
        }
        T_INT(rows(&f, "SELECT count(*) FROM object WHERE body IS NOT NULL"), 4);
        T_INT(rows(&f, "SELECT count(*) FROM object WHERE recipe IS NOT NULL"), 4);
        corefix_reopen(&f);
    }
    corefix_close(&f);
}

SQL_TEST(same_bytes_share_an_object_and_the_last_writer_wins)
{
    struct corefix f;
    struct artifact_place place;
    struct artifact_info *infos;
    char *p;
    size_t n;
    bool more;

    corefix_open(&f, location, NULL);
    p = random_bytes(&f, 40000);
    T_ST_ERR(corefix_put(&f, S("a/x"), p, 40000), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("b/y"), p, 40000), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("c"), "small", 5), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("d"), "small", 5), OK, &f.err);
    T_INT(rows(&f, "SELECT count(*) FROM object"), 2);
    T_ST_ERR(corefix_put(&f, S("c"), "other", 6), OK, &f.err);
    check(&f, S("c"), "other", 6);
    check(&f, S("d"), "small", 5);
    check(&f, S("b/y"), p, 40000);
    T_ST(artifact_proxy_place(&f.v, S(""), &place, &f.err), OK);
    T_ST_ERR(artifact_list(&f.v, &place, S(""), 100, &infos, &n, &more, &f.err), OK, &f.err);
    T_INT(n, 4);
    T_STR(infos[2].name, "c");
    T_INT(infos[2].size, 6);
    T_OK(!infos[2].is_dir);
    T_OK(infos[2].mtime_ms > 1500000000000);
    corefix_close(&f);
}

SQL_TEST(files_and_directories_exclude_each_other)
{
    struct corefix f;
    struct str got;

    corefix_open(&f, location, NULL);
    T_ST_ERR(corefix_put(&f, S("a/b/c"), "1", 1), OK, &f.err);
    T_ST(corefix_put(&f, S("a"), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("a/b"), "2", 1), ST_INVALID);
    T_CSTR(f.err.field, "path");
    T_ST(corefix_put(&f, S("a/b/c/d"), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("a/b/c/d/e/f"), "2", 1), ST_INVALID);
    T_OK(strstr(f.err.message, "'a/b/c' is a file") != NULL);
    T_STR(corefix_ls(&f, S("a/b")), "c");
    T_ST(corefix_get(&f, S("a/b"), &got), ST_NOT_FOUND);
    T_CSTR(f.err.message, "No such artifact: 'a/b'");
    T_ST(corefix_get(&f, S("a/b/c/d"), &got), ST_NOT_FOUND);
    T_ST(corefix_put(&f, S(""), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("../x"), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("a/%2e%2e/x"), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("/etc/passwd"), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("a//x"), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("a\0b"), "2", 1), ST_INVALID);
    T_ST(corefix_put(&f, S("a/\xff"), "2", 1), ST_INVALID);
    corefix_close(&f);
}

/* The URIs of roots are not in the order of the names that they make: '!', '-' and '.' come before '/'. */
SQL_TEST(names_of_roots_come_in_order_and_page)
{
    static const char *const tops[] = {
        "a", "a-b", "a-b-c", "a.b", "ab", "a!", "b/c", "b-/d", "0"
    };
    struct corefix f;
    struct artifact_place place;
    struct artifact_info *infos;
    struct str after = S(""), all = S("");
    bool more = true;

    corefix_open(&f, location, NULL);
    for (size_t i = 0; i < ARRAY_N(tops); i++) {
        for (int k = 0; k < 2; k++) {
            struct str run = corefix_new_run(&f, 0);
            struct str path = arena_printf(f.a, "%s/%.*s/artifacts/f", tops[i], STR_ARG(run));

            T_ST_ERR(corefix_put(&f, path, "1", 1), OK, &f.err);
        }
    }
    T_ST_ERR(corefix_put(&f, S("a-a/file"), "1", 1), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("a0"), "1", 1), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("b/file"), "1", 1), OK, &f.err);
    T_STR(corefix_ls(&f, S("")), "0/ a/ a!/ a-a/ a-b/ a-b-c/ a.b/ a0 ab/ b/ b-/");
    T_ST(artifact_proxy_place(&f.v, S(""), &place, &f.err), OK);
    while (more) {
        size_t n;

        T_ST_ERR(artifact_list(&f.v, &place, after, 2, &infos, &n, &more, &f.err), OK, &f.err);
        T_OK(n == 2 || !more);
        for (size_t i = 0; i < n; i++) {
            all = arena_printf(f.a, "%.*s%s%.*s", STR_ARG(all), all.n ? " " : "",
                               STR_ARG(infos[i].name));
            after = infos[i].name;
        }
    }
    T_STR(all, "0 a a! a-a a-b a-b-c a.b a0 ab b b-");
    T_STR(corefix_ls(&f, S("b")), "c/ file");
    corefix_close(&f);
}

/* Roots of runs lie inside the tree that the proxy shows: a file may not take the place of a directory above them, nor a root
 * the place of a file. */
SQL_TEST(run_roots_are_directories_too)
{
    struct corefix f;
    struct str run, model_path, path, got;
    struct logged_model m;
    int64_t exp;

    corefix_open(&f, location, NULL);
    exp = corefix_experiment(&f, "one");
    run = corefix_new_run(&f, exp);
    m = corefix_model(&f, exp, "net");
    T_ST_ERR(corefix_put(&f, S("1"), "x", 1), OK, &f.err); /* nothing lies below 1 yet */
    path = arena_printf(f.a, "1/%.*s/artifacts/model/MLmodel", STR_ARG(run));
    T_ST(corefix_put(&f, path, "m", 1), ST_INVALID);
    T_OK(strstr(f.err.message, "'1' is a file") != NULL);
    T_ST_ERR(corefix_delete(&f, S("1")), OK, &f.err);
    T_ST_ERR(corefix_put(&f, path, "m", 1), OK, &f.err);
    T_INT(rows(&f, "SELECT count(*) FROM root WHERE owner <> 0"), 1);
    T_ST(corefix_put(&f, S("1"), "x", 1), ST_INVALID);
    T_OK(strstr(f.err.message, "is a directory") != NULL);
    T_ST(corefix_put(&f, arena_printf(f.a, "1/%.*s", STR_ARG(run)), "x", 1), ST_INVALID);
    T_ST(corefix_put(&f, arena_printf(f.a, "1/%.*s/artifacts", STR_ARG(run)), "x", 1), ST_INVALID);
    T_ST_ERR(corefix_put(&f, arena_printf(f.a, "1/%.*s/notes", STR_ARG(run)), "x", 1), OK, &f.err);
    model_path = arena_printf(f.a, "1/models/%.*s/artifacts/w.bin", STR_ARG(m.model_id));
    T_ST_ERR(corefix_put(&f, model_path, "w", 1), OK, &f.err);
    check(&f, path, "m", 1);
    check(&f, model_path, "w", 1);
    T_STR(corefix_ls(&f, S("")), "1/");
    T_STR_EQ(corefix_ls(&f, S("1")), arena_printf(f.a, "%.*s/ models/", STR_ARG(run)));
    T_STR(corefix_ls(&f, arena_printf(f.a, "1/%.*s", STR_ARG(run))), "artifacts/ notes");
    T_STR(corefix_ls(&f, arena_printf(f.a, "1/%.*s/artifacts", STR_ARG(run))), "model/");
    T_STR(corefix_ls(&f, path), "MLmodel");
    /* Removing a directory removes the roots below it, and no others. */
    T_ST_ERR(corefix_put(&f, S("10/x"), "x", 1), OK, &f.err);
    T_ST_ERR(corefix_delete(&f, arena_printf(f.a, "1/%.*s", STR_ARG(run))), OK, &f.err);
    T_ST(corefix_get(&f, path, &got), ST_NOT_FOUND);
    T_STR(corefix_ls(&f, S("1")), "models/");
    check(&f, model_path, "w", 1);
    T_ST_ERR(corefix_delete(&f, S("1")), OK, &f.err);
    T_STR(corefix_ls(&f, S("1")), "");
    T_STR(corefix_ls(&f, S("")), "10/");
    T_INT(rows(&f, "SELECT count(*) FROM root"), 1);
    corefix_close(&f);
}

SQL_TEST(places_of_artifact_uris)
{
    struct corefix f;
    struct artifact_place p;
    struct str run;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    T_ST_ERR(artifact_uri_place(
                 &f.v,
                 arena_printf(f.a, "mlflow-artifacts://host:1/0/%.*s/artifacts", STR_ARG(run)), 7,
                 S("a/b"), &p, &f.err),
             OK, &f.err);
    T_STR_EQ(p.root_uri, arena_printf(f.a, "mlflow-artifacts:/0/%.*s/artifacts", STR_ARG(run)));
    T_STR(p.path, "a/b");
    T_OK(p.owner != 0 && p.owner != 7);
    T_ST_ERR(artifact_uri_place(&f.v, S("mlflow-artifacts:/free/x"), 7, S(""), &p, &f.err), OK,
             &f.err);
    T_STR(p.root_uri, "mlflow-artifacts:/");
    T_STR(p.path, "free/x");
    T_ST(artifact_uri_place(&f.v, S("s3://bucket/x"), 7, S(""), &p, &f.err), ST_INVALID);
    T_OK(f.err.hint[0] != 0);
    T_ST(artifact_uri_place(&f.v, S("file:///etc"), 7, S("passwd"), &p, &f.err), ST_INVALID);
    T_ST(artifact_uri_place(&f.v, S("mlflow-artifacts:/a/../b"), 7, S(""), &p, &f.err), ST_INVALID);
    T_ST(artifact_uri_place(&f.v, S("mlflow-artifacts:/a"), 7, S("../b"), &p, &f.err), ST_INVALID);
    corefix_close(&f);
}

/* Names in byte order, whatever the locale of the database; pages join without loss; a subtree goes alone. */
SQL_TEST_LIMIT(listing_of_many_names, 240)
{
    enum { MANY = 10000, GROUP = 50 };
    static const char *const odd[] = {
        "A", "a", "B", "b-1", "b.1", "b", "\xc3\xa4", "z", "\xf0\x9f\x98\x80", "_"
    };
    struct corefix f;
    struct artifact_place place;
    struct artifact_info *infos;
    struct artifact_upload u;
    struct str after = S(""), last = { NULL, 0 };
    size_t n, total = 0;
    bool more = true;

    corefix_open(&f, location, NULL);
    for (size_t i = 0; i < ARRAY_N(odd); i++) {
        T_ST_ERR(corefix_put(&f, arena_printf(f.a, "odd/%s", odd[i]), "x", 1), OK, &f.err);
    }
    T_STR(corefix_ls(&f, S("odd")), "A B _ a b b-1 b.1 z \xc3\xa4 \xf0\x9f\x98\x80");
    T_ST(artifact_upload_begin(&u, f.core, f.a, &f.err), OK);
    T_ST(artifact_upload_end(&u, &f.err), OK);
    for (size_t i = 0; i < MANY; i += GROUP) {
        struct artifact_put *puts = ARENA_ARRAY(f.a, struct artifact_put, GROUP);
        struct write_op *ops[GROUP];

        for (size_t k = 0; k < GROUP; k++) {
            artifact_put_init(&puts[k], f.core, f.a);
            puts[k].upload = &u;
            T_ST(artifact_proxy_place(&f.v, arena_printf(f.a, "many/%zu", (i + k) * 7919 % MANY),
                                      &puts[k].place, &f.err),
                 OK);
            ops[k] = &puts[k].op;
        }
        corefix_together(&f, ops, GROUP);
        for (size_t k = 0; k < GROUP; k++)
            T_ST_ERR(puts[k].op.st, OK, &puts[k].op.err);
    }
    T_ST(artifact_proxy_place(&f.v, S("many"), &place, &f.err), OK);
    while (more) {
        T_ST_ERR(artifact_list(&f.v, &place, after, 999, &infos, &n, &more, &f.err), OK, &f.err);
        T_INT(n, more ? 999 : MANY % 999);
        for (size_t i = 0; i < n; i++) {
            T_OK(!last.p || str_cmp(last, infos[i].name) < 0);
            last = infos[i].name;
        }
        total += n;
        after = last;
    }
    T_INT(total, MANY);
    T_ST_ERR(corefix_delete(&f, S("many")), OK, &f.err);
    T_STR(corefix_ls(&f, S("many")), "");
    T_STR(corefix_ls(&f, S("")), "odd/");
    T_INT(rows(&f, "SELECT count(*) FROM artifact"), 11);
    corefix_close(&f);
}

SQL_TEST(deleting_takes_what_was_named_and_no_more)
{
    struct corefix f;

    corefix_open(&f, location, NULL);
    T_ST_ERR(corefix_put(&f, S("d/a/1"), "x", 1), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("d/a/b/2"), "x", 1), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("d/a-b/3"), "x", 1), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("d/a0/4"), "x", 1), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("d/a%_/5"), "x", 1), OK, &f.err);
    T_ST_ERR(corefix_delete(&f, S("d/a")), OK, &f.err);
    T_STR(corefix_ls(&f, S("d")), "a%_/ a-b/ a0/");
    T_ST_ERR(corefix_delete(&f, S("d/a-b/3")), OK, &f.err);
    T_STR(corefix_ls(&f, S("d/a-b")), "");
    T_ST_ERR(corefix_delete(&f, S("d/a")), OK, &f.err); /* again: fine */
    T_ST_ERR(corefix_delete(&f, S("nothing/here")), OK, &f.err);
    T_ST_ERR(corefix_put(&f, S("d/a"), "now a file", 10), OK, &f.err);
    check(&f, S("d/a"), "now a file", 10);
    corefix_close(&f);
}

/* Uploads while the folder fails: nothing is stored, the reason is clear, and the next try succeeds. */
TEST(failing_folder)
{
    static const int reasons[] = { ENOSPC, EIO, ENOENT, EROFS };
    struct corefix f;
    char *p;

    corefix_open(&f, t_tmpdir(), NULL);
    p = random_bytes(&f, 100000);
    for (size_t r = 0; r < ARRAY_N(reasons); r++) {
        for (int n = 1;; n++) {
            struct artifact_upload u;
            enum status st;
            bool reached;

            sys_fail_after(n, reasons[r], true);
            st = artifact_upload_begin(&u, f.core, f.a, &f.err);
            st = st ? st : artifact_upload_piece(&u, str_of(p, 100000), &f.err);
            st = st ? st : artifact_upload_end(&u, &f.err);
            st = st ? st : artifact_upload_place(&u, &f.err);
            if (st) artifact_upload_abort(&u);
            reached = sys_call_n() >= n;
            sys_fail_never();
            if (st) {
                T_OK(st == ST_UNAVAILABLE || st == ST_IO);
                T_OK(f.err.message[0] != 0);
            }
            if (!reached) break;
        }
    }
    T_INT(rows(&f, "SELECT count(*) FROM object"), 0);
    T_ST_ERR(corefix_put(&f, S("x"), p, 100000), OK, &f.err);
    check(&f, S("x"), p, 100000);
    corefix_close(&f);
}

/* The n-th allocation fails, for every n: the upload is there as a whole, or it failed and nothing is. */
static void starve(size_t size)
{
    struct corefix f;
    char *p;
    int failures = 0;

    corefix_open(&f, t_tmpdir(), NULL);
    p = random_bytes(&f, size);
    for (int n = 1;; n++) {
        struct str path = arena_printf(f.a, "dir%d/x", n), got, list;
        struct arena *a = arena_new(1 << 24);
        struct arena *kept = f.a;
        enum status st;
        bool reached;

        f.a = f.v.arena = a;
        mem_fail_after(n, true);
        st = corefix_put(&f, path, p, size);
        reached = mem_call_n() >= n;
        mem_fail_never();
        if (st) {
            failures++;
            T_OK(st == ST_NOMEM || st == ST_UNAVAILABLE);
            T_ST(corefix_get(&f, path, &got), ST_NOT_FOUND);
        } else {
            check(&f, path, p, size);
        }
        /* Reading runs out of memory as well: an error or everything. */
        if (!st) {
            for (int k = 1; k < 40; k++) {
                mem_fail_after(k, true);
                st = corefix_get(&f, path, &got);
                mem_fail_never();
                T_OK(st == ST_NOMEM || st == ST_UNAVAILABLE || st == OK);
                if (!st) T_STR_EQ(got, str_of(p, size));
            }
            list = corefix_ls(&f, str_sub(path, 0, path.n - 2));
            T_STR(list, "x");
        }
        arena_free(a);
        f.a = f.v.arena = kept;
        if (!reached) break;
    }
    T_OK(failures > 3);
    corefix_close(&f);
}

TEST(out_of_memory_small)
{
    starve(100);
}

TEST(out_of_memory_large)
{
    starve(50000);
}

/* Killed in the middle of an upload: what was acknowledged is there. */
static void killed(const char *location, const char *point)
{
    const char *blobs = t_tmpdir();
    struct corefix f;
    struct str got;
    char spec[64];
    int status;
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        char *p;

        corefix_open(&f, location, blobs);
        p = random_bytes(&f, 0);
        p = arena_zalloc(f.a, 1, 50000);
        T_ST_ERR(corefix_put(&f, S("d/first"), p, 50000), OK, &f.err);
        p[0] = 1;
        snprintf(spec, sizeof(spec), "%s=kill", point);
        failpoint_arm(spec);
        IGNORE_STATUS(corefix_put(&f, S("d/second"), p, 50000)); /* does not return */
        _exit(1);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    T_OK(WIFSIGNALED(status));
    corefix_open(&f, location, blobs);
    T_ST_ERR(corefix_get(&f, S("d/first"), &got), OK, &f.err);
    T_INT(got.n, 50000);
    if (corefix_get(&f, S("d/second"), &got) == OK) {
        T_INT(got.n, 50000);
        T_INT(got.p[0], 1);
    } else {
        T_ST(f.err.code, ST_NOT_FOUND);
        T_STR(corefix_ls(&f, S("d")), "first");
    }
    T_ST_ERR(corefix_put(&f, S("d/second"), "x", 1), OK, &f.err);
    check(&f, S("d/second"), "x", 1);
    corefix_close(&f);
}

static const char *new_folder(void)
{
    return t_tmpdir();
}

static void killed_everywhere(const char *(*location)(void))
{
    static const char *const points[] = { "blob.write.before_sync",     "blob.write.before_rename",
                                          "blob.write.before_dir_sync", "blob.write.after_dir_sync",
                                          "seq.group.before_commit",    "seq.group.after_commit" };

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        killed(location(), points[i]);
    }
}

TEST(killed_while_uploading_sqlite)
{
    killed_everywhere(new_folder);
}

TEST_LIMIT(killed_while_uploading_postgres, 120)
{
    killed_everywhere(pgtest_uri);
}
