/* Capabilities every version has: versions, QoS, wildcards, retained messages, will, sessions. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_capability.h"

static void remark(struct check *check, const char *format, va_list arguments)
{
    if (check->note[0] == 0) vsnprintf(check->note, sizeof check->note, format, arguments);
}

enum capability_verdict capability_fails(struct check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    remark(check, format, arguments);
    va_end(arguments);
    return CAPABILITY_FAIL;
}

enum capability_verdict capability_absent(struct check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    check->note[0] = 0;
    remark(check, format, arguments);
    va_end(arguments);
    return CAPABILITY_ABSENT;
}

const char *check_topic(const struct check *check, const char *name)
{
    static char buffers[4][160];
    static unsigned turn;
    char *buffer = buffers[turn++ & 3];
    snprintf(buffer, sizeof buffers[0], "%s/%s", check->prefix, name);
    return buffer;
}

bool open_peer(struct check *check, struct peer *peer, const char *name)
{
    return peer_open(peer, check, name, &check->settings);
}

static const struct mqtt_subscription at_qos_1 = {.qos = 1}, at_qos_2 = {.qos = 2};

/* ---- versions ---- */

static enum capability_verdict try_version(struct check *check, enum mqtt_version version)
{
    struct client_settings settings = check->settings;
    settings.connect.version = version;
    settings.connect.properties.present = 0;
    struct peer peer;
    bool online = peer_open(&peer, check, "v", &settings);
    enum capability_verdict verdict = CAPABILITY_PASS;
    if (!online && peer.client.end.reason == MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION)
        verdict = capability_absent(check, "the server says that it does not speak this version");
    else if (!online)
        verdict = CAPABILITY_FAIL;
    peer_close(&peer);
    return verdict;
}

enum capability_verdict try_version_3_1(struct check *check, uint64_t *ret_us)
{
    return try_version(check, MQTT_3_1);
}
enum capability_verdict try_version_3_1_1(struct check *check, uint64_t *ret_us)
{
    return try_version(check, MQTT_3_1_1);
}
enum capability_verdict try_version_5(struct check *check, uint64_t *ret_us)
{
    return try_version(check, MQTT_5);
}

/* ---- QoS: ten times there and back ---- */

#define ROUNDS 10

static enum capability_verdict round_trips(struct check *check, struct peer *peer, uint8_t qos, uint64_t *ret_us)
{
    const char *topic = check_topic(check, "qos");
    if (!peer_subscribe(peer, topic, (struct mqtt_subscription){.qos = qos}, 0)) return CAPABILITY_FAIL;
    if (peer->answer != qos) return capability_absent(check, "the server grants no more than QoS %u", peer->answer);
    uint64_t best_us = UINT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        char payload[32];
        snprintf(payload, sizeof payload, "round %d", i);
        uint64_t begin_us = clock_now_us();
        if (!peer_publish(peer, topic, payload, (struct mqtt_publish){.qos = qos})) return CAPABILITY_FAIL;
        struct peer_message *message = peer_take(peer);
        uint64_t took_us = clock_now_us() - begin_us;
        bool right = message_is(message, payload) && message->publish.qos == qos;
        memory_release(message);
        if (!right) return capability_fails(check, "message %d of %d did not come back as it was sent", i + 1, ROUNDS);
        if (took_us < best_us) best_us = took_us;
    }
    *ret_us = best_us;
    if (peer_hears_nothing(peer, 50)) return CAPABILITY_PASS;
    return capability_fails(check, "a message came more than once");
}

static enum capability_verdict try_qos(struct check *check, uint8_t qos, uint64_t *ret_us)
{
    struct peer peer;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (open_peer(check, &peer, "qos")) {
        if (peer.client.server.maximum_qos < qos)
            verdict = capability_absent(check, "the server announced Maximum QoS %u", peer.client.server.maximum_qos);
        else
            verdict = round_trips(check, &peer, qos, ret_us);
    }
    peer_close(&peer);
    return verdict;
}

