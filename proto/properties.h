/* properties.h - the properties of MQTT 5.0 (§2.2.2), from one table.
 *
 * Owner:    spans point into the packet they were decoded from and live exactly as long; for encoding, whatever they point to
 *           must live until the encoder returns.
 * Validity: a field of struct mqtt_properties means something only while its bit in `present` is set. Nothing is zeroed, so
 *           test the bit first: mqtt_has(&p, MQTT_PROPERTY_RESPONSE_TOPIC). To build a set, begin with present = 0.
 * Threads:  values. Nothing is allocated.
 * Units:    *_s are seconds. */
#ifndef RINGMQ_PROTO_PROPERTIES_H
#define RINGMQ_PROTO_PROPERTIES_H

#include "proto/mqtt.h"

/* §2.2.2.2 Table 2-4. Columns: id, symbol, field, wire type, packets (W the will), name. */
#define MQTT_PROPERTIES(X)                                                                                           \
    X(0x01, PAYLOAD_FORMAT_INDICATOR, payload_format_indicator, BYTE, P_MESSAGE, "Payload Format Indicator")         \
    X(0x02, MESSAGE_EXPIRY_INTERVAL, message_expiry_s, U32, P_MESSAGE, "Message Expiry Interval")                    \
    X(0x03, CONTENT_TYPE, content_type, STRING, P_MESSAGE, "Content Type")                                           \
    X(0x08, RESPONSE_TOPIC, response_topic, STRING, P_MESSAGE, "Response Topic")                                     \
    X(0x09, CORRELATION_DATA, correlation_data, BINARY, P_MESSAGE, "Correlation Data")                               \
    X(0x0B, SUBSCRIPTION_IDENTIFIER, subscription_id, VARINT, MQTT_IN(PUBLISH) | MQTT_IN(SUBSCRIBE),                 \
      "Subscription Identifier")                                                                                     \
    X(0x11, SESSION_EXPIRY_INTERVAL, session_expiry_s, U32, P_CONNECT | MQTT_IN(DISCONNECT),                         \
      "Session Expiry Interval")                                                                                     \
    X(0x12, ASSIGNED_CLIENT_IDENTIFIER, assigned_client_id, STRING, MQTT_IN(CONNACK), "Assigned Client Identifier")  \
    X(0x13, SERVER_KEEP_ALIVE, server_keep_alive_s, U16, MQTT_IN(CONNACK), "Server Keep Alive")                      \
    X(0x15, AUTHENTICATION_METHOD, authentication_method, STRING, P_CONNECT | MQTT_IN(AUTH),                         \
      "Authentication Method")                                                                                       \
    X(0x16, AUTHENTICATION_DATA, authentication_data, BINARY, P_CONNECT | MQTT_IN(AUTH), "Authentication Data")      \
    X(0x17, REQUEST_PROBLEM_INFORMATION, request_problem_information, BYTE, MQTT_IN(CONNECT),                        \
      "Request Problem Information")                                                                                 \
    X(0x18, WILL_DELAY_INTERVAL, will_delay_s, U32, MQTT_IN_WILL, "Will Delay Interval")                             \
    X(0x19, REQUEST_RESPONSE_INFORMATION, request_response_information, BYTE, MQTT_IN(CONNECT),                      \
      "Request Response Information")                                                                                \
    X(0x1A, RESPONSE_INFORMATION, response_information, STRING, MQTT_IN(CONNACK), "Response Information")            \
    X(0x1C, SERVER_REFERENCE, server_reference, STRING, MQTT_IN(CONNACK) | MQTT_IN(DISCONNECT), "Server Reference")  \
    X(0x1F, REASON_STRING, reason_string, STRING, P_ANSWERS, "Reason String")                                        \
    X(0x21, RECEIVE_MAXIMUM, receive_maximum, U16, P_CONNECT, "Receive Maximum")                                     \
    X(0x22, TOPIC_ALIAS_MAXIMUM, topic_alias_maximum, U16, P_CONNECT, "Topic Alias Maximum")                         \
    X(0x23, TOPIC_ALIAS, topic_alias, U16, MQTT_IN(PUBLISH), "Topic Alias")                                          \
    X(0x24, MAXIMUM_QOS, maximum_qos, BYTE, MQTT_IN(CONNACK), "Maximum QoS")                                         \
    X(0x25, RETAIN_AVAILABLE, retain_available, BYTE, MQTT_IN(CONNACK), "Retain Available")                          \
    X(0x26, USER_PROPERTY, user_properties, PAIR, P_ALL, "User Property")                                            \
    X(0x27, MAXIMUM_PACKET_SIZE, maximum_packet_bytes, U32, P_CONNECT, "Maximum Packet Size")                        \
    X(0x28, WILDCARD_SUBSCRIPTION_AVAILABLE, wildcard_subscription_available, BYTE, MQTT_IN(CONNACK),                \
      "Wildcard Subscription Available")                                                                             \
    X(0x29, SUBSCRIPTION_IDENTIFIER_AVAILABLE, subscription_identifier_available, BYTE, MQTT_IN(CONNACK),            \
      "Subscription Identifier Available")                                                                           \
    X(0x2A, SHARED_SUBSCRIPTION_AVAILABLE, shared_subscription_available, BYTE, MQTT_IN(CONNACK),                    \
      "Shared Subscription Available")

