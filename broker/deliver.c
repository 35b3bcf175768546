/* deliver.c - messages on their way out to one session: into the stage, the in-flight window or the queue. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/prefetch.h"
#include "broker/broker.h"
#include "broker/delivery_queue.h"
#include "broker/mount.h"
#include "proto/encode.h"

/* ---- writing one PUBLISH ---------------------------------------------------------------------------------------- */

#define ALIAS_BYTES 3 /* of the property */

struct outgoing {
    struct publication *publication;
    const uint32_t *ids;
    uint32_t ids_count;
    uint8_t qos;
    bool retain, dup;
};

/* What the property block of an MQTT 5 PUBLISH holds, and its size. */
struct outgoing_properties {
    uint32_t bytes; /* without the length */
    uint32_t expiry_s;
    struct mqtt_alias alias;
    bool expires;
};

static struct outgoing_properties properties_measure(struct broker_shard *broker, struct session *session,
                                                     const struct outgoing *outgoing)
{
    const struct publication *publication = outgoing->publication;
    struct outgoing_properties properties = {.bytes = (uint32_t)publication->properties.bytes};
    if (publication->expires_ms) { /* what is left of it [MQTT-3.3.2-6] */
        uint64_t now_ms = broker->shard->now_ms;
        uint64_t left_ms = publication->expires_ms > now_ms ? publication->expires_ms - now_ms : 0;
        properties.expires = true;
        /* Rounded up but for a tenth of a second: shards read their clocks some time apart, and it must not grow on the way. */
        properties.expiry_s = (uint32_t)((left_ms + 900) / 1000);
        properties.bytes += 5;
    }
    for (uint32_t i = 0; i < outgoing->ids_count; i++)
        properties.bytes += 1 + mqtt_varint_bytes(outgoing->ids[i]);
    return properties;
}

