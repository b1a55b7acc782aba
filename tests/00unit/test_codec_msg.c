/* Messages from JSON and to JSON: every kind of field, every rule, every issue. */
#include "base/mem.h"
#include "codec/json.h"
#include "codec/msg.h"
#include "codec_all.h"
#include "gen/mlflow/tracking.h"
#include "tap.h"
#include <math.h>

static struct err err;
static struct msg_ctx ctx;
static struct arena *arena;

static void setup(unsigned flags)
{
    if (arena) {
        arena_reset(arena);
    } else {
        arena = arena_new(1 << 20);
    }
    ctx = (struct msg_ctx){ .arena = arena, .flags = flags };
}

static enum status decode(const struct msg_desc *desc, void *out, struct str json, unsigned flags)
{
    setup(flags);
    return msg_decode_json(desc, out, json, &ctx, &err);
}

static void encoded(const struct msg_desc *desc, const void *in, unsigned flags, struct str want)
{
    struct buf b = BUF_INIT(1 << 16);

    msg_encode_json(&b, desc, in, flags);
    T_ST(buf_status(&b, "out", &err), OK);
    T_STR_EQ(buf_str(&b), want);
    T_ST_ERR(json_check(buf_str(&b), JSON_BARE_NAN, 0, &err), OK, &err);
    buf_release(&b);
}

/* An issue of this kind at this path, with this value; the status and the text that go with it. */
static void issue(const struct msg_desc *desc, struct str json, unsigned flags,
                  enum msg_issue_kind kind, const char *path, const char *value, const char *text)
{
    static union {
        struct t_all all;
        struct t_rules rules;
        struct mlflow_log_batch batch;
    } out;
    enum status st = decode(desc, &out, json, flags);

    if (ctx.issue.kind != kind)
        T_FAIL("issue %d, not %d: %.*s: %s", ctx.issue.kind, kind, STR_ARG(json), err.message);
    T_CSTR(ctx.issue.path, path);
    T_STR_EQ(ctx.issue.value_json, str_cstr(value));
    T_ST(st, err.code);
    T_CSTR(err.message, text);
    T_OK(st != OK);
}

TEST(msg_every_kind_of_field)
{
    static const char json[] =
        "{\"d\":-1.5e-3,\"b\":true,\"i32\":-2147483648,\"s32\":-7,\"sf32\":8,\"i64\":\"-9223372036854775808\","
        "\"s64\":-3,\"sf64\":\"4\",\"u32\":4294967295,\"f32\":1,\"u64\":\"18446744073709551615\",\"f64\":2,"
        "\"color\":\"RED\",\"text_value\":\"h\\u00e9 \\n\",\"raw_bytes\":\"AAH/\",\"any_json\": {\"x\": [1, NaN]} ,"
        "\"leaf\":{\"key\":\"k\",\"n\":5},\"labels\":{\"a\":\"1\",\"b\":\"\"},\"ds\":[1,2.5,\"NaN\"],\"bs\":[true,false],"
        "\"i32s\":[1,-1],\"s64s\":[],\"f32s\":[9],\"u64s\":[\"1\",2],\"colors\":[5,\"COLD\",1],\"texts\":[\"\",\"x\"],"
        "\"raws\":[\"\",\"_-8\"],\"jsons\":[null,{},1],\"leaves\":[{\"key\":\"a\"},{\"key\":\"b\",\"n\":1e3}],"
        "\"all\":{\"all\":{\"b\":false}}}";
    struct t_all m;

    T_ST_ERR(decode(&t_all_desc, &m, str_cstr(json), MSG_BARE_NAN), OK, &err);
    T_DBL_BITS(m.d, -1.5e-3);
    T_INT(m.i32, INT32_MIN);
    T_INT(m.i64, INT64_MIN);
    T_UINT(m.u64, UINT64_MAX);
    T_INT(m.color, T_COLOR_RED);
    T_STR(m.text_value, "h\xc3\xa9 \n");
    T_STR(m.raw_bytes, "\0\x01\xff");
    T_STR(m.any_json, "{\"x\": [1, NaN]}");
    T_STR(m.leaf->key, "k");
    T_UINT(m.labels_n, 2);
    T_STR(m.labels[1].key, "b");
    T_UINT(m.ds_n, 3);
    T_OK(isnan(m.ds[2]));
    T_INT(m.has >> 22 & 1, 1); /* an empty list is there too */
    T_INT(m.colors[1], T_COLOR_COLD);
    T_STR(m.raws[1], "\xff\xef");
    T_STR(m.jsons[0], "null");
    T_INT(m.leaves[1].n, 1000);
    T_INT(m.all->all->has, T_ALL_HAS_B);
    T_INT(m.all->all->b, 0);
    encoded(
        &t_all_desc, &m, MSG_JSON_NAN_STRINGS,
        S("{\"d\":-0.0015,\"b\":true,\"i32\":-2147483648,\"s32\":-7,\"sf32\":8,\"i64\":\"-9223372036854775808\","
          "\"s64\":\"-3\",\"sf64\":\"4\",\"u32\":4294967295,\"f32\":1,\"u64\":\"18446744073709551615\",\"f64\":\"2\","
          "\"color\":\"RED\",\"text_value\":\"h\xc3\xa9 \\n\",\"raw_bytes\":\"AAH/\",\"any_json\":{\"x\": [1, NaN]},"
          "\"leaf\":{\"key\":\"k\",\"n\":\"5\"},\"labels\":{\"a\":\"1\",\"b\":\"\"},\"ds\":[1.0,2.5,\"NaN\"],"
          "\"bs\":[true,false],\"i32s\":[1,-1],\"s64s\":[],\"f32s\":[9],\"u64s\":[\"1\",\"2\"],"
          "\"colors\":[\"BLUE\",\"COLD\",\"RED\"],\"texts\":[\"\",\"x\"],\"raws\":[\"\",\"/+8=\"],"
          "\"jsons\":[null,{},1],\"leaves\":[{\"key\":\"a\"},{\"key\":\"b\",\"n\":\"1000\"}],"
          "\"all\":{\"all\":{\"b\":false}}}"));
}

