/* What holds for every packet: it comes back as it was sent, in pieces or in a row. The malformed cases are in tests/vectors. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "generate.h"
#include "proto/decode.h"
#include "proto/encode.h"

#define ROUNDS 4000

static const enum mqtt_version versions[] = {MQTT_3_1, MQTT_3_1_1, MQTT_5};
static struct generator generator = {.random = {0x51f0}};

static struct mqtt_decode_limits limits_for(enum mqtt_version version, enum mqtt_role from)
{
    return (struct mqtt_decode_limits){.from = from, .version = version};
}

/* CONNECT says itself what version it is. */
static struct mqtt_decoded decode_as(struct span in, enum mqtt_version version, enum mqtt_role from,
                                     struct mqtt_packet *ret_packet)
{
    struct mqtt_decode_limits limits = limits_for(version, from);
    return mqtt_decode(in, &limits, ret_packet);
}

static void round_trip(enum mqtt_version version, enum mqtt_role from)
{
    static uint8_t out[1 << 17], again[1 << 17];
    for (int i = 0; i < ROUNDS; i++) {
        struct mqtt_packet packet, decoded_packet;
        generate_packet(&generator, version, from, &packet);
        size_t bytes = mqtt_encode(out, sizeof out, version, &packet);
        cr_assert_neq(bytes, 0);
        cr_assert_eq(bytes, mqtt_encoded_bytes(version, &packet));

        uint8_t *exact = malloc(bytes);
        memcpy(exact, out, bytes);
        struct mqtt_decoded decoded = decode_as(span_of(exact, bytes), version, from, &decoded_packet);
        cr_assert_eq(decoded.status, MQTT_DECODED, "%s: %02x %s", mqtt_packet_name(packet.type), decoded.reason,
                     decoded.what ? decoded.what : "");
        cr_assert_eq(decoded.bytes, bytes);
        cr_assert(packets_equal(version, &packet, &decoded_packet), "%s", mqtt_packet_name(packet.type));
        cr_assert_eq(mqtt_encode(again, sizeof again, version, &decoded_packet), bytes);
        cr_assert_arr_eq(out, again, bytes);
        free(exact);
    }
}

Test(decode, round_trip_from_clients)
{
    for (int i = 0; i < 3; i++)
        round_trip(versions[i], MQTT_FROM_CLIENT);
}

Test(decode, round_trip_from_servers)
{
    for (int i = 0; i < 3; i++)
        round_trip(versions[i], MQTT_FROM_SERVER);
}

/* Cut anywhere, a packet asks for more, for all of it once the length is known, and never for more than that. */
static void cut_everywhere(const uint8_t *packet_bytes, size_t bytes, enum mqtt_version version, enum mqtt_role from)
{
    struct mqtt_packet ignored;
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *piece = malloc(cut ? cut : 1);
        memcpy(piece, packet_bytes, cut);
        struct mqtt_decoded decoded = decode_as(span_of(piece, cut), version, from, &ignored);
        cr_assert_eq(decoded.status, MQTT_NEED_MORE);
        cr_assert_gt(decoded.bytes, cut);
        cr_assert_leq(decoded.bytes, bytes);
        size_t header_bytes = 1 + mqtt_varint_bytes((uint32_t)bytes - 3);
        if (cut > header_bytes) cr_assert_eq(decoded.bytes, bytes);
        free(piece);
    }
}

Test(decode, every_cut_needs_more)
{
    static uint8_t out[1 << 17];
    for (int i = 0; i < 1500; i++) {
        enum mqtt_version version = versions[i % 3];
        enum mqtt_role from = i & 1 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT;
        struct mqtt_packet packet;
        generate_packet(&generator, version, from, &packet);
        size_t bytes = mqtt_encode(out, sizeof out, version, &packet);
        if (bytes < 400) cut_everywhere(out, bytes, version, from);
    }
}

