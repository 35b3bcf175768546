/* packets.c - from a connection's bytes to packets, and to whoever handles them. */
#include "base/check.h"
#include "base/log.h"
#include "broker/broker.h"
#include "proto/decode.h"
#include "proto/encode.h"

bool packet_send(struct broker_shard *broker, struct conn *conn, enum mqtt_version version, uint32_t packet_bytes_max,
                 struct mqtt_packet *packet)
{
    size_t bytes = mqtt_encoded_bytes(version, packet);
    if (packet_bytes_max && bytes > packet_bytes_max && version == MQTT_5) {
        /* [MQTT-3.2.2-19] and its sisters: leave out what only explains. All packets begin their union with what differs, so the
         * properties are found by type. */
        struct mqtt_properties *properties = packet->type == MQTT_CONNACK      ? &packet->connack.properties
                                             : packet->type == MQTT_DISCONNECT ? &packet->disconnect.properties
                                             : packet->type == MQTT_SUBACK || packet->type == MQTT_UNSUBACK
                                                 ? &packet->suback.properties
                                                 : &packet->ack.properties;
        properties->present &= ~(1ull << MQTT_PROPERTY_REASON_STRING | 1ull << MQTT_PROPERTY_USER_PROPERTY);
        bytes = mqtt_encoded_bytes(version, packet);
        if (bytes > packet_bytes_max) return false; /* [MQTT-3.1.2-24] */
    }
    CHECK(bytes > 0);
    uint8_t *out = conn_reserve(broker->shard, conn, (uint32_t)bytes);
    size_t written = mqtt_encode(out, bytes, version, packet);
    CHECK(written == bytes);
    conn_commit(conn, (uint32_t)written);
    COUNT(broker, packets_sent);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_sent(broker, conn, (uint8_t)version, span_of(out, written), span_of(NULL, 0), NULL);
    return true;
}

void packet_error(struct broker_shard *broker, struct conn *conn, enum mqtt_reason reason, const char *what)
{
    COUNT(broker, protocol_errors);
    session_disconnect(broker, conn->client, (uint8_t)reason, what, SESSION_END_SERVER);
}

static void malformed(struct broker_shard *broker, struct conn *conn, const struct mqtt_decoded *decoded)
{
    if (conn->client) return packet_error(broker, conn, decoded->reason, decoded->what);
    COUNT(broker, protocol_errors);
    enum mqtt_version version = decoded->answer_version;
    bool answered = version == MQTT_5 || decoded->reason == MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION ||
                    decoded->reason == MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID;
    if (!answered) version = MQTT_VERSION_NONE; /* [MQTT3-3.1.4-1] older versions have no return code for it */
    connect_refuse(broker, conn, version, 0, decoded->reason, decoded->what);
}

static void pingreq_handle(struct broker_shard *broker, struct conn *conn)
{
    uint8_t *out = conn_reserve(broker->shard, conn, MQTT_PING_BYTES);
    conn_commit(conn, (uint32_t)mqtt_write_pingresp(out));
    COUNT(broker, packets_sent);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_sent(broker, conn, 0, span_of(out, MQTT_PING_BYTES), span_of(NULL, 0), NULL);
}

