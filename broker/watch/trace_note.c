/* watch/trace_note.c - what records say: packets without their secrets, decisions; and from a shard's moments to records. */
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/features/inside.h"
#include "broker/watch/inspect.h"
#include "broker/records.h"
#include "broker/watch/trace_inside.h"
#include "proto/decode.h"

/* ---- records ---------------------------------------------------------------------------------------------------- */

static struct span cut(struct span text, uint8_t *flags, uint8_t flag)
{
    if (text.bytes <= TRACE_TEXT_BYTES_MAX) return text;
    *flags |= flag;
    return span_of(text.data, TRACE_TEXT_BYTES_MAX);
}

static uint8_t *put(uint8_t *at, struct span text)
{
    return text.bytes ? mempcpy(at, text.data, text.bytes) : at;
}

/* `data` and `more` lie side by side in the record. */
static struct trace_record *record_begin(struct broker_shard *broker, uint32_t traces, enum trace_event event, struct span client_id, const struct trace_facts *facts,
                                         struct span more)
{
    uint8_t flags = 0;
    struct span client = cut(client_id, &flags, TRACE_FLAG_CLIENT_CUT), topic = cut(facts->topic, &flags, TRACE_FLAG_TOPIC_CUT),
                text = cut(facts->text, &flags, TRACE_FLAG_TEXT_CUT);
    size_t bytes = sizeof(struct trace_record) + client.bytes + topic.bytes + text.bytes + facts->data.bytes + more.bytes;
    bytes = (bytes + 7) & ~(size_t)7;
    struct trace_record *record = trace_ring_reserve(broker->trace->ring, (uint32_t)bytes, traces);
    if (!record) {
        COUNT(broker, trace_records_lost);
        return NULL;
    }
    *record = (struct trace_record){.bytes = (uint32_t)bytes, .event = (uint8_t)event, .shard = (uint8_t)broker->shard->number, .version = facts->version,
                                    .reason = facts->reason, .at_ns = facts->at_ns ? facts->at_ns : broker->shard->group->verbs->realtime_ns(broker->shard->ring),
                                    .traces = traces, .flags = flags, .whole_bytes = facts->whole_bytes,
                                    .data_bytes = (uint32_t)(facts->data.bytes + more.bytes), .client_bytes = (uint16_t)client.bytes,
                                    .topic_bytes = (uint16_t)topic.bytes, .text_bytes = (uint16_t)text.bytes};
    memcpy(record->numbers, facts->numbers, sizeof record->numbers);
    put(put(put(put(put(record->texts, client), topic), text), facts->data), more);
    return record;
}

static void record_end(struct broker_shard *broker, struct trace_record *record)
{
    trace_ring_commit(broker->trace->ring, record);
    COUNT(broker, trace_records);
}

void trace_note(struct broker_shard *broker, uint32_t traces, enum trace_event event, struct span client_id, const struct trace_facts *facts)
{
    if (!traces || !broker->trace->set) return;
    struct trace_record *record = record_begin(broker, traces, event, client_id, facts, span_of(NULL, 0));
    if (record) record_end(broker, record);
}

/* ---- packets ---------------------------------------------------------------------------------------------------- */

static void blank(struct span secret, bool present)
{
    if (present && secret.bytes) memset((void *)(uintptr_t)secret.data, '*', secret.bytes);
}

static bool has_data(const struct mqtt_properties *properties) { return mqtt_has(properties, MQTT_PROPERTY_AUTHENTICATION_DATA); }

/* In the record's own copy. False: it may hold secrets that cannot be found, since it is malformed. */
static bool secrets_blank(struct span copy, enum mqtt_role from, enum mqtt_version version)
{
    struct mqtt_decode_limits limits = {.from = from, .version = version};
    struct mqtt_packet packet;
    enum mqtt_packet_type type = (enum mqtt_packet_type)(copy.data[0] >> 4);
    if (type == MQTT_CONNECT) limits.version = MQTT_VERSION_NONE;
    if (type != MQTT_CONNECT && type != MQTT_CONNACK && type != MQTT_AUTH) return true;
    if (mqtt_decode(copy, &limits, &packet).status != MQTT_DECODED) return false;
    switch (type) {
    case MQTT_CONNECT:
        blank(packet.connect.password, packet.connect.has_password);
        blank(packet.connect.properties.authentication_data, has_data(&packet.connect.properties));
        break;
    case MQTT_CONNACK: blank(packet.connack.properties.authentication_data, has_data(&packet.connack.properties)); break;
    default: blank(packet.auth.properties.authentication_data, has_data(&packet.auth.properties)); break;
    }
    return true;
}

