/* deliver_plain.c - one filter's sinks get a message: most of them the short way. */
#include "broker/broker.h"
#include "broker/fanout.h"
#include "broker/runs.h"
#include "proto/encode.h"

/* The most that surrounds topic and payload: fixed header, topic length, packet id, length of no properties. */
#define AROUND_BYTES_MAX (MQTT_FIXED_HEADER_BYTES_MAX + 5)

static inline bool kind_has_id(uint32_t kind) { return kind & 1; }
static inline bool kind_is_five(uint32_t kind) { return kind & 2; }

/* Shared: the packet is written once per kind and copied; else it is for one client and goes straight into its stage. */
struct plain_packet {
    struct publication *publication;
    uint32_t bytes_max; /* of any kind; 0: this publication is not plain */
    uint32_t sent;
    bool shared;
};

static inline bool looks_plain(const struct broker_shard *broker, const struct publication *publication)
{
    return !((publication->qos == 2 && broker->durable && publication->partial) || !shard_is_plain(broker) || publication->retain ||
             publication->properties.bytes || publication->expires_ms);
}

__attribute__((always_inline)) static inline struct plain_packet plain_begin(struct broker_shard *broker, struct publication *publication, bool shared)
{
    struct plain_packet packet = {.publication = publication, .shared = shared};
    size_t bytes_max = publication->topic.bytes + publication->payload.bytes + AROUND_BYTES_MAX;
    if (UNLIKELY(!looks_plain(broker, publication)) || publication->payload.bytes > MESSAGE_COPY_BYTES_MAX || bytes_max > PLAIN_BYTES_MAX) return packet;
    packet.bytes_max = (uint32_t)bytes_max;
    memset(broker->plain.bytes, 0, sizeof broker->plain.bytes);
    return packet;
}

static inline uint32_t plain_write(uint8_t *out, uint32_t kind, const struct publication *publication)
{
    uint8_t *at = out;
    size_t after_bytes = publication->payload.bytes + kind_is_five(kind);
    at += mqtt_write_publish_head(at, mqtt_publish_first_byte(kind_has_id(kind), false, false), publication->topic, 0, after_bytes);
    if (kind_is_five(kind)) *at++ = 0; /* no properties */
    at = mqtt_put_bytes(at, publication->payload);
    return (uint32_t)(at - out);
}

static inline uint32_t plain_copy(struct plain *plain, uint8_t *out, uint32_t kind, const struct publication *publication)
{
    if (UNLIKELY(plain->bytes[kind] == 0)) plain->bytes[kind] = (uint16_t)plain_write(plain->packet[kind], kind, publication);
    memcpy(out, plain->packet[kind], plain->bytes[kind]);
    return plain->bytes[kind];
}

static uint16_t into_window(struct broker_shard *broker, struct session *session, struct publication *publication)
{
    struct delivery delivery = delivery_plain(message_ref(publication_message(broker->shard, publication)), 1, (uint32_t)broker->shard->now_ms);
    COUNT(broker, inflight_messages);
    session->conn->urgent = true; /* its acknowledgements make room */
    return mqtt_inflight_add(&session->inflight, (void *)(uintptr_t)delivery.tagged, 1, delivery.ids);
}

/* False: this one is not plain. Inlined into both callers. */
__attribute__((always_inline)) static inline bool plain_deliver(struct broker_shard *broker, const struct sink *sink, struct plain_packet *packet)
{
    struct session *session = sink->who;
    struct conn *conn = session->conn;
    struct publication *publication = packet->publication;
    uint32_t qos = sink->qos < publication->qos ? sink->qos : publication->qos;
    uint32_t kind = qos | (uint32_t)(session->version == MQTT_5) << 1;
    bool waits = !conn || session->queue.count || !conn_has_room(conn);
    if (UNLIKELY(waits) || session->unusual || sink->subscription_id || UNLIKELY(qos > 1)) return false;
    if (UNLIKELY(session->packet_bytes_max - 1 < packet->bytes_max)) return false; /* 0: no maximum, and above all of them */
    if (qos && UNLIKELY(mqtt_inflight_full(&session->inflight))) return false;
    uint8_t *out = conn_reserve(broker->shard, conn, packet->bytes_max);
    uint32_t bytes = LIKELY(packet->shared) ? plain_copy(&broker->plain, out, kind, publication) : plain_write(out, kind, publication);
    conn_commit(conn, bytes);
    if (qos) mqtt_put_u16(out + bytes - publication->payload.bytes - kind_is_five(kind) - 2, into_window(broker, session, publication));
    session->queue.sent++;
    packet->sent++;
    return true;
}

/* ---- lent ------------------------------------------------------------------------------------------------------- */

/* A larger payload leaves from where it was received (conn_lend()) if nothing of its packet has to be written anew. */

struct received_packet {
    struct span bytes; /* empty: it has to be written anew */
    uint32_t kind;
};

