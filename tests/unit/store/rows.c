/* Rows of the shelf (large retained payloads): read and removed one by one, over the shelf's thread, and swept at start by what the log says. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/shelf.h"
#include "store/spill.h"
#include "store/state.h"

static char directory[64], path[96];
static struct shelf shelf;
static _Atomic bool refuses;

static void make(void)
{
    char error[600];
    log_configure(LOG_OFF, LOG_TEXT);
    snprintf(directory, sizeof directory, "/tmp/ringmq-unit-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/shelf", directory);
    cr_assert(shelf_open(path, false, 16 << 20, &shelf, error, sizeof error), "%s", error);
    refuses = false;
}

static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    cr_assert(system(command) == 0);
}

TestSuite(rows, .init = make, .fini = clean);

static size_t row_text(uint64_t space, uint64_t number, char text[64])
{
    return (size_t)snprintf(text, 64, "row %llu of %llx", (unsigned long long)number, (unsigned long long)space);
}

static void put(uint64_t space, uint64_t number)
{
    char text[64];
    cr_assert_eq(shelf.put(shelf.context, space, number, span_of(text, row_text(space, number, text))), 0);
}

static bool take(void *context, uint64_t space, uint64_t number, struct span row)
{
    char text[64];
    size_t bytes = row_text(space, number, text);
    cr_assert(row.bytes == bytes && memcmp(row.data, text, bytes) == 0);
    ++*(uint32_t *)context;
    return false;
}

static bool there(uint64_t space, uint64_t number)
{
    uint32_t found = 0;
    cr_assert_eq(shelf.get(shelf.context, space, number, take, &found), 0);
    cr_assert_leq(found, 1);
    return found == 1;
}

Test(rows, are_found_by_their_number_and_no_other)
{
    uint64_t space = shelf_space(7, 3), next;
    cr_assert(space >= SHELF_ROWS && shelf_space_epoch(space) == 7);
    put(space, 10), put(space, 12), put(space + 1, 11);
    cr_assert(there(space, 10) && there(space, 12) && !there(space, 11) && !there(space, 9) && there(space + 1, 11));
    cr_assert_eq(shelf.sync(shelf.context), 0);
    cr_assert(there(space, 10) && !there(space, 11), "from a file, too");
    cr_assert_eq(shelf.remove(shelf.context, space, 10), 0);
    cr_assert_eq(shelf.remove(shelf.context, space, 11), 0, "what is not there is no error");
    cr_assert(!there(space, 10) && there(space, 12));
    cr_assert(shelf.next(shelf.context, SHELF_ROWS, &next) && next == space);
    shelf.close(shelf.context);
}

/* ---- over the thread ---------------------------------------------------------------------------------------------- */

static int gate_put(void *context, uint64_t space, uint64_t number, struct span row)
{
    return refuses ? -ENOSPC : shelf.put(context, space, number, row);
}

static void note_wake(void *context, uint32_t shard) {}

static struct spill *spill_make(bool swept)
{
    struct spill_config config = {.shelf = shelf, .shards_count = 1, .sync_bytes = 1 << 20, .swept = swept, .wake = note_wake};
    config.shelf.put = gate_put;
    return spill_create(&config);
}

static void send_write(struct spill *spill, uint64_t space, uint64_t number)
{
    char text[64];
    size_t bytes = row_text(space, number, text);
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = SPILL_WRITE, .session = space, .from = number, .data = memory_acquire(bytes), .bytes = bytes};
    memcpy(request->data, text, bytes);
    spill_send(spill, 0, request);
}

static void send_rows(struct spill *spill, enum spill_kind kind, const struct stored_row *rows, uint32_t count)
{
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = kind, .data = memory_acquire(count * sizeof *rows), .bytes = count * sizeof *rows, .owner = &refuses};
    memcpy(request->data, rows, count * sizeof *rows);
    spill_send(spill, 0, request);
}

/* Which rows of those asked for the answer has: a bit each. */
static uint32_t answered(struct spill *spill, const struct stored_row *rows, uint32_t count)
{
    uint32_t found = 0;
    struct spill_request *request = spill_take(spill, 0);
    cr_assert(request && request->kind == SPILL_FETCH && request->error == 0 && request->owner == &refuses);
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length, one = 0;
        memcpy(&length, request->data + at, 4);
        at += 4;
        if (length == SPILL_NO_ROW) continue;
        take(&one, rows[i].space, rows[i].number, span_of(request->data + at, length));
        at += length;
        found |= 1u << i;
    }
    cr_assert_eq(at, request->bytes);
    spill_request_release(request);
    return found;
}

