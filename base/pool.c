#include "base/pool.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/huge.h"
#include "base/memory.h"
#include "base/regions.h"

/* Under the address sanitizer a block at rest may not be touched, and what blocks point to is not a leak. */
#if defined(__SANITIZE_ADDRESS__)
#define POOL_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_WATCHED 1
#endif
#endif
#ifdef POOL_WATCHED
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#define BLOCK_REST(block, bytes)    __asan_poison_memory_region(block, bytes)
#define BLOCK_WAKE(block, bytes)    __asan_unpoison_memory_region(block, bytes)
#define REGION_BEGIN(region, bytes) __lsan_register_root_region(region, bytes)
#define REGION_END(region, bytes)   __lsan_unregister_root_region(region, bytes)
#else
#define BLOCK_REST(block, bytes)    ((void)0)
#define BLOCK_WAKE(block, bytes)    ((void)0)
#define REGION_BEGIN(region, bytes) ((void)0)
#define REGION_END(region, bytes)   ((void)0)
#endif

/* A region is cut into slabs, a slab into blocks of one class, and each only as it is asked for: pages that no block has touched
 * cost nothing. A pool's first regions have small pages. One that outgrows them goes on with huge ones, ready (base/regions.h) or made of the small ones when they
 * are full (base/huge.h): what lives long (routes, sessions, messages that wait) is touched in no order the processor could foresee, and with small pages half of the
 * cost is a walk through the page tables (in a guest: through two). */
struct pool_region {
    struct pool_region *next;
    uint8_t *slabs;
};

#define SLAB_BYTES   (64 * 1024)
#define REGIONS_SMALL 3
#define REGION_SLABS (REGION_BYTES / SLAB_BYTES)

/* 8 bytes apart up to 128 (routes and filters are there, millions of them), 16 up to 320 (sessions with their ids), 32 up to 512, four
 * to a doubling up to 8192 and 10 and 12 KiB (tables of routes), then powers of two. */
static const uint32_t class_bytes[POOL_CLASSES] = {
    16,   24,   32,   40,   48,   56,   64,   72,   80,   88,   96,   104,  112,  120,  128,   144,   160,   176,
    192,  208,  224,  240,  256,  272,  288,  304,  320,  352,  384,  416,  448,  480,  512,   640,   768,   896,
    1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288,
    16384, 32768, 65536};
#define CLASS_512  32
#define CLASS_8192 48
#define CLASS_16384 51

/* By eighths of the bytes, rounded up. */
static const uint8_t class_small[512 / 8 + 1] = {0,  0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 15, 16, 16, 17,
                                                 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23, 24, 24, 25, 25, 26, 26, 27, 27, 27,
                                                 27, 28, 28, 28, 28, 29, 29, 29, 29, 30, 30, 30, 30, 31, 31, 31, 31, 32, 32, 32, 32};

static inline uint32_t class_of(size_t bytes)
{
    if (bytes <= 512) return class_small[(bytes + 7) / 8];
    uint32_t doubling = 63 - (uint32_t)__builtin_clzll(bytes - 1);
    if (bytes > 12288) return CLASS_16384 + doubling - 13;
    if (bytes > 8192) return CLASS_8192 + 1 + (bytes > 10240);
    return CLASS_512 + 1 + (doubling - 9) * 4 + ((uint32_t)(bytes - 1) >> (doubling - 2) & 3);
}

void pool_init(struct pool *pool) { *pool = (struct pool){0}; }

void pool_free(struct pool *pool)
{
    CHECK(pool->blocks_used == 0);
    while (pool->regions) {
        struct pool_region *region = pool->regions;
        pool->regions = region->next;
        BLOCK_WAKE(region->slabs, REGION_BYTES);
        REGION_END(region->slabs, REGION_BYTES);
        regions_give_back(region->slabs);
        memory_release(region);
    }
    pool_init(pool);
}

static struct pool_region *region_map(bool huge)
{
    struct pool_region *region = memory_acquire(sizeof *region);
    region->slabs = regions_take(huge);
    REGION_BEGIN(region->slabs, REGION_BYTES);
    return region;
}

static uint8_t *slab_acquire(struct pool *pool)
{
    if (pool->region_slabs == 0) {
        if (pool->regions_count > REGIONS_SMALL) huge_soon(pool->regions->slabs, REGION_BYTES); /* nothing was ready then */
        struct pool_region *region = region_map(pool->regions_count++ >= REGIONS_SMALL);
        region->next = pool->regions;
        pool->regions = region;
        pool->region_slabs = REGION_SLABS;
    }
    pool->bytes_slabs += SLAB_BYTES;
    return pool->regions->slabs + (size_t)--pool->region_slabs * SLAB_BYTES;
}

/* A block that never was one. */
static void *block_cut(struct pool *pool, uint32_t class)
{
    struct pool_fresh *fresh = &pool->fresh[class];
    if (UNLIKELY(fresh->blocks == 0)) {
        fresh->slab = slab_acquire(pool);
        fresh->blocks = SLAB_BYTES / class_bytes[class];
    }
    return fresh->slab + (size_t)--fresh->blocks * class_bytes[class];
}

void *pool_acquire(struct pool *pool, size_t bytes)
{
    pool->blocks_used++;
    if (UNLIKELY(bytes > POOL_BLOCK_BYTES_MAX)) {
        pool->bytes_used += bytes;
        return memory_acquire(bytes);
    }
    uint32_t class = class_of(bytes);
    pool->bytes_used += class_bytes[class];
    void *block = pool->free_lists[class];
    if (UNLIKELY(!block)) return block_cut(pool, class);
    BLOCK_WAKE(block, class_bytes[class]);
    void *next = *(void **)block;
    pool->free_lists[class] = next;
    __builtin_prefetch(next, 1); /* read by the next call, and written by its caller */
    return block;
}

void *pool_acquire_zeroed(struct pool *pool, size_t bytes) { return memset(pool_acquire(pool, bytes), 0, bytes); }

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
    BLOCK_REST(block, class_bytes[class]);
}

size_t pool_block_bytes(size_t bytes)
{
    return bytes > POOL_BLOCK_BYTES_MAX ? bytes : class_bytes[class_of(bytes)];
}
