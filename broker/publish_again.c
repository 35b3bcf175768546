/* publish_again.c - PUBLISH packets that follow one in the same receive and are like it: same topic, same QoS, no properties.
 *
 * publish_handle() has just settled everything for the first of them. What it would find out about the others is the same, so they need neither its
 * questions nor the decoder: their bytes are compared, and go to their receiver as they came, but for the packet id.
 *
 *     like the first? ─► here: whose turn? ─► its stage, its window (rows.h) ─► PUBACK
 *                     └► on another shard: the run at the lane's end (run_send.h) ─┘
 *
 * Only where nobody could tell the difference (again_may()): it is not counted by topic, traced, kept or rewritten, gates have said what
 * holds, and it goes one way: to the only subscriber, in a shared group of this shard to the next in turn, or to one filter or group of another
 * shard. Whatever does not fit (another topic, a full window or lane, the message that is sampled) ends the row, and is handled the usual way.
 * Whoever adds a question to the usual way (publish_in.c, publish.c, deliver_plain.c) has to add it here, nobody_looks(), or in rows.h. */
#include "broker/broker.h"
#include "broker/rows.h"
#include "broker/run_send.h"
#include "proto/encode.h"

#define PACKET_BYTES_MAX (ROW_PACKET_BYTES_MAX - ROW_FORM_BYTES)

struct again {
    struct row row;          /* whose messages, how many so far, and to whom of this shard */
    const struct session *publisher;
    struct conn *conn;       /* the publisher's */
    struct span topic;
    uint32_t to;             /* the other shard, if they cross; then: */
    uint8_t run_kind;        /* enum record_kind; 0: their receivers are here */
    uint64_t run_what;       /* as run_place() wants it */
    struct run_pen pen;
    uint32_t around_bytes;   /* of what the remaining length counts all but topic and payload */
    uint32_t packet_bytes_max, payload_bytes_max;
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

/* To another shard; false: its messages are too long for a run, or may have to be kept there. */
static bool crosses(struct again *again, uint32_t to, enum record_kind kind, uint64_t what)
{
    uint32_t topic_bytes = (uint32_t)again->topic.bytes, most = RUN_REMAINING_BYTES_MAX - 2;
    if (topic_bytes > most || (again->qos && again->row.broker->durable)) return false;
    if (again->payload_bytes_max > most - topic_bytes) again->payload_bytes_max = most - topic_bytes;
    again->to = to;
    again->run_kind = (uint8_t)kind;
    again->run_what = run_what(what, again->qos);
    return true;
}

/* One filter: its only subscriber here, or all it has there. */
static bool find_filter(struct again *again, const struct match_set *set)
{
    if (set->others_count) return set->others->ids_count == 1 && crosses(again, set->others->target, RECORD_PUBLISH_RUN, set->others->ids[0]);
    struct sinks_view view = again->row.view = sinks_get(again->row.broker->sinks, set->local_ids[0]);
    return view.count == 1 && !(view.sinks->no_local && view.sinks->who == again->publisher);
}

/* One group: its members are on one shard, and where that is this one they take turns. */
static bool find_group(struct again *again, const struct route_group *group)
{
    struct broker_shard *broker = again->row.broker;
    const struct route_target *target = group->targets;
    enum share_strategy strategy = group->strategy;
    if (group->targets_count != 1) return false;
    if (target->target != broker->shard->number)
        return !share_hashes(strategy) && crosses(again, target->target, RECORD_PUBLISH_SHARED_RUN, run_group(target->local_id, group->strategy));
    again->row.view = sinks_get(broker->sinks, target->local_id);
    again->row.turn = share_member_turn(broker->share, strategy, target->local_id);
    return again->row.turn && again->row.view.count;
}

static bool find_receiver(struct again *again)
{
    const struct match_set *set = match_cache_lookup(again->row.broker->matches, again->topic);
    if (set->local_ids_count + set->others_count + set->groups_count != 1) return false;
    return set->groups_count ? find_group(again, set->groups) : find_filter(again, set);
}

static struct again again_of(struct broker_shard *broker, const struct session *session, const struct mqtt_publish *publish)
{
    const struct shard *shard = broker->shard;
    uint32_t lent_from = shard->receiving.bytes ? shard->lends_from / LENDS_SHARE : 0; /* payloads; 0: none */
    bool gated = feature_attached(broker, FEATURE_GATE(publish));
    uint32_t packet_bytes_max = limits_of(broker, session->conn)->packet_bytes_max; /* 0: none */
    bool five = session->version == MQTT_5;
    return (struct again){.row = {.broker = broker, .publisher_conn = conn_name(session->conn), .qos = publish->qos, .with_id = publish->qos > 0, .five = five},
                          .publisher = session, .conn = session->conn, .topic = publish->topic, .qos = publish->qos, .five = five, .gated = gated,
                          .first_byte = mqtt_publish_first_byte(publish->qos, false, false),
                          .around_bytes = 2 + (publish->qos ? 2u : 0u) + five, /* topic length, packet id, length of no properties */
                          .packet_bytes_max = packet_bytes_max - 1 < PACKET_BYTES_MAX ? packet_bytes_max : PACKET_BYTES_MAX,
                          .payload_bytes_max = lent_from ? lent_from - 1 : PACKET_BYTES_MAX};
}

static bool again_may(struct again *again, const struct mqtt_publish *publish)
{
    struct broker_shard *broker = again->row.broker;
    return nobody_looks(broker, again->publisher) && (!again->gated || gates_let_pass(broker, again->publisher, publish)) && find_receiver(again);
}

/* ---- one of them ------------------------------------------------------------------------------------------------ */

/* The packet at the beginning of `bytes`; false: it is not there whole, or not like the first, or wrong. Inlined where it is asked
 * first, and in the loop. */
__attribute__((always_inline)) static inline bool next_is_like(const struct again *again, struct span bytes, struct row_message *ret_next, uint16_t *ret_id)
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
    if (again->qos) {
        *ret_id = (uint16_t)(at[0] << 8 | at[1]);
        if (*ret_id == 0) return false;
        at += 2;
    }
    if (again->five && *at++ != 0) return false; /* it has properties */
    ret_next->packet = span_of(bytes.data, packet_bytes);
    ret_next->payload = span_of(at, length - before);
    return true;
}

