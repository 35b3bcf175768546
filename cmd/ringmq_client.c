/* The session's side of the client: what the packets mean. Bytes and connections are in ringmq_client_link.c. */
#include "cmd/ringmq_client.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_client_link.h"
#include "proto/encode.h"

#define OUT_BYTES_MAX (256u << 10) /* more than this waiting to be sent, and publishing pauses */
#define LEAVE_MS      2000         /* for exchanges under way, before the goodbye */

/* A QoS 1 or 2 publish until its last acknowledgement: the packet as it is sent again, without a topic alias. */
struct sent_message {
    size_t bytes;
    uint8_t packet[];
};

static void tell_published(struct client *client, struct mqtt_inflight_entry entry, enum mqtt_reason reason)
{
    memory_release(entry.message);
    if (client->events->published) client->events->published(client->context, entry.user, reason);
}

static void send_ack(struct client *client, enum mqtt_packet_type type, uint16_t packet_id, enum mqtt_reason reason)
{
    struct mqtt_packet packet = {.type = type, .ack = {.packet_id = packet_id, .reason = reason}};
    link_queue(client, &packet);
}

/* ---- publishing ---- */

bool client_can_publish(const struct client *client, uint8_t qos)
{
    if (client->state != CLIENT_ONLINE || client->out.end - client->out.begin > OUT_BYTES_MAX) return false;
    return qos == 0 || !mqtt_inflight_full(&client->inflight);
}

bool client_idle(const struct client *client)
{
    return client->out.begin == client->out.end && mqtt_inflight_count(&client->inflight) == 0;
}

static enum mqtt_reason judge_publish(const struct client *client, const struct mqtt_packet *packet)
{
    if (packet->publish.qos > client->server.maximum_qos) return MQTT_REASON_QOS_NOT_SUPPORTED;
    if (packet->publish.retain && !client->server.retain_available) return MQTT_REASON_RETAIN_NOT_SUPPORTED;
    size_t bytes = mqtt_encoded_bytes(client->settings.connect.version, packet);
    if (bytes == 0) return MQTT_REASON_PACKET_TOO_LARGE;
    if (client->server.packet_bytes_max && bytes > client->server.packet_bytes_max) return MQTT_REASON_PACKET_TOO_LARGE;
    return MQTT_REASON_SUCCESS;
}

static void keep_for_resend(struct client *client, struct mqtt_packet *packet, uint64_t token)
{
    struct mqtt_packet full = *packet;
    full.publish.properties.present &= ~(1ull << MQTT_PROPERTY_TOPIC_ALIAS);
    full.publish.packet_id = 1; /* only to measure */
    enum mqtt_version version = client->settings.connect.version;
    size_t bytes = mqtt_encoded_bytes(version, &full);
    struct sent_message *message = memory_acquire(sizeof *message + bytes);
    message->bytes = bytes;
    full.publish.packet_id = mqtt_inflight_add(&client->inflight, message, full.publish.qos, token);
    mqtt_encode(message->packet, bytes, version, &full);
    packet->publish.packet_id = full.publish.packet_id;
}

/* The first packet teaches the server the alias, later ones leave out the topic. */
static void use_alias(struct client *client, struct mqtt_publish *publish)
{
    if (!mqtt_has(&publish->properties, MQTT_PROPERTY_TOPIC_ALIAS)) return;
    uint16_t alias = publish->properties.topic_alias;
    if (alias > client->server.topic_alias_maximum) {
        publish->properties.present &= ~(1ull << MQTT_PROPERTY_TOPIC_ALIAS);
        return;
    }
    if (client->alias_known == alias && span_equal(span_of_string(client->alias_topic), publish->topic)) {
        publish->topic = SPAN_LITERAL("");
        return;
    }
    memory_release(client->alias_topic);
    client->alias_topic = memory_copy_string(publish->topic);
    client->alias_known = alias;
}

enum mqtt_reason client_publish(struct client *client, const struct mqtt_publish *publish, uint64_t token)
{
    CHECK(client_can_publish(client, publish->qos));
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .publish = *publish};
    packet.publish.packet_id = publish->qos ? 1 : 0;
    enum mqtt_reason reason = judge_publish(client, &packet);
    if (reason) return reason;
    if (publish->qos) keep_for_resend(client, &packet, token);
    use_alias(client, &packet.publish);
    link_queue(client, &packet);
    return MQTT_REASON_SUCCESS;
}

