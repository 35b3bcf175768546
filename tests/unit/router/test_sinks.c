#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "naive.h"
#include "router/sinks.h"

static struct sink sink_of(uintptr_t who) { return (struct sink){.who = (void *)who, .subscription_id = (uint32_t)who}; }

static struct sinks_added add(struct sinks *table, const char *filter, uintptr_t who)
{
    struct sink sink = sink_of(who);
    return sinks_add(table, text(filter), text(""), &sink);
}

static struct sinks_removed take(struct sinks *table, const char *filter, uintptr_t who)
{
    return sinks_remove(table, text(filter), text(""), (void *)who);
}

static void expect_empty(struct sinks *table)
{
    cr_assert_eq(sinks_stats(table).filters, 0);
    cr_assert_eq(sinks_stats(table).sinks, 0);
    cr_assert_eq(sinks_next(table, SINKS_ID_NONE), SINKS_ID_NONE);
    sinks_destroy(table);
}

Test(sinks, first_replaced_last)
{
    struct sinks *table = sinks_create(1, 0);
    struct sinks_added one = add(table, "a/+", 16);
    cr_assert(one.first && !one.replaced && one.count == 1 && one.local_id != SINKS_ID_NONE);
    struct sink again = {.who = (void *)16, .subscription_id = 7, .qos = 2};
    struct sinks_added replaced = sinks_add(table, text("a/+"), text(""), &again);
    cr_assert(!replaced.first && replaced.replaced && replaced.count == 1 && replaced.previous.subscription_id == 16);
    cr_assert_eq(sinks_get(table, one.local_id).sinks[0].qos, 2);
    struct sinks_added shared = sinks_add(table, text("a/+"), text("g"), &again);
    cr_assert(shared.first && shared.local_id != one.local_id);

    struct span filter, group;
    cr_assert(sinks_text(table, shared.local_id, &filter, &group));
    cr_assert(span_equal(filter, text("a/+")) && span_equal(group, text("g")));
    cr_assert_eq(sinks_find(table, text("a/+"), text("g")), shared.local_id);
    cr_assert_eq(sinks_find(table, text("a/+"), text("h")), SINKS_ID_NONE);

    cr_assert_not(take(table, "a/+", 17).found);
    struct sinks_removed removed = take(table, "a/+", 16);
    cr_assert(removed.found && removed.last && removed.count == 0 && removed.sink.subscription_id == 7);
    cr_assert_eq(removed.local_id, one.local_id);
    cr_assert_null(sinks_get(table, one.local_id).sinks);
    cr_assert_not(sinks_text(table, one.local_id, &filter, &group));
    cr_assert(sinks_remove(table, text("a/+"), text("g"), (void *)16).last);
    expect_empty(table);
}

Test(sinks, stale_ids_stay_stale)
{
    struct sinks *table = sinks_create(1, 0);
    uint32_t *ids = memory_acquire(30000 * sizeof *ids);
    for (int i = 0; i < 30000; i++) {
        ids[i] = add(table, "x", 16).local_id;
        if (i > 0) cr_assert_null(sinks_get(table, ids[i - 1]).sinks);
        cr_assert_eq(sinks_get(table, ids[i]).count, 1);
        take(table, "x", 16);
    }
    for (int i = 0; i < 30000; i++)
        cr_assert_null(sinks_get(table, ids[i]).sinks);
    cr_assert_null(sinks_get(table, 0).sinks);
    cr_assert_null(sinks_get(table, UINT32_MAX).sinks);
    memory_release(ids);
    expect_empty(table);
}

Test(sinks, a_hundred_thousand_on_one_filter)
{
    struct sinks *table = sinks_create(1, 0);
    uint32_t id = 0;
    for (uintptr_t i = 1; i <= 100000; i++)
        id = add(table, "all", i * 64).local_id;
    cr_assert_eq(sinks_get(table, id).count, 100000);
    for (uintptr_t i = 1; i <= 100000; i++)
        cr_assert_eq(sinks_find_sink(table, id, (void *)(i * 64))->subscription_id, i * 64);
    cr_assert_null(sinks_find_sink(table, id, (void *)63));
    for (uintptr_t i = 100000; i >= 1; i -= 2)
        cr_assert(take(table, "all", i * 64).found);
    cr_assert_not(take(table, "all", 64 * 2).found);
    for (uintptr_t i = 1; i <= 100000; i += 2)
        cr_assert(take(table, "all", i * 64).found);
    expect_empty(table);
}

