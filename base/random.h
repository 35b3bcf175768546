/* random.h - fast pseudo-random numbers from one seed (splitmix64). Never for secrets: use getrandom(2) there.
 * The simulation hands every shard its seed, so that a run is a function of one number. */
#ifndef RINGMQ_BASE_RANDOM_H
#define RINGMQ_BASE_RANDOM_H

#include <stdint.h>

#include "base/hash.h"

struct random_source {
    uint64_t state;
};

static inline uint64_t random_next(struct random_source *source)
{
    return hash_u64(source->state += 0x9e3779b97f4a7c15ull);
}

/* 0 … bound - 1; bound must not be 0. */
static inline uint64_t random_below(struct random_source *source, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(source) * bound) >> 64);
}

#endif
