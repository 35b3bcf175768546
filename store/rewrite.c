#include "store/rewrite.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/state_rows.h"

#define BACKLOG_BYTES (8u * 1024 * 1024)

struct rewriting {
    struct store *store;
    const struct state *state;
    struct wal wal;
    int error; /* of the write at hand */
    uint64_t message_ids, now_ms, last_ms;
    struct map names; /* struct message_name by the state's message: written once for all that name it */
};

struct message_name {
    const struct state_message *message; /* the map's key */
    uint64_t id;
};

static struct span name_key(const void *value) { return span_of(value, sizeof(void *)); }

/* ---- the disk below ---------------------------------------------------------------------------------------------- */

static void write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct rewriting *rewriting = context;
    rewriting->error = store_write_sync(rewriting->store, fd, data, bytes, offset);
}

static bool segment_take(void *context, struct wal_segment *ret_segment)
{
    struct rewriting *rewriting = context;
    if (store_segment_take(rewriting->store, 0, ret_segment)) return true;
    store_step(rewriting->store);
    return store_segment_take(rewriting->store, 0, ret_segment);
}

static void segment_done(void *context, const struct wal_segment *segment, bool failed)
{
    store_segment_done(((struct rewriting *)context)->store, 0, segment, failed);
}

/* Everything appended so far is on disk, or the disk refuses. */
static bool settle(struct rewriting *rewriting)
{
    struct wal *wal = &rewriting->wal;
    while (!wal_settled(wal) && wal->failures < 3) {
        wal_turn(wal, ++rewriting->now_ms * 1000, rewriting->last_ms);
        if (!wal->writing) return false; /* no segment */
        wal_written(wal, rewriting->error);
    }
    return wal_settled(wal);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static uint64_t message_put(struct rewriting *rewriting, const struct state_message *message)
{
    if (message->references > 1) {
        struct message_name *name = map_find(&rewriting->names, span_of(&message, sizeof message));
        if (name) return name->id;
        name = memory_acquire(sizeof *name);
        *name = (struct message_name){message, rewriting->message_ids + 1};
        map_insert(&rewriting->names, name);
    }
    struct stored_message stored = message->stored;
    stored.id = ++rewriting->message_ids;
    stored.origin = (struct stored_origin){0};
    store_put_message(&rewriting->wal, &stored, rewriting->now_ms);
    return stored.id;
}

static struct stored_delivery delivery_of(struct rewriting *rewriting, const struct state_delivery *delivery)
{
    struct stored_delivery stored = {.qos = delivery->qos, .retain = delivery->retain, .ids = delivery->ids,
                                     .ids_count = delivery->ids ? delivery->ids_count : 0};
    if (delivery->shelved) stored.message = STORED_ON_SHELF | delivery->number;
    if (delivery->message) stored.message = message_put(rewriting, delivery->message);
    return stored;
}

static void row_put(struct rewriting *rewriting, struct record_writer *writer, const struct state_delivery *row, uint32_t count)
{
    record_put_u32(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        struct stored_delivery stored = delivery_of(rewriting, &row[i]);
        record_put_delivery(writer, &stored);
    }
}

/* What comes behind the shelf, or a whole queue, is written as events: it may be long. */
static bool row_enqueue(struct rewriting *rewriting, uint64_t session, const struct state_delivery *row, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct stored_delivery stored = delivery_of(rewriting, &row[i]);
        store_put_delivery(&rewriting->wal, session, &stored, 0, rewriting->now_ms);
        if (wal_backlog_bytes(&rewriting->wal) > BACKLOG_BYTES && !settle(rewriting)) return false;
    }
    return true;
}

static void partials_put(struct record_writer *writer, const struct state_session *session)
{
    record_put_u32(writer, session->partials_count);
    for (uint32_t i = 0; i < session->partials_count; i++) {
        const struct state_partial *partial = &session->partials[i];
        record_put_u16(writer, partial->packet_id);
        record_put_u64(writer, partial->hash);
        record_put_u32(writer, partial->receivers_count);
        record_put(writer, partial->receivers, partial->receivers_count * sizeof *partial->receivers);
        record_put_u32(writer, partial->groups_count);
        record_put(writer, partial->groups, partial->groups_count * sizeof *partial->groups);
    }
}

