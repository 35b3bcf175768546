/* packet.h - the packets of MQTT as values: what mqtt_decode() fills and mqtt_encode() writes.
 *
 * Owner:    spans belong to whoever owns the bytes: the receive buffer when decoded, the caller when encoding.
 * Lifetime: a decoded packet lives exactly as long as the bytes it was decoded from.
 * Validity: of the union only the member of `type` is written, and of it only what the packet has: a user name only if
 *           has_user_name, properties as in properties.h. In versions 3.1 and 3.1.1 properties.present is 0, raw is empty
 *           and every reason is MQTT_REASON_SUCCESS unless the packet carries one.
 * Threads:  values. */
#ifndef RINGMQ_PROTO_PACKET_H
#define RINGMQ_PROTO_PACKET_H

#include "proto/mqtt.h"
#include "proto/properties.h"

/* The message a server publishes when the client is gone without DISCONNECT (§3.1.2.5, §3.1.3.2). */
struct mqtt_will {
    uint8_t qos;
    bool retain;
    struct span topic, payload;
    struct mqtt_properties properties;
};

/* §3.1 */
struct mqtt_connect {
    enum mqtt_version version;
    bool bridge;      /* bit 0x80 of the level: a Mosquitto bridge, which wants no echo of what it published; 3.x only */
    bool clean_start; /* "clean session" in 3.x */
    bool has_will, has_user_name, has_password;
    uint16_t keep_alive_s; /* 0: none */
    struct span client_id; /* may be empty: 3.1.1 with clean_start, 5.0 */
    struct span user_name, password;
    struct mqtt_properties properties;
    struct mqtt_will will;
};

/* §3.2. In 3.x the reason is the return code's translation (mqtt.h). */
struct mqtt_connack {
    bool session_present;
    enum mqtt_reason reason;
    struct mqtt_properties properties;
};

/* §3.3 */
struct mqtt_publish {
    bool dup, retain;
    uint8_t qos;
    uint16_t packet_id; /* 0 when qos is 0 */
    struct span topic;  /* empty: 5.0 with a topic alias */
    struct span payload;
    struct mqtt_properties properties;
};

/* §3.4 … §3.7: PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct mqtt_ack {
    uint16_t packet_id;
    enum mqtt_reason reason;
    struct mqtt_properties properties;
};

/* One entry of SUBSCRIBE or UNSUBSCRIBE (§3.8.3); the options are 0 in the latter. */
struct mqtt_subscription {
    struct span full_filter; /* as sent, with $share */
    struct span filter;      /* without $share/group/ */
    struct span share_group; /* empty: not shared */
    uint8_t qos;
    uint8_t retain_handling; /* 0 send retained messages, 1 only if the subscription is new, 2 do not */
    bool no_local, retain_as_published;
};

/* §3.8. Encoding: `subscriptions` (count of them; only full_filter and the options are read) or, where it is NULL, `raw`. */
struct mqtt_subscribe {
    uint16_t packet_id;
    uint32_t count;
    struct span raw; /* the payload; mqtt_subscription_next() reads it */
    const struct mqtt_subscription *subscriptions;
    struct mqtt_properties properties;
};

/* §3.10. Encoding: `filters` or, where it is NULL, `raw`. */
struct mqtt_unsubscribe {
    uint16_t packet_id;
    uint32_t count;
    struct span raw; /* mqtt_unsubscription_next() reads it */
    const struct span *filters;
    struct mqtt_properties properties;
};

/* §3.9, §3.11: SUBACK, UNSUBACK. Codes are reason codes of 5.0, one byte per filter, in the order asked. In 3.x an encoded
 * SUBACK says 0x80 for every error, and UNSUBACK has no codes. */
struct mqtt_suback {
    uint16_t packet_id;
    struct span codes;
    struct mqtt_properties properties;
};

/* §3.14 */
struct mqtt_disconnect {
    enum mqtt_reason reason;
    struct mqtt_properties properties;
};

/* §3.15 */
struct mqtt_auth {
    enum mqtt_reason reason;
    struct mqtt_properties properties;
};

struct mqtt_packet {
    enum mqtt_packet_type type;
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack; /* PUBACK, PUBREC, PUBREL, PUBCOMP */
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback; /* SUBACK, UNSUBACK */
        struct mqtt_unsubscribe unsubscribe;
        struct mqtt_disconnect disconnect;
        struct mqtt_auth auth; /* PINGREQ and PINGRESP have nothing */
    };
};

/* Takes the next entry off the front of a decoded SUBSCRIBE's (UNSUBSCRIBE's) payload; false at the end:
 *     struct span rest = packet.subscribe.raw;
 *     while (mqtt_subscription_next(&rest, &subscription)) … */
bool mqtt_subscription_next(struct span *rest, struct mqtt_subscription *ret_subscription);
bool mqtt_unsubscription_next(struct span *rest, struct mqtt_subscription *ret_subscription);

#endif
