#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/random.h"
#include "naive.h"
#include "router/route_index.h"

static struct qsbr qsbr;

static struct route_index *create(uint32_t hash_bits)
{
    struct route_index_config config = {.shards_count = 2, .partitions_count = 4, .hash_seed = 7, .hash_bits = hash_bits};
    qsbr_init(&qsbr, 2);
    return route_index_create(&config, &qsbr);
}

static void add(struct route_index *index, const char *filter, uint32_t local_id)
{
    struct route route = {.local_id = local_id};
    route_index_add(index, text(filter), &route);
}

static uint32_t count(struct route_index *index, const char *topic)
{
    struct route_match match = {0};
    route_index_match(index, text(topic), &match);
    uint32_t found = match.plain_count + match.groups_count;
    route_match_release(&match);
    return found;
}

static void collect_all(struct route_index *index)
{
    struct route_index_stats stats;
    for (uint32_t turn = 0; turn < 3; turn++)
        for (uint32_t shard = 0; shard < 2; shard++)
            route_index_collect(index, shard);
    route_index_stats(index, &stats);
    cr_assert_eq(stats.retired_blocks, 0);
}

static void expect_nothing_left(struct route_index *index)
{
    struct route_index_stats stats;
    collect_all(index);
    route_index_stats(index, &stats);
    cr_assert_eq(stats.filters, 0);
    cr_assert_eq(stats.routes, 0);
    cr_assert_eq(stats.nodes, 0);
    cr_assert_eq(stats.bytes, 0);
    route_index_destroy(index);
}

Test(route_index, wildcards)
{
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"a/#", "a", true},       {"a/#", "a/", true},        {"a/#", "a/b/c", true},  {"a/#", "ab", false},
        {"#", "a/b", true},       {"#", "$SYS/x", false},     {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true},
        {"$SYS/+", "$SYS/x", true}, {"+", "a", true},         {"+", "/a", false},      {"+/+", "/a", true},
        {"/+", "/a", true},       {"/+", "a", false},         {"+/b", "a/b", true},    {"a/+/c", "a//c", true},
        {"a//c", "a//c", true},   {"a/+", "a", false},        {"a/+/#", "a", false},   {"a/+/#", "a/b", true},
        {"+/#", "a", true},       {"a/$x", "a/$x", true},     {"+/$x", "a/$x", true},  {"a/b", "a/b/", false},
        {"$", "$", true},         {"$/#", "$", true},         {"/", "/", true},        {"/#", "/", true},
        {"/#", "", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct route_index *index = create(0);
        add(index, cases[i].filter, 1);
        cr_assert_eq(count(index, cases[i].topic), cases[i].matches, "%s %s", cases[i].filter, cases[i].topic);
        cr_assert_eq(naive_matches(cases[i].filter, cases[i].topic), cases[i].matches, "%s %s", cases[i].filter,
                     cases[i].topic);
        cr_assert(route_index_remove(index, text(cases[i].filter), text(""), 0));
        cr_assert_not(route_index_remove(index, text(cases[i].filter), text(""), 0));
        expect_nothing_left(index);
    }
}

Test(route_index, groups_keep_their_id_and_add_up)
{
    struct route_index *index = create(0);
    struct route_match match = {0};
    for (uint16_t target = 0; target < 3; target++) {
        struct route route = {.group = text("g"), .local_id = 10u + target, .weight = target + 1u, .target = target, .strategy = 3};
        cr_assert(route_index_add(index, text("a/#"), &route));
    }
    add(index, "a/#", 99);
    route_index_match(index, text("a"), &match);
    cr_assert_eq(match.plain_count, 1);
    cr_assert_eq(match.groups_count, 1);
    cr_assert_eq(match.groups[0].targets_count, 3);
    cr_assert_eq(match.groups[0].weight_total, 6);
    cr_assert_eq(match.groups[0].strategy, 3);
    uint64_t id = match.groups[0].id;

    struct route again = {.group = text("g"), .local_id = 77, .weight = 5, .target = 1, .strategy = 4};
    cr_assert_not(route_index_add(index, text("a/#"), &again));
    cr_assert(route_index_remove(index, text("a/#"), text("g"), 0));
    cr_assert_not(route_index_remove(index, text("a/#"), text("h"), 0));
    route_index_match(index, text("a/x"), &match);
    cr_assert_eq(match.groups[0].id, id);
    cr_assert_eq(match.groups[0].targets_count, 2);
    cr_assert_eq(match.groups[0].weight_total, 8);
    cr_assert_eq(match.groups[0].strategy, 4);
    cr_assert_eq(match.groups[0].targets[0].local_id, 77);
    route_index_remove(index, text("a/#"), text("g"), 1);
    route_index_remove(index, text("a/#"), text("g"), 2);
    route_index_remove(index, text("a/#"), text(""), 0);
    route_match_release(&match);
    expect_nothing_left(index);
}

