/* rules.c - rules as a whole: made, counted, indexed, released; topics with placeholders. rules_parse.c reads text, rules_decide.c decides. */
#include "base/check.h"
#include "base/memory.h"
#include "base/regex.h"
#include "features/acl/rules_inside.h"
#include "proto/topic.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Capacities are powers of two: an array is full when its count is one. */
void *acl_array_add(void *array, uint32_t *count, size_t item_bytes)
{
    if ((*count & (*count - 1)) == 0) array = memory_resize(array, (*count ? *count * 2ull : 1) * item_bytes);
    memset((uint8_t *)array + *count * item_bytes, 0, item_bytes);
    ++*count;
    return array;
}

static struct span bucket_key(const void *value) { return ((const struct acl_bucket *)value)->key; }

struct acl_rules *acl_rules_create(void)
{
    struct acl_rules *rules = memory_acquire_zeroed(sizeof *rules);
    atomic_init(&rules->references, 1);
    map_init(&rules->users, bucket_key);
    map_init(&rules->clients, bucket_key);
    map_init(&rules->levels_index, bucket_key);
    return rules;
}

struct span acl_rules_keep(struct acl_rules *rules, struct span text)
{
    char *copy = memory_copy_string(text);
    rules->blocks = acl_array_add(rules->blocks, &rules->blocks_count, sizeof *rules->blocks);
    rules->blocks[rules->blocks_count - 1] = copy;
    return span_of(copy, text.bytes);
}

static void index_release(struct map *index)
{
    uint32_t cursor = 0;
    for (struct acl_bucket *bucket; (bucket = map_next(index, &cursor));) {
        memory_release(bucket->rules);
        memory_release(bucket);
    }
    map_free(index);
}

struct acl_rules *acl_rules_share(const struct acl_rules *shared)
{
    struct acl_rules *rules = (struct acl_rules *)(uintptr_t)shared;
    atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
    return rules;
}

void acl_rules_release(const struct acl_rules *shared)
{
    struct acl_rules *rules = (struct acl_rules *)(uintptr_t)shared;
    if (!rules || atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < rules->conditions_count; i++)
        cidr_list_release(&rules->conditions[i].networks);
    for (uint32_t i = 0; i < rules->values_count; i++)
        regex_release(rules->values[i].regex);
    for (uint32_t i = 0; i < rules->blocks_count; i++)
        memory_release(rules->blocks[i]);
    index_release(&rules->users);
    index_release(&rules->clients);
    index_release(&rules->levels_index);
    memory_release(rules->rest.rules);
    void *arrays[] = {rules->blocks, rules->rules, rules->conditions, rules->values, rules->topics, rules->levels, rules->pieces};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        memory_release(arrays[i]);
    memory_release(rules);
}

uint32_t acl_rules_count(const struct acl_rules *rules) { return rules->rules_count; }

struct span acl_rules_text(const struct acl_rules *rules, uint32_t line)
{
    struct span rest = rules->source;
    for (uint32_t number = 1; rest.bytes && number <= line; number++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.bytes);
        size_t bytes = end ? (size_t)(end - rest.data) : rest.bytes;
        if (number == line) return span_of(rest.data, bytes);
        rest = span_skip(rest, bytes + (end != NULL));
    }
    return span_of(NULL, 0);
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

static bool variable_of(struct span name, struct acl_piece *ret_piece)
{
    *ret_piece = (struct acl_piece){0};
    if (span_equal(name, SPAN_LITERAL("client_id")) || span_equal(name, SPAN_LITERAL("clientid"))) ret_piece->variable = ACL_VAR_CLIENT_ID;
    else if (span_equal(name, SPAN_LITERAL("username"))) ret_piece->variable = ACL_VAR_USERNAME;
    else if (span_equal(name, SPAN_LITERAL("cn"))) ret_piece->variable = ACL_VAR_CN;
    else if (span_starts_with(name, SPAN_LITERAL("attribute.")) && name.bytes > 10) {
        ret_piece->variable = ACL_VAR_ATTRIBUTE;
        ret_piece->text = span_skip(name, 10);
    }
    return ret_piece->variable != ACL_VAR_NONE;
}

