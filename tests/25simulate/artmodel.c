/* tests/25simulate/artmodel.c - see artmodel.h. */
#include "artmodel.h"
#include "tap.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "core/collect.h"
#include "core/repack.h"
#include "store/blob/blob.h"

#include <errno.h>

enum { LIST_MAX = 100, TEXT_MAX = 1 << 20, BODIES_OFTEN = 6, BODIES = 400 };

#define ROOT_URI "mlflow-artifacts:/"

/* Before what lies below it, siblings in byte order. */
static const char *const paths[ART_PATHS] = { "a", "b", "c", "d", "d/e", "d/e/z", "d/x", "d/y" };

static const size_t sizes[] = {
    0, 1, 700, ARTIFACT_INLINE_MAX, ARTIFACT_INLINE_MAX + 1, 33000, 40000, 66000, 50000, 36864
};

/* ---- operations -------------------------------------------------------------------------------------------------------------------- */

static struct str body_of(struct arena *a, uint64_t body)
{
    size_t n = sizes[body % ARRAY_N(sizes)];
    char *p = (char *)arena_alloc(a, n + 1);
    uint64_t z = body * 0x9E3779B97F4A7C15u + 1;

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i++) {
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        p[i] = (char)z;
    }
    return str_of(p, n);
}

struct art_op *art_draw(uint64_t (*rnd)(void *ctx), struct core *core, struct arena *a)
{
    struct art_op *op = ARENA_NEW(a, struct art_op);

    T_OK(op != NULL);
    op->core = core;
    op->arena = a;
    op->rnd = rnd;
    op->is_delete = rnd(NULL) % 6 == 0;
    op->path = rnd(NULL) % ART_PATHS;
    op->err = (struct err)ERR_INIT;
    op->state = ART_READY;
    if (op->is_delete) {
        if (rnd(NULL) % 10 == 0) op->path = ART_PATHS;
        return op;
    }
    op->body = rnd(NULL) % (rnd(NULL) % 3 == 0 ? BODIES_OFTEN : BODIES);
    op->bytes = body_of(a, op->body);
    op->st = artifact_upload_begin(&op->upload, core, a, &op->err);
    T_ST_ERR(op->st, OK, &op->err);
    op->state = ART_UPLOADING;
    return op;
}

static void place_run(struct exec_job *job, unsigned worker)
{
    struct art_op *op = CONTAINER_OF(job, struct art_op, job);

    (void)worker;
    op->st = artifact_upload_place(&op->upload, &op->err);
    op->state = op->st ? ART_FAILED : ART_READY;
}

static void claimed(struct write_op *w)
{
    struct art_op *op = (struct art_op *)w->user;

    op->st = w->st;
    op->err = w->err;
    op->upload.lease = op->claim.lease;
    op->state = w->st ? ART_FAILED : ART_PLACING;
    if (w->st) {
        op->upload.lease.id[0] = 0;
        artifact_upload_abort(&op->upload);
    }
}

static void claim(struct art_op *op)
{
    object_claim_init(&op->claim, op->arena, &op->upload.sha256, op->upload.size);
    op->claim.op.user = op;
    op->claim.op.done = claimed;
    op->state = ART_CLAIMING;
    op->st = seq_submit(op->core->seq, &op->claim.op);
    op->err = op->claim.op.err;
}

static void upload_run(struct exec_job *job, unsigned worker)
{
    struct art_op *op = CONTAINER_OF(job, struct art_op, job);
    struct str piece = str_sub(op->bytes, op->sent, 1 + op->rnd(NULL) % 30000);

    (void)worker;
    op->state = ART_UPLOADING;
    if (piece.n > 0) {
        op->st = artifact_upload_piece(&op->upload, piece, &op->err);
        op->sent += piece.n;
    } else {
        op->st = artifact_upload_end(&op->upload, &op->err);
        if (!op->st && op->upload.in_blob)
            claim(op);
        else if (!op->st)
            op->state = ART_READY;
    }
    if (op->st) {
        artifact_upload_abort(&op->upload);
        op->state = ART_FAILED;
    }
}

