/* connect.c - CONNECT and DISCONNECT: who may come in, which session is theirs, what they are told (§3.1, §3.2, §3.14). */
#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "broker/broker.h"
#include "broker/doors/doors.h"
#include "broker/mount.h"
#include "proto/encode.h"

/* ---- keep-alive ------------------------------------------------------------------------------------------------- */

static uint64_t keep_alive_ms(const struct session *session) { return session->keep_alive_s * 1500ull; } /* [MQTT-3.1.2-22] */

/* The timer is not moved by every packet: when it fires it looks at when something last came. */
static void keep_alive_check(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    struct session *session = conn->client;
    if (conn->holds & HOLDS_OURS) conn->last_received_ms = broker->shard->now_ms; /* it is we who do not listen */
    uint64_t deadline_ms = conn->last_received_ms + keep_alive_ms(session);
    if (deadline_ms > broker->shard->now_ms) return wheel_start(&broker->shard->wheel, timer, deadline_ms);
    COUNT(broker, keep_alive_timeouts);
    session_disconnect(broker, session, MQTT_REASON_KEEP_ALIVE_TIMEOUT, NULL, SESSION_END_SERVER);
}

void keep_alive_start(struct broker_shard *broker, struct session *session)
{
    struct conn *conn = session->conn;
    shard_stop_timer(broker->shard, &conn->timer);
    timer_init(&conn->timer, keep_alive_check);
    if (session->keep_alive_s) shard_start_timer(broker->shard, &conn->timer, keep_alive_ms(session));
}

/* ---- refusing --------------------------------------------------------------------------------------------------- */

void connect_refuse(struct broker_shard *broker, struct conn *conn, enum mqtt_version version, uint32_t packet_bytes_max,
                    enum mqtt_reason reason, const char *what)
{
    COUNT(broker, clients_refused);
    reasons_add(&broker->reasons, REASONS_connack, (uint8_t)reason);
    listener_event(&broker->shard->group->listeners[conn->listener], LISTENER_clients_refused);
    TAP_TELL(broker, refused, version, 0, span_of_string(what), reason, 0);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE))
        trace_conn(broker, TRACE_EVENT_refused, conn, &(struct trace_facts){.text = span_of_string(what), .reason = (uint8_t)reason});
    features_refused(broker, conn, reason);
    switch (reason) {
    case MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION: COUNT(broker, clients_refused_version); break;
    case MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID: COUNT(broker, clients_refused_identifier); break;
    case MQTT_REASON_BANNED: COUNT(broker, clients_refused_banned); break;
    case MQTT_REASON_NOT_AUTHORIZED:
    case MQTT_REASON_BAD_AUTHENTICATION_METHOD:
    case MQTT_REASON_BAD_USER_NAME_OR_PASSWORD: COUNT(broker, clients_refused_authorization); break;
    case MQTT_REASON_QUOTA_EXCEEDED: COUNT(broker, clients_refused_quota); break;
    default: break;
    }
    LOG_LIMITED(INFO, 100, "connection refused", "reason=\"%s\" what=\"%s\"", mqtt_reason_name(reason), what);
    if (version == MQTT_VERSION_NONE) { /* not MQTT: nothing we could say would be understood */
        conn->client = NULL;
        return conn_close(broker->shard, conn);
    }
    struct mqtt_packet packet = {.type = MQTT_CONNACK, .connack = {.reason = reason}};
    packet.connack.properties.present = 0;
    packet.connack.properties.reason_string = span_of_string(what);
    mqtt_set(&packet.connack.properties, MQTT_PROPERTY_REASON_STRING);
    packet_send(broker, conn, version, packet_bytes_max, &packet);
    conn_finish(broker->shard, conn, true);
}

struct refusal {
    enum mqtt_reason reason; /* SUCCESS: none */
    const char *what;
};

