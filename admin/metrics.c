/* metrics.c - the counters for Prometheus. Names come from the tables of base/stats.h and base/spread.h:
 *     counter NAME    ringmq_NAME_total{shard="0"}        gauge NAME    ringmq_NAME{shard="0"}
 *     histogram NAME  ringmq_NAME_UNIT{shard="0"}, with bounds that are powers of two (of a nanosecond, or of one) */
#include <inttypes.h>
#include <stdio.h>

#include "admin/alarms.h"
#include "admin/listeners.h"
#include "admin/numbers.h"
#include "admin/pages.h"
#include "admin/process.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features.h"

struct writer {
    struct http_text *text;
    bool openmetrics;
    char name[128]; /* of the family at hand, without _total */
};

/* Those that are not in a table. type, name, documentation */
#define OTHERS(X)                                                                                                                  \
    X(gauge, ringmq_build_info, "1; the labels say what runs: version, node")                                                      \
    X(gauge, ringmq_uptime_seconds, "time since the start")                                                                        \
    X(gauge, ringmq_shards, "threads that serve clients")                                                                          \
    X(counter, ringmq_shard_cpu_seconds, "processor time of a shard's thread")                                                     \
    X(gauge, ringmq_listener_connections, "connections that came by a listener")                                                   \
    X(gauge, ringmq_listener_up, "1: the listener is open; 0: it is not, though it is enabled")                                     \
    X(counter, ringmq_feature_passed, "packets a feature had nothing against, by feature and gate")                               \
    X(counter, ringmq_feature_allowed, "packets it authorized")                                                                   \
    X(counter, ringmq_feature_denied, "packets it refused")                                                                       \
    X(counter, ringmq_feature_later, "packets it made wait")                                                                      \
    X(counter, ringmq_feature_overruns, "answers of it that took longer than features.gate_budget")                               \
    X(gauge, ringmq_feature_longest_seconds, "its longest answer")                                                                \
    X(counter, ringmq_sink_delivered, "messages that sinks of features have taken, by sink")                                      \
    X(counter, ringmq_sink_full, "times that a sink was full")                                                                    \
    X(gauge, ringmq_sink_queued, "messages that wait for a sink")                                                                 \
    X(gauge, ringmq_sink_queued_bytes, "their bytes")                                                                             \
    X(counter, ringmq_sink_dropped, "messages for sinks that were dropped, by sink and reason: full, expired, gone")              \
    X(gauge, ringmq_sink_held, "acknowledgements that a sink holds back")                                                         \
    X(counter, ringmq_sink_refused, "messages whose acknowledgement became an error because of a sink")                           \
    X(gauge, ringmq_alarms, "alarms that are raised, by name")                                                                     \
    X(counter, ringmq_admin_requests, "requests to the admin API, by the hundreds of their status")                                \
    X(counter, ringmq_admin_connections, "connections to the admin API")                                                           \
    X(counter, ringmq_admin_connections_refused, "of them: there were too many")                                                   \
    X(counter, ringmq_admin_timeouts, "of them: closed because nothing came or nothing was read in time")                          \
    X(gauge, ringmq_admin_connections_open, "connections to the admin API that are open")                                          \
    X(gauge, ringmq_admin_streams_open, "of them: event streams")                                                                  \
    X(counter, process_cpu_seconds, "processor time of the process")                                                               \
    X(gauge, process_resident_memory_bytes, "resident memory of the process")                                                      \
    X(gauge, process_open_fds, "descriptors in the process's table")                                                               \
    X(gauge, process_start_time_seconds, "when the process started, in seconds since 1970")

static const char *ending(const char *name, const char *unit)
{
    size_t bytes = strlen(name), unit_bytes = strlen(unit);
    return bytes > unit_bytes && strcmp(name + bytes - unit_bytes, unit) == 0 && name[bytes - unit_bytes - 1] == '_' ? unit : NULL;
}

static void family(struct writer *writer, const char *name, const char *type, const char *says)
{
    snprintf(writer->name, sizeof writer->name, "%s", name);
    /* The older format names counters as their samples. */
    const char *total = strcmp(type, "counter") == 0 && !writer->openmetrics ? "_total" : "";
    http_text_print(writer->text, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, total, says, name, total, type);
    const char *unit = ending(name, "bytes") ? "bytes" : ending(name, "seconds");
    if (writer->openmetrics && unit) http_text_print(writer->text, "# UNIT %s %s\n", name, unit);
}

