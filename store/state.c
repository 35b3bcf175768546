#include "store/state_rows.h"

#include <stdlib.h>

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

void state_message_unref(struct state_message *message)
{
    if (!message || --message->references > 0) return;
    memory_release(message->own);
    memory_release(message->receivers);
    memory_release(message);
}

static void dead_add(struct state *state, struct stored_row row)
{
    if (state->dead_count == state->dead_capacity) {
        state->dead_capacity = state->dead_capacity ? state->dead_capacity * 2 : 64;
        state->dead = memory_resize(state->dead, state->dead_capacity * sizeof *state->dead);
    }
    state->dead[state->dead_count++] = row;
}

/* `message` NULL: the topic has none any more. What it had goes, its row, too: unless that is the new one's, as a checkpoint names it again. */
void state_retained_put(struct state *state, struct span topic, struct state_message *message)
{
    struct state_message *before = map_remove(&state->retained, topic);
    bool same = before && message && before->row.space == message->row.space && before->row.number == message->row.number;
    if (before && before->row.space && !same) dead_add(state, before->row);
    state_message_unref(before);
    if (message) map_insert(&state->retained, message);
}

void state_shelf_put(struct state *state, const struct stored_shelf_state *shelf)
{
    uint32_t i = 0;
    while (i < state->spaces_count && state->spaces[i].space != shelf->space)
        i++;
    if (i == state->spaces_count) {
        state->spaces = memory_resize(state->spaces, (state->spaces_count + 1) * sizeof *state->spaces);
        state->spaces[state->spaces_count++] = (struct state_space){shelf->space, 0};
    }
    if (shelf->settled > state->spaces[i].settled) state->spaces[i].settled = shelf->settled;
    if (shelf->settled_epoch > state->settled_epoch) state->settled_epoch = shelf->settled_epoch;
    for (uint32_t row = 0; row < shelf->rows_count; row++)
        dead_add(state, shelf->rows[row]);
}

struct state_message *state_message_find(const struct state *state, uint64_t id)
{
    return map_find(&state->messages, span_of(&id, 8));
}

void state_origin_add(struct state *state, struct state_message *message)
{
    if (state->origins_count == state->origins_capacity) {
        state->origins_capacity = state->origins_capacity ? state->origins_capacity * 2 : 64;
        state->origins = memory_resize(state->origins, state->origins_capacity * sizeof(struct state_message *));
    }
    message->references++;
    state->origins[state->origins_count++] = message;
}