static void resend(struct client *client, struct mqtt_inflight_entry entry)
{
    if (entry.state == MQTT_INFLIGHT_PUBLISHED) {
        struct sent_message *message = entry.message;
        if (!client->resend_as_new) message->packet[0] |= MQTT_FLAG_DUP;
        link_queue_bytes(client, span_of(message->packet, message->bytes));
        return;
    }
    if (!client->resend_as_new) {
        send_ack(client, MQTT_PUBREL, entry.packet_id, MQTT_REASON_SUCCESS);
        return;
    }
    /* The server said PUBREC and then forgot the session: it has the message, and nothing is left to release. */
    mqtt_inflight_pubcomp(&client->inflight, entry.packet_id, &entry);
    tell_published(client, entry, MQTT_REASON_SUCCESS);
}

static void resend_all(struct client *client)
{
    struct mqtt_inflight_entry entry;
    while (mqtt_inflight_resend_next(&client->inflight, &entry))
        resend(client, entry);
}

/* ---- requests ---- */

static bool packet_id_in_use(const struct client *client, uint16_t packet_id)
{
    struct mqtt_inflight_entry entry;
    uint16_t cursor = 0;
    while (mqtt_inflight_next(&client->inflight, &cursor, &entry))
        if (entry.packet_id == packet_id) return true;
    return false;
}

static uint16_t next_request_id(struct client *client)
{
    do
        client->request_id_last = client->request_id_last <= 0x8000 ? UINT16_MAX : client->request_id_last - 1;
    while (packet_id_in_use(client, client->request_id_last));
    return client->request_id_last;
}

static uint16_t queue_request(struct client *client, const struct mqtt_packet *packet, uint16_t packet_id)
{
    CHECK(client->state == CLIENT_ONLINE);
    size_t bytes = mqtt_encoded_bytes(client->settings.connect.version, packet);
    if (bytes == 0 || (client->server.packet_bytes_max && bytes > client->server.packet_bytes_max)) return 0;
    link_queue(client, packet);
    return packet_id;
}

uint16_t client_subscribe(struct client *client, const struct mqtt_subscription *subscriptions, uint32_t count,
                          const struct mqtt_properties *properties)
{
    struct mqtt_packet packet = {.type = MQTT_SUBSCRIBE, .subscribe = {.subscriptions = subscriptions, .count = count}};
    if (properties) packet.subscribe.properties = *properties;
    packet.subscribe.packet_id = next_request_id(client);
    return queue_request(client, &packet, packet.subscribe.packet_id);
}

uint16_t client_unsubscribe(struct client *client, const struct span *filters, uint32_t count,
                            const struct mqtt_properties *properties)
{
    struct mqtt_packet packet = {.type = MQTT_UNSUBSCRIBE, .unsubscribe = {.filters = filters, .count = count}};
    if (properties) packet.unsubscribe.properties = *properties;
    packet.unsubscribe.packet_id = next_request_id(client);
    return queue_request(client, &packet, packet.unsubscribe.packet_id);
}

/* ---- packets from the server ---- */

static uint16_t smaller_window(uint16_t announced, uint16_t own)
{
    return own && own < announced ? own : announced;
}

static void read_announcements(struct client *client, const struct mqtt_connack *connack)
{
    const struct mqtt_properties *said = &connack->properties;
    client->server = (struct client_server){
        .session_present = connack->session_present,
        .receive_maximum = mqtt_has(said, MQTT_PROPERTY_RECEIVE_MAXIMUM) ? said->receive_maximum : UINT16_MAX,
        .topic_alias_maximum = mqtt_has(said, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM) ? said->topic_alias_maximum : 0,
        .keep_alive_s = mqtt_has(said, MQTT_PROPERTY_SERVER_KEEP_ALIVE) ? said->server_keep_alive_s
                                                                        : client->settings.connect.keep_alive_s,
        .maximum_qos = mqtt_has(said, MQTT_PROPERTY_MAXIMUM_QOS) ? said->maximum_qos : 2,
        .retain_available = !mqtt_has(said, MQTT_PROPERTY_RETAIN_AVAILABLE) || said->retain_available,
        .wildcard_available =
            !mqtt_has(said, MQTT_PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE) || said->wildcard_subscription_available,
        .subscription_ids_available =
            !mqtt_has(said, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE) || said->subscription_identifier_available,
        .shared_available =
            !mqtt_has(said, MQTT_PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE) || said->shared_subscription_available,
        .packet_bytes_max = mqtt_has(said, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE) ? said->maximum_packet_bytes : 0,
        .announced = said->present,
    };
}

