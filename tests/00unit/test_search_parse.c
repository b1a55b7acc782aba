/* Filters and orders: which text gives which tree, and which gives which error. */
#include "base/mem.h"
#include "core/search/filter.h"
#include "search_dump.h"
#include "tap.h"

struct parse_case {
    const char *text, *want;
};

static void check_filters(enum search_entity entity, const struct parse_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct arena *a = arena_new(1 << 20);
        struct buf out = BUF_INIT(1 << 16);
        struct err err = ERR_INIT;
        struct filter *f;

        t_note("%s", cases[i].text);
        if (filter_parse(&f, entity, str_cstr(cases[i].text), a, &err)) {
            T_OK(f == NULL);
            T_INT(err.code, ST_INVALID);
            buf_put_u8(&out, '!');
            buf_put_cstr(&out, err.message);
        } else {
            search_dump_filter(&out, f);
        }
        T_STR_EQ(buf_str(&out), str_cstr(cases[i].want));
        buf_release(&out);
        arena_free(a);
    }
}

#define CHECK_FILTERS(entity, cases) check_filters(entity, cases, ARRAY_N(cases))

TEST(search_parse_runs)
{
    static const struct parse_case cases[] = {
        { "", "true" },
        { "AND", "true" },
        { "metrics.a > 1", "(> metric.a 1)" },
        { "metric.a>-1.5e3", "(> metric.a -1500.0)" },
        { "metrics.a = .5 and metrics.b = 5.", "(and (= metric.a 0.5) (= metric.b 5.0))" },
        { "AND metrics.a > 1 AND AND metrics.b=2 and", "(and (> metric.a 1) (= metric.b 2))" },
        { "metrics.a > 1 metrics.b > 2", "(and (> metric.a 1) (> metric.b 2))" },
        { "metrics.`a b` > 1", "(> metric.a b 1)" },
        { "metrics.\"a.b c\" > 1", "(> metric.a.b c 1)" },
        { "metrics.'a' = 1", "(= metric.a 1)" },
        { "`metrics`.a.b.c = 1", "(= metric.a.b.c 1)" },
        { "metrics.val/loss-1 < 2", "(< metric.val/loss-1 2)" },
        { "metrics. = 1", "(= metric. 1)" },
        { "parameter.x = 'it''s'", "(= param.x \"it''s\")" },
        { "parameters.x = \"it's\"", "(= param.x \"it's\")" },
        { "param.x LIKE '%a_'", "(like param.x \"%a_\")" },
        { "params.x iLike ''", "(ilike param.x \"\")" },
        { "tags.mlflow.user != 'u'", "(!= tag.mlflow.user \"u\")" },
        { "tag.x IS NULL", "(null tag.x)" },
        { "params.x is  not\tnull", "(not-null param.x)" },
        { "status = 'FINISHED'", "(= attr.status \"FINISHED\")" },
        { "run.status = 'A' and attr.user_id='b' and attributes.artifact_uri='c'",
          "(and (= attr.status \"A\") (= attr.user_id \"b\") (= attr.artifact_uri \"c\"))" },
        { "attribute.`Run name` = 'n'", "(= tag.mlflow.runName \"n\")" },
        { "run_name LIKE 'n%'", "(like tag.mlflow.runName \"n%\")" },
        { "created > 5", "(> attr.start_time 5)" },
        { "end_time <= 9223372036854775808", "(<= attr.end_time 9.223372036854776e+18)" },
        { "run_id IN ('b', \"a\", 'b',)", "(in attr.run_id \"a\" \"b\")" },
        { "metrics.a < 1e+5 and metrics.b > 1E-5",
          "(and (< metric.a 100000.0) (> metric.b 1e-05))" },
        { "run_id in ('\\101\\7', 'a\\q', '\\u00e9\\U0001F600', 'x\\\ny', '\\\\ ')",
          "(in attr.run_id \"A\\u0007\" \"\\u005c \" \"a\\u005cq\" \"xy\" \"\xc3\xa9\xf0\x9f\x98\x80\")" },
        { "run_id not in ('a' 'b', 'it''s', 'a\\'\\x41\\n')",
          "(not-in attr.run_id \"a'A\\u000a\" \"ab\" \"its\")" },
        { "datasets.name = 'd' AND dataset.digest IN ('x') AND datasets.context LIKE 't%'",
          "(and (= dataset.name \"d\") (in dataset.digest \"x\") (like dataset.context \"t%\"))" },
    };

    CHECK_FILTERS(SEARCH_RUNS, cases);
}

