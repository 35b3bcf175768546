/* checkpoint.c - everything that lives, written once more, so that what was written before can go.
 *
 * A checkpoint begins at a segment; then, a slice a turn, each durable session is written as one SNAPSHOT and each retained message
 * again, while events go on between the slices: a replay that begins at that segment comes to the same state, since a SNAPSHOT
 * replaces what was known of its session. When all of it is durable, segments before that one are used again.
 * Messages are written once for all that name them: `generation` says which checkpoint a message's record belongs to. */
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/delivery_queue.h"
#include "broker/durable/durable.h"
#include "broker/records.h"
#include "broker/retained/shelf.h"

#define SLICE_BYTES     (128u * 1024)      /* about what a turn adds to the log */
#define SLICE_BACKLOG   (2u * 1024 * 1024) /* the disk is behind: not now */
#define RETAINED_BUDGET 64
#define SEGMENTS_FAILED_MAX 8 /* hardly used and not used again: a disk that fails now and then must not be filled with them */

void durable_checkpoint_init(struct durable_shard *durable)
{
    list_init(&durable->checkpoint.sessions);
    list_init(&durable->checkpoint.waiting);
    durable->generation = 1;
}

void durable_checkpoint_release(struct durable_shard *durable) { retain_scan_end(durable->checkpoint.retained); }

/* ---- one session ------------------------------------------------------------------------------------------------ */

/* The message's record comes before the one that names it. */
static uint64_t message_id(struct broker_shard *broker, struct message *message)
{
    struct publication publication = publication_of(message);
    uint64_t id = durable_message_id(broker, &publication);
    publication_end(broker->shard, &publication);
    return id;
}

static void put_delivery(struct broker_shard *broker, struct record_writer *writer, struct delivery delivery)
{
    struct message *message = delivery_message(delivery);
    uint32_t id;
    struct stored_delivery stored = durable_stored_delivery(delivery, &id);
    stored.message = spill_is_stored(message) ? STORED_ON_SHELF | spill_number(message) : message_id(broker, message);
    record_put_delivery(writer, &stored);
}

static void put_subscriptions(struct broker_shard *broker, struct record_writer *writer, const struct session *session)
{
    record_put_u32(writer, session->subscriptions_count);
    for (uint32_t i = 0; i < session->subscriptions_count; i++) {
        struct stored_subscription stored;
        CHECK(sinks_text(broker->sinks, session->subscriptions[i], &stored.filter, &stored.group));
        const struct sink *sink = sinks_find_sink(broker->sinks, session->subscriptions[i], session);
        stored.subscription_id = sink->subscription_id;
        stored.qos = sink->qos;
        stored.no_local = sink->no_local;
        stored.retain_as_published = sink->retain_as_published;
        stored.exclusive = !stored.group.bytes && exclusive_has(&broker->broker->exclusive, stored.filter, session);
        record_put_subscription(writer, &stored);
    }
}

/* Not those whose STORE_INCOMING is still to be written: perhaps nobody has their messages on disk. */
static void put_incoming(struct record_writer *writer, const struct session *session)
{
    uint64_t pending[(UINT16_MAX + 1) / 64] = {0};
    uint32_t cursor = 0, count = 0;
    uint16_t packet_id;
    size_t count_at = writer->bytes;
    LIST_FOR_EACH(link, &session->durable->waits)
    {
        const struct durable_wait *wait = CONTAINER_OF(link, struct durable_wait, link);
        if (wait->number && !wait->staged) pending[wait->packet_id / 64] |= 1ull << (wait->packet_id % 64);
    }
    record_put_u32(writer, 0);
    while (mqtt_incoming_next(&session->incoming, &cursor, &packet_id)) {
        if (pending[packet_id / 64] >> (packet_id % 64) & 1) continue;
        record_put_u16(writer, packet_id);
        count++;
    }
    memcpy(writer->data + count_at, &count, 4);
}

/* The log knows it: QoS 0 and messages of level `none` are not kept. */
static bool logged(struct delivery delivery) { return (delivery.tagged & DELIVERY_LOGGED) != 0; }

static void put_window(struct broker_shard *broker, struct record_writer *writer, const struct session *session)
{
    struct mqtt_inflight_entry entry;
    size_t count_at = writer->bytes;
    uint32_t count = 0;
    record_put_u32(writer, 0);
    for (uint16_t cursor = 0; mqtt_inflight_next(&session->inflight, &cursor, &entry);) {
        struct delivery delivery = {(uint64_t)(uintptr_t)entry.message, entry.user};
        bool releasing = entry.state == MQTT_INFLIGHT_RELEASING;
        if (!releasing && !logged(delivery)) continue;
        record_put_u16(writer, entry.packet_id);
        record_put_u8(writer, releasing ? STORED_RELEASING : STORED_PUBLISHED);
        if (releasing) {
            struct stored_delivery none = {.qos = 2};
            record_put_delivery(writer, &none);
        } else {
            put_delivery(broker, writer, delivery);
        }
        count++;
    }
    memcpy(writer->data + count_at, &count, 4);
}

