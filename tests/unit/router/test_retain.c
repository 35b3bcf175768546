#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/memory.h"
#include "naive.h"
#include "router/retain.h"
#include "router/retain_list.h"

static uint64_t released;
static void release(void *context, void *message) { released++; }
static void *message_of(uint64_t number) { return (void *)(uintptr_t)(number + 1); }

static struct retain_store *create(uint64_t messages_max, uint64_t bytes_max)
{
    struct retain_config config = {messages_max, bytes_max, 9, release, NULL};
    released = 0;
    return retain_create(&config);
}

static void expect_empty(struct retain_store *store)
{
    struct retain_stats stats = retain_stats(store);
    cr_assert(stats.messages == 0 && stats.bytes == 0 && stats.index_nodes == 0 && stats.index_bytes == 0);
    retain_destroy(store);
}

struct seen {
    uint32_t count;
    char last[NAIVE_TEXT_MAX];
    enum retain_answer answer;
};

static enum retain_answer see(void *context, struct span topic, void *message, uint64_t bytes)
{
    struct seen *seen = context;
    seen->count++;
    snprintf(seen->last, sizeof seen->last, "%.*s", SPAN_PRINT(topic));
    return seen->answer;
}

static uint32_t count(struct retain_store *store, const char *filter, uint32_t budget)
{
    struct seen seen = {0};
    struct retain_cursor *cursor = retain_scan_begin(text(filter));
    while (retain_scan_next(store, cursor, budget, see, &seen)) {}
    cr_assert_not(retain_scan_next(store, cursor, budget, see, &seen));
    retain_scan_end(cursor);
    return seen.count;
}

Test(retain, set_get_remove)
{
    struct retain_store *store = create(0, 0);
    cr_assert_eq(retain_set(store, text("a/b"), message_of(1), 100), RETAIN_STORED);
    cr_assert_eq(retain_set(store, text("a/b"), message_of(2), 50), RETAIN_REPLACED);
    cr_assert_eq(released, 1);
    cr_assert_eq(retain_get(store, text("a/b")), message_of(2));
    cr_assert_null(retain_get(store, text("a")));
    cr_assert_eq(retain_stats(store).bytes, 53);
    cr_assert_not(retain_remove(store, text("a")));
    cr_assert(retain_remove(store, text("a/b")));
    cr_assert_eq(released, 2);
    expect_empty(store);
}

Test(retain, limits)
{
    struct retain_store *store = create(2, 100);
    cr_assert_eq(retain_set(store, text("a"), message_of(1), 40), RETAIN_STORED);
    cr_assert_eq(retain_set(store, text("b"), message_of(1), 90), RETAIN_FULL_BYTES);
    cr_assert_eq(retain_set(store, text("b"), message_of(1), 40), RETAIN_STORED);
    cr_assert_eq(retain_set(store, text("c"), message_of(1), 1), RETAIN_FULL_COUNT);
    cr_assert_eq(retain_set(store, text("b"), message_of(1), 59), RETAIN_FULL_BYTES);
    cr_assert_eq(retain_set(store, text("b"), message_of(1), 58), RETAIN_REPLACED);
    cr_assert_eq(retain_stats(store).bytes, 100);
    retain_set_limits(store, 1, 10);
    cr_assert_eq(retain_set(store, text("b"), message_of(1), 50), RETAIN_REPLACED);
    cr_assert_eq(retain_set(store, text("b"), message_of(1), 51), RETAIN_FULL_BYTES);
    released = 0;
    retain_destroy(store);
    cr_assert_eq(released, 2);
}

Test(retain, only_the_subtree_is_touched)
{
    struct retain_store *store = create(0, 0);
    char topic[64];
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(topic, sizeof topic, "site/%u/temp", i);
        retain_set(store, text(topic), message_of(i), 1);
    }
    struct seen seen = {0};
    struct retain_cursor *cursor = retain_scan_begin(text("site/777/#"));
    cr_assert_not(retain_scan_next(store, cursor, 3, see, &seen)); /* three looks are enough */
    cr_assert_eq(seen.count, 1);
    retain_scan_end(cursor);
    cr_assert_eq(count(store, "site/+/temp", 100), 20000);
    cr_assert_eq(count(store, "site/+/humidity", 100), 0);
    cr_assert_eq(count(store, "+/5/#", 100), 1);
    cr_assert_eq(count(store, "site/9/temp", 1), 1);
    retain_destroy(store);
}