/* Everything that can be judged before the session is known. */
static struct refusal connect_check(const struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    const struct limits *limits = limits_of(broker, conn);
    if (!(limits->versions >> connect->version & 1))
        return (struct refusal){MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION, "this version of MQTT is not spoken here"};
    if (!door_client_allowed(broker->shard, conn)) return (struct refusal){MQTT_REASON_BANNED, "your address may not connect here"};
    if (broker->stopping) return (struct refusal){MQTT_REASON_SERVER_UNAVAILABLE, "the server is shutting down"};
    bool authenticates = UNLIKELY(broker->features != NULL) && broker->features->authenticates;
    if (mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD) && !authenticates) /* [MQTT-4.12.0-1] */
        return (struct refusal){MQTT_REASON_BAD_AUTHENTICATION_METHOD, "no authentication method is configured"};
    if (mqtt->allow_anonymous == ANONYMOUS_DENY && !authenticates)
        return (struct refusal){MQTT_REASON_NOT_AUTHORIZED,
                                "anonymous clients are not allowed and no authentication is configured"};
    if (connect->client_id.bytes > mqtt->client_id_bytes_max)
        return (struct refusal){MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID, "the client identifier is too long"};
    if (!connect->has_will) return (struct refusal){MQTT_REASON_SUCCESS, NULL};
    if (connect->will.qos > limits->qos_max)
        return (struct refusal){MQTT_REASON_QOS_NOT_SUPPORTED, "the will's QoS is not supported"}; /* [MQTT-3.2.2-12] */
    if (connect->will.retain && !limits->retain_available)
        return (struct refusal){MQTT_REASON_RETAIN_NOT_SUPPORTED, "retained messages are not supported"}; /* [MQTT-3.2.2-13] */
    if (span_starts_with(connect->will.topic, SPAN_LITERAL("$SYS/")))
        return (struct refusal){MQTT_REASON_NOT_AUTHORIZED, "$SYS topics are the server's"};
    return (struct refusal){MQTT_REASON_SUCCESS, NULL};
}

/* ---- the client id ---------------------------------------------------------------------------------------------- */

#define ASSIGNED_ID_BYTES 24