__attribute__((noinline)) static uint8_t *place_anew(struct again *again, uint32_t remaining, uint32_t payload_bytes)
{
    return run_pen_place(&again->pen, again->row.broker->shard, again->to, again->run_kind, again->run_what, again->row.publisher_conn, remaining, payload_bytes);
}

/* Into the run that goes there; false: the lane does not take it that easily. */
static inline bool send_across(struct again *again, const struct row_message *next)
{
    struct row *row = &again->row;
    uint32_t payload_bytes = (uint32_t)next->payload.bytes, remaining = 2 + (uint32_t)next->topic.bytes + payload_bytes;
    uint8_t *out = run_pen_room(&again->pen, remaining, payload_bytes);
    if (UNLIKELY(!out) && !(out = place_anew(again, remaining, payload_bytes))) return false;
    if (!row->with_id && !row->five)
        span_copy_short(out, next->packet);
    else
        run_packet_write(out, next->topic, next->payload, remaining);
    row->messages++;
    row->payload_bytes += payload_bytes;
    return true;
}

/* To its receiver; false: it does not take it now. */
static inline bool give(struct row *row, const struct row_message *next)
{
    const struct sink *sink = row_next(row);
    if (UNLIKELY(!sink)) return false;
    row_deliver(row, sink, next);
    return true;
}

static inline void acknowledge(const struct again *again, uint16_t packet_id)
{
    uint8_t *out = conn_reserve(again->row.broker->shard, again->conn, MQTT_ACK_BYTES);
    conn_commit(again->conn, (uint32_t)mqtt_write_ack(out, MQTT_PUBACK, packet_id));
}

static void again_end(const struct again *again, struct session *publisher)
{
    const struct row *row = &again->row;
    struct broker_shard *broker = row->broker;
    publisher->published += row->messages;
    publisher->published_bytes += row->payload_bytes;
    COUNT_BY(broker, packets_received, row->messages);
    COUNT_BY(broker, publish_received, row->messages);
    COUNT_BY(broker, publish_received_bytes, row->payload_bytes);
    if (again->qos) COUNT_BY(broker, packets_sent, row->messages);
    if (UNLIKELY(again->gated)) COUNT_BY(broker, gates_remembered, row->messages);
    if (!again->run_kind) row_end(row);
}

/* As many as there are, fit, and may be; two loops made of one. Returns their bytes. */
__attribute__((always_inline)) static inline size_t go_on(struct again *again, struct span bytes, uint32_t most, bool across)
{
    struct shard *shard = again->row.broker->shard;
    const struct session *session = again->publisher;
    struct row_message next = {.topic = again->topic};
    uint16_t packet_id = 0;
    size_t consumed = 0;
    while (again->row.messages < most && next_is_like(again, span_skip(bytes, consumed), &next, &packet_id)) {
        if (UNLIKELY(!(across ? send_across(again, &next) : give(&again->row, &next)))) break;
        if (UNLIKELY(again->gated)) PROBE(publish, session->facts->client_id.data, session->facts->client_id.bytes, FEATURE_ALLOW, 0);
        if (again->qos) acknowledge(again, packet_id);
        consumed += next.packet.bytes;
        shard->turn_packets++;
        if (UNLIKELY(shard_turn_spent(shard))) break;
    }
    return consumed;
}

__attribute__((noinline)) static size_t go_across(struct again *again, struct span bytes, uint32_t most)
{
    size_t consumed = go_on(again, bytes, most, true);
    run_pen_up(&again->pen);
    return consumed;
}

bool publish_again(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, struct span bytes, size_t *ret_consumed)
{
    struct row_message next;
    uint16_t packet_id;
    *ret_consumed = 0;
    if (!packet_is_plain(publish)) return false;
    struct again again = again_of(broker, session, publish);
    if (!next_is_like(&again, bytes, &next, &packet_id) || !again_may(&again, publish)) return false;
    uint32_t most = PUBLISH_SAMPLED_EVERY - 1 - (uint32_t)(broker_stats(broker)->publish_received % PUBLISH_SAMPLED_EVERY);
    *ret_consumed = again.run_kind ? go_across(&again, bytes, most) : go_on(&again, bytes, most, false);
    if (again.row.messages) again_end(&again, session);
    return again.row.messages || most == 0;
}
