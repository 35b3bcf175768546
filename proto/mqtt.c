#include "proto/mqtt.h"

/* Groups of packets in the table of reason codes. */
#define R_PUBS (MQTT_IN(PUBACK) | MQTT_IN(PUBREC))
#define R_ACKS (R_PUBS | MQTT_IN(PUBREL) | MQTT_IN(PUBCOMP))
#define R_SUBS (MQTT_IN(SUBACK) | MQTT_IN(UNSUBACK))
#define R_ENDS (MQTT_IN(CONNACK) | MQTT_IN(DISCONNECT))

#define SENDER_C (1u << MQTT_FROM_CLIENT)
#define SENDER_S (1u << MQTT_FROM_SERVER)
#define SENDER_B (SENDER_C | SENDER_S)

struct reason_kind {
    const char *name;
    uint16_t packets;
    uint8_t senders;
};

#define REASON_KIND(value, symbol, name, packets, sender) [value] = {name, packets, SENDER_##sender},
static const struct reason_kind kinds[256] = {MQTT_REASONS(REASON_KIND)};
#undef REASON_KIND

const char *mqtt_reason_name(enum mqtt_reason reason)
{
    const char *name = (unsigned)reason < 256 ? kinds[reason].name : NULL;
    return name ? name : "Unknown reason";
}

bool mqtt_reason_legal(enum mqtt_packet_type type, enum mqtt_role from, uint8_t reason)
{
    const struct reason_kind *kind = &kinds[reason];
    if (!(kind->packets >> type & 1)) return false;

    /* AUTH §3.15.2.1: only a server says "Success". */
    if (type == MQTT_AUTH && reason == MQTT_REASON_SUCCESS) return from == MQTT_FROM_SERVER;
    /* The other packets travel in one direction only, or both ends may use every code. */
    if (type != MQTT_DISCONNECT && type != MQTT_AUTH) return true;
    return kind->senders >> from & 1;
}

enum mqtt_connack_code mqtt_connack_code_of(enum mqtt_reason reason)
{
    if (!mqtt_reason_is_error(reason)) return MQTT_CONNACK_ACCEPTED;
    switch (reason) {
    case MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION: return MQTT_CONNACK_UNACCEPTABLE_PROTOCOL_VERSION;
    case MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID: return MQTT_CONNACK_IDENTIFIER_REJECTED;
    case MQTT_REASON_BAD_USER_NAME_OR_PASSWORD: return MQTT_CONNACK_BAD_USER_NAME_OR_PASSWORD;
    case MQTT_REASON_UNSPECIFIED_ERROR:
    case MQTT_REASON_IMPLEMENTATION_SPECIFIC:
    case MQTT_REASON_SERVER_UNAVAILABLE:
    case MQTT_REASON_SERVER_BUSY:
    case MQTT_REASON_SERVER_SHUTTING_DOWN:
    case MQTT_REASON_QUOTA_EXCEEDED:
    case MQTT_REASON_USE_ANOTHER_SERVER:
    case MQTT_REASON_SERVER_MOVED:
    case MQTT_REASON_CONNECTION_RATE_EXCEEDED: return MQTT_CONNACK_SERVER_UNAVAILABLE;
    default: return MQTT_CONNACK_NOT_AUTHORIZED;
    }
}

enum mqtt_reason mqtt_reason_of_connack_code(uint8_t code)
{
    switch (code) {
    case MQTT_CONNACK_ACCEPTED: return MQTT_REASON_SUCCESS;
    case MQTT_CONNACK_UNACCEPTABLE_PROTOCOL_VERSION: return MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION;
    case MQTT_CONNACK_IDENTIFIER_REJECTED: return MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID;
    case MQTT_CONNACK_SERVER_UNAVAILABLE: return MQTT_REASON_SERVER_UNAVAILABLE;
    case MQTT_CONNACK_BAD_USER_NAME_OR_PASSWORD: return MQTT_REASON_BAD_USER_NAME_OR_PASSWORD;
    case MQTT_CONNACK_NOT_AUTHORIZED: return MQTT_REASON_NOT_AUTHORIZED;
    default: return MQTT_REASON_UNSPECIFIED_ERROR;
    }
}

const char *mqtt_packet_name(enum mqtt_packet_type type)
{
    static const char *const names[16] = {
        "reserved", "CONNECT",     "CONNACK",  "PUBLISH", "PUBACK",   "PUBREC",     "PUBREL", "PUBCOMP", "SUBSCRIBE",
        "SUBACK",   "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
    };
    return (unsigned)type < 16 ? names[type] : "reserved";
}

const char *mqtt_version_name(enum mqtt_version version)
{
    switch (version) {
    case MQTT_3_1: return "3.1";
    case MQTT_3_1_1: return "3.1.1";
    case MQTT_5: return "5.0";
    default: return "unknown";
    }
}
