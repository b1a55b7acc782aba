/* Places of data: whatever comes is spelled or names no place, a spelling is text and spells itself, and each of the ways in which it is
 * mostly written is spelled so. The first byte says what the rest is: a URI, type and source of MLflow, or namespace and name. */
#include "base/arena.h"
#include "base/utf8.h"
#include "core/graph/data_uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_spelling(struct arena *a, struct str uri)
{
    struct str again, ways[DATA_URI_SPELLINGS];
    struct err err = ERR_INIT;
    size_t ways_n = 0;

    CHECK(uri.n > 0 && uri.n <= DATA_URI_MAX && utf8_valid(uri));
    for (size_t i = 0; i < uri.n; i++) {
        CHECK((unsigned char)uri.p[i] >= 0x20 && uri.p[i] != 0x7f);
    }
    CHECK(!data_uri(a, uri, &again, &err));
    CHECK(str_eq(again, uri));
    CHECK(!data_uri_spellings(a, uri, ways, &ways_n, &err));
    CHECK(ways_n > 0 && ways_n <= DATA_URI_SPELLINGS && str_eq(ways[0], uri));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_of((const char *)data + 1, n ? n - 1 : 0), out = { NULL, 0 };
    struct err err = ERR_INIT;
    struct arena *a;
    size_t cut = 0;

    if (!n) {
        return 0;
    }
    a = arena_new(1 << 20);
    CHECK(a);
    while (cut < text.n && text.p[cut]) {
        cut++;
    }
    switch (data[0]) {
    case 's':
        CHECK(!data_uri_of_source(a, str_sub(text, 0, cut), str_sub(text, cut + 1, text.n), &out,
                                  &err));
        break;
    case 'n':
        CHECK(!data_uri_of_name(a, str_sub(text, 0, cut), str_sub(text, cut + 1, text.n), &out,
                                &err));
        break;
    default: CHECK(!data_uri(a, text, &out, &err)); break;
    }
    if (out.p) {
        check_spelling(a, out);
    }
    arena_free(a);
    return 0;
}
