/* lane.h - the single-producer single-consumer ring from one shard to another (design §2, §4).
 *
 * A lane carries records of 1…N cells of 16 bytes; what they mean is the business of its two ends. The producer stages
 * records during its turn and publishes them together, once: one release store a turn, whatever the number of records.
 *
 *            head (consumer)                tail (published)     tail_next (staged)
 *              v                               v                    v
 *    ----------[ taken by the consumer next ...][ staged, unseen ...]-----------  all modulo LANE_SLOTS
 *
 * Owner:    the mesh that made it (zeroed memory and a limit is an empty lane). Threads: exactly one producer and one consumer, each touching only its own calls below.
 * Failure:  lane_stage() answers false when the lane is full: the caller keeps the record (back-pressure, never a drop). */
#ifndef RINGMQ_BASE_LANE_H
#define RINGMQ_BASE_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/limits.h"

struct lane_cell {
    uint64_t a, b;
};

struct lane {
    _Alignas(64) uint32_t tail_next; /* producer: first cell not yet staged                     */
    uint32_t head_seen;              /* producer: old copy of head, refreshed only when full    */
    uint32_t tail_published;         /* producer: what it last stored to tail                   */
    uint32_t limit;                  /* cells in use at most: LANE_SLOTS, or fewer in tests      */
    _Alignas(64) _Atomic uint32_t tail; /* producer stores, consumer loads                      */
    _Alignas(64) _Atomic uint32_t head; /* consumer stores, producer loads                      */
    _Alignas(64) struct lane_cell cells[LANE_SLOTS];
};

_Static_assert((LANE_SLOTS & (LANE_SLOTS - 1)) == 0, "cells are addressed by a mask");

static inline bool lane_stage(struct lane *lane, const struct lane_cell *cells, uint32_t count)
{
    DCHECK(count > 0 && count <= lane->limit);
    if (lane->tail_next + count - lane->head_seen > lane->limit)
        lane->head_seen = atomic_load_explicit(&lane->head, memory_order_acquire); /* pairs: lane_taken */
    if (lane->tail_next + count - lane->head_seen > lane->limit) return false;
    for (uint32_t i = 0; i < count; i++)
        lane->cells[(lane->tail_next + i) & (LANE_SLOTS - 1)] = cells[i];
    lane->tail_next += count;
    return true;
}

/* Room for `count` cells in one piece, to be filled in place: lane_stage() without the copy, ended with lane_staged(). NULL: there is none that
 * easily, use lane_stage(). */
static inline struct lane_cell *lane_room(struct lane *lane, uint32_t count)
{
    uint32_t at = lane->tail_next & (LANE_SLOTS - 1);
    if (at + count > LANE_SLOTS || lane->tail_next + count - lane->head_seen > lane->limit) return NULL;
    return &lane->cells[at];
}

static inline void lane_staged(struct lane *lane, uint32_t count) { lane->tail_next += count; }

/* Makes all staged records visible together. Returns false when there was nothing new. */
static inline bool lane_publish(struct lane *lane)
{
    if (lane->tail_published == lane->tail_next) return false;
    lane->tail_published = lane->tail_next;
    atomic_store_explicit(&lane->tail, lane->tail_next, memory_order_release); /* pairs: lane_ready */
    return true;
}

/* Consumer: how many cells are waiting from *ret_head on. */
static inline uint32_t lane_ready(const struct lane *lane, uint32_t *ret_head)
{
    *ret_head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    return atomic_load_explicit(&lane->tail, memory_order_acquire) - *ret_head; /* pairs: lane_publish */
}

static inline const struct lane_cell *lane_cell_at(const struct lane *lane, uint32_t position)
{
    return &lane->cells[position & (LANE_SLOTS - 1)];
}

/* Consumer: everything before `head` may be overwritten. */
static inline void lane_taken(struct lane *lane, uint32_t head)
{
    atomic_store_explicit(&lane->head, head, memory_order_release); /* pairs: lane_stage */
}

#endif
