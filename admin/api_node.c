/* api_node.c - the process and its counters. */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "admin/alarms.h"
#include "admin/api.h"
#include "admin/numbers.h"
#include "admin/process.h"
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static json_int_t uptime_s(struct admin *admin)
{
    uint64_t now_ms = unix_ms(), started_ms = admin_started_unix_ms(admin);
    return now_ms > started_ms ? (json_int_t)((now_ms - started_ms) / 1000) : 0;
}

void api_get_status(struct api_call *call)
{
    api_reply(call, json_pack("{s:s, s:s}", "status", "running", "node", admin_node_name(call->admin)));
}

void api_list_nodes(struct api_call *call)
{
    struct stats stats;
    node_numbers(admin_broker(call->admin), &stats);
    json_t *node = json_pack("{s:s, s:s, s:s, s:i, s:I, s:o, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:o}", "node", admin_node_name(call->admin), "version",
                             RINGMQ_VERSION, "status", "running", "pid", (int)getpid(), "uptime_s", uptime_s(call->admin), "started_at",
                             api_time(admin_started_unix_ms(call->admin)), "shards", (int)admin_broker(call->admin)->shards_count, "connections",
                             (json_int_t)stats.connections, "clients", (json_int_t)stats.clients_connected, "sessions", (json_int_t)stats.sessions,
                             "subscriptions", (json_int_t)stats.subscriptions, "retained", (json_int_t)stats.retained_messages, "memory_bytes",
                             (json_int_t)process_resident_bytes(), "cpu_seconds", process_cpu_seconds(), "open_files", (json_int_t)process_open_files(),
                             "data_dir", api_string(span_of_string(admin_data_dir(call->admin))));
    api_reply(call, json_pack("{s:[o]}", "data", node));
}

/* ---- counters --------------------------------------------------------------------------------------------------- */

static json_t *counters_json(const struct stats *stats)
{
    json_t *object = json_object();
    const uint64_t *counters = (const uint64_t *)stats;
    for (uint32_t i = 0; i < STATS_COUNT; i++)
        json_object_set_new(object, stats_names[i], json_integer((json_int_t)counters[i]));
    return object;
}

/* The bounds of the buckets are powers of two: four of the histogram's make one here. */
static json_t *histogram_json(const struct broker *broker, enum spread_kind kind)
{
    struct spread histogram;
    node_spread(broker, kind, &histogram);
    double unit = strcmp(spread_units[kind], "seconds") == 0 ? 1e-9 : 1;
    uint64_t total = spread_total(&histogram);
    json_t *bounds = json_array(), *counts = json_array();
    uint32_t last = SPREAD_BUCKETS;
    while (last > 4 && histogram.buckets[last - 1] == 0)
        last--;
    last = (last + 3) / 4 * 4;
    for (uint32_t i = 0; i < last; i += 4) {
        uint64_t count = 0;
        for (uint32_t b = i; b < i + 4; b++)
            count += histogram.buckets[b];
        json_array_append_new(bounds, json_real((double)spread_bound(i + 3) * unit));
        json_array_append_new(counts, json_integer((json_int_t)count));
    }
    json_array_append_new(counts, json_integer(0));
    return json_pack("{s:s, s:s, s:o, s:o, s:f, s:I, s:o, s:o}", "name", spread_names[kind], "unit", spread_units[kind], "bounds", bounds, "counts", counts,
                     "sum", (double)histogram.sum * unit, "count", (json_int_t)total, "p50",
                     total ? json_real(spread_quantile(&histogram, 0.5) * unit) : json_null(), "p99",
                     total ? json_real(spread_quantile(&histogram, 0.99) * unit) : json_null());
}

static json_t *stats_json(struct admin *admin)
{
    const struct broker *broker = admin_broker(admin);
    struct stats sum = {0}, one;
    json_t *shards = json_array(), *histograms = json_array();
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        if (!shard_numbers(broker, s, &one)) continue;
        stats_add(&sum, &one);
        json_array_append_new(shards, json_pack("{s:i, s:f, s:o}", "shard", (int)s, "cpu_seconds", shard_cpu_seconds(broker, s), "counters", counters_json(&one)));
    }
    for (int kind = 0; kind < SPREADS; kind++)
        json_array_append_new(histograms, histogram_json(broker, (enum spread_kind)kind));
    return json_pack("{s:o, s:I, s:o, s:o, s:o}", "at", api_time(unix_ms()), "uptime_s", uptime_s(admin), "counters", counters_json(&sum), "shards", shards,
                     "histograms", histograms);
}