Test(route_index, versions_and_writers)
{
    struct route_index *index = create(0);
    uint32_t literal = route_index_partition(index, text("a/b")), wild = route_index_partition(index, text("+/b"));
    cr_assert_eq(wild, route_index_wildcard_partition(index));
    cr_assert_eq(wild, route_index_partition(index, text("#")));
    cr_assert_eq(literal, route_index_partition(index, text("a")));
    cr_assert_neq(literal, wild);
    cr_assert_lt(route_index_writer(index, literal), 2);
    uint64_t before = route_index_version(index, literal), wild_before = route_index_version(index, wild);
    add(index, "a/b", 1);
    cr_assert_gt(route_index_version(index, literal), before);
    cr_assert_eq(route_index_version(index, wild), wild_before);
    before = route_index_version(index, literal);
    cr_assert_not(route_index_remove(index, text("a/c"), text(""), 0));
    cr_assert_eq(route_index_version(index, literal), before);
    cr_assert(route_index_remove(index, text("a/b"), text(""), 0));
    cr_assert_gt(route_index_version(index, literal), before);
    expect_nothing_left(index);
}

static char *repeated(const char *level, uint32_t levels)
{
    char *whole = memory_acquire(levels * (strlen(level) + 1) + 1);
    whole[0] = 0;
    char *end = whole;
    for (uint32_t i = 0; i < levels; i++)
        end += sprintf(end, "%s%s", i ? "/" : "", level);
    return whole;
}

Test(route_index, deepest_and_longest)
{
    struct route_index *index = create(0);
    char *plus = repeated("+", TOPIC_LEVELS_MAX), *topic = repeated("a", TOPIC_LEVELS_MAX);
    add(index, plus, 1);
    add(index, topic, 2);
    cr_assert_eq(count(index, topic), 2);
    char *longest = memory_acquire(MQTT_STRING_BYTES_MAX + 1);
    memset(longest, 'x', MQTT_STRING_BYTES_MAX);
    longest[MQTT_STRING_BYTES_MAX] = 0;
    add(index, longest, 3);
    add(index, "+", 4);
    cr_assert_eq(count(index, longest), 2);
    longest[MQTT_STRING_BYTES_MAX - 1] = 'y';
    cr_assert_eq(count(index, longest), 1);
    longest[MQTT_STRING_BYTES_MAX - 1] = 'x';
    const char *all[] = {plus, topic, longest, "+"};
    for (int i = 0; i < 4; i++)
        cr_assert(route_index_remove(index, text(all[i]), text(""), 0));
    memory_release(plus);
    memory_release(topic);
    memory_release(longest);
    expect_nothing_left(index);
}

Test(route_index, deeper_topics_match_what_ends_in_a_hash)
{
    struct route_index *index = create(0);
    char *most = repeated("a", TOPIC_LEVELS_MAX), *deeper = repeated("a", TOPIC_LEVELS_MAX + 1);
    cr_assert(route_index_accepts(text(most)));
    cr_assert_not(route_index_accepts(text(deeper)));
    cr_assert_not(route_index_remove(index, text(deeper), text(""), 0));
    add(index, most, 1);
    add(index, "a/#", 2);
    char *lowest = repeated("a", TOPIC_LEVELS_MAX);
    lowest[strlen(lowest) - 1] = '#';
    add(index, lowest, 3);
    cr_assert_eq(count(index, most), 3);
    cr_assert_eq(count(index, deeper), 2);
    memory_release(most);
    memory_release(deeper);
    memory_release(lowest);
    route_index_destroy(index);
}

