/* restore.c - at start: from what the logs say to sessions, routes and retained messages.
 *
 * Each shard takes what belongs to it in its start(), before any shard turns; routes whose writer is another shard travel over the
 * lanes. Until all of them are laid no CONNECT is handled, and no expiry or will is due: nobody can publish past a route that is
 * still under way. */
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"

/* A message of the state made one of this shard's, once for all that name it. */
struct restored_message {
    const struct state_message *from; /* the map's key */
    struct message *message;          /* one reference is the map's */
};

/* A message's `stored`: the log has had it, in an epoch that goes. No checkpoint has the number 0, so it is written again when it is
 * named, and a checkpoint knows a retained one for one that is kept. */
#define RESTORED 1

static struct span restored_key(const void *value) { return span_of(value, sizeof(void *)); }

struct restore {
    struct broker_shard *broker;
    struct map messages;
    uint64_t realtime_ms;
    uint64_t queued;
};

/* From the realtime clock to the shard's; what is over becomes `at least now + 1`. */
static uint64_t monotonic_ms(const struct restore *restore, uint64_t realtime_ms)
{
    uint64_t now_ms = restore->broker->shard->now_ms;
    return realtime_ms > restore->realtime_ms ? now_ms + (realtime_ms - restore->realtime_ms) : now_ms + 1;
}

static struct message *message_make(struct restore *restore, const struct stored_message *stored)
{
    struct publication publication = {.topic = stored->topic, .properties = stored->properties, .payload = stored->payload,
                                      .qos = stored->qos, .retain = stored->retain};
    if (stored->expires_ms) publication.expires_ms = monotonic_ms(restore, stored->expires_ms);
    struct message *message = publication_message(restore->broker->shard, &publication); /* its reference is ours */
    message->stored = RESTORED;
    return message;
}

/* The reference is the caller's: message_unref(). Most messages wait for one session only, and those need no map. */
static struct message *message_restore(struct restore *restore, const struct state_message *from)
{
    if (from->references == 1) return message_make(restore, &from->stored);
    struct restored_message *restored = map_find(&restore->messages, span_of(&from, sizeof from));
    if (restored) return message_ref(restored->message);
    restored = memory_acquire(sizeof *restored);
    *restored = (struct restored_message){from, message_make(restore, &from->stored)};
    map_insert(&restore->messages, restored);
    return message_ref(restored->message);
}

