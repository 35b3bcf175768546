#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "naive.h"
#include "router/match_cache.h"
#include "router/share.h"

static struct qsbr qsbr;

static struct route_index *index_create(void)
{
    struct route_index_config config = {.shards_count = 1, .partitions_count = 8, .hash_seed = 3};
    qsbr_init(&qsbr, 1);
    return route_index_create(&config, &qsbr);
}

static void add(struct route_index *index, const char *filter, uint16_t target, uint32_t local_id, const char *group)
{
    struct route route = {text(group), local_id, 2, target, 1};
    route_index_add(index, text(filter), &route);
}

Test(match_cache, split_by_target)
{
    struct route_index *index = index_create();
    struct match_cache *cache = match_cache_create(index, 1, 100, 1 << 20);
    add(index, "a/b", 2, 20, "");
    add(index, "a/+", 1, 11, "");
    add(index, "a/#", 0, 5, "");
    add(index, "a/#", 1, 12, "");
    add(index, "#", 2, 21, "");
    add(index, "a/b", 1, 77, "g");
    add(index, "a/b", 2, 78, "g");
    const struct match_set *set = match_cache_lookup(cache, text("a/b"));
    cr_assert_eq(set->local_ids_count, 2);
    cr_assert_eq(set->local_ids[0] + set->local_ids[1], 23);
    cr_assert_eq(set->others_count, 2);
    cr_assert(set->others[0].target == 0 && set->others[0].ids_count == 1 && set->others[0].ids[0] == 5);
    cr_assert(set->others[1].target == 2 && set->others[1].ids_count == 2);
    cr_assert_eq(set->others[1].ids[0] + set->others[1].ids[1], 41);
    cr_assert(set->groups_count == 1 && set->groups[0].targets_count == 2 && set->groups[0].weight_total == 4);
    cr_assert_eq(set->groups[0].targets[0].local_id + set->groups[0].targets[1].local_id, 155);
    cr_assert_eq(match_cache_lookup(cache, text("a/b")), set);
    cr_assert_eq(match_cache_stats(cache).hits, 1);
    cr_assert_eq(set->topic_hash, hash_span(text("a/b")));
    cr_assert_eq(match_cache_lookup(cache, text("$a"))->local_ids_count, 0);
    cr_assert(match_set_empty(match_cache_lookup(cache, text("$a"))));
    match_cache_destroy(cache);
    route_index_destroy(index);
}

/* Sinks that want what is published on their shard: each shard sees its own as a plain filter, and nothing of the others'. */
Test(match_cache, local_filters)
{
    struct route_index *index = index_create();
    struct match_cache *cache = match_cache_create(index, 1, 100, 1 << 20), *other = match_cache_create(index, 3, 100, 1 << 20);
    for (uint16_t target = 0; target < 3; target++) {
        struct route route = {SHARE_LOCAL_GROUP, 50u + target, 1, target, SHARE_LOCAL};
        route_index_add(index, text("a/#"), &route);
    }
    add(index, "a/b", 1, 7, "");
    add(index, "a/b", 1, 77, "g");
    add(index, "a/b", 2, 78, "g");
    const struct match_set *set = match_cache_lookup(cache, text("a/b"));
    cr_assert(set->local_ids_count == 2 && set->local_ids[0] + set->local_ids[1] == 58);
    cr_assert_eq(set->others_count, 0);
    cr_assert(set->groups_count == 1 && set->groups[0].targets_count == 2 && set->groups[0].targets[0].local_id + set->groups[0].targets[1].local_id == 155);
    set = match_cache_lookup(cache, text("a/c"));
    cr_assert(set->local_ids_count == 1 && set->local_ids[0] == 51 && set->groups_count == 0);
    cr_assert(match_set_empty(match_cache_lookup(other, text("a/c"))), "a shard without such a sink");
    route_index_remove(index, text("a/#"), SHARE_LOCAL_GROUP, 1);
    cr_assert(match_set_empty(match_cache_lookup(cache, text("a/c"))), "it has gone");
    match_cache_destroy(cache);
    match_cache_destroy(other);
    route_index_destroy(index);
}

