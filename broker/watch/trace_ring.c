/* watch/trace_ring.c - the way of trace records from a shard to the admin's trace thread: a byte ring per shard, one producer, one consumer.
 *
 * Records lie in one piece: what is left before the end of the buffer and is too small for the next record is skipped (a record of event TRACE_EVENTS). */
#include "base/check.h"
#include "base/memory.h"
#include "broker/watch/trace.h"

struct trace_ring {
    _Alignas(64) _Atomic uint64_t tail; /* the shard's: bytes put in */
    uint64_t head_seen;
    _Atomic uint64_t lost[TRACES_MAX];
    _Alignas(64) _Atomic uint64_t head; /* the consumer's: bytes taken out */
    uint64_t lost_seen[TRACES_MAX];
    uint64_t bytes;                     /* a power of two */
    uint8_t *data;
};

struct trace_node {
    uint32_t shards_count;
    uint64_t ring_bytes;
    _Atomic(struct trace_ring *) rings[SHARDS_MAX];
};

struct trace_node *trace_node_create(uint32_t shards_count, uint32_t ring_bytes)
{
    struct trace_node *node = memory_acquire_zeroed(sizeof *node);
    node->shards_count = shards_count;
    for (node->ring_bytes = TRACE_RING_BYTES_MIN; node->ring_bytes < ring_bytes;)
        node->ring_bytes *= 2;
    return node;
}

void trace_node_destroy(struct trace_node *node)
{
    if (!node) return;
    for (uint32_t s = 0; s < node->shards_count; s++) {
        struct trace_ring *ring = atomic_load(&node->rings[s]);
        if (ring) memory_release(ring->data);
        memory_release(ring);
    }
    memory_release(node);
}

void trace_node_open(struct trace_node *node)
{
    for (uint32_t s = 0; s < node->shards_count; s++) {
        if (atomic_load(&node->rings[s])) continue;
        struct trace_ring *ring = memory_acquire_aligned(64, sizeof *ring); /* zeroed */
        ring->bytes = node->ring_bytes;
        ring->data = memory_acquire_aligned(64, node->ring_bytes);
        atomic_store(&node->rings[s], ring);
    }
}

struct trace_ring *trace_node_ring(struct trace_node *node, uint32_t shard) { return atomic_load(&node->rings[shard]); }

/* ---- the shard's side ----------------------------------------------------------------------------------------------- */

static void count_lost(struct trace_ring *ring, uint32_t traces)
{
    for (uint32_t slot = 0; slot < TRACES_MAX; slot++)
        if (traces >> slot & 1) atomic_fetch_add_explicit(&ring->lost[slot], 1, memory_order_relaxed);
}

static bool has_room(struct trace_ring *ring, uint64_t tail, uint64_t bytes)
{
    if (tail + bytes - ring->head_seen <= ring->bytes) return true;
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire); /* pairs: trace_node_drain */
    return tail + bytes - ring->head_seen <= ring->bytes;
}

struct trace_record *trace_ring_reserve(struct trace_ring *ring, uint32_t bytes, uint32_t traces)
{
    DCHECK(bytes % 8 == 0);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed), at = tail & (ring->bytes - 1);
    uint64_t skipped = at + bytes > ring->bytes ? ring->bytes - at : 0;
    if (bytes > ring->bytes / 2 || !has_room(ring, tail, skipped + bytes)) {
        count_lost(ring, traces);
        return NULL;
    }
    if (skipped) {
        struct trace_record *filler = (struct trace_record *)(ring->data + at);
        filler->bytes = (uint32_t)skipped; /* at least 8 of them: what follows its length may not be there */
        *(uint8_t *)(ring->data + at + offsetof(struct trace_record, event)) = TRACE_EVENTS;
        atomic_store_explicit(&ring->tail, tail + skipped, memory_order_release); /* pairs: trace_node_drain */
        at = 0;
    }
    struct trace_record *record = (struct trace_record *)(ring->data + at);
    record->bytes = bytes;
    return record;
}

void trace_ring_commit(struct trace_ring *ring, struct trace_record *record)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + record->bytes, memory_order_release); /* pairs: trace_node_drain */
}

/* ---- the consumer's side -------------------------------------------------------------------------------------------- */

uint32_t trace_node_drain(struct trace_node *node, uint32_t shard, void (*take)(void *context, const struct trace_record *record), void *context)
{
    struct trace_ring *ring = trace_node_ring(node, shard);
    if (!ring) return 0;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire); /* pairs: trace_ring_commit */
    uint32_t count = 0;
    while (head != tail) {
        const struct trace_record *record = (const struct trace_record *)(ring->data + (head & (ring->bytes - 1)));
        uint32_t bytes = record->bytes;
        if (record->event != TRACE_EVENTS) {
            take(context, record);
            count++;
        }
        head += bytes;
        atomic_store_explicit(&ring->head, head, memory_order_release); /* pairs: has_room */
    }
    return count;
}

uint64_t trace_node_lost(struct trace_node *node, uint32_t shard, uint32_t slot)
{
    struct trace_ring *ring = trace_node_ring(node, shard);
    if (!ring) return 0;
    uint64_t lost = atomic_load_explicit(&ring->lost[slot], memory_order_relaxed), since = lost - ring->lost_seen[slot];
    ring->lost_seen[slot] = lost;
    return since;
}
