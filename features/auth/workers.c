/* workers.c - see workers.h. */
#include "features/auth/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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

#define QUEUES   64
#define ROOM_MIN 8 /* may always wait: the average may be a bad moment's */

/* How long the ordinary crew works when the other has starved: at first, and at most. */
#define ORDINARY_MS     30000u
#define ORDINARY_MS_MAX 960000u

enum crew { CREW_IDLE, CREW_ORDINARY };
enum whereabouts { HERE, AWAY, GIVEN_UP };
_Static_assert(CREW_ORDINARY + 1 == AUTH_WORKERS_CREWS, "both crews have numbers");

struct thread {
    struct auth_workers *workers;
    uint32_t number;
    enum crew crew;
    bool first; /* of its crew */
    pthread_t thread;
    atomic_int whereabouts;
    _Atomic pid_t id;    /* the system's; 0: not started yet */
    uint64_t looked_ns;  /* auth_workers_look(): CPU time by then */
    bool looked_waiting; /* and whether it wanted to run */
};

struct auth_workers {
    _Atomic(struct auth_work *) inbox; /* the newest first, linked by link.next; a shard must not wait for a lock that a thread of lower priority holds */
    sem_t work[AUTH_WORKERS_CREWS];    /* one for each piece of work, in that of the crew on duty, and one for each thread at the end */
    atomic_int duty;                   /* enum crew */
    uint64_t duty_until_ms, duty_ms;   /* of the ordinary crew; and how long the next time */
    _Atomic uint32_t waiting, lengths[QUEUES];
    uint32_t max;                      /* of queue_max; */
    uint64_t patience_us;              /* and what waits must be done in this time: */
    _Atomic uint32_t job_us;           /* how long a job takes (moving average) */
    atomic_bool stopping;
    pthread_mutex_t lock;              /* among the threads */
    struct list queues[QUEUES];
    uint64_t filled; /* a bit for each queue that is not empty */
    uint32_t turn;   /* the queue to begin with */
    struct auth_workers_calls calls;
    void *context;
    char name[16];
    uint32_t crew_size;     /* the crew of SCHED_IDLE; the other has as many, once it has been wanted */
    uint32_t threads_count; /* that run */
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

/* False: the time was over first. */
static bool wait_until_woken(sem_t *work, uint32_t idle_ms)
{
    struct timespec until;
    int done;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += idle_ms / 1000;
    until.tv_nsec += (long)(idle_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    while ((done = idle_ms == AUTH_IDLE_NEVER ? sem_wait(work) : sem_clockwait(work, CLOCK_MONOTONIC, &until)) != 0 && errno == EINTR) {}
    return done == 0;
}

static bool on_duty(struct auth_workers *workers, enum crew crew) { return (int)crew == atomic_load(&workers->duty); }

/* NULL: there is none. One whose crew is off duty leaves the work to the other, which has been woken for it. */
static struct auth_work *take_one(struct auth_workers *workers, enum crew crew)
{
    if (!on_duty(workers, crew) && !atomic_load(&workers->stopping)) return NULL;
    pthread_mutex_lock(&workers->lock);
    sort_inbox(workers);
    struct auth_work *work = take(workers);
    pthread_mutex_unlock(&workers->lock);
    return work;
}

/* sched_setattr() would do both in one, but services that may not become real-time ones may not call it. */
static void give_way(enum crew crew, const char *name)
{
    static const struct sched_param none = {.sched_priority = 0};
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), crew == CREW_IDLE ? 19 : 10); /* what is left when the next is refused */
    int error = pthread_setschedparam(pthread_self(), crew == CREW_IDLE ? SCHED_IDLE : SCHED_BATCH, &none);
    if (error) LOG(WARN, "thread priority not lowered", "for=%s error=%d what=\"logins may delay messages by some milliseconds\"", name, error);
}

#define AVERAGE_WEIGHT 8

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

/* Threads may overwrite each other's average: it is one all the same. */
static void run_timed(struct auth_workers *workers, uint32_t number, struct auth_work *work)
{
    uint64_t began_us = monotonic_us();
    workers->calls.run(workers->context, number, work);
    uint64_t took_us = monotonic_us() - began_us, average = atomic_load_explicit(&workers->job_us, memory_order_relaxed);
    if (took_us > UINT32_MAX / AVERAGE_WEIGHT) took_us = UINT32_MAX / AVERAGE_WEIGHT;
    atomic_store_explicit(&workers->job_us, (uint32_t)((average * (AVERAGE_WEIGHT - 1) + took_us) / AVERAGE_WEIGHT), memory_order_relaxed);
}