TEST(msg_encodes_by_flags)
{
    struct t_all m = { 0 };

    encoded(&t_all_desc, &m, 0, S("{}"));
    MSG_SET(&m, T_ALL_HAS_I64, i64, INT64_MAX);
    MSG_SET(&m, T_ALL_HAS_U64, u64, UINT64_MAX);
    MSG_SET(&m, T_ALL_HAS_D, d, -(double)INFINITY);
    MSG_SET(&m, T_ALL_HAS_TEXT_VALUE, text_value, S("\xc3\xa9"));
    MSG_SET(&m, T_ALL_HAS_COLOR, color, 77);
    m.has |= T_ALL_HAS_LEAF | T_ALL_HAS_TEXTS | T_ALL_HAS_LABELS | T_ALL_HAS_ANY_JSON;
    encoded(
        &t_all_desc, &m, MSG_JSON_MLFLOW | MSG_JSON_CAMEL,
        S("{\"d\":\"-Infinity\",\"i64\":9223372036854775807,\"u64\":18446744073709551615,\"color\":77,"
          "\"textValue\":\"\\u00e9\",\"anyJson\":null,\"leaf\":{},\"labels\":{},\"texts\":[]}"));
    encoded(
        &t_all_desc, &m, MSG_JSON_NAN_BARE | MSG_JSON_INT64_AS_NUMBER,
        S("{\"d\":-Infinity,\"i64\":9223372036854775807,\"u64\":18446744073709551615,\"color\":77,"
          "\"text_value\":\"\xc3\xa9\",\"any_json\":null,\"leaf\":{},\"labels\":{},\"texts\":[]}"));
    m.has = T_ALL_HAS_D;
    encoded(&t_all_desc, &m, 0, S("{\"d\":null}"));
}

TEST(msg_lenient_as_mlflow_clients_need)
{
    struct mlflow_log_metric m;

    T_ST(
        decode(
            &mlflow_log_metric_desc, &m,
            S("{\"runId\":\"r\",\"key\":\"k\",\"value\":NaN,\"timestamp\":\"12\",\"step\":null,\"what\":{\"a\":[]},"
              "\"modelId\":\"m\"}"),
            MSG_JSON_LENIENT),
        OK);
    T_STR(m.run_id, "r");
    T_OK(isnan(m.value));
    T_INT(m.timestamp, 12);
    T_OK(!(m.has & MLFLOW_LOG_METRIC_HAS_STEP));
    T_STR(m.model_id, "m");
    T_ST(
        decode(
            &mlflow_log_metric_desc, &m,
            S(" \"{\\\"run_uuid\\\": \\\"r\\\\n\\\", \\\"key\\\": \\\"k\\\", \\\"value\\\": -Infinity, "
              "\\\"timestamp\\\": 1.0}\" "),
            MSG_JSON_LENIENT),
        OK);
    T_STR(m.run_id, "r\n");
    T_OK(isinf(m.value) && m.value < 0);
    T_INT(m.timestamp, 1);
}

