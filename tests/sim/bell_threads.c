/* bell_threads.c - writers that ring, and a reader that sleeps (base/bell.h), for the thread sanitizer and without it. A wake-up that gets lost shows as a
 * reader that waits although there is something to read. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bell.h"

#define WRITERS 2
#define RECORDS 20000

static struct bell bell;
static struct {
    _Alignas(64) _Atomic uint32_t tail;
    uint32_t values[RECORDS]; /* plain: what a thread sanitizer sees when the order is not kept */
    _Alignas(64) _Atomic uint32_t head;
} rings[WRITERS];
static uint32_t bursts; /* of one writer: so many records, then it waits until they are taken. A wake-up lost now is not made good by the next record */

static void *writer(void *argument)
{
    uint32_t number = (uint32_t)(uintptr_t)argument;
    for (uint32_t i = 0; i < RECORDS; i++) {
        rings[number].values[i] = i + 1;
        atomic_store(&rings[number].tail, i + 1);
        bell_ring(&bell);
        while (i % bursts == 0 && atomic_load_explicit(&rings[number].head, memory_order_relaxed) != i + 1)
            sched_yield();
    }
    return NULL;
}

static bool something(void)
{
    for (int w = 0; w < WRITERS; w++)
        if (atomic_load(&rings[w].tail) != atomic_load(&rings[w].head)) return true;
    return false;
}

/* Returns the sum of what was taken. */
static uint64_t take_all(uint32_t *ret_taken)
{
    uint64_t sum = 0;
    for (int w = 0; w < WRITERS; w++) {
        uint32_t head = atomic_load(&rings[w].head), tail = atomic_load(&rings[w].tail);
        for (; head != tail; head++, ++*ret_taken)
            sum += rings[w].values[head];
        atomic_store(&rings[w].head, head);
    }
    return sum;
}

static void run(uint32_t writers, uint32_t records_of_a_burst)
{
    pthread_t threads[WRITERS];
    uint32_t slept = 0, taken = 0;
    uint64_t sum = 0;
    bursts = records_of_a_burst;
    CHECK(bell_open(&bell));
    for (int w = 0; w < WRITERS; w++) {
        atomic_store(&rings[w].tail, 0);
        atomic_store(&rings[w].head, 0);
    }
    for (uintptr_t w = 0; w < writers; w++)
        CHECK(pthread_create(&threads[w], NULL, writer, (void *)w) == 0);
    while (taken < writers * RECORDS) {
        sum += take_all(&taken);
        bell_sleep(&bell);
        if (!something() && taken < writers * RECORDS) {
            struct pollfd wait = {bell.fd, POLLIN, 0};
            slept++;
            CHECK(poll(&wait, 1, 20000) == 1); /* else a wake-up was lost */
        }
        bell_awake(&bell);
    }
    for (uint32_t w = 0; w < writers; w++)
        pthread_join(threads[w], NULL);
    printf("bell_threads: %u writers, bursts of %u: slept %u times\n", writers, records_of_a_burst, slept);
    CHECK(slept > 0 && sum == (uint64_t)writers * RECORDS * (RECORDS + 1) / 2);
    bell_close(&bell);
}

int main(void)
{
    for (uint32_t records = 1; records <= 8; records++)
        run(1, records);
    run(WRITERS, 64);
    return 0;
}