void art_upload_step(struct art_op *op)
{
    if (op->state != ART_UPLOADING && op->state != ART_PLACING) return;
    op->job.run = op->state == ART_UPLOADING ? upload_run : place_run;
    op->state = ART_QUEUED;
    T_ST(artifact_work_submit(op->core, &op->job), OK);
}

void art_upload_drop(struct art_op *op)
{
    if (op->state < ART_READY) artifact_upload_abort(&op->upload);
    op->state = ART_FAILED;
}

static void released(struct write_op *w)
{
    (void)w;
}

void art_release(struct art_op *op)
{
    if (op->is_delete || !op->upload.lease.id[0]) return;
    object_release_init(&op->release, op->arena, &op->upload.sha256, op->upload.size,
                        &op->upload.lease);
    op->release.op.done = released;
    IGNORE_STATUS(seq_submit(op->core->seq, &op->release.op)); /* or the lease ends by itself */
}

struct write_op *art_op_write(struct art_op *op)
{
    struct artifact_place place = { .root_uri = S(ROOT_URI), .path = S("") };

    if (op->path < ART_PATHS) place.path = str_cstr(paths[op->path]);
    if (op->is_delete) {
        artifact_delete_init(&op->w.del, op->core, op->arena);
        op->w.del.place = place;
        return &op->w.del.op;
    }
    artifact_put_init(&op->w.put, op->core, op->arena);
    op->w.put.place = place;
    op->w.put.upload = &op->upload;
    return &op->w.put.op;
}

static bool is_below(size_t path, size_t above)
{
    size_t n = strlen(paths[above]);

    return strncmp(paths[path], paths[above], n) == 0 && paths[path][n] == '/';
}

enum status art_apply(struct arts *m, const struct art_op *op)
{
    if (op->is_delete) {
        for (size_t i = 0; i < ART_PATHS; i++) {
            if (op->path == ART_PATHS || i == op->path || is_below(i, op->path))
                m->at[i].kind = ART_NONE;
        }
        return OK;
    }
    for (size_t i = 0; i < ART_PATHS; i++) {
        if (is_below(op->path, i) && m->at[i].kind == ART_FILE) return ST_INVALID;
    }
    if (m->at[op->path].kind == ART_DIR) return ST_INVALID;
    for (size_t i = 0; i < ART_PATHS; i++) {
        if (is_below(op->path, i)) m->at[i].kind = ART_DIR;
    }
    m->at[op->path].kind = ART_FILE;
    m->at[op->path].body = op->body;
    return OK;
}

/* ---- what the store has ----------------------------------------------------------------------------------------------------------- */

static enum status read_all(int fd, char *p, size_t n, struct err *err)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = sys.pread(fd, p + at, n - at, (off_t)at);

        if (got < 0) return err_errno(err, errno, "read");
        if (got == 0) return err_set(err, ST_CORRUPT, "the file of an object ends early");
        at += (size_t)got;
    }
    return OK;
}

/* Out of packs. */
static enum status read_stream(struct view *v, const struct artifact_bytes *b, struct str *out,
                               struct err *err)
{
    char *p = (char *)arena_alloc(v->arena, (size_t)b->size + 1);
    struct blob_reader *r = NULL;
    size_t n = 0, got = 1;
    enum status st = artifact_read_begin(v->core, b, 0, (uint64_t)b->size, &r, err);

    T_OK(p != NULL);
    while (!st && got) {
        st = artifact_read(r, p + n, (size_t)b->size + 1 - n, &got, err);
        n += got;
    }
    artifact_read_end(r);
    *out = str_of(p, n);
    return st;
}

static void put_file(struct buf *out, struct str path, struct str bytes)
{
    buf_printf(out, "file %.*s %zu %08x\n", STR_ARG(path), bytes.n,
               (unsigned)crc32c(0, bytes.p, bytes.n));
}

