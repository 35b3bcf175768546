#include "broker/durable/report.h"

#include "broker/durable/durable.h"

static void shard_take(const struct broker_shard *broker, uint64_t now_ms, struct durable_report_shard *shard)
{
    const struct durable_shard *durable = broker->durable;
    uint64_t checkpoint_ms = durable ? atomic_load_explicit(&durable->shown.checkpoint_ms, memory_order_relaxed) : 0;
    *shard = (struct durable_report_shard){.checkpoint_age_ms = UINT64_MAX};
    if (!durable) return;
    shard->waiting_bytes = atomic_load_explicit(&durable->shown.waiting_bytes, memory_order_relaxed);
    shard->checkpointing = atomic_load_explicit(&durable->shown.checkpointing, memory_order_relaxed);
    shard->refuses = atomic_load_explicit(&durable->shown.refuses, memory_order_relaxed);
    if (checkpoint_ms) shard->checkpoint_age_ms = now_ms > checkpoint_ms ? now_ms - checkpoint_ms : 0;
}

void durable_room(const struct broker *broker, struct reserve_report *ret_room)
{
    reserve_report(broker->store ? store_reserve(broker->store) : NULL, ret_room);
}

void durable_report_make(const struct broker *broker, uint64_t now_ms, struct durable_report *ret_report)
{
    *ret_report = (struct durable_report){.enabled = broker->store != NULL, .shards_count = broker->shards_count};
    if (!broker->store) return;
    ret_report->log_error = store_trouble(broker->store);
    ret_report->epoch = store_epoch(broker->store);
    durable_room(broker, &ret_report->room);
    ret_report->log_bytes = store_bytes(broker->store);
    if (broker->spill) {
        const struct shelf *shelf = spill_shelf(broker->spill);
        ret_report->has_shelf = true;
        ret_report->shelf_error = spill_trouble(broker->spill);
        shelf->size(shelf->context, &ret_report->shelf_bytes, &ret_report->shelf_memory_bytes);
    }
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        const struct shard *engine = broker->shards[s]->shard;
        if (engine) ret_report->queue_memory_bytes += stats_read(&engine->stats.queued_bytes) - stats_read(&engine->stats.spilled_bytes);
        shard_take(broker->shards[s], now_ms, &ret_report->shards[s]);
        ret_report->refuses |= ret_report->shards[s].refuses;
    }
}
