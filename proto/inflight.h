/* inflight.h - QoS 1 and QoS 2 messages on their way out to one peer: packet ids, states, the sending quota, redelivery.
 *
 * A message enters with mqtt_inflight_add(), which names its packet id, and leaves with PUBACK, PUBCOMP or a failing PUBREC.
 * Slots are a power-of-two array indexed by packet id (so an acknowledgement is one look), allocated on the first message and
 * doubled as needed; a chain of ids through the slots keeps the order of sending.
 *
 *     add ──► PUBLISHED ──puback──► gone                       (QoS 1)
 *     add ──► PUBLISHED ──pubrec──► RELEASING ──pubcomp──► gone  (QoS 2)
 *                  └──pubrec ≥ 0x80──► gone
 *
 * The quota (§4.9) counts PUBLISH packets sent over the present connection that are not yet acknowledged by PUBACK, PUBCOMP
 * or a failing PUBREC; its limit is the peer's Receive Maximum. A new connection begins with the whole quota
 * (mqtt_inflight_resume), then everything still here is sent again in the original order [MQTT-4.6.0-1], PUBLISH packets only
 * as far as the quota reaches, before any new message:
 *
 *     mqtt_inflight_resume(&inflight, receive_maximum);
 *     while (mqtt_inflight_resend_next(&inflight, &entry))     ← after CONNACK, and again after each ack
 *         entry.state == MQTT_INFLIGHT_PUBLISHED ? send PUBLISH with DUP : send PUBREL;
 *
 * Owner:   the session. A message is a pointer that is carried, never followed; its reference is the window's from add until
 *          it is handed back in a verdict or to the release callback.
 * Threads: one.
 * Memory:  24 B; with messages 24 B per slot (8 slots at first, at most twice as many as messages, 65536 in all). */
#ifndef RINGMQ_PROTO_INFLIGHT_H
#define RINGMQ_PROTO_INFLIGHT_H

#include "proto/mqtt.h"

enum mqtt_inflight_state {
    MQTT_INFLIGHT_FREE = 0,
    MQTT_INFLIGHT_PUBLISHED, /* PUBLISH sent: PUBACK or PUBREC is due */
    MQTT_INFLIGHT_RELEASING, /* QoS 2, PUBREC came, PUBREL sent: PUBCOMP is due */
};

struct mqtt_inflight_slot;

struct mqtt_inflight {
    struct mqtt_inflight_slot *slots; /* NULL until the first message */
    uint16_t count;                   /* messages in here */
    uint16_t window;                  /* the peer's Receive Maximum; 65535 in 3.x unless configured */
    uint16_t quota_used;              /* of the window, by this connection */
    uint16_t id_last;                 /* last packet id given out */
    uint16_t oldest, newest;          /* ends of the chain, packet ids; 0: none */
    uint16_t resend;                  /* next packet id to be sent again; 0: nothing (more) to resend */
    uint8_t slots_log2;
};

/* What is known about one message. */
struct mqtt_inflight_entry {
    void *message; /* NULL is allowed; also after mqtt_inflight_drop_message() */
    uint64_t user; /* the caller's: subscription ids, flags, a log position … */
    uint16_t packet_id;
    uint8_t qos;
    enum mqtt_inflight_state state;
};

enum mqtt_inflight_verdict {
    MQTT_INFLIGHT_OK,
    MQTT_INFLIGHT_UNKNOWN,     /* no such packet id: PUBREL or PUBCOMP with 0x92, or ignore */
    MQTT_INFLIGHT_WRONG_STATE, /* PUBACK for QoS 2, PUBREC for QoS 1, PUBCOMP before PUBREC: protocol error */
};

/* A window is 1 … 65535. */
void mqtt_inflight_init(struct mqtt_inflight *inflight, uint16_t window);
/* Hands every message left to `release` (may be NULL), oldest first, and returns the memory. The window can be used again. */
void mqtt_inflight_release(struct mqtt_inflight *inflight, void (*release)(void *context, struct mqtt_inflight_entry entry),
                           void *context);
