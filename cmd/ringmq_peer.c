#include "cmd/ringmq_peer.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_run.h"

/* ---- what arrives ---- */

static uint8_t *copy_into(uint8_t *at, struct span *span)
{
    if (span->bytes) memcpy(at, span->data, span->bytes);
    span->data = at;
    return at + span->bytes;
}

static void on_message(void *context, const struct mqtt_publish *publish)
{
    struct peer *peer = context;
    size_t bytes = publish->topic.bytes + publish->payload.bytes + publish->properties.raw.bytes;
    struct peer_message *message = memory_acquire(sizeof *message + bytes);
    message->next = NULL;
    message->publish = *publish;
    message->had_alias = mqtt_has(&publish->properties, MQTT_PROPERTY_TOPIC_ALIAS);
    uint8_t *at = copy_into(message->bytes, &message->publish.topic);
    at = copy_into(at, &message->publish.payload);
    copy_into(at, &message->publish.properties.raw);
    /* Decoded again, so that its spans point into the copy. */
    if (publish->properties.present)
        mqtt_properties_decode(message->publish.properties.raw, MQTT_IN(PUBLISH), MQTT_FROM_SERVER,
                               &message->publish.properties);
    if (peer->last)
        peer->last->next = message;
    else
        peer->first = message;
    peer->last = message;
}

static void on_answered(void *context, enum mqtt_packet_type type, const struct mqtt_suback *suback)
{
    struct peer *peer = context;
    peer->answer_id = suback->packet_id;
    peer->answer = suback->codes.bytes ? suback->codes.data[0] : MQTT_REASON_SUCCESS;
}

static void on_published(void *context, uint64_t token, enum mqtt_reason reason)
{
    struct peer *peer = context;
    peer->published_count++;
    peer->published_reason = reason;
}

static const struct client_events events = {.message = on_message, .answered = on_answered, .published = on_published};
static const struct client_events events_traced = {
    .message = on_message, .answered = on_answered, .published = on_published, .trace = run_trace};

/* ---- serving ---- */

void peers_serve(struct check *check, uint32_t wait_ms)
{
    struct pollfd watched[PEERS_MAX];
    uint64_t now_ms = clock_now_ms(), wake_ms = now_ms + wait_ms;
    for (uint32_t i = 0; i < check->peers_count; i++) {
        watched[i] = client_pollfd(&check->peers[i]->client);
        uint64_t due_ms = client_wake_ms(&check->peers[i]->client);
        if (due_ms < wake_ms) wake_ms = due_ms;
    }
    poll(watched, check->peers_count, wake_ms > now_ms ? (int)(wake_ms - now_ms) : 0);
    for (uint32_t i = 0; i < check->peers_count; i++)
        client_turn(&check->peers[i]->client);
}

/* Serves all until `done` says so or the time is up. */
#define SERVE_UNTIL(check, wait, done)                                                                                 \
    for (uint64_t until_ms = clock_now_ms() + (wait), at_ms; !(done) && (at_ms = clock_now_ms()) < until_ms;)          \
    peers_serve(check, (uint32_t)(until_ms - at_ms))

/* Why the connection is over, if it is, as the remark. An older remark is nearer to the cause. */
static void note_end(struct peer *peer)
{
    struct check *check = peer->check;
    if (peer->client.state != CLIENT_CLOSED || check->note[0]) return;
    snprintf(check->note, sizeof check->note, "%s", peer->client.end.text);
}

/* ---- life ---- */

static bool wait_until_online(struct peer *peer)
{
    client_open(&peer->client);
    enum client_state *state = &peer->client.state;
    SERVE_UNTIL(peer->check, peer->check->wait_ms * 2, *state == CLIENT_ONLINE || *state == CLIENT_CLOSED);
    if (*state == CLIENT_CONNECTING || *state == CLIENT_HANDSHAKING) client_abort(&peer->client);
    note_end(peer);
    return *state == CLIENT_ONLINE;
}

bool peer_open(struct peer *peer, struct check *check, const char *name, const struct client_settings *settings)
{
    struct client_settings own = *settings;
    char id[96] = "";
    if (name) snprintf(id, sizeof id, "%s%s", check->tag, name);
    own.connect.client_id = span_of_string(id);
    *peer = (struct peer){.check = check};
    client_init(&peer->client, &own, check->options->debug ? &events_traced : &events, peer);
    CHECK(check->peers_count < PEERS_MAX);
    check->peers[check->peers_count++] = peer;
    return wait_until_online(peer);
}

