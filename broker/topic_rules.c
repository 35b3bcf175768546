#include "broker/topic_rules.h"

#include <stdio.h>

#include "base/memory.h"
#include "base/words.h"
#include "proto/topic.h"
#include "router/share.h"

/* NULL, or what is wrong with the rule. */
typedef const char *rule_read(const struct words *words, struct topic_rule *ret_rule);

static struct topic_rules *create(const char *key, struct span text, rule_read *read, char *ret_error, size_t error_bytes)
{
    struct topic_rules *rules = memory_acquire_zeroed(sizeof *rules + text.bytes + 1);
    if (text.bytes) memcpy(rules->text, text.data, text.bytes);
    struct span rest = span_of(rules->text, text.bytes);
    struct words words;
    *ret_error = 0;
    while (words_next(&rest, &words)) {
        struct topic_rule rule;
        const char *wrong = words.wrong ? words.wrong : rules->count == TOPIC_RULES_MAX ? "too many rules" : read(&words, &rule);
        if (wrong) {
            snprintf(ret_error, error_bytes, "%s: rule %u (%.*s): %s", key, rules->count + 1, SPAN_PRINT(words.words[0]), wrong);
            topic_rules_release(rules);
            return NULL;
        }
        rules->rules = memory_resize(rules->rules, (rules->count + 1) * sizeof *rules->rules);
        rules->rules[rules->count++] = rule;
    }
    if (rules->count) return rules;
    topic_rules_release(rules);
    return NULL;
}

void topic_rules_release(struct topic_rules *rules)
{
    if (!rules) return;
    memory_release(rules->rules);
    memory_release(rules);
}

static const char *read_max_qos(const struct words *words, struct topic_rule *ret_rule)
{
    if (words->count != 2) return "write FILTER QOS";
    struct span filter = words->words[0], qos = words->words[1];
    if (!mqtt_topic_filter_valid(filter, 0) || span_starts_with(filter, SPAN_LITERAL("$share/"))) return "that is no topic filter";
    if (qos.bytes != 1 || qos.data[0] < '0' || qos.data[0] > '2') return "the QoS is 0, 1 or 2";
    *ret_rule = (struct topic_rule){filter, (uint8_t)(qos.data[0] - '0')};
    return NULL;
}

struct topic_rules *max_qos_create(struct span text, char *ret_error, size_t error_bytes)
{
    return create("mqtt.subscription_max_qos_rules", text, read_max_qos, ret_error, error_bytes);
}

static const char *read_strategy(const struct words *words, struct topic_rule *ret_rule)
{
    enum share_strategy strategy;
    if (words->count != 2) return "write GROUP STRATEGY";
    struct span group = words->words[0];
    if (memchr(group.data, '/', group.bytes) || mqtt_topic_has_wildcards(group)) return "the name of a group has no /, + or #";
    if (!share_strategy_from_name(words->words[1], &strategy))
        return "the strategies are random, round_robin, sticky, hash_clientid, hash_topic, least_inflight and local";
    *ret_rule = (struct topic_rule){group, (uint8_t)strategy};
    return NULL;
}

struct topic_rules *share_strategies_create(struct span text, char *ret_error, size_t error_bytes)
{
    return create("mqtt.shared_subscription_group_strategies", text, read_strategy, ret_error, error_bytes);
}

uint8_t max_qos_of(const struct topic_rules *rules, struct span filter)
{
    for (uint32_t i = 0; i < rules->count; i++)
        if (mqtt_filter_covers(rules->rules[i].name, filter)) return rules->rules[i].value;
    return 2;
}

uint8_t share_strategy_of(const struct topic_rules *rules, struct span group, uint8_t otherwise)
{
    for (uint32_t i = 0; rules && i < rules->count; i++)
        if (span_equal(rules->rules[i].name, group)) return rules->rules[i].value;
    return otherwise;
}
