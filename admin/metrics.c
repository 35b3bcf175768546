/* metrics.c - the walk over all numbers. Names come from the tables of base/stats.h, base/spread.h and admin/metrics_table.h:
 *     counter NAME    ringmq_NAME{shard="0"}        gauge NAME    ringmq_NAME{shard="0"}
 *     histogram NAME  ringmq_NAME_UNIT{shard="0"}, with bounds that are powers of two (of a nanosecond, or of one) */
#include "admin/metrics.h"

#include <stdarg.h>
#include <stdio.h>

#include "admin/accounts.h"
#include "admin/alarms.h"
#include "admin/listeners.h"
#include "admin/metrics_table.h"
#include "admin/numbers.h"
#include "admin/otlp.h"
#include "admin/process.h"
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/report.h"

#define NAME_BYTES_MAX 128

const char *const metrics_type_names[] = {[METRICS_GAUGE] = "gauge", [METRICS_COUNTER] = "counter", [METRICS_HISTOGRAM] = "histogram"};

/* ---- telling ---------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *unit)
{
    size_t bytes = strlen(name), unit_bytes = strlen(unit);
    return bytes > unit_bytes && strcmp(name + bytes - unit_bytes, unit) == 0 && name[bytes - unit_bytes - 1] == '_';
}

static void begin(struct metrics_walk *walk, const char *name, enum metrics_type type, const char *says)
{
    struct metrics_family family = {.name = name, .type = type, .says = says, .unit = ends_with(name, "seconds") ? "seconds" : ends_with(name, "bytes") ? "bytes" : ""};
    walk->writer->family(walk->writer, &family);
}

void metrics_family_begin(struct metrics_walk *walk, const char *name)
{
#define FAMILY(type, its_name, labels, says) \
    if (strcmp(name, #its_name) == 0) return begin(walk, name, METRICS_##type, says);
    METRICS_TABLE(FAMILY)
#undef FAMILY
    UNREACHABLE("a family that is not in the table");
}

void metrics_put_point(struct metrics_walk *walk, struct metrics_point *point)
{
    if (!point->since_unix_ms) point->since_unix_ms = walk->since_unix_ms;
    walk->writer->point(walk->writer, point);
}

static void labels_take(struct metrics_point *point, va_list arguments)
{
    for (const char *name; (name = va_arg(arguments, const char *));) {
        CHECK(point->labels_count < METRICS_LABELS_MAX);
        point->labels[point->labels_count++] = (struct metrics_label){name, va_arg(arguments, const char *)};
    }
}

void metrics_put(struct metrics_walk *walk, uint64_t value, ...)
{
    struct metrics_point point = {.whole = true, .integer = value};
    va_list arguments;
    va_start(arguments, value);
    labels_take(&point, arguments);
    va_end(arguments);
    metrics_put_point(walk, &point);
}

void metrics_put_number(struct metrics_walk *walk, double value, ...)
{
    struct metrics_point point = {.number = value};
    va_list arguments;
    va_start(arguments, value);
    labels_take(&point, arguments);
    va_end(arguments);
    metrics_put_point(walk, &point);
}

/* A family of one point without labels. */
static void single(struct metrics_walk *walk, const char *name, uint64_t value)
{
    metrics_family_begin(walk, name);
    metrics_put(walk, value, NULL);
}

static void single_number(struct metrics_walk *walk, const char *name, double value)
{
    metrics_family_begin(walk, name);
    metrics_put_number(walk, value, NULL);
}

/* ---- histograms ------------------------------------------------------------------------------------------------- */

/* Powers of two from 1 µs to 17 s; counts of things from 4 to 16384. */
#define COUNTS_FIRST_POWER 2
#define COUNTS_LAST_POWER  14

static void exemplar_take(struct metrics_exemplar *shown, const struct exemplars *exemplars, uint32_t place, uint64_t exemplars_now_ms)
{
    struct exemplar exemplar;
    if (!exemplars_get(exemplars, place, &exemplar)) return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t ago_ms = exemplars_now_ms > exemplar.at_ms ? exemplars_now_ms - exemplar.at_ms : 0;
    *shown = (struct metrics_exemplar){.given = true, .value = (double)exemplar.value_ns * 1e-9, .unix_ms = now_unix_ms - ago_ms};
    memcpy(shown->topic, exemplar.names.topic, exemplar.names.topic_bytes);
    memcpy(shown->client_id, exemplar.names.client, exemplar.names.client_bytes);
}

