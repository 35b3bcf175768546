#include <criterion/criterion.h>

#include "engine/mesh.h"

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
