/* One spelling for the place of data: URIs as they are written, sources of MLflow, names of OpenLineage. */
#include "base/arena.h"
#include "core/graph/data_uri.h"
#include "tap.h"

static struct arena *a;

static struct str spelled(const char *text)
{
    struct err err = ERR_INIT;
    struct str out, again;

    T_ST(data_uri(a, str_cstr(text), &out, &err), OK);
    if (out.p) {
        T_ST(data_uri(a, out, &again, &err), OK);
        T_OK(str_eq(out, again));
    }
    return out;
}

static void same(const char *text, const char *want)
{
    struct str out = spelled(text);

    T_STR_EQ(out.p ? out : S("none"), str_cstr(want ? want : "none"));
}

TEST(object_stores)
{
    a = arena_new(1 << 20);
    same("s3://bucket/a/b.csv", "s3://bucket/a/b.csv");
    same("S3A://Bucket/a/b.csv", "s3://Bucket/a/b.csv");
    same("s3n://bucket/a//b/", "s3://bucket/a//b");
    same("s3://key:secret@bucket/a", "s3://bucket/a");
    same("s3://bucket/a%20b?versionId=1#x", "s3://bucket/a%20b?versionId=1#x");
    same("s3://bucket/", "s3://bucket");
    same("s3://bucket", "s3://bucket");
    same("s3://", NULL);
    same("gcs://b/x", "gs://b/x");
    same("abfs://Box@Account.dfs.core.windows.net/x/",
         "abfss://Box@account.dfs.core.windows.net/x");
    same("s3://b/a\nb", "s3://b/a%0Ab");
    arena_free(a);
}

TEST(files)
{
    a = arena_new(1 << 20);
    same("/data/x.csv", "file:///data/x.csv");
    same("//data//./x.csv/.", "file:///data/x.csv");
    same("file:/data/x.csv", "file:///data/x.csv");
    same("FILE://LocalHost/data/x.csv/", "file:///data/x.csv");
    same("file://Host/data", "file://host/data");
    same("file:///a%20b%25", "file:///a b%25");
    same("/a%20b", "file:///a%2520b");
    same("file:///a%ff", "file:///a%FF");
    same("/", "file:///");
    same("data/x.csv", NULL);
    same("C:\\data", NULL);
    same("file:data", NULL);
    same("", NULL);
    same("\xff", NULL);
    arena_free(a);
}

TEST(hosts)
{
    a = arena_new(1 << 20);
    same("HTTPS://me:pw@Host.Org:443/%7Eme/%c3%a9/x/?q=%2f#top",
         "https://host.org/~me/%C3%A9/x?q=%2F");
    same("http://host:8080?a/b", "http://host:8080?a/b");
    same("http://Host/", "http://host");
    same("hdfs://NN:8020/a", "hdfs://nn/a");
    same("hdfs://nn:8020:8020:/a", "hdfs://nn/a");
    same("postgresql://H:5432/db", "postgres://h/db");
    same("postgres://[::1]:5433/db", "postgres://[::1]:5433/db");
    same("dbfs:/a", "dbfs:/a");
    same("dbfs:////a", "dbfs:/a");
    same("dbfs://ws/a", "dbfs://ws/a");
    same("bq://p.d.t", "bigquery://p.d.t");
    same("unknown+x://Ho:1/Y", "unknown+x://Ho:1/Y");
    same("data:text/plain,x", NULL);
    same("inmemory://x", NULL);
    arena_free(a);
}

static void of_name(const char *ns, const char *name, const char *want)
{
    struct err err = ERR_INIT;
    struct str out;

    T_ST(data_uri_of_name(a, str_cstr(ns), str_cstr(name), &out, &err), OK);
    T_STR_EQ(out.p ? out : S("none"), str_cstr(want ? want : "none"));
}

