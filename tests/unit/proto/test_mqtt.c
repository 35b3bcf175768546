#include <criterion/criterion.h>

#include "proto/mqtt.h"

/* [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.9.3-2] [MQTT-3.11.3-2] [MQTT-3.14.2-1] [MQTT-3.15.2-1]
 * How many codes each packet's own table in the standard has; 0x8C in DISCONNECT is only in the table of all (§2.4). */
Test(mqtt, reason_codes_per_packet)
{
    static const struct { enum mqtt_packet_type type; int from_client, from_server; } counts[] = {
        {MQTT_CONNACK, 22, 22}, {MQTT_PUBACK, 9, 9},   {MQTT_PUBREC, 9, 9},   {MQTT_PUBREL, 2, 2},      {MQTT_PUBCOMP, 2, 2},
        {MQTT_SUBACK, 12, 12},  {MQTT_UNSUBACK, 7, 7}, {MQTT_CONNECT, 0, 0},  {MQTT_DISCONNECT, 14, 29}, {MQTT_AUTH, 2, 2},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int client = 0, server = 0;
        for (int code = 0; code < 256; code++) {
            client += mqtt_reason_legal(counts[i].type, MQTT_FROM_CLIENT, (uint8_t)code);
            server += mqtt_reason_legal(counts[i].type, MQTT_FROM_SERVER, (uint8_t)code);
        }
        cr_expect_eq(client, counts[i].from_client, "%s from a client: %d", mqtt_packet_name(counts[i].type), client);
        cr_expect_eq(server, counts[i].from_server, "%s from a server: %d", mqtt_packet_name(counts[i].type), server);
    }
}

Test(mqtt, names)
{
    cr_expect_str_eq(mqtt_reason_name(MQTT_REASON_TOPIC_NAME_INVALID), "Topic Name invalid");
    cr_expect_str_eq(mqtt_reason_name(0xFF), "Unknown reason");
    cr_expect_str_eq(mqtt_reason_name((enum mqtt_reason)1000), "Unknown reason");
    cr_expect_str_eq(mqtt_packet_name(MQTT_UNSUBACK), "UNSUBACK");
    cr_expect_str_eq(mqtt_packet_name((enum mqtt_packet_type)16), "reserved");
    cr_expect_str_eq(mqtt_version_name(MQTT_3_1_1), "3.1.1");
}

Test(mqtt, connack_codes_for_older_versions)
{
    for (uint8_t code = 0; code <= 5; code++)
        cr_expect_eq(mqtt_connack_code_of(mqtt_reason_of_connack_code(code)), code);
    for (int code = 0x80; code < 256; code++)
        cr_expect_neq(mqtt_connack_code_of((enum mqtt_reason)code), MQTT_CONNACK_ACCEPTED);
    cr_expect_eq(mqtt_connack_code_of(MQTT_REASON_BANNED), MQTT_CONNACK_NOT_AUTHORIZED);
    cr_expect_eq(mqtt_connack_code_of(MQTT_REASON_SERVER_BUSY), MQTT_CONNACK_SERVER_UNAVAILABLE);
    cr_expect_eq(mqtt_reason_of_connack_code(6), MQTT_REASON_UNSPECIFIED_ERROR);
}
