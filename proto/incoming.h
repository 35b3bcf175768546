/* incoming.h - QoS 2 packet ids a peer has published and not yet released, and the Receive Maximum it must keep (§4.3.3, §3.3.4).
 *
 * Exactly once works by remembering the id from PUBLISH until PUBREL: a PUBLISH with an id that is in here is the same message
 * again and must not be handed on. The set holds up to 4 ids in itself; more go to a hash table of u16 that grows on demand
 * and is given back when the set is empty.
 *
 * The Receive Maximum counts what the peer published over the present connection and has no final answer yet: QoS 1 until
 * PUBACK (a durable broker answers later), QoS 2 until PUBCOMP or a failing PUBREC. Ids carried over from an earlier connection
 * do not count until published again; where the two cannot be told apart we err on the peer's side.
 *
 * Owner:   the session. Threads: one. Memory: 24 B; from the fifth id on 4 … 8 B per id, at most 8 KiB. */
#ifndef RINGMQ_PROTO_INCOMING_H
#define RINGMQ_PROTO_INCOMING_H

#include "proto/mqtt.h"

#define MQTT_INCOMING_INLINE 4

struct mqtt_incoming {
    union {
        uint16_t inline_ids[MQTT_INCOMING_INLINE]; /* the first `count` are in use */
        uint16_t *table;                           /* open addressing, 0 is empty */
    };
    uint16_t count;           /* QoS 2 ids */
    uint16_t qos1_count;      /* QoS 1 messages not yet acknowledged */
    uint16_t carried;         /* at most this many of the ids are of an earlier connection */
    uint16_t receive_maximum; /* what we told the peer; 65535 in 3.x unless configured */
    uint8_t table_log2;       /* 0: the ids are inline */
};

enum mqtt_incoming_verdict {
    MQTT_INCOMING_NEW,       /* remember, hand on, PUBREC */
    MQTT_INCOMING_DUPLICATE, /* do not hand on, PUBREC */
    MQTT_INCOMING_EXCEEDED,  /* over the Receive Maximum: DISCONNECT 0x93 [MQTT-3.3.4-9]; nothing remembered */
};

/* receive_maximum is 1 … 65535. */
void mqtt_incoming_init(struct mqtt_incoming *incoming, uint16_t receive_maximum);
/* Forgets everything and returns the memory. Can be used again. */
void mqtt_incoming_release(struct mqtt_incoming *incoming);
/* A new connection of the same session: the ids stay, QoS 1 is forgotten, the quota is whole again. */
void mqtt_incoming_resume(struct mqtt_incoming *incoming, uint16_t receive_maximum);

/* A QoS 2 PUBLISH with this id (not 0). */
enum mqtt_incoming_verdict mqtt_incoming_add(struct mqtt_incoming *incoming, uint16_t packet_id);
/* PUBREL, or a PUBREC with an error sent. False: there was no such id (answer PUBCOMP with 0x92). */
bool mqtt_incoming_remove(struct mqtt_incoming *incoming, uint16_t packet_id);
bool mqtt_incoming_has(const struct mqtt_incoming *incoming, uint16_t packet_id);
/* Restores one from a store, at start-up; it counts as carried over. */
void mqtt_incoming_restore(struct mqtt_incoming *incoming, uint16_t packet_id);

/* A QoS 1 PUBLISH came: false, and nothing counted, when it is over the Receive Maximum. */
bool mqtt_incoming_qos1_add(struct mqtt_incoming *incoming);
/* Its PUBACK leaves. */
void mqtt_incoming_qos1_remove(struct mqtt_incoming *incoming);

static inline uint32_t mqtt_incoming_count(const struct mqtt_incoming *incoming) { return incoming->count; }

/* All ids, in no order: begin with *cursor = 0. Nothing may be added or removed meanwhile. */
bool mqtt_incoming_next(const struct mqtt_incoming *incoming, uint32_t *cursor, uint16_t *ret_packet_id);

#endif
