/* Capabilities of MQTT 5. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq_capability.h"

static const struct mqtt_subscription at_qos_1 = {.qos = 1};
static const struct mqtt_publish with_qos_1 = {.qos = 1}, retaining = {.qos = 1, .retain = true};

/* One connection is all most of them need. */
static enum capability_verdict with_peer(struct check *check, const char *name,
                                         enum capability_verdict (*try)(struct check *check, struct peer *peer))
{
    struct peer peer;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (open_peer(check, &peer, name)) verdict = try(check, &peer);
    peer_close(&peer);
    return verdict;
}

enum capability_verdict try_assigned_client_id(struct check *check, uint64_t *ret_us)
{
    struct peer peer;
    enum capability_verdict verdict = CAPABILITY_PASS;
    bool online = peer_open(&peer, check, NULL, &check->settings);
    if (!online && peer.client.end.reason == MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID)
        verdict = capability_absent(check, "the server wants a client id");
    else if (!online)
        verdict = CAPABILITY_FAIL;
    else if (peer.client.client_id[0] == 0)
        verdict = capability_fails(check, "an empty client id was accepted, but none assigned [MQTT-3.2.2-16]");
    else
        snprintf(check->note, sizeof check->note, "%.60s", peer.client.client_id);
    peer_close(&peer);
    return verdict;
}

/* ---- subscriptions ---- */

#define SHARED_MESSAGES 20

static enum capability_verdict shared(struct check *check, struct peer *one, struct peer *two)
{
    if (!one->client.server.shared_available) return capability_absent(check, "the server announced that it has none");
    char filter[200];
    const char *topic = check_topic(check, "shared");
    snprintf(filter, sizeof filter, "$share/%s/%s", check->tag, topic);
    if (!peer_subscribe(one, filter, at_qos_1, 0) || !peer_subscribe(two, filter, at_qos_1, 0)) return CAPABILITY_FAIL;
    for (int i = 0; i < SHARED_MESSAGES; i++)
        if (!peer_publish(one, topic, "work", with_qos_1)) return CAPABILITY_FAIL;
    uint32_t counts[2] = {0, 0};
    struct peer *peers[2] = {one, two};
    for (int i = 0; i < 2; i++)
        while (!peer_hears_nothing(peers[i], 100)) {
            memory_release(peer_take(peers[i]));
            counts[i]++;
        }
    snprintf(check->note, sizeof check->note, "%u + %u of %d messages", counts[0], counts[1], SHARED_MESSAGES);
    return counts[0] + counts[1] == SHARED_MESSAGES ? CAPABILITY_PASS : CAPABILITY_FAIL;
}

enum capability_verdict try_shared(struct check *check, uint64_t *ret_us)
{
    struct peer one, two;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    bool both = open_peer(check, &one, "one");
    both = open_peer(check, &two, "two") && both;
    if (both) verdict = shared(check, &one, &two);
    peer_close(&two);
    peer_close(&one);
    return verdict;
}

static enum capability_verdict subscription_ids(struct check *check, struct peer *peer)
{
    if (!peer->client.server.subscription_ids_available)
        return capability_absent(check, "the server announced that it has none");
    const char *topic = check_topic(check, "ids");
    if (!peer_subscribe(peer, topic, at_qos_1, 4711) || !peer_publish(peer, topic, "x", with_qos_1))
        return CAPABILITY_FAIL;
    struct peer_message *message = peer_take(peer);
    bool right = message && mqtt_has(&message->publish.properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER) &&
                 message->publish.properties.subscription_id == 4711;
    memory_release(message);
    return right ? CAPABILITY_PASS : capability_fails(check, "a message came without the subscription's identifier");
}

enum capability_verdict try_subscription_ids(struct check *check, uint64_t *ret_us)
{
    return with_peer(check, "ids", subscription_ids);
}

static enum capability_verdict no_local(struct check *check, struct peer *peer)
{
    const char *topic = check_topic(check, "local");
    if (!peer_subscribe(peer, topic, (struct mqtt_subscription){.qos = 1, .no_local = true}, 0)) return CAPABILITY_FAIL;
    if (!peer_publish(peer, topic, "own", with_qos_1)) return CAPABILITY_FAIL;
    return peer_hears_nothing(peer, 150) ? CAPABILITY_PASS : capability_fails(check, "our own message came back");
}