/* Where the payload of a PUBLISH begins; all of it for other packets, and for those that are malformed. */
static size_t head_bytes(struct span packet, enum mqtt_role from, enum mqtt_version version)
{
    struct mqtt_decode_limits limits = {.from = from, .version = version};
    struct mqtt_packet decoded;
    if (packet.data[0] >> 4 != MQTT_PUBLISH || mqtt_decode(packet, &limits, &decoded).status != MQTT_DECODED) return packet.bytes;
    return packet.bytes - decoded.publish.payload.bytes;
}

static void note_pieces(struct broker_shard *broker, uint32_t traces, enum trace_event event, struct span client_id, enum mqtt_version version, struct span head,
                        struct span payload)
{
    uint32_t wanted = trace_payload_bytes(broker->trace->set, traces);
    struct trace_facts facts = {.version = (uint8_t)version, .whole_bytes = (uint32_t)(head.bytes + payload.bytes), .data = head};
    bool whole = head.bytes <= TRACE_PACKET_BYTES_MAX;
    if (!whole) facts.data.bytes = head.data[0] >> 4 == MQTT_PUBLISH ? TRACE_PACKET_BYTES_MAX : 1; /* of others nothing that a secret might hide in */
    if (payload.bytes > wanted) payload.bytes = wanted;
    if (!whole) payload.bytes = 0;
    struct trace_record *record = record_begin(broker, traces, event, client_id, &facts, payload);
    if (!record) return;
    if (!whole) record->flags |= TRACE_FLAG_PACKET_CUT;
    enum mqtt_role from = event == TRACE_EVENT_received ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER;
    if (whole && !secrets_blank(trace_record_data(record), from, version)) {
        struct span data = trace_record_data(record);
        memset((void *)(uintptr_t)data.data, 0, data.bytes);
        *(uint8_t *)(uintptr_t)data.data = head.data[0];
        record->data_bytes = 1;
        record->flags |= TRACE_FLAG_PACKET_CUT;
    }
    record_end(broker, record);
}

void trace_note_packet(struct broker_shard *broker, uint32_t traces, enum trace_event event, struct span client_id, enum mqtt_version version, struct span packet)
{
    if (!traces || !broker->trace->set || packet.bytes == 0) return;
    size_t head = head_bytes(packet, event == TRACE_EVENT_received ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER, version);
    note_pieces(broker, traces, event, client_id, version, span_of(packet.data, head), span_skip(packet, head));
}

void trace_sent(struct broker_shard *broker, const struct conn *conn, uint8_t version, struct span packet, struct span payload, const struct publication *publication)
{
    if (!broker->trace->set) return;
    struct span client_id;
    uint32_t traces = trace_of_conn(broker, conn, &client_id);
    if (publication) traces |= trace_of_topic(broker->trace->set, publication->topic) | trace_of_publisher(broker, publication);
    if (traces) note_pieces(broker, traces, TRACE_EVENT_sent, client_id, (enum mqtt_version)version, packet, payload);
}

/* ---- what comes ------------------------------------------------------------------------------------------------- */

/* Bytes of the packet at the front; 0: it is not there as a whole, or is none. */
static size_t frame(struct span bytes)
{
    uint32_t length = 0;
    for (uint32_t i = 1; i < bytes.bytes && i <= 4; i++) {
        length |= (uint32_t)(bytes.data[i] & 0x7f) << (7 * (i - 1));
        if (bytes.data[i] & 0x80) continue;
        size_t whole = 1 + i + (size_t)length;
        return whole <= bytes.bytes ? whole : 0;
    }
    return 0;
}