/* Gives back the slots' memory when no message is in here; else does nothing. For sessions that fell quiet. */
void mqtt_inflight_trim(struct mqtt_inflight *inflight);

static inline uint32_t mqtt_inflight_count(const struct mqtt_inflight *inflight) { return inflight->count; }
/* True while something of an earlier connection still waits for being sent again. */
static inline bool mqtt_inflight_resending(const struct mqtt_inflight *inflight) { return inflight->resend != 0; }
/* The message whose turn to be acknowledged comes `ahead` after this id, for prefetching; NULL when it is not known. */
const void *mqtt_inflight_ahead(const struct mqtt_inflight *inflight, uint16_t packet_id, uint16_t ahead);
/* True when no new message may be sent now: quota used up, ids used up, or older messages go first. */
static inline bool mqtt_inflight_full(const struct mqtt_inflight *inflight)
{
    return inflight->quota_used >= inflight->window || inflight->count == UINT16_MAX || inflight->resend != 0;
}

/* Takes the message in as PUBLISHED and returns its packet id, never 0. Not while mqtt_inflight_full(). qos is 1 or 2. */
uint16_t mqtt_inflight_add(struct mqtt_inflight *inflight, void *message, uint8_t qos, uint64_t user);
/* Restores one from a store, at start-up: as mqtt_inflight_add() with the id and state it had, in the order it was first sent.
 * It waits for mqtt_inflight_resume(). False when the id is 0 or taken. Any time a session has no connection. */
bool mqtt_inflight_restore(struct mqtt_inflight *inflight, struct mqtt_inflight_entry entry);

/* PUBACK with any reason: the message is done. OK: it is in *ret_entry and no longer here. */
enum mqtt_inflight_verdict mqtt_inflight_puback(struct mqtt_inflight *inflight, uint16_t packet_id,
                                                struct mqtt_inflight_entry *ret_entry);
/* PUBREC. OK with reason < 0x80: answer PUBREL; the entry stays here as RELEASING and *ret_entry shows it (a second PUBREC for
 * it is OK too). Reason ≥ 0x80: the message is done and no longer here (state in *ret_entry: FREE); do not answer. */
enum mqtt_inflight_verdict mqtt_inflight_pubrec(struct mqtt_inflight *inflight, uint16_t packet_id, enum mqtt_reason reason,
                                                struct mqtt_inflight_entry *ret_entry);
/* PUBCOMP with any reason. OK: it is in *ret_entry and no longer here. */
enum mqtt_inflight_verdict mqtt_inflight_pubcomp(struct mqtt_inflight *inflight, uint16_t packet_id,
                                                 struct mqtt_inflight_entry *ret_entry);

/* Looks one up, changing nothing. False: no such packet id. */
bool mqtt_inflight_find(const struct mqtt_inflight *inflight, uint16_t packet_id, struct mqtt_inflight_entry *ret_entry);

/* Of a RELEASING message nothing but the id is needed any more: takes the pointer out (the reference is the caller's again).
 * NULL when there is no such id or nothing left in it. */
void *mqtt_inflight_drop_message(struct mqtt_inflight *inflight, uint16_t packet_id);

/* A new connection with this Receive Maximum: the whole quota is free and everything here is to be sent again. */
void mqtt_inflight_resume(struct mqtt_inflight *inflight, uint16_t window);
/* The next one to send again, in the order of first sending; a PUBLISHED one takes its quota with this call. False when there
 * is none, or none now because the quota is used up (mqtt_inflight_resending() tells which). */
bool mqtt_inflight_resend_next(struct mqtt_inflight *inflight, struct mqtt_inflight_entry *ret_entry);

/* All messages in the order of first sending, changing nothing: begin with *cursor = 0. Nothing may be added or acknowledged
 * meanwhile. */
bool mqtt_inflight_next(const struct mqtt_inflight *inflight, uint16_t *cursor, struct mqtt_inflight_entry *ret_entry);

#endif