/* The packet around topic and payload, if it lies in the receive at hand and is, byte by byte, what a QoS 0 client of the same version gets. */
static struct received_packet as_received(const struct broker_shard *broker, const struct publication *publication)
{
    const struct shard *shard = broker->shard;
    uintptr_t from = (uintptr_t)shard->receiving.data, topic = (uintptr_t)publication->topic.data, payload = (uintptr_t)publication->payload.data;
    size_t topic_bytes = publication->topic.bytes, payload_bytes = publication->payload.bytes, between = payload - topic - topic_bytes;
    bool inside = topic - from < shard->receiving.bytes && payload - from + payload_bytes <= shard->receiving.bytes;
    struct received_packet none = {.bytes = {0}};
    if (!inside || between > 1 || !looks_plain(broker, publication)) return none; /* QoS 0 has nothing there, or the length of no properties */
    uint8_t head[MQTT_FIXED_HEADER_BYTES_MAX + 2];
    uint8_t *end = mqtt_put_u8(head, mqtt_publish_first_byte(0, false, false));
    end = mqtt_put_varint(end, (uint32_t)(2 + topic_bytes + between + payload_bytes));
    size_t head_bytes = (size_t)(mqtt_put_u16(end, (uint16_t)topic_bytes) - head);
    const uint8_t *start = publication->topic.data - head_bytes;
    if (topic - from < head_bytes || memcmp(start, head, head_bytes) != 0 || (between && publication->payload.data[-1] != 0)) return none;
    return (struct received_packet){span_of(start, head_bytes + topic_bytes + between + payload_bytes), (uint32_t)between << 1};
}

static bool lent_deliver(struct broker_shard *broker, const struct sink *sink, const struct received_packet *received, struct plain_packet *packet)
{
    struct session *session = sink->who;
    struct conn *conn = session->conn;
    uint32_t qos = sink->qos < packet->publication->qos ? sink->qos : packet->publication->qos, kind = qos | (uint32_t)(session->version == MQTT_5) << 1;
    if (!conn || session->queue.count || !conn_has_room(conn) || session->unusual || sink->subscription_id || kind != received->kind) return false;
    if (session->packet_bytes_max && session->packet_bytes_max < received->bytes.bytes) return false;
    if (!conn_lend(broker->shard, conn, received->bytes)) return false;
    session->queue.sent++;
    packet->sent++;
    return true;
}

static inline void plain_end(struct broker_shard *broker, const struct plain_packet *packet)
{
    if (packet->sent == 0) return;
    COUNT_BY(broker, packets_sent, packet->sent);
    COUNT_BY(broker, publish_sent, packet->sent);
    COUNT_BY(broker, publish_sent_bytes, packet->sent * packet->publication->payload.bytes);
}

/* `received`: the packet as it came, which may be lent to those who get it as it is; NULL: there is none. */
__attribute__((always_inline)) static inline void give_sinks(struct broker_shard *broker, struct publication *publication, struct sinks_view view,
                                                             const struct received_packet *received)
{
    struct plain_packet packet = plain_begin(broker, publication, view.count > 1);
    for (uint32_t i = 0; i < view.count; i++) {
        const struct sink *sink = &view.sinks[i];
        if (i + 4 < view.count) __builtin_prefetch(view.sinks[i + 4].who);
        if (UNLIKELY(!subscription_wants(sink, publication))) continue;
        if (received && lent_deliver(broker, sink, received, &packet)) continue;
        if (LIKELY(packet.bytes_max != 0) && LIKELY(plain_deliver(broker, sink, &packet))) continue;
        struct delivery_options options = subscription_options(sink, publication);
        session_deliver(broker, sink->who, publication, &options);
    }
    plain_end(broker, &packet);
    if (UNLIKELY(view.count >= FANOUT_WORK)) shard_turn_work(broker->shard, view.count / FANOUT_WORK);
}

__attribute__((noinline)) static void lend_sinks(struct broker_shard *broker, struct publication *publication, struct sinks_view view)
{
    struct received_packet received = as_received(broker, publication);
    give_sinks(broker, publication, view, received.bytes.bytes ? &received : NULL);
}

static inline void deliver_sinks(struct broker_shard *broker, struct publication *publication, struct sinks_view view)
{
    const struct shard *shard = broker->shard;
    if (UNLIKELY(shard->receiving.bytes) && publication->payload.bytes >= shard->lends_from / LENDS_SHARE) return lend_sinks(broker, publication, view);
    give_sinks(broker, publication, view, NULL);
}

void publication_deliver_filter(struct broker_shard *broker, struct publication *publication, uint32_t local_id)
{
    struct sinks_view view = sinks_get(broker->sinks, local_id);
    publication->filter = local_id;
    if (UNLIKELY(view.count >= broker->fanout_parts) && fanout_begin(broker, publication, view)) return;
    deliver_sinks(broker, publication, view);
}

