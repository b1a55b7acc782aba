/* core/outside_bucket.c - files that this server writes into listed buckets.
 * A bucket has no folders: a name is a file, and the beginning of others. So what lies there is asked for before a file is written,
 * which keeps "a" from coming beside "a/b"; two that come at the same moment may both stay, and lists then show the folder. */
#include "core/artifact_int.h"
#include "core/outside_int.h"
#include "store/blob/bucket.h"

enum { WRITERS = 8, WAITING_MAX = 256 };

enum status outside_writers_new(struct outside *o, struct err *err)
{
    return o->writers ? OK : exec_pool_new(&o->writers, "places", WRITERS, WAITING_MAX, err);
}

enum status outside_work_submit(struct core *core, const struct artifact_place *at,
                                struct exec_job *job)
{
    return at->outside && at->outside->bucket && at->outside->writes
               ? exec_pool_submit(at->outside->all->writers, job)
               : artifact_work_submit(core, job);
}

enum status outside_bucket_check(const struct artifact_place *at, struct err *err)
{
    return outside_is_reserved(at->path) ? err_field(err, ST_INVALID, "path", "Invalid path")
                                         : bucket_check_name(at->outside->bucket, at->path, err);
}

/* Where the path within the run or model begins. */
static size_t root_of(const struct artifact_place *at, struct arena *a)
{
    const struct outside_place *place;
    struct err ignored = ERR_INIT;
    struct str rest;

    return outside_find(at->outside->all, a, at->root_uri, &place, &rest, &ignored) == OK &&
                   place == at->outside
               ? rest.n
               : 0;
}

/* Whether the file may come, as things are. */
static enum status look(const struct artifact_place *at, struct arena *a, struct err *err)
{
    size_t root = root_of(at, a);
    struct str path = at->path, dir, name;
    bool has;
    enum status st = outside_check_place(a, at, err);

    st = st ? st : outside_bucket_check(at, err);
    st = st ? st : bucket_has(at->outside->bucket, a, path, true, &has, err);
    if (!st && has) {
        return artifact_is_a_directory(path, err);
    }
    for (artifact_split(path, &dir, &name); !st && dir.n > root; artifact_split(dir, &dir, &name)) {
        st = bucket_has(at->outside->bucket, a, dir, false, &has, err);
        if (!st && has) {
            return artifact_is_a_file(dir, err);
        }
    }
    return st;
}

enum status outside_bucket_begin(const struct artifact_place *at, struct arena *a,
                                 struct s3_writer **out, struct err *err)
{
    enum status st = look(at, a, err);

    *out = NULL;
    return st ? st : bucket_write_begin(at->outside->bucket, at->path, out, err);
}

enum status outside_bucket_delete(const struct artifact_place *at, struct err *err)
{
    enum status st = outside_bucket_check(at, err);

    return st ? st : bucket_delete(at->outside->bucket, at->path, err);
}

/* ---- direct ---------------------------------------------------------------------------------------------------------------------------- */

bool outside_has_direct(const struct outside_place *p)
{
    return p && p->bucket && bucket_has_direct(p->bucket);
}

bool outside_has_direct_any(const struct outside *o)
{
    for (size_t i = 0; o && i < o->n; i++) {
        if (o->places[i].writes && outside_has_direct(&o->places[i])) {
            return true;
        }
    }
    return false;
}

enum status outside_direct_begin(const struct artifact_place *at, struct arena *a, unsigned parts,
                                 struct str *id, struct str *urls, struct err *err)
{
    enum status st = look(at, a, err);

    return st ? st : bucket_direct_begin(at->outside->bucket, a, at->path, parts, id, urls, err);
}

enum status outside_direct_end(const struct artifact_place *at, struct arena *a, struct str id,
                               const struct artifact_part *parts, size_t n, struct err *err)
{
    struct blob_part *list = ARENA_ARRAY(a, struct blob_part, n);
    enum status st = list ? outside_check_place(a, at, err) : err_nomem(err);

    for (size_t i = 0; !st && i < n; i++) {
        list[i] = (struct blob_part){ parts[i].number, parts[i].etag };
    }
    st = st ? st : outside_bucket_check(at, err);
    return st ? st : bucket_direct_end(at->outside->bucket, at->path, id, list, n, err);
}

enum status outside_direct_abort(const struct artifact_place *at, struct str id, struct err *err)
{
    return bucket_direct_abort(at->outside->bucket, at->path, id, err);
}

enum status outside_direct_put(const struct artifact_place *at, struct arena *a, int64_t seconds,
                               struct str *url, struct err *err)
{
    enum status st = look(at, a, err);

    return st ? st : bucket_url(at->outside->bucket, a, "PUT", at->path, seconds, url, err);
}

enum status outside_direct_get(const struct outside_place *p, struct arena *a, struct str path,
                               int64_t seconds, struct str *url, struct err *err)
{
    return bucket_url(p->bucket, a, "GET", path, seconds, url, err);
}
