/* ack.c - PUBACK, PUBREC, PUBREL and PUBCOMP, both ways (§4.3). */
#include "base/log.h"
#include "base/prefetch.h"
#include "broker/broker.h"
#include "proto/decode.h"
#include "proto/encode.h"

void ack_send(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type, uint16_t packet_id,
              enum mqtt_reason reason)
{
    struct conn *conn = session->conn;
    if (UNLIKELY(session->durable) && durable_ack(broker, session, type, packet_id, reason)) return;
    uint8_t *out = conn_reserve(broker->shard, conn, MQTT_ACK_REASON_BYTES);
    bool plain = reason == MQTT_REASON_SUCCESS || session->version < MQTT_5;
    uint32_t bytes = (uint32_t)(plain ? mqtt_write_ack(out, type, packet_id) : mqtt_write_ack_reason(out, type, packet_id, reason));
    conn_commit(conn, bytes);
    COUNT(broker, packets_sent);
    if (UNLIKELY(session->traced)) trace_sent(broker, conn, session->version, span_of(out, bytes), span_of(NULL, 0), NULL);
}

static struct delivery delivery_of(const struct mqtt_inflight_entry *entry)
{
    return (struct delivery){(uint64_t)(uintptr_t)entry->message, entry->user};
}

/* Acknowledgements come in the order of sending, and by then the messages have left the cache: those of the next ones are fetched
 * while this one is handled. */
#define ACKS_AHEAD 4

static void prefetch_message(const void *tagged)
{
    const char *message = (const char *)((uintptr_t)tagged & DELIVERY_POINTER_MASK);
    prefetch_to_write(message);
    prefetch(message + sizeof(struct message) - 1);
}

static void note_slow(struct broker_shard *broker, const struct session *session, const struct mqtt_inflight_entry *entry)
{
    if (!entry->message) return;
    const struct message *message = (const struct message *)((uintptr_t)entry->message & DELIVERY_POINTER_MASK);
    slow_subs_note(broker, session, message_topic(message), entry->qos, false, delivery_stamp_ms(delivery_of(entry)));
}

/* A message has left the window: its reference goes, and what waited for the room moves up. */
static void delivery_done(struct broker_shard *broker, struct session *session, const struct mqtt_inflight_entry *entry)
{
    if (UNLIKELY(session_is_durable(session))) durable_packet(broker, session, STORE_DONE, entry->packet_id);
    if (UNLIKELY(broker->extras_bits & EXTRA_SLOW_SUBS)) note_slow(broker, session, entry);
    if (entry->message) session_delivery_release(broker, delivery_of(entry));
    UNCOUNT(broker, inflight_messages);
    if (mqtt_inflight_count(&session->inflight) == 0) session->conn->urgent = false;
    session_took(broker, session);
}

static void window_moved(struct broker_shard *broker, struct session *session)
{
    if (UNLIKELY(mqtt_inflight_resending(&session->inflight))) session_resend(broker, session);
    if (session->queue.count) session_pump(broker, session);
}

/* PUBREC: of a message that the client has, only the id is needed from now on. */
static void pubrec_handle(struct broker_shard *broker, struct session *session, const struct mqtt_ack *ack)
{
    struct mqtt_inflight_entry entry;
    enum mqtt_inflight_verdict verdict =
        mqtt_inflight_pubrec(&session->inflight, ack->packet_id, ack->reason, &entry);
    if (verdict == MQTT_INFLIGHT_WRONG_STATE)
        return packet_error(broker, session->conn, MQTT_REASON_PROTOCOL_ERROR, "PUBREC for a QoS 1 message");
    if (verdict == MQTT_INFLIGHT_UNKNOWN) {
        if (!mqtt_reason_is_error(ack->reason))
            ack_send(broker, session, MQTT_PUBREL, ack->packet_id, MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND);
        return;
    }
    if (mqtt_reason_is_error(ack->reason)) {
        delivery_done(broker, session, &entry);
        return window_moved(broker, session);
    }
    if (UNLIKELY(session_is_durable(session))) durable_packet(broker, session, STORE_RELEASING, ack->packet_id);
    ack_send(broker, session, MQTT_PUBREL, ack->packet_id, MQTT_REASON_SUCCESS);
    if (!entry.message) return;
    if (UNLIKELY(broker->extras_bits & EXTRA_SLOW_SUBS)) note_slow(broker, session, &entry); /* its topic goes with it */
    mqtt_inflight_drop_message(&session->inflight, ack->packet_id);
    session_delivery_release(broker, delivery_of(&entry));
}

