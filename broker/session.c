/* session.c - a session's life: made, attached to a connection, detached, expired. */
#include "broker/session.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/delivery_queue.h"
#include "broker/fanout.h"
#include "broker/remains.h"

struct session *session_find(struct broker_shard *broker, struct span client_id)
{
    return map_find(&broker->sessions, client_id);
}

static void session_expired(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    struct session *session = CONTAINER_OF(timer, struct session, timer);
    DCHECK(!session->conn);
    if (UNLIKELY(broker->durable && broker->durable->restoring)) return shard_start_timer(broker->shard, timer, 1);
    if (UNLIKELY(session->durable && session->durable->prepared_count)) return; /* its client is about to get CONNACK */
    COUNT(broker, sessions_expired);
    if (UNLIKELY(session->traced)) trace_session(broker, TRACE_EVENT_session, session, &(struct trace_facts){.numbers = {TRACE_SESSION_EXPIRED}});
    LOG(INFO, "session expired", "client=%s", log_quoted(session_client_id(session)));
    session_destroy(broker, session);
}

/* Behind the last member, not behind the padding. */
static size_t session_bytes(size_t client_id_bytes) { return offsetof(struct session, client_id) + client_id_bytes; }

static struct session *session_make(struct broker_shard *broker, struct span client_id)
{
    struct session *session = pool_acquire_zeroed(&broker->shard->pool, session_bytes(client_id.bytes));
    memcpy(session->client_id, client_id.data, client_id.bytes);
    session->client_id_bytes = (uint16_t)client_id.bytes;
    session->client_hash = hash_span(client_id);
    timer_init(&session->timer, session_expired);
    mqtt_inflight_init(&session->inflight, UINT16_MAX);
    mqtt_incoming_init(&session->incoming, UINT16_MAX);
    return session;
}

struct session *session_create(struct broker_shard *broker, struct span client_id)
{
    struct session *session = session_make(broker, client_id);
    map_insert(&broker->sessions, session);
    atomic_fetch_add_explicit(&broker->broker->sessions_count, 1, memory_order_relaxed);
    COUNT(broker, sessions);
    TAP_TELL(broker, session_created, 0, session->client_hash, client_id, 0, 0);
    return session;
}

struct session_rare *session_rare(struct session *session)
{
    if (!session->rare) session->rare = memory_acquire_zeroed(sizeof *session->rare);
    return session->rare;
}

struct session *session_create_sink(struct broker_shard *broker, struct span name)
{
    struct session *session = session_make(broker, name);
    session->version = MQTT_5;
    session->is_sink = true;
    session_rare(session);
    return session;
}

void session_destroy_sink(struct broker_shard *broker, struct session *session)
{
    subscriptions_end(broker, session, false);
    retained_forget(broker, session);
    if (session->durable) durable_forget(broker, session);
    mqtt_inflight_release(&session->inflight, NULL, NULL);
    mqtt_incoming_release(&session->incoming);
    memory_release(session->subscriptions);
    memory_release(session->rare);
    pool_release(&broker->shard->pool, session, session_bytes(session->client_id_bytes));
}

struct inflight_release {
    struct broker_shard *broker;
    uint64_t dropped;
    struct delivery_queue messages;
};

static void release_inflight(void *context, struct mqtt_inflight_entry entry)
{
    struct inflight_release *release = context;
    UNCOUNT(release->broker, inflight_messages);
    if (!entry.message) return;
    release->dropped++;
    delivery_queue_put(&release->messages, (struct delivery){(uint64_t)(uintptr_t)entry.message, entry.user});
}

static void queue_release(struct broker_shard *broker, struct session *session)
{
    struct delivery_queue *queue = &session->queue;
    if (UNLIKELY(session->durable) && session->durable->spill) durable_spill_end(broker, session);
    COUNT_BY(broker, dropped_session_ended, queue->count);
    if (queue->count) drop_note(broker, DROP_session_ended, session, span_of("", 0), queue->count);
    COUNT_BY(broker, queued_messages, -(uint64_t)queue->count);
    COUNT_BY(broker, queued_bytes, -session->queue_bytes);
    session->queue_bytes = 0;
    remains_queue(broker, queue);
}