static void on_connack(struct client *client, const struct mqtt_connack *connack)
{
    if (mqtt_reason_is_error(connack->reason)) {
        struct span said = mqtt_has(&connack->properties, MQTT_PROPERTY_REASON_STRING)
                               ? connack->properties.reason_string
                               : SPAN_LITERAL("");
        link_end(client, CLIENT_CAUSE_REFUSED, connack->reason, "%s refused the connection: %s (0x%02X)%s%.*s",
                 client->settings.net.name, mqtt_reason_name(connack->reason),
                 connack->reason, said.bytes ? ": " : "", SPAN_PRINT(said));
        return;
    }
    bool asked_clean = client->settings.connect.clean_start && !(client->opened_before && client->settings.resume);
    if (connack->session_present && asked_clean) { /* [MQTT-3.2.2-4] */
        link_end(client, CLIENT_CAUSE_PROTOCOL, MQTT_REASON_SUCCESS,
                 "%s says it has a session of ours, though we asked for a new one", client->settings.net.name);
        return;
    }
    read_announcements(client, connack);
    if (mqtt_has(&connack->properties, MQTT_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER)) {
        memory_release(client->client_id);
        client->client_id = memory_copy_string(connack->properties.assigned_client_id);
    }
    const struct mqtt_properties *asked = &client->settings.connect.properties;
    uint16_t own_window = mqtt_has(asked, MQTT_PROPERTY_RECEIVE_MAXIMUM) ? asked->receive_maximum : UINT16_MAX;
    if (!connack->session_present) mqtt_incoming_release(&client->incoming);
    mqtt_incoming_resume(&client->incoming, own_window);
    client->held_count = 0;
    client->resend_as_new = !connack->session_present;
    client->opened_before = true;
    client->state = CLIENT_ONLINE;
    client->state_until_ms = UINT64_MAX;
    mqtt_inflight_resume(&client->inflight,
                         smaller_window(client->server.receive_maximum, client->settings.inflight_max));
    resend_all(client);
    if (client->events->online) client->events->online(client->context, connack);
}

static void hold_ack(struct client *client, uint16_t packet_id)
{
    if (client->held_count == client->held_capacity) {
        client->held_capacity = client->held_capacity ? client->held_capacity * 2 : 16;
        client->held_acks = memory_resize(client->held_acks, client->held_capacity * sizeof *client->held_acks);
    }
    client->held_acks[client->held_count++] = packet_id;
}

void client_release_acks(struct client *client)
{
    for (uint32_t i = 0; i < client->held_count; i++) {
        mqtt_incoming_qos1_remove(&client->incoming);
        send_ack(client, MQTT_PUBACK, client->held_acks[i], MQTT_REASON_SUCCESS);
    }
    client->held_count = 0;
}

static void window_exceeded(struct client *client)
{
    link_break(client, MQTT_REASON_RECEIVE_MAXIMUM_EXCEEDED, "the server sent more than our Receive Maximum");
}

static void hand_on(struct client *client, const struct mqtt_publish *publish)
{
    if (client->events->message) client->events->message(client->context, publish);
}

static void on_publish(struct client *client, struct mqtt_publish *publish)
{
    if (client->state == CLIENT_LEAVING) return; /* unacknowledged, so a session that stays gets it again */
    if (mqtt_has(&publish->properties, MQTT_PROPERTY_TOPIC_ALIAS)) {
        enum mqtt_reason reason =
            mqtt_alias_in_resolve(&client->aliases, publish->properties.topic_alias, publish->topic, &publish->topic);
        if (reason) {
            link_break(client, reason, "the server used a topic alias that it may not use");
            return;
        }
    }
    if (publish->qos == 0) {
        hand_on(client, publish);
        return;
    }
    if (publish->qos == 1) {
        if (!mqtt_incoming_qos1_add(&client->incoming)) {
            window_exceeded(client);
            return;
        }
        hand_on(client, publish);
        if (client->state == CLIENT_CLOSED) return;
        hold_ack(client, publish->packet_id);
        if (!client->settings.hold_acks) client_release_acks(client);
        return;
    }
    enum mqtt_incoming_verdict verdict = mqtt_incoming_add(&client->incoming, publish->packet_id);
    if (verdict == MQTT_INCOMING_EXCEEDED) {
        window_exceeded(client);
        return;
    }
    if (verdict == MQTT_INCOMING_NEW) hand_on(client, publish);
    if (client->state == CLIENT_CLOSED) return;
    send_ack(client, MQTT_PUBREC, publish->packet_id, MQTT_REASON_SUCCESS);
}

static void on_pubrel(struct client *client, uint16_t packet_id)
{
    bool known = mqtt_incoming_remove(&client->incoming, packet_id);
    send_ack(client, MQTT_PUBCOMP, packet_id, known ? MQTT_REASON_SUCCESS : MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND);
}

