/* numbers.h - the broker's counters and histograms, gathered. Threads: any; what shards count meanwhile may be missing. */
#ifndef RINGMQ_ADMIN_NUMBERS_H
#define RINGMQ_ADMIN_NUMBERS_H

#include <stdbool.h>

#include "base/spread.h"
#include "base/stats.h"

struct broker;

/* "gauge: …" in the table's documentation. */
bool stats_is_gauge(uint32_t number);
/* Without the "gauge: " in front. */
const char *stats_says(uint32_t number);
/* False: that shard has not started. */
bool shard_numbers(const struct broker *broker, uint32_t shard, struct stats *ret_stats);
void node_numbers(const struct broker *broker, struct stats *ret_sum);
void node_spread(const struct broker *broker, enum spread_kind kind, struct spread *ret_sum);
double shard_cpu_seconds(const struct broker *broker, uint32_t shard);

#endif
