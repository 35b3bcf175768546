#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

static int by_id(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* What a lookup answers is what the index has for the topic at that moment. */
static void as_the_index_says(const struct route_index *index, struct match_cache *cache, struct route_match *match, struct span topic, uint64_t seed)
{
    uint32_t ids[512], found[512], count = 0, elsewhere = 0;
    const struct match_set *set = match_cache_lookup(cache, topic);
    route_index_match(index, topic, match);
    cr_assert_leq(match->plain_count, 512);
    for (uint32_t i = 0; i < match->plain_count; i++)
        if (match->plain[i].target == 0)
            ids[count++] = match->plain[i].local_id;
        else
            elsewhere++;
    cr_assert_eq(set->local_ids_count, count, "seed %" PRIu64 ": %.*s", seed, (int)topic.bytes, (const char *)topic.data);
    cr_assert_eq(set->others_count, elsewhere > 0);
    if (count == 0) return;
    memcpy(found, set->local_ids, count * sizeof *found);
    qsort(ids, count, sizeof *ids, by_id);
    qsort(found, count, sizeof *found, by_id);
    cr_assert_arr_eq(ids, found, count * sizeof *ids, "seed %" PRIu64, seed);
}

/* A filter comes, and the oldest goes: few enough that many topics match one or none. */
#define FILTERS 24
struct filters {
    char texts[FILTERS][NAIVE_TEXT_MAX];
    uint32_t oldest;
};

static void filter_change(struct random_source *random, struct filters *filters, struct route_index *index, struct sinks *sinks)
{
    static int who;
    char *filter = filters->texts[filters->oldest++ % FILTERS];
    sinks_remove(sinks, text(filter), text(""), &who);
    for (uint16_t target = 0; target < 2; target++)
        if (random_below(random, 8)) route_index_remove(index, text(filter), text(""), target); /* else it stays: its id is stale, which may be at any time */
    naive_filter(random, filter);
    struct sinks_added added = sinks_add(sinks, text(filter), text(""), &(struct sink){.who = &who});
    struct route route = {.local_id = added.local_id, .target = random_below(random, 8) == 0};
    route_index_add(index, text(filter), &route);
}

/* Whatever filters come and go, whatever the topics look like (they lie at the end of a block, so that a sanitizer sees each byte too many), a scout comes back,
 * and topics that it has seen match what they match when they are looked up: perhaps in another order, some never, some twice, and after the filters have
 * changed once more. */
static void among_changing_filters(uint64_t seed, uint32_t hash_bits)
{
    struct random_source random = {seed};
    struct route_index *index = index_create(hash_bits);
    struct sinks *sinks = sinks_create(1, 0);
    struct match_cache *cache = match_cache_create(index, 0, 32, 1 << 20);
    struct filters filters = {0};
    struct route_match match = {0};
    char topic[NAIVE_TEXT_MAX];
    bool scouts = false;
    match_cache_serves(cache, sinks, 1, &scouts);
    qsbr_wake(&qsbr, 0);
    for (int step = 0; step < 3000; step++) {
        for (uint64_t changes = random_below(&random, 3); changes > 0; changes--)
            filter_change(&random, &filters, index, sinks);
        struct span topics[SCOUT_TOPICS];
        void *who[SCOUT_TOPICS];
        uint32_t count = (uint32_t)random_below(&random, SCOUT_TOPICS + 1);
        for (uint32_t i = 0; i < count; i++) {
            naive_topic(&random, topic);
            size_t bytes = strlen(topic);
            uint8_t *copy = memory_acquire(bytes);
            memcpy(copy, topic, bytes);
            topics[i] = span_of(copy, bytes);
        }
        if (scouts) cr_assert_leq(route_scout(index, cache, sinks, 0, topics, count, who), count);
        for (uint32_t i = 0; i < count; i++) {
            if (random_below(&random, 16) == 0) filter_change(&random, &filters, index, sinks);
            uint32_t which = random_below(&random, 8) ? i : (uint32_t)random_below(&random, count);
            as_the_index_says(index, cache, &match, topics[which], seed);
        }
        for (uint32_t i = 0; i < count; i++)
            memory_release((void *)topics[i].data);
        qsbr_pass(&qsbr, 0);
        route_index_collect(index, 0);
    }
    cr_assert(scouts, "there were misses");
    struct match_cache_stats stats = match_cache_stats(cache);
    cr_assert_gt(stats.ahead, hash_bits ? 100 : 1000, "seed %" PRIu64 ": %" PRIu64 " of %" PRIu64 " misses were found ahead", seed, stats.ahead, stats.misses);
    route_match_release(&match);
    match_cache_destroy(cache);
    route_index_destroy(index);
    sinks_destroy(sinks);
}

Test(route_scout, finds_what_the_index_has)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        among_changing_filters(seed, seed % 2 ? 0 : 2);
}