static uint8_t *properties_write(uint8_t *out, const struct outgoing *outgoing,
                                 const struct outgoing_properties *properties)
{
    out = mqtt_put_varint(out, properties->bytes);
    if (properties->expires) {
        out = mqtt_put_u8(out, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        out = mqtt_put_u32(out, properties->expiry_s);
    }
    for (uint32_t i = 0; i < outgoing->ids_count; i++) {
        out = mqtt_put_u8(out, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
        out = mqtt_put_varint(out, outgoing->ids[i]);
    }
    if (properties->alias.alias) {
        out = mqtt_put_u8(out, MQTT_PROPERTY_TOPIC_ALIAS);
        out = mqtt_put_u16(out, properties->alias.alias);
    }
    return mqtt_put_bytes(out, outgoing->publication->properties);
}

/* The topic as this client knows it. */
static inline struct span topic_for(const struct session *session, const struct publication *publication)
{
    return LIKELY(!session->mounted) ? publication->topic : mount_strip(session, publication->topic);
}

/* Bytes of the whole packet with the topic spelled out: what the client's maximum is compared with. An alias is given only where it fits. */
static uint64_t packet_bytes(const struct session *session, const struct outgoing *outgoing,
                             const struct outgoing_properties *properties)
{
    const struct publication *publication = outgoing->publication;
    uint64_t after = publication->payload.bytes;
    if (session->version == MQTT_5) after += mqtt_varint_bytes(properties->bytes) + properties->bytes;
    return mqtt_publish_head_bytes(outgoing->qos, topic_for(session, publication).bytes, after) + after;
}

static uint64_t packet_bytes_limit(const struct session *session) { return session->packet_bytes_max ? session->packet_bytes_max : MQTT_VARINT_MAX; }

static void payload_attach(struct broker_shard *broker, struct conn *conn, struct publication *publication)
{
    struct message *message = publication_message(broker->shard, publication);
    conn_attach(broker->shard, conn, message_payload(message).data, message->payload_bytes, message_ref(message));
}

/* Somebody wants to know of messages that go out. For traces the packet is found again at the end of the stage, so that who writes it need not remember
 * where it began. */
static void written(struct broker_shard *broker, const struct session *session, const struct outgoing *outgoing, const struct outgoing_properties *properties)
{
    const struct publication *publication = outgoing->publication;
    if (broker->extras_bits & EXTRA_METRICS) extras_count(broker, publication->topic, METRIC_OUT_0 + outgoing->qos);
    if (!(broker->extras_bits & EXTRA_TRACE)) return;
    const struct outbuf *out = session->conn->out;
    size_t payload_bytes = publication->payload.bytes, copied = payload_bytes <= MESSAGE_COPY_BYTES_MAX ? payload_bytes : 0;
    size_t topic_bytes = properties->alias.known ? 0 : topic_for(session, publication).bytes;
    size_t block_bytes = session->version == MQTT_5 ? mqtt_varint_bytes(properties->bytes) + properties->bytes : 0;
    size_t head_bytes = mqtt_publish_head_bytes(outgoing->qos, topic_bytes, block_bytes + payload_bytes) + block_bytes;
    DCHECK(out->bytes >= head_bytes + copied);
    struct span head = span_of(out->stage + out->bytes - copied - head_bytes, head_bytes);
    trace_sent(broker, session->conn, session->version, head, publication->payload, publication);
}

/* The topic's alias: an old one makes the packet shorter, a new one longer. One that would make it larger than the client takes is not given
 * [MQTT-3.1.2-24]. */
static void alias_assign(struct session *session, const struct outgoing *outgoing, struct span topic, struct outgoing_properties *properties)
{
    struct mqtt_alias alias = mqtt_alias_out_assign(&session->aliases_out, topic);
    if (alias.alias == 0) return;
    struct outgoing_properties longer = *properties;
    longer.alias = alias;
    longer.bytes += ALIAS_BYTES;
    if (!alias.known && UNLIKELY(packet_bytes(session, outgoing, &longer) > packet_bytes_limit(session)))
        return mqtt_alias_out_forget(&session->aliases_out, alias.alias);
    *properties = longer;
}

/* Writes the packet. The caller has made sure of its size, and of the window for QoS 1 and 2. */
static void publish_write(struct broker_shard *broker, struct session *session, const struct outgoing *outgoing,
                          struct outgoing_properties *properties, uint16_t packet_id)
{
    struct publication *publication = outgoing->publication;
    struct conn *conn = session->conn;
    struct span topic = topic_for(session, publication);
    size_t payload_bytes = publication->payload.bytes, block_bytes = 0;
    if (session->version == MQTT_5) {
        if (session->aliases_out.maximum) {
            alias_assign(session, outgoing, topic, properties);
            if (properties->alias.known) topic.bytes = 0;
        }
        block_bytes = mqtt_varint_bytes(properties->bytes) + properties->bytes;
    }
    bool copies = payload_bytes <= MESSAGE_COPY_BYTES_MAX;
    size_t after_bytes = block_bytes + payload_bytes;
    size_t staged = mqtt_publish_head_bytes(outgoing->qos, topic.bytes, after_bytes) + block_bytes +
                    (copies ? payload_bytes : 0);
    uint8_t *start = conn_reserve(broker->shard, conn, (uint32_t)staged), *at = start;
    at += mqtt_write_publish_head(at, mqtt_publish_first_byte(outgoing->qos, outgoing->retain, outgoing->dup), topic,
                                  packet_id, after_bytes);
    if (session->version == MQTT_5) at = properties_write(at, outgoing, properties);
    if (copies) at = mqtt_put_bytes(at, publication->payload);
    DCHECK((size_t)(at - start) == staged);
    conn_commit(conn, (uint32_t)staged);
    if (!copies) payload_attach(broker, conn, publication);
    session->queue.sent++;
    COUNT(broker, packets_sent);
    COUNT(broker, publish_sent);
    COUNT_BY(broker, publish_sent_bytes, payload_bytes);
    if (UNLIKELY(session->rated)) rates_delivered(broker, session);
    if (UNLIKELY(broker->extras_bits & (EXTRA_METRICS | EXTRA_TRACE))) written(broker, session, outgoing, properties);
}

/* ---- deliveries ------------------------------------------------------------------------------------------------- */

struct delivery delivery_make(struct broker_shard *broker, struct publication *publication, const struct delivery_options *options)
{
    struct message *message = message_ref(publication_message(broker->shard, publication));
    uint32_t now_ms = (uint32_t)broker->shard->now_ms;
    struct delivery delivery = {.tagged = (uint64_t)(uintptr_t)message | (uint64_t)options->qos << DELIVERY_QOS_SHIFT |
                                          (options->retain ? DELIVERY_RETAIN : 0),
                                .ids = options->subscription_id | (uint64_t)now_ms << 32};
    if (options->more_ids_count) {
        uint32_t *list = memory_acquire((2 + options->more_ids_count) * sizeof *list);
        list[0] = options->more_ids_count;
        memcpy(list + 1, options->more_ids, options->more_ids_count * sizeof *list);
        list[1 + options->more_ids_count] = now_ms;
        delivery.ids = (uint64_t)(uintptr_t)list;
        delivery.tagged |= DELIVERY_IDS_LIST;
    }
    return delivery;
}

void session_delivery_release(struct broker_shard *broker, struct delivery delivery)
{
    if (delivery.tagged & DELIVERY_IDS_LIST) memory_release((void *)(uintptr_t)delivery.ids);
    message_unref(broker->shard, delivery_message(delivery));
}

/* `ret_id` holds the single id that the outgoing then points to. */
static struct outgoing outgoing_of(struct publication *publication, struct delivery delivery, bool dup, uint32_t *ret_id)
{
    struct outgoing outgoing = {.publication = publication, .qos = delivery_qos(delivery), .dup = dup,
                                .retain = (delivery.tagged & DELIVERY_RETAIN) != 0};
    if (delivery.tagged & DELIVERY_IDS_LIST) {
        const uint32_t *list = (const uint32_t *)(uintptr_t)delivery.ids;
        outgoing.ids = list + 1;
        outgoing.ids_count = list[0];
    } else if ((uint32_t)delivery.ids) {
        *ret_id = (uint32_t)delivery.ids;
        outgoing.ids = ret_id;
        outgoing.ids_count = 1;
    }
    return outgoing;
}

static void log_drop(struct broker_shard *broker, const struct session *session, struct span topic, enum drop_reason reason)
{
    if (UNLIKELY(broker->extras_bits & EXTRA_METRICS)) extras_count(broker, topic, METRIC_DROPPED);
    drop_note(broker, reason, session, topic, 1);
    LOG_LIMITED(WARN, 1000, "message dropped", "reason=%s client=%s topic=%s", drop_reason_names[reason],
                log_quoted(session_client_id(session)), log_quoted(topic));
}

static void expired_count(struct broker_shard *broker, const struct session *session, struct span topic)
{
    COUNT(broker, dropped_expired);
    drop_note(broker, DROP_expired, session, topic, 1);
    if (UNLIKELY(broker->extras_bits & EXTRA_METRICS)) extras_count(broker, topic, METRIC_DROPPED);
}

static bool too_large(struct broker_shard *broker, struct session *session, const struct outgoing *outgoing,
                      const struct outgoing_properties *properties)
{
    uint64_t bytes = packet_bytes(session, outgoing, properties);
    if (LIKELY(bytes <= packet_bytes_limit(session))) return false;
    COUNT(broker, dropped_too_large); /* [MQTT-3.1.2-24], [MQTT-3.1.2-25]: as if it had been delivered */
    log_drop(broker, session, outgoing->publication->topic, DROP_too_large_for_client);
    return true;
}

/* Sends one delivery from the queue; it was the queue's reference and becomes the window's or goes. */
static void delivery_send(struct broker_shard *broker, struct session *session, struct delivery delivery)
{
    struct message *message = delivery_message(delivery);
    struct publication publication = publication_of(message);
    uint32_t id;
    struct outgoing outgoing = outgoing_of(&publication, delivery, false, &id);
    struct outgoing_properties properties = properties_measure(broker, session, &outgoing);
    bool expired = (message->expires_ms && message->expires_ms <= broker->shard->now_ms) || UNLIKELY(delivery.tagged & DELIVERY_PAST);
    if (expired) expired_count(broker, session, publication.topic);
    if (UNLIKELY(broker->extras_bits & EXTRA_SLOW_SUBS) && !expired) slow_subs_sent(broker, session, publication.topic, outgoing.qos, &delivery);
    bool logged = (delivery.tagged & DELIVERY_LOGGED) != 0;
    if (expired || too_large(broker, session, &outgoing, &properties)) {
        if (UNLIKELY(logged)) durable_packet(broker, session, STORE_DROP, 0);
        session_delivery_release(broker, delivery);
    } else if (outgoing.qos == 0) {
        if (UNLIKELY(logged)) durable_packet(broker, session, STORE_DROP, 0);
        publish_write(broker, session, &outgoing, &properties, 0);
        session_delivery_release(broker, delivery);
    } else {
        uint16_t packet_id = mqtt_inflight_add(&session->inflight, (void *)(uintptr_t)delivery.tagged, outgoing.qos,
                                               delivery.ids);
        session->conn->urgent = true; /* its acknowledgements make room */
        COUNT(broker, inflight_messages);
        if (UNLIKELY(logged)) durable_packet(broker, session, STORE_SENT, packet_id);
        bool held = logged && outgoing.qos == 2 && durable_hold_publish(broker, session, packet_id);
        if (LIKELY(!held)) publish_write(broker, session, &outgoing, &properties, packet_id);
    }
    publication_end(broker->shard, &publication);
}

void session_publish_held(struct broker_shard *broker, struct session *session, uint16_t packet_id)
{
    struct mqtt_inflight_entry entry;
    if (!mqtt_inflight_find(&session->inflight, packet_id, &entry) || entry.state != MQTT_INFLIGHT_PUBLISHED) return;
    struct delivery delivery = {(uint64_t)(uintptr_t)entry.message, entry.user};
    struct publication publication = publication_of(delivery_message(delivery));
    uint32_t id;
    struct outgoing outgoing = outgoing_of(&publication, delivery, false, &id);
    struct outgoing_properties properties = properties_measure(broker, session, &outgoing);
    publish_write(broker, session, &outgoing, &properties, packet_id);
    publication_end(broker->shard, &publication);
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

static void queue_push(struct broker_shard *broker, struct session *session, struct delivery delivery)
{
    uint64_t bytes = message_bytes(delivery_message(delivery));
    session->queue_bytes += bytes;
    COUNT(broker, queued_messages);
    COUNT_BY(broker, queued_bytes, bytes);
    if (UNLIKELY(session->spilled)) return durable_spill_push(broker, session, delivery);
    delivery_queue_put(&session->queue, delivery);
}

static struct delivery queue_pop(struct broker_shard *broker, struct session *session)
{
    if (UNLIKELY(session->durable) && session->durable->snapshotting) durable_queue_pops(broker, session);
    struct delivery delivery = delivery_queue_take(&session->queue);
    uint64_t bytes = message_bytes(delivery_message(delivery));
    session->queue_bytes -= bytes;
    UNCOUNT(broker, queued_messages);
    COUNT_BY(broker, queued_bytes, -bytes);
    if (UNLIKELY(session->spilled)) durable_spill_popped(broker, session, delivery);
    return delivery;
}

/* Entries, wherever they are. */
static inline uint64_t queue_count(const struct session *session)
{
    return session->queue.count + (UNLIKELY(session->spilled) ? durable_spill_count(session) : 0);
}

/* The node's limit: what waits on this shard now, and on the others as of this turn. */
static bool node_queues_full(struct broker_shard *broker, uint64_t bytes)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    const struct stats *own = broker_stats(broker);
    if (LIKELY(!mqtt->node_queue_messages_max && !mqtt->node_queue_bytes_max)) return false;
    if (broker->others_queued.turn != own->turns + 1) {
        broker->others_queued.turn = own->turns + 1;
        broker->others_queued.messages = broker->others_queued.bytes = 0;
        for (uint32_t s = 0; s < broker->broker->shards_count; s++) {
            const struct shard *other = broker->broker->shards[s]->shard;
            if (!other || other == broker->shard) continue;
            broker->others_queued.messages += stats_read(&other->stats.queued_messages);
            broker->others_queued.bytes += stats_read(&other->stats.queued_bytes);
        }
    }
    uint64_t messages = own->queued_messages + broker->others_queued.messages, all_bytes = own->queued_bytes + broker->others_queued.bytes + bytes;
    return (mqtt->node_queue_messages_max && messages >= mqtt->node_queue_messages_max) ||
           (mqtt->node_queue_bytes_max && all_bytes > mqtt->node_queue_bytes_max);
}

static inline bool session_queue_full(const struct broker_shard *broker, const struct session *session, uint64_t bytes)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    return queue_count(session) >= mqtt->queue_messages_max || session->queue_bytes + bytes > mqtt->queue_bytes_max;
}

/* Nobody would be sent it any more. */
static bool oldest_expired(const struct broker_shard *broker, const struct session *session)
{
    if (session->queue.count == 0) return false;
    uint64_t expires_ms = delivery_message(delivery_queue_at(&session->queue, 0))->expires_ms;
    return expires_ms && expires_ms <= broker->shard->now_ms;
}

static void oldest_drop(struct broker_shard *broker, struct session *session, enum drop_reason reason)
{
    struct delivery oldest = queue_pop(broker, session);
    struct span topic = message_topic(delivery_message(oldest));
    if (UNLIKELY(oldest.tagged & DELIVERY_LOGGED)) durable_packet(broker, session, STORE_DROP, 0);
    if (reason == DROP_expired) {
        expired_count(broker, session, topic);
    } else {
        COUNT(broker, dropped_oldest);
        log_drop(broker, session, topic, reason);
        TAP_TELL(broker, dropped, session->version, session->client_hash, topic, 0, session->queue.count);
    }
    session_delivery_release(broker, oldest);
}

/* Room for one more message of these bytes? Applies the policy; false: this one is to be dropped. */
static bool queue_make_room(struct broker_shard *broker, struct session *session, uint64_t bytes)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    for (;;) {
        bool own_full = session_queue_full(broker, session, bytes) && !pressure_admits(broker, session, queue_count(session), session->queue_bytes + bytes);
        bool node_full = node_queues_full(broker, bytes);
        if (LIKELY(!own_full && !node_full)) return true;
        if (oldest_expired(broker, session)) { /* it goes whatever the policy */
            oldest_drop(broker, session, DROP_expired);
            continue;
        }
        if (!own_full) COUNT(broker, dropped_node_full);
        if (mqtt->queue_policy == QUEUE_DISCONNECT && session->conn)
            session_kick(broker, session, MQTT_REASON_QUOTA_EXCEEDED);
        if (mqtt->queue_policy != QUEUE_DROP_OLDEST || queue_count(session) == 0) return false;
        if (session->queue.count == 0) { /* the oldest one is on the shelf */
            durable_spill_drop(broker, session);
            COUNT(broker, dropped_oldest);
            log_drop(broker, session, span_of_string(""), DROP_queue_full_oldest);
            continue;
        }
        oldest_drop(broker, session, DROP_queue_full_oldest);
    }
}

