/* match_cache.h - one shard's memory of what a topic matched, already split by who has to be told.
 *
 * A hit costs one hash of the topic, one compare of its bytes and two loads of partition versions (the topic's first level's and
 * the wildcard partition's). An entry whose versions have changed is matched again in place.
 *
 * Owner:    the shard. Entries own their memory; nothing points into the route index.
 * Lifetime: what match_cache_lookup() returns is valid until the next call on the same cache.
 * Threads:  one shard; a registered reader of the index's qsbr, awake (route_index.h).
 * Bounds:   entries_max entries (8-way sets, second chance within the set) and about bytes_max bytes; a result that alone
 *           is larger than an eighth of bytes_max is matched each time and not kept. Where an entry would take the place of another, the topic must
 *           have come before: each set knows the last eight that it has turned away. No malloc on a hit. */
#ifndef RINGMQ_ROUTER_MATCH_CACHE_H
#define RINGMQ_ROUTER_MATCH_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "router/route_index.h"
#include "router/sinks.h"

/* The ids one other target gets with the message. */
struct match_target {
    const uint32_t *ids; /* local filter ids of that target */
    uint32_t ids_count;  /* at least 1 */
    uint16_t target;
};

struct match_set {
    const uint32_t *local_ids; /* plain filters with sinks on this shard, and those of sinks that want what is published here alone */
    const struct match_target *others; /* plain filters elsewhere, one entry per target, by rising target */
    const struct route_group *groups;  /* shared groups; their targets may include this shard */
    uint32_t local_ids_count, others_count, groups_count;
    uint64_t topic_hash; /* of the topic's bytes: for share_pick_shard() */
};

static inline bool match_set_empty(const struct match_set *set)
{
    return (set->local_ids_count | set->others_count | set->groups_count) == 0;
}

struct match_cache;

/* self: the target number of this shard. entries_max is rounded up to a multiple of 8; bytes_max counts entries, not the table. */
struct match_cache *match_cache_create(const struct route_index *index, uint16_t self, uint32_t entries_max,
                                       uint64_t bytes_max);
void match_cache_destroy(struct match_cache *cache); /* accepts NULL */
/* The shard's sinks: a topic's are fetched while its match is being remembered. They must outlive the cache; without them nothing is fetched.
 * scout_from: so many filters make misses expensive (match_cache_wants_scout()); fewer lie in the processor's caches. */
#define SCOUT_FILTERS_MIN 20000
void match_cache_serves(struct match_cache *cache, const struct sinks *sinks, uint32_t scout_from);

/* For route_scout.c. Asks the memory for the topic's set and returns the topic's hash; then: may it be that the topic is remembered? */
uint64_t match_cache_expect(const struct match_cache *cache, struct span topic);
bool match_cache_may_know(const struct match_cache *cache, uint64_t topic_hash);

/* Do most lookups miss, among so many filters of this shard that a miss is expensive? Who then scouts says how many topics were unknown. */
bool match_cache_wants_scout(const struct match_cache *cache);
void match_cache_scouted(struct match_cache *cache, uint32_t unknown);

/* Never NULL; nobody wants the topic: match_set_empty(). */
const struct match_set *match_cache_lookup(struct match_cache *cache, struct span topic);

struct match_cache_stats {
    uint64_t hits, misses; /* a miss: not there, or there and outdated */
    uint64_t outdated, evicted;
    uint64_t passed; /* misses that were not kept, being the first */
    uint64_t bytes, entries;
};
struct match_cache_stats match_cache_stats(const struct match_cache *cache);

#endif