/* Every second level `+`: 2^n paths if the trie were a full one; the walk's stack must hold. */
Test(route_index, bushy)
{
    struct route_index *index = create(0);
    char filter[64];
    for (uint32_t bits = 0; bits < 1024; bits++) {
        for (int i = 0; i < 10; i++) {
            filter[2 * i] = bits >> i & 1 ? '+' : 'a';
            filter[2 * i + 1] = i < 9 ? '/' : 0;
        }
        add(index, filter, bits);
    }
    cr_assert_eq(count(index, "a/a/a/a/a/a/a/a/a/a"), 1024);
    cr_assert_eq(count(index, "b/a/a/a/a/a/a/a/a/a"), 512);
    route_index_destroy(index);
}

static void thousands(uint32_t hash_bits, uint32_t children)
{
    struct route_index *index = create(hash_bits);
    char filter[64];
    for (uint32_t i = 0; i < children; i++) {
        snprintf(filter, sizeof filter, "site/%u", i);
        add(index, filter, i);
        snprintf(filter, sizeof filter, "%u", i);
        add(index, filter, i);
        if (i % 7) continue; /* a leaf becomes a node, also while a large table is copied in parts */
        snprintf(filter, sizeof filter, "site/%u/%u", i / 2, i);
        add(index, filter, i);
        cr_assert_eq(count(index, filter), 1);
    }
    add(index, "site/+", 0);
    for (uint32_t i = 0; i < children; i++) {
        snprintf(filter, sizeof filter, "site/%u", i);
        cr_assert_eq(count(index, filter), 2);
        if (i % 3) continue;
        cr_assert(route_index_remove(index, text(filter), text(""), 0));
        cr_assert_eq(count(index, filter), 1);
    }
    for (uint32_t i = 0; i < children; i++) {
        snprintf(filter, sizeof filter, "site/%u", i);
        cr_assert_eq(route_index_remove(index, text(filter), text(""), 0), i % 3 != 0);
        snprintf(filter, sizeof filter, "%u", i);
        cr_assert(route_index_remove(index, text(filter), text(""), 0));
    }
    for (uint32_t i = 0; i < children; i += 7) {
        snprintf(filter, sizeof filter, "site/%u/%u", i / 2, i);
        cr_assert(route_index_remove(index, text(filter), text(""), 0));
    }
    route_index_remove(index, text("site/+"), text(""), 0);
    expect_nothing_left(index);
}

Test(route_index, thousands_of_children) { thousands(0, 20000); }
Test(route_index, colliding_children) { thousands(4, 1000); }

/* The twin. */

static uint64_t plain_sum(uint16_t target, uint32_t local_id)
{
    return hash_u64((uint64_t)target << 32 | local_id);
}
static uint64_t group_sum(uint8_t strategy, uint16_t target, uint32_t local_id, uint32_t weight)
{
    return hash_u64(plain_sum(target, local_id) ^ ((uint64_t)strategy << 32 | weight));
}

static void compare(struct route_index *index, struct naive *naive, const char *topic, struct route_match *match,
                    uint64_t seed)
{
    uint64_t wanted = 0, found = 0;
    uint32_t wanted_count = 0;
    for (uint32_t i = 0; i < naive->count; i++) {
        const struct naive_route *route = &naive->routes[i];
        if (!naive_matches(route->filter, topic)) continue;
        wanted_count++;
        wanted += route->group[0] ? group_sum(route->strategy, route->target, route->local_id, route->weight)
                                  : plain_sum(route->target, route->local_id);
    }
    route_index_match(index, text(topic), match);
    for (uint32_t i = 0; i < match->plain_count; i++)
        found += plain_sum(match->plain[i].target, match->plain[i].local_id);
    for (uint32_t i = 0; i < match->groups_count; i++)
        for (uint32_t j = 0; j < match->groups[i].targets_count; j++) {
            const struct route_target *target = &match->groups[i].targets[j];
            found += group_sum(match->groups[i].strategy, target->target, target->local_id, target->weight);
        }
    cr_assert_eq(match->plain_count + match->group_targets_count, wanted_count, "seed %" PRIu64 " topic %s", seed, topic);
    cr_assert_eq(found, wanted, "seed %" PRIu64 " topic %s", seed, topic);
}

