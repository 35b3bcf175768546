/* publish_again.c - PUBLISH packets that follow one in the same receive and are like it: same topic, same QoS, no properties.
 *
 * publish_handle() has just settled everything for the first of them. What it would find out about the others is the same, so they need neither its
 * questions nor the decoder: their bytes are compared, and go to their receiver as they came, but for the packet id.
 *
 *     like the first? ─► whose turn? ─► its stage, its window ─► PUBACK
 *
 * Only where nobody could tell the difference (again_begin()): it is not counted by topic, traced, kept or rewritten, gates have said what holds, and one client gets it: the
 * only subscriber, or in a shared group of this shard the next in turn. Whatever does not fit (another topic, a full window, the message
 * that is sampled) ends it, and is handled the usual way. Whoever adds a question to the usual way (publish_in.c, deliver_plain.c) has to add it here. */
#include "broker/broker.h"
#include "proto/encode.h"

#define PACKET_BYTES_MAX 512 /* larger ones gain nothing, or are lent (deliver_plain.c) */

struct again {
    struct broker_shard *broker;
    const struct session *publisher;
    struct conn *conn;       /* the publisher's */
    struct span topic;
    struct sinks_view view;  /* the receiver, or the members */
    uint64_t *turn;          /* of the group; NULL: there is one receiver */
    uint32_t around_bytes;   /* of what the remaining length counts all but topic and payload */
    uint32_t packet_bytes_max, payload_bytes_max;
    uint32_t messages, payload_bytes; /* handled so far */
    uint8_t first_byte, qos;
    bool five, gated;
};

/* ---- may it be? ------------------------------------------------------------------------------------------------- */

static bool packet_is_plain(const struct mqtt_publish *publish)
{
    return publish->qos <= 1 && !publish->dup && !publish->retain && publish->topic.bytes && publish->topic.data[0] != '$' /* delayed, the broker's own */
           && publish->properties.raw.bytes == 0 && publish->topic.bytes < PACKET_BYTES_MAX;
}

/* The gates have let the first one pass, and that holds in this turn. */
static bool gates_let_pass(const struct broker_shard *broker, const struct session *session, const struct mqtt_publish *publish)
{
    const struct features_shard *shard = atomic_load_explicit(&broker->features, memory_order_relaxed); /* this shard's own */
    return features_passed(shard, session->facts, publish, publish->topic, broker->shard->now_ms);
}

/* Nobody counts it, changes it, keeps it or holds it up. With a store: a receiver that is not durable keeps nothing, and a publisher that has nothing there has no
 * answer that waits (durable_answer_may_wait()). */
static bool nobody_looks(const struct broker_shard *broker, const struct session *session)
{
    bool changed = (broker->extras_bits & (EXTRA_REWRITE_PUBLISH | EXTRA_METRICS | EXTRA_TRACE)) || session->mounted || session->metered ||
                   broker->settings->mqtt.message_expiry_max_s;
    bool kept = broker->durable_doors || session->durable;
    bool held = pressure_any(broker) || (broker->slow_work & SLOW_FANOUT) || broker->scouts || broker->shard->overload.level >= OVERLOAD_SLOW;
    return !changed && !kept && !held;
}

/* One receiver, or one group all of whose members are here and take turns. */
static bool find_receiver(struct again *again)
{
    struct broker_shard *broker = again->broker;
    const struct match_set *set = match_cache_lookup(broker->matches, again->topic);
    if (set->others_count || set->local_ids_count + set->groups_count != 1) return false;
    if (set->local_ids_count) {
        again->view = sinks_get(broker->sinks, set->local_ids[0]);
        return again->view.count == 1 && !(again->view.sinks->no_local && again->view.sinks->who == again->publisher);
    }
    const struct route_group *group = set->groups;
    if (group->targets_count != 1 || group->targets->target != broker->shard->number) return false;
    again->view = sinks_get(broker->sinks, group->targets->local_id);
    again->turn = share_member_turn(broker->share, (enum share_strategy)group->strategy, group->targets->local_id);
    return again->turn && again->view.count;
}

static bool again_begin(struct again *again, struct broker_shard *broker, const struct session *session, const struct mqtt_publish *publish)
{
    const struct shard *shard = broker->shard;
    bool gated = feature_attached(broker, FEATURE_GATE(publish));
    if (!packet_is_plain(publish) || !nobody_looks(broker, session) || (gated && !gates_let_pass(broker, session, publish))) return false;
    uint32_t packet_bytes_max = limits_of(broker, session->conn)->packet_bytes_max; /* 0: none */
    bool five = session->version == MQTT_5;
    *again = (struct again){.broker = broker, .publisher = session, .conn = session->conn, .topic = publish->topic, .qos = publish->qos, .five = five, .gated = gated,
                            .first_byte = mqtt_publish_first_byte(publish->qos, false, false),
                            .around_bytes = 2 + (publish->qos ? 2u : 0u) + five, /* topic length, packet id, length of no properties */
                            .packet_bytes_max = packet_bytes_max - 1 < PACKET_BYTES_MAX ? packet_bytes_max : PACKET_BYTES_MAX,
                            .payload_bytes_max = shard->receiving.bytes ? shard->lends_from / LENDS_SHARE - 1 : PACKET_BYTES_MAX};
    return find_receiver(again);
}

/* ---- one of them ------------------------------------------------------------------------------------------------ */

struct next {
    struct span packet, payload;
    uint32_t id_at;
    uint16_t packet_id;
};

