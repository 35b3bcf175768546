/* otlp_encode.c - all numbers as an ExportMetricsServiceRequest of OTLP. The comments name the messages and fields of opentelemetry/proto/metrics/v1/metrics.proto. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "admin/metrics.h"
#include "admin/otlp.h"
#include "config/otlp.h"

#define CUMULATIVE 2 /* AggregationTemporality */

struct otlp_writer {
    struct metrics_writer writer; /* first */
    struct otlp_wire *wire;
    uint64_t now_unix_ns;
    enum metrics_type type;
    bool open;                    /* a family is: its Metric and the data in it */
    size_t began, metric, data;
    uint32_t points;
};

/* KeyValue {1: key, 2: AnyValue {1: string_value}} */
static void put_attribute(struct otlp_wire *wire, uint32_t field, const char *key, const char *value)
{
    size_t pair = otlp_wire_open(wire, field);
    otlp_wire_text(wire, 1, key);
    size_t any = otlp_wire_open(wire, 2);
    otlp_wire_text(wire, 1, value);
    otlp_wire_close(wire, any);
    otlp_wire_close(wire, pair);
}

static void family_end(struct otlp_writer *writer)
{
    struct otlp_wire *wire = writer->wire;
    if (!writer->open) return;
    writer->open = false;
    if (writer->points == 0) { /* nothing to say: no such source of logins, no such listener */
        wire->bytes = writer->began;
        return;
    }
    if (writer->type != METRICS_GAUGE) otlp_wire_varint(wire, 2, CUMULATIVE); /* Sum, Histogram: aggregation_temporality */
    if (writer->type == METRICS_COUNTER) otlp_wire_varint(wire, 3, 1);        /* Sum: is_monotonic */
    otlp_wire_close(wire, writer->data);
    otlp_wire_close(wire, writer->metric);
}

/* Metric {1: name, 2: description, 3: unit, 5: Gauge, 7: Sum, 9: Histogram}. Units are UCUM's. */
static void otlp_family(struct metrics_writer *base, const struct metrics_family *family)
{
    static const uint32_t fields[] = {[METRICS_GAUGE] = 5, [METRICS_COUNTER] = 7, [METRICS_HISTOGRAM] = 9};
    struct otlp_writer *writer = (struct otlp_writer *)base;
    family_end(writer);
    writer->type = family->type;
    writer->open = true;
    writer->points = 0;
    writer->began = writer->wire->bytes;
    writer->metric = otlp_wire_open(writer->wire, 2); /* of ScopeMetrics */
    otlp_wire_text(writer->wire, 1, family->name);
    otlp_wire_text(writer->wire, 2, family->says);
    otlp_wire_text(writer->wire, 3, strcmp(family->unit, "seconds") == 0 ? "s" : strcmp(family->unit, "bytes") == 0 ? "By" : "1");
    writer->data = otlp_wire_open(writer->wire, fields[family->type]);
}

/* Exemplar {2: time_unix_nano, 3: as_double, 7: filtered_attributes} */
static void put_exemplar(struct otlp_wire *wire, const struct metrics_exemplar *exemplar)
{
    size_t mark = otlp_wire_open(wire, 8);
    otlp_wire_fixed64(wire, 2, exemplar->unix_ms * 1000000);
    otlp_wire_double(wire, 3, exemplar->value);
    put_attribute(wire, 7, "topic", exemplar->topic);
    put_attribute(wire, 7, "client_id", exemplar->client_id);
    otlp_wire_close(wire, mark);
}

/* HistogramDataPoint {4: count, 5: sum, 6: bucket_counts, 7: explicit_bounds, 8: exemplars} */
static void put_buckets(struct otlp_wire *wire, const struct metrics_buckets *buckets)
{
    otlp_wire_fixed64(wire, 4, buckets->count);
    otlp_wire_double(wire, 5, buckets->sum);
    size_t list = otlp_wire_open(wire, 6);
    for (uint32_t i = 0; i <= buckets->bounds_count; i++)
        otlp_wire_packed64(wire, buckets->counts[i]);
    otlp_wire_close(wire, list);
    list = otlp_wire_open(wire, 7);
    for (uint32_t i = 0; i < buckets->bounds_count; i++)
        otlp_wire_packed_double(wire, buckets->bounds[i]);
    otlp_wire_close(wire, list);
    for (uint32_t i = 0; i <= buckets->bounds_count; i++)
        if (buckets->exemplars[i].given) put_exemplar(wire, &buckets->exemplars[i]);
}

