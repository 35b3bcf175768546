#include "features/acl/acl_cache.h"

#include "base/hash.h"
#include "base/memory.h"

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
    memory_release(cache->pending);
    acl_rules_release(cache->rules);
    memory_release(cache);
}

void acl_cache_forget(struct acl_cache *cache)
{
    cache->recent = NULL;
    for (uint32_t i = 0; i < cache->size; i++) {
        memory_release(cache->entries[i]);
        cache->entries[i] = NULL;
    }
    if (cache->pending && cache->pending->state == ACL_PENDING_WAITS) cache->pending->keeps = false; /* the answer may be older than the wish */
}

struct acl_cache *acl_cache_current(struct acl_cache *cache, uint32_t size, uint32_t generation, const struct acl_rules *rules)
{
    if (cache && cache->size == size && cache->generation == generation && cache->rules == rules) return cache;
    struct acl_pending *pending = cache ? cache->pending : NULL; /* it goes on, and looks itself whether it is still wanted */
    if (cache) cache->pending = NULL;
    acl_cache_release(cache);
    cache = acl_cache_create(size);
    cache->pending = pending;
    cache->generation = generation;
    cache->rules = rules ? acl_rules_share(rules) : NULL;
    return cache;
}

static uint64_t hash_of(const struct acl_cache_key *key)
{
    return hash_span(key->topic) + (uint64_t)(key->action << 3 | key->qos << 1 | key->retain) * 0x9e3779b97f4a7c15ull;
}

/* The set of places a topic may be in, the one found last first. */
static struct acl_cache_entry **set_of(struct acl_cache *cache, uint64_t hash, uint32_t *ret_ways)
{
    *ret_ways = cache->size < ACL_CACHE_WAYS ? cache->size : ACL_CACHE_WAYS;
    return &cache->entries[(hash & (cache->size / *ret_ways - 1)) * *ret_ways];
}

static struct acl_cache_entry *to_front(struct acl_cache_entry **set, uint32_t way)
{
    struct acl_cache_entry *entry = set[way];
    for (; way > 0; way--)
        set[way] = set[way - 1];
    return set[0] = entry;
}

const struct acl_cache_entry *acl_cache_find(struct acl_cache *cache, struct acl_cache_key *key, uint64_t now_ms)
{
    struct acl_cache_entry *entry = cache->recent;
    if (!entry || !acl_cache_entry_is(entry, key)) {
        key->hash = hash_of(key);
        uint32_t ways, way = 0;
        struct acl_cache_entry **set = set_of(cache, key->hash, &ways);
        while (way < ways && !(set[way] && set[way]->hash == key->hash && acl_cache_entry_is(set[way], key)))
            way++;
        if (way == ways) return NULL;
        cache->recent = entry = to_front(set, way);
    }
    if (entry->until_ms <= now_ms) {
        key->hash = entry->hash;
        return NULL;
    }
    return entry;
}

void acl_cache_put(struct acl_cache *cache, const struct acl_cache_key *key, uint64_t until_ms, struct acl_cache_verdict verdict)
{
    cache->recent = NULL; /* it may be the one that goes */
    if (key->topic.bytes > ACL_CACHE_TOPIC_BYTES_MAX) return;
    uint32_t ways, way = 0;
    struct acl_cache_entry **place = set_of(cache, key->hash, &ways);
    while (way < ways - 1 && place[way] && !(place[way]->hash == key->hash && acl_cache_entry_is(place[way], key)))
        way++; /* its old verdict, an empty place, or whoever was asked for longest ago */
    to_front(place, way);
    if (!*place || (*place)->capacity < key->topic.bytes) {
        size_t capacity = key->topic.bytes < 32 ? 32 : key->topic.bytes;
        memory_release(*place);
        *place = memory_acquire(sizeof **place + capacity);
        (*place)->capacity = (uint16_t)capacity;
    }
    struct acl_cache_entry *entry = *place;
    entry->hash = key->hash;
    entry->until_ms = until_ms;
    entry->verdict = verdict;
    entry->action = key->action;
    entry->qos = key->qos;
    entry->retain = key->retain;
    entry->bytes = (uint16_t)key->topic.bytes;
    memcpy(entry->topic, key->topic.data, key->topic.bytes);
}
