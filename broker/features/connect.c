/* connect.c - CONNECT through the gates, and exchanges of AUTH packets (§4.12).
 *
 *     CONNECT ─► address known? ─► gates ─┬─ PASS ─► will ─► accepted
 *                                         ├─ LATER: stays unread, all of this again
 *                                         └─ CONTINUE: AUTH out; CONNECT is kept
 *     AUTH ─► the gate that said CONTINUE ─┬─ CONTINUE: AUTH out
 *                                          └─ PASS ─► the kept CONNECT, as above; its gates know by now
 */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"
#include "proto/decode.h"

static uint32_t packet_bytes_max_of(const struct mqtt_connect *connect)
{
    return mqtt_has(&connect->properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE) ? connect->properties.maximum_packet_bytes : 0;
}

static enum gate_result refuse(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, enum mqtt_reason reason,
                               const char *what)
{
    connect_refuse(broker, conn, connect->version, packet_bytes_max_of(connect), reason, what); /* ends the record, too */
    return GATE_DONE;
}

static bool auth_send(struct broker_shard *broker, struct client_record *record, enum mqtt_reason reason, uint32_t packet_bytes_max)
{
    struct mqtt_packet packet = {.type = MQTT_AUTH, .auth = {.reason = reason}};
    struct mqtt_properties *properties = &packet.auth.properties;
    properties->present = 0;
    properties->authentication_method = span_of_string(record->method);
    mqtt_set(properties, MQTT_PROPERTY_AUTHENTICATION_METHOD);
    if (record->facts.auth_data.data) {
        properties->authentication_data = record->facts.auth_data;
        mqtt_set(properties, MQTT_PROPERTY_AUTHENTICATION_DATA);
    }
    return packet_send(broker, record->connection, MQTT_5, packet_bytes_max, &packet);
}

/* ---- CONNECT ----------------------------------------------------------------------------------------------------- */

/* Will it be allowed to publish its will? Asked now: later nobody is there to be told. */
static struct feature_verdict ask_will(struct broker_shard *broker, struct client_record *record, const struct mqtt_connect *connect)
{
    const struct mqtt_will *will = &connect->will;
    struct feature_publish asked = {.topic = will->topic, .payload = will->payload, .qos = will->qos, .retain = will->retain, .will = true,
                                    .properties = &will->properties};
    return features_ask_publish(broker, record, &asked);
}

static struct feature_verdict ask_connect(struct broker_shard *broker, struct client_record *record, const struct mqtt_connect *connect,
                                          int8_t *ret_number)
{
    const struct features_shard *shard = broker->features;
    const struct feature_asked *gates = shard->gates[FEATURE_GATE_connect];
    for (uint32_t i = 0; i < shard->gates_count[FEATURE_GATE_connect]; i++) {
        uint64_t began = feature_ticks();
        struct feature_verdict verdict = features_asked(&gates[i], gates[i].feature->connect(gates[i].shard, &record->facts, connect), began,
                                                        shard->budget_ticks);
        *ret_number = (int8_t)gates[i].shard->slot;
        broker->features->said_by = (uint8_t)gates[i].shard->slot;
        if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_login(broker, record->connection, &record->facts, verdict);
        if (verdict.decision != FEATURE_PASS && verdict.decision != FEATURE_ALLOW) return verdict;
    }
    return FEATURE_VERDICT(PASS);
}

static enum gate_result exchange_begin(struct broker_shard *broker, struct client_record *record, const struct mqtt_connect *connect, int8_t number)
{
    CHECK(record->method); /* only then may a gate say CONTINUE */
    record->authenticator = number;
    record->exchange_passed = false;
    if (!auth_send(broker, record, MQTT_REASON_CONTINUE_AUTHENTICATION, packet_bytes_max_of(connect)))
        return refuse(broker, record->connection, connect, MQTT_REASON_PACKET_TOO_LARGE, "AUTH is larger than the client takes");
    return GATE_EXCHANGE;
}

