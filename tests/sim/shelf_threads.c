/* shelf_threads - the shelf's thread between two shards (store/spill.c) on a shelf in memory that fails now and then: for the thread sanitizer.
 *
 *     build/tsan/shelf_threads [ROUNDS] */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/records.h"
#include "store/spill.h"
#include "tests/sim/fake_shelf.h"

#define SHARDS 2
#define BLOCK  10 /* numbers of a block */

static struct spill *spill;
static _Atomic uint32_t woken[SHARDS];
static uint64_t rounds = 300;

static void wake(void *context, uint32_t shard) { woken[shard]++; }

static void send_request(uint32_t shard, struct spill_request what)
{
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = what;
    spill_send(spill, shard, request);
}

static void write_block(uint32_t shard, uint64_t number)
{
    uint8_t *data = memory_acquire(16);
    memcpy(data, (const uint64_t[]){shard, number}, 16);
    send_request(shard, (struct spill_request){.kind = SPILL_WRITE, .session = shard + 1, .from = number, .data = data, .bytes = 16});
}

/* The blocks of an answer are in order, without a gap from the one that was asked for on (one before it may lead), and each is its own. */
static void check_answer(uint32_t shard, const struct spill_request *request)
{
    uint64_t expected = request->from / BLOCK * BLOCK;
    for (size_t at = 0; at < request->bytes;) {
        uint64_t number, is[2];
        uint32_t length;
        memcpy(&number, request->data + at, 8);
        memcpy(&length, request->data + at + 8, 4);
        memcpy(is, request->data + at + 12, 16);
        CHECK(length == 16 && is[0] == shard && is[1] == number);
        at += 12 + length;
        if (number < expected && expected <= request->from) continue;
        CHECK(number == expected);
        expected += BLOCK;
    }
    CHECK(expected >= request->until);
}

/* ---- rows: one every ROW_EVERY rounds, by its ticket ---- */

#define ROW_EVERY   5
#define ROWS_KEPT   20
#define SPACE(shard) shelf_space(1, shard)

struct rows {
    uint64_t tickets[4096]; /* of row n + 1 */
    uint32_t count, removed;
};

static void row_write(uint32_t shard, struct rows *rows, uint64_t ticket)
{
    uint8_t *data = memory_acquire(16);
    rows->tickets[rows->count++] = ticket;
    memcpy(data, (const uint64_t[]){shard, rows->count}, 16);
    send_request(shard, (struct spill_request){.kind = SPILL_WRITE, .session = SPACE(shard), .from = rows->count, .data = data, .bytes = 16});
}

static void rows_send(uint32_t shard, enum spill_kind kind, const struct stored_row *rows, uint32_t count)
{
    uint8_t *data = memory_acquire(count * sizeof *rows);
    memcpy(data, rows, count * sizeof *rows);
    send_request(shard, (struct spill_request){.kind = kind, .data = data, .bytes = count * sizeof *rows, .from = rows[0].number});
}

/* The newest one that is there for good, and one that never was. False: there is none yet. */
static bool row_fetch(uint32_t shard, const struct rows *rows)
{
    uint32_t n = rows->count;
    while (n > rows->removed && rows->tickets[n - 1] > spill_synced(spill, shard))
        n--;
    if (n == rows->removed) return false;
    rows_send(shard, SPILL_FETCH, (const struct stored_row[]){{SPACE(shard), n}, {SPACE(shard), UINT64_MAX}}, 2);
    return true;
}

static void check_rows(uint32_t shard, const struct spill_request *request)
{
    uint32_t length, none;
    uint64_t is[2];
    memcpy(&length, request->data, 4);
    CHECK(length == 16 && request->bytes == 24);
    memcpy(is, request->data + 4, 16);
    memcpy(&none, request->data + 20, 4);
    CHECK(is[0] == shard && is[1] == request->from && none == SPILL_NO_ROW);
}

