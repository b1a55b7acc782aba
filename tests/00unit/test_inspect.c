/* Hostile model files, byte by byte, and what a large one costs. Files of real libraries are in tests/50e2e/test_inspect.py. */
#include "base/mem.h"
#include "codec/json.h"
#include "inspect/inspect.h"
#include "tap.h"
#include <stdio.h>

enum { MEMORY_MAX = 64 << 20 };

static struct arena *arena;
static struct inspect_report r;

static void inspect(struct str bytes, const char *name)
{
    struct inspect_source source = inspect_bytes(&bytes);
    struct err err = ERR_INIT;

    arena_free(arena);
    arena = arena_new(MEMORY_MAX);
    T_OK(arena);
    T_ST_ERR(inspect_file(&source, str_cstr(name), arena, NULL, &r, &err), OK, &err);
}

static bool found(const char *code)
{
    for (const struct inspect_finding *f = r.findings; f; f = f->next) {
        if (str_eq(f->code, str_cstr(code))) {
            return true;
        }
    }
    return false;
}

static bool says(const char *text)
{
    for (const struct inspect_finding *f = r.findings; f; f = f->next) {
        if (str_find(f->text, str_cstr(text)) != SIZE_MAX) {
            return true;
        }
    }
    return false;
}

static void done(void)
{
    arena_free(arena);
    arena = NULL;
}

/* ---- safetensors ----------------------------------------------------------------------------------------------------------------- */

static void safetensors(const char *header, size_t data_n)
{
    struct buf b = BUF_INIT(1 << 24);

    buf_put_u64(&b, strlen(header));
    buf_put_cstr(&b, header);
    for (size_t i = 0; i < data_n; i++) {
        buf_put_u8(&b, 0);
    }
    inspect(buf_str(&b), "x.safetensors");
    buf_release(&b);
    T_STR(r.format, "safetensors");
}

TEST(safetensors_whole)
{
    safetensors(
        "{\"__metadata__\":{\"a\":\"b\"},\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}  ",
        16);
    T_UINT(r.findings_n, 0);
    T_UINT(r.params, 4);
    T_STR(r.tensors->name, "w");
    T_STR(r.metadata->value, "b");
    done();
}

TEST(safetensors_tables_that_overlap_and_overflow)
{
    safetensors("{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
                "\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[4,12]}}",
                12);
    T_OK(found("tensor_overlap") && r.worst == INSPECT_DANGER);
    safetensors(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0);
    T_OK(found("tensor_shape"));
    safetensors(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[18446744073709551608,18446744073709551615]}}",
        8);
    T_OK(found("tensor_range"));
    safetensors("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[6,4]}}", 8);
    T_OK(found("tensor_range"));
    safetensors("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 8);
    T_OK(found("tensor_gap"));
    safetensors("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2);
    T_OK(found("tensor_size"));
    safetensors("{\"a\":{\"dtype\":\"WHAT\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    T_OK(found("tensor_dtype"));
    safetensors(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,2]}}", 2);
    T_OK(found("malformed"));
    safetensors(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"a\":{\"dtype\":\"U8\","
        "\"shape\":[2],\"data_offsets\":[0,2]}}",
        2);
    T_OK(found("malformed"));
    done();
}

TEST(safetensors_header_of_four_billion)
{
    struct buf b = BUF_INIT(1 << 20);

    buf_put_u64(&b, 4294967295u);
    buf_put_lit(&b, "{}");
    inspect(buf_str(&b), "x.safetensors");
    T_OK(found("header_size"));
    buf_clear(&b);
    buf_put_u64(&b, UINT64_MAX);
    buf_put_lit(&b, "{}");
    inspect(buf_str(&b), "x.safetensors");
    T_OK(found("header_size"));
    buf_release(&b);
    done();
}

/* Five gigabytes of which only the header exists. */
struct sparse {
    struct str header;
    uint64_t asked;
};

static enum status sparse_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *err)
{
    struct sparse *s = ctx;
    size_t have = offset < s->header.n ? MIN_OF(n, s->header.n - (size_t)offset) : 0;

    (void)err;
    memcpy(p, s->header.p + offset, have);
    memset((char *)p + have, 0, n - have);
    s->asked += n;
    return OK;
}

