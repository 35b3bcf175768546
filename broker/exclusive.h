/* exclusive.h - `$exclusive/TOPIC`: a subscription to TOPIC that only one session of the node may have at a time; the second one gets 0x97.
 * Ordinary subscriptions to the same topic are not touched by it.
 *
 * One table a node, behind a mutex: it is looked at by SUBSCRIBE with $exclusive, and, while it is not empty, when subscriptions end.
 * Threads: all shards. */
#ifndef RINGMQ_BROKER_EXCLUSIVE_H
#define RINGMQ_BROKER_EXCLUSIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/map.h"
#include "base/span.h"

struct session;

struct exclusive {
    pthread_mutex_t mutex;
    struct map filters; /* struct exclusive_entry by filter, mount point included */
    _Atomic uint32_t count;
};

void exclusive_init(struct exclusive *exclusive);
void exclusive_release(struct exclusive *exclusive);
/* False: another session has it. Claiming again what one has is fine. */
bool exclusive_claim(struct exclusive *exclusive, struct span filter, const struct session *session);
/* The session's subscription has ended; nothing happens if it was no exclusive one. */
void exclusive_drop(struct exclusive *exclusive, struct span filter, const struct session *session);
bool exclusive_has(struct exclusive *exclusive, struct span filter, const struct session *session);

#endif
