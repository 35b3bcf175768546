/* route_walk.h - one topic's way down the tries. Internal to router/.
 *
 * A node's label, a leaf's tail and the topic are compared where they lie; the topic is cut and hashed only at levels where a table of children
 * has to be asked, each level once for all partitions. There is no limit to the topic's depth: the tries' own bounds the walk.
 *
 * Lifetime: on the reader's stack, for one topic. Threads: any reader of route_index.h. */
#ifndef RINGMQ_ROUTER_ROUTE_WALK_H
#define RINGMQ_ROUTER_ROUTE_WALK_H

#include "router/route_trie.h"

struct route_walk {
    const uint8_t *start, *end;
    uint64_t hash_seed;
    struct route_match *match;
    uint64_t known[(TOPIC_LEVELS_MAX + 63) / 64]; /* bit i: levels[i] is filled in */
    struct route_walk_level {
        uint32_t bytes, hash;
    } levels[TOPIC_LEVELS_MAX];
};

/* Returns the hash of the topic's first level. */
uint64_t route_walk_begin(struct route_walk *walk, struct span topic, uint64_t hash_seed, struct route_match *match);
/* Appends what the trie has for the topic. */
void route_walk_trie(struct route_walk *walk, const struct route_trie *trie);

/* What walks begin with, for route_scout.c (in route_index.c): the trie of the topics whose first level has this hash; the one of the filters that begin with a wildcard. */
const struct route_trie *route_index_trie(const struct route_index *index, uint64_t first_hash);
const struct route_trie *route_index_wildcard_trie(const struct route_index *index);
uint64_t route_index_hash_seed(const struct route_index *index);

#endif