TEST(names_of_openlineage)
{
    a = arena_new(1 << 20);
    of_name("s3://bucket", "a/b", "s3://bucket/a/b");
    of_name("s3://bucket/", "/a/b", "s3://bucket/a/b");
    of_name("s3a://bucket", "a", "s3://bucket/a");
    of_name("file", "/data/x.csv", "file:///data/x.csv");
    of_name("file", "/a%41", "file:///a%2541");
    of_name("file://Host", "data", "file://host/data");
    of_name("hdfs://nn:8020", "/a", "hdfs://nn/a");
    of_name("postgres://H:5432", "db.schema.t", "postgres://h/db.schema.t");
    of_name("bigquery", "p.d.t", "bigquery://p.d.t");
    of_name("arn:aws:glue:eu:1", "table/db/t", "arn:aws:glue:eu:1:table/db/t");
    of_name("inmemory://", "x", NULL);
    of_name("my jobs", "x", NULL);
    of_name("s3://bucket", "", NULL);
    arena_free(a);
}

static void of_source(const char *type, const char *source, const char *want)
{
    struct err err = ERR_INIT;
    struct str out;

    T_ST(data_uri_of_source(a, str_cstr(type), str_cstr(source), &out, &err), OK);
    T_STR_EQ(out.p ? out : S("none"), str_cstr(want ? want : "none"));
}

static void ways(const char *text, size_t want)
{
    struct err err = ERR_INIT;
    struct str uri, out[DATA_URI_SPELLINGS], is;
    size_t n;

    T_ST(data_uri(a, str_cstr(text), &uri, &err), OK);
    T_ST(data_uri_spellings(a, uri, out, &n, &err), OK);
    T_UINT(n, want);
    for (size_t i = 0; i < n; i++) {
        T_ST(data_uri(a, out[i], &is, &err), OK);
        T_STR_EQ(is, uri);
        for (size_t k = 0; k < i; k++) {
            T_OK(!str_eq(out[i], out[k]));
        }
    }
}

TEST(spellings)
{
    a = arena_new(1 << 20);
    ways("s3://bucket/a", 2);
    ways("s3://bucket/a?b", 2);
    ways("https://host/a", 2);
    ways("https://host/a?q=1", 1);
    ways("http://host?q", 1);
    ways("/data/x", 3);
    ways("/data/a%41", 3);
    ways("file:///data/%01x", 3);
    ways("file:///data/%00x", 2);
    ways("table:a.b", 2);
    ways("hf://datasets/x", 2);
    arena_free(a);
}

TEST(sources_of_mlflow)
{
    a = arena_new(1 << 20);
    of_source("s3", "{\"uri\": \"s3://b/k\"}", "s3://b/k");
    of_source("local", "{\"uri\": \"/data/x\"}", "file:///data/x");
    of_source("http", "{\"url\": \"https://h/x\"}", "https://h/x");
    of_source("delta_table", "{\"path\": \"dbfs:/t\", \"delta_table_version\": 3}", "dbfs:/t");
    of_source("delta_table", "{\"delta_table_name\": \"Main.`Sales`.t\"}", "table:main.sales.t");
    of_source("spark", "{\"table_name\": \"main.sales.t\"}", "table:main.sales.t");
    of_source("spark", "{\"sql\": \"SELECT 1\"}", NULL);
    of_source("uc_volume", "{\"path\": \"/Volumes/c/s/v/x\"}", "dbfs:/Volumes/c/s/v/x");
    of_source("hugging_face", "{\"path\": \"org/name\", \"data_files\": null}",
              "hf://datasets/org/name");
    of_source("hugging_face", "{\"path\": \"csv\", \"data_files\": \"x.csv\"}", NULL);
    of_source("hugging_face", "{\"path\": \"/local/set\"}", "file:///local/set");
    of_source("code", "{\"tags\": {\"uri\": \"s3://b/k\"}}", NULL);
    of_source("x", "{\"uri\": 1, \"url\": [\"s3://b/k\"]}", NULL);
    of_source("x", "{\"uri\": \"s3://b/k\"", NULL);
    of_source("x", "s3://b/k/", "s3://b/k");
    of_source("x", "", NULL);
    arena_free(a);
}
