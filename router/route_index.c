#include "router/route_index.h"

#include "router/route_trie.h"
#include "router/route_walk.h"

struct route_index {
    struct route_trie *tries; /* partitions_count, then the wildcard partition */
    struct route_memory *memories; /* one per shard */
    uint64_t hash_seed;
    uint32_t shards_count, partitions_count;
};

struct route_index *route_index_create(const struct route_index_config *config, struct qsbr *qsbr)
{
    uint32_t partitions_count = config->partitions_count ? config->partitions_count : ROUTE_PARTITIONS_DEFAULT;
    CHECK((partitions_count & (partitions_count - 1)) == 0);
    CHECK(config->shards_count > 0 && config->shards_count <= SHARDS_MAX);
    uint32_t hash_mask = config->hash_bits ? (uint32_t)((1ull << config->hash_bits) - 1) : UINT32_MAX;

    struct route_index *index = memory_acquire_zeroed(sizeof *index);
    index->hash_seed = config->hash_seed;
    index->shards_count = config->shards_count;
    index->partitions_count = partitions_count;
    index->memories = memory_acquire_aligned(64, config->shards_count * sizeof *index->memories);
    for (uint32_t i = 0; i < config->shards_count; i++)
        route_memory_init(&index->memories[i], qsbr);
    index->tries = memory_acquire_aligned(64, (partitions_count + 1) * sizeof *index->tries);
    for (uint32_t i = 0; i <= partitions_count; i++)
        route_trie_init(&index->tries[i], &index->memories[route_index_writer(index, i)], config->hash_seed, hash_mask);
    return index;
}

void route_index_destroy(struct route_index *index)
{
    if (index == NULL) return;
    for (uint32_t i = 0; i <= index->partitions_count; i++)
        route_trie_clear(&index->tries[i]);
    for (uint32_t i = 0; i < index->shards_count; i++)
        route_memory_release_all(&index->memories[i]);
    memory_release(index->tries);
    memory_release(index->memories);
    memory_release(index);
}

uint32_t route_index_partitions_count(const struct route_index *index) { return index->partitions_count + 1; }
uint32_t route_index_wildcard_partition(const struct route_index *index) { return index->partitions_count; }
uint32_t route_index_writer(const struct route_index *index, uint32_t partition) { return partition % index->shards_count; }

static uint32_t partition_of(const struct route_index *index, struct span first)
{
    if (level_is(first, '+') || level_is(first, '#')) return index->partitions_count;
    return (uint32_t)(route_level_hash(first, index->hash_seed) >> 32) & (index->partitions_count - 1);
}

uint32_t route_index_partition(const struct route_index *index, struct span filter_or_topic)
{
    struct span first, rest;
    level_cut(filter_or_topic, &first, &rest);
    return partition_of(index, first);
}

bool route_index_accepts(struct span filter)
{
    uint32_t levels_count = 1;
    for (size_t i = 0; i < filter.bytes; i++)
        levels_count += filter.data[i] == '/';
    return levels_count <= TOPIC_LEVELS_MAX && filter.bytes <= MQTT_STRING_BYTES_MAX;
}

bool route_index_add(struct route_index *index, struct span filter, const struct route *route)
{
    struct levels levels;
    levels_split(filter, &levels);
    CHECK(!levels.deeper && filter.bytes <= MQTT_STRING_BYTES_MAX); /* route_index_accepts() */
    return route_trie_add(&index->tries[partition_of(index, levels.items[0])], filter, &levels, route);
}

bool route_index_remove(struct route_index *index, struct span filter, struct span group, uint16_t target)
{
    struct levels levels;
    levels_split(filter, &levels);
    if (levels.deeper) return false; /* was never added */
    return route_trie_remove(&index->tries[partition_of(index, levels.items[0])], &levels, group, target);
}

uint64_t route_index_version(const struct route_index *index, uint32_t partition)
{
    return atomic_load_explicit(route_index_version_at(index, partition), memory_order_acquire); /* pairs: version_grow */
}

const _Atomic uint64_t *route_index_version_at(const struct route_index *index, uint32_t partition)
{
    DCHECK(partition <= index->partitions_count);
    return &index->tries[partition].version;
}

const struct route_trie *route_index_trie(const struct route_index *index, uint64_t first_hash)
{
    return &index->tries[(uint32_t)(first_hash >> 32) & (index->partitions_count - 1)];
}

const struct route_trie *route_index_wildcard_trie(const struct route_index *index) { return &index->tries[index->partitions_count]; }
uint64_t route_index_hash_seed(const struct route_index *index) { return index->hash_seed; }

void route_index_match(const struct route_index *index, struct span topic, struct route_match *ret)
{
    struct route_walk walk;
    uint64_t first_hash = route_walk_begin(&walk, topic, index->hash_seed, ret);
    route_match_clear(ret);
    route_walk_trie(&walk, route_index_trie(index, first_hash));
    if (topic.bytes == 0 || topic.data[0] != '$') route_walk_trie(&walk, route_index_wildcard_trie(index));
    route_match_seal(ret);
}

void route_index_collect(struct route_index *index, uint32_t shard)
{
    DCHECK(shard < index->shards_count);
    route_memory_collect(&index->memories[shard]);
}

const struct route_memory *route_index_memory(const struct route_index *index, uint32_t shard) { return &index->memories[shard]; }

static uint64_t counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void route_index_stats(const struct route_index *index, struct route_index_stats *ret_stats)
{
    struct route_index_stats stats = {0};
    for (uint32_t i = 0; i <= index->partitions_count; i++) {
        const struct route_trie *trie = &index->tries[i];
        stats.filters += counter_read(&trie->filters);
        stats.routes += counter_read(&trie->routes);
        stats.nodes += counter_read(&trie->nodes);
        stats.bytes += counter_read(&trie->bytes);
    }
    for (uint32_t i = 0; i < index->shards_count; i++)
        stats.retired_blocks += counter_read(&index->memories[i].retired_blocks);
    *ret_stats = stats;
}