static void twin(uint64_t seed, uint32_t hash_bits, uint32_t routes_max, uint32_t steps)
{
    struct random_source random = {seed};
    struct route_index *index = create(hash_bits);
    struct naive naive = {0};
    struct route_match match = {0};
    char topic[NAIVE_TEXT_MAX];
    for (uint32_t step = 0; step < steps; step++) {
        struct naive_route route = {.local_id = (uint32_t)random_next(&random),
                                    .weight = 1 + (uint32_t)random_below(&random, 9),
                                    .target = (uint16_t)random_below(&random, 4),
                                    .strategy = (uint8_t)random_below(&random, 3)};
        bool shrinking = step / (routes_max * 4) % 2;
        if (random_below(&random, 10) < (shrinking ? 3 : 6) && naive.count < routes_max) {
            naive_filter(&random, route.filter);
            strcpy(route.group, naive_group(&random));
            struct route real = {text(route.group), route.local_id, route.weight, route.target, route.strategy};
            cr_assert_eq(route_index_add(index, text(route.filter), &real), naive_add(&naive, &route), "seed %" PRIu64, seed);
        } else if (naive.count > 0 && random_below(&random, 4)) {
            struct naive_route gone = naive.routes[random_below(&random, naive.count)];
            cr_assert(naive_remove(&naive, gone.filter, gone.group, gone.target));
            cr_assert(route_index_remove(index, text(gone.filter), text(gone.group), gone.target), "seed %" PRIu64, seed);
        } else {
            naive_filter(&random, route.filter);
            strcpy(route.group, naive_group(&random));
            cr_assert_eq(route_index_remove(index, text(route.filter), text(route.group), route.target),
                         naive_remove(&naive, route.filter, route.group, route.target), "seed %" PRIu64, seed);
        }
        naive_topic(&random, topic);
        compare(index, &naive, topic, &match, seed);
        if (step % 64 == 0) route_index_collect(index, (uint32_t)random_below(&random, 2));
    }
    struct route_index_stats stats;
    route_index_stats(index, &stats);
    cr_assert_eq(stats.routes, naive.count);
    while (naive.count > 0) {
        struct naive_route gone = naive.routes[naive.count - 1];
        naive_remove(&naive, gone.filter, gone.group, gone.target);
        cr_assert(route_index_remove(index, text(gone.filter), text(gone.group), gone.target));
    }
    naive_release(&naive);
    route_match_release(&match);
    expect_nothing_left(index);
}

Test(route_index, twin_few) { twin(naive_seed(1), 0, 20, 500000); }
Test(route_index, twin_many) { twin(naive_seed(2), 0, 400, 100000); }
Test(route_index, twin_colliding) { twin(naive_seed(3), 1, 200, 100000); }

/* What filters share becomes nodes and what is one filter's own a leaf again, whatever came and went meanwhile: as many blocks and bytes as
 * before, and in between everybody is found. */
Test(route_index, leaves_open_and_fold)
{
    static const char *const later[] = {"a/b/c/d/e", "a/b/c/d", "a/b/c/#", "a/b/+/d", "a/#", "a/b/c", "a/x/+/y/#", "a/b/c/d/f", "a", "a//", "+/b/c/d/e"};
    enum { LATER = sizeof later / sizeof *later };
    struct route_index *index = create(0);
    struct route_index_stats before, after;
    add(index, "a/b/c/d/e", 1);
    add(index, "$s/+/x/#", 2);
    route_index_stats(index, &before);
    cr_assert_eq(before.nodes, 2, "two filters with nothing in common are two leaves");
    for (int first = 0; first < LATER; first++) {
        for (int i = 0; i < LATER; i++) {
            struct route route = {.local_id = 7, .target = 3};
            route_index_add(index, text(later[(first + i) % LATER]), &route);
            cr_assert_eq(count(index, "$s/q/x"), 1);
            cr_assert_eq(count(index, "$s/q/x/y/z"), 1);
            cr_assert_eq(count(index, "$s/q/y"), 0);
        }
        cr_assert_eq(count(index, "a/b/c/d/e"), 5);
        cr_assert_eq(count(index, "a/b/c/d"), 4);
        cr_assert_eq(count(index, "a//"), 2);
        cr_assert_eq(count(index, "a/x/1/y"), 2);
        for (int i = 0; i < LATER; i++) {
            cr_assert(route_index_remove(index, text(later[(first + 3 * i) % LATER]), text(""), 3));
            cr_assert_geq(count(index, "a/b/c/d/e"), 1);
        }
        route_index_stats(index, &after);
        cr_assert_eq(after.nodes, before.nodes);
        cr_assert_eq(after.bytes, before.bytes);
        route_index_collect(index, 0);
    }
    cr_assert(route_index_remove(index, text("a/b/c/d/e"), text(""), 0));
    cr_assert(route_index_remove(index, text("$s/+/x/#"), text(""), 0));
    expect_nothing_left(index);
}

