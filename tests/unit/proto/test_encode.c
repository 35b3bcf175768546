/* The writers of the hot path write what mqtt_encode() writes. */
#include <criterion/criterion.h>

#include "generate.h"
#include "proto/encode.h"

static struct generator generator = {.random = {7}};

/* [MQTT-1.5.5-1] The shortest form, at each of its edges. */
Test(encode, variable_byte_integers)
{
    static const struct { uint32_t value; uint32_t bytes; } edges[] = {
        {0, 1}, {127, 1}, {128, 2}, {16383, 2}, {16384, 3}, {2097151, 3}, {2097152, 4}, {MQTT_VARINT_MAX, 4},
    };
    uint8_t out[8];
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        cr_expect_eq(mqtt_varint_bytes(edges[i].value), edges[i].bytes);
        cr_expect_eq(mqtt_put_varint(out, edges[i].value) - out, edges[i].bytes);
    }
    mqtt_put_varint(out, MQTT_VARINT_MAX);
    cr_expect_arr_eq(out, ((uint8_t[]){0xff, 0xff, 0xff, 0x7f}), 4);
}

Test(encode, acks_are_the_same_either_way)
{
    static const enum mqtt_packet_type types[] = {MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL, MQTT_PUBCOMP};
    for (int i = 0; i < 4; i++) {
        struct mqtt_packet packet = {.type = types[i], .ack = {.packet_id = 0x1234, .reason = MQTT_REASON_SUCCESS}};
        uint8_t out[16], quick[16];
        cr_assert_eq(mqtt_encode(out, sizeof out, MQTT_5, &packet), MQTT_ACK_BYTES);
        cr_assert_eq(mqtt_write_ack(quick, types[i], 0x1234), MQTT_ACK_BYTES);
        cr_expect_arr_eq(out, quick, MQTT_ACK_BYTES);
        packet.ack.reason = MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND;
        cr_assert_eq(mqtt_encode(out, sizeof out, MQTT_5, &packet), MQTT_ACK_REASON_BYTES);
        cr_assert_eq(mqtt_write_ack_reason(quick, types[i], 0x1234, packet.ack.reason), MQTT_ACK_REASON_BYTES);
        cr_expect_arr_eq(out, quick, MQTT_ACK_REASON_BYTES);
        cr_expect_eq(mqtt_encode(out, sizeof out, MQTT_3_1_1, &packet), MQTT_ACK_BYTES, "v3 has no reasons");
    }
    uint8_t ping[2];
    cr_assert_eq(mqtt_write_pingresp(ping), 2);
    cr_expect_arr_eq(ping, ((uint8_t[]){0xd0, 0}), 2);
    cr_assert_eq(mqtt_write_pingreq(ping), 2);
    cr_expect_arr_eq(ping, ((uint8_t[]){0xc0, 0}), 2);
}

Test(encode, publish_head_is_the_same_either_way)
{
    static uint8_t out[1 << 17], quick[1 << 17];
    for (int i = 0; i < 5000; i++) {
        enum mqtt_version version = i & 1 ? MQTT_5 : MQTT_3_1_1;
        struct mqtt_packet packet;
        do
            generate_packet(&generator, version, MQTT_FROM_SERVER, &packet);
        while (packet.type != MQTT_PUBLISH);
        const struct mqtt_publish *p = &packet.publish;
        size_t bytes = mqtt_encode(out, sizeof out, version, &packet);

        size_t properties_bytes = version == MQTT_5 ? mqtt_properties_bytes(&p->properties) : 0;
        size_t after_bytes = p->payload.bytes;
        if (version == MQTT_5) after_bytes += mqtt_varint_bytes((uint32_t)properties_bytes) + properties_bytes;
        uint8_t first_byte = mqtt_publish_first_byte(p->qos, p->retain, p->dup);
        size_t head_bytes = mqtt_write_publish_head(quick, first_byte, p->topic, p->packet_id, after_bytes);
        cr_assert_eq(head_bytes, mqtt_publish_head_bytes(p->qos, p->topic.bytes, after_bytes));
        uint8_t *at = quick + head_bytes;
        if (version == MQTT_5)
            at = mqtt_properties_write(mqtt_put_varint(at, (uint32_t)properties_bytes), &p->properties);
        at = mqtt_put_bytes(at, p->payload);
        cr_assert_eq(at - quick, bytes);
        cr_assert_arr_eq(out, quick, bytes);
        if (p->qos) cr_assert_eq(quick[head_bytes - 2] << 8 | quick[head_bytes - 1], p->packet_id);
    }
}

/* Nothing is written beyond the capacity, nor a part of a packet. */
Test(encode, does_not_fit)
{
    static uint8_t out[1 << 17];
    for (int i = 0; i < 500; i++) {
        struct mqtt_packet packet;
        generate_packet(&generator, MQTT_5, MQTT_FROM_CLIENT, &packet);
        size_t bytes = mqtt_encoded_bytes(MQTT_5, &packet);
        out[0] = 0xEE;
        cr_assert_eq(mqtt_encode(out, bytes - 1, MQTT_5, &packet), 0);
        cr_assert_eq(out[0], 0xEE);
        out[bytes] = 0xEE;
        cr_assert_eq(mqtt_encode(out, bytes, MQTT_5, &packet), bytes);
        cr_assert_eq(out[bytes], 0xEE);
    }
}

/* The same SUBACK for an old client: every error is 0x80. [MQTT3-3.9.3-2] */
Test(encode, reasons_for_older_versions)
{
    const uint8_t codes[] = {0, 2, 0x87, 0x9e}, as_v3[] = {0x90, 6, 0, 9, 0, 2, 0x80, 0x80};
    struct mqtt_packet packet = {.type = MQTT_SUBACK, .suback = {.packet_id = 9, .codes = span_of(codes, 4)}};
    uint8_t out[16];
    cr_assert_eq(mqtt_encode(out, sizeof out, MQTT_3_1_1, &packet), sizeof as_v3);
    cr_expect_arr_eq(out, as_v3, sizeof as_v3);

    packet = (struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.reason = MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION}};
    cr_assert_eq(mqtt_encode(out, sizeof out, MQTT_3_1_1, &packet), 4);
    cr_expect_eq(out[3], MQTT_CONNACK_UNACCEPTABLE_PROTOCOL_VERSION);
}
