/* run_send.h - run_send() in place: what every message that crosses costs on its publisher's shard. See runs.h. */
#ifndef RINGMQ_BROKER_RUN_SEND_H
#define RINGMQ_BROKER_RUN_SEND_H

#include "broker/broker.h"
#include "broker/runs.h"

#define RUN_REMAINING_BYTES_MAX 242 /* beyond 240 bytes of topic and payload a message is lent */

/* Of the first cell: one more message, and what two messages of one run have in common. */
static inline uint64_t run_head_of(enum record_kind kind) { return (uint64_t)kind << 56; }
static inline uint64_t run_head_message(uint32_t bytes) { return 1u << 16 | bytes; }

static inline uint32_t run_further_cells(uint32_t messages, uint32_t bytes)
{
    uint32_t cells = RUN_CELLS_HEAD + (bytes + (uint32_t)sizeof(struct lane_cell) - 1) / (uint32_t)sizeof(struct lane_cell);
    return (cells > messages * RUN_CELLS_A_MESSAGE ? cells : messages * RUN_CELLS_A_MESSAGE) - 1;
}

__attribute__((always_inline)) static inline void run_packet_write(uint8_t *at, const struct publication *publication, uint32_t remaining)
{
    struct span topic = publication->topic, payload = publication->payload;
    *at++ = MQTT_PUBLISH << 4;
    *at++ = (uint8_t)(remaining < 128 ? remaining : remaining | 128);
    if (remaining >= 128) *at++ = (uint8_t)(remaining >> 7);
    *at++ = (uint8_t)(topic.bytes >> 8);
    *at++ = (uint8_t)topic.bytes;
    if (payload.data == topic.data + topic.bytes) /* as QoS 0 comes from a 3.x client */
        span_copy_short(at, span_of(topic.data, topic.bytes + payload.bytes));
    else
        span_copy_short(span_copy_short(at, topic), payload);
}

/* Room for another packet of `bytes` in the run that is open, or NULL. */
__attribute__((always_inline)) static inline uint8_t *run_grow(struct mesh_way *way, struct lane_cell *head, uint32_t bytes)
{
    uint32_t messages = head->a >> 16 & 0xffff, before = head->a & 0xffff;
    uint32_t further = run_further_cells(messages + 1, before + bytes), more = further - (way->open - 1);
    if (UNLIKELY(messages == RUN_MESSAGES_MAX) || UNLIKELY(further >= RECORD_CELLS_MAX) || UNLIKELY(!mesh_grow(way, more))) return NULL;
    record_grow(head, more);
    head->a += run_head_message(bytes);
    return (uint8_t *)&head[RUN_CELLS_HEAD] + before;
}

/* Adds the publication to the run of `kind` at the lane's end, or begins one. `b`: what the first cell has there, beside the QoS: the local id, or
 * run_group(). False: it is none for a run, or there is no room in one piece. */
static inline uint64_t run_group(uint32_t local_id, uint8_t strategy) { return (uint64_t)strategy << 32 | local_id; }
__attribute__((always_inline)) static inline bool run_send(struct shard *shard, uint32_t to, enum record_kind kind, const struct publication *publication, uint64_t b)
{
    size_t payload_bytes = publication->payload.bytes, remaining = 2 + publication->topic.bytes + payload_bytes;
    uint64_t unlike = publication->properties.bytes | publication->expires_ms | (uintptr_t)publication->message | publication->retain;
    if (UNLIKELY(remaining > RUN_REMAINING_BYTES_MAX) || UNLIKELY(unlike)) return false;
    uint32_t bytes = (uint32_t)remaining + 2 + (remaining >= 128);
    uint64_t what = b | (uint64_t)publication->qos << 40;
    struct mesh_way *way = &shard->ways[to];
    struct lane_cell *cells = mesh_open(way);
    if (cells && LIKELY(record_kind(cells) == kind) && LIKELY(cells->b == what) && LIKELY(cells[1].a == publication->publisher_conn)) {
        uint8_t *at = run_grow(way, cells, bytes);
        if (LIKELY(at != NULL)) {
            cells[1].b += payload_bytes;
            run_packet_write(at, publication, (uint32_t)remaining);
            return true;
        }
    }
    uint32_t further = run_further_cells(1, bytes);
    cells = mesh_room(way, 1 + further);
    if (UNLIKELY(!cells)) return false;
    cells[0] = (struct lane_cell){run_head_of(kind) | (uint64_t)further << 48 | run_head_message(bytes), what};
    cells[1] = (struct lane_cell){publication->publisher_conn, payload_bytes};
    run_packet_write((uint8_t *)&cells[RUN_CELLS_HEAD], publication, (uint32_t)remaining);
    mesh_filled_open(way, 1 + further, &shard->stats);
    return true;
}

#endif