TEST(search_parse_beyond_mlflow)
{
    static const struct parse_case cases[] = {
        { "metrics.a > 1 OR metrics.b > 2 AND metrics.c > 3",
          "(or (> metric.a 1) (and (> metric.b 2) (> metric.c 3)))" },
        { "(metrics.a > 1 OR metrics.b > 2) AND metrics.c > 3",
          "(and (or (> metric.a 1) (> metric.b 2)) (> metric.c 3))" },
        { "NOT metrics.a > 1 AND NOT (NOT metrics.b > 1)",
          "(and (not (> metric.a 1)) (not (not (> metric.b 1))))" },
        { "((metrics.a > 1))", "(> metric.a 1)" },
        { "params.x IN ('a','b') OR tags.y NOT IN ('c')",
          "(or (in param.x \"a\" \"b\") (not-in tag.y \"c\"))" },
        { "status in ('FAILED')", "(in attr.status \"FAILED\")" },
        { "start_time IN (1, 2.5) AND metrics.a NOT IN (-1)",
          "(and (in attr.start_time 1 2.5) (not-in metric.a -1))" },
        { "params.x =~ '^a+$' AND tags.y !~ 'b' AND user_id RLIKE 'c' AND user_id NOT RLIKE 'd'",
          "(and (=~ param.x \"^a+$\") (!~ tag.y \"b\") (=~ attr.user_id \"c\") (!~ attr.user_id \"d\"))" },
        { "tags.y NOT LIKE 'a%' and tags.y not ilike 'b'",
          "(and (unlike tag.y \"a%\") (unilike tag.y \"b\"))" },
        { "best(metrics.loss) < 1 and min(`metrics`.`a b`) < 2 and MAX(a/b) > 3 and last(metric.x) = 4",
          "(and (< best:metric.loss 1) (< min:metric.a b 2) (> max:metric.a/b 3) (= metric.x 4))" },
        { "params.x = 'a' and metrics.y = 1", "(and (= metric.y 1) (= param.x \"a\"))" },
    };

    CHECK_FILTERS(SEARCH_RUNS, cases);
}

#define LIST_ERROR                                                                                 \
    "!While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list."

