/* map.h - hash table from a byte string to a pointer: open addressing, keys belong to the values.
 *
 * Keys are hashed with a seed of the process (map_seed()), for two reasons: strangers choose them (client ids, user names), and whoever knew the hash could choose
 * such that all of them stand in one row; and the plain hash of a client id says which shard it lives on, so that a shard's sessions would share their lower bits.
 *
 * The table stores (hash, value) only; the owner says with key_of() where a value's key lies, so a key is held once. A table that grows moves
 * a few buckets with each insertion, so that none takes long, however many there are; until it is through, the old one is looked
 * at, too. It never shrinks below what it had, except by map_free().
 * Owner: whoever embeds it. Threads: one. Failure: none. */
#ifndef RINGMQ_BASE_MAP_H
#define RINGMQ_BASE_MAP_H

#include "base/span.h"

struct map_entry {
    uint64_t hash;
    void *value; /* NULL: empty */
};

struct map {
    struct span (*key_of)(const void *value);
    struct map_entry *entries;
    uint32_t mask; /* entries - 1, or 0 before the first insertion */
    uint32_t count;
    struct map_entry *old; /* being moved from: what lies before `moved` is in `entries`, too; NULL: none */
    uint32_t old_mask, moved;
};

/* Before the first table of the process has an entry; without it the seed is 0, as tests want it. */
void map_seed(uint64_t seed);
void map_init(struct map *map, struct span (*key_of)(const void *value));
void map_free(struct map *map); /* the values are the owner's */
void *map_find(const struct map *map, struct span key);
/* The key must not be in the table yet. */
void map_insert(struct map *map, void *value);
/* Returns what was removed, or NULL. */
void *map_remove(struct map *map, struct span key);

/* Visits every value once; the table must not be changed meanwhile, except that the visited value may be released after the
 * whole walk. `*cursor` begins at 0; NULL ends the walk. */
void *map_next(const struct map *map, uint32_t *cursor);

/* A walk in slices, between which the table may change in any way: what is in it from the first slice to the last is visited
 * exactly once, what comes or goes meanwhile once or not at all. It goes from bucket to bucket of the table as it was when
 * the walk began; when that has grown, a bucket has become several, which are visited together. Begins as {0}. */
struct map_walk {
    uint32_t mask;   /* of the table at the beginning */
    uint32_t bucket; /* the next one; mask + 1: done */
    bool begun;
};
/* Visits a bucket (as a rule less than one value on average) and steps on. False: there is none left. */
bool map_walk_next(const struct map *map, struct map_walk *walk, void (*visit)(void *context, void *value), void *context);

#endif