/* ---- very many groups on one filter ---- */

static void group_route(struct route_index *index, uint32_t number, uint16_t target, bool adds)
{
    char name[16];
    int bytes = snprintf(name, sizeof name, "g%u", number);
    struct route route = {.local_id = number + 1, .target = target, .weight = 1, .group = span_of(name, (size_t)bytes)};
    if (adds)
        cr_assert(route_index_add(index, text("a/b"), &route));
    else
        cr_assert(route_index_remove(index, text("a/b"), route.group, target));
}

/* Each of these is in the match once, with as many targets as `two` says; `plain` beside them. */
static void groups_are(struct route_index *index, const bool *there, const bool *two, uint32_t all, bool plain)
{
    static uint8_t seen[70000];
    struct route_match match = {0};
    uint32_t expected = 0;
    memset(seen, 0, all + 1);
    for (uint32_t i = 0; i < all; i++)
        expected += there[i];
    route_index_match(index, text("a/b"), &match);
    cr_assert_eq(match.groups_count, expected, "%u groups of %u", match.groups_count, expected);
    cr_assert_eq(match.plain_count, plain);
    for (uint32_t i = 0; i < match.groups_count; i++) {
        uint32_t number = match.groups[i].targets[0].local_id - 1;
        cr_assert(number < all && there[number] && !seen[number]++);
        cr_assert_eq(match.groups[i].targets_count, 1u + two[number]);
    }
    route_match_release(&match);
}

static void many_groups(uint32_t hash_bits, uint32_t all, uint32_t steps)
{
    static bool there[4000], two[4000];
    struct route_index *index = create(hash_bits);
    struct random_source random = {hash_bits + 1};
    struct route plain = {.local_id = 99999};
    memset(there, 0, sizeof there);
    memset(two, 0, sizeof two);
    route_index_add(index, text("a/b"), &plain);
    for (uint32_t step = 0, aim = all; step < steps; step++) {
        uint32_t i = (uint32_t)random_below(&random, all);
        if (step % (steps / 8) == 0) aim = aim ? 0 : all; /* it grows, and shrinks again */
        bool adds = random_below(&random, 8) ? aim == 0 : aim != 0;
        if (adds && !there[i])
            group_route(index, i, 0, there[i] = true);
        else if (adds && !two[i])
            group_route(index, i, 1, two[i] = true);
        else if (!adds && two[i])
            group_route(index, i, 1, two[i] = false);
        else if (!adds && there[i])
            group_route(index, i, 0, there[i] = false);
        if (step % 1000 == 0) groups_are(index, there, two, all, true);
        if (step % 64 == 0) route_index_collect(index, 0);
    }
    groups_are(index, there, two, all, true);
    for (uint32_t i = 0; i < all; i++) {
        if (two[i]) group_route(index, i, 1, two[i] = false);
        if (there[i]) group_route(index, i, 0, there[i] = false);
    }
    groups_are(index, there, two, all, true);
    cr_assert(route_index_remove(index, text("a/b"), (struct span){0}, 0));
    collect_all(index);
    struct route_index_stats stats;
    route_index_stats(index, &stats);
    cr_assert_eq(stats.bytes, 0, "%" PRIu64 " bytes are left", stats.bytes);
    route_index_destroy(index);
}

Test(route_index, many_groups) { many_groups(0, 3000, 100000); }
Test(route_index, many_groups_whose_names_collide) { many_groups(3, 500, 20000); }
Test(route_index, few_groups_more_and_less) { many_groups(0, 90, 20000); }

/* A change must not copy all that are there: what it has replaced waits for the readers, who pass after all of them here. That was 1.6 GB. */
Test(route_index, a_change_among_many_groups_is_small)
{
    struct route_index *index = create(0);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (uint32_t i = 0; i < 20000; i++)
        group_route(index, i, 0, true);
    getrusage(RUSAGE_SELF, &after);
    cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 400 * 1024, "%ld KiB", after.ru_maxrss - before.ru_maxrss);
    route_index_destroy(index);
}