/* Says the family of that name, with its type and documentation from the table. */
static void other(struct writer *writer, const char *name)
{
#define OTHER(type, its_name, says) \
    if (strcmp(name, #its_name) == 0) return family(writer, name, #type, says);
    OTHERS(OTHER)
#undef OTHER
}

static void plain(struct writer *writer, const char *name, const char *ending_of, double value)
{
    other(writer, name);
    http_text_print(writer->text, "%s%s %.17g\n", name, ending_of, value);
}

static void put_label(struct http_text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            http_text_add(text, "\\n", 2);
        else if (*value == '"' || *value == '\\')
            http_text_print(text, "\\%c", *value);
        else
            http_text_add(text, value, 1);
    }
}

/* ---- from the tables -------------------------------------------------------------------------------------------- */

static void write_counters(struct writer *writer, const struct broker *broker)
{
    struct stats *all = memory_acquire_zeroed(broker->shards_count * sizeof *all);
    for (uint32_t s = 0; s < broker->shards_count; s++)
        shard_numbers(broker, s, &all[s]);
    for (uint32_t i = 0; i < STATS_COUNT; i++) {
        char name[128];
        bool gauge = stats_is_gauge(i);
        snprintf(name, sizeof name, "ringmq_%s", stats_names[i]);
        family(writer, name, gauge ? "gauge" : "counter", stats_says(i));
        for (uint32_t s = 0; s < broker->shards_count; s++)
            http_text_print(writer->text, "%s%s{shard=\"%u\"} %" PRIu64 "\n", name, gauge ? "" : "_total", s, ((const uint64_t *)&all[s])[i]);
    }
    memory_release(all);
}

/* Powers of two from 1 µs to 17 s; counts of things from 1 to 16384. */
static void bounds_of(enum spread_kind kind, uint32_t *ret_first, uint32_t *ret_last)
{
    bool seconds = strcmp(spread_units[kind], "seconds") == 0;
    *ret_first = seconds ? 10 : 2;
    *ret_last = seconds ? 34 : 14;
}

static void write_histogram(struct writer *writer, const char *name, uint32_t shard, enum spread_kind kind, const struct spread *histogram)
{
    uint32_t first, last, bucket = 0;
    bounds_of(kind, &first, &last);
    double unit = strcmp(spread_units[kind], "seconds") == 0 ? 1e-9 : 1;
    uint64_t below = 0;
    for (uint32_t power = first; power <= last; power++) {
        while (bucket < SPREAD_BUCKETS && spread_bound(bucket) <= 1ull << power)
            below += histogram->buckets[bucket++];
        http_text_print(writer->text, "%s_bucket{shard=\"%u\",le=\"%.9g\"} %" PRIu64 "\n", name, shard, (double)(1ull << power) * unit, below);
    }
    uint64_t total = spread_total(histogram);
    http_text_print(writer->text, "%s_bucket{shard=\"%u\",le=\"+Inf\"} %" PRIu64 "\n%s_sum{shard=\"%u\"} %.17g\n%s_count{shard=\"%u\"} %" PRIu64 "\n", name, shard, total,
                    name, shard, (double)histogram->sum * unit, name, shard, total);
}

static void histogram_name(enum spread_kind kind, char *ret_name, size_t bytes)
{
    bool has_unit = ending(spread_names[kind], spread_units[kind]) != NULL;
    snprintf(ret_name, bytes, "ringmq_%s%s%s", spread_names[kind], has_unit ? "" : "_", has_unit ? "" : spread_units[kind]);
}

static void write_histograms(struct writer *writer, const struct broker *broker)
{
    for (int kind = 0; kind < SPREADS; kind++) {
        char name[128];
        histogram_name((enum spread_kind)kind, name, sizeof name);
        family(writer, name, "histogram", spread_documentation[kind]);
        for (uint32_t s = 0; s < broker->shards_count; s++) {
            struct spread histogram = {0};
            if (broker->shards[s]->shard) spread_add(&histogram, &broker->shards[s]->shard->spreads[kind]);
            write_histogram(writer, name, s, (enum spread_kind)kind, &histogram);
        }
    }
}

/* ---- others ----------------------------------------------------------------------------------------------------- */

static void write_listeners(struct writer *writer, struct admin *admin)
{
    uint32_t count;
    struct listener_picture *listeners = listeners_picture(admin, &count);
    if (!listeners) return;
    other(writer, "ringmq_listener_connections");
    for (uint32_t i = 0; i < count; i++)
        http_text_print(writer->text, "ringmq_listener_connections{listener=\"%s\"} %u\n", listeners[i].id, listeners[i].connections);
    other(writer, "ringmq_listener_up");
    for (uint32_t i = 0; i < count; i++)
        if (listeners[i].enable) http_text_print(writer->text, "ringmq_listener_up{listener=\"%s\"} %d\n", listeners[i].id, listeners[i].running);
    memory_release(listeners);
}

struct feature_column {
    struct writer *writer;
    const char *name, *ending;
    size_t offset; /* into struct feature_counts */
};

static void write_feature_count(void *context, const struct feature *feature, enum feature_moment gate, const struct feature_counts *sum)
{
    const struct feature_column *column = context;
    uint64_t count = *(const uint64_t *)((const char *)sum + column->offset);
    http_text_print(column->writer->text, "%s%s{feature=\"%s\",gate=\"%s\"} ", column->name, column->ending, feature->name, feature_moment_names[gate]);
    if (column->offset == offsetof(struct feature_counts, ticks_max))
        http_text_print(column->writer->text, "%.9g\n", (double)count / (double)feature_ticks_per_us() / 1e6);
    else
        http_text_print(column->writer->text, "%" PRIu64 "\n", count);
}

static void write_features(struct writer *writer, const struct broker *broker)
{
    struct feature_column columns[] = {
        {writer, "ringmq_feature_passed", "_total", offsetof(struct feature_counts, passed)},
        {writer, "ringmq_feature_allowed", "_total", offsetof(struct feature_counts, allowed)},
        {writer, "ringmq_feature_denied", "_total", offsetof(struct feature_counts, denied)},
        {writer, "ringmq_feature_later", "_total", offsetof(struct feature_counts, later)},
        {writer, "ringmq_feature_overruns", "_total", offsetof(struct feature_counts, overruns)},
        {writer, "ringmq_feature_longest_seconds", "", offsetof(struct feature_counts, ticks_max)},
    };
    if (!broker->features) return;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        other(writer, columns[i].name);
        features_counts_each(broker->features, write_feature_count, &columns[i]);
    }
}

