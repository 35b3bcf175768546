/* match_ahead.h - matches that a scout has found on its way (route_scout.h), for topics that will be looked up in a moment. Internal to router/.
 *
 * A match that leads to one filter of this shard at most is whole when the scout has been everywhere: then nobody needs to go there again. The topic's text lies in
 * here, and the partitions' versions as they were before: whether what was found is about a topic, and still so, never depends on when it is asked.
 *
 * Owner: the match cache, for as long as it lives. Threads: the shard. */
#ifndef RINGMQ_ROUTER_MATCH_AHEAD_H
#define RINGMQ_ROUTER_MATCH_AHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "router/match_cache.h"

#define AHEAD_TEXT_BYTES 96 /* longer topics are matched when they are there */

struct match_ahead {
    const _Atomic uint64_t *first_at, *wildcard_at; /* the two partitions' versions … */
    uint64_t first_version, wildcard_version;       /* … as they were before the walk */
    struct match_set set;
    uint32_t local_id;   /* what set.local_ids points to */
    uint16_t text_bytes;
    bool whole;          /* this is all; else nothing is known */
    uint8_t text[AHEAD_TEXT_BYTES];
};

struct match_aheads {
    uint32_t next, count; /* those before `next` have been passed */
    struct match_ahead items[SCOUT_TOPICS];
};

/* Topics come in the order in which they were scouted, some of them never. NULL: not known. Asked for twice it is found twice. */
static inline struct match_ahead *match_ahead_find(struct match_aheads *aheads, struct span topic)
{
    for (uint32_t i = aheads->next; i < aheads->count; i++) {
        struct match_ahead *ahead = &aheads->items[i];
        if (!ahead->whole || ahead->text_bytes != topic.bytes || memcmp(ahead->text, topic.data, topic.bytes) != 0) continue;
        aheads->next = i;
        bool current = atomic_load_explicit(ahead->first_at, memory_order_acquire) == ahead->first_version &&
                       atomic_load_explicit(ahead->wildcard_at, memory_order_acquire) == ahead->wildcard_version;
        return current ? ahead : NULL;
    }
    return NULL;
}

#endif
