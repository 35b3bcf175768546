#include <criterion/criterion.h>

#include <stdlib.h>

#include "base/random.h"
#include "naive.h"
#include "router/share.h"

static struct random_source random_numbers = {42};

static struct share_keys keys_of(uint64_t publisher, uint64_t topic)
{
    return (struct share_keys){.publisher_hash = hash_u64(publisher), .topic_hash = hash_u64(topic), .random = random_next(&random_numbers), .shard = 9}; /* on none of the targets */
}

Test(share, names)
{
    static const struct {
        const char *name;
        enum share_strategy strategy;
    } names[] = {{"random", SHARE_RANDOM},           {"round_robin", SHARE_ROUND_ROBIN},
                 {"Round-Robin", SHARE_ROUND_ROBIN}, {"sticky", SHARE_STICKY},
                 {"hash_clientid", SHARE_HASH_CLIENT_ID}, {"hash-client-id", SHARE_HASH_CLIENT_ID},
                 {"hash_topic", SHARE_HASH_TOPIC},   {"LEAST_INFLIGHT", SHARE_LEAST_INFLIGHT},
                 {"local", SHARE_LOCAL_FIRST}};
    enum share_strategy strategy;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cr_assert(share_strategy_from_name(text(names[i].name), &strategy), "%s", names[i].name);
        cr_assert_eq(strategy, names[i].strategy, "%s", names[i].name);
    }
    for (int i = 0; i < SHARE_STRATEGIES_COUNT; i++)
        cr_assert(share_strategy_from_name(text(share_strategy_name(i)), &strategy) && (int)strategy == i);
    static const char *const wrong[] = {"", "-", "rando", "randomly", "hash", "sticky2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(share_strategy_from_name(text(wrong[i]), &strategy), "%s", wrong[i]);
}

static const struct route_target TARGETS[] = {{10, 1, 0}, {11, 3, 1}, {12, 6, 5}};

static struct route_group group_of(enum share_strategy strategy)
{
    return (struct route_group){.id = 77, .targets = TARGETS, .weight_total = 10, .targets_count = 3, .strategy = (uint8_t)strategy};
}

Test(share, targets_by_weight)
{
    struct share_state *state = share_create(1);
    for (int strategy = 0; strategy < SHARE_STRATEGIES_COUNT; strategy++) {
        struct route_group group = group_of(strategy);
        uint32_t picked[3] = {0};
        for (uint32_t i = 0; i < 10000; i++) {
            struct share_keys keys = keys_of(i, i);
            uint32_t index = share_pick_shard(state, &group, &keys);
            cr_assert_lt(index, 3);
            picked[index]++;
            if (strategy == SHARE_HASH_CLIENT_ID || strategy == SHARE_HASH_TOPIC) {
                keys = keys_of(strategy == SHARE_HASH_CLIENT_ID ? i : 0, strategy == SHARE_HASH_TOPIC ? i : 0);
                cr_assert_eq(share_pick_shard(state, &group, &keys), index);
            }
        }
        if (strategy == SHARE_STICKY)
            cr_assert(picked[0] == 10000 || picked[1] == 10000 || picked[2] == 10000);
        else if (strategy == SHARE_ROUND_ROBIN)
            cr_assert(picked[0] == 1000 && picked[1] == 3000 && picked[2] == 6000);
        else
            for (int i = 0; i < 3; i++)
                cr_assert(abs((int)picked[i] - (int)TARGETS[i].weight * 1000) < 300, "%s", share_strategy_name(strategy));
    }
    share_destroy(state);
}

Test(share, local_first)
{
    struct share_state *state = share_create(1);
    struct route_group group = group_of(SHARE_LOCAL_FIRST);
    for (uint32_t own = 0; own < 3; own++) {
        uint32_t picked[3] = {0};
        for (uint32_t i = 0; i < 10000; i++) {
            struct share_keys keys = keys_of(i, i);
            keys.shard = TARGETS[own].target;
            cr_assert_eq(share_pick_shard(state, &group, &keys), own);
            picked[share_pick_other(&group, own, &keys)]++;
        }
        cr_assert_eq(picked[own], 0);
        for (uint32_t i = 0; i < 3; i++) /* the others by their weights */
            if (i != own) cr_assert(abs((int)picked[i] - (int)(TARGETS[i].weight * 10000 / (10 - TARGETS[own].weight))) < 300);
    }
    share_destroy(state);
}

