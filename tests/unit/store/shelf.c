/* The shelf on RocksDB (store/shelf_rocksdb.c), and its thread (store/spill.c). */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/spill.h"

static char directory[64], path[96];
static struct shelf shelf;

/* In place of the C library's: a disk that is full as far as anybody who asks can tell. */
static bool disk_is_full;

int statvfs(const char *of, struct statvfs *ret_room)
{
    struct statfs room;
    if (statfs(of, &room) != 0) return -1;
    *ret_room = (struct statvfs){.f_bsize = (unsigned long)room.f_bsize, .f_frsize = (unsigned long)room.f_frsize, .f_blocks = room.f_blocks,
                                 .f_bavail = disk_is_full ? 0 : room.f_bavail};
    return 0;
}

static void open_shelf(void)
{
    char error[600];
    cr_assert(shelf_open(path, false, 16 << 20, &shelf, error, sizeof error), "%s", error);
}

static void make(void)
{
    log_configure(LOG_OFF, LOG_TEXT);
    snprintf(directory, sizeof directory, "/tmp/ringmq-unit-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/shelf", directory);
    open_shelf();
}

static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    cr_assert(system(command) == 0);
}

/* What a read has found: numbers, and whether each block's text is its own. */
struct found {
    uint64_t session, numbers[64];
    uint32_t count, most;
};

static size_t block_text(uint64_t session, uint64_t number, char text[64])
{
    return (size_t)snprintf(text, 64, "block %llu of %llu", (unsigned long long)number, (unsigned long long)session);
}

static bool take(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct found *found = context;
    char text[64];
    size_t bytes = block_text(session, number, text);
    cr_assert(block.bytes == bytes && memcmp(block.data, text, bytes) == 0);
    cr_assert_eq(session, found->session);
    found->numbers[found->count++] = number;
    return found->count < found->most;
}

static void put(uint64_t session, uint64_t number)
{
    char text[64];
    cr_assert_eq(shelf.put(shelf.context, session, number, span_of(text, block_text(session, number, text))), 0);
}

static struct found read_from(uint64_t session, uint64_t number, uint32_t most)
{
    struct found found = {.session = session, .most = most};
    cr_assert_eq(shelf.read(shelf.context, session, number, take, &found), 0);
    return found;
}

TestSuite(shelf, .init = make, .fini = clean);

Test(shelf, gives_a_session_s_blocks_in_order_from_the_one_that_has_the_number)
{
    for (uint64_t number = 0; number < 1000; number += 100) /* 256 and more: order by number, not by byte */
        put(1, number), put(256, number + 7), put(257, number);
    struct found found = read_from(256, 207, 3);
    cr_assert(found.count == 3 && found.numbers[0] == 207 && found.numbers[1] == 307 && found.numbers[2] == 407);
    found = read_from(256, 299, 2);
    cr_assert(found.count == 2 && found.numbers[0] == 207, "299 is in the block that begins at 207");
    found = read_from(256, 0, 1);
    cr_assert(found.count == 1 && found.numbers[0] == 7, "what is before the first is not the session before");
    found = read_from(256, 5000, 64);
    cr_assert(found.count == 1 && found.numbers[0] == 907, "nothing of the session behind");
    cr_assert_eq(read_from(2, 0, 64).count, 0);
    shelf.close(shelf.context);
}

Test(shelf, drops_what_begins_in_a_range_and_names_the_sessions)
{
    uint64_t session = 0;
    for (uint64_t number = 0; number < 500; number += 100)
        put(3, number), put(9, number);
    cr_assert_eq(shelf.drop(shelf.context, 3, 100, 300), 0);
    struct found found = read_from(3, 0, 64);
    cr_assert(found.count == 3 && found.numbers[0] == 0 && found.numbers[1] == 300 && found.numbers[2] == 400);
    cr_assert_eq(read_from(9, 0, 64).count, 5);
    cr_assert(shelf.next(shelf.context, 0, &session) && session == 3);
    cr_assert(shelf.next(shelf.context, 4, &session) && session == 9);
    cr_assert(!shelf.next(shelf.context, 10, &session));
    cr_assert_eq(shelf.drop(shelf.context, 3, 0, UINT64_MAX), 0);
    cr_assert(shelf.next(shelf.context, 0, &session) && session == 9);
    shelf.close(shelf.context);
}