static const char *level_pieces(struct acl_rules *rules, struct acl_level *level, struct span text)
{
    level->kind = ACL_TEMPLATE;
    level->pieces_first = rules->pieces_count;
    while (text.bytes) {
        struct acl_piece piece = {0};
        if (span_starts_with(text, SPAN_LITERAL("${"))) {
            const uint8_t *end = memchr(text.data, '}', text.bytes);
            if (!end) return "the placeholder has no }";
            if (!variable_of(span_of(text.data + 2, (size_t)(end - text.data) - 2), &piece))
                return "the placeholders are ${client_id}, ${username}, ${cn} and ${attribute.NAME}";
            text = span_skip(text, (size_t)(end - text.data) + 1);
        } else {
            size_t bytes = 1;
            while (bytes < text.bytes && !span_starts_with(span_skip(text, bytes), SPAN_LITERAL("${")))
                bytes++;
            piece.text = span_of(text.data, bytes);
            text = span_skip(text, bytes);
        }
        rules->pieces = acl_array_add(rules->pieces, &rules->pieces_count, sizeof *rules->pieces);
        rules->pieces[rules->pieces_count - 1] = piece;
        level->pieces_count++;
    }
    return NULL;
}

static bool has_placeholder(struct span text)
{
    for (size_t i = 0; i + 1 < text.bytes; i++)
        if (text.data[i] == '$' && text.data[i + 1] == '{') return true;
    return false;
}

const char *acl_topic_add(struct acl_rules *rules, struct span text)
{
    struct acl_topic topic = {.literal = span_starts_with(text, SPAN_LITERAL("eq:"))};
    if (topic.literal) text = span_skip(text, 3);
    topic.whole = text;
    topic.levels_first = rules->levels_count;
    if (text.bytes == 0) return "the topic is empty";
    if (!mqtt_topic_filter_valid(text, 0)) return "it is no topic filter: # stands alone in the last level, + alone in its level";
    if (span_starts_with(text, SPAN_LITERAL("$share/"))) return "rules are about what is behind $share/GROUP/: leave that out";
    struct span rest = text, part;
    while (!topic.literal && mqtt_level_next(&rest, &part)) {
        struct acl_level level = {.kind = ACL_WORD, .word = part};
        if (part.bytes == 1 && part.data[0] == '+') level.kind = ACL_PLUS;
        if (part.bytes == 1 && part.data[0] == '#') level.kind = ACL_HASH;
        const char *wrong = has_placeholder(part) ? level_pieces(rules, &level, part) : NULL;
        if (wrong) return wrong;
        rules->levels = acl_array_add(rules->levels, &rules->levels_count, sizeof *rules->levels);
        rules->levels[rules->levels_count - 1] = level;
        topic.levels_count++;
    }
    rules->topics = acl_array_add(rules->topics, &rules->topics_count, sizeof *rules->topics);
    rules->topics[rules->topics_count - 1] = topic;
    rules->rules[rules->rules_count - 1].topics_count++;
    return NULL;
}

/* ---- the index --------------------------------------------------------------------------------------------------- */

static void bucket_add(struct acl_bucket *bucket, uint32_t rule)
{
    if (bucket->count && bucket->rules[bucket->count - 1] == rule) return; /* two of its topics begin alike */
    bucket->rules = acl_array_add(bucket->rules, &bucket->count, sizeof *bucket->rules);
    bucket->rules[bucket->count - 1] = rule;
}

static void index_add(struct map *index, struct span key, uint32_t rule)
{
    struct acl_bucket *bucket = map_find(index, key);
    if (!bucket) {
        bucket = memory_acquire_zeroed(sizeof *bucket);
        bucket->key = key;
        map_insert(index, bucket);
    }
    bucket_add(bucket, rule);
}

