/* The pool of threads: what may wait, and what happens when the threads get no processor. */
#include "features/auth/workers.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

struct piece {
    struct auth_work work;
    uint64_t burn_us, sleep_us; /* CPU time, and time without */
    sem_t *go;        /* waits for this first; NULL: for nothing */
    struct auth_workers *away; /* and is away from these for the time */
    atomic_int *done;
    int policy;       /* of the thread that ran it */
};

static atomic_int gone; /* how often somebody went away */

static void run(void *context, uint32_t number, struct auth_work *work)
{
    struct piece *piece = (struct piece *)work;
    struct timespec now, from;
    cr_assert_lt(number, 2u * AUTH_WORKERS_CREWS);
    if (piece->away) {
        auth_workers_away(piece->away, number);
        atomic_fetch_add(&gone, 1);
    }
    if (piece->go) sem_wait(piece->go);
    if (piece->away) auth_workers_back(piece->away, number);
    if (piece->sleep_us) nanosleep(&(struct timespec){.tv_nsec = (long)piece->sleep_us * 1000}, NULL);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((uint64_t)((now.tv_sec - from.tv_sec) * 1000000 + (now.tv_nsec - from.tv_nsec) / 1000) < piece->burn_us);
    piece->policy = sched_getscheduler(0);
    atomic_fetch_add(piece->done, 1);
}

struct idled {
    atomic_int all, ordinary; /* how often idle() was called; by threads of the second crew */
};

static uint32_t idle_ms(void *context, uint32_t number, bool first) { return first && context ? 20 : AUTH_IDLE_NEVER; }
static void idle(void *context, uint32_t number, bool first)
{
    struct idled *idled = context;
    cr_assert(first && number % 2 == 0, "thread %u", number);
    atomic_fetch_add(&idled->all, 1);
    if (sched_getscheduler(0) == SCHED_BATCH) atomic_fetch_add(&idled->ordinary, 1);
}
static void end(void *context, uint32_t number) {}
static const struct auth_workers_calls calls = {run, idle_ms, idle, end};

static void nap(long ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL); }

static void await(atomic_int *done, int wanted, int seconds)
{
    for (int i = 0; i < seconds * 100 && atomic_load(done) < wanted; i++)
        nap(10);
    cr_assert_geq(atomic_load(done), wanted, "%d of %d are done", atomic_load(done), wanted);
}

Test(workers, idle_only_when_wanted)
{
    atomic_int done = 0;
    struct idled idled = {0};
    struct auth_workers *workers = auth_workers_start("test", 2, 8, 1000, &calls, &idled);
    await(&idled.all, 2, 60);
    struct piece piece = {.done = &done};
    cr_assert(auth_workers_put(workers, &piece.work));
    await(&done, 1, 60);
    cr_assert_eq(piece.policy, SCHED_IDLE);
    cr_assert(auth_workers_end(workers, AUTH_PATIENCE_FOREVER));
    auth_workers_release(workers);
    cr_assert_eq(sched_getscheduler(0), SCHED_OTHER);
}

/* Jobs take 20 ms and patience ends after 500: 25 may wait. Where the thread gets no processor they take longer, and fewer may wait: it learns anew then. */
Test(workers, no_more_waits_than_can_be_done_in_time)
{
    enum { COUNT = 400, TAUGHT = 24 };
    static struct piece pieces[COUNT];
    atomic_int done = 0;
    struct auth_workers *workers = auth_workers_start("test", 1, COUNT, 500, &calls, NULL);
    sem_t go;
    sem_init(&go, 0, 0);
    int taken = 0;
    for (int tries = 0, before = 0; tries < 20 && taken < 8; tries++, before += TAUGHT + taken) {
        for (int i = 0; i < TAUGHT; i++) { /* it learns */
            pieces[i] = (struct piece){.work.fair = (uint64_t)i << 8, .sleep_us = 20000, .done = &done};
            cr_assert(auth_workers_put(workers, &pieces[i].work));
            await(&done, before + i + 1, 60);
        }
        taken = 0;
        for (int i = TAUGHT; i < COUNT; i++) {
            pieces[i] = (struct piece){.work.fair = (uint64_t)i << 8, .go = &go, .done = &done};
            taken += auth_workers_put(workers, &pieces[i].work);
        }
        for (int i = 0; i < taken; i++)
            sem_post(&go);
        await(&done, before + TAUGHT + taken, 60);
    }
    cr_assert(taken >= 8 && taken <= 30, "%d wait", taken);
    cr_assert(auth_workers_end(workers, AUTH_PATIENCE_FOREVER));
    auth_workers_release(workers);
    sem_destroy(&go);
}

static atomic_bool hogging = true;
static void *hog(void *nothing)
{
    while (atomic_load(&hogging)) {}
    return nothing;
}

/* One processor, which somebody else keeps busy: the threads of SCHED_IDLE would need minutes. The others do all of their duties, those of the idle, too:
 * whoever asks whether a server is back must not starve. */