TEST(safetensors_of_five_gigabytes_is_cheap)
{
    enum { N = 500 };
    const uint64_t each = (uint64_t)10 << 20;
    struct buf json = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
    struct arena *a = arena_new(MEMORY_MAX);
    struct inspect_source source = { .read = sparse_read };
    struct sparse s = { .asked = 0 };
    struct err err = ERR_INIT;

    buf_put_u8(&json, '{');
    for (uint64_t i = 0; i < N; i++) {
        buf_printf(
            &json,
            "%s\"model.layers.%d.mlp.weight\":{\"dtype\":\"F16\",\"shape\":[1024,5120],\"data_offsets\":[%llu,%llu]}",
            i ? "," : "", (int)i, (unsigned long long)(i * each),
            (unsigned long long)((i + 1) * each));
    }
    buf_put_u8(&json, '}');
    buf_put_u64(&b, json.n);
    buf_put_str(&b, buf_str(&json));
    s.header = buf_str(&b);
    source.size = b.n + N * each;
    source.ctx = &s;
    T_OK(source.size > (uint64_t)5 << 30 >> 1);
    T_ST_ERR(inspect_file(&source, S("big.safetensors"), a, NULL, &r, &err), OK, &err);
    T_UINT(r.findings_n, 0);
    T_UINT(r.params, (uint64_t)N * 1024 * 5120);
    T_OK(s.asked < 512 * 1024);             /* of five gigabytes */
    T_OK(arena_bytes(a) < (size_t)2 << 20); /* all that is kept */
    buf_release(&json);
    buf_release(&b);
    arena_free(a);
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------------------------ */

static void gguf_head(struct buf *b, uint64_t tensors, uint64_t pairs)
{
    buf_put_lit(b, "GGUF");
    buf_put_u32(b, 3);
    buf_put_u64(b, tensors);
    buf_put_u64(b, pairs);
}

TEST(gguf_counts_of_four_billion)
{
    struct buf b = BUF_INIT(1 << 20);

    gguf_head(&b, 4294967295u, 4294967295u);
    inspect(buf_str(&b), "x.gguf");
    T_OK(found("header_size"));
    buf_clear(&b);
    gguf_head(&b, 0, 1);
    buf_put_u64(&b, 1);
    buf_put_lit(&b, "k");
    buf_put_u32(&b, 9); /* a list of texts */
    buf_put_u32(&b, 8);
    buf_put_u64(&b, 4294967295u);
    inspect(buf_str(&b), "x.gguf");
    T_OK(found("malformed"));
    buf_clear(&b);
    gguf_head(&b, 0, 1);
    buf_put_u64(&b, UINT64_MAX - 3); /* a name */
    buf_put_lit(&b, "kkkkkkkkkkkkkkkkkkk");
    inspect(buf_str(&b), "x.gguf");
    T_OK(found("malformed"));
    buf_release(&b);
    done();
}

static void gguf_tensor(struct buf *b, const char *name, uint64_t dim, uint64_t offset)
{
    buf_put_u64(b, strlen(name));
    buf_put_cstr(b, name);
    buf_put_u32(b, 2);
    buf_put_u64(b, dim);
    buf_put_u64(b, 8);
    buf_put_u32(b, 0);
    buf_put_u64(b, offset);
}

TEST(gguf_tensors_that_overlap_and_overflow)
{
    struct buf b = BUF_INIT(1 << 20);

    gguf_head(&b, 2, 0);
    gguf_tensor(&b, "a", 8, 0);
    gguf_tensor(&b, "b", 8, 32);
    for (size_t i = 0; i < 2048; i++) {
        buf_put_u8(&b, 0);
    }
    inspect(buf_str(&b), "x.gguf");
    T_OK(found("tensor_overlap"));
    buf_clear(&b);
    gguf_head(&b, 1, 0);
    gguf_tensor(&b, "a", UINT64_MAX / 8, 0);
    inspect(buf_str(&b), "x.gguf");
    T_OK(found("tensor_shape"));
    buf_clear(&b);
    gguf_head(&b, 1, 0);
    gguf_tensor(&b, "a", 8, UINT64_MAX - 31);
    inspect(buf_str(&b), "x.gguf");
    T_OK(found("tensor_range"));
    buf_release(&b);
    done();
}

/* ---- pickles --------------------------------------------------------------------------------------------------------------------- */

TEST(pickle_stack_without_end)
{
    struct buf b = BUF_INIT(1 << 24);

    buf_put_lit(&b, "\x80\x04");
    for (size_t i = 0; i < 2000000; i++) {
        buf_put_u8(&b, '(');
    }
    inspect(buf_str(&b), "x.pkl");
    T_OK(found("limit") && !r.complete);
    T_OK(arena_bytes(arena) < (size_t)1 << 20);
    buf_clear(&b);
    buf_put_lit(&b, "\x80\x04N");
    for (size_t i = 0; i < 3000000; i++) {
        buf_put_u8(&b, 0x85); /* a tuple around it */
    }
    buf_put_u8(&b, '.');
    inspect(buf_str(&b), "x.pkl");
    T_OK(r.complete || found("limit"));
    buf_release(&b);
    done();
}

TEST(pickle_memo_of_four_billion)
{
    inspect(S("\x80\x04Nr\xff\xff\xff\xff."), "x.pkl");
    T_OK(found("limit"));
    inspect(S("\x80\x04j\x05\x00\x00\x00."), "x.pkl");
    T_OK(found("pickle_broken"));
    inspect(S("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f."), "x.pkl");
    T_OK(found("pickle_broken"));
    done();
}

/* MEMOIZE counts entries, not stores: what a loader would fetch is what is judged. */
TEST(pickle_memo_counts_as_loaders_do)
{
    inspect(S("\x80\x04\x8c\x01xq\x00q\x00" /* x is entry 0, twice */
              "\x8c\x02os\x94"              /* os becomes entry 1 */
              "\x8c\x06systemh\x01h\x00\x30\x8c\x06system\x93."),
            "x.pkl");
    T_OK(says("os.system"));
    done();
}

TEST(pickle_names_however_they_are_put_together)
{
    static const struct {
        struct str bytes;
        const char *code;
    } cases[] = {
        { S_INIT("cos\nsystem\n(S'ls'\ntR."), "pickle_dangerous" },
        { S_INIT("(S'ls'\nios\nsystem\n."), "pickle_dangerous" },
        { S_INIT("\x80\x02(cos\nsystem\nX\x02\0\0\0lso."), "pickle_dangerous" },
        { S_INIT("\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R."), "pickle_dangerous" },
        { S_INIT("\x80\x04\x8c\x02os\x94\x8c\x06system\x94"
                 "0"
                 "0h\0h\x01\x93)R."),
          "pickle_dangerous" },
        { S_INIT("\x80\x04\x8c\x02os\x32\x8c\x06system\x93."), "pickle_dangerous" },
        { S_INIT("\x80\x02"
                 "cos\nsystem\n)\x81."),
          "pickle_dangerous" },
        { S_INIT("\x80\x04"
                 "cos\nsystem\n)}\x92."),
          "pickle_dangerous" },
        { S_INIT("\x80\x04)\x8c\x06system\x93."), "pickle_name" },
        { S_INIT("\x80\x02\x82\x01)R."), "pickle_extension" },
        { S_INIT("\x80\x02\x84\x01\0\0\0)R."), "pickle_extension" },
        { S_INIT("Pid\n."), "pickle_persistent_id" },
        { S_INIT("\x80\x02N)R."), "pickle_callee" },
        { S_INIT("\x80\x02"
                 "ccollections\nOrderedDict\n}b."),
          "pickle_build" },
        { S_INIT("\x80\x04"
                 "ccollections\nOrderedDict.__init__\n."),
          "pickle_dangerous" },
        { S_INIT("\x80\x04"
                 "cpkgutil\nresolve_name\n\x8c\x09os:system\x85R."),
          "pickle_dangerous" },
        { S_INIT("\x80\x04N.\x80\x02"
                 "cos\nsystem\n."),
          "pickle_dangerous" },
        { S_INIT("\x80\x02"
                 "cos\nsystem\n)R\xff\xff"),
          "pickle_broken" },
        { S_INIT("\x80\x04N\x80\x04."), "pickle_protocol" },
        { S_INIT("\x80\x04"
                 "C\x0e\x80\x04"
                 "cos\nsystem\n.."),
          "pickle_nested" },
        { S_INIT("\x80\x04N.garbage after it"), "pickle_trailing" },
        { S_INIT("\x80\x04"
                 "csklearn.x\nY\n."),
          "pickle_global" },
    };

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        inspect(cases[i].bytes, "model.bin");
        if (!found(cases[i].code)) {
            T_FAIL("case %zu: no %s", i, cases[i].code);
        }
    }
    done();
}

