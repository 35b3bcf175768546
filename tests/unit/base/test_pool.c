#include <criterion/criterion.h>
#include <string.h>

#include "base/pool.h"
#include "base/random.h"

Test(pool, blocks_do_not_overlap_and_all_come_home)
{
    static struct {
        uint8_t *data;
        size_t bytes;
        uint8_t mark;
    } blocks[500];
    struct random_source random = {3};
    struct pool pool;
    pool_init(&pool);
    for (int step = 0; step < 100000; step++) {
        uint32_t i = (uint32_t)random_below(&random, 500);
        if (blocks[i].data) {
            for (size_t b = 0; b < blocks[i].bytes; b += 17)
                cr_assert_eq(blocks[i].data[b], blocks[i].mark, "somebody else wrote here");
            pool_release(&pool, blocks[i].data, blocks[i].bytes);
            blocks[i].data = NULL;
        } else {
            blocks[i].bytes = 1 + random_below(&random, 1ull << random_below(&random, 18));
            blocks[i].data = pool_acquire(&pool, blocks[i].bytes);
            blocks[i].mark = (uint8_t)step;
            cr_assert_eq((uintptr_t)blocks[i].data % (blocks[i].bytes > 128 || blocks[i].bytes % 16 == 0 ? 16 : 8), 0);
            memset(blocks[i].data, blocks[i].mark, blocks[i].bytes);
        }
    }
    for (int i = 0; i < 500; i++)
        if (blocks[i].data) pool_release(&pool, blocks[i].data, blocks[i].bytes);
    cr_assert_eq(pool.blocks_used, 0);
    cr_assert_eq(pool.bytes_used, 0);
    pool_free(&pool);
}

Test(pool, a_size_gets_the_smallest_class_that_holds_it)
{
    for (size_t bytes = 1; bytes <= 70000; bytes++) {
        size_t given = pool_block_bytes(bytes);
        cr_assert(given >= bytes && (given <= 64 || given <= bytes * 2), "%zu got %zu", bytes, given);
    }
}
