#include "admin/numbers.h"

#include <string.h>

#include "admin/process.h"
#include "broker/broker.h"

#define GAUGE "gauge: "

bool stats_is_gauge(uint32_t number) { return strncmp(stats_documentation[number], GAUGE, strlen(GAUGE)) == 0; }
const char *stats_says(uint32_t number) { return stats_documentation[number] + (stats_is_gauge(number) ? strlen(GAUGE) : 0); }

bool shard_numbers(const struct broker *broker, uint32_t shard, struct stats *ret_stats)
{
    *ret_stats = (struct stats){0};
    const struct shard *engine = broker->shards[shard]->shard;
    if (!engine) return false;
    stats_add(ret_stats, &engine->stats);
    return true;
}

void node_numbers(const struct broker *broker, struct stats *ret_sum)
{
    *ret_sum = (struct stats){0};
    for (uint32_t s = 0; s < broker->shards_count; s++)
        if (broker->shards[s]->shard) stats_add(ret_sum, &broker->shards[s]->shard->stats);
}

void node_spread(const struct broker *broker, enum spread_kind kind, struct spread *ret_sum)
{
    *ret_sum = (struct spread){0};
    for (uint32_t s = 0; s < broker->shards_count; s++)
        if (broker->shards[s]->shard) spread_add(ret_sum, &broker->shards[s]->shard->spreads[kind]);
}

double shard_cpu_seconds(const struct broker *broker, uint32_t shard)
{
    const struct shard *engine = broker->shards[shard]->shard;
    return engine ? process_thread_cpu_seconds(engine->cpu_clock) : 0;
}
