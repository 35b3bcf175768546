/* report.h - the store of a running broker, as operators see it. Any thread, while the shards run. */
#ifndef RINGMQ_BROKER_DURABLE_REPORT_H
#define RINGMQ_BROKER_DURABLE_REPORT_H

#include "base/limits.h"
#include "broker/broker.h"
#include "store/reserve.h"

struct durable_report {
    bool enabled;
    bool refuses;              /* a shard takes no durable messages: the disk refuses, or is far behind */
    struct reserve_report room; /* of its disk, and whether it is full */
    int log_error, shelf_error; /* why no segment can be made, why the shelf takes nothing: errno; 0: they work */
    uint32_t epoch;
    uint64_t log_bytes;        /* of this epoch's segments */
    bool has_shelf;
    uint64_t shelf_bytes, shelf_memory_bytes;
    uint64_t queue_memory_bytes; /* queued messages that are in memory */
    uint32_t shards_count;
    struct durable_report_shard {
        uint64_t waiting_bytes; /* appended and not on disk; as of the last two seconds, like the next two */
        uint64_t checkpoint_age_ms; /* UINT64_MAX: there was none yet */
        bool checkpointing, refuses;
    } shards[SHARDS_MAX];
};

/* All zeros without a store. */
void durable_room(const struct broker *broker, struct reserve_report *ret_room);
/* `now_ms`: of the monotonic clock that shards go by. */
void durable_report_make(const struct broker *broker, uint64_t now_ms, struct durable_report *ret_report);

#endif
