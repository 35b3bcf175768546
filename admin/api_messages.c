/* api_messages.c - publishing, and retained messages. */
#include <stdlib.h>

#include "admin/api.h"
#include "admin/base64.h"
#include "admin/numbers.h"
#include "base/check.h"
#include "base/memory.h"
#include "base/sha1.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"
#include "proto/topic.h"
#include "proto/utf8.h"

/* ---- properties ------------------------------------------------------------------------------------------------- */

static json_t *base64_json(struct span bytes)
{
    char *text = memory_acquire(4 * ((bytes.bytes + 2) / 3) + 1);
    base64_encode(bytes, text);
    json_t *value = json_string(text);
    memory_release(text);
    return value;
}

/* The forwardable properties of a message, as MessageProperties. */
static json_t *properties_json(struct span raw)
{
    json_t *object = json_object(), *pairs = NULL;
    struct mqtt_property property;
    while (mqtt_property_next(&raw, &property)) {
        switch (property.id) {
        case MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR: json_object_set_new(object, "payload_format_indicator", json_integer(property.number)); break;
        case MQTT_PROPERTY_RESPONSE_TOPIC: json_object_set_new(object, "response_topic", api_string(property.text)); break;
        case MQTT_PROPERTY_CORRELATION_DATA: json_object_set_new(object, "correlation_data", base64_json(property.text)); break;
        case MQTT_PROPERTY_CONTENT_TYPE: json_object_set_new(object, "content_type", api_string(property.text)); break;
        case MQTT_PROPERTY_USER_PROPERTY:
            if (!pairs) json_object_set_new(object, "user_properties", pairs = json_array());
            json_array_append_new(pairs, json_pack("{s:o, s:o}", "name", api_string(property.text), "value", api_string(property.value)));
            break;
        default: break;
        }
    }
    return object;
}

static bool utf8_valid(const json_t *text) { return !text || mqtt_utf8_valid(span_of(json_string_value(text), json_string_length(text))); }
static struct span span_of_json(const json_t *text) { return span_of(json_string_value(text), json_string_length(text)); }

