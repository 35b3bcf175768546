/* The rule file: whatever bytes come, a sentence or rules; and whatever is asked of those, an answer that one rule alone would give, too. */
#include <stdlib.h>

#include "base/check.h"
#include "features/acl/rules.h"
#include "proto/topic.h"

static void ask(const struct acl_rules *rules, const struct feature_client *client, enum acl_action action, struct span topic, uint8_t qos)
{
    struct acl_outcome outcome = acl_rules_decide(rules, client, action, topic, qos, qos & 1);
    CHECK((outcome.decision == ACL_NO_MATCH) == (outcome.line == 0));
    if (outcome.decision == ACL_NO_MATCH) return;
    char error[ACL_ERROR_BYTES_MAX];
    struct acl_rules *alone = acl_rules_compile(acl_rules_text(rules, outcome.line), "alone", error);
    CHECK(alone);
    CHECK(acl_rules_decide(alone, client, action, topic, qos, qos & 1).decision == outcome.decision);
    acl_rules_release(alone);
}

/* The first line is what is asked about: user NUL-free, a tab, client id, a tab, a topic; the rest are rules. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char error[ACL_ERROR_BYTES_MAX];
    struct span input = span_of(data, bytes), parts[3] = {{data, 0}, {data, 0}, {data, 0}};
    const uint8_t *end = bytes ? memchr(data, '\n', bytes) : NULL;
    struct span line = span_of(data, end ? (size_t)(end - data) : bytes);
    input = span_skip(input, line.bytes + (end != NULL));
    for (int i = 0; i < 3 && line.bytes; i++) {
        const uint8_t *tab = i < 2 ? memchr(line.data, '\t', line.bytes) : NULL;
        parts[i] = span_of(line.data, tab ? (size_t)(tab - line.data) : line.bytes);
        line = span_skip(line, parts[i].bytes + (tab != NULL));
    }
    struct acl_rules *rules = acl_rules_compile(input, "fuzz", error);
    if (!rules) {
        CHECK(strncmp(error, "fuzz:", 5) == 0);
        return 0;
    }
    struct feature_client client = {.has_user_name = parts[0].bytes != 0, .user_name = parts[0], .client_id = parts[1], .listener = parts[0],
                                    .certificate_cn = parts[1], .has_address = true, .address = {[10] = 0xff, [11] = 0xff, [12] = 10}};
    for (uint8_t qos = 0; qos < 3; qos++) {
        if (mqtt_topic_name_valid(parts[2], 0)) ask(rules, &client, ACL_PUBLISH, parts[2], qos);
        if (mqtt_topic_filter_valid(parts[2], 0)) ask(rules, &client, ACL_SUBSCRIBE, parts[2], qos);
    }
    acl_rules_release(rules);
    return 0;
}