TEST(msg_empty_and_broken_bodies)
{
    struct mlflow_search_runs m;

    T_ST(decode(&mlflow_search_runs_desc, &m, S(""), MSG_JSON_LENIENT), OK);
    T_INT(m.max_results, 1000);
    T_INT(m.run_view_type, MLFLOW_VIEW_TYPE_ACTIVE_ONLY);
    T_UINT(m.has, 0);
    T_ST(decode(&mlflow_search_runs_desc, &m, (struct str){ NULL, 0 }, MSG_JSON_LENIENT), OK);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("{\"max_results\":5,"), MSG_JSON_LENIENT),
         ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("null"), MSG_JSON_LENIENT), ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("\"x\""), MSG_JSON_LENIENT), ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("\"{}\" {}"), MSG_JSON_LENIENT), ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("\xef\xbb\xbf{}"), MSG_JSON_LENIENT),
         ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S(" "), MSG_EMPTY_OK), OK);
    T_ST(decode(&mlflow_search_runs_desc, &m, S(" "), 0), ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("[]"), 0), ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("{} x"), 0), ST_BAD_REQUEST);
    T_ST(decode(&mlflow_search_runs_desc, &m, S("\"{}\""), 0), ST_BAD_REQUEST);
    issue(&mlflow_log_batch_desc, S(""), MSG_JSON_LENIENT, MSG_ISSUE_MISSING, "run_id", NULL,
          "field run_id is missing");
    T_CSTR(err.field, "run_id");
    issue(&mlflow_log_batch_desc, S("{\"run_id\":\"x\""), 0, MSG_ISSUE_SYNTAX, "",
          "the JSON ends too early", "request cannot be read at byte 13: the JSON ends too early");
}

TEST(msg_required_means_there_and_not_empty)
{
    struct mlflow_log_metric m;
    struct mlflow_search_logged_models s;

    issue(&t_leaf_desc, S("{}"), 0, MSG_ISSUE_MISSING, "key", NULL, "field key is missing");
    issue(&t_leaf_desc, S("{\"key\":null}"), 0, MSG_ISSUE_MISSING, "key", NULL,
          "field key is missing");
    issue(&t_leaf_desc, S("{\"key\":\"\"}"), 0, MSG_ISSUE_MISSING, "key", NULL,
          "field key is missing");
    issue(&t_leaf_desc, S("{\"key\":\"a\",\"key\":\"\"}"), 0, MSG_ISSUE_MISSING, "key", NULL,
          "field key is missing");
    T_ST(decode(&mlflow_log_metric_desc, &m,
                S("{\"run_id\":\"r\",\"key\":\"k\",\"value\":0,\"timestamp\":0}"), 0),
         OK);
    T_ST(decode(&mlflow_search_logged_models_desc, &s, S("{\"experiment_ids\":[]}"), 0), OK);
    T_ST(decode(&mlflow_search_logged_models_desc, &s, S("{}"), 0), ST_INVALID);
    /* The top message's own gaps come before those of its parts. */
    issue(&mlflow_log_batch_desc, S("{\"params\":[{\"value\":\"\"}]}"), 0, MSG_ISSUE_MISSING,
          "run_id", NULL, "field run_id is missing");
    issue(&mlflow_log_batch_desc,
          S("{\"run_id\":\"r\",\"params\":[{\"key\":\"a\"},{\"value\":\"\"}]}"), 0,
          MSG_ISSUE_MISSING, "params[1].key", NULL, "field params[1].key is missing");
}