/* One that has not moved for a second pushes nobody back. */
#define PROGRESS_EXPECTED_MS 1000

/* Three quarters of a queue are when its publishers begin to wait for it (broker/pressure.h). Those of a slow one are asked to slow down until it
 * is half empty. */
static bool queue_pushes_back(struct broker_shard *broker, struct session *session, uint32_t filter)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    bool brim = queue_count(session) * 4ull > mqtt->queue_messages_max * 3ull || session->queue_bytes * 4 > mqtt->queue_bytes_max * 3;
    if (LIKELY(!brim && !session->pressed)) return false;
    if (session_took_nothing_ms(broker, session) >= PROGRESS_EXPECTED_MS) return false;
    if (brim) pressure_rise(broker, session, filter);
    return brim || !pressure_is_held_for(session);
}

static void deliver_queue(struct broker_shard *broker, struct session *session, struct publication *publication,
                          const struct delivery_options *options)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    if (UNLIKELY(session->is_sink)) return features_sink_deliver(broker, session, publication, options);
    if (UNLIKELY(session->ended)) return;
    if (options->qos == 0 && !session->conn && !mqtt->queue_qos0_offline) {
        COUNT(broker, dropped_qos0_offline);
        drop_note(broker, DROP_qos0_offline, session, publication->topic, 1);
        if (UNLIKELY(broker->extras_bits & EXTRA_METRICS)) extras_count(broker, publication->topic, METRIC_DROPPED);
        return;
    }
    if (UNLIKELY(session->spilled) && options->qos == 0 && durable_full(broker)) { /* what goes to the shelf is in the log, too */
        COUNT(broker, dropped_store_full);
        drop_note(broker, DROP_disk, session, publication->topic, 1);
        if (UNLIKELY(broker->extras_bits & EXTRA_METRICS)) extras_count(broker, publication->topic, METRIC_DROPPED);
        return;
    }
    if (UNLIKELY(session->durable) && publication->partial && !options->shared && durable_partial_has(publication->partial, session)) return;
    uint64_t bytes = sizeof(struct message) + publication->topic.bytes + publication->properties.bytes +
                     publication->payload.bytes;
    if (!queue_make_room(broker, session, bytes)) {
        if (options->qos == 0)
            COUNT(broker, dropped_qos0_slow);
        else
            COUNT(broker, dropped_queue_full);
        log_drop(broker, session, publication->topic, options->qos == 0 && session->conn ? DROP_qos0_slow : DROP_queue_full);
        TAP_TELL(broker, dropped, session->version, session->client_hash, publication->topic, 0, session->queue.count);
        return;
    }
    struct delivery delivery = delivery_make(broker, publication, options);
    if (UNLIKELY(session_is_durable(session)) && (options->qos > 0 || session->spilled) &&
        durable_deliver(broker, session, publication, options, 0))
        delivery.tagged |= DELIVERY_LOGGED;
    if (queue_count(session) == 0) session_took(broker, session); /* nothing has waited so far */
    queue_push(broker, session, delivery);
    if (UNLIKELY(session_is_durable(session)) && !session->spilled) durable_spill_consider(broker, session);
    COUNT(broker, deliveries_queued);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_queued(broker, session, publication, options->qos);
    if (UNLIKELY(session->spilled)) publication->congested |= durable_spill_congested(broker);
    if (!session->conn) return;
    session->conn->wants_writable = true;
    publication->congested |= queue_pushes_back(broker, session, publication->filter);
    if (options->qos == 2 && session->durable) session_pump(broker, session); /* it came past the way without a queue */
}

