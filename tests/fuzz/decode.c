/* Any bytes, as packets from either side in any version: no read beyond them, no cut off packet taken for whole, and whatever
 * decodes is the same after encoding and decoding it again.
 * Input: one byte of choices (1 role, 2-3 version, 4 judge payloads, 5 small limits), then the stream. */
#include <stdlib.h>

#include "../unit/proto/generate.h"
#include "base/check.h"
#include "proto/decode.h"
#include "proto/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void decode_and_compare(struct span whole, const struct mqtt_decode_limits *limits, const struct mqtt_packet *packet)
{
    enum mqtt_version version = packet->type == MQTT_CONNECT ? packet->connect.version : limits->version;
    size_t encoded_bytes = mqtt_encoded_bytes(version, packet);
    CHECK(encoded_bytes > 0 && encoded_bytes <= whole.bytes);
    uint8_t *out = malloc(encoded_bytes);
    CHECK(mqtt_encode(out, encoded_bytes, version, packet) == encoded_bytes);
    struct mqtt_packet again;
    struct mqtt_decoded decoded = mqtt_decode(span_of(out, encoded_bytes), limits, &again);
    CHECK(decoded.status == MQTT_DECODED && decoded.bytes == encoded_bytes);
    CHECK(packets_equal(version, packet, &again));
    free(out);
}

static void forward(const struct mqtt_properties *properties)
{
    size_t bytes = mqtt_properties_forward_bytes(properties->raw);
    CHECK(bytes <= properties->raw.bytes);
    uint8_t *out = malloc(bytes ? bytes : 1);
    CHECK(mqtt_properties_forward(out, properties->raw) == out + bytes);
    struct mqtt_properties again;
    CHECK(mqtt_properties_decode(span_of(out, bytes), MQTT_IN(PUBLISH), MQTT_FROM_SERVER, &again).reason == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const enum mqtt_version versions[] = {MQTT_VERSION_NONE, MQTT_3_1, MQTT_3_1_1, MQTT_5};
    if (bytes == 0) return 0;
    uint8_t choice = data[0];
    struct mqtt_decode_limits limits = {.from = choice & 1 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT,
                                        .version = versions[choice >> 1 & 3],
                                        .check_payload_utf8 = choice & 8,
                                        .topic_levels_max = choice & 16 ? 4 : 0,
                                        .packet_bytes_max = choice & 16 ? 200 : 0};
    size_t at = 1;
    while (at < bytes) {
        struct span left = span_of(data + at, bytes - at);
        struct mqtt_packet packet, ignored;
        memset(&packet, 0xA5, sizeof packet);
        struct mqtt_decoded decoded = mqtt_decode(left, &limits, &packet);
        if (decoded.status == MQTT_NEED_MORE) {
            CHECK(decoded.bytes > left.bytes);
            return 0;
        }
        if (decoded.status == MQTT_MALFORMED) {
            CHECK(decoded.what != NULL && mqtt_reason_is_error(decoded.reason));
            return 0;
        }
        CHECK(decoded.bytes >= 2 && decoded.bytes <= left.bytes);
        CHECK(mqtt_decode(span_of(left.data, decoded.bytes - 1), &limits, &ignored).status == MQTT_NEED_MORE);
        decode_and_compare(span_of(left.data, decoded.bytes), &limits, &packet);
        if (packet.type == MQTT_PUBLISH) forward(&packet.publish.properties);
        if (packet.type == MQTT_CONNECT) {
            if (packet.connect.has_will) forward(&packet.connect.will.properties);
            limits.version = packet.connect.version;
        }
        at += decoded.bytes;
    }
    return 0;
}