TEST(msg_wrong_types)
{
    static const struct {
        const char *field, *value, *python;
    } rows[] = {
        { "d", "\"x\"", "str" },         { "d", "true", "bool" },
        { "d", "[1]", "list" },          { "b", "1", "int" },
        { "b", "\"true\"", "str" },      { "i32", "1.5", "float" },
        { "i32", "1e-1", "float" },      { "i32", "\"1.0\"", "str" },
        { "i32", "\"\"", "str" },        { "i32", "true", "bool" },
        { "u64", "{\"a\": 1}", "dict" }, { "i64", "\" 1\"", "str" },
        { "color", "\"red\"", "str" },   { "color", "3", "int" },
        { "color", "1.5", "float" },     { "text_value", "1", "int" },
        { "text_value", "[]", "list" },  { "raw_bytes", "\"a*\"", "str" },
        { "leaf", "1", "int" },          { "leaf", "[]", "list" },
        { "labels", "[]", "list" },      { "labels", "\"\"", "str" },
        { "texts", "\"\"", "str" },      { "texts", "{}", "dict" },
        { "ds", "-7", "int" },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct str json;
        struct t_all m;

        setup(0);
        json = arena_printf(arena, "{\"i64\":1,\"%s\" : %s ,\"b\":true}", rows[i].field,
                            rows[i].value);
        T_ST(msg_decode_json(&t_all_desc, &m, json, &ctx, &err), ST_INVALID);
        T_INT(ctx.issue.kind, MSG_ISSUE_TYPE);
        T_CSTR(ctx.issue.path, rows[i].field);
        T_STR_EQ(ctx.issue.value_json, str_cstr(rows[i].value));
        T_CSTR(ctx.issue.python_type, rows[i].python);
        T_STR_EQ(ctx.issue.field->name, str_cstr(rows[i].field));
    }
    issue(&t_all_desc, S("{\"texts\":[\"a\",null]}"), 0, MSG_ISSUE_TYPE, "texts[1]", "null",
          "field texts[1] takes text, not null");
    issue(&t_all_desc, S("{\"texts\":1}"), 0, MSG_ISSUE_TYPE, "texts", "1",
          "field texts takes a list, each text, not 1");
    issue(&t_all_desc, S("{\"leaves\":[{\"key\":\"a\"},2]}"), 0, MSG_ISSUE_TYPE, "leaves[1]", "2",
          "field leaves[1] takes an object, not 2");
    issue(&t_all_desc, S("{\"leaves\":[{\"key\":\"a\",\"n\":[{}]}]}"), 0, MSG_ISSUE_TYPE,
          "leaves[0].n", "[{}]", "field leaves[0].n takes an integer, not [{}]");
    issue(&t_all_desc, S("{\"all\":{\"leaf\":{\"key\":{}}}}"), 0, MSG_ISSUE_TYPE, "all.leaf.key",
          "{}", "field all.leaf.key takes text, not {}");
    issue(&t_all_desc, S("{\"labels\":{\"a\":null}}"), 0, MSG_ISSUE_TYPE, "labels", "null",
          "field labels takes an object whose values are text, not null");
    issue(&t_all_desc, S("{\"color\":\"x\"}"), 0, MSG_ISSUE_TYPE, "color", "\"x\"",
          "field color takes one of the values of its enum, not \"x\"");
    T_CSTR(err.hint, "the values are RED, BLUE, COLD");
    issue(&t_all_desc, S("{\"color\":\"COLOR_UNSPECIFIED\"}"), 0, MSG_ISSUE_TYPE, "color",
          "\"COLOR_UNSPECIFIED\"",
          "field color takes one of the values of its enum, not \"COLOR_UNSPECIFIED\"");
}

TEST(msg_ranges)
{
    struct t_rules m;

    issue(&t_all_desc, S("{\"i32\":2147483648}"), 0, MSG_ISSUE_RANGE, "i32", "2147483648",
          "field i32: 2147483648 is out of range");
    issue(&t_all_desc, S("{\"i32s\":[1,-2147483649]}"), 0, MSG_ISSUE_RANGE, "i32s[1]",
          "-2147483649", "field i32s[1]: -2147483649 is out of range");
    issue(&t_all_desc, S("{\"u32\":-1}"), 0, MSG_ISSUE_RANGE, "u32", "-1",
          "field u32: -1 is out of range");
    issue(&t_all_desc, S("{\"i64\":9223372036854775808}"), 0, MSG_ISSUE_RANGE, "i64",
          "9223372036854775808", "field i64: 9223372036854775808 is out of range");
    issue(&t_rules_desc, S("{\"name\":\"n\",\"size\":0}"), 0, MSG_ISSUE_RANGE, "size", "0",
          "field size: 0 is out of range");
    T_CSTR(err.hint, "it must be from 1 to 10");
    issue(&t_rules_desc, S("{\"name\":\"n\",\"size\":\"11\"}"), 0, MSG_ISSUE_RANGE, "size",
          "\"11\"", "field size: \"11\" is out of range");
    issue(&t_rules_desc, S("{\"name\":\"n\",\"ratio\":1.5}"), 0, MSG_ISSUE_RANGE, "ratio", "1.5",
          "field ratio: 1.5 is out of range");
    issue(&t_rules_desc, S("{\"name\":\"n\",\"big\":1}"), 0, MSG_ISSUE_RANGE, "big", "1",
          "field big: 1 is out of range");
    issue(&t_rules_desc, S("{\"name\":\"n\",\"big\":10}"), 0, MSG_ISSUE_RANGE, "big", "10",
          "field big: 10 is out of range");
    T_ST(decode(&t_rules_desc, &m, S("{\"name\":\"n\",\"size\":10,\"ratio\":0,\"big\":9}"), 0), OK);
    /* A missing field is told before a range. */
    issue(&t_rules_desc, S("{\"size\":0}"), 0, MSG_ISSUE_MISSING, "name", NULL,
          "field name is missing");
}

