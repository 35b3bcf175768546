/* rows.h - messages to one subscriber after another, the shortest way out: packets that are like the one before them (publish_again.c), and what comes from
 * another shard together (runs.c).
 *
 * A row goes to the only subscriber of a filter, or to the members of a shared group by turns. What holds for all of its messages is asked once, by who begins it: nobody
 * counts or traces what goes out, none is retained, has properties or an expiry, or is kept on a disk. What row_next() asks for each is what plain_deliver() asks
 * (deliver_plain.c); whoever adds a question there has to add it here. What it does not take goes the usual way, and the row may go on behind it.
 *
 * Owner, threads: the shard. Lifetime: of the row, no longer than nobody subscribes or leaves; `turn` as share_member_turn() says. */
#ifndef RINGMQ_BROKER_ROWS_H
#define RINGMQ_BROKER_ROWS_H

#include "broker/broker.h"
#include "proto/encode.h"

#define ROW_FORM_BYTES 4 /* packet id, length of no properties, a longer remaining length: by so much a packet grows that is written as another receiver wants it */

#define ROW_PACKET_BYTES_MAX 512 /* of a row, for any receiver; larger ones gain nothing, or are lent (deliver_plain.c) */

struct row {
    struct broker_shard *broker;
    struct sinks_view view;     /* the receiver, or the members */
    uint64_t *turn;             /* of the members; NULL: there is one receiver, or they take no turns */
    uint64_t publisher_conn;    /* name of the publisher's connection */
    uint8_t qos;                /* of the messages: 0 or 1 */
    bool with_id, five;         /* so are their packets: as QoS 1 has them, with the length of no properties */
    uint32_t messages, in_windows;
    uint64_t payload_bytes;
};

struct row_message {
    struct span packet, topic, payload;
};

/* Now, and as it is? */
__attribute__((always_inline)) static inline bool row_takes(const struct row *row, const struct sink *sink)
{
    const struct session *session = sink->who;
    if (UNLIKELY(!session)) return false;
    const struct conn *conn = session->conn;
    if (UNLIKELY(!conn) || session->queue.count || session->unusual || sink->subscription_id || UNLIKELY(!conn_has_room(conn))) return false;
    if (session->packet_bytes_max - 1 < ROW_PACKET_BYTES_MAX) return false; /* 0: no maximum, and above all of them */
    return row->qos == 0 || sink->qos == 0 || LIKELY(!mqtt_inflight_full(&session->inflight));
}

/* Who gets the next message, of a row that has somebody; NULL: the usual way finds somebody. */
__attribute__((always_inline)) static inline const struct sink *row_next(const struct row *row)
{
    DCHECK(row->turn ? row->view.count > 0 : row->view.count == 1);
    if (!row->turn) return row_takes(row, row->view.sinks) ? row->view.sinks : NULL;
    if (*row->turn >= row->view.count) *row->turn %= row->view.count;
    const struct sink *sink = &row->view.sinks[*row->turn];
    if (!row_takes(row, sink)) return NULL;
    ++*row->turn;
    return sink;
}

/* The packet as somebody wants it, the id left open. Returns its bytes. */
static inline uint32_t row_write(uint8_t *out, bool with_id, bool five, const struct row_message *message)
{
    uint8_t *at = out + mqtt_write_publish_head(out, mqtt_publish_first_byte(with_id, false, false), message->topic, 0, message->payload.bytes + five);
    if (five) *at++ = 0; /* no properties */
    return (uint32_t)(span_copy_short(at, message->payload) - out);
}

/* To who takes it. */
__attribute__((always_inline)) static inline void row_deliver(struct row *row, const struct sink *sink, const struct row_message *message)
{
    struct shard *shard = row->broker->shard;
    struct session *session = sink->who;
    struct conn *conn = session->conn;
    uint32_t bytes = (uint32_t)message->packet.bytes, payload_bytes = (uint32_t)message->payload.bytes;
    bool five = session->version == MQTT_5, lower = sink->qos < row->qos, with_id = row->qos && !lower;
    uint8_t *out = conn_reserve(shard, conn, bytes + ROW_FORM_BYTES);
    if (LIKELY(five == row->five) && LIKELY(with_id == row->with_id))
        span_copy_short(out, message->packet);
    else
        bytes = row_write(out, with_id, five, message);
    conn_commit(conn, bytes);
    session->queue.sent++;
    row->messages++;
    row->payload_bytes += payload_bytes;
    if (!with_id) return;
    struct message *kept = message_make_small(shard, message->topic, message->payload, row->publisher_conn, row->qos);
    struct delivery delivery = delivery_plain(kept, 1, (uint32_t)shard->now_ms);
    mqtt_put_u16(out + bytes - payload_bytes - five - 2, mqtt_inflight_add(&session->inflight, (void *)(uintptr_t)delivery.tagged, 1, delivery.ids));
    conn->urgent = true; /* its acknowledgements make room */
    row->in_windows++;
}

static inline void row_end(const struct row *row)
{
    struct broker_shard *broker = row->broker;
    COUNT_BY(broker, packets_sent, row->messages);
    COUNT_BY(broker, publish_sent, row->messages);
    COUNT_BY(broker, publish_sent_bytes, row->payload_bytes);
    COUNT_BY(broker, inflight_messages, row->in_windows);
}

#endif
