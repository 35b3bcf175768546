#include "proto/encode.h"
#include "proto/reader.h"
#include "proto/topic.h"
#include "proto/utf8.h"

static bool check_topic(struct decoding *decoding, struct span topic)
{
    if (topic.bytes == 0) { /* 5.0 has aliases instead; decode_publish() looks for one */
        if (decoding->version == MQTT_5) return true;
        return fault(decoding, MQTT_REASON_TOPIC_NAME_INVALID, "empty topic"); /* [MQTT-4.7.3-1] */
    }
    struct span known = decoding->limits->topic_known;
    if (topic.bytes == known.bytes && span_same_bytes(topic.data, known.data, topic.bytes)) return true;
    struct mqtt_topic_scan scan = mqtt_topic_scan(topic);
    if (!scan.utf8) return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the topic is not UTF-8"); /* [MQTT-3.3.2-1] */
    if (scan.wildcards)
        return fault(decoding, MQTT_REASON_TOPIC_NAME_INVALID, "the topic has wildcards"); /* [MQTT-3.3.2-2] */
    if (decoding->limits->topic_levels_max && scan.levels > decoding->limits->topic_levels_max)
        return fault(decoding, MQTT_REASON_TOPIC_NAME_INVALID, "the topic has too many levels");
    return true;
}

static bool decode_publish_properties(struct decoding *decoding, struct mqtt_publish *publish)
{
    struct mqtt_properties *properties = &publish->properties;
    if (decoding->version != MQTT_5) {
        properties_none(properties);
        return true;
    }
    if (LIKELY(reader_left(&decoding->reader) && *decoding->reader.at == 0)) {
        decoding->reader.at++;
        properties_none(properties);
    } else if (!decode_properties(decoding, MQTT_IN(PUBLISH), properties)) {
        return false;
    }
    if (publish->topic.bytes == 0 && !mqtt_has(properties, MQTT_PROPERTY_TOPIC_ALIAS))
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "neither topic nor topic alias"); /* §3.3.2.1 */
    return true;
}

static bool check_payload(struct decoding *decoding, const struct mqtt_publish *publish)
{
    if (!decoding->limits->check_payload_utf8) return true;
    if (!mqtt_has(&publish->properties, MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR)) return true;
    if (publish->properties.payload_format_indicator == 0 || mqtt_utf8_payload_valid(publish->payload)) return true;
    return fault(decoding, MQTT_REASON_PAYLOAD_FORMAT_INVALID, "the payload claims to be UTF-8 and is not"); /* §3.3.2.3.2 */
}

bool decode_publish(struct decoding *decoding, uint8_t first_byte, struct mqtt_publish *ret_publish)
{
    uint8_t qos = first_byte >> MQTT_FLAG_QOS_SHIFT & 3;
    bool dup = first_byte & MQTT_FLAG_DUP;
    if (qos == 3) return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "QoS 3"); /* [MQTT-3.3.1-4] */
    if (qos == 0 && dup) return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "DUP with QoS 0"); /* [MQTT-3.3.1-2] */
    ret_publish->qos = qos;
    ret_publish->dup = dup;
    ret_publish->retain = first_byte & MQTT_FLAG_RETAIN;

    if (!take_string(&decoding->reader, &ret_publish->topic))
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "the topic is cut off");
    if (!check_topic(decoding, ret_publish->topic)) return false;

    ret_publish->packet_id = 0;
    if (qos && !decode_packet_id(decoding, &ret_publish->packet_id)) return false;
    if (!decode_publish_properties(decoding, ret_publish)) return false;

    ret_publish->payload = reader_rest(&decoding->reader);
    decoding->reader.at = decoding->reader.end;
    return check_payload(decoding, ret_publish);
}
