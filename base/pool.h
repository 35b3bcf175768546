/* pool.h - memory for what comes and goes with every message: size classes with free lists, one pool a shard.
 *
 * Blocks of up to POOL_BLOCK_BYTES_MAX come from slabs and are handed out and taken back in a handful of instructions;
 * larger ones come from the heap. Slabs are kept for reuse until the pool is released.
 *
 * Owner:    one shard. Threads: that shard only: what another shard was lent goes home over its lane first.
 * Units:    bytes. pool_release() must be told the size the block was acquired with.
 * Failure:  none (base/memory.h). How much a pool may hold is bounded by those who acquire from it. */
#ifndef RINGMQ_BASE_POOL_H
#define RINGMQ_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_CLASSES         54 /* 16 … 65536; 8 bytes apart up to 128, at most an eighth apart up to 512, a quarter up to 8192 */
#define POOL_BLOCK_BYTES_MAX 65536

struct pool_region;

/* What is left of a class's newest slab. */
struct pool_fresh {
    uint8_t *slab;
    uint32_t blocks;
};

struct pool {
    void *free_lists[POOL_CLASSES];
    struct pool_fresh fresh[POOL_CLASSES];
    struct pool_region *regions;
    uint32_t regions_count;
    uint32_t region_slabs; /* of the first region, not yet given to a class */
    uint64_t bytes_used;   /* handed out, heap blocks included */
    uint64_t bytes_slabs;  /* taken from the system for slabs  */
    uint64_t blocks_used;
};

void pool_init(struct pool *pool);
/* Releases the slabs. CHECKs that every block came back. */
void pool_free(struct pool *pool);
/* Aligned to 8 bytes; to 16 when more than 128 are asked for, or a multiple of 16. */
void *pool_acquire(struct pool *pool, size_t bytes);
void *pool_acquire_zeroed(struct pool *pool, size_t bytes);
void pool_release(struct pool *pool, void *block, size_t bytes);
/* The bytes that a block asked for with `bytes` really has. */
size_t pool_block_bytes(size_t bytes);

#endif
