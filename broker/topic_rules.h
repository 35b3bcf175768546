/* topic_rules.h - small tables from the configuration: a number for a filter (the highest QoS subscriptions get), a strategy for a
 * shared group.
 *
 * Owner: struct extras. Threads: immutable. */
#ifndef RINGMQ_BROKER_TOPIC_RULES_H
#define RINGMQ_BROKER_TOPIC_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define TOPIC_RULES_MAX 4096

struct topic_rule {
    struct span name; /* a filter, a group */
    uint8_t value;
};

struct topic_rules {
    struct topic_rule *rules;
    uint32_t count;
    char text[]; /* a copy that the names point into */
};

/* Each rule: FILTER QOS. NULL with a sentence in ret_error, or without one when there are no rules. */
struct topic_rules *max_qos_create(struct span text, char *ret_error, size_t error_bytes);
/* Each rule: GROUP STRATEGY (router/share.h). */
struct topic_rules *share_strategies_create(struct span text, char *ret_error, size_t error_bytes);
void topic_rules_release(struct topic_rules *rules); /* accepts NULL */

/* What the first rule says whose filter covers this one (mqtt_filter_covers); 2 when none does. */
uint8_t max_qos_of(const struct topic_rules *rules, struct span filter);
/* The group's strategy, or `otherwise`. `rules` may be NULL. */
uint8_t share_strategy_of(const struct topic_rules *rules, struct span group, uint8_t otherwise);

#endif
