/* Rewrite rules: whatever is configured, a sentence or rules; and what those make of a topic is a topic. The first line is the topic. */
#include <stdlib.h>

#include "base/check.h"
#include "broker/rewrite.h"
#include "proto/topic.h"
#include "proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct rewrite_scratch *scratch;
    char error[400];
    uint32_t actions = 0;
    bool wants_user_name = false;
    const uint8_t *end = bytes ? memchr(data, '\n', bytes) : NULL;
    struct span topic = span_of(data, end ? (size_t)(end - data) : bytes), rules = span_skip(span_of(data, bytes), topic.bytes + (end != NULL));
    if (!scratch) scratch = rewrite_scratch_create();
    if (!mqtt_utf8_valid(rules)) return 0; /* the configuration's reader takes no other */
    struct rewrite *rewrite = rewrite_create(rules, &actions, &wants_user_name, error, sizeof error);
    if (!rewrite) return 0;
    struct client_names names = {.client_id = SPAN_LITERAL("c/1"), .user_name = SPAN_LITERAL("u")};
    for (int action = 0; action < 2; action++) {
        struct span made = topic;
        bool valid = action ? mqtt_topic_filter_valid(topic, 0) : mqtt_topic_name_valid(topic, 0);
        if (!valid) continue;
        if (rewrite_apply(rewrite, scratch, action ? REWRITE_SUBSCRIBE : REWRITE_PUBLISH, &names, 0, &made) != REWRITE_DONE) continue;
        CHECK(action ? mqtt_topic_filter_valid(made, 0) : mqtt_topic_name_valid(made, 0));
    }
    rewrite_release(rewrite);
    return 0;
}
