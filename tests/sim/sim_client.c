#include "tests/sim/sim_client.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "proto/decode.h"
#include "proto/encode.h"
#include "tests/sim/fake_kernel.h"

static bool chance(const struct sim_rules *rules, uint32_t in_256) { return random_below(rules->random, 256) < in_256; }

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static void send_packet(struct sim_client *client, const struct mqtt_packet *packet)
{
    size_t bytes = mqtt_encoded_bytes(client->version, packet);
    CHECK(bytes > 0);
    CHECK(mqtt_encode(fake_bytes_room(&client->out, bytes), bytes, client->version, packet) == bytes);
    client->out.bytes += bytes;
}

static void send_ack(struct sim_client *client, enum mqtt_packet_type type, uint16_t packet_id)
{
    struct mqtt_packet packet = {.type = type, .ack = {.packet_id = packet_id}};
    send_packet(client, &packet);
}

/* By publisher, QoS and number: sent again on another connection. On the one before, this one may have been refused (0x97, whether or not its publisher has heard of
 * it) and the one behind it not. MQTT 3 clients are disconnected by a refusal, so that nothing behind it is taken. */
static bool late[SIM_CLIENTS_MAX][3][SIM_SEQUENCE_MAX];

/* By publisher and number: retained QoS 1 messages that were sent once more when a later one had its acknowledgement: so they are the topic's again. */
static bool again[SIM_CLIENTS_MAX][SIM_SEQUENCE_MAX];

/* ---- life ------------------------------------------------------------------------------------------------------- */

void sim_client_init(struct sim_client *client, uint32_t number, enum sim_role role, struct random_source *random)
{
    static const enum mqtt_version versions[] = {MQTT_3_1, MQTT_3_1_1, MQTT_5, MQTT_5};
    memset(client, 0, sizeof *client);
    memset(late[number], 0, sizeof late[number]);
    memset(again[number], 0, sizeof again[number]);
    client->number = number;
    client->role = role;
    client->version = versions[random_below(random, 4)];
    client->socket = client->forgotten = -1;
    client->read_chance = random_below(random, 4) == 0 ? 20 : 200;
    snprintf(client->client_id, sizeof client->client_id, "client-%u", number);
    mqtt_inflight_init(&client->window, SIM_WINDOW_MAX);
    mqtt_incoming_init(&client->incoming, UINT16_MAX);
    for (uint32_t p = 0; p < SIM_CLIENTS_MAX; p++)
        for (int q = 0; q < 3; q++)
            client->receptions[p][q].highest = -1;
}

void sim_client_release(struct sim_client *client)
{
    mqtt_inflight_release(&client->window, NULL, NULL);
    mqtt_incoming_release(&client->incoming);
    memory_release(client->in.data);
    memory_release(client->out.data);
    memory_release(client->wire.data);
    fake_link_release(&client->link);
}

static void lose_socket(struct sim_client *client)
{
    client->socket = -1;
    client->connected = false;
    client->pubacks_due_count = 0;
    client->in.bytes = client->out.bytes = client->wire.bytes = 0;
    fake_link_release(&client->link);
}

static void hang_up(struct sim_client *client, bool reset)
{
    fake_hang_up(client->socket, reset);
    lose_socket(client);
}

