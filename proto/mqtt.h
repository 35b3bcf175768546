/* mqtt.h - the words of the MQTT standards: versions, packet types, reason codes.
 *
 * Source:  MQTT 5.0 (OASIS, 2019-03-07), 3.1.1 (OASIS, 2014-10-29) and 3.1 (IBM/Eurotech, 2010). A section number without a
 *          version is one of 5.0.
 * Threads: everything here is constant.
 *
 * Inside ringmq every verdict is a reason code of 5.0, whatever the peer speaks; only the encoder translates it for older
 * versions (a v3 CONNACK return code, a SUBACK 0x80, or nothing but a closed connection). */
#ifndef RINGMQ_PROTO_MQTT_H
#define RINGMQ_PROTO_MQTT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

/* The protocol level of CONNECT (§3.1.2.2). 0, MQTT_VERSION_NONE, is "not known yet". */
enum mqtt_version {
    MQTT_VERSION_NONE = 0,
    MQTT_3_1 = 3,
    MQTT_3_1_1 = 4,
    MQTT_5 = 5,
};

/* Who sent a packet. The standards allow some packets, properties and reason codes in one direction only. */
enum mqtt_role {
    MQTT_FROM_CLIENT,
    MQTT_FROM_SERVER,
};

/* §2.1.2, the high nibble of the first byte. */
enum mqtt_packet_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_PUBREC = 5,
    MQTT_PUBREL = 6,
    MQTT_PUBCOMP = 7,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_UNSUBSCRIBE = 10,
    MQTT_UNSUBACK = 11,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
    MQTT_AUTH = 15, /* 5.0 only */
};

/* A set of packet types: bit 1 << type. Bit 0 stands for the will inside CONNECT, which has properties of its own. */
#define MQTT_IN(type)    (1u << MQTT_##type)
#define MQTT_IN_OF(type) (1u << (type)) /* of a value */
#define MQTT_IN_WILL     1u

/* Bits of the first byte of a PUBLISH (§3.3.1). */
#define MQTT_FLAG_RETAIN    0x01u
#define MQTT_FLAG_QOS_SHIFT 1
#define MQTT_FLAG_DUP       0x08u

/* §2.4. Columns: value, symbol, name, packets that may carry it, and who may send it in those (C client, S server, B both;
 * only DISCONNECT §3.14.2.1 and AUTH §3.15.2.1 make a difference, the others travel in one direction or in both alike). */