static enum status store_file(struct view *v, const struct artifact_place *at, struct buf *out,
                              struct err *err)
{
    struct artifact_bytes b;
    struct digest sum;
    struct str bytes;
    enum status st = artifact_open(v, at, &b, err);

    if (st) return st;
    bytes = b.inline_bytes;
    if (b.is_remote) {
        st = read_stream(v, &b, &bytes, err);
    } else if (b.fd >= 0) {
        char *p = (char *)arena_alloc(v->arena, (size_t)b.size + 1);

        T_OK(p != NULL);
        st = read_all(b.fd, p, (size_t)b.size, err);
        bytes = str_of(p, (size_t)b.size);
        sys.close(b.fd);
    }
    if (!st && (!sha256_of(bytes.p, bytes.n, &sum) || !digest_eq(&sum, &b.sha256)))
        st = err_set(err, ST_CORRUPT, "the bytes of '%.*s' are not those of its digest",
                     STR_ARG(at->path));
    if (!st) put_file(out, at->path, bytes);
    return st;
}

/* The folders below deepest last: a list instead of a recursion. */
static enum status store_text(struct view *v, struct buf *out, struct err *err)
{
    struct artifact_place todo[ART_PATHS * 2] = { { .root_uri = S(ROOT_URI), .path = S("") } };
    bool is_dir[ART_PATHS * 2] = { true };
    size_t n = 1;

    while (n > 0) {
        struct artifact_place at = todo[--n];
        struct artifact_info *infos;
        size_t found;
        bool more;
        enum status st;

        if (!is_dir[n]) {
            st = store_file(v, &at, out, err);
            if (st) return st;
            continue;
        }
        if (at.path.n > 0) buf_printf(out, "dir %.*s\n", STR_ARG(at.path));
        st = artifact_list(v, &at, S(""), LIST_MAX, &infos, &found, &more, err);
        if (st) return st;
        T_OK(!more && n + found <= ARRAY_N(todo));
        for (size_t i = found; i > 0; i--) {
            struct str name = infos[i - 1].name;

            todo[n] = at;
            todo[n].path =
                at.path.n ? arena_printf(v->arena, "%.*s/%.*s", STR_ARG(at.path), STR_ARG(name))
                          : name;
            is_dir[n++] = infos[i - 1].is_dir;
        }
    }
    return OK;
}

static void reference_text(const struct arts *m, struct arena *a, struct buf *out)
{
    for (size_t i = 0; i < ART_PATHS; i++) {
        struct str path = str_cstr(paths[i]);

        if (m->at[i].kind == ART_DIR) buf_printf(out, "dir %.*s\n", STR_ARG(path));
        if (m->at[i].kind == ART_FILE) put_file(out, path, body_of(a, m->at[i].body));
    }
}

static bool compare(const struct arts *m, struct core *core, bool must)
{
    struct buf want = BUF_INIT(TEXT_MAX), got = BUF_INIT(TEXT_MAX);
    struct arena *a = arena_new(8 << 20);
    struct err err = ERR_INIT;
    struct view v;
    bool same;

    T_OK(a != NULL);
    core_view(core, a, &v);
    reference_text(m, a, &want);
    if (store_text(&v, &got, &err))
        T_FAIL("seed %llu: artifacts cannot be read: %s", (unsigned long long)m->seed, err.message);
    same = str_eq(buf_str(&want), buf_str(&got));
    if (must && !same) {
        T_FAIL("seed %llu: artifacts differ:\nwant:\n%.*s\ngot:\n%.*s", (unsigned long long)m->seed,
               STR_ARG(buf_str(&want)), STR_ARG(buf_str(&got)));
    }
    buf_release(&want);
    buf_release(&got);
    arena_free(a);
    return same;
}

bool arts_agree(const struct arts *m, struct core *core)
{
    return compare(m, core, false);
}