/* Into the stage, past the queue? */
static inline bool goes_at_once(const struct broker_shard *broker, const struct session *session, const struct publication *publication,
                                const struct delivery_options *options)
{
    const struct conn *conn = session->conn;
    bool at_once = conn && session->queue.count == 0 && !session->spilled && conn_has_room(conn) &&
                   (options->qos == 0 || (!mqtt_inflight_full(&session->inflight) &&
                                          !(session->durable && (options->qos == 2 || publication->partial))));
    if (UNLIKELY(session->rated)) at_once = at_once && !rates_delivery_waits(session);
    return at_once;
}

void session_deliver(struct broker_shard *broker, struct session *session, struct publication *publication,
                     const struct delivery_options *options)
{
    if (UNLIKELY(publication->retain) && session->querying) retained_seen(broker, session, publication);
    struct conn *conn = session->conn;
    if (UNLIKELY(!goes_at_once(broker, session, publication, options))) return deliver_queue(broker, session, publication, options);

    uint32_t id = options->subscription_id;
    struct outgoing outgoing = {.publication = publication, .ids = options->more_ids, .qos = options->qos,
                                .ids_count = options->more_ids_count, .retain = options->retain};
    if (id) {
        outgoing.ids = &id;
        outgoing.ids_count = 1;
    }
    struct outgoing_properties properties = {0};
    if (session->version == MQTT_5) properties = properties_measure(broker, session, &outgoing);
    if (UNLIKELY(too_large(broker, session, &outgoing, &properties))) return;
    uint16_t packet_id = 0;
    if (options->qos) {
        struct delivery delivery = delivery_make(broker, publication, options);
        bool durable = session_is_durable(session) && publication->level != DURABILITY_NONE;
        if (UNLIKELY(durable)) delivery.tagged |= DELIVERY_LOGGED;
        packet_id = mqtt_inflight_add(&session->inflight, (void *)(uintptr_t)delivery.tagged, options->qos, delivery.ids);
        conn->urgent = true; /* its acknowledgements make room */
        COUNT(broker, inflight_messages);
        if (UNLIKELY(durable)) durable_deliver(broker, session, publication, options, packet_id);
    }
    publish_write(broker, session, &outgoing, &properties, packet_id);
}

