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
 * scout_from: so many filters make misses expensive; fewer lie in the processor's caches. *scouts (false at first) says whether topics had better be scouted
 * (route_scout.h) before they are looked up; it must outlive the cache, too. */
#define SCOUT_FILTERS_MIN 20000
void match_cache_serves(struct match_cache *cache, const struct sinks *sinks, uint32_t scout_from, bool *scouts);

/* For route_scout.c. More topics at once than the memory can answer at once bring nothing. */
#define SCOUT_TOPICS 16
struct match_aheads;
struct match_aheads *match_cache_aheads(struct match_cache *cache);
/* Asks the memory for the topic's set and returns the topic's hash. */
uint64_t match_cache_expect(const struct match_cache *cache, struct span topic);
/* Where the topic's match is if it is remembered; an address to fetch, then to look at: it may be another topic's. NULL: it is not remembered. */
const struct match_set *match_cache_may_know(const struct match_cache *cache, uint64_t topic_hash);
void match_cache_expect_known(const struct match_set *known);
/* Was this topic scouted lately, so that what belongs to it is likely to be in the processor's caches? It is now. */
bool match_cache_is_warm(struct match_cache *cache, uint64_t topic_hash);
/* Misses begin it, wherever filters are many. It ends when few of the topics are cold. */
void match_cache_scouted(struct match_cache *cache, uint32_t topics, uint32_t cold);

/* Never NULL; nobody wants the topic: match_set_empty(). */
const struct match_set *match_cache_lookup(struct match_cache *cache, struct span topic);

struct match_cache_stats {
    uint64_t hits, misses; /* a miss: not there, or there and outdated */
    uint64_t outdated, evicted;
    uint64_t passed; /* misses that were not kept, being the first */
    uint64_t ahead;  /* misses whose match the scout had found */
    uint64_t bytes, entries;
};
struct match_cache_stats match_cache_stats(const struct match_cache *cache);

#endif