/* An id whose home is this shard, so that the connection need not move. */
static struct span assign_client_id(struct broker_shard *broker, char buffer[static ASSIGNED_ID_BYTES + 1])
{
    struct span id;
    do {
        snprintf(buffer, ASSIGNED_ID_BYTES + 1, "ringmq-%016llx",
                 (unsigned long long)random_next(&broker->shard->random));
        id = span_of_string(buffer);
    } while (broker_home(broker->broker, hash_span(id)) != broker->shard->number || session_find(broker, id));
    return id;
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static uint32_t session_expiry_s(const struct broker_shard *broker, const struct mqtt_connect *connect)
{
    uint32_t ceiling_s = broker->settings->mqtt.session_expiry_max_s;
    if (connect->version < MQTT_5) return connect->clean_start ? 0 : ceiling_s;
    if (!mqtt_has(&connect->properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL)) return 0;
    uint32_t asked_s = connect->properties.session_expiry_s;
    return asked_s < ceiling_s ? asked_s : ceiling_s;
}

static uint16_t keep_alive_of(const struct limits *limits, const struct mqtt_connect *connect)
{
    uint16_t ceiling_s = limits->keep_alive_max_s, asked_s = connect->keep_alive_s;
    if (asked_s && asked_s < limits->keep_alive_min_s) asked_s = limits->keep_alive_min_s; /* more patience than an older client asks for */
    if (ceiling_s == 0 || connect->version < MQTT_5) return asked_s; /* older clients cannot be told to be quicker */
    return asked_s == 0 || asked_s > ceiling_s ? ceiling_s : asked_s;
}

/* Tells an MQTT 5 client everything that differs from what the standard lets it assume (§3.2.2.3). */
static void connack_properties(const struct broker_shard *broker, const struct conn *conn, const struct feature_client *facts, const struct mqtt_connect *connect,
                               struct span assigned_id, struct mqtt_properties *properties)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    const struct limits *limits = limits_of(broker, conn);
    uint32_t expiry_s = session_expiry_s(broker, connect);
    uint16_t keep_alive_s = keep_alive_of(limits, connect);
    const struct mqtt_properties *asked = &connect->properties;
    properties->present = 0;
#define TELL(condition, ID, field, value)                                                                            \
    if (condition) {                                                                                                 \
        properties->field = (value);                                                                                 \
        mqtt_set(properties, MQTT_PROPERTY_##ID);                                                                    \
    }
    TELL(mqtt_has(asked, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL) && asked->session_expiry_s != expiry_s,
         SESSION_EXPIRY_INTERVAL, session_expiry_s, expiry_s)
    TELL(limits->receive_max != UINT16_MAX, RECEIVE_MAXIMUM, receive_maximum, limits->receive_max)
    TELL(limits->qos_max < 2, MAXIMUM_QOS, maximum_qos, limits->qos_max)
    TELL(!limits->retain_available, RETAIN_AVAILABLE, retain_available, 0)
    TELL(true, MAXIMUM_PACKET_SIZE, maximum_packet_bytes, limits->packet_bytes_max)
    TELL(assigned_id.bytes, ASSIGNED_CLIENT_IDENTIFIER, assigned_client_id, assigned_id)
    TELL(limits->topic_alias_max, TOPIC_ALIAS_MAXIMUM, topic_alias_maximum, limits->topic_alias_max)
    TELL(!limits->wildcard_available, WILDCARD_SUBSCRIPTION_AVAILABLE, wildcard_subscription_available, 0)
    TELL(!limits->shared_available, SHARED_SUBSCRIPTION_AVAILABLE, shared_subscription_available, 0)
    TELL(keep_alive_s != connect->keep_alive_s, SERVER_KEEP_ALIVE, server_keep_alive_s, keep_alive_s)
    if (UNLIKELY(facts && facts->method_satisfied)) { /* [MQTT-4.12.0-5] */
        TELL(true, AUTHENTICATION_METHOD, authentication_method, asked->authentication_method)
        TELL(facts->auth_data.data, AUTHENTICATION_DATA, authentication_data, facts->auth_data)
    }
    TELL(mqtt_has(asked, MQTT_PROPERTY_REQUEST_RESPONSE_INFORMATION) && asked->request_response_information &&
             mqtt->response_information && mqtt->response_information[0],
         RESPONSE_INFORMATION, response_information, span_of_string(mqtt->response_information))
#undef TELL
}

/* False: it is larger than the client takes. */
static bool connack_send(struct broker_shard *broker, struct session *session, const struct mqtt_connect *connect,
                         struct span assigned_id, bool session_present)
{
    struct mqtt_packet packet = {.type = MQTT_CONNACK, .connack = {.session_present = session_present}};
    connack_properties(broker, session->conn, session->facts, connect, assigned_id, &packet.connack.properties);
    return packet_send(broker, session->conn, connect->version, session->packet_bytes_max, &packet);
}

static uint32_t packet_bytes_max_of(const struct mqtt_connect *connect)
{
    return mqtt_has(&connect->properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE) ? connect->properties.maximum_packet_bytes : 0;
}

/* Asked before anything becomes of the client's session: a client that cannot be answered changes nothing. */
static bool connack_fits(struct broker_shard *broker, const struct conn *conn, const struct mqtt_connect *connect, struct span assigned_id)
{
    uint32_t bytes_max = packet_bytes_max_of(connect);
    if (LIKELY(bytes_max == 0) || connect->version != MQTT_5) return true;
    struct client_record *record = broker->features ? features_record(broker, conn) : NULL;
    struct mqtt_packet packet = {.type = MQTT_CONNACK};
    connack_properties(broker, conn, record ? &record->facts : NULL, connect, assigned_id, &packet.connack.properties);
    return mqtt_encoded_bytes(MQTT_5, &packet) <= bytes_max;
}

/* In silence: nothing else may be sent in CONNACK's place [MQTT-3.2.0-1]. */
static void connect_refuse_unanswered(struct broker_shard *broker, struct conn *conn)
{
    static const char what[] = "CONNACK is larger than the client's maximum packet size";
    LOG_LIMITED(INFO, 100, "connection refused", "reason=\"%s\"", what);
    COUNT(broker, clients_refused);
    reasons_add(&broker->reasons, REASONS_connack, MQTT_REASON_PACKET_TOO_LARGE);
    listener_event(&broker->shard->group->listeners[conn->listener], LISTENER_clients_refused);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE))
        trace_conn(broker, TRACE_EVENT_refused, conn, &(struct trace_facts){.text = span_of_string(what), .reason = MQTT_REASON_PACKET_TOO_LARGE});
    features_refused(broker, conn, MQTT_REASON_PACKET_TOO_LARGE);
    conn_finish(broker->shard, conn, true);
}