static bool session_put(struct rewriting *rewriting, const struct state_session *session)
{
    struct record_writer writer = {0};
    uint32_t queued = session->queue_count - session->queue_head;
    record_put_session(&writer, &session->stored);
    record_put_u32(&writer, session->subscriptions_count);
    for (uint32_t i = 0; i < session->subscriptions_count; i++)
        record_put_subscription(&writer, &session->subscriptions[i]->stored);
    record_put_u32(&writer, session->incoming_count);
    for (uint32_t i = 0; i < session->incoming_count; i++)
        record_put_u16(&writer, session->incoming[i]);
    record_put_u32(&writer, session->window_count);
    for (uint32_t i = 0; i < session->window_count; i++) {
        struct stored_delivery stored = delivery_of(rewriting, &session->window[i]);
        if (session->window[i].state == STORED_RELEASING) stored.qos = 2;
        record_put_u16(&writer, session->window[i].packet_id);
        record_put_u8(&writer, session->window[i].state);
        record_put_delivery(&writer, &stored);
    }
    row_put(rewriting, &writer, session->queue + session->queue_head, session->shelved ? queued : 0);
    partials_put(&writer, session);
    record_put_u64(&writer, session->front);
    record_put_u64(&writer, session->shelved ? session->shelf_from : 0);
    record_put_u64(&writer, session->shelved ? session->shelf_until : 0);
    record_put_u64(&writer, session->shelved ? session->shelf_bytes : 0);
    record_put_u32(&writer, 0);
    struct span whole = span_of(writer.data, writer.bytes);
    wal_append(&rewriting->wal, STORE_SNAPSHOT, &whole, 1, rewriting->now_ms);
    record_writer_release(&writer);
    if (!session->shelved) return row_enqueue(rewriting, session->key, session->queue + session->queue_head, queued);
    return row_enqueue(rewriting, session->key, session->rest + session->rest_head, session->rest_count - session->rest_head);
}

static bool state_put(struct rewriting *rewriting)
{
    uint32_t cursor = 0;
    for (const struct state_session *session; (session = state_session_next(rewriting->state, &cursor));)
        if (!session_put(rewriting, session) || (wal_backlog_bytes(&rewriting->wal) > BACKLOG_BYTES && !settle(rewriting))) return false;
    cursor = 0;
    for (const struct state_message *message; (message = map_next(&rewriting->state->retained, &cursor));) {
        struct stored_shelved shelved = {.message = message->stored, .row = message->row, .payload_bytes = message->payload_bytes};
        shelved.message.id = 0;
        shelved.message.origin = (struct stored_origin){0};
        if (message->row.space)
            store_put_retain_shelved(&rewriting->wal, &shelved, rewriting->now_ms);
        else
            store_put_retain(&rewriting->wal, message_put(rewriting, message), rewriting->now_ms);
        if (wal_backlog_bytes(&rewriting->wal) > BACKLOG_BYTES && !settle(rewriting)) return false;
    }
    struct stored_shelf_state shelf = {.space = shelf_space(store_epoch(rewriting->store), 0), .settled = 1, .settled_epoch = store_epoch(rewriting->store)};
    store_put_shelf_state(&rewriting->wal, &shelf, rewriting->now_ms); /* the caller has swept it */
    store_put_checkpoint(&rewriting->wal, 1, rewriting->now_ms);
    return settle(rewriting);
}

bool store_rewrite(struct store *store, const struct state *state, char *ret_error, size_t error_bytes)
{
    struct rewriting rewriting = {.store = store, .state = state, .now_ms = 1};
    struct wal_config config = {.disk = {.context = &rewriting, .write_sync = write_sync, .segment_take = segment_take, .segment_done = segment_done},
                                .epoch = store_epoch(store)};
    map_init(&rewriting.names, name_key);
    wal_init(&rewriting.wal, &config);
    bool done = state_put(&rewriting);
    int error = rewriting.error ? rewriting.error : store_trouble(store);
    if (!done) snprintf(ret_error, error_bytes, "cannot write the store: %s", strerror(error < 0 ? -error : error));
    if (done) store_checkpointed(store, 0, 1);
    wal_release(&rewriting.wal);
    uint32_t cursor = 0;
    for (struct message_name *name, *next = map_next(&rewriting.names, &cursor); (name = next);) {
        next = map_next(&rewriting.names, &cursor);
        memory_release(name);
    }
    map_free(&rewriting.names);
    return done;
}

bool store_rewritten(struct store *store, char *ret_error, size_t error_bytes)
{
    store_step(store);
    int error = store_removal_trouble(store);
    if (!error) return true; /* that no further segment can be made concerns nobody */
    snprintf(ret_error, error_bytes, "cannot remove the old logs: %s", strerror(error));
    return false;
}