enum capability_verdict try_qos_0(struct check *check, uint64_t *ret_us)
{
    return try_qos(check, 0, ret_us);
}
enum capability_verdict try_qos_1(struct check *check, uint64_t *ret_us)
{
    return try_qos(check, 1, ret_us);
}
enum capability_verdict try_qos_2(struct check *check, uint64_t *ret_us)
{
    return try_qos(check, 2, ret_us);
}

/* ---- wildcards ---- */

static enum capability_verdict wildcard(struct check *check, struct peer *peer)
{
    if (!peer->client.server.wildcard_available)
        return capability_absent(check, "the server announced that it has none");
    if (!peer_subscribe(peer, check_topic(check, "w/+/x"), at_qos_1, 0)) return CAPABILITY_FAIL;
    if (!peer_subscribe(peer, check_topic(check, "h/#"), at_qos_1, 0)) return CAPABILITY_FAIL;
    static const struct {
        const char *topic;
        bool matches;
    } tries[] = {{"w/a/x", true}, {"w/a/y", false}, {"w/a/b/x", false}, {"w//x", true},
                 {"h", true},     {"h/a/b", true},  {"hh", false}};
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        const char *topic = check_topic(check, tries[i].topic);
        if (!peer_publish(peer, topic, topic, (struct mqtt_publish){.qos = 1})) return CAPABILITY_FAIL;
        if (!tries[i].matches) continue;
        struct peer_message *message = peer_take(peer);
        bool right = message_is(message, topic);
        memory_release(message);
        if (!right) return capability_fails(check, "no message for %s", tries[i].topic);
    }
    if (peer_hears_nothing(peer, 50)) return CAPABILITY_PASS;
    return capability_fails(check, "a message arrived whose topic does not match");
}

enum capability_verdict try_wildcard(struct check *check, uint64_t *ret_us)
{
    struct peer peer;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (open_peer(check, &peer, "wild")) verdict = wildcard(check, &peer);
    peer_close(&peer);
    return verdict;
}

/* ---- retained messages: set, get, clear ---- */

static enum capability_verdict retained(struct check *check, struct peer *peer)
{
    if (!peer->client.server.retain_available) return capability_absent(check, "the server announced that it has none");
    const char *topic = check_topic(check, "retained");
    struct mqtt_publish how = {.qos = 1, .retain = true};
    if (!peer_publish(peer, topic, "old", how) || !peer_publish(peer, topic, "kept", how)) return CAPABILITY_FAIL;
    if (!peer_subscribe(peer, topic, at_qos_1, 0)) return CAPABILITY_FAIL;
    struct peer_message *message = peer_take(peer);
    bool kept = message_is(message, "kept") && message->publish.retain;
    memory_release(message);
    if (!peer_publish(peer, topic, "", how)) return CAPABILITY_FAIL;
    memory_release(peer_take(peer)); /* the empty message itself, live */
    if (!kept) return capability_fails(check, "a new subscription did not get the retained message");
    if (!peer_subscribe(peer, topic, at_qos_1, 0)) return CAPABILITY_FAIL;
    if (peer_hears_nothing(peer, 100)) return CAPABILITY_PASS;
    return capability_fails(check, "the retained message was still there after an empty one");
}

enum capability_verdict try_retained(struct check *check, uint64_t *ret_us)
{
    struct peer peer;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (open_peer(check, &peer, "retain")) verdict = retained(check, &peer);
    peer_close(&peer);
    return verdict;
}

/* A retained message published after the SUBACK is a live one; it must not come again from the store. */
static enum capability_verdict retained_once(struct check *check, struct peer *peer)
{
    if (!peer->client.server.retain_available) return capability_absent(check, "the server announced that it has none");
    struct mqtt_publish how = {.qos = 1, .retain = true};
    uint32_t count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "once/%d", i);
        const char *topic = check_topic(check, name);
        if (!peer_subscribe(peer, topic, at_qos_1, 0) || !peer_publish(peer, topic, "x", how)) return CAPABILITY_FAIL;
        for (uint32_t wait_ms = 1000; !peer_hears_nothing(peer, wait_ms); wait_ms = 10, count++)
            memory_release(peer_take(peer));
        peer_publish(peer, topic, "", how);
        memory_release(peer_take(peer));
    }
    if (count == ROUNDS) return CAPABILITY_PASS;
    return capability_fails(check, "%d messages published after the SUBACK came %u times", ROUNDS, count);
}

