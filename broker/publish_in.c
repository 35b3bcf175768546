/* publish_in.c - a client's PUBLISH: what it says, whether it may, what its client is told. What becomes of it then: publish.c.
 *
 *     topic ─► gates ─► counted ─► QoS 2: new? ─► may it be given out? ─► publication_publish() ─► PUBACK, PUBREC
 *
 * Each step that somebody must have switched on costs one bit test where nobody has. */
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/fanout.h"
#include "broker/mount.h"

/* The reason a PUBLISH is refused for, or SUCCESS. */
static enum mqtt_reason publish_check(const struct broker_shard *broker, const struct session *session,
                                      const struct mqtt_publish *publish)
{
    if (LIKELY(!broker->limits_narrow)) return MQTT_REASON_SUCCESS; /* no listener of any client here narrows this */
    const struct limits *limits = limits_of(broker, session->conn);
    if (publish->qos > limits->qos_max) return MQTT_REASON_QOS_NOT_SUPPORTED;          /* [MQTT-3.2.2-11] */
    if (publish->retain && !limits->retain_available) return MQTT_REASON_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-14] */
    return MQTT_REASON_SUCCESS;
}

static enum mqtt_reason resolve_topic(struct session *session, const struct mqtt_publish *publish,
                                      struct span *ret_topic)
{
    *ret_topic = publish->topic;
    if (LIKELY(!mqtt_has(&publish->properties, MQTT_PROPERTY_TOPIC_ALIAS))) return MQTT_REASON_SUCCESS;
    return mqtt_alias_in_resolve(&session->aliases_in, publish->properties.topic_alias, publish->topic, ret_topic);
}

/* The properties that travel on (§3.3.2.3), in the shard's scratch. */
static struct span forwardable(struct broker_shard *broker, const struct mqtt_properties *properties)
{
    if (LIKELY(properties->raw.bytes == 0)) return span_of(NULL, 0);
    size_t bytes = mqtt_properties_forward_bytes(properties->raw);
    if (bytes > broker->properties_capacity) {
        broker->properties_capacity = bytes * 2;
        broker->properties = memory_resize(broker->properties, broker->properties_capacity);
    }
    if (bytes) mqtt_properties_forward(broker->properties, properties->raw);
    return span_of(broker->properties, bytes);
}

