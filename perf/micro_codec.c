#include "base/check.h"
#include "perf/micro.h"
#include "proto/decode.h"
#include "proto/encode.h"

static uint8_t bytes[4096];
static size_t bytes_count;
static struct mqtt_packet packet;
static enum mqtt_version version;
static enum mqtt_role from;

static void encoded(enum mqtt_version of, enum mqtt_role sender)
{
    version = of;
    from = sender;
    bytes_count = mqtt_encode(bytes, sizeof bytes, of, &packet);
    CHECK(bytes_count > 0);
}

static uint64_t run_decode(uint64_t count)
{
    const struct mqtt_decode_limits limits = {
        .from = from, .version = packet.type == MQTT_CONNECT ? 0 : version, .topic_levels_max = 128};
    struct mqtt_packet out;
    for (uint64_t i = 0; i < count; i++) {
        struct mqtt_decoded decoded = mqtt_decode(span_of(bytes, bytes_count), &limits, &out);
        CHECK(decoded.status == MQTT_DECODED);
        micro_keep(decoded.bytes);
    }
    return count;
}

static uint64_t run_encode(uint64_t count)
{
    uint8_t out[4096];
    for (uint64_t i = 0; i < count; i++)
        micro_keep(mqtt_encode(out, sizeof out, version, &packet));
    return count;
}

static uint64_t run_head(uint64_t count)
{
    uint8_t out[128];
    for (uint64_t i = 0; i < count; i++) {
        micro_keep(mqtt_write_publish_head(out, mqtt_publish_first_byte(1, false, false), packet.publish.topic, (uint16_t)i, 17));
        micro_keep(mqtt_write_ack(out, MQTT_PUBACK, (uint16_t)i));
    }
    return count;
}

static void setup_publish(uint64_t payload_bytes)
{
    static uint8_t payload[2048];
    packet = (struct mqtt_packet){
        .type = MQTT_PUBLISH,
        .publish = {.topic = SPAN_LITERAL("site/17/device/4711/status"), .payload = span_of(payload, payload_bytes)}};
    packet.publish.properties.raw = span_of(NULL, 0);
    encoded(MQTT_3_1_1, MQTT_FROM_CLIENT);
}

static void setup_publish_5(uint64_t payload_bytes)
{
    setup_publish(payload_bytes);
    packet.publish.qos = 1;
    packet.publish.packet_id = 77;
    packet.publish.properties.message_expiry_s = 60;
    mqtt_set(&packet.publish.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    packet.publish.properties.content_type = SPAN_LITERAL("application/json");
    mqtt_set(&packet.publish.properties, MQTT_PROPERTY_CONTENT_TYPE);
    encoded(MQTT_5, MQTT_FROM_CLIENT);
}

static void setup_connect(uint64_t size)
{
    packet = (struct mqtt_packet){.type = MQTT_CONNECT,
                                  .connect = {.version = MQTT_5,
                                              .clean_start = true,
                                              .keep_alive_s = 60,
                                              .client_id = SPAN_LITERAL("device-4711"),
                                              .has_user_name = true,
                                              .has_password = true,
                                              .user_name = SPAN_LITERAL("user"),
                                              .password = SPAN_LITERAL("secret")}};
    encoded(MQTT_5, MQTT_FROM_CLIENT);
}

static void setup_subscribe(uint64_t size)
{
    static const struct mqtt_subscription entries[4] = {{.full_filter = SPAN_LITERAL("site/17/device/4711/command"), .qos = 1},
                                                        {.full_filter = SPAN_LITERAL("site/+/all")},
                                                        {.full_filter = SPAN_LITERAL("site/17/#"), .qos = 2},
                                                        {.full_filter = SPAN_LITERAL("$share/workers/jobs/+/new")}};
    packet = (struct mqtt_packet){.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 5, .count = 4, .subscriptions = entries}};
    encoded(MQTT_5, MQTT_FROM_CLIENT);
}

static void setup_puback(uint64_t size)
{
    packet = (struct mqtt_packet){.type = MQTT_PUBACK, .ack = {.packet_id = 5}};
    encoded(MQTT_3_1_1, MQTT_FROM_CLIENT);
}

static void setup_connack(uint64_t size)
{
    packet = (struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.session_present = false}};
    packet.connack.properties.receive_maximum = 1024;
    mqtt_set(&packet.connack.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
    encoded(MQTT_5, MQTT_FROM_SERVER);
}

const struct micro_case micro_codec[] = {
    {"decode-publish", setup_publish, run_decode, 16, 2000},
    {"decode-publish-1k", setup_publish, run_decode, 1024, 2000},
    {"decode-publish-v5-properties", setup_publish_5, run_decode, 16, 2000},
    {"decode-connect", setup_connect, run_decode, 0, 2000},
    {"decode-subscribe", setup_subscribe, run_decode, 0, 2000},
    {"decode-puback", setup_puback, run_decode, 0, 2000},
    {"encode-publish-v5-properties", setup_publish_5, run_encode, 16, 2000},
    {"encode-connack", setup_connack, run_encode, 0, 2000},
    {"encode-publish-head-and-puback", setup_publish, run_head, 16, 2000},
    {0},
};
