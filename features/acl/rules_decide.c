/* rules_decide.c - which rule is the first that matches. */
#include "base/check.h"
#include "base/glob.h"
#include "base/regex.h"
#include "features/acl/rules_inside.h"
#include "proto/topic.h"

/* ---- who --------------------------------------------------------------------------------------------------------- */

/* Not the frame's: this file is used outside of the broker, too. */
static struct span attribute_of(const struct feature_client *client, struct span name)
{
    for (uint32_t i = 0; i < client->attributes_count; i++)
        if (span_equal(client->attributes[i].name, name)) return client->attributes[i].value;
    return span_of(NULL, 0);
}

/* data NULL: the client has none. */
static struct span subject(const struct acl_condition *condition, const struct feature_client *client)
{
    switch (condition->kind) {
    case ACL_USER: return client->has_user_name ? client->user_name : span_of(NULL, 0);
    case ACL_CLIENT: return client->client_id;
    case ACL_LISTENER: return client->listener;
    case ACL_CN: return client->certificate_cn.bytes ? client->certificate_cn : span_of(NULL, 0);
    case ACL_ATTRIBUTE: return attribute_of(client, condition->attribute);
    case ACL_IP: break;
    }
    UNREACHABLE("an address is no text");
}

static bool condition_holds(const struct acl_rules *rules, const struct acl_condition *condition, const struct feature_client *client)
{
    if (condition->kind == ACL_IP) {
        bool unix_peer = client->listener_kind == LISTENER_UNIX && !client->has_address;
        return client->has_address ? cidr_list_has(&condition->networks, client->address) : condition->networks.any_unix && unix_peer;
    }
    struct span text = subject(condition, client);
    for (uint32_t i = 0; i < condition->values_count; i++) {
        const struct acl_value *value = &rules->values[condition->values_first + i];
        if (value->absent) {
            if (!text.data) return true;
        } else if (value->regex) {
            if (text.data && regex_finds(value->regex, text)) return true;
        } else if (text.data && (value->pattern ? glob_matches(value->text, text) : span_equal(value->text, text))) {
            return true;
        }
    }
    return false;
}

/* ---- what -------------------------------------------------------------------------------------------------------- */

static bool variable_value(const struct acl_piece *piece, const struct feature_client *client, struct span *ret_value)
{
    switch (piece->variable) {
    case ACL_VAR_CLIENT_ID: *ret_value = client->client_id; break;
    case ACL_VAR_USERNAME: *ret_value = client->has_user_name ? client->user_name : span_of(NULL, 0); break;
    case ACL_VAR_CN: *ret_value = client->certificate_cn; break;
    case ACL_VAR_ATTRIBUTE: *ret_value = attribute_of(client, piece->text); break;
    case ACL_VAR_NONE: *ret_value = piece->text; return true;
    }
    /* A value must not become more than a part of one level. */
    return ret_value->bytes && !memchr(ret_value->data, '/', ret_value->bytes) && !memchr(ret_value->data, '+', ret_value->bytes) &&
           !memchr(ret_value->data, '#', ret_value->bytes);
}

/* Is `name` what the level's pieces say one after another? `first`: of the topic, where a value must not make it one of the server's ($…). */
static bool template_is(const struct acl_rules *rules, const struct acl_level *level, const struct feature_client *client, struct span name, bool first)
{
    for (uint32_t i = 0; i < level->pieces_count; i++) {
        const struct acl_piece *piece = &rules->pieces[level->pieces_first + i];
        struct span value = {0};
        if (!variable_value(piece, client, &value)) return false;
        if (first && i == 0 && piece->variable != ACL_VAR_NONE && value.data[0] == '$') return false;
        if (!span_starts_with(name, value)) return false;
        name = span_skip(name, value.bytes);
    }
    return name.bytes == 0;
}

static bool level_is_word(const struct acl_rules *rules, const struct acl_level *level, const struct feature_client *client, struct span name, bool first)
{
    return level->kind == ACL_WORD ? span_equal(level->word, name) : template_is(rules, level, client, name, first);
}

static bool is_plus(struct span level) { return level.bytes == 1 && level.data[0] == '+'; }
static bool is_hash(struct span level) { return level.bytes == 1 && level.data[0] == '#'; }
static bool is_wild(const struct acl_level *level) { return level->kind == ACL_PLUS || level->kind == ACL_HASH; }

/* All topics of `filter` (a topic name is a filter without wildcards) are the rule's: what `allow` asks. */
static bool covers(const struct acl_rules *rules, const struct acl_topic *topic, const struct feature_client *client, struct span filter)
{
    const struct acl_level *levels = &rules->levels[topic->levels_first];
    struct span rest = filter, level;
    if (filter.data[0] == '$' && is_wild(&levels[0])) return false; /* [MQTT-4.7.2-1] */
    for (uint32_t i = 0; i < topic->levels_count; i++) {
        if (levels[i].kind == ACL_HASH) return true; /* the parent, too */
        if (!mqtt_level_next(&rest, &level) || is_hash(level)) return false;
        if (levels[i].kind == ACL_PLUS) continue;
        if (is_plus(level) || !level_is_word(rules, &levels[i], client, level, i == 0)) return false;
    }
    return rest.data == NULL;
}