enum capability_verdict try_retained_once(struct check *check, uint64_t *ret_us)
{
    struct peer peer;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (open_peer(check, &peer, "once")) verdict = retained_once(check, &peer);
    peer_close(&peer);
    return verdict;
}

/* ---- will ---- */

static enum capability_verdict will(struct check *check, struct peer *watcher, struct peer *mortal)
{
    const char *topic = check_topic(check, "will");
    struct client_settings settings = check->settings;
    settings.connect.has_will = true;
    settings.connect.will =
        (struct mqtt_will){.qos = 1, .topic = span_of_string(topic), .payload = SPAN_LITERAL("gone")};
    if (!peer_open(mortal, check, "mortal", &settings)) return CAPABILITY_FAIL;
    if (!peer_subscribe(watcher, topic, at_qos_1, 0)) return CAPABILITY_FAIL;
    peer_leave(mortal);
    if (!peer_hears_nothing(watcher, 100))
        return capability_fails(check, "the will was sent after an orderly DISCONNECT");
    if (!peer_reopen(mortal)) return CAPABILITY_FAIL;
    peer_vanish(mortal);
    struct peer_message *message = peer_take(watcher);
    bool right = message_is(message, "gone");
    memory_release(message);
    return right ? CAPABILITY_PASS : capability_fails(check, "no will came after the connection had been cut");
}

enum capability_verdict try_will(struct check *check, uint64_t *ret_us)
{
    struct peer watcher, mortal = {.check = NULL};
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (open_peer(check, &watcher, "watch")) verdict = will(check, &watcher, &mortal);
    if (mortal.check) peer_close(&mortal);
    peer_close(&watcher);
    return verdict;
}

/* ---- sessions ---- */