static void unread_put(struct trace_shard *trace, const struct conn *conn) { trace->unread[trace->unread_next++ % TRACE_UNREAD_MAX] = conn_name(conn); }

static bool unread_take(struct trace_shard *trace, const struct conn *conn)
{
    for (uint32_t i = 0; i < TRACE_UNREAD_MAX; i++) {
        if (trace->unread[i] != conn_name(conn)) continue;
        trace->unread[i] = 0;
        return true;
    }
    return false;
}

/* False: the address has been asked for, and the connection waits for it. */
static bool peer_known(struct broker_shard *broker, struct conn *conn)
{
    struct trace_shard *trace = broker->trace;
    const struct trace_peer *peer = &trace->peers[conn->slot % TRACE_PEERS_MAX];
    if (!trace->set || !trace->set->addresses || conn->client || peer->conn == conn_name(conn)) return true;
    shard_ask_peer(broker->shard, conn); /* where descriptors are ordinary ones the answer is here at once */
    if (peer->conn == conn_name(conn)) return true;
    conn_hold(conn, HOLD_TRACE);
    return false;
}

static void packet_note(struct broker_shard *broker, struct conn *conn, struct span packet)
{
    struct trace_shard *trace = broker->trace;
    struct span client_id;
    trace->packet = packet;
    trace->connecting = 0;
    trace->again = unread_take(trace, conn);
    if (trace->again) return;
    uint32_t traces = trace_of_conn(broker, conn, &client_id); /* of a CONNECT nobody knows whose it is: trace_connect() */
    const struct session *session = conn->client;
    if (traces && (session || packet.data[0] >> 4 != MQTT_CONNECT))
        trace_note_packet(broker, traces, TRACE_EVENT_received, client_id, session ? (enum mqtt_version)session->version : MQTT_5, packet);
}

struct conn_progress trace_received(struct shard *shard, struct conn *conn, struct span bytes)
{
    struct broker_shard *broker = broker_of(shard);
    struct trace_shard *trace = broker->trace;
    const struct session *session = conn->client;
    size_t done = 0;
    if (session && !session->traced) return packets_take(shard, conn, bytes); /* what it publishes to a traced topic: trace_published() */
    while (done < bytes.bytes) {
        struct span rest = span_skip(bytes, done);
        size_t whole = frame(rest);
        if (whole == 0) {
            struct conn_progress last = packets_take(shard, conn, rest);
            return (struct conn_progress){done + last.consumed, last.wanted};
        }
        if (!peer_known(broker, conn)) return (struct conn_progress){done, 0};
        packet_note(broker, conn, span_of(rest.data, whole));
        struct conn_progress one = packets_take(shard, conn, span_of(rest.data, whole));
        trace->packet = span_of(NULL, 0);
        trace->connecting = 0;
        if (conn->state != CONN_OPEN && one.consumed) return (struct conn_progress){bytes.bytes, 0};
        if (one.consumed < whole) unread_put(trace, conn);
        done += one.consumed;
        if (one.consumed < whole || one.wanted == 0) return (struct conn_progress){done, one.wanted};
        if (shard_turn_spent(shard) && done < bytes.bytes) return (struct conn_progress){done, 0};
    }
    return (struct conn_progress){done, 1};
}

void trace_connect(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, struct span client_id, uint8_t refused)
{
    struct trace_shard *trace = broker->trace;
    if (!trace->set) return;
    uint32_t traces = trace_of_client(broker, conn, client_id, connect->has_user_name ? connect->user_name : span_of(NULL, 0));
    trace->connecting = conn_name(conn);
    trace->connecting_traces = traces;
    trace->connecting_bytes = (uint32_t)(client_id.bytes < sizeof trace->connecting_id ? client_id.bytes : sizeof trace->connecting_id);
    if (client_id.bytes) memcpy(trace->connecting_id, client_id.data, trace->connecting_bytes);
    if (!traces || trace->again) return;
    const struct trace_peer *peer = &trace->peers[conn->slot % TRACE_PEERS_MAX];
    const struct listener_settings *listener = broker->shard->group->listeners[conn->listener].settings;
    char text[256];
    snprintf(text, sizeof text, "%s.%s %s", listener_kind_names[listener->kind], listener->name, trace->set->addresses && peer->conn == conn_name(conn) ? peer->text : "");
    trace_note(broker, traces, TRACE_EVENT_connection, client_id,
               &(struct trace_facts){.text = span_of_string(text), .version = (uint8_t)connect->version, .reason = refused, .numbers = {connect->has_user_name}});
    trace_note_packet(broker, traces, TRACE_EVENT_received, client_id, connect->version, trace->packet);
}