struct sink_column {
    struct writer *writer;
    const char *name, *ending, *reason;
    size_t offset; /* into struct feature_sink_counts */
};

static void write_sink_count(void *context, const char *name, const struct feature_sink_counts *sum)
{
    const struct sink_column *column = context;
    http_text_print(column->writer->text, "%s%s{sink=\"%s\"%s%s%s} %" PRIu64 "\n", column->name, column->ending, name, column->reason ? ",reason=\"" : "",
                    column->reason ? column->reason : "", column->reason ? "\"" : "", *(const uint64_t *)((const char *)sum + column->offset));
}

static void write_sinks(struct writer *writer, const struct broker *broker)
{
    struct sink_column columns[] = {
        {writer, "ringmq_sink_delivered", "_total", NULL, offsetof(struct feature_sink_counts, delivered)},
        {writer, "ringmq_sink_full", "_total", NULL, offsetof(struct feature_sink_counts, full)},
        {writer, "ringmq_sink_queued", "", NULL, offsetof(struct feature_sink_counts, queued)},
        {writer, "ringmq_sink_queued_bytes", "", NULL, offsetof(struct feature_sink_counts, queued_bytes)},
        {writer, "ringmq_sink_dropped", "_total", "full", offsetof(struct feature_sink_counts, dropped_full)},
        {writer, "ringmq_sink_dropped", "_total", "expired", offsetof(struct feature_sink_counts, dropped_expired)},
        {writer, "ringmq_sink_dropped", "_total", "gone", offsetof(struct feature_sink_counts, dropped_gone)},
        {writer, "ringmq_sink_held", "", NULL, offsetof(struct feature_sink_counts, held)},
        {writer, "ringmq_sink_refused", "_total", NULL, offsetof(struct feature_sink_counts, refused)},
    };
    if (!broker->features) return;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (i == 0 || strcmp(columns[i].name, columns[i - 1].name) != 0) other(writer, columns[i].name);
        features_sinks_each(broker->features, write_sink_count, &columns[i]);
    }
}

static void write_alarms(struct writer *writer, struct admin *admin)
{
    struct alarm *alarms = memory_acquire(ALARMS_MAX * sizeof *alarms);
    uint32_t count, by_kind[ALARM_KINDS] = {0};
    alarms_list(admin_alarms(admin), true, 0, alarms, ALARMS_MAX, &count);
    for (uint32_t i = 0; i < count; i++)
        by_kind[alarms[i].kind]++;
    memory_release(alarms);
    other(writer, "ringmq_alarms");
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        http_text_print(writer->text, "ringmq_alarms{alarm=\"%s\"} %u\n", alarm_names[kind], by_kind[kind]);
}

