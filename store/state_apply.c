/* state_apply.c - what each record does to a state. */
#include "base/check.h"
#include "base/memory.h"
#include "store/state_rows.h"

/* ---- messages --------------------------------------------------------------------------------------------------- */

static bool apply_message(struct state *state, struct record_reader *reader, void *own)
{
    struct stored_message stored = record_take_message(reader);
    if (!record_reader_whole(reader)) return false;
    state_message_unref(map_remove(&state->messages, span_of(&stored.id, 8))); /* a checkpoint wrote it again */
    struct state_message *message = memory_acquire_zeroed(sizeof *message);
    message->stored = stored;
    message->key = stored.id;
    message->references = 1;
    message->own = own;
    map_insert(&state->messages, message);
    if (stored.origin.session) state_origin_add(state, message);
    return true;
}

/* ---- retained --------------------------------------------------------------------------------------------------- */

static void apply_retain(struct state *state, uint64_t id)
{
    struct state_message *message = state_message_find(state, id);
    if (!message) {
        state->unresolved++;
        return;
    }
    message->references++;
    state_retained_put(state, message->stored.topic, message);
}

static bool apply_shelved(struct state *state, struct record_reader *reader, void *own)
{
    struct stored_shelved shelved = record_take_shelved(reader);
    if (!record_reader_whole(reader)) return false;
    struct state_message *message = memory_acquire_zeroed(sizeof *message);
    message->stored = shelved.message;
    message->row = shelved.row;
    message->payload_bytes = shelved.payload_bytes;
    message->references = 1;
    message->own = own;
    state_retained_put(state, message->stored.topic, message);
    return true;
}

static bool apply_shelf_state(struct state *state, struct record_reader *reader)
{
    struct stored_shelf_state shelf = {.space = record_take_u64(reader)};
    shelf.settled = record_take_u64(reader);
    shelf.settled_epoch = record_take_u64(reader);
    shelf.rows_count = record_take_u32(reader);
    struct span rows = record_take_bytes(reader, (size_t)shelf.rows_count * sizeof *shelf.rows);
    if (!record_reader_whole(reader)) return false;
    struct stored_row *copy = memory_acquire(rows.bytes + 1); /* they lie anywhere in the record */
    if (rows.bytes) memcpy(copy, rows.data, rows.bytes);
    shelf.rows = copy;
    state_shelf_put(state, &shelf);
    memory_release(copy);
    return true;
}

/* ---- one record ------------------------------------------------------------------------------------------------- */

static void apply_delivery(struct state *state, struct record_reader *reader, uint32_t type)
{
    uint64_t id = record_take_u64(reader);
    uint16_t packet_id = record_take_u16(reader);
    struct span ids;
    struct stored_delivery stored = record_take_delivery(reader, &ids);
    if (!record_reader_whole(reader) || (packet_id == 0) != (type == STORE_ENQUEUE)) {
        reader->bad = true;
        return;
    }
    struct state_session *session = state_session_find(state, id);
    struct state_message *message = state_message_find(state, stored.message);
    if (!message) {
        state->unresolved++;
        return;
    }
    state_receiver_add(message, id, stored.shared); /* of a session whose SNAPSHOT is still to come, too */
    if (!session) return;
    struct state_delivery delivery = state_delivery_of(message, &stored, ids);
    if (packet_id) return state_window_put(session, delivery, packet_id);
    state_queue_put(session, delivery);
    if (session->parts) state_row_put(&session->tail, &session->tail_count, &session->tail_capacity, state_delivery_of(message, &stored, ids));
}

static void apply_packet(struct state *state, struct record_reader *reader, uint32_t type)
{
    uint64_t id = record_take_u64(reader);
    uint16_t packet_id = record_take_u16(reader);
    if (!record_reader_whole(reader)) return;
    struct state_session *session = state_session_find(state, id);
    struct state_delivery delivery;
    if (!session) return;
    if (type == STORE_SENT || type == STORE_DROP) state_shadow_take(state, session);
    switch (type) {
    case STORE_SENT:
        if (state_queue_take(state, session, &delivery)) state_window_put(session, delivery, packet_id);
        return;
    case STORE_DROP:
        if (state_queue_take(state, session, &delivery)) state_delivery_release(&delivery);
        return;
    case STORE_DONE: return state_window_remove(session, packet_id);
    case STORE_RELEASING: return state_releasing_put(session, packet_id);
    case STORE_INCOMING_END: return state_incoming_remove(session, packet_id);
    }
    UNREACHABLE("not a packet's record");
}

static bool take_window(struct state *state, struct record_reader *reader, struct state_session *session)
{
    for (uint32_t count = record_take_u32(reader); count > 0 && !reader->bad; count--) {
        uint16_t packet_id = record_take_u16(reader);
        uint8_t inflight = record_take_u8(reader);
        struct span ids;
        struct stored_delivery stored = record_take_delivery(reader, &ids);
        struct state_delivery delivery = {.qos = stored.qos, .state = inflight};
        if (stored.message & STORED_ON_SHELF) {
            delivery.shelved = true;
            delivery.number = stored.message & ~STORED_ON_SHELF;
        } else if (inflight == STORED_PUBLISHED) {
            struct state_message *message = state_message_find(state, stored.message);
            state->unresolved += !message;
            if (!message) continue; /* this snapshot's beginning was trimmed: another one follows */
            delivery = state_delivery_of(message, &stored, ids);
        }
        state_window_put(session, delivery, packet_id);
    }
    return !reader->bad;
}

