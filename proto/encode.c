#include "proto/encode.h"

#include "proto/topic.h"
#include "proto/writer.h"

static void write_properties(struct writer *writer, enum mqtt_version version, const struct mqtt_properties *properties)
{
    if (version != MQTT_5) return;
    size_t bytes = mqtt_properties_bytes(properties);
    CHECK(bytes <= MQTT_VARINT_MAX);
    write_varint(writer, (uint32_t)bytes);
    if (writer->out) mqtt_properties_write(writer->out + writer->bytes, properties);
    writer->bytes += bytes;
}

static void write_packet_id(struct writer *writer, uint16_t packet_id)
{
    CHECK(packet_id != 0);
    write_u16(writer, packet_id);
}

static uint8_t connect_flags(const struct mqtt_connect *connect)
{
    uint8_t flags = connect->clean_start ? 0x02 : 0;
    if (connect->has_will) flags |= (uint8_t)(0x04 | connect->will.qos << 3 | (connect->will.retain ? 0x20 : 0));
    if (connect->has_password) flags |= 0x40;
    if (connect->has_user_name) flags |= 0x80;
    return flags;
}

static void write_connect(struct writer *writer, enum mqtt_version version, const struct mqtt_connect *connect)
{
    CHECK(connect->version == version);
    CHECK(!connect->has_will || connect->will.qos < 3);
    CHECK(!(connect->bridge && version == MQTT_5));
    write_string(writer, version == MQTT_3_1 ? SPAN_LITERAL("MQIsdp") : SPAN_LITERAL("MQTT"));
    write_u8(writer, (uint8_t)(version | (connect->bridge ? 0x80 : 0)));
    write_u8(writer, connect_flags(connect));
    write_u16(writer, connect->keep_alive_s);
    write_properties(writer, version, &connect->properties);
    write_string(writer, connect->client_id);
    if (connect->has_will) {
        write_properties(writer, version, &connect->will.properties);
        write_string(writer, connect->will.topic);
        write_string(writer, connect->will.payload);
    }
    if (connect->has_user_name) write_string(writer, connect->user_name);
    if (connect->has_password) write_string(writer, connect->password);
}

static void write_connack(struct writer *writer, enum mqtt_version version, const struct mqtt_connack *connack)
{
    write_u8(writer, version != MQTT_3_1 && connack->session_present ? 1 : 0);
    write_u8(writer, version == MQTT_5 ? (uint8_t)connack->reason : (uint8_t)mqtt_connack_code_of(connack->reason));
    write_properties(writer, version, &connack->properties);
}

static void write_publish(struct writer *writer, enum mqtt_version version, const struct mqtt_publish *publish)
{
    CHECK(publish->qos < 3);
    write_string(writer, publish->topic);
    if (publish->qos) write_packet_id(writer, publish->packet_id);
    write_properties(writer, version, &publish->properties);
    write_bytes(writer, publish->payload);
}

/* §3.4.2: no properties, no property length; and if the reason is success too, no reason. */
static void write_ack(struct writer *writer, enum mqtt_version version, const struct mqtt_ack *ack)
{
    write_packet_id(writer, ack->packet_id);
    if (version != MQTT_5) return;
    if (ack->reason == MQTT_REASON_SUCCESS && ack->properties.present == 0) return;
    write_u8(writer, (uint8_t)ack->reason);
    if (ack->properties.present) write_properties(writer, version, &ack->properties);
}

static void write_subscription(struct writer *writer, enum mqtt_version version,
                               const struct mqtt_subscription *subscription)
{
    CHECK(subscription->qos < 3 && subscription->retain_handling < 3);
    uint8_t options = subscription->qos;
    if (version == MQTT_5)
        options |= (uint8_t)((subscription->no_local ? 0x04 : 0) | (subscription->retain_as_published ? 0x08 : 0) |
                             subscription->retain_handling << 4);
    write_string(writer, subscription->full_filter);
    write_u8(writer, options);
}

static void write_subscribe(struct writer *writer, enum mqtt_version version, const struct mqtt_subscribe *subscribe)
{
    write_packet_id(writer, subscribe->packet_id);
    write_properties(writer, version, &subscribe->properties);
    if (subscribe->subscriptions == NULL) {
        struct span rest = subscribe->raw;
        struct mqtt_subscription subscription;
        while (mqtt_subscription_next(&rest, &subscription))
            write_subscription(writer, version, &subscription);
        return;
    }
    for (uint32_t i = 0; i < subscribe->count; i++)
        write_subscription(writer, version, &subscribe->subscriptions[i]);
}