static void write_admin(struct writer *writer, struct admin *admin)
{
    struct http_counts counts;
    struct http_server *server = admin_server(admin);
    if (!server) return; /* just being started */
    http_counts(server, &counts);
    other(writer, "ringmq_admin_requests");
    for (int hundred = 2; hundred <= 5; hundred++)
        http_text_print(writer->text, "ringmq_admin_requests_total{status=\"%dxx\"} %" PRIu64 "\n", hundred, counts.answers[hundred]);
    plain(writer, "ringmq_admin_connections", "_total", (double)counts.connections_accepted);
    plain(writer, "ringmq_admin_connections_refused", "_total", (double)counts.connections_refused);
    plain(writer, "ringmq_admin_timeouts", "_total", (double)counts.timeouts);
    plain(writer, "ringmq_admin_connections_open", "", counts.connections);
    plain(writer, "ringmq_admin_streams_open", "", counts.streams);
}

void metrics_write(struct admin *admin, bool openmetrics, struct http_text *ret_text)
{
    const struct broker *broker = admin_broker(admin);
    struct writer writer = {.text = ret_text, .openmetrics = openmetrics};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double started = (double)admin_started_unix_ms(admin) / 1000;
    other(&writer, "ringmq_build_info");
    http_text_print(ret_text, "ringmq_build_info{version=\"" RINGMQ_VERSION "\",node=\"");
    put_label(ret_text, admin_node_name(admin));
    http_text_print(ret_text, "\"} 1\n");
    plain(&writer, "ringmq_uptime_seconds", "", (double)now.tv_sec + (double)now.tv_nsec / 1e9 - started);
    plain(&writer, "ringmq_shards", "", broker->shards_count);
    write_counters(&writer, broker);
    write_histograms(&writer, broker);
    other(&writer, "ringmq_shard_cpu_seconds");
    for (uint32_t s = 0; s < broker->shards_count; s++)
        http_text_print(ret_text, "ringmq_shard_cpu_seconds_total{shard=\"%u\"} %.9g\n", s, shard_cpu_seconds(broker, s));
    write_listeners(&writer, admin);
    write_features(&writer, broker);
    write_sinks(&writer, broker);
    write_alarms(&writer, admin);
    write_admin(&writer, admin);
    plain(&writer, "process_cpu_seconds", "_total", process_cpu_seconds());
    plain(&writer, "process_resident_memory_bytes", "", (double)process_resident_bytes());
    plain(&writer, "process_open_fds", "", (double)process_open_files());
    plain(&writer, "process_start_time_seconds", "", started);
    if (openmetrics) http_text_print(ret_text, "# EOF\n");
}

/* ---- the manual ------------------------------------------------------------------------------------------------- */

void metrics_write_docs(struct http_text *ret_text)
{
    http_text_print(ret_text,
                    "# Metrics\n\nMade by `ringmqd --print-metrics-docs`.\n\n"
                    "`GET /metrics` of the admin API (port 18083) serves them in the text format of Prometheus, or as OpenMetrics 1.0 to who accepts it. It needs an API key of "
                    "the role viewer by HTTP Basic authentication, unless `admin.metrics_auth = false`. `GET /api/v1/stats` has the same counters as JSON.\n\n"
                    "The names are stable: they change only with a line in CHANGELOG.md. Counters of shards have the label `shard`; `sum without (shard) (…)` is the "
                    "node's. [grafana.json](grafana.json) is a dashboard, [alerts.yml](alerts.yml) has rules for alerts.\n\n"
                    "## Counters and gauges of the shards\n\n| metric | type | meaning |\n|---|---|---|\n");
    for (uint32_t i = 0; i < STATS_COUNT; i++)
        http_text_print(ret_text, "| `ringmq_%s%s` | %s | %s |\n", stats_names[i], stats_is_gauge(i) ? "" : "_total", stats_is_gauge(i) ? "gauge" : "counter", stats_says(i));
    http_text_print(ret_text, "\n## Histograms of the shards\n\nAlways on. Every 64th PUBLISH a shard receives is followed through its turn.\n\n"
                              "| metric | meaning |\n|---|---|\n");
    for (int kind = 0; kind < SPREADS; kind++) {
        char name[128];
        histogram_name((enum spread_kind)kind, name, sizeof name);
        http_text_print(ret_text, "| `%s` | %s |\n", name, spread_documentation[kind]);
    }
    http_text_print(ret_text, "\n## Others\n\n| metric | type | meaning |\n|---|---|---|\n");
#define OTHER(type, its_name, says) \
    http_text_print(ret_text, "| `%s%s` | %s | %s |\n", #its_name, strcmp(#type, "counter") == 0 ? "_total" : "", #type, says);
    OTHERS(OTHER)
#undef OTHER
    http_text_print(ret_text, "\n## Alarms\n\nThe label `alarm` of `ringmq_alarms`, and `name` in `GET /api/v1/alarms`.\n\n| alarm | raised when |\n|---|---|\n");
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        http_text_print(ret_text, "| `%s` | %s |\n", alarm_names[kind], alarm_documentation[kind]);
}
