#include <criterion/criterion.h>

#include "base/random.h"
#include "base/wheel.h"

#define TIMERS 300

struct twin { /* the naive model: a deadline per timer */
    struct timer timer;
    uint64_t deadline_ms; /* UINT64_MAX: stopped */
    uint64_t fired_ms;
    uint32_t fired;
};

static struct twin twins[TIMERS];
static struct wheel wheel;

static void fire(struct timer *timer, void *context)
{
    struct twin *twin = CONTAINER_OF(timer, struct twin, timer);
    cr_assert(!timer_running(timer));
    cr_assert_neq(twin->deadline_ms, UINT64_MAX, "a stopped timer fired");
    cr_assert_geq(wheel.now_ms, twin->deadline_ms, "fired early");
    twin->deadline_ms = UINT64_MAX;
    twin->fired_ms = wheel.now_ms;
    twin->fired++;
}

static uint64_t earliest(void)
{
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (twins[i].deadline_ms < first) first = twins[i].deadline_ms;
    return first;
}

/* Random starts, stops and jumps in time, from milliseconds to years, against the model. */
Test(wheel, agrees_with_a_naive_model)
{
    struct random_source random = {42};
    uint64_t now = 123456789;
    wheel_init(&wheel, now);
    for (int i = 0; i < TIMERS; i++) {
        timer_init(&twins[i].timer, fire);
        twins[i].deadline_ms = UINT64_MAX;
    }
    for (int step = 0; step < 200000; step++) {
        struct twin *twin = &twins[random_below(&random, TIMERS)];
        uint64_t what = random_below(&random, 10);
        if (what < 6) {
            uint64_t in = random_below(&random, 1ull << random_below(&random, 38));
            twin->deadline_ms = now + in;
            wheel_start(&wheel, &twin->timer, now + in);
        } else if (what < 7) {
            twin->deadline_ms = UINT64_MAX;
            wheel_stop(&wheel, &twin->timer);
        } else {
            uint64_t next = wheel_next_ms(&wheel), first = earliest();
            cr_assert(next <= first, "next %lu is later than the first deadline %lu", next, first);
            uint64_t jump = random_below(&random, 1ull << random_below(&random, 30));
            now = what == 9 && next != WHEEL_NEVER && next > now ? next : now + jump;
            wheel_expire(&wheel, now, UINT32_MAX, NULL);
            cr_assert_eq(wheel.now_ms, now);
            cr_assert(earliest() > now, "a due timer did not fire");
        }
    }
}

Test(wheel, a_budget_leaves_the_rest_for_the_next_call)
{
    wheel_init(&wheel, 0);
    for (int i = 0; i < TIMERS; i++) {
        timer_init(&twins[i].timer, fire);
        twins[i].deadline_ms = 10;
        wheel_start(&wheel, &twins[i].timer, 10);
    }
    cr_assert_eq(wheel_expire(&wheel, 1000, 100, NULL), 100);
    cr_assert_eq(wheel_next_ms(&wheel), wheel.now_ms, "what is left is due at once");
    cr_assert_eq(wheel_expire(&wheel, 1000, 1000, NULL), TIMERS - 100);
    cr_assert_eq(wheel.timers_count, 0);
    cr_assert_eq(wheel_next_ms(&wheel), WHEEL_NEVER);
}

static void fire_again(struct timer *timer, void *context)
{
    if (++*(int *)context < 5) wheel_start(&wheel, timer, wheel.now_ms + 7);
}

Test(wheel, a_timer_may_start_itself_again)
{
    struct timer timer;
    int fired = 0;
    wheel_init(&wheel, 50);
    timer_init(&timer, fire_again);
    wheel_start(&wheel, &timer, 51);
    wheel_expire(&wheel, 1000, UINT32_MAX, &fired);
    cr_assert_eq(fired, 5);
}
