/* server/cmd_health.c - cairn server health: asks a server over gRPC, as a balancer or an orchestrator would. */
#include "cli/api.h"
#include "cli/out.h"
#include "cli/render.h"
#include "gen/grpc/health.h"
#include "net/client/grpc.h"
#include "net/loop.h"
#include "server/commands_int.h"
#include <stdio.h>

enum { ANSWER_MAX = 4096 };

static const char *name_of(int32_t status)
{
    switch (status) {
    case GRPC_HEALTH_V1_SERVING_STATUS_SERVING: return "SERVING";
    case GRPC_HEALTH_V1_SERVING_STATUS_NOT_SERVING: return "NOT_SERVING";
    case GRPC_HEALTH_V1_SERVING_STATUS_SERVICE_UNKNOWN: return "SERVICE_UNKNOWN";
    default: return "UNKNOWN";
    }
}

struct health {
    struct cli *cli;
    const struct health_flags *flags;
    struct str address, request;
    struct render render;
    int32_t status;
};

/* Shows one answer. */
static enum status show(struct health *h, struct str answer, struct err *err)
{
    struct grpc_health_v1_health_check_response out;
    struct msg_ctx ctx = { .arena = h->cli->arena };
    struct cell cells[3];
    enum status st =
        msg_decode_pb(&grpc_health_v1_health_check_response_desc, &out, answer, &ctx, err);

    if (st) {
        return st;
    }
    h->status = out.status;
    if (h->flags->watch && h->cli->format <= CLI_WIDE) { /* at once, not at the end */
        out_printf(OUT_STDOUT, "%s\n", name_of(out.status));
        return OK;
    }
    cells[0] = cell_text(str_cstr(name_of(out.status)));
    cells[1] = cell_text(h->flags->service ? str_cstr(h->flags->service) : S(""));
    cells[2] = cell_text(h->address);
    return render_row(&h->render, cells, err);
}

static enum status watch(struct health *h, struct grpc_client *g, struct err *err)
{
    struct grpc_stream *s = NULL;
    struct err why = ERR_INIT;
    struct str answer;
    enum status st = grpc_open(g, "/grpc.health.v1.Health/Watch", 0, &s, err);

    if (!st && grpc_send(s, h->request, &why) == OK) { /* where that fails grpc_recv() says why */
        IGNORE_STATUS(grpc_send_end(s, &why));
    }
    while (!st) {
        st = grpc_recv(s, &answer, err);
        st = st ? st : show(h, answer, err);
    }
    grpc_drop(s);
    return st == ST_END ? OK : st;
}

static enum status ask(struct health *h, const struct grpc_dial *dial, struct err *err)
{
    struct grpc_client *g = NULL;
    struct str answer;
    enum status st = grpc_dial(&g, dial, err);

    if (!st && h->flags->watch) {
        st = watch(h, g, err);
    } else if (!st) {
        st = grpc_unary(g, "/grpc.health.v1.Health/Check", h->request, h->flags->timeout_ms,
                        h->cli->arena, &answer, err);
        st = st ? st : show(h, answer, err);
    }
    grpc_close(g);
    return st;
}

/* The address that was named, or the server that other commands ask. */
static enum status find_target(struct health *h, struct grpc_dial *dial, struct err *err)
{
    struct target t;
    enum status st;

    if (h->cli->arg_n > 0) {
        dial->target = h->cli->args[0];
        return OK;
    }
    st = api_target(h->cli, &t, err);
    if (st) {
        return st;
    }
    dial->token = t.token;
    dial->target = t.socket ? arena_printf(h->cli->arena, "unix:%s", t.socket).p : t.url;
    return dial->target ? OK : err_nomem(err);
}

int command_health(struct cli *cli)
{
    static const struct column columns[] = {
        { "status", "STATUS", COLUMN_NAME },
        { "service", "SERVICE", 0 },
        { "address", "ADDRESS", 0 },
    };
    const struct health_flags *flags = cli->options;
    struct health h = { .cli = cli, .flags = flags };
    struct grpc_dial dial = { .ca_file = flags->ca_file,
                              .connect_ms = flags->timeout_ms,
                              .message_max = ANSWER_MAX };
    struct grpc_health_v1_health_check_request in = { 0 };
    struct buf request = BUF_INIT(ANSWER_MAX);
    struct err err = ERR_INIT;
    enum status st;

    net_init();
    if (flags->service) {
        MSG_SET(&in, GRPC_HEALTH_V1_HEALTH_CHECK_REQUEST_HAS_SERVICE, service,
                str_cstr(flags->service));
    }
    msg_encode_pb(&request, &grpc_health_v1_health_check_request_desc, &in);
    h.request = buf_str(&request);
    st = buf_status(&request, "request", &err);
    st = st ? st : find_target(&h, &dial, &err);
    st = st ? st : render_begin(&h.render, cli, columns, ARRAY_N(columns), !flags->watch, &err);
    if (!st) {
        h.address = str_cstr(dial.target);
        st = ask(&h, &dial, &err);
        if (!st) render_end(&h.render);
    }
    buf_release(&request);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    return h.status == GRPC_HEALTH_V1_SERVING_STATUS_SERVING ? CLI_DONE : CLI_CONDITION;
}
