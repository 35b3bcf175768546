#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/random.h"
#include "proto/alias.h"
#include "session_model.h"

static uint32_t next(void *context, uint32_t bound) { return (uint32_t)random_below(context, bound); }

/* [MQTT-3.3.2-8] [MQTT-3.3.2-9] [MQTT-3.3.2-11] [MQTT-3.3.2-12]; §3.3.2.3.4 */
Test(alias, inbound_against_the_model)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct random_source random = {seed};
        const char *wrong = alias_in_against_model((struct choices){next, &random}, 1500);
        cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
    }
}

/* [MQTT-3.1.2-26] [MQTT-3.2.2-17] never above the peer's maximum; what the peer has learnt is what we mean. */
Test(alias, outbound_against_the_model)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct random_source random = {seed};
        const char *wrong = alias_out_against_model((struct choices){next, &random}, 1500);
        cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
    }
}

Test(alias, sizes)
{
    cr_expect_leq(sizeof(struct mqtt_alias_in), 32);
    cr_expect_leq(sizeof(struct mqtt_alias_out), 32);
}

/* Topics that are too short to gain or too long to keep go without. */
Test(alias, outbound_lengths)
{
    struct mqtt_alias_out aliases;
    static uint8_t topic[1000];
    memset(topic, 'x', sizeof topic);
    mqtt_alias_out_init(&aliases, 65535);
    cr_expect_eq(mqtt_alias_out_assign(&aliases, span_of(topic, 3)).alias, 0);
    cr_expect_eq(mqtt_alias_out_assign(&aliases, span_of(topic, 513)).alias, 0);
    cr_expect_null(aliases.table, "nothing allocated for them");
    cr_expect_eq(mqtt_alias_out_assign(&aliases, span_of(topic, 512)).alias, 1);
    cr_expect_eq(mqtt_alias_out_assign(&aliases, span_of(topic, 4)).alias, 2);
    mqtt_alias_out_release(&aliases);
}

Test(alias, all_aliases)
{
    struct mqtt_alias_out out;
    struct mqtt_alias_in in;
    mqtt_alias_out_init(&out, 65535);
    mqtt_alias_in_init(&in, 65535, 0);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 1; i <= 65535; i++) {
            uint32_t topic[2] = {i, i};
            struct span found;
            struct mqtt_alias alias = mqtt_alias_out_assign(&out, span_of(topic, 8));
            cr_assert_eq(alias.alias, i);
            cr_assert_eq(alias.known, round == 1);
            cr_assert_eq(mqtt_alias_in_resolve(&in, alias.alias, span_of(topic, alias.known ? 0 : 8), &found), 0);
            cr_assert(span_equal(found, span_of(topic, 8)));
        }
    mqtt_alias_out_release(&out);
    mqtt_alias_in_release(&in);
}
