#include <criterion/criterion.h>
#include <time.h>

#include "base/regions.h"

static void look_at(uint8_t *region)
{
    cr_assert_eq((uintptr_t)region % REGION_BYTES, 0);
    for (uint32_t i = 0; i < REGION_BYTES; i += 4096) {
        cr_assert_eq(region[i], 0);
        region[i] = 1;
    }
    regions_give_back(region);
}

/* Aligned and zeroed, whoever has touched it first; and the thread ends with what it has ready given back. */
Test(regions, are_whole_and_zeroed_with_and_without_the_thread)
{
    look_at(regions_take(false));
    look_at(regions_take(true));
    regions_begin(3);
    for (int i = 0; i < 200; i++) {
        look_at(regions_take(i % 4 != 0));
        if (i % 8 == 0) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    regions_end();
    look_at(regions_take(true));
    regions_begin(1);
    regions_end();
    regions_end();
}
