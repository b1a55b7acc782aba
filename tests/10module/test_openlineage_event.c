/* One event of OpenLineage is read: what it takes, what counts of it, what is refused. */
#include "tap.h"

#include "api/openlineage/openlineage.h"
#include "base/buf.h"

enum { TEXT_MAX = 4 << 20 };

/* ---- what reading one takes ---------------------------------------------------------------------------------------------------------------- */

enum { ENTRIES = 6000, NESTED = 150, OFTEN = 60 };

/* An entry for each of many columns of one data set, from many others. */
TEST(memory_grows_with_the_length_of_an_event)
{
    struct arena *a = arena_new(24 << 20);
    struct buf b = BUF_INIT(TEXT_MAX);
    struct err err = ERR_INIT;
    struct ol_event e;

    T_OK(a != NULL);
    buf_put_lit(
        &b, "{\"eventTime\":\"2026-01-01T00:00:00Z\",\"producer\":\"p\",\"schemaURL\":\"s\","
            "\"job\":{\"namespace\":\"n\",\"name\":\"j\",\"facets\":{\"lineage\":{\"entries\":[");
    for (int i = 0; i < ENTRIES; i++) {
        buf_printf(
            &b,
            "%s{\"type\":\"DATASET\",\"namespace\":\"n\",\"name\":\"d\",\"fields\":{\"c%d\":{\"inputs\":["
            "{\"namespace\":\"n\",\"name\":\"s%d\",\"field\":\"f\"}]}},\"inputs\":[{\"type\":\"DATASET\","
            "\"namespace\":\"n\",\"name\":\"s%d\"}]}",
            i ? "," : "", i, i, i);
    }
    buf_put_lit(&b, "]}}}}");
    T_ST(b.failed, OK);
    T_ST_ERR(ol_event_read(a, buf_str(&b), &e, NULL, &err), OK, &err);
    T_UINT(e.inputs_n, ENTRIES);
    T_UINT(e.outputs_n, 1);
    T_UINT(e.outputs[0].columns_n, ENTRIES);
    buf_clear(&b);
    buf_put_lit(&b,
                "{\"eventTime\":\"2026-01-01T00:00:00Z\",\"producer\":\"p\",\"schemaURL\":\"s\","
                "\"job\":{\"namespace\":\"n\",\"name\":\"j\"},\"x\":");
    for (int i = 0; i < NESTED; i++) {
        buf_put_lit(&b, "{\"a\":\"\\u00e9\",\"b\":\"\\u00e9\",\"c\":");
    }
    buf_put_lit(&b, "0");
    for (int i = 0; i < NESTED + 1; i++) {
        buf_put_lit(&b, "}");
    }
    arena_free(a);
    a = arena_new(256 << 10);
    T_OK(a != NULL);
    for (int i = 0; i < OFTEN; i++) {
        T_ST_ERR(ol_event_read(a, buf_str(&b), &e, NULL, &err), OK, &err);
    }
    buf_release(&b);
    arena_free(a);
}

/* As the canonical form has it. */
TEST(of_equal_keys_the_last_one_counts)
{
    static const char head[] =
        "{\"eventTime\":\"2026-01-01T00:00:00Z\",\"producer\":\"p\",\"schemaURL\":\"s\",";
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct ol_event e;
    struct str text;

    T_OK(a != NULL);
    text = arena_printf(
        a,
        "%s\"job\":{\"namespace\":\"n\",\"name\":\"j\",\"facets\":{\"x\":{}}},"
        "\"job\":{\"namespace\":\"n\",\"name\":\"k\"},"
        "\"run\":{\"runId\":\"text\",\"facets\":{\"x\":{}}},"
        "\"run\":{\"runId\":\"00000000-0000-0000-0000-000000000001\",\"facets\":{\"y\":{},\"z\":{},\"y\":null}},"
        "\"inputs\":[{\"namespace\":\"n\",\"name\":\"d\"}],\"inputs\":null}",
        head);
    T_ST_ERR(ol_event_read(a, text, &e, NULL, &err), OK, &err);
    T_STR_EQ(e.job.name, S("k"));
    T_UINT(e.job_facets_n, 0);
    T_OK(!e.run.text.p && e.run.is_set);
    T_UINT(e.run_facets_n, 1);
    T_STR_EQ(e.run_facets[0].key, S("z"));
    T_OK(!e.has_inputs && !e.inputs_n);
    text = arena_printf(
        a, "%s\"job\":{\"namespace\":\"n\",\"name\":\"j\"},\"job\":{\"namespace\":\"n\"}}", head);
    T_ST(ol_event_read(a, text, &e, NULL, &err), ST_INVALID);
    arena_free(a);
}

