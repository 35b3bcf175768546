#include "admin/trace_words.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/api.h"
#include "base/memory.h"
#include "broker/watch/droplog.h"
#include "broker/session.h"
#include "proto/decode.h"
#include "proto/utf8.h"
#include "proto/encode.h"

const char *const trace_payload_names[] = {"hidden", "text", "hex", NULL};

/* ---- texts ------------------------------------------------------------------------------------------------------ */

void trace_time(uint64_t at_ns, char ret_text[TRACE_TIME_BYTES])
{
    time_t seconds = (time_t)(at_ns / 1000000000);
    struct tm tm;
    char text[TRACE_TIME_BYTES / 2 + 1];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text, TRACE_TIME_BYTES, "%s.%06uZ", text, (unsigned)(at_ns / 1000 % 1000000));
}

/* Bytes of the character at the front that may be shown as it is; 0: its first byte may not. */
static size_t shown_bytes(struct span text)
{
    uint8_t c = text.data[0];
    if (c < 0x80) return c >= 0x20 && c != 0x7f;
    for (size_t bytes = 2; bytes <= 4 && bytes <= text.bytes; bytes++) {
        if (!mqtt_utf8_payload_valid(span_of(text.data, bytes))) continue;
        bool control = c == 0xc2 && text.data[1] < 0xa0;                                            /* U+0080 to U+009F */
        bool turns = c == 0xe2 && bytes == 3 && text.data[1] == 0x80 &&                             /* U+2028 to U+202E: breaks and directions */
                     text.data[2] >= 0xa8 && text.data[2] <= 0xae;
        bool isolates = c == 0xe2 && bytes == 3 && text.data[1] == 0x81 && text.data[2] >= 0xa6 && text.data[2] <= 0xa9; /* U+2066 to U+2069 */
        return control || turns || isolates ? 0 : bytes;
    }
    return 0;
}

void trace_quote(struct http_text *out, struct span text)
{
    http_text_add(out, "\"", 1);
    while (text.bytes) {
        size_t bytes = shown_bytes(text);
        if (bytes == 0)
            http_text_print(out, "\\x%02x", text.data[0]);
        else if (text.data[0] == '"' || text.data[0] == '\\')
            http_text_print(out, "\\%c", text.data[0]);
        else
            http_text_add(out, text.data, bytes);
        text = span_skip(text, bytes ? bytes : 1);
    }
    http_text_add(out, "\"", 1);
}

struct words {
    struct http_text *text;
    json_t *object;
    const char *gap; /* before the next word */
};

static void say(struct words *words, const char *word)
{
    http_text_print(words->text, "%s%s", words->gap, word);
    words->gap = " ";
}

static void add_text(struct words *words, const char *key, struct span value, bool cut)
{
    http_text_print(words->text, "%s%s=", words->gap, key);
    trace_quote(words->text, value);
    if (cut) http_text_print(words->text, "…");
    words->gap = " ";
    json_object_set_new(words->object, key, api_string(value));
    if (cut) json_object_set_new(words->object, "cut", json_true());
}

static void add_number(struct words *words, const char *key, uint64_t value)
{
    http_text_print(words->text, "%s%s=%llu", words->gap, key, (unsigned long long)value);
    words->gap = " ";
    json_object_set_new(words->object, key, json_integer((json_int_t)value));
}

static void add_flag(struct words *words, const char *key, bool value)
{
    http_text_print(words->text, "%s%s=%s", words->gap, key, value ? "yes" : "no");
    words->gap = " ";
    json_object_set_new(words->object, key, json_boolean(value));
}

/* A constant word or sentence. */
static void add_word(struct words *words, const char *key, const char *value)
{
    bool blank = strchr(value, ' ') != NULL;
    http_text_print(words->text, "%s%s=%s%s%s", words->gap, key, blank ? "\"" : "", value, blank ? "\"" : "");
    words->gap = " ";
    json_object_set_new(words->object, key, json_string(value));
}

