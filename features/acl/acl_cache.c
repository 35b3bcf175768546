#include "features/acl/acl_cache.h"

#include "base/hash.h"
#include "base/memory.h"

struct entry {
    uint64_t hash, until_ms;
    struct acl_cache_verdict verdict;
    uint8_t action, qos;
    bool retain;
    uint16_t bytes, capacity;
    uint8_t topic[];
};

struct acl_cache {
    uint32_t size, generation;
    const void *rules;
    struct entry *entries[];
};

struct acl_cache *acl_cache_create(uint32_t size)
{
    struct acl_cache *cache = memory_acquire_zeroed(sizeof *cache + size * sizeof *cache->entries);
    cache->size = size;
    return cache;
}

void acl_cache_release(struct acl_cache *cache)
{
    if (!cache) return;
    for (uint32_t i = 0; i < cache->size; i++)
        memory_release(cache->entries[i]);
    memory_release(cache);
}

struct acl_cache *acl_cache_current(struct acl_cache *cache, uint32_t size, uint32_t generation, const void *rules)
{
    if (cache && cache->size == size && cache->generation == generation && cache->rules == rules) return cache;
    acl_cache_release(cache);
    cache = acl_cache_create(size);
    cache->generation = generation;
    cache->rules = rules;
    return cache;
}

struct acl_cache_key acl_cache_key(enum acl_action action, struct span topic, uint8_t qos, bool retain)
{
    struct acl_cache_key key = {.topic = topic, .action = (uint8_t)action, .qos = qos, .retain = retain};
    key.hash = hash_span(topic) + (uint64_t)(action << 3 | qos << 1 | retain) * 0x9e3779b97f4a7c15ull;
    return key;
}

bool acl_cache_find(const struct acl_cache *cache, const struct acl_cache_key *key, uint64_t now_ms, struct acl_cache_verdict *ret_verdict)
{
    const struct entry *entry = cache->entries[key->hash & (cache->size - 1)];
    if (!entry || entry->hash != key->hash || entry->until_ms <= now_ms) return false;
    bool same = entry->action == key->action && entry->qos == key->qos && entry->retain == key->retain &&
                span_equal(span_of(entry->topic, entry->bytes), key->topic);
    if (same) *ret_verdict = entry->verdict;
    return same;
}

void acl_cache_put(struct acl_cache *cache, const struct acl_cache_key *key, uint64_t until_ms, struct acl_cache_verdict verdict)
{
    if (key->topic.bytes > ACL_CACHE_TOPIC_BYTES_MAX) return;
    struct entry **place = &cache->entries[key->hash & (cache->size - 1)];
    if (!*place || (*place)->capacity < key->topic.bytes) {
        size_t capacity = key->topic.bytes < 32 ? 32 : key->topic.bytes;
        memory_release(*place);
        *place = memory_acquire(sizeof **place + capacity);
        (*place)->capacity = (uint16_t)capacity;
    }
    struct entry *entry = *place;
    entry->hash = key->hash;
    entry->until_ms = until_ms;
    entry->verdict = verdict;
    entry->action = key->action;
    entry->qos = key->qos;
    entry->retain = key->retain;
    entry->bytes = (uint16_t)key->topic.bytes;
    memcpy(entry->topic, key->topic.data, key->topic.bytes);
}
