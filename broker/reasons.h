/* reasons.h - why clients were refused, told so, or went: counted by reason code (§2.4 of MQTT 5; for older clients the code it would have been).
 *
 * Each shard writes its own; any thread may read it, and what it finds may be a moment old. */
#ifndef RINGMQ_BROKER_REASONS_H
#define RINGMQ_BROKER_REASONS_H

#include "base/stats.h"
#include "proto/mqtt.h"

/* kind, the packet whose reason codes it has */
#define REASONS_TABLE(X)                                                                                                           \
    X(connack, CONNACK)               /* CONNECT refused */                                                                        \
    X(disconnect_server, DISCONNECT)  /* a client disconnected by us */                                                            \
    X(disconnect_client, DISCONNECT)  /* it has disconnected */                                                                    \
    X(publish, PUBACK)                /* PUBLISH refused, its client stays */                                                      \
    X(subscribe, SUBACK)              /* a filter of a SUBSCRIBE refused */                                                        \
    X(unsubscribe, UNSUBACK)          /* a filter of an UNSUBSCRIBE not found, or refused */

enum reasons_kind {
#define REASONS_KIND(kind, packet) REASONS_##kind,
    REASONS_TABLE(REASONS_KIND)
#undef REASONS_KIND
    REASONS_KINDS
};

/* Codes below 0x80 that are counted: 0x00, 0x04 (DISCONNECT) and 0x11 (UNSUBACK); then 0x80 to 0xA2. */
#define REASONS_LOW   3
#define REASONS_HIGH  0x23
#define REASONS_COUNT (REASONS_LOW + REASONS_HIGH)

struct reasons {
    uint64_t counts[REASONS_KINDS][REASONS_COUNT];
};

/* REASONS_COUNT: one that is not counted. */
static inline uint32_t reasons_place(uint8_t reason)
{
    if (reason >= 0x80) return reason - 0x80u < REASONS_HIGH ? REASONS_LOW + reason - 0x80u : REASONS_COUNT;
    return reason == 0 ? 0 : reason == MQTT_REASON_DISCONNECT_WITH_WILL ? 1 : reason == MQTT_REASON_NO_SUBSCRIPTION_EXISTED ? 2 : REASONS_COUNT;
}

static inline void reasons_add(struct reasons *reasons, enum reasons_kind kind, uint8_t reason)
{
    uint32_t place = reasons_place(reason);
    if (place < REASONS_COUNT) stats_count(&reasons->counts[kind][place], 1);
}

static inline uint64_t reasons_read(const struct reasons *reasons, enum reasons_kind kind, uint8_t reason)
{
    uint32_t place = reasons_place(reason);
    return place < REASONS_COUNT ? stats_read(&reasons->counts[kind][place]) : 0;
}

#endif