static void add_reason(struct words *words, uint8_t reason, bool granted)
{
    const char *name = granted && reason < 3 ? (const char *[]){"Granted QoS 0", "Granted QoS 1", "Granted QoS 2"}[reason] : mqtt_reason_name((enum mqtt_reason)reason);
    http_text_print(words->text, "%sreason=0x%02x \"%s\"", words->gap, reason, name);
    words->gap = " ";
    json_object_set_new(words->object, "reason_code", json_integer(reason));
    json_object_set_new(words->object, "reason", json_string(name));
}

/* ---- payload ---------------------------------------------------------------------------------------------------- */

/* The first bytes of a payload, as far as they came and are wanted. */
static void add_payload(struct words *words, struct span piece, uint64_t whole_bytes, const struct trace_wording *wording)
{
    add_number(words, "payload_bytes", whole_bytes);
    if (wording->payload == TRACE_PAYLOAD_HIDDEN || whole_bytes == 0) return;
    if (piece.bytes > wording->payload_bytes) piece.bytes = wording->payload_bytes;
    bool cut = piece.bytes < whole_bytes;
    if (wording->payload == TRACE_PAYLOAD_TEXT) {
        struct http_text quoted = {0};
        trace_quote(&quoted, piece);
        http_text_print(words->text, "%spayload=", words->gap);
        http_text_add(words->text, quoted.data, quoted.bytes);
        json_object_set_new(words->object, "payload", json_stringn(quoted.data + 1, quoted.bytes - 2));
        http_text_release(&quoted);
    } else {
        char *hex = memory_acquire(2 * piece.bytes + 1);
        for (size_t i = 0; i < piece.bytes; i++)
            snprintf(hex + 2 * i, 3, "%02x", piece.data[i]);
        hex[2 * piece.bytes] = 0;
        http_text_print(words->text, "%spayload=", words->gap);
        http_text_add(words->text, hex, 2 * piece.bytes);
        json_object_set_new(words->object, "payload", json_string(hex));
        memory_release(hex);
    }
    if (cut) http_text_print(words->text, "…");
    json_object_set_new(words->object, "payload_cut", json_boolean(cut));
    words->gap = " ";
}

/* ---- properties ------------------------------------------------------------------------------------------------- */