TEST(pickle_known_constructors)
{
    inspect(S("\x80\x02"
              "ccollections\nOrderedDict\n)Rq\0."),
            "x.pkl");
    T_UINT(r.findings_n, 0);
    T_STR(r.format, "pickle");
    done();
}

TEST(text_is_no_pickle)
{
    inspect(S("config\nfoo\nbar = 1\n"), "a.txt");
    T_STR(r.format, "");
    T_UINT(r.findings_n, 0);
    inspect(S("N. Surname wrote this\n"), "a.txt");
    T_STR(r.format, "");
    inspect(S("I am text.\n"), "a.pkl");
    T_OK(found("unknown_format"));
    inspect(S(""), "empty.pkl");
    T_UINT(r.findings_n, 0);
    done();
}

/* ---- containers ------------------------------------------------------------------------------------------------------------------ */

TEST(containers_that_are_refused)
{
    inspect(S("7z\xbc\xaf\x27\x1c\0\0\0\0\0\0"), "pytorch_model.bin");
    T_OK(found("refused_container") && r.worst == INSPECT_DANGER);
    inspect(S("\xfd"
              "7zXZ\0\0\0\0"),
            "a.pkl.xz");
    T_OK(found("packed"));
    done();
}

static void local_header(struct buf *b, const char *name, struct str data)
{
    buf_put_u32(b, 0x04034b50);
    buf_put_u16(b, 20);
    buf_put_u16(b, 0);
    buf_put_u16(b, 0);
    buf_put_u32(b, 0);
    buf_put_u32(b, 0); /* no checksum */
    buf_put_u32(b, (uint32_t)data.n);
    buf_put_u32(b, (uint32_t)data.n);
    buf_put_u16(b, (uint16_t)strlen(name));
    buf_put_u16(b, 0);
    buf_put_cstr(b, name);
    buf_put_str(b, data);
}

