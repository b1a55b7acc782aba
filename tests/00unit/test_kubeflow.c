/* test_kubeflow.c - filterQuery, custom properties and names of Kubeflow's registry API. */
#include "api/kubeflow/custom.h"
#include "api/kubeflow/filter.h"
#include "api/kubeflow/kubeflow_int.h"
#include "base/num.h"
#include "tap.h"

static struct arena *arena;

static struct arena *scratch(void)
{
    if (!arena) {
        arena = arena_new(16 << 20);
    }
    return arena;
}

static void done(void)
{
    arena_free(arena);
    arena = NULL;
}

static const struct kf_known known[] = { { "id", KF_INT }, { "name", KF_TEXT }, { NULL, KF_NONE } };

/* id = 7, name = 'Bert', acc = 0.5, n = 3, on = true, text = 'x', a.b = 'dot' */
static enum status get(void *row, const struct kf_property *p, struct kf_value *out,
                       struct err *err)
{
    (void)row;
    (void)err;
    *out = (struct kf_value){ .type = KF_NONE };
    if (p->known) {
        *out = p->known->type == KF_INT ? (struct kf_value){ .type = KF_INT, .i = 7, .d = 7 }
                                        : (struct kf_value){ .type = KF_TEXT, .text = S("Bert") };
    } else if (str_eq_lit(p->name, "acc")) {
        *out = (struct kf_value){ .type = KF_DOUBLE, .d = 0.5 };
    } else if (str_eq_lit(p->name, "n")) {
        *out = (struct kf_value){ .type = KF_INT, .i = 3, .d = 3 };
    } else if (str_eq_lit(p->name, "on")) {
        *out = (struct kf_value){ .type = KF_BOOL, .i = 1 };
    } else if (str_eq_lit(p->name, "text")) {
        *out = (struct kf_value){ .type = KF_TEXT, .text = S("x") };
    } else if (str_eq_lit(p->name, "a.b")) {
        *out = (struct kf_value){ .type = KF_TEXT, .text = S("dot") };
    }
    return OK;
}

/* 1 matches, 0 does not, -1 is refused. */
static int ask(const char *text)
{
    struct err err = ERR_INIT;
    struct kf_filter *f;
    bool match = false;

    if (kf_filter_parse(&f, str_cstr(text), known, scratch(), &err)) {
        T_OK(strstr(err.message, "invalid filter query") == err.message);
        return -1;
    }
    T_ST(kf_filter_match(f, get, NULL, &match, &err), OK);
    return match;
}

TEST(filters)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        { "", 1 },
        { "  -- nothing", 1 },
        { "id = 7", 1 },
        { "id = '7'", 1 },
        { "id IN (1, 7)", 1 },
        { "id > 7.5", 0 },
        { "id = 'x'", -1 },
        { "name = 'Bert'", 1 },
        { "name LIKE 'bert'", 0 },
        { "name ilike 'b%T'", 1 },
        { "name like 5", -1 },
        { "name > 'Ber' and name < 'Bes'", 1 },
        { "name = true", -1 },
        { "acc = 0.5", 1 },
        { "acc < 1", 1 },
        { "acc >= 5e-1", 1 },
        { "acc = '0.5'", 0 },
        { "acc.int_value < 1", 0 },
        { "acc.double_value < 1", 1 },
        { "n = 3", 1 },
        { "n = 3.0", 0 },
        { "n.double_value = 3", 0 },
        { "on = true", 1 },
        { "on != TRUE", 0 },
        { "on > true", -1 },
        { "on IN (false, true)", 1 },
        { "text <> 'y'", 1 },
        { "missing <> 'y'", 0 },
        { "missing = 1 OR text = \"x\"", 1 },
        { "missing = 1 or text = 'x' and n = 4", 0 },
        { "(missing = 1 or text = 'x') and n = 3", 1 },
        { "a.b = 'dot'", 1 },
        { "`a\\.b` = 'dot'", 1 },
        { "`a.b`.string_value = 'dot'", 1 },
        { "a.b.string_value = 'd\\ot'", 1 },
        { "text IN ()", 0 },
        { "text IN ('x',)", -1 },
        { "text IN 'x'", -1 },
        { "text", -1 },
        { "text =", -1 },
        { "= 'x'", -1 },
        { "text = 'x' text = 'x'", -1 },
        { "text = 'x' AND", -1 },
        { "(text = 'x'", -1 },
        { "text = 'x')", -1 },
        { "text = 'x", -1 },
        { "text == 'x'", -1 },
        { "text = x", -1 },
        { "NOT text = 'x'", -1 },
        { "text.string_value.more = 'x'", -1 },
        { "n = 1.2.3", -1 },
    };

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        if (ask(cases[i].text) != cases[i].want) {
            T_FAIL("%s: %d, not %d", cases[i].text, ask(cases[i].text), cases[i].want);
        }
    }
    done();
}