/* Does the level of a rule begin with $? A placeholder's value never does at the beginning of a topic. */
static bool of_server(const struct acl_rules *rules, const struct acl_level *level)
{
    struct span text = level->kind == ACL_WORD ? level->word : level->kind == ACL_TEMPLATE ? rules->pieces[level->pieces_first].text : span_of(NULL, 0);
    bool placeholder = level->kind == ACL_TEMPLATE && rules->pieces[level->pieces_first].variable != ACL_VAR_NONE;
    return !placeholder && text.bytes && text.data[0] == '$';
}

/* Some topic is the rule's and of `filter`: what `deny` asks of a subscription. */
static bool overlaps(const struct acl_rules *rules, const struct acl_topic *topic, const struct feature_client *client, struct span filter)
{
    const struct acl_level *levels = &rules->levels[topic->levels_first];
    struct span rest = filter, level;
    if (filter.data[0] == '$' && is_wild(&levels[0])) return false;
    for (uint32_t i = 0; i < topic->levels_count; i++) {
        if (levels[i].kind == ACL_HASH) return true;
        if (!mqtt_level_next(&rest, &level)) return false;
        bool wild = is_plus(level) || is_hash(level);
        if (i == 0 && wild && of_server(rules, &levels[0])) return false;
        if (is_hash(level)) return true;
        if (is_plus(level) || levels[i].kind == ACL_PLUS) continue;
        if (!level_is_word(rules, &levels[i], client, level, i == 0)) return false;
    }
    return rest.data == NULL || span_equal(rest, SPAN_LITERAL("#"));
}

static bool topic_matches(const struct acl_rules *rules, const struct acl_rule *rule, const struct feature_client *client, enum acl_action action,
                          struct span topic)
{
    if (rule->topics_count == 0) return true;
    for (uint32_t i = 0; i < rule->topics_count; i++) {
        const struct acl_topic *own = &rules->topics[rule->topics_first + i];
        bool matches = own->literal                               ? span_equal(own->whole, topic)
                       : action == ACL_SUBSCRIBE && !rule->allow ? overlaps(rules, own, client, topic)
                                                                  : covers(rules, own, client, topic);
        if (matches) return true;
    }
    return false;
}

/* ---- the first rule ---------------------------------------------------------------------------------------------- */

struct question {
    const struct acl_rules *rules;
    const struct feature_client *client;
    enum acl_action action;
    struct span topic;
    uint8_t qos;
    bool retain;
};

static bool rule_matches(const struct question *question, const struct acl_rule *rule)
{
    const struct acl_rules *rules = question->rules;
    if (!(rule->actions & question->action) || !(rule->qos_mask >> question->qos & 1)) return false;
    if (rule->retain >= 0 && rule->retain != question->retain) return false;
    for (uint32_t i = 0; i < rule->conditions_count; i++)
        if (!condition_holds(rules, &rules->conditions[rule->conditions_first + i], question->client)) return false;
    return topic_matches(rules, rule, question->client, question->action, question->topic);
}

static struct acl_outcome outcome_of(const struct acl_rule *rule)
{
    return (struct acl_outcome){rule->allow ? ACL_ALLOW : ACL_DENY, rule->line};
}

/* A filter that begins with a wildcard may meet rules of any first level. */
static struct acl_outcome decide_by_all(const struct question *question)
{
    for (uint32_t i = 0; i < question->rules->rules_count; i++)
        if (rule_matches(question, &question->rules->rules[i])) return outcome_of(&question->rules->rules[i]);
    return (struct acl_outcome){ACL_NO_MATCH, 0};
}

static struct acl_outcome decide_by_index(const struct question *question, struct span first)
{
    const struct acl_rules *rules = question->rules;
    const struct acl_bucket *lists[4] = {question->client->has_user_name ? map_find(&rules->users, question->client->user_name) : NULL,
                                         map_find(&rules->clients, question->client->client_id), map_find(&rules->levels_index, first), &rules->rest};
    uint32_t at[4] = {0};
    for (;;) { /* the lists together, in the order of the rules */
        int best = -1;
        for (int i = 0; i < 4; i++)
            if (lists[i] && at[i] < lists[i]->count && (best < 0 || lists[i]->rules[at[i]] < lists[best]->rules[at[best]])) best = i;
        if (best < 0) return (struct acl_outcome){ACL_NO_MATCH, 0};
        const struct acl_rule *rule = &rules->rules[lists[best]->rules[at[best]++]];
        if (rule_matches(question, rule)) return outcome_of(rule);
    }
}

struct acl_outcome acl_rules_decide(const struct acl_rules *rules, const struct feature_client *client, enum acl_action action,
                                    struct span topic, uint8_t qos, bool retain)
{
    struct question question = {rules, client, action, topic, qos, retain};
    struct span rest = topic, first;
    DCHECK(topic.bytes > 0 && qos <= 2);
    mqtt_level_next(&rest, &first);
    bool anywhere = action == ACL_SUBSCRIBE && (is_plus(first) || is_hash(first));
    return anywhere ? decide_by_all(&question) : decide_by_index(&question, first);
}