void api_get_stats(struct api_call *call) { api_reply(call, stats_json(call->admin)); }

void api_get_metrics(struct api_call *call)
{
    struct stats sum;
    node_numbers(admin_broker(call->admin), &sum);
    api_reply(call, json_pack("{s:o}", "counters", counters_json(&sum)));
}

/* ---- the stream ------------------------------------------------------------------------------------------------- */

/* A login that ends takes its streams along: each event is a use of it, and asks as a request does. */
struct stream {
    struct admin *admin;
    char peer[HTTP_PEER_BYTES_MAX];
    size_t authorization_bytes;
    char authorization[]; /* the request's header */
};

static bool stream_piece(void *context, struct http_text *ret_piece)
{
    struct stream *stream = context;
    struct accounts_identity who;
    struct span header = span_of(stream->authorization, stream->authorization_bytes);
    if (accounts_check_header(admin_auth(stream->admin), header, stream->peer, &who) != ACCOUNTS_OK || who.role < ROLE_VIEWER) return false;
    json_t *value = stats_json(stream->admin);
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(value);
    CHECK(text);
    http_text_add(ret_piece, "event: stats\ndata: ", 19);
    http_text_add(ret_piece, text, strlen(text));
    http_text_add(ret_piece, "\n\n", 2);
    free(text);
    return true;
}

static void stream_over(void *context)
{
    struct stream *stream = context;
    explicit_bzero(stream->authorization, stream->authorization_bytes);
    memory_release(stream);
}

void api_stream_stats(struct api_call *call)
{
    struct span header = http_header_find(call->exchange->request, "authorization");
    struct stream *stream = memory_acquire_zeroed(sizeof *stream + header.bytes);
    stream->admin = call->admin;
    strcpy(stream->peer, call->exchange->peer);
    stream->authorization_bytes = header.bytes;
    if (header.bytes) memcpy(stream->authorization, header.data, header.bytes);
    call->answered = true;
    http_stream(call->exchange, "text/event-stream; charset=utf-8", (uint32_t)api_number(call, "interval_ms"), stream_piece, stream_over, stream);
}

/* ---- alarms ----------------------------------------------------------------------------------------------------- */

static json_t *alarm_json(const struct alarm *alarm)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "name", alarm_names[alarm->kind], "severity", alarm_severity_names[alarm->severity], "message",
                     api_string(span_of_string(alarm->message)), "subject", alarm->subject[0] ? api_string(span_of_string(alarm->subject)) : json_null(),
                     "activated_at", api_time(alarm->raised_unix_ms), "deactivated_at", api_time(alarm->cleared_unix_ms));
}

void api_list_alarms(struct api_call *call)
{
    bool raised = api_number(call, "activated") != 0;
    uint64_t page = (uint64_t)api_number(call, "page"), limit = (uint64_t)api_number(call, "limit"), first = (page - 1) * limit;
    uint32_t max = limit < ALARMS_HISTORY_MAX ? (uint32_t)limit : ALARMS_HISTORY_MAX, count;
    struct alarm *alarms = memory_acquire(max * sizeof *alarms);
    uint32_t all = alarms_list(admin_alarms(call->admin), raised, first < UINT32_MAX ? (uint32_t)first : UINT32_MAX, alarms, max, &count);
    json_t *data = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(data, alarm_json(&alarms[i]));
    memory_release(alarms);
    api_reply(call, json_pack("{s:o, s:{s:I, s:I, s:I, s:b}}", "data", data, "meta", "page", (json_int_t)page, "limit", (json_int_t)limit, "count", (json_int_t)all,
                              "hasnext", first + count < all));
}

void api_delete_alarms(struct api_call *call)
{
    alarms_forget(admin_alarms(call->admin));
    api_done(call);
}
