/* Trace records in words: every type of packet, both versions, cut and malformed ones, hostile texts; and never a secret. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/trace_words.h"
#include "base/memory.h"
#include "proto/encode.h"

static struct trace_record *record_of(enum trace_event event, enum mqtt_version version, struct span data, uint32_t whole_bytes)
{
    struct trace_record *record = memory_acquire_zeroed(sizeof *record + data.bytes);
    *record = (struct trace_record){.event = (uint8_t)event, .version = (uint8_t)version, .data_bytes = (uint32_t)data.bytes, .whole_bytes = whole_bytes};
    if (data.bytes) memcpy(record->texts, data.data, data.bytes);
    return record;
}

static struct http_text words;
static json_t *details;

static void say(const struct trace_record *record, enum trace_payload payload, uint32_t payload_bytes)
{
    http_text_release(&words);
    json_decref(details);
    details = trace_words(record, &(struct trace_wording){payload, payload_bytes}, &words);
    http_text_add(&words, "", 1);
    cr_assert_not_null(details);
    char *text = json_dumps(details, JSON_COMPACT);
    cr_assert_not_null(text, "details are no JSON for: %s", words.data);
    free(text);
}

static void done(void)
{
    http_text_release(&words);
    json_decref(details);
    details = NULL;
}

/* Encodes the packet, takes its words. */
static void packet_said(enum trace_event event, enum mqtt_version version, const struct mqtt_packet *packet)
{
    size_t bytes = mqtt_encoded_bytes(version, packet);
    uint8_t *encoded = memory_acquire(bytes + 1);
    cr_assert(bytes && mqtt_encode(encoded, bytes, version, packet) == bytes);
    struct trace_record *record = record_of(event, version, span_of(encoded, bytes), (uint32_t)bytes);
    say(record, TRACE_PAYLOAD_TEXT, 100);
    cr_assert_str_eq(json_string_value(json_object_get(details, "packet")), mqtt_packet_name(packet->type));
    memory_release(record);
    memory_release(encoded);
}

#define HAS(text)   cr_assert(strstr(words.data, text), "no %s in: %s", text, words.data)
#define LACKS(text) cr_assert_not(strstr(words.data, text), "%s in: %s", text, words.data)

static struct mqtt_packet packet_of(enum mqtt_packet_type type)
{
    struct mqtt_packet packet;
    memset(&packet, 0, sizeof packet);
    packet.type = type;
    return packet;
}