/* What waited has left the cache: a few messages ahead are fetched while this one is written. */
#define QUEUE_AHEAD 6

static void prefetch_queued(const struct delivery_queue *queue)
{
    struct delivery ahead = queue->entries[(queue->head + QUEUE_AHEAD) & (queue->capacity - 1)];
    const char *message = (const char *)delivery_message(ahead);
    prefetch_to_write(message);
    prefetch(message + 64);
    prefetch(message + 128);
}

static void pump(struct broker_shard *broker, struct session *session)
{
    struct delivery_queue *queue = &session->queue;
    if (!session->conn || session->kicked) return;
    if (UNLIKELY(session->spilled)) durable_spill_advance(broker, session);
    session_took(broker, session);
    while (queue->count && conn_has_room(session->conn)) {
        struct delivery next = queue->entries[queue->head];
        if (UNLIKELY(session->rated) && rates_delivery_waits(session)) return; /* its timer goes on here */
        if (queue->count > QUEUE_AHEAD) prefetch_queued(queue);
        if (delivery_qos(next) && mqtt_inflight_full(&session->inflight)) return; /* an acknowledgement goes on here */
        delivery_send(broker, session, queue_pop(broker, session));
    }
    if (queue->count)
        session->conn->wants_writable = true;
    else if (UNLIKELY(session->querying) && !session->spilled)
        retained_wake(broker, session);
}

