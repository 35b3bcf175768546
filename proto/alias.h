/* alias.h - topic aliases (§3.3.2.3.4): a number instead of a topic, agreed on anew for each connection and direction.
 *
 * Owner:   the connection's session; release both tables when the connection ends.
 * Threads: one.
 * Memory:  16 B each while unused; allocated on the first alias. Bounded: see the init functions.
 * Failure: a peer's mistakes are reason codes. */
#ifndef RINGMQ_PROTO_ALIAS_H
#define RINGMQ_PROTO_ALIAS_H

#include "proto/mqtt.h"

/* Inbound: the peer assigns, we remember. */
struct mqtt_alias_in_table;
struct mqtt_alias_in {
    struct mqtt_alias_in_table *table; /* NULL until the first alias */
    uint16_t maximum;                  /* the Topic Alias Maximum we told the peer; 0: aliases are not accepted */
    uint32_t topic_bytes_max;          /* all remembered topics together */
};

/* topic_bytes_max bounds the copies of topics (a peer may send 65535 B per alias); 0: maximum * 65535. */
void mqtt_alias_in_init(struct mqtt_alias_in *aliases, uint16_t maximum, uint32_t topic_bytes_max);
void mqtt_alias_in_release(struct mqtt_alias_in *aliases);
/* A PUBLISH came with this alias. With a topic: remembers it, replacing the alias's former one, and *ret_topic is `topic`
 * itself. Without (bytes 0): *ret_topic is the remembered one; it lives until the alias is assigned again or the table released.
 *   MQTT_REASON_SUCCESS
 *   MQTT_REASON_TOPIC_ALIAS_INVALID  alias 0 or above the maximum [MQTT-3.3.2-9]
 *   MQTT_REASON_PROTOCOL_ERROR       no topic, and the alias was never assigned
 *   MQTT_REASON_QUOTA_EXCEEDED       topic_bytes_max reached; nothing remembered */
enum mqtt_reason mqtt_alias_in_resolve(struct mqtt_alias_in *aliases, uint16_t alias, struct span topic,
                                       struct span *ret_topic);

/* Outbound: we assign. When all numbers are taken, the topic unused for longest loses its number. */
struct mqtt_alias_out_table;
struct mqtt_alias_out {
    struct mqtt_alias_out_table *table; /* NULL until the first alias */
    uint16_t maximum;                   /* the smaller of the peer's Topic Alias Maximum and our own; 0: none */
};

struct mqtt_alias {
    uint16_t alias; /* 0: send the topic, without an alias */
    bool known;     /* the peer knows it already: send an empty topic. Else send both */
};

/* Topics outside these lengths are sent as they are: below, an alias saves nothing (the property takes 3 bytes); above, copies
 * would take too much memory. One table takes at most maximum * (MQTT_ALIAS_TOPIC_BYTES_MAX + 32) B. */
#define MQTT_ALIAS_TOPIC_BYTES_MIN 4
#define MQTT_ALIAS_TOPIC_BYTES_MAX 512

void mqtt_alias_out_init(struct mqtt_alias_out *aliases, uint16_t maximum);
void mqtt_alias_out_release(struct mqtt_alias_out *aliases);
/* The alias for a topic about to be sent. The answer `!known` is a promise: the packet with topic and alias must go out before
 * any other on this connection, or call mqtt_alias_out_forget(). */
struct mqtt_alias mqtt_alias_out_assign(struct mqtt_alias_out *aliases, struct span topic);
/* The packet that should have taught the peer this alias was not sent. */
void mqtt_alias_out_forget(struct mqtt_alias_out *aliases, uint16_t alias);

#endif