/* A copy begins with a flush, and RocksDB ends the process when that finds no room. */
Test(shelf, a_full_disk_refuses_a_copy)
{
    char copy[128];
    put(5, 10);
    snprintf(copy, sizeof copy, "%s/copy", directory);
    disk_is_full = true;
    cr_assert_eq(shelf.sync(shelf.context), -ENOSPC);
    cr_assert_eq(shelf.backup(shelf.context, copy), -ENOSPC);
    disk_is_full = false;
    cr_assert_eq(shelf.backup(shelf.context, copy), 0);
    shelf.close(shelf.context);
}

Test(shelf, has_after_a_start_what_was_synced_and_a_copy_has_it_too)
{
    char copy[128], error[600];
    uint64_t disk_bytes, memory_bytes;
    put(5, 10);
    cr_assert_eq(shelf.sync(shelf.context), 0);
    shelf.size(shelf.context, &disk_bytes, &memory_bytes);
    cr_assert(disk_bytes > 0 && memory_bytes > 0);
    snprintf(copy, sizeof copy, "%s/copy", directory);
    cr_assert_eq(shelf.backup(shelf.context, copy), 0);
    cr_assert_neq(shelf.backup(shelf.context, copy), 0, "it is there already");
    cr_assert_neq(strlen(shelf.fault(shelf.context)), 0);
    shelf.close(shelf.context);
    open_shelf();
    cr_assert_eq(read_from(5, 10, 64).count, 1);
    cr_assert_eq(shelf.compact(shelf.context), 0);
    shelf.close(shelf.context);
    cr_assert(shelf_open(copy, true, 16 << 20, &shelf, error, sizeof error), "%s", error);
    cr_assert_eq(read_from(5, 10, 64).count, 1);
    shelf.close(shelf.context);
    snprintf(copy, sizeof copy, "%s/nothing", directory);
    cr_assert(!shelf_open(copy, true, 16 << 20, &shelf, error, sizeof error) && strstr(error, "cannot open"));
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* Between the service and the real shelf: refuses when told to. */
static struct shelf below;
static _Atomic bool refuses;
static _Atomic uint32_t woken, syncs;

static int gate_put(void *context, uint64_t session, uint64_t number, struct span block)
{
    return refuses ? -ENOSPC : below.put(context, session, number, block);
}

static int gate_sync(void *context)
{
    syncs++;
    return refuses ? -ENOSPC : below.sync(context);
}

static void note_wake(void *context, uint32_t shard) { woken++; }

static struct spill *spill_make(uint64_t sync_bytes)
{
    below = shelf;
    refuses = false;
    woken = syncs = 0;
    struct spill_config config = {.shelf = shelf, .shards_count = 2, .sync_bytes = sync_bytes, .wake = note_wake};
    config.shelf.put = gate_put;
    config.shelf.sync = gate_sync;
    return spill_create(&config);
}

static void send_write(struct spill *spill, uint32_t shard, uint64_t session, uint64_t number)
{
    char text[64];
    size_t bytes = block_text(session, number, text);
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = SPILL_WRITE, .session = session, .from = number, .data = memory_acquire(bytes), .bytes = bytes};
    memcpy(request->data, text, bytes);
    spill_send(spill, shard, request);
}

static void send(struct spill *spill, uint32_t shard, enum spill_kind kind, uint64_t session, uint64_t from, uint64_t until)
{
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = kind, .session = session, .from = from, .until = until, .owner = &woken};
    spill_send(spill, shard, request);
}

/* The next answer's numbers, each with its own text. */
static struct found answer_of(struct spill *spill, uint32_t shard, uint64_t session)
{
    struct found found = {.session = session, .most = 64};
    struct spill_request *request = spill_take(spill, shard);
    cr_assert(request && request->kind == SPILL_READ && request->error == 0 && request->owner == &woken);
    for (size_t at = 0; at < request->bytes;) {
        uint64_t number;
        uint32_t length;
        memcpy(&number, request->data + at, 8);
        memcpy(&length, request->data + at + 8, 4);
        take(&found, session, number, span_of(request->data + at + 12, length));
        at += 12 + length;
    }
    spill_request_release(request);
    return found;
}