TEST(search_parse_run_errors)
{
    static const struct parse_case cases[] = {
        { "   ", "!Invalid filter '   '. Could not be parsed." },
        { "metrics.a >", "!Invalid clause(s) in filter string: 'metrics.a', '>'" },
        { "foo", "!Invalid clause(s) in filter string: 'foo'" },
        { "metrics.a > 1 and foo", "!Invalid clause(s) in filter string: 'foo'" },
        { "metrics.a > 1;", "!Invalid clause(s) in filter string: ';'" },
        { "metrics.a > 1; metrics.b > 2",
          "!Search filter contained multiple expression 'metrics.a > 1; metrics.b > 2'. "
          "Provide AND-ed expression list." },
        { "params.a = 'b'; x",
          "!Search filter contained multiple expression \"params.a = 'b'; x\". "
          "Provide AND-ed expression list." },
        { "metrics.a > 'x'", "!Expected numeric value type for metric. Found 'x'" },
        { "metrics.a > metrics.b", "!Expected numeric value type for metric. Found metrics.b" },
        { "metrics.a = nan", "!Expected numeric value type for metric. Found nan" },
        { "metrics.a>1and metrics.b>2", "!Expected numeric value type for metric. Found 1and" },
        { "params.x = abc",
          "!Parameter value is either not quoted or unidentified quote types used for string value "
          "abc. Use either single or double quotes." },
        { "params.x = 5",
          "!Expected a quoted string value for parameter (e.g. 'my-value'). Got value 5" },
        { "tags.x = 5", "!Expected a quoted string value for tag (e.g. 'my-value'). Got value 5" },
        { "tags.x = NULL",
          "!Expected a quoted string value for tag (e.g. 'my-value'). Got value NULL" },
        { "datasets.name IS NULL",
          "!IS NULL / IS NOT NULL is only supported for tags and params, not for 'dataset' 'name'" },
        { "status = 5", "!Expected a quoted string value for attributes. Got value 5" },
        { "datasets.name = 5",
          "!Expected a quoted string value for dataset attributes. Got value 5" },
        { "start_time = '5'",
          "!Expected numeric value type for numeric attribute: start_time. Found '5'" },
        { "Metrics.a > 1", "!Invalid entity type 'Metrics'. Valid values are "
                           "['metric', 'parameter', 'tag', 'attribute', 'dataset']" },
        { "\"metrics\".a > 1", "!Invalid entity type '\"metrics\"'. Valid values are "
                               "['metric', 'parameter', 'tag', 'attribute', 'dataset']" },
        { "datasets.foo = 'x'",
          "!Invalid dataset key 'foo' specified. Valid keys are '{'name', 'digest', 'context'}'" },
        { "5 > 3", "!Invalid comparison clause. Expected 'Identifier' found '5'" },
        { "'a' = 'b'", "!Invalid comparison clause. Expected 'Identifier' found ''a''" },
        { "metrics.a IS NULL",
          "!IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'a'" },
        { "metrics.a == 1",
          "!Invalid comparator '==' not one of '{'=', '!=', '<', '<=', '>', '>=', 'IN', 'NOT IN'}'" },
        { "metrics.a like 1",
          "!Invalid comparator 'LIKE' not one of '{'=', '!=', '<', '<=', '>', '>=', 'IN', 'NOT IN'}'" },
    };

    CHECK_FILTERS(SEARCH_RUNS, cases);
}

TEST(search_parse_list_and_clause_errors)
{
    static const struct parse_case cases[] = {
        { "run_id IN ()",
          "!While parsing a list in the query, expected a non-empty list of string values, but got "
          "empty list" },
        { "run_id IN (a)",
          "!While parsing a list in the query, expected a non-empty list of string values, but got "
          "ill-formed list." },
        { "run_id IN ('a' ; 'b')",
          "!While parsing a list in the query, expected a non-empty list of string values, "
          "but got ill-formed list." },
        { "run_id IN ('a'",
          "!While parsing a list in the query, expected a non-empty list of string values, but got "
          "ill-formed list." },
        { "run_id IN (1)",
          "!While parsing a list in the query, expected string value, punctuation, or whitespace, "
          "but got different type in list: (1,)" },
        { "run_id IN ('\\xg1')", LIST_ERROR },
        { "run_id IN ('\\ud800')", LIST_ERROR },
        { "run_id IN ('\\U00110000')", LIST_ERROR },
        { "run_id IN ('\\u12')", LIST_ERROR },
        { "run_id IN ('a' b)", LIST_ERROR },
        { "run_id IN 'a'", "!Invalid clause(s) in filter string: 'run_id', 'IN', ''a''" },
        { "start_time IN ('x')", "!Expected numeric value type in a list of numbers. Found 'x'" },
        { "metrics.a IS 5", "!Invalid clause(s) in filter string: 'metrics.a', 'IS', '5'" },
        { "best(metrics.a > 1",
          "!Invalid clause(s) in filter string: 'best', '(', 'metrics.a', '>', '1'" },
        { "median(metrics.a) > 1",
          "!Invalid clause(s) in filter string: 'median', '(', 'metrics.a', ')', '>', '1'" },
        { "tag.a = 'b'; '\xc3\xa9\"\\\n\t\r\x01'",
          "!Search filter contained multiple expression 'tag.a = \\'b\\'; \\'\xc3\xa9\"\\\\\\n\\t\\r\\x01\\''. "
          "Provide AND-ed expression list." },
        { "params.x = '", "!Invalid clause(s) in filter string: 'params.x', '=', '''" },
        { "params.x = 'a' -- c", "!Invalid clause(s) in filter string: '--', 'c'" },
        { "metrics.a > 1 OR", "!Invalid clause(s) in filter string: 'OR'" },
        { "(metrics.a > 1", "!Invalid clause(s) in filter string: '(', 'metrics.a', '>', '1'" },
        { "metrics.a > 1)", "!Invalid clause(s) in filter string: ')'" },
        { "()", "!Invalid clause(s) in filter string: '(', ')'" },
        { "params.x =~ '('", "!Invalid regular expression '(': missing ) at byte 1" },
        { "best(params.x) > 1", "!last(), min(), max() and best() need a metric, not a parameter" },
    };

    CHECK_FILTERS(SEARCH_RUNS, cases);
}