Test(decode, packets_in_a_row)
{
    static uint8_t stream[1 << 20];
    struct mqtt_packet packet;
    for (int round = 0; round < 60; round++) {
        enum mqtt_version version = versions[round % 3];
        size_t ends[40], used = 0;
        enum mqtt_packet_type types[40];
        for (int i = 0; i < 40; i++) {
            generate_packet(&generator, version, MQTT_FROM_CLIENT, &packet);
            used += mqtt_encode(stream + used, sizeof stream - used, version, &packet);
            ends[i] = used;
            types[i] = packet.type;
        }
        size_t at = 0;
        for (int i = 0; i < 40; i++) {
            struct mqtt_decoded decoded = decode_as(span_of(stream + at, used - at), version, MQTT_FROM_CLIENT, &packet);
            cr_assert_eq(decoded.status, MQTT_DECODED);
            cr_assert_eq(packet.type, types[i]);
            at += decoded.bytes;
            cr_assert_eq(at, ends[i]);
        }
    }
}

/* Random damage may give any verdict but must stay inside the bytes (the sanitizers watch), and whatever still decodes must
 * encode and decode to the same again. */
Test(decode, damaged_packets)
{
    static uint8_t out[1 << 17], again[1 << 17];
    for (int i = 0; i < 20000; i++) {
        enum mqtt_version version = versions[i % 3];
        enum mqtt_role from = i & 1 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT;
        struct mqtt_packet packet, second;
        generate_packet(&generator, version, from, &packet);
        size_t bytes = mqtt_encode(out, sizeof out, version, &packet);
        for (int damage = 0; damage < 3; damage++)
            out[random_below(&generator.random, bytes < 60 ? bytes : 60)] = (uint8_t)random_next(&generator.random);
        uint8_t *exact = malloc(bytes);
        memcpy(exact, out, bytes);
        if (decode_as(span_of(exact, bytes), version, from, &packet).status == MQTT_DECODED) {
            enum mqtt_version encoded_as = packet.type == MQTT_CONNECT ? packet.connect.version : version;
            size_t again_bytes = mqtt_encode(again, sizeof again, encoded_as, &packet);
            cr_assert_eq(decode_as(span_of(again, again_bytes), encoded_as, from, &second).status, MQTT_DECODED);
            cr_assert(packets_equal(encoded_as, &packet, &second));
        }
        free(exact);
    }
}

/* [MQTT-3.1.2-24] [MQTT-3.2.2-15] An announced length above the limit is refused before the bytes arrive. */
Test(decode, too_large_is_refused_by_its_length)
{
    struct mqtt_decode_limits limits = limits_for(MQTT_5, MQTT_FROM_CLIENT);
    struct mqtt_packet packet;
    const uint8_t announced[] = {0x30, 0xff, 0xff, 0xff, 0x7f};
    for (uint32_t max = 1; max < 1000; max++) {
        limits.packet_bytes_max = max;
        struct mqtt_decoded decoded = mqtt_decode(span_of(announced, sizeof announced), &limits, &packet);
        cr_assert_eq(decoded.status, MQTT_MALFORMED);
        cr_assert_eq(decoded.reason, MQTT_REASON_PACKET_TOO_LARGE);
    }
}

/* A shared subscription comes out in its parts. */
Test(decode, subscription_split)
{
    const uint8_t bytes[] = "\x82\x15\x00\x01\x00\x00\x0b$share/g/a/\x19\x00\x01#\x02";
    struct mqtt_decode_limits limits = limits_for(MQTT_5, MQTT_FROM_CLIENT);
    struct mqtt_packet packet;
    struct mqtt_decoded decoded = mqtt_decode(span_of(bytes, sizeof bytes - 1), &limits, &packet);
    cr_assert_eq(decoded.status, MQTT_DECODED, "%s", decoded.what);
    cr_assert_eq(packet.subscribe.count, 2);
    struct span rest = packet.subscribe.raw;
    struct mqtt_subscription s;
    cr_assert(mqtt_subscription_next(&rest, &s));
    cr_assert(span_equal(s.share_group, SPAN_LITERAL("g")));
    cr_assert(span_equal(s.filter, SPAN_LITERAL("a/")));
    cr_assert(span_equal(s.full_filter, SPAN_LITERAL("$share/g/a/")));
    cr_assert_eq(s.qos, 1);
    cr_assert_eq(s.retain_handling, 1);
    cr_assert(s.retain_as_published && !s.no_local);
    cr_assert(mqtt_subscription_next(&rest, &s));
    cr_assert(span_equal(s.filter, SPAN_LITERAL("#")));
    cr_assert_eq(s.share_group.bytes, 0);
    cr_assert_not(mqtt_subscription_next(&rest, &s));
}