/* True: it stays unread. */
static bool packet_handle(struct broker_shard *broker, struct conn *conn, const struct mqtt_packet *packet)
{
    struct session *session = conn->client;
    switch (packet->type) {
    case MQTT_PUBLISH: return publish_handle(broker, session, &packet->publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return ack_handle(broker, session, packet->type, &packet->ack), false;
    case MQTT_SUBSCRIBE: return subscribe_handle(broker, session, &packet->subscribe);
    case MQTT_UNSUBSCRIBE: return unsubscribe_handle(broker, session, &packet->unsubscribe), false;
    case MQTT_PINGREQ: return pingreq_handle(broker, conn), false;
    case MQTT_DISCONNECT: return disconnect_handle(broker, session, &packet->disconnect), false;
    case MQTT_CONNECT: /* [MQTT-3.1.0-2] */
        return packet_error(broker, conn, MQTT_REASON_PROTOCOL_ERROR, "a second CONNECT"), false;
    case MQTT_AUTH: return features_reauthenticate(broker, session, &packet->auth);
    case MQTT_CONNACK:
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
    case MQTT_PINGRESP: break;
    }
    UNREACHABLE("the decoder lets no such packet from a client pass");
}

/* Retained queries of one session under way; beyond that its packets wait. */
#define QUERIES_MAX 64

/* A client that sends and does not read: its answers fill the stage, and there they end. broker_writable() goes on. */
static void answers_wait(struct broker_shard *broker, struct conn *conn)
{
    if (!conn->client) return;
    conn->wants_writable = true;
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_conn(broker, TRACE_EVENT_paused, conn, &(struct trace_facts){.numbers = {TRACE_PAUSE_UNREAD}});
    conn_hold_firmly(broker->shard, conn, HOLD_UNREAD);
}

/* A CONNECT. True: it stays unread. */
static bool connecting(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, struct span bytes)
{
    bool unread = false, exchange = false;
    connect_handle(broker, conn, connect, &unread, &exchange);
    if (UNLIKELY(exchange)) features_exchange_keep(broker, conn, bytes);
    return unread;
}

/* An exchange of AUTH packets between a CONNECT and its CONNACK; NULL: there is none. */
static struct client_record *exchange_of(struct broker_shard *broker, const struct conn *conn)
{
    bool any = UNLIKELY(broker->features != NULL) && broker->features->exchanges_count;
    return any ? features_exchange(broker, conn) : NULL;
}

struct conn_progress packets_received(struct shard *shard, struct conn *conn, struct span bytes)
{
    if (UNLIKELY(broker_of(shard)->extras_bits & EXTRA_TRACE)) return trace_received(shard, conn, bytes);
    return packets_take(shard, conn, bytes);
}

struct conn_progress packets_take(struct shard *shard, struct conn *conn, struct span bytes)
{
    struct broker_shard *broker = broker_of(shard);
    const struct limits *allowed = limits_of(broker, conn);
    struct mqtt_decode_limits limits = {
        .from = MQTT_FROM_CLIENT,
        .version = conn->client ? (enum mqtt_version)((struct session *)conn->client)->version : MQTT_VERSION_NONE,
        .packet_bytes_max = allowed->packet_bytes_max,
        .topic_levels_max = allowed->topic_levels_max,
        .check_payload_utf8 = allowed->check_payload_utf8};
    struct client_record *exchange = conn->client ? NULL : exchange_of(broker, conn);
    if (UNLIKELY(exchange != NULL)) limits.version = MQTT_5;
    struct mqtt_packet packet;
    size_t consumed = 0;
    bool scouts = UNLIKELY(broker->scouts) && conn->client, repeats = true;
    while (consumed < bytes.bytes) {
        if (UNLIKELY(scouts) && broker->packets_ahead-- == 0) publish_ahead(broker, conn->client, span_skip(bytes, consumed));
        if (mqtt_puback_at(span_skip(bytes, consumed)) && LIKELY(conn->client != NULL)) {
            consumed += pubacks_handle(broker, conn->client, span_skip(bytes, consumed));
            if (UNLIKELY(conn->state != CONN_OPEN)) return (struct conn_progress){bytes.bytes, 0};
            if (UNLIKELY(conn->holds) || (UNLIKELY(shard_turn_spent(shard)) && consumed < bytes.bytes)) return (struct conn_progress){consumed, 0};
            continue;
        }
        struct mqtt_decoded decoded = mqtt_decode(span_skip(bytes, consumed), &limits, &packet);
        if (decoded.status == MQTT_NEED_MORE) return (struct conn_progress){consumed, decoded.bytes};
        if (UNLIKELY(decoded.status == MQTT_MALFORMED)) {
            malformed(broker, conn, &decoded);
            return (struct conn_progress){bytes.bytes, 0};
        }
        COUNT(broker, packets_received);
        shard->turn_packets++;
        bool stays = packet.type == MQTT_PUBLISH && packet.publish.payload.bytes < MESSAGE_TAKE_BYTES_MIN; /* broker/message.h */
        limits.topic_known = stays ? packet.publish.topic : span_of(NULL, 0);
        if (UNLIKELY(!conn->client)) {
            bool unread = false;
            if (UNLIKELY(exchange != NULL))
                unread = features_exchange_packet(broker, conn, exchange, &packet);
            else
                unread = connecting(broker, conn, &packet.connect, span_of(bytes.data + consumed, decoded.bytes));
            if (unread) return (struct conn_progress){consumed, 0};
            if (!exchange) limits.version = packet.connect.version;
            exchange = conn->client || conn->state != CONN_OPEN ? NULL : exchange_of(broker, conn);
        } else if (UNLIKELY(packet_handle(broker, conn, &packet))) {
            return (struct conn_progress){consumed, 0};
        }
        consumed += decoded.bytes;
        if (UNLIKELY(conn->state != CONN_OPEN)) return (struct conn_progress){bytes.bytes, 0};
        if (UNLIKELY(conn_is_flooded(conn))) answers_wait(broker, conn);
        const struct session *session = conn->client;
        if (UNLIKELY(session && session->querying && session->rare->queries_count > QUERIES_MAX))
            publisher_pause(broker, conn->client); /* more retained messages asked for than it takes */
        if (UNLIKELY(conn->holds)) return (struct conn_progress){consumed, 0};
        if (stays && repeats && consumed < bytes.bytes && bytes.data[consumed] >> 4 == MQTT_PUBLISH && session) {
            size_t more;
            repeats = publish_again(broker, conn->client, &packet.publish, span_skip(bytes, consumed), &more);
            consumed += more;
        }
        if (UNLIKELY(shard_turn_spent(shard)) && consumed < bytes.bytes) return (struct conn_progress){consumed, 0};
    }
    return (struct conn_progress){consumed, 1};
}
