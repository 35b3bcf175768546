/* workers.h - threads that work off a bounded queue of jobs, fairly by address, and get out of the shards' way.
 *
 * The queue is 64 queues, by the hash of the client's address, taken from in turn: one address with a thousand logins waiting delays another's
 * by one job, not by a thousand. An eighth of the room at most belongs to one of the 64. Room is what queue_max says, and no more than can be done
 * within patience_ms, as long as jobs have taken lately: who could only wait in vain is refused at once.
 *
 * Priority: a hash takes 35 ms of CPU, and a shard that wakes on the core where one is under way must not wait for the next tick of the scheduler's clock
 * (measured with nice 10: 3 to 8 ms; the shard that wakes a worker on its own core was put aside as long). So threads run as SCHED_IDLE: whatever else
 * is runnable takes their core at once. On a machine where something else takes all cores for good they would starve; auth_workers_look() notices
 * (threads runnable for a second that have hardly run) and lets a second crew of ordinary threads (SCHED_BATCH, nice 10) work for a while.
 *
 * At the end such a thread may be in the middle of a hash, and need minutes for it. Where the system lets us (the owner is root, or has LimitNICE=+10) its
 * priority is raised; where not, patience ends: it is given up, and stops for good where it would come back.
 * Owner: the chain. Threads: put() from any, without a lock; away() and back() from run(); the rest is the control thread's. */
#ifndef RINGMQ_FEATURES_AUTH_WORKERS_H
#define RINGMQ_FEATURES_AUTH_WORKERS_H

#include "base/list.h"
#include "base/span.h"

#define AUTH_WORKERS_MAX 256
#define AUTH_WORKERS_CREWS 2 /* run() and the others are called with numbers below threads * AUTH_WORKERS_CREWS */

struct auth_workers;

struct auth_work {
    struct list link;
    uint64_t fair; /* the address's hash */
};

/* run() does one piece of work on thread `number` of the pool. When idle_ms() says less than AUTH_IDLE_NEVER, idle() is called there after so many
 * milliseconds with nothing to do; it is asked before each wait, on threads of the crew on duty (a crew that gets no processor time can look after
 * nothing). first: the first of its crew, for what one thread alone is to do. end() ends a thread's life. */
#define AUTH_IDLE_NEVER UINT32_MAX
struct auth_workers_calls {
    void (*run)(void *context, uint32_t number, struct auth_work *work);
    uint32_t (*idle_ms)(void *context, uint32_t number, bool first);
    void (*idle)(void *context, uint32_t number, bool first);
    void (*end)(void *context, uint32_t number);
};

struct auth_workers *auth_workers_start(const char *name, uint32_t threads, uint32_t queue_max, uint32_t patience_ms, const struct auth_workers_calls *calls,
                                        void *context);
/* False: the queue is full, or the workers are stopping. */
bool auth_workers_put(struct auth_workers *workers, struct auth_work *work);
uint32_t auth_workers_waiting(const struct auth_workers *workers);
/* About once a second: do the threads get to run? See above. */
void auth_workers_look(struct auth_workers *workers, uint64_t now_ms);
/* Around what may take long in run(), a hash or a server's answer. back() does not return when the thread has been given up. */
void auth_workers_away(struct auth_workers *workers, uint32_t number);
void auth_workers_back(struct auth_workers *workers, uint32_t number);
/* Takes no more, works off what is queued, ends the threads and waits for them; for those that are away no longer than patience_ms (AUTH_PATIENCE_FOREVER: as
 * long as it takes). False: some are given up. The pool and all that run() uses while it is away must stay as they are until the process ends. */
#define AUTH_PATIENCE_FOREVER UINT32_MAX
bool auth_workers_end(struct auth_workers *workers, uint32_t patience_ms);
/* After that (not when it was false), and when nobody can call put() any more: what slipped in at the last moment is run here. */
void auth_workers_release(struct auth_workers *workers);

#endif
