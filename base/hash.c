#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_span(struct span bytes) { return XXH3_64bits(bytes.data, bytes.bytes); }

uint64_t hash_span_seeded(struct span bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.bytes, seed);
}