/* The twin: a plain array of (filter, group, who). */

struct triple {
    char filter[NAIVE_TEXT_MAX];
    const char *group;
    uintptr_t who;
};

struct twin {
    struct sinks *table;
    struct triple *triples;
    uint32_t count;
    uint64_t seed;
    struct random_source random;
};

static uint32_t twin_find(struct twin *twin, const char *filter, const char *group, uintptr_t who)
{
    uint32_t i = 0;
    while (i < twin->count && (twin->triples[i].who != who || strcmp(twin->triples[i].filter, filter) ||
                               strcmp(twin->triples[i].group, group)))
        i++;
    return i;
}

static uint32_t twin_count(struct twin *twin, const char *filter, const char *group)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < twin->count; i++)
        count += !strcmp(twin->triples[i].filter, filter) && !strcmp(twin->triples[i].group, group);
    return count;
}

static void twin_add(struct twin *twin, const char *filter)
{
    const char *group = naive_group(&twin->random);
    uintptr_t who = 16 * (1 + random_below(&twin->random, 100));
    uint32_t at = twin_find(twin, filter, group, who), before = twin_count(twin, filter, group);
    struct sink sink = sink_of(who);
    struct sinks_added added = sinks_add(twin->table, text(filter), text(group), &sink);
    cr_assert_eq(added.replaced, at < twin->count, "seed %" PRIu64, twin->seed);
    cr_assert_eq(added.first, before == 0);
    cr_assert_eq(added.count, before + !added.replaced);
    if (added.replaced) return;
    struct triple *triple = &twin->triples[twin->count++];
    strcpy(triple->filter, filter);
    triple->group = group;
    triple->who = who;
}

static void twin_remove(struct twin *twin, uint32_t at)
{
    struct triple gone = twin->triples[at];
    twin->triples[at] = twin->triples[--twin->count];
    struct sinks_removed removed = sinks_remove(twin->table, text(gone.filter), text(gone.group), (void *)gone.who);
    cr_assert(removed.found, "seed %" PRIu64, twin->seed);
    cr_assert_eq((uintptr_t)removed.sink.who, gone.who);
    cr_assert_eq(removed.count, twin_count(twin, gone.filter, gone.group));
    cr_assert_eq(removed.last, removed.count == 0);
}

static void twin_compare(struct twin *twin)
{
    uint32_t total = 0;
    for (uint32_t id = sinks_next(twin->table, SINKS_ID_NONE); id; id = sinks_next(twin->table, id)) {
        struct span filter, group;
        char filter_text[NAIVE_TEXT_MAX], group_text[NAIVE_TEXT_MAX];
        cr_assert(sinks_text(twin->table, id, &filter, &group));
        snprintf(filter_text, sizeof filter_text, "%.*s", SPAN_PRINT(filter));
        snprintf(group_text, sizeof group_text, "%.*s", SPAN_PRINT(group));
        struct sinks_view view = sinks_get(twin->table, id);
        cr_assert_eq(view.count, twin_count(twin, filter_text, group_text));
        for (uint32_t i = 0; i < view.count; i++) {
            cr_assert_lt(twin_find(twin, filter_text, group_text, (uintptr_t)view.sinks[i].who), twin->count);
            cr_assert_eq(sinks_find_sink(twin->table, id, view.sinks[i].who), &view.sinks[i]);
        }
        total += view.count;
    }
    cr_assert_eq(total, twin->count, "seed %" PRIu64, twin->seed);
    cr_assert_eq(sinks_stats(twin->table).sinks, total);
}

