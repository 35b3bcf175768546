#include <criterion/criterion.h>

#include "base/random.h"
#include "proto/inflight.h"
#include "session_model.h"

static uint32_t next(void *context, uint32_t bound) { return (uint32_t)random_below(context, bound); }

/* [MQTT-2.2.1-4] [MQTT3-2.3.1-2] ids are not in use; [MQTT-4.4.0-1] [MQTT3-4.4.0-1] what is unacknowledged is sent again on a
 * new connection and [MQTT-4.4.0-2] leaves on an acknowledgement; [MQTT-4.6.0-1] [MQTT3-4.6.0-1] in the original order;
 * [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-3.3.4-9] the quota; [MQTT-4.3.3-4] [MQTT-4.3.3-7]: PUBREL after PUBREC, no PUBLISH any more. */
Test(inflight, against_the_model)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct random_source random = {seed};
        const char *wrong = inflight_against_model((struct choices){next, &random}, 1500);
        cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
    }
}

Test(inflight, size) { cr_expect_leq(sizeof(struct mqtt_inflight), 32); }

/* Ids wrap from 65535 to 1 and go round one that is stuck, which stays the oldest. */
Test(inflight, ids_wrap_around_a_stuck_one)
{
    struct mqtt_inflight inflight;
    struct mqtt_inflight_entry entry;
    mqtt_inflight_init(&inflight, 10);
    int stuck, message;
    uint16_t stuck_id = mqtt_inflight_add(&inflight, &stuck, 2, 0);
    cr_assert_eq(stuck_id, 1);
    uint16_t last = 1;
    for (int i = 0; i < 200000; i++) {
        uint16_t id = mqtt_inflight_add(&inflight, &message, 1, 0);
        cr_assert(id != 0 && id != stuck_id);
        if (id < last) cr_assert_lt(id, 20);
        last = id;
        uint16_t cursor = 0;
        cr_assert(mqtt_inflight_next(&inflight, &cursor, &entry));
        cr_assert_eq(entry.message, &stuck);
        cr_assert_eq(mqtt_inflight_puback(&inflight, id, &entry), MQTT_INFLIGHT_OK);
        cr_assert_eq(entry.message, &message);
    }
    mqtt_inflight_release(&inflight, NULL, NULL);
}

/* The largest window: every packet id in use at once. */
Test(inflight, all_ids_in_use)
{
    struct mqtt_inflight inflight;
    struct mqtt_inflight_entry entry;
    mqtt_inflight_init(&inflight, 65535);
    static bool used[65536];
    for (uint32_t i = 0; i < 65535; i++) {
        cr_assert_not(mqtt_inflight_full(&inflight));
        uint16_t id = mqtt_inflight_add(&inflight, NULL, 1, i);
        cr_assert_not(used[id]);
        used[id] = true;
    }
    cr_assert(mqtt_inflight_full(&inflight));
    for (uint32_t id = 65535; id; id--)
        cr_assert_eq(mqtt_inflight_puback(&inflight, (uint16_t)id, &entry), MQTT_INFLIGHT_OK);
    cr_assert_eq(mqtt_inflight_count(&inflight), 0);
    mqtt_inflight_trim(&inflight);
    cr_assert_null(inflight.slots);
}

/* A smaller Receive Maximum on the next connection: PUBREL at once, PUBLISH as far as the quota reaches, then nothing new. */
Test(inflight, resume_with_a_smaller_window)
{
    struct mqtt_inflight inflight;
    struct mqtt_inflight_entry entry;
    mqtt_inflight_init(&inflight, 10);
    for (int i = 0; i < 6; i++)
        mqtt_inflight_add(&inflight, NULL, 2, (uint64_t)i);
    cr_assert_eq(mqtt_inflight_pubrec(&inflight, 1, MQTT_REASON_SUCCESS, &entry), MQTT_INFLIGHT_OK);
    mqtt_inflight_resume(&inflight, 2);
    static const uint16_t expected[] = {1, 2, 3};
    for (int i = 0; i < 3; i++) {
        cr_assert(mqtt_inflight_resend_next(&inflight, &entry));
        cr_expect_eq(entry.packet_id, expected[i]);
        cr_expect_eq(entry.state, i ? MQTT_INFLIGHT_PUBLISHED : MQTT_INFLIGHT_RELEASING);
    }
    cr_expect_not(mqtt_inflight_resend_next(&inflight, &entry), "the quota is used up");
    cr_expect(mqtt_inflight_resending(&inflight));
    cr_expect(mqtt_inflight_full(&inflight));
    cr_assert_eq(mqtt_inflight_pubrec(&inflight, 2, MQTT_REASON_SUCCESS, &entry), MQTT_INFLIGHT_OK);
    cr_expect_not(mqtt_inflight_resend_next(&inflight, &entry), "PUBREC frees no quota");
    cr_assert_eq(mqtt_inflight_pubcomp(&inflight, 2, &entry), MQTT_INFLIGHT_OK);
    cr_assert(mqtt_inflight_resend_next(&inflight, &entry));
    cr_expect_eq(entry.packet_id, 4);
    mqtt_inflight_release(&inflight, NULL, NULL);
}

/* From a store, in any ids, and back on the wire in that order. */
Test(inflight, restore)
{
    struct mqtt_inflight inflight;
    struct mqtt_inflight_entry entry;
    static const uint16_t ids[] = {7, 65535, 15, 1, 8};
    mqtt_inflight_init(&inflight, 10);
    for (int i = 0; i < 5; i++) {
        struct mqtt_inflight_entry stored = {NULL, (uint64_t)i, ids[i], 2, i & 1 ? MQTT_INFLIGHT_RELEASING : MQTT_INFLIGHT_PUBLISHED};
        cr_assert(mqtt_inflight_restore(&inflight, stored));
        cr_assert_not(mqtt_inflight_restore(&inflight, stored), "taken");
    }
    mqtt_inflight_resume(&inflight, 10);
    for (int i = 0; i < 5; i++) {
        cr_assert(mqtt_inflight_resend_next(&inflight, &entry));
        cr_expect_eq(entry.packet_id, ids[i]);
    }
    cr_expect_eq(mqtt_inflight_add(&inflight, NULL, 1, 0), 9);
    mqtt_inflight_release(&inflight, NULL, NULL);
}
