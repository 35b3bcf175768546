/* runs.h - small messages of one client to the same filter (or group) of another shard, one record of a lane together.
 *
 *     first cell, a:  kind | further cells | nothing, messages, bytes of the packets (16 bits each)
 *                 b:  local id, strategy (from bit 32), QoS (from bit 40)
 *     second cell:    name of the publisher's connection / bytes of all payloads
 *     then:           the messages, each as the MQTT 3.1.1 PUBLISH packet that a subscriber with QoS 0 gets
 *
 * The sender adds to the record while it is the last one of its lane that nobody has seen yet (mesh_open()): so within a turn, and with nothing else sent to
 * that shard between. All have one QoS, and neither properties nor an expiry; their topics may differ, where the filter has wildcards. A run has RUN_CELLS_A_MESSAGE cells a message or more: what is reckoned
 * by the cells of a lane (PRESSURE_BEYOND()), and a turn's share of records (mesh_drain()), holds for messages, too.
 *
 * The other shard copies all of its packets at once to whoever takes them as they are (publication_run_deliver()); to an only subscriber with QoS 1, and to the members of a
 * group, they are a row (rows.h); what that does not take becomes a publication again. A message that comes alone is a run, too.
 *
 * Owner, threads: the two shards at the ends of the lane. Lifetime: what is taken from a run points into the lane. */
#ifndef RINGMQ_BROKER_RUNS_H
#define RINGMQ_BROKER_RUNS_H

#include "broker/records.h"
#include "broker/rows.h"

#define RUN_MESSAGES_MAX    64
#define RUN_CELLS_A_MESSAGE 2
#define RUN_CELLS_HEAD      2
#define RUN_BYTES_MAX       ((RECORD_CELLS_MAX - RUN_CELLS_HEAD) * sizeof(struct lane_cell))
#define RUN_PACKET_BYTES_MAX 250 /* any packet of a run, for any client */

struct run {
    const uint8_t *packets;
    uint32_t bytes, count;
    uint64_t payload_bytes;
    uint8_t qos;
};

static inline struct run run_of(const struct lane_cell *cells)
{
    return (struct run){.packets = (const uint8_t *)&cells[RUN_CELLS_HEAD], .bytes = cells->a & 0xffff, .count = cells->a >> 16 & 0xffff,
                        .payload_bytes = cells[1].b, .qos = (uint8_t)(cells->b >> 40)};
}

/* Nobody counts what goes out, or looks at it, and none of it may have been announced as something to keep. */
static inline bool run_is_plain(const struct broker_shard *broker, const struct run *run) { return shard_is_plain(broker) && !(run->qos && broker->durable); }

/* The message at `*at`, which moves on to the next one. */
static inline struct row_message run_next(const uint8_t **at)
{
    const uint8_t *packet = *at, *variable = packet + 2;
    uint32_t remaining = packet[1];
    if (UNLIKELY(remaining & 128)) remaining = (remaining & 127) | (uint32_t)*variable++ << 7;
    uint32_t topic_bytes = (uint32_t)variable[0] << 8 | variable[1];
    *at = variable + remaining;
    return (struct row_message){span_of(packet, (size_t)(*at - packet)), span_of(variable + 2, topic_bytes),
                                span_of(variable + 2 + topic_bytes, remaining - 2 - topic_bytes)};
}

void run_take(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells);
void run_take_shared(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells);

#endif