Test(shelf, requests_of_a_shard_are_done_in_order_and_synced_by_age_size_or_wish)
{
    struct spill *spill = spill_make(1000);
    cr_assert_eq(spill_step(spill, 0), UINT64_MAX, "nothing to do");
    send_write(spill, 0, 1, 0);
    send_write(spill, 0, 1, 100);
    cr_assert_gt(spill_backlog_bytes(spill, 0), 0);
    send(spill, 0, SPILL_READ, 1, 50, 200);
    cr_assert_eq(spill_step(spill, 10), 10 + SPILL_AGE_MS, "a sync is due then");
    struct found found = answer_of(spill, 0, 1);
    cr_assert(found.count == 2 && woken == 1);
    cr_assert(spill_take(spill, 0) == NULL && spill_take(spill, 1) == NULL);
    cr_assert(spill_backlog_bytes(spill, 0) == 0 && spill_synced(spill, 0) == 0 && syncs == 0);
    spill_step(spill, 10 + SPILL_AGE_MS);
    cr_assert(spill_synced(spill, 0) == 2 && spill_synced(spill, 1) == 0 && syncs == 1);
    send_write(spill, 1, 2, 0);
    send(spill, 1, SPILL_SYNC, 0, 0, 0);
    spill_step(spill, 11 + SPILL_AGE_MS);
    cr_assert(spill_synced(spill, 1) == 1 && syncs == 2, "a checkpoint wants it now");
    for (uint64_t number = 200; number < 10000; number += 100)
        send_write(spill, 0, 1, number);
    spill_step(spill, 12 + SPILL_AGE_MS);
    cr_assert(syncs == 3 && spill_synced(spill, 0) == 100, "there were enough");
    spill_destroy(spill);
}

Test(shelf, a_drop_leaves_the_block_that_is_still_needed_and_waits_for_a_backup)
{
    struct spill *spill = spill_make(1 << 20);
    for (uint64_t number = 0; number < 500; number += 100)
        send_write(spill, 0, 1, number);
    send(spill, 0, SPILL_DROP, 1, 0, 250); /* 250 is in the block from 200 on */
    send(spill, 0, SPILL_READ, 1, 0, 1000);
    spill_step(spill, 0);
    struct found found = answer_of(spill, 0, 1);
    cr_assert(found.count == 3 && found.numbers[0] == 200);
    spill_hold(spill, true);
    send(spill, 0, SPILL_DROP, 1, 0, UINT64_MAX);
    send(spill, 0, SPILL_READ, 1, 200, 1000);
    spill_step(spill, 1);
    cr_assert_eq(answer_of(spill, 0, 1).count, 3, "a backup copies them");
    spill_hold(spill, false);
    send(spill, 0, SPILL_READ, 1, 200, 1000);
    spill_step(spill, 2);
    cr_assert_eq(answer_of(spill, 0, 1).count, 0);
    spill_destroy(spill);
}

Test(shelf, a_shelf_that_refuses_keeps_the_writes_and_reads_are_served_from_them)
{
    struct spill *spill = spill_make(1 << 20);
    send_write(spill, 0, 1, 0);
    spill_step(spill, 0);
    refuses = true;
    send_write(spill, 0, 1, 100);
    send_write(spill, 0, 1, 200);
    send(spill, 0, SPILL_READ, 1, 0, 1000);
    spill_step(spill, 10);
    struct found found = answer_of(spill, 0, 1);
    cr_assert(found.count == 3 && found.numbers[2] == 200, "one from the shelf, two from what waits for it");
    cr_assert(spill_trouble(spill) == ENOSPC && spill_backlog_bytes(spill, 0) > 0 && spill_synced(spill, 0) == 0);
    send(spill, 0, SPILL_READ, 1, 150, 1000);
    spill_step(spill, 11);
    found = answer_of(spill, 0, 1);
    cr_assert(found.count >= 2 && found.numbers[found.count - 1] == 200, "from the block that has it");
    refuses = false;
    spill_step(spill, 10 + SPILL_AGE_MS);
    spill_step(spill, 20 + 2 * SPILL_AGE_MS);
    cr_assert(spill_trouble(spill) == 0 && spill_backlog_bytes(spill, 0) == 0 && spill_synced(spill, 0) == 3);
    spill_destroy(spill);
}

Test(shelf, what_is_dropped_does_not_wait_behind_writes_that_are_refused)
{
    struct spill *spill = spill_make(1 << 20);
    for (uint64_t number = 0; number < 500; number += 100)
        send_write(spill, 0, 1, number);
    spill_step(spill, 0);
    refuses = true;
    send_write(spill, 0, 2, 0);
    send_write(spill, 0, 1, 500);
    send(spill, 0, SPILL_DROP, 1, 0, 300);
    send(spill, 0, SPILL_DROP, 2, 0, UINT64_MAX); /* that session ends */
    spill_step(spill, 10);
    cr_assert(read_from(1, 0, 64).count == 2, "300 and 400 are left");
    cr_assert(spill_backlog_bytes(spill, 0) > 0);
    refuses = false;
    send(spill, 0, SPILL_SYNC, 0, 0, 0);
    spill_step(spill, 5000);
    cr_assert(spill_synced(spill, 0) == 7 && spill_backlog_bytes(spill, 0) == 0);
    cr_assert(read_from(1, 0, 64).count == 3 && read_from(2, 0, 64).count == 0, "nothing was written for the one that had ended");
    spill_destroy(spill);
}

