/* hash.h - the one hash of the broker: XXH3, 64 bits. Not for secrets. */
#ifndef RINGMQ_BASE_HASH_H
#define RINGMQ_BASE_HASH_H

#include "base/span.h"

uint64_t hash_span(struct span bytes);
uint64_t hash_span_seeded(struct span bytes, uint64_t seed);

/* Mixes an integer (splitmix64's finisher), for tables keyed by numbers or pointers. */
static inline uint64_t hash_u64(uint64_t value)
{
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9ull;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

#endif