static void step(struct twin *twin, uint32_t max)
{
    static const char *const FEW[] = {"a", "b/#", "+"};
    char filter[NAIVE_TEXT_MAX];
    naive_filter(&twin->random, filter);
    if (random_below(&twin->random, 2)) strcpy(filter, FEW[random_below(&twin->random, 3)]);
    if (twin->count < max && random_below(&twin->random, 11) < 6)
        twin_add(twin, filter);
    else if (twin->count > 0)
        twin_remove(twin, (uint32_t)random_below(&twin->random, twin->count));
}

/* Walks one array, changes the table meanwhile, and checks the contract of sinks.h. */
static void walk_held(struct twin *twin, uint32_t max)
{
    uint32_t id = twin->count ? sinks_find(twin->table, text(twin->triples[0].filter), text(twin->triples[0].group)) : 0;
    if (id == 0) return;
    struct span filter, group;
    char filter_text[NAIVE_TEXT_MAX], group_text[NAIVE_TEXT_MAX];
    sinks_text(twin->table, id, &filter, &group);
    snprintf(filter_text, sizeof filter_text, "%.*s", SPAN_PRINT(filter));
    snprintf(group_text, sizeof group_text, "%.*s", SPAN_PRINT(group));
    sinks_hold(twin->table);
    struct sinks_view view = sinks_get(twin->table, id);
    struct sink *before = memory_acquire(view.count * sizeof *before);
    memcpy(before, view.sinks, view.count * sizeof *before);
    for (uint32_t i = 0; i < view.count; i++) {
        for (int changes = 0; changes < 3; changes++)
            step(twin, max);
        if (view.sinks[i].who == NULL) continue; /* may be back in a later place, not in this view */
        cr_assert_eq(view.sinks[i].who, before[i].who);
        cr_assert_lt(twin_find(twin, filter_text, group_text, (uintptr_t)before[i].who), twin->count,
                     "seed %" PRIu64 " a removed sink was shown", twin->seed);
    }
    sinks_drop(twin->table);
    memory_release(before);
}

static void run_twin(uint64_t seed, uint32_t hash_bits, uint32_t max, uint32_t steps)
{
    struct twin twin = {.table = sinks_create(seed, hash_bits), .seed = seed, .random = {seed}};
    twin.triples = memory_acquire((max + 1) * sizeof *twin.triples);
    for (uint32_t i = 0; i < steps; i++) {
        step(&twin, max);
        if (i % 50 == 0) walk_held(&twin, max);
        if (i % 200 == 0) twin_compare(&twin);
    }
    while (twin.count > 0)
        twin_remove(&twin, twin.count - 1);
    memory_release(twin.triples);
    expect_empty(twin.table);
}

Test(sinks, twin_few) { run_twin(naive_seed(11), 0, 30, 200000); }
Test(sinks, twin_many) { run_twin(naive_seed(12), 0, 600, 30000); }
Test(sinks, twin_colliding) { run_twin(naive_seed(13), 2, 300, 30000); }

/* The only sink of a filter lies in the filter's own block: company that comes during a walk must not move it under the walker's eyes. */
Test(sinks, company_during_a_walk)
{
    struct sinks *table = sinks_create(1, 0);
    uint32_t id = add(table, "a/b", 16).local_id;
    sinks_hold(table);
    struct sinks_view view = sinks_get(table, id);
    for (uintptr_t who = 32; who <= 160; who += 16)
        cr_assert_eq(add(table, "a/b", who).local_id, id);
    cr_assert_eq(view.count, 1);
    cr_assert_eq(view.sinks[0].who, (void *)16);
    cr_assert_eq(view.sinks[0].subscription_id, 16);
    cr_assert_eq(sinks_get(table, id).count, 10);
    cr_assert(take(table, "a/b", 16).found);
    cr_assert_null(view.sinks[0].who, "a sink that has gone is a hole in every view");
    for (uintptr_t who = 32; who <= 160; who += 16)
        cr_assert_eq(take(table, "a/b", who).last, who == 160);
    cr_assert_null(sinks_get(table, id).sinks);
    sinks_drop(table);
    expect_empty(table);
}
