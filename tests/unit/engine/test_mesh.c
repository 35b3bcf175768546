#include <criterion/criterion.h>

#include <string.h>

#include "engine/mesh_one.h"

static uint64_t expected;
static uint32_t woken;

static void take(void *context, uint32_t from, const struct lane_cell *cells)
{
    cr_assert_eq(from, 0);
    cr_assert_eq((uintptr_t)record_pointer(cells), expected, "out of order");
    for (uint32_t i = 1; i < record_cells(cells); i++)
        cr_assert_eq(cells[i].a, expected * 10 + i);
    expected++;
}

static void wake(struct kernel_ring *from, uint32_t to_shard) { woken++; }
static const struct kernel_verbs verbs = {.wake = wake};

static void send_number(struct mesh *mesh, uint64_t number, struct stats *stats)
{
    struct lane_cell cells[4];
    uint32_t further = (uint32_t)(number % 4);
    cells[0] = record_first(40, (uint8_t)further, (void *)(uintptr_t)number, 0);
    for (uint32_t i = 1; i <= further; i++)
        cells[i] = (struct lane_cell){number * 10 + i, 0};
    mesh_send(mesh, 0, 1, cells, 1 + further, stats);
}

/* Far more than a lane holds: nothing is lost, nothing overtakes, and the sender can see that it should slow down. */
Test(mesh, what_does_not_fit_waits_in_order)
{
    struct stats stats = {0};
    uint32_t fullest;
    struct mesh *mesh = mesh_create(2, 16);
    expected = 0;
    uint64_t sent = 0;
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < 20; i++)
            send_number(mesh, sent++, &stats);
        cr_assert(mesh_blocked(&mesh_ways(mesh, 0)[1]));
        cr_assert(mesh_flush(mesh, 0, &verbs, NULL, &stats), "some overflow remains");
        mesh_drain(mesh, 1, 5, take, NULL, NULL, &fullest);
        cr_assert(fullest > 16 - 4 && fullest <= 16, "a lane of 16 cells that takes no more, not %u", fullest);
    }
    while (expected < sent) {
        mesh_flush(mesh, 0, &verbs, NULL, &stats);
        mesh_drain(mesh, 1, 1000, take, NULL, NULL, &fullest);
    }
    mesh_drain(mesh, 1, 1000, take, NULL, NULL, &fullest);
    cr_assert_eq(fullest, 0, "nothing waits");
    cr_assert(!mesh_blocked(&mesh_ways(mesh, 0)[1]));
    cr_assert(!mesh_flush(mesh, 0, &verbs, NULL, &stats));
    cr_assert_eq(stats.lane_records, sent);
    cr_assert_gt(stats.lane_overflows, 0);
    mesh_destroy(mesh);
}

Test(mesh, a_sleeper_is_woken_once)
{
    struct stats stats = {0};
    uint32_t fullest;
    struct mesh *mesh = mesh_create(2, LANE_SLOTS);
    woken = 0;
    expected = 0;
    cr_assert(mesh_may_sleep(mesh, 1));
    send_number(mesh, 0, &stats);
    cr_assert_eq(woken, 0, "not before it is published");
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    send_number(mesh, 1, &stats);
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    cr_assert_eq(woken, 1);
    cr_assert(!mesh_may_sleep(mesh, 1), "something waits");
    mesh_drain(mesh, 1, 1000, take, NULL, NULL, &fullest);
    cr_assert_eq(fullest, 3, "records of one and of two cells");
    cr_assert(mesh_may_sleep(mesh, 1));
    mesh_destroy(mesh);
}

