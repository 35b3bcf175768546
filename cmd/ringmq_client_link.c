/* The connection's side of the client: opening, bytes in and out, keep-alive, deadlines, closing. */
#include "cmd/ringmq_client_link.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "proto/encode.h"

#define READ_BYTES     (64u << 10)
#define READS_PER_TURN 16
#define CLOSE_MS       1000  /* for the server to hang up after our DISCONNECT */
#define STALL_MS       10000 /* for the server to take at least some of what precedes the DISCONNECT */

/* ---- buffers ---- */

static void buffer_reserve(struct client_buffer *buffer, size_t bytes)
{
    if (buffer->begin == buffer->end) buffer->begin = buffer->end = 0;
    if (buffer->capacity - buffer->end >= bytes) return;
    if (buffer->begin) {
        memmove(buffer->data, buffer->data + buffer->begin, buffer->end - buffer->begin);
        buffer->end -= buffer->begin;
        buffer->begin = 0;
    }
    if (buffer->capacity - buffer->end >= bytes) return;
    size_t wanted = buffer->end + bytes;
    buffer->capacity = wanted > buffer->capacity * 2 ? wanted : buffer->capacity * 2;
    buffer->data = memory_resize(buffer->data, buffer->capacity);
}

static struct span buffer_waiting(const struct client_buffer *buffer)
{
    return span_of(buffer->data + buffer->begin, buffer->end - buffer->begin);
}

void link_queue_bytes(struct client *client, struct span packet)
{
    if (client->state == CLIENT_CLOSED) return;
    buffer_reserve(&client->out, packet.bytes);
    memcpy(client->out.data + client->out.end, packet.data, packet.bytes);
    client->out.end += packet.bytes;
    if (client->events->trace == NULL) return;
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_CLIENT, .version = client->settings.connect.version};
    struct mqtt_packet decoded;
    if (mqtt_decode(packet, &limits, &decoded).status == MQTT_DECODED)
        client->events->trace(client->context, true, &decoded);
}

void link_queue(struct client *client, const struct mqtt_packet *packet)
{
    if (client->state == CLIENT_CLOSED) return;
    enum mqtt_version version = client->settings.connect.version;
    size_t bytes = mqtt_encoded_bytes(version, packet);
    buffer_reserve(&client->out, bytes);
    client->out.end += mqtt_encode(client->out.data + client->out.end, bytes, version, packet);
    if (client->events->trace) client->events->trace(client->context, true, packet);
}

/* ---- the end ---- */

void link_close(struct client *client)
{
    net_close(&client->net);
    client->in.begin = client->in.end = client->out.begin = client->out.end = 0;
    mqtt_alias_in_release(&client->aliases);
    memory_release(client->alias_topic);
    client->alias_topic = NULL;
    client->alias_known = 0;
    client->ping_ms = 0;
    client->finished = false;
    client->state = CLIENT_CLOSED;
    client->state_until_ms = UINT64_MAX;
}

void link_end(struct client *client, enum client_cause cause, enum mqtt_reason reason, const char *format, ...)
{
    if (client->state == CLIENT_CLOSED) return;
    va_list arguments;
    va_start(arguments, format);
    client->end.cause = cause;
    client->end.reason = reason;
    bool cut = vsnprintf(client->end.text, sizeof client->end.text, format, arguments) >= (int)sizeof client->end.text;
    va_end(arguments);
    if (cut) { /* not in the middle of a character: it becomes JSON */
        size_t bytes = sizeof client->end.text - 1;
        while (bytes && ((unsigned char)client->end.text[bytes - 1] & 0xc0) == 0x80) bytes--;
        if (bytes && (unsigned char)client->end.text[bytes - 1] >= 0xc0) bytes--;
        client->end.text[bytes] = 0;
    }
    link_close(client);
}

static void flush(struct client *client);

void link_break(struct client *client, enum mqtt_reason reason, const char *what)
{
    if (client->state == CLIENT_CLOSED) return;
    struct mqtt_packet packet = {.type = MQTT_DISCONNECT, .disconnect = {.reason = reason}};
    bool may_say = mqtt_reason_legal(MQTT_DISCONNECT, MQTT_FROM_CLIENT, (uint8_t)reason);
    if (client->settings.connect.version == MQTT_5 && client->state != CLIENT_HANDSHAKING && may_say) {
        link_queue(client, &packet);
        flush(client);
    }
    link_end(client, CLIENT_CAUSE_PROTOCOL, MQTT_REASON_SUCCESS, "%s does not speak MQTT %s as it should: %s",
             client->settings.net.name, mqtt_version_name(client->settings.connect.version),
             what);
}

