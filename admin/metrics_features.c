/* metrics_features.c - what features count: packets by feature and gate (the frame's counters), and logins by source, which the feature `auth` is asked for as the
 * admin API asks it (struct feature_request). Without that feature its families have no points. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/metrics.h"
#include "base/check.h"
#include "broker/broker.h"
#include "broker/features/features.h"

/* ---- gates -------------------------------------------------------------------------------------------------------- */

struct gate_column {
    struct metrics_walk *walk;
    const char *name;
    size_t offset; /* into struct feature_counts */
};

static void put_gate(void *context, const struct feature *feature, enum feature_moment gate, const struct feature_counts *sum)
{
    const struct gate_column *column = context;
    uint64_t count = *(const uint64_t *)((const char *)sum + column->offset);
    if (column->offset == offsetof(struct feature_counts, ticks_max))
        metrics_put_number(column->walk, (double)count / (double)feature_ticks_per_us() / 1e6, "feature", feature->name, "gate", feature_moment_names[gate], NULL);
    else
        metrics_put(column->walk, count, "feature", feature->name, "gate", feature_moment_names[gate], NULL);
}

static void walk_gates(struct metrics_walk *walk, const struct features *features)
{
    struct gate_column columns[] = {
        {walk, "ringmq_feature_passed", offsetof(struct feature_counts, passed)},
        {walk, "ringmq_feature_allowed", offsetof(struct feature_counts, allowed)},
        {walk, "ringmq_feature_denied", offsetof(struct feature_counts, denied)},
        {walk, "ringmq_feature_later", offsetof(struct feature_counts, later)},
        {walk, "ringmq_feature_overruns", offsetof(struct feature_counts, overruns)},
        {walk, "ringmq_feature_longest_seconds", offsetof(struct feature_counts, ticks_max)},
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        metrics_family_begin(walk, columns[i].name);
        features_counts_each(features, put_gate, &columns[i]);
    }
}

/* ---- sinks -------------------------------------------------------------------------------------------------------- */

struct sink_column {
    struct metrics_walk *walk;
    const char *name, *reason;
    size_t offset; /* into struct feature_sink_counts */
};

static void put_sink(void *context, const char *name, const struct feature_sink_counts *sum)
{
    const struct sink_column *column = context;
    metrics_put(column->walk, *(const uint64_t *)((const char *)sum + column->offset), "sink", name, column->reason ? "reason" : NULL, column->reason, NULL);
}

static void walk_sinks(struct metrics_walk *walk, const struct features *features)
{
    struct sink_column columns[] = {
        {walk, "ringmq_sink_delivered", NULL, offsetof(struct feature_sink_counts, delivered)},
        {walk, "ringmq_sink_full", NULL, offsetof(struct feature_sink_counts, full)},
        {walk, "ringmq_sink_queued", NULL, offsetof(struct feature_sink_counts, queued)},
        {walk, "ringmq_sink_queued_bytes", NULL, offsetof(struct feature_sink_counts, queued_bytes)},
        {walk, "ringmq_sink_dropped", "full", offsetof(struct feature_sink_counts, dropped_full)},
        {walk, "ringmq_sink_dropped", "expired", offsetof(struct feature_sink_counts, dropped_expired)},
        {walk, "ringmq_sink_dropped", "gone", offsetof(struct feature_sink_counts, dropped_gone)},
        {walk, "ringmq_sink_held", NULL, offsetof(struct feature_sink_counts, held)},
        {walk, "ringmq_sink_refused", NULL, offsetof(struct feature_sink_counts, refused)},
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (i == 0 || strcmp(columns[i].name, columns[i - 1].name) != 0) metrics_family_begin(walk, columns[i].name);
        features_sinks_each(features, put_sink, &columns[i]);
    }
}

/* ---- logins ------------------------------------------------------------------------------------------------------- */

/* NULL: it has nothing to say. */
static json_t *ask(const struct features *features, const char *verb)
{
    struct feature_request request = {.verb = verb, .body = SPAN_LITERAL("{}")};
    if (!features_request(features, "auth", &request) || request.status != 200 || !request.answer) return NULL;
    json_t *answer = json_loads(request.answer, JSON_ALLOW_NUL, NULL);
    CHECK(answer); /* a feature that answers what is no JSON */
    free(request.answer);
    return answer;
}