Test(share, sticky_target_stays_until_it_leaves)
{
    struct share_state *one = share_create(1), *other = share_create(2);
    struct route_group group = group_of(SHARE_STICKY);
    struct share_keys keys = keys_of(1, 1);
    uint32_t index = share_pick_shard(one, &group, &keys);
    cr_assert_eq(share_pick_shard(other, &group, &keys), index); /* shards agree without asking */
    struct route_target rest[3];
    uint32_t rest_count = 0;
    rest[rest_count++] = (struct route_target){99, 1, 99}; /* one comes, in front */
    for (uint32_t i = 0; i < 3; i++)
        if (i == index) rest[rest_count++] = TARGETS[i];
    group.targets = rest;
    group.targets_count = rest_count;
    cr_assert_eq(rest[share_pick_shard(one, &group, &keys)].target, TARGETS[index].target);
    rest[1].target = 123; /* it leaves */
    uint32_t next = share_pick_shard(one, &group, &keys);
    cr_assert_lt(next, 2);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(share_pick_shard(one, &group, &keys), next);
    share_destroy(one);
    share_destroy(other);
}

#define MEMBERS 100
static uint32_t loads[MEMBERS + 1]; /* by who */
static uint32_t asked;

static uint32_t load(void *context, const struct sink *sink)
{
    asked++;
    cr_assert_neq(sink->who, NULL);
    return loads[(uintptr_t)sink->who];
}

static struct sinks_view members(uint32_t count)
{
    static struct sink sinks[MEMBERS];
    for (uintptr_t i = 0; i < count; i++) {
        sinks[i] = (struct sink){.who = (void *)(i + 1)};
        loads[i + 1] = 0;
    }
    return (struct sinks_view){sinks, count};
}

static struct share_choice pick(struct share_state *state, enum share_strategy strategy, struct sinks_view view, uint64_t key)
{
    struct share_keys keys = keys_of(key, key);
    return share_pick_member(state, strategy, 5, view, &keys, load, NULL);
}

Test(share, members_that_cannot_are_skipped)
{
    for (int strategy = 0; strategy < SHARE_STRATEGIES_COUNT; strategy++) {
        struct share_state *state = share_create(1);
        struct sinks_view view = members(MEMBERS);
        for (int i = 1; i <= MEMBERS; i++)
            loads[i] = SHARE_UNAVAILABLE;
        struct share_choice none = pick(state, strategy, view, 1);
        cr_assert(!none.available && none.index < MEMBERS);
        loads[43] = 7;
        for (uint64_t i = 0; i < 50; i++) {
            struct share_choice choice = pick(state, strategy, view, i);
            cr_assert(choice.available && choice.index == 42, "%s", share_strategy_name(strategy));
        }
        struct sink holes[2] = {{0}, {.who = (void *)1}};
        cr_assert_eq(pick(state, strategy, (struct sinks_view){holes, 1}, 1).index, SHARE_NONE);
        cr_assert_eq(pick(state, strategy, (struct sinks_view){holes, 2}, 1).index, 1);
        cr_assert_eq(pick(state, strategy, (struct sinks_view){NULL, 0}, 1).index, SHARE_NONE);
        share_destroy(state);
    }
}

/* Nobody can take it now: rather one whose queue has room than one whose queue is nearly full, and any of them rather than one that is away. */
Test(share, waiting_is_with_who_has_room)
{
    for (int strategy = 0; strategy < SHARE_STRATEGIES_COUNT; strategy++) {
        struct share_state *state = share_create(1);
        struct sinks_view view = members(MEMBERS);
        for (int i = 1; i <= MEMBERS; i++)
            loads[i] = SHARE_UNAVAILABLE;
        loads[43] = SHARE_PRESSED;
        for (uint64_t i = 0; i < 50; i++) {
            struct share_choice choice = pick(state, strategy, view, i);
            cr_assert(!choice.available && choice.index == 42 && choice.load == SHARE_PRESSED, "%s", share_strategy_name(strategy));
        }
        loads[11] = SHARE_WAITING;
        for (uint64_t i = 0; i < 50; i++) {
            struct share_choice choice = pick(state, strategy, view, i);
            cr_assert(!choice.available && choice.index == 10 && choice.load == SHARE_WAITING, "%s", share_strategy_name(strategy));
        }
        loads[99] = 3;
        struct share_choice choice = pick(state, strategy, view, 1);
        cr_assert(choice.available && choice.index == 98 && choice.load == 3, "%s", share_strategy_name(strategy));
        share_destroy(state);
    }
}