static void central_header(struct buf *b, const char *name, uint32_t n, uint32_t at)
{
    buf_put_u32(b, 0x02014b50);
    buf_put_u32(b, 20 | 20 << 16);
    buf_put_u16(b, 0);
    buf_put_u16(b, 0);
    buf_put_u32(b, 0);
    buf_put_u32(b, 0);
    buf_put_u32(b, n);
    buf_put_u32(b, n);
    buf_put_u16(b, (uint16_t)strlen(name));
    for (size_t i = 0; i < 6; i++) {
        buf_put_u16(b, 0);
    }
    buf_put_u32(b, at);
    buf_put_cstr(b, name);
}

static void end_record(struct buf *b, unsigned n, size_t from)
{
    uint32_t bytes = (uint32_t)(b->n - from);

    buf_put_u32(b, 0x06054b50);
    buf_put_u32(b, 0);
    buf_put_u16(b, (uint16_t)n);
    buf_put_u16(b, (uint16_t)n);
    buf_put_u32(b, bytes);
    buf_put_u32(b, (uint32_t)from);
    buf_put_u16(b, 0);
}

#define EVIL                                                                                       \
    S("\x80\x02"                                                                                   \
      "cos\nsystem\n)R.")

TEST(zip_views_that_differ)
{
    struct buf b = BUF_INIT(1 << 20);
    size_t from;

    local_header(&b, "data.pkl", EVIL); /* the directory gives it another name and length */
    from = b.n;
    central_header(&b, "readme.txt", 3, 0);
    end_record(&b, 1, from);
    inspect(buf_str(&b), "a.pt");
    T_OK(found("zip_views") && found("pickle_dangerous"));
    buf_clear(&b);
    local_header(&b, "a", S("text"));
    from = b.n;
    central_header(&b, "a", 4, 0);
    central_header(&b, "a", 4, 0);
    end_record(&b, 2, from);
    inspect(buf_str(&b), "a.zip");
    T_OK(found("zip_duplicate") && found("zip_overlap"));
    buf_clear(&b);
    local_header(&b, "seen", S("text"));
    local_header(&b, "hidden.pkl", EVIL);
    from = b.n;
    central_header(&b, "seen", 4, 0);
    end_record(&b, 1, from);
    inspect(buf_str(&b), "a.zip");
    T_OK(found("zip_hidden") && found("pickle_dangerous"));
    buf_clear(&b);
    local_header(&b, "../up", EVIL);
    from = b.n;
    central_header(&b, "../up", (uint32_t)EVIL.n, 0);
    end_record(&b, 1, from);
    inspect(buf_str(&b), "a.zip");
    T_OK(found("zip_path"));
    buf_release(&b);
    done();
}

TEST(zip_without_its_directory)
{
    struct buf b = BUF_INIT(1 << 20);

    local_header(&b, "data.pkl", EVIL);
    inspect(buf_str(&b), "a.pt");
    T_OK(found("zip_no_directory") && found("pickle_dangerous"));
    buf_clear(&b);
    buf_put_lit(&b, "\x80\x02N.");
    local_header(&b, "data.pkl", EVIL);
    {
        size_t from = b.n;

        central_header(&b, "data.pkl", (uint32_t)EVIL.n, 4);
        end_record(&b, 1, from);
    }
    inspect(buf_str(&b), "a.pkl"); /* a pickle for some, an archive for others */
    T_OK(found("zip_appended") && found("pickle_dangerous"));
    buf_release(&b);
    done();
}