static uint64_t misses_after(struct match_cache *cache, const char *topic)
{
    uint64_t before = match_cache_stats(cache).misses;
    match_cache_lookup(cache, text(topic));
    return match_cache_stats(cache).misses - before;
}

/* A first level in another partition than `first`. */
static void elsewhere(struct route_index *index, const char *first, char *ret_level)
{
    for (int i = 0;; i++) {
        sprintf(ret_level, "e%d", i);
        if (route_index_partition(index, text(ret_level)) != route_index_partition(index, text(first))) return;
    }
}

Test(match_cache, only_the_two_partitions_concerned_make_it_outdated)
{
    struct route_index *index = index_create();
    struct match_cache *cache = match_cache_create(index, 0, 64, 1 << 20);
    char other[16];
    elsewhere(index, "a", other);
    cr_assert_eq(misses_after(cache, "a/b"), 1);
    add(index, other, 0, 1, "");
    cr_assert_eq(misses_after(cache, "a/b"), 0);
    add(index, "a/c", 0, 2, "");
    cr_assert_eq(misses_after(cache, "a/b"), 1);
    add(index, "+/c", 0, 3, "");
    cr_assert_eq(misses_after(cache, "a/b"), 1);
    cr_assert_eq(match_cache_stats(cache).outdated, 2);
    cr_assert_eq(misses_after(cache, "$a"), 1);
    add(index, "+/d", 0, 4, "");
    cr_assert_eq(misses_after(cache, "$a"), 0);
    match_cache_destroy(cache);
    route_index_destroy(index);
}

Test(match_cache, bounds)
{
    struct route_index *index = index_create();
    struct match_cache *cache = match_cache_create(index, 0, 64, 4096);
    char topic[1024];
    for (int i = 0; i < 5000; i++) {
        snprintf(topic, sizeof topic, "t/%d/%0*d", i, i % 300, i);
        match_cache_lookup(cache, text(topic));
        match_cache_lookup(cache, text(topic)); /* the second time it may take another one's place */
        cr_assert_leq(match_cache_stats(cache).bytes, 4096);
        cr_assert_leq(match_cache_stats(cache).entries, 64);
    }
    cr_assert_gt(match_cache_stats(cache).evicted, 4000);
    for (int i = 0; i < 1000; i++)
        add(index, "big", (uint16_t)i, (uint32_t)i, "");
    cr_assert_eq(misses_after(cache, "big"), 1);
    cr_assert_eq(misses_after(cache, "big"), 1); /* too large to keep */
    cr_assert_eq(match_cache_lookup(cache, text("big"))->others_count, 999);
    cr_assert_leq(match_cache_stats(cache).bytes, 4096);
    match_cache_destroy(cache);

    /* What is hit again and again survives a stream of others. */
    cache = match_cache_create(index, 0, 256, 1 << 20);
    match_cache_lookup(cache, text("hot"));
    uint64_t hot_misses = 0;
    for (int i = 0; i < 20000; i++) {
        snprintf(topic, sizeof topic, "cold/%d", i);
        match_cache_lookup(cache, text(topic));
        hot_misses += misses_after(cache, "hot");
    }
    cr_assert_eq(hot_misses, 0);
    match_cache_destroy(cache);
    route_index_destroy(index);
}

