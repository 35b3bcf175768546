/* workers.c - see workers.h. */
#include "features/auth/workers.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"

#define QUEUES  64
#define IDLE_NS 100000000l

struct thread {
    struct auth_workers *workers;
    uint32_t number;
    pthread_t thread;
};

struct auth_workers {
    _Atomic(struct auth_work *) inbox; /* the newest first, linked by link.next; a shard must not wait for a lock that a thread of lower priority holds */
    sem_t work;                        /* one for each piece of work, and one for each thread at the end */
    _Atomic uint32_t waiting, lengths[QUEUES];
    uint32_t max, queue_max;
    atomic_bool stopping;
    pthread_mutex_t lock;              /* among the threads */
    struct list queues[QUEUES];
    uint64_t filled; /* a bit for each queue that is not empty */
    uint32_t turn;   /* the queue to begin with */
    struct auth_workers_calls calls;
    void *context;
    char name[16];
    uint32_t threads_count;
    struct thread threads[];
};

static uint32_t queue_of(const struct auth_work *work) { return (uint32_t)(work->fair >> 8) % QUEUES; }

/* The lock is held. The inbox is a stack: its oldest piece goes first into the queues. */
static void sort_inbox(struct auth_workers *workers)
{
    struct auth_work *newest = atomic_exchange_explicit(&workers->inbox, NULL, memory_order_acquire), *oldest = NULL;
    while (newest) {
        struct auth_work *next = (struct auth_work *)newest->link.next;
        newest->link.next = (struct list *)oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct auth_work *next = (struct auth_work *)oldest->link.next;
        list_append(&workers->queues[queue_of(oldest)], &oldest->link);
        workers->filled |= 1ull << queue_of(oldest);
        oldest = next;
    }
}

/* The lock is held. */
static struct auth_work *take(struct auth_workers *workers)
{
    if (!workers->filled) return NULL;
    uint32_t turn = workers->turn;
    uint64_t rotated = turn ? workers->filled >> turn | workers->filled << (QUEUES - turn) : workers->filled;
    uint32_t queue = (turn + (uint32_t)__builtin_ctzll(rotated)) % QUEUES;
    struct auth_work *work = CONTAINER_OF(list_first(&workers->queues[queue]), struct auth_work, link);
    list_remove(&work->link);
    atomic_fetch_sub_explicit(&workers->waiting, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&workers->lengths[queue], 1, memory_order_relaxed);
    if (list_empty(&workers->queues[queue])) workers->filled &= ~(1ull << queue);
    workers->turn = (queue + 1) % QUEUES;
    return work;
}

/* NULL: nothing came in time. */
static struct auth_work *wait_for_work(struct auth_workers *workers, bool *ret_stop)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += IDLE_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    bool woken;
    while (!(woken = sem_clockwait(&workers->work, CLOCK_MONOTONIC, &until) == 0) && errno == EINTR) {}
    if (!woken) return NULL;
    pthread_mutex_lock(&workers->lock);
    sort_inbox(workers);
    struct auth_work *work = take(workers);
    pthread_mutex_unlock(&workers->lock);
    *ret_stop = !work; /* a token without work: all is done */
    DCHECK(work || atomic_load(&workers->stopping));
    return work;
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    struct auth_workers *workers = thread->workers;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
    log_thread_attach(workers->name);
    pthread_setname_np(pthread_self(), workers->name);
    workers->calls.start(workers->context, thread->number);
    for (bool stop = false; !stop;) {
        struct auth_work *work = wait_for_work(workers, &stop);
        if (work)
            workers->calls.run(workers->context, thread->number, work);
        else if (!stop)
            workers->calls.idle(workers->context, thread->number);
    }
    workers->calls.end(workers->context, thread->number);
    return NULL;
}

struct auth_workers *auth_workers_start(const char *name, uint32_t threads, uint32_t queue_max, const struct auth_workers_calls *calls, void *context)
{
    CHECK(threads > 0 && threads <= AUTH_WORKERS_MAX && queue_max > 0);
    struct auth_workers *workers = memory_acquire_zeroed(sizeof *workers + threads * sizeof workers->threads[0]);
    CHECK(sem_init(&workers->work, 0, 0) == 0);
    pthread_mutex_init(&workers->lock, NULL);
    workers->max = queue_max;
    workers->queue_max = queue_max / 8 ? queue_max / 8 : 1;
    workers->calls = *calls;
    workers->context = context;
    snprintf(workers->name, sizeof workers->name, "%s", name);
    for (int i = 0; i < QUEUES; i++)
        list_init(&workers->queues[i]);
    for (uint32_t i = 0; i < threads; i++) {
        workers->threads[i] = (struct thread){.workers = workers, .number = i};
        int error = pthread_create(&workers->threads[i].thread, NULL, thread_main, &workers->threads[i]);
        if (error && i == 0) { /* not one: we could never answer */
            LOG(ERROR, "cannot start a thread", "for=%s error=%d", workers->name, error);
            memory_release(workers);
            return NULL;
        }
        if (error) break;
        workers->threads_count++;
    }
    return workers;
}

bool auth_workers_put(struct auth_workers *workers, struct auth_work *work)
{
    _Atomic uint32_t *length = &workers->lengths[queue_of(work)];
    bool full = atomic_fetch_add_explicit(&workers->waiting, 1, memory_order_relaxed) >= workers->max;
    bool unfair = atomic_fetch_add_explicit(length, 1, memory_order_relaxed) >= workers->queue_max;
    if (full || unfair || atomic_load_explicit(&workers->stopping, memory_order_acquire)) {
        atomic_fetch_sub_explicit(&workers->waiting, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(length, 1, memory_order_relaxed);
        return false;
    }
    struct auth_work *newest = atomic_load_explicit(&workers->inbox, memory_order_relaxed);
    do
        work->link.next = (struct list *)newest;
    while (!atomic_compare_exchange_weak_explicit(&workers->inbox, &newest, work, memory_order_release, memory_order_relaxed)); /* pairs: sort_inbox */
    sem_post(&workers->work);
    return true;
}

uint32_t auth_workers_waiting(const struct auth_workers *workers) { return atomic_load_explicit(&workers->waiting, memory_order_relaxed); }

void auth_workers_end(struct auth_workers *workers)
{
    atomic_store_explicit(&workers->stopping, true, memory_order_release);
    for (uint32_t i = 0; i < workers->threads_count; i++)
        sem_post(&workers->work);
    for (uint32_t i = 0; i < workers->threads_count; i++)
        pthread_join(workers->threads[i].thread, NULL);
}

void auth_workers_release(struct auth_workers *workers)
{
    sort_inbox(workers);
    for (struct auth_work *work; (work = take(workers));)
        workers->calls.run(workers->context, 0, work);
    workers->calls.end(workers->context, 0); /* run() may have begun something there again */
    sem_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    memory_release(workers);
}