void publication_deliver_sinks(struct broker_shard *broker, struct publication *publication, struct sinks_view view)
{
    deliver_sinks(broker, publication, view);
}

bool publication_deliver_plain(struct broker_shard *broker, struct publication *publication, const struct sink *sink)
{
    struct plain_packet packet = plain_begin(broker, publication, false);
    if (packet.bytes_max == 0 || !plain_deliver(broker, sink, &packet)) return false;
    plain_end(broker, &packet);
    return true;
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

_Static_assert(PLAIN_RUN_BYTES >= RUN_BYTES_MAX + 2 * RUN_MESSAGES_MAX, "a packet of 5.0 has a byte more, and its remaining length one more at most");

/* Have so many bytes of packets room there, as they are? `qos`: theirs. */
static inline bool takes_packets(const struct sink *sink, uint32_t qos, uint32_t bytes)
{
    const struct session *session = sink->who;
    const struct conn *conn = session->conn;
    if (sink->qos < qos) qos = sink->qos;
    if (!conn || session->queue.count || session->unusual || sink->subscription_id || qos || session->packet_bytes_max - 1 < RUN_PACKET_BYTES_MAX) return false;
    const struct outbuf *out = conn->out;
    return !out || (out->bytes + out->pieces_bytes + bytes < STAGE_BYTES_MAX && out->pieces_count < OUTBUF_PIECES_MAX);
}

static inline bool takes_run(const struct sink *sink, const struct run *run)
{
    return !sink->who /* a hole */ || takes_packets(sink, run->qos, run->bytes);
}

/* As 5.0 has the packets. */
static uint32_t run_write_five(uint8_t *out, const struct run *run)
{
    const uint8_t *packet = run->packets;
    uint8_t *at = out;
    for (uint32_t i = 0; i < run->count; i++) {
        struct row_message message = run_next(&packet);
        at += row_write(at, false, true, &message);
    }
    return (uint32_t)(at - out);
}

static void run_count(struct broker_shard *broker, const struct run *run, uint32_t receivers)
{
    COUNT_BY(broker, packets_sent, (uint64_t)receivers * run->count);
    COUNT_BY(broker, publish_sent, (uint64_t)receivers * run->count);
    COUNT_BY(broker, publish_sent_bytes, receivers * run->payload_bytes);
}

/* All packets of a run to one who takes them; `ret_five`: the bytes of them in broker->plain.run as 5.0 has them, 0 before the first who wants them so. */
__attribute__((always_inline)) static inline void run_give(struct broker_shard *broker, struct session *session, const struct run *run, uint32_t *ret_five)
{
    bool five = session->version == MQTT_5;
    if (UNLIKELY(five) && *ret_five == 0) *ret_five = run_write_five(broker->plain.run, run);
    uint32_t bytes = five ? *ret_five : run->bytes;
    const uint8_t *packets = five ? broker->plain.run : run->packets;
    uint8_t *out = conn_reserve(broker->shard, session->conn, bytes);
    if (run->count == 1)
        span_copy_short(out, span_of(packets, bytes));
    else
        memcpy(out, packets, bytes);
    conn_commit(session->conn, bytes);
    session->queue.sent += run->count;
}

__attribute__((noinline)) static bool run_deliver_many(struct broker_shard *broker, struct run whole, struct sinks_view view)
{
    const struct run *run = &whole;
    for (uint32_t i = 0; i < view.count; i++) {
        if (i + 4 < view.count) __builtin_prefetch(view.sinks[i + 4].who);
        if (!takes_run(&view.sinks[i], run)) return false;
    }
    uint32_t bytes_of_five = 0, sent = 0;
    for (uint32_t i = 0; i < view.count; i++) {
        if (!view.sinks[i].who) continue;
        run_give(broker, view.sinks[i].who, run, &bytes_of_five);
        sent++;
    }
    run_count(broker, run, sent);
    if (UNLIKELY(view.count >= FANOUT_WORK)) shard_turn_work(broker->shard, view.count / FANOUT_WORK);
    return true;
}

bool publication_run_deliver(struct broker_shard *broker, const struct lane_cell *cells)
{
    const struct run run = run_of(cells);
    struct sinks_view view = sinks_get(broker->sinks, (uint32_t)cells->b);
    if (UNLIKELY(!run_is_plain(broker, &run)) || (run.qos && run.count == 1)) return false; /* hardly pays */
    if (view.count != 1 || UNLIKELY(!view.sinks->who)) return run_deliver_many(broker, run, view);
    uint32_t bytes_of_five = 0;
    if (!takes_packets(view.sinks, run.qos, run.bytes)) return false;
    run_give(broker, view.sinks->who, &run, &bytes_of_five);
    run_count(broker, &run, 1);
    return true;
}