Test(trace_words, connect_tells_all_but_the_password, .fini = done)
{
    struct mqtt_packet packet = packet_of(MQTT_CONNECT);
    struct mqtt_connect *connect = &packet.connect;
    connect->version = MQTT_5;
    connect->client_id = SPAN_LITERAL("c1");
    connect->has_user_name = connect->has_password = connect->has_will = connect->clean_start = true;
    connect->user_name = SPAN_LITERAL("alice");
    connect->password = SPAN_LITERAL("hunter2");
    connect->keep_alive_s = 30;
    connect->properties.session_expiry_s = 3600;
    mqtt_set(&connect->properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
    connect->properties.authentication_method = SPAN_LITERAL("SCRAM");
    mqtt_set(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD);
    connect->properties.authentication_data = SPAN_LITERAL("s3cret");
    mqtt_set(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_DATA);
    connect->will = (struct mqtt_will){.qos = 1, .retain = true, .topic = SPAN_LITERAL("will/t"), .payload = SPAN_LITERAL("gone")};
    connect->will.properties.will_delay_s = 5;
    mqtt_set(&connect->will.properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL);
    packet_said(TRACE_EVENT_received, MQTT_5, &packet);
    HAS("CONNECT version=5.0 client_id=\"c1\" clean_start=yes keep_alive_s=30 user_name=\"alice\" password=yes");
    HAS("session_expiry_interval=3600");
    HAS("authentication_method=\"SCRAM\"");
    HAS("authentication_data=\"not shown\"");
    HAS("will={topic=\"will/t\" qos=1 retain=yes payload_bytes=4 payload=\"gone\" properties={will_delay_interval=5}}");
    LACKS("hunter2");
    LACKS("s3cret");
    char *json = json_dumps(details, JSON_COMPACT);
    cr_assert(!strstr(json, "hunter2") && !strstr(json, "s3cret"));
    free(json);
    connect->version = MQTT_3_1_1;
    connect->properties.present = connect->will.properties.present = 0;
    packet_said(TRACE_EVENT_received, MQTT_3_1_1, &packet);
    HAS("version=3.1.1");
    LACKS("hunter2");
}

Test(trace_words, connack, .fini = done)
{
    struct mqtt_packet packet = packet_of(MQTT_CONNACK);
    packet.connack.session_present = true;
    packet.connack.properties.authentication_data = SPAN_LITERAL("s3cret");
    packet.connack.properties.authentication_method = SPAN_LITERAL("SCRAM");
    mqtt_set(&packet.connack.properties, MQTT_PROPERTY_AUTHENTICATION_METHOD);
    mqtt_set(&packet.connack.properties, MQTT_PROPERTY_AUTHENTICATION_DATA);
    packet_said(TRACE_EVENT_sent, MQTT_5, &packet);
    HAS("CONNACK session_present=yes reason=0x00 \"Success\"");
    LACKS("s3cret");
    packet = packet_of(MQTT_CONNACK);
    packet.connack.reason = MQTT_REASON_NOT_AUTHORIZED;
    packet_said(TRACE_EVENT_sent, MQTT_3_1_1, &packet);
    HAS("reason=0x87 \"Not authorized\"");
}

Test(trace_words, publish_with_properties, .fini = done)
{
    struct mqtt_packet packet = packet_of(MQTT_PUBLISH);
    static const struct mqtt_user_property pairs[] = {{{(const uint8_t *)"k", 1}, {(const uint8_t *)"v", 1}}};
    struct mqtt_publish *publish = &packet.publish;
    *publish = (struct mqtt_publish){.dup = true, .retain = true, .qos = 2, .packet_id = 77, .topic = SPAN_LITERAL("a/b"), .payload = SPAN_LITERAL("line\nnext")};
    publish->properties.message_expiry_s = 60;
    mqtt_set(&publish->properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    publish->properties.content_type = SPAN_LITERAL("text/plain");
    mqtt_set(&publish->properties, MQTT_PROPERTY_CONTENT_TYPE);
    publish->properties.user_properties = pairs;
    publish->properties.user_properties_count = 1;
    mqtt_set(&publish->properties, MQTT_PROPERTY_USER_PROPERTY);
    packet_said(TRACE_EVENT_received, MQTT_5, &packet);
    HAS("PUBLISH topic=\"a/b\" qos=2 packet_id=77 retain=yes dup=yes");
    HAS("message_expiry_interval=60");
    HAS("content_type=\"text/plain\"");
    HAS("user_property \"k\"=\"v\"");
    HAS("payload_bytes=9 payload=\"line\\x0anext\"");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(details, "properties"), "message_expiry_interval")), 60);
    packet.publish.properties.present = 0;
    packet.publish.qos = 0;
    packet.publish.dup = false;
    packet_said(TRACE_EVENT_sent, MQTT_3_1, &packet);
    HAS("qos=0 retain=yes");
    LACKS("packet_id");
}

Test(trace_words, payload_is_hidden_cut_and_in_hex, .fini = done)
{
    uint8_t encoded[64];
    struct mqtt_packet packet = packet_of(MQTT_PUBLISH);
    packet.publish = (struct mqtt_publish){.topic = SPAN_LITERAL("t"), .payload = SPAN_LITERAL("0123456789")};
    size_t bytes = mqtt_encode(encoded, sizeof encoded, MQTT_5, &packet);
    /* four bytes of the payload have come, of a packet that is larger */
    struct trace_record *record = record_of(TRACE_EVENT_received, MQTT_5, span_of(encoded, bytes - 6), (uint32_t)bytes);
    say(record, TRACE_PAYLOAD_HIDDEN, 100);
    HAS("payload_bytes=10");
    LACKS("payload=");
    say(record, TRACE_PAYLOAD_TEXT, 100);
    HAS("payload_bytes=10 payload=\"0123\"…");
    say(record, TRACE_PAYLOAD_HEX, 2);
    HAS("payload_bytes=10 payload=3031…");
    cr_assert(json_is_true(json_object_get(details, "payload_cut")));
    memory_release(record);
}