static void dial(struct sim_client *client, const struct sim_rules *rules, bool clean)
{
    client->socket = fake_connect((uint32_t)random_below(rules->random, rules->shards_count));
    client->in.bytes = client->out.bytes = client->wire.bytes = 0;
    fake_link_open(&client->link, rules->layers, &client->wire);
    struct mqtt_packet packet = {.type = MQTT_CONNECT,
                                 .connect = {.version = client->version, .clean_start = clean,
                                             .client_id = span_of_string(client->client_id)}};
    struct mqtt_properties *properties = &packet.connect.properties;
    properties->present = 0;
    if (client->version == MQTT_5 && !clean) {
        properties->session_expiry_s = 100000;
        mqtt_set(properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
        properties->receive_maximum = (uint16_t)(1 + random_below(rules->random, 10));
        mqtt_set(properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
        properties->topic_alias_maximum = (uint16_t)random_below(rules->random, 3);
        mqtt_set(properties, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
    }
    if (client->role == SIM_CHAOTIC && chance(rules, 100)) {
        packet.connect.has_will = true;
        packet.connect.will = (struct mqtt_will){.qos = 1, .retain = chance(rules, 60), .topic = SPAN_LITERAL("w/will"),
                                                 .payload = SPAN_LITERAL("gone")};
        packet.connect.will.properties.present = 0;
    }
    send_packet(client, &packet);
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

static uint64_t user_of(uint32_t qos, uint32_t number) { return (uint64_t)qos << 32 | number; }

bool sim_retains(uint32_t qos, uint32_t number) { return qos == 0 ? number % 7 == 0 : qos == 1 && number % 5 == 0; }

bool sim_client_again(uint32_t publisher, uint32_t number) { return again[publisher][number]; }

static void note_again(const struct sim_client *client, uint32_t number)
{
    for (uint32_t n = number + 1; n < client->flows[1].published; n++)
        if (sim_retains(1, n) && client->flows[1].acknowledged[n]) again[client->number][number] = true;
}

static void send_publish(struct sim_client *client, const struct sim_rules *rules, uint32_t qos, uint32_t number,
                         uint16_t packet_id, bool dup)
{
    static uint8_t payload[8192];
    if (dup && qos == 1 && sim_retains(qos, number)) note_again(client, number);
    if (qos == 1) {
        CHECK(client->pubacks_due_count < SIM_WINDOW_MAX);
        client->pubacks_due[client->pubacks_due_count++] = packet_id;
    }
    char topic[32];
    snprintf(topic, sizeof topic, "s/%u/%u", client->number, qos);
    uint32_t filler = number * 37 % (rules->filler_max + 1); /* the same each time the message is sent */
    memcpy(payload, &number, sizeof number);
    memset(payload + 4, (int)(number & 0xff), filler);
    struct mqtt_packet packet = {.type = MQTT_PUBLISH,
                                 .publish = {.dup = dup, .qos = (uint8_t)qos, .packet_id = packet_id,
                                             .retain = sim_retains(qos, number),
                                             .topic = span_of_string(topic), .payload = span_of(payload, 4 + filler)}};
    packet.publish.properties.present = 0;
    packet.publish.properties.raw = span_of(NULL, 0);
    send_packet(client, &packet);
}

/* One, or some of one topic at once: those may cross shards together (broker/runs.h), and here go the shortest way. */
static void publish_new(struct sim_client *client, const struct sim_rules *rules)
{
    uint32_t qos = (uint32_t)random_below(rules->random, 3), count = chance(rules, 60) ? 1 + (uint32_t)random_below(rules->random, rules->rows ? 40 : 6) : 1;
    struct sim_flow *flow = &client->flows[qos];
    while (count--) {
        if (flow->published == SIM_SEQUENCE_MAX || (qos && mqtt_inflight_full(&client->window))) return;
        uint32_t number = flow->published++;
        uint16_t packet_id = qos ? mqtt_inflight_add(&client->window, NULL, (uint8_t)qos, user_of(qos, number)) : 0;
        send_publish(client, rules, qos, number, packet_id, false);
    }
}

static void resend(struct sim_client *client, const struct sim_rules *rules)
{
    struct mqtt_inflight_entry entry;
    while (mqtt_inflight_resend_next(&client->window, &entry)) {
        if (entry.state == MQTT_INFLIGHT_RELEASING)
            send_ack(client, MQTT_PUBREL, entry.packet_id);
        else
            send_publish(client, rules, entry.qos, (uint32_t)entry.user, entry.packet_id, true);
    }
}

bool sim_client_late(uint32_t publisher, uint32_t qos, uint32_t number) { return late[publisher][qos][number]; }

static void note_late(const struct sim_client *client)
{
    struct mqtt_inflight_entry entry;
    for (uint16_t cursor = 0; mqtt_inflight_next(&client->window, &cursor, &entry);)
        late[client->number][entry.qos][(uint32_t)entry.user] = true;
}

/* ---- what the broker says --------------------------------------------------------------------------------------- */

/* Half of those that may have one ask for a subscription identifier: it must come with every message, wherever that has waited. 0: none. */
static uint32_t subscription_id_of(const struct sim_client *client)
{
    return client->version == MQTT_5 && client->role != SIM_CHAOTIC && client->number % 2 ? 200 + client->number : 0;
}

static void subscribe_all(struct sim_client *client, const struct sim_rules *rules)
{
    const struct span filter = client->role == SIM_SHARED ? SPAN_LITERAL("$share/group/s/#") : SPAN_LITERAL("s/#");
    struct mqtt_subscription entries[2] = {{.full_filter = filter, .qos = 2, .retain_handling = 2},
                                           {.full_filter = SPAN_LITERAL("s/+/2"), .qos = 2, .retain_handling = 2}};
    if (client->version != MQTT_5) entries[0].retain_handling = entries[1].retain_handling = 0;
    /* Steady ones overlap themselves: still one copy each. */
    struct mqtt_packet packet = {.type = MQTT_SUBSCRIBE,
                                 .subscribe = {.packet_id = 1, .count = client->role == SIM_STEADY && !rules->rows ? 2 : 1,
                                               .subscriptions = entries}};
    packet.subscribe.properties.present = 0;
    if (subscription_id_of(client)) {
        packet.subscribe.properties.subscription_id = subscription_id_of(client);
        packet.subscribe.properties.subscription_ids = NULL;
        packet.subscribe.properties.subscription_ids_count = 1;
        mqtt_set(&packet.subscribe.properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
    }
    send_packet(client, &packet);
}

static void take_connack(struct sim_client *client, const struct sim_rules *rules, const struct mqtt_connack *connack)
{
    if (connack->reason == MQTT_REASON_SERVER_UNAVAILABLE) return hang_up(client, false); /* the disk refuses: again later */
    if (connack->reason) sim_fail("CONNECT refused", client, 0, connack->reason, 0);
    bool persistent = client->role != SIM_CHAOTIC;
    if (persistent && client->was_connected && !connack->session_present && client->version != MQTT_3_1)
        sim_fail("session lost", client, 0, 0, 0);
    client->connected = true;
    client->was_connected |= persistent;
    uint16_t receive_maximum = SIM_WINDOW_MAX;
    if (mqtt_has(&connack->properties, MQTT_PROPERTY_RECEIVE_MAXIMUM) && connack->properties.receive_maximum < SIM_WINDOW_MAX)
        receive_maximum = connack->properties.receive_maximum;
    if (!connack->session_present && client->version != MQTT_3_1) {
        mqtt_incoming_release(&client->incoming);
        mqtt_inflight_release(&client->window, NULL, NULL);
    }
    if (rules->fills && client->version == MQTT_5) note_late(client);
    mqtt_inflight_resume(&client->window, receive_maximum);
    resend(client, rules);
    if (client->role == SIM_PUBLISHER) client->subscribed = true;
    if (persistent && !client->subscribed) subscribe_all(client, rules);
}

static void take_publish(struct sim_client *client, const struct sim_rules *rules, const struct mqtt_publish *publish)
{
    uint32_t publisher, qos, number;
    char topic[64] = "";
    if (publish->qos == 2) {
        bool fresh = mqtt_incoming_add(&client->incoming, publish->packet_id) == MQTT_INCOMING_NEW;
        send_ack(client, MQTT_PUBREC, publish->packet_id);
        if (!fresh) return;
    } else if (publish->qos == 1) {
        send_ack(client, MQTT_PUBACK, publish->packet_id);
    }
    if (client->role == SIM_CHAOTIC) return;
    if (publish->topic.bytes == 0 && client->version == MQTT_5) /* an alias: the payload says enough, but not who */
        return sim_fail("alias not resolved by the caller", client, 0, 0, 0);
    memcpy(topic, publish->topic.data, publish->topic.bytes < 63 ? publish->topic.bytes : 63);
    if (sscanf(topic, "s/%u/%u", &publisher, &qos) != 2) return;
    if (publisher >= SIM_CLIENTS_MAX || qos > 2 || publish->payload.bytes < 4)
        sim_fail("a message nobody published", client, publisher, qos, 0);
    memcpy(&number, publish->payload.data, sizeof number);
    if (number >= SIM_SEQUENCE_MAX) sim_fail("a message nobody published", client, publisher, qos, number);
    for (size_t i = 4; i < publish->payload.bytes; i++)
        if (publish->payload.data[i] != (uint8_t)number) sim_fail("payload damaged", client, publisher, qos, number);
    uint32_t id = mqtt_has(&publish->properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER) ? publish->properties.subscription_id : 0;
    if (client->version == MQTT_5 && id != subscription_id_of(client)) sim_fail("not its subscription identifier", client, publisher, qos, number);
    if (publish->retain) return; /* what was there before; the live copies are counted */
    struct sim_reception *reception = &client->receptions[publisher][qos];
    bool first = reception->times[number]++ == 0;
    if (!first && qos == 2) sim_fail("QoS 2 message twice", client, publisher, qos, number);
    if (!first && qos == 0) sim_fail("QoS 0 message twice", client, publisher, qos, number);
    if (first && client->role == SIM_STEADY && (int32_t)number < reception->highest && !late[publisher][qos][number] && !rules->returns)
        sim_fail("order broken", client, publisher, qos, number);
    if ((int32_t)number > reception->highest) reception->highest = (int32_t)number;
}

/* [MQTT-4.6.0-2], also behind a message that was refused: its 3.x client is disconnected, and nothing behind it is acknowledged. */
static void check_puback_order(struct sim_client *client, uint16_t packet_id)
{
    if (client->pubacks_due_count == 0 || client->pubacks_due[0] != packet_id) sim_fail("PUBACK out of order", client, client->number, 1, packet_id);
    client->pubacks_due_count--;
    memmove(client->pubacks_due, client->pubacks_due + 1, client->pubacks_due_count * sizeof *client->pubacks_due);
}

static void take_ack(struct sim_client *client, const struct sim_rules *rules, enum mqtt_packet_type type,
                     const struct mqtt_ack *ack)
{
    struct mqtt_inflight_entry entry;
    enum mqtt_inflight_verdict verdict;
    if (type == MQTT_PUBREL) {
        mqtt_incoming_remove(&client->incoming, ack->packet_id);
        return send_ack(client, MQTT_PUBCOMP, ack->packet_id);
    }
    if (type == MQTT_PUBACK) check_puback_order(client, ack->packet_id);
    if (ack->reason == MQTT_REASON_QUOTA_EXCEEDED) return hang_up(client, false); /* the disk refuses: sent again on the next connection */
    if (type == MQTT_PUBREC) {
        verdict = mqtt_inflight_pubrec(&client->window, ack->packet_id, ack->reason, &entry);
        if (verdict == MQTT_INFLIGHT_OK && !mqtt_reason_is_error(ack->reason)) send_ack(client, MQTT_PUBREL, ack->packet_id);
        return resend(client, rules);
    }
    verdict = type == MQTT_PUBACK ? mqtt_inflight_puback(&client->window, ack->packet_id, &entry)
                                  : mqtt_inflight_pubcomp(&client->window, ack->packet_id, &entry);
    if (verdict != MQTT_INFLIGHT_OK) return;
    client->flows[entry.user >> 32].acknowledged[(uint32_t)entry.user] = true;
    resend(client, rules);
}

static void take_packet(struct sim_client *client, const struct sim_rules *rules, const struct mqtt_packet *packet)
{
    client->packets_in++;
    switch (packet->type) {
    case MQTT_CONNACK: return take_connack(client, rules, &packet->connack);
    case MQTT_PUBLISH: return take_publish(client, rules, &packet->publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return take_ack(client, rules, packet->type, &packet->ack);
    case MQTT_SUBACK:
        for (uint32_t i = 0; i < packet->suback.codes.bytes; i++)
            if (packet->suback.codes.data[i] >= 0x80) return hang_up(client, false); /* the disk refuses: again on the next connection */
        if (packet->suback.packet_id == 1 && client->role != SIM_CHAOTIC) client->subscribed = true;
        return;
    default: return;
    }
}

/* Topic aliases are resolved before anything else looks at the packet. */
static struct span aliases[SIM_CLIENTS_MAX][16];
static char alias_texts[SIM_CLIENTS_MAX][16][64];

static void resolve_alias(struct sim_client *client, struct mqtt_packet *packet)
{
    if (packet->type != MQTT_PUBLISH || !mqtt_has(&packet->publish.properties, MQTT_PROPERTY_TOPIC_ALIAS)) return;
    uint16_t alias = packet->publish.properties.topic_alias;
    if (alias == 0 || alias >= 16) sim_fail("alias above the maximum", client, 0, 0, alias);
    struct span *known = &aliases[client->number][alias];
    if (packet->publish.topic.bytes) {
        memcpy(alias_texts[client->number][alias], packet->publish.topic.data, packet->publish.topic.bytes);
        *known = span_of(alias_texts[client->number][alias], packet->publish.topic.bytes);
    }
    packet->publish.topic = *known;
}

static void take_bytes(struct sim_client *client, const struct sim_rules *rules)
{
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_SERVER, .version = client->version};
    struct mqtt_packet packet;
    while (client->socket >= 0 && client->in.bytes) {
        struct mqtt_decoded decoded = mqtt_decode(span_of(client->in.data, client->in.bytes), &limits, &packet);
        if (decoded.status == MQTT_NEED_MORE) return;
        if (decoded.status == MQTT_MALFORMED) sim_fail(decoded.what, client, 0, 0, 0);
        resolve_alias(client, &packet);
        take_packet(client, rules, &packet);
        if (client->socket < 0) return; /* it hung up, and its bytes went */
        fake_bytes_drop(&client->in, decoded.bytes);
    }
}

/* ---- a step ----------------------------------------------------------------------------------------------------- */

static void move_bytes(struct sim_client *client, const struct sim_rules *rules)
{
    if (client->out.bytes && chance(rules, 128)) {
        fake_link_send(&client->link, client->out.data, client->out.bytes, rules->random, &client->wire);
        client->out.bytes = 0;
    }
    if (client->wire.bytes) {
        size_t most = chance(rules, 60) ? 1 + random_below(rules->random, 20) : client->wire.bytes;
        if (most > client->wire.bytes) most = client->wire.bytes;
        int taken = fake_client_send(client->socket, client->wire.data, most);
        if (taken > 0) fake_bytes_drop(&client->wire, (size_t)taken);
    }
    if (!chance(rules, client->read_chance)) return;
    uint8_t wire[4096];
    size_t most = chance(rules, 60) ? 1 + random_below(rules->random, 30) : sizeof wire;
    int got = fake_client_receive(client->socket, wire, most);
    if (got > 0 && !fake_link_receive(&client->link, wire, (size_t)got, &client->in))
        sim_fail("the broker's filters broke their rules", client, 0, 0, rules->layers);
    take_bytes(client, rules);
    if (got < 0) hang_up(client, false); /* the broker has ended the connection */
}

static void act_chaotic(struct sim_client *client, const struct sim_rules *rules)
{
    static const char *const filters[] = {"s/#", "s/+/0", "#", "$share/other/s/+/1", "w/#", "+/+/+", "s/1/1", "$SYS/#"};
    uint32_t what = (uint32_t)random_below(rules->random, 12);
    struct span filter = span_of_string(filters[random_below(rules->random, 8)]);
    struct mqtt_packet packet;
    struct mqtt_subscription entry;
    if (what < 3) {
        entry = (struct mqtt_subscription){.full_filter = filter, .qos = (uint8_t)(what % 3)};
        packet = (struct mqtt_packet){.type = MQTT_SUBSCRIBE,
                                      .subscribe = {.packet_id = 7, .count = 1, .subscriptions = &entry}};
        packet.subscribe.properties.present = 0;
    } else if (what < 4) {
        packet = (struct mqtt_packet){.type = MQTT_UNSUBSCRIBE,
                                      .unsubscribe = {.packet_id = 8, .count = 1, .filters = &filter}};
        packet.unsubscribe.properties.present = 0;
    } else if (what < 5) {
        packet = (struct mqtt_packet){.type = MQTT_PINGREQ};
    } else if (what < 6) {
        packet = (struct mqtt_packet){.type = MQTT_PUBLISH,
                                      .publish = {.retain = true, .topic = span_of_string("w/kept"),
                                                  .payload = span_of("x", random_below(rules->random, 2))}};
        packet.publish.properties.present = 0;
        packet.publish.properties.raw = span_of(NULL, 0);
    } else if (what < 7 && client->version == MQTT_5) {
        packet = (struct mqtt_packet){.type = MQTT_DISCONNECT};
        packet.disconnect.properties.present = 0;
    } else {
        return;
    }
    send_packet(client, &packet);
}

static void misbehave(struct sim_client *client, const struct sim_rules *rules)
{
    if (chance(rules, 2)) return hang_up(client, chance(rules, 128));
    if (client->forgotten < 0 && chance(rules, 2)) { /* half-open: the broker still believes in the old one */
        client->forgotten = client->socket;
        return lose_socket(client);
    }
}

void sim_client_step(struct sim_client *client, const struct sim_rules *rules)
{
    if (client->forgotten >= 0 && chance(rules, 10)) {
        fake_hang_up(client->forgotten, chance(rules, 128));
        client->forgotten = -1;
    }
    if (client->socket < 0) {
        bool clean = client->role == SIM_CHAOTIC && chance(rules, 128);
        if (chance(rules, 64)) dial(client, rules, clean);
        return;
    }
    move_bytes(client, rules);
    if (client->socket < 0 || !client->connected || !rules->chaos) return;
    if (client->role == SIM_CHAOTIC && chance(rules, 40)) act_chaotic(client, rules);
    if (rules->pressure) {
        if (client->role == SIM_PUBLISHER && chance(rules, 220)) publish_new(client, rules);
        return;
    }
    if (client->role != SIM_CHAOTIC && client->subscribed && chance(rules, rules->rows ? 8 : 50)) publish_new(client, rules);
    misbehave(client, rules);
}

void sim_client_cut(struct sim_client *client)
{
    if (client->forgotten >= 0) fake_hang_up(client->forgotten, true);
    client->forgotten = -1;
    if (client->socket >= 0) hang_up(client, true);
}

bool sim_client_quiet(const struct sim_client *client)
{
    if (client->role == SIM_CHAOTIC) return true;
    return client->connected && client->subscribed && client->out.bytes == 0 && client->wire.bytes == 0 && client->in.bytes == 0 &&
           mqtt_inflight_count(&client->window) == 0;
}

bool sim_client_leave(struct sim_client *client, const struct sim_rules *rules)
{
    if (client->forgotten >= 0) {
        fake_hang_up(client->forgotten, false);
        client->forgotten = -1;
    }
    if (!client->leaving) {
        client->leaving = true;
        client->role = SIM_CHAOTIC; /* promised nothing any more */
        if (client->socket >= 0) hang_up(client, false);
    }
    if (client->socket < 0) {
        dial(client, rules, true);
        return false;
    }
    move_bytes(client, rules);
    if (client->socket < 0 || !client->connected) return false;
    hang_up(client, false);
    return true;
}
