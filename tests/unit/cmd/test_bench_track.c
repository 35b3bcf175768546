#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "cmd/ringmq_bench_histogram.h"
#include "cmd/ringmq_bench_track.h"

struct counts {
    int64_t missing;
    uint32_t late, repeated;
};

static struct counts feed(struct track *track, const uint32_t *numbers, uint32_t count)
{
    struct counts counts = {0};
    for (uint32_t i = 0; i < count; i++) {
        enum track_verdict verdict = track_take(track, numbers[i], &counts.missing);
        counts.late += verdict == TRACK_LATE;
        counts.repeated += verdict == TRACK_REPEATED;
    }
    return counts;
}

#define FEED(track, ...) feed(track, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

Test(track, numbers_in_order_are_fine)
{
    struct track track = {0};
    struct counts counts = FEED(&track, 0, 1, 2, 3, 4);
    cr_assert(counts.missing == 0 && counts.late == 0 && counts.repeated == 0 && track.next == 5);
}

Test(track, a_gap_is_missing_and_nothing_else)
{
    struct track track = {0};
    struct counts counts = FEED(&track, 0, 3, 4);
    cr_assert(counts.missing == 2 && counts.late == 0 && counts.repeated == 0);
}

Test(track, a_late_one_is_out_of_order_and_not_missing)
{
    struct track track = {0};
    struct counts counts = FEED(&track, 0, 2, 1, 3);
    cr_assert(counts.missing == 0 && counts.late == 1 && counts.repeated == 0);
}

Test(track, a_second_one_is_a_repetition_also_of_a_late_one)
{
    struct track track = {0};
    struct counts counts = FEED(&track, 0, 0, 2, 1, 1, 2);
    cr_assert(counts.missing == 0 && counts.late == 1 && counts.repeated == 3);
}

Test(track, a_first_number_that_is_not_zero_misses_those_before)
{
    struct track track = {0};
    struct counts counts = FEED(&track, 2, 0);
    cr_assert(counts.missing == 1 && counts.late == 1);
}

Test(track, beyond_its_memory_it_counts_two_faults_never_none)
{
    struct track track = {0};
    struct counts counts = FEED(&track, 0, 100, 1);
    cr_assert(counts.missing == 99 && counts.repeated == 1 && counts.late == 0);
    counts = FEED(&track, 5000, 4999, 4936);
    cr_assert(counts.missing == 4899 - 1 && counts.late == 1 && counts.repeated == 1, "%ld %u %u", counts.missing, counts.late, counts.repeated);
}

/* Against counting everything, with small disorder, losses and repetitions. */
Test(track, agrees_with_a_table_of_all_numbers)
{
    struct random_source random = {11};
    for (int run = 0; run < 200; run++) {
        static uint32_t sequence[4000];
        static uint8_t seen[2000];
        uint32_t count = 0, highest = 0;
        memset(seen, 0, sizeof seen);
        for (uint32_t number = 0; number < 1000; number++) {
            if (random_below(&random, 20) == 0) continue;
            sequence[count++] = number;
            if (random_below(&random, 20) == 0) sequence[count++] = number;
            uint32_t back = 1 + (uint32_t)random_below(&random, 8);
            if (random_below(&random, 10) == 0 && count > back) {
                uint32_t swapped = sequence[count - 1];
                sequence[count - 1] = sequence[count - 1 - back];
                sequence[count - 1 - back] = swapped;
            }
        }
        uint32_t late = 0, repeated = 0, distinct = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (seen[sequence[i]]++) {
                repeated++;
                continue;
            }
            distinct++;
            late += sequence[i] < highest;
            if (sequence[i] >= highest) highest = sequence[i] + 1;
        }
        struct track track = {0};
        struct counts counts = feed(&track, sequence, count);
        cr_assert_eq(counts.missing, (int64_t)highest - distinct, "run %d", run);
        cr_assert_eq(counts.late, late, "run %d", run);
        cr_assert_eq(counts.repeated, repeated, "run %d", run);
    }
}

/* ---- groups ---- */

static struct group group_of(uint32_t words)
{
    return (struct group){calloc(words, sizeof(uint64_t)), words};
}

Test(group, counts_what_never_came_when_its_place_is_used_again_and_at_the_end)
{
    struct group group = group_of(4); /* 256 numbers */
    uint32_t lost = 0;
    for (uint32_t number = 0; number < 1000; number++) {
        lost += group_send(&group, number);
        if (number % 10 == 3) continue;
        cr_assert_eq(group_take(&group, number, number + 1), TRACK_FRESH);
    }
    lost += group_missing(&group, 1000);
    cr_assert_eq(lost, 100, "%u", lost);
    free((void *)group.seen);
}

Test(group, knows_a_repetition_and_a_straggler)
{
    struct group group = group_of(4);
    for (uint32_t number = 0; number < 300; number++)
        group_send(&group, number);
    cr_assert_eq(group_take(&group, 299, 300), TRACK_FRESH);
    cr_assert_eq(group_take(&group, 299, 300), TRACK_REPEATED);
    cr_assert_eq(group_take(&group, 0, 300), TRACK_LATE); /* its bit is number 256's now */
    cr_assert_eq(group_take(&group, 150, 300), TRACK_FRESH);
    free((void *)group.seen);
}

Test(group, misses_nothing_of_few)
{
    struct group group = group_of(64);
    cr_assert_eq(group_missing(&group, 0), 0);
    group_send(&group, 0);
    cr_assert_eq(group_missing(&group, 1), 1);
    group_take(&group, 0, 1);
    cr_assert_eq(group_missing(&group, 1), 0);
    free((void *)group.seen);
}

Test(histogram, merged_is_the_histogram_of_both)
{
    static struct histogram one, two, all;
    struct random_source random = {3};
    for (int i = 0; i < 5000; i++) {
        uint64_t value = random_next(&random) >> 44;
        histogram_add(i % 3 ? &one : &two, value);
        histogram_add(&all, value);
    }
    histogram_merge(&one, &two);
    cr_assert_eq(memcmp(&one, &all, sizeof one), 0);
}
