/* generate.h - random packets that the standard allows, for round trips.
 *
 * Owner: spans of a generated packet point into the generator's arena and live until its next packet. */
#ifndef RINGMQ_TESTS_GENERATE_H
#define RINGMQ_TESTS_GENERATE_H

#include "base/random.h"
#include "proto/packet.h"

struct generator {
    struct random_source random;
    size_t used;
    uint8_t arena[1 << 16];
    struct mqtt_subscription subscriptions[8];
    struct span filters[8];
    uint32_t subscription_ids[8];
    struct mqtt_user_property user_properties[2][4];
};

/* One packet that `from` may send in this version. */
void generate_packet(struct generator *generator, enum mqtt_version version, enum mqtt_role from,
                     struct mqtt_packet *ret_packet);

/* Do they say the same? Order of repeated properties included, and nothing about where the spans lie. */
bool packets_equal(enum mqtt_version version, const struct mqtt_packet *a, const struct mqtt_packet *b);

#endif
