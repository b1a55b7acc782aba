/* fuzz/s3xml - what S3 answers: elements, entities and times never lead out of the input, and walks over them end. The first byte
 * chooses an element. */
#include "base/arena.h"
#include "base/compiler.h"
#include "store/blob/s3_creds.h"
#include "store/blob/s3_xml.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(struct str whole, struct str part)
{
    if (part.n && (part.p < whole.p || part.p + part.n > whole.p + whole.n)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const names[] = { "Contents", "Key", "Code", "Upload", "a" };
    struct arena *a = arena_new(1 << 20);
    struct str whole = str_of(data, n), rest, item;
    bool found;

    if (!a || n < 1) {
        arena_free(a);
        return 0;
    }
    whole = str_sub(whole, 1, n);
    rest = whole;
    while (s3_xml_next(&rest, names[data[0] % ARRAY_N(names)], &item)) {
        inside(whole, item);
        inside(whole, rest);
        if (s3_xml_text(a, item).n > item.n) {
            abort(); /* entities only get shorter */
        }
        if (s3_xml_time(item) < -1) {
            abort();
        }
        inside(item, s3_xml_find(item, "Size"));
    }
    inside(whole, s3_ini_get(whole, "default", "a", &found));
    arena_free(a);
    return 0;
}