/* NumberDataPoint {7: attributes, 2: start_time_unix_nano, 3: time_unix_nano, 4: as_double, 6: as_int}; HistogramDataPoint has its attributes in 9. */
static void otlp_point(struct metrics_writer *base, const struct metrics_point *point)
{
    struct otlp_writer *writer = (struct otlp_writer *)base;
    struct otlp_wire *wire = writer->wire;
    writer->points++;
    size_t mark = otlp_wire_open(wire, 1); /* data_points of all three */
    for (uint32_t i = 0; i < point->labels_count; i++)
        put_attribute(wire, point->buckets ? 9 : 7, point->labels[i].name, point->labels[i].value);
    if (writer->type != METRICS_GAUGE) otlp_wire_fixed64(wire, 2, point->since_unix_ms * 1000000);
    otlp_wire_fixed64(wire, 3, writer->now_unix_ns);
    if (point->buckets)
        put_buckets(wire, point->buckets);
    else if (point->whole)
        otlp_wire_fixed64(wire, 6, point->integer);
    else
        otlp_wire_double(wire, 4, point->number);
    otlp_wire_close(wire, mark);
}

/* ---- the resource ------------------------------------------------------------------------------------------------- */

static bool given(const char *attributes, const char *key)
{
    struct otlp_attribute attribute;
    for (struct span rest = span_of_string(attributes); otlp_attribute_next(&rest, &attribute);)
        if (!attribute.wrong && strcmp(attribute.key, key) == 0) return true;
    return false;
}

/* Resource {1: attributes}; semantic conventions: service.*, host.*, process.* */
static void put_resource(struct otlp_wire *wire, const struct admin *admin, const char *attributes)
{
    char host[256] = "", instance[512];
    gethostname(host, sizeof host - 1);
    snprintf(instance, sizeof instance, "%s@%s", admin_node_name(admin), host); /* must be one of a kind; nodes may all be called ringmq */
    const char *const own[][2] = {{"service.name", "ringmq"}, {"service.version", RINGMQ_VERSION}, {"service.instance.id", instance}, {"host.name", host}};
    size_t mark = otlp_wire_open(wire, 1);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!given(attributes, own[i][0])) put_attribute(wire, 1, own[i][0], own[i][1]);
    if (!given(attributes, "process.pid")) { /* AnyValue {3: int_value} */
        size_t pair = otlp_wire_open(wire, 1);
        otlp_wire_text(wire, 1, "process.pid");
        size_t any = otlp_wire_open(wire, 2);
        otlp_wire_varint(wire, 3, (uint64_t)getpid());
        otlp_wire_close(wire, any);
        otlp_wire_close(wire, pair);
    }
    struct otlp_attribute attribute;
    struct span rest = span_of_string(attributes);
    while (otlp_attribute_next(&rest, &attribute)) /* the configuration has been checked; of two with one key the receiver takes the last */
        if (!attribute.wrong) put_attribute(wire, 1, attribute.key, attribute.value);
    otlp_wire_close(wire, mark);
}

/* ExportMetricsServiceRequest {1: ResourceMetrics {1: Resource, 2: ScopeMetrics {1: InstrumentationScope {1: name, 2: version}, 2: Metric …}}} */
void otlp_encode(struct admin *admin, const struct metrics_settings *settings, struct otlp_wire *wire)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct otlp_writer writer = {.writer = {.family = otlp_family, .point = otlp_point, .exemplars = settings->exemplars}, .wire = wire,
                                 .now_unix_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec};
    size_t resource = otlp_wire_open(wire, 1);
    put_resource(wire, admin, settings->otlp.resource_attributes);
    size_t scope_metrics = otlp_wire_open(wire, 2), scope = otlp_wire_open(wire, 1);
    otlp_wire_text(wire, 1, "ringmq");
    otlp_wire_text(wire, 2, RINGMQ_VERSION);
    otlp_wire_close(wire, scope);
    metrics_walk(admin, &writer.writer);
    family_end(&writer);
    otlp_wire_close(wire, scope_metrics);
    otlp_wire_close(wire, resource);
}