/* What the parts and the events since have made of it. */
static bool queue_from_parts(struct state *state, struct state_session *session, bool rest)
{
    if (!session->parts || session->parts_rest != rest) state->unresolved++; /* trimmed away: another snapshot follows */
    for (uint32_t i = session->shadow_head; i < session->shadow_count; i++)
        state_queue_put(session, session->shadow[i]);
    for (uint32_t i = 0; i < session->tail_count; i++)
        state_queue_put(session, session->tail[i]);
    session->shadow_head = session->shadow_count = session->tail_count = 0;
    session->parts = session->parts_rest = false;
    return true;
}

static bool take_queue(struct state *state, struct record_reader *reader, struct state_session *session)
{
    uint32_t count = record_take_u32(reader);
    if (count == STORE_QUEUE_IN_PARTS) return queue_from_parts(state, session, false);
    if (!session->parts_rest) state_shadow_clear(session);
    for (; count > 0 && !reader->bad; count--) {
        struct span ids;
        struct stored_delivery stored = record_take_delivery(reader, &ids);
        struct state_message *message = state_message_find(state, stored.message);
        if (reader->bad) return false;
        state->unresolved += !message;
        if (message) state_queue_put(session, state_delivery_of(message, &stored, ids));
    }
    return !reader->bad;
}

/* The last section; what an older program wrote has none. */
static bool take_partials(struct record_reader *reader, struct state_session *session)
{
    for (uint32_t count = record_reader_whole(reader) ? 0 : record_take_u32(reader); count > 0 && !reader->bad; count--) {
        uint16_t packet_id = record_take_u16(reader);
        struct state_partial *partial = state_partial_put(session, packet_id, record_take_u64(reader));
        for (uint32_t receivers = record_take_u32(reader); receivers > 0 && !reader->bad; receivers--)
            state_partial_receiver(partial, record_take_u64(reader));
        for (uint32_t groups = record_take_u32(reader); groups > 0 && !reader->bad; groups--)
            state_partial_group(partial, record_take_u64(reader));
    }
    return !reader->bad;
}

/* The same: what an older program wrote has no numbers. */
static bool take_numbers(struct state *state, struct record_reader *reader, struct state_session *session)
{
    session->front = 0;
    if (record_reader_whole(reader)) return true;
    session->front = record_take_u64(reader);
    session->shelf_from = record_take_u64(reader);
    session->shelf_until = record_take_u64(reader);
    session->shelf_bytes = record_take_u64(reader);
    session->shelved = session->shelf_from < session->shelf_until;
    uint32_t count = record_take_u32(reader);
    if (count == STORE_QUEUE_IN_PARTS) return queue_from_parts(state, session, true) && record_reader_whole(reader);
    state_shadow_clear(session);
    for (; count > 0 && !reader->bad; count--) {
        struct span ids;
        struct stored_delivery stored = record_take_delivery(reader, &ids);
        struct state_message *message = reader->bad ? NULL : state_message_find(state, stored.message);
        state->unresolved += !message;
        if (message) state_queue_put(session, state_delivery_of(message, &stored, ids));
    }
    return record_reader_whole(reader);
}

static bool apply_snapshot(struct state *state, struct record_reader *reader)
{
    struct stored_session stored = record_take_session(reader);
    if (reader->bad) return false;
    struct state_session *session = state_session_put(state, &stored);
    state_session_clear(session);
    for (uint32_t count = record_take_u32(reader); count > 0 && !reader->bad; count--) {
        struct stored_subscription subscription = record_take_subscription(reader);
        if (!reader->bad) state_subscription_put(session, &subscription);
    }
    for (uint32_t count = record_take_u32(reader); count > 0 && !reader->bad; count--)
        state_incoming_put(session, record_take_u16(reader));
    return take_window(state, reader, session) && take_queue(state, reader, session) && take_partials(reader, session) &&
           take_numbers(state, reader, session);
}

static bool apply_queue_part(struct state *state, struct record_reader *reader)
{
    uint64_t id = record_take_u64(reader);
    uint8_t begins = record_take_u8(reader);
    if (reader->bad || begins > STORE_PART_OF_REST) return false;
    struct state_session *session = map_find(&state->sessions, span_of(&id, 8));
    if (!session) { /* its SESSION was trimmed away: the SNAPSHOT will tell the rest */
        session = memory_acquire_zeroed(sizeof *session);
        session->key = id;
        map_insert(&state->sessions, session);
    }
    if (begins) {
        state_shadow_clear(session);
        session->parts = true;
        session->parts_rest = begins == STORE_PART_OF_REST;
    }
    for (uint32_t count = record_take_u32(reader); count > 0 && !reader->bad; count--) {
        struct span ids;
        struct stored_delivery stored = record_take_delivery(reader, &ids);
        struct state_message *message = reader->bad ? NULL : state_message_find(state, stored.message);
        state->unresolved += !message;
        if (message && session->parts)
            state_row_put(&session->shadow, &session->shadow_count, &session->shadow_capacity, state_delivery_of(message, &stored, ids));
    }
    return record_reader_whole(reader);
}