static void write_unsubscribe(struct writer *writer, enum mqtt_version version,
                              const struct mqtt_unsubscribe *unsubscribe)
{
    write_packet_id(writer, unsubscribe->packet_id);
    write_properties(writer, version, &unsubscribe->properties);
    if (unsubscribe->filters == NULL) {
        write_bytes(writer, unsubscribe->raw);
        return;
    }
    for (uint32_t i = 0; i < unsubscribe->count; i++)
        write_string(writer, unsubscribe->filters[i]);
}

static void write_suback(struct writer *writer, enum mqtt_version version, enum mqtt_packet_type type,
                         const struct mqtt_suback *suback)
{
    write_packet_id(writer, suback->packet_id);
    write_properties(writer, version, &suback->properties);
    if (version == MQTT_5) {
        write_bytes(writer, suback->codes);
        return;
    }
    if (type == MQTT_UNSUBACK) return;
    for (size_t i = 0; i < suback->codes.bytes; i++)
        write_u8(writer, mqtt_reason_is_error(suback->codes.data[i]) ? 0x80 : suback->codes.data[i]);
}

static void write_disconnect(struct writer *writer, enum mqtt_version version, const struct mqtt_disconnect *disconnect)
{
    if (version != MQTT_5) return;
    if (disconnect->reason == MQTT_REASON_NORMAL_DISCONNECTION && disconnect->properties.present == 0) return;
    write_u8(writer, (uint8_t)disconnect->reason);
    if (disconnect->properties.present) write_properties(writer, version, &disconnect->properties);
}

static void write_auth(struct writer *writer, enum mqtt_version version, const struct mqtt_auth *auth)
{
    CHECK(version == MQTT_5);
    if (auth->reason == MQTT_REASON_SUCCESS && auth->properties.present == 0) return;
    write_u8(writer, (uint8_t)auth->reason);
    write_properties(writer, version, &auth->properties);
}

/* What follows the fixed header. */
static void write_body(struct writer *writer, enum mqtt_version version, const struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNECT: write_connect(writer, version, &packet->connect); return;
    case MQTT_CONNACK: write_connack(writer, version, &packet->connack); return;
    case MQTT_PUBLISH: write_publish(writer, version, &packet->publish); return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: write_ack(writer, version, &packet->ack); return;
    case MQTT_SUBSCRIBE: write_subscribe(writer, version, &packet->subscribe); return;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: write_suback(writer, version, packet->type, &packet->suback); return;
    case MQTT_UNSUBSCRIBE: write_unsubscribe(writer, version, &packet->unsubscribe); return;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return;
    case MQTT_DISCONNECT: write_disconnect(writer, version, &packet->disconnect); return;
    case MQTT_AUTH: write_auth(writer, version, &packet->auth); return;
    }
    UNREACHABLE("a packet of no type");
}

static size_t body_bytes(enum mqtt_version version, const struct mqtt_packet *packet)
{
    CHECK(version == MQTT_3_1 || version == MQTT_3_1_1 || version == MQTT_5);
    struct writer counter = {NULL, 0};
    write_body(&counter, version, packet);
    return counter.bytes;
}

static uint8_t first_byte(const struct mqtt_packet *packet)
{
    if (packet->type != MQTT_PUBLISH) return mqtt_first_byte(packet->type);
    const struct mqtt_publish *publish = &packet->publish;
    return mqtt_publish_first_byte(publish->qos, publish->retain, publish->dup);
}

size_t mqtt_encoded_bytes(enum mqtt_version version, const struct mqtt_packet *packet)
{
    size_t bytes = body_bytes(version, packet);
    if (bytes > MQTT_VARINT_MAX) return 0;
    return 1 + mqtt_varint_bytes((uint32_t)bytes) + bytes;
}

size_t mqtt_encode(uint8_t *out, size_t capacity, enum mqtt_version version, const struct mqtt_packet *packet)
{
    size_t bytes = body_bytes(version, packet);
    if (bytes > MQTT_VARINT_MAX) return 0;
    if (1 + mqtt_varint_bytes((uint32_t)bytes) + bytes > capacity) return 0;

    struct writer writer = {out, 0};
    write_u8(&writer, first_byte(packet));
    write_varint(&writer, (uint32_t)bytes);
    write_body(&writer, version, packet);
    return writer.bytes;
}
