/* route_memory.h - where a writing shard's memory for the route index comes from and where it goes. Internal to router/, but for the question whether
 * anything waits, which shards ask each turn.
 *
 * A pool for nodes, leaves and small tables; whole pages for large tables, so that those that were outgrown go back to the system.
 * One per shard, on its own cache lines. A block that was ever visible to readers is retired, not released: it joins the open
 * batch; route_memory_collect() closes the batch with a ticket and releases it when all readers have passed.
 * Threads: the writing shard; retired_blocks may be read by anyone. */
#ifndef RINGMQ_ROUTER_ROUTE_MEMORY_H
#define RINGMQ_ROUTER_ROUTE_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/qsbr.h"

struct route_batch {
    struct route_retired {
        void *block;
        size_t bytes;
    } *blocks;
    size_t count, capacity;
};

struct route_memory {
    _Alignas(64) struct qsbr *qsbr;
    struct pool pool;
    struct route_batch open;    /* unlinked since the last ticket */
    struct route_batch waiting; /* unlinked before `ticket` */
    struct qsbr_ticket ticket;  /* valid while waiting.count > 0 */
    _Atomic uint64_t retired_blocks;
};

void route_memory_init(struct route_memory *memory, struct qsbr *qsbr);
void *route_memory_acquire(struct route_memory *memory, size_t bytes); /* zeroed */
void route_memory_release(struct route_memory *memory, void *block, size_t bytes); /* nobody has seen it, or nobody can any more */
void route_memory_retire(struct route_memory *memory, void *block, size_t bytes);
void route_memory_collect(struct route_memory *memory);
static inline bool route_memory_waits(const struct route_memory *memory) { return (memory->waiting.count | memory->open.count) != 0; }
/* No readers are left. */
void route_memory_release_all(struct route_memory *memory);

#endif
