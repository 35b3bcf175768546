/* sim_store.c - the store's logs on a disk with every fault, from one seed.
 *
 *     sim_store --seeds 1000 [--first 1]      sim_store --seed 7 --verbose
 *
 * Each run is a few lives of a store. In each, one to three shards do operations on 24 buckets (a retained message and a session's
 * queue each), with checkpoints and recycling, while writes, syncs and the making of segments fail by chance; then the machine stops
 * at any point, often in the middle of a write. Afterwards, whatever the number of shards, each bucket must be as it was after
 * some operation not older than the last one that was acknowledged. Retained payloads go to a shelf that fails and forgets what was not synced, as the broker
 * does it (broker/retained/shelf.h): after each start the rows the log names are there and right, and no others are. In some lives a bit of a durable commit is flipped: the start
 * must refuse, unless the commit was the last one of its log, which cannot be told from one that was being written. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/replay.h"
#include "store/store.h"
#include "store/shelf.h"
#include "tests/sim/fake_disk.h"
#include "tests/sim/fake_shelf.h"

#define BUCKETS_COUNT 24
#define SHARDS_LIMIT 3
#define QUEUE_MAX 12
#define HISTORY_MAX 4096

/* What a bucket holds: numbers of messages. */
struct content {
    uint32_t retained; /* 0: none */
    uint32_t queue[QUEUE_MAX];
    uint32_t queue_count;
};

/* All states of a bucket since the last crash; the newest last. */
struct bucket {
    struct content history[HISTORY_MAX];
    uint64_t commits[HISTORY_MAX]; /* of the shard's log; 0: recovered */
    uint32_t count;
    bool session; /* its session was recovered */
    struct stored_row row; /* of the newest content's retained message; space 0: it is not on the shelf */
};

#define ROWS_MAX 4096

/* A row on its way to the shelf (commit 0, and not unnamed), or dead: by the record in that commit. */
struct moving_row {
    struct stored_row row;
    uint32_t bucket, message;
    uint64_t commit;
    bool unnamed; /* dead, since it was replaced before it was named */
    bool removed; /* dead, and not there any more until a crash */
};

struct sim_shard {
    struct wal wal;
    struct sim_store *sim;
    uint32_t number;
    uint64_t message_id;
    bool writing;
    struct { int fd; const void *data; uint32_t bytes; uint64_t offset; } write;
    uint64_t row_number;
    struct moving_row rows[ROWS_MAX];
    uint32_t rows_count;
    uint32_t checkpoint_bucket; /* BUCKETS_COUNT: none under way */
    uint64_t checkpoint_segment, checkpoint_commit;
};

struct sim_store {
    uint64_t seed;
    struct random_source random;
    struct fake_disk *disk;
    struct store_files files;
    struct store *store;
    struct fake_shelf *shelf;
    bool swept; /* in this life, and synced since */
    struct sim_shard shards[SHARDS_LIMIT];
    uint32_t shards_count;
    struct bucket buckets[BUCKETS_COUNT];
    uint32_t number; /* of the last message */
    uint64_t now_ms;
    uint64_t operations, crashes, flips, refused;
};

static uint64_t rows_found;

static bool verbose;

static struct content *content_now(struct bucket *bucket) { return &bucket->history[bucket->count - 1]; }

_Noreturn static void sim_fail(const struct sim_store *sim, const char *what, uint32_t bucket)
{
    fprintf(stderr, "sim_store: seed 0x%" PRIx64 ": %s (bucket %u)\n", sim->seed, what, bucket);
    exit(1);
}

static uint32_t pick(struct sim_store *sim, uint32_t low, uint32_t high)
{
    return low + (uint32_t)random_below(&sim->random, high - low + 1);
}

/* ---- messages: topic and payload follow from the number ---------------------------------------------------------- */

static uint32_t payload_bytes(uint32_t number)
{
    uint64_t hash = hash_u64(number);
    return hash % 64 == 0 ? (uint32_t)(hash >> 8) % 700000 : (uint32_t)(hash >> 8) % 300; /* some go over several commits */
}

