#include "base/pool.h"

#include <stdbool.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/memory.h"

/* A slab is cut into blocks of one class. The first slabs of a pool are allocations of their own; a pool that has grown takes
 * regions of one huge page and cuts its slabs from those: messages that wait or are in flight are touched in no order the
 * processor could foresee, and with small pages half of that costs a walk through the page tables too (in a guest: two). */
struct pool_region {
    struct pool_region *next;
    bool mapped;
    _Alignas(64) uint8_t slabs[];
};

#define SLAB_BYTES       (64 * 1024)
#define REGION_BYTES     (2u << 20)
#define REGIONS_FROM     (1u << 20) /* a pool with so much in slabs goes on with regions */
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
    while (pool->regions) {
        struct pool_region *region = pool->regions;
        pool->regions = region->next;
        if (region->mapped)
            munmap(region, REGION_BYTES);
        else
            memory_release(region);
    }
    pool_init(pool);
}

/* Aligned to its size, so that the kernel can back it with one page where it has one. */
static struct pool_region *region_map(void)
{
    uint8_t *both = mmap(NULL, 2 * REGION_BYTES, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    CHECK(both != MAP_FAILED);
    size_t before = (REGION_BYTES - (uintptr_t)both % REGION_BYTES) % REGION_BYTES;
    if (before) munmap(both, before);
    if (before < REGION_BYTES) munmap(both + before + REGION_BYTES, REGION_BYTES - before);
    madvise(both + before, REGION_BYTES, MADV_HUGEPAGE);
    struct pool_region *region = (struct pool_region *)(both + before);
    region->mapped = true;
    return region;
}

static uint8_t *slab_acquire(struct pool *pool)
{
    if (pool->region_slabs == 0) {
        bool small = pool->bytes_slabs < REGIONS_FROM;
        struct pool_region *region = small ? memory_acquire_aligned(64, sizeof *region + SLAB_BYTES) : region_map();
        region->next = pool->regions;
        pool->regions = region;
        pool->region_slabs = small ? 1 : (REGION_BYTES - sizeof *region) / SLAB_BYTES;
    }
    pool->bytes_slabs += SLAB_BYTES;
    return pool->regions->slabs + (size_t)--pool->region_slabs * SLAB_BYTES;
}

static void pool_refill(struct pool *pool, uint32_t class)
{
    uint8_t *slab = slab_acquire(pool);
    for (size_t at = 0; at + class_bytes[class] <= SLAB_BYTES; at += class_bytes[class]) {
        void *block = slab + at;
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
