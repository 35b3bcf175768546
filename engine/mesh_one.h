/* mesh_one.h - mesh_drain() for a shard into which one record has come, and mesh_flush() for one that has sent to one other: what a message that crosses alone
 * pays for. Everything else is theirs.
 *
 * Threads: the producer and the consumer, as in mesh.h. */
#ifndef RINGMQ_ENGINE_MESH_ONE_H
#define RINGMQ_ENGINE_MESH_ONE_H

#include "engine/mesh.h"

/* True: it sleeps, and nobody else wakes it. Whoever rings and whoever wants to sleep change the one word, so that nothing is overlooked: either the bell was
 * there before, and the shard may not sleep, or its sleep is seen here. */
static inline bool mesh_ring(struct mesh_inbox *inbox, uint64_t bell)
{
    atomic_fetch_or_explicit(&inbox->bells, bell, memory_order_acq_rel); /* pairs: mesh_bells_take, mesh_may_sleep */
    if (LIKELY(!(atomic_load_explicit(&inbox->bells, memory_order_relaxed) & MESH_ASLEEP))) return false;
    return (atomic_fetch_and_explicit(&inbox->bells, ~MESH_ASLEEP, memory_order_relaxed) & MESH_ASLEEP) != 0;
}

/* False: use mesh_flush(). */
static inline bool mesh_flush_one(struct mesh_row *row, struct mesh_way *ways, const struct kernel_verbs *verbs, struct kernel_ring *ring, struct stats *stats)
{
    uint32_t to = (uint32_t)__builtin_ctzll(row->staged);
    struct mesh_way *way = &ways[to];
    if ((row->staged & (row->staged - 1)) || UNLIKELY(way->count) || UNLIKELY(!lane_publish(way->lane))) return false;
    row->staged = 0;
    way->open = 0;
    if (LIKELY(to != row->number)) stats_count(&stats->lanes_published, 1);
    if (LIKELY(!mesh_ring(&row->inboxes[to], row->bell))) return true;
    verbs->wake(ring, to);
    stats_count(&stats->wakeups_sent, 1);
    return true;
}

/* The last producers share a bell: there may be two more than 64, and MESH_ASLEEP is a bit as well. */
#define MESH_BELL_LAST 62u

/* What has rung so far becomes the shard's own to look after. */
static inline void mesh_bells_take(struct mesh_inbox *inbox)
{
    inbox->rung |= atomic_exchange_explicit(&inbox->bells, 0, memory_order_acq_rel) & ~MESH_ASLEEP; /* pairs: mesh_ring */
}

/* The record, if it is the only one, in one piece; mesh_taken_one() when it has been read. NULL: use mesh_drain(). */
static inline const struct lane_cell *mesh_the_one(struct mesh_inbox *inbox, uint32_t *ret_from)
{
    if (atomic_load_explicit(&inbox->bells, memory_order_relaxed)) mesh_bells_take(inbox);
    if ((inbox->rung & (inbox->rung - 1)) || UNLIKELY(inbox->rung >> MESH_BELL_LAST)) return NULL;
    uint32_t head, from = (uint32_t)__builtin_ctzll(inbox->rung), ready = lane_ready(&inbox->lanes[from], &head);
    const struct lane_cell *first = lane_cell_at(&inbox->lanes[from], head);
    if (ready == 0 || record_cells(first) != ready || UNLIKELY((head & (LANE_SLOTS - 1)) + ready > LANE_SLOTS)) return NULL;
    *ret_from = from;
    return first;
}
static inline void mesh_taken_one(struct mesh_inbox *inbox, uint32_t from, uint32_t cells)
{
    struct lane *lane = &inbox->lanes[from];
    lane_taken(lane, atomic_load_explicit(&lane->head, memory_order_relaxed) + cells);
    inbox->rung = 0;
}

#endif