static uint64_t put_message(struct sim_shard *shard, uint32_t bucket, uint32_t number)
{
    char topic[16];
    snprintf(topic, sizeof topic, "t/%u", bucket);
    uint32_t bytes = payload_bytes(number);
    uint8_t *payload = memory_acquire(bytes + 4);
    memset(payload, (int)(number & 0xff), bytes + 4);
    memcpy(payload, &number, 4);
    struct stored_message message = {.id = ++shard->message_id, .qos = 1, .topic = span_of_string(topic), .payload = span_of(payload, bytes + 4)};
    store_put_message(&shard->wal, &message, shard->sim->now_ms);
    memory_release(payload);
    return message.id;
}

static uint32_t payload_number(const struct sim_store *sim, struct span payload, uint32_t bucket)
{
    uint32_t number;
    if (payload.bytes < 4) sim_fail(sim, "a message without its number", bucket);
    memcpy(&number, payload.data, 4);
    if (payload.bytes != payload_bytes(number) + 4) sim_fail(sim, "a message of the wrong size", bucket);
    for (size_t i = 4; i < payload.bytes; i++)
        if (payload.data[i] != (uint8_t)number) sim_fail(sim, "a damaged message", bucket);
    return number;
}

static uint32_t message_number(const struct sim_store *sim, const struct state_message *message, uint32_t bucket)
{
    return payload_number(sim, message->stored.payload, bucket);
}

/* ---- the shelf ---------------------------------------------------------------------------------------------------- */

static void moving_add(struct sim_shard *shard, struct moving_row row)
{
    if (shard->rows_count == ROWS_MAX) sim_fail(shard->sim, "too many rows", row.bucket);
    shard->rows[shard->rows_count++] = row;
}

/* What the bucket had is replaced by the record that was just put. */
static void row_dies(struct sim_shard *shard, struct bucket *bucket)
{
    if (bucket->row.space) moving_add(shard, (struct moving_row){.row = bucket->row, .commit = wal_position(&shard->wal)});
    bucket->row = (struct stored_row){0};
}

static void row_write(struct sim_shard *shard, uint32_t b)
{
    struct sim_store *sim = shard->sim;
    struct shelf shelf = fake_shelf_verbs(sim->shelf);
    uint32_t number = content_now(&sim->buckets[b])->retained;
    uint32_t bytes = payload_bytes(number) + 4;
    if (number == 0 || sim->buckets[b].row.space || bytes > 4096) return; /* each sync of the fake copies all of them */
    uint8_t *payload = memory_acquire(bytes);
    memset(payload, (int)(number & 0xff), bytes);
    memcpy(payload, &number, 4);
    struct stored_row row = {shelf_space(store_epoch(sim->store), shard->number), shard->row_number + 1};
    if (shelf.put(shelf.context, row.space, row.number, span_of(payload, bytes)) == 0) {
        shard->row_number++;
        moving_add(shard, (struct moving_row){.row = row, .bucket = b, .message = number});
    }
    memory_release(payload);
}

static void shelved_put(struct sim_shard *shard, uint32_t b)
{
    char topic[16];
    snprintf(topic, sizeof topic, "t/%u", b);
    struct stored_shelved record = {.message = {.qos = 1, .topic = span_of_string(topic)}, .row = shard->sim->buckets[b].row,
                                    .payload_bytes = payload_bytes(content_now(&shard->sim->buckets[b])->retained) + 4};
    store_put_retain_shelved(&shard->wal, &record, shard->sim->now_ms);
}

/* Of all shards at the same time. */
static void shelf_sync(struct sim_store *sim)
{
    struct shelf shelf = fake_shelf_verbs(sim->shelf);
    if (shelf.sync(shelf.context) != 0) return;
    sim->swept = true;
    for (uint32_t s = 0; s < sim->shards_count; s++) {
        struct sim_shard *shard = &sim->shards[s];
        uint32_t before = shard->rows_count, kept = 0;
        for (uint32_t i = 0; i < before; i++) {
            struct moving_row moving = shard->rows[i];
            struct bucket *bucket = &sim->buckets[moving.bucket];
            if (moving.removed) continue;
            bool under_way = moving.commit == 0 && !moving.unnamed;
            if (under_way && content_now(bucket)->retained == moving.message && bucket->row.space == 0) {
                bucket->row = moving.row;
                shelved_put(shard, moving.bucket);
                continue;
            }
            moving.unnamed |= under_way;
            shard->rows[kept++] = moving;
        }
        shard->rows_count = kept;
    }
}