TEST(search_parse_experiments)
{
    static const struct parse_case cases[] = {
        { "name LIKE 'a%' and tags.x = 'y'", "(and (= tag.x \"y\") (like attr.name \"a%\"))" },
        { "attribute.creation_time >= 5 and last_update_time < 7",
          "(and (>= attr.creation_time 5) (< attr.last_update_time 7))" },
        { "experiment_id = '5' or experiment_id in ('7', 8)",
          "(or (= attr.experiment_id 5) (in attr.experiment_id 7 8))" },
        { "tag.x IS NULL", "(null tag.x)" },
        { "experiment_id > '5'", "!Invalid comparator for experiment_id: >" },
        { "experiment_id = x",
          "!Parameter value is either not quoted or unidentified quote types used for string "
          "value x. Use either single or double quotes." },
        { "experiment_id in ('x')",
          "!Invalid experiment ID 'x'. Experiment ID must be a valid integer." },
        { "experiment_id in ('')",
          "!Invalid experiment ID ''. Experiment ID must be a valid integer." },
        { "experiment_id = ''",
          "!Invalid experiment ID ''. Experiment ID must be a valid integer." },
        { "experiment_id = 'x'",
          "!Invalid experiment ID 'x'. Experiment ID must be a valid integer." },
        { "creation_time > 1.5", "!Invalid value for numeric attribute 'creation_time': '1.5'" },
        { "metrics.a > 1",
          "!Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag', 'tags')" },
        { "foo = 'x'", "!Invalid attribute key 'foo' specified. Valid keys are "
                       "'{'name', 'experiment_id', 'creation_time', 'last_update_time'}'" },
        { "name", "!Invalid clause(s) in filter string: name" },
        { "name IS NULL",
          "!IS NULL / IS NOT NULL is only supported for tags, not for attribute 'name'" },
        { "best(a) > 1", "!experiments have no metrics: 'a' cannot be searched" },
    };

    CHECK_FILTERS(SEARCH_EXPERIMENTS, cases);
}

TEST(search_parse_models)
{
    static const struct parse_case cases[] = {
        { "metrics.loss > 0.1 AND params.lr = 0.01",
          "(and (> metric.loss 0.1) (= param.lr \"0.01\"))" },
        { "attributes.name = abc and status = 'READY'",
          "(and (= attr.name \"abc\") (= attr.status \"READY\"))" },
        { "creation_timestamp > 5 and creation_time < 7 and last_updated_timestamp = 9",
          "(and (> attr.creation_time 5) (< attr.creation_time 7) (= attr.last_update_time 9))" },
        { "tags.`a b` in ('x')", "(in tag.a b \"x\")" },
        { "metric.a > 1",
          "!Invalid entity type: 'metric'. Expected one of ['attributes', 'metrics', 'params', 'tags']." },
        { "params.a > 'x'",
          "!Invalid comparison operator for params.a: '>'. Expected one of ('=', '!=', 'LIKE', "
          "'NOT LIKE', 'ILIKE', 'NOT ILIKE', '=~', '!~', 'RLIKE', 'NOT RLIKE', 'IN', 'NOT IN', "
          "'IS NULL', 'IS NOT NULL')." },
        { "name",
          "!Invalid filter string: 'name'. Expected a list of comparisons separated by 'AND' (e.g. "
          "'metrics.loss > 0.1 AND params.lr = 0.01')." },
        { "name = 'a'; name = 'b'",
          "!Invalid filter string: \"name = 'a'; name = 'b'\". Expected a single SQL "
          "expression." },
    };

    CHECK_FILTERS(SEARCH_LOGGED_MODELS, cases);
}