enum capability_verdict try_no_local(struct check *check, uint64_t *ret_us)
{
    return with_peer(check, "local", no_local);
}

/* Live messages lose their retain flag, unless the subscription asks to keep it [MQTT-3.3.1-12, -13]. */
static enum capability_verdict retain_as_published(struct check *check, struct peer *peer)
{
    if (!peer->client.server.retain_available) return capability_absent(check, "the server has no retained messages");
    bool flags[2];
    for (int keep = 0; keep < 2; keep++) {
        const char *topic = check_topic(check, keep ? "rap/kept" : "rap/plain");
        struct mqtt_subscription how = {.qos = 1, .retain_as_published = keep, .retain_handling = 2};
        if (!peer_subscribe(peer, topic, how, 0) || !peer_publish(peer, topic, "x", retaining)) return CAPABILITY_FAIL;
        struct peer_message *message = peer_take(peer);
        flags[keep] = message && message->publish.retain;
        bool came = message_is(message, "x");
        memory_release(message);
        peer_publish(peer, topic, "", retaining);
        memory_release(peer_take(peer));
        if (!came) return capability_fails(check, "no message came");
    }
    if (flags[0]) return capability_fails(check, "the retain flag was kept without being asked for");
    return flags[1] ? CAPABILITY_PASS : capability_fails(check, "the retain flag was not kept");
}

enum capability_verdict try_retain_as_published(struct check *check, uint64_t *ret_us)
{
    return with_peer(check, "rap", retain_as_published);
}

static enum capability_verdict retain_handling(struct check *check, struct peer *peer)
{
    if (!peer->client.server.retain_available) return capability_absent(check, "the server has no retained messages");
    const char *topic = check_topic(check, "handling");
    if (!peer_publish(peer, topic, "kept", retaining)) return CAPABILITY_FAIL;
    static const struct {
        uint8_t handling;
        bool delivers;
    } steps[] = {{2, false}, {1, false}, {0, true}}; /* never; only if new, which it is not; always */
    bool right = true;
    for (int i = 0; i < 3 && right; i++) {
        struct mqtt_subscription subscription = {.qos = 1, .retain_handling = steps[i].handling};
        right = peer_subscribe(peer, topic, subscription, 0);
        struct peer_message *message = NULL;
        if (right && (steps[i].delivers || !peer_hears_nothing(peer, 80))) message = peer_take(peer);
        right = right && (message != NULL) == steps[i].delivers;
        memory_release(message);
        if (!right) capability_fails(check, "retain handling %u was not kept", steps[i].handling);
    }
    peer_publish(peer, topic, "", retaining);
    return right ? CAPABILITY_PASS : CAPABILITY_FAIL;
}

enum capability_verdict try_retain_handling(struct check *check, uint64_t *ret_us)
{
    return with_peer(check, "handling", retain_handling);
}

/* ---- publishing ---- */

static enum capability_verdict topic_alias(struct check *check, struct peer *peer)
{
    if (peer->client.server.topic_alias_maximum == 0) return capability_absent(check, "the server takes none");
    const char *topic = check_topic(check, "alias");
    struct mqtt_publish how = {.qos = 1, .properties = {.topic_alias = 1}};
    mqtt_set(&how.properties, MQTT_PROPERTY_TOPIC_ALIAS);
    if (!peer_subscribe(peer, topic, at_qos_1, 0)) return CAPABILITY_FAIL;
    for (int i = 0; i < 2; i++) { /* the second one goes out without the topic */
        if (!peer_publish(peer, topic, "x", how)) return CAPABILITY_FAIL;
        struct peer_message *message = peer_take(peer);
        bool right = message && span_equal(message->publish.topic, span_of_string(topic));
        memory_release(message);
        if (!right) return capability_fails(check, "a message sent with an alias did not arrive under its topic");
    }
    snprintf(check->note, sizeof check->note, "up to %u", peer->client.server.topic_alias_maximum);
    return CAPABILITY_PASS;
}

enum capability_verdict try_topic_alias(struct check *check, uint64_t *ret_us)
{
    return with_peer(check, "alias", topic_alias);
}