/* Where it would take another one's place, a topic is kept at its second coming; of a stream that never comes again nothing is. */
Test(match_cache, first_sight_throws_nothing_out)
{
    struct route_index *index = index_create();
    struct match_cache *cache = match_cache_create(index, 0, 64, 1 << 20);
    char topic[64];
    for (int i = 0; i < 1000; i++) { /* fills all sets */
        snprintf(topic, sizeof topic, "old/%d", i);
        match_cache_lookup(cache, text(topic));
    }
    cr_assert_eq(match_cache_stats(cache).entries, 64);
    cr_assert_eq(match_cache_stats(cache).evicted, 0);
    cr_assert_eq(match_cache_stats(cache).passed, 1000 - 64);
    add(index, "new", 0, 5, "");
    for (int i = 0; i < 3; i++) { /* a miss, a miss and kept, a hit */
        const struct match_set *set = match_cache_lookup(cache, text("new"));
        cr_assert(set->local_ids_count == 1 && set->local_ids[0] == 5);
        cr_assert_eq(match_cache_stats(cache).misses, 1000 + (i == 0 ? 1 : 2));
    }
    cr_assert_eq(match_cache_stats(cache).evicted, 1);
    match_cache_destroy(cache);
    route_index_destroy(index);
}

static uint64_t id_sum(uint16_t target, uint32_t local_id) { return hash_u64((uint64_t)target << 32 | local_id); }

static void compare(struct naive *naive, const char *topic, const struct match_set *set, uint64_t seed)
{
    uint64_t wanted = 0, found = 0;
    uint32_t wanted_groups = 0, found_groups = 0;
    for (uint32_t i = 0; i < naive->count; i++) {
        if (!naive_matches(naive->routes[i].filter, topic)) continue;
        wanted_groups += naive->routes[i].group[0] != 0;
        wanted += id_sum(naive->routes[i].target, naive->routes[i].local_id);
    }
    for (uint32_t i = 0; i < set->local_ids_count; i++)
        found += id_sum(1, set->local_ids[i]);
    for (uint32_t i = 0; i < set->others_count; i++)
        for (uint32_t k = 0; k < set->others[i].ids_count; k++)
            found += id_sum(set->others[i].target, set->others[i].ids[k]);
    for (uint32_t i = 0; i < set->groups_count; i++)
        for (uint32_t k = 0; k < set->groups[i].targets_count; k++, found_groups++)
            found += id_sum(set->groups[i].targets[k].target, set->groups[i].targets[k].local_id);
    cr_assert_eq(found_groups, wanted_groups, "seed %" PRIu64 " topic %s", seed, topic);
    cr_assert_eq(found, wanted, "seed %" PRIu64 " topic %s", seed, topic);
}

static void twin(uint64_t seed, uint32_t entries_max, uint64_t bytes_max)
{
    struct random_source random = {seed};
    struct route_index *index = index_create();
    struct match_cache *cache = match_cache_create(index, 1, entries_max, bytes_max);
    struct naive naive = {0};
    char topic[NAIVE_TEXT_MAX];
    for (int step = 0; step < 200000; step++) {
        uint64_t what = random_below(&random, 20);
        if (what == 0 && naive.count < 60) {
            struct naive_route route = {.local_id = (uint32_t)random_next(&random),
                                        .weight = 2,
                                        .target = (uint16_t)random_below(&random, 4),
                                        .strategy = 1};
            naive_filter(&random, route.filter);
            strcpy(route.group, naive_group(&random));
            add(index, route.filter, route.target, route.local_id, route.group);
            naive_add(&naive, &route);
        } else if (what == 1 && naive.count > 0) {
            struct naive_route gone = naive.routes[random_below(&random, naive.count)];
            route_index_remove(index, text(gone.filter), text(gone.group), gone.target);
            naive_remove(&naive, gone.filter, gone.group, gone.target);
        }
        naive_topic(&random, topic);
        compare(&naive, topic, match_cache_lookup(cache, text(topic)), seed);
    }
    cr_assert_gt(match_cache_stats(cache).hits, 1000);
    naive_release(&naive);
    match_cache_destroy(cache);
    route_index_destroy(index);
}

Test(match_cache, twin_roomy) { twin(naive_seed(31), 4096, 1 << 20); }
Test(match_cache, twin_few_entries) { twin(naive_seed(32), 16, 1 << 20); }
Test(match_cache, twin_few_bytes) { twin(naive_seed(33), 4096, 6000); }