/* The packet at the beginning of `bytes`; false: it is not there whole, or not like the first, or wrong. */
static inline bool next_is_like(const struct again *again, struct span bytes, struct next *ret_next)
{
    const uint8_t *at = bytes.data;
    if (bytes.bytes < 3 || at[0] != again->first_byte) return false;
    uint32_t length = at[1], head_bytes = 2;
    if (length & 128) {
        if (at[2] == 0 || at[2] & 128) return false; /* longer than it need be, or than it may be here */
        length = (length & 127) | (uint32_t)at[2] << 7;
        head_bytes = 3;
    }
    uint32_t packet_bytes = head_bytes + length, before = again->around_bytes + (uint32_t)again->topic.bytes;
    if (packet_bytes > bytes.bytes || packet_bytes > again->packet_bytes_max || length < before || length - before > again->payload_bytes_max) return false;
    at += head_bytes;
    if ((uint32_t)(at[0] << 8 | at[1]) != again->topic.bytes || !span_same_bytes(at + 2, again->topic.data, again->topic.bytes)) return false;
    at += 2 + again->topic.bytes;
    ret_next->id_at = (uint32_t)(at - bytes.data);
    ret_next->packet_id = 0;
    if (again->qos) {
        ret_next->packet_id = (uint16_t)(at[0] << 8 | at[1]);
        if (ret_next->packet_id == 0) return false;
        at += 2;
    }
    if (again->five && *at++ != 0) return false; /* it has properties */
    ret_next->packet = span_of(bytes.data, packet_bytes);
    ret_next->payload = span_of(at, length - before);
    return true;
}

/* What plain_deliver() asks, and that it gets the very packet. */
static inline bool takes_as_it_is(const struct again *again, const struct sink *sink)
{
    const struct session *session = sink->who;
    if (UNLIKELY(!session)) return false;
    const struct conn *conn = session->conn;
    if (UNLIKELY(!conn) || session->queue.count || session->unusual || sink->subscription_id || UNLIKELY(!conn_has_room(conn))) return false;
    if (sink->qos < again->qos || (session->version == MQTT_5) != again->five || session->packet_bytes_max - 1 < PACKET_BYTES_MAX) return false;
    return again->qos == 0 || LIKELY(!mqtt_inflight_full(&session->inflight));
}

/* NULL: the usual way finds somebody. */
static inline const struct sink *whose_turn(const struct again *again)
{
    if (!again->turn) return takes_as_it_is(again, again->view.sinks) ? again->view.sinks : NULL;
    if (*again->turn >= again->view.count) *again->turn %= again->view.count;
    const struct sink *sink = &again->view.sinks[*again->turn];
    if (!takes_as_it_is(again, sink)) return NULL;
    ++*again->turn;
    return sink;
}

static inline void deliver(const struct again *again, const struct sink *sink, const struct next *next)
{
    struct shard *shard = again->broker->shard;
    struct session *session = sink->who;
    struct conn *conn = session->conn;
    uint8_t *out = conn_reserve(shard, conn, (uint32_t)next->packet.bytes);
    span_copy_short(out, next->packet);
    conn_commit(conn, (uint32_t)next->packet.bytes);
    session->queue.sent++;
    if (again->qos == 0) return;
    struct message *message = message_make_small(shard, again->topic, next->payload, conn_name(again->conn), again->qos);
    struct delivery delivery = delivery_plain(message, 1, (uint32_t)shard->now_ms);
    mqtt_put_u16(out + next->id_at, mqtt_inflight_add(&session->inflight, (void *)(uintptr_t)delivery.tagged, 1, delivery.ids));
    conn->urgent = true; /* its acknowledgements make room */
}

static inline void acknowledge(const struct again *again, uint16_t packet_id)
{
    uint8_t *out = conn_reserve(again->broker->shard, again->conn, MQTT_ACK_BYTES);
    conn_commit(again->conn, (uint32_t)mqtt_write_ack(out, MQTT_PUBACK, packet_id));
}

static void again_end(const struct again *again, struct session *publisher)
{
    struct broker_shard *broker = again->broker;
    uint32_t messages = again->messages, acknowledged = again->qos ? messages : 0;
    publisher->published += messages;
    publisher->published_bytes += again->payload_bytes;
    COUNT_BY(broker, packets_received, messages);
    COUNT_BY(broker, publish_received, messages);
    COUNT_BY(broker, publish_received_bytes, again->payload_bytes);
    COUNT_BY(broker, publish_sent, messages);
    COUNT_BY(broker, publish_sent_bytes, again->payload_bytes);
    COUNT_BY(broker, packets_sent, messages + acknowledged);
    COUNT_BY(broker, inflight_messages, acknowledged);
    if (UNLIKELY(again->gated)) COUNT_BY(broker, gates_remembered, messages);
}

bool publish_again(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, struct span bytes, size_t *ret_consumed)
{
    struct again again;
    struct shard *shard = broker->shard;
    struct next next;
    *ret_consumed = 0;
    if (!again_begin(&again, broker, session, publish)) return false;
    uint32_t most = PUBLISH_SAMPLED_EVERY - 1 - (uint32_t)(broker_stats(broker)->publish_received % PUBLISH_SAMPLED_EVERY);
    while (again.messages < most && next_is_like(&again, span_skip(bytes, *ret_consumed), &next)) {
        const struct sink *sink = whose_turn(&again);
        if (UNLIKELY(!sink)) break;
        if (UNLIKELY(again.gated)) PROBE(publish, session->facts->client_id.data, session->facts->client_id.bytes, FEATURE_ALLOW, 0);
        deliver(&again, sink, &next);
        if (again.qos) acknowledge(&again, next.packet_id);
        *ret_consumed += next.packet.bytes;
        again.messages++;
        again.payload_bytes += (uint32_t)next.payload.bytes;
        shard->turn_packets++;
        if (UNLIKELY(shard_turn_spent(shard))) break;
    }
    if (again.messages) again_end(&again, session);
    return again.messages || most == 0;
}
