/* server/figures.c - counters of every layer, named for Prometheus. */
#include "server/figures.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/num.h"
#include "core/collect.h"
#include "core/repack.h"
#include "core/scrub.h"
#include "core/store_info.h"
#include "engine/emit.h"
#include "store/seq.h"
#include <inttypes.h>
#include <unistd.h>

enum { STATM_MAX = 256, ARENA_MAX = 64 * 1024 };

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
    head(b, name, type, help);
    buf_printf(b, "%s %" PRIu64 "\n", name, v);
}

static void seconds(struct buf *b, const char *name, const char *type, const char *help, int64_t ns)
{
    head(b, name, type, help);
    buf_printf(b, "%s %" PRId64 ".%06" PRId64 "\n", name, ns / 1000000000, ns / 1000 % 1000000);
}

static void put_answers(struct buf *b, const struct api *api)
{
    static const char *const areas[RESOURCE_N] = {
        [RESOURCE_SERVER] = "server", [RESOURCE_EXPERIMENT] = "experiment", [RESOURCE_RUN] = "run",
        [RESOURCE_MODEL] = "model",   [RESOURCE_ARTIFACT] = "artifact",
    };

    head(b, "cairn_http_requests_total", "counter",
         "Answers by what the route is about and class of status.");
    for (int r = 0; r < RESOURCE_N; r++) {
        for (unsigned c = 0; c < 6; c++) {
            uint64_t n = 0;

            for (unsigned i = 0; i < LOOP_MAX; i++) {
                n += atomic_load_explicit(&api->turns[i].answers[r][c], memory_order_relaxed);
            }

            if (n || c == 2) {
                buf_printf(
                    b, "cairn_http_requests_total{area=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                    areas[r],
                    c ? (const char *[]){ "1xx", "2xx", "3xx", "4xx", "5xx" }[c - 1] : "gone", n);
            }
        }
    }
}

static void put_http(struct buf *b, const struct http_server *http)
{
    struct net_figures f = { .accepted = 0 };
    uint64_t sum = 0;

    http_server_metrics(http, &f);
    head(b, "cairn_http_request_seconds", "histogram",
         "Time from the head of a request to the last byte of its answer.");
    for (unsigned i = 0; i < NET_BUCKET_N; i++) {
        uint64_t us = net_bucket_us(i);

        sum += f.latency[i];
        if (us == UINT64_MAX) {
            buf_printf(b, "cairn_http_request_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", sum);
        } else {
            buf_printf(b,
                       "cairn_http_request_seconds_bucket{le=\"%" PRIu64 ".%06" PRIu64
                       "\"} %" PRIu64 "\n",
                       us / 1000000, us % 1000000, sum);
        }
    }
    buf_printf(b, "cairn_http_request_seconds_sum %" PRIu64 ".%06" PRIu64 "\n",
               f.latency_us / 1000000, f.latency_us % 1000000);
    buf_printf(b, "cairn_http_request_seconds_count %" PRIu64 "\n", sum);
    one(b, "cairn_http_requests_in_work", "gauge", "Requests that are not answered yet.",
        f.in_work);
    one(b, "cairn_http_received_bytes_total", "counter", "Bytes read from connections.",
        f.bytes_in);
    one(b, "cairn_http_sent_bytes_total", "counter", "Bytes written to connections.", f.bytes_out);
    one(b, "cairn_http_connections_total", "counter", "Connections accepted.", f.accepted);
    one(b, "cairn_http_connections", "gauge", "Connections that are open.", f.open);
    one(b, "cairn_http_connections_refused_total", "counter", "Connections beyond the limit.",
        f.refused);
    one(b, "cairn_http_bad_heads_total", "counter", "Requests refused before they were one.",
        f.bad_heads);
    one(b, "cairn_http2_connections_total", "counter", "Connections that spoke HTTP/2.",
        f.h2_conns);
    one(b, "cairn_http2_streams_total", "counter", "Requests begun over HTTP/2.", f.h2_streams);
    one(b, "cairn_http2_resets_total", "counter",
        "Requests over HTTP/2 that their clients gave up.", f.h2_resets);
    one(b, "cairn_http2_floods_total", "counter",
        "Connections ended because they sent too many control frames.", f.h2_floods);
}

