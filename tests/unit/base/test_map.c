#include <criterion/criterion.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/random.h"

struct value {
    char key[16];
    bool in;
};

static struct span key_of(const void *value) { return span_of_string(((const struct value *)value)->key); }

Test(map, agrees_with_a_flag_per_value)
{
    static struct value values[2000];
    struct random_source random = {7};
    struct map map;
    map_init(&map, key_of);
    uint32_t count = 0;
    for (int i = 0; i < 2000; i++)
        snprintf(values[i].key, sizeof values[i].key, "key-%d", i);
    for (int step = 0; step < 300000; step++) {
        struct value *value = &values[random_below(&random, 2000)];
        struct span key = key_of(value);
        cr_assert_eq(map_find(&map, key), value->in ? value : NULL);
        if (random_below(&random, 2)) continue;
        if (value->in)
            cr_assert_eq(map_remove(&map, key), value);
        else
            map_insert(&map, value);
        value->in = !value->in;
        count += value->in ? 1 : -1;
        cr_assert_eq(map.count, count);
    }
    uint32_t cursor = 0, seen = 0;
    while (map_next(&map, &cursor))
        seen++;
    cr_assert_eq(seen, count);
    cr_assert_null(map_remove(&map, SPAN_LITERAL("never there")));
    map_free(&map);
}

/* Names whose plain hashes end alike: those a stranger would choose, and (by fewer bits) all client ids of one shard. */
Test(map, names_chosen_by_strangers_do_not_stand_in_a_row)
{
    enum { NAMES = 1000, SAME_BITS = 12 };
    static struct value values[NAMES];
    struct map map;
    uint32_t tried = 0, farthest = 0;
    map_seed(0x0123456789abcdef);
    map_init(&map, key_of);
    for (int i = 0; i < NAMES; i++) {
        do
            snprintf(values[i].key, sizeof values[i].key, "c%u", tried++);
        while (hash_span(key_of(&values[i])) & ((1u << SAME_BITS) - 1));
        map_insert(&map, &values[i]);
    }
    for (uint32_t at = 0; at <= map.mask; at++) {
        if (!map.entries[at].value) continue;
        uint32_t from_home = (at - (uint32_t)map.entries[at].hash) & map.mask;
        if (from_home > farthest) farthest = from_home;
    }
    cr_assert_lt(farthest, 100, "%u entries from where it belongs", farthest);
    for (int i = 0; i < NAMES; i++)
        cr_assert_eq(map_remove(&map, key_of(&values[i])), &values[i]);
    cr_assert_eq(map.count, 0);
    map_free(&map);
    map_seed(0);
}

/* ---- walks in slices ---- */

struct named {
    char name[16];
    uint32_t seen;
};

static struct span named_key(const void *value) { return span_of_string(((const struct named *)value)->name); }
static void named_seen(void *context, void *value) { ((struct named *)value)->seen++; }

/* Those that stay are seen exactly once, whatever is added and removed between the slices; the walk begins with `stays` of them, and nothing changes for `quiet` slices. */
static void walk_while_it_changes(uint32_t stays, uint32_t quiet)
{
    enum { STAY = 800, COME = 4000 };
    static struct named stay[STAY], come[COME];
    struct map map;
    struct map_walk walk = {0};
    map_init(&map, named_key);
    for (uint32_t i = 0; i < stays; i++) {
        stay[i] = (struct named){0};
        snprintf(stay[i].name, sizeof stay[i].name, "stay-%u", i);
        map_insert(&map, &stay[i]);
    }
    uint32_t added = 0, removed = 0;
    for (uint32_t step = 0; map_walk_next(&map, &walk, named_seen, NULL); step++) {
        for (uint32_t i = 0; i < 7 && step >= quiet && added < COME; i++, added++) { /* the table grows several times */
            come[added] = (struct named){0};
            snprintf(come[added].name, sizeof come[added].name, "come-%u", added);
            map_insert(&map, &come[added]);
        }
        for (uint32_t i = 0; i < 2 && removed < added; i++, removed++)
            map_remove(&map, named_key(&come[removed]));
    }
    cr_assert(added > 3 * stays || quiet, "the table should have grown");
    for (uint32_t i = 0; i < stays; i++)
        cr_assert_eq(stay[i].seen, 1, "%s of %u was seen %u times", stay[i].name, stays, stay[i].seen);
    for (uint32_t i = 0; i < added; i++)
        cr_assert(come[i].seen <= 1, "%s beside %u was seen %u times", come[i].name, stays, come[i].seen);
    map_free(&map);
}

Test(map, walk_while_it_changes)
{
    for (uint32_t stays = 380; stays < 520; stays++) /* from 385 on a table of 512 is being moved into one of 1,024 */
        for (uint32_t quiet = 0; quiet < 600; quiet += 100)
            walk_while_it_changes(stays, quiet);
    struct map map;
    struct map_walk walk = {0};
    map_init(&map, named_key);
    cr_assert_not(map_walk_next(&map, &walk, named_seen, NULL), "an empty table");
}