static void *shard_run(void *context)
{
    uint32_t shard = (uint32_t)(uintptr_t)context, asked = 0, failed = 0;
    uint64_t tickets = 0;
    struct rows *rows = memory_acquire_zeroed(sizeof *rows);
    CHECK(rounds / ROW_EVERY < sizeof rows->tickets / sizeof rows->tickets[0]);
    log_thread_attach("shard");
    for (uint64_t round = 0, answered = 0; round < rounds || answered < asked;) {
        if (round < rounds) {
            write_block(shard, round * BLOCK);
            tickets++;
            if (round % ROW_EVERY == 0) row_write(shard, rows, ++tickets);
            if (round % 11 == 10) asked += row_fetch(shard, rows);
            if (round % 60 == 59 && rows->count > rows->removed + ROWS_KEPT && !spill_held(spill)) {
                const struct stored_row dead[] = {{SPACE(shard), rows->removed + 1}, {SPACE(shard), rows->removed + 2}};
                if (rows->tickets[rows->removed + ROWS_KEPT] <= spill_synced(spill, shard)) { /* nobody has asked for these */
                    rows_send(shard, SPILL_REMOVE, dead, 2);
                    rows->removed += 2;
                    tickets++;
                }
            }
            if (round % 7 == 6) {
                send_request(shard, (struct spill_request){.kind = SPILL_READ, .session = shard + 1, .from = (round - 3) * BLOCK + 5, .until = round * BLOCK});
                asked++;
            }
            if (round % 50 == 49) send_request(shard, (struct spill_request){.kind = SPILL_DROP, .session = shard + 1, .until = (round - 20) * BLOCK});
            if (round % 90 == 89) send_request(shard, (struct spill_request){.kind = SPILL_SYNC});
            CHECK(spill_synced(spill, shard) <= tickets);
            round++;
            (void)spill_backlog_bytes(spill, shard);
        }
        for (struct spill_request *request; (request = spill_take(spill, shard)); answered++) {
            if (request->error)
                failed++;
            else if (request->kind == SPILL_FETCH)
                check_rows(shard, request);
            else
                check_answer(shard, request);
            spill_request_release(request);
        }
        if (round % 16 == 0) poll(NULL, 0, 1);
    }
    send_request(shard, (struct spill_request){.kind = SPILL_SYNC});
    while (spill_synced(spill, shard) < tickets)
        poll(NULL, 0, 1);
    CHECK(spill_swept(spill));
    memory_release(rows);
    CHECK(failed < asked && woken[shard] > 0 && spill_backlog_bytes(spill, shard) == 0);
    return NULL;
}

/* Of the disk, for a reserve that both threads look at: there is room now and then. */
static _Atomic uint32_t looks;

static int room(void *context, uint64_t *ret_free_bytes)
{
    *ret_free_bytes = atomic_fetch_add(&looks, 1) % 8 < 5 ? 1000 : 10;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) rounds = strtoull(argv[1], NULL, 0);
    log_configure(LOG_OFF, LOG_TEXT);
    struct fake_shelf *shelf = fake_shelf_create(1);
    fake_shelf_set_fails(shelf, 1); /* of 256 */
    struct store_files files = {.room = room};
    struct reserve *reserve = reserve_create(&(struct reserve_config){.files = &files, .path = "", .bytes = 100, .shards_count = SHARDS, .segment_bytes = 1});
    spill = spill_create(&(struct spill_config){.shelf = fake_shelf_verbs(shelf), .shards_count = SHARDS, .sync_bytes = 1024, .reserve = reserve, .wake = wake});
    reserve_use_shelf(reserve, spill_shelf(spill));
    pthread_t threads[SHARDS];
    for (uintptr_t s = 0; s < SHARDS; s++)
        CHECK(pthread_create(&threads[s], NULL, shard_run, (void *)s) == 0);
    spill_start(spill);
    for (uint32_t i = 0; i < 10; i++) {
        spill_hold(spill, true);
        CHECK(spill_backup(spill, "nowhere") != 0); /* this shelf makes none */
        spill_hold(spill, false);
        (void)spill_trouble(spill);
        (void)reserve_look(reserve); /* as the storage thread does */
        (void)reserve_full(reserve);
        poll(NULL, 0, 2);
    }
    for (uint32_t s = 0; s < SHARDS; s++)
        pthread_join(threads[s], NULL);
    reserve_use_shelf(reserve, NULL);
    spill_destroy(spill);
    reserve_destroy(reserve);
    fake_shelf_destroy(shelf);
    CHECK(atomic_load(&looks) > 10);
    printf("shelf_threads: %llu rounds passed\n", (unsigned long long)rounds);
    return 0;
}