/* `count` entries from place `first` on, as far as the log knows them and the shelf has them not. */
static void put_queue(struct broker_shard *broker, struct record_writer *writer, const struct delivery_queue *queue, uint32_t first,
                      uint32_t count)
{
    size_t count_at = writer->bytes;
    uint32_t written = 0;
    record_put_u32(writer, 0);
    for (uint32_t i = first; i < first + count; i++) {
        struct delivery delivery = delivery_queue_at(queue, i);
        if (!logged(delivery) || spill_is_stored(delivery_message(delivery))) continue;
        put_delivery(broker, writer, delivery);
        written++;
    }
    memcpy(writer->data + count_at, &written, 4);
}

static void put_numbers(struct broker_shard *broker, struct record_writer *writer, const struct session *session, bool in_parts)
{
    uint64_t from, until, bytes;
    const struct durable_spill *spill = session->spilled ? session->durable->spill : NULL;
    durable_spill_range(session, &from, &until, &bytes);
    record_put_u64(writer, session->durable->front);
    record_put_u64(writer, from);
    record_put_u64(writer, until);
    record_put_u64(writer, bytes);
    if (spill && in_parts)
        record_put_u32(writer, STORE_QUEUE_IN_PARTS);
    else if (spill)
        put_queue(broker, writer, &spill->rest, 0, spill->rest.count);
    else
        record_put_u32(writer, 0);
}

static void append(struct broker_shard *broker, enum store_record type, struct record_writer *writer)
{
    struct span whole = span_of(writer->data, writer->bytes);
    wal_append(&broker->durable->wal, type, &whole, 1, broker->shard->now_ms);
    record_writer_release(writer);
}

/* With `in_parts` the queue has been written already, or (snapshot_rest) what is behind the shelf. */
static void snapshot_put(struct broker_shard *broker, struct session *session, bool in_parts)
{
    struct record_writer writer = {0};
    struct stored_session record = durable_session_record(broker, session);
    record_put_session(&writer, &record);
    put_subscriptions(broker, &writer, session);
    put_incoming(&writer, session);
    put_window(broker, &writer, session);
    if (in_parts && !session->durable->snapshot_rest)
        record_put_u32(&writer, STORE_QUEUE_IN_PARTS);
    else
        put_queue(broker, &writer, &session->queue, 0, session->queue.count);
    durable_partials_put(&writer, session->durable);
    put_numbers(broker, &writer, session, in_parts && session->durable->snapshot_rest);
    durable_spill_snapshotted(broker, session);
    append(broker, STORE_SNAPSHOT, &writer);
}

void durable_snapshot(struct broker_shard *broker, struct session *session)
{
    session->durable->snapshotting = false; /* this one replaces it */
    snapshot_put(broker, session, false);
}

/* ---- long queues, in parts --------------------------------------------------------------------------------------- */

#define PART_ENTRIES 64 /* a queue up to this long is written with its session */

static void part_put(struct broker_shard *broker, struct session *session, uint8_t begins)
{
    struct durable_session *durable = session->durable;
    struct record_writer writer = {0};
    uint32_t count = durable->snapshot_left < PART_ENTRIES ? durable->snapshot_left : PART_ENTRIES;
    const struct delivery_queue *queue = durable->snapshot_rest ? &durable->spill->rest : &session->queue;
    record_put_u64(&writer, durable->id);
    record_put_u8(&writer, begins);
    put_queue(broker, &writer, queue, durable->snapshot_passed, count);
    append(broker, STORE_QUEUE_PART, &writer);
    durable->snapshot_passed += count;
    durable->snapshot_left -= count;
}

static void parts_begin(struct broker_shard *broker, struct session *session, uint8_t begins)
{
    struct durable_session *durable = session->durable;
    durable->snapshotting = true;
    durable->snapshot_rest = begins == STORE_PART_OF_REST;
    durable->snapshot_passed = 0;
    durable->snapshot_left = durable->snapshot_rest ? durable->spill->rest.count : session->queue.count;
    part_put(broker, session, begins);
}