static void pubrel_handle(struct broker_shard *broker, struct session *session, const struct mqtt_ack *ack)
{
    bool known = mqtt_incoming_remove(&session->incoming, ack->packet_id);
    if (known && UNLIKELY(session_is_durable(session))) durable_packet(broker, session, STORE_INCOMING_END, ack->packet_id);
    ack_send(broker, session, MQTT_PUBCOMP, ack->packet_id,
             known ? MQTT_REASON_SUCCESS : MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND);
}

static inline void last_handle(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type, uint16_t packet_id)
{
    prefetch_message(mqtt_inflight_ahead(&session->inflight, packet_id, ACKS_AHEAD));
    struct mqtt_inflight_entry entry;
    enum mqtt_inflight_verdict verdict = type == MQTT_PUBACK ? mqtt_inflight_puback(&session->inflight, packet_id, &entry)
                                                             : mqtt_inflight_pubcomp(&session->inflight, packet_id, &entry);
    if (verdict == MQTT_INFLIGHT_WRONG_STATE)
        return packet_error(broker, session->conn, MQTT_REASON_PROTOCOL_ERROR, "acknowledgement of another QoS");
    if (verdict == MQTT_INFLIGHT_UNKNOWN) return; /* a late answer to what a former connection sent */
    delivery_done(broker, session, &entry);
    window_moved(broker, session);
}

/* They come many in a row: what they change is counted, and the window moves, when all of them are through. */
static size_t pubacks_in_a_row(struct broker_shard *broker, struct session *session, struct span bytes)
{
    struct mqtt_inflight *inflight = &session->inflight;
    struct shard *shard = broker->shard;
    uint32_t done = 0;
    for (uint16_t id; (id = mqtt_puback_at(span_skip(bytes, done * MQTT_ACK_BYTES))) != 0;) {
        struct mqtt_inflight_entry entry;
        prefetch_message(mqtt_inflight_ahead(inflight, id, ACKS_AHEAD));
        if (UNLIKELY(mqtt_inflight_puback(inflight, id, &entry) != MQTT_INFLIGHT_OK)) break;
        if (LIKELY(entry.message != NULL)) session_delivery_release(broker, delivery_of(&entry));
        done++;
        shard->turn_packets++;
        if (UNLIKELY(shard_turn_spent(shard))) break;
    }
    if (UNLIKELY(done == 0)) return 0;
    COUNT_BY(broker, packets_received, done);
    COUNT_BY(broker, inflight_messages, -(uint64_t)done);
    if (mqtt_inflight_count(inflight) == 0) session->conn->urgent = false;
    session_took(broker, session);
    window_moved(broker, session);
    return done * MQTT_ACK_BYTES;
}

size_t pubacks_handle(struct broker_shard *broker, struct session *session, struct span bytes)
{
    bool looked_at = session_is_durable(session) || UNLIKELY(broker->extras_bits & EXTRA_SLOW_SUBS);
    size_t consumed = looked_at ? 0 : pubacks_in_a_row(broker, session, bytes);
    if (LIKELY(consumed)) return consumed;
    COUNT(broker, packets_received);
    broker->shard->turn_packets++;
    last_handle(broker, session, MQTT_PUBACK, mqtt_puback_at(bytes));
    return MQTT_ACK_BYTES;
}

void ack_handle(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type,
                const struct mqtt_ack *ack)
{
    if (type == MQTT_PUBREL) return pubrel_handle(broker, session, ack);
    if (type == MQTT_PUBREC) return pubrec_handle(broker, session, ack);
    last_handle(broker, session, type, ack->packet_id);
}