void session_destroy(struct broker_shard *broker, struct session *session)
{
    DCHECK(!session->conn);
    TAP_TELL(broker, session_ended, 0, session->client_hash, session_client_id(session), 0, 0);
    if (UNLIKELY(session->traced)) trace_session(broker, TRACE_EVENT_session, session, &(struct trace_facts){.numbers = {TRACE_SESSION_ENDED}});
    if (!broker->stopping) will_due(broker, session, false);
    will_forget(broker, session);
    if (UNLIKELY(broker->fanout_now)) fanout_forget(broker, session);
    wheel_stop(&broker->shard->wheel, &session->timer);
    if (session->durable) durable_session_end(broker, session);
    bool remains = session->subscriptions_count > REMAINS_SUBSCRIPTIONS && !broker->stopping && !(broker->extras_bits & EXTRA_EXCLUSIVE);
    subscriptions_end(broker, session, remains);
    retained_forget(broker, session);
    queue_release(broker, session);
    struct inflight_release release = {.broker = broker};
    mqtt_inflight_release(&session->inflight, release_inflight, &release);
    remains_queue(broker, &release.messages);
    COUNT_BY(broker, dropped_session_ended, release.dropped);
    if (release.dropped) drop_note(broker, DROP_session_ended, session, span_of("", 0), (uint32_t)release.dropped);
    mqtt_incoming_release(&session->incoming);
    mqtt_alias_in_release(&session->aliases_in);
    mqtt_alias_out_release(&session->aliases_out);
    if (session->durable) durable_forget(broker, session);
    map_remove(&broker->sessions, session_client_id(session));
    if (session->rare) {
        memory_release(session->rare->mount);
        memory_release(session->rare->rates);
        user_quota_end(&broker->broker->user_quota, session);
        memory_release(session->rare->user_name);
    }
    memory_release(session->rare);
    session->rare = NULL;
    atomic_fetch_sub_explicit(&broker->broker->sessions_count, 1, memory_order_relaxed);
    UNCOUNT(broker, sessions);
    if (LIKELY(!remains)) return session_release(broker, session);
    session->unusual = 0;
    session->ended = true;
    remains_session(broker, session);
}

void session_release(struct broker_shard *broker, struct session *session)
{
    memory_release(session->subscriptions);
    pool_release(&broker->shard->pool, session, session_bytes(session->client_id_bytes));
}

void session_restore_timers(struct broker_shard *broker, struct session *session, uint64_t expires_ms, uint64_t will_ms)
{
    if (expires_ms) wheel_start(&broker->shard->wheel, &session->timer, expires_ms);
    if (session_will(session)) wheel_start(&broker->shard->wheel, &session->rare->will->timer, will_ms);
}

static uint16_t lower_limit(uint16_t a, uint16_t b) { return a < b ? a : b; }

void session_attach(struct broker_shard *broker, struct session *session, struct conn *conn,
                    const struct mqtt_connect *connect)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    const struct limits *limits = limits_of(broker, conn);
    const struct mqtt_properties *properties = &connect->properties;
    bool five = connect->version == MQTT_5;
    conn->client = session;
    session->conn = conn;
    session->version = (uint8_t)connect->version;
    session->bridge = connect->bridge;
    session->kicked = false;
    session_took(broker, session);
    session->queue.sent = 0;
    session->packet_bytes_max =
        mqtt_has(properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE) ? properties->maximum_packet_bytes : 0;
    session->problem_information = !mqtt_has(properties, MQTT_PROPERTY_REQUEST_PROBLEM_INFORMATION) ||
                                   properties->request_problem_information;
    uint16_t window = mqtt->inflight_max;
    if (mqtt_has(properties, MQTT_PROPERTY_RECEIVE_MAXIMUM)) window = lower_limit(window, properties->receive_maximum);
    mqtt_inflight_resume(&session->inflight, window);
    mqtt_incoming_resume(&session->incoming, five ? limits->receive_max : UINT16_MAX);
    uint16_t aliases = mqtt_has(properties, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM) ? properties->topic_alias_maximum : 0;
    mqtt_alias_in_init(&session->aliases_in, five ? limits->topic_alias_max : 0, limits->packet_bytes_max);
    mqtt_alias_out_init(&session->aliases_out, lower_limit(aliases, mqtt->topic_alias_out_max));
    session->aliased = session->aliases_out.maximum > 0;
    wheel_stop(&broker->shard->wheel, &session->timer);
    list_init(&session->link);
    rates_attach(broker, session);
    session->connected_at = (uint32_t)(broker->shard->now_ms / 16);
    session->published = 0;
    session->published_bytes = 0;
    COUNT(broker, clients_connected);
}