/* ---- moments ---------------------------------------------------------------------------------------------------- */

void trace_session(struct broker_shard *broker, enum trace_event event, const struct session *session, const struct trace_facts *facts)
{
    static const struct trace_facts nothing;
    trace_note(broker, trace_of_session(session), event, session_client_id(session), facts ? facts : &nothing);
}

void trace_disconnecting(struct broker_shard *broker, const struct session *session, uint8_t reason, const char *what)
{
    enum trace_event event = reason == MQTT_REASON_KEEP_ALIVE_TIMEOUT   ? TRACE_EVENT_timeout
                             : reason == MQTT_REASON_SESSION_TAKEN_OVER ? TRACE_EVENT_taken_over
                                                                        : TRACE_EVENT_refused;
    trace_session(broker, event, session, &(struct trace_facts){.reason = reason, .text = span_of_string(what ? what : ""), .numbers = {session->keep_alive_s}});
}

void trace_conn(struct broker_shard *broker, enum trace_event event, const struct conn *conn, const struct trace_facts *facts)
{
    struct span client_id;
    uint32_t traces = trace_of_conn(broker, conn, &client_id);
    trace_note(broker, traces, event, client_id, facts);
}

void trace_topic(struct broker_shard *broker, enum trace_event event, const struct session *session, struct span topic, const struct trace_facts *facts)
{
    struct trace_facts with = *facts;
    with.topic = topic;
    trace_note(broker, trace_of_session(session) | trace_of_topic(broker->trace->set, topic), event, session ? session_client_id(session) : span_of("", 0), &with);
}

/* The matching filters of this shard, with a 0 byte (which no filter has) between them. */
static struct span filters_list(struct broker_shard *broker, const struct match_set *set, char *buffer, size_t bytes, uint32_t *ret_sinks)
{
    size_t used = 0;
    *ret_sinks = 0;
    for (uint32_t i = 0; i < set->local_ids_count; i++) {
        struct span filter, group;
        *ret_sinks += sinks_get(broker->sinks, set->local_ids[i]).count;
        if (!sinks_text(broker->sinks, set->local_ids[i], &filter, &group) || used + filter.bytes + 1 > bytes) continue;
        memcpy(buffer + used, filter.data, filter.bytes);
        used += filter.bytes;
        buffer[used++] = 0;
    }
    return span_of(buffer, used ? used - 1 : 0);
}

static void announce_to(struct shard *shard, uint32_t target, bool told[SHARDS_MAX], const struct publication *publication, uint32_t traces)
{
    if (told[target]) return;
    told[target] = true;
    record_send(shard, target, RECORD_TRACE, (void *)(uintptr_t)traces, publication->publisher_conn);
}

/* The shards that may deliver it are told whose message it is: lanes keep the order. */
static void announce(struct broker_shard *broker, const struct publication *publication, const struct match_set *set, uint32_t traces)
{
    bool told[SHARDS_MAX] = {0};
    struct shard *shard = broker->shard;
    told[shard->number] = true;
    for (uint32_t i = 0; i < set->others_count; i++)
        announce_to(shard, set->others[i].target, told, publication, traces);
    for (uint32_t g = 0; g < set->groups_count; g++)
        for (uint32_t i = 0; i < set->groups[g].targets_count; i++)
            announce_to(shard, set->groups[g].targets[i].target, told, publication, traces);
}