static uint64_t expires_ms(const struct broker_shard *broker, const struct mqtt_properties *properties)
{
    uint32_t ceiling_s = broker->settings->mqtt.message_expiry_max_s;
    uint32_t expiry_s = ceiling_s;
    if (mqtt_has(properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        expiry_s = properties->message_expiry_s;
        if (ceiling_s && ceiling_s < expiry_s) expiry_s = ceiling_s;
        if (expiry_s == 0) return broker->shard->now_ms + 1; /* an interval of 0: only for who takes it at once */
    }
    return expiry_s ? broker->shard->now_ms + (uint64_t)expiry_s * 1000 : 0;
}

/* $SYS is the broker's own; a client that publishes there is told so. */
static bool topic_reserved(struct span topic)
{
    return topic.bytes >= 5 && topic.data[0] == '$' && memcmp(topic.data, "$SYS/", 5) == 0;
}

static uint64_t sample_begin(struct shard *shard)
{
    uint64_t now_ns = shard->group->verbs->monotonic_ns(shard->ring);
    spread_record(&shard->spreads[SPREAD_stage_decode], now_ns - shard->now_ns);
    shard->sampling = true;
    return now_ns;
}

static void sample_end(const struct broker_shard *broker, const struct session *session, struct span topic, uint64_t decoded_ns)
{
    struct shard *shard = broker->shard;
    uint64_t now_ns = shard->group->verbs->monotonic_ns(shard->ring);
    spread_record(&shard->spreads[SPREAD_stage_route], now_ns - decoded_ns);
    shard->sampling = false;
    shard->sampled_named = broker->settings->metrics.exemplars;
    if (shard->sampled_named) {
        exemplar_names_set(&shard->sampled_names, topic, session_client_id(session));
        exemplars_put(&shard->exemplars[SHARD_EXEMPLARS_stage_route], now_ns - decoded_ns, shard->now_ms, &shard->sampled_names);
    }
    shard->sampled_ns = now_ns;
}

/* Asks the gates, unless it is a QoS 2 message that was let in the first time. */
static inline enum gate_result ask_gates(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, struct span topic,
                                         enum mqtt_reason *ret_denied)
{
    const struct features_shard *shard = atomic_load_explicit(&broker->features, memory_order_relaxed); /* this shard's own */
    bool traced = UNLIKELY(broker->extras_bits & EXTRA_TRACE); /* it wants each verdict, and who has spoken it */
    if (LIKELY(features_passed(shard, session->facts, publish, topic, broker->shard->now_ms)) && !traced) {
        COUNT(broker, gates_remembered);
        PROBE(publish, session->facts->client_id.data, session->facts->client_id.bytes, FEATURE_ALLOW, 0);
        return GATE_PASSED;
    }
    if (publish->qos == 2 && mqtt_incoming_has(&session->incoming, publish->packet_id)) return GATE_PASSED;
    return features_publish(broker, session, publish, topic, ret_denied);
}

static void count(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish)
{
    if (UNLIKELY(session->metered)) rates_published(broker, session, publish->topic.bytes + publish->payload.bytes);
    COUNT(broker, publish_received);
    COUNT_BY(broker, publish_received_bytes, publish->payload.bytes);
    session->published++;
    session->published_bytes += publish->payload.bytes;
}

/* It was not taken after all, and its client is disconnected. */
static enum mqtt_reason not_taken(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, enum mqtt_reason reason,
                                  const char *what)
{
    if (publish->qos == 2) mqtt_incoming_remove(&session->incoming, publish->packet_id);
    packet_error(broker, session->conn, reason, what);
    return reason;
}

static enum durable_keeps keeps(const struct mqtt_publish *publish, bool delayed)
{
    return delayed ? DURABLE_KEEPS : !publish->retain ? DURABLE_KEEPS_NOT : publish->payload.bytes ? DURABLE_KEEPS : DURABLE_CLEARS;
}

/* Brings the topic into its final form and says why the message is not given out, or SUCCESS. May end the connection. */
static enum mqtt_reason settle_topic(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish,
                                     struct publication *publication, bool delayed)
{
    enum mqtt_reason denied = MQTT_REASON_SUCCESS;
    if (UNLIKELY(broker->extras_bits & EXTRA_REWRITE_PUBLISH)) denied = extras_rewrite_topic(broker, session, &publication->topic);
    if (UNLIKELY(denied)) return denied; /* logged and counted */
    bool reserved = topic_reserved(publication->topic);
    if (UNLIKELY(session->mounted)) {
        publication->topic = mount_topic(broker, session, publication->topic);
        if (publication->topic.bytes == 0)
            return not_taken(broker, session, publish, MQTT_REASON_TOPIC_NAME_INVALID, "too long with the mount point");
    }
    if (UNLIKELY(durable_shut(broker)) && durable_turns_away(broker, session, publication->topic, publish->qos, keeps(publish, delayed))) {
        if (session->version < MQTT_5) /* 3.x has no reason codes: its client sends it again on its next connection */
            return not_taken(broker, session, publish, MQTT_REASON_QUOTA_EXCEEDED, "the disk takes nothing");
        return MQTT_REASON_QUOTA_EXCEEDED;
    }
    if (LIKELY(!reserved)) return MQTT_REASON_SUCCESS;
    drop_note(broker, DROP_reserved_topic, session, publication->topic, 1);
    LOG_LIMITED(WARN, 1000, "message dropped", "reason=reserved_topic client=%s topic=%s", log_quoted(session_client_id(session)),
                log_quoted(publication->topic));
    return MQTT_REASON_NOT_AUTHORIZED;
}

/* Somebody wants to know of messages that come in. */
static void noticed(struct broker_shard *broker, const struct mqtt_publish *publish, struct publication *publication, uint32_t delay_s)
{
    if (broker->extras_bits & EXTRA_METRICS) extras_count(broker, publication->topic, METRIC_IN_0 + publish->qos);
    if (broker->extras_bits & EXTRA_TRACE) trace_published(broker, publication, delay_s);
}

/* To all who want it; returns what the acknowledgement says. */
static enum mqtt_reason give_out(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish,
                                 struct publication *publication, uint32_t delay_s)
{
    enum mqtt_reason answer = MQTT_REASON_SUCCESS;
    publication->properties = forwardable(broker, &publish->properties);
    publication->payload = publish->payload;
    publication->expires_ms = expires_ms(broker, &publish->properties);
    publication->identity = 0;
    publication->publisher_conn = conn_name(session->conn);
    publication->publisher_hash = session->client_hash;
    publication->publisher = session;
    publication->message = publication->lent = NULL;
    publication->qos = publish->qos;
    publication->retain = publish->retain;
    publication->congested = false;
    if (UNLIKELY(publish->qos == 2 || broker->durable_doors & DURABLE_LOOKS) && broker->durable)
        durable_publish_begin(broker, session, publication, publish->packet_id);
    if (UNLIKELY(broker->extras_bits & (EXTRA_METRICS | EXTRA_TRACE))) noticed(broker, publish, publication, delay_s);
    bool sample = UNLIKELY(broker_stats(broker)->publish_received % PUBLISH_SAMPLED_EVERY == 0);
    uint64_t decoded_ns = sample ? sample_begin(broker->shard) : 0;
    if (UNLIKELY(delay_s))
        answer = delayed_keep(broker, publication, delay_s); /* counts why not */
    else if (!publication_publish(broker, publication))
        answer = MQTT_REASON_NO_MATCHING_SUBSCRIBERS;
    if (UNLIKELY(sample)) sample_end(broker, session, publication->topic, decoded_ns);
    if (UNLIKELY(publication->congested || broker->shard->overload.level >= OVERLOAD_SLOW)) publisher_pause(broker, session);
    publication_end(broker->shard, publication);
    return answer;
}

static void acknowledge(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, struct publication *publication,
                        enum mqtt_reason answer)
{
    if (publish->qos == 2 && mqtt_reason_is_error(answer)) mqtt_incoming_remove(&session->incoming, publish->packet_id);
    enum mqtt_packet_type type = publish->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;
    if (UNLIKELY(broker->answers_wait) && durable_answer_may_wait(session, publication) &&
        durable_publish_answer(broker, session, publication, type, publish->packet_id, answer)) return;
    ack_send(broker, session, type, publish->packet_id, answer);
}

enum mqtt_reason publish_judge(const struct broker_shard *broker, const struct session *session, const struct mqtt_publish *publish)
{
    return publish_check(broker, session, publish);
}

bool publish_handle(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish)
{
    struct conn *conn = session->conn;
    struct publication publication;
    uint32_t delay_s = 0;
    if (UNLIKELY(broker->slow_work & SLOW_FANOUT) && fanout_waits(broker, session)) return true;
    enum mqtt_reason refused = publish_check(broker, session, publish), answer = MQTT_REASON_SUCCESS;
    if (UNLIKELY(refused)) return packet_error(broker, conn, refused, "PUBLISH beyond what CONNACK offered"), false;
    enum mqtt_reason unresolved = resolve_topic(session, publish, &publication.topic);
    if (UNLIKELY(unresolved)) return packet_error(broker, conn, unresolved, "topic alias"), false;
    if (pressure_any(broker) && pressure_holds(broker, session, publication.topic)) return true;
    if (UNLIKELY(broker->extras_bits & EXTRA_DELAYED)) answer = delayed_split(broker, session, &publication.topic, &delay_s);
    if (!answer && feature_attached(broker, FEATURE_GATE(publish))) {
        enum gate_result result = ask_gates(broker, session, publish, publication.topic, &answer);
        if (result == GATE_UNREAD) return true;
        if (result == GATE_DONE) return false;
    }
    count(broker, session, publish);

    enum mqtt_incoming_verdict verdict = publish->qos == 2 ? mqtt_incoming_add(&session->incoming, publish->packet_id) : MQTT_INCOMING_NEW;
    if (UNLIKELY(verdict == MQTT_INCOMING_EXCEEDED))
        return packet_error(broker, conn, MQTT_REASON_RECEIVE_MAXIMUM_EXCEEDED, "more QoS 2 messages than allowed"), false;
    if (UNLIKELY(verdict == MQTT_INCOMING_DUPLICATE))
        return ack_send(broker, session, MQTT_PUBREC, publish->packet_id, MQTT_REASON_SUCCESS), false;

    publication.stored = 0;
    if (UNLIKELY(broker->answers_wait)) durable_publication_init(&publication, publish->qos); /* without it nobody looks at what else a publication has for it */
    if (LIKELY(!answer)) {
        answer = settle_topic(broker, session, publish, &publication, delay_s > 0);
        if (UNLIKELY(answer) && conn->state != CONN_OPEN) return false;
    }
    if (LIKELY(!answer))
        answer = give_out(broker, session, publish, &publication, delay_s);
    else
        reasons_add(&broker->reasons, REASONS_publish, (uint8_t)answer);
    if (publish->qos) acknowledge(broker, session, publish, &publication, answer);
    return false;
}