/* §3.1.2.5, §3.1.4, §3.14.4: what becomes of the will when the connection ends in this way. */
static void detach_will(struct broker_shard *broker, struct session *session, enum session_end end)
{
    switch (end) {
    case SESSION_END_CLIENT: return will_forget(broker, session); /* [MQTT-3.14.4-3] */
    case SESSION_END_CLIENT_WITH_WILL:
    case SESSION_END_LOST:
    case SESSION_END_SERVER:
    case SESSION_END_TAKEN_OVER: return will_due(broker, session, true);
    case SESSION_END_STOPPING: return; /* a server that stops may hold wills back until it is up again */
    }
}

void session_detach(struct broker_shard *broker, struct session *session, enum session_end end)
{
    struct conn *conn = session->conn;
    DCHECK(conn && conn->client == session);
    rates_detach(broker, session);
    uint8_t reason = end == SESSION_END_LOST ? MQTT_REASON_UNSPECIFIED_ERROR : session->kick_reason;
    TAP_TELL(broker, disconnected, session->version, session->client_hash, session_client_id(session), reason, 0);
    if (UNLIKELY(session->traced)) trace_session(broker, TRACE_EVENT_disconnected, session, &(struct trace_facts){.reason = reason, .numbers = {end}});
    if (end == SESSION_END_TAKEN_OVER) TAP_TELL(broker, taken_over, session->version, session->client_hash, session_client_id(session), 0, 0);
    if (UNLIKELY(session->facts != NULL)) features_record_end(broker, (struct client_record *)session->facts);
    session->kick_reason = 0;
    if (UNLIKELY(session->pressed)) pressure_end(broker, session);
    conn->client = NULL;
    session->conn = NULL;
    session->kicked = false;
    list_remove(&session->link);
    timer_init(&session->timer, session_expired);
    UNCOUNT(broker, clients_connected);
    mqtt_alias_in_release(&session->aliases_in);
    mqtt_alias_out_release(&session->aliases_out);
    detach_will(broker, session, end);
    if (session->durable) durable_detach(broker, session);
    if (session->expiry_s == 0) return session_destroy(broker, session);
    if (session->expiry_s != UINT32_MAX)
        shard_start_timer(broker->shard, &session->timer, (uint64_t)session->expiry_s * 1000);
}

void session_disconnect(struct broker_shard *broker, struct session *session, uint8_t reason, const char *what,
                        enum session_end end)
{
    struct conn *conn = session->conn;
    session->kick_reason = reason;
    if (UNLIKELY(session->traced)) trace_disconnecting(broker, session, reason, what);
    reasons_add(&broker->reasons, REASONS_disconnect_server, reason);
    LOG(INFO, "client disconnected by the server", "client=%s reason=\"%s\"%s%s%s",
        log_quoted(session_client_id(session)), mqtt_reason_name(reason), what ? " what=\"" : "", what ? what : "",
        what ? "\"" : "");
    if (session->version == MQTT_5) {
        struct mqtt_packet packet = {.type = MQTT_DISCONNECT, .disconnect = {.reason = (enum mqtt_reason)reason}};
        packet.disconnect.properties.present = 0;
        if (what && session->problem_information) {
            packet.disconnect.properties.reason_string = span_of_string(what);
            mqtt_set(&packet.disconnect.properties, MQTT_PROPERTY_REASON_STRING);
        }
        packet_send(broker, conn, MQTT_5, session->packet_bytes_max, &packet);
    }
    session_detach(broker, session, end);
    conn_finish(broker->shard, conn, true);
}

void session_kick(struct broker_shard *broker, struct session *session, uint8_t reason)
{
    if (session->kicked || !session->conn) return;
    list_remove(&session->link); /* a paused one is resumed by its end */
    session->kicked = true;
    session->kick_reason = reason;
    list_append(&broker->kicked, &session->link);
    conn_hold(session->conn, HOLD_KICKED);
}