void session_pump(struct broker_shard *broker, struct session *session)
{
    pump(broker, session);
    if (UNLIKELY(session->pressed)) pressure_look(broker, session);
}

void session_resend(struct broker_shard *broker, struct session *session)
{
    struct mqtt_inflight_entry entry;
    while (session->conn && mqtt_inflight_resend_next(&session->inflight, &entry)) {
        COUNT(broker, redeliveries);
        session->conn->urgent = true;
        if (entry.state == MQTT_INFLIGHT_RELEASING) {
            ack_send(broker, session, MQTT_PUBREL, entry.packet_id, MQTT_REASON_SUCCESS);
            continue;
        }
        struct delivery delivery = {(uint64_t)(uintptr_t)entry.message, entry.user};
        struct publication publication = publication_of(delivery_message(delivery));
        uint32_t id;
        struct outgoing outgoing = outgoing_of(&publication, delivery, true, &id);
        struct outgoing_properties properties = {0};
        if (session->version == MQTT_5) properties = properties_measure(broker, session, &outgoing);
        /* One that has become too large (the client came back with a smaller maximum) can never be sent: done. */
        if (too_large(broker, session, &outgoing, &properties)) {
            if (entry.qos == 1)
                mqtt_inflight_puback(&session->inflight, entry.packet_id, &entry);
            else
                mqtt_inflight_pubrec(&session->inflight, entry.packet_id, MQTT_REASON_PACKET_TOO_LARGE, &entry);
            UNCOUNT(broker, inflight_messages);
            if (UNLIKELY(session_is_durable(session))) durable_packet(broker, session, STORE_DONE, entry.packet_id);
            session_delivery_release(broker, delivery);
        } else {
            publish_write(broker, session, &outgoing, &properties, entry.packet_id);
        }
        publication_end(broker->shard, &publication);
    }
}

