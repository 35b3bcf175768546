/* attributes.c - client attributes computed at CONNECT, from what the client has shown: ids, names, its certificate, user properties.
 *
 * Stands before authentication, so that what sources are asked can name them (${client_attrs.NAME}); what a source answers under the same
 * name comes later, and counts. A reload is about those who connect after it. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/feature.h"

#define ATTRIBUTES_MAX 32 /* as FEATURE_ATTRIBUTES_MAX */

enum attribute_from { FROM_CLIENT_ID, FROM_USER_NAME, FROM_COMMON_NAME, FROM_SUBJECT, FROM_LISTENER, FROM_USER_PROPERTY };

struct attribute_rule {
    char *name, *property, *separator;
    int from; /* enum attribute_from */
    uint32_t part;
};

struct attributes_settings {
    struct attribute_rule *rules;
    uint32_t rules_count;
};

static const struct schema_word froms[] = {{"clientid", FROM_CLIENT_ID}, {"username", FROM_USER_NAME}, {"cert_common_name", FROM_COMMON_NAME},
                                           {"cert_subject", FROM_SUBJECT}, {"listener", FROM_LISTENER}, {"user_property", FROM_USER_PROPERTY}, {NULL, 0}};

#define RULE(member) SCHEMA_MEMBER(struct attribute_rule, member), .reloadable = true

static const struct schema_key keys[] = {
    {"client_attributes.NAME.from", TYPE_ENUM, RULE(from), .words = froms,
     .documentation = "What the attribute is made of: clientid, username, cert_common_name, cert_subject, listener, or user_property (MQTT 5: what the client says of itself in its "
                      "CONNECT). A client that has none has no such attribute."},
    {"client_attributes.NAME.property", TYPE_STRING, RULE(property), .max = 1024, .default_text = "", .documentation = "user_property: its name; the first of that name counts"},
    {"client_attributes.NAME.separator", TYPE_STRING, RULE(separator), .max = 64, .default_text = "",
     .documentation = "Cuts the text into parts, one of which is taken: \"-\", \"@\". Empty: the whole text."},
    {"client_attributes.NAME.part", TYPE_UNSIGNED, RULE(part), .min = 1, .max = 255, .default_text = "1", .documentation = "Which one, from 1 on. A text that has fewer gives no attribute."},
};
static const struct schema_section sections[] = {{"client_attributes.NAME", "Client attributes that are computed when a client connects. See docs/access-control.md."}};
static const struct schema_group groups[] = {{.path = "client_attributes.NAME", .item_bytes = sizeof(struct attribute_rule),
                                              .name_offset = offsetof(struct attribute_rule, name), .items_offset = offsetof(struct attributes_settings, rules),
                                              .count_offset = offsetof(struct attributes_settings, rules_count), .max = ATTRIBUTES_MAX}};

static const char *check(const void *settings, char *buffer, size_t bytes)
{
    const struct attributes_settings *mine = settings;
    for (uint32_t i = 0; i < mine->rules_count; i++) {
        const struct attribute_rule *rule = &mine->rules[i];
        const char *wrong = rule->name[strspn(rule->name, "abcdefghijklmnopqrstuvwxyz0123456789_")] ? "the name of an attribute has a-z, 0-9 and _ only"
                            : rule->from == FROM_USER_PROPERTY && !*rule->property                 ? "from = user_property needs property, its name"
                            : rule->from != FROM_USER_PROPERTY && *rule->property                  ? "property goes with from = user_property only"
                            : rule->part != 1 && !*rule->separator                                 ? "part goes with a separator only"
                                                                                                   : NULL;
        if (!wrong) continue;
        snprintf(buffer, bytes, "`client_attributes.%s`: %s", rule->name, wrong);
        return buffer;
    }
    return NULL;
}

static const struct schema_part part = {.name = "attributes", .keys = keys, .keys_count = SCHEMA_COUNT(keys), .sections = sections,
                                        .sections_count = SCHEMA_COUNT(sections), .groups = groups, .groups_count = SCHEMA_COUNT(groups),
                                        .settings_bytes = sizeof(struct attributes_settings), .check = check};

/* ---- what is in force ------------------------------------------------------------------------------------------------ */

/* Texts are ours: settings may be gone after a reload. */
struct prepared {
    uint32_t count;
    struct attribute_rule rules[];
};