TEST(msg_lengths_count_code_points)
{
    struct t_rules m;

    T_ST(
        decode(
            &t_rules_desc, &m,
            S("{\"name\":\"n\",\"cut\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\",\"short\":\"\xc3\xa9\xc3\xa9\xc3\xa9\"}"),
            0),
        OK);
    T_STR(m.cut, "\xc3\xa9\xc3\xa9\xc3\xa9");
    T_STR(m.short_, "\xc3\xa9\xc3\xa9\xc3\xa9");
    issue(&t_rules_desc, S("{\"name\":\"n\",\"short\":\"abcd\"}"), 0, MSG_ISSUE_TOO_LONG, "short",
          "\"abcd\"", "field short has 4 characters, at most 3 are allowed");
    T_CSTR(ctx.issue.field->label, "Short text");
    T_UINT(ctx.issue.got, 4);
    issue(&t_rules_desc, S("{\"name\":\"n\",\"blob\":\"AAAAAAA=\"}"), 0, MSG_ISSUE_TOO_LONG, "blob",
          "\"AAAAAAA=\"", "field blob has 5 characters, at most 4 are allowed");
}

TEST(msg_defaults)
{
    struct t_rules m;

    T_ST(decode(&t_rules_desc, &m, S("{\"name\":\"n\",\"size\":3,\"size\":null}"), 0), OK);
    T_INT(m.size, 7);
    T_INT(m.color, T_COLOR_BLUE);
    T_INT(m.on, 1);
    T_UINT(m.has, T_RULES_HAS_NAME);
    T_INT(MSG_GET(&m, T_RULES_HAS_SIZE, size, -1), -1);
    T_ST(decode(&t_rules_desc, &m, S("{\"name\":\"n\",\"on\":false}"), 0), OK);
    T_INT(m.on, 0);
}

TEST(msg_second_names)
{
    static const struct {
        const char *json, *name, *pet;
    } rows[] = {
        { "{\"name\":\"a\"}", "a", "" },
        { "{\"old_name\":\"a\"}", "a", "" },
        { "{\"old_name\":\"a\",\"name\":\"b\"}", "b", "" },
        { "{\"name\":\"b\",\"old_name\":\"a\"}", "b", "" },
        { "{\"old_name\":\"a\",\"name\":\"\"}", "a", "" },
        { "{\"name\":\"\",\"old_name\":\"a\"}", "a", "" },
        { "{\"old_name\":\"a\",\"name\":null,\"animal\":\"c\"}", "a", "c" },
        { "{\"name\":\"x\",\"pet\":\"d\",\"animal\":\"c\"}", "x", "d" },
        { "{\"name\":\"x\",\"animal\":\"c\",\"pet\":\"\"}", "x", "c" },
        { "{\"name\":\"x\",\"animal\":\"c\",\"animal\":\"e\"}", "x", "e" },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct t_rules m;

        T_ST_ERR(decode(&t_rules_desc, &m, str_cstr(rows[i].json), 0), OK, &err);
        T_STR_EQ(m.name, str_cstr(rows[i].name));
        T_STR_EQ(m.pet, str_cstr(rows[i].pet));
    }
    issue(&t_rules_desc, S("{\"old_name\":\"\"}"), 0, MSG_ISSUE_MISSING, "name", NULL,
          "field name is missing");
}