TEST(zips_within_zips)
{
    struct buf b = BUF_INIT(1 << 20), inner = BUF_INIT(1 << 20);

    local_header(&inner, "data.pkl", EVIL);
    end_record(&inner, 0, inner.n);
    for (unsigned depth = 0; depth < 20; depth++) {
        size_t from;

        buf_clear(&b);
        local_header(&b, "inner.zip", buf_str(&inner));
        from = b.n;
        central_header(&b, "inner.zip", (uint32_t)inner.n, 0);
        end_record(&b, 1, from);
        if (depth == 1) {
            inspect(buf_str(&b), "a.zip");
            T_OK(found("pickle_dangerous"));
        }
        buf_clear(&inner);
        buf_put_str(&inner, buf_str(&b));
    }
    inspect(buf_str(&b), "a.zip");
    T_OK(found("limit") && !r.complete);
    buf_release(&b);
    buf_release(&inner);
    done();
}

/* ---- limits ---------------------------------------------------------------------------------------------------------------------- */

TEST(limits_are_findings)
{
    struct inspect_limits small = inspect_limits_default;
    struct str bytes = S("\x80\x04]((((((((((((((((((((((((.");
    struct inspect_source source = inspect_bytes(&bytes);
    struct arena *a = arena_new(MEMORY_MAX);
    struct err err = ERR_INIT;

    small.items_max = 5;
    T_ST_ERR(inspect_file(&source, S("x"), a, &small, &r, &err), OK, &err);
    T_OK(!r.complete && found("limit"));
    small = inspect_limits_default;
    small.bytes_max = 10;
    T_ST_ERR(inspect_file(&source, S("x"), a, &small, &r, &err), OK, &err);
    T_OK(!r.complete && found("limit"));
    arena_free(a);
}

static enum status broken_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *err)
{
    (void)ctx;
    (void)offset;
    (void)p;
    (void)n;
    return err_set(err, ST_IO, "the disk is gone");
}

TEST(what_the_source_fails_with_is_the_answer)
{
    struct inspect_source source = { .size = 100, .read = broken_read };
    struct arena *a = arena_new(MEMORY_MAX);
    struct err err = ERR_INIT;

    T_ST(inspect_file(&source, S("x"), a, NULL, &r, &err), ST_IO);
    arena_free(a);
}

TEST(no_memory_is_said)
{
    struct buf b = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    size_t from;
    bool through = false;

    local_header(&b, "data.pkl", EVIL);
    local_header(&b, "config.json", S("{\"class_name\": \"Lambda\"}"));
    from = b.n;
    central_header(&b, "data.pkl", (uint32_t)EVIL.n, 0);
    central_header(&b, "config.json", 24, (uint32_t)(38 + EVIL.n));
    end_record(&b, 2, from);
    for (int64_t n = 1; !through && n < 500; n++) {
        struct str bytes = buf_str(&b);
        struct inspect_source source = inspect_bytes(&bytes);
        struct arena *a = arena_new(MEMORY_MAX);
        enum status st;

        T_OK(a);
        mem_fail_after(n, false);
        st = inspect_file(&source, S("x"), a, NULL, &r, &err);
        through = mem_call_n() < n;
        mem_fail_never();
        T_OK(st == ST_NOMEM || st == OK);
        T_OK(!through || found("pickle_dangerous"));
        arena_free(a);
    }
    T_OK(through);
    buf_release(&b);
}

TEST(report_is_json)
{
    struct buf b = BUF_INIT(1 << 20);
    struct inspect_shown shown = { 10, 10 };
    const struct inspect_report *both[] = { &r, &r };
    struct err err = ERR_INIT;

    inspect(EVIL, "a\"b.pkl");
    inspect_json(&b, &r, &shown);
    T_ST_ERR(json_check(buf_str(&b), 0, 0, &err), OK, &err);
    buf_clear(&b);
    inspect_json_files(&b, S("x"), both, 2, 3, &shown);
    T_ST_ERR(json_check(buf_str(&b), 0, 0, &err), OK, &err);
    T_OK(str_find(buf_str(&b), S("\"worst\":\"danger\",\"complete\":false}")) != SIZE_MAX);
    buf_release(&b);
    done();
}