enum gate_result features_connect(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, struct span client_id)
{
    struct client_record *record = features_record(broker, conn);
    if (!record) record = features_record_make(broker, conn, connect, client_id);
    if (!features_address(broker, record)) return GATE_UNREAD;
    int8_t number = -1;
    struct feature_verdict verdict = ask_connect(broker, record, connect, &number);
    PROBE(connect, record->facts.client_id.data, record->facts.client_id.bytes, verdict.decision, verdict.reason);
    if (verdict.decision == FEATURE_PASS && record->method && !record->facts.method_satisfied)
        return refuse(broker, conn, connect, MQTT_REASON_BAD_AUTHENTICATION_METHOD, "this authentication method is not known here");
    if (verdict.decision == FEATURE_PASS && connect->has_will) {
        verdict = ask_will(broker, record, connect);
        if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_login(broker, record->connection, &record->facts, verdict);
    }
    switch ((enum feature_decision)verdict.decision) {
    case FEATURE_PASS:
    case FEATURE_ALLOW: return GATE_PASSED;
    case FEATURE_LATER:
        COUNT(broker, gates_later);
        features_wait(record);
        return GATE_UNREAD;
    case FEATURE_CONTINUE: return exchange_begin(broker, record, connect, number);
    case FEATURE_DENY: break;
    }
    COUNT(broker, gates_denied);
    return refuse(broker, conn, connect, verdict.reason ? (enum mqtt_reason)verdict.reason : MQTT_REASON_NOT_AUTHORIZED,
                  verdict.what ? verdict.what : "not authorized");
}

struct span features_assigned_id(struct broker_shard *broker, const struct conn *conn)
{
    const struct client_record *record = broker->features ? features_record(broker, conn) : NULL;
    return record ? record->facts.client_id : span_of(NULL, 0);
}

void features_connected(struct broker_shard *broker, struct session *session, bool present)
{
    struct client_record *record = features_record(broker, session->conn);
    if (!record) return;
    struct features_shard *shard = broker->features;
    record->session = session;
    record->facts.connected = true;
    record->facts.session_present = present;
    session->facts = &record->facts;
    if (record->facts.expires_ms && !record->counted_expiry) {
        record->counted_expiry = true;
        shard->expiring_count++;
        features_expiry_counted(broker);
    }
}

/* ---- the exchange ------------------------------------------------------------------------------------------------ */

void features_exchange_keep(struct broker_shard *broker, struct conn *conn, struct span bytes)
{
    struct client_record *record = features_record(broker, conn);
    CHECK(record && !record->connect_bytes);
    record->connect_bytes = memory_acquire(bytes.bytes);
    memcpy(record->connect_bytes, bytes.data, bytes.bytes);
    record->connect_count = bytes.bytes;
    broker->features->exchanges_count++;
}

struct client_record *features_exchange(struct broker_shard *broker, const struct conn *conn)
{
    struct client_record *record = features_record(broker, conn);
    return record && record->connect_bytes ? record : NULL;
}

static struct feature_verdict ask_authenticator(struct broker_shard *broker, struct client_record *record, const struct mqtt_auth *auth)
{
    const struct features_shard *shard = broker->features;
    const struct feature_asked *gates = shard->gates[FEATURE_GATE_authenticate];
    for (uint32_t i = 0; i < shard->gates_count[FEATURE_GATE_authenticate]; i++) {
        if ((int)gates[i].shard->slot != record->authenticator) continue;
        uint64_t began = feature_ticks();
        struct feature_verdict verdict = features_asked(&gates[i], gates[i].feature->authenticate(gates[i].shard, &record->facts, auth), began, shard->budget_ticks);
        broker->features->said_by = (uint8_t)gates[i].shard->slot;
        if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_login(broker, record->connection, &record->facts, verdict);
        return verdict;
    }
    return (struct feature_verdict){.decision = FEATURE_DENY, .reason = MQTT_REASON_SERVER_BUSY, .what = "authentication was switched off"};
}

/* [MQTT-4.12.0-5]: the method stays the same. */
static bool method_same(const struct client_record *record, const struct mqtt_auth *auth)
{
    return mqtt_has(&auth->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD) &&
           span_equal(auth->properties.authentication_method, span_of_string(record->method));
}

static bool kept_connect(const struct client_record *record, struct broker_shard *broker, struct conn *conn, struct mqtt_packet *ret_packet)
{
    const struct limits *allowed = limits_of(broker, conn);
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_CLIENT, .version = MQTT_VERSION_NONE, .packet_bytes_max = UINT32_MAX,
                                        .topic_levels_max = allowed->topic_levels_max};
    return mqtt_decode(span_of(record->connect_bytes, record->connect_count), &limits, ret_packet).status == MQTT_DECODED;
}

/* The record may end, or become a session's, while the CONNECT is in use: the bytes are ours meanwhile. True: this AUTH stays unread, and
 * brings us here again. */
