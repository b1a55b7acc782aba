/* inspect/dataschema.c - the names of the objects in the outermost lists of the text, and of texts in it that are JSON again. */
#include "inspect/dataschema.h"
#include "codec/json.h"

enum { DEPTH_MAX = 100, WITHIN_MAX = 2 };

static bool has(struct str schema, struct str column, struct arena *a, unsigned within)
{
    struct json_reader r;
    enum json_event ev;
    size_t list = 0; /* depth inside the outermost list; 0 = in none */
    bool found = false, name = false;

    json_init(&r, schema, 0, DEPTH_MAX);
    while (!found && (ev = json_next(&r)) > JSON_EV_END) {
        if (ev == JSON_EV_ARRAY && !list) {
            list = r.depth;
        } else if (ev == JSON_EV_ARRAY_END && r.depth < list) {
            list = 0;
        } else if (ev == JSON_EV_STRING && (name || (!list && within < WITHIN_MAX))) {
            struct str text = json_text(&r, a);

            found = text.p && (name ? str_eq(text, column) : has(text, column, a, within + 1));
        }
        name = ev == JSON_EV_KEY && list && r.depth == list + 1 && str_eq_lit(r.raw, "name");
    }
    json_release(&r);
    return found;
}

bool dataschema_has(struct str schema, struct str column, struct arena *a)
{
    return has(schema, column, a, 0);
}