#define MQTT_PROPERTY_ENUM(id, symbol, field, wire, packets, name) MQTT_PROPERTY_##symbol = id,
enum mqtt_property_id { MQTT_PROPERTIES(MQTT_PROPERTY_ENUM) MQTT_PROPERTY_IDS };
#undef MQTT_PROPERTY_ENUM

enum mqtt_property_wire {
    MQTT_WIRE_NONE, /* no such property */
    MQTT_WIRE_BYTE,
    MQTT_WIRE_U16,
    MQTT_WIRE_U32,
    MQTT_WIRE_VARINT,
    MQTT_WIRE_STRING,
    MQTT_WIRE_BINARY,
    MQTT_WIRE_PAIR,
};

/* One line of the table. */
struct mqtt_property_kind {
    const char *name; /* the standard's; NULL: no such property */
    uint32_t packets; /* MQTT_IN() bits, MQTT_IN_WILL */
    enum mqtt_property_wire wire;
    uint16_t offset;  /* of its field in struct mqtt_properties */
};

struct mqtt_user_property {
    struct span name, value;
};

/* In the order of what is looked at most. */
struct mqtt_properties {
    uint64_t present; /* bit 1 << id */
    struct span raw;  /* decoded: the block without its length, always valid; encoding: see below */

    /* PUBLISH and the will */
    uint32_t message_expiry_s;
    uint16_t topic_alias;
    uint8_t payload_format_indicator; /* 0 bytes, 1 UTF-8 */
    uint32_t subscription_id;         /* the first one */
    uint32_t subscription_ids_count;
    /* Encoding: all of them. NULL and a count of 1: subscription_id; NULL and more: those in raw. Always set the count. */
    const uint32_t *subscription_ids;
    struct span response_topic, correlation_data, content_type;
    uint32_t will_delay_s;

    /* everywhere; the bit of USER_PROPERTY covers both */
    uint32_t user_properties_count;
    const struct mqtt_user_property *user_properties; /* encoding: all of them; NULL: those in raw */
    struct span reason_string;

    /* CONNECT, CONNACK, AUTH, DISCONNECT */
    uint32_t session_expiry_s; /* UINT32_MAX: never */
    uint32_t maximum_packet_bytes;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t server_keep_alive_s;
    uint8_t request_problem_information;
    uint8_t request_response_information;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_subscription_available;
    uint8_t subscription_identifier_available;
    uint8_t shared_subscription_available;
    struct span authentication_method, authentication_data;
    struct span assigned_client_id, response_information, server_reference;
};

static inline bool mqtt_has(const struct mqtt_properties *properties, enum mqtt_property_id id)
{
    return properties->present >> id & 1;
}

/* properties.receive_maximum = 10, mqtt_set(&properties, MQTT_PROPERTY_RECEIVE_MAXIMUM); */
static inline void mqtt_set(struct mqtt_properties *properties, enum mqtt_property_id id)
{
    properties->present |= 1ull << id;
}

/* The table's line for an id from the wire. Its name is NULL when there is no such property. */
const struct mqtt_property_kind *mqtt_property_kind(uint32_t id);

struct mqtt_properties_verdict {
    enum mqtt_reason reason; /* SUCCESS: all is well */
    const char *what;        /* else a static English phrase */
};

/* Decodes a block (without its length). `packet` is one MQTT_IN() bit or MQTT_IN_WILL. Checks everything §2.2.2 and the
 * packet's section ask of a property alone: known and allowed here (0x81), once (0x82), its type, its range, its direction
 * and authentication data without a method. Writes *ret_properties even when it fails. */
struct mqtt_properties_verdict mqtt_properties_decode(struct span raw, uint32_t packet, enum mqtt_role from,
                                                      struct mqtt_properties *ret_properties);

/* One property of a block. */
struct mqtt_property {
    enum mqtt_property_id id;
    uint32_t number;    /* BYTE, U16, U32, VARINT */
    struct span text;   /* STRING, BINARY; the name of a PAIR */
    struct span value;  /* the value of a PAIR */
    struct span wire;   /* all its bytes, id included */
};

/* Takes the next property off the front of a block, in the order the sender wrote them:
 *     struct span rest = properties->raw;
 *     while (mqtt_property_next(&rest, &property)) …
 * False at the end, and at a property that is unknown or cut off (which a decoded block never has). */
bool mqtt_property_next(struct span *rest, struct mqtt_property *ret_property);
/* The same, for the user properties only, and for the subscription identifiers only. */
bool mqtt_user_property_next(struct span *rest, struct mqtt_user_property *ret_pair);
bool mqtt_subscription_id_next(struct span *rest, uint32_t *ret_id);

/* Bytes of the block these properties encode to, without its length. Only bits in `present` count. Two kinds may repeat: user
 * properties are taken from `user_properties` or, where that is NULL, out of `raw`; subscription identifiers likewise. So a
 * decoded set can be encoded again as it is. */
size_t mqtt_properties_bytes(const struct mqtt_properties *properties);
/* Writes them, by ascending id; returns the byte after the last. `out` must have room for mqtt_properties_bytes(). */
uint8_t *mqtt_properties_write(uint8_t *out, const struct mqtt_properties *properties);

/* What a server must hand on unchanged (§3.3.2.3) of a PUBLISH's or a will's block: everything but topic alias, message
 * expiry interval, subscription identifier and will delay, which are between two parties or change on the way. The order is
 * kept [MQTT-3.3.2-18]. */
size_t mqtt_properties_forward_bytes(struct span raw);
/* Returns the byte after the last one written. */
uint8_t *mqtt_properties_forward(uint8_t *out, struct span raw);

#endif
