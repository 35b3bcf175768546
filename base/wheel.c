#include "base/wheel.h"

#include "base/check.h"

#define LEVEL_BITS 6
#define SLOT_MASK  (WHEEL_SLOTS - 1)

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct wheel){.now_ms = now_ms};
    list_init(&wheel->spreading);
    for (int level = 0; level < WHEEL_LEVELS; level++)
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
}

void timer_init(struct timer *timer, void (*fire)(struct timer *timer, void *context))
{
    list_init(&timer->link);
    timer->deadline_ms = 0;
    timer->place_level = WHEEL_LEVELS;
    timer->fire = fire;
}

/* The level is that of the highest 6-bit digit in which deadline and now differ: until the wheel's clock reaches the start
 * of the slot, the digits above are equal, so a slot never mixes two rounds. */
static void wheel_place(struct wheel *wheel, struct timer *timer)
{
    uint64_t deadline = timer->deadline_ms;
    if (deadline <= wheel->now_ms) deadline = wheel->now_ms; /* slot of the current tick: due at once */
    uint64_t differing = deadline ^ wheel->now_ms;
    uint32_t level = differing == 0 ? 0 : (uint32_t)(63 - __builtin_clzll(differing)) / LEVEL_BITS;
    uint32_t slot;
    if (level >= WHEEL_LEVELS) { /* the top level goes round: the next round's slots lie behind the present one */
        uint32_t shift = LEVEL_BITS * (WHEEL_LEVELS - 1);
        uint64_t slots_ahead = (deadline >> shift) - (wheel->now_ms >> shift);
        if (slots_ahead >= WHEEL_SLOTS) slots_ahead = WHEEL_SLOTS - 1; /* beyond the horizon: looked at again from there */
        level = WHEEL_LEVELS - 1;
        slot = (uint32_t)((wheel->now_ms >> shift) + slots_ahead) & SLOT_MASK;
    } else {
        slot = (uint32_t)(deadline >> (LEVEL_BITS * level)) & SLOT_MASK;
    }
    timer->place_level = level;
    list_append(&wheel->slots[level][slot], &timer->link);
    wheel->occupied[level] |= 1ull << slot;
}

void wheel_start(struct wheel *wheel, struct timer *timer, uint64_t deadline_ms)
{
    wheel_stop(wheel, timer);
    timer->deadline_ms = deadline_ms;
    wheel->timers_count++;
    wheel_place(wheel, timer);
}

/* The bitmap is allowed to name an empty slot: clearing it is left to whoever visits the slot. */
void wheel_stop(struct wheel *wheel, struct timer *timer)
{
    if (!timer_running(timer)) return;
    list_remove(&timer->link);
    timer->place_level = WHEEL_LEVELS;
    DCHECK(wheel->timers_count > 0);
    wheel->timers_count--;
}

/* The time at which the next occupied slot of this level begins, looking from now on. */
static uint64_t level_next_ms(const struct wheel *wheel, uint32_t level)
{
    if (wheel->occupied[level] == 0) return WHEEL_NEVER;
    uint32_t shift = LEVEL_BITS * level;
    uint32_t current = (uint32_t)(wheel->now_ms >> shift) & SLOT_MASK;
    uint64_t rotated = wheel->occupied[level] >> current | (current ? wheel->occupied[level] << (64 - current) : 0);
    uint32_t distance = (uint32_t)__builtin_ctzll(rotated);
    /* The current slot of a level above 0 was emptied when the clock entered it: found there, it is a whole round away. */
    if (distance == 0 && level > 0) {
        rotated &= ~1ull;
        distance = rotated ? (uint32_t)__builtin_ctzll(rotated) : WHEEL_SLOTS;
    }
    return ((wheel->now_ms >> shift) + distance) << shift;
}

uint64_t wheel_next_ms(const struct wheel *wheel)
{
    if (wheel->timers_count == 0) return WHEEL_NEVER;
    if (!list_empty(&wheel->spreading)) return wheel->now_ms;
    uint64_t next = WHEEL_NEVER;
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t candidate = level_next_ms(wheel, level);
        if (candidate < next) next = candidate;
    }
    return next < wheel->now_ms ? wheel->now_ms : next;
}

/* Entering a slot of a higher level spreads its timers over the levels below: wheel_expire(), since there may be very many. */
static void wheel_cascade(struct wheel *wheel, uint32_t level)
{
    uint32_t slot = (uint32_t)(wheel->now_ms >> (LEVEL_BITS * level)) & SLOT_MASK;
    if (!(wheel->occupied[level] & 1ull << slot)) return;
    wheel->occupied[level] &= ~(1ull << slot);
    list_take_all(&wheel->spreading, &wheel->slots[level][slot]);
}

/* No clock moves before all of them have their places. False: some are left. */
static bool wheel_spread(struct wheel *wheel, uint64_t most)
{
    for (; most && !list_empty(&wheel->spreading); most--) {
        struct list *link = wheel->spreading.next;
        __builtin_prefetch(link->next->next); /* the next but one: they lie anywhere */
        list_remove(link);
        wheel_place(wheel, CONTAINER_OF(link, struct timer, link));
    }
    return list_empty(&wheel->spreading);
}

static void wheel_enter(struct wheel *wheel, uint64_t now_ms)
{
    uint64_t before = wheel->now_ms;
    wheel->now_ms = now_ms;
    for (uint32_t level = WHEEL_LEVELS - 1; level > 0; level--)
        if (before >> (LEVEL_BITS * level) != now_ms >> (LEVEL_BITS * level)) wheel_cascade(wheel, level);
}

uint32_t wheel_expire(struct wheel *wheel, uint64_t now_ms, uint32_t budget, void *context)
{
    uint32_t fired = 0;
    for (;;) {
        if (!list_empty(&wheel->spreading) && !wheel_spread(wheel, (uint64_t)(budget - fired) * WHEEL_SPREAD)) return budget;
        uint32_t slot = (uint32_t)wheel->now_ms & SLOT_MASK;
        struct list *due = &wheel->slots[0][slot];
        while (!list_empty(due)) {
            if (fired == budget) return fired;
            struct timer *timer = CONTAINER_OF(due->next, struct timer, link);
            wheel_stop(wheel, timer);
            fired++;
            timer->fire(timer, context);
        }
        wheel->occupied[0] &= ~(1ull << slot);
        if (wheel->now_ms >= now_ms) return fired;
        uint64_t next = wheel_next_ms(wheel);
        wheel_enter(wheel, next < now_ms ? (next > wheel->now_ms ? next : wheel->now_ms + 1) : now_ms);
    }
}
