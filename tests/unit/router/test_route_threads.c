/* One writer per shard and readers on every shard: what is there throughout is always found, exactly once, with its own id.
 *
 * Criterion cannot run under the thread sanitizer (Snaipe/Criterion#274: its arena and the sanitizer want the same addresses), so
 * in that build this file brings the program's main() and is all of it; that is why it says CHECK and not cr_assert. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/random.h"
#include "naive.h"
#include "router/match_cache.h"
#include "router/route_scout.h"
#include "router/route_index.h"

#define SHARDS 3
#define FIRSTS 16
#define LASTING_PER_FIRST 6

static struct qsbr qsbr;
static struct route_index *route_index;
static _Atomic bool stop;
static const uint32_t LASTING = 1u << 31; /* in the local id of routes that stay */

static void lasting_filter(uint32_t first, uint32_t which, char *ret_filter)
{
    static const char *const FORMS[LASTING_PER_FIRST] = {"f%u/x/y", "f%u/+/y", "f%u/#", "f%u/x/#", "f%u/+/+", "f%u/x/+/#"};
    sprintf(ret_filter, FORMS[which], first);
}

static void lasting_add(void)
{
    char filter[64];
    for (uint32_t first = 0; first < FIRSTS; first++)
        for (uint32_t which = 0; which < LASTING_PER_FIRST; which++) {
            lasting_filter(first, which, filter);
            struct route route = {.local_id = LASTING | first << 8 | which, .target = (uint16_t)(which % SHARDS)};
            route_index_add(route_index, text(filter), &route);
        }
    struct route everywhere = {.group = text("g"), .local_id = LASTING | 1u << 30, .weight = 3, .strategy = 2};
    route_index_add(route_index, text("+/x/y"), &everywhere);
}

/* Restless routes: beside, below and on the same nodes as the lasting ones. */
static void churn(struct random_source *random, uint32_t shard)
{
    static const char *const FORMS[] = {"f%u/x/y", "f%u/x", "f%u/+", "f%u/x/y/z/%u", "f%u/k%u", "f%u/x/k%u", "+/x/k%u", "+/k%u/#"};
    char filter[64];
    uint32_t first = (uint32_t)random_below(random, FIRSTS), tail = (uint32_t)random_below(random, 40);
    uint32_t form = (uint32_t)random_below(random, sizeof FORMS / sizeof *FORMS);
    if (form >= 6)
        sprintf(filter, FORMS[form], tail);
    else
        sprintf(filter, FORMS[form], first, tail);
    if (route_index_writer(route_index, route_index_partition(route_index, text(filter))) != shard) return;
    struct route route = {.group = text(random_below(random, 3) ? "" : "h"),
                          .local_id = tail,
                          .weight = 1,
                          .target = (uint16_t)(SHARDS + random_below(random, 4))};
    if (random_below(random, 2))
        route_index_add(route_index, text(filter), &route);
    else
        route_index_remove(route_index, text(filter), route.group, route.target);
}

static void expect_lasting(struct route_match *match, uint32_t first)
{
    uint32_t seen = 0, groups = 0;
    for (uint32_t i = 0; i < match->plain_count; i++) {
        const struct route_target *plain = &match->plain[i];
        if (!(plain->local_id & LASTING)) {
            CHECK(plain->target >= SHARDS && plain->local_id < 40);
            continue;
        }
        uint32_t which = plain->local_id & 0xff;
        CHECK((plain->local_id & ~LASTING) >> 8 == first);
        CHECK(which < LASTING_PER_FIRST && (seen >> which & 1) == 0);
        seen |= 1u << which;
    }
    for (uint32_t i = 0; i < match->groups_count; i++)
        groups += match->groups[i].targets[0].local_id == (LASTING | 1u << 30) && match->groups[i].strategy == 2;
    CHECK(seen == (1u << LASTING_PER_FIRST) - 1);
    CHECK(groups == 1);
}

static void *shard_run(void *argument)
{
    uint32_t shard = (uint32_t)(uintptr_t)argument, turn = 0;
    struct random_source random = {naive_seed(5) + shard};
    struct route_match match = {0};
    struct match_cache *cache = match_cache_create(route_index, (uint16_t)shard, 64, 1 << 20);
    struct sinks *sinks = sinks_create(1, 0); /* empty: a scout meets ids that are nobody's any more */
    char topic[64];
    void *who[3];
    bool scouts = false;
    qsbr_wake(&qsbr, shard);
    match_cache_serves(cache, sinks, 0, &scouts);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < 16; i++) {
            uint32_t first = (uint32_t)random_below(&random, FIRSTS);
            sprintf(topic, "f%u/x/y", first);
            if (scouts) route_scout(route_index, cache, sinks, (uint16_t)shard, (struct span[]){text(topic), text("f1/x/y"), text("f2/other")}, 3, who);
            route_index_match(route_index, text(topic), &match);
            expect_lasting(&match, first);
            const struct match_set *set = match_cache_lookup(cache, text(topic));
            uint32_t lasting = 0;
            for (uint32_t k = 0; k < set->local_ids_count; k++)
                lasting += (set->local_ids[k] & LASTING) != 0;
            CHECK(lasting == LASTING_PER_FIRST / SHARDS);
            churn(&random, shard);
        }
        route_index_collect(route_index, shard);
        if (++turn % 7 == 0) {
            qsbr_sleep(&qsbr, shard);
            qsbr_wake(&qsbr, shard);
        } else {
            qsbr_pass(&qsbr, shard);
        }
    }
    CHECK(scouts);
    qsbr_sleep(&qsbr, shard);
    match_cache_destroy(cache);
    sinks_destroy(sinks);
    route_match_release(&match);
    return NULL;
}

static void run(void)
{
    struct route_index_config config = {.shards_count = SHARDS, .partitions_count = 8, .hash_seed = 1, .hash_bits = 5};
    pthread_t threads[SHARDS];
    qsbr_init(&qsbr, SHARDS);
    route_index = route_index_create(&config, &qsbr);
    lasting_add();
    for (uintptr_t i = 0; i < SHARDS; i++)
        pthread_create(&threads[i], NULL, shard_run, (void *)i);
    nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    atomic_store(&stop, true);
    for (uint32_t i = 0; i < SHARDS; i++)
        pthread_join(threads[i], NULL);

    struct route_index_stats stats;
    for (int turn = 0; turn < 3; turn++)
        for (uint32_t i = 0; i < SHARDS; i++)
            route_index_collect(route_index, i);
    route_index_stats(route_index, &stats);
    CHECK(stats.retired_blocks == 0);
    route_index_destroy(route_index);
}

#ifdef __SANITIZE_THREAD__
int main(void)
{
    run();
    puts("route_threads: passed");
    return 0;
}
#else
Test(route_threads, lasting_routes_are_always_found) { run(); }
#endif
