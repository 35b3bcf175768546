/* run_send.h - run_send() and what else writes runs, in place: what every message that crosses costs on its publisher's shard. See runs.h. */
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

/* remaining: 2 + the bytes of both. */
__attribute__((always_inline)) static inline void run_packet_write(uint8_t *at, struct span topic, struct span payload, uint32_t remaining)
{
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

/* Of the first cell's b: `where` is the local id, or run_group(). */
static inline uint64_t run_group(uint32_t local_id, uint8_t strategy) { return (uint64_t)strategy << 32 | local_id; }
static inline uint64_t run_what(uint64_t where, uint8_t qos) { return where | (uint64_t)qos << 40; }

/* Room for run_packet_write() of a small message without properties and expiry: in the run of `kind` at the lane's end, or in a new one. NULL: there is none in one piece. */
__attribute__((always_inline)) static inline uint8_t *run_place(struct shard *shard, uint32_t to, enum record_kind kind, uint64_t what, uint64_t publisher_conn,
                                                                uint32_t remaining, uint32_t payload_bytes)
{
    uint32_t bytes = remaining + 2 + (remaining >= 128);
    struct mesh_way *way = &shard->ways[to];
    struct lane_cell *cells = mesh_open(way);
    DCHECK(remaining <= RUN_REMAINING_BYTES_MAX);
    if (cells && LIKELY(record_kind(cells) == kind) && LIKELY(cells->b == what) && LIKELY(cells[1].a == publisher_conn)) {
        uint8_t *at = run_grow(way, cells, bytes);
        if (LIKELY(at != NULL)) {
            cells[1].b += payload_bytes;
            return at;
        }
    }
    uint32_t further = run_further_cells(1, bytes);
    cells = mesh_room(way, 1 + further);
    if (UNLIKELY(!cells)) return NULL;
    cells[0] = (struct lane_cell){run_head_of(kind) | (uint64_t)further << 48 | run_head_message(bytes), what};
    cells[1] = (struct lane_cell){publisher_conn, payload_bytes};
    mesh_filled_open(way, 1 + further, &shard->stats);
    return (uint8_t *)&cells[RUN_CELLS_HEAD];
}

/* Adds the publication to a run. False: it is none for a run, or there is no room in one piece. */
__attribute__((always_inline)) static inline bool run_send(struct shard *shard, uint32_t to, enum record_kind kind, const struct publication *publication, uint64_t where)
{
    size_t payload_bytes = publication->payload.bytes, remaining = 2 + publication->topic.bytes + payload_bytes;
    uint64_t unlike = publication->properties.bytes | publication->expires_ms | (uintptr_t)publication->message | publication->retain;
    if (UNLIKELY(remaining > RUN_REMAINING_BYTES_MAX) || UNLIKELY(unlike)) return false;
    uint8_t *at = run_place(shard, to, kind, run_what(where, publication->qos), publication->publisher_conn, (uint32_t)remaining, (uint32_t)payload_bytes);
    if (UNLIKELY(!at)) return false;
    run_packet_write(at, publication->topic, publication->payload, (uint32_t)remaining);
    return true;
}

/* Many messages into one run: where they fit behind the one that run_place() has just placed. What they change in the record is written at the end (run_pen_up()),
 * before anything else is sent to that shard. All zero: none is open. */
struct run_pen {
    struct mesh_way *way;
    struct lane_cell *head;
    uint8_t *begin, *at, *end;
    uint32_t messages, messages_max, payload_bytes;
};

static inline void run_pen_up(struct run_pen *pen)
{
    if (pen->messages == 0) return; /* none is open, or nothing was added */
    uint32_t messages = (pen->head->a >> 16 & 0xffff) + pen->messages, bytes = (uint32_t)(pen->head->a & 0xffff) + (uint32_t)(pen->at - pen->begin);
    uint32_t more = run_further_cells(messages, bytes) - (pen->way->open - 1);
    bool grown = mesh_grow(pen->way, more);
    CHECK(grown);
    record_grow(pen->head, more);
    pen->head->a += (uint64_t)pen->messages << 16 | (uint32_t)(pen->at - pen->begin);
    pen->head[1].b += pen->payload_bytes;
    *pen = (struct run_pen){.way = NULL};
}

/* `at`: the end of the run. */
static inline void run_pen_down(struct run_pen *pen, struct mesh_way *way, uint8_t *at)
{
    struct lane_cell *head = mesh_open(way);
    uint32_t cells = mesh_open_cells_max(way), messages = head->a >> 16 & 0xffff, most = cells / RUN_CELLS_A_MESSAGE;
    if (most > RUN_MESSAGES_MAX) most = RUN_MESSAGES_MAX;
    *pen = (struct run_pen){.way = way, .head = head, .begin = at, .at = at, .end = (uint8_t *)&head[cells], .messages_max = most > messages ? most - messages : 0};
}

/* Room for the next one; NULL: run_pen_place() has to look for it. */
static inline uint8_t *run_pen_room(struct run_pen *pen, uint32_t remaining, uint32_t payload_bytes)
{
    uint32_t bytes = remaining + 2 + (remaining >= 128);
    uint8_t *at = pen->at;
    if (UNLIKELY(pen->messages >= pen->messages_max) || UNLIKELY(bytes > (size_t)(pen->end - at))) return NULL;
    pen->at = at + bytes;
    pen->messages++;
    pen->payload_bytes += payload_bytes;
    return at;
}
/* As run_place(), and so many more as fit behind it have room with the pen. */
static inline uint8_t *run_pen_place(struct run_pen *pen, struct shard *shard, uint32_t to, enum record_kind kind, uint64_t what, uint64_t publisher_conn,
                                     uint32_t remaining, uint32_t payload_bytes)
{
    run_pen_up(pen);
    uint8_t *at = run_place(shard, to, kind, what, publisher_conn, remaining, payload_bytes);
    if (LIKELY(at != NULL)) run_pen_down(pen, &shard->ways[to], at + remaining + 2 + (remaining >= 128));
    return at;
}

#endif
