#include "broker/watch/topic_metrics.h"

#include <stdio.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/stats.h"
#include "base/words.h"
#include "proto/topic.h"

const char *const topic_metric_names[METRICS_COUNT] = {"messages.qos0.in",  "messages.qos1.in",  "messages.qos2.in", "messages.qos0.out",
                                                       "messages.qos1.out", "messages.qos2.out", "messages.dropped"};

/* What one shard has counted under one name: a cache line. */
struct row {
    _Alignas(64) uint64_t counts[METRICS_COUNT];
};
_Static_assert(sizeof(struct row) == 64, "a cache line");

struct entry {
    struct span name;
    uint32_t number;
    uint64_t marks[METRICS_COUNT]; /* of the last reset; written by the control thread */
    /* written by the tick */
    uint64_t in, out, dropped;
    double in_rate, out_rate, dropped_rate;
};

struct topic_metrics {
    struct entry *entries;
    uint32_t count, filters_count, shards_count;
    struct map exact;    /* entries without wildcards */
    struct entry *filters[TOPIC_METRICS_FILTERS_MAX];
    struct row *rows;    /* shard by shard */
    uint64_t ticked_ms;
    char text[];
};

static struct span entry_key(const void *value) { return ((const struct entry *)value)->name; }

static const char *entry_read(const struct topic_metrics *metrics, const struct words *words)
{
    if (words->wrong) return words->wrong;
    if (words->count != 1) return "write one topic or filter a line";
    struct span name = words->words[0];
    if (!mqtt_topic_filter_valid(name, 0) || span_starts_with(name, SPAN_LITERAL("$share/"))) return "that is neither a topic nor a filter";
    if (metrics->count == TOPIC_METRICS_MAX) return "too many of them";
    for (uint32_t i = 0; i < metrics->count; i++)
        if (span_equal(metrics->entries[i].name, name)) return "it is there twice";
    return NULL;
}

struct topic_metrics *topic_metrics_create(struct span text, uint32_t shards_count, char *ret_error, size_t error_bytes)
{
    struct topic_metrics *metrics = memory_acquire_zeroed(sizeof *metrics + text.bytes + 1);
    if (text.bytes) memcpy(metrics->text, text.data, text.bytes);
    struct span rest = span_of(metrics->text, text.bytes);
    struct words words;
    *ret_error = 0;
    metrics->shards_count = shards_count;
    metrics->entries = memory_acquire_zeroed(TOPIC_METRICS_MAX * sizeof *metrics->entries);
    map_init(&metrics->exact, entry_key);
    while (words_next(&rest, &words)) {
        const char *wrong = entry_read(metrics, &words);
        bool wild = mqtt_topic_has_wildcards(words.words[0]);
        if (!wrong && wild && metrics->filters_count == TOPIC_METRICS_FILTERS_MAX) wrong = "too many filters with wildcards";
        if (wrong) {
            snprintf(ret_error, error_bytes, "topic_metrics.topics: %.*s: %s", SPAN_PRINT(words.words[0]), wrong);
            topic_metrics_release(metrics);
            return NULL;
        }
        struct entry *entry = &metrics->entries[metrics->count];
        *entry = (struct entry){.name = words.words[0], .number = metrics->count++};
        if (wild)
            metrics->filters[metrics->filters_count++] = entry;
        else
            map_insert(&metrics->exact, entry);
    }
    if (metrics->count == 0) {
        topic_metrics_release(metrics);
        return NULL;
    }
    metrics->rows = memory_acquire_aligned(64, (size_t)shards_count * metrics->count * sizeof *metrics->rows);
    return metrics;
}

void topic_metrics_release(struct topic_metrics *metrics)
{
    if (!metrics) return;
    map_free(&metrics->exact);
    memory_release(metrics->entries);
    memory_release(metrics->rows);
    memory_release(metrics);
}

static struct row *row_of(const struct topic_metrics *metrics, uint32_t shard, const struct entry *entry)
{
    return &metrics->rows[(size_t)shard * metrics->count + entry->number];
}

void topic_metrics_take_marks(struct topic_metrics *metrics, const struct topic_metrics *before)
{
    if (!metrics || !before) return;
    for (uint32_t i = 0; i < metrics->count; i++)
        for (uint32_t b = 0; b < before->count; b++)
            if (span_equal(metrics->entries[i].name, before->entries[b].name))
                memcpy(metrics->entries[i].marks, before->entries[b].marks, sizeof before->entries[b].marks);
}

static void rate_copy(double *rate, const double *before)
{
    double value = *before;
    __atomic_store(rate, &value, __ATOMIC_RELAXED);
}

static void take_ticked(struct entry *entry, const struct entry *before)
{
    entry->in = before->in, entry->out = before->out, entry->dropped = before->dropped;
    rate_copy(&entry->in_rate, &before->in_rate);
    rate_copy(&entry->out_rate, &before->out_rate);
    rate_copy(&entry->dropped_rate, &before->dropped_rate);
}

static void take_row(struct row *row, const struct row *before)
{
    for (uint32_t m = 0; m < METRICS_COUNT; m++)
        stats_count(&row->counts[m], before->counts[m]);
}