/* The same with a reserve: the shelf gives the room of what was dropped back, and does not lose the block at the end of what goes. */
static uint64_t room_bytes;

static int room(void *context, uint64_t *ret_free_bytes)
{
    *ret_free_bytes = room_bytes;
    return 0;
}

static uint64_t disk_bytes(void)
{
    uint64_t disk, memory;
    shelf.size(shelf.context, &disk, &memory);
    return disk;
}

#define BLOCKS 300u

static void put_large(uint64_t session, uint64_t number)
{
    static uint8_t block[64 * 1024];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)(i * i * 31 + (i >> 3) * number + (i >> 11) * session); /* hardly to be compressed */
    cr_assert_eq(shelf.put(shelf.context, session, number, span_of(block, sizeof block)), 0);
}

static bool number_take(void *context, uint64_t session, uint64_t number, struct span block)
{
    *(uint64_t *)context = number;
    return false;
}

Test(shelf, gives_room_back_when_the_store_is_full)
{
    struct store_files files = {.room = room};
    struct reserve_config kept = {.files = &files, .path = "", .bytes = 1 << 20, .shards_count = 1, .segment_bytes = 1 << 20};
    struct reserve *reserve = reserve_create(&kept);
    for (uint64_t number = 0; number < BLOCKS; number++)
        put_large(1, number);
    cr_assert_eq(shelf.sync(shelf.context), 0);
    cr_assert_eq(shelf.compact(shelf.context), 0);
    uint64_t before = disk_bytes(), found = 0;
    cr_assert_gt(shelf.needs(shelf.context), before, "what compactions may write is counted");
    struct spill_config config = {.shelf = shelf, .shards_count = 1, .sync_bytes = 1 << 20, .reserve = reserve};
    struct spill *spill = spill_create(&config);
    room_bytes = 0;
    cr_assert(reserve_look(reserve));
    send(spill, 0, SPILL_DROP, 1, 0, BLOCKS - 1);
    spill_step(spill, 0);
    for (int i = 0; i < 3000 && disk_bytes() > before / 10; i++)
        poll(NULL, 0, 10);
    cr_assert_leq(disk_bytes(), before / 10, "%llu of %llu bytes are left", (unsigned long long)disk_bytes(), (unsigned long long)before);
    cr_assert_eq(shelf.read(shelf.context, 1, 0, number_take, &found), 0);
    cr_assert_eq(found, BLOCKS - 1, "the last one is needed");
    spill_destroy(spill);
    reserve_destroy(reserve);
}

#define ROUNDS 200

/* With its own thread: what the thread sanitizer looks at. */
Test(shelf, works_on_a_thread_of_its_own)
{
    struct spill *spill = spill_make(4096);
    spill_start(spill);
    for (uint64_t round = 0; round < ROUNDS; round++)
        for (uint32_t shard = 0; shard < 2; shard++) {
            send_write(spill, shard, shard + 1, round * 100);
            if (round % 10 == 9) send(spill, shard, SPILL_READ, shard + 1, (round - 9) * 100, round * 100 + 1);
            if (round % 50 == 49) send(spill, shard, SPILL_DROP, shard + 1, 0, (round - 9) * 100);
        }
    char copy[128];
    snprintf(copy, sizeof copy, "%s/copy", directory);
    cr_assert_eq(spill_backup(spill, copy), 0);
    for (uint32_t shard = 0; shard < 2; shard++)
        for (uint32_t answers = 0; answers < ROUNDS / 10;) {
            struct spill_request *request = spill_take(spill, shard);
            if (!request) {
                poll(NULL, 0, 1);
                continue;
            }
            cr_assert_eq(request->error, 0);
            spill_request_release(request);
            answers++;
        }
    send(spill, 0, SPILL_SYNC, 0, 0, 0);
    while (spill_synced(spill, 0) < ROUNDS)
        poll(NULL, 0, 1);
    cr_assert_geq(woken, 2);
    spill_destroy(spill);
}
