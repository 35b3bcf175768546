/* route_index.h - the node-wide map: topic filter → the targets (shards, later remote nodes) that have sinks on it.
 *
 *     filter ── first level a wildcard? ──yes──▶ the wildcard partition (the last one)
 *                       │no
 *                       └─ hash(first level) ──▶ one of `partitions_count` partitions
 *
 *     partition = a trie, one node per level; `+` is an ordinary child, `#` is a second set of routes on its parent
 *                 (which is why `a/#` matches `a`)
 *
 * Owner:    the node: created before the shards start, destroyed after all of them have stopped.
 * Threads:  each partition has one writing shard, route_index_writer(); route_index_add(), _remove() and _collect() are
 *           called there only (debug builds check that two writers never meet). route_index_match() and
 *           route_index_version() are lock-free, on any registered reader of the qsbr: between its qsbr_wake() and
 *           qsbr_sleep(), and not across a qsbr_pass(). route_index_stats() on any thread.
 * Barriers: a change is published by one release store, then the partition's version grows (release). A reader takes the
 *           version (acquire) BEFORE it matches and keeps it with the result: while the version is the same, so is the
 *           result. When add() or remove() has returned, any thread that learns of it (through a lane) sees the change.
 * Memory:   what a reader may still see goes to the writing shard's retire list; route_index_collect() once a turn
 *           releases it after a grace period.
 * Input:    topics and filters are already validated (UTF-8, wildcards alone in their level) and a `$share/group/` prefix is already
 *           split off. A filter has at most TOPIC_LEVELS_MAX levels: ask route_index_accepts() at SUBSCRIBE, adding a
 *           deeper one is our own mistake (CHECK). A topic may be of any depth. No text needs to outlive the call.
 * `$`:      a topic that begins with `$` is hidden from filters that begin with a wildcard.
 * Failure:  none; running out of memory stops the process (base/memory.h). */
#ifndef RINGMQ_ROUTER_ROUTE_INDEX_H
#define RINGMQ_ROUTER_ROUTE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/qsbr.h"
#include "base/span.h"
#include "router/route_match.h"

#define ROUTE_PARTITIONS_DEFAULT 64

struct route_index;

struct route_index_config {
    uint32_t shards_count;     /* writers: partitions are dealt round-robin to shards 0 … shards_count - 1 */
    uint32_t partitions_count; /* a power of two; 0 means ROUTE_PARTITIONS_DEFAULT. The wildcard partition comes on top. */
    uint64_t hash_seed;        /* so that nobody can prepare colliding levels; any number */
    uint32_t hash_bits;        /* 0 means all; tests set a few to make levels collide */
};

/* The index keeps `qsbr` (not owned; must outlive it). */
struct route_index *route_index_create(const struct route_index_config *config, struct qsbr *qsbr);
/* No reader and no writer may be left. Accepts NULL. */
void route_index_destroy(struct route_index *index);

/* 0 … route_index_partitions_count() - 1; the last one is the wildcard partition. */
uint32_t route_index_partitions_count(const struct route_index *index);
uint32_t route_index_partition(const struct route_index *index, struct span filter_or_topic);
uint32_t route_index_wildcard_partition(const struct route_index *index);
/* The only shard that may change the partition. */
uint32_t route_index_writer(const struct route_index *index, uint32_t partition);

struct route {
    struct span group;  /* the share group; empty: a plain subscription */
    uint32_t local_id;  /* opaque: what the target wants back with each match, sinks_add()'s local_id */
    uint32_t weight;    /* members of the group on that target, at least 1; ignored for plain routes */
    uint16_t target;    /* which shard; opaque */
    uint8_t strategy;   /* enum share_strategy; one per group, the last one said wins; ignored for plain routes */
};

/* False: too many levels or bytes for route_index_add(); the peer's mistake, a reason code. */
bool route_index_accepts(struct span filter);
/* Adds the route, or updates local_id, weight and strategy of the one with the same (filter, group, target).
 * True: added. False: updated. */
bool route_index_add(struct route_index *index, struct span filter, const struct route *route);
/* False: there was no such route. Empty nodes go with the last route below them. */
bool route_index_remove(struct route_index *index, struct span filter, struct span group, uint16_t target);

/* Starts at 1 and grows with every change of the partition. */
uint64_t route_index_version(const struct route_index *index, uint32_t partition);
/* The same counter for those that look at it often; lives as long as the index. */
const _Atomic uint64_t *route_index_version_at(const struct route_index *index, uint32_t partition);

/* Who wants `topic`. *ret is emptied first. */
void route_index_match(const struct route_index *index, struct span topic, struct route_match *ret);

/* Once a turn on each shard: releases what this shard has retired and nobody can see any more. Cheap when there is nothing. */
void route_index_collect(struct route_index *index, uint32_t shard);
struct route_memory;
const struct route_memory *route_index_memory(const struct route_index *index, uint32_t shard); /* that: ask route_memory_waits() first */

struct route_index_stats {
    uint64_t filters; /* distinct filters; `a/b` plain and `a/b` in three groups are one */
    uint64_t routes;  /* (filter, group, target) */
    uint64_t nodes;   /* of all tries, roots not counted */
    uint64_t bytes;   /* of nodes, child tables and route sets as asked from the allocator; retired memory not counted */
    uint64_t retired_blocks; /* waiting for readers */
};
/* Each number is exact for some recent moment, not all for the same one. */
void route_index_stats(const struct route_index *index, struct route_index_stats *ret_stats);

#endif