void metrics_put_spread(struct metrics_walk *walk, const struct spread *spread, bool seconds, const struct exemplars *exemplars, uint64_t exemplars_now_ms,
                        const struct metrics_label *labels, uint32_t labels_count, uint64_t since_unix_ms)
{
    struct metrics_buckets buckets = {0};
    struct metrics_point point = {.buckets = &buckets, .labels_count = labels_count, .since_unix_ms = since_unix_ms};
    uint32_t first = seconds ? EXEMPLAR_FIRST_POWER : COUNTS_FIRST_POWER, last = seconds ? EXEMPLAR_LAST_POWER : COUNTS_LAST_POWER, bucket = 0;
    double unit = seconds ? 1e-9 : 1;
    CHECK(labels_count <= METRICS_LABELS_MAX);
    if (labels_count) memcpy(point.labels, labels, labels_count * sizeof *labels);
    for (uint32_t power = first; power <= last; power++) {
        uint32_t place = power - first;
        buckets.bounds[place] = (double)(1ull << power) * unit;
        while (bucket < SPREAD_BUCKETS && spread_bound(bucket) <= 1ull << power)
            buckets.counts[place] += spread->buckets[bucket++];
        buckets.count += buckets.counts[place];
    }
    buckets.bounds_count = last - first + 1;
    while (bucket < SPREAD_BUCKETS)
        buckets.counts[buckets.bounds_count] += spread->buckets[bucket++];
    buckets.count += buckets.counts[buckets.bounds_count];
    buckets.sum = (double)spread->sum * unit;
    for (uint32_t place = 0; seconds && exemplars && walk->writer->exemplars && place < EXEMPLAR_PLACES; place++)
        if (buckets.counts[place]) exemplar_take(&buckets.exemplars[place], exemplars, place, exemplars_now_ms); /* it may be newer than the counts */
    metrics_put_point(walk, &point);
}

void metrics_histogram_name(enum spread_kind kind, char *ret_name, size_t bytes)
{
    bool has_unit = ends_with(spread_names[kind], spread_units[kind]);
    snprintf(ret_name, bytes, "ringmq_%s%s%s", spread_names[kind], has_unit ? "" : "_", has_unit ? "" : spread_units[kind]);
}

static const struct exemplars *exemplars_of(const struct shard *shard, enum spread_kind kind)
{
    if (kind == SPREAD_stage_route) return &shard->exemplars[SHARD_EXEMPLARS_stage_route];
    return kind == SPREAD_publish_to_send ? &shard->exemplars[SHARD_EXEMPLARS_publish_to_send] : NULL;
}

static void walk_histograms(struct metrics_walk *walk, const struct broker *broker)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* the shards' clock */
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (int kind = 0; kind < SPREADS; kind++) {
        char name[NAME_BYTES_MAX];
        bool seconds = strcmp(spread_units[kind], "seconds") == 0;
        metrics_histogram_name((enum spread_kind)kind, name, sizeof name);
        begin(walk, name, METRICS_HISTOGRAM, spread_documentation[kind]);
        for (uint32_t s = 0; s < broker->shards_count; s++) {
            const struct shard *shard = broker->shards[s]->shard;
            struct spread histogram = {0};
            char number[12];
            snprintf(number, sizeof number, "%u", s);
            struct metrics_label label = {"shard", number};
            if (shard) spread_add(&histogram, &shard->spreads[kind]);
            metrics_put_spread(walk, &histogram, seconds, shard ? exemplars_of(shard, (enum spread_kind)kind) : NULL, now_ms, &label, 1, 0);
        }
    }
}

/* ---- shards ----------------------------------------------------------------------------------------------------- */