/* The session this client gets: the one it had, or a new one. NULL: the node is full. */
static struct session *session_for(struct broker_shard *broker, const struct mqtt_connect *connect, struct span client_id,
                                   bool *ret_present)
{
    struct session *session = session_find(broker, client_id);
    if (session && session->conn) { /* [MQTT-3.1.4-3] */
        COUNT(broker, sessions_taken_over);
        session_disconnect(broker, session, MQTT_REASON_SESSION_TAKEN_OVER, NULL, SESSION_END_TAKEN_OVER);
        session = session_find(broker, client_id); /* it may have ended with its connection */
    }
    if (session && connect->clean_start) {
        session_destroy(broker, session);
        session = NULL;
    }
    *ret_present = session != NULL;
    if (session) {
        COUNT(broker, sessions_resumed);
        will_forget(broker, session); /* back before its delay was over [MQTT-3.1.3-9] */
        return session;
    }
    uint32_t limit = broker->settings->mqtt.sessions_max;
    if (limit && atomic_load_explicit(&broker->broker->sessions_count, memory_order_relaxed) >= limit) return NULL;
    return session_create(broker, client_id);
}

/* Why the listener's mount point does not go with this client's names; NULL: it does. */
static const char *mount_refuses(struct broker_shard *broker, const struct conn *conn, const struct mqtt_connect *connect, struct span client_id)
{
    const char *mountpoint = broker->shard->group->listeners[conn->listener].settings->mountpoint;
    if (LIKELY(!mountpoint || !*mountpoint)) return NULL;
    struct client_record *record = broker->features ? features_record(broker, conn) : NULL;
    struct client_names names = {client_id, connect->has_user_name ? connect->user_name : span_of(NULL, 0), record ? &record->facts : NULL};
    return mount_check(mountpoint, &names);
}

/* Refused after all: a session made for this CONNECT goes, one that was there stays. */
static void connect_undo(struct broker_shard *broker, struct session *session, bool present)
{
    if (!present) session->expiry_s = 0;
    session_detach(broker, session, SESSION_END_CLIENT);
}

