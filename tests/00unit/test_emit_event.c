/* How things are called in events: run ids as UUIDs, places of data sets, URIs without secrets, times. */
#include "tap.h"

#include "engine/emit_event.h"
#include "engine/emit_int.h"

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
    place(a, "s3://user:se@cret@lake/k", "s3://lake", "k");
    place(a, "https://h/x?part=1&sig=secret", "https://h", "/x?part=1&sig=***");
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

static void uri_of_place(struct arena *a, const char *source, const char *want)
{
    struct emit_name at;

    T_OK(emit_place(a, str_cstr(source), &at));
    T_STR_EQ(emit_place_uri(a, &at), str_cstr(want));
}

TEST(places_as_uris)
{
    struct arena *a = arena_new(1 << 20);

    T_OK(a != NULL);
    uri_of_place(a, "dbfs:/t/x", "dbfs:/t/x");
    uri_of_place(a, "/data/x", "file:///data/x");
    uri_of_place(a, "file://nas/x", "file://nas/x");
    uri_of_place(a, "s3://lake/raw/x", "s3://lake/raw/x");
    uri_of_place(a, "s3://lake", "s3://lake/");
    uri_of_place(a, "https://h:8/x", "https://h:8/x");
    T_STR_EQ(emit_uri(a, S("train.py")), S("file:train.py"));
    T_STR_EQ(emit_uri(a, S("a b/c@d:e")), S("file:a%20b/c@d:e"));
    T_STR_EQ(emit_uri(a, S("git@github.com:org/x.git")), S("ssh://git@github.com/org/x.git"));
    T_STR_EQ(emit_uri(a, S("git@host:/srv/x.git")), S("ssh://git@host/srv/x.git"));
    T_STR_EQ(emit_uri(a, S("https://h/x.git")), S("https://h/x.git"));
    arena_free(a);
}

/* What a place may hold that is nobody else's to know. */
TEST(no_secrets)
{
    static const char *const places[] = { "https://ann:hidden@h/x.git", "https://hidden@h/x.git",
                                          "s3://key:hid@den:hidden@b/k",
                                          "https://h/x?X-Amz-Signature=hidden&y=1",
                                          "postgresql://ann:hidden@h/db?password=hidden" };
    struct arena *a = arena_new(1 << 20);
    struct buf b = BUF_INIT(1 << 16);
    struct json_writer w = JSON_WRITER_INIT(&b);

    T_OK(a != NULL);
    for (size_t i = 0; i < ARRAY_N(places); i++) {
        buf_clear(&b);
        w = (struct json_writer)JSON_WRITER_INIT(&b);
        emit_source(&w, a, S("x"), str_cstr(places[i]));
        t_note("%.*s", STR_ARG(buf_str(&b)));
        T_OK(str_find(buf_str(&b), S("***")) != SIZE_MAX);
        T_OK(str_find(buf_str(&b), S("hidden")) == SIZE_MAX);
    }
    buf_release(&b);
    arena_free(a);
}

static void begins_at(int64_t ms, const char *want)
{
    struct buf b = BUF_INIT(1 << 12);
    struct json_writer w = JSON_WRITER_INIT(&b);

    emit_begin(&w, "RunEvent", "START", ms);
    t_note("%.*s", STR_ARG(buf_str(&b)));
    T_OK(str_find(buf_str(&b), str_cstr(want)) != SIZE_MAX);
    buf_release(&b);
}

TEST(times)
{
    begins_at(1000, "\"eventTime\":\"1970-01-01T00:00:01.000Z\"");
    begins_at(-1, "\"eventTime\":\"1970-01-01T00:00:00.000Z\"");
    begins_at(INT64_MIN, "\"eventTime\":\"1970-01-01T00:00:00.000Z\"");
    begins_at(INT64_MAX, "\"eventTime\":\"9999-12-31T23:59:59.999Z\"");
}
