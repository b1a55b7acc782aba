/* Lists and texts of a request that have a cap: one fewer is taken, one more is refused with the name of the field. What one request
 * costs the writer, and what a key of either engine can hold, is bounded here. */
#include "tap.h"

#include "base/buf.h"
#include "gen/mlflow/tracking.h"

#include <stdio.h>

static enum status decode(const struct msg_desc *desc, struct str json, struct err *err)
{
    struct arena *a = arena_new(64 << 20);
    struct msg_ctx ctx = { .arena = a, .flags = MSG_JSON_LENIENT };
    void *out = arena_alloc(a, desc->size);
    enum status st;

    T_OK(out != NULL);
    *err = (struct err)ERR_INIT;
    st = msg_decode_json(desc, out, json, &ctx, err);
    arena_free(a);
    return st;
}

/* {<head>"<list>": [<item>, <item> ...]} with n items */
static enum status with_items(const struct msg_desc *desc, const char *head, const char *list,
                              const char *item, size_t n, struct err *err)
{
    struct buf b = BUF_INIT(8 << 20);
    enum status st;

    buf_printf(&b, "{%s\"%s\": [", head, list);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&b, "%s%s", i ? "," : "", item);
    }
    buf_put_lit(&b, "]}");
    T_OK(!b.failed);
    st = decode(desc, buf_str(&b), err);
    buf_release(&b);
    return st;
}

TEST(lists)
{
    static const char tag[] = "{\"key\": \"k\", \"value\": \"v\"}";
    static const char dataset[] =
        "{\"dataset\": {\"name\": \"n\", \"digest\": \"d\", \"source_type\": "
        "\"s\", \"source\": \"s\"}}";
    static const struct {
        const struct msg_desc *desc;
        const char *head, *list, *item;
    } cases[] = {
        { &mlflow_create_experiment_desc, "\"name\": \"x\", ", "tags", tag },
        { &mlflow_create_run_desc, "", "tags", tag },
        { &mlflow_create_logged_model_desc, "\"experiment_id\": \"0\", ", "tags", tag },
        { &mlflow_create_logged_model_desc, "\"experiment_id\": \"0\", ", "params", tag },
        { &mlflow_set_logged_model_tags_desc, "", "tags", tag },
        { &mlflow_log_logged_model_params_desc, "", "params", tag },
        { &mlflow_log_inputs_desc, "\"run_id\": \"r\", ", "datasets", dataset },
        { &mlflow_log_inputs_desc, "\"run_id\": \"r\", ", "models", "{\"model_id\": \"m\"}" },
        { &mlflow_log_outputs_desc, "\"run_id\": \"r\", ", "models", "{\"model_id\": \"m\"}" },
    };
    struct err err;

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        T_ST_ERR(with_items(cases[i].desc, cases[i].head, cases[i].list, cases[i].item, 1000, &err),
                 OK, &err);
        T_ST(with_items(cases[i].desc, cases[i].head, cases[i].list, cases[i].item, 1001, &err),
             ST_TOO_BIG);
        T_CSTR(err.field, cases[i].list);
        T_INT(status_row(err.code)->http, 413);
    }
}

TEST(texts)
{
    static const struct {
        const struct msg_desc *desc;
        const char *head, *field;
        int max;
    } cases[] = {
        { &mlflow_log_metric_desc,
          "\"run_id\": \"r\", \"key\": \"k\", \"value\": 1, \"timestamp\": 1, ", "dataset_name",
          500 },
        { &mlflow_log_metric_desc,
          "\"run_id\": \"r\", \"key\": \"k\", \"value\": 1, \"timestamp\": 1, ", "dataset_digest",
          36 },
        { &mlflow_create_logged_model_desc, "\"experiment_id\": \"0\", ", "name", 500 },
        { &mlflow_create_logged_model_desc, "\"experiment_id\": \"0\", ", "model_type", 500 },
    };
    struct err err;

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        for (int more = 0; more < 2; more++) {
            struct buf b = BUF_INIT(1 << 20);

            buf_printf(&b, "{%s\"%s\": \"%0*d\"}", cases[i].head, cases[i].field,
                       cases[i].max + more, 0);
            T_ST_ERR(decode(cases[i].desc, buf_str(&b), &err), more ? ST_INVALID : OK, &err);
            if (more) T_CSTR(err.field, cases[i].field);
            buf_release(&b);
        }
    }
}

/* Text that no engine holds never gets beyond the decoder. */
TEST(nul_characters)
{
    static const struct {
        const struct msg_desc *desc;
        struct str json;
    } cases[] = {
        { &mlflow_create_experiment_desc, S_INIT("{\"name\": \"a\\u0000b\"}") },
        { &mlflow_create_run_desc, S_INIT("{\"run_name\": \"a\\u0000b\"}") },
        { &mlflow_set_tag_desc,
          S_INIT("{\"run_id\": \"r\", \"key\": \"k\", \"value\": \"\\u0000\"}") },
        { &mlflow_create_logged_model_desc,
          S_INIT("{\"experiment_id\": \"0\", \"name\": \"\\u0000\"}") },
        { &mlflow_log_inputs_desc,
          S_INIT(
              "{\"run_id\": \"r\", \"datasets\": [{\"dataset\": {\"name\": \"a\\u0000\", \"digest\": "
              "\"d\", \"source_type\": \"s\", \"source\": \"s\"}}]}") },
    };
    struct err err;

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        T_ST(decode(cases[i].desc, cases[i].json, &err), ST_INVALID);
        T_OK(err.field[0] != 0);
    }
}
