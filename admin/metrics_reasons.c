/* metrics_reasons.c - refusals and disconnects by the standard's reason codes (broker/reasons.h). A series for each code that the packet may carry, so that it is
 * there before it is first counted; over all shards. */
#include <ctype.h>
#include <stdio.h>

#include "admin/metrics.h"
#include "broker/broker.h"
#include "proto/mqtt.h"

static const enum mqtt_packet_type packets[REASONS_KINDS] = {
#define REASONS_PACKET(kind, packet) [REASONS_##kind] = MQTT_##packet,
    REASONS_TABLE(REASONS_PACKET)
#undef REASONS_PACKET
};

void metrics_reason_label(uint8_t reason, bool disconnect, char *ret_label, size_t bytes)
{
    const char *name = reason == 0 && disconnect ? "Normal disconnection" : mqtt_reason_name((enum mqtt_reason)reason);
    size_t at = 0;
    for (; name[at] && at + 1 < bytes; at++)
        ret_label[at] = isalnum((unsigned char)name[at]) ? (char)tolower((unsigned char)name[at]) : '_';
    ret_label[at] = 0;
}

/* Is it one that this kind of packet may carry, and means a refusal, or an end? */
static bool concerns(enum reasons_kind kind, uint8_t reason)
{
    enum mqtt_role from = kind == REASONS_disconnect_client ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER;
    if (reasons_place(reason) == REASONS_COUNT || !mqtt_reason_legal(packets[kind], from, reason)) return false;
    if (kind == REASONS_disconnect_client || (kind == REASONS_unsubscribe && reason == MQTT_REASON_NO_SUBSCRIPTION_EXISTED)) return true;
    return mqtt_reason_is_error((enum mqtt_reason)reason);
}

static void put_kind(struct metrics_walk *walk, enum reasons_kind kind, const char *by)
{
    const struct broker *broker = admin_broker(walk->admin);
    bool disconnect = packets[kind] == MQTT_DISCONNECT;
    for (unsigned reason = 0; reason < 256; reason++) {
        char label[64];
        uint64_t count = 0;
        for (uint32_t s = 0; s < broker->shards_count; s++)
            count += reasons_read(&broker->shards[s]->reasons, kind, (uint8_t)reason);
        if (!concerns(kind, (uint8_t)reason) && count == 0) continue;
        metrics_reason_label((uint8_t)reason, disconnect, label, sizeof label);
        if (by)
            metrics_put(walk, count, "by", by, "reason", label, NULL);
        else
            metrics_put(walk, count, "reason", label, NULL);
    }
}

void metrics_walk_reasons(struct metrics_walk *walk)
{
    metrics_family_begin(walk, "ringmq_connects_refused");
    put_kind(walk, REASONS_connack, NULL);
    metrics_family_begin(walk, "ringmq_clients_disconnected");
    put_kind(walk, REASONS_disconnect_server, "server");
    put_kind(walk, REASONS_disconnect_client, "client");
    metrics_family_begin(walk, "ringmq_publishes_refused");
    put_kind(walk, REASONS_publish, NULL);
    metrics_family_begin(walk, "ringmq_subscribes_refused");
    put_kind(walk, REASONS_subscribe, NULL);
    metrics_family_begin(walk, "ringmq_unsubscribes_refused");
    put_kind(walk, REASONS_unsubscribe, NULL);
}