static void put_store(struct buf *b, struct core *core)
{
    struct seq_stats s;

    seq_stats(core->seq, &s);
    one(b, "cairn_write_queue", "gauge", "Writes that wait for the next commit.", s.waiting);
    one(b, "cairn_write_queue_bytes", "gauge", "Bytes of the requests that wait.", s.waiting_bytes);
    one(b, "cairn_commits_total", "counter", "Groups of writes committed.", s.groups);
    one(b, "cairn_commits_here_total", "counter",
        "Groups of writes committed by the event loop that had read them.", s.here);
    one(b, "cairn_commit_failures_total", "counter", "Groups of writes that did not commit.",
        s.failed_groups);
    one(b, "cairn_writes_total", "counter", "Writes taken into groups.", s.ops);
    one(b, "cairn_points_total", "counter", "Metric points stored.", s.points);
    one(b, "cairn_log_held_bytes", "gauge",
        "Bytes of the log kept for others who have not been told of them.", s.held_bytes);
    one(b, "cairn_drains_total", "counter", "Moves from the log to packs and rows.", s.drains);
    one(b, "cairn_log_bytes", "gauge", "Bytes in the log that a start has to replay.", s.log_bytes);
    one(b, "cairn_replay_bytes", "gauge",
        "What a start would read after a kill now: the log, SQLite's log, packs that runs lack.",
        s.replay_bytes);
    one(b, "cairn_replay_max_bytes", "gauge", "The most of it after any commit since the start.",
        s.replay_max);
    one(b, "cairn_replayed_bytes", "gauge", "What of it this start has read.", s.replayed_bytes);
    seconds(b, "cairn_replay_seconds", "gauge", "How long that took, within the start.",
            s.replay_ns);
}

static void put_memory(struct buf *b, struct core *core)
{
    struct store_memory m;

    store_memory(core, &m);
    one(b, "cairn_memory_in_use_bytes", "gauge", "Memory that the program has allocated.", m.all);
    one(b, "cairn_memory_peak_bytes", "gauge", "The most of it at any time.", m.peak);
    head(b, "cairn_memory_kept_bytes", "gauge",
         "What of it is kept to answer quickly: search columns and runs are the index.");
    buf_printf(b,
               "cairn_memory_kept_bytes{what=\"columns\"} %" PRIu64 "\n"
               "cairn_memory_kept_bytes{what=\"runs\"} %" PRIu64 "\n"
               "cairn_memory_kept_bytes{what=\"keys\"} %" PRIu64 "\n"
               "cairn_memory_kept_bytes{what=\"points\"} %" PRIu64 "\n"
               "cairn_memory_kept_bytes{what=\"answers\"} %" PRIu64 "\n",
               m.columns, m.heads, m.keys, m.tails, m.answers);
}

static void put_packs(struct buf *b, struct core *core)
{
    struct repack_stats s;

    if (!core->repacker) {
        return;
    }
    repack_stats(core->repacker, &s);
    one(b, "cairn_repack_running", "gauge", "Bytes are being moved into packs.", s.running);
    one(b, "cairn_repack_objects_total", "counter", "Objects moved into packs.", s.objects);
    one(b, "cairn_repack_bytes_total", "counter", "Bytes of these objects.", s.bytes);
    one(b, "cairn_repack_new_bytes_total", "counter", "Of these, bytes that no pack had.",
        s.new_bytes);
    one(b, "cairn_repack_delta_bytes_total", "counter",
        "Bytes of these objects that are kept as differences from others.", s.delta_bytes);
    one(b, "cairn_repack_packs_total", "counter", "Packs written.", s.packs);
    one(b, "cairn_repack_pack_bytes_total", "counter", "Bytes of these packs.", s.pack_bytes);
    one(b, "cairn_repack_packs_left_total", "counter", "Packs given up.", s.packs_left);
    one(b, "cairn_repack_damaged_total", "counter", "Objects found damaged.", s.damaged);
    one(b, "cairn_repack_failures_total", "counter", "Rounds that broke off.", s.failed);
}

/* Of the round at work, or the last. */
static void put_scrubbed(struct buf *b, struct core *core)
{
    struct scrub_stats s;

    if (!core->scrubber) {
        return;
    }
    scrub_stats(core->scrubber, &s);
    one(b, "cairn_scrub_running", "gauge", "Stored bytes are being read again.", s.running);
    one(b, "cairn_scrub_bytes", "gauge", "Bytes that the last scrub has read.", s.bytes);
    one(b, "cairn_scrub_damaged", "gauge", "Objects that the last scrub found damaged.", s.damaged);
    one(b, "cairn_scrub_unknown_files", "gauge", "Files that the last scrub found nothing to know.",
        s.unknown);
}

