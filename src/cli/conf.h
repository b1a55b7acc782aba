/* cli/conf.h - configuration files: sections and `key = value` lines.
 *
 *     # a comment line
 *     [http]
 *     body_max = 64M
 *
 * gives the entry "http.body_max". A line before the first section has its key alone. Values are taken as they stand,
 * without white space at both ends. A key given twice: the later line counts.
 * Ownership: everything lies in the arena. Thread rule: immutable once read. */
#ifndef CAIRN_CLI_CONF_H
#define CAIRN_CLI_CONF_H

#include "base/arena.h"
#include "base/buf.h"

enum { CONF_FILE_MAX = 256 * 1024, CONF_ENTRY_MAX = 4096, CONF_NAME_MAX = 128 };

struct conf_entry {
    const char *key, *value;
    unsigned line;
};

struct conf {
    const char *path; /* NULL: there is no such file */
    struct conf_entry *entries;
    size_t n;
};

/* Reads text; path is for messages. ST_INVALID names the line. */
enum status conf_parse(struct conf *out, struct arena *a, const char *path, struct str text,
                       struct err *err) ATTR_CHECK;
/* Reads a file; one that does not exist gives an empty conf without a path. */
enum status conf_read(struct conf *out, struct arena *a, const char *path,
                      struct err *err) ATTR_CHECK;
/* The last entry of that key; NULL if there is none. */
const struct conf_entry *conf_find(const struct conf *c, const char *key);

/* The project's file: ".cairn.conf" in the working directory or the nearest folder above it. */
enum status conf_read_project(struct conf *out, struct arena *a, struct err *err) ATTR_CHECK;
/* $XDG_CONFIG_HOME/cairn/cairn.conf, else ~/.config/cairn/cairn.conf; NULL when neither is set (or memory is out). */
const char *conf_user_path(struct arena *a);

/* Text with one entry set (value NULL: removed), everything else as it was, comments included. */
enum status conf_edit(struct buf *out, struct str text, const char *section, const char *key,
                      const char *value, struct err *err) ATTR_CHECK;

#endif