Test(retain, longest_and_deepest)
{
    struct retain_store *store = create(0, 0);
    uint8_t *topic = memory_acquire(MQTT_STRING_BYTES_MAX);
    memset(topic, '/', MQTT_STRING_BYTES_MAX);
    struct span longest = span_of(topic, MQTT_STRING_BYTES_MAX);
    cr_assert_eq(retain_set(store, longest, message_of(1), 0), RETAIN_STORED);
    cr_assert_eq(count(store, "#", 1), 1);
    cr_assert_eq(count(store, "/#", 1), 1);
    cr_assert_eq(count(store, "+/+", 1), 0);
    struct seen seen = {0};
    struct retain_cursor *cursor = retain_scan_begin(longest);
    while (retain_scan_next(store, cursor, 1, see, &seen)) {}
    retain_scan_end(cursor);
    cr_assert_eq(seen.count, 1);
    cr_assert(retain_remove(store, longest));
    memory_release(topic);
    expect_empty(store);
}

Test(retain, answers)
{
    struct retain_store *store = create(0, 0);
    retain_set(store, text("a/1"), message_of(1), 1);
    retain_set(store, text("a/2"), message_of(2), 1);
    retain_set(store, text("a/3"), message_of(3), 1);
    struct seen seen = {.answer = RETAIN_STOP_BEFORE};
    struct retain_cursor *cursor = retain_scan_begin(text("a/#"));
    cr_assert(retain_scan_next(store, cursor, 100, see, &seen));
    cr_assert_str_eq(seen.last, "a/1");
    seen.answer = RETAIN_STOP;
    cr_assert(retain_scan_next(store, cursor, 100, see, &seen));
    cr_assert_str_eq(seen.last, "a/1");
    cr_assert(retain_scan_next(store, cursor, 100, see, &seen));
    cr_assert_str_eq(seen.last, "a/2");
    seen.answer = RETAIN_REMOVE;
    cr_assert_not(retain_scan_next(store, cursor, 100, see, &seen));
    cr_assert_str_eq(seen.last, "a/3");
    retain_scan_end(cursor);
    cr_assert_null(retain_get(store, text("a/3")));
    cursor = retain_scan_begin(text("#"));
    cr_assert_not(retain_scan_next(store, cursor, 100, see, &seen));
    retain_scan_end(cursor);
    cr_assert_eq(released, 3);
    expect_empty(store);
}

/* The twin: all topics ever used, with a flag each. */

#define TOPICS 300
#define SCANS 4

struct twin {
    struct retain_store *store;
    char topics[TOPICS][NAIVE_TEXT_MAX];
    bool stored[TOPICS];
    uint64_t bytes;
    struct random_source random;
    uint64_t seed;
    struct scan {
        struct retain_cursor *cursor;
        char filter[NAIVE_TEXT_MAX];
        bool throughout[TOPICS]; /* stored since the scan began */
        bool shown[TOPICS];
        struct twin *twin;
    } scans[SCANS];
};

static void twin_gone(struct twin *twin, uint32_t at)
{
    twin->stored[at] = false;
    for (uint32_t i = 0; i < SCANS; i++)
        twin->scans[i].throughout[at] = false;
}

static void twin_change(struct twin *twin)
{
    uint32_t at = (uint32_t)random_below(&twin->random, TOPICS);
    struct span topic = text(twin->topics[at]);
    if (random_below(&twin->random, 2)) {
        enum retain_verdict verdict = retain_set(twin->store, topic, message_of(at), at);
        cr_assert_eq(verdict, twin->stored[at] ? RETAIN_REPLACED : RETAIN_STORED, "seed %" PRIu64, twin->seed);
        twin->stored[at] = true;
    } else {
        cr_assert_eq(retain_remove(twin->store, topic), twin->stored[at], "seed %" PRIu64, twin->seed);
        twin_gone(twin, at);
    }
    cr_assert_eq(retain_get(twin->store, topic), twin->stored[at] ? message_of(at) : NULL);
}