static void apply_incoming(struct state *state, struct record_reader *reader)
{
    uint64_t id = record_take_u64(reader);
    uint16_t packet_id = record_take_u16(reader);
    uint32_t number = record_take_u32(reader);
    struct state_session *session = record_reader_whole(reader) ? state_session_find(state, id) : NULL;
    if (!session) return;
    state_incoming_put(session, packet_id);
    state_partial_remove(session, packet_id);
    session->stored.incoming_number = number;
}

static void apply_detach(struct state *state, struct record_reader *reader)
{
    uint64_t id = record_take_u64(reader);
    uint32_t expiry_s = record_take_u32(reader);
    uint64_t realtime_ms = record_take_u64(reader);
    bool keeps_will = record_take_u8(reader) != 0;
    struct state_session *session = record_reader_whole(reader) ? state_session_find(state, id) : NULL;
    if (!session) return;
    session->stored.connected = false;
    session->stored.expiry_s = expiry_s;
    session->stored.detached_ms = realtime_ms;
    if (!keeps_will) state_will_clear(session);
}

static bool apply_subscription(struct state *state, struct record_reader *reader, uint32_t type)
{
    uint64_t id = record_take_u64(reader);
    struct stored_subscription stored = {.filter = {0}};
    if (type == STORE_SUBSCRIBE) {
        stored = record_take_subscription(reader);
    } else {
        stored.filter = record_take_text(reader);
        stored.group = record_take_text(reader);
    }
    struct state_session *session = record_reader_whole(reader) ? state_session_find(state, id) : NULL;
    if (!session) return record_reader_whole(reader);
    if (type == STORE_SUBSCRIBE)
        state_subscription_put(session, &stored);
    else
        state_subscription_remove(session, stored.filter, stored.group);
    return true;
}

static bool apply(struct state *state, uint32_t type, struct record_reader *reader, void **own)
{
    struct state_session *session;
    switch (type) {
    case STORE_MESSAGE: {
        void *kept = *own;
        *own = NULL;
        if (apply_message(state, reader, kept)) return true;
        *own = kept;
        return false;
    }
    case STORE_RETAIN_SHELVED: {
        void *kept = *own;
        *own = NULL;
        if (apply_shelved(state, reader, kept)) return true;
        *own = kept;
        return false;
    }
    case STORE_SHELF_STATE: return apply_shelf_state(state, reader);
    case STORE_SESSION: {
        struct stored_session stored = record_take_session(reader);
        if (record_reader_whole(reader)) state_session_put(state, &stored);
        break;
    }
    case STORE_SESSION_END: {
        uint64_t id = record_take_u64(reader);
        if (record_reader_whole(reader) && (session = map_remove(&state->sessions, span_of(&id, 8)))) state_session_release(session);
        break;
    }
    case STORE_DETACH: apply_detach(state, reader); break;
    case STORE_WILL_CLEAR: {
        uint64_t id = record_take_u64(reader);
        if (record_reader_whole(reader) && (session = state_session_find(state, id))) state_will_clear(session);
        break;
    }
    case STORE_SUBSCRIBE:
    case STORE_UNSUBSCRIBE: apply_subscription(state, reader, type); break;
    case STORE_ENQUEUE:
    case STORE_DELIVER: apply_delivery(state, reader, type); break;
    case STORE_SENT:
    case STORE_DROP:
    case STORE_DONE:
    case STORE_RELEASING:
    case STORE_INCOMING_END: apply_packet(state, reader, type); break;
    case STORE_INCOMING: apply_incoming(state, reader); break;
    case STORE_RETAIN: {
        uint64_t id = record_take_u64(reader);
        if (record_reader_whole(reader)) apply_retain(state, id);
        break;
    }
    case STORE_RETAIN_CLEAR: state_retained_put(state, record_take_rest(reader), NULL); break;
    case STORE_QUEUE_PART: return apply_queue_part(state, reader);
    case STORE_SPILLED: {
        uint64_t id = record_take_u64(reader), from = record_take_u64(reader), until = record_take_u64(reader), bytes = record_take_u64(reader);
        if (!record_reader_whole(reader) || from >= until) return false;
        if ((session = state_session_find(state, id))) state_queue_spilled(session, from, until, bytes);
        break;
    }
    case STORE_SNAPSHOT: return apply_snapshot(state, reader);
    case STORE_CHECKPOINT: record_take_u64(reader); break;
    default: return false;
    }
    return record_reader_whole(reader);
}

bool state_apply(struct state *state, uint32_t type, struct span body, void *own)
{
    struct record_reader reader = record_reader_of(body);
    state->records++;
    bool sound = apply(state, type, &reader, &own);
    memory_release(own); /* only messages keep theirs */
    if (!sound) state->fault = "a record that does not make sense (its checksum is right: a fault of the program that wrote it)";
    return sound;
}
