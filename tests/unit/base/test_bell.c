/* One thread; tests/sim/bell_threads.c has several. */
#include <criterion/criterion.h>
#include <poll.h>

#include "base/bell.h"

Test(bell, rings_only_the_sleeping)
{
    struct bell one = BELL_CLOSED;
    bell_ring(&one); /* closed: nothing happens */
    cr_assert(bell_open(&one));
    struct pollfd wait = {one.fd, POLLIN, 0};
    bell_ring(&one);
    cr_assert(poll(&wait, 1, 0) == 0);
    bell_sleep(&one);
    bell_ring(&one);
    bell_ring(&one);
    cr_assert(poll(&wait, 1, 0) == 1 && !atomic_load(&one.sleeping));
    bell_awake(&one);
    cr_assert(poll(&wait, 1, 0) == 0);
    bell_close(&one);
}
