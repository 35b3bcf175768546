/* encode.h - packets to bytes.
 *
 * mqtt_encode() writes any packet for any version. The inline writers below are for the hot path: each writes one fixed
 * layout to memory the caller has made room in, and returns how many bytes it wrote.
 *
 * Owner:   the caller's packet and the caller's buffer. Nothing is kept or allocated.
 * Threads: pure.
 * Failure: only "does not fit". A packet that makes no sense (a string above 65535 bytes, QoS 3, packet id 0) is our own
 *          mistake and is checked (base/check.h). */
#ifndef RINGMQ_PROTO_ENCODE_H
#define RINGMQ_PROTO_ENCODE_H

#include "base/check.h"
#include "proto/packet.h"

/* Bytes of the whole packet, fixed header included. Properties and reason codes count only in 5.0. A 5.0 packet that may
 * leave out its end (reason success without properties) does. 0 when it would exceed the protocol's 268,435,455 bytes. */
size_t mqtt_encoded_bytes(enum mqtt_version version, const struct mqtt_packet *packet);
/* Returns the bytes written, or 0 when `capacity` is too small (nothing is written then). CONNECT is written in the version it
 * names itself; `version` must be the same. AUTH, and DISCONNECT from a server, exist in 5.0 only. */
size_t mqtt_encode(uint8_t *out, size_t capacity, enum mqtt_version version, const struct mqtt_packet *packet);

/* The most a variable byte integer takes, and the most a fixed header takes (§2.1). */
#define MQTT_VARINT_BYTES_MAX       4
#define MQTT_FIXED_HEADER_BYTES_MAX 5

static inline uint8_t *mqtt_put_u8(uint8_t *out, uint8_t value)
{
    *out = value;
    return out + 1;
}

static inline uint8_t *mqtt_put_u16(uint8_t *out, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(out, &value, 2);
    return out + 2;
}

static inline uint8_t *mqtt_put_u32(uint8_t *out, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(out, &value, 4);
    return out + 4;
}

/* §1.5.5. Does not accept more than MQTT_VARINT_MAX. */
static inline uint8_t *mqtt_put_varint(uint8_t *out, uint32_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static inline uint32_t mqtt_varint_bytes(uint32_t value)
{
    return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;
}

static inline uint8_t *mqtt_put_bytes(uint8_t *out, struct span bytes)
{
    if (bytes.bytes) memcpy(out, bytes.data, bytes.bytes);
    return out + bytes.bytes;
}

/* A string or binary data: two bytes of length and the bytes (§1.5.4, §1.5.6). Does not accept more than 65535. */
static inline uint8_t *mqtt_put_string(uint8_t *out, struct span text)
{
    DCHECK(text.bytes <= MQTT_STRING_BYTES_MAX);
    return mqtt_put_bytes(mqtt_put_u16(out, (uint16_t)text.bytes), text);
}

/* The first byte of these packets; PUBREL, SUBSCRIBE and UNSUBSCRIBE carry 0010 (§2.1.3). Not for PUBLISH. */
static inline uint8_t mqtt_first_byte(enum mqtt_packet_type type)
{
    const uint32_t flagged = MQTT_IN(PUBREL) | MQTT_IN(SUBSCRIBE) | MQTT_IN(UNSUBSCRIBE);
    return (uint8_t)(type << 4 | (flagged >> type & 1) << 1);
}

/* PUBACK, PUBREC, PUBREL, PUBCOMP with reason success, and a v3 UNSUBACK: 4 bytes in every version. */
#define MQTT_ACK_BYTES 4
static inline size_t mqtt_write_ack(uint8_t *out, enum mqtt_packet_type type, uint16_t packet_id)
{
    out[0] = mqtt_first_byte(type);
    out[1] = 2;
    mqtt_put_u16(out + 2, packet_id);
    return MQTT_ACK_BYTES;
}

/* The same with a reason code, 5.0 only: 5 bytes. */
#define MQTT_ACK_REASON_BYTES 5
static inline size_t mqtt_write_ack_reason(uint8_t *out, enum mqtt_packet_type type, uint16_t packet_id,
                                           enum mqtt_reason reason)
{
    out[0] = mqtt_first_byte(type);
    out[1] = 3;
    mqtt_put_u16(out + 2, packet_id);
    out[4] = (uint8_t)reason;
    return MQTT_ACK_REASON_BYTES;
}

#define MQTT_PING_BYTES 2
static inline size_t mqtt_write_pingreq(uint8_t *out)
{
    out[0] = MQTT_PINGREQ << 4;
    out[1] = 0;
    return MQTT_PING_BYTES;
}

static inline size_t mqtt_write_pingresp(uint8_t *out)
{
    out[0] = MQTT_PINGRESP << 4;
    out[1] = 0;
    return MQTT_PING_BYTES;
}

/* The head of a PUBLISH:
 *
 *     first byte | remaining length | topic length, topic | packet id (QoS 1, 2)     ← the head
 *     property length, properties (5.0 only) | payload                              ← after_bytes, written by the caller
 *
 * In a head written once and shared by many receivers, the packet id is its last two bytes and DUP is bit 0x08 of its
 * first. The head plus after_bytes must stay below the protocol's limit. */
static inline size_t mqtt_publish_head_bytes(uint8_t qos, size_t topic_bytes, size_t after_bytes)
{
    size_t variable_bytes = 2 + topic_bytes + (qos ? 2 : 0);
    return 1 + mqtt_varint_bytes((uint32_t)(variable_bytes + after_bytes)) + variable_bytes;
}

static inline uint8_t mqtt_publish_first_byte(uint8_t qos, bool retain, bool dup)
{
    return (uint8_t)(MQTT_PUBLISH << 4 | qos << MQTT_FLAG_QOS_SHIFT | (retain ? MQTT_FLAG_RETAIN : 0) |
                     (dup ? MQTT_FLAG_DUP : 0));
}

/* first_byte from mqtt_publish_first_byte(); packet_id is ignored when it says QoS 0. */
static inline size_t mqtt_write_publish_head(uint8_t *out, uint8_t first_byte, struct span topic, uint16_t packet_id,
                                             size_t after_bytes)
{
    bool has_packet_id = first_byte >> MQTT_FLAG_QOS_SHIFT & 3;
    size_t remaining_bytes = 2 + topic.bytes + (has_packet_id ? 2 : 0) + after_bytes;
    DCHECK(remaining_bytes <= MQTT_VARINT_MAX);
    uint8_t *at = mqtt_put_u8(out, first_byte);
    at = mqtt_put_varint(at, (uint32_t)remaining_bytes);
    at = mqtt_put_string(at, topic);
    if (has_packet_id) at = mqtt_put_u16(at, packet_id);
    return (size_t)(at - out);
}

#endif
