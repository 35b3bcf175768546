#include <criterion/criterion.h>
#include <stdio.h>

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