/* The stream failed: what that means depends on how far we were. */
static void stream_failed(struct client *client)
{
    bool early = client->state == CLIENT_CONNECTING || client->state == CLIENT_HANDSHAKING;
    if (client->state == CLIENT_CLOSING)
        link_end(client, CLIENT_CAUSE_LOCAL, MQTT_REASON_SUCCESS, "closed by ourselves");
    else
        link_end(client, early ? CLIENT_CAUSE_UNREACHABLE : CLIENT_CAUSE_LOST, MQTT_REASON_SUCCESS, "%s",
                 client->net.error);
}

static void stream_closed(struct client *client)
{
    const char *name = client->settings.net.name;
    switch (client->state) {
    case CLIENT_CLOSING: link_end(client, CLIENT_CAUSE_LOCAL, MQTT_REASON_SUCCESS, "closed by ourselves"); return;
    case CLIENT_HANDSHAKING:
        link_end(
            client, CLIENT_CAUSE_UNREACHABLE, MQTT_REASON_SUCCESS,
            "%s closed the connection without answering CONNECT (is it %s, and does it take MQTT %s?)",
            name, client->net.filters ? "an MQTT port" : "an MQTT port, without TLS",
            mqtt_version_name(client->settings.connect.version));
        return;
    default:
        link_end(client, CLIENT_CAUSE_LOST, MQTT_REASON_SUCCESS, "%s closed the connection without saying why", name);
    }
}

/* ---- opening ---- */

static void send_connect(struct client *client)
{
    struct mqtt_packet packet = {.type = MQTT_CONNECT, .connect = client->settings.connect};
    if (client->opened_before && client->settings.resume) packet.connect.clean_start = false;
    packet.connect.client_id = span_of_string(client->client_id);
    const struct mqtt_properties *asked = &client->settings.connect.properties;
    uint16_t alias_max = mqtt_has(asked, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM) ? asked->topic_alias_maximum : 0;
    mqtt_alias_in_init(&client->aliases, alias_max, 0);
    client->state = CLIENT_HANDSHAKING;
    client->state_until_ms = clock_now_ms() + client->settings.connack_ms;
    client->sent_ms = client->received_ms = clock_now_ms();
    link_queue(client, &packet);
}

void client_open(struct client *client)
{
    client->end = (struct client_end){.cause = CLIENT_CAUSE_NONE};
    client->state = CLIENT_CONNECTING;
    if (net_open(&client->net) == NET_FAILED) stream_failed(client);
}

/* ---- bytes ---- */

static void flush(struct client *client)
{
    while (client->out.begin < client->out.end) {
        struct span waiting = buffer_waiting(&client->out);
        size_t sent = 0;
        enum net_status status = net_send(&client->net, waiting.data, waiting.bytes, &sent);
        if (status == NET_WAIT) return;
        if (status == NET_FAILED) { /* the server may have said why before it hung up: reading will tell */
            client->out.begin = client->out.end = 0;
            return;
        }
        client->out.begin += sent;
        client->sent_ms = clock_now_ms();
        if (client->state == CLIENT_CLOSING) client->state_until_ms = client->sent_ms + STALL_MS;
    }
}

/* Takes all whole packets out of the buffer; *ret_wanted is how many more bytes the next one needs. */
static void decode_all(struct client *client, size_t *ret_wanted)
{
    const struct mqtt_properties *asked = &client->settings.connect.properties;
    struct mqtt_decode_limits limits = {
        .from = MQTT_FROM_SERVER,
        .version = client->settings.connect.version,
        .packet_bytes_max = mqtt_has(asked, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE) ? asked->maximum_packet_bytes : 0,
    };
    for (;;) {
        struct span waiting = buffer_waiting(&client->in);
        struct mqtt_packet packet;
        struct mqtt_decoded decoded = mqtt_decode(waiting, &limits, &packet);
        if (decoded.status == MQTT_MALFORMED) {
            link_break(client, decoded.reason, decoded.what);
            return;
        }
        if (decoded.status == MQTT_NEED_MORE) {
            *ret_wanted = decoded.bytes - waiting.bytes;
            return;
        }
        client->in.begin += decoded.bytes;
        client_packet(client, &packet);
        if (client->state == CLIENT_CLOSED) return;
    }
}

static void read_all(struct client *client)
{
    size_t wanted = 0;
    for (int i = 0; i < READS_PER_TURN; i++) {
        buffer_reserve(&client->in, wanted > READ_BYTES ? wanted : READ_BYTES);
        size_t got = 0;
        enum net_status status =
            net_receive(&client->net, client->in.data + client->in.end, client->in.capacity - client->in.end, &got);
        if (status == NET_WAIT) return;
        if (status == NET_FAILED) {
            stream_failed(client);
            return;
        }
        if (status == NET_CLOSED) {
            stream_closed(client);
            return;
        }
        client->in.end += got;
        client->received_ms = clock_now_ms();
        if (client->state == CLIENT_CLOSING)
            client->in.begin = client->in.end = 0; /* too late for that */
        else
            decode_all(client, &wanted);
        if (client->state == CLIENT_CLOSED) return;
    }
}

/* ---- clocks ---- */

