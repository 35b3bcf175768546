#include <criterion/criterion.h>

#include "base/random.h"
#include "proto/incoming.h"
#include "session_model.h"

static uint32_t next(void *context, uint32_t bound) { return (uint32_t)random_below(context, bound); }

/* [MQTT-4.3.3-10] [MQTT-4.3.3-12] [MQTT3-4.3.3-2] a PUBLISH with an unreleased id is the same message again;
 * [MQTT-3.3.4-7] [MQTT-4.9.0-1] the Receive Maximum. */
Test(incoming, against_the_model)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct random_source random = {seed};
        const char *wrong = incoming_against_model((struct choices){next, &random}, seed % 10 ? 1000 : 30000);
        cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
    }
}

Test(incoming, size) { cr_expect_leq(sizeof(struct mqtt_incoming), 32); }

Test(incoming, every_id)
{
    struct mqtt_incoming incoming;
    mqtt_incoming_init(&incoming, 65535);
    for (uint32_t id = 1; id < 65536; id++)
        cr_assert_eq(mqtt_incoming_add(&incoming, (uint16_t)id), MQTT_INCOMING_NEW);
    for (uint32_t id = 1; id < 65536; id++)
        cr_assert_eq(mqtt_incoming_add(&incoming, (uint16_t)id), MQTT_INCOMING_DUPLICATE);
    for (uint32_t id = 1; id < 65536; id++)
        cr_assert(mqtt_incoming_remove(&incoming, (uint16_t)id));
    cr_assert_eq(incoming.table_log2, 0, "an empty set holds no memory");
}

/* Ids of an earlier connection do not count against the Receive Maximum of this one. */
Test(incoming, carried_ids_do_not_count)
{
    struct mqtt_incoming incoming;
    mqtt_incoming_init(&incoming, 3);
    for (uint16_t id = 1; id <= 3; id++)
        cr_assert_eq(mqtt_incoming_add(&incoming, id), MQTT_INCOMING_NEW);
    cr_assert_eq(mqtt_incoming_add(&incoming, 4), MQTT_INCOMING_EXCEEDED);
    cr_assert_not(mqtt_incoming_qos1_add(&incoming));
    mqtt_incoming_resume(&incoming, 3);
    for (uint16_t id = 4; id <= 6; id++)
        cr_assert_eq(mqtt_incoming_add(&incoming, id), MQTT_INCOMING_NEW);
    cr_assert_eq(mqtt_incoming_add(&incoming, 7), MQTT_INCOMING_EXCEEDED);
    cr_assert_eq(mqtt_incoming_add(&incoming, 1), MQTT_INCOMING_DUPLICATE);
    mqtt_incoming_release(&incoming);
}
