#include "base/pool.h"

#include "base/check.h"
#include "base/memory.h"

/* A slab is one allocation cut into blocks of one class. */
struct pool_slab {
    struct pool_slab *next;
    _Alignas(64) uint8_t blocks[];
};

#define SLAB_BYTES       (64 * 1024)
#define CLASS_BYTES_512  6

static const uint32_t class_bytes[POOL_CLASSES] = {64,   96,   128,  192,  256,   384,   512,
                                                   1024, 2048, 4096, 8192, 16384, 32768, 65536};

static inline uint32_t class_of(size_t bytes)
{
    if (bytes <= 128) return bytes <= 64 ? 0 : bytes <= 96 ? 1 : 2;
    if (bytes <= 512) return bytes <= 192 ? 3 : bytes <= 256 ? 4 : bytes <= 384 ? 5 : CLASS_BYTES_512;
    return CLASS_BYTES_512 - 8 + (63 - (uint32_t)__builtin_clzll(bytes - 1));
}

void pool_init(struct pool *pool) { *pool = (struct pool){0}; }

void pool_free(struct pool *pool)
{
    CHECK(pool->blocks_used == 0);
    while (pool->slabs) {
        struct pool_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        memory_release(slab);
    }
    pool_init(pool);
}

static void pool_refill(struct pool *pool, uint32_t class)
{
    struct pool_slab *slab = memory_acquire_aligned(64, sizeof *slab + SLAB_BYTES);
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->bytes_slabs += SLAB_BYTES;
    for (size_t at = 0; at + class_bytes[class] <= SLAB_BYTES; at += class_bytes[class]) {
        void *block = slab->blocks + at;
        *(void **)block = pool->free_lists[class];
        pool->free_lists[class] = block;
    }
}

void *pool_acquire(struct pool *pool, size_t bytes)
{
    pool->blocks_used++;
    if (UNLIKELY(bytes > POOL_BLOCK_BYTES_MAX)) {
        pool->bytes_used += bytes;
        return memory_acquire(bytes);
    }
    uint32_t class = class_of(bytes);
    if (UNLIKELY(!pool->free_lists[class])) pool_refill(pool, class);
    void *block = pool->free_lists[class], *next = *(void **)block;
    pool->free_lists[class] = next;
    __builtin_prefetch(next, 1); /* read by the next call, and written by its caller */
    pool->bytes_used += class_bytes[class];
    return block;
}

void pool_release(struct pool *pool, void *block, size_t bytes)
{
    DCHECK(block != NULL && pool->blocks_used > 0);
    pool->blocks_used--;
    if (UNLIKELY(bytes > POOL_BLOCK_BYTES_MAX)) {
        pool->bytes_used -= bytes;
        memory_release(block);
        return;
    }
    uint32_t class = class_of(bytes);
    *(void **)block = pool->free_lists[class];
    pool->free_lists[class] = block;
    pool->bytes_used -= class_bytes[class];
}

size_t pool_block_bytes(size_t bytes)
{
    return bytes > POOL_BLOCK_BYTES_MAX ? bytes : class_bytes[class_of(bytes)];
}
