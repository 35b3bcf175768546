/* When the store is full: how much room is kept, and when it goes on (store/reserve.c). */
#include <criterion/criterion.h>
#include <errno.h>

#include "base/log.h"
#include "store/reserve.h"

#define MIB (1024ull * 1024)

static uint64_t room_bytes, shelf_bytes;
static int room_error;

static int room(void *context, uint64_t *ret_free_bytes)
{
    *ret_free_bytes = room_bytes;
    return room_error;
}

static uint64_t needs(void *context) { return shelf_bytes; }

static struct store_files files = {.room = room};
static const struct shelf shelf = {.needs = needs};

static struct reserve *reserve_of(uint64_t bytes)
{
    log_configure(LOG_OFF, LOG_TEXT);
    struct reserve_config config = {.files = &files, .path = "/store", .bytes = bytes, .shards_count = 2, .segment_bytes = 64 * MIB};
    room_error = 0;
    return reserve_create(&config);
}

static struct reserve_report reported(const struct reserve *reserve)
{
    struct reserve_report report;
    reserve_report(reserve, &report);
    return report;
}

Test(reserve, is_full_below_it_and_goes_on_with_an_eighth_more)
{
    struct reserve *reserve = reserve_of(80 * MIB);
    room_bytes = 80 * MIB;
    cr_assert(!reserve_look(reserve) && !reserve_full(reserve));
    room_bytes--;
    cr_assert(!reserve_full(reserve), "nobody has looked");
    cr_assert(reserve_look(reserve) && reserve_full(reserve));
    room_bytes = 90 * MIB - 1;
    cr_assert(reserve_look(reserve), "it does not go to and fro");
    room_bytes++;
    cr_assert(!reserve_look(reserve) && !reserve_full(reserve));
    room_bytes = 80 * MIB;
    cr_assert(!reserve_look(reserve));
    cr_assert(reported(reserve).free_bytes == 80 * MIB && reported(reserve).reserve_bytes == 80 * MIB && !reported(reserve).full);
    reserve_destroy(reserve);
}

Test(reserve, auto_is_what_the_store_may_have_to_write)
{
    struct reserve *reserve = reserve_of(RESERVE_AUTO);
    room_bytes = 10000 * MIB;
    reserve_look(reserve);
    cr_assert_eq(reported(reserve).reserve_bytes, 2 * 64 * MIB, "a new segment for each shard");
    shelf_bytes = 300 * MIB;
    reserve_use_shelf(reserve, &shelf);
    reserve_note_log(reserve, 0, 40 * MIB);
    reserve_note_log(reserve, 1, 400 * MIB);
    reserve_look(reserve);
    cr_assert_eq(reported(reserve).reserve_bytes, (128 + 300 + 50 + 500) * MIB, "and what a checkpoint and the shelf may write");
    reserve_note_spares(reserve, 3);
    reserve_look(reserve);
    cr_assert_eq(reported(reserve).reserve_bytes, (300 + 128 + 550 - 192) * MIB, "less what is there to be used again");
    room_bytes = 700 * MIB;
    cr_assert(reserve_look(reserve));
    reserve_use_shelf(reserve, NULL);
    reserve_note_log(reserve, 0, 0);
    reserve_note_log(reserve, 1, 0);
    cr_assert(!reserve_look(reserve), "what needed the room has gone");
    cr_assert_eq(reported(reserve).reserve_bytes, 0);
    reserve_destroy(reserve);
}

Test(reserve, nobody_knows_how_much_is_free)
{
    struct reserve *reserve = reserve_of(80 * MIB), *none = reserve_of(0);
    room_bytes = 1;
    cr_assert(!reserve_look(none), "no reserve, never full");
    cr_assert(reserve_look(reserve));
    room_bytes = 1000 * MIB;
    room_error = -EIO;
    cr_assert(reserve_look(reserve), "as before");
    room_error = 0;
    cr_assert(!reserve_look(reserve));
    cr_assert(!reserve_look(NULL) && !reserve_full(NULL) && !reported(NULL).full);
    reserve_destroy(reserve);
    reserve_destroy(none);
}