void trace_published(struct broker_shard *broker, struct publication *publication, uint32_t delay_s)
{
    const struct trace_set *traces_set = broker->trace->set;
    if (!traces_set) return;
    uint32_t of_publisher = trace_of_session(publication->publisher), traces = of_publisher | trace_of_topic(traces_set, publication->topic);
    if (!traces) return;
    struct span client_id = publication->publisher ? session_client_id(publication->publisher) : span_of("", 0);
    uint32_t wanted = trace_payload_bytes(traces_set, traces);
    struct trace_facts facts = {.topic = publication->topic, .whole_bytes = (uint32_t)publication->payload.bytes,
                                .data = span_of(publication->payload.data, publication->payload.bytes < wanted ? publication->payload.bytes : wanted)};
    facts.numbers[3] = publication->qos | (publication->retain ? 4u : 0) | (publication->publisher ? 8u : 0);
    if (delay_s) {
        facts.numbers[0] = delay_s;
        return trace_note(broker, traces, TRACE_EVENT_kept, client_id, &facts);
    }
    const struct match_set *set = match_cache_lookup(broker->matches, publication->topic);
    char filters[1024];
    uint32_t sinks;
    facts.text = filters_list(broker, set, filters, sizeof filters, &sinks);
    facts.numbers[0] = set->local_ids_count;
    facts.numbers[1] = set->others_count;
    facts.numbers[2] = set->groups_count;
    facts.numbers[3] |= sinks << 8;
    trace_note(broker, traces, TRACE_EVENT_published, client_id, &facts);
    if (!of_publisher || !publication->publisher_conn) return;
    announce(broker, publication, set, of_publisher);
    publication->publisher_conn |= PUBLISHER_TRACED | (uint64_t)broker->shard->number << PUBLISHER_SHARD_SHIFT;
}

enum trace_wait trace_wait_of(const struct broker_shard *broker, const struct session *session, uint64_t queued, uint8_t qos)
{
    if (!session->conn) return TRACE_WAIT_AWAY;
    if (qos && mqtt_inflight_full(&session->inflight)) return TRACE_WAIT_WINDOW;
    if (!conn_has_room(session->conn)) return TRACE_WAIT_ROOM;
    if (session->rated && rates_delivery_waits(session)) return TRACE_WAIT_RATE;
    return queued || session->spilled ? TRACE_WAIT_QUEUE : TRACE_WAIT_DISK;
}

void trace_queued(struct broker_shard *broker, const struct session *session, const struct publication *publication, uint8_t qos)
{
    struct trace_shard *trace = broker->trace;
    uint32_t traces = trace_of_session(session) | trace_of_topic(trace->set, publication->topic) | trace_of_publisher(broker, publication);
    if (!traces) return;
    enum trace_wait why = trace_wait_of(broker, session, session->queue.count - 1, qos); /* it is in there already */
    trace_note(broker, traces, TRACE_EVENT_queued, session_client_id(session),
               &(struct trace_facts){.topic = publication->topic, .numbers = {why, session->queue.count, mqtt_inflight_count(&session->inflight), qos}});
}

/* ---- gates ------------------------------------------------------------------------------------------------------ */

void trace_verdict(struct broker_shard *broker, const struct feature_client *client, const struct session *session, enum mqtt_packet_type action, struct span topic,
                   struct feature_verdict verdict)
{
    uint32_t traces = trace_of_session(session) | (action == MQTT_PUBLISH ? trace_of_topic(broker->trace->set, topic) : 0);
    if (!traces) return;
    char text[512];
    features_describe(broker, client, verdict, text, sizeof text);
    trace_note(broker, traces, TRACE_EVENT_authorization, session_client_id(session),
               &(struct trace_facts){.topic = topic, .text = span_of_string(text), .reason = verdict.reason, .numbers = {verdict.decision, action}});
}

void trace_login(struct broker_shard *broker, const struct conn *conn, const struct feature_client *client, struct feature_verdict verdict)
{
    if (verdict.decision == FEATURE_PASS && !verdict.what) return; /* it has nothing to say about this client */
    char text[512];
    features_describe(broker, client, verdict, text, sizeof text);
    trace_conn(broker, TRACE_EVENT_login, conn, &(struct trace_facts){.text = span_of_string(text), .reason = verdict.reason, .numbers = {verdict.decision}});
}
