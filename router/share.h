/* share.h - which member of a shared group ($share) gets the message. Two steps: the publisher's shard picks the target by
 * the weights in the route, the target picks the member from its sinks. No counter is shared between shards.
 *
 *     strategy         the target (publisher's shard)          the member (its own shard)
 *     random           by weight                               any
 *     round-robin      this shard's turn counter, by weight    the next one, whoever published
 *     sticky           the same until it leaves                the same until it leaves or cannot take it
 *     hash-client-id   by the publisher, by weight             by the publisher
 *     hash-topic       by the topic, by weight                 by the topic
 *     least-inflight   by weight                               the one with the fewest messages in flight
 *     local            the publisher's own shard while it has  the next one, whoever published
 *                      one who can take it, else by weight
 *
 * Owner:   the shard: one share_state each, used for both steps.
 * Threads: one shard.
 * Bounds:  the state remembers SHARE_MEMORY_GROUPS groups per step (round-robin turns, sticky choices) in fixed tables; a group
 *          pushed out begins again. No malloc after share_create(). */
#ifndef RINGMQ_ROUTER_SHARE_H
#define RINGMQ_ROUTER_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "router/route_match.h"
#include "router/sinks.h"

enum share_strategy {
    SHARE_RANDOM,
    SHARE_ROUND_ROBIN,
    SHARE_STICKY,
    SHARE_HASH_CLIENT_ID,
    SHARE_HASH_TOPIC,
    SHARE_LEAST_INFLIGHT,
    SHARE_LOCAL_FIRST,
    SHARE_STRATEGIES_COUNT
};

/* In place of a strategy: no group at all, but sinks that want what is published on their own shard, each of it (broker/features/sink.c). The match
 * cache makes plain filters of them. Their "group" is a name that no client can write, since it is no UTF-8. */
#define SHARE_LOCAL       UINT8_MAX
#define SHARE_LOCAL_GROUP SPAN_LITERAL("\xff")
static inline bool share_is_local(struct span group) { return group.bytes && group.data[0] == 0xFF; }

#define SHARE_MEMORY_GROUPS 4096
#define SHARE_NONE UINT32_MAX
/* share_load's answers for a member that cannot take a message now, best first: its queue has room; its queue is nearly full; it is offline, or so slow
 * that nobody should wait for it. */
#define SHARE_WAITING     (UINT32_MAX - 2)
#define SHARE_PRESSED     (UINT32_MAX - 1)
#define SHARE_UNAVAILABLE UINT32_MAX

const char *share_strategy_name(enum share_strategy strategy); /* "random" … "local" */
/* Accepts any case and any `-` and `_` between the letters: "round_robin", "hash-clientid". False: no such strategy. */
bool share_strategy_from_name(struct span name, enum share_strategy *ret_strategy);

/* Whether a member is chosen by the hashes of struct share_keys. */
static inline bool share_hashes(enum share_strategy strategy) { return strategy == SHARE_HASH_CLIENT_ID || strategy == SHARE_HASH_TOPIC; }

struct share_state;

/* seed: differs between shards, so that they do not all begin their round with the same member. */
struct share_state *share_create(uint64_t seed);
void share_destroy(struct share_state *state); /* accepts NULL */

/* What a choice may depend on. The target's shard needs the same values: they travel with the message or are made again. */
struct share_keys {
    uint64_t publisher_hash; /* of the publisher's client id */
    uint64_t topic_hash;     /* match_set.topic_hash or hash_span(topic) */
    uint64_t random;         /* fresh for every pick */
    uint32_t shard;          /* the publisher's: for share_pick_shard() */
};

/* An index into group->targets; always one. When that target turns out to have nobody who can take the message, the caller
 * may go on with (index + 1) % targets_count. */
uint32_t share_pick_shard(struct share_state *state, const struct route_group *group, const struct share_keys *keys);

/* Another target than that one, by weight; for groups of more than one. */
uint32_t share_pick_other(const struct route_group *group, uint32_t index, const struct share_keys *keys);

/* How many messages the member has in flight, or SHARE_WAITING and its like. Must not change the sinks table. */
typedef uint32_t share_load(void *context, const struct sink *sink);

struct share_choice {
    uint32_t index; /* into sinks; SHARE_NONE: there is no member at all (stale id, or holes only) */
    bool available; /* false: none can take it now; index is the first of those for whom waiting is best, from the one whose turn it is on */
    uint32_t load;  /* what it answered */
};

/* strategy: the route's. local_id: the group's filter in this shard's sinks table; `sinks` is sinks_get() of it. Skips holes.
 * Asks one member in the common case (least-inflight: up to SHARE_ASKED_MAX, from a random place on), all of them when
 * nobody can take it. */
#define SHARE_ASKED_MAX 64
struct share_choice share_pick_member(struct share_state *state, enum share_strategy strategy, uint32_t local_id,
                                      struct sinks_view sinks, const struct share_keys *keys, share_load *load,
                                      void *context);

/* Where members take turns: the index of whose turn it is, perhaps beyond the last (then modulo their number), to be changed by whoever gives a message to that
 * member without share_pick_member(). Good until the next call of any of these functions. NULL: the strategy is another one. */
uint64_t *share_member_turn(struct share_state *state, enum share_strategy strategy, uint32_t local_id);

/* Whether any of them can take a message now. */
bool share_has_room(struct sinks_view sinks, const struct share_keys *keys, share_load *load, void *context);

#endif
