#include <criterion/criterion.h>

#include "proto/properties.h"
#include "vector.h"

/* §2.2.2.2 Table 2-4: 27 properties, and how many each packet may have. */
Test(properties, table)
{
    static const struct { uint32_t packet; int count; const char *name; } counts[] = {
        {MQTT_IN(CONNECT), 9, "CONNECT"}, {MQTT_IN(CONNACK), 17, "CONNACK"}, {MQTT_IN(PUBLISH), 8, "PUBLISH"},
        {MQTT_IN_WILL, 7, "will"},        {MQTT_IN(PUBACK), 2, "PUBACK"},    {MQTT_IN(PUBREC), 2, "PUBREC"},
        {MQTT_IN(PUBREL), 2, "PUBREL"},   {MQTT_IN(PUBCOMP), 2, "PUBCOMP"},  {MQTT_IN(SUBSCRIBE), 2, "SUBSCRIBE"},
        {MQTT_IN(SUBACK), 2, "SUBACK"},   {MQTT_IN(UNSUBSCRIBE), 1, "UNSUBSCRIBE"},
        {MQTT_IN(UNSUBACK), 2, "UNSUBACK"}, {MQTT_IN(PINGREQ), 0, "PINGREQ"}, {MQTT_IN(PINGRESP), 0, "PINGRESP"},
        {MQTT_IN(DISCONNECT), 4, "DISCONNECT"}, {MQTT_IN(AUTH), 4, "AUTH"},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int count = 0;
        for (uint32_t id = 0; id < 300; id++)
            count += mqtt_property_kind(id)->name && mqtt_property_kind(id)->packets & counts[i].packet;
        cr_expect_eq(count, counts[i].count, "%s: %d", counts[i].name, count);
    }
}

/* Each property cut short is malformed, in each place. */
Test(properties, cut_short)
{
    uint8_t block[512];
    size_t bytes = vector_bytes("11 00000001 15 \"m\" 16 \"d\" 21 0001 26 \"k\" \"v\" 27 00000100", block, sizeof block);
    struct mqtt_properties properties;
    size_t whole = 0;
    for (size_t cut = 0; cut <= bytes; cut++) {
        struct mqtt_properties_verdict verdict =
            mqtt_properties_decode(span_of(block, cut), MQTT_IN(CONNECT), MQTT_FROM_CLIENT, &properties);
        cr_assert(verdict.reason == MQTT_REASON_SUCCESS || verdict.reason == MQTT_REASON_MALFORMED_PACKET);
        whole += verdict.reason == MQTT_REASON_SUCCESS;
    }
    cr_expect_eq(whole, 7, "the ends of six properties, and nothing at all");
}

/* [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
 * What the sender said travels unaltered and in order; what is between two parties stays. */
Test(properties, forwarding)
{
    uint8_t block[512], expected[512], out[512];
    const char *sent = "26 \"z\" \"1\" 02 0000003c 01 01 23 0007 26 \"a\" \"2\" 08 \"re\" 0b 05 09 0001 ff 0b 06 "
                       "03 \"ct\" 18 00000001";
    size_t bytes = vector_bytes(sent, block, sizeof block);
    size_t expected_bytes = vector_bytes("26 \"z\" \"1\" 01 01 26 \"a\" \"2\" 08 \"re\" 09 0001 ff 03 \"ct\"",
                                         expected, sizeof expected);
    cr_assert_eq(mqtt_properties_forward_bytes(span_of(block, bytes)), expected_bytes);
    cr_assert_eq((size_t)(mqtt_properties_forward(out, span_of(block, bytes)) - out), expected_bytes);
    cr_assert_arr_eq(out, expected, expected_bytes);
}

Test(properties, iterators)
{
    uint8_t block[512];
    size_t bytes = vector_bytes("0b 05 26 \"a\" \"1\" 0b 8001 26 \"b\" \"2\"", block, sizeof block);
    struct mqtt_properties p;
    cr_assert_eq(mqtt_properties_decode(span_of(block, bytes), MQTT_IN(PUBLISH), MQTT_FROM_SERVER, &p).reason, 0);
    cr_expect_eq(p.subscription_id, 5, "the first one");
    cr_expect_eq(p.subscription_ids_count, 2);
    cr_expect_eq(p.user_properties_count, 2);
    struct span rest = p.raw;
    struct mqtt_user_property pair;
    cr_assert(mqtt_user_property_next(&rest, &pair));
    cr_assert(mqtt_user_property_next(&rest, &pair));
    cr_expect(span_equal(pair.name, SPAN_LITERAL("b")) && span_equal(pair.value, SPAN_LITERAL("2")));
    cr_expect_not(mqtt_user_property_next(&rest, &pair));
    rest = p.raw;
    uint32_t id;
    cr_assert(mqtt_subscription_id_next(&rest, &id));
    cr_assert(mqtt_subscription_id_next(&rest, &id));
    cr_expect_eq(id, 128);
    cr_expect_not(mqtt_subscription_id_next(&rest, &id));
}