/* One that may grow does so until anything else is sent, or it is published; and no further than the lane's end, its limit and the cells of a record. */
Test(mesh, the_last_record_may_grow)
{
    struct stats stats = {0};
    uint32_t fullest;
    struct mesh *mesh = mesh_create(2, 16);
    struct mesh_way *way = &mesh_ways(mesh, 0)[1];
    expected = 0;
    cr_assert_null(mesh_open(way), "nothing was sent");
    struct lane_cell *first = mesh_room(way, 1);
    *first = record_first(40, 0, NULL, 0);
    mesh_filled_open(way, 1, &stats);
    for (uint32_t i = 1; i < 16; i++) {
        cr_assert_eq(mesh_open(way), first);
        cr_assert(mesh_grow(way, 1));
        record_grow(first, 1);
        first[i] = (struct lane_cell){i, 0};
    }
    cr_assert(mesh_grow(way, 0), "what needs no more cells finds room");
    cr_assert_not(mesh_grow(way, 1), "the lane is full");
    cr_assert_eq(record_cells(first), 16);
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    cr_assert_null(mesh_open(way), "it has been seen");
    cr_assert_eq(mesh_drain(mesh, 1, 100, take, NULL, NULL, &fullest), 1);
    cr_assert_eq(expected, 1);
    cr_assert_eq(stats.lane_records, 1);

    send_number(mesh, 1, &stats); /* the lane is known to have room again */
    first = mesh_room(way, 1);
    *first = record_first(40, 0, (void *)2, 0);
    mesh_filled_open(way, 1, &stats);
    cr_assert_not_null(mesh_open(way));
    send_number(mesh, 3, &stats);
    cr_assert_null(mesh_open(way), "another one lies behind it");
    mesh_destroy(mesh);
}

/* As many as there may be, all at once: the last producers, who share a bell, as well as the first. */
static uint64_t heard[SHARDS_MAX + MESH_OUTSIDERS];
static void hear(void *context, uint32_t from, const struct lane_cell *cells) { heard[from] += cells->b; }

Test(mesh, every_producer_is_heard)
{
    struct stats stats = {0};
    uint32_t fullest, producers = SHARDS_MAX + MESH_OUTSIDERS;
    struct mesh *mesh = mesh_create(SHARDS_MAX, 300);
    for (uint32_t to = 0; to < SHARDS_MAX; to += 21) {
        memset(heard, 0, sizeof heard);
        for (uint32_t round = 1; round <= 3; round++) {
            for (uint32_t from = 0; from < producers; from++) {
                struct lane_cell cell = record_first(40, 0, NULL, from + 1);
                for (uint32_t i = 0; i < 10; i++)
                    mesh_send(mesh, from, to, &cell, 1, &stats);
                cr_assert_not(mesh_flush(mesh, from, &verbs, NULL, &stats));
                cr_assert_eq(mesh_row(mesh, from)->staged, 0);
            }
            cr_assert(mesh_ready(mesh, to));
            cr_assert_eq(mesh_drain(mesh, to, 4, hear, NULL, NULL, &fullest), 4 * producers, "a part of each");
            cr_assert(mesh_ready(mesh, to) && !mesh_may_sleep(mesh, to), "the others wait");
            cr_assert_eq(mesh_drain(mesh, to, 100, hear, NULL, NULL, &fullest), 6 * producers);
            cr_assert_not(mesh_ready(mesh, to));
            for (uint32_t from = 0; from < producers; from++)
                cr_assert_eq(heard[from], 10 * round * (from + 1), "%u", from);
        }
        cr_assert(mesh_may_sleep(mesh, to));
        cr_assert_not(mesh_ready(mesh, to), "nothing has come");
        mesh_awake(mesh, to);
    }
    mesh_destroy(mesh);
}

/* A shard that wakes for another reason keeps what has rung meanwhile. */
Test(mesh, what_rang_while_it_slept_is_taken)
{
    struct stats stats = {0};
    uint32_t fullest;
    struct mesh *mesh = mesh_create(2, LANE_SLOTS);
    woken = 0;
    expected = 0;
    cr_assert(mesh_may_sleep(mesh, 1));
    send_number(mesh, 0, &stats);
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    mesh_awake(mesh, 1);
    cr_assert(mesh_ready(mesh, 1));
    send_number(mesh, 1, &stats);
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    cr_assert_eq(woken, 1, "it is awake");
    cr_assert_eq(mesh_drain(mesh, 1, 10, take, NULL, NULL, &fullest), 2);
    cr_assert(mesh_may_sleep(mesh, 1));
    send_number(mesh, 2, &stats);
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    cr_assert_eq(woken, 2);
    mesh_destroy(mesh);
}