Test(share, room_is_with_anybody)
{
    struct share_keys keys = keys_of(1, 1);
    struct sinks_view view = members(MEMBERS);
    for (int i = 1; i <= MEMBERS; i++)
        loads[i] = SHARE_UNAVAILABLE;
    cr_assert_not(share_has_room(view, &keys, load, NULL));
    loads[43] = 7;
    for (uint64_t i = 0; i < 50; i++) {
        keys = keys_of(i, i);
        cr_assert(share_has_room(view, &keys, load, NULL));
    }
    struct sink hole = {0};
    cr_assert_not(share_has_room((struct sinks_view){&hole, 1}, &keys, load, NULL));
    cr_assert_not(share_has_room((struct sinks_view){NULL, 0}, &keys, load, NULL));
}

Test(share, members_are_evenly_loaded)
{
    static const enum share_strategy even[] = {SHARE_RANDOM, SHARE_ROUND_ROBIN, SHARE_HASH_CLIENT_ID, SHARE_HASH_TOPIC,
                                               SHARE_LEAST_INFLIGHT, SHARE_LOCAL_FIRST};
    for (size_t i = 0; i < sizeof even / sizeof *even; i++) {
        struct share_state *state = share_create(1);
        struct sinks_view view = members(4);
        uint32_t picked[4] = {0};
        asked = 0;
        for (uint64_t k = 0; k < 8000; k++)
            picked[pick(state, even[i], view, k).index]++;
        for (int k = 0; k < 4; k++)
            cr_assert(abs((int)picked[k] - 2000) < (even[i] == SHARE_ROUND_ROBIN || even[i] == SHARE_LOCAL_FIRST ? 1 : 200));
        if (even[i] != SHARE_LEAST_INFLIGHT) cr_assert_eq(asked, 8000);
        share_destroy(state);
    }
}

/* Within one target's share of the publishers, its members still share evenly. */
Test(share, target_and_member_are_independent)
{
    struct share_state *state = share_create(1);
    struct route_group group = group_of(SHARE_HASH_CLIENT_ID);
    struct sinks_view view = members(3);
    uint32_t picked[3] = {0};
    for (uint64_t i = 0; i < 10000; i++) {
        struct share_keys keys = keys_of(i, 0);
        if (share_pick_shard(state, &group, &keys) == 1)
            picked[share_pick_member(state, SHARE_HASH_CLIENT_ID, 5, view, &keys, load, NULL).index]++;
    }
    for (int i = 0; i < 3; i++)
        cr_assert(abs((int)picked[i] - 1000) < 200);
    share_destroy(state);
}

Test(share, least_inflight)
{
    struct share_state *state = share_create(1);
    struct sinks_view view = members(50);
    for (int i = 1; i <= 50; i++)
        loads[i] = 100;
    loads[17] = 3;
    for (uint64_t i = 0; i < 100; i++)
        cr_assert_eq(pick(state, SHARE_LEAST_INFLIGHT, view, i).index, 16);
    share_destroy(state);
}

Test(share, sticky_member)
{
    struct share_state *state = share_create(1);
    struct sinks_view view = members(10);
    uint32_t first = pick(state, SHARE_STICKY, view, 1).index;
    for (uint64_t i = 0; i < 20; i++)
        cr_assert_eq(pick(state, SHARE_STICKY, view, i).index, first);
    struct sink *sinks = (struct sink *)view.sinks;
    struct sink moved = sinks[first]; /* others leave, it moves */
    sinks[first] = sinks[(first + 1) % 10];
    sinks[(first + 1) % 10] = moved;
    cr_assert_eq(pick(state, SHARE_STICKY, view, 1).index, (first + 1) % 10);
    loads[(uintptr_t)moved.who] = SHARE_UNAVAILABLE;
    struct share_choice second = pick(state, SHARE_STICKY, view, 1);
    cr_assert(second.available && second.index != (first + 1) % 10);
    loads[(uintptr_t)moved.who] = 0; /* back again, but the choice has moved on */
    cr_assert_eq(pick(state, SHARE_STICKY, view, 1).index, second.index);
    share_destroy(state);
}

Test(share, many_groups_share_the_memory)
{
    struct share_state *state = share_create(1);
    struct sinks_view view = members(3);
    struct share_keys keys = keys_of(1, 1);
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t id = 1; id < 3 * SHARE_MEMORY_GROUPS; id++)
            cr_assert(share_pick_member(state, SHARE_ROUND_ROBIN, id, view, &keys, load, NULL).available);
    share_destroy(state);
}
