/* tests/lib/corefix.c - see corefix.h. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "base/sys.h"
#include "core/collect.h"
#include "store/blob/blob.h"

enum { ARENA_MAX = 512 << 20, TOGETHER_MAX = 64, WAIT_MS = 60000, KEEPER_WAIT_MS = 120000 };

static void open_core(struct corefix *f)
{
    struct core_options opt = f->opt;
    enum status st;

    opt.sql.location = f->location;
    opt.artifact_root = S("mlflow-artifacts:/");
    opt.readers = opt.readers ? opt.readers : 1;
    do { /* the database may not have noticed yet that the last owner is dead */
        st = core_open(&f->core, &opt, &f->err);
    } while (st == ST_CONFLICT);
    T_ST_ERR(st, OK, &f->err);
    f->bytes.location = f->blobs;
    T_ST_ERR(blob_open_with(&f->core->blobs, &f->bytes, &f->err), OK, &f->err);
    core_view(f->core, f->a, &f->v);
}

static void close_core(struct corefix *f)
{
    struct blob_store *blobs = f->core->blobs;

    core_close(f->core);
    blob_close(blobs);
}

void corefix_open(struct corefix *f, const char *location, const char *blobs)
{
    *f = (struct corefix){ .location = location, .blobs = blobs ? blobs : t_tmpdir() };
    f->a = arena_new(ARENA_MAX);
    T_OK(f->a != NULL);
    open_core(f);
}

void corefix_open_with(struct corefix *f, const char *location, const struct core_options *opt)
{
    corefix_open_at(f, location, t_tmpdir(), opt);
}

void corefix_open_at(struct corefix *f, const char *location, const char *blobs,
                     const struct core_options *opt)
{
    *f = (struct corefix){ .location = location, .blobs = blobs, .opt = *opt };
    f->a = arena_new(ARENA_MAX);
    T_OK(f->a != NULL);
    open_core(f);
}

void corefix_close(struct corefix *f)
{
    close_core(f);
    arena_free(f->a);
}

void corefix_open_on(struct corefix *f, const char *location, const struct blob_options *bytes)
{
    *f = (struct corefix){ .location = location, .blobs = bytes->location, .bytes = *bytes };
    f->a = arena_new(ARENA_MAX);
    T_OK(f->a != NULL);
    open_core(f);
}

void corefix_reopen(struct corefix *f)
{
    close_core(f);
    open_core(f);
}

void corefix_crash_and(struct corefix *f, void (*meanwhile)(void *ctx), void *ctx)
{
    struct blob_store *blobs = f->core->blobs;

    core_abandon(f->core);
    blob_close(blobs);
    if (meanwhile) meanwhile(ctx);
    open_core(f);
}

void corefix_crash(struct corefix *f)
{
    corefix_crash_and(f, NULL, NULL);
}

void corefix_fresh(struct corefix *f)
{
    arena_reset(f->a);
}

enum status corefix_run(struct corefix *f, struct write_op *op)
{
    f->err = (struct err)ERR_INIT;
    return seq_run(f->core->seq, op, &f->err);
}

struct waiting {
    struct exec_event *all;
    size_t left; /* only the sequencer's thread counts */
};

static void one_done(struct write_op *op)
{
    struct waiting *w = op->user;

    if (--w->left == 0) exec_event_set(w->all);
}

void corefix_together(struct corefix *f, struct write_op **ops, size_t n)
{
    struct waiting w = { exec_event_new(), n };

    T_OK(w.all != NULL);
    for (size_t i = 0; i < n; i++) {
        ops[i]->user = &w;
        ops[i]->done = one_done;
        T_ST(seq_submit(f->core->seq, ops[i]), OK);
    }
    T_OK(exec_event_wait(w.all, WAIT_MS));
    exec_event_free(w.all);
}

int64_t corefix_experiment(struct corefix *f, const char *name)
{
    struct experiment_create c;

    experiment_create_init(&c, f->core, f->a);
    c.name = str_cstr(name);
    T_ST_ERR(corefix_run(f, &c.op), OK, &f->err);
    return c.id;
}

struct str corefix_new_run(struct corefix *f, int64_t experiment)
{
    struct run_create c;

    run_create_init(&c, f->core, f->a);
    c.experiment = experiment;
    c.user_id = S("ann");
    c.name = S("run");
    T_ST_ERR(corefix_run(f, &c.op), OK, &f->err);
    return arena_str(f->a, c.run_id);
}

struct logged_model corefix_model(struct corefix *f, int64_t experiment, const char *name)
{
    struct logged_model_create c;

    logged_model_create_init(&c, f->core, f->a);
    c.experiment = experiment;
    c.name = str_cstr(name);
    T_ST_ERR(corefix_run(f, &c.op), OK, &f->err);
    return c.model;
}

enum status corefix_put(struct corefix *f, struct str path, const void *p, size_t n)
{
    struct artifact_upload u;
    struct artifact_put put;
    enum status st;

    f->err = (struct err)ERR_INIT;
    artifact_put_init(&put, f->core, f->a);
    st = artifact_proxy_place(&f->v, path, &put.place, &f->err);
    if (st) {
        return st;
    }
    st = artifact_upload_begin(&u, f->core, f->a, &f->err);
    /* In pieces as they come from the network. */
    for (size_t at = 0; !st && at < n; at += 65536) {
        st = artifact_upload_piece(&u, str_of((const char *)p + at, MIN_OF(n - at, 65536u)),
                                   &f->err);
    }
    st = st ? st : artifact_upload_end(&u, &f->err);
    if (st) {
        artifact_upload_abort(&u);
        return st;
    }
    put.upload = &u;
    return artifact_put_run(&put, &f->err);
}