/* PUBACK, PUBREC and PUBCOMP: answers to what we published. */
static void on_answer(struct client *client, enum mqtt_packet_type type, const struct mqtt_ack *ack)
{
    struct mqtt_inflight_entry entry;
    enum mqtt_inflight_verdict verdict =
        type == MQTT_PUBACK   ? mqtt_inflight_puback(&client->inflight, ack->packet_id, &entry)
        : type == MQTT_PUBREC ? mqtt_inflight_pubrec(&client->inflight, ack->packet_id, ack->reason, &entry)
                              : mqtt_inflight_pubcomp(&client->inflight, ack->packet_id, &entry);
    if (verdict == MQTT_INFLIGHT_WRONG_STATE) {
        link_break(client, MQTT_REASON_PROTOCOL_ERROR, "an acknowledgement of the wrong kind");
        return;
    }
    if (verdict == MQTT_INFLIGHT_UNKNOWN) { /* of an earlier run of the same client id, perhaps */
        if (type == MQTT_PUBREC) send_ack(client, MQTT_PUBREL, ack->packet_id, MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND);
        return;
    }
    if (type == MQTT_PUBREC && entry.state == MQTT_INFLIGHT_RELEASING)
        send_ack(client, MQTT_PUBREL, ack->packet_id, MQTT_REASON_SUCCESS);
    else
        tell_published(client, entry, ack->reason);
    resend_all(client);
}

static void on_disconnect(struct client *client, const struct mqtt_disconnect *disconnect)
{
    struct span said = mqtt_has(&disconnect->properties, MQTT_PROPERTY_REASON_STRING)
                           ? disconnect->properties.reason_string
                           : SPAN_LITERAL("");
    link_end(client, CLIENT_CAUSE_DISCONNECTED, disconnect->reason, "%s disconnected us: %s (0x%02X)%s%.*s",
             client->settings.net.name, mqtt_reason_name(disconnect->reason),
             disconnect->reason, said.bytes ? ": " : "", SPAN_PRINT(said));
}

void client_packet(struct client *client, struct mqtt_packet *packet)
{
    if (client->events->trace) client->events->trace(client->context, false, packet);
    if ((client->state == CLIENT_HANDSHAKING) != (packet->type == MQTT_CONNACK) && packet->type != MQTT_AUTH) {
        link_break(client, MQTT_REASON_PROTOCOL_ERROR,
                   packet->type == MQTT_CONNACK ? "a second CONNACK" : "a packet before CONNACK");
        return;
    }
    switch (packet->type) {
    case MQTT_CONNACK: on_connack(client, &packet->connack); return;
    case MQTT_PUBLISH: on_publish(client, &packet->publish); return;
    case MQTT_PUBREL: on_pubrel(client, packet->ack.packet_id); return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBCOMP: on_answer(client, packet->type, &packet->ack); return;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        if (client->events->answered) client->events->answered(client->context, packet->type, &packet->suback);
        return;
    case MQTT_PINGRESP: client->ping_ms = 0; return;
    case MQTT_DISCONNECT: on_disconnect(client, &packet->disconnect); return;
    case MQTT_AUTH:
        link_break(client, MQTT_REASON_BAD_AUTHENTICATION_METHOD,
                   "the server wants enhanced authentication, which ringmq cannot do yet");
        return;
    default: UNREACHABLE("the decoder let a client's packet through");
    }
}

/* ---- life ---- */

void client_init(struct client *client, const struct client_settings *settings, const struct client_events *events,
                 void *context)
{
    *client =
        (struct client){.settings = *settings, .events = events, .context = context, .state_until_ms = UINT64_MAX};
    net_init(&client->net, &settings->net);
    client->client_id = memory_copy_string(settings->connect.client_id);
    mqtt_inflight_init(&client->inflight, UINT16_MAX);
    mqtt_incoming_init(&client->incoming, UINT16_MAX);
}

static void release_entry(void *context, struct mqtt_inflight_entry entry)
{
    memory_release(entry.message);
}

void client_release(struct client *client)
{
    link_close(client);
    mqtt_inflight_release(&client->inflight, release_entry, NULL);
    mqtt_incoming_release(&client->incoming);
    memory_release(client->in.data);
    memory_release(client->out.data);
    memory_release(client->client_id);
    memory_release(client->held_acks);
}

void client_disconnect(struct client *client, enum mqtt_reason reason, const struct mqtt_properties *properties)
{
    if (client->state == CLIENT_CONNECTING || client->state == CLIENT_HANDSHAKING) client_abort(client);
    if (client->state != CLIENT_ONLINE) return;
    client->leave_reason = reason;
    client->leave_properties = properties ? *properties : (struct mqtt_properties){.present = 0};
    client->state = CLIENT_LEAVING;
    client->state_until_ms = clock_now_ms() + LEAVE_MS;
}

void client_abort(struct client *client)
{
    link_end(client, CLIENT_CAUSE_LOCAL, MQTT_REASON_SUCCESS, "closed by ourselves");
}