/* ---- what is refused, and what is not ------------------------------------------------------------------------------------------------ */

TEST(errors_name_the_field)
{
    static const struct {
        const char *text, *field;
    } rows[] = {
        { "{}", "eventTime" },
        { "{\"eventTime\":\"yesterday\"}", "eventTime" },
        { "{\"eventTime\":\"2026-02-29T00:00:00Z\"}", "eventTime" },
        { "{\"eventTime\":\"2026-01-01T00:00:00Z\"}", "producer" },
        { "{\"eventTime\":\"2026-01-01T00:00:00Z\",\"producer\":\"p\"}", "schemaURL" },
        { "{\"eventTime\":\"2026-01-01T00:00:00Z\",\"producer\":\"p\",\"schemaURL\":\"s\"}",
          "job" },
        { "{\"job\":{\"namespace\":\"n\",\"name\":\"\"}}", "job.name" },
        { "{\"job\":{\"namespace\":7,\"name\":\"x\"}}", "job.namespace" },
        { "{\"job\":[]}", "job" },
        { "{\"run\":{}}", "run.runId" },
        { "{\"inputs\":[{\"namespace\":\"n\",\"name\":\"a\"},{\"namespace\":\"n\"}]}",
          "inputs[1].name" },
        { "{\"inputs\":[3]}", "inputs[0]" },
        { "{\"outputs\":{}}", "outputs" },
        { "{\"outputs\":[{\"namespace\":\"n\",\"name\":\"a\",\"facets\":[]}]}",
          "outputs[0].facets" },
        { "{\"dataset\":{\"namespace\":\"n\",\"name\":\"\\u0000\"}}", "dataset.name" },
    };
    struct arena *a = arena_new(1 << 20);
    struct ol_event e;
    struct err err;

    T_OK(a != NULL);
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        err = (struct err)ERR_INIT;
        T_ST(ol_event_read(a, str_cstr(rows[i].text), &e, NULL, &err), ST_INVALID);
        T_CSTR(err.field, rows[i].field);
    }
    T_ST(ol_event_read(a, S("[]"), &e, NULL, &err), ST_BAD_REQUEST);
    T_ST(ol_event_read(a, S("{} {}"), &e, NULL, &err), ST_BAD_REQUEST);
    T_ST(ol_event_read(a, S("{\"a\":\"\xff\"}"), &e, NULL, &err), ST_BAD_REQUEST);
    arena_free(a);
}

TEST(times)
{
    static const struct {
        const char *text;
        int64_t us;
        bool zone;
    } rows[] = {
        { "1970-01-01T00:00:00Z", 0, true },
        { "1970-01-01T00:00:00.1234567Z", 123456, true },
        { "2024-02-29T23:59:60+00:00", 1709251200000000, true },
        { "2026-01-01t02:00:00+0200", 1767225600000000, true },
        { "2026-01-01 00:00:00", 1767225600000000, false },
        { "1969-12-31T23:59:59.999999Z", -1, true },
        { "2025-12-31T19:00:00,5-05", 1767225600500000, true },
    };
    int64_t us;
    bool zone;

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        T_OK(ol_time_read(str_cstr(rows[i].text), &us, &zone));
        T_INT(us, rows[i].us);
        T_INT(zone, rows[i].zone);
    }
    T_OK(!ol_time_read(S("2026-01-01"), &us, &zone));
    T_OK(!ol_time_read(S("2026-13-01T00:00:00Z"), &us, &zone));
    T_OK(!ol_time_read(S("2026-01-01T24:00:00Z"), &us, &zone));
    T_OK(!ol_time_read(S("2026-01-01T00:00:00Zx"), &us, &zone));
    T_OK(!ol_time_read(S(""), &us, &zone));
}
