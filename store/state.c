#include "store/state.h"

#include "base/check.h"
#include "base/memory.h"

static struct span session_key(const void *value) { return span_of(&((const struct state_session *)value)->key, 8); }
static struct span message_key(const void *value) { return span_of(&((const struct state_message *)value)->key, 8); }
static struct span retained_key(const void *value) { return ((const struct state_message *)value)->stored.topic; }

void state_init(struct state *state)
{
    *state = (struct state){0};
    map_init(&state->sessions, session_key);
    map_init(&state->retained, retained_key);
    map_init(&state->messages, message_key);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static void message_unref(struct state_message *message)
{
    if (!message || --message->references > 0) return;
    memory_release(message->own);
    memory_release(message->receivers);
    memory_release(message);
}

static struct state_message *message_find(const struct state *state, uint64_t id)
{
    return map_find(&state->messages, span_of(&id, 8));
}

static void origin_add(struct state *state, struct state_message *message)
{
    if (state->origins_count == state->origins_capacity) {
        state->origins_capacity = state->origins_capacity ? state->origins_capacity * 2 : 64;
        state->origins = memory_resize(state->origins, state->origins_capacity * sizeof(struct state_message *));
    }
    message->references++;
    state->origins[state->origins_count++] = message;
}

static bool apply_message(struct state *state, struct record_reader *reader, void *own)
{
    struct stored_message stored = record_take_message(reader);
    if (!record_reader_whole(reader)) return false;
    message_unref(map_remove(&state->messages, span_of(&stored.id, 8))); /* a checkpoint wrote it again */
    struct state_message *message = memory_acquire_zeroed(sizeof *message);
    message->stored = stored;
    message->key = stored.id;
    message->references = 1;
    message->own = own;
    map_insert(&state->messages, message);
    if (stored.origin.session) origin_add(state, message);
    return true;
}

static void receiver_add(struct state_message *message, uint64_t session, bool shared)
{
    if (!message->stored.origin.session) return;
    if ((message->receivers_count & (message->receivers_count - 1)) == 0) /* a power of two: full */
        message->receivers = memory_resize(message->receivers, (message->receivers_count ? message->receivers_count * 2u : 1u) *
                                                                   sizeof *message->receivers);
    message->receivers[message->receivers_count++] = (struct state_receiver){session, shared};
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

static void delivery_release(struct state_delivery *delivery)
{
    message_unref(delivery->message);
    memory_release(delivery->ids);
    *delivery = (struct state_delivery){0};
}

static void subscription_release(struct state_subscription *subscription)
{
    memory_release(subscription->filter);
    memory_release(subscription->group);
}

static void shadow_clear(struct state_session *session)
{
    for (uint32_t i = session->shadow_head; i < session->shadow_count; i++)
        delivery_release(&session->shadow[i]);
    for (uint32_t i = 0; i < session->tail_count; i++)
        delivery_release(&session->tail[i]);
    session->shadow_head = session->shadow_count = session->tail_count = 0;
    session->parts = false;
}

/* All that a SNAPSHOT brings anew. */
static void session_clear(struct state_session *session)
{
    for (uint32_t i = 0; i < session->subscriptions_count; i++)
        subscription_release(&session->subscriptions[i]);
    for (uint32_t i = 0; i < session->window_count; i++)
        delivery_release(&session->window[i]);
    for (uint32_t i = session->queue_head; i < session->queue_count; i++)
        delivery_release(&session->queue[i]);
    session->subscriptions_count = session->window_count = session->incoming_count = 0;
    session->queue_head = session->queue_count = 0;
}

static void session_release(struct state_session *session)
{
    session_clear(session);
    shadow_clear(session);
    memory_release(session->shadow);
    memory_release(session->tail);
    memory_release(session->text);
    memory_release(session->will_text);
    memory_release(session->subscriptions);
    memory_release(session->incoming);
    memory_release(session->window);
    memory_release(session->queue);
    memory_release(session);
}

/* NULL: its beginning was trimmed. */
static struct state_session *session_find(struct state *state, uint64_t id)
{
    struct state_session *session = map_find(&state->sessions, span_of(&id, 8));
    if (!session) state->unresolved++;
    return session;
}

static void will_clear(struct state_session *session)
{
    memory_release(session->will_text);
    session->will_text = NULL;
    session->stored.will = (struct stored_will){0};
}

static struct span copy_into(uint8_t **at, struct span text)
{
    if (text.bytes) memcpy(*at, text.data, text.bytes);
    struct span copy = span_of(*at, text.bytes);
    *at += text.bytes;
    return copy;
}

static struct state_session *session_put(struct state *state, const struct stored_session *stored)
{
    struct state_session *session = map_find(&state->sessions, span_of(&stored->id, 8));
    if (!session) {
        session = memory_acquire_zeroed(sizeof *session);
        session->key = stored->id;
        map_insert(&state->sessions, session);
    }
    if (!session->text) session->text = memory_copy_string(stored->client_id);
    will_clear(session);
    uint32_t incoming_number = session->stored.incoming_number;
    session->stored = *stored;
    session->stored.client_id = span_of(session->text, stored->client_id.bytes);
    if (session->stored.incoming_number < incoming_number) session->stored.incoming_number = incoming_number;
    if (stored->id > state->session_id_last) state->session_id_last = stored->id;
    if (!stored->will.present) return session;
    const struct stored_message *will = &stored->will.message;
    uint8_t *at = session->will_text = memory_acquire(will->topic.bytes + will->properties.bytes + will->payload.bytes + 1);
    session->stored.will.message.topic = copy_into(&at, will->topic);
    session->stored.will.message.properties = copy_into(&at, will->properties);
    session->stored.will.message.payload = copy_into(&at, will->payload);
    return session;
}

static uint32_t subscription_find(const struct state_session *session, struct span filter, struct span group)
{
    for (uint32_t i = 0; i < session->subscriptions_count; i++)
        if (span_equal(session->subscriptions[i].stored.filter, filter) && span_equal(session->subscriptions[i].stored.group, group))
            return i;
    return UINT32_MAX;
}

static void subscription_put(struct state_session *session, const struct stored_subscription *stored)
{
    uint32_t i = subscription_find(session, stored->filter, stored->group);
    if (i == UINT32_MAX) {
        if (session->subscriptions_count == session->subscriptions_capacity) {
            session->subscriptions_capacity = session->subscriptions_capacity ? session->subscriptions_capacity * 2 : 2;
            session->subscriptions =
                memory_resize(session->subscriptions, session->subscriptions_capacity * sizeof *session->subscriptions);
        }
        i = session->subscriptions_count++;
        session->subscriptions[i].filter = memory_copy_string(stored->filter);
        session->subscriptions[i].group = memory_copy_string(stored->group);
    }
    struct state_subscription *subscription = &session->subscriptions[i];
    subscription->stored = *stored;
    subscription->stored.filter = span_of(subscription->filter, stored->filter.bytes);
    subscription->stored.group = span_of(subscription->group, stored->group.bytes);
}

static void subscription_remove(struct state_session *session, struct span filter, struct span group)
{
    uint32_t i = subscription_find(session, filter, group);
    if (i == UINT32_MAX) return;
    subscription_release(&session->subscriptions[i]);
    session->subscriptions[i] = session->subscriptions[--session->subscriptions_count];
}

static void incoming_put(struct state_session *session, uint16_t packet_id)
{
    for (uint32_t i = 0; i < session->incoming_count; i++)
        if (session->incoming[i] == packet_id) return;
    if (session->incoming_count == session->incoming_capacity) {
        session->incoming_capacity = session->incoming_capacity ? session->incoming_capacity * 2 : 8;
        session->incoming = memory_resize(session->incoming, session->incoming_capacity * sizeof *session->incoming);
    }
    session->incoming[session->incoming_count++] = packet_id;
}

static void incoming_remove(struct state_session *session, uint16_t packet_id)
{
    for (uint32_t i = 0; i < session->incoming_count; i++)
        if (session->incoming[i] == packet_id) session->incoming[i] = session->incoming[--session->incoming_count];
}

/* ---- queue and window ------------------------------------------------------------------------------------------- */

static struct state_delivery delivery_of(struct state_message *message, const struct stored_delivery *stored, struct span ids)
{
    struct state_delivery delivery = {.message = message, .qos = stored->qos, .retain = stored->retain, .state = STORED_PUBLISHED,
                                      .ids_count = stored->ids_count};
    message->references++;
    if (!ids.bytes) return delivery;
    delivery.ids = memory_acquire(ids.bytes);
    memcpy(delivery.ids, ids.data, ids.bytes);
    return delivery;
}

/* A row of deliveries: pointer, count and capacity, grown on demand. */
static void row_put(struct state_delivery **row, uint32_t *count, uint32_t *capacity, struct state_delivery delivery)
{
    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 8;
        *row = memory_resize(*row, *capacity * sizeof **row);
    }
    (*row)[(*count)++] = delivery;
}

static void queue_put(struct state_session *session, struct state_delivery delivery)
{
    if (session->queue_count == session->queue_capacity && session->queue_head > session->queue_capacity / 2) { /* mostly gone: move up */
        session->queue_count -= session->queue_head;
        memmove(session->queue, session->queue + session->queue_head, session->queue_count * sizeof *session->queue);
        session->queue_head = 0;
    }
    row_put(&session->queue, &session->queue_count, &session->queue_capacity, delivery);
}

static uint32_t window_find(const struct state_session *session, uint16_t packet_id)
{
    for (uint32_t i = 0; i < session->window_count; i++)
        if (session->window[i].packet_id == packet_id) return i;
    return UINT32_MAX;
}

static void window_remove(struct state_session *session, uint16_t packet_id)
{
    uint32_t i = window_find(session, packet_id);
    if (i == UINT32_MAX) return;
    delivery_release(&session->window[i]);
    session->window_count--;
    memmove(session->window + i, session->window + i + 1, (session->window_count - i) * sizeof *session->window);
}

static void window_put(struct state_session *session, struct state_delivery delivery, uint16_t packet_id)
{
    window_remove(session, packet_id);
    if (session->window_count == session->window_capacity) {
        session->window_capacity = session->window_capacity ? session->window_capacity * 2 : 8;
        session->window = memory_resize(session->window, session->window_capacity * sizeof *session->window);
    }
    delivery.packet_id = packet_id;
    session->window[session->window_count++] = delivery;
}

/* The front of the queue, taken out. */
static bool queue_take(struct state *state, struct state_session *session, struct state_delivery *ret_delivery)
{
    if (session->queue_head == session->queue_count) {
        state->unresolved++; /* it was put there before the log's first record */
        return false;
    }
    *ret_delivery = session->queue[session->queue_head++];
    if (session->queue_head == session->queue_count) session->queue_head = session->queue_count = 0;
    return true;
}

/* SENT and DROP take the same one from the queue to be. */
static void shadow_take(struct state *state, struct state_session *session)
{
    if (!session->parts) return;
    if (session->shadow_head == session->shadow_count)
        state->unresolved++;
    else
        delivery_release(&session->shadow[session->shadow_head++]);
}

static void releasing_put(struct state_session *session, uint16_t packet_id)
{
    uint32_t i = window_find(session, packet_id);
    if (i == UINT32_MAX) return;
    struct state_delivery *delivery = &session->window[i];
    message_unref(delivery->message);
    delivery->message = NULL;
    delivery->state = STORED_RELEASING;
}

void state_enqueue(struct state *state, struct state_session *session, struct state_message *message,
                   const struct stored_delivery *delivery)
{
    queue_put(session, delivery_of(message, delivery, span_of(delivery->ids, delivery->ids_count * 4)));
    receiver_add(message, session->key, delivery->shared);
}

/* ---- retained --------------------------------------------------------------------------------------------------- */

static void apply_retain(struct state *state, uint64_t id)
{
    struct state_message *message = message_find(state, id);
    if (!message) {
        state->unresolved++;
        return;
    }
    message->references++;
    message_unref(map_remove(&state->retained, message->stored.topic));
    map_insert(&state->retained, message);
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
    struct state_session *session = session_find(state, id);
    struct state_message *message = message_find(state, stored.message);
    if (!session) return;
    if (!message) {
        state->unresolved++;
        return;
    }
    struct state_delivery delivery = delivery_of(message, &stored, ids);
    receiver_add(message, id, stored.shared);
    if (packet_id) return window_put(session, delivery, packet_id);
    queue_put(session, delivery);
    if (session->parts) row_put(&session->tail, &session->tail_count, &session->tail_capacity, delivery_of(message, &stored, ids));
}

static void apply_packet(struct state *state, struct record_reader *reader, uint32_t type)
{
    uint64_t id = record_take_u64(reader);
    uint16_t packet_id = record_take_u16(reader);
    if (!record_reader_whole(reader)) return;
    struct state_session *session = session_find(state, id);
    struct state_delivery delivery;
    if (!session) return;
    if (type == STORE_SENT || type == STORE_DROP) shadow_take(state, session);
    switch (type) {
    case STORE_SENT:
        if (queue_take(state, session, &delivery)) window_put(session, delivery, packet_id);
        return;
    case STORE_DROP:
        if (queue_take(state, session, &delivery)) delivery_release(&delivery);
        return;
    case STORE_DONE: return window_remove(session, packet_id);
    case STORE_RELEASING: return releasing_put(session, packet_id);
    case STORE_INCOMING_END: return incoming_remove(session, packet_id);
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
        struct state_delivery delivery = {.qos = stored.qos, .state = STORED_RELEASING};
        if (inflight == STORED_PUBLISHED) {
            struct state_message *message = message_find(state, stored.message);
            state->unresolved += !message;
            if (!message) continue; /* this snapshot's beginning was trimmed: another one follows */
            delivery = delivery_of(message, &stored, ids);
        }
        window_put(session, delivery, packet_id);
    }
    return !reader->bad;
}

/* What the parts and the events since have made of it. */
static bool queue_from_parts(struct state *state, struct state_session *session)
{
    if (!session->parts) state->unresolved++; /* trimmed away: another snapshot follows */
    for (uint32_t i = session->shadow_head; i < session->shadow_count; i++)
        queue_put(session, session->shadow[i]);
    for (uint32_t i = 0; i < session->tail_count; i++)
        queue_put(session, session->tail[i]);
    session->shadow_head = session->shadow_count = session->tail_count = 0;
    session->parts = false;
    return true;
}

static bool take_queue(struct state *state, struct record_reader *reader, struct state_session *session)
{
    uint32_t count = record_take_u32(reader);
    if (count == STORE_QUEUE_IN_PARTS) return queue_from_parts(state, session);
    shadow_clear(session);
    for (; count > 0 && !reader->bad; count--) {
        struct span ids;
        struct stored_delivery stored = record_take_delivery(reader, &ids);
        struct state_message *message = message_find(state, stored.message);
        if (reader->bad) return false;
        state->unresolved += !message;
        if (message) queue_put(session, delivery_of(message, &stored, ids));
    }
    return !reader->bad;
}

static bool apply_snapshot(struct state *state, struct record_reader *reader)
{
    struct stored_session stored = record_take_session(reader);
    if (reader->bad) return false;
    struct state_session *session = session_put(state, &stored);
    session_clear(session);
    for (uint32_t count = record_take_u32(reader); count > 0 && !reader->bad; count--) {
        struct stored_subscription subscription = record_take_subscription(reader);
        if (!reader->bad) subscription_put(session, &subscription);
    }
    for (uint32_t count = record_take_u32(reader); count > 0 && !reader->bad; count--)
        incoming_put(session, record_take_u16(reader));
    return take_window(state, reader, session) && take_queue(state, reader, session) && record_reader_whole(reader);
}

static bool apply_queue_part(struct state *state, struct record_reader *reader)
{
    uint64_t id = record_take_u64(reader);
    bool first = record_take_u8(reader) == 1;
    if (reader->bad) return false;
    struct state_session *session = map_find(&state->sessions, span_of(&id, 8));
    if (!session) { /* its SESSION was trimmed away: the SNAPSHOT will tell the rest */
        session = memory_acquire_zeroed(sizeof *session);
        session->key = id;
        map_insert(&state->sessions, session);
    }
    if (first) shadow_clear(session);
    session->parts |= first;
    for (uint32_t count = record_take_u32(reader); count > 0 && !reader->bad; count--) {
        struct span ids;
        struct stored_delivery stored = record_take_delivery(reader, &ids);
        struct state_message *message = reader->bad ? NULL : message_find(state, stored.message);
        state->unresolved += !message;
        if (message && session->parts)
            row_put(&session->shadow, &session->shadow_count, &session->shadow_capacity, delivery_of(message, &stored, ids));
    }
    return record_reader_whole(reader);
}

static void apply_incoming(struct state *state, struct record_reader *reader)
{
    uint64_t id = record_take_u64(reader);
    uint16_t packet_id = record_take_u16(reader);
    uint32_t number = record_take_u32(reader);
    struct state_session *session = record_reader_whole(reader) ? session_find(state, id) : NULL;
    if (!session) return;
    incoming_put(session, packet_id);
    session->stored.incoming_number = number;
}

static void apply_detach(struct state *state, struct record_reader *reader)
{
    uint64_t id = record_take_u64(reader);
    uint32_t expiry_s = record_take_u32(reader);
    uint64_t realtime_ms = record_take_u64(reader);
    bool keeps_will = record_take_u8(reader) != 0;
    struct state_session *session = record_reader_whole(reader) ? session_find(state, id) : NULL;
    if (!session) return;
    session->stored.connected = false;
    session->stored.expiry_s = expiry_s;
    session->stored.detached_ms = realtime_ms;
    if (!keeps_will) will_clear(session);
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
    struct state_session *session = record_reader_whole(reader) ? session_find(state, id) : NULL;
    if (!session) return record_reader_whole(reader);
    if (type == STORE_SUBSCRIBE)
        subscription_put(session, &stored);
    else
        subscription_remove(session, stored.filter, stored.group);
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
    case STORE_SESSION: {
        struct stored_session stored = record_take_session(reader);
        if (record_reader_whole(reader)) session_put(state, &stored);
        break;
    }
    case STORE_SESSION_END: {
        uint64_t id = record_take_u64(reader);
        if (record_reader_whole(reader) && (session = map_remove(&state->sessions, span_of(&id, 8)))) session_release(session);
        break;
    }
    case STORE_DETACH: apply_detach(state, reader); break;
    case STORE_WILL_CLEAR: {
        uint64_t id = record_take_u64(reader);
        if (record_reader_whole(reader) && (session = session_find(state, id))) will_clear(session);
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
    case STORE_RETAIN_CLEAR: message_unref(map_remove(&state->retained, record_take_rest(reader))); break;
    case STORE_QUEUE_PART: return apply_queue_part(state, reader);
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

/* ---- logs and epochs -------------------------------------------------------------------------------------------- */

static void messages_forget(struct state *state)
{
    uint32_t cursor = 0;
    for (struct state_message *message, *next = map_next(&state->messages, &cursor); (message = next);) {
        next = map_next(&state->messages, &cursor); /* the walk looks at a value no more once it has gone on */
        message_unref(message);
    }
    map_free(&state->messages);
    map_init(&state->messages, message_key);
}

void state_log_begin(struct state *state) { DCHECK(state->messages.count == 0); }

/* A snapshot that was never finished leaves nothing; and sessions of which only parts of a queue are known had ended before. */
static void parts_forget(struct state *state)
{
    struct state_session *stub;
    do {
        uint32_t cursor = 0;
        for (stub = state_session_next(state, &cursor); stub && stub->text; stub = state_session_next(state, &cursor))
            shadow_clear(stub);
        if (stub) session_release(map_remove(&state->sessions, session_key(stub)));
    } while (stub);
}

void state_log_end(struct state *state)
{
    parts_forget(state);
    messages_forget(state);
}

static void origins_forget(struct state *state)
{
    for (uint32_t i = 0; i < state->origins_count; i++) {
        struct state_message *message = state->origins[i];
        memory_release(message->receivers);
        message->receivers = NULL;
        message->receivers_count = 0;
        message->stored.origin = (struct stored_origin){0};
        message_unref(message);
    }
    state->origins_count = 0;
}

void state_epoch_end(struct state *state)
{
    origins_forget(state);
    uint32_t cursor = 0;
    for (struct state_session *session; (session = state_session_next(state, &cursor));) {
        if (!session->stored.connected) continue;
        session->stored.connected = false;
        session->stored.detached_ms = state->last_ms;
    }
    state->last_ms = 0;
}

/* Several shards may have the same message. */
static bool origin_equal(const struct stored_origin *a, const struct stored_origin *b)
{
    return a->session == b->session && a->number == b->number;
}

static bool reached(const struct state *state, const struct state_message *message, uint64_t session, bool shared_only)
{
    for (uint32_t i = 0; i < state->origins_count; i++) {
        const struct state_message *other = state->origins[i];
        if (!origin_equal(&other->stored.origin, &message->stored.origin)) continue;
        for (uint32_t r = 0; r < other->receivers_count; r++)
            if (other->receivers[r].session == session && (other->receivers[r].shared || !shared_only)) return true;
    }
    return false;
}

bool state_message_reached(const struct state *state, const struct state_message *message, uint64_t session)
{
    return reached(state, message, session, false);
}

bool state_message_reached_shared(const struct state *state, const struct state_message *message, uint64_t session)
{
    return reached(state, message, session, true);
}

void state_resolve(struct state *state, void (*redo)(void *context, struct state *state, struct state_message *message),
                   void *context)
{
    /* Those that are settled go first, so that the rest can be compared with each other: there are few. */
    uint32_t open = 0;
    for (uint32_t i = 0; i < state->origins_count; i++) {
        struct state_message *message = state->origins[i];
        const struct stored_origin *origin = &message->stored.origin;
        struct state_session *session = map_find(&state->sessions, span_of(&origin->session, 8));
        if (session && origin->number > session->stored.incoming_number) {
            state->origins[open++] = message;
        } else {
            memory_release(message->receivers);
            message->receivers = NULL;
            message->receivers_count = 0;
            message->stored.origin = (struct stored_origin){0};
            message_unref(message);
        }
    }
    state->origins_count = open;
    for (uint32_t i = 0; i < open; i++) {
        const struct stored_origin *origin = &state->origins[i]->stored.origin;
        incoming_put(map_find(&state->sessions, span_of(&origin->session, 8)), origin->packet_id);
        bool again = false;
        for (uint32_t earlier = 0; earlier < i && !again; earlier++)
            again = origin_equal(&state->origins[earlier]->stored.origin, origin);
        if (!again) redo(context, state, state->origins[i]);
    }
    for (uint32_t i = 0; i < open; i++) {
        const struct stored_origin *origin = &state->origins[i]->stored.origin;
        struct state_session *session = map_find(&state->sessions, span_of(&origin->session, 8));
        if (session->stored.incoming_number < origin->number) session->stored.incoming_number = origin->number;
    }
}

void state_release(struct state *state)
{
    messages_forget(state);
    origins_forget(state);
    memory_release(state->origins);
    uint32_t cursor = 0;
    for (struct state_session *session, *next = map_next(&state->sessions, &cursor); (session = next);) {
        next = map_next(&state->sessions, &cursor);
        session_release(session);
    }
    cursor = 0;
    for (struct state_message *message, *next = map_next(&state->retained, &cursor); (message = next);) {
        next = map_next(&state->retained, &cursor);
        message_unref(message);
    }
    map_free(&state->sessions);
    map_free(&state->retained);
    map_free(&state->messages);
}
