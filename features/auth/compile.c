/* compile.c - see compile.h. */
#include "features/auth/compile.h"

#include "base/log.h"
#include "features/acl/rules.h"

/* EMQX's words for ours: ${clientid}, ${cert_common_name}, ${client_attrs.NAME}, and "eq " before a topic. */
static void translate(struct span topic, struct auth_text *text)
{
    static const struct {
        const char *theirs, *ours;
    } words[] = {{"${clientid}", "${client_id}"}, {"${cert_common_name}", "${cn}"}, {"${client_attrs.", "${attribute."}, {"%c", "${client_id}"}, {"%u", "${username}"}};
    if (span_starts_with(topic, SPAN_LITERAL("eq "))) {
        auth_text_add(text, SPAN_LITERAL("eq:"));
        auth_text_add(text, span_skip(topic, 3));
        return;
    }
    while (topic.bytes) {
        size_t i = 0;
        while (i < sizeof words / sizeof words[0] && !span_starts_with(topic, span_of_string(words[i].theirs)))
            i++;
        bool found = i < sizeof words / sizeof words[0];
        auth_text_add(text, found ? span_of_string(words[i].ours) : span_of(topic.data, 1));
        topic = span_skip(topic, found ? strlen(words[i].theirs) : 1);
    }
}

static void release(const void *compiled) { acl_rules_release(compiled); }

void compile_rules(struct auth_answer *answer)
{
    struct acl_builder *builder = acl_builder_begin();
    const char *wrong = NULL;
    for (uint32_t i = 0; i < answer->rules_count && !wrong; i++) {
        const struct auth_rule *rule = &answer->rules[i];
        struct auth_text text = {0};
        unsigned actions = (rule->actions & AUTH_PUBLISH ? ACL_PUBLISH : 0) | (rule->actions & AUTH_SUBSCRIBE ? ACL_SUBSCRIBE : 0);
        translate(span_of_string(rule->topic), &text);
        wrong = acl_builder_add(builder, rule->allow, actions, span_of(text.data, text.bytes), rule->qos_mask, rule->retain);
        auth_text_release(&text);
    }
    struct acl_rules *rules = acl_builder_end(builder);
    if (wrong) {
        acl_rules_release(rules);
        auth_answer_say(answer, AUTH_DENY, "a rule of the client: %s", wrong);
        return;
    }
    answer->compiled = rules;
    answer->compiled_release = release;
}