/* CONNACK, and what waits for the client. */
static void connect_accept(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect,
                           struct session *session, struct span assigned_id, bool present)
{
    const char *mountpoint = broker->shard->group->listeners[conn->listener].settings->mountpoint;
    struct span user_name = connect->has_user_name ? connect->user_name : span_of(NULL, 0);
    session->keep_alive_s = keep_alive_of(limits_of(broker, conn), connect);
    session_attach(broker, session, conn, connect);
    if (UNLIKELY(broker->features != NULL)) features_connected(broker, session, present);
    if (UNLIKELY(session->mounted || (mountpoint && *mountpoint))) {
        struct client_names names = {session_client_id(session), user_name, session->facts};
        mount_set(session, mountpoint, &names);
    }
    if (UNLIKELY((broker->extras_bits & EXTRA_USER_NAMES) || session->rare)) extras_user_name_set(broker, session, user_name);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_attached(broker, session, connect, present);
    if (connect->has_will && mount_topic(broker, session, connect->will.topic).bytes == 0) {
        connect_undo(broker, session, present);
        return connect_refuse(broker, conn, connect->version, packet_bytes_max_of(connect), MQTT_REASON_TOPIC_NAME_INVALID,
                              "the will's topic is too long with the mount point");
    }
    if (connect->has_will) will_set(broker, session, &connect->will);
    keep_alive_start(broker, session);
    if (!connack_send(broker, session, connect, assigned_id, present)) { /* it fitted: settings have changed while it waited for the disk */
        connect_undo(broker, session, present);
        return connect_refuse_unanswered(broker, conn);
    }
    listener_event(&broker->shard->group->listeners[conn->listener], LISTENER_clients_accepted);
    TAP_TELL(broker, connected, session->version, session->client_hash, session_client_id(session), present, session->keep_alive_s);
    if (LOG_INFO >= log_level_now) shard_ask_peer(broker->shard, conn); /* the line is written by broker_peer() */
    session_resend(broker, session);
    session_pump(broker, session);
    if (UNLIKELY(broker->extras_bits & EXTRA_AUTO_SUBSCRIBE)) subscriptions_give(broker, session);
}

#define USER_FULL "the user has too many sessions"