static bool attributes_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    const struct attributes_settings *mine = settings;
    if (mine->rules_count == 0) return true; /* off */
    struct prepared *prepared = memory_acquire_zeroed(sizeof *prepared + mine->rules_count * sizeof *prepared->rules);
    prepared->count = mine->rules_count;
    for (uint32_t i = 0; i < mine->rules_count; i++) {
        prepared->rules[i] = mine->rules[i];
        prepared->rules[i].name = memory_copy_string(span_of_string(mine->rules[i].name));
        prepared->rules[i].property = memory_copy_string(span_of_string(mine->rules[i].property));
        prepared->rules[i].separator = memory_copy_string(span_of_string(mine->rules[i].separator));
    }
    *ret_setup = (struct feature_setup){.prepared = prepared, .moments = FEATURE_GATE(connect), .no_ticks = true};
    return true;
}

static void attributes_release(struct feature_node *node, void *old)
{
    struct prepared *prepared = old;
    for (uint32_t i = 0; i < prepared->count; i++) {
        memory_release(prepared->rules[i].name);
        memory_release(prepared->rules[i].property);
        memory_release(prepared->rules[i].separator);
    }
    memory_release(prepared);
}

/* ---- a client ---------------------------------------------------------------------------------------------------------- */

static struct span user_property(const struct mqtt_connect *connect, struct span name)
{
    struct span rest = connect->properties.raw;
    struct mqtt_user_property pair;
    while (mqtt_user_property_next(&rest, &pair))
        if (span_equal(pair.name, name)) return pair.value;
    return span_of(NULL, 0);
}

static struct span text_of(const struct attribute_rule *rule, const struct feature_client *client, const struct mqtt_connect *connect)
{
    switch ((enum attribute_from)rule->from) {
    case FROM_CLIENT_ID: return client->client_id;
    case FROM_USER_NAME: return client->has_user_name ? client->user_name : span_of(NULL, 0);
    case FROM_COMMON_NAME: return client->certificate_cn;
    case FROM_SUBJECT: return client->certificate_dn;
    case FROM_LISTENER: return client->listener;
    case FROM_USER_PROPERTY: return client->version == MQTT_5 ? user_property(connect, span_of_string(rule->property)) : span_of(NULL, 0);
    }
    return span_of(NULL, 0);
}

/* Part number `number` of the text; empty: it has fewer. */
static struct span part_of(struct span text, struct span separator, uint32_t number)
{
    if (separator.bytes == 0) return text;
    for (;;) {
        const uint8_t *end = text.bytes ? memmem(text.data, text.bytes, separator.data, separator.bytes) : NULL;
        if (--number == 0) return end ? span_of(text.data, (size_t)(end - text.data)) : text;
        if (!end) return span_of(NULL, 0);
        text = span_skip(text, (size_t)(end - text.data) + separator.bytes);
    }
}

static struct feature_verdict attributes_connect(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect)
{
    const struct prepared *prepared = shard->prepared;
    static const char done;
    if (client->slots[shard->slot]) return FEATURE_VERDICT(PASS); /* asked again after LATER: a source may have said otherwise meanwhile */
    client->slots[shard->slot] = (void *)(uintptr_t)&done;
    for (uint32_t i = 0; i < prepared->count; i++) {
        const struct attribute_rule *rule = &prepared->rules[i];
        struct span value = part_of(text_of(rule, client, connect), span_of_string(rule->separator), rule->part);
        if (value.bytes && !feature_attribute_set(client, span_of_string(rule->name), value))
            LOG_LIMITED(WARN, 1000, "client attribute left out", "client=%s name=%s what=\"more than %u bytes of attributes\"", log_quoted(client->client_id), rule->name,
                        FEATURE_ATTRIBUTE_BYTES_MAX);
    }
    return FEATURE_VERDICT(PASS);
}

const struct feature feature_attributes = {
    .abi = FEATURE_ABI,
    .name = "attributes",
    .version = RINGMQ_VERSION,
    .documentation = "Client attributes computed at CONNECT, for rules and templates.",
    .stage = FEATURE_STAGE_PROTECTION,
    .configuration = &part,
    .prepare = attributes_prepare,
    .release = attributes_release,
    .connect = attributes_connect,
};
