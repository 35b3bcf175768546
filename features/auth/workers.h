/* workers.h - threads that work off a bounded queue of jobs, fairly by address.
 *
 * The queue is 64 queues, by the hash of the client's address, taken from in turn: one address with a thousand logins waiting delays another's
 * by one job, not by a thousand. An eighth of the room at most belongs to one of the 64.
 * Threads run at a lower priority than shards (nice 10), so that hashing takes what is left over.
 * Owner: the chain. Threads: put() from any, without a lock; the rest is the control thread's. */
#ifndef RINGMQ_FEATURES_AUTH_WORKERS_H
#define RINGMQ_FEATURES_AUTH_WORKERS_H

#include "base/list.h"
#include "base/span.h"

#define AUTH_WORKERS_MAX 256

struct auth_workers;

struct auth_work {
    struct list link;
    uint64_t fair; /* the address's hash */
};

/* run() does one piece of work on thread `number` of the pool; idle() is called there about every 100 ms while there is nothing to do. start() and end()
 * embrace a thread's life. */
struct auth_workers_calls {
    void (*start)(void *context, uint32_t number);
    void (*run)(void *context, uint32_t number, struct auth_work *work);
    void (*idle)(void *context, uint32_t number);
    void (*end)(void *context, uint32_t number);
};

struct auth_workers *auth_workers_start(const char *name, uint32_t threads, uint32_t queue_max, const struct auth_workers_calls *calls, void *context);
/* False: the queue is full, or the workers are stopping. */
bool auth_workers_put(struct auth_workers *workers, struct auth_work *work);
uint32_t auth_workers_waiting(const struct auth_workers *workers);
/* Takes no more, works off what is queued, ends the threads and waits for them. */
void auth_workers_end(struct auth_workers *workers);
/* After that, and when nobody can call put() any more: what slipped in at the last moment is run here. */
void auth_workers_release(struct auth_workers *workers);

#endif