Test(rows, are_fetched_together_past_what_waits_and_removed)
{
    const uint64_t space = shelf_space(1, 0);
    const struct stored_row rows[] = {{space, 1}, {space, 5}, {space, 2}, {space + 1, 1}};
    struct spill *spill = spill_make(false);
    for (uint64_t number = 1; number <= 3; number++)
        send_write(spill, space, number);
    spill_step(spill, 0);
    send_rows(spill, SPILL_FETCH, rows, 4);
    spill_step(spill, 1);
    cr_assert_eq(answered(spill, rows, 4), 1 | 4);
    refuses = true;
    send_write(spill, space, 4);
    send_rows(spill, SPILL_REMOVE, rows, 1);
    send_rows(spill, SPILL_FETCH, rows + 2, 1);
    spill_step(spill, 10);
    cr_assert_eq(answered(spill, rows + 2, 1), 1, "the shelf refuses to be written, and is read");
    cr_assert(!there(space, 1), "what is removed does not wait either: it makes room");
    cr_assert(spill_backlog_bytes(spill, 0) > 0 && spill_synced(spill, 0) == 0, "its ticket comes in its turn");
    refuses = false;
    spill_step(spill, 5000);
    spill_step(spill, 20000);
    cr_assert(spill_synced(spill, 0) == 5 && spill_backlog_bytes(spill, 0) == 0 && there(space, 4) && there(space, 2));
    spill_destroy(spill);
}

Test(rows, a_sweep_is_made_good_by_a_sync)
{
    struct spill *spill = spill_make(true);
    cr_assert(!spill_swept(spill));
    spill_step(spill, 10000);
    cr_assert(spill_swept(spill));
    spill_hold(spill, true);
    cr_assert(spill_held(spill));
    spill_hold(spill, false);
    cr_assert(!spill_held(spill));
    spill_destroy(spill);
}

/* ---- what a log says ----------------------------------------------------------------------------------------------- */

/* Records given to a state at once; what they point into is kept to the end. */
struct told {
    struct state state;
    uint8_t *commits[64];
    uint32_t count;
};

static void write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct told *told = context;
    uint8_t *copy = told->commits[told->count++] = memory_acquire(bytes);
    memcpy(copy, data, bytes);
}

static bool segment_take(void *context, struct wal_segment *ret_segment)
{
    *ret_segment = (struct wal_segment){.fd = 3, .number = 1, .bytes = 64u << 20, .seed = 5};
    return true;
}

static void segment_done(void *context, const struct wal_segment *segment, bool failed) {}

static void tell(struct told *told, void (*records)(struct wal *wal))
{
    struct wal wal;
    struct wal_config config = {.disk = {.context = told, .write_sync = write_sync, .segment_take = segment_take, .segment_done = segment_done}, .epoch = 1};
    wal_init(&wal, &config);
    records(&wal);
    wal_turn(&wal, 10, 1000);
    struct store_commit_header header;
    memcpy(&header, told->commits[told->count - 1], sizeof header);
    const uint8_t *commit = told->commits[told->count - 1];
    for (uint32_t at = sizeof header; at < header.bytes;) {
        uint32_t head;
        memcpy(&head, commit + at, 4);
        cr_assert(state_apply(&told->state, record_head_type(head), span_of(commit + at + 4, record_head_bytes(head)), NULL));
        at += 4 + record_head_bytes(head);
    }
    wal_written(&wal, 0);
    wal_release(&wal);
}

static void told_release(struct told *told)
{
    state_release(&told->state);
    for (uint32_t i = 0; i < told->count; i++)
        memory_release(told->commits[i]);
}

static void put_shelved(struct wal *wal, const char *topic, uint64_t space, uint64_t number)
{
    struct stored_shelved shelved = {.message = {.qos = 1, .expires_ms = 77, .topic = span_of_string(topic), .properties = SPAN_LITERAL("props")},
                                     .row = {space, number}, .payload_bytes = 2000};
    store_put_retain_shelved(wal, &shelved, 0);
}

static void put_whole(struct wal *wal, uint64_t id, const char *topic)
{
    struct stored_message message = {.id = id, .topic = span_of_string(topic), .payload = SPAN_LITERAL("small")};
    store_put_message(wal, &message, 0);
    store_put_retain(wal, id, 0);
}

#define OLD shelf_space(4, 0)  /* an epoch that is settled */
#define NEW shelf_space(5, 1)  /* this one's; settled below 10 */
#define LAST shelf_space(5, 2) /* nothing is said of it */

