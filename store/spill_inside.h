/* spill_inside.h - inside store/ only: what spill.c (the two sides, the thread, syncs) and spill_requests.c (what is done for each request) share. */
#ifndef RINGMQ_STORE_SPILL_INSIDE_H
#define RINGMQ_STORE_SPILL_INSIDE_H

#include <pthread.h>

#include "base/limits.h"
#include "store/spill.h"

/* Between one shard and the thread. Requests and answers are stacks that are taken whole and turned around. */
struct spill_desk {
    _Atomic(struct spill_request *) sent, fetches, answered;
    struct spill_request *taken;      /* answers in order (shard) */
    struct spill_request *todo, **todo_end; /* in order (thread) */
    uint64_t tickets;                 /* given (shard) */
    uint64_t written;                 /* last ticket in the shelf's memory (thread) */
    _Atomic uint64_t synced, backlog_bytes;
};

struct spill_backup_order {
    const char *directory;
    int result;
    bool wanted, done;
};

/* More of them than this in one go: the rest waits for ordinary compactions. */
#define DROPS_MAX 256

struct spill_drop {
    uint64_t session, until;
};

struct spill {
    struct spill_config config;
    struct spill_desk desks[SHARDS_MAX];
    uint64_t unsynced_bytes, unsynced_since_ms; /* thread */
    bool unsynced, sync_wanted;
    uint64_t again_ms; /* after a failure */
    _Atomic int trouble;
    pthread_mutex_t lock;       /* of backup alone */
    pthread_mutex_t wake_lock;  /* of config.wake */
    pthread_cond_t backed_up;
    struct spill_backup_order backup;
    pthread_t thread;
    bool has_thread;
    _Atomic bool held, swept;
    struct spill_request *kept; /* DROPs while held (thread) */
    struct spill_drop dropped[DROPS_MAX]; /* since the shelf was last asked to give their room back (thread) */
    uint32_t dropped_count;
    _Atomic bool ending;
    int wake;
};

#define SPILL_FAILED_AGAIN_MS 1000

/* True: it was empty, so the taker must be woken. */
static inline bool spill_stack_push(_Atomic(struct spill_request *) *stack, struct spill_request *request)
{
    struct spill_request *before = atomic_load_explicit(stack, memory_order_relaxed);
    do
        request->next = before;
    while (!atomic_compare_exchange_weak_explicit(stack, &before, request, memory_order_release, memory_order_relaxed));
    return before == NULL;
}

/* All of it, the oldest first. */
static inline struct spill_request *spill_stack_take(_Atomic(struct spill_request *) *stack)
{
    struct spill_request *newest = atomic_exchange_explicit(stack, NULL, memory_order_acquire), *first = NULL;
    while (newest) {
        struct spill_request *next = newest->next;
        newest->next = first;
        first = newest;
        newest = next;
    }
    return first;
}

void spill_shard_wake(struct spill *spill, uint32_t shard);
void spill_trouble_set(struct spill *spill, int error);

/* spill_requests.c, all on the service's thread. */
void spill_fetches_serve(struct spill *spill);
/* What this shard has sent, in order, as far as the shelf goes along. */
void spill_desk_serve(struct spill *spill, uint32_t shard, uint64_t now_ms);
/* The shelf refuses just now: what goes on all the same. */
void spill_desk_wait(struct spill *spill, uint32_t shard, uint64_t now_ms);
/* The DROPs that a backup has held up. */
void spill_kept_serve(struct spill *spill);

#endif
