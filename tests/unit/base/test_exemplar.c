#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

#include "base/exemplar.h"
#include "base/spread.h"

Test(exemplar, names_are_cut_between_characters)
{
    struct exemplar_names names;
    char topic[EXEMPLAR_TOPIC_BYTES_MAX + 2], client[100];
    memset(topic, 'a', sizeof topic);
    memcpy(topic + EXEMPLAR_TOPIC_BYTES_MAX - 1, "\xC3\xA4", 2); /* ä: one byte of it would fit */
    for (size_t i = 0; i + 3 <= sizeof client - 1; i += 3)
        memcpy(client + i, "\xE2\x82\xAC", 3); /* € */
    exemplar_names_set(&names, span_of(topic, sizeof topic - 1), span_of(client, 99));
    cr_assert_eq(names.topic_bytes, EXEMPLAR_TOPIC_BYTES_MAX - 1);
    cr_assert_eq(names.client_bytes, EXEMPLAR_CLIENT_BYTES_MAX / 3 * 3);
    exemplar_names_set(&names, SPAN_LITERAL("a/b"), span_of(NULL, 0));
    cr_assert(names.topic_bytes == 3 && memcmp(names.topic, "a/b", 3) == 0);
    cr_assert_eq(names.client_bytes, 0);
    exemplar_names_set(&names, span_of(topic, EXEMPLAR_TOPIC_BYTES_MAX + 1), SPAN_LITERAL("c"));
    cr_assert_eq(names.topic_bytes, EXEMPLAR_TOPIC_BYTES_MAX - 1);
    memset(topic, 'a', sizeof topic);
    exemplar_names_set(&names, span_of(topic, EXEMPLAR_TOPIC_BYTES_MAX), SPAN_LITERAL("c"));
    cr_assert_eq(names.topic_bytes, EXEMPLAR_TOPIC_BYTES_MAX);
}

/* A value's place is the bucket that /metrics counts it in: the sums of base/spread.h's buckets up to the power of two. */
Test(exemplar, places_are_the_buckets_that_are_shown)
{
    for (uint64_t value = 0; value < 1ull << 36; value = value < 5000 ? value + 1 : value + value / 3) {
        uint32_t place = exemplar_place_of(value), bucket = spread_bucket(value);
        uint32_t power = EXEMPLAR_FIRST_POWER;
        while (power <= EXEMPLAR_LAST_POWER && spread_bound(bucket) > 1ull << power)
            power++;
        cr_assert_eq(place, power - EXEMPLAR_FIRST_POWER, "%llu: place %u", (unsigned long long)value, place);
    }
    cr_assert_eq(exemplar_place_of(UINT64_MAX), EXEMPLAR_PLACES - 1);
}

Test(exemplar, one_that_is_old_gives_way)
{
    static struct exemplars exemplars;
    struct exemplar_names names;
    struct exemplar found;
    uint32_t place = exemplar_place_of(5000);
    cr_assert(!exemplars_get(&exemplars, 0, &found));
    exemplar_names_set(&names, SPAN_LITERAL("old"), SPAN_LITERAL("c"));
    exemplars_put(&exemplars, 5000, 7, &names);
    exemplar_names_set(&names, SPAN_LITERAL("newer"), SPAN_LITERAL("c"));
    exemplars_put(&exemplars, 5001, 7 + EXEMPLAR_FRESH_MS - 1, &names);
    cr_assert(exemplars_get(&exemplars, place, &found) && found.value_ns == 5000 && found.names.topic_bytes == 3, "it is still fresh");
    exemplars_put(&exemplars, 5001, 7 + EXEMPLAR_FRESH_MS, &names);
    exemplars_put(&exemplars, UINT64_MAX, 9, &names);
    cr_assert(exemplars_get(&exemplars, place, &found));
    cr_assert_eq(found.value_ns, 5001);
    cr_assert_eq(found.at_ms, 7 + EXEMPLAR_FRESH_MS);
    cr_assert(found.names.topic_bytes == 5 && memcmp(found.names.topic, "newer", 5) == 0);
    cr_assert(exemplars_get(&exemplars, EXEMPLAR_PLACES - 1, &found));
    cr_assert(!exemplars_get(&exemplars, 0, &found));
}

static struct exemplars shared;
static _Atomic bool over;

static void *writer(void *argument)
{
    for (uint64_t round = 1; !over; round++) {
        char text[32];
        struct exemplar_names names;
        int bytes = snprintf(text, sizeof text, "%llu", (unsigned long long)round);
        exemplar_names_set(&names, span_of(text, (size_t)bytes), span_of(text, (size_t)bytes));
        exemplars_put(&shared, 4096 + round % 100, round * EXEMPLAR_FRESH_MS, &names);
    }
    return NULL;
}

/* What a reader finds is of one message. */
Test(exemplar, a_reader_never_finds_halves)
{
    pthread_t thread;
    uint32_t seen = 0;
    cr_assert_eq(pthread_create(&thread, NULL, writer, NULL), 0);
    for (uint64_t tries = 0; seen < 2000 && tries < 50000000; tries++) {
        struct exemplar found;
        char wanted[32];
        if (!exemplars_get(&shared, exemplar_place_of(4096), &found)) continue;
        uint64_t round = found.at_ms / EXEMPLAR_FRESH_MS;
        int bytes = snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)round);
        cr_assert_eq(found.value_ns, 4096 + round % 100);
        cr_assert(found.names.topic_bytes == bytes && memcmp(found.names.topic, wanted, (size_t)bytes) == 0);
        cr_assert(found.names.client_bytes == bytes && memcmp(found.names.client, wanted, (size_t)bytes) == 0);
        seen++;
    }
    over = true;
    pthread_join(thread, NULL);
    cr_assert(seen > 0, "a reader that never finds anything tests nothing");
}
