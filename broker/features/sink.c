/* sink.c - sinks: subscribers without a socket (decision 0031).
 *
 * A sink is a session that never has a connection: its filters, its part of a fan-out, shared groups, no-local and retained messages are a
 * session's, and the way of a message to a client is not touched. What differs begins in deliver_queue(), where a session without a connection
 * comes anyway: here.
 *
 *     deliver_queue() ─► nothing waits ─► feature->deliver() ─┬─ TAKEN
 *                              │                              └─ FULL ──► queue ─► feature_sink_ready() ─► feature->deliver() …
 *                              └─ something waits ───────────────────────► queue
 *
 * Counters stand in slots by name, which stay to the end of the process: whoever reads them needs no lock. */
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"
#include "proto/topic.h"

/* What waits. */
struct sink_entry {
    struct list link;
    struct message *message;
    struct feature_hold *hold;
    uint64_t publisher;
    uint8_t qos, hops;
    bool retain, retained;
    bool has_client_id, has_user_name;
    uint32_t ids_count, client_id_bytes, user_name_bytes;
    uint32_t ids[]; /* then client id and user name */
};

struct sink_part {
    struct feature_sink sink; /* first */
    struct broker_shard *broker;
    struct feature_shard *shard;
    const struct feature *feature;
    struct session *session;
    struct feature_sink_counts *counts;
    struct list link;         /* of the shard's */
    struct list queue;
    uint32_t queue_count, queue_messages_max;
    uint64_t queue_bytes, queue_bytes_max;
    uint8_t policy;
    bool acknowledges, full;
};

struct feature_hold {
    struct durable_wait *wait;
    struct feature_sink_counts *counts;
};

struct feature_delivery_inside {
    struct sink_part *part;
    struct publication *publication;
    struct feature_hold *hold; /* of what has waited, or asked for just now */
    bool live;                 /* its publisher's PUBLISH is being handled: a hold can begin */
    bool held;                 /* the feature has it */
};

static struct sink_part *part_of(const struct feature_sink *sink) { return (struct sink_part *)(uintptr_t)sink; }

/* ---- counters ---------------------------------------------------------------------------------------------------- */

#define RAISE(part, counter)     stats_count(&(part)->counts->counter, 1)
#define LOWER(part, counter)     stats_count(&(part)->counts->counter, (uint64_t)-1)

/* The slot of that name, made now if need be; NULL: there is none left. */
static struct feature_sink_slot *slot_of(struct features *features, const char *name)
{
    struct feature_sink_slot *made = NULL;
    for (uint32_t i = 0; i < FEATURE_SINKS_MAX; i++) {
        struct feature_sink_slot *slot = atomic_load(&features->sinks[i]);
        if (!slot) {
            if (!made) {
                made = memory_acquire_aligned(64, sizeof *made + features->broker->shards_count * sizeof made->counts[0]);
                snprintf(made->name, sizeof made->name, "%s", name);
            }
            if (atomic_compare_exchange_strong(&features->sinks[i], &slot, made)) return made;
        }
        if (strcmp(slot->name, name) != 0) continue;
        memory_release(made);
        return slot;
    }
    memory_release(made);
    return NULL;
}

void features_sinks_each(const struct features *features, void (*each)(void *context, const char *name, const struct feature_sink_counts *sum), void *context)
{
    for (uint32_t i = 0; i < FEATURE_SINKS_MAX; i++) {
        const struct feature_sink_slot *slot = atomic_load(&features->sinks[i]);
        if (!slot) return;
        struct feature_sink_counts sum = {0};
        for (uint32_t s = 0; s < features->broker->shards_count; s++) {
            const uint64_t *from = (const uint64_t *)&slot->counts[s].sums;
            uint64_t *to = (uint64_t *)&sum;
            for (size_t n = 0; n < sizeof sum / sizeof *to; n++)
                to[n] += stats_read(&from[n]);
        }
        each(context, slot->name, &sum);
    }
}

void features_sinks_release(struct features *features)
{
    for (uint32_t i = 0; i < FEATURE_SINKS_MAX; i++)
        memory_release(atomic_load(&features->sinks[i]));
}

