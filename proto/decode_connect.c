/* CONNECT (§3.1) and CONNACK (§3.2). */
#include "proto/reader.h"
#include "proto/topic.h"
#include "proto/utf8.h"

/* Connect flags (§3.1.2.3). */
enum {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS_SHIFT = 3,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER_NAME = 0x80,
};

/* Bit of the protocol level that Mosquitto's bridges set. */
#define LEVEL_BRIDGE 0x80

static bool decode_protocol(struct decoding *decoding, struct mqtt_connect *connect)
{
    struct span name;
    uint8_t level;
    if (!take_string(&decoding->reader, &name))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the protocol name is cut off");
    bool is_mqtt = span_equal(name, SPAN_LITERAL("MQTT")), is_mqisdp = span_equal(name, SPAN_LITERAL("MQIsdp"));
    if (!is_mqtt && !is_mqisdp) /* [MQTT-3.1.2-1] */
        return fault(decoding, MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION, "unknown protocol name");
    if (!take_u8(&decoding->reader, &level))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the protocol level is missing");

    uint8_t plain = level & (uint8_t)~LEVEL_BRIDGE;
    connect->bridge = level & LEVEL_BRIDGE;
    bool known = is_mqisdp ? plain == MQTT_3_1 : plain == MQTT_3_1_1 || level == MQTT_5;
    if (!known) { /* [MQTT-3.1.2-2] */
        decoding->answer_version = MQTT_3_1_1;
        return fault(decoding, MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION, "unknown protocol level");
    }
    connect->version = decoding->version = decoding->answer_version = plain;
    if (connect->version == MQTT_5 && decoding->length_overlong) /* [MQTT-1.5.5-1] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the remaining length is longer than it need be");
    return true;
}

static bool check_flags(struct decoding *decoding, uint8_t flags)
{
    if (flags & FLAG_WILL && (flags & FLAG_WILL_QOS) == FLAG_WILL_QOS) /* [MQTT-3.1.2-12] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "will QoS 3");
    if (decoding->version != MQTT_5 && flags & FLAG_PASSWORD && !(flags & FLAG_USER_NAME)) /* [MQTT3-3.1.2-22] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "a password without a user name");
    if (decoding->version == MQTT_3_1) return true; /* which says nothing about the following */

    if (flags & FLAG_RESERVED) return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the reserved connect flag"); /* [MQTT-3.1.2-3] */
    if (!(flags & FLAG_WILL) && flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) /* [MQTT-3.1.2-11], [MQTT-3.1.2-13] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "will QoS or will retain without a will");
    return true;
}

static bool decode_client_id(struct decoding *decoding, struct mqtt_connect *connect)
{
    if (!take_string(&decoding->reader, &connect->client_id)) /* [MQTT-3.1.3-3] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the client identifier is cut off");
    if (!mqtt_utf8_valid(connect->client_id)) /* [MQTT-3.1.3-4] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the client identifier is not UTF-8");
    if (connect->client_id.bytes || decoding->version == MQTT_5) return true;
    if (decoding->version == MQTT_3_1) /* 3.1 §3.1: 1 to 23 characters; longer ones do no harm */
        return fault(decoding, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID, "an empty client identifier");
    if (!connect->clean_start) /* [MQTT3-3.1.3-8] */
        return fault(decoding, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID, "an empty client identifier without clean session");
    return true;
}

static bool decode_will(struct decoding *decoding, uint8_t flags, struct mqtt_will *will)
{
    will->qos = (flags & FLAG_WILL_QOS) >> FLAG_WILL_QOS_SHIFT;
    will->retain = flags & FLAG_WILL_RETAIN;
    if (!decode_properties(decoding, MQTT_IN_WILL, &will->properties)) return false;
    if (!take_string(&decoding->reader, &will->topic) || !take_string(&decoding->reader, &will->payload))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the will is cut off");

    if (!mqtt_utf8_valid(will->topic)) /* [MQTT-3.1.3-11] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the will topic is not UTF-8");
    if (!mqtt_topic_name_valid(will->topic, decoding->limits->topic_levels_max))
        return fault(decoding, MQTT_REASON_TOPIC_NAME_INVALID, "the will topic is empty, too deep or has wildcards");
    if (decoding->limits->check_payload_utf8 &&
        mqtt_has(&will->properties, MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR) &&
        will->properties.payload_format_indicator == 1 && !mqtt_utf8_payload_valid(will->payload))
        return fault(decoding, MQTT_REASON_PAYLOAD_FORMAT_INVALID, "the will claims to be UTF-8 and is not");
    return true;
}

/* 3.1 §3.1: "the Remaining Length field takes precedence over the User Name flag": what is not there is not meant. */
static bool field_follows(const struct decoding *decoding, uint8_t flags, uint8_t flag)
{
    if (!(flags & flag)) return false;
    return decoding->version != MQTT_3_1 || reader_left(&decoding->reader) > 0;
}

static bool decode_credentials(struct decoding *decoding, uint8_t flags, struct mqtt_connect *connect)
{
    connect->has_user_name = field_follows(decoding, flags, FLAG_USER_NAME);
    if (connect->has_user_name) {
        if (!take_string(&decoding->reader, &connect->user_name))
            return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the user name is cut off");
        if (!mqtt_utf8_valid(connect->user_name)) /* [MQTT-3.1.3-12] */
            return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the user name is not UTF-8");
    }
    connect->has_password = field_follows(decoding, flags, FLAG_PASSWORD);
    if (connect->has_password && !take_string(&decoding->reader, &connect->password))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the password is cut off");
    return true;
}

bool decode_connect(struct decoding *decoding, struct mqtt_connect *ret_connect)
{
    uint8_t flags;
    if (!decode_protocol(decoding, ret_connect)) return false;
    if (!take_u8(&decoding->reader, &flags) || !take_u16(&decoding->reader, &ret_connect->keep_alive_s))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "connect flags or keep alive missing");
    if (!check_flags(decoding, flags)) return false;
    ret_connect->clean_start = flags & FLAG_CLEAN_START;
    ret_connect->has_will = flags & FLAG_WILL;

    if (!decode_properties(decoding, MQTT_IN(CONNECT), &ret_connect->properties)) return false;
    if (!decode_client_id(decoding, ret_connect)) return false;
    if (ret_connect->has_will && !decode_will(decoding, flags, &ret_connect->will)) return false;
    return decode_credentials(decoding, flags, ret_connect);
}

/* 3.1 has nothing in the first byte, 3.1.1 and 5.0 "session present". */
bool decode_connack(struct decoding *decoding, struct mqtt_connack *ret_connack)
{
    uint8_t flags, code;
    if (!take_u8(&decoding->reader, &flags) || !take_u8(&decoding->reader, &code))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "CONNACK is cut off");
    if (decoding->version == MQTT_3_1) flags = 0;
    if (flags > 1) return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "reserved flags of CONNACK"); /* [MQTT-3.2.2-1] */
    if (flags && code) /* [MQTT-3.2.2-6] */
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a failing CONNACK with a session");
    ret_connack->session_present = flags;

    if (decoding->version == MQTT_5) {
        if (!mqtt_reason_legal(MQTT_CONNACK, MQTT_FROM_SERVER, code)) /* [MQTT-3.2.2-8] */
            return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a reason code that CONNACK cannot have");
        ret_connack->reason = code;
    } else {
        if (code > MQTT_CONNACK_NOT_AUTHORIZED)
            return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a reserved CONNACK return code");
        ret_connack->reason = mqtt_reason_of_connack_code(code);
    }
    return decode_properties(decoding, MQTT_IN(CONNACK), &ret_connack->properties);
}