static bool kept_connect_handle(struct broker_shard *broker, struct conn *conn, struct client_record *record, const struct mqtt_connect *connect)
{
    bool unread = false, again = false;
    struct span bytes = span_of(record->connect_bytes, record->connect_count);
    record->connect_bytes = NULL;
    broker->features->exchanges_count--;
    connect_handle(broker, conn, connect, &unread, &again);
    if (unread || again) features_exchange_keep(broker, conn, bytes);
    memory_release((void *)(uintptr_t)bytes.data);
    return unread;
}

bool features_exchange_packet(struct broker_shard *broker, struct conn *conn, struct client_record *record, const struct mqtt_packet *packet)
{
    struct mqtt_packet connect;
    bool kept = kept_connect(record, broker, conn, &connect);
    CHECK(kept); /* it was decoded before */
    uint32_t packet_bytes_max = packet_bytes_max_of(&connect.connect);
    if (packet->type == MQTT_DISCONNECT) {
        features_record_end(broker, record);
        conn_finish(broker->shard, conn, false);
        return false;
    }
    if (packet->type != MQTT_AUTH || packet->auth.reason != MQTT_REASON_CONTINUE_AUTHENTICATION || !method_same(record, &packet->auth)) {
        COUNT(broker, protocol_errors);
        connect_refuse(broker, conn, MQTT_5, packet_bytes_max, MQTT_REASON_PROTOCOL_ERROR, "AUTH with the method of CONNECT was expected");
        return false;
    }
    if (!record->exchange_passed) {
        struct feature_verdict verdict = ask_authenticator(broker, record, &packet->auth);
        PROBE(authenticate, record->facts.client_id.data, record->facts.client_id.bytes, verdict.decision, verdict.reason);
        switch ((enum feature_decision)verdict.decision) {
        case FEATURE_LATER:
            COUNT(broker, gates_later);
            features_wait(record);
            return true;
        case FEATURE_CONTINUE:
            if (!auth_send(broker, record, MQTT_REASON_CONTINUE_AUTHENTICATION, packet_bytes_max))
                connect_refuse(broker, conn, MQTT_5, packet_bytes_max, MQTT_REASON_PACKET_TOO_LARGE, "AUTH is larger than the client takes");
            return false;
        case FEATURE_DENY:
            COUNT(broker, gates_denied);
            connect_refuse(broker, conn, MQTT_5, packet_bytes_max,
                           verdict.reason ? (enum mqtt_reason)verdict.reason : MQTT_REASON_NOT_AUTHORIZED,
                           verdict.what ? verdict.what : "not authorized");
            return false;
        case FEATURE_PASS:
        case FEATURE_ALLOW: record->exchange_passed = true;
        }
    }
    return kept_connect_handle(broker, conn, record, &connect.connect);
}

bool features_reauthenticate(struct broker_shard *broker, struct session *session, const struct mqtt_auth *auth)
{
    struct client_record *record = (struct client_record *)session->facts;
    struct conn *conn = session->conn;
    if (!record || !record->method || record->authenticator < 0 || !method_same(record, auth)) { /* [MQTT-4.12.1-1] */
        packet_error(broker, conn, MQTT_REASON_PROTOCOL_ERROR, "AUTH without the authentication method of CONNECT");
        return false;
    }
    struct feature_verdict verdict = ask_authenticator(broker, record, auth);
    record->passed.key = 0; /* it may have become somebody else in the eyes of gates */
    switch ((enum feature_decision)verdict.decision) {
    case FEATURE_LATER:
        COUNT(broker, gates_later);
        features_wait(record);
        return true;
    case FEATURE_DENY:
        COUNT(broker, gates_denied);
        packet_error(broker, conn, verdict.reason ? (enum mqtt_reason)verdict.reason : MQTT_REASON_NOT_AUTHORIZED, verdict.what);
        return false;
    case FEATURE_CONTINUE:
    case FEATURE_PASS:
    case FEATURE_ALLOW: break;
    }
    enum mqtt_reason reason = verdict.decision == FEATURE_CONTINUE ? MQTT_REASON_CONTINUE_AUTHENTICATION : MQTT_REASON_SUCCESS;
    if (!auth_send(broker, record, reason, session->packet_bytes_max)) session_kick(broker, session, MQTT_REASON_PACKET_TOO_LARGE);
    return false;
}