static void check_order(enum search_entity entity, const char *clauses, const char *want)
{
    struct arena *a = arena_new(1 << 20);
    struct buf out = BUF_INIT(1 << 16);
    struct str list[64], rest = str_cstr(clauses), part;
    struct err err = ERR_INIT;
    struct order *o;
    size_t n = 0;

    t_note("%s", clauses);
    while (clauses[0] && n < ARRAY_N(list) && str_split(&rest, '|', &part)) {
        list[n++] = part;
    }
    if (order_parse(&o, entity, list, n, a, &err)) {
        buf_put_u8(&out, '!');
        buf_put_cstr(&out, err.message);
    } else {
        search_dump_order(&out, o);
    }
    T_STR_EQ(buf_str(&out), str_cstr(want));
    buf_release(&out);
    arena_free(a);
}

TEST(search_order_runs)
{
    enum search_entity r = SEARCH_RUNS;

    check_order(r, "", "(order attr.start_time desc, attr.run_id asc)");
    check_order(r, "metrics.`a b` desc",
                "(order metric.a b desc, attr.start_time desc, attr.run_id asc)");
    check_order(r, "start_time", "(order attr.start_time asc, attr.run_id asc)");
    check_order(r, "attribute.run_id DESC|Created Asc",
                "(order attr.run_id desc, attr.start_time asc)");
    check_order(r, "params.x|tags.\"y z\"",
                "(order param.x asc, tag.y z asc, attr.start_time desc, attr.run_id asc)");
    check_order(
        r, "best(metrics.loss)|min(a/b) desc",
        "(order best:metric.loss asc, min:metric.a/b desc, attr.start_time desc, attr.run_id asc)");
    check_order(r, "metrics.a foo", "!Invalid ordering key in order_by clause 'metrics.a foo'.");
    check_order(r, "metrics.a asc desc",
                "!Invalid order_by clause 'metrics.a asc desc'. Could not be parsed.");
    check_order(r, " ", "!Invalid order_by clause ' '. Could not be parsed.");
    check_order(r, "5", "!Invalid order_by clause '5'. Could not be parsed.");
    check_order(r, "metrics.a|metrics.a desc",
                "!`order_by` contains duplicate fields: ['metrics.a', 'metrics.a desc']");
    check_order(r, "best(metrics.a",
                "!Invalid order_by clause 'best(metrics.a'. Could not be parsed.");
    check_order(r, "params.\xff",
                "!an order_by clause is longer than 65536 bytes or not valid UTF-8");
    check_order(r, "a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a",
                "!`order_by` has 33 clauses, at most 32 are allowed");
    check_order(r, "dataset.name", "!Invalid identifier type 'dataset'");
    check_order(
        r, "foo",
        "!Invalid attribute key 'foo' specified. Valid keys are '{'run_id', 'run_name', 'status', "
        "'user_id', 'artifact_uri', 'start_time', 'created', 'Created', 'end_time'}'");
}

TEST(search_order_experiments)
{
    enum search_entity e = SEARCH_EXPERIMENTS;

    check_order(e, "", "(order attr.creation_time desc, attr.experiment_id asc)");
    check_order(e, "name", "(order attr.name asc, attr.experiment_id desc)");
    check_order(e, "experiment_id", "(order attr.experiment_id asc)");
    check_order(e, "tags.a", "!Invalid order_by entity: tag");
}