/* A client that keeps its session for a minute. */
static bool open_sleeper(struct check *check, struct peer *sleeper)
{
    struct client_settings settings = check->settings;
    settings.connect.properties.session_expiry_s = 60;
    mqtt_set(&settings.connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
    settings.resume = true;
    return peer_open(sleeper, check, "sleeper", &settings);
}

/* Ends it, so that nothing stays behind. */
static void close_sleeper(struct peer *sleeper)
{
    struct mqtt_properties end_now = {.session_expiry_s = 0};
    mqtt_set(&end_now, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
    if (sleeper->client.state == CLIENT_CLOSED) peer_reopen(sleeper);
    client_disconnect(&sleeper->client, MQTT_REASON_NORMAL_DISCONNECTION, &end_now);
    peer_is_dropped(sleeper, 4000);
    peer_close(sleeper);
}

static enum capability_verdict session_resume(struct check *check, struct peer *sleeper, struct peer *sender)
{
    const char *topic = check_topic(check, "session");
    if (!peer_subscribe(sleeper, topic, at_qos_2, 0)) return CAPABILITY_FAIL;
    peer_leave(sleeper);
    static const char *const payloads[] = {"first", "second", "third"};
    for (uint8_t i = 0; i < 3; i++)
        if (!peer_publish(sender, topic, payloads[i], (struct mqtt_publish){.qos = i == 1 ? 2 : 1}))
            return CAPABILITY_FAIL;
    if (!peer_reopen(sleeper)) return CAPABILITY_FAIL;
    if (!sleeper->client.server.session_present) return capability_fails(check, "the session was not there any more");
    for (int i = 0; i < 3; i++) {
        struct peer_message *message = peer_take(sleeper);
        bool right = message_is(message, payloads[i]);
        memory_release(message);
        if (!right) return capability_fails(check, "message %d of 3 sent meanwhile was missing or out of order", i + 1);
    }
    return peer_hears_nothing(sleeper, 50) ? CAPABILITY_PASS : capability_fails(check, "a message came more than once");
}

enum capability_verdict try_session_resume(struct check *check, uint64_t *ret_us)
{
    struct peer sleeper, sender;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    bool both = open_sleeper(check, &sleeper);
    both = open_peer(check, &sender, "send") && both;
    if (both) verdict = session_resume(check, &sleeper, &sender);
    peer_close(&sender);
    close_sleeper(&sleeper);
    return verdict;
}

static enum capability_verdict message_expiry(struct check *check, struct peer *sleeper, struct peer *sender)
{
    const char *topic = check_topic(check, "expiry");
    if (!peer_subscribe(sleeper, topic, at_qos_1, 0)) return CAPABILITY_FAIL;
    peer_leave(sleeper);
    struct mqtt_publish how = {.qos = 1, .properties = {.message_expiry_s = 1}};
    mqtt_set(&how.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    if (!peer_publish(sender, topic, "short", how)) return CAPABILITY_FAIL;
    how.properties.message_expiry_s = 60;
    if (!peer_publish(sender, topic, "long", how)) return CAPABILITY_FAIL;
    peer_hears_nothing(sender, 2200); /* time passes */
    if (!peer_reopen(sleeper)) return CAPABILITY_FAIL;
    struct peer_message *message = peer_take(sleeper);
    bool expired = !message_is(message, "short"), arrived = message_is(message, "long");
    bool counted = arrived && mqtt_has(&message->publish.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL) &&
                   message->publish.properties.message_expiry_s < 60;
    memory_release(message);
    if (!expired) return capability_fails(check, "a message was delivered after its expiry");
    if (!arrived) return capability_fails(check, "a message that had not expired was missing");
    return counted ? CAPABILITY_PASS
                   : capability_fails(check, "the expiry was not lowered by the time spent in the server");
}

enum capability_verdict try_message_expiry(struct check *check, uint64_t *ret_us)
{
    struct peer sleeper, sender;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    bool both = open_sleeper(check, &sleeper);
    both = open_peer(check, &sender, "send") && both;
    if (both) verdict = message_expiry(check, &sleeper, &sender);
    peer_close(&sender);
    close_sleeper(&sleeper);
    return verdict;
}

enum capability_verdict try_takeover(struct check *check, uint64_t *ret_us)
{
    struct peer first, second = {.check = NULL};
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (open_peer(check, &first, "twin") && open_peer(check, &second, "twin")) {
        bool dropped = peer_is_dropped(&first, check->wait_ms);
        bool told = dropped && first.client.end.reason == MQTT_REASON_SESSION_TAKEN_OVER;
        verdict = told ? CAPABILITY_PASS
                       : capability_fails(check, dropped ? "the older connection was closed without DISCONNECT 0x8E"
                                                         : "two connections with the same client id");
    }
    if (second.check) peer_close(&second);
    peer_close(&first);
    return verdict;
}

enum capability_verdict try_keep_alive(struct check *check, uint64_t *ret_us)
{
    struct client_settings settings = check->settings;
    settings.connect.keep_alive_s = 1;
    settings.no_ping = true;
    struct peer peer;
    enum capability_verdict verdict = CAPABILITY_FAIL;
    if (peer_open(&peer, check, "silent", &settings)) {
        uint32_t granted_s = peer.client.server.keep_alive_s;
        if (granted_s > 5)
            verdict =
                capability_absent(check, "the server raised the keep-alive from 1 to %u s; not waiting", granted_s);
        else if (granted_s == 0)
            verdict = capability_absent(check, "the server switched the keep-alive off");
        else if (peer_is_dropped(&peer, granted_s * 1500 + 6000))
            verdict = CAPABILITY_PASS;
        else
            verdict = capability_fails(check, "a silent client was still connected 6 s after 1.5 times its keep-alive");
    }
    peer_close(&peer);
    return verdict;
}