TEST(msg_keys)
{
    struct t_all m;
    struct t_rules r;

    issue(&t_all_desc, S("{\"all\":{\"nope\":1}}"), 0, MSG_ISSUE_UNKNOWN, "all.nope", NULL,
          "unknown field all.nope");
    issue(&t_all_desc, S("{\"textValue\":\"a\"}"), 0, MSG_ISSUE_UNKNOWN, "textValue", NULL,
          "unknown field textValue");
    T_ST(decode(&t_all_desc, &m, S("{\"textValue\":\"a\",\"i\\u0033\\u0032\":4}"), MSG_CAMEL_OK),
         OK);
    T_STR(m.text_value, "a");
    T_INT(m.i32, 4);
    T_ST(decode(&t_rules_desc, &r, S("{\"name\":\"n\",\"CAMEL\":\"a\"}"), MSG_CAMEL_OK), OK);
    T_STR(r.camel, "a");
    T_ST(decode(&t_all_desc, &m, S("{\"x\":[[[]]],\"y\":{\"z\":\"\\ud83d\\ude00\"},\"i32\":4}"),
                MSG_IGNORE_UNKNOWN),
         OK);
    T_INT(m.i32, 4);
    issue(&t_all_desc, S("{\"x\":[1,],\"i32\":4}"), MSG_IGNORE_UNKNOWN, MSG_ISSUE_SYNTAX, "",
          "this is not JSON in UTF-8",
          "request cannot be read at byte 5: this is not JSON in UTF-8");
    T_ST(
        decode(
            &t_all_desc, &m,
            S("{\"texts\":[\"a\",\"b\"],\"texts\":[\"c\"],\"leaf\":{\"key\":\"x\",\"n\":1},\"leaf\":{\"key\":\"y\"}}"),
            0),
        OK);
    T_UINT(m.texts_n, 1);
    T_STR(m.texts[0], "c");
    T_STR(m.leaf->key, "y");
    T_UINT(m.leaf->has, T_LEAF_HAS_KEY);
    issue(&t_all_desc, S("{\"i32\":1,\"i32\":1}"), MSG_REFUSE_DUPLICATES, MSG_ISSUE_DUPLICATE,
          "i32", NULL, "field i32 is given twice");
}

TEST(msg_both_names_of_a_field)
{
    issue(&t_all_desc, S("{\"all\":{\"text_value\":\"a\",\"textValue\":\"a\"}}"), MSG_CAMEL_OK,
          MSG_ISSUE_DUPLICATE, "all.text_value", "textValue",
          "field all.text_value is given by two names, textValue is the other");
    issue(&t_all_desc, S("{\"textValue\":\"a\",\"text_value\":\"a\"}"), MSG_CAMEL_OK,
          MSG_ISSUE_DUPLICATE, "text_value", "textValue",
          "field text_value is given by two names, textValue is the other");
}

TEST(msg_text_has_no_nul)
{
    struct t_all m;

    issue(&t_all_desc, S("{\"text_value\":\"a\\u0000\"}"), 0, MSG_ISSUE_TYPE, "text_value",
          "\"a\\u0000\"", "field text_value takes text, not \"a\\u0000\"");
    issue(&t_all_desc, S("{\"texts\":[\"\\u0000\"]}"), 0, MSG_ISSUE_TYPE, "texts[0]", "\"\\u0000\"",
          "field texts[0] takes text, not \"\\u0000\"");
    issue(&t_all_desc, S("{\"labels\":{\"a\":\"b\",\"\\u0000\":\"x\"}}"), 0, MSG_ISSUE_TYPE,
          "labels", "\"x\"", "field labels takes an object whose values are text, not \"x\"");
    T_ST(decode(&t_all_desc, &m,
                S("{\"text_value\":\"\\\\u0000\",\"any_json\":\"\\u0000\",\"raw_bytes\":\"AA==\"}"),
                0),
         OK);
    T_STR(m.text_value, "\\u0000");
    T_STR(m.raw_bytes, "\0");
}

TEST(msg_syntax_is_strict)
{
    static const char *bad[] = {
        "{",
        "{\"i32\"",
        "{\"i32\":",
        "{\"i32\":}",
        "{\"i32\":1,}",
        "{\"i32\":1 \"b\":true}",
        "{\"i32\":01}",
        "{i32:1}",
        "{\"texts\":[\"a\",]}",
        "{\"texts\":[,]}",
        "{\"texts\":[\"a\"",
        "{\"texts\":[\"a\" \"b\"]}",
        "{\"leaf\":{\"key\":\"a\"}",
        "{\"labels\":{\"a\":\"b\",}}",
        "{\"labels\":{1:\"b\"}}",
        "{\"labels\":{\"a\"}}",
        "{\"b\":tru}",
        "{\"b\":truefalse}",
        "{\"text_value\":\"\\x\"}",
        "{\"text_value\":\"\xff\"}",
        "{\"text_value\":\"a\x01\"}",
        "{\"text_value\":\"a",
        "{\"any_json\":[1,}",
        "{\"any_json\":}",
        "{\"d\":1.}",
        "{\"d\":-}",
        "{\"d\":1.5.5}",
        "{\"i32\":1-}",
        "{\"leaf\":nul}",
        "{\"i32\":--1}",
        "{\"i32\":-}",
        "{,}",
        "{\"i32\":1}}",
        "{\"i32\":1}{}",
        "{\"any_json\":NaN}",
        "{\"d\":NaN}",
    };

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct t_all m;

        if (decode(&t_all_desc, &m, str_cstr(bad[i]), 0) != ST_BAD_REQUEST ||
            ctx.issue.kind != MSG_ISSUE_SYNTAX) {
            T_FAIL("not refused: %s", bad[i]);
        }
    }
}