void arts_check(const struct arts *m, struct core *core)
{
    (void)compare(m, core, true);
}

/* ---- objects --------------------------------------------------------------------------------------------------------------------------- */

static enum status check_object(struct core *core, const struct sql_value *v, struct arena *a,
                                struct err *err)
{
    struct blob_object o = { .gen = v[2].i, .size = (uint64_t)v[1].i, .recipe = v[3].s };
    size_t n = (size_t)v[1].i, at = 0, part = 1;
    char *p = (char *)arena_alloc(a, n + 1);
    struct blob_reader *r = NULL;
    struct digest got;
    enum status st;

    T_OK(p != NULL && v[0].s.n == sizeof(o.sha256.b));
    memcpy(o.sha256.b, v[0].s.p, sizeof(o.sha256.b));
    st = blob_object_open(core->blobs, &o, 0, n, &r, err);
    while (!st && part) {
        st = blob_reader_next(r, p + at, n + 1 - at, &part, err);
        at += part;
    }
    blob_reader_close(r);
    if (!st && (!sha256_of(p, at, &got) || !digest_eq(&o.sha256, &got)))
        st = err_set(err, ST_CORRUPT, "the bytes of an object are not those of its digest");
    return st;
}

void arts_check_objects(const struct arts *m, struct core *core)
{
    static const char text[] =
        "SELECT sha256, size, gen, recipe FROM object WHERE recipe IS NOT NULL AND state <> 3 "
        "ORDER BY sha256";
    static const unsigned char out[] = { SQL_BLOB, SQL_INT, SQL_INT, SQL_BLOB };
    static const char *const names[] = { "sha256", "size", "gen", "recipe" };
    struct sql_query q = { .name = "objects",
                           .text = { text, text },
                           .kind = SQL_MANY,
                           .out = out,
                           .out_n = ARRAY_N(out),
                           .out_names = names };
    struct sql_value v[ARRAY_N(out)];
    struct arena *a = arena_new(64 << 20);
    struct sql_stmt *stmt = NULL;
    struct err err = ERR_INIT;
    struct view view;
    enum status st;

    T_OK(a != NULL);
    core_view(core, a, &view);
    T_ST_ERR(sql_rows(view.conn, &q, NULL, &stmt, &err), OK, &err);
    while ((st = sql_next(stmt, v, &err)) == OK) {
        if (check_object(core, v, a, &err))
            T_FAIL("seed %llu: an object: %s", (unsigned long long)m->seed, err.message);
    }
    T_ST_ERR(st, ST_END, &err);
    sql_close(stmt);
    arena_free(a);
}

/* ---- what nothing refers to ------------------------------------------------------------------------------------------------------------ */

static int64_t number(struct core *core, const char *text, const struct blob_entry *e)
{
    static const unsigned char in[] = { SQL_BLOB, SQL_INT }, out[] = { SQL_INT };
    static const char *const names[] = { "n" };
    struct sql_query q = { .name = "number",
                           .text = { text, text },
                           .kind = SQL_ONE,
                           .in = in,
                           .in_n = e ? ARRAY_N(in) : 0,
                           .out = out,
                           .out_n = ARRAY_N(out),
                           .out_names = names };
    struct sql_value param[2] = { { 0 } }, v[1];
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct view view;

    if (e) {
        param[0].s = str_of(e->sha256.b, sizeof(e->sha256.b));
        param[1].i = e->gen;
    }
    core_view(core, a, &view);
    T_ST_ERR(sql_one(view.conn, &q, param, a, v, &err), OK, &err);
    arena_free(a);
    return v[0].i;
}

static enum status file_has_a_row(void *ctx, const struct blob_entry *e, struct err *err)
{
    struct core *core = (struct core *)ctx;
    int64_t n =
        number(core,
               "SELECT (SELECT count(*) FROM object WHERE sha256 = $1 AND gen = $2 AND recipe "
               "IS NOT NULL) + (SELECT count(*) FROM upload WHERE sha256 = $1 AND gen = $2)",
               e);