static void rows_remove(struct sim_shard *shard)
{
    struct shelf shelf = fake_shelf_verbs(shard->sim->shelf);
    for (uint32_t i = 0; i < shard->rows_count; i++) {
        struct moving_row *moving = &shard->rows[i];
        if (!moving->removed && (moving->unnamed || (moving->commit && wal_durable(&shard->wal, moving->commit))))
            moving->removed = shelf.remove(shelf.context, moving->row.space, moving->row.number) == 0;
    }
}

static void shelf_state_put(struct sim_shard *shard)
{
    static struct stored_row rows[ROWS_MAX];
    uint64_t epoch = store_epoch(shard->sim->store);
    struct stored_shelf_state state = {.space = shelf_space((uint32_t)epoch, shard->number), .settled = shard->row_number + 1,
                                       .settled_epoch = shard->sim->swept ? epoch : 0, .rows = rows};
    for (uint32_t i = 0; i < shard->rows_count; i++) {
        const struct moving_row *moving = &shard->rows[i];
        if (moving->commit || moving->unnamed)
            rows[state.rows_count++] = moving->row;
        else if (moving->row.number < state.settled)
            state.settled = moving->row.number;
    }
    store_put_shelf_state(&shard->wal, &state, shard->sim->now_ms);
}

struct row_look {
    const struct sim_store *sim;
    uint32_t bucket, number;
};

static bool row_take(void *context, uint64_t space, uint64_t number, struct span row)
{
    struct row_look *look = context;
    look->number = payload_number(look->sim, row, look->bucket);
    return false;
}