static enum retain_answer twin_see(void *context, struct span topic, void *message, uint64_t bytes)
{
    struct scan *scan = context;
    struct twin *twin = scan->twin;
    uint32_t at = (uint32_t)((uintptr_t)message - 1);
    cr_assert(span_equal(topic, text(twin->topics[at])) && bytes == at);
    cr_assert(twin->stored[at] && naive_matches(scan->filter, twin->topics[at]), "seed %" PRIu64 " %s %s", twin->seed,
              scan->filter, twin->topics[at]);
    cr_assert_not(scan->shown[at], "seed %" PRIu64 " %s shown twice", twin->seed, twin->topics[at]);
    scan->shown[at] = true;
    switch (random_below(&twin->random, 12)) {
    case 0: twin_gone(twin, at); return RETAIN_REMOVE;
    case 1: return RETAIN_STOP;
    case 2: scan->shown[at] = false; return RETAIN_STOP_BEFORE;
    case 3: twin_change(twin); return RETAIN_NEXT;
    default: return RETAIN_NEXT;
    }
}

static void scan_begin(struct twin *twin, struct scan *scan)
{
    naive_filter(&twin->random, scan->filter);
    scan->cursor = retain_scan_begin(text(scan->filter));
    memcpy(scan->throughout, twin->stored, sizeof scan->throughout);
    memset(scan->shown, 0, sizeof scan->shown);
    scan->twin = twin;
}

static void scan_step(struct twin *twin, struct scan *scan)
{
    uint32_t budget = 1 + (uint32_t)random_below(&twin->random, 20);
    if (retain_scan_next(twin->store, scan->cursor, budget, twin_see, scan)) return;
    for (uint32_t i = 0; i < TOPICS; i++)
        if (scan->throughout[i] && naive_matches(scan->filter, twin->topics[i]))
            cr_assert(scan->shown[i], "seed %" PRIu64 " %s missed %s", twin->seed, scan->filter, twin->topics[i]);
    retain_scan_end(scan->cursor);
    scan_begin(twin, scan);
}

static bool topic_is_new(struct twin *twin, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (!strcmp(twin->topics[i], twin->topics[at])) return false;
    return true;
}

static void run_twin(uint64_t seed, uint32_t steps)
{
    struct twin *twin = memory_acquire_zeroed(sizeof *twin);
    twin->store = create(0, 0);
    twin->random.state = twin->seed = seed;
    for (uint32_t i = 0; i < TOPICS; i++)
        do
            naive_topic(&twin->random, twin->topics[i]);
        while (!topic_is_new(twin, i));
    for (uint32_t i = 0; i < SCANS; i++)
        scan_begin(twin, &twin->scans[i]);
    for (uint32_t step = 0; step < steps; step++) {
        if (random_below(&twin->random, 3) == 0) twin_change(twin);
        scan_step(twin, &twin->scans[random_below(&twin->random, SCANS)]);
    }
    for (uint32_t i = 0; i < TOPICS; i++)
        retain_remove(twin->store, text(twin->topics[i]));
    for (uint32_t i = 0; i < SCANS; i++)
        retain_scan_end(twin->scans[i].cursor);
    expect_empty(twin->store);
    memory_release(twin);
}

Test(retain, twin_1) { run_twin(naive_seed(21), 300000); }
Test(retain, twin_2) { run_twin(naive_seed(22), 300000); }

Test(retain, order)
{
    static const char *const ORDER[] = {"", "/", "//", "/a", "a", "a/", "a//", "a/b", "a/b/c", "a\x01", "a!", "a0", "ab", "b"};
    for (size_t i = 0; i < sizeof ORDER / sizeof *ORDER; i++)
        for (size_t j = 0; j < sizeof ORDER / sizeof *ORDER; j++) {
            int order = retain_compare(text(ORDER[i]), text(ORDER[j]));
            cr_assert((i < j) == (order < 0) && (i == j) == (order == 0), "%s %s", ORDER[i], ORDER[j]);
        }
}