bool peer_reopen(struct peer *peer)
{
    return wait_until_online(peer);
}

void peer_leave(struct peer *peer)
{
    client_disconnect(&peer->client, MQTT_REASON_NORMAL_DISCONNECTION, NULL);
    SERVE_UNTIL(peer->check, 4000, peer->client.state == CLIENT_CLOSED);
    client_abort(&peer->client);
}

void peer_vanish(struct peer *peer)
{
    client_abort(&peer->client);
}

void peer_close(struct peer *peer)
{
    struct check *check = peer->check;
    peer_leave(peer);
    for (uint32_t i = 0; i < check->peers_count; i++) {
        if (check->peers[i] != peer) continue;
        check->peers[i] = check->peers[--check->peers_count];
        break;
    }
    while (peer->first) {
        struct peer_message *message = peer->first;
        peer->first = message->next;
        memory_release(message);
    }
    client_release(&peer->client);
}

/* ---- requests ---- */

bool peer_subscribe(struct peer *peer, const char *topic, struct mqtt_subscription how, uint32_t subscription_id)
{
    if (peer->client.state != CLIENT_ONLINE) return false;
    how.full_filter = span_of_string(topic);
    struct mqtt_properties properties = {.present = 0};
    if (subscription_id) {
        properties.subscription_id = subscription_id;
        properties.subscription_ids_count = 1;
        mqtt_set(&properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
    }
    uint16_t id = client_subscribe(&peer->client, &how, 1, &properties);
    SERVE_UNTIL(peer->check, peer->check->wait_ms, peer->answer_id == id || peer->client.state != CLIENT_ONLINE);
    if (peer->answer_id == id && !mqtt_reason_is_error(peer->answer)) return true;
    struct check *check = peer->check;
    if (peer->answer_id == id)
        snprintf(check->note, sizeof check->note, "subscription refused: %s", mqtt_reason_name(peer->answer));
    else
        snprintf(check->note, sizeof check->note, "no SUBACK%s%s", peer->client.end.text[0] ? ": " : "",
                 peer->client.end.text);
    return false;
}

bool peer_publish(struct peer *peer, const char *topic, const char *payload, struct mqtt_publish how)
{
    struct check *check = peer->check;
    how.topic = span_of_string(topic);
    how.payload = span_of_string(payload);
    if (!client_can_publish(&peer->client, how.qos)) return false;
    uint32_t wanted = peer->published_count + (how.qos ? 1 : 0);
    enum mqtt_reason reason = client_publish(&peer->client, &how, 0);
    if (reason) {
        snprintf(check->note, sizeof check->note, "not offered by the server: %s", mqtt_reason_name(reason));
        return false;
    }
    peer->published_reason = MQTT_REASON_SUCCESS;
    SERVE_UNTIL(check, check->wait_ms,
                (peer->published_count >= wanted && peer->client.out.begin == peer->client.out.end) ||
                    peer->client.state != CLIENT_ONLINE);
    if (peer->published_count < wanted)
        snprintf(check->note, sizeof check->note, "a QoS %u publish was not acknowledged%s%s", how.qos,
                 peer->client.end.text[0] ? ": " : "", peer->client.end.text);
    else if (mqtt_reason_is_error(peer->published_reason))
        snprintf(check->note, sizeof check->note, "a publish was refused: %s",
                 mqtt_reason_name(peer->published_reason));
    return peer->published_count >= wanted && !mqtt_reason_is_error(peer->published_reason);
}

struct peer_message *peer_take(struct peer *peer)
{
    SERVE_UNTIL(peer->check, peer->check->wait_ms, peer->first || peer->client.state == CLIENT_CLOSED);
    struct peer_message *message = peer->first;
    if (message == NULL) {
        note_end(peer);
        return NULL;
    }
    peer->first = message->next;
    if (peer->first == NULL) peer->last = NULL;
    return message;
}

bool peer_hears_nothing(struct peer *peer, uint32_t wait_ms)
{
    SERVE_UNTIL(peer->check, wait_ms, peer->first);
    return peer->first == NULL;
}

bool peer_is_dropped(struct peer *peer, uint32_t wait_ms)
{
    SERVE_UNTIL(peer->check, wait_ms, peer->client.state == CLIENT_CLOSED);
    return peer->client.state == CLIENT_CLOSED;
}

bool message_is(const struct peer_message *message, const char *payload)
{
    return message && span_equal(message->publish.payload, span_of_string(payload));
}
