/* A wake-up that gets lost shows as a reader that waits although there is something to read. */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "base/bell.h"

#define WRITERS 2
#define RECORDS 20000

static struct bell bell;
static struct {
    _Alignas(64) _Atomic uint32_t tail;
    uint32_t values[RECORDS]; /* plain: what a thread sanitizer sees when the order is not kept */
} rings[WRITERS];
static uint64_t lost_wakes;

static void *writer(void *argument)
{
    uint32_t number = (uint32_t)(uintptr_t)argument;
    for (uint32_t i = 0; i < RECORDS; i++) {
        rings[number].values[i] = i + 1;
        atomic_store(&rings[number].tail, i + 1);
        bell_ring(&bell);
        if (i % 64 == 0) nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL); /* the reader falls asleep now and then */
    }
    return NULL;
}

static bool something(const uint32_t *heads)
{
    for (int w = 0; w < WRITERS; w++)
        if (atomic_load(&rings[w].tail) != heads[w]) return true;
    return false;
}

Test(bell, no_wake_is_lost, .timeout = 60)
{
    pthread_t threads[WRITERS];
    uint32_t heads[WRITERS] = {0}, slept = 0;
    uint64_t sum = 0;
    bell_open(&bell);
    for (uintptr_t w = 0; w < WRITERS; w++)
        cr_assert(pthread_create(&threads[w], NULL, writer, (void *)w) == 0);
    while (heads[0] + heads[1] < WRITERS * RECORDS) {
        for (int w = 0; w < WRITERS; w++)
            for (uint32_t tail = atomic_load(&rings[w].tail); heads[w] != tail; heads[w]++)
                sum += rings[w].values[heads[w]];
        if (heads[0] + heads[1] == WRITERS * RECORDS) break;
        bell_sleep(&bell);
        if (!something(heads)) {
            slept++;
            struct pollfd wait = {bell.fd, POLLIN, 0};
            if (poll(&wait, 1, 5000) == 0) lost_wakes++;
        }
        bell_awake(&bell);
    }
    for (int w = 0; w < WRITERS; w++)
        pthread_join(threads[w], NULL);
    cr_assert(lost_wakes == 0, "%llu wakes of %u were lost", (unsigned long long)lost_wakes, slept);
    cr_assert(slept > 0 && sum == (uint64_t)WRITERS * RECORDS * (RECORDS + 1) / 2);
    bell_close(&bell);
}

Test(bell, rings_only_the_sleeping)
{
    struct bell one = BELL_CLOSED;
    bell_ring(&one); /* closed: nothing happens */
    bell_open(&one);
    struct pollfd wait = {one.fd, POLLIN, 0};
    bell_ring(&one);
    cr_assert(poll(&wait, 1, 0) == 0);
    bell_sleep(&one);
    bell_ring(&one);
    bell_ring(&one);
    cr_assert(poll(&wait, 1, 0) == 1 && !atomic_load(&one.sleeping));
    bell_awake(&one);
    cr_assert(poll(&wait, 1, 0) == 0);
    bell_close(&one);
}
