/* inspect/datasource.c - see datasource.h. */
#include "inspect/datasource.h"
#include "codec/json.h"

enum { DEPTH = 64, MEMBERS = 5 };

/* The first that is there counts: three of places, two of tables. */
static const char *const members[MEMBERS] = { "uri", "url", "path", "delta_table_name",
                                              "table_name" };

static size_t member_of(struct str key)
{
    size_t i = 0;

    while (i < MEMBERS && !str_eq(key, str_cstr(members[i]))) {
        i++;
    }
    return i;
}

/* *end: the object ended as one; else the text is none. */
static enum status read_members(struct json_reader *r, struct arena *a, struct str *texts,
                                bool *files, bool *end, struct err *err)
{
    size_t member = MEMBERS;
    bool of_files = false;

    for (;;) {
        enum json_event ev = json_next(r);

        if (ev == JSON_EV_OBJECT_END) {
            *end = json_next(r) == JSON_EV_END;
            return OK;
        }
        if (ev == JSON_EV_KEY) {
            struct str key = json_text(r, a);

            if (!key.p) {
                return err_nomem(err);
            }
            member = member_of(key);
            of_files = str_eq_lit(key, "data_files");
            continue;
        }
        if (ev == JSON_EV_STRING && member < MEMBERS) {
            texts[member] = json_text(r, a);
            if (!texts[member].p) {
                return err_nomem(err);
            }
        }
        *files = *files || (of_files && ev > JSON_EV_FALSE);
        if (ev < JSON_EV_END ||
            ((ev == JSON_EV_OBJECT || ev == JSON_EV_ARRAY) && json_skip(r) < JSON_EV_END)) {
            return r->status == ST_NOMEM ? err_nomem(err) : OK;
        }
    }
}

enum status datasource_read(struct str text, struct arena *a, struct datasource *out,
                            struct err *err)
{
    struct str texts[MEMBERS] = { { NULL, 0 } };
    struct json_reader r;
    enum status st = OK;

    *out = (struct datasource){ .object = false };
    json_init(&r, text, JSON_BARE_NAN, DEPTH);
    if (json_next(&r) == JSON_EV_OBJECT) {
        st = read_members(&r, a, texts, &out->files, &out->object, err);
    }
    json_release(&r);
    out->place = texts[0].n ? texts[0] : texts[1].n ? texts[1] : texts[2];
    out->table = texts[3].n ? texts[3] : texts[4];
    return st;
}