#define MQTT_REASONS(X)                                                                                              \
    X(0x00, SUCCESS, "Success", R_ACKS | MQTT_IN(CONNACK) | R_SUBS | MQTT_IN(DISCONNECT) | MQTT_IN(AUTH), B)         \
    X(0x01, GRANTED_QOS_1, "Granted QoS 1", MQTT_IN(SUBACK), B)                                                      \
    X(0x02, GRANTED_QOS_2, "Granted QoS 2", MQTT_IN(SUBACK), B)                                                      \
    X(0x04, DISCONNECT_WITH_WILL, "Disconnect with Will Message", MQTT_IN(DISCONNECT), C)                            \
    X(0x10, NO_MATCHING_SUBSCRIBERS, "No matching subscribers", R_PUBS, B)                                           \
    X(0x11, NO_SUBSCRIPTION_EXISTED, "No subscription existed", MQTT_IN(UNSUBACK), B)                                \
    X(0x18, CONTINUE_AUTHENTICATION, "Continue authentication", MQTT_IN(AUTH), B)                                    \
    X(0x19, REAUTHENTICATE, "Re-authenticate", MQTT_IN(AUTH), C)                                                     \
    X(0x80, UNSPECIFIED_ERROR, "Unspecified error", R_PUBS | R_SUBS | R_ENDS, B)                                     \
    X(0x81, MALFORMED_PACKET, "Malformed Packet", R_ENDS, B)                                                         \
    X(0x82, PROTOCOL_ERROR, "Protocol Error", R_ENDS, B)                                                             \
    X(0x83, IMPLEMENTATION_SPECIFIC, "Implementation specific error", R_PUBS | R_SUBS | R_ENDS, B)                   \
    X(0x84, UNSUPPORTED_PROTOCOL_VERSION, "Unsupported Protocol Version", MQTT_IN(CONNACK), B)                       \
    X(0x85, CLIENT_IDENTIFIER_NOT_VALID, "Client Identifier not valid", MQTT_IN(CONNACK), B)                         \
    X(0x86, BAD_USER_NAME_OR_PASSWORD, "Bad User Name or Password", MQTT_IN(CONNACK), B)                             \
    X(0x87, NOT_AUTHORIZED, "Not authorized", R_PUBS | R_SUBS | R_ENDS, S)                                           \
    X(0x88, SERVER_UNAVAILABLE, "Server unavailable", MQTT_IN(CONNACK), B)                                           \
    X(0x89, SERVER_BUSY, "Server busy", R_ENDS, S)                                                                   \
    X(0x8A, BANNED, "Banned", MQTT_IN(CONNACK), B)                                                                   \
    X(0x8B, SERVER_SHUTTING_DOWN, "Server shutting down", MQTT_IN(DISCONNECT), S)                                    \
    X(0x8C, BAD_AUTHENTICATION_METHOD, "Bad authentication method", R_ENDS, S)                                       \
    X(0x8D, KEEP_ALIVE_TIMEOUT, "Keep Alive timeout", MQTT_IN(DISCONNECT), S)                                        \
    X(0x8E, SESSION_TAKEN_OVER, "Session taken over", MQTT_IN(DISCONNECT), S)                                        \
    X(0x8F, TOPIC_FILTER_INVALID, "Topic Filter invalid", R_SUBS | MQTT_IN(DISCONNECT), S)                           \
    X(0x90, TOPIC_NAME_INVALID, "Topic Name invalid", R_PUBS | R_ENDS, B)                                            \
    X(0x91, PACKET_IDENTIFIER_IN_USE, "Packet Identifier in use", R_PUBS | R_SUBS, B)                                \
    X(0x92, PACKET_IDENTIFIER_NOT_FOUND, "Packet Identifier not found", MQTT_IN(PUBREL) | MQTT_IN(PUBCOMP), B)       \
    X(0x93, RECEIVE_MAXIMUM_EXCEEDED, "Receive Maximum exceeded", MQTT_IN(DISCONNECT), B)                            \
    X(0x94, TOPIC_ALIAS_INVALID, "Topic Alias invalid", MQTT_IN(DISCONNECT), B)                                      \
    X(0x95, PACKET_TOO_LARGE, "Packet too large", R_ENDS, B)                                                         \
    X(0x96, MESSAGE_RATE_TOO_HIGH, "Message rate too high", MQTT_IN(DISCONNECT), B)                                  \
    X(0x97, QUOTA_EXCEEDED, "Quota exceeded", R_PUBS | MQTT_IN(SUBACK) | R_ENDS, B)                                  \
    X(0x98, ADMINISTRATIVE_ACTION, "Administrative action", MQTT_IN(DISCONNECT), B)                                  \
    X(0x99, PAYLOAD_FORMAT_INVALID, "Payload format invalid", R_PUBS | R_ENDS, B)                                    \
    X(0x9A, RETAIN_NOT_SUPPORTED, "Retain not supported", R_ENDS, S)                                                 \
    X(0x9B, QOS_NOT_SUPPORTED, "QoS not supported", R_ENDS, S)                                                       \
    X(0x9C, USE_ANOTHER_SERVER, "Use another server", R_ENDS, S)                                                     \
    X(0x9D, SERVER_MOVED, "Server moved", R_ENDS, S)                                                                 \
    X(0x9E, SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, "Shared Subscriptions not supported",                                \
      MQTT_IN(SUBACK) | MQTT_IN(DISCONNECT), S)                                                                      \
    X(0x9F, CONNECTION_RATE_EXCEEDED, "Connection rate exceeded", R_ENDS, S)                                         \
    X(0xA0, MAXIMUM_CONNECT_TIME, "Maximum connect time", MQTT_IN(DISCONNECT), S)                                    \
    X(0xA1, SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "Subscription Identifiers not supported",                        \
      MQTT_IN(SUBACK) | MQTT_IN(DISCONNECT), S)                                                                      \
    X(0xA2, WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, "Wildcard Subscriptions not supported",                            \
      MQTT_IN(SUBACK) | MQTT_IN(DISCONNECT), S)

#define MQTT_REASON_ENUM(value, symbol, name, packets, sender) MQTT_REASON_##symbol = value,
enum mqtt_reason {
    MQTT_REASONS(MQTT_REASON_ENUM)
    MQTT_REASON_NORMAL_DISCONNECTION = 0x00, /* what 0x00 is called in DISCONNECT */
    MQTT_REASON_GRANTED_QOS_0 = 0x00,        /* and in SUBACK */
};
#undef MQTT_REASON_ENUM

/* 3.1.1 §3.2.2.3, 3.1 §3.2. */
enum mqtt_connack_code {
    MQTT_CONNACK_ACCEPTED = 0,
    MQTT_CONNACK_UNACCEPTABLE_PROTOCOL_VERSION = 1,
    MQTT_CONNACK_IDENTIFIER_REJECTED = 2,
    MQTT_CONNACK_SERVER_UNAVAILABLE = 3,
    MQTT_CONNACK_BAD_USER_NAME_OR_PASSWORD = 4,
    MQTT_CONNACK_NOT_AUTHORIZED = 5,
};

/* A peer's failure codes begin here (§2.4). */
static inline bool mqtt_reason_is_error(enum mqtt_reason reason) { return reason >= 0x80; }

/* The standard's own name, e.g. "Topic Name invalid"; "Unknown reason" for a number the standard does not have. Static. */
const char *mqtt_reason_name(enum mqtt_reason reason);
/* May `from` put this code into such a packet (§2.4 and the table of the packet's own section)? */
bool mqtt_reason_legal(enum mqtt_packet_type type, enum mqtt_role from, uint8_t reason);

/* Which return code tells a v3 client best what the reason is. Reasons v3 has no word for become 3 (busy, quota, rate:
 * try again later) or 5 (everything that will not change by trying again). Success becomes 0. */
enum mqtt_connack_code mqtt_connack_code_of(enum mqtt_reason reason);
/* The other way round. A code above 5 becomes MQTT_REASON_UNSPECIFIED_ERROR. */
enum mqtt_reason mqtt_reason_of_connack_code(uint8_t code);

/* "PUBLISH", "CONNACK" …; "reserved" for 0 and above 15. Static. */
const char *mqtt_packet_name(enum mqtt_packet_type type);
/* "3.1", "3.1.1", "5.0"; "unknown". Static. */
const char *mqtt_version_name(enum mqtt_version version);

#endif
