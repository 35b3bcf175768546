/* SUBSCRIBE (§3.8), UNSUBSCRIBE (§3.10), SUBACK (§3.9), UNSUBACK (§3.11). */
#include "proto/reader.h"
#include "proto/topic.h"
#include "proto/utf8.h"

/* Subscription options (§3.8.3.1). */
enum {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING_SHIFT = 4,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xC0,
};

static bool take_filter(struct reader *reader, struct mqtt_subscription *ret_subscription)
{
    if (!take_string(reader, &ret_subscription->full_filter)) return false;
    return mqtt_share_split(ret_subscription->full_filter, &ret_subscription->share_group, &ret_subscription->filter);
}

bool mqtt_subscription_next(struct span *rest, struct mqtt_subscription *ret_subscription)
{
    if (rest->bytes == 0) return false;
    struct reader reader = reader_of(*rest);
    uint8_t options;
    if (!take_filter(&reader, ret_subscription) || !take_u8(&reader, &options)) return false;
    ret_subscription->qos = options & OPTION_QOS;
    ret_subscription->no_local = options & OPTION_NO_LOCAL;
    ret_subscription->retain_as_published = options & OPTION_RETAIN_AS_PUBLISHED;
    ret_subscription->retain_handling = (options & OPTION_RETAIN_HANDLING) >> OPTION_RETAIN_HANDLING_SHIFT;
    *rest = reader_rest(&reader);
    return true;
}

bool mqtt_unsubscription_next(struct span *rest, struct mqtt_subscription *ret_subscription)
{
    if (rest->bytes == 0) return false;
    struct reader reader = reader_of(*rest);
    if (!take_filter(&reader, ret_subscription)) return false;
    ret_subscription->qos = ret_subscription->retain_handling = 0;
    ret_subscription->no_local = ret_subscription->retain_as_published = false;
    *rest = reader_rest(&reader);
    return true;
}

static bool check_filter(struct decoding *decoding, struct span filter)
{
    if (!mqtt_utf8_valid(filter)) /* [MQTT-3.8.3-1] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "a topic filter is not UTF-8");
    if (!mqtt_topic_filter_valid(filter, decoding->limits->topic_levels_max)) /* [MQTT-4.7.1-1], [MQTT-4.7.1-2] … */
        return fault(decoding, MQTT_REASON_TOPIC_FILTER_INVALID, "a topic filter is empty, too deep or malformed");
    return true;
}

static bool check_options(struct decoding *decoding, struct span filter, uint8_t options)
{
    uint8_t reserved = decoding->version == MQTT_5 ? OPTION_RESERVED : (uint8_t)~OPTION_QOS;
    if (options & reserved) /* [MQTT-3.8.3-5] */
        return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "reserved bits of the subscription options");
    if ((options & OPTION_QOS) == OPTION_QOS) return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a subscription with QoS 3");
    if ((options & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING)
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "retain handling 3");
    if (options & OPTION_NO_LOCAL && span_starts_with(filter, SPAN_LITERAL("$share/"))) /* [MQTT-3.8.3-4] */
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "no local on a shared subscription");
    return true;
}

bool decode_subscribe(struct decoding *decoding, struct mqtt_subscribe *ret_subscribe)
{
    if (!decode_packet_id(decoding, &ret_subscribe->packet_id)) return false;
    if (!decode_properties(decoding, MQTT_IN(SUBSCRIBE), &ret_subscribe->properties)) return false;

    struct reader *reader = &decoding->reader;
    ret_subscribe->raw = reader_rest(reader);
    ret_subscribe->subscriptions = NULL;
    ret_subscribe->count = 0;
    for (; reader_left(reader); ret_subscribe->count++) {
        struct span filter;
        uint8_t options;
        if (!take_string(reader, &filter) || !take_u8(reader, &options))
            return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "a subscription is cut off");
        if (!check_filter(decoding, filter) || !check_options(decoding, filter, options)) return false;
    }
    if (ret_subscribe->count == 0) /* [MQTT-3.8.3-2] */
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "SUBSCRIBE without a topic filter");
    return true;
}

bool decode_unsubscribe(struct decoding *decoding, struct mqtt_unsubscribe *ret_unsubscribe)
{
    if (!decode_packet_id(decoding, &ret_unsubscribe->packet_id)) return false;
    if (!decode_properties(decoding, MQTT_IN(UNSUBSCRIBE), &ret_unsubscribe->properties)) return false;

    struct reader *reader = &decoding->reader;
    ret_unsubscribe->raw = reader_rest(reader);
    ret_unsubscribe->filters = NULL;
    ret_unsubscribe->count = 0;
    for (; reader_left(reader); ret_unsubscribe->count++) {
        struct span filter;
        if (!take_string(reader, &filter))
            return fault(decoding, MQTT_REASON_MALFORMED_PACKET, "a topic filter is cut off");
        if (!check_filter(decoding, filter)) return false;
    }
    if (ret_unsubscribe->count == 0) /* [MQTT-3.10.3-2] */
        return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "UNSUBSCRIBE without a topic filter");
    return true;
}

bool decode_suback(struct decoding *decoding, enum mqtt_packet_type type, struct mqtt_suback *ret_suback)
{
    if (!decode_packet_id(decoding, &ret_suback->packet_id)) return false;
    if (!decode_properties(decoding, MQTT_IN_OF(type), &ret_suback->properties)) return false;
    ret_suback->codes = span_of(decoding->reader.at, 0);
    if (type == MQTT_UNSUBACK && decoding->version != MQTT_5) return true;

    ret_suback->codes = reader_rest(&decoding->reader);
    decoding->reader.at = decoding->reader.end;
    if (ret_suback->codes.bytes == 0) return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "an answer without reason codes");
    for (size_t i = 0; i < ret_suback->codes.bytes; i++) {
        uint8_t code = ret_suback->codes.data[i];
        bool legal = decoding->version == MQTT_5 ? mqtt_reason_legal(type, MQTT_FROM_SERVER, code)
                                                 : code <= 2 || code == MQTT_REASON_UNSPECIFIED_ERROR; /* [MQTT3-3.9.3-2] */
        if (!legal) return fault(decoding, MQTT_REASON_PROTOCOL_ERROR, "a reason code that this answer cannot have");
    }
    return true;
}
