/* spread.h - how values are distributed (a histogram): in buckets a quarter of a power of two wide: within 25 % of the truth, for an addition.
 *
 * Written by one thread with plain relaxed stores; any thread may read a whole one, which may be a moment old.
 * Units: whatever is recorded (nanoseconds, pieces). Values beyond 2^40 count as that. */
#ifndef RINGMQ_BASE_SPREAD_H
#define RINGMQ_BASE_SPREAD_H

#include "base/stats.h"

#define SPREAD_BUCKETS 160

struct spread {
    uint64_t sum;
    uint64_t buckets[SPREAD_BUCKETS];
};

static inline uint32_t spread_bucket(uint64_t value)
{
    if (value < 4) return (uint32_t)value;
    if (value >> 40) value = (1ull << 40) - 1;
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(value);
    return (exponent << 2) + (uint32_t)(value >> (exponent - 2) & 3) - 4;
}

/* The smallest value that is too large for the bucket. */
static inline uint64_t spread_bound(uint32_t bucket)
{
    if (bucket < 4) return bucket + 1;
    return (uint64_t)((bucket & 3) + 5) << ((bucket + 4) / 4 - 2);
}

static inline void spread_record(struct spread *spread, uint64_t value)
{
    stats_count(&spread->buckets[spread_bucket(value)], 1);
    stats_count(&spread->sum, value);
}

/* The same where several threads write: rare things only. */
static inline void spread_record_shared(struct spread *spread, uint64_t value)
{
    __atomic_fetch_add(&spread->buckets[spread_bucket(value)], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&spread->sum, value, __ATOMIC_RELAXED);
}

/* Adds every bucket of `from`. Any thread. */
void spread_add(struct spread *sum, const struct spread *from);
uint64_t spread_total(const struct spread *spread);
/* The value that `share` (0 to 1) of all are at most, interpolated within its bucket; 0 when there are none. */
double spread_quantile(const struct spread *spread, double share);

/* What each shard keeps. name, unit (seconds: recorded in nanoseconds), documentation */
#define SPREADS_TABLE(X)                                                                                                         \
    X(turn, "seconds", "length of a turn of the shard's loop, without the time it sleeps")                                          \
    X(turn_processor, "seconds", "the same in time of the processor that the shard itself has used: what others did on its core is not in it (with io.turn_clock = processor)") \
    X(round_processor, "seconds", "likewise from one turn's end to the next one's: the system call in between, in which sends leave, is in it") \
    X(turn_completions, "completions", "io_uring completions handled in a turn")                                                    \
    X(stage_decode, "seconds", "sampled PUBLISH packets: from the beginning of the turn that received it to its decoding")          \
    X(stage_route, "seconds", "sampled PUBLISH packets: from its decoding until it is written for the subscribers of this shard, or in their queues") \
    X(stage_send, "seconds", "sampled PUBLISH packets: from then until the turn's sends are handed to the kernel")                  \
    X(publish_to_send, "seconds", "sampled PUBLISH packets: the three together")                                                    \
    X(publish_to_other_shard, "seconds", "sampled PUBLISH packets: from the beginning of the turn that received it until another shard has delivered it") \
    X(commit_gather, "seconds", "group commits: from the beginning of the turn that brought the first record until the write is begun")    \
    X(commit_write, "seconds", "group commits: from then until write and fdatasync are done and seen by the shard")                       \
    X(commit_bytes, "bytes", "group commits: bytes written")

enum spread_kind {
#define SPREAD_KIND(name, unit, documentation) SPREAD_##name,
    SPREADS_TABLE(SPREAD_KIND)
#undef SPREAD_KIND
    SPREADS
};

extern const char *const spread_names[SPREADS], *const spread_units[SPREADS], *const spread_documentation[SPREADS];

#endif