/* The two ways for one record and one lane say no whenever there is more to do, and leave the other ways what they need. */
Test(mesh, one_record_one_lane)
{
    struct stats stats = {0};
    uint32_t fullest, from = 99;
    struct mesh *mesh = mesh_create(3, 16);
    struct mesh_row *row = mesh_row(mesh, 0);
    struct mesh_way *ways = mesh_ways(mesh, 0);
    woken = 0;
    expected = 0;
    for (uint32_t round = 0; round < 100; round++) { /* records of one to four cells, to the lane's end and over it */
        send_number(mesh, round, &stats);
        cr_assert_eq(row->staged, 2);
        cr_assert(mesh_flush_one(row, ways, &verbs, NULL, &stats));
        cr_assert(row->staged == 0 && mesh_ready(mesh, 1) && !mesh_ready(mesh, 2));
        const struct lane_cell *cells = mesh_the_one(mesh_inbox(mesh, 1), &from);
        cr_assert(cells && from == 0, "LANE_SLOTS is far");
        take(NULL, from, cells);
        mesh_taken_one(mesh_inbox(mesh, 1), from, record_cells(cells));
        cr_assert(expected == round + 1 && !mesh_ready(mesh, 1));
    }
    send_number(mesh, 100, &stats);
    send_number(mesh, 101, &stats);
    cr_assert(mesh_flush_one(row, ways, &verbs, NULL, &stats));
    cr_assert_null(mesh_the_one(mesh_inbox(mesh, 1), &from), "two records");
    cr_assert_eq(mesh_drain(mesh, 1, 1, take, NULL, NULL, &fullest), 1);
    cr_assert_not_null(mesh_the_one(mesh_inbox(mesh, 1), &from), "and one that was left");
    cr_assert_eq(mesh_drain(mesh, 1, 1, take, NULL, NULL, &fullest), 1);
    cr_assert_not(mesh_ready(mesh, 1));

    struct lane_cell cell = record_first(40, 0, NULL, 1), large[12] = {record_first(40, 11, NULL, 0)};
    mesh_send(mesh, 0, 1, &cell, 1, &stats);
    mesh_send(mesh, 0, 2, &cell, 1, &stats);
    cr_assert_not(mesh_flush_one(row, ways, &verbs, NULL, &stats), "two lanes");
    cr_assert_eq(row->staged, 6);
    cr_assert_not(mesh_flush(mesh, 0, &verbs, NULL, &stats));
    mesh_send(mesh, 0, 1, large, 12, &stats);
    mesh_send(mesh, 0, 1, large, 12, &stats);
    cr_assert_not(mesh_flush_one(row, ways, &verbs, NULL, &stats), "one waits for room");
    cr_assert(mesh_flush(mesh, 0, &verbs, NULL, &stats));
    cr_assert_eq(row->staged, 2, "and will be looked after");
    cr_assert(mesh_drain(mesh, 1, 1000, hear, NULL, NULL, &fullest) == 2 && mesh_drain(mesh, 2, 1000, hear, NULL, NULL, &fullest) == 1);
    cr_assert_not(mesh_flush(mesh, 0, &verbs, NULL, &stats));
    cr_assert_eq(mesh_drain(mesh, 1, 1000, hear, NULL, NULL, &fullest), 1);

    mesh_send(mesh, 0, 1, &cell, 1, &stats);
    mesh_send(mesh, 2, 1, &cell, 1, &stats);
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    mesh_flush(mesh, 2, &verbs, NULL, &stats);
    cr_assert_null(mesh_the_one(mesh_inbox(mesh, 1), &from), "from two");
    cr_assert_eq(mesh_drain(mesh, 1, 1000, hear, NULL, NULL, &fullest), 2);
    cr_assert_eq(woken, 0);
    mesh_destroy(mesh);
}

static uint32_t looks;
static bool never(void *context) { return looks++, false; }

static void take_any(void *context, uint32_t from, const struct lane_cell *cells) {}

/* A turn's part of a lane is measured by what the records hold. */
Test(mesh, large_records_count_as_several)
{
    struct stats stats = {0};
    uint32_t fullest;
    struct mesh *mesh = mesh_create(2, LANE_SLOTS);
    struct lane_cell cells[100] = {record_first(40, 99, NULL, 0)};
    for (uint32_t i = 0; i < 10; i++)
        mesh_send(mesh, 0, 1, cells, 100, &stats);
    mesh_flush(mesh, 0, &verbs, NULL, &stats);
    looks = 0;
    cr_assert_eq(mesh_drain(mesh, 1, 5 * 100 / MESH_CELLS_A_RECORD, take_any, never, NULL, &fullest), 5);
    cr_assert_eq(looks, 1, "once for %u of them", MESH_RECORDS_PER_LOOK);
    cr_assert_eq(mesh_drain(mesh, 1, 1000, take_any, never, NULL, &fullest), 5);
    mesh_destroy(mesh);
}