static void put_collected(struct buf *b, struct core *core)
{
    struct collect_stats s;

    if (!core->collector) {
        return;
    }
    collect_stats(core->collector, &s);
    one(b, "cairn_gc_running", "gauge", "Bytes that nothing refers to are being looked for.",
        s.running);
    one(b, "cairn_gc_condemned_total", "counter", "Contents that nothing referred to any more.",
        s.condemned);
    one(b, "cairn_gc_objects_total", "counter", "Contents deleted.", s.objects);
    one(b, "cairn_gc_places_total", "counter", "Places deleted that were given up.", s.places);
    one(b, "cairn_gc_packs_total", "counter", "Packs deleted that nothing named.", s.packs);
    one(b, "cairn_gc_bytes_total", "counter", "Bytes deleted.", s.bytes);
    one(b, "cairn_gc_leases_total", "counter", "Uploads that ended without a file.", s.leases);
    one(b, "cairn_gc_failures_total", "counter", "Steps that failed and are tried again.",
        s.failed);
}

static void put_emitted(struct buf *b, struct emitter *emitter)
{
    struct emit_stats s[EMIT_DESTINATIONS];
    size_t n = emit_stats(emitter, s);
    const struct {
        const char *name, *type, *help;
        size_t off;
    } rows[] = {
        { "cairn_openlineage_sent_total", "counter", "Events that were told.",
          offsetof(struct emit_stats, sent) },
        { "cairn_openlineage_failed_total", "counter", "Tries after which an event had to wait.",
          offsetof(struct emit_stats, failed) },
        { "cairn_openlineage_refused_total", "counter", "Events that were refused, and are kept.",
          offsetof(struct emit_stats, dead) },
        { "cairn_openlineage_lost_rows_total", "counter",
          "Rows of the log that were released before they were told.",
          offsetof(struct emit_stats, lost) },
        { "cairn_openlineage_behind_rows", "gauge", "Rows of the log that are not yet told.",
          offsetof(struct emit_stats, behind) },
    };

    for (size_t r = 0; n > 0 && r < ARRAY_N(rows); r++) {
        head(b, rows[r].name, rows[r].type, rows[r].help);
        for (size_t i = 0; i < n; i++) {
            buf_printf(b, "%s{destination=\"%s\"} %" PRIu64 "\n", rows[r].name, s[i].name,
                       *(const uint64_t *)(const void *)((const char *)&s[i] + rows[r].off));
        }
    }
    if (n > 0) {
        head(b, "cairn_openlineage_behind_seconds", "gauge",
             "How long the oldest event that was read has been waiting.");
    }
    for (size_t i = 0; i < n; i++) {
        buf_printf(
            b, "cairn_openlineage_behind_seconds{destination=\"%s\"} %" PRId64 ".%03" PRId64 "\n",
            s[i].name, s[i].behind_ms / 1000, s[i].behind_ms % 1000);
    }
}

/* Second number of /proc/self/statm: resident pages. */
static uint64_t resident_bytes(void)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct err err = ERR_INIT;
    struct str text, word;
    uint64_t pages = 0;

    if (a && !fs_read_file(a, "/proc/self/statm", STATM_MAX, &text, &err) &&
        str_split(&text, ' ', &word) && str_split(&text, ' ', &word) &&
        !num_parse_u64(word, &pages)) {
        pages = 0;
    }
    arena_free(a);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void figures_put(void *ctx, struct buf *out)
{
    const struct figures *f = ctx;

    head(out, "cairn_build_info", "gauge", "The program.");
    buf_printf(out, "cairn_build_info{version=\"%s\"} 1\n", CAIRN_VERSION);
    put_answers(out, f->api);
    put_http(out, f->http);
    put_store(out, f->api->core);
    put_packs(out, f->api->core);
    put_scrubbed(out, f->api->core);
    put_collected(out, f->api->core);
    put_emitted(out, f->emitter);
    put_memory(out, f->api->core);
    one(out, "process_start_time_seconds", "gauge", "Start of the process.",
        (uint64_t)f->start_ms / 1000);
    one(out, "process_resident_memory_bytes", "gauge", "Memory of the process.", resident_bytes());
    seconds(out, "cairn_start_seconds", "gauge",
            "From the first listening socket to the first answer, replay included.", f->ready_ns);
    one(out, "cairn_uptime_seconds", "gauge", "Time since the start.",
        (uint64_t)MAX_OF(clock_wall_ms() - f->start_ms, (int64_t)0) / 1000);
}
