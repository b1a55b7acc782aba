/* store/blob/s3_xml.c - see s3_xml.h. */
#include "store/blob/s3_xml.h"
#include "base/clock.h"
#include "base/num.h"

/* After a '<': does the tag of that name begin here? */
static bool is_tag(struct str s, struct str name)
{
    char after;

    if (s.n <= name.n || !str_starts(s, name)) {
        return false;
    }
    after = s.p[name.n];
    return after == '>' || after == '/' || after == ' ' || after == '\t' || after == '\r' ||
           after == '\n';
}

bool s3_xml_next(struct str *rest, const char *name, struct str *content)
{
    struct str want = str_cstr(name);

    for (size_t at = str_find_byte(*rest, '<', 0); at != SIZE_MAX;
         at = str_find_byte(*rest, '<', at + 1)) {
        struct str s = str_sub(*rest, at + 1, rest->n);
        size_t end;

        if (!is_tag(s, want)) {
            continue;
        }
        end = str_find_byte(s, '>', 0);
        if (end == SIZE_MAX) {
            break;
        }
        *rest = str_sub(s, end + 1, s.n);
        if (s.p[end - 1] == '/') {
            *content = S("");
            return true;
        }
        for (size_t i = str_find(*rest, S("</")); i != SIZE_MAX;) {
            struct str tail = str_sub(*rest, i + 2, rest->n);
            size_t more;

            if (is_tag(tail, want)) {
                *content = str_sub(*rest, 0, i);
                *rest = tail;
                return true;
            }
            more = str_find(tail, S("</"));
            i = more == SIZE_MAX ? SIZE_MAX : i + 2 + more;
        }
        return false;
    }
    return false;
}

struct str s3_xml_find(struct str xml, const char *name)
{
    struct str content;

    return s3_xml_next(&xml, name, &content) ? content : (struct str){ NULL, 0 };
}

/* "&amp;" and so on at the beginning of s; 0 when there is none. */
static size_t entity(struct str s, char *out)
{
    static const struct {
        struct str text;
        char c;
    } known[] = { { S_INIT("&amp;"), '&' },
                  { S_INIT("&lt;"), '<' },
                  { S_INIT("&gt;"), '>' },
                  { S_INIT("&quot;"), '"' },
                  { S_INIT("&apos;"), '\'' } };
    size_t semicolon = str_find_byte(str_sub(s, 0, 12), ';', 0);
    uint64_t v = 0;

    for (size_t i = 0; i < ARRAY_N(known); i++) {
        if (str_starts(s, known[i].text)) {
            *out = known[i].c;
            return known[i].text.n;
        }
    }
    if (!str_starts(s, S("&#")) || semicolon == SIZE_MAX) {
        return 0;
    }
    if (s.n > 3 && (s.p[2] == 'x' || s.p[2] == 'X')) {
        for (size_t i = 3; i < semicolon; i++) {
            char c = s.p[i];

            v = v * 16 + (uint64_t)(c >= '0' && c <= '9'   ? c - '0'
                                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                           : 128);
        }
    } else if (!num_parse_u64(str_sub(s, 2, semicolon - 2), &v)) {
        return 0;
    }
    if (!v || v >= 128) {
        return 0;
    }
    *out = (char)v;
    return semicolon + 1;
}

struct str s3_xml_text(struct arena *a, struct str content)
{
    char *out;
    size_t n = 0;

    if (str_find_byte(content, '&', 0) == SIZE_MAX) {
        return content.p ? content : S("");
    }
    out = arena_alloc(a, content.n + 1);
    for (size_t i = 0; out && i < content.n;) {
        char c = content.p[i];
        size_t used = c == '&' ? entity(str_sub(content, i, content.n), &c) : 1;

        out[n++] = c;
        i += used ? used : 1;
    }
    return str_of(out, out ? n : 0);
}

static bool digits(struct str s, size_t at, size_t n, int64_t *out)
{
    uint64_t v;

    if (!num_parse_u64(str_sub(s, at, n), &v)) {
        return false;
    }
    *out = (int64_t)v;
    return true;
}

int64_t s3_xml_time(struct str t)
{
    int64_t y, m, d, h, min, s;

    t = str_trim(t);
    if (t.n < 20 || t.p[4] != '-' || t.p[7] != '-' || t.p[10] != 'T' || t.p[t.n - 1] != 'Z' ||
        !digits(t, 0, 4, &y) || !digits(t, 5, 2, &m) || !digits(t, 8, 2, &d) ||
        !digits(t, 11, 2, &h) || !digits(t, 14, 2, &min) || !digits(t, 17, 2, &s) || y < 1970 ||
        m < 1 || m > 12 || d < 1 || d > 31 || h > 23 || min > 59 || s > 60) {
        return -1;
    }
    return ((clock_days(y, m, d) * 24 + h) * 60 + min) * 60000 + s * 1000;
}
