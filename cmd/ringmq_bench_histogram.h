/* ringmq_bench_histogram.h - latencies in buckets of about 1.6 % width, from 1 ns to hours: fixed memory, exact counts. */
#ifndef RINGMQ_CMD_BENCH_HISTOGRAM_H
#define RINGMQ_CMD_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS_LOG2 6
#define HISTOGRAM_BUCKETS    ((64 - HISTOGRAM_STEPS_LOG2 + 1) << HISTOGRAM_STEPS_LOG2)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total, max;
};

/* Values below 64 have a bucket each; above, every doubling is cut into 64. */
static inline uint32_t histogram_bucket(uint64_t value)
{
    if (value < 1u << HISTOGRAM_STEPS_LOG2) return (uint32_t)value;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - HISTOGRAM_STEPS_LOG2;
    return ((shift + 1) << HISTOGRAM_STEPS_LOG2) + (uint32_t)(value >> shift & ((1u << HISTOGRAM_STEPS_LOG2) - 1));
}

static inline uint64_t histogram_value(uint32_t bucket)
{
    if (bucket < 1u << HISTOGRAM_STEPS_LOG2) return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_STEPS_LOG2) - 1;
    return (uint64_t)((1u << HISTOGRAM_STEPS_LOG2) + (bucket & ((1u << HISTOGRAM_STEPS_LOG2) - 1))) << shift;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[histogram_bucket(value)]++;
    histogram->total++;
    if (value > histogram->max) histogram->max = value;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        into->counts[bucket] += from->counts[bucket];
    into->total += from->total;
    if (from->max > into->max) into->max = from->max;
}

/* The value that `per_million` of all values do not exceed, at most a bucket's width too high; 0 when empty. */
static inline uint64_t histogram_quantile(const struct histogram *histogram, uint32_t per_million)
{
    uint64_t wanted = (uint64_t)((unsigned __int128)histogram->total * per_million / 1000000), seen = 0;
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen <= wanted && seen != histogram->total) continue;
        uint64_t last = histogram_value(bucket + 1) - 1; /* in this bucket */
        return last < histogram->max ? last : histogram->max;
    }
    return histogram->max;
}

#endif