static uint32_t retained_number(const struct sim_store *sim, const struct state_message *message, uint32_t bucket)
{
    struct row_look look = {sim, bucket, 0};
    if (!message->row.space) return message_number(sim, message, bucket);
    struct shelf shelf = fake_shelf_verbs(sim->shelf);
    CHECK(shelf.get(shelf.context, message->row.space, message->row.number, row_take, &look) == 0);
    if (look.number == 0) sim_fail(sim, "a row that the log names is not there", bucket);
    if (message->payload_bytes != payload_bytes(look.number) + 4) sim_fail(sim, "a row of another size", bucket);
    rows_found++;
    return look.number;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static struct content *content_next(struct sim_store *sim, struct bucket *bucket)
{
    if (bucket->count == HISTORY_MAX) sim_fail(sim, "a history too short", 0);
    bucket->history[bucket->count] = bucket->history[bucket->count - 1];
    return &bucket->history[bucket->count++];
}

static void operate(struct sim_store *sim, uint32_t b)
{
    struct sim_shard *shard = &sim->shards[b % sim->shards_count];
    struct bucket *bucket = &sim->buckets[b];
    uint64_t session = b + 1, now_ms = sim->now_ms;
    struct content *content = content_next(sim, bucket);
    uint32_t what = pick(sim, 0, 9);
    if (what < 3) {
        uint64_t id = put_message(shard, b, content->retained = ++sim->number);
        store_put_retain(&shard->wal, id, now_ms);
        row_dies(shard, bucket);
    } else if (what == 3) {
        char topic[16];
        snprintf(topic, sizeof topic, "t/%u", b);
        content->retained = 0;
        store_put_retain_clear(&shard->wal, span_of_string(topic), now_ms);
        row_dies(shard, bucket);
    } else if (what < 8 && content->queue_count < QUEUE_MAX) {
        struct stored_delivery delivery = {.message = put_message(shard, b, ++sim->number), .qos = 1};
        content->queue[content->queue_count++] = sim->number;
        store_put_delivery(&shard->wal, session, &delivery, 0, now_ms);
    } else if (content->queue_count) {
        memmove(content->queue, content->queue + 1, --content->queue_count * sizeof *content->queue);
        store_put_packet(&shard->wal, STORE_DROP, session, 0, now_ms);
    }
    bucket->commits[bucket->count - 1] = wal_position(&shard->wal);
    sim->operations++;
}

/* One bucket's share of a checkpoint. */
static void snapshot(struct sim_shard *shard, uint32_t b)
{
    struct sim_store *sim = shard->sim;
    const struct content *content = content_now(&sim->buckets[b]);
    uint64_t ids[QUEUE_MAX];
    if (sim->buckets[b].row.space)
        shelved_put(shard, b);
    else if (content->retained)
        store_put_retain(&shard->wal, put_message(shard, b, content->retained), sim->now_ms);
    for (uint32_t i = 0; i < content->queue_count; i++)
        ids[i] = put_message(shard, b, content->queue[i]);
    struct record_writer writer = {0};
    char id[16];
    snprintf(id, sizeof id, "c%u", b);
    struct stored_session session = {.id = b + 1, .client_id = span_of_string(id), .expiry_s = UINT32_MAX};
    record_put_session(&writer, &session);
    record_put_u32(&writer, 0); /* subscriptions, incoming ids, window */
    record_put_u32(&writer, 0);
    record_put_u32(&writer, 0);
    record_put_u32(&writer, content->queue_count);
    for (uint32_t i = 0; i < content->queue_count; i++) {
        struct stored_delivery delivery = {.message = ids[i], .qos = 1};
        record_put_delivery(&writer, &delivery);
    }
    struct span whole = span_of(writer.data, writer.bytes);
    wal_append(&shard->wal, STORE_SNAPSHOT, &whole, 1, sim->now_ms);
    record_writer_release(&writer);
}

static void checkpoint_step(struct sim_shard *shard)
{
    struct sim_store *sim = shard->sim;
    if (shard->checkpoint_commit && wal_durable(&shard->wal, shard->checkpoint_commit)) {
        store_checkpointed(sim->store, shard->number, shard->checkpoint_segment);
        shard->checkpoint_commit = 0;
    }
    if (shard->checkpoint_bucket == BUCKETS_COUNT) {
        if (shard->checkpoint_commit || pick(sim, 0, 60)) return;
        shard->checkpoint_bucket = 0;
        shard->checkpoint_segment = wal_segment_now(&shard->wal);
    }
    uint32_t b = shard->checkpoint_bucket++;
    if (b % sim->shards_count == shard->number) snapshot(shard, b);
    if (shard->checkpoint_bucket == BUCKETS_COUNT) shelf_state_put(shard);
    if (shard->checkpoint_bucket == BUCKETS_COUNT)
        shard->checkpoint_commit = store_put_checkpoint(&shard->wal, shard->checkpoint_segment, sim->now_ms);
}

/* ---- the disk below a log --------------------------------------------------------------------------------------- */

static void write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct sim_shard *shard = context;
    CHECK(!shard->writing);
    shard->writing = true;
    shard->write.fd = fd;
    shard->write.data = data;
    shard->write.bytes = bytes;
    shard->write.offset = offset;
}

static bool segment_take(void *context, struct wal_segment *ret_segment)
{
    struct sim_shard *shard = context;
    return store_segment_take(shard->sim->store, shard->number, ret_segment);
}

static void segment_done(void *context, const struct wal_segment *segment, bool failed)
{
    struct sim_shard *shard = context;
    store_segment_done(shard->sim->store, shard->number, segment, failed);
}

static void write_complete(struct sim_shard *shard, bool half)
{
    if (!shard->writing) return;
    shard->writing = false;
    int error = fake_disk_write_sync(shard->sim->disk, shard->write.fd, shard->write.data, shard->write.bytes, shard->write.offset, half);
    wal_written(&shard->wal, half ? -1 : error);
}

/* ---- a life ----------------------------------------------------------------------------------------------------- */

static void no_groups(void *context, const struct state_session *session, const struct state_message *message,
                      struct state_partial *partial)
{
}

