/* qsbr.h - when may memory that readers may still see be released? After every reader has passed a quiescent state.
 *
 * Each reader (a shard) owns one counter on its own cache line. qsbr_pass() says "I hold nothing from before": once a turn,
 * between turns. A reader about to sleep says qsbr_sleep(): it holds nothing and will not look until qsbr_wake().
 * A writer unlinks something, takes qsbr_ticket(), and may release it when qsbr_elapsed() says that all have passed since.
 *
 * Threads:  each reader calls pass/sleep/wake for itself only; tickets are values of the thread that took them.
 * Barriers: the pass is a release store and the look an acquire load; the ticket begins with a full fence, pairing with the
 *           one in qsbr_wake(), so a reader is either seen awake or sees the unlink. */
#ifndef RINGMQ_BASE_QSBR_H
#define RINGMQ_BASE_QSBR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct qsbr_reader {
    _Alignas(64) _Atomic uint64_t passes; /* odd while awake, even while asleep */
};

struct qsbr {
    uint32_t readers_count;
    struct qsbr_reader readers[SHARDS_MAX];
};

struct qsbr_ticket {
    uint32_t first_unpassed; /* readers below this one have passed since */
    uint64_t seen[SHARDS_MAX];
};

/* All readers begin asleep. */
static inline void qsbr_init(struct qsbr *qsbr, uint32_t readers_count)
{
    qsbr->readers_count = readers_count;
    for (uint32_t i = 0; i < SHARDS_MAX; i++)
        atomic_init(&qsbr->readers[i].passes, 0);
}

static inline void qsbr_wake(struct qsbr *qsbr, uint32_t reader)
{
    uint64_t passes = atomic_load_explicit(&qsbr->readers[reader].passes, memory_order_relaxed);
    atomic_store_explicit(&qsbr->readers[reader].passes, passes + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs: qsbr_ticket */
}

static inline void qsbr_sleep(struct qsbr *qsbr, uint32_t reader)
{
    uint64_t passes = atomic_load_explicit(&qsbr->readers[reader].passes, memory_order_relaxed);
    atomic_store_explicit(&qsbr->readers[reader].passes, passes + 1, memory_order_release);
}

static inline void qsbr_pass(struct qsbr *qsbr, uint32_t reader)
{
    uint64_t passes = atomic_load_explicit(&qsbr->readers[reader].passes, memory_order_relaxed);
    atomic_store_explicit(&qsbr->readers[reader].passes, passes + 2, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* no load of the next turn may move above the store */
}

void qsbr_ticket(struct qsbr *qsbr, struct qsbr_ticket *ret_ticket);
/* True when every reader has passed or slept since the ticket. Remembers how far it got, so asking again is cheap. */
bool qsbr_elapsed(struct qsbr *qsbr, struct qsbr_ticket *ticket);

#endif
