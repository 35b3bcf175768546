#include "proto/decode.h"

#include "proto/encode.h"
#include "proto/reader.h"

#define SENDER(role) (1u << MQTT_FROM_##role)
#define SENDER_BOTH  (SENDER(CLIENT) | SENDER(SERVER))

/* Who sends what, since which version (§2.1.2 Table 2-1). */
static const struct {
    uint8_t senders;
    uint8_t senders_v3;
    const char *wrong;
} kinds[16] = {
    [MQTT_CONNECT] = {SENDER(CLIENT), SENDER(CLIENT), "CONNECT from a server"},
    [MQTT_CONNACK] = {SENDER(SERVER), SENDER(SERVER), "CONNACK from a client"},
    [MQTT_PUBLISH] = {SENDER_BOTH, SENDER_BOTH, NULL},
    [MQTT_PUBACK] = {SENDER_BOTH, SENDER_BOTH, NULL},
    [MQTT_PUBREC] = {SENDER_BOTH, SENDER_BOTH, NULL},
    [MQTT_PUBREL] = {SENDER_BOTH, SENDER_BOTH, NULL},
    [MQTT_PUBCOMP] = {SENDER_BOTH, SENDER_BOTH, NULL},
    [MQTT_SUBSCRIBE] = {SENDER(CLIENT), SENDER(CLIENT), "SUBSCRIBE from a server"},
    [MQTT_SUBACK] = {SENDER(SERVER), SENDER(SERVER), "SUBACK from a client"},
    [MQTT_UNSUBSCRIBE] = {SENDER(CLIENT), SENDER(CLIENT), "UNSUBSCRIBE from a server"},
    [MQTT_UNSUBACK] = {SENDER(SERVER), SENDER(SERVER), "UNSUBACK from a client"},
    [MQTT_PINGREQ] = {SENDER(CLIENT), SENDER(CLIENT), "PINGREQ from a server"},
    [MQTT_PINGRESP] = {SENDER(SERVER), SENDER(SERVER), "PINGRESP from a client"},
    [MQTT_DISCONNECT] = {SENDER_BOTH, SENDER(CLIENT), "DISCONNECT from a server before 5.0"},
    [MQTT_AUTH] = {SENDER_BOTH, 0, "AUTH before 5.0"},
};

/* The first byte: type and flags (§2.1.2, §2.1.3). */
static bool check_first_byte(struct decoding *decoding, uint8_t first_byte)
{
    enum mqtt_packet_type type = first_byte >> 4;
    if (type == 0) return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "packet type 0");
    if (type != MQTT_PUBLISH) {
        uint8_t flags = first_byte & 0x0F, wanted = mqtt_first_byte(type) & 0x0F;
        /* 3.1 §2.1.1: packets that are sent with QoS 1 may be marked as sent again. */
        bool dup_allowed = decoding->version == MQTT_3_1 && wanted == 0x02;
        if (flags != wanted && !(dup_allowed && flags == (wanted | MQTT_FLAG_DUP)))
            return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "reserved flags of the fixed header"); /* [MQTT-2.1.3-1] */
    }
    if (type == MQTT_CONNECT && decoding->limits->from == MQTT_FROM_CLIENT) return true;
    if (decoding->version == MQTT_VERSION_NONE)
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a packet before CONNECT"); /* [MQTT-3.1.0-1] */
    const uint32_t of_both = MQTT_IN(PUBLISH) | MQTT_IN(PUBACK) | MQTT_IN(PUBREC) | MQTT_IN(PUBREL) | MQTT_IN(PUBCOMP);
    if (LIKELY(of_both >> type & 1)) return true;
    uint8_t senders = decoding->version == MQTT_5 ? kinds[type].senders : kinds[type].senders_v3;
    if (!(senders >> decoding->limits->from & 1)) {
        bool unknown = type == MQTT_AUTH && decoding->version != MQTT_5;
        return fault(decoding, unknown ? MQTT_REASON_MALFORMED_PACKET : MQTT_REASON_PROTOCOL_ERROR, kinds[type].wrong);
    }
    return true;
}

enum length_status { LENGTH_TAKEN, LENGTH_NEEDS_MORE, LENGTH_TOO_LONG };

/* §2.1.4. Does not judge a form longer than need be: only 5.0 forbids it, and CONNECT's version is not known yet. */
static enum length_status take_remaining_length(struct span in, uint32_t *ret_length, uint32_t *ret_header_bytes)
{
    if (LIKELY(in.bytes >= 2 && in.data[1] < 0x80)) {
        *ret_length = in.data[1];
        *ret_header_bytes = 2;
        return LENGTH_TAKEN;
    }
    uint32_t value = 0;
    for (uint32_t i = 0; i < MQTT_VARINT_BYTES_MAX; i++) {
        if (in.bytes < i + 2) return LENGTH_NEEDS_MORE;
        uint8_t byte = in.data[i + 1];
        value |= (uint32_t)(byte & 0x7F) << (7 * i);
        if (byte & 0x80) continue;
        *ret_length = value;
        *ret_header_bytes = i + 2;
        return LENGTH_TAKEN;
    }
    return LENGTH_TOO_LONG;
}