static void records(struct wal *wal)
{
    put_shelved(wal, "old/named", OLD, 3);
    put_shelved(wal, "old/replaced", OLD, 4);
    put_shelved(wal, "old/cleared", OLD, 5);
    put_shelved(wal, "new/settled", NEW, 7);
    const struct stored_row listed[] = {{OLD, 6}, {NEW, 8}};
    struct stored_shelf_state state = {.space = NEW, .settled = 10, .settled_epoch = 5, .rows_count = 2, .rows = listed};
    store_put_shelf_state(wal, &state, 0);
    put_shelved(wal, "old/named", OLD, 3); /* once more, by a checkpoint: it is the same row */
    put_whole(wal, 1, "old/replaced");
    store_put_retain_clear(wal, SPAN_LITERAL("old/cleared"), 0);
    put_shelved(wal, "new/first", NEW, 11);
    put_shelved(wal, "new/replaced", NEW, 12);
    put_shelved(wal, "new/replaced", NEW, 3000);
}

Test(rows, what_a_log_names_is_kept_and_no_row_of_what_is_settled_is_looked_at)
{
    struct told told = {.count = 0};
    state_init(&told.state);
    tell(&told, records);
    const struct state_message *named = map_find(&told.state.retained, SPAN_LITERAL("old/named"));
    cr_assert(named && named->row.space == OLD && named->row.number == 3 && named->payload_bytes == 2000 && named->stored.expires_ms == 77 && named->stored.qos == 1);
    cr_assert(span_equal(named->stored.properties, SPAN_LITERAL("props")) && named->stored.payload.bytes == 0);
    const struct state_message *replaced = map_find(&told.state.retained, SPAN_LITERAL("old/replaced"));
    cr_assert(replaced && replaced->row.space == 0 && replaced->stored.payload.bytes == 5);
    for (uint64_t number = 1; number <= 6; number++)
        put(OLD, number);
    for (uint64_t number = 5; number <= 15; number++)
        put(NEW, number);
    put(NEW, 3000), put(NEW, 3001), put(NEW, 1ull << 40), put(LAST, 1), put(LAST, 9);
    put(9, 100); /* a queue whose session nobody knows */
    cr_assert_eq(shelf_sweep(&shelf, &told.state), 0);
    cr_assert(there(OLD, 3) && !there(OLD, 4) && !there(OLD, 5) && !there(OLD, 6), "replaced, cleared, listed");
    cr_assert(there(OLD, 1) && there(OLD, 2), "settled: nobody says that they are dead, so nobody asks");
    cr_assert(there(NEW, 7) && !there(NEW, 8) && there(NEW, 11) && !there(NEW, 12) && there(NEW, 3000));
    cr_assert(there(NEW, 5) && there(NEW, 9) && !there(NEW, 10) && !there(NEW, 13) && !there(NEW, 15), "from 10 on what is not named goes");
    cr_assert(!there(NEW, 3001) && !there(NEW, 1ull << 40) && !there(LAST, 1) && !there(LAST, 9) && !there(9, 100));
    told_release(&told);
    shelf.close(shelf.context);
}

static bool bad(uint32_t type, size_t bytes, const uint8_t *data)
{
    struct state state;
    state_init(&state);
    bool refused = !state_apply(&state, type, span_of(data, bytes), NULL);
    state_release(&state);
    return refused;
}

static void one_of_each(struct wal *wal)
{
    const struct stored_row row = {OLD, 6};
    struct stored_shelf_state state = {.space = NEW, .settled = 10, .settled_epoch = 5, .rows_count = 1, .rows = &row};
    put_shelved(wal, "t", OLD, 3);
    store_put_shelf_state(wal, &state, 0);
}

Test(rows, no_record_that_is_cut_or_too_long_is_accepted)
{
    struct told told = {.count = 0};
    state_init(&told.state);
    tell(&told, one_of_each);
    struct store_commit_header header;
    memcpy(&header, told.commits[0], sizeof header);
    for (uint32_t at = sizeof header; at < header.bytes;) {
        uint32_t head;
        memcpy(&head, told.commits[0] + at, 4);
        uint32_t bytes = record_head_bytes(head);
        uint8_t *longer = memory_acquire(bytes + 1);
        memcpy(longer, told.commits[0] + at + 4, bytes);
        longer[bytes] = 0;
        cr_assert(!bad(record_head_type(head), bytes, longer) && bad(record_head_type(head), bytes + 1, longer));
        for (uint32_t cut = 0; cut < bytes; cut++)
            cr_assert(bad(record_head_type(head), cut, longer), "%u of %u", cut, bytes);
        memory_release(longer);
        at += 4 + bytes;
    }
    told_release(&told);
    shelf.close(shelf.context);
}
