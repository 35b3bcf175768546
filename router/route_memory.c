#include "router/route_memory.h"

#include "base/check.h"
#include "base/memory.h"

/* A batch larger than this gives its list of blocks back after a storm. */
#define BATCH_KEPT 1024

void route_memory_init(struct route_memory *memory, struct qsbr *qsbr)
{
    *memory = (struct route_memory){.qsbr = qsbr};
    pool_init(&memory->pool);
}

/* What a pool would take from the heap. */
static bool is_large(size_t bytes) { return bytes > POOL_BLOCK_BYTES_MAX; }

void *route_memory_acquire(struct route_memory *memory, size_t bytes)
{
    return is_large(bytes) ? memory_acquire_pages(bytes) : pool_acquire_zeroed(&memory->pool, bytes);
}

void route_memory_release(struct route_memory *memory, void *block, size_t bytes)
{
    if (is_large(bytes))
        memory_release_pages(block, bytes);
    else
        pool_release(&memory->pool, block, bytes);
}

static void batch_release(struct route_memory *memory, struct route_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        route_memory_release(memory, batch->blocks[i].block, batch->blocks[i].bytes);
    batch->count = 0;
    if (batch->capacity > BATCH_KEPT) {
        memory_release(batch->blocks);
        *batch = (struct route_batch){0};
    }
}

static void retired_count(struct route_memory *memory)
{
    atomic_store_explicit(&memory->retired_blocks, memory->open.count + memory->waiting.count, memory_order_relaxed);
}

void route_memory_retire(struct route_memory *memory, void *block, size_t bytes)
{
    struct route_batch *open = &memory->open;
    DCHECK(block != NULL);
    if (open->count == open->capacity) {
        open->capacity = open->capacity ? open->capacity * 2 : 64;
        open->blocks = memory_resize(open->blocks, open->capacity * sizeof *open->blocks);
    }
    open->blocks[open->count++] = (struct route_retired){block, bytes};
    retired_count(memory);
}

void route_memory_collect(struct route_memory *memory)
{
    if (memory->waiting.count > 0) {
        if (!qsbr_elapsed(memory->qsbr, &memory->ticket)) return;
        batch_release(memory, &memory->waiting);
        retired_count(memory);
    }
    if (memory->open.count == 0) return;

    struct route_batch empty = memory->waiting;
    memory->waiting = memory->open;
    memory->open = empty;
    qsbr_ticket(memory->qsbr, &memory->ticket);
}

void route_memory_release_all(struct route_memory *memory)
{
    batch_release(memory, &memory->waiting);
    batch_release(memory, &memory->open);
    memory_release(memory->waiting.blocks);
    memory_release(memory->open.blocks);
    pool_free(&memory->pool);
    route_memory_init(memory, memory->qsbr);
}
