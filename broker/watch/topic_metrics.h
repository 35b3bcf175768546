/* watch/topic_metrics.h - how many messages went through registered topics: in, out and dropped, by the name of a topic or of a filter.
 *
 *     in       PUBLISH packets from clients, by QoS          dropped   deliveries that found a full queue, expired, were too large,
 *     out      PUBLISH packets to clients, by QoS                      or had no subscriber at all (messages of clients)
 *
 * A message is counted under every registered name that its topic matches. Exact topics are found in a hash table, filters (at most
 * TOPIC_METRICS_FILTERS_MAX) one by one: an extra that costs something per message while it is on.
 *
 * Owner:    struct extras; each shard writes counters of its own there, in cache lines of its own.
 * Threads:  counting on the shard; topic_metrics_list() on any, a moment old; resets on the control thread.
 * Reload:   names that stay keep their counts and rates. A reset is a mark that is subtracted: shards never hear of it. */
#ifndef RINGMQ_BROKER_WATCH_TOPIC_METRICS_H
#define RINGMQ_BROKER_WATCH_TOPIC_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define TOPIC_METRICS_MAX         512
#define TOPIC_METRICS_FILTERS_MAX 32

enum topic_metric { METRIC_IN_0, METRIC_IN_1, METRIC_IN_2, METRIC_OUT_0, METRIC_OUT_1, METRIC_OUT_2, METRIC_DROPPED, METRICS_COUNT };
extern const char *const topic_metric_names[METRICS_COUNT]; /* "messages.qos0.in" … */

struct topic_metrics;

/* NULL with a sentence in ret_error, or without one when there are none. */
struct topic_metrics *topic_metrics_create(struct span text, uint32_t shards_count, char *ret_error, size_t error_bytes);
void topic_metrics_release(struct topic_metrics *metrics); /* accepts NULL */
/* On the control thread, before any shard has the new table: takes the marks of resets over. Both may be NULL. */
void topic_metrics_take_marks(struct topic_metrics *metrics, const struct topic_metrics *before);
/* On a shard: takes its counts over from the table before (NULL: none), and on the first one what topic_metrics_tick() has noted. */
void topic_metrics_take(struct topic_metrics *metrics, const struct topic_metrics *before, uint32_t shard);

void topic_metrics_count(struct topic_metrics *metrics, uint32_t shard, struct span topic, enum topic_metric metric);

/* For $SYS and an administrator: calls `each` for every registered name with the sums over all shards, and the rate of messages in and
 * out over about the last `RATE_WINDOW` seconds. */
struct topic_metrics_row {
    struct span name;
    uint64_t counts[METRICS_COUNT];
    double in_rate, out_rate, dropped_rate; /* per second, since the last topic_metrics_tick() but one */
};
void topic_metrics_list(const struct topic_metrics *metrics, void (*each)(void *context, const struct topic_metrics_row *row), void *context);
/* About every TOPIC_METRICS_TICK_MS, by one thread (shard 0). */
#define TOPIC_METRICS_TICK_MS 5000
void topic_metrics_tick(struct topic_metrics *metrics, uint64_t now_ms);

/* On the control thread: counts of that name, or of all (an empty one), begin at 0 again; rates go on. False: there is no such name. */
bool topic_metrics_reset(struct topic_metrics *metrics, struct span name);

#endif
