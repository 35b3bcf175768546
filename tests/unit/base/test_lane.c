#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

#include "base/lane.h"
#include "base/memory.h"
#include "base/qsbr.h"

#define RECORDS 200000

static void *produce(void *argument)
{
    struct lane *lane = argument;
    for (uint64_t i = 0; i < RECORDS;) {
        struct lane_cell cells[3] = {{i, 3}, {i, 1}, {i, 2}};
        uint32_t count = 1 + (uint32_t)(i % 3);
        cells[0].b = count;
        if (lane_stage(lane, cells, count)) {
            if (++i % 5) continue;
        }
        lane_publish(lane); /* full, or time to */
        sched_yield();
    }
    lane_publish(lane);
    return NULL;
}

Test(lane, records_arrive_whole_and_in_order)
{
    struct lane *lane = memory_acquire_aligned(64, sizeof *lane);
    lane->limit = 64;
    pthread_t producer;
    pthread_create(&producer, NULL, produce, lane);
    for (uint64_t expected = 0; expected < RECORDS;) {
        uint32_t head, ready = lane_ready(lane, &head), end = head + ready;
        while (head != end) {
            const struct lane_cell *first = lane_cell_at(lane, head);
            cr_assert_eq(first->a, expected);
            for (uint32_t i = 1; i < first->b; i++)
                cr_assert(lane_cell_at(lane, head + i)->a == expected && lane_cell_at(lane, head + i)->b == i);
            head += (uint32_t)first->b;
            expected++;
        }
        if (ready) lane_taken(lane, head);
        else sched_yield();
    }
    pthread_join(producer, NULL);
    memory_release(lane);
}

Test(lane, full_means_no_and_changes_nothing)
{
    struct lane *lane = memory_acquire_aligned(64, sizeof *lane);
    lane->limit = 4;
    struct lane_cell cells[4] = {{1, 0}, {2, 0}, {3, 0}, {4, 0}};
    cr_assert(lane_stage(lane, cells, 3));
    cr_assert(!lane_stage(lane, cells, 2));
    cr_assert(lane_stage(lane, cells + 3, 1));
    cr_assert(lane_publish(lane));
    cr_assert(!lane_publish(lane), "nothing new");
    uint32_t head;
    cr_assert_eq(lane_ready(lane, &head), 4);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(lane_cell_at(lane, head + i)->a, i + 1);
    lane_taken(lane, head + 4);
    cr_assert(lane_stage(lane, cells, 4));
    memory_release(lane);
}

Test(qsbr, a_ticket_waits_for_every_reader_that_was_awake)
{
    struct qsbr qsbr;
    struct qsbr_ticket ticket;
    qsbr_init(&qsbr, 3);
    qsbr_ticket(&qsbr, &ticket);
    cr_assert(qsbr_elapsed(&qsbr, &ticket), "all asleep");
    qsbr_wake(&qsbr, 0);
    qsbr_wake(&qsbr, 2);
    qsbr_ticket(&qsbr, &ticket);
    cr_assert(!qsbr_elapsed(&qsbr, &ticket));
    qsbr_pass(&qsbr, 2);
    cr_assert(!qsbr_elapsed(&qsbr, &ticket));
    qsbr_wake(&qsbr, 1); /* too late to have seen anything */
    qsbr_sleep(&qsbr, 0);
    cr_assert(qsbr_elapsed(&qsbr, &ticket));
    cr_assert(qsbr_elapsed(&qsbr, &ticket), "and stays so");
}
