/* sink.h - the example's sink: a bridge in small. What matches is kept in batches, "written" for a while, acknowledged when it is safe, published
 * again below another topic, and counted on disk. */
#ifndef RINGMQ_FEATURES_EXAMPLE_SINK_H
#define RINGMQ_FEATURES_EXAMPLE_SINK_H

#include "broker/feature.h"

struct example_sink_settings {
    char *filter, *republish;
    uint32_t batch, write_ms, queue;
    uint8_t policy;
    bool acknowledges;
};

/* shard->prepared begins with a struct example_sink_settings, or is NULL. */
void example_sink_apply(struct feature_shard *shard);
void example_sink_tick(struct feature_shard *shard);
enum feature_taken example_sink_deliver(struct feature_shard *shard, struct feature_sink *sink, const struct feature_delivery *delivery);
void example_sink_stop(struct feature_shard *shard);

#endif
