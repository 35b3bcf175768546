/* From the lines of an export to a state. Lines about a client come behind its session's. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_store.h"
#include "proto/properties.h"
#include "proto/topic.h"
#include "proto/utf8.h"
#include "store/format.h"
#include "store/state_rows.h"

struct importing {
    struct state *state;
    struct store_object object;
    unsigned long line;
    char fault[200]; /* "": none yet */
    uint64_t messages, sessions;
    struct map clients; /* the sessions by client id */
};

static struct span client_key(const void *value) { return ((const struct state_session *)value)->stored.client_id; }

static void fault(struct importing *importing, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct importing *importing, const char *format, ...)
{
    va_list arguments;
    if (importing->fault[0]) return; /* the first one counts */
    va_start(arguments, format);
    vsnprintf(importing->fault, sizeof importing->fault, format, arguments);
    va_end(arguments);
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

static struct span text(struct importing *importing, const char *name)
{
    const struct store_field *field = store_object_find(&importing->object, name);
    if (field && field->kind == FIELD_TEXT) return field->text;
    fault(importing, "`%s` is wanted, a string", name);
    return span_of("", 0);
}

static struct span text_or_none(struct importing *importing, const char *name)
{
    return store_object_find(&importing->object, name) ? text(importing, name) : span_of("", 0);
}

static uint64_t number(struct importing *importing, const char *name, uint64_t most)
{
    const struct store_field *field = store_object_find(&importing->object, name);
    if (field && field->kind == FIELD_NUMBER && field->number <= most) return field->number;
    fault(importing, "`%s` is wanted, a number up to %llu", name, (unsigned long long)most);
    return 0;
}

static uint64_t number_or(struct importing *importing, const char *name, uint64_t most, uint64_t otherwise)
{
    return store_object_find(&importing->object, name) ? number(importing, name, most) : otherwise;
}

static bool yes(struct importing *importing, const char *name)
{
    const struct store_field *field = store_object_find(&importing->object, name);
    if (!field || field->kind == FIELD_FALSE) return false;
    if (field->kind != FIELD_TRUE) fault(importing, "`%s` is true or false", name);
    return field->kind == FIELD_TRUE;
}

/* Decoded in its place. */
static struct span base64(struct importing *importing, const char *name)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct span from = text(importing, name);
    uint8_t *out = (uint8_t *)(uintptr_t)from.data;
    uint32_t bits = 0, have = 0;
    size_t bytes = 0, padding = 0;
    for (size_t i = 0; i < from.bytes; i++) {
        char c = (char)from.data[i];
        const char *digit = c && c != '=' ? strchr(digits, c) : NULL;
        padding += c == '=';
        if ((c != '=' && !digit) || (digit && padding)) fault(importing, "`%s` is not base64", name);
        if (!digit || importing->fault[0]) continue;
        bits = bits << 6 | (uint32_t)(digit - digits);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[bytes++] = (uint8_t)(bits >> have);
    }
    if (from.bytes % 4 != 0 || padding > 2) fault(importing, "`%s` is not base64", name);
    return span_of(out, bytes);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static struct stored_message message_take(struct importing *importing)
{
    struct stored_message stored = {.topic = text(importing, "topic"), .qos = (uint8_t)number(importing, "qos", 2), .retain = yes(importing, "retain"),
                                    .expires_ms = number_or(importing, "expires_ms", UINT64_MAX, 0)};
    stored.properties = store_object_find(&importing->object, "properties_base64") ? base64(importing, "properties_base64") : span_of("", 0);
    stored.payload = store_object_find(&importing->object, "payload_base64") ? base64(importing, "payload_base64") : text(importing, "payload");
    if (!importing->fault[0] && (stored.topic.bytes > UINT16_MAX || !mqtt_topic_name_valid(stored.topic, TOPIC_LEVELS_MAX))) fault(importing, "`topic` is no topic name");
    struct mqtt_properties read; /* they go to clients as they are */
    bool sound = mqtt_properties_decode(stored.properties, MQTT_IN(PUBLISH), MQTT_FROM_SERVER, &read).reason == MQTT_REASON_SUCCESS &&
                 mqtt_properties_forward_bytes(stored.properties) == stored.properties.bytes;
    if (!sound) fault(importing, "`properties_base64` are no properties that travel with a message");
    return stored;
}

/* A message of the state's own; its one reference is the caller's. */
static struct state_message *message_make(struct importing *importing, const struct stored_message *from)
{
    struct state_message *message = memory_acquire_zeroed(sizeof *message);
    uint8_t *at = memory_acquire(from->topic.bytes + from->properties.bytes + from->payload.bytes + 1);
    message->own = at;
    message->stored = *from;
    message->references = 1;
    message->key = ++importing->messages;
    struct span *const parts[] = {&message->stored.topic, &message->stored.properties, &message->stored.payload};
    for (int i = 0; i < 3; i++) {
        if (parts[i]->bytes) memcpy(at, parts[i]->data, parts[i]->bytes);
        *parts[i] = span_of(at, parts[i]->bytes);
        at += parts[i]->bytes;
    }
    return message;
}

static struct state_session *client(struct importing *importing)
{
    struct state_session *session = map_find(&importing->clients, text(importing, "client"));
    if (!session) fault(importing, "there is no session of this client in a line before");
    return session;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static void take_session(struct importing *importing)
{
    struct stored_session stored = {.client_id = text(importing, "client"), .detached_ms = number(importing, "detached_ms", UINT64_MAX)};
    const struct store_field *expiry = store_object_find(&importing->object, "expiry_s");
    const struct store_field *incoming = store_object_find(&importing->object, "incoming_packet_ids");
    stored.expiry_s = expiry && expiry->kind == FIELD_NULL ? UINT32_MAX : (uint32_t)number(importing, "expiry_s", UINT32_MAX - 1);
    stored.incoming_number = (uint32_t)number_or(importing, "incoming_number", UINT32_MAX, 0);
    stored.lazy = yes(importing, "lazy");
    if (!mqtt_utf8_valid(stored.client_id) || stored.client_id.bytes == 0 || stored.client_id.bytes > UINT16_MAX) fault(importing, "`client` is no client id");
    if (incoming && incoming->kind != FIELD_NUMBERS) fault(importing, "`incoming_packet_ids` is an array of numbers");
    for (uint32_t i = 0; incoming && i < incoming->numbers_count; i++)
        if (incoming->numbers[i] == 0 || incoming->numbers[i] > UINT16_MAX) fault(importing, "`incoming_packet_ids` are from 1 to 65535");
    if (map_find(&importing->clients, stored.client_id)) fault(importing, "there is a session of this client in a line before");
    if (importing->fault[0]) return;
    stored.id = ++importing->sessions;
    struct state_session *session = state_session_put(importing->state, &stored);
    map_insert(&importing->clients, session);
    for (uint32_t i = 0; incoming && i < incoming->numbers_count; i++)
        state_incoming_put(session, (uint16_t)incoming->numbers[i]);
}

static void take_will(struct importing *importing)
{
    struct state_session *session = client(importing);
    uint32_t delay_s = (uint32_t)number(importing, "delay_s", UINT32_MAX);
    struct stored_message message = message_take(importing);
    if (importing->fault[0]) return;
    struct stored_session stored = session->stored;
    stored.will = (struct stored_will){.present = true, .delay_s = delay_s, .message = message};
    state_session_put(importing->state, &stored);
}

static void take_subscription(struct importing *importing)
{
    struct state_session *session = client(importing);
    struct stored_subscription stored = {.filter = text(importing, "filter"), .group = text_or_none(importing, "group"),
                                         .subscription_id = (uint32_t)number_or(importing, "subscription_id", 268435455, 0),
                                         .qos = (uint8_t)number(importing, "qos", 2), .no_local = yes(importing, "no_local"),
                                         .retain_as_published = yes(importing, "retain_as_published"), .exclusive = yes(importing, "exclusive")};
    bool group_sound = stored.group.bytes <= UINT16_MAX && mqtt_utf8_valid(stored.group) &&
                       (stored.group.bytes == 0 || (!memchr(stored.group.data, '/', stored.group.bytes) && !mqtt_topic_has_wildcards(stored.group)));
    if (!importing->fault[0] && !mqtt_topic_filter_valid(stored.filter, TOPIC_LEVELS_MAX)) fault(importing, "`filter` is no topic filter");
    if (!group_sound) fault(importing, "`group` is no name of a shared group");
    if (!importing->fault[0]) state_subscription_put(session, &stored);
}

static void take_delivery(struct importing *importing, bool window)
{
    struct state_session *session = client(importing);
    uint16_t packet_id = window ? (uint16_t)number(importing, "packet_id", UINT16_MAX) : 0;
    bool released = window && yes(importing, "released");
    struct stored_delivery delivery = {.qos = (uint8_t)number(importing, "granted_qos", 2), .retain = yes(importing, "granted_retain")};
    const struct store_field *ids = store_object_find(&importing->object, "subscription_ids");
    if (ids && ids->kind != FIELD_NUMBERS) fault(importing, "`subscription_ids` is an array of numbers");
    if (window && packet_id == 0) fault(importing, "`packet_id` is not 0");
    if (window && !released && delivery.qos == 0) fault(importing, "`granted_qos` is 1 or 2 of what has a packet id");
    delivery.ids_count = ids ? ids->numbers_count : 0;
    struct stored_message stored = {.qos = 0};
    if (!released) stored = message_take(importing);
    if (importing->fault[0]) return;
    if (released) return state_window_put(session, (struct state_delivery){.qos = 2, .state = STORED_RELEASING}, packet_id);
    struct state_message *message = message_make(importing, &stored);
    struct state_delivery row = state_delivery_of(message, &delivery, span_of(ids ? ids->numbers : NULL, delivery.ids_count * 4));
    if (window)
        state_window_put(session, row, packet_id);
    else
        state_queue_put(session, row);
    state_message_unref(message);
}

static void retain(struct importing *importing, const struct stored_message *stored)
{
    state_message_unref(map_remove(&importing->state->retained, stored->topic));
    map_insert(&importing->state->retained, message_make(importing, stored));
}

static void take_retained(struct importing *importing)
{
    struct stored_message stored = message_take(importing);
    if (!importing->fault[0]) retain(importing, &stored);
}

/* One that waits for its time: its name says when, and for what topic (store/format.h). */
static void take_delayed(struct importing *importing)
{
    uint64_t due_ms = number(importing, "due_ms", UINT64_MAX / 10);
    struct span hex = text(importing, "number");
    struct stored_message stored = message_take(importing);
    if (hex.bytes != STORE_DELAYED_NUMBER_BYTES || strspn((const char *)hex.data, "0123456789abcdef") < hex.bytes)
        fault(importing, "`number` has 16 hexadecimal digits");
    char head[64];
    int head_bytes = snprintf(head, sizeof head, STORE_DELAYED_PREFIX "%llu/%.16s/", (unsigned long long)due_ms, hex.bytes ? (const char *)hex.data : "");
    if (stored.topic.bytes + (size_t)head_bytes > UINT16_MAX) fault(importing, "`topic` is too long for one that waits");
    if (importing->fault[0]) return;
    char *name = memory_acquire((size_t)head_bytes + stored.topic.bytes);
    memcpy(name, head, (size_t)head_bytes);
    memcpy(name + head_bytes, stored.topic.data, stored.topic.bytes);
    stored.topic = span_of(name, (size_t)head_bytes + stored.topic.bytes);
    retain(importing, &stored);
    memory_release(name);
}

static void take_line(struct importing *importing)
{
    struct span kind = text(importing, "kind");
    if (span_equal(kind, SPAN_LITERAL("session"))) take_session(importing);
    else if (span_equal(kind, SPAN_LITERAL("will"))) take_will(importing);
    else if (span_equal(kind, SPAN_LITERAL("subscription"))) take_subscription(importing);
    else if (span_equal(kind, SPAN_LITERAL("window"))) take_delivery(importing, true);
    else if (span_equal(kind, SPAN_LITERAL("queued"))) take_delivery(importing, false);
    else if (span_equal(kind, SPAN_LITERAL("retained"))) take_retained(importing);
    else if (span_equal(kind, SPAN_LITERAL("delayed"))) take_delayed(importing);
    else fault(importing, "`kind` is session, will, subscription, window, queued, retained or delayed");
    for (uint32_t i = 0; i < importing->object.count; i++)
        if (!importing->object.fields[i].used) fault(importing, "`%s` means nothing here", importing->object.fields[i].name);
}

bool store_import(FILE *file, struct state *state)
{
    struct importing importing = {.state = state};
    map_init(&importing.clients, client_key);
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t bytes; !importing.fault[0] && (bytes = getline(&line, &capacity, file)) >= 0;) {
        importing.line++;
        if (bytes && line[bytes - 1] == '\n') bytes--;
        if (bytes == 0) continue;
        if (store_object_read(line, (size_t)bytes, &importing.object))
            take_line(&importing);
        else
            fault(&importing, "%s", importing.object.fault);
        store_object_release(&importing.object);
    }
    free(line);
    map_free(&importing.clients);
    uint32_t cursor = 0;
    for (struct state_session *session; (session = state_session_next(state, &cursor));)
        state_window_settle(session);
    if (ferror(file)) fault(&importing, "it cannot be read");
    if (importing.fault[0]) say_error("line %lu: %s", importing.line, importing.fault);
    return !importing.fault[0];
}