static struct content content_of(const struct sim_store *sim, const struct state *state, uint32_t b)
{
    struct content content = {0};
    char topic[16];
    snprintf(topic, sizeof topic, "t/%u", b);
    const struct state_message *retained = map_find(&state->retained, span_of_string(topic));
    if (retained) content.retained = retained_number(sim, retained, b);
    uint64_t id = b + 1;
    const struct state_session *session = map_find(&state->sessions, span_of(&id, 8));
    for (uint32_t i = session ? session->queue_head : 0; session && i < session->queue_count; i++) {
        if (content.queue_count == QUEUE_MAX) sim_fail(sim, "a queue too long", b);
        content.queue[content.queue_count++] = message_number(sim, session->queue[i].message, b);
    }
    return content;
}

static bool content_equal(const struct content *a, const struct content *b)
{
    return a->retained == b->retained && a->queue_count == b->queue_count &&
           memcmp(a->queue, b->queue, a->queue_count * sizeof *a->queue) == 0;
}

/* The bucket is as it was after some operation that is not older than the last acknowledged one. */
static void bucket_check(struct sim_store *sim, const struct state *state, uint32_t b, uint64_t committed)
{
    struct bucket *bucket = &sim->buckets[b];
    struct content found = content_of(sim, state, b);
    uint32_t oldest = bucket->count - 1;
    while (oldest > 0 && bucket->commits[oldest] > committed)
        oldest--;
    /* What lies between two records of one operation looks like the state before it. */
    for (uint32_t i = bucket->count; i-- > oldest;)
        if (content_equal(&bucket->history[i], &found)) {
            bucket->history[0] = found;
            bucket->commits[0] = 0;
            bucket->count = 1;
            uint64_t id = b + 1;
            bucket->session = map_find(&state->sessions, span_of(&id, 8)) != NULL;
            char topic[16];
            snprintf(topic, sizeof topic, "t/%u", b);
            const struct state_message *retained = map_find(&state->retained, span_of_string(topic));
            bucket->row = retained ? retained->row : (struct stored_row){0};
            return;
        }
    if (verbose)
        printf("bucket %u: retained %u, queue %u; wanted %u, %u\n", b, found.retained, found.queue_count,
               bucket->history[oldest].retained, bucket->history[oldest].queue_count);
    sim_fail(sim, "something acknowledged is lost", b);
}

static void life_begin(struct sim_store *sim)
{
    char error[512];
    uint32_t before = sim->shards_count;
    uint64_t committed[SHARDS_LIMIT];
    for (uint32_t s = 0; s < before; s++)
        committed[s] = sim->shards[s].wal.committed;
    sim->shards_count = pick(sim, 1, SHARDS_LIMIT);
    struct store_config config = {.files = sim->files, .shards_count = sim->shards_count, .segment_bytes = STORE_SEGMENT_BYTES_MIN,
                                  .seed = sim->seed};
    sim->store = store_open(&config, error, sizeof error);
    if (!sim->store) sim_fail(sim, error, 0);
    struct state state;
    struct store_report report;
    state_init(&state);
    if (!store_recover(sim->store, &state, no_groups, NULL, sim, &report, error, sizeof error)) sim_fail(sim, error, 0);
    struct shelf shelf = fake_shelf_verbs(sim->shelf);
    fake_shelf_set_fails(sim->shelf, 0);
    sim->swept = false;
    if (shelf_sweep(&shelf, &state) != 0) sim_fail(sim, "the shelf cannot be swept", 0);
    uint32_t rows_named = 0;
    for (uint32_t b = 0; b < BUCKETS_COUNT; b++) {
        bucket_check(sim, &state, b, before ? committed[b % before] : 0);
        rows_named += sim->buckets[b].row.space != 0;
    }
    if (fake_shelf_rows(sim->shelf) != rows_named) sim_fail(sim, "rows are left that the log does not name", fake_shelf_rows(sim->shelf) - rows_named);
    fake_shelf_set_fails(sim->shelf, pick(sim, 0, 1) ? pick(sim, 0, 40) : 0);
    state_release(&state);
    store_recovered(sim->store);
    struct fake_disk_chances none = {0}, chances = {.write_fails = pick(sim, 0, 12), .sync_fails = pick(sim, 0, 12),
                                                    .make_fails = pick(sim, 0, 1) ? pick(sim, 0, 200) : 0};
    fake_disk_set_chances(sim->disk, &none);
    fake_disk_set_size(sim->disk, 0);
    if (!store_start(sim->store, false, error, sizeof error)) sim_fail(sim, error, 0);
    fake_disk_set_chances(sim->disk, &chances);
    /* In half of the lives the disk has an end: room for a few more segments, or for none but those that are used again. */
    fake_disk_set_size(sim->disk, hash_u64(sim->seed ^ sim->crashes) & 1 ? fake_disk_used(sim->disk) + STORE_SEGMENT_BYTES_MIN * (hash_u64(sim->seed + sim->crashes) % 4) : 0);
    for (uint32_t s = 0; s < sim->shards_count; s++) {
        struct sim_shard *shard = &sim->shards[s];
        *shard = (struct sim_shard){.sim = sim, .number = s, .checkpoint_bucket = 0};
        struct wal_config wal = {.disk = {.context = shard, .write_sync = write_sync, .segment_take = segment_take, .segment_done = segment_done},
                                 .epoch = store_epoch(sim->store), .shard = s, .interval_ms = pick(sim, 0, 5),
                                 .commit_bytes_max = pick(sim, 0, 2) * 16 * 1024};
        wal_init(&shard->wal, &wal);
        shard->checkpoint_segment = wal_segment_now(&shard->wal); /* the first one begins at once */
    }
}

