#include "proto/properties.h"

#include "base/check.h"
#include "proto/reader.h"
#include "proto/topic.h"
#include "proto/utf8.h"
#include "proto/writer.h"

/* Groups of packets in the table of properties. */
#define P_MESSAGE (MQTT_IN(PUBLISH) | MQTT_IN_WILL)
#define P_CONNECT (MQTT_IN(CONNECT) | MQTT_IN(CONNACK))
#define P_ANSWERS                                                                                                    \
    (MQTT_IN(CONNACK) | MQTT_IN(PUBACK) | MQTT_IN(PUBREC) | MQTT_IN(PUBREL) | MQTT_IN(PUBCOMP) | MQTT_IN(SUBACK) |   \
     MQTT_IN(UNSUBACK) | MQTT_IN(DISCONNECT) | MQTT_IN(AUTH))
#define P_ALL (P_MESSAGE | P_CONNECT | P_ANSWERS | MQTT_IN(SUBSCRIBE) | MQTT_IN(UNSUBSCRIBE))

#define IDS_END 0x2B /* no id of the standard is above 0x2A */
#define BIT(symbol) (1ull << MQTT_PROPERTY_##symbol)

#define PROPERTY_KIND(id, symbol, field, wire, packets, name)                                                        \
    [id] = {name, packets, MQTT_WIRE_##wire, offsetof(struct mqtt_properties, field)},
static const struct mqtt_property_kind kinds[IDS_END] = {MQTT_PROPERTIES(PROPERTY_KIND)};
#undef PROPERTY_KIND

/* Properties that may not be 0. */
#define NEVER_ZERO (BIT(SUBSCRIPTION_IDENTIFIER) | BIT(RECEIVE_MAXIMUM) | BIT(TOPIC_ALIAS) | BIT(MAXIMUM_PACKET_SIZE))
/* Properties handled by the two parties themselves, not handed on with the message. */
#define NOT_FORWARDED                                                                                                \
    (BIT(MESSAGE_EXPIRY_INTERVAL) | BIT(SUBSCRIPTION_IDENTIFIER) | BIT(WILL_DELAY_INTERVAL) | BIT(TOPIC_ALIAS))

const struct mqtt_property_kind *mqtt_property_kind(uint32_t id) { return &kinds[id < IDS_END ? id : 0]; }

static bool take_value(struct reader *reader, enum mqtt_property_wire wire, struct mqtt_property *ret_property)
{
    uint8_t byte;
    uint16_t number;
    switch (wire) {
    case MQTT_WIRE_BYTE:
        if (!take_u8(reader, &byte)) return false;
        ret_property->number = byte;
        return true;
    case MQTT_WIRE_U16:
        if (!take_u16(reader, &number)) return false;
        ret_property->number = number;
        return true;
    case MQTT_WIRE_U32: return take_u32(reader, &ret_property->number);
    case MQTT_WIRE_VARINT: return take_varint(reader, &ret_property->number);
    case MQTT_WIRE_STRING:
    case MQTT_WIRE_BINARY: return take_string(reader, &ret_property->text);
    case MQTT_WIRE_PAIR:
        return take_string(reader, &ret_property->text) && take_string(reader, &ret_property->value);
    case MQTT_WIRE_NONE: break;
    }
    return false;
}

/* Ids are variable byte integers, but the standard has none above 0x2A: one byte is all there is. */
bool mqtt_property_next(struct span *rest, struct mqtt_property *ret_property)
{
    if (rest->bytes == 0) return false;
    const struct mqtt_property_kind *kind = mqtt_property_kind(rest->data[0]);
    struct reader reader = reader_of(span_skip(*rest, 1));
    if (!take_value(&reader, kind->wire, ret_property)) return false;

    ret_property->id = rest->data[0];
    ret_property->wire = span_of(rest->data, (size_t)(reader.at - rest->data));
    *rest = reader_rest(&reader);
    return true;
}

bool mqtt_user_property_next(struct span *rest, struct mqtt_user_property *ret_pair)
{
    struct mqtt_property property;
    while (mqtt_property_next(rest, &property)) {
        if (property.id != MQTT_PROPERTY_USER_PROPERTY) continue;
        *ret_pair = (struct mqtt_user_property){property.text, property.value};
        return true;
    }
    return false;
}

bool mqtt_subscription_id_next(struct span *rest, uint32_t *ret_id)
{
    struct mqtt_property property;
    while (mqtt_property_next(rest, &property)) {
        if (property.id != MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER) continue;
        *ret_id = property.number;
        return true;
    }
    return false;
}

/* ---- decoding ---- */

static const struct mqtt_properties_verdict fine = {MQTT_REASON_SUCCESS, NULL};

static struct mqtt_properties_verdict bad(enum mqtt_reason reason, const char *what)
{
    return (struct mqtt_properties_verdict){reason, what};
}

/* Allowed in the packet, but only from the other side. */
static struct mqtt_properties_verdict check_direction(enum mqtt_property_id id, uint32_t packet, enum mqtt_role from)
{
    if (id == MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER && packet == MQTT_IN(PUBLISH) && from == MQTT_FROM_CLIENT)
        return bad(MQTT_REASON_PROTOCOL_ERROR, "a client's PUBLISH with a subscription identifier"); /* [MQTT-3.3.4-6] */
    if (packet != MQTT_IN(DISCONNECT)) return fine;
    if (id == MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL && from == MQTT_FROM_SERVER)
        return bad(MQTT_REASON_PROTOCOL_ERROR, "a server's DISCONNECT with a session expiry"); /* [MQTT-3.14.2-2] */
    if (id == MQTT_PROPERTY_SERVER_REFERENCE && from == MQTT_FROM_CLIENT)
        return bad(MQTT_REASON_PROTOCOL_ERROR, "a client's DISCONNECT with a server reference"); /* §3.14.2.2.5 */
    return fine;
}

static struct mqtt_properties_verdict check_value(const struct mqtt_property *property, enum mqtt_property_wire wire)
{
    enum mqtt_property_id id = property->id;
    switch (wire) {
    case MQTT_WIRE_BYTE: /* each of them is a yes or no, or a QoS below 2 */
        if (property->number > 1) return bad(MQTT_REASON_PROTOCOL_ERROR, "a property's byte is neither 0 nor 1");
        return fine;
    case MQTT_WIRE_U16:
    case MQTT_WIRE_U32:
    case MQTT_WIRE_VARINT:
        if (property->number != 0 || !(NEVER_ZERO >> id & 1)) return fine;
        if (id == MQTT_PROPERTY_TOPIC_ALIAS) return bad(MQTT_REASON_TOPIC_ALIAS_INVALID, "topic alias 0");
        return bad(MQTT_REASON_PROTOCOL_ERROR, "a property is 0 that must not be");
    case MQTT_WIRE_STRING:
        if (!mqtt_utf8_valid(property->text)) return bad(MQTT_REASON_MALFORMED_PACKET, "a property is not UTF-8");
        if (id == MQTT_PROPERTY_RESPONSE_TOPIC && !mqtt_topic_name_valid(property->text, 0))
            return bad(MQTT_REASON_PROTOCOL_ERROR, "the response topic is empty or has wildcards"); /* [MQTT-3.3.2-14] */
        return fine;
    case MQTT_WIRE_PAIR:
        if (!mqtt_utf8_valid(property->text) || !mqtt_utf8_valid(property->value))
            return bad(MQTT_REASON_MALFORMED_PACKET, "a user property is not UTF-8");
        return fine;
    case MQTT_WIRE_BINARY:
    case MQTT_WIRE_NONE: break;
    }
    return fine;
}

static void store(struct mqtt_properties *properties, const struct mqtt_property_kind *kind,
                  const struct mqtt_property *property)
{
    void *field = (uint8_t *)properties + kind->offset;
    switch (kind->wire) {
    case MQTT_WIRE_BYTE: *(uint8_t *)field = (uint8_t)property->number; break;
    case MQTT_WIRE_U16: *(uint16_t *)field = (uint16_t)property->number; break;
    case MQTT_WIRE_U32:
    case MQTT_WIRE_VARINT: *(uint32_t *)field = property->number; break;
    case MQTT_WIRE_STRING:
    case MQTT_WIRE_BINARY: *(struct span *)field = property->text; break;
    case MQTT_WIRE_PAIR: properties->user_properties = NULL; break;
    case MQTT_WIRE_NONE: break;
    }
}

/* Counts the two that may come more than once. True: it was here before and everything about it is done. */
static bool repeats(struct mqtt_properties *properties, enum mqtt_property_id id, bool again)
{
    if (id == MQTT_PROPERTY_USER_PROPERTY)
        properties->user_properties_count = again ? properties->user_properties_count + 1 : 1;
    if (id != MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER) return false;
    properties->subscription_ids_count = again ? properties->subscription_ids_count + 1 : 1;
    properties->subscription_ids = NULL;
    return again;
}

struct mqtt_properties_verdict mqtt_properties_decode(struct span raw, uint32_t packet, enum mqtt_role from,
                                                      struct mqtt_properties *ret_properties)
{
    ret_properties->present = 0;
    ret_properties->raw = raw;
    uint64_t many = BIT(USER_PROPERTY) | (packet == MQTT_IN(PUBLISH) ? BIT(SUBSCRIPTION_IDENTIFIER) : 0);

    struct span rest = raw;
    while (rest.bytes) {
        const struct mqtt_property_kind *kind = mqtt_property_kind(rest.data[0]);
        if (kind->name == NULL) return bad(MQTT_REASON_MALFORMED_PACKET, "unknown property");
        if (!(kind->packets & packet)) return bad(MQTT_REASON_MALFORMED_PACKET, "a property that this packet cannot have");

        struct mqtt_property property;
        if (!mqtt_property_next(&rest, &property)) return bad(MQTT_REASON_MALFORMED_PACKET, "a property is cut off");

        bool again = mqtt_has(ret_properties, property.id);
        if (again && !(many >> property.id & 1)) return bad(MQTT_REASON_PROTOCOL_ERROR, "a property twice");
        struct mqtt_properties_verdict verdict = check_direction(property.id, packet, from);
        if (verdict.reason) return verdict;
        verdict = check_value(&property, kind->wire);
        if (verdict.reason) return verdict;

        if (!repeats(ret_properties, property.id, again)) store(ret_properties, kind, &property);
        mqtt_set(ret_properties, property.id);
    }
    if (mqtt_has(ret_properties, MQTT_PROPERTY_AUTHENTICATION_DATA) &&
        !mqtt_has(ret_properties, MQTT_PROPERTY_AUTHENTICATION_METHOD))
        return bad(MQTT_REASON_PROTOCOL_ERROR, "authentication data without a method"); /* §3.1.2.11.10 */
    return fine;
}

/* ---- encoding ---- */

static void write_from_raw(struct writer *writer, struct span raw, enum mqtt_property_id id)
{
    struct mqtt_property property;
    while (mqtt_property_next(&raw, &property))
        if (property.id == id) write_bytes(writer, property.wire);
}

static void write_user_properties(struct writer *writer, const struct mqtt_properties *properties)
{
    if (properties->user_properties == NULL) {
        write_from_raw(writer, properties->raw, MQTT_PROPERTY_USER_PROPERTY);
        return;
    }
    for (uint32_t i = 0; i < properties->user_properties_count; i++) {
        write_u8(writer, MQTT_PROPERTY_USER_PROPERTY);
        write_string(writer, properties->user_properties[i].name);
        write_string(writer, properties->user_properties[i].value);
    }
}

static void write_subscription_ids(struct writer *writer, const struct mqtt_properties *properties)
{
    if (properties->subscription_ids == NULL && properties->subscription_ids_count > 1) {
        write_from_raw(writer, properties->raw, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
        return;
    }
    const uint32_t *ids = properties->subscription_ids ? properties->subscription_ids : &properties->subscription_id;
    for (uint32_t i = 0; i < properties->subscription_ids_count; i++) {
        write_u8(writer, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
        write_varint(writer, ids[i]);
    }
}

static void write_property(struct writer *writer, const struct mqtt_properties *properties, uint8_t id)
{
    const void *field = (const uint8_t *)properties + kinds[id].offset;
    switch (kinds[id].wire) {
    case MQTT_WIRE_BYTE: write_u8(writer, id), write_u8(writer, *(const uint8_t *)field); return;
    case MQTT_WIRE_U16: write_u8(writer, id), write_u16(writer, *(const uint16_t *)field); return;
    case MQTT_WIRE_U32: write_u8(writer, id), write_u32(writer, *(const uint32_t *)field); return;
    case MQTT_WIRE_STRING:
    case MQTT_WIRE_BINARY: write_u8(writer, id), write_string(writer, *(const struct span *)field); return;
    case MQTT_WIRE_VARINT: write_subscription_ids(writer, properties); return;
    case MQTT_WIRE_PAIR: write_user_properties(writer, properties); return;
    case MQTT_WIRE_NONE: UNREACHABLE("a bit in `present` that is no property");
    }
}

static void write_all(struct writer *writer, const struct mqtt_properties *properties)
{
    for (uint64_t left = properties->present; left; left &= left - 1) {
        uint8_t id = (uint8_t)__builtin_ctzll(left);
        CHECK(id < IDS_END);
        write_property(writer, properties, id);
    }
}

size_t mqtt_properties_bytes(const struct mqtt_properties *properties)
{
    struct writer counter = {NULL, 0};
    write_all(&counter, properties);
    return counter.bytes;
}

uint8_t *mqtt_properties_write(uint8_t *out, const struct mqtt_properties *properties)
{
    struct writer writer = {out, 0};
    write_all(&writer, properties);
    return out + writer.bytes;
}

/* ---- forwarding ---- */

static void write_forwardable(struct writer *writer, struct span raw)
{
    struct mqtt_property property;
    while (mqtt_property_next(&raw, &property))
        if (!(NOT_FORWARDED >> property.id & 1)) write_bytes(writer, property.wire);
}

size_t mqtt_properties_forward_bytes(struct span raw)
{
    struct writer counter = {NULL, 0};
    write_forwardable(&counter, raw);
    return counter.bytes;
}

uint8_t *mqtt_properties_forward(uint8_t *out, struct span raw)
{
    struct writer writer = {out, 0};
    write_forwardable(&writer, raw);
    return out + writer.bytes;
}