/* ---- made and gone ------------------------------------------------------------------------------------------------- */

static const char *options_wrong(const struct feature *feature, const char *name, const struct feature_sink_options *options)
{
    if (!feature->deliver) return "the feature has no deliver()";
    size_t bytes = name ? strlen(name) : 0;
    if (bytes == 0 || bytes > FEATURE_SINK_NAME_BYTES_MAX) return "a sink's name has 1 to 63 bytes";
    for (size_t i = 0; i < bytes; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\') return "a sink's name is printable ASCII without blanks, quotes and backslashes";
    return options->policy > FEATURE_SINK_DROP_OLDEST ? "there is no such policy" : NULL;
}

struct feature_sink *feature_sink_create(struct feature_shard *shard, const char *name, const struct feature_sink_options *options, void *state,
                                         char *ret_error, size_t error_bytes)
{
    struct broker_shard *broker = shard->frame;
    const struct feature *feature = shard->node->frame->parts[shard->node->number]->feature;
    const char *wrong = options_wrong(feature, name, options);
    CHECK(!broker->features->delivering);
    struct feature_sink_slot *slot = wrong ? NULL : slot_of(shard->node->frame, name);
    if (!slot) {
        snprintf(ret_error, error_bytes, "%s", wrong ? wrong : "there are 256 names of sinks already, which is all there can be");
        return NULL;
    }
    struct sink_part *part = memory_acquire_zeroed(sizeof *part);
    part->sink = (struct feature_sink){.state = state, .name = slot->name};
    part->broker = broker;
    part->shard = shard;
    part->feature = feature;
    part->session = session_create_sink(broker, span_of_string(name));
    part->session->rare->sink = part;
    part->counts = &slot->counts[broker->shard->number].sums;
    part->queue_messages_max = options->queue_messages_max;
    part->queue_bytes_max = options->queue_bytes_max;
    part->policy = options->policy;
    part->acknowledges = options->acknowledges;
    if (part->acknowledges) broker->answers_wait = broker->sinks_hold = true;
    list_init(&part->queue);
    list_append(&broker->features->sinks, &part->link);
    return &part->sink;
}

struct session *features_sink_session(const struct feature_sink *sink) { return part_of(sink)->session; }

static void entry_take_out(struct sink_part *part, struct sink_entry *entry)
{
    uint64_t bytes = message_bytes(entry->message);
    list_remove(&entry->link);
    part->queue_count--;
    part->queue_bytes -= bytes;
    LOWER(part, queued);
    stats_count(&part->counts->queued_bytes, -bytes);
    UNCOUNT(part->broker, queued_messages);
    COUNT_BY(part->broker, queued_bytes, -bytes);
}

static void entry_release(struct sink_part *part, struct sink_entry *entry)
{
    message_unref(part->broker->shard, entry->message);
    memory_release(entry);
}

/* Its publisher is told, if it waits. */
static void refuse(struct sink_part *part, struct feature_hold *hold)
{
    if (hold) feature_hold_done(part->shard, hold, MQTT_REASON_QUOTA_EXCEEDED);
}

void feature_sink_destroy(struct feature_sink *sink)
{
    struct sink_part *part = part_of(sink);
    CHECK(!part->broker->features->delivering);
    while (!list_empty(&part->queue)) {
        struct sink_entry *entry = CONTAINER_OF(part->queue.next, struct sink_entry, link);
        entry_take_out(part, entry);
        RAISE(part, dropped_gone);
        COUNT(part->broker, dropped_session_ended);
        drop_note(part->broker, DROP_session_ended, part->session, message_topic(entry->message), 1);
        refuse(part, entry->hold);
        entry_release(part, entry);
    }
    list_remove(&part->link);
    features_publishes_forget(part->broker, part->session);
    session_destroy_sink(part->broker, part->session);
    memory_release(part);
}

void features_sinks_stop(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    while (!list_empty(&shard->sinks))
        feature_sink_destroy(&CONTAINER_OF(shard->sinks.next, struct sink_part, link)->sink);
}

/* ---- filters ------------------------------------------------------------------------------------------------------- */

static bool subscription_of(const struct sink_part *part, struct span full_filter, struct mqtt_subscription *ret_subscription)
{
    uint32_t levels_max = part->broker->settings->mqtt.topic_levels_max;
    *ret_subscription = (struct mqtt_subscription){.full_filter = full_filter};
    return mqtt_share_split(full_filter, &ret_subscription->share_group, &ret_subscription->filter) &&
           mqtt_topic_filter_valid(ret_subscription->filter, levels_max);
}

static bool is_local(const struct mqtt_subscription *subscription, uint8_t scope) { return scope == FEATURE_SINK_LOCAL && !subscription->share_group.bytes; }

enum mqtt_reason feature_sink_subscribe(struct feature_sink *sink, const struct feature_subscription *wanted)
{
    struct sink_part *part = part_of(sink);
    struct mqtt_subscription subscription;
    CHECK(!part->broker->features->delivering);
    if (!subscription_of(part, wanted->filter, &subscription) || wanted->qos > 2) return MQTT_REASON_TOPIC_FILTER_INVALID;
    subscription.qos = wanted->qos;
    subscription.no_local = wanted->no_local;
    subscription.retain_handling = wanted->retain_handling;
    enum mqtt_reason code =
        sink_subscription_add(part->broker, part->session, &subscription, wanted->subscription_id, is_local(&subscription, wanted->scope));
    LOG(DEBUG, "sink subscribed", "sink=%s filter=%s code=0x%02x", sink->name, log_quoted(wanted->filter), code);
    return code;
}

bool feature_sink_unsubscribe(struct feature_sink *sink, struct span filter, enum feature_sink_scope scope)
{
    struct sink_part *part = part_of(sink);
    struct mqtt_subscription subscription;
    CHECK(!part->broker->features->delivering);
    return subscription_of(part, filter, &subscription) &&
           sink_subscription_remove(part->broker, part->session, &subscription, is_local(&subscription, (uint8_t)scope));
}

/* ---- the queue ------------------------------------------------------------------------------------------------------ */

static uint32_t messages_max(const struct sink_part *part)
{
    return part->queue_messages_max ? part->queue_messages_max : part->broker->settings->mqtt.queue_messages_max;
}
static uint64_t bytes_max(const struct sink_part *part) { return part->queue_bytes_max ? part->queue_bytes_max : part->broker->settings->mqtt.queue_bytes_max; }

static void drop(struct sink_part *part, struct span topic, uint8_t qos, struct feature_hold *hold)
{
    RAISE(part, dropped_full);
    if (qos == 0)
        COUNT(part->broker, dropped_qos0_slow);
    else
        COUNT(part->broker, dropped_queue_full);
    drop_note(part->broker, qos == 0 ? DROP_qos0_slow : DROP_queue_full, part->session, topic, 1);
    LOG_LIMITED(WARN, 1000, "message dropped", "reason=queue_full sink=%s topic=%s", part->sink.name, log_quoted(topic));
    TAP_TELL(part->broker, dropped, 0, part->session->client_hash, topic, 0, part->queue_count);
    refuse(part, hold);
}

static bool make_room(struct sink_part *part, uint64_t bytes)
{
    while (part->queue_count >= messages_max(part) || part->queue_bytes + bytes > bytes_max(part)) {
        if (part->policy != FEATURE_SINK_DROP_OLDEST || part->queue_count == 0) return false;
        struct sink_entry *oldest = CONTAINER_OF(part->queue.next, struct sink_entry, link);
        entry_take_out(part, oldest);
        drop(part, message_topic(oldest->message), oldest->qos, oldest->hold);
        entry_release(part, oldest);
    }
    return true;
}

static void enqueue(struct sink_part *part, const struct feature_delivery *delivery)
{
    struct broker_shard *broker = part->broker;
    struct publication *publication = delivery->inside->publication;
    uint64_t bytes = sizeof(struct message) + delivery->topic.bytes + delivery->properties.bytes + delivery->payload.bytes;
    bool room = make_room(part, bytes);
    struct feature_hold *hold = delivery->inside->hold;
    if (!hold) hold = feature_delivery_hold(delivery); /* what waits is not safe yet; and a publisher whose message is dropped is told */
    if (!room) return drop(part, delivery->topic, delivery->qos, hold);
    size_t ids_bytes = delivery->subscription_ids_count * sizeof(uint32_t);
    struct sink_entry *entry = memory_acquire(sizeof *entry + ids_bytes + delivery->client_id.bytes + delivery->user_name.bytes);
    *entry = (struct sink_entry){.message = message_ref(publication_message(broker->shard, publication)), .hold = hold, .publisher = delivery->publisher,
                                 .qos = delivery->qos, .hops = delivery->hops, .retain = delivery->retain, .retained = delivery->retained,
                                 .has_client_id = delivery->client_id.data != NULL, .has_user_name = delivery->user_name.data != NULL,
                                 .ids_count = delivery->subscription_ids_count, .client_id_bytes = (uint32_t)delivery->client_id.bytes,
                                 .user_name_bytes = (uint32_t)delivery->user_name.bytes};
    if (ids_bytes) memcpy(entry->ids, delivery->subscription_ids, ids_bytes);
    char *text = (char *)entry->ids + ids_bytes;
    if (delivery->client_id.bytes) memcpy(text, delivery->client_id.data, delivery->client_id.bytes);
    if (delivery->user_name.bytes) memcpy(text + delivery->client_id.bytes, delivery->user_name.data, delivery->user_name.bytes);
    list_append(&part->queue, &entry->link);
    bytes = message_bytes(entry->message);
    part->queue_count++;
    part->queue_bytes += bytes;
    RAISE(part, queued);
    stats_count(&part->counts->queued_bytes, bytes);
    COUNT(broker, queued_messages);
    COUNT_BY(broker, queued_bytes, bytes);
}

static bool pushes_back(const struct sink_part *part)
{
    return part->policy == FEATURE_SINK_PUSH_BACK && (part->queue_count * 2ull > messages_max(part) || part->queue_bytes * 2 > bytes_max(part));
}

/* ---- giving out ------------------------------------------------------------------------------------------------------ */

/* True: it is done with. Else the hold the feature may have asked for stays in delivery->inside. */
static bool offer(struct sink_part *part, const struct feature_delivery *delivery)
{
    struct features_shard *shard = part->broker->features;
    struct feature_delivery_inside *inside = delivery->inside;
    uint8_t hops = shard->hops;
    shard->delivering = true;
    shard->hops = delivery->hops;
    bool taken = part->feature->deliver(part->shard, &part->sink, delivery) == FEATURE_TAKEN;
    shard->hops = hops;
    shard->delivering = false;
    if (!taken) {
        part->full = true;
        inside->held = false;
        RAISE(part, full);
        return false;
    }
    if (inside->hold && !inside->held) feature_hold_done(part->shard, inside->hold, MQTT_REASON_SUCCESS);
    RAISE(part, delivered);
    return true;
}

static void tell_publisher(struct feature_delivery *delivery, const struct publication *publication)
{
    const struct session *publisher = publication->publisher;
    if (!publisher || publisher->is_sink) return;
    delivery->client_id = session_client_id(publisher);
    delivery->publisher = publication->publisher_conn;
    if (publisher->facts && publisher->facts->has_user_name) delivery->user_name = publisher->facts->user_name;
}

void features_sink_deliver(struct broker_shard *broker, struct session *session, struct publication *publication, const struct delivery_options *options)
{
    struct sink_part *part = session->rare->sink;
    struct feature_delivery_inside inside = {.part = part, .publication = publication, .live = true};
    struct feature_delivery delivery = {.topic = publication->topic, .properties = publication->properties, .payload = publication->payload,
                                        .qos = options->qos, .retain = options->retain, .retained = options->retain && !publication->retain,
                                        .expires_ms = publication->expires_ms, .hops = broker->features->hops, .inside = &inside,
                                        .subscription_ids = options->more_ids, .subscription_ids_count = options->more_ids_count};
    if (options->subscription_id) {
        delivery.subscription_ids = &options->subscription_id;
        delivery.subscription_ids_count = 1;
    }
    tell_publisher(&delivery, publication);
    if (features_sink_idle(session) && offer(part, &delivery)) return;
    enqueue(part, &delivery);
    publication->congested |= pushes_back(part);
}

bool features_sink_idle(const struct session *session)
{
    const struct sink_part *part = session->rare->sink;
    return !part->full && part->queue_count == 0;
}

static bool expired(struct sink_part *part, struct sink_entry *entry)
{
    if (LIKELY(!entry->message->expires_ms || entry->message->expires_ms > part->broker->shard->now_ms)) return false;
    RAISE(part, dropped_expired);
    drop_note(part->broker, DROP_expired, part->session, message_topic(entry->message), 1);
    COUNT(part->broker, dropped_expired);
    if (entry->hold) feature_hold_done(part->shard, entry->hold, MQTT_REASON_SUCCESS); /* as its publisher has wished */
    return true;
}

/* False: full again. */
static bool entry_offer(struct sink_part *part, struct sink_entry *entry)
{
    struct publication publication = publication_of(entry->message);
    struct feature_delivery_inside inside = {.part = part, .publication = &publication, .hold = entry->hold};
    const char *text = (const char *)(entry->ids + entry->ids_count);
    struct feature_delivery delivery = {.topic = publication.topic, .properties = publication.properties, .payload = publication.payload, .qos = entry->qos,
                                        .retain = entry->retain, .retained = entry->retained, .hops = entry->hops, .expires_ms = publication.expires_ms,
                                        .subscription_ids = entry->ids, .subscription_ids_count = entry->ids_count, .publisher = entry->publisher,
                                        .inside = &inside};
    if (entry->has_client_id) delivery.client_id = span_of(text, entry->client_id_bytes);
    if (entry->has_user_name) delivery.user_name = span_of(text + entry->client_id_bytes, entry->user_name_bytes);
    bool taken = offer(part, &delivery);
    publication_end(part->broker->shard, &publication);
    return taken;
}

void feature_sink_ready(struct feature_sink *sink)
{
    struct sink_part *part = part_of(sink);
    CHECK(!part->broker->features->delivering);
    part->full = false;
    while (!part->full && !list_empty(&part->queue)) {
        struct sink_entry *entry = CONTAINER_OF(part->queue.next, struct sink_entry, link);
        if (!expired(part, entry) && !entry_offer(part, entry)) return;
        entry_take_out(part, entry);
        entry_release(part, entry);
    }
    if (part->session->querying) retained_wake(part->broker, part->session);
}

/* ---- what deliver() may ask for --------------------------------------------------------------------------------------- */

struct feature_hold *feature_delivery_hold(const struct feature_delivery *delivery)
{
    struct feature_delivery_inside *inside = delivery->inside;
    struct sink_part *part = inside->part;
    CHECK(!inside->held);
    if (!inside->hold && inside->live && part->acknowledges && inside->publication->answers) {
        struct durable_wait *wait = durable_hold(part->broker, inside->publication);
        if (!wait) return NULL;
        inside->hold = pool_acquire(&part->broker->shard->pool, sizeof *inside->hold);
        *inside->hold = (struct feature_hold){wait, part->counts};
        RAISE(part, held);
    }
    inside->held = inside->hold != NULL;
    return inside->hold;
}

void feature_hold_done(struct feature_shard *shard, struct feature_hold *hold, enum mqtt_reason reason)
{
    struct broker_shard *broker = shard->frame;
    stats_count(&hold->counts->held, (uint64_t)-1);
    if (mqtt_reason_is_error(reason)) stats_count(&hold->counts->refused, 1);
    durable_hold_done(broker, hold->wait, reason);
    pool_release(&broker->shard->pool, hold, sizeof *hold);
}

struct message *feature_delivery_keep(const struct feature_delivery *delivery)
{
    struct feature_delivery_inside *inside = delivery->inside;
    return message_ref(publication_message(inside->part->broker->shard, inside->publication));
}

void feature_message_read(const struct message *message, struct span *ret_topic, struct span *ret_properties, struct span *ret_payload)
{
    *ret_topic = message_topic(message);
    *ret_properties = message_properties(message);
    *ret_payload = message_payload(message);
}

void feature_message_release(struct feature_shard *shard, struct message *message)
{
    message_unref(((struct broker_shard *)shard->frame)->shard, message);
}