TEST(filters_have_bounds)
{
    struct buf b = BUF_INIT(1 << 20);

    for (int i = 0; i < KF_FILTER_TERMS_MAX; i++) {
        buf_put_cstr(&b, i ? " or n = 1" : "n = 3");
    }
    buf_put_u8(&b, 0);
    T_INT(ask(b.p), 1);
    b.n--;
    buf_put_cstr(&b, " or n = 1");
    buf_put_u8(&b, 0);
    T_INT(ask(b.p), -1);
    buf_clear(&b);
    for (int i = 0; i <= KF_FILTER_DEPTH_MAX; i++) {
        buf_put_cstr(&b, "(");
    }
    buf_put_cstr(&b, "n = 3");
    for (int i = 0; i <= KF_FILTER_DEPTH_MAX; i++) {
        buf_put_cstr(&b, ")");
    }
    buf_put_u8(&b, 0);
    T_INT(ask(b.p), -1);
    b.p[b.n - 2] = 0;
    T_INT(ask(b.p + 1), 1);
    buf_release(&b);
    done();
}

static const char *shown(const char *stored, bool model)
{
    return arena_cstr(scratch(), kf_name_shown(scratch(), str_cstr(stored), model));
}

TEST(names)
{
    struct err err = ERR_INIT;
    struct str out;

    T_CSTR(shown("plain name", true), "plain name");
    T_CSTR(shown("mod\xc3\xa8le", true), "mod%C3%A8le");
    T_CSTR(shown("100%", true), "100%");
    T_CSTR(shown("mod%C3%A8le", true), "mod%25C3%25A8le");
    T_CSTR(shown("org%2Fm%3A1", true), "org/m:1");
    T_CSTR(shown("org%2fm", true), "org%252fm");
    T_CSTR(shown("org%2Fm", false), "org%252Fm");
    T_CSTR(shown("a/b:c", false), "a/b:c");
    T_ST(kf_name_stored(scratch(), S("org/m"), true, &out, &err), OK);
    T_OK(str_eq_lit(out, "org%2Fm"));
    T_ST(kf_name_stored(scratch(), S("org%2Fm"), true, &out, &err), ST_INVALID);
    T_ST(kf_name_stored(scratch(), S("a%41"), true, &out, &err), ST_INVALID);
    T_ST(kf_name_check(S(""), "name", &err), ST_INVALID);
    T_ST(kf_name_check(S("a\x7f"), "name", &err), ST_INVALID);
    T_ST(kf_name_check(S("a ~"), "name", &err), OK);
    done();
}

TEST(names_come_back)
{
    static const char letters[] = "%/:2F3Aa\xc3\xa8 c5";
    struct err err = ERR_INIT;

    for (int round = 0; round < 20000; round++) {
        char text[12];
        size_t n = (size_t)t_rand_below(sizeof(text));
        struct str stored, back;

        for (size_t i = 0; i < n; i++) {
            text[i] = letters[t_rand_below(sizeof(letters) - 1)];
        }
        stored = str_of(text, n);
        if (str_find_byte(stored, '/', 0) != SIZE_MAX ||
            str_find_byte(stored, ':', 0) != SIZE_MAX) {
            continue;
        }
        T_ST_ERR(
            kf_name_stored(scratch(), kf_name_shown(scratch(), stored, true), true, &back, &err),
            OK, &err);
        T_OK(str_eq(back, stored));
        arena_reset(scratch());
    }
    done();
}

TEST(custom_properties)
{
    struct err err = ERR_INIT;
    struct buf b = BUF_INIT(1 << 16);
    struct props p;
    static const char good[] =
        "{\"i\":{\"int_value\":\"-3\",\"metadataType\":\"MetadataIntValue\"},"
        "\"d\":{\"double_value\":0.5,\"metadataType\":\"MetadataDoubleValue\"},"
        "\"b\":{\"bool_value\":true,\"metadataType\":\"MetadataBoolValue\"},"
        "\"s\":{\"string_value\":\"a\\\"b\",\"metadataType\":\"MetadataStringValue\"},"
        "\"o\":{\"struct_value\":\"eyJhIjpbMV19\",\"metadataType\":\"MetadataStructValue\"}}";

    T_ST_ERR(kf_custom_parse(str_cstr(good), scratch(), &p, &err), OK, &err);
    T_UINT(p.n, 5);
    T_OK(p.p[0].type == PROP_INT && p.p[0].i == -3 && p.p[1].type == PROP_DOUBLE);
    T_OK(p.p[4].type == PROP_JSON && str_eq_lit(p.p[4].s, "{\"a\":[1]}"));
    kf_custom_put(&b, &p);
    T_OK(str_eq(buf_str(&b), str_cstr(good)));
    T_ST(kf_custom_parse(S("{}"), scratch(), &p, &err), OK);
    T_UINT(p.n, 0);
    T_ST(kf_custom_parse(S("[]"), scratch(), &p, &err), ST_INVALID);
    T_ST(kf_custom_parse(S("{\"a\":{\"metadataType\":\"MetadataIntValue\",\"int_value\":\"-0\"}}"),
                         scratch(), &p, &err),
         OK);
    T_ST(kf_custom_parse(S("{\"a\":null}"), scratch(), &p, &err), ST_INVALID);
    T_OK(strstr(err.message, "'a'"));
    buf_release(&b);
    done();
}