/* A server need not use aliases itself. */
enum capability_verdict try_topic_alias_out(struct check *check, uint64_t *ret_us)
{
    struct client_settings settings = check->settings;
    settings.connect.properties.topic_alias_maximum = 10;
    mqtt_set(&settings.connect.properties, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
    struct peer peer;
    const char *topic = check_topic(check, "alias-out");
    bool fine = peer_open(&peer, check, "aliased", &settings) && peer_subscribe(&peer, topic, at_qos_1, 0);
    bool aliased = false;
    for (int i = 0; i < 3 && fine; i++) {
        fine = peer_publish(&peer, topic, "x", with_qos_1);
        struct peer_message *message = fine ? peer_take(&peer) : NULL;
        fine = message && span_equal(message->publish.topic, span_of_string(topic));
        aliased = aliased || (message && message->had_alias);
        memory_release(message);
    }
    enum capability_verdict verdict = CAPABILITY_PASS;
    if (!fine)
        verdict = capability_fails(check, "a message was lost or had the wrong topic");
    else if (!aliased)
        verdict = capability_absent(check, "the server does not make use of them");
    peer_close(&peer);
    return verdict;
}

static bool same_properties(const struct mqtt_properties *got)
{
    struct span rest = got->raw;
    struct mqtt_user_property pair;
    return mqtt_has(got, MQTT_PROPERTY_CORRELATION_DATA) &&
           span_equal(got->correlation_data, SPAN_LITERAL("\x01\x00\xFF")) &&
           mqtt_has(got, MQTT_PROPERTY_CONTENT_TYPE) && span_equal(got->content_type, SPAN_LITERAL("text/plain")) &&
           mqtt_has(got, MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR) && got->payload_format_indicator == 1 &&
           mqtt_has(got, MQTT_PROPERTY_RESPONSE_TOPIC) && mqtt_has(got, MQTT_PROPERTY_USER_PROPERTY) &&
           mqtt_user_property_next(&rest, &pair) && span_equal(pair.name, SPAN_LITERAL("a")) &&
           mqtt_user_property_next(&rest, &pair) && span_equal(pair.value, SPAN_LITERAL("2"));
}

static enum capability_verdict request_response(struct check *check, struct peer *asker, struct peer *answerer)
{
    const char *request = check_topic(check, "request"), *response = check_topic(check, "response");
    if (!peer_subscribe(answerer, request, at_qos_1, 0) || !peer_subscribe(asker, response, at_qos_1, 0))
        return CAPABILITY_FAIL;
    static const struct mqtt_user_property users[] = {{{(const uint8_t *)"a", 1}, {(const uint8_t *)"1", 1}},
                                                      {{(const uint8_t *)"a", 1}, {(const uint8_t *)"2", 1}}};
    struct mqtt_publish how = {.qos = 1,
                               .properties = {.payload_format_indicator = 1,
                                              .response_topic = span_of_string(response),
                                              .correlation_data = SPAN_LITERAL("\x01\x00\xFF"),
                                              .content_type = SPAN_LITERAL("text/plain"),
                                              .user_properties = users,
                                              .user_properties_count = 2}};
    mqtt_set(&how.properties, MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR);
    mqtt_set(&how.properties, MQTT_PROPERTY_RESPONSE_TOPIC);
    mqtt_set(&how.properties, MQTT_PROPERTY_CORRELATION_DATA);
    mqtt_set(&how.properties, MQTT_PROPERTY_CONTENT_TYPE);
    mqtt_set(&how.properties, MQTT_PROPERTY_USER_PROPERTY);
    if (!peer_publish(asker, request, "question", how)) return CAPABILITY_FAIL;