/* "Message Expiry Interval" → "message_expiry_interval". */
static void property_key(enum mqtt_property_id id, char ret_key[64])
{
    const char *name = mqtt_property_kind(id)->name;
    size_t i = 0;
    for (; name[i] && i < 63; i++)
        ret_key[i] = name[i] == ' ' ? '_' : (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    ret_key[i] = 0;
}

static void user_property(struct words *words, const struct mqtt_property *property)
{
    json_t *list = json_object_get(words->object, "user_properties");
    if (!list) json_object_set_new(words->object, "user_properties", list = json_array());
    json_array_append_new(list, json_pack("{s:o, s:o}", "name", api_string(property->text), "value", api_string(property->value)));
    http_text_print(words->text, " user_property ");
    trace_quote(words->text, property->text);
    http_text_print(words->text, "=");
    trace_quote(words->text, property->value);
}

static void add_properties(struct words *words, struct span raw, const char *key)
{
    if (raw.bytes == 0) return;
    struct words within = {words->text, json_object(), " "};
    struct mqtt_property property;
    http_text_print(words->text, "%s%s={", words->gap, key);
    within.gap = "";
    while (mqtt_property_next(&raw, &property)) {
        char name[64];
        property_key(property.id, name);
        switch (mqtt_property_kind(property.id)->wire) {
        case MQTT_WIRE_BYTE:
        case MQTT_WIRE_U16:
        case MQTT_WIRE_U32: add_number(&within, name, property.number); break;
        case MQTT_WIRE_VARINT: { /* the subscription identifier, which may come several times */
            json_t *list = json_object_get(within.object, "subscription_identifiers");
            if (!list) json_object_set_new(within.object, "subscription_identifiers", list = json_array());
            json_array_append_new(list, json_integer(property.number));
            http_text_print(within.text, "%s%s=%u", within.gap, name, property.number);
            break;
        }
        case MQTT_WIRE_STRING: add_text(&within, name, property.text, false); break;
        case MQTT_WIRE_BINARY:
            if (property.id == MQTT_PROPERTY_AUTHENTICATION_DATA)
                add_word(&within, name, "not shown");
            else
                add_text(&within, name, property.text, false);
            break;
        case MQTT_WIRE_PAIR: user_property(&within, &property); break;
        case MQTT_WIRE_NONE: break;
        }
        within.gap = " ";
    }
    http_text_print(words->text, "}");
    words->gap = " ";
    json_object_set_new(words->object, key, within.object);
}

/* ---- packets ---------------------------------------------------------------------------------------------------- */

static void connect_words(struct words *words, const struct mqtt_connect *connect, const struct trace_wording *wording)
{
    add_word(words, "version", mqtt_version_name(connect->version));
    add_text(words, "client_id", connect->client_id, false);
    add_flag(words, "clean_start", connect->clean_start);
    add_number(words, "keep_alive_s", connect->keep_alive_s);
    if (connect->has_user_name) add_text(words, "user_name", connect->user_name, false);
    add_flag(words, "password", connect->has_password);
    add_properties(words, connect->properties.raw, "properties");
    if (!connect->has_will) return;
    struct words within = {words->text, json_object(), ""};
    http_text_print(words->text, " will={");
    add_text(&within, "topic", connect->will.topic, false);
    add_number(&within, "qos", connect->will.qos);
    add_flag(&within, "retain", connect->will.retain);
    add_payload(&within, connect->will.payload, connect->will.payload.bytes, wording);
    add_properties(&within, connect->will.properties.raw, "properties");
    http_text_print(words->text, "}");
    json_object_set_new(words->object, "will", within.object);
}

static void publish_words(struct words *words, const struct mqtt_publish *publish, uint64_t missing_bytes, const struct trace_wording *wording)
{
    add_text(words, "topic", publish->topic, false);
    add_number(words, "qos", publish->qos);
    if (publish->qos) add_number(words, "packet_id", publish->packet_id);
    add_flag(words, "retain", publish->retain);
    add_flag(words, "dup", publish->dup);
    add_properties(words, publish->properties.raw, "properties");
    add_payload(words, publish->payload, publish->payload.bytes + missing_bytes, wording);
}

static void subscribe_words(struct words *words, struct span raw, bool unsubscribes)
{
    json_t *list = json_array();
    struct mqtt_subscription subscription;
    const char *gap = "";
    http_text_print(words->text, " filters=[");
    while (unsubscribes ? mqtt_unsubscription_next(&raw, &subscription) : mqtt_subscription_next(&raw, &subscription)) {
        http_text_print(words->text, "%s", gap);
        trace_quote(words->text, subscription.full_filter);
        gap = ", ";
        json_t *one = json_pack("{s:o}", "filter", api_string(subscription.full_filter));
        json_array_append_new(list, one);
        if (unsubscribes) continue;
        http_text_print(words->text, " qos=%u%s%s%s", subscription.qos, subscription.no_local ? " no_local" : "",
                        subscription.retain_as_published ? " retain_as_published" : "",
                        subscription.retain_handling == 1 ? " retained_if_new" : subscription.retain_handling == 2 ? " no_retained" : "");
        json_object_set_new(one, "qos", json_integer(subscription.qos));
        json_object_set_new(one, "no_local", json_boolean(subscription.no_local));
        json_object_set_new(one, "retain_as_published", json_boolean(subscription.retain_as_published));
        json_object_set_new(one, "retain_handling", json_integer(subscription.retain_handling));
    }
    http_text_print(words->text, "]");
    json_object_set_new(words->object, "filters", list);
}

static void codes_words(struct words *words, struct span codes, bool granted)
{
    json_t *list = json_array();
    http_text_print(words->text, " codes=[");
    for (size_t i = 0; i < codes.bytes; i++) {
        struct words within = {words->text, json_object(), i ? ", " : ""};
        add_reason(&within, codes.data[i], granted);
        json_array_append_new(list, within.object);
    }
    http_text_print(words->text, "]");
    json_object_set_new(words->object, "codes", list);
}

static void decoded_words(struct words *words, const struct mqtt_packet *packet, uint64_t missing_bytes, const struct trace_wording *wording)
{
    switch (packet->type) {
    case MQTT_CONNECT: return connect_words(words, &packet->connect, wording);
    case MQTT_CONNACK:
        add_flag(words, "session_present", packet->connack.session_present);
        add_reason(words, (uint8_t)packet->connack.reason, false);
        return add_properties(words, packet->connack.properties.raw, "properties");
    case MQTT_PUBLISH: return publish_words(words, &packet->publish, missing_bytes, wording);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        add_number(words, "packet_id", packet->ack.packet_id);
        add_reason(words, (uint8_t)packet->ack.reason, false);
        return add_properties(words, packet->ack.properties.raw, "properties");
    case MQTT_SUBSCRIBE:
        add_number(words, "packet_id", packet->subscribe.packet_id);
        subscribe_words(words, packet->subscribe.raw, false);
        return add_properties(words, packet->subscribe.properties.raw, "properties");
    case MQTT_UNSUBSCRIBE:
        add_number(words, "packet_id", packet->unsubscribe.packet_id);
        subscribe_words(words, packet->unsubscribe.raw, true);
        return add_properties(words, packet->unsubscribe.properties.raw, "properties");
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        add_number(words, "packet_id", packet->suback.packet_id);
        codes_words(words, packet->suback.codes, packet->type == MQTT_SUBACK);
        return add_properties(words, packet->suback.properties.raw, "properties");
    case MQTT_DISCONNECT:
        add_reason(words, (uint8_t)packet->disconnect.reason, false);
        return add_properties(words, packet->disconnect.properties.raw, "properties");
    case MQTT_AUTH:
        add_reason(words, (uint8_t)packet->auth.reason, false);
        return add_properties(words, packet->auth.properties.raw, "properties");
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return;
    }
}

/* The packet as it would be without the bytes that are missing at its end. NULL: not even its head is there. */
static uint8_t *shortened(struct span data, size_t *ret_bytes)
{
    size_t length_bytes = 0;
    while (length_bytes < 4 && 1 + length_bytes < data.bytes && data.data[1 + length_bytes] & 0x80)
        length_bytes++;
    length_bytes++;
    if (data.bytes < 1 + length_bytes) return NULL;
    struct span rest = span_skip(data, 1 + length_bytes);
    uint8_t *copy = memory_acquire(rest.bytes + 8), *at = copy;
    *at++ = data.data[0];
    at = mqtt_put_varint(at, (uint32_t)rest.bytes);
    at = mqtt_put_bytes(at, rest);
    *ret_bytes = (size_t)(at - copy);
    return copy;
}

static void packet_words(struct words *words, const struct trace_record *record, const struct trace_wording *wording)
{
    struct span data = trace_record_data(record);
    enum mqtt_packet_type type = (enum mqtt_packet_type)(data.bytes ? data.data[0] >> 4 : 0);
    struct mqtt_decode_limits limits = {.from = record->event == TRACE_EVENT_received ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER,
                                        .version = type == MQTT_CONNECT ? MQTT_VERSION_NONE : (enum mqtt_version)record->version};
    say(words, mqtt_packet_name(type));
    json_object_set_new(words->object, "packet", json_string(mqtt_packet_name(type)));
    if (record->flags & TRACE_FLAG_PACKET_CUT) {
        add_number(words, "packet_bytes", record->whole_bytes);
        return add_word(words, "note", "too large or not well formed: not shown");
    }
    if (type == MQTT_PINGREQ || type == MQTT_PINGRESP) return;
    struct mqtt_packet packet;
    size_t bytes = 0;
    uint8_t *copy = shortened(data, &bytes);
    struct mqtt_decoded decoded = {.status = MQTT_NEED_MORE};
    if (copy) decoded = mqtt_decode(span_of(copy, bytes), &limits, &packet);
    if (decoded.status == MQTT_DECODED) {
        decoded_words(words, &packet, record->whole_bytes - data.bytes, wording);
    } else {
        add_number(words, "packet_bytes", record->whole_bytes);
        add_word(words, "malformed", decoded.status == MQTT_MALFORMED ? decoded.what : "too short");
    }
    memory_release(copy);
}

/* ---- decisions -------------------------------------------------------------------------------------------------- */

static const char *const decisions[] = {"pass", "allow", "deny", "later", "continue"};
static const char *const waits[TRACE_WAITS] = {
    [TRACE_WAIT_AWAY] = "the client is away",
    [TRACE_WAIT_QUEUE] = "others wait before it",
    [TRACE_WAIT_WINDOW] = "the client has as many messages unacknowledged as it may",
    [TRACE_WAIT_ROOM] = "the client does not read fast enough",
    [TRACE_WAIT_RATE] = "a rate of deliveries is used up",
    [TRACE_WAIT_DISK] = "it must be on disk first"};
static const char *const pauses[] = {"its subscribers or the broker cannot keep up", "it has used up a rate", "it does not read its answers"};
static const char *const ends[] = {[SESSION_END_CLIENT] = "by the client",
                                   [SESSION_END_CLIENT_WITH_WILL] = "by the client, which wants its will published",
                                   [SESSION_END_LOST] = "lost, without DISCONNECT",
                                   [SESSION_END_SERVER] = "by the broker",
                                   [SESSION_END_TAKEN_OVER] = "its id has connected again",
                                   [SESSION_END_STOPPING] = "the broker stops"};

static void list_filters(struct words *words, struct span list)
{
    json_t *array = json_array();
    http_text_print(words->text, " filters=[");
    const char *gap = "";
    while (list.bytes) {
        const uint8_t *zero = memchr(list.data, 0, list.bytes);
        struct span one = span_of(list.data, zero ? (size_t)(zero - list.data) : list.bytes);
        http_text_print(words->text, "%s", gap);
        trace_quote(words->text, one);
        gap = ", ";
        json_array_append_new(array, api_string(one));
        list = span_skip(list, one.bytes + (zero != NULL));
    }
    http_text_print(words->text, "]");
    json_object_set_new(words->object, "filters", array);
}

static void published_words(struct words *words, const struct trace_record *record, const struct trace_wording *wording)
{
    const uint32_t *numbers = record->numbers;
    bool nobody = numbers[0] + numbers[1] + numbers[2] == 0;
    say(words, nobody ? "nobody subscribes" : "given out");
    add_text(words, "topic", trace_record_topic(record), record->flags & TRACE_FLAG_TOPIC_CUT);
    add_number(words, "qos", numbers[3] & 3);
    add_flag(words, "retain", numbers[3] & 4);
    if (!(numbers[3] & 8)) add_word(words, "by", "the broker or its API");
    add_number(words, "filters_here", numbers[0]);
    add_number(words, "subscriptions_here", numbers[3] >> 8);
    add_number(words, "other_shards", numbers[1]);
    add_number(words, "shared_groups", numbers[2]);
    list_filters(words, trace_record_text(record));
    add_payload(words, trace_record_data(record), record->whole_bytes, wording);
}

static void verdict_words(struct words *words, const struct trace_record *record)
{
    add_word(words, "verdict", record->numbers[0] < 5 ? decisions[record->numbers[0]] : "?");
    add_text(words, "by", trace_record_text(record), record->flags & TRACE_FLAG_TEXT_CUT);
    if (record->numbers[0] == FEATURE_DENY && record->reason) add_reason(words, record->reason, false);
}

json_t *trace_words(const struct trace_record *record, const struct trace_wording *wording, struct http_text *text)
{
    struct words words = {text, json_object(), ""};
    const uint32_t *numbers = record->numbers;
    struct span topic = trace_record_topic(record), said = trace_record_text(record);
    bool topic_cut = record->flags & TRACE_FLAG_TOPIC_CUT, said_cut = record->flags & TRACE_FLAG_TEXT_CUT;
    switch ((enum trace_event)record->event) {
    case TRACE_EVENT_received:
    case TRACE_EVENT_sent: packet_words(&words, record, wording); break;
    case TRACE_EVENT_connection: {
        const uint8_t *blank = memchr(said.data, ' ', said.bytes);
        size_t bytes = blank ? (size_t)(blank - said.data) : said.bytes;
        add_text(&words, "listener", span_of(said.data, bytes), false);
        if (blank && bytes + 1 < said.bytes) add_text(&words, "peer", span_skip(said, bytes + 1), said_cut);
        add_word(&words, "version", mqtt_version_name((enum mqtt_version)record->version));
        break;
    }
    case TRACE_EVENT_login: verdict_words(&words, record); break;
    case TRACE_EVENT_authorization:
        add_word(&words, "action", mqtt_packet_name((enum mqtt_packet_type)numbers[1]));
        add_text(&words, numbers[1] == MQTT_PUBLISH ? "topic" : "filter", topic, topic_cut);
        verdict_words(&words, record);
        break;
    case TRACE_EVENT_connected:
        add_flag(&words, "session_present", numbers[0]);
        add_number(&words, "keep_alive_s", numbers[1]);
        add_number(&words, "session_expiry_s", numbers[2]);
        add_number(&words, "messages_waiting", numbers[3]);
        break;
    case TRACE_EVENT_refused:
        if (topic.bytes) add_text(&words, "filter", topic, topic_cut);
        add_reason(&words, record->reason, false);
        if (said.bytes) add_text(&words, "what", said, said_cut);
        break;
    case TRACE_EVENT_rewritten:
        add_text(&words, "from", said, said_cut);
        add_text(&words, "to", topic, topic_cut);
        break;
    case TRACE_EVENT_published: published_words(&words, record, wording); break;
    case TRACE_EVENT_kept:
        add_text(&words, "topic", topic, topic_cut);
        add_number(&words, "delay_s", numbers[0]);
        add_payload(&words, trace_record_data(record), record->whole_bytes, wording);
        break;
    case TRACE_EVENT_queued:
        add_text(&words, "topic", topic, topic_cut);
        add_number(&words, "qos", numbers[3]);
        add_word(&words, "why", numbers[0] < TRACE_WAITS ? waits[numbers[0]] : "?");
        add_number(&words, "queue", numbers[1]);
        add_number(&words, "unacknowledged", numbers[2]);
        break;
    case TRACE_EVENT_dropped:
        if (topic.bytes) add_text(&words, "topic", topic, topic_cut);
        add_word(&words, "reason", numbers[0] < DROP_REASONS ? drop_reason_names[numbers[0]] : "?");
        add_word(&words, "why", numbers[0] < DROP_REASONS ? drop_reason_documentation[numbers[0]] : "?");
        if (numbers[1] != 1) add_number(&words, "messages", numbers[1]);
        break;
    case TRACE_EVENT_subscribed:
        add_text(&words, "filter", topic, topic_cut);
        add_number(&words, "qos", record->reason);
        break;
    case TRACE_EVENT_paused:
    case TRACE_EVENT_resumed: add_word(&words, "why", numbers[0] < 3 ? pauses[numbers[0]] : "?"); break;
    case TRACE_EVENT_taken_over: say(&words, "another connection has come with this client id"); break;
    case TRACE_EVENT_timeout: add_number(&words, "keep_alive_s", numbers[0]); break;
    case TRACE_EVENT_disconnected:
        add_word(&words, "how", numbers[0] < sizeof ends / sizeof ends[0] ? ends[numbers[0]] : "?");
        add_reason(&words, record->reason, false);
        break;
    case TRACE_EVENT_session: add_word(&words, "change", numbers[0] == TRACE_SESSION_EXPIRED ? "expired" : "ended"); break;
    case TRACE_EVENT_lost: add_number(&words, "records", numbers[0]); break;
    case TRACE_EVENT_trace: add_text(&words, "what", said, said_cut); break;
    case TRACE_EVENTS: break;
    }
    return words.object;
}