static void messages_release(struct restore *restore)
{
    uint32_t cursor = 0;
    for (struct restored_message *restored, *next = map_next(&restore->messages, &cursor); (restored = next);) {
        next = map_next(&restore->messages, &cursor);
        message_unref(restore->broker->shard, restored->message);
        memory_release(restored);
    }
    map_free(&restore->messages);
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

/* One of the window that is on the shelf. */
static void shelved_restore(struct restore *restore, struct session *session, const struct state_delivery *delivery)
{
    struct broker_shard *broker = restore->broker;
    struct delivery_options options;
    uint32_t *ids;
    struct message *message = durable_spill_fetch(broker, session, delivery->number, &options, &ids);
    if (!message) return;
    session_restore_delivery(broker, session, message, delivery->packet_id, &options);
    message_unref(broker->shard, message);
    memory_release(ids);
}

static void delivery_restore(struct restore *restore, struct session *session, const struct state_delivery *delivery)
{
    if (delivery->shelved) return shelved_restore(restore, session, delivery);
    struct delivery_options options = {.qos = delivery->qos, .retain = delivery->retain};
    if (delivery->ids_count == 1) options.subscription_id = delivery->ids[0];
    if (delivery->ids_count > 1) {
        options.more_ids = delivery->ids;
        options.more_ids_count = delivery->ids_count;
    }
    struct message *message = delivery->message ? message_restore(restore, delivery->message) : NULL;
    session_restore_delivery(restore->broker, session, message, delivery->packet_id, &options);
    if (message) message_unref(restore->broker->shard, message);
    restore->queued++;
}

static void queue_restore(struct restore *restore, struct session *session, const struct state_session *from)
{
    struct broker_shard *broker = restore->broker;
    struct durable_session *durable = session->durable;
    durable->front = durable->next = from->front;
    for (uint32_t i = from->queue_head; i < from->queue_count; i++) {
        if (!from->shelved && !session->spilled) durable_spill_consider(broker, session); /* it was not long enough then */
        delivery_restore(restore, session, &from->queue[i]);
        durable->next++;
    }
    durable->restored = durable->next;
    if (!from->shelved) return;
    durable_spill_restore(broker, session, from);
    durable->next = from->shelf_until;
    for (uint32_t i = from->rest_head; i < from->rest_count; i++) {
        delivery_restore(restore, session, &from->rest[i]);
        durable->next++;
    }
    durable->restored = durable->next;
}

static void session_restore(struct restore *restore, const struct state_session *from)
{
    struct broker_shard *broker = restore->broker;
    const struct stored_session *stored = &from->stored;
    struct session *session = session_create(broker, stored->client_id);
    struct durable_session *durable = durable_session_make(session);
    durable->id = stored->id;
    session->kept = true;
    durable->incoming_number = durable->incoming_logged = stored->incoming_number;
    durable->lazy = stored->lazy;
    list_append(&broker->durable->sessions, &durable->link);
    session->expiry_s = stored->expiry_s;
    session->version = MQTT_5; /* until its client says otherwise */
    for (uint32_t i = 0; i < from->subscriptions_count; i++)
        subscription_restore(broker, session, &from->subscriptions[i]->stored, broker->durable->restore_request);
    for (uint32_t i = 0; i < from->incoming_count; i++)
        mqtt_incoming_restore(&session->incoming, from->incoming[i]);
    for (uint32_t i = 0; i < from->partials_count; i++)
        durable_partial_restore(durable, &from->partials[i]);
    for (uint32_t i = 0; i < from->window_count; i++)
        delivery_restore(restore, session, &from->window[i]);
    queue_restore(restore, session, from);
    if (stored->will.present) will_restore(broker, session, &stored->will);
    uint64_t expires_ms = stored->expiry_s == UINT32_MAX ? 0 : monotonic_ms(restore, stored->detached_ms + stored->expiry_s * 1000ull);
    uint64_t will_ms = monotonic_ms(restore, stored->detached_ms + stored->will.delay_s * 1000ull);
    session_restore_timers(broker, session, expires_ms, will_ms);
}

static void sessions_restore(struct restore *restore, const struct state *state)
{
    struct broker_shard *broker = restore->broker;
    uint32_t cursor = 0;
    for (struct state_session *from; (from = state_session_next(state, &cursor));)
        if (broker_home(broker->broker, hash_span(from->stored.client_id)) == broker->shard->number) session_restore(restore, from);
}

static struct message *retained_make(struct restore *restore, const struct state_message *from)
{
    const struct stored_message *stored = &from->stored;
    if (!from->row.space) return message_restore(restore, from);
    struct publication publication = {.topic = stored->topic, .properties = stored->properties, .qos = stored->qos, .retain = stored->retain, .stored = RESTORED};
    if (stored->expires_ms) publication.expires_ms = monotonic_ms(restore, stored->expires_ms);
    struct message_shelved row = {.space = from->row.space, .number = from->row.number, .payload_bytes = from->payload_bytes};
    return message_make_shelved(restore->broker->shard, &publication, &row);
}

static void retained_restore(struct restore *restore, const struct state *state)
{
    struct broker_shard *broker = restore->broker;
    uint32_t cursor = 0;
    for (struct state_message *from; (from = map_next(&state->retained, &cursor));) {
        const struct stored_message *stored = &from->stored;
        if (broker_retained_owner(broker->broker, hash_span(stored->topic)) != broker->shard->number) continue;
        if (!from->row.space && stored->expires_ms && stored->expires_ms <= restore->realtime_ms) continue;
        struct message *message = retained_make(restore, from);
        retained_put(broker, stored->topic, message);
        message_unref(broker->shard, message);
    }
}

void durable_restore(struct broker_shard *broker)
{
    const struct state *state = broker->broker->recovered;
    if (!state) return;
    struct durable_shard *durable = broker->durable;
    struct shard *shard = broker->shard;
    struct restore restore = {.broker = broker, .realtime_ms = shard->group->verbs->realtime_ns(shard->ring) / 1000000};
    map_init(&restore.messages, restored_key);
    durable->restoring = true;
    durable->restore_request = subscriptions_restore_begin(broker);
    sessions_restore(&restore, state);
    retained_restore(&restore, state);
    messages_release(&restore);
    shard->more_next_turn = true; /* records for other shards wait for the end of a turn: do not sleep before it */
    subscriptions_restore_end(broker, durable->restore_request);
    durable->restore_request = NULL;
}

static void session_age(struct broker_shard *broker, struct session *session)
{
    if (!timer_running(&session->timer) || session->timer.deadline_ms > broker->shard->now_ms + 1) return;
    COUNT(broker, sessions_expired);
    LOG(INFO, "session expired", "client=%s", log_quoted(session_client_id(session)));
    session_destroy(broker, session);
}

#define AGED_PER_LOOK 64

/* Those whose time was over go before their clients come: some of them. True: all have been looked at; they are in their order again. */
static bool sessions_age(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    struct list *sessions = &durable->sessions, *mark = &durable->aging;
    if (list_empty(mark)) list_append(sessions, mark);
    shard_step_begin(broker->shard);
    for (uint32_t n = 1; sessions->next != mark; n++) {
        struct durable_session *session = CONTAINER_OF(sessions->next, struct durable_session, link);
        list_remove(&session->link);
        list_append(sessions, &session->link);
        session_age(broker, session->session);
        if (n % AGED_PER_LOOK == 0 && shard_step_over(broker->shard)) return false;
    }
    list_remove(mark);
    return true;
}

/* All routes of all shards are laid: time goes on, and clients may come. */
void durable_restored(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    if (!sessions_age(broker)) return;
    durable->restoring = false;
    for (uint32_t i = 0; i < durable->held_count; i++) {
        struct conn *conn = conn_find(broker->shard, durable->held[i]);
        DCHECK(!conn || !conn->client); /* HOLD_KICKED */
        if (conn && conn->state == CONN_OPEN) conn_release(broker->shard, conn, HOLD_CONNECT);
    }
    memory_release(durable->held);
    durable->held = NULL;
    durable->held_count = 0;
}