void session_restore_delivery(struct broker_shard *broker, struct session *session, struct message *message, uint16_t packet_id,
                              const struct delivery_options *options)
{
    struct mqtt_inflight_entry entry = {.packet_id = packet_id, .qos = options->qos, .state = MQTT_INFLIGHT_RELEASING};
    struct delivery delivery = {0, 0};
    if (message) {
        struct publication publication = publication_of(message);
        delivery = delivery_make(broker, &publication, options);
        delivery.tagged |= DELIVERY_LOGGED | (options->qos == 0 ? DELIVERY_PAST : 0);
        publication_end(broker->shard, &publication);
        entry.state = MQTT_INFLIGHT_PUBLISHED;
        entry.message = (void *)(uintptr_t)delivery.tagged;
        entry.user = delivery.ids;
    }
    if (packet_id == 0) return queue_push(broker, session, delivery);
    if (mqtt_inflight_restore(&session->inflight, entry))
        COUNT(broker, inflight_messages);
    else if (message)
        session_delivery_release(broker, delivery);
}

bool session_has_appetite(const struct broker_shard *broker, const struct session *session)
{
    if (UNLIKELY(session->is_sink)) return features_sink_idle(session);
    return session->conn && session->queue.count == 0 && !session->spilled && conn_has_room(session->conn);
}

struct delivery_way session_delivery_way(struct broker_shard *broker, struct session *session, struct publication *publication,
                                         const struct delivery_options *options)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    struct outgoing outgoing = {.publication = publication, .ids = options->more_ids, .qos = options->qos, .ids_count = options->more_ids_count,
                                .retain = options->retain};
    struct outgoing_properties properties = {0};
    if (session->version == MQTT_5) properties = properties_measure(broker, session, &outgoing);
    uint64_t bytes = sizeof(struct message) + publication->topic.bytes + publication->properties.bytes + publication->payload.bytes;
    struct delivery_way way = {.at_once = goes_at_once(broker, session, publication, options), .packet_bytes = packet_bytes(session, &outgoing, &properties)};
    way.too_large = session->conn && session->packet_bytes_max && way.packet_bytes > session->packet_bytes_max;
    way.offline = options->qos == 0 && !session->conn && !mqtt->queue_qos0_offline;
    way.queue_full = session_queue_full(broker, session, bytes);
    way.node_full = node_queues_full(broker, bytes);
    way.queued = queue_count(session);
    return way;
}
