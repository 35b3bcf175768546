/* route_scout.h - looks ahead for topics that will be matched in a moment: asks the memory for what that will touch.
 *
 * Among a million filters a match is a chain of about five loads, each of which only the one before it can name and no cache has: the processor would wait for
 * them one after the other, message for message. Where several messages have come together, the scout goes down all their chains side by side, a step
 * of each in turn, and each step only asks for the line that the next one needs. A topic that the match cache remembers has such a chain, too, if a shorter one.
 *
 * What is found on the way is not thrown away: where a topic leads to one filter of this shard, or to none, that is its match, and the cache
 * hands it out when the topic is looked up (router/match_ahead.h). Everything else is matched as if nobody had been there, and finds everything at hand.
 *
 * Threads and lifetimes: a reader as route_index_match() is one. Calls count as calls of the match cache. */
#ifndef RINGMQ_ROUTER_ROUTE_SCOUT_H
#define RINGMQ_ROUTER_ROUTE_SCOUT_H

#include "router/match_cache.h"

/* `self`: the target whose ids are those of `sinks`. ret_who[i]: one of those that topic i goes to, likely to be touched first (already asked for); NULL: it was not
 * found. Returns how many of the topics were cold. The cache must scout (match_cache_serves()). At most SCOUT_TOPICS. */
uint32_t route_scout(const struct route_index *index, struct match_cache *cache, const struct sinks *sinks, uint16_t self, const struct span *topics,
                     uint32_t count, void **ret_who);

#endif