TEST(search_order_models)
{
    struct arena *a = arena_new(1 << 20);
    struct order_field fields[] = {
        { .field = S("metrics.a b"),
          .ascending = true,
          .dataset_name = S("d"),
          .dataset_digest = S("x") },
        { .field = S("creation_timestamp"), .ascending = true },
    };
    struct buf out = BUF_INIT(1 << 16);
    struct err err = ERR_INIT;
    struct order *o;

    T_ST_ERR(order_parse_models(&o, NULL, 0, a, &err), OK, &err);
    search_dump_order(&out, o);
    T_STR(buf_str(&out), "(order attr.creation_time desc, attr.model_id asc)");
    buf_clear(&out);
    T_ST_ERR(order_parse_models(&o, fields, 2, a, &err), OK, &err);
    search_dump_order(&out, o);
    T_STR(buf_str(&out), "(order metric.a b@d#x asc, attr.creation_time asc, attr.model_id asc)");
    fields[0].field = S("params.x");
    T_ST(order_parse_models(&o, fields, 1, a, &err), ST_INVALID);
    T_CSTR(err.message, "Invalid order by field name: params.x. Only metrics are supported.");
    fields[0].field = S("bogus");
    T_ST(order_parse_models(&o, fields, 1, a, &err), ST_INVALID);
    T_CSTR(err.message, "Invalid order by field name: bogus");
    buf_release(&out);
    arena_free(a);
}

/* Each bound: the largest that is taken, and one more. */
static enum status parse_repeated(const char *before, const char *part, const char *after, int n)
{
    struct arena *a = arena_new(64 << 20);
    struct buf text = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    struct filter *f;
    enum status st;

    buf_put_cstr(&text, before);
    for (int i = 0; i < n; i++) {
        buf_put_cstr(&text, part);
    }
    buf_put_cstr(&text, after);
    st = filter_parse(&f, SEARCH_RUNS, buf_str(&text), a, &err);
    buf_release(&text);
    arena_free(a);
    return st;
}

TEST(search_parse_bounds)
{
    T_ST(parse_repeated("metrics.a = 1", " or metrics.a = 1", "", FILTER_TERMS_MAX - 1), OK);
    T_ST(parse_repeated("metrics.a = 1", " or metrics.a = 1", "", FILTER_TERMS_MAX), ST_INVALID);
    T_ST(parse_repeated("", "not ", "metrics.a = 1", FILTER_DEPTH_MAX), OK);
    T_ST(parse_repeated("", "not ", "metrics.a = 1", FILTER_DEPTH_MAX + 1), ST_INVALID);
    T_ST(parse_repeated("", "(", "", 60000), ST_INVALID);
    T_ST(parse_repeated("run_id in (", "'a',", ")", FILTER_LIST_MAX), OK);
    T_ST(parse_repeated("run_id in (", "'a',", ")", FILTER_LIST_MAX + 1), ST_INVALID);
    T_ST(parse_repeated("params.a = '", "x", "'", FILTER_TEXT_MAX - 13), OK);
    T_ST(parse_repeated("params.a = '", "x", "'", FILTER_TEXT_MAX - 12), ST_INVALID);
    T_ST(parse_repeated("params.a = '", "\xff", "'", 1), ST_INVALID);
}

/* Texts that do not fit into an error are cut, not the error. */
TEST(search_parse_long_errors)
{
    T_ST(parse_repeated("metrics.a = 1; '", "x", "'", 5000), ST_INVALID);
    T_ST(parse_repeated("", "foo bar ", "", 2000), ST_INVALID);
    T_ST(parse_repeated("", "x", " = 'y'", 5000), ST_INVALID);
}

TEST(search_parse_no_memory)
{
    static const char *const text =
        "metrics.a > 1 and (params.b in ('x', 'y') or not tags.c =~ '^[a-z]+(x|y){2,3}$')";
    int64_t calls;

    for (calls = 1;; calls++) {
        struct arena *a = arena_new(1 << 20);
        struct err err = ERR_INIT;
        struct filter *f;
        enum status st;

        mem_fail_after(calls, true);
        st = filter_parse(&f, SEARCH_RUNS, str_cstr(text), a, &err);
        mem_fail_never();
        arena_free(a);
        if (st == OK) {
            break;
        }
        T_ST(st, ST_NOMEM);
    }
    for (size_t cap = 64;; cap += 64) { /* every allocation from the arena fails once */
        struct arena *a = arena_new(cap);
        struct err err = ERR_INIT;
        struct filter *f;
        enum status st = a ? filter_parse(&f, SEARCH_RUNS, str_cstr(text), a, &err) : ST_NOMEM;

        arena_free(a);
        if (st == OK) {
            break;
        }
        T_ST(st, ST_NOMEM);
        T_OK(cap < 1 << 20);
    }
}
