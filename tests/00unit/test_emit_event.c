/* How things are called in events: run ids as UUIDs, places of data sets. */
#include "tap.h"

#include "engine/emit_event.h"

static void id_is(const char *text, const char *want)
{
    char got[37];

    emit_run_id(str_cstr(text), got);
    T_CSTR(got, want);
}

TEST(run_ids)
{
    char one[37], other[37];

    id_is("0123456789abcdef0123456789ABCDEF", "01234567-89ab-cdef-0123-456789abcdef");
    id_is("01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef");
    emit_run_id(S("my own id"), one);
    emit_run_id(S("my own ie"), other);
    T_INT((int)strlen(one), 36);
    T_OK(one[14] == '8' && strchr("89ab", one[19]));
    T_OK(strcmp(one, other) != 0);
    emit_run_id(S("my own id"), other);
    T_CSTR(one, other);
    emit_run_id(S(""), one); /* never too long for its room */
    T_INT((int)strlen(one), 36);
    emit_run_id(S("0123456789abcdef0123456789abcdef0"), one);
    T_OK(one[14] == '8');
}

static void place(struct arena *a, const char *source, const char *ns, const char *name)
{
    struct emit_name got = { S(""), S("") };
    bool found = emit_place(a, str_cstr(source), &got);

    t_note("%s", source);
    T_INT(found, ns != NULL);
    if (found && ns) {
        T_STR_EQ(got.ns, str_cstr(ns));
        T_STR_EQ(got.name, str_cstr(name));
    }
}

TEST(places)
{
    struct arena *a = arena_new(1 << 20);

    T_OK(a != NULL);
    place(a, "{\"uri\": \"s3://lake/raw/a.csv\"}", "s3://lake", "raw/a.csv");
    place(a, "{\"uri\": \"s3a://lake/raw/a.csv\"}", "s3://lake", "raw/a.csv");
    place(a, "{\"tags\": {\"uri\": \"s3://no/x\"}, \"url\": \"https://h:8/x?y=1\"}", "https://h:8",
          "/x?y=1");
    place(a, "{\"path\": \"/data/x\"}", "file", "/data/x");
    place(a, "{\"uri\": [\"s3://no/x\"], \"path\": \"gs://b/k\"}", "gs://b", "k");
    place(a, "file:///data/x", "file", "/data/x");
    place(a, "file://nas/data/x", "file://nas", "/data/x");
    place(a, "/data/x", "file", "/data/x");
    place(a, "hdfs://nn:8020/t/x", "hdfs://nn:8020", "/t/x");
    place(a, "dbfs:/t/x", "dbfs", "/t/x");
    place(a, "abfss://c@acc.dfs.core.windows.net/x", "abfss://c@acc.dfs.core.windows.net", "x");
    place(a, "https://user:secret@h/x", "https://h", "/x");
    place(a, "s3://lake", "s3://lake", "/");
    place(a, "", NULL, NULL);
    place(a, "data.csv", NULL, NULL);
    place(a, "{}", NULL, NULL);
    place(a, "{\"uri\": 5}", NULL, NULL);
    place(a, "{\"uri\": \"rel/x\"}", NULL, NULL);
    place(a, "{\"uri\": \"s3:\\ud800\"}", NULL, NULL);
    place(a, "{broken", NULL, NULL);
    place(a, "s3:///x", NULL, NULL);
    arena_free(a);
}
