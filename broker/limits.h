/* limits.h - what a client may do, by the listener it came in by: the listener's options where it has them, else those below mqtt.
 *
 * Computed when a listener's first connection comes and when the settings change, one table a shard, so that a packet costs no more than
 * a look into it. Owner, threads: the shard. */
#ifndef RINGMQ_BROKER_LIMITS_H
#define RINGMQ_BROKER_LIMITS_H

#include "engine/listener.h"

struct broker_shard;

struct limits {
    uint32_t packet_bytes_max;
    uint32_t subscriptions_max; /* of a session; 0: no limit */
    uint16_t topic_levels_max;
    uint16_t receive_max, topic_alias_max;
    uint16_t keep_alive_min_s, keep_alive_max_s; /* 0: none */
    uint8_t qos_max;
    uint8_t versions;        /* bits by protocol level: mqtt_versions_parse() */
    bool check_payload_utf8;
    bool retain_available, wildcard_available, shared_available;
    uint8_t rates;           /* a bit for each enum rate_kind that has a limit, of whatever level (broker/rates.h) */
};

struct rates;

struct limits_entry {
    struct limits limits;
    uint32_t listener_version; /* of the listener the own values were taken from */
    bool made;
    /* its own values: the listener itself may be gone when the settings change */
    uint32_t packet_bytes_max, receive_max, topic_alias_max, keep_alive_max_s, qos_max, subscriptions_max, topic_levels_max;
    uint8_t retain_available, wildcard_available, shared_available;
    struct rate_settings client_rates[RATE_KINDS], total_rates[RATE_KINDS];
    struct rates *rates; /* NULL: none of its own */
};

/* Before a connection's first packet. */
void limits_prepare(struct broker_shard *broker, uint8_t listener);
/* After a change of the settings. */
void limits_change(struct broker_shard *broker);
void limits_release(struct broker_shard *broker);

#endif
