#include "tests/sim/fake_shelf.h"

#include <errno.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"

struct block {
    uint64_t session, number;
    uint8_t *data;
    size_t bytes;
};

/* Sorted by session and number. */
struct blocks {
    struct block *rows;
    uint32_t count, capacity;
};

struct fake_shelf {
    struct random_source random;
    uint32_t fails_of_256;
    bool frozen;
    uint64_t reads;
    struct blocks now, durable;
};

/* The first at or behind (session, number). */
static uint32_t place_of(const struct blocks *blocks, uint64_t session, uint64_t number)
{
    uint32_t low = 0, high = blocks->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct block *block = &blocks->rows[middle];
        if (block->session < session || (block->session == session && block->number < number))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_at(struct blocks *blocks, uint32_t place)
{
    memory_release(blocks->rows[place].data);
    memmove(blocks->rows + place, blocks->rows + place + 1, (--blocks->count - place) * sizeof *blocks->rows);
}

static void insert(struct blocks *blocks, uint64_t session, uint64_t number, struct span data)
{
    uint32_t place = place_of(blocks, session, number);
    if (place < blocks->count && blocks->rows[place].session == session && blocks->rows[place].number == number) remove_at(blocks, place);
    if (blocks->count == blocks->capacity) {
        blocks->capacity = blocks->capacity ? blocks->capacity * 2 : 16;
        blocks->rows = memory_resize(blocks->rows, blocks->capacity * sizeof *blocks->rows);
    }
    memmove(blocks->rows + place + 1, blocks->rows + place, (blocks->count++ - place) * sizeof *blocks->rows);
    uint8_t *copy = memory_acquire(data.bytes + 1);
    memcpy(copy, data.data, data.bytes);
    blocks->rows[place] = (struct block){session, number, copy, data.bytes};
}

static void clear(struct blocks *blocks)
{
    while (blocks->count)
        remove_at(blocks, blocks->count - 1);
}

static void copy(struct blocks *to, const struct blocks *from)
{
    clear(to);
    for (uint32_t i = 0; i < from->count; i++)
        insert(to, from->rows[i].session, from->rows[i].number, span_of(from->rows[i].data, from->rows[i].bytes));
}

static bool fails(struct fake_shelf *shelf) { return random_below(&shelf->random, 256) < shelf->fails_of_256; }

static int shelf_put(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct fake_shelf *shelf = context;
    if (shelf->frozen) return 0;
    if (fails(shelf)) return -EIO;
    insert(&shelf->now, session, number, block);
    return 0;
}

static int shelf_sync(void *context)
{
    struct fake_shelf *shelf = context;
    if (shelf->frozen) return 0;
    if (fails(shelf)) return -ENOSPC;
    copy(&shelf->durable, &shelf->now);
    return 0;
}

static int shelf_read(void *context, uint64_t session, uint64_t number, shelf_block *each, void *argument)
{
    struct fake_shelf *shelf = context;
    const struct blocks *blocks = &shelf->now;
    shelf->reads++;
    if (!shelf->frozen && fails(shelf)) return -EIO;
    uint32_t place = place_of(blocks, session, number);
    bool exact = place < blocks->count && blocks->rows[place].session == session && blocks->rows[place].number == number;
    if (!exact && place > 0 && blocks->rows[place - 1].session == session) place--;
    for (; place < blocks->count && blocks->rows[place].session == session; place++)
        if (!each(argument, session, blocks->rows[place].number, span_of(blocks->rows[place].data, blocks->rows[place].bytes))) break;
    return 0;
}

static int shelf_drop(void *context, uint64_t session, uint64_t from, uint64_t until)
{
    struct fake_shelf *shelf = context;
    if (shelf->frozen) return 0;
    if (fails(shelf)) return -EIO;
    for (uint32_t place = place_of(&shelf->now, session, from);
         place < shelf->now.count && shelf->now.rows[place].session == session && shelf->now.rows[place].number < until;)
        remove_at(&shelf->now, place);
    return 0;
}

static int shelf_get(void *context, uint64_t space, uint64_t number, shelf_block *each, void *argument)
{
    struct fake_shelf *shelf = context;
    if (!shelf->frozen && fails(shelf)) return -EIO;
    uint32_t place = place_of(&shelf->now, space, number);
    if (place == shelf->now.count) return 0;
    const struct block *row = &shelf->now.rows[place];
    if (row->session == space && row->number == number) each(argument, space, number, span_of(row->data, row->bytes));
    return 0;
}

static int shelf_remove(void *context, uint64_t space, uint64_t number)
{
    struct fake_shelf *shelf = context;
    if (shelf->frozen) return 0;
    if (fails(shelf)) return -EIO;
    uint32_t place = place_of(&shelf->now, space, number);
    if (place < shelf->now.count && shelf->now.rows[place].session == space && shelf->now.rows[place].number == number) remove_at(&shelf->now, place);
    return 0;
}

static bool shelf_next(void *context, uint64_t session, uint64_t *ret_session)
{
    const struct fake_shelf *shelf = context;
    uint32_t place = place_of(&shelf->now, session, 0);
    if (place == shelf->now.count) return false;
    *ret_session = shelf->now.rows[place].session;
    return true;
}

static int shelf_backup(void *context, const char *directory) { return -ENOTSUP; }
static void shelf_size(void *context, uint64_t *ret_disk_bytes, uint64_t *ret_memory_bytes) { *ret_disk_bytes = *ret_memory_bytes = 0; }
static uint64_t shelf_needs(void *context) { return 0; }
static int shelf_compact(void *context) { return 0; }
static int shelf_shrink(void *context, uint64_t session, uint64_t until) { return fails(context) ? -EIO : 0; }
static const char *shelf_fault(void *context) { return "by chance"; }
static void shelf_close(void *context) {}

struct fake_shelf *fake_shelf_create(uint64_t seed)
{
    struct fake_shelf *shelf = memory_acquire_zeroed(sizeof *shelf);
    shelf->random.state = seed;
    return shelf;
}

void fake_shelf_set_fails(struct fake_shelf *shelf, uint32_t of_256) { shelf->fails_of_256 = of_256; }

void fake_shelf_destroy(struct fake_shelf *shelf)
{
    clear(&shelf->now);
    clear(&shelf->durable);
    memory_release(shelf->now.rows);
    memory_release(shelf->durable.rows);
    memory_release(shelf);
}

struct shelf fake_shelf_verbs(struct fake_shelf *shelf)
{
    return (struct shelf){.context = shelf, .put = shelf_put, .sync = shelf_sync, .read = shelf_read, .drop = shelf_drop, .get = shelf_get, .remove = shelf_remove, .next = shelf_next,
                          .backup = shelf_backup, .size = shelf_size, .needs = shelf_needs, .compact = shelf_compact, .shrink = shelf_shrink,
                          .fault = shelf_fault, .close = shelf_close};
}

void fake_shelf_freeze(struct fake_shelf *shelf) { shelf->frozen = true; }

void fake_shelf_restart(struct fake_shelf *shelf)
{
    copy(&shelf->now, &shelf->durable);
    shelf->frozen = false;
}

uint32_t fake_shelf_blocks(const struct fake_shelf *shelf) { return shelf->now.count; }
uint32_t fake_shelf_rows(const struct fake_shelf *shelf) { return shelf->now.count - place_of(&shelf->now, SHELF_ROWS, 0); }
uint64_t fake_shelf_reads(const struct fake_shelf *shelf) { return shelf->reads; }

uint64_t fake_shelf_lose(struct fake_shelf *shelf, uint64_t session, uint64_t number)
{
    uint32_t place = place_of(&shelf->now, session, number);
    CHECK(place + 1 < shelf->now.count && shelf->now.rows[place + 1].session == session);
    remove_at(&shelf->now, place);
    return shelf->now.rows[place].number;
}
