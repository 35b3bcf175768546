/* route_scout.h - looks ahead for topics that will be matched in a moment: asks the memory for what that will touch.
 *
 * Among a million filters a match is a chain of about five loads, each of which only the one before it can name and no cache has: the processor would wait for
 * them one after the other, message for message. Where several messages have come together, the scout goes down all their chains side by side, a step
 * of each in turn, and each step only asks for the line that the next one needs. The match itself then finds everything there. It decides
 * nothing: what it misses costs time and nothing else.
 *
 * Threads and lifetimes: a reader as route_index_match() is one; all it knows is forgotten when it returns. */
#ifndef RINGMQ_ROUTER_ROUTE_SCOUT_H
#define RINGMQ_ROUTER_ROUTE_SCOUT_H

#include "router/match_cache.h"

/* More at once than the memory can answer at once brings nothing. */
#define SCOUT_TOPICS 16

/* Topics that the cache remembers are left out; returns how many are not. `self`: the target whose ids are those of `sinks`. */
uint32_t route_scout(const struct route_index *index, const struct match_cache *cache, const struct sinks *sinks, uint16_t self, const struct span *topics,
                 uint32_t count);

#endif