void state_receiver_add(struct state_message *message, uint64_t session, bool shared)
{
    if (!message->stored.origin.session) return;
    if ((message->receivers_count & (message->receivers_count - 1)) == 0) /* a power of two: full */
        message->receivers = memory_resize(message->receivers, (message->receivers_count ? message->receivers_count * 2u : 1u) *
                                                                   sizeof *message->receivers);
    message->receivers[message->receivers_count++] = (struct state_receiver){session, shared};
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

void state_delivery_release(struct state_delivery *delivery)
{
    state_message_unref(delivery->message);
    memory_release(delivery->ids);
    *delivery = (struct state_delivery){0};
}

void state_shadow_clear(struct state_session *session)
{
    for (uint32_t i = session->shadow_head; i < session->shadow_count; i++)
        state_delivery_release(&session->shadow[i]);
    for (uint32_t i = 0; i < session->tail_count; i++)
        state_delivery_release(&session->tail[i]);
    session->shadow_head = session->shadow_count = session->tail_count = 0;
    session->parts = session->parts_rest = false;
}

/* All that a SNAPSHOT brings anew. */
void state_session_clear(struct state_session *session)
{
    state_subscriptions_clear(session);
    state_window_clear(session);
    for (uint32_t i = session->queue_head; i < session->queue_count; i++)
        state_delivery_release(&session->queue[i]);
    state_partials_clear(session);
    session->incoming_count = 0;
    for (uint32_t i = session->rest_head; i < session->rest_count; i++)
        state_delivery_release(&session->rest[i]);
    session->queue_head = session->queue_count = session->rest_head = session->rest_count = 0;
    session->shelved = false;
    session->shelf_bytes = 0;
}

void state_session_release(struct state_session *session)
{
    state_session_clear(session);
    state_shadow_clear(session);
    memory_release(session->shadow);
    memory_release(session->tail);
    memory_release(session->text);
    memory_release(session->will_text);
    memory_release(session->subscriptions);
    memory_release(session->incoming);
    memory_release(session->partials);
    memory_release(session->window);
    memory_release(session->queue);
    memory_release(session->rest);
    memory_release(session);
}

/* NULL: its beginning was trimmed. */
struct state_session *state_session_find(struct state *state, uint64_t id)
{
    struct state_session *session = map_find(&state->sessions, span_of(&id, 8));
    if (!session) state->unresolved++;
    return session;
}

void state_will_clear(struct state_session *session)
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

struct state_session *state_session_put(struct state *state, const struct stored_session *stored)
{
    struct state_session *session = map_find(&state->sessions, span_of(&stored->id, 8));
    if (!session) {
        session = memory_acquire_zeroed(sizeof *session);
        session->key = stored->id;
        map_insert(&state->sessions, session);
    }
    if (!session->text) session->text = memory_copy_string(stored->client_id);
    state_will_clear(session);
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

void state_incoming_put(struct state_session *session, uint16_t packet_id)
{
    for (uint32_t i = 0; i < session->incoming_count; i++)
        if (session->incoming[i] == packet_id) return;
    if (session->incoming_count == session->incoming_capacity) {
        session->incoming_capacity = session->incoming_capacity ? session->incoming_capacity * 2 : 8;
        session->incoming = memory_resize(session->incoming, session->incoming_capacity * sizeof *session->incoming);
    }
    session->incoming[session->incoming_count++] = packet_id;
}

void state_incoming_remove(struct state_session *session, uint16_t packet_id)
{
    for (uint32_t i = 0; i < session->incoming_count; i++)
        if (session->incoming[i] == packet_id) session->incoming[i] = session->incoming[--session->incoming_count];
}

/* ---- queue and window ------------------------------------------------------------------------------------------- */

struct state_delivery state_delivery_of(struct state_message *message, const struct stored_delivery *stored, struct span ids)
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
void state_row_put(struct state_delivery **row, uint32_t *count, uint32_t *capacity, struct state_delivery delivery)
{
    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 8;
        *row = memory_resize(*row, *capacity * sizeof **row);
    }
    (*row)[(*count)++] = delivery;
}

static void row_queue(struct state_delivery **row, uint32_t *head, uint32_t *count, uint32_t *capacity, struct state_delivery delivery)
{
    if (*count == *capacity && *head > *capacity / 2) { /* mostly gone: move up */
        *count -= *head;
        memmove(*row, *row + *head, *count * sizeof **row);
        *head = 0;
    }
    state_row_put(row, count, capacity, delivery);
}

void state_queue_put(struct state_session *session, struct state_delivery delivery)
{
    if (session->shelved)
        row_queue(&session->rest, &session->rest_head, &session->rest_count, &session->rest_capacity, delivery);
    else
        row_queue(&session->queue, &session->queue_head, &session->queue_count, &session->queue_capacity, delivery);
}

/* Nothing before the rest is left: it is the queue. */
static void rest_becomes_queue(struct state_session *session)
{
    if (!session->shelved || session->queue_head != session->queue_count || session->shelf_from < session->shelf_until) return;
    struct state_delivery *emptied = session->queue;
    uint32_t capacity = session->queue_capacity;
    session->queue = session->rest;
    session->queue_head = session->rest_head;
    session->queue_count = session->rest_count;
    session->queue_capacity = session->rest_capacity;
    session->rest = emptied;
    session->rest_head = session->rest_count = 0;
    session->rest_capacity = capacity;
    session->shelved = false;
    session->shelf_bytes = 0;
}

/* The front of the queue, taken out. */
bool state_queue_take(struct state *state, struct state_session *session, struct state_delivery *ret_delivery)
{
    if (session->queue_head < session->queue_count) {
        *ret_delivery = session->queue[session->queue_head++];
        if (session->queue_head == session->queue_count) session->queue_head = session->queue_count = 0;
    } else if (session->shelved) {
        uint64_t count = session->shelf_until - session->shelf_from;
        *ret_delivery = (struct state_delivery){.shelved = true, .number = session->shelf_from++, .state = STORED_PUBLISHED, .qos = 1};
        session->shelf_bytes -= session->shelf_bytes / count;
    } else {
        state->unresolved++; /* it was put there before the log's first record */
        session->front++;
        return false;
    }
    session->front++;
    rest_becomes_queue(session);
    return true;
}

/* Entries [from, until) are on the shelf from now on. What was taken from the queue since they went there is past already. */
void state_queue_spilled(struct state_session *session, uint64_t from, uint64_t until, uint64_t bytes)
{
    uint64_t entries = until - from;
    if (from < session->front) from = session->front;
    if (!session->shelved) {
        uint64_t end = session->front + (session->queue_count - session->queue_head);
        if (until > end) until = end; /* the log's beginning was trimmed: a SNAPSHOT follows */
        if (from >= until) return;
        uint32_t first = session->queue_head + (uint32_t)(from - session->front), behind = first + (uint32_t)(until - from);
        for (uint32_t i = first; i < behind; i++)
            state_delivery_release(&session->queue[i]);
        for (uint32_t i = behind; i < session->queue_count; i++)
            state_row_put(&session->rest, &session->rest_count, &session->rest_capacity, session->queue[i]);
        session->queue_count = first;
        if (session->queue_head == session->queue_count) session->queue_head = session->queue_count = 0;
        session->shelved = true;
        session->shelf_from = from;
        session->shelf_bytes = 0;
    } else {
        uint64_t end = session->shelf_until + (session->rest_count - session->rest_head);
        if (until > end) until = end;
        if (until <= session->shelf_until) return;
        for (uint64_t i = session->shelf_until; i < until; i++)
            state_delivery_release(&session->rest[session->rest_head++]);
        if (session->rest_head == session->rest_count) session->rest_head = session->rest_count = 0;
    }
    session->shelf_until = until;
    session->shelf_bytes += entries ? bytes * (until - from) / entries : 0;
}

/* SENT and DROP take the same one from the queue to be. (A rest whose front goes is not written in parts any further, see records.h.) */
void state_shadow_take(struct state *state, struct state_session *session)
{
    if (!session->parts || session->parts_rest) return;
    if (session->shadow_head == session->shadow_count)
        state->unresolved++;
    else
        state_delivery_release(&session->shadow[session->shadow_head++]);
}

/* ---- logs and epochs -------------------------------------------------------------------------------------------- */

static void messages_forget(struct state *state)
{
    uint32_t cursor = 0;
    for (struct state_message *message, *next = map_next(&state->messages, &cursor); (message = next);) {
        next = map_next(&state->messages, &cursor); /* the walk looks at a value no more once it has gone on */
        state_message_unref(message);
    }
    map_free(&state->messages);
    map_init(&state->messages, message_key);
}

void state_log_begin(struct state *state) { DCHECK(state->messages.count == 0); }

/* A snapshot that was never finished leaves nothing; and sessions of which only parts of a queue are known had ended before. */
static void sessions_settle(struct state *state)
{
    uint64_t *stubs = NULL;
    uint32_t cursor = 0, count = 0, capacity = 0;
    for (struct state_session *session; (session = state_session_next(state, &cursor));) {
        state_shadow_clear(session);
        state_window_settle(session);
        if (session->text) continue;
        if (count == capacity) stubs = memory_resize(stubs, (capacity = capacity ? capacity * 2 : 8) * sizeof *stubs);
        stubs[count++] = session->key;
    }
    for (uint32_t i = 0; i < count; i++)
        state_session_release(map_remove(&state->sessions, span_of(&stubs[i], 8)));
    memory_release(stubs);
}

void state_log_end(struct state *state)
{
    sessions_settle(state);
    messages_forget(state);
}

static void origins_forget(struct state *state)
{
    for (uint32_t i = 0; i < state->origins_count; i++)
        state_origin_settle(state->origins[i]);
    state->origins_count = 0;
}

void state_epoch_end(struct state *state)
{
    origins_forget(state);
    uint32_t cursor = 0;
    for (struct state_session *session; (session = state_session_next(state, &cursor));) {
        if (!session->stored.connected) continue;
        session->stored.connected = false;
        session->stored.detached_ms = state->last_ms + STORE_LAST_SEEN_MS;
    }
    state->last_ms = 0;
}

void state_release(struct state *state)
{
    messages_forget(state);
    origins_forget(state);
    memory_release(state->origins);
    memory_release(state->dead);
    memory_release(state->spaces);
    uint32_t cursor = 0;
    for (struct state_session *session, *next = map_next(&state->sessions, &cursor); (session = next);) {
        next = map_next(&state->sessions, &cursor);
        state_session_release(session);
    }
    cursor = 0;
    for (struct state_message *message, *next = map_next(&state->retained, &cursor); (message = next);) {
        next = map_next(&state->retained, &cursor);
        state_message_unref(message);
    }
    map_free(&state->sessions);
    map_free(&state->retained);
    map_free(&state->messages);
}