Test(trace_words, acknowledgements, .fini = done)
{
    static const enum mqtt_packet_type types[] = {MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL, MQTT_PUBCOMP};
    for (size_t i = 0; i < 4; i++) {
        struct mqtt_packet packet = packet_of(types[i]);
        packet.ack.packet_id = 9;
        packet_said(TRACE_EVENT_received, MQTT_3_1_1, &packet);
        HAS("packet_id=9 reason=0x00 \"Success\"");
        if (types[i] == MQTT_PUBACK || types[i] == MQTT_PUBREC) packet.ack.reason = MQTT_REASON_NOT_AUTHORIZED;
        else packet.ack.reason = MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND;
        packet_said(TRACE_EVENT_sent, MQTT_5, &packet);
        HAS(types[i] <= MQTT_PUBREC ? "reason=0x87 \"Not authorized\"" : "reason=0x92 \"Packet Identifier not found\"");
    }
}

Test(trace_words, subscribe_and_its_answer, .fini = done)
{
    static const struct mqtt_subscription list[] = {
        {.full_filter = {(const uint8_t *)"a/+", 3}, .qos = 1, .no_local = true},
        {.full_filter = {(const uint8_t *)"$share/g/b/#", 12}, .qos = 2, .retain_as_published = true, .retain_handling = 2}};
    struct mqtt_packet packet = packet_of(MQTT_SUBSCRIBE);
    packet.subscribe.packet_id = 3;
    packet.subscribe.count = 2;
    packet.subscribe.subscriptions = list;
    packet.subscribe.properties.subscription_id = 5;
    packet.subscribe.properties.subscription_ids_count = 1;
    mqtt_set(&packet.subscribe.properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
    packet_said(TRACE_EVENT_received, MQTT_5, &packet);
    HAS("SUBSCRIBE packet_id=3 filters=[\"a/+\" qos=1 no_local, \"$share/g/b/#\" qos=2 retain_as_published no_retained]");
    HAS("subscription_identifier=5");
    packet = packet_of(MQTT_SUBACK);
    packet.suback.packet_id = 3;
    packet.suback.codes = span_of("\x01\x87", 2);
    packet_said(TRACE_EVENT_sent, MQTT_5, &packet);
    HAS("codes=[reason=0x01 \"Granted QoS 1\", reason=0x87 \"Not authorized\"]");
}

Test(trace_words, unsubscribe_and_its_answer, .fini = done)
{
    const struct span filters[] = {SPAN_LITERAL("a/+")};
    struct mqtt_packet packet = packet_of(MQTT_UNSUBSCRIBE);
    packet.unsubscribe.packet_id = 4;
    packet.unsubscribe.count = 1;
    packet.unsubscribe.filters = filters;
    packet_said(TRACE_EVENT_received, MQTT_5, &packet);
    HAS("UNSUBSCRIBE packet_id=4 filters=[\"a/+\"]");
    packet = packet_of(MQTT_UNSUBACK);
    packet.suback.packet_id = 4;
    packet.suback.codes = span_of("\x11", 1);
    packet_said(TRACE_EVENT_sent, MQTT_5, &packet);
    HAS("codes=[reason=0x11 \"No subscription existed\"]");
}

Test(trace_words, the_others, .fini = done)
{
    struct mqtt_packet packet = packet_of(MQTT_PINGREQ);
    packet_said(TRACE_EVENT_received, MQTT_5, &packet);
    cr_assert_str_eq(words.data, "PINGREQ");
    packet = packet_of(MQTT_PINGRESP);
    packet_said(TRACE_EVENT_sent, MQTT_5, &packet);
    cr_assert_str_eq(words.data, "PINGRESP");
    packet = packet_of(MQTT_DISCONNECT);
    packet.disconnect.reason = MQTT_REASON_SERVER_SHUTTING_DOWN;
    packet.disconnect.properties.reason_string = SPAN_LITERAL("bye");
    mqtt_set(&packet.disconnect.properties, MQTT_PROPERTY_REASON_STRING);
    packet_said(TRACE_EVENT_sent, MQTT_5, &packet);
    HAS("DISCONNECT reason=0x8b \"Server shutting down\" properties={reason_string=\"bye\"}");
    packet = packet_of(MQTT_AUTH);
    packet.auth.reason = MQTT_REASON_CONTINUE_AUTHENTICATION;
    packet.auth.properties.authentication_method = SPAN_LITERAL("SCRAM");
    mqtt_set(&packet.auth.properties, MQTT_PROPERTY_AUTHENTICATION_METHOD);
    packet.auth.properties.authentication_data = SPAN_LITERAL("s3cret");
    mqtt_set(&packet.auth.properties, MQTT_PROPERTY_AUTHENTICATION_DATA);
    packet_said(TRACE_EVENT_sent, MQTT_5, &packet);
    HAS("AUTH reason=0x18 \"Continue authentication\"");
    LACKS("s3cret");
}

Test(trace_words, whatever_is_malformed_is_said_and_survived, .fini = done)
{
    uint8_t bytes[40];
    for (uint32_t seed = 1; seed < 20000; seed++) {
        uint32_t state = seed * 2654435761u, count = state % sizeof bytes;
        for (uint32_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
        struct trace_record *record = record_of(seed & 1 ? TRACE_EVENT_received : TRACE_EVENT_sent, seed & 2 ? MQTT_5 : MQTT_3_1_1, span_of(bytes, count), count);
        say(record, TRACE_PAYLOAD_TEXT, 20);
        memory_release(record);
    }
    struct trace_record *record = record_of(TRACE_EVENT_received, MQTT_5, SPAN_LITERAL("\x10\x02\x00\x09"), 4);
    say(record, TRACE_PAYLOAD_HIDDEN, 0);
    HAS("malformed=");
    record->flags = TRACE_FLAG_PACKET_CUT;
    say(record, TRACE_PAYLOAD_HIDDEN, 0);
    HAS("CONNECT packet_bytes=4 note=\"too large or not well formed: not shown\"");
    memory_release(record);
}

/* Every event with all its numbers at their worst. */
Test(trace_words, every_event_has_words, .fini = done)
{
    for (int event = 0; event < TRACE_EVENTS; event++) {
        for (uint32_t number = 0; number < 20; number++) {
            struct trace_record *record = record_of((enum trace_event)event, MQTT_5, SPAN_LITERAL(""), 0);
            for (int i = 0; i < 4; i++)
                record->numbers[i] = number == 19 ? UINT32_MAX : number;
            say(record, TRACE_PAYLOAD_TEXT, 10);
            memory_release(record);
        }
    }
}

static void quoted(const char *text, size_t bytes, const char *wanted)
{
    struct http_text out = {0};
    trace_quote(&out, span_of(text, bytes));
    http_text_add(&out, "", 1);
    cr_assert_str_eq(out.data, wanted);
    http_text_release(&out);
}

Test(trace_words, hostile_texts_are_escaped)
{
    quoted("plain", 5, "\"plain\"");
    quoted("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    quoted("\x1b[31mred\n\r\t\x7f", 12, "\"\\x1b[31mred\\x0a\\x0d\\x09\\x7f\"");
    quoted("\0x", 2, "\"\\x00x\"");
    quoted("\xff\xc3", 2, "\"\\xff\\xc3\"");                       /* not UTF-8, cut UTF-8 */
    quoted("gr\xc3\xbc\xc3\x9f", 6, "\"gr\xc3\xbc\xc3\x9f\"");
    quoted("\xc2\x9b" "31m", 5, "\"\\xc2\\x9b31m\"");              /* U+009B, a control sequence in one character */
    quoted("\xe2\x80\xae" "txt", 6, "\"\\xe2\\x80\\xaetxt\"");     /* right-to-left override */
    quoted("\xe2\x80\xa8", 3, "\"\\xe2\\x80\\xa8\"");              /* line separator */
    quoted("\xe2\x81\xa6", 3, "\"\\xe2\\x81\\xa6\"");              /* isolate */
}

Test(trace_words, times_have_microseconds)
{
    char text[TRACE_TIME_BYTES];
    trace_time(1764105000123456789ull, text);
    cr_assert_str_eq(text, "2025-11-25T21:10:00.123456Z");
}