static uint64_t number(const json_t *object, const char *name) { return (uint64_t)json_integer_value(json_object_get(object, name)); }
static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* What all points of a source have. */
static struct metrics_point source_point(const json_t *source)
{
    return (struct metrics_point){.labels = {{"source", text(source, "name")}, {"kind", text(source, "kind")}, {"backend", text(source, "backend")}},
                                  .labels_count = 3, .whole = true, .since_unix_ms = number(source, "since_ms")};
}

static void put_source(struct metrics_walk *walk, const json_t *source, uint64_t value)
{
    struct metrics_point point = source_point(source);
    point.integer = value;
    metrics_put_point(walk, &point);
}

static void put_each(struct metrics_walk *walk, const json_t *sources, const char *family, const char *member)
{
    size_t i;
    json_t *source;
    metrics_family_begin(walk, family);
    json_array_foreach(sources, i, source)
        put_source(walk, source, number(source, member));
}

static void put_verdicts(struct metrics_walk *walk, const json_t *sources)
{
    static const char *const verdicts[] = {"allowed", "denied", "ignored", "failed"};
    size_t i;
    json_t *source;
    metrics_family_begin(walk, "ringmq_auth_source_verdicts");
    json_array_foreach(sources, i, source)
        for (size_t v = 0; v < sizeof verdicts / sizeof *verdicts; v++) {
            struct metrics_point point = source_point(source);
            point.labels[point.labels_count++] = (struct metrics_label){"verdict", verdicts[v]};
            point.integer = number(source, verdicts[v]);
            metrics_put_point(walk, &point);
        }
}

static void put_states(struct metrics_walk *walk, const json_t *sources)
{
    size_t i;
    json_t *source;
    metrics_family_begin(walk, "ringmq_auth_source_circuit_open");
    json_array_foreach(sources, i, source)
        put_source(walk, source, strcmp(text(source, "state"), "resting") == 0);
    metrics_family_begin(walk, "ringmq_auth_source_up");
    json_array_foreach(sources, i, source)
        if (strcmp(text(source, "state"), "unknown") != 0) put_source(walk, source, strcmp(text(source, "state"), "up") == 0);
}

static void put_times(struct metrics_walk *walk, const json_t *sources)
{
    size_t i, b;
    json_t *source, *bucket;
    metrics_family_begin(walk, "ringmq_auth_source_seconds");
    json_array_foreach(sources, i, source) {
        struct spread spread = {.sum = number(source, "sum_ns")};
        struct metrics_point point = source_point(source);
        json_array_foreach(json_object_get(source, "buckets"), b, bucket) { /* [number, count] */
            json_int_t place = json_integer_value(json_array_get(bucket, 0));
            CHECK(place >= 0 && place < SPREAD_BUCKETS);
            spread.buckets[place] = (uint64_t)json_integer_value(json_array_get(bucket, 1));
        }
        metrics_put_spread(walk, &spread, true, NULL, 0, point.labels, point.labels_count, point.since_unix_ms);
    }
}

static void walk_logins(struct metrics_walk *walk, const struct features *features)
{
    static const char *const results[] = {"allowed", "denied", "unavailable", "throttled"};
    json_t *counters = ask(features, "counters"), *answer = ask(features, "sources times");
    const json_t *sources = json_object_get(answer, "data");
    metrics_family_begin(walk, "ringmq_auth_logins");
    for (size_t i = 0; counters && i < sizeof results / sizeof *results; i++)
        metrics_put(walk, number(counters, results[i]), "result", results[i], NULL);
    metrics_family_begin(walk, "ringmq_auth_cached");
    if (counters) metrics_put(walk, number(counters, "cached"), NULL);
    metrics_family_begin(walk, "ringmq_auth_cache_entries");
    if (counters) metrics_put(walk, number(counters, "cache_entries"), NULL);
    put_verdicts(walk, sources);
    put_each(walk, sources, "ringmq_auth_source_timeouts", "timeouts");
    put_each(walk, sources, "ringmq_auth_source_queue_full", "queue_full");
    put_each(walk, sources, "ringmq_auth_source_circuit_opened", "breaker_opened");
    put_states(walk, sources);
    put_each(walk, sources, "ringmq_auth_source_waiting", "waiting");
    put_times(walk, sources);
    json_decref(counters);
    json_decref(answer);
}

void metrics_walk_features(struct metrics_walk *walk)
{
    const struct features *features = admin_broker(walk->admin)->features;
    if (!features) return;
    walk_gates(walk, features);
    walk_sinks(walk, features);
    walk_logins(walk, features);
}
