/* Events of OpenLineage as anybody sends them, one a line, or all bytes as one. What is refused is the client's fault and names what; what is taken
 * apart goes to a store together, comes back byte for byte, and says nothing more when it comes again. */
#include "api/openlineage/openlineage.h"
#include "store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, EVENTS_MAX = 32 };

static struct core *core;
static struct arena *kept;

static size_t put(struct arena *a, struct ol_event *events, size_t n)
{
    struct err err = ERR_INIT;
    struct ol_put p;

    ol_put_init(&p, core, a);
    p.events = events;
    p.n = n;
    CHECK(seq_run(core->seq, &p.op, &err) == OK);
    return p.added;
}

static bool take(struct arena *a, struct str text, struct ol_event *e)
{
    struct ol_warnings warnings = { .n = 0 };
    struct err err = ERR_INIT;
    enum status st = ol_event_read(a, text, e, &warnings, &err);

    CHECK(st == OK || st == ST_INVALID || st == ST_BAD_REQUEST || st == ST_TOO_BIG ||
          st == ST_NOMEM);
    CHECK(st == OK || err.message[0]);
    CHECK(warnings.n <= OL_WARNINGS_MAX);
    return st == OK;
}

static void comes_back(struct arena *a, const struct ol_event *e)
{
    struct view v;
    struct err err = ERR_INIT;
    struct ol_events_query q = { .from_us = e->event_us,
                                 .until_us = INT64_MAX,
                                 .down = false,
                                 .after_us = INT64_MIN,
                                 .after = INT64_MIN,
                                 .max = 64 };
    struct ol_stored *stored;
    bool more, found = false;
    size_t n;

    core_view(core, a, &v);
    CHECK(ol_events(&v, &q, &stored, &n, &more, &err) == OK);
    for (size_t i = 0; i < n; i++) {
        found = found || str_eq(stored[i].raw, e->raw);
    }
    CHECK(found || more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str rest = str_of(data, n), line;
    struct ol_event events[EVENTS_MAX];
    struct arena *a = arena_new(ARENA_MAX);
    size_t taken = 0, added;

    if (!core) {
        core = fuzz_store_open(&kept);
    }
    CHECK(a != NULL);
    taken += take(a, rest, &events[0]);
    while (taken < EVENTS_MAX && str_split(&rest, '\n', &line)) {
        taken += take(a, line, &events[taken]);
    }
    added = put(a, events, taken);
    CHECK(added <= taken);
    for (size_t i = 0; i < taken; i++) {
        if (!events[i].known) {
            comes_back(a, &events[i]);
            break;
        }
    }
    CHECK(put(a, events, taken) == 0);
    arena_free(a);
    return 0;
}
