/* core/artifact_walk.c - everything below a directory. Where the walk is, a directory and the last name seen in it say. */
#include "core/artifact_int.h"

enum { PAGE_FIRST = 16, PAGE_MAX = 512 };

void artifact_walk_begin(struct artifact_walk *w, const struct artifact_place *base)
{
    *w = (struct artifact_walk){ .base = *base };
}

void artifact_walk_pause(struct artifact_walk *w)
{
    w->page = NULL;
    w->page_n = w->page_i = 0;
}

/* The place of a path below the base. Below the general root, it may be that of a run or a model. */
static enum status place_below(struct artifact_walk *w, struct view *v, struct str path,
                               struct artifact_place *out, struct err *err)
{
    struct str base = w->base.path, whole = path;

    if (base.n) {
        whole = path.n ? arena_printf(v->arena, "%.*s/%.*s", STR_ARG(base), STR_ARG(path)) : base;
    }
    if (!whole.p) {
        return err_nomem(err);
    }
    if (str_eq_lit(w->base.root_uri, PROXY_ROOT)) {
        return artifact_proxy_place(v, whole, out, err);
    }
    *out = w->base;
    out->path = whole;
    return OK;
}

static enum status load_page(struct artifact_walk *w, struct view *v, struct err *err)
{
    struct artifact_place dir;
    struct str path = arena_str(v->arena, str_of(w->dir, w->dir_n));
    enum status st = path.p ? place_below(w, v, path, &dir, err) : err_nomem(err);

    w->page_i = 0;
    return st ? st
              : artifact_list(v, &dir, str_of(w->after, w->after_n), w->page_max, &w->page,
                              &w->page_n, &w->page_more, err);
}

static enum status too_long(struct err *err)
{
    return err_set(err, ST_CORRUPT, "an artifact has a path that is too long");
}

/* The directory is done: go on behind its name in the one above. */
static void go_up(struct artifact_walk *w)
{
    struct str dir, name;

    artifact_split(str_of(w->dir, w->dir_n), &dir, &name);
    memcpy(w->after, name.p, name.n);
    w->after_n = name.n;
    w->dir_n = dir.n;
    w->page_max = 0;
    artifact_walk_pause(w);
}

static enum status go_into(struct artifact_walk *w, struct str path, struct err *err)
{
    if (path.n > sizeof(w->dir)) {
        return too_long(err);
    }
    memcpy(w->dir, path.p, path.n);
    w->dir_n = path.n;
    w->after_n = 0;
    w->page_max = 0;
    artifact_walk_pause(w);
    return OK;
}

static enum status take(struct artifact_walk *w, struct view *v, struct artifact_info *info,
                        struct artifact_place *at, struct err *err)
{
    struct str name, path;
    enum status st;

    *info = w->page[w->page_i++];
    name = info->name;
    if (info->is_self) {
        w->is_done = true;
        *at = w->base;
        return OK;
    }
    if (name.n > sizeof(w->after)) {
        return too_long(err);
    }
    path =
        w->dir_n ? arena_printf(v->arena, "%.*s/%.*s", (int)w->dir_n, w->dir, STR_ARG(name)) : name;
    if (!path.p) {
        return err_nomem(err);
    }
    memcpy(w->after, name.p, name.n);
    w->after_n = name.n;
    info->name = path;
    st = place_below(w, v, path, at, err);
    return st || !info->is_dir ? st : go_into(w, path, err);
}

enum status artifact_walk_next(struct artifact_walk *w, struct view *v, struct artifact_info *info,
                               struct artifact_place *at, struct err *err)
{
    while (!w->is_done) {
        enum status st;

        if (w->page_i < w->page_n) {
            return take(w, v, info, at, err);
        }
        if (w->page && !w->page_more) {
            if (!w->dir_n) {
                break;
            }
            go_up(w);
        }
        w->page_max = w->page_max ? MIN_OF(w->page_max * 2, (size_t)PAGE_MAX) : PAGE_FIRST;
        st = load_page(w, v, err);
        if (st) {
            return st;
        }
        if (!w->page_n) {
            if (!w->dir_n) {
                break;
            }
            go_up(w);
        }
    }
    w->is_done = true;
    return ST_END;
}