    return n == 1 ? OK : err_set(err, ST_CORRUPT, "a file has %d rows", (int)n);
}

void arts_check_collected(const struct arts *m, struct core *core)
{
    struct err err = ERR_INIT;

    for (int i = 0; i < 2; i++) {
        if (!collect_wait(core->collector, collect_ask(core->collector), -1))
            T_FAIL("seed %llu: the collector has stopped", (unsigned long long)m->seed);
    }
    T_INT(number(core, "SELECT count(*) FROM retired", NULL), 0);
    T_INT(number(core, "SELECT count(*) FROM object WHERE state <> 1", NULL), 0);
    T_INT(
        number(core,
               "SELECT count(*) FROM object WHERE sha256 NOT IN (SELECT object FROM artifact WHERE "
               "object IS NOT NULL) AND sha256 NOT IN (SELECT sha256 FROM upload)",
               NULL),
        0);
    for (unsigned i = 0; i < BLOB_SHARDS; i++) {
        if (blob_list(core->blobs, i, file_has_a_row, core, &err))
            T_FAIL("seed %llu: %s", (unsigned long long)m->seed, err.message);
    }
}

static enum status pack_is_there(struct core *core, uint64_t id, uint64_t bytes, struct err *err)
{
    const struct packfile *p = NULL;
    enum status st = blob_pack_open(core->blobs, id, bytes, &p, err);

    blob_pack_close(core->blobs, p);
    return st;
}

/* Each live pack can be opened. */
static void check_packs(const struct arts *m, struct core *core)
{
    static const char text[] = "SELECT id, bytes FROM packfile ORDER BY id";
    static const unsigned char out[] = { SQL_INT, SQL_INT };
    static const char *const names[] = { "id", "bytes" };
    struct sql_query q = { .name = "packs",
                           .text = { text, text },
                           .kind = SQL_MANY,
                           .out = out,
                           .out_n = ARRAY_N(out),
                           .out_names = names };
    struct sql_value v[ARRAY_N(out)];
    struct arena *a = arena_new(1 << 20);
    struct sql_stmt *stmt = NULL;
    struct err err = ERR_INIT;
    struct view view;

    T_OK(a != NULL);
    core_view(core, a, &view);
    T_ST_ERR(sql_rows(view.conn, &q, NULL, &stmt, &err), OK, &err);
    while (sql_next(stmt, v, &err) == OK) {
        if (pack_is_there(core, (uint64_t)v[0].i, (uint64_t)v[1].i, &err))
            T_FAIL("seed %llu: %s", (unsigned long long)m->seed, err.message);
    }
    sql_close(stmt);
    arena_free(a);
}

void arts_check_packed(const struct arts *m, struct core *core)
{
    struct repack_stats s;

    if (!repack_wait(core->repacker, repack_ask(core->repacker, REPACK_NO_GRACE), -1))
        T_FAIL("seed %llu: the repacker has stopped", (unsigned long long)m->seed);
    repack_stats(core->repacker, &s);
    if (s.problem[0])
        T_FAIL("seed %llu: packing broke off: %s", (unsigned long long)m->seed, s.problem);
    T_INT(number(core, "SELECT count(*) FROM object WHERE stage <> 1 AND state = 1", NULL), 0);
    T_INT(number(core, "SELECT count(*) FROM packfile WHERE state <> 1", NULL), 0);
    T_INT(number(core,
                 "SELECT count(*) FROM packfile WHERE id NOT IN (SELECT pack FROM object_pack)",
                 NULL),
          0);
    T_INT(number(core,
                 "SELECT count(*) FROM object_pack WHERE pack NOT IN (SELECT id FROM packfile) OR "
                 "sha256 NOT IN (SELECT sha256 FROM object)",
                 NULL),
          0);
    check_packs(m, core);
    arts_check(m, core);
    arts_check_objects(m, core);
}
