#include "base/check.h"
#include "base/lane.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/wheel.h"
#include "perf/micro.h"

/* ---- lanes: `size` records of one cell are staged, published, taken ---- */

static struct lane *lane;
static uint64_t batch;

static void setup_lane(uint64_t size)
{
    lane = memory_acquire_aligned(64, sizeof *lane);
    lane->limit = LANE_SLOTS;
    batch = size;
}

static uint64_t run_lane(uint64_t count)
{
    uint64_t done = 0;
    for (; done < count; done += batch) {
        for (uint64_t i = 0; i < batch; i++) {
            const struct lane_cell cell = {done + i, i};
            CHECK(lane_stage(lane, &cell, 1));
        }
        CHECK(lane_publish(lane));
        uint32_t head, ready = lane_ready(lane, &head);
        for (uint32_t i = 0; i < ready; i++)
            micro_keep(lane_cell_at(lane, head + i)->a);
        lane_taken(lane, head + ready);
    }
    return done;
}

/* ---- the wheel: keep-alives of `size` connections ---- */

#define KEEP_ALIVE_MS 90000

static struct wheel *wheel;
static struct timer *timers;
static uint64_t timers_count, fired, next_timer;

static void fire(struct timer *timer, void *context)
{
    fired++;
    wheel_start(wheel, timer, wheel->now_ms + KEEP_ALIVE_MS);
}

static void setup_wheel(uint64_t size)
{
    struct random_source random = {3};
    wheel = memory_acquire_zeroed(sizeof *wheel);
    wheel_init(wheel, 1000);
    timers = memory_acquire_zeroed(size * sizeof *timers);
    timers_count = size;
    for (uint64_t i = 0; i < size; i++) {
        timer_init(&timers[i], fire);
        wheel_start(wheel, &timers[i], 1000 + random_below(&random, KEEP_ALIVE_MS));
    }
}

/* A connection's timer is moved. */
static uint64_t run_move(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++, next_timer = (next_timer + 7919) % timers_count)
        wheel_start(wheel, &timers[next_timer], wheel->now_ms + KEEP_ALIVE_MS + i % 1000);
    return count;
}

/* Time passes, a millisecond a turn, and what is due fires and begins anew. */
static uint64_t run_expire(uint64_t count)
{
    uint64_t before = fired;
    while (fired - before < count)
        wheel_expire(wheel, wheel->now_ms + 1, 4096, NULL);
    return fired - before;
}

const struct micro_case micro_queue[] = {
    {"lane-1-record", setup_lane, run_lane, 1, 4096},
    {"lane-32-records", setup_lane, run_lane, 32, 4096},
    {"wheel-move-10k", setup_wheel, run_move, 10000, 10000},
    {"wheel-expire-10k", setup_wheel, run_expire, 10000, 10000},
    {"wheel-move-1m", setup_wheel, run_move, 1000000, 10000},
    {"wheel-expire-1m", setup_wheel, run_expire, 1000000, 10000},
    {0},
};
