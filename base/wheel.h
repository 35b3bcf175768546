/* wheel.h - a hierarchical timer wheel: a million keep-alives, each set, moved and stopped in constant time.
 *
 * Six levels of 64 slots; a slot of level L spans 64^L ticks of one millisecond, so deadlines up to 2^36 ms (795 days) lie in
 * the wheel and later ones are parked in the last slot and looked at again. A bitmap per level finds the next occupied
 * slot without walking.
 *
 * Owner:    one shard. The struct timer lives inside the object that waits (32 bytes) and must be stopped before that goes.
 * Threads:  that shard only. Units: milliseconds of the shard's monotonic clock. Failure: none.
 * A timer never fires early; it fires in the first wheel_expire() whose now_ms has reached its deadline. */
#ifndef RINGMQ_BASE_WHEEL_H
#define RINGMQ_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define WHEEL_LEVELS 6
#define WHEEL_SLOTS  64

struct timer {
    struct list link;
    uint64_t deadline_ms : 56;
    uint64_t place_level : 8; /* for clearing the bitmap; WHEEL_LEVELS while stopped */
    void (*fire)(struct timer *timer, void *context);
};

struct wheel {
    uint64_t now_ms;
    uint64_t timers_count;
    uint64_t occupied[WHEEL_LEVELS]; /* bit s: slot s of the level is not empty */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list spreading; /* of far slots that were entered: still to be put into nearer ones; the clock waits for them */
};

#define WHEEL_NEVER UINT64_MAX

void wheel_init(struct wheel *wheel, uint64_t now_ms);
void timer_init(struct timer *timer, void (*fire)(struct timer *timer, void *context));
static inline bool timer_running(const struct timer *timer) { return timer->place_level < WHEEL_LEVELS; }
/* (Re)starts it. A deadline in the past fires at the next wheel_expire(). */
void wheel_start(struct wheel *wheel, struct timer *timer, uint64_t deadline_ms);
void wheel_stop(struct wheel *wheel, struct timer *timer); /* allowed on a stopped timer */
/* Moves the wheel to now_ms and fires what is due, `budget` timers at most (or puts so many of a far slot into nearer ones, WHEEL_SPREAD of which
 * count as one); returns how many fired, or `budget` when that was used up. Timers left over fire in the next call. fire() may start and stop any
 * timer, its own included. */
#define WHEEL_SPREAD 8
uint32_t wheel_expire(struct wheel *wheel, uint64_t now_ms, uint32_t budget, void *context);
/* False: wheel_expire() would do nothing, as in most turns of the same millisecond. */
static inline bool wheel_due(const struct wheel *wheel, uint64_t now_ms)
{
    return wheel->now_ms != now_ms || (wheel->occupied[0] >> (now_ms & (WHEEL_SLOTS - 1)) & 1) || !list_empty(&wheel->spreading);
}
/* The earliest time at which wheel_expire() has something to do, or WHEEL_NEVER. May be earlier than the first deadline
 * (when a far slot must be split), never later. */
uint64_t wheel_next_ms(const struct wheel *wheel);

#endif