    struct peer_message *question = peer_take(answerer);
    bool whole = question && same_properties(&question->publish.properties);
    if (whole) {
        char to[200];
        struct mqtt_publish answer = {
            .qos = 1, .properties = {.correlation_data = question->publish.properties.correlation_data}};
        mqtt_set(&answer.properties, MQTT_PROPERTY_CORRELATION_DATA);
        snprintf(to, sizeof to, "%.*s", SPAN_PRINT(question->publish.properties.response_topic));
        whole = peer_publish(answerer, to, "answer", answer);
    }
    memory_release(question);
    struct peer_message *reply = whole ? peer_take(asker) : NULL;
    bool answered = message_is(reply, "answer") && mqtt_has(&reply->publish.properties, MQTT_PROPERTY_CORRELATION_DATA);
    memory_release(reply);
    if (!whole) return capability_fails(check, "the properties of a message did not arrive as they were sent");
    return answered ? CAPABILITY_PASS : capability_fails(check, "the answer did not arrive");
}

enum capability_verdict try_request_response(struct check *check, uint64_t *ret_us)
{
    struct peer asker, answerer;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    bool both = open_peer(check, &asker, "ask");
    both = open_peer(check, &answerer, "answer") && both;
    if (both) verdict = request_response(check, &asker, &answerer);
    peer_close(&answerer);
    peer_close(&asker);
    return verdict;
}

/* ---- our limits, kept by the server ---- */

#define WINDOW          3
#define WINDOW_MESSAGES 10

static enum capability_verdict receive_maximum(struct check *check, struct peer *slow, struct peer *sender)
{
    const char *topic = check_topic(check, "window");
    if (!peer_subscribe(slow, topic, at_qos_1, 0)) return CAPABILITY_FAIL;
    for (int i = 0; i < WINDOW_MESSAGES; i++)
        if (!peer_publish(sender, topic, "x", with_qos_1)) return CAPABILITY_FAIL;
    uint32_t count = 0;
    while (slow->client.state == CLIENT_ONLINE && !peer_hears_nothing(slow, 100)) {
        memory_release(peer_take(slow));
        count++;
    }
    if (slow->client.end.cause == CLIENT_CAUSE_PROTOCOL || count > WINDOW)
        return capability_fails(check, "more than %d messages without an acknowledgement", WINDOW);
    if (count < WINDOW) return capability_fails(check, "only %u of %d messages the window has room for", count, WINDOW);
    slow->client.settings.hold_acks = false;
    client_release_acks(&slow->client);
    while (count < WINDOW_MESSAGES) {
        struct peer_message *message = peer_take(slow);
        if (message == NULL)
            return capability_fails(check, "%u of %d messages arrived after the acknowledgements", count,
                                    WINDOW_MESSAGES);
        memory_release(message);
        count++;
    }
    return CAPABILITY_PASS;
}

enum capability_verdict try_receive_maximum(struct check *check, uint64_t *ret_us)
{
    struct client_settings settings = check->settings;
    settings.hold_acks = true;
    settings.connect.properties.receive_maximum = WINDOW;
    mqtt_set(&settings.connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
    struct peer slow, sender;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    bool both = peer_open(&slow, check, "slow", &settings);
    both = open_peer(check, &sender, "send") && both;
    if (both) verdict = receive_maximum(check, &slow, &sender);
    peer_close(&sender);
    peer_close(&slow);
    return verdict;
}

#define PACKET_MAX 300

static enum capability_verdict maximum_packet(struct check *check, struct peer *small, struct peer *sender)
{
    char large[PACKET_MAX * 2];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = 0;
    const char *topic = check_topic(check, "size");
    if (!peer_subscribe(small, topic, at_qos_1, 0)) return CAPABILITY_FAIL;
    if (!peer_publish(sender, topic, large, with_qos_1) || !peer_publish(sender, topic, "small", with_qos_1))
        return CAPABILITY_FAIL;
    struct peer_message *message = peer_take(small);
    bool right = message_is(message, "small");
    memory_release(message);
    if (right) return CAPABILITY_PASS;
    return capability_fails(check, "after a message too large for the client: %s",
                            small->client.end.text[0] ? small->client.end.text : "the next one did not come");
}

enum capability_verdict try_maximum_packet(struct check *check, uint64_t *ret_us)
{
    struct client_settings settings = check->settings;
    settings.connect.properties.maximum_packet_bytes = PACKET_MAX;
    mqtt_set(&settings.connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
    struct peer small, sender;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    bool both = peer_open(&small, check, "small", &settings);
    both = open_peer(check, &sender, "send") && both;
    if (both) verdict = maximum_packet(check, &small, &sender);
    peer_close(&sender);
    peer_close(&small);
    return verdict;
}