static bool decode_body(struct decoding *decoding, uint8_t first_byte, struct mqtt_packet *ret_packet)
{
    switch (ret_packet->type) {
    case MQTT_PUBLISH: return decode_publish(decoding, first_byte, &ret_packet->publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return decode_ack(decoding, ret_packet->type, &ret_packet->ack);
    case MQTT_CONNECT: return decode_connect(decoding, &ret_packet->connect);
    case MQTT_CONNACK: return decode_connack(decoding, &ret_packet->connack);
    case MQTT_SUBSCRIBE: return decode_subscribe(decoding, &ret_packet->subscribe);
    case MQTT_UNSUBSCRIBE: return decode_unsubscribe(decoding, &ret_packet->unsubscribe);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: return decode_suback(decoding, ret_packet->type, &ret_packet->suback);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return true;
    case MQTT_DISCONNECT: return decode_disconnect(decoding, &ret_packet->disconnect);
    case MQTT_AUTH: return decode_auth(decoding, &ret_packet->auth);
    }
    UNREACHABLE("check_first_byte() let a packet type through that is none");
}

static struct mqtt_decoded malformed(const struct decoding *decoding)
{
    return (struct mqtt_decoded){.status = MQTT_MALFORMED,
                                 .reason = decoding->reason,
                                 .answer_version = decoding->answer_version,
                                 .what = decoding->what};
}

static struct mqtt_decoded need_more(uint32_t bytes)
{
    return (struct mqtt_decoded){.status = MQTT_NEED_MORE, .bytes = bytes};
}

struct mqtt_decoded mqtt_decode(struct span in, const struct mqtt_decode_limits *limits, struct mqtt_packet *ret_packet)
{
    if (in.bytes == 0) return need_more(2);
    struct decoding decoding = {.limits = limits, .version = limits->version, .answer_version = limits->version};
    uint8_t first_byte = in.data[0];
    if (!check_first_byte(&decoding, first_byte)) return malformed(&decoding);

    uint32_t length = 0, header_bytes = 0;
    enum length_status status = take_remaining_length(in, &length, &header_bytes);
    if (status == LENGTH_NEEDS_MORE) return need_more((uint32_t)in.bytes + 1);
    if (status == LENGTH_TOO_LONG) {
        fault(&decoding, MQTT_REASON_MALFORMED_PACKET, "the remaining length takes more than four bytes");
        return malformed(&decoding);
    }
    decoding.length_overlong = header_bytes > 1 + mqtt_varint_bytes(length);
    if (decoding.length_overlong && limits->version == MQTT_5) { /* [MQTT-1.5.5-1] */
        fault(&decoding, MQTT_REASON_MALFORMED_PACKET, "the remaining length is longer than it need be");
        return malformed(&decoding);
    }
    uint32_t bytes = header_bytes + length;
    if (limits->packet_bytes_max && bytes > limits->packet_bytes_max) { /* [MQTT-3.2.2-15] */
        fault(&decoding, MQTT_REASON_PACKET_TOO_LARGE, "larger than the maximum packet size");
        return malformed(&decoding);
    }
    if (in.bytes < bytes) return need_more(bytes);

    decoding.reader = reader_of(span_of(in.data + header_bytes, length));
    ret_packet->type = first_byte >> 4;
    if (!decode_body(&decoding, first_byte, ret_packet)) return malformed(&decoding);
    if (reader_left(&decoding.reader)) {
        fault(&decoding, MQTT_REASON_MALFORMED_PACKET, "bytes after the end of the packet");
        return malformed(&decoding);
    }
    return (struct mqtt_decoded){.status = MQTT_DECODED, .bytes = bytes};
}

/* ---- what several packets have ---- */

bool decode_properties(struct decoding *decoding, uint32_t packet, struct mqtt_properties *ret_properties)
{
    if (decoding->version != MQTT_5) {
        properties_none(ret_properties);
        return true;
    }
    uint32_t bytes;
    if (!take_varint(&decoding->reader, &bytes) || bytes > reader_left(&decoding->reader))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "property length missing, malformed or beyond the packet");

    struct span raw = span_of(decoding->reader.at, bytes);
    decoding->reader.at += bytes;
    struct mqtt_properties_verdict verdict =
        mqtt_properties_decode(raw, packet, decoding->limits->from, ret_properties);
    if (verdict.reason) return fault(decoding, verdict.reason, verdict.what);
    return true;
}

bool decode_packet_id(struct decoding *decoding, uint16_t *ret_packet_id)
{
    if (!take_u16(&decoding->reader, ret_packet_id))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "packet identifier missing");
    if (*ret_packet_id == 0) return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "packet identifier 0"); /* [MQTT-2.2.1-3] */
    return true;
}