/* How many may wait now. */
static uint32_t room(const struct auth_workers *workers)
{
    uint32_t job_us = atomic_load_explicit(&workers->job_us, memory_order_relaxed);
    uint64_t bearable = job_us ? workers->patience_us * workers->crew_size / job_us : UINT32_MAX;
    return bearable >= workers->max ? workers->max : bearable > ROOM_MIN ? (uint32_t)bearable : ROOM_MIN;
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    struct auth_workers *workers = thread->workers;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    log_thread_attach(workers->name);
    pthread_setname_np(pthread_self(), workers->name);
    give_way(thread->crew, workers->name);
    atomic_store(&thread->id, (pid_t)syscall(SYS_gettid));
    for (;;) {
        bool ending = atomic_load(&workers->stopping); /* then without a token for each piece: those of what waits may be in the other crew's */
        uint32_t idle_ms = on_duty(workers, thread->crew) ? workers->calls.idle_ms(workers->context, thread->number, thread->first) : AUTH_IDLE_NEVER;
        bool woken = ending || wait_until_woken(&workers->work[thread->crew], idle_ms);
        struct auth_work *work = woken ? take_one(workers, thread->crew) : NULL;
        if (work)
            run_timed(workers, thread->number, work);
        else if (!woken && on_duty(workers, thread->crew))
            workers->calls.idle(workers->context, thread->number, thread->first);
        else if (woken && atomic_load(&workers->stopping))
            break; /* all is done */
    }
    workers->calls.end(workers->context, thread->number);
    return NULL;
}

/* False: the system gives no thread. */
static bool thread_start(struct auth_workers *workers, enum crew crew)
{
    struct thread *thread = &workers->threads[workers->threads_count];
    *thread = (struct thread){.workers = workers, .number = workers->threads_count, .crew = crew};
    thread->first = thread->number == 0 || workers->threads[thread->number - 1].crew != crew;
    int error = pthread_create(&thread->thread, NULL, thread_main, thread);
    if (error) LOG(ERROR, "cannot start a thread", "for=%s error=%d", workers->name, error);
    if (!error) workers->threads_count++;
    return !error;
}

struct auth_workers *auth_workers_start(const char *name, uint32_t threads, uint32_t queue_max, uint32_t patience_ms, const struct auth_workers_calls *calls,
                                        void *context)
{
    CHECK(threads > 0 && threads <= AUTH_WORKERS_MAX && queue_max > 0);
    struct auth_workers *workers = memory_acquire_zeroed(sizeof *workers + threads * AUTH_WORKERS_CREWS * sizeof workers->threads[0]);
    for (int crew = 0; crew < AUTH_WORKERS_CREWS; crew++)
        CHECK(sem_init(&workers->work[crew], 0, 0) == 0);
    pthread_mutex_init(&workers->lock, NULL);
    workers->max = queue_max;
    workers->patience_us = patience_ms * 1000ull;
    workers->calls = *calls;
    workers->context = context;
    workers->duty_ms = ORDINARY_MS;
    snprintf(workers->name, sizeof workers->name, "%s", name);
    for (int i = 0; i < QUEUES; i++)
        list_init(&workers->queues[i]);
    while (workers->crew_size < threads && thread_start(workers, CREW_IDLE))
        workers->crew_size++;
    if (workers->crew_size) return workers;
    memory_release(workers); /* not one: we could never answer */
    return NULL;
}

bool auth_workers_put(struct auth_workers *workers, struct auth_work *work)
{
    _Atomic uint32_t *length = &workers->lengths[queue_of(work)];
    uint32_t max = room(workers), queue_max = max / 8 ? max / 8 : 1;
    bool full = atomic_fetch_add_explicit(&workers->waiting, 1, memory_order_relaxed) >= max;
    bool unfair = atomic_fetch_add_explicit(length, 1, memory_order_relaxed) >= queue_max;
    if (full || unfair || atomic_load_explicit(&workers->stopping, memory_order_acquire)) {
        atomic_fetch_sub_explicit(&workers->waiting, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(length, 1, memory_order_relaxed);
        return false;
    }
    struct auth_work *newest = atomic_load_explicit(&workers->inbox, memory_order_relaxed);
    do
        work->link.next = (struct list *)newest;
    while (!atomic_compare_exchange_weak_explicit(&workers->inbox, &newest, work, memory_order_seq_cst, memory_order_relaxed)); /* pairs: sort_inbox */
    sem_post(&workers->work[atomic_load(&workers->duty)]); /* seq_cst, as the exchange: either this sees the new crew or change_crew() sees the work */
    return true;
}

uint32_t auth_workers_waiting(const struct auth_workers *workers) { return atomic_load_explicit(&workers->waiting, memory_order_relaxed); }

/* ---- starving ---------------------------------------------------------------------------------------------------- */

/* CPU time of a thread of ours and whether it wants to run now. False: the system does not say. */
static bool thread_state(pid_t id, uint64_t *ret_cpu_ns, bool *ret_runnable)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) close(fd);
    if (bytes <= 0) return false;
    text[bytes] = '\0';
    const char *state = strrchr(text, ')'); /* the name may have anything in it */
    unsigned long user = 0, system = 0;
    if (!state || sscanf(state + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) return false;
    *ret_runnable = state[2] == 'R';
    *ret_cpu_ns = (uint64_t)(user + system) * 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    return true;
}