void topic_metrics_take(struct topic_metrics *metrics, const struct topic_metrics *before, uint32_t shard)
{
    if (!metrics || !before || metrics == before) return;
    for (uint32_t i = 0; i < metrics->count; i++)
        for (uint32_t b = 0; b < before->count; b++)
            if (span_equal(metrics->entries[i].name, before->entries[b].name)) {
                take_row(row_of(metrics, shard, &metrics->entries[i]), row_of(before, shard, &before->entries[b]));
                if (shard == 0) take_ticked(&metrics->entries[i], &before->entries[b]);
            }
    if (shard == 0) metrics->ticked_ms = before->ticked_ms;
}

void topic_metrics_count(struct topic_metrics *metrics, uint32_t shard, struct span topic, enum topic_metric metric)
{
    const struct entry *exact = metrics->exact.count ? map_find(&metrics->exact, topic) : NULL;
    if (exact) stats_count(&row_of(metrics, shard, exact)->counts[metric], 1);
    for (uint32_t i = 0; i < metrics->filters_count; i++)
        if (mqtt_topic_matches_filter(topic, metrics->filters[i]->name))
            stats_count(&row_of(metrics, shard, metrics->filters[i])->counts[metric], 1);
}

static void sum(const struct topic_metrics *metrics, const struct entry *entry, uint64_t ret_counts[METRICS_COUNT])
{
    memset(ret_counts, 0, METRICS_COUNT * sizeof *ret_counts);
    for (uint32_t s = 0; s < metrics->shards_count; s++)
        for (uint32_t m = 0; m < METRICS_COUNT; m++)
            ret_counts[m] += stats_read(&row_of(metrics, s, entry)->counts[m]);
}

static uint64_t in_of(const uint64_t counts[METRICS_COUNT]) { return counts[METRIC_IN_0] + counts[METRIC_IN_1] + counts[METRIC_IN_2]; }
static uint64_t out_of(const uint64_t counts[METRICS_COUNT]) { return counts[METRIC_OUT_0] + counts[METRIC_OUT_1] + counts[METRIC_OUT_2]; }

/* While a reload goes through the shards a sum may be below its mark. */
static void since_marks(const struct entry *entry, uint64_t counts[METRICS_COUNT])
{
    for (uint32_t m = 0; m < METRICS_COUNT; m++) {
        uint64_t mark = stats_read(&entry->marks[m]);
        counts[m] = counts[m] > mark ? counts[m] - mark : 0;
    }
}

bool topic_metrics_reset(struct topic_metrics *metrics, struct span name)
{
    bool found = false;
    for (uint32_t i = 0; i < metrics->count; i++) {
        struct entry *entry = &metrics->entries[i];
        uint64_t counts[METRICS_COUNT];
        if (name.bytes && !span_equal(name, entry->name)) continue;
        sum(metrics, entry, counts);
        for (uint32_t m = 0; m < METRICS_COUNT; m++)
            __atomic_store_n(&entry->marks[m], counts[m], __ATOMIC_RELAXED);
        found = true;
    }
    return found;
}

void topic_metrics_list(const struct topic_metrics *metrics, void (*each)(void *context, const struct topic_metrics_row *row), void *context)
{
    for (uint32_t i = 0; i < metrics->count; i++) {
        const struct entry *entry = &metrics->entries[i];
        struct topic_metrics_row row = {.name = entry->name};
        sum(metrics, entry, row.counts);
        since_marks(entry, row.counts);
        __atomic_load(&entry->in_rate, &row.in_rate, __ATOMIC_RELAXED);
        __atomic_load(&entry->out_rate, &row.out_rate, __ATOMIC_RELAXED);
        __atomic_load(&entry->dropped_rate, &row.dropped_rate, __ATOMIC_RELAXED);
        each(context, &row);
    }
}

static void rate_store(double *rate, uint64_t *before, uint64_t now, double elapsed_s)
{
    double value = (double)(now - *before) / elapsed_s;
    *before = now;
    __atomic_store(rate, &value, __ATOMIC_RELAXED);
}

void topic_metrics_tick(struct topic_metrics *metrics, uint64_t now_ms)
{
    double elapsed_s = (double)(now_ms - metrics->ticked_ms) / 1000.0;
    bool first = metrics->ticked_ms == 0;
    if (elapsed_s <= 0) return;
    metrics->ticked_ms = now_ms;
    for (uint32_t i = 0; i < metrics->count; i++) {
        struct entry *entry = &metrics->entries[i];
        uint64_t counts[METRICS_COUNT];
        sum(metrics, entry, counts);
        if (first) { /* what was counted before is no rate */
            entry->in = in_of(counts), entry->out = out_of(counts), entry->dropped = counts[METRIC_DROPPED];
            continue;
        }
        rate_store(&entry->in_rate, &entry->in, in_of(counts), elapsed_s);
        rate_store(&entry->out_rate, &entry->out, out_of(counts), elapsed_s);
        rate_store(&entry->dropped_rate, &entry->dropped, counts[METRIC_DROPPED], elapsed_s);
    }
}
