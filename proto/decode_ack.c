/* PUBACK, PUBREC, PUBREL, PUBCOMP (§3.4 … §3.7), DISCONNECT (§3.14), AUTH (§3.15). */
#include "proto/reader.h"

static bool take_reason(struct decoding *decoding, enum mqtt_packet_type type, enum mqtt_reason *ret_reason)
{
    uint8_t code;
    if (!take_u8(&decoding->reader, &code)) return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "reason code missing");
    if (!mqtt_reason_legal(type, decoding->limits->from, code)) /* [MQTT-3.4.2-1] and its like */
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a reason code that this packet cannot have");
    *ret_reason = code;
    return true;
}

bool decode_ack(struct decoding *decoding, enum mqtt_packet_type type, struct mqtt_ack *ret_ack)
{
    if (!decode_packet_id(decoding, &ret_ack->packet_id)) return false;
    ret_ack->reason = MQTT_REASON_SUCCESS;
    properties_none(&ret_ack->properties);
    if (decoding->version != MQTT_5 || reader_left(&decoding->reader) == 0) return true;

    if (!take_reason(decoding, type, &ret_ack->reason)) return false;
    if (reader_left(&decoding->reader) == 0) return true; /* §3.4.2.2.1: below 4 bytes there are no properties */
    return decode_properties(decoding, MQTT_IN_OF(type), &ret_ack->properties);
}

bool decode_disconnect(struct decoding *decoding, struct mqtt_disconnect *ret_disconnect)
{
    ret_disconnect->reason = MQTT_REASON_NORMAL_DISCONNECTION;
    properties_none(&ret_disconnect->properties);
    if (decoding->version != MQTT_5 || reader_left(&decoding->reader) == 0) return true;

    if (!take_reason(decoding, MQTT_DISCONNECT, &ret_disconnect->reason)) return false;
    if (reader_left(&decoding->reader) == 0) return true; /* §3.14.2.2.1 */
    return decode_properties(decoding, MQTT_IN(DISCONNECT), &ret_disconnect->properties);
}

bool decode_auth(struct decoding *decoding, struct mqtt_auth *ret_auth)
{
    ret_auth->reason = MQTT_REASON_SUCCESS;
    properties_none(&ret_auth->properties);
    if (reader_left(&decoding->reader) == 0) { /* §3.15.2.1: success without properties may be left out, by a server */
        if (decoding->limits->from == MQTT_FROM_SERVER) return true;
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a client's AUTH that says success");
    }
    if (!take_reason(decoding, MQTT_AUTH, &ret_auth->reason)) return false;
    if (!decode_properties(decoding, MQTT_IN(AUTH), &ret_auth->properties)) return false;
    if (!mqtt_has(&ret_auth->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD)) /* §3.15.2.2.2 */
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "AUTH without an authentication method");
    return true;
}