TEST(msg_depth_and_item_limits)
{
    struct t_all m;
    struct str deep;

    setup(0);
    ctx.depth_max = 3;
    T_ST(msg_decode_json(&t_all_desc, &m, S("{\"all\":{\"all\":{}}}"), &ctx, &err), OK);
    T_ST(msg_decode_json(&t_all_desc, &m, S("{\"all\":{\"all\":{\"all\":{}}}}"), &ctx, &err),
         ST_BAD_REQUEST);
    T_INT(ctx.issue.kind, MSG_ISSUE_DEPTH);
    T_ST(msg_decode_json(&t_all_desc, &m, S("{\"any_json\":[[]]}"), &ctx, &err), OK);
    T_ST(msg_decode_json(&t_all_desc, &m, S("{\"any_json\":[[[]]]}"), &ctx, &err), ST_BAD_REQUEST);
    T_INT(ctx.issue.kind, MSG_ISSUE_DEPTH);
    T_ST(msg_decode_json(&t_all_desc, &m, S("{\"all\":{\"texts\":[]}}"), &ctx, &err), OK);
    ctx.items_max = 3;
    T_ST(msg_decode_json(&t_all_desc, &m, S("{\"texts\":[\"a\",\"b\"],\"labels\":{\"a\":\"b\"}}"),
                         &ctx, &err),
         OK);
    T_ST(msg_decode_json(&t_all_desc, &m, S("{\"texts\":[\"a\",\"b\"],\"ds\":[1,2]}"), &ctx, &err),
         ST_TOO_BIG);
    T_INT(ctx.issue.kind, MSG_ISSUE_TOO_MANY);
    T_CSTR(err.message, "field ds: more than 3 elements");
    setup(MSG_IGNORE_UNKNOWN);
    deep = arena_printf(arena, "{\"x\":%.*s", 100,
                        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
    T_ST(msg_decode_json(&t_all_desc, &m, deep, &ctx, &err), ST_BAD_REQUEST);
    T_INT(ctx.issue.kind, MSG_ISSUE_DEPTH);
    issue(&t_rules_desc, S("{\"name\":\"n\",\"few\":[\"a\",\"b\",\"c\"]}"), 0, MSG_ISSUE_TOO_MANY,
          "few", NULL, "field few: more than 2 elements");
}

struct seen {
    size_t n;
    int64_t sum;
    enum status answer;
};

static enum status see(void *stream_ctx, const struct msg_field *f, void *element, struct err *e)
{
    struct seen *s = stream_ctx;
    const struct t_leaf *leaf = element;

    T_STR(f->name, "leaves");
    T_OK(leaf->has & T_LEAF_HAS_KEY);
    s->n++;
    s->sum += leaf->n;
    return s->answer ? err_set(e, s->answer, "sink") : OK;
}

static enum status stream(struct seen *s, struct t_rules *m, struct str json)
{
    enum status answer = s->answer;

    *s = (struct seen){ .answer = answer };
    setup(0);
    ctx.stream = see;
    ctx.stream_ctx = s;
    return msg_decode_json(&t_rules_desc, m, json, &ctx, &err);
}

TEST(msg_streams_elements)
{
    struct seen s = { 0 };
    struct t_rules m;

    T_ST(
        stream(
            &s, &m,
            S("{\"leaves\":[{\"key\":\"a\",\"n\":3},{\"key\":\"b\"},{\"n\":4,\"key\":\"c\"}],\"name\":\"n\"}")),
        OK);
    T_UINT(s.n, 3);
    T_INT(s.sum, 7); /* nothing is left over from the element before */
    T_UINT(m.leaves_n, 3);
    T_OK(m.leaves == NULL && (m.has & T_RULES_HAS_LEAVES));
    T_ST(stream(&s, &m, S("{\"name\":\"n\",\"leaves\":[]}")), OK);
    T_UINT(s.n, 0);
    /* After an issue the sink is left alone. */
    T_ST(stream(&s, &m,
                S("{\"name\":\"n\",\"leaves\":[{\"key\":\"a\"},{\"n\":1},{\"key\":\"c\"}]}")),
         ST_INVALID);
    T_UINT(s.n, 1);
    T_CSTR(ctx.issue.path, "leaves[1].key");
    T_ST(stream(&s, &m, S("{\"name\":\"n\",\"leaves\":[{\"key\":\"a\"},1]}")), ST_INVALID);
    T_CSTR(ctx.issue.path, "leaves[1]");
    T_ST(stream(&s, &m, S("{\"name\":\"n\",\"leaves\":[{\"key\":\"123456789\"}]}")), ST_INVALID);
    T_UINT(s.n, 0);
    T_CSTR(ctx.issue.path, "leaves[0].key");
    T_ST(
        stream(
            &s, &m,
            S("{\"name\":\"n\",\"leaves\":[{\"key\":\"a\"},{\"key\":\"a\"},{\"key\":\"a\"},{\"key\":\"a\"},{\"key\":\"a\"}]}")),
        ST_TOO_BIG);
    T_UINT(s.n, 4);
    T_ST(stream(&s, &m,
                S("{\"name\":\"n\",\"leaves\":[{\"key\":\"a\"}],\"leaves\":[{\"key\":\"b\"}]}")),
         ST_INVALID);
    T_INT(ctx.issue.kind, MSG_ISSUE_DUPLICATE);
    s.answer = ST_UNAVAILABLE;
    T_ST(stream(&s, &m, S("{\"name\":\"n\",\"leaves\":[{\"key\":\"a\"},{\"key\":\"b\"}]}")),
         ST_UNAVAILABLE);
    T_UINT(s.n, 1);
    T_CSTR(err.message, "sink");
    /* Without a sink they are collected. */
    T_ST(decode(&t_rules_desc, &m,
                S("{\"name\":\"n\",\"leaves\":[{\"key\":\"a\"},{\"key\":\"b\"}]}"), 0),
         OK);
    T_STR(m.leaves[1].key, "b");
}

TEST(msg_text_borrows_from_the_input)
{
    char json[] = "{\"text_value\":\"abc\",\"any_json\":[1],\"texts\":[\"d\"]}";
    struct t_all m;

    T_ST(decode(&t_all_desc, &m, str_cstr(json), 0), OK);
    T_OK(m.text_value.p == json + 15);
    T_OK(m.any_json.p > json && m.any_json.p < json + sizeof(json));
    T_OK(m.texts[0].p > json && m.texts[0].p < json + sizeof(json));
}

TEST(msg_long_paths_are_cut)
{
    struct str json;
    struct t_all m;
    struct buf b = BUF_INIT(1 << 16);

    setup(0);
    for (int i = 0; i < 60; i++)
        buf_put_lit(&b, "{\"all\":");
    buf_put_lit(&b, "{\"i32\":true}");
    json = buf_str(&b);
    T_ST(msg_decode_json(&t_all_desc, &m, json, &ctx, &err), ST_INVALID);
    T_UINT(strlen(ctx.issue.path), sizeof(ctx.issue.path) - 1);
    T_OK(str_starts(str_cstr(ctx.issue.path), S("all.all.all.")));
    buf_release(&b);
}

TEST(msg_tables)
{
    int32_t v;

    T_UINT(msg_field_named(&t_all_desc, S("leaf"))->number, 17);
    T_OK(!msg_field_named(&t_all_desc, S("lea")));
    T_STR(msg_field_numbered(&t_all_desc, 1000)->name, "all");
    T_OK(!msg_field_numbered(&t_all_desc, 999));
    T_STR(msg_enum_name(&mlflow_run_status_values, MLFLOW_RUN_STATUS_FAILED), "FAILED");
    T_UINT(msg_enum_name(&mlflow_run_status_values, 0).n, 0);
    T_OK(msg_enum_number(&t_color_values, S("COLD"), &v) && v == -2);
    T_OK(!msg_enum_number(&t_color_values, S("COLOR_RED"), &v));
}

TEST(msg_out_of_memory_is_an_error)
{
    struct str json = S(
        "{\"text_value\":\"a\\n\",\"texts\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"],\"leaf\":{\"key\":\"k\"},"
        "\"raw_bytes\":\"AAAA\",\"labels\":{\"a\":\"b\"},\"leaves\":[{\"key\":\"a\"}]}");
    struct t_all m;

    for (size_t max = 0; max < 4096; max += 16) {
        struct arena *a = arena_new(max);
        struct msg_ctx c = { .arena = a };
        enum status st = msg_decode_json(&t_all_desc, &m, json, &c, &err);

        arena_free(a);
        if (!st) {
            T_OK(max > 100);
            return;
        }
        T_ST(st, ST_NOMEM);
    }
    T_FAIL("never succeeds");
}