/* The sessions that are not there (the first life; a crash before their commit), as a client's CONNECT would make them. */
static void sessions_make(struct sim_store *sim)
{
    for (uint32_t b = 0; b < BUCKETS_COUNT; b++) {
        if (sim->buckets[b].session) continue;
        char id[16];
        snprintf(id, sizeof id, "c%u", b);
        struct stored_session session = {.id = b + 1, .client_id = span_of_string(id), .expiry_s = UINT32_MAX};
        struct sim_shard *shard = &sim->shards[b % sim->shards_count];
        store_put_session(&shard->wal, &session, 0);
    }
}

static void life(struct sim_store *sim)
{
    for (uint32_t step = pick(sim, 10, 1500); step > 0; step--) {
        struct sim_shard *shard = &sim->shards[pick(sim, 0, sim->shards_count - 1)];
        sim->now_ms += pick(sim, 0, 3);
        if (wal_backlog_bytes(&shard->wal) < 3000000) operate(sim, pick(sim, 0, BUCKETS_COUNT - 1));
        if (pick(sim, 0, 1)) wal_turn(&shard->wal, sim->now_ms, sim->now_ms);
        if (pick(sim, 0, 2) == 0) write_complete(shard, false);
        if (pick(sim, 0, 3) == 0) checkpoint_step(shard);
        if (pick(sim, 0, 7) == 0) store_step(sim->store);
        if (pick(sim, 0, 2) == 0) row_write(shard, pick(sim, 0, BUCKETS_COUNT / sim->shards_count - 1) * sim->shards_count + shard->number);
        if (pick(sim, 0, 19) == 0) shelf_sync(sim);
        if (pick(sim, 0, 5) == 0) rows_remove(shard);
        if (pick(sim, 0, 50) == 0) wal_touch(&shard->wal, sim->now_ms);
    }
}

static void life_end(struct sim_store *sim)
{
    for (uint32_t s = 0; s < sim->shards_count; s++) {
        struct sim_shard *shard = &sim->shards[s];
        uint64_t committed = shard->wal.committed;
        write_complete(shard, true); /* the write under way is torn */
        wal_release(&shard->wal);
        shard->wal.committed = committed;
    }
    store_close(sim->store);
    fake_shelf_restart(sim->shelf);
    fake_disk_crash(sim->disk);
    sim->crashes++;
}

/* ---- flipped bits ----------------------------------------------------------------------------------------------- */

struct flip_look {
    uint64_t records;
};