/* When the next PINGREQ is due: three quarters of the keep-alive after the last byte in either direction. */
static uint64_t ping_due_ms(const struct client *client)
{
    if (client->server.keep_alive_s == 0 || client->settings.no_ping || client->state != CLIENT_ONLINE)
        return UINT64_MAX;
    uint64_t quiet_since = client->sent_ms < client->received_ms ? client->sent_ms : client->received_ms;
    return quiet_since + (uint64_t)client->server.keep_alive_s * 750;
}

/* How long a PINGRESP may take. Whatever arrives meanwhile counts too. */
static uint64_t pong_late_ms(const struct client *client)
{
    if (client->ping_ms == 0 || client->state != CLIENT_ONLINE) return UINT64_MAX;
    uint64_t allowed = (uint64_t)client->server.keep_alive_s * 1000;
    uint64_t since = client->ping_ms > client->received_ms ? client->ping_ms : client->received_ms;
    return since + (allowed < 5000 ? 5000 : allowed);
}

static void keep_alive(struct client *client, uint64_t now_ms)
{
    if (now_ms >= pong_late_ms(client)) {
        link_end(client, CLIENT_CAUSE_LOST, MQTT_REASON_SUCCESS, "%s did not answer a PINGREQ within %u s",
                 client->settings.net.name, client->server.keep_alive_s);
        return;
    }
    if (client->ping_ms || now_ms < ping_due_ms(client)) return;
    link_queue(client, &(struct mqtt_packet){.type = MQTT_PINGREQ});
    client->ping_ms = now_ms;
}

static void state_overdue(struct client *client)
{
    if (client->state == CLIENT_HANDSHAKING)
        link_end(client, CLIENT_CAUSE_UNREACHABLE, MQTT_REASON_SUCCESS,
                 "%s took the connection but did not answer CONNECT within %u ms (is it %s?)",
                 client->settings.net.name, client->settings.connack_ms,
                 client->net.filters ? "an MQTT port" : "an MQTT port, without TLS");
    if (client->state == CLIENT_CLOSING)
        link_end(client, CLIENT_CAUSE_LOCAL, MQTT_REASON_SUCCESS, "closed by ourselves");
}

uint64_t client_wake_ms(const struct client *client)
{
    if (client->state == CLIENT_CLOSED) return UINT64_MAX;
    if (net_pending(&client->net)) return 0;
    if (client->state == CLIENT_CONNECTING) return client->net.attempt_until_ms;
    uint64_t wake_ms = client->state_until_ms;
    if (client->ping_ms == 0 && ping_due_ms(client) < wake_ms) wake_ms = ping_due_ms(client);
    if (pong_late_ms(client) < wake_ms) wake_ms = pong_late_ms(client);
    return wake_ms;
}

static bool nothing_under_way(const struct client *client)
{
    return mqtt_incoming_count(&client->incoming) == 0 && mqtt_inflight_count(&client->inflight) == 0;
}

struct pollfd client_pollfd(const struct client *client)
{
    if (client->state == CLIENT_CLOSED) return (struct pollfd){.fd = -1};
    bool sends = client->out.begin < client->out.end || net_events(&client->net);
    bool leaves = client->state == CLIENT_LEAVING && nothing_under_way(client);
    return (struct pollfd){.fd = client->net.fd, .events = (short)(POLLIN | (sends || leaves ? POLLOUT : 0))};
}

/* ---- a turn ---- */

/* Exchanges under way are over, or have taken too long: the goodbye. */
static void say_goodbye(struct client *client)
{
    if (!nothing_under_way(client) && clock_now_ms() < client->state_until_ms) return;
    struct mqtt_packet packet = {
        .type = MQTT_DISCONNECT,
        .disconnect = {.reason = client->leave_reason, .properties = client->leave_properties}};
    link_queue(client, &packet);
    client->state = CLIENT_CLOSING;
    client->state_until_ms = clock_now_ms() + STALL_MS;
}

void client_turn(struct client *client)
{
    if (client->state == CLIENT_CLOSED) return;
    if (client->state == CLIENT_CONNECTING) {
        enum net_status status = net_progress(&client->net);
        if (status == NET_FAILED) stream_failed(client);
        if (status != NET_DONE) return;
        send_connect(client);
    }
    read_all(client);
    if (client->state == CLIENT_LEAVING) say_goodbye(client);
    if (client->state == CLIENT_CLOSED) return;

    uint64_t now_ms = clock_now_ms();
    if (now_ms >= client->state_until_ms) state_overdue(client);
    if (client->state != CLIENT_CLOSED) keep_alive(client, now_ms);
    if (client->state != CLIENT_CLOSED) flush(client);
    if (client->state != CLIENT_CLOSING || client->finished || client->out.begin < client->out.end) return;
    net_finish(&client->net);
    client->finished = true;
    client->state_until_ms = now_ms + CLOSE_MS;
}
