/* api/grpc/reflection.c - grpc.reflection.v1 and v1alpha (the same messages): which services there are and what they look like.
 * Each question of a call is answered as it comes. */
#include "gen/grpc/reflection.h"
#include "api/grpc/grpc_int.h"
#include "base/mem.h"
#include "codec/proto_file.h"

#define REQ(name) GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_HAS_##name
#define RES(name) GRPC_REFLECTION_V1_SERVER_REFLECTION_RESPONSE_HAS_##name

enum { ANSWER_MAX = 16 << 20, CODE_NOT_FOUND = 5, CODE_UNIMPLEMENTED = 12 };

static const char alpha_name[] = "grpc.reflection.v1alpha.ServerReflection";

struct one {
    struct grpc_reflection_v1_server_reflection_response out;
    struct grpc_reflection_v1_file_descriptor_response file;
    struct grpc_reflection_v1_list_service_response list;
    struct grpc_reflection_v1_error_response error;
};

static void say_error(struct one *o, int32_t code, struct str text)
{
    MSG_SET(&o->error, GRPC_REFLECTION_V1_ERROR_RESPONSE_HAS_ERROR_CODE, error_code, code);
    MSG_SET(&o->error, GRPC_REFLECTION_V1_ERROR_RESPONSE_HAS_ERROR_MESSAGE, error_message, text);
    MSG_SET(&o->out, RES(ERROR_RESPONSE), error_response, &o->error);
}

static void say_file(struct one *o, const struct proto_file *f)
{
    o->file.file_descriptor_proto = (struct str *)(uintptr_t)&f->bytes; /* only read */
    o->file.file_descriptor_proto_n = 1;
    MSG_SET(&o->out, RES(FILE_DESCRIPTOR_RESPONSE), file_descriptor_response, &o->file);
}

static const struct proto_file *file_of(struct str name, bool is_symbol)
{
    for (size_t i = 0; i < proto_file_n; i++) {
        const struct proto_file *f = &proto_files[i];

        if (!is_symbol && str_eq(name, str_cstr(f->name))) {
            return f;
        }
        for (const char *const *s = f->symbols; is_symbol && *s; s++) {
            if (str_eq(name, str_cstr(*s))) {
                return f;
            }
        }
    }
    return NULL;
}

/* False: memory is out. */
static bool say_services(struct one *o, struct arena *a)
{
    struct grpc_reflection_v1_service_response *rows;
    size_t n = 1, at = 0;

    for (size_t i = 0; i < proto_file_n; i++) {
        for (const char *const *s = proto_files[i].services; *s; s++) {
            n++;
        }
    }
    rows = ARENA_ARRAY(a, struct grpc_reflection_v1_service_response, n);
    if (!rows) {
        return false;
    }
    for (size_t i = 0; i < proto_file_n; i++) {
        for (const char *const *s = proto_files[i].services; *s; s++, at++) {
            MSG_SET(&rows[at], GRPC_REFLECTION_V1_SERVICE_RESPONSE_HAS_NAME, name, str_cstr(*s));
        }
    }
    MSG_SET(&rows[at], GRPC_REFLECTION_V1_SERVICE_RESPONSE_HAS_NAME, name, str_cstr(alpha_name));
    o->list.service = rows;
    o->list.service_n = n;
    MSG_SET(&o->out, RES(LIST_SERVICES_RESPONSE), list_services_response, &o->list);
    return true;
}

static enum status answer_one(struct grpc_call *c, struct str message, struct err *err)
{
    struct grpc_reflection_v1_server_reflection_request in;
    struct msg_ctx ctx = { .arena = c->scratch };
    struct buf b = BUF_INIT(ANSWER_MAX);
    struct one o = { 0 };
    enum status st =
        msg_decode_pb(&grpc_reflection_v1_server_reflection_request_desc, &in, message, &ctx, err);
    const struct proto_file *f;

    if (st) {
        return st;
    }
    MSG_SET(&o.out, RES(ORIGINAL_REQUEST), original_request, &in);
    if (in.has & REQ(HOST)) {
        MSG_SET(&o.out, RES(VALID_HOST), valid_host, in.host);
    }
    if (in.has & (REQ(FILE_BY_FILENAME) | REQ(FILE_CONTAINING_SYMBOL))) {
        bool by_symbol = (in.has & REQ(FILE_CONTAINING_SYMBOL)) != 0;

        f = file_of(by_symbol ? in.file_containing_symbol : in.file_by_filename, by_symbol);
        if (f) {
            say_file(&o, f);
        } else {
            say_error(&o, CODE_NOT_FOUND, by_symbol ? S("symbol not found") : S("file not found"));
        }
    } else if (in.has & (REQ(FILE_CONTAINING_EXTENSION) | REQ(ALL_EXTENSION_NUMBERS_OF_TYPE))) {
        say_error(&o, CODE_NOT_FOUND, S("there are no extensions"));
    } else if (!(in.has & REQ(LIST_SERVICES))) {
        say_error(&o, CODE_UNIMPLEMENTED, S("the question is not known"));
    } else if (!say_services(&o, c->scratch)) {
        return err_nomem(err);
    }
    msg_encode_pb(&b, &grpc_reflection_v1_server_reflection_response_desc, &o.out);
    st = buf_status(&b, "answer", err);
    if (!st) grpc_call_say(c, buf_str(&b));
    buf_release(&b);
    return st;
}

/* A question is answered as it comes: clients ask the next one by what they have heard. */
static void on_message(struct grpc_call *c, struct str message)
{
    struct err err = ERR_INIT;
    enum status st = answer_one(c, message, &err);

    if (st) {
        grpc_call_end(c, st, &err);
    } else {
        grpc_call_next(c);
    }
}

static void on_rest(struct grpc_call *c)
{
    grpc_call_end(c, OK, NULL);
}

static void reflect(struct call *c)
{
    static const struct grpc_call_ops ops = { .message = on_message, .rest = on_rest };
    struct grpc_call *g = ARENA_NEW(c->arena, struct grpc_call);
    enum status st =
        g ? grpc_call_start(g, c->req, GRPC_MESSAGE_MAX, &ops, &c->err) : err_nomem(&c->err);

    if (st) {
        call_error(c, st, &c->err);
    }
}

#define METHOD(version)                                                                            \
    GRPC_STREAM("/grpc.reflection." version ".ServerReflection/ServerReflectionInfo",              \
                &grpc_reflection_v1_server_reflection_request_desc,                                \
                &grpc_reflection_v1_server_reflection_response_desc, RESOURCE_SERVER,              \
                ACTION_PUBLIC, reflect)

const struct route grpc_reflection_routes[] = { METHOD("v1"), METHOD("v1alpha") };
const size_t grpc_reflection_routes_n = ARRAY_N(grpc_reflection_routes);