/* As bytes of the wire, allocated. False: answered. */
static bool properties_encode(struct api_call *call, const json_t *object, struct span *ret_raw, uint32_t *ret_expiry_s)
{
    struct mqtt_properties properties;
    properties.present = 0;
    properties.raw = span_of(NULL, 0);
    properties.user_properties = NULL;
    const json_t *indicator = json_object_get(object, "payload_format_indicator"), *response = json_object_get(object, "response_topic"),
                 *correlation = json_object_get(object, "correlation_data"), *type = json_object_get(object, "content_type"),
                 *pairs = json_object_get(object, "user_properties");
    *ret_expiry_s = (uint32_t)json_integer_value(json_object_get(object, "message_expiry_interval"));
    if (response && !mqtt_topic_name_valid(span_of_json(response), 0)) {
        api_error(call, 400, "BAD_REQUEST", "properties.response_topic must be a topic name");
        return false;
    }
    uint8_t *correlation_data = NULL;
    size_t correlation_bytes = 0;
    if (correlation) {
        correlation_data = memory_acquire(json_string_length(correlation) + 1);
        if (!base64_decode(span_of_json(correlation), correlation_data, json_string_length(correlation), &correlation_bytes)) {
            memory_release(correlation_data);
            api_error(call, 400, "BAD_REQUEST", "properties.correlation_data must be base64");
            return false;
        }
    }
    bool texts_valid = utf8_valid(type);
    size_t count = json_array_size(pairs);
    struct mqtt_user_property *list = memory_acquire((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const json_t *name = json_object_get(json_array_get(pairs, i), "name"), *value = json_object_get(json_array_get(pairs, i), "value");
        texts_valid &= utf8_valid(name) && utf8_valid(value);
        list[i] = (struct mqtt_user_property){span_of_json(name), span_of_json(value)};
    }
#define SET(condition, ID, field, what)                   \
    if (condition) {                                      \
        properties.field = what;                          \
        mqtt_set(&properties, MQTT_PROPERTY_##ID);        \
    }
    SET(indicator, PAYLOAD_FORMAT_INDICATOR, payload_format_indicator, (uint8_t)json_integer_value(indicator))
    SET(response, RESPONSE_TOPIC, response_topic, span_of_json(response))
    SET(correlation, CORRELATION_DATA, correlation_data, span_of(correlation_data, correlation_bytes))
    SET(type, CONTENT_TYPE, content_type, span_of_json(type))
    properties.user_properties_count = (uint32_t)count;
    SET(count, USER_PROPERTY, user_properties, list)
#undef SET
    if (texts_valid) {
        size_t bytes = mqtt_properties_bytes(&properties);
        uint8_t *raw = memory_acquire(bytes + 1);
        mqtt_properties_write(raw, &properties);
        *ret_raw = span_of(raw, bytes);
    } else {
        api_error(call, 400, "BAD_REQUEST", "a text in properties has a character that MQTT does not allow (§1.5.4)");
    }
    memory_release(list);
    memory_release(correlation_data);
    return texts_valid;
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

/* The payload's bytes, allocated. False: answered. */
static bool payload_take(struct api_call *call, const json_t *message, struct span *ret_payload)
{
    const json_t *payload = json_object_get(message, "payload");
    const char *encoding = json_string_value(json_object_get(message, "payload_encoding"));
    size_t bytes = payload ? json_string_length(payload) : 0;
    uint8_t *copy = memory_acquire(bytes + 1);
    bool good = true;
    if (encoding && strcmp(encoding, "base64") == 0 && payload)
        good = base64_decode(span_of_json(payload), copy, bytes, &bytes);
    else if (bytes)
        memcpy(copy, json_string_value(payload), bytes);
    if (!good) {
        memory_release(copy);
        api_error(call, 400, "BAD_REQUEST", "payload must be base64, as payload_encoding says");
        return false;
    }
    *ret_payload = span_of(copy, bytes);
    return true;
}

/* A question for a shard, complete. NULL: answered. */
static struct inspect *message_question(struct api_call *call, const json_t *message)
{
    const json_t *topic = json_object_get(message, "topic");
    struct span name = span_of_json(topic), payload, properties;
    const struct mqtt_settings mqtt = admin_mqtt_settings_now(call->admin);
    uint32_t expiry_s;
    if (!mqtt_topic_name_valid(name, mqtt.topic_levels_max)) {
        api_error(call, 400, "BAD_REQUEST", "topic must be a topic name: no wildcards, and no more levels than mqtt.max_topic_levels");
        return NULL;
    }
    if (span_starts_with(name, SPAN_LITERAL("$SYS/"))) {
        api_error(call, 400, "BAD_REQUEST", "topics below $SYS are the broker's own");
        return NULL;
    }
    if (!payload_take(call, message, &payload)) return NULL;
    bool fits = payload.bytes + name.bytes < mqtt.packet_bytes_max;
    if (!fits || !properties_encode(call, json_object_get(message, "properties"), &properties, &expiry_s)) {
        if (!fits) api_error(call, 400, "BAD_REQUEST", "the message is larger than mqtt.max_packet_size");
        memory_release((void *)(uintptr_t)payload.data);
        return NULL;
    }
    struct inspect *inspect = inspect_create(INSPECT_PUBLISH);
    inspect->text = memory_acquire(name.bytes + payload.bytes + properties.bytes + 1);
    uint8_t *at = mempcpy(inspect->text, name.data, name.bytes);
    inspect->client_id = span_of(inspect->text, name.bytes);
    inspect->payload = span_of(at, payload.bytes);
    at = mempcpy(at, payload.data, payload.bytes);
    inspect->properties = span_of(at, properties.bytes);
    memcpy(at, properties.data, properties.bytes);
    memory_release((void *)(uintptr_t)payload.data);
    memory_release((void *)(uintptr_t)properties.data);
    inspect->qos = (uint32_t)json_integer_value(json_object_get(message, "qos"));
    inspect->retain = json_is_true(json_object_get(message, "retain"));
    inspect->expiry_s = expiry_s;
    inspect->shard = 0; /* all from one shard: what is published through the API arrives in the order it was sent */
    return inspect;
}

static json_t *published_json(const struct inspect *inspect)
{
    return json_pack("{s:o, s:b, s:i}", "topic", api_string(inspect->client_id), "matched", inspect->reason == MQTT_REASON_SUCCESS, "reason_code", inspect->reason);
}

void api_publish(struct api_call *call)
{
    struct inspect *inspect = message_question(call, call->body);
    if (!inspect || !api_ask(call, inspect)) return;
    api_reply(call, published_json(inspect));
    inspect_release(inspect);
}

void api_publish_bulk(struct api_call *call)
{
    const json_t *messages = json_object_get(call->body, "messages");
    uint32_t count = (uint32_t)json_array_size(messages), made = 0;
    struct inspect **inspects = memory_acquire_zeroed(count * sizeof *inspects);
    while (made < count && (inspects[made] = message_question(call, json_array_get(messages, made))))
        made++;
    json_t *list = made == count ? json_array() : NULL;
    for (uint32_t i = 0; list && i < count; i++) {
        struct inspect *inspect = inspects[i];
        inspects[i] = NULL;
        if (!api_ask(call, inspect)) {
            json_decref(list);
            list = NULL;
            break;
        }
        json_array_append_new(list, published_json(inspect));
        inspect_release(inspect);
    }
    for (uint32_t i = 0; i < made; i++)
        inspect_release(inspects[i]);
    memory_release(inspects);
    if (list) api_reply(call, json_pack("{s:o}", "data", list));
}

/* ---- retained --------------------------------------------------------------------------------------------------- */

static json_t *retained_json(struct api_call *call, const void *row)
{
    const struct inspect_message *message = row;
    return json_pack("{s:o, s:i, s:I, s:o, s:I}", "topic", api_string_of(message->text, message->topic_bytes), "qos", message->qos, "payload_bytes",
                     (json_int_t)message->payload_bytes, "expires_at", api_time(message->expires_ms), "shard", (json_int_t)message->shard);
}

static struct inspect *retained_question(struct api_call *call)
{
    const char *filter = api_text(call, "topic");
    struct inspect *inspect = inspect_create(INSPECT_RETAINED);
    inspect->text = memory_copy_string(span_of_string(filter ? filter : ""));
    inspect->client_id = span_of_string(inspect->text);
    return inspect;
}

static bool filter_valid(struct api_call *call)
{
    const char *filter = api_text(call, "topic");
    if (!filter || (mqtt_topic_filter_valid(span_of_string(filter), TOPIC_LEVELS_MAX) && strncmp(filter, "$share/", 7) != 0)) return true;
    api_error(call, 400, "BAD_REQUEST", "topic must be a topic filter such as a/+/c or a/#");
    return false;
}

static void retained_row_put(struct api_call *call, const void *row, struct http_text *out) { api_put(out, retained_json(call, row)); }

void api_list_retained(struct api_call *call)
{
    struct stats stats;
    node_numbers(admin_broker(call->admin), &stats);
    if (filter_valid(call)) api_page(call, retained_question, retained_row_put, api_unfiltered(call) ? (int64_t)stats.retained_messages : -1);
}

/* One of the topic's owner. NULL: answered. */
static struct inspect *ask_owner(struct api_call *call, enum inspect_kind kind, struct span topic)
{
    struct inspect *inspect = inspect_create(kind);
    inspect->text = memory_copy_string(topic);
    inspect->client_id = span_of(inspect->text, topic.bytes);
    inspect->payload_bytes_max = admin_settings_now(call->admin).payload_bytes_max;
    inspect->shard = api_topic_owner(call, topic);
    return api_ask(call, inspect) ? inspect : NULL;
}

static void no_message(struct api_call *call) { api_error(call, 404, "NOT_FOUND", "the topic has no retained message"); }

void api_get_retained(struct api_call *call)
{
    struct inspect *inspect = ask_owner(call, INSPECT_RETAINED_ONE, span_of_string(api_text(call, "topic")));
    if (!inspect) return;
    if (inspect->rows_count) {
        const struct inspect_message *message = inspect->rows[0];
        const char *properties = message->text + message->topic_bytes, *payload = properties + message->properties_bytes;
        json_t *object = retained_json(call, message);
        json_object_set_new(object, "payload", message->payload_left_out ? json_null() : base64_json(span_of(payload, message->payload_bytes)));
        json_object_set_new(object, "properties", properties_json(span_of(properties, message->properties_bytes)));
        api_reply(call, object);
    } else if (inspect->status == INSPECT_UNREADABLE) {
        api_error(call, 500, "UNREADABLE", "the payload is on disk and cannot be read; the log says why");
    } else {
        no_message(call);
    }
    inspect_release(inspect);
}

void api_delete_retained(struct api_call *call)
{
    struct inspect *inspect = ask_owner(call, INSPECT_RETAINED_DELETE, span_of_string(api_text(call, "topic")));
    if (!inspect) return;
    if (inspect->status == INSPECT_DONE)
        api_done(call);
    else
        no_message(call);
    inspect_release(inspect);
}

#define DELETE_AT_A_TIME 500

/* Removes what a page of the list names. False: answered. */
static bool delete_rows(struct api_call *call, const struct inspect *page, uint64_t *deleted)
{
    for (uint32_t i = 0; i < page->rows_count; i++) {
        const struct inspect_message *message = page->rows[i];
        struct inspect *inspect = ask_owner(call, INSPECT_RETAINED_DELETE, span_of(message->text, message->topic_bytes));
        if (!inspect) return false;
        *deleted += inspect->status == INSPECT_DONE;
        inspect_release(inspect);
    }
    return true;
}

void api_delete_retained_matching(struct api_call *call)
{
    if (!filter_valid(call)) return;
    uint64_t deleted = 0;
    for (uint32_t shard = 0; shard < admin_broker(call->admin)->shards_count; shard++) {
        struct inspect *page = retained_question(call);
        page->shard = shard;
        page->limit = DELETE_AT_A_TIME;
        do {
            inspect_rows_clear(page);
            if (!api_ask(call, page)) return;
            if (!delete_rows(call, page, &deleted)) return inspect_release(page);
        } while (page->status == INSPECT_MORE);
        inspect_release(page);
    }
    api_reply(call, json_pack("{s:I}", "deleted", (json_int_t)deleted));
}