/* Did some thread of the crew on duty want to run at this look and the last, and get less than a tenth of the time between? */
static bool starves(struct auth_workers *workers)
{
    bool any = false;
    for (uint32_t i = 0; i < workers->crew_size; i++) {
        struct thread *thread = &workers->threads[i];
        uint64_t cpu_ns;
        bool runnable;
        pid_t id = atomic_load(&thread->id);
        if (!id || !thread_state(id, &cpu_ns, &runnable)) continue;
        any |= runnable && thread->looked_waiting && cpu_ns - thread->looked_ns < 100000000u;
        thread->looked_waiting = runnable;
        thread->looked_ns = cpu_ns;
    }
    return any;
}

static void change_crew(struct auth_workers *workers, enum crew crew)
{
    atomic_store(&workers->duty, crew);
    /* One for each piece of work, and one for each thread, which asks idle_ms() now that it is on duty. Tokens too many are harmless. */
    for (uint32_t left = atomic_load(&workers->waiting) + workers->crew_size; left; left--)
        sem_post(&workers->work[crew]);
}

void auth_workers_look(struct auth_workers *workers, uint64_t now_ms)
{
    if (atomic_load(&workers->duty) == CREW_ORDINARY) {
        if (now_ms >= workers->duty_until_ms) change_crew(workers, CREW_IDLE);
        return;
    }
    if (!starves(workers)) return;
    while (workers->threads_count < workers->crew_size * AUTH_WORKERS_CREWS && thread_start(workers, CREW_ORDINARY)) {}
    if (workers->threads_count == workers->crew_size) return;
    bool again = workers->duty_until_ms && now_ms < workers->duty_until_ms + ORDINARY_MS; /* it starved at once when it came back: longer this time */
    workers->duty_ms = again && workers->duty_ms < ORDINARY_MS_MAX ? workers->duty_ms * 2 : again ? workers->duty_ms : ORDINARY_MS;
    workers->duty_until_ms = now_ms + workers->duty_ms;
    LOG(WARN, "logins get no processor time", "threads=%s for_ms=%llu what=\"other work takes all cores; logins go on at a higher priority\"", log_quoted(span_of_string(workers->name)),
        (unsigned long long)workers->duty_ms);
    change_crew(workers, CREW_ORDINARY);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void auth_workers_away(struct auth_workers *workers, uint32_t number) { atomic_store(&workers->threads[number].whereabouts, AWAY); }

void auth_workers_back(struct auth_workers *workers, uint32_t number)
{
    int expected = AWAY;
    if (atomic_compare_exchange_strong(&workers->threads[number].whereabouts, &expected, HERE)) return;
    for (;;)
        pause(); /* what it would go on with may be gone */
}

/* It is waited for now. A process without privileges may not do this unless its limit allows it. */
static void raise_priority(const struct thread *thread)
{
    static const struct sched_param none = {.sched_priority = 0};
    pid_t id = atomic_load(&thread->id);
    if (id && thread->crew == CREW_IDLE && sched_setscheduler(id, SCHED_BATCH, &none) == 0) setpriority(PRIO_PROCESS, (id_t)id, 10);
}

/* False: it is given up. */
static bool join(struct thread *thread, const struct timespec *until)
{
    int expected = AWAY;
    if (until && pthread_clockjoin_np(thread->thread, NULL, CLOCK_MONOTONIC, until) == 0) return true;
    if (until && atomic_compare_exchange_strong(&thread->whereabouts, &expected, GIVEN_UP)) {
        pthread_detach(thread->thread);
        return false;
    }
    return pthread_join(thread->thread, NULL) == 0; /* forever; or it is back, and not far from its end */
}

bool auth_workers_end(struct auth_workers *workers, uint32_t patience_ms)
{
    struct timespec until;
    uint32_t given_up = 0;
    atomic_store_explicit(&workers->stopping, true, memory_order_release);
    for (uint32_t i = 0; i < workers->threads_count; i++)
        sem_post(&workers->work[workers->threads[i].crew]);
    for (uint32_t i = 0; i < workers->threads_count; i++)
        raise_priority(&workers->threads[i]);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += patience_ms / 1000;
    until.tv_nsec += (long)(patience_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    for (uint32_t i = 0; i < workers->threads_count; i++)
        given_up += !join(&workers->threads[i], patience_ms == AUTH_PATIENCE_FOREVER ? NULL : &until);
    workers->threads_count = 0;
    if (given_up) LOG(WARN, "logins are given up", "threads=%s count=%u what=\"they have not come to their end in time; they end with the process\"",
                      log_quoted(span_of_string(workers->name)), given_up);
    return given_up == 0;
}

void auth_workers_release(struct auth_workers *workers)
{
    sort_inbox(workers);
    for (struct auth_work *work; (work = take(workers));)
        workers->calls.run(workers->context, 0, work);
    workers->calls.end(workers->context, 0); /* run() may have begun something there again */
    for (int crew = 0; crew < AUTH_WORKERS_CREWS; crew++)
        sem_destroy(&workers->work[crew]);
    pthread_mutex_destroy(&workers->lock);
    memory_release(workers);
}
