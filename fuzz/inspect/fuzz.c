/* Hostile model files. What is reported is bounded and prints as JSON, whatever the bytes say; the file is never asked for bytes that it
 * does not have, and the same bytes give the same report. */
#include "base/mem.h"
#include "codec/json.h"
#include "inspect/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MEMORY_MAX = 32 << 20, REPORT_MAX = 16 << 20 };

static const struct inspect_limits limits = {
    .bytes_max = 8 << 20, .items_max = 200000, .time_ms = 60000, .depth_max = 4, .listed_max = 200
};

static enum status strict_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *err)
{
    const struct str *s = ctx;

    (void)err;
    CHECK(offset <= s->n && n <= s->n - offset);
    if (n) memcpy(p, s->p + offset, n);
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str bytes = str_of(data, n);
    struct inspect_source source = { .size = n, .read = strict_read, .ctx = &bytes };
    struct inspect_shown shown = { 1000, 1000 };
    struct arena *a = arena_new(MEMORY_MAX);
    struct buf b = BUF_INIT(REPORT_MAX);
    struct err err = ERR_INIT;
    struct inspect_report r;
    uint64_t listed = 0;

    CHECK(a);
    CHECK(inspect_file(&source, S("model.pt"), a, &limits, &r, &err) == OK);
    for (const struct inspect_tensor *t = r.tensors; t; t = t->next) {
        listed++;
    }
    CHECK(listed <= r.tensors_n && listed <= limits.listed_max);
    CHECK(r.findings_n > 0 || r.complete);
    inspect_json(&b, &r, &shown);
    CHECK(b.failed == OK && json_check(buf_str(&b), 0, 0, &err) == OK);
    buf_release(&b);
    arena_free(a);
    return 0;
}