/* By the values of a condition that names clients or users one by one. */
static bool index_by_condition(struct acl_rules *rules, uint32_t number, enum acl_condition_kind kind, struct map *index)
{
    const struct acl_rule *rule = &rules->rules[number];
    for (uint32_t i = 0; i < rule->conditions_count; i++) {
        const struct acl_condition *condition = &rules->conditions[rule->conditions_first + i];
        bool exact = condition->kind == kind;
        for (uint32_t j = 0; exact && j < condition->values_count; j++) {
            const struct acl_value *value = &rules->values[condition->values_first + j];
            exact = !value->pattern && !value->absent && !value->regex;
        }
        if (!exact) continue;
        for (uint32_t j = 0; j < condition->values_count; j++)
            index_add(index, rules->values[condition->values_first + j].text, number);
        return true;
    }
    return false;
}

static struct span first_level(const struct acl_topic *topic, const struct acl_rules *rules)
{
    if (topic->literal) {
        struct span rest = topic->whole, level = {0};
        mqtt_level_next(&rest, &level);
        bool wild = level.bytes == 1 && (level.data[0] == '+' || level.data[0] == '#');
        return wild ? span_of(NULL, 0) : level;
    }
    const struct acl_level *level = &rules->levels[topic->levels_first];
    return level->kind == ACL_WORD ? level->word : span_of(NULL, 0);
}

static bool index_by_level(struct acl_rules *rules, uint32_t number)
{
    const struct acl_rule *rule = &rules->rules[number];
    if (rule->topics_count == 0) return false;
    for (uint32_t i = 0; i < rule->topics_count; i++)
        if (!first_level(&rules->topics[rule->topics_first + i], rules).data) return false;
    for (uint32_t i = 0; i < rule->topics_count; i++)
        index_add(&rules->levels_index, first_level(&rules->topics[rule->topics_first + i], rules), number);
    return true;
}

void acl_rules_index(struct acl_rules *rules)
{
    for (uint32_t i = 0; i < rules->rules_count; i++) {
        bool found = index_by_condition(rules, i, ACL_USER, &rules->users) || index_by_condition(rules, i, ACL_CLIENT, &rules->clients) ||
                     index_by_level(rules, i);
        if (!found) bucket_add(&rules->rest, i);
    }
}

/* ---- from parts -------------------------------------------------------------------------------------------------- */

struct acl_builder {
    struct acl_rules *rules;
};

struct acl_builder *acl_builder_begin(void)
{
    struct acl_builder *builder = memory_acquire(sizeof *builder);
    builder->rules = acl_rules_create();
    return builder;
}

const char *acl_builder_add(struct acl_builder *builder, bool allow, unsigned actions, struct span topic, uint8_t qos_mask, int retain)
{
    struct acl_rules *rules = builder->rules;
    if (rules->rules_count == ACL_RULES_MAX) return "there are too many rules";
    if (!(actions & (ACL_PUBLISH | ACL_SUBSCRIBE)) || !(qos_mask & 7)) return "the rule is about nothing";
    uint32_t levels = rules->levels_count, pieces = rules->pieces_count;
    rules->rules = acl_array_add(rules->rules, &rules->rules_count, sizeof *rules->rules);
    rules->rules[rules->rules_count - 1] = (struct acl_rule){.allow = allow, .actions = (uint8_t)actions, .qos_mask = qos_mask & 7,
                                                             .retain = (int8_t)retain, .line = rules->rules_count,
                                                             .topics_first = rules->topics_count};
    const char *wrong = acl_topic_add(rules, acl_rules_keep(rules, topic));
    if (!wrong) return NULL;
    /* Arrays only ever grow in capacity: taking counts back is enough, but one that falls back to a power of two would be grown again from
     * there, which is harmless. */
    rules->rules_count--;
    rules->levels_count = levels;
    rules->pieces_count = pieces;
    return wrong;
}

struct acl_rules *acl_builder_end(struct acl_builder *builder)
{
    struct acl_rules *rules = builder->rules;
    memory_release(builder);
    acl_rules_index(rules);
    return rules;
}