void connect_handle(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, bool *ret_unread, bool *ret_exchange)
{
    struct mqtt_connect changed;
    bool wants_id = connect->client_id.bytes == 0;
    if (UNLIKELY(conn->filters)) connect = door_names(conn, connect, &changed);
    struct refusal refusal = connect_check(broker, conn, connect);
    uint32_t packet_bytes_max = packet_bytes_max_of(connect);
    if (refusal.reason) {
        if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_connect(broker, conn, connect, connect->client_id, (uint8_t)refusal.reason);
        return connect_refuse(broker, conn, connect->version, packet_bytes_max, refusal.reason, refusal.what);
    }

    char assigned[DURABLE_ID_BYTES];
    struct session *session = NULL;
    bool present = false;
    struct span client_id = connect->client_id, assigned_id = {0};
    if (UNLIKELY(broker->durable)) {
        if (durable_connect_early(broker, conn)) {
            *ret_unread = true;
            return;
        }
        if (durable_connect_again(broker, conn, &session, &present, assigned)) {
            if (session && session->conn) { /* another one came in between: [MQTT-3.1.4-3] */
                COUNT(broker, sessions_taken_over);
                session_disconnect(broker, session, MQTT_REASON_SESSION_TAKEN_OVER, NULL, SESSION_END_TAKEN_OVER);
                session = session_find(broker, client_id.bytes ? client_id : span_of_string(assigned));
            }
            if (!session) {
                features_conn_gone(broker, conn);
                return conn_close(broker->shard, conn);
            }
            assigned_id = wants_id && client_id.bytes ? client_id : span_of_string(assigned); /* by its certificate, or by us */
            return connect_accept(broker, conn, connect, session, assigned_id, present);
        }
    }
    if (client_id.bytes == 0) client_id = features_assigned_id(broker, conn); /* the first time it was handled */
    if (client_id.bytes == 0) client_id = assign_client_id(broker, assigned);
    if (wants_id) assigned_id = client_id; /* [MQTT-3.1.3-7] */
    uint32_t home = broker_home(broker->broker, hash_span(client_id));
    if (home != broker->shard->number) {
        *ret_unread = true;
        return conn_move(broker->shard, conn, home, NULL);
    }

    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_connect(broker, conn, connect, client_id, 0);
    if (feature_attached(broker, FEATURE_GATE(connect))) {
        enum gate_result result = features_connect(broker, conn, connect, client_id);
        *ret_unread = result == GATE_UNREAD;
        *ret_exchange = result == GATE_EXCHANGE;
        if (result != GATE_PASSED) return;
    }
    const char *unmountable = mount_refuses(broker, conn, connect, client_id); /* behind the gates, which give attributes */
    if (unmountable)
        return connect_refuse(broker, conn, connect->version, packet_bytes_max, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID, unmountable);
    if (UNLIKELY(!connack_fits(broker, conn, connect, assigned_id))) return connect_refuse_unanswered(broker, conn);
    uint64_t written = 0;
    if (UNLIKELY(broker->durable)) {
        written = durable_written(broker);
        if (durable_shut(broker) && session_expiry_s(broker, connect) && durable_turns_away_connect(broker, client_id))
            return connect_refuse(broker, conn, connect->version, packet_bytes_max, MQTT_REASON_SERVER_UNAVAILABLE,
                                  "the disk takes no sessions at the moment");
    }
    /* Before the session of that name loses its client, its will or itself. */
    uint32_t user_limit = broker->settings->mqtt.sessions_per_user_max;
    struct span user_name = connect->has_user_name ? connect->user_name : span_of(NULL, 0);
    if (UNLIKELY(user_limit) && user_quota_refuses(&broker->broker->user_quota, session_find(broker, client_id), connect->clean_start, user_name, user_limit))
        return connect_refuse(broker, conn, connect->version, packet_bytes_max, MQTT_REASON_QUOTA_EXCEEDED, USER_FULL);
    session = session_for(broker, connect, client_id, &present);
    if (!session)
        return connect_refuse(broker, conn, connect->version, packet_bytes_max, MQTT_REASON_QUOTA_EXCEEDED,
                              "the server has too many sessions");
    if (UNLIKELY(user_limit) && !user_quota_take(&broker->broker->user_quota, session, user_name, user_limit)) { /* another shard was quicker */
        if (!present) session_destroy(broker, session);
        return connect_refuse(broker, conn, connect->version, packet_bytes_max, MQTT_REASON_QUOTA_EXCEEDED, USER_FULL);
    }
    session->expiry_s = session_expiry_s(broker, connect);
    if (UNLIKELY(broker->durable) &&
        durable_connect(broker, conn, session, connect, written, present, connect->client_id.bytes ? span_of(NULL, 0) : client_id) ==
            DURABLE_CONNECT_WAIT) {
        *ret_unread = true;
        return;
    }
    connect_accept(broker, conn, connect, session, assigned_id, present);
}

/* ---- DISCONNECT ------------------------------------------------------------------------------------------------- */

void disconnect_handle(struct broker_shard *broker, struct session *session, const struct mqtt_disconnect *disconnect)
{
    struct conn *conn = session->conn;
    if (mqtt_has(&disconnect->properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL)) {
        uint32_t asked_s = disconnect->properties.session_expiry_s, ceiling_s = broker->settings->mqtt.session_expiry_max_s;
        if (session->expiry_s == 0 && asked_s != 0) /* §3.14.2.2.2 */
            return packet_error(broker, conn, MQTT_REASON_PROTOCOL_ERROR, "session expiry was 0 in CONNECT");
        session->expiry_s = asked_s < ceiling_s ? asked_s : ceiling_s;
    }
    LOG(INFO, "client disconnected", "client=%s reason=\"%s\"", log_quoted(session_client_id(session)),
        mqtt_reason_name(disconnect->reason));
    session->kick_reason = (uint8_t)disconnect->reason;
    reasons_add(&broker->reasons, REASONS_disconnect_client, (uint8_t)disconnect->reason);
    bool with_will = disconnect->reason != MQTT_REASON_NORMAL_DISCONNECTION; /* [MQTT-3.14.4-3] */
    session_detach(broker, session, with_will ? SESSION_END_CLIENT_WITH_WILL : SESSION_END_CLIENT);
    conn_finish(broker->shard, conn, false);
}