static bool flip_record(void *context, uint32_t type, struct span body, void *own)
{
    ((struct flip_look *)context)->records++;
    memory_release(own);
    return true;
}

/* Flips a bit in the segment a log is being written to, before its last commit, and looks what a reader makes of it. */
static void flip(struct sim_store *sim)
{
    uint32_t shard = pick(sim, 0, sim->shards_count - 1);
    if (sim->shards[shard].wal.segment.fd < 0) return;
    char name[40];
    replay_make_name(store_epoch(sim->store), shard, sim->shards[shard].wal.segment.number, name);
    struct replay_segment segment;
    CHECK(replay_parse_name(name, &segment));
    struct flip_look look = {0};
    struct replay replay = {.files = &sim->files, .record = flip_record, .context = &look};
    struct replay_result before, after;
    bool sound = replay_log(&replay, &segment, 1, &before);
    /* Only this segment is looked at, so what the one before would say does not count. */
    struct span bytes = segment.bytes;
    uint64_t end = STORE_BLOCK_BYTES, last = 0;
    struct store_commit_header header;
    while (end + sizeof header <= bytes.bytes && (memcpy(&header, bytes.data + end, sizeof header), header.magic == STORE_COMMIT_MAGIC) &&
           header.segment == segment.number && header.epoch == segment.epoch && header.shard == segment.shard) {
        last = end;
        end += store_round_up(header.bytes);
    }
    sim->files.unmap(sim->files.context, segment.bytes);
    if (before.commits < 3 || before.torn || (!sound && !before.hole)) return;
    uint64_t at = STORE_BLOCK_BYTES + random_below(&sim->random, last - STORE_BLOCK_BYTES);
    fake_disk_flip(sim->disk, name, at);
    bool still = replay_log(&replay, &segment, 1, &after);
    sim->files.unmap(sim->files.context, segment.bytes);
    /* In the padding behind a commit a bit means nothing; in the commit itself it must be found. */
    bool harmless = after.commits == before.commits;
    bool first = after.commits + 1 == before.commits && segment.number > 1; /* nothing before it in this segment to compare with */
    if (!harmless && !first && (still || !after.hole)) sim_fail(sim, "a flipped bit was not noticed", shard);
    sim->flips++;
    sim->refused += !harmless;
}

static void sim_run(uint64_t seed)
{
    struct sim_store *sim = memory_acquire_zeroed(sizeof *sim);
    sim->seed = seed;
    sim->random.state = seed;
    struct fake_disk_chances none = {0};
    sim->disk = fake_disk_create(seed ^ 0xd15c, &none);
    sim->files = fake_disk_files(sim->disk);
    sim->shelf = fake_shelf_create(seed ^ 0x5e1f);
    for (uint32_t b = 0; b < BUCKETS_COUNT; b++)
        sim->buckets[b].count = 1;
    for (uint32_t lives = pick(sim, 1, 5); lives > 0; lives--) {
        life_begin(sim);
        sessions_make(sim);
        life(sim);
        if (lives == 1) flip(sim);
        life_end(sim);
    }
    if (verbose)
        printf("seed 0x%" PRIx64 ": %" PRIu64 " operations, %" PRIu64 " crashes, %" PRIu64 " flips (%" PRIu64 " noticed)\n", seed, sim->operations,
               sim->crashes, sim->flips, sim->refused);
    fake_disk_release(sim->disk);
    fake_shelf_destroy(sim->shelf);
    memory_release(sim);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = 100;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) verbose = true;
        if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) count = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--first") == 0) first = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            first = strtoull(argv[++i], NULL, 0);
            count = 1;
        }
    }
    log_configure(LOG_OFF, LOG_TEXT);
    for (uint64_t seed = first; seed < first + count; seed++)
        sim_run(seed);
    fake_disk_release_pool();
    if (count >= 100 && rows_found == 0) return fprintf(stderr, "no row was on the shelf at a start: this has tested nothing\n"), 1;
    printf("sim_store: %" PRIu64 " seeds, %" PRIu64 " rows of the shelf found at starts\n%" PRIu64 " passed, 0 failed\n", count, rows_found, count);
    return 0;
}