void durable_queue_pops(struct broker_shard *broker, struct session *session)
{
    struct durable_session *durable = session->durable;
    if (durable->snapshot_rest) return;
    if (durable->snapshot_passed == 0 && durable->snapshot_left > 0) part_put(broker, session, STORE_PART_NEXT);
    if (durable->snapshot_passed > 0) durable->snapshot_passed--;
}

void durable_rest_pops(struct session *session)
{
    struct durable_session *durable = session->durable;
    if (durable->snapshot_rest) durable->snapshotting = false;
}

/* Something else must come first; the others meanwhile. While the shelf syncs, what comes stays behind it, and may be a lot: that is not for the
 * SNAPSHOT to name, since the log has it anyhow; so the parts begin before. */
static bool session_waits(struct broker_shard *broker, struct session *session)
{
    if (session->durable->prepared_count) return true; /* between its two CONNECTs the log knows more than we do */
    if (durable_spill_settled(broker, session)) return false;
    if (session->spilled && !session->durable->snapshotting) parts_begin(broker, session, STORE_PART_OF_REST);
    return true;
}

/* More entries than go with the SNAPSHOT. A spilled queue's head is short. */
static bool wants_parts(const struct session *session)
{
    return (session->spilled ? session->durable->spill->rest.count : session->queue.count) > PART_ENTRIES;
}

/* One session of a checkpoint, or as much of it as a turn may. True: it is done. */
static bool session_slice(struct broker_shard *broker, struct session *session, uint64_t until_bytes)
{
    struct durable_session *durable = session->durable;
    if (!durable->snapshotting && !wants_parts(session)) {
        snapshot_put(broker, session, false);
        return true;
    }
    if (!durable->snapshotting) {
        if (session->spilled) durable_spill_pause(session);
        parts_begin(broker, session, session->spilled ? STORE_PART_OF_REST : STORE_PART_OF_QUEUE);
    }
    while (durable->snapshot_left > 0) {
        if (broker->durable->wal.bytes_appended > until_bytes) return false;
        part_put(broker, session, STORE_PART_NEXT);
    }
    snapshot_put(broker, session, true);
    durable->snapshotting = false;
    return true;
}

/* ---- retained messages ------------------------------------------------------------------------------------------- */

struct retained_slice {
    struct broker_shard *broker;
    uint64_t until_bytes;
    bool removed;
};

static enum retain_answer retained_visit(void *context, struct span topic, void *stored, uint64_t bytes)
{
    struct retained_slice *slice = context;
    struct broker_shard *broker = slice->broker;
    struct message *message = stored;
    bool over = retained_is_over(broker, topic, message);
    if (UNLIKELY(over && message->shelved))
        store_put_retain_clear(&broker->durable->wal, topic, broker->shard->now_ms); /* its row must not be named by what is older */
    if (over) {
        COUNT(broker, retained_expired);
        slice->removed = true;
        return RETAIN_REMOVE;
    }
    if (UNLIKELY(message->shelved))
        retained_shelf_snapshot(broker, message);
    else if (message->stored)
        store_put_retain(&broker->durable->wal, message_id(broker, message), broker->shard->now_ms);
    return broker->durable->wal.bytes_appended > slice->until_bytes ? RETAIN_STOP : RETAIN_NEXT;
}

/* ---- slices ----------------------------------------------------------------------------------------------------- */

static void checkpoint_begin(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    durable->checkpoint.running = true;
    durable->checkpoint.segment = wal_segment_now(&durable->wal);
    durable->checkpoint.begun_bytes = durable->wal.bytes_appended;
    durable->checkpoint.begun_failed = durable->wal.segments_failed;
    durable->checkpoint.retained = retain_scan_begin(span_of("", 0));
    if (++durable->generation == SPILL_GENERATION) durable->generation = 1;
    durable_spill_checkpoint_begun(broker);
    durable->checkpoint.barriers = broker->broker->shards_count;
    for (uint32_t s = 0; s < broker->broker->shards_count; s++) {
        if (s == broker->shard->number)
            durable_barrier(broker, s);
        else
            record_send(broker->shard, s, RECORD_BARRIER, NULL, 0);
    }
    struct list *old = &durable->checkpoint.sessions;
    DCHECK(list_empty(old));
    if (list_empty(&durable->sessions)) return;
    *old = durable->sessions; /* all of them move over; those written come back */
    old->next->previous = old->previous->next = old;
    list_init(&durable->sessions);
}

#define SESSIONS_PER_TURN 512 /* looked at; as many as a slice has room for are small */

