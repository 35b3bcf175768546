#include <criterion/criterion.h>

#include <pthread.h>

#include "broker/rates.h"

#define S  1000000000ull
#define MS 1000000ull

static struct rate rate(uint64_t per_s, uint64_t burst, enum rate_kind kind)
{
    return rate_of((struct rate_settings){per_s, burst}, kind);
}

Test(rates, a_burst_then_one_by_one)
{
    struct rate ten = rate(10, 5, RATE_MESSAGES);
    uint64_t clock = 0, now = 100 * S;
    for (int i = 0; i < 4; i++)
        cr_assert_eq(rate_charge(&ten, &clock, 1, now), 0, "message %d waits", i);
    uint64_t ready = rate_charge(&ten, &clock, 1, now); /* the last of the burst: the next one would be too early */
    cr_assert(ready > now && ready <= now + 100 * MS, "%lu", (unsigned long)(ready - now));
    for (int i = 0; i < 50; i++) {
        uint64_t next = rate_charge(&ten, &clock, 1, ready);
        cr_assert_eq(next - ready, 100 * MS);
        ready = next;
    }
}

Test(rates, a_burst_of_nothing_is_a_second)
{
    struct rate hundred = rate(100, 0, RATE_MESSAGES);
    uint64_t clock = 0, now = 7 * S;
    int taken = 0;
    while (!rate_charge(&hundred, &clock, 1, now))
        taken++;
    cr_assert_eq(taken + 1, 100, "%d", taken + 1);
}

/* Who sends one and waits until it may go on gets exactly the rate, whatever the timer's grain. */
Test(rates, exact_over_time)
{
    static const uint64_t rates[] = {1, 3, 7, 100, 999, 1000, 3333, 50000};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        struct rate some = rate(rates[r], 1, RATE_MESSAGES);
        uint64_t clock = 0, now = 50 * S, begin = now, taken = 0;
        while (now < begin + 20 * S) {
            uint64_t ready = rate_charge(&some, &clock, 1, now);
            taken++;
            if (ready) now = (ready + MS - 1) / MS * MS; /* timers tick in ms */
        }
        uint64_t wanted = 20 * rates[r];
        cr_assert(taken >= wanted - wanted / 200 && taken <= wanted + 1 + rates[r] * 4 / 1000, "%lu/s: %lu of %lu", (unsigned long)rates[r],
                  (unsigned long)taken, (unsigned long)wanted);
    }
}

Test(rates, bytes)
{
    struct rate mega = rate(1000000, 1000000, RATE_BYTES);
    uint64_t clock = 0, now = 9 * S;
    cr_assert_eq(rate_charge(&mega, &clock, 1000000, now), 0);
    cr_assert_eq(rate_charge(&mega, &clock, 500000, now), now + 500 * MS);
    cr_assert_eq(rate_charge(&mega, &clock, 268435455, now + 500 * MS), now + 500 * MS + 268435455000ull);
    struct rate largest = rate(10000000000ull, 10000000000ull, RATE_BYTES);
    cr_assert_eq(largest.burst_ns, S);
    cr_assert_eq(rate_cost_ns(&largest, 268435455), 26843546);
}

Test(rates, a_clock_never_saves_more_than_a_burst)
{
    struct rate ten = rate(10, 3, RATE_MESSAGES);
    uint64_t clock = 0;
    for (uint64_t day = 1; day < 5; day++) {
        int taken = 0;
        while (!rate_charge(&ten, &clock, 1, day * 86400 * S))
            taken++;
        cr_assert_eq(taken + 1, 3);
    }
}

/* ---- shared by shards ------------------------------------------------------------------------------------------- */

#define SHARDS 4
static struct rate_clock shared;
static struct rate common;
static _Atomic uint64_t now_shared;
static uint64_t taken_by[SHARDS];

/* A shard with some clients, each of which waits for its turn. */
static void *shard_run(void *argument)
{
    uint32_t number = (uint32_t)(uintptr_t)argument;
    struct rate_drawn drawn = {0};
    uint64_t clients[8] = {0}, end = 21 * S;
    for (uint64_t now; (now = atomic_fetch_add(&now_shared, 20000)) < end;)
        for (uint32_t c = 0; c < 8; c++) {
            if (clients[c] > now) continue;
            clients[c] = rate_charge_shared(&common, &shared, &drawn, 1, now, SHARDS);
            taken_by[number]++;
        }
    return NULL;
}

/* However the load is spread, the shards together take the rate: at most the burst, one packet a client and what was drawn ahead beyond it. */
Test(rates, shards_together_keep_it)
{
    static const uint32_t busy[] = {1, 2, SHARDS};
    for (size_t b = 0; b < sizeof busy / sizeof *busy; b++) {
        common = rate(5000, 500, RATE_MESSAGES);
        atomic_store(&shared.ns, 0);
        atomic_store(&now_shared, S);
        pthread_t threads[SHARDS];
        memset(taken_by, 0, sizeof taken_by);
        for (uint32_t s = 0; s < busy[b]; s++)
            pthread_create(&threads[s], NULL, shard_run, (void *)(uintptr_t)s);
        uint64_t sum = 0;
        for (uint32_t s = 0; s < busy[b]; s++) {
            pthread_join(threads[s], NULL);
            sum += taken_by[s];
        }
        uint64_t wanted = 20 * 5000, over = 500 + 8 * SHARDS + 5000 * RATE_AHEAD_MS / 1000 + SHARDS;
        cr_assert(sum >= wanted - wanted / 100 && sum <= wanted + over, "%u busy shards: %lu", busy[b], (unsigned long)sum);
    }
}

/* One shard alone gets what the others don't use, but for what they have drawn. */
Test(rates, an_idle_shard_keeps_little)
{
    struct rate_clock clock = {0};
    struct rate_drawn idle = {0}, busy = {0};
    struct rate thousand = rate(1000, 1, RATE_MESSAGES);
    rate_charge_shared(&thousand, &clock, &idle, 1, S, 2);
    cr_assert_gt(idle.units, 0);
    uint64_t taken = 0, now = S;
    while (now < 11 * S) {
        uint64_t ready = rate_charge_shared(&thousand, &clock, &busy, 1, now, 2);
        taken++;
        if (ready) now = ready;
    }
    cr_assert(taken >= 9950 && taken <= 10010, "%lu", (unsigned long)taken);
}