static void walk_counters(struct metrics_walk *walk, const struct broker *broker)
{
    struct stats *all = memory_acquire_zeroed(broker->shards_count * sizeof *all);
    for (uint32_t s = 0; s < broker->shards_count; s++)
        shard_numbers(broker, s, &all[s]);
    for (uint32_t i = 0; i < STATS_COUNT; i++) {
        char name[NAME_BYTES_MAX], number[12];
        snprintf(name, sizeof name, "ringmq_%s", stats_names[i]);
        begin(walk, name, stats_is_gauge(i) ? METRICS_GAUGE : METRICS_COUNTER, stats_says(i));
        for (uint32_t s = 0; s < broker->shards_count; s++) {
            snprintf(number, sizeof number, "%u", s);
            metrics_put(walk, ((const uint64_t *)&all[s])[i], "shard", number, NULL);
        }
    }
    memory_release(all);
}

static void walk_cpu(struct metrics_walk *walk, const struct broker *broker)
{
    metrics_family_begin(walk, "ringmq_shard_cpu_seconds");
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        char number[12];
        snprintf(number, sizeof number, "%u", s);
        metrics_put_number(walk, shard_cpu_seconds(broker, s), "shard", number, NULL);
    }
    metrics_family_begin(walk, "ringmq_shard_admin_seconds");
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        char number[12];
        snprintf(number, sizeof number, "%u", s);
        metrics_put_number(walk, (double)stats_read(&broker->shards[s]->inspect_ns) * 1e-9, "shard", number, NULL);
    }
}

/* ---- listeners -------------------------------------------------------------------------------------------------- */

struct listener_row {
    const char *family, *reason;
    enum listener_event event;
};

static const struct listener_row listener_rows[] = {
    {"ringmq_listener_accepted", NULL, LISTENER_accepted},
    {"ringmq_listener_refused", "too_many", LISTENER_refused_too_many},
    {"ringmq_listener_refused", "no_descriptor", LISTENER_refused_no_descriptor},
    {"ringmq_listener_refused", "address", LISTENER_refused_address},
    {"ringmq_listener_refused", "proxy", LISTENER_refused_proxy},
    {"ringmq_listener_failed", "handshake_timeout", LISTENER_handshake_timeouts},
    {"ringmq_listener_failed", "protocol", LISTENER_filter_errors},
    {"ringmq_listener_failed", "connect_timeout", LISTENER_connect_timeouts},
    {"ringmq_listener_clients_accepted", NULL, LISTENER_clients_accepted},
    {"ringmq_listener_clients_refused", NULL, LISTENER_clients_refused},
};
_Static_assert(sizeof listener_rows / sizeof *listener_rows == LISTENER_EVENTS, "one row an event");

static bool walk_listeners(struct metrics_walk *walk)
{
    uint32_t count;
    struct listener_picture *listeners = listeners_picture(walk->admin, &count);
    if (!listeners) return false;
    metrics_family_begin(walk, "ringmq_listener_connections");
    for (uint32_t i = 0; i < count; i++)
        metrics_put(walk, listeners[i].connections, "listener", listeners[i].id, NULL);
    metrics_family_begin(walk, "ringmq_listener_up");
    for (uint32_t i = 0; i < count; i++)
        if (listeners[i].enable) metrics_put(walk, listeners[i].running, "listener", listeners[i].id, NULL);
    const char *family = "";
    for (size_t r = 0; r < sizeof listener_rows / sizeof *listener_rows; r++) {
        const struct listener_row *row = &listener_rows[r];
        if (strcmp(family, row->family) != 0) metrics_family_begin(walk, row->family);
        family = row->family;
        for (uint32_t i = 0; i < count; i++)
            if (listeners[i].enable) metrics_put(walk, listeners[i].events[row->event], "listener", listeners[i].id, row->reason ? "reason" : NULL, row->reason, NULL);
    }
    memory_release(listeners);
    return true;
}

/* ---- others ----------------------------------------------------------------------------------------------------- */

