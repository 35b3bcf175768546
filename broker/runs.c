#include "broker/runs.h"

#include "base/check.h"
#include "broker/broker.h"

/* ---- sending ---------------------------------------------------------------------------------------------------- */

#define REMAINING_BYTES_MAX 242 /* beyond 240 bytes of topic and payload a message is lent */

/* Of the first cell: that of the first message, and what two messages of one run have in common. */
#define HEAD_COMMON (0xffull << 56 | 0xffffull << 32)
static inline uint64_t head_of(enum record_kind kind, uint32_t topic_bytes) { return (uint64_t)kind << 56 | (uint64_t)topic_bytes << 32; }
static inline uint64_t head_message(uint32_t bytes) { return 1u << 16 | bytes; }

static inline uint32_t further_cells(uint32_t messages, uint32_t bytes)
{
    uint32_t cells = RUN_CELLS_HEAD + (bytes + (uint32_t)sizeof(struct lane_cell) - 1) / (uint32_t)sizeof(struct lane_cell);
    return (cells > messages * RUN_CELLS_A_MESSAGE ? cells : messages * RUN_CELLS_A_MESSAGE) - 1;
}

static inline uint64_t eight_at(const uint8_t *at)
{
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    return eight;
}

/* Topics are short: in place. Reads nothing beyond. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    if (bytes < 8) {
        for (size_t at = 0; at < bytes; at++)
            if (a[at] != b[at]) return false;
        return true;
    }
    for (size_t at = 0; at + 8 < bytes; at += 8)
        if (eight_at(a + at) != eight_at(b + at)) return false;
    return eight_at(a + bytes - 8) == eight_at(b + bytes - 8);
}

static inline void packet_write(uint8_t *at, const struct publication *publication, uint32_t remaining)
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
static inline uint8_t *run_grow(struct mesh_way *way, struct lane_cell *head, uint32_t bytes)
{
    uint32_t messages = head->a >> 16 & 0xffff, before = head->a & 0xffff;
    uint32_t further = further_cells(messages + 1, before + bytes), more = further - (way->open - 1);
    if (UNLIKELY(messages == RUN_MESSAGES_MAX) || UNLIKELY(further >= RECORD_CELLS_MAX) || UNLIKELY(!mesh_grow(way, more))) return NULL;
    record_grow(head, more);
    head->a += head_message(bytes);
    return (uint8_t *)&head[RUN_CELLS_HEAD] + before;
}

bool run_send(struct shard *shard, uint32_t to, enum record_kind kind, const struct publication *publication, uint64_t b)
{
    struct span topic = publication->topic, payload = publication->payload;
    size_t remaining = 2 + topic.bytes + payload.bytes;
    if (UNLIKELY(remaining > REMAINING_BYTES_MAX) || UNLIKELY(publication->properties.bytes || publication->expires_ms) ||
        UNLIKELY(publication->message || publication->retain)) return false;
    uint32_t bytes = (uint32_t)remaining + 2 + (remaining >= 128);
    uint64_t head = head_of(kind, (uint32_t)topic.bytes), what = b | (uint64_t)publication->qos << 40;
    struct mesh_way *way = &shard->ways[to];
    struct lane_cell *cells = mesh_open(way);
    if (cells && LIKELY(((cells->a ^ head) & HEAD_COMMON) == 0) && LIKELY(cells->b == what) && LIKELY(cells[1].a == publication->publisher_conn)) {
        const uint8_t *first = (const uint8_t *)&cells[RUN_CELLS_HEAD], *first_topic = first + 4 + (first[1] >> 7);
        uint8_t *at = same_bytes(first_topic, topic.data, topic.bytes) ? run_grow(way, cells, bytes) : NULL;
        if (LIKELY(at != NULL)) {
            cells[1].b += payload.bytes;
            packet_write(at, publication, (uint32_t)remaining);
            return true;
        }
    }
    uint32_t further = further_cells(1, bytes);
    cells = mesh_room(way, 1 + further);
    if (UNLIKELY(!cells)) return false;
    cells[0] = (struct lane_cell){head | (uint64_t)further << 48 | head_message(bytes), what};
    cells[1] = (struct lane_cell){publication->publisher_conn, payload.bytes};
    packet_write((uint8_t *)&cells[RUN_CELLS_HEAD], publication, (uint32_t)remaining);
    mesh_filled_open(way, 1 + further, &shard->stats);
    return true;
}

/* ---- taking ----------------------------------------------------------------------------------------------------- */

static inline struct publication publication_of_run(const struct run *run, struct span payload, uint64_t publisher_conn)
{
    return (struct publication){.topic = span_of(payload.data - run->topic_bytes, run->topic_bytes), .payload = payload, .qos = run->qos,
                                .publisher_conn = publisher_conn};
}

void run_take(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    const struct run run = run_of(cells);
    uint32_t local_id = (uint32_t)cells->b;
    if (run.count > 1 && publication_run_deliver(broker, &run, local_id)) return;
    const uint8_t *at = run.packets;
    bool congested = false;
    for (uint32_t i = 0; i < run.count; i++) {
        struct publication publication = publication_of_run(&run, run_next(&run, &at), cells[1].a);
        record_publication_taken(broker, from, &publication, local_id);
        congested |= publication.congested;
    }
    DCHECK(at == run.packets + run.bytes);
    if (UNLIKELY(congested)) record_congested(broker, from, cells[1].a);
}

void run_take_shared(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    const struct run run = run_of(cells);
    const uint8_t *at = run.packets;
    bool congested = false;
    for (uint32_t i = 0; i < run.count; i++) {
        struct publication publication = publication_of_run(&run, run_next(&run, &at), cells[1].a);
        record_shared_taken(broker, from, &publication, cells->b, (struct share_keys){0});
        congested |= publication.congested;
    }
    DCHECK(at == run.packets + run.bytes);
    if (UNLIKELY(congested)) record_congested(broker, from, cells[1].a);
}