/* True: all sessions are written. */
static bool sessions_slice(struct broker_shard *broker, uint64_t until_bytes)
{
    struct durable_shard *durable = broker->durable;
    struct list *old = &durable->checkpoint.sessions, *waiting = &durable->checkpoint.waiting;
    durable->checkpoint.waits = false;
    for (uint32_t n = 0; !list_empty(old); n++) {
        struct durable_session *session = CONTAINER_OF(old->next, struct durable_session, link);
        if (n == SESSIONS_PER_TURN || durable->wal.bytes_appended > until_bytes) return false;
        bool waits = session_waits(broker, session->session);
        if (!waits && !session_slice(broker, session->session, until_bytes)) return false;
        list_remove(&session->link);
        list_append(waits ? waiting : &durable->sessions, &session->link);
    }
    if (list_empty(waiting)) return true;
    list_take_all(old, waiting);
    durable->checkpoint.waits = true; /* what they wait for makes a turn, in which they are looked at again */
    return false;
}

/* True: all retained messages are written. */
static bool retained_slice(struct broker_shard *broker, uint64_t until_bytes)
{
    struct retained_slice slice = {.broker = broker, .until_bytes = until_bytes};
    bool more;
    do
        more = retain_scan_next(broker->retained, broker->durable->checkpoint.retained, RETAINED_BUDGET, retained_visit, &slice);
    while (more && broker->durable->wal.bytes_appended <= until_bytes);
    if (slice.removed) retained_show(broker);
    return !more;
}

static void checkpoint_slice(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    uint64_t until_bytes = durable->wal.bytes_appended + SLICE_BYTES;
    if (!sessions_slice(broker, until_bytes)) return;
    if (!retained_slice(broker, until_bytes)) return;
    if (durable->checkpoint.barriers) return; /* asked again in the turn that brings the last answer */
    if (durable->shelf && !retained_shelf_checkpoint(broker)) {
        durable->checkpoint.waits = true; /* for the shelf */
        return;
    }
    retain_scan_end(durable->checkpoint.retained);
    durable->checkpoint.retained = NULL;
    durable->checkpoint.running = false;
    durable->checkpoint.live_bytes = durable->wal.bytes_appended - durable->checkpoint.begun_bytes;
    durable->checkpoint.begun_bytes = durable->wal.bytes_appended;
    durable->checkpoint.commit = store_put_checkpoint(&durable->wal, durable->checkpoint.segment, broker->shard->now_ms);
}

#define ROOM_EVERY_MS 1000

/* The store is full, and one would give back what is dead in the log or on the shelf: worth an eighth of what must be written for it. */
static bool gives_room(const struct broker_shard *broker, uint64_t grown)
{
    const struct durable_shard *durable = broker->durable;
    uint64_t ended_ms = atomic_load_explicit(&durable->shown.checkpoint_ms, memory_order_relaxed), worth = durable->checkpoint.live_bytes / 8;
    if (grown > broker->settings->durability.segment_bytes / 2 && grown > worth) return true;
    return durable->shelf_gone_bytes > worth && broker->shard->now_ms >= ended_ms + ROOM_EVERY_MS;
}

static bool checkpoint_due(const struct broker_shard *broker)
{
    const struct durable_shard *durable = broker->durable;
    if (!durable->checkpoint.first_done) return !durable->restoring;
    if (durable->wal.segments_failed - durable->checkpoint.begun_failed >= SEGMENTS_FAILED_MAX) return true;
    uint64_t grown = durable->wal.bytes_appended - durable->checkpoint.begun_bytes;
    if (UNLIKELY(durable_full(broker)) && gives_room(broker, grown)) return true;
    return grown > broker->settings->durability.checkpoint_bytes && grown > durable->checkpoint.live_bytes;
}

void durable_checkpoint_turn(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    if (durable->checkpoint.commit) {
        if (!wal_durable(&durable->wal, durable->checkpoint.commit)) return;
        store_checkpointed(broker->broker->store, broker->shard->number, durable->checkpoint.segment);
        durable->checkpoint.commit = 0;
        durable->checkpoint.first_done = true;
        if (broker->broker->spill) durable_spill_checkpoint_done(broker);
        COUNT(broker, durable_checkpoints);
        atomic_store_explicit(&durable->shown.checkpoint_ms, broker->shard->now_ms, memory_order_relaxed);
        durable_show(broker);
    }
    if (broker->stopping) return;
    if (!durable->checkpoint.running && !durable->spill_walk.drops && checkpoint_due(broker)) checkpoint_begin(broker);
    if (durable->checkpoint.running && wal_backlog_bytes(&durable->wal) < SLICE_BACKLOG) {
        checkpoint_slice(broker);
        bool written = list_empty(&durable->checkpoint.sessions) && durable->checkpoint.barriers;
        broker->shard->more_next_turn |= durable->checkpoint.running && !written && !durable->checkpoint.waits;
    }
}