static void walk_alarms(struct metrics_walk *walk)
{
    struct alarm *alarms = memory_acquire(ALARMS_MAX * sizeof *alarms);
    uint32_t count, by_kind[ALARM_KINDS] = {0};
    alarms_list(admin_alarms(walk->admin), true, 0, alarms, ALARMS_MAX, &count);
    for (uint32_t i = 0; i < count; i++)
        by_kind[alarms[i].kind]++;
    memory_release(alarms);
    metrics_family_begin(walk, "ringmq_alarms");
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        metrics_put(walk, by_kind[kind], "alarm", alarm_names[kind], NULL);
}

static void walk_store(struct metrics_walk *walk, const struct broker *broker)
{
    struct reserve_report room;
    durable_room(broker, &room);
    single(walk, "ringmq_store_full", room.full);
    single(walk, "ringmq_store_disk_free_bytes", room.free_bytes);
    single(walk, "ringmq_store_disk_reserve_bytes", room.reserve_bytes);
}

static void walk_otlp(struct metrics_walk *walk)
{
    struct otlp_counts counts;
    otlp_counts(admin_otlp(walk->admin), &counts);
    metrics_family_begin(walk, "ringmq_otlp_requests");
    metrics_put(walk, counts.accepted, "result", "accepted", NULL);
    metrics_put(walk, counts.partial, "result", "partial", NULL);
    metrics_put(walk, counts.retried, "result", "retried", NULL);
    metrics_put(walk, counts.given_up, "result", "given_up", NULL);
    single(walk, "ringmq_otlp_points_rejected", counts.points_rejected);
    single(walk, "ringmq_otlp_sent_bytes", counts.sent_bytes);
    single_number(walk, "ringmq_otlp_last_success_timestamp_seconds", (double)counts.last_success_unix_ms / 1000);
}

static void walk_admin(struct metrics_walk *walk)
{
    struct http_counts counts;
    struct accounts_counts accounts;
    struct http_server *server = admin_server(walk->admin);
    accounts_counts(admin_auth(walk->admin), &accounts);
    single(walk, "ringmq_admin_logins_failed", accounts.logins_failed);
    single(walk, "ringmq_admin_keys_refused", accounts.keys_refused);
    if (!server) return; /* just being started */
    http_counts(server, &counts);
    metrics_family_begin(walk, "ringmq_admin_requests");
    for (int hundred = 2; hundred <= 5; hundred++) {
        char status[8];
        snprintf(status, sizeof status, "%dxx", hundred);
        metrics_put(walk, counts.answers[hundred], "status", status, NULL);
    }
    single(walk, "ringmq_admin_connections", counts.connections_accepted);
    single(walk, "ringmq_admin_connections_refused", counts.connections_refused);
    single(walk, "ringmq_admin_timeouts", counts.timeouts);
    single(walk, "ringmq_admin_connections_open", counts.connections);
    single(walk, "ringmq_admin_streams_open", counts.streams);
}

static void walk_process(struct metrics_walk *walk)
{
    single_number(walk, "process_cpu_seconds", process_cpu_seconds());
    single(walk, "process_resident_memory_bytes", process_resident_bytes());
    single(walk, "process_open_fds", process_open_files());
    single_number(walk, "process_start_time_seconds", (double)walk->since_unix_ms / 1000);
}

bool metrics_walk(struct admin *admin, struct metrics_writer *writer)
{
    const struct broker *broker = admin_broker(admin);
    struct metrics_walk walk = {.writer = writer, .admin = admin, .since_unix_ms = admin_started_unix_ms(admin)};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    metrics_family_begin(&walk, "ringmq_build_info");
    metrics_put(&walk, 1, "version", RINGMQ_VERSION, "node", admin_node_name(admin), NULL);
    single_number(&walk, "ringmq_uptime_seconds", (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)walk.since_unix_ms / 1000);
    single(&walk, "ringmq_shards", broker->shards_count);
    walk_counters(&walk, broker);
    walk_histograms(&walk, broker);
    walk_cpu(&walk, broker);
    metrics_walk_reasons(&walk);
    bool whole = walk_listeners(&walk);
    metrics_walk_features(&walk);
    walk_alarms(&walk);
    walk_store(&walk, broker);
    walk_otlp(&walk);
    walk_admin(&walk);
    walk_process(&walk);
    return whole;
}
