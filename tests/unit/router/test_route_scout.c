#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "naive.h"
#include "router/route_scout.h"

static struct qsbr qsbr;

static struct route_index *index_create(uint32_t hash_bits)
{
    struct route_index_config config = {.shards_count = 1, .partitions_count = 4, .hash_seed = 9, .hash_bits = hash_bits};
    qsbr_init(&qsbr, 1);
    return route_index_create(&config, &qsbr);
}

/* What a scout fetches cannot be seen, but that it goes nowhere else: whatever filters come and go, whatever the topics look like (they lie at
 * the end of a block, so that a sanitizer sees each byte too many), it comes back, and knows how many topics the cache does not. */
static void among_changing_filters(uint64_t seed, uint32_t hash_bits)
{
    struct random_source random = {seed};
    struct route_index *index = index_create(hash_bits);
    struct sinks *sinks = sinks_create(1, 0);
    struct match_cache *cache = match_cache_create(index, 0, 256, 1 << 20);
    char filter[NAIVE_TEXT_MAX], topic[NAIVE_TEXT_MAX];
    match_cache_serves(cache, sinks, SCOUT_FILTERS_MIN);
    qsbr_wake(&qsbr, 0);
    for (int step = 0; step < 3000; step++) {
        naive_filter(&random, filter);
        int who;
        if (random_below(&random, 3)) {
            struct sinks_added added = sinks_add(sinks, text(filter), text(""), &(struct sink){.who = &who});
            struct route route = {.local_id = added.local_id, .target = (uint16_t)random_below(&random, 2)};
            route_index_add(index, text(filter), &route);
        } else {
            sinks_remove(sinks, text(filter), text(""), &who); /* routes stay: their ids are stale, which may be at any time */
            if (random_below(&random, 2)) route_index_remove(index, text(filter), text(""), 0);
        }
        struct span topics[SCOUT_TOPICS];
        uint32_t count = (uint32_t)random_below(&random, SCOUT_TOPICS + 1), unknown = 0;
        for (uint32_t i = 0; i < count; i++) {
            naive_topic(&random, topic);
            size_t bytes = strlen(topic);
            uint8_t *copy = memory_acquire(bytes);
            memcpy(copy, topic, bytes);
            topics[i] = span_of(copy, bytes);
            if (random_below(&random, 2)) match_cache_lookup(cache, topics[i]);
        }
        for (uint32_t i = 0; i < count; i++)
            unknown += topics[i].bytes && !match_cache_may_know(cache, match_cache_expect(cache, topics[i]));
        cr_assert_eq(route_scout(index, cache, sinks, 0, topics, count), unknown, "seed %" PRIu64 " step %d", seed, step);
        for (uint32_t i = 0; i < count; i++)
            memory_release((void *)topics[i].data);
        qsbr_pass(&qsbr, 0);
        route_index_collect(index, 0);
    }
    match_cache_destroy(cache);
    route_index_destroy(index);
    sinks_destroy(sinks);
}

Test(route_scout, comes_back_whatever_there_is)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        among_changing_filters(seed, seed % 2 ? 0 : 2);
}

/* Misses among many filters call for it, and hits let it go. */
Test(route_scout, is_wanted_while_most_topics_are_new)
{
    struct route_index *index = index_create(0);
    struct sinks *sinks = sinks_create(1, 0);
    struct match_cache *cache = match_cache_create(index, 0, 64, 1 << 20);
    struct span topics[2];
    char name[2][32];
    int who;
    match_cache_serves(cache, sinks, SCOUT_FILTERS_MIN);
    for (int filters = 0, topic = 0; filters <= 40000; filters += 40000) {
        for (int i = 0; i < filters; i++) {
            snprintf(name[0], sizeof name[0], "f/%d", i);
            struct sinks_added added = sinks_add(sinks, text(name[0]), text(""), &(struct sink){.who = &who});
            route_index_add(index, text(name[0]), &(struct route){.local_id = added.local_id});
        }
        for (int i = 0; i < 1000; i++) {
            snprintf(name[0], sizeof name[0], "f/%d", topic++);
            match_cache_lookup(cache, text(name[0]));
        }
        cr_assert_eq(match_cache_wants_scout(cache), filters > 0, "%d filters", filters);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "f/new%d", i);
        topics[i] = text(name[i]);
    }
    match_cache_scouted(cache, route_scout(index, cache, sinks, 0, topics, 2));
    cr_assert(match_cache_wants_scout(cache), "these were new");
    for (int i = 0; i < 4; i++)
        match_cache_lookup(cache, topics[i % 2]);
    match_cache_scouted(cache, route_scout(index, cache, sinks, 0, topics, 2));
    cr_assert(!match_cache_wants_scout(cache), "nothing new any more");
    match_cache_destroy(cache);
    route_index_destroy(index);
    sinks_destroy(sinks);
}