/* What was found is of one moment: a filter that has come or gone since is seen. A text at the same place in memory is another topic. */
Test(route_scout, found_ahead_and_then_changed)
{
    struct route_index *index = index_create(0);
    struct sinks *sinks = sinks_create(1, 0);
    struct match_cache *cache = match_cache_create(index, 0, 8, 1 << 20);
    char name[100][8], one[] = "a/1", two[] = "a/2";
    struct span topics[2] = {text(one), text(two)};
    void *who[2];
    int somebody;
    bool scouts = false;
    qsbr_wake(&qsbr, 0);
    match_cache_serves(cache, sinks, 1, &scouts);
    struct sinks_added first = sinks_add(sinks, text("a/1"), text(""), &(struct sink){.who = &somebody}), more;
    route_index_add(index, text("a/1"), &(struct route){.local_id = first.local_id});
    for (int i = 0; i < 100; i++) {
        snprintf(name[i], sizeof name[i], "b/%d", i);
        match_cache_lookup(cache, text(name[i]));
    }
    cr_assert(scouts);
    route_scout(index, cache, sinks, 0, topics, 2, who);
    cr_assert(who[0] == &somebody && who[1] == NULL);
    cr_assert_eq(match_cache_lookup(cache, topics[0])->local_ids[0], first.local_id);
    cr_assert(match_set_empty(match_cache_lookup(cache, topics[1])));
    cr_assert_eq(match_cache_stats(cache).ahead, 2);
    more = sinks_add(sinks, text("a/2"), text(""), &(struct sink){.who = &somebody});
    route_index_add(index, text("a/2"), &(struct route){.local_id = more.local_id});
    cr_assert_eq(match_cache_lookup(cache, topics[1])->local_ids_count, 1, "it has come since");
    route_scout(index, cache, sinks, 0, topics, 2, who);
    one[2] = '3';
    cr_assert(match_set_empty(match_cache_lookup(cache, topics[0])), "that is a/3 now");
    more = sinks_add(sinks, text("+/3"), text(""), &(struct sink){.who = &somebody});
    route_index_add(index, text("+/3"), &(struct route){.local_id = more.local_id});
    cr_assert_eq(match_cache_lookup(cache, topics[0])->local_ids_count, 1, "one that begins with a wildcard has come");
    match_cache_destroy(cache);
    route_index_destroy(index);
    sinks_destroy(sinks);
}

