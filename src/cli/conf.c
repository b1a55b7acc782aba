/* cli/conf.c - reading and editing configuration files. */
#include "cli/conf.h"
#include "base/fs.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* One line, taken apart. */
struct line {
    enum { LINE_EMPTY, LINE_SECTION, LINE_ENTRY, LINE_BAD } kind;
    struct str name, value;
};

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c == '[' || c == ']' || c == '=' || c == 0x7f) {
            return false;
        }
    }
    return s.n > 0 && s.n <= CONF_NAME_MAX;
}

static struct line read_line(struct str text)
{
    struct line l = { .kind = LINE_BAD };
    size_t eq;

    text = str_trim(text);
    if (!text.n || text.p[0] == '#' || text.p[0] == ';') {
        l.kind = LINE_EMPTY;
        return l;
    }
    if (text.p[0] == '[') {
        l.name = text.p[text.n - 1] == ']' ? str_trim(str_sub(text, 1, text.n - 2)) : S("");
        l.kind = is_name(l.name) ? LINE_SECTION : LINE_BAD;
        return l;
    }
    eq = str_find_byte(text, '=', 0);
    if (eq == SIZE_MAX) {
        return l;
    }
    l.name = str_trim(str_sub(text, 0, eq));
    l.value = str_trim(str_sub(text, eq + 1, text.n));
    l.kind = is_name(l.name) ? LINE_ENTRY : LINE_BAD;
    return l;
}

static enum status add_entry(struct conf *c, struct arena *a, size_t *cap, struct str section,
                             const struct line *l, unsigned number, struct err *err)
{
    struct conf_entry *e;

    if (c->n >= CONF_ENTRY_MAX) {
        return err_set(err, ST_TOO_BIG, "%s has more than %d entries", c->path, CONF_ENTRY_MAX);
    }
    if (!arena_grow(a, (void **)&c->entries, c->n, cap, sizeof(*e))) {
        return err_nomem(err);
    }
    e = &c->entries[c->n];
    e->line = number;
    e->key = section.n ? arena_printf(a, "%.*s.%.*s", STR_ARG(section), STR_ARG(l->name)).p
                       : arena_cstr(a, l->name);
    e->value = arena_cstr(a, l->value);
    if (!e->key || !e->value) {
        return err_nomem(err);
    }
    c->n++;
    return OK;
}

enum status conf_parse(struct conf *out, struct arena *a, const char *path, struct str text,
                       struct err *err)
{
    struct str rest = text, one, section = S("");
    unsigned number = 0;
    size_t cap = 0;
    enum status st = OK;

    *out = (struct conf){ .path = path };
    if (!utf8_valid(text) || str_find_byte(text, 0, 0) != SIZE_MAX) {
        return err_set(err, ST_INVALID, "%s is not UTF-8 text", path);
    }
    while (!st && str_split(&rest, '\n', &one)) {
        struct line l = read_line(one);

        number++;
        if (l.kind == LINE_SECTION) {
            section = l.name;
        } else if (l.kind == LINE_ENTRY) {
            st = add_entry(out, a, &cap, section, &l, number, err);
        } else if (l.kind == LINE_BAD) {
            st = err_set(err, ST_INVALID, "%s, line %u is neither a section nor an entry", path,
                         number);
            err_hint(err, "write [section] or key = value");
        }
    }
    return st;
}

enum status conf_read(struct conf *out, struct arena *a, const char *path, struct err *err)
{
    struct str text;
    enum status st = fs_read_file(a, path, CONF_FILE_MAX, &text, err);

    *out = (struct conf){ .path = NULL };
    if (st == ST_NOT_FOUND) {
        return OK;
    }
    return st ? st : conf_parse(out, a, path, text, err);
}

const struct conf_entry *conf_find(const struct conf *c, const char *key)
{
    for (size_t i = c->n; i-- > 0;) {
        if (strcmp(c->entries[i].key, key) == 0) {
            return &c->entries[i];
        }
    }
    return NULL;
}

enum status conf_read_project(struct conf *out, struct arena *a, struct err *err)
{
    char dir[PATH_BYTES];
    char *end;

    *out = (struct conf){ .path = NULL };
    if (!getcwd(dir, sizeof(dir))) {
        return OK; /* a working directory that is gone has no project */
    }
    for (;;) {
        const char *path = fs_join(a, dir, ".cairn.conf");

        if (!path) {
            return err_nomem(err);
        }
        if (access(path, F_OK) == 0) {
            return conf_read(out, a, path, err);
        }
        end = strrchr(dir, '/');
        if (!end || dir[1] == 0) {
            return OK;
        }
        end[end == dir ? 1 : 0] = 0;
    }
}

const char *conf_user_path(struct arena *a)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (xdg && xdg[0] == '/') {
        return arena_printf(a, "%s/cairn/cairn.conf", xdg).p;
    }
    return home && home[0] ? arena_printf(a, "%s/.config/cairn/cairn.conf", home).p : NULL;
}

/* ---- editing ---------------------------------------------------------------------------------------------------- */

static void put_entry(struct buf *out, const char *key, const char *value)
{
    if (value) {
        buf_printf(out, "%s = %s\n", key, value);
    }
}

enum status conf_edit(struct buf *out, struct str text, const char *section, const char *key,
                      const char *value, struct err *err)
{
    struct str rest = text, one;
    bool inside = false, done = false;

    while (str_split(&rest, '\n', &one)) {
        struct line l = read_line(one);

        if (l.kind == LINE_SECTION) {
            if (inside && !done) {
                put_entry(out, key, value);
                done = true;
            }
            inside = str_eq(l.name, str_cstr(section));
        }
        if (inside && l.kind == LINE_ENTRY && str_eq(l.name, str_cstr(key))) {
            if (!done) put_entry(out, key, value);
            done = true;
            continue;
        }
        if (one.n || rest.n) {
            buf_put_str(out, one);
            buf_put_u8(out, '\n');
        }
    }
    if (!done && value) {
        if (!inside) {
            buf_printf(out, "%s[%s]\n", out->n ? "\n" : "", section);
        }
        put_entry(out, key, value);
    }
    return buf_status(out, "configuration file", err);
}