Test(workers, ordinary_threads_work_when_the_others_starve, .timeout = 120)
{
    enum { COUNT = 6 };
    cpu_set_t all, one;
    struct piece pieces[COUNT];
    atomic_int done = 0;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
            break;
        }
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0); /* threads made from now on stay there */
    struct idled idled = {0};
    struct auth_workers *workers = auth_workers_start("test", 2, 64, 60000, &calls, &idled);
    pthread_t hogs[3];
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&hogs[i], NULL, hog, NULL), 0);
    sched_setaffinity(0, sizeof all, &all);
    for (int i = 0; i < COUNT; i++) {
        pieces[i] = (struct piece){.work.fair = (uint64_t)i << 8, .burn_us = 30000, .done = &done, .policy = -1};
        cr_assert(auth_workers_put(workers, &pieces[i].work));
    }
    uint64_t now_ms = 1000;
    for (int looks = 0; looks < 60 && atomic_load(&done) < COUNT - 2; looks++, now_ms += 1000) {
        auth_workers_look(workers, now_ms);
        nap(700);
    }
    int ordinary = 0;
    for (int i = 0; i < COUNT; i++)
        ordinary += pieces[i].policy == SCHED_BATCH;
    cr_assert_geq(ordinary, 1, "nobody but the starving threads has worked");
    await(&idled.ordinary, 3, 60);
    atomic_store(&hogging, false);
    for (int i = 0; i < 3; i++)
        pthread_join(hogs[i], NULL);
    await(&done, COUNT, 60);
    auth_workers_look(workers, now_ms + 1000000); /* the ordinary crew's time is over */
    struct piece last = {.done = &done};
    cr_assert(auth_workers_put(workers, &last.work));
    await(&done, COUNT + 1, 60);
    cr_assert_eq(last.policy, SCHED_IDLE);
    cr_assert(auth_workers_end(workers, AUTH_PATIENCE_FOREVER));
    auth_workers_release(workers);
}

static void *post_later(void *go)
{
    nap(300);
    sem_post(go);
    sem_post(go);
    return NULL;
}

/* A stop while the ordinary crew is on duty and pieces wait: the tokens of those are the ordinary crew's, but the others help, and must end all the same. */
Test(workers, all_end_whoever_is_on_duty, .timeout = 120)
{
    cpu_set_t all, one;
    struct piece pieces[7];
    atomic_int done = 0;
    sem_t go;
    sem_init(&go, 0, 0);
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    struct idled idled = {0};
    struct auth_workers *workers = auth_workers_start("test", 2, 64, 60000, &calls, &idled);
    pthread_t hogs[3], poster;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&hogs[i], NULL, hog, NULL), 0);
    sched_setaffinity(0, sizeof all, &all);
    pieces[0] = (struct piece){.burn_us = 300000, .done = &done, .policy = -1};
    cr_assert(auth_workers_put(workers, &pieces[0].work));
    uint64_t now_ms = 1000;
    for (int looks = 0; looks < 60 && atomic_load(&idled.ordinary) == 0; looks++, now_ms += 1000) {
        auth_workers_look(workers, now_ms);
        nap(700);
    }
    cr_assert_gt(atomic_load(&idled.ordinary), 0, "the ordinary crew is not on duty");
    atomic_store(&hogging, false);
    for (int i = 0; i < 3; i++)
        pthread_join(hogs[i], NULL);
    await(&done, 1, 60);
    for (int i = 1; i < 7; i++) { /* two for the ordinary crew to be busy with, and four that wait */
        pieces[i] = (struct piece){.work.fair = (uint64_t)i << 8, .go = i < 3 ? &go : NULL, .done = &done, .policy = -1};
        cr_assert(auth_workers_put(workers, &pieces[i].work));
    }
    pthread_create(&poster, NULL, post_later, &go);
    cr_assert(auth_workers_end(workers, AUTH_PATIENCE_FOREVER));
    pthread_join(poster, NULL);
    cr_assert_eq(atomic_load(&done), 7);
    auth_workers_release(workers);
    sem_destroy(&go);
}

/* One thread is away and stays there, another is away and comes in time. */
Test(workers, who_is_away_too_long_is_given_up)
{
    static struct piece late, in_time; /* the thread that is given up sees its piece for as long as it lives */
    static sem_t never, soon;
    static atomic_int done;
    sem_init(&never, 0, 0);
    sem_init(&soon, 0, 0);
    static struct auth_workers *workers; /* and its pool */
    workers = auth_workers_start("test", 2, 8, 60000, &calls, NULL);
    late = (struct piece){.work.fair = 1 << 8, .go = &never, .away = workers, .done = &done};
    in_time = (struct piece){.work.fair = 2 << 8, .go = &soon, .away = workers, .done = &done};
    cr_assert(auth_workers_put(workers, &late.work));
    cr_assert(auth_workers_put(workers, &in_time.work));
    await(&gone, 2, 60);
    sem_post(&soon);
    await(&done, 1, 60);
    cr_assert_not(auth_workers_end(workers, 300));
    cr_assert_eq(atomic_load(&done), 1);
    sem_post(&never); /* it comes back now, and goes no further */
    nap(300);
    cr_assert_eq(atomic_load(&done), 1);
}
