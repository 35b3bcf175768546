/* mesh_threads.c - one shard that sends by all ways (in place at once or growing, staged, overflow) and another that takes and sometimes sleeps, for the thread sanitizer and
 * without it. Every record must come once, whole and in order, and whoever sleeps with something to take must have been woken. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "engine/mesh.h"

#define RECORDS    100000
#define LANE_CELLS 512 /* few, so that the lane is often full */
#define CELLS_MAX  7
#define KIND       RECORD_KIND_FIRST

static struct mesh *mesh;
static struct stats stats; /* the sender's */
static _Atomic uint32_t woken;
static uint64_t taken;

static void wake(struct kernel_ring *from, uint32_t to) { atomic_fetch_add(&woken, 1); }
static const struct kernel_verbs verbs = {.wake = wake};

/* Cell by cell, as far as there is room. True: whole. */
static bool send_growing(struct mesh_way *way, uint64_t number, uint32_t count)
{
    struct lane_cell *cells = mesh_room(way, count); /* so that it will fit */
    if (!cells) return false;
    cells[0] = record_first(KIND, 0, NULL, number);
    mesh_filled_open(way, 1, &stats);
    for (uint32_t i = 1; i < count; i++) {
        CHECK(mesh_open(way) == cells && mesh_grow(way, 1));
        record_grow(cells, 1);
        cells[i] = (struct lane_cell){number, number + i};
    }
    return true;
}

static void send_one(uint64_t number)
{
    struct mesh_way *way = &mesh_ways(mesh, 0)[1];
    uint32_t count = 1 + number % CELLS_MAX;
    if (number % 5 == 0 && send_growing(way, number, count)) return;
    struct lane_cell aside[CELLS_MAX], *in_lane = number % 3 ? mesh_room(way, count) : NULL, *cells = in_lane ? in_lane : aside;
    cells[0] = record_first(KIND, (uint8_t)(count - 1), NULL, number);
    for (uint32_t i = 1; i < count; i++)
        cells[i] = (struct lane_cell){number, number + i};
    if (in_lane)
        mesh_filled(way, count, &stats);
    else
        mesh_send(mesh, 0, 1, cells, count, &stats);
}

static void flush(void)
{
    while (mesh_flush(mesh, 0, &verbs, NULL, &stats))
        sched_yield();
}

static void *send_all(void *none)
{
    for (uint64_t number = 0; number < RECORDS; number++) {
        send_one(number);
        if (number % 32 == 0 || mesh_blocked(&mesh_ways(mesh, 0)[1])) flush();
    }
    flush();
    return NULL;
}

static void take(void *none, uint32_t from, const struct lane_cell *cells)
{
    CHECK(from == 0 && record_kind(cells) == KIND && cells->b == taken && record_cells(cells) == 1 + taken % CELLS_MAX);
    for (uint32_t i = 1; i < record_cells(cells); i++)
        CHECK(cells[i].a == taken && cells[i].b == taken + i);
    taken++;
}

/* As a shard: only the bell ends it, so one that is forgotten ends in the test's time limit. */
static void sleep_a_while(void)
{
    uint32_t before = atomic_load(&woken);
    if (!mesh_may_sleep(mesh, 1)) return;
    while (atomic_load(&woken) == before)
        sched_yield();
    mesh_awake(mesh, 1);
}

int main(void)
{
    pthread_t sender;
    uint32_t fullest;
    mesh = mesh_create(2, LANE_CELLS);
    CHECK(pthread_create(&sender, NULL, send_all, NULL) == 0);
    while (taken < RECORDS)
        if (mesh_drain(mesh, 1, 64, take, NULL, NULL, &fullest) == 0) sleep_a_while();
    CHECK(pthread_join(sender, NULL) == 0);
    printf("%d records, %lu waited for room, %lu publications, %u wake-ups: passed\n", RECORDS, stats.lane_overflows, stats.lanes_published, atomic_load(&woken));
    mesh_destroy(mesh);
    return 0;
}