/* Out of packs. */
static enum status read_stream(struct corefix *f, const struct artifact_bytes *b, struct str *out)
{
    char *to = arena_alloc(f->a, (size_t)b->size + 1);
    struct blob_reader *r = NULL;
    size_t n = 0, got = 1;
    enum status st = artifact_read_begin(f->core, b, 0, (uint64_t)b->size, &r, &f->err);

    T_OK(to != NULL);
    while (!st && got) {
        st = artifact_read(r, to + n, (size_t)b->size + 1 - n, &got, &f->err);
        n += got;
    }
    artifact_read_end(r);
    *out = str_of(to, st ? 0 : n);
    return st;
}

enum status corefix_get(struct corefix *f, struct str path, struct str *out)
{
    struct artifact_place place;
    struct artifact_bytes b;
    enum status st;
    char *to;

    *out = (struct str){ NULL, 0 };
    f->err = (struct err)ERR_INIT;
    st = artifact_proxy_place(&f->v, path, &place, &f->err);
    st = st ? st : artifact_open(&f->v, &place, &b, &f->err);
    if (st) {
        return st;
    }
    if (b.fd < 0 && !b.is_remote) {
        *out = b.inline_bytes;
        return OK;
    }
    if (b.is_remote) {
        return read_stream(f, &b, out);
    }
    to = arena_alloc(f->a, (size_t)b.size + 1);
    if (!to) {
        sys.close(b.fd);
        return err_nomem(&f->err);
    }
    for (size_t n = 0; n < (size_t)b.size;) {
        ssize_t got = sys.pread(b.fd, to + n, (size_t)b.size - n, (off_t)n);

        T_OK(got > 0);
        n += (size_t)got;
    }
    sys.close(b.fd);
    *out = str_of(to, (size_t)b.size);
    return OK;
}

enum status corefix_delete(struct corefix *f, struct str path)
{
    struct artifact_delete d;
    enum status st;

    f->err = (struct err)ERR_INIT;
    artifact_delete_init(&d, f->core, f->a);
    st = artifact_proxy_place(&f->v, path, &d.place, &f->err);
    return st ? st : seq_run(f->core->seq, &d.op, &f->err);
}

void corefix_keepers(struct corefix *f, size_t pack_bytes)
{
    struct repack_options opt = { .every_ms = -1, .pack_bytes = pack_bytes };

    T_ST_ERR(collect_start(f->core, &(struct collect_options){ .every_ms = -1 }, &f->err), OK,
             &f->err);
    T_ST_ERR(repack_start(f->core, &opt, &f->err), OK, &f->err);
}

void corefix_collect(struct corefix *f)
{
    T_OK(collect_wait(f->core->collector, collect_ask(f->core->collector), KEEPER_WAIT_MS));
}

struct repack_stats corefix_repack(struct corefix *f, unsigned how)
{
    struct repack_stats s;

    T_OK(repack_wait(f->core->repacker, repack_ask(f->core->repacker, how), KEEPER_WAIT_MS));
    repack_stats(f->core->repacker, &s);
    T_OK(str_eq(str_cstr(s.problem), S("")));
    return s;
}

struct str corefix_ls(struct corefix *f, struct str path)
{
    struct artifact_place place;
    struct artifact_info *infos;
    struct buf b = BUF_INIT(1 << 20);
    struct str out;
    size_t n;
    bool more;

    f->err = (struct err)ERR_INIT;
    T_ST_ERR(artifact_proxy_place(&f->v, path, &place, &f->err), OK, &f->err);
    T_ST_ERR(artifact_list(&f->v, &place, S(""), 1000000, &infos, &n, &more, &f->err), OK, &f->err);
    T_OK(!more);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&b, "%s%.*s%s", i ? " " : "", STR_ARG(infos[i].name),
                   infos[i].is_dir ? "/" : "");
    }
    T_OK(!b.failed);
    out = arena_str(f->a, buf_str(&b));
    buf_release(&b);
    return out;
}

struct script {
    struct write_op op;
    const char *text;
};

static enum status script_validate(struct write_op *op, struct group *g, struct err *err)
{
    (void)err;
    sqltest_script(group_conn(g), WRITE_OP_OF(op, struct script)->text);
    return OK;
}

void corefix_script(struct corefix *f, const char *text)
{
    static const struct write_kind kind = { .name = "test.script",
                                            .validate = script_validate,
                                            .sql = true };
    struct script s = { .text = text };

    write_op_init(&s.op, &kind, f->a);
    T_ST_ERR(corefix_run(f, &s.op), OK, &f->err);
}

char *corefix_noise(size_t n)
{
    char *p = mem_alloc(n + 8);

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = t_rand();

        memcpy(p + i, &v, sizeof(v));
    }
    return p;
}

void corefix_same(struct corefix *f, const char *path, const char *p, size_t n)
{
    struct str got;

    T_ST_ERR(corefix_get(f, str_cstr(path), &got), OK, &f->err);
    T_UINT(got.n, n);
    T_MEM(got.p, p, n);
    corefix_fresh(f);
}
