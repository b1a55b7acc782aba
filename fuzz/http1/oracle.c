/* fuzz/http1/oracle.c - see oracle.h. */
#include "oracle.h"
#include <http_parser.h>

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct oracle *s = p->data;

    s->url = str_of(s->url.p ? s->url.p : at, s->url.n + n);
    return 0;
}

static int on_name(http_parser *p, const char *at, size_t n)
{
    struct oracle *s = p->data;

    if (s->head_done || s->field_n == ORACLE_FIELDS) {
        return 0;
    }
    s->names[s->field_n] = str_of(at, n);
    s->values[s->field_n] = str_of(at, 0);
    s->field_n++;
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct oracle *s = p->data;

    if (s->field_n > 0 && !s->head_done) {
        s->values[s->field_n - 1] = str_of(at, n);
    }
    return 0;
}

static int on_headers(http_parser *p)
{
    struct oracle *s = p->data;

    s->head_done = true; /* what follows are trailers */
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct oracle *s = p->data;

    buf_put(&s->body, at, n);
    return 0;
}

static int on_done(http_parser *p)
{
    (void)p;
    http_parser_pause(p, 1);
    return 0;
}

void oracle_read(struct str in, struct oracle *o)
{
    http_parser_settings set;
    http_parser p;

    http_parser_settings_init(&set);
    set.on_url = on_url;
    set.on_header_field = on_name;
    set.on_header_value = on_value;
    set.on_headers_complete = on_headers;
    set.on_body = on_body;
    set.on_message_complete = on_done;
    http_parser_init(&p, HTTP_REQUEST);
    p.data = o;
    (void)http_parser_execute(&p, &set, in.p, in.n);
    o->accepted = HTTP_PARSER_ERRNO(&p) == HPE_PAUSED;
    o->method = http_method_str((enum http_method)p.method);
    o->version = (unsigned)p.http_major * 10 + p.http_minor;
}