/* More ways than a scout goes: what it has not seen is found when the topic comes. */
Test(route_scout, leaves_off_where_there_are_too_many_ways)
{
    struct route_index *index = index_create(0);
    struct sinks *sinks = sinks_create(1, 0);
    struct match_cache *cache = match_cache_create(index, 0, 8, 1 << 20);
    struct route_match match = {0};
    char name[SCOUT_TOPICS][64];
    struct span topics[SCOUT_TOPICS];
    void *who[SCOUT_TOPICS];
    int somebody;
    bool scouts = false;
    qsbr_wake(&qsbr, 0);
    match_cache_serves(cache, sinks, 1, &scouts);
    for (uint32_t way = 0; way <= 64; way++) { /* a or + at six levels, the way's number behind them, where no topic goes; and one that all go */
        char *at = name[0];
        for (uint32_t level = 0; level < 6; level++)
            at += sprintf(at, "%c/", way >> level & 1 ? '+' : 'a');
        sprintf(at, way < 64 ? "x/%u" : "+", way);
        struct sinks_added added = sinks_add(sinks, text(name[0]), text(""), &(struct sink){.who = &somebody});
        route_index_add(index, text(name[0]), &(struct route){.local_id = added.local_id});
    }
    for (uint32_t i = 0; i < 100; i++) {
        sprintf(name[0], "b/%u", i);
        match_cache_lookup(cache, text(name[0]));
    }
    for (uint32_t i = 0; i < SCOUT_TOPICS; i++) {
        sprintf(name[i], "a/a/a/a/a/a/%u", i);
        topics[i] = text(name[i]);
    }
    route_scout(index, cache, sinks, 0, topics, SCOUT_TOPICS, who);
    for (uint32_t i = 0; i < SCOUT_TOPICS; i++)
        as_the_index_says(index, cache, &match, topics[i], i);
    cr_assert_lt(match_cache_stats(cache).ahead, SCOUT_TOPICS, "so many ways are not gone");
    route_match_release(&match);
    match_cache_destroy(cache);
    route_index_destroy(index);
    sinks_destroy(sinks);
}

/* A remembered topic's subscriber is found, too. */
Test(route_scout, goes_on_from_what_is_remembered)
{
    struct route_index *index = index_create(0);
    struct sinks *sinks = sinks_create(1, 0);
    struct match_cache *cache = match_cache_create(index, 0, 1024, 1 << 20);
    struct span topic = text("a/1");
    char name[16];
    void *who;
    int somebody;
    bool scouts = false;
    qsbr_wake(&qsbr, 0);
    match_cache_serves(cache, sinks, 1, &scouts);
    struct sinks_added added = sinks_add(sinks, text("a/+"), text(""), &(struct sink){.who = &somebody});
    route_index_add(index, text("a/+"), &(struct route){.local_id = added.local_id});
    match_cache_lookup(cache, topic);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "b/%d", i);
        match_cache_lookup(cache, text(name));
    }
    cr_assert_eq(route_scout(index, cache, sinks, 0, &topic, 1, &who), 1);
    cr_assert_eq(who, &somebody);
    match_cache_lookup(cache, topic);
    cr_assert_eq(match_cache_stats(cache).hits, 1);
    cr_assert_eq(match_cache_stats(cache).ahead, 0);
    cr_assert_eq(route_scout(index, cache, sinks, 0, &topic, 1, &who), 0, "it has just been looked at");
    match_cache_destroy(cache);
    route_index_destroy(index);
    sinks_destroy(sinks);
}

/* Misses among many filters call for it, and topics that are all at hand let it go. */
Test(route_scout, is_wanted_while_topics_are_cold)
{
    struct route_index *index = index_create(0);
    struct sinks *sinks = sinks_create(1, 0);
    struct match_cache *cache = match_cache_create(index, 0, 64, 1 << 20);
    struct span topics[SCOUT_TOPICS];
    void *found[SCOUT_TOPICS];
    char name[SCOUT_TOPICS][32];
    int who;
    bool scouts = false;
    qsbr_wake(&qsbr, 0);
    match_cache_serves(cache, sinks, SCOUT_FILTERS_MIN, &scouts);
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
        cr_assert_eq(scouts, filters > 0, "%d filters", filters);
    }
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < SCOUT_TOPICS; i++) {
            snprintf(name[i], sizeof name[i], "f/%d", round * SCOUT_TOPICS + i);
            topics[i] = text(name[i]);
        }
        match_cache_scouted(cache, SCOUT_TOPICS, route_scout(index, cache, sinks, 0, topics, SCOUT_TOPICS, found));
        cr_assert(scouts, "these were cold");
    }
    for (int round = 0; round < 8; round++) /* two judgements: the first may have cold ones in it */
        match_cache_scouted(cache, SCOUT_TOPICS, route_scout(index, cache, sinks, 0, topics, SCOUT_TOPICS, found));
    cr_assert(!scouts, "the same again and again");
    match_cache_destroy(cache);
    route_index_destroy(index);
    sinks_destroy(sinks);
}
